"""Measurements of the signal: the size of every output and gradient, over several draws."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

import msgspec
import numpy as np
from threadpoolctl import ThreadpoolController, threadpool_limits

from initcli.choices import Loss
from initcli.model import Model
from initcli.parameter import Parameter
from initcli.sampling.chunks import draw
from initcli.signal.attending import (
    attention_signals,
)
from initcli.signal.draws import Draw, one_draw
from initcli.signal.figures import (
    GradientSignal,
    LayerSignal,
    OutputSignal,
    Signal,
    Spread,
    TensorSignal,
    median_of,
)
from initcli.signal.first_loss import first_losses
from initcli.signal.initial_fields import Measured, first_axes, observed
from initcli.signal.inputs import fitting_inputs
from initcli.signal.masking import heeding, mask_notes
from initcli.signal.moments import Weight, distribution_moments
from initcli.signal.observing import rms
from initcli.signal.planning import (
    BATCH,
    NotAfforded,
    Plan,
    assumptions,
    notes_of_left_out,
    planned,
)
from initcli.signal.prediction import Predicted, Prediction
from initcli.signal.program import Program, program
from initcli.signal.routing import router_signals
from initcli.signal.theory import predictions
from initcli.sources.load import computable
from initcli.types import Array


def measure_signal(
    model: Model,
    *,
    batch: int | None = None,
    draws: int | None = None,
    inputs: Mapping[str, Array] | None = None,
    progress: Callable[[int, int], None] | None = None,
    theory: bool = True,
    plan: Plan | None = None,
    loss: Loss | None = None,
) -> Signal:
    """Pass a signal forwards and backwards through a model, as in training, and predict it.

    Inputs are standard normal, or uniform whole numbers where a table looks them up. The gradients
    of the results are standard normal, and 0 at steps that a mask hides, of which a loss sees
    nothing. Draw k has the seed of the model plus k.

    Args:
        model: what the signal passes through.
        batch: examples; by default 64, or as many as fit in memory and a minute.
        draws: how often to draw weights and inputs anew; by default 5, or as for the batch.
        inputs: arrays by the name of the input; they stay the same in every draw.
        progress: called with the number of steps done, and of all steps.
        theory: whether to predict it as well.
        plan: examples and draws, where :func:`planned` has said them already.
        loss: the loss of outputs that no activation bounds, by default as the model says; that of
            others follows from it.

    Raises:
        SignalError: the signal cannot pass a layer, the inputs do not fit, or it takes too much.
        TooLarge: a tensor cannot be held.

    >>> import initcli
    >>> model = initcli.load("sample_configs/mlp_relu_deep.yaml")
    >>> last = initcli.measure_signal(model, batch=16, draws=3).layers[-1]
    >>> 0.1 < last.output.std.median < 10
    True
    """
    model = computable(model)
    loss = loss or model.loss
    plan = plan or planned(model, batch=batch, draws=draws, inputs=inputs)
    built, draws = plan.program, plan.draws
    given = fitting_inputs(built, inputs or {})
    whole = 2 * len(built.steps) * draws

    def advance() -> None:
        if progress is not None:
            progress(1, whole)

    libraries = ThreadpoolController()
    known = [each["num_threads"] for each in libraries.info() if each["user_api"] == "blas"]
    threads = min(known, default=1)
    with libraries.limit(limits=1, user_api="blas"):
        taken = [
            one_draw(model, built, given, number, advance, loss, threads) for number in range(draws)
        ]
    return _gathered(model, built, given, taken, plan.notes, theory, loss)


def predict_signal(model: Model, *, batch: int = BATCH, loss: Loss | None = None) -> Signal:
    """Predict the signal from the distributions alone: nothing is drawn, whatever the model's size.

    >>> import initcli
    >>> model = initcli.load("sample_configs/mlp_tanh_deep.yaml")
    >>> signal = initcli.predict_signal(model)
    >>> signal.layers[-2].predicted.std < 1e-10
    True
    """
    model = computable(model)
    loss = loss or model.loss
    built = program(model, batch)
    nothing: list[None] = [None] * len(built.steps)
    with threadpool_limits(1, "blas"):
        expected = predictions(built)
        attention = attention_signals(built, {}, expected.attended)
        routers = router_signals(built, {}, expected.routed)
    layers = _layers(built, nothing, nothing, expected.steps)
    return Signal(
        model=model,
        program=built,
        batch=built.batch,
        draws=0,
        layers=layers,
        sums=expected.sums,
        losses=first_losses(built, expected.logits, {}, loss),
        attention=attention,
        routers=routers,
        notes=(
            *assumptions(built),
            *notes_of_left_out(expected.left_out),
            *mask_notes(heeding(built)),
        ),
        left_out=expected.left_out,
    )


def _layers(
    built: Program,
    outputs: Iterable[OutputSignal | None],
    gradients: Iterable[Spread | None],
    expected: Iterable[Prediction],
) -> tuple[LayerSignal, ...]:
    return tuple(
        LayerSignal(
            name=step.name,
            type=step.layer.type_name,
            call=step.call,
            shape=built.shapes[step.outputs[0]],
            output=output,
            gradient=None if gradient is None else GradientSignal(gradient),
            predicted=prediction,
        )
        for step, output, gradient, prediction in zip(
            built.steps, outputs, gradients, expected, strict=True
        )
    )


def instead(
    model: Model, error: NotAfforded, batch: int | None = None, loss: Loss | None = None
) -> Signal:
    """The prediction in place of a measurement that is not afforded, with a note that says so."""
    reason = str(error).replace("\n  = ", "; ")
    signal = predict_signal(model, batch=batch or BATCH, loss=loss)
    return msgspec.structs.replace(signal, notes=(f"nothing is measured: {reason}", *signal.notes))


def _gathered(
    model: Model,
    built: Program,
    given: Mapping[int, Array],
    taken: list[Draw],
    notes: tuple[str, ...],
    theory: bool,
    loss: Loss | None,
) -> Signal:
    indices = range(len(built.steps))
    outputs = [_output([d.outputs[i] for d in taken if i in d.outputs]) for i in indices]
    gradients = [Spread.of([d.gradients[i] for d in taken if i in d.gradients]) for i in indices]
    measured = {
        step.outputs[0]: Measured(
            mean=output.mean.median,
            std=output.std.median,
            correlation=None if output.correlation is None else output.correlation.median,
            gradient_rms=None if gradient is None else gradient.median,
        )
        for step, output, gradient in zip(built.steps, outputs, gradients, strict=True)
        if output is not None and math.isfinite(output.std.median)
    }
    axes = first_axes(built)
    fields = {t: observed(x, *axes.get(t, (-1,))) for t, x in given.items() if x.dtype.kind == "f"}
    expected = Predicted([Prediction() for _ in indices])
    if theory:
        expected = predictions(built, measured, _moments, fields)
    attention = {i: [d.attention[i] for d in taken if i in d.attention] for i in indices}
    routing = {i: [d.routing[i] for d in taken if i in d.routing] for i in indices}
    shares = {tensor: max(draw.hidden[tensor] for draw in taken) for tensor in taken[0].hidden}
    layers = _layers(built, outputs, gradients, expected.steps)
    losses = {i: Spread.of([d.losses[i] for d in taken if i in d.losses]) for i in indices}
    heeded = [step for step in built.steps if shares.get(step.outputs[0], 0) > 0]
    return Signal(
        model=model,
        program=built,
        batch=built.batch,
        draws=len(taken),
        input_rms={tensor: rms(x) for tensor, x in given.items() if x.dtype.kind == "f"},
        differences=_medians([draw.differences for draw in taken]),
        dimensions=_medians([draw.dimensions for draw in taken]),
        onsets=_medians([draw.onsets for draw in taken]),
        reaches=_medians([draw.reaches for draw in taken]),
        layers=layers,
        sums=expected.sums,
        tensors=tuple(_tensors(model, taken)),
        losses=first_losses(built, expected.logits, losses, loss),
        attention=attention_signals(built, attention, expected.attended),
        routers=router_signals(built, routing, expected.routed),
        notes=(
            *notes,
            *notes_of_left_out(expected.left_out),
            *mask_notes(heeded, max(shares.values(), default=0.0)),
        ),
        left_out=expected.left_out,
    )


def _tensors(model: Model, taken: list[Draw]) -> Iterable[TensorSignal]:
    for parameter in model.parameters:
        pairs = [each.tensors[parameter.path] for each in taken if parameter.path in each.tensors]
        size = Spread.of([gradient for gradient, _ in pairs])
        if size is not None:
            ratios = [gradient / weight for gradient, weight in pairs if weight > 0]
            yield TensorSignal(
                path=parameter.path, gradient_rms=size, gradient_to_weight=Spread.of(ratios)
            )


def _moments(parameter: Parameter) -> Weight | None:
    """The moments of the distribution, or where nobody knows it of the values."""
    moments = distribution_moments(parameter)
    if moments is None:
        values = draw(parameter).astype(np.float64)
        values = values * parameter.multiplier
        moments = Weight(float(values.mean()), float(values.var()))
    return moments


def _output(figures: list[dict[str, float]]) -> OutputSignal | None:
    if not figures:
        return None
    names = OutputSignal.__struct_fields__
    spreads = {name: Spread.of([each[name] for each in figures if name in each]) for name in names}
    return OutputSignal(**spreads)  # type: ignore[arg-type]  # only the optional ones are None


def _medians(figures: list[dict[int, float]]) -> dict[int, float]:
    keys = set(figures[0]).intersection(*figures[1:])
    return {key: median_of([each[key] for each in figures]) for key in sorted(keys)}
