"""Layers that apply a function to every entry."""

from __future__ import annotations

from collections.abc import Iterator

from initcli.activations import Activation as ActivationFunction
from initcli.initializers import Initializer, Zeros
from initcli.layers.base import Layer, known_size
from initcli.parameter import Parameter
from initcli.types import ArgumentError, NonNegativeFloat, PositiveInt, Shape


class Activation(Layer, frozen=True, kw_only=True):
    """Applies an activation by name."""

    activation: ActivationFunction


class ReLU(Layer, frozen=True, kw_only=True):
    """max(x, 0), with a slope below ``threshold`` and a cap at ``max_value``."""

    max_value: NonNegativeFloat | None = None
    negative_slope: NonNegativeFloat = 0.0
    threshold: NonNegativeFloat = 0.0


class LeakyReLU(Layer, frozen=True, kw_only=True):
    """x for x ≥ 0, ``negative_slope`` · x below."""

    negative_slope: NonNegativeFloat = 0.3


class PReLU(Layer, frozen=True, kw_only=True):
    """x for x ≥ 0, alpha · x below, with a learned alpha.

    alpha has the shape of the input without its batch, and size 1 on the ``shared_axes``
    (counted from 1, the batch being 0).
    """

    alpha_initializer: Initializer = Zeros()
    shared_axes: PositiveInt | tuple[PositiveInt, ...] | None = None

    def parameters(self, shape: Shape) -> Iterator[Parameter]:
        given = self.shared_axes
        shared = (given,) if isinstance(given, int) else given or ()
        if any(axis >= len(shape) for axis in shared):
            raise ArgumentError(
                "shared_axes", f"shared_axes has {max(shared)}; the last axis is {len(shape) - 1}"
            )
        alpha = tuple(
            1 if axis in shared else known_size(self, shape, axis) for axis in range(1, len(shape))
        )
        yield Parameter(path="alpha", shape=alpha, initializer=self.alpha_initializer)


class ELU(Layer, frozen=True, kw_only=True):
    """x for x ≥ 0, ``alpha`` (exp(x) − 1) below."""

    alpha: float = 1.0


class Softmax(Layer, frozen=True, kw_only=True):
    """exp(x) / Σ exp(x) over ``axis`` (or several)."""

    axis: int | tuple[int, ...] = -1
