"""A spec's text, from a file or standard input, to a document."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path as FilePath

from initcli.errors import InvalidSpec, Place, UnreadableFile
from initcli.spec import archive
from initcli.spec.document import Document
from initcli.spec.extend import extended
from initcli.spec.json_text import looks_like_json, parse_json
from initcli.spec.yaml_text import parse_yaml

LARGEST_FILE = 16 * 2**20
"""Bytes of a spec that are read at most."""


def read(source: str) -> Document:
    """Read the YAML, JSON or .keras archive at a path, or on standard input for ``-``.

    Raises:
        InvalidSpec: the file cannot be read, or its text does not parse.
    """
    return extended(_read(source), _read)


def _read(source: str) -> Document:
    """One file, whatever it extends."""
    file = "<stdin>" if source == "-" else source
    raw = _bytes(source, file)
    if raw.startswith(archive.HDF5):
        remedy = "save the model as a .keras file, or write what its to_json() returns"
        raise _unreadable(file, "this is an HDF5 file, which only Keras itself can read", remedy)
    if raw.startswith(archive.BEGINNING):
        raw = _config(source, file, raw)
        file = f"{file}/{archive.MEMBER}"
    if len(raw) > LARGEST_FILE:
        raise _unreadable(file, f"a spec may have at most {LARGEST_FILE:,} bytes")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
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
        if isinstance(document.data, Mapping) and "layers" not in document.data:
            # Imported for what is no plain spec, so that a plain one is read sooner.
            from initcli.spec.keras import from_keras, is_keras

            return from_keras(document) if is_keras(document.data) else document
        return document
    return parse_yaml(text, file)


def _bytes(source: str, file: str) -> bytes:
    try:
        if source == "-":
            if sys.stdin is None:
                raise _unreadable(file, "standard input is closed")
            return sys.stdin.buffer.read(LARGEST_FILE + 1)
        with FilePath(source).open("rb") as stream:
            return stream.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        raise _unreadable(file, "there is no such file") from None
    except (OSError, ValueError) as error:
        # Windows says "permission denied" of a directory.
        if isinstance(error, OSError) and FilePath(source).is_dir():
            raise _unreadable(file, "this is a directory, not a file") from None
        reason = error.strerror if isinstance(error, OSError) else error
        raise _unreadable(file, f"it cannot be read: {reason}") from None


def _config(source: str, file: str, begun: bytes) -> bytes:
    """The model's configuration in a .keras archive."""
    try:
        if source == "-":
            return archive.config_of_stdin(begun, LARGEST_FILE)
        return archive.config_of_file(source, LARGEST_FILE)
    except (archive.BadArchive, OSError) as error:
        raise _unreadable(file, str(error)) from None


def _unreadable(file: str, message: str, remedy: str = "") -> InvalidSpec:
    error = UnreadableFile(message, remedy=remedy)
    error.place = Place(file, 1, 1)
    return InvalidSpec([error])
