"""What each kind of layer does to a field, and to the gradients that come back: one rule a kind.

A rule is a function that is registered for a class of layers: it gives the field of what comes out,
and a function that takes the gradient of that to those of the inputs. Layers without a rule have no
prediction; it goes on from what is measured.
"""

from initcli.signal.rules import (  # noqa: F401  # whose rules are known once they are imported
    attention,
    dropping,
    entries,
    merging,
    mixing,
    normalizing,
    operations,
    rearranging,
    recurrent,
    windows,
    wrapping,
)
from initcli.signal.rules.base import (
    Expected,
    Gradient,
    NoTheory,
    Place,
    Pull,
    Weight,
)
from initcli.signal.rules.layout import predicted

__all__ = ["Expected", "Gradient", "NoTheory", "Place", "Pull", "Weight", "predicted"]
