"""Layers that act in training only, and have no weights."""

from __future__ import annotations

from typing import ClassVar

from initcli.layers.base import Layer
from initcli.layers.flow import Flow
from initcli.layers.spatial import require_spatial
from initcli.types import Array, DataFormat, Fraction, NonNegativeFloat, PositiveInt, Shape


def dropped(
    flow: Flow, x: Array, rate: float, shape: tuple[int, ...], seed: int | None = None
) -> Array:
    """x times a mask of that shape, which is 1/(1 − rate), or 0 with probability ``rate``."""
    if not flow.training or rate == 0:
        return x
    if rate == 1:
        return x * 0.0
    kept = flow.generator("dropout", seed).random(shape, "float32") >= rate
    return x * (kept / (1 - rate)).astype(x.dtype)


def _noise_shape(given: tuple[int | None, ...] | None, x: Array) -> tuple[int, ...]:
    if given is None:
        sizes: tuple[int, ...] = x.shape
        return sizes
    return tuple(n if size is None else size for size, n in zip(given, x.shape, strict=True))


class Dropout(Layer, frozen=True, kw_only=True):
    """Sets a share ``rate`` of the entries to 0 and scales the others by 1/(1 − rate)."""

    role = "keeps"

    supports_masking = True

    rate: Fraction
    noise_shape: tuple[PositiveInt | None, ...] | None = None
    seed: int | None = None

    def call(self, flow: Flow, x: Array) -> Array:
        return dropped(flow, x, self.rate, _noise_shape(self.noise_shape, x), self.seed)


class _SpatialDropout(Layer, frozen=True, kw_only=True):
    """Drops whole channels of an input with ``rank`` spatial axes."""

    role = "keeps"

    supports_masking = True

    rank: ClassVar[int]

    rate: Fraction
    seed: int | None = None

    def output_shape(self, shape: Shape) -> Shape:
        require_spatial(self, shape, self.rank)
        return shape

    def call(self, flow: Flow, x: Array) -> Array:
        axis = 1 if getattr(self, "data_format", None) == "channels_first" else len(x.shape) - 1
        shape = tuple(n if i in (0, axis) else 1 for i, n in enumerate(x.shape))
        return dropped(flow, x, self.rate, shape, self.seed)


class SpatialDropout1D(_SpatialDropout, frozen=True, kw_only=True):
    """Drops whole channels of a sequence."""

    rank = 1


class SpatialDropout2D(_SpatialDropout, frozen=True, kw_only=True):
    """Drops whole channels of an image."""

    rank = 2

    data_format: DataFormat | None = None


class SpatialDropout3D(_SpatialDropout, frozen=True, kw_only=True):
    """Drops whole channels of a volume."""

    rank = 3

    data_format: DataFormat | None = None


class AlphaDropout(Layer, frozen=True, kw_only=True):
    """Dropout that keeps the mean and variance of its input (Klambauer et al. 2017)."""

    role = "keeps"

    supports_masking = True

    rate: Fraction
    noise_shape: tuple[PositiveInt | None, ...] | None = None
    seed: int | None = None

    def call(self, flow: Flow, x: Array) -> Array:
        if not flow.training or self.rate == 0:
            return x
        least = -1.6732632423543772 * 1.0507009873554805
        shape = _noise_shape(self.noise_shape, x)
        kept = flow.generator("dropout", self.seed).random(shape, "float32") >= self.rate
        scale = ((1 - self.rate) * (1 + self.rate * least**2)) ** -0.5 if self.rate < 1 else 0.0
        return scale * (flow.xp.where(kept, x, least) - least * self.rate)


class GaussianDropout(Layer, frozen=True, kw_only=True):
    """Multiplies by N(1, rate/(1 − rate))."""

    role = "keeps"

    supports_masking = True

    rate: Fraction
    seed: int | None = None

    def call(self, flow: Flow, x: Array) -> Array:
        if not flow.training or self.rate in (0, 1):
            return x
        noise = flow.generator("noise", self.seed).standard_normal(x.shape, "float32")
        return x * (1 + (self.rate / (1 - self.rate)) ** 0.5 * noise).astype(x.dtype)


class GaussianNoise(Layer, frozen=True, kw_only=True):
    """Adds N(0, stddev²)."""

    role = "keeps"

    supports_masking = True

    stddev: Fraction
    seed: int | None = None

    def call(self, flow: Flow, x: Array) -> Array:
        if not flow.training or self.stddev == 0:
            return x
        noise = flow.generator("noise", self.seed).standard_normal(x.shape, "float32")
        return x + (self.stddev * noise).astype(x.dtype)


class ActivityRegularization(Layer, frozen=True, kw_only=True):
    """Adds l1 · Σ|x| + l2 · Σx² to the loss."""

    role = "keeps"

    supports_masking = True

    l1: NonNegativeFloat = 0.0
    l2: NonNegativeFloat = 0.0

    def call(self, flow: Flow, x: Array) -> Array:
        return x
