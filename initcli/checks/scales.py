"""Solves, layer by layer, for the kernel variances that keep the signal's size."""

from __future__ import annotations

import math
from functools import cached_property

import msgspec

from initcli.activations import Activation, Linear
from initcli.checks.critical import Critical, critical
from initcli.parameter import Parameter
from initcli.signal.graph import Graph, mixes
from initcli.signal.initial_fields import alike
from initcli.signal.moments import Weight, distribution_moments
from initcli.signal.program import Step
from initcli.signal.theory import Theory

_UNSTABLE = math.log(100)
"""Change of a signal at the best scale above which an activation is unstable, as a logarithm."""
_MAX_SCALE = 9.0
"""Largest scale at which layers are not yet near saturation."""
_ALIKE = 0.1
"""Relative difference below which two variances count as equal."""
_INEXACT = 0.01
"""Relative error of a solved mean square above which the sums are not linear in the kernel."""
_MAX_BIAS = 0.25
"""Maximum share of the bias in the mean square of the sums."""


class Solved(msgspec.Struct, frozen=True, kw_only=True):
    """The variance that a kernel needs.

    Args:
        layer: name of its layer.
        kernel: the kernel.
        variance: variance that its entries need.
        activation: the activation after it.
        critical: the best scale for that activation.
        bias: the layer's bias, if it is too large and must become 0.
        end: whether the kernel ends a residual branch.
    """

    layer: str
    kernel: Parameter
    variance: float
    activation: Activation
    critical: Critical
    bias: Parameter | None = None
    end: bool = False

    @property
    def scale(self) -> float:
        """The variance times the layer's fan-in."""
        fans = self.kernel.wired_fans or self.kernel.fans
        return self.variance * fans.fan_in

    @property
    def is_so(self) -> bool:
        """Whether the kernel already has about that variance."""
        moments = distribution_moments(self.kernel)
        if moments is None or abs(moments.mean) > 0.1 * math.sqrt(self.variance):
            return False
        return abs(moments.variance / self.variance - 1) < _ALIKE and self.bias is None

    @property
    def is_unstable(self) -> bool:
        """Whether no usual scale keeps a signal through such layers."""
        return self.critical.deviation > _UNSTABLE or self.critical.scale > _MAX_SCALE


