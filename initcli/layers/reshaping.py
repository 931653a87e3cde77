"""Layers that rearrange, repeat, pad or crop their input."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal

import numpy

from initcli.errors import quoted
from initcli.layers.arguments import ChannelOrder
from initcli.layers.base import Layer, per_axis
from initcli.layers.flow import Flow
from initcli.layers.spatial import channels_back, channels_last, join, require_spatial, split
from initcli.types import (
    ArgumentError,
    Array,
    DataFormat,
    NonNegativeInt,
    NotComputable,
    PositiveInt,
    Shape,
    ShapeError,
    doc,
    shape_text,
)

# Not tuple[int, int]: msgspec 0.22 crashes on it in a union with a bounded number.
Ends = NonNegativeInt | tuple[NonNegativeInt | tuple[NonNegativeInt, ...], ...]
"""Entries at each end of an axis: one number, one for each axis, or a pair for each."""


class Flatten(Layer, frozen=True, kw_only=True):
    """Joins all axes except the batch."""

    data_format: ChannelOrder = None

    def output_shape(self, shape: Shape) -> Shape:
        sizes = shape[1:]
        if None in sizes:
            return (shape[0], None)
        return (shape[0], math.prod(size for size in sizes if size is not None))

    def call(self, flow: Flow, x: Array) -> Array:
        # Keras moves channels to the last axis before it flattens.
        x = channels_last(flow.xp, x, self.data_format) if len(x.shape) > 1 else x
        return flow.xp.reshape(x, (x.shape[0], -1))


class Reshape(Layer, frozen=True, kw_only=True):
    """Reshapes each example to ``target_shape``."""

    target_shape: Annotated[
        tuple[int, ...],
        doc("Shape of the output without the batch; one size may be -1, for what is left."),
    ]

    def __post_init__(self) -> None:
        if any(size < 1 and size != -1 for size in self.target_shape):
            wanted = (
                f"sizes of at least 1, or -1 for one of them, not {quoted([*self.target_shape])}"
            )
            raise ArgumentError("target_shape", f"`target_shape` must hold {wanted}")
        if self.target_shape.count(-1) > 1:
            message = f"`target_shape` may have one -1, not {self.target_shape.count(-1)}"
            remedy = "-1 stands for the remaining size"
            raise ArgumentError("target_shape", message, remedy)

    def output_shape(self, shape: Shape) -> Shape:
        sizes = [size for size in shape[1:] if size is not None]
        if len(sizes) < len(shape) - 1:
            return (shape[0], *(None if size == -1 else size for size in self.target_shape))
        count = math.prod(sizes)
        rest = math.prod(size for size in self.target_shape if size != -1)
        if -1 in self.target_shape and count % rest == 0:
            return (
                shape[0],
                *(count // rest if size == -1 else size for size in self.target_shape),
            )
        if -1 in self.target_shape or count != rest:
            given, wanted = shape_text(shape[1:]), shape_text(self.target_shape)
            raise ShapeError(
                f"Reshape cannot make {wanted} of {given}, which has {count:,} entries",
                "the products of the sizes must be equal",
            )
        return (shape[0], *self.target_shape)

    def call(self, flow: Flow, x: Array) -> Array:
        return flow.xp.reshape(x, (x.shape[0], *self.target_shape))


class Permute(Layer, frozen=True, kw_only=True):
    """Permutes the axes."""

    dims: Annotated[
        tuple[PositiveInt, ...], doc("Order of the axes, counted from 1 (0 is the batch).")
    ]

    def __post_init__(self) -> None:
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            wanted = f"each of 1 to {len(self.dims)} once, not {quoted([*self.dims])}"
            raise ArgumentError("dims", f"`dims` must hold {wanted}", "the batch is 0, and stays")

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != len(self.dims) + 1:
            raise ShapeError(
                f"Permute orders {len(self.dims)} axes, and its input {shape_text(shape)} has "
                f"{len(shape) - 1} beside the batch",
                "`dims` must name each of them, counted from 1",
            )
        return (shape[0], *(shape[axis] for axis in self.dims))

    def call(self, flow: Flow, x: Array) -> Array:
        return flow.xp.transpose(x, (0, *self.dims))


class RepeatVector(Layer, frozen=True, kw_only=True):
    """Repeats the input: (batch, d) to (batch, n, d)."""

    n: Annotated[PositiveInt, doc("Number of copies.")]

    def output_shape(self, shape: Shape) -> Shape:
        self.require_rank(shape, 2, "(features)")
        return (shape[0], self.n, shape[1])

    def call(self, flow: Flow, x: Array) -> Array:
        return flow.xp.repeat(flow.xp.expand_dims(x, 1), self.n, 1)


class _Ends(Layer, frozen=True, kw_only=True):
    """A layer that changes both ends of each of ``rank`` spatial axes."""

    rank: ClassVar[int]
    argument: ClassVar[str]
    """The argument that says how much."""
    sign: ClassVar[int]

    def __post_init__(self) -> None:
        _ = self.ends

    @property
    def ends(self) -> tuple[tuple[int, int], ...]:
        """The number of entries at both ends of each axis."""
        return each_end(getattr(self, self.argument), self.rank, self.argument)

    @property
    def order(self) -> DataFormat | None:
        """Where the channels are."""
        return getattr(self, "data_format", None)

    def output_shape(self, shape: Shape) -> Shape:
        require_spatial(self, shape, self.rank)
        sizes, channels = split(shape, self.order)
        changed = tuple(
            None if size is None else size + self.sign * sum(ends)
            for size, ends in zip(sizes, self.ends, strict=True)
        )
        if any(size is not None and size < 1 for size in changed):
            raise ShapeError(
                f"{type(self).__name__} leaves nothing of its input {shape_text(sizes)}",
                "remove fewer entries",
            )
        return join(shape[0], changed, channels, self.order)


def each_end(value: Ends, rank: int, argument: str) -> tuple[tuple[int, int], ...]:
    """The number of entries at each end of each axis."""
    if rank == 1:
        pair = (value, value) if isinstance(value, int) else value
        if len(pair) != 2 or not all(isinstance(end, int) for end in pair):
            wanted = "one number, or two, one for each end"
            raise ArgumentError(argument, f"`{argument}` must be {wanted}, not {_shown(value)}")
        return (_pair(pair),)
    if isinstance(value, int):
        return ((value, value),) * rank
    if len(value) != rank:
        wanted = f"one number, or {rank}, one for each axis"
        raise ArgumentError(argument, f"`{argument}` must be {wanted}, not {_shown(value)}")
    if any(not isinstance(end, int) and len(end) != 2 for end in value):
        wanted = "a number or a pair for each axis"
        raise ArgumentError(argument, f"`{argument}` must be {wanted}, not {_shown(value)}")
    return tuple(_pair((end, end) if isinstance(end, int) else end) for end in value)


def _shown(value: Ends) -> str:
    """Numbers and pairs as a spec writes them."""
    if isinstance(value, int):
        return quoted(value)
    return quoted([end if isinstance(end, int) else [*end] for end in value])


def _pair(ends: tuple[Any, ...]) -> tuple[int, int]:
    return ends[0], ends[1]


class _ZeroPadding(_Ends, frozen=True, kw_only=True):
    """Pads spatial axes with zeros."""

    argument = "padding"
    sign = 1

    padding: Annotated[
        Ends,
        doc("Number of zeros at each end: one number, one for each axis, or a pair for each axis."),
    ] = 1
    data_format: ChannelOrder = None

    def call(self, flow: Flow, x: Array) -> Array:
        x = channels_last(flow.xp, x, self.order)
        padded = flow.xp.pad(x, ((0, 0), *self.ends, (0, 0)), "constant")
        return channels_back(flow.xp, padded, self.order)


class ZeroPadding1D(_ZeroPadding, frozen=True, kw_only=True):
    """Pads a sequence with zeros."""

    rank = 1


class ZeroPadding2D(_ZeroPadding, frozen=True, kw_only=True):
    """Pads an image with zeros."""

    rank = 2


class ZeroPadding3D(_ZeroPadding, frozen=True, kw_only=True):
    """Pads a volume with zeros."""

    rank = 3


_Cuts = Annotated[
    Ends,
    doc("Number of entries to cut at each end: one number, one for each axis, or a pair for each."),
]


class _Cropping(_Ends, frozen=True, kw_only=True):
    """Crops spatial axes at both ends."""

    argument = "cropping"
    sign = -1

    def call(self, flow: Flow, x: Array) -> Array:
        x = channels_last(flow.xp, x, self.order)
        kept = (slice(a, n - b) for n, (a, b) in zip(x.shape[1:-1], self.ends, strict=True))
        return channels_back(flow.xp, x[(slice(None), *kept)], self.order)


class Cropping1D(_Cropping, frozen=True, kw_only=True):
    """Crops a sequence at both ends."""

    rank = 1

    cropping: Annotated[
        Ends, doc("Number of steps to remove at each end: one number, or a pair.")
    ] = (1, 1)


class Cropping2D(_Cropping, frozen=True, kw_only=True):
    """Crops an image at its borders."""

    rank = 2

    cropping: _Cuts = ((0, 0), (0, 0))
    data_format: ChannelOrder = None


class Cropping3D(_Cropping, frozen=True, kw_only=True):
    """Crops a volume at its borders."""

    rank = 3

    cropping: _Cuts = ((1, 1), (1, 1), (1, 1))
    data_format: ChannelOrder = None


class UpSampling1D(Layer, frozen=True, kw_only=True):
    """Repeats each step of a sequence ``size`` times."""

    size: Annotated[PositiveInt, doc("Factor: one number, or one for each spatial axis.")] = 2

    def output_shape(self, shape: Shape) -> Shape:
        require_spatial(self, shape, 1)
        return (shape[0], None if shape[1] is None else shape[1] * self.size, shape[2])

    def call(self, flow: Flow, x: Array) -> Array:
        return flow.xp.repeat(x, self.size, 1)


class _UpSampling(Layer, frozen=True, kw_only=True):
    """Enlarges each spatial axis by the factor ``size``."""

    rank: ClassVar[int]

    size: Annotated[
        PositiveInt | tuple[PositiveInt, ...],
        doc("Factor: one number, or one for each spatial axis."),
    ] = 2
    data_format: ChannelOrder = None

    def __post_init__(self) -> None:
        per_axis(self.size, self.rank, "size")

    def output_shape(self, shape: Shape) -> Shape:
        require_spatial(self, shape, self.rank)
        sizes, channels = split(shape, self.data_format)
        factors = per_axis(self.size, self.rank, "size")
        larger = tuple(
            None if size is None else size * factor
            for size, factor in zip(sizes, factors, strict=True)
        )
        return join(shape[0], larger, channels, self.data_format)

    def call(self, flow: Flow, x: Array) -> Array:
        xp = flow.xp
        x = channels_last(xp, x, self.data_format)
        method = getattr(self, "interpolation", "nearest")
        for axis, times in enumerate(per_axis(self.size, self.rank, "size"), 1):
            if method == "nearest":
                x = xp.repeat(x, times, axis)
            else:
                weights = _interpolation(x.shape[axis], times, method)
                x = xp.moveaxis(xp.tensordot(x, weights.astype(x.dtype), (axis, 1)), -1, axis)
        return channels_back(xp, x, self.data_format)


class UpSampling2D(_UpSampling, frozen=True, kw_only=True):
    """Enlarges an image by repetition or interpolation."""

    rank = 2

    interpolation: Annotated[
        Literal["nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"],
        doc("Method for values between pixels."),
    ] = "nearest"


class UpSampling3D(_UpSampling, frozen=True, kw_only=True):
    """Enlarges a volume by repetition."""

    rank = 3


def _interpolation(size: int, times: int, method: str) -> Array:
    """The weights (size · times, size) of old entries in new ones.

    Entry i lies at (i + 1/2) / times − 1/2. The kernel is a triangle (bilinear) or the cubic of
    Keys 1981 (doi:10.1109/TASSP.1981.1163711) with a = −1/2.
    """
    places = (numpy.arange(size * times)[:, None] + 0.5) / times - 0.5
    x = numpy.abs(places - numpy.arange(size))
    if method == "bilinear":
        weights = numpy.maximum(1 - x, 0.0)
    elif method == "bicubic":
        inside = (1.5 * x - 2.5) * x * x + 1
        outside = ((-0.5 * x + 2.5) * x - 4) * x + 2
        weights = numpy.where(x < 1, inside, numpy.where(x < 2, outside, 0.0))
    else:
        raise NotComputable(f"initcli does not compute interpolation by {method}")
    return weights / weights.sum(1, keepdims=True)
