"""Judge a signal: whether it vanishes, explodes, saturates or dies, and which layer is the cause.

All thresholds are in :mod:`initcli.signal.thresholds`. :mod:`initcli.signal.verdict` summarizes a
judgment for ``signal`` and ``compare``; ``check`` reports the same problems as findings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

from initcli.distributions import Constant
from initcli.signal.activity import Activity
from initcli.signal.figures import LayerSignal, Signal
from initcli.signal.graph import Graph, mixes
from initcli.signal.moments import distribution_moments
from initcli.signal.program import Step
from initcli.signal.thresholds import (
    INSENSITIVE,
    LARGE,
    MANY_DIRECTIONS,
    ONE_DIRECTION,
    OUT_OF_REACH,
    RESIDUAL_GROWTH,
    RESIDUAL_GROWTH_EACH,
    SENSITIVE,
    SHARP,
    SHARP_EACH,
    SHORT_REACH,
    SMALL,
)
from initcli.signal.zeros import Zeros, is_zero


class Growth(NamedTuple):
    """Root mean square of a tensor, and of the tensor that its size comes from.

    If ``between_examples``, it is that of the differences between examples.
    """

    tensor: int
    before: float
    after: float
    between_examples: bool = False

    @property
    def ratio(self) -> float:
        """The factor by which the size changes."""
        return self.after / self.before

    @property
    def distance(self) -> float:
        """Absolute logarithm of the ratio; infinite if the ratio is 0, infinite or NaN."""
        return abs(math.log(self.ratio)) if 0 < self.ratio < math.inf else math.inf


class Sensitivity(NamedTuple):
    """Effect of a relative change of a tensor on the results.

    It is the norm of the gradient times the standard deviation of the entries, √(Σ g²) · std, which
    depends neither on the size of the signal nor on the number of units.
    """

    tensor: int
    size: float


class Residual(NamedTuple):
    """A chain of residual sums, and the root mean square before the first and after the last."""

    sums: tuple[int, ...]
    before: float
    after: float

    @property
    def each(self) -> float:
        """Average factor of one sum."""
        return math.pow(self.after / self.before, 1 / len(self.sums))


class Judgment:
    """The problems of a signal, and their places.

    Each kind of problem is a property, which is empty or None without such a problem. Tensors and
    steps are numbered as in ``signal.program``.
    """

    def __init__(self, signal: Signal, graph: Graph | None = None) -> None:
        self.signal = signal
        self.graph = graph or Graph(signal.program)
        self.activity = Activity(signal, self.graph, self.rms)

    @property
    def basis(self) -> str:
        """The origin of the figures: ``measured`` or ``predicted``."""
        return "measured" if self.signal.draws else "predicted"

    # Figures of tensors

    def rms(self, tensor: int) -> float | None:
        """Root mean square of a tensor; None where unknown."""
        if tensor not in self.graph.made_by:
            if tensor in self.signal.input_rms:
                return self.signal.input_rms[tensor]
            kinds = {source.tensor: source.num_tokens for source in self.graph.program.inputs}
            return 1.0 if kinds.get(tensor) is None else None
        figures = self._figures(tensor)
        return None if figures is None else math.hypot(*figures)

    def gradient(self, tensor: int) -> float | None:
        """Root mean square of the gradient with respect to a tensor; None where unknown."""
        layer = self._layer(tensor)
        return None if layer is None else layer.gradient_rms

    def _layer(self, tensor: int) -> LayerSignal | None:
        index = self.graph.made_by.get(tensor)
        if index is None or self.graph.steps[index].outputs[0] != tensor:
            return None
        return self.signal.layers[index]

    def _figures(self, tensor: int) -> tuple[float, float] | None:
        """Mean and standard deviation."""
        layer = self._layer(tensor)
        if layer is None:
            return None
        mean = layer.predicted.mean if layer.output is None else layer.output.mean.median
        std = layer.std
        return None if mean is None or std is None else (mean, std)

    @property
    def first_unknown(self) -> str | None:
        """The first layer with an output of unknown size; None if all results have a size."""
        if None not in map(self.rms, self.graph.program.results):
            return None
        unknown = (step for step in self.graph.steps if self.rms(step.outputs[0]) is None)
        return next((step.name for step in unknown if step.inputs != step.outputs), None)

    # Forwards

    @cached_property
    def outweighed(self) -> list[int]:
        """The normalizations whose epsilon is larger than the mean square of their input.

        They divide by √epsilon, and the size of their input remains.
        """
        found = []
        for index, step in enumerate(self.graph.steps):
            epsilon = getattr(step.layer, "epsilon", None)
            if step.layer.acts_as() == "normalizes" and epsilon:
                size = self.rms(step.inputs[0])
                if size is not None and size * size < epsilon:
                    found.append(index)
        return found

    @cached_property
    def sources(self) -> list[frozenset[int]]:
        """For each tensor the tensors that its size comes from."""
        graph, passed = self.graph, frozenset(self.outweighed)
        return graph.sources_past(passed) if passed else graph.sources

    @cached_property
    def stretches(self) -> dict[frozenset[int], Growth]:
        """For each stretch of layers the tensor whose size differs most from that of its source.

        A stretch contains no normalization; its key is its sources. Only inputs of layers with
        kernels and results count. Of several sources the one closest in size counts.
        """
        graph = self.graph
        furthest: dict[frozenset[int], Growth] = {}
        taken = dict.fromkeys(t for step in graph.steps if mixes(step) for t in step.inputs)
        for tensor in taken | dict.fromkeys(graph.program.results):
            after = self.rms(tensor)
            key = self.sources[tensor]
            sizes = [] if tensor in key else [self.rms(source) for source in key]
            growths = [Growth(tensor, size, after) for size in sizes if size and after is not None]
            if not growths:
                continue
            nearest = min(growths, key=lambda growth: growth.distance)
            # A last layer may start with any small size.
            if tensor in graph.program.results and nearest.ratio < 1:
                nearest = nearest._replace(after=nearest.before)
            if key not in furthest or nearest.distance > furthest[key].distance:
                furthest[key] = nearest
        return furthest

    @cached_property
    def growths(self) -> list[Growth]:
        """Stretches over which the signal vanishes or explodes, except residual or dead ones.

        If there are none, a stretch over which the differences between examples vanish.
        """
        sums = {self.graph.steps[residual.sums[0]].outputs[0] for residual in self.residuals}
        residual_sources = {self.sources[tensor] for tensor in sums}
        growths = [
            growth
            for sources, growth in self.stretches.items()
            if not SMALL <= growth.ratio <= LARGE
            and sources not in residual_sources
            and not (growth.after == 0 and (self.activity.dead or self.starts_at_zero))
        ]
        alike = None if growths or self.unlike_sensitivities else self._alike
        return growths if alike is None else [alike]

    @property
    def _alike(self) -> Growth | None:
        """The first stretch over which the differences between examples vanish."""
        graph, differences = self.graph, self.signal.differences
        is_excused = self.activity.dead is not None or self.starts_at_zero
        for tensor in graph.hidden_trunk:
            after, sources = differences.get(tensor), self.sources[tensor]
            if after is None or tensor in sources or (after == 0 and is_excused):
                continue
            for source in sources:
                before, differs = self.rms(source), differences.get(source)
                if before and differs and differs >= SMALL * before and after < SMALL * before:
                    return Growth(tensor, before, after, between_examples=True)
        return None

    def is_mended_by_one(self, growth: Growth) -> bool:
        """Whether the signal keeps its size except for one kernel.

        The gradient of a kernel does not depend on its own factor, so that training can correct
        the factor of a single kernel.
        """
        if not 0 < growth.ratio < math.inf:
            return False
        sign = 1 if growth.ratio > 1 else -1
        gains = [self._gain(index) for index in self.mixing_steps(growth)]
        logs = [sign * math.log(gain) for gain in gains if gain]
        rest = growth.ratio * math.exp(-sign * max(logs, default=0.0))
        return SMALL <= rest <= LARGE

    def _gain(self, index: int) -> float | None:
        """Factor by which a kernel changes the size; None if unknown, and for recurrent layers."""
        step = self.graph.steps[index]
        kernels = [p for p in step.parameters if p.is_summed and p.wired_fans is not None]
        if step.layer.acts_as() == "recurs" or len(kernels) != 1:
            return None
        moments, fans = distribution_moments(kernels[0]), kernels[0].wired_fans
        if moments is None or fans is None:
            return None
        return math.sqrt(fans.fan_in * (moments.variance + moments.mean**2)) or None

    @cached_property
    def collapsed(self) -> float | None:
        """The number of directions in which examples differ after all layers, if it is nearly one.

        None also if the reason is a layer with one unit, kernels of equal entries (whose gradients
        differ), or a problem of sizes or gradients.
        """
        if self.growths or self.residuals or self.unlike_sensitivities or self.forgetful:
            return None
        graph, known = self.graph, self.signal.dimensions
        last = graph.hidden_trunk[-1:]
        found = known.get(last[0]) if last else None
        begun = max((known.get(each.tensor, math.inf) for each in graph.program.inputs), default=0)
        if found is None or not 0 < found < ONE_DIRECTION or begun < MANY_DIRECTIONS:
            return None
        if any(math.prod(graph.size(tensor)[1:]) == 1 for tensor in graph.hidden_trunk):
            return None
        kernels = (p for step in graph.steps for p in step.parameters if p.is_summed)
        return None if any(isinstance(p.distribution, Constant) for p in kernels) else found

    @cached_property
    def residuals(self) -> list[Residual]:
        """Chains of residual sums, with no normalization between, that grow too much."""
        graph, residuals = self.graph, []
        for chain in graph.chains:
            before = self.rms(graph.skips[chain[0]].carried)
            sizes = [self.rms(graph.steps[index].outputs[0]) for index in chain]
            # Sizes are unknown after an overflow.
            known = [size for size in sizes if size is not None]
            if before and known and len(chain) > 1:
                residual = Residual(tuple(chain), before, known[-1])
                if known[-1] / before > RESIDUAL_GROWTH and residual.each > RESIDUAL_GROWTH_EACH:
                    residuals.append(residual)
        return residuals

    def mixing_steps(self, growth: Growth) -> list[int]:
        """The steps with kernels between the sources of a stretch and its tensor, in order."""
        return [index for index in self._steps_of(growth) if mixes(self.graph.steps[index])]

    def outweighed_within(self, growth: Growth) -> list[str]:
        """The names of :attr:`outweighed` normalizations in a stretch."""
        among = set(self.outweighed).intersection(self._steps_of(growth))
        return [self.graph.steps[index].name for index in sorted(among)]

    def _steps_of(self, growth: Growth) -> list[int]:
        graph = self.graph
        sources = self.sources[growth.tensor]
        seen: set[int] = set()
        waiting = [growth.tensor]
        while waiting:
            tensor = waiting.pop()
            index = graph.made_by.get(tensor)
            if index is None or index in seen or tensor in sources:
                continue
            seen.add(index)
            waiting += graph.steps[index].inputs
        return sorted(seen)

    def steepest(self, steps: Sequence[int], ratio: float) -> tuple[int, float]:
        """The step that changes the signal most in the direction of a ratio, and its factor.

        It is the first of several steps with nearly the same factor.
        """
        logs = self._log_factors(steps, ratio)
        largest = max(logs.values())
        first = next(index for index in steps if logs[index] > largest - 0.2)
        return first, math.exp(logs[first] if ratio > 1 else -logs[first])

    def is_by_one(self, steps: Sequence[int], ratio: float) -> bool:
        """Whether one of several steps causes nearly all of a ratio."""
        if not 0 < ratio < math.inf or len(steps) < 2:
            return False
        logs = self._log_factors(steps, ratio)
        largest = max(logs.values())
        roles = (self.graph.steps[i].layer.acts_as() for i in steps if logs[i] == largest)
        if "recurs" in roles:
            return False  # Its time steps multiply.
        return abs(math.log(ratio)) - largest < math.log(10)

    def _log_factors(self, steps: Sequence[int], ratio: float) -> dict[int, float]:
        """Logarithm of the factor of each step, positive in the direction of a ratio."""
        sign = 1 if ratio > 1 else -1
        return {index: sign * self._log_factor(index) for index in steps}

    def _log_factor(self, index: int) -> float:
        """Logarithm of the factor by which a step and its activation change the signal's size."""
        activated = self.graph.activated(index)
        step = self.graph.steps[index]
        last = self.graph.steps[activated[1]] if activated else step
        after, before = self.rms(last.outputs[0]), self.rms(step.inputs[0])
        if not after or not before or not math.isfinite(after):
            return 0.0
        return math.log(after / before)

    # Backwards

    @cached_property
    def sensitivities(self) -> list[Sensitivity]:
        """Sensitivity to each tensor of the hidden trunk, in order."""
        graph, sensitivities = self.graph, []
        for tensor in graph.hidden_trunk:
            gradient, figures = self.gradient(tensor), self._figures(tensor)
            if gradient and figures and gradient > 0 and figures[1] > 0:
                root = math.sqrt(math.prod(graph.size(tensor)[1:]))
                sensitivities.append(Sensitivity(tensor, gradient * figures[1] * root))
        return sensitivities

    @cached_property
    def unlike_sensitivities(self) -> list[Sensitivity]:
        """The sensitivities from the one that differs too much from the last, if any."""
        if not self.sensitivities:
            return []
        last = self.sensitivities[-1].size
        ratios = [each.size / last for each in self.sensitivities]
        first = ratios.index(max(ratios))
        steps = sum(map(mixes, self._steps_between(first)))
        if max(ratios) > SENSITIVE or _is_sharp(max(ratios), steps):
            return self.sensitivities[first:]
        if min(ratios) < INSENSITIVE:
            return self.sensitivities[ratios.index(min(ratios)) :]
        return []

    def _steps_between(self, first: int) -> Sequence[Step]:
        """The steps between one of the sensitivities and the last."""
        tensors = (self.sensitivities[first].tensor, self.sensitivities[-1].tensor)
        begin, end = (self.graph.made_by[tensor] for tensor in tensors)
        return self.graph.steps[begin + 1 : end + 1]

    @cached_property
    def chaotic(self) -> dict[int, float]:
        """Recurrent steps whose state amplifies differences in time, with the factor."""
        return {
            index: factor
            for index, factor in self.signal.onsets.items()
            if _is_sharp(factor, self.graph.size(self.graph.steps[index].inputs[0])[1])
        }

    @cached_property
    def forgetful(self) -> dict[int, int]:
        """Recurrent steps whose state forgets too fast, with the time steps within reach."""
        lengths = {
            index: self.graph.size(self.graph.steps[index].inputs[0])[1]
            for index in self.signal.reaches
        }
        return {
            index: int(reach)
            for index, reach in self.signal.reaches.items()
            if reach <= SHORT_REACH and lengths[index] - reach >= OUT_OF_REACH
        }

    @cached_property
    def zeros(self) -> Zeros:
        """The weights that start at 0."""
        return Zeros(self.graph)

    @property
    def starts_at_zero(self) -> bool:
        """Whether weights of zeros block the signal at the first step only."""
        return self.zeros.cuts and not self.zeros.stuck

    @property
    def starts_with_zero_result(self) -> bool:
        """Whether a result's kernel is all 0, so that gradients begin at the second step."""
        graph = self.graph
        return any(
            graph.is_result(index) and any(is_zero(p) and len(p.shape) > 1 for p in step.parameters)
            for index, step in enumerate(graph.steps)
        )


def _is_sharp(ratio: float, steps: int) -> bool:
    """Whether a ratio of sensitivities is too large for the number of steps."""
    return ratio > SHARP and math.log(ratio) > steps * math.log(SHARP_EACH)
