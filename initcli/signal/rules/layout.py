"""Conversion of a field to other axes of units.

A field says which axes of its tensor hold units; the others are positions. A rule says which axes
of the inputs must hold units. Where both differ, the field is converted before it is passed to the
rule.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np

from initcli.layers.base import Layer
from initcli.signal.field import Field, field, mean_products
from initcli.signal.grid import cells, coarse
from initcli.signal.joint import Cross
from initcli.signal.rules.base import (
    Axes,
    Context,
    Expected,
    Gradient,
    NoTheory,
    rule_of,
    unchanged,
)
from initcli.types import Array, Size

_NEGLIGIBLE = 0.02
"""The largest fraction of the variance that units may share and still count as independent."""


def predicted(layer: Layer, context: Context, *fields: Field) -> Expected:
    """The output of a layer, for inputs with units on any axes.

    Raises:
        NoTheory: no rule covers the layer, or an input cannot be converted for the rule.
    """
    rule = rule_of(layer)
    axes = rule.axes(layer, context, *fields)
    shapes = [shape[1:] for shape in context.inputs]
    steps = [_padded(each, shape, axes) for each, shape in zip(fields, shapes, strict=True)]
    known = context.common

    def common(i: int, j: int) -> Cross:
        found = known(i, j)
        if found is not None and any(steps[k].output is not fields[k] for k in (i, j)):
            raise NoTheory("cross moments of tensors whose units were moved")
        return found

    context = context._replace(common=common)
    expected = rule.expected(layer, context, *[step.output for step in steps])
    shape = context.outputs[0][1:]
    after = expected.axes
    if after is None:
        after = axes if all(axis >= -len(shape) for axis in axes) else (-1,)
    sizes = tuple(n for axis, n in enumerate(shape, -len(shape)) if axis not in after)
    output = msgspec.structs.replace(expected.output, axes=after, sizes=coarse(sizes))
    if not _fits(output, shape):
        raise NoTheory("an output with other positions")

    def pull(g: Gradient, *others: Gradient) -> list[Gradient]:
        back = expected.pull(g, *others)
        if any(e.grid != step.output.grid for e, step in zip(back, steps, strict=True)):
            raise NoTheory("a gradient with other positions than the input")
        return [step.pull(each)[0] for each, step in zip(back, steps, strict=True)]

    is_laid = all(step.output is each for step, each in zip(steps, fields, strict=True))
    kernel = expected.kernel if is_laid else None
    return expected._replace(output=output, pull=pull, axes=after, kernel=kernel)


def _padded(given: Field, shape: Size, axes: Axes) -> Expected:
    """:func:`laid`, for a tensor that may lack some of the axes; these are added with size 1."""
    missing = max(0, *(-axis - len(shape) for axis in axes)) if axes else 0
    if not missing or given.axes == axes:
        return laid(given, shape, axes)
    more = (1,) * missing
    grid = (*more, *given.grid)
    wide = msgspec.structs.replace(
        given,
        second=given.second.reshape(grid),
        ratios=given.ratios.reshape(3, *grid),
        lags=None,
        near=None,
    )
    step = laid(wide, (*more, *shape), axes)

    def pull(g: Gradient) -> list[Gradient]:
        (back,) = step.pull(g)
        return [Gradient(back.moments.reshape(4, *given.grid), back.tilt, back.latent)]

    return Expected(step.output, pull)


def laid(given: Field, shape: Size, axes: Axes) -> Expected:
    """The same tensor with units on those axes; ``shape`` has no batch.

    Some pairs of positions of a new unit are from one old unit, and keep their E[x x']. Entries of
    different old units are independent except for their means.
    """
    if axes == given.axes:
        return unchanged(given)
    rank = len(shape)
    old, new = ({axis + rank for axis in each} for each in (given.axes, axes))
    if min((*old, *new), default=0) < 0 or not _fits(given, shape):
        raise NoTheory("axes that the input lacks")

    def positions(units: set[int]) -> int:
        return math.prod(size for axis, size in enumerate(shape) if axis not in units)

    same, before, after = positions(old | new), positions(old), positions(new)
    moments = _averaged(given.moments, shape, old, new)
    levels = mean_products(given.means, given.means)
    level = _averaged(levels[2:3], shape, old, new)
    share = (same - 1) / (after - 1) if after > 1 else 1.0
    moments[2:] = share * moments[2:] + (1 - share) * level
    common = float(np.abs(given.moments[2] - levels[2]).mean())
    units = math.prod(shape[axis] for axis in new)
    output = msgspec.structs.replace(
        field(moments, units, given.profile, given.latent, given.pinned),
        axes=axes,
        entangled=any(shape[axis] > 1 for axis in new - old)
        and common > _NEGLIGIBLE * given.mean_square,
    )
    back = (same - 1) / (before - 1) if before > 1 else 1.0

    def pull(g: Gradient) -> list[Gradient]:
        moved = _averaged(g.moments, shape, new, old)
        moved[2:] *= back
        return [Gradient(moved, g.tilt, g.latent)]

    return Expected(output, pull)


def _averaged(values: Array, shape: Size, old: set[int], new: set[int]) -> Array:
    """Convert values from positions on all axes except ``old`` to all except ``new``."""
    before, after = (
        dict(zip(kept, cells(tuple(shape[axis] for axis in kept)), strict=True))
        for kept in (
            [axis for axis in range(len(shape)) if axis not in each] for each in (old, new)
        )
    )
    whole = [before.get(axis, 1) for axis in range(len(shape))]
    # Where the cells of an axis differ, all get the mean.
    other = {axis for axis in after if axis in before and after[axis] != before[axis]}
    mean = values.reshape(len(values), *whole)
    mean = mean.mean(tuple(1 + axis for axis in other), keepdims=True)
    mean = mean.mean(tuple(1 + axis for axis in new))
    return np.broadcast_to(mean, (len(values), *after.values())).copy()


def _fits(given: Field, shape: Size) -> bool:
    """Whether a field fits a tensor of that shape, which has no batch."""
    if not shape:
        # A single number per example is one unit.
        return given.grid == () and given.units == 1
    units = {axis + len(shape) for axis in given.axes}
    grid = tuple(size for axis, size in enumerate(shape) if axis not in units)
    if min(units, default=0) < 0:
        return False
    return cells(grid) == given.grid and math.prod(shape[axis] for axis in units) == given.units


def independent(given: Field) -> Field:
    """The field, if its units are independent.

    Raises:
        NoTheory: they are positions with large correlations.
    """
    if given.entangled:
        raise NoTheory("dependent units")
    return given
