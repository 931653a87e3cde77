"""I205: units that are 0 whatever comes in."""

from __future__ import annotations

import math
from collections.abc import Iterator

from initcli.checks.base import Check, Problem
from initcli.checks.evidence import Evidence
from initcli.checks.rules.constant_kernel import dead_ends

_SURE = 4.0
"""Standard errors beyond which a share is no accident."""
_ZEROS = 0.9
"""The share of zeros beyond which a layer says next to nothing."""
_LEAST = 0.6


class DeadUnits(Check):
    """Units of ReLU that are 0 for every example.

    A ReLU gives 0, with slope 0, where its input is negative. A unit whose input is negative for
    all examples gives 0 for all and gets no gradient, so that it stays as it is: it is dead. A bias
    far below 0, or weights whose mean is, do that to many units at once.

    Up to half of the units may be 0 for a whole batch in a deep network with good initializers: the
    deeper, the more alike examples become, and a unit is then on or off for all of them. So this
    check speaks up only beyond that: where clearly more than six units in ten are dead, or more
    than nine outputs in ten are 0.
    """

    code = "I205"
    name = "dead-units"
    why = (
        "a ReLU that is off for every example has no gradient and cannot come back "
        "(Lu et al. 2020, Dying ReLU and initialization, arXiv:1903.06733)"
    )
    triggers = """\
input_shape: [64]
layers:
  - type: Dense
    units: 128
    activation: relu
    kernel_initializer: he_normal
    bias_initializer: {type: Constant, value: -2.2}
  - {type: Dense, units: 10}
"""
    passes = """\
input_shape: [64]
layers:
  - type: Dense
    units: 128
    activation: relu
    kernel_initializer: he_normal
    bias_initializer: {type: Constant, value: -1.6}
  - {type: Dense, units: 10}
"""

    def problems(self, evidence: Evidence) -> Iterator[Problem]:
        found = evidence.once(dead_step)
        if found is not None:
            # What comes behind it is dead because of it.
            yield self._problem(evidence, *found)

    @staticmethod
    def _problem(evidence: Evidence, index: int, dead: float | None, zeros: float) -> Problem:
        graph = evidence.graph
        assert graph is not None
        name, maker = graph.steps[index].name, evidence.maker(index)
        layer = evidence.owners[graph.steps[maker].name]
        if dead is None:
            message = f"{zeros:.0%} of what comes out of {name} is 0 ({evidence.how_known})"
        else:
            message = f"{dead:.0%} of {name}'s units are 0 for a whole batch"
        found = evidence.rescaled([maker])
        bias = next((one.bias for one in found.solved if one.bias), None)
        return evidence.problem(
            layer,
            bias or evidence.kernel(layer),
            message=message,
            remedy=found.text or "raise the bias, or take an activation with a slope below 0",
            changes=found.changes,
        )


def dead_step(evidence: Evidence) -> tuple[int, float | None, float] | None:
    """The first step whose units are dead, their share where it is clear, and that of zeros."""
    graph = evidence.graph
    if graph is None or evidence.once(dead_ends):
        return None
    for index, step in enumerate(graph.steps):
        share = evidence.shares(index)
        if share is None or share.zeros is None:
            continue
        units = max(graph.size(step.outputs[0])[-1], 1)
        limit = max(_LEAST, 0.5 + _SURE * math.sqrt(0.25 / units))
        dead = share.dead or 0.0
        if dead > limit or share.zeros > _ZEROS:
            return index, dead if dead > limit else None, share.zeros
    return None
