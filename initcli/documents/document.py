"""The plain data of one text, and where in the text each of its values stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

from initcli.errors import DuplicateKey, InvalidSpec, Path, Place, SpecError, quoted
from initcli.limits import in_force, remedy


class Mark(NamedTuple):
    """A position in a text: line and column, both from 0."""

    line: int
    column: int


class Marks(NamedTuple):
    """Where the values and the keys of a document begin, by path, and which keys repeat."""

    values: dict[Path, Mark]
    keys: dict[Path, Mark]
    repeated: list[tuple[Path, Mark]]


class Origin(NamedTuple):
    """Where a part of a document's data comes from."""

    document: Document
    path: Path


@dataclass(frozen=True)
class Document:
    """One text's data; its marks are found when an error first asks for them.

    Data that was made of other documents' knows by ``origins`` where each part of it stands.
    """

    file: str
    text: str
    data: Any
    find_marks: Callable[[], Marks] = field(compare=False)
    origins: Mapping[Path, Origin] = field(default_factory=dict)
    dialect: Literal["initcli", "keras"] = "initcli"
    notes: tuple[str, ...] = ()

    @cached_property
    def _marks(self) -> Marks:
        return self.find_marks()

    def origin(self, path: Path) -> Origin:
        """The document of a file in which the value at ``path`` stands, and where in that."""
        for length in range(len(path), -1, -1):
            origin = self.origins.get(path[:length])
            if origin is not None:
                return origin.document.origin(origin.path + path[length:])
        return Origin(self, path)

    def place(self, path: Path, at_key: bool = False) -> Place:
        """Where the value (or the key) at ``path`` stands, or else the nearest that holds it."""
        origin = self.origin(path)
        if origin.document is not self:
            return origin.document.place(origin.path, at_key)
        if at_key and path in self._marks.keys:
            return place(self.file, self.text, self._marks.keys[path])
        while path and path not in self._marks.values:
            path = path[:-1]
        return place(self.file, self.text, self._marks.values.get(path, Mark(0, 0)))

    def invalid(self, errors: Sequence[SpecError]) -> InvalidSpec:
        """The errors as one, each knowing its place in this document."""
        for error in errors:
            error.place = error.place or self.place(error.path, error.at_key)
        return InvalidSpec(errors, _more(len(errors)))


def place(file: str, text: str, mark: Mark) -> Place:
    """A mark as a person counts lines and columns, with the line it is on."""
    lines = text.split("\n", mark.line + 1)
    line = lines[mark.line].rstrip("\r") if mark.line < len(lines) else ""
    return Place(file, mark.line + 1, mark.column + 1, line)


def repeated_keys(file: str, text: str, repeated: list[tuple[Path, Mark]]) -> InvalidSpec:
    """The error for keys that stand twice in their mapping."""
    errors = []
    for path, mark in repeated[: in_force().errors]:
        error = DuplicateKey(
            f"the key {quoted(path[-1])} stands twice in this mapping",
            remedy="keep one of the two",
            path=path,
        )
        error.place = place(file, text, mark)
        errors.append(error)
    return InvalidSpec(errors, _more(len(errors)))


def _more(found: int) -> str:
    """What is said behind so many errors: nothing, unless they may be not all."""
    if found < (most := in_force().errors):
        return ""
    return f"there may be more than these {most:,} errors\n  = {remedy('errors')}"
