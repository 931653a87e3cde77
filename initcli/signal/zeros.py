"""Weights of zeros: which of them learn, and which block signal and gradient forever."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property

import numpy as np
from autograd import elementwise_grad

from initcli import distributions
from initcli.activations import Activation
from initcli.parameter import Parameter
from initcli.signal import arrays
from initcli.signal.graph import Graph
from initcli.signal.program import Step
from initcli.types import CODES

SCALES = ("gamma", "scale")
"""Names of learned scales."""
_STATISTICS = ("moving_mean", "moving_variance")
"""Names of the statistics of a normalization for inference, which training does not use."""
_MIXES_ONLY = ("query/kernel", "key/kernel")
"""Kernels of scores: if they are 0, attention takes the mean of all values."""


def is_zero(parameter: Parameter) -> bool:
    """Whether every entry starts at 0; codes of quantized weights do not count."""
    return parameter.dtype not in CODES and parameter.distribution == distributions.Constant(0.0)


def is_kernel(parameter: Parameter) -> bool:
    """Whether the output of a layer is 0 if these weights are 0."""
    if parameter.owner is not None and parameter.owner.layer.acts_as() == "looks_up":
        return parameter.argument is not None
    return parameter.is_kernel


def is_scale(parameter: Parameter) -> bool:
    """Whether a layer multiplies its output by these weights."""
    return parameter.name in SCALES and not parameter.is_summed


class Zeros:
    """The weights of a graph that start at 0, followed from one training step to the next.

    A weight learns if its layer has an input other than 0, and a gradient reaches its output. Once
    it has learned, others may learn at the next step.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._begun = {
            parameter.path: parameter
            for step in graph.steps
            for parameter in step.parameters
            if is_zero(parameter)
        }

    @cached_property
    def stuck(self) -> frozenset[str]:
        """Paths of the weights that never get a gradient."""
        left = frozenset(self._begun)
        while learned := self._learned(left):
            left -= learned
        return left

    @cached_property
    def cuts(self) -> bool:
        """Whether weights of zeros block the signal at the first step.

        Results of 0 do not count.
        """
        graph, nothing = self.graph, self._nothing(self._begun)
        return not nothing.isdisjoint(graph.hidden_trunk)

    def _nothing(self, zeros: Collection[str]) -> set[int]:
        """The tensors that are 0 for all inputs."""
        nothing: set[int] = set()
        for step in self.graph.steps:
            if self._sum_is_nothing(step, zeros, nothing) and _at_zero(step.layer.last_activation):
                nothing.update(step.outputs)
        return nothing

    def _sum_is_nothing(self, step: Step, zeros: Collection[str], nothing: set[int]) -> bool:
        """Whether a step has 0 before its activation."""
        role = step.layer.acts_as()
        fed = [tensor in nothing for tensor in step.inputs]
        stops = any(fed) if role == "multiplies" else bool(fed) and all(fed)
        if role == "looks_up":
            stops = False
        elif role is None and not step.parameters and not step.layer.registered:
            return False  # The operation is not known.
        if not stops and not _cut(step, zeros):
            return False
        if role == "recurs":
            return True  # A state of zeros stays 0 with open gates.
        return all(each.path in zeros for each in step.parameters if _is_offset(each))

    def _learned(self, zeros: Collection[str]) -> frozenset[str]:
        """The weights that get a gradient while these are 0."""
        nothing = self._nothing(zeros)
        reached = set(self.graph.program.results)
        learned: set[str] = set()
        for step in reversed(self.graph.steps):
            if not reached.intersection(step.outputs) or step.inputs == step.outputs:
                continue
            if self._sum_is_nothing(step, zeros, nothing) and _is_flat(step.layer.last_activation):
                continue
            cut = _cut(step, zeros)
            is_fed = step.layer.acts_as() == "looks_up" or not nothing.issuperset(step.inputs)
            own = [each for each in step.parameters if each.path in zeros]
            mixing = [each for each in own if each.path.endswith(_MIXES_ONLY)]
            for each in own:
                others = [one for one in cut if one is not each]
                if _is_offset(each):
                    is_learned = not others
                elif each in mixing:
                    is_learned = is_fed and not cut and len(mixing) == 1
                else:
                    is_learned = is_fed and not others
                if is_learned:
                    learned.add(each.path)
            for tensor in step.inputs:
                others_are = [other in nothing for other in step.inputs if other != tensor]
                is_shut = step.layer.acts_as() == "multiplies" and any(others_are)
                if not cut and not is_shut:
                    reached.add(tensor)
        return frozenset(learned)


def _cut(step: Step, zeros: Collection[str]) -> list[Parameter]:
    """The weights of zeros that block all of a step's input."""
    return [
        each
        for each in step.parameters
        if each.path in zeros
        and (is_scale(each) or (is_kernel(each) and not each.path.endswith(_MIXES_ONLY)))
    ]


def _is_offset(parameter: Parameter) -> bool:
    """Whether a layer adds these weights."""
    is_other = is_scale(parameter) or parameter.name in _STATISTICS
    return not parameter.is_summed and not is_other


def _at_zero(function: Activation | None) -> bool:
    """Whether an activation is 0 at 0."""
    if function is None:
        return True
    return function.is_entrywise and not np.any(function.call(arrays, np.zeros(1)))


def _is_flat(function: Activation | None) -> bool:
    """Whether an activation has slope 0 at 0."""
    if function is None or not function.is_entrywise:
        return False
    slope = elementwise_grad(lambda x: function.call(arrays, x))
    return not np.any(slope(np.zeros(1)))
