"""I203: gradients that vanish or explode in the backward pass."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from initcli.checks.base import Check, Finding
from initcli.checks.evidence import Evidence
from initcli.signal.graph import mixes
from initcli.signal.judgment import Judgment, Sensitivity


class GradientSize(Check):
    """Gradients vanish or explode over the depth.

    ## What it does
    Measures how much a relative change of each hidden output changes the model's outputs: the size
    of the gradient times the standard deviation of the output, at every tensor that the whole
    signal passes. This does not depend on the number of units, or on normalizations, which divide a
    signal and multiply its gradient.

    Reports a factor of 10,000 over the depth. Growth is already reported from a factor of 150 on if
    it exceeds 1.5 per layer, or per time step of a recurrent layer that returns its last state.
    Also reports recurrent layers in which at most 14 time steps get 1e-4 of the largest gradient or
    more, and at least 32 get less. Trainable networks with normalizations stay within 1,000.

    ## Why is this bad
    A layer learns from how its output changes the model's outputs. If each layer shrinks
    differences (the slope of a sigmoid is at most 1/4), the first layers hardly learn. If each
    amplifies them (a saturated tanh, many batch normalizations in a row), the smallest step changes
    everything.

    ## Reported
    ```yaml
    input_shape: [64]
    layers:
      - repeat: 8
        layers:
          - {type: Dense, units: 64, activation: sigmoid}
      - {type: Dense, units: 10}
    ```

    ## Not reported
    ```yaml
    input_shape: [64]
    layers:
      - repeat: 6
        layers:
          - {type: Dense, units: 64, activation: sigmoid}
      - {type: Dense, units: 10}
    ```

    ## Use instead
    The scale that keeps the signal, if there is one. If an activation is unstable at every scale:
    another activation, a normalization, or a skip connection around the layers.

    ## References
    - Schoenholz et al. 2017, Deep information propagation, arXiv:1611.01232: only layers within a
      few depth scales 1 / |ln χ| can be trained
    """

    code = "I203"
    name = "gradient-size"

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        judgment = evidence.judgment
        if judgment is not None and judgment.unlike_sensitivities:
            yield self._finding(evidence, judgment, judgment.unlike_sensitivities)
        for index, factor in judgment.chaotic.items() if judgment is not None else ():
            layer = evidence.layer_of(index)
            yield self.finding(
                evidence,
                layer,
                message=(
                    f"gradients explode over the time steps of {layer.name}: the largest is "
                    f"{factor:.3g} times that of the last step (measured)"
                ),
                advice="use a smaller recurrent kernel, such as the orthogonal one of Keras",
            )
        for index, reach in judgment.forgetful.items() if judgment is not None else ():
            layer = evidence.layer_of(index)
            yield self.finding(
                evidence,
                layer,
                message=(
                    f"gradients vanish over the time steps of {layer.name}: all but {reach} steps "
                    "get less than 1e-4 of the largest (measured)"
                ),
                advice=(
                    "keep the state longer: use a larger recurrent kernel, such as the "
                    "orthogonal one of Keras, or biases that keep the gates open"
                ),
            )

    def _finding(
        self, evidence: Evidence, judgment: Judgment, sensitivities: list[Sensitivity]
    ) -> Finding:
        graph = judgment.graph
        first, last = sensitivities[0], sensitivities[-1]
        ratio = first.size / last.size
        explodes = ratio > 1
        begin, end = graph.made_by[first.tensor], graph.made_by[last.tensor]
        steps = [i for i in range(begin, end + 1) if mixes(graph.steps[i])] or [begin]
        # The layer at fault has the largest factor; among equal ones it is the first.
        factors = [
            a.size / b.size if explodes else b.size / a.size for a, b in pairwise(sensitivities)
        ]
        largest = max(factors)
        after = next(
            b.tensor
            for (_, b), factor in zip(pairwise(sensitivities), factors, strict=True)
            if factor > 0.9 * largest
        )
        before = [i for i in steps if graph.steps[i].outputs[0] <= after] or steps
        layer = evidence.layer_of(before[-1])
        rescaling = evidence.rescaled(steps)
        around = "add skip connections around the layers"
        advice = f"{around}, or normalizations between them"
        if rescaling.unstable:
            advice = rescaling.without_scale("gradients", around)
        elif not rescaling.text and any(
            step.layer.acts_as() == "normalizes" for step in graph.steps[begin:]
        ):
            reason = "no scale helps because normalizations undo it"
            advice = f"{reason}: {around}, or use fewer of them"
        return self.finding(
            evidence,
            layer,
            rescaling.kernel_of(layer),
            others=[graph.steps[index].name for index in steps],
            message=(
                f"gradients {'explode' if explodes else 'vanish'} over {len(steps)} layers: a "
                f"relative change at {graph.steps[begin].name} changes the outputs {ratio:.3g} "
                f"times as much as one at {graph.steps[end].name} ({judgment.basis})"
            ),
            remedy="" if rescaling.unstable else rescaling.text,
            advice=advice,
            changes=() if rescaling.unstable else rescaling.changes,
        )
