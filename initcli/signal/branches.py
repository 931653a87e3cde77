"""The residual branches of a graph: the stream of each sum, and the last weights of a branch."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator
from typing import NamedTuple

from initcli import distributions
from initcli.layers import applications, core, images, merging, operations
from initcli.layers.base import Layer
from initcli.parameter import Parameter
from initcli.signal.graph import Graph, mixes
from initcli.signal.program import Step
from initcli.signal.zeros import SCALES
from initcli.types import CODES

_LONGEST = 1000
"""The largest number of steps of a branch."""
_MOST_INPUTS = 8
"""The largest number of inputs of a residual sum."""


class Kernel(NamedTuple):
    """A kernel, and the step that has it."""

    step: int
    parameter: Parameter


class Branch(NamedTuple):
    """One branch of a residual sum: stream · x + factor · branch(x).

    Args:
        sum: the step that adds.
        fork: the tensor x.
        kernels: the kernels of the branch that are not its last.
        last: the kernels that determine the size of its output, times ``factor``; none if a
            normalization follows them, or if they are not known.
        factor: product of the constants that multiply its output; None if that is not known.
        scale: the learned scale, or the gamma of a normalization, among these.
        stream: product of the constants that multiply the stream.
    """

    sum: int
    fork: int
    kernels: tuple[Kernel, ...]
    last: tuple[Kernel, ...]
    factor: float | None
    scale: Kernel | None
    stream: float

    @property
    def is_zero(self) -> bool:
        """Whether it starts at 0."""
        return self.factor == 0 or (
            bool(self.last) and all(constant(each.parameter) == 0 for each in self.last)
        )


def branches(graph: Graph) -> list[Branch]:
    """All residual branches that contain no other branch, in the order of their sums."""
    found: list[Branch] = []
    sums: set[int] = set()
    for index, step in enumerate(graph.steps):
        if not _adds(step) or not 2 <= len(step.inputs) <= _MOST_INPUTS:
            continue
        for carried, fork, ends in _forks(graph, step):
            sums.add(index)
            for end in ends:
                inside = _between(graph, fork, end)
                if inside and not sums.intersection(inside):
                    found.append(_branch(graph, index, carried, fork, end, inside))
    # Without kernels, such as an embedding of positions, it is not a branch.
    return [each for each in found if each.kernels or each.last]


def streams(graph: Graph, found: Collection[Branch]) -> list[list[Branch]]:
    """The branches of each stream; other layers may interrupt a stream."""
    groups: dict[int, list[Branch]] = {}
    sums = {each.sum for each in found}
    group_of: dict[int, int] = {}
    for each in found:
        origin = _origin(graph, each.fork, sums)
        group_of.setdefault(each.sum, group_of.get(origin, each.sum))
        groups.setdefault(group_of[each.sum], []).append(each)
    return list(groups.values())


def constant(parameter: Parameter) -> float | None:
    """The value of all entries of a parameter; None if they are drawn or not known."""
    distribution = parameter.distribution
    return distribution.value if isinstance(distribution, distributions.Constant) else None


def _origin(graph: Graph, tensor: int, sums: set[int]) -> int:
    """The last residual sum before a tensor; −1 without one."""
    before: int | None = tensor
    while before is not None and (index := graph.made_by.get(before)) is not None:
        if index in sums:
            return index
        before = _meeting(graph, set(graph.steps[index].inputs))
    return -1


def _adds(step: Step) -> bool:
    layer = step.layer
    if isinstance(layer, operations.Operation):
        return layer.function == "Add"
    return isinstance(layer, merging.Add | applications.CustomScaleLayer)


def _forks(graph: Graph, step: Step) -> Iterator[tuple[int, int, list[int]]]:
    """The stream of a sum, the tensor where branches part from it, and the branches' outputs."""
    inputs = list(dict.fromkeys(step.inputs))
    for carried in inputs:
        others = [each for each in inputs if each != carried]
        fork = _unscaled(graph, carried)[0]
        if others and all(_between(graph, fork, each) for each in others):
            yield carried, fork, others
            return
    meeting = _meeting(graph, inputs) if len(inputs) == 2 else None
    if meeting is not None:
        # A shortcut with one kernel or a pooling, if the branch changes the shape.
        counts = [_kernels_between(graph, meeting, each) for each in inputs]
        if min(counts) <= 1 and min(counts) < max(counts):
            carried, end = inputs if counts[0] < counts[1] else inputs[::-1]
            yield carried, meeting, [end]


def _unscaled(graph: Graph, tensor: int) -> tuple[int, float]:
    """The tensor of which a tensor is a multiple, and the factor."""
    factor = 1.0
    while (index := graph.made_by.get(tensor)) is not None:
        step = graph.steps[index]
        if (own := _multiple(step.layer)) is None or len(step.inputs) != 1:
            break
        factor *= own
        tensor = step.inputs[0]
    return tensor, factor


