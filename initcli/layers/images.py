"""Preprocessing and augmentation of images."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import numpy

from initcli.layers.arguments import ChannelOrder, Seed
from initcli.layers.base import Layer
from initcli.layers.flow import Flow
from initcli.layers.preprocessing import Preprocessing, nearest
from initcli.types import Array, Fraction, NonNegativeFloat, PositiveInt, Shape, Size, doc

_PAIR = msgspec.Meta(min_length=2, max_length=2)
_Signed = Annotated[float, msgspec.Meta(ge=-1, le=1)]
_Zoom = Annotated[float, msgspec.Meta(gt=-1, le=1)]
_Bits = Annotated[float, msgspec.Meta(ge=1, le=8)]

Numbers = float | tuple[float, ...]
"""One number, or one for each channel."""
Share = Fraction | Annotated[tuple[Fraction, ...], _PAIR]
"""A strength from 0 to 1, or its minimum and maximum."""
SignedShare = _Signed | Annotated[tuple[_Signed, ...], _PAIR]
"""A strength from -1 to 1, or its minimum and maximum."""
Range = Annotated[tuple[float, ...], _PAIR]
"""Minimum and maximum of the values of an image."""


def _range(text: str) -> msgspec.Meta:
    return doc(f"{text}: its maximum, or minimum and maximum.")


def _change(text: str) -> msgspec.Meta:
    return doc(f"Strength of the change of {text}; none if absent.")


Factor = Annotated[Share, _range("Strength of the change")]
SignedFactor = Annotated[SignedShare, _range("Strength of the change")]
Extent = Annotated[Share, _range("Size of the change as a share of the image")]
Zoom = _Zoom | Annotated[tuple[_Zoom, ...], _PAIR]
Shear = Fraction | Annotated[tuple[_Signed, ...], _PAIR]
Interpolation = Annotated[Literal["nearest", "bilinear"], doc("Method for values between pixels.")]
_OUTSIDE = doc(
    "Values outside the image: a constant, or those of its reflection, repetition or nearest pixel."
)
FillMode = Annotated[Literal["constant", "reflect", "wrap", "nearest"], _OUTSIDE]
FillValue = Annotated[float, doc("Value outside the image for `constant`.")]


def _real(x: Array) -> Array:
    return x if numpy.issubdtype(x.dtype, numpy.floating) else x.astype("float32")


class Rescaling(Layer, frozen=True, kw_only=True):
    """x · scale + offset, entry by entry or channel by channel."""

    role = "scales"
    supports_masking = True

    scale: Annotated[Numbers, doc("Factor: one number, or one for each channel.")]
    offset: Annotated[Numbers, doc("Added after scaling: one number, or one for each channel.")] = (
        0.0
    )

    def call(self, flow: Flow, x: Array) -> Array:
        x = _real(x)
        scale, offset = (numpy.asarray(each, x.dtype) for each in (self.scale, self.offset))
        return x * scale + offset


class ImageLayer(Preprocessing, frozen=True, kw_only=True):
    """A layer for images (batch, height, width, channels), or one of them without the batch."""

    registered = False

    data_format: ChannelOrder = None

    def passed_on(self, xp: Any, x: Array, shape: Size) -> Array:
        x = _real(x)
        for axis, size in enumerate(shape):
            x = nearest(x, axis, size)
        return x


class _Sized(ImageLayer, frozen=True, kw_only=True):
    """A layer whose output images have a given height and width."""

    height: Annotated[PositiveInt, doc("Height of the output in pixels.")]
    width: Annotated[PositiveInt, doc("Width of the output in pixels.")]

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) not in (3, 4):
            raise self.misfit("needs images (height, width, channels)", shape)
        sizes = list(shape)
        first = len(shape) - 3 + (self.data_format == "channels_first")
        sizes[first : first + 2] = self.height, self.width
        return tuple(sizes)


class Resizing(_Sized, frozen=True, kw_only=True):
    """Resizes images by interpolation."""

    interpolation: Annotated[
        Literal["nearest", "bilinear", "bicubic", "lanczos3", "lanczos5", "area"],
        doc("Method for values between pixels."),
    ] = "bilinear"
    crop_to_aspect_ratio: Annotated[
        bool, doc("Whether to crop the image to the aspect ratio of the output.")
    ] = False
    pad_to_aspect_ratio: Annotated[
        bool, doc("Whether to pad the image to the aspect ratio of the output.")
    ] = False
    fill_mode: Annotated[str, _OUTSIDE] = "constant"
    fill_value: FillValue = 0.0
    antialias: Annotated[bool, doc("Whether to average pixels when shrinking.")] = False


class CenterCrop(_Sized, frozen=True, kw_only=True):
    """Crops the center of each image."""


class RandomCrop(_Sized, frozen=True, kw_only=True):
    """Crops each image at a random position."""

    seed: Seed = None


class MaxNumBoundingBoxes(ImageLayer, frozen=True, kw_only=True):
    """Pads or truncates the bounding boxes of each image to ``max_number``."""

    max_number: Annotated[int, doc("Number of boxes of each image.")]
    fill_value: Annotated[int, doc("Value of added boxes.")] = -1


class _Random(ImageLayer, frozen=True, kw_only=True):
    """A random augmentation."""

    seed: Seed = None


class _Ranged(ImageLayer, frozen=True, kw_only=True):
    """An augmentation that depends on the range of pixel values."""

    value_range: Annotated[Range, doc("Minimum and maximum of the values of an image.")] = (0, 255)


class _RandomRanged(_Ranged, frozen=True, kw_only=True):
    """A random augmentation that depends on the range of pixel values."""

    seed: Seed = None


for _name, _factor, _doc in (
    ("RandomBrightness", SignedFactor, "Adds up to ``factor`` of the value range."),
    ("RandomContrast", Factor, "Scales values about their mean."),
    ("RandomHue", Factor, "Shifts the hue."),
    ("RandomSaturation", SignedFactor, "Changes the saturation."),
    ("RandomSharpness", Factor, "Sharpens or blurs."),
    ("RandomColorDegeneration", SignedFactor, "Blends images with their gray versions."),
):
    vars()[_name] = msgspec.defstruct(
        _name,
        [("factor", _factor)],
        bases=(_RandomRanged,),
        namespace={"__doc__": _doc},
        module=__name__,
        frozen=True,
        kw_only=True,
    )


class RandomColorJitter(_RandomRanged, frozen=True, kw_only=True):
    """Changes brightness, contrast, saturation and hue."""

    brightness_factor: Annotated[SignedShare | None, _change("brightness")] = None
    contrast_factor: Annotated[Share | None, _change("contrast")] = None
    saturation_factor: Annotated[SignedShare | None, _change("saturation")] = None
    hue_factor: Annotated[Share | None, _change("hue")] = None


class RandomPosterization(_RandomRanged, frozen=True, kw_only=True):
    """Reduces the bits of each value."""

    factor: Annotated[
        _Bits | Annotated[tuple[NonNegativeFloat, ...], _PAIR],
        doc("Number of bits to keep: one number, or its minimum and maximum."),
    ]


class RandomInvert(_RandomRanged, frozen=True, kw_only=True):
    """Inverts values."""

    factor: Annotated[Share, doc("Probability of inverting an image.")] = 1.0


class RandomGrayscale(_Random, frozen=True, kw_only=True):
    """Converts some images to gray."""

    factor: Annotated[Fraction, doc("Share of the images that become gray.")] = 0.5


class RandomGaussianBlur(_RandomRanged, frozen=True, kw_only=True):
    """Blurs images by a Gaussian."""

    factor: Factor = 1.0
    kernel_size: Annotated[
        PositiveInt | Annotated[tuple[PositiveInt, ...], _PAIR],
        doc("Size of the window: one number, or height and width."),
    ] = 3
    sigma: Annotated[Share, _range("Standard deviation of the blur in pixels")] = 1.0


class Solarization(_RandomRanged, frozen=True, kw_only=True):
    """Inverts values above a threshold."""

    addition_factor: Annotated[
        Share, doc("Share of the value range that is added before inverting.")
    ] = 0.0
    threshold_factor: Annotated[
        Share, doc("Share of the value range above which values are inverted.")
    ] = 0.0


class AutoContrast(_Ranged, frozen=True, kw_only=True):
    """Stretches each channel to the value range."""


class Equalization(_Ranged, frozen=True, kw_only=True):
    """Equalizes the histogram of each channel."""

    bins: Annotated[PositiveInt, doc("Number of bins of the histogram.")] = 256


class ContrastLimitedAdaptiveHistogramEqualization(_Ranged, frozen=True, kw_only=True):
    """Equalizes the histogram of each tile.

    Zuiderveld 1994, doi:10.1016/B978-0-12-336156-1.50061-6.
    """

    clip_limit: Annotated[float, doc("Maximum contrast.")] = 4.0
    tile_grid_size: Annotated[
        Annotated[tuple[PositiveInt, ...], _PAIR], doc("Number of tiles along height and width.")
    ] = (8, 8)


class RandomFlip(_Random, frozen=True, kw_only=True):
    """Mirrors images."""

    mode: Annotated[
        Literal["horizontal", "vertical", "horizontal_and_vertical"],
        doc("Axes along which images are mirrored."),
    ] = "horizontal_and_vertical"


class _Moving(_Random, frozen=True, kw_only=True):
    """An augmentation that moves pixels and fills the gaps."""

    fill_mode: FillMode = "reflect"
    interpolation: Interpolation = "bilinear"
    fill_value: FillValue = 0.0


class RandomRotation(_Moving, frozen=True, kw_only=True):
    """Rotates images."""

    factor: Annotated[SignedShare, _range("Angle in turns")]


class RandomTranslation(_Moving, frozen=True, kw_only=True):
    """Shifts images."""

    height_factor: Annotated[SignedShare, _range("Vertical shift as a share of the height")]
    width_factor: Annotated[SignedShare, _range("Horizontal shift as a share of the width")]


class RandomZoom(_Moving, frozen=True, kw_only=True):
    """Zooms images."""

    height_factor: Annotated[Zoom, _range("Vertical zoom as a share of the height")]
    width_factor: Annotated[
        Zoom | None, doc("Horizontal zoom, likewise; equal to the vertical one if absent.")
    ] = None


class RandomShear(_Moving, frozen=True, kw_only=True):
    """Shears images along one axis or both."""

    x_factor: Annotated[Shear, _range("Horizontal shear")] = 0.0
    y_factor: Annotated[Shear, _range("Vertical shear")] = 0.0


class RandomPerspective(_Random, frozen=True, kw_only=True):
    """Changes the perspective of images."""

    factor: Annotated[Share, doc("Probability of changing an image.")] = 1.0
    scale: Annotated[Fraction, doc("Maximum size of the change as a share of the image.")] = 1.0
    interpolation: Interpolation = "bilinear"
    fill_value: FillValue = 0.0


class RandomElasticTransform(_RandomRanged, frozen=True, kw_only=True):
    """Distorts images elastically."""

    factor: Factor = 1.0
    scale: Extent = 1.0
    interpolation: Interpolation = "bilinear"
    fill_mode: Annotated[Literal["constant", "reflect", "wrap", "nearest", "mirror"], _OUTSIDE] = (
        "reflect"
    )
    fill_value: FillValue = 0.0


class RandomErasing(_RandomRanged, frozen=True, kw_only=True):
    """Erases a rectangle."""

    factor: Factor = 1.0
    scale: Extent = (0.02, 0.33)
    fill_value: Annotated[Any, doc("Value of erased pixels; random if absent.")] = None


class CutMix(_Random, frozen=True, kw_only=True):
    """Pastes a part of one image into another (Yun et al. 2019, arXiv:1905.04899)."""

    factor: Factor = 1.0


class MixUp(_Random, frozen=True, kw_only=True):
    """Blends pairs of images (Zhang et al. 2017, arXiv:1710.09412)."""

    alpha: Annotated[
        NonNegativeFloat, doc("Parameter of the beta distribution of the mixing weight.")
    ] = 0.2


class RandAugment(_RandomRanged, frozen=True, kw_only=True):
    """Applies random augmentations (Cubuk et al. 2019, arXiv:1909.13719)."""

    num_ops: Annotated[PositiveInt, doc("Number of operations applied to an image.")] = 2
    factor: Factor = 0.5
    interpolation: Interpolation = "bilinear"


class AugMix(_RandomRanged, frozen=True, kw_only=True):
    """Blends chains of random augmentations (Hendrycks et al. 2019, arXiv:1912.02781)."""

    num_chains: Annotated[PositiveInt, doc("Number of chains of operations.")] = 3
    chain_depth: Annotated[PositiveInt, doc("Maximum number of operations of a chain.")] = 3
    factor: Factor = 0.3
    alpha: Annotated[
        NonNegativeFloat, doc("Parameter of the Dirichlet distribution of the chains' weights.")
    ] = 1.0
    all_ops: Annotated[
        bool, doc("Whether to use operations that change brightness and color, too.")
    ] = True
    interpolation: Interpolation = "bilinear"
