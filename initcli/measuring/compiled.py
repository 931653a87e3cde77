"""Compiled kernels where Numba is installed and the work is worth its start; else NumPy.

This is the only place that knows of :mod:`initcli.measuring.numba_kernels`. A chunk that a kernel
draws and measures has the same bits as one that NumPy draws and measures.
"""

from __future__ import annotations

import importlib.util
import logging
import math
import sys
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import NamedTuple

import numpy as np

from initcli.distributions import Distribution, Floats, Normal, TruncatedNormal, Uniform
from initcli.initializers.base import Initializer
from initcli.measuring.histogram import Counts, Grid
from initcli.parameter import Parameter
from initcli.random import standard_normal, variates
from initcli.random.streams import seeded_stream
from initcli.sampling.chunks import CHUNK

WORTH = 200_000_000
"""Weights from which the kernels save more time than their start takes, about half a second."""

_STORED = ("float32",)
"""Dtypes of stored values that the kernels measure."""
_LARGEST = 1e37
"""Values up to which the kernels draw: larger ones may overflow."""

_kernels: ModuleType | None = None
_has_failed = False


class ChunkSums(NamedTuple):
    """What a kernel measures of one chunk: deviations are those from a given center."""

    deviations: float
    squares: float
    low: float
    high: float
    zeros: int


class _Task(NamedTuple):
    """A distribution as the kernels take it."""

    kind: int
    numbers: tuple[float, ...]
    spares: int = 0


def prepare(counts: Iterable[tuple[Parameter, int]]) -> None:
    """Load the kernels if they are worth it for so many entries of each parameter.

    Processes that are forked later have them too.
    """
    stored_too = (each for each in counts if not each[0].stored or each[0].stored.dtype in _STORED)
    if sum(count for _, count in stored_too) >= WORTH:
        load()


def load() -> bool:
    """Load the kernels where they can be had; whether they are loaded."""
    global _kernels, _has_failed
    if _kernels is None and not _has_failed and _is_installed():
        try:
            from initcli.measuring import numba_kernels as kernels

            _refuse_other_values(kernels)
            _kernels = kernels
        except Exception as error:  # Numba raises anything, for this machine, version or cache
            _has_failed = True
            log = logging.getLogger("initcli")
            log.debug("compiled kernels are not used: %s: %s", type(error).__name__, error)
    return is_loaded()


def is_loaded() -> bool:
    """Whether the kernels are loaded."""
    return _kernels is not None


def fits(parameter: Parameter, grid: Grid) -> bool:
    """Whether a kernel draws this parameter, and counts it in those bins."""
    return (
        is_loaded()
        and parameter.stored is None
        and parameter.dtype == "float32"
        and type(parameter.initializer).fill is Initializer.fill
        and not parameter.initializer.fills_whole
        and grid.fits_single
        and _task(parameter.distribution) is not None
    )


def measured(
    parameter: Parameter, chunks: range, grid: Grid, center: float, counts: Counts
) -> Iterator[ChunkSums | None]:
    """Draw and measure whole chunks of a parameter that :func:`fits`.

    Args:
        parameter: the parameter to draw.
        chunks: the chunks, each of :data:`CHUNK` entries.
        grid: bins of the histogram.
        center: subtracted from the values before they are summed.
        counts: of the values in each bin, to which those of the chunks are added.

    Yields:
        What was measured of each chunk; None for one that only NumPy can draw.
    """
    kernels = _kernels
    task = _task(parameter.distribution)
    assert kernels is not None
    assert task is not None
    together = kernels.TOGETHER
    stream = parameter.stream
    digests = b"".join(stream.entropy(chunk) for chunk in chunks)
    entropy = np.zeros((-(-len(chunks) // together) * together, 8), np.uint32)
    entropy[: len(chunks)] = np.frombuffer(digests, np.uint32).reshape(-1, 8)
    numbers = np.array(task.numbers + (0.0,) * (4 - len(task.numbers)), np.float32)
    tables, *bins = _bins(kernels, grid)
    sums, figures = kernels.measure(
        task.kind, entropy, numbers, task.spares, float(center), *bins, tables, len(chunks)
    )
    yield from _sums(sums, figures, tables, counts)


def fits_stored(dtype: str, grid: Grid) -> bool:
    """Whether a kernel measures stored values of a dtype, and counts them in those bins."""
    return is_loaded() and dtype in _STORED and grid.fits_single


def measured_stored(
    chunks: Floats, grid: Grid, center: float, counts: Counts
) -> Iterator[ChunkSums | None]:
    """Measure whole chunks of stored values, the rows of an array, as :func:`measured` does.

    Yields:
        What was measured of each chunk; None for one with values that are not finite.
    """
    kernels = _kernels
    assert kernels is not None
    tables, *bins = _bins(kernels, grid)
    sums, figures = kernels.measure_stored(np.require(chunks, None, "A"), center, *bins, tables)
    yield from _sums(sums, figures, tables, counts)


def _bins(kernels: ModuleType, grid: Grid) -> tuple[Counts, np.float32, np.float32]:
    """Tables of counts, one over the width of a bin, and the number of the first."""
    tables = np.zeros((kernels.TABLES, grid.bins), np.int32)
    return tables, np.float32(2.0**-grid.exponent), np.float32(grid.first)


def _sums(
    sums: Floats, figures: Floats, tables: Counts, counts: Counts
) -> Iterator[ChunkSums | None]:
    counts += tables.sum(axis=0, dtype=np.int64)
    for lanes, (low, high, zeros) in zip(sums.tolist(), figures.tolist(), strict=False):
        if zeros < 0:
            yield None
        else:
            yield ChunkSums(math.fsum(lanes[0]), math.fsum(lanes[1]), low, high, int(zeros))


def _task(distribution: Distribution | None) -> _Task | None:
    """The distribution as the kernels take it; None if they do not draw it."""
    if distribution is None or abs(distribution.mean) + 10 * distribution.std > _LARGEST:
        return None
    match distribution:
        case Uniform(low, high):
            return _Task(0, ((high - low) * 2.0**-32, (high + low) / 2))
        case Normal(mean, std):
            return _Task(1, (2 * std, mean))
        case TruncatedNormal(location, scale):
            low, high = distribution.bounds
            kept = standard_normal.mass(low, high)
            if kept > variates.MOSTLY_KEPT:
                return _Task(2, (low, high, scale, location), variates.spares(CHUNK, kept))
    return None


def _is_installed() -> bool:
    return sys.byteorder == "little" and importlib.util.find_spec("numba") is not None


def _refuse_other_values(kernels: ModuleType) -> None:
    """Raise ArithmeticError unless a kernel draws on this machine what NumPy draws."""
    stream = seeded_stream(0)
    states = np.empty((kernels.TOGETHER, 4), np.uint64)
    for state in states:
        kernels.seed(np.frombuffer(stream.entropy(0), np.uint32), state)
    words = np.empty((kernels.TOGETHER, CHUNK // 2), np.uint64)
    ours, theirs = np.empty(CHUNK, np.float32), np.empty(CHUNK, np.float32)
    kernels.random_words(states, words)
    kernels.normal(words[-1].view(np.uint32), ours, np.float32(2))
    variates.fill_normal(stream.generator(), theirs, 0.0, 1.0)
    if not np.array_equal(ours, theirs):
        raise ArithmeticError("they draw other values than NumPy")
    # The first call compiles: here, not in every process.
    bins = np.float32(1), np.float32(0), np.zeros((kernels.TABLES, 1), np.int32)
    kernels.measure(0, np.zeros((0, 8), np.uint32), np.zeros(4, np.float32), 0, 0.0, *bins, 0)
