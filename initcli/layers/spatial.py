"""Layers on spatial axes and channels: sequences, images, volumes."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple, TypeVar

from initcli.layers.arguments import ChannelOrder, KernelSize, Strides
from initcli.layers.base import Layer, known_size, per_axis
from initcli.layers.flow import Flow
from initcli.parameter import Parameter
from initcli.types import ArgumentError, Array, DataFormat, Shape, ShapeError, Size, shape_text

AXES = {
    1: "(steps, channels)",
    2: "(height, width, channels)",
    3: "(depth, height, width, channels)",
}
"""The axes besides the batch, by the number of spatial axes."""
_INPUTS = {1: "a sequence", 2: "an image", 3: "a volume"}


class Spatial(NamedTuple):
    """The spatial sizes and the channels of an input."""

    sizes: Shape
    channels: int | None


class SpatialLayer(Layer, frozen=True, kw_only=True):
    """A layer on ``rank`` spatial axes and channels, which keeps the channels by default."""

    registered = False
    rank: ClassVar[int]

    @property
    def order(self) -> DataFormat | None:
        """Where the channels are."""
        return getattr(self, "data_format", None)

    def each(self, argument: str) -> Size:
        """The value of an argument along each spatial axis."""
        return per_axis(getattr(self, argument), self.rank, argument)

    def split(self, shape: Shape) -> Spatial:
        """The spatial sizes and channels of an input of ``rank`` spatial axes."""
        self.require_rank(shape, self.rank + 2, AXES[self.rank])
        return split(shape, self.order)

    def channels(self, shape: Shape) -> int:
        """The number of input channels."""
        self.split(shape)
        return known_size(self, shape, 1 if self.order == "channels_first" else -1)

    def output_shape(self, shape: Shape) -> Shape:
        sizes, channels = self.split(shape)
        return join(shape[0], self.resized(sizes), channels, self.order)

    def resized(self, sizes: Shape) -> Shape:
        """The spatial sizes of the output."""
        return sizes

    def known_sizes(self, shape: Shape) -> Size:
        """The spatial sizes of an input, which must be known."""
        sizes = split(shape, self.order).sizes
        if None in sizes:
            raise ShapeError(
                f"{type(self).__name__} needs all spatial sizes of its input, and "
                f"{shape_text(shape)} lacks one",
                "give the size in input_shape instead of null",
            )
        return sizes  # type: ignore[return-value]

    def call(self, flow: Flow, x: Array) -> Array:
        y = self.transformed(flow, channels_last(flow.xp, x, self.order))
        return channels_back(flow.xp, y, self.order)

    def transformed(self, flow: Flow, x: Array) -> Array:
        """The output for an input, both with the channels last."""
        raise NotImplementedError


class Windowed(SpatialLayer, frozen=True, kw_only=True):
    """A layer with a window that slides over the spatial axes."""

    registered = False

    @property
    def window(self) -> Size:
        """The size of the window along each spatial axis."""
        raise NotImplementedError

    @property
    def steps(self) -> Size:
        """The stride along each spatial axis."""
        return self.each("strides")

    @property
    def dilations(self) -> Size:
        """The dilation along each spatial axis."""
        return self.each("dilation_rate") if hasattr(self, "dilation_rate") else (1,) * self.rank

    def resized(self: Any, sizes: Shape) -> Shape:
        return slide(self, sizes, self.window, self.steps, self.dilations, self.padding)


class Sliding(Windowed, frozen=True, kw_only=True):
    """A layer with a kernel that slides over the spatial axes."""

    registered = False
    dilates_strided: ClassVar[bool] = False
    """Whether strides and dilation may both be more than 1."""

    kernel_size: KernelSize
    strides: Strides = 1
    data_format: ChannelOrder = None

    def __post_init__(self) -> None:
        stride, dilation, _ = max(self.steps), max(self.dilations), self.window
        if stride > 1 and dilation > 1 and not self.dilates_strided:
            raise ArgumentError(
                "dilation_rate",
                f"`strides` ({stride}) and `dilation_rate` ({dilation}) cannot both be more than 1",
                "remove one of them",
            )

    @property
    def window(self) -> Size:
        return self.each("kernel_size")

    def kernel(
        self, path: str, shape: Size, argument: str = "kernel_initializer", **how: Any
    ) -> Parameter:
        """A kernel (k…, inputs, outputs)."""
        axes = tuple(range(self.rank))
        summed, reached = (*axes, self.rank), (*axes, self.rank + 1)
        return self.weight(path, shape, argument, contracts=summed, produces=reached, **how)


Base = TypeVar("Base", bound=SpatialLayer)


def ranked(
    base: type[Base], name: str, doc: str, *ranks: int, alias: str | None = None
) -> list[type[Base]]:
    """A layer type for each number of spatial axes, by default 1 to 3.

    ``name`` and ``alias`` have a gap for that number, ``doc`` one for the input's kind and
    ``{k}`` for the sizes of a kernel.
    """
    make: Any = type(base)
    return [
        make(
            name.format(rank),
            (base,),
            {
                "__doc__": doc.format(_INPUTS[rank], k=", ".join("k" * rank)),
                "__module__": base.__module__,
                "aliases": () if alias is None else (alias.format(rank),),
                "rank": rank,
            },
            frozen=True,
            kw_only=True,
        )
        for rank in ranks or (1, 2, 3)
    ]


def split(shape: Shape, data_format: DataFormat | None) -> Spatial:
    """The spatial sizes and channels of a shape; channels are last by default."""
    if data_format == "channels_first":
        return Spatial(shape[2:], shape[1])
    return Spatial(shape[1:-1], shape[-1])


def join(
    batch: int | None, sizes: Shape, channels: int | None, data_format: DataFormat | None
) -> Shape:
    """The inverse of :func:`split`."""
    if data_format == "channels_first":
        return (batch, channels, *sizes)
    return (batch, *sizes, channels)


def slide(
    layer: Layer, sizes: Shape, window: Size, strides: Size, dilation: Size, padding: str
) -> Shape:
    """The number of windows along each axis.

    ``valid`` keeps within the input, ⌊(n − d(k−1) − 1)/s⌋ + 1; ``same`` and ``causal`` pad it,
    ⌈n/s⌉.

    Raises:
        ShapeError: the window is larger than the input.
    """
    found: list[int | None] = []
    for size, k, s, d in zip(sizes, window, strides, dilation, strict=True):
        if size is None:
            found.append(None)
        elif padding != "valid":
            found.append((size - 1) // s + 1)
        elif size >= d * (k - 1) + 1:
            found.append((size - d * (k - 1) - 1) // s + 1)
        else:
            dilated = f"with dilation {shape_text(dilation)} " if max(dilation) > 1 else ""
            raise ShapeError(
                f"{type(layer).__name__}'s window {shape_text(window)} {dilated}is larger than "
                f"its input {shape_text(sizes)}",
                "use padding: same, or a smaller window",
            )
    return tuple(found)


def spread(
    size: int | None,
    window: int,
    stride: int,
    dilation: int,
    padding: str,
    output_padding: int | None,
) -> int | None:
    """The output size of a transposed convolution along an axis.

    With the window's reach r = d(k−1) + 1: (n − 1)s + r + p for ``valid``, where p is max(r, s) − r
    by default; ns for ``same``, or (n − 1)s + (r mod 2) + p where p is given.
    """
    if size is None:
        return None
    reach = dilation * (window - 1) + 1
    if padding == "valid":
        extra = max(reach, stride) - reach if output_padding is None else output_padding
        return (size - 1) * stride + reach + extra
    if output_padding is None:
        return size * stride
    return (size - 1) * stride + reach % 2 + output_padding


def ends(
    sizes: Size, window: Size, strides: Size, dilation: Size, padding: str
) -> tuple[tuple[int, int], ...]:
    """The padding before and after each axis, for the windows of :func:`slide`.

    As in TensorFlow, ``same`` pads an odd entry at the end.
    """
    found = []
    for n, k, s, d in zip(sizes, window, strides, dilation, strict=True):
        reach = d * (k - 1) + 1
        if padding == "causal":
            found.append((reach - 1, 0))
        else:
            missing = max(((n - 1) // s) * s + reach - n, 0) if padding == "same" else 0
            found.append((missing // 2, missing - missing // 2))
    return tuple(found)


def spread_ends(
    window: Size,
    strides: Size,
    dilation: Size,
    padding: str,
    output_padding: tuple[int | None, ...],
    sizes: Size,
    spread_sizes: Size,
) -> tuple[tuple[int, int], ...]:
    """The entries that a transposed convolution removes at the ends of each axis.

    Negative numbers add entries. ``same`` is that of Keras.
    """
    found = []
    axes = zip(window, strides, dilation, output_padding, sizes, spread_sizes, strict=True)
    for k, s, d, extra, n, m in axes:
        reach = d * (k - 1) + 1
        before = 0
        if padding == "same":
            outer = s + reach - 2 if extra is None else reach + reach % 2 - 2 + extra
            before = reach - 1 - min(outer // 2 + outer % 2, reach - 1)
        found.append((before, (n - 1) * s + reach - before - m))
    return tuple(found)


def channels_last(xp: Any, x: Array, data_format: DataFormat | None) -> Array:
    """An input with its channels last."""
    return xp.moveaxis(x, 1, -1) if data_format == "channels_first" else x


def channels_back(xp: Any, x: Array, data_format: DataFormat | None) -> Array:
    """The inverse of :func:`channels_last`."""
    return xp.moveaxis(x, -1, 1) if data_format == "channels_first" else x
