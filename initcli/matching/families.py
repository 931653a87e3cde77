"""Distributions whose parameters are estimated from the values themselves."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from initcli.distributions import Normal, TruncatedNormal, Uniform
from initcli.initializers import RandomNormal, RandomUniform
from initcli.initializers import TruncatedNormal as Truncated
from initcli.matching.agreement import Match, combined, distance, extremes, kurtosis
from initcli.measuring.fit import Empirical

LEAST = 256
"""Minimum number of values to identify a family with estimated parameters."""
_CUTS = (2.0, 3.0)
"""Common bounds of truncation, in standard deviations."""

# Quantiles of (√n − 0.01 + 0.85/√n) D for D the Kolmogorov–Smirnov statistic of normal values and
# the normal distribution of their mean and standard deviation (Lilliefors 1967,
# doi:10.1080/01621459.1967.10482916; the factor is that of Stephens 1974, doi:10.2307/2286009).
# From 400,000 draws of 300 values; tests/reference/make_lilliefors.py.
_STATISTIC = (
    0.3685, 0.4563, 0.5215, 0.6102, 0.7167, 0.8276, 0.9008, 0.9878, 1.0496, 1.1067, 1.1794, 1.2322,
    1.283, 1.3503, 1.4075,
)  # fmt: skip
_PROBABILITY = (
    0.99, 0.9, 0.75, 0.5, 0.25, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005, 0.0002, 0.0001,
)  # fmt: skip


def estimated(values: Empirical) -> Iterator[Match]:
    """The families of distributions, each with parameters estimated from the values."""
    yield _uniform(values)
    for cut in _CUTS:
        yield _truncated(values, cut)
    yield _normal(values)


def _uniform(values: Empirical) -> Match:
    """Between the extremes, the other values are uniform again, so the test needs no correction."""
    seen = values.seen
    low, high = seen.min, seen.max
    if abs(low + high) < 20 * (high - low) / seen.count:
        high = max(-low, high)
        low = -high
    distribution = Uniform(low, high)
    return Match(
        initializer=RandomUniform(minval=low, maxval=high),
        rule="uniform between its extremes",
        distribution=distribution,
        p_value=distance(distribution, values),
    )


def _truncated(values: Empirical, cut: float) -> Match:
    """The bounds are the extremes of the values, to 1/n; the rest follows from them."""
    seen = values.seen
    bound = max(-seen.min, seen.max)
    scale = bound / cut
    distribution = TruncatedNormal(0.0, scale, -bound, bound)
    spread = math.sqrt((kurtosis(distribution) - 1) / (4 * seen.count))
    # The nearest value to a bound is about 1/(n · density) away from it.
    missing = 1 / (seen.count * cut * float(distribution.pdf(np.array(bound))) * scale)
    off = abs(math.log(seen.std / distribution.std)) / (spread + missing)
    p_value = combined((math.erfc(off / math.sqrt(2)), distance(distribution, values)))
    initializer = Truncated(mean=0.0, stddev=scale, lower=-cut, upper=cut)
    rule = f"normal cut at ±{cut:g}σ"
    return Match(initializer=initializer, rule=rule, distribution=distribution, p_value=p_value)


def _normal(values: Empirical) -> Match:
    """The test of Lilliefors, and the extremes."""
    seen = values.seen
    z = seen.mean / seen.std * math.sqrt(seen.count)
    mean = 0.0 if abs(z) < 3 else seen.mean
    distribution = Normal(seen.mean, seen.std)
    p_value = combined(
        (
            lilliefors(seen.count, values.distance(distribution)),
            *extremes(distribution, values),
        )
    )
    return Match(
        initializer=RandomNormal(mean=mean, stddev=seen.std),
        rule="normal of the mean and standard deviation of the values",
        distribution=Normal(mean, seen.std),
        p_value=p_value,
    )


def lilliefors(n: int, d: float) -> float:
    """Probability that normal values are as far from the normal distribution fitted to them."""
    statistic = (math.sqrt(n) - 0.01 + 0.85 / math.sqrt(n)) * d
    if statistic > _STATISTIC[-1]:
        # The tail falls as exp(−c x²).
        rate = math.log(_PROBABILITY[-1]) / _STATISTIC[-1] ** 2
        return math.exp(rate * statistic**2)
    return math.exp(float(np.interp(statistic, _STATISTIC, np.log(_PROBABILITY))))
