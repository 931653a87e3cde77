"""The base class of readers of models, and the sources that they read."""

from __future__ import annotations

import codecs
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from io import BytesIO
from typing import IO, Any, ClassVar

from initcli.documents.document import Document
from initcli.documents.json_text import looks_like_json, parse_json
from initcli.documents.parsing import parse_text
from initcli.errors import InvalidSpec, Place, UnreadableFile
from initcli.limits import in_force, remedy

_HEAD_BYTES = 4096
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Reader:
    """A format of models.

    A reader is one class in its own file in ``sources/readers``; nothing else registers it. A
    source that no reader recognizes is read as a spec.
    """

    suffixes: ClassVar[tuple[str, ...]] = ()
    """File name suffixes of the format, for remedies if a file does not exist."""

    def recognizes(self, source: Source) -> bool:
        """Whether the source has this format, by ``source.head`` or ``source.data``."""
        raise NotImplementedError

    def read(self, source: Source) -> Document:
        """The spec that is equivalent to the source.

        Raises:
            InvalidSpec: the source is damaged, or exceeds a limit.
        """
        raise NotImplementedError


class Source:
    """An open file or standard input. Reading executes none of its content."""

    def __init__(self, name: str, stream: IO[bytes]) -> None:
        self.name = name
        self.stream = stream
        with system_errors(self.name):
            self.head = stream.read(_HEAD_BYTES)

    @classmethod
    def of_text(cls, text: str, name: str) -> Source:
        """A source with a given text.

        Raises:
            InvalidSpec: it has half of a surrogate pair, which is no character.
        """
        # A text is not binary, even with NUL characters.
        head = text[:_HEAD_BYTES].replace("\0", " ").encode(errors="replace")
        source = cls(name, BytesIO(head))
        source.text = text
        try:
            text.encode()
        except UnicodeEncodeError as error:
            message = f"character {error.start + 1} is half of a surrogate pair"
            raise source.refused(message, "decode the text with errors='replace'") from None
        return source

    @cached_property
    def _content(self) -> bytes:
        """The content up to one byte more than the limit; a stream can be read only once."""
        with system_errors(self.name):
            rest = max(in_force().file_bytes + 1 - len(self.head), 0)
            return self.head + self.stream.read(rest)

    @cached_property
    def text(self) -> str:
        """The content as text.

        Raises:
            InvalidSpec: it is too large, or not UTF-8.
        """
        limit = in_force().file_bytes
        if len(self._content) > limit:
            message = f"a spec may have at most {limit:,} bytes"
            with system_errors(self.name):
                status = os.fstat(self.stream.fileno())
            size = status.st_size if stat.S_ISREG(status.st_mode) else None
            raise self.refused(message, remedy("file_bytes", size))
        return self.decoded(self._content, self.name)

    @cached_property
    def document(self) -> Document:
        """The content parsed as JSON or YAML.

        Raises:
            InvalidSpec: it is empty, or does not parse.
        """
        return self.parsed(self.text, self.name)

    @property
    def data(self) -> Any:
        """The data of the parsed text; None for binary content."""
        return None if self.is_binary else self.document.data

    @property
    def is_binary(self) -> bool:
        """Whether the content is not text."""
        return b"\0" in self.head and not self.head.startswith(_UTF_16)

    def decoded(self, content: bytes, name: str) -> str:
        """Content in UTF-8 as text; ``name`` is its file in errors."""
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            if self.is_binary:
                message = "this is a binary file, and a spec is text"
                advice = "of models, .keras files are read, and what Keras's to_json() returns"
            else:
                line = content.count(b"\n", 0, error.start) + 1
                message = f"line {line} is not UTF-8"
                advice = "save the file in the encoding UTF-8"
            raise self.refused(message, advice, name) from None

    def parsed(self, text: str, name: str) -> Document:
        """A text parsed as JSON or YAML; ``name`` is its file in errors."""
        if not text.strip():
            raise self.refused("the file is empty", "a spec needs at least `layers:`", name)
        document = parse_text(text, name)
        while isinstance(document.data, str) and looks_like_json(document.data):
            document = parse_json(document.data, name)  # JSON that was encoded twice
        return document

    def refused(self, message: str, remedy: str = "", name: str = "") -> InvalidSpec:
        """The error for a source that cannot be read."""
        return unreadable(name or self.name, message, remedy)

    def without_model(self) -> InvalidSpec:
        """The error for weights alone, where a model is needed."""
        advice = "name a spec or a Keras model; `summary`, `hist` and `check` read weights alone"
        return self.refused("this file has weights, but no model, which is needed here", advice)


def unreadable(name: str, message: str, remedy: str = "") -> InvalidSpec:
    """The error for a file that cannot be read."""
    error = UnreadableFile(message, remedy=remedy)
    error.place = Place(name, 0, 0)
    return InvalidSpec([error])


@contextmanager
def system_errors(name: str) -> Iterator[None]:
    """Report errors of the operating system as errors of a file."""
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError for a path that no system allows
        reason = error.strerror if isinstance(error, OSError) else error
        raise unreadable(name, f"it cannot be read: {reason}") from None
