"""Estimates of the time and memory of a pass through a program."""

from __future__ import annotations

import math
from typing import NamedTuple

from initcli import limits
from initcli.sampling.chunks import physical_memory, working_dtype
from initcli.signal.program import Program
from initcli.types import Dtype

_PER_SECOND = 1e10
"""Multiplications per second on two cores."""
_PASSES = 3
"""Cost of a forward and a backward pass, in forward passes."""
_DRAWING = 300
"""Multiplications per weight: drawing for each pass, computing and measuring the gradient."""
_MOVING = 100
"""Multiplications per entry of a tensor that passes a layer."""
_CALLING = 4e6
"""Multiplications per layer for figures and function calls."""
_HELD = 7
"""Entries that the backward pass of a layer holds for each entry of its inputs and outputs."""
_TRAINED = 5
"""Entries that training holds per weight: the weight, its gradient, two moments, and a step."""
_USABLE = 0.7
"""The fraction of the machine's memory that may be used."""
_BESIDE = 128 << 20
"""Bytes for everything else."""


class Cost(NamedTuple):
    """The cost of one draw in seconds and bytes, and the layer that needs most."""

    seconds: float
    bytes: int
    layer: str


def cost(program: Program, dtype: Dtype, steps: int = 0) -> Cost:
    """Estimate the cost of one draw of weights with a forward and a backward pass.

    A draw holds every tensor, as many weights as :func:`weights_room` allows, and for one layer at
    a time its weights, their gradients and intermediate results. Each of ``steps`` of training
    takes as long again; training also holds all weights, gradients, two moments of each, and the
    first tensors.
    """
    sizes = [math.prod(shape) for shape in program.shapes]
    weights = {p.path: p.size for step in program.steps for p in step.parameters}
    products, most, layer = 0.0, 0, ""
    for step in program.steps:
        tensors = {*step.inputs, *step.outputs}
        shapes = [[program.shapes[t] for t in each] for each in (step.inputs, step.outputs)]
        work = step.layer.work(*shapes)
        own = sum(parameter.size for parameter in step.parameters)
        products += work.products + _MOVING * sum(sizes[t] for t in step.outputs)
        if step.layer.acts_as() != "looks_up" or step.options.get("reverse", False):
            products += own * max(math.prod(program.shapes[t][:-1]) for t in tensors)
        inside = _HELD * sum(sizes[t] for t in tensors) + work.held + 3 * own
        if inside > most:
            most, layer = inside, step.name
    itemsize = working_dtype(dtype).itemsize
    kept = min(itemsize * sum(weights.values()), weights_room())
    trained = itemsize * (_TRAINED * sum(weights.values()) + sum(sizes)) if steps else 0
    drawn, called = _DRAWING * sum(weights.values()), _CALLING * len(program.steps)
    seconds = (_PASSES * products + drawn + called) / _PER_SECOND
    return Cost(
        seconds=seconds * (1 + steps),
        bytes=itemsize * (sum(sizes) + most) + kept + trained + _BESIDE,
        layer=layer,
    )


def room() -> int:
    """Bytes that the signal may use: the limit, or the memory of the machine if that is less."""
    return min(limits.in_force().memory, usable())


def usable() -> int:
    """Bytes of this machine's memory that may be used."""
    return int(_USABLE * physical_memory())


def weights_room() -> int:
    """Bytes of weights that are kept between the passes of a draw."""
    return room() // 4
