"""Normalizations: layers that give their input mean 0 and variance 1 over some of its axes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from initcli.initializers import Constant, Initializer, Ones, Zeros
from initcli.layers.base import Layer, known_size
from initcli.parameter import Parameter
from initcli.types import ArgumentError, Fraction, NonNegativeFloat, Shape, ShapeError

Axes = int | tuple[int, ...]


class _ScaledAndCentered(Layer, frozen=True, kw_only=True):
    """What ends in gamma · x + beta, one of each for every index of the normalised axes."""

    epsilon: NonNegativeFloat = 1e-3
    center: bool = True
    scale: bool = True
    beta_initializer: Initializer = Zeros()
    gamma_initializer: Initializer = Ones()

    def gamma_and_beta(self, shape: tuple[int, ...]) -> Iterator[Parameter]:
        """gamma where the layer scales, and beta where it centres."""
        if self.scale:
            yield Parameter(path="gamma", shape=shape, initializer=self.gamma_initializer)
        if self.center:
            yield Parameter(path="beta", shape=shape, initializer=self.beta_initializer)


class BatchNormalization(_ScaledAndCentered, frozen=True, kw_only=True):
    """Normalises each channel over the batch (Ioffe & Szegedy 2015).

    gamma, beta, moving_mean and moving_variance, each (channels,), the last two not trained; with
    ``renorm`` also moving_stddev, renorm_mean and renorm_stddev (Ioffe 2017).
    """

    axis: int = -1
    momentum: Fraction = 0.99
    moving_mean_initializer: Initializer = Zeros()
    moving_variance_initializer: Initializer = Ones()
    renorm: bool = False
    renorm_clipping: dict[str, Any] | None = None
    renorm_momentum: Fraction = 0.99
    synchronized: bool = False

    def output_shape(self, shape: Shape) -> Shape:
        known_size(self, shape, self.axis)
        return shape

    def parameters(self, shape: Shape) -> Iterator[Parameter]:
        channels = (known_size(self, shape, self.axis),)
        yield from self.gamma_and_beta(channels)
        mean, variance = self.moving_mean_initializer, self.moving_variance_initializer
        yield _statistic("moving_mean", channels, mean)
        yield _statistic("moving_variance", channels, variance)
        if self.renorm:
            stddev = _square_root(variance, channels)
            yield _statistic("moving_stddev", channels, stddev)
            yield _statistic("renorm_mean", channels, mean)
            yield _statistic("renorm_stddev", channels, stddev)


class LayerNormalization(_ScaledAndCentered, frozen=True, kw_only=True):
    """Normalises each example over ``axis`` (Ba et al. 2016): gamma and beta have its shape."""

    axis: Axes = -1
    rms_scaling: bool = False

    def output_shape(self, shape: Shape) -> Shape:
        _sizes(self, shape, self.axis)
        return shape

    def parameters(self, shape: Shape) -> Iterator[Parameter]:
        for parameter in self.gamma_and_beta(_sizes(self, shape, self.axis)):
            if not (self.rms_scaling and parameter.path == "beta"):
                yield parameter


class GroupNormalization(_ScaledAndCentered, frozen=True, kw_only=True):
    """Normalises each example over groups of channels (Wu & He 2018).

    gamma and beta are (channels,); ``groups`` −1 makes each channel a group of its own.
    """

    groups: int = 32
    axis: int = -1

    def __post_init__(self) -> None:
        if self.groups < 1 and self.groups != -1:
            raise ArgumentError("groups", f"groups must be positive, or -1, not {self.groups}")

    def output_shape(self, shape: Shape) -> Shape:
        channels = known_size(self, shape, self.axis)
        if self.groups > channels or channels % self.groups:
            raise ShapeError(f"groups ({self.groups}) must divide the {channels} channels")
        return shape

    def parameters(self, shape: Shape) -> Iterator[Parameter]:
        yield from self.gamma_and_beta((known_size(self, shape, self.axis),))


class RMSNormalization(Layer, frozen=True, kw_only=True):
    """Divides by the root mean square over ``axis`` (Zhang & Sennrich 2019), times scale."""

    axis: Axes = -1
    epsilon: NonNegativeFloat = 1e-6

    def output_shape(self, shape: Shape) -> Shape:
        _sizes(self, shape, self.axis)
        return shape

    def parameters(self, shape: Shape) -> Iterator[Parameter]:
        sizes = _sizes(self, shape, self.axis)
        yield Parameter(path="scale", shape=sizes, initializer=Ones())


class UnitNormalization(Layer, frozen=True, kw_only=True):
    """Divides by the Euclidean norm over ``axis``."""

    axis: Axes = -1


def _sizes(layer: Layer, shape: Shape, axis: Axes) -> tuple[int, ...]:
    """The sizes of the axes, in Keras's order: sorted as they are written."""
    axes = (axis,) if isinstance(axis, int) else sorted(axis)
    return tuple(known_size(layer, shape, each) for each in axes)


def _statistic(name: str, shape: tuple[int, ...], initializer: Initializer) -> Parameter:
    return Parameter(path=name, shape=shape, initializer=initializer, trainable=False)


def _square_root(variance: Initializer, shape: tuple[int, ...]) -> Initializer:
    """What fills a standard deviation where ``variance`` fills its square."""
    law = variance.law(shape)
    if law is None or set(law.atoms.values()) != {1.0} or law.mean < 0:
        raise ArgumentError(
            "moving_variance_initializer", "renorm needs a constant moving_variance_initializer"
        )
    return variance if law.mean in (0.0, 1.0) else Constant(value=math.sqrt(law.mean))
