"""Rules of layers that wrap another layer."""

from __future__ import annotations

import math

from initcli.layers import normalization, wrappers
from initcli.signal.field import Field, field
from initcli.signal.hermite import TINY
from initcli.signal.joint import added
from initcli.signal.moments import Weight
from initcli.signal.rules.base import (
    Context,
    Expected,
    Gradient,
    NoTheory,
    Room,
    Rule,
    affine,
    expected,
    rule_of,
)
from initcli.signal.rules.merging import concatenated
from initcli.signal.rules.normalizing import normalized_by_step


class TimeDistributedRule(Rule):
    layers = (wrappers.TimeDistributed,)
    uses_initializers = True

    def expected(self, layer: wrappers.TimeDistributed, context: Context, given: Field) -> Expected:
        inner, batch = layer.layer, context.batch
        inside = context.within(inner.name or inner.default_name())._replace(
            inputs=[(batch, *context.inputs[0][2:])], outputs=[(batch, *context.outputs[0][2:])]
        )
        if isinstance(inner, normalization.BatchNormalization) and inner.trainable:
            if len(given.grid) != 1 or given.sizes is not None or inner.renorm:
                raise NoTheory("batch normalization of each image or step of a long sequence")
            return normalized_by_step(inner, inside, given)
        if not inner.is_positionwise:
            raise NoTheory(f"{inner.type_name} at every step")
        return expected(inner, inside, given)


class WeightNormalizationRule(Rule):
    """Kernels of n entries per unit with the mean square E[g²] / n."""

    layers = (wrappers.WeightNormalization,)

    def expected(
        self, layer: wrappers.WeightNormalization, context: Context, given: Field
    ) -> Expected:
        inner = layer.layer
        own = context.within(inner.name or inner.default_name())
        name = next(name for name in ("kernel", "embeddings") if name in own.weights)
        kernel, sizes = own.weights[name], own.sizes[name]
        scale = context.weights["g"].second / (math.prod(sizes[:-1]) * max(kernel.second, TINY))
        scaled = Weight(kernel.mean * math.sqrt(scale), kernel.variance * scale, kernel.orthogonal)
        return expected(inner, own._replace(weights={**own.weights, name: scaled}), given)


class BidirectionalRule(Rule):
    layers = (wrappers.Bidirectional,)
    uses_initializers = True

    def room(self, layer: wrappers.Bidirectional, context: Context) -> Room:
        rooms = [
            rule_of(each).room(each, context.within(name))
            for each, name in zip(layer._both, layer._names, strict=True)
        ]
        return rooms[0].plus(rooms[1])

    def expected(
        self, layer: wrappers.Bidirectional, context: Context, given: Field, *states: Field
    ) -> Expected:
        if states:
            raise NoTheory("initial states")
        shapes = context.inputs[:1]
        forward, backward = (
            expected(each, context.within(name)._replace(inputs=shapes, outputs=shapes), given)
            for each, name in zip(layer._both, layer._names, strict=True)
        )
        other = backward.output
        if other.grid:
            # The backward layer reads the last position first.
            other = field(other.moments[:, ::-1], other.units, other.profile, lags=other.lags)
        if layer.merge_mode == "concat":
            merged = concatenated([forward.output, other]).output
        elif layer.merge_mode in ("sum", "ave"):
            merged = added(forward.output, other)
            if layer.merge_mode == "ave":
                merged = affine(merged, 0.5, 0.0).output
        else:
            raise NoTheory("outputs that are multiplied or separate")

        def pull(g: Gradient, *others: Gradient) -> list[Gradient]:
            g = g.times(0.25) if layer.merge_mode == "ave" else g
            turned = g.with_moments(g.moments[:, ::-1]) if g.grid else g
            half = len(others) // 2
            (there,) = forward.pull(g, *others[:half])
            return [there.plus(*backward.pull(turned, *others[half:]))]

        return Expected(merged, pull, others=(*forward.others, *backward.others))
