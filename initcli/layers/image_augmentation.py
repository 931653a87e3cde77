"""What all layers share that augment images in training: what they draw, and what it makes.

An augmentation acts in two steps. ``transformation`` draws for a batch of images, with the
distributions of Keras; ``transformed`` is a pure function of images and of what was drawn.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy

from initcli.errors import quoted
from initcli.layers.flow import Flow
from initcli.layers.images import Generator, ImageLayer, Numbers, Transformation
from initcli.types import ArgumentError, Array, NotComputable, Size


class Augmentation(ImageLayer, frozen=True, kw_only=True):
    """What changes images, and not their shape; in training only, as dropout does.

    ``bounds`` are the least and the most of arguments that are one number, or two between which
    one is drawn.
    """

    registered = False

    bounds: ClassVar[tuple[tuple[str, float, float], ...]] = ()
    strict: ClassVar[bool] = False
    """Whether both numbers lie within the bounds, or it is enough that what is between them can."""
    always: ClassVar[bool] = False
    """Whether it acts in inference too."""

    def __post_init__(self) -> None:
        for argument, least, most in self.bounds:
            given = getattr(self, argument)
            if given is None:
                continue
            numbers = given if isinstance(given, tuple) else (given, given)
            if len(numbers) != 2:
                message = f"`{argument}` must be one number or two, not {quoted([*numbers])}"
                raise ArgumentError(argument, message)
            first, last = sorted(numbers) if self.strict else numbers
            if self.strict:
                fits = least <= first and last <= most
            else:
                fits = first <= most and least <= last
            if not fits:
                shown = quoted([*given] if isinstance(given, tuple) else given)
                message = f"`{argument}` must lie between {least:g} and {most:g}, not {shown}"
                raise ArgumentError(argument, message)

    def changed(self, flow: Flow, images: Array) -> Array:
        if not flow.training and not self.always:
            return images
        random = flow.generator("augmentation", getattr(self, "seed", None))
        return self.transformed(flow.xp, images, self.transformation(random, images.shape))

    def transformation(self, random: Generator, shape: Size) -> Transformation:
        """What is drawn for images of that shape: (batch, height, width, channels)."""
        return {}

    def transformed(self, xp: Any, images: Array, drawn: Transformation) -> Array:
        """What becomes of images (batch, height, width, channels) by what was drawn for them."""
        raise NotImplementedError

    def require_color(self, images: Array, gray: bool = False) -> None:
        """Raise unless the images have three channels, or one where ``gray`` ones will do."""
        channels = images.shape[-1]
        if channels != 3 and not (gray and channels == 1):
            wanted = "1 or 3 channels" if gray else "3 channels"
            raise NotComputable(f"{self.type_name} works on images of {wanted}, not of {channels}")


class RandomAugmentation(Augmentation, frozen=True, kw_only=True):
    """What changes images at random."""

    registered = False

    seed: int | None = None


class Ranged(Augmentation, frozen=True, kw_only=True):
    """What needs to know between which values an image lies."""

    registered = False

    value_range: tuple[float, ...] = (0, 255)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.value_range) != 2:
            wanted = f"two numbers, the least and the most, not {quoted([*self.value_range])}"
            raise ArgumentError("value_range", f"`value_range` must be {wanted}")

    @property
    def limits(self) -> tuple[float, float]:
        """The least value and the most, for the layers of which Keras sorts them."""
        least, most = sorted(self.value_range)
        return least, most


class RandomRanged(Ranged, frozen=True, kw_only=True):
    """What changes values at random."""

    registered = False

    seed: int | None = None


def between(given: Numbers, least: float = -numpy.inf) -> tuple[float, float]:
    """The two numbers between which one is drawn.

    A single number f stands for max(−|f|, ``least``) to |f|.
    """
    if isinstance(given, tuple):
        low, high = sorted(given)
        return low, high
    return max(-abs(given), least), abs(given)


def uniform(random: Generator, limits: tuple[float, float], *shape: int) -> Array:
    """Numbers drawn evenly between two."""
    low, high = limits
    return numpy.asarray(low + (high - low) * random.random(shape, "float32"), "float32")


def chosen(random: Generator, factor: Numbers, batch: int) -> Array:
    """Whether each image is changed: with a probability that is itself drawn for each."""
    probability = uniform(random, between(factor, 0), batch)
    return uniform(random, (0, 1), batch) < probability


def each(values: Array) -> Array:
    """One value an image, so that it goes with (batch, height, width, channels)."""
    found = numpy.asarray(values).reshape(-1, 1, 1, 1)
    # Images of less precision shall keep it.
    return found if found.dtype == numpy.bool_ else found.astype("float32")


def clipped(xp: Any, x: Array, limits: tuple[float, ...]) -> Array:
    """min(max(x, low), high); as in JAX, half of the gradient flows where x is just at a limit."""
    low, high = limits
    return xp.minimum(xp.maximum(x, low), high)


def moved(x: Array, source: tuple[float, ...], target: tuple[float, ...]) -> Array:
    """Values that lie in one range, moved to another.

    Raises:
        NotComputable: the range is empty.
    """
    if tuple(source) == tuple(target):
        return x
    (low, high), (least, most) = source, target
    if low == high:
        raise NotComputable(f"its range from {low:g} to {high:g} is empty")
    return (x - low) / (high - low) * (most - least) + least
