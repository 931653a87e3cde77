"""Measuring: statistics of the values of a parameter.

Values are measured chunk by chunk, so no more than a chunk is held. Measurements of two parts of a
tensor add up to that of both; parts and the order of addition are fixed, so the result does not
depend on the workers.

Stored values of at most 16 bits are measured by counting their bit patterns, others in two passes:
the first finds the range of the histogram, which for sampled values their distribution gives.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial, reduce
from operator import add
from typing import TypeVar

import msgspec
import numpy as np

from initcli import limits
from initcli.distributions import Floats
from initcli.errors import TooLarge
from initcli.measuring import compiled
from initcli.measuring.histogram import Counts, Grid, Histogram, around
from initcli.measuring.sums import total
from initcli.parameter import Parameter
from initcli.random.scratch import scratch
from initcli.sampling.chunks import (
    CHUNK,
    draw_chunk,
    draw_chunks,
    drawn_dtype,
    drawn_whole,
    refuse_beyond_memory,
    scratch_bytes,
)
from initcli.sampling.workers import HERE, Workers
from initcli.stored import StoredTensor, pattern_order, pattern_values
from initcli.types import LARGEST

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

_COUNTED = 1 << 18
"""Entries whose bit patterns are counted at once: a call costs as much as some thousand."""
_BATCH = 1 << 26
"""Stored entries after which the second pass over their tensors begins."""
_SOME = 64
"""Values of a chunk from which the quartiles are estimated."""
_REACH = 16.0
"""Distances of the quartiles that a histogram of stored values shows beyond them, at most."""

_Counted = tuple[Parameter, int]
"""A parameter, and how many of its entries are measured."""
Progress = Callable[[int], None]
"""Called with the number of weights of each part of the work that is done."""


class Portion(msgspec.Struct, frozen=True):
    """The chunks of a parameter that one task takes, of the first ``count`` entries."""

    parameter: Parameter
    chunks: range
    count: int
    grid: Grid | None = None
    """The histogram's bins, of stored values that are measured in two passes."""
    compiled: bool = False
    """Whether to draw and measure by compiled kernels."""

    @property
    def entries(self) -> range:
        """Indices of the entries."""
        return range(self.chunks.start * CHUNK, min(self.chunks.stop * CHUNK, self.count))

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

    Without a finite value, only ``nans`` and ``infs`` say something.

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

    def __repr__(self) -> str:
        names = ("count", "mean", "std", "min", "max", "zeros", "nans", "infs")
        return f"Measurement({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"

    @property
    def std(self) -> float:
        """Standard deviation of the values (divided by their count, as ``numpy.std``)."""
        return math.sqrt(self.squares / max(self.count, 1))

    @property
    def entries(self) -> int:
        """The number of values, those that are not finite included."""
        return self.count + self.nans + self.infs

    @property
    def shown(self) -> Histogram:
        """The histogram from the least to the greatest value, in at most 64 bins."""
        if not self.count:
            return Histogram(np.zeros(0), np.zeros(0, np.int64))
        return self.histogram.merged(self.min, self.max, SHOWN_BINS)

    @property
    def visible(self) -> tuple[float, float]:
        """The range to draw: from the least to the greatest value, without a few that are far off.

        At most one in fifty on each side may be far off, which is to miss the bins of the
        histogram by more than all their width.
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
    """Sample every parameter, or read it where it is stored, and measure it, chunk by chunk.

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
    refuse_too_large(counts)
    compiled.prepare(counts)
    for some in _batches(counts):
        wide = [each for each in some if _needs_range(each[0])]
        surveys = workers.in_order(_survey_portion, _all_portions(wide), _stays)
        grids = {
            parameter.path: reduce(add, _of_one_tensor(surveys, None)).grid for parameter, _ in wide
        }
        parts = workers.in_order(_measure_portion, _all_portions(some, grids), _stays)
        for parameter, _ in some:
            whole = reduce(add, _of_one_tensor(parts, progress))
            yield parameter, whole if isinstance(whole, Measurement) else whole.measurement


def _batches(counts: list[_Counted]) -> Iterator[list[_Counted]]:
    """The tensors in groups, of which both passes over stored values find them in memory."""
    batch: list[_Counted] = []
    entries = 0
    for parameter, count in counts:
        batch.append((parameter, count))
        entries += count if _needs_range(parameter) else 0
        if entries > _BATCH:
            yield batch
            batch, entries = [], 0
    yield batch


