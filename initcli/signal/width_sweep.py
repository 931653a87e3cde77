"""The signal against width: the scaling of each layer's size and gradients with the width.

This is the coordinate check of Tensor Programs V (Yang et al. 2022, arXiv:2203.03466). A power of
the width is a straight line in logarithms, whose slope is the exponent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated, ClassVar, Literal

import msgspec
import numpy as np
from msgspec import Meta

from initcli.display import Displayed
from initcli.errors import SignalError
from initcli.model import Model, Width
from initcli.signal.comparison import Compared
from initcli.signal.figures import LayerSignal, Signal
from initcli.signal.program import Step
from initcli.signal.training import Trained, Training

Scaling = Literal["stays", "grows", "shrinks"]
"""The change of a size with increasing width."""
FLAT = 0.1
"""The largest exponent of a size that stays: over a factor of 16 in width it changes by a third."""


class Trend(msgspec.Struct, frozen=True, kw_only=True):
    """A figure at each width, and its exponent as a power of the width."""

    sizes: Annotated[
        tuple[float | None, ...], Meta(description="RMS at each width; null if not known.")
    ]
    exponent: Annotated[
        float | None,
        Meta(
            description="Slope of the logarithm of the RMS over that of the width, by least "
            "squares; null unless all are known and above 0."
        ),
    ] = None
    error: Annotated[
        float | None,
        Meta(description="Standard error of the exponent; null for fewer than three widths."),
    ] = None
    verdict: Annotated[
        Scaling | None,
        Meta(
            description="stays for an exponent of at most 0.1, else grows or shrinks; null where "
            "it is not known, or within two errors of 0."
        ),
    ] = None


class LayerTrend(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a layer at each width."""

    name: Annotated[str, Meta(description="Name of the layer.")]
    type: Annotated[str, Meta(description="Type of the layer.")]
    call: Annotated[int, Meta(description="Number of earlier calls of the same layer.")]
    output: Annotated[Trend, Meta(description="Output.")]
    gradient: Annotated[Trend, Meta(description="Gradient of the output.")]
    changes: Annotated[
        tuple[Trend, ...],
        Meta(description="Difference of the output from the first one, after 1, 2, … steps."),
    ] = ()

    @property
    def trends(self) -> tuple[tuple[str, Trend], ...]:
        """The trends by the name of the quantity."""
        changes = ((f"change {step}", each) for step, each in enumerate(self.changes, 1))
        return ("output", self.output), ("gradient", self.gradient), *changes


class TensorTrend(msgspec.Struct, frozen=True, kw_only=True):
    """The gradient of one trained parameter at each width."""

    path: Annotated[str, Meta(description="Path of the parameter.")]
    gradient: Annotated[Trend, Meta(description="Gradient of the parameter.")]


class WidthSweep(Displayed, frozen=True, kw_only=True):
    """One model at several widths: the trend of every layer and parameter.

    ``main`` are the indices of the layers that change the size of a signal. ``losses`` are, for
    each width, those before and after each step of ``training``, if any.
    """

    label: str
    model: Model
    factors: tuple[float, ...]
    batch: int
    draws: int
    layers: tuple[LayerTrend, ...]
    tensors: tuple[TensorTrend, ...]
    main: tuple[int, ...]
    training: Training | None = None
    losses: tuple[tuple[float, ...], ...] = ()
    notes: tuple[str, ...] = ()

    view: ClassVar[str] = "width"

    @property
    def width(self) -> Width:
        """The scaled sizes."""
        assert self.model.width is not None
        return self.model.width

    @property
    def headline(self) -> str:
        widths = ", ".join(f"{factor:g}" for factor in self.factors)
        return f"of {self.label}: widths {widths}"

    def lines(self) -> Iterator[tuple[str, ...]]:
        for index in self.main:
            trend = self.layers[index].output
            yield self.layers[index].name, exponent_text(trend), trend.verdict or "not known"


def fit_widths(compared: Iterable[Compared]) -> tuple[WidthSweep, ...]:
    """The trends of models that differ in width, with one sweep for each family.

    Args:
        compared: the result of :func:`initcli.compare` for models of :func:`initcli.variants` with
            ``widths``.

    Raises:
        SignalError: a model is not one of a sweep.

    >>> import initcli
    >>> models = initcli.variants(["sample_configs/lenet5.yaml"], widths=["8,16,32"])
    >>> (sweep,) = initcli.fit_widths(initcli.compare(models, theory=True))
    >>> first = sweep.layers[0]
    >>> first.name, round(first.output.exponent, 1), first.output.verdict
    ('conv2d', -0.5, 'shrinks')
    """
    families: dict[str, list[tuple[Width, Compared]]] = {}
    for each in compared:
        width = each.signal.model.width
        if width is None:
            message = f"{each.label} is no model of a sweep of widths"
            raise SignalError(message, "initcli.variants(..., widths=['1,2,4']) makes them")
        families.setdefault(width.family, []).append((width, each))
    return tuple(_sweep(family, members) for family, members in families.items())


