"""JSON texts: data from the standard parser, nodes from a second pass when they are needed."""

from __future__ import annotations

import json
import re
from typing import Any

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
from initcli.errors import Path
from initcli.limits import DIGITS, NESTING, in_force, remedy


def looks_like_json(text: str) -> bool:
    """Whether a text begins like JSON; a YAML flow mapping rarely quotes its first key."""
    return _BEGINNING.match(text) is not None


def parse_json(text: str, file: str) -> Document:
    """Parse a JSON text.

    Raises:
        InvalidSpec: the text is not JSON, repeats a key, nests too deeply or has too many values.
    """
    repeats = False

    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeats
        data = dict(pairs)
        repeats = repeats or len(data) < len(pairs)
        return data

    if exceeded := _exceeded_limit(text):
        raise unparsable(file, text, *exceeded)
    try:
        data = json.loads(text, object_pairs_hook=mapping)
    except json.JSONDecodeError as error:
        message = f"this is not JSON: {error.msg.lower()}"
        raise unparsable(file, text, error.pos, message) from None
    if repeats:
        raise repeated_keys(file, text, _find_nodes(text)[1])
    return Document(file, text, data, lambda: _find_nodes(text)[0], is_editable=True)


_BEGINNING = re.compile(r'\s*+(\{\s*+("|\})|\[\s*+[\[{"\]])')
# An unterminated string runs to the end; otherwise each of its quotes would start a new search.
_STRING = r'"(?:[^"\\]|\\.)*+(?:"|\Z)'
_BRACKETS = re.compile(rf'(?:[^"\[{{\]}}]++|{_STRING})*+([\[{{\]}}]?)', re.DOTALL)
_COUNTED = re.compile(_STRING + r"|[\[{\]},]|[0-9][^\s,\]}]*+", re.DOTALL)
_TOKENS = re.compile(_STRING + r"|[\[{\]},]|[^\s\[{\]},:\"]++", re.DOTALL)


def _exceeded_limit(text: str) -> tuple[int, str, str] | None:
    """Offset, message and remedy if a text exceeds a limit, before anything is built."""
    limits = in_force()
    depth = 0
    for match in _BRACKETS.finditer(text):
        if match[1] and match[1] in "[{":
            depth += 1
            if depth > NESTING:
                return match.start(1), too_deep(), ""
        elif match[1]:
            depth -= 1
    # Only texts near the other limits need the slower scan.
    is_small = sum(map(text.count, ",[{")) < limits.values
    if is_small and not re.search(f"[0-9]{{{DIGITS + 1}}}", text):
        return None
    values = 1
    for token in _COUNTED.finditer(text):
        word = token[0]
        if word in ",[{":
            values += 1
            if values > limits.values:
                return token.start(), too_many_values(), remedy("values")
        elif word.isdecimal() and (problem := too_many_digits(len(word))):
            return token.start(), problem, ""
    return None


def _find_nodes(text: str) -> tuple[Nodes, list[tuple[str, int]]]:
    """The nodes of a valid JSON text, and the keys that repeat with their offsets."""
    nodes: Nodes = {}
    repeated: list[tuple[str, int]] = []
    # The path of the next value; in a list its last step is the index, in a mapping the key, or
    # None where a key comes next. `opened` holds the path of each open bracket.
    path: list[Any] = []
    opened: list[Path] = []
    key: tuple[int, int] | None = None
    for token in _TOKENS.finditer(text):
        word, span = token[0], token.span()
        if word in "]}":
            path.pop()
            here = opened.pop()
            nodes[here] = nodes[here]._replace(end=span[1])
        elif word == ",":
            path[-1] = path[-1] + 1 if isinstance(path[-1], int) else None
        elif path and path[-1] is None:
            name: str = json.loads(word)
            path[-1], key = name, span
            if tuple(path) in nodes:
                repeated.append((name, span[0]))
        else:
            here = tuple(path)
            nodes[here] = Node(*span, key)
            key = None
            if word in "[{":
                opened.append(here)
                path.append(0 if word == "[" else None)
    return nodes, repeated
