"""SVG paths of a page's pictures, in units that the page scales."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

import msgspec

from initcli.render.page.bars import Bars
from initcli.types import counted

SMALL_BINS = 32
"""Maximum number of bins of a small histogram."""
SMALL_HEIGHT = 48
"""Height of a small histogram, in units."""
PANEL = (1000, 400)
"""Width and height of a panel of the signal, in units."""
_MIN_DECADES = 0.5
"""Minimum span of a logarithmic axis, so that small changes look small."""
_MAX_TICKS = 7
_DOTS = 60
"""Maximum number of layers with a dot each."""

Layer = Mapping[str, Any]
"""A layer of a signal as built-in values."""


class Small(msgspec.Struct, frozen=True):
    """A small histogram, ``bins`` units wide: its bars and the line of the distribution."""

    bins: int
    bars: str
    line: str


class Tick(msgspec.Struct, frozen=True):
    """A label of an axis; ``place`` is a percentage from the left or the top."""

    place: str
    text: str


class Panel(msgspec.Struct, frozen=True):
    """One figure of the signal through the depth, on a logarithmic axis.

    ``band`` spans the draws; ``text`` describes the panel for a screen reader.
    """

    name: str
    title: str
    band: str
    line: str
    dots: str
    predicted: str
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    notes: tuple[str, ...]
    text: str


def small_histogram(data: Mapping[str, Any]) -> Small:
    """The shapes of a histogram, given as built-in values, in few bins of one unit."""
    bars = msgspec.convert(data, Bars)
    step = math.ceil((bars.edges.size - 1) / SMALL_BINS)
    counts, expected = (
        _averaged(bars.height(each).tolist(), step) if each else []
        for each in (bars.counts, bars.expected)
    )
    top = max((*counts, *expected)) or 1.0
    drawn, line = (
        [SMALL_HEIGHT - round(value / top * (SMALL_HEIGHT - 2)) for value in values]
        for values in (counts, expected)
    )
    if len(drawn or line) == 1:
        shape = f"M.45 {SMALL_HEIGHT}V{drawn[0]}h.1V{SMALL_HEIGHT}z" if drawn else ""
        return Small(1, shape, f"M.42 {line[0]}h.16" if line else "")
    outline = f"M0 {SMALL_HEIGHT}{_stairs(drawn)}V{SMALL_HEIGHT}z" if drawn else ""
    return Small(len(drawn or line), outline, f"M0 {line[0]}{_stairs(line)}" if line else "")


def _averaged(values: Sequence[float], step: int) -> list[float]:
    """The mean of every ``step`` neighboring bins."""
    parts = (values[start : start + step] for start in range(0, len(values), step))
    return [sum(part) / len(part) for part in parts]


def _stairs(levels: Sequence[int]) -> str:
    """Steps from the left to the right, one unit wide, equal ones joined."""
    runs = ((level, len(list(run))) for level, run in groupby(levels))
    return "".join(f"V{level}h{length}" for level, length in runs)


def panels(layers: Sequence[Layer]) -> list[Panel]:
    """The panels of a signal: the output's standard deviation, and the gradient."""
    outputs = [(layer["output"] or {}).get("std") for layer in layers]
    gradients = [(layer["gradient"] or {}).get("rms") for layer in layers]
    return [
        _panel("std", "Standard deviation of the output", layers, outputs, "std"),
        _panel("gradient", "Root mean square of the gradient", layers, gradients, "gradient_rms"),
    ]


