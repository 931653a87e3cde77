"""I202: a signal that vanishes or explodes on its way forwards."""

from __future__ import annotations

import math
from collections.abc import Iterator

from initcli.checks.base import Check, Problem
from initcli.checks.evidence import Evidence
from initcli.checks.graph import Graph
from initcli.checks.rules.constant_kernel import dead_ends
from initcli.checks.rules.dead_units import dead_step
from initcli.checks.rules.residual_growth import growing_chains
from initcli.checks.stretches import (
    LARGE,
    SMALL,
    Growth,
    between,
    furthest_step,
    growths,
    is_by_one,
    without_scale,
)


class SignalSize(Check):
    """A signal that vanishes or explodes over the depth.

    Each layer multiplies the size of what flows through it by some factor, which follows from the
    variance of its weights and from its activation. Over many layers these factors multiply: 0.71
    a layer, which is what Glorot's initializer and ReLU come to, leaves a hundred-thousandth after
    thirty layers, and 3 a layer overflows. What vanishes leaves the last layers nothing to tell
    examples apart by, and what explodes makes the first loss and its gradients huge.

    The size is the root mean square of what layers take, compared with what flows into the stretch
    of layers: the inputs, the output of a normalization, or the vectors of an embedding. A
    normalization starts a new stretch, since what comes out of it has a size of its own. It is
    measured where that takes a few seconds at most, and else predicted from the distributions
    alone.

    The remedy keeps the size at every layer: it is solved for from the moments of the signal, layer
    by layer, with what pooling, padding and sums do to them.
    """

    code = "I202"
    name = "signal-size"
    why = (
        "a factor per layer multiplies over the depth: thirty ReLU layers stall with Glorot's "
        "initializer and converge with variance 2 / fan_in (He et al. 2015, arXiv:1502.01852)"
    )
    triggers = """\
input_shape: [256]
layers:
  - repeat: 30
    layers:
      - {type: Dense, units: 256, activation: relu, kernel_initializer: glorot_uniform}
  - {type: Dense, units: 10}
"""
    passes = """\
input_shape: [256]
layers:
  - repeat: 20
    layers:
      - {type: Dense, units: 256, activation: relu, kernel_initializer: glorot_uniform}
  - {type: Dense, units: 10}
"""

    def problems(self, evidence: Evidence) -> Iterator[Problem]:
        graph = evidence.graph
        for growth in evidence.once(grown_stretches):
            assert graph is not None
            steps = between(graph, growth.tensor, graph.sources[growth.tensor])
            if steps:
                yield self._problem(evidence, graph, growth, steps)

    @staticmethod
    def _problem(evidence: Evidence, graph: Graph, growth: Growth, steps: list[int]) -> Problem:
        upwards = growth.ratio > 1
        layer = evidence.owners[graph.steps[furthest_step(evidence, steps, upwards)].name]
        by_one = is_by_one(evidence, steps, growth.ratio)
        message = (
            f"the signal {'explodes' if upwards else 'vanishes'} over {len(steps)} "
            f"layer{'s' * (len(steps) > 1)}: rms {growth.before:.3g} becomes {growth.after:.3g} "
            f"({evidence.how_known})"
        )
        if 0 < growth.ratio < math.inf and len(steps) > 1:
            message += f", {growth.ratio ** (1 / len(steps)):.3g} times a layer"
        if by_one:
            message += f", nearly all of it at {layer.name}"
        found = evidence.rescaled(steps)
        remedy = found.text or "scale these kernels, or put a normalization between the layers"
        if found.unstable:
            remedy = without_scale("the signal", found.unstable, "put a LayerNormalization in each")
        return evidence.problem(
            layer,
            found.kernel_of(layer),
            others=[graph.steps[index].name for index in steps],
            message=message,
            remedy=remedy,
            changes=() if found.unstable else found.changes,
            # One layer's step is no factor that multiplies over the depth, and is learnt sooner.
            severity="warning" if by_one else None,
        )


def grown_stretches(evidence: Evidence) -> list[Growth]:
    """The stretches over which the signal vanishes or explodes, and no other check says why."""
    graph = evidence.graph
    if graph is None or evidence.once(dead_ends):
        return []
    sums = [graph.steps[chain[0]].outputs[0] for chain in evidence.once(growing_chains)]
    residual = {graph.sources[tensor] for tensor in sums}
    return [
        growth
        for sources, growth in growths(evidence).items()
        if not SMALL <= growth.ratio <= LARGE
        and sources not in residual
        and not (growth.after == 0 and evidence.once(dead_step))
    ]