class Scales:
    """Solves for the variances that the kernels of a graph need."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    @cached_property
    def solved(self) -> dict[str, Solved | None]:
        """The variance that the kernel of each layer needs, by the layer's name.

        Kernels before a normalization, of gates and of outputs of the model are left out because
        their size does not matter. None: not known, because the layer is recurrent, several of its
        kernels share an argument, or theory does not cover it.
        """
        graph = self.graph
        solved: dict[str, Solved | None] = {}
        owners: dict[str, Solved] = {}

        def moments(parameter: Parameter) -> Weight | None:
            owner = owners.get(parameter.path)
            if owner is None:
                return distribution_moments(parameter)
            return Weight(0.0, owner.variance if owner.kernel is parameter else 0.0)

        theory = Theory(graph.program, moments)
        theory.begin()
        wanted: dict[int, float] = dict.fromkeys(theory.fields, 1.0)
        for index, step in enumerate(graph.steps):
            if step.inputs == step.outputs:
                continue
            if mixes(step) and step.name not in solved and self._matters(index):
                kernel = _main_kernel(step)
                one = None if kernel is None else self._solve(theory, wanted, index, kernel)
                solved[step.name] = one
                if one is not None:
                    owners[one.kernel.path] = one
                    if one.bias is not None:
                        owners[one.bias.path] = one
            theory.take(step)
            output = step.outputs[0]
            if output not in theory.fields:
                # Where theory ends, continue as after a normalization.
                theory.fields[output] = alike(graph.size(output), theory.axes.get(output, (-1,)))
            wanted[output] = self._wanted(theory, wanted, step)
        return solved

    def critical(self, index: int, second: float = 1.0) -> Critical | None:
        """The best scale for the activation after a step, over all such layers in a row.

        ``second`` is the mean square of the first layer's input.
        """
        activation = self._activation(index)
        if not activation.is_entrywise:
            return None
        output = self.graph.steps[index].outputs[0]
        depth = self.graph.depths[output] + self.graph.heights[output]
        return critical(activation, max(depth, 1), float(f"{second:.2g}"))

    def last_mixing(self, tensor: int) -> int | None:
        """The step whose kernel sets the size of a tensor, if that kernel is solved for."""
        graph = self.graph
        while (index := graph.made_by.get(tensor)) is not None:
            step = graph.steps[index]
            if mixes(step):
                return index if _main_kernel(step) is not None else None
            if step.layer.acts_as() == "normalizes" or len(step.inputs) != 1 or step.parameters:
                return None
            tensor = step.inputs[0]
        return None

    def _activation(self, index: int) -> Activation:
        """The activation that follows a step."""
        activated = self.graph.activated(index)
        return Linear() if activated is None else activated[0]

    def _matters(self, index: int) -> bool:
        """Whether the size of a step's output matters."""
        graph = self.graph
        output = graph.steps[index].outputs[0]
        if graph.is_result(index) or self._is_gate(index):
            return False
        return not (graph.heights[output] == 0 and graph.normalized_later[output])

    def _is_gate(self, index: int) -> bool:
        """Whether a step's output is a factor of a product."""
        graph = self.graph
        activated = graph.activated(index)
        if activated is None or activated[0].bounds[0] is None:
            return False
        behind = graph.successors(activated[1])
        while len(behind) == 1 and not graph.steps[behind[0]].parameters:
            if graph.steps[behind[0]].layer.acts_as() == "multiplies":
                return True
            behind = graph.successors(behind[0])
        return False

    def _solve(
        self, theory: Theory, wanted: dict[int, float], index: int, kernel: Parameter
    ) -> Solved | None:
        """Solve v · A + B = wanted for the variance v, with B the mean square of the bias."""
        step = self.graph.steps[index]
        source = step.inputs[0]
        if source not in wanted or source not in theory.fields:
            return None
        second = wanted[source]
        begun = [theory.fields[t] for t in self.graph.sources[source] if t in theory.fields]
        sizes = [each.mean_square for each in begun]
        suits = self.critical(index, max(sizes, default=1.0) or 1.0)
        if suits is None or not second > 0:
            return None
        goal = suits.scale * second
        end = self.branch_ends.get(index)
        if end is not None and (carried := theory.fields.get(end[1])) is not None:
            goal = end[0] * suits.scale * carried.mean_square
        bias = next((p for p in step.parameters if p.argument == "bias_initializer"), None)
        moments = Weight(0.0, 0.0) if bias is None else distribution_moments(bias)
        unit = _mean_square_of_sums(theory, step, kernel, 1.0)
        if unit is None or moments is None or not unit > moments.second:
            return None
        rest = moments.second
        spoils = rest > _MAX_BIAS * goal
        variance = (goal - (0.0 if spoils else rest)) / (unit - rest)
        made = _mean_square_of_sums(theory, step, kernel, variance)
        if made is None or abs(made / (variance * (unit - rest) + rest) - 1) > _INEXACT:
            return None
        return Solved(
            layer=step.name,
            kernel=kernel,
            variance=variance,
            activation=self._activation(index),
            critical=suits,
            bias=bias if spoils else None,
            end=end is not None,
        )

    @cached_property
    def branch_ends(self) -> dict[int, tuple[float, int]]:
        """The mixing steps that end a branch, with the share of the residual stream they may add.

        Each of n residual sums in a row may add 1/n of the stream's mean square, so that the stream
        does not grow with n; parallel branches share their part.
        """
        graph = self.graph
        ends: dict[int, tuple[float, int]] = {}
        for chain in graph.chains:
            for index in chain:
                maker = self.last_mixing(graph.skips[index].end)
                if maker is not None:
                    ends[maker] = (1 / len(chain), graph.skips[index].carried)
        for index, step in enumerate(graph.steps):
            if index in graph.skips or step.layer.acts_as() != "adds":
                continue
            makers = [self.last_mixing(tensor) for tensor in step.inputs]
            for maker in makers:
                if maker is not None:
                    ends.setdefault(maker, (1 / len(makers), graph.steps[maker].inputs[0]))
        return ends

    def _wanted(self, theory: Theory, wanted: dict[int, float], step: Step) -> float:
        """The mean square that the next kernel aims at.

        It includes what pooling, padding and similar layers remove, so that the next kernel
        compensates for them.
        """
        actual = theory.fields[step.outputs[0]].mean_square
        known = [tensor for tensor in step.inputs if tensor in wanted]
        sets_size = step.parameters or step.layer.last_activation is not None
        if sets_size or not known or step.layer.acts_as() in ("normalizes", "keeps"):
            return actual
        if len(step.inputs) == 1:
            return wanted[known[0]]
        if step.layer.acts_as() == "joins":
            sizes = [theory.fields[tensor].mean_square for tensor in known]
            goals = [wanted[tensor] for tensor in known]
            return actual * sum(goals) / max(sum(sizes), 1e-300)
        return actual


def _main_kernel(step: Step) -> Parameter | None:
    """The last kernel of a step, if it sets the scale of the sums and its argument fills no other.

    A layer that recurs takes its own sums again.
    """
    kernels = [each for each in step.parameters if each.is_kernel]
    if not kernels or step.layer.acts_as() == "recurs":
        return None
    alike = [each for each in kernels if each.argument == kernels[-1].argument]
    return kernels[-1] if len(alike) == 1 else None


def _mean_square_of_sums(
    theory: Theory, step: Step, kernel: Parameter, variance: float
) -> float | None:
    """The mean square before a step's activation if the kernel has that variance."""
    moments = theory.moments
    theory.moments = lambda p: Weight(0.0, variance) if p.path == kernel.path else moments(p)
    try:
        expected = theory.expected(step.without_activation)
    finally:
        theory.moments = moments
    return None if expected is None else expected.output.mean_square
