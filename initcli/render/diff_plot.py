"""The differences between two sources as a picture: the relative change of each tensor."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from initcli.errors import printable
from initcli.render.picture_files import figure_file
from initcli.render.tensor_axes import DRAWN, GREY
from initcli.reports.diff import Change, DiffTotals

_NAMED = 80
"""Number of tensors up to which each has its name on the axis."""
_NAME = 40
"""Maximum number of characters of a name."""


def changes_picture(title: str, changes: Sequence[Change], kind: str) -> bytes:
    """The relative L2 change of each tensor as a horizontal bar, in the order of the report.

    A logarithmic axis cannot show 0: tensors without a change get a note instead.
    """
    relative = [change.difference.relative if change.difference else 0.0 for change in changes]
    finite = [each for each in relative if 0 < each < math.inf]
    low = 10.0 ** math.floor(math.log10(min(finite, default=0.1)) - 0.5)
    high = 2 * max(finite, default=1.0)
    named = len(changes) <= _NAMED
    with rc_context({"font.size": 8}):
        height = 1.5 + 0.17 * min(max(len(changes), 4), _NAMED)
        figure = Figure(figsize=(9, height), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        bars = [place for place, each in enumerate(relative) if 0 < each < math.inf]
        stroke = max(72 * (height - 1.5) / max(len(changes), 1) * 0.7, 0.3)
        axes.hlines(bars, low, [relative[place] for place in bars], DRAWN, linewidth=stroke)
        if named:
            for place, change in enumerate(changes):
                text = f" {_without_bar(change)}"
                axes.text(low, place, text, color=GREY, va="center", fontsize=7)
            names = [printable(change.path) for change in changes]
            names = [name if len(name) <= _NAME else f"…{name[1 - _NAME :]}" for name in names]
            axes.set_yticks(range(len(names)), names)
            for label in axes.get_yticklabels():
                label.set_parse_math(False)  # a dollar sign in a name is no formula
        else:
            axes.set_ylabel("tensor")
        axes.set_xscale("log")
        axes.set_xlim(low, high)
        axes.set_ylim(len(changes) - 0.4, -0.6)
        axes.set_xlabel("relative change ‖B − A‖ / ‖A‖")
        axes.grid(axis="x", alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        figure.suptitle(
            f"{printable(title)}: {DiffTotals.of(changes).text or 'no tensors'}",
            fontsize=10,
            parse_math=False,
        )
        return figure_file(figure, kind, dpi=110)


def _without_bar(change: Change) -> str:
    """The note in place of a bar; "" if there is a bar."""
    difference = change.difference
    if change.kind != "changed" or difference is None:
        return change.kind
    if difference.relative == math.inf:
        return "all 0 in A"
    return "" if difference.relative > 0 else "relative change 0"
