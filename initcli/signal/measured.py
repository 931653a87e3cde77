"""Measurements of the signal: the size of every output and gradient, over several draws."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
import numpy as np
from threadpoolctl import ThreadpoolController, threadpool_limits

from initcli import limits
from initcli.choices import Loss
from initcli.errors import SignalError, listed
from initcli.layers.flow import Mask
from initcli.layers.preprocessing import Preprocessing
from initcli.model import Model
from initcli.parameter import Parameter
from initcli.sampling.chunks import draw
from initcli.signal.attending import (
    attention_heads,
    attention_signals,
    measured_attention,
)
from initcli.signal.cost import Cost, cost, room, usable, weights_room
from initcli.signal.field import observed
from initcli.signal.figures import (
    AttentionFigures,
    GradientSignal,
    LayerSignal,
    OutputSignal,
    Signal,
    Spread,
    TensorSignal,
    median_of,
)
from initcli.signal.first_loss import first_losses, loss_of, measured_loss
from initcli.signal.graph import Graph
from initcli.signal.inputs import drawn_input, fitting_inputs, standard_normal
from initcli.signal.masking import heeding, mask_notes
from initcli.signal.observing import difference, dimension, output_figures, rms
from initcli.signal.passes import (
    Gradients,
    Pass,
    Values,
    backwards,
    drawn_values,
    flow_of,
    forwards,
)
from initcli.signal.program import Program, program
from initcli.signal.rules.base import Weight
from initcli.signal.theory import (
    Measured,
    Predicted,
    Prediction,
    distribution_moments,
    first_axes,
    predictions,
)
from initcli.sources.load import computable
from initcli.types import Array

WANTED = ((64, 5), (32, 5), (16, 5), (8, 5), (4, 5), (4, 3), (2, 3), (2, 1), (1, 1))
"""Examples and draws, the best first."""
BATCH = WANTED[0][0]
"""Examples of a prediction."""
SECONDS = 60.0
"""Time for all draws."""
_MAX_NAMED = 4
"""Layers that a note names."""
REACHED = 1e-4
"""Share of the largest gradient of a time step that others within reach get at least."""


class _Draw(msgspec.Struct, frozen=True):
    """What was measured in one draw, by the number of the step, or the path of the parameter."""

    outputs: dict[int, dict[str, float]]
    gradients: dict[int, float]
    tensors: dict[str, tuple[float, float]]
    """The RMS of a parameter's gradient, and of its values."""
    hidden: dict[int, float]
    """As in :class:`Pass`."""
    differences: dict[int, float]
    dimensions: dict[int, float]
    onsets: dict[int, float]
    reaches: dict[int, float]
    """As in :class:`Signal`, as are the three before."""
    losses: dict[int, float]
    attention: dict[int, AttentionFigures]


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
        loss: the loss of outputs that no activation bounds; that of others follows from it.

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
            _one_draw(model, built, given, number, advance, loss, threads)
            for number in range(draws)
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
    built = program(model, batch)
    nothing: list[None] = [None] * len(built.steps)
    with threadpool_limits(1, "blas"):
        expected = predictions(built)
        attention = attention_signals(built, {}, expected.attended)
    layers = _layers(built, nothing, nothing, expected.steps)
    return Signal(
        model=model,
        program=built,
        batch=built.batch,
        draws=0,
        layers=layers,
        losses=first_losses(built, layers, {}, loss),
        attention=attention,
        notes=(
            *_assumptions(built),
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


class NotAfforded(SignalError):
    """A measurement that takes more than is allowed."""


class TooSlow(NotAfforded):
    """A measurement that takes too much time."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to measure: the program for a number of examples, how often, and notes on it."""

    program: Program
    draws: int
    notes: tuple[str, ...] = ()


def planned(
    model: Model,
    *,
    batch: int | None = None,
    draws: int | None = None,
    inputs: Mapping[str, Array] | None = None,
    seconds: float = SECONDS,
    wanted: Sequence[tuple[int, int]] = WANTED,
    steps: int = 0,
) -> Plan:
    """The first of the wanted examples and draws that fit in memory and time.

    Args:
        model: what the signal passes through.
        batch: examples, whatever time they take.
        draws: draws, whatever time they take.
        inputs: arrays by the name of the input, whose examples are taken.
        seconds: time for all draws.
        wanted: examples and draws, the best first.
        steps: of training, which take time too.

    Raises:
        NotAfforded: not even the last fits, and why.
    """
    model = computable(model)
    lengths = [x.shape[0] for x in (inputs or {}).values() if x.ndim]
    batch = min(lengths) if batch is None and lengths else batch
    shapes = {name: tuple(x.shape[1:]) for name, x in (inputs or {}).items()}
    is_free = batch is None
    choices = dict.fromkeys((batch or each, draws or count) for each, count in wanted)
    first: Cost | None = None
    for examples, count in choices:
        built = program(model, examples, shapes)
        own = cost(built, model.dtype, steps)
        first = first or own
        is_slow = own.seconds * count > seconds and (is_free or (draws is None and count > 1))
        if own.bytes <= room() and not is_slow:
            better = next(iter(choices))
            notes = _assumptions(built)
            if (examples, count) != better:
                notes = (_reduced(examples, count, better, first), *notes)
            return Plan(program=built, draws=count, notes=notes)
        if not is_free and own.bytes > room():
            break
    raise _refusal(examples, count, own, is_free, seconds)


def instead(
    model: Model, error: NotAfforded, batch: int | None = None, loss: Loss | None = None
) -> Signal:
    """The prediction in place of a measurement that is not afforded, with a note that says so."""
    reason = str(error).replace("\n  = ", "; ")
    signal = predict_signal(model, batch=batch or BATCH, loss=loss)
    return msgspec.structs.replace(signal, notes=(f"nothing is measured: {reason}", *signal.notes))


def _reduced(examples: int, count: int, better: tuple[int, int], full: Cost) -> str:
    """Says what is measured in place of what would take too much."""
    return (
        f"measured with a batch of {examples} and {_draws(count)}: {better[0]} examples and "
        f"{_draws(better[1])} would take {_time(full.seconds * better[1])} and "
        f"{_memory(full.bytes)}; --theory predicts at once"
    )


def _refusal(examples: int, count: int, own: Cost, is_free: bool, seconds: float) -> NotAfforded:
    what = f"a batch of {examples}" if examples > 1 else "a single example"
    if own.bytes > room():
        message = (
            f"{what} takes {_memory(own.bytes)} of memory, most of it in '{own.layer}', and "
            f"{_memory(room())} are allowed"
        )
        smaller = "" if is_free or examples == 1 else "take fewer with --batch, or "
        more = f"{limits.remedy('memory', own.bytes)}; " if own.bytes <= usable() else ""
        return NotAfforded(message, f"{more}{smaller}--theory predicts it")
    message = (
        f"{what} and {_draws(count)} take {_time(own.seconds * count)}, and measuring is left out "
        f"beyond {_time(seconds)}"
    )
    remedy = f"--theory predicts it; --batch {examples} --draws {count} measures it anyway"
    return TooSlow(message, remedy)


def notes_of_left_out(left_out: Sequence[str]) -> tuple[str, ...]:
    """Says which layers are not predicted."""
    if not left_out:
        return ()
    names = [f"'{name}'" for name in left_out[:_MAX_NAMED]]
    more = len(left_out) - len(names)
    whole = f"{', '.join(names)} and {more:,} more" if more else listed(names, "and")
    taken = f"with {_memory(room())} of memory, which are allowed"
    return (f"{whole} cannot be predicted {taken}: {limits.remedy('memory')}",)


def _draws(count: int) -> str:
    return f"{count} draw{'s' * (count > 1)}"


def _time(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 100 else f"{seconds / 60:,.0f} minutes"


def _memory(size: int) -> str:
    return f"{size / 2**30:,.1f} GiB" if size >= 2**30 else f"{size / 2**20:,.0f} MiB"


def _assumptions(built: Program) -> tuple[str, ...]:
    """What a program takes for granted, as notes."""
    notes: list[str] = []
    if built.length is not None:
        notes.append(f"sizes that the spec leaves open are taken to be {built.length}")
    layers = ((step.name, step.layer) for step in built.steps)
    passed = dict.fromkeys(name for name, layer in layers if isinstance(layer, Preprocessing))
    if passed:
        names = listed(passed, "and")
        notes.append(f"initcli does not prepare data: the input of {names} passes on")
    return tuple(notes)


def _one_draw(
    model: Model,
    built: Program,
    given: Mapping[int, Array],
    number: int,
    advance: Callable[[], None],
    loss: Loss | None,
    threads: int,
) -> _Draw:
    seed = model.seed + number
    about = Pass(_values(built, seed), str(seed), threads)
    tensors = dict(given)
    for each in built.inputs:
        if each.tensor not in tensors:
            shape = built.shapes[each.tensor]
            tensors[each.tensor] = drawn_input(each, shape, seed, model)
    outputs: dict[int, dict[str, float]] = {}
    gradients: dict[int, float] = {}
    sizes: dict[str, tuple[float, float]] = {}
    losses: dict[int, float] = {}
    attention: dict[int, AttentionFigures] = {}
    with np.errstate(all="ignore"):
        for index, (step, (output, *_)) in enumerate(forwards(built, tensors, about)):
            if np.issubdtype(output.dtype, np.floating):
                outputs[index] = output_figures(step.layer, output)
                if step.outputs[0] in built.results and (kind := loss_of(step, output.shape, loss)):
                    value = measured_loss(step, output, kind)
                    if math.isfinite(value):
                        losses[index] = value
            if attention_heads(step) is not None:
                weights = {name: about.values(p) for name, p in step.weights.items()}
                flow = flow_of(step, weights, tensors, about)
                found = measured_attention(step, flow, [tensors[i] for i in step.inputs])
                if found is not None:
                    attention[index] = found
            advance()
        trunk = Graph(built).hidden_trunk
        followed = [t for each in built.inputs if tensors[t := each.tensor].dtype.kind == "f"]
        differences = {tensor: difference(tensors[tensor]) for tensor in (*followed, *trunk)}
        dimensions = {tensor: dimension(tensors[tensor]) for tensor in (*followed, *trunk[-1:])}
        cotangents = {
            tensor: _cotangent(f"cotangent {k}", seed, tensors[tensor], about.masks.get(tensor))
            for k, tensor in enumerate(built.results)
            if np.issubdtype(tensors[tensor].dtype, np.floating)
        }
        totals: dict[str, Array] = {}
        onsets: dict[int, float] = {}
        reaches: dict[int, float] = {}
        back = backwards(built, tensors, cotangents, about)
        for index, gradient in zip(reversed(range(len(built.steps))), back, strict=True):
            step = gradient.step
            if gradient.outputs[0] is not None:
                gradients[index] = rms(gradient.outputs[0])
                if over_time := _over_time(gradient):
                    largest = max(over_time)
                    onsets[index] = largest / over_time[-1]
                    reaches[index] = sum(size >= REACHED * largest for size in over_time)
            weights = {} if isinstance(step.layer, Preprocessing) else gradient.weights
            for name, each in weights.items():
                path = step.weights[name].path
                totals[path] = totals[path] + each if path in totals else each
            if step.call == 0:  # The first call comes last.
                for parameter in step.parameters:
                    if parameter.path in totals:
                        values = about.values(parameter)
                        sizes[parameter.path] = rms(totals.pop(parameter.path)), rms(values)
            advance()
    measured = outputs, gradients, sizes, about.hidden, differences, dimensions, onsets, reaches
    return _Draw(*measured, losses, attention)


def _cotangent(purpose: str, seed: int, result: Array, mask: Mask) -> Array:
    """The gradient of a result, which is 0 at steps that a mask hides."""
    cotangent = standard_normal(purpose, seed, result.shape, result.dtype)
    if mask is None:
        return cotangent
    return cotangent * mask.reshape(*mask.shape, *(1,) * (cotangent.ndim - mask.ndim))


def _values(built: Program, seed: int) -> Values:
    """The weights of a seed, of which as many as there is room for are drawn once."""
    drawn = drawn_values(weights_room())

    def values(parameter: Parameter) -> Array:
        moved = parameter.seed + seed - built.seed
        return drawn(msgspec.structs.replace(parameter, seed=moved))

    return values


def _gathered(
    model: Model,
    built: Program,
    given: Mapping[int, Array],
    taken: list[_Draw],
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
    expected = Predicted([Prediction() for _ in indices], (), {})
    if theory:
        expected = predictions(built, measured, _moments, fields)
    attention = {i: [d.attention[i] for d in taken if i in d.attention] for i in indices}
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
        tensors=tuple(_tensors(model, taken)),
        losses=first_losses(built, layers, losses, loss),
        attention=attention_signals(built, attention, expected.attended),
        notes=(
            *notes,
            *notes_of_left_out(expected.left_out),
            *mask_notes(heeded, max(shares.values(), default=0.0)),
        ),
        left_out=expected.left_out,
    )


def _tensors(model: Model, taken: list[_Draw]) -> Iterable[TensorSignal]:
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


def _over_time(gradient: Gradients) -> list[float]:
    """Gradients of the time steps of a layer that ends with its last state; empty if it does not.

    Empty too where none comes back to the last step.
    """
    (output, *_), (fed, *_) = gradient.outputs, (*gradient.inputs, None)
    if gradient.step.layer.acts_as() != "recurs" or output is None or fed is None:
        return []
    _, x = fed
    sizes = [rms(each) for each in np.moveaxis(x, 1, 0)] if x.ndim > output.ndim else []
    return sizes if sizes and sizes[-1] > 0 else []


def _medians(figures: list[dict[int, float]]) -> dict[int, float]:
    keys = set(figures[0]).intersection(*figures[1:])
    return {key: median_of([each[key] for each in figures]) for key in sorted(keys)}
