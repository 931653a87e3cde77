"""I401: truncated normal values whose standard deviation is below the given stddev."""

from __future__ import annotations

import math
from collections.abc import Iterator

from initcli.checks.base import Check, Finding
from initcli.checks.evidence import Evidence
from initcli.initializers import TruncatedNormal
from initcli.parameter import Parameter

_MIN_SHARE = 0.95
"""Share of the given stddev that is close enough."""
_SCALES = (1.0, 2.0)
"""Scales of LeCun and He, from which a stddev may have been computed."""
_NEAR = 0.02


class Truncation(Check):
    """Truncated normal values have a smaller standard deviation than the given stddev.

    ## What it does
    Looks for TruncatedNormal with a stddev computed from a fan, such as √(2 / fan_in), or in a
    layer whose signal passes no normalization. TruncatedNormal draws from a normal distribution and
    rejects values beyond two standard deviations. With a stddev of 0.02 before a
    LayerNormalization, as in BERT, this does no harm.

    ## Why is this bad
    The values have 0.88 of the given standard deviation, 0.77 of the variance: over ten layers the
    signal shrinks 3.6 times. He and LeCun normal compensate by drawing from a wider distribution.

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
    VarianceScaling with `mode: fan_in`, or RandomNormal.

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
            # In code, a library may have computed the stddev to compensate for the truncation.
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
                    f"stddev is {given.stddev:.4g}{aim}, but values have {distribution.std:.4g}: "
                    f"the truncation leaves {share:.2f} of it"
                ),
                initializer=value,
            )


def _intended_scale(parameter: Parameter, stddev: float) -> float | None:
    """The standard scale for which a stddev is √(scale / fan_in), if any."""
    fans = parameter.wired_fans
    if fans is None:
        return None
    near = [s for s in _SCALES if abs(stddev / math.sqrt(s / fans.fan_in) - 1) < _NEAR]
    return near[0] if near else None
