"""Initializers: rules for filling a tensor, one class each.

This package exports those that other packages name; a spec can name all.
"""

from initcli.initializers.base import Initializer
from initcli.initializers.composite import (
    Chrono,
    Joined,
    NormOf,
    ZeroRow,
    per_gate,
    unit_forget_bias,
)
from initcli.initializers.constant import STFT, Bilinear, Constant, Dirac, Identity, Ones, Zeros
from initcli.initializers.custom import Custom
from initcli.initializers.orthogonal import DeltaOrthogonal, Orthogonal
from initcli.initializers.random import (
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    LecunNormal,
    LecunUniform,
    RandomNormal,
    RandomUniform,
    Scaled,
    Siren,
    SirenFirst,
    Sparse,
    TruncatedNormal,
    VarianceScaling,
)
from initcli.initializers.residual import DeepNorm, Fixup
from initcli.registry import import_modules, known

import_modules(__name__, __path__)

__all__ = [
    "STFT",
    "Bilinear",
    "Chrono",
    "Constant",
    "Custom",
    "DeepNorm",
    "DeltaOrthogonal",
    "Dirac",
    "Fixup",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "Initializer",
    "Joined",
    "LecunNormal",
    "LecunUniform",
    "NormOf",
    "Ones",
    "Orthogonal",
    "RandomNormal",
    "RandomUniform",
    "Scaled",
    "Siren",
    "SirenFirst",
    "Sparse",
    "TruncatedNormal",
    "VarianceScaling",
    "ZeroRow",
    "Zeros",
    "known_initializers",
    "per_gate",
    "unit_forget_bias",
]


def known_initializers() -> dict[str, type[Initializer]]:
    """Every registered initializer, by each of its names."""
    return known(Initializer)
