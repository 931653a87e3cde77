"""Activations: the functions that a layer applies to its output, one class each, as in Keras 3.

The formulas are those of ``keras.activations``; x is one entry, unless an axis is named.
"""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar

import msgspec

from initcli.types import NonNegativeFloat, public_subclasses, snake_case


class Activation(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=True):
    """A function of a layer's output."""

    aliases: ClassVar[tuple[str, ...]] = ()
    """Names beside the snake_case form of the class's own."""

    def __str__(self) -> str:
        return snake_case(type(self).__name__)


class Linear(Activation, frozen=True, kw_only=True):
    """x"""


class Relu(Activation, frozen=True, kw_only=True):
    """max(x, 0), with a slope below ``threshold`` and a cap at ``max_value``"""

    negative_slope: NonNegativeFloat = 0.0
    max_value: NonNegativeFloat | None = None
    threshold: NonNegativeFloat = 0.0


class LeakyRelu(Activation, frozen=True, kw_only=True):
    """x for x ≥ 0, ``negative_slope`` · x below"""

    negative_slope: NonNegativeFloat = 0.2


class Relu6(Activation, frozen=True, kw_only=True):
    """min(max(x, 0), 6)"""


class Softmax(Activation, frozen=True, kw_only=True):
    """exp(x) / Σ exp(x) over ``axis``"""

    axis: int = -1


class LogSoftmax(Activation, frozen=True, kw_only=True):
    """x − log Σ exp(x) over ``axis``"""

    axis: int = -1


class Celu(Activation, frozen=True, kw_only=True):
    """x for x ≥ 0, ``alpha`` (exp(x / alpha) − 1) below"""

    alpha: float = 1.0


class Elu(Activation, frozen=True, kw_only=True):
    """x for x ≥ 0, ``alpha`` (exp(x) − 1) below"""

    alpha: float = 1.0


class Selu(Activation, frozen=True, kw_only=True):
    """1.0507 · elu(x) with alpha 1.6733 (Klambauer et al. 2017)"""


class Softplus(Activation, frozen=True, kw_only=True):
    """log(1 + exp(x))"""


class Softsign(Activation, frozen=True, kw_only=True):
    """x / (1 + |x|)"""


class Squareplus(Activation, frozen=True, kw_only=True):
    """(x + √(x² + b)) / 2"""

    b: NonNegativeFloat = 4.0


class SoftShrink(Activation, frozen=True, kw_only=True):
    """x moved towards 0 by ``threshold``, and 0 within it"""

    threshold: NonNegativeFloat = 0.5


class SparsePlus(Activation, frozen=True, kw_only=True):
    """0 for x ≤ −1, (x + 1)² / 4 to x = 1, x above"""


class Silu(Activation, frozen=True, kw_only=True):
    """x · sigmoid(x)"""

    aliases: ClassVar[tuple[str, ...]] = ("swish",)


class Gelu(Activation, frozen=True, kw_only=True):
    """x Φ(x), or its tanh approximation (Hendrycks & Gimpel 2016)"""

    approximate: bool = False


class Glu(Activation, frozen=True, kw_only=True):
    """a · sigmoid(b) for the halves a, b of ``axis``"""

    axis: int = -1


class Tanh(Activation, frozen=True, kw_only=True):
    """(exp(x) − exp(−x)) / (exp(x) + exp(−x))"""


class TanhShrink(Activation, frozen=True, kw_only=True):
    """x − tanh(x)"""


class Threshold(Activation, frozen=True, kw_only=True):
    """x above ``threshold``, ``default_value`` below"""

    threshold: float = 0.0
    default_value: float = 0.0


class Sigmoid(Activation, frozen=True, kw_only=True):
    """1 / (1 + exp(−x))"""


class SparseSigmoid(Activation, frozen=True, kw_only=True):
    """0 for x ≤ −1, (x + 1) / 2 to x = 1, 1 above"""


class Exponential(Activation, frozen=True, kw_only=True):
    """exp(x)"""


class HardSigmoid(Activation, frozen=True, kw_only=True):
    """min(max(x / 6 + 1/2, 0), 1)"""


class HardSilu(Activation, frozen=True, kw_only=True):
    """x · hard_sigmoid(x)"""

    aliases: ClassVar[tuple[str, ...]] = ("hard_swish",)


class HardTanh(Activation, frozen=True, kw_only=True):
    """min(max(x, −1), 1)"""


class HardShrink(Activation, frozen=True, kw_only=True):
    """x where |x| > ``threshold``, else 0"""

    threshold: NonNegativeFloat = 0.5


class Mish(Activation, frozen=True, kw_only=True):
    """x · tanh(softplus(x))"""


class LogSigmoid(Activation, frozen=True, kw_only=True):
    """log sigmoid(x)"""


class Sparsemax(Activation, frozen=True, kw_only=True):
    """The projection onto the simplex over ``axis`` (Martins & Astudillo 2016)"""

    axis: int = -1


class Opaque(Activation, frozen=True, kw_only=True):
    """A function that only its author's code can compute"""

    function: str

    def __str__(self) -> str:
        return self.function


@cache
def known_activations() -> dict[str, type[Activation]]:
    """Every activation by each of its names."""
    names: dict[str, type[Any]] = {}
    for cls in public_subclasses(Activation):
        for name in (snake_case(cls.__name__), *cls.aliases):
            names[name] = cls
    return names
