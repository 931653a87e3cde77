"""Activations: functions that a layer applies to its output, one class each.

The formulas are those of ``keras.activations`` in Keras 3, by entry x unless they name an axis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any, ClassVar

import msgspec

from initcli.registry import known
from initcli.types import Array, NonNegativeFloat, NotComputable, PositiveFloat, doc, snake_case


class Activation(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=True):
    """A function of a layer's output."""

    aliases: ClassVar[tuple[str, ...]] = ()
    """Names besides the snake_case form of the class name."""
    bounds: ClassVar[tuple[float | None, float | None]] = (None, None)
    """Limits of the output for large inputs, where the gradient vanishes; None for no limit."""
    is_entrywise: ClassVar[bool] = True
    """Whether it is a known function of single entries."""

    @classmethod
    def registered_names(cls) -> Iterable[str]:
        """The names of the activation in a spec."""
        return snake_case(cls.__name__), *cls.aliases

    def call(self, xp: Any, x: Array) -> Array:
        """The activation of x, in the array namespace ``xp``."""
        raise NotImplementedError

    def __str__(self) -> str:
        return snake_case(type(self).__name__)


def _entrywise(
    name: str,
    formula: str,
    function: Callable[[Any, Array], Array],
    bounds: tuple[float | None, float | None] = (None, None),
    aliases: tuple[str, ...] = (),
) -> type[Activation]:
    """An activation without arguments."""
    members = {
        "__doc__": formula,
        "__module__": __name__,
        "bounds": bounds,
        "aliases": aliases,
        "call": lambda self, xp, x: function(xp, x),
    }
    make: Any = type(Activation)
    return make(name, (Activation,), members, frozen=True, kw_only=True)  # type: ignore[no-any-return]


Axis = Annotated[int, doc("Axis of the input, counted from 0 or backward from -1.")]
Slope = Annotated[NonNegativeFloat, doc("Slope for negative inputs.")]
Alpha = Annotated[float, doc("Limit of the output for large negative inputs, negated.")]


Linear = _entrywise("Linear", "x", lambda xp, x: x)


class Relu(Activation, frozen=True, kw_only=True):
    """max(x, 0), or with a slope below ``threshold`` and a cap at ``max_value``"""

    negative_slope: Slope = 0.0
    max_value: Annotated[NonNegativeFloat | None, doc("Upper bound of the output.")] = None
    threshold: Annotated[NonNegativeFloat, doc("Input where the slope changes.")] = 0.0

    def call(self, xp: Any, x: Array) -> Array:
        low = self.negative_slope * (x - self.threshold) if self.negative_slope else 0.0
        y = xp.where(x > self.threshold, x, low)
        return y if self.max_value is None else xp.where(y < self.max_value, y, self.max_value)


class LeakyRelu(Activation, frozen=True, kw_only=True):
    """x for x ≥ 0, ``negative_slope`` · x below"""

    negative_slope: Slope = 0.2

    def call(self, xp: Any, x: Array) -> Array:
        return xp.where(x > 0, x, self.negative_slope * x)


Relu6 = _entrywise(
    "Relu6",
    "min(max(x, 0), 6)",
    lambda xp, x: xp.where(x < 6, xp.where(x > 0, x, 0.0), 6.0),
    bounds=(None, 6.0),
)


class Softmax(Activation, frozen=True, kw_only=True):
    """exp(x) / Σ exp(x) over ``axis``"""

    is_entrywise = False

    axis: Axis = -1

    def call(self, xp: Any, x: Array) -> Array:
        y = xp.exp(x - xp.constant(x).max(self.axis, keepdims=True))
        return y / xp.sum(y, self.axis, keepdims=True)


class LogSoftmax(Activation, frozen=True, kw_only=True):
    """x − log Σ exp(x) over ``axis``"""

    is_entrywise = False

    axis: Axis = -1

    def call(self, xp: Any, x: Array) -> Array:
        x = x - xp.constant(x).max(self.axis, keepdims=True)
        return x - xp.log(xp.sum(xp.exp(x), self.axis, keepdims=True))


class Celu(Activation, frozen=True, kw_only=True):
    """x for x ≥ 0, ``alpha`` (exp(x / alpha) − 1) below"""

    alpha: Alpha = 1.0

    def call(self, xp: Any, x: Array) -> Array:
        return xp.where(x > 0, x, self.alpha * xp.expm1(xp.where(x > 0, 0.0, x) / self.alpha))


class Elu(Activation, frozen=True, kw_only=True):
    """x for x ≥ 0, ``alpha`` (exp(x) − 1) below"""

    alpha: Alpha = 1.0

    def call(self, xp: Any, x: Array) -> Array:
        return xp.where(x > 0, x, self.alpha * xp.expm1(xp.where(x > 0, 0.0, x)))


