"""What a signal comes to: does it keep its size through the depth, and if not, where and why."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from initcli.signal.figures import LayerSignal, Signal

_MUCH = 100.0
"""How many times the signal may grow or shrink in all before that is called so."""
_MANY = 0.25
"""The share of units or entries that may be dead or saturated."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """A signal in a few figures, each None where it is not known.

    Hidden layers are those with weights, except for results of the model.
    """

    text: Annotated[str, Meta(description="The verdict in words.")]
    output_std: Annotated[
        float | None, Meta(description="Standard deviation of the last layer's output.")
    ]
    std_ratio: Annotated[
        float | None,
        Meta(description="Output std of the last hidden layer divided by that of the first."),
    ]
    gradient_ratio: Annotated[
        float | None,
        Meta(description="Gradient RMS of the first hidden layer divided by that of the last."),
    ]
    chi: Annotated[
        float | None,
        Meta(
            description="Mean factor from one hidden layer to the next of the mean square of a "
            "small change, predicted or else from the gradients (χ of Schoenholz et al. 2017)."
        ),
    ]
    depth_scale: Annotated[
        float | None,
        Meta(description="1 / |ln χ|: hidden layers over which that change grows e times."),
    ]
    worst: Annotated[
        str | None, Meta(description="Hidden layer whose std is furthest from the first's.")
    ]
    dead_units: Annotated[
        float | None, Meta(description="Largest fraction of dead units of any layer.")
    ]
    saturated: Annotated[
        float | None, Meta(description="Largest fraction of saturated entries of any layer.")
    ]

    @property
    def badness(self) -> float:
        """How far from a signal that keeps its size, in powers of ten; for ranking."""
        if self.text == _OVERFLOWS:
            return math.inf
        far = [abs(_log(ratio)) for ratio in (self.std_ratio, self.gradient_ratio)]
        if _UNREACHED in self.text:
            far.append(math.inf)
        return max(far) + (self.dead_units or 0.0) + (self.saturated or 0.0)


_OVERFLOWS = "overflows"
_UNREACHED = "no gradient reaches the first layer"


def verdict(signal: Signal) -> Verdict:
    """The verdict on what was measured of a signal, or predicted where nothing was drawn.

    >>> import initcli
    >>> signal = initcli.predict_signal(initcli.load("sample_configs/mlp_tanh_deep.yaml"))
    >>> initcli.verdict(signal).text
    'signal vanishes, gradient vanishes'
    """
    hidden = hidden_layers(signal)
    stds = [std_of(layer) for layer in hidden]
    gradients = [gradient_of(layer) for layer in hidden]
    std_ratio = _ratio(stds[-1], stds[0]) if hidden else None
    gradient_ratio = _ratio(gradients[0], gradients[-1]) if hidden else None
    dead = _largest(
        (layer.output.dead_units.median, layer.name)
        for layer in signal.layers
        if layer.output is not None
    )
    saturated = _largest(
        (layer.output.saturated.median, layer.name)
        for layer in signal.layers
        if layer.output is not None and layer.output.saturated is not None
    )
    chi = _chi(hidden, gradient_ratio)
    every = [std_of(layer) for layer in signal.layers]
    overflow = any(std is not None and not math.isfinite(std) for std in every)
    known = [std for std in every if std is not None]
    return Verdict(
        text=_text(overflow, std_ratio, gradient_ratio, gradients, dead, saturated),
        output_std=known[-1] if known else None,
        std_ratio=std_ratio,
        gradient_ratio=gradient_ratio,
        chi=chi,
        depth_scale=None if not chi else math.inf if chi == 1 else 1 / abs(math.log(chi)),
        worst=_worst(hidden, stds),
        dead_units=dead and dead[0],
        saturated=saturated and saturated[0],
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
    gradients: Sequence[float | None],
    dead: tuple[float, str] | None,
    saturated: tuple[float, str] | None,
) -> str:
    if overflow:
        return _OVERFLOWS
    problems = []
    for ratio, what in ((std_ratio, "signal"), (gradient_ratio, "gradient")):
        if ratio is not None and ratio > _MUCH:
            problems.append(f"{what} explodes")
        elif ratio is not None and ratio < 1 / _MUCH:
            problems.append(f"{what} vanishes")
    if gradients and gradients[0] == 0:
        problems.append(_UNREACHED)
    for share, what in ((dead, "units are dead"), (saturated, "entries are saturated")):
        if share is not None and share[0] > _MANY:
            problems.append(f"{share[0]:.0%} of {share[1]}'s {what}")
    return ", ".join(problems) or "keeps its size"


def _chi(hidden: Sequence[LayerSignal], gradient_ratio: float | None) -> float | None:
    """What a small change's mean square is multiplied by from a hidden layer to the next."""
    if len(hidden) < 2:
        return None
    first, last = (hidden[place].predicted.sensitivity for place in (0, -1))
    ratio = _ratio(last, first) or gradient_ratio
    return None if not ratio else ratio ** (2 / (len(hidden) - 1))


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


def _largest(values: Iterable[tuple[float, str]]) -> tuple[float, str] | None:
    return max(values, key=lambda value: value[0], default=None)
