"""I303: kernels of transposed convolutions whose fans are swapped, or forget the stride."""

from __future__ import annotations

from collections.abc import Iterator

from initcli.checks import fan_problems
from initcli.checks.base import Check, Problem
from initcli.checks.evidence import Evidence
from initcli.checks.fans import miscounted
from initcli.layers import convolution


class TransposedFans(Check):
    """Kernels of transposed convolutions whose fans are those of the convolution they transpose.

    A transposed convolution has a kernel (k, k, filters, channels). Read as that of a plain
    convolution, its fan-in counts the filters that come out and its fan-out the channels that go
    in: the two are swapped. Besides, with stride s each output is reached by only one in s · s of
    the kernel's positions, so that the real fan-in is k · k · channels / s². Keras and PyTorch
    count neither.

    A kernel of 4 with stride 2 that leads from 256 channels to 128 has a real fan-in of 1,024, and
    is given one of 2,048 by He's initializer: what comes out has half the variance it should have.
    """

    code = "I303"
    name = "transposed-fans"
    severity = "warning"
    why = (
        "a transposed convolution sums over the channels that come in, at one in stride² of the "
        "kernel's positions (tensorflow/tensorflow#31192)"
    )
    triggers = """\
input_shape: [8, 8, 256]
layers:
  - {type: Conv2DTranspose, filters: 128, kernel_size: 4, strides: 2, padding: same,
     kernel_initializer: he_normal}
"""
    passes = """\
input_shape: [8, 8, 256]
layers:
  - {type: Conv2DTranspose, filters: 64, kernel_size: 4, strides: 2, padding: same,
     kernel_initializer: he_normal}
"""

    def problems(self, evidence: Evidence) -> Iterator[Problem]:
        for layer, parameter in evidence.parameters:
            owner = parameter.owner
            if owner is None or not isinstance(owner.layer, convolution.ConvTranspose):
                continue
            if found := miscounted(parameter):
                reason = "it sums over the channels that come in, at one in stride² positions"
                yield fan_problems.problem(evidence, layer, found, reason)