Selu = _entrywise(
    "Selu",
    "1.0507 · elu(x) with alpha 1.6733 (Klambauer et al. 2017, arXiv:1706.02515)",
    lambda xp, x: (
        1.0507009873554805
        * xp.where(x > 0, x, 1.6732632423543772 * xp.expm1(xp.where(x > 0, 0.0, x)))
    ),
)
Softplus = _entrywise("Softplus", "log(1 + exp(x))", lambda xp, x: xp.logaddexp(x, 0.0))
Softsign = _entrywise(
    "Softsign", "x / (1 + |x|)", lambda xp, x: x / (1 + xp.abs(x)), bounds=(-1.0, 1.0)
)


class Squareplus(Activation, frozen=True, kw_only=True):
    """(x + √(x² + b)) / 2"""

    b: Annotated[NonNegativeFloat, doc("Smoothness; 0 gives max(x, 0).")] = 4.0

    def call(self, xp: Any, x: Array) -> Array:
        return (x + xp.sqrt(x * x + self.b)) / 2


class SoftShrink(Activation, frozen=True, kw_only=True):
    """x moved toward 0 by ``threshold``; 0 for |x| ≤ ``threshold``"""

    threshold: Annotated[NonNegativeFloat, doc("Half the width of the interval of zeros.")] = 0.5

    def call(self, xp: Any, x: Array) -> Array:
        t = self.threshold
        return xp.where(x > t, x - t, xp.where(x < -t, x + t, 0.0))


SparsePlus = _entrywise(
    "SparsePlus",
    "0 for x ≤ −1, (x + 1)² / 4 up to x = 1, x above",
    lambda xp, x: xp.where(x <= -1, 0.0, xp.where(x < 1, (x + 1) * (x + 1) / 4, x)),
)
Silu = _entrywise("Silu", "x · sigmoid(x)", lambda xp, x: x * xp.sigmoid(x), aliases=("swish",))


class Gelu(Activation, frozen=True, kw_only=True):
    """x Φ(x), or its tanh approximation (Hendrycks & Gimpel 2016, arXiv:1606.08415)"""

    approximate: Annotated[bool, doc("Whether to use the tanh approximation.")] = False

    def call(self, xp: Any, x: Array) -> Array:
        if self.approximate:
            return x * (1 + xp.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))) / 2
        return x * (1 + xp.erf(x * 0.7071067811865476)) / 2


QuickGelu = _entrywise(
    "QuickGelu",
    "x · sigmoid(1.702 x) (Hendrycks & Gimpel 2016, arXiv:1606.08415)",
    lambda xp, x: x * xp.sigmoid(1.702 * x),
)
SquaredRelu = _entrywise(
    "SquaredRelu",
    "max(x, 0)² (So et al. 2021, arXiv:2109.08668)",
    lambda xp, x: xp.where(x > 0, x, 0.0) ** 2,
)


class Xielu(Activation, frozen=True, kw_only=True):
    """``alpha_p`` x² + ``beta`` x for x > 0, ``alpha_n`` (exp(x) − 1 − x) + ``beta`` x below

    Its first two factors are learned (Huang and Schlag 2024, arXiv:2411.13010).
    """

    alpha_p: Annotated[float, doc("Factor on squares of positive inputs.")] = 0.8
    alpha_n: Annotated[float, doc("Factor on what is below 0.")] = 0.8
    beta: Annotated[float, doc("Slope at 0.")] = 0.5

    def call(self, xp: Any, x: Array) -> Array:
        low = xp.where(x > 0, 0.0, x)
        own = xp.where(x > 0, self.alpha_p * x * x, self.alpha_n * (xp.expm1(low) - low))
        return own + self.beta * x


class Glu(Activation, frozen=True, kw_only=True):
    """a · sigmoid(b) for the halves a, b of ``axis``"""

    is_entrywise = False

    axis: Axis = -1

    def call(self, xp: Any, x: Array) -> Array:
        a, b = xp.split(x, 2, self.axis)
        return a * xp.sigmoid(b)


Tanh = _entrywise(
    "Tanh", "(exp(x) − exp(−x)) / (exp(x) + exp(−x))", lambda xp, x: xp.tanh(x), bounds=(-1.0, 1.0)
)


class Sin(Activation, frozen=True, kw_only=True):
    """sin(``w0`` · x) (Sitzmann et al. 2020, arXiv:2006.09661)"""

    aliases = ("sine",)

    w0: Annotated[float, doc("Factor on the input; 30 in SIREN.")] = 1.0

    def call(self, xp: Any, x: Array) -> Array:
        return xp.sin(self.w0 * x)


