"""Random numbers in machine code, bit for bit those of :mod:`initcli.random.variates`."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import (  # type: ignore[attr-defined, unused-ignore]
    carray,
    float32,
    int32,
    int64,
    uint32,
    uint64,
    void,
)
from numba.extending import intrinsic

from initcli.measuring.kernel_interface import TOGETHER
from initcli.measuring.numba_instructions import bits_of, compiled, float_of, pointer, root
from initcli.measuring.sums import ROW
from initcli.random import variates
from initcli.sampling.chunks import CHUNK

_ONE, _HALF = np.float32(1), np.float32(0.5)
_SIN = tuple(np.float32(c) for c in variates.SIN)
_LOGARITHM = tuple(np.float32(-4 * c) for c in variates.ATANH)
_ANGLE, _LOG = np.float32(variates.ANGLE), np.float32(variates.LOG)
_SMALL = np.uint32(variates.SMALL)
_MANTISSA, _ROOT_HALF = np.int32(variates.MANTISSA), np.int32(variates.ROOT_HALF)
_ROOT_HALF_OF_2_31 = np.int32(variates.ROOT_HALF_OF_2_31 + 1)


@compiled
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


@compiled
def _hashed(word: Any, key: Any, factor: Any) -> Any:
    """A word, hashed with a key, and the next key."""
    next_key = uint32(key * factor)
    word = uint32((word ^ key) * next_key)
    return word ^ (word >> uint32(16)), next_key


@compiled
def random_words(states: Any, words: Any, count: Any) -> None:
    """Fill rows of ``count`` words, each from a generator SFC64 (PractRand, Doty-Humphrey 2010).

    Their states are columns of ``states``, (4, TOGETHER).
    """
    for i in range(0, count - TOGETHER + 1, TOGETHER):
        _steps(states, words + 8 * i, count)
    most = count - count % TOGETHER
    state = carray(pointer(states), 4 * TOGETHER, np.uint64)
    for k in range(TOGETHER):
        row = carray(pointer(words + 8 * count * k), count, np.uint64)
        a, b, c, w = (
            state[k],
            state[TOGETHER + k],
            state[2 * TOGETHER + k],
            state[3 * TOGETHER + k],
        )
        for i in range(most, count):
            row[i], a, b, c, w = _step(a, b, c, w)


@compiled
def _step(a: Any, b: Any, c: Any, w: Any) -> Any:
    """The next word of SFC64, and its next state."""
    word = a + b + w
    turned = (c << uint64(24)) | (c >> uint64(40))
    return word, b ^ (b >> uint64(11)), c + (c << uint64(3)), turned + word, w + uint64(1)


def _typed_steps(context: Any, states: Any, words: Any, row: Any) -> Any:
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


_steps: Any = intrinsic(_typed_steps)


@compiled
def uniform(words: Any, out: Any, scale: Any, middle: Any) -> None:
    """As :func:`variates.fill_uniform`."""
    for i in range(out.size):
        out[i] = float32(int32(words[i])) * scale + middle


@compiled
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
        p = sine * root(q + _HALF)
        bits = int32(bits_of(f) - _ROOT_HALF_OF_2_31)
        m = float_of(int32((bits & _MANTISSA) + _ROOT_HALF))
        t = (m - _ONE) / (m + _ONE)
        square = t * t
        log = (square * _LOGARITHM[2] + _LOGARITHM[1]) * square + _LOGARITHM[0]
        radius = root(float32(bits >> int32(23)) * _LOG + log * t) * scale
        signed = float_of(int32(bits_of(radius) ^ int32((b << uint32(24)) & uint32(0x80000000))))
        out[i] = p * signed
        out[half + i] = q * signed


@compiled
def shift(values: Any, scale: Any, location: Any) -> None:
    """Scale the values, then add the location."""
    for i in range(values.size):
        values[i] *= scale
    if location != 0:
        for i in range(values.size):
            values[i] += location


@compiled
def truncate(values: Any, low: Any, high: Any, scratch: Any) -> bool:
    """Replace those of the first values that are out of bounds by the next later one within.

    Returns whether there were enough. Nothing branches on a value, which cannot be predicted.
    """
    enough = CHUNK
    for i in range(CHUNK, values.size):
        values[enough] = values[i]
        enough += int64((values[i] >= low) & (values[i] <= high))
    outside = carray(pointer(scratch + 28 * ROW), ROW, np.uint8)
    gaps = carray(pointer(scratch + 32 * ROW), ROW, np.uint32)
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
