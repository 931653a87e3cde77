"""What can be wrong, one class a cause, each able to say where, why and what to write instead.

Everything a person can cause derives from :class:`InitcliError`; its text is a whole message,
ready for standard error. Problems of a spec derive from :class:`SpecError`; a spec's problems are
collected and raised together as one :class:`InvalidSpec`.
"""

from __future__ import annotations

import difflib
import heapq
import reprlib
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path as FilePath
from typing import NamedTuple

Path = tuple[str | int, ...]
"""Keys and indices that lead from the root of a spec to one of its values."""


class InitcliError(Exception):
    """Base of everything that is the input's fault and not the program's.

    Args:
        message: what is wrong.
        remedy: what to do instead, where that is known.
    """

    def __init__(self, message: str = "", remedy: str = "") -> None:
        super().__init__(f"{message}\n  = {remedy}" if remedy else message)


class Place(NamedTuple):
    """A position in a text: file name, line and column (both from 1) and the line itself."""

    file: str
    line: int
    column: int
    text: str = ""

    def __str__(self) -> str:
        return f"{printable(self.file)}:{self.line}:{self.column}"


class SpecError(InitcliError):
    """One problem of a spec.

    Args:
        message: what is wrong.
        remedy: what to write instead, where that is known.
        path: where in the spec's data, from its root.
        at_key: whether the key rather than its value is at fault.
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
        if self.place is None:
            lines = [self.message]
        else:
            lines = [f"{self.place}: {self.message}"]
            lines += _excerpt(self.place)
        if self.remedy:
            lines.append(f"  = {self.remedy}")
        return "\n".join(lines)


class UnreadableFile(SpecError):
    """A file that is missing, a directory, not UTF-8, too large or empty."""


class UnparsableText(SpecError):
    """A text that is no YAML or JSON, or one that is refused before it is built."""


class DuplicateKey(SpecError):
    """A key that stands twice in one mapping."""


class UnknownName(SpecError):
    """A layer type, initializer or activation that nobody knows."""


class UnknownArgument(SpecError):
    """A key that its layer, initializer or section does not take."""


class NoWeights(UnknownArgument):
    """An initializer for a layer that has nothing to initialize."""


class MissingArgument(SpecError):
    """An argument without a default that was not given."""


class InvalidValue(SpecError):
    """A value of the wrong type, or out of its range."""


class DuplicateName(SpecError):
    """Two layers of one name."""


class MissingInputShape(SpecError):
    """A stack that does not say what flows into it."""


class EmptyStack(SpecError):
    """A stack without layers."""


class CircularInputs(SpecError):
    """Layers of which each waits for another."""


class ShapeMismatch(SpecError):
    """An input whose shape does not fit its layer."""


class UnfillableShape(SpecError):
    """An initializer that cannot fill a tensor of that shape."""


class CustomFunctionError(InitcliError):
    """A function of ``--custom`` that cannot be loaded, or gave something that is no tensor."""


class NothingFound(InitcliError):
    """Something that was asked for by a name that nothing has."""


class NoSuchTensor(NothingFound):
    """A pattern that matches no tensor's path."""


class NotInCatalog(NothingFound):
    """A name that no layer, initializer or activation has."""


class TooLarge(InitcliError):
    """A tensor that cannot be held, or a model that could never be measured."""


class SignalError(InitcliError):
    """A signal that cannot be taken through a model."""


class WorkersError(InitcliError):
    """Workers that cannot be had, or that ended before their work did."""


class OutputError(InitcliError):
    """A result that cannot be written where it was asked for."""


class InvalidSpec(InitcliError):
    """All problems of one spec, in the order of the file.

    ``more`` says so where there may be others, which were not looked for.
    """

    def __init__(self, errors: Sequence[SpecError], more: str = "") -> None:
        # What is changed in many places at once is wrong once.
        once = {str(error): error for error in errors}
        self.errors = tuple(sorted(once.values(), key=_file_order))
        self.more = more
        super().__init__("\n".join([*map(str, self.errors), *([more] if more else [])]))


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """The nearest of the ``known`` names as a question, or an empty text when none is near."""
    best = nearest(name, known)
    return f"did you mean '{best}'?" if best else ""


def nearest(name: object, known: Iterable[str]) -> str:
    """The nearest of the ``known`` names, or an empty text when none is near."""
    if not isinstance(name, str):
        return ""
    name = name[:_COMPARED]
    names = _promising(name, known)
    near = difflib.get_close_matches(name.lower(), [n.lower()[:_COMPARED] for n in names], n=1)
    # Of names that differ in case alone, the one that is written most like what was.
    alike = [candidate for candidate in names if candidate.lower()[:_COMPARED] in near]
    return "".join(difflib.get_close_matches(name, alike, n=1, cutoff=0))


_COMPARED = 50
"""Characters of names that are compared, the time for which grows with their third power."""
_MOST_COMPARED = 10
"""Names that are compared character by character."""
_MOST_LOOKED_AT = 1_000
"""Names of which those are chosen."""


def _promising(name: str, known: Iterable[str]) -> list[str]:
    """The names that have most characters in common with one, whatever their order."""
    names = sorted(islice(known, _MOST_LOOKED_AT))
    wanted = difflib.SequenceMatcher(b=name.lower())

    def likeness(candidate: str) -> float:
        wanted.set_seq1(candidate.lower()[:_COMPARED])
        return wanted.quick_ratio()

    return sorted(heapq.nlargest(_MOST_COMPARED, names, likeness))


def nearest_file(file: str, suffixes: tuple[str, ...]) -> str:
    """The file in the folder of one that is not there whose name is nearest, as a question.

    Only names with one of the suffixes count. The text is empty where none is near.
    """
    wanted = FilePath(file)
    try:
        files = [each for each in islice(wanted.parent.iterdir(), 1000) if each.suffix in suffixes]
    except (OSError, ValueError):
        return ""
    # Suffixes are alike, whatever the names.
    found = nearest(wanted.stem, {file.stem for file in files})
    best = next((file for file in files if file.stem == found), None)
    return f"did you mean '{printable(str(best))}'?" if found else ""


def quoted(value: object) -> str:
    """A short, printable form of any value, as it goes into a message."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return _SHORT.repr(value)


def listed(words: Iterable[str], conjunction: str = "or") -> str:
    """``a, b or c``."""
    *most, last = words
    return f"{', '.join(most)} {conjunction} {last}" if most else last


def printable(text: str) -> str:
    """The text with every control character made visible, safe to send to a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60
_SHORT.maxlevel = 3
_HALF_LINE = 80


def _excerpt(place: Place) -> list[str]:
    """The offending line with a caret under its column; the middle of it where it is long."""
    before, after = place.text[: place.column - 1], place.text[place.column - 1 :]
    if not before + after:
        return []
    # Little is shown of a line of megabytes, and the rest is not even looked at.
    before, after = printable(before[-_HALF_LINE - 1 :]), printable(after[: _HALF_LINE + 1])
    if len(before) > _HALF_LINE:
        before = f"...{before[-_HALF_LINE:]}"
    if len(after) > _HALF_LINE:
        after = f"{after[:_HALF_LINE]}..."
    gutter = f"  {place.line} | "
    return [f"{gutter}{before}{after}", " " * (len(gutter) + len(before)) + "^"]


def _file_order(error: SpecError) -> tuple[str, int, int]:
    place = error.place
    return (place.file, place.line, place.column) if place else ("", 0, 0)
