"""Rules of layers that hold another."""

from __future__ import annotations

import math

from initcli.layers import activation, core, regularization, wrappers
from initcli.signal.field import Field, added, field
from initcli.signal.rules.base import Expected, Gradient, NoTheory, Place, Weight, expected
from initcli.signal.rules.merging import beside
from initcli.types import Size


@expected.register
def _(layer: wrappers.TimeDistributed, place: Place, given: Field) -> Expected:
    inner = layer.layer
    own = place.within(inner.name or inner.default_name())
    inside = own._replace(
        inputs=[(own.batch, *place.inputs[0][2:])], outputs=[(own.batch, *place.outputs[0][2:])]
    )
    if not isinstance(inner, core.Dense | activation.Activation | regularization.Dropout):
        raise NoTheory(f"{inner.type_name} at every step")
    return expected(inner, inside, given)


@expected.register
def _(layer: wrappers.WeightNormalization, place: Place, given: Field) -> Expected:
    """The entries of a unit of n have the mean square E[g²] / n."""
    inner = layer.layer
    own = place.within(inner.name or inner.default_name())
    name = next(name for name in ("kernel", "embeddings") if name in own.weights)
    kernel, sizes = own.weights[name], own.sizes[name]
    scale = place.weights["g"].second / (math.prod(sizes[:-1]) * max(kernel.second, 1e-300))
    scaled = Weight(kernel.mean * math.sqrt(scale), kernel.variance * scale, kernel.orthogonal)
    return expected(inner, own._replace(weights={**own.weights, name: scaled}), given)


@expected.register
def _(layer: wrappers.Bidirectional, place: Place, given: Field, *states: Field) -> Expected:
    if states:
        raise NoTheory("initial states")
    parts = []
    shape: Size = place.inputs[0]
    for each, name in zip(layer._both, layer._names, strict=True):
        inside = place.within(name)._replace(inputs=[shape], outputs=[shape])
        parts.append(expected(each, inside, given))
    fields = [parts[0].output, parts[1].output]
    if fields[1].grid:
        other = fields[1]
        fields[1] = field(other.moments[:, ::-1], other.units, other.profile, lags=other.lags)
    if layer.merge_mode == "concat":
        merged = beside(fields).output
    elif layer.merge_mode in ("sum", "ave"):
        merged = added(fields)
        if layer.merge_mode == "ave":
            merged = field(merged.moments / 4, merged.units, merged.profile)
    else:
        raise NoTheory("outputs that are multiplied or apart")

    def pull(g: Gradient) -> list[Gradient | None]:
        g = g.times(0.25) if layer.merge_mode == "ave" else g
        turned = g.with_moments(g.moments[:, ::-1]) if g.grid else g
        one, two = parts[0].pull(g)[0], parts[1].pull(turned)[0]
        assert one is not None
        assert two is not None
        return [one.plus(two)]

    return Expected(merged, pull)
