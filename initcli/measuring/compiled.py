"""Compiled kernels where Numba is installed and the work is worth their loading; else NumPy.

This is the only place that knows of :mod:`initcli.measuring.numba_code`. A chunk that a kernel
draws and measures has the same bits as one that NumPy draws and measures.
"""

from __future__ import annotations

import importlib.util
import logging
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from initcli.distributions import Distribution, Floats, Normal, TruncatedNormal, Uniform
from initcli.initializers.base import Initializer
from initcli.measuring.histogram import Counts, Grid
from initcli.measuring.kernel_interface import (
    NORMAL,
    TABLES,
    TOGETHER,
    TRUNCATED,
    UNIFORM,
    scratch_words,
)
from initcli.measuring.sums import LANES, total
from initcli.parameter import Parameter
from initcli.random import standard_normal, variates
from initcli.random.scratch import scratch
from initcli.random.streams import Stream, seeded_stream
from initcli.sampling.chunks import CHUNK
from initcli.stored import Bits

if TYPE_CHECKING:
    from initcli.measuring.numba_code import Kernels

WORTH = 30_000_000
"""Weights from which the kernels save more time than their loading takes: 0.05 seconds."""

_COUNTED = ("float16", "bfloat16", "int16", "uint16")
"""Dtypes of stored values whose bit patterns the kernels count."""
_STORED = ("float32", *_COUNTED)
"""Dtypes of stored values that the kernels measure."""
_LARGEST = 1e37
"""Values up to which the kernels draw: larger ones may overflow."""

_kernels: Kernels | None = None
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


def prepare(counts: Iterable[tuple[Parameter, int]]) -> bool:
    """Load the kernels if they are worth it for so many entries of each parameter.

    Processes that are forked later have them too. Returns whether they do nearly all of the work,
    so that threads do it as fast as processes: a kernel does not hold Python's interpreter lock.
    """
    counts = list(counts)
    weights = sum(count for _, count in counts)
    if weights < WORTH:
        return False
    taken = sum(count for parameter, count in counts if _is_taken(parameter))
    return taken >= WORTH and load() and weights - taken < WORTH // 10


def load() -> bool:
    """Load the kernels where they can be had; whether they are loaded."""
    global _kernels, _has_failed
    if _kernels is None and not _has_failed and _is_installed():
        try:
            from initcli.measuring.numba_code import load as load_kernels

            kernels = load_kernels()
            _refuse_other_values(kernels)
            _kernels = kernels
        except Exception as error:  # LLVM raises anything, for this machine, version or file
            _has_failed = True
            log = logging.getLogger("initcli")
            log.debug("compiled kernels are not used: %s: %s", type(error).__name__, error)
    return is_loaded()


def is_loaded() -> bool:
    """Whether the kernels are loaded."""
    return _kernels is not None


def _is_taken(parameter: Parameter) -> bool:
    """Whether there is a kernel for a parameter."""
    if parameter.stored is not None:
        return parameter.stored.dtype in _STORED
    return (
        parameter.dtype == "float32"
        and type(parameter.initializer).fill is Initializer.fill
        and not parameter.initializer.fills_whole
        and _task(parameter.distribution) is not None
    )


def fits(parameter: Parameter, grid: Grid | None) -> bool:
    """Whether a kernel draws or measures this parameter, and counts it in bins or by patterns."""
    return is_loaded() and (grid is None or grid.fits_single) and _is_taken(parameter)


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
    task = _task(parameter.distribution)
    assert _kernels is not None
    assert task is not None
    return _drawn(_kernels, task, parameter.stream, chunks, grid, center, counts)


def measured_stored(
    chunks: Floats, grid: Grid, center: float, counts: Counts
) -> Iterator[ChunkSums | None]:
    """Measure whole chunks of stored values, the rows of an array, as :func:`measured` does.

    Yields:
        What was measured of each chunk; None for one with values that are not finite.
    """
    assert _kernels is not None
    values = np.require(chunks, np.float32, ["C", "A"])
    return _measured(_kernels.measure_stored, (values,), len(chunks), grid, center, counts)


