"""What moves the pixels of images at random: mirroring, rotating, zooming, bending, …

All but mirroring look up, for each place of the image that comes out, a place of the one that went
in, and interpolate there (:func:`initcli.signal.arrays.sampled`).
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy

from initcli.layers.image_augmentation import (
    RandomAugmentation,
    RandomRanged,
    between,
    chosen,
    clipped,
    each,
    uniform,
)
from initcli.layers.images import Generator, Numbers, Transformation
from initcli.types import ArgumentError, Array, Fraction, NonNegativeFloat, NotComputable, Size

Interpolation = Literal["nearest", "bilinear"]
FillMode = Literal["constant", "reflect", "wrap", "nearest"]


class RandomFlip(RandomAugmentation, frozen=True, kw_only=True):
    """Mirrors images."""

    mode: Literal["horizontal", "vertical", "horizontal_and_vertical"] = "horizontal_and_vertical"

    def transformation(self, random: Generator, shape: Size) -> Transformation:
        return {"flips": uniform(random, (0, 1), shape[0]) <= 0.5}

    def transformed(self, xp: Any, images: Array, drawn: Transformation) -> Array:
        # As in Keras, one coin decides on both axes.
        axes = [axis for axis, name in ((2, "horizontal"), (1, "vertical")) if name in self.mode]
        mirrored = images
        for axis in axes:
            mirrored = xp.flip(mirrored, axis)
        return xp.where(each(drawn["flips"]), mirrored, images)


class _Moving(RandomAugmentation, frozen=True, kw_only=True):
    """What moves pixels, and fills the places that they leave."""

    strict = True

    fill_mode: FillMode = "reflect"
    interpolation: Interpolation = "bilinear"
    fill_value: float = 0.0

    def matrices(self, drawn: Transformation, size: Size) -> Array:
        """For each image a₀, a₁, a₂, b₀, b₁, b₂: what stands at (x, y) comes from
        (a₀x + a₁y + a₂, b₀x + b₁y + b₂).
        """
        raise NotImplementedError

    def transformed(self, xp: Any, images: Array, drawn: Transformation) -> Array:
        size = images.shape[1:3]
        y, x = _grid(size)
        matrices = self.matrices(drawn, size).astype("float32")
        a, b, c, d, e, f = (matrices[:, k, None, None] for k in range(6))
        how = xp.Sampling(self.interpolation, self.fill_mode, self.fill_value)
        return xp.sampled(images, d * x + e * y + f, a * x + b * y + c, how)


class RandomRotation(_Moving, frozen=True, kw_only=True):
    """Rotates images by up to ``factor`` turns."""

    bounds = (("factor", -1, 1),)
    strict = False

    factor: Numbers

    def transformation(self, random: Generator, shape: Size) -> Transformation:
        low, high = between(self.factor)
        return {"angle": uniform(random, (low * 360, high * 360), shape[0])}

    def matrices(self, drawn: Transformation, size: Size) -> Array:
        """A rotation by an angle in degrees about the center."""
        angle = numpy.asarray(drawn["angle"]) * (math.pi / 180)
        cos, sin = numpy.cos(angle), numpy.sin(angle)
        y, x = _centre(size)
        rows = [cos, -sin, x - x * cos + y * sin, sin, cos, y - x * sin - y * cos]
        return numpy.stack(rows, -1)


class RandomTranslation(_Moving, frozen=True, kw_only=True):
    """Moves images by up to a share of their height and width."""

    bounds = (("height_factor", -1, 1), ("width_factor", -1, 1))

    height_factor: Numbers
    width_factor: Numbers

    def transformation(self, random: Generator, shape: Size) -> Transformation:
        batch, height, width, _ = shape
        down = uniform(random, between(self.height_factor), batch) * height
        right = uniform(random, between(self.width_factor), batch) * width
        return {"translations": numpy.stack([right, down], -1)}

    def matrices(self, drawn: Transformation, size: Size) -> Array:
        """A translation by so many columns and rows."""
        right, down = numpy.moveaxis(numpy.asarray(drawn["translations"]), -1, 0)
        one, zero = numpy.ones_like(right), numpy.zeros_like(right)
        return numpy.stack([one, zero, -right, zero, one, -down], -1)


class RandomZoom(_Moving, frozen=True, kw_only=True):
    """Zooms by up to a share of the height and width."""

    bounds = (("height_factor", -1, 1), ("width_factor", -1, 1))

    height_factor: Numbers
    width_factor: Numbers | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for argument, *_ in self.bounds:
            given = getattr(self, argument)
            if -1 in (given if isinstance(given, tuple) else (given,)):
                message = f"`{argument}` must be more than -1, at which nothing is left"
                raise ArgumentError(argument, message)

    def transformation(self, random: Generator, shape: Size) -> Transformation:
        tall = 1 + uniform(random, between(self.height_factor), shape[0])
        if self.width_factor is None:
            return {"height_zoom": tall, "width_zoom": tall}
        wide = 1 + uniform(random, between(self.width_factor), shape[0])
        return {"height_zoom": tall, "width_zoom": wide}

    def matrices(self, drawn: Transformation, size: Size) -> Array:
        """A zoom about the center: more than 1 shows more, and makes it smaller."""
        y, x = _centre(size)
        tall, wide = (numpy.asarray(drawn[name]) for name in ("height_zoom", "width_zoom"))
        zero = numpy.zeros_like(tall)
        return numpy.stack([wide, zero, x * (1 - wide), zero, tall, y * (1 - tall)], -1)


class RandomShear(_Moving, frozen=True, kw_only=True):
    """Shears images along one axis or both."""

    # Keras itself writes a factor of 0.1 down as -0.1 to 0.1.
    bounds = (("x_factor", -1, 1), ("y_factor", -1, 1))

    x_factor: NonNegativeFloat | tuple[float, ...] = 0.0
    y_factor: NonNegativeFloat | tuple[float, ...] = 0.0

    def transformation(self, random: Generator, shape: Size) -> Transformation:
        sign = numpy.where(uniform(random, (0, 1), shape[0], 1) > 0.5, -1, 1)
        factors = [uniform(random, between(f), shape[0]) for f in (self.x_factor, self.y_factor)]
        return {"shear_factor": numpy.stack(factors, -1) * sign}

    def matrices(self, drawn: Transformation, size: Size) -> Array:
        """A shear that leaves the first row and column where they are."""
        x, y = numpy.moveaxis(numpy.asarray(drawn["shear_factor"]), -1, 0)
        one, zero = numpy.ones_like(x), numpy.zeros_like(x)
        return numpy.stack([one, x, zero, y, one, zero], -1)


class RandomPerspective(RandomAugmentation, frozen=True, kw_only=True):
    """Looks at images from elsewhere."""

    bounds = (("factor", 0, 1),)

    factor: Numbers = 1.0
    scale: Fraction = 1.0
    interpolation: Interpolation = "bilinear"
    fill_value: float = 0.0

    def transformation(self, random: Generator, shape: Size) -> Transformation:
        batch, *size, _ = shape
        apart = uniform(random, (-0.5 * self.scale, 0.5 * self.scale), batch, 4, 2)
        return {
            "apply_perspective": chosen(random, self.factor, batch),
            # As in Keras, a corner moves by a share of its own place: the first one never does.
            "end_points": _corners(tuple(size)) * (1 + apart),
        }

    def transformed(self, xp: Any, images: Array, drawn: Transformation) -> Array:
        size = images.shape[1:3]
        if min(size) < 2:
            shown = " x ".join(map(str, size))
            raise NotComputable(f"RandomPerspective needs images of 2 x 2 or more, not {shown}")
        y, x = _grid(size)
        lines = _homography(_corners(size), numpy.asarray(drawn["end_points"]))
        a, b, c, d, e, f, g, h = (lines[:, k, None, None].astype("float32") for k in range(8))
        with numpy.errstate(divide="ignore", invalid="ignore"):
            depth = g * x + h * y + 1
            rows, columns = (d * x + e * y + f) / depth, (a * x + b * y + c) / depth
        how = xp.Sampling(self.interpolation, "constant", self.fill_value)
        seen = xp.sampled(images, rows, columns, how)
        return xp.where(each(drawn["apply_perspective"]), seen, images)


class RandomElasticTransform(RandomRanged, frozen=True, kw_only=True):
    """Bends images."""

    bounds = (("factor", 0, 1), ("scale", 0, 1))

    factor: Numbers = 1.0
    scale: Numbers = 1.0
    interpolation: Interpolation = "bilinear"
    fill_mode: FillMode | Literal["mirror"] = "reflect"
    fill_value: float = 0.0

    def transformation(self, random: Generator, shape: Size) -> Transformation:
        if between(self.factor, 0)[1] == 0 or between(self.scale, 0)[1] == 0:
            return {}
        return {
            "apply_transform": chosen(random, self.factor, shape[0]),
            "distortion_factor": uniform(random, between(self.scale, 0)),
            "noise": random.standard_normal(shape[:3], "float32"),
        }

    def transformed(self, xp: Any, images: Array, drawn: Transformation) -> Array:
        """Each place comes from α · blur(σ · noise) further down, and as much to the right."""
        if not drawn:
            return images
        size, factor = images.shape[1:3], float(drawn["distortion_factor"])
        sigma = numpy.float32(min(size) * 0.05 * factor)
        bell = gaussian(int(6 * sigma) | 1, float(sigma))
        noise = numpy.asarray(drawn["noise"], "float32")[..., None] * sigma
        # Keras draws the fields of both axes from one seed, which makes them one.
        field = max(size) * 0.1 * factor * blurred(xp, noise, bell, bell)[..., 0]
        y, x = _grid(size)
        how = xp.Sampling(self.interpolation, self.fill_mode, self.fill_value)
        bent = xp.sampled(images, y + field, x + field, how)
        found = xp.where(each(drawn["apply_transform"]), bent, images)
        return clipped(xp, found, self.value_range)


def gaussian(size: int, sigma: float) -> Array:
    """A bell curve at so many whole numbers about 0, of sum 1."""
    x = numpy.arange(size, dtype="float32") - (size - 1) / 2
    curve = numpy.exp(-0.5 * (x / max(sigma, 1e-6)) ** 2)
    return (curve / curve.sum()).astype("float32")


def blurred(xp: Any, images: Array, down: Array, across: Array) -> Array:
    """Images as what two curves average, down the columns and across the rows, 0 beyond them."""
    channels = images.shape[-1]
    for curve, axis in ((down, 0), (across, 1)):
        reach = tuple((len(curve) // 2,) * 2 if k == axis else (0, 0) for k in range(2))
        shape = (len(curve), 1) if axis == 0 else (1, len(curve))
        kernel = numpy.broadcast_to(curve.reshape(*shape, 1, 1), (*shape, 1, channels))
        window = xp.Window(strides=(1, 1), dilation=(1, 1), padding=reach, groups=channels)
        images = xp.correlate(images, kernel.astype(images.dtype), window)
    return images


def _grid(size: Size) -> tuple[Array, Array]:
    """The row of each place, and its column."""
    y, x = (numpy.arange(n, dtype="float32") for n in size)
    return y[:, None], x[None, :]


def _centre(size: Size) -> tuple[float, float]:
    return (size[0] - 1) / 2, (size[1] - 1) / 2


def _corners(size: Size) -> Array:
    """The corners of an image as (x, y), row by row."""
    bottom, right = size[0] - 1, size[1] - 1
    return numpy.array([[0, 0], [right, 0], [0, bottom], [right, bottom]], "float32")


def _homography(corners: Array, ends: Array) -> Array:
    """For each image the a, b, …, h by which an end of four, (x, y), comes from its corner.

    The corner is at (ax + by + c) / (gx + hy + 1), (dx + ey + f) / (gx + hy + 1).
    """
    (x, y), (u, v) = numpy.moveaxis(ends, -1, 0), numpy.moveaxis(corners, -1, 0)
    one, zero = numpy.ones_like(x), numpy.zeros_like(x)
    right = numpy.stack([x, y, one, zero, zero, zero, -u * x, -u * y], -1)
    down = numpy.stack([zero, zero, zero, x, y, one, -v * x, -v * y], -1)
    lines = numpy.concatenate([right, down], 1).astype("float64")
    places = numpy.broadcast_to(numpy.concatenate([u, v]), lines.shape[:2])
    return numpy.linalg.solve(lines, places[..., None].astype("float64"))[..., 0]
