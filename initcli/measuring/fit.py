"""Goodness of fit of measured values to the distribution they should follow."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Literal, NamedTuple

import msgspec
import numpy as np

from initcli.distributions import Distribution, Floats
from initcli.measuring.measurement import FEW, Measurement
from initcli.sampling.chunks import rounding_edges, working_dtype
from initcli.types import TensorDtype

DOUBTFUL = 1e-3
"""p-value below which a fit is poor; by chance it is for one tensor in a thousand."""
_MANY = 100_000
"""Minimum number of values for the limit with its first correction in the tail."""
_ROUNDINGS = 4
_SIDES: tuple[Literal["left"], Literal["right"]] = ("left", "right")
_FAR = 4.0
"""n d² above which both one-sided statistics exceed d in less than one of 10¹² draws."""


class Fit(msgspec.Struct, frozen=True):
    """The Kolmogorov–Smirnov test: exact for up to 140 values, on the edges of bins for more.

    ``statistic`` is the largest distance between the empirical and the cumulative distribution
    function. ``p_value`` is the probability that the same number of independent draws has that
    distance or a larger one. The test is conservative with bins, for distributions with atoms, and
    for dependent entries.
    """

    statistic: float
    p_value: float

    @property
    def is_poor(self) -> bool:
        """Whether less than one tensor in a thousand has such a fit by chance."""
        return self.p_value < DOUBTFUL


def fit(distribution: Distribution, seen: Measurement, dtype: TensorDtype, copies: int = 1) -> Fit:
    """Test measured values against a distribution, rounded to the dtype of the values.

    Args:
        distribution: the distribution the values should follow.
        seen: the measurement of the values.
        dtype: the dtype of the values.
        copies: number of times that the initializer repeats each drawn value.

    >>> import initcli
    >>> model = initcli.parse("{input_shape: [100], layers: [{type: Dense, units: 100}]}")
    >>> (kernel, seen), _ = initcli.measure(model.parameters)
    >>> initcli.fit(kernel.distribution, seen, kernel.dtype).p_value > 0.001
    True
    """
    statistic = Empirical(seen, dtype).distance(distribution)
    return Fit(statistic, exceeded(max(round(seen.count / copies), 1), statistic))


class Empirical:
    """The empirical distribution of measured values of a dtype, for comparison with others."""

    def __init__(self, seen: Measurement, dtype: TensorDtype) -> None:
        self.seen, self.dtype = seen, dtype

    def distance(self, distribution: Distribution) -> float:
        """The Kolmogorov–Smirnov statistic."""
        seen = self.seen
        if seen.values is None and distribution.std == 0:
            # Bins cannot distinguish a constant from other values near it.
            steps = _steps(np.array([seen.min, seen.max]), self.dtype)
        else:
            steps = self._steps
        if not steps.under.size:
            return 0.0
        expected = distribution.below(steps.under)
        least = float(np.max(expected - steps.before))
        if steps.upto is not steps.under:
            expected = distribution.below(steps.upto)
        return max(least, float(np.max(steps.after - expected)), 0.0)

    @cached_property
    def _steps(self) -> _Steps:
        seen = self.seen
        if seen.values is not None:
            return _steps(np.array(seen.values), self.dtype)
        edges = rounding_edges(seen.histogram.edges[1:-1], self.dtype)
        below = np.cumsum(seen.histogram.counts)[:-1] / seen.count
        return _Steps(edges, below, edges, below)

    @cached_property
    def ends(self) -> tuple[float, float]:
        """Bounds, before rounding: the smallest value's from above, the largest's from below."""
        ends = np.array([np.nextafter(self.seen.min, np.inf), self.seen.max])
        least, greatest = rounding_edges(ends, self.dtype).tolist()
        return least, greatest


class _Steps(NamedTuple):
    """Points before rounding, and the shares of the values below them and up to them."""

    under: Floats
    before: Floats
    upto: Floats
    after: Floats


def _steps(values: Floats, dtype: TensorDtype) -> _Steps:
    """The points at which the distance may be largest: at each value and just before it.

    Computed values, such as those of orthogonal matrices, may miss an atom of the distribution by
    a few rounding errors.
    """
    near = _ROUNDINGS * np.spacing(np.abs(values).astype(working_dtype(dtype)))
    before, after = (np.searchsorted(values, values, side) / values.size for side in _SIDES)
    under = rounding_edges(values - near, dtype)
    upto = rounding_edges(np.nextafter(values + near, np.inf), dtype)
    return _Steps(under, before, upto, after)


def exceeded(n: int, d: float) -> float:
    """Probability that the two-sided Kolmogorov–Smirnov statistic of n draws is at least d.

    Up to 140 draws it is exact to ten digits, by a power of a matrix (Marsaglia, Tsang and Wang
    2003, doi:10.18637/jss.v008.i18). The tail is twice the one-sided probability (Smirnov 1944,
    Miller 1956), the rest the expansion of Pelz and Good (1976). Simard and L'Ecuyer (2011,
    doi:10.18637/jss.v039.i11) combine them in this way.
    """
    if d >= 1 or n * d <= 0.5:
        return float(d < 1)
    if n * d * d >= _FAR or d >= 0.5:
        return min(
            2 * (_above(n, d) if n <= _MANY else math.exp(-2 * n * (d + 1 / (6 * n)) ** 2)), 1.0
        )
    return min(max(1 - (_exact(n, d) if n <= FEW else _expanded(n, d)), 0.0), 1.0)


def roughly_exceeded(n: int, d: float) -> float:
    """A faster :func:`exceeded`, to a factor of 2 for at least eight draws and p at least 1e-4.

    The first term of the limit, with the correction of Stephens 1970
    (doi:10.1111/j.2517-6161.1970.tb00821.x).
    """
    root = math.sqrt(n)
    return min(2 * math.exp(-2 * ((root + 0.12 + 0.11 / root) * d) ** 2), 1.0)


def _above(n: int, d: float) -> float:
    """P(D⁺ ≥ d) = d Σ C(n, j) (d + j/n)^(j−1) (1 − d − j/n)^(n−j), for j up to n(1 − d)."""
    j = np.arange(math.floor(n * (1 - d)) + 1)
    left = 1 - d - j / n
    j, left = j[left > 0], left[left > 0]
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    choices = factorials[n] - factorials[j] - factorials[n - j]
    logarithms = choices + (j - 1) * np.log(d + j / n) + (n - j) * np.log(left)
    return min(d * float(np.exp(logarithms).sum()), 1.0)


def _exact(n: int, d: float) -> float:
    """P(D < d) as n!/nⁿ times an entry of the n-th power of a matrix."""
    k = math.floor(n * d) + 1
    h = k - n * d
    size = 2 * k - 1
    factorials = np.array([math.factorial(i) for i in range(size + 1)], float)
    steps = np.subtract.outer(np.arange(size), np.arange(size)) + 1
    matrix = np.where(steps >= 0, 1 / factorials[np.maximum(steps, 0)], 0.0)
    ends = h ** np.arange(1.0, size + 1) / factorials[1:]
    matrix[:, 0] -= ends
    matrix[-1] -= ends[::-1]
    matrix[-1, 0] += max(2 * h - 1, 0.0) ** size / factorials[size]
    whole = math.exp(math.lgamma(n + 1) - n * math.log(n))
    return float(np.linalg.matrix_power(matrix, n)[k - 1, k - 1]) * whole


def _expanded(n: int, d: float) -> float:
    """P(D < d) as the limit and its corrections by 1/√n, 1/n and 1/n^(3/2)."""
    z = math.sqrt(n) * d
    odd = (math.pi * (np.arange(-20, 20) + 0.5)) ** 2
    even = (math.pi * np.arange(-20, 21)) ** 2
    at_odd, at_even = np.exp(-odd / (2 * z * z)), np.exp(-even / (2 * z * z))
    y = z * z
    root = math.sqrt(math.pi / 2)
    limit = math.sqrt(2 * math.pi) / z * float(at_odd.sum()) / 2
    first = root / (6 * z**4) * float(at_odd @ (odd - y))
    second = root / (72 * z**7) * float(
        at_odd @ (6 * y**3 + 2 * y**2 + odd * (2 * y**2 - 5 * y) + odd**2 * (1 - 2 * y))
    ) - root / (36 * z**3) * float(at_even @ even)
    third = root / (6480 * z**10) * float(
        at_odd
        @ (
            odd**3 * (5 - 30 * y)
            + odd**2 * (212 * y**2 - 60 * y)
            + odd * (135 * y**2 - 96 * y**3)
            - 30 * y**3
            - 90 * y**4
        )
    ) + root / (108 * z**6) * float(at_even @ (3 * even * y - even**2))
    return float(limit + first / n**0.5 + second / n + third / n**1.5)
