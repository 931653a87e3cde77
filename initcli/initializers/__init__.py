"""Initializers: rules for filling a tensor, one class each.

Importing this package makes every initializer known.
"""

from initcli.initializers.base import Initializer
from initcli.initializers.constant import STFT, Bilinear, Constant, Dirac, Identity, Ones, Zeros
from initcli.initializers.custom import Custom
from initcli.initializers.joined import (
    ICNR,
    Chrono,
    Joined,
    NormOf,
    per_gate,
    unit_forget_bias,
    zero_row,
)
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
    Scaled,
    Siren,
    SirenFirst,
    VarianceScaling,
)
from initcli.registry import known

__all__ = [
    "ICNR",
    "STFT",
    "Bilinear",
    "Chrono",
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
    "Zeros",
    "known_initializers",
    "per_gate",
    "unit_forget_bias",
    "zero_row",
]


def known_initializers() -> dict[str, type[Initializer]]:
    """Every initializer that a spec can name, by each of its names."""
    return known(Initializer)
