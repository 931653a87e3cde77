"""Pooling: the largest or the mean of a window, or of the whole input."""

from __future__ import annotations

from typing import ClassVar

from initcli.layers.base import Layer, per_axis
from initcli.layers.convolution import Padding, Sizes
from initcli.layers.spatial import join, require_spatial, slide, split
from initcli.types import DataFormat, Shape


class _Pooling(Layer, frozen=True, kw_only=True):
    """A window that slides over ``rank`` spatial axes, by ``strides`` or else its own size."""

    rank: ClassVar[int]

    pool_size: Sizes = 2
    strides: Sizes | None = None
    padding: Padding = "valid"
    data_format: DataFormat | None = None

    def __post_init__(self) -> None:
        per_axis(self.pool_size, self.rank, "pool_size")
        if self.strides is not None:
            per_axis(self.strides, self.rank, "strides")

    def output_shape(self, shape: Shape) -> Shape:
        require_spatial(self, shape, self.rank)
        sizes, channels = split(shape, self.data_format)
        window = per_axis(self.pool_size, self.rank, "pool_size")
        strides = window if self.strides is None else per_axis(self.strides, self.rank, "strides")
        found = slide(self, sizes, window, strides, (1,) * self.rank, self.padding)
        return join(shape[0], found, channels, self.data_format)


class _AveragePooling(_Pooling, frozen=True, kw_only=True):
    """The mean of each window; its size has no default over two axes and more, as in Keras."""

    pool_size: Sizes


class _GlobalPooling(Layer, frozen=True, kw_only=True):
    """One number a channel, whatever the spatial sizes, which ``keepdims`` keeps as 1."""

    rank: ClassVar[int]

    data_format: DataFormat | None = None
    keepdims: bool = False

    def output_shape(self, shape: Shape) -> Shape:
        require_spatial(self, shape, self.rank)
        channels = split(shape, self.data_format).channels
        return join(shape[0], (1,) * self.rank if self.keepdims else (), channels, self.data_format)


class MaxPooling1D(_Pooling, frozen=True, kw_only=True):
    """The largest entry of each window of a sequence."""

    aliases: ClassVar[tuple[str, ...]] = ("MaxPool1D",)

    rank = 1


class MaxPooling2D(_Pooling, frozen=True, kw_only=True):
    """The largest entry of each window of an image."""

    aliases: ClassVar[tuple[str, ...]] = ("MaxPool2D",)

    rank = 2


class MaxPooling3D(_Pooling, frozen=True, kw_only=True):
    """The largest entry of each window of a volume."""

    aliases: ClassVar[tuple[str, ...]] = ("MaxPool3D",)

    rank = 3


class AveragePooling1D(_AveragePooling, frozen=True, kw_only=True):
    """The mean of each window of a sequence."""

    aliases: ClassVar[tuple[str, ...]] = ("AvgPool1D",)

    rank = 1


class AveragePooling2D(_AveragePooling, frozen=True, kw_only=True):
    """The mean of each window of an image."""

    aliases: ClassVar[tuple[str, ...]] = ("AvgPool2D",)

    rank = 2


class AveragePooling3D(_AveragePooling, frozen=True, kw_only=True):
    """The mean of each window of a volume."""

    aliases: ClassVar[tuple[str, ...]] = ("AvgPool3D",)

    rank = 3


class GlobalMaxPooling1D(_GlobalPooling, frozen=True, kw_only=True):
    """The largest entry of each channel of a sequence."""

    aliases: ClassVar[tuple[str, ...]] = ("GlobalMaxPool1D",)

    rank = 1


class GlobalMaxPooling2D(_GlobalPooling, frozen=True, kw_only=True):
    """The largest entry of each channel of an image."""

    aliases: ClassVar[tuple[str, ...]] = ("GlobalMaxPool2D",)

    rank = 2


class GlobalMaxPooling3D(_GlobalPooling, frozen=True, kw_only=True):
    """The largest entry of each channel of a volume."""

    aliases: ClassVar[tuple[str, ...]] = ("GlobalMaxPool3D",)

    rank = 3


class GlobalAveragePooling1D(_GlobalPooling, frozen=True, kw_only=True):
    """The mean of each channel of a sequence."""

    aliases: ClassVar[tuple[str, ...]] = ("GlobalAvgPool1D",)

    rank = 1


class GlobalAveragePooling2D(_GlobalPooling, frozen=True, kw_only=True):
    """The mean of each channel of an image."""

    aliases: ClassVar[tuple[str, ...]] = ("GlobalAvgPool2D",)

    rank = 2


class GlobalAveragePooling3D(_GlobalPooling, frozen=True, kw_only=True):
    """The mean of each channel of a volume."""

    aliases: ClassVar[tuple[str, ...]] = ("GlobalAvgPool3D",)

    rank = 3


class _AdaptivePooling(Layer, frozen=True, kw_only=True):
    """As many windows along each of ``rank`` spatial axes as ``output_size`` says."""

    rank: ClassVar[int]

    output_size: Sizes
    data_format: DataFormat | None = None

    def __post_init__(self) -> None:
        per_axis(self.output_size, self.rank, "output_size")

    def output_shape(self, shape: Shape) -> Shape:
        require_spatial(self, shape, self.rank)
        channels = split(shape, self.data_format).channels
        sizes = per_axis(self.output_size, self.rank, "output_size")
        return join(shape[0], sizes, channels, self.data_format)


class AdaptiveMaxPooling1D(_AdaptivePooling, frozen=True, kw_only=True):
    """The largest entry of each of ``output_size`` windows of a sequence."""

    rank = 1


class AdaptiveMaxPooling2D(_AdaptivePooling, frozen=True, kw_only=True):
    """The largest entry of each of ``output_size`` windows of an image."""

    rank = 2


class AdaptiveMaxPooling3D(_AdaptivePooling, frozen=True, kw_only=True):
    """The largest entry of each of ``output_size`` windows of a volume."""

    rank = 3


class AdaptiveAveragePooling1D(_AdaptivePooling, frozen=True, kw_only=True):
    """The mean of each of ``output_size`` windows of a sequence."""

    rank = 1


class AdaptiveAveragePooling2D(_AdaptivePooling, frozen=True, kw_only=True):
    """The mean of each of ``output_size`` windows of an image."""

    rank = 2


class AdaptiveAveragePooling3D(_AdaptivePooling, frozen=True, kw_only=True):
    """The mean of each of ``output_size`` windows of a volume."""

    rank = 3
