"""Image preprocessing: rescaling, resizing, cropping, and what augments images in training.

What augments acts in training only, as dropout does, and keeps the shape of the image.
"""

from __future__ import annotations

from typing import Any, Literal

from initcli.layers.base import Layer
from initcli.types import DataFormat, NonNegativeFloat, PositiveInt, Shape, ShapeError, shape_text

Numbers = float | tuple[float, ...]
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos3", "lanczos5", "area"]
FillMode = Literal["constant", "reflect", "wrap", "nearest", "crop"]


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

    interpolation: Interpolation = "bilinear"
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


class _Augmenting(Layer, frozen=True, kw_only=True):
    """What changes images at random, and not their shape."""

    seed: int | None = None
    data_format: DataFormat | None = None


class _Ranged(_Augmenting, frozen=True, kw_only=True):
    """What needs to know between which values an image lies."""

    value_range: tuple[float, ...] = (0, 255)


class _Moving(_Augmenting, frozen=True, kw_only=True):
    """What moves pixels, and fills the places that they leave."""

    fill_mode: FillMode = "reflect"
    interpolation: Interpolation = "bilinear"
    fill_value: float = 0.0


class RandomFlip(_Augmenting, frozen=True, kw_only=True):
    """Mirrors images."""

    mode: Literal["horizontal", "vertical", "horizontal_and_vertical"] = "horizontal_and_vertical"


class RandomRotation(_Moving, frozen=True, kw_only=True):
    """Rotates images by up to ``factor`` turns."""

    factor: Numbers


class RandomTranslation(_Moving, frozen=True, kw_only=True):
    """Moves images by up to a share of their height and width."""

    height_factor: Numbers
    width_factor: Numbers


class RandomZoom(_Moving, frozen=True, kw_only=True):
    """Zooms by up to a share of the height and width."""

    height_factor: Numbers
    width_factor: Numbers | None = None


class RandomShear(_Moving, frozen=True, kw_only=True):
    """Shears images along one axis or both."""

    x_factor: Numbers = 0.0
    y_factor: Numbers = 0.0


class RandomPerspective(_Augmenting, frozen=True, kw_only=True):
    """Looks at images from elsewhere."""

    factor: Numbers = 1.0
    scale: float = 1.0
    interpolation: Interpolation = "bilinear"
    fill_value: float = 0.0


class RandomElasticTransform(_Ranged, frozen=True, kw_only=True):
    """Bends images."""

    factor: Numbers = 1.0
    scale: Numbers = 1.0
    interpolation: Interpolation = "bilinear"
    fill_mode: FillMode = "reflect"
    fill_value: float = 0.0


class RandomBrightness(_Ranged, frozen=True, kw_only=True):
    """Adds up to ``factor`` of the range."""

    factor: Numbers


class RandomContrast(_Ranged, frozen=True, kw_only=True):
    """Stretches values about their mean."""

    factor: Numbers


class RandomHue(_Ranged, frozen=True, kw_only=True):
    """Turns the hue."""

    factor: Numbers


class RandomSaturation(_Ranged, frozen=True, kw_only=True):
    """Changes the saturation."""

    factor: Numbers


class RandomSharpness(_Ranged, frozen=True, kw_only=True):
    """Sharpens or blurs."""

    factor: Numbers


class RandomColorDegeneration(_Ranged, frozen=True, kw_only=True):
    """Fades images towards grey."""

    factor: Numbers


class RandomColorJitter(_Ranged, frozen=True, kw_only=True):
    """Changes brightness, contrast, saturation and hue."""

    brightness_factor: Numbers | None = None
    contrast_factor: Numbers | None = None
    saturation_factor: Numbers | None = None
    hue_factor: Numbers | None = None


class RandomPosterization(_Ranged, frozen=True, kw_only=True):
    """Leaves ``factor`` bits of each value."""

    factor: Numbers


class RandomInvert(_Ranged, frozen=True, kw_only=True):
    """Inverts values."""

    factor: Numbers = 1.0


class RandomGrayscale(_Augmenting, frozen=True, kw_only=True):
    """Takes the colour out of some images."""

    factor: Numbers = 0.5


class RandomGaussianBlur(_Ranged, frozen=True, kw_only=True):
    """Blurs by a Gaussian."""

    factor: Numbers = 1.0
    kernel_size: PositiveInt | tuple[PositiveInt, ...] = 3
    sigma: Numbers = 1.0


class RandomErasing(_Ranged, frozen=True, kw_only=True):
    """Erases a rectangle."""

    factor: Numbers = 1.0
    scale: tuple[float, ...] = (0.02, 0.33)
    fill_value: Any = None


class Solarization(_Ranged, frozen=True, kw_only=True):
    """Inverts values above a threshold."""

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


class RandAugment(_Ranged, frozen=True, kw_only=True):
    """``num_ops`` of many augmentations (Cubuk et al. 2019)."""

    num_ops: PositiveInt = 2
    factor: float = 0.5
    interpolation: Interpolation = "bilinear"


class AugMix(_Ranged, frozen=True, kw_only=True):
    """Mixes chains of augmentations (Hendrycks et al. 2019)."""

    num_chains: PositiveInt = 3
    chain_depth: PositiveInt = 3
    factor: Numbers = 0.3
    alpha: NonNegativeFloat = 1.0
    all_ops: bool = True
    interpolation: Interpolation = "bilinear"


class CutMix(_Augmenting, frozen=True, kw_only=True):
    """Puts a part of one image into another (Yun et al. 2019)."""

    factor: Numbers = 1.0


class MixUp(_Augmenting, frozen=True, kw_only=True):
    """Blends images in pairs (Zhang et al. 2017)."""

    alpha: NonNegativeFloat = 0.2
