"""Pooling: the maximum or mean of a window, or of the whole input."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar

from initcli.layers.arguments import ChannelOrder, Padding, Sizes
from initcli.layers.base import Layer, Work, per_axis
from initcli.layers.flow import Flow, Mask
from initcli.layers.spatial import (
    channels_back,
    channels_last,
    ends,
    join,
    require_spatial,
    slide,
    split,
)
from initcli.types import Array, Shape, Size, doc


class _Pooling(Layer, frozen=True, kw_only=True):
    """A window that slides over ``rank`` spatial axes."""

    rank: ClassVar[int]

    pool_size: Annotated[
        Sizes, doc("Size of the window: one number, or one for each spatial axis.")
    ] = 2
    strides: Annotated[
        Sizes | None,
        doc("Step of the window: one number, or one for each axis; its size if absent."),
    ] = None
    padding: Padding = "valid"
    data_format: ChannelOrder = None

    def __post_init__(self) -> None:
        _ = self.window, self.steps

    @property
    def window(self) -> Size:
        """The size of the window along each spatial axis."""
        return per_axis(self.pool_size, self.rank, "pool_size")

    @property
    def steps(self) -> Size:
        """The stride along each spatial axis."""
        given = self.pool_size if self.strides is None else self.strides
        return per_axis(given, self.rank, "strides")

    def output_shape(self, shape: Shape) -> Shape:
        require_spatial(self, shape, self.rank)
        sizes, channels = split(shape, self.data_format)
        outputs = slide(self, sizes, self.window, self.steps, (1,) * self.rank, self.padding)
        return join(shape[0], outputs, channels, self.data_format)

    def _window(self, flow: Flow, x: Array) -> tuple[Size, Any]:
        """The size of the window, and how it slides over an input with the channels last."""
        every = (1,) * self.rank
        padding = ends(x.shape[1:-1], self.window, self.steps, every, self.padding)
        return self.window, flow.xp.Window(self.steps, every, padding, x.shape[-1])


class _MaxPooling(_Pooling, frozen=True, kw_only=True):
    """The maximum of each window."""

    def call(self, flow: Flow, x: Array) -> Array:
        x = channels_last(flow.xp, x, self.data_format)
        size, window = self._window(flow, x)
        return channels_back(flow.xp, flow.xp.largest(x, size, window), self.data_format)


class _AveragePooling(_Pooling, frozen=True, kw_only=True):
    """The mean of each window. Over two or more axes Keras has no default size."""

    pool_size: Annotated[
        Sizes, doc("Size of the window: one number, or one for each spatial axis.")
    ]

    def call(self, flow: Flow, x: Array) -> Array:
        xp = flow.xp
        x = channels_last(xp, x, self.data_format)
        # Places of the window that cover only padding could fill the memory.
        inner = xp.reach(x.shape[1:-1], *self._window(flow, x))
        for axis, k in enumerate(inner.size):
            x = self._averaged(xp, x, axis, k, inner.window)
        return channels_back(xp, x, self.data_format)

    def work(self, inputs: Sequence[Size], outputs: Sequence[Size]) -> Work:
        sizes = inputs[0][2:] if self.data_format == "channels_first" else inputs[0][1:-1]
        places = sum(map(min, self.window, sizes))
        return Work(products=10 * places * math.prod(inputs[0]))

    def _averaged(self, xp: Any, x: Array, axis: int, k: int, window: Any) -> Array:
        """The means of windows of k entries along an axis; padding does not count."""
        others = (1,) * axis, (1,) * (self.rank - axis - 1)
        before, after = others
        slid = xp.Window(
            (*before, window.strides[axis], *after),
            (1,) * self.rank,
            (*((0, 0),) * len(before), window.padding[axis], *((0, 0),) * len(after)),
        )
        present = xp.ones((1, *before, x.shape[1 + axis], *after, 1), x.dtype)
        count = xp.correlate(present, xp.ones((*before, k, *after, 1, 1), x.dtype), slid)
        kernel = xp.ones((*before, k, *after, 1, x.shape[-1]), x.dtype)
        return xp.correlate(x, kernel, slid._replace(groups=x.shape[-1])) / count


class _GlobalPooling(Layer, frozen=True, kw_only=True):
    """Reduces all spatial axes to one number for each channel."""

    rank: ClassVar[int]

    data_format: ChannelOrder = None
    keepdims: Annotated[bool, doc("Whether to keep the spatial axes, with size 1.")] = False

    def output_shape(self, shape: Shape) -> Shape:
        require_spatial(self, shape, self.rank)
        channels = split(shape, self.data_format).channels
        return join(shape[0], (1,) * self.rank if self.keepdims else (), channels, self.data_format)

    def _finished(self, xp: Any, y: Array) -> Array:
        """The output for a result (batch, 1, …, channels)."""
        if self.keepdims:
            return channels_back(xp, y, self.data_format)
        return xp.reshape(y, (y.shape[0], y.shape[-1]))


class _GlobalMaxPooling(_GlobalPooling, frozen=True, kw_only=True):
    def call(self, flow: Flow, x: Array) -> Array:
        xp = flow.xp
        x = channels_last(xp, x, self.data_format)
        every = (1,) * self.rank
        window = xp.Window(every, every, ((0, 0),) * self.rank)
        return self._finished(xp, xp.largest(x, x.shape[1:-1], window))


class _GlobalAveragePooling(_GlobalPooling, frozen=True, kw_only=True):
    def call(self, flow: Flow, x: Array) -> Array:
        x = channels_last(flow.xp, x, self.data_format)
        axes = tuple(range(1, self.rank + 1))
        return self._finished(flow.xp, flow.xp.mean(x, axes, keepdims=True))


class MaxPooling1D(_MaxPooling, frozen=True, kw_only=True):
    """The maximum of each window of a sequence."""

    aliases: ClassVar[tuple[str, ...]] = ("MaxPool1D",)

    rank = 1


class MaxPooling2D(_MaxPooling, frozen=True, kw_only=True):
    """The maximum of each window of an image."""

    aliases: ClassVar[tuple[str, ...]] = ("MaxPool2D",)

    rank = 2


class MaxPooling3D(_MaxPooling, frozen=True, kw_only=True):
    """The maximum of each window of a volume."""

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


class GlobalMaxPooling1D(_GlobalMaxPooling, frozen=True, kw_only=True):
    """The maximum of each channel of a sequence."""

    aliases: ClassVar[tuple[str, ...]] = ("GlobalMaxPool1D",)

    rank = 1


class GlobalMaxPooling2D(_GlobalMaxPooling, frozen=True, kw_only=True):
    """The maximum of each channel of an image."""

    aliases: ClassVar[tuple[str, ...]] = ("GlobalMaxPool2D",)

    rank = 2


class GlobalMaxPooling3D(_GlobalMaxPooling, frozen=True, kw_only=True):
    """The maximum of each channel of a volume."""

    aliases: ClassVar[tuple[str, ...]] = ("GlobalMaxPool3D",)

    rank = 3


class GlobalAveragePooling1D(_GlobalAveragePooling, frozen=True, kw_only=True):
    """The mean of each channel of a sequence, over its unmasked steps."""

    supports_masking = True
    takes_masks: ClassVar[Mapping[str, int]] = {"mask": 1}

    aliases: ClassVar[tuple[str, ...]] = ("GlobalAvgPool1D",)

    rank = 1

    def call(self, flow: Flow, x: Array) -> Array:
        if (mask := flow.mask) is None:
            return _GlobalAveragePooling.call(self, flow, x)
        xp = flow.xp
        x = channels_last(xp, x, self.data_format)
        kept = xp.expand_dims(mask, -1)
        # As in Keras, there is no mean if every step is masked.
        total = xp.sum(xp.where(kept, x, x.dtype.type(0)), 1, keepdims=True)
        return self._finished(xp, total / xp.sum(kept, 1, x.dtype, keepdims=True))

    def output_mask(self, flow: Flow, x: Array) -> Mask:
        return None


class GlobalAveragePooling2D(_GlobalAveragePooling, frozen=True, kw_only=True):
    """The mean of each channel of an image."""

    aliases: ClassVar[tuple[str, ...]] = ("GlobalAvgPool2D",)

    rank = 2


class GlobalAveragePooling3D(_GlobalAveragePooling, frozen=True, kw_only=True):
    """The mean of each channel of a volume."""

    aliases: ClassVar[tuple[str, ...]] = ("GlobalAvgPool3D",)

    rank = 3


class _AdaptivePooling(Layer, frozen=True, kw_only=True):
    """Divides each of ``rank`` spatial axes into ``output_size`` windows."""

    rank: ClassVar[int]

    output_size: Annotated[
        Sizes, doc("Number of windows: one number, or one for each spatial axis.")
    ]
    data_format: ChannelOrder = None

    def __post_init__(self) -> None:
        per_axis(self.output_size, self.rank, "output_size")

    def output_shape(self, shape: Shape) -> Shape:
        require_spatial(self, shape, self.rank)
        channels = split(shape, self.data_format).channels
        sizes = per_axis(self.output_size, self.rank, "output_size")
        return join(shape[0], sizes, channels, self.data_format)

    def _pooled(self, flow: Flow, x: Array, pool: Callable[[Array, int], Array]) -> Array:
        """Pools axis by axis: window i of m over n entries spans ⌊in/m⌋ to ⌈(i+1)n/m⌉."""
        x = channels_last(flow.xp, x, self.data_format)
        for axis, m in enumerate(per_axis(self.output_size, self.rank, "output_size"), 1):
            n = x.shape[axis]
            before = (slice(None),) * axis
            windows = (slice(i * n // m, -(-(i + 1) * n // m)) for i in range(m))
            parts = [pool(x[(*before, window)], axis) for window in windows]
            x = flow.xp.concatenate(parts, axis)
        return channels_back(flow.xp, x, self.data_format)


class _AdaptiveMaxPooling(_AdaptivePooling, frozen=True, kw_only=True):
    def call(self, flow: Flow, x: Array) -> Array:
        return self._pooled(flow, x, lambda part, axis: flow.xp.max(part, axis, keepdims=True))


class _AdaptiveAveragePooling(_AdaptivePooling, frozen=True, kw_only=True):
    def call(self, flow: Flow, x: Array) -> Array:
        return self._pooled(flow, x, lambda part, axis: flow.xp.mean(part, axis, keepdims=True))


class AdaptiveMaxPooling1D(_AdaptiveMaxPooling, frozen=True, kw_only=True):
    """The maximum of each of ``output_size`` windows of a sequence."""

    rank = 1


class AdaptiveMaxPooling2D(_AdaptiveMaxPooling, frozen=True, kw_only=True):
    """The maximum of each of ``output_size`` windows of an image."""

    rank = 2


class AdaptiveMaxPooling3D(_AdaptiveMaxPooling, frozen=True, kw_only=True):
    """The maximum of each of ``output_size`` windows of a volume."""

    rank = 3


class AdaptiveAveragePooling1D(_AdaptiveAveragePooling, frozen=True, kw_only=True):
    """The mean of each of ``output_size`` windows of a sequence."""

    rank = 1


class AdaptiveAveragePooling2D(_AdaptiveAveragePooling, frozen=True, kw_only=True):
    """The mean of each of ``output_size`` windows of an image."""

    rank = 2


class AdaptiveAveragePooling3D(_AdaptiveAveragePooling, frozen=True, kw_only=True):
    """The mean of each of ``output_size`` windows of a volume."""

    rank = 3
