"""The initializers of ``torch.nn.init``, under its names and with its arguments.

Fans are those of the kernel in the layout of Keras.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal

from initcli import distributions
from initcli.distributions import Distribution
from initcli.initializers.base import Seeded
from initcli.initializers.random import Kind, Scaled, normal, scaled, uniform
from initcli.random.standard_normal import mass
from initcli.types import ArgumentError, NonNegativeFloat, Size, doc, snake_case

Nonlinearity = Literal[
    "linear",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "sigmoid",
    "tanh",
    "relu",
    "leaky_relu",
    "selu",
]


class _OfTorch(Scaled, frozen=True, kw_only=True):
    """Named as in PyTorch, with an underscore at the end.

    Without the underscore the names are those of JAX, whose normal distributions are truncated.
    """

    kind: ClassVar[Kind]

    @classmethod
    def registered_names(cls) -> Iterable[str]:
        return cls.__name__, f"{snake_case(cls.__name__)}_"


class _Xavier(_OfTorch, frozen=True, kw_only=True):
    gain: Annotated[float, doc("Factor on the standard deviation.")] = 1.0

    def distribution_of_fans(self, fans: tuple[float, float]) -> Distribution:
        return scaled(fans, self.gain**2, "fan_avg", self.kind)


class _Kaiming(_OfTorch, frozen=True, kw_only=True):
    a: Annotated[float, doc("Negative slope of `leaky_relu`.")] = 0.0
    mode: Annotated[Literal["fan_in", "fan_out"], doc("The fan that divides.")] = "fan_in"
    nonlinearity: Annotated[
        Nonlinearity,
        doc(
            "Sets the gain: √(2 / (1 + a²)) for `leaky_relu`, √2 for `relu`, 5/3 for `tanh`, 3/4 "
            "for `selu`, else 1."
        ),
    ] = "leaky_relu"

    def distribution_of_fans(self, fans: tuple[float, float]) -> Distribution:
        gains = {
            "leaky_relu": math.sqrt(2 / (1 + self.a**2)),
            "relu": math.sqrt(2),
            "tanh": 5 / 3,
            "selu": 3 / 4,
        }
        return scaled(fans, gains.get(self.nonlinearity, 1.0) ** 2, self.mode, self.kind)


class _Plain(Seeded, frozen=True, kw_only=True):
    """An initializer whose distribution does not depend on the shape."""

    @classmethod
    def registered_names(cls) -> Iterable[str]:
        return (f"{snake_case(cls.__name__.removeprefix('Torch'))}_",)

    @property
    def type_name(self) -> str:
        return next(iter(self.registered_names()))


class TorchNormal(_Plain, frozen=True, kw_only=True):
    """N(mean, std²), as ``torch.nn.init.normal_``."""

    mean: Annotated[float, doc("Mean.")] = 0.0
    std: Annotated[NonNegativeFloat, doc("Standard deviation.")] = 1.0

    def distribution_for(self, shape: Size) -> Distribution:
        return normal(self.mean, self.std)


class TorchUniform(_Plain, frozen=True, kw_only=True):
    """U(a, b), as ``torch.nn.init.uniform_``."""

    a: Annotated[float, doc("Lower bound.")] = 0.0
    b: Annotated[float, doc("Upper bound, at least `a`.")] = 1.0

    def __post_init__(self) -> None:
        if self.b < self.a:
            message = f"`b` ({self.b:g}) must not be less than `a` ({self.a:g})"
            raise ArgumentError("b", message, "the defaults are 0 and 1")

    def distribution_for(self, shape: Size) -> Distribution:
        return uniform(self.a, self.b)


class TorchTruncNormal(_Plain, frozen=True, kw_only=True):
    """N(mean, std²) truncated at a and b, as ``torch.nn.init.trunc_normal_``.

    The bounds are values, not standard deviations: small standard deviations never reach them.
    """

    mean: Annotated[float, doc("Mean before truncation.")] = 0.0
    std: Annotated[NonNegativeFloat, doc("Standard deviation before truncation.")] = 1.0
    a: Annotated[float, doc("Lower bound of the values.")] = -2.0
    b: Annotated[float, doc("Upper bound of the values.")] = 2.0

    def __post_init__(self) -> None:
        if self.std == 0:
            return
        low, high = ((bound - self.mean) / self.std for bound in (self.a, self.b))
        if not (low < high and mass(low, high) > 1e-200):
            raise ArgumentError(
                "b",
                f"the interval from `a` ({self.a:g}) to `b` ({self.b:g}) must have a positive "
                "probability",
                "the defaults are -2 and 2",
            )

    def distribution_for(self, shape: Size) -> Distribution:
        if self.std == 0:
            return normal(min(max(self.mean, self.a), self.b), 0.0)
        return distributions.TruncatedNormal(self.mean, self.std, self.a, self.b)


class TorchConstant(_Plain, frozen=True, kw_only=True):
    """Always ``val``, as ``torch.nn.init.constant_``."""

    val: Annotated[float, doc("The value.")]

    def distribution_for(self, shape: Size) -> Distribution:
        return normal(self.val, 0.0)


class XavierUniform(_Xavier, frozen=True, kw_only=True):
    """U(−c, c) with c = gain · √(6 / (fan_in + fan_out)), as ``torch.nn.init.xavier_uniform_``.

    Glorot & Bengio 2010, PMLR 9:249–256.
    """

    kind = "uniform"


class XavierNormal(_Xavier, frozen=True, kw_only=True):
    """N(0, gain² · 2 / (fan_in + fan_out)), as ``torch.nn.init.xavier_normal_``.

    Glorot & Bengio 2010, PMLR 9:249–256.
    """

    kind = "untruncated_normal"


class KaimingUniform(_Kaiming, frozen=True, kw_only=True):
    """U(−c, c) with c = gain · √(3 / fan), as ``torch.nn.init.kaiming_uniform_``.

    He et al. 2015, arXiv:1502.01852.
    """

    kind = "uniform"


class KaimingNormal(_Kaiming, frozen=True, kw_only=True):
    """N(0, gain² / fan), as ``torch.nn.init.kaiming_normal_``.

    He et al. 2015, arXiv:1502.01852.
    """

    kind = "untruncated_normal"
