"""HDF5 files as written by Keras: ``.weights.h5``, the old ``.h5``, and inside ``.keras``.

https://keras.io/api/models/model_saving_apis/weights_saving_and_loading
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
import numpy as np

from initcli.errors import InvalidSpec, quoted
from initcli.limits import NESTING, in_force, remedy
from initcli.sources.reader import unreadable
from initcli.sources.weights import archives
from initcli.sources.weights.hdf5_blocks import CheckedStream
from initcli.sources.weights.reader import (
    Contents,
    WeightsFile,
    WeightsReader,
    dtype_name,
    without_optimizer,
)
from initcli.stored import StoredTensor, version
from initcli.types import NUMPY, Array, Size

MAGIC = b"\x89HDF\r\n\x1a\n"
KERAS_MEMBER = "model.weights.h5"
_FILTERS = {1, 2, 3, 32000}
"""Filters that are built into h5py: deflate, shuffle, fletcher32 and lzf."""
_DAMAGES = (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError)
"""Exceptions that h5py raises for a damaged file, whose names may not even be strings."""
_PIECE = 1 << 26
"""Maximum number of entries of a compressed tensor that are unpacked at once."""


class Hdf5(WeightsReader):
    """The datasets of a file; a file of an old model also has its configuration."""

    suffixes = (".weights.h5", ".h5", ".hdf5")
    may_have_model = True

    def recognizes(self, file: WeightsFile) -> bool:
        return file.head.startswith(MAGIC)

    def read(self, file: WeightsFile) -> Contents:
        return _contents(file, 0, file.size)


class KerasArchive(WeightsReader):
    """The weights in a ``.keras`` archive, which also has the model's configuration."""

    suffixes = (".keras",)
    may_have_model = True

    def recognizes(self, file: WeightsFile) -> bool:
        return archives.is_archive(file) and KERAS_MEMBER in archives.members(file)

    def read(self, file: WeightsFile) -> Contents:
        member = archives.members(file)[KERAS_MEMBER]
        if member.offset is None:
            raise file.refused(f"its {KERAS_MEMBER} is compressed, but Keras does not compress it")
        return _contents(file, member.offset, member.size)._replace(has_model=True)


@contextmanager
def opened(file: str, stream: CheckedStream) -> Iterator[Any]:
    """The HDF5 file in a stream of a file.

    Raises:
        InvalidSpec: h5py is not installed, or the parts that are read are damaged.
    """
    try:
        with _open(file, stream) as root:
            yield root
    except InvalidSpec:
        raise
    except _DAMAGES as error:
        raise unreadable(file, f"this HDF5 file cannot be read: {error}") from None


def _open(file: str, stream: CheckedStream) -> Any:
    try:
        import h5py
    except ImportError:
        message = "this is an HDF5 file, and reading it needs h5py"
        raise unreadable(file, message, "pip install 'initcli[hdf5]' installs it") from None
    return h5py.File(stream, "r")


def text(stream: CheckedStream, item: Any, name: str) -> str | None:
    """The string in an attribute of a group or dataset; None if there is none.

    Raises:
        ValueError: the file is damaged.
    """
    import h5py

    return stream.text(h5py.h5o.get_info(item.id).addr, name)


class _Within(NamedTuple):
    """An HDF5 file within a file: its range of bytes and its stream."""

    file: WeightsFile
    offset: int
    size: int
    stream: CheckedStream


def _contents(file: WeightsFile, offset: int, size: int) -> Contents:
    within = _Within(file, offset, size, CheckedStream(file.name, offset, size))
    with opened(file.name, within.stream) as root:
        tensors = list(_datasets(within, root))
        has_model = text(within.stream, root, "model_config") is not None
    return without_optimizer(tensors, "optimizer", "optimizer_weights", has_model=has_model)


