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
from initcli.signal.field import NODES, WEIGHTS, Field, field, normal, profile_of, with_mean
from initcli.signal.rules.base import (
    Expected,
    Gradient,
    NoTheory,
    Place,
    Weight,
    channels_and_grid,
    connected,
    expected,
    steadied,
    then,
    with_bias,
)
from initcli.signal.rules.entries import activated, activated_along
from initcli.signal.rules.layout import Axes, feature_axes
from initcli.signal.rules.windows import box, overlap, unboxed, within
from initcli.types import Array


@expected.register
def _(layer: core.Dense, place: Place, given: Field) -> Expected:
    kernel = place.weights["kernel"]
    linear = connected(given, place.inputs[0][-1], layer.units, kernel, place.weights.get("bias"))
    return then(linear, lambda y: activated(layer.activation, y))


@feature_axes.register
def _(layer: einsum.EinsumDense, place: Place, given: Field) -> Axes:
    """Those that the kernel sums over."""
    letters = layer.axes(place.inputs[0])
    rank = len(letters.input)
    return tuple(
        axis - rank
        for axis, letter in enumerate(letters.input)
        if letter in letters.kernel and letter not in letters.output
    )


@expected.register
def _(layer: einsum.EinsumDense, place: Place, given: Field) -> Expected:
    """Sums over the kernel's axes that are not in the output; new ones are units."""
    letters, sizes = layer.axes(place.inputs[0]), place.sizes["kernel"]
    rest = [a for a in letters.input[1:] if a not in letters.kernel or a in letters.output]
    kept = [a for a in letters.output[1:] if a in letters.input]
    rank = len(letters.output)
    axes = tuple(i - rank for i, a in enumerate(letters.output) if a not in letters.input)
    if sorted(rest) != sorted(kept) or len(set(letters.input)) < len(letters.input):
        raise NoTheory("sums without weights")
    if letters.output[0] != letters.input[0] or letters.output[0] in letters.kernel:
        raise NoTheory("examples along another axis")
    units = math.prod(
        n for a, n in zip(letters.kernel, sizes, strict=True) if a not in letters.input
    )
    kernel, bias = place.weights["kernel"], place.weights.get("bias")
    linear = connected(given, given.units, units, kernel, bias)
    own = [i for i, a in enumerate(rest) if a in letters.kernel]
    if own:
        linear = then(linear, lambda y: _with_weights_apart(y, own))
    order = [1 + rest.index(a) for a in kept]
    if order != sorted(order):
        linear = then(linear, lambda y: _transposed(y, order))
    output, pull, _ = then(linear, lambda y: activated_along(layer.activation, y, axes))
    return Expected(output, pull, axes)


def _with_weights_apart(given: Field, own: list[int]) -> Expected:
    """Positions along those axes have weights of their own, and only their means in common."""
    alike = math.prod(n for axis, n in enumerate(given.grid) if axis not in own)
    count = math.prod(given.grid)
    share = (alike - 1) / (count - 1) if count > 1 else 1.0
    moments, level = given.moments, given.means**2
    moments[2:] = share * moments[2:] + (1 - share) * level
    pairs = np.array([1.0, share]).reshape(2, *(1,) * len(given.grid))
    return Expected(normal(moments, given.means, given.units), lambda g: [g.times(pairs)])


def _transposed(given: Field, order: list[int]) -> Expected:
    moments = given.moments.transpose(0, *order)
    back = np.argsort([0, *order])
    found = field(moments, given.units, given.profile)
    return Expected(found, lambda g: [Gradient(g.moments.transpose(back))])


