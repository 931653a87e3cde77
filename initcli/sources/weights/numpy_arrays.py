"""NumPy's files: ``.npy``, one array, and ``.npz``, an archive of several.

https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from initcli.errors import quoted
from initcli.sources.weights import archives
from initcli.sources.weights.archives import Member, Packed
from initcli.sources.weights.reader import Contents, WeightsFile, WeightsReader
from initcli.stored import NUMPY, StoredTensor
from initcli.types import TensorDtype

_MAGIC = b"\x93NUMPY"
_HEADER_BYTES = 16_384
"""Maximum size of a header, in bytes; NumPy rejects more than 10,000 characters."""
_NAMES: dict[str, TensorDtype] = {
    **{np.dtype(numpy).name: name for name, numpy in NUMPY.items() if np.dtype(numpy).name == name},
    "bool": "bool",
    "void16": "bfloat16",
}
"""Dtypes by NumPy's name. NumPy lacks bfloat16, and saves it as raw 16 bits."""


class Npy(WeightsReader):
    """One array, whose name is that of the file."""

    suffixes = (".npy",)

    def recognizes(self, file: WeightsFile) -> bool:
        return file.head.startswith(_MAGIC)

    def read(self, file: WeightsFile) -> Contents:
        return Contents([_tensor(file, file.path.stem, Member(file.path.name, file.size, 0))])


class Npz(WeightsReader):
    """An archive whose members are arrays."""

    suffixes = (".npz",)

    def recognizes(self, file: WeightsFile) -> bool:
        return archives.is_archive(file) and all(
            name.endswith(".npy") for name in archives.members(file)
        )

    def read(self, file: WeightsFile) -> Contents:
        return Contents(_tensors(file))


def _tensors(file: WeightsFile) -> Iterator[StoredTensor]:
    for name, member in archives.members(file).items():
        yield _tensor(file, name.removesuffix(".npy"), member)


def _tensor(file: WeightsFile, path: str, member: Member) -> StoredTensor:
    head = io.BytesIO(archives.content(file, member, _HEADER_BYTES))
    try:
        version = np.lib.format.read_magic(head)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers that Python 2 wrote
            sizes, is_fortran, numpy = _HEADERS[version](head)
    except Exception:  # a damaged header can raise anything
        raise file.refused(f"the header of {quoted(path)} is not that of a NumPy array") from None
    shape = file.checked_shape(path, sizes)
    dtype = _NAMES.get(numpy.name)
    begin, size = head.tell(), math.prod(shape)
    if dtype is None:
        return StoredTensor(path=path, shape=shape, dtype=numpy.name, storage=None)
    if begin + size * numpy.itemsize > member.size:
        raise file.refused(
            f"{quoted(path)} has {member.size:,} bytes, and its shape takes "
            f"{begin + size * numpy.itemsize:,}"
        )
    is_column_major = is_fortran and len(shape) > 1
    if member.offset is not None:
        strides = None
        if is_column_major:
            strides = tuple(math.prod(shape[:axis]) for axis in range(len(shape)))
        offset = member.offset + begin
        is_big = numpy.byteorder == ">"
        return file.tensor(path, shape, dtype, offset, big_endian=is_big, strides=strides)
    if is_column_major:
        return StoredTensor(path=path, shape=shape, dtype=f"{dtype} by columns", storage=None)
    kind = NUMPY[dtype].replace("<", ">") if numpy.byteorder == ">" else NUMPY[dtype]
    storage = Packed(file.name, member.name, begin, kind, size)
    return StoredTensor(path=path, shape=shape, dtype=dtype, storage=storage)


_HEADERS: dict[tuple[int, int], Any] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
    (3, 0): np.lib.format.read_array_header_2_0,
}
