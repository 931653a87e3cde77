"""Writing files: whole or not at all, under names that every file system takes.

A file is written beside its place, under a name that only initcli gives, and moved there at the
end. So a kill at any instant leaves whole files, and perhaps one of those beside them, which the
next run into that folder removes: it knows it by its name, and that nobody is at work on it by its
lock, which the system lets go of with the process that had it.
"""

from __future__ import annotations

import codecs
import hashlib
import os
import re
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import BinaryIO

from initcli.errors import OutputError, printable

_LONGEST_STEM = 120
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d|overview)(\.|_|$)")
_BESIDE = re.compile(r"\.initcli-[0-9a-f]{16}\.(tmp|dir)")
"""The name of a file that is being written, and of a folder that is needed for that."""
_IN_USE = 60.0
"""Seconds for which a file that nobody has open is not taken for a leftover, on Windows."""


def file_stems(paths: Iterable[str]) -> dict[str, str]:
    """A file name without suffix for each parameter path; no two are the same on any file system.

    ``conv1d/kernel`` becomes ``conv1d.kernel``. A path that says more than lower-case ASCII
    letters, digits, ``_`` and ``-`` can, that is long, or that Windows reserves, gets a hash of
    itself at the end: what differs only in case or form is then still told apart.
    """
    return {path: _stem(path) for path in paths}


def make_folder(folder: Path) -> os.stat_result:
    """Make a folder and those above it, unless it is there, and return what tells it from others.

    Raises:
        OutputError: it cannot be made, or is a file.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return folder.stat()
    except FileExistsError:
        reason = "it is a file" if folder.exists() else "it is a link to nothing"
        raise OutputError(f"{_name(folder)}: cannot be used as a folder: {reason}") from None
    except NotADirectoryError:
        above = next((each for each in folder.parents if each.is_file()), folder.parent)
        reason = f"{_name(above)} is a file"
        raise OutputError(f"{_name(folder)}: cannot be used as a folder: {reason}") from None
    except (OSError, ValueError) as error:
        raise OutputError(f"{_name(folder)}: cannot be used as a folder: {_why(error)}") from None


def refuse_other_folder(folder: Path, made: os.stat_result) -> None:
    """Raise OutputError where another folder, or a link, stands in the place of one by now."""
    try:
        is_same = os.path.samestat(folder.stat(), made)
    except OSError:
        is_same = False
    if not is_same:
        raise OutputError(f"{_name(folder)}: somebody has put something else in its place")


def link_target(file: Path) -> Path:
    """The file that is meant where a person names a symbolic link: the one that it leads to."""
    try:
        return file.resolve() if file.is_symlink() else file
    except (OSError, RuntimeError, ValueError):  # a circle, which writing tells
        return file


@contextmanager
def written_whole(file: Path) -> Iterator[BinaryIO]:
    """What to write a file's content to: a file beside its place, to which it is moved at the end.

    So it is never seen half-written; whatever interrupts this leaves nothing behind, and what
    stood in its place as it was. Of two that write it at once the last one wins. A link in its
    place is replaced, and what it leads to left alone: where a person named the file, the link is
    followed by :func:`link_target` before.

    The content need not be on the disk when this returns. It is for the caller to
    :func:`os.fsync` what must outlast a loss of power, which takes some milliseconds.

    Raises:
        OutputError: it cannot be written.
    """
    # Named before it is there, so that whatever interrupts this finds what to remove.
    beside = file.parent / f".initcli-{secrets.token_hex(8)}.tmp"
    try:
        _refuse_what_is_no_file(file)
        _remove_leftovers_once(file.parent)
        with _begun(beside, file) as stream:
            yield stream
            # A file system of a network may tell only then that it is full.
            stream.close()
            _move(beside, file)
    except OSError as error:
        raise _cannot_be_written(file, _why(error)) from None
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


@contextmanager
def folder_beside(stream: BinaryIO) -> Iterator[Path]:
    """A folder for what is needed to write a file of :func:`written_whole`, gone at the end."""
    folder = Path(stream.name).with_suffix(".dir")
    try:
        folder.mkdir()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_whole(file: Path, content: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    with written_whole(file) as stream:
        stream.write(content)


def rewrite(file: Path, before: str, after: str) -> None:
    """Write another text into a person's own file, which is never lost.

    A symbolic link stays one. The file keeps its mode, its owner as far as that is allowed, and a
    byte-order mark. The new text is on the disk before the old one is given up; as that takes
    another file, one that has several names (hard links) is not written.

    Args:
        file: what to write.
        before: the text that it has, in UTF-8; another one is not overwritten.
        after: the text that it gets.

    Raises:
        OutputError: it cannot be written, is read-only, has several names, or was changed by
            somebody else.
    """
    try:
        target = file.resolve(strict=True)
        if not stat.S_ISREG(target.stat().st_mode):
            raise _cannot_be_written(file, "it is no ordinary file")
        if not target.stat().st_mode & stat.S_IWUSR or not os.access(target, os.W_OK):
            raise OutputError(f"{_name(file)} is read-only")
        if (names := target.stat().st_nlink) > 1:
            raise OutputError(
                f"{_name(file)}: cannot be written: it has {names} names (hard links), which would "
                "become different files",
                "`initcli check --fix - < FILE > NEW` writes the new text elsewhere",
            )
    except OSError as error:
        raise _cannot_be_written(file, _why(error)) from None
    with written_whole(target) as stream:
        marked = target.read_bytes().startswith(codecs.BOM_UTF8)
        old, new = (text.encode("utf-8-sig" if marked else "utf-8") for text in (before, after))
        stream.write(new)
        stream.flush()
        _pass_on(target, Path(stream.name))
        os.fsync(stream.fileno())
        # As late as can be: what a person saves meanwhile is not to be lost.
        if target.read_bytes() != old:
            raise _cannot_be_written(file, "somebody else has changed it meanwhile")


def remove_leftovers(folder: Path) -> None:
    """Remove what runs that were killed left in a folder, and nothing of those at work in it."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if not _BESIDE.fullmatch(entry.name):
                continue
            path = Path(entry.path)
            if path.suffix == ".tmp":
                _remove_if_left(path)
            # Its file is there before it and after it.
            elif not path.with_suffix(".tmp").exists():
                shutil.rmtree(path, ignore_errors=True)


