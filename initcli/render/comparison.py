"""Several signals side by side, as a ranked table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.table import Table

from initcli.errors import printable
from initcli.render.signal_table import depth_scale, figure
from initcli.signal.comparison import Compared

_WIDE = 116
"""Columns from which every figure has a column."""


def comparison_table(
    compared: Sequence[Compared], *, width: int, ascii_only: bool = False
) -> RenderableType:
    """One row a model, the best first."""
    table = Table(box=None, expand=True, padding=(0, 1, 0, 0), header_style="dim", pad_edge=False)
    wide = width >= _WIDE
    table.add_column("", justify="right", style="dim")
    table.add_column("variant", style="bold", overflow="fold", ratio=2)
    chi = "chi" if ascii_only else "χ"
    numbers = ["output std", "std ratio", "grad. ratio"]
    if wide:
        numbers += [chi, "depth scale", "dead", "saturated"]
    for title in numbers:
        table.add_column(title, justify="right", no_wrap=True)
    if wide:
        table.add_column("worst layer", overflow="fold", ratio=2)
    table.add_column("verdict", overflow="fold", ratio=3)
    for rank, each in enumerate(compared, 1):
        found = each.verdict
        cells = [figure(found.output_std), figure(found.std_ratio), figure(found.gradient_ratio)]
        if wide:
            cells += [figure(found.chi), depth_scale(found.depth_scale, ascii_only)]
            cells += [_share(found.dead_units), _share(found.saturated)]
            cells.append(printable(found.worst or ""))
        label = printable(each.label)
        label = label.replace("·", "-") if ascii_only else label
        table.add_row(str(rank), label, *cells, found.text)
    return table


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.0f}%"
