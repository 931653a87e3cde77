"""Measuring: statistics of the values of parameters.

Values are measured chunk by chunk, so at most a chunk is in memory. Measurements of two parts of a
tensor add up to that of both; parts and the order of addition are fixed, so the result does not
depend on the workers.

Stored values of at most 16 bits are measured by counting their bit patterns, others in two passes:
the first finds the range of the histogram. For sampled values the distribution gives the range.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import reduce
from operator import add
from typing import TypeVar

import numpy as np

from initcli.distributions import Floats
from initcli.measuring import compiled
from initcli.measuring.histogram import Counts, Grid
from initcli.measuring.measurement import FINE_BINS, Measurement
from initcli.measuring.portions import Portion, Progress, portions, refuse_too_large, stays
from initcli.measuring.tally import PatternCounts, Survey, Tally, measure_values, survey
from initcli.parameter import Parameter
from initcli.random.scratch import scratch
from initcli.sampling.chunks import CHUNK, draw_chunk
from initcli.sampling.workers import HERE, Workers
from initcli.stored import StoredTensor, pattern_values

_COUNTED = 1 << 18
"""Entries whose bit patterns are counted at once: a call costs as much as a few thousand."""
_BATCH = 1 << 26
"""Number of stored entries after which the second pass over their tensors begins."""

_Counted = tuple[Parameter, int]
"""A parameter, and the number of its entries to measure."""
_Part = TypeVar("_Part", bound=Measurement | PatternCounts | Survey)


def measure(
    parameters: Iterable[Parameter],
    *,
    workers: Workers = HERE,
    max_entries: int | None = None,
    progress: Progress | None = None,
) -> Iterator[tuple[Parameter, Measurement]]:
    """Sample every parameter, or read it if it is stored, and measure it, chunk by chunk.

    Args:
        parameters: the parameters to measure.
        workers: workers to use, see :mod:`initcli.sampling.workers`; this process by default.
        max_entries: number of first entries of each tensor to measure; all by default.
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
        surveys = workers.in_order(_survey_portion, _all_portions(wide), stays)
        grids = {
            parameter.path: reduce(add, _of_one_tensor(surveys, None)).grid for parameter, _ in wide
        }
        parts = workers.in_order(_measure_portion, _all_portions(some, grids), stays)
        for parameter, _ in some:
            whole = reduce(add, _of_one_tensor(parts, progress))
            yield parameter, whole if isinstance(whole, Measurement) else whole.measurement


def _batches(counts: list[_Counted]) -> Iterator[list[_Counted]]:
    """The tensors in groups that stay in the page cache for both passes over stored values."""
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
        yield from portions(parameter, count, grids.get(parameter.path))


def _of_one_tensor(
    parts: Iterator[tuple[Portion, _Part]], progress: Progress | None
) -> Iterator[_Part]:
    for portion, part in parts:
        if progress is not None:
            progress(len(portion.entries))
        yield part
        if portion.is_last:
            return


def _survey_portion(portion: Portion) -> Survey:
    return survey(portion.draw())


def _measure_portion(portion: Portion) -> Measurement | PatternCounts:
    """Sample or read a portion, and measure it."""
    with np.errstate(all="ignore"):  # stored values may be anything
        return _measured_portion(portion)


def _measured_portion(portion: Portion) -> Measurement | PatternCounts:
    stored = portion.parameter.stored
    if stored is not None and stored.has_patterns:
        counts = _pattern_counts(portion, stored)
        counted = PatternCounts(stored.dtype, counts)
        return counted.measurement if len(portion.entries) == portion.count else counted
    distribution = portion.parameter.distribution
    if portion.grid is not None:
        tally = Tally(portion.grid, portion.grid.middle)
    elif distribution is not None:
        tally = Tally(Grid.over(*distribution.extent, FINE_BINS), distribution.mean)
    else:
        return _measured_custom(list(portion.draw()))
    if not _is_compiled(portion, tally.grid):
        for values in portion.draw():
            tally.add(values)
    elif stored is None:
        _add_compiled(portion, tally)
    else:
        _add_stored(stored, portion.entries, tally)
    return tally.measurement


def _measured_custom(chunks: list[Floats]) -> Measurement:
    """Measure values whose range is known only from themselves."""
    found = _measured_on(survey(chunks).grid, chunks)
    low, high = found.visible
    if found.histogram.edges[0] <= low and high <= found.histogram.edges[-1]:
        return found
    return _measured_on(Grid.over(low, high, FINE_BINS), chunks)


def _pattern_counts(portion: Portion, stored: StoredTensor) -> Counts:
    """How often each bit pattern occurs in a portion."""
    counts = np.zeros(pattern_values(stored.dtype).size, np.int64)
    is_compiled = _is_compiled(portion, None)
    for start in portion.entries[::_COUNTED]:
        bits = stored.bits(start, min(start + _COUNTED, portion.entries.stop))
        if is_compiled:
            compiled.count_patterns(bits, counts)
        else:
            (indices,) = scratch((np.intp, bits.size))
            np.copyto(indices, bits)
            counts += np.bincount(indices, minlength=counts.size)
    return counts


def _is_compiled(portion: Portion, grid: Grid | None) -> bool:
    """Whether kernels measure a portion; a process that was not forked loads them first."""
    return portion.compiled and compiled.load() and compiled.fits(portion.parameter, grid)


def _add_compiled(portion: Portion, tally: Tally) -> None:
    """Draw and measure with compiled kernels, except for a last incomplete chunk."""
    parameter = portion.parameter
    whole = range(portion.chunks.start, min(portion.chunks.stop, portion.count // CHUNK))
    done = compiled.measured(parameter, whole, tally.grid, tally.center, tally.counts)
    tally.add_compiled(done, lambda number: draw_chunk(parameter, whole[number]))
    if rest := portion.entries[len(whole) * CHUNK :]:
        tally.add(draw_chunk(parameter, whole.stop)[: len(rest)])


def _add_stored(stored: StoredTensor, entries: range, tally: Tally) -> None:
    """Measure stored values with compiled kernels, except for a last incomplete chunk."""
    for start in entries[::_COUNTED]:
        values = stored.read(start, min(start + _COUNTED, entries.stop))
        whole = values.size - values.size % CHUNK
        chunks = values[:whole].reshape(-1, CHUNK)
        done = compiled.measured_stored(chunks, tally.grid, tally.center, tally.counts)
        tally.add_compiled(done, chunks.__getitem__)
        tally.add(values[whole:])


def _measured_on(grid: Grid, chunks: Iterable[Floats]) -> Measurement:
    return reduce(add, (measure_values(values, grid) for values in chunks))
