"""Output formats: the enumeration, and how the rows of a report are written in each.

A row is always one line, so output that is cut between lines has only complete rows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from initcli.errors import printable

if TYPE_CHECKING:
    from initcli.reports.record import Rows


def _jsonl(rows: Rows, titled: bool) -> Iterator[str]:
    for row in rows.records():
        yield json.dumps(row) + "\n"


def _separated(
    separator: str, cell: Callable[[Any], str], rows: Rows, titled: bool
) -> Iterator[str]:
    if titled:
        yield separator.join(map(cell, rows.columns)) + "\n"
    for row in rows.records():
        yield separator.join(cell(row[name]) for name in rows.columns) + "\n"


def _markdown(rows: Rows, titled: bool) -> Iterator[str]:
    columns = rows.shown or rows.columns
    if not titled:
        yield "\n"
    if rows.title:
        yield f"## {_escaped(rows.title)}\n\n"
    if rows.facts:
        yield f"{_escaped(rows.facts)}\n\n"
    yield f"| {' | '.join(name.replace('_', ' ') for name in columns)} |\n"
    yield f"|{' --- |' * len(columns)}\n"
    for row in rows.records():
        yield f"| {' | '.join(_escaped(rounded(row[name])) for name in columns)} |\n"


def _unformulated(value: Any) -> str:
    """A cell; text that a spreadsheet would evaluate gets a leading ', as OWASP advises."""
    # Escapes line breaks and tabs, which would end the row or the cell.
    text = printable(_text(value))
    is_formula = isinstance(value, str) and len(text) > 1 and text.lstrip()[:1] in _FORMULA
    return f"'{text}" if is_formula else text


def _quoted(value: Any) -> str:
    """A cell of a CSV, in quotes where needed."""
    if value is None or isinstance(value, int | float):
        return _text(value)
    text = _unformulated(value)
    needed = any(sign in text for sign in ',"') or text != text.strip() or text != _text(value)
    return '"' + text.replace('"', '""') + '"' if needed else text


_FORMULA = frozenset("=+-@＝＋－＠")
"""First characters of a formula; tabs and line breaks are escaped before."""


def _text(value: Any) -> str:
    """A value as text; unknown ones are empty."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "x".join("?" if each is None else str(each) for each in value)
    return str(value)


def rounded(value: Any) -> str:
    """A value rounded for display."""
    if isinstance(value, float):
        return f"{value:z.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return _text(value).replace("x", " × ") if isinstance(value, list) else _text(value)


def short(number: float) -> str:
    """A number in three digits, with an SI prefix if it is large."""
    for size, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{prefix}"
    return f"{number:.3g}"


_SIGNS = re.compile(r"([\\`*_\[\]<>|#~])")


def _escaped(text: str) -> str:
    """Text with Markdown syntax escaped."""
    return _SIGNS.sub(r"\\\1", printable(text))


ROWS: dict[str, Callable[[Rows, bool], Iterator[str]]] = {
    "jsonl": _jsonl,
    "csv": partial(_separated, ",", _quoted),
    "tsv": partial(_separated, "\t", _unformulated),
    "markdown": _markdown,
}
"""The formats of rows: each takes rows, and whether they are the first of the output."""
FORMATS = ("table", "json", *ROWS)
"""The formats of every report."""
FINDINGS_FORMATS = (*FORMATS, "github")
"""The formats of ``check``."""
