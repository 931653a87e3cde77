"""Distributions of a multiple of a random number."""

from __future__ import annotations

from initcli.distributions.base import Distribution
from initcli.distributions.continuous import Normal, SphereCoordinate, TruncatedNormal, Uniform
from initcli.distributions.discrete import Constant, Empirical, Mixture
from initcli.distributions.image import Image


def times(base: Distribution, factor: float) -> Distribution:
    """The distribution of ``factor`` · x, for a factor above 0.

    >>> times(Normal(0.0, 0.1), 2.0).text
    'N(0, 0.2²)'
    """
    match base:
        case Constant(value):
            return Constant(factor * value)
        case Uniform(low, high):
            return Uniform(factor * low, factor * high)
        case Normal(mean, std):
            return Normal(factor * mean, factor * std)
        case TruncatedNormal(location, scale, low, high):
            return TruncatedNormal(*(factor * each for each in (location, scale, low, high)))
        case SphereCoordinate(dimension, radius):
            return SphereCoordinate(dimension, factor * radius)
        case Empirical(name, values):
            return Empirical(name, tuple(factor * value for value in values))
        case Mixture(weights, parts):
            return Mixture(weights, tuple(times(part, factor) for part in parts))
        case Image(inner, function):
            return Image(inner, (*function, factor, "mul"))
    return Image(base, ("x", factor, "mul"))
