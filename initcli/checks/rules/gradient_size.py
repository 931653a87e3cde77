"""I203: gradients that vanish or explode on their way backwards."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from initcli.checks.base import Check, Problem
from initcli.checks.evidence import Evidence
from initcli.checks.graph import mixes, normalizes
from initcli.checks.rules.constant_kernel import has_dead_end
from initcli.checks.stretches import INSENSITIVE, SENSITIVE, Relative, sensitivities, solved_of


class GradientSize(Check):
    """Gradients that vanish or explode over the depth.

    What a layer learns from is how much the result changes with its output. Behind many layers that
    is little where each squashes differences (a sigmoid's slope is at most 1/4), so that the first
    layers hardly learn; or it is a lot where each blows them up (a saturated tanh with large
    weights, or layers with batch normalisation and nothing around them), so that the slightest
    step changes everything and training is chaotic.

    Compared are relative changes: the size of the gradient times the spread of the output, at every
    tensor that all of the signal passes. That way neither the number of units nor a normalisation,
    which divides a signal and multiplies its gradient, makes a difference by itself. Networks that
    are known to train stay between a thousandth and a thousand.

    Where an activation makes depth unstable at every scale there is nothing to write instead, and
    the remedy names another activation, a normalisation or a connection around the layers.
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
        if evidence.graph is None or has_dead_end(evidence):
            return
        found = sensitivities(evidence)
        if len(found) < 2:
            return
        last = found[-1]
        least, most = (function(found, key=lambda each: each.size) for function in (min, max))
        if most.size > SENSITIVE * last.size:
            yield self._problem(evidence, found, most)
        elif least.size < INSENSITIVE * last.size:
            yield self._problem(evidence, found, least)

    @staticmethod
    def _problem(evidence: Evidence, found: list[Relative], worst: Relative) -> Problem:
        graph = evidence.graph
        assert graph is not None
        last = found[-1]
        ratio = worst.size / last.size
        explodes = ratio > 1
        begin = graph.made_by[worst.tensor]
        steps = [i for i in range(begin, graph.made_by[last.tensor] + 1) if mixes(graph.steps[i])]
        steps = steps or [begin]
        # Between which two the most is lost or gained: the layer at fault.
        places = [each for each in found if each.tensor >= worst.tensor]
        pairs = list(pairwise(places))
        factor = [a.size / b.size if explodes else b.size / a.size for a, b in pairs]
        # Of several that do as much, the first.
        _, after = next(
            pair for pair, f in zip(pairs, factor, strict=True) if f > 0.9 * max(factor)
        )
        owners = [i for i in steps if graph.steps[i].outputs[0] <= after.tensor] or steps
        layer = evidence.owners[graph.steps[owners[-1]].name]
        solved = solved_of(evidence, steps)
        unstable = [one for one in solved if one.is_unstable]
        normalized = sum(normalizes(graph.steps[i].layer) for i in range(begin, len(graph.steps)))
        message = (
            f"gradients {'explode' if explodes else 'vanish'} over {len(steps)} layers: a relative "
            f"change at {graph.steps[begin].name} changes the results {ratio:.3g} times as much as "
            f"one at {graph.steps[graph.made_by[last.tensor]].name} ({evidence.how_known})"
        )
        changes, texts = evidence.rescaled(solved)
        if unstable:
            name = str(unstable[0].activation)
            remedy = (
                f"no scale keeps gradients through {len(unstable)} layers of {name}: take another "
                "activation, such as tanh or relu, or connect around the layers with Add"
            )
            changes = ()
        elif not texts and normalized:
            remedy = (
                "no scale helps, for the normalisations undo it: connect around the layers with "
                "Add, or take fewer of them"
            )
        else:
            remedy = "; ".join(texts[:3]) + (" ..." if len(texts) > 3 else "")
        kernel = next((one.kernel for one in solved if one.layer == layer.name), None)
        return evidence.problem(
            layer,
            kernel,
            others=[graph.steps[index].name for index in steps],
            message=message,
            remedy=remedy or "connect around the layers with Add, or put normalisations in",
            changes=changes,
        )
