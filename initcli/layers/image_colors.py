"""What changes the colors of images and leaves the pixels where they are."""

from __future__ import annotations

from typing import Any

import numpy

from initcli.errors import quoted
from initcli.layers.image_augmentation import (
    Augmentation,
    RandomAugmentation,
    RandomRanged,
    between,
    chosen,
    clipped,
    each,
    moved,
    uniform,
)
from initcli.layers.image_warps import blurred, gaussian
from initcli.layers.images import Generator, Numbers, Transformation
from initcli.types import (
    ArgumentError,
    Array,
    DataFormat,
    Fraction,
    PositiveInt,
    Shape,
    ShapeError,
    Size,
    shape_text,
)

BYTES = (0.0, 255.0)
"""The range in which Keras counts bits, bins and thresholds."""
GREY = (0.2989, 0.5870, 0.1140)
"""How bright red, green and blue are."""


class RandomBrightness(RandomRanged, frozen=True, kw_only=True):
    """Adds up to ``factor`` of the range."""

    bounds = (("factor", -1, 1),)

    factor: Numbers

    def transformation(self, random: Generator, shape: Size) -> Transformation:
        low, high = self.limits
        return {"rgb_delta": uniform(random, between(self.factor), shape[0]) * (high - low)}

    def transformed(self, xp: Any, images: Array, drawn: Transformation) -> Array:
        return clipped(xp, images + each(drawn["rgb_delta"]), self.limits)


class RandomContrast(RandomRanged, frozen=True, kw_only=True):
    """Stretches values about their mean."""

    bounds = (("factor", 0, 1),)

    factor: Numbers

    def transformation(self, random: Generator, shape: Size) -> Transformation:
        less, more = between(self.factor, 0)
        return {"contrast_factor": uniform(random, (1 - less, 1 + more), shape[0])}

    def transformed(self, xp: Any, images: Array, drawn: Transformation) -> Array:
        mean = xp.mean(images, (1, 2), keepdims=True)
        stretched = (images - mean) * each(drawn["contrast_factor"]) + mean
        return clipped(xp, stretched, self.value_range)


class RandomHue(RandomRanged, frozen=True, kw_only=True):
    """Turns the hue."""

    bounds = (("factor", 0, 1),)

    factor: Numbers

    def transformation(self, random: Generator, shape: Size) -> Transformation:
        sign = numpy.where(uniform(random, (0, 1), shape[0]) > 0.5, -1, 1)
        return {"factor": 0.5 * sign * uniform(random, between(self.factor, 0), shape[0])}

    def transformed(self, xp: Any, images: Array, drawn: Transformation) -> Array:
        self.require_color(images)
        hue, saturation, value = to_hsv(xp, moved(images, self.value_range, (0, 1)))
        turned = from_hsv(xp, hue + each(drawn["factor"]), saturation, value)
        return moved(clipped(xp, turned, (0, 1)), (0, 1), self.value_range)


class RandomSaturation(RandomRanged, frozen=True, kw_only=True):
    """Changes the saturation."""

    bounds = (("factor", -1, 1),)

    factor: Numbers

    def transformation(self, random: Generator, shape: Size) -> Transformation:
        factor = uniform(random, between(self.factor), shape[0])
        return {"factor": factor / (1 - factor + 1e-7)}

    def transformed(self, xp: Any, images: Array, drawn: Transformation) -> Array:
        self.require_color(images)
        hue, saturation, value = to_hsv(xp, images)
        # As in Keras, which takes saturation too for what lies between the values of an image.
        changed = clipped(xp, saturation * each(drawn["factor"]), self.limits)
        return from_hsv(xp, hue, changed, value)


class RandomSharpness(RandomRanged, frozen=True, kw_only=True):
    """Sharpens or blurs."""

    bounds = (("factor", 0, 1),)

    factor: Numbers

    def transformation(self, random: Generator, shape: Size) -> Transformation:
        return {"factor": uniform(random, between(self.factor, 0), shape[0])}

    def transformed(self, xp: Any, images: Array, drawn: Transformation) -> Array:
        channels = images.shape[-1]
        kernel = numpy.full((3, 3, 1, channels), 1 / 13, images.dtype)
        kernel[1, 1] = 5 / 13
        ends = ((1, 1), (1, 1))
        window = xp.Window(strides=(1, 1), dilation=(1, 1), padding=ends, groups=channels)
        smooth = xp.correlate(images, kernel, window)
        share = each(1 - 2 * numpy.asarray(drawn["factor"]))
        return clipped(xp, images + share * (smooth - images), self.limits)


