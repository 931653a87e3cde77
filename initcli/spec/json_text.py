"""JSON texts: data from the standard parser, places from a second look when an error needs them."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from initcli.errors import InvalidSpec, Path, UnparsableText
from initcli.spec.document import (
    DEEPEST_NESTING,
    Document,
    Mark,
    Marks,
    place,
    repeated_keys,
)

MOST_DIGITS = 200
"""Digits of a whole number at most."""


def looks_like_json(text: str) -> bool:
    """Whether a text begins as JSON does; a YAML flow mapping seldom quotes its first key."""
    return _BEGINNING.match(text) is not None


def parse_json(text: str, file: str) -> Document:
    """Parse a JSON text.

    Raises:
        InvalidSpec: the text is no JSON, repeats a key or nests too deeply.
    """
    repeats = False

    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeats
        data = dict(pairs)
        repeats = repeats or len(data) < len(pairs)
        return data

    if _depth(text) > DEEPEST_NESTING:
        raise _refused(file, text, Mark(0, 0), "this is nested too deeply")
    try:
        data = json.loads(text, object_pairs_hook=mapping, parse_int=number)
    except json.JSONDecodeError as error:
        mark = Mark(error.lineno - 1, error.colno - 1)
        raise _refused(file, text, mark, f"this is not JSON: {error.msg.lower()}") from None
    if repeats:
        raise repeated_keys(file, text, _find_marks(text).repeated)
    return Document(file, text, data, lambda: _find_marks(text))


def number(digits: str, base: int = 10) -> int | float:
    """A whole number; one beyond any use becomes infinite, which no argument accepts."""
    return int(digits, base) if len(digits) <= MOST_DIGITS else math.inf


def _refused(file: str, text: str, mark: Mark, message: str) -> InvalidSpec:
    error = UnparsableText(message)
    error.place = place(file, text, mark)
    return InvalidSpec([error])


_BEGINNING = re.compile(r'\s*(\{\s*("|\})|\[\s*[\[{"\]])')
_STRING = r'"(?:[^"\\]|\\.)*"'
_BRACKETS = re.compile(_STRING + r"|[\[{\]}]", re.DOTALL)
_TOKENS = re.compile(_STRING + r"|[\[{\]},:]|[^\s\[{\]},:\"]+|\n", re.DOTALL)


def _depth(text: str) -> int:
    depth = deepest = 0
    for token in _BRACKETS.finditer(text):
        if token[0] in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif token[0] in "]}":
            depth -= 1
    return deepest


def _find_marks(text: str) -> Marks:
    """Walk the tokens of a valid JSON text and note where each key and value begins."""
    marks = Marks({}, {}, [])
    # The path of the value to come; below an open list its last item counts, below an open
    # mapping it is the last key, or None before a key.
    path: list[Any] = []
    open_lists: list[bool] = []
    line, line_start = 0, 0
    for token in _TOKENS.finditer(text):
        word = token[0]
        mark = Mark(line, token.start() - line_start)
        if word == "\n":
            line, line_start = line + 1, token.end()
        elif word in "]}":
            path.pop()
            open_lists.pop()
        elif word == ",":
            path[-1] = path[-1] + 1 if open_lists[-1] else None
        elif word == ":":
            pass
        elif path and path[-1] is None:
            path[-1] = json.loads(word)
            here: Path = tuple(path)
            if here in marks.keys:
                marks.repeated.append((here, mark))
            marks.keys[here] = mark
        else:
            marks.values[tuple(path)] = mark
            if word in "[{":
                path.append(0 if word == "[" else None)
                open_lists.append(word == "[")
    return marks
