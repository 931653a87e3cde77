"""Spectral norms of kernels, as a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from statistics import median

from rich.console import Group, RenderableType
from rich.text import Text

from initcli.checkpoint import Subject
from initcli.errors import printable
from initcli.measuring.spectral import Spectral
from initcli.parameter import Parameter
from initcli.render.columns import Column, in_columns
from initcli.render.heading import model_heading
from initcli.reports.tensors import TensorSummary
from initcli.types import counted

_GROWS = 0.1
"""Power of the width from which a factor is said to grow."""
_Row = tuple[Parameter, Spectral]


def spectral_table(
    model: Subject, tensors: Iterable[TensorSummary], *, width: int, ascii_only: bool = False
) -> RenderableType:
    """A line for each kernel: its matrix, its norms, the wanted norm, and the factor between."""
    unknown, times = ("?", "x") if ascii_only else ("—", "×")

    def figure(value: Callable[[Spectral], float | None]) -> Callable[[_Row], str]:
        def text(row: _Row) -> str:
            number = value(row[1])
            return unknown if number is None else f"{number:.3g}"

        return text

    def factor(norms: Spectral) -> float | None:
        norm = norms.expected if norms.measured is None else norms.measured
        return None if norm is None or not norms.wanted else norm / norms.wanted

    rows = [(each.parameter, each.spectral) for each in tensors if each.spectral is not None]
    title = model_heading(model, ascii_only)
    if not rows:
        return Group(title, Text("There are no kernels among these tensors."))
    names = [
        Column("kernel", lambda row: printable(row[0].path)),
        Column("matrix", lambda row: f"{row[1].rows:,} {times} {row[1].columns:,}"),
    ]
    if any(str(each.initializer) for each, _ in rows):
        names.append(Column("initializer", lambda row: printable(str(row[0].initializer)), "dim"))
    stored = any(each.stored is not None for each, _ in rows)
    values: dict[str, Callable[[Spectral], float | None]] = {
        "expected": lambda norms: norms.expected,
        "stored" if stored else "drawn": lambda norms: norms.measured,
        "wanted": lambda norms: norms.wanted,
        "factor": factor,
    }
    figures = [
        Column(heading, figure(value), "bold" if value is factor else "")
        for heading, value in values.items()
        if any(value(norms) is not None for _, norms in rows)
    ]
    wanted = "sqrt(columns / rows)" if ascii_only else "√(columns / rows)"
    note = f"wanted: {wanted}, which keeps the size of features at any width"
    parts = [title, in_columns(names, figures, rows, width), Text(note, "dim")]
    growing = [norms.growth for _, norms in rows if norms.growth and norms.growth > _GROWS]
    if growing:
        power = "^" if ascii_only else " to the power "
        parts.append(
            Text(
                f"the factor of {counted(len(growing), 'hidden kernel')} grows as "
                f"the width{power}{median(growing):.2f}: a std of 1/"
                f"{'sqrt(fan_in)' if ascii_only else '√fan_in'} keeps it",
                "yellow",
            )
        )
    return Group(*parts)