class RandomColorDegeneration(RandomRanged, frozen=True, kw_only=True):
    """Fades images of three channels towards gray."""

    bounds = (("factor", -1, 1),)

    factor: Numbers

    def output_shape(self, shape: Shape) -> Shape:
        channels = -3 if self.data_format == "channels_first" else -1
        if len(shape) not in (3, 4) or shape[channels] not in (3, None):
            raise ShapeError(
                f"RandomColorDegeneration needs images of 3 channels, not {shape_text(shape)}"
            )
        return shape

    def transformation(self, random: Generator, shape: Size) -> Transformation:
        return {"factor": uniform(random, between(self.factor), shape[0])}

    def transformed(self, xp: Any, images: Array, drawn: Transformation) -> Array:
        self.require_color(images, gray=True)
        faded = images + each(drawn["factor"]) * (gray(xp, images) - images)
        return clipped(xp, faded, self.limits)


class RandomColorJitter(RandomRanged, frozen=True, kw_only=True):
    """Changes brightness, contrast, saturation and hue."""

    bounds = (
        ("brightness_factor", -1, 1),
        ("contrast_factor", 0, 1),
        ("saturation_factor", -1, 1),
        ("hue_factor", 0, 1),
    )

    brightness_factor: Numbers | None = None
    contrast_factor: Numbers | None = None
    saturation_factor: Numbers | None = None
    hue_factor: Numbers | None = None

    @property
    def layout(self) -> DataFormat | None:
        """The last axis: Keras does not tell the four layers within of any other."""
        return None

    @property
    def steps(self) -> dict[str, Augmentation]:
        """What is done, in order, by name."""
        kinds = {
            "random_brightness": (RandomBrightness, self.brightness_factor),
            "random_contrast": (RandomContrast, self.contrast_factor),
            "random_saturation": (RandomSaturation, self.saturation_factor),
            "random_hue": (RandomHue, self.hue_factor),
        }
        return {
            name: kind(factor=factor, value_range=self.value_range)
            for name, (kind, factor) in kinds.items()
            if factor is not None
        }

    def transformation(self, random: Generator, shape: Size) -> Transformation:
        return {name: step.transformation(random, shape) for name, step in self.steps.items()}

    def transformed(self, xp: Any, images: Array, drawn: Transformation) -> Array:
        for name, step in self.steps.items():
            images = step.transformed(xp, images, drawn[name])
        return images


class RandomPosterization(RandomRanged, frozen=True, kw_only=True):
    """Leaves ``factor`` bits of each value."""

    bounds = (("factor", 1, 8),)

    factor: Numbers

    def transformation(self, random: Generator, shape: Size) -> Transformation:
        least, most = map(int, between(self.factor, 1))
        # As in Keras, the most is left out, unless it is the least too.
        bits = random.integers(least, max(most, least + 1), shape[0])
        return {"shift_factor": 8 - bits}

    def transformed(self, xp: Any, images: Array, drawn: Transformation) -> Array:
        """⌊x / 2ˢ⌋ · 2ˢ of whole numbers of 8 bits."""
        shift = each(drawn["shift_factor"]).astype("int64")

        def posterized(x: Array) -> Array:
            whole = moved(x, self.limits, BYTES).astype("int64") & 255
            return moved((whole >> shift << shift).astype(x.dtype), BYTES, self.limits)

        return xp.stepwise(posterized, images)


class RandomInvert(RandomRanged, frozen=True, kw_only=True):
    """Inverts values."""

    bounds = (("factor", 0, 1),)

    factor: Numbers = 1.0

    def transformation(self, random: Generator, shape: Size) -> Transformation:
        return {"apply_inversion": chosen(random, self.factor, shape[0])}

    def transformed(self, xp: Any, images: Array, drawn: Transformation) -> Array:
        return xp.where(each(drawn["apply_inversion"]), self.value_range[1] - images, images)


class RandomGrayscale(RandomAugmentation, frozen=True, kw_only=True):
    """Takes the color out of some images."""

    factor: Fraction = 0.5

    def transformation(self, random: Generator, shape: Size) -> Transformation:
        return {"should_apply": uniform(random, (0, 1), shape[0]) < self.factor}

    def transformed(self, xp: Any, images: Array, drawn: Transformation) -> Array:
        self.require_color(images, gray=True)
        return xp.where(each(drawn["should_apply"]), gray(xp, images), images)


