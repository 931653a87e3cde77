"""Rules of layers that mix positions: attention, and recurrent layers.

See :mod:`initcli.signal.rules` for what a rule is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from autograd import elementwise_grad

from initcli.activations import Activation
from initcli.layers import attention, recurrent, wrappers
from initcli.signal import arrays
from initcli.signal.field import NODES, WEIGHTS, Field, added, field, multiplied, normal, shared
from initcli.signal.rules import (
    Expected,
    Gradient,
    NoTheory,
    Place,
    Weight,
    beside,
    connected,
    expected,
    softmax_squares,
)
from initcli.types import Array, Size


@expected.register(attention.MultiHeadAttention)
@expected.register(attention.GroupedQueryAttention)
def _(layer: Any, place: Place, *given: Field) -> Expected:
    query = given[0]
    value = given[1] if len(given) > 1 else query
    key = given[2] if len(given) > 2 else value
    if getattr(layer, "attention_axes", None) is not None or len(query.grid) != 1:
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
    )
    between = mixing.output
    if layer.use_gate:
        between = multiplied([between, projected("gate", query, heads * depth).output])
    own = place.within("attention_output")
    units = place.outputs[0][-1]
    output = connected(
        between, heads * depth, units, own.weights["kernel"], own.weights.get("bias")
    )

    def pull(g: Gradient) -> list[Gradient | None]:
        (inside,) = output.pull(g)
        assert inside is not None
        parts = mixing.pull(inside)
        back = []
        for step, part, times in zip(
            (queries, keys, values), parts, (1, shared, shared), strict=True
        ):
            (found,) = step.pull(times * part)
            assert found is not None
            back.append(found)
        to_query, to_key, to_value = back
        if len(given) == 1:
            return [to_query + to_key + to_value]
        if len(given) == 2:
            return [to_query, to_key + to_value]
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
) -> Mixing:
    """Values in shares that a softmax makes of scores, which are normal over the keys.

    Their variance is scale² · width · E[q²] (E[k²] − E[k k']): what all keys share changes nothing.
    Of the shares only E[Σ a²] counts.
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
    squares = _squares(float(variance.mean()), seen)
    even = 1 / np.maximum.outer(seen, seen).mean(1) if causal else 1 / seen
    level = v.mean(1)

    def alike(pair: int) -> float:
        """How alike the patterns of two queries are, in another example or at another place."""
        whole = float((q[0] * np.maximum(spread, 0).mean()).mean())
        inputs = float(q[pair].mean() * ((k[1] - k[3]) if pair != 2 else spread).mean())
        return min(max(inputs / whole, 0.0), 1.0) if whole > 0 else 0.0

    kept = squares / (1 - dropout) if dropout < 1 else 0 * squares
    moments = np.empty((4, steps))
    moments[0] = kept * level[0] + (1 - squares) * level[2]
    for pair, near, far in ((1, 1, 3), (2, 0, 2), (3, 1, 3)):
        share = even + (squares - even) * alike(pair)
        moments[pair] = share * level[near] + (1 - share) * level[far]
    depth = value.units
    found = normal(moments, np.full(steps, value.mean), heads * depth // max(heads, 1))
    centred = max(float(level[0] - level[2]), 0.0)
    typical, first = float(squares.mean()), float(kept.mean())

    def pull(g: Gradient) -> list[Gradient]:
        same, places = float(g[0].mean()), float(g[1].mean())
        n = float(positions)
        across = float(even.mean()) + (typical - float(even.mean())) * alike(2)
        to_value = np.zeros((2, positions))
        to_value[0] = steps / n * (first * same + (steps - 1) * across * places)
        others = max(n - 1, 1)
        to_value[1] = steps / n * ((1 - typical) / others * same + (steps - 1) / n * places)
        # Of the scores: a (g·v − Σ a g·v), summed over the features of a head.
        scores = typical / n * (value.units / heads) * same * centred * max(1 - typical, 0.0)
        to_query, to_key = np.zeros((2, steps)), np.zeros((2, positions))
        to_query[0] = scale**2 * n * scores * max(float(spread.mean()), 0.0)
        to_key[0] = scale**2 * steps * scores * float(q[0].mean())
        return [to_query, to_key, to_value]

    return Mixing(found, pull)


def _squares(variance: float, seen: Array) -> Array:
    """E[Σ a²] of a softmax over normal scores of that variance, for numbers of keys."""
    values = math.sqrt(max(variance, 0.0)) * NODES
    numbers = np.unique(np.round(np.geomspace(1, max(float(seen.max()), 1), 24)))
    table = [n * softmax_squares(values, int(n)) if n > 1 else 1.0 for n in numbers]
    found: Array = np.exp(np.interp(np.log(seen), np.log(numbers), np.log(table)))
    return found


@expected.register(attention.Attention)
def _(layer: Any, place: Place, *given: Field) -> Expected:
    query, value = given[:2]
    key = given[2] if len(given) > 2 else value
    if layer.score_mode != "dot" or len(query.grid) != 1:
        raise NoTheory("scores of another kind")
    scale = place.weights["scale"].mean if layer.use_scale else 1.0
    dropout = layer.dropout if place.training else 0.0
    causal = place.options.get("use_causal_mask", False)
    found = mixed(query, key, value, 1, scale, dropout, causal, None)

    def pull(g: Gradient) -> list[Gradient | None]:
        to_query, to_key, to_value = found.pull(g)
        return [to_query, to_key + to_value] if len(given) == 2 else [to_query, to_value, to_key]

    return Expected(found.output, pull)


# Recurrent layers


class _Gate(NamedTuple):
    """An activation of normal numbers of that mean: its moments at a variance."""

    function: Activation
    mean: float

    def pair(self, variance: float, rho: float) -> float:
        """E[f(z) f(z')] for that correlation."""
        values = self._values(variance)
        return float(shared(values, np.array([min(max(rho, 0.0), 1.0)]))[0])

    def first(self, variance: float) -> float:
        """E[f(z)]."""
        return float(WEIGHTS @ self._values(variance))

    def slope(self, variance: float) -> float:
        """E[f'(z)²]."""
        x = self.mean + math.sqrt(max(variance, 0.0)) * NODES
        return float(WEIGHTS @ elementwise_grad(lambda z: self.function.call(arrays, z))(x) ** 2)

    def _values(self, variance: float) -> Array:
        found: Array = self.function.call(arrays, self.mean + math.sqrt(max(variance, 0.0)) * NODES)
        return found


class Recurrence(NamedTuple):
    """What a recurrent layer gives at every step, and the variances it goes through backwards.

    ``states`` are moments E[h²], E[h h'] in two examples, and at the step before, by step.
    """

    states: Array
    means: Array
    pull: Callable[[Gradient], Gradient]


@expected.register(recurrent.SimpleRNN)
@expected.register(recurrent.LSTM)
@expected.register(recurrent.GRU)
def _(layer: Any, place: Place, given: Field, *states: Field) -> Expected:
    """Moments step by step, as of a deep network whose layers are steps (Chen et al. 2018).

    Gates are taken to be independent of one another and of the state (Gilboa et al. 2019).
    """
    if states or len(given.grid) != 1:
        raise NoTheory("initial states")
    own = place.within(layer.cell_name)
    found = _recurred(layer, own, given)
    steps = found.states.shape[1]
    moments = np.empty((4, steps))
    same, inputs, near = found.states
    moments[0], moments[1] = same, inputs
    share = np.where(same > 0, np.clip(near / np.maximum(same, 1e-300), 0.0, 1.0), 0.0)
    # Steps forget one another; of two of them at random this is left.
    lags = np.arange(1, steps)
    left = [
        2 * float(np.sum((steps - lags) * r**lags)) / max(steps * (steps - 1), 1) for r in share
    ]
    moments[2], moments[3] = same * left, inputs * left
    means = found.means
    if layer.return_sequences:
        return Expected(normal(moments, means, layer.units), lambda g: [found.pull(g)])
    last = normal(moments[:, -1], means[-1], layer.units)

    def pull(g: Gradient) -> list[Gradient | None]:
        outer = np.zeros((2, steps))
        outer[0, -1] = float(g[0])
        return [found.pull(outer)]

    return Expected(last, pull)


def _recurred(layer: Any, place: Place, given: Field) -> Recurrence:
    steps, units = given.grid[0], layer.units
    kernel, inner = place.weights["kernel"], place.weights["recurrent_kernel"]
    bias = place.weights.get("bias", Weight(0.0, 0.0))
    dropped = getattr(layer, "dropout", 0.0) if place.training else 0.0
    fed = given.units * kernel.variance * given.moments
    if 0 < dropped < 1:
        fed[0] /= 1 - dropped
    backwards = -1 if layer.go_backwards else 1
    fed = fed[:, ::backwards]
    back_kernel = kernel.second
    again = units * inner.variance
    is_lstm = isinstance(layer, recurrent.LSTM)
    is_gru = isinstance(layer, recurrent.GRU)
    forget = 1.0 if is_lstm and layer.unit_forget_bias and layer.use_bias else bias.mean
    shift = 0.0 if is_lstm and layer.unit_forget_bias else bias.mean
    noise = bias.variance if not (is_lstm and layer.unit_forget_bias) else 0.0
    inner_gate = getattr(layer, "recurrent_activation", layer.activation)
    gate, open_ = _Gate(inner_gate, shift), _Gate(inner_gate, forget)
    squash, plain = _Gate(layer.activation, shift), _Gate(layer.activation, 0.0)
    h = np.zeros(3)
    carry = np.zeros(3)
    cross = np.zeros(2)
    found, means, memory = np.empty((3, steps)), np.zeros(steps), []
    mean = 0.0
    for step in range(steps):
        z = fed[:3, step] + again * h + noise
        z[2] = fed[2, step] + again * h[2] + noise
        size = max(float(z[0]), 1e-300)
        rho = z / size
        if is_lstm:
            i2, f2 = ([g.pair(size, r) for r in rho] for g in (gate, open_))
            c2 = [squash.pair(size, r) for r in rho]
            i1, f1 = gate.first(size), open_.first(size)
            # What the carry has of earlier candidates, which are like the new one.
            cross = np.array([f1 * cross[0] + i1 * c2[2], f1 * cross[1] + i1 * c2[2] * rho[1]])
            before = carry.copy()
            mixed_terms = 2 * f1 * i1 * (cross if step else 0 * cross)
            carry[0] = f2[0] * before[0] + i2[0] * c2[0] + mixed_terms[0]
            carry[1] = f2[1] * before[1] + i2[1] * c2[1] + mixed_terms[1]
            carry[2] = f1 * before[0] + i1 * (cross[0] if step else 0.0)
            wide = max(float(carry[0]), 1e-300)
            out = [plain.pair(wide, float(c) / wide) for c in carry]
            memory.append((size, wide, i2[0], f2[0], c2[0], before[0], out[0]))
            h = np.array([a * b for a, b in zip(i2, out, strict=True)])
        elif is_gru:
            u2 = [gate.pair(size, r) for r in rho]
            u1 = gate.first(size)
            r2 = gate.pair(size, 1.0)
            inside = fed[:3, step] + r2 * again * h + noise
            wide = max(float(inside[0]), 1e-300)
            c2 = [squash.pair(wide, float(x) / wide) for x in inside]
            before = h.copy()
            rest = [1 - 2 * u1 + u for u in u2]
            # What the state has of earlier candidates, which are like the new one.
            like = min(max(float(inside[2]) / wide, 0.0), 1.0)
            c1 = squash.pair(wide, like)
            cross = np.array(
                [u1 * cross[0] + (1 - u1) * c1, u1 * cross[1] + (1 - u1) * c1 * rho[1]]
            )
            terms = 2 * np.array([u1 - u2[0], u1 - u2[1]]) * (cross if step else 0 * cross)
            h = np.array(
                [
                    u2[0] * before[0] + rest[0] * c2[0] + terms[0],
                    u2[1] * before[1] + rest[1] * c2[1] + terms[1],
                    u1 * before[0] + (1 - u1) * (cross[0] if step else 0.0),
                ]
            )
            memory.append((size, wide, u2[0], rest[0], c2[0], before[0], r2))
        else:
            h = np.array([squash.pair(size, r) for r in rho])
            mean = squash.first(size)
            h[2] = squash.pair(size, float(rho[2])) if step else mean**2
            memory.append((size,))
        found[:, step], means[step] = h, mean

    def pull(g: Gradient) -> Gradient:
        outer = g[0][::backwards] if layer.return_sequences else g[0]
        back = np.zeros((2, steps))
        to_state = to_carry = 0.0
        for step in range(steps - 1, -1, -1):
            at = memory[step]
            flowing = float(outer[step]) + to_state
            if is_lstm:
                size, wide, i2, f2, c2, before, out = at
                slope = gate.slope(size)
                to_carry = to_carry + flowing * i2 * plain.slope(wide)
                gates = flowing * slope * out + to_carry * (
                    slope * c2 + open_.slope(size) * before + i2 * squash.slope(size)
                )
                to_carry *= f2
                to_state = units * inner.second * gates
            elif is_gru:
                size, wide, u2, rest, c2, before, r2 = at
                candidate = flowing * rest * squash.slope(wide)
                slope = gate.slope(size)
                reset = candidate * again * before * slope
                gates = flowing * (c2 + before) * slope + candidate + reset
                inside = flowing * (c2 + before) * slope + r2 * candidate + reset
                to_state = flowing * u2 + units * inner.second * inside
            else:
                gates = flowing * squash.slope(at[0])
                to_state = units * inner.second * gates
            back[0, step] = units * back_kernel * gates
        return back[:, ::backwards]

    return Recurrence(found, means, pull)


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
        fields[1] = field(other.moments[:, ::-1], other.units, other.profile)
    if layer.merge_mode == "concat":
        merged = beside(fields).output
    elif layer.merge_mode in ("sum", "ave"):
        merged = added(fields)
        if layer.merge_mode == "ave":
            merged = field(merged.moments / 4, merged.units, merged.profile)
    else:
        raise NoTheory("outputs that are multiplied or apart")

    def pull(g: Gradient) -> list[Gradient | None]:
        g = g / 4 if layer.merge_mode == "ave" else g
        one, two = parts[0].pull(g)[0], parts[1].pull(g[:, ::-1] if g.ndim > 1 else g)[0]
        assert one is not None
        assert two is not None
        return [one + two]

    return Expected(merged, pull)
