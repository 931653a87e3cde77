"""Measuring: statistics of the values of a parameter.

Values are measured chunk by chunk, so no more than a chunk is held. Measurements of two parts of a
tensor add up to that of both; parts and the order of addition are fixed, so the result does not
depend on the workers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial, reduce
from operator import add
from typing import Any

import msgspec
import numpy as np

from initcli import limits
from initcli.distributions import Floats
from initcli.errors import TooLarge
from initcli.measuring.histogram import Counts, Grid, Histogram, around
from initcli.parameter import Parameter
from initcli.random.scratch import scratch
from initcli.sampling.chunks import (
    CHUNK,
    draw_chunks,
    refuse_beyond_memory,
    scratch_bytes,
    working_dtype,
)
from initcli.sampling.workers import HERE, Workers

FINE_BINS = 1024
"""Minimum number of bins of a measurement, over the range that the distribution shows."""
SHOWN_BINS = 64
"""Maximum number of bins of the histogram that is shown of it."""
MAX_BINS = 10_000
"""Maximum number of bins of any histogram."""
FEW = 140
"""Maximum number of values that a measurement keeps."""
_MAX_EXACT = 1 << 22
"""Maximum number of entries of a tensor whose bins are exactly those that NumPy chooses."""

Progress = Callable[[int], None]
"""Called with the number of weights of each part of the work that is done."""


class Portion(msgspec.Struct, frozen=True):
    """The chunks of a parameter that one task takes, of the first ``count`` entries."""

    parameter: Parameter
    chunks: range
    count: int

    @property
    def is_last(self) -> bool:
        """Whether the entries end here."""
        return self.chunks.stop * CHUNK >= self.count

    def draw(self) -> Iterator[Floats]:
        """The values, chunk by chunk."""
        for chunk, values in zip(
            self.chunks, draw_chunks(self.parameter, self.chunks), strict=True
        ):
            yield values[: self.count - chunk * CHUNK]


class Measurement(msgspec.Struct, frozen=True):
    """Statistics of ``count`` finite values; + gives those of two parts together.

    ``squares`` is the sum of squared deviations from the mean, in float64, merged as in
    Chan, Golub & LeVeque 1979. ``histogram`` has fine bins, on a grid that depends on the
    distribution. ``values`` are all of up to 140 values in rising order, else None. ``nans`` and
    ``infs`` count further values that are not finite.
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

    @property
    def std(self) -> float:
        """Standard deviation of the values (divided by their count, as ``numpy.std``)."""
        return math.sqrt(self.squares / max(self.count, 1))

    @property
    def shown(self) -> Histogram:
        """The histogram from the least to the greatest value, in at most 64 bins."""
        return self.histogram.merged(self.min, self.max, SHOWN_BINS)

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
            values=_few(self.values, other.values),
            nans=self.nans + other.nans,
            infs=self.infs + other.infs,
        )


def _few(one: tuple[float, ...] | None, two: tuple[float, ...] | None) -> tuple[float, ...] | None:
    if one is None or two is None or len(one) + len(two) > FEW:
        return None
    return tuple(sorted((*one, *two)))


def measure(
    parameters: Iterable[Parameter],
    *,
    workers: Workers = HERE,
    max_entries: int | None = None,
    progress: Progress | None = None,
) -> Iterator[tuple[Parameter, Measurement]]:
    """Sample every parameter and measure it, chunk by chunk.

    Args:
        parameters: the parameters to sample.
        workers: what does the work, see :mod:`initcli.sampling.workers`; this process by default.
        max_entries: measure only the first so many entries of a tensor; all by default.
        progress: called with the number of weights of each part that is done.

    Raises:
        TooLarge: a tensor does not fit in memory, or there are too many weights.
        CustomFunctionError: a custom initializer failed.
        WorkersError: the workers were lost.

    >>> import initcli
    >>> model = initcli.parse("{input_shape: [1000], layers: [{type: Dense, units: 1000}]}")
    >>> for parameter, seen in initcli.measure(model.parameters):
    ...     print(parameter.path, seen.count, round(seen.std, 3), seen.zeros)
    dense/kernel 1000000 0.032 0
    dense/bias 1000 0.0 1000
    """
    counts = [(each, min(each.size, max_entries or each.size)) for each in parameters]
    _refuse_too_large(counts)
    portions = (portion for parameter, count in counts for portion in _portions(parameter, count))
    parts = workers.in_order(_measure_portion, portions, _stays)
    for parameter, _ in counts:
        yield parameter, reduce(add, _of_one_tensor(parts, progress))


