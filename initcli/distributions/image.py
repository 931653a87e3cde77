"""Distributions of functions of a random number."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from initcli.distributions.base import Distribution
from initcli.random.standard_normal import Floats

Postfix = tuple[str | float, ...]
"""A function in postfix notation: ``"x"``, numbers, and names of :data:`FUNCTIONS`."""
FUNCTIONS: dict[str, tuple[int, Callable[..., Any]]] = {
    "neg": (1, np.negative),
    "exp": (1, np.exp),
    "expm1": (1, np.expm1),
    "log": (1, np.log),
    "log1p": (1, np.log1p),
    "sqrt": (1, np.sqrt),
    "square": (1, np.square),
    "reciprocal": (1, np.reciprocal),
    "tan": (1, np.tan),
    "tanh": (1, np.tanh),
    "abs": (1, np.abs),
    "sign": (1, np.sign),
    "sigmoid": (1, lambda x: 0.5 * np.tanh(0.5 * x) + 0.5),
    "softplus": (1, lambda x: np.logaddexp(0.0, x)),
    "softplus⁻¹": (1, lambda x: x + np.log(-np.expm1(-x))),
    "add": (2, np.add),
    "sub": (2, np.subtract),
    "mul": (2, np.multiply),
    "div": (2, np.divide),
    "pow": (2, np.power),
}
"""The functions, with their numbers of arguments."""
_INVERSE_SOFTPLUS: Postfix = ("neg", "expm1", "neg", "log", "add")
_SIGNS = {"add": " + ", "sub": " − ", "mul": "·", "div": "/", "pow": "^"}
_FAR = 9.0
"""Standard deviations that less than one value in 10¹⁸ exceeds."""
_HALVINGS = 64
_OUTER, _MUCH = 2.0**-22, 0.01
"""Share of the base's range at each end, and the share of the variance that is infinite there."""


class Image(Distribution, frozen=True):
    """g(x) for x of ``base``, which has no atoms, and a strictly monotone ``function`` g.

    With the cumulative distribution function F of the base, that of g(x) is F(g⁻¹(y)), or
    1 − F(g⁻¹(y)) for a falling g. The mean and the variance are integrals over the base, by
    Gauss–Legendre quadrature on panels that halve towards the ends, where g may be infinite.
    """

    base: Distribution
    function: Postfix

    @property
    def mean(self) -> float:
        return _integrals(self.base, self.function).mean

    @property
    def std(self) -> float:
        return _integrals(self.base, self.function).std

    @property
    def support(self) -> tuple[float, float]:
        first, last = evaluated(self.function, np.array(self.base.support)).tolist()
        start, stop = self._quarters
        if start > stop:
            first, start, last, stop = last, stop, first, start
        # Rounding can take an end of the base beyond where the function is infinite.
        return first if first <= start else -math.inf, last if last >= stop else math.inf

    @property
    def text(self) -> str:
        return written(self.function, self.base.text)

    def pdf(self, x: Floats) -> Floats:
        y = np.asarray(x, np.float64)
        low, high = self.support
        step = 1e-6 * self.std
        inside = (y >= low) & (y <= high)
        # One-sided at the ends, where the density may jump.
        after, before = np.minimum(y + step, high), np.maximum(y - step, low)
        width = np.where(inside, after - before, 1.0)
        return np.where(inside, (self.cdf(after) - self.cdf(before)) / width, 0.0)

    def cdf(self, x: Floats) -> Floats:
        y = np.asarray(x, np.float64)
        low, high = (np.full(y.shape, end) for end in _ends(self.base))
        start, stop = self._quarters
        rises = start < stop
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            is_below = (evaluated(self.function, middle) <= y) == rises
            low, high = np.where(is_below, middle, low), np.where(is_below, high, middle)
        shares = self.base.cdf(0.5 * (low + high))
        least, greatest = self.support
        within: Floats = shares if rises else 1.0 - shares
        return np.where(y >= greatest, 1.0, np.where(y < least, 0.0, within))

    def draw(self, rng: np.random.Generator, out: Floats) -> None:
        values = np.empty(out.size)
        self.base.draw(rng, values)
        out[:] = evaluated(self.function, values)

    @property
    def _quarters(self) -> tuple[float, float]:
        """g at a quarter and at three quarters of the way through the base."""
        low, high = _ends(self.base)
        first, last = evaluated(self.function, low + (high - low) * np.array([0.25, 0.75]))
        return float(first), float(last)


