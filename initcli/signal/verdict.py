"""The verdict: a summary of the judgment in words and figures, for ``signal`` and ``compare``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from initcli.layers.core import Opaque
from initcli.signal.figures import LayerSignal, Signal
from initcli.signal.judgment import Growth, Judgment
from initcli.signal.thresholds import NOTABLE


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The summary of a judgment; a figure is None if it is not known.

    Hidden layers are layers with weights that are not results of the model.
    """

    text: Annotated[str, Meta(description="The problems in words; or how much is known.")]
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
    layer: Annotated[
        str | None,
        Meta(description="Layer that changes the size of the signal most, in its worst stretch."),
    ]
    factor: Annotated[
        float | None, Meta(description="Factor by which that layer changes the signal's RMS.")
    ]
    distance: Annotated[
        float | None,
        Meta(
            description="Distance from a signal that keeps its size, in powers of ten; null if it "
            "overflows, no gradient reaches the first layer, or nothing is known."
        ),
    ]


def verdict(signal: Signal) -> Verdict:
    """Summarize the judgment of a signal, measured or predicted.

    >>> import initcli
    >>> signal = initcli.predict_signal(initcli.load("sample_configs/mlp_tanh_deep.yaml"))
    >>> initcli.verdict(signal).text
    'signal vanishes'
    """
    judgment = Judgment(signal)
    hidden = _hidden_layers(signal)
    stds = [layer.std for layer in hidden]
    gradients = [layer.gradient_rms for layer in hidden]
    gradient_ratio = _ratio(gradients[0], gradients[-1]) if hidden else None
    outputs = [layer.output for layer in signal.layers if layer.output is not None]
    dead = [output.dead_units.median for output in outputs]
    saturated = [output.saturated.median for output in outputs if output.saturated is not None]
    if not signal.draws:
        saturated = [
            each.saturated for each in judgment.activity.saturated if each.saturated is not None
        ]
    stds_of_all = [layer.std for layer in signal.layers]
    known = [std for std in stds_of_all if std is not None]
    overflows = any(not math.isfinite(std) for std in known)
    learns = judgment.starts_with_zero_result or judgment.starts_at_zero
    unreached = bool(gradients) and gradients[0] == 0 and not learns
    chi = _chi(hidden, gradient_ratio)
    layer, factor = _cause(judgment)
    problems = ["overflows"] if overflows else list(_problems(judgment, unreached))
    text = ", ".join(problems) or _without_problems(judgment, layer, factor)
    if not problems and gradient_ratio and gradient_ratio < 1 / NOTABLE**2:
        text += f"; the gradient {_change(gradient_ratio)} on its way back"
    distance = None if overflows or unreached or not known else _distance(judgment)
    return Verdict(
        text=text,
        output_std=known[-1] if known else None,
        std_ratio=_ratio(stds[-1], stds[0]) if hidden else None,
        gradient_ratio=gradient_ratio,
        chi=chi,
        depth_scale=None if not chi else math.inf if chi == 1 else 1 / abs(math.log(chi)),
        worst=_worst(hidden, stds),
        dead_units=max(dead, default=None),
        saturated=max(saturated, default=None),
        layer=layer,
        factor=factor,
        distance=distance,
    )


def _problems(judgment: Judgment, unreached: bool) -> Iterable[str]:
    """Each problem in a few words."""
    vanishing = [growth for growth in judgment.growths if growth.ratio < 1]
    exploding = [growth for growth in judgment.growths if not growth.ratio <= 1]
    if exploding or judgment.residuals:
        yield f"signal explodes{_at(judgment, exploding)}"
    if vanishing:
        what = "difference of examples" if vanishing[0].between_examples else "signal"
        yield f"{what} vanishes{_at(judgment, vanishing)}"
    if unlike := judgment.unlike_sensitivities:
        yield f"gradient {'explodes' if unlike[0].size > unlike[-1].size else 'vanishes'}"
    if judgment.starts_at_zero:
        yield "starts at 0 and learns from there"
    if judgment.collapsed is not None:
        yield "examples lie on one line"
    if unreached:
        yield "no gradient reaches the first layer"
    for index in judgment.chaotic:
        yield f"gradient explodes over the steps of {judgment.graph.steps[index].name}"
    for index, reach in judgment.forgetful.items():
        yield f"gradient vanishes {reach} steps back in {judgment.graph.steps[index].name}"
    if (dead := judgment.activity.dead) is not None:
        name = judgment.graph.steps[dead.step].name
        is_dead = dead.dead is not None
        share = dead.dead if dead.dead is not None else dead.zeros
        yield f"{share:.0%} of {name}'s {'units are dead' if is_dead else 'outputs are 0'}"
    if judgment.activity.saturated:
        most = max(judgment.activity.saturated, key=lambda each: each.saturated or 0.0)
        name = judgment.graph.steps[most.step].name
        what = f"what enters {name}'s state is" if most.enters else f"{name}'s entries are"
        yield f"{most.saturated:.0%} of {what} saturated"


