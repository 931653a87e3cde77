"""Rules of attention: values in shares that a softmax makes of scores."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from initcli.activations import Sigmoid
from initcli.layers import attention
from initcli.signal.field import NODES, Field, multiplied, normal
from initcli.signal.rules.base import (
    Expected,
    Gradient,
    NoTheory,
    Place,
    connected,
    expected,
    then,
)
from initcli.signal.rules.entries import activated, softmax_moment
from initcli.types import Array


@expected.register(attention.MultiHeadAttention)
@expected.register(attention.GroupedQueryAttention)
def _(layer: Any, place: Place, *given: Field) -> Expected:
    query = given[0]
    value = given[1] if len(given) > 1 else query
    key = given[2] if len(given) > 2 else value
    axes = getattr(layer, "attention_axes", None)
    if axes not in (None, 1, (1,), (-2,)) or len(query.grid) != 1:
        raise NoTheory("attention over several axes")
    is_grouped = isinstance(layer, attention.GroupedQueryAttention)
    heads = layer.num_query_heads if is_grouped else layer.num_heads
    shared = heads // layer.num_key_value_heads if is_grouped else 1
    width = layer.head_dim if is_grouped else layer.key_dim
    depth = width if is_grouped else layer.value_dim or layer.key_dim

    def projected(name: str, source: Field, units: int) -> Expected:
        own = place.within(name)
        return connected(
            source, source.units, units, own.weights["kernel"], own.weights.get("bias")
        )

    queries = projected("query", query, heads * width)
    keys = projected("key", key, heads // shared * width)
    values = projected("value", value, heads // shared * depth)
    mixing = mixed(
        queries.output,
        keys.output,
        values.output,
        heads,
        1 / math.sqrt(width),
        layer.dropout if place.training else 0.0,
        place.options.get("use_causal_mask", False),
        layer.sliding_window,
        value.units,
    )
    between, gate = mixing.output, None
    if layer.use_gate:
        gate = then(projected("gate", query, heads * depth), lambda y: activated(Sigmoid(), y))
        between = multiplied([between, gate.output])
    own = place.within("attention_output")
    units = place.outputs[0][-1]
    output = connected(
        between, heads * depth, units, own.weights["kernel"], own.weights.get("bias")
    )

    def pull(g: Gradient) -> list[Gradient | None]:
        (inside,) = output.pull(g)
        assert inside is not None
        through_gate: Gradient | None = None
        if gate is not None:
            (through_gate,) = gate.pull(inside.times(float(mixing.output.second.mean())))
            inside = inside.times(float(gate.output.second.mean()))
        parts = mixing.pull(inside)
        back = []
        for step, part, times in zip(
            (queries, keys, values), parts, (1, shared, shared), strict=True
        ):
            (found,) = step.pull(part.times(times))
            assert found is not None
            back.append(found)
        to_query, to_key, to_value = back
        if through_gate is not None:
            to_query = to_query.plus(through_gate)
        if len(given) == 1:
            return [to_query.plus(to_key).plus(to_value)]
        if len(given) == 2:
            return [to_query, to_key.plus(to_value)]
        return [to_query, to_value, to_key]

    return Expected(output.output, pull)


class Mixing(NamedTuple):
    """What attention gives, and how gradients come back to query, key and value."""

    output: Field
    pull: Callable[[Gradient], list[Gradient]]


def mixed(
    query: Field,
    key: Field,
    value: Field,
    heads: int,
    scale: float,
    dropout: float,
    causal: bool,
    reach: int | None,
    features: int,
) -> Mixing:
    """Values in shares that a softmax makes of scores, which are normal over the keys.

    Their variance is scale² · width · E[q²] (E[k²] − E[k k']): what all keys share changes nothing.
    Of the shares E[Σ a²] counts, and that what is chosen by its score is alike: a normal vector in
    ``features`` dimensions, weighed by e^(u·x), has the mean u.
    """
    width = query.units // heads
    q, k, v = query.moments, key.moments, value.moments
    spread = k[0] - k[2]
    variance = scale**2 * width * q[0] * max(float(spread.mean()), 0.0)
    (steps,), (positions,) = query.grid, key.grid
    seen = np.minimum(np.arange(steps) + 1.0, positions) if causal else np.full(steps, positions)
    if reach is not None:
        ahead = 0 if causal else np.minimum(np.arange(steps)[::-1], reach - 1)
        seen = np.minimum(np.arange(steps), reach - 1) + 1 + ahead
    seen = np.asarray(seen, float)
    typical_variance = float(variance.mean())
    squares = _squares(typical_variance, seen, 2 / width + 2 / features)
    aligned = np.minimum(typical_variance / features, 1.0) * (1 - squares)
    even = _in_common(seen) if causal else 1 / seen
    # A query that sees only what was before it meets the values of those positions.
    level = np.cumsum(v, 1) / np.arange(1, positions + 1) if causal else v.mean(1, keepdims=True)
    level = level[:, np.minimum(np.arange(steps), positions - 1)] if causal else level

    def alike(pair: int) -> float:
        """How alike the patterns of two queries are, in another example or at another place."""
        whole = float((q[0] * np.maximum(spread, 0).mean()).mean())
        inputs = float(q[pair].mean() * ((k[1] - k[3]) if pair != 2 else spread).mean())
        return min(max(inputs / whole, 0.0), 1.0) if whole > 0 else 0.0

    kept = squares / (1 - dropout) if dropout < 1 else 0 * squares
    moments = np.empty((4, steps))
    moments[0] = kept * level[0] + (1 - squares) * level[2]
    moments[0] += aligned * np.maximum(level[0] - level[2], 0.0)
    for pair, near, far in ((1, 1, 3), (2, 0, 2), (3, 1, 3)):
        share = even + (squares - even) * alike(pair)
        moments[pair] = share * level[near] + (1 - share) * level[far]
    depth = value.units
    found = normal(moments, np.full(steps, value.mean), heads * depth // max(heads, 1))
    centered = max(float((level[0] - level[2]).mean()), 0.0)
    typical, first = float(squares.mean()), float(kept.mean())

    def pull(g: Gradient) -> list[Gradient]:
        same, places = g.second, g.places
        n = float(positions)
        across = float(even.mean()) + (typical - float(even.mean())) * alike(2)
        to_value = np.zeros((2, positions))
        to_value[0] = steps / n * (first * same + (steps - 1) * across * places)
        others = max(n - 1, 1)
        to_value[1] = steps / n * ((1 - typical) / others * same + (steps - 1) / n * places)
        # Of the scores: a (g·v − Σ a g·v), summed over the features of a head.
        scores = typical / n * (value.units / heads) * same * centered * max(1 - typical, 0.0)
        to_query, to_key = np.zeros((2, steps)), np.zeros((2, positions))
        to_query[0] = scale**2 * n * scores * max(float(spread.mean()), 0.0)
        to_key[0] = scale**2 * steps * scores * float(q[0].mean())
        return [Gradient(to_query), Gradient(to_key), Gradient(to_value)]

    return Mixing(found, pull)


def _in_common(seen: Array) -> Array:
    """E[Σ a a'] of even shares at each query and any other, of which none sees less than the last.

    Two that see n and m ≥ n of the keys have n of the shares 1/n · 1/m in common.
    """
    count = len(seen)
    later = np.cumsum((1 / seen)[::-1])[::-1] - 1 / seen
    found: Array = (np.arange(1, count + 1) / seen + later) / count
    return found


def _squares(variance: float, seen: Array, uneven: float) -> Array:
    """E[Σ a²] of a softmax over normal scores of that variance, for numbers of keys.

    The variance differs from query to query, as squares of few normal numbers do: it is that of a
    gamma distribution, ``uneven`` times its own square, with quantiles of Wilson and Hilferty
    (1931).
    """
    numbers = np.unique(np.round(np.geomspace(1, max(float(seen.max()), 1), 16)))
    cubes = np.maximum(1 - uneven / 9 + _QUERIES * math.sqrt(uneven) / 3, 0.0) ** 3
    logs = np.log(np.clip(variance * cubes, _VARIANCES[0], _VARIANCES[-1]))
    rows = [np.exp(np.interp(logs, np.log(_VARIANCES), _log_squares(int(n)))) for n in numbers]
    table = np.log(np.array(rows) @ _QUERY_WEIGHTS)
    found: Array = np.exp(np.interp(np.log(seen), np.log(numbers), table))
    return found


@cache
def _log_squares(n: int) -> Array:
    """log E[Σ a²] for n keys, at each of the variances."""
    squares = [n * softmax_moment(math.sqrt(each) * NODES, n, 2) for each in _VARIANCES]
    return np.log(squares)


_VARIANCES = np.geomspace(1e-4, 1e4, 49)
"""Of scores; less is as good as none, and more leaves one key alone."""
_QUERIES, _QUERY_WEIGHTS = np.polynomial.hermite_e.hermegauss(5)
_QUERY_WEIGHTS = _QUERY_WEIGHTS / _QUERY_WEIGHTS.sum()


@expected.register(attention.Attention)
def _(layer: Any, place: Place, *given: Field) -> Expected:
    query, value = given[:2]
    key = given[2] if len(given) > 2 else value
    if layer.score_mode != "dot" or len(query.grid) != 1:
        raise NoTheory("scores of another kind")
    scale = place.weights["scale"].mean if layer.use_scale else 1.0
    dropout = layer.dropout if place.training else 0.0
    causal = place.options.get("use_causal_mask", False)
    found = mixed(query, key, value, 1, scale, dropout, causal, None, key.units)

    def pull(g: Gradient) -> list[Gradient | None]:
        to_query, to_key, to_value = found.pull(g)
        if len(given) == 2:
            return [to_query, to_key.plus(to_value)]
        return [to_query, to_value, to_key]

    return Expected(found.output, pull)
