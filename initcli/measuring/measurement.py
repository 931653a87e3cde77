"""Measurements: statistics of the values of a tensor."""

from __future__ import annotations

import math

import msgspec
import numpy as np

from initcli.measuring.histogram import Histogram

FINE_BINS = 1024
"""Minimum number of bins of a measurement, over the range of the distribution."""
SHOWN_BINS = 64
"""Maximum number of bins of the histogram that is shown."""
FEW = 140
"""Maximum number of values that a measurement keeps."""


class Measurement(msgspec.Struct, frozen=True):
    """Statistics of ``count`` finite values; + combines two parts.

    Without a finite value, only ``nans`` and ``infs`` are meaningful.

    ``squares`` is the sum of squared deviations from the mean, in float64, merged as in
    Chan, Golub & LeVeque 1979. ``histogram`` has fine bins, on a grid that depends on the
    distribution. ``values`` are all values in rising order if there are at most 140, else None.
    ``nans`` and ``infs`` count further values that are not finite.
    """

    count: int
    mean: float
    squares: float
    min: float
    max: float
    zeros: int
    histogram: Histogram
    values: tuple[float, ...] | None = None
    nans: int = 0
    infs: int = 0

    def __repr__(self) -> str:
        names = ("count", "mean", "std", "min", "max", "zeros", "nans", "infs")
        return f"Measurement({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"

    @property
    def std(self) -> float:
        """Standard deviation of the values (divided by their count, as ``numpy.std``)."""
        return math.sqrt(self.squares / max(self.count, 1))

    @property
    def entries(self) -> int:
        """The number of values, including those that are not finite."""
        return self.count + self.nans + self.infs

    @property
    def shown(self) -> Histogram:
        """The histogram from the smallest to the largest value, in at most 64 bins."""
        if not self.count:
            return Histogram(np.zeros(0), np.zeros(0, np.int64))
        return self.histogram.merged(self.min, self.max, SHOWN_BINS)

    @property
    def visible(self) -> tuple[float, float]:
        """The range to draw: from the smallest to the largest value, without a few far ones.

        At most one in fifty on each side is left out, and only if it lies outside of the bins of
        the histogram by more than their total width.
        """
        edges, counts = self.histogram.edges, self.histogram.counts
        first, last = float(edges[0]), float(edges[-1])
        reach, few = last - first, self.count / 50
        inner = np.flatnonzero(counts[1:-1]) + 1
        if not inner.size:
            return self.min, self.max
        return (
            float(edges[inner[0]]) if self.min < first - reach and counts[0] <= few else self.min,
            float(edges[inner[-1] + 1])
            if self.max > last + reach and counts[-1] <= few
            else self.max,
        )

    def __add__(self, other: Measurement) -> Measurement:
        count = self.count + other.count
        share = other.count / max(count, 1)
        difference = other.mean - self.mean
        return Measurement(
            count=count,
            mean=self.mean + difference * share,
            squares=self.squares + other.squares + difference * difference * (self.count * share),
            min=min(self.min, other.min),
            max=max(self.max, other.max),
            zeros=self.zeros + other.zeros,
            histogram=self.histogram + other.histogram,
            values=few(self.values, other.values),
            nans=self.nans + other.nans,
            infs=self.infs + other.infs,
        )


def few(one: tuple[float, ...] | None, two: tuple[float, ...] | None) -> tuple[float, ...] | None:
    """The values of both parts in rising order; None if they are too many."""
    if one is None or two is None or len(one) + len(two) > FEW:
        return None
    return tuple(sorted((*one, *two)))
