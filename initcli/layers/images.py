"""Images: rescaling, resizing, cropping and augmenting them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import numpy

from initcli.layers.base import Layer
from initcli.layers.flow import Flow
from initcli.layers.preprocessing import Preprocessing, nearest
from initcli.types import (
    Array,
    DataFormat,
    Fraction,
    NonNegativeFloat,
    PositiveInt,
    Shape,
    ShapeError,
    Size,
    shape_text,
)

_PAIR = msgspec.Meta(min_length=2, max_length=2)
_Signed = Annotated[float, msgspec.Meta(ge=-1, le=1)]
_Zoom = Annotated[float, msgspec.Meta(gt=-1, le=1)]
_Bits = Annotated[float, msgspec.Meta(ge=1, le=8)]

Numbers = float | tuple[float, ...]
"""One number, or one for each channel."""
Share = Fraction | Annotated[tuple[Fraction, ...], _PAIR]
"""A strength from 0 to 1, or the two between which it is drawn."""
SignedShare = _Signed | Annotated[tuple[_Signed, ...], _PAIR]
"""A strength from -1 to 1, or the two between which it is drawn."""
Range = Annotated[tuple[float, ...], _PAIR]
"""The smallest and the largest value of an image."""
Interpolation = Literal["nearest", "bilinear"]
FillMode = Literal["constant", "reflect", "wrap", "nearest"]


def real(x: Array) -> Array:
    """An array as floating-point numbers."""
    return x if numpy.issubdtype(x.dtype, numpy.floating) else x.astype("float32")


class Rescaling(Layer, frozen=True, kw_only=True):
    """x · scale + offset, entry by entry or channel by channel."""

    role = "scales"

    supports_masking = True

    scale: Numbers
    offset: Numbers = 0.0

    def call(self, flow: Flow, x: Array) -> Array:
        x = real(x)
        scale, offset = (numpy.asarray(each, x.dtype) for each in (self.scale, self.offset))
        return x * scale + offset


class ImageLayer(Preprocessing, frozen=True, kw_only=True):
    """A layer for images (batch, height, width, channels), or one of them without the batch."""

    registered = False

    data_format: DataFormat | None = None

    def passed_on(self, xp: Any, x: Array, shape: Size) -> Array:
        x = real(x)
        for axis, size in enumerate(shape):
            x = nearest(x, axis, size)
        return x


class _Sized(ImageLayer, frozen=True, kw_only=True):
    """A layer that gives images a height and a width."""

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


class Resizing(_Sized, frozen=True, kw_only=True):
    """Gives images another height and width, by interpolation."""

    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos3", "lanczos5", "area"] = (
        "bilinear"
    )
    crop_to_aspect_ratio: bool = False
    pad_to_aspect_ratio: bool = False
    fill_mode: str = "constant"
    fill_value: float = 0.0
    antialias: bool = False


class CenterCrop(_Sized, frozen=True, kw_only=True):
    """Takes the middle of each image."""


class RandomCrop(_Sized, frozen=True, kw_only=True):
    """Takes a part of each image at a random place."""

    seed: int | None = None


class MaxNumBoundingBoxes(ImageLayer, frozen=True, kw_only=True):
    """Keeps ``max_number`` boxes of each image, or adds boxes of ``fill_value``."""

    max_number: int
    fill_value: int = -1


class _Random(ImageLayer, frozen=True, kw_only=True):
    """A random augmentation."""

    seed: int | None = None


class _Ranged(ImageLayer, frozen=True, kw_only=True):
    """An augmentation that needs the range of the values of images."""

    value_range: Range = (0, 255)


class _RandomRanged(_Ranged, frozen=True, kw_only=True):
    """A random augmentation that needs the range of the values of images."""

    seed: int | None = None


class RandomBrightness(_RandomRanged, frozen=True, kw_only=True):
    """Adds up to ``factor`` of the range."""

    factor: SignedShare


class RandomContrast(_RandomRanged, frozen=True, kw_only=True):
    """Stretches values about their mean."""

    factor: Share


class RandomHue(_RandomRanged, frozen=True, kw_only=True):
    """Turns the hue."""

    factor: Share


class RandomSaturation(_RandomRanged, frozen=True, kw_only=True):
    """Changes the saturation."""

    factor: SignedShare


class RandomSharpness(_RandomRanged, frozen=True, kw_only=True):
    """Sharpens or blurs."""

    factor: Share


class RandomColorDegeneration(_RandomRanged, frozen=True, kw_only=True):
    """Fades images of three channels towards gray."""

    factor: SignedShare


class RandomColorJitter(_RandomRanged, frozen=True, kw_only=True):
    """Changes brightness, contrast, saturation and hue."""

    brightness_factor: SignedShare | None = None
    contrast_factor: Share | None = None
    saturation_factor: SignedShare | None = None
    hue_factor: Share | None = None


class RandomPosterization(_RandomRanged, frozen=True, kw_only=True):
    """Leaves ``factor`` bits of each value."""

    factor: _Bits | Annotated[tuple[NonNegativeFloat, ...], _PAIR]


class RandomInvert(_RandomRanged, frozen=True, kw_only=True):
    """Inverts values."""

    factor: Share = 1.0


class RandomGrayscale(_Random, frozen=True, kw_only=True):
    """Takes the color out of some images."""

    factor: Fraction = 0.5


class RandomGaussianBlur(_RandomRanged, frozen=True, kw_only=True):
    """Blurs by a Gaussian of an odd width."""

    factor: Share = 1.0
    kernel_size: PositiveInt | Annotated[tuple[PositiveInt, ...], _PAIR] = 3
    sigma: Share = 1.0


class Solarization(_RandomRanged, frozen=True, kw_only=True):
    """Inverts values above a threshold."""

    addition_factor: Share = 0.0
    threshold_factor: Share = 0.0


class AutoContrast(_Ranged, frozen=True, kw_only=True):
    """Stretches each channel to the whole range."""


class Equalization(_Ranged, frozen=True, kw_only=True):
    """Spreads each channel evenly over the range."""

    bins: PositiveInt = 256


class ContrastLimitedAdaptiveHistogramEqualization(_Ranged, frozen=True, kw_only=True):
    """Equalizes tile by tile, up to a contrast (Zuiderveld 1994)."""

    clip_limit: float = 4.0
    tile_grid_size: Annotated[tuple[PositiveInt, ...], _PAIR] = (8, 8)


class RandomFlip(_Random, frozen=True, kw_only=True):
    """Mirrors images."""

    mode: Literal["horizontal", "vertical", "horizontal_and_vertical"] = "horizontal_and_vertical"


class _Moving(_Random, frozen=True, kw_only=True):
    """An augmentation that moves pixels, and fills the places that they leave."""

    fill_mode: FillMode = "reflect"
    interpolation: Interpolation = "bilinear"
    fill_value: float = 0.0


class RandomRotation(_Moving, frozen=True, kw_only=True):
    """Rotates images by up to ``factor`` turns."""

    factor: SignedShare


class RandomTranslation(_Moving, frozen=True, kw_only=True):
    """Moves images by up to a share of their height and width."""

    height_factor: SignedShare
    width_factor: SignedShare


class RandomZoom(_Moving, frozen=True, kw_only=True):
    """Zooms by up to a share of the height and width."""

    height_factor: _Zoom | Annotated[tuple[_Zoom, ...], _PAIR]
    width_factor: _Zoom | Annotated[tuple[_Zoom, ...], _PAIR] | None = None


class RandomShear(_Moving, frozen=True, kw_only=True):
    """Shears images along one axis or both."""

    x_factor: Fraction | Annotated[tuple[_Signed, ...], _PAIR] = 0.0
    y_factor: Fraction | Annotated[tuple[_Signed, ...], _PAIR] = 0.0


class RandomPerspective(_Random, frozen=True, kw_only=True):
    """Changes the perspective of images."""

    factor: Share = 1.0
    scale: Fraction = 1.0
    interpolation: Interpolation = "bilinear"
    fill_value: float = 0.0


class RandomElasticTransform(_RandomRanged, frozen=True, kw_only=True):
    """Bends images."""

    factor: Share = 1.0
    scale: Share = 1.0
    interpolation: Interpolation = "bilinear"
    fill_mode: FillMode | Literal["mirror"] = "reflect"
    fill_value: float = 0.0


class RandomErasing(_RandomRanged, frozen=True, kw_only=True):
    """Erases a rectangle."""

    factor: Share = 1.0
    scale: Share = (0.02, 0.33)
    fill_value: Any = None


class CutMix(_Random, frozen=True, kw_only=True):
    """Puts a part of one image into another (Yun et al. 2019)."""

    factor: Share = 1.0


class MixUp(_Random, frozen=True, kw_only=True):
    """Blends images in pairs (Zhang et al. 2017)."""

    alpha: NonNegativeFloat = 0.2


class RandAugment(_RandomRanged, frozen=True, kw_only=True):
    """Applies ``num_ops`` of many augmentations (Cubuk et al. 2019)."""

    num_ops: PositiveInt = 2
    factor: Share = 0.5
    interpolation: Interpolation = "bilinear"


class AugMix(_RandomRanged, frozen=True, kw_only=True):
    """Mixes chains of augmentations (Hendrycks et al. 2019)."""

    num_chains: PositiveInt = 3
    chain_depth: PositiveInt = 3
    factor: Share = 0.3
    alpha: NonNegativeFloat = 1.0
    all_ops: bool = True
    interpolation: Interpolation = "bilinear"
