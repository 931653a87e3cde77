"""Distributions of a single entry of a tensor, in the units of the weight, one class each."""

from initcli.distributions.base import Distribution
from initcli.distributions.continuous import (
    Normal,
    SphereCoordinate,
    TruncatedNormal,
    Uniform,
)
from initcli.distributions.discrete import Constant, Empirical, Mixture, mixed, with_zeros
from initcli.distributions.image import Image
from initcli.distributions.multiple import times
from initcli.random.standard_normal import Floats

__all__ = [
    "Constant",
    "Distribution",
    "Empirical",
    "Floats",
    "Image",
    "Mixture",
    "Normal",
    "SphereCoordinate",
    "TruncatedNormal",
    "Uniform",
    "mixed",
    "times",
    "with_zeros",
]
