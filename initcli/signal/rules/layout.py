"""On which axes of a tensor its units stand, and the same tensor told with other axes for them.

A rule speaks of units and of positions. Which axis holds the units is the layer's to say: the last,
the second in ``channels_first``, the ``axis`` of a normalization. A field says the same of what it
describes, and where both differ it is told anew before the rule sees it.
"""

from __future__ import annotations

import math
from functools import singledispatch
from typing import Any

import msgspec
import numpy as np

from initcli.layers.base import Layer
from initcli.signal.field import Field, field
from initcli.signal.rules.base import Expected, Gradient, NoTheory, Place, expected, unchanged
from initcli.types import Array, Size

_ALIKE = 0.02
"""What share of a variance two units may have in common that are taken to be independent."""

Axes = tuple[int, ...]
"""Axes of a tensor in rising order, counted from the end, −1 being the last."""


@singledispatch
def feature_axes(layer: Layer, place: Place, *fields: Field) -> Axes:
    """The axes on which the units stand that a layer's rule speaks of: by default, channels."""
    first = getattr(layer, "data_format", None) == "channels_first"
    return (1 - len(place.inputs[0]),) if first else (-1,)


def as_given(layer: Any, place: Place, given: Field, *others: Field) -> Axes:
    """The axes of what flows in, for rules of single entries and for those that move axes."""
    return given.axes


def as_most_have(layer: Any, place: Place, *fields: Field) -> Axes:
    """The axes of the largest of the inputs."""
    sizes = [math.prod(shape[1:]) for shape in place.inputs]
    return fields[sizes.index(max(sizes))].axes


def counted_from_end(axis: int | tuple[int, ...], rank: int) -> Axes:
    """Axes of a tensor of that rank, the batch counted, which may be counted from either end."""
    axes = (axis,) if isinstance(axis, int) else axis
    return tuple(sorted(each % rank - rank for each in axes))


def predicted(layer: Layer, place: Place, *fields: Field) -> Expected:
    """What is expected of a layer, for fields whose units may stand on any axes.

    Raises:
        NoTheory: no rule covers the layer, or what flows in cannot be told as the rule needs it.
    """
    axes = feature_axes(layer, place, *fields)
    steps = [_told(each, shape[1:], axes) for each, shape in zip(fields, place.inputs, strict=True)]
    found = expected(layer, place, *[step.output for step in steps])
    shape = place.outputs[0][1:]
    after = found.axes if found.axes is not None else _within(axes, len(shape))
    output = msgspec.structs.replace(found.output, axes=after)
    if not _fits(output, shape):
        raise NoTheory("positions of other sizes than the output has")

    def pull(g: Gradient) -> list[Gradient | None]:
        back: list[Gradient | None] = []
        for step, each in zip(steps, found.pull(g), strict=True):
            if each is not None and each.grid != step.output.grid:
                raise NoTheory("a gradient at other positions than the input has")
            back.append(None if each is None else step.pull(each)[0])
        return back

    return Expected(output, pull, after)


def _within(axes: Axes, rank: int) -> Axes:
    return axes if all(axis >= -rank for axis in axes) else (-1,)


def _told(given: Field, shape: Size, axes: Axes) -> Expected:
    """A field along other axes, of which the tensor may have fewer: it has 1 entry along those."""
    missing = max(0, *(-axis - len(shape) for axis in axes)) if axes else 0
    if not missing or given.axes == axes:
        return laid(given, shape, axes)
    more = (1,) * missing
    grid = (*more, *given.grid)
    wide = msgspec.structs.replace(
        given, second=given.second.reshape(grid), ratios=given.ratios.reshape(3, *grid), lags=None
    )
    found = laid(wide, (*more, *shape), axes)

    def pull(g: Gradient) -> list[Gradient | None]:
        (back,) = found.pull(g)
        assert back is not None
        return [Gradient(back.moments.reshape(2, *given.grid), back.tilt, back.latent)]

    return Expected(found.output, pull)


def laid(given: Field, shape: Size, axes: Axes) -> Expected:
    """The field of the same tensor, of that shape without the batch, with its units on those axes.

    Of two positions of one new unit some are of one unit as it was, and have E[x x'] in common as
    before; entries of different units have only their means.
    """
    if axes == given.axes:
        return unchanged(given)
    rank = len(shape)
    old, new = ({axis + rank for axis in each} for each in (given.axes, axes))
    if min((*old, *new), default=0) < 0 or not _fits(given, shape):
        raise NoTheory("axes that the input does not have")
    sizes = dict(enumerate(shape))
    same = math.prod(n for axis, n in sizes.items() if axis not in old | new)
    before = math.prod(n for axis, n in sizes.items() if axis not in old)
    after = math.prod(n for axis, n in sizes.items() if axis not in new)
    moments = _averaged(given.moments, sizes, old, new)
    level = _averaged(given.means[None] ** 2, sizes, old, new)
    share = (same - 1) / (after - 1) if after > 1 else 1.0
    moments[2:] = share * moments[2:] + (1 - share) * level
    joined = any(sizes[axis] > 1 for axis in new - old)
    common = float(np.abs(given.moments[2] - given.means**2).mean())
    found = msgspec.structs.replace(
        field(
            moments,
            math.prod(sizes[axis] for axis in new),
            given.profile,
            given.latent,
            given.pinned,
        ),
        axes=axes,
        entangled=joined and common > _ALIKE * float(given.second.mean()),
    )
    back = (same - 1) / (before - 1) if before > 1 else 1.0

    def pull(g: Gradient) -> list[Gradient | None]:
        moved = _averaged(g.moments, sizes, new, old)
        moved[1] *= back
        return [Gradient(moved, g.tilt, g.latent)]

    return Expected(found, pull)


def _averaged(values: Array, sizes: dict[int, int], old: set[int], new: set[int]) -> Array:
    """Values at the positions beside ``old`` axes, at those beside ``new`` ones."""
    whole = [1 if axis in old else size for axis, size in sizes.items()]
    kept = values.reshape(len(values), *whole).mean(tuple(1 + axis for axis in new))
    grid = [size for axis, size in sizes.items() if axis not in new]
    return np.broadcast_to(kept, (len(values), *grid)).copy()


def _fits(given: Field, shape: Size) -> bool:
    """Whether a field has the sizes of a tensor of that shape, without the batch."""
    rank = len(shape)
    if not shape:
        # A number for each example is one unit.
        return given.grid == () and given.units == 1
    units = {axis + rank for axis in given.axes}
    grid = tuple(size for axis, size in enumerate(shape) if axis not in units)
    if min(units, default=0) < 0:
        return False
    return grid == given.grid and math.prod(shape[axis] for axis in units) == given.units


def independent(given: Field) -> Field:
    """The field, where its units are independent of one another.

    Raises:
        NoTheory: they are positions that have much in common.
    """
    if given.entangled:
        raise NoTheory("units that depend on one another")
    return given
