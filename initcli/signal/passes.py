"""Passes through a program: forwards, and backwards layer by layer.

Forwards, every tensor is kept. Backwards, each layer is computed once more, under autograd, and its
gradients are pulled back through it alone: what is held at any time is the program's tensors and
the intermediate results of a single layer.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec
import numpy as np
from autograd.builtins import tuple as boxed
from autograd.core import make_vjp

from initcli.errors import SignalError
from initcli.layers.base import computed, computed_masks
from initcli.layers.flow import Flow, Mask, as_mask
from initcli.parameter import Parameter
from initcli.sampling.chunks import working_dtype
from initcli.signal import arrays
from initcli.signal.program import Program, Step
from initcli.types import Array, NotComputable

_WITHOUT_DRAWS = "with --theory nothing is computed, and all up to this layer predicted"
Values = Callable[[Parameter], Array]
"""Gives the values of a parameter."""


class Pass(msgspec.Struct, frozen=True):
    """What a pass needs beside its inputs: the weights' values, and a key of its random numbers.

    A pass forwards finds the ``masks`` that tensors carry, by their numbers, and those that each
    step was ``given`` with its inputs, by the number of its first output.
    """

    values: Values
    key: str
    training: bool = True
    masks: dict[int, Array] = {}
    given: dict[int, tuple[Mask, ...]] = {}


def forwards(
    program: Program, given: Mapping[int, Array], about: Pass
) -> Iterator[tuple[Step, list[Array]]]:
    """Every step with what comes out of it; ``given`` has the sources' tensors, and then all.

    Raises:
        SignalError: a layer cannot be computed.
    """
    tensors = given if isinstance(given, dict) else dict(given)
    for step in program.steps:
        weights = {name: about.values(p) for name, p in step.weights.items()}
        carried = tuple(about.masks.get(tensor) for tensor in step.inputs)
        if any(mask is not None for mask in carried):
            about.given[step.outputs[0]] = carried
        flow = _flow(step, weights, tensors, about)
        inputs = [tensors[i] for i in step.inputs]
        found = _computed(step, flow, inputs)
        tensors.update(zip(step.outputs, found, strict=True))
        if step.inputs != step.outputs:
            masks = zip(step.outputs, _masked(step, flow, inputs), strict=False)
            if step.layer.ends_masks:
                for tensor in step.inputs:
                    about.masks.pop(tensor, None)
            about.masks.update({i: mask for i, mask in masks if mask is not None})
        yield step, found


class Gradients(NamedTuple):
    """Gradients of a step: with respect to each output, and to each parameter that is trained."""

    step: Step
    outputs: list[Array | None]
    weights: dict[str, Array]


def backwards(
    program: Program, tensors: Mapping[int, Array], cotangents: Mapping[int, Array], about: Pass
) -> Iterator[Gradients]:
    """The gradients of Σ result · cotangent, from the last step to the first.

    A gradient is None where nothing depends on the tensor. Those of a layer that is called several
    times come call by call, and add up.
    """
    gradients: dict[int, Array] = dict(cotangents)
    for step in reversed(program.steps):
        outputs = [gradients.get(tensor) for tensor in step.outputs]
        if all(each is None for each in outputs):
            yield Gradients(step, outputs, {})
            continue
        if step.inputs == step.outputs:
            yield Gradients(step, outputs, {})
            continue
        weights = {name: about.values(p) for name, p in step.weights.items()}
        to_weights, to_inputs = _pulled(step, weights, tensors, outputs, about)
        for tensor in step.outputs:
            gradients.pop(tensor, None)
        for tensor, gradient in to_inputs:
            before = gradients.get(tensor)
            gradients[tensor] = gradient if before is None else before + gradient
        yield Gradients(step, outputs, to_weights)


def _pulled(
    step: Step,
    weights: Mapping[str, Array],
    tensors: Mapping[int, Array],
    outputs: Sequence[Array | None],
    about: Pass,
) -> tuple[dict[str, Array], list[tuple[int, Array]]]:
    """Gradients with respect to the trained weights, and to the inputs, each with its tensor."""
    trained = [name for name, p in step.weights.items() if p.trainable]
    inputs = [tensors[tensor] for tensor in step.inputs]
    moving = [place for place, x in enumerate(inputs) if _is_real(x)]

    def function(variables: Any) -> Any:
        now = dict(weights)
        now.update(zip(trained, variables[: len(trained)], strict=True))
        taken = list(inputs)
        for place, x in zip(moving, variables[len(trained) :], strict=True):
            taken[place] = x
        found = _computed(step, _flow(step, now, tensors, about), taken)
        return boxed([y for y, g in zip(found, outputs, strict=True) if g is not None])

    variables = boxed([*(weights[name] for name in trained), *(inputs[i] for i in moving)])
    with warnings.catch_warnings():
        # What comes out may not depend on what goes in, as of a count; then gradients are 0.
        warnings.filterwarnings("ignore", "Output seems independent of input")
        pull, _ = make_vjp(function, variables)
    try:
        found = pull(boxed([g for g in outputs if g is not None]))
    except (ValueError, IndexError) as error:
        message = f"the gradient ends at '{step.name}': {error}"
        raise SignalError(message, _WITHOUT_DRAWS) from None
    to_weights = dict(zip(trained, found[: len(trained)], strict=True))
    places = (step.inputs[place] for place in moving)
    return to_weights, list(zip(places, found[len(trained) :], strict=True))


def _flow(
    step: Step, weights: Mapping[str, Array], tensors: Mapping[int, Array], about: Pass
) -> Flow:
    return Flow(
        xp=arrays,
        weights=weights,
        key=f"{about.key}\0{step.name}\0{step.call}",
        training=about.training,
        masks=about.given.get(step.outputs[0], (None,) * len(step.inputs)),
        given_masks={name: as_mask(arrays, tensors[i]) for name, i in step.masks.items()},
    )


def _computed(step: Step, flow: Flow, inputs: Sequence[Array]) -> list[Array]:
    with _named(step):
        return computed(step.layer, flow, inputs, step.options)


def _masked(step: Step, flow: Flow, inputs: Sequence[Array]) -> list[Mask]:
    with _named(step):
        return computed_masks(step.layer, flow, inputs, step.options)


@contextmanager
def _named(step: Step) -> Iterator[None]:
    """Raise what goes wrong in a layer with its name."""
    try:
        yield
    except (NotComputable, ValueError, IndexError) as error:
        message = f"the signal ends at '{step.name}': {error}"
        own = error.remedy if isinstance(error, NotComputable) else ""
        raise SignalError(message, "; ".join(filter(None, (own, _WITHOUT_DRAWS)))) from None


def _is_real(x: Array) -> bool:
    return bool(np.issubdtype(x.dtype, np.floating))


def drawn_values(held: int) -> Values:
    """Draws a parameter when it is asked for, and keeps ``held`` bytes of what was drawn."""
    from initcli.sampling.chunks import draw

    kept: dict[str, Array] = {}
    room = [held]

    def values(parameter: Parameter) -> Array:
        if parameter.path in kept:
            return kept[parameter.path]
        found = draw(parameter)
        if (size := parameter.size * working_dtype(parameter.dtype).itemsize) <= room[0]:
            room[0] -= size
            kept[parameter.path] = found
        return found

    return values