def evaluated(function: Postfix, x: Floats) -> Floats:
    """g(x), entry by entry."""
    stack: list[Any] = []
    with np.errstate(all="ignore"):
        for each in function:
            if each == "x":
                stack.append(x)
            elif isinstance(each, str):
                count, operation = FUNCTIONS[each]
                stack[-count:] = [operation(*stack[-count:])]
            else:
                stack.append(each)
    return np.asarray(stack[-1], np.float64)


def written(function: Postfix, x: str) -> str:
    """g(x) in mathematical notation, with the text of x."""
    stack: list[tuple[str, bool]] = []  # each with whether it is a sum
    for each in function:
        if each == "x":
            stack.append((x, False))
        elif not isinstance(each, str):
            stack.append((f"{each:z.4g}", False))
        elif FUNCTIONS[each][0] == 1:
            inner, _ = stack.pop()
            stack.append((f"−{inner}" if each == "neg" else f"{each}({inner})", each == "neg"))
        else:
            parts = stack[-2:]
            if each in ("mul", "div", "pow"):
                texts = [f"({part})" if is_sum else part for part, is_sum in parts]
            else:
                texts = [part for part, _ in parts]
            stack[-2:] = [(_SIGNS[each].join(texts), each in ("add", "sub"))]
    return stack[-1][0]


def composed(operation: str, *arguments: Postfix) -> Postfix:
    """The function that applies an operation to the results of others."""
    function = (*(token for each in arguments for token in each), operation)
    first = arguments[0]
    # x + log(1 − e⁻ˣ) is the usual form of the inverse of log(1 + eˣ).
    if function == (*first, *first, *_INVERSE_SOFTPLUS):
        return (*first, "softplus⁻¹")
    return function


def is_monotone(function: Postfix, base: Distribution) -> bool:
    """Whether a function is strictly monotone and finite over all values of a distribution."""
    low, high = _ends(base)
    values = evaluated(function, low + (high - low) * np.linspace(0, 1, 1025)[1:-1])
    steps = np.diff(values)
    return bool(np.isfinite(values).all() and ((steps > 0).all() or (steps < 0).all()))


class _Integrals(NamedTuple):
    mean: float
    std: float


@lru_cache(maxsize=256)
def _integrals(base: Distribution, function: Postfix) -> _Integrals:
    low, high = _ends(base)
    nodes, weights = _quadrature(low, high)
    values = evaluated(function, nodes)
    is_finite = np.isfinite(values)  # A node may be rounded to an end.
    shares, values = (weights * base.pdf(nodes))[is_finite], values[is_finite]
    shares = shares / shares.sum()
    mean = float((shares * values).sum())
    squares = shares * (values - mean) ** 2
    # Where the tails are too heavy, the panels at the ends hold much of the integral.
    nodes = nodes[is_finite]
    is_outer = np.minimum(nodes - low, high - nodes) < _OUTER * (high - low)
    variance = float(squares.sum())
    is_heavy = squares[is_outer].sum() > _MUCH * variance
    return _Integrals(mean, math.inf if is_heavy else math.sqrt(variance))


def _quadrature(low: float, high: float) -> tuple[Floats, Floats]:
    """Nodes and weights of integrals from ``low`` to ``high``."""
    halves = 0.5 ** np.arange(1, 60)
    even = np.linspace(0, 1, 17)
    edges = np.unique(low + (high - low) * np.concatenate([even, halves]))
    edges = np.unique(np.concatenate([edges, high - (high - low) * halves]))
    nodes, weights = np.polynomial.legendre.leggauss(16)
    half = np.diff(edges)[:, None] / 2
    return ((edges[:-1, None] + half * (1 + nodes)).ravel(), (half * weights).ravel())


def _ends(base: Distribution) -> tuple[float, float]:
    """The interval of all values, without those that practically never occur."""
    low, high = base.support
    return max(low, base.mean - _FAR * base.std), min(high, base.mean + _FAR * base.std)
