"""The thresholds beyond which a signal is judged to be wrong.

Stacks that Keras trained on real data (``tests/reference/training_cases.yaml``) lie on the right
side of each: those within them learn, and those beyond do not.
"""

SMALL = 1e-4
"""Smallest factor by which a signal may shrink: below it biases and rounding outweigh the rest."""
LARGE = 1e3
"""Largest factor by which a signal may grow: beyond it the first loss and its gradients diverge."""
INSENSITIVE = 1e-4
"""Smallest factor between the effects of a relative change at two layers: the layer with the
smaller one stays as it is while the other learns."""
SENSITIVE = 1e4
"""Largest such factor: any step that moves the one layer scrambles what the other computes."""
SHARP = 150.0
"""The same where each layer multiplies by more than :data:`SHARP_EACH`: Adam's usual step is a
hundredth of a weight, and then changes more than all. Normalizations multiply by 1.2 a layer and
take the size of weights away, so that their steps do less."""
SHARP_EACH = 1.5
"""Factor of one layer, or one time step, above that of normalizations."""
SHORT_REACH = 14
"""Largest number of time steps within reach of a state that loses half and more at each step, as
½¹³ is the last power above 1e-4. A forget gate without a bias loses less, with what the recurrent
kernel adds, and many such layers train."""
OUT_OF_REACH = 32
"""Time steps out of reach with which layers learn: a state that takes in its last step alone
learns to look back over eight (Keras, handwritten digits row by row), not over 64."""
SATURATED = 0.4
"""Largest share of saturated entries without a loss. The slopes of the others carry the gradient,
so that a few layers learn all the same."""
SHUT = 0.95
"""Largest share of entries that are saturated, or 0 behind a ReLU, with which layers learn: of
twenty units one still tells examples apart."""
GONE = 0.99
"""Largest share of dead units with which layers learn: of a hundred units one is left."""
DEAD = 0.6
"""Largest share of dead units. Examples become alike with depth, and of units with weights of mean
0 half are then off for all of them; a tenth more is the least that tells a shifted bias."""
SURE = 4.0
"""Standard errors of a share of few units beyond which it is not chance."""
RESIDUAL_GROWTH = 30.0
"""Largest factor by which residual branches may grow their sum in all."""
RESIDUAL_GROWTH_EACH = 1.1
"""Largest average factor for each branch. Below it branches add an amount and not a share."""
ONE_DIRECTION = 1.25
"""Number of directions, by participation ratio, below which examples lie on one line, as nine
tenths of their squares do. Standard normal inputs of n entries lie in nearly n."""
MANY_DIRECTIONS = 3.0
"""Number of directions of inputs that a line loses."""
ADAM_EPSILON = 1e-7
"""What Keras's Adam adds to the size of a gradient before it divides by it: larger gradients make
steps of full size, however small they are."""
NOTABLE = 10.0
"""Factor of a single layer that a verdict names even where the whole signal keeps its size."""
