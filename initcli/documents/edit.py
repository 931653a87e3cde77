"""Edits of a YAML or JSON text that keep its comments, layout and line ends.

A value is replaced in place, and a new key follows the last key of its mapping. Values that are
shared by an anchor, an alias or a merge key (``<<``) are not edited, because the edit would also
change other places. The new text is parsed again and compared with the wanted data before it is
used.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from initcli.documents.document import Document, Node, with_values
from initcli.documents.parsing import is_json, parse_text
from initcli.documents.yaml_text import COLON
from initcli.errors import InitcliError, InvalidSpec, Path, printable


class Change(NamedTuple):
    """A new value for the key at the end of ``path``."""

    path: Path
    value: Any


def merged(changes: Iterable[Change]) -> tuple[Change, ...]:
    """The last change for each place."""
    return tuple({change.path: change for change in changes}.values())


class CannotEdit(InitcliError):
    """A change that cannot be made to a text safely."""


class _Edit(NamedTuple):
    """A range of a text, and its replacement."""

    start: int
    end: int
    new: str


def edited(text: str, file: str, changes: Iterable[Change]) -> str:
    """The text with values of its mappings replaced, or added under new keys.

    Raises:
        CannotEdit: a path does not lead to a key of a mapping, its value is shared, or the new
            text would not have the wanted data.
        InvalidSpec: the text does not parse.
    """
    document = parse_text(text, file)
    write = _write_json if is_json(text, file) else yaml_flow
    edits: list[_Edit] = []
    added: defaultdict[Path, list[str]] = defaultdict(list)
    anchors = [node.start for node in document.nodes.values() if node.sharing == "anchor"]
    wanted: dict[Path, Any] = {}
    for path, value in dict(changes).items():
        holder = _holder(document, path)
        if path[-1] in holder and _is_same(holder[path[-1]], value):
            continue
        _refuse_shared(document, path, path[-1] in holder, anchors)
        wanted[path] = value
        if path in document.nodes:
            edits += _replacement(text, document.nodes[path], write(value))
        else:
            added[path[:-1]].append(f"{write(path[-1])}: {write(value)}")
    # If an inner and an outer mapping end at the same place, the inner key comes first.
    for path in sorted(added, key=len, reverse=True):
        edits += _addition(document, path, added[path])
    pieces, done = [], 0
    for edit in sorted(edits, key=lambda edit: edit[:2]):
        pieces += [text[done : edit.start], edit.new]
        done = max(done, edit.end)
    new = "".join([*pieces, text[done:]])
    try:
        is_right = _is_same(parse_text(new, file).data, with_values(document.data, wanted))
    except InvalidSpec:
        is_right = False
    if not is_right:
        message = f"these changes would break the layout of {printable(file)}"
        raise CannotEdit(f"{message}; make them by hand")
    return new


def _holder(document: Document, path: Path) -> dict[str, Any]:
    """The mapping that holds the last key of a path."""
    data = document.data
    try:
        for step in path[:-1]:
            data = data[step]
    except (LookupError, TypeError):
        data = None
    if not path or not isinstance(data, dict) or not isinstance(path[-1], str):
        raise CannotEdit(printable(f"`{'.'.join(map(str, path))}` is not a key of a mapping"))
    return data


def _refuse_shared(
    document: Document, path: Path, is_present: bool, anchors: Sequence[int]
) -> None:
    """Raise CannotEdit if the value at a path is shared by an anchor, an alias or a merge."""
    *outer, own = (document.nodes.get(path[:length]) for length in range(len(path) + 1))
    shared = next((length for length, node in enumerate(outer) if node and node.sharing), None)
    if shared is None and own is None and is_present:
        shared = len(path) - 1
    if shared is None and own is not None and any(own.start <= at < own.end for at in anchors):
        shared = len(path)
    if shared is not None:
        place = document.place(path[:shared])
        message = f"{place}: this value is shared by a YAML anchor, alias or <<"
        raise CannotEdit(f"{message}; write it out in each place, or change it by hand")


def _is_same(a: Any, b: Any) -> bool:
    """Whether two values and all their types are equal, so that 1 differs from 1.0."""
    return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)


def _replacement(text: str, node: Node, new: str) -> list[_Edit]:
    if node.start == node.end:
        new = f" {new}" if text[node.start - 1] == ":" else f": {new}"
        return [_Edit(node.start, node.end, new)]
    colon = COLON.match(text, node.key[1]) if node.is_block and node.key else None
    if colon is None:
        return [_Edit(node.start, node.end, new)]
    # The value is below its key, which a comment may follow.
    line_end = _line_end(text, colon.end())
    return [
        _Edit(colon.end(), colon.end(), f" {new}"),
        _Edit(line_end, _line_end(text, node.end), ""),
    ]


def _addition(document: Document, path: Path, pairs: list[str]) -> list[_Edit]:
    text, nodes = document.text, document.nodes
    newline = "\r\n" if "\r\n" in text else "\n"
    holder = _holder(document, (*path, ""))
    keys = [nodes[(*path, key)] for key in (*holder, "<<") if (*path, key) in nodes]
    if not keys:
        inside = nodes[path].start + 1
        return [_Edit(inside, inside, ", ".join(pairs))]
    last = max(keys, key=lambda node: node.end)
    assert last.key is not None
    if nodes[path].is_block:
        at = _line_end(text, last.end)
        first = min(node.key[0] for node in keys if node.key)
        indent = " " * (first - _line_start(text, first))
        return [_Edit(at, at, "".join(f"{newline}{indent}{pair}" for pair in pairs))]
    lead = text[_line_start(text, last.key[0]) : last.key[0]]
    if lead.strip() or "\n" not in text[last.end : nodes[path].end]:
        return [_Edit(last.end, last.end, "".join(f", {pair}" for pair in pairs))]
    comma = _COMMA.match(text, last.end)
    at = _line_end(text, comma.end() if comma else last.end)
    lines = f"{newline}{lead}" + f",{newline}{lead}".join(pairs)
    edits = [] if comma else [_Edit(last.end, last.end, ",")]
    return [*edits, _Edit(at, at, f"{lines}," if comma else lines)]


_COMMA = re.compile(r"[ \t]*,")


def _line_start(text: str, at: int) -> int:
    return text.rfind("\n", 0, at) + 1


def _line_end(text: str, at: int) -> int:
    """The end of the line at an offset, before its line break."""
    end = text.find("\n", at)
    end = len(text) if end < 0 else end
    return end - (end > at and text[end - 1] == "\r")


_WORDS = re.compile(r"[^\W\d][\w./+-]*(?: [\w./+-]+)*\Z")
_NO_TEXTS = ("null", "true", "false")


def _write_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def yaml_flow(value: Any) -> str:
    """Plain data in flow style, with quotes only around texts that need them."""
    if isinstance(value, dict):
        pairs = (f"{yaml_flow(key)}: {yaml_flow(each)}" for key, each in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(yaml_flow, value))}]"
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else f"{'-' * (value < 0)}.inf"
    if not isinstance(value, str):
        return json.dumps(value)
    if _WORDS.match(value) and value.lower() not in _NO_TEXTS:
        return value
    # JSON leaves characters unescaped that YAML takes for line breaks, or does not allow.
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in _write_json(value))
