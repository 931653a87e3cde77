"""What each kind of layer does to a field, and to the gradients that pass back: one rule a kind.

A rule is a class derived from :class:`Rule` that names the layers it is for. It gives the field of
the output, and a function that takes the output's gradient to those of the inputs. A layer without
a rule has no prediction.
"""

from initcli.registry import import_modules

import_modules(__name__, __path__)
