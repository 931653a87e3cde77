"""I103: kernels whose mean outweighs their random part."""

from __future__ import annotations

from collections.abc import Iterator

from initcli.checks.base import Check, Finding
from initcli.checks.evidence import Evidence
from initcli.initializers import Bilinear
from initcli.signal.moments import distribution_moments

_MAX_RATIO = 10.0
"""Maximum ratio of the shared part of units to their own part, in mean squares."""


class KernelMean(Check):
    """The mean of a kernel makes its units nearly identical.

    ## What it does
    Splits the output of a unit, whose weights have mean m and standard deviation s, into two parts:
    m times the sum of all inputs, which all units share, and a random part of its own. If the
    inputs have one sign, as after a ReLU, the shared part has fan_in · m² / s² times the mean
    square of the other. Reports more than ten times; U(0, 0.1) with 128 inputs has 384.

    ## Why is this bad
    Units with nearly equal outputs learn the same features, and the signal grows by fan_in · m per
    layer.

    ## Reported
    ```yaml
    input_shape: [128]
    layers:
      - type: Dense
        units: 128
        activation: relu
        kernel_initializer: {type: RandomUniform, minval: 0.0, maxval: 0.1}
      - {type: Dense, units: 10}
    ```

    ## Not reported
    ```yaml
    input_shape: [128]
    layers:
      - type: Dense
        units: 128
        activation: relu
        kernel_initializer: {type: RandomUniform, minval: -0.1, maxval: 0.13}
      - {type: Dense, units: 10}
    ```

    ## Use instead
    An initializer of mean 0, such as `he_uniform`. Give RandomUniform a `minval` as well, and
    RandomNormal its `stddev` by name: its first argument is the mean.

    ## References
    - LeCun, Bottou, Orr, Müller 1998, Efficient BackProp, section 4.6
    """

    code = "I103"
    name = "kernel-mean"

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        for layer, parameter in evidence.parameters:
            moments, fans = distribution_moments(parameter), parameter.wired_fans
            if moments is None or fans is None or not moments.variance > 0:
                continue
            if isinstance(parameter.initializer, Bilinear):
                continue  # Each unit has its own channel, and nothing is random.
            fan_in = fans.fan_in
            ratio = fan_in * moments.mean**2 / moments.variance
            if ratio <= _MAX_RATIO or parameter.shape[-1] == 1 or evidence.is_result(layer):
                continue
            yield self.finding(
                evidence,
                layer,
                parameter,
                message=(
                    f"the mean of {parameter.path} is {moments.mean:.3g}, its std "
                    f"{moments.variance**0.5:.3g}: with fan_in {fan_in:,} the part that all units "
                    f"share has {ratio:.3g} times the mean square of their own part"
                ),
                initializer=evidence.suitable(layer, parameter),
            )
