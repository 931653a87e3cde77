"""Initializers: rules for filling a tensor, one class each.

Importing this package makes every initializer known.
"""

from initcli.initializers.base import Initializer, known_initializers
from initcli.initializers.constant import STFT, Constant, Dirac, Identity, Ones, Zeros
from initcli.initializers.custom import Custom
from initcli.initializers.orthogonal import DeltaOrthogonal, Orthogonal
from initcli.initializers.random import (
    RandomNormal,
    RandomUniform,
    Sparse,
    TruncatedNormal,
)
from initcli.initializers.scaling import (
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    LecunNormal,
    LecunUniform,
    VarianceScaling,
)

__all__ = [
    "STFT",
    "Constant",
    "Custom",
    "DeltaOrthogonal",
    "Dirac",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "RandomNormal",
    "RandomUniform",
    "Sparse",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "known_initializers",
]
