"""How far values are from a distribution."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from initcli.distributions import Distribution
from initcli.initializers.base import Whole
from initcli.initializers.given import Values
from initcli.parameter import Parameter

# The Kolmogorov–Smirnov statistic times √n exceeds this once in 10^8 tests of true draws:
# the first term of its limit distribution is 2 exp(−2x²).
CRITICAL = math.sqrt(-math.log(1e-8 / 2) / 2)


def kolmogorov_smirnov(distribution: Distribution, values: np.ndarray[Any, Any]) -> float:
    """√n times the largest distance between the two distributions, atoms allowed for."""
    found, counts = np.unique(values.astype(np.float64), return_counts=True)
    upto = np.cumsum(counts) / values.size
    above = np.max(upto - distribution.cdf(found))
    below = np.max(distribution.below(found) - (upto - counts / values.size))
    return math.sqrt(values.size) * float(max(above, below))


def agree(parameter: Parameter, values: np.ndarray[Any, Any]) -> None:
    """Assert that values may be drawn from the distribution of a parameter.

    Moments are within 6 standard errors, which a true sample exceeds once in 10⁸; the kurtosis of
    the distributions is at most that of a mixture with zeros, below 6.
    """
    distribution, values = parameter.distribution, values.ravel()
    assert distribution is not None, f"{parameter.path}: {parameter.initializer}"
    low, high = distribution.support
    assert low - 1e-6 <= values.min()
    assert values.max() <= high + 1e-6
    error = max(distribution.std, 1e-6) / math.sqrt(values.size)
    assert abs(values.mean() - distribution.mean) < 6 * error
    if values.size > 30:
        assert abs(values.std() - distribution.std) < 6 * error * math.sqrt(5 / 4) + 1e-7
    if distribution.std and not isinstance(parameter.initializer, Whole | Values):
        assert kolmogorov_smirnov(distribution, values) < CRITICAL, parameter.path
