"""Reports as flat rows, printed one by one: JSON lines, CSV, and Markdown.

A row is a mapping of column names to plain values. It is a line of its own whatever its values
hold, so that what is cut between lines is still whole.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from initcli.errors import printable

Row = Mapping[str, Any]


class Rows(NamedTuple):
    """Rows under their columns.

    ``title`` and ``facts`` stand over them in Markdown, where only the columns that are ``shown``
    are, or all of them.
    """

    columns: Sequence[str]
    rows: Iterable[Row]
    title: str = ""
    facts: str = ""
    shown: Sequence[str] = ()


def lines(format: str, rows: Rows, *, titled: bool = True) -> Iterator[str]:
    """The rows as text, a line each, as they come.

    Args:
        format: ``jsonl``, ``csv`` or ``markdown``.
        rows: what to print.
        titled: whether a CSV begins with the names of its columns.
    """
    match format:
        case "jsonl":
            for row in rows.rows:
                yield json.dumps({name: _finite(row.get(name)) for name in rows.columns}) + "\n"
        case "csv":
            if titled:
                yield _csv_line(rows.columns)
            for row in rows.rows:
                yield _csv_line(row.get(name) for name in rows.columns)
        case "markdown":
            yield from _markdown(rows)
        case _:
            raise ValueError(format)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _csv_line(values: Iterable[Any]) -> str:
    return ",".join(map(_csv_cell, values)) + "\n"


def _csv_cell(value: Any) -> str:
    """A value as a CSV has it: a text that a spreadsheet would compute is in quotes, after a '.

    That is what OWASP advises against CSV injection. A number is what it is, whatever its sign.
    """
    # A name may hold a line break, and a row is one line.
    text = printable(_cell(value))
    is_formula = isinstance(value, str) and len(text) > 1 and text.lstrip()[:1] in _FORMULA
    if is_formula:
        text = f"'{text}"
    quote = is_formula or any(sign in text for sign in ',"') or text != text.strip()
    return '"' + text.replace('"', '""') + '"' if quote else text


_FORMULA = frozenset("=+-@＝＋－＠")
"""What a formula begins with; one that begins with a tab or a line break is escaped already."""


def _cell(value: Any) -> str:
    """A value in a table; what is not known, and what is not finite, is empty."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "x".join("?" if each is None else str(each) for each in value)
    return str(value)


def _markdown(rows: Rows) -> Iterator[str]:
    columns = rows.shown or rows.columns
    if rows.title:
        yield f"## {_escaped(rows.title)}\n\n"
    if rows.facts:
        yield f"{_escaped(rows.facts)}\n\n"
    yield f"| {' | '.join(name.replace('_', ' ') for name in columns)} |\n"
    yield f"|{' --- |' * len(columns)}\n"
    for row in rows.rows:
        yield f"| {' | '.join(_escaped(_short(row.get(name))) for name in columns)} |\n"


def _short(value: Any) -> str:
    """A value for people."""
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return _cell(value).replace("x", " × ") if isinstance(value, list | tuple) else _cell(value)


_SIGNS = re.compile(r"([\\`*_\[\]<>|#~])")


def _escaped(text: str) -> str:
    """A text in which nothing means anything to Markdown."""
    return _SIGNS.sub(r"\\\1", printable(text))
