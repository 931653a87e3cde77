"""Rules of recurrent layers: a deep network whose layers are the steps (Chen et al. 2018).

All steps share their weights, so that what flows at one step depends on what flows at every other:
a second moment is kept for every two steps, of one example and of two. Gates are taken to be
independent of one another and of the state (Gilboa et al. 2019).

Matrices are (2, steps, steps): E[x x'] at two steps of one example, and of two examples.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from autograd import elementwise_grad

from initcli.activations import Activation
from initcli.initializers import Chrono
from initcli.layers import recurrent
from initcli.signal import arrays
from initcli.signal.field import NODES, WEIGHTS, Field, at_lags, lags_of, normal, shared
from initcli.signal.rules.base import Expected, Gradient, NoTheory, Place, Weight, expected
from initcli.types import Array

_TINY = 1e-300
_MOST_STEPS = 1024
"""Of every two steps something is kept, and computed from all before them."""


class Unrolled(NamedTuple):
    """E[h h'] of the states, E[h] by step, and what takes E[g g'] of the states to the inputs'."""

    states: Array
    means: Array
    pull: Callable[[Array], Array]


@expected.register(recurrent.SimpleRNN)
@expected.register(recurrent.LSTM)
@expected.register(recurrent.GRU)
@expected.register(recurrent.CuDNNLSTM)
@expected.register(recurrent.CuDNNGRU)
def _(layer: Any, place: Place, given: Field, *states: Field) -> Expected:
    if states or len(given.grid) != 1:
        raise NoTheory("initial states")
    steps = given.grid[0]
    if steps > _MOST_STEPS:
        raise NoTheory(f"more than {_MOST_STEPS} steps")
    if isinstance(layer.bias_initializer, Chrono):
        raise NoTheory("gates with a time scale for each unit")
    turned = slice(None, None, -1 if layer.go_backwards else 1)
    rule = _RULES[type(layer)]
    own = place if layer.cell_name is None else place.within(layer.cell_name)
    fed = _fed(layer, own, _matrix(given)[:, turned, turned])
    unrolled = rule(layer, fed)

    def pulled(outer: Array) -> list[Gradient | None]:
        found = unrolled.pull(outer)[turned, turned]
        same = np.diagonal(found)
        places = (found.sum(1) - same) / max(steps - 1, 1)
        return [Gradient(np.stack([same, places]), lags=lags_of(found))]

    same, inputs = (np.diagonal(each) for each in unrolled.states)
    if not layer.return_sequences:
        last = np.array([same[-1], inputs[-1], same[-1], inputs[-1]])
        output = normal(last, unrolled.means[-1], layer.units)

        def pull_last(g: Gradient) -> list[Gradient | None]:
            outer = np.zeros((steps, steps))
            outer[-1, -1] = g.second
            return pulled(outer)

        return Expected(output, pull_last)
    places, both = ((m.sum(1) - np.diagonal(m)) / max(steps - 1, 1) for m in unrolled.states)
    moments = np.stack([same, inputs, places, both])
    output = normal(moments, unrolled.means, layer.units, lags=lags_of(unrolled.states[0]))

    def pull(g: Gradient) -> list[Gradient | None]:
        return pulled(at_lags(g.moments[0], g.moments[1], g.lags))

    return Expected(output, pull)


class _Fed(NamedTuple):
    """What flows into the gates of each step, and how much of a state or gradient comes back."""

    inputs: Array
    again: Array
    """Units times E[u²] of the recurrent weights, for one example and for two: (2, 1)."""
    to_state: float
    to_input: float
    biases: Weight


def _fed(layer: Any, place: Place, given: Array) -> _Fed:
    kernel, inner = place.weights["kernel"], place.weights["recurrent_kernel"]
    units, features = layer.units, place.sizes["kernel"][0]
    distribution = layer.bias_initializer.distribution_for((units,)) if layer.use_bias else None
    bias = (
        Weight(0.0, 0.0) if distribution is None else Weight(distribution.mean, distribution.std**2)
    )
    bias = Weight(layer.biases * bias.mean, layer.biases * bias.variance)
    kept = [
        1 - rate if place.training and 0 < rate < 1 else 1.0
        for rate in (layer.dropout, layer.recurrent_dropout)
    ]
    # A mask is the same at all steps of an example.
    masks = np.array([[1 / kept[0]], [1.0]])[:, :, None]
    return _Fed(
        inputs=features * kernel.second * given * masks + bias.variance,
        again=units * inner.second * np.array([[1 / kept[1]], [1.0]]),
        to_state=units * inner.second / kept[1],
        to_input=units * kernel.second / kept[0],
        biases=bias,
    )


