"""Convolutions: plain, depthwise, separable and transposed, over one, two or three axes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar

from initcli.activations import Linear
from initcli.initializers import GlorotUniform, Initializer, Zeros
from initcli.layers.arguments import (
    BiasInitializer,
    CausalPadding,
    ChannelOrder,
    DepthwiseInitializer,
    DilationRate,
    Filters,
    KernelInitializer,
    KernelSize,
    LoraAlpha,
    LoraRank,
    OutputActivation,
    Padding,
    Strides,
    UseBias,
)
from initcli.layers.base import Layer, known_size, per_axis
from initcli.layers.core import adapted, lora
from initcli.layers.flow import Flow
from initcli.layers.spatial import (
    Sliding,
    channels_back,
    channels_last,
    ends,
    join,
    require_spatial,
    slide,
    split,
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
    doc,
)


class Convolution(Sliding, Layer, frozen=True, kw_only=True):
    """A window that slides over ``rank`` spatial axes: the base of all convolutions."""

    registered = False

    kernel_size: KernelSize
    strides: Strides = 1
    padding: CausalPadding = "valid"
    data_format: ChannelOrder = None
    dilation_rate: DilationRate = 1
    activation: OutputActivation = Linear()
    use_bias: UseBias = True
    bias_initializer: BiasInitializer = Zeros()

    def channels(self, shape: Shape) -> int:
        """The number of input channels."""
        require_spatial(self, shape, self.rank)
        return known_size(self, shape, 1 if self.data_format == "channels_first" else -1)

    def slid(self, shape: Shape, filters: int) -> Shape:
        """The output shape of the sliding window.

        Raises:
            ShapeError: the window is larger than the input.
        """
        sizes = split(shape, self.data_format).sizes
        found = slide(self, sizes, self.window, self.steps, self.dilations, self.padding)
        return join(shape[0], found, filters, self.data_format)

    def convolved(self, flow: Flow, x: Array, kernel: Array, groups: int = 1) -> Array:
        """The convolution of an input whose channels are last."""
        steps, dilations = self.steps, self.dilations
        padding = ends(x.shape[1:-1], kernel.shape[:-2], steps, dilations, self.padding)
        window = flow.xp.Window(steps, dilations, padding, groups)
        return flow.xp.correlate(x, kernel, window)

    def finished(self, flow: Flow, y: Array) -> Array:
        """The output with bias, activation and channel order."""
        y = channels_back(flow.xp, y + flow["bias"] if self.use_bias else y, self.data_format)
        return self.activation.call(flow.xp, y)

    def bias(self, filters: int) -> Iterator[Parameter]:
        """The bias, one entry for each output channel, if any."""
        if self.use_bias:
            yield self.weight("bias", (filters,), "bias_initializer")


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

    def output_shape(self, shape: Shape) -> Shape:
        _require_groups(self.groups, self.filters, self.channels(shape))
        return self.slid(shape, self.filters)

    def parameters(self, shape: Shape) -> Iterator[Parameter]:
        kernel = (*self.window, self.channels(shape) // self.groups, self.filters)
        yield self.weight(
            "kernel",
            kernel,
            "kernel_initializer",
            trainable=self.lora_rank is None,
            contracts=tuple(range(self.rank + 1)),
            produces=(*range(self.rank), self.rank + 1),
            divided=(1, self.groups),
        )
        yield from self.bias(self.filters)
        yield from lora("lora_kernel", kernel, self.lora_rank)

    def call(self, flow: Flow, x: Array) -> Array:
        kernel = adapted(flow, "kernel", "lora_kernel", self.lora_rank, self.lora_alpha)
        x = channels_last(flow.xp, x, self.data_format)
        return self.finished(flow, self.convolved(flow, x, kernel, self.groups))


class Conv1D(_Conv, frozen=True, kw_only=True):
    """A convolution over time: (batch, steps, channels) to (batch, windows, filters).

    Kernel (k, channels / groups, filters), bias (filters,).
    """

    aliases: ClassVar[tuple[str, ...]] = ("Convolution1D",)

    rank = 1


class Conv2D(_Conv, frozen=True, kw_only=True):
    """A convolution over an image: kernel (k, k, channels / groups, filters)."""

    aliases: ClassVar[tuple[str, ...]] = ("Convolution2D",)

    rank = 2
    padding: Padding = "valid"


class Conv3D(_Conv, frozen=True, kw_only=True):
    """A convolution over a volume: kernel (k, k, k, channels / groups, filters)."""

    aliases: ClassVar[tuple[str, ...]] = ("Convolution3D",)

    rank = 3
    padding: Padding = "valid"


class _Depthwise(Convolution, frozen=True, kw_only=True):
    """A convolution of each channel alone: kernel (k…, channels, depth_multiplier)."""

    dilates_strided = True

    padding: Padding = "valid"
    depth_multiplier: Annotated[
        PositiveInt, doc("Number of output channels for each input channel.")
    ] = 1
    depthwise_initializer: DepthwiseInitializer = GlorotUniform()

    def apart(self, flow: Flow, x: Array, kernel: Array) -> Array:
        """The convolution of each channel of an input whose channels are last."""
        *size, channels, multiplier = kernel.shape
        grouped = flow.xp.reshape(kernel, (*size, 1, channels * multiplier))
        return self.convolved(flow, x, grouped, channels)

    def depthwise_kernel(self, name: str, shape: Shape) -> Parameter:
        """The kernel of the depthwise convolution."""
        return self.weight(
            name,
            (*self.window, self.channels(shape), self.depth_multiplier),
            "depthwise_initializer",
            contracts=tuple(range(self.rank)),
            produces=(*range(self.rank), self.rank + 1),
        )


class DepthwiseConv(_Depthwise, frozen=True, kw_only=True):
    """A convolution of each channel alone: kernel (k…, channels, m), bias (channels · m,).

    Keras counts fans as for an ordinary convolution, as if every channel fed every output.
    """

    registered = False

    def output_shape(self, shape: Shape) -> Shape:
        return self.slid(shape, self.channels(shape) * self.depth_multiplier)

    def parameters(self, shape: Shape) -> Iterator[Parameter]:
        yield self.depthwise_kernel("kernel", shape)
        yield from self.bias(self.channels(shape) * self.depth_multiplier)

    def call(self, flow: Flow, x: Array) -> Array:
        x = channels_last(flow.xp, x, self.data_format)
        return self.finished(flow, self.apart(flow, x, flow["kernel"]))


class DepthwiseConv1D(DepthwiseConv, frozen=True, kw_only=True):
    """A convolution of each channel of a sequence alone: kernel (k, channels, m)."""

    rank = 1


class DepthwiseConv2D(DepthwiseConv, frozen=True, kw_only=True):
    """A convolution of each channel of an image alone: kernel (k, k, channels, m)."""

    rank = 2


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

    def output_shape(self, shape: Shape) -> Shape:
        self.channels(shape)
        return self.slid(shape, self.filters)

    def parameters(self, shape: Shape) -> Iterator[Parameter]:
        yield self.depthwise_kernel("depthwise_kernel", shape)
        mixed = self.channels(shape) * self.depth_multiplier
        yield self.weight(
            "pointwise_kernel",
            (*(1,) * self.rank, mixed, self.filters),
            "pointwise_initializer",
            contracts=tuple(range(self.rank + 1)),
            produces=(*range(self.rank), self.rank + 1),
        )
        yield from self.bias(self.filters)

    def call(self, flow: Flow, x: Array) -> Array:
        x = channels_last(flow.xp, x, self.data_format)
        y = self.apart(flow, x, flow["depthwise_kernel"])
        pointwise = flow["pointwise_kernel"]
        return self.finished(
            flow, flow.xp.matmul(y, flow.xp.reshape(pointwise, pointwise.shape[-2:]))
        )


class SeparableConv1D(SeparableConv, frozen=True, kw_only=True):
    """A depthwise convolution over time, then one of width 1 that mixes channels."""

    aliases: ClassVar[tuple[str, ...]] = ("SeparableConvolution1D",)

    rank = 1


class SeparableConv2D(SeparableConv, frozen=True, kw_only=True):
    """A depthwise convolution over an image, then one of size 1 × 1 that mixes channels."""

    aliases: ClassVar[tuple[str, ...]] = ("SeparableConvolution2D",)

    rank = 2


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

    def output_shape(self, shape: Shape) -> Shape:
        _require_groups(self.groups, self.filters, self.channels(shape))
        sizes = self.spread_sizes(split(shape, self.data_format).sizes)
        return join(shape[0], sizes, self.filters, self.data_format)

    def spread_sizes(self, sizes: Shape) -> Shape:
        """The spatial sizes of the output."""
        axes = zip(
            sizes, self.window, self.steps, self.dilations, self._output_padding, strict=True
        )
        return tuple(spread(n, k, s, d, self.padding, extra) for n, k, s, d, extra in axes)

    def parameters(self, shape: Shape) -> Iterator[Parameter]:
        yield self.weight(
            "kernel",
            (*self.window, self.filters // self.groups, self.channels(shape)),
            "kernel_initializer",
            contracts=(*range(self.rank), self.rank + 1),
            produces=tuple(range(self.rank + 1)),
            divided=(self.groups * math.prod(self.steps), 1),
        )
        yield from self.bias(self.filters)

    def call(self, flow: Flow, x: Array) -> Array:
        x = channels_last(flow.xp, x, self.data_format)
        sizes = x.shape[1:-1]
        wider = tuple(size or 0 for size in self.spread_sizes(sizes))
        steps, dilations, extras = self.steps, self.dilations, self._output_padding
        padding = spread_ends(self.window, steps, dilations, self.padding, extras, sizes, wider)
        window = flow.xp.Window(steps, dilations, padding, self.groups)
        return self.finished(flow, flow.xp.spread(x, flow["kernel"], window, wider))

    @property
    def _output_padding(self) -> tuple[int | None, ...]:
        if self.output_padding is None:
            return (None,) * self.rank
        return per_axis(self.output_padding, self.rank, "output_padding")


class Conv1DTranspose(ConvTranspose, frozen=True, kw_only=True):
    """A transposed convolution over time: kernel (k, filters, channels)."""

    aliases: ClassVar[tuple[str, ...]] = ("Convolution1DTranspose",)

    rank = 1


class Conv2DTranspose(ConvTranspose, frozen=True, kw_only=True):
    """A transposed convolution over an image: kernel (k, k, filters, channels)."""

    aliases: ClassVar[tuple[str, ...]] = ("Convolution2DTranspose",)

    rank = 2


class Conv3DTranspose(ConvTranspose, frozen=True, kw_only=True):
    """A transposed convolution over a volume: kernel (k, k, k, filters, channels)."""

    aliases: ClassVar[tuple[str, ...]] = ("Convolution3DTranspose",)

    rank = 3


def _require_groups(groups: int, filters: int, channels: int = 0) -> None:
    """Raise unless the groups divide the output channels and the input channels."""
    if filters % groups:
        raise ArgumentError("groups", f"`groups` ({groups}) must divide `filters` ({filters})")
    if channels % groups:
        raise ShapeError(f"`groups` ({groups}) must divide the {channels} input channels")
