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
from initcli.sources.weights.reader import Contents, WeightsFile, WeightsReader, without_optimizer
from initcli.stored import Joined, StoredTensor

_ARRAY = 1
"""Type of the extension for an array: its shape, dtype and bytes."""
_CHUNKED = "__msgpack_chunked_array__"
"""Key of a mapping that stands for an array of more than 1 GiB."""
_MAPPINGS = (*range(0x80, 0x90), 0xDE, 0xDF)
_TEXTS = (*range(0xA0, 0xC0), 0xD9, 0xDA, 0xDB)
_EXTENSIONS = (*range(0xC7, 0xCA), *range(0xD4, 0xD9))
"""First bytes of the values of a kind."""


class FlaxMsgpack(WeightsReader):
    """A tree of mappings with arrays as leaves, as written by ``flax.serialization.to_bytes``.

    Values are decoded one by one, and arrays are views of the file, because a file can be large.
    """

    suffixes = (".msgpack",)

    def recognizes(self, file: WeightsFile) -> bool:
        first = file.head[0] if file.head else 0
        key = file.head[{0xDE: 3, 0xDF: 5}.get(first, 1) :]
        return first in _MAPPINGS and first != 0x80 and bool(key) and key[0] in _TEXTS

    def read(self, file: WeightsFile) -> Contents:
        try:
            tensors = list(_tensors(file, (), file.content))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise file.refused(f"this is not a Flax file: {error}") from None
        return without_optimizer(tensors, "opt_state")


class _Array(NamedTuple):
    """An array: the fields of its extension."""

    shape: tuple[int, ...]
    dtype: str
    values: memoryview


class _Chunked(msgspec.Struct):
    """The mapping of a large array."""

    shape: dict[str, int]
    chunks: dict[str, msgspec.Raw]


def _array(code: int, data: memoryview) -> _Array | None:
    return _Array(*_fields(data)) if code == _ARRAY else None


_fields = msgspec.msgpack.Decoder(tuple[tuple[int, ...], str, memoryview]).decode
_entries = msgspec.msgpack.Decoder(dict[str, msgspec.Raw]).decode
_leaf = msgspec.msgpack.Decoder(ext_hook=_array).decode
_chunked = msgspec.msgpack.Decoder(_Chunked).decode


def _tensors(file: WeightsFile, path: tuple[str, ...], value: Any) -> Iterator[StoredTensor]:
    """The tensors of a mapping or an array; none of any other value."""
    first = memoryview(value)[0]
    if first in _EXTENSIONS and (array := _leaf(value)) is not None:
        name = "/".join(path) or file.path.stem
        offset = _address(array.values) - _address(file.content)
        size = len(array.values)
        yield file.tensor(name, array.shape, array.dtype, offset, size=size)
    elif first in _MAPPINGS:
        entries = _entries(value)
        if _CHUNKED in entries:
            yield _large(file, path, _chunked(value))
        else:
            for key, each in entries.items():
                yield from _tensors(file, (*path, key), each)


def _large(file: WeightsFile, path: tuple[str, ...], array: _Chunked) -> StoredTensor:
    whole = file.checked_shape("/".join(path), array.shape.values())
    parts = [part for each in array.chunks.values() for part in _tensors(file, path, each)]
    if not parts or sum(part.size for part in parts) != math.prod(whole):
        raise file.refused(f"the parts of {quoted('/'.join(path))} do not fill its shape")
    storages = tuple(part.storage for part in parts if part.storage is not None)
    is_known = len(storages) == len(parts) and len({part.dtype for part in parts}) == 1
    storage = Joined(storages, tuple(part.size for part in parts)) if is_known else None
    return msgspec.structs.replace(parts[0], shape=whole, storage=storage)


def _address(content: memoryview) -> int:
    return int(np.frombuffer(content, np.uint8).ctypes.data)
