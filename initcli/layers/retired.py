"""Layers of Keras 1 that Keras 2 could only load."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from initcli.activations import Linear
from initcli.initializers import GlorotUniform, Initializer, Ones, Zeros
from initcli.layers.arguments import (
    BiasInitializer,
    KernelInitializer,
    OutputActivation,
    Units,
    UseBias,
)
from initcli.layers.base import Layer, known_size
from initcli.layers.flow import Flow
from initcli.parameter import Parameter
from initcli.types import Array, PositiveInt, Shape, doc


class MaxoutDense(Layer, frozen=True, kw_only=True):
    """The maximum of ``features`` linear maps (Goodfellow et al. 2013, arXiv:1302.4389). Keras 1.

    Shapes: input (batch, d), kernel (features, d, units), bias (features, units), output (batch,
    units).
    """

    units: Units
    features: Annotated[PositiveInt, doc("Number of linear maps.")] = 4
    kernel_initializer: KernelInitializer = GlorotUniform()
    use_bias: UseBias = True
    bias_initializer: BiasInitializer = Zeros()

    def output_shape(self, shape: Shape) -> Shape:
        self.require_rank(shape, 2, "(features)")
        return (shape[0], self.units)

    def parameters(self, shape: Shape) -> Iterator[Parameter]:
        kernel = (self.features, known_size(self, shape, -1), self.units)
        yield self.weight("kernel", kernel, "kernel_initializer", contracts=(1,), produces=(0, 2))
        if self.use_bias:
            bias = (self.features, self.units)
            yield self.weight("bias", bias, "bias_initializer")

    def call(self, flow: Flow, x: Array) -> Array:
        xp = flow.xp
        y = xp.swapaxes(xp.matmul(x, flow["kernel"]), 0, 1)
        return xp.max(y + flow["bias"] if self.use_bias else y, 1)


class Highway(Layer, frozen=True, kw_only=True):
    """t · activation(x · kernel + bias) + (1 − t) · x, with a learned gate t. Keras 1.

    t is sigmoid(x · carry_kernel + carry_bias), whose bias starts at 1. Shapes: input (batch, d),
    kernels (d, d), biases (d,). (Srivastava et al. 2015, arXiv:1505.00387.)
    """

    activation: OutputActivation = Linear()
    kernel_initializer: Annotated[Initializer, doc("Fills both kernels.")] = GlorotUniform()
    use_bias: UseBias = True

    def output_shape(self, shape: Shape) -> Shape:
        self.require_rank(shape, 2, "(features)")
        return shape

    def parameters(self, shape: Shape) -> Iterator[Parameter]:
        d = known_size(self, shape, -1)
        for path in ("kernel", "carry_kernel"):
            yield self.weight(path, (d, d), "kernel_initializer", contracts=(0,), produces=(1,))
        if self.use_bias:
            yield Parameter(path="bias", shape=(d,), initializer=Zeros())
            yield Parameter(path="carry_bias", shape=(d,), initializer=Ones())

    def call(self, flow: Flow, x: Array) -> Array:
        xp = flow.xp
        y, gate = xp.matmul(x, flow["kernel"]), xp.matmul(x, flow["carry_kernel"])
        if self.use_bias:
            y, gate = y + flow["bias"], gate + flow["carry_bias"]
        share = xp.sigmoid(gate)
        return share * self.activation.call(xp, y) + (1 - share) * x
