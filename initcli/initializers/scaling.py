"""Variance scaling: one rule, and the names that its settings go by.

An entry gets the variance scale / n, with n the fan-in, the fan-out or a mean of the two, so that
a signal keeps its size on its way through the layer.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from initcli import distributions
from initcli.distributions import Distribution
from initcli.initializers.base import Fans, Seeded, compute_fans
from initcli.initializers.random import truncated
from initcli.types import PositiveFloat, ShapeError, Size, shape_text

Mode = Literal["fan_in", "fan_out", "fan_avg", "fan_geo_avg"]
Kind = Literal[
    "truncated_normal",
    "untruncated_normal",
    "uniform",
    "normal",
    "uncorrected_truncated_normal",
]
FanRule = Literal["keras2", "keras2_0", "keras1"]

TRUNCATION = 0.87962566103423978
"""The standard deviation of a standard normal distribution that is cut at ±2."""


class Scaled(Seeded, frozen=True, kw_only=True):
    """Variance scale / n over the fans of ``input_axes`` and ``output_axes``, or of the shape.

    ``fan_rule`` counts the fans of a shape as an earlier Keras did: Keras 2 before TensorFlow
    took it over (``keras2``), Keras 2.0.0 to 2.0.5 (``keras2_0``), or Keras 1 (``keras1``).
    """

    registered = False

    input_axes: tuple[int, ...] | None = None
    output_axes: tuple[int, ...] | None = None
    fan_rule: FanRule | None = None

    counts_fans = True

    def fans(self, shape: Size) -> Fans:
        """The product of the sizes of the axes where both are given, and else Keras's rule."""
        return Fans(*map(round, self._exact_fans(shape)))

    def _exact_fans(self, shape: Size) -> tuple[float, float]:
        """The fans, which are no whole numbers where they are the root of a size."""
        if self.input_axes is None or self.output_axes is None:
            return compute_fans(shape) if self.fan_rule is None else _earlier(self.fan_rule, shape)
        for axis in (*self.input_axes, *self.output_axes):
            if not -len(shape) <= axis < len(shape):
                raise ShapeError(
                    f"input_axes and output_axes name axis {axis}, and the last axis of shape "
                    f"{shape_text(shape)} is {len(shape) - 1}",
                    "axes count from 0, or backwards from -1",
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

    Of ranks that are those of no matrix and no convolution's kernel both are the root of the size.
    Until 2.0.5 the receptive field was that of the first two axes, whatever the rank.
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
    """Mean 0 and variance scale / n.

    n is the fan-in, the fan-out, their mean (``fan_avg``) or their geometric mean
    (``fan_geo_avg``, of JAX). The distribution is uniform on ±√(3 · variance), normal, or a normal
    cut at twice its standard deviation, which is then widened by 1/0.8796 so that the variance is
    kept. An ``uncorrected_truncated_normal`` is not widened, so that its standard deviation is
    0.8796 of what the scale says, as in Keras before 2.2.0.
    """

    scale: PositiveFloat = 1.0
    mode: Mode = "fan_in"
    distribution: Kind = "truncated_normal"

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
    """A setting of variance scaling that has a name of its own."""

    setting: ClassVar[tuple[float, Mode, Kind]]

    def distribution_of_fans(self, fans: tuple[float, float]) -> Distribution:
        return scaled(fans, *self.setting)


class GlorotUniform(_Named, frozen=True, kw_only=True):
    """U(−c, c) with c = √(6 / (fan_in + fan_out)) (Glorot & Bengio 2010)."""

    setting = (1.0, "fan_avg", "uniform")


class GlorotNormal(_Named, frozen=True, kw_only=True):
    """A truncated normal of variance 2 / (fan_in + fan_out) (Glorot & Bengio 2010)."""

    setting = (1.0, "fan_avg", "truncated_normal")


class HeUniform(_Named, frozen=True, kw_only=True):
    """U(−c, c) with c = √(6 / fan_in) (He et al. 2015)."""

    setting = (2.0, "fan_in", "uniform")


class HeNormal(_Named, frozen=True, kw_only=True):
    """A truncated normal of variance 2 / fan_in (He et al. 2015)."""

    setting = (2.0, "fan_in", "truncated_normal")


class LecunUniform(_Named, frozen=True, kw_only=True):
    """U(−c, c) with c = √(3 / fan_in) (LeCun et al. 1998)."""

    setting = (1.0, "fan_in", "uniform")


class LecunNormal(_Named, frozen=True, kw_only=True):
    """A truncated normal of variance 1 / fan_in (LeCun et al. 1998)."""

    setting = (1.0, "fan_in", "truncated_normal")


class SirenFirst(Scaled, frozen=True, kw_only=True):
    """U(−1/fan_in, 1/fan_in): the first layer of a SIREN (Sitzmann et al. 2020, arXiv:2006.09661).

    Its activation is ``sin`` with w0 = 30 (section 3.2 of the paper).
    """

    def distribution_of_fans(self, fans: tuple[float, float]) -> Distribution:
        return distributions.Uniform(-1 / fans[0], 1 / fans[0])


class Siren(Scaled, frozen=True, kw_only=True):
    """U(−b, b) with b = √(c / fan_in) / w0: the layers of a SIREN behind its first.

    Before ``sin`` with the same ``w0`` it makes w0 · x a standard normal number
    (Sitzmann et al. 2020, arXiv:2006.09661, theorem 1.8 of the supplement).
    """

    w0: PositiveFloat = 30.0
    c: PositiveFloat = 6.0

    def distribution_of_fans(self, fans: tuple[float, float]) -> Distribution:
        bound = math.sqrt(self.c / fans[0]) / self.w0
        return distributions.Uniform(-bound, bound)
