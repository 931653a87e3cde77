"""A spec's text, from a file or standard input, to a document."""

from __future__ import annotations

import codecs
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path as FilePath
from typing import IO, Any

from initcli.documents import archive
from initcli.documents.document import Document
from initcli.documents.json_text import looks_like_json, parse_json
from initcli.documents.yaml_text import parse_yaml
from initcli.errors import InvalidSpec, Place, UnreadableFile, nearest_file
from initcli.limits import in_force, remedy
from initcli.sources.extend import extended


def read(source: str) -> Document:
    """Read the YAML, JSON or .keras archive at a path, or on standard input for ``-``.

    Raises:
        InvalidSpec: the file cannot be read, or its text does not parse.
    """
    return extended(_read(source), _read)


def _read(source: str) -> Document:
    """One file, whatever it extends."""
    file = "<stdin>" if source == "-" else source
    most = in_force().file_bytes
    with _opened(source, file) as stream:
        raw = stream.read(most + 1)
        if raw.startswith(archive.BEGINNING):
            raw = _config(stream, file, raw)
            file = f"{file}/{archive.MEMBER}"
        elif raw.startswith(archive.HDF5):
            way_out = "load it in Keras, and save it as .keras or write what its to_json() returns"
            message = "this is an HDF5 file, which only Keras itself can read"
            raise _unreadable(file, message, way_out)
        elif len(raw) > most:
            message = f"a spec may have at most {most:,} bytes"
            raise _unreadable(file, message, remedy("file_bytes", _size(stream)))
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if b"\0" in raw[:4096] and not raw.startswith(_UTF_16):
            way_out = "of models, .keras files are read, and what Keras's to_json() returns"
            raise _unreadable(file, "this is a binary file, and a spec is text", way_out) from None
        line = raw.count(b"\n", 0, error.start) + 1
        reason = f"line {line} is not UTF-8"
        raise _unreadable(file, reason, "save the file in the encoding UTF-8") from None
    return _parsed(text, file)


def parse(text: str, file: str = "<text>") -> Document:
    """Parse a YAML or JSON text; ``file`` is what errors call it.

    Raises:
        InvalidSpec: the text is empty or does not parse.
    """
    return extended(_parsed(text, file), _read)


def _parsed(text: str, file: str) -> Document:
    if not text.strip():
        raise _unreadable(file, "the file is empty", "a spec needs at least `layers:`")
    if file.endswith(".json") or looks_like_json(text):
        document = parse_json(text, file)
    else:
        document = parse_yaml(text, file)
    while isinstance(document.data, str) and looks_like_json(document.data):
        document = parse_json(document.data, file)  # JSON that was encoded twice
    if _is_plain_spec(document.data):
        return document
    from initcli.sources.keras import from_keras, model_in  # so that a plain spec is read sooner

    model = model_in(document)
    return document if model is None else from_keras(model)


def _is_plain_spec(data: Any) -> bool:
    """Whether data is a spec at first sight: its layers have no ``class_name``, as Keras's have."""
    layers = data.get("layers") if isinstance(data, Mapping) else None
    if not isinstance(layers, list):
        return False
    first = layers[0] if layers else None
    return not (isinstance(first, Mapping) and {"class_name", "className"} & first.keys())


@contextmanager
def _opened(source: str, file: str) -> Iterator[IO[bytes]]:
    """What a spec is read from; what the system says against it becomes an error of the spec."""
    if source == "-" and sys.stdin is None:
        raise _unreadable(file, "standard input is closed", "name a file in place of -")
    try:
        if source == "-":
            yield sys.stdin.buffer
        else:
            with FilePath(source).open("rb") as stream:
                yield stream
    except FileNotFoundError:
        near = nearest_file(source, (".yaml", ".yml", ".json", ".keras"))
        raise _unreadable(file, "there is no such file", near) from None
    except (OSError, ValueError) as error:
        # Windows says "permission denied" of a directory.
        is_refused = isinstance(error, IsADirectoryError | PermissionError)
        if is_refused and os.path.isdir(source):  # noqa: PTH112  # says no where it may not look
            raise _unreadable(file, "this is a directory, not a file") from None
        reason = error.strerror if isinstance(error, OSError) else error
        raise _unreadable(file, f"it cannot be read: {reason}") from None


def _size(stream: IO[bytes]) -> int | None:
    """The bytes of a file; None of what is none, and goes on as long as it likes."""
    status = os.fstat(stream.fileno())
    return status.st_size if stat.S_ISREG(status.st_mode) else None


_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
"""How texts begin that PowerShell writes."""


def _config(stream: IO[bytes], file: str, begun: bytes) -> bytes:
    """The model's configuration in a .keras archive."""
    try:
        return archive.config(stream, begun)
    except archive.BadArchive as error:
        raise _unreadable(file, str(error), error.remedy) from None


def _unreadable(file: str, message: str, way_out: str = "") -> InvalidSpec:
    error = UnreadableFile(message, remedy=way_out)
    error.place = Place(file, 1, 1)
    return InvalidSpec([error])
