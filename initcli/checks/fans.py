"""How a layer uses a weight: the axes that it sums over, and the axes of its output."""

from __future__ import annotations

import math
from typing import NamedTuple

from initcli.initializers.base import Fans
from initcli.parameter import Parameter
from initcli.types import CODES, Size


class Wiring(NamedTuple):
    """The fans of a weight as the layer uses it, and its input and output axes.

    The product of the input axes is ``fan_in``, or more if a stride skips positions.
    """

    fans: Fans
    input_axes: tuple[int, ...]
    output_axes: tuple[int, ...]

    def counts_as(self, shape: Size, axes: tuple[int, ...]) -> bool:
        """Whether other input axes have the same number of entries."""
        known = (axis for axis in axes if -len(shape) <= axis < len(shape))
        return math.prod(shape[axis] for axis in known) == self.inputs(shape)

    def inputs(self, shape: Size) -> int:
        """The number of entries on the input axes."""
        return math.prod(shape[axis] for axis in self.input_axes)


def wiring(parameter: Parameter) -> Wiring | None:
    """How a layer uses a weight; None if it does not declare that, or stores it quantized."""
    fans = parameter.wired_fans
    if parameter.dtype in CODES:
        return None
    if fans is None or parameter.contracts is None or parameter.produces is None:
        return None
    # The window counts only as input.
    outputs = (axis for axis in parameter.produces if axis not in parameter.contracts)
    return Wiring(fans, parameter.contracts, tuple(outputs))
