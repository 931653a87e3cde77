"""YAML texts, read as a stream of events and never as objects.

Tags cannot construct objects. Depth, aliases and size are checked before they are expanded. Scalars
follow the core schema of YAML 1.2.1 (https://yaml.org/spec/1.2.1/#id2804923), where ``1e-3`` is a
number and ``no`` a string.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import yaml

from initcli.documents.document import (
    Document,
    Node,
    Nodes,
    repeated_keys,
    too_deep,
    too_many_digits,
    too_many_values,
    unparsable,
)
from initcli.errors import quoted
from initcli.limits import NESTING, in_force, remedy


def parse_yaml(text: str, file: str) -> Document:
    """Parse a YAML text of one document.

    Raises:
        InvalidSpec: the text does not parse, repeats a key, uses tags, nests too deeply or
            expands to too much.
    """
    builder = _Builder(text)
    try:
        builder.build()
    except _Refused as refused:
        raise unparsable(file, text, refused.offset, refused.message, refused.remedy) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        offset = mark.index if mark else 0
        reason = ", ".join(part for part in (error.context, error.problem) if part)
        advice = _advice(text, offset, reason)
        raise unparsable(file, text, offset, f"this is not YAML: {reason}", advice) from None
    except yaml.reader.ReaderError as error:
        message = f"this is not YAML: {error.reason}"
        raise unparsable(file, text, error.position, message) from None
    if builder.repeated:
        raise repeated_keys(file, text, builder.repeated)
    return Document(file, text, builder.data, lambda: builder.nodes, is_editable=True)


def _advice(text: str, offset: int, reason: str) -> str:
    if text.startswith("\t", offset):
        return "indent with spaces, not with tabs"
    for bracket, what in (("]", "list"), ("}", "mapping")):
        if f"or '{bracket}'" in reason:
            return f"before this, a {what} lacks a comma or its `{bracket}`"
    return ""


class _Refused(Exception):
    """Raised for a text that parses but is not allowed."""

    def __init__(self, event: Any, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.offset = event.start_mark.index
        self.message = message
        self.remedy = remedy


class _Builder:
    """Builds plain data from events with a stack instead of recursion."""

    def __init__(self, text: str) -> None:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        self.text = text
        self.events = yaml.parse(text, Loader=loader)
        self.limits = in_force()
        self.nodes: Nodes = {}
        self.repeated: list[tuple[str, int]] = []
        self.data: Any = None
        self.anchors: dict[str, tuple[Any, int]] = {}
        self.values = 0
        self.documents = 0
        # One entry for each open mapping or list: the value, its anchor and the count of values
        # before it. The last step of the path is the index or key of the next value in it.
        self.open: list[tuple[Any, str | None, int]] = []
        self.path: list[Any] = []
        self.key: tuple[int, int] | None = None
        self.end = 0

    def build(self) -> None:
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                self.documents += 1
                if self.documents > 1:
                    raise _Refused(
                        event, "a spec is a single YAML document, but a second begins here"
                    )
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

    def _end(self, event: Any) -> None:
        value, anchor, before = self.open.pop()
        self.path.pop()
        here = tuple(self.path)
        if not self.nodes[here].is_block:
            self.end = event.end_mark.index
        # The end event of a block is after blank lines and comments, so its last value ends it.
        self.nodes[here] = self.nodes[here]._replace(end=self.end)
        if anchor is not None:
            self.anchors[anchor] = (value, self.values - before)
        if isinstance(value, dict) and _MERGE in value:
            merged: dict[Any, Any] = {}
            sources = value.pop(_MERGE)
            for source in reversed(sources if isinstance(sources, list) else [sources]):
                if not isinstance(source, dict):
                    raise _Refused(event, "'<<' must merge a mapping, or a list of mappings")
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
        """Add a value to the open mapping or list."""
        self.values += size
        if self.values > self.limits.values:
            raise _Refused(event, too_many_values(), remedy("values", self.values))
        if isinstance(event, yaml.ScalarEvent) and event.anchor is not None:
            self.anchors[event.anchor] = (value, 1)
        self.nodes[tuple(self.path)] = self._node(event)
        if not self.open:
            self.data = value
            return
        parent = self.open[-1][0]
        if isinstance(parent, dict):
            parent[self.path[-1]] = value
        else:
            parent.append(value)

    def _node(self, event: Any) -> Node:
        start, end = _span(event)
        key, self.key = self.key, None
        if isinstance(event, yaml.AliasEvent):
            self.end = end
            return Node(start, end, key, sharing="alias")
        is_block = False
        if not isinstance(event, yaml.ScalarEvent):
            is_block = not event.flow_style
        elif event.style in ("|", ">"):
            end = start + len(self.text[start:end].rstrip())
        elif start == end and key is not None:
            colon = COLON.match(self.text, key[1])
            start = end = colon.end() if colon else key[1]
        self.end = end
        return Node(start, end, key, is_block, "" if event.anchor is None else "anchor")

    def _advance(self) -> None:
        """Expect the next item, or the next key, once a value is complete."""
        if self.open:
            in_mapping = isinstance(self.open[-1][0], dict)
            self.path[-1] = _NO_KEY if in_mapping else self.path[-1] + 1

    def _key(self, event: Any) -> None:
        if not isinstance(event, yaml.ScalarEvent):
            raise _Refused(event, "a key must be a plain string, not a mapping, a list or an alias")
        self.path[-1] = event.value
        self.key = _span(event)
        if tuple(self.path) in self.nodes:
            self.repeated.append((event.value, self.key[0]))


def _span(event: Any) -> tuple[int, int]:
    return event.start_mark.index, event.end_mark.index


COLON = re.compile(r"\s*:")
"""The text between a key and its value."""
_NO_KEY = object()
_CORE = "tag:yaml.org,2002:"
_PYTHON = f"{_CORE}python/"
"""Prefix of PyYAML's tags. Those of plain values are read, because Keras's ``to_yaml()`` writes
them."""
_COLLECTIONS = (
    *(None, "!", f"{_CORE}map", f"{_CORE}seq"),
    *(f"{_PYTHON}tuple", f"{_PYTHON}list", f"{_PYTHON}dict"),
)
_TEXTS = (None, "!", f"{_CORE}str", f"{_PYTHON}str", f"{_PYTHON}unicode")
_MERGE = "<<"
_NO_TAGS = "write plain values; code belongs in a file named with --custom"

_INT = re.compile(r"[-+]?[0-9]+")
_READERS: tuple[tuple[str, re.Pattern[str], Callable[[str], Any]], ...] = (
    ("null", re.compile(r"null|Null|NULL|~|"), lambda text: None),
    ("bool", re.compile(r"true|True|TRUE|false|False|FALSE"), lambda text: text[0] in "tT"),
    ("int", _INT, int),
    ("int", re.compile(r"0o[0-7]+"), lambda text: int(text[2:], 8)),
    ("int", re.compile(r"0x[0-9a-fA-F]+"), lambda text: int(text[2:], 16)),
    ("float", re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), float),
    ("float", re.compile(r"[-+]?\.(inf|Inf|INF)"), lambda text: float(text.replace(".", ""))),
    ("float", re.compile(r"\.(nan|NaN|NAN)"), lambda text: float("nan")),
)


def _scalar(event: Any) -> Any:
    text = event.value
    if not event.implicit[0] and event.tag in _TEXTS:
        return text
    kind = None
    if not event.implicit[0]:
        kind = event.tag.removeprefix(_CORE).removeprefix("python/").replace("long", "int")
    for name, pattern, read in _READERS:
        if kind in (None, name) and pattern.fullmatch(text):
            digits = len(text.lstrip("+-")) if name == "int" else 0
            if problem := too_many_digits(digits):
                raise _Refused(event, problem)
            return read(text)
    if kind is None:
        return text
    if kind == "float" and _INT.fullmatch(text):
        return float(text)
    raise _Refused(event, f"the tag {quoted(event.tag)} is not allowed here", _NO_TAGS)
