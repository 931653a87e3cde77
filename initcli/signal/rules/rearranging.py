"""Rules of layers that keep entries and move them: reshaping, padding, repeating."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np

from initcli.layers import preprocessing, reshaping
from initcli.layers.base import per_axis
from initcli.signal import arrays
from initcli.signal.field import Field, field
from initcli.signal.rules.base import (
    Expected,
    Gradient,
    NoTheory,
    Place,
    expected,
    then,
    unchanged,
)
from initcli.signal.rules.layout import as_given, feature_axes, laid
from initcli.signal.rules.windows import box
from initcli.types import Size

for _kind in (reshaping.Flatten, reshaping.Reshape, reshaping.Permute):
    feature_axes.register(_kind, as_given)


@expected.register(reshaping.Flatten)
@expected.register(reshaping.Reshape)
def _(layer: Any, place: Place, given: Field) -> Expected:
    return reshaped(given, place.inputs[0][1:], place.outputs[0][1:])


@expected.register
def _(layer: reshaping.Permute, place: Place, given: Field) -> Expected:
    return permuted(given, [axis - 1 for axis in layer.dims])


def permuted(given: Field, order: Sequence[int]) -> Expected:
    """The same entries with the axes beside the batch in another order, counted from 0."""
    rank = len(order)
    units = {axis + rank for axis in given.axes}
    axes = tuple(place - rank for place, axis in enumerate(order) if axis in units)
    grid = [axis for axis in range(rank) if axis not in units]
    moves = [1 + grid.index(axis) for axis in order if axis not in units]
    if moves == sorted(moves) and axes == given.axes:
        return unchanged(given)
    moments = given.moments.transpose(0, *moves)
    # Entries that have moved are not functions of the numbers that now stand beside them.
    found = field(moments, given.units, given.profile, pinned=given.pinned)
    return_ = np.argsort([0, *moves])
    return Expected(found, lambda g: [Gradient(g.moments.transpose(return_))], axes)


def reshaped(given: Field, shape: Size, target: Size) -> Expected:
    """The same entries, in the same order, on other axes.

    Axes fall into groups, each of as many entries before as after. A group of units alone remains
    one, as does one of positions. Where positions and units become one axis they are all units.
    """
    rank = len(shape)
    units = {axis + rank for axis in given.axes}
    groups = list(_groups(shape, target))
    joined = set[int]()
    axes = set[int]()
    for before, after in groups:
        if units.intersection(before):
            joined.update(before)
            axes.update(after)
    step = laid(given, shape, tuple(sorted(axis - rank for axis in joined)))
    inside = step.output
    grid = tuple(size for axis, size in enumerate(target) if axis not in axes)

    def move(y: Field) -> Expected:
        found = msgspec.structs.replace(
            y,
            second=y.second.reshape(grid),
            ratios=y.ratios.reshape(3, *grid),
            lags=y.lags if grid == y.grid else None,
            parts=y.parts if grid == y.grid else None,
            entangled=False,
        )

        def pull(g: Gradient) -> list[Gradient | None]:
            lags = g.lags if grid == y.grid else None
            moments = g.moments.reshape(2, *inside.grid)
            return [Gradient(moments, g.tilt, g.latent, lags, g.parts if grid == y.grid else None)]

        return Expected(found, pull)

    output, pull, _ = then(step, move)
    return Expected(output, pull, tuple(sorted(axis - len(target) for axis in axes)))


def _groups(shape: Size, target: Size) -> Iterator[tuple[list[int], list[int]]]:
    """The axes before and after whose entries are the same, as few together as can be.

    Axes of size 1 that are in no group stand alone.
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
        if not one or not two:
            raise NoTheory("another number of entries")
        before, after = before[1:], after[1:]
        m, n = shape[one[0]], target[two[0]]
        while m != n:
            grows, rest, sizes = (one, before, shape) if m < n else (two, after, target)
            if not rest:
                raise NoTheory("another number of entries")
            size = sizes[rest[0]]
            m, n = (m * size, n) if m < n else (m, n * size)
            grows.append(rest.pop(0))
        yield one, two


@expected.register
def _(layer: preprocessing.Preprocessing, place: Place, given: Field) -> Expected:
    """Entries of the input, in another number."""
    before, after = place.inputs[0][1:], place.outputs[0][1:]
    if before == after:
        return unchanged(given)
    rank = len(after)
    axes = feature_axes(layer, place, given)
    grid = tuple(size for axis, size in enumerate(after, -rank) if axis not in axes)
    level = given.moments.reshape(4, -1).mean(1)
    moments = np.broadcast_to(level.reshape(4, *(1,) * len(grid)), (4, *grid))
    units = math.prod(after) // max(math.prod(grid), 1)
    more = math.prod(after) / max(math.prod(before), 1)
    return Expected(
        field(moments.copy(), units, given.profile),
        lambda g: [Gradient.even(np.full(given.grid, more * g.second))],
    )


@expected.register
def _(layer: reshaping.RepeatVector, place: Place, given: Field) -> Expected:
    same, inputs = (float(each.mean()) for each in given.moments[:2])
    moments = np.empty((4, layer.n))
    moments[0] = moments[2] = same
    moments[1] = moments[3] = inputs
    found = field(moments, given.units, given.profile, pinned=given.pinned)
    return Expected(found, lambda g: [g.folded(())])


@expected.register(reshaping._ZeroPadding)
@expected.register(reshaping._Cropping)
@expected.register(reshaping.Cropping1D)
def _(layer: Any, place: Place, given: Field) -> Expected:
    is_padding = isinstance(layer, reshaping._ZeroPadding)
    amount = layer.padding if is_padding else layer.cropping
    around = reshaping.each_end(amount, layer.rank, "padding" if is_padding else "cropping")
    grid = given.grid
    cuts = (slice(None), *(slice(a, n + a) for n, (a, b) in zip(grid, around, strict=True)))
    inner = (slice(None), *(slice(a, n - b) for n, (a, b) in zip(grid, around, strict=True)))
    wide = [(0, 0), *around]
    moments = np.pad(given.moments, wide) if is_padding else given.moments[inner]
    found = field(moments, given.units, given.profile, given.latent, given.pinned)
    if is_padding:
        return Expected(found, lambda g: [g.with_moments(g.moments[cuts])])
    return Expected(found, lambda g: [g.with_moments(np.pad(g.moments, wide))])


@expected.register(reshaping.UpSampling1D)
@expected.register(reshaping._UpSampling)
def _(layer: Any, place: Place, given: Field) -> Expected:
    if getattr(layer, "interpolation", "nearest") != "nearest":
        raise NoTheory("interpolation")
    rank = getattr(layer, "rank", 1)
    times = per_axis(layer.size, rank, "size")
    moments = given.moments
    for axis, more in enumerate(times, 1):
        moments = np.repeat(moments, more, axis)
    found = field(moments, given.units, given.profile, given.latent, given.pinned)
    window = arrays.Window(times, (1,) * rank, ((0, 0),) * rank)
    n = math.prod(times)

    def pull(g: Gradient) -> list[Gradient | None]:
        same, places = (box(each[None], times, window)[0] for each in g.moments)
        return [g.with_moments(np.stack([same + (n - 1) * places, n * places]))]

    return Expected(found, pull)
