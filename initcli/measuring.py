"""Measuring: what is seen of the values of a parameter.

A measurement is made chunk by chunk and never holds more than a chunk of the values; the
measurements of two parts of a tensor add up to that of both, so threads and machines only have
to share the chunks out. The order of addition is fixed, so the result does not depend on how many
there were.
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import reduce
from itertools import chain
from operator import add
from typing import TypeVar

import numpy as np

from initcli.drawing import (
    chunk_count,
    draw,
    draw_chunks,
    refuse_beyond_memory,
    scratch_bytes,
    working_dtype,
)
from initcli.errors import TooLarge
from initcli.histogram import Counts, Grid, Histogram, around
from initcli.initializers.base import Whole
from initcli.laws import Floats
from initcli.layers import Parameter

FINE_BINS = 1024
"""Bins that a measurement's histogram has at least, on the range that the law shows."""
SHOWN_BINS = 64
"""Bins of the histogram that is shown of it, at most."""
MOST_BINS = 10_000
"""Bins of a histogram at most."""
MOST_WEIGHTS = 10**13
"""Weights that are drawn at most; they would take a day on a hundred cores."""
_HELD = 1 << 22
"""Entries up to which a tensor is held whole to find the edges that NumPy would choose."""
_CHUNKS_PER_TASK = 16

Result = TypeVar("Result")
Share = tuple[Parameter, range]
"""A parameter and those of its chunks that one task takes."""


@dataclass(frozen=True)
class Measurement:
    """What was seen of ``count`` values; + gives that of two parts together.

    ``squares`` is the sum of squared deviations from the mean, in float64, merged as in
    Chan, Golub & LeVeque 1979. ``histogram`` is on a grid of the law's, and fine.
    """

    count: int
    mean: float
    squares: float
    min: float
    max: float
    zeros: int
    histogram: Histogram

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
        )


def measure(
    parameters: Iterable[Parameter], *, jobs: int | None = None
) -> Iterator[tuple[Parameter, Measurement]]:
    """Draw every parameter and measure it, chunk by chunk, on ``jobs`` threads or all cores.

    Raises:
        TooLarge: a tensor cannot be held that must be, or nobody could wait for the weights.
        CustomFunctionError: a custom initializer failed.
    """
    wanted = tuple(parameters)
    _refuse_endless(wanted)
    seen: Measurement | None = None
    for (parameter, chunks), part in _in_order(_measure_share, chain(*map(_shares, wanted)), jobs):
        seen = part if seen is None else seen + part
        if chunks.stop == chunk_count(parameter):
            yield parameter, seen
            seen = None


def measure_values(values: Floats, grid: Grid) -> Measurement:
    """Measure values that are held."""
    low, high = float(values.min()), float(values.max())
    # A sum of equal values rounds; their mean does not.
    mean = low if low == high else float(values.mean(dtype=np.float64))
    deviations = values.astype(np.float64) - mean
    return Measurement(
        count=values.size,
        mean=mean,
        squares=float(np.square(deviations, out=deviations).sum()),
        min=low,
        max=high,
        zeros=values.size - int(np.count_nonzero(values)),
        histogram=Histogram(grid.edges, grid.count(values)),
    )


def data_histogram(
    parameter: Parameter, seen: Measurement, bins: int | None = None, *, jobs: int | None = None
) -> Histogram:
    """The histogram of a parameter on edges that come from its data, as NumPy would choose them.

    The values are drawn a second time, since the edges are known only once all have been seen.

    Args:
        parameter: what to draw.
        seen: its measurement.
        bins: how many, or None for as many as ``numpy.histogram_bin_edges(…, "auto")`` gives.
        jobs: threads; all cores by default.
    """
    if seen.min == seen.max:
        return Histogram(around(seen.min), np.array([seen.count]))
    ends = np.array([seen.min, seen.max], working_dtype(parameter.dtype))
    # Between two values of a dtype there are only so many others to tell bins apart.
    steps = int((seen.max - seen.min) / float(np.max(np.spacing(np.abs(ends)))))
    bins = max(1, min(bins or _auto_bins(parameter, seen), steps))

    def count(share: Share) -> Counts:
        counts = np.zeros(bins, np.int64)
        for values in draw_chunks(*share):
            counts += np.histogram(values, bins, (ends[0], ends[1]))[0]
        return counts

    parts = (part for _, part in _in_order(count, _shares(parameter), jobs))
    edges = np.histogram_bin_edges(ends, bins).astype(np.float64)
    return Histogram(edges, reduce(add, parts))


def _auto_bins(parameter: Parameter, seen: Measurement) -> int:
    """As many bins as NumPy's "auto": the more of Sturges's and Freedman and Diaconis's rule.

    Of a tensor too large to be held, the quartiles are those of the measured histogram.
    """
    held = draw(parameter) if parameter.size <= _HELD else None
    quartiles = seen.histogram.quantiles(0.25, 0.75) if held is None else _quartiles(held)
    extent = seen.max - seen.min
    sturges = extent / (math.log2(seen.count) + 1)
    freedman_diaconis = 2 * (quartiles[1] - quartiles[0]) / seen.count ** (1 / 3) or sturges
    bins = math.ceil(min(extent / min(freedman_diaconis, sturges), MOST_BINS))
    if held is None or bins == MOST_BINS:
        return bins
    try:
        return np.histogram_bin_edges(held, "auto").size - 1
    except ValueError:  # NumPy refuses bins narrower than the dtype's values are apart.
        return bins


def _quartiles(values: Floats) -> list[float]:
    found: list[float] = np.percentile(values, (25, 75)).tolist()
    return found


def _measure_share(share: Share) -> Measurement:
    law = share[0].law
    chunks: Iterable[Floats] = draw_chunks(*share)
    if law is None:
        # Nobody knows the range of a custom initializer before it has been seen.
        chunks = list(chunks)
        extent = (min(float(v.min()) for v in chunks), max(float(v.max()) for v in chunks))
    else:
        extent = law.extent
    grid = Grid.over(*extent, FINE_BINS)
    return reduce(add, (measure_values(values, grid) for values in chunks))


def _refuse_endless(parameters: tuple[Parameter, ...]) -> None:
    weights = sum(parameter.size for parameter in parameters)
    if weights > MOST_WEIGHTS:
        raise TooLarge(f"{weights:,} weights are more than can be drawn ({MOST_WEIGHTS:,})")
    for parameter in parameters:
        refuse_beyond_memory(parameter, scratch_bytes(parameter))


def _shares(parameter: Parameter) -> Iterator[Share]:
    """The chunks of a tensor, shared out to tasks; a tensor that is made whole goes to one."""
    count = chunk_count(parameter)
    portion = count if isinstance(parameter.initializer, Whole) else _CHUNKS_PER_TASK
    for start in range(0, count, portion):
        yield parameter, range(start, min(start + portion, count))


def _in_order(
    task: Callable[[Share], Result], shares: Iterable[Share], jobs: int | None
) -> Iterator[tuple[Share, Result]]:
    """Run a task for every share on threads, a few ahead; results come in the shares' order."""
    workers = jobs or os.cpu_count() or 1
    pool = ThreadPoolExecutor(workers)
    ahead: deque[tuple[Share, Future[Result]]] = deque()
    try:
        for share in shares:
            ahead.append((share, pool.submit(task, share)))
            if len(ahead) >= 4 * workers:
                first, future = ahead.popleft()
                yield first, future.result()
        while ahead:
            first, future = ahead.popleft()
            yield first, future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
