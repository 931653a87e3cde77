"""Tensors of zeros that cut the signal off."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from autograd import elementwise_grad

from initcli.layers import Layer
from initcli.model import BuiltLayer
from initcli.parameter import Parameter
from initcli.signal import arrays
from initcli.signal.graph import Graph
from initcli.signal.judgment import is_entrywise, is_zero

SCALES = ("gamma_initializer",)
"""Arguments that initialize a factor for each unit."""


def is_kernel(parameter: Parameter) -> bool:
    """Whether all that passes a layer passes these weights."""
    if parameter.owner is not None and parameter.owner.layer.acts_as() == "looks_up":
        return parameter.argument is not None
    if parameter.contracts is None:
        return parameter.argument == "kernel_initializer"
    # What zeros forget from step to step is not all that passes.
    return bool(parameter.contracts) and parameter.argument not in (None, "recurrent_initializer")


def dead_ends(
    layers: Sequence[BuiltLayer], graph: Graph | None
) -> list[tuple[BuiltLayer, Parameter]]:
    """Kernels and scales of zeros around which neither signal nor gradient finds a way."""
    return [
        (layer, parameter)
        for layer in layers
        for parameter in layer.parameters
        if is_zero(parameter)
        and (is_kernel(parameter) or (parameter.owner is not None and parameter.argument in SCALES))
        and not (layer is layers[-1] if graph is None else _may_be_zero(graph, layer, parameter))
    ]


def _may_be_zero(graph: Graph, layer: BuiltLayer, parameter: Parameter) -> bool:
    """Whether a tensor of zeros learns, as one of a result or one with a way around it."""
    steps = graph.steps_of.get(layer.name, [])
    if not steps or any(map(graph.is_result, steps)):
        return True
    name = parameter.owner.name if parameter.owner else ""
    zeros = {p.owner.name for p in layer.parameters if p.owner and is_zero(p)}
    if name in ("query/kernel", "key/kernel"):
        return not {"query/kernel", "key/kernel"} <= zeros
    if {"value/kernel", "attention_output/kernel"} <= zeros:
        return False
    return all(_is_carried_around(graph, index) for index in steps)


def _is_carried_around(graph: Graph, index: int) -> bool:
    """Whether all that a step's zeros become is added to something, and gradients reach it."""
    seen, waiting = {index}, [index]
    while waiting:
        current = waiting.pop()
        behind = graph.behind(current)
        if not behind or _stops_gradients(graph.steps[current].layer):
            return False
        for other in behind:
            step = graph.steps[other]
            if step.layer.acts_as() == "adds" or other in seen:
                continue
            is_shut = any(is_zero(p) and len(p.shape) > 1 for p in step.parameters)
            if is_shut or (len(step.inputs) > 1 and step.layer.acts_as() != "multiplies"):
                return False
            seen.add(other)
            waiting.append(other)
    return True


def _stops_gradients(layer: Layer) -> bool:
    """Whether the layer's activation has slope 0 at 0."""
    function = layer.last_activation
    if function is None or not is_entrywise(function):
        return False
    slope = elementwise_grad(lambda x: function.call(arrays, x))
    return not np.any(slope(np.zeros(1)))
