"""Rules of layers that keep entries and move them: reshaping, padding, repeating."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from initcli.layers import reshaping
from initcli.layers.base import per_axis
from initcli.signal import arrays
from initcli.signal.field import Field, field
from initcli.signal.rules.base import (
    Expected,
    Gradient,
    NoTheory,
    Place,
    channels_and_grid,
    expected,
    unchanged,
)
from initcli.signal.rules.windows import box
from initcli.types import Size


@expected.register(reshaping.Flatten)
@expected.register(reshaping.Reshape)
@expected.register(reshaping.Permute)
def _(layer: Any, place: Place, given: Field) -> Expected:
    return rearranged(given, place.outputs[0])


def rearranged(given: Field, shape: Size) -> Expected:
    """The same entries at positions of other sizes; the units are what stands last."""
    if shape[1:] == (*given.grid, given.units):
        return unchanged(given)
    grid = shape[1:-1]
    if grid and math.prod(grid) == math.prod(given.grid) and shape[-1] == given.units:
        again = given.moments.reshape(4, *grid)
        found = field(again, given.units, given.profile, given.latent, given.pinned)
        return Expected(found, lambda g: [g.with_moments(g.moments.reshape(2, *given.grid))])
    means, flat = given.mean, given.moments.reshape(4, -1).mean(1)
    moments = np.empty((4, *grid))
    moments[0], moments[1] = flat[0], flat[1]
    # What were other units are other positions now.
    moments[2], moments[3] = (flat[2], flat[3]) if shape[-1] == given.units else (means**2,) * 2
    units = shape[-1] if len(shape) > 1 else 1
    found = field(moments, units, given.profile, given.latent, given.pinned)

    def pull(g: Gradient) -> list[Gradient | None]:
        moved = np.zeros((2, *given.grid))
        moved[0] = g.second
        if shape[-1] == given.units:
            moved[1] = g.places
        return [g.with_moments(moved)]

    return Expected(found, pull)


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
    _, grid = channels_and_grid(place.inputs[0], getattr(layer, "data_format", None))
    given = given.at(grid)
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
    _, grid = channels_and_grid(place.inputs[0], getattr(layer, "data_format", None))
    given, times = given.at(grid), per_axis(layer.size, rank, "size")
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
