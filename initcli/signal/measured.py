"""What is seen of the signal: the size of every output and gradient, over several draws."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import msgspec
import numpy as np
from threadpoolctl import threadpool_limits

from initcli.drawing import draw, physical_memory, working_dtype
from initcli.errors import NoSuchTensor, SignalError, did_you_mean, quoted
from initcli.layers import Layer
from initcli.layers.activation import ReLU
from initcli.layers.embedding import Table
from initcli.parameter import Parameter
from initcli.signal.field import observed
from initcli.signal.passes import Pass, Values, backwards, drawn_values, forwards
from initcli.signal.program import Program, Source, program
from initcli.signal.rules import Weight
from initcli.signal.theory import Prediction, Seen, law_moments, predictions
from initcli.spec.model import BuiltLayer, Model, leaves
from initcli.streams import Stream
from initcli.types import Array, Size

BATCH = 64
"""Examples, unless they do not fit in memory."""
DRAWS = 5
"""Draws of the weights and inputs, with a seed each."""
_NEAR = 0.01
"""How near to a bound an output is saturated, as a share of the range."""
_LARGE_PRODUCT = 5e7
"""Multiplications from which threads help more than they wait for one another."""
_SPARE = 0.7
"""The share of the memory that is used."""

Progress = Callable[[int], None]
"""Is told of a number of steps that are done."""


class Spread(msgspec.Struct, frozen=True):
    """A figure over the draws: its median, the least and the greatest."""

    median: float
    low: float
    high: float


class OutputSignal(msgspec.Struct, frozen=True):
    """What was seen of a layer's output.

    ``mean`` and ``std`` are of all its entries, ``zeros`` the share of those that are exactly 0,
    ``dead_units`` that of the units (channels) that are 0 in the whole batch, ``saturated`` that of
    the entries within 1 % of a bound of the activation; ``correlation`` is the mean cosine of two
    examples' outputs.
    """

    mean: Spread
    std: Spread
    zeros: Spread
    dead_units: Spread
    saturated: Spread | None
    correlation: Spread | None


class GradientSignal(msgspec.Struct, frozen=True):
    """The root mean square of the gradient with respect to an output."""

    rms: Spread


class LayerSignal(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a layer: what was seen of its (first) output, and what is expected.

    ``output`` is None of whole numbers and where nothing was drawn, ``gradient`` where no result
    depends on the output.
    """

    name: str
    type: str
    call: int
    shape: Size
    output: OutputSignal | None
    gradient: GradientSignal | None
    predicted: Prediction


class TensorSignal(msgspec.Struct, frozen=True, kw_only=True):
    """The root mean square of a trained parameter's gradient, and that over its weights' own."""

    path: str
    gradient_rms: Spread
    gradient_to_weight: Spread | None


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """The signal through a model; with no draws, predictions alone."""

    model: Model
    batch: int
    draws: int
    layers: tuple[LayerSignal, ...]
    tensors: tuple[TensorSignal, ...] = ()
    notes: tuple[str, ...] = ()
    results: frozenset[str] = frozenset()
    """Names of the layers whose outputs are results of the model."""

    def matching(self, globs: Sequence[str]) -> Signal:
        """The layers and tensors whose name a pattern matches, in which ``*`` is any text.

        Raises:
            NoSuchTensor: a pattern matches none.
        """
        names = {layer.name for layer in self.layers} | {tensor.path for tensor in self.tensors}
        for glob in globs:
            if not any(fnmatchcase(name, glob) for name in names):
                message = f"no layer's name and no tensor's path matches {quoted(glob)}"
                raise NoSuchTensor(message, did_you_mean(glob, names))

        def wanted(name: str) -> bool:
            return any(fnmatchcase(name, glob) for glob in globs)

        return msgspec.structs.replace(
            self,
            layers=tuple(layer for layer in self.layers if wanted(layer.name)),
            tensors=tuple(tensor for tensor in self.tensors if wanted(tensor.path)),
        )

    @property
    def model_layers(self) -> tuple[BuiltLayer, ...]:
        """The layers in their places, those of networks within the model too."""
        return tuple(leaves(self.model.layers))


