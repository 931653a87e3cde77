"""What mixes images at random: with noise, with one another, or with what is made of themselves."""

from __future__ import annotations

from typing import Any

import numpy

from initcli.layers.image_augmentation import (
    Augmentation,
    RandomAugmentation,
    RandomRanged,
    between,
    chosen,
    clipped,
    each,
    uniform,
)
from initcli.layers.image_colors import (
    RandomBrightness,
    RandomColorDegeneration,
    RandomContrast,
    RandomPosterization,
    RandomSharpness,
    Solarization,
)
from initcli.layers.image_equalization import AutoContrast, Equalization
from initcli.layers.image_warps import (
    Interpolation,
    RandomRotation,
    RandomShear,
    RandomTranslation,
)
from initcli.layers.images import Generator, Numbers, Transformation
from initcli.types import Array, DataFormat, NonNegativeFloat, NotComputable, PositiveInt, Size

Pair = tuple[float, ...]
LEAST_ALPHA = 1e-6
"""Stands for an alpha of 0, where Beta(alpha, alpha) has come down to 0 or 1."""


class RandomErasing(RandomRanged, frozen=True, kw_only=True):
    """Erases a rectangle."""

    bounds = (("factor", 0, 1), ("scale", 0, 1))

    factor: Numbers = 1.0
    scale: Numbers = (0.02, 0.33)
    fill_value: Any = None

    def transformation(self, random: Generator, shape: Size) -> Transformation:
        batch, *size, _ = shape
        shares = numpy.sqrt(uniform(random, between(self.scale, 0), batch, 2))
        drawn = {
            "boxes": boxes(random, shares, tuple(size)),
            "apply_erasing": chosen(random, self.factor, batch),
        }
        if self.fill_value is None:
            noise = random.standard_normal(shape, "float32") * self.value_range[1]
            return {**drawn, "fill_value": noise}
        return drawn

    def transformed(self, xp: Any, images: Array, drawn: Transformation) -> Array:
        given = drawn.get("fill_value", self.fill_value)
        fill = numpy.asarray(given, images.dtype)
        if fill.ndim not in (0, 4) and fill.shape != (images.shape[-1],):
            channels, count = images.shape[-1], fill.size
            raise NotComputable(f"`fill_value` must be one number or {channels}, not {count}")
        fill = numpy.minimum(numpy.maximum(fill, self.value_range[0]), self.value_range[1])
        erased = within(drawn["boxes"], images.shape[1:3]) & each(drawn["apply_erasing"])
        return xp.where(erased, fill, images)


class CutMix(RandomAugmentation, frozen=True, kw_only=True):
    """Puts a part of one image into another (Yun et al. 2019)."""

    bounds = (("factor", 0, 1),)

    factor: Numbers = 1.0

    def transformation(self, random: Generator, shape: Size) -> Transformation:
        batch, *size, _ = shape
        alpha = float(uniform(random, between(self.factor, 0)))
        kept = random.beta(alpha + 1e-6, alpha + 1e-6, batch)
        share = numpy.sqrt(1 - kept)
        return {
            "boxes": boxes(random, numpy.stack([share, share], -1), tuple(size)),
            "permutation_order": random.permutation(batch),
        }

    def transformed(self, xp: Any, images: Array, drawn: Transformation) -> Array:
        other = xp.lookup(images, numpy.asarray(drawn["permutation_order"]))
        return xp.where(within(drawn["boxes"], images.shape[1:3]), other, images)


class MixUp(RandomAugmentation, frozen=True, kw_only=True):
    """Blends images in pairs (Zhang et al. 2017)."""

    alpha: NonNegativeFloat = 0.2

    def transformation(self, random: Generator, shape: Size) -> Transformation:
        alpha = max(self.alpha, LEAST_ALPHA)
        return {
            "mix_weight": random.beta(alpha, alpha, shape[0]).astype("float32"),
            "permutation_order": random.permutation(shape[0]),
        }

    def transformed(self, xp: Any, images: Array, drawn: Transformation) -> Array:
        weight = each(numpy.asarray(drawn["mix_weight"], images.dtype))
        other = xp.lookup(images, numpy.asarray(drawn["permutation_order"]))
        return weight * images + (1 - weight) * other


class RandAugment(RandomRanged, frozen=True, kw_only=True):
    """``num_ops`` of many augmentations (Cubuk et al. 2019)."""

    bounds = (("factor", 0, 1),)
    strict = True

    num_ops: PositiveInt = 2
    factor: Numbers = 0.5
    interpolation: Interpolation = "bilinear"

    @property
    def steps(self) -> dict[str, Augmentation]:
        """The augmentations by name, in Keras's order."""
        factor = between(self.factor, 0)
        return {
            **moving(factor, self.interpolation),
            **balancing(factor, self.value_range),
            **mapping(factor, self.value_range, self.data_format),
        }

    def transformation(self, random: Generator, shape: Size) -> Transformation:
        """The same for all images of a batch; what is done twice is done alike."""
        steps = self.steps
        places = random.integers(0, len(steps), self.num_ops)
        names = [list(steps)[place] for place in places]
        drawn = {name: steps[name].transformation(random, shape) for name in dict.fromkeys(names)}
        return {"names": names, "transforms": drawn}

    def transformed(self, xp: Any, images: Array, drawn: Transformation) -> Array:
        steps = self.steps
        for name in drawn["names"]:
            images = steps[name].transformed(xp, images, drawn["transforms"][name])
        return images


