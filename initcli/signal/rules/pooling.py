"""Rules of pooling layers."""

from __future__ import annotations

import math
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
    moments_of,
    near_correlation,
    next_sizes,
    normal,
    with_neighbors,
)
from initcli.signal.hermite import NODES, RANKS, TINY, WEIGHTS, products, profile_of
from initcli.signal.joint import Cross, cross_moments
from initcli.signal.rules.base import (
    Context,
    Expected,
    Gradient,
    Met,
    NoTheory,
    Rule,
    by_moment,
    grids,
)
from initcli.signal.rules.windows import Sliding, WindowRule
from initcli.types import Array, Size

_COARSE = slice(2, None, 5)
_MOST = 0.9999
"""The largest correlation of two entries of a window."""
_MAX_PAIRS = 10**6
"""The largest number of offsets of windows to compare."""
_MAX_COUNTS = 40
"""The largest number of different window sizes to compute a maximum for."""


class PoolingRule(WindowRule):
    layers = (pooling._MaxPooling, pooling._AveragePooling)

    def expected(self, layer: Any, context: Context, given: Field) -> Expected:
        grid, outputs = grids(layer, context)
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
    """E[x x'] of two examples at adjacent positions.

    ``near`` is that of one example, and the others are the moments of the three pairs.
    """
    share = np.divide(both, places, out=np.ones_like(both), where=places > TINY)
    return np.minimum(np.maximum(near * np.clip(share, 0, 1), both), np.minimum(near, inputs))


def _shared_out(moments: Array, n: Array, slid: Sliding) -> Array:
    """E[g²] and E[g g'] of two examples, if n entries of a window share its gradient equally."""
    # An entry gets a share of the gradient of every window that contains it.
    apart = slid.unboxed((moments[:2] - moments[2:]) / n**2)
    common = slid.unboxed(np.sign(moments[2:]) * np.sqrt(np.abs(moments[2:])) / n)
    shared: Array = apart + common * np.abs(common)
    return shared


def _largest(given: Field, slid: Sliding) -> Expected:
    count = slid.box(np.ones((1, *given.grid)))
    n = count[0]
    # Zeros, such as those of a padded border, do not count as entries of a window.
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
        # The maximum of another example is at a random place.
        back = _shared_out(g.moments, n, slid)
        back[0] = slid.unboxed(g.moments[:1] / count)[0]
        # Overlapping windows may share their maximum, which then gets the sum of their gradients.
        back[0] *= max(1 + again * g.cross / max(float(back[0].mean()), TINY), 0.0)
        return [Gradient(_among(back, g, slid).moments, tilt, given.latent)]

    return Expected(with_neighbors(output, near * sizes[0]), pull)


