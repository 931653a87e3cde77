"""The field of a tensor: what theory expects of its entries over all draws of weights and inputs.

In the limit of many units the entries of a tensor are alike but for their position in an image or a
sequence, and independent but for what they are computed from. A field holds their second moments:
E[x²] at each position, and E[x x'] of one unit in two examples, at two positions, or both (Poole et
al. 2016, arXiv:1606.05340; Xiao et al. 2018, arXiv:1806.05393). An entry is distributed as a
function of a standard normal number, its profile, so that a function of entries is a function of
profiles.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, lru_cache
from itertools import count
from typing import NamedTuple

import msgspec
import numpy as np

from initcli.signal.grid import cell_means, coarse
from initcli.types import Array, Size

_STEP = 0.02
NODES = np.arange(-8 + _STEP / 2, 8, _STEP)
"""Values of a standard normal number; none is 0, where many functions have a kink."""
WEIGHTS = np.exp(-NODES * NODES / 2)
WEIGHTS /= WEIGHTS.sum()
RANKS = np.cumsum(WEIGHTS) - WEIGHTS / 2
"""The probability of a smaller number at each node."""
_DEGREES = 48
_TINY = 1e-300
_KEPT = 2.0**40
"""What a profile is a multiple of, in inverse: rounding tells no two equal functions apart then."""
_STRAIGHT = 1e-11
"""Difference of the steps of a straight line, which is :data:`_STEP` or less each."""
_latents = count()


def new_latent() -> int:
    """The number of a normal number that is behind no other entry."""
    return next(_latents)


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """What theory expects of a tensor.

    Attributes:
        profile: x / √E[x²] at :data:`NODES`, as a function of the normal number ``latent``.
        second: E[x²] at each position, of shape (positions…).
        ratios: E[x x'] / E[x²] of one unit in two examples, at two positions of one example, and
            both: (3, positions…). Two positions may differ in E[x²], so that a ratio of a small
            one may exceed 1.
        units: entries at a position.
        latent: number of the normal number behind an entry; functions of one share it.
        pinned: whether a normalization fixed the mean square, which else differs between draws.
        lags: E[x x'] / E[x²] of two positions of a sequence that are 0, 1, … apart, where positions
            are not all alike.
        near: the cosine of an entry and the next along each axis of positions, where that is not as
            for any two positions: (axes, positions…), of which the last of an axis do not count.
        parts: the fields that were concatenated, where units differ in size.
        steady: the share of the variation of a vector's length between draws that is missing,
            because the weights that made it are orthogonal.
        axes: the axes of the tensor that hold units, counted from the end; all others beside the
            batch are positions.
        entangled: whether units have much in common, as positions taken for units may have.
        sizes: the numbers of positions along each axis, of which arrays may hold cells
            (:mod:`initcli.signal.grid`); None where each position is a cell.
    """

    profile: Array
    second: Array
    ratios: Array
    units: int
    latent: int
    pinned: bool = False
    lags: Array | None = None
    near: Array | None = None
    parts: tuple[Field, ...] | None = None
    steady: float = 0.0
    axes: tuple[int, ...] = (-1,)
    entangled: bool = False
    sizes: Size | None = None

    @property
    def grid(self) -> Size:
        """The numbers of cells, of which most fields have one for each position."""
        sizes: Size = self.second.shape
        return sizes

    @property
    def all_sizes(self) -> Size:
        """The numbers of positions along each axis."""
        return self.grid if self.sizes is None else self.sizes

    @property
    def positions(self) -> int:
        """The number of positions."""
        return math.prod(self.all_sizes)

    @property
    def mean_square(self) -> float:
        """E[x²], averaged over positions."""
        return float(self.second.sum()) / math.prod(self.grid)

    @property
    def beside(self) -> Array:
        """The size of an entry at another position, relative to that of each."""
        return _beside(self.second)

    @property
    def moments(self) -> Array:
        """E[x²] and E[x x'] of the three pairs: (4, positions…), a new array."""
        return np.concatenate([self.second[None], self.second * self.ratios])

    @property
    def neighbors(self) -> Array:
        """E[x x'] of an entry and the next along each axis: (axes, positions…), 0 for the last."""
        near = self.ratios[1] / self.beside if self.near is None else self.near
        return near * next_sizes(self.second)

    @property
    def means(self) -> Array:
        """E[x] at each position."""
        return np.sqrt(self.second) * float(WEIGHTS @ self.profile)

    @property
    def mean(self) -> float:
        """E[x], averaged over positions."""
        return float(self.means.sum()) / math.prod(self.grid)

    @property
    def is_normal(self) -> bool:
        """Whether an entry is normal: its profile is a straight line."""
        steps = np.diff(self.profile)
        return bool(steps.max() - steps.min() < _STRAIGHT)

    @property
    def correlation(self) -> float:
        """The cosine of two examples."""
        total = self.mean_square
        return float((self.second * self.ratios[0]).mean()) / total if total > 0 else math.nan


def field(
    moments: Array,
    units: int,
    values: Array | None = None,
    latent: int | None = None,
    pinned: bool = False,
    lags: Array | None = None,
) -> Field:
    """A field of those moments (4, positions…), other arguments as in :class:`Field`.

    ``values`` are the profile but for its scale; by default entries are normal. The latent number
    is a new one by default. Lags are dropped where they do not fit the positions.
    """
    second = np.maximum(moments[0], 0.0)
    ratios = np.divide(moments[1:], second, out=np.zeros_like(moments[1:]), where=second > _TINY)
    most: Array | float = 1.0
    if second.size > 1:
        most = np.ones_like(ratios)
        most[1:] = _beside(second)
    return Field(
        profile=_NORMAL if values is None else _profile(values),
        second=second,
        ratios=np.minimum(np.maximum(ratios, -most), most),
        units=units,
        latent=new_latent() if latent is None else latent,
        pinned=pinned,
        lags=lags if lags is None or moments.shape[1:] == lags.shape else None,
    )


def _profile(values: Array) -> Array:
    """The values with a mean square of 1."""
    size = math.sqrt(max(float(WEIGHTS @ (values * values)), _TINY))
    profile: Array = np.rint(values * (_KEPT / size)) / _KEPT
    return profile


_NORMAL = _profile(NODES)


def _beside(second: Array) -> Array:
    if second.size == 1:
        return np.ones_like(second)
    sizes = np.sqrt(second)
    relative: Array = np.maximum(sizes.mean(), _TINY) / np.maximum(sizes, _TINY)
    return relative


def normal(moments: Array, means: Array, units: int, lags: Array | None = None) -> Field:
    """A field of normal entries with those means by position."""
    mean, second = float(means.mean()), float(moments[0].mean())
    return field(moments, units, with_mean(NODES, mean, second) if mean else None, lags=lags)


def with_neighbors(given: Field, moments: Array) -> Field:
    """The field with that E[x x'] of an entry and the next along each axis: (axes, positions…)."""
    near = moments / np.maximum(next_sizes(given.second), _TINY)
    return msgspec.structs.replace(given, near=np.minimum(np.maximum(near, -1.0), 1.0))


def near_correlation(given: Field) -> float:
    """The correlation of the normal numbers behind neighbors, on average over large entries."""
    sizes = next_sizes(given.second)
    found = hidden(given)[1] if given.near is None else behind(given.near, given)
    return float((sizes * found).sum() / max(float(sizes.sum()), _TINY))


def next_sizes(second: Array) -> Array:
    """√(E[x²] E[x'²]) of an entry and the next along each axis: (axes, positions…), or 0."""
    found = np.zeros((second.ndim, *second.shape))
    for axis, sizes in enumerate(found):
        along, sizes = (np.moveaxis(each, axis, 0) for each in (second, sizes))
        sizes[:-1] = np.sqrt(along[:-1] * along[1:])
    return found


def standard(grid: Size, units: int) -> Field:
    """Independent standard normal entries."""
    moments = np.zeros((4, *grid))
    moments[0] = 1.0
    return field(moments, units)


def observed(x: Array, axis: int = -1) -> Field:
    """The field estimated from an array, with the batch first and units on that axis."""
    x = np.moveaxis(x, axis, -1) if x.ndim > 1 else x
    units = x.shape[-1] if x.ndim > 1 else 1
    grid = x.shape[1:-1]
    z = x.reshape(x.shape[0], -1, units).astype(np.float64)
    batch, positions, _ = z.shape
    same = np.mean(z * z, (0, 2))
    every, by_place, by_input = z.sum((0, 1)), z.sum(0), z.sum(1)
    # Sums over pairs are squares of sums, less the pairs of other kinds in them.
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
    estimated = field(cell_means(moments.reshape(4, *grid), grid), units, values)
    return msgspec.structs.replace(estimated, axes=(axis,), sizes=coarse(grid))


def mapped(function: Callable[[Array], Array], given: Field) -> Field:
    """The field of a function of each entry."""
    curves = _curves(function, given)
    rhos = hidden(given)
    pairs = curves.at(rhos)
    apart = pairs[1:]
    if not curves.is_even:
        # Of a position and another of typical size.
        level = series(curves.beside, rhos[1:])
        apart = np.sign(level) * np.sqrt(np.abs(level * apart))
    moments = np.concatenate([curves.same[None], pairs[:1], apart])
    lags = None
    if given.lags is not None:
        squares = hermite(curves.values) ** 2
        lags = series(squares, behind(given.lags, given)) / max(float(squares.sum()), _TINY)
    output = field(moments, given.units, curves.values, given.latent, given.pinned, lags)
    if given.near is not None:
        near = curves.at(behind(given.near, given)) / np.maximum(curves.same, _TINY)
        output = msgspec.structs.replace(output, near=near)
    if not given.steady:
        return output
    more = function(1.01 * math.sqrt(given.mean_square) * given.profile)
    growth = float(WEIGHTS @ more**2) / float(WEIGHTS @ curves.values**2)
    elasticity = math.log(growth) / math.log(1.01**2)
    return msgspec.structs.replace(output, steady=given.steady * elasticity**2)


def scatter(given: Field, batch: int) -> float:
    """The variance of log S over draws, for the mean square S of all entries of a batch.

    Units are independent given what they are computed from, so it is the mean over pairs of
    (E[x² x'²] / E[x²]² − 1) / units: 2 / units for one normal vector, 5 / units behind a ReLU
    (Hanin and Nica 2020, arXiv:1812.05994). Averages over examples or positions that differ vary
    less.
    """
    return scatters(given, batch)[0]


def scatters(given: Field, *batches: int) -> list[float]:
    """:func:`scatter` for several sizes of a batch."""
    if given.pinned or given.units == 0:
        return [0.0] * len(batches)
    return [math.log1p(each / given.units) for each in unit_scatters(given, *batches)]


def unit_scatters(given: Field, *batches: int) -> list[float]:
    """Var[S] / E[S]² of the mean square S of one unit, over all examples and positions."""
    fourth, squares = _squared(given.profile.tobytes())
    rho = hidden(given)
    means = series(squares, rho).reshape(3, -1).mean(1)
    if given.steady:
        means = means - 2 * given.steady * (rho * rho).reshape(3, -1).mean(1)
    pairs = np.array([fourth - 2 * given.steady, *means])
    shares = (pair_shares(batch, given.positions) for batch in batches)
    return [max(float(each @ pairs) - 1.0, 0.0) for each in shares]


@lru_cache(maxsize=64)
def _squared(profile: bytes) -> tuple[float, Array]:
    """E[x⁴], and the squares of the Hermite coefficients of x²."""
    squares = np.frombuffer(profile) ** 2
    return float(WEIGHTS @ squares**2), hermite(squares) ** 2


def pair_shares(batch: int, positions: int) -> Array:
    """The shares of one entry twice, and of the three kinds of pairs, in all pairs of a unit."""
    inputs, places = (batch - 1) / batch, (positions - 1) / positions
    return np.array([1 / (batch * positions), inputs / positions, places / batch, inputs * places])


def slopes(slope: Callable[[Array], Array], given: Field) -> tuple[Array, Array]:
    """Moments of the slope f', and its values at the nodes for a position of typical size.

    The moments are E[f'(x)²] and E[f'(x) f'(x')] of the three pairs: (4, positions…).
    """
    curves = _curves(slope, given)
    return np.concatenate([curves.same[None], curves.at(hidden(given))]), curves.values


class _Curves(NamedTuple):
    """E[f(x) f(x')] by the correlation of the normal numbers, for a few sizes of x.

    ``values`` are those of f at the nodes, for a typical size. For each size there are the squares
    of the Hermite coefficients of f, and the share that it has in each position; ``beside`` are the
    squares for an entry at another position.
    """

    values: Array
    squares: list[Array]
    shares: list[Array]
    beside: Array

    @property
    def is_even(self) -> bool:
        """Whether all positions are alike in size."""
        return len(self.squares) == 1

    @property
    def same(self) -> Array:
        """E[f(x)²] at each position."""
        sizes = zip(self.shares, self.squares, strict=True)
        seconds: Array = sum(share * float(squares.sum()) for share, squares in sizes)
        return seconds

    def at(self, rho: Array) -> Array:
        """The value for correlations at each position: (any number, positions…)."""
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


def hidden(given: Field) -> Array:
    """The correlations of the normal numbers behind the three pairs: (3, positions…)."""
    if given.second.size == 1:
        return _hidden(given.profile.tobytes(), given.ratios.tobytes()).reshape(given.ratios.shape)
    ratios = given.ratios.copy()
    ratios[1:] /= given.beside
    return behind(ratios, given)


@lru_cache(maxsize=64)
def _hidden(profile: bytes, ratios: bytes) -> Array:
    """Those of a single position, which rules ask for several times."""
    found = np.interp(np.frombuffer(ratios), *_rising(profile, None))
    found.flags.writeable = False
    return found


def behind(ratios: Array, given: Field) -> Array:
    """The correlations of the normal numbers behind pairs with those E[x x'] / E[x²]."""
    return from_products(given.profile, given.profile, ratios)


def mean_products(one: Array, two: Array) -> Array:
    """E[x] E[y] of the pairs of :attr:`Field.moments`, for means by position: (4, positions…)."""
    same, apart = one * two, (one * two.mean() + two * one.mean()) / 2
    return np.stack([same, same, apart, apart])


def by_position(scale: Array) -> Array:
    """The factors of E[f f'] at each position, for those of E[f²]: (4, positions…)."""
    sizes = np.sqrt(scale)
    return np.stack([scale, scale, sizes * sizes.mean(), sizes * sizes.mean()])


def at_lags(same: Array, places: Array, lags: Array | None) -> Array:
    """E[x x'] at every two steps of a sequence: (steps, steps).

    It is made of E[x²] at each step, and E[x x'] of two steps or its ratios by lag.
    """
    steps = len(same)
    apart = np.abs(np.subtract.outer(np.arange(steps), np.arange(steps)))
    ratios = places / np.maximum(same, _TINY) if lags is None else lags[apart]
    sizes = np.sqrt(np.multiply.outer(np.maximum(same, 0.0), np.maximum(same, 0.0)))
    ratios = np.broadcast_to(ratios, (steps, steps))
    return sizes * np.where(apart == 0, 1.0, ratios)


def lags_of(moments: Array) -> Array:
    """E[x x'] / E[x²] of two steps that are 0, 1, … apart, from E[x x'] at every two."""
    steps = len(moments)
    sizes = np.sqrt(np.maximum(np.diagonal(moments), _TINY))
    whole = np.multiply.outer(sizes, sizes)
    # Steps where x is large count for more.
    return np.array([np.trace(moments, lag) / np.trace(whole, lag) for lag in range(steps)])


def series(coefficients: Array, rho: Array) -> Array:
    """Σ cₙ ρⁿ for the degrees of :func:`hermite`, at each correlation ρ.

    With squares of the Hermite coefficients of f it is E[f(z) f(z')] (Mehler 1866). It is
    interpolated in a table, of which a few correlations take but a few entries.
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
    """E[f(z) g(z')] at those correlations of z and z', for the values of f and g at the nodes."""
    return series(hermite(one) * hermite(two), rho)


def from_products(one: Array, two: Array, moments: Array) -> Array:
    """The correlations of z and z' where E[f(z) g(z')] has those values."""
    return np.interp(moments, *_rising(one.tobytes(), None if two is one else two.tobytes()))


@lru_cache(maxsize=64)
def _rising(one: bytes, two: bytes | None) -> tuple[Array, Array]:
    """The rising part of the table of E[f(z) g(z')], and its correlations; g is f by default.

    Layers in a row have the same profile.
    """
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

    The rest beyond the first coefficients counts as one of a high degree.
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
    """Normalized Hermite polynomials at the nodes, and powers of each correlation in its row."""
    basis = [np.ones_like(NODES), NODES]
    for n in range(1, _DEGREES - 1):
        basis.append((NODES * basis[n] - math.sqrt(n) * basis[n - 1]) / math.sqrt(n + 1))
    degrees = np.append(np.arange(_DEGREES), 2 * _DEGREES)
    return np.array(basis), _RHO[:, None] ** degrees


def with_mean(values: Array, mean: float, second: float) -> Array:
    """The values, moved and scaled to have that mean and mean square.

    E[x x'] of two examples is near the square of the mean, which must not be off by the error of
    quantiles at a few nodes.
    """
    first = float(WEIGHTS @ values)
    spread = math.sqrt(max(float(WEIGHTS @ (values - first) ** 2), _TINY))
    moved: Array = mean + (values - first) * (math.sqrt(max(second - mean * mean, 0.0)) / spread)
    return moved


def profile_of(values: Array, weights: Array) -> Array:
    """The rising function of a normal number that is distributed as those weighted values."""
    order = np.argsort(values)
    ranks = np.cumsum(weights[order]) - weights[order] / 2
    quantiles: Array = np.interp(RANKS, ranks / weights.sum(), values[order])
    return quantiles


_RHO = np.linspace(-1.0, 1.0, 2049)
_KNOTS = 9
_FEW = 64
"""Correlations for which not all of a table is computed."""
