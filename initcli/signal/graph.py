"""The graph of a program: predecessors and successors of steps, and the sources of sizes."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from typing import NamedTuple

from initcli.activations import Activation
from initcli.signal.program import Program, Step
from initcli.types import Size


def mixes(step: Step) -> bool:
    """Whether a step computes weighted sums of its input; a table does so only in reverse."""
    is_table = step.layer.acts_as() == "looks_up" and not step.options.get("reverse", False)
    return not is_table and any(parameter.is_summed for parameter in step.parameters)


class Skip(NamedTuple):
    """The inputs of a residual sum: the stream and the output of the branch."""

    carried: int
    end: int


class Graph:
    """The steps of a program, by the tensors that they compute and take."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.steps = program.steps
        self.made_by: dict[int, int] = {}
        """The step that computes each tensor; inputs of the model have none."""
        self.taken_by: dict[int, list[int]] = {}
        """The steps that take each tensor."""
        self.calls = [(i, step) for i, step in enumerate(self.steps) if step.inputs != step.outputs]
        """The steps with their indices, without the inputs of the model."""
        for index, step in self.calls:
            for tensor in step.outputs:
                self.made_by[tensor] = index
            for tensor in step.inputs:
                self.taken_by.setdefault(tensor, []).append(index)

    def size(self, tensor: int) -> Size:
        """The shape of a tensor, batch included."""
        return self.program.shapes[tensor]

    @cached_property
    def steps_of(self) -> dict[str, list[int]]:
        """The steps of each layer, by its name."""
        steps: dict[str, list[int]] = {}
        for index, step in enumerate(self.steps):
            steps.setdefault(step.name, []).append(index)
        return steps

    def successors(self, index: int) -> list[int]:
        """The steps that take the output of a step."""
        return [i for tensor in self.steps[index].outputs for i in self.taken_by.get(tensor, ())]

    def is_result(self, index: int) -> bool:
        """Whether a step computes a result of the model, up to layers without weights."""
        return index in self._results

    @cached_property
    def _results(self) -> set[int]:
        found: set[int] = set()
        for index in reversed(range(len(self.steps))):
            following = self.successors(index)
            if set(self.steps[index].outputs).intersection(self.program.results) or (
                following and all(i in found and self._only_passes_on(i) for i in following)
            ):
                found.add(index)
        return found

    def _only_passes_on(self, index: int) -> bool:
        step = self.steps[index]
        joins = step.layer.acts_as() == "joins"
        return not step.parameters and (len(step.inputs) == 1 or joins)

    def activated(self, index: int) -> tuple[Activation, int] | None:
        """The activation after a step, and the step that applies it.

        None without an activation, or with other layers before it.
        """
        while True:
            step = self.steps[index]
            if (found := step.layer.last_activation) is not None:
                return found, index
            following = self.successors(index)
            if len(following) != 1:
                return None
            (index,) = following
            layer = self.steps[index].layer
            if layer.last_activation is None and layer.acts_as() != "keeps":
                return None
            if mixes(self.steps[index]):
                return None

    @cached_property
    def sources(self) -> list[frozenset[int]]:
        """For each tensor the tensors that its size comes from, with no normalization between.

        These are inputs, outputs of normalizations and tables, and rescaled data.
        """
        return self.sources_past(())

    def sources_past(self, passed: Collection[int]) -> list[frozenset[int]]:
        """The :attr:`sources`, if steps with these indices keep the size of their input."""
        found: list[frozenset[int]] = [frozenset((t,)) for t in range(len(self.program.shapes))]
        data = {each.tensor for each in self.program.inputs}
        for index, step in self.calls:
            is_data = data.issuperset(step.inputs)
            if is_data and not step.parameters:
                data.update(step.outputs)
            if not self._begins(step, is_data) or index in passed:
                from_inputs = frozenset[int]().union(*(found[tensor] for tensor in step.inputs))
                for tensor in step.outputs:
                    found[tensor] = from_inputs
        return found

    def _begins(self, step: Step, is_data: bool) -> bool:
        role = step.layer.acts_as()
        reverse = step.options.get("reverse", False)
        if role == "scales":
            return is_data
        return role == "normalizes" or (role == "looks_up" and not reverse)

    def _breaks(self, step: Step) -> bool:
        """Whether a step ends a chain of layers: a normalization, a sum of branches, or a gate."""
        return self._begins(step, is_data=True) or step.layer.acts_as() in ("multiplies", "adds")

    @cached_property
    def depths(self) -> list[int]:
        """For each tensor the number of mixing steps before it, up to a break."""
        found = [0] * len(self.program.shapes)
        for _, step in self.calls:
            if not self._breaks(step):
                deepest = max((found[tensor] for tensor in step.inputs), default=0)
                for tensor in step.outputs:
                    found[tensor] = deepest + mixes(step)
        return found

    @cached_property
    def heights(self) -> list[int]:
        """For each tensor the number of mixing steps after it, up to a break."""
        found = [0] * len(self.program.shapes)
        for _, step in reversed(self.calls):
            if not self._breaks(step):
                highest = max((found[tensor] for tensor in step.outputs), default=0)
                for tensor in step.inputs:
                    found[tensor] = max(found[tensor], highest + mixes(step))
        return found

    @cached_property
    def normalized_later(self) -> list[bool]:
        """For each tensor whether every path from it to a result passes a normalization."""
        found = [tensor not in self.program.results for tensor in range(len(self.program.shapes))]
        for _, step in reversed(self.calls):
            if step.layer.acts_as() != "normalizes":
                later = all(found[tensor] for tensor in step.outputs)
                for tensor in step.inputs:
                    found[tensor] = found[tensor] and later
        return found

    @cached_property
    def trunk(self) -> list[int]:
        """The tensors that no branch bypasses, in order."""
        last = {t: max(i) for t, i in self.taken_by.items()}
        last |= dict.fromkeys(self.program.results, len(self.steps))
        carried = {source.tensor for source in self.program.inputs}
        alive = {tensor for tensor in carried if tensor in last}
        found: list[int] = sorted(alive) if len(alive) == 1 else []
        for index, step in self.calls:
            # Tensors that depend on no input, such as positions, have no signal.
            if carried.intersection(step.inputs):
                carried.update(step.outputs)
                alive.update(tensor for tensor in step.outputs if tensor in last)
            alive = {tensor for tensor in alive if last[tensor] > index}
            if len(alive) == 1 and found[-1:] != list(alive):
                found += alive
        return found

    @cached_property
    def hidden_trunk(self) -> list[int]:
        """The tensors of the trunk after a layer with weights, without results."""
        weighted: set[int] = set()
        for step in self.steps:
            if step.parameters or not weighted.isdisjoint(step.inputs):
                weighted.update(step.outputs)
        made = [t for t in self.trunk if t in weighted and t in self.made_by]
        return [tensor for tensor in made if not self.is_result(self.made_by[tensor])]

    @cached_property
    def skips(self) -> dict[int, Skip]:
        """Sums that end a residual branch, by their step.

        The stream is the input from which the other input is computed.
        """
        found: dict[int, Skip] = {}
        for index, step in enumerate(self.steps):
            if step.layer.acts_as() != "adds" or len(step.inputs) != 2:
                continue
            one, other = step.inputs
            if self._depends(other, one):
                found[index] = Skip(carried=one, end=other)
            elif self._depends(one, other):
                found[index] = Skip(carried=other, end=one)
        return found

    @cached_property
    def chains(self) -> list[list[int]]:
        """Chains of sums that end residual branches, with no normalization between."""
        chains: dict[frozenset[int], list[int]] = {}
        for index, skip in self.skips.items():
            # A branch with a normalization adds a constant amount instead of a fraction of the sum.
            if self.sources[skip.end] == self.sources[skip.carried]:
                chains.setdefault(self.sources[skip.carried], []).append(index)
        return list(chains.values())

    def _depends(self, tensor: int, on: int) -> bool:
        """Whether one tensor is computed from another."""
        seen, waiting = set(), [tensor]
        while waiting:
            each = waiting.pop()
            if each == on:
                return True
            # Tensors are numbered in the order of computation.
            if each in seen or each < on:
                continue
            seen.add(each)
            if (index := self.made_by.get(each)) is not None:
                waiting += self.steps[index].inputs
        return False