def _at(judgment: Judgment, growths: Sequence[Growth]) -> str:
    """Name the layer that causes nearly all of the largest growth, if one does."""
    growth = max(growths, key=lambda growth: growth.distance, default=None)
    steps = [] if growth is None else judgment.mixing_steps(growth)
    if growth is None or not judgment.is_by_one(steps, growth.ratio):
        return ""
    index, factor = judgment.steepest(steps, growth.ratio)
    return f" at {judgment.graph.steps[index].name} (factor {factor:.2g})"


def _without_problems(judgment: Judgment, layer: str | None, factor: float | None) -> str:
    """The text without problems, which depends on how much is known."""
    results = [judgment.rms(tensor) for tensor in judgment.graph.program.results]
    if not judgment.stretches:
        return "not known"
    growth = _furthest(judgment)
    is_kept = growth is None or growth.distance <= 2 * math.log(NOTABLE)
    text = "keeps its size" if growth is None or is_kept else _change(growth.ratio)
    if None in results:
        text += " as far as it is known"
    elif layer is not None and factor is not None and _change(factor):
        text += " except for " if is_kept else ", most of it at "
        text += f"{layer}, which changes it by a factor of {factor:.2g}"
    return text


def _change(ratio: float) -> str:
    """A change of size in words; empty for one below :data:`NOTABLE`."""
    if not 0 < ratio < math.inf or 1 / NOTABLE <= ratio <= NOTABLE:
        return ""
    return f"grows {ratio:,.0f} times" if ratio > 1 else f"shrinks {1 / ratio:,.0f} times"


def _cause(judgment: Judgment) -> tuple[str | None, float | None]:
    """The layer that changes the signal's size most in its worst stretch, and its factor."""
    growth = _furthest(judgment)
    steps = judgment.mixing_steps(growth) if growth is not None else []
    if growth is None or not steps:
        return None, None
    index, factor = judgment.steepest(steps, growth.ratio)
    return judgment.graph.steps[index].name, factor


def _furthest(judgment: Judgment) -> Growth | None:
    """The stretch over which the signal's size changes most."""
    return max(judgment.stretches.values(), key=lambda growth: growth.distance, default=None)


def _distance(judgment: Judgment) -> float | None:
    """The largest change of the size of the signal or of its sensitivity, in powers of ten.

    The largest fractions of dead units and of saturated entries are added; None if infinite.
    """
    distances = [growth.distance for growth in judgment.stretches.values()]
    if sizes := [each.size for each in judgment.sensitivities]:
        distances += [abs(math.log(size / sizes[-1])) for size in sizes]
    shares = judgment.activity.shares
    lost = max((each.dead or 0.0 for each in shares), default=0.0)
    lost += max((each.saturated or 0.0 for each in shares), default=0.0)
    distance = max(distances, default=0.0) / math.log(10) + lost
    return distance if math.isfinite(distance) else None


def _hidden_layers(signal: Signal) -> list[LayerSignal]:
    """Layers with weights that are not results; all with weights if there are fewer than two."""
    weighted = {
        each.name
        for each in signal.model_layers
        if each.parameters and not (isinstance(each.layer, Opaque) and each.layer.passes_on)
    }
    known = [layer for layer in signal.layers if layer.name in weighted and layer.std is not None]
    results = signal.results
    inner = [layer for layer in known if layer.name not in results]
    return inner if len(inner) > 1 else known


def _chi(hidden: Sequence[LayerSignal], gradient_ratio: float | None) -> float | None:
    """Factor for the mean square of a small change from one hidden layer to the next."""
    if len(hidden) < 2:
        return None
    first, last = (hidden[index].predicted.sensitivity for index in (0, -1))
    ratio = _ratio(last, first) or gradient_ratio
    return None if not ratio else ratio ** (2 / (len(hidden) - 1))


def _worst(hidden: Sequence[LayerSignal], stds: Sequence[float | None]) -> str | None:
    if not hidden or not stds[0]:
        return None
    first = stds[0]
    ratios = [1.0 if std is None else std / first for std in stds]
    far = [abs(math.log(each)) if 0 < each < math.inf else math.inf for each in ratios]
    return hidden[far.index(max(far))].name


def _ratio(one: float | None, other: float | None) -> float | None:
    if one is None or not other or not math.isfinite(one):
        return None
    return one / other