class RandomGaussianBlur(RandomRanged, frozen=True, kw_only=True):
    """Blurs by a Gaussian of an odd width."""

    bounds = (("factor", 0, 1), ("sigma", 0, 1))

    factor: Numbers = 1.0
    kernel_size: PositiveInt | tuple[PositiveInt, ...] = 3
    sigma: Numbers = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self._widths) != 2 or not all(size % 2 for size in self._widths):
            given = self.kernel_size
            shown = quoted([*given] if isinstance(given, tuple) else given)
            message = f"`kernel_size` must be one odd number or two, not {shown}"
            raise ArgumentError("kernel_size", message)

    @property
    def _widths(self) -> Size:
        """How many columns are averaged, and how many rows."""
        return self.kernel_size if isinstance(self.kernel_size, tuple) else (self.kernel_size,) * 2

    def transformation(self, random: Generator, shape: Size) -> Transformation:
        return {
            "should_apply_blur": chosen(random, self.factor, shape[0]),
            "blur_factor": uniform(random, between(self.sigma, 0), 2) + 1e-6,
        }

    def transformed(self, xp: Any, images: Array, drawn: Transformation) -> Array:
        pairs = zip(self._widths, drawn["blur_factor"], strict=True)
        across, down = (gaussian(width, sigma) for width, sigma in pairs)
        blur = blurred(xp, images, down, across)
        found = xp.where(each(drawn["should_apply_blur"]), blur, images)
        return clipped(xp, found, self.value_range)


class Solarization(RandomRanged, frozen=True, kw_only=True):
    """Inverts values above a threshold."""

    bounds = (("addition_factor", 0, 1), ("threshold_factor", 0, 1))
    strict = True

    addition_factor: Numbers = 0.0
    threshold_factor: Numbers = 0.0

    def transformation(self, random: Generator, shape: Size) -> Transformation:
        factors = {"additions": self.addition_factor, "thresholds": self.threshold_factor}
        drawn = {}
        for name, factor in factors.items():
            low, high = between(factor, 0)
            # As in Keras, of which the lower number alone is no share of the range.
            drawn[name] = uniform(random, (low, high * 255), shape[0])
        return drawn

    def transformed(self, xp: Any, images: Array, drawn: Transformation) -> Array:
        values = moved(images, self.limits, BYTES)
        values = clipped(xp, values + each(drawn["additions"]), BYTES)
        turned = xp.where(values < each(drawn["thresholds"]), values, 255 - values)
        return moved(turned, BYTES, self.limits)


def gray(xp: Any, images: Array) -> Array:
    """How bright each pixel is, in as many channels as it has colors."""
    if images.shape[-1] == 1:
        return images
    weights = numpy.repeat(numpy.array(GREY, images.dtype)[:, None], 3, 1)
    return xp.tensordot(images, weights, 1)


def to_hsv(xp: Any, images: Array) -> tuple[Array, Array, Array]:
    """The hue, saturation and value of each pixel, (batch, height, width, 1) each."""
    tiny = numpy.finfo(images.dtype).eps
    red, green, blue = xp.split(xp.where(xp.abs(images) < tiny, 0.0, images), 3, -1)
    value = xp.maximum(xp.maximum(red, green), blue)
    apart = value - xp.minimum(xp.minimum(red, green), blue)
    is_lit, is_colored = value > 0, apart > 0
    saturation = xp.where(is_lit, apart / xp.where(is_lit, value, 1.0), 0.0)
    scale = 1 / (6 * xp.where(is_colored, apart, 1.0))
    other = xp.where(value == green, scale * (blue - red) + 2 / 6, scale * (red - green) + 4 / 6)
    hue = xp.where(value == red, scale * (green - blue), other)
    return xp.where(is_colored, hue, 0.0) + (hue < 0), saturation, value


def from_hsv(xp: Any, hue: Array, saturation: Array, value: Array) -> Array:
    """The inverse of :func:`to_hsv`; a hue of 1 more is the same."""
    place = (hue - xp.floor(xp.constant(hue))) * 6
    red = clipped(xp, xp.abs(place - 3) - 1, (0, 1))
    green = clipped(xp, 2 - xp.abs(place - 2), (0, 1))
    blue = clipped(xp, 2 - xp.abs(place - 4), (0, 1))
    planes = [value * (1 - saturation + saturation * share) for share in (red, green, blue)]
    return xp.concatenate(planes, -1)
