"""Words that options and arguments take. Nothing is imported, so that help answers at once."""

from __future__ import annotations

from typing import Literal

Framework = Literal["keras", "torch", "flax"]
"""Frameworks whose default initializers apply."""
LayerOrder = Literal["std", "gradient", "growth", "loss"]
"""What layers are sorted by: sizes, the largest first, or by how much larger or smaller the output
is than the input."""
Loss = Literal["cross_entropy", "binary_cross_entropy", "mean_squared_error"]
"""Losses: of one class of several, of each class by itself, and of numbers."""
Optimizer = Literal["sgd", "adam"]
"""Optimizers of the first steps of training."""
Parametrization = Literal["standard", "mup", "ntk"]
"""How initial scales, multipliers and learning rates depend on the width."""
