"""I101: kernels whose entries are all the same."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from autograd import elementwise_grad

from initcli import distributions
from initcli.checks.base import Check, Problem
from initcli.checks.critical import is_entrywise
from initcli.checks.evidence import Evidence, is_zero
from initcli.checks.graph import Graph
from initcli.layers import Layer, convolution
from initcli.model import BuiltLayer
from initcli.parameter import Parameter
from initcli.signal import arrays

_KERNELS = (
    "kernel_initializer",
    "depthwise_initializer",
    "pointwise_initializer",
    "query_initializer",
    "key_initializer",
    "value_initializer",
    "output_initializer",
    "embeddings_initializer",
)
_SCALES = ("gamma_initializer",)


class ConstantKernel(Check):
    """A kernel whose entries are all the same leaves its units identical.

    Every unit of a layer computes a weighted sum of the same inputs. If all weights start equal,
    all units compute the same, and the layer is as good as one with a single unit. Training does
    not help as long as what comes behind treats the units alike, for then they get the same
    gradients as well. Random numbers are there to break this symmetry.

    A kernel of zeros is worse: nothing passes it forwards, and no gradient passes it backwards to
    the layers before. Behind a ReLU, whose slope at 0 is 0, it never learns anything.

    Zeros are right in two places, and there this check is silent. The last layer may start at 0,
    because each of its units has an error of its own; and so may the end of a residual branch,
    around which the signal is carried (Fixup, SkipInit, ReZero, the last gamma of a ResNet's
    block). Two zeros one behind the other in such a branch are wrong again: each keeps the other
    from learning.
    """

    code = "I101"
    name = "constant-kernel"
    why = (
        "units that start the same get the same gradients and stay the same; only random weights "
        "break the symmetry (Goodfellow et al. 2016, Deep Learning, 8.4)"
    )
    triggers = """\
input_shape: [32]
layers:
  - {type: Dense, units: 64, activation: relu, kernel_initializer: zeros}
  - {type: Dense, units: 10}
"""
    passes = """\
input_shape: [32]
layers:
  - {type: Dense, units: 32, name: stem}
  - {type: Dense, units: 64, activation: relu, kernel_initializer: he_uniform}
  - {type: Dense, units: 32, name: end, kernel_initializer: zeros}
  - {type: Add, inputs: [stem, end]}
  - {type: Dense, units: 10, kernel_initializer: zeros}
"""

    def problems(self, evidence: Evidence) -> Iterator[Problem]:
        for layer, parameter in evidence.once(dead_ends):
            yield self._problem(evidence, layer, parameter, _zeros(parameter))
        for layer, parameter in evidence.parameters:
            distribution, argument = (
                parameter.distribution,
                parameter.argument,
            )
            if (
                not isinstance(distribution, distributions.Constant)
                or not distribution.value
                or argument not in _KERNELS
            ):
                continue
            if not _may_be_constant(evidence, layer, parameter):
                yield self._problem(
                    evidence, layer, parameter, _constant(parameter, distribution.value)
                )

    @staticmethod
    def _problem(
        evidence: Evidence, layer: BuiltLayer, parameter: Parameter, message: str
    ) -> Problem:
        argument = parameter.argument
        value: Any = "ones" if argument in _SCALES else evidence.suitable(layer, parameter)
        return evidence.problem(
            layer,
            parameter,
            message=message,
            remedy=evidence.written(parameter, value),
            changes=evidence.change(layer, parameter, value),
        )


def dead_ends(evidence: Evidence) -> list[tuple[BuiltLayer, Parameter]]:
    """Tensors of zeros that cut the signal off, so that there is no more to say of it."""
    return [
        (layer, parameter)
        for layer, parameter in evidence.parameters
        if is_zero(parameter)
        and parameter.owner is not None
        and parameter.argument in (*_KERNELS, *_SCALES)
        and not _may_be_zero(evidence, layer, parameter)
    ]


def _zeros(parameter: Parameter) -> str:
    return (
        f"all {parameter.size:,} entries of {parameter.path} are 0: nothing passes it forwards, "
        "and no gradient passes it backwards"
    )


def _constant(parameter: Parameter, value: float) -> str:
    units = parameter.shape[-1]
    return (
        f"all {parameter.size:,} entries of {parameter.path} are {value:.4g}: "
        f"its {units:,} units start identical"
    )


def _may_be_constant(evidence: Evidence, layer: BuiltLayer, parameter: Parameter) -> bool:
    """Whether nothing is lost by equal entries that are not 0."""
    if len(parameter.shape) < 2 or evidence.is_result(layer):
        return True
    owner = parameter.owner
    inner = owner.layer if owner else layer.layer
    if isinstance(inner, convolution.DepthwiseConv | convolution.SeparableConv):
        # Each channel has units of its own, which average its window.
        return bool(owner and owner.name != "pointwise_kernel" and inner.depth_multiplier == 1)
    return math.prod(parameter.shape[1:]) == 1


def _may_be_zero(evidence: Evidence, layer: BuiltLayer, parameter: Parameter) -> bool:
    """Whether what a tensor of zeros keeps back finds its way around it."""
    if evidence.graph is None:
        return layer is evidence.layers[-1]
    steps = evidence.steps_of.get(layer.name, [])
    if not steps or evidence.is_result(layer):
        return True
    name = parameter.owner.name if parameter.owner else ""
    zeros = {p.owner.name for p in layer.parameters if p.owner and is_zero(p)}
    if name in ("query/kernel", "key/kernel"):
        return not {"query/kernel", "key/kernel"} <= zeros
    if {"value/kernel", "attention_output/kernel"} <= zeros:
        return False
    return all(_is_carried_around(evidence.graph, index) for index in steps)


def _is_carried_around(graph: Graph, index: int) -> bool:
    """Whether all that a step's zeros become is added to something, and gradients pass on it."""
    seen, waiting = {index}, [index]
    while waiting:
        each = waiting.pop()
        behind = graph.behind(each)
        if not behind or _kills(graph.steps[each].layer):
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


def _kills(layer: Layer) -> bool:
    """Whether the layer's activation lets no gradient through where its input is 0."""
    function = layer.last_activation
    if function is None or not is_entrywise(function):
        return False
    slope = elementwise_grad(lambda x: function.call(arrays, x))
    return not np.any(slope(np.zeros(1)))
