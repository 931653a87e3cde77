"""Functions of single entries: the field of the output, and the moments of the slope."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import msgspec
import numpy as np

from initcli.signal.field import Field, correlations_of, field, latent_correlations
from initcli.signal.hermite import TINY, WEIGHTS, hermite, series
from initcli.types import Array


def mapped(function: Callable[[Array], Array], given: Field) -> Field:
    """The field of a function of each entry."""
    curves = _curves(function, given)
    rhos = latent_correlations(given)
    pairs = curves.at(rhos)
    apart = pairs[1:]
    if not curves.is_even:
        # Of one position, and another of typical size.
        level = series(curves.beside, rhos[1:])
        apart = np.sign(level) * np.sqrt(np.abs(level * apart))
    moments = np.concatenate([curves.same[None], pairs[:1], apart])
    lags = None
    if given.lags is not None:
        squares = hermite(curves.values) ** 2
        lags = series(squares, correlations_of(given.lags, given)) / max(float(squares.sum()), TINY)
    output = field(moments, given.units, curves.values, given.latent, given.pinned, lags)
    if given.near is not None:
        near = curves.at(correlations_of(given.near, given)) / np.maximum(curves.same, TINY)
        output = msgspec.structs.replace(output, near=near)
    if not given.steady:
        return output
    more = function(1.01 * math.sqrt(given.mean_square) * given.profile)
    growth = float(WEIGHTS @ more**2) / float(WEIGHTS @ curves.values**2)
    elasticity = math.log(growth) / math.log(1.01**2)
    return msgspec.structs.replace(output, steady=given.steady * elasticity**2)


def slopes(slope: Callable[[Array], Array], given: Field) -> tuple[Array, Array]:
    """The moments of the slope f', and its values at the nodes for entries of typical size.

    The moments are E[f'(x)²] and E[f'(x) f'(x')] of the three pairs: (4, positions…).
    """
    curves = _curves(slope, given)
    return np.concatenate([curves.same[None], curves.at(latent_correlations(given))]), curves.values


class _Curves(NamedTuple):
    """E[f(x) f(x')] by the correlation of the latent variables, for a few sizes of x.

    ``values`` are those of f at the nodes for a typical size. ``squares`` has the squared Hermite
    coefficients of f for each size, ``shares`` the weight of each size at each position, and
    ``beside`` the squared coefficients for an entry at another position.
    """

    values: Array
    squares: list[Array]
    shares: list[Array]
    beside: Array

    @property
    def is_even(self) -> bool:
        """Whether all positions have the same mean square."""
        return len(self.squares) == 1

    @property
    def same(self) -> Array:
        """E[f(x)²] at each position."""
        sizes = zip(self.shares, self.squares, strict=True)
        seconds: Array = sum(share * float(squares.sum()) for share, squares in sizes)
        return seconds

    def at(self, rho: Array) -> Array:
        """The value for correlations at each position: (n, positions…)."""
        sizes = zip(self.shares, self.squares, strict=True)
        values: Array = sum(share * series(squares, rho) for share, squares in sizes)
        return values


def _curves(function: Callable[[Array], Array], given: Field) -> _Curves:
    low, high = float(given.second.min()), float(given.second.max())
    is_even = high <= low * (1 + 1e-6)
    values = function(math.sqrt(low if is_even else given.mean_square) * given.profile)
    if is_even:
        squares = hermite(values) ** 2
        return _Curves(values, [squares], [np.ones(given.grid)], squares)
    knots = np.linspace(low, high, _KNOTS)
    position = (given.second - low) / (high - low) * (_KNOTS - 1)
    shares = [np.clip(1 - np.abs(position - k), 0, 1) for k in range(_KNOTS)]
    beside, *each = (
        hermite(function(size * given.profile)) ** 2
        for size in (float(np.sqrt(given.second).mean()), *np.sqrt(knots))
    )
    return _Curves(values, each, shares, beside)


_KNOTS = 9
