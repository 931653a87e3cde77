"""Rules of attention: sums of values weighted by a softmax of scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import msgspec
import numpy as np

from initcli.activations import Sigmoid
from initcli.layers import attention, weightless_attention
from initcli.layers.heads import DotProductAttention
from initcli.signal.field import Field, field, normal, with_neighbors
from initcli.signal.grid import cell_means, edges
from initcli.signal.hermite import NODES, TINY
from initcli.signal.joint import multiplied
from initcli.signal.rules.base import Attended, Context, Expected, Gradient, NoTheory, Room, Rule
from initcli.signal.rules.entries import activated
from initcli.signal.rules.sums import connected
from initcli.signal.softmax import QUANTILE_WEIGHTS, VARIANCES, gamma_quantiles, softmax_moments
from initcli.types import Array

_MAX_STEPS = 2 * 10**6
"""The largest number of queries."""


class _SharesRule(Rule):
    def room(self, layer: Any, context: Context) -> Room:
        queries = float(context.inputs[0][1])
        return super().room(layer, context).plus(Room(4 * queries, 24 * queries))


class AttentionRule(_SharesRule):
    layers = (weightless_attention.Attention,)

    def expected(
        self, layer: weightless_attention.Attention, context: Context, *given: Field
    ) -> Expected:
        query, value, key = _roles(given)
        if layer.score_mode != "dot" or len(query.grid) != 1:
            raise NoTheory("scores other than dot products")
        scale = context.weights["scale"].mean if layer.use_scale else 1.0
        scores = _scores(layer, context, heads=1, scale=scale, features=key.units)
        mixed = _mixed(query, key, value, scores)
        pull = mixed.pull
        return mixed._replace(pull=lambda g: _to_inputs(pull(g), len(given)))


class DotProductAttentionRule(_SharesRule):
    layers = (DotProductAttention,)

    def expected(self, layer: DotProductAttention, context: Context, *given: Field) -> Expected:
        query, value, key = given
        scale = layer.scale or math.sqrt(layer.num_heads / query.units)
        scores = _scores(layer, context, heads=layer.num_heads, scale=scale, features=key.units)
        shared = layer.num_heads // layer.shared
        whole = msgspec.structs.replace(value, units=shared * value.units)
        mixed = _mixed(query, key, whole, scores)

        def pull(g: Gradient) -> list[Gradient]:
            to_query, to_key, to_value = mixed.pull(g)
            return [to_query, to_value.times(shared), to_key.times(shared)]

        return mixed._replace(pull=pull)


class MultiHeadAttentionRule(_SharesRule):
    layers = (attention.MultiHeadAttention, attention.GroupedQueryAttention)
    # Queries, keys and values have separate kernels, so that cross moments of inputs do not matter.
    uses_cross_moments = True

    def expected(self, layer: Any, context: Context, *given: Field) -> Expected:
        query, value, key = _roles(given)
        axes = layer.positions(len(context.inputs[0]))
        if len(axes) != 1 or query.axes != (-1,):
            raise NoTheory("attention over several axes")
        is_grouped = isinstance(layer, attention.GroupedQueryAttention)
        heads = layer.num_query_heads if is_grouped else layer.num_heads
        shared = heads // layer.num_key_value_heads if is_grouped else 1
        width = layer.head_dim if is_grouped else layer.key_dim
        depth = width if is_grouped else layer.value_dim or layer.key_dim

        def projected(name: str, source: Field, fan_in: int, units: int) -> Expected:
            weights = context.within(name).weights
            return connected(source, fan_in, units, weights["kernel"], weights.get("bias"))

        queries = projected("query", query, query.units, heads * width)
        keys = projected("key", key, key.units, heads // shared * width)
        values = projected("value", value, value.units, heads // shared * depth)
        scale = 1 / math.sqrt(width)
        scores = _scores(layer, context, heads=heads, scale=scale, features=value.units)
        mixed = _in_rows(queries.output, keys.output, values.output, scores, axes[0] - 1)
        between, gate = mixed.output, None
        if layer.use_gate:
            sums = projected("gate", query, query.units, heads * depth)
            gate = sums.then(lambda y: activated(Sigmoid(), y))
            between = multiplied(between, gate.output)
        units = context.outputs[0][-1]
        output = projected("attention_output", between, heads * depth, units)

        def pull(g: Gradient) -> Sequence[Gradient]:
            (inside,) = output.pull(g)
            through = inside if gate is None else inside.times(gate.output.mean_square)
            to_query, to_key, to_value = mixed.pull(through)
            back = [
                *queries.pull(to_query),
                *keys.pull(to_key.times(shared)),
                *values.pull(to_value.times(shared)),
            ]
            if gate is not None:
                (to_gate,) = gate.pull(inside.times(mixed.output.mean_square))
                back[0] = back[0].plus(to_gate)
            return _to_inputs(back, len(given))

        return Expected(output.output, pull, attended=mixed.attended)


def _roles(given: Sequence[Field]) -> tuple[Field, Field, Field]:
    """Query, value and key; by default they are the same."""
    query = given[0]
    value = given[1] if len(given) > 1 else query
    return query, value, given[2] if len(given) > 2 else value


def _to_inputs(back: Sequence[Gradient], count: int) -> list[Gradient]:
    """The gradients of ``count`` inputs, given those of query, key and value."""
    to_query, to_key, to_value = back
    if count == 1:
        return [to_query.plus(to_key).plus(to_value)]
    return [to_query, to_key.plus(to_value)] if count == 2 else [to_query, to_value, to_key]


class _Scores(NamedTuple):
    """How values are weighted.

    ``window`` is the number of keys that a query sees in one direction, if limited. ``features`` is
    the number of features from which keys and values are computed.
    """

    heads: int
    scale: float
    dropout: float
    is_causal: bool
    window: int | None
    features: int


def _scores(layer: Any, context: Context, *, heads: int, scale: float, features: int) -> _Scores:
    is_causal = context.options.get("use_causal_mask", False)
    window = getattr(layer, "sliding_window", None)
    return _Scores(heads, scale, layer.dropout, is_causal, window, features)


def _in_rows(query: Field, key: Field, value: Field, scores: _Scores, axis: int) -> Expected:
    """Attention along one axis of positions, where all rows along it are alike."""
    grid = query.grid
    if len(grid) == 1:
        return _mixed(query, key, value, scores)
    if any(each.grid != grid for each in (key, value)) or query.all_sizes[axis] != grid[axis]:
        raise NoTheory("attention to another image, or along one of several long axes")
    n, others = grid[axis], tuple(1 + each for each in range(len(grid)) if each != axis)

    def in_row(whole: Field) -> Field:
        moments = whole.moments.mean(others)
        if whole.near is not None and n > 1:
            # Of a row of n positions, n − 1 have a next one.
            moments[2] = whole.neighbors[axis].sum() / (whole.second.size - whole.second.size / n)
        return field(moments, whole.units)

    row = _mixed(in_row(query), in_row(key), in_row(value), scores)
    # Of all other positions, so many are in the same row.
    near = (n - 1) / max(query.positions - 1, 1)

    def in_all(moments: Array, far: Array) -> Array:
        whole = np.broadcast_to(np.expand_dims(moments, others), (4, *grid)).copy()
        whole[2:] = near * whole[2:] + (1 - near) * far.reshape(2, *(1,) * len(grid))
        return whole

    far = value.moments.reshape(4, -1).mean(1)[2:]
    far[0] = (far[0] - near * in_row(value).moments[2].mean()) / max(1 - near, 1 / value.positions)
    moments = in_all(row.output.moments, far)
    output = normal(moments, np.full(grid, value.mean), value.units)
    next_to = np.full((len(grid), *grid), far[0])
    next_to[axis] = row.output.moments[2].mean()
    output = with_neighbors(output, next_to)

    def pull(g: Gradient) -> list[Gradient]:
        to_query, to_key, to_value = row.pull(Gradient(g.moments.mean(others)))
        apart = np.array([g.cross, 0.0])
        return [
            Gradient(in_all(to_query.moments, np.zeros(2))),
            Gradient(in_all(to_key.moments, np.zeros(2))),
            Gradient(in_all(to_value.moments, apart)),
        ]

    return row._replace(output=output, pull=pull)


def _mixed(query: Field, key: Field, value: Field, scores: _Scores) -> Expected:
    """The output of attention, with gradients of query, key and value.

    The output is a sum of values, weighted by shares a: a softmax of scores, which are normal over
    the keys. Their variance is scale² · width · E[q²] (E[k²] − E[k k']), as the common part of all
    keys has no effect. The moments follow from E[Σ a²], and from the correlation of values with
    large scores: a normal vector in ``features`` dimensions, weighted by e^(u·x), has the mean u.
    """
    heads, scale, dropout = scores.heads, scores.scale, scores.dropout
    width = query.units // heads
    q, k, v = query.moments, key.moments, value.moments
    spread = k[0] - k[2]
    variance = float((scale**2 * width * q[0] * max(float(spread.mean()), 0.0)).mean())
    (steps,), (positions,) = query.all_sizes, key.all_sizes
    if steps > _MAX_STEPS:
        raise NoTheory(f"more than {_MAX_STEPS:,} queries")
    seen = _keys_seen(steps, positions, scores)
    uneven = 2 / width + 2 / scores.features
    squares = cell_means(_squares(variance, seen, uneven), (steps,))
    aligned = np.minimum(variance / scores.features, 1.0) * (1 - squares)
    if scores.is_causal:
        even = cell_means(_in_common(seen), (steps,))
        starts = edges(positions, 1)
        # A query sees the values of earlier positions.
        level = np.cumsum(v * np.diff(starts), 1) / starts[1:]
        level = level[:, np.minimum(np.arange(len(even)), level.shape[1] - 1)]
    else:
        even, level = cell_means(1 / seen, (steps,)), v.mean(1, keepdims=True)

    def alike(pair: int) -> float:
        """The correlation of the shares of two queries, by the kind of pair."""
        whole = float((q[0] * np.maximum(spread, 0).mean()).mean())
        both = float(q[pair].mean() * ((k[1] - k[3]) if pair != 2 else spread).mean())
        return min(max(both / whole, 0.0), 1.0) if whole > 0 else 0.0

    kept = squares / (1 - dropout) if dropout < 1 else 0 * squares
    moments = np.empty((4, *query.grid))
    moments[0] = kept * level[0] + (1 - squares) * level[2]
    moments[0] += aligned * np.maximum(level[0] - level[2], 0.0)
    for pair, near, far in ((1, 1, 3), (2, 0, 2), (3, 1, 3)):
        share = even + (squares - even) * alike(pair)
        moments[pair] = share * level[near] + (1 - share) * level[far]
    output = normal(moments, np.full(query.grid, value.mean), value.units)
    centered = max(float((level[0] - level[2]).mean()), 0.0)
    typical, first = float(squares.mean()), float(kept.mean())

    def pull(g: Gradient) -> list[Gradient]:
        same, cross = g.second, g.cross
        n = float(positions)
        across = float(even.mean()) + (typical - float(even.mean())) * alike(2)
        to_value = np.zeros((2, *key.grid))
        to_value[0] = steps / n * (first * same + (steps - 1) * across * cross)
        others = max(n - 1, 1)
        to_value[1] = steps / n * ((1 - typical) / others * same + (steps - 1) / n * cross)
        if scores.is_causal and steps == positions and scores.window is None:
            to_value = _to_earlier(g, seen, kept, across / max(float(even.mean()), TINY))
        # The gradient of a score is a (g·v − Σ a g·v), summed over the features of a head.
        to_scores = typical / n * (value.units / heads) * same * centered * max(1 - typical, 0.0)
        to_query = np.full(query.grid, scale**2 * n * to_scores * max(float(spread.mean()), 0.0))
        to_key = np.full(key.grid, scale**2 * steps * to_scores * float(q[0].mean()))
        return [Gradient.even(to_query), Gradient.even(to_key), Gradient.within(*to_value)]

    return Expected(output, pull, attended=Attended(variance, seen, uneven))


def _to_earlier(g: Gradient, seen: Array, kept: Array, concentrated: float) -> Array:
    """Moments of the gradient of values that only later queries see: (2, positions).

    A value s gets a share of the gradient of each query t ≥ s. The cross moments of the gradients
    of two queries are ``concentrated`` times those for even shares.
    """
    n = len(seen)
    lengths = np.diff(edges(n, 1))
    by_cell = g.moments[0], np.maximum(g.moments[2], 0.0), kept
    same, cross, kept = (np.repeat(each, lengths) for each in by_cell)

    def from_later(x: Array) -> Array:
        return np.cumsum(x[::-1])[::-1]

    level = from_later(np.sqrt(cross) / seen)
    pairs = np.maximum(level**2 - from_later(cross / seen**2), 0.0)
    second = from_later(kept / seen * same) + concentrated * pairs
    # The sum of the gradients of values is that of the gradients of queries.
    whole = n * float(same.mean()) + n * (n - 1) * float(cross.mean())
    rest = (whole - float(second.sum())) / max(n * (n - 1), 1)
    sizes = np.sqrt(second)
    moments = np.stack([second, rest * sizes / max(float(sizes.mean()), TINY)])
    return cell_means(moments, (n,))


def _keys_seen(steps: int, positions: int, scores: _Scores) -> Array:
    """The number of keys that each query sees."""
    before = np.arange(steps)
    if scores.window is not None:
        ahead = 0 if scores.is_causal else np.minimum(before[::-1], scores.window - 1)
        return np.asarray(np.minimum(before, scores.window - 1) + 1 + ahead, float)
    if scores.is_causal:
        return np.minimum(before + 1.0, positions)
    return np.full(steps, float(positions))


def _in_common(seen: Array) -> Array:
    """E[Σ a a'] of even shares at each query and any other, where later queries see more keys.

    For queries that see n and m ≥ n keys it is n · 1/n · 1/m.
    """
    count = len(seen)
    later = np.cumsum((1 / seen)[::-1])[::-1] - 1 / seen
    common: Array = (np.arange(1, count + 1) / seen + later) / count
    return common


def _squares(variance: float, seen: Array, uneven: float) -> Array:
    """E[Σ a²] of a softmax over normal scores with that variance, for numbers of keys.

    The variance differs between queries, see :func:`gamma_quantiles`.
    """
    counts = np.unique(np.round(np.geomspace(1, max(float(seen.max()), 1), 16)))
    variances = variance * gamma_quantiles(uneven)
    logs = np.log(np.clip(variances, VARIANCES[0], VARIANCES[-1]))
    rows = [np.exp(np.interp(logs, np.log(VARIANCES), row)) for row in _log_squares(*counts)]
    table = np.log(np.array(rows) @ QUANTILE_WEIGHTS)
    squares: Array = np.exp(np.interp(np.log(seen), np.log(counts), table))
    return squares


@cache
def _log_squares(*counts: float) -> Array:
    """log E[Σ a²] for numbers of keys and each of the variances: (counts, variances)."""
    n = np.array(counts)
    squares = [n * softmax_moments(math.sqrt(each) * NODES, n, 2) for each in VARIANCES]
    return np.log(np.transpose(squares))