class _Draw(msgspec.Struct, frozen=True):
    """What was seen in one draw, by the number of the step or the parameter's path."""

    outputs: dict[int, dict[str, float]]
    gradients: dict[int, float]
    tensors: dict[str, tuple[float, float]]


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
    table; so is what is sent backwards from the results. Draw k has the seed of the model plus k.

    Args:
        model: what to take it through.
        batch: examples; by default 64, or as many as fit in memory.
        draws: how often to draw weights and inputs anew.
        inputs: one's own, by the name of the input; they stay the same in every draw.
        progress: told of steps that are done, and of how many there are.

    Raises:
        SignalError: the signal cannot pass a layer, the inputs do not fit, or memory is too small.
        TooLarge: a tensor cannot be held.
    """
    built, notes = _built(model, batch, inputs)
    given = _checked(built, inputs or {})
    seen = []
    whole = 2 * len(built.steps) * draws
    with threadpool_limits(1 if _products(built) < _LARGE_PRODUCT else None, "blas"):
        for number in range(draws):
            advance = None if progress is None else lambda done: progress(done, whole)
            seen.append(_one_draw(model, built, given, number, advance))
    return _gathered(model, built, given, seen, notes)


def predict_signal(model: Model, *, batch: int = BATCH) -> Signal:
    """Predict the signal from the laws alone: nothing is drawn, whatever the model's size."""
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
        batch=built.batch,
        draws=0,
        layers=tuple(layers),
        notes=_open_sizes(built),
        results=_results(built),
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


def _checked(built: Program, inputs: Mapping[str, Array]) -> dict[int, Array]:
    """One's own inputs by tensor, as the program needs them."""
    sources = {source.name: source for source in built.sources}
    found: dict[int, Array] = {}
    for name, x in inputs.items():
        source = sources.get(name)
        if source is None:
            known = ", ".join(sources)
            raise SignalError(f"the model has no input '{name}'; it has {known}")
        found[source.tensor] = _fitting(source, np.asarray(x), built.shapes[source.tensor])
    return found


