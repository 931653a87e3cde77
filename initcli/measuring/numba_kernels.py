"""Kernels that Numba compiles: chunks of random numbers, drawn and measured in machine code.

They do what :mod:`initcli.random.variates` and :mod:`initcli.measuring.tally` do with NumPy,
by the same operations in the same order, and the compiler may neither contract nor reorder them
(Numba's ``fastmath`` is off): both give the same bits. Only :mod:`initcli.measuring.numba_code`
imports this module, which needs Numba. Arrays are given to kernels by their addresses, and kernels
allocate and raise nothing, so that their code runs without Numba.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from llvmlite import ir
from numba import (  # type: ignore[attr-defined, unused-ignore]
    carray,
    cfunc,
    float32,
    float64,
    int32,
    int64,
    njit,
    types,
    uint32,
    uint64,
    void,
)
from numba.extending import intrinsic

from initcli.measuring.kernel_interface import (
    COLUMNS,
    NORMAL,
    SIGNATURES,
    TABLES,
    TOGETHER,
    UNIFORM,
)
from initcli.measuring.sums import LANES, ROW
from initcli.random import variates
from initcli.sampling.chunks import CHUNK

_ONE, _HALF, _ZERO = np.float32(1), np.float32(0.5), np.float32(0)
_SIN = tuple(np.float32(c) for c in variates.SIN)
_LOGARITHM = tuple(np.float32(-4 * c) for c in variates.ATANH)
_ANGLE, _LOG = np.float32(variates.ANGLE), np.float32(variates.LOG)
_SMALL = np.uint32(variates.SMALL)
_MANTISSA, _ROOT_HALF = np.int32(variates.MANTISSA), np.int32(variates.ROOT_HALF)
_ROOT_HALF_OF_2_31 = np.int32(variates.ROOT_HALF_OF_2_31 + 1)
_MAGNITUDE, _INFINITY = np.int32(0x7FFFFFFF), np.int32(0x7F800000)
_BLOCK = 4 * ROW
"""Values that are measured in one go: four rows, so that sums are loaded and stored once."""

_Function = TypeVar("_Function", bound=Callable[..., Any])
_OPTIONS: Any = {"error_model": "numpy"}


def _compiled(function: _Function) -> _Function:
    compiled: _Function = njit(**_OPTIONS)(function)  # type: ignore[assignment, unused-ignore]
    return compiled


def _intrinsic(function: Callable[..., Any]) -> Any:
    return intrinsic(function)


def _instruction(result: Any, argument: Any, emitted: Callable[[Any, Any], Any]) -> Any:
    """A function of one number that is the instruction which a builder emits."""

    def typed(context: Any, value: Any) -> Any:
        return result(argument), lambda context, builder, signature, values: emitted(
            builder, values[0]
        )

    return intrinsic(typed)


def _square_root(builder: Any, x: Any) -> Any:
    return builder.call(builder.module.declare_intrinsic("llvm.sqrt", [ir.FloatType()]), [x])


_bits = _instruction(int32, float32, lambda builder, x: builder.bitcast(x, ir.IntType(32)))
_float = _instruction(float32, int32, lambda builder, x: builder.bitcast(x, ir.FloatType()))
_root = _instruction(float32, float32, _square_root)
"""The square root as an instruction; NumPy's may be a call of a library."""
_pointer = _instruction(
    types.voidptr, int64, lambda builder, x: builder.inttoptr(x, ir.IntType(8).as_pointer())
)


def llvm() -> dict[str, tuple[str, str]]:
    """Compile the kernels: by their names, the name of each in LLVM, and its module as a text."""
    letters = {"i": int64, "f": float32, "d": float64}
    made = {}
    for name, arguments in SIGNATURES.items():
        signature = void(*(letters[each] for each in arguments))
        kernel: Any = cfunc(signature, **_OPTIONS)(globals()[name])
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
    values = carray(_pointer(scratch + 8 * COLUMNS), 2 * half, np.float32)
    words = scratch + 8 * (COLUMNS + half)
    given = carray(_pointer(numbers), 4, np.float32)
    a, b, c, d = given[0], given[1], given[2], given[3]
    flat = carray(_pointer(counts), TABLES * bins, np.int32)
    for start in range(0, chunks, TOGETHER):
        states = carray(_pointer(scratch), 4 * TOGETHER, np.uint64)
        pool = carray(_pointer(scratch + 8 * 4 * TOGETHER), 4, np.uint32)
        for k in range(TOGETHER):
            seed(carray(_pointer(entropy + 32 * (start + k)), 8, np.uint32), pool, states[k:])
        random_words(scratch, words, half)
        for k in range(min(TOGETHER, chunks - start)):
            raw = carray(_pointer(words + 8 * half * k), 2 * half, np.uint32)
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
    flat = carray(_pointer(counts), TABLES * bins, np.int32)
    for k in range(chunks):
        chunk = carray(_pointer(values + 4 * CHUNK * k), CHUNK, np.float32)
        largest: Any = int32(0)
        for i in range(CHUNK):
            largest = max(largest, _bits(chunk[i]) & _MAGNITUDE)
        _clear(scratch)
        finite = largest < _INFINITY
        if finite:
            _add_all(chunk, center, scale, first, flat, bins, scratch)
        _finish(scratch, sums, figures, k, finite)


