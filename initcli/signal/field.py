"""The field of a tensor: the distribution of its entries over draws of weights and inputs.

In the limit of many units, the units of a tensor are independent and identically distributed, given
the inputs of the layer. A field has their second moments: E[x²] at each position of an image or a
sequence, and E[x x'] of one unit in two examples, at two positions, or both (Poole et al. 2016,
arXiv:1606.05340; Xiao et al. 2018, arXiv:1806.05393). An entry is distributed as a function of a
standard normal variable, the latent variable; this function is the profile of the field.
"""

from __future__ import annotations

import math
from itertools import count
from typing import Any

import msgspec
import numpy as np

from initcli.signal.hermite import NODES, TINY, WEIGHTS, from_products, with_mean
from initcli.types import Array, Size

_KEPT = 2.0**40
"""The inverse of the unit to which profiles are rounded, so that equal functions are equal."""
_STRAIGHT = 1e-11
"""The largest difference between the steps of a straight line."""
_latents = count()


def new_latent() -> int:
    """The number of a new latent variable."""
    return next(_latents)


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """The distribution of the entries of a tensor.

    Attributes:
        profile: x / √E[x²] at the nodes of the latent variable.
        second: E[x²] at each position, of shape (positions…).
        ratios: E[x x'] / E[x²] of one unit in two examples, at two positions of one example, and
            both: (3, positions…). It may exceed 1 where the other position has a larger E[x²].
        units: number of entries at a position.
        latent: number of the latent variable; functions of a tensor have that of the tensor.
        pinned: whether the mean square is the same in all draws, as after a normalization.
        lags: E[x x'] / E[x²] of two positions of a sequence that are 0, 1, … apart, where positions
            are not all the same.
        near: the cosine of an entry and the next along each axis, where it differs from that of any
            two positions: (axes, positions…); the last entry of an axis has no meaning.
        parts: the fields that were concatenated, where units differ in size.
        steady: the fraction by which orthogonal weights reduce the variance of the norm of a vector
            between draws.
        axes: the axes of the tensor that hold units, counted from the end; all others except the
            batch are positions.
        entangled: whether units are dependent, as units that were positions may be.
        sizes: the numbers of positions along each axis, if cells have several positions
            (:mod:`initcli.signal.grid`).
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
        """The numbers of cells along each axis."""
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
        """The mean size of entries at all positions, relative to the size at each."""
        return _beside(self.second)

    @property
    def moments(self) -> Array:
        """E[x²] and E[x x'] of the three kinds of pairs: (4, positions…), a new array."""
        return np.concatenate([self.second[None], self.second * self.ratios])

    @property
    def neighbors(self) -> Array:
        """E[x x'] of an entry and the next along each axis: (axes, positions…); 0 for the last."""
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
    """A field with those moments (4, positions…); other arguments as in :class:`Field`.

    ``values`` are proportional to the profile; by default entries are normal. By default the latent
    variable is new. Lags are dropped if they do not fit the positions.
    """
    second = np.maximum(moments[0], 0.0)
    ratios = np.divide(moments[1:], second, out=np.zeros_like(moments[1:]), where=second > TINY)
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
    """The values, scaled to a mean square of 1."""
    size = math.sqrt(max(float(WEIGHTS @ (values * values)), TINY))
    profile: Array = np.rint(values * (_KEPT / size)) / _KEPT
    return profile


_NORMAL = _profile(NODES)


def _beside(second: Array) -> Array:
    if second.size == 1:
        return np.ones_like(second)
    sizes = np.sqrt(second)
    relative: Array = np.maximum(sizes.mean(), TINY) / np.maximum(sizes, TINY)
    return relative


def moments_of(grid: Size, same: Any, examples: Any, places: Any, both: Any) -> Array:
    """E[x²] and E[x x'] of the three kinds of pairs: (4, positions…)."""
    return np.stack([np.broadcast_to(each, grid) for each in (same, examples, places, both)])


def normal(moments: Array, means: Array, units: int, lags: Array | None = None) -> Field:
    """A field of normal entries with those means at each position."""
    mean, second = float(means.mean()), float(moments[0].mean())
    return field(moments, units, with_mean(NODES, mean, second) if mean else None, lags=lags)


def with_neighbors(given: Field, moments: Array) -> Field:
    """The field with that E[x x'] of an entry and the next along each axis."""
    near = moments / np.maximum(next_sizes(given.second), TINY)
    return msgspec.structs.replace(given, near=np.minimum(np.maximum(near, -1.0), 1.0))


def near_correlation(given: Field) -> float:
    """The mean correlation of the latent variables of neighbors, weighted by their size."""
    sizes = next_sizes(given.second)
    near = given.near
    found = latent_correlations(given)[1] if near is None else correlations_of(near, given)
    return float((sizes * found).sum() / max(float(sizes.sum()), TINY))


def next_sizes(second: Array) -> Array:
    """√(E[x²] E[x'²]) of an entry and the next along each axis: (axes, positions…), or 0."""
    found = np.zeros((second.ndim, *second.shape))
    for axis, sizes in enumerate(found):
        along, sizes = (np.moveaxis(each, axis, 0) for each in (second, sizes))
        sizes[:-1] = np.sqrt(along[:-1] * along[1:])
    return found


def latent_correlations(given: Field) -> Array:
    """The correlations of the latent variables for the three kinds of pairs: (3, positions…)."""
    ratios = given.ratios.copy()
    ratios[1:] /= given.beside
    return correlations_of(ratios, given)


def correlations_of(ratios: Array, given: Field) -> Array:
    """The correlations of the latent variables for pairs with those E[x x'] / E[x²]."""
    return from_products(given.profile, given.profile, ratios)


def mean_products(one: Array, two: Array) -> Array:
    """E[x] E[y] for each of the moments, given means at each position: (4, positions…)."""
    same, apart = one * two, (one * two.mean() + two * one.mean()) / 2
    return np.stack([same, same, apart, apart])


def by_position(scale: Array) -> Array:
    """The factors of all moments, given those of E[f²] at each position: (4, positions…)."""
    sizes = np.sqrt(scale)
    return np.stack([scale, scale, sizes * sizes.mean(), sizes * sizes.mean()])


def at_lags(same: Array, places: Array, lags: Array | None) -> Array:
    """E[x x'] at every two steps of a sequence: (steps, steps).

    It follows from E[x²] at each step, and E[x x'] of two steps or its ratios by lag.
    """
    steps = len(same)
    apart = np.abs(np.subtract.outer(np.arange(steps), np.arange(steps)))
    ratios = places / np.maximum(same, TINY) if lags is None else lags[apart]
    sizes = np.sqrt(np.multiply.outer(np.maximum(same, 0.0), np.maximum(same, 0.0)))
    ratios = np.broadcast_to(ratios, (steps, steps))
    return sizes * np.where(apart == 0, 1.0, ratios)


def lags_of(moments: Array) -> Array:
    """E[x x'] / E[x²] of two steps that are 0, 1, … apart, given E[x x'] at every two steps."""
    steps = len(moments)
    sizes = np.sqrt(np.maximum(np.diagonal(moments), TINY))
    whole = np.multiply.outer(sizes, sizes)
    # Steps with a large x have a larger weight.
    return np.array([np.trace(moments, lag) / np.trace(whole, lag) for lag in range(steps)])
