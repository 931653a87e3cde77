"""Errors that a user can cause, one class per kind.

All derive from :class:`InitcliError`; their text is a whole message for standard error. Problems of
a spec derive from :class:`SpecError`, and are raised together as one :class:`InvalidSpec`.
"""

from __future__ import annotations

import difflib
import heapq
import math
import re
import reprlib
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path as FilePath
from typing import NamedTuple

Path = tuple[str | int, ...]
"""Keys and indices from the root of a spec to one of its values."""


class InitcliError(Exception):
    """Base class of errors that a user can fix.

    Args:
        message: what is wrong.
        remedy: what to do instead, if known.
    """

    def __init__(self, message: str = "", remedy: str = "") -> None:
        super().__init__(f"{message}\n  = {remedy}" if remedy else message)


class Place(NamedTuple):
    """A position in a text: file name, line and column (both from 1) and the line itself.

    Line and column are 0 where the file as a whole is meant.
    """

    file: str
    line: int
    column: int
    text: str = ""

    def __str__(self) -> str:
        position = f":{self.line}:{self.column}" if self.line else ""
        return f"{printable(self.file)}{position}"


class SpecError(InitcliError):
    """One problem of a spec.

    Args:
        message: what is wrong.
        remedy: what to write instead, if known.
        path: path of the value in the spec.
        at_key: whether the key rather than its value is wrong.
    """

    def __init__(
        self, message: str, *, remedy: str = "", path: Path = (), at_key: bool = False
    ) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.path = path
        self.at_key = at_key
        self.place: Place | None = None

    def __str__(self) -> str:
        lines = [self.message]
        if self.place is not None:
            lines = [f"{self.place}: {self.message}", *_excerpt(self.place)]
        return "\n".join([*lines, *([f"  = {self.remedy}"] if self.remedy else [])])


class UnreadableFile(SpecError):
    """A file that is missing, not UTF-8, too large or empty, or a folder."""


class UnparsableText(SpecError):
    """A text that is not valid YAML or JSON, or exceeds a limit."""


class DuplicateKey(SpecError):
    """A repeated key in a mapping."""


class UnknownName(SpecError):
    """An unknown layer type, initializer, activation or layer."""


class NotCovered(SpecError):
    """A model of a library, or a part of one, that no description here covers."""


class UnknownArgument(SpecError):
    """An unknown key of a layer, an initializer or a section."""


class InvalidValue(SpecError):
    """A value that is missing, of the wrong type or out of range."""


class InvalidGraph(SpecError):
    """Layers that make no network: two of one name, no input shape, or inputs in a cycle."""


class ShapeMismatch(SpecError):
    """An input that does not fit its layer, or a tensor that its initializer cannot fill."""


class TooManyErrors(Exception):
    """Raised when the limit of errors is reached."""


class Errors(list[SpecError]):
    """The errors of a spec, up to a limit: finding remedies for 100,000 would take minutes."""

    def __init__(self, limit: float = math.inf) -> None:
        super().__init__()
        self.limit = limit

    def append(self, error: SpecError) -> None:
        super().append(error)
        if len(self) >= self.limit:
            raise TooManyErrors

    def report(
        self,
        message: str,
        path: Path = (),
        remedy: str = "",
        *,
        kind: type[SpecError] = InvalidValue,
        at_key: bool = False,
    ) -> None:
        """Add an error, see :class:`SpecError`."""
        self.append(kind(message, remedy=remedy, path=path, at_key=at_key))


class CustomFunctionError(InitcliError):
    """A function of ``--custom`` that cannot be loaded, fails or returns no tensor."""


class CodeError(InitcliError):
    """Code named as a source that cannot be imported, fails, or returns no model."""


class NoSuchTensor(InitcliError):
    """A pattern that matches no tensor path."""


class NotInCatalog(InitcliError):
    """A name that is not in the catalog."""


class ChecksFailed(InitcliError, AssertionError):
    """Errors that checks found, in a test that demands that there are none."""


class NoStoredValues(InitcliError):
    """A model that has no values of its own to identify."""


class TooLarge(InitcliError):
    """A tensor that does not fit in memory, or a model with too many weights."""


class SignalError(InitcliError):
    """A signal that cannot be passed through a model."""


class WorkersError(InitcliError):
    """Workers that cannot be started, or were lost."""


class OutputError(InitcliError):
    """An output file that cannot be written."""