_remove_leftovers_once = cache(remove_leftovers)
"""Not for each of a thousand pictures: that takes a millisecond where there are as many."""


def _remove_if_left(beside: Path) -> None:
    """Remove a file that nobody is writing any more."""
    with suppress(OSError):
        if sys.platform == "win32":
            # It refuses for as long as a process has the file open, which that is not for the
            # moment before it is moved.
            if time.time() - beside.stat().st_mtime > _IN_USE:
                beside.unlink()
                shutil.rmtree(beside.with_suffix(".dir"), ignore_errors=True)
            return
        import fcntl

        # A pipe or a link of that name is not initcli's.
        descriptor = os.open(beside, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found = os.fstat(descriptor)
            # It may have been moved, and its name taken, since it was opened.
            there = os.path.samestat(found, beside.stat(follow_symlinks=False))
            if there and stat.S_ISREG(found.st_mode):
                shutil.rmtree(beside.with_suffix(".dir"), ignore_errors=True)
                beside.unlink()
        finally:
            os.close(descriptor)


@contextmanager
def _begun(beside: Path, file: Path) -> Iterator[BinaryIO]:
    """A new file to write to, which stays locked until the end even where it is closed before."""
    while True:
        try:
            stream = beside.open("xb")
        except PermissionError as error:
            # Whoever may write the file itself would wonder.
            reason = f"no file can be made in the folder {_name(file.parent)}: {_why(error)}"
            raise _cannot_be_written(file, reason) from None
        with stream, _locked(stream):
            # Before it was locked, another run may have taken it for a leftover.
            if beside.exists():
                yield stream
                return


@contextmanager
def _locked(stream: BinaryIO) -> Iterator[None]:
    """With a lock that tells other runs that a process is at work on the file."""
    if sys.platform == "win32":  # where that it is open tells them
        yield
        return
    import fcntl

    descriptor = os.dup(stream.fileno())
    try:
        # Where a file system has no locks, nobody gets one, and nothing is removed.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _move(beside: Path, file: Path) -> None:
    # Windows replaces no file at the moment in which another program reads or replaces it.
    for seconds in (0.01, 0.1, 1.0) if sys.platform == "win32" else ():
        with suppress(PermissionError):
            beside.replace(file)
            return
        time.sleep(seconds)
    beside.replace(file)


def _pass_on(file: Path, successor: Path) -> None:
    """Give a file's mode, owner and attributes to the one that is to stand in its place."""
    found = file.stat()
    if sys.platform != "win32":
        try:
            os.chown(successor, found.st_uid, found.st_gid)
        except PermissionError:
            with suppress(PermissionError):
                os.chown(successor, -1, found.st_gid)
    shutil.copystat(file, successor)
    os.utime(successor)


def _refuse_what_is_no_file(file: Path) -> None:
    """Raise OutputError where something else stands in the file's place, or no folder above."""
    try:
        mode = file.stat().st_mode
    except ValueError as error:
        raise _cannot_be_written(file, _why(error)) from None
    except (FileNotFoundError, NotADirectoryError):
        if not file.parent.is_dir():
            missing = f"there is no folder {_name(file.parent)}"
            raise _cannot_be_written(file, missing) from None
        return
    if stat.S_ISDIR(mode):
        raise _cannot_be_written(file, "it is a folder")
    # To move a file there would be the end of a pipe or a device.
    if not stat.S_ISREG(mode):
        raise _cannot_be_written(file, "it is no ordinary file")


def _cannot_be_written(file: Path, reason: str) -> OutputError:
    return OutputError(f"{_name(file)}: cannot be written: {reason}")


def _name(path: Path) -> str:
    return printable(str(path))


def _why(error: OSError | ValueError) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _stem(path: str) -> str:
    plain = path.replace("/", ".")
    ordinary = re.fullmatch(r"[a-z0-9_\-][a-z0-9_\-/]*", path) and len(path) <= _LONGEST_STEM
    if ordinary and not _RESERVED.match(plain):
        return plain
    slug = re.sub(r"[^A-Za-z0-9_\-]+", "_", path)[:_LONGEST_STEM].strip("_")
    digest = hashlib.blake2b(path.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
    return f"_{slug}.{digest}" if _RESERVED.match(slug.lower()) else f"{slug}.{digest}"
