"""The safetensors format: a length, a JSON header and bytes.

https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from initcli.errors import quoted
from initcli.sources.weights.reader import Contents, WeightsFile, WeightsReader, in_model_order
from initcli.stored import StoredTensor
from initcli.types import TensorDtype

DTYPES: dict[str, TensorDtype] = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E8M0": "float8_e8m0fnu",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
}
"""Dtypes by their names in the format."""

_Offset = Annotated[int, msgspec.Meta(ge=0)]


class _Entry(msgspec.Struct, gc=False):
    """The header's entry of one tensor; offsets count from the end of the header."""

    dtype: str
    shape: list[int]
    data_offsets: tuple[_Offset, _Offset]


class Safetensors(WeightsReader):
    """One file of the format; several files have an index, see :mod:`sharded`."""

    suffixes = (".safetensors",)

    def recognizes(self, file: WeightsFile) -> bool:
        length, begin = file.head[:8], file.head[8:10]
        is_text = all(9 <= byte < 127 for byte in length)
        return begin[:1] == b"{" and begin[1:] in b'"} \n' and not is_text

    def read(self, file: WeightsFile) -> Contents:
        length = int.from_bytes(file.head[:8], "little")
        header = file.header("header", length, 8)
        try:
            texts = msgspec.json.decode(header, type=dict[str, msgspec.Raw])
            texts.pop("__metadata__", None)
            entries = {path: _decode(text) for path, text in texts.items()}
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise file.refused(f"this is not a safetensors file: {error}") from None
        placed = sorted((*entry.data_offsets, path) for path, entry in entries.items())
        _refuse_gaps(file, placed, file.size - 8 - length)
        # The library sorts by dtype and name.
        paths = in_model_order([*entries], (each.dtype for each in entries.values()))
        return Contents(_tensor(file, 8 + length, path, entries[path]) for path in paths)


_decode = msgspec.json.Decoder(_Entry).decode


def _refuse_gaps(file: WeightsFile, placed: Sequence[tuple[int, int, str]], size: int) -> None:
    """Require that the tensors, sorted by start, cover each byte once."""
    end = 0
    for start, stop, path in placed:
        if start > stop:
            raise file.refused(f"{quoted(path)} ends at byte {stop:,}, before it starts")
        if start < end:
            raise file.refused(f"{quoted(path)} overlaps the tensor before it")
        if start > end:
            raise file.refused(f"the bytes from {end:,} to {start:,} belong to no tensor")
        end = stop
    if end > size:
        raise file.cut_short(f"{quoted(placed[-1][-1])} ends", file.size - size + end)
    if end < size:
        raise file.refused(f"the last {size - end:,} bytes belong to no tensor")


def _tensor(file: WeightsFile, begin: int, path: str, entry: _Entry) -> StoredTensor:
    start, stop = entry.data_offsets
    dtype = DTYPES.get(entry.dtype, entry.dtype)
    return file.tensor(path, entry.shape, dtype, begin + start, size=stop - start)
