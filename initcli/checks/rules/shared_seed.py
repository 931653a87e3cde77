"""I102: tensors that are identical because they share a seed."""

from __future__ import annotations

from collections.abc import Iterator

from initcli import laws
from initcli.checks.base import Check, Problem
from initcli.checks.evidence import Evidence
from initcli.parameter import Parameter
from initcli.spec.model import BuiltLayer


class SharedSeed(Check):
    """Tensors of one shape whose initializers have the same seed of their own are identical.

    A seed makes an initializer repeat itself: in Keras, and here, one that has a seed of its own
    gives the same numbers wherever it is used. Two layers of the same shape then start as copies of
    one another (or as multiples, where only their scales differ), although they were meant to be
    independent. Everything that theory says of many random layers supposes that they are.

    One seed for the whole model, in the spec's key `seed`, does not do that: every tensor draws
    from a stream of its own, which depends on its path.
    """

    code = "I102"
    name = "shared-seed"
    why = (
        "an initializer with a seed returns the same values for the same shape each time it is "
        "called (tensorflow/tensorflow#62577; keras-team/keras-hub#352)"
    )
    triggers = """\
input_shape: [64]
layers:
  - {type: Dense, units: 64, activation: relu, kernel_initializer: {type: HeNormal, seed: 1}}
  - {type: Dense, units: 64, activation: relu, kernel_initializer: {type: HeNormal, seed: 1}}
  - {type: Dense, units: 10}
"""
    passes = """\
input_shape: [64]
layers:
  - {type: Dense, units: 64, activation: relu, kernel_initializer: {type: HeNormal, seed: 1}}
  - {type: Dense, units: 64, activation: relu, kernel_initializer: {type: HeNormal, seed: 2}}
  - {type: Dense, units: 10, kernel_initializer: {type: HeNormal, seed: 1}}
"""

    def problems(self, evidence: Evidence) -> Iterator[Problem]:
        first: dict[object, Parameter] = {}
        taken = {getattr(p.initializer, "seed", None) for _, p in evidence.parameters}
        free = 0
        for layer, parameter in evidence.parameters:
            law, seed = parameter.law, getattr(parameter.initializer, "seed", None)
            if seed is None or isinstance(law, laws.Constant):
                continue
            family = type(parameter.initializer) if law is None else type(law)
            key = (seed, parameter.shape, parameter.dtype, family)
            other = first.setdefault(key, parameter)
            if other is parameter:
                continue
            while free in taken:
                free += 1
            taken.add(free)
            yield self._problem(evidence, layer, parameter, other, free)

    @staticmethod
    def _problem(
        evidence: Evidence, layer: BuiltLayer, parameter: Parameter, other: Parameter, free: int
    ) -> Problem:
        seed = getattr(parameter.initializer, "seed", None)
        same = parameter.law == other.law
        what = "is identical to" if same else "is a multiple of"
        repeats = evidence.path(layer, parameter) == _path_of(evidence, other)
        value = {"type": parameter.initializer.type_name, **parameter.initializer.arguments}
        value.pop("unit_forget_bias", None)
        value.pop("per_gate", None)
        if repeats:
            # Layers of one block are written once, and are told apart by their streams alone.
            value.pop("seed", None)
        else:
            value["seed"] = free
        is_spoken = parameter.law is not None
        return evidence.problem(
            layer,
            parameter,
            message=f"{parameter.path} {what} {other.path}: both are drawn with seed {seed}",
            remedy=evidence.written(parameter, value)
            if is_spoken
            else "give the two functions seeds of their own",
            changes=evidence.change(layer, parameter, value) if is_spoken else (),
        )


def _path_of(evidence: Evidence, parameter: Parameter) -> tuple[str | int, ...]:
    owner = next(layer for layer, each in evidence.parameters if each is parameter)
    return evidence.path(owner, parameter)
