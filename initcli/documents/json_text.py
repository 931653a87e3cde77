"""JSON texts: data from the standard parser, places from a second look when an error needs them."""

from __future__ import annotations

import json
import re
from typing import Any

from initcli.documents.document import Document, Mark, Marks, place, repeated_keys
from initcli.errors import InvalidSpec, Path, UnparsableText
from initcli.limits import DIGITS, NESTING, in_force, remedy


def looks_like_json(text: str) -> bool:
    """Whether a text begins as JSON does; a YAML flow mapping seldom quotes its first key."""
    return _BEGINNING.match(text) is not None


def parse_json(text: str, file: str) -> Document:
    """Parse a JSON text.

    Raises:
        InvalidSpec: the text is no JSON, repeats a key, nests too deeply or has too many values.
    """
    repeats = False

    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeats
        data = dict(pairs)
        repeats = repeats or len(data) < len(pairs)
        return data

    if found := _beyond_limits(text):
        at, message, way_out = found
        mark = Mark(text.count("\n", 0, at), at - (text.rfind("\n", 0, at) + 1))
        raise _refused(file, text, mark, message, way_out)
    try:
        data = json.loads(text, object_pairs_hook=mapping)
    except json.JSONDecodeError as error:
        mark = Mark(error.lineno - 1, error.colno - 1)
        raise _refused(file, text, mark, f"this is not JSON: {error.msg.lower()}") from None
    if repeats:
        raise repeated_keys(file, text, _find_marks(text).repeated)
    return Document(file, text, data, lambda: _find_marks(text))


def too_many_digits(digits: int) -> str:
    """What is wrong with a whole number of so many digits, if anything is."""
    return (
        "" if digits <= DIGITS else f"this number has {digits:,} digits, and {DIGITS} are allowed"
    )


def _refused(file: str, text: str, mark: Mark, message: str, way_out: str = "") -> InvalidSpec:
    error = UnparsableText(message, remedy=way_out)
    error.place = place(file, text, mark)
    return InvalidSpec([error])


_BEGINNING = re.compile(r'\s*+(\{\s*+("|\})|\[\s*+[\[{"\]])')
# A text that nothing ends goes on to the end, or else it would be searched from each of its quotes.
_STRING = r'"(?:[^"\\]|\\.)*+(?:"|\Z)'
# Everything up to the next bracket at once, for most of a text is of no interest.
_BRACKETS = re.compile(rf'(?:[^"\[{{\]}}]++|{_STRING})*+([\[{{\]}}]?)', re.DOTALL)
_COUNTED = re.compile(_STRING + r"|[\[{\]},]|[0-9][^\s,\]}]*+", re.DOTALL)
_TOKENS = re.compile(_STRING + r"|[\[{\]},:]|[^\s\[{\]},:\"]++|\n", re.DOTALL)


def _beyond_limits(text: str) -> tuple[int, str, str] | None:
    """Where a text exceeds a limit, which, and what to do about it; before anything is built."""
    most = in_force()
    depth = 0
    for found in _BRACKETS.finditer(text):
        if found[1] and found[1] in "[{":
            depth += 1
            if depth > NESTING:
                return found.start(1), too_deep(), ""
        elif found[1]:
            depth -= 1
    # Few texts come near the other limits, and have to be looked at more closely.
    is_small = sum(map(text.count, ",[{")) < most.values
    if is_small and not re.search(f"[0-9]{{{DIGITS + 1}}}", text):
        return None
    values = 1
    for token in _COUNTED.finditer(text):
        word = token[0]
        if word in ",[{":
            values += 1
            if values > most.values:
                return token.start(), too_many_values(), remedy("values")
        elif word.isdecimal() and (problem := too_many_digits(len(word))):
            return token.start(), problem, ""
    return None


def too_deep() -> str:
    """What is wrong with a text of more nesting than is allowed."""
    return f"this is nested more than {NESTING} deep"


def too_many_values() -> str:
    """What is wrong with a text of more values than are allowed."""
    return f"this has more than {in_force().values:,} values, those of aliases counted"


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
