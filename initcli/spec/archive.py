"""``.keras`` archives: of the whole zip, only its ``config.json`` is opened."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO

BEGINNING = b"PK\x03\x04"
"""How every zip archive that holds a file begins."""
HDF5 = b"\x89HDF\r\n\x1a\n"
"""How a file of HDF5 begins, which old Keras models were saved in."""
MEMBER = "config.json"
_LARGEST_STREAM = 16 * 2**30


class BadArchive(Exception):
    """An archive that is no Keras model's; its text says why."""


def config_of_file(file: str, largest: int) -> bytes:
    """The configuration in the archive at a path, of at most ``largest`` + 1 bytes."""
    with Path(file).open("rb") as stream:
        return _config(stream, largest)


def config_of_stdin(begun: bytes, largest: int) -> bytes:
    """The configuration in an archive on standard input, of which ``begun`` was read."""
    import tempfile  # only archives need what is imported here and below

    with tempfile.TemporaryFile() as stream:
        stream.write(begun)
        while stream.tell() < _LARGEST_STREAM and (part := sys.stdin.buffer.read(1 << 20)):
            stream.write(part)
        return _config(stream, largest)


def _config(stream: IO[bytes], largest: int) -> bytes:
    import zipfile
    import zlib

    try:
        with zipfile.ZipFile(stream) as archive, archive.open(MEMBER) as member:
            return member.read(largest + 1)
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
