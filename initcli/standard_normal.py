"""The standard normal law, whole and between two bounds, exact in its tails.

φ(z) = exp(−z²/2)/√(2π) is its density and Φ its cumulative distribution.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

# SciPy's erfc would cost 0.4 s of import for what is asked of it: a few dozen edges a tensor.
_erfc = np.frompyfunc(math.erfc, 1, 1)


@cache
def legendre() -> tuple[Floats, Floats]:
    """The 64 nodes and weights of Gauss–Legendre quadrature on [−1, 1]."""
    return np.polynomial.legendre.leggauss(64)


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


def moments_between(a: float, b: float) -> tuple[float, float]:
    """Mean and variance of the law cut to [a, b].

    With Z = Φ(b) − Φ(a) they are (φ(a) − φ(b))/Z and 1 + (aφ(a) − bφ(b))/Z − mean² (Johnson,
    Kotz & Balakrishnan 1994, section 10.1). Between near bounds these lose all of their digits,
    and Gauss–Legendre none.
    """
    low, high = _without_tails(a, b)
    if high - low < 8:
        nodes, weights = legendre()
        middle, half = (low + high) / 2, (high - low) / 2
        # exp(−z²/2) apart from a factor, so that far tails do not vanish.
        weights = weights * np.exp(-half * nodes * (middle + half * nodes / 2))
        weights /= weights.sum()
        centre = 0.0 if low == -high else float(weights @ nodes)
        spread = float(weights @ (nodes - centre) ** 2)
        return middle + half * centre, half * half * spread
    density_a, density_b = float(pdf(np.array(a))), float(pdf(np.array(b)))
    mean = (density_a - density_b) / mass(a, b)
    return mean, 1 + (a * density_a - b * density_b) / mass(a, b) - mean**2


def fill_between(a: float, b: float, rng: np.random.Generator, out: Floats) -> None:
    """Fill ``out`` with draws of the law cut to [a, b], by rejection.

    Candidates are normal where the bounds keep most of them, and otherwise uniform between the
    bounds, kept with probability φ(z)/max φ.
    """
    kept = mass(a, b)
    if kept > 0.2:
        _fill(out, kept, lambda n: _normals_within(a, b, n, rng, out.dtype))
        return
    low, high = _without_tails(a, b)
    top = 0.0 if a <= 0 <= b else min(abs(a), abs(b))
    acceptance = kept / ((high - low) * float(pdf(np.array(top))))
    _fill(out, acceptance, lambda n: _uniforms_within(low, high, top, n, rng))


def _without_tails(a: float, b: float) -> tuple[float, float]:
    """The bounds without a tail below 1e-17 of the density's top.

    Further than 40/a beyond a bound a > 0 nothing is left that a float could tell from 0.
    """
    return (max(a, b + 40 / b) if b < 0 else a), (min(b, a + 40 / a) if a > 0 else b)


def _fill(out: Floats, acceptance: float, candidates: Callable[[int], Floats]) -> None:
    """Fill ``out`` from ``candidates(n)``, which keeps about ``acceptance`` of n draws."""
    filled = 0
    while filled < out.size:
        wanted = out.size - filled
        drawn = candidates(math.ceil(wanted / acceptance * 1.02) + 8)[:wanted]
        out[filled : filled + drawn.size] = drawn
        filled += drawn.size


def _normals_within(
    a: float, b: float, n: int, rng: np.random.Generator, dtype: np.dtype[Any]
) -> Floats:
    z = rng.standard_normal(n, dtype=dtype.type)
    return z[(z >= a) & (z <= b)]


def _uniforms_within(a: float, b: float, top: float, n: int, rng: np.random.Generator) -> Floats:
    z = rng.uniform(a, b, n)
    return z[rng.random(n) < np.exp((top * top - z * z) / 2)]
