"""Layers without weights that act only in training."""

from __future__ import annotations

from typing import Annotated

from initcli.layers.arguments import ChannelOrder, Rate, Seed
from initcli.layers.base import Layer
from initcli.layers.flow import Flow
from initcli.layers.spatial import SpatialLayer, ranked
from initcli.types import Array, Fraction, NonNegativeFloat, PositiveInt, doc


def dropped(
    flow: Flow, x: Array, rate: float, shape: tuple[int, ...], seed: int | None = None
) -> Array:
    """x times a random mask: 0 with probability ``rate``, else 1/(1 − rate)."""
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


NoiseShape = Annotated[
    tuple[PositiveInt | None, ...] | None,
    doc("Shape of the random mask, including the batch; axes of size 1 are broadcast."),
]


class Dropout(Layer, frozen=True, kw_only=True):
    """Sets random entries to 0 in training and scales the others by 1/(1 − rate)."""

    role = "keeps"
    is_positionwise = True
    supports_masking = True

    rate: Rate
    noise_shape: NoiseShape = None
    seed: Seed = None

    def call(self, flow: Flow, x: Array) -> Array:
        return dropped(flow, x, self.rate, _noise_shape(self.noise_shape, x), self.seed)


class _SpatialDropout(SpatialLayer, frozen=True, kw_only=True):
    """Drops whole channels (Tompson et al. 2014, arXiv:1411.4280)."""

    role = "keeps"
    supports_masking = True

    rate: Annotated[Fraction, doc("Share of the channels set to 0 in training.")]
    seed: Seed = None

    def transformed(self, flow: Flow, x: Array) -> Array:
        shape = (x.shape[0], *(1,) * self.rank, x.shape[-1])
        return dropped(flow, x, self.rate, shape, self.seed)


class _SpatialDropoutOfImage(_SpatialDropout, frozen=True, kw_only=True):
    data_format: ChannelOrder = None


(SpatialDropout1D,) = ranked(_SpatialDropout, "SpatialDropout{}D", "Drops whole channels of {}.", 1)
SpatialDropout2D, SpatialDropout3D = ranked(
    _SpatialDropoutOfImage, "SpatialDropout{}D", "Drops whole channels of {}.", 2, 3
)


class AlphaDropout(Layer, frozen=True, kw_only=True):
    """Dropout that keeps mean and variance (Klambauer et al. 2017, arXiv:1706.02515)."""

    role = "keeps"
    supports_masking = True

    rate: Rate
    noise_shape: NoiseShape = None
    seed: Seed = None

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

    rate: Annotated[Fraction, doc("Variance of the factor is rate / (1 − rate).")]
    seed: Seed = None

    def call(self, flow: Flow, x: Array) -> Array:
        if not flow.training or self.rate in (0, 1):
            return x
        noise = flow.generator("noise", self.seed).standard_normal(x.shape, "float32")
        return x * (1 + (self.rate / (1 - self.rate)) ** 0.5 * noise).astype(x.dtype)


class GaussianNoise(Layer, frozen=True, kw_only=True):
    """Adds N(0, stddev²)."""

    role = "keeps"
    supports_masking = True

    stddev: Annotated[Fraction, doc("Standard deviation of the noise.")]
    seed: Seed = None

    def call(self, flow: Flow, x: Array) -> Array:
        if not flow.training or self.stddev == 0:
            return x
        noise = flow.generator("noise", self.seed).standard_normal(x.shape, "float32")
        return x + (self.stddev * noise).astype(x.dtype)


class ActivityRegularization(Layer, frozen=True, kw_only=True):
    """Adds l1 · Σ|x| + l2 · Σx² to the loss."""

    supports_masking = True

    l1: Annotated[NonNegativeFloat, doc("Weight of Σ|x|.")] = 0.0
    l2: Annotated[NonNegativeFloat, doc("Weight of Σx².")] = 0.0
