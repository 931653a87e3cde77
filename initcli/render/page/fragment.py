"""A result as a fragment of HTML, which notebooks show: a table with pictures, without a script.

Text and lines have the colors of the notebook, light or dark. Pictures use attributes instead of
styles where they must be readable without styles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import msgspec

from initcli.errors import printable
from initcli.render.formats import rounded
from initcli.render.page.data import tensor_bars
from initcli.render.page.shapes import PANEL, SMALL_HEIGHT, Panel, small_histogram
from initcli.render.page.writing import template
from initcli.reports.record import Rows
from initcli.reports.summary import value_facts
from initcli.reports.tensors import TensorSummary


class Picture(msgspec.Struct, frozen=True):
    """A small picture of a row: filled shapes, a line, and facts that are shown when it is opened.

    Width and height are in the units of the shapes.
    """

    width: int
    height: int
    bars: str
    line: str
    facts: str = ""


def histogram(tensor: TensorSummary) -> Picture | None:
    """The histogram of a tensor with its distribution; None where neither is known."""
    bars = tensor_bars(tensor)
    if bars is None:
        return None
    small = small_histogram(msgspec.to_builtins(bars))
    ends, facts = (bars.low, bars.high), []
    if tensor.measured is not None:
        ends = tensor.measured.min, tensor.measured.max
        facts = list(value_facts(tensor.parameter, tensor.measured))
    elif tensor.distribution is not None:
        ends, facts = tensor.distribution.extent, [tensor.distribution.text]
    if tensor.fit is not None:
        facts.append(f"fit p={tensor.fit.p_value:.2g}")
    axis = " … ".join(dict.fromkeys(f"{end:.4g}" for end in ends))
    return Picture(small.bins, SMALL_HEIGHT, small.bars, small.line, " · ".join([axis, *facts]))


def curve(panel: Panel) -> Picture:
    """A figure through the depth of a model."""
    width, height = PANEL
    return Picture(width, height, "", panel.line or panel.predicted, panel.text)


class _Column:
    """A column of the table: its heading, its cells, and the class of its style."""

    def __init__(self, rows: Sequence[Mapping[str, Any]], name: str) -> None:
        self.heading = name.replace("_", " ")
        self.cells = [printable(rounded(row[name])) for row in rows]
        values = [row[name] for row in rows if row[name] is not None]
        self.style = "text" if max(map(len, self.cells)) > _MAX_LINE else "line"
        if all(type(value) in (int, float) for value in values):
            self.style = "number"


_MAX_LINE = 36
"""Characters of a cell that stay on one line."""


def fragment(
    rows: Rows,
    pictures: Mapping[str, Sequence[Picture | None]],
    *,
    panels: Sequence[Panel] = (),
    bars: str = "",
    line: str = "",
    notes: Sequence[str] = (),
    limit: int,
) -> str:
    """The first ``limit`` rows as a table, with columns of pictures after the first text column.

    Columns without any value are left out. ``bars`` and ``line`` are the legends of the pictures.
    """
    found = list(islice(rows.records(), limit + 1))
    shown = found[:limit]
    columns = [
        _Column(shown, name)
        for name in rows.shown or rows.columns
        if any(row[name] not in (None, "") for row in shown)
    ]
    return template("fragment.html.j2").render(
        rows=rows,
        columns=columns,
        cells=list(zip(*(column.cells for column in columns), strict=True)),
        first=next((column for column in columns if column.style != "number"), None),
        pictures=pictures,
        key=[each for each in ((bars, "■", "#5b8db8"), (line, "—", "#d2502f")) if each[0]],
        panels=panels,
        panel_size=PANEL,
        notes=[*map(printable, notes)],
        more=len(found) > limit and limit,
    )