def _panel(
    name: str,
    title: str,
    layers: Sequence[Layer],
    measured: Sequence[Mapping[str, float | None] | None],
    predicted: str,
) -> Panel:
    """A panel; an infinite figure is None and not drawn."""
    seen = [(i, spread) for i, spread in enumerate(measured) if spread]
    medians = [(i, median) for i, spread in seen if (median := spread["median"])]
    shown = [(i, median, measured[i] or {}) for i, median in medians]
    predictions = [layer["predicted"][predicted] for layer in layers]
    expected = [(i, value) for i, value in enumerate(predictions) if value]
    lows = [(i, median if each["low"] is None else each["low"]) for i, median, each in shown]
    highs = [(i, median if each["high"] is None else each["high"]) for i, median, each in shown]
    points = [*medians, *expected, *lows, *highs]
    values = [value for _, value in points if value > 0]
    low, high = _range(values)
    width, height = PANEL
    last = max(len(layers) - 1, 1)

    def across(place: int) -> str:
        return f"{(place + 0.5) / (last + 1) * width:.6g}"

    def down(value: float) -> str:
        share = (high - math.log10(max(value, 1e-300))) / (high - low)
        return f"{min(max(share, 0.0), 1.0) * height:.4g}"

    def polyline(points: Iterable[tuple[int, float]]) -> str:
        text = "L".join(f"{across(i)} {down(value)}" for i, value in points)
        return f"M{text}" if text else ""

    band = polyline([*lows, *reversed(highs)])
    dots = "".join(f"M{across(i)} {down(value)}h0" for i, value in medians)
    zeros = sum(spread["median"] == 0 for _, spread in seen)
    overflows = sum(spread["median"] is None for _, spread in seen)
    if not seen:
        zeros = predictions.count(0)
    notes = [
        f"{what} at {counted(count, 'layer')}"
        for count, what in ((zeros, "0"), (overflows, "overflows"))
        if count
    ]
    return Panel(
        name=name,
        title=title,
        band=f"{band}z" if band else "",
        line=polyline(medians),
        dots=dots if len(layers) <= _DOTS else "",
        predicted=polyline(expected),
        across=tuple(
            Tick(f"{(i + 0.5) / (last + 1):.2%}", str(i + 1)) for i in _layer_ticks(len(layers))
        ),
        up=tuple(
            Tick(f"{(high - power) / (high - low):.2%}", text) for power, text in _ticks(low, high)
        ),
        notes=tuple(notes),
        text=_description(title, layers, medians, expected, notes),
    )


def _range(values: Sequence[float]) -> tuple[float, float]:
    """Exponents of ten at the ends of an axis for the values."""
    logs = [math.log10(value) for value in values] or [0.0]
    low, high = min(logs), max(logs)
    margin = max(_MIN_DECADES - (high - low), 0.0) / 2 + 0.06 * max(high - low, _MIN_DECADES)
    return low - margin, high + margin


def _ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Labels at powers of ten, or between them on a short axis."""
    powers = range(math.ceil(low), math.floor(high) + 1)
    if len(powers) >= 3:
        step = math.ceil(len(powers) / _MAX_TICKS)
        return [(power, _power(power)) for power in powers if power % step == 0]
    decades = range(math.floor(low), math.ceil(high) + 1)
    for digits in ((1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
        found = [
            (math.log10(digit) + decade, f"{digit * 10.0**decade:.4g}")
            for decade in decades
            for digit in digits
            if low <= math.log10(digit) + decade <= high
        ]
        if len(found) >= 3:
            break
    return found


def _power(power: int) -> str:
    """A power of ten as a short number."""
    return f"{10.0**power:g}" if -3 <= power <= 4 else f"1e{power}"


def _layer_ticks(count: int) -> list[int]:
    """The indices of the layers that label the axis."""
    if count <= 12:
        return list(range(count))
    step = next(
        size * 10**power
        for power in range(9)
        for size in (1, 2, 5)
        if count / (size * 10**power) <= 10
    )
    return [0, *(i - 1 for i in range(step, count + 1, step) if i > 1)]


def _description(
    title: str,
    layers: Sequence[Layer],
    medians: Sequence[tuple[int, float]],
    expected: Sequence[tuple[int, float]],
    notes: Sequence[str],
) -> str:
    """A panel in words."""
    points, how = (medians, "measured") if medians else (expected, "predicted")
    if not points:
        return f"{title}: nothing to show."
    (first, start), (last, end) = points[0], points[-1]
    least, greatest = (choose(points, key=lambda point: point[1]) for choose in (min, max))
    parts = [
        f"{title} over {len(layers)} layers, {how}",
        f"{start:.3g} at {layers[first]['name']}, the first",
        f"{end:.3g} at {layers[last]['name']}, the last",
        f"least {least[1]:.3g} at {layers[least[0]]['name']}",
        f"greatest {greatest[1]:.3g} at {layers[greatest[0]]['name']}",
        *notes,
    ]
    return "; ".join(parts) + "."
