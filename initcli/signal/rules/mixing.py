"""Rules of layers that sum over units with weights of their own: dense, convolutions, tables."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from initcli.layers import convolution, core, einsum, embedding, local
from initcli.layers.base import per_axis
from initcli.layers.spatial import ends, spread_ends
from initcli.signal import arrays
from initcli.signal.field import Field, field, normal
from initcli.signal.rules.base import (
    Expected,
    Gradient,
    Place,
    Weight,
    channels_and_grid,
    connected,
    expected,
    replaced,
    steadied,
    then,
    with_bias,
)
from initcli.signal.rules.entries import activated
from initcli.signal.rules.windows import box, overlap, unboxed
from initcli.types import Array


@expected.register
def _(layer: core.Dense, place: Place, given: Field) -> Expected:
    kernel = place.weights["kernel"]
    linear = connected(given, place.inputs[0][-1], layer.units, kernel, place.weights.get("bias"))
    return then(linear, lambda y: activated(layer.activation, y))


@expected.register
def _(layer: einsum.EinsumDense, place: Place, given: Field) -> Expected:
    projection = layer.project(place.inputs[0])
    sizes = place.sizes["kernel"]
    fan_in = math.prod(sizes[axis] for axis in projection.input_axes)
    units = math.prod(sizes[axis] for axis in projection.output_axes)
    kernel, bias = place.weights["kernel"], place.weights.get("bias")
    if fan_in == place.inputs[0][-1] and place.outputs[0][:2] == place.inputs[0][:2]:
        linear = connected(given, fan_in, units, kernel, bias)
    else:
        linear = connected(given.at(()), fan_in, units, kernel, bias)
        linear = replaced(linear, given, linear.output.at(place.outputs[0][1:-1]))
    return then(linear, lambda y: activated(layer.activation, y))


@expected.register
def _(layer: convolution.Convolution, place: Place, given: Field) -> Expected:
    """Moments are summed over the window as entries are over units (Xiao et al. 2018)."""
    channels, grid = channels_and_grid(place.inputs[0], layer.data_format)
    given = given.at(grid)
    rank, weights = layer.rank, place.weights
    strides = per_axis(layer.strides, rank, "strides")
    dilation = per_axis(layer.dilation_rate, rank, "dilation_rate")
    bias = weights.get("bias")
    filters, outputs = channels_and_grid(place.outputs[0], layer.data_format)
    if isinstance(layer, convolution.ConvTranspose):
        extras = getattr(layer, "_output_padding")  # noqa: B009
        cut = spread_ends(layer.window, strides, dilation, layer.padding, extras, grid, outputs)
        window = arrays.Window(strides, dilation, cut)

        def widen(x: Array) -> Array:
            return unboxed(x, layer.window, window, outputs)

        def narrow(x: Array) -> Array:
            return box(x, layer.window, window)

        depth, feeds = channels // layer.groups, filters // layer.groups
        linear = _slid(given, depth, filters, weights["kernel"], bias, widen, narrow, feeds)
        return then(linear, lambda y: activated(layer.activation, y))
    around = ends(grid, layer.window, strides, dilation, layer.padding)
    window = arrays.Window(strides, dilation, around)

    both = overlap(grid, outputs, layer.window, window)

    def over(x: Array) -> Array:
        if len(x) < 4:
            return box(x, layer.window, window)
        pairs = box(x[2:], layer.window, window, both)
        return np.concatenate([box(x[:2], layer.window, window), pairs])

    def back(x: Array) -> Array:
        return unboxed(x, layer.window, window, grid)

    if isinstance(layer, convolution.SeparableConv):
        each = layer.depth_multiplier
        depthwise, mixed = weights["depthwise_kernel"], channels * each
        linear = _slid(given, 1, mixed, depthwise, None, over, back, each)
        pointwise = weights["pointwise_kernel"]
        linear = then(linear, lambda y: connected(y, mixed, filters, pointwise, bias))
    elif isinstance(layer, convolution.DepthwiseConv):
        each = layer.depth_multiplier
        linear = _slid(given, 1, filters, weights["kernel"], bias, over, back, each)
    else:
        groups = getattr(layer, "groups", 1)
        depth, kernel = channels // groups, weights["kernel"]
        fan_in = math.prod(layer.window) * depth
        linear = _slid(given, depth, filters, kernel, bias, over, back, filters // groups, fan_in)
    return then(linear, lambda y: activated(layer.activation, y))


@expected.register
def _(layer: local.LocallyConnected, place: Place, given: Field) -> Expected:
    """As of a convolution, but outputs at two positions have no weights in common."""
    channels, grid = channels_and_grid(place.inputs[0], layer.data_format)
    given = given.at(grid)
    positions = layer.positions(place.inputs[0])
    window = arrays.Window(layer.steps, (1,) * layer.rank, positions.padding)
    kernel, filters = place.weights["kernel"], layer.filters
    slid = _slid(
        given,
        channels,
        filters,
        kernel,
        place.weights.get("bias"),
        lambda x: box(x, layer.window, window),
        lambda x: unboxed(x, layer.window, window, grid),
    )
    means = slid.output.means
    moments = np.concatenate([slid.output.moments[:2], np.stack([means**2, means**2])])

    def pull(g: Gradient) -> list[Gradient | None]:
        back = unboxed(g.moments[:1], layer.window, window, grid)[0]
        return [Gradient.even(filters * kernel.second * back)]

    linear = Expected(normal(moments, means, filters), pull)
    return then(linear, lambda y: activated(layer.activation, y))


def _slid(
    given: Field,
    depth: int,
    filters: int,
    kernel: Weight,
    bias: Weight | None,
    over: Callable[[Array], Array],
    back: Callable[[Array], Array],
    feeds: int | None = None,
    fan_in: float = math.inf,
) -> Expected:
    """A window of weights over ``depth`` channels; an entry feeds ``feeds`` filters, or all."""
    moments, means = given.moments, given.means
    found = depth * kernel.variance * over(moments)
    total = np.zeros(found.shape[1:])
    if kernel.mean:
        total = kernel.mean * depth * over(means[None])[0]
        rest = over(moments - means**2)
        found = found + total**2 + kernel.mean**2 * depth * rest
    found, total = with_bias(found, total, bias)
    factor = (filters if feeds is None else feeds) * kernel.second
    output = steadied(normal(found, total, filters), kernel, fan_in)
    return Expected(output, lambda g: [Gradient(factor * back(g.moments))])


@expected.register(embedding.Embedding)
@expected.register(embedding.ReversibleEmbedding)
def _(layer: Any, place: Place, given: Field) -> Expected:
    table = place.weights["embeddings"]
    if place.options.get("reverse", False):
        weight = table if layer.tie_weights else place.weights["reverse_embeddings"]
        return connected(given, layer.output_dim, layer.input_dim, weight, None)
    again = 1 / layer.input_dim
    other = table.mean**2 + again * table.variance
    moments = np.empty((4, *place.inputs[0][1:]))
    moments[0] = table.second
    moments[1:] = other
    found = normal(moments, np.full(moments.shape[1:], table.mean), layer.output_dim)
    return Expected(found, lambda g: [None])


@expected.register
def _(layer: embedding.PositionEmbedding, place: Place, given: Field) -> Expected:
    table = place.weights["embeddings"]
    moments = np.empty((4, *place.inputs[0][1:-1]))
    moments[0] = moments[1] = table.second
    moments[2] = moments[3] = table.mean**2
    found = normal(moments, np.full(moments.shape[1:], table.mean), place.inputs[0][-1])
    return Expected(found, lambda g: [None])


@expected.register
def _(layer: embedding.ClassToken, place: Place, given: Field) -> Expected:
    token = place.weights["token"]
    first = np.full((4, 1), token.second)
    moments = np.concatenate([first, given.moments], 1)
    found = field(moments, given.units, given.profile)
    return Expected(found, lambda g: [Gradient(g.moments[:, 1:])])