def _won_again(size: Size, strides: Size) -> float:
    """The mean number of other windows with the same maximum as a window.

    Two windows of n entries with m common entries share it with probability m / (2n − m).
    """
    n = math.prod(size)
    most = int(_MAX_PAIRS ** (1 / len(size)))
    common, times = np.ones(()), 1.0
    for k, stride in zip(size, strides, strict=True):
        offsets = np.arange(-((k - 1) // stride) * stride, k, stride)
        # Take a sample of many windows.
        taken = offsets[np.linspace(0, len(offsets) - 1, min(len(offsets), most)).astype(int)]
        times *= len(offsets) / len(taken)
        common = np.multiply.outer(common, k - np.abs(taken))
    total = float(np.sum(common / (2 * n - common)))
    return max(total * times - 1.0, 0.0)


def _among(moments: Array, g: Gradient, slid: Sliding) -> Gradient:
    """The gradient with these E[g²] and E[g g'] of two examples, whose sum is that of g."""
    entries, windows = math.prod(slid.grid), math.prod(slid.outputs)
    before, after = (each.reshape(len(each), -1).mean(1) for each in (g.moments, moments))
    whole = windows * before[:2] + windows * (windows - 1) * before[2:]
    apart = (whole - entries * after) / max(entries * (entries - 1), 1)
    levels = np.multiply.outer(apart, np.ones(moments.shape[1:]))
    return Gradient(np.concatenate([moments, levels]))


def largest_of(given: Field, n: int, near: float) -> tuple[Array, Array]:
    """Moments and profile of the maximum of n entries of a window.

    The latent variables of the entries have the correlation ``near``. One part of them is common to
    all examples, another to the entries of an example, and the maximum of the independent rest has
    the distribution Φⁿ. The moments are those of a field, then E[x x'] of two adjacent windows.
    """
    inputs, places, both = np.clip(latent_correlations(given).reshape(3, -1).mean(1), 0.0, _MOST)
    both = min(both, places, inputs)
    across = float(_of_two_examples(near, inputs, places, both))
    alone = np.interp(RANKS ** (1 / n), RANKS, NODES)
    mean = float(WEIGHTS @ alone)
    spread = math.sqrt(max(float(WEIGHTS @ (alone * alone)) - mean * mean, TINY))
    values = _latents_of_largest(near, alone)
    variance = near + (1 - near) * spread**2
    # The maximum of two examples may be at different places.
    share = min(max((inputs - across) / max(1 - near, 1e-9), 0.0), 1.0)
    kept = share * ((1 - share) / (n * spread**2) + share) if n > 1 else share
    shared = np.array([across + (1 - near) * spread**2 * kept, places, both, near]) / variance
    size = math.sqrt(given.mean_square)
    whole = size * np.interp(values, NODES, np.sort(given.profile))
    return products(whole, whole, np.append(1.0, np.clip(shared, 0, 1))), whole


def _latents_of_largest(near: float, alone: Array) -> Array:
    """The latent variable of the maximum, as a rising function of a standard normal variable."""
    common = math.sqrt(near) * NODES[_COARSE, None]
    own = math.sqrt(1 - near) * alone[None, _COARSE]
    weights = np.multiply.outer(WEIGHTS[_COARSE], WEIGHTS[_COARSE]).ravel()
    return profile_of((common + own).ravel(), weights)


def _tilt_to_largest(given: Field, n: int, near: float) -> Array | None:
    """The density of the latent variable of the maximum of n entries, relative to a normal one.

    None where the profile does not rise.
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

        moments = np.broadcast_to(by_moment(level[:4], after), (4, *after))
        return Expected(field(moments, given.units, values), pull)

    def through(self, layer: Any, context: Context, met: Met) -> Array:
        if isinstance(layer, pooling._GlobalAveragePooling) and not layer.keepdims:
            return mean_in_common(met.fields[0], met.other, met.crosses[0])
        return super().through(layer, context, met)


def mean_in_common(given: Field, other: Field, common: Cross) -> Array:
    """The cross moments of the mean over all positions and another tensor."""
    moments, n = cross_moments(given, other, common), given.positions
    if other.grid == given.grid:
        moments = moments[:2] / n + (1 - 1 / n) * moments[2:]
    elif other.grid == ():
        moments = moments[:2].reshape(2, -1).mean(1)
    else:
        raise NoTheory("a mean and a tensor with different positions")
    return np.concatenate([moments, moments])


def averaged_over_all(given: Field, after: Size) -> Expected:
    """The mean over all positions; ``after`` are the sizes of the remaining axes."""
    grid, n = given.grid, given.positions
    same, inputs, places, both = given.moments.reshape(4, -1).mean(1)
    first = same / n + (1 - 1 / n) * places
    second = inputs / n + (1 - 1 / n) * both
    moments = moments_of(after, first, second, first, second)

    def pull(g: Gradient) -> list[Gradient]:
        levels = np.tile(g.moments.reshape(4, -1).mean(1)[:2] / n**2, 2)
        return [Gradient(np.multiply.outer(levels, np.ones(grid)))]

    return Expected(normal(moments, np.array(given.mean), given.units), pull)
