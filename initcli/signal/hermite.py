"""Functions of a standard normal variable: values at nodes, Hermite series and quantiles."""

from __future__ import annotations

import math
from functools import cache, lru_cache

import numpy as np

from initcli.types import Array

_STEP = 0.02
NODES = np.arange(-8 + _STEP / 2, 8, _STEP)
"""Values of a standard normal variable; none is 0, where many functions have a kink."""
WEIGHTS = np.exp(-NODES * NODES / 2)
WEIGHTS /= WEIGHTS.sum()
RANKS = np.cumsum(WEIGHTS) - WEIGHTS / 2
"""The probability of a smaller value at each node."""
TINY = 1e-300
"""The least divisor, so that 0 / 0 counts as 0."""
_DEGREES = 48


def series(coefficients: Array, rho: Array) -> Array:
    """Σ cₙ ρⁿ for the degrees of :func:`hermite`, at each correlation ρ.

    For squares of the Hermite coefficients of f it is E[f(z) f(z')] (Mehler 1866). Values are
    interpolated from a table; for few correlations only the needed entries are computed.
    """
    table = _hermite()[1]
    if rho.size > _FEW:
        return np.interp(rho, _RHO, table @ coefficients)
    place = (np.minimum(np.maximum(rho, -1), 1) + 1) * ((len(_RHO) - 1) / 2)
    left = np.fmin(np.fmax(place, 0), len(_RHO) - 2).astype(int)  # 0 where it is not a number.
    low, high = table[left] @ coefficients, table[left + 1] @ coefficients
    values: Array = low + (place - left) * (high - low)
    return values


def products(one: Array, two: Array, rho: Array) -> Array:
    """E[f(z) g(z')] at correlations of z and z', for the values of f and g at the nodes."""
    return series(hermite(one) * hermite(two), rho)


def from_products(one: Array, two: Array, moments: Array) -> Array:
    """The correlations of z and z' at which E[f(z) g(z')] has these values."""
    return np.interp(moments, *_rising(one.tobytes(), None if two is one else two.tobytes()))


@lru_cache(maxsize=64)
def _rising(one: bytes, two: bytes | None) -> tuple[Array, Array]:
    """The rising part of the table of E[f(z) g(z')], and its correlations; g is f by default."""
    coefficients = hermite(np.frombuffer(one))
    coefficients = coefficients * (coefficients if two is None else hermite(np.frombuffer(two)))
    table = np.maximum.accumulate(_hermite()[1] @ coefficients)
    rising = np.concatenate([[True], np.diff(table) > 0])
    return table[rising], _RHO[rising]


def hermite_basis() -> Array:
    """Normalized Hermite polynomials at the nodes: (degrees, nodes)."""
    return _hermite()[0]


def hermite(values: Array) -> Array:
    """Hermite coefficients aₙ = E[f(z) Heₙ(z)] / √n!, for the values of f at the nodes.

    All higher degrees are combined into one coefficient of a high degree.
    """
    coefficients = np.empty(_DEGREES + 1)
    known = coefficients[:-1]
    known[:] = _hermite()[0] @ (WEIGHTS * values)
    rest = float(WEIGHTS @ (values * values)) - float(known @ known)
    coefficients[-1] = math.sqrt(max(rest, 0.0))
    return coefficients


def powers(rho: Array) -> Array:
    """ρⁿ for the degrees of :func:`hermite`, along a last axis."""
    rising = np.repeat(rho[..., None], _DEGREES, -1)
    rising[..., 0] = 1.0
    rising = np.multiply.accumulate(rising, -1)
    return np.concatenate([rising, (rising[..., -1:] * rho[..., None]) ** 2], -1)


@cache
def _hermite() -> tuple[Array, Array]:
    """Normalized Hermite polynomials at the nodes, and a row of powers for each correlation."""
    basis = [np.ones_like(NODES), NODES]
    for n in range(1, _DEGREES - 1):
        basis.append((NODES * basis[n] - math.sqrt(n) * basis[n - 1]) / math.sqrt(n + 1))
    degrees = np.append(np.arange(_DEGREES), 2 * _DEGREES)
    return np.array(basis), _RHO[:, None] ** degrees


def with_mean(values: Array, mean: float, second: float) -> Array:
    """Shift and scale values to that mean and mean square.

    The mean must be accurate: E[x x'] of two examples is close to its square.
    """
    first = float(WEIGHTS @ values)
    spread = math.sqrt(max(float(WEIGHTS @ (values - first) ** 2), TINY))
    moved: Array = mean + (values - first) * (math.sqrt(max(second - mean * mean, 0.0)) / spread)
    return moved


def profile_of(values: Array, weights: Array) -> Array:
    """The rising function of a standard normal variable distributed like weighted values."""
    order = np.argsort(values)
    ranks = np.cumsum(weights[order]) - weights[order] / 2
    quantiles: Array = np.interp(RANKS, ranks / weights.sum(), values[order])
    return quantiles


_RHO = np.linspace(-1.0, 1.0, 2049)
_FEW = 64
"""The number of correlations up to which only the needed entries of a table are computed."""