@expected.register
def _(layer: convolution.Convolution, place: Place, given: Field) -> Expected:
    """Moments are summed over the window as entries are over units (Xiao et al. 2018)."""
    channels, grid = channels_and_grid(place.inputs[0], layer.data_format)
    axes = feature_axes(layer, place, given)
    rank, weights = layer.rank, place.weights
    strides = per_axis(layer.strides, rank, "strides")
    dilation = per_axis(layer.dilation_rate, rank, "dilation_rate")
    bias = weights.get("bias")
    filters, outputs = channels_and_grid(place.outputs[0], layer.data_format)
    if isinstance(layer, convolution.ConvTranspose):
        extras = getattr(layer, "_output_padding")  # noqa: B009
        cut = spread_ends(layer.window, strides, dilation, layer.padding, extras, grid, outputs)
        spread = within(outputs, grid, layer.window, arrays.Window(strides, dilation, cut))

        def widen(x: Array) -> Array:
            return unboxed(x, *spread, outputs)

        def narrow(x: Array) -> Array:
            return box(x, *spread)

        depth, feeds = channels // layer.groups, filters // layer.groups
        linear = _slid(given, depth, filters, weights["kernel"], bias, widen, narrow, feeds)
        return then(linear, lambda y: activated_along(layer.activation, y, axes))
    around = ends(grid, layer.window, strides, dilation, layer.padding)
    size, window = within(grid, outputs, layer.window, arrays.Window(strides, dilation, around))
    both = overlap(grid, outputs, size, window)

    def over(x: Array) -> Array:
        if len(x) < 4:
            return box(x, size, window)
        return np.concatenate([box(x[:2], size, window), box(x[2:], size, window, both)])

    def back(x: Array) -> Array:
        return unboxed(x, size, window, grid)

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
    return then(linear, lambda y: activated_along(layer.activation, y, axes))


@expected.register
def _(layer: local.LocallyConnected, place: Place, given: Field) -> Expected:
    """As of a convolution, but outputs at two positions have no weights in common."""
    channels, grid = channels_and_grid(place.inputs[0], layer.data_format)
    axes = feature_axes(layer, place, given)
    _, outputs = channels_and_grid(place.outputs[0], layer.data_format)
    padding = layer.positions(place.inputs[0]).padding
    whole = arrays.Window(layer.steps, (1,) * layer.rank, padding)
    size, window = within(grid, outputs, layer.window, whole)
    kernel, filters = place.weights["kernel"], layer.filters
    slid = _slid(
        given,
        channels,
        filters,
        kernel,
        place.weights.get("bias"),
        lambda x: box(x, size, window),
        lambda x: unboxed(x, size, window, grid),
    )
    means = slid.output.means
    moments = np.concatenate([slid.output.moments[:2], np.stack([means**2, means**2])])

    def pull(g: Gradient) -> list[Gradient | None]:
        back = unboxed(g.moments[:1], size, window, grid)[0]
        return [Gradient.even(filters * kernel.second * back)]

    linear = Expected(normal(moments, means, filters), pull)
    return then(linear, lambda y: activated_along(layer.activation, y, axes))


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
        linear = connected(given, layer.output_dim, layer.input_dim, weight, None)
        if place.tied is None:
            return linear
        return linear._replace(output=_tied(linear.output, place.tied, layer.output_dim))
    again = 1 / layer.input_dim
    other = table.mean**2 + again * table.variance
    moments = np.empty((4, *place.inputs[0][1:]))
    moments[0] = table.second
    moments[1:] = other
    found = normal(moments, np.full(moments.shape[1:], table.mean), layer.output_dim)
    return Expected(found, lambda g: [None])


def _tied(apart: Field, common: float, width: int) -> Field:
    """x · eᵀ over a table of which one row e made x, and has E[x e] in common with it.

    All but one of the V sums of a position are as if x and the table were independent. That one has
    the mean d E[x e], and for normal entries d E[x e]² more of a variance.
    """
    share, mean = 1 / apart.units, width * common
    own = mean**2 + width * common**2
    moments = apart.moments.copy()
    moments[0] += share * own
    # Two examples, or positions, of which one or the other has that row.
    means = apart.means + share * mean
    moments[1:] += 2 * share * mean * apart.means + (share * mean) ** 2
    second = float(apart.second.mean())
    others = math.sqrt(second) * apart.profile
    single = mean + math.sqrt(second + width * common**2) * NODES
    values = profile_of(
        np.concatenate([others, single]), np.concatenate([WEIGHTS * (1 - share), WEIGHTS * share])
    )
    values = with_mean(values, float(means.mean()), float(moments[0].mean()))
    # The row that is met stands out in every draw alike.
    return field(moments, apart.units, values, pinned=True)


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
