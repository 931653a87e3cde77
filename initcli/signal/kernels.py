"""Predicted gradients of kernels: products of what flows in and of what flows back."""

from __future__ import annotations

import math

from initcli.layers.core import Dense
from initcli.signal.field import Field
from initcli.signal.program import Step
from initcli.signal.rules.base import Gradient, Weight


def kernel_gradient(
    step: Step, given: Field, back: Gradient, kernel: Weight, examples: int
) -> float | None:
    """The RMS of the gradient of a dense kernel; None where it is not known.

    It is a sum of x g over examples and positions, with x the input and g the gradient of the
    weighted sums, so that its mean square is Σ E[x x'] E[g g'] over all pairs. As E[g g'] is
    multiplied by units · E[w²] on the way to the input, it follows from ``back``.

    Args:
        step: of a dense layer that is called once.
        given: of the input.
        back: gradient that the step sends to its input.
        kernel: moments of the kernel as the layer uses it.
        examples: size of the batch.
    """
    layer = step.layer
    if not isinstance(layer, Dense) or layer.lora_rank is not None or kernel.mean != 0:
        return None
    if kernel.variance == 0:
        return None
    parameter = step.weights["kernel"]
    x, g = given.moments, back.moments / (layer.units * kernel.second)
    positions = given.positions
    places = positions - 1
    total = positions * (
        float((x[0] * g[0]).mean())
        + (examples - 1) * float((x[1] * g[1]).mean())
        + places * float(x[2].mean() * g[2].mean())
        + (examples - 1) * places * float(x[3].mean() * g[3].mean())
    )
    return parameter.multiplier * math.sqrt(max(examples * total, 0.0))
