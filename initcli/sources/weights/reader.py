"""The base class of readers of weights, and the files that they read."""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Iterable, Sequence
from functools import cached_property
from itertools import repeat
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from initcli.errors import InvalidSpec, printable, quoted
from initcli.limits import in_force, remedy
from initcli.sources.reader import system_errors, unreadable
from initcli.stored import Mapped, StoredTensor, Strided, mapped
from initcli.types import BYTES, NUMPY, Size, shape_text

_HEAD_BYTES = 4096
_MAX_AXES = 64
"""Maximum number of axes of a tensor, as in NumPy."""
_MAX_PATH = 1_000
"""Maximum number of characters of a tensor's name."""
_MAX_SIZE = 2**60
"""Maximum number of entries of a tensor."""


class Contents(NamedTuple):
    """The contents of a file: tensors, and notes for the user.

    ``has_model`` is whether the file also has the model of the tensors.
    """

    tensors: Iterable[StoredTensor]
    notes: Iterable[str] = ()
    has_model: bool = False


def without_optimizer(
    tensors: Sequence[StoredTensor], *groups: str, has_model: bool = False
) -> Contents:
    """The contents of a file without the state of an optimizer, which is in ``groups``."""
    shown = [each for each in tensors if each.path.split("/")[0] not in groups]
    hidden = len(tensors) - len(shown)
    notes = [f"not shown: {hidden:,} tensors of the optimizer"] if hidden else []
    return Contents(shown, notes, has_model)


class WeightsReader:
    """A format of files of weights.

    A reader is one class in its own file in ``sources/weights``; nothing else registers it. It
    reads where tensors are, but not their values, and executes nothing.
    """

    suffixes: ClassVar[tuple[str, ...]] = ()
    """File name suffixes of the format."""
    may_have_model: ClassVar[bool] = False
    """Whether files of the format can also have the model of the tensors."""

    def recognizes(self, file: WeightsFile) -> bool:
        """Whether the file has this format; ``file.head`` are its first bytes."""
        raise NotImplementedError

    def read(self, file: WeightsFile) -> Contents:
        """The tensors of the file.

        Raises:
            InvalidSpec: the file is damaged, or exceeds a limit.
        """
        raise NotImplementedError


