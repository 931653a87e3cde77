"""Compiled kernels: chunks of random numbers, drawn and measured in machine code.

They do what :mod:`initcli.random.variates` and :mod:`initcli.measuring.tally` do with NumPy,
by the same operations in the same order, and the compiler may neither contract nor reorder them
(Numba's ``fastmath`` is off): both give the same bits. Only :mod:`initcli.measuring.compiled`
imports this module, which needs Numba.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from llvmlite import ir
from numba import float32, float64, int32, njit, uint32, uint64
from numba.extending import intrinsic

from initcli.measuring.sums import LANES, ROW
from initcli.random import variates
from initcli.sampling.chunks import CHUNK

UNIFORM, NORMAL, TRUNCATED = range(3)
"""Kinds of distributions."""
TOGETHER = 4
"""Generators that take their steps side by side, since a step waits for the last one."""
TABLES = 4
"""Tables of counts that are filled by turns."""

_ONE, _HALF = np.float32(1), np.float32(0.5)
_SIN = tuple(np.float32(c) for c in variates.SIN)
_LOGARITHM = tuple(np.float32(-4 * c) for c in variates.ATANH)
_ANGLE, _LOG = np.float32(variates.ANGLE), np.float32(variates.LOG)
_SMALL = np.uint32(variates.SMALL)
_MANTISSA, _ROOT_HALF = np.int32(variates.MANTISSA), np.int32(variates.ROOT_HALF)
_ROOT_HALF_OF_2_31 = np.int32(variates.ROOT_HALF_OF_2_31 + 1)
_MAGNITUDE, _INFINITY = np.int32(0x7FFFFFFF), np.int32(0x7F800000)

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _compiled(function: _Function) -> _Function:
    """Compile a function when it is first called, and keep the code in a file."""
    options: Any = {"nogil": True, "error_model": "numpy", "cache": True}
    compiled: _Function = njit(**options)(function)  # type: ignore[assignment, unused-ignore]
    return compiled


def _intrinsic(function: Callable[..., Any]) -> Any:
    return intrinsic(function)


@_intrinsic
def _bits(context: Any, value: Any) -> Any:
    """The bits of a float32."""

    def cast(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.bitcast(values[0], ir.IntType(32))

    return int32(float32), cast


@_intrinsic
def _float(context: Any, bits: Any) -> Any:
    """The float32 of those bits."""

    def cast(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.bitcast(values[0], ir.FloatType())

    return float32(int32), cast


@_compiled
def measure(
    kind: int,
    entropy: Any,
    numbers: Any,
    spares: int,
    center: float,
    scale: Any,
    first: Any,
    counts: Any,
    chunks: int,
) -> Any:
    """Draw chunks and measure each.

    Args:
        kind: of the distribution.
        entropy: words from which the generators of the chunks are seeded, eight each, in rows up to
            a multiple of :data:`TOGETHER`.
        numbers: float32 parameters of the distribution: scale and middle of a uniform one, 2 std
            and mean of a normal one, both bounds, scale and location of a truncated one.
        spares: further numbers that a truncated chunk draws.
        center: subtracted from the values before they are summed.
        scale: one over the width of a bin.
        first: number of the first bin.
        counts: of the values in each bin, (tables, bins), to which those of all chunks are added.
        chunks: their number.

    Returns:
        Sums of deviations and their squares in lanes, (chunks, 2, LANES), and least value,
        greatest value and number of zeros, (chunks, 3); the latter is −1 for a truncated chunk that
        needs more spares, which is not counted.
    """
    sums, figures = np.empty((chunks, 2, LANES)), np.empty((chunks, 3))
    states = np.empty((TOGETHER, 4), np.uint64)
    size = CHUNK + spares
    words = np.empty((TOGETHER, (size + 1) // 2), np.uint64)
    values = np.empty(size + size % 2, np.float32)
    for start in range(0, chunks, TOGETHER):
        for k in range(TOGETHER):
            seed(entropy[start + k], states[k])
        random_words(states, words)
        for k in range(min(TOGETHER, chunks - start)):
            raw = words[k].view(np.uint32)
            enough = True
            if kind == UNIFORM:
                uniform(raw, values, numbers[0], numbers[1])
            elif kind == NORMAL:
                normal(raw, values, numbers[0])
                if numbers[1] != 0:
                    shift(values, _ONE, numbers[1])
            else:
                normal(raw, values, float32(2))
                enough = truncate(values[:size], numbers[0], numbers[1])
                shift(values, numbers[2], numbers[3])
            row = figures[start + k]
            if enough:
                _add(values[:CHUNK], center, scale, first, counts, sums[start + k], row)
            else:
                row[2] = -1
    return sums, figures


@_compiled
def measure_stored(chunks: Any, center: float, scale: Any, first: Any, counts: Any) -> Any:
    """Measure chunks of values, the rows of an array, as :func:`measure` does.

    The number of zeros of a chunk that is not counted, as not all of its values are finite, is −1.
    """
    sums, figures = np.empty((len(chunks), 2, LANES)), np.empty((len(chunks), 3))
    for k in range(len(chunks)):
        largest: Any = int32(0)
        for i in range(CHUNK):
            largest = max(largest, _bits(chunks[k, i]) & _MAGNITUDE)
        if largest < _INFINITY:
            _add(chunks[k], center, scale, first, counts, sums[k], figures[k])
        else:
            figures[k, 2] = -1
    return sums, figures


@_compiled
def seed(entropy: Any, state: Any) -> None:
    """The state of ``SFC64(SeedSequence(n))``, of an n with those eight words, the lowest first.

    NumPy keeps the algorithm of ``SeedSequence`` stable (O'Neill 2015, Developing a seed_seq
    alternative); SFC64 then takes twelve steps.
    """
    size = entropy.size
    while size > 4 and entropy[size - 1] == 0:
        size -= 1
    pool, key = np.empty(4, np.uint32), uint32(0x43B0D7E5)
    for i in range(4):
        pool[i], key = _hashed(entropy[i], key, uint32(0x931E8875))
    for source in range(size):
        for i in range(4):
            if i != source:
                word = pool[source] if source < 4 else entropy[source]
                word, key = _hashed(word, key, uint32(0x931E8875))
                mixed = uint32(pool[i] * uint32(0xCA01F9DD)) - uint32(word * uint32(0x4973F715))
                pool[i] = uint32(mixed) ^ (uint32(mixed) >> uint32(16))
    key = uint32(0x8B51F9DD)
    for i in range(3):
        low, key = _hashed(pool[2 * i % 4], key, uint32(0x58F38DED))
        high, key = _hashed(pool[(2 * i + 1) % 4], key, uint32(0x58F38DED))
        state[i] = uint64(low) | (uint64(high) << uint64(32))
    state[3] = uint64(1)
    for _ in range(12):
        _, state[0], state[1], state[2], state[3] = _step(state[0], state[1], state[2], state[3])


@_compiled
def _hashed(word: Any, key: Any, factor: Any) -> Any:
    """A word, hashed with a key, and the next key."""
    next_key = uint32(key * factor)
    word = uint32((word ^ key) * next_key)
    return word ^ (word >> uint32(16)), next_key


@_compiled
def random_words(states: Any, words: Any) -> None:
    """Fill each row of ``words`` from a generator SFC64 (PractRand, Doty-Humphrey 2010)."""
    a0, b0, c0, w0 = states[0]
    a1, b1, c1, w1 = states[1]
    a2, b2, c2, w2 = states[2]
    a3, b3, c3, w3 = states[3]
    for i in range(words.shape[1]):
        words[0, i], a0, b0, c0, w0 = _step(a0, b0, c0, w0)
        words[1, i], a1, b1, c1, w1 = _step(a1, b1, c1, w1)
        words[2, i], a2, b2, c2, w2 = _step(a2, b2, c2, w2)
        words[3, i], a3, b3, c3, w3 = _step(a3, b3, c3, w3)


@_compiled
def _step(a: Any, b: Any, c: Any, w: Any) -> Any:
    """The next word of SFC64, and its next state."""
    word = a + b + w
    turned = (c << uint64(24)) | (c >> uint64(40))
    return word, b ^ (b >> uint64(11)), c + (c << uint64(3)), turned + word, w + uint64(1)


@_compiled
def uniform(words: Any, out: Any, scale: Any, middle: Any) -> None:
    """As :func:`variates.fill_uniform`."""
    for i in range(out.size):
        out[i] = float32(int32(words[i])) * scale + middle


@_compiled
def normal(words: Any, out: Any, scale: Any) -> None:
    """As :func:`variates.fill_normal` with mean 0 and std ``scale`` / 2; see there."""
    half = out.size // 2
    for i in range(half):
        a, b = words[i], words[half + i]
        f = float32(int32(a >> uint32(1))) + _HALF
        if (a >> uint32(1)) < _SMALL:
            f += (float32(int32(b & uint32(127))) - float32(63.5)) / float32(128)
        angle = (float32(int32(b) >> int32(8)) + _HALF) * _ANGLE
        square = angle * angle
        sine = ((square * _SIN[3] + _SIN[2]) * square + _SIN[1]) * square + _SIN[0]
        sine *= angle
        q = _HALF - sine * sine
        p = sine * np.sqrt(q + _HALF)
        bits = int32(_bits(f) - _ROOT_HALF_OF_2_31)
        m = _float(int32((bits & _MANTISSA) + _ROOT_HALF))
        t = (m - _ONE) / (m + _ONE)
        square = t * t
        log = (square * _LOGARITHM[2] + _LOGARITHM[1]) * square + _LOGARITHM[0]
        radius = np.sqrt(float32(bits >> int32(23)) * _LOG + log * t) * scale
        signed = _float(int32(_bits(radius) ^ int32((b << uint32(24)) & uint32(0x80000000))))
        out[i] = p * signed
        out[half + i] = q * signed


@_compiled
def shift(values: Any, scale: Any, location: Any) -> None:
    """Scale the values, then add the location."""
    for i in range(values.size):
        values[i] *= scale
    if location != 0:
        for i in range(values.size):
            values[i] += location


@_compiled
def truncate(values: Any, low: Any, high: Any) -> bool:
    """Replace those of the first values that are out of bounds by the next later one within.

    Returns whether there were enough. Nothing branches on a value, which cannot be predicted.
    """
    outside = np.empty(values.size, np.uint8)
    for i in range(values.size):
        outside[i] = (values[i] < low) | (values[i] > high)
    gaps, count = np.empty(CHUNK, np.uint32), uint64(0)
    for i in range(CHUNK):
        gaps[count] = uint32(i)
        count += outside[i]
    spares, enough = np.empty(values.size - CHUNK, np.float32), uint64(0)
    for i in range(CHUNK, values.size):
        spares[enough] = values[i]
        enough += uint64(1 - outside[i])
    if enough < count:
        return False
    for i in range(count):
        values[gaps[i]] = spares[i]
    return True


@_compiled
def _add(
    values: Any, center: float, scale: Any, first: Any, counts: Any, sums: Any, figures: Any
) -> None:
    """Measure the values of a chunk."""
    bins = counts.shape[1]
    last = float32(bins - 1)
    flat, bin_of = counts.reshape(-1), np.empty(ROW, np.uint32)
    total, squares = np.zeros(ROW), np.zeros(ROW)
    low: Any = _MAGNITUDE
    high: Any = ~_MAGNITUDE
    zeros = 0
    for start in range(0, CHUNK, ROW):
        row = values[start : start + ROW]
        for i in range(ROW):
            deviation = float64(row[i]) - center
            total[i] += deviation
            squares[i] += deviation * deviation
        none: Any = int32(0)
        for i in range(ROW):
            none += int32(row[i] == float32(0))
        zeros += none
        for i in range(ROW):
            ordered = _bits(row[i])
            ordered ^= (ordered >> int32(31)) & _MAGNITUDE
            low, high = min(low, ordered), max(high, ordered)
        for i in range(ROW):
            position = np.floor(row[i] * scale) - first
            bin_of[i] = uint32(int32(min(max(position, float32(0)), last)))
        # A table each, since a count waits for the last one in its bin.
        for i in range(0, ROW, 4):
            flat[uint64(bin_of[i])] += 1
            flat[uint64(bin_of[i + 1]) + uint64(bins)] += 1
            flat[uint64(bin_of[i + 2]) + uint64(2 * bins)] += 1
            flat[uint64(bin_of[i + 3]) + uint64(3 * bins)] += 1
    sums[:] = 0
    for start in range(0, ROW, LANES):
        for i in range(LANES):
            sums[0, i] += total[start + i]
            sums[1, i] += squares[start + i]
    figures[0] = _float(int32(low ^ ((low >> int32(31)) & _MAGNITUDE)))
    figures[1] = _float(int32(high ^ ((high >> int32(31)) & _MAGNITUDE)))
    figures[2] = zeros
