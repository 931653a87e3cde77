"""Quantized blocks of GGUF files, and their dequantization.

A block packs consecutive entries as small integers with scales. The layouts are those of
``ggml-quants.c`` (https://github.com/ggml-org/ggml).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from initcli.stored import Mapped, pattern_values
from initcli.types import Array

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]


class Block(NamedTuple):
    """A kind of block; ``numbers`` dequantizes blocks, which are rows of bytes."""

    name: str
    entries: int
    bytes: int
    numbers: Callable[[Bytes], Floats]


class Blocks(msgspec.Struct, frozen=True):
    """Entries in consecutive blocks."""

    base: Mapped
    kind: int

    is_sequential = False

    @property
    def bytes(self) -> int:
        """Bytes of all blocks."""
        return self.base.size

    def read(self, start: int, stop: int) -> Array:
        """Entries as float32."""
        if start == stop:
            return np.zeros(0, np.float32)
        block = BLOCKS[self.kind]
        first, last = start // block.entries, -(-stop // block.entries)
        rows = self.base.read(first * block.bytes, last * block.bytes).reshape(-1, block.bytes)
        with np.errstate(all="ignore"):  # scales may be infinite or NaN
            numbers = block.numbers(rows).reshape(-1)
        before = first * block.entries
        return numbers[start - before : stop - before]


def _half(rows: Bytes, place: int) -> Floats:
    """The float16 at an offset of each block, as a column."""
    two = np.ascontiguousarray(rows[:, place : place + 2])
    return two.view(np.float16).astype(np.float32)


def _nibbles(rows: Bytes) -> Bytes:
    """The lower halves of all bytes, and then the upper halves."""
    return np.concatenate([rows & 15, rows >> 4], axis=1)


def _bits(rows: Bytes) -> Bytes:
    """Each bit, the lowest of the first byte first."""
    return np.unpackbits(rows, axis=1, bitorder="little")


def _shifted(rows: Bytes, shifts: tuple[int, ...], mask: int, piece: int) -> Bytes:
    """Each ``piece`` bytes, shifted right by each of ``shifts`` in turn and masked."""
    pieces = rows.reshape(len(rows), -1, 1, piece) >> np.array(shifts, np.uint8)[:, None]
    return (pieces & mask).astype(np.uint8, copy=False).reshape(len(rows), -1)


def _scaled(codes: Any, scales: Any, low: Any = 0) -> Floats:
    """Codes times scales minus ``low``, in equal groups, one for each column of the scales."""
    groups = codes.reshape(len(codes), scales.shape[1], -1).astype(np.float32)
    low = low[:, :, None] if isinstance(low, np.ndarray) else low
    result: Floats = scales[:, :, None] * groups - low
    return result


def _q4_0(rows: Bytes) -> Floats:
    return _scaled(_nibbles(rows[:, 2:]).astype(np.int8) - 8, _half(rows, 0))


def _q4_1(rows: Bytes) -> Floats:
    return _scaled(_nibbles(rows[:, 4:]), _half(rows, 0), -_half(rows, 2))


def _q5_0(rows: Bytes) -> Floats:
    codes = _nibbles(rows[:, 6:]) | _bits(rows[:, 2:6]) << 4
    return _scaled(codes.astype(np.int8) - 16, _half(rows, 0))


def _q5_1(rows: Bytes) -> Floats:
    codes = _nibbles(rows[:, 8:]) | _bits(rows[:, 4:8]) << 4
    return _scaled(codes, _half(rows, 0), -_half(rows, 2))


def _q8_0(rows: Bytes) -> Floats:
    return _scaled(np.ascontiguousarray(rows[:, 2:]).view(np.int8), _half(rows, 0))


def _q2_k(rows: Bytes) -> Floats:
    scales = rows[:, :16]
    codes = _shifted(rows[:, 16:80], (0, 2, 4, 6), 3, 32)
    lows = _half(rows, 82) * (scales >> 4)
    return _scaled(codes, _half(rows, 80) * (scales & 15), lows)


def _q3_k(rows: Bytes) -> Floats:
    low = _shifted(rows[:, 32:96], (0, 2, 4, 6), 3, 32)
    # An unset bit means -4.
    high = 1 - _shifted(rows[:, :32], tuple(range(8)), 1, 32)
    packed = rows[:, 96:108]
    scales = np.concatenate([packed[:, :8] & 15, packed[:, :8] >> 4], axis=1)
    scales |= _shifted(packed[:, 8:], (0, 2, 4, 6), 3, 4) << 4
    codes = low.astype(np.int8) - (high << 2).astype(np.int8)
    return _scaled(codes, _half(rows, 108) * (scales.astype(np.float32) - 32))


def _scales_of_six_bits(packed: Bytes) -> tuple[Bytes, Bytes]:
    """The eight scales and the eight minima in twelve bytes."""
    a, b, c = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    scales = np.concatenate([a & 63, (c & 15) | (a >> 6) << 4], axis=1)
    lows = np.concatenate([b & 63, (c >> 4) | (b >> 6) << 4], axis=1)
    return scales, lows


def _q4_k(rows: Bytes) -> Floats:
    scales, lows = _scales_of_six_bits(rows[:, 4:16])
    codes = _shifted(rows[:, 16:], (0, 4), 15, 32)
    return _scaled(codes, _half(rows, 0) * scales, _half(rows, 2) * lows)


def _q5_k(rows: Bytes) -> Floats:
    scales, lows = _scales_of_six_bits(rows[:, 4:16])
    high = _shifted(rows[:, 16:48], tuple(range(8)), 1, 32)
    codes = _shifted(rows[:, 48:], (0, 4), 15, 32) | high << 4
    return _scaled(codes, _half(rows, 0) * scales, _half(rows, 2) * lows)


def _q6_k(rows: Bytes) -> Floats:
    codes = _shifted(rows[:, :128], (0, 4), 15, 64)
    codes |= _shifted(rows[:, 128:192], (0, 2, 4, 6), 3, 32) << 4
    scales = np.ascontiguousarray(rows[:, 192:208]).view(np.int8)
    return _scaled(codes.astype(np.int8) - 32, _half(rows, 208) * scales)


_NONLINEAR = np.array(
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.int8
)
_FOUR_BIT_FLOATS = np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12], np.int8)
"""Twice the values of a float with an exponent of two bits and a fraction of one (E2M1)."""


def _iq4_nl(rows: Bytes) -> Floats:
    return _scaled(_NONLINEAR[_nibbles(rows[:, 2:])], _half(rows, 0))


def _iq4_xs(rows: Bytes) -> Floats:
    high = np.ascontiguousarray(rows[:, 2:4]).view("<u2") >> np.arange(0, 16, 2).astype(np.uint16)
    low = np.stack([rows[:, 4:8] & 15, rows[:, 4:8] >> 4], axis=2).reshape(len(rows), 8)
    scales = (low | (high & 3).astype(np.uint8) << 4).astype(np.float32) - 32
    codes = _NONLINEAR[_shifted(rows[:, 8:], (0, 4), 15, 16)]
    return _scaled(codes, _half(rows, 0) * scales)


def _mxfp4(rows: Bytes) -> Floats:
    scales = pattern_values("float8_e8m0fnu")[rows[:, :1]] / 2
    return _scaled(_FOUR_BIT_FLOATS[_nibbles(rows[:, 1:])], scales)


BLOCKS: dict[int, Block] = {
    2: Block("q4_0", 32, 18, _q4_0),
    3: Block("q4_1", 32, 20, _q4_1),
    6: Block("q5_0", 32, 22, _q5_0),
    7: Block("q5_1", 32, 24, _q5_1),
    8: Block("q8_0", 32, 34, _q8_0),
    10: Block("q2_k", 256, 84, _q2_k),
    11: Block("q3_k", 256, 110, _q3_k),
    12: Block("q4_k", 256, 144, _q4_k),
    13: Block("q5_k", 256, 176, _q5_k),
    14: Block("q6_k", 256, 210, _q6_k),
    20: Block("iq4_nl", 32, 18, _iq4_nl),
    23: Block("iq4_xs", 256, 136, _iq4_xs),
    39: Block("mxfp4", 32, 17, _mxfp4),
}
"""The kinds of blocks by the number of their type in GGUF."""
