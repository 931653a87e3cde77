"""How many inputs one output of a weight is really summed from, and how many outputs one feeds."""

from __future__ import annotations

import math
from typing import NamedTuple

from initcli.initializers import Scaled
from initcli.initializers.base import Fans
from initcli.parameter import Parameter
from initcli.types import CODES, Size

_NEAR = 0.05
"""How far two standard deviations may be apart that are called the same."""


class Wiring(NamedTuple):
    """The fans of a weight as the layer uses it, and the axes that are summed over and come out.

    The product of the input axes is ``fan_in``, or where a stride skips positions more than that.
    """

    fans: Fans
    input_axes: tuple[int, ...]
    output_axes: tuple[int, ...]


def wiring(parameter: Parameter) -> Wiring | None:
    """How a weight of that layer is used; None where nobody has said."""
    fans = parameter.wired_fans
    if parameter.dtype in CODES:
        return None  # Codes lie as they are packed.
    if fans is None or parameter.contracts is None or parameter.produces is None:
        return None
    # A window is counted once: with the inputs.
    outputs = (axis for axis in parameter.produces if axis not in parameter.contracts)
    return Wiring(fans, parameter.contracts, tuple(outputs))


def _product(shape: Size, axes: tuple[int, ...]) -> int:
    return math.prod(shape[axis] for axis in axes if -len(shape) <= axis < len(shape))


class Miscounted(NamedTuple):
    """A weight whose initializer counts other fans than the layer has."""

    parameter: Parameter
    counted: Fans
    wiring: Wiring
    std: float
    """Of the distribution as it is."""
    wanted: float
    """Of the distribution with the layer's own fans."""


def miscounted(parameter: Parameter) -> Miscounted | None:
    """What the fans of a parameter come to, where they give it another standard deviation."""
    initializer = parameter.initializer
    found = wiring(parameter)
    if found is None or not isinstance(initializer, Scaled):
        return None
    axes = initializer.input_axes
    if axes is not None and _product(parameter.shape, axes) == _product(
        parameter.shape, found.input_axes
    ):
        # Whoever names the axes that are summed over has counted them.
        return None
    counted = initializer.fans(parameter.shape)
    std, wanted = (
        initializer.distribution_of_fans(counted).std,
        initializer.distribution_of_fans(found.fans).std,
    )
    if abs(math.log(std / wanted)) < _NEAR:
        return None
    return Miscounted(parameter, counted, found, std, wanted)