def count_patterns(patterns: Any, size: Any, counts: Any) -> None:
    """Add the numbers of each of the bit patterns of 16-bit values to 64-bit counts."""
    values = carray(_pointer(patterns), size, np.uint16)
    of_pattern = carray(_pointer(counts), 1 << 16, np.int64)
    for i in range(size):
        of_pattern[values[i]] += 1


@_compiled
def seed(entropy: Any, pool: Any, state: Any) -> None:
    """The state of ``SFC64(SeedSequence(n))``, of an n with those eight words, the lowest first.

    NumPy keeps the algorithm of ``SeedSequence`` stable (O'Neill 2015, Developing a seed_seq
    alternative); SFC64 then takes twelve steps.
    """
    size = entropy.size
    while size > 4 and entropy[size - 1] == 0:
        size -= 1
    key = uint32(0x43B0D7E5)
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
        state[TOGETHER * i] = uint64(low) | (uint64(high) << uint64(32))
    a, b, c, w = state[0], state[TOGETHER], state[2 * TOGETHER], uint64(1)
    for _ in range(12):
        _, a, b, c, w = _step(a, b, c, w)
    state[0], state[TOGETHER], state[2 * TOGETHER], state[3 * TOGETHER] = a, b, c, w


@_compiled
def _hashed(word: Any, key: Any, factor: Any) -> Any:
    """A word, hashed with a key, and the next key."""
    next_key = uint32(key * factor)
    word = uint32((word ^ key) * next_key)
    return word ^ (word >> uint32(16)), next_key


@_compiled
def random_words(states: Any, words: Any, count: Any) -> None:
    """Fill rows of ``count`` words, each from a generator SFC64 (PractRand, Doty-Humphrey 2010).

    Their states are columns of ``states``, (4, TOGETHER).
    """
    for i in range(0, count - TOGETHER + 1, TOGETHER):
        _steps(states, words + 8 * i, count)
    most = count - count % TOGETHER
    state = carray(_pointer(states), 4 * TOGETHER, np.uint64)
    for k in range(TOGETHER):
        row = carray(_pointer(words + 8 * count * k), count, np.uint64)
        a, b, c, w = (
            state[k],
            state[TOGETHER + k],
            state[2 * TOGETHER + k],
            state[3 * TOGETHER + k],
        )
        for i in range(most, count):
            row[i], a, b, c, w = _step(a, b, c, w)


@_compiled
def _step(a: Any, b: Any, c: Any, w: Any) -> Any:
    """The next word of SFC64, and its next state."""
    word = a + b + w
    turned = (c << uint64(24)) | (c >> uint64(40))
    return word, b ^ (b >> uint64(11)), c + (c << uint64(3)), turned + word, w + uint64(1)


