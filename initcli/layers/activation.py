"""Layers that apply a function to every entry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar

from initcli.activations import Activation as ActivationFunction
from initcli.activations import Elu, LeakyRelu, Relu, Threshold
from initcli.initializers import Initializer, Zeros
from initcli.layers.base import Layer, known_size, several
from initcli.layers.flow import Flow
from initcli.parameter import Parameter
from initcli.types import (
    ArgumentError,
    Array,
    NonNegativeFloat,
    NotComputable,
    PositiveInt,
    Shape,
    doc,
    shape_text,
)


class Activation(Layer, frozen=True, kw_only=True):
    """Applies an activation."""

    is_positionwise = True
    supports_masking = True

    activation: Annotated[
        ActivationFunction, doc("Function to apply: its name, or a mapping with its arguments.")
    ]

    def call(self, flow: Flow, x: Array) -> Array:
        return self.activation.call(flow.xp, x)


class _Applying(Layer, frozen=True, kw_only=True):
    """Applies the activation that its arguments describe."""

    is_positionwise = True
    supports_masking = True

    @property
    def last_activation(self) -> ActivationFunction:
        raise NotImplementedError

    def call(self, flow: Flow, x: Array) -> Array:
        return self.last_activation.call(flow.xp, x)


class ReLU(_Applying, frozen=True, kw_only=True):
    """max(x, 0), or with a slope below ``threshold`` and a cap at ``max_value``."""

    max_value: Annotated[NonNegativeFloat | None, doc("Upper bound of the output.")] = None
    negative_slope: Annotated[NonNegativeFloat, doc("Slope for negative inputs.")] = 0.0
    threshold: Annotated[NonNegativeFloat, doc("Input where the slope changes.")] = 0.0

    @property
    def last_activation(self) -> ActivationFunction:
        return Relu(
            max_value=self.max_value, negative_slope=self.negative_slope, threshold=self.threshold
        )


class LeakyReLU(_Applying, frozen=True, kw_only=True):
    """x for x ≥ 0, ``negative_slope`` · x below."""

    negative_slope: Annotated[NonNegativeFloat, doc("Slope for negative inputs.")] = 0.3

    @property
    def last_activation(self) -> ActivationFunction:
        return LeakyRelu(negative_slope=self.negative_slope)


class PReLU(Layer, frozen=True, kw_only=True):
    """x for x ≥ 0, alpha · x below, with a learned alpha (He et al. 2015, arXiv:1502.01852).

    alpha has the shape of the input without the batch, with size 1 along ``shared_axes``.
    """

    supports_masking = True

    alpha_initializer: Annotated[Initializer, doc("Fills the slopes for negative inputs.")] = (
        Zeros()
    )
    shared_axes: Annotated[
        PositiveInt | tuple[PositiveInt, ...] | None,
        doc("Axes along which slopes are shared, counted from 1 (0 is the batch)."),
    ] = None

    def parameters(self, shape: Shape) -> Iterator[Parameter]:
        shared = several(self.shared_axes)
        if any(axis >= len(shape) for axis in shared):
            raise ArgumentError(
                "shared_axes",
                f"`shared_axes` names axis {max(shared)}, and the last axis of the input "
                f"{shape_text(shape)} is {len(shape) - 1}",
                "axes count from 1; 0 is the batch",
            )
        alpha = tuple(
            1 if axis in shared else known_size(self, shape, axis) for axis in range(1, len(shape))
        )
        yield self.weight("alpha", alpha, "alpha_initializer", contracts=())

    def call(self, flow: Flow, x: Array) -> Array:
        return flow.xp.where(x > 0, x, flow["alpha"] * x)

    @property
    def last_activation(self) -> ActivationFunction:
        return LeakyRelu(negative_slope=0.0)


class ThresholdedReLU(_Applying, frozen=True, kw_only=True):
    """x for x > ``theta``, else 0 (Konda et al. 2014, arXiv:1402.3337). Keras 1 and 2."""

    theta: Annotated[NonNegativeFloat, doc("Inputs up to this value give 0.")] = 1.0

    @property
    def last_activation(self) -> ActivationFunction:
        return Threshold(threshold=self.theta)


class ELU(_Applying, frozen=True, kw_only=True):
    """x for x ≥ 0, ``alpha`` (exp(x) − 1) below."""

    alpha: Annotated[float, doc("Limit of the output for large negative inputs, negated.")] = 1.0

    @property
    def last_activation(self) -> ActivationFunction:
        return Elu(alpha=self.alpha)


class Softmax(Layer, frozen=True, kw_only=True):
    """exp(x) / Σ exp(x) over ``axis``."""

    supports_masking = True
    takes_masks: ClassVar[Mapping[str, int]] = {"mask": 1}

    axis: Annotated[
        int | tuple[int, ...], doc("Axis that sums to 1, or several axes that do so together.")
    ] = -1

    def call(self, flow: Flow, x: Array) -> Array:
        xp, mask = flow.xp, flow.mask
        if mask is None:
            return self._shares(xp, x)
        try:
            kept = xp.broadcast_to(mask, x.shape)
        except ValueError:
            shapes = f"{shape_text(mask.shape)} cannot be broadcast to {shape_text(x.shape)}"
            raise NotComputable(f"Softmax's mask {shapes}") from None
        return xp.where(kept, self._shares(xp, xp.where(kept, x, x.dtype.type(-1e9))), 0.0)

    def _shares(self, xp: Any, x: Array) -> Array:
        y = xp.exp(x - xp.constant(x).max(self.axis, keepdims=True))
        return y / xp.sum(y, self.axis, keepdims=True)
