"""``.keras`` archives: of the whole zip file, only its ``config.json`` is opened."""

from __future__ import annotations

from typing import IO

from initcli.documents.document import Document
from initcli.errors import InvalidSpec
from initcli.limits import ARCHIVE_BYTES, in_force, remedy
from initcli.sources.reader import Reader, Source, system_errors

_MEMBER = "config.json"
_LEAST_BYTES = 1 << 17
"""Bytes that zipfile reads at once however small the file is: a comment may have 64 KiB."""


class KerasArchive(Reader):
    """The configuration of the model in a ``.keras`` file."""

    suffixes = (".keras",)

    def recognizes(self, source: Source) -> bool:
        return source.head.startswith(b"PK\x03\x04")

    def read(self, source: Source) -> Document:
        from initcli.sources.keras.translation import translated  # not needed to read a plain spec

        with system_errors(source.name):
            content = _config(source)
        name = f"{source.name}/{_MEMBER}"
        return translated(source.parsed(source.decoded(content, name), name))


def _config(source: Source) -> bytes:
    if source.stream.seekable():
        return _member(source, source.stream)
    import tempfile

    with tempfile.TemporaryFile() as copy:
        part = source.head
        while part:
            copy.write(part)
            if copy.tell() > ARCHIVE_BYTES:
                raise source.refused(f"this archive has more than {ARCHIVE_BYTES:,} bytes")
            part = source.stream.read(1 << 20)
        return _member(source, copy)


class _Bounded:
    """A stream that refuses large reads: zipfile reads an archive's list of files at once."""

    def __init__(self, source: Source, stream: IO[bytes]) -> None:
        self.limit = max(in_force().file_bytes + 1, _LEAST_BYTES)
        self.source = source
        self.seek = stream.seek
        self.tell = stream.tell
        self.seekable = stream.seekable
        self._read = stream.read

    def read(self, size: int = -1) -> bytes:
        if size > self.limit:
            message = f"the list of files in this archive has {size:,} bytes"
            raise self.source.refused(message, remedy("file_bytes", size))
        # Only the end of the archive is read without a size.
        return self._read(self.limit if size < 0 else size)


def _member(source: Source, stream: IO[bytes]) -> bytes:
    import zipfile
    import zlib

    limit = in_force().file_bytes
    try:
        with zipfile.ZipFile(_Bounded(source, stream)) as archive:
            member = archive.getinfo(_MEMBER)
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                # Python expands all that it reads with the other methods at once.
                raise source.refused(f"its {_MEMBER} is packed in a way that no .keras file is")
            with archive.open(member) as file:
                content = file.read(limit + 1)
    except InvalidSpec:
        raise
    except KeyError:
        raise source.refused(f"this archive has no {_MEMBER}, as a .keras file has") from None
    except (
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
    ) as error:
        raise source.refused(f"this archive cannot be read: {error}") from None
    if len(content) > limit:
        message = f"a spec may have at most {limit:,} bytes"
        raise source.refused(message, remedy("file_bytes", max(member.file_size, limit + 1)))
    return content
