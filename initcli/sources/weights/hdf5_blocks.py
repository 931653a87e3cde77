"""Checks of the structure of HDF5 files that the HDF5 library lacks.

The library allocates sizes that a file declares before it compares them with the size of the file,
and does not end on objects of size 0.

https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from initcli.sources.weights.archives import MappedStream

_ATTRIBUTE = 0x0C
_CONTINUATION = 0x10
_STRING, _VARIABLE = 3, 9
"""Classes of datatypes: strings of fixed and of variable length."""
_NAMES, _HEAP = b"HEAP\0\0\0\0", b"GCOL\1\0\0\0"
"""Signatures with versions: of the heap of a group's names, and of a heap of strings."""
_NO_FREE = 1
"""Marks the end of a list of free blocks."""
_MOST_MESSAGES = 1 << 16
"""Maximum number of messages, such as attributes, of an object in the library."""


class Damaged(ValueError):
    """The structure of the file is not that of HDF5."""


class CheckedStream(MappedStream):
    """A part of a mapped file whose blocks are checked when they are read."""

    def readinto(self, buffer: Any) -> int:
        kind = bytes(self._bytes[self._place : self._place + 8])
        if kind == _NAMES:
            _check_names(self._bytes, self._place)
        elif kind == _HEAP:
            for _ in _objects(self._bytes, self._place):
                pass
        return super().readinto(buffer)

    def text(self, address: int, name: str) -> str | None:
        """The string in an attribute of the object at an address.

        None if there is no such attribute, if it is no string, or if attributes are indexed.

        Raises:
            Damaged: the structure of the file is not that of HDF5.
        """
        for kind, message in _messages(self._bytes, address):
            if kind != _ATTRIBUTE:
                continue
            attribute = _Attribute.of(message)
            if attribute is not None and attribute.name == name.encode():
                return attribute.text(self._bytes)
        return None


def _check_names(content: memoryview, address: int) -> None:
    """Require that the names of a group lie within the file, and that their free list ends."""
    size, free, start = (_number(content, address + field, 8) for field in (8, 16, 24))
    names = _part(content, start, size)
    for _ in range(size // 16 + 1):
        if free == _NO_FREE:
            return
        free = _number(names, free, 8)
    raise Damaged("the free list of a group has no end")


class _Attribute(NamedTuple):
    """A message that holds an attribute."""

    name: bytes
    datatype: memoryview
    dataspace: memoryview
    data: memoryview

    @classmethod
    def of(cls, message: memoryview) -> _Attribute | None:
        """The parts of a message; None if they are shared with other messages."""
        version, flags = _number(message, 0, 1), _number(message, 1, 1)
        if version not in (1, 2, 3):
            raise Damaged("the version of an attribute is not known")
        if version > 1 and flags:
            return None
        parts, place = [], 9 if version == 3 else 8
        for size in (_number(message, field, 2) for field in (2, 4, 6)):
            parts.append(_part(message, place, size))
            place += -(-size // 8) * 8 if version == 1 else size
        return cls(bytes(parts[0]).rstrip(b"\0"), parts[1], parts[2], message[place:])

    def text(self, content: memoryview) -> str | None:
        """The string of the attribute; None for anything else."""
        kind, rank = _number(self.datatype, 0, 1) & 15, _number(self.dataspace, 1, 1)
        if rank or kind not in (_STRING, _VARIABLE):
            return None
        if kind == _STRING:
            raw = bytes(_part(self.data, 0, _number(self.datatype, 4, 4))).rstrip(b"\0")
        else:
            size, heap = _number(self.data, 0, 4), _number(self.data, 4, 8)
            objects = dict(_objects(content, heap)) if size else {}
            wanted = _number(self.data, 12, 4)
            raw = bytes(_part(objects.get(wanted, memoryview(b"")), 0, size))
        return raw.decode("utf-8", "replace")


def _messages(content: memoryview, address: int) -> Iterator[tuple[int, memoryview]]:
    """The kind and the bytes of each message of the object at an address."""
    is_new = bytes(_part(content, address, 4)) == b"OHDR"
    if is_new:
        flags = _number(content, address + 5, 1)
        place = address + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        width = 1 << (flags & 3)
        head = 6 if flags & 4 else 4
        blocks = [_part(content, place + width, _number(content, place, width))]
    else:
        head = 8
        blocks = [_part(content, address + 16, _number(content, address + 8, 4))]
    count = 0
    for block in blocks:
        place = 0
        while place + head <= len(block):
            kind = _number(block, place, 1 if is_new else 2)
            size = _number(block, place + (1 if is_new else 2), 2)
            message = _part(block, place + head, size)
            place += head + size
            count += 1
            if count > _MOST_MESSAGES:
                raise Damaged("an object has too many messages")
            if kind == _CONTINUATION:
                more = _part(content, _number(message, 0, 8), _number(message, 8, 8))
                blocks.append(more[4:-4] if is_new else more)
            yield kind, message


def _objects(content: memoryview, address: int) -> Iterator[tuple[int, memoryview]]:
    """The number and the bytes of each object of the global heap at an address."""
    if bytes(_part(content, address, 8)) != _HEAP:
        raise Damaged("the heap of a string is missing")
    collection = _part(content, address, _number(content, address + 8, 8))
    place = 16
    while place + 16 <= len(collection):
        index, size = _number(collection, place, 2), _number(collection, place + 8, 8)
        if index == 0:
            # The rest is free, and its size includes this head.
            if size < 16:
                raise Damaged("a free space has no size")
            _part(collection, place, size)
            return
        yield index, _part(collection, place + 16, size)
        place += 16 + -(-size // 8) * 8


def _number(content: memoryview, place: int, width: int) -> int:
    return int.from_bytes(_part(content, place, width), "little")


def _part(content: memoryview, place: int, size: int) -> memoryview:
    if place + size > len(content):
        raise Damaged("a block of the file ends after its end")
    return content[place : place + size]
