"""Rules of pooling, and sums over windows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from initcli.layers import pooling
from initcli.layers.spatial import ends
from initcli.signal import arrays
from initcli.signal.field import (
    Field,
    by_position,
    field,
    latent_correlations,
    near_correlation,
    next_sizes,
    normal,
    with_neighbors,
)
from initcli.signal.grid import Axis, applied, cells, edges
from initcli.signal.hermite import NODES, RANKS, TINY, WEIGHTS, products, profile_of
from initcli.signal.joint import Cross, cross_moments
from initcli.signal.rules.base import (
    Context,
    Expected,
    Gradient,
    Met,
    NoTheory,
    Room,
    Rule,
    channels_and_grid,
)
from initcli.types import Array, Size

_COARSE = slice(2, None, 5)
_MOST = 0.9999
"""The largest correlation of entries of which one is the largest."""
_MAX_SUMMED = 10**7
"""Window entries that are added up one by one, over all positions of the window."""
_PLACES = 8
"""Parts of a long window that meet an entry equally often."""
_MAX_PAIRS = 10**6
"""Windows that are tried for whether they share their largest entry with another."""
_MAX_COUNTS = 40
"""Numbers of entries for which the largest is worked out."""


class Sliding:
    """How a window slides over positions of those sizes, to outputs of those.

    Moments are of cells, as in :mod:`initcli.signal.grid`. Where all positions are cells of their
    own, and the windows have few places, entries are added up place by place.
    """

    def __init__(self, grid: Size, outputs: Size, size: Size, window: arrays.Window) -> None:
        self.grid, self.outputs = grid, outputs
        inner = arrays.reach(grid, size, window)
        self.size, self.window = inner.size, inner.window
        self.is_direct = (
            cells(grid) == grid
            and cells(outputs) == outputs
            and math.prod(self.size) * math.prod(outputs) <= _MAX_SUMMED
        )

    @cached_property
    def axes(self) -> list[Axis]:
        """The axes one by one."""
        w, rank = self.window, len(self.grid)
        starts = (before for before, _ in w.padding)
        axes = zip(
            *(self.grid, self.outputs, self.size, w.strides, w.dilation, starts), strict=True
        )
        return [Axis(n, m, rank, *slid) for n, m, *slid in axes]

    @cached_property
    def _counts(self) -> list[Array]:
        return [axis.counts() for axis in self.axes]

    @cached_property
    def _pairs(self) -> list[Array]:
        """The counts, weighed by the share of the windows in which a place meets an entry."""
        weighed = []
        for axis, k, m in zip(self.axes, self.size, self.outputs, strict=True):
            ends = np.unique(np.linspace(0, k, min(k, _PLACES) + 1).astype(int))
            parts = [(axis.counts(a, b), b - a) for a, b in pairwise(ends.tolist())]
            weighed.append(sum(part * (part.sum() / (m * n)) for part, n in parts))
        return weighed

    def box(self, moments: Array) -> Array:
        """The sums of moments (any number, positions…) over the window."""
        if not self.is_direct:
            return self._over(self._counts, moments)
        ones = np.ones((*self.size, 1, 1))
        sums: Array = arrays.correlate(moments[..., None], ones, self.window)[..., 0]
        return sums

    def unboxed(self, moments: Array) -> Array:
        """The transpose of :meth:`box`."""
        if not self.is_direct:
            pairs = zip(self.axes, self._counts, strict=True)
            return applied([axis.back(counts) for axis, counts in pairs], moments)
        ones = np.ones((*self.size, 1, 1))
        spread: Array = arrays.spread(moments[..., None], ones, self.window, self.grid)[..., 0]
        return spread

    def box_of_pairs(self, moments: Array, sizes: Array) -> Array:
        """The sums of moments of two positions, at both of which a place meets an entry.

        ``sizes`` are those of the entries at each position.
        """
        if not self.is_direct:
            return self._over(self._pairs, moments)
        # How large the entries are that a place meets in any window, relative to all.
        windows = np.ones((1, *self.outputs, 1))
        met = arrays.weigh(sizes[None, ..., None], windows, self.window, (*self.size, 1, 1))
        met /= max(float(sizes.mean()) * math.prod(self.outputs), TINY)
        sums: Array = arrays.correlate(moments[..., None], met, self.window)[..., 0]
        return sums

    def of_window(self, near: Any, any_two: Any) -> Any:
        """What holds for two entries of a window, by that of neighbors and of any two entries."""
        share = (math.prod(self.size) - 1) / max(math.prod(self.grid) - 1, 1)
        return (1 - share) * near + share * any_two

    def largest(self, second: Array) -> Array:
        """The largest of each window."""
        if self.is_direct:
            most: Array = arrays.largest(second[None, ..., None], self.size, self.window)
            return most[0, ..., 0]
        for axis, counts in enumerate(self._counts):
            moved = np.moveaxis(second, axis, 0)
            rows = [moved[row > 0].max(0) for row in counts]
            second = np.moveaxis(np.array(rows), 0, axis)
        return second

    def _over(self, counts: list[Array], moments: Array) -> Array:
        pairs = zip(self.axes, counts, strict=True)
        return applied([axis.over(each) for axis, each in pairs], moments)


def moved(grid: Size, outputs: Size, padding: Sequence[tuple[int, int]]) -> Sliding:
    """Each position to itself, with zeros around them, or where negative without the outer ones."""
    every = (1,) * len(grid)
    return Sliding(grid, outputs, every, arrays.Window(every, every, tuple(padding)))


class WindowRule(Rule):
    """The base of rules of windows, which may need a matrix of all cells along each axis."""

    def room(self, layer: Any, context: Context) -> Room:
        (_, before), (_, after) = (
            channels_and_grid(shape, getattr(layer, "data_format", None))
            for shape in (context.inputs[0], context.outputs[0])
        )
        lengths = [
            math.prod(len(edges(n, len(before))) for n in pair)
            for pair in zip(before, after, strict=False)
        ]
        is_coarse = cells(before) != before or cells(after) != after
        matrices = Room(2.0 * sum(lengths), 10.0 * max(lengths, default=0))
        whole = super().room(layer, context)
        return whole.plus(matrices) if is_coarse else whole


class PoolingRule(WindowRule):
    layers = (pooling._MaxPooling, pooling._AveragePooling)

    def expected(self, layer: Any, context: Context, given: Field) -> Expected:
        _, grid = channels_and_grid(context.inputs[0], layer.data_format)
        _, outputs = channels_and_grid(context.outputs[0], layer.data_format)
        size, strides = layer.window, layer.steps
        every = (1,) * layer.rank
        window = arrays.Window(strides, every, ends(grid, size, strides, every, layer.padding))
        slid = Sliding(grid, outputs, size, window)
        if isinstance(layer, pooling._MaxPooling):
            return _largest(given, slid)
        return _averaged(given, slid)

    def through(self, layer: Any, context: Context, met: Met) -> Array:
        (given, *_), grid = met.fields, met.other.grid
        same = context.inputs[0] == context.outputs[0] and given.grid == grid
        if isinstance(layer, pooling._MaxPooling) or not same or len(grid) != layer.rank:
            return super().through(layer, context, met)
        every = (1,) * layer.rank
        window = arrays.Window(every, every, ends(grid, layer.window, every, every, layer.padding))
        n = Sliding(grid, grid, layer.window, window).box(np.ones((1, *grid)))
        moments = cross_moments(given, met.other, met.crosses[0])
        return np.concatenate([moments[:2] / n + (1 - 1 / n) * moments[2:], moments[2:]])


def _averaged(given: Field, slid: Sliding) -> Expected:
    count = slid.box(np.ones((1, *given.grid)))
    n = count[0]
    same, inputs, places, both = slid.box(given.moments) / count
    near = places
    if given.near is not None:
        sizes = next_sizes(given.second)
        cosine = float((sizes * given.near).sum() / max(float(sizes.sum()), TINY))
        near = slid.of_window(cosine * same, places)
    across = _of_two_examples(near, inputs, places, both)
    moments = np.stack(
        [same / n + (1 - 1 / n) * near, inputs / n + (1 - 1 / n) * across, places, both]
    )
    means = slid.box(given.means[None])[0] / n

    def pull(g: Gradient) -> list[Gradient]:
        return [_among(_shared_out(g.moments, n, slid), g, slid)]

    return Expected(with_neighbors(normal(moments, means, given.units), near), pull)


def _of_two_examples(near: Any, inputs: Any, places: Any, both: Any) -> Any:
    """What two examples have in common at positions beside one another.

    ``near`` is what those have in common in one example, and the others are the three pairs.
    """
    share = np.divide(both, places, out=np.ones_like(both), where=places > TINY)
    return np.minimum(np.maximum(near * np.clip(share, 0, 1), both), np.minimum(near, inputs))


def _shared_out(moments: Array, n: Array, slid: Sliding) -> Array:
    """E[g²] and E[g g'] of two examples, where all n entries of a window get the same share."""
    # An entry has a share of the gradient of every window that it stands in.
    apart = slid.unboxed((moments[:2] - moments[2:]) / n**2)
    common = slid.unboxed(np.sign(moments[2:]) * np.sqrt(np.abs(moments[2:])) / n)
    shared: Array = apart + common * np.abs(common)
    return shared


def _largest(given: Field, slid: Sliding) -> Expected:
    count = slid.box(np.ones((1, *given.grid)))
    n = count[0]
    # A window with entries that are 0, as at padded borders, counts as one with fewer entries.
    most = slid.largest(given.second)
    mean = slid.box(given.moments[:1])[0] / n
    entries = np.maximum(np.rint(n * mean / np.maximum(most, TINY)), 1)
    if len(np.unique(entries)) > _MAX_COUNTS:
        entries = np.rint(2 ** (np.rint(4 * np.log2(entries)) / 4))
    moments, second = np.empty((4, *entries.shape)), np.empty(entries.shape)
    near = np.empty(entries.shape)
    any_two = latent_correlations(given)[1]
    beside = slid.of_window(near_correlation(given), float(any_two.mean()))
    beside = min(max(beside, 0.0), _MOST)
    profiles, shares = [], []
    for number in np.unique(entries):
        level, values = largest_of(given, int(number), beside)
        moments[:, entries == number] = level[:4, None] / level[0]
        near[entries == number] = level[4] / level[0]
        second[entries == number] = level[0]
        profiles.append(values)
        shares.append(WEIGHTS * float(np.mean(entries == number)))
    sizes = by_position(second * most / max(given.mean_square, TINY))
    moments *= sizes
    values = profile_of(np.concatenate(profiles), np.concatenate(shares))
    tilt = _tilt_to_largest(given, int(np.rint(entries.mean())), beside)
    output = field(moments, given.units, values)
    windows, positions = math.prod(slid.outputs), max(math.prod(slid.grid), 1)
    again = _won_again(slid.size, slid.window.strides) * windows / positions

    def pull(g: Gradient) -> list[Gradient]:
        # The largest entry of another example is any.
        back = _shared_out(g.moments, n, slid)
        back[0] = slid.unboxed(g.moments[:1] / count)[0]
        # Windows that overlap may share their largest entry, which gets the sum of theirs.
        back[0] *= max(1 + again * g.cross / max(float(back[0].mean()), TINY), 0.0)
        return [Gradient(_among(back, g, slid).moments, tilt, given.latent)]

    return Expected(with_neighbors(output, near * sizes[0]), pull)


def _won_again(size: Size, strides: Size) -> float:
    """How many other windows have the same largest entry as a window.

    With m entries in common, two windows of n entries share it with probability m / (2n − m).
    """
    n = math.prod(size)
    most = int(_MAX_PAIRS ** (1 / len(size)))
    common, times = np.ones(()), 1.0
    for k, stride in zip(size, strides, strict=True):
        offsets = np.arange(-((k - 1) // stride) * stride, k, stride)
        # Of many windows some stand for all.
        taken = offsets[np.linspace(0, len(offsets) - 1, min(len(offsets), most)).astype(int)]
        times *= len(offsets) / len(taken)
        common = np.multiply.outer(common, k - np.abs(taken))
    total = float(np.sum(common / (2 * n - common)))
    return max(total * times - 1.0, 0.0)


def _among(moments: Array, g: Gradient, slid: Sliding) -> Gradient:
    """A gradient with that E[g²] and E[g g'] of two examples, which sums up to as much as g."""
    entries, windows = math.prod(slid.grid), math.prod(slid.outputs)
    before, after = (each.reshape(len(each), -1).mean(1) for each in (g.moments, moments))
    whole = windows * before[:2] + windows * (windows - 1) * before[2:]
    apart = (whole - entries * after) / max(entries * (entries - 1), 1)
    levels = np.multiply.outer(apart, np.ones(moments.shape[1:]))
    return Gradient(np.concatenate([moments, levels]))


def largest_of(given: Field, n: int, near: float) -> tuple[Array, Array]:
    """Moments and profile of the largest of n entries of a window.

    The normal numbers behind the entries share a part with all examples, and another within an
    example; ``near`` is their correlation. Of the rest of n entries the largest has the
    distribution Φⁿ. The moments are those of a field, and that of two windows beside one another.
    """
    inputs, places, both = np.clip(latent_correlations(given).reshape(3, -1).mean(1), 0.0, _MOST)
    both = min(both, places, inputs)
    across = float(_of_two_examples(near, inputs, places, both))
    alone = np.interp(RANKS ** (1 / n), RANKS, NODES)
    mean = float(WEIGHTS @ alone)
    spread = math.sqrt(max(float(WEIGHTS @ (alone * alone)) - mean * mean, TINY))
    values = _latents_of_largest(near, alone)
    variance = near + (1 - near) * spread**2
    # Of what two examples share in the rest, the largest entry may be another in each.
    share = min(max((inputs - across) / max(1 - near, 1e-9), 0.0), 1.0)
    kept = share * ((1 - share) / (n * spread**2) + share) if n > 1 else share
    shared = np.array([across + (1 - near) * spread**2 * kept, places, both, near]) / variance
    size = math.sqrt(given.mean_square)
    whole = size * np.interp(values, NODES, np.sort(given.profile))
    return products(whole, whole, np.append(1.0, np.clip(shared, 0, 1))), whole


def _latents_of_largest(near: float, alone: Array) -> Array:
    """The normal number behind the largest entry, as a rising function of another."""
    common = math.sqrt(near) * NODES[_COARSE, None]
    own = math.sqrt(1 - near) * alone[None, _COARSE]
    weights = np.multiply.outer(WEIGHTS[_COARSE], WEIGHTS[_COARSE]).ravel()
    return profile_of((common + own).ravel(), weights)


def _tilt_to_largest(given: Field, n: int, near: float) -> Array | None:
    """How much more probable each normal number is behind the largest of n entries.

    None where the entries do not rise with the number behind them.
    """
    if n <= 1 or np.any(np.diff(given.profile) < 0):
        return None
    values = _latents_of_largest(near, np.interp(RANKS ** (1 / n), RANKS, NODES))
    edges = np.concatenate([[-np.inf], (NODES[1:] + NODES[:-1]) / 2, [np.inf]])
    below = np.interp(edges, values, RANKS, left=0.0, right=1.0)
    tilt = np.diff(below) / np.maximum(WEIGHTS, 1e-30)
    normalized: Array = tilt / max(float(WEIGHTS @ tilt), TINY)
    return normalized


class GlobalPoolingRule(Rule):
    layers = (pooling._GlobalMaxPooling, pooling._GlobalAveragePooling)

    def expected(self, layer: Any, context: Context, given: Field) -> Expected:
        after = (1,) * layer.rank if layer.keepdims else ()
        if isinstance(layer, pooling._GlobalAveragePooling):
            return averaged_over_all(given, after)
        grid, n = given.grid, given.positions
        any_two = float(np.clip(latent_correlations(given)[1].mean(), 0.0, _MOST))
        level, values = largest_of(given, n, any_two)
        tilt = _tilt_to_largest(given, n, any_two)

        def pull(g: Gradient) -> list[Gradient]:
            same, inputs = g.moments.reshape(4, -1).mean(1)[:2]
            levels = np.array([same / n, inputs / n**2, 0.0, inputs / n**2])
            moments = np.multiply.outer(levels, np.ones(grid))
            return [Gradient(moments, tilt, given.latent)]

        moments = np.broadcast_to(level[:4].reshape(4, *(1,) * len(after)), (4, *after))
        return Expected(field(moments, given.units, values), pull)

    def through(self, layer: Any, context: Context, met: Met) -> Array:
        if isinstance(layer, pooling._GlobalAveragePooling) and not layer.keepdims:
            return mean_in_common(met.fields[0], met.other, met.crosses[0])
        return super().through(layer, context, met)


def mean_in_common(given: Field, other: Field, common: Cross) -> Array:
    """E[x y] of the mean over all positions, and of entries of another tensor."""
    moments, n = cross_moments(given, other, common), given.positions
    if other.grid == given.grid:
        moments = moments[:2] / n + (1 - 1 / n) * moments[2:]
    elif other.grid == ():
        moments = moments[:2].reshape(2, -1).mean(1)
    else:
        raise NoTheory("a mean over other positions")
    return np.concatenate([moments, moments])


def averaged_over_all(given: Field, after: Size) -> Expected:
    """The mean over all positions; ``after`` are the sizes of those that remain."""
    grid, n = given.grid, given.positions
    same, inputs, places, both = given.moments.reshape(4, -1).mean(1)
    first = same / n + (1 - 1 / n) * places
    second = inputs / n + (1 - 1 / n) * both
    moments = np.array([first, second, first, second]).reshape(4, *after)

    def pull(g: Gradient) -> list[Gradient]:
        levels = np.tile(g.moments.reshape(4, -1).mean(1)[:2] / n**2, 2)
        return [Gradient(np.multiply.outer(levels, np.ones(grid)))]

    return Expected(normal(moments, np.array(given.mean), given.units), pull)
