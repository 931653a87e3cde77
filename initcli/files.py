"""Writing files whole or not at all, under names that every file system accepts.

A file is written beside its destination, synced to the disk and moved there. Whatever interrupts
this leaves the destination as it was; only a killed process leaves its temporary file behind, which
a later run into the same folder removes.
"""

from __future__ import annotations

import codecs
import hashlib
import os
import re
import secrets
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from initcli.errors import OutputError, printable

_MAX_STEM = 120
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d|overview)(\.|_|$)")
_STALE_SECONDS = 3600.0
"""Age from which a temporary file was left by a killed run."""


def file_stems(paths: Iterable[str]) -> dict[str, str]:
    """Unique file names without suffix for parameter paths.

    ``conv1d/kernel`` becomes ``conv1d.kernel``. A long path, a name that Windows reserves, and a
    path with other characters than lower-case ASCII letters, digits, ``_`` and ``-`` get a hash
    appended, so that names stay unique on file systems that ignore case or Unicode forms.
    """
    return {path: _stem(path) for path in paths}


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, unless it exists.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        parts = (part for part in (folder, *folder.parents) if os.path.lexists(part))
        existing = next(parts, folder)
        reason = f"{_name(existing)} is not a folder"
        raise OutputError(f"{_name(folder)}: cannot be used as a folder: {reason}") from None
    except (OSError, ValueError) as error:
        raise OutputError(f"{_name(folder)}: cannot be used as a folder: {_why(error)}") from None


@contextmanager
def written_whole(file: Path) -> Iterator[BinaryIO]:
    """A stream for the content of a file, which replaces the file at the end of the ``with``.

    A symbolic link is followed. Of two processes that write a file at once the last one wins.

    Raises:
        OutputError: the file cannot be written.
    """
    target = _target(file)
    _remove_stale(target.parent)
    beside = target.with_name(f".initcli-{secrets.token_hex(8)}.tmp")
    try:
        with beside.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        _move(beside, target)
    except OSError as error:
        raise OutputError(_message(file, _why(error))) from None
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def write_whole(file: Path, content: bytes) -> None:
    """Write a file whole or not at all, see :func:`written_whole`."""
    with written_whole(file) as stream:
        stream.write(content)


def rewrite(file: Path, before: str, after: str) -> None:
    """Replace the text of a user's own file, keeping its mode, owner and byte-order mark.

    Raises:
        OutputError: the file is read-only, has hard links, cannot be written, or no longer has
            the text ``before``.
    """
    with written_whole(file) as stream:
        if not os.access(file, os.W_OK) or not file.stat().st_mode & 0o200:
            raise OutputError(f"{_name(file)} is read-only")
        if file.stat().st_nlink > 1:
            reason = "it has several names (hard links), which would become different files"
            raise OutputError(_message(file, reason))
        old = file.read_bytes()
        encoding = "utf-8-sig" if old.startswith(codecs.BOM_UTF8) else "utf-8"
        if old != before.encode(encoding):
            raise OutputError(_message(file, "another program changed it meanwhile"))
        stream.write(after.encode(encoding))
        if sys.platform != "win32":
            with suppress(PermissionError):
                os.chown(stream.name, file.stat().st_uid, file.stat().st_gid)
        shutil.copymode(file, stream.name)


def _target(file: Path) -> Path:
    """The regular file to write, behind any symbolic links."""
    try:
        target = Path(os.path.realpath(file))
        for folder in (file.parent, target.parent):
            if not folder.is_dir():
                raise OutputError(_message(file, f"there is no folder {_name(folder)}"))
        if target.exists() and not target.is_file():
            kind = "a folder" if target.is_dir() else "not a regular file"
            raise OutputError(_message(file, f"it is {kind}"))
    except (OSError, ValueError) as error:
        raise OutputError(_message(file, _why(error))) from None
    return target


def _remove_stale(folder: Path) -> None:
    for file in folder.glob(f".initcli-{'?' * 16}.tmp"):
        with suppress(OSError):
            if time.time() - file.stat().st_mtime > _STALE_SECONDS:
                file.unlink()


def _move(beside: Path, target: Path) -> None:
    # Windows refuses to replace a file while another program opens or replaces it.
    for seconds in (0.01, 0.1, 1.0) if sys.platform == "win32" else ():
        with suppress(PermissionError):
            beside.replace(target)
            return
        time.sleep(seconds)
    beside.replace(target)


def _message(file: Path, reason: str) -> str:
    return f"{_name(file)}: cannot be written: {reason}"


def _name(path: Path) -> str:
    return printable(str(path))


def _why(error: OSError | ValueError) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _stem(path: str) -> str:
    plain = path.replace("/", ".")
    is_plain = re.fullmatch(r"[a-z0-9_\-][a-z0-9_\-/]*", path) and len(path) <= _MAX_STEM
    if is_plain and not _RESERVED.match(plain):
        return plain
    slug = re.sub(r"[^A-Za-z0-9_\-]+", "_", path)[:_MAX_STEM].strip("_")
    digest = hashlib.blake2b(path.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
    return f"_{slug}.{digest}" if _RESERVED.match(slug.lower()) else f"{slug}.{digest}"
