"""Rules of layers with several inputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial, reduce
from typing import Any, NamedTuple

import msgspec
import numpy as np

from initcli.layers import applications, merging
from initcli.signal.field import Field, field
from initcli.signal.gradient import Gradient, Path, divided
from initcli.signal.hermite import WEIGHTS, profile_of
from initcli.signal.joint import (
    Cross,
    Operation,
    added,
    combined,
    cross_moments,
    multiplied,
    shares,
)
from initcli.signal.rules.base import (
    Axes,
    Context,
    Expected,
    NoTheory,
    Rule,
    affine,
    by_moment,
    counted_from_end,
)
from initcli.signal.rules.windows import moved
from initcli.types import Array

_MANY = 32
"""The number of concatenated fields above which a few nodes of each are enough."""


class MergingRule(Rule):
    """The base of rules that merge tensors, with units on the axes of the largest one."""

    uses_cross_moments = True

    def axes(self, layer: Any, context: Context, *fields: Any, **_: Any) -> Axes:
        sizes = [math.prod(shape[1:]) for shape in context.inputs]
        axes: Axes = fields[sizes.index(max(sizes))].axes
        return axes


class SumRule(MergingRule):
    """Sums of branches, with their cross moments."""

    layers = (merging.Add, merging.Subtract, merging.Average, applications.CustomScaleLayer)

    def expected(self, layer: Any, context: Context, *fields: Field) -> Expected:
        factors = self.factors(layer, len(fields))
        parts = [
            each if factor == 1 else affine(each, factor, 0.0).output
            for each, factor in zip(fields, factors, strict=True)
        ]
        joined = _folded(parts, np.add, _common(context, fields, factors))

        def pull(g: Gradient) -> list[Gradient]:
            return [one.scaled(f) for one, f in zip(joined.pull(g), factors, strict=True)]

        return Expected(joined.fields[-1], pull)

    def factors(self, layer: Any, count: int) -> Sequence[float]:
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
        common = _common(context, fields, [1.0] * len(fields))
        is_tied = any(each is not None for each in common)
        if len(fields) > 2 and is_tied:
            raise NoTheory("a product of more than two dependent tensors")
        if is_tied or len({each.latent for each in fields}) < len(fields) == 2:
            joined = _folded(fields, np.multiply, common)
            return Expected(joined.fields[-1], lambda g: joined.pull(g, lambda x, y: y))

        def pull(g: Gradient) -> list[Gradient]:
            back: list[Gradient] = []
            for index, each in enumerate(fields):
                factor = by_moment(np.ones(4), g.grid)
                for other in (*fields[:index], *fields[index + 1 :]):
                    grid = (1,) * (len(g.grid) - len(other.grid)) + other.grid
                    factor = factor * other.moments.reshape(4, *grid)
                moments = np.broadcast_to(g.moments * factor, g.moments.shape)
                back.append(_gathered(Gradient(moments), each, fields))
            return back

        return Expected(reduce(multiplied, fields), pull)


class ExtremeRule(MergingRule):
    layers = (merging.Maximum, merging.Minimum)

    def expected(self, layer: Any, context: Context, *fields: Field) -> Expected:
        is_maximum = isinstance(layer, merging.Maximum)
        operation, sign = (np.maximum, 1.0) if is_maximum else (np.minimum, -1.0)
        common = _common(context, fields, [1.0] * len(fields))
        if len(fields) > 2 and any(each is not None for each in common):
            raise NoTheory("the maximum of more than two dependent tensors")
        joined = _folded(fields, operation, common)

        def chosen(x: Array, y: Array) -> Array:
            return (np.sign(sign * (x - y)) + 1) / 2

        return Expected(joined.fields[-1], lambda g: joined.pull(g, chosen))


class _Joined(NamedTuple):
    """Inputs that are joined one by one, and the field after each."""

    inputs: Sequence[Field]
    operation: Operation
    common: Sequence[Cross]
    fields: list[Field]

    def pull(self, g: Gradient, slope: Operation | None = None) -> list[Gradient]:
        """The gradients of the inputs; ``slope`` is that of the operation in its first operand.

        The default slope is 1.
        """
        if len(self.inputs) == 2 and (paths := self._paths(g, slope)):
            return paths
        back: list[Gradient] = []
        for n in range(len(self.inputs) - 1, 0, -1):
            before, other, output = self.fields[n - 1], self.inputs[n], self.fields[n]
            passing = partial(self._to, g, output=output, slope=slope, common=self.common[n - 1])
            back.append(passing(other, before))
            g = passing(before, other)
        return [g, *reversed(back)]

    def _paths(self, g: Gradient, slope: Operation | None) -> list[Gradient]:
        """The gradients of two functions of one latent variable; empty for other inputs."""
        one, two = self.inputs
        output = self.fields[-1]
        if one.latent != two.latent or one.grid != two.grid or one.units != two.units:
            return []
        x, y = (math.sqrt(each.mean_square) * each.profile for each in (one, two))
        source = Gradient(g.moments, g.tilt_of(output), output.latent, g.lags)
        slopes = [np.ones_like(x)] * 2 if slope is None else [slope(x, y), slope(y, x)]
        return [
            Path.along(source, each, given).gradient(given.latent)
            for each, given in zip(slopes, self.inputs, strict=True)
        ]

    def _to(
        self,
        g: Gradient,
        one: Field,
        two: Field,
        output: Field,
        slope: Operation | None,
        common: Cross,
    ) -> Gradient:
        gathered = _gathered(g, one, (one, two))
        tilt = g.tilt_of(output)
        if slope is None and (tilt is None or one.latent == output.latent):
            return Gradient(gathered.moments, tilt, one.latent, gathered.lags)
        share, after = shares(tilt, one, two, self.operation, slope, output, common)
        moments = gathered.moments * (1.0 if slope is None else share)
        return Gradient(moments, after, one.latent, gathered.lags)


def _folded(inputs: Sequence[Field], operation: Operation, common: Sequence[Cross]) -> _Joined:
    fields = [inputs[0]]
    for other, shared in zip(inputs[1:], common, strict=True):
        join = added if operation is np.add else partial(combined, operation=operation)
        fields.append(join(fields[-1], other, common=shared))
    return _Joined(inputs, operation, common, fields)


def _common(context: Context, fields: Sequence[Field], factors: Sequence[float]) -> list[Cross]:
    """The cross moments of each input except the first with the sum of those before it."""
    found: list[Cross] = []
    for j in range(1, len(fields)):
        crosses = [
            None if fields[i].latent == fields[j].latent else context.common(i, j) for i in range(j)
        ]
        parts = zip(fields, factors, crosses, strict=False)
        each = [f * factors[j] * cross_moments(x, fields[j], cross) for x, f, cross in parts]
        is_known = any(cross is not None for cross in crosses)
        found.append(np.sum(each, 0) if is_known else None)
    return found


def _gathered(g: Gradient, one: Field, fields: Sequence[Field]) -> Gradient:
    """The gradient of one of the fields before it was broadcast to positions and units."""
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
        sizes = [n * each.mean_square for each, n in zip(fields, units, strict=True)]
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
    """The profile of a mixture of the entries of fields with those weights."""
    nodes = slice(None) if len(fields) <= _MANY else slice(2, None, 5)
    values = [math.sqrt(each.mean_square) * each.profile[nodes] for each in fields]
    total = float(WEIGHTS[nodes].sum()) * sum(weights)
    shares = [WEIGHTS[nodes] * (n / total) for n in weights]
    return profile_of(np.concatenate(values), np.concatenate(shares))
