"""Rules of pooling, and sums over windows."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np

from initcli.layers import pooling
from initcli.layers.base import per_axis
from initcli.layers.spatial import ends
from initcli.signal import arrays
from initcli.signal.field import (
    NODES,
    RANKS,
    WEIGHTS,
    Field,
    field,
    hidden,
    normal,
    profile_of,
    shared,
)
from initcli.signal.rules.base import (
    Expected,
    Gradient,
    NoTheory,
    Place,
    channels_and_grid,
    expected,
)
from initcli.types import Array, Size

_COARSE = slice(2, None, 5)
_MOST_SUMMED = 10**8
"""Entries of windows that are gone through, in all their places."""
_MOST_PAIRS = 10**6
"""Windows that may have the same largest entry as another."""
_MOST_COUNTS = 40
"""Numbers of entries that the largest of is worked out for."""


def box(moments: Array, size: Size, window: Any, weights: Array | None = None) -> Array:
    """The sum of moments (any number, positions…) over the window, each with its weight."""
    kernel = np.ones(size) if weights is None else weights
    found: Array = arrays.correlate(moments[..., None], kernel[..., None, None], window)[..., 0]
    return found


def within(grid: Size, outputs: Size, size: Size, window: Any) -> tuple[Size, Any]:
    """The part of a window that ever meets an entry, if there are not too many."""
    inner = arrays.reach(grid, size, window)
    if math.prod(inner.size) * math.prod(outputs) > _MOST_SUMMED:
        raise NoTheory("windows of too many entries")
    return inner.size, inner.window


def overlap(grid: Size, outputs: Size, size: Size, window: Any) -> Array:
    """For each place in a window, in what share of the windows it is not in the padding.

    Of a position and any other, only the places that are within the image for both are products of
    the same weight.
    """
    found = np.ones(())
    axes = zip(grid, outputs, size, window.strides, window.dilation, window.padding, strict=True)
    for n, out, k, stride, dilation, (before, _) in axes:
        places = np.arange(out)[:, None] * stride + np.arange(k) * dilation - before
        found = np.multiply.outer(found, np.mean((places >= 0) & (places < n), axis=0))
    return found


def unboxed(moments: Array, size: Size, window: Any, grid: Size) -> Array:
    """The transpose of :func:`box`."""
    kernel = np.ones((*size, 1, 1))
    found: Array = arrays.spread(moments[..., None], kernel, window, grid)[..., 0]
    return found


@expected.register(pooling._MaxPooling)
@expected.register(pooling._AveragePooling)
def _(layer: Any, place: Place, given: Field) -> Expected:
    _, grid = channels_and_grid(place.inputs[0], layer.data_format)
    size = per_axis(layer.pool_size, layer.rank, "pool_size")
    strides = size if layer.strides is None else per_axis(layer.strides, layer.rank, "strides")
    every = (1,) * layer.rank
    around = ends(grid, size, strides, every, layer.padding)
    window = arrays.Window(strides, every, around)
    _, outputs = channels_and_grid(place.outputs[0], layer.data_format)
    size, window = within(grid, outputs, size, window)
    if isinstance(layer, pooling._MaxPooling):
        return _largest(given, window, size)
    return _averaged(given, window, size)


def _averaged(given: Field, window: Any, size: Size) -> Expected:
    grid = given.grid
    count = box(np.ones((1, *grid)), size, window)
    n = count[0]
    same, inputs, places, both = box(given.moments, size, window) / count
    found = np.stack(
        [same / n + (1 - 1 / n) * places, inputs / n + (1 - 1 / n) * both, places, both]
    )
    means = box(given.means[None], size, window)[0] / n

    def pull(g: Gradient) -> list[Gradient | None]:
        same, places = g.moments[0], np.maximum(g.moments[1], 0.0)
        # An entry has a share of the gradient of every window that it stands in.
        apart = unboxed(((same - places) / n**2)[None], size, window, grid)[0]
        alike = unboxed((np.sqrt(places) / n)[None], size, window, grid)[0] ** 2
        return [_among(apart + alike, g)]

    return Expected(normal(found, means, given.units), pull)


def _largest(given: Field, window: Any, size: Size) -> Expected:
    grid = given.grid
    count = box(np.ones((1, *grid)), size, window)
    n = count[0]
    # Where a window has entries that are 0, as at padded borders, it is as if it had fewer.
    most: Array = arrays.largest(given.second[None, ..., None], size, window)[0, ..., 0]
    mean = box(given.moments[:1], size, window)[0] / n
    entries = np.maximum(np.rint(n * mean / np.maximum(most, 1e-300)), 1)
    if len(np.unique(entries)) > _MOST_COUNTS:
        entries = np.rint(2 ** (np.rint(4 * np.log2(entries)) / 4))
    found, profiles, shares = np.empty((4, *entries.shape)), [], []
    for number in np.unique(entries):
        level, values = largest_of(given, int(number))
        found[:, entries == number] = level[:, None]
        profiles.append(values)
        shares.append(WEIGHTS * float(np.mean(entries == number)))
    found *= most / max(float(given.second.mean()), 1e-300)
    values = profile_of(np.concatenate(profiles), np.concatenate(shares))
    tilt = _tilt_to_largest(given, int(np.rint(entries.mean())))
    again = _won_again(size, window.strides) * entries.size / max(math.prod(grid), 1)

    def pull(g: Gradient) -> list[Gradient | None]:
        back = unboxed(g.moments[:1] / count, size, window, grid)[0]
        # Windows that overlap may have the same largest entry, which has the sum of theirs.
        back = back * max(1 + again * g.places / max(float(back.mean()), 1e-300), 0.0)
        found = _among(back, g)
        return [Gradient(found.moments, tilt, given.latent)]

    return Expected(field(found, given.units, values), pull)


def _won_again(size: Size, strides: Size) -> float:
    """How many pairs of windows have the same largest entry, for each window.

    Of two windows with m entries together each is the largest with probability 1/m.
    """
    n = math.prod(size)
    reaches = [range(-((k - 1) // s) * s, k, s) for k, s in zip(size, strides, strict=True)]
    if math.prod(map(len, reaches)) > _MOST_PAIRS:
        raise NoTheory("windows of too many entries")
    total = 0.0
    for offset in product(*reaches):
        common = math.prod(k - abs(d) for k, d in zip(size, offset, strict=True))
        if any(offset):
            total += common / (2 * n - common)
    return total


def _among(second: Array, g: Gradient) -> Gradient:
    """A gradient of that E[g²] at each position, which adds up to what the sum of g is."""
    entries, windows = second.size, math.prod(g.grid)
    whole = windows * g.second + windows * (windows - 1) * g.places
    places = (whole - entries * float(second.mean())) / max(entries * (entries - 1), 1)
    return Gradient(np.stack([second, np.full_like(second, places)]))


def largest_of(given: Field, n: int, apart: bool = False) -> tuple[Array, Array]:
    """Moments (4,) and profile of the largest of n entries of a window.

    The normal numbers behind the entries have parts that all share: with all examples, or within
    one example. The largest is that of what is left, of which the distribution is Φⁿ. Entries that
    come ``apart``, from branches, share nothing.
    """
    rho = hidden(given).reshape(3, -1).mean(1)
    inputs, places, both = (float(min(max(r, 0.0), 0.9999)) for r in rho)
    if apart:
        places = both = 0.0
    both = min(both, places, inputs)
    alone = np.interp(RANKS ** (1 / n), RANKS, NODES)
    mean = float(WEIGHTS @ alone)
    spread = math.sqrt(max(float(WEIGHTS @ (alone * alone)) - mean * mean, 1e-300))
    values = _latents_of_largest(places, alone)
    variance = places + (1 - places) * spread**2
    # Of the rest, what two examples share; the first of n may be the largest in one, not in both.
    share = min(max((inputs - both) / max(1 - places, 1e-9), 0.0), 1.0)
    kept = share * ((1 - share) / (n * spread**2) + share) if n > 1 else share
    behind = np.array([both + (1 - places) * spread**2 * kept, places, both]) / variance
    size = math.sqrt(float(given.second.mean()))
    rising = np.sort(given.profile)
    whole = size * np.interp(values, NODES, rising)
    return shared(whole, np.append(1.0, np.clip(behind, 0, 1))), whole


def _latents_of_largest(places: float, alone: Array) -> Array:
    """The normal number behind the largest entry, as a rising function of another."""
    common = math.sqrt(places) * NODES[_COARSE, None]
    own = math.sqrt(1 - places) * alone[None, _COARSE]
    weights = np.multiply.outer(WEIGHTS[_COARSE], WEIGHTS[_COARSE]).ravel()
    return profile_of((common + own).ravel(), weights)


def _tilt_to_largest(given: Field, n: int) -> Array | None:
    """How much more probable each normal number is behind the largest of n entries.

    None where the entries do not rise with the number behind them.
    """
    if n <= 1 or np.any(np.diff(given.profile) < 0):
        return None
    places = float(np.clip(hidden(given)[1].mean(), 0.0, 0.9999))
    alone = np.interp(RANKS ** (1 / n), RANKS, NODES)
    values = _latents_of_largest(places, alone)
    edges = np.append(-np.inf, np.append((NODES[1:] + NODES[:-1]) / 2, np.inf))
    below = np.interp(edges, values, RANKS, left=0.0, right=1.0)
    tilt = np.diff(below) / np.maximum(WEIGHTS, 1e-30)
    found: Array = tilt / max(float(WEIGHTS @ tilt), 1e-300)
    return found


@expected.register(pooling._GlobalMaxPooling)
@expected.register(pooling._GlobalAveragePooling)
def _(layer: Any, place: Place, given: Field) -> Expected:
    grid = given.grid
    n = math.prod(grid)
    after = (1,) * layer.rank if layer.keepdims else ()
    if isinstance(layer, pooling._GlobalMaxPooling):
        level, values = largest_of(given, n)
        tilt = _tilt_to_largest(given, n)

        def to_largest(g: Gradient) -> list[Gradient | None]:
            even = Gradient.even(np.full(grid, g.second / n))
            return [Gradient(even.moments, tilt, given.latent)]

        moments = np.broadcast_to(level.reshape(4, *(1,) * len(after)), (4, *after))
        return Expected(field(moments, given.units, values), to_largest)
    same, inputs, places, both = given.moments.reshape(4, -1).mean(1)
    first = same / n + (1 - 1 / n) * places
    second = inputs / n + (1 - 1 / n) * both
    found = np.array([first, second, first, second]).reshape(4, *after)

    def to_all(g: Gradient) -> list[Gradient | None]:
        return [Gradient(np.full((2, *grid), g.second / n**2))]

    return Expected(normal(found, np.array(given.typical_mean), given.units), to_all)
