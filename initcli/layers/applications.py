"""Layers that ``keras.applications`` brings along."""

from __future__ import annotations

from collections.abc import Iterator

from initcli.initializers import Constant
from initcli.layers.base import Layer
from initcli.layers.flow import Flow
from initcli.layers.regularization import dropped
from initcli.parameter import Parameter
from initcli.types import Array, Fraction, PositiveInt, Shape, ShapeError, shape_text


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


class StochasticDepth(Layer, frozen=True, kw_only=True):
    """Drops a residual path with probability ``drop_path_rate`` in training (Huang et al. 2016)."""

    drop_path_rate: Fraction

    def call(self, flow: Flow, x: Array) -> Array:
        shape = (x.shape[0], *(1,) * (len(x.shape) - 1))
        return dropped(flow, x, self.drop_path_rate, shape)


class CustomScaleLayer(Layer, frozen=True, kw_only=True):
    """The first input and ``scale`` times the second, as Inception-ResNet adds its residuals."""

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
