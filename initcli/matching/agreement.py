"""Agreement of measured values with a distribution, by several tests.

The Kolmogorov–Smirnov statistic tests shape and location. The moments determine the standard
deviation ten times as precisely, and the extremes the bounds. Each test gives a probability; the
smallest times their number is a probability again (Bonferroni).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache

import msgspec
import numpy as np

from initcli.distributions import Distribution, Normal, TruncatedNormal, Uniform
from initcli.initializers import Initializer
from initcli.measuring.fit import DOUBTFUL, Empirical, exceeded, roughly_exceeded
from initcli.measuring.measurement import Measurement
from initcli.random import standard_normal
from initcli.sampling.chunks import rounded, rounding_edges
from initcli.types import TensorDtype

COARSE = {"float16": 2.0**-11, "bfloat16": 2.0**-8}
"""Relative distance of neighboring values. Frameworks that draw in such a dtype round the uniform
numbers that they start from, which shifts probabilities by as much."""


_COMPUTED = 2.0**-21
"""Relative error of a value that a framework computes in float32."""


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """An initializer that values agree with.

    ``framework`` is the framework that has the rule; None for estimated arguments. ``p_value`` is
    the probability of values that agree as badly or worse; None if nothing is random.
    """

    initializer: Initializer
    framework: str | None = None
    rule: str
    distribution: Distribution | None
    p_value: float | None = None


def combined(probabilities: Iterable[float]) -> float:
    """A bound of the probability that the smallest of these probabilities is as small."""
    each = list(probabilities)
    return min(1.0, len(each) * min(each))


def agreement(distribution: Distribution, values: Empirical) -> float:
    """Probability that draws of the distribution agree with it as badly as the values do.

    Its parameters must not depend on the values.
    """
    if beyond(distribution, values):
        return 0.0
    least = min(*moments(distribution, values), *extremes(distribution, values))
    # A small probability decides, without the slowest test.
    if least >= DOUBTFUL / 5:
        statistic, n = _statistic(distribution, values), values.seen.count
        if roughly_exceeded(n, statistic) < 2 * least:
            least = min(least, exceeded(n, statistic))
    return min(1.0, 5 * least)


def beyond(distribution: Distribution, values: Empirical) -> bool:
    """Whether no value of the support is rounded to the smallest or to the largest value."""
    low, high = distribution.support
    if not math.isfinite(high - low):
        return False
    upper, lower = values.ends
    tolerance = max(abs(low), abs(high)) * _COMPUTED
    return bool(upper < low - tolerance or lower > high + tolerance)


def distance(distribution: Distribution, values: Empirical) -> float:
    """Probability of the Kolmogorov–Smirnov statistic."""
    return exceeded(values.seen.count, _statistic(distribution, values))


def _statistic(distribution: Distribution, values: Empirical) -> float:
    return max(values.distance(distribution) - COARSE.get(values.dtype, 0.0) / 2, 0.0)


def moments(distribution: Distribution, values: Empirical) -> tuple[float, float]:
    """Probabilities of the mean and of the mean square around the distribution's mean.

    The mean of n values is normal. Their mean square has the variance (κ − 1)σ⁴/n with the kurtosis
    κ, and its cube root is nearly normal (Wilson & Hilferty 1931, doi:10.1073/pnas.17.12.684).
    """
    seen, dtype = values.seen, values.dtype
    if dtype.startswith("float8"):
        # Rounding to 8 bits changes the moments; the distance accounts for it.
        return 1.0, 1.0
    n, std = seen.count, distribution.std
    shift = seen.mean - distribution.mean
    coarse = COARSE.get(dtype, 0.0)
    z = max(abs(shift) / std - coarse / 2, 0.0) * math.sqrt(n)
    square = (seen.squares / n + shift * shift) / std**2
    if coarse:
        square = 1 + math.copysign(max(abs(square - 1) - coarse / 2, 0.0), square - 1)
    freedom = 2 * n / (kurtosis(distribution) - 1)
    return two_sided(z), chi_squared(square * freedom, freedom)


def extremes(distribution: Distribution, values: Empirical) -> tuple[float, float]:
    """Probabilities of the smallest and of the largest value.

    The largest of n values is at most x with probability F(x)ⁿ.
    """
    seen, tolerance = values.seen, _tolerance(distribution, values.dtype)
    upto = math.nextafter(seen.min + tolerance, math.inf)
    upto_greatest = math.nextafter(seen.max + tolerance, math.inf)
    points = np.array([seen.min - tolerance, upto, seen.max - tolerance, upto_greatest])
    shares = distribution.below(rounding_edges(points, values.dtype)).tolist()
    least = _extreme(1 - shares[1], 1 - shares[0], seen.count)
    return least, _extreme(shares[2], shares[3], seen.count)


def _extreme(below: float, upto: float, n: int) -> float:
    """Two-sided probability of the largest of n, from the probabilities of one value."""
    inner = math.exp(n * math.log(upto)) if upto > 0 else 0.0
    outer = -math.expm1(n * math.log(below)) if below > 0 else 1.0
    return min(1.0, 2 * min(inner, outer))


def _tolerance(distribution: Distribution, dtype: TensorDtype) -> float:
    """How far rounding may move the extremes: a few rounding errors of the scale."""
    low, high = distribution.support
    scale = max(abs(low), abs(high)) if math.isfinite(high - low) else distribution.std
    roundings = {
        "float64": _COMPUTED,
        "float32": _COMPUTED,
        "float16": 2.0**-9,
        "bfloat16": 2.0**-6,
    }
    return scale * roundings.get(dtype, 0.25 if dtype.startswith("float8") else _COMPUTED)


@lru_cache(maxsize=1024)
def kurtosis(distribution: Distribution) -> float:
    """E[(x − mean)⁴]/σ⁴: 3 of a normal, 9/5 of a uniform distribution."""
    match distribution:
        case Normal():
            return 3.0
        case Uniform():
            return 1.8
        case TruncatedNormal():
            nodes, weights = standard_normal.legendre()
            low, high = distribution.support
            half = (high - low) / 2
            x = low + half * (nodes + 1)
            density = weights * half * distribution.pdf(x)
            deviations = (x - distribution.mean) / distribution.std
            return float(density @ deviations**4)
    raise NotImplementedError(f"the kurtosis of {type(distribution).__name__}")


def log_likelihood(distribution: Distribution, values: Empirical) -> float:
    """Logarithm of the density of the values, which lie in the support.

    Bounds that round to the same value of the dtype give the same likelihood.
    """
    seen, n = values.seen, values.seen.count
    match distribution:
        case Uniform():
            bounds = np.array([distribution.low, distribution.high], np.float32)
            low, high = rounded(bounds, values.dtype)
            return -n * math.log(float(high) - float(low))
        case Normal():
            return _of_normal(distribution.mean, distribution.std, seen)
        case TruncatedNormal(location, scale, low, high):
            mass = standard_normal.mass((low - location) / scale, (high - location) / scale)
            return _of_normal(location, scale, seen) - n * math.log(mass)
    raise NotImplementedError(f"the likelihood of {type(distribution).__name__}")


def _of_normal(mean: float, std: float, seen: Measurement) -> float:
    squares = seen.squares + seen.count * (seen.mean - mean) ** 2
    return -seen.count * math.log(std * math.sqrt(2 * math.pi)) - squares / (2 * std * std)


def two_sided(z: float) -> float:
    """Probability that a standard normal value is as far from 0."""
    return math.erfc(abs(z) / math.sqrt(2))


def chi_squared(x: float, freedom: float, *, upper: bool = False) -> float:
    """Probability that χ² with ``freedom`` degrees is as far from its median, or as large.

    By the cube root (Wilson & Hilferty 1931), which is exact to 1 % of the probability in the tails
    for more than 30 degrees.
    """
    spread = 2 / (9 * freedom)
    z = (math.copysign(abs(x / freedom) ** (1 / 3), x) - (1 - spread)) / math.sqrt(spread)
    return 0.5 * math.erfc(z / math.sqrt(2)) if upper else two_sided(z)
