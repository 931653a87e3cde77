"""I102: tensors that are identical because they share a seed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from initcli import distributions
from initcli.checks.base import Check, Problem
from initcli.checks.evidence import Evidence
from initcli.initializers import Joined
from initcli.model import BuiltLayer
from initcli.parameter import Parameter


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
        first: dict[object, tuple[BuiltLayer, Parameter]] = {}
        taken = {p.initializer.own_seed for _, p in evidence.parameters}
        free = (seed for seed in count() if seed not in taken)
        for layer, parameter in evidence.parameters:
            distribution, seed = parameter.distribution, parameter.initializer.own_seed
            if seed is None or isinstance(distribution, distributions.Constant):
                continue
            key = (seed, parameter.shape, parameter.dtype, type(distribution))
            owner, other = first.setdefault(key, (layer, parameter))
            if other is not parameter:
                # Layers of one block are written once, and told apart by their streams alone.
                is_one = evidence.path(owner, other) == evidence.path(layer, parameter)
                own = None if is_one else next(free)
                yield self._problem(evidence, layer, parameter, other, own)

    @staticmethod
    def _problem(
        evidence: Evidence,
        layer: BuiltLayer,
        parameter: Parameter,
        other: Parameter,
        own: int | None,
    ) -> Problem:
        what = (
            "is identical to"
            if parameter.distribution == other.distribution
            else "is a multiple of"
        )
        initializer = parameter.initializer
        if isinstance(initializer, Joined):
            # What a person named is the first part.
            initializer = initializer.parts[0]
        seed = initializer.own_seed
        value = {"type": initializer.type_name, **initializer.arguments, "seed": own}
        return evidence.problem(
            layer,
            parameter,
            message=f"{parameter.path} {what} {other.path}: both are drawn with seed {seed}",
            remedy=evidence.written(parameter, value),
            changes=evidence.change(layer, parameter, value),
        )
