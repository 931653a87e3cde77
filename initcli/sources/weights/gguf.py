"""GGUF, the format of llama.cpp: tensors as numbers or in quantized blocks.

https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import struct
from typing import NamedTuple

from initcli.errors import quoted
from initcli.limits import in_force, remedy
from initcli.sources.weights.blocks import BLOCKS, Blocks
from initcli.sources.weights.reader import Contents, WeightsFile, WeightsReader
from initcli.stored import Mapped, StoredTensor
from initcli.types import TensorDtype

_MAGIC = b"GGUF"
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Sizes in bytes of values of fixed size, by their type."""
_TEXT, _LIST, _UINT32 = 8, 9, 4
_DTYPES: dict[int, TensorDtype] = {
    0: "float32",
    1: "float16",
    24: "int8",
    25: "int16",
    26: "int32",
    27: "int64",
    28: "float64",
    30: "bfloat16",
}


class Gguf(WeightsReader):
    """GGUF of version 2 or 3, which lists axes in the reverse of NumPy's order.

    The package ``gguf`` is not used, because it dequantizes only whole tensors.
    """

    suffixes = (".gguf",)

    def recognizes(self, file: WeightsFile) -> bool:
        return file.head.startswith(_MAGIC)

    def read(self, file: WeightsFile) -> Contents:
        header = _Header(file)
        version = header.number("<I")
        if version not in (2, 3):
            raise file.refused(
                f"this GGUF file has version {version} in little-endian byte order, but only 2 "
                "and 3 are read"
            )
        tensors, facts = header.number("<Q"), header.number("<Q")
        if tensors > (allowed := in_force().tensors):
            message = f"this file has {tensors:,} tensors, but {allowed:,} are allowed"
            raise file.refused(message, remedy("tensors", tensors))
        alignment = 32
        for _ in range(facts):
            name, kind = header.text(), header.number("<I")
            if name == "general.alignment" and kind == _UINT32:
                alignment = header.number("<I")
            else:
                header.skip(kind)
        placed = [header.entry() for _ in range(tensors)]
        if alignment < 1:
            raise file.refused("the alignment of its tensors is 0")
        begin = -(-header.place // alignment) * alignment
        return Contents([_tensor(file, begin, each) for each in placed])


class _Header:
    """Reads the header of a file value by value."""

    def __init__(self, file: WeightsFile) -> None:
        self.file = file
        self.bytes = file.content
        self.place = len(_MAGIC)

    def number(self, kind: str) -> int:
        """The next number."""
        return int(struct.unpack(kind, self._take(struct.calcsize(kind)))[0])

    def text(self) -> str:
        """The next string."""
        return bytes(self._take(self.number("<Q"))).decode("utf-8", "replace")

    def entry(self) -> _Entry:
        """The next entry of a tensor."""
        path = self.text()
        sizes = [self.number("<Q") for _ in range(self.number("<I"))]
        return _Entry(path, sizes, self.number("<I"), self.number("<Q"))

    def skip(self, kind: int) -> None:
        """Skip a value."""
        if kind == _LIST:
            inner, count = self.number("<I"), self.number("<Q")
            if inner in _SIZES:
                self._take(count * _SIZES[inner])
                return
            if inner != _TEXT:
                raise self.file.refused(f"its header has a list of the unknown type {inner}")
            for _ in range(count):
                self._take(self.number("<Q"))
        elif kind == _TEXT:
            self._take(self.number("<Q"))
        elif kind in _SIZES:
            self._take(_SIZES[kind])
        else:
            raise self.file.refused(f"its header has a value of the unknown type {kind}")

    def _take(self, size: int) -> memoryview:
        allowed = in_force().header_bytes
        if self.place + size > min(self.file.size, allowed):
            self.file.header("header", self.place + size)
        part = self.bytes[self.place : self.place + size]
        self.place += size
        return part


class _Entry(NamedTuple):
    """The header's entry of one tensor."""

    path: str
    sizes: list[int]
    kind: int
    offset: int


def _tensor(file: WeightsFile, begin: int, placed: _Entry) -> StoredTensor:
    shape, offset = file.checked_shape(placed.path, reversed(placed.sizes)), begin + placed.offset
    block = BLOCKS.get(placed.kind)
    if block is None:
        dtype = _DTYPES.get(placed.kind, f"ggml_type_{placed.kind}")
        return file.tensor(placed.path, shape, dtype, offset)
    size = math.prod(shape)
    row = shape[-1] if shape else 1
    if size and row % block.entries:
        raise file.refused(
            f"{quoted(placed.path)} has rows of {row:,} entries, not a multiple of the "
            f"{block.entries} in a block of {block.name}"
        )
    length = size // block.entries * block.bytes
    if offset + length > file.size:
        raise file.cut_short(f"{quoted(placed.path)} ends", offset + length)
    base = Mapped(file.name, offset, "|u1", length)
    storage = Blocks(base, placed.kind)
    return StoredTensor(path=placed.path, shape=shape, dtype=block.name, storage=storage)
