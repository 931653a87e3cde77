"""Predictions from the laws alone: fields forwards through a program, gradients backwards."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import msgspec
import numpy as np

from initcli.parameter import Parameter
from initcli.signal import sequences  # noqa: F401  # whose rules are known once it is imported
from initcli.signal.field import Field, normal, standard
from initcli.signal.program import Program, Step
from initcli.signal.rules import Gradient, NoTheory, Place, Pull, Weight, expected


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """What is expected of a layer's output; None where no theory covers it."""

    mean: float | None = None
    std: float | None = None
    correlation: float | None = None
    gradient_rms: float | None = None


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured of a layer's output, from which predictions go on where they end."""

    mean: float
    std: float
    correlation: float | None
    gradient_rms: float | None


def predictions(
    program: Program,
    seen: Mapping[int, Seen] | None = None,
    moments: Callable[[Parameter], Weight | None] | None = None,
    training: bool = True,
) -> list[Prediction]:
    """What is expected of the output of each step.

    Args:
        program: what is computed.
        seen: what was measured of tensors, by number, to go on from where no theory covers a layer.
        moments: of a parameter's entries; by default what its law says.
        training: whether layers act as in training.
    """
    fields: dict[int, Field] = {}
    pulls: list[Pull | None] = []
    known: list[bool] = []
    for source in program.sources:
        if source.most is None:
            shape = program.shapes[source.tensor]
            fields[source.tensor] = standard(shape[1:-1], shape[-1] if len(shape) > 1 else 1)
    for step in program.steps:
        found = _forwards(program, step, fields, moments or law_moments, training)
        known.append(found is not None)
        pulls.append(None if found is None else found[1])
        if found is not None:
            fields[step.outputs[0]] = found[0]
        elif seen is not None and step.outputs[0] in seen:
            fields[step.outputs[0]] = _from_measured(program, step, seen[step.outputs[0]])
    gradients = _backwards(program, pulls, fields, seen or {})
    return [
        _prediction(fields[step.outputs[0]] if is_known else None, gradient)
        for step, is_known, gradient in zip(program.steps, known, gradients, strict=True)
    ]


def law_moments(parameter: Parameter) -> Weight | None:
    """Mean and variance of an entry, as its law has them."""
    law = parameter.law
    return None if law is None else Weight(law.mean, law.std**2)


def _forwards(
    program: Program,
    step: Step,
    fields: Mapping[int, Field],
    moments: Callable[[Parameter], Weight | None],
    training: bool,
) -> tuple[Field, Pull] | None:
    ids = {source.tensor for source in program.sources if source.most is not None}
    given = [fields.get(i) or (_NOTHING if i in ids else None) for i in step.inputs]
    if any(each is None for each in given):
        return None
    if any(i in ids for i in step.inputs) and not step.parameters:
        return None
    weights = {name: moments(p) for name, p in step.weights.items()}
    if any(weight is None for weight in weights.values()):
        return None
    place = Place(
        weights={name: w for name, w in weights.items() if w is not None},
        sizes={name: p.shape for name, p in step.weights.items()},
        inputs=[program.shapes[i] for i in step.inputs],
        outputs=[program.shapes[i] for i in step.outputs],
        options=step.options,
        training=training,
    )
    try:
        with np.errstate(all="ignore"):
            found = expected(step.layer, place, *given)
    except NoTheory:
        return None
    return found.output, found.pull


def _backwards(
    program: Program,
    pulls: list[Pull | None],
    fields: Mapping[int, Field],
    seen: Mapping[int, Seen],
) -> list[float | None]:
    """The RMS of the gradient of each step's output, for an independent standard normal one of
    each result."""
    gradients: dict[int, Gradient] = {}
    lost: set[int] = set()
    for tensor in program.results:
        grid = fields[tensor].grid if tensor in fields else program.shapes[tensor][1:-1]
        first = np.zeros((2, *grid))
        first[0] = 1.0
        gradients[tensor] = first
    found: list[float | None] = []
    for step, pull in zip(reversed(program.steps), reversed(pulls), strict=True):
        tensor = step.outputs[0]
        g = gradients.get(tensor)
        if tensor in lost:
            found.append(None)
            if (rms := _measured_gradient(seen.get(tensor))) is None:
                g = None
            else:
                grid = fields[tensor].grid if tensor in fields else ()
                g = np.zeros((2, *grid))
                g[0] = rms**2
        else:
            found.append(None if g is None else math.sqrt(float(g[0].mean())))
        if step.inputs == step.outputs:
            continue
        if g is None or pull is None:
            # What nothing depends on passes nothing on; what is not known leaves its inputs so.
            if g is not None or tensor in lost:
                lost.update(step.inputs)
            continue
        with np.errstate(all="ignore"):
            back = pull(g)
        for source, each in zip(step.inputs, back, strict=True):
            if each is not None:
                before = gradients.get(source)
                gradients[source] = each if before is None else before + each
    return found[::-1]


def _measured_gradient(seen: Seen | None) -> float | None:
    return None if seen is None else seen.gradient_rms


def _from_measured(program: Program, step: Step, seen: Seen) -> Field:
    shape = program.shapes[step.outputs[0]]
    grid, second = shape[1:-1], seen.std**2 + seen.mean**2
    moments = np.empty((4, *grid))
    moments[0] = second
    moments[1] = second * (seen.correlation or 0.0)
    moments[2:] = seen.mean**2
    return normal(moments, np.full(grid, seen.mean), shape[-1] if len(shape) > 1 else 1)


def _prediction(field: Field | None, gradient: float | None) -> Prediction:
    if field is None:
        return Prediction(gradient_rms=_finite(gradient))
    return Prediction(
        mean=_finite(field.mean),
        std=_finite(field.std),
        correlation=_finite(field.correlation),
        gradient_rms=_finite(gradient),
    )


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value


_NOTHING = standard((), 1)
