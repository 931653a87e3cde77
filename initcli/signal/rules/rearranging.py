"""Rules of layers that move entries: reshaping, padding, repeating."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np

from initcli.layers import preprocessing, reshaping
from initcli.layers.base import per_axis
from initcli.signal import arrays
from initcli.signal.field import Field, field, moments_of
from initcli.signal.grid import cells, coarse
from initcli.signal.rules.base import (
    Context,
    EntrywiseRule,
    Expected,
    Gradient,
    NoTheory,
    Rule,
    by_moment,
    grids,
    unchanged,
)
from initcli.signal.rules.layout import laid
from initcli.signal.rules.windows import Sliding, WindowRule, moved
from initcli.types import Array, Size


class ReshapeRule(EntrywiseRule):
    layers = (reshaping.Flatten, reshaping.Reshape)

    def expected(self, layer: Any, context: Context, given: Field) -> Expected:
        return reshaped(given, context.inputs[0][1:], context.outputs[0][1:])


class PermuteRule(EntrywiseRule):
    layers = (reshaping.Permute,)

    def expected(self, layer: reshaping.Permute, context: Context, given: Field) -> Expected:
        return permuted(given, [axis - 1 for axis in layer.dims])


def permuted(given: Field, order: Sequence[int]) -> Expected:
    """The same entries with the axes in another order, counted from 0 without the batch."""
    rank = len(order)
    units = {axis + rank for axis in given.axes}
    axes = tuple(place - rank for place, axis in enumerate(order) if axis in units)
    grid = [axis for axis in range(rank) if axis not in units]
    moves = [1 + grid.index(axis) for axis in order if axis not in units]
    if moves == sorted(moves) and axes == given.axes:
        return unchanged(given)
    # Entries move to other positions, so that they have another latent variable.
    moments = given.moments.transpose(0, *moves)
    output = field(moments, given.units, given.profile, pinned=given.pinned)
    back = np.argsort([0, *moves])
    return Expected(output, lambda g: [Gradient(g.moments.transpose(back))], axes)


def reshaped(given: Field, shape: Size, target: Size) -> Expected:
    """The same entries, in the same order, on other axes.

    Axes form groups with equal numbers of entries before and after. A group of units becomes units,
    a group of positions becomes positions, and a group with both becomes units.
    """
    rank = len(shape)
    units = {axis + rank for axis in given.axes}
    joined, axes = set[int](), set[int]()
    for before, after in _groups(shape, target):
        if units.intersection(before):
            joined.update(before)
            axes.update(after)
    step = laid(given, shape, tuple(sorted(axis - rank for axis in joined)))
    inside = step.output
    sizes = tuple(size for axis, size in enumerate(target) if axis not in axes)
    grid = cells(sizes)

    def move(y: Field) -> Expected:
        is_same = grid == y.grid
        output = msgspec.structs.replace(
            y,
            second=_rearranged(y.second[None], grid)[0],
            ratios=_rearranged(y.ratios, grid),
            sizes=coarse(sizes),
            lags=y.lags if is_same else None,
            near=y.near if is_same else None,
            parts=y.parts if is_same else None,
            entangled=False,
        )

        def pull(g: Gradient) -> list[Gradient]:
            if is_same:
                return [g]
            return [Gradient(_rearranged(g.moments, inside.grid), g.tilt, g.latent)]

        return Expected(output, pull)

    return step.then(move)._replace(axes=tuple(sorted(axis - len(target) for axis in axes)))


def _rearranged(moments: Array, grid: Size) -> Array:
    """Moments (n, positions…) on other axes; the mean, if the number of cells differs."""
    flat = moments.reshape(len(moments), -1)
    if flat.shape[1] != math.prod(grid):
        flat = np.repeat(flat.mean(1, keepdims=True), math.prod(grid), 1)
    return flat.reshape(-1, *grid)


def _groups(shape: Size, target: Size) -> Iterator[tuple[list[int], list[int]]]:
    """The smallest groups of axes with equal numbers of entries before and after.

    Other axes of size 1 are groups of their own.
    """
    before, after = list(range(len(shape))), list(range(len(target)))
    while before or after:
        one, two = before[:1], after[:1]
        if one and shape[one[0]] == 1 and not (two and target[two[0]] == 1):
            yield [before.pop(0)], []
            continue
        if two and target[two[0]] == 1 and not (one and shape[one[0]] == 1):
            yield [], [after.pop(0)]
            continue
        before, after = before[1:], after[1:]
        m, n = shape[one[0]], target[two[0]]
        while m != n:
            grows, rest, sizes = (one, before, shape) if m < n else (two, after, target)
            size = sizes[rest[0]]
            m, n = (m * size, n) if m < n else (m, n * size)
            grows.append(rest.pop(0))
        yield one, two


class PreprocessingRule(Rule):
    """Entries of the input, with another number of them."""

    layers = (preprocessing.Preprocessing,)

    def expected(self, layer: Any, context: Context, given: Field) -> Expected:
        before, after = context.inputs[0][1:], context.outputs[0][1:]
        if before == after:
            return unchanged(given)
        axes = self.axes(layer, context, given)
        sizes = tuple(size for axis, size in enumerate(after, -len(after)) if axis not in axes)
        grid = cells(sizes)
        mean = by_moment(given.moments.reshape(4, -1).mean(1), grid)
        moments = np.broadcast_to(mean, (4, *grid))
        units = math.prod(after) // max(math.prod(sizes), 1)
        more = math.prod(after) / max(math.prod(before), 1)
        return Expected(
            field(moments, units, given.profile),
            lambda g: [Gradient.even(np.full(given.grid, more * g.second))],
        )


class RepeatVectorRule(Rule):
    layers = (reshaping.RepeatVector,)

    def expected(self, layer: reshaping.RepeatVector, context: Context, given: Field) -> Expected:
        same, inputs = (float(each.mean()) for each in given.moments[:2])
        moments = moments_of(cells((layer.n,)), same, inputs, same, inputs)
        output = field(moments, given.units, given.profile, pinned=given.pinned)
        return Expected(output, lambda g: [g.folded((), layer.n)])


class EndsRule(WindowRule):
    """Padding with zeros, and cropping."""

    layers = (reshaping._Ends,)

    def expected(self, layer: Any, context: Context, given: Field) -> Expected:
        is_padding = isinstance(layer, reshaping._ZeroPadding)
        argument = "padding" if is_padding else "cropping"
        around = reshaping.each_end(getattr(layer, argument), layer.rank, argument)
        sign = 1 if is_padding else -1
        before, after = grids(layer, context)
        slid = moved(before, after, [(sign * a, sign * b) for a, b in around])
        # Two positions may both be zeros.
        n, m = (max(math.prod(each) - 1, 1) for each in (before, after))
        alone = (1, 1, *[min(n / m, 1.0)] * 2), (1, 1, *[min(m / n, 1.0)] * 2)
        to_output, to_input = (by_moment(each, before) for each in alone)

        def pull(g: Gradient) -> list[Gradient]:
            return [g.with_moments(slid.unboxed(g.moments) * to_input)]

        moments = slid.box(given.moments) * to_output
        output = field(moments, given.units, given.profile, given.latent, given.pinned)
        return Expected(output, pull)


class UpSamplingRule(WindowRule):
    layers = (reshaping.UpSampling1D, reshaping._UpSampling)

    def expected(self, layer: Any, context: Context, given: Field) -> Expected:
        if getattr(layer, "interpolation", "nearest") != "nearest":
            raise NoTheory("interpolation")
        rank = len(given.grid)
        times = per_axis(layer.size, rank, "size")
        before, after = grids(layer, context)
        window = arrays.Window(times, (1,) * rank, ((0, 0),) * rank)
        slid = Sliding(after, before, times, window)
        moments = slid.unboxed(given.moments)
        output = field(moments, given.units, given.profile, given.latent, given.pinned)
        n = math.prod(times)

        def pull(g: Gradient) -> list[Gradient]:
            sums = slid.box(g.moments)
            sums[:2] += (n - 1) * sums[2:]
            sums[2:] *= n
            return [g.with_moments(sums)]

        return Expected(output, pull)
