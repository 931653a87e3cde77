"""What stored tensors look like, as a table."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from initcli.checkpoint import Subject
from initcli.errors import printable
from initcli.reports.identify import Found
from initcli.reports.summary import model_facts
from initcli.types import shape_text

_ALSO = 3
"""Runners-up that are shown."""


def identify_table(
    model: Subject, found: Iterable[Found], *, width: int, ascii_only: bool = False
) -> RenderableType:
    """A line for each tensor: its shape, the rule and framework, its probability, and others."""
    table = Table(box=None, width=width, pad_edge=False, header_style="dim")
    for heading in ("tensor", "shape", "looks like", "of", "p"):
        table.add_column(heading, justify="right" if heading == "p" else "left", overflow="fold")
    table.add_column("also, or note", overflow="fold", style="dim")
    for parameter, answer in found:
        cells = [Text(printable(parameter.path)), Text(shape_text(parameter.shape))]
        notes = [answer.note] if answer.note else []
        if answer.matches:
            first, *others = answer.matches
            p_value = "" if first.p_value is None else f"{first.p_value:.2g}"
            cells += [Text(first.rule, "bold"), Text(first.framework or ""), Text(p_value)]
            rules = list(dict.fromkeys(each.rule for each in others if each.rule != first.rule))
            notes += rules[:_ALSO] + [f"{len(rules) - _ALSO} more"] * (len(rules) > _ALSO)
        else:
            cells += [Text("?" if ascii_only else "—"), Text(""), Text("")]
        table.add_row(*cells, Text(printable("; ".join(notes))))
    facts = (" - " if ascii_only else " · ").join(model_facts(model))
    return Group(Text.assemble((printable(model.name), "bold"), "  ", (facts, "dim")), table)
