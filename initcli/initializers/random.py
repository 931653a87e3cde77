"""Initializers whose distribution does not depend on the shape, and ``Sparse``."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar

import numpy as np

from initcli import distributions
from initcli.distributions import Distribution, Floats
from initcli.initializers.base import Seeded, Whole
from initcli.random import standard_normal
from initcli.types import (
    ArgumentError,
    Fraction,
    NonNegativeFloat,
    ShapeError,
    Size,
    doc,
    shape_text,
)

Mean = Annotated[float, doc("Mean of the normal distribution.")]
Stddev = Annotated[NonNegativeFloat, doc("Standard deviation of the normal distribution.")]


class RandomNormal(Seeded, frozen=True, kw_only=True):
    """N(mean, stddev²)."""

    aliases: ClassVar[tuple[str, ...]] = ("normal",)

    mean: Mean = 0.0
    stddev: Stddev = 0.05

    def distribution_for(self, shape: Size) -> Distribution:
        return normal(self.mean, self.stddev)


class RandomUniform(Seeded, frozen=True, kw_only=True):
    """U(minval, maxval)."""

    aliases: ClassVar[tuple[str, ...]] = ("uniform",)

    minval: Annotated[float, doc("Lower bound.")] = -0.05
    maxval: Annotated[float, doc("Upper bound, at least `minval`.")] = 0.05

    def __post_init__(self) -> None:
        if self.maxval < self.minval:
            raise ArgumentError(
                "maxval",
                f"`maxval` ({self.maxval:g}) must not be less than `minval` ({self.minval:g})",
                "the defaults are -0.05 and 0.05",
            )

    def distribution_for(self, shape: Size) -> Distribution:
        return uniform(self.minval, self.maxval)


class TruncatedNormal(Seeded, frozen=True, kw_only=True):
    """N(mean, stddev²) truncated at ``lower`` and ``upper`` standard deviations from the mean.

    With the default bounds of ±2, those of Keras, the values have the standard deviation
    0.8796 · stddev. The bounds are those of ``jax.nn.initializers.truncated_normal``;
    ``torch.nn.init.trunc_normal_`` takes a = mean + lower · stddev and b = mean + upper · stddev.
    """

    mean: Annotated[float, doc("Mean before truncation.")] = 0.0
    stddev: Annotated[NonNegativeFloat, doc("Standard deviation before truncation.")] = 0.05
    lower: Annotated[
        float | None, doc("Lower bound in standard deviations from the mean; -2 if absent.")
    ] = None
    upper: Annotated[
        float | None, doc("Upper bound in standard deviations from the mean; 2 if absent.")
    ] = None

    def __post_init__(self) -> None:
        low, high = self._bounds
        finite = math.isfinite(high - low)
        if not (finite and low < high and standard_normal.mass(low, high) > 1e-200):
            raise ArgumentError(
                "lower" if self.upper is None else "upper",
                f"the interval from `lower` ({low:g}) to `upper` ({high:g}) standard deviations "
                "must be finite, and must have a positive probability",
                "the defaults are -2 and 2",
            )

    def distribution_for(self, shape: Size) -> Distribution:
        low, high = self._bounds
        return truncated(self.mean, self.stddev, low, high)

    @property
    def _bounds(self) -> tuple[float, float]:
        return (
            -2.0 if self.lower is None else self.lower,
            2.0 if self.upper is None else self.upper,
        )


class Sparse(Whole, frozen=True, kw_only=True):
    """N(0, stddev²) with ⌈sparsity · out⌉ random zeros in each row of a kernel (in, out).

    Martens 2010, Deep learning via Hessian-free optimization, ICML. As ``torch.nn.init.sparse_``,
    which puts the zeros into the columns of (out, in).
    """

    sparsity: Annotated[Fraction, doc("Share of zeros among the outgoing weights of each input.")]
    stddev: Annotated[NonNegativeFloat, doc("Standard deviation of the other weights.")] = 0.01

    def distribution_for(self, shape: Size) -> Distribution:
        if len(shape) != 2:
            raise ShapeError(f"Sparse fills matrices only, not shape {shape_text(shape)}")
        share = self._zeros(shape) / shape[1]
        return distributions.with_zeros(normal(0.0, self.stddev), share)

    def tensor(self, shape: Size, rng: np.random.Generator, dtype: np.dtype[Any]) -> Floats:
        tensor = rng.standard_normal(shape, dtype=dtype.type)
        tensor *= dtype.type(self.stddev)
        if zeros := self._zeros(shape):
            order = np.argsort(rng.random(shape, dtype=np.float32), axis=1)
            np.put_along_axis(tensor, order[:, :zeros], 0, axis=1)
        return tensor

    def scratch(self, shape: Size) -> int:
        return 4 * math.prod(shape)

    def _zeros(self, shape: Size) -> int:
        return math.ceil(self.sparsity * shape[1])


def normal(mean: float, std: float) -> Distribution:
    """N(mean, std²), or a constant for std 0."""
    return distributions.Normal(mean, std) if std > 0 else distributions.Constant(mean)


def uniform(low: float, high: float) -> Distribution:
    """U(low, high), or a constant if the bounds are equal."""
    return distributions.Uniform(low, high) if high > low else distributions.Constant(low)


def truncated(mean: float, std: float, lower: float = -2.0, upper: float = 2.0) -> Distribution:
    """N(mean, std²) truncated at ``lower`` and ``upper`` standard deviations from the mean."""
    if std == 0:
        return distributions.Constant(mean)
    return distributions.TruncatedNormal(mean, std, mean + lower * std, mean + upper * std)