def _fitting(source: Source, x: Array, shape: Size) -> Array:
    if x.dtype.kind not in "fiub":
        raise SignalError(f"the input '{source.name}' holds {x.dtype}, which are no numbers")
    if x.shape[1:] != shape[1:] or len(x) < shape[0]:
        raise SignalError(f"the input '{source.name}' is {x.shape}, and the model takes {shape}")
    x = x[: shape[0]]
    if source.most is None:
        if not np.all(np.isfinite(x)):
            raise SignalError(f"the input '{source.name}' holds what is not finite")
        return x.astype(np.float32)
    if np.any(x != np.floor(x)) or x.min() < 0 or x.max() >= source.most:
        raise SignalError(
            f"the input '{source.name}' needs whole numbers from 0 to {source.most - 1}"
        )
    return x.astype(np.int64)


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
            tensors[source.tensor] = _input(source, built.shapes[source.tensor], seed, model)
    outputs: dict[int, dict[str, float]] = {}
    with np.errstate(all="ignore"):
        for index, (step, found) in enumerate(forwards(built, tensors, about)):
            if np.issubdtype(found[0].dtype, np.floating):
                outputs[index] = _of_output(step.layer, found[0])
            if advance is not None:
                advance(1)
        cotangents = {
            tensor: _normal(f"cotangent {k}", seed, built.shapes[tensor], tensors[tensor].dtype)
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
                gradients[index] = _rms(gradient.outputs[0])
            left[step.name] -= 1
            for name, each in gradient.weights.items():
                path = step.weights[name].path
                totals[path] = totals[path] + each if path in totals else each
            if left[step.name] == 0:
                for parameter in step.parameters:
                    if parameter.path in totals:
                        weights = about.values(parameter)
                        size = _rms(totals.pop(parameter.path)), _rms(weights)
                        sizes[parameter.path] = size
            if advance is not None:
                advance(1)
    return _Draw(outputs, gradients, sizes)


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


def _input(source: Source, shape: Size, seed: int, model: Model) -> Array:
    if source.most is None:
        dtype = working_dtype(model.dtype)
        return _normal(f"input {source.name}", seed, shape, dtype)
    generator = Stream(f"initcli 1\0input\0{seed}\0{source.name}").generator()
    return generator.integers(0, source.most, shape)


def _normal(purpose: str, seed: int, shape: Size, dtype: Any) -> Array:
    generator = Stream(f"initcli 1\0{purpose}\0{seed}").generator()
    return generator.standard_normal(shape, np.float32).astype(dtype)


def _rms(x: Array) -> float:
    """The root mean square, which overflows only where it is itself too large."""
    flat = x.reshape(-1)
    largest = float(np.max(np.abs(flat), initial=0.0))
    if largest == 0 or not math.isfinite(largest):
        return largest
    total = 0.0
    for start in range(0, flat.size, 1 << 20):
        part = flat[start : start + (1 << 20)].astype(np.float64)
        total += float(np.sum(part * part))
    return math.sqrt(total / flat.size)


def _of_output(layer: Layer, y: Array) -> dict[str, float]:
    batch = y.shape[0] if y.ndim else 1
    rows = y.reshape(batch, -1)
    count = rows.size
    mean = sum(float(row.sum(dtype=np.float64)) for row in rows) / count
    squares, zeros, saturated = 0.0, 0, 0
    bounds = _bounds(layer)
    direction = np.zeros(rows.shape[1])
    length = 0
    for row in rows:
        wide = row.astype(np.float64)
        norm = math.sqrt(float(np.sum(wide * wide)))
        if norm > 0 and math.isfinite(norm):
            direction += wide / norm
            length += 1
        wide -= mean
        squares += float(np.sum(wide * wide))
        zeros += row.size - int(np.count_nonzero(row))
        saturated += _near_bounds(row, bounds)
    found = {
        "mean": mean,
        "std": math.sqrt(squares / count) if math.isfinite(squares) else math.inf,
        "zeros": zeros / count,
        "dead_units": _dead(layer, y),
    }
    if bounds is not None:
        found["saturated"] = saturated / count
    if length > 1:
        pairs = float(np.sum(direction * direction)) - length
        found["correlation"] = pairs / (length * (length - 1))
    return found


def _dead(layer: Layer, y: Array) -> float:
    """The share of units that are 0 everywhere."""
    if y.ndim < 2:
        return float(not np.any(y))
    unit = 1 if getattr(layer, "data_format", None) == "channels_first" else y.ndim - 1
    axes = tuple(axis for axis in range(y.ndim) if axis != unit)
    return 1 - float(np.mean(np.any(y != 0, axes)))


def _bounds(layer: Layer) -> tuple[float | None, float | None] | None:
    """What the layer's activation is bounded by, where it is."""
    if isinstance(layer, ReLU):
        return None if layer.max_value is None else (None, layer.max_value)
    activation = getattr(layer, "activation", None)
    found: tuple[float | None, float | None] = getattr(activation, "bounds", (None, None))
    if getattr(activation, "max_value", None) is not None:
        found = (None, activation.max_value)  # type: ignore[union-attr]
    return None if found == (None, None) else found


def _near_bounds(row: Array, bounds: tuple[float | None, float | None] | None) -> int:
    if bounds is None:
        return 0
    low, high = bounds
    margin = _NEAR * ((high or 0.0) - (low or 0.0))
    above = 0 if high is None else int(np.count_nonzero(row >= high - margin))
    below = 0 if low is None else int(np.count_nonzero(row <= low + margin))
    return above + below


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
        rms = _spread([each.gradients[index] for each in seen if index in each.gradients])
        outputs.append(output)
        gradients.append(None if rms is None else GradientSignal(rms))
        if output is not None and math.isfinite(output.std.median):
            tensors[step.outputs[0]] = Seen(
                mean=output.mean.median,
                std=output.std.median,
                correlation=None if output.correlation is None else output.correlation.median,
                gradient_rms=None if rms is None else rms.median,
            )
    fields = {tensor: observed(x) for tensor, x in given.items() if x.dtype.kind == "f"}
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
    return Signal(
        model=model,
        batch=built.batch,
        draws=len(seen),
        layers=tuple(layers),
        tensors=tuple(_tensors(model, seen)),
        notes=notes,
        results=_results(built),
    )


def _results(built: Program) -> frozenset[str]:
    return frozenset(
        step.name for step in built.steps if set(step.outputs).intersection(built.results)
    )


def _tensors(model: Model, seen: list[_Draw]) -> list[TensorSignal]:
    found = []
    for parameter in model.parameters:
        pairs = [each.tensors[parameter.path] for each in seen if parameter.path in each.tensors]
        rms = _spread([gradient for gradient, _ in pairs])
        if rms is not None:
            ratios = [gradient / weight for gradient, weight in pairs if weight > 0]
            found.append(
                TensorSignal(
                    path=parameter.path, gradient_rms=rms, gradient_to_weight=_spread(ratios)
                )
            )
    return found


def _moments(parameter: Parameter) -> Weight | None:
    """Of the law, or where nobody knows it of the values."""
    found = law_moments(parameter)
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
    return Spread(float(np.median(numbers)), float(numbers.min()), float(numbers.max()))
