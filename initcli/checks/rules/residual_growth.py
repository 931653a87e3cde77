"""I206: residual branches whose sum grows with depth."""

from __future__ import annotations

from collections.abc import Iterator

from initcli.checks.base import Check, Finding
from initcli.checks.evidence import Evidence
from initcli.checks.rules.signal_size import adam_may
from initcli.signal.judgment import Growth


class ResidualGrowth(Check):
    """The sum of residual branches grows with every block.

    ## What it does
    Compares the sum after a row of residual branches, without a normalization between them, with
    the stream before the first. Reports a growth of more than 30 times if each branch multiplies
    the sum by more than 1.1 on average.

    ## Why is this bad
    A branch whose output is as large as its input doubles the variance of the sum, which is the
    input of the next branch: after fifty blocks the variance is 2⁵⁰ times as large. With a
    normalization at the start of each branch, the sum grows at most with the square root of the
    depth.

    ## Reported
    ```yaml
    input_shape: [64]
    layers:
      - {type: Dense, units: 64, name: stem}
      - repeat: 20
        layers:
          - {type: Dense, units: 64, activation: relu, kernel_initializer: he_normal}
          - {type: Dense, units: 64, name: end, kernel_initializer: he_normal}
          - {type: Add, inputs: [input, end]}
      - {type: Dense, units: 10}
    ```

    ## Not reported
    ```yaml
    input_shape: [64]
    layers:
      - {type: Dense, units: 64, name: stem}
      - repeat: 20
        layers:
          - {type: Dense, units: 64, activation: relu, kernel_initializer: he_normal}
          - type: Dense
            units: 64
            name: end
            kernel_initializer: {type: VarianceScaling, scale: 0.1}
          - {type: Add, inputs: [input, end]}
      - {type: Dense, units: 10}
    ```

    ## Use instead
    Scale the last kernel of each branch by 1/√L for L blocks, which the remedy writes, or start it
    at 0. Or begin each branch with a normalization.

    ## References
    - Zhang, Dauphin, Ma 2019, Fixup initialization, arXiv:1901.09321
    - De, Smith 2020, Batch normalization biases residual blocks towards the identity function,
      arXiv:2002.10444
    """

    code = "I206"
    name = "residual-growth"

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        judgment = evidence.judgment
        for residual in judgment.residuals if judgment is not None else ():
            assert judgment is not None
            graph = judgment.graph
            sums = residual.sums
            ends = [evidence.scales.last_mixing(graph.skips[index].end) for index in sums]
            names = [graph.steps[index].name for index in ends if index is not None]
            # The last kernels are solved together with those inside the branches.
            whole = Growth(graph.steps[sums[-1]].outputs[0], residual.before, residual.after)
            rescaling = evidence.rescaled(judgment.mixing_steps(whole))
            layer = evidence.owners[names[0] if names else graph.steps[sums[0]].name]
            yield self.finding(
                evidence,
                layer,
                rescaling.kernel_of(layer),
                others=names,
                message=(
                    f"{len(sums)} residual branches make their sum grow from rms "
                    f"{residual.before:.3g} to {residual.after:.3g} ({judgment.basis}), "
                    f"{residual.each:.3g} times per branch"
                    + adam_may(residual.after / residual.before)
                ),
                remedy=rescaling.text,
                advice="begin each branch with a LayerNormalization, or end it with zeros",
                changes=rescaling.changes,
            )
