"""Tables of names, figures and texts, as wide as their content."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from initcli.render.wrapping import in_lines, wrapped

_MIN_NAME = 16
"""Minimum width to which names are wrapped."""
_MIN_TEXT = 24
"""Minimum width to which texts at the right end are wrapped."""


class Column(NamedTuple):
    """A heading, the text of each row's cell, and its style. Bars have no heading."""

    heading: str
    cell: Callable[[Any], str]
    style: str = ""


def in_columns(
    names: Sequence[Column],
    figures: Sequence[Column],
    rows: Sequence[Any],
    width: int,
    texts: Sequence[Column] = (),
) -> RenderableType:
    """Rows in columns. On a narrow page, bars are omitted, or each row becomes a paragraph.

    Args:
        names: columns at the left end; the widest is wrapped if needed.
        figures: right-aligned columns, and bars.
        rows: items that the cells are made from.
        width: width of the page, in characters.
        texts: columns at the right end; the last is wrapped if needed.
    """
    columns = [*names, *figures, *texts]
    cells = [[column.cell(row) for column in columns] for row in rows]
    widths = [
        max(map(cell_len, (column.heading, *(row[index] for row in cells))))
        for index, column in enumerate(columns)
    ]
    name = max(range(len(names)), key=lambda index: widths[index])
    for index, least in ((len(columns) - 1, _MIN_TEXT), (name, _MIN_NAME)):
        excess = max(sum(widths) + len(widths) - 1 - width, 0)
        if index == name or texts:
            widths[index] = max(widths[index] - excess, min(widths[index], least))
    if sum(widths) + len(widths) - 1 > width:
        bars = [column for column in figures if not column.heading]
        if bars:
            rest = [column for column in figures if column is not bars[-1]]
            return in_columns(names, rest, rows, width, texts)
        return _paragraphs(columns, cells, len(names), width)
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", pad_edge=False)
    for column, room in zip(columns, widths, strict=True):
        is_figure = column in figures and column.heading
        table.add_column(
            column.heading,
            justify="right" if is_figure else "left",
            style=column.style,
            no_wrap=True,
            width=room,
        )
    for row in cells:
        table.add_row(*(_wrapped(*each) for each in zip(row, widths, strict=True)))
    return table


def _wrapped(cell: str, room: int) -> Text:
    return Text("\n").join(wrapped(Text(cell), room))


def _paragraphs(
    columns: Sequence[Column], cells: Sequence[Sequence[str]], names: int, width: int
) -> RenderableType:
    """Each row as a line of its names, followed by the cells with their headings."""
    lines: list[Text] = []
    for row in cells:
        title = Text(" ").join(
            Text(cell, column.style) for column, cell in zip(columns[:names], row, strict=False)
        )
        lines += wrapped(title, width)
        named = [
            Text.assemble((f"{column.heading} ", "dim"), cell)
            for column, cell in zip(columns[names:], row[names:], strict=True)
            if column.heading and cell
        ]
        for line in in_lines(named, width - 2):
            line.pad_left(2)
            lines.append(line)
    return Group(*lines)