class InvalidSpec(InitcliError):
    """All problems of one spec, in the order of the file.

    ``more`` is a trailer, shown when the error limit was reached.
    """

    def __init__(self, errors: Sequence[SpecError], more: str = "") -> None:
        # A change in many places at once is reported once.
        once = {str(error): error for error in errors}
        in_order = sorted(once.values(), key=lambda error: (error.place or ("", 0, 0))[:3])
        self.errors = tuple(in_order)
        self.more = more
        super().__init__("\n".join([*map(str, self.errors), *([more] if more else [])]))


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """The nearest of the ``known`` names as a question, or an empty text if none is near."""
    best = nearest(name, known)
    return f"did you mean '{best}'?" if best else ""


def nearest(name: object, known: Iterable[str]) -> str:
    """The nearest of the ``known`` names, or an empty text if none is near."""
    if not isinstance(name, str):
        return ""
    wanted = difflib.SequenceMatcher(b=name[:_MAX_COMPARED].lower())

    def letters_in_common(candidate: str) -> float:
        wanted.set_seq1(candidate[:_MAX_COMPARED].lower())
        return wanted.quick_ratio()

    likely = heapq.nlargest(_MAX_LIKELY, islice(known, _MAX_NAMES), letters_in_common)
    names = sorted(likely)
    lowered = [each[:_MAX_COMPARED].lower() for each in names]
    near = difflib.get_close_matches(name[:_MAX_COMPARED].lower(), lowered, n=1)
    # Of names that differ in case alone, the one whose case is most alike.
    alike = [each for each, lower in zip(names, lowered, strict=True) if lower in near]
    return "".join(difflib.get_close_matches(name[:_MAX_COMPARED], alike, n=1, cutoff=0))


def nearest_pattern(pattern: str, names: Iterable[str]) -> str:
    """The remedy for a pattern that matches no name: the nearest one that matches some.

    Its parts with wildcards stay, and the others become those of a name. A pattern may also mean
    all of a layer, or a tensor in any layer.
    """
    names = list(islice(names, _MAX_NAMES))
    parts = re.split(_SEPARATOR, pattern)
    candidates: dict[str, None] = {}
    for name in names:
        own = re.split(_SEPARATOR, name)
        mixed = [a if set(a) & set("*?[") else b for a, b in zip(parts, own, strict=False)]
        *layer, tensor = own
        meant = ["".join(mixed)]
        if layer:
            meant += ["".join([*layer, "*"]), f"*{layer[-1]}{tensor}"]
        candidates |= dict.fromkeys(each for each in meant if fnmatchcase(name, each))
    shown = f"`*` is any text; the first is {quoted(names[0])}" if names else ""
    return did_you_mean(pattern, candidates) or shown


_SEPARATOR = r"([/.])"
_MAX_COMPARED = 50
"""Characters of a name that are compared. The time grows with their third power."""
_MAX_LIKELY = 10
"""Names that are compared character by character."""
_MAX_NAMED = 5
"""Names that a message lists."""
_MAX_NAMES = 1_000
"""Names from which those are chosen."""


def nearest_file(file: str, suffixes: tuple[str, ...]) -> str:
    """The file with the nearest name in the folder of a missing one, as a question.

    Only files with one of the suffixes count. The text is empty if none is near.
    """
    wanted = FilePath(file)
    try:
        files = [each for each in islice(wanted.parent.iterdir(), 1000) if each.suffix in suffixes]
    except (OSError, ValueError):
        return ""
    stem = nearest(wanted.stem, {file.stem for file in files})
    best = next((file for file in files if file.stem == stem), None)
    return f"did you mean '{printable(str(best))}'?" if stem else ""


def quoted(value: object) -> str:
    """A short, printable form of any value for a message."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return _SHORT.repr(value)


def listed(words: Iterable[str], conjunction: str = "or") -> str:
    """``a, b or c``."""
    *first, last = words
    return f"{', '.join(first)} {conjunction} {last}" if first else last


def some(names: Sequence[str], conjunction: str = "and") -> str:
    """``a, b and 3 more``: the first names, and how many are left out."""
    more = len(names) - _MAX_NAMED
    return listed([*names[:_MAX_NAMED], *([f"{more:,} more"] if more > 0 else [])], conjunction)


def printable(text: str) -> str:
    """The text with control characters escaped, safe to print on a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60
_SHORT.maxlevel = 3
_HALF_LINE = 80


def _excerpt(place: Place) -> list[str]:
    """The line with a caret under the column; only the part near the caret of a long line."""
    before, after = place.text[: place.column - 1], place.text[place.column - 1 :]
    if not before + after:
        return []
    before, after = printable(before[-_HALF_LINE - 1 :]), printable(after[: _HALF_LINE + 1])
    if len(before) > _HALF_LINE:
        before = f"...{before[-_HALF_LINE:]}"
    if len(after) > _HALF_LINE:
        after = f"{after[:_HALF_LINE]}..."
    gutter = f"  {place.line} | "
    return [f"{gutter}{before}{after}", " " * (len(gutter) + len(before)) + "^"]
