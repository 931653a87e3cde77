"""Writing files: whole or not at all, under names that every file system takes."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from initcli.errors import OutputError

_LONGEST_STEM = 120
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d|overview)(\.|_|$)")


def file_stems(paths: Iterable[str]) -> dict[str, str]:
    """A file name without suffix for each parameter path; no two are the same on any file system.

    ``conv1d/kernel`` becomes ``conv1d.kernel``. A path that says more than lower-case ASCII
    letters, digits, ``_`` and ``-`` can, that is long, or that Windows reserves, gets a hash of
    itself at the end: what differs only in case or form is then still told apart.
    """
    return {path: _stem(path) for path in paths}


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, unless it is there.

    Raises:
        OutputError: it cannot be made, or is a file.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = "it is a file" if folder.exists() else error.strerror
        raise OutputError(f"{folder}: cannot be used as a folder: {reason}") from None


@contextmanager
def written_whole(file: Path) -> Iterator[Path]:
    """Where to write a file: beside its place, to which it is moved at the end.

    So it is never seen half-written; whatever interrupts this leaves nothing behind, and what
    stood in its place as it was.

    Raises:
        OutputError: it cannot be written.
    """
    if file.is_dir():
        raise OutputError(f"{file}: cannot be written: it is a folder")
    if not file.parent.is_dir():
        raise OutputError(f"{file}: cannot be written: there is no folder {file.parent}")
    # Named before it is there, so that whatever interrupts this finds what to remove.
    beside = file.with_name(f".initcli-{secrets.token_hex(8)}.tmp")
    try:
        yield beside
        beside.replace(file)
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{file}: cannot be written: {reason}") from None
    finally:
        beside.unlink(missing_ok=True)


def write_whole(file: Path, content: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    with written_whole(file) as beside, beside.open("xb") as stream:
        stream.write(content)


def _stem(path: str) -> str:
    plain = path.replace("/", ".")
    ordinary = re.fullmatch(r"[a-z0-9_\-][a-z0-9_\-/]*", path) and len(path) <= _LONGEST_STEM
    if ordinary and not _RESERVED.match(plain):
        return plain
    slug = re.sub(r"[^A-Za-z0-9_\-]+", "_", path)[:_LONGEST_STEM].strip("_")
    digest = hashlib.blake2b(path.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
    return f"_{slug}.{digest}" if _RESERVED.match(slug.lower()) else f"{slug}.{digest}"
