"""Rules of pooling, and sums over windows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from initcli.layers import pooling
from initcli.layers.spatial import ends
from initcli.signal import arrays
from initcli.signal.field import (
    NODES,
    RANKS,
    WEIGHTS,
    Field,
    by_position,
    field,
    hidden,
    normal,
    products,
    profile_of,
)
from initcli.signal.joint import Common, shared_by
from initcli.signal.rules.base import (
    Context,
    Expected,
    Gradient,
    NoTheory,
    Rule,
    channels_and_grid,
)
from initcli.types import Array, Size

_COARSE = slice(2, None, 5)
_MAX_SUMMED = 10**8
"""Window entries that are gone through, over all positions of the window."""
_MAX_PAIRS = 10**6
"""Windows that may share their largest entry with another."""
_MAX_COUNTS = 40
"""Numbers of entries for which the largest is worked out."""


def box(moments: Array, size: Size, window: arrays.Window) -> Array:
    """The sums of moments (any number, positions…) over the window."""
    sums: Array = arrays.correlate(moments[..., None], np.ones((*size, 1, 1)), window)[..., 0]
    return sums


def unboxed(moments: Array, size: Size, window: arrays.Window, grid: Size) -> Array:
    """The transpose of :func:`box`."""
    spread: Array = arrays.spread(moments[..., None], np.ones((*size, 1, 1)), window, grid)[..., 0]
    return spread


def within(
    grid: Size, outputs: Size, size: Size, window: arrays.Window
) -> tuple[Size, arrays.Window]:
    """The part of a window that ever meets an entry, if it is not too large."""
    inner = arrays.reach(grid, size, window)
    if math.prod(inner.size) * math.prod(outputs) > _MAX_SUMMED:
        raise NoTheory("windows of too many entries")
    return inner.size, inner.window


class PoolingRule(Rule):
    layers = (pooling._MaxPooling, pooling._AveragePooling)

    def expected(self, layer: Any, context: Context, given: Field) -> Expected:
        _, grid = channels_and_grid(context.inputs[0], layer.data_format)
        _, outputs = channels_and_grid(context.outputs[0], layer.data_format)
        size, strides = layer.window, layer.steps
        every = (1,) * layer.rank
        window = arrays.Window(strides, every, ends(grid, size, strides, every, layer.padding))
        size, window = within(grid, outputs, size, window)
        if isinstance(layer, pooling._MaxPooling):
            return _largest(given, size, window)
        return _averaged(given, size, window)

    def through(
        self,
        layer: Any,
        context: Context,
        fields: Sequence[Field],
        other: Field,
        crosses: Sequence[Common],
    ) -> Array:
        same = context.inputs[0] == context.outputs[0] and fields[0].grid == other.grid
        if isinstance(layer, pooling._MaxPooling) or not same or len(other.grid) != layer.rank:
            return super().through(layer, context, fields, other, crosses)
        grid, every = fields[0].grid, (1,) * layer.rank
        window = arrays.Window(every, every, ends(grid, layer.window, every, every, layer.padding))
        n = box(np.ones((1, *grid)), *within(grid, grid, layer.window, window))
        moments = shared_by(fields[0], other, crosses[0])
        return np.concatenate([moments[:2] / n + (1 - 1 / n) * moments[2:], moments[2:]])


def _averaged(given: Field, size: Size, window: arrays.Window) -> Expected:
    grid = given.grid
    count = box(np.ones((1, *grid)), size, window)
    n = count[0]
    same, inputs, places, both = box(given.moments, size, window) / count
    moments = np.stack(
        [same / n + (1 - 1 / n) * places, inputs / n + (1 - 1 / n) * both, places, both]
    )
    means = box(given.means[None], size, window)[0] / n

    def pull(g: Gradient) -> list[Gradient]:
        same, cross = g.moments[0], np.maximum(g.moments[1], 0.0)
        # An entry has a share of the gradient of every window that it stands in.
        apart = unboxed(((same - cross) / n**2)[None], size, window, grid)[0]
        common = unboxed((np.sqrt(cross) / n)[None], size, window, grid)[0] ** 2
        return [_among(apart + common, g)]

    return Expected(normal(moments, means, given.units), pull)


def _largest(given: Field, size: Size, window: arrays.Window) -> Expected:
    grid = given.grid
    count = box(np.ones((1, *grid)), size, window)
    n = count[0]
    # A window with entries that are 0, as at padded borders, counts as one with fewer entries.
    most: Array = arrays.largest(given.second[None, ..., None], size, window)[0, ..., 0]
    mean = box(given.moments[:1], size, window)[0] / n
    entries = np.maximum(np.rint(n * mean / np.maximum(most, 1e-300)), 1)
    if len(np.unique(entries)) > _MAX_COUNTS:
        entries = np.rint(2 ** (np.rint(4 * np.log2(entries)) / 4))
    moments, second = np.empty((4, *entries.shape)), np.empty(entries.shape)
    profiles, shares = [], []
    for number in np.unique(entries):
        level, values = largest_of(given, int(number))
        moments[:, entries == number] = level[:, None] / level[0]
        second[entries == number] = level[0]
        profiles.append(values)
        shares.append(WEIGHTS * float(np.mean(entries == number)))
    moments *= by_position(second * most / max(float(given.second.mean()), 1e-300))
    values = profile_of(np.concatenate(profiles), np.concatenate(shares))
    tilt = _tilt_to_largest(given, int(np.rint(entries.mean())))
    again = _won_again(size, window.strides) * entries.size / max(math.prod(grid), 1)

    def pull(g: Gradient) -> list[Gradient]:
        back = unboxed(g.moments[:1] / count, size, window, grid)[0]
        # Windows that overlap may share their largest entry, which gets the sum of theirs.
        back = back * max(1 + again * g.cross / max(float(back.mean()), 1e-300), 0.0)
        return [Gradient(_among(back, g).moments, tilt, given.latent)]

    return Expected(field(moments, given.units, values), pull)


def _won_again(size: Size, strides: Size) -> float:
    """How many other windows have the same largest entry as a window.

    With m entries in common, two windows of n entries share it with probability m / (2n − m).
    """
    n = math.prod(size)
    reaches = [range(-((k - 1) // s) * s, k, s) for k, s in zip(size, strides, strict=True)]
    if math.prod(map(len, reaches)) > _MAX_PAIRS:
        raise NoTheory("windows of too many entries")
    total = 0.0
    for offset in product(*reaches):
        common = math.prod(k - abs(d) for k, d in zip(size, offset, strict=True))
        if any(offset):
            total += common / (2 * n - common)
    return total


def _among(second: Array, g: Gradient) -> Gradient:
    """A gradient of that E[g²] at each position, whose sum has the mean square of the sum of g."""
    entries, windows = second.size, math.prod(g.grid)
    whole = windows * g.second + windows * (windows - 1) * g.cross
    cross = (whole - entries * float(second.mean())) / max(entries * (entries - 1), 1)
    return Gradient(np.stack([second, np.full_like(second, cross)]))


def largest_of(given: Field, n: int) -> tuple[Array, Array]:
    """Moments (4,) and profile of the largest of n entries of a window.

    The normal numbers behind the entries share a part with all examples, and another within an
    example. Of the rest of n entries the largest has the distribution Φⁿ.
    """
    rho = hidden(given).reshape(3, -1).mean(1)
    inputs, places, both = (float(min(max(r, 0.0), 0.9999)) for r in rho)
    both = min(both, places, inputs)
    alone = np.interp(RANKS ** (1 / n), RANKS, NODES)
    mean = float(WEIGHTS @ alone)
    spread = math.sqrt(max(float(WEIGHTS @ (alone * alone)) - mean * mean, 1e-300))
    values = _latents_of_largest(places, alone)
    variance = places + (1 - places) * spread**2
    # Of what two examples share in the rest, the largest entry may be another in each.
    share = min(max((inputs - both) / max(1 - places, 1e-9), 0.0), 1.0)
    kept = share * ((1 - share) / (n * spread**2) + share) if n > 1 else share
    behind = np.array([both + (1 - places) * spread**2 * kept, places, both]) / variance
    size = math.sqrt(float(given.second.mean()))
    whole = size * np.interp(values, NODES, np.sort(given.profile))
    return products(whole, whole, np.append(1.0, np.clip(behind, 0, 1))), whole


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
    values = _latents_of_largest(places, np.interp(RANKS ** (1 / n), RANKS, NODES))
    edges = np.concatenate([[-np.inf], (NODES[1:] + NODES[:-1]) / 2, [np.inf]])
    below = np.interp(edges, values, RANKS, left=0.0, right=1.0)
    tilt = np.diff(below) / np.maximum(WEIGHTS, 1e-30)
    normalized: Array = tilt / max(float(WEIGHTS @ tilt), 1e-300)
    return normalized


class GlobalPoolingRule(Rule):
    layers = (pooling._GlobalMaxPooling, pooling._GlobalAveragePooling)

    def expected(self, layer: Any, context: Context, given: Field) -> Expected:
        after = (1,) * layer.rank if layer.keepdims else ()
        if isinstance(layer, pooling._GlobalAveragePooling):
            return averaged_over_all(given, after)
        grid, n = given.grid, math.prod(given.grid)
        level, values = largest_of(given, n)
        tilt = _tilt_to_largest(given, n)

        def pull(g: Gradient) -> list[Gradient]:
            even = Gradient.even(np.full(grid, g.second / n))
            return [Gradient(even.moments, tilt, given.latent)]

        moments = np.broadcast_to(level.reshape(4, *(1,) * len(after)), (4, *after))
        return Expected(field(moments, given.units, values), pull)

    def through(
        self,
        layer: Any,
        context: Context,
        fields: Sequence[Field],
        other: Field,
        crosses: Sequence[Common],
    ) -> Array:
        if isinstance(layer, pooling._GlobalAveragePooling) and not layer.keepdims:
            return mean_in_common(fields[0], other, crosses[0])
        return super().through(layer, context, fields, other, crosses)


def mean_in_common(given: Field, other: Field, common: Common) -> Array:
    """E[x y] of the mean over all positions, and of entries of another tensor."""
    moments, n = shared_by(given, other, common), math.prod(given.grid)
    if other.grid == given.grid:
        moments = moments[:2] / n + (1 - 1 / n) * moments[2:]
    elif other.grid == ():
        moments = moments[:2].reshape(2, -1).mean(1)
    else:
        raise NoTheory("a mean over other positions")
    return np.concatenate([moments, moments])


def averaged_over_all(given: Field, after: Size) -> Expected:
    """The mean over all positions; ``after`` are the sizes of those that remain."""
    grid, n = given.grid, math.prod(given.grid)
    same, inputs, places, both = given.moments.reshape(4, -1).mean(1)
    first = same / n + (1 - 1 / n) * places
    second = inputs / n + (1 - 1 / n) * both
    moments = np.array([first, second, first, second]).reshape(4, *after)
    return Expected(
        normal(moments, np.array(given.mean), given.units),
        lambda g: [Gradient(np.full((2, *grid), g.second / n**2))],
    )