def _of_one_tensor(
    parts: Iterator[tuple[Portion, Measurement]], progress: Progress | None
) -> Iterator[Measurement]:
    for portion, part in parts:
        if progress is not None:
            progress(part.count)
        yield part
        if portion.is_last:
            return


def measure_values(values: Floats, grid: Grid) -> Measurement:
    """Measure an array."""
    center = float(values.mean(dtype=np.float64))
    if not math.isfinite(center):
        finite = values[np.isfinite(values)]
        center = float(finite.mean(dtype=np.float64)) if finite.size else 0.0
    tally = _Tally(grid, center)
    tally.add(values)
    return tally.measurement


class _Tally:
    """Statistics of values, added chunk by chunk in one pass.

    With d = x − c for a center c near the mean, the mean is c + Σd/n and the sum of squared
    deviations Σd² − (Σd)²/n, which loses no digits if c is within a few deviations.
    """

    def __init__(self, grid: Grid, center: float) -> None:
        self.grid = grid
        self.center = center
        self.count = 0
        self.sum = self.squares = 0.0
        self.min, self.max = math.inf, -math.inf
        self.zeros = self.nans = self.infs = 0
        self.values: tuple[float, ...] | None = ()
        self.counts = np.zeros(grid.bins, np.int64)

    def add(self, values: Floats) -> None:
        deviations, zeros = scratch((np.float64, values.size), (np.bool_, values.size))
        np.copyto(deviations, values)
        if self.center:
            deviations -= self.center
        total = float(deviations.sum())
        if not math.isfinite(total):
            finite = values[np.isfinite(values)]
            nans = int(np.count_nonzero(np.isnan(values)))
            self.nans += nans
            self.infs += values.size - finite.size - nans
            if finite.size:
                self.add(finite)
            return
        self.sum += total
        np.multiply(deviations, deviations, out=deviations)
        self.squares += float(deviations.sum())
        np.equal(values, 0, out=zeros)
        self.zeros += int(np.count_nonzero(zeros))
        low, high = float(values.min()), float(values.max())
        self.min, self.max = min(self.min, low), max(self.max, high)
        self.grid.add(values, low, high, self.counts)
        self.count += values.size
        self.values = None if self.count > FEW else _few(self.values, tuple(values.tolist()))

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


