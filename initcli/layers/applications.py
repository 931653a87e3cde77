"""Layers that models of ``keras.applications`` define."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from initcli.initializers import Constant, Initializer, Ones
from initcli.layers.base import Layer, known_size, several
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
    doc,
    shape_text,
)


class LayerScale(Layer, frozen=True, kw_only=True):
    """x · gamma, with one gamma for each channel (Touvron et al. 2021, arXiv:2103.17239)."""

    init_values: Annotated[float, doc("Initial value of gamma.")]
    projection_dim: Annotated[PositiveInt, doc("Number of channels.", is_width=True)]

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
    """x times a learned scale: one number, or one for each index of ``axis``.

    After a residual branch, zeros make it ReZero (Bachlechner et al. 2020, arXiv:2003.04887) or
    SkipInit (De & Smith 2020, arXiv:2002.10444), and a small constant over ``axis: -1`` LayerScale
    (Touvron et al. 2021, arXiv:2103.17239).
    """

    supports_masking = True

    axis: Annotated[
        int | tuple[int, ...] | None,
        doc("Axes with a scale for each index; a single scale if absent."),
    ] = None
    initializer: Annotated[Initializer, doc("Fills the scale.")] = Ones()

    def output_shape(self, shape: Shape) -> Shape:
        self._sizes(shape)
        return shape

    def parameters(self, shape: Shape) -> Iterator[Parameter]:
        sizes = tuple(self._sizes(shape).values())
        yield self.weight("scale", sizes, "initializer", contracts=())

    def call(self, flow: Flow, x: Array) -> Array:
        sizes = self._sizes(x.shape)
        beside = tuple(sizes.get(axis, 1) for axis in range(len(x.shape)))
        return x * flow.xp.reshape(flow["scale"], beside)

    def _sizes(self, shape: Shape) -> dict[int, int]:
        """The sizes of the axes that have a scale for each index."""
        axes = several(self.axis)
        if 0 in axes or -len(shape) in axes:
            message = "`axis` names the batch, which has no weights"
            raise ArgumentError("axis", message, "axes count from 1, or backward from -1")
        found = {axis % max(len(shape), 1): known_size(self, shape, axis) for axis in axes}
        return dict(sorted(found.items()))


class StochasticDepth(Layer, frozen=True, kw_only=True):
    """Drops the residual path of random examples (Huang et al. 2016, arXiv:1603.09382)."""

    drop_path_rate: Annotated[
        Fraction, doc("Probability of dropping the residual path of an example.")
    ]

    def call(self, flow: Flow, x: Array) -> Array:
        shape = (x.shape[0], *(1,) * (len(x.shape) - 1))
        return dropped(flow, x, self.drop_path_rate, shape)


class CustomScaleLayer(Layer, frozen=True, kw_only=True):
    """The first input plus ``scale`` times the second: the residual sum of Inception-ResNet."""

    role = "adds"
    merges = True

    scale: Annotated[float, doc("Factor on the second input.")]

    def output_shape(self, shape: Shape, residual: Shape) -> Shape:
        if shape != residual:
            raise self.misfit("needs two inputs of one shape", shape, residual)
        return shape

    def call(self, flow: Flow, x: Array, residual: Array) -> Array:
        return x + self.scale * residual
