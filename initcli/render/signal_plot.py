"""The signal as a picture: the size of outputs and gradients through the depth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from initcli.errors import printable
from initcli.render.picture_files import figure_file
from initcli.signal.figures import Signal, Spread
from initcli.types import counted

COLORS = ("#5b8db8", "#c8432b", "#4f9d69", "#8e6bb0", "#c98f2b", "#3f8f9b", "#a85d7a", "#777777")
_MARKERS = (".", "s", "^", "x")
_NAMED = 28
"""Number of layers up to which each has its name on the axis."""


def signals_picture(signals: Sequence[tuple[str, Signal]], kind: str) -> bytes:
    """Output standard deviation and gradient RMS by layer, of signals with their labels."""
    with rc_context({"font.size": 9}):
        figure = Figure(figsize=(9, 6.4), layout="constrained")
        FigureCanvasAgg(figure)
        upper, lower = figure.subplots(2, 1, sharex=True)
        for number, (label, signal) in enumerate(signals):
            color = COLORS[number % len(COLORS)]
            style = {"color": color, "marker": _MARKERS[number // len(COLORS) % len(_MARKERS)]}
            alone = len(signals) == 1
            labels = ("measured", "predicted") if alone else (printable(label), None)
            expected_color = COLORS[1] if alone else color
            stds = [layer.output.std if layer.output else None for layer in signal.layers]
            gradients = [layer.gradient.rms if layer.gradient else None for layer in signal.layers]
            predicted_stds = [layer.predicted.std for layer in signal.layers]
            predicted_gradients = [layer.predicted.gradient_rms for layer in signal.layers]
            _draw(upper, stds, predicted_stds, labels, style, expected_color)
            _draw(lower, gradients, predicted_gradients, labels, style, expected_color)
        upper.set_ylabel("output std")
        lower.set_ylabel("gradient RMS")
        for axes in (upper, lower):
            axes.set_yscale("log")
            axes.grid(alpha=0.25)
            axes.spines[["top", "right"]].set_visible(False)
        upper.set_title(_title(signals[0][1]), loc="left", fontsize=11)
        if len(signals) > 1:
            handles, shown = upper.get_legend_handles_labels()
            figure.legend(handles, shown, fontsize=8, frameon=False, loc="outside right upper")
        else:
            upper.legend(fontsize=8, frameon=False)
        longest = max((signal.layers for _, signal in signals), key=len)
        if len(longest) <= _NAMED:
            names = [printable(layer.name) for layer in longest]
            names = [name if len(name) <= 26 else f"…{name[-25:]}" for name in names]
            lower.set_xticks(range(len(names)), names, rotation=60, ha="right")
        else:
            lower.set_xlabel("layer")
        return figure_file(figure, kind, dpi=110)


def _draw(
    axes: Any,
    measured: Sequence[Spread | None],
    predicted: Sequence[float | None],
    labels: tuple[str, str | None],
    style: dict[str, str],
    expected_color: str,
) -> None:
    """The medians with their band, and the predictions as a dashed line."""
    seen = [(i, spread) for i, spread in enumerate(measured) if spread and _fits(spread.median)]
    expected = [(i, value) for i, value in enumerate(predicted) if value and _fits(value)]
    if seen:
        places, spreads = zip(*seen, strict=True)
        lows = [max(spread.low, 1e-300) for spread in spreads]
        highs = [min(spread.high, 1e300) for spread in spreads]
        axes.fill_between(places, lows, highs, color=style["color"], alpha=0.25, linewidth=0)
        axes.plot(places, [spread.median for spread in spreads], ms=5, label=labels[0], **style)
    if expected:
        label = labels[1] if seen or labels[1] else labels[0]
        dashed = {"linestyle": "--", "linewidth": 1.2, "color": expected_color}
        axes.plot(*zip(*expected, strict=True), label=label, **dashed)
    zeros = sum(spread is not None and spread.median == 0 for spread in measured)
    if zeros and labels[1]:  # a logarithmic axis has no place for 0
        text = f"0 at {counted(zeros, 'layer')}"
        axes.text(0.01, 0.04, text, transform=axes.transAxes, fontsize=8)


def _fits(value: float) -> bool:
    """Whether a logarithmic axis has a place for the value."""
    return 0 < value < math.inf


def _title(signal: Signal) -> str:
    drawn = counted(signal.draws, "draw") if signal.draws else "predicted"
    name = printable(signal.model.name)
    return f"{name}: the signal through the depth (batch {signal.batch}, {drawn})"
