"""The scale of every kernel that keeps the signal's size at each layer, solved step by step."""

from __future__ import annotations

import math
from functools import cached_property

import msgspec

from initcli.activations import Activation, Linear
from initcli.checks.critical import Critical, critical
from initcli.checks.fans import wiring
from initcli.layers import convolution, core, einsum, merging
from initcli.parameter import Parameter
from initcli.signal.graph import Graph, mixes
from initcli.signal.judgment import is_entrywise, without_activation
from initcli.signal.program import Step
from initcli.signal.rules.base import Weight
from initcli.signal.theory import Theory, alike, distribution_moments
from initcli.sources.overrides import KERNELS

_UNSTABLE = math.log(100)
"""How much layers of an activation may change a signal at the best scale, as a logarithm."""
_LARGEST = 9.0
"""The largest scale of layers that are still some way from being saturated."""
_ALIKE = 0.1
"""How far a variance may be from another that does as well, as a share."""
_BY_BIAS = 0.25
"""What share of a mean square a bias may have."""


class Solved(msgspec.Struct, frozen=True, kw_only=True):
    """What a kernel needs: the variance of its entries, and whether its bias has to go.

    ``activation`` is what follows, and ``critical`` the scale that suits that; ``end`` is whether
    the kernel ends a residual branch.
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
        """Of variance scaling by the fan-in that the layer really has."""
        found = wiring(self.kernel)
        return self.variance * (found.fans.fan_in if found else self.kernel.fans.fan_in)

    @property
    def is_so(self) -> bool:
        """Whether the kernel has about that variance already."""
        moments = distribution_moments(self.kernel)
        if moments is None or abs(moments.mean) > 0.1 * math.sqrt(self.variance):
            return False
        return abs(moments.variance / self.variance - 1) < _ALIKE and self.bias is None

    @property
    def is_unstable(self) -> bool:
        """Whether no scale that anyone would start with keeps a signal through such layers."""
        return self.critical.badness > _UNSTABLE or self.critical.scale > _LARGEST


class Scales:
    """Solves for the scales of a graph's kernels."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    @cached_property
    def solved(self) -> dict[str, Solved]:
        """What each kernel needs, by the name of its layer; none where that does not matter.

        It does not where a normalization comes next, nor for what a result is made with, and it is
        not known of recurrent layers and of attention.
        """
        graph = self.graph
        found: dict[str, Solved] = {}

        def moments(parameter: Parameter) -> Weight | None:
            one = owners.get(parameter.path)
            if one is None:
                return distribution_moments(parameter)
            return Weight(0.0, one.variance) if one.kernel is parameter else Weight(0.0, 0.0)

        owners: dict[str, Solved] = {}
        theory = Theory(graph.program, moments)
        theory.begin()
        wanted: dict[int, float] = dict.fromkeys(theory.fields, 1.0)
        for index, step in enumerate(graph.steps):
            if step.inputs == step.outputs:
                continue
            kernel = main_kernel(step)
            if step.name in found:
                pass  # A further call of a layer that is solved.
            elif kernel is not None and self._matters(index):
                solved = self._solve(theory, wanted, index, kernel)
                if solved is not None:
                    found[step.name] = owners[kernel.path] = solved
                    if solved.bias is not None:
                        owners[solved.bias.path] = solved
            theory.take(step)
            output = step.outputs[0]
            if output not in theory.fields:
                # Where theory ends, it begins anew with what a normalization would give.
                theory.fields[output] = alike(graph.size(output), theory.axes.get(output, (-1,)))
            wanted[output] = self._wanted(theory, wanted, step)
        return found

    def _matters(self, index: int) -> bool:
        graph, step = self.graph, self.graph.steps[index]
        output = step.outputs[0]
        if graph.is_result(index) or self._is_gate(index):
            return False
        return not (graph.heights[output] == 0 and graph.normalized_later[output])

    def _is_gate(self, index: int) -> bool:
        """Whether what comes out is a share of something else."""
        found = self.graph.activated(index)
        if found is None or found[0].bounds[0] is None:
            return False
        behind = self.graph.behind(found[1])
        while len(behind) == 1 and not self.graph.steps[behind[0]].parameters:
            if self.graph.steps[behind[0]].layer.acts_as() == "multiplies":
                return True
            behind = self.graph.behind(behind[0])
        return False

    def _activation(self, index: int) -> Activation:
        """What a step's sums go through."""
        found = self.graph.activated(index)
        return Linear() if found is None else found[0]

    def critical(self, index: int, second: float = 1.0) -> Critical | None:
        """The scale that suits what follows a step, for as many such layers as are in a row.

        ``second`` is the mean square of what flows into the first of them.
        """
        activation = self._activation(index)
        if not is_entrywise(activation):
            return None
        output = self.graph.steps[index].outputs[0]
        depth = self.graph.depths[output] + self.graph.heights[output]
        return critical(activation, max(depth, 1), float(f"{second:.2g}"))

    def _solve(
        self, theory: Theory, wanted: dict[int, float], index: int, kernel: Parameter
    ) -> Solved | None:
        """The variance v for which v · A + B, of the kernel and of the bias, is what is wanted."""
        step = self.graph.steps[index]
        source = step.inputs[0]
        if source not in wanted or source not in theory.fields:
            return None
        second = wanted[source]
        begun = [theory.fields[t] for t in self.graph.sources[source] if t in theory.fields]
        sizes = [float(each.second.mean()) for each in begun]
        suits = self.critical(index, max(sizes, default=1.0) or 1.0)
        if suits is None or not second > 0:
            return None
        end, goal = self._end_of_branch(theory, index, suits)
        if goal is None:
            goal = suits.scale * second
        bias = next((p for p in step.parameters if p.argument == "bias_initializer"), None)
        moments = Weight(0.0, 0.0) if bias is None else distribution_moments(bias)
        unit = _mean_square_of_sums(theory, step, kernel)
        if unit is None or moments is None:
            return None
        rest = moments.mean**2 + moments.variance
        if not unit > rest:
            return None
        spoils = rest > _BY_BIAS * goal
        return Solved(
            layer=step.name,
            kernel=kernel,
            variance=(goal - (0.0 if spoils else rest)) / (unit - rest),
            activation=self._activation(index),
            critical=suits,
            bias=bias if spoils else None,
            end=end,
        )

    def _end_of_branch(
        self, theory: Theory, index: int, suits: Critical
    ) -> tuple[bool, float | None]:
        """What a kernel is to give that is the last before a sum of several branches.

        A branch adds to what is carried on, and of n such sums in a row each may add 1/n of its
        mean square, so that all of them together keep its size; branches side by side share it.
        """
        if index not in self.branch_ends:
            return False, None
        share, carried = self.branch_ends[index]
        given = theory.fields.get(carried)
        return True, None if given is None else share * suits.scale * float(given.second.mean())

    @cached_property
    def branch_ends(self) -> dict[int, tuple[float, int]]:
        """The mixing steps that end a branch, with the share of the carried tensor they may add."""
        graph = self.graph
        found: dict[int, tuple[float, int]] = {}
        for chain in graph.chains:
            for index in chain:
                maker = self.last_mixing(graph.skips[index].end)
                if maker is not None:
                    found[maker] = (1 / len(chain), graph.skips[index].carried)
        for index, step in enumerate(graph.steps):
            if index in graph.skips or step.layer.acts_as() != "adds":
                continue
            makers = [self.last_mixing(tensor) for tensor in step.inputs]
            for maker in makers:
                if maker is not None:
                    found.setdefault(maker, (1 / len(makers), graph.steps[maker].inputs[0]))
        return found

    def last_mixing(self, tensor: int) -> int | None:
        """The mixing step that gives a tensor its size, up to what has no weights."""
        graph = self.graph
        while (index := graph.made_by.get(tensor)) is not None:
            step = graph.steps[index]
            if mixes(step):
                return index if main_kernel(step) is not None else None
            if step.layer.acts_as() == "normalizes" or len(step.inputs) != 1 or step.parameters:
                return None
            tensor = step.inputs[0]
        return None

    def _wanted(self, theory: Theory, wanted: dict[int, float], step: Step) -> float:
        """The mean square from which the next kernel is to go on.

        Pooling, padding and the like change what there is but not what is wanted, so that the next
        kernel makes up for it.
        """
        actual = float(theory.fields[step.outputs[0]].second.mean())
        known = [tensor for tensor in step.inputs if tensor in wanted]
        activates = step.layer.last_activation is not None
        remakes = mixes(step) or step.parameters or activates or step.layer.acts_as() == "keeps"
        if remakes or not known or step.layer.acts_as() == "normalizes":
            return actual
        if len(step.inputs) == 1:
            return wanted[known[0]]
        if isinstance(step.layer, merging.Concatenate):
            sizes = [float(theory.fields[tensor].second.mean()) for tensor in known]
            goals = [wanted[tensor] for tensor in known]
            return actual * sum(goals) / max(sum(sizes), 1e-300)
        return actual


def main_kernel(step: Step) -> Parameter | None:
    """The kernel whose scale sets that of what a step sums."""
    if not isinstance(step.layer, core.Dense | einsum.EinsumDense | convolution.Convolution):
        return None
    kernels = [p for p in step.parameters if p.argument in KERNELS]
    return kernels[-1] if kernels else None


def _mean_square_of_sums(theory: Theory, step: Step, kernel: Parameter) -> float | None:
    """The mean square before a step's activation, for a kernel of variance 1."""
    moments = theory.moments
    theory.moments = lambda p: Weight(0.0, 1.0) if p.path == kernel.path else moments(p)
    try:
        expected = theory.expected(without_activation(step))
    finally:
        theory.moments = moments
    return None if expected is None else float(expected.output.second.mean())
