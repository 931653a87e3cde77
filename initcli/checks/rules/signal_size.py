"""I202: a signal that vanishes or explodes on its way forwards."""

from __future__ import annotations

import math
from collections.abc import Iterator

from initcli.checks.base import Check, Problem
from initcli.checks.evidence import Evidence
from initcli.checks.rules.constant_kernel import has_dead_end
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
    per_layer,
    solved_of,
)


class SignalSize(Check):
    """A signal that vanishes or explodes over the depth.

    Each layer multiplies the size of what flows through it by some factor, which follows from the
    variance of its weights and from its activation. Over many layers these factors multiply: 0.71
    a layer, which is what Glorot's initializer and ReLU come to, leaves a hundred-thousandth after
    thirty layers, and 3 a layer overflows. What vanishes leaves the last layers nothing to tell
    examples apart by, and what explodes makes the first loss and its gradients huge.

    The size is the root mean square of what layers take, compared with what flows into the stretch
    of layers: the inputs, the output of a normalisation, or the vectors of an embedding. A
    normalisation starts a new stretch, since what comes out of it has a size of its own. It is
    measured where that takes a few seconds at most, and else predicted from the laws alone.

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
        if graph is None or has_dead_end(evidence):
            return
        grown = {
            graph.sources[graph.steps[chain[0]].outputs[0]] for chain in growing_chains(evidence)
        }
        for sources, growth in growths(evidence).items():
            if growth.after == 0 and dead_step(evidence) is not None:
                continue
            if SMALL <= growth.ratio <= LARGE or sources in grown:
                continue
            steps = between(graph, growth.tensor, sources)
            if steps:
                yield self._problem(evidence, growth, steps)

    @staticmethod
    def _problem(evidence: Evidence, growth: Growth, steps: list[int]) -> Problem:
        graph = evidence.graph
        assert graph is not None
        upwards = growth.ratio > 1
        solved = solved_of(evidence, steps)
        first = furthest_step(evidence, steps, upwards)
        layer = evidence.owners[graph.steps[first].name]
        kernel = next((one.kernel for one in solved if one.layer == layer.name), None)
        many = f"{len(steps)} layer{'s' * (len(steps) > 1)}"
        message = (
            f"the signal {'explodes' if upwards else 'vanishes'} over {many}: rms "
            f"{growth.before:.3g} becomes {growth.after:.3g} ({evidence.how_known})"
        )
        if math.isfinite(growth.ratio) and growth.ratio > 0 and len(steps) > 1:
            message += f", {per_layer(growth.ratio, len(steps)):.3g} times a layer"
        if is_by_one(evidence, steps, growth.ratio):
            message += f", nearly all of it at {layer.name}"
        changes, texts = evidence.rescaled(solved)
        remedy = "; ".join(texts[:3]) + (" ..." if len(texts) > 3 else "")
        unstable = [one for one in solved if one.is_unstable]
        if unstable:
            name = str(unstable[0].activation)
            remedy = (
                f"no scale keeps a signal through {len(unstable)} layers of {name}: take another "
                "activation, such as tanh or relu, or put a LayerNormalization in each"
            )
            changes = ()
        return evidence.problem(
            layer,
            kernel,
            others=[graph.steps[index].name for index in steps],
            message=message,
            remedy=remedy or "scale these layers' kernels, or put a normalisation between them",
            changes=changes,
            # One layer's step is no factor that multiplies over the depth, and is learnt sooner.
            severity="warning" if is_by_one(evidence, steps, growth.ratio) else None,
        )
