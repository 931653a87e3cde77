"""Image preprocessing: rescaling, resizing, cropping, and what augments images in training.

What augments acts in training only, as dropout does, and keeps the shape of the image.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from initcli.layers.base import Layer
from initcli.types import (
    ArgumentError,
    DataFormat,
    Fraction,
    NonNegativeFloat,
    PositiveInt,
    Shape,
    ShapeError,
    shape_text,
)

Numbers = float | tuple[float, ...]
Interpolation = Literal["nearest", "bilinear"]
FillMode = Literal["constant", "reflect", "wrap", "nearest"]


class Rescaling(Layer, frozen=True, kw_only=True):
    """x · scale + offset, entry by entry or channel by channel."""

    scale: Numbers
    offset: Numbers = 0.0


class _Sized(Layer, frozen=True, kw_only=True):
    """What gives images a height and a width."""

    height: PositiveInt
    width: PositiveInt
    data_format: DataFormat | None = None

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) not in (3, 4):
            raise ShapeError(
                f"{type(self).__name__} needs (height, width, channels), not {shape_text(shape)}"
            )
        sizes = list(shape)
        first = len(shape) - 3 + (self.data_format == "channels_first")
        sizes[first : first + 2] = self.height, self.width
        return tuple(sizes)


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


class CenterCrop(_Sized, frozen=True, kw_only=True):
    """The middle of each image."""


class RandomCrop(_Sized, frozen=True, kw_only=True):
    """A part of each image, anywhere in it."""

    seed: int | None = None


class _Image(Layer, frozen=True, kw_only=True):
    """What changes images, and not their shape.

    ``bounds`` are the least and the most of arguments that are one number, or two between which
    one is drawn.
    """

    bounds: ClassVar[tuple[tuple[str, float, float], ...]] = ()
    strict: ClassVar[bool] = False
    """Whether both numbers lie within the bounds, or it is enough that what is between them can."""

    data_format: DataFormat | None = None

    def __post_init__(self) -> None:
        for argument, least, most in self.bounds:
            given = getattr(self, argument)
            if given is None:
                continue
            numbers = given if isinstance(given, tuple) else (given, given)
            if len(numbers) != 2:
                raise ArgumentError(argument, f"{argument} is one number or two")
            first, last = sorted(numbers) if self.strict else numbers
            if self.strict:
                fits = least <= first and last <= most
            else:
                fits = first <= most and least <= last
            if not fits:
                raise ArgumentError(argument, f"{argument} lies between {least:g} and {most:g}")


class _Random(_Image, frozen=True, kw_only=True):
    """What changes images at random."""

    seed: int | None = None


class _Ranged(_Image, frozen=True, kw_only=True):
    """What needs to know between which values an image lies."""

    value_range: tuple[float, ...] = (0, 255)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.value_range) != 2:
            raise ArgumentError("value_range", "value_range is two numbers, the least and the most")


class _RandomRanged(_Ranged, frozen=True, kw_only=True):
    """What changes values at random."""

    seed: int | None = None


class _Moving(_Random, frozen=True, kw_only=True):
    """What moves pixels, and fills the places that they leave."""

    strict = True

    fill_mode: FillMode = "reflect"
    interpolation: Interpolation = "bilinear"
    fill_value: float = 0.0


class RandomFlip(_Random, frozen=True, kw_only=True):
    """Mirrors images."""

    mode: Literal["horizontal", "vertical", "horizontal_and_vertical"] = "horizontal_and_vertical"


class RandomRotation(_Moving, frozen=True, kw_only=True):
    """Rotates images by up to ``factor`` turns."""

    bounds = (("factor", -1, 1),)
    strict = False

    factor: Numbers


class RandomTranslation(_Moving, frozen=True, kw_only=True):
    """Moves images by up to a share of their height and width."""

    bounds = (("height_factor", -1, 1), ("width_factor", -1, 1))

    height_factor: Numbers
    width_factor: Numbers


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
                raise ArgumentError(argument, f"{argument} is more than -1, which leaves nothing")


class RandomShear(_Moving, frozen=True, kw_only=True):
    """Shears images along one axis or both."""

    # Keras itself writes a factor of 0.1 down as -0.1 to 0.1.
    bounds = (("x_factor", -1, 1), ("y_factor", -1, 1))

    x_factor: NonNegativeFloat | tuple[float, ...] = 0.0
    y_factor: NonNegativeFloat | tuple[float, ...] = 0.0


class RandomPerspective(_Random, frozen=True, kw_only=True):
    """Looks at images from elsewhere."""

    bounds = (("factor", 0, 1),)

    factor: Numbers = 1.0
    scale: Fraction = 1.0
    interpolation: Interpolation = "bilinear"
    fill_value: float = 0.0


class RandomElasticTransform(_RandomRanged, frozen=True, kw_only=True):
    """Bends images."""

    bounds = (("factor", 0, 1), ("scale", 0, 1))

    factor: Numbers = 1.0
    scale: Numbers = 1.0
    interpolation: Interpolation = "bilinear"
    fill_mode: FillMode | Literal["mirror"] = "reflect"
    fill_value: float = 0.0


class RandomBrightness(_RandomRanged, frozen=True, kw_only=True):
    """Adds up to ``factor`` of the range."""

    bounds = (("factor", -1, 1),)

    factor: Numbers


class RandomContrast(_RandomRanged, frozen=True, kw_only=True):
    """Stretches values about their mean."""

    bounds = (("factor", 0, 1),)

    factor: Numbers


class RandomHue(_RandomRanged, frozen=True, kw_only=True):
    """Turns the hue."""

    bounds = (("factor", 0, 1),)

    factor: Numbers


class RandomSaturation(_RandomRanged, frozen=True, kw_only=True):
    """Changes the saturation."""

    bounds = (("factor", -1, 1),)

    factor: Numbers


class RandomSharpness(_RandomRanged, frozen=True, kw_only=True):
    """Sharpens or blurs."""

    bounds = (("factor", 0, 1),)

    factor: Numbers


class RandomColorDegeneration(_RandomRanged, frozen=True, kw_only=True):
    """Fades images of three channels towards grey."""

    bounds = (("factor", -1, 1),)

    factor: Numbers

    def output_shape(self, shape: Shape) -> Shape:
        channels = -3 if self.data_format == "channels_first" else -1
        if len(shape) not in (3, 4) or shape[channels] not in (3, None):
            raise ShapeError(
                f"RandomColorDegeneration needs images of 3 channels, not {shape_text(shape)}"
            )
        return shape


class RandomColorJitter(_RandomRanged, frozen=True, kw_only=True):
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


class RandomPosterization(_RandomRanged, frozen=True, kw_only=True):
    """Leaves ``factor`` bits of each value."""

    bounds = (("factor", 1, 8),)

    factor: Numbers


class RandomInvert(_RandomRanged, frozen=True, kw_only=True):
    """Inverts values."""

    bounds = (("factor", 0, 1),)

    factor: Numbers = 1.0


class RandomGrayscale(_Random, frozen=True, kw_only=True):
    """Takes the colour out of some images."""

    factor: Fraction = 0.5


class RandomGaussianBlur(_RandomRanged, frozen=True, kw_only=True):
    """Blurs by a Gaussian of an odd width."""

    bounds = (("factor", 0, 1), ("sigma", 0, 1))

    factor: Numbers = 1.0
    kernel_size: PositiveInt | tuple[PositiveInt, ...] = 3
    sigma: Numbers = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        sizes = self.kernel_size if isinstance(self.kernel_size, tuple) else (self.kernel_size,) * 2
        if len(sizes) != 2 or not all(size % 2 for size in sizes):
            raise ArgumentError("kernel_size", "kernel_size is one odd number or two")


class RandomErasing(_RandomRanged, frozen=True, kw_only=True):
    """Erases a rectangle."""

    bounds = (("factor", 0, 1), ("scale", 0, 1))

    factor: Numbers = 1.0
    scale: Numbers = (0.02, 0.33)
    fill_value: Any = None


class Solarization(_RandomRanged, frozen=True, kw_only=True):
    """Inverts values above a threshold."""

    bounds = (("addition_factor", 0, 1), ("threshold_factor", 0, 1))
    strict = True

    addition_factor: Numbers = 0.0
    threshold_factor: Numbers = 0.0


class AutoContrast(_Ranged, frozen=True, kw_only=True):
    """Stretches each channel to the whole range."""


class Equalization(_Ranged, frozen=True, kw_only=True):
    """Spreads each channel evenly over the range."""

    bins: PositiveInt = 256


class ContrastLimitedAdaptiveHistogramEqualization(_Ranged, frozen=True, kw_only=True):
    """Equalizes tile by tile, up to a contrast (Zuiderveld 1994)."""

    clip_limit: float = 4.0
    tile_grid_size: tuple[PositiveInt, ...] = (8, 8)


class RandAugment(_RandomRanged, frozen=True, kw_only=True):
    """``num_ops`` of many augmentations (Cubuk et al. 2019)."""

    bounds = (("factor", 0, 1),)
    strict = True

    num_ops: PositiveInt = 2
    factor: Numbers = 0.5
    interpolation: Interpolation = "bilinear"


class AugMix(_RandomRanged, frozen=True, kw_only=True):
    """Mixes chains of augmentations (Hendrycks et al. 2019)."""

    bounds = (("factor", 0, 1),)
    strict = True

    num_chains: PositiveInt = 3
    chain_depth: PositiveInt = 3
    factor: Numbers = 0.3
    alpha: NonNegativeFloat = 1.0
    all_ops: bool = True
    interpolation: Interpolation = "bilinear"


class CutMix(_Random, frozen=True, kw_only=True):
    """Puts a part of one image into another (Yun et al. 2019)."""

    bounds = (("factor", 0, 1),)

    factor: Numbers = 1.0


class MixUp(_Random, frozen=True, kw_only=True):
    """Blends images in pairs (Zhang et al. 2017)."""

    alpha: NonNegativeFloat = 0.2


class MaxNumBoundingBoxes(_Image, frozen=True, kw_only=True):
    """Leaves ``max_number`` boxes of each image, or fills them up with ``fill_value``."""

    max_number: int
    fill_value: int = -1
