"""Measurements of the signal: the size of every output and gradient, over several draws."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

import msgspec
import numpy as np
from threadpoolctl import threadpool_limits

from initcli.errors import SignalError, listed
from initcli.layers.embedding import Table
from initcli.layers.flow import Mask
from initcli.layers.preprocessing import Preprocessing
from initcli.model import Model
from initcli.parameter import Parameter
from initcli.sampling.chunks import draw, physical_memory
from initcli.signal.field import observed
from initcli.signal.figures import (
    GradientSignal,
    LayerSignal,
    OutputSignal,
    Signal,
    Spread,
    TensorSignal,
)
from initcli.signal.graph import Graph
from initcli.signal.inputs import drawn_input, fitting_inputs, standard_normal
from initcli.signal.masking import heeding, mask_notes
from initcli.signal.observing import difference, dimension, output_figures, rms
from initcli.signal.passes import Pass, Values, backwards, drawn_values, forwards
from initcli.signal.program import Program, program
from initcli.signal.rules.base import Weight
from initcli.signal.theory import (
    Measured,
    Prediction,
    distribution_moments,
    first_axes,
    predictions,
)
from initcli.types import Array

BATCH = 64
"""Examples, unless they do not fit in memory."""
DRAWS = 5
"""Draws of the weights and inputs, with a seed each."""
_LARGE_PRODUCT = 5e7
"""Multiplications of a layer from which threads help more than they wait for one another."""
_USABLE = 0.7
"""The share of the memory that may be used."""


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
    """As in :class:`Signal`, as are the differences."""


def measure_signal(
    model: Model,
    *,
    batch: int | None = None,
    draws: int = DRAWS,
    inputs: Mapping[str, Array] | None = None,
    progress: Callable[[int, int], None] | None = None,
    theory: bool = True,
) -> Signal:
    """Pass a signal forwards and backwards through a model, as in training, and predict it.

    Inputs are standard normal, or uniform whole numbers where a table looks them up. The gradients
    of the results are standard normal, and 0 at steps that a mask hides, of which a loss sees
    nothing. Draw k has the seed of the model plus k.

    Args:
        model: what the signal passes through.
        batch: examples; by default 64, or as many as fit in memory.
        draws: how often to draw weights and inputs anew.
        inputs: arrays by the name of the input; they stay the same in every draw.
        progress: called with the number of steps done, and of all steps.
        theory: whether to predict it as well.

    Raises:
        SignalError: the signal cannot pass a layer, the inputs do not fit, or memory is too small.
        TooLarge: a tensor cannot be held.

    >>> import initcli
    >>> model = initcli.load("sample_configs/mlp_relu_deep.yaml")
    >>> last = initcli.measure_signal(model, batch=16, draws=3).layers[-1]
    >>> 0.1 < last.output.std.median < 10
    True
    """
    built, notes = _built(model, batch, inputs)
    given = fitting_inputs(built, inputs or {})
    whole = 2 * len(built.steps) * draws

    def advance() -> None:
        if progress is not None:
            progress(1, whole)

    with threadpool_limits(1 if _products(built) < _LARGE_PRODUCT else None, "blas"):
        taken = [_one_draw(model, built, given, number, advance) for number in range(draws)]
    return _gathered(model, built, given, taken, notes, theory)


def predict_signal(model: Model, *, batch: int = BATCH) -> Signal:
    """Predict the signal from the distributions alone: nothing is drawn, whatever the model's size.

    >>> import initcli
    >>> model = initcli.load("sample_configs/mlp_tanh_deep.yaml")
    >>> signal = initcli.predict_signal(model)
    >>> signal.layers[-2].predicted.std < 1e-10
    True
    """
    built = program(model, batch)
    nothing: list[None] = [None] * len(built.steps)
    return Signal(
        model=model,
        program=built,
        batch=built.batch,
        draws=0,
        layers=_layers(built, nothing, nothing, predictions(built)),
        notes=(*_assumptions(built), *mask_notes(heeding(built))),
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


def _products(built: Program) -> float:
    """Multiplications of a layer with weights, on average: of each weight at each position."""
    counts = [
        math.prod(built.shapes[step.outputs[0]][:-1]) * sum(p.size for p in step.parameters)
        for step in built.steps
        if any(len(p.shape) > 1 for p in step.parameters) and not isinstance(step.layer, Table)
    ]
    return sum(counts) / max(len(counts), 1)


def needed_bytes(built: Program) -> int:
    """About how much memory the passes need.

    They hold every tensor, and of one layer at a time its weights, their gradients and intermediate
    results, estimated as six times its inputs and outputs.
    """
    sizes = [math.prod(shape) for shape in built.shapes]
    inside = max(
        (
            6 * sum(sizes[i] for i in {*step.inputs, *step.outputs})
            + 3 * sum(parameter.size for parameter in step.parameters)
            for step in built.steps
        ),
        default=0,
    )
    weights = {p.path: p.size for step in built.steps for p in step.parameters}
    held = min(4 * sum(weights.values()), physical_memory() // 4)
    return 4 * (sum(sizes) + inside) + held + (128 << 20)


def _built(
    model: Model, batch: int | None, inputs: Mapping[str, Array] | None
) -> tuple[Program, tuple[str, ...]]:
    """The program with notes, for as large a batch as fits where none was asked for."""
    lengths = [x.shape[0] for x in (inputs or {}).values() if x.ndim]
    if batch is None and lengths:
        batch = min(lengths)
    shapes = {name: tuple(x.shape[1:]) for name, x in (inputs or {}).items()}
    wanted = batch or BATCH
    built = program(model, wanted, shapes)
    room = int(_USABLE * physical_memory())
    if needed_bytes(built) <= room:
        return built, _assumptions(built)
    halves = (wanted >> k for k in range(1, wanted.bit_length()))
    best = next((n for n in halves if needed_bytes(program(model, n)) <= room), None)
    taken = (
        f"{needed_bytes(built) / 2**30:,.1f} GiB of memory, and this machine has "
        f"{room / 2**30:,.1f} for it"
    )
    if batch is None and best is not None and not inputs:
        built = program(model, best)
        note = f"a batch of {best}, for one of {wanted} would take {taken}"
        return built, (note, *_assumptions(built))
    remedy = f"--batch {best} fits" if best else "not even one example fits; see --theory"
    raise SignalError(f"a batch of {wanted} would take {taken}; {remedy}")


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
) -> _Draw:
    seed = model.seed + number
    about = Pass(_values(built, seed), str(seed))
    tensors = dict(given)
    for each in built.inputs:
        if each.tensor not in tensors:
            shape = built.shapes[each.tensor]
            tensors[each.tensor] = drawn_input(each, shape, seed, model)
    outputs: dict[int, dict[str, float]] = {}
    gradients: dict[int, float] = {}
    sizes: dict[str, tuple[float, float]] = {}
    with np.errstate(all="ignore"):
        for index, (step, (output, *_)) in enumerate(forwards(built, tensors, about)):
            if np.issubdtype(output.dtype, np.floating):
                outputs[index] = output_figures(step.layer, output)
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
        back = backwards(built, tensors, cotangents, about)
        for index, gradient in zip(reversed(range(len(built.steps))), back, strict=True):
            step = gradient.step
            if gradient.outputs[0] is not None:
                gradients[index] = rms(gradient.outputs[0])
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
    return _Draw(outputs, gradients, sizes, about.hidden, differences, dimensions)


def _cotangent(purpose: str, seed: int, result: Array, mask: Mask) -> Array:
    """The gradient of a result, which is 0 at steps that a mask hides."""
    cotangent = standard_normal(purpose, seed, result.shape, result.dtype)
    if mask is None:
        return cotangent
    return cotangent * mask.reshape(*mask.shape, *(1,) * (cotangent.ndim - mask.ndim))


def _values(built: Program, seed: int) -> Values:
    """The weights of a seed; those that fit in a quarter of the memory are drawn once."""
    drawn = drawn_values(physical_memory() // 4)

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
) -> Signal:
    indices = range(len(built.steps))
    outputs = [_output([d.outputs[i] for d in taken if i in d.outputs]) for i in indices]
    gradients = [_spread([d.gradients[i] for d in taken if i in d.gradients]) for i in indices]
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
    expected = [Prediction() for _ in indices]
    if theory:
        expected = predictions(built, measured, _moments, fields)
    shares = {tensor: max(draw.hidden[tensor] for draw in taken) for tensor in taken[0].hidden}
    heeded = [step for step in built.steps if shares.get(step.outputs[0], 0) > 0]
    return Signal(
        model=model,
        program=built,
        batch=built.batch,
        draws=len(taken),
        input_rms={tensor: rms(x) for tensor, x in given.items() if x.dtype.kind == "f"},
        differences=_medians([draw.differences for draw in taken]),
        dimensions=_medians([draw.dimensions for draw in taken]),
        layers=_layers(built, outputs, gradients, expected),
        tensors=tuple(_tensors(model, taken)),
        notes=(*notes, *mask_notes(heeded, max(shares.values(), default=0.0))),
    )


def _tensors(model: Model, taken: list[_Draw]) -> Iterable[TensorSignal]:
    for parameter in model.parameters:
        pairs = [each.tensors[parameter.path] for each in taken if parameter.path in each.tensors]
        size = _spread([gradient for gradient, _ in pairs])
        if size is not None:
            ratios = [gradient / weight for gradient, weight in pairs if weight > 0]
            yield TensorSignal(
                path=parameter.path, gradient_rms=size, gradient_to_weight=_spread(ratios)
            )


def _moments(parameter: Parameter) -> Weight | None:
    """The moments of the distribution, or where nobody knows it of the values."""
    moments = distribution_moments(parameter)
    if moments is None:
        values = draw(parameter).astype(np.float64)
        moments = Weight(float(values.mean()), float(values.var()))
    return moments


def _output(figures: list[dict[str, float]]) -> OutputSignal | None:
    if not figures:
        return None
    names = OutputSignal.__struct_fields__
    spreads = {name: _spread([each[name] for each in figures if name in each]) for name in names}
    return OutputSignal(**spreads)  # type: ignore[arg-type]  # only the optional ones are None


def _medians(figures: list[dict[int, float]]) -> dict[int, float]:
    return {tensor: float(np.median([each[tensor] for each in figures])) for tensor in figures[0]}


def _spread(values: list[float]) -> Spread | None:
    if not values:
        return None
    numbers = np.array([math.inf if math.isnan(value) else value for value in values])
    with np.errstate(invalid="ignore"):  # The middle of two opposite infinities is not a number.
        median = float(np.median(numbers))
    return Spread(median, float(numbers.min()), float(numbers.max()))
