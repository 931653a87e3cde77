"""Fields of functions of the entries of two tensors: sums, products, maxima.

Two entries are functions of two latent variables, which are correlated if the tensors are.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec
import numpy as np

from initcli.signal.field import Field, by_position, field, latent_correlations, mean_products
from initcli.signal.hermite import (
    NODES,
    TINY,
    WEIGHTS,
    from_products,
    hermite_basis,
    powers,
    products,
    profile_of,
    with_mean,
)
from initcli.types import Array, Size

Cross = Array | None
"""The cross moments of two tensors, E[x y] of one unit: of one entry, of two examples, of two
positions, and of both: (4, positions…). None where the tensors are independent."""

Operation = Callable[[Array, Array], Array]

# Pairs of values have fewer nodes each.
_COARSE = slice(2, None, 5)
_SPARSE = NODES[_COARSE]
_WEIGHTS = WEIGHTS[_COARSE] / WEIGHTS[_COARSE].sum()
_PAIR_WEIGHTS = np.multiply.outer(_WEIGHTS, _WEIGHTS)
_MOST = 0.9999
"""The largest correlation of the latent variables of two tensors."""


def added(one: Field, two: Field, common: Cross = None) -> Field:
    """x + y."""
    if one.latent == two.latent:
        return _same_latent(one, two, np.add)
    one, two = aligned(one, two)
    moments = one.moments + two.moments + 2 * cross_moments(one, two, common)
    values = _values(one, two, np.add, common)
    return _combined(one, two, moments, values, one.mean + two.mean)


def multiplied(one: Field, two: Field) -> Field:
    """x y of independent entries, or of functions of the same latent variable."""
    if one.latent == two.latent:
        return _same_latent(one, two, np.multiply)
    one, two = aligned(one, two)
    values = _values(one, two, np.multiply)
    mean = float((one.means * two.means).mean())
    return _combined(one, two, one.moments * two.moments, values, mean)


def combined(one: Field, two: Field, operation: Operation, common: Cross = None) -> Field:
    """Any function f(x, y), with E[f f'] = Σ aₙₘ² ρⁿ ρ'ᵐ by its Hermite coefficients.

    Clark 1961, doi:10.1287/opre.9.2.145, gives the maximum of normal variables.
    """
    if one.latent == two.latent:
        return _same_latent(one, two, operation)
    one, two = aligned(one, two)
    values = _values(one, two, operation, common)
    grid = _turned(one, two, operation, common)
    scale = one.second + two.second
    scale = scale / max(float(scale.mean()), TINY)
    kinds = np.array([pair_products(grid, one, two, common, kind) for kind in range(4)])
    moments = kinds.reshape(4, *(1,) * scale.ndim) * by_position(scale)
    return _combined(one, two, moments, values, float((_PAIR_WEIGHTS * grid).sum()))


def pair_products(grid: Array, one: Field, two: Field, common: Cross, kind: int) -> float:
    """E[f f'] of a pair of that kind, for the values of f that :func:`_turned` gives."""
    if kind == 0:
        return float((_PAIR_WEIGHTS * grid**2).sum())
    first, second = (float(latent_correlations(each)[kind - 1].mean()) for each in (one, two))
    if common is not None:
        same, apart = (_correlation(one, two, common, each) for each in (0, kind))
        first, second = (
            (first + second + 2 * apart) / (2 * (1 + same)),
            (first + second - 2 * apart) / (2 * (1 - same)),
        )
    basis = hermite_basis()[:, _COARSE] * _WEIGHTS
    squares = (basis @ grid @ basis.T) ** 2
    rest = max(float((_PAIR_WEIGHTS * grid**2).sum() - squares.sum()), 0.0)
    left, right = (powers(np.clip(np.array(rho), -1.0, 1.0)) for rho in (first, second))
    return float(left[:-1] @ squares @ right[:-1] + rest * left[-1] * right[-1])


def shares(
    tilt: Array | None,
    one: Field,
    two: Field,
    operation: Operation,
    slope: Operation | None,
    output: Field,
    common: Cross = None,
) -> tuple[float, Array]:
    """E[s² t] and E[s² t | z] / E[s² t], for a slope s of an operation and a tilt t of its output.

    z is the latent variable of ``one``. The default slope is 1.
    """
    one, two = aligned(one, two)
    x, y = _met(one, two, common)
    squares = np.ones(np.broadcast_shapes(x.shape, y.shape))
    if slope is not None:
        squares = squares * slope(x, y) ** 2
    if tilt is not None:
        typical = math.sqrt(output.mean_square) * output.profile
        order = np.argsort(typical, kind="stable")
        z = np.interp(operation(x, y), typical[order], NODES[order])
        squares = squares * np.interp(z, NODES, tilt)
    given = squares.mean(1) if y.shape[1] == 1 else squares @ _WEIGHTS
    mean = float(_WEIGHTS @ given)
    return mean, np.interp(NODES, _SPARSE, given) / max(mean, TINY)


def cross_moments(one: Field, two: Field, common: Cross) -> Array:
    """The cross moments as an array; those of independent tensors follow from their means."""
    if common is None:
        one, two = aligned(one, two)
        return mean_products(one.means, two.means)
    return np.broadcast_to(common, (4, *np.broadcast_shapes(one.grid, two.grid)))


def aligned(one: Field, two: Field) -> tuple[Field, Field]:
    """Both fields at the same positions."""
    grid = np.broadcast_shapes(one.grid, two.grid)
    return _broadcast(one, grid), _broadcast(two, grid)


def _combined(one: Field, two: Field, moments: Array, values: Array, mean: float) -> Field:
    values = with_mean(values, mean, float(moments[0].mean()))
    units = max(one.units, two.units)
    return field(moments, units, values, pinned=one.pinned and two.pinned)


def _same_latent(one: Field, two: Field, operation: Operation) -> Field:
    """An operation on two functions of the same latent variables."""
    one, two = aligned(one, two)
    a, b = (math.sqrt(each.mean_square) for each in (one, two))
    values = operation(a * one.profile, b * two.profile)
    scale = one.second / max(one.mean_square, TINY)
    pairs = products(
        values, values, np.concatenate([np.ones((1, *one.grid)), latent_correlations(one)])
    )
    pinned = one.pinned and two.pinned
    return field(pairs * by_position(scale), max(one.units, two.units), values, one.latent, pinned)


def correlations(one: Field, two: Field, common: Array) -> Array:
    """The correlations of the latent variables for cross moments: (4, positions…)."""
    sizes = np.sqrt(one.second * two.second)
    ratios = common / np.maximum(sizes, TINY)
    return np.clip(from_products(one.profile, two.profile, ratios), -_MOST, _MOST)


def _correlation(one: Field, two: Field, common: Array, kind: int) -> float:
    return float(correlations(one, two, common)[kind].mean())


def _met(one: Field, two: Field, common: Cross) -> tuple[Array, Array]:
    """Entries of one tensor at the nodes (n, 1), and of the other given these (n, n or 1)."""
    x, y = (math.sqrt(each.mean_square) * each.profile for each in (one, two))
    if one.latent == two.latent:
        return x[_COARSE, None], y[_COARSE, None]
    rho = 0.0 if common is None else _correlation(one, two, common, 0)
    other = rho * _SPARSE[:, None] + math.sqrt(1 - rho * rho) * _SPARSE
    return x[_COARSE, None], np.interp(other, NODES, y)


def _turned(one: Field, two: Field, operation: Operation, common: Cross) -> Array:
    """f(x, y) at nodes of two independent variables: sum and difference of the latent variables."""
    x, y = (math.sqrt(each.mean_square) * each.profile for each in (one, two))
    if common is None:
        return operation(x[_COARSE, None], y[None, _COARSE])
    rho = _correlation(one, two, common, 0)
    mean, half = (math.sqrt((1 + sign * rho) / 2) * _SPARSE for sign in (1, -1))
    left, right = mean[:, None] + half, mean[:, None] - half
    return operation(np.interp(left, NODES, x), np.interp(right, NODES, y))


def _values(one: Field, two: Field, operation: Operation, common: Cross = None) -> Array:
    """The profile of an operation: its quantiles."""
    if operation is np.add and one.is_normal and two.is_normal:
        return NODES
    values = operation(*_met(one, two, common))
    return profile_of(values.ravel(), _PAIR_WEIGHTS.ravel())


def _broadcast(given: Field, grid: Size) -> Field:
    if given.grid == grid:
        return given
    more = (1,) * (len(grid) - len(given.grid))
    return msgspec.structs.replace(
        given,
        second=np.broadcast_to(given.second, grid),
        ratios=np.broadcast_to(given.ratios.reshape(3, *more, *given.grid), (3, *grid)),
        near=None,
    )