TanhShrink = _entrywise("TanhShrink", "x − tanh(x)", lambda xp, x: x - xp.tanh(x))


class Threshold(Activation, frozen=True, kw_only=True):
    """x above ``threshold``, else ``default_value``"""

    threshold: Annotated[float, doc("Inputs above it pass unchanged.")] = 0.0
    default_value: Annotated[float, doc("Output for inputs up to the threshold.")] = 0.0

    def call(self, xp: Any, x: Array) -> Array:
        return xp.where(x > self.threshold, x, self.default_value)


Sigmoid = _entrywise("Sigmoid", "1 / (1 + exp(−x))", lambda xp, x: xp.sigmoid(x), bounds=(0.0, 1.0))
SparseSigmoid = _entrywise(
    "SparseSigmoid",
    "0 for x ≤ −1, (x + 1) / 2 up to x = 1, 1 above",
    lambda xp, x: xp.where(x <= -1, 0.0, xp.where(x < 1, (x + 1) / 2, 1.0)),
    bounds=(0.0, 1.0),
)
Exponential = _entrywise("Exponential", "exp(x)", lambda xp, x: xp.exp(x))


class HardSigmoid(Activation, frozen=True, kw_only=True):
    """min(max(``slope`` · x + 1/2, 0), 1)"""

    bounds = (0.0, 1.0)

    slope: Annotated[PositiveFloat, doc("Slope at 0; 1/6 in Keras 3, 0.2 in Keras 1 and 2.")] = (
        1 / 6
    )

    def call(self, xp: Any, x: Array) -> Array:
        y = self.slope * x + 0.5
        return xp.where(y <= 0, 0.0, xp.where(y < 1, y, 1.0))


HardSilu = _entrywise(
    "HardSilu",
    "x · hard_sigmoid(x)",
    lambda xp, x: x * xp.where(x <= -3, 0.0, xp.where(x < 3, x / 6 + 0.5, 1.0)),
    aliases=("hard_swish",),
)
HardTanh = _entrywise(
    "HardTanh",
    "min(max(x, −1), 1)",
    lambda xp, x: xp.where(x <= -1, -1.0, xp.where(x < 1, x, 1.0)),
    bounds=(-1.0, 1.0),
)


class HardShrink(Activation, frozen=True, kw_only=True):
    """x where |x| > ``threshold``, else 0"""

    threshold: Annotated[NonNegativeFloat, doc("Half the width of the interval of zeros.")] = 0.5

    def call(self, xp: Any, x: Array) -> Array:
        return xp.where(xp.abs(x) > self.threshold, x, 0.0)


Mish = _entrywise("Mish", "x · tanh(softplus(x))", lambda xp, x: x * xp.tanh(xp.logaddexp(x, 0.0)))
LogSigmoid = _entrywise("LogSigmoid", "log sigmoid(x)", lambda xp, x: -xp.logaddexp(-x, 0.0))


class Sparsemax(Activation, frozen=True, kw_only=True):
    """max(x − τ, 0) over ``axis``, with the τ of Keras: (s₁ + … + s_k − 1) / k

    s_j is the sum of the j largest entries, and k the last j whose j-th largest entry is more than
    (s_j − 1) / j. In Martins & Astudillo 2016 (arXiv:1602.02068) τ is (s_k − 1) / k, so that the
    outputs add up to 1.
    """

    is_entrywise = False

    axis: Axis = -1

    def call(self, xp: Any, x: Array) -> Array:
        order = xp.argsort(-xp.constant(x), self.axis, kind="stable")
        largest = xp.take_along_axis(xp.constant(x), order, self.axis)
        shape = [1] * largest.ndim
        shape[self.axis] = -1
        places = xp.reshape(xp.arange(1, largest.shape[self.axis] + 1), shape)
        k = (largest * places > largest.cumsum(self.axis) - 1).sum(self.axis, keepdims=True)
        # The entry of rank r is part of s_j for j > r.
        ranks = xp.argsort(order, self.axis)
        times = xp.where(ranks < k, k - ranks, 0).astype(largest.dtype)
        threshold = (xp.sum(times * x, self.axis, keepdims=True) - 1) / k.astype(largest.dtype)
        return xp.maximum(x - threshold, 0.0)


class Opaque(Activation, frozen=True, kw_only=True):
    """A function of the model's author, whose code is not run"""

    is_entrywise = False

    function: Annotated[str, doc("Name of the function.")]

    def call(self, xp: Any, x: Array) -> Array:
        raise NotComputable(f"{self.function} is custom code, which is not run")

    def __str__(self) -> str:
        return self.function


def known_activations() -> dict[str, type[Activation]]:
    """Every activation, by each of its names."""
    return known(Activation)
