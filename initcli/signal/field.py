"""The field of a tensor: what is expected of its entries over all draws of weights and inputs.

In the limit of many units the entries of a tensor are alike but for their position (of an image or
a sequence), and depend on one another only as two examples, or two positions of one example, share
what they are computed from. A field says so in second moments: E[x²] at each position, and E[x x']
for two entries of one unit in two examples, at two positions, or both (Poole et al. 2016;
Xiao et al. 2018). The distribution of an entry is that of a function of a standard normal number,
its profile, so that functions of entries are functions of profiles.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from itertools import count
from typing import Any, NamedTuple

import msgspec
import numpy as np

from initcli.types import Array, Size

_STEP = 0.02
NODES = np.arange(-8 + _STEP / 2, 8, _STEP)
"""Values of a standard normal number; none is 0, where so many functions have a kink."""
WEIGHTS = np.exp(-NODES * NODES / 2)
WEIGHTS /= WEIGHTS.sum()
RANKS = np.cumsum(WEIGHTS) - WEIGHTS / 2
"""The probability of a lesser number at each node."""
_DEGREES = 48
_TINY = 1e-300
_latents = count()


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """What is expected of a tensor.

    ``second`` is E[x²] at each position, of shape (positions…), ``ratios`` E[x x'] / E[x²] for the
    two entries of one unit in two examples, at two positions of one example, or both, (3,
    positions…). ``profile`` is x / √E[x²] as a function of the standard
    normal number ``latent``, at :data:`NODES`. ``units`` counts the entries at a position.
    ``pinned`` is whether a normalization has fixed the mean square, which else differs from draw to
    draw. ``lags`` is E[x x'] / E[x²] at two positions of a sequence that are 0, 1, … apart, where
    not all positions are alike.
    """

    profile: Array
    second: Array
    ratios: Array
    units: int
    latent: int
    pinned: bool = False
    lags: Array | None = None
    parts: tuple[Field, ...] | None = None
    """What was concatenated, where units differ in size."""
    steady: float = 0.0
    """What share of how a normal vector's square differs from draw to draw is not there, because
    the weights that it was made with are orthogonal."""
    axes: tuple[int, ...] = (-1,)
    """The axes of the tensor that the units stand on, counted from the end; all others beside the
    batch are positions."""
    entangled: bool = False
    """Whether units have something in common, as positions have that are taken for units."""

    @property
    def grid(self) -> Size:
        """The positions' sizes."""
        sizes: Size = self.second.shape
        return sizes

    @property
    def moments(self) -> Array:
        """E[x x'] of an entry with itself, and of the three pairs: (4, positions…)."""
        return np.concatenate([self.second[None], self.second * self.ratios])

    @property
    def means(self) -> Array:
        """E[x] at each position."""
        return np.sqrt(self.second) * float(WEIGHTS @ self.profile)

    @property
    def mean(self) -> float:
        """E[x] over all positions."""
        return float(self.means.mean())

    @property
    def typical_mean(self) -> float:
        """E[x] where E[x²] is what it is on average, of which the moments of two entries know."""
        return math.sqrt(max(float(self.second.mean()), 0.0)) * float(WEIGHTS @ self.profile)

    @property
    def correlation(self) -> float:
        """The cosine of two examples' entries, as vectors."""
        total = float(self.second.mean())
        return float((self.second * self.ratios[0]).mean()) / total if total > 0 else math.nan

    def at(self, grid: Size) -> Field:
        """The same entries at positions of those sizes, alike where they are others."""
        if grid == self.grid:
            return self
        second = np.full(grid, self.second.mean())
        mean = (self.second * self.ratios).reshape(3, -1).mean(1) / max(second.mean(), _TINY)
        ratios = np.broadcast_to(mean.reshape(3, *(1,) * len(grid)), (3, *grid))
        return msgspec.structs.replace(self, second=second, ratios=ratios)


def field(
    moments: Array,
    units: int,
    values: Array | None = None,
    latent: int | None = None,
    pinned: bool = False,
    lags: Array | None = None,
) -> Field:
    """A field of those moments; ``values`` at the nodes give its profile, else it is normal.

    Args:
        moments: (4, positions…), as in :attr:`Field.moments`.
        units: entries at a position.
        values: of an entry, at :data:`NODES`, but for their scale.
        latent: of which normal number they are a function; of one of their own by default.
        pinned: whether their mean square is the same in every draw.
        lags: as in :class:`Field`.
    """
    values = NODES if values is None else values
    size = math.sqrt(max(float(WEIGHTS @ (values * values)), _TINY))
    second = np.maximum(moments[0], 0.0)
    ratios = np.divide(moments[1:], second, out=np.zeros_like(moments[1:]), where=second > _TINY)
    return Field(
        profile=values / size,
        second=second,
        ratios=np.clip(ratios, -1.0, 1.0),
        units=units,
        latent=next(_latents) if latent is None else latent,
        pinned=pinned,
        lags=lags if lags is None or moments.shape[1:] == lags.shape else None,
    )


def normal(moments: Array, means: Array, units: int, lags: Array | None = None) -> Field:
    """A field of normal entries with those means at the positions."""
    mean, second = float(np.mean(means)), float(np.mean(moments[0]))
    return field(moments, units, with_mean(NODES, mean, second), lags=lags)


def standard(grid: Size, units: int) -> Field:
    """Independent standard normal entries."""
    moments = np.zeros((4, *grid))
    moments[0] = 1.0
    return field(moments, units)


def observed(x: Array, axis: int = -1) -> Field:
    """The field that an array is a sample of, with the batch first and units on that axis."""
    x = np.moveaxis(x, axis, -1) if x.ndim > 1 else x
    units = x.shape[-1] if x.ndim > 1 else 1
    grid = x.shape[1:-1]
    z = x.reshape(x.shape[0], -1, units).astype(np.float64)
    batch, positions, _ = z.shape
    same = np.mean(z * z, (0, 2))
    every, by_place, by_input = z.sum((0, 1)), z.sum(0), z.sum(1)
    # Σ over pairs, as squares of sums less what is counted in them too.
    inputs = np.mean(by_place**2, 1) - batch * same
    places = np.mean(z * by_input[:, None], (0, 2)) - same
    both = np.mean(by_place * every, 1) - batch * (same + places) - inputs
    moments = np.stack(
        [
            same,
            inputs / max(batch * (batch - 1), 1),
            places / max(positions - 1, 1),
            both / max(batch * (batch - 1) * (positions - 1), 1),
        ]
    )
    values = np.interp(RANKS, (np.arange(z.size) + 0.5) / z.size, np.sort(z, axis=None))
    found = field(moments.reshape(4, *grid), units, values)
    return msgspec.structs.replace(found, axes=(axis,))


def mapped(function: Callable[[Array], Array], given: Field, units: int | None = None) -> Field:
    """The field of a function of each entry."""
    curves = _curves(function, given)
    moments = np.empty((4, *given.grid))
    moments[0] = curves.at(np.ones(given.grid))
    moments[1:] = [curves.at(rho) for rho in hidden(given)]
    typical = math.sqrt(float(given.second.mean()))
    values = function(typical * given.profile)
    lags = None
    if given.lags is not None:
        table = _table(values)
        lags = np.interp(behind(given.lags, given), _RHO, table) / max(float(table[-1]), _TINY)
    found = field(moments, units or given.units, values, given.latent, given.pinned, lags)
    if not given.steady:
        return found
    more = function(1.01 * typical * given.profile)
    elasticity = math.log(float(WEIGHTS @ more**2) / float(WEIGHTS @ values**2)) / math.log(1.01**2)
    return msgspec.structs.replace(found, steady=given.steady * elasticity**2)


def scatter(given: Field, batch: int) -> float:
    """The variance of log S over draws, for the mean square S of all entries of a batch.

    Units are independent of one another given what they are computed from, so it is
    (Σ over pairs of E[x² x'²] / E[x²]² − 1) / units: 2 / units for one normal vector, 5 / units
    behind a ReLU (Hanin and Nica 2020). Averages over many examples or positions have less, as far
    as these are not alike.
    """
    if given.pinned or given.units == 0:
        return 0.0
    squares = given.profile**2
    table = _table(squares)
    rho = hidden(given)
    pairs = [float(WEIGHTS @ squares**2), *(float(np.interp(r, _RHO, table).mean()) for r in rho)]
    shares = pair_shares(batch, math.prod(given.grid))
    if given.steady:
        alike = [1.0, *(float((r * r).mean()) for r in rho)]
        pairs = [pair - 2 * given.steady * each for pair, each in zip(pairs, alike, strict=True)]
    return math.log1p(max(float(shares @ np.array(pairs)) - 1.0, 0.0) / given.units)


def pair_shares(batch: int, positions: int) -> Array:
    """How many of all pairs of entries of a unit are one entry twice, and of the three kinds."""
    inputs, places = (batch - 1) / batch, (positions - 1) / positions
    return np.array([1 / (batch * positions), inputs / positions, places / batch, inputs * places])


def slopes(slope: Callable[[Array], Array], given: Field) -> Array:
    """E[f'(x) f'(x')] of an entry with itself and at two positions, for the slope f'.

    Shapes: (2, positions…).
    """
    curves = _curves(slope, given)
    return np.stack([curves.at(np.ones(given.grid)), curves.at(hidden(given)[1])])


class _Curves(NamedTuple):
    """E[f(x) f(x')] by the correlation of the normal numbers, at each of a few sizes of x."""

    shares: list[Array]
    tables: list[Array]

    def at(self, rho: Array) -> Array:
        """At a correlation at each position."""
        tables = zip(self.shares, self.tables, strict=True)
        found: Array = sum(share * np.interp(rho, _RHO, table) for share, table in tables)
        return found


def _curves(function: Callable[[Array], Array], given: Field) -> _Curves:
    least, most = float(given.second.min()), float(given.second.max())
    if most <= least * (1 + 1e-6):
        return _Curves([np.ones(given.grid)], [_table(function(math.sqrt(least) * given.profile))])
    knots = np.linspace(least, most, _KNOTS)
    place = (given.second - least) / (most - least) * (_KNOTS - 1)
    shares = [np.clip(1 - np.abs(place - k), 0, 1) for k in range(_KNOTS)]
    return _Curves(shares, [_table(function(math.sqrt(knot) * given.profile)) for knot in knots])


def hidden(given: Field) -> Array:
    """The correlations of the normal numbers behind the three pairs: (3, positions…)."""
    return behind(given.ratios, given)


def behind(ratios: Array, given: Field) -> Array:
    """The correlations of the normal numbers behind entries of those E[x x'] / E[x²]."""
    table = np.maximum.accumulate(_table(given.profile))
    rising = np.concatenate([[True], np.diff(table) > 0])
    return np.interp(ratios, table[rising], _RHO[rising])


def at_lags(same: Array, places: Array, lags: Array | None) -> Array:
    """E[x x'] at every two steps of a sequence, from that at one and at two: (steps, steps)."""
    steps = len(same)
    apart = np.abs(np.subtract.outer(np.arange(steps), np.arange(steps)))
    ratios = places / np.maximum(same, _TINY) if lags is None else lags[apart]
    sizes = np.sqrt(np.multiply.outer(np.maximum(same, 0.0), np.maximum(same, 0.0)))
    ratios = np.broadcast_to(ratios, (steps, steps))
    return sizes * np.where(apart == 0, 1.0, ratios)


def lags_of(moments: Array) -> Array:
    """E[x x'] / E[x²] at two steps that are 0, 1, … apart, of E[x x'] at every two."""
    steps = len(moments)
    sizes = np.sqrt(np.maximum(np.diagonal(moments), _TINY))
    ratios = moments / np.multiply.outer(sizes, sizes)
    return np.array([float(np.diagonal(ratios, lag).mean()) for lag in range(steps)])


def shared(values: Array, rho: Array) -> Array:
    """E[f(z) f(z')] at those correlations of z and z', for the values of f at the nodes."""
    found: Array = np.interp(rho, _RHO, _table(values))
    return found


def _table(values: Array) -> Array:
    """E[f(z) f(z')] at each correlation of z and z', for the values of f at the nodes.

    With Hermite's coefficients aₙ = E[f(z) Heₙ(z)] / √n! it is Σ aₙ² ρⁿ (Mehler 1866). What the
    first coefficients leave is taken for one of a high degree.
    """
    basis, powers = _hermite()
    squares = (basis @ (WEIGHTS * values)) ** 2
    rest = max(float(WEIGHTS @ (values * values)) - float(squares.sum()), 0.0)
    table: Array = np.append(squares, rest) @ powers
    return table


@cache
def _hermite() -> tuple[Array, Array]:
    """Normalized Hermite polynomials at the nodes, and powers of each correlation."""
    basis = [np.ones_like(NODES), NODES]
    for n in range(1, _DEGREES - 1):
        basis.append((NODES * basis[n] - math.sqrt(n) * basis[n - 1]) / math.sqrt(n + 1))
    degrees = np.append(np.arange(_DEGREES), 2 * _DEGREES)
    return np.array(basis), _RHO[None, :] ** degrees[:, None]


def added(fields: Sequence[Field]) -> Field:
    """The sum of entries, which are independent of one another but where they share a latent."""

    def moments(one: Field, two: Field) -> Array:
        cross = one.means * two.means
        # Positions weigh as they do in the moments of two entries.
        whole = float(cross.mean())
        if whole != 0:
            cross = cross * (one.typical_mean * two.typical_mean / whole)
        found: Array = one.moments + two.moments + 2 * cross
        return found

    return _joined(fields, np.add, moments)


def multiplied(fields: Sequence[Field]) -> Field:
    """The product of entries, which are independent but where they share a latent."""
    return _joined(fields, np.multiply, lambda one, two: one.moments * two.moments)


def _joined(
    fields: Sequence[Field],
    operation: Any,
    moments: Callable[[Field, Field], Array],
) -> Field:
    found = fields[0]
    for other in fields[1:]:
        grid = np.broadcast_shapes(found.grid, other.grid)
        one, two = _broadcast(found, grid), _broadcast(other, grid)
        units = max(one.units, two.units)
        if one.latent == two.latent:
            found = _same_latent(one, two, operation, units)
            continue
        joined = moments(one, two)
        mean = operation(one.typical_mean, two.typical_mean)
        values = with_mean(_independent(one, two, operation), mean, float(joined[0].mean()))
        found = field(joined, units, values, pinned=one.pinned and two.pinned)
    return found


def with_mean(values: Array, mean: float, second: float) -> Array:
    """The values, moved and scaled to have just that mean and mean square.

    What two examples have in common is near to the square of the mean, so that the mean must not be
    off by what quantiles of a few nodes are.
    """
    first = float(WEIGHTS @ values)
    spread = math.sqrt(max(float(WEIGHTS @ (values - first) ** 2), _TINY))
    found: Array = mean + (values - first) * (math.sqrt(max(second - mean * mean, 0.0)) / spread)
    return found


def _same_latent(one: Field, two: Field, operation: Any, units: int) -> Field:
    """Entry by entry of two functions of the same normal numbers."""
    a, b = (math.sqrt(float(each.second.mean())) for each in (one, two))
    values = operation(a * one.profile, b * two.profile)
    table = _table(values)
    scale = one.second / max(float(one.second.mean()), _TINY)
    second = np.interp(1.0, _RHO, table) * scale
    pairs = np.stack([np.interp(rho, _RHO, table) for rho in hidden(one)]) * scale
    pinned = one.pinned and two.pinned
    return field(np.concatenate([second[None], pairs]), units, values, one.latent, pinned)


def _independent(one: Field, two: Field, operation: Any) -> Array:
    """The profile of an operation on independent entries: its quantiles, at the nodes."""
    a, b = (math.sqrt(float(each.second.mean())) * each.profile[_COARSE] for each in (one, two))
    return profile_of(operation(a[:, None], b[None, :]).ravel(), _PAIR_WEIGHTS)


def profile_of(values: Array, weights: Array) -> Array:
    """The rising function of a normal number that has the distribution of those weighted values."""
    order = np.argsort(values)
    ranks = np.cumsum(weights[order]) - weights[order] / 2
    found: Array = np.interp(RANKS, ranks / weights.sum(), values[order])
    return found


def _broadcast(given: Field, grid: Size) -> Field:
    if given.grid == grid:
        return given
    return msgspec.structs.replace(
        given,
        second=np.broadcast_to(given.second, grid),
        ratios=np.broadcast_to(
            given.ratios.reshape(3, *(1,) * (len(grid) - len(given.grid)), *given.grid), (3, *grid)
        ),
    )


_RHO = np.linspace(-1.0, 1.0, 2049)
_KNOTS = 9
# Pairs of values are many: for these, nodes that stand further apart.
_COARSE = np.arange(2, len(NODES), 5)
_PAIR_WEIGHTS = np.multiply.outer(WEIGHTS[_COARSE], WEIGHTS[_COARSE]).ravel()
