"""What tensors have in common because weights are used more than once.

Weights that are used twice make two tensors that depend on one another, and a table that is used
forwards and in reverse meets the rows that were looked up. A sum over many independent weights has
nothing in common with its inputs. That is so, to leading order in the width, of the same kernel
again, but not of its transpose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from initcli.layers import merging
from initcli.layers.embedding import ReversibleEmbedding, Table
from initcli.signal.field import Field
from initcli.signal.program import Program, Step
from initcli.signal.rules.base import NoTheory, rule_of

Common = Mapping[int, float | None]
"""E[x y] of a tensor's entries x and those y of another, by the number of that one; None where it
is not known. A tensor that is missing has nothing in common."""


class Ties:
    """Tracks what tensors have in common with those made by weights that are used again."""

    def __init__(self, program: Program) -> None:
        calls: dict[str, int] = {}
        for step in program.steps:
            calls[step.name] = calls.get(step.name, 0) + _mixes(step)
        self.used_again = {name for name, count in calls.items() if count > 1}
        self.common: dict[int, Common] = {}
        self.made_by: dict[int, str] = {}
        """The layers whose weights are used again, by the tensors that they made."""

    def of(self, tensor: int) -> Common:
        """What a tensor has in common with others."""
        return self.common.get(tensor, {})

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
        own = self.of(step.inputs[0])
        values = [value for made, value in own.items() if self.made_by[made] == step.name]
        if None in values or len(values) > 1:
            raise NoTheory("what returns to a table depends on it")
        return values[0] if values else None

    def refuse_joined(self, step: Step, fields: Sequence[Field]) -> None:
        """Raise NoTheory where a step joins tensors that the same weights made.

        Entries that are functions of the same normal numbers are joined as such.
        """
        if len(step.inputs) < 2 or isinstance(step.layer, merging.Concatenate):
            return
        if len({each.latent for each in fields}) == 1:
            return
        weights = [
            name
            for tensor in dict.fromkeys(step.inputs)
            for name in {self.made_by[made] for made in self.of(tensor)}
        ]
        if len(set(weights)) < len(weights):
            raise NoTheory("what the same weights have made is not independent")

    def passed(self, step: Step, before: frozenset[str]) -> frozenset[str]:
        """The weights used again on which a gradient depends, once it has passed a step."""
        return frozenset({step.name} & self.used_again) if _mixes(step) else before

    def take(self, step: Step, fields: Mapping[int, Field]) -> None:
        """Record what the output of a step has in common with others."""
        output = step.outputs[0]
        field = fields.get(output)
        if field is None or not self.used_again or step.inputs == step.outputs:
            return
        if _mixes(step):
            if step.name in self.used_again:
                self.made_by[output] = step.name
                self.common[output] = {output: float(field.second.mean())}
            return
        given = [self.of(tensor) for tensor in step.inputs]
        if any(given):
            inputs = [fields[tensor] for tensor in step.inputs if tensor in fields]
            is_known = len(inputs) == len(step.inputs)
            factors = rule_of(step.layer).kept(step.layer, inputs, field) if is_known else None
            self.common[output] = {
                made: _combined([each.get(made, 0.0) for each in given], factors)
                for made in dict.fromkeys(made for each in given for made in each)
            }


def _mixes(step: Step) -> bool:
    is_table = isinstance(step.layer, Table)
    return is_table or any(len(parameter.shape) > 1 for parameter in step.parameters)


def _combined(values: Sequence[float | None], factors: Sequence[float] | None) -> float | None:
    if factors is None or None in values:
        return None
    return sum(
        factor * value for value, factor in zip(values, factors, strict=True) if value is not None
    )
