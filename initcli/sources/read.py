"""Reading of a source: a file or standard input, in any known format, to a document."""

from __future__ import annotations

import os
import re
import sys
from contextlib import nullcontext
from itertools import chain
from pathlib import Path as FilePath
from typing import IO

from initcli.documents.document import Document
from initcli.errors import InvalidSpec, nearest_file, printable
from initcli.sources.extend import extended
from initcli.sources.reader import Reader, Source, system_errors, unreadable
from initcli.sources.readers import known_readers

SPEC_SUFFIXES = (".yaml", ".yml", ".json")
_MAX_CODE = 1 << 20
"""Bytes of a Python file that are searched for a name."""


def read(source: str) -> Document:
    """Read the file at a path, or standard input for ``-``, with all that it extends.

    Raises:
        InvalidSpec: the file cannot be read, or its content does not parse.
    """
    return extended(_read_file(_config_of(source)), _read_file)


def _config_of(source: str) -> str:
    """The configuration in a folder of Hugging Face; other sources as they are."""
    file = os.path.join(source, "config.json")  # noqa: PTH118  # tolerates any text
    return file if os.path.isdir(source) and os.path.isfile(file) else source  # noqa: PTH112, PTH113


def is_configuration(folder: str) -> bool:
    """Whether the ``config.json`` of a folder is that of a model of transformers.

    Raises:
        InvalidSpec: it cannot be read, or does not parse.
    """
    return _read_file(_config_of(folder)).dialect == "huggingface"


def parse(text: str, file: str = "<text>") -> Document:
    """Parse a text; ``file`` is its name in errors.

    Raises:
        InvalidSpec: the text is empty or does not parse.
    """
    return extended(_read(Source.of_text(text, file)), _read_file)


def _read_file(source: str) -> Document:
    """The document of one file, not joined with the one it extends."""
    if source == "-" and sys.stdin is None:
        raise unreadable("<stdin>", "standard input is closed", "name a file in place of -")
    with nullcontext(sys.stdin.buffer) if source == "-" else _opened(source) as stream:
        return _read(Source("<stdin>" if source == "-" else source, stream))


def _read(source: Source) -> Document:
    _refuse_weights(source)
    reader = next((each for each in known_readers() if _recognizes(each, source)), None)
    return source.document if reader is None else reader.read(source)


def _refuse_weights(source: Source) -> None:
    """Raise InvalidSpec for a file that has weights alone."""
    is_text = not source.is_binary and b'"weight_map"' not in source.head
    if is_text or not os.path.isfile(source.name):  # noqa: PTH113  # tolerates any text
        return
    from initcli.sources.weights import reader_of
    from initcli.sources.weights.reader import WeightsFile

    reader = reader_of(WeightsFile(FilePath(source.name)))
    if reader is not None and not reader.may_have_model:
        raise source.without_model()


def _recognizes(reader: Reader, source: Source) -> bool:
    try:
        return reader.recognizes(source)
    except InvalidSpec:
        return False  # reported when the content is read


def _opened(file: str) -> IO[bytes]:
    # Windows reports "permission denied" for a directory. os.path tolerates any text.
    if os.path.isdir(file):  # noqa: PTH112
        advice = "`summary` and `hist` show the weights in a directory"
        raise unreadable(file, "this is a directory, not a file", advice)
    if file.endswith(".py") and os.path.isfile(file):  # noqa: PTH113
        advice = f"name the object in it that makes the model: {printable(file)}:{_defined(file)}"
        raise unreadable(file, "this is Python code", advice)
    with system_errors(file):
        try:
            return FilePath(file).open("rb")
        except FileNotFoundError:
            from initcli.sources.weights import known_readers as readers_of_weights

            groups = [reader.suffixes for reader in known_readers()]
            groups += [reader.suffixes for reader in readers_of_weights()]
            advice = nearest_file(file, (*SPEC_SUFFIXES, *chain.from_iterable(groups)))
            raise unreadable(file, "there is no such file", advice) from None


def _defined(file: str) -> str:
    """The name of the last class, or else function, of a Python file, which is not run."""
    with system_errors(file), FilePath(file).open("rb") as stream:
        text = stream.read(_MAX_CODE).decode(errors="replace")
    found = (re.findall(rf"^{word} ([^\W\d_]\w*)", text, re.MULTILINE) for word in ("class", "def"))
    return next((names[-1] for names in found if names), "build")