def data_histogram(
    parameter: Parameter, seen: Measurement, bins: int | None = None, *, workers: Workers = HERE
) -> Histogram:
    """The histogram of a parameter with edges that depend on its values, as NumPy chooses them.

    The values are sampled a second time, since the edges are known only after the first time.

    Args:
        parameter: the parameter to sample.
        seen: its measurement.
        bins: number of bins; that of ``numpy.histogram_bin_edges(…, "auto")`` by default.
        workers: what does the work, see :mod:`initcli.sampling.workers`; this process by default.

    >>> import initcli
    >>> model = initcli.parse("{input_shape: [8], layers: [{type: Dense, units: 4}]}")
    >>> (kernel, seen), _ = initcli.measure(model.parameters)
    >>> histogram = initcli.data_histogram(kernel, seen, bins=4)
    >>> histogram.edges.size, int(histogram.counts.sum())
    (5, 32)
    """
    if seen.min == seen.max:
        return Histogram(around(seen.min), np.array([seen.count]))
    ends = np.array([seen.min, seen.max], working_dtype(parameter.dtype))
    # NumPy refuses bins that are narrower than the distance of two values of the dtype.
    max_bins = max(1, int((seen.max - seen.min) / float(np.max(np.spacing(np.abs(ends))))))
    if seen.count <= _MAX_EXACT:
        chunks = range(-(-seen.count // CHUNK))
        values = np.concatenate(list(Portion(parameter, chunks, seen.count).draw()))
        bins = min(bins or _exact_auto_bins(seen, values), max_bins)
        counts: Counts = np.histogram(values, bins, (ends[0], ends[1]))[0]
    else:
        bins = min(bins or auto_bins(seen), max_bins)
        count = partial(_count_portion, (ends[0], ends[1]), bins)
        parts = workers.in_order(count, _portions(parameter, seen.count), _stays)
        counts = reduce(add, (part for _, part in parts))
    return Histogram(np.histogram_bin_edges(ends, bins).astype(np.float64), counts)


def _count_portion(ends: tuple[Any, Any], bins: int, portion: Portion) -> Counts:
    return reduce(add, (np.histogram(values, bins, ends)[0] for values in portion.draw()))


def _exact_auto_bins(seen: Measurement, values: Floats) -> int:
    """The number of bins of NumPy's "auto", unless that is too large."""
    bins = _bins(seen, *np.percentile(values, (25, 75)).tolist())
    if bins == MAX_BINS:
        return bins
    try:
        return np.histogram_bin_edges(values, "auto").size - 1
    except ValueError:  # bins narrower than the dtype's values are apart
        return bins


def auto_bins(seen: Measurement) -> int:
    """About the number of bins of NumPy's "auto", from the measurement alone."""
    return 1 if seen.min == seen.max else _bins(seen, *seen.histogram.quantiles(0.25, 0.75))


def _bins(seen: Measurement, first_quartile: float, third_quartile: float) -> int:
    """The larger of Sturges's and of Freedman and Diaconis's number of bins, as NumPy's "auto"."""
    extent = seen.max - seen.min
    sturges = extent / (math.log2(seen.count) + 1)
    freedman_diaconis = 2 * (third_quartile - first_quartile) / seen.count ** (1 / 3) or sturges
    return math.ceil(min(extent / min(freedman_diaconis, sturges), MAX_BINS))


def _measure_portion(portion: Portion) -> Measurement:
    """Sample a portion and measure it."""
    distribution = portion.parameter.distribution
    chunks: Iterable[Floats] = portion.draw()
    if distribution is None:
        # The range of a custom initializer is not known before its values.
        chunks = list(chunks)
        low, high = (
            min(float(each.min()) for each in chunks),
            max(float(each.max()) for each in chunks),
        )
        grid = Grid.over(low, high, FINE_BINS)
        return reduce(add, (measure_values(values, grid) for values in chunks))
    tally = _Tally(Grid.over(*distribution.extent, FINE_BINS), distribution.mean)
    for values in chunks:
        tally.add(values)
    return tally.measurement


def _refuse_too_large(counts: list[tuple[Parameter, int]]) -> None:
    weights = sum(count for _, count in counts)
    if weights > (allowed := limits.in_force().weights):
        message = f"{weights:,} weights are to be drawn, and {allowed:,} are allowed"
        raise TooLarge(message, limits.remedy("weights", weights))
    for parameter, _ in counts:
        refuse_beyond_memory(parameter, scratch_bytes(parameter))


def _portions(parameter: Parameter, count: int) -> Iterator[Portion]:
    """The first ``count`` entries of a tensor, in portions that depend on the count alone."""
    chunks = -(-count // CHUNK)
    whole = parameter.initializer.fills_whole
    size = chunks if whole else min(max(chunks // 8, 32), 128)
    # The owner is not needed to sample, and expensive to send.
    parameter = parameter if whole else msgspec.structs.replace(parameter, owner=None)
    for start in range(0, chunks, size):
        yield Portion(parameter, range(start, min(start + size, chunks)), count)


def _stays(portion: Portion) -> bool:
    """Whether a portion needs a whole tensor, of which only one at a time is held."""
    return portion.parameter.initializer.fills_whole
