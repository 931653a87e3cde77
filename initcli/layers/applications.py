"""Layers that ``keras.applications`` brings along."""

from __future__ import annotations

from collections.abc import Iterator

from initcli.initializers import Constant, Initializer, Ones
from initcli.layers.base import Layer, known_size
from initcli.layers.flow import Flow
from initcli.layers.regularization import dropped
from initcli.parameter import Parameter
from initcli.types import (
    ArgumentError,
    Array,
    Fraction,
    PositiveInt,
    Shape,
    ShapeError,
    shape_text,
)


class LayerScale(Layer, frozen=True, kw_only=True):
    """x · gamma, one gamma a channel that starts at ``init_values`` (Touvron et al. 2021)."""

    init_values: float
    projection_dim: PositiveInt

    def output_shape(self, shape: Shape) -> Shape:
        if shape[-1] not in (self.projection_dim, None):
            raise ShapeError(
                f"LayerScale's `projection_dim` is {self.projection_dim}, and its input "
                f"{shape_text(shape)} has {shape[-1]} channels",
                f"write `projection_dim: {shape[-1]}`",
            )
        return shape

    def parameters(self, shape: Shape) -> Iterator[Parameter]:
        size = (self.projection_dim,)
        yield Parameter(path="gamma", shape=size, initializer=Constant(value=self.init_values))

    def call(self, flow: Flow, x: Array) -> Array:
        return x * flow["gamma"]


class Scale(Layer, frozen=True, kw_only=True):
    """x times a learned scale: one number, or one for each entry of ``axis``.

    Shapes: scale () without ``axis``, else (the sizes of those axes…). Behind a residual branch,
    ``initializer: zeros`` makes it ReZero (Bachlechner et al. 2020, arXiv:2003.04887) or SkipInit
    (De & Smith 2020, arXiv:2002.10444), and a small constant over ``axis: -1`` LayerScale (Touvron
    et al. 2021, arXiv:2103.17239).
    """

    supports_masking = True

    axis: int | tuple[int, ...] | None = None
    initializer: Initializer = Ones()

    def output_shape(self, shape: Shape) -> Shape:
        self._sizes(shape)
        return shape

    def parameters(self, shape: Shape) -> Iterator[Parameter]:
        sizes = tuple(self._sizes(shape).values())
        yield self.weight("scale", sizes, "initializer")

    def call(self, flow: Flow, x: Array) -> Array:
        sizes = self._sizes(x.shape)
        beside = tuple(sizes.get(axis, 1) for axis in range(len(x.shape)))
        return x * flow.xp.reshape(flow["scale"], beside)

    def _sizes(self, shape: Shape) -> dict[int, int]:
        """The size of each axis that has scales of its own."""
        axes = (self.axis,) if isinstance(self.axis, int) else self.axis or ()
        if 0 in axes or -len(shape) in axes:
            message = "`axis` names the batch, whose examples have no weights of their own"
            raise ArgumentError("axis", message, "axes count from 1, or backwards from -1")
        found = {axis % max(len(shape), 1): known_size(self, shape, axis) for axis in axes}
        return dict(sorted(found.items()))


class StochasticDepth(Layer, frozen=True, kw_only=True):
    """Drops a residual path with probability ``drop_path_rate`` in training (Huang et al. 2016)."""

    drop_path_rate: Fraction

    def call(self, flow: Flow, x: Array) -> Array:
        shape = (x.shape[0], *(1,) * (len(x.shape) - 1))
        return dropped(flow, x, self.drop_path_rate, shape)


class CustomScaleLayer(Layer, frozen=True, kw_only=True):
    """The first input and ``scale`` times the second, as Inception-ResNet adds its residuals."""

    role = "adds"

    merges = True

    scale: float

    def output_shape(self, shape: Shape, residual: Shape) -> Shape:
        if shape != residual:
            raise ShapeError(
                f"CustomScaleLayer needs two inputs of one shape, not {shape_text(shape)} and "
                f"{shape_text(residual)}"
            )
        return shape

    def call(self, flow: Flow, x: Array, residual: Array) -> Array:
        return x + self.scale * residual
