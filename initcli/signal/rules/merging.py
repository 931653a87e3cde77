"""Rules of layers that take several inputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from initcli.layers import applications, merging
from initcli.signal.field import WEIGHTS, Field, added, field, multiplied, profile_of
from initcli.signal.rules.base import (
    Expected,
    Gradient,
    Place,
    affine,
    divided,
    expected,
)
from initcli.signal.rules.layout import as_most_have, counted_from_end, feature_axes
from initcli.signal.rules.windows import largest_of
from initcli.types import Array

for _kind in (
    merging.Add,
    merging.Subtract,
    merging.Average,
    merging.Multiply,
    merging.Maximum,
    merging.Minimum,
    merging.Concatenate,
    applications.CustomScaleLayer,
):
    feature_axes.register(_kind, as_most_have)


@expected.register(merging.Add)
@expected.register(merging.Subtract)
@expected.register(merging.Average)
def _(layer: Any, place: Place, *fields: Field) -> Expected:
    """Branches that share no weights have no correlation but that of their means."""
    share = 1 / len(fields) if isinstance(layer, merging.Average) else 1.0
    parts = list(fields)
    if isinstance(layer, merging.Subtract):
        parts[1] = affine(fields[1], -1.0, 0.0).output
    found = added(parts)
    if share != 1:
        found = affine(found, share, 0.0).output

    def pull(g: Gradient) -> list[Gradient | None]:
        return [_gathered(g.times(share**2), each, fields) for each in fields]

    return Expected(found, pull)


@expected.register
def _(layer: merging.Multiply, place: Place, *fields: Field) -> Expected:
    found = multiplied(fields)

    def pull(g: Gradient) -> list[Gradient | None]:
        back: list[Gradient | None] = []
        for index, each in enumerate(fields):
            factor: Array = np.ones((2, *(1,) * len(g.grid)))
            for other in (*fields[:index], *fields[index + 1 :]):
                grid = (1,) * (len(g.grid) - len(other.grid)) + other.grid
                factor = factor * other.moments[[0, 2]].reshape(2, *grid)
            moments = np.broadcast_to(g.moments * factor, g.moments.shape)
            back.append(_gathered(Gradient(moments), each, fields))
        return back

    return Expected(found, pull)


@expected.register(merging.Maximum)
@expected.register(merging.Minimum)
def _(layer: Any, place: Place, *fields: Field) -> Expected:
    sign = 1.0 if isinstance(layer, merging.Maximum) else -1.0
    # What is one entry wide stands beside each entry of the others.
    grid = np.broadcast_shapes(*(each.grid for each in fields))
    rank, units = len(grid), max(each.units for each in fields)
    aligned = [
        each.moments.reshape(4, *(1,) * (rank - len(each.grid)), *each.grid) for each in fields
    ]
    mean = np.mean(np.broadcast_arrays(*aligned), axis=0)
    one = field(mean, units, sign * fields[0].profile)
    level, values = largest_of(one, len(fields), apart=True)
    scale = mean[0] / max(float(mean[0].mean()), 1e-300)
    moments = level.reshape(4, *(1,) * len(one.grid)) * scale
    found = field(moments, units, sign * values)
    share = 1 / len(fields)
    return Expected(found, lambda g: [_gathered(g.times(share), each, fields) for each in fields])


def _gathered(g: Gradient, one: Field, fields: Sequence[Field]) -> Gradient:
    """The gradient of one of the fields, which may stand in several positions and units at once."""
    units = max(each.units for each in fields)
    found = g.folded(one.grid)
    return found if one.units == units else found.times(units / one.units)


@expected.register
def _(layer: merging.Concatenate, place: Place, *fields: Field) -> Expected:
    rank = len(place.outputs[0])
    units = feature_axes(layer, place, *fields)
    (joined,) = counted_from_end(layer.axis, rank)
    if joined in units:
        return beside(fields)
    axis = [each for each in range(1 - rank, 0) if each not in units].index(joined)
    moments = np.concatenate([each.moments for each in fields], axis + 1)
    weights = [math.prod(each.grid) for each in fields]
    found = field(moments, fields[0].units, _mixture(fields, weights))
    ends_at = np.cumsum([each.grid[axis] for each in fields])[:-1]

    def pull(g: Gradient) -> list[Gradient | None]:
        return [Gradient(part) for part in np.split(g.moments, ends_at, axis + 1)]

    return Expected(found, pull)


def beside(fields: Sequence[Field]) -> Expected:
    """Units beside one another."""
    units = [each.units for each in fields]
    total = sum(units)
    moments = sum(each.moments * (n / total) for each, n in zip(fields, units, strict=True))
    pinned = all(each.pinned for each in fields)
    values = _mixture(fields, units)
    found = field(np.asarray(moments), total, values, pinned=pinned, lags=_lags(fields))
    parts = tuple(part for each in fields for part in each.parts or (each,))
    found = msgspec.structs.replace(found, parts=parts)
    counts = [len(each.parts or (each,)) for each in fields]

    def pull(g: Gradient) -> list[Gradient | None]:
        if g.parts is None or len(g.parts) != len(parts):
            return [Gradient(g.moments, lags=g.lags) for _ in fields]
        back: list[Gradient | None] = []
        rest = list(g.parts)
        for count in counts:
            taken, rest = rest[:count], rest[count:]
            back.append(taken[0][1] if count == 1 else divided(taken))
        return back

    return Expected(found, pull)


def _lags(fields: Sequence[Field]) -> Array | None:
    """What all units together have at each lag."""
    found: Any = 0.0
    whole = 0.0
    for each in fields:
        if each.lags is None:
            return None
        size = each.units * float(each.second.mean())
        found, whole = found + size * each.lags, whole + size
    return np.asarray(found / max(whole, 1e-300))


def _mixture(fields: Sequence[Field], weights: Sequence[float]) -> Array:
    values = [math.sqrt(float(each.second.mean())) * each.profile for each in fields]
    shares = [WEIGHTS * (n / sum(weights)) for n in weights]
    return profile_of(np.concatenate(values), np.concatenate(shares))


@expected.register
def _(layer: applications.CustomScaleLayer, place: Place, one: Field, two: Field) -> Expected:
    found = added([one, affine(two, layer.scale, 0.0).output])
    return Expected(found, lambda g: [g, g.times(layer.scale**2)])