class WeightsFile:
    """A file that may have weights."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path)
        with system_errors(self.name):
            with path.open("rb") as stream:
                self.head = stream.read(_HEAD_BYTES)
            self.size = path.stat().st_size

    @cached_property
    def content(self) -> memoryview:
        """All bytes, mapped."""
        with system_errors(self.name):
            return mapped(self.name) if self.size else memoryview(b"")

    def refused(self, message: str, remedy: str = "") -> InvalidSpec:
        """The error for a file that cannot be read."""
        return unreadable(self.name, message, remedy)

    def header(self, what: str, size: int, offset: int = 0) -> memoryview:
        """The bytes of a header.

        Raises:
            InvalidSpec: it exceeds the limit or the size of the file.
        """
        if size > (allowed := in_force().header_bytes):
            message = f"its {what} would have {size:,} bytes, but {allowed:,} are allowed"
            raise self.refused(message, remedy("header_bytes", size))
        if offset + size > self.size:
            raise self.cut_short(f"its {what} ends", offset + size)
        return self.content[offset : offset + size]

    def cut_short(self, what: str, end: int) -> InvalidSpec:
        """The error for a file that ends too early."""
        return self.refused(
            f"{what} at byte {end:,}, but the file has {self.size:,} bytes",
            "the file is incomplete: download or save it again",
        )

    def checked_shape(self, path: str, sizes: Iterable[Any]) -> Size:
        """The shape of a tensor.

        Raises:
            InvalidSpec: it cannot be the shape of a tensor.
        """
        shape = tuple(sizes)
        if len(shape) > _MAX_AXES or not all(type(each) is int and each >= 0 for each in shape):
            raise self.refused(f"{quoted(path)} has the shape {quoted(shape)}")
        if math.prod(shape) > _MAX_SIZE:
            raise self.refused(f"{quoted(path)} has the shape {quoted(shape)}, which is too large")
        return shape

    def tensor(
        self,
        path: str,
        sizes: Iterable[Any],
        dtype: str,
        offset: int = 0,
        *,
        size: int | None = None,
        big_endian: bool = False,
        strides: Size | None = None,
    ) -> StoredTensor:
        """A tensor whose entries begin at byte ``offset`` of the file.

        Args:
            path: its name.
            sizes: its shape.
            dtype: its dtype; a tensor with an unknown one has no values.
            offset: the offset of its first entry.
            size: the number of bytes of its entries, if the file declares it.
            big_endian: whether entries have the byte order of big-endian machines.
            strides: strides that count entries; by default entries are contiguous.

        Raises:
            InvalidSpec: the shape is invalid, takes another number of bytes, or the entries are
                not within the file.
        """
        shape = self.checked_shape(path, sizes)
        if dtype not in NUMPY:
            return StoredTensor(path=path, shape=shape, dtype=dtype, storage=None)
        if size is not None:
            self.require_size(path, shape, dtype, size)
        reach = math.prod(shape) if strides is None else reach_of(shape, strides)
        numpy = NUMPY[dtype].replace("<", ">") if big_endian else NUMPY[dtype]
        base = Mapped(self.name, offset, numpy, reach)
        if offset < 0 or offset + base.bytes > self.size:
            raise self.cut_short(f"{quoted(path)} ends", offset + base.bytes)
        storage = base if strides is None else Strided(base, shape, strides)
        return StoredTensor(path=path, shape=shape, dtype=dtype, storage=storage)

    def require_size(self, path: str, shape: Size, dtype: str, size: int) -> None:
        """Require that the entries of a tensor have that many bytes.

        Raises:
            InvalidSpec: the shape takes another number of bytes.
        """
        needed = math.prod(shape) * BYTES[dtype]
        if size != needed:
            raise self.refused(
                f"{quoted(path)} has {size:,} bytes, and its shape {shape_text(shape)} in "
                f"{dtype} takes {needed:,}"
            )


def reach_of(shape: Size, strides: Size) -> int:
    """The number of entries from the first to the last of a tensor with strides."""
    if not math.prod(shape):
        return 0
    return 1 + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))


def dtype_name(dtype: np.dtype[Any]) -> str:
    """The name of a NumPy dtype; raw 16 bits are bfloat16, which NumPy lacks."""
    return "bfloat16" if dtype.name == "void16" else dtype.name


def checked(file: WeightsFile, contents: Contents) -> Contents:
    """The contents of a file, within limits and with each path once.

    Raises:
        InvalidSpec: there are too many tensors, or a path is too long or occurs twice.
    """
    allowed = in_force().tensors
    tensors: dict[str, StoredTensor] = {}
    for tensor in contents.tensors:
        if len(tensors) == allowed:
            message = f"this file has more than {allowed:,} tensors"
            raise file.refused(message, remedy("tensors"))
        if tensor.path in tensors:
            raise file.refused(f"two tensors have the name {quoted(tensor.path)}")
        if len(tensor.path) > _MAX_PATH:
            message = f"a tensor's name has {len(tensor.path):,} characters"
            raise file.refused(f"{message}, but {_MAX_PATH:,} are allowed")
        tensors[tensor.path] = tensor
    notes = tuple(map(printable, contents.notes))
    return Contents(tuple(tensors.values()), notes, contents.has_model)


def in_model_order(paths: Sequence[str], groups: Iterable[Hashable] = repeat("")) -> Sequence[str]:
    """Paths in the order of a file or, if that is alphabetical, with ``h.2`` before ``h.10``.

    Args:
        paths: the names of tensors.
        groups: for each tensor, the key by which the file is sorted before the name, such as its
            dtype.
    """
    last: dict[Hashable, str] = {}
    for path, group in zip(paths, groups, strict=False):
        if path < last.get(group, ""):
            return paths
        last[group] = path
    return sorted(paths, key=natural_order)


def natural_order(path: str) -> tuple[str | int, ...]:
    """A key that sorts ``h.2`` before ``h.10``."""
    return tuple(int(part) if place % 2 else part for place, part in enumerate(_NUMBER.split(path)))


_NUMBER = re.compile(r"(\d{1,18})", re.ASCII)
