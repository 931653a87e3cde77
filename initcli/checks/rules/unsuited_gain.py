"""I201: a kernel's gain that does not suit the activation that follows."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from initcli.activations import Linear
from initcli.checks.base import Check, Problem
from initcli.checks.critical import grown
from initcli.checks.evidence import Evidence
from initcli.checks.fans import wiring
from initcli.checks.rules.gradient_size import unlike_sensitivities
from initcli.checks.rules.residual_growth import growing_chains
from initcli.checks.rules.signal_size import grown_stretches
from initcli.checks.scales import Solved
from initcli.checks.stretches import SHORT
from initcli.signal.theory import distribution_moments

_AWAY = math.log(4 / 3)
"""How much a layer may change a signal, as a logarithm: a third up or down."""
_FIRST = math.log(5)
"""The same for a first layer, of whose kind there is but one."""
_DEEP = 5
"""Layers in a row from which on it counts how far apart examples are."""
_LAYERS = 20
"""Over how many such layers the change is averaged."""


class UnsuitedGain(Check):
    """The gain of a kernel that does not suit the activation behind it.

    A layer's gain is fan_in · Var[w], what it multiplies a mean square by before its activation.
    ReLU sets half of it to 0 and wants a gain of 2, which is He's initializer; Glorot's gives about
    1 and was made for tanh. One such layer costs little. In a row they multiply, and this is where
    they are found while there are still few of them: it is a warning, and I202 the error that it
    grows into with depth.

    Judged is what a stack of layers like this one would do to a signal, on average over twenty:
    more than a third up or down a layer, in size or in how well examples can be told apart, is too
    much. Layers in front of a normalization, gates and the last layer are left alone.
    """

    code = "I201"
    name = "unsuited-gain"
    severity = "warning"
    why = (
        "the variance that keeps a signal depends on the activation: 2 / fan_in for ReLU, "
        "1 / fan_in for linear and SELU (He et al. 2015; Klambauer et al. 2017)"
    )
    triggers = """\
input_shape: [128]
layers:
  - {type: Dense, units: 128, activation: relu, kernel_initializer: glorot_uniform}
  - {type: Dense, units: 128, activation: relu, kernel_initializer: glorot_uniform}
  - {type: Dense, units: 10}
"""
    passes = """\
input_shape: [128]
layers:
  - {type: Dense, units: 128, activation: relu, kernel_initializer: he_uniform}
  - {type: Dense, units: 128, activation: tanh, kernel_initializer: glorot_uniform}
  - {type: Dense, units: 10}
"""

    def problems(self, evidence: Evidence) -> Iterator[Problem]:
        if evidence.graph is None or _is_said_already(evidence):
            return
        for solved in evidence.scales.solved.values():
            found = self._judged(evidence, solved)
            if found is not None:
                yield found

    @staticmethod
    def _judged(evidence: Evidence, solved: Solved) -> Problem | None:
        graph = evidence.graph
        assert graph is not None
        index = evidence.steps_of[solved.layer][0]
        output = graph.steps[index].outputs[0]
        moments, wired = distribution_moments(solved.kernel), wiring(solved.kernel)
        row = graph.depths[output] + graph.heights[output]
        if row < SHORT or solved.end or moments is None or wired is None or moments.mean:
            return None
        if isinstance(solved.activation, Linear) or not moments.variance:
            return None
        gain = moments.variance * wired.fans.fan_in
        sizes, sensitivities, _ = grown(solved.activation, np.array([gain]), _LAYERS)
        size, sensitivity = float(sizes[0]) / _LAYERS, float(sensitivities[0]) / _LAYERS
        if row < _DEEP:
            sensitivity = 0.0
        is_first = graph.depths[graph.steps[index].inputs[0]] == 0
        if max(abs(size), abs(sensitivity)) < (_FIRST if is_first else _AWAY):
            return None
        suits, name = solved.critical.scale, str(solved.activation)
        of_size = abs(size) >= abs(sensitivity)
        what = "a signal" if of_size else "how far apart examples are"
        factor = f"{math.exp(size if of_size else sensitivity):.2g}"
        layer = evidence.owners[solved.layer]
        if solved.is_unstable:
            return evidence.problem(
                layer,
                solved.kernel,
                message=f"layers of {name} multiply {what} by {factor} each, at any scale",
                remedy="take another activation, such as tanh or relu",
            )
        found = evidence.rescaled([index])
        if not found.text:
            return None
        message = f"fan_in · Var[w] is {gain:.3g}, and {name} wants {suits:.3g}"
        if not 0.9 < solved.scale / suits < 1.1:
            message += f" ({solved.scale:.3g} for what comes in here)"
        return evidence.problem(
            layer,
            solved.kernel,
            message=f"{message}: layers like this one multiply {what} by {factor} each",
            remedy=found.text,
            changes=found.changes,
        )


def _is_said_already(evidence: Evidence) -> bool:
    """Whether an error about the same layers says it, with the same remedy."""
    errors = (grown_stretches, unlike_sensitivities, growing_chains)
    return any(evidence.once(find) for find in errors)
