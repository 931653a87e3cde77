"""Stretches: layers in a row with no normalization between, and how a signal grows over them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from initcli.checks.evidence import Evidence
from initcli.checks.graph import Graph, mixes
from initcli.checks.scales import Solved

SMALL = 1e-4
"""The share of a signal from which on too little of it is left."""
LARGE = 1e3
"""How many times a signal may grow."""
INSENSITIVE = 1e-4
"""The share of a relative change from which on too little of it is left."""
SENSITIVE = 1e4
"""How many times a relative change may grow."""
SHORT = 3
"""Layers from which on what one does adds up."""


class Growth(NamedTuple):
    """How much larger a tensor is than that from which its size comes."""

    tensor: int
    before: float
    after: float

    @property
    def ratio(self) -> float:
        """How many times larger."""
        return self.after / self.before


def growths(evidence: Evidence) -> dict[frozenset[int], Growth]:
    """Of each stretch the place where what layers take is furthest from what flows into it.

    The root mean squares of tensors are compared, and of several sources that which is nearest.
    """
    graph = evidence.graph
    found: dict[frozenset[int], Growth] = {}
    if graph is None or evidence.signal is None:
        return found
    for tensor in _taken(graph):
        after = evidence.rms(tensor)
        before = (evidence.rms(source) for source in graph.sources[tensor])
        each = [Growth(tensor, size, after) for size in before if size and after is not None]
        if not each:
            continue
        nearest = min(each, key=_far)
        if tensor in graph.program.results and nearest.ratio < 1:
            # A last layer may start as small as anyone likes.
            continue
        key = graph.sources[tensor]
        if key not in found or _far(nearest) > _far(found[key]):
            found[key] = nearest
    return found


def _far(growth: Growth) -> float:
    """How far a ratio is from 1, as the size of its logarithm."""
    ratio = growth.ratio
    return abs(math.log(ratio)) if 0 < ratio < math.inf else math.inf


def _taken(graph: Graph) -> list[int]:
    """Tensors that layers with kernels take, and results."""
    found = dict.fromkeys(t for step in graph.steps if mixes(step) for t in step.inputs)
    return list(found | dict.fromkeys(graph.program.results))


class Relative(NamedTuple):
    """How much a relative change of a tensor of the trunk matters to the results.

    It is the size of the gradient times the spread of the entries, √(Σ g²) · std, so that neither
    the size of the signal nor that of the layer matters.
    """

    tensor: int
    size: float


def sensitivities(evidence: Evidence) -> list[Relative]:
    """The sensitivity to each tensor of the trunk, but for data and results."""
    graph = evidence.graph
    if graph is None or evidence.signal is None:
        return []
    found = []
    for tensor in graph.trunk:
        index = graph.made_by.get(tensor)
        if index is None or graph.is_result(index) or not _is_hidden(graph, tensor):
            continue
        gradient, std = evidence.gradient(tensor), evidence.std(tensor)
        if gradient is None or std is None or not gradient > 0 or not std > 0:
            continue
        root = math.sqrt(math.prod(graph.size(tensor)[1:]))
        found.append(Relative(tensor, gradient * std * root))
    return found


def _is_hidden(graph: Graph, tensor: int) -> bool:
    """Whether some layer with weights has made it."""
    seen, waiting = set(), [tensor]
    while waiting:
        index = graph.made_by.get(waiting.pop())
        if index is None or index in seen:
            continue
        seen.add(index)
        if graph.steps[index].parameters:
            return True
        waiting += graph.steps[index].inputs
    return False


def between(graph: Graph, tensor: int, sources: frozenset[int]) -> list[int]:
    """The mixing steps that lead from a stretch's sources to a tensor, in order."""
    seen: set[int] = set()
    waiting = [tensor]
    while waiting:
        each = waiting.pop()
        index = graph.made_by.get(each)
        if index is None or index in seen or each in sources:
            continue
        seen.add(index)
        waiting += graph.steps[index].inputs
    return sorted(index for index in seen if mixes(graph.steps[index]))


def furthest_step(evidence: Evidence, indices: list[int], upwards: bool) -> int:
    """Of some steps the one that makes its input grow the most, or shrink."""
    factors = {index: _factor(evidence, index) * (1 if upwards else -1) for index in indices}
    # Of several that do as much, the first.
    best = max(factors.values())
    return next(index for index in indices if factors[index] > best - 0.2)


def is_by_one(evidence: Evidence, indices: list[int], ratio: float) -> bool:
    """Whether a signal grows or shrinks that much at one step of several, and hardly elsewhere."""
    if not 0 < ratio < math.inf or len(indices) < 2:
        return False
    sign = 1 if ratio > 1 else -1
    factors = {index: _factor(evidence, index) * sign for index in indices}
    most = max(factors.values())
    assert evidence.graph is not None
    largest = (evidence.graph.steps[i].layer for i in indices if factors[i] == most)
    if any(layer.acts_as() == "recurs" for layer in largest):
        # Its own steps multiply.
        return False
    return abs(math.log(ratio)) - most < math.log(10)


def _factor(evidence: Evidence, index: int) -> float:
    """The logarithm of how much a step and its activation make the signal grow."""
    graph = evidence.graph
    assert graph is not None
    found = graph.activated(index)
    step, last = graph.steps[index], graph.steps[found[1] if found else index]
    after, before = evidence.rms(last.outputs[0]), evidence.rms(step.inputs[0])
    if not after or not before or not math.isfinite(after):
        return 0.0
    return math.log(after / before)


def without_scale(what: str, unstable: Sequence[Solved], other: str) -> str:
    """What to change of layers through which no scale keeps something."""
    return (
        f"no scale keeps {what} through {len(unstable)} layers of {unstable[0].activation}: take "
        f"another activation, such as tanh or relu, or {other}"
    )
