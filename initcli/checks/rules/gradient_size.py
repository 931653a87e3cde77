"""I203: gradients that vanish or explode on their way backwards."""

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
    Compares how much a relative change of each hidden output changes the results: the size of the
    gradient times the spread of the output, at every tensor that all of the signal passes. Neither
    the number of units nor a normalization, which divides a signal and multiplies its gradient,
    makes a difference by itself. A factor of 10,000 is reported, and upwards one of 150 where each
    layer makes more than 1.5 of it, or each time step of a recurrent layer that ends with its last
    state. Reported too are recurrent layers of which 14 time steps or fewer get 1e-4 of the largest
    gradient, and 32 or more get less. Networks with normalizations that train stay within 1,000.

    ## Why is this bad
    A layer learns from how much the results change with its output. Where each layer squashes
    differences (a sigmoid's slope is at most 1/4) the first ones hardly learn; where each blows
    them up (a saturated tanh, many batch normalizations in a row) the slightest step changes
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
    The scale that keeps the signal, where there is one. Where an activation is unstable at every
    scale, another activation, a normalization, or a connection around the layers.

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
                    f"gradients explode over the time steps of {layer.name}: one is {factor:.3g} "
                    "times that of the last (measured)"
                ),
                advice="use a smaller recurrent kernel, such as the orthogonal one of Keras",
            )
        for index, reach in judgment.forgetful.items() if judgment is not None else ():
            layer = evidence.layer_of(index)
            yield self.finding(
                evidence,
                layer,
                message=(
                    f"gradients vanish over the time steps of {layer.name}: all but {reach} get "
                    "less than 1e-4 of the largest (measured)"
                ),
                advice=(
                    "let the state last longer: with a larger recurrent kernel, such as the "
                    "orthogonal one of Keras, or biases that keep its gates open"
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
        # The layer at fault loses or gains the most; of several that do as much, the first.
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
        around = "connect around the layers with Add"
        advice = f"{around}, or put normalizations in"
        if rescaling.unstable:
            advice = rescaling.without_scale("gradients", around)
        elif not rescaling.text and any(
            step.layer.acts_as() == "normalizes" for step in graph.steps[begin:]
        ):
            advice = f"no scale helps, as normalizations undo it: {around}, or use fewer of them"
        return self.finding(
            evidence,
            layer,
            rescaling.kernel_of(layer),
            others=[graph.steps[index].name for index in steps],
            message=(
                f"gradients {'explode' if explodes else 'vanish'} over {len(steps)} layers: a "
                f"relative change at {graph.steps[begin].name} changes the results {ratio:.3g} "
                f"times as much as one at {graph.steps[end].name} ({judgment.basis})"
            ),
            remedy="" if rescaling.unstable else rescaling.text,
            advice=advice,
            changes=() if rescaling.unstable else rescaling.changes,
        )