def _matrix(given: Field) -> Array:
    same, inputs, places, both = given.moments
    return np.stack([at_lags(same, places, given.lags), at_lags(inputs, both, given.lags)])


class _Gate(NamedTuple):
    """A function of normal numbers of that mean."""

    function: Callable[[Array], Array]
    mean: float = 0.0

    @property
    def slope(self) -> _Gate:
        """Its derivative."""
        return _Gate(elementwise_grad(self.function), self.mean)

    def pairs(self, variance: float, rho: Array) -> Array:
        """E[f(z) f(z')] for those correlations."""
        return shared(self._values(variance), np.clip(rho, -1.0, 1.0))

    def first(self, variance: float) -> float:
        """E[f(z)]."""
        return float(WEIGHTS @ self._values(variance))

    def _values(self, variance: float) -> Array:
        return self.function(self.mean + np.sqrt(max(variance, 0.0)) * NODES)


def _gate(function: Activation, mean: float) -> _Gate:
    return _Gate(lambda z: function.call(arrays, z), mean)


class _Steps:
    """A matrix that is filled step by step, from the first to the last or the other way."""

    def __init__(self, steps: int) -> None:
        self.whole = np.zeros((2, steps, steps))

    def fill(self, step: int, row: Array) -> None:
        """Set all pairs of a step and those up to it: (2, step + 1)."""
        self.whole[:, step, : step + 1] = row
        self.whole[:, : step + 1, step] = row

    def before(self, step: int) -> Array:
        """The row of the step before, one step back: (2, step + 1), 0 before the start."""
        found = np.zeros((2, step + 1))
        if step:
            found[:, 1:] = self.whole[:, step - 1, :step]
        return found

    def variance(self, step: int) -> float:
        """Of a step."""
        return max(float(self.whole[0, step, step]), _TINY)

    def correlations(self, step: int) -> Array:
        """Of a step with those up to it: (2, step + 1)."""
        sizes = np.maximum(np.diagonal(self.whole[0])[: step + 1], _TINY)
        found: Array = self.whole[:, step, : step + 1] / np.sqrt(self.variance(step) * sizes)
        return found


class _Kept:
    """A memory m_t = f_t m_(t−1) + e_t, where e is a product whose factors are independent.

    ``weights[t, s]`` is what is expected to be left at step t of the entry at step s.
    """

    def __init__(self, steps: int) -> None:
        self.weights = np.zeros((steps, steps))
        self.forget = np.zeros(steps)
        self.enter = np.zeros(steps)

    def add(self, step: int, forget: float, enter: float) -> None:
        """Let a step have those expectations of its factors."""
        self.forget[step], self.enter[step] = forget, enter
        if step:
            self.weights[step] = forget * self.weights[step - 1]
        self.weights[step, step] = enter

    def cross(self, entries: Array, step: int) -> Array:
        """E[m_(t−1) e_s] + E[m_(s−1) e_t] with their expected factors: (2, step + 1)."""
        found = np.zeros((2, step + 1))
        if not step:
            return found
        near = entries[:, :step, : step + 1]
        left = np.einsum("v,kvs->ks", self.weights[step - 1, :step], near)
        found += self.forget[step] * self.enter[: step + 1] * left
        right = entries[:, :step, step] @ self.weights[:step, :step].T
        found[:, 1:] += self.enter[step] * self.forget[1 : step + 1] * right
        return found


class _Returning:
    """The gradient of a memory, which comes back from later steps: (steps, steps)."""

    def __init__(self, forget: Array, enter: Array) -> None:
        steps = len(forget)
        self.forget, self.enter = forget, enter
        # What of a step's gradient is expected to reach each step before it.
        self.weights = np.zeros((steps, steps))
        for step in range(steps - 1, -1, -1):
            self.weights[step, step] = enter[step]
            if step + 1 < steps:
                self.weights[step, step + 1 :] = (
                    forget[step + 1] * self.weights[step + 1, step + 1 :]
                )

    def cross(self, arriving: Array, step: int) -> Array:
        """As :meth:`_Kept.cross`, for this step and those after it."""
        steps = len(self.forget)
        found = np.zeros(steps - step)
        if step + 1 == steps:
            return found
        later = self.weights[step + 1 :, step + 1 :]
        left = later @ arriving[step, step + 1 :]
        found[:-1] += self.enter[step] * self.forget[step + 1 :] * left
        right = arriving[step:, step + 1 :] @ self.weights[step + 1, step + 1 :]
        found += self.enter[step:] * self.forget[step + 1] * right
        return found


