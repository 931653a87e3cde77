"""Initializers whose distribution does not depend on the shape, and ``Sparse``."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from initcli import distributions
from initcli.distributions import Distribution, Floats
from initcli.initializers.base import Seeded, Whole
from initcli.random import standard_normal
from initcli.types import ArgumentError, Fraction, NonNegativeFloat, ShapeError, Size, shape_text


class RandomNormal(Seeded, frozen=True, kw_only=True):
    """N(mean, stddev²)."""

    aliases: ClassVar[tuple[str, ...]] = ("normal",)

    mean: float = 0.0
    stddev: NonNegativeFloat = 0.05

    def distribution_for(self, shape: Size) -> Distribution:
        return normal(self.mean, self.stddev)


class RandomUniform(Seeded, frozen=True, kw_only=True):
    """U(minval, maxval)."""

    aliases: ClassVar[tuple[str, ...]] = ("uniform",)

    minval: float = -0.05
    maxval: float = 0.05

    def __post_init__(self) -> None:
        if self.maxval < self.minval:
            raise ArgumentError(
                "maxval",
                f"`maxval` ({self.maxval:g}) must not be less than `minval` ({self.minval:g})",
                "where they are not given, minval is -0.05 and maxval 0.05",
            )

    def distribution_for(self, shape: Size) -> Distribution:
        return uniform(self.minval, self.maxval)


class TruncatedNormal(Seeded, frozen=True, kw_only=True):
    """N(mean, stddev²) cut at ``lower`` and ``upper`` standard deviations from the mean.

    Without bounds the cut is at two, as in Keras, and the standard deviation of what is drawn is
    0.8796 · stddev. ``lower`` and ``upper`` are those of ``jax.nn.initializers.truncated_normal``;
    ``torch.nn.init.trunc_normal_`` states the same bounds as a = mean + lower · stddev and
    b = mean + upper · stddev.
    """

    mean: float = 0.0
    stddev: NonNegativeFloat = 0.05
    lower: float | None = None
    upper: float | None = None

    def __post_init__(self) -> None:
        low, high = self._bounds
        if not math.isfinite(high - low):
            raise ArgumentError(
                "upper",
                f"`upper` ({high:g}) and `lower` ({low:g}) must be finite, and so must what lies "
                "between them",
                "they count standard deviations; -10 and 10 cut next to nothing",
            )
        if not low < high:
            raise ArgumentError(
                "upper",
                f"`upper` ({high:g}) must be more than `lower` ({low:g})",
                "where they are not given, lower is -2 and upper 2",
            )
        if standard_normal.mass(low, high) < 1e-200:
            raise ArgumentError(
                "lower",
                f"a normal distribution has next to nothing between `lower` ({low:g}) and `upper` "
                f"({high:g}) standard deviations",
                "take bounds that lie nearer to 0, or have it between them",
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
    """N(0, stddev²) with a share ``sparsity`` of what leaves each input unit set to 0.

    For a kernel (in, out), ⌈sparsity · out⌉ entries of each row, chosen at random, are 0
    (Martens 2010, Deep learning via Hessian-free optimization; ``torch.nn.init.sparse_``, there
    columns of (out, in)).
    """

    sparsity: Fraction
    stddev: NonNegativeFloat = 0.01

    def distribution_for(self, shape: Size) -> Distribution:
        if len(shape) != 2:
            raise ShapeError(f"Sparse fills matrices only, not shape {shape_text(shape)}")
        share = self._zeros(shape) / shape[1]
        rest = normal(0.0, self.stddev)
        if share == 0:
            return rest
        if share == 1 or self.stddev == 0:
            return distributions.Constant(0.0)
        return distributions.Mixture((share, 1 - share), (distributions.Constant(0.0), rest))

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
    """N(mean, std²), or the constant that it is for std 0."""
    return distributions.Normal(mean, std) if std > 0 else distributions.Constant(mean)


def uniform(low: float, high: float) -> Distribution:
    """U(low, high), or the constant that it is for an empty interval."""
    return distributions.Uniform(low, high) if high > low else distributions.Constant(low)


def truncated(mean: float, std: float, lower: float = -2.0, upper: float = 2.0) -> Distribution:
    """N(mean, std²) cut at ``lower`` and ``upper`` standard deviations from its mean."""
    if std == 0:
        return distributions.Constant(mean)
    return distributions.TruncatedNormal(mean, std, mean + lower * std, mean + upper * std)