def _needs_range(parameter: Parameter) -> bool:
    return parameter.stored is not None and not parameter.stored.has_patterns


def _all_portions(counts: list[_Counted], grids: Mapping[str, Grid] = {}) -> Iterator[Portion]:
    for parameter, count in counts:
        yield from _portions(parameter, count, grids.get(parameter.path))


def _of_one_tensor(
    parts: Iterator[tuple[Portion, _Part]], progress: Progress | None
) -> Iterator[_Part]:
    for portion, part in parts:
        if progress is not None:
            progress(len(portion.entries))
        yield part
        if portion.is_last:
            return


class _Survey(msgspec.Struct, frozen=True):
    """The range of finite values, and some of them; + gives that of two parts together."""

    low: float
    high: float
    some: Floats

    @property
    def grid(self) -> Grid:
        """The bins of a histogram of the values."""
        return _grid(self.low, self.high, *_quartiles(self.some))

    def __add__(self, other: _Survey) -> _Survey:
        some = np.concatenate([self.some, other.some])
        return _Survey(min(self.low, other.low), max(self.high, other.high), some)


def _quartiles(values: Floats) -> tuple[float, float]:
    """Those of :func:`numpy.percentile`, which takes longer than all else of a small tensor."""
    if not values.size:
        return 0.0, 0.0
    ordered = np.sort(values)
    last = values.size - 1

    def at(place: float) -> float:
        first = int(place)
        low, high, share = float(ordered[first]), float(ordered[min(first + 1, last)]), place % 1
        return high - (high - low) * (1 - share) if share >= 0.5 else low + (high - low) * share

    return at(0.25 * last), at(0.75 * last)


class _PatternCounts(msgspec.Struct, frozen=True):
    """How often each bit pattern of a narrow dtype occurs; + adds the counts of two parts."""

    dtype: str
    counts: Counts

    def __add__(self, other: _PatternCounts) -> _PatternCounts:
        return _PatternCounts(self.dtype, self.counts + other.counts)

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
            return _Tally(Grid.over(0.0, 0.0, 1), 0.0, nans=nans, infs=infs).measurement
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


_Part = TypeVar("_Part", bound=Measurement | _PatternCounts | _Survey)


def _grid(low: float, high: float, first_quartile: float, third_quartile: float) -> Grid:
    """The bins of a histogram of stored values; few far values do not widen them."""
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
    tally = _Tally(grid, center)
    tally.add(values)
    return tally.measurement


class _Tally:
    """Statistics of values, added chunk by chunk in one pass.

    With d = x − c for a center c near the mean, the mean is c + Σd/n and the sum of squared
    deviations Σd² − (Σd)²/n, which loses no digits if c is within a few deviations.
    """

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
        self.values = None if self.count > FEW else _few(self.values, tuple(values.tolist()))

    def add_chunk(self, chunk: compiled.ChunkSums) -> None:
        """Add a chunk whose values are counted already."""
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


