"""Stored values: the tensors of a file of weights, read part by part.

A tensor holds the place and encoding of its values, which are read only on request. It can be
pickled, so that other processes read their parts themselves.
"""

from __future__ import annotations

import math
import os
from functools import cache, lru_cache
from typing import Any, Literal, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from initcli.types import BYTES, Array, Size

Bits = NDArray[np.unsignedinteger[Any]]


class Storage(Protocol):
    """The place of the entries of a tensor, in row order."""

    @property
    def is_sequential(self) -> bool:
        """Whether a part can be read only after all parts before it."""
        ...

    @property
    def bytes(self) -> int:
        """Bytes that the values take in the file."""
        ...

    def read(self, start: int, stop: int) -> Array:
        """Entries from ``start`` to before ``stop``; as bits if NumPy lacks the dtype."""
        ...


class StoredTensor(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One tensor of a file of weights.

    ``path`` is its name in the file. ``dtype`` is that of its entries, or the name of the blocks in
    which they are packed, such as ``q4_0``. ``storage`` is None if the entries cannot be read
    because the dtype is unknown. ``alias_of`` is the path of an earlier tensor with the same bytes
    in the same file. ``layer`` is the name of its layer, if the file stores it separately.
    """

    path: str
    shape: Size
    dtype: str
    storage: Storage | None
    alias_of: str | None = None
    origin: Literal["stored", "live"] = "stored"
    layer: str | None = None

    @property
    def size(self) -> int:
        """The number of entries."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Bytes of all entries in the file."""
        return self.storage.bytes if self.storage is not None else 0

    @property
    def is_sequential(self) -> bool:
        """Whether a part can be read only after all parts before it."""
        return self.storage is not None and self.storage.is_sequential

    @property
    def has_patterns(self) -> bool:
        """Whether the entries have at most 16 bits, so that their bit patterns can be counted."""
        return self.dtype in _PATTERNS

    def bits(self, start: int, stop: int) -> Bits:
        """The bit patterns of entries, if :attr:`has_patterns`; a view if they are mapped."""
        return self._bits(self.entries(start, stop))

    def entries(self, start: int, stop: int) -> Array:
        """Entries in row order, as :attr:`storage` returns them."""
        assert self.storage is not None
        return self.storage.read(start, stop)

    def values(self, entries: Array) -> Array:
        """The values of entries as float32, or as float64 for wider dtypes."""
        if self.has_patterns:
            return pattern_values(self.dtype)[self._bits(entries)]
        narrow = entries.dtype in (np.float16, np.float32) or entries.dtype.itemsize < 4
        return entries.astype(np.float32 if narrow else np.float64, copy=False)

    def read(self, start: int, stop: int) -> Array:
        """The values of entries, in row order, see :meth:`values`."""
        return self.values(self.entries(start, stop))

    def _bits(self, entries: Array) -> Bits:
        width = BYTES[self.dtype]
        return np.ascontiguousarray(entries).view(np.uint8 if width == 1 else np.uint16)


class Mapped(msgspec.Struct, frozen=True, gc=False):
    """Contiguous entries in a file, of a NumPy dtype such as ``<f4``."""

    file: str
    offset: int
    dtype: str
    size: int

    is_sequential = False

    @property
    def bytes(self) -> int:
        """Bytes of all entries."""
        return self.size * np.dtype(self.dtype).itemsize

    def read(self, start: int, stop: int) -> Array:
        """Entries as a view of the mapped file, in the byte order of this machine."""
        dtype = np.dtype(self.dtype)
        first = self.offset + start * dtype.itemsize
        part = mapped(self.file)[first : first + (stop - start) * dtype.itemsize]
        return np.frombuffer(part, dtype).astype(dtype.newbyteorder("="), copy=False)


class Strided(msgspec.Struct, frozen=True):
    """Entries of a view of ``base`` that starts at its first entry; strides count entries."""

    base: Mapped
    shape: Size
    strides: tuple[int, ...]

    is_sequential = False

    @property
    def bytes(self) -> int:
        """Bytes of all entries; repeated entries count each time."""
        return math.prod(self.shape) * np.dtype(self.base.dtype).itemsize

    def read(self, start: int, stop: int) -> Array:
        """A copy of entries."""
        indices = np.unravel_index(np.arange(start, stop), self.shape)
        places = np.zeros(stop - start, np.intp)
        for index, stride in zip(indices, self.strides, strict=True):
            places += index * stride
        entries: Array = self.base.read(0, self.base.size)[places]
        return entries


class Held(msgspec.Struct, frozen=True):
    """Entries in memory."""

    values: Array

    is_sequential = False

    @property
    def bytes(self) -> int:
        """Bytes of all entries."""
        return int(self.values.nbytes)

    def read(self, start: int, stop: int) -> Array:
        """A view of entries."""
        return self.values[start:stop]


class Joined(msgspec.Struct, frozen=True):
    """Entries in several places in sequence; ``names`` are those of the tensors that hold them."""

    parts: tuple[Storage, ...]
    sizes: tuple[int, ...]
    names: tuple[str, ...] = ()

    @property
    def is_sequential(self) -> bool:
        """Whether a part can be read only after all parts before it."""
        return any(part.is_sequential for part in self.parts)

    @property
    def bytes(self) -> int:
        """Bytes of all entries."""
        return sum(part.bytes for part in self.parts)

    def read(self, start: int, stop: int) -> Array:
        """A copy of entries, or a view if one part has them all."""
        pieces: list[Array] = []
        for part, size in zip(self.parts, self.sizes, strict=True):
            if start < size and stop > 0:
                pieces.append(part.read(max(start, 0), min(stop, size)))
            start, stop = start - size, stop - size
        if not pieces:
            return self.parts[0].read(0, 0)
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


class Part(msgspec.Struct, frozen=True):
    """A range of entries of a tensor."""

    whole: Storage
    start: int
    size: int
    bytes: int

    @property
    def is_sequential(self) -> bool:
        """Whether a part can be read only after all parts before it."""
        return self.whole.is_sequential

    def read(self, start: int, stop: int) -> Array:
        """Entries, as the whole tensor returns them."""
        return self.whole.read(self.start + start, self.start + stop)


def mapped(file: str) -> memoryview:
    """The bytes of a file, mapped into memory for reading."""
    return _mapped(file, version(file))


def version(file: str) -> tuple[int, ...]:
    """A value that changes when a file is replaced or written to."""
    status = os.stat(file)  # noqa: PTH116  # quicker than with a Path
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


@lru_cache(maxsize=64)
def _mapped(file: str, _: tuple[int, ...]) -> memoryview:
    return np.memmap(file, np.uint8, "r").data


@cache
def pattern_values(dtype: str) -> NDArray[np.float32]:
    """The value of each bit pattern of a dtype of at most 16 bits."""
    values: NDArray[np.float32] = _PATTERNS[dtype]().astype(np.float32)
    return values


@cache
def pattern_order(dtype: str) -> NDArray[np.intp]:
    """The bit patterns in the order of their values, NaNs last."""
    return np.argsort(pattern_values(dtype), kind="stable")


def _eight_bits(exponent_bits: int, has_infinities: bool) -> Array:
    """The values of a float of 8 bits: a sign, an exponent and a fraction.

    Without infinities only the patterns of all ones are NaN (Micikevicius et al. 2022,
    arXiv:2209.05433).
    """
    bits = np.arange(256)
    digits = 7 - exponent_bits
    exponent, fraction = (bits & 0x7F) >> digits, bits & ((1 << digits) - 1)
    bias = (1 << (exponent_bits - 1)) - 1
    whole = np.where(exponent > 0, 1 << digits, 0) + fraction
    values = np.ldexp(whole.astype(float), np.maximum(exponent, 1) - bias - digits)
    if has_infinities:
        top = exponent == (1 << exponent_bits) - 1
        values[top] = np.where(fraction[top] == 0, np.inf, np.nan)
    else:
        values[(bits & 0x7F) == 0x7F] = np.nan
    return np.where(bits >= 128, -values, values)


def _exponents() -> Array:
    """The powers of two of float8_e8m0fnu, whose last pattern is NaN."""
    return np.append(np.ldexp(1.0, np.arange(255) - 127), np.nan)


_PATTERNS: dict[str, Any] = {
    "float16": lambda: np.arange(1 << 16, dtype=np.uint16).view(np.float16),
    "bfloat16": lambda: (np.arange(1 << 16, dtype=np.uint32) << 16).view(np.float32),
    "float8_e4m3fn": lambda: _eight_bits(4, False),
    "float8_e5m2": lambda: _eight_bits(5, True),
    "float8_e8m0fnu": _exponents,
    "int8": lambda: np.arange(256, dtype=np.uint8).view(np.int8),
    "uint8": lambda: np.arange(256),
    "bool": lambda: np.arange(256) != 0,
    "int16": lambda: np.arange(1 << 16, dtype=np.uint16).view(np.int16),
    "uint16": lambda: np.arange(1 << 16),
}
"""The values of the bit patterns of each narrow dtype."""
