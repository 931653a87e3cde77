"""How many inputs one output of a weight is really summed from, and how many outputs one feeds."""

from __future__ import annotations

import math
from typing import NamedTuple

from initcli.initializers import Scaled
from initcli.initializers.base import Fans
from initcli.layers import Layer, attention, convolution, core, einsum
from initcli.layers.base import per_axis
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
    origin = parameter.origin
    if origin is None or len(parameter.shape) < 2 or parameter.dtype in CODES:
        return None  # Codes lie as they are packed.
    layer: Layer = origin.layer
    shape, rank = parameter.shape, len(parameter.shape) - 2
    window = math.prod(shape[:rank])
    spatial = tuple(range(rank))
    match layer:
        case core.Dense() if origin.name == "kernel":
            return Wiring(Fans(*shape), (0,), (1,))
        case convolution.ConvTranspose() if origin.name == "kernel":
            strides = math.prod(per_axis(layer.strides, layer.rank, "strides"))
            into = max(round(window * shape[-1] / (strides * layer.groups)), 1)
            return Wiring(Fans(into, window * shape[-2]), (*spatial, rank + 1), (rank,))
        case convolution.Convolution() if origin.name in ("kernel", "depthwise_kernel"):
            if isinstance(layer, convolution.DepthwiseConv | convolution.SeparableConv):
                return Wiring(Fans(window, window * shape[-1]), spatial, (rank, rank + 1))
            groups = getattr(layer, "groups", 1)
            fans = Fans(window * shape[-2], window * shape[-1] // groups)
            return Wiring(fans, (*spatial, rank), (rank + 1,))
        case convolution.SeparableConv() if origin.name == "pointwise_kernel":
            return Wiring(Fans(shape[-2], shape[-1]), (*spatial, rank), (rank + 1,))
        case einsum.EinsumDense() if origin.name == "kernel":
            return _projection(shape, *_einsum_axes(layer))
        case attention.MultiHeadAttention() | attention.GroupedQueryAttention():
            if origin.name.endswith("/kernel"):
                inputs = 2 if origin.name.startswith("attention_output") else 1
                axes = tuple(range(len(shape)))
                return _projection(shape, axes[:inputs], axes[inputs:])
    return None


def _einsum_axes(layer: einsum.EinsumDense) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What is summed over, and what is new; an axis of all three is neither: it stays as it is."""
    given, _, rest = layer.equation.partition(",")
    kernel, _, output = rest.partition("->")
    axes = range(len(kernel))
    return (
        tuple(i for i in axes if kernel[i] not in output),
        tuple(i for i in axes if kernel[i] not in given),
    )


def _projection(shape: Size, inputs: tuple[int, ...], outputs: tuple[int, ...]) -> Wiring:
    fans = Fans(math.prod(shape[i] for i in inputs), math.prod(shape[i] for i in outputs))
    return Wiring(fans, inputs, outputs)


def _product(shape: Size, axes: tuple[int, ...]) -> int:
    return math.prod(shape[axis] for axis in axes if -len(shape) <= axis < len(shape))


class Miscounted(NamedTuple):
    """A weight whose initializer counts other fans than the layer has."""

    parameter: Parameter
    counted: Fans
    wiring: Wiring
    std: float
    """Of the law as it is."""
    wanted: float
    """Of the law with the layer's own fans."""


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
    std, wanted = initializer.law_for(counted).std, initializer.law_for(found.fans).std
    if abs(math.log(std / wanted)) < _NEAR:
        return None
    return Miscounted(parameter, counted, found, std, wanted)
