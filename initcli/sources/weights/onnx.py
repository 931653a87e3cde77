"""ONNX: the initializers of a graph.

https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from initcli.errors import quoted
from initcli.sources.weights.reader import Contents, WeightsFile, WeightsReader
from initcli.sources.weights.sharded import beside
from initcli.stored import Held, StoredTensor
from initcli.types import BYTES, NUMPY, Array, TensorDtype

_DTYPES: dict[int, TensorDtype] = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    16: "bfloat16",
    17: "float8_e4m3fn",
    19: "float8_e5m2",
    24: "float8_e8m0fnu",
}
_GRAPH = 7
"""Field of a model."""
_INITIALIZER = 5
"""Field of a graph."""
_DIMS, _DATA_TYPE, _NAME, _RAW, _EXTERNAL = 1, 2, 8, 9, 13
"""Fields of a tensor."""
_NUMBERS: dict[int, TensorDtype] = {4: "float32", 10: "float64"}
"""Fields of packed numbers, and their dtypes."""
_VARINTS = (5, 7, 11)
"""Fields of variable-length integers, including the bits of narrow floats."""
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_VARINT = 10


class Onnx(WeightsReader):
    """The initializers of the main graph, in its file or in files in the same folder.

    The package ``onnx`` is not used, because it loads the whole model into memory.
    """

    suffixes = (".onnx",)

    def recognizes(self, file: WeightsFile) -> bool:
        # The version of the format comes first, then another field of the model.
        head = file.head
        is_next = len(head) > 2 and head[2:3] in b'\x12\x1a"(2:Br'
        return head[:1] == b"\x08" and head[1:2] < b"\x20" and is_next

    def read(self, file: WeightsFile) -> Contents:
        return Contents(_tensors(file))


def _tensors(file: WeightsFile) -> Iterator[StoredTensor]:
    for field, _, start, stop in _fields(file, 0, file.size):
        if field == _GRAPH:
            for inner, kind, begin, end in _fields(file, start, stop):
                if inner == _INITIALIZER and kind == _BYTES:
                    yield _tensor(file, begin, end)


def _fields(file: WeightsFile, place: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """The fields of a message: number, kind, and the range of bytes, or a number twice."""
    while place < end:
        tag, place = _varint(file, place, end)
        field, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, place = _varint(file, place, end)
            yield field, kind, value, value
            continue
        if kind == _BYTES:
            size, place = _varint(file, place, end)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise file.refused(f"this ONNX file is damaged at byte {place:,}")
        if place + size > end:
            raise file.cut_short("a field of this ONNX file ends", place + size)
        yield field, kind, place, place + size
        place += size


def _varint(file: WeightsFile, place: int, end: int) -> tuple[int, int]:
    """A variable-length integer, and the offset after it."""
    value = 0
    for shift in range(_MAX_VARINT):
        if place >= end:
            break
        byte = file.content[place]
        place += 1
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value, place
    raise file.refused(f"this ONNX file is damaged at byte {place:,}")


def _tensor(file: WeightsFile, start: int, stop: int) -> StoredTensor:
    path, code = "", 0
    sizes: list[int] = []
    raw: tuple[int, int] | None = None
    external: dict[str, str] = {}
    parts: list[Array] = []
    for field, kind, begin, end in _fields(file, start, stop):
        if field == _DIMS:
            sizes += [begin] if kind == _VARINT else _varints(file, begin, end).tolist()
        elif field == _DATA_TYPE and kind == _VARINT:
            code = begin
        elif field == _NAME and kind == _BYTES:
            path = _text(file, begin, end)
        elif field == _RAW and kind == _BYTES:
            raw = begin, end
        elif field == _EXTERNAL and kind == _BYTES:
            entry = {each[0]: _text(file, *each[2:]) for each in _fields(file, begin, end)}
            external[entry.get(1, "")] = entry.get(2, "")
        elif field in _NUMBERS and kind == _BYTES and (end - begin) % BYTES[_NUMBERS[field]] == 0:
            parts.append(np.frombuffer(file.content[begin:end], NUMPY[_NUMBERS[field]]))
        elif field in _VARINTS and kind == _BYTES:
            parts.append(_varints(file, begin, end))
    dtype = _DTYPES.get(code, f"onnx_type_{code}")
    if dtype not in NUMPY:
        return file.tensor(path, sizes, dtype)
    if external:
        return _external(file, path, sizes, dtype, external)
    if raw is not None:
        return file.tensor(path, sizes, dtype, raw[0], size=raw[1] - raw[0])
    values = np.concatenate(parts or [np.zeros(0)]).astype(np.dtype(NUMPY[dtype]), copy=False)
    if dtype == "float16":
        values = np.concatenate(parts or [np.zeros(0, int)]).astype(np.uint16).view(np.float16)
    shape = file.checked_shape(path, sizes)
    file.require_size(path, shape, dtype, values.nbytes)
    return StoredTensor(path=path, shape=shape, dtype=dtype, storage=Held(values))


def _external(
    file: WeightsFile, path: str, sizes: list[int], dtype: str, external: dict[str, str]
) -> StoredTensor:
    offset = external.get("offset") or "0"
    if not offset.isdecimal() or len(offset) > 18:
        raise file.refused(f"{quoted(path)} has the offset {quoted(offset)} in another file")
    other = WeightsFile(beside(file, external.get("location", "")))
    return other.tensor(path, sizes, dtype, int(offset))


def _text(file: WeightsFile, begin: int, end: int) -> str:
    return bytes(file.header("name", end - begin, begin)).decode("utf-8", "replace")


def _varints(file: WeightsFile, begin: int, end: int) -> Array:
    """Consecutive variable-length integers, as int64."""
    content = np.frombuffer(file.content[begin:end], np.uint8)
    last = np.flatnonzero(content < 0x80)
    first = np.concatenate([[0], last[:-1] + 1]) if last.size else last
    lengths = last - first + 1
    if (content.size and not last.size) or (last.size and last[-1] + 1 != content.size):
        raise file.refused(f"this ONNX file is damaged at byte {end:,}")
    if lengths.size and lengths.max() > _MAX_VARINT:
        raise file.refused(f"this ONNX file is damaged at byte {begin:,}")
    values = np.zeros(last.size, np.uint64)
    for group in range(int(lengths.max(initial=0))):
        has_group = lengths > group
        bits = (content[first[has_group] + group] & 0x7F).astype(np.uint64)
        values[has_group] |= bits << np.uint64(7 * group)
    return values.view(np.int64)
