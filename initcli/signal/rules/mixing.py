"""Rules of layers with a kernel or a table: dense layers, convolutions, embeddings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from initcli.layers import convolution, core, einsum, embedding, local
from initcli.layers.spatial import ends, spread_ends
from initcli.signal import arrays
from initcli.signal.field import Field, field, mean_products, moments_of, normal
from initcli.signal.grid import cell_means, cells
from initcli.signal.hermite import NODES, WEIGHTS, profile_of, with_mean
from initcli.signal.joint import cross_moments
from initcli.signal.rules.base import (
    Axes,
    Batch,
    Context,
    Expected,
    Gradient,
    Met,
    NoTheory,
    Rule,
    by_moment,
    channels_and_grid,
    grids,
    unchanged,
)
from initcli.signal.rules.entries import activated, entrywise
from initcli.signal.rules.rearranging import permuted
from initcli.signal.rules.sums import Window, connected, products_of_pairs, weighted_sum
from initcli.signal.rules.windows import Sliding, WindowRule
from initcli.types import Array


class DenseRule(Rule):
    layers = (core.Dense,)
    adds_up = True

    def expected(self, layer: core.Dense, context: Context, given: Field) -> Expected:
        kernel, bias = context.weights["kernel"], context.weights.get("bias")
        linear = connected(given, context.inputs[0][-1], layer.units, kernel, bias)
        return linear.then(lambda y: activated(layer.activation, y))


class EinsumDenseRule(Rule):
    """Sums over the axes of the kernel that the output does not have; new axes are units."""

    layers = (einsum.EinsumDense,)
    adds_up = True

    def axes(self, layer: einsum.EinsumDense, context: Context, given: Field) -> Axes:
        letters = layer.axes(context.inputs[0])
        rank = len(letters.input)
        return tuple(
            axis - rank
            for axis, letter in enumerate(letters.input)
            if letter in letters.kernel and letter not in letters.output
        )

    def expected(self, layer: einsum.EinsumDense, context: Context, given: Field) -> Expected:
        letters, sizes = layer.axes(context.inputs[0]), context.sizes["kernel"]
        rest = [a for a in letters.input[1:] if a not in letters.kernel or a in letters.output]
        kept = [a for a in letters.output[1:] if a in letters.input]
        rank = len(letters.output)
        axes = tuple(i - rank for i, a in enumerate(letters.output) if a not in letters.input)
        if sorted(rest) != sorted(kept) or len(set(letters.input)) < len(letters.input):
            raise NoTheory("sums without weights")
        if letters.output[0] != letters.input[0] or letters.output[0] in letters.kernel:
            raise NoTheory("a batch on another axis")
        units = math.prod(
            n for a, n in zip(letters.kernel, sizes, strict=True) if a not in letters.input
        )
        kernel, bias = context.weights["kernel"], context.weights.get("bias")
        linear = connected(given, given.units, units, kernel, bias)
        own = [i for i, a in enumerate(rest) if a in letters.kernel]
        if own:
            linear = linear.then(lambda y: _with_weights_apart(y, own))
        # The units are last.
        order = [*(rest.index(a) for a in kept), len(kept)]
        linear = linear.then(lambda y: permuted(y, order))
        linear = linear.then(lambda y: activated(layer.activation, y, axes))
        return linear._replace(axes=axes)


def _with_weights_apart(given: Field, own: Sequence[int]) -> Expected:
    """The effect of separate weights at the positions of some axes: only means are common."""
    alike = math.prod(n for axis, n in enumerate(given.grid) if axis not in own)
    count = math.prod(given.grid)
    share = (alike - 1) / (count - 1) if count > 1 else 1.0
    moments, level = given.moments, mean_products(given.means, given.means)
    moments[2:] = share * moments[2:] + (1 - share) * level[2:]
    pairs = by_moment([1.0, 1.0, share, share], given.grid)
    return Expected(normal(moments, given.means, given.units), lambda g: [g.times(pairs)])


class ConvolutionRule(WindowRule):
    layers = (convolution.Convolution,)
    adds_up = True

    def expected(self, layer: Any, context: Context, given: Field) -> Expected:
        channels, _ = channels_and_grid(context.inputs[0], layer.data_format)
        filters, _ = channels_and_grid(context.outputs[0], layer.data_format)
        weights, bias = context.weights, context.weights.get("bias")
        is_transposed = isinstance(layer, convolution.ConvTranspose)
        is_separable = isinstance(layer, convolution.SeparableConv)
        groups, units = getattr(layer, "groups", 1), filters
        if isinstance(layer, convolution.SeparableConv | convolution.DepthwiseConv):
            groups, units = channels, channels * layer.depth_multiplier
        depth = channels // groups
        linear = weighted_sum(
            given,
            units,
            weights["depthwise_kernel" if is_separable else "kernel"],
            None if is_separable else bias,
            depth=depth,
            window=(_transposed if is_transposed else _window)(layer, context),
            feeds=units // groups,
            fan_in=math.inf if is_transposed else math.prod(layer.window) * depth,
        )
        if is_separable:
            kernel = weights["pointwise_kernel"]
            linear = linear.then(lambda y: connected(y, units, filters, kernel, bias))
        axes = self.axes(layer, context, given)
        return linear.then(lambda y: activated(layer.activation, y, axes))


def _transposed(layer: Any, context: Context) -> Window:
    """The window of a transposed convolution."""
    grid, outputs = grids(layer, context)
    strides, dilation = layer.steps, layer.dilations
    extras = getattr(layer, "_output_padding")  # noqa: B009
    cut = spread_ends(layer.window, strides, dilation, layer.padding, extras, grid, outputs)
    spread = Sliding(outputs, grid, layer.window, arrays.Window(strides, dilation, cut))
    # Two positions have common weights if they are a multiple of the strides apart.
    pairs = np.array([1.0, 1.0, *[1 / math.prod(strides)] * 2])

    def over(x: Array) -> Array:
        return spread.unboxed((x.T * pairs[: len(x)]).T)

    return Window(over, spread.box)


def _window(layer: Any, context: Context) -> Window:
    """The window of a convolution.

    In the sum of two positions, only places that are inside the image for both are products of the
    same weight. Zeros of an earlier padding count as outside.
    """
    grid, outputs = grids(layer, context)
    strides, dilation = layer.steps, layer.dilations
    padding = ends(grid, layer.window, strides, dilation, layer.padding)
    slid = Sliding(grid, outputs, layer.window, arrays.Window(strides, dilation, padding))

    def over(x: Array) -> Array:
        if len(x) < 4:
            return slid.box(x)
        sizes = np.sqrt(np.maximum(x[0], 0.0))
        return np.concatenate([slid.box(x[:2]), slid.box_of_pairs(x[2:], sizes)])

    def back(g: Array) -> Array:
        # Gradients of two inputs pass the same weight if they are a multiple of the strides apart.
        share = 1 / math.prod(strides)
        return slid.unboxed(g * by_moment([1.0, 1.0, share, share], outputs))

    return Window(over, back, math.prod(layer.window), slid.box)


class LocallyConnectedRule(WindowRule):
    """A convolution with separate weights at each position."""

    layers = (local.LocallyConnected,)

    def expected(self, layer: local.LocallyConnected, context: Context, given: Field) -> Expected:
        channels, _ = channels_and_grid(context.inputs[0], layer.data_format)
        grid, outputs = grids(layer, context)
        padding = layer.positions(context.inputs[0]).padding
        whole = arrays.Window(layer.steps, (1,) * layer.rank, padding)
        slid = Sliding(grid, outputs, layer.window, whole)
        window = Window(slid.box, slid.unboxed)
        kernel, bias = context.weights["kernel"], context.weights.get("bias")
        linear = weighted_sum(given, layer.filters, kernel, bias, depth=channels, window=window)
        linear = linear.then(lambda y: _with_weights_apart(y, range(layer.rank)))
        axes = self.axes(layer, context, given)
        return linear.then(lambda y: activated(layer.activation, y, axes))


class TableRule(Rule):
    layers = (embedding.Table,)

    def expected(self, layer: Any, context: Context, given: Field) -> Expected:
        table = context.weights["embeddings"]
        if context.options.get("reverse", False):
            weight = table if layer.tie_weights else context.weights["reverse_embeddings"]
            linear = connected(given, layer.output_dim, layer.input_dim, weight, None)
            if context.tied is not None:
                tied = _tied(linear.output, context.tied, layer.output_dim)
                linear = linear._replace(output=tied)
            return linear.then(lambda y: capped(layer, y))
        grid, share = cells(context.inputs[0][1:]), 1 / layer.input_dim
        # Two entries come from the same row with probability 1 / input_dim.
        pair = table.mean**2 + table.variance / layer.input_dim
        moments = moments_of(grid, table.second, pair, pair, pair)
        output = normal(moments, np.full(grid, table.mean), layer.output_dim)

        def gradient(g: Gradient, batch: Batch) -> float:
            # A row gets this fraction of the positions, and its square of the pairs.
            shares = np.array([share, *[share**2] * 3])
            return products_of_pairs(shares, g.moments, batch)

        none = np.zeros(given.grid)
        return Expected(output, lambda g: [Gradient.even(none)], kernel=gradient)


def capped(layer: embedding.ReversibleEmbedding, given: Field) -> Expected:
    """c · tanh(x / c), for scores with a soft cap c."""
    cap = layer.logit_soft_cap
    return (
        unchanged(given) if cap is None else entrywise(lambda x: cap * arrays.tanh(x / cap), given)
    )


def _tied(apart: Field, common: float, width: int) -> Field:
    """x · eᵀ over a table of V rows e, one of which produced x, with E[x e] as given.

    The other V − 1 sums of a position are those of an independent table. That of the row has the
    mean d E[x e], and for normal entries a variance that is larger by d E[x e]².
    """
    share, mean = 1 / apart.units, width * common
    moments = apart.moments.copy()
    moments[0] += share * (mean**2 + width * common**2)
    # Of two examples or positions, one or the other has that row.
    means = apart.means + share * mean
    moments[1:] += 2 * share * mean * apart.means + (share * mean) ** 2
    second = apart.mean_square
    others = math.sqrt(second) * apart.profile
    single = mean + math.sqrt(second + width * common**2) * NODES
    values = profile_of(
        np.concatenate([others, single]), np.concatenate([WEIGHTS * (1 - share), WEIGHTS * share])
    )
    values = with_mean(values, float(means.mean()), float(moments[0].mean()))
    # That row is an outlier in every draw.
    return field(moments, apart.units, values, pinned=True)


class PositionEmbeddingRule(Rule):
    layers = (embedding.PositionEmbedding,)

    def expected(self, layer: Any, context: Context, given: Field) -> Expected:
        table = context.weights["embeddings"]
        grid, square = cells(context.inputs[0][1:-1]), table.mean**2
        moments = moments_of(grid, table.second, table.second, square, square)
        output = normal(moments, np.full(grid, table.mean), context.inputs[0][-1])
        rows: int = layer.sequence_length

        def gradient(g: Gradient, batch: Batch) -> float:
            # The examples are summed in the row of their position.
            each = float(g.moments[0].mean()) + (batch.examples - 1) * float(g.moments[1].mean())
            return float(batch.examples * each * batch.positions / rows)

        none = np.zeros(given.grid)
        return Expected(output, lambda g: [Gradient.even(none)], kernel=gradient)


class SinePositionRule(Rule):
    layers = (embedding.SinePositionEncoding,)

    def expected(
        self, layer: embedding.SinePositionEncoding, context: Context, given: Field
    ) -> Expected:
        steps, width = context.inputs[0][1:]
        waves = layer.waves(steps, width)
        moments = np.empty((4, steps))
        moments[:2] = (waves**2).mean(1)
        moments[2:] = ((waves @ waves.sum(0)) / width - moments[0]) / max(steps - 1, 1)
        moments, means = cell_means(moments, (steps,)), cell_means(waves.mean(1), (steps,))
        output = normal(moments, means, width)
        return Expected(output, lambda g: [Gradient.even(np.zeros(given.grid))])

    def through(self, layer: embedding.SinePositionEncoding, context: Context, met: Met) -> Array:
        return cross_moments(self.expected(layer, context, *met.fields).output, met.other, None)


class ClassTokenRule(Rule):
    layers = (embedding.ClassToken,)

    def expected(self, layer: Any, context: Context, given: Field) -> Expected:
        first = np.full((4, 1), context.weights["token"].second)
        moments = np.concatenate([first, given.moments], 1)
        output = field(moments, given.units, given.profile)
        return Expected(output, lambda g: [Gradient(g.moments[:, 1:])])
