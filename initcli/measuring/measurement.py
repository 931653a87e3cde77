"""Measuring: what is seen of the values of a parameter.

A measurement is made chunk by chunk and never holds more than a chunk of the values; the
measurements of two parts of a tensor add up to that of both, so processes and machines only have
to share the chunks out. The order of addition is fixed, so the result does not depend on how many
there were.
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
"""Bins that a measurement's histogram has at least, on the range that the distribution shows."""
SHOWN_BINS = 64
"""Bins of the histogram that is shown of it, at most."""
MOST_BINS = 10_000
"""Bins of a histogram at most."""
FEW = 140
"""Values that a measurement holds all of, at most."""
_HELD = 1 << 22
"""Entries up to which a tensor is held whole to find the edges that NumPy would choose."""

Progress = Callable[[int], None]
"""Is told of a number of weights that are done."""


class Share(msgspec.Struct, frozen=True):
    """Those chunks of a parameter that one task takes, of its first ``count`` entries."""

    parameter: Parameter
    chunks: range
    count: int

    @property
    def last(self) -> bool:
        """Whether the entries end here."""
        return self.chunks.stop * CHUNK >= self.count

    def draw(self) -> Iterator[Floats]:
        """The values, chunk by chunk."""
        for chunk, values in zip(
            self.chunks, draw_chunks(self.parameter, self.chunks), strict=True
        ):
            yield values[: self.count - chunk * CHUNK]


class Measurement(msgspec.Struct, frozen=True):
    """What was seen of ``count`` values; + gives that of two parts together.

    ``squares`` is the sum of squared deviations from the mean, in float64, merged as in
    Chan, Golub & LeVeque 1979. ``histogram`` is on a grid of the distribution's, and fine.
    ``values`` are all of them in rising order where there are few, up to 140, and else None.
    """

    count: int
    mean: float
    squares: float
    min: float
    max: float
    zeros: int
    histogram: Histogram
    values: tuple[float, ...] | None = None

    @property
    def std(self) -> float:
        """Standard deviation of the values (divided by their count, as ``numpy.std``)."""
        return math.sqrt(self.squares / self.count)

    @property
    def shown(self) -> Histogram:
        """The histogram from the least to the greatest value, in at most 64 bins."""
        return self.histogram.merged(self.min, self.max, SHOWN_BINS)

    def __add__(self, other: Measurement) -> Measurement:
        count = self.count + other.count
        apart = other.mean - self.mean
        between = apart * apart * (self.count * (other.count / count))
        return Measurement(
            count=count,
            mean=self.mean + apart * (other.count / count),
            squares=self.squares + other.squares + between,
            min=min(self.min, other.min),
            max=max(self.max, other.max),
            zeros=self.zeros + other.zeros,
            histogram=self.histogram + other.histogram,
            values=_few(self.values, other.values),
        )


def _few(one: tuple[float, ...] | None, two: tuple[float, ...] | None) -> tuple[float, ...] | None:
    if one is None or two is None or len(one) + len(two) > FEW:
        return None
    return tuple(sorted((*one, *two)))


def measure(
    parameters: Iterable[Parameter],
    *,
    workers: Workers = HERE,
    most: int | None = None,
    progress: Progress | None = None,
) -> Iterator[tuple[Parameter, Measurement]]:
    """Draw every parameter and measure it, chunk by chunk.

    Args:
        parameters: what to draw.
        workers: who is to do it, see :mod:`initcli.sampling.workers`; this process by default.
        most: entries of a tensor to measure at most, its first; all by default.
        progress: told of every share that is done how many weights it had.

    Raises:
        TooLarge: a tensor cannot be held that must be, or nobody could wait for the weights.
        CustomFunctionError: a custom initializer failed.
        WorkersError: the workers were lost.

    >>> import initcli
    >>> model = initcli.parse("{input_shape: [1000], layers: [{type: Dense, units: 1000}]}")
    >>> for parameter, seen in initcli.measure(model.parameters):
    ...     print(parameter.path, seen.count, round(seen.std, 3), seen.zeros)
    dense/kernel 1000000 0.032 0
    dense/bias 1000 0.0 1000
    """
    wanted = [(parameter, min(parameter.size, most or parameter.size)) for parameter in parameters]
    _refuse_endless(wanted)
    shares = (share for parameter, count in wanted for share in _shares(parameter, count))
    found = workers.in_order(_measure_share, shares, _stays)
    for parameter, _ in wanted:
        yield parameter, reduce(add, _of_one_tensor(found, progress))


def _of_one_tensor(
    found: Iterator[tuple[Share, Measurement]], progress: Progress | None
) -> Iterator[Measurement]:
    for share, part in found:
        if progress is not None:
            progress(part.count)
        yield part
        if share.last:
            return


def measure_values(values: Floats, grid: Grid, center: float | None = None) -> Measurement:
    """Measure values that are held.

    ``center`` is a number near their mean, such as that of their distribution; without one they are
    gone through twice.
    """
    tally = _Tally(grid, float(values.mean(dtype=np.float64)) if center is None else center)
    tally.add(values)
    return tally.measurement


