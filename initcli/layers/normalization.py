"""Normalizations: layers that give their input mean 0 and variance 1 over some of its axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from initcli.initializers import Constant, Initializer, Ones, Zeros
from initcli.layers.base import Layer, known_size
from initcli.layers.flow import Flow
from initcli.parameter import Parameter
from initcli.types import (
    ArgumentError,
    Array,
    Fraction,
    NonNegativeFloat,
    NotComputable,
    Shape,
    ShapeError,
)

Axes = int | tuple[int, ...]


class _ScaledAndCentered(Layer, frozen=True, kw_only=True):
    """What ends in gamma · x + beta, one of each for every index of the normalized axes."""

    supports_masking = True

    epsilon: NonNegativeFloat = 1e-3
    center: bool = True
    scale: bool = True
    beta_initializer: Initializer = Zeros()
    gamma_initializer: Initializer = Ones()

    def gamma_and_beta(self, shape: tuple[int, ...]) -> Iterator[Parameter]:
        """gamma where the layer scales, and beta where it centers."""
        if self.scale:
            yield self.weight("gamma", shape, "gamma_initializer")
        if self.center:
            yield self.weight("beta", shape, "beta_initializer")

    def finished(self, flow: Flow, x: Array, shape: tuple[int, ...]) -> Array:
        """gamma · x + beta, each reshaped to ``shape``."""
        if "gamma" in flow:
            x = x * flow.xp.reshape(flow["gamma"], shape)
        return x + flow.xp.reshape(flow["beta"], shape) if "beta" in flow else x


class BatchNormalization(_ScaledAndCentered, frozen=True, kw_only=True):
    """Normalizes each channel over the batch (Ioffe & Szegedy 2015).

    gamma, beta, moving_mean and moving_variance, each (channels,), the last two not trained; with
    ``renorm`` also moving_stddev, renorm_mean and renorm_stddev (Ioffe 2017).
    """

    role = "normalizes"

    takes_masks: ClassVar[Mapping[str, int]] = {"mask": 2}

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
        for name in ("moving_mean", "moving_variance"):
            yield self.weight(name, channels, f"{name}_initializer", trainable=False)
        if self.renorm:
            stddev = _square_root(self.moving_variance_initializer, channels)
            yield _statistic("moving_stddev", channels, stddev)
            yield _statistic("renorm_mean", channels, self.moving_mean_initializer)
            yield _statistic("renorm_stddev", channels, stddev)

    def call(self, flow: Flow, x: Array) -> Array:
        """In training by the mean and variance of the batch, else by those that were moved."""
        xp, axis = flow.xp, self.axis % len(x.shape)
        shape = tuple(size if i == axis else 1 for i, size in enumerate(x.shape))
        axes = tuple(i for i in range(len(x.shape)) if i != axis)
        if not (flow.training and self.trainable):
            mean = xp.reshape(flow["moving_mean"], shape)
            variance = xp.reshape(flow["moving_variance"], shape)
            return self.finished(flow, (x - mean) / xp.sqrt(variance + self.epsilon), shape)
        average = _averaging(flow, x, axes)
        mean = average(x)
        centered = x - mean
        variance = average(centered * centered)
        if not self.renorm:
            return self.finished(flow, centered / xp.sqrt(variance + self.epsilon), shape)
        # Ioffe 2017: as by the moved statistics, but for gradients, which do not see r and d.
        moved, stddev = (xp.reshape(flow[f"renorm_{name}"], shape) for name in ("mean", "stddev"))
        seen = xp.sqrt(xp.constant(variance) + self.epsilon)
        stddev = xp.maximum(stddev, self.epsilon**0.5)
        limits = self.renorm_clipping or {}
        r, d = seen / stddev, (xp.constant(mean) - moved) / stddev
        r = xp.clip(r, limits.get("rmin", 0.0), limits.get("rmax", xp.inf))
        d = xp.clip(d, -limits.get("dmax", xp.inf), limits.get("dmax", xp.inf))
        return self.finished(flow, centered / xp.sqrt(variance + self.epsilon) * r + d, shape)

    def heeds_masks(self, flow: Flow) -> bool:
        return self.trainable and flow.mask is not None


class LayerNormalization(_ScaledAndCentered, frozen=True, kw_only=True):
    """Normalizes each example over ``axis`` (Ba et al. 2016): gamma and beta have its shape."""

    role = "normalizes"

    axis: Axes = -1
    rms_scaling: bool = False

    def output_shape(self, shape: Shape) -> Shape:
        _sizes(self, shape, self.axis)
        return shape

    def parameters(self, shape: Shape) -> Iterator[Parameter]:
        for parameter in self.gamma_and_beta(_sizes(self, shape, self.axis)):
            if not (self.rms_scaling and parameter.path == "beta"):
                yield parameter

    def call(self, flow: Flow, x: Array) -> Array:
        xp, axes, shape = flow.xp, *_placed(self.axis, x)
        centered = x if self.rms_scaling else x - xp.mean(x, axes, keepdims=True)
        if self.rms_scaling:
            # Keras divides by the variance about the mean all the same.
            about = x - xp.mean(x, axes, keepdims=True)
            variance = xp.mean(about * about, axes, keepdims=True)
        else:
            variance = xp.mean(centered * centered, axes, keepdims=True)
        return self.finished(flow, centered / xp.sqrt(variance + self.epsilon), shape)


class GroupNormalization(_ScaledAndCentered, frozen=True, kw_only=True):
    """Normalizes each example over groups of channels (Wu & He 2018).

    gamma and beta are (channels,); ``groups`` −1 makes each channel a group of its own.
    """

    role = "normalizes"

    groups: int = 32
    axis: int = -1

    def __post_init__(self) -> None:
        if self.groups < 1 and self.groups != -1:
            remedy = "-1 makes each channel a group of its own"
            message = f"`groups` must be at least 1, or -1, not {self.groups}"
            raise ArgumentError("groups", message, remedy)

    def output_shape(self, shape: Shape) -> Shape:
        channels = known_size(self, shape, self.axis)
        if self.groups > channels or channels % self.groups:
            raise ShapeError(f"`groups` ({self.groups}) must divide the {channels} channels")
        return shape

    def parameters(self, shape: Shape) -> Iterator[Parameter]:
        yield from self.gamma_and_beta((known_size(self, shape, self.axis),))

    def call(self, flow: Flow, x: Array) -> Array:
        xp, axis = flow.xp, self.axis % len(x.shape)
        channels = x.shape[axis]
        groups = channels if self.groups == -1 else self.groups
        split = xp.reshape(x, (*x.shape[:axis], groups, channels // groups, *x.shape[axis + 1 :]))
        axes = tuple(i for i in range(1, len(split.shape)) if i != axis)
        centered = split - xp.mean(split, axes, keepdims=True)
        variance = xp.mean(centered * centered, axes, keepdims=True)
        normal = xp.reshape(centered / xp.sqrt(variance + self.epsilon), x.shape)
        shape = tuple(size if i == axis else 1 for i, size in enumerate(x.shape))
        return self.finished(flow, normal, shape)


class RMSNormalization(Layer, frozen=True, kw_only=True):
    """Divides by the root mean square over ``axis`` (Zhang & Sennrich 2019), times scale."""

    role = "normalizes"

    axis: Axes = -1
    epsilon: NonNegativeFloat = 1e-6

    def output_shape(self, shape: Shape) -> Shape:
        _sizes(self, shape, self.axis)
        return shape

    def parameters(self, shape: Shape) -> Iterator[Parameter]:
        sizes = _sizes(self, shape, self.axis)
        yield Parameter(path="scale", shape=sizes, initializer=Ones())

    def call(self, flow: Flow, x: Array) -> Array:
        xp, axes, shape = flow.xp, *_placed(self.axis, x)
        size = xp.sqrt(xp.mean(x * x, axes, keepdims=True) + self.epsilon)
        return x / size * xp.reshape(flow["scale"], shape)


class UnitNormalization(Layer, frozen=True, kw_only=True):
    """Divides by the Euclidean norm over ``axis``."""

    role = "normalizes"

    supports_masking = True

    axis: Axes = -1

    def call(self, flow: Flow, x: Array) -> Array:
        xp, (axes, _) = flow.xp, _placed(self.axis, x)
        squares = xp.sum(x * x, axes, keepdims=True)
        return x / xp.sqrt(xp.where(squares > 1e-24, squares, 1e-24))


def _averaging(flow: Flow, x: Array, axes: tuple[int, ...]) -> Callable[[Array], Array]:
    """The mean over the axes of x, of those entries that no mask hides."""
    xp = flow.xp
    if (mask := flow.mask) is None:
        return lambda y: xp.mean(y, axes, keepdims=True)
    if mask.ndim != x.ndim - 1:
        wanted = f"{x.ndim - 1} axes for an input of {x.ndim}"
        raise NotComputable(f"BatchNormalization takes a mask of {wanted}, not of {mask.ndim}")
    kept = xp.broadcast_to(mask[..., None], x.shape)
    # As in Keras, which divides by no 0.
    count = xp.sum(kept, axes, x.dtype, keepdims=True) + x.dtype.type(1e-7)
    return lambda y: xp.sum(xp.where(kept, y, x.dtype.type(0)), axes, keepdims=True) / count


def _sizes(layer: Layer, shape: Shape, axis: Axes) -> tuple[int, ...]:
    """The sizes of the axes, in Keras's order: sorted as they are written."""
    axes = (axis,) if isinstance(axis, int) else sorted(axis)
    return tuple(known_size(layer, shape, each) for each in axes)


def _statistic(name: str, shape: tuple[int, ...], initializer: Initializer) -> Parameter:
    return Parameter(path=name, shape=shape, initializer=initializer, trainable=False)


def _square_root(variance: Initializer, shape: tuple[int, ...]) -> Initializer:
    """What fills a standard deviation where ``variance`` fills its square."""
    distribution = variance.distribution_for(shape)
    if distribution is None or set(distribution.atoms.values()) != {1.0} or distribution.mean < 0:
        raise ArgumentError(
            "moving_variance_initializer",
            "`renorm` needs a `moving_variance_initializer` of one value of at least 0, not "
            f"{variance.type_name}",
            "take ones, or {type: Constant, value: 1.0}",
        )
    return (
        variance
        if distribution.mean in (0.0, 1.0)
        else Constant(value=math.sqrt(distribution.mean))
    )


def _placed(axis: Axes, x: Array) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The axes, and the shape in which what has their sizes stands beside x."""
    given = (axis,) if isinstance(axis, int) else axis
    axes = tuple(sorted(each % len(x.shape) for each in given))
    return axes, tuple(size if i in axes else 1 for i, size in enumerate(x.shape))