def _filled(matrix: Array, step: int, row: Array) -> None:
    matrix[step, step:] = row
    matrix[step:, step] = row


def _after(matrix: Array, step: int) -> Array:
    """The row of the step after, one step on; 0 beyond the end."""
    steps = len(matrix)
    found = np.zeros(steps - step)
    if step + 1 < steps:
        found[:-1] = matrix[step + 1, step + 1 :]
    return found


def _simple(layer: Any, fed: _Fed) -> Unrolled:
    """h_t = φ(W x_t + U h_(t−1) + b)"""
    steps = fed.inputs.shape[1]
    squash = _gate(layer.activation, fed.biases.mean)
    z, h, slope = _Steps(steps), _Steps(steps), _Steps(steps)
    means = np.zeros(steps)
    for t in range(steps):
        z.fill(t, fed.inputs[:, t, : t + 1] + fed.again * h.before(t))
        size, rho = z.variance(t), z.correlations(t)
        h.fill(t, squash.pairs(size, rho))
        slope.fill(t, squash.slope.pairs(size, rho))
        means[t] = squash.first(size)

    def pull(outer: Array) -> Array:
        gates = np.zeros((steps, steps))
        for t in range(steps - 1, -1, -1):
            arriving = outer[t, t:] + fed.to_state * _after(gates, t)
            _filled(gates, t, arriving * slope.whole[0, t, t:])
        return fed.to_input * gates

    return Unrolled(h.whole, means, pull)


def _lstm(layer: Any, fed: _Fed) -> Unrolled:
    """c_t = f c_(t−1) + i g and h_t = o φ(c_t), for gates f, i, o and a candidate g."""
    steps = fed.inputs.shape[1]
    shift = fed.biases.mean
    forget_shift = shift
    if layer.use_bias and layer.unit_forget_bias:
        # One of the biases is ones.
        forget_shift = 1.0 + shift * (layer.biases - 1) / layer.biases
    gate, forget = (_gate(layer.recurrent_activation, m) for m in (shift, forget_shift))
    squash, plain = (_gate(layer.activation, m) for m in (shift, 0.0))
    z, c, h = _Steps(steps), _Steps(steps), _Steps(steps)
    opened, kept, candidates, shown = (_Steps(steps) for _ in range(4))
    gate_slope, forget_slope, squash_slope, plain_slope = (_Steps(steps) for _ in range(4))
    memory, plain_first = _Kept(steps), np.zeros(steps)
    for t in range(steps):
        z.fill(t, fed.inputs[:, t, : t + 1] + fed.again * h.before(t))
        size, rho = z.variance(t), z.correlations(t)
        for matrix, function in (
            (opened, gate),
            (kept, forget),
            (candidates, squash),
            (gate_slope, gate.slope),
            (forget_slope, forget.slope),
            (squash_slope, squash.slope),
        ):
            matrix.fill(t, function.pairs(size, rho))
        memory.add(t, forget.first(size), gate.first(size))
        entered = opened.whole[:, t, : t + 1] * candidates.whole[:, t, : t + 1]
        carried = kept.whole[:, t, : t + 1] * c.before(t)
        c.fill(t, carried + entered + memory.cross(candidates.whole, t))
        wide, rho = c.variance(t), c.correlations(t)
        shown.fill(t, plain.pairs(wide, rho))
        plain_slope.fill(t, plain.slope.pairs(wide, rho))
        plain_first[t] = plain.slope.first(wide)
        h.fill(t, opened.whole[:, t, : t + 1] * shown.whole[:, t, : t + 1])

    def pull(outer: Array) -> Array:
        before = np.zeros((steps, steps))
        before[1:, 1:] = c.whole[0, :-1, :-1]
        open_slope = gate_slope.whole[0]
        into_carry = candidates.whole[0] * open_slope + before * forget_slope.whole[0]
        into_carry = into_carry + opened.whole[0] * squash_slope.whole[0]
        returning = _Returning(memory.forget, memory.enter * plain_first)
        gates, arriving, carry = (np.zeros((steps, steps)) for _ in range(3))
        passing = opened.whole[0] * plain_slope.whole[0]
        for t in range(steps - 1, -1, -1):
            _filled(arriving, t, outer[t, t:] + fed.to_state * _after(gates, t))
            row = arriving[t, t:] * passing[t, t:] + returning.cross(arriving, t)
            if t + 1 < steps:
                row[:-1] += kept.whole[0, t + 1, t + 1 :] * carry[t + 1, t + 1 :]
            _filled(carry, t, row)
            shown_here = arriving[t, t:] * shown.whole[0, t, t:] * open_slope[t, t:]
            _filled(gates, t, row * into_carry[t, t:] + shown_here)
        return fed.to_input * gates

    return Unrolled(h.whole, np.zeros(steps), pull)


