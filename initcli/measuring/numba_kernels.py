"""Kernels that Numba compiles: chunks of random numbers, drawn and measured in machine code.

They do what :mod:`initcli.random.variates` and :mod:`initcli.measuring.tally` do with NumPy,
by the same operations in the same order, and the compiler may neither contract nor reorder them
(Numba's ``fastmath`` is off): both give the same bits. Only :mod:`initcli.measuring.numba_code`
imports this module, which needs Numba. Arrays are given to kernels by their addresses, and kernels
allocate and raise nothing, so that their code runs without Numba.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import (  # type: ignore[attr-defined, unused-ignore]
    carray,
    cfunc,
    float32,
    float64,
    int32,
    int64,
    uint32,
    uint64,
    void,
)

from initcli.measuring.kernel_interface import (
    COLUMNS,
    NORMAL,
    SIGNATURES,
    TABLES,
    TOGETHER,
    UNIFORM,
)
from initcli.measuring.numba_instructions import OPTIONS, bits_of, compiled, pointer
from initcli.measuring.numba_random import normal, random_words, seed, shift, truncate, uniform
from initcli.measuring.sums import LANES, ROW
from initcli.sampling.chunks import CHUNK

_ONE, _ZERO = np.float32(1), np.float32(0)
_MAGNITUDE, _INFINITY = np.int32(0x7FFFFFFF), np.int32(0x7F800000)
_BLOCK = 4 * ROW
"""Values that are measured in one go: four rows, so that sums are loaded and stored once."""


def llvm() -> dict[str, tuple[str, str]]:
    """Compile the kernels: by their names, the name of each in LLVM, and its module as a text."""
    letters = {"i": int64, "f": float32, "d": float64}
    made = {}
    for name, arguments in SIGNATURES.items():
        signature = void(*(letters[each] for each in arguments))
        kernel: Any = cfunc(signature, **OPTIONS)(globals()[name])
        made[name] = kernel.native_name, kernel.inspect_llvm()
    return made


def measure(
    kind: Any,
    entropy: Any,
    numbers: Any,
    spares: Any,
    center: Any,
    scale: Any,
    first: Any,
    counts: Any,
    bins: Any,
    chunks: Any,
    scratch: Any,
    sums: Any,
    figures: Any,
) -> None:
    """Draw chunks and measure each; arrays are given by their addresses.

    Args:
        kind: of the distribution.
        entropy: words from which the generators of the chunks are seeded, eight each, in rows up to
            a multiple of :data:`TOGETHER`.
        numbers: four float32 parameters of the distribution: scale and middle of a uniform one, 2
            std and mean of a normal one, both bounds, scale and location of a truncated one.
        spares: further numbers that a truncated chunk draws.
        center: subtracted from the values before they are summed.
        scale: one over the width of a bin.
        first: number of the first bin.
        counts: of the values in each bin, (TABLES, bins), to which those of all chunks are added.
        bins: their number.
        chunks: their number.
        scratch: memory, see :func:`kernel_interface.scratch_words`.
        sums: takes sums of deviations and their squares in lanes, (chunks, 2, LANES).
        figures: takes least value, greatest value and number of zeros, (chunks, 3); the latter is
            −1 for a truncated chunk that needs more spares, which is not counted.
    """
    half = (CHUNK + spares + 1) // 2
    values = carray(pointer(scratch + 8 * COLUMNS), 2 * half, np.float32)
    words = scratch + 8 * (COLUMNS + half)
    given = carray(pointer(numbers), 4, np.float32)
    a, b, c, d = given[0], given[1], given[2], given[3]
    flat = carray(pointer(counts), TABLES * bins, np.int32)
    for start in range(0, chunks, TOGETHER):
        states = carray(pointer(scratch), 4 * TOGETHER, np.uint64)
        pool = carray(pointer(scratch + 8 * 4 * TOGETHER), 4, np.uint32)
        for k in range(TOGETHER):
            seed(carray(pointer(entropy + 32 * (start + k)), 8, np.uint32), pool, states[k:])
        random_words(scratch, words, half)
        for k in range(min(TOGETHER, chunks - start)):
            raw = carray(pointer(words + 8 * half * k), 2 * half, np.uint32)
            enough = True
            _clear(scratch)
            if kind == UNIFORM:
                for i in range(0, CHUNK, _BLOCK):
                    uniform(raw[i : i + _BLOCK], values[:_BLOCK], a, b)
                    _add(values[:_BLOCK], center, scale, first, flat, bins, scratch)
            else:
                if kind == NORMAL:
                    normal(raw, values, a)
                    shift(values, _ONE, b)
                else:
                    normal(raw, values, float32(2))
                    enough = truncate(values[: CHUNK + spares], a, b, scratch)
                    shift(values, c, d)
                if enough:
                    _add_all(values, center, scale, first, flat, bins, scratch)
            _finish(scratch, sums, figures, start + k, enough)


def measure_stored(
    values: Any,
    center: Any,
    scale: Any,
    first: Any,
    counts: Any,
    bins: Any,
    chunks: Any,
    scratch: Any,
    sums: Any,
    figures: Any,
) -> None:
    """Measure chunks of values, as :func:`measure` does.

    The number of zeros of a chunk that is not counted, as not all of its values are finite, is −1.
    """
    flat = carray(pointer(counts), TABLES * bins, np.int32)
    for k in range(chunks):
        chunk = carray(pointer(values + 4 * CHUNK * k), CHUNK, np.float32)
        largest: Any = int32(0)
        for i in range(CHUNK):
            largest = max(largest, bits_of(chunk[i]) & _MAGNITUDE)
        _clear(scratch)
        finite = largest < _INFINITY
        if finite:
            _add_all(chunk, center, scale, first, flat, bins, scratch)
        _finish(scratch, sums, figures, k, finite)


def count_patterns(patterns: Any, size: Any, counts: Any) -> None:
    """Add the numbers of each of the bit patterns of 16-bit values to 64-bit counts."""
    values = carray(pointer(patterns), size, np.uint16)
    of_pattern = carray(pointer(counts), 1 << 16, np.int64)
    for i in range(size):
        of_pattern[values[i]] += 1


@compiled
def _columns(scratch: Any) -> Any:
    """By columns: sums, their squares, least and greatest values, and numbers of zeros."""
    total = carray(pointer(scratch), ROW, np.float64)
    squares = carray(pointer(scratch + 8 * ROW), ROW, np.float64)
    low = carray(pointer(scratch + 16 * ROW), ROW, np.float32)
    high = carray(pointer(scratch + 20 * ROW), ROW, np.float32)
    zeros = carray(pointer(scratch + 24 * ROW), ROW, np.int32)
    return total, squares, low, high, zeros


@compiled
def _clear(scratch: Any) -> None:
    """Begin a chunk."""
    total, squares, low, high, zeros = _columns(scratch)
    for i in range(ROW):
        total[i], squares[i] = 0, 0
        low[i], high[i] = np.inf, -np.inf
        zeros[i] = 0


@compiled
def _add(
    values: Any, center: Any, scale: Any, first: Any, flat: Any, bins: Any, scratch: Any
) -> None:
    """Measure the next values of a chunk, :data:`_BLOCK` of them."""
    total, squares, low, high, zeros = _columns(scratch)
    bin_of = carray(pointer(scratch + 28 * ROW), _BLOCK, np.int32)
    last = float32(bins - 1)
    for i in range(_BLOCK):
        position = np.floor(values[i] * scale) - first
        bin_of[i] = int32(min(max(position, _ZERO), last))
    one, two = values[:ROW], values[ROW : 2 * ROW]
    three, four = values[2 * ROW : 3 * ROW], values[3 * ROW :]
    for i in range(ROW):
        a, b, c, d = one[i], two[i], three[i], four[i]
        low[i] = _less(_less(_less(a, b), _less(c, d)), low[i])
        high[i] = -_less(_less(_less(-a, -b), _less(-c, -d)), -high[i])
        zeros[i] += int32(a == _ZERO) + int32(b == _ZERO) + int32(c == _ZERO) + int32(d == _ZERO)
        e, f, g, h = (
            float64(a) - center,
            float64(b) - center,
            float64(c) - center,
            float64(d) - center,
        )
        total[i] = total[i] + e + f + g + h
        squares[i] = squares[i] + e * e + f * f + g * g + h * h
    # A table each, since a count waits for the last one in its bin.
    for i in range(0, _BLOCK, TABLES):
        for table in range(TABLES):
            flat[uint64(uint32(bin_of[i + table])) + uint64(table * bins)] += 1


@compiled
def _add_all(
    values: Any, center: Any, scale: Any, first: Any, flat: Any, bins: Any, scratch: Any
) -> None:
    """Measure the values of a chunk."""
    for i in range(0, CHUNK, _BLOCK):
        _add(values[i : i + _BLOCK], center, scale, first, flat, bins, scratch)


@compiled
def _less(a: Any, b: Any) -> Any:
    return a if a < b else b


@compiled
def _finish(scratch: Any, sums: Any, figures: Any, chunk: Any, counted: bool) -> None:
    """What was measured of a chunk."""
    total, squares, low, high, zeros = _columns(scratch)
    lanes = carray(pointer(sums + 16 * LANES * chunk), 2 * LANES, np.float64)
    figure = carray(pointer(figures + 24 * chunk), 3, np.float64)
    for i in range(2 * LANES):
        lanes[i] = 0
    least, most, none = low[0], high[0], 0
    for start in range(0, ROW, LANES):
        for i in range(LANES):
            lanes[i] += total[start + i]
            lanes[LANES + i] += squares[start + i]
    for i in range(ROW):
        least, most = _less(low[i], least), -_less(-high[i], -most)
        none += zeros[i]
    figure[0], figure[1], figure[2] = least, most, none if counted else -1
