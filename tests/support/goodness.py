"""How far values are from a distribution."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from initcli.distributions import Distribution

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