def _gru(layer: Any, fed: _Fed) -> Unrolled:
    """h_t = u h_(t−1) + (1 − u) g, whose candidate g sees the state through a gate r."""
    steps = fed.inputs.shape[1]
    update = _gate(layer.recurrent_activation, fed.biases.mean)
    squash = _gate(layer.activation, fed.biases.mean)
    z, inside, h = _Steps(steps), _Steps(steps), _Steps(steps)
    kept, candidates = _Steps(steps), _Steps(steps)
    slope, squash_slope = _Steps(steps), _Steps(steps)
    memory = _Kept(steps)
    for t in range(steps):
        fresh, back = fed.inputs[:, t, : t + 1], fed.again * h.before(t)
        z.fill(t, fresh + back)
        size, rho = z.variance(t), z.correlations(t)
        kept.fill(t, update.pairs(size, rho))
        slope.fill(t, update.slope.pairs(size, rho))
        inside.fill(t, fresh + kept.whole[:, t, : t + 1] * back)
        wide, rho = inside.variance(t), inside.correlations(t)
        candidates.fill(t, squash.pairs(wide, rho))
        squash_slope.fill(t, squash.slope.pairs(wide, rho))
        first = update.first(size)
        memory.add(t, first, 1 - first)
        both = kept.whole[:, t, : t + 1]
        left = 1 - memory.forget[t] - memory.forget[: t + 1] + both
        entered = left * candidates.whole[:, t, : t + 1]
        # One gate both keeps and enters: its variance comes off what crosses.
        share = (memory.forget[t] - both) / max(memory.forget[t] * memory.enter[t], _TINY)
        cross = memory.cross(candidates.whole, t) * share
        h.fill(t, both * h.before(t) + entered + cross)

    def pull(outer: Array) -> Array:
        before = np.zeros((steps, steps))
        before[1:, 1:] = h.whole[0, :-1, :-1]
        first = memory.forget
        left = 1 - first[:, None] - first[None, :] + kept.whole[0]
        returning = _Returning(first, np.ones(steps))
        gates, states, arriving, whole = (np.zeros((steps, steps)) for _ in range(4))
        again = float(fed.again[0, 0])
        for t in range(steps - 1, -1, -1):
            _filled(arriving, t, outer[t, t:] + fed.to_state * _after(states, t))
            row = arriving[t, t:] + returning.cross(arriving, t)
            if t + 1 < steps:
                row[:-1] += kept.whole[0, t + 1, t + 1 :] * whole[t + 1, t + 1 :]
            _filled(whole, t, row)
            candidate = row * left[t, t:] * squash_slope.whole[0, t, t:]
            apart = before[t, t:] + candidates.whole[0, t, t:]
            updated = row * apart * slope.whole[0, t, t:]
            reset = candidate * again * before[t, t:] * slope.whole[0, t, t:]
            _filled(gates, t, candidate + updated + reset)
            _filled(states, t, updated + reset + candidate * kept.whole[0, t, t:])
        return fed.to_input * gates

    return Unrolled(h.whole, np.zeros(steps), pull)


_RULES: dict[type[Any], Callable[[Any, _Fed], Unrolled]] = {
    recurrent.SimpleRNN: _simple,
    recurrent.LSTM: _lstm,
    recurrent.GRU: _gru,
    recurrent.CuDNNLSTM: _lstm,
    recurrent.CuDNNGRU: _gru,
}