@_intrinsic
def _steps(context: Any, states: Any, words: Any, row: Any) -> Any:
    """:data:`TOGETHER` steps of as many generators, side by side in vectors.

    Addresses are those of the states and of the first words to fill; ``row`` is the number of words
    of a generator.
    """
    lanes, long = TOGETHER, ir.IntType(64)
    vector = ir.VectorType(long, lanes)

    def steps(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        def pointers(address: Any, apart: Any) -> list[Any]:
            first = builder.inttoptr(address, long.as_pointer())
            places = (builder.gep(first, [builder.mul(apart, long(k))]) for k in range(lanes))
            return [builder.bitcast(place, vector.as_pointer()) for place in places]

        def constant(number: int) -> Any:
            return vector([number] * lanes)

        kept = pointers(values[0], long(lanes))[:4]
        a, b, c, w = (builder.load(each, align=8) for each in kept)
        rows = []
        for _ in range(lanes):
            word = builder.add(builder.add(a, b), w)
            turned = builder.or_(builder.shl(c, constant(24)), builder.lshr(c, constant(40)))
            a = builder.xor(b, builder.lshr(b, constant(11)))
            b = builder.add(c, builder.shl(c, constant(3)))
            c = builder.add(turned, word)
            w = builder.add(w, constant(1))
            rows.append(word)
        for each, place in zip((a, b, c, w), kept, strict=True):
            builder.store(each, place, align=8)
        # Perfect shuffles turn rows to columns.
        order = np.arange(2 * lanes).reshape(2, lanes).T.reshape(2, lanes)
        masks = [ir.VectorType(ir.IntType(32), lanes)(half.tolist()) for half in order]
        for _ in range(lanes.bit_length() - 1):
            pairs = list(zip(rows[: lanes // 2], rows[lanes // 2 :], strict=True))
            rows = [builder.shuffle_vector(*pair, mask) for pair in pairs for mask in masks]
        for each, place in zip(rows, pointers(values[1], values[2]), strict=True):
            builder.store(each, place, align=8)
        return context.get_dummy_value()

    return void(int64, int64, int64), steps


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
        p = sine * _root(q + _HALF)
        bits = int32(_bits(f) - _ROOT_HALF_OF_2_31)
        m = _float(int32((bits & _MANTISSA) + _ROOT_HALF))
        t = (m - _ONE) / (m + _ONE)
        square = t * t
        log = (square * _LOGARITHM[2] + _LOGARITHM[1]) * square + _LOGARITHM[0]
        radius = _root(float32(bits >> int32(23)) * _LOG + log * t) * scale
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
def truncate(values: Any, low: Any, high: Any, scratch: Any) -> bool:
    """Replace those of the first values that are out of bounds by the next later one within.

    Returns whether there were enough. Nothing branches on a value, which cannot be predicted.
    """
    enough = CHUNK
    for i in range(CHUNK, values.size):
        values[enough] = values[i]
        enough += int64((values[i] >= low) & (values[i] <= high))
    outside = carray(_pointer(scratch + 28 * ROW), ROW, np.uint8)
    gaps = carray(_pointer(scratch + 32 * ROW), ROW, np.uint32)
    spare = CHUNK
    for start in range(0, CHUNK, ROW):
        row = values[start : start + ROW]
        for i in range(ROW):
            outside[i] = (row[i] < low) | (row[i] > high)
        count = 0
        for i in range(ROW):
            gaps[count] = uint32(i)
            count += int64(outside[i])
        if spare + count > enough:
            return False
        for i in range(count):
            row[gaps[i]] = values[spare + i]
        spare += count
    return True


@_compiled
def _columns(scratch: Any) -> Any:
    """By columns: sums, their squares, least and greatest values, and numbers of zeros."""
    total = carray(_pointer(scratch), ROW, np.float64)
    squares = carray(_pointer(scratch + 8 * ROW), ROW, np.float64)
    low = carray(_pointer(scratch + 16 * ROW), ROW, np.float32)
    high = carray(_pointer(scratch + 20 * ROW), ROW, np.float32)
    zeros = carray(_pointer(scratch + 24 * ROW), ROW, np.int32)
    return total, squares, low, high, zeros


@_compiled
def _clear(scratch: Any) -> None:
    """Begin a chunk."""
    total, squares, low, high, zeros = _columns(scratch)
    for i in range(ROW):
        total[i], squares[i] = 0, 0
        low[i], high[i] = np.inf, -np.inf
        zeros[i] = 0


@_compiled
def _add(
    values: Any, center: Any, scale: Any, first: Any, flat: Any, bins: Any, scratch: Any
) -> None:
    """Measure the next values of a chunk, :data:`_BLOCK` of them."""
    total, squares, low, high, zeros = _columns(scratch)
    bin_of = carray(_pointer(scratch + 28 * ROW), _BLOCK, np.int32)
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


@_compiled
def _add_all(
    values: Any, center: Any, scale: Any, first: Any, flat: Any, bins: Any, scratch: Any
) -> None:
    """Measure the values of a chunk."""
    for i in range(0, CHUNK, _BLOCK):
        _add(values[i : i + _BLOCK], center, scale, first, flat, bins, scratch)


@_compiled
def _less(a: Any, b: Any) -> Any:
    return a if a < b else b


@_compiled
def _finish(scratch: Any, sums: Any, figures: Any, chunk: Any, counted: bool) -> None:
    """What was measured of a chunk."""
    total, squares, low, high, zeros = _columns(scratch)
    lanes = carray(_pointer(sums + 16 * LANES * chunk), 2 * LANES, np.float64)
    figure = carray(_pointer(figures + 24 * chunk), 3, np.float64)
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