def _datasets(within: _Within, root: Any) -> Iterator[StoredTensor]:
    """The datasets of a file, sorted by name; those of a group with several links once."""
    import h5py

    file = within.file
    opened_groups: set[int] = set()
    pending: list[tuple[str, str, Any]] = [("", "", root)]
    while pending:
        path, layer, item = pending.pop()
        if isinstance(item, h5py.Dataset):
            yield _tensor(within, path, layer, item)
            continue
        address = h5py.h5o.get_info(item.id).addr
        if address in opened_groups:
            continue
        opened_groups.add(address)
        if path.count("/") > NESTING or len(opened_groups) > in_force().tensors:
            raise file.refused("its groups are too many or nested too deeply")
        layer = _layer(within, layer, path, item)
        for name in sorted(item, key=_order, reverse=True):
            inner = f"{path}/{name}" if path else name
            link = item.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise file.refused(f"{quoted(inner)} is a soft or external link, which is not read")
            pending.append((inner, layer, item[name]))


def _order(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdecimal() and len(name) < 18 else (-1, name)


def _layer(within: _Within, outer: str, path: str, group: Any) -> str:
    """The names of the layers that a group of a ``.weights.h5`` file belongs to.

    Keras names groups after classes and attributes. The name of a layer is an attribute of its
    group ``vars``.
    """
    name = path.rpartition("/")[2]
    if not path or name in ("layers", "vars"):
        return outer
    variables = group.get("vars")
    own = text(within.stream, variables, "name") if variables is not None else None
    own = name if own is None else own
    return f"{outer}/{own}" if outer else own


def _tensor(within: _Within, path: str, layer: str, dataset: Any) -> StoredTensor:
    file, offset, size, stream = within
    shape = file.checked_shape(path, map(int, dataset.shape or ()))
    dtype = dtype_name(dataset.dtype)
    if dataset.dtype.itemsize == 2 and text(stream, dataset, "dtype") == "bfloat16":
        dtype = "bfloat16"
    plain = StoredTensor(path=path, shape=shape, dtype=dtype, storage=None, layer=layer)
    if dtype not in NUMPY or dataset.shape is None:
        return plain
    if dataset.external or dataset.is_virtual:
        raise file.refused(f"the values of {quoted(path)} are in another file, which is not read")
    begin = dataset.id.get_offset()
    is_big = dataset.dtype.byteorder == ">"
    if dataset.chunks is None and begin is not None:
        found = file.tensor(path, shape, dtype, offset + begin, big_endian=is_big)
        return msgspec.structs.replace(found, layer=layer)
    filters = dataset.id.get_create_plist()
    codes = {filters.get_filter(place)[0] for place in range(filters.get_nfilters())}
    if codes - _FILTERS:
        raise file.refused(
            f"{quoted(path)} is compressed with a filter that is not built into h5py"
        )
    needed = math.prod(shape) * dataset.dtype.itemsize
    if needed > (allowed := in_force().unpacked_bytes):
        message = f"{quoted(path)} unpacks to {needed:,} bytes, but {allowed:,} are allowed"
        raise file.refused(message, remedy("unpacked_bytes", needed))
    if math.prod(shape[1:]) > _PIECE:
        raise file.refused(f"{quoted(path)} has {math.prod(shape[1:]):,} packed values in a row")
    storage = Chunked(file.name, offset, size, path, shape, NUMPY[dtype])
    return msgspec.structs.replace(plain, storage=storage)


class Chunked(msgspec.Struct, frozen=True):
    """Entries of a dataset that is stored in chunks, of an HDF5 file within a file."""

    file: str
    offset: int
    length: int
    path: str
    shape: Size
    dtype: str

    is_sequential = True

    @property
    def bytes(self) -> int:
        """Bytes of all entries, unpacked."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def read(self, start: int, stop: int) -> Array:
        """Entries, which are read by whole rows."""
        dtype = np.dtype(self.dtype)
        if start == stop:
            return np.zeros(0, dtype)
        row = math.prod(self.shape[1:])
        first = start // row
        try:
            root = _file(self.file, self.offset, self.length, version(self.file))
            dataset = root[self.path]
            rows = dataset[first : -(-stop // row)] if self.shape else dataset[()]
        except _DAMAGES as error:
            message = f"{quoted(self.path)} cannot be unpacked: {error}"
            raise unreadable(self.file, message) from None
        entries = np.asarray(rows).reshape(-1)[start - first * row : stop - first * row]
        if entries.dtype.kind == "V":
            entries = entries.view(np.uint16)
        return entries.astype(dtype, copy=False)


@lru_cache(maxsize=4)
def _file(file: str, offset: int, size: int, _: tuple[int, ...]) -> Any:
    return _open(file, CheckedStream(file, offset, size))
