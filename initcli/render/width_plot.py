"""A sweep of widths as a picture: sizes against width, one line per layer, on log-log axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from matplotlib import colormaps, rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from initcli.errors import printable
from initcli.render.picture_files import figure_file
from initcli.signal.width_sweep import Trend, WidthSweep

_NAMED = 12
"""Number of layers up to which the legend has all; otherwise it has the first and the last."""
_MOST = 4
"""Maximum number of variants in one picture."""
_LABEL = 28
"""Maximum number of characters of a name in the legend."""
_LEAST_SPAN = 30.0
"""Minimum ratio of the ends of an axis, so that small changes look small."""


class Line(NamedTuple):
    """A trend, its color from 0 for the first layer to 1, and its name in the legend."""

    trend: Trend
    color: float
    label: str | None


def widths_picture(sweeps: Sequence[WidthSweep], kind: str) -> bytes:
    """One row of panels for each of the first sweeps: outputs, gradients, and changes if any."""
    shown = sweeps[:_MOST]
    panels = [dict(_panels(sweep)) for sweep in shown]
    columns = list(dict.fromkeys(name for each in panels for name in each))
    with rc_context({"font.size": 9}):
        size = (4.2 * len(columns) + 1.6, 3.4 * len(shown) + 0.3)
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.subplots(len(shown), len(columns), squeeze=False, sharex="row", sharey="col")
        for row, (sweep, lines) in enumerate(zip(shown, panels, strict=True)):
            for axes, name in zip(grid[row], columns, strict=True):
                _draw(axes, sweep.factors, lines.get(name, []))
                axes.set_title(name if row == 0 else "", fontsize=9)
                axes.set_xlabel("width" if row == len(shown) - 1 else "")
            grid[row][0].set_ylabel(f"{printable(sweep.label)[:60]}\nRMS")
            grid[row][-1].legend(
                *grid[row][0].get_legend_handles_labels(),
                fontsize=7,
                frameon=False,
                loc="center left",
                bbox_to_anchor=(1.0, 0.5),
            )
        for axes in grid[0]:
            low, high = axes.get_ylim()
            margin = math.sqrt(max(_LEAST_SPAN * low / high, 1.0))
            axes.set_ylim(low / margin, high * margin)
        return figure_file(figure, kind, dpi=110)


def _panels(sweep: WidthSweep) -> list[tuple[str, list[Line]]]:
    found: dict[str, list[Line]] = {}
    layers = [sweep.layers[index] for index in sweep.main]
    for number, layer in enumerate(layers):
        color = number / max(len(layers) - 1, 1)
        is_named = len(layers) <= _NAMED or number in (0, len(layers) // 2, len(layers) - 1)
        label = printable(layer.name)[-_LABEL:] if is_named else None
        for quantity, trend in (*layer.trends[:2], *layer.trends[2:][-1:]):
            found.setdefault(f"{quantity} of layers", []).append(Line(trend, color, label))
        own = [each for each in sweep.tensors if each.path.startswith(f"{layer.name}/")]
        for tensor in own if layer.call == 0 else ():
            lines = found.setdefault("gradient of parameters", [])
            lines.append(Line(tensor.gradient, color, None))
    return list(found.items())


def _draw(axes: Any, factors: Sequence[float], lines: Sequence[Line]) -> None:
    for line in lines:
        points = [
            (factor, size)
            for factor, size in zip(factors, line.trend.sizes, strict=True)
            if size is not None and 0 < size < math.inf
        ]
        if points:
            style = {"color": colormaps["viridis"](0.92 * line.color), "lw": 1.2, "ms": 5}
            axes.plot(*zip(*points, strict=True), ".-", label=line.label, **style)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(factors, [f"{factor:g}" for factor in factors])
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
