"""Tallies: statistics of values, added chunk by chunk.

With d = x − c for a center c near the mean, the mean is c + Σd/n and the sum of squared deviations
Σd² − (Σd)²/n, which loses no digits if c is within a few standard deviations of the mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import msgspec
import numpy as np

from initcli.distributions import Floats
from initcli.measuring.compiled import ChunkSums
from initcli.measuring.histogram import Counts, Grid, Histogram
from initcli.measuring.measurement import FEW, FINE_BINS, Measurement, few
from initcli.measuring.sums import total
from initcli.random.scratch import scratch
from initcli.sampling.chunks import CHUNK
from initcli.stored import pattern_order, pattern_values
from initcli.types import LARGEST

_SOME = 64
"""Number of values of a chunk from which the quartiles are estimated."""
_REACH = 16.0
"""Maximum range of a histogram of stored values beyond the quartiles, in interquartile ranges."""


class Survey(msgspec.Struct, frozen=True):
    """The range of finite values, and some of them; + combines two parts."""

    low: float
    high: float
    some: Floats

    @property
    def grid(self) -> Grid:
        """The bins of a histogram of the values."""
        return _grid(self.low, self.high, *_quartiles(self.some))

    def __add__(self, other: Survey) -> Survey:
        some = np.concatenate([self.some, other.some])
        return Survey(min(self.low, other.low), max(self.high, other.high), some)


def _quartiles(values: Floats) -> tuple[float, float]:
    """The quartiles of :func:`numpy.percentile`, which is slow for small tensors."""
    if not values.size:
        return 0.0, 0.0
    ordered = np.sort(values)
    last = values.size - 1

    def at(place: float) -> float:
        first = int(place)
        low, high, share = float(ordered[first]), float(ordered[min(first + 1, last)]), place % 1
        return high - (high - low) * (1 - share) if share >= 0.5 else low + (high - low) * share

    return at(0.25 * last), at(0.75 * last)


class PatternCounts(msgspec.Struct, frozen=True):
    """How often each bit pattern of a narrow dtype occurs; + adds the counts of two parts."""

    dtype: str
    counts: Counts

    def __add__(self, other: PatternCounts) -> PatternCounts:
        return PatternCounts(self.dtype, self.counts + other.counts)

    @property
    def measurement(self) -> Measurement:
        """The exact statistics of the values."""
        order = pattern_order(self.dtype)
        present = order[self.counts[order] > 0]
        values = pattern_values(self.dtype)[present].astype(np.float64)
        repeats = self.counts[present]
        finite = np.isfinite(values)
        nans = int(repeats[np.isnan(values)].sum())
        infs = int(repeats[~finite].sum()) - nans
        values, repeats = values[finite], repeats[finite]
        if not values.size:
            return Tally(Grid.over(0.0, 0.0, 1), 0.0, nans=nans, infs=infs).measurement
        count = int(repeats.sum())
        low, high = float(values[0]), float(values[-1])
        # A dot product would start BLAS's threads.
        mean = float((values * repeats).sum()) / count if low < high else low
        ranks = np.searchsorted(np.cumsum(repeats), np.array([0.25, 0.75]) * count)
        grid = _grid(low, high, *values[ranks].tolist())
        return Measurement(
            count=count,
            mean=mean,
            squares=float(((values - mean) ** 2 * repeats).sum()),
            min=low,
            max=high,
            zeros=int(repeats[values == 0].sum()),
            histogram=Histogram(grid.edges, grid.weighted(values, repeats)),
            values=tuple(np.repeat(values, repeats).tolist()) if count <= FEW else None,
            nans=nans,
            infs=infs,
        )


def _grid(low: float, high: float, first_quartile: float, third_quartile: float) -> Grid:
    """The bins of a histogram of stored values; a few far values do not widen them."""
    if low > high:
        return Grid.over(0.0, 0.0, 1)
    reach = _REACH * (third_quartile - first_quartile)
    if reach:
        low, high = max(low, first_quartile - reach), min(high, third_quartile + reach)
    largest = LARGEST["float64"]
    low, high = (min(max(end, -largest), largest) for end in (low, high))
    return Grid.over(low, high, FINE_BINS)


def measure_values(values: Floats, grid: Grid) -> Measurement:
    """Measure an array."""
    center = float(values.mean(dtype=np.float64))
    if not math.isfinite(center):
        finite = values[np.isfinite(values)]
        center = float(finite.mean(dtype=np.float64)) if finite.size else 0.0
    tally = Tally(grid, center)
    tally.add(values)
    return tally.measurement


class Tally:
    """Statistics of values, added chunk by chunk in one pass."""

    def __init__(self, grid: Grid, center: float, *, nans: int = 0, infs: int = 0) -> None:
        self.grid = grid
        self.center = center
        self.count = 0
        self.sum = self.squares = 0.0
        self.min, self.max = math.inf, -math.inf
        self.zeros = 0
        self.nans, self.infs = nans, infs
        self.values: tuple[float, ...] | None = ()
        self.counts = np.zeros(grid.bins, np.int64)

    def add(self, values: Floats) -> None:
        if not values.size:
            return
        deviations, zeros = scratch((np.float64, values.size), (np.bool_, values.size))
        np.copyto(deviations, values)
        if self.center:
            deviations -= self.center
        sum_of_deviations = total(deviations)
        if not math.isfinite(sum_of_deviations) and not (is_finite := np.isfinite(values)).all():
            finite = values[is_finite]
            nans = int(np.count_nonzero(np.isnan(values)))
            self.nans += nans
            self.infs += values.size - finite.size - nans
            self.add(finite)
            return
        self.sum += sum_of_deviations
        np.multiply(deviations, deviations, out=deviations)
        self.squares += total(deviations)
        np.equal(values, 0, out=zeros)
        self.zeros += int(np.count_nonzero(zeros))
        low, high = float(values.min()), float(values.max())
        self.min, self.max = min(self.min, low), max(self.max, high)
        self.grid.add(values, low, high, self.counts)
        self.count += values.size
        self.values = None if self.count > FEW else few(self.values, tuple(values.tolist()))

    def add_compiled(
        self, chunks: Iterable[ChunkSums | None], values: Callable[[int], Floats]
    ) -> None:
        """Add whole chunks that kernels have measured; others are measured from their values.

        Args:
            chunks: the sums of each chunk, which is already in :attr:`counts`; None for others.
            values: returns the values of a chunk by its number.
        """
        for number, chunk in enumerate(chunks):
            if chunk is None:
                self.add(values(number))
                continue
            self.sum += chunk.deviations
            self.squares += chunk.squares
            self.zeros += chunk.zeros
            self.min, self.max = min(self.min, chunk.low), max(self.max, chunk.high)
            self.count += CHUNK
            self.values = None

    @property
    def measurement(self) -> Measurement:
        # A sum of equal values rounds; their mean does not.
        same = self.min == self.max
        mean = self.sum / max(self.count, 1)
        return Measurement(
            count=self.count,
            mean=self.min if same else self.center + mean,
            squares=0.0 if same else max(self.squares - self.sum * mean, 0.0),
            min=self.min,
            max=self.max,
            zeros=self.zeros,
            histogram=Histogram(self.grid.edges, self.counts),
            values=self.values,
            nans=self.nans,
            infs=self.infs,
        )


def survey(chunks: Iterable[Floats]) -> Survey:
    """The range of values, and a few hundred of them."""
    low, high = math.inf, -math.inf
    some = []
    for values in chunks:
        least, greatest = float(values.min(initial=np.inf)), float(values.max(initial=-np.inf))
        if not math.isfinite(least + greatest):
            values = values[np.isfinite(values)]
            least = float(values.min(initial=np.inf))
            greatest = float(values.max(initial=-np.inf))
        low, high = min(low, least), max(high, greatest)
        some.append(values[:: max(values.size // _SOME, 1)].astype(np.float64))
    return Survey(low, high, np.concatenate(some or [np.zeros(0)]))
