"""NumPy files: ``.npy`` with one array, and ``.npz``, an archive of several.

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
from initcli.sources.weights.reader import Contents, WeightsFile, WeightsReader, dtype_name
from initcli.stored import StoredTensor
from initcli.types import NUMPY

_MAGIC = b"\x93NUMPY"
_HEADER_BYTES = 16_384
"""Maximum size of a header, in bytes; NumPy rejects more than 10,000 characters."""


class Npy(WeightsReader):
    """One array, named after the file."""

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
        raise file.refused(f"{quoted(path)} has no valid header of a NumPy array") from None
    shape = file.checked_shape(path, sizes)
    dtype = dtype_name(numpy)
    if dtype not in NUMPY:
        return file.tensor(path, shape, dtype)
    begin, size = head.tell(), math.prod(shape)
    if member.size - begin < size * numpy.itemsize:
        file.require_size(path, shape, dtype, member.size - begin)
    is_big = numpy.byteorder == ">"
    strides = None
    if is_fortran and len(shape) > 1:
        strides = tuple(math.prod(shape[:axis]) for axis in range(len(shape)))
    if member.offset is not None:
        offset = member.offset + begin
        return file.tensor(path, shape, dtype, offset, big_endian=is_big, strides=strides)
    if strides is not None:
        return file.tensor(path, shape, f"{dtype} by columns")
    kind = NUMPY[dtype].replace("<", ">") if is_big else NUMPY[dtype]
    storage = Packed(file.name, member.name, begin, kind, size)
    return StoredTensor(path=path, shape=shape, dtype=dtype, storage=storage)


_HEADERS: dict[tuple[int, int], Any] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
    (3, 0): np.lib.format.read_array_header_2_0,
}
