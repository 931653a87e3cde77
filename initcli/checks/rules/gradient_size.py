"""I203: gradients that vanish or explode on their way backwards."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from initcli.checks.base import Check, Problem
from initcli.checks.evidence import Evidence
from initcli.checks.graph import Graph, mixes
from initcli.checks.rules.constant_kernel import dead_ends
from initcli.checks.stretches import (
    INSENSITIVE,
    SENSITIVE,
    Relative,
    sensitivities,
    without_scale,
)


class GradientSize(Check):
    """Gradients that vanish or explode over the depth.

    What a layer learns from is how much the result changes with its output. Behind many layers that
    is little where each squashes differences (a sigmoid's slope is at most 1/4), so that the first
    layers hardly learn; or it is a lot where each blows them up (a saturated tanh with large
    weights, or layers with batch normalization and nothing around them), so that the slightest
    step changes everything and training is chaotic.

    Compared are relative changes: the size of the gradient times the spread of the output, at every
    tensor that all of the signal passes. That way neither the number of units nor a normalization,
    which divides a signal and multiplies its gradient, makes a difference by itself. Networks that
    are known to train stay between a thousandth and a thousand.

    Where an activation makes depth unstable at every scale there is nothing to write instead, and
    the remedy names another activation, a normalization or a connection around the layers.
    """

    code = "I203"
    name = "gradient-size"
    why = (
        "a change is multiplied by χ from layer to layer, and only layers within a few depth "
        "scales 1 / |ln χ| can be trained (Schoenholz et al. 2017, arXiv:1611.01232)"
    )
    triggers = """\
input_shape: [64]
layers:
  - repeat: 8
    layers:
      - {type: Dense, units: 64, activation: sigmoid}
  - {type: Dense, units: 10}
"""
    passes = """\
input_shape: [64]
layers:
  - repeat: 6
    layers:
      - {type: Dense, units: 64, activation: sigmoid}
  - {type: Dense, units: 10}
"""

    def problems(self, evidence: Evidence) -> Iterator[Problem]:
        found = evidence.once(unlike_sensitivities)
        if found:
            assert evidence.graph is not None
            yield self._problem(evidence, evidence.graph, found)

    @staticmethod
    def _problem(evidence: Evidence, graph: Graph, found: list[Relative]) -> Problem:
        ratio = found[0].size / found[-1].size
        explodes = ratio > 1
        begin, end = (graph.made_by[each.tensor] for each in (found[0], found[-1]))
        steps = [i for i in range(begin, end + 1) if mixes(graph.steps[i])] or [begin]
        # The layer at fault is where the most is lost or gained; of several that do as much, the
        # first.
        pairs = list(pairwise(found))
        factors = [a.size / b.size if explodes else b.size / a.size for a, b in pairs]
        most = 0.9 * max(factors)
        _, after = next(pair for pair, each in zip(pairs, factors, strict=True) if each > most)
        owners = [i for i in steps if graph.steps[i].outputs[0] <= after.tensor] or steps
        layer = evidence.owners[graph.steps[owners[-1]].name]
        rescaling = evidence.rescaled(steps)
        remedy = rescaling.text or "connect around the layers with Add, or put normalizations in"
        if rescaling.unstable:
            remedy = without_scale(
                "gradients", rescaling.unstable, "connect around the layers with Add"
            )
        elif not rescaling.text and any(
            step.layer.acts_as() == "normalizes" for step in graph.steps[begin:]
        ):
            remedy = (
                "no scale helps, for the normalizations undo it: connect around the layers with "
                "Add, or take fewer of them"
            )
        return evidence.problem(
            layer,
            rescaling.kernel_of(layer),
            others=[graph.steps[index].name for index in steps],
            message=(
                f"gradients {'explode' if explodes else 'vanish'} over {len(steps)} layers: a "
                f"relative change at {graph.steps[begin].name} changes the results {ratio:.3g} "
                f"times as much as one at {graph.steps[end].name} ({evidence.how_known})"
            ),
            remedy=remedy,
            changes=() if rescaling.unstable else rescaling.changes,
        )


def unlike_sensitivities(evidence: Evidence) -> list[Relative]:
    """The sensitivities from the one that is furthest from the last, where that is too far."""
    found = [] if evidence.once(dead_ends) else sensitivities(evidence)
    if not found:
        return []
    sizes = [each.size / found[-1].size for each in found]
    if max(sizes) > SENSITIVE:
        return found[sizes.index(max(sizes)) :]
    return found[sizes.index(min(sizes)) :] if min(sizes) < INSENSITIVE else []