def trend(factors: Sequence[float], sizes: Sequence[float | None]) -> Trend:
    """The exponent of sizes as a power of the width, by least squares in logarithms.

    >>> found = trend([1, 2, 4, 8], [0.1, 0.2, 0.4, 0.8])
    >>> round(found.exponent, 6), found.verdict
    (1.0, 'grows')
    """
    known = [size for size in sizes if size is not None and 0 < size < math.inf]
    if len(known) < max(len(sizes), 2):
        return Trend(sizes=tuple(sizes))
    x, y = np.log(factors), np.log(known)
    x = x - x.mean()
    slope = float(x @ y / (x @ x))
    error = None
    if len(known) > 2:
        rest = y - y.mean() - slope * x
        error = math.sqrt(float(rest @ rest) / (len(known) - 2) / float(x @ x))
    verdict: Scaling | None = "grows" if slope > 0 else "shrinks"
    if abs(slope) <= FLAT:
        verdict = "stays"
    elif error is not None and abs(slope) < 2 * error:
        verdict = None
    return Trend(sizes=tuple(sizes), exponent=slope, error=error, verdict=verdict)


def exponent_text(found: Trend) -> str:
    """The exponent with its error; empty if it is not known."""
    if found.exponent is None:
        return ""
    error = "" if found.error is None else f" ±{found.error:.2f}"
    return f"{found.exponent:+z.2f}{error}".replace("+0.00", "0.00")


def _sweep(family: str, members: list[tuple[Width, Compared]]) -> WidthSweep:
    members = sorted(members, key=lambda each: each[0].factor)
    factors = [width.factor for width, _ in members]
    signals = [compared.signal for _, compared in members]
    trained = [compared.trained for _, compared in members if compared.trained is not None]
    first, draws = signals[0], min(signal.draws for signal in signals)

    def of_layers(index: int, size: Callable[[LayerSignal, bool], float | None]) -> Trend:
        return trend(factors, [size(signal.layers[index], draws > 0) for signal in signals])

    layers = tuple(
        LayerTrend(
            name=layer.name,
            type=layer.type,
            call=layer.call,
            output=of_layers(index, _output),
            gradient=of_layers(index, _gradient),
            changes=tuple(_changes(index, factors, trained)),
        )
        for index, layer in enumerate(first.layers)
    )
    gradients = [_of_parameters(signal, draws > 0) for signal in signals]
    tensors = tuple(
        TensorTrend(path=path, gradient=trend(factors, [each.get(path) for each in gradients]))
        for path in gradients[0]
    )
    return WidthSweep(
        label=family or first.model.name,
        model=first.model,
        factors=tuple(factors),
        batch=min(signal.batch for signal in signals),
        draws=draws,
        layers=layers,
        tensors=tensors,
        main=tuple(i for i, step in enumerate(first.program.steps) if _is_main(step)),
        training=trained[0].training if trained else None,
        losses=tuple(each.losses for each in trained),
        notes=tuple(dict.fromkeys(n for s in signals for n in (*s.model.notes, *s.notes)))
        + tuple(dict.fromkeys(n for each in trained for n in each.notes)),
    )


def _output(layer: LayerSignal, drawn: bool) -> float | None:
    """The RMS of an output, as measured or as predicted."""
    if drawn:
        if layer.output is None:
            return None
        return math.hypot(layer.output.std.median, layer.output.mean.median)
    predicted = layer.predicted
    if predicted.std is None or predicted.mean is None:
        return None
    return math.hypot(predicted.std, predicted.mean)


def _gradient(layer: LayerSignal, drawn: bool) -> float | None:
    if drawn:
        return None if layer.gradient is None else layer.gradient.rms.median
    return layer.predicted.gradient_rms


def _of_parameters(signal: Signal, drawn: bool) -> dict[str, float]:
    """The gradient RMS of parameters by path as measured, or of kernels as predicted."""
    if drawn:
        return {each.path: each.gradient_rms.median for each in signal.tensors}
    found: dict[str, float] = {}
    for step, layer in zip(signal.program.steps, signal.layers, strict=True):
        rms = layer.predicted.kernel_gradient_rms
        if rms is not None and step.kernel is not None:
            found[step.kernel.path] = rms
    return found


def _changes(index: int, factors: Sequence[float], trained: Sequence[Trained]) -> Iterator[Trend]:
    """The trends of the change of an output after each step of training."""
    known = [each.changes[index] for each in trained]
    for sizes in zip(*(each or () for each in known), strict=False):
        yield trend(factors, sizes)


def _is_main(step: Step) -> bool:
    """Whether a step may change the size of its input."""
    role = step.layer.acts_as()
    return bool(step.parameters) or step.layer.last_activation is not None or role in _CHANGING


_CHANGING = ("adds", "multiplies", "normalizes", "scales")
