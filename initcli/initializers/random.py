"""Initializers with independent entries: of fixed distributions, and variance scaling.

The variance of a scaled entry is scale / n for a fan or a mean of the fans n.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal

import numpy as np

from initcli import distributions
from initcli.distributions import Distribution, Floats
from initcli.initializers.base import Fans, Seeded, Whole, compute_fans
from initcli.random import standard_normal
from initcli.types import (
    ArgumentError,
    Fraction,
    NonNegativeFloat,
    PositiveFloat,
    ShapeError,
    Size,
    doc,
    shape_text,
)

Mean = Annotated[float, doc("Mean of the normal distribution.")]
Stddev = Annotated[NonNegativeFloat, doc("Standard deviation of the normal distribution.")]


class RandomNormal(Seeded, frozen=True, kw_only=True):
    """N(mean, stddev²)."""

    aliases = ("normal",)

    mean: Mean = 0.0
    stddev: Stddev = 0.05

    def distribution_for(self, shape: Size) -> Distribution:
        return normal(self.mean, self.stddev)


class RandomUniform(Seeded, frozen=True, kw_only=True):
    """U(minval, maxval)."""

    aliases = ("uniform",)

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

    aliases = ("sparse_",)

    sparsity: Annotated[Fraction, doc("Share of zeros among the outgoing weights of each input.")]
    stddev: Annotated[NonNegativeFloat, doc("Standard deviation of the other weights.")] = 0.01

    def distribution_for(self, shape: Size) -> Distribution:
        if len(shape) != 2:
            raise self.misfit("matrices only", shape)
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


Mode = Literal["fan_in", "fan_out", "fan_avg", "fan_geo_avg"]
Kind = Literal[
    "truncated_normal", "untruncated_normal", "uniform", "normal", "uncorrected_truncated_normal"
]
FanRule = Literal["keras2", "keras2_0", "keras1"]

TRUNCATION = 0.87962566103423978
"""Standard deviation of a standard normal distribution truncated at ±2."""


class Scaled(Seeded, frozen=True, kw_only=True):
    """An initializer whose distribution depends on the fans alone."""

    registered = False

    input_axes: Annotated[
        tuple[int, ...] | None,
        doc("Axes whose sizes multiply to the fan-in, with `output_axes`; Keras's rule if absent."),
    ] = None
    output_axes: Annotated[
        tuple[int, ...] | None,
        doc("Axes whose sizes multiply to the fan-out, with `input_axes`; Keras's rule if absent."),
    ] = None
    fan_rule: Annotated[
        FanRule | None,
        doc(
            "Count the fans of a shape as Keras 2 (`keras2`), Keras 2.0.0 to 2.0.5 (`keras2_0`) or "
            "Keras 1 (`keras1`); as Keras 3 if absent."
        ),
    ] = None

    counts_fans = True

    def fans(self, shape: Size) -> Fans:
        return Fans(*map(round, self._exact_fans(shape)))

    def _exact_fans(self, shape: Size) -> tuple[float, float]:
        """The fans, which the rule of Keras 1 and 2 may take as the square root of a size."""
        if self.input_axes is None or self.output_axes is None:
            return compute_fans(shape) if self.fan_rule is None else _earlier(self.fan_rule, shape)
        for axis in (*self.input_axes, *self.output_axes):
            if not -len(shape) <= axis < len(shape):
                raise ShapeError(
                    f"input_axes and output_axes name axis {axis}, and the last axis of shape "
                    f"{shape_text(shape)} is {len(shape) - 1}",
                    "axes count from 0, or backward from -1",
                )
        return (
            math.prod(shape[axis] for axis in self.input_axes),
            math.prod(shape[axis] for axis in self.output_axes),
        )

    def distribution_for(self, shape: Size) -> Distribution:
        return self.distribution_of_fans(self._exact_fans(shape))

    def distribution_of_fans(self, fans: tuple[float, float]) -> Distribution:
        """The distribution of one entry of a tensor with those fans."""
        raise NotImplementedError


def _earlier(rule: FanRule, shape: Size) -> tuple[float, float]:
    """The fans of a tensor by the rule of an earlier Keras (``_compute_fans``, ``get_fans``).

    Both are the square root of the size for ranks other than those of matrices and convolution
    kernels. Until 2.0.5 the first two axes were the receptive field, whatever the rank.
    """
    kernels = (4, 5) if rule == "keras1" else (3, 4, 5)
    if len(shape) == 2:
        return shape
    if len(shape) not in kernels:
        root = math.sqrt(math.prod(shape))
        return root, root
    field = math.prod(shape[:-2] if rule == "keras2" else shape[:2])
    return shape[-2] * field, shape[-1] * field


class VarianceScaling(Scaled, frozen=True, kw_only=True):
    """Mean 0 and variance scale / n, with n the mean of the fans that ``mode`` names.

    Uniform on ±√(3 · variance), normal, or truncated at two standard deviations. Truncation reduces
    the standard deviation to 0.8796 of its value, which ``truncated_normal`` corrects.
    """

    scale: Annotated[PositiveFloat, doc("Variance of an entry times n.")] = 1.0
    mode: Annotated[
        Mode,
        doc("Divisor n: a fan, their mean (`fan_avg`) or their geometric mean (`fan_geo_avg`)."),
    ] = "fan_in"
    distribution: Annotated[
        Kind,
        doc(
            "Shape of the distribution. `normal` is `truncated_normal`; "
            "`uncorrected_truncated_normal` is that of Keras before 2.2.0."
        ),
    ] = "truncated_normal"

    def distribution_of_fans(self, fans: tuple[float, float]) -> Distribution:
        return scaled(fans, self.scale, self.mode, self.distribution)


def scaled(fans: tuple[float, float], scale: float, mode: Mode, distribution: Kind) -> Distribution:
    """The distribution of mean 0 and variance scale / n."""
    fan_in, fan_out = fans
    n = {
        "fan_in": fan_in,
        "fan_out": fan_out,
        "fan_avg": (fan_in + fan_out) / 2,
        "fan_geo_avg": math.sqrt(fan_in * fan_out),
    }[mode]
    std = math.sqrt(scale / max(1.0, n))
    if distribution == "uniform":
        limit = math.sqrt(3.0) * std
        return distributions.Uniform(-limit, limit)
    if distribution == "untruncated_normal":
        return distributions.Normal(0.0, std)
    if distribution == "uncorrected_truncated_normal":
        return truncated(0.0, std)
    return truncated(0.0, std / TRUNCATION)


class _Named(Scaled, frozen=True, kw_only=True):
    """Variance scaling with fixed settings."""

    setting: ClassVar[tuple[float, Mode, Kind]]

    def distribution_of_fans(self, fans: tuple[float, float]) -> Distribution:
        return scaled(fans, *self.setting)


class GlorotUniform(_Named, frozen=True, kw_only=True):
    """U(−c, c) with c = √(6 / (fan_in + fan_out)).

    Glorot & Bengio 2010, PMLR 9:249–256.
    """

    setting = (1.0, "fan_avg", "uniform")


class GlorotNormal(_Named, frozen=True, kw_only=True):
    """Truncated normal of variance 2 / (fan_in + fan_out).

    Glorot & Bengio 2010, PMLR 9:249–256.
    """

    setting = (1.0, "fan_avg", "truncated_normal")


class HeUniform(_Named, frozen=True, kw_only=True):
    """U(−c, c) with c = √(6 / fan_in) (He et al. 2015, arXiv:1502.01852)."""

    setting = (2.0, "fan_in", "uniform")


class HeNormal(_Named, frozen=True, kw_only=True):
    """Truncated normal of variance 2 / fan_in (He et al. 2015, arXiv:1502.01852)."""

    setting = (2.0, "fan_in", "truncated_normal")


class LecunUniform(_Named, frozen=True, kw_only=True):
    """U(−c, c) with c = √(3 / fan_in) (LeCun et al. 1998, doi:10.1007/3-540-49430-8_2)."""

    setting = (1.0, "fan_in", "uniform")


class LecunNormal(_Named, frozen=True, kw_only=True):
    """Truncated normal of variance 1 / fan_in (LeCun et al. 1998, doi:10.1007/3-540-49430-8_2)."""

    setting = (1.0, "fan_in", "truncated_normal")


class SirenFirst(Scaled, frozen=True, kw_only=True):
    """U(−1/fan_in, 1/fan_in): the first layer of a SIREN (Sitzmann et al. 2020, arXiv:2006.09661).

    Its activation is ``sin`` with w0 = 30 (section 3.2).
    """

    def distribution_of_fans(self, fans: tuple[float, float]) -> Distribution:
        return distributions.Uniform(-1 / fans[0], 1 / fans[0])


class Siren(Scaled, frozen=True, kw_only=True):
    """U(−b, b) with b = √(c / fan_in) / w0: the layers of a SIREN after the first.

    Before ``sin`` with the same ``w0``, w0 · x is then standard normal (Sitzmann et al. 2020,
    arXiv:2006.09661, theorem 1.8 of the supplement).
    """

    w0: Annotated[PositiveFloat, doc("The `w0` of the activation.")] = 30.0
    c: Annotated[
        PositiveFloat, doc("Six times the variance of w0 · x for inputs that are sines.")
    ] = 6.0

    def distribution_of_fans(self, fans: tuple[float, float]) -> Distribution:
        bound = math.sqrt(self.c / fans[0]) / self.w0
        return distributions.Uniform(-bound, bound)
