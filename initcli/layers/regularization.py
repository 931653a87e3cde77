"""Layers that act in training only, and have no weights."""

from __future__ import annotations

from typing import ClassVar

from initcli.layers.base import Layer
from initcli.layers.spatial import require_spatial
from initcli.types import DataFormat, Fraction, NonNegativeFloat, PositiveInt, Shape


class Dropout(Layer, frozen=True, kw_only=True):
    """Sets a share ``rate`` of the entries to 0 and scales the others by 1/(1 − rate)."""

    rate: Fraction
    noise_shape: tuple[PositiveInt | None, ...] | None = None
    seed: int | None = None


class _SpatialDropout(Layer, frozen=True, kw_only=True):
    """Drops whole channels of an input with ``rank`` spatial axes."""

    rank: ClassVar[int]

    rate: Fraction
    seed: int | None = None

    def output_shape(self, shape: Shape) -> Shape:
        require_spatial(self, shape, self.rank)
        return shape


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

    rate: Fraction
    noise_shape: tuple[PositiveInt | None, ...] | None = None
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
