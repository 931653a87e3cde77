"""``.keras`` archives: of the whole zip, only its ``config.json`` is opened."""

from __future__ import annotations

from typing import IO

from initcli.limits import ARCHIVE_BYTES, in_force, remedy

BEGINNING = b"PK\x03\x04"
"""How every zip archive that holds a file begins."""
HDF5 = b"\x89HDF\r\n\x1a\n"
"""How a file of HDF5 begins, which old Keras models were saved in."""
MEMBER = "config.json"


class BadArchive(Exception):
    """An archive that is no Keras model's; its text says why."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


def config(stream: IO[bytes], begun: bytes) -> bytes:
    """The configuration in an archive, of which ``begun`` was read.

    Raises:
        BadArchive: it is too large, or the archive is no Keras model's.
    """
    if stream.seekable():
        return _config(stream)
    import tempfile  # only archives need what is imported here and below

    with tempfile.TemporaryFile() as whole:
        part = begun
        while part:
            whole.write(part)
            if whole.tell() > ARCHIVE_BYTES:
                raise BadArchive(f"this archive has more than {ARCHIVE_BYTES:,} bytes")
            part = stream.read(1 << 20)
        return _config(whole)


class _Bounded:
    """A stream that gives no more at once than a spec may have.

    That bounds the list of an archive's files, which is read and held whole.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self.most = max(in_force().file_bytes + 1, _LEAST_READ)
        self.seek = stream.seek
        self.tell = stream.tell
        self.seekable = stream.seekable
        self._read = stream.read

    def read(self, size: int = -1) -> bytes:
        if size > self.most:
            message = f"the list of files in this archive has {size:,} bytes"
            raise BadArchive(message, remedy("file_bytes", size))
        # What is to be read to its end is the end of the archive, unless it grows meanwhile.
        return self._read(self.most if size < 0 else size)


_LEAST_READ = 1 << 17
"""Bytes that zipfile reads at once however little there is, and more: a comment may have 64 KiB."""


def _config(stream: IO[bytes]) -> bytes:
    import zipfile
    import zlib

    most = in_force().file_bytes
    try:
        with zipfile.ZipFile(_Bounded(stream)) as archive:
            member = archive.getinfo(MEMBER)
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                # Of the other methods, Python expands all that it reads at once.
                raise BadArchive(f"its {MEMBER} is packed in a way that no .keras file is")
            with archive.open(member) as content:
                found = content.read(most + 1)
    except KeyError:
        raise BadArchive(f"this archive has no {MEMBER}, as a .keras file has") from None
    except (
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
    ) as error:
        raise BadArchive(f"this archive cannot be read: {error}") from None
    if len(found) > most:
        message = f"a spec may have at most {most:,} bytes"
        raise BadArchive(message, remedy("file_bytes", max(member.file_size, most + 1)))
    return found
