"""Flax's msgpack files: mappings of names to arrays.

https://flax.readthedocs.io/en/latest/api_reference/flax.serialization.html and
https://github.com/msgpack/msgpack/blob/master/spec.md
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import numpy as np

from initcli.errors import quoted
from initcli.limits import NESTING
from initcli.sources.weights.reader import Contents, WeightsFile, WeightsReader
from initcli.stored import Mapped, StoredTensor
from initcli.types import BYTES, Array

_ARRAY = 1
"""Type of the msgpack extension for an array: shape, dtype and bytes."""
_CHUNKED = "__msgpack_chunked_array__"
"""Key of a mapping that represents an array of more than 1 GiB."""
_STATE = "opt_state"
_LENGTHS = {
    # Byte: bytes of the length that follows, and bytes of the value besides it.
    0xC4: (1, 0),
    0xC5: (2, 0),
    0xC6: (4, 0),
    0xC7: (1, 1),
    0xC8: (2, 1),
    0xC9: (4, 1),
    0xD9: (1, 0),
    0xDA: (2, 0),
    0xDB: (4, 0),
}
_FIXED = {
    0xC0: 0,
    0xC2: 0,
    0xC3: 0,
    0xCA: 4,
    0xCB: 8,
    0xCC: 1,
    0xCD: 2,
    0xCE: 4,
    0xCF: 8,
    0xD0: 1,
    0xD1: 2,
    0xD2: 4,
    0xD3: 8,
    0xD4: 2,
    0xD5: 3,
    0xD6: 5,
    0xD7: 9,
    0xD8: 17,
}
"""Bytes of the values of fixed size."""


class FlaxMsgpack(WeightsReader):
    """A tree of mappings with arrays as leaves, as written by ``flax.serialization.to_bytes``.

    A general reader would load all arrays into memory; this one skips their bytes.
    """

    suffixes = (".msgpack",)

    def recognizes(self, file: WeightsFile) -> bool:
        first, second = file.head[:1] or b"\0", file.head[1:]
        if first[0] in (0xDE, 0xDF):
            second = file.head[3 if first[0] == 0xDE else 5 :]
        elif not 0x81 <= first[0] <= 0x8F:
            return False
        return bool(second) and (0xA0 <= second[0] <= 0xBF or second[0] in (0xD9, 0xDA, 0xDB))

    def read(self, file: WeightsFile) -> Contents:
        walk = _Walk(file)
        tensors = list(walk.tensors((), 0))
        if walk.place != file.size:
            raise file.refused(f"{file.size - walk.place:,} bytes follow the mapping")
        shown = [each for each in tensors if each.path.split("/")[0] != _STATE]
        hidden = len(tensors) - len(shown)
        return Contents(
            shown, [f"not shown: {hidden:,} tensors of the optimizer"] if hidden else ()
        )


class _Array(NamedTuple):
    """An array: the fields of its extension, and the offsets of its bytes."""

    shape: tuple[int, ...]
    dtype: str
    begin: int
    end: int


class _Walk:
    """A walk through the values of a file, each from its first byte to its last."""

    def __init__(self, file: WeightsFile) -> None:
        self.file = file
        self.bytes = file.content
        self.place = 0

    def tensors(self, path: tuple[str, ...], depth: int) -> Iterator[StoredTensor]:
        """The tensors of the value at the place, a mapping or an array; others are skipped."""
        if depth > NESTING:
            raise self.file.refused(f"its mappings nest more than {NESTING} deep")
        code = self.byte()
        count = self.count(code, 0x80, 0xDE)
        if count is None:
            array = self.skip(code, depth)
            if array is not None:
                yield _tensor(self.file, path, array)
            return
        for place in range(count):
            key = self.text()
            if key == _CHUNKED and place == 0:
                yield self.chunked(path, count, depth)
                return
            yield from self.tensors((*path, key), depth + 1)

    def chunked(self, path: tuple[str, ...], count: int, depth: int) -> StoredTensor:
        """A large array; the first key of its mapping has been read."""
        self.skip(self.byte(), depth)
        sizes: list[Any] = []
        parts: list[_Array] = []
        for _ in range(count - 1):
            key = self.text()
            inner = self.count(self.byte(), 0x80, 0xDE) or 0
            for _ in range(inner):
                self.text()
                if key == "shape":
                    sizes.append(self.number())
                elif (array := self.skip(self.byte(), depth)) is not None:
                    parts.append(array)
        name = "/".join(path)
        shape = self.file.checked_shape(name, sizes)
        pieces = [_tensor(self.file, path, part) for part in parts]
        if not pieces or sum(piece.size for piece in pieces) != math.prod(shape):
            raise self.file.refused(f"the parts of {quoted(name)} do not fill its shape")
        if any(piece.storage is None or piece.dtype != pieces[0].dtype for piece in pieces):
            return msgspec.structs.replace(pieces[0], shape=shape, storage=None)
        storages: Any = tuple(piece.storage for piece in pieces)
        return msgspec.structs.replace(pieces[0], shape=shape, storage=Joined(storages))

    def skip(self, code: int, depth: int) -> _Array | None:
        """Skip the value that begins with a code; return it if it is an array."""
        if depth > NESTING:
            raise self.file.refused(f"its lists nest more than {NESTING} deep")
        for first, long, each in ((0x90, 0xDC, 1), (0x80, 0xDE, 2)):
            count = self.count(code, first, long)
            if count is not None:
                for _ in range(count * each):
                    self.skip(self.byte(), depth + 1)
                return None
        if code < 0x80 or code >= 0xE0:
            return None
        if 0xA0 <= code <= 0xBF:
            self.take(code & 31)
        elif code in _FIXED:
            self.take(_FIXED[code])
        elif code in _LENGTHS:
            length, more = _LENGTHS[code]
            size = self.take_number(length)
            if more and self.byte() == _ARRAY:
                return self.array(self.place + size)
            self.take(size)
        else:
            self.require(False)
        return None

    def array(self, end: int) -> _Array:
        """The array in the extension that ends at a place."""
        self.require(self.count(self.byte(), 0x90, 0xDC) == 3)
        axes = self.count(self.byte(), 0x90, 0xDC)
        self.require(axes is not None)
        shape = tuple(self.number() for _ in range(axes or 0))
        dtype = self.text()
        code = self.byte()
        self.require(code in (0xC4, 0xC5, 0xC6))
        size = self.take_number(_LENGTHS[code][0])
        begin = self.place
        self.take(size)
        self.require(self.place == end)
        return _Array(shape, dtype, begin, end)

    def number(self) -> int:
        """A number that is not negative."""
        code = self.byte()
        if code < 0x80:
            return code
        self.require(0xCC <= code <= 0xCF)
        return self.take_number(_FIXED[code])

    def text(self) -> str:
        """A text."""
        code = self.byte()
        self.require(0xA0 <= code <= 0xBF or code in (0xD9, 0xDA, 0xDB))
        size = code & 31 if code <= 0xBF else self.take_number(_LENGTHS[code][0])
        return bytes(self.take(size)).decode("utf-8", "replace")

    def count(self, code: int, first: int, long: int) -> int | None:
        """The number of values of a list or mapping; None if the code begins another value."""
        if first <= code < first + 16:
            return code & 15
        if code in (long, long + 1):
            return self.take_number(2 if code == long else 4)
        return None

    def byte(self) -> int:
        """The next byte."""
        return self.take(1)[0]

    def take_number(self, size: int) -> int:
        """The next bytes as a number."""
        return int.from_bytes(self.take(size), "big")

    def take(self, size: int) -> memoryview:
        """The next bytes."""
        if self.place + size > self.file.size:
            raise self.file.cut_short("a value ends", self.place + size)
        part = self.bytes[self.place : self.place + size]
        self.place += size
        return part

    def require(self, is_met: bool) -> None:
        """Require a condition that every such file meets.

        Raises:
            InvalidSpec: the condition is not met.
        """
        if not is_met:
            raise self.file.refused(f"this is not a Flax file: see byte {self.place:,}")


def _tensor(file: WeightsFile, path: tuple[str, ...], array: _Array) -> StoredTensor:
    name = "/".join(path) or file.path.stem
    shape = file.checked_shape(name, array.shape)
    dtype = next((each for each in BYTES if each == array.dtype), None)
    if dtype is None:
        return StoredTensor(path=name, shape=shape, dtype=array.dtype, storage=None)
    needed = math.prod(shape) * BYTES[dtype]
    if array.end - array.begin != needed:
        size = array.end - array.begin
        raise file.refused(f"{quoted(name)} has {size:,} bytes, but its shape takes {needed:,}")
    return file.tensor(name, shape, dtype, array.begin)


class Joined(msgspec.Struct, frozen=True):
    """Entries in several places, in sequence."""

    parts: tuple[Mapped, ...]

    is_sequential = False

    @property
    def bytes(self) -> int:
        """Bytes of all entries."""
        return sum(part.bytes for part in self.parts)

    def read(self, start: int, stop: int) -> Array:
        """Entries; a copy if they are in several parts."""
        found = []
        for part in self.parts:
            if start < part.size and stop > 0:
                found.append(part.read(max(start, 0), min(stop, part.size)))
            start, stop = start - part.size, stop - part.size
        if not found:
            return self.parts[0].read(0, 0)
        return found[0] if len(found) == 1 else np.concatenate(found)
