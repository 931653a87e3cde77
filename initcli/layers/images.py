"""Images: rescaling, resizing and cropping them, and the boxes that are marked on them."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy

from initcli.errors import quoted
from initcli.layers.base import Layer
from initcli.layers.flow import Flow
from initcli.layers.resampling import resampled
from initcli.layers.spatial import channels_back, channels_last
from initcli.types import (
    Array,
    DataFormat,
    NotComputable,
    PositiveInt,
    Shape,
    ShapeError,
    Size,
    shape_text,
)

Numbers = float | tuple[float, ...]
"""One number, or several: for the channels, or two between which one is drawn."""
Generator = numpy.random.Generator
Transformation = dict[str, Any]
"""What was drawn for a batch of images, by Keras's names; nothing where nothing is to be done."""


def real(x: Array) -> Array:
    """x, or whole numbers as real ones."""
    return x if numpy.issubdtype(x.dtype, numpy.floating) else x.astype("float32")


class Rescaling(Layer, frozen=True, kw_only=True):
    """x · scale + offset, entry by entry or channel by channel."""

    supports_masking = True

    scale: Numbers
    offset: Numbers = 0.0

    def call(self, flow: Flow, x: Array) -> Array:
        x = real(x)
        scale, offset = (numpy.asarray(each, x.dtype) for each in (self.scale, self.offset))
        return x * scale + offset


class ImageLayer(Layer, frozen=True, kw_only=True):
    """What works on images: (batch, height, width, channels), or one of them without the batch."""

    registered: ClassVar[bool] = False

    data_format: DataFormat | None = None

    @property
    def layout(self) -> DataFormat | None:
        """Where the layer looks for the channels."""
        return self.data_format

    def changed(self, flow: Flow, images: Array) -> Array:
        """What comes out for images (batch, height, width, channels)."""
        return images

    def call(self, flow: Flow, x: Array) -> Array:
        xp, rank = flow.xp, len(x.shape)
        if rank not in (3, 4):
            shape = shape_text(x.shape)
            wanted = "images (height, width, channels)"
            raise NotComputable(f"{self.type_name} needs {wanted}, not {shape}")
        batch = real(x) if rank == 4 else xp.expand_dims(real(x), 0)
        found = self.changed(flow, channels_last(xp, batch, self.layout))
        found = channels_back(xp, found, self.layout)
        return found if rank == 4 else xp.reshape(found, found.shape[1:])


class _Sized(ImageLayer, frozen=True, kw_only=True):
    """What gives images a height and a width."""

    registered = False

    height: PositiveInt
    width: PositiveInt

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) not in (3, 4):
            raise ShapeError(
                f"{type(self).__name__} needs images (height, width, channels), not "
                f"{shape_text(shape)}"
            )
        sizes = list(shape)
        first = len(shape) - 3 + (self.data_format == "channels_first")
        sizes[first : first + 2] = self.height, self.width
        return tuple(sizes)

    @property
    def size(self) -> Size:
        """The height and the width."""
        return self.height, self.width


class Resizing(_Sized, frozen=True, kw_only=True):
    """Images of another height and width, by interpolation."""

    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos3", "lanczos5", "area"] = (
        "bilinear"
    )
    crop_to_aspect_ratio: bool = False
    pad_to_aspect_ratio: bool = False
    fill_mode: str = "constant"
    fill_value: float = 0.0
    antialias: bool = False

    def changed(self, flow: Flow, images: Array) -> Array:
        xp = flow.xp
        if self.crop_to_aspect_ratio and self.pad_to_aspect_ratio:
            both = "`crop_to_aspect_ratio` and `pad_to_aspect_ratio`"
            raise NotComputable(f"{both} cannot both be true")
        if self.fill_mode != "constant":
            only = "'constant', which is all that Keras has"
            raise NotComputable(f"`fill_mode` must be {only}, not {quoted(self.fill_mode)}")
        if self.crop_to_aspect_ratio:
            images = middle(images, fitting(images.shape[1:3], self.size))
        elif self.pad_to_aspect_ratio:
            images = self._padded(xp, images)
        return resized(xp, images, self.size, self.interpolation, self.antialias)

    def _padded(self, xp: Any, images: Array) -> Array:
        height, width = images.shape[1:3]
        tall = max(height, int(float(width * self.height) / self.width))
        wide = max(width, int(float(height * self.width) / self.height))
        # As in Keras, both ends alike: what is odd stays missing.
        rows, columns = (tall - height) // 2, (wide - width) // 2
        ends = ((0, 0), (rows, rows), (columns, columns) if rows == 0 else (0, 0), (0, 0))
        return xp.pad(images, ends, "constant", constant_values=self.fill_value)


class CenterCrop(_Sized, frozen=True, kw_only=True):
    """The middle of each image."""

    def changed(self, flow: Flow, images: Array) -> Array:
        height, width = images.shape[1:3]
        if height >= self.height and width >= self.width:
            return middle(images, self.size)
        part = middle(images, fitting((height, width), self.size))
        return resized(flow.xp, part, self.size)


class RandomCrop(_Sized, frozen=True, kw_only=True):
    """A part of each image, anywhere in it."""

    seed: int | None = None

    def changed(self, flow: Flow, images: Array) -> Array:
        if not flow.training:
            return images
        drawn = self.transformation(flow.generator("crop", self.seed), images.shape)
        return self.transformed(flow.xp, images, drawn)

    def transformation(self, random: Generator, shape: Size) -> Transformation:
        """The first row and column of the part, which is the same in all images of a batch."""
        height, width = shape[1:3]
        if height > self.height and width > self.width:
            row = int(random.integers(0, height - self.height + 1))
            return {"start": (row, int(random.integers(0, width - self.width + 1)))}
        tall, wide = fitting((height, width), self.size)
        return {"start": ((height - tall) // 2, (width - wide) // 2)}

    def transformed(self, xp: Any, images: Array, drawn: Transformation) -> Array:
        """The part that starts there, interpolated where images are too small for it."""
        return resized(xp, _part(images, drawn["start"], self.size), self.size)


class MaxNumBoundingBoxes(ImageLayer, frozen=True, kw_only=True):
    """Leaves ``max_number`` boxes of each image, or fills them up with ``fill_value``."""

    max_number: int
    fill_value: int = -1


def fitting(size: Size, wanted: Size) -> Size:
    """The largest height and width within ``size`` of which one is to the other as in ``wanted``.

    They are whole numbers, as Keras rounds them.
    """
    (height, width), (tall, wide) = size, wanted
    return (
        max(min(height, int(float(width * tall) / wide)), 1),
        max(min(width, int(float(height * wide) / tall)), 1),
    )


def middle(images: Array, size: Size) -> Array:
    """The part of images (batch, height, width, channels) about their center."""
    height, width = images.shape[1:3]
    return _part(images, ((height - size[0]) // 2, (width - size[1]) // 2), size)


def _part(images: Array, start: Size, size: Size) -> Array:
    if tuple(images.shape[1:3]) == tuple(size):
        return images
    rows, columns = (slice(first, first + n) for first, n in zip(start, size, strict=True))
    return images[:, rows, columns]


def resized(
    xp: Any, images: Array, size: Size, method: str = "bilinear", antialias: bool = False
) -> Array:
    """Images (batch, height, width, channels) of another height and width."""
    for axis, length in enumerate(size, 1):
        images = resampled(xp, images, axis, length, method, antialias)
    return images
