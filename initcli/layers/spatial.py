"""Sizes of tensors with spatial axes and channels: sequences, images, volumes."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from initcli.layers.base import Layer, per_axis
from initcli.types import ArgumentError, Array, DataFormat, Shape, ShapeError, Size, shape_text

AXES = {
    1: "(steps, channels)",
    2: "(height, width, channels)",
    3: "(depth, height, width, channels)",
}
"""The axes besides the batch, by the number of spatial axes."""


class Spatial(NamedTuple):
    """The spatial sizes and the channels of an input."""

    sizes: Shape
    channels: int | None


class Sliding:
    """A layer with a window that slides over ``rank`` spatial axes."""

    __slots__ = ()

    rank: ClassVar[int]
    dilates_strided: ClassVar[bool] = False
    """Whether strides and dilation may both be more than 1."""

    kernel_size: Any
    strides: Any

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
        """The size of the window along each spatial axis."""
        return per_axis(self.kernel_size, self.rank, "kernel_size")

    @property
    def steps(self) -> Size:
        """The stride along each spatial axis."""
        return per_axis(self.strides, self.rank, "strides")

    @property
    def dilations(self) -> Size:
        """The dilation along each spatial axis."""
        return per_axis(getattr(self, "dilation_rate", 1), self.rank, "dilation_rate")


def require_spatial(layer: Layer, shape: Shape, rank: int) -> None:
    """Raise ShapeError unless the input has a batch, ``rank`` spatial axes and channels."""
    layer.require_rank(shape, rank + 2, AXES[rank])


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
