"""What tensors have in common because weights are used again.

Weights that are used twice make two tensors that depend on one another, and a table that is used
forwards and backwards meets the rows that it was asked for. What has been through a kernel of its
own has nothing in common with what was before, as the sum over many independent weights tells.
So does what has been through the same kernel once more, to leading order in the width, but not what
has been through its transpose.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from initcli.layers import applications, merging, regularization
from initcli.layers.embedding import ReversibleEmbedding, Table
from initcli.layers.operations import Operation
from initcli.signal.field import NODES, WEIGHTS, Field
from initcli.signal.program import Program, Step
from initcli.signal.rules.base import NoTheory

Common = Mapping[int, float | None]
"""E[x y] of a tensor's entries x and those y of another, by the number of that; None where it is
not known. What stands in no such mapping has nothing in common."""

_KEEPING_MEANS = (
    regularization.Dropout,
    regularization._SpatialDropout,
    regularization.GaussianDropout,
    regularization.GaussianNoise,
    applications.StochasticDepth,
)
_SIGNS: dict[str, tuple[float, float]] = {"Add": (1.0, 1.0), "Subtract": (1.0, -1.0)}


class Ties:
    """Keeps what each tensor has in common with those that weights made that are used again."""

    def __init__(self, program: Program) -> None:
        calls: dict[str, int] = {}
        for step in program.steps:
            calls[step.name] = calls.get(step.name, 0) + _mixes(step)
        self.again = {name for name, count in calls.items() if count > 1}
        self.common: dict[int, Common] = {}
        self.made_with: dict[int, str] = {}
        """The layers of those weights, by the tensors that they made."""

    def of(self, tensor: int) -> Common:
        """What a tensor has in common with others."""
        return self.common.get(tensor, {})

    def with_table(self, step: Step) -> float | None:
        """E[x e] of the entries that flow back into a table, and those of the row that made them.

        None where it does not go back into the table that it came from.

        Raises:
            NoTheory: it is not known.
        """
        layer = step.layer
        if not isinstance(layer, ReversibleEmbedding) or not step.options.get("reverse", False):
            return None
        if not layer.tie_weights:
            return None
        own = self.of(step.inputs[0])
        found = [value for made, value in own.items() if self.made_with[made] == step.name]
        if None in found or len(found) > 1:
            raise NoTheory("what flows back into a table depends on it")
        return found[0] if found else None

    def refuse_joined(self, step: Step, fields: Sequence[Field]) -> None:
        """Raise NoTheory where a step joins what the same weights have made.

        Entries that are functions of the same normal numbers are joined as such.
        """
        if len(step.inputs) < 2 or isinstance(step.layer, merging.Concatenate) or not self.again:
            return
        if len({each.latent for each in fields}) == 1:
            return
        seen: set[str] = set()
        for tensor in dict.fromkeys(step.inputs):
            weights = {self.made_with[made] for made in self.of(tensor)}
            if seen.intersection(weights):
                raise NoTheory("what the same weights have made is not independent")
            seen.update(weights)

    def passed(self, step: Step, before: frozenset[str]) -> frozenset[str]:
        """The weights used again that a gradient depends on once it has come through a step."""
        if _mixes(step):
            return frozenset({step.name} & self.again)
        return before

    def take(self, step: Step, fields: Mapping[int, Field]) -> None:
        """Keep what the output of a step has in common with others."""
        output = step.outputs[0]
        field = fields.get(output)
        if field is None or not self.again or step.inputs == step.outputs:
            return
        if _mixes(step):
            if step.name in self.again:
                self.made_with[output] = step.name
                self.common[output] = {output: float(field.second.mean())}
            return
        given = [self.of(tensor) for tensor in step.inputs]
        if any(given):
            shares = self._shares(step, fields, field)
            self.common[output] = {
                made: _weighted([each.get(made, 0.0) for each in given], shares)
                for made in dict.fromkeys(made for each in given for made in each)
            }

    def _shares(
        self, step: Step, fields: Mapping[int, Field], field: Field
    ) -> Sequence[float] | None:
        """How much of each input's E[x y] the output has; None where that is not known."""
        layer, given = step.layer, [fields.get(tensor) for tensor in step.inputs]
        if len(given) == 1 and given[0] is not None:
            if isinstance(layer, _KEEPING_MEANS):
                return [1.0]
            before = _linear(given[0])
            # A function of normal numbers has in common with others what is linear in them.
            is_same = field.latent == given[0].latent and field.grid == given[0].grid
            return [_linear(field) / before] if is_same and before else None
        function = layer.function if isinstance(layer, Operation) else layer.type_name
        if any(each is None or each.grid != field.grid for each in given):
            return None
        if function == "Average":
            return [1 / len(given)] * len(given)
        if function in _SIGNS:
            first, other = _SIGNS[function]
            return [first, *[other] * (len(given) - 1)]
        return None


def _mixes(step: Step) -> bool:
    is_table = isinstance(step.layer, Table)
    return is_table or any(len(parameter.shape) > 1 for parameter in step.parameters)


def _linear(field: Field) -> float:
    """E[x z] of an entry and the normal number behind it."""
    return math.sqrt(float(field.second.mean())) * float(WEIGHTS @ (NODES * field.profile))


def _weighted(values: Sequence[float | None], shares: Sequence[float] | None) -> float | None:
    if shares is None:
        return None
    total = 0.0
    for value, share in zip(values, shares, strict=True):
        if value is None:
            return None
        total += share * value
    return total
