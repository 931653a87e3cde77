"""Goodness of fit: measured values held against the law that they were to follow."""

from __future__ import annotations

import math

import msgspec
import numpy as np

from initcli.drawing import rounding_edges
from initcli.laws import Law
from initcli.measuring import Measurement
from initcli.types import TensorDtype


class Fit(msgspec.Struct, frozen=True):
    """The Kolmogorov–Smirnov test, on the bins of a measurement in place of every value.

    ``statistic`` is the largest distance between the share of the values below an edge and the
    share that the law puts there. ``p_value`` is the probability that as many independent draws of
    the law lie that far apart or further; with bins, and with entries that depend on one another,
    the test is slightly conservative.
    """

    statistic: float
    p_value: float


def fit(law: Law, seen: Measurement, dtype: TensorDtype, copies: int = 1) -> Fit:
    """Hold a measurement against a law, rounded to the dtype as the values were.

    Each value that was drawn stands ``copies`` times among those that were measured.

    >>> import initcli
    >>> model = initcli.parse("{input_shape: [100], layers: [{type: Dense, units: 100}]}")
    >>> (kernel, seen), _ = initcli.measure(model.parameters)
    >>> initcli.fit(kernel.law, seen, kernel.dtype).p_value > 0.001
    True
    """
    below = np.cumsum(seen.histogram.counts)[:-1] / seen.count
    expected = law.below(rounding_edges(seen.histogram.edges[1:-1], dtype))
    statistic = float(np.max(np.abs(below - expected), initial=0.0))
    if law.std == 0 and seen.max > seen.min:
        statistic = 1.0
    root = math.sqrt(seen.count / copies)
    # The correction for finite samples is that of Stephens 1970.
    return Fit(statistic, kolmogorov((root + 0.12 + 0.11 / root) * statistic))


def kolmogorov(x: float) -> float:
    """Probability that the limit of √n times the Kolmogorov–Smirnov statistic exceeds x.

    2 Σ (−1)^(k−1) exp(−2k²x²), which is 1 to float precision below 0.2 (Kolmogorov 1933).
    """
    if x < 0.2:
        return 1.0
    terms = ((-1) ** (k - 1) * math.exp(-2 * k * k * x * x) for k in range(1, 101))
    return min(max(2 * math.fsum(terms), 0.0), 1.0)
