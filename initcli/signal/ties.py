"""What two tensors of a program have in common.

A sum over many independent weights has nothing in common with its inputs, nor with sums over other
weights. Tensors that the same weights have made do: E[Wx · Wy] = n Var[w] E[x y], as for two
examples of one tensor (Yang 2019, arXiv:1910.12478). So do tensors made from the same one without
weights, such as a stream and a sum that it has entered. A table that is used in reverse meets the
rows that were looked up, and is known where the rest of the sums is independent of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
import numpy as np

from initcli.layers import pooling
from initcli.layers.embedding import ReversibleEmbedding, Table
from initcli.signal.field import Field
from initcli.signal.hermite import products
from initcli.signal.joint import Common, correlations
from initcli.signal.program import Program, Step
from initcli.signal.rules.base import Context, NoTheory, rule_of

_MOST_PAIRS = 20_000
"""Pairs of tensors that are looked at in a program."""
_DEEPEST = 100
"""Steps that are followed back from a pair."""
_MOST_WAYS = 64
"""Ways of a gradient that are told apart."""
_ANY = -1
"""The number of a way that is not told from others."""

Ways = frozenset[tuple[str, int]]
"""The ways of a gradient: for each the weights it has passed last, and a number."""


class Ties:
    """Finds what tensors have in common, by following both back to where they part.

    Args:
        program: the steps.
        fields: of the tensors, filled as the steps are taken.
        context: what the rule of a step knows of it; raises NoTheory.
        allowed: bytes to keep.
    """

    def __init__(
        self,
        program: Program,
        fields: Mapping[int, Field],
        context: Callable[[Step], Context],
        allowed: int,
    ) -> None:
        calls: dict[str, int] = {}
        for step in program.steps:
            calls[step.name] = calls.get(step.name, 0) + 1
        self.used_again = {s.name for s in program.steps if mixes(s) and calls[s.name] > 1}
        self.fields, self.context = fields, context
        self.made: dict[int, tuple[int, Step]] = {}
        self.roots: dict[int, frozenset[int]] = {}
        """The tensors made by weights that are used again, of which a tensor is a function."""
        self.known: dict[tuple[int, int], Common | NoTheory] = {}
        self.numbers: dict[tuple[str, tuple[str, int]], int] = {}
        """The ways of gradients, by the last weights and the way before."""
        self.depth = 0
        self.left = allowed

    def take(self, step: Step) -> None:
        """Record what a step makes."""
        if step.inputs == step.outputs:
            return
        roots = frozenset[int]().union(*(self.roots.get(each, ()) for each in step.inputs))
        if mixes(step):
            roots = frozenset(step.outputs[:1] if step.name in self.used_again else ())
        for output in step.outputs:
            self.made[output] = len(self.made), step
            self.roots[output] = roots

    def with_table(self, step: Step) -> float | None:
        """E[x e] of the entries that return to a table and those of the row that made them.

        None where they do not return to their table.

        Raises:
            NoTheory: it is not known.
        """
        layer = step.layer
        if not isinstance(layer, ReversibleEmbedding) or not step.options.get("reverse", False):
            return None
        if not layer.tie_weights:
            return None
        own = [each for each in self.roots.get(step.inputs[0], ()) if self._name(each) == step.name]
        if len(own) > 1:
            raise NoTheory("what returns to a table depends on it")
        common = self.between(own[0], step.inputs[0]) if own else None
        return None if common is None else float(common[0].mean())

    def common(self, step: Step, i: int, j: int) -> Common:
        """What two inputs of a step have in common.

        Raises:
            NoTheory: it is not known.
        """
        earlier, later = sorted((step.inputs[i], step.inputs[j]), key=self._age)
        if later in self.made and mixes(self.made[later][1]) and not self.roots[later]:
            # What fresh weights have made is independent of all that was there before.
            return None
        return self.between(earlier, later)

    def refuse_tied(self, step: Step) -> None:
        """Raise NoTheory where a step takes tensors that the same weights made."""
        names = [
            name
            for tensor in dict.fromkeys(step.inputs)
            for name in {self._name(root) for root in self.roots.get(tensor, ())}
        ]
        if len(set(names)) < len(names):
            raise NoTheory("what the same weights have made is not independent")

    def passed(self, step: Step, before: Ways) -> Ways:
        """The ways of a gradient from the results, once it has passed a step."""
        if not mixes(step) or not self.used_again:
            return before
        is_fresh = step.name not in self.used_again
        # What fresh weights have passed on is independent of all else, whatever its way was.
        if is_fresh or len(before) > _MOST_WAYS or any(self._is_any(way) for way in before):
            return frozenset([(step.name, _ANY)])
        numbers = [self.numbers.setdefault((step.name, way), len(self.numbers)) for way in before]
        return frozenset((step.name, number) for number in numbers or [0])

    def _is_any(self, way: tuple[str, int]) -> bool:
        return way[1] == _ANY and way[0] in self.used_again

    def meet(self, one: Ways, two: Ways) -> bool:
        """Whether gradients that came these ways have passed the same weights in the same order.

        Others are independent: weights pair up in no product of theirs.
        """
        lasts = {name for name, _ in one} & {name for name, _ in two} & self.used_again
        return any(
            (name, _ANY) in one | two or {way for way in one & two if way[0] == name}
            for name in lasts
        )

    def between(self, one: int, two: int) -> Common:
        """E[x y] of two tensors, as :data:`Common` has it.

        Raises:
            NoTheory: it is not known.
        """
        if one == two:
            return self.fields[one].moments
        key = min(one, two), max(one, two)
        if key not in self.known:
            if len(self.known) >= _MOST_PAIRS or self.depth >= _DEEPEST or self.left < 0:
                raise NoTheory("too many tensors that depend on one another")
            self.depth += 1
            try:
                self.known[key] = self._followed(one, two)
            except NoTheory as error:
                self.known[key] = error
            finally:
                self.depth -= 1
            self.left -= getattr(self.known[key], "nbytes", 0)
        common = self.known[key]
        if isinstance(common, NoTheory):
            raise common
        return common

    def _age(self, tensor: int) -> int:
        """Where among the steps it was made; before all of them, if it is an input."""
        return self.made[tensor][0] if tensor in self.made else -1

    def _name(self, tensor: int) -> str:
        return self.made[tensor][1].name

    def _followed(self, one: int, two: int) -> Common:
        """By what both are made of, the later one first."""
        one, two = sorted((one, two), key=self._age)
        if two not in self.made:
            return None
        step = self.made[two][1]
        other = self.made[one][1] if one in self.made else None
        if other is not None and other.name == step.name:
            return self._of_calls(other, step)
        if other is not None and _are_twins(step, other):
            return self.fields[two].moments
        if not mixes(step):
            return self._through(step, two, one)
        is_tied = any(self._name(root) == step.name for root in self.roots.get(one, ()))
        if other is None or mixes(other) or not is_tied:
            return None
        return self._through(other, one, two)

    def _of_calls(self, first: Step, second: Step) -> Common:
        """Of the outputs of two calls of a layer."""
        if isinstance(second.layer, Table):
            if first.options != second.options or second.options.get("reverse", False):
                raise NoTheory("a table forwards and in reverse")
            if first.inputs == second.inputs:
                return self.fields[first.outputs[0]].moments
            return np.repeat(self.fields[first.outputs[0]].moments[1:2], 4, 0)
        if any(each not in self.fields for step in (first, second) for each in step.inputs):
            raise NoTheory("tensors of which nothing is known")
        crosses = [[self.between(x, y) for y in second.inputs] for x in first.inputs]
        outputs = [self.fields[each.outputs[0]] for each in (first, second)]
        pairs = [[self.fields[x] for x in each.inputs] for each in (first, second)]
        rule = rule_of(second.layer)
        return rule.of_calls(second.layer, self.context(second), pairs, outputs, crosses)

    def _through(self, step: Step, output: int, other: int) -> Common:
        """Of the output of a step without weights, and of another tensor."""
        if output != step.outputs[0]:
            raise NoTheory("further outputs")
        crosses = [self.between(each, other) for each in step.inputs]
        if all(each is None for each in crosses):
            return None
        if any(each not in self.fields for each in (*step.inputs, output, other)):
            raise NoTheory("tensors of which nothing is known")
        fields = [self.fields[each] for each in step.inputs]
        made, beside = self.fields[output], self.fields[other]
        if len(fields) == 1 and fields[0].latent == made.latent and crosses[0] is not None:
            if not made.grid == beside.grid == fields[0].grid:
                raise NoTheory("tensors at other positions than one another")
            rho = correlations(fields[0], beside, crosses[0])
            sizes = np.sqrt(made.second * beside.second)
            return products(made.profile, beside.profile, rho) * sizes
        rule, context = rule_of(step.layer), self.context(step)
        return rule.through(step.layer, context, fields, beside, crosses)


def _are_twins(step: Step, other: Step) -> bool:
    """Whether two steps pool the same tensor in the same way."""
    if not isinstance(step.layer, pooling._Pooling) or step.inputs != other.inputs:
        return False
    one, two = (msgspec.structs.replace(each.layer, name=None) for each in (step, other))
    return one == two


def mixes(step: Step) -> bool:
    """Whether a step sums entries up with weights of its own, or looks them up."""
    is_table = isinstance(step.layer, Table)
    return is_table or any(len(parameter.shape) > 1 for parameter in step.parameters)
