"""I401: truncated normal distributions whose real standard deviation is less than the stated
one."""

from __future__ import annotations

import math
from collections.abc import Iterator

from initcli.checks.base import Check, Problem
from initcli.checks.evidence import Evidence
from initcli.checks.fans import wiring
from initcli.initializers import TruncatedNormal
from initcli.parameter import Parameter

_LOST = 0.95
"""The share of the stated standard deviation from which on nothing is said."""
_SCALES = (1.0, 2.0)
_NEAR = 0.02


class Truncation(Check):
    """A truncated normal whose values spread less than it says.

    TruncatedNormal draws from a normal distribution with the stated stddev and throws away what
    lies beyond two of them. What is left has 0.88 of that standard deviation, 0.77 of the variance.
    He and LeCun normal make up for it by drawing wider; TruncatedNormal does not, so that a stddev
    worked out from a fan, such as √(2 / fan_in), gives too little. Ten layers lose a factor of 3.6
    in size.

    It is found where the size matters: where a stddev is just such a value, or where the signal
    passes no normalization. Those who state 0.02 in front of a LayerNormalization, as in BERT, get
    0.0176 and nothing else.
    """

    code = "I401"
    name = "truncation"
    severity = "warning"
    why = (
        "cut at two standard deviations, a normal distribution keeps 0.8796 of its own "
        "(keras-team/keras#8048)"
    )
    triggers = """\
input_shape: [128]
layers:
  - type: Dense
    units: 128
    activation: relu
    kernel_initializer: {type: TruncatedNormal, stddev: 0.125} # √(2 / 128)
  - {type: Dense, units: 10}
"""
    passes = """\
input_shape: [128]
layers:
  - type: Dense
    units: 128
    activation: relu
    kernel_initializer: {type: VarianceScaling, scale: 2.0} # drawn wider by 1 / 0.88
  - {type: Dense, units: 10}
"""

    def problems(self, evidence: Evidence) -> Iterator[Problem]:
        for layer, parameter in evidence.parameters:
            given, distribution = parameter.initializer, parameter.distribution
            if not isinstance(given, TruncatedNormal) or distribution is None or not given.stddev:
                continue
            share = distribution.std / given.stddev
            if share > _LOST or len(parameter.shape) < 2 or evidence.is_normalized(layer):
                continue
            scale = _intended(parameter, given.stddev)
            if scale is None and evidence.is_normalized_somewhere(layer):
                continue
            if scale is None:
                aim = ""
                value = {"type": "RandomNormal", "mean": given.mean, "stddev": given.stddev}
            else:
                aim = f" (√({scale:g} / fan_in))"
                value = {"type": "VarianceScaling", "scale": scale, "mode": "fan_in"}
            yield evidence.problem(
                layer,
                parameter,
                message=(
                    f"stddev is {given.stddev:.4g}{aim}, and what is drawn has "
                    f"{distribution.std:.4g}: the "
                    f"cut leaves {share:.2f} of it"
                ),
                remedy=evidence.written(parameter, value),
                changes=evidence.change(layer, parameter, value),
            )


def _intended(parameter: Parameter, stddev: float) -> float | None:
    """The scale of which a stddev is √(scale / fan_in), if it looks like that."""
    found = wiring(parameter)
    if found is None:
        return None
    near = [s for s in _SCALES if abs(stddev / math.sqrt(s / found.fans.fan_in) - 1) < _NEAR]
    return near[0] if near else None
