"""Cross moments of the tensors of a program, which are 0 between independent tensors.

A sum over many independent weights is independent of its inputs, and of sums over other weights.
Tensors that the same weights computed are not: E[Wx · Wy] = n Var[w] E[x y], as for two examples of
one tensor (Yang 2019, arXiv:1910.12478). Neither are tensors computed from the same one without
weights, such as a stream and a sum that it entered. A table used in reverse meets the rows that
were looked up; this case is known where the rest of the sums is independent of the table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import msgspec
import numpy as np

from initcli.layers import pooling
from initcli.layers.embedding import ReversibleEmbedding, Table
from initcli.signal.field import Field
from initcli.signal.hermite import products
from initcli.signal.joint import Cross, correlations
from initcli.signal.program import Program, Step
from initcli.signal.rules.base import Context, Met, NoTheory, TwoCalls, rule_of

_MOST_PAIRS = 20_000
"""Pairs of tensors to look at in a program."""
_DEEPEST = 100
"""Steps to follow back from a pair."""
_MOST_WAYS = 64
"""Ways of a gradient to keep apart."""
_ANY = -1
"""The number of a way that is not kept apart from others."""

Ways = frozenset[tuple[str, int]]
"""The ways of a gradient from the results: the layer whose weights it passed last, and a number."""


class Ties:
    """Computes cross moments by following two tensors back to where they part.

    Args:
        program: the steps.
        fields: of the tensors; the caller fills them while it takes the steps.
        context: the context of a step; raises NoTheory.
        allowed: bytes to keep.
    """

    def __init__(
        self,
        program: Program,
        fields: Mapping[int, Field],
        context: Callable[[Step], Context],
        allowed: int,
    ) -> None:
        calls = Counter(step.name for step in program.steps)
        self.used_again = {s.name for s in program.steps if is_weighted(s) and calls[s.name] > 1}
        self.fields, self.context = fields, context
        self.made: dict[int, tuple[int, Step]] = {}
        self.roots: dict[int, frozenset[int]] = {}
        """The outputs of weights with several calls of which each tensor is a function."""
        self.known: dict[tuple[int, int], Cross | NoTheory] = {}
        self.numbers: dict[tuple[str, tuple[str, int]], int] = {}
        """The ways of gradients, by the last weights and the way before them."""
        self.depth = 0
        self.left = allowed

    def take(self, step: Step) -> None:
        """Record the outputs of a step."""
        if step.inputs == step.outputs:
            return
        roots = frozenset[int]().union(*(self.roots.get(each, ()) for each in step.inputs))
        if is_weighted(step):
            roots = frozenset(step.outputs[:1] if step.name in self.used_again else ())
        for output in step.outputs:
            self.made[output] = len(self.made), step
            self.roots[output] = roots

    def with_table(self, step: Step) -> float | None:
        """E[x e] of the entries that return to a table and of the rows that produced them.

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
            raise NoTheory("several rows of a table that return to it")
        cross = self.between(own[0], step.inputs[0]) if own else None
        return None if cross is None else float(cross[0].mean())

    def common(self, step: Step, i: int, j: int) -> Cross:
        """The cross moments of two inputs of a step.

        Raises:
            NoTheory: they are not known.
        """
        earlier, later = sorted((step.inputs[i], step.inputs[j]), key=self._age)
        if later in self.made and is_weighted(self.made[later][1]) and not self.roots[later]:
            # The output of weights with one call is independent of all earlier tensors.
            return None
        return self.between(earlier, later)

    def refuse_tied(self, step: Step) -> None:
        """Raise NoTheory where the same weights computed several inputs of a step."""
        names = [
            name
            for tensor in dict.fromkeys(step.inputs)
            for name in {self._name(root) for root in self.roots.get(tensor, ())}
        ]
        if len(set(names)) < len(names):
            raise NoTheory("inputs that the same weights computed")

    def passed(self, step: Step, before: Ways) -> Ways:
        """The ways of a gradient from the results after it has passed a step."""
        if not is_weighted(step) or not self.used_again:
            return before
        is_fresh = step.name not in self.used_again
        # After weights with one call a gradient is independent of all others.
        if is_fresh or len(before) > _MOST_WAYS or any(self._is_any(way) for way in before):
            return frozenset([(step.name, _ANY)])
        numbers = [self.numbers.setdefault((step.name, way), len(self.numbers)) for way in before]
        return frozenset((step.name, number) for number in numbers or [0])

    def _is_any(self, way: tuple[str, int]) -> bool:
        return way[1] == _ANY and way[0] in self.used_again

    def meet(self, one: Ways, two: Ways) -> bool:
        """Whether gradients with these ways passed the same weights in the same order.

        Other gradients are independent: no weight occurs twice in a product of theirs.
        """
        lasts = {name for name, _ in one} & {name for name, _ in two} & self.used_again
        return any(
            (name, _ANY) in one | two or {way for way in one & two if way[0] == name}
            for name in lasts
        )

    def between(self, one: int, two: int) -> Cross:
        """The cross moments of two tensors.

        Raises:
            NoTheory: they are not known.
        """
        if one == two:
            return self.fields[one].moments
        key = min(one, two), max(one, two)
        if key not in self.known:
            if len(self.known) >= _MOST_PAIRS or self.depth >= _DEEPEST or self.left < 0:
                raise NoTheory("too many dependent tensors")
            self.depth += 1
            try:
                self.known[key] = self._followed(one, two)
            except NoTheory as error:
                self.known[key] = error
            finally:
                self.depth -= 1
            self.left -= getattr(self.known[key], "nbytes", 0)
        cross = self.known[key]
        if isinstance(cross, NoTheory):
            raise cross
        return cross

    def _age(self, tensor: int) -> int:
        """The order in which tensors were computed; inputs come first."""
        return self.made[tensor][0] if tensor in self.made else -1

    def _name(self, tensor: int) -> str:
        return self.made[tensor][1].name

    def _followed(self, one: int, two: int) -> Cross:
        """The cross moments by the inputs of the step that computed the later tensor."""
        one, two = sorted((one, two), key=self._age)
        if two not in self.made:
            return None
        step = self.made[two][1]
        other = self.made[one][1] if one in self.made else None
        if other is not None and other.name == step.name:
            return self._of_calls(other, step)
        if other is not None and _are_twins(step, other):
            return self.fields[two].moments
        if not is_weighted(step):
            return self._through(step, two, one)
        is_tied = any(self._name(root) == step.name for root in self.roots.get(one, ()))
        if other is None or is_weighted(other) or not is_tied:
            return None
        return self._through(other, one, two)

    def _of_calls(self, first: Step, second: Step) -> Cross:
        """The cross moments of the outputs of two calls of a layer."""
        if isinstance(second.layer, Table):
            if first.options != second.options or second.options.get("reverse", False):
                raise NoTheory("a table forwards and in reverse")
            if first.inputs == second.inputs:
                return self.fields[first.outputs[0]].moments
            return np.repeat(self.fields[first.outputs[0]].moments[1:2], 4, 0)
        inputs = [self._known(each.inputs) for each in (first, second)]
        crosses = [[self.between(x, y) for y in second.inputs] for x in first.inputs]
        outputs = [self.fields[each.outputs[0]] for each in (first, second)]
        rule, context = rule_of(second.layer), self.context(second)
        return rule.of_calls(second.layer, context, TwoCalls(inputs, outputs, crosses))

    def _through(self, step: Step, output: int, other: int) -> Cross:
        """The cross moments of the output of a step without weights and another tensor."""
        if output != step.outputs[0]:
            raise NoTheory("further outputs")
        crosses = [self.between(each, other) for each in step.inputs]
        if all(each is None for each in crosses):
            return None
        made, beside, *fields = self._known((output, other, *step.inputs))
        if len(fields) == 1 and fields[0].latent == made.latent and crosses[0] is not None:
            if not made.grid == beside.grid == fields[0].grid:
                raise NoTheory("tensors with different positions")
            rho = correlations(fields[0], beside, crosses[0])
            sizes = np.sqrt(made.second * beside.second)
            return products(made.profile, beside.profile, rho) * sizes
        rule, context = rule_of(step.layer), self.context(step)
        return rule.through(step.layer, context, Met(fields, beside, crosses))

    def _known(self, tensors: tuple[int, ...]) -> list[Field]:
        """The fields of tensors.

        Raises:
            NoTheory: one is not known.
        """
        if any(each not in self.fields for each in tensors):
            raise NoTheory("tensors without a field")
        return [self.fields[each] for each in tensors]


def _are_twins(step: Step, other: Step) -> bool:
    """Whether two steps pool the same tensor in the same way."""
    if not isinstance(step.layer, pooling._Pooling) or step.inputs != other.inputs:
        return False
    one, two = (msgspec.structs.replace(each.layer, name=None) for each in (step, other))
    return one == two


def is_weighted(step: Step) -> bool:
    """Whether a step has a kernel or a table."""
    is_table = isinstance(step.layer, Table)
    return is_table or any(len(parameter.shape) > 1 for parameter in step.parameters)