def data_histogram(
    parameter: Parameter,
    seen: Measurement,
    bins: int | None = None,
    *,
    ends: tuple[float, float] | None = None,
    workers: Workers = HERE,
) -> Histogram:
    """The histogram of a parameter with edges that depend on its values, as NumPy chooses them.

    The values are sampled or read a second time, since the edges are known only after the first
    time. Values beyond the ends are counted beside the bins.

    Args:
        parameter: the parameter to sample.
        seen: its measurement.
        bins: number of bins; that of ``numpy.histogram_bin_edges(…, "auto")`` by default.
        ends: the first and the last edge; by default :attr:`Measurement.visible`.
        workers: what does the work, see :mod:`initcli.sampling.workers`; this process by default.

    >>> import initcli
    >>> model = initcli.parse("{input_shape: [8], layers: [{type: Dense, units: 4}]}")
    >>> (kernel, seen), _ = initcli.measure(model.parameters)
    >>> histogram = initcli.data_histogram(kernel, seen, bins=4)
    >>> histogram.edges.size, int(histogram.counts.sum())
    (5, 32)
    """
    if not seen.count:
        return seen.shown
    if ends is None and seen.min == seen.max:
        return Histogram(around(seen.min), np.array([seen.count]))
    limits = np.array(ends or seen.visible, drawn_dtype(parameter) if ends is None else np.float64)
    low, high = limits.tolist()
    # NumPy refuses bins that are narrower than the distance of two values of the dtype.
    max_bins = max(1, int((high - low) / float(np.max(np.spacing(np.abs(limits))))))
    if ends is None and seen.count <= _MAX_EXACT:
        chunks = range(-(-seen.entries // CHUNK))
        values = np.concatenate(list(Portion(parameter, chunks, seen.entries).draw()))
        inner = values[(values >= limits[0]) & (values <= limits[1])]
        bins = min(bins or _exact_auto_bins(seen, inner), max_bins)
        return _counted(values, limits, bins)
    bins = min(bins or auto_bins(seen, ends), max_bins)
    count = partial(_count_portion, limits, bins)
    parts = workers.in_order(count, _portions(parameter, seen.entries), _stays)
    return reduce(add, (part for _, part in parts))


def _count_portion(ends: Floats, bins: int, portion: Portion) -> Histogram:
    return reduce(add, (_counted(values, ends, bins) for values in portion.draw()))


def _counted(values: Floats, ends: Floats, bins: int) -> Histogram:
    counts = np.histogram(values, bins, (ends[0], ends[1]))[0]
    below = int(np.count_nonzero((values < ends[0]) & (values > -np.inf)))
    above = int(np.count_nonzero((values > ends[1]) & (values < np.inf)))
    edges = np.histogram_bin_edges(ends, bins).astype(np.float64)
    return Histogram(edges, counts, below, above)


def _exact_auto_bins(seen: Measurement, values: Floats) -> int:
    """The number of bins of NumPy's "auto", unless that is too large."""
    first_quartile, third_quartile = np.percentile(values, (25, 75)).tolist()
    bins = _bins(seen, first_quartile, third_quartile, None)
    if bins == MAX_BINS:
        return bins
    try:
        return np.histogram_bin_edges(values, "auto").size - 1
    except ValueError:  # bins narrower than the dtype's values are apart
        return bins


def auto_bins(seen: Measurement, ends: tuple[float, float] | None = None) -> int:
    """About the number of bins of NumPy's "auto" between two ends, from the measurement alone.

    The ends are :attr:`Measurement.visible` by default.
    """
    if not seen.count or (ends is None and seen.min == seen.max):
        return 1
    first_quartile, third_quartile = seen.histogram.quantiles(0.25, 0.75)
    return _bins(seen, first_quartile, third_quartile, ends)


def _bins(
    seen: Measurement,
    first_quartile: float,
    third_quartile: float,
    ends: tuple[float, float] | None,
) -> int:
    """The larger of Sturges's and of Freedman and Diaconis's number of bins, as NumPy's "auto"."""
    low, high = ends or seen.visible
    extent = high - low
    sturges = extent / (math.log2(seen.count) + 1)
    freedman_diaconis = 2 * (third_quartile - first_quartile) / seen.count ** (1 / 3) or sturges
    return math.ceil(min(extent / min(freedman_diaconis, sturges), MAX_BINS))


def _survey_portion(portion: Portion) -> _Survey:
    return _survey(portion.draw())


def _survey(chunks: Iterable[Floats]) -> _Survey:
    """The range of values, and some hundred of them."""
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
    return _Survey(low, high, np.concatenate(some or [np.zeros(0)]))


def _measure_portion(portion: Portion) -> Measurement | _PatternCounts:
    """Sample or read a portion, and measure it."""
    with np.errstate(all="ignore"):  # stored values may be anything
        return _measured_portion(portion)


def _measured_portion(portion: Portion) -> Measurement | _PatternCounts:
    stored = portion.parameter.stored
    if stored is not None and stored.has_patterns:
        counts = np.zeros(pattern_values(stored.dtype).size, np.int64)
        for start in portion.entries[::_COUNTED]:
            bits = stored.bits(start, min(start + _COUNTED, portion.entries.stop))
            (indices,) = scratch((np.intp, bits.size))
            np.copyto(indices, bits)
            counts += np.bincount(indices, minlength=counts.size)
        counted = _PatternCounts(stored.dtype, counts)
        return counted.measurement if len(portion.entries) == portion.count else counted
    if portion.grid is not None:
        tally = _Tally(portion.grid, portion.grid.middle)
        is_compiled = portion.compiled and compiled.load()
        if stored and is_compiled and compiled.fits_stored(stored.dtype, portion.grid):
            _add_stored(stored, portion.entries, tally)
            return tally.measurement
        for values in portion.draw():
            tally.add(values)
        return tally.measurement
    distribution = portion.parameter.distribution
    chunks: Iterable[Floats] = portion.draw()
    if distribution is None:
        # The range of a custom initializer is not known before its values.
        chunks = list(chunks)
        found = _measured_on(_survey(chunks).grid, chunks)
        low, high = found.visible
        if found.histogram.edges[0] <= low and high <= found.histogram.edges[-1]:
            return found
        return _measured_on(Grid.over(low, high, FINE_BINS), chunks)
    tally = _Tally(Grid.over(*distribution.extent, FINE_BINS), distribution.mean)
    if portion.compiled and compiled.load() and compiled.fits(portion.parameter, tally.grid):
        _add_compiled(portion, tally)
        return tally.measurement
    for values in chunks:
        tally.add(values)
    return tally.measurement


def _add_compiled(portion: Portion, tally: _Tally) -> None:
    """Draw and measure by compiled kernels, but for a last part of a chunk."""
    parameter = portion.parameter
    whole = range(portion.chunks.start, min(portion.chunks.stop, portion.count // CHUNK))
    done = compiled.measured(parameter, whole, tally.grid, tally.center, tally.counts)
    for chunk, sums in zip(whole, done, strict=True):
        if sums is None:
            tally.add(draw_chunk(parameter, chunk))
        else:
            tally.add_chunk(sums)
    if rest := portion.entries[len(whole) * CHUNK :]:
        tally.add(draw_chunk(parameter, whole.stop)[: len(rest)])


def _add_stored(stored: StoredTensor, entries: range, tally: _Tally) -> None:
    """Measure stored values by compiled kernels, but for a last part of a chunk."""
    for start in entries[::_COUNTED]:
        values = stored.read(start, min(start + _COUNTED, entries.stop))
        whole = values.size - values.size % CHUNK
        chunks = values[:whole].reshape(-1, CHUNK)
        done = compiled.measured_stored(chunks, tally.grid, tally.center, tally.counts)
        for chunk, sums in zip(chunks, done, strict=True):
            if sums is None:
                tally.add(chunk)
            else:
                tally.add_chunk(sums)
        tally.add(values[whole:])


def _measured_on(grid: Grid, chunks: Iterable[Floats]) -> Measurement:
    return reduce(add, (measure_values(values, grid) for values in chunks))


def refuse_too_large(counts: Sequence[tuple[Parameter, int]]) -> None:
    """Raise TooLarge if so many entries of parameters are too many, or one fits no memory."""
    weights = sum(count for _, count in counts)
    if weights > (allowed := limits.in_force().weights):
        message = f"{weights:,} weights are to be drawn, and {allowed:,} are allowed"
        raise TooLarge(message, limits.remedy("weights", weights))
    for parameter, _ in counts:
        refuse_beyond_memory(parameter, scratch_bytes(parameter))


def _portions(parameter: Parameter, count: int, grid: Grid | None = None) -> Iterator[Portion]:
    """The first ``count`` entries of a tensor, in portions."""
    whole = needs_whole(parameter)
    # The owner is not needed to sample, and expensive to send.
    parameter = parameter if whole else msgspec.structs.replace(parameter, owner=None)
    for chunks in chunk_ranges(count, whole=whole):
        yield Portion(parameter, chunks, count, grid, compiled.is_loaded())


def chunk_ranges(count: int, *, whole: bool) -> Iterator[range]:
    """The chunks of ``count`` entries that each task takes, which depend on the count alone.

    ``whole`` is whether one task must take all.
    """
    chunks = max(-(-count // CHUNK), 1)
    size = chunks if whole else min(max(chunks // 8, 32), 128)
    for start in range(0, chunks, size):
        yield range(start, min(start + size, chunks))


def needs_whole(parameter: Parameter) -> bool:
    """Whether one task must take the whole tensor, of which one at a time is held or read."""
    stored = parameter.stored
    return drawn_whole(parameter) if stored is None else stored.is_sequential


def _stays(portion: Portion) -> bool:
    return needs_whole(portion.parameter)
