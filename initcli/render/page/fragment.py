"""A result as a fragment of HTML, which notebooks show: a table with pictures, without a script.

Colors of text and lines are those of the notebook, so that it may be light or dark. Pictures have
attributes in place of a style where they would not be read without it.
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
from initcli.reports.summary import TensorSummary, value_facts


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
    facts = list(value_facts(tensor.parameter, tensor.measured)) if tensor.measured else []
    if tensor.fit is not None:
        facts.append(f"fit p={tensor.fit.p_value:.2g}")
    low, high = f"{bars.low:.4g}", f"{bars.high:.4g}"
    axis = low if low == high else f"{low} … {high}"
    return Picture(small.bins, SMALL_HEIGHT, small.bars, small.line, " · ".join([axis, *facts]))


def curve(panel: Panel) -> Picture:
    """A figure through the depth of a model."""
    width, height = PANEL
    return Picture(width, height, "", panel.line or panel.predicted, panel.text)


def fragment(
    rows: Rows,
    pictures: Mapping[str, Sequence[Picture | None]],
    *,
    panels: Sequence[Panel] = (),
    notes: Sequence[str] = (),
    limit: int,
) -> str:
    """The first ``limit`` rows as a table, with columns of pictures behind the first column."""
    found = list(islice(rows.records(), limit + 1))
    columns = rows.shown or rows.columns
    shown = found[:limit]
    return template("fragment.html.j2").render(
        rows=rows,
        columns=[(name.replace("_", " "), _is_number(shown, name)) for name in columns],
        cells=[[printable(rounded(row[name])) for name in columns] for row in shown],
        pictures=pictures,
        panels=panels,
        panel_size=PANEL,
        notes=[*map(printable, notes)],
        more=len(found) > limit and limit,
    )


def _is_number(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    values = [row[name] for row in rows if row[name] is not None]
    return bool(values) and all(type(value) in (int, float) for value in values)
