"""Several signals side by side, as a ranked table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType

from initcli.errors import printable
from initcli.render.signal_table import depth_scale, figure, plain_table, share_text
from initcli.signal.comparison import Compared

_WIDE = 116
"""Width from which every figure has a column."""


def comparison_table(
    compared: Sequence[Compared], *, width: int, ascii_only: bool = False
) -> RenderableType:
    """One row a model, the best first."""
    wide = width >= _WIDE
    figures = ["output std", "std ratio", "grad. ratio"]
    if wide:
        figures += ["chi" if ascii_only else "χ", "depth scale", "dead", "saturated"]
    table = plain_table()
    table.add_column("", justify="right", style="dim")
    table.add_column("variant", style="bold", overflow="fold", ratio=2)
    for heading in figures:
        table.add_column(heading, justify="right", no_wrap=True)
    if wide:
        table.add_column("worst layer", overflow="fold", ratio=2)
    table.add_column("verdict", overflow="fold", ratio=3)
    for rank, each in enumerate(compared, 1):
        found = each.verdict
        cells = [figure(found.output_std), figure(found.std_ratio), figure(found.gradient_ratio)]
        if wide:
            cells += [figure(found.chi), depth_scale(found.depth_scale, ascii_only)]
            cells += [share_text(found.dead_units), share_text(found.saturated)]
            cells.append(printable(found.worst or ""))
        label = printable(each.label)
        label = label.replace("·", "-") if ascii_only else label
        table.add_row(str(rank), label, *cells, found.text)
    return table
