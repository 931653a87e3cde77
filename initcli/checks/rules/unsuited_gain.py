"""I201: kernels whose gain does not suit the activation after them."""

from __future__ import annotations

import math
from collections.abc import Iterator

from initcli.activations import Linear
from initcli.checks.base import Check, Finding
from initcli.checks.critical import growth_at
from initcli.checks.evidence import Evidence
from initcli.checks.scales import Solved
from initcli.signal.moments import distribution_moments

_MAX_CHANGE = math.log(4 / 3)
"""Maximum change of a signal by one layer, as a logarithm: by a third."""
_MAX_FIRST_CHANGE = math.log(5)
"""The same for a first layer, which is the only one of its kind."""
_ROW = 3
"""Minimum number of layers in a row whose factors accumulate."""
_DEEP_ROW = 5
"""Minimum number of layers in a row for which the distance between examples counts."""
_LAYERS = 20
"""Number of layers over which the change is averaged."""


class UnsuitedGain(Check):
    """The gain of a kernel does not suit the activation after it.

    ## What it does
    Computes the mean effect per layer of twenty layers like this one. The gain of a layer is
    fan_in · Var[w], the factor of the mean square before the activation. Reports a change of more
    than a third per layer, in the size of the signal or in the distance between examples. Layers
    before a normalization, gates and the last layer are skipped.

    ## Why is this bad
    The gain that keeps a signal depends on the activation: 2 for ReLU (He), 1 for linear and SELU
    (LeCun), and for tanh between 1, for a small signal, and 2, for one that fills the range. A
    single such layer does little harm; in a row their factors multiply, and lead to I202.

    ## Reported
    ```yaml
    input_shape: [128]
    layers:
      - {type: Dense, units: 128, activation: relu, kernel_initializer: glorot_uniform}
      - {type: Dense, units: 128, activation: relu, kernel_initializer: glorot_uniform}
      - {type: Dense, units: 10}
    ```

    ## Not reported
    ```yaml
    input_shape: [128]
    layers:
      - {type: Dense, units: 128, activation: relu, kernel_initializer: he_uniform}
      - {type: Dense, units: 128, activation: tanh, kernel_initializer: glorot_uniform}
      - {type: Dense, units: 10}
    ```

    ## Use instead
    The initializer made for the activation: `he_uniform` for ReLU, `lecun_normal` for SELU.

    ## References
    - He, Zhang, Ren, Sun 2015, Delving deep into rectifiers, arXiv:1502.01852
    - Klambauer et al. 2017, Self-normalizing neural networks, arXiv:1706.02515
    """

    code = "I201"
    name = "unsuited-gain"
    severity = "warning"

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        judgment = evidence.judgment
        if judgment is None or evidence.graph is None:
            return
        if judgment.growths or judgment.unlike_sensitivities or judgment.residuals:
            return  # I202 or another error reports it, with the same remedy.
        for solved in filter(None, evidence.scales.solved.values()):
            if (finding := self._judged(evidence, solved)) is not None:
                yield finding

    def _judged(self, evidence: Evidence, solved: Solved) -> Finding | None:
        graph = evidence.graph
        assert graph is not None
        index = evidence.steps_of[solved.layer][0]
        output = graph.steps[index].outputs[0]
        moments, fans = distribution_moments(solved.kernel), solved.kernel.wired_fans
        row = graph.depths[output] + graph.heights[output]
        if row < _ROW or solved.end or moments is None or fans is None or moments.mean:
            return None
        if isinstance(solved.activation, Linear) or not moments.variance:
            return None
        gain = moments.variance * fans.fan_in
        changes = growth_at(solved.activation, gain, _LAYERS)
        size, sensitivity = (change / _LAYERS for change in changes)
        if row < _DEEP_ROW:
            sensitivity = 0.0
        is_first = graph.depths[graph.steps[index].inputs[0]] == 0
        if max(abs(size), abs(sensitivity)) < (_MAX_FIRST_CHANGE if is_first else _MAX_CHANGE):
            return None
        is_size = abs(size) >= abs(sensitivity)
        what = "a signal" if is_size else "the distance between examples"
        effect = f"multiply {what} by {math.exp(size if is_size else sensitivity):.2g} each"
        suits, name = solved.critical.scale, str(solved.activation)
        layer = evidence.owners[solved.layer]
        if solved.is_unstable:
            message = f"layers of {name} {effect}, at any scale"
            remedy = "use another activation, such as tanh or relu"
            return self.finding(evidence, layer, solved.kernel, message=message, remedy=remedy)
        rescaling = evidence.rescaled([index])
        if not rescaling.text:
            return None
        message = f"fan_in · Var[w] is {gain:.3g}, but {name} needs {suits:.3g}"
        if not 0.9 < solved.scale / suits < 1.1:
            message += f" ({solved.scale:.3g} for the input here)"
        return self.finding(
            evidence,
            layer,
            solved.kernel,
            message=f"{message}: layers like this one {effect}",
            remedy=rescaling.text,
            changes=rescaling.changes,
        )