def _multiple(layer: Layer) -> float | None:
    """The constant by which a layer multiplies; None for other layers."""
    if isinstance(layer, images.Rescaling):
        is_plain = isinstance(layer.scale, int | float) and layer.offset == 0
        return float(layer.scale) if is_plain else None  # type: ignore[arg-type]
    return 1.0 if layer.acts_as() == "keeps" or isinstance(layer, core.Identity) else None


def _meeting(graph: Graph, tensors: Collection[int]) -> int | None:
    """The last tensor on all paths to some tensors."""
    waiting = sorted(-each for each in tensors)
    for _ in range(_LONGEST if waiting else 0):
        tensor = -heapq.heappop(waiting)
        while waiting and waiting[0] == -tensor:
            heapq.heappop(waiting)
        if not waiting:
            return tensor
        if (index := graph.made_by.get(tensor)) is None:
            return None
        for each in graph.steps[index].inputs:
            heapq.heappush(waiting, -each)
    return None


def _between(graph: Graph, fork: int, end: int) -> list[int]:
    """The steps between two tensors; none if they are too many."""
    seen: set[int] = set()
    waiting = [end]
    while waiting:
        if len(seen) > _LONGEST:
            return []
        tensor = waiting.pop()
        made_by = graph.made_by.get(tensor)
        # Tensors are numbered in the order of computation.
        if made_by is None or made_by in seen or tensor <= fork:
            continue
        seen.add(made_by)
        waiting += graph.steps[made_by].inputs
    reached, inside = {fork}, []
    for index in sorted(seen):
        if reached.intersection(graph.steps[index].inputs):
            reached.update(graph.steps[index].outputs)
            inside.append(index)
    return inside


def _kernels_between(graph: Graph, fork: int, end: int) -> int:
    return sum(mixes(graph.steps[index]) for index in _between(graph, fork, end))


class _End(NamedTuple):
    """The end of a branch, as in :class:`Branch`."""

    last: tuple[Kernel, ...] = ()
    factor: float | None = None
    scale: Kernel | None = None


def _branch(
    graph: Graph, index: int, carried: int, fork: int, end: int, inside: list[int]
) -> Branch:
    found = _end(graph, end, set(inside))
    layer = graph.steps[index].layer
    if isinstance(layer, applications.CustomScaleLayer) and found.factor is not None:
        found = found._replace(factor=found.factor * layer.scale)
    ends = {each.parameter.path for each in found.last}
    kernels = (each for i in inside for each in _kernels(graph, i))
    return Branch(
        sum=index,
        fork=fork,
        kernels=tuple(each for each in kernels if each.parameter.path not in ends),
        stream=_unscaled(graph, carried)[1],
        **found._asdict(),
    )


def _end(graph: Graph, tensor: int, inside: set[int]) -> _End:
    """The end of the branch with this output, back to the last kernels or normalization."""
    factor, scale = 1.0, None
    while (index := graph.made_by.get(tensor)) in inside and index is not None:
        step = graph.steps[index]
        role = step.layer.acts_as()
        if role == "recurs":
            break
        if role == "normalizes" or isinstance(
            step.layer, applications.LayerScale | applications.Scale
        ):
            own = next((p for p in step.parameters if p.name in SCALES), None)
            value = 1.0 if own is None else constant(own)
            if value is None:
                break
            factor *= value
            scale = scale if own is None or value == 1 else Kernel(index, own)
            if role == "normalizes":
                return _End((), factor, scale)
        elif mixes(step):
            kernels = _kernels(graph, index)
            return _End(tuple(kernels[-1:]), factor, scale) if kernels else _End()
        elif role == "adds":
            parts = [_end(graph, each, inside) for each in step.inputs]
            if not all(part.last and part.factor == 1 for part in parts):
                break
            return _End(tuple(each for part in parts for each in part.last), factor, scale)
        elif role == "multiplies":
            parts = [_end(graph, each, inside) for each in step.inputs]
            return next((part for part in parts if part.factor == 0), _End())
        elif len(set(step.inputs)) != 1 or step.parameters:
            break
        else:
            own_factor = _multiple(step.layer)
            if own_factor is None and isinstance(step.layer, images.Rescaling):
                break
            factor *= 1.0 if own_factor is None else own_factor
        tensor = step.inputs[0]
    return _End()


def _kernels(graph: Graph, index: int) -> list[Kernel]:
    """The kernels of a step; the last one computes its output."""
    step = graph.steps[index]
    if not mixes(step):
        return []
    return [Kernel(index, each) for each in step.parameters if _is_kernel(each)]


def _is_kernel(parameter: Parameter) -> bool:
    if parameter.contracts is None:
        return parameter.argument == "kernel_initializer"
    return bool(parameter.contracts) and parameter.dtype not in CODES
