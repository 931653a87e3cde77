"""What is seen of the signal: the size of every output and gradient, over several draws."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import msgspec
import numpy as np
from threadpoolctl import threadpool_limits

from initcli.errors import SignalError
from initcli.layers.embedding import Table
from initcli.layers.flow import Mask
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
from initcli.signal.inputs import drawn_input, fitting_inputs, standard_normal
from initcli.signal.masking import heeding, hidden_share, note_of
from initcli.signal.observing import output_figures, rms
from initcli.signal.passes import Pass, Values, backwards, drawn_values, forwards
from initcli.signal.program import Program, program
from initcli.signal.rules import Weight
from initcli.signal.theory import Seen, distribution_moments, first_axes, predictions
from initcli.types import Array

BATCH = 64
"""Examples, unless they do not fit in memory."""
DRAWS = 5
"""Draws of the weights and inputs, with a seed each."""
_LARGE_PRODUCT = 5e7
"""Multiplications from which threads help more than they wait for one another."""
_SPARE = 0.7
"""The share of the memory that is used."""

Progress = Callable[[int], None]
"""Is told of a number of steps that are done."""


class _Draw(msgspec.Struct, frozen=True):
    """What was seen in one draw, by the number of the step or the parameter's path."""

    outputs: dict[int, dict[str, float]]
    gradients: dict[int, float]
    tensors: dict[str, tuple[float, float]]
    hidden: dict[int, float]
    """The share of the steps that a mask hides from the step of that number."""


