"""Initializers: rules for filling a tensor, one class each.

Importing this package makes every initializer known.
"""

from functools import cache

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
from initcli.types import public_subclasses, snake_case

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


@cache
def known_initializers() -> dict[str, type[Initializer]]:
    """Every initializer that a spec can say, by each of its names."""
    names: dict[str, type[Initializer]] = {}
    for cls in public_subclasses(Initializer):
        for name in (cls.__name__, snake_case(cls.__name__), *cls.aliases):
            names[name] = cls
    return names
