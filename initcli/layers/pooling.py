"""Pooling: the maximum or mean of a window, or of the whole input."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from initcli.layers.arguments import ChannelOrder, KernelSize, Padding, Sizes
from initcli.layers.base import Work
from initcli.layers.flow import Flow, Mask
from initcli.layers.spatial import SpatialLayer, Windowed, ends, ranked
from initcli.types import Array, Shape, Size, doc


class _Pooling(Windowed, frozen=True, kw_only=True):
    """A window that slides over ``rank`` spatial axes."""

    pool_size: KernelSize = 2
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
        return self.each("pool_size")

    @property
    def steps(self) -> Size:
        return self.window if self.strides is None else self.each("strides")

    def placed(self, flow: Flow, x: Array) -> tuple[Size, Any]:
        """The size of the window, and how it slides over x."""
        padding = ends(x.shape[1:-1], self.window, self.steps, self.dilations, self.padding)
        return self.window, flow.xp.Window(self.steps, self.dilations, padding, x.shape[-1])


class _MaxPooling(_Pooling, frozen=True, kw_only=True):
    """The maximum of each window."""

    def transformed(self, flow: Flow, x: Array) -> Array:
        return flow.xp.largest(x, *self.placed(flow, x))

    def work(self, inputs: Sequence[Size], outputs: Sequence[Size]) -> Work:
        # Entries that are padded, and their places.
        return Work(held=10 * math.prod(inputs[0]))


class _AveragePooling(_Pooling, frozen=True, kw_only=True):
    """The mean of each window. Over two or more axes Keras has no default size."""

    pool_size: KernelSize

    def transformed(self, flow: Flow, x: Array) -> Array:
        xp = flow.xp
        # Places of the window that cover only padding could fill the memory.
        inner = xp.reach(x.shape[1:-1], *self.placed(flow, x))
        for axis, k in enumerate(inner.size):
            window = inner.window.along(axis)
            size = tuple(k if each == axis else 1 for each in range(self.rank))
            # Padding does not count.
            present = xp.ones((1, *x.shape[1:-1], 1), x.dtype)
            count = xp.correlate(present, xp.ones((*size, 1, 1), x.dtype), window)
            kernel = xp.ones((*size, 1, x.shape[-1]), x.dtype)
            x = xp.correlate(x, kernel, window._replace(groups=x.shape[-1])) / count
        return x

    def work(self, inputs: Sequence[Size], outputs: Sequence[Size]) -> Work:
        sizes = inputs[0][2:] if self.data_format == "channels_first" else inputs[0][1:-1]
        return Work(products=10 * sum(map(min, self.window, sizes)) * math.prod(inputs[0]))


class _GlobalPooling(SpatialLayer, frozen=True, kw_only=True):
    """Reduces all spatial axes to one number for each channel."""

    data_format: ChannelOrder = None
    keepdims: Annotated[bool, doc("Whether to keep the spatial axes, with size 1.")] = False

    def resized(self, sizes: Shape) -> Shape:
        return (1,) * self.rank if self.keepdims else ()

    def transformed(self, flow: Flow, x: Array) -> Array:
        y = self.pooled(flow, x)
        return y if self.keepdims else flow.xp.reshape(y, (y.shape[0], y.shape[-1]))

    def pooled(self, flow: Flow, x: Array) -> Array:
        """The numbers (batch, 1, …, channels)."""
        raise NotImplementedError


class _GlobalMaxPooling(_GlobalPooling, frozen=True, kw_only=True):
    def pooled(self, flow: Flow, x: Array) -> Array:
        every = (1,) * self.rank
        window = flow.xp.Window(every, every, ((0, 0),) * self.rank)
        return flow.xp.largest(x, x.shape[1:-1], window)


class _GlobalAveragePooling(_GlobalPooling, frozen=True, kw_only=True):
    def pooled(self, flow: Flow, x: Array) -> Array:
        return flow.xp.mean(x, tuple(range(1, self.rank + 1)), keepdims=True)


MaxPooling1D, MaxPooling2D, MaxPooling3D = ranked(
    _MaxPooling, "MaxPooling{}D", "The maximum of each window of {}.", alias="MaxPool{}D"
)
AveragePooling1D, AveragePooling2D, AveragePooling3D = ranked(
    _AveragePooling, "AveragePooling{}D", "The mean of each window of {}.", alias="AvgPool{}D"
)
GlobalMaxPooling1D, GlobalMaxPooling2D, GlobalMaxPooling3D = ranked(
    _GlobalMaxPooling,
    "GlobalMaxPooling{}D",
    "The maximum of each channel of {}.",
    alias="GlobalMaxPool{}D",
)
GlobalAveragePooling2D, GlobalAveragePooling3D = ranked(
    _GlobalAveragePooling,
    "GlobalAveragePooling{}D",
    "The mean of each channel of {}.",
    2,
    3,
    alias="GlobalAvgPool{}D",
)


class GlobalAveragePooling1D(_GlobalAveragePooling, frozen=True, kw_only=True):
    """The mean of each channel of a sequence, over its unmasked steps."""

    aliases = ("GlobalAvgPool1D",)
    rank = 1
    supports_masking = True
    takes_masks: ClassVar[Mapping[str, int]] = {"mask": 1}

    def pooled(self, flow: Flow, x: Array) -> Array:
        if (mask := flow.mask) is None:
            return _GlobalAveragePooling.pooled(self, flow, x)
        xp, kept = flow.xp, flow.xp.expand_dims(mask, -1)
        # As in Keras, there is no mean if every step is masked.
        total = xp.sum(xp.where(kept, x, x.dtype.type(0)), 1, keepdims=True)
        return total / xp.sum(kept, 1, x.dtype, keepdims=True)

    def output_mask(self, flow: Flow, x: Array) -> Mask:
        return None


class _AdaptivePooling(SpatialLayer, frozen=True, kw_only=True):
    """Divides each of ``rank`` spatial axes into ``output_size`` windows."""

    reduction: ClassVar[str]
    """The function that makes one entry of those of a window."""

    output_size: Annotated[
        Sizes, doc("Number of windows: one number, or one for each spatial axis.")
    ]
    data_format: ChannelOrder = None

    def __post_init__(self) -> None:
        self.each("output_size")

    def resized(self, sizes: Shape) -> Shape:
        return self.each("output_size")

    def transformed(self, flow: Flow, x: Array) -> Array:
        """Pools axis by axis: window i of m over n entries spans ⌊in/m⌋ to ⌈(i+1)n/m⌉."""
        reduce = getattr(flow.xp, self.reduction)
        for axis, m in enumerate(self.each("output_size"), 1):
            n = x.shape[axis]
            before = (slice(None),) * axis
            windows = (slice(i * n // m, -(-(i + 1) * n // m)) for i in range(m))
            parts = [reduce(x[(*before, window)], axis, keepdims=True) for window in windows]
            x = flow.xp.concatenate(parts, axis)
        return x


class _AdaptiveMaxPooling(_AdaptivePooling, frozen=True, kw_only=True):
    reduction = "max"


class _AdaptiveAveragePooling(_AdaptivePooling, frozen=True, kw_only=True):
    reduction = "mean"


AdaptiveMaxPooling1D, AdaptiveMaxPooling2D, AdaptiveMaxPooling3D = ranked(
    _AdaptiveMaxPooling,
    "AdaptiveMaxPooling{}D",
    "The maximum of each of ``output_size`` windows of {}.",
)
AdaptiveAveragePooling1D, AdaptiveAveragePooling2D, AdaptiveAveragePooling3D = ranked(
    _AdaptiveAveragePooling,
    "AdaptiveAveragePooling{}D",
    "The mean of each of ``output_size`` windows of {}.",
)
