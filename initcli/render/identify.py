"""The initializers that stored tensors look like, as a table."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType

from initcli.checkpoint import Subject
from initcli.errors import printable
from initcli.render.columns import Column, in_columns
from initcli.render.heading import model_heading
from initcli.reports.identify import Found
from initcli.types import shape_text

_ALSO = 3
"""Maximum number of runners-up that are shown."""


def identify_table(
    model: Subject, found: Iterable[Found], *, width: int, ascii_only: bool = False
) -> RenderableType:
    """A line for each tensor: its shape, rule, framework, p-value, and runners-up or a note."""
    unknown = "?" if ascii_only else "—"

    def best(row: Found) -> str:
        return row[1].matches[0].rule if row[1].matches else unknown

    def framework(row: Found) -> str:
        return (row[1].matches[0].framework or "") if row[1].matches else ""

    def p_value(row: Found) -> str:
        value = row[1].matches[0].p_value if row[1].matches else None
        return "" if value is None else f"{value:.2g}"

    names = [
        Column("tensor", lambda row: printable(row[0].path)),
        Column("shape", lambda row: shape_text(row[0].shape)),
        Column("looks like", best, "bold"),
        Column("of", framework),
    ]
    notes = [Column("also, or note", _notes, "dim")]
    table = in_columns(names, [Column("p", p_value)], list(found), width, notes)
    return Group(model_heading(model, ascii_only), table)


def _notes(row: Found) -> str:
    """The note, and the runners-up."""
    answer = row[1]
    notes = [answer.note] if answer.note else []
    if answer.matches:
        first, *others = answer.matches
        rules = list(dict.fromkeys(each.rule for each in others if each.rule != first.rule))
        notes += rules[:_ALSO] + [f"{len(rules) - _ALSO} more"] * (len(rules) > _ALSO)
    return printable("; ".join(notes))
