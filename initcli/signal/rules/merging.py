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
    Axes,
    Context,
    Expected,
    Gradient,
    Rule,
    affine,
    counted_from_end,
    divided,
)
from initcli.signal.rules.windows import largest_of, moved
from initcli.types import Array


class MergingRule(Rule):
    """The base of rules that merge tensors where the units of the largest one stand."""

    def axes(self, layer: Any, context: Context, *fields: Any, **_: Any) -> Axes:
        sizes = [math.prod(shape[1:]) for shape in context.inputs]
        axes: Axes = fields[sizes.index(max(sizes))].axes
        return axes


class SumRule(MergingRule):
    """Sums of branches, which are independent but for what they share."""

    layers = (merging.Add, merging.Subtract, merging.Average, applications.CustomScaleLayer)

    def expected(self, layer: Any, context: Context, *fields: Field) -> Expected:
        factors = _factors(layer, len(fields))
        parts = [
            each if factor == 1 else affine(each, factor, 0.0).output
            for each, factor in zip(fields, factors, strict=True)
        ]

        def pull(g: Gradient) -> list[Gradient]:
            pairs = zip(fields, factors, strict=True)
            return [_gathered(g.times(factor**2), each, fields) for each, factor in pairs]

        return Expected(added(parts), pull)

    def kept(self, layer: Any, fields: Sequence[Field], output: Field) -> Sequence[float] | None:
        is_aligned = all(each.grid == output.grid for each in fields)
        return _factors(layer, len(fields)) if is_aligned else None


def _factors(layer: Any, count: int) -> list[float]:
    """The factors of the inputs in the sum."""
    if isinstance(layer, merging.Average):
        return [1 / count] * count
    if isinstance(layer, merging.Subtract):
        return [1.0, -1.0]
    if isinstance(layer, applications.CustomScaleLayer):
        return [1.0, layer.scale]
    return [1.0] * count


class ProductRule(MergingRule):
    layers = (merging.Multiply,)

    def expected(self, layer: Any, context: Context, *fields: Field) -> Expected:
        def pull(g: Gradient) -> list[Gradient]:
            back: list[Gradient] = []
            for index, each in enumerate(fields):
                factor: Array = np.ones((2, *(1,) * len(g.grid)))
                for other in (*fields[:index], *fields[index + 1 :]):
                    grid = (1,) * (len(g.grid) - len(other.grid)) + other.grid
                    factor = factor * other.moments[[0, 2]].reshape(2, *grid)
                moments = np.broadcast_to(g.moments * factor, g.moments.shape)
                back.append(_gathered(Gradient(moments), each, fields))
            return back

        return Expected(multiplied(fields), pull)


class ExtremeRule(MergingRule):
    layers = (merging.Maximum, merging.Minimum)

    def expected(self, layer: Any, context: Context, *fields: Field) -> Expected:
        sign = 1.0 if isinstance(layer, merging.Maximum) else -1.0
        # An input with one unit meets each unit of the others.
        grid = np.broadcast_shapes(*(each.grid for each in fields))
        rank, units = len(grid), max(each.units for each in fields)
        aligned = [
            each.moments.reshape(4, *(1,) * (rank - len(each.grid)), *each.grid) for each in fields
        ]
        mean = np.mean(np.broadcast_arrays(*aligned), axis=0)
        typical = field(mean, units, sign * fields[0].profile)
        level, values = largest_of(typical, len(fields), apart=True)
        scale = mean[0] / max(float(mean[0].mean()), 1e-300)
        output = field(level.reshape(4, *(1,) * rank) * scale, units, sign * values)
        share = 1 / len(fields)
        return Expected(
            output, lambda g: [_gathered(g.times(share), each, fields) for each in fields]
        )


def _gathered(g: Gradient, one: Field, fields: Sequence[Field]) -> Gradient:
    """The gradient of one of the fields, which may have been broadcast to positions and units."""
    units = max(each.units for each in fields)
    whole = np.broadcast_shapes(*(each.all_sizes for each in fields))
    folded = g.folded(one.grid, math.prod(whole) / max(one.positions, 1))
    return folded if one.units == units else folded.times(units / one.units)


class ConcatenateRule(MergingRule):
    layers = (merging.Concatenate,)

    def expected(self, layer: merging.Concatenate, context: Context, *fields: Field) -> Expected:
        rank = len(context.outputs[0])
        units = self.axes(layer, context, *fields)
        (joined,) = counted_from_end(layer.axis, rank)
        if joined in units:
            return beside(fields)
        axis = [each for each in range(1 - rank, 0) if each not in units].index(joined)
        starts = np.cumsum([0, *(each.all_sizes[axis] for each in fields)]).tolist()
        sizes = list(fields[0].all_sizes)
        sizes[axis] = starts[-1]
        slid = []
        for each, start in zip(fields, starts[:-1], strict=True):
            padding = [(0, 0)] * len(sizes)
            padding[axis] = start, starts[-1] - start - each.all_sizes[axis]
            slid.append(moved(each.all_sizes, tuple(sizes), padding))
        moments = sum(one.box(each.moments) for one, each in zip(slid, fields, strict=True))
        weights = [each.positions for each in fields]
        output = field(np.asarray(moments), fields[0].units, _mixture(fields, weights))
        return Expected(output, lambda g: [Gradient(one.unboxed(g.moments)) for one in slid])


def beside(fields: Sequence[Field]) -> Expected:
    """The units of several fields, concatenated."""
    units = [each.units for each in fields]
    total = sum(units)
    moments = np.average([each.moments for each in fields], 0, units)
    pinned = all(each.pinned for each in fields)
    known = [each.lags for each in fields if each.lags is not None]
    lags = None
    if len(known) == len(fields):
        sizes = [n * float(each.second.mean()) for each, n in zip(fields, units, strict=True)]
        lags = np.average(known, 0, sizes) if sum(sizes) > 0 else known[0]
    output = field(moments, total, _mixture(fields, units), pinned=pinned, lags=lags)
    parts = tuple(part for each in fields for part in each.parts or (each,))
    output = msgspec.structs.replace(output, parts=parts)
    counts = [len(each.parts or (each,)) for each in fields]

    def pull(g: Gradient) -> list[Gradient]:
        if g.parts is None or len(g.parts) != len(parts):
            return [Gradient(g.moments, lags=g.lags) for _ in fields]
        back: list[Gradient] = []
        rest = list(g.parts)
        for count in counts:
            taken, rest = rest[:count], rest[count:]
            back.append(taken[0][1] if count == 1 else divided(taken))
        return back

    return Expected(output, pull)


def _mixture(fields: Sequence[Field], weights: Sequence[float]) -> Array:
    """The profile of entries that are of each field with that weight."""
    values = [math.sqrt(float(each.second.mean())) * each.profile for each in fields]
    shares = [WEIGHTS * (n / sum(weights)) for n in weights]
    return profile_of(np.concatenate(values), np.concatenate(shares))
