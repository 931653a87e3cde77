"""I207: examples that lie on one line after the hidden layers."""

from __future__ import annotations

from collections.abc import Iterator

from initcli.checks.base import Check, Finding
from initcli.checks.evidence import Evidence


class OneDirection(Check):
    """Examples lie on one line after the hidden layers.

    ## What it does
    Measures in how many directions the examples differ, in the last hidden tensor that the whole
    signal passes: the participation ratio (Σ λ)² / Σ λ² of the eigenvalues λ of the Gram matrix of
    the unit vectors from the median to each example. Reports less than 1.25 if the inputs have more
    than 3; then 90 % of the sum of squares lie along one line. There is no prediction.

    ## Why is this bad
    The outputs depend on a single number per example. Products of random matrices favor one
    direction more with each layer, sooner with fewer units; a nonzero mean of the entries of a
    kernel has the same effect.

    ## Reported
    ```yaml
    input_shape: [64]
    layers:
      - repeat: 20
        layers:
          - {type: Dense, units: 8, activation: leaky_relu, kernel_initializer: he_normal}
      - {type: Dense, units: 10}
    ```

    ## Not reported
    ```yaml
    input_shape: [64]
    layers:
      - repeat: 20
        layers:
          - {type: Dense, units: 128, activation: leaky_relu, kernel_initializer: he_normal}
      - {type: Dense, units: 10}
    ```

    ## Use instead
    More units or fewer layers, skip connections, an orthogonal initializer, or BatchNormalization.

    ## References
    - Daneshmand et al. 2020, Batch normalization provably avoids rank collapse for randomly
      initialised deep networks, arXiv:2003.01652
    - Hanin, Rolnick 2018, How to start training, arXiv:1803.01719: the sum of the reciprocals of
      the widths decides
    """

    code = "I207"
    name = "one-direction"

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        judgment = evidence.judgment
        if judgment is None or judgment.collapsed is None:
            return
        graph = judgment.graph
        index = graph.made_by[graph.hidden_trunk[-1]]
        layer = evidence.layer_of(evidence.maker(index))
        yield self.finding(
            evidence,
            layer,
            message=(
                f"after {layer.name}, examples differ along {judgment.collapsed:.2f} directions "
                "(participation ratio, measured): nearly all lie on one line"
            ),
            advice=(
                "use more units or fewer layers, skip connections around them, or "
                "BatchNormalization between them"
            ),
        )
