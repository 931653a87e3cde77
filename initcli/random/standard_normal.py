"""The standard normal distribution, whole or truncated, accurate in its tails; and erf.

φ(z) = exp(−z²/2)/√(2π) is its density and Φ its cumulative distribution function.
"""

from __future__ import annotations

import math
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

# Only called for the few dozen edges of a histogram.
_erfc = np.frompyfunc(math.erfc, 1, 1)

# Rational approximations of Cody 1969, doi:10.1090/S0025-5718-1969-0247736-4: erf(x) is
# x P(x²)/Q(x²) for x ≤ 0.46875 and 1 − exp(−x²) P(x)/Q(x) above. Coefficients of P and Q, those of
# the highest power first.
_NEAR = (
    (1.85777706184603153e-1, 1.0),
    (3.16112374387056560e0, 2.36012909523441209e1),
    (1.13864154151050156e2, 2.44024637934444173e2),
    (3.77485237685302021e2, 1.28261652607737228e3),
    (3.20937758913846947e3, 2.84423683343917062e3),
)
_FAR = (
    (2.15311535474403846e-8, 1.0),
    (5.64188496988670089e-1, 1.57449261107098347e1),
    (8.88314979438837594e0, 1.17693950891312499e2),
    (6.61191906371416295e1, 5.37181101862009858e2),
    (2.98635138197400131e2, 1.62138957456669019e3),
    (8.81952221241769090e2, 3.29079923573345963e3),
    (1.71204761263407058e3, 4.36261909014324716e3),
    (2.05107837782607147e3, 3.43936767414372164e3),
    (1.23033935479799725e3, 1.23033935480374942e3),
)
_CHUNK = 1 << 14
"""Entries computed at a time, so that intermediate results stay in the cache."""


def erf(x: Any) -> Floats:
    """The error function, to a few units in the last place of float32 or float64."""
    x = np.asarray(x)
    x = x.astype(np.result_type(x, np.float32), copy=False)
    out = np.empty(x.shape, x.dtype)
    inputs, outputs = x.reshape(-1), out.reshape(-1)
    for start in range(0, x.size, _CHUNK):
        chunk = inputs[start : start + _CHUNK]
        size = np.minimum(np.abs(chunk), 6)  # erf(6) rounds to 1
        square = size * size
        far = 1 - np.exp(-square) * _ratio(_FAR, size)
        near = size * _ratio(_NEAR, np.minimum(square, 0.25))
        signed = np.copysign(np.where(size <= 0.46875, near, far), chunk)
        outputs[start : start + _CHUNK] = signed
    return out


def _ratio(coefficients: tuple[tuple[float, float], ...], x: Floats) -> Floats:
    """P(x)/Q(x) by Horner's rule."""
    p, q = np.zeros_like(x), np.zeros_like(x)
    for a, b in coefficients:
        p *= x
        p += a
        q *= x
        q += b
    p /= q
    return p


@cache
def legendre() -> tuple[Floats, Floats]:
    """The 64 nodes and weights of Gauss–Legendre quadrature on [−1, 1].

    Newton's method finds the roots of P₆₄ from cos π(k − ¼)/(64 + ½) (Press et al. 2007, Numerical
    Recipes, section 4.6.1). Importing ``numpy.polynomial``, or a first call of LAPACK, which starts
    threads, would take 8 ms.
    """
    n = 64
    x = -np.cos(np.pi * (np.arange(n) + 0.75) / (n + 0.5))
    for _ in range(4):
        before, p = np.ones(n), x
        for k in range(2, n + 1):
            before, p = p, ((2 * k - 1) * x * p - (k - 1) * before) / k
        slope = n * (before - x * p) / (1 - x * x)
        x = x - p / slope
    return x, 2 / ((1 - x * x) * slope * slope)


def pdf(z: Floats) -> Floats:
    """φ(z)."""
    return np.exp(-0.5 * np.square(z)) / math.sqrt(2 * math.pi)


def cdf(z: Floats) -> Floats:
    """Φ(z)."""
    return 0.5 * np.asarray(_erfc(-np.asarray(z) / math.sqrt(2)), np.float64)


def mass(a: float, b: float) -> float:
    """Φ(b) − Φ(a) for a ≤ b."""
    if b < 0:
        a, b = -b, -a
    root = math.sqrt(2)
    if a > 0:
        return 0.5 * (math.erfc(a / root) - math.erfc(b / root))
    return 0.5 * (math.erf(b / root) - math.erf(a / root))


@lru_cache(maxsize=1024)
def moments_between(a: float, b: float) -> tuple[float, float]:
    """Mean and variance of the distribution truncated to [a, b].

    With Z = Φ(b) − Φ(a) they are (φ(a) − φ(b))/Z and 1 + (aφ(a) − bφ(b))/Z − mean² (Johnson,
    Kotz & Balakrishnan 1994, section 10.1). These cancel for close bounds, where Gauss–Legendre
    quadrature is exact.
    """
    low, high = without_tails(a, b)
    if high - low < 8:
        nodes, weights = legendre()
        middle, half = (low + high) / 2, (high - low) / 2
        # exp(−z²/2) up to a factor, which keeps far tails from underflow.
        weights = weights * np.exp(-half * nodes * (middle + half * nodes / 2))
        weights /= weights.sum()
        center = 0.0 if low == -high else float(weights @ nodes)
        spread = float(weights @ (nodes - center) ** 2)
        return middle + half * center, half * half * spread
    density_a, density_b = float(pdf(np.array(a))), float(pdf(np.array(b)))
    mean = (density_a - density_b) / mass(a, b)
    return mean, 1 + (a * density_a - b * density_b) / mass(a, b) - mean**2


def without_tails(a: float, b: float) -> tuple[float, float]:
    """The bounds, moved in where the density is below 1e-17 of its maximum.

    That is at 40/a beyond a bound a > 0.
    """
    return (max(a, b + 40 / b) if b < 0 else a), (min(b, a + 40 / a) if a > 0 else b)
