"""YAML texts, read as a stream of events and never as objects.

No tag can build anything; depth, aliases and size are bounded before they are expanded; scalars
follow the core schema of YAML 1.2.1 (https://yaml.org/spec/1.2.1/#id2804923), in which ``1e-3`` is
a number and ``no`` a text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import yaml

from initcli.documents.document import Document, Mark, Marks, place, repeated_keys
from initcli.documents.json_text import too_deep, too_many_digits, too_many_values
from initcli.errors import InvalidSpec, UnparsableText, quoted
from initcli.limits import NESTING, in_force, remedy


def parse_yaml(text: str, file: str) -> Document:
    """Parse a YAML text of one document.

    Raises:
        InvalidSpec: the text does not parse, repeats a key, uses tags, nests too deeply or
            expands to too much.
    """
    try:
        builder = _Builder(text)
        builder.build()
    except _Refused as refused:
        raise _invalid(file, text, refused.mark, refused.message, refused.remedy) from None
    except yaml.MarkedYAMLError as error:
        found = error.problem_mark or error.context_mark
        mark = Mark(found.line, found.column) if found else Mark(0, 0)
        reason = ", ".join(part for part in (error.context, error.problem) if part)
        remedy = _mended(text, mark, reason)
        raise _invalid(file, text, mark, f"this is not YAML: {reason}", remedy) from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        mark = Mark(before.count("\n"), len(before) - (before.rfind("\n") + 1))
        raise _invalid(file, text, mark, f"this is not YAML: {error.reason}") from None
    if builder.marks.repeated:
        raise repeated_keys(file, text, builder.marks.repeated)
    return Document(file, text, builder.data, lambda: builder.marks)


def _mended(text: str, mark: Mark, reason: str) -> str:
    """What helps against the usual mistakes."""
    if place("", text, mark).text[mark.column :].startswith("\t"):
        return "indent with spaces, not with tabs"
    for bracket, what in (("]", "list"), ("}", "mapping")):
        if f"or '{bracket}'" in reason:
            return f"before this, a {what} lacks a comma or its `{bracket}`"
    return ""


class _Refused(Exception):
    """A text that parses, and that is refused all the same."""

    def __init__(self, event: yaml.Event, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.mark = _mark(event)
        self.message = message
        self.remedy = remedy


class _Builder:
    """Builds plain data from events with a stack, so that depth costs no recursion."""

    def __init__(self, text: str) -> None:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        self.events = yaml.parse(text, Loader=loader)
        self.most = in_force()
        self.marks = Marks({}, {}, [])
        self.data: Any = None
        self.anchors: dict[str, tuple[Any, int]] = {}
        self.values = 0
        self.documents = 0
        # One entry a mapping or list that is still open: the value, its anchor, and the count of
        # values before it; and in the path the index or the key of what comes next in it.
        self.open: list[tuple[Any, str | None, int]] = []
        self.path: list[Any] = []

    def build(self) -> None:
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                self.documents += 1
                if self.documents > 1:
                    raise _Refused(event, "a spec is one YAML document, and here a second begins")
            elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
                self._end(event)
            elif self.path and self.path[-1] is _NO_KEY:
                self._key(event)
            elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
                self._begin(event)
            elif isinstance(event, yaml.AliasEvent):
                self._alias(event)
            elif isinstance(event, yaml.ScalarEvent):
                self._put(event, _scalar(event), 1)
                self._advance()

    def _begin(self, event: Any) -> None:
        if event.tag not in _COLLECTIONS:
            is_keras = "keras" in event.tag or "tensorflow" in event.tag
            advice = "save what the model's to_json() returns" if is_keras else _NO_TAGS
            raise _Refused(event, f"the tag {quoted(event.tag)} is not allowed in a spec", advice)
        if len(self.open) >= NESTING:
            raise _Refused(event, too_deep())
        value: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
        self._put(event, value, 1)
        self.open.append((value, event.anchor, self.values - 1))
        self.path.append(_NO_KEY if isinstance(value, dict) else 0)

    def _end(self, event: yaml.Event) -> None:
        value, anchor, before = self.open.pop()
        self.path.pop()
        if anchor is not None:
            self.anchors[anchor] = (value, self.values - before)
        if isinstance(value, dict) and _MERGE in value:
            merged: dict[Any, Any] = {}
            sources = value.pop(_MERGE)
            for source in reversed(sources if isinstance(sources, list) else [sources]):
                if not isinstance(source, dict):
                    raise _Refused(event, "what '<<' merges must be a mapping, or a list of them")
                merged |= source
            own = dict(value)
            value.clear()
            value.update(merged | own)
        self._advance()

    def _alias(self, event: Any) -> None:
        if event.anchor not in self.anchors:
            raise _Refused(event, f"the alias '*{event.anchor}' has no anchor before it")
        value, size = self.anchors[event.anchor]
        self._put(event, value, size)
        self._advance()

    def _put(self, event: Any, value: Any, size: int) -> None:
        """Put a value where the open mapping or list expects it."""
        self.values += size
        if self.values > self.most.values:
            raise _Refused(event, too_many_values(), remedy("values", self.values))
        if isinstance(event, yaml.ScalarEvent) and event.anchor is not None:
            self.anchors[event.anchor] = (value, 1)
        if not self.open:
            self.data = value
            self.marks.values[()] = _mark(event)
            return
        parent = self.open[-1][0]
        self.marks.values[tuple(self.path)] = _mark(event)
        if isinstance(parent, dict):
            parent[self.path[-1]] = value
        else:
            parent.append(value)

    def _advance(self) -> None:
        """Expect the next item, or the next key, once a value is complete."""
        if self.open:
            in_mapping = isinstance(self.open[-1][0], dict)
            self.path[-1] = _NO_KEY if in_mapping else self.path[-1] + 1

    def _key(self, event: Any) -> None:
        if not isinstance(event, yaml.ScalarEvent):
            raise _Refused(event, "a key is a plain text, not a mapping, a list or an alias")
        self.path[-1] = event.value
        here = tuple(self.path)
        if here in self.marks.keys:
            self.marks.repeated.append((here, _mark(event)))
        self.marks.keys[here] = _mark(event)


_NO_KEY = object()
_CORE = "tag:yaml.org,2002:"
_PYTHON = f"{_CORE}python/"
"""Begins the tags that PyYAML writes; those of plain values are read, as ``to_yaml()`` has them."""
_COLLECTIONS = (
    *(None, "!", f"{_CORE}map", f"{_CORE}seq"),
    *(f"{_PYTHON}tuple", f"{_PYTHON}list", f"{_PYTHON}dict"),
)
_TEXTS = (None, "!", f"{_CORE}str", f"{_PYTHON}str", f"{_PYTHON}unicode")
_MERGE = "<<"
_NO_TAGS = "write plain values; code belongs in a file named with --custom"

_NULL = re.compile(r"(?:null|Null|NULL|~|)\Z")
_BOOL = re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z")
_INT = re.compile(r"[-+]?[0-9]+\Z")
_OCTAL = re.compile(r"0o[0-7]+\Z")
_HEX = re.compile(r"0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_INF = re.compile(r"[-+]?\.(?:inf|Inf|INF)\Z")
_NAN = re.compile(r"\.(?:nan|NaN|NAN)\Z")

_READERS: tuple[tuple[str, re.Pattern[str], Callable[[str], Any]], ...] = (
    ("null", _NULL, lambda text: None),
    ("bool", _BOOL, lambda text: text[0] in "tT"),
    ("int", _INT, int),
    ("int", _OCTAL, lambda text: int(text[2:], 8)),
    ("int", _HEX, lambda text: int(text[2:], 16)),
    ("float", _FLOAT, float),
    ("float", _INF, lambda text: float(text.replace(".", ""))),
    ("float", _NAN, lambda text: float("nan")),
)


def _scalar(event: Any) -> Any:
    if event.implicit[0]:
        for kind, pattern, read in _READERS:
            if pattern.match(event.value):
                return _read(event, kind, read)
        return event.value
    if event.tag in _TEXTS:
        return event.value
    kind = event.tag.removeprefix(_CORE).removeprefix("python/").replace("long", "int")
    for name, pattern, read in _READERS:
        if kind == name and pattern.match(event.value):
            return _read(event, kind, read)
    if kind == "float" and _INT.match(event.value):
        return float(event.value)
    raise _Refused(event, f"the tag {quoted(event.tag)} is not allowed here", _NO_TAGS)


def _read(event: Any, kind: str, read: Callable[[str], Any]) -> Any:
    digits = len(event.value.lstrip("+-")) if kind == "int" else 0
    if problem := too_many_digits(digits):
        raise _Refused(event, problem)
    return read(event.value)


def _mark(event: yaml.Event) -> Mark:
    mark = event.start_mark
    return Mark(mark.line, mark.column) if mark else Mark(0, 0)


def _invalid(file: str, text: str, mark: Mark, message: str, remedy: str = "") -> InvalidSpec:
    error = UnparsableText(message, remedy=remedy)
    error.place = place(file, text, mark)
    return InvalidSpec([error])
