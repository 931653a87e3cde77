"""How a layer uses a weight: the axes that it sums over, and those that come out."""

from __future__ import annotations

import math
from typing import NamedTuple

from initcli.initializers.base import Fans
from initcli.parameter import Parameter
from initcli.types import CODES, Size


class Wiring(NamedTuple):
    """The fans of a weight as the layer uses it, and the axes that are summed over and come out.

    The product of the input axes is ``fan_in``, or more where a stride skips positions.
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
    """How a weight is used; None where the layer does not say, or packs it as codes."""
    fans = parameter.wired_fans
    if parameter.dtype in CODES:
        return None
    if fans is None or parameter.contracts is None or parameter.produces is None:
        return None
    # A window is counted once: with the inputs.
    outputs = (axis for axis in parameter.produces if axis not in parameter.contracts)
    return Wiring(fans, parameter.contracts, tuple(outputs))
