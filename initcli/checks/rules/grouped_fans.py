"""I302: kernels of grouped convolutions whose fan-out counts every group."""

from __future__ import annotations

from collections.abc import Iterator

from initcli.checks import fan_problems
from initcli.checks.base import Check, Problem
from initcli.checks.evidence import Evidence
from initcli.checks.fans import miscounted
from initcli.layers import convolution


class GroupedFans(Check):
    """Kernels of grouped convolutions whose fan-out counts the filters of all groups.

    With g groups an input channel feeds only the filters of its own group, a g-th of them. Keras
    and PyTorch read the fan-out off the kernel's shape, which has all filters, so that it is g
    times too large. Initializers by the fan-out or by the mean of both fans, such as Glorot's, then
    draw weights that are too small; those by the fan-in are right.
    """

    code = "I302"
    name = "grouped-fans"
    severity = "warning"
    why = "an input channel feeds the filters of one group only (pytorch/pytorch#23854)"
    triggers = """\
input_shape: [16, 16, 64]
layers:
  - {type: Conv2D, filters: 64, kernel_size: 3, groups: 8, kernel_initializer: glorot_uniform}
"""
    passes = """\
input_shape: [16, 16, 64]
layers:
  - {type: Conv2D, filters: 64, kernel_size: 3, groups: 8, kernel_initializer: lecun_uniform}
"""

    def problems(self, evidence: Evidence) -> Iterator[Problem]:
        for layer, parameter in evidence.parameters:
            inner = parameter.owner.layer if parameter.owner else None
            groups = getattr(inner, "groups", 1)
            if isinstance(inner, convolution.ConvTranspose):
                continue  # whose fans are a matter of their own
            if isinstance(groups, int) and groups > 1 and (found := miscounted(parameter)):
                reason = f"each input channel feeds one group of {groups}"
                yield fan_problems.problem(evidence, layer, found, reason)
