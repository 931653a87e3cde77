"""Zip archives of tensors: the offsets of their members, and compressed members."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import IO, Any, NamedTuple

import msgspec
import numpy as np

from initcli.errors import InvalidSpec, quoted
from initcli.limits import in_force, remedy
from initcli.sources.reader import Source, unreadable
from initcli.sources.weights.reader import WeightsFile
from initcli.stored import mapped, version
from initcli.types import Array

DAMAGES = (
    *(zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError),
    *(EOFError, OSError, ValueError),
)
"""Exceptions that zipfile raises for a damaged archive."""
_LEAST_BYTES = 1 << 17
"""Bytes that zipfile reads at once from any file, to find the end of a comment."""
_LOCAL_HEADER = 30


class Member(NamedTuple):
    """A file in an archive; ``offset`` is that of its bytes, None if they are compressed."""

    name: str
    size: int
    offset: int | None


def is_archive(file: WeightsFile) -> bool:
    """Whether a file is a zip archive."""
    return file.head.startswith(b"PK\x03\x04")


def members(file: WeightsFile) -> dict[str, Member]:
    """The files in an archive by name.

    Raises:
        InvalidSpec: the archive is damaged, or exceeds a limit.
    """
    with file.path.open("rb") as stream, opened(file, stream, "header_bytes") as archive:
        infos = archive.infolist()
    found = {}
    unpacked = 0
    for info in infos:
        if info.filename in found:
            raise file.refused(f"two files in this archive have the name {quoted(info.filename)}")
        offset = None
        if info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & 1:
            offset = _begin(file, info)
        else:
            unpacked += info.file_size
        found[info.filename] = Member(info.filename, info.file_size, offset)
    if unpacked > (allowed := in_force().unpacked_bytes):
        message = f"this archive unpacks to {unpacked:,} bytes, but {allowed:,} are allowed"
        raise file.refused(message, remedy("unpacked_bytes", unpacked))
    return found


@contextmanager
def opened(file: WeightsFile | Source, stream: IO[bytes], limit: str) -> Iterator[zipfile.ZipFile]:
    """The archive in a stream.

    Raises:
        InvalidSpec: the archive is damaged, or its list of files exceeds the limit.
    """
    bounded: Any = _Bounded(file, stream, limit)
    try:
        with zipfile.ZipFile(bounded) as archive:
            yield archive
    except InvalidSpec:
        raise
    except DAMAGES as error:
        raise file.refused(f"this archive cannot be read: {error}") from None


def _begin(file: WeightsFile, info: zipfile.ZipInfo) -> int:
    """The offset of the bytes of a member, which follow its header."""
    start = info.header_offset
    header = bytes(file.content[start : start + _LOCAL_HEADER]) if start >= 0 else b""
    if len(header) < _LOCAL_HEADER or not header.startswith(b"PK\x03\x04"):
        raise file.refused(f"the header of {quoted(info.filename)} in this archive is damaged")
    sizes = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    begin = start + _LOCAL_HEADER + sizes
    if begin + info.file_size > file.size:
        raise file.cut_short(f"{quoted(info.filename)} ends", begin + info.file_size)
    return begin


def content(file: WeightsFile, member: Member, most: int) -> bytes:
    """At most ``most`` bytes of a member, the first ones."""
    if member.offset is not None:
        return bytes(file.content[member.offset : member.offset + min(member.size, most)])
    try:
        with zipfile.ZipFile(file.path) as archive, archive.open(member.name) as stream:
            return stream.read(most)
    except DAMAGES as error:
        raise file.refused(f"{quoted(member.name)} cannot be unpacked: {error}") from None


class _Bounded:
    """A stream that refuses to read more than a limit at once."""

    def __init__(self, file: WeightsFile | Source, stream: IO[bytes], limit: str) -> None:
        self.file = file
        self.limit = limit
        self.most = max(getattr(in_force(), limit) + 1, _LEAST_BYTES)
        self.seek = stream.seek
        self.tell = stream.tell
        self.seekable = stream.seekable
        self._read = stream.read

    def read(self, size: int = -1) -> bytes:
        if size > self.most:
            message = f"the list of files in this archive has {size:,} bytes"
            raise self.file.refused(message, remedy(self.limit, size))
        # zipfile reads only the end of the archive without a size.
        return self._read(self.most if size < 0 else size)


class Packed(msgspec.Struct, frozen=True):
    """Entries in a compressed member of an archive, after ``begin`` bytes."""

    file: str
    member: str
    begin: int
    dtype: str
    size: int

    is_sequential = True

    @property
    def bytes(self) -> int:
        """Bytes of all entries, unpacked."""
        return self.size * np.dtype(self.dtype).itemsize

    def read(self, start: int, stop: int) -> Array:
        """Entries, unpacked; this is fast if they follow those of the last call."""
        dtype = np.dtype(self.dtype)
        try:
            stream = _open(self.file, self.member, version(self.file))
            stream.seek(self.begin + start * dtype.itemsize)
            wanted = (stop - start) * dtype.itemsize
            part = stream.read(wanted)
        except DAMAGES as error:
            message = f"{quoted(self.member)} cannot be unpacked: {error}"
            raise unreadable(self.file, message) from None
        if len(part) < wanted:
            raise unreadable(self.file, f"{quoted(self.member)} ends too early")
        return np.frombuffer(part, dtype).astype(dtype.newbyteorder("="), copy=False)


@lru_cache(maxsize=1)
def _open(file: str, member: str, _: tuple[int, ...]) -> IO[bytes]:
    return zipfile.ZipFile(io.BufferedReader(MappedStream(file))).open(member)


class MappedStream(io.RawIOBase):
    """A part of a mapped file as a stream."""

    def __init__(self, file: str, offset: int = 0, size: int | None = None) -> None:
        self._bytes = mapped(file)[offset:][:size]
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = 0) -> int:
        self._place = (0, self._place, len(self._bytes))[whence] + offset
        return self._place

    def readinto(self, buffer: Any) -> int:
        part = self._bytes[self._place : self._place + len(buffer)]
        buffer[: len(part)] = part
        self._place += len(part)
        return len(part)
