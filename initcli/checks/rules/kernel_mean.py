"""I103: kernels whose mean outweighs what is random about them."""

from __future__ import annotations

from collections.abc import Iterator

from initcli.checks.base import Check, Problem
from initcli.checks.evidence import Evidence
from initcli.checks.fans import wiring
from initcli.initializers import Bilinear
from initcli.signal.theory import distribution_moments

_TIMES = 10.0
"""How many times what all units share may be of what is their own, in mean squares."""


class KernelMean(Check):
    """A kernel whose mean is not 0 makes its units nearly identical.

    With entries of mean m and standard deviation s, a unit computes m times the sum of all its
    inputs, which is the same for every unit, and something random of its own. The first has fan_in
    · m² / s² times the mean square of the second where inputs have the same sign, as behind a ReLU.
    So a mean that looks small outweighs everything else in a wide layer: U(0, 0.1) with 128 inputs
    does so 384 times. The layer is then close to a single unit, and the signal grows by fan_in · m
    a layer.

    It happens with RandomUniform where only `maxval` is given a thought, and with a RandomNormal
    whose first argument was meant for its stddev.
    """

    code = "I103"
    name = "kernel-mean"
    why = (
        "units that share most of what they compute learn the same, and positive kernels make the "
        "signal grow with the fan-in; weights start with mean 0 (LeCun et al. 1998, Efficient "
        "BackProp, 4.6)"
    )
    triggers = """\
input_shape: [128]
layers:
  - type: Dense
    units: 128
    activation: relu
    kernel_initializer: {type: RandomUniform, minval: 0.0, maxval: 0.1}
  - {type: Dense, units: 10}
"""
    passes = """\
input_shape: [128]
layers:
  - type: Dense
    units: 128
    activation: relu
    kernel_initializer: {type: RandomUniform, minval: -0.1, maxval: 0.13}
  - {type: Dense, units: 10}
"""

    def problems(self, evidence: Evidence) -> Iterator[Problem]:
        for layer, parameter in evidence.parameters:
            moments, wired = distribution_moments(parameter), wiring(parameter)
            if moments is None or wired is None or not moments.variance > 0:
                continue
            if isinstance(parameter.initializer, Bilinear):
                continue  # in which a unit takes one channel, and nothing is random
            fan_in = wired.fans.fan_in
            times = fan_in * moments.mean**2 / moments.variance
            if times <= _TIMES or parameter.shape[-1] == 1 or evidence.is_result(layer):
                continue
            value = evidence.suitable(layer, parameter)
            std = moments.variance**0.5
            yield evidence.problem(
                layer,
                parameter,
                message=(
                    f"the mean of {parameter.path} is {moments.mean:.3g}, its std {std:.3g}: with "
                    f"fan_in {fan_in:,} what all units share has {times:.3g} times the size of "
                    "what is their own"
                ),
                remedy=evidence.written(parameter, value),
                changes=evidence.change(layer, parameter, value),
            )
