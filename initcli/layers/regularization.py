"""Layers that act in training only, and have no weights."""

from __future__ import annotations

from initcli.layers.base import Layer
from initcli.types import DataFormat, Fraction, NonNegativeFloat, Shape


class Dropout(Layer, frozen=True, kw_only=True):
    """Sets a share ``rate`` of the entries to 0 and scales the others by 1/(1 − rate)."""

    rate: Fraction
    noise_shape: tuple[int | None, ...] | None = None
    seed: int | None = None


class _SpatialDropout(Layer, frozen=True, kw_only=True):
    """Drops whole channels."""

    rate: Fraction
    seed: int | None = None


class SpatialDropout1D(_SpatialDropout, frozen=True, kw_only=True):
    """Drops whole channels of a sequence (batch, steps, channels)."""

    def output_shape(self, shape: Shape) -> Shape:
        self.require_rank(shape, 3, "(steps, channels)")
        return shape


class SpatialDropout2D(_SpatialDropout, frozen=True, kw_only=True):
    """Drops whole channels of an image."""

    data_format: DataFormat | None = None

    def output_shape(self, shape: Shape) -> Shape:
        self.require_rank(shape, 4, "(height, width, channels)")
        return shape


class SpatialDropout3D(_SpatialDropout, frozen=True, kw_only=True):
    """Drops whole channels of a volume."""

    data_format: DataFormat | None = None

    def output_shape(self, shape: Shape) -> Shape:
        self.require_rank(shape, 5, "(depth, height, width, channels)")
        return shape


class AlphaDropout(Layer, frozen=True, kw_only=True):
    """Dropout that keeps the mean and variance of its input (Klambauer et al. 2017)."""

    rate: Fraction
    noise_shape: tuple[int | None, ...] | None = None
    seed: int | None = None


class GaussianDropout(Layer, frozen=True, kw_only=True):
    """Multiplies by N(1, rate/(1 − rate))."""

    rate: Fraction
    seed: int | None = None


class GaussianNoise(Layer, frozen=True, kw_only=True):
    """Adds N(0, stddev²)."""

    stddev: Fraction
    seed: int | None = None


class ActivityRegularization(Layer, frozen=True, kw_only=True):
    """Adds l1 · Σ|x| + l2 · Σx² to the loss."""

    l1: NonNegativeFloat = 0.0
    l2: NonNegativeFloat = 0.0