class AugMix(RandomRanged, frozen=True, kw_only=True):
    """Mixes chains of augmentations (Hendrycks et al. 2019)."""

    bounds = (("factor", 0, 1),)
    strict = True

    num_chains: PositiveInt = 3
    chain_depth: PositiveInt = 3
    factor: Numbers = 0.3
    alpha: NonNegativeFloat = 1.0
    all_ops: bool = True
    interpolation: Interpolation = "bilinear"

    @property
    def steps(self) -> dict[str, Augmentation]:
        """The augmentations by name, in Keras's order."""
        factor = between(self.factor, 0)
        return {
            **moving(factor, self.interpolation),
            **mapping(factor, self.value_range, self.data_format),
            **(balancing(factor, self.value_range) if self.all_ops else {}),
        }

    def transformation(self, random: Generator, shape: Size) -> Transformation:
        """The same for all images of a batch; each step of a chain may also be left out."""
        steps, alpha = self.steps, max(self.alpha, LEAST_ALPHA)
        names = [*steps, None]
        chains = []
        for _ in range(self.num_chains):
            places = random.integers(0, len(names), self.chain_depth)
            taken = [name for name in (names[place] for place in places) if name is not None]
            chains.append([(name, steps[name].transformation(random, shape)) for name in taken])
        return {
            "chain_mixing_weights": random.dirichlet([alpha] * self.num_chains),
            "weight_sample": float(random.beta(alpha, alpha)),
            "chain_transforms": chains,
        }

    def transformed(self, xp: Any, images: Array, drawn: Transformation) -> Array:
        steps, mixed = self.steps, 0.0
        for chain, weight in zip(
            drawn["chain_transforms"], drawn["chain_mixing_weights"], strict=True
        ):
            made = images
            for name, given in chain:
                made = steps[name].transformed(xp, made, given)
            mixed = mixed + made * float(weight)
        kept = drawn["weight_sample"]
        return clipped(xp, kept * images + (1 - kept) * mixed, self.value_range)


def moving(factor: Pair, interpolation: Interpolation) -> dict[str, Augmentation]:
    """Augmentations of one strength that move pixels."""
    translation = RandomTranslation(
        height_factor=factor, width_factor=factor, interpolation=interpolation
    )
    return {
        "random_shear": RandomShear(x_factor=factor, y_factor=factor, interpolation=interpolation),
        "random_translation": translation,
        "random_rotation": RandomRotation(factor=factor, interpolation=interpolation),
    }


def balancing(factor: Pair, values: Pair) -> dict[str, Augmentation]:
    """Augmentations of one strength that change brightness, color, contrast and sharpness."""
    return {
        "random_brightness": RandomBrightness(factor=factor, value_range=values),
        "random_color_degeneration": RandomColorDegeneration(factor=factor, value_range=values),
        "random_contrast": RandomContrast(factor=factor, value_range=values),
        "random_sharpness": RandomSharpness(factor=factor, value_range=values),
    }


def mapping(factor: Pair, values: Pair, layout: DataFormat | None) -> dict[str, Augmentation]:
    """Augmentations of one strength that put another value in the place of each."""
    bits = max(1, int(8 * factor[1]))
    return {
        "random_posterization": RandomPosterization(factor=bits, value_range=values),
        "solarization": Solarization(
            addition_factor=factor, threshold_factor=factor, value_range=values
        ),
        "auto_contrast": AutoContrast(value_range=values, data_format=layout),
        "equalization": Equalization(value_range=values),
    }


def boxes(random: Generator, shares: Array, size: Size) -> Array:
    """Rectangles within images, evenly: (batch, 2, 2), the first and last row, then column.

    ``shares`` (batch, 2) are those of the height and of the width.
    """
    sides = numpy.asarray(shares, "float32") * numpy.array(size, "float32")
    starts = uniform(random, (0, 1), len(sides), 2) * (numpy.array(size, "float32") - sides)
    return numpy.stack([starts, starts + sides], -1)


def within(rectangles: Array, size: Size) -> Array:
    """Whether each pixel lies in its image's rectangle: (batch, height, width, 1)."""
    (top, bottom), (left, right) = numpy.moveaxis(numpy.asarray(rectangles), 0, -1)[..., None, None]
    row, column = numpy.arange(size[0])[:, None], numpy.arange(size[1])
    inside = (row >= top) & (row < bottom) & (column >= left) & (column < right)
    return inside[..., None]
