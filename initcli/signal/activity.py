"""Activations: the fractions of their output that are 0, dead or saturated."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from initcli.activations import Activation, Relu, Relu6
from initcli.parameter import Parameter
from initcli.signal import arrays
from initcli.signal.figures import Signal
from initcli.signal.graph import Graph
from initcli.signal.hermite import NODES, WEIGHTS
from initcli.signal.moments import Weight, distribution_moments
from initcli.signal.observing import Bounds, near_bounds, output_bounds
from initcli.signal.prediction import Sums
from initcli.signal.theory import Theory
from initcli.signal.thresholds import DEAD, GONE, SATURATED, SHUT, SURE
from initcli.types import Array


class Shares(NamedTuple):
    """Fractions of an activation's output that are 0, dead and saturated; None where unknown.

    ``step`` is the index of the step that applies the activation. Zeros and dead units are those of
    ReLU only. ``enters`` says that the saturated entries are the input of a gated state.
    """

    step: int
    zeros: float | None
    dead: float | None
    saturated: float | None
    enters: bool = False


class Activity:
    """The fractions of all activations of a signal, measured or else predicted."""

    def __init__(self, signal: Signal, graph: Graph, rms: Callable[[int], float | None]) -> None:
        self.signal = signal
        self.graph = graph
        self.rms = rms
        """The root mean square of a tensor."""

    def _shares(self, index: int) -> Shares | None:
        """The fractions of a step; None without an activation, or where nothing is known.

        Measured fractions are medians over draws.
        """
        layer = self.graph.steps[index].layer
        function = layer.last_activation
        if function is None:
            return None
        rectifies = _rectifies(function)
        seen = self.signal.layers[index].output
        if seen is not None:
            saturated = seen.saturated.median if seen.saturated else None
            zeros, dead = (seen.zeros.median, seen.dead_units.median) if rectifies else (None, None)
            return Shares(index, zeros, dead, saturated)
        sums = self.signal.sums.get(index)
        if sums is None:
            return None
        with np.errstate(all="ignore"):
            zeros = float(WEIGHTS @ (function.call(arrays, sums.values) == 0))
        bounds = output_bounds(layer)
        saturated = None if bounds is None else _saturated(function, bounds, sums.values)
        return Shares(index, zeros if rectifies else None, None, saturated)

    def _entering(self, index: int) -> Shares | None:
        """The saturated fraction of the input of a gated state, if it is nearly all of it.

        It is that of the first time step, by the kernel alone.
        """
        step = self.graph.steps[index]
        function, bounds = step.layer.last_activation, output_bounds(step.layer)
        kernel = next((each for each in step.parameters if each.is_kernel), None)
        if function is None or bounds is None or kernel is None:
            return None
        if step.layer.acts_as() != "recurs" or getattr(step.layer, "gates", 1) == 1:
            return None
        size, moments = self.rms(step.inputs[0]), distribution_moments(kernel)
        if size is None or moments is None:
            return None
        sums = size * math.sqrt(kernel.shape[0] * moments.second) * NODES
        share = _saturated(function, bounds, sums)
        return Shares(index, None, None, share, enters=True) if share > SHUT else None

    @cached_property
    def shares(self) -> list[Shares]:
        """The fractions of every activation, where they are known."""
        indices = range(len(self.graph.steps))
        shares = (self._entering(index) or self._shares(index) for index in indices)
        return [each for each in shares if each is not None]

    @cached_property
    def saturated(self) -> list[Shares]:
        """The activations whose output is saturated, except results with a prior."""
        return [
            each
            for each in self.shares
            if (each.saturated or 0.0) > SATURATED and not self._is_prior(each.step)
        ]

    def _is_prior(self, index: int) -> bool:
        """Whether only the bias saturates a result, such as the log odds of a rare class.

        The slope at the bounds cancels in the gradient of a loss of log-probabilities (Lin et al.
        2017, arXiv:1708.02002, section 4.1).
        """
        graph = self.graph
        if not graph.is_result(index):
            return False
        biases = [p for p in self._makers(index) if p.argument == "bias_initializer"]
        moments = [distribution_moments(bias) for bias in biases]
        if not any(each is not None and each.mean for each in moments):
            return False
        sums = self._sums_without([bias.path for bias in biases], index)
        layer = graph.steps[index].layer
        bounds, function = output_bounds(layer), layer.last_activation
        if sums is None or bounds is None or function is None:
            return True
        return _saturated(function, bounds, sums.values) <= SATURATED

    def _makers(self, index: int) -> Sequence[Parameter]:
        """The parameters of the layer that computes the input of a step's activation."""
        while not (step := self.graph.steps[index]).parameters and len(step.inputs) == 1:
            if (made := self.graph.made_by.get(step.inputs[0])) is None:
                break
            index = made
        return step.parameters

    @cached_property
    def dead(self) -> Shares | None:
        """The first ReLU with dead units, which is the cause of later ones.

        ``dead`` is None if only the fraction of zeros is too large.
        """
        for each in self.shares:
            if each.zeros is None:
                continue
            units = max(self.graph.size(self.graph.steps[each.step].outputs[0])[-1], 1)
            limit = max(DEAD, 0.5 + SURE * math.sqrt(0.25 / units))
            is_dead = (each.dead or 0.0) > limit
            if is_dead or each.zeros > SHUT:
                return each if is_dead else each._replace(dead=None)
        return None

    @property
    def dies(self) -> bool:
        """Whether nearly all of the output of a ReLU is 0."""
        shares = (each.zeros if each.dead is None else each.dead for each in self.shares)
        return any(share is not None and share > GONE for share in shares)

    def _sums_without(self, paths: Collection[str], index: int) -> Sums | None:
        """The input of a step's activation, with the parameters of these paths set to 0."""

        def moments(parameter: Parameter) -> Weight | None:
            return Weight(0.0, 0.0) if parameter.path in paths else distribution_moments(parameter)

        theory = Theory(self.graph.program, moments)
        theory.begin()
        for step in self.graph.steps[:index]:
            theory.take(step)
        return Sums.of(theory.expected(self.graph.steps[index]))


def _saturated(function: Activation, bounds: Bounds, values: Array) -> float:
    """The fraction of saturated entries, for input values at the nodes."""
    with np.errstate(all="ignore"):
        return float(WEIGHTS @ near_bounds(np.asarray(function.call(arrays, values)), bounds))


def _rectifies(function: Activation) -> bool:
    """Whether the function is 0 below some point."""
    return isinstance(function, Relu | Relu6) and not getattr(function, "negative_slope", 0.0)