def measure_signal(
    model: Model,
    *,
    batch: int | None = None,
    draws: int = DRAWS,
    inputs: Mapping[str, Array] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Signal:
    """Take a signal forwards and backwards through a model, as in training, and predict it.

    Inputs are standard normal, or whole numbers that are all alike where they are looked up in a
    table; so is what is sent backwards from the results, but where a mask hides a step, of which no
    loss sees anything. Draw k has the seed of the model plus k.

    Args:
        model: what to take it through.
        batch: examples; by default 64, or as many as fit in memory.
        draws: how often to draw weights and inputs anew.
        inputs: one's own, by the name of the input; they stay the same in every draw.
        progress: told of steps that are done, and of how many there are.

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
    seen = []
    whole = 2 * len(built.steps) * draws
    with threadpool_limits(1 if _products(built) < _LARGE_PRODUCT else None, "blas"):
        for number in range(draws):
            advance = None if progress is None else lambda done: progress(done, whole)
            seen.append(_one_draw(model, built, given, number, advance))
    return _gathered(model, built, given, seen, notes)


def predict_signal(model: Model, *, batch: int = BATCH) -> Signal:
    """Predict the signal from the distributions alone: nothing is drawn, whatever the model's size.

    >>> import initcli
    >>> model = initcli.load("sample_configs/mlp_tanh_deep.yaml")
    >>> signal = initcli.predict_signal(model)
    >>> signal.layers[-2].predicted.std < 1e-10
    True
    """
    built = program(model, batch)
    expected = predictions(built)
    layers = [
        LayerSignal(
            name=step.name,
            type=step.layer.type_name,
            call=step.call,
            shape=built.shapes[step.outputs[0]],
            output=None,
            gradient=None,
            predicted=prediction,
        )
        for step, prediction in zip(built.steps, expected, strict=True)
    ]
    return Signal(
        model=model,
        program=built,
        batch=built.batch,
        draws=0,
        layers=tuple(layers),
        notes=(*_open_sizes(built), *note_of(heeding(built))),
    )


def _products(built: Program) -> float:
    """Multiplications of a layer with weights, on average: of each weight at each position."""
    found = [
        math.prod(built.shapes[step.outputs[0]][:-1]) * sum(p.size for p in step.parameters)
        for step in built.steps
        if any(len(p.shape) > 1 for p in step.parameters) and not isinstance(step.layer, Table)
    ]
    return sum(found) / max(len(found), 1)


def needed_bytes(built: Program) -> int:
    """About how much memory the passes take at most.

    Every tensor is held, and of one layer at a time its weights, their gradients and what it
    computes on the way, which is taken for six times what flows in and out.
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
    weights = 4 * sum(
        each.size for each in {p.path: p for s in built.steps for p in s.parameters}.values()
    )
    held = min(weights, physical_memory() // 4)
    return 4 * (sum(sizes) + inside) + held + (128 << 20)


def _built(
    model: Model, batch: int | None, inputs: Mapping[str, Array] | None
) -> tuple[Program, tuple[str, ...]]:
    """The program, for as large a batch as fits where none was asked for."""
    if inputs:
        lengths = {x.shape[0] for x in inputs.values() if x.ndim}
        if batch is None and lengths:
            batch = min(lengths)
        shapes = {name: tuple(x.shape[1:]) for name, x in inputs.items()}
        built = program(model, batch or BATCH, shapes)
    else:
        built = program(model, batch or BATCH)
    room = int(_SPARE * physical_memory())
    if needed_bytes(built) <= room:
        return built, _open_sizes(built)
    fitting = (BATCH >> k for k in range(1, BATCH.bit_length()))
    candidates = range((batch or 1) - 1, 0, -1) if batch and batch <= BATCH else fitting
    best = next((n for n in candidates if needed_bytes(program(model, n)) <= room), None)
    taken = (
        f"{needed_bytes(built) / 2**30:,.1f} GiB of memory, and this machine has "
        f"{room / 2**30:,.1f} for it"
    )
    if batch is None and best is not None and not inputs:
        notes = (f"a batch of {best}, for one of {BATCH} would take {taken}",)
        built = program(model, best)
        return built, (*notes, *_open_sizes(built))
    remedy = f"--batch {best} fits" if best else "not even one example fits; see --theory"
    raise SignalError(f"a batch of {batch or BATCH} would take {taken}; {remedy}")


def _open_sizes(built: Program) -> tuple[str, ...]:
    if built.length is None:
        return ()
    return (f"sizes that the spec leaves open are taken for {built.length}",)


def _one_draw(
    model: Model,
    built: Program,
    given: Mapping[int, Array],
    number: int,
    advance: Progress | None,
) -> _Draw:
    seed = model.seed + number
    about = Pass(_values(built, seed), f"{seed}")
    tensors = dict(given)
    for source in built.sources:
        if source.tensor not in tensors:
            tensors[source.tensor] = drawn_input(source, built.shapes[source.tensor], seed, model)
    outputs: dict[int, dict[str, float]] = {}
    with np.errstate(all="ignore"):
        for index, (step, found) in enumerate(forwards(built, tensors, about)):
            if np.issubdtype(found[0].dtype, np.floating):
                outputs[index] = output_figures(step.layer, found[0])
            if advance is not None:
                advance(1)
        heed = {id(step) for step in heeding(built)}
        hidden = {
            index: hidden_share(step, tensors, about.given)
            for index, step in enumerate(built.steps)
            if id(step) in heed
        }
        cotangents = {
            tensor: _cotangent(f"cotangent {k}", seed, tensors[tensor], about.masks.get(tensor))
            for k, tensor in enumerate(built.results)
            if np.issubdtype(tensors[tensor].dtype, np.floating)
        }
        gradients: dict[int, float] = {}
        totals: dict[str, Array] = {}
        sizes: dict[str, tuple[float, float]] = {}
        left = _calls_left(built)
        indices = range(len(built.steps) - 1, -1, -1)
        for index, gradient in zip(
            indices, backwards(built, tensors, cotangents, about), strict=True
        ):
            step = gradient.step
            if gradient.outputs[0] is not None:
                gradients[index] = rms(gradient.outputs[0])
            left[step.name] -= 1
            for name, each in gradient.weights.items():
                path = step.weights[name].path
                totals[path] = totals[path] + each if path in totals else each
            if left[step.name] == 0:
                for parameter in step.parameters:
                    if parameter.path in totals:
                        weights = about.values(parameter)
                        sizes[parameter.path] = rms(totals.pop(parameter.path)), rms(weights)
            if advance is not None:
                advance(1)
    return _Draw(outputs, gradients, sizes, hidden)


def _cotangent(purpose: str, seed: int, result: Array, mask: Mask) -> Array:
    """What is sent backwards from a result: a loss sees no step that a mask hides."""
    found = standard_normal(purpose, seed, result.shape, result.dtype)
    if mask is None:
        return found
    return found * mask.reshape(*mask.shape, *(1,) * (found.ndim - mask.ndim))


def _calls_left(built: Program) -> dict[str, int]:
    found: dict[str, int] = {}
    for step in built.steps:
        found[step.name] = found.get(step.name, 0) + 1
    return found


def _values(built: Program, seed: int) -> Values:
    """The weights of a seed; those that fit in a quarter of the memory are drawn once."""
    drawn = drawn_values(physical_memory() // 4)
    first = built.seed

    def values(parameter: Parameter) -> Array:
        moved = parameter.seed + seed - first
        return drawn(msgspec.structs.replace(parameter, seed=moved))

    return values


def _gathered(
    model: Model,
    built: Program,
    given: Mapping[int, Array],
    seen: list[_Draw],
    notes: tuple[str, ...],
) -> Signal:
    layers = []
    tensors: dict[int, Seen] = {}
    outputs: list[OutputSignal | None] = []
    gradients: list[GradientSignal | None] = []
    for index, step in enumerate(built.steps):
        output = _output([each.outputs[index] for each in seen if index in each.outputs])
        size = _spread([each.gradients[index] for each in seen if index in each.gradients])
        outputs.append(output)
        gradients.append(None if size is None else GradientSignal(size))
        if output is not None and math.isfinite(output.std.median):
            tensors[step.outputs[0]] = Seen(
                mean=output.mean.median,
                std=output.std.median,
                correlation=None if output.correlation is None else output.correlation.median,
                gradient_rms=None if size is None else size.median,
            )
    axes = first_axes(built)
    fields = {t: observed(x, *axes.get(t, (-1,))) for t, x in given.items() if x.dtype.kind == "f"}
    expected = predictions(built, tensors, _moments, inputs=fields)
    for index, step in enumerate(built.steps):
        layers.append(
            LayerSignal(
                name=step.name,
                type=step.layer.type_name,
                call=step.call,
                shape=built.shapes[step.outputs[0]],
                output=outputs[index],
                gradient=gradients[index],
                predicted=expected[index],
            )
        )
    shares = {index: max(each.hidden[index] for each in seen) for index in seen[0].hidden}
    heeded = [built.steps[index] for index, share in shares.items() if share > 0]
    notes = (*notes, *note_of(heeded, max(shares.values(), default=0.0)))
    return Signal(
        model=model,
        program=built,
        batch=built.batch,
        draws=len(seen),
        input_rms={tensor: rms(x) for tensor, x in given.items() if x.dtype.kind == "f"},
        layers=tuple(layers),
        tensors=tuple(_tensors(model, seen)),
        notes=notes,
    )


def _tensors(model: Model, seen: list[_Draw]) -> list[TensorSignal]:
    found = []
    for parameter in model.parameters:
        pairs = [each.tensors[parameter.path] for each in seen if parameter.path in each.tensors]
        size = _spread([gradient for gradient, _ in pairs])
        if size is not None:
            ratios = [gradient / weight for gradient, weight in pairs if weight > 0]
            found.append(
                TensorSignal(
                    path=parameter.path, gradient_rms=size, gradient_to_weight=_spread(ratios)
                )
            )
    return found


def _moments(parameter: Parameter) -> Weight | None:
    """Of the distribution, or where nobody knows it of the values."""
    found = distribution_moments(parameter)
    if found is None:
        values = draw(parameter).astype(np.float64)
        found = Weight(float(values.mean()), float(values.var()))
    return found


def _output(seen: list[dict[str, float]]) -> OutputSignal | None:
    spreads = {
        name: _spread([each[name] for each in seen if name in each])
        for name in OutputSignal.__struct_fields__
    }
    mean, std, zeros, dead = (spreads[n] for n in ("mean", "std", "zeros", "dead_units"))
    if mean is None or std is None or zeros is None or dead is None:
        return None
    return OutputSignal(mean, std, zeros, dead, spreads["saturated"], spreads["correlation"])


def _spread(values: list[float]) -> Spread | None:
    if not values:
        return None
    numbers = np.array([math.inf if math.isnan(value) else value for value in values])
    with np.errstate(invalid="ignore"):  # Between one infinity and the other there is no middle.
        median = float(np.median(numbers))
    return Spread(median, float(numbers.min()), float(numbers.max()))
