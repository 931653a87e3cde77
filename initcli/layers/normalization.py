"""Layers that normalize their input over some of its axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, ClassVar

from initcli.initializers import Constant, Initializer, Ones, Zeros
from initcli.layers.arguments import Axes, Epsilon
from initcli.layers.base import Layer, known_size, several
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
    doc,
)


class _ScaledAndCentered(Layer, frozen=True, kw_only=True):
    """A normalization that ends in gamma · x + beta, both with the sizes of the normalized axes."""

    supports_masking = True

    epsilon: Epsilon = 1e-3
    center: Annotated[bool, doc("Whether to add a learned beta.")] = True
    scale: Annotated[bool, doc("Whether to multiply by a learned gamma.")] = True
    beta_initializer: Annotated[Initializer, doc("Fills beta.")] = Zeros()
    gamma_initializer: Annotated[Initializer, doc("Fills gamma.")] = Ones()

    def gamma_and_beta(self, shape: tuple[int, ...]) -> Iterator[Parameter]:
        """gamma if the layer scales, and beta if it centers."""
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
    """Normalizes each channel over the batch (Ioffe & Szegedy 2015, arXiv:1502.03167).

    Weights, each (channels,): gamma, beta, and moving_mean and moving_variance, which are not
    trained; with ``renorm`` also moving_stddev, renorm_mean and renorm_stddev.
    """

    role = "normalizes"
    is_positionwise = True
    takes_masks: ClassVar[Mapping[str, int]] = {"mask": 2}

    axis: Annotated[int, doc("Axis of the channels; -1 is the last.")] = -1
    momentum: Annotated[
        Fraction, doc("Share of the moving mean and variance that an update keeps.")
    ] = 0.99
    moving_mean_initializer: Annotated[Initializer, doc("Fills the moving mean.")] = Zeros()
    moving_variance_initializer: Annotated[Initializer, doc("Fills the moving variance.")] = Ones()
    renorm: Annotated[
        bool,
        doc(
            "Whether to correct the statistics of a batch by moving ones (Ioffe 2017, "
            "arXiv:1702.03275)."
        ),
    ] = False
    renorm_clipping: Annotated[
        dict[str, Any] | None, doc("Bounds rmin, rmax and dmax of the correction.")
    ] = None
    renorm_momentum: Annotated[
        Fraction, doc("Share of the moving statistics of the correction that an update keeps.")
    ] = 0.99
    synchronized: Annotated[bool, doc("Whether Keras shares statistics between devices.")] = False

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
        """Normalizes by the statistics of the batch in training, else by the moving ones."""
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
        # Ioffe 2017: normalize by the moving statistics, with no gradient through r and d.
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
    """Normalizes each example over ``axis`` (Ba et al. 2016, arXiv:1607.06450).

    gamma and beta have the sizes of ``axis``.
    """

    role = "normalizes"

    axis: Axes = -1
    rms_scaling: Annotated[
        bool,
        doc("Whether to divide by the standard deviation alone, without subtracting the mean."),
    ] = False

    def output_shape(self, shape: Shape) -> Shape:
        _sizes(self, shape, self.axis)
        return shape

    def parameters(self, shape: Shape) -> Iterator[Parameter]:
        for parameter in self.gamma_and_beta(_sizes(self, shape, self.axis)):
            if not (self.rms_scaling and parameter.path == "beta"):
                yield parameter

    def call(self, flow: Flow, x: Array) -> Array:
        xp, axes, shape = flow.xp, *_placed(self.axis, x)
        centered = x - xp.mean(x, axes, keepdims=True)
        # With ``rms_scaling``, too, Keras divides by the variance about the mean.
        variance = xp.mean(centered * centered, axes, keepdims=True)
        kept = x if self.rms_scaling else centered
        return self.finished(flow, kept / xp.sqrt(variance + self.epsilon), shape)


class GroupNormalization(_ScaledAndCentered, frozen=True, kw_only=True):
    """Normalizes each example over groups of channels (Wu & He 2018, arXiv:1803.08494).

    gamma and beta are (channels,).
    """

    role = "normalizes"

    groups: Annotated[int, doc("Number of groups of channels; -1 for one group per channel.")] = 32
    axis: Annotated[int, doc("Axis of the channels; -1 is the last.")] = -1

    def __post_init__(self) -> None:
        if self.groups < 1 and self.groups != -1:
            remedy = "-1 makes each channel a group"
            message = f"`groups` must be at least 1, or -1, not {self.groups}"
            raise ArgumentError("groups", message, remedy)

    def widths(self, *inputs: Shape) -> Iterator[tuple[str | int, ...]]:
        if inputs and self.groups == known_size(self, inputs[0], self.axis):
            yield ("groups",)  # one group a channel, also of a wider model

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
    """Divides by the root mean square over ``axis`` (Zhang & Sennrich 2019, arXiv:1910.07467)."""

    role = "normalizes"

    axis: Axes = -1
    epsilon: Annotated[NonNegativeFloat, doc("Added to the mean square before the root.")] = 1e-6

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
    """The mean of the unmasked entries of x over the axes."""
    xp = flow.xp
    if (mask := flow.mask) is None:
        return lambda y: xp.mean(y, axes, keepdims=True)
    if mask.ndim != x.ndim - 1:
        wanted = f"{x.ndim - 1} axes for an input of {x.ndim}"
        raise NotComputable(f"BatchNormalization takes a mask of {wanted}, not of {mask.ndim}")
    kept = xp.broadcast_to(mask[..., None], x.shape)
    # As in Keras, to avoid a division by 0.
    count = xp.sum(kept, axes, x.dtype, keepdims=True) + x.dtype.type(1e-7)
    return lambda y: xp.sum(xp.where(kept, y, x.dtype.type(0)), axes, keepdims=True) / count


def _sizes(layer: Layer, shape: Shape, axis: Axes) -> tuple[int, ...]:
    """The sizes of the axes, sorted as Keras sorts them."""
    return tuple(known_size(layer, shape, each) for each in sorted(several(axis)))


def _statistic(name: str, shape: tuple[int, ...], initializer: Initializer) -> Parameter:
    return Parameter(path=name, shape=shape, initializer=initializer, trainable=False)


def _square_root(variance: Initializer, shape: tuple[int, ...]) -> Initializer:
    """The initializer of a standard deviation whose square ``variance`` fills."""
    distribution = variance.distribution_for(shape)
    if distribution is None or set(distribution.atoms.values()) != {1.0} or distribution.mean < 0:
        raise ArgumentError(
            "moving_variance_initializer",
            "`renorm` needs a `moving_variance_initializer` of one value of at least 0, not "
            f"{variance.type_name}",
            "take ones, or {type: Constant, value: 1.0}",
        )
    is_own_root = distribution.mean in (0.0, 1.0)
    return variance if is_own_root else Constant(value=math.sqrt(distribution.mean))


def _placed(axis: Axes, x: Array) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The axes, and the shape that broadcasts their weights against x."""
    axes = tuple(sorted(each % len(x.shape) for each in several(axis)))
    return axes, tuple(size if i in axes else 1 for i, size in enumerate(x.shape))
