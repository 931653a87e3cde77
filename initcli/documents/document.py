"""The plain data of one text, and the position of each value in the text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

from initcli.errors import (
    DuplicateKey,
    InvalidSpec,
    InvalidValue,
    Path,
    Place,
    SpecError,
    UnparsableText,
    quoted,
)
from initcli.limits import DIGITS, NESTING, in_force, remedy


class Node(NamedTuple):
    """The positions of a value, and of its key in a mapping, as character offsets in a text.

    ``is_block`` marks a YAML mapping or list in block style, and ``sharing`` a value with an
    anchor, or an alias.
    """

    start: int
    end: int
    key: tuple[int, int] | None = None
    is_block: bool = False
    sharing: Literal["", "anchor", "alias"] = ""


Nodes = dict[Path, Node]
"""The nodes of a text by path. Values behind an alias have none."""


DIALECTS = ("initcli", "keras", "python", "huggingface")
"""Formats with remedies for their errors: specs, Keras models, code, and configurations."""


class Origin(NamedTuple):
    """The document and path that a part of a document's data was taken from."""

    document: Document
    path: Path


@dataclass(frozen=True)
class Document:
    """The data of one text.

    The nodes of a JSON text are found when an error or an edit first needs them. For data made from
    several documents, ``origins`` has the place of each part. Changes of the data can be written
    into an editable text, which is YAML or JSON. ``dialect`` is one of :data:`DIALECTS` or the name
    of another format, for which errors have no remedies that are about specs.
    """

    file: str
    text: str
    data: Any
    find_nodes: Callable[[], Nodes] = field(compare=False)
    origins: Mapping[Path, Origin] = field(default_factory=dict)
    dialect: str = "initcli"
    is_editable: bool = False
    notes: tuple[str, ...] = ()

    @cached_property
    def nodes(self) -> Nodes:
        """The nodes of the text by path."""
        return self.find_nodes()

    def origin(self, path: Path) -> Origin:
        """The document whose text holds the value at ``path``, and its path there."""
        for length in range(len(path), -1, -1):
            origin = self.origins.get(path[:length])
            if origin is not None:
                return origin.document.origin(origin.path + path[length:])
        return Origin(self, path)

    def place(self, path: Path, at_key: bool = False) -> Place:
        """The position of the value (or key) at ``path``, else of the nearest enclosing value."""
        origin = self.origin(path)
        if origin.document is not self:
            return origin.document.place(origin.path, at_key)
        node = self.nodes.get(path)
        if at_key and node is not None and node.key is not None:
            return place(self.file, self.text, node.key[0])
        while path and path not in self.nodes:
            path = path[:-1]
        return place(self.file, self.text, self.nodes[path].start if path in self.nodes else 0)

    def invalid(self, errors: Sequence[SpecError]) -> InvalidSpec:
        """The errors as one, each with its position in this document."""
        for error in errors:
            error.place = error.place or self.place(error.path, error.at_key)
            if self.dialect not in DIALECTS and not error.remedy.startswith("--"):
                error.remedy = ""
        return InvalidSpec(errors, _trailer(len(errors)))

    def refused(
        self, message: str, path: Path = (), remedy: str = "", *, at_key: bool = False
    ) -> InvalidSpec:
        """The error for a value that makes the rest of the document unreadable."""
        return self.invalid([InvalidValue(message, remedy=remedy, path=path, at_key=at_key)])


def with_values(data: Any, values: Mapping[Path, Any]) -> Any:
    """The data with other values at some paths, an outer path winning over those within it.

    Unchanged parts are shared with the original. The last key of a path may be new.
    """
    if not values:
        return data
    if () in values:
        return values[()]
    below: defaultdict[Any, dict[Path, Any]] = defaultdict(dict)
    for path, value in values.items():
        below[path[0]][path[1:]] = value
    changed = data.copy()
    for key, inner in below.items():
        is_new = isinstance(data, dict) and key not in data
        changed[key] = with_values(None if is_new else data[key], inner)
    return changed


def place(file: str, text: str, offset: int) -> Place:
    """The line and column of an offset, with the text of the line."""
    start = text.rfind("\n", 0, offset) + 1
    end = text.find("\n", offset)
    line = text[start : end if end >= 0 else len(text)].rstrip("\r")
    return Place(file, text.count("\n", 0, offset) + 1, offset - start + 1, line)


def unparsable(file: str, text: str, offset: int, message: str, remedy: str = "") -> InvalidSpec:
    """The error for a text that does not parse, or that exceeds a limit."""
    error = UnparsableText(message, remedy=remedy)
    error.place = place(file, text, offset)
    return InvalidSpec([error])


def repeated_keys(file: str, text: str, repeated: Sequence[tuple[str, int]]) -> InvalidSpec:
    """The error for duplicate keys of mappings, each with its offset."""
    errors = []
    for key, offset in repeated[: in_force().errors]:
        error = DuplicateKey(
            f"the key {quoted(key)} occurs twice in this mapping", remedy="keep one of the two"
        )
        error.place = place(file, text, offset)
        errors.append(error)
    return InvalidSpec(errors, _trailer(len(errors)))


def _trailer(count: int) -> str:
    """The note shown when the error limit was reached."""
    limit = in_force().errors
    if count < limit:
        return ""
    return f"there may be more than these {limit:,} errors\n  = {remedy('errors')}"


def too_deep() -> str:
    """The message for a text that nests beyond the limit."""
    return f"this is nested more than {NESTING} deep"


def too_many_values() -> str:
    """The message for a text with more values than the limit."""
    return f"this has more than {in_force().values:,} values, including those of aliases"


def too_many_digits(digits: int) -> str:
    """The message for an integer with too many digits; "" within the limit."""
    if digits <= DIGITS:
        return ""
    return f"this number has {digits:,} digits, but {DIGITS} are allowed"