class _Tally:
    """What is seen of values, chunk after chunk, in one pass.

    With d = x − c for a center c near the mean, the mean is c + Σd/n and the sum of squared
    deviations Σd² − (Σd)²/n, which loses no digits as long as c is within a few deviations.
    """

    def __init__(self, grid: Grid, center: float) -> None:
        self.grid = grid
        self.center = center
        self.count = 0
        self.sum = self.squares = 0.0
        self.min, self.max = math.inf, -math.inf
        self.zeros = 0
        self.values: tuple[float, ...] | None = ()
        self.counts = np.zeros(grid.bins, np.int64)

    def add(self, values: Floats) -> None:
        deviations, zeros = scratch((np.float64, values.size), (np.bool_, values.size))
        np.copyto(deviations, values)
        if self.center:
            deviations -= self.center
        self.sum += float(deviations.sum())
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
        mean = self.min if same else self.center + self.sum / self.count
        return Measurement(
            count=self.count,
            mean=mean,
            squares=0.0 if same else max(self.squares - self.sum * (self.sum / self.count), 0.0),
            min=self.min,
            max=self.max,
            zeros=self.zeros,
            histogram=Histogram(self.grid.edges, self.counts),
            values=self.values,
        )


def data_histogram(
    parameter: Parameter,
    seen: Measurement,
    bins: int | None = None,
    *,
    workers: Workers = HERE,
) -> Histogram:
    """The histogram of a parameter on edges that come from its data, as NumPy would choose them.

    The values are drawn a second time, since the edges are known only once all have been seen.

    Args:
        parameter: what to draw.
        seen: its measurement.
        bins: how many, or None for as many as ``numpy.histogram_bin_edges(…, "auto")`` gives.
        workers: who is to do it, see :mod:`initcli.sampling.workers`; this process by default.

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
    # Between two values of a dtype there are only so many others to tell bins apart.
    steps = int((seen.max - seen.min) / float(np.max(np.spacing(np.abs(ends)))))
    if seen.count <= _HELD:
        chunks = range(-(-seen.count // CHUNK))
        values = np.concatenate(list(Share(parameter, chunks, seen.count).draw()))
        bins = max(1, min(bins or _auto_bins(seen, values), steps))
        counts: Counts = np.histogram(values, bins, (ends[0], ends[1]))[0]
    else:
        bins = max(1, min(bins or auto_bins(seen), steps))
        count = partial(_count_share, (ends[0], ends[1]), bins)
        parts = workers.in_order(count, _shares(parameter, seen.count), _stays)
        counts = reduce(add, (part for _, part in parts))
    return Histogram(np.histogram_bin_edges(ends, bins).astype(np.float64), counts)


def _count_share(ends: tuple[Any, Any], bins: int, share: Share) -> Counts:
    counts = np.zeros(bins, np.int64)
    for values in share.draw():
        counts += np.histogram(values, bins, ends)[0]
    return counts


def _auto_bins(seen: Measurement, values: Floats) -> int:
    """As many bins as NumPy's "auto" gives, unless that is too many."""
    quartiles = [float(quartile) for quartile in np.percentile(values, (25, 75))]
    bins = _bins(seen, quartiles)
    if bins == MOST_BINS:
        return bins
    try:
        return np.histogram_bin_edges(values, "auto").size - 1
    except ValueError:  # NumPy refuses bins narrower than the dtype's values are apart.
        return bins


def auto_bins(seen: Measurement) -> int:
    """About as many bins as NumPy's "auto" gives, from the measurement alone."""
    return 1 if seen.min == seen.max else _bins(seen, seen.histogram.quantiles(0.25, 0.75))


def _bins(seen: Measurement, quartiles: list[float]) -> int:
    """The more of Sturges's and of Freedman and Diaconis's number of bins, as NumPy's "auto"."""
    extent = seen.max - seen.min
    sturges = extent / (math.log2(seen.count) + 1)
    freedman_diaconis = 2 * (quartiles[1] - quartiles[0]) / seen.count ** (1 / 3) or sturges
    return math.ceil(min(extent / min(freedman_diaconis, sturges), MOST_BINS))


def _measure_share(share: Share) -> Measurement:
    """Draw a share and measure it."""
    distribution = share.parameter.distribution
    chunks: Iterable[Floats] = share.draw()
    if distribution is None:
        # Nobody knows the range of a custom initializer before it has been seen.
        chunks = list(chunks)
        grid = Grid.over(min(map(_least, chunks)), max(map(_greatest, chunks)), FINE_BINS)
        return reduce(add, (measure_values(values, grid) for values in chunks))
    tally = _Tally(Grid.over(*distribution.extent, FINE_BINS), distribution.mean)
    for values in chunks:
        tally.add(values)
    return tally.measurement


def _least(values: Floats) -> float:
    return float(values.min())


def _greatest(values: Floats) -> float:
    return float(values.max())


def _refuse_endless(wanted: list[tuple[Parameter, int]]) -> None:
    weights = sum(count for _, count in wanted)
    if weights > (most := limits.in_force().weights):
        message = f"{weights:,} weights are to be drawn, and {most:,} are allowed"
        raise TooLarge(message, limits.remedy("weights", weights))
    for parameter, _ in wanted:
        refuse_beyond_memory(parameter, scratch_bytes(parameter))


def _shares(parameter: Parameter, count: int) -> Iterator[Share]:
    """The first ``count`` entries of a tensor, cut into shares by their number alone."""
    chunks = -(-count // CHUNK)
    whole = parameter.initializer.fills_whole
    portion = chunks if whole else min(max(chunks // 8, 32), 128)
    # Where the parameter comes from is not needed to draw it, and long to send.
    parameter = parameter if whole else msgspec.structs.replace(parameter, owner=None)
    for start in range(0, chunks, portion):
        stop = min(start + portion, chunks)
        yield Share(parameter, range(start, stop), count)


def _stays(share: Share) -> bool:
    """Whether a share needs a whole tensor, of which one at a time is enough to hold."""
    return share.parameter.initializer.fills_whole