def count_patterns(patterns: Bits, counts: Counts) -> None:
    """Add how often each pattern of 16 bits occurs to 64-bit counts."""
    assert _kernels is not None
    patterns = np.require(patterns, np.uint16, ["C", "A"])
    _kernels.count_patterns(patterns.ctypes.data, patterns.size, counts.ctypes.data)


def _drawn(
    kernels: Kernels,
    task: _Task,
    stream: Stream,
    chunks: range,
    grid: Grid,
    center: float,
    counts: Counts,
) -> Iterator[ChunkSums | None]:
    digests = b"".join(stream.entropy(chunk) for chunk in chunks)
    entropy = np.zeros((-(-len(chunks) // TOGETHER) * TOGETHER, 8), np.uint32)
    entropy[: len(chunks)] = np.frombuffer(digests, np.uint32).reshape(-1, 8)
    numbers = np.array(task.numbers + (0.0,) * (4 - len(task.numbers)), np.float32)
    drawing = task.kind, entropy, numbers, task.spares
    return _measured(
        kernels.measure, drawing, len(chunks), grid, center, counts, spares=task.spares
    )


def _measured(
    kernel: Callable[..., None],
    subject: tuple[Any, ...],
    chunks: int,
    grid: Grid,
    center: float,
    counts: Counts,
    *,
    spares: int = 0,
) -> Iterator[ChunkSums | None]:
    """Call a kernel, and give what it measured of each chunk."""
    tables = np.zeros((TABLES, grid.bins), np.int32)
    (memory,) = scratch((np.uint64, scratch_words(spares)))
    sums, figures = np.empty((chunks, 2, LANES)), np.empty((chunks, 3))
    bins = float(center), 2.0**-grid.exponent, float(grid.first), tables, grid.bins
    arguments = (*subject, *bins, chunks, memory, sums, figures)
    kernel(*(each.ctypes.data if isinstance(each, np.ndarray) else each for each in arguments))
    counts += tables.sum(axis=0, dtype=np.int64)
    for (deviations, squares), (low, high, zeros) in zip(
        sums.tolist(), figures.tolist(), strict=True
    ):
        if zeros < 0:
            yield None
        else:
            yield ChunkSums(math.fsum(deviations), math.fsum(squares), low, high, int(zeros))


def _task(distribution: Distribution | None) -> _Task | None:
    """The distribution as the kernels take it; None if they do not draw it."""
    match distribution:
        case Uniform(low, high) if max(-low, high) < _LARGEST:
            return _Task(UNIFORM, ((high - low) * 2.0**-32, (high + low) / 2))
        case Normal(mean, std) if abs(mean) + 10 * std < _LARGEST:
            return _Task(NORMAL, (2 * std, mean))
        case TruncatedNormal(location, scale) if abs(location) + 10 * scale < _LARGEST:
            low, high = distribution.bounds
            kept = standard_normal.mass(low, high)
            if kept > variates.MOSTLY_KEPT:
                numbers = low, high, scale, location
                return _Task(TRUNCATED, numbers, variates.spares(CHUNK, kept))
    return None


def _is_installed() -> bool:
    return sys.byteorder == "little" and importlib.util.find_spec("llvmlite") is not None


def _refuse_other_values(kernels: Kernels) -> None:
    """Raise ArithmeticError unless a kernel draws and measures on this machine as NumPy does."""
    stream, values = seeded_stream(0), np.empty(CHUNK, np.float32)
    for distribution in (Uniform(-1, 2), Normal(0, 1), TruncatedNormal(0, 1, -2, 2)):
        distribution.draw(stream.generator(), values)
        deviations = values.astype(np.float64)
        figures = float(values.min()), float(values.max()), int((values == 0).sum())
        expected = ChunkSums(total(deviations), total(np.square(deviations)), *figures)
        grid, task = Grid.over(-8, 8, 1 << 10), _task(distribution)
        assert task is not None
        counts = np.zeros(grid.bins, np.int64)
        (seen,) = _drawn(kernels, task, stream, range(1), grid, 0.0, counts)
        if seen != expected or not np.array_equal(counts, grid.count(values)):
            raise ArithmeticError("they draw other values than NumPy, or measure them otherwise")
