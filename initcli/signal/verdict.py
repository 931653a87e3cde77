"""What a signal comes to: does it keep its size through the depth, and if not, where and why."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import msgspec

from initcli.signal.measured import LayerSignal, Signal

_MUCH = 100.0
"""How many times the signal may grow or shrink in all before that is called so."""
_MANY = 0.25
"""The share of units or entries that may be dead or saturated."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """A signal in a few figures, each None where it is not known.

    ``output_std`` is that of the last layer. ``std_ratio`` is the last hidden layer's standard
    deviation over that of the first, and ``gradient_ratio`` the first one's gradient RMS over that
    of the last: hidden are those with weights, but for what is itself a result. ``chi`` is what the
    gradient's variance is multiplied by from one of them to the one before, on average
    (χ of Schoenholz et al. 2017), and ``depth_scale`` = 1 / |ln χ| in how many of them it changes
    e times. ``worst`` is the hidden layer whose standard deviation is furthest from the first's.
    """

    text: str
    output_std: float | None
    std_ratio: float | None
    gradient_ratio: float | None
    chi: float | None
    depth_scale: float | None
    worst: str | None
    dead_units: float | None
    saturated: float | None

    @property
    def badness(self) -> float:
        """How far from a signal that keeps its size, in powers of ten; for ranking."""
        if self.text == _OVERFLOWS:
            return math.inf
        far = [abs(_log(ratio)) for ratio in (self.std_ratio, self.gradient_ratio)]
        return max(far) + (self.dead_units or 0.0) + (self.saturated or 0.0)


_OVERFLOWS = "overflows"


def verdict(signal: Signal) -> Verdict:
    """The verdict on what was measured of a signal, or predicted where nothing was drawn."""
    hidden = hidden_layers(signal)
    stds = [std_of(layer) for layer in hidden]
    gradients = [gradient_of(layer) for layer in hidden]
    std_ratio = _ratio(stds[-1], stds[0]) if hidden else None
    gradient_ratio = _ratio(gradients[0], gradients[-1]) if hidden else None
    chi = None
    if gradient_ratio and len(hidden) > 1:
        chi = gradient_ratio ** (2 / (len(hidden) - 1))
    dead = _largest(
        layer.output.dead_units.median for layer in signal.layers if layer.output is not None
    )
    saturated = _largest(
        layer.output.saturated.median
        for layer in signal.layers
        if layer.output is not None and layer.output.saturated is not None
    )
    every = [std_of(layer) for layer in signal.layers]
    overflow = any(std is not None and not math.isfinite(std) for std in every)
    known = [std for std in every if std is not None]
    return Verdict(
        text=_text(overflow, std_ratio, gradient_ratio, dead, saturated),
        output_std=known[-1] if known else None,
        std_ratio=std_ratio,
        gradient_ratio=gradient_ratio,
        chi=chi,
        depth_scale=None if not chi else math.inf if chi == 1 else 1 / abs(math.log(chi)),
        worst=_worst(hidden, stds),
        dead_units=dead,
        saturated=saturated,
    )


def hidden_layers(signal: Signal) -> list[LayerSignal]:
    """The layers with weights but for the last, unless there are too few."""
    weighted = {layer.name for layer in signal.model_layers if layer.parameters}
    found = [
        layer for layer in signal.layers if layer.name in weighted and std_of(layer) is not None
    ]
    inner = [layer for layer in found if layer.name not in signal.results]
    return inner if len(inner) > 1 else found


def std_of(layer: LayerSignal) -> float | None:
    """The standard deviation of a layer's output, measured or else predicted."""
    return layer.predicted.std if layer.output is None else layer.output.std.median


def gradient_of(layer: LayerSignal) -> float | None:
    """The gradient RMS of a layer's output, measured or else predicted."""
    if layer.gradient is None:
        return layer.predicted.gradient_rms
    return layer.gradient.rms.median


def _text(
    overflow: bool,
    std_ratio: float | None,
    gradient_ratio: float | None,
    dead: float | None,
    saturated: float | None,
) -> str:
    if overflow:
        return _OVERFLOWS
    problems = []
    for ratio, what in ((std_ratio, "signal"), (gradient_ratio, "gradient")):
        if ratio is not None and ratio > _MUCH:
            problems.append(f"{what} explodes")
        elif ratio is not None and ratio < 1 / _MUCH:
            problems.append(f"{what} vanishes")
    if dead is not None and dead > _MANY:
        problems.append(f"{dead:.0%} of a layer's units are dead")
    if saturated is not None and saturated > _MANY:
        problems.append(f"{saturated:.0%} of a layer is saturated")
    return ", ".join(problems) or "keeps its size"


def _worst(hidden: Sequence[LayerSignal], stds: Sequence[float | None]) -> str | None:
    if not hidden or not stds[0]:
        return None
    far = [abs(_log(_ratio(std, stds[0]))) for std in stds]
    return hidden[far.index(max(far))].name


def _ratio(one: float | None, other: float | None) -> float | None:
    if one is None or other is None or not other or not math.isfinite(one):
        return None
    return one / other


def _log(ratio: float | None) -> float:
    if ratio is None:
        return 0.0
    return math.log10(ratio) if ratio > 0 else -math.inf


def _largest(values: Iterable[float]) -> float | None:
    return max(values, default=None)
