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
from initcli.signal.attending import attention_signals
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
from initcli.signal.masking import steps_using_masks
from initcli.signal.moments import Weight, distribution_moments
from initcli.signal.notes import (
    notes_of_assumptions,
    notes_of_left_out,
    notes_of_masks,
    notes_of_missing_rules,
)
from initcli.signal.observing import rms
from initcli.signal.planning import BATCH, NotAfforded, Plan, planned
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

    Inputs are standard normal, or uniform integers for a table. The gradients of the results are
    standard normal, and 0 at masked steps. Draw k has the seed of the model plus k.

    Args:
        model: the model.
        batch: number of examples; by default 64, or what fits in memory and a minute.
        draws: number of draws of weights and inputs; by default 5, or what fits.
        inputs: arrays by the name of the input, which are the same in every draw.
        progress: called with the number of steps done, and of all steps.
        theory: whether to predict it as well.
        plan: the result of :func:`planned`, if it is known.
        loss: the loss of outputs whose activation does not decide it; by default that of the
            model.

    Raises:
        SignalError: a layer cannot be computed, the inputs do not fit, or it takes too much.
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
    reals = {tensor: x for tensor, x in given.items() if x.dtype.kind == "f"}
    whole = 2 * len(built.steps) * draws

    def advance() -> None:
        if progress is not None:
            progress(1, whole)

    libraries = ThreadpoolController()
    known = [each["num_threads"] for each in libraries.info() if each["user_api"] == "blas"]
    threads = min(known, default=1)
    with libraries.limit(limits=1, user_api="blas"):
        measured = [
            one_draw(model, built, given, number, advance, loss, threads) for number in range(draws)
        ]
    expected = Predicted([Prediction()] * len(built.steps))
    if theory:
        expected = _predicted(built, measured, reals)
    shares = {t: max(draw.hidden[t] for draw in measured) for t in measured[0].hidden}
    hiding = [step for step in built.steps if shares.get(step.outputs[0], 0) > 0]
    notes = (*plan.notes, *(notes_of_missing_rules(built, is_measured=True) if theory else ()))
    notes += (
        *notes_of_left_out(expected.left_out),
        *notes_of_masks(hiding, max(shares.values(), default=0.0)),
    )
    signal = _signal(model, built, measured, expected, notes, loss)
    return msgspec.structs.replace(signal, input_rms={t: rms(x) for t, x in reals.items()})


def predict_signal(model: Model, *, batch: int = BATCH, loss: Loss | None = None) -> Signal:
    """Predict the signal from the distributions, without draws, for a model of any size.

    >>> import initcli
    >>> model = initcli.load("sample_configs/mlp_tanh_deep.yaml")
    >>> signal = initcli.predict_signal(model)
    >>> signal.layers[-2].predicted.std < 1e-10
    True
    """
    model = computable(model)
    built = program(model, batch)
    with threadpool_limits(1, "blas"):
        expected = predictions(built)
        notes = (*notes_of_assumptions(built), *notes_of_missing_rules(built))
        notes += (*notes_of_left_out(expected.left_out), *notes_of_masks(steps_using_masks(built)))
        return _signal(model, built, [], expected, notes, loss or model.loss)


def instead(
    model: Model, error: NotAfforded, batch: int | None = None, loss: Loss | None = None
) -> Signal:
    """Predict what is too large to measure, with a note that says so."""
    reason = str(error).replace("\n  = ", "; ")
    signal = predict_signal(model, batch=batch or BATCH, loss=loss)
    return msgspec.structs.replace(signal, notes=(f"nothing is measured: {reason}", *signal.notes))


def _predicted(built: Program, draws: list[Draw], given: Mapping[int, Array]) -> Predicted:
    """Predictions that continue from measured outputs where theory ends."""
    measured = {
        step.outputs[0]: Measured(
            mean=output.mean.median,
            std=output.std.median,
            correlation=None if output.correlation is None else output.correlation.median,
            gradient_rms=None if gradient is None else gradient.median,
        )
        for index, step in enumerate(built.steps)
        for output, gradient in [(_output(draws, index), _gradient(draws, index))]
        if output is not None and math.isfinite(output.std.median)
    }
    axes = first_axes(built)
    fields = {t: observed(x, *axes.get(t, (-1,))) for t, x in given.items()}
    return predictions(built, measured, _moments, fields)


def _signal(
    model: Model,
    built: Program,
    draws: list[Draw],
    expected: Predicted,
    notes: tuple[str, ...],
    loss: Loss | None,
) -> Signal:
    """The figures of all draws, if any, and the predictions."""
    indices = range(len(built.steps))
    attention = {i: [d.attention[i] for d in draws if i in d.attention] for i in indices}
    routing = {i: [d.routing[i] for d in draws if i in d.routing] for i in indices}
    losses = {i: Spread.of([d.losses[i] for d in draws if i in d.losses]) for i in indices}
    return Signal(
        model=model,
        program=built,
        batch=built.batch,
        draws=len(draws),
        differences=_medians([draw.differences for draw in draws]),
        dimensions=_medians([draw.dimensions for draw in draws]),
        onsets=_medians([draw.onsets for draw in draws]),
        reaches=_medians([draw.reaches for draw in draws]),
        layers=tuple(_layers(built, draws, expected)),
        sums=expected.sums,
        tensors=tuple(_tensors(model, draws)),
        losses=first_losses(built, expected.logits, losses, loss),
        attention=attention_signals(built, attention, expected.attended),
        routers=router_signals(built, routing, expected.routed),
        notes=notes,
        left_out=expected.left_out,
    )


def _layers(built: Program, draws: list[Draw], expected: Predicted) -> Iterable[LayerSignal]:
    for index, (step, predicted) in enumerate(zip(built.steps, expected.steps, strict=True)):
        gradient = _gradient(draws, index)
        yield LayerSignal(
            name=step.name,
            type=step.layer.type_name,
            call=step.call,
            shape=built.shapes[step.outputs[0]],
            output=_output(draws, index),
            gradient=None if gradient is None else GradientSignal(gradient),
            predicted=predicted,
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
    """The moments of the distribution, or of the values if it is not known."""
    moments = distribution_moments(parameter)
    if moments is None:
        values = draw(parameter).astype(np.float64)
        values = values * parameter.multiplier
        moments = Weight(float(values.mean()), float(values.var()))
    return moments


def _output(draws: list[Draw], index: int) -> OutputSignal | None:
    figures = [draw.outputs[index] for draw in draws if index in draw.outputs]
    if not figures:
        return None
    names = OutputSignal.__struct_fields__
    spreads = {name: Spread.of([each[name] for each in figures if name in each]) for name in names}
    return OutputSignal(**spreads)  # type: ignore[arg-type]  # only the optional ones are None


def _gradient(draws: list[Draw], index: int) -> Spread | None:
    return Spread.of([draw.gradients[index] for draw in draws if index in draw.gradients])


def _medians(figures: list[dict[int, float]]) -> dict[int, float]:
    keys = set(figures[0]).intersection(*figures[1:]) if figures else set()
    return {key: median_of([each[key] for each in figures]) for key in sorted(keys)}
