"""I401: truncated normal distributions that spread less than their stddev says."""

from __future__ import annotations

import math
from collections.abc import Iterator

from initcli.checks.base import Check, Finding
from initcli.checks.evidence import Evidence
from initcli.checks.fans import wiring
from initcli.initializers import TruncatedNormal
from initcli.parameter import Parameter

_MIN_SHARE = 0.95
"""Share of the stated standard deviation that is near enough."""
_SCALES = (1.0, 2.0)
"""Scales of LeCun and He, of which a stddev may have been computed."""
_NEAR = 0.02


class Truncation(Check):
    """The values of a truncated normal spread less than its stddev says.

    ## What it does
    Looks for TruncatedNormal with a stddev computed from a fan, such as √(2 / fan_in), or whose
    signal passes no normalization. TruncatedNormal draws from a normal distribution and throws away
    what lies beyond two standard deviations. With a stddev of 0.02 in front of a
    LayerNormalization, as in BERT, nothing is lost.

    ## Why is this bad
    What is left has 0.88 of the stated standard deviation, 0.77 of the variance: ten layers lose a
    factor of 3.6 in size. He and LeCun normal make up for it by drawing wider.

    ## Reported
    ```yaml
    input_shape: [128]
    layers:
      - type: Dense
        units: 128
        activation: relu
        kernel_initializer: {type: TruncatedNormal, stddev: 0.125} # √(2 / 128)
      - {type: Dense, units: 10}
    ```

    ## Not reported
    ```yaml
    input_shape: [128]
    layers:
      - type: Dense
        units: 128
        activation: relu
        kernel_initializer: {type: VarianceScaling, scale: 2.0} # drawn wider by 1 / 0.88
      - {type: Dense, units: 10}
    ```

    ## Use instead
    VarianceScaling by the fan-in, or RandomNormal.

    ## References
    - keras-team/keras#8048
    """

    code = "I401"
    name = "truncation"
    severity = "warning"

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        for layer, parameter in evidence.parameters:
            given, distribution = parameter.initializer, parameter.distribution
            if not isinstance(given, TruncatedNormal) or distribution is None or not given.stddev:
                continue
            share = distribution.std / given.stddev
            if share > _MIN_SHARE or len(parameter.shape) < 2 or evidence.is_normalized(layer):
                continue
            scale = _intended_scale(parameter, given.stddev)
            # Of code, what is given may be what a library computed to make up for the cut.
            is_unknown = evidence.model.source == "python" or evidence.passes_normalization(layer)
            if scale is None and is_unknown:
                continue
            aim, value = "", {"type": "RandomNormal", "mean": given.mean, "stddev": given.stddev}
            if scale is not None:
                aim = f" (√({scale:g} / fan_in))"
                value = {"type": "VarianceScaling", "scale": scale, "mode": "fan_in"}
            yield self.finding(
                evidence,
                layer,
                parameter,
                message=(
                    f"stddev is {given.stddev:.4g}{aim}, and values have {distribution.std:.4g}: "
                    f"the cut leaves {share:.2f} of it"
                ),
                initializer=value,
            )


def _intended_scale(parameter: Parameter, stddev: float) -> float | None:
    """The scale for which a stddev is √(scale / fan_in), if there is one."""
    wired = wiring(parameter)
    if wired is None:
        return None
    near = [s for s in _SCALES if abs(stddev / math.sqrt(s / wired.fans.fan_in) - 1) < _NEAR]
    return near[0] if near else None
