"""Convolutions: plain, depthwise, separable and transposed, over one, two or three axes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, ClassVar

from initcli.activations import Linear
from initcli.initializers import GlorotUniform, Initializer, Zeros
from initcli.layers.arguments import (
    BiasInitializer,
    CausalPadding,
    DepthwiseInitializer,
    DilationRate,
    Filters,
    KernelInitializer,
    LoraAlpha,
    LoraRank,
    OutputActivation,
    Padding,
    UseBias,
)
from initcli.layers.base import Work, require_divisor
from initcli.layers.core import adapted, lora
from initcli.layers.flow import Flow
from initcli.layers.spatial import (
    Sliding,
    channels_back,
    channels_last,
    ends,
    join,
    ranked,
    spread,
    spread_ends,
)
from initcli.parameter import Parameter
from initcli.types import (
    ArgumentError,
    Array,
    NonNegativeInt,
    PositiveInt,
    Shape,
    ShapeError,
    Size,
    doc,
)


class Convolution(Sliding, frozen=True, kw_only=True):
    """A window that slides over ``rank`` spatial axes: the base of all convolutions."""

    registered = False

    padding: CausalPadding = "valid"
    dilation_rate: DilationRate = 1
    activation: OutputActivation = Linear()
    use_bias: UseBias = True
    bias_initializer: BiasInitializer = Zeros()

    def produced(self, channels: int) -> int:
        """The number of output channels, from that of input channels."""
        raise NotImplementedError

    def output_shape(self, shape: Shape) -> Shape:
        filters = self.produced(self.channels(shape))
        return join(shape[0], self.resized(self.split(shape).sizes), filters, self.data_format)

    def work(self, inputs: Sequence[Size], outputs: Sequence[Size]) -> Work:
        # Each place of the window moves every entry.
        sizes = inputs[0][2:] if self.data_format == "channels_first" else inputs[0][1:-1]
        places = math.prod(map(min, self.window, sizes))
        return Work(products=10 * places * math.prod(outputs[0]))

    def kernels(self, channels: int) -> Iterator[Parameter]:
        """The kernels for an input of that many channels."""
        raise NotImplementedError

    def parameters(self, shape: Shape) -> Iterator[Parameter]:
        channels = self.channels(shape)
        yield from self.kernels(channels)
        if self.use_bias:
            yield self.weight("bias", (self.produced(channels),), "bias_initializer")

    def call(self, flow: Flow, x: Array) -> Array:
        y = self.transformed(flow, channels_last(flow.xp, x, self.data_format))
        y = channels_back(flow.xp, y + flow["bias"] if self.use_bias else y, self.data_format)
        return self.activation.call(flow.xp, y)

    def convolved(self, flow: Flow, x: Array, kernel: Array, groups: int = 1) -> Array:
        """The convolution of an input whose channels are last."""
        steps, dilations = self.steps, self.dilations
        padding = ends(x.shape[1:-1], kernel.shape[:-2], steps, dilations, self.padding)
        return flow.xp.correlate(x, kernel, flow.xp.Window(steps, dilations, padding, groups))


class _Conv(Convolution, frozen=True, kw_only=True):
    """A convolution: kernel (k…, channels / groups, filters), bias (filters,)."""

    filters: Filters
    groups: Annotated[
        PositiveInt, doc("Number of groups of channels that are convolved separately.")
    ] = 1
    kernel_initializer: KernelInitializer = GlorotUniform()
    lora_rank: LoraRank = None
    lora_alpha: LoraAlpha = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_groups(self.groups, self.filters)

    def widths(self, *inputs: Shape) -> Iterator[tuple[str | int, ...]]:
        yield from super().widths(*inputs)
        if inputs and self.groups == self.channels(inputs[0]) > 1:
            yield ("groups",)  # one group a channel, also of a wider model

    def produced(self, channels: int) -> int:
        _require_groups(self.groups, self.filters, channels)
        return self.filters

    def kernels(self, channels: int) -> Iterator[Parameter]:
        shape = (*self.window, channels // self.groups, self.filters)
        trainable, divided = self.lora_rank is None, (1, self.groups)
        yield self.kernel("kernel", shape, trainable=trainable, divided=divided)

    def parameters(self, shape: Shape) -> Iterator[Parameter]:
        yield from super().parameters(shape)
        kernel = (*self.window, self.channels(shape) // self.groups, self.filters)
        yield from lora("kernel", kernel, self.lora_rank)

    def transformed(self, flow: Flow, x: Array) -> Array:
        kernel = adapted(flow, "kernel", self.lora_rank, self.lora_alpha)
        return self.convolved(flow, x, kernel, self.groups)


class Conv1D(_Conv, frozen=True, kw_only=True):
    """A convolution over time: (batch, steps, channels) to (batch, windows, filters).

    Kernel (k, channels / groups, filters), bias (filters,).
    """

    aliases = ("Convolution1D",)
    rank = 1


class _ConvOfImage(_Conv, frozen=True, kw_only=True):
    padding: Padding = "valid"


Conv2D, Conv3D = ranked(
    _ConvOfImage,
    "Conv{}D",
    "A convolution over {}: kernel ({k}, channels / groups, filters).",
    2,
    3,
    alias="Convolution{}D",
)


class _Depthwise(Convolution, frozen=True, kw_only=True):
    """A convolution of each channel alone: kernel (k…, channels, depth_multiplier)."""

    dilates_strided = True

    padding: Padding = "valid"
    depth_multiplier: Annotated[
        PositiveInt, doc("Number of output channels for each input channel.")
    ] = 1
    depthwise_initializer: DepthwiseInitializer = GlorotUniform()

    def depthwise_kernel(self, name: str, channels: int) -> Parameter:
        """The kernel of the depthwise convolution."""
        shape, axes = (*self.window, channels, self.depth_multiplier), tuple(range(self.rank))
        produces = (*axes, self.rank + 1)
        return self.weight(name, shape, "depthwise_initializer", contracts=axes, produces=produces)

    def apart(self, flow: Flow, x: Array, kernel: Array) -> Array:
        """The convolution of each channel of an input whose channels are last."""
        *size, channels, multiplier = kernel.shape
        grouped = flow.xp.reshape(kernel, (*size, 1, channels * multiplier))
        return self.convolved(flow, x, grouped, channels)


class DepthwiseConv(_Depthwise, frozen=True, kw_only=True):
    """A convolution of each channel alone: kernel (k…, channels, m), bias (channels · m,).

    Keras counts fans as for an ordinary convolution, as if every channel fed every output.
    """

    registered = False

    def produced(self, channels: int) -> int:
        return channels * self.depth_multiplier

    def kernels(self, channels: int) -> Iterator[Parameter]:
        yield self.depthwise_kernel("kernel", channels)

    def transformed(self, flow: Flow, x: Array) -> Array:
        return self.apart(flow, x, flow["kernel"])


DepthwiseConv1D, DepthwiseConv2D = ranked(
    DepthwiseConv,
    "DepthwiseConv{}D",
    "A convolution of each channel of {} alone: kernel ({k}, channels, m).",
    1,
    2,
)


class SeparableConv(_Depthwise, frozen=True, kw_only=True):
    """A convolution of each channel alone, then one of size 1 that mixes the channels.

    Shapes: depthwise_kernel (k…, channels, m), pointwise_kernel (1…, channels · m, filters), bias
    (filters,).
    """

    registered = False

    filters: Filters
    pointwise_initializer: Annotated[Initializer, doc("Fills the pointwise kernel.")] = (
        GlorotUniform()
    )

    def produced(self, channels: int) -> int:
        return self.filters

    def kernels(self, channels: int) -> Iterator[Parameter]:
        yield self.depthwise_kernel("depthwise_kernel", channels)
        shape = (*(1,) * self.rank, channels * self.depth_multiplier, self.filters)
        yield self.kernel("pointwise_kernel", shape, "pointwise_initializer")

    def transformed(self, flow: Flow, x: Array) -> Array:
        y = self.apart(flow, x, flow["depthwise_kernel"])
        pointwise = flow["pointwise_kernel"]
        return flow.xp.matmul(y, flow.xp.reshape(pointwise, pointwise.shape[-2:]))


SeparableConv1D, SeparableConv2D = ranked(
    SeparableConv,
    "SeparableConv{}D",
    "A depthwise convolution over {}, then one of size 1 that mixes channels.",
    1,
    2,
    alias="SeparableConvolution{}D",
)


class ConvTranspose(Convolution, frozen=True, kw_only=True):
    """A transposed convolution: kernel (k…, filters / groups, channels), bias (filters,).

    Keras counts fans as for an ordinary convolution, so that fan_in counts the filters and fan_out
    the input channels.
    """

    registered = False
    only_in: ClassVar[Mapping[str, str]] = {"groups": "torch"}

    filters: Filters
    groups: Annotated[
        PositiveInt,
        doc("Number of groups of channels that are convolved separately. Only in PyTorch."),
    ] = 1
    padding: Padding = "valid"
    output_padding: Annotated[
        NonNegativeInt | tuple[NonNegativeInt, ...] | None,
        doc("Number added to the size of the output along each spatial axis."),
    ] = None
    kernel_initializer: KernelInitializer = GlorotUniform()

    def __post_init__(self) -> None:
        super().__post_init__()
        for extra, stride in zip(self._output_padding, self.steps, strict=True):
            if extra is not None and extra >= stride:
                raise ArgumentError(
                    "output_padding",
                    f"`output_padding` ({extra}) must be less than `strides` ({stride})",
                )
        _require_groups(self.groups, self.filters)

    def produced(self, channels: int) -> int:
        _require_groups(self.groups, self.filters, channels)
        return self.filters

    def resized(self, sizes: Shape) -> Shape:
        axes = zip(
            sizes, self.window, self.steps, self.dilations, self._output_padding, strict=True
        )
        return tuple(spread(n, k, s, d, self.padding, extra) for n, k, s, d, extra in axes)

    def kernels(self, channels: int) -> Iterator[Parameter]:
        yield self.weight(
            "kernel",
            (*self.window, self.filters // self.groups, channels),
            "kernel_initializer",
            contracts=(*range(self.rank), self.rank + 1),
            produces=tuple(range(self.rank + 1)),
            divided=(self.groups * math.prod(self.steps), 1),
        )

    def transformed(self, flow: Flow, x: Array) -> Array:
        sizes = x.shape[1:-1]
        wider = tuple(size or 0 for size in self.resized(sizes))
        steps, dilations, extras = self.steps, self.dilations, self._output_padding
        padding = spread_ends(self.window, steps, dilations, self.padding, extras, sizes, wider)
        window = flow.xp.Window(steps, dilations, padding, self.groups)
        return flow.xp.spread(x, flow["kernel"], window, wider)

    @property
    def _output_padding(self) -> tuple[int | None, ...]:
        if self.output_padding is None:
            return (None,) * self.rank
        return self.each("output_padding")


Conv1DTranspose, Conv2DTranspose, Conv3DTranspose = ranked(
    ConvTranspose,
    "Conv{}DTranspose",
    "A transposed convolution over {}: kernel ({k}, filters, channels).",
    alias="Convolution{}DTranspose",
)


def _require_groups(groups: int, filters: int, channels: int = 0) -> None:
    """Raise unless the groups divide the output channels and the input channels."""
    require_divisor("groups", groups, "filters", filters)
    if channels % groups:
        raise ShapeError(f"`groups` ({groups}) must divide the {channels} input channels")
