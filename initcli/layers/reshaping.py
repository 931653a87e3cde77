"""Layers that rearrange, repeat, pad or crop their input."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

import numpy

from initcli.errors import quoted
from initcli.layers.arguments import ChannelOrder, Sizes
from initcli.layers.base import Layer
from initcli.layers.flow import Flow
from initcli.layers.spatial import SpatialLayer, channels_last, ranked
from initcli.types import (
    ArgumentError,
    Array,
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
        sizes = [size for size in shape[1:] if size is not None]
        return (shape[0], math.prod(sizes) if len(sizes) == len(shape) - 1 else None)

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
            wanted = "sizes of at least 1, or -1 for one of them"
            message = f"`target_shape` must hold {wanted}, not {quoted([*self.target_shape])}"
            raise ArgumentError("target_shape", message)
        if self.target_shape.count(-1) > 1:
            message = f"`target_shape` may have one -1, not {self.target_shape.count(-1)}"
            remedy = "-1 stands for the remaining size"
            raise ArgumentError("target_shape", message, remedy)

    def widths(self, *inputs: Shape) -> Iterator[tuple[str | int, ...]]:
        """The last size, or the heads where the last axis of a sequence becomes heads and sizes."""
        sizes, kept = self.target_shape, 0
        for size, given in zip(sizes, inputs[0][1:-1] if inputs else (), strict=False):
            if given not in (size, None):
                break
            kept += 1
        is_split = kept and len(sizes) == kept + 2
        index = kept if is_split else len(sizes) - 1
        if sizes and sizes[index] != -1:
            yield ("target_shape", index)

    def output_shape(self, shape: Shape) -> Shape:
        sizes = [size for size in shape[1:] if size is not None]
        if len(sizes) < len(shape) - 1:
            return (shape[0], *(None if size == -1 else size for size in self.target_shape))
        count = math.prod(sizes)
        rest = math.prod(size for size in self.target_shape if size != -1)
        if -1 in self.target_shape and count % rest == 0:
            sizes = [count // rest if size == -1 else size for size in self.target_shape]
            return (shape[0], *sizes)
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
                f"{len(shape) - 1} besides the batch",
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


class _Ends(SpatialLayer, frozen=True, kw_only=True):
    """A layer that changes both ends of each spatial axis."""

    argument: ClassVar[str]
    """The argument that says how much."""
    sign: ClassVar[int]

    def __post_init__(self) -> None:
        _ = self.ends

    @property
    def ends(self) -> tuple[tuple[int, int], ...]:
        """The number of entries at both ends of each axis."""
        return each_end(getattr(self, self.argument), self.rank, self.argument)

    def resized(self, sizes: Shape) -> Shape:
        changed = tuple(
            None if size is None else size + self.sign * sum(ends)
            for size, ends in zip(sizes, self.ends, strict=True)
        )
        if any(size is not None and size < 1 for size in changed):
            raise ShapeError(
                f"{type(self).__name__} leaves nothing of its input {shape_text(sizes)}",
                "remove fewer entries",
            )
        return changed


def each_end(value: Ends, rank: int, argument: str) -> tuple[tuple[int, int], ...]:
    """The number of entries at each end of each axis.

    Raises:
        ArgumentError: the value has another form.
    """
    wanted = ""
    given: Any = (value,) * rank if isinstance(value, int) else (value,) if rank == 1 else value
    pairs = [(end, end) if isinstance(end, int) else end for end in given]
    if rank == 1 and (len(pairs[0]) != 2 or not all(isinstance(end, int) for end in pairs[0])):
        wanted = "one number, or two, one for each end"
    elif len(pairs) != rank:
        wanted = f"one number, or {rank}, one for each axis"
    elif any(len(pair) != 2 for pair in pairs):
        wanted = "a number or a pair for each axis"
    if wanted:
        shown: Any = value
        if not isinstance(value, int):
            shown = [end if isinstance(end, int) else [*end] for end in value]
        message = f"`{argument}` must be {wanted}, not {quoted(shown)}"
        raise ArgumentError(argument, message)
    return tuple((before, after) for before, after in pairs)


class _ZeroPadding(_Ends, frozen=True, kw_only=True):
    """Pads spatial axes with zeros."""

    argument = "padding"
    sign = 1

    padding: Annotated[
        Ends,
        doc("Number of zeros at each end: one number, one for each axis, or a pair for each axis."),
    ] = 1
    data_format: ChannelOrder = None

    def transformed(self, flow: Flow, x: Array) -> Array:
        return flow.xp.pad(x, ((0, 0), *self.ends, (0, 0)), "constant")


ZeroPadding1D, ZeroPadding2D, ZeroPadding3D = ranked(
    _ZeroPadding, "ZeroPadding{}D", "Pads {} with zeros."
)


_Cuts = Annotated[
    Ends,
    doc("Number of entries to cut at each end: one number, one for each axis, or a pair for each."),
]


class _Cropping(_Ends, frozen=True, kw_only=True):
    """Crops spatial axes at both ends."""

    argument = "cropping"
    sign = -1

    def transformed(self, flow: Flow, x: Array) -> Array:
        kept = (slice(a, n - b) for n, (a, b) in zip(x.shape[1:-1], self.ends, strict=True))
        return x[(slice(None), *kept)]


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


class _UpSampling(SpatialLayer, frozen=True, kw_only=True):
    """Enlarges each spatial axis by the factor ``size``."""

    size: Annotated[Sizes, doc("Factor: one number, or one for each spatial axis.")] = 2

    def __post_init__(self) -> None:
        self.each("size")

    def resized(self, sizes: Shape) -> Shape:
        pairs = zip(sizes, self.each("size"), strict=True)
        return tuple(None if size is None else size * factor for size, factor in pairs)

    def transformed(self, flow: Flow, x: Array) -> Array:
        xp, method = flow.xp, getattr(self, "interpolation", "nearest")
        for axis, times in enumerate(self.each("size"), 1):
            if method == "nearest":
                x = xp.repeat(x, times, axis)
            else:
                weights = _interpolation(x.shape[axis], times, method)
                x = xp.moveaxis(xp.tensordot(x, weights.astype(x.dtype), (axis, 1)), -1, axis)
        return x


class UpSampling1D(_UpSampling, frozen=True, kw_only=True):
    """Repeats each step of a sequence ``size`` times."""

    rank = 1

    size: Annotated[PositiveInt, doc("Factor: one number, or one for each spatial axis.")] = 2


class UpSampling2D(_UpSampling, frozen=True, kw_only=True):
    """Enlarges an image by repetition or interpolation."""

    rank = 2

    data_format: ChannelOrder = None
    interpolation: Annotated[
        Literal["nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"],
        doc("Method for values between pixels."),
    ] = "nearest"


class UpSampling3D(_UpSampling, frozen=True, kw_only=True):
    """Enlarges a volume by repetition."""

    rank = 3

    data_format: ChannelOrder = None


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
