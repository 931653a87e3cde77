"""The thresholds of the judgment of a signal.

They separate the stacks that Keras trained on real data (``tests/reference/training_cases.yaml``):
stacks within all thresholds learn, and those beyond one do not.
"""

SMALL = 1e-4
"""Smallest factor by which a signal may shrink: below it biases and rounding errors dominate."""
LARGE = 1e3
"""Largest factor by which a signal may grow: beyond it the first loss and its gradients diverge."""
INSENSITIVE = 1e-4
"""Smallest factor between the effects of a relative change at two layers: the layer with the
smaller one stays as it is while the other learns."""
SENSITIVE = 1e4
"""Largest such factor: above it any step of one layer destroys the output of the other."""
SHARP = 150.0
"""The same if each layer multiplies by more than :data:`SHARP_EACH`: a usual step of Adam is a
hundredth of a weight, which is then too much. Normalizations multiply by 1.2 per layer, but remove
the size of weights, so that steps have less effect."""
SHARP_EACH = 1.5
"""Factor of one layer or one time step that is larger than that of normalizations."""
SHORT_REACH = 14
"""Largest number of time steps within reach of a state that loses at least half at each step:
½¹³ is the last power above 1e-4. With a forget gate without a bias, the recurrent kernel adds to
the state, and many such layers train."""
OUT_OF_REACH = 32
"""Number of time steps out of reach with which layers do not learn: a state that depends on its
last step only learns to use eight earlier steps (Keras, handwritten digits row by row), not 64."""
SATURATED = 0.4
"""Largest fraction of saturated entries. The others still pass the gradient, so that a few layers
learn."""
SHUT = 0.95
"""Largest fraction of saturated entries, or of zeros after a ReLU, with which layers learn: one of
twenty units still distinguishes examples."""
GONE = 0.99
"""Largest fraction of dead units with which layers learn: one of a hundred units is left."""
DEAD = 0.6
"""Largest fraction of dead units. In deep stacks examples become equal, and half of the units with
weights of mean 0 are 0 for all of them; a tenth more shows a shifted bias."""
SURE = 4.0
"""Standard errors of a fraction above which it is significant."""
RESIDUAL_GROWTH = 30.0
"""Largest total factor by which residual branches may increase their sum."""
RESIDUAL_GROWTH_EACH = 1.1
"""Largest mean factor of a branch. Below it branches add an amount instead of a fraction."""
ONE_DIRECTION = 1.25
"""Number of directions, by participation ratio, below which examples are on one line: it has nine
tenths of their variance. Standard normal inputs of n entries have nearly n directions."""
MANY_DIRECTIONS = 3.0
"""Smallest number of directions of inputs for which a line is a loss."""
ADAM_EPSILON = 1e-7
"""The epsilon that Keras's Adam adds to the size of a gradient: all larger gradients give steps of
full size."""
NOTABLE = 10.0
"""Factor of a single layer that a verdict names even if the whole signal keeps its size."""
