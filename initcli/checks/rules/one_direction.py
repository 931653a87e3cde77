"""I207: examples that lie on one line behind all layers."""

from __future__ import annotations

from collections.abc import Iterator

from initcli.checks.base import Check, Finding
from initcli.checks.evidence import Evidence


class OneDirection(Check):
    """Examples lie on one line behind the hidden layers.

    ## What it does
    Counts the directions in which examples lie from their median in the last hidden tensor that
    all of the signal passes: the participation ratio (Σ λ)² / Σ λ² of the eigenvalues λ of the
    products of these unit vectors. Less than 1.25 is reported, where inputs have more than 3: then
    nine tenths of the squares lie along one line. It is measured only.

    ## Why is this bad
    The results see one number of each example. Products of random matrices favor one direction
    more with each layer, the sooner the fewer units they have; a mean that all entries of a kernel
    share leaves one as well.

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
    More units or fewer layers, connections around the layers, an orthogonal initializer, or a
    BatchNormalization.

    ## References
    - Daneshmand et al. 2020, Batch normalization provably avoids rank collapse for randomly
      initialised deep networks, arXiv:2003.01652
    - Hanin, Rolnick 2018, How to start training, arXiv:1803.01719: what decides is the sum of the
      reciprocals of the widths
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
                f"behind {layer.name} examples differ along {judgment.collapsed:.2f} directions "
                "(participation ratio, measured): nearly all lie on one line"
            ),
            advice=(
                "use more units or fewer layers, connect around them with Add, or put "
                "BatchNormalizations in"
            ),
        )
