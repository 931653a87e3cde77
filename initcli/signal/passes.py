"""Forward and backward passes through a program.

The forward pass keeps every tensor. The backward pass computes each layer again with autograd and
differentiates it alone, so that only one layer at a time has intermediate results in memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Any, NamedTuple

import msgspec
import numpy as np
from autograd.core import VJPNode, add_outgrads
from autograd.tracer import isbox, new_box, toposort, trace_stack
from threadpoolctl import ThreadpoolController

from initcli.errors import SignalError
from initcli.layers.base import computed, computed_masks
from initcli.layers.embedding import Table
from initcli.layers.flow import Flow, Mask, as_mask
from initcli.parameter import Parameter
from initcli.sampling.chunks import draw, working_dtype
from initcli.signal import arrays
from initcli.signal.program import Program, Step
from initcli.types import Array, NotComputable

_WITHOUT_DRAWS = "--theory predicts all layers up to this one without computing them"
_LARGE_PRODUCT = 5e7
"""Multiplications of a matrix product above which several threads are faster than one."""
Values = Callable[[Parameter], Array]
"""Returns the values of a parameter."""


class Pass(msgspec.Struct, frozen=True):
    """The values of weights, the key of random numbers, and the threads of large matrix products.

    The forward pass records the ``masks`` of tensors. By the first output of a step, it records the
    masks of its inputs in ``given``, and in ``hidden`` the largest fraction of masked steps of a
    sequence, for layers that use masks.
    """

    values: Values
    key: str
    threads: int = 1
    masks: dict[int, Array] = {}
    given: dict[int, tuple[Mask, ...]] = {}
    hidden: dict[int, float] = {}


def forwards(
    program: Program, tensors: dict[int, Array], about: Pass
) -> Iterator[tuple[Step, list[Array]]]:
    """Compute every step; its outputs are added to ``tensors``.

    Args:
        program: the steps.
        tensors: the inputs.
        about: the weights and the settings of the pass.

    Raises:
        SignalError: a layer cannot be computed.
    """
    for step in program.steps:
        carried = tuple(about.masks.get(tensor) for tensor in step.inputs)
        if any(mask is not None for mask in carried):
            about.given[step.outputs[0]] = carried
        flow = flow_of(step, tensors, about)
        if step.layer.heeds_masks(flow):
            masks = [mask for mask in (*flow.masks, *flow.given_masks.values()) if mask is not None]
            about.hidden[step.outputs[0]] = max(1 - float(np.mean(mask)) for mask in masks)
        inputs = [tensors[i] for i in step.inputs]
        with _threads(step, program, about):
            outputs = computed_step(step, flow, inputs)
        tensors.update(zip(step.outputs, outputs, strict=True))
        if step.inputs != step.outputs:
            with _named(step):
                after = computed_masks(step.layer, flow, inputs, step.options)
            if step.layer.ends_masks:
                for tensor in step.inputs:
                    about.masks.pop(tensor, None)
            made = zip(step.outputs, after, strict=False)
            about.masks.update({i: mask for i, mask in made if mask is not None})
        yield step, outputs


class Gradients(NamedTuple):
    """Gradients of a step: with respect to outputs, to trained parameters, and to real inputs."""

    step: Step
    outputs: list[Array | None]
    weights: dict[str, Array]
    inputs: Sequence[tuple[int, Array]] = ()

    def add_to(self, totals: dict[str, Array]) -> None:
        """Add the gradients of the parameters to totals by path."""
        for name, each in self.weights.items():
            path = self.step.weights[name].path
            totals[path] = totals[path] + each if path in totals else each


def backwards(
    program: Program, tensors: Mapping[int, Array], cotangents: Mapping[int, Array], about: Pass
) -> Iterator[Gradients]:
    """The gradients of Σ result · cotangent, from the last step to the first.

    A gradient is None if no result depends on the tensor. A layer with several calls has gradients
    for each call, whose sum is the gradient of its weights.
    """
    gradients: dict[int, Array] = dict(cotangents)
    for step in reversed(program.steps):
        outputs = [gradients.get(tensor) for tensor in step.outputs]
        if all(each is None for each in outputs) or step.inputs == step.outputs:
            yield Gradients(step, outputs, {})
            continue
        with _threads(step, program, about):
            to_weights, to_inputs = _pulled(step, tensors, outputs, about)
        for tensor in step.outputs:
            gradients.pop(tensor, None)
        for tensor, gradient in to_inputs:
            before = gradients.get(tensor)
            gradients[tensor] = gradient if before is None else before + gradient
        for name, parameter in step.weights.items():
            if parameter.multiplier != 1 and name in to_weights:
                own = to_weights[name]
                to_weights[name] = own * own.dtype.type(parameter.multiplier)
        yield Gradients(step, outputs, to_weights, to_inputs)


def _threads(step: Step, program: Program, about: Pass) -> AbstractContextManager[object]:
    """Use several BLAS threads for a step with large matrix products."""
    if about.threads == 1 or _product(step, program) < _LARGE_PRODUCT:
        return nullcontext()
    limit: AbstractContextManager[object] = _libraries().limit(
        limits=about.threads, user_api="blas"
    )
    return limit


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


def _product(step: Step, program: Program) -> float:
    """The multiplications of a single matrix product with the weights.

    NumPy multiplies the last two axes at once. Recurrent layers have a product for each time step.
    """
    if isinstance(step.layer, Table):
        return 0.0
    shape = program.shapes[step.outputs[0]]
    inner = getattr(step.layer, "layer", step.layer)
    rows = shape[0] if inner.acts_as() == "recurs" else math.prod(shape[-2:-1])
    return rows * max(map(_multiplied, step.parameters), default=0)


def _multiplied(parameter: Parameter) -> int:
    """The number of entries of a weight in a single product."""
    if len(parameter.shape) < 2:
        return 0
    if parameter.contracts is None or parameter.produces is None:
        return parameter.size
    axes = {*parameter.contracts, *parameter.produces}
    return math.prod(parameter.shape[axis] for axis in axes)


def _pulled(
    step: Step,
    tensors: Mapping[int, Array],
    outputs: Sequence[Array | None],
    about: Pass,
) -> tuple[dict[str, Array], list[tuple[int, Array]]]:
    """Gradients with respect to the trained weights by name, and to the inputs by tensor."""
    flow = flow_of(step, tensors, about)
    trained = [name for name, p in step.weights.items() if p.trainable]
    inputs = [tensors[tensor] for tensor in step.inputs]
    real = [index for index, x in enumerate(inputs) if np.issubdtype(x.dtype, np.floating)]

    def function(variables: list[Any]) -> list[Any]:
        weights = {**flow.weights, **dict(zip(trained, variables[: len(trained)], strict=True))}
        taken = list(inputs)
        for index, x in zip(real, variables[len(trained) :], strict=True):
            taken[index] = x
        return computed_step(step, msgspec.structs.replace(flow, weights=weights), taken)

    variables = [*(flow[name] for name in trained), *(inputs[i] for i in real)]
    pull = _pull(function, variables)
    try:
        back = pull(outputs)
    except (ValueError, IndexError) as error:
        message = f"the gradient ends at '{step.name}': {error}"
        raise SignalError(message, _WITHOUT_DRAWS) from None
    to_weights = dict(zip(trained, back[: len(trained)], strict=True))
    tensors_of = (step.inputs[index] for index in real)
    return to_weights, list(zip(tensors_of, back[len(trained) :], strict=True))


class _End(NamedTuple):
    """The common end of all results of a function, where the backward pass begins."""

    parents: tuple[Any, ...]


def _pull(
    function: Callable[[list[Any]], list[Any]], variables: Sequence[Array]
) -> Callable[[Sequence[Array | None]], list[Array]]:
    """The pullback of a function: from gradients of its results, if any, to those of its variables.

    autograd's ``make_vjp`` has one variable, and would take n² steps for a tuple of n variables.
    """
    with trace_stack.new_trace() as trace:
        roots = [VJPNode.new_root() for _ in variables]
        made = function([new_box(x, trace, node) for x, node in zip(variables, roots, strict=True)])
    nodes = [y._node if isbox(y) and y._trace == trace else None for y in made]

    def pull(given: Sequence[Array | None]) -> list[Array]:
        pairs = zip(nodes, given, strict=True)
        ends = [(node, g) for node, g in pairs if node is not None and g is not None]
        gradients: dict[Any, tuple[Array, bool]] = {}
        for node, g in ends:
            gradients[node] = add_outgrads(gradients.get(node), g)
        order = toposort(_End(tuple(node for node, _ in ends)))
        next(order)
        for node in order:
            if not node.parents:
                continue
            gradient, _ = gradients.pop(node)
            for parent, each in zip(node.parents, node.vjp(gradient), strict=True):
                gradients[parent] = add_outgrads(gradients.get(parent), each)
        return [
            gradients[root][0].astype(x.dtype, copy=False)
            if root in gradients
            else np.zeros_like(x)
            for root, x in zip(roots, variables, strict=True)
        ]

    return pull


def flow_of(step: Step, tensors: Mapping[int, Array], about: Pass) -> Flow:
    """The context of a step, with its weights times their multipliers."""
    weights: dict[str, Array] = {}
    for name, parameter in step.weights.items():
        x = weights[name] = about.values(parameter)
        if parameter.multiplier != 1:
            weights[name] = x * x.dtype.type(parameter.multiplier)
    return Flow(
        xp=arrays,
        weights=weights,
        key=f"{about.key}\0{step.name}\0{step.call}",
        masks=about.given.get(step.outputs[0], (None,) * len(step.inputs)),
        given_masks={name: as_mask(arrays, tensors[i]) for name, i in step.masks.items()},
    )


def computed_step(step: Step, flow: Flow, inputs: Sequence[Array]) -> list[Array]:
    """The outputs of a step.

    Raises:
        SignalError: the layer cannot be computed.
    """
    with _named(step):
        return computed(step.layer, flow, inputs, step.options)


@contextmanager
def _named(step: Step) -> Iterator[None]:
    """Add the name of the layer to errors."""
    try:
        yield
    except (NotComputable, ValueError, IndexError) as error:
        message = f"the signal ends at '{step.name}': {error}"
        own = error.remedy if isinstance(error, NotComputable) else ""
        raise SignalError(message, "; ".join(filter(None, (own, _WITHOUT_DRAWS)))) from None


def drawn_values(max_bytes: int, offset: int = 0) -> Values:
    """Draw a parameter when it is asked for, and keep up to ``max_bytes`` of the values.

    ``offset`` is added to the seed of each parameter.
    """
    kept: dict[str, Array] = {}
    room = max_bytes

    def values(parameter: Parameter) -> Array:
        nonlocal room
        if parameter.path in kept:
            return kept[parameter.path]
        drawn = draw(msgspec.structs.replace(parameter, seed=parameter.seed + offset))
        if (size := parameter.size * working_dtype(parameter.dtype).itemsize) <= room:
            room -= size
            kept[parameter.path] = drawn
        return drawn

    return values
