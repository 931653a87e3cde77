"""I301: depthwise kernels whose fan-in counts every channel."""

from __future__ import annotations

from collections.abc import Iterator

from initcli.checks import fan_problems
from initcli.checks.base import Check, Problem
from initcli.checks.evidence import Evidence
from initcli.checks.fans import miscounted
from initcli.layers import convolution


class DepthwiseFans(Check):
    """Depthwise kernels whose fans are counted as those of a plain convolution.

    A depthwise convolution sums over its window alone: each output comes from k · k entries of one
    channel. Keras gives the kernel the shape (k, k, channels, multiplier) and counts k · k ·
    channels as its fan-in, as if every channel fed every output. Initializers that scale by a fan
    then draw weights that are too small, by about the root of the number of channels: 5.7 times
    with 32 channels.

    A normalization behind the layer hides it, as in MobileNet, and the finding says so; without one
    the signal shrinks by that factor. It is a fact about the framework, and so a warning.
    """

    code = "I301"
    name = "depthwise-fans"
    severity = "warning"
    why = "each output of a depthwise convolution sees one channel only (keras-team/keras#11773)"
    triggers = """\
input_shape: [16, 16, 32]
layers:
  - {type: DepthwiseConv2D, kernel_size: 3, depthwise_initializer: he_normal}
"""
    passes = """\
input_shape: [16, 16, 32]
layers:
  - type: DepthwiseConv2D
    kernel_size: 3
    depthwise_initializer:
      {type: HeNormal, input_axes: [0, 1], output_axes: [2, 3]}
"""

    def problems(self, evidence: Evidence) -> Iterator[Problem]:
        for layer, parameter in evidence.parameters:
            owner = parameter.owner
            kinds = convolution.DepthwiseConv | convolution.SeparableConv
            if owner is None or not isinstance(owner.layer, kinds):
                continue
            if parameter.argument == "depthwise_initializer" and (found := miscounted(parameter)):
                reason = "each output sees one channel"
                yield fan_problems.problem(evidence, layer, found, reason)
