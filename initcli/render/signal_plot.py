"""The signal as a picture: the size of outputs and gradients over the depth."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from initcli.errors import printable
from initcli.signal.figures import LayerSignal, Signal, Spread

COLORS = ("#5b8db8", "#c8432b", "#4f9d69", "#8e6bb0", "#c98f2b", "#3f8f9b", "#a85d7a", "#777777")
_MARKERS = (".", "s", "^", "x")
_NAMED = 28
"""Layers up to which each has its name below."""


def signal_picture(signal: Signal, kind: str) -> bytes:
    """Output standard deviation and gradient RMS by layer, measured and predicted."""
    return _picture([(signal.model.name, signal)], kind)


def comparison_picture(signals: Sequence[tuple[str, Signal]], kind: str) -> bytes:
    """Several signals in one picture, by their labels."""
    return _picture(signals, kind)


def _picture(signals: Sequence[tuple[str, Signal]], kind: str) -> bytes:
    longest = max((signal for _, signal in signals), key=lambda signal: len(signal.layers))
    # Text stays text in SVG, and the same signal gives the same file.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "initcli", "font.size": 9}):
        figure = Figure(figsize=(9, 6.4), layout="constrained")
        FigureCanvasAgg(figure)
        upper, lower = figure.subplots(2, 1, sharex=True)
        for number, (label, signal) in enumerate(signals):
            color = COLORS[number % len(COLORS)]
            alone = len(signals) == 1
            theory = COLORS[1] if alone else color
            shown = "measured" if alone else printable(label)
            stds = [_std(layer) for layer in signal.layers]
            gradients = [_gradient(layer) for layer in signal.layers]
            expected = [layer.predicted.std for layer in signal.layers]
            back = [layer.predicted.gradient_rms for layer in signal.layers]
            marker = _MARKERS[number // len(COLORS) % len(_MARKERS)]
            _lines(upper, stds, expected, color, theory, shown, alone, marker)
            _lines(lower, gradients, back, color, theory, shown, alone, marker)
            if alone:
                _mention_zeros(upper, stds)
                _mention_zeros(lower, gradients)
        upper.set_ylabel("output std")
        lower.set_ylabel("gradient RMS")
        for axes in (upper, lower):
            axes.set_yscale("log")
            axes.grid(alpha=0.25)
            for side in ("top", "right"):
                axes.spines[side].set_visible(False)
        upper.set_title(_title(signals), loc="left", fontsize=11)
        if len(signals) > 1:
            handles, labels = upper.get_legend_handles_labels()
            figure.legend(handles, labels, fontsize=8, frameon=False, loc="outside right upper")
        else:
            upper.legend(fontsize=8, frameon=False)
        names = [printable(layer.name) for layer in longest.layers]
        if len(names) <= _NAMED:
            lower.set_xticks(
                range(len(names)), [_short(name) for name in names], rotation=60, ha="right"
            )
        else:
            lower.set_xlabel("layer")
        target = io.BytesIO()
        figure.savefig(
            target, format=kind, dpi=110, metadata={"Date": None} if kind == "svg" else None
        )
    return target.getvalue()


def _lines(
    axes: Any,
    measured: Sequence[Spread | None],
    predicted: Sequence[float | None],
    color: str,
    theory: str,
    label: str,
    alone: bool,
    marker: str,
) -> None:
    """The medians with their band, and what is predicted as a dashed line."""
    places = [
        i for i, value in enumerate(measured) if value is not None and _drawable(value.median)
    ]
    values = [measured[i] for i in places]
    if places:
        medians = [value.median for value in values if value is not None]
        low = [max(value.low, 1e-300) for value in values if value is not None]
        high = [min(value.high, 1e300) for value in values if value is not None]
        axes.fill_between(places, low, high, color=color, alpha=0.25, linewidth=0)
        axes.plot(places, medians, color=color, marker=marker, markersize=5, label=label)
    there = [i for i, value in enumerate(predicted) if value is not None and _drawable(value)]
    if there:
        name = "predicted" if alone else (None if places else label)
        axes.plot(
            there,
            [predicted[i] for i in there],
            color=theory,
            linestyle="--",
            linewidth=1.2,
            label=name,
        )


def _mention_zeros(axes: Any, measured: Sequence[Spread | None]) -> None:
    """Say what has no place on a logarithmic axis."""
    zeros = sum(value is not None and value.median == 0 for value in measured)
    if zeros:
        text = f"0 at {zeros} layer{'s' * (zeros > 1)}"
        axes.text(0.01, 0.04, text, transform=axes.transAxes, fontsize=8)


def _std(layer: LayerSignal) -> Spread | None:
    return None if layer.output is None else layer.output.std


def _gradient(layer: LayerSignal) -> Spread | None:
    return None if layer.gradient is None else layer.gradient.rms


def _drawable(value: float) -> bool:
    return math.isfinite(value) and value > 0


def _title(signals: Sequence[tuple[str, Signal]]) -> str:
    first = signals[0][1]
    drawn = f", {first.draws} draw{'s' * (first.draws > 1)}" if first.draws else ", predicted"
    return (
        f"{printable(first.model.name)}: the signal through the depth (batch {first.batch}{drawn})"
    )


def _short(name: str) -> str:
    return name if len(name) <= 26 else f"…{name[-25:]}"
