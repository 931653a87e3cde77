"""Rules of recurrent layers: deep networks whose layers are the steps (Chen et al. 2018).

All steps share their weights, so that the signal at one step depends on that at every other: a
second moment is kept for every two steps, of one example and of two (arXiv:1806.05394). Gates are
taken to be independent of one another and of the state (Gilboa et al. 2019, arXiv:1901.08987).

A matrix (pairs, steps, steps) holds E[x x'] at every two steps, of one example and of two.
Gradients come from the last step, so that the backward passes count steps from the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from initcli.initializers import Chrono
from initcli.initializers.composite import Joined
from initcli.layers import recurrent
from initcli.signal.field import Field, at_lags, lags_of, normal
from initcli.signal.hermite import TINY
from initcli.signal.moments import Weight
from initcli.signal.rules import own_state
from initcli.signal.rules.base import Batch, Context, Expected, Gradient, NoTheory, Room, Rule
from initcli.signal.rules.unrolling import Gate, Image, Memory, Steps, delayed, take_images
from initcli.types import Array

_OF_A_STEP = 5000
"""Temporary numbers for each step: powers of correlations, and coefficients."""
_MAX_STEPS = 1024
"""The largest number of steps; the work grows with its cube."""


class Unrolled(NamedTuple):
    """E[h h'] of the states, E[h] by step, and the pullback of E[g g'] from states to inputs.

    Gradients count steps from the end. ``pull`` also takes E[g²] of the last carry, if any;
    ``carry`` has its E[c²] and E[c c'], and ``carry_mean`` is E[c].
    """

    states: Array
    means: Array
    pull: Callable[[Array, float], Array]
    carry: Array | None = None
    carry_mean: float = 0.0


class _RecurrentRule(Rule):
    """The base of rules of recurrent layers, which define how a layer is unrolled."""

    uses_initializers = True

    def unrolled(self, layer: Any, fed: _Fed) -> Unrolled:
        raise NotImplementedError

    def cell(self, layer: Any) -> own_state.Cell:
        """A step of one unit."""
        raise NotImplementedError

    def room(self, layer: Any, context: Context) -> Room:
        steps, gates = context.inputs[0][1], layer.gates
        own = context if layer.cell_name is None else context.within(layer.cell_name)
        whole = super().room(layer, context)
        if own_state.own_factors(own.initializers["recurrent_kernel"], gates) is not None:
            numbers = own_state.followed_units(steps, gates) * steps * gates
            return whole.plus(Room(4.0 * numbers + 4 * steps**2, 20.0 * numbers + 12 * steps**2))
        return whole.plus(Room(7.0 * gates * steps**2, 12.0 * steps**2 + _OF_A_STEP * steps))

    def expected(self, layer: Any, context: Context, given: Field, *states: Field) -> Expected:
        if states or len(given.grid) != 1:
            raise NoTheory("initial states")
        steps = given.grid[0]
        if steps > _MAX_STEPS:
            raise NoTheory(f"more than {_MAX_STEPS} steps")
        turned = slice(None, None, -1 if layer.go_backwards else 1)
        own = context if layer.cell_name is None else context.within(layer.cell_name)
        fed = _fed(layer, own, _matrix(given)[:, turned, turned])
        factors = own_state.own_factors(own.initializers["recurrent_kernel"], layer.gates)
        if factors is None:
            unrolled = self.unrolled(layer, fed)
        elif 0 < layer.recurrent_dropout < 1:
            raise NoTheory("dropout in a layer that starts as the identity")
        else:
            unrolled = _followed(fed, factors, self.cell(layer), layer.states)

        def passed(g: Gradient, *others: Gradient) -> Array:
            """E[g g'] of the input at every two steps."""
            if layer.return_sequences:
                outer = at_lags(g.moments[0], g.moments[2], g.lags)
            else:
                outer = np.zeros((steps, steps))
                outer[-1, -1] = g.second
            if others:
                outer[-1, -1] += others[0].second
            carry = others[1].second if len(others) > 1 else 0.0
            back = unrolled.pull(outer[None, ::-1, ::-1], carry)[0, ::-1, ::-1]
            return back[turned, turned]

        def kernel(g: Gradient, batch: Batch) -> float:
            # Gradients of two examples are independent; those of all gates are in one sum.
            gates = passed(g) / max(fed.to_input, TINY)
            return float(batch.examples * (_matrix(given)[0] * gates).sum() / layer.gates)

        def pull(g: Gradient, *others: Gradient) -> list[Gradient]:
            back = passed(g, *others)
            same = np.diagonal(back)
            cross = (back.sum(1) - same) / max(steps - 1, 1)
            return [Gradient.within(same, cross, lags_of(back))]

        same, inputs = (np.diagonal(each) for each in unrolled.states)
        last = _alone(np.array([same[-1], inputs[-1]]), unrolled.means[-1], layer.units)
        others: tuple[Field, ...] = ()
        if layer.return_state:
            others = (last,)
            if unrolled.carry is not None:
                others = (last, _alone(unrolled.carry, np.array(unrolled.carry_mean), layer.units))
        if not layer.return_sequences:
            return Expected(last, pull, others=others, kernel=None if others else kernel)
        places, both = ((m.sum(1) - np.diagonal(m)) / max(steps - 1, 1) for m in unrolled.states)
        moments = np.stack([same, inputs, places, both])
        lags = lags_of(unrolled.states[0])
        output = normal(moments, unrolled.means, layer.units, lags=lags)
        return Expected(output, pull, others=others, kernel=None if others else kernel)


def _followed(fed: _Fed, factors: Sequence[float], cell: own_state.Cell, states: int) -> Unrolled:
    means = [bias.mean for bias in fed.biases]
    found = own_state.followed(fed.inputs, means, factors, cell, states)

    def pull(outer: Array, last: float) -> Array:
        return fed.to_input * found.pull(outer[0, ::-1, ::-1], last)[None, ::-1, ::-1]

    carry = found.carry if states > 1 else None
    return Unrolled(found.states, found.means, pull, carry, found.carry_mean)


def _alone(pairs: Array, mean: Array, units: int) -> Field:
    """The field of one step, by E[x²] and E[x x'] of two examples."""
    return normal(np.tile(pairs, 2), mean, units)


class _Fed(NamedTuple):
    """The inputs of the gates at each step, and the factors of states and gradients."""

    inputs: Array
    again: Array
    """The number of units times E[u²] of recurrent weights, for one example and two: (2, 1)."""
    to_state: float
    to_input: float
    biases: Sequence[Weight]
    """Of each gate, in the order of the weights."""


def _fed(layer: Any, context: Context, given: Array) -> _Fed:
    kernel, inner = context.weights["kernel"], context.weights["recurrent_kernel"]
    units, features = layer.units, context.sizes["kernel"][0]
    biases = _biases(layer, context)
    kept = [1 - rate if 0 < rate < 1 else 1.0 for rate in (layer.dropout, layer.recurrent_dropout)]
    # All steps of an example have the same dropout mask.
    masks = np.array([[1 / kept[0]], [1.0]])[:, :, None]
    return _Fed(
        inputs=features * kernel.second * given * masks + biases[0].variance,
        again=units * inner.second * np.array([[1 / kept[1]], [1.0]]),
        to_state=units * inner.second / kept[1],
        to_input=units * kernel.second / kept[0],
        biases=biases,
    )


def _biases(layer: Any, context: Context) -> list[Weight]:
    """The moments of the bias of each gate, which may be a sum of two."""
    bias, gates = context.weights.get("bias"), layer.gates
    if bias is None:
        return [Weight(0.0, 0.0)] * gates
    made = context.initializers["bias"]
    if isinstance(made, Chrono):
        raise NoTheory("gates with a time scale for each unit")
    blocks = [bias] * (layer.biases * gates)
    if isinstance(made, Joined):
        parts = zip(made.parts, made.sizes, strict=True)
        each = [(part.distribution_for((size,)), size // layer.units) for part, size in parts]
        if any(distribution is None for distribution, _ in each):
            raise NoTheory("a bias without a distribution")
        blocks = [Weight(d.mean, d.std**2) for d, count in each if d for _ in range(count)]
    return [
        Weight(sum(b.mean for b in same), sum(b.variance for b in same))
        for same in (blocks[gate::gates] for gate in range(gates))
    ]


def _matrix(given: Field) -> Array:
    same, inputs, places, both = given.moments
    return np.stack([at_lags(same, places, given.lags), at_lags(inputs, both, given.lags)])


class SimpleRNNRule(_RecurrentRule):
    """h_t = φ(W x_t + U h_(t−1) + b)"""

    layers = (recurrent.SimpleRNN,)

    def cell(self, layer: Any) -> own_state.Cell:
        return own_state.simple_cell(layer.activation)

    def unrolled(self, layer: Any, fed: _Fed) -> Unrolled:
        steps = fed.inputs.shape[1]
        squash = Gate.of(layer.activation, fed.biases[0].mean)
        z, h, slope = Steps(steps), Image(steps, squash), Image(steps, squash.slope)
        for t in range(steps):
            z.fill(t, fed.inputs[:, t, : t + 1] + fed.again * h.before(t))
            take_images(t, z, h, slope)
        means = np.array([squash.first(z.variance(t)) for t in range(steps)])

        def pull(outer: Array, _: float) -> Array:
            gates, slopes = Steps(steps, 1), slope.backwards()
            for t in range(steps):
                here = (slice(None), t, slice(t + 1))
                gates.fill(t, (outer[here] + fed.to_state * gates.before(t)) * slopes[here])
            return fed.to_input * gates.whole

        return Unrolled(h.whole, means, pull)


class LSTMRule(_RecurrentRule):
    """c_t = f c_(t−1) + i g and h_t = o φ(c_t), for gates f, i, o and a candidate g."""

    layers = (recurrent.LSTM, recurrent.CuDNNLSTM)

    def cell(self, layer: Any) -> own_state.Cell:
        return own_state.lstm_cell(layer.activation, layer.recurrent_activation)

    def unrolled(self, layer: Any, fed: _Fed) -> Unrolled:
        steps = fed.inputs.shape[1]
        gate, forget = (Gate.of(layer.recurrent_activation, b.mean) for b in fed.biases[:2])
        squash, plain = (Gate.of(layer.activation, m) for m in (fed.biases[2].mean, 0.0))
        z, c, about, h = (Steps(steps) for _ in range(4))
        opened, kept, candidates, shown = (
            Image(steps, each) for each in (gate, forget, squash, plain)
        )
        gate_slope, forget_slope, squash_slope, plain_slope = (
            Image(steps, each.slope) for each in (gate, forget, squash, plain)
        )
        memory, plain_first = Memory(steps), np.zeros(steps)
        centers, means = np.zeros(steps), np.zeros(steps)
        for t in range(steps):
            z.fill(t, fed.inputs[:, t, : t + 1] + fed.again * h.before(t))
            take_images(t, z, opened, kept, candidates, gate_slope, forget_slope, squash_slope)
            size = z.variance(t)
            memory.add(t, forget.first(size), gate.first(size))
            entered = opened.row(t) * candidates.row(t)
            c.fill(t, kept.row(t) * c.before(t) + entered + memory.cross(candidates.whole, t))
            centers[t] = memory.enter[t] * squash.first(size)
            centers[t] += memory.forget[t] * centers[t - 1] if t else 0.0
            about.fill(t, c.row(t) - centers[t] * centers[: t + 1])
            take_images(t, about, shown, plain_slope, mean=centers[t])
            plain_first[t] = plain.slope.first(about.variance(t), centers[t])
            h.fill(t, opened.row(t) * shown.row(t))
            means[t] = memory.enter[t] * plain.first(about.variance(t), centers[t])

        def pull(outer: Array, last: float) -> Array:
            open_slope, open_gate = gate_slope.backwards(), opened.backwards()
            into_carry = candidates.backwards() * open_slope
            into_carry += delayed(c).backwards() * forget_slope.backwards()
            into_carry += open_gate * squash_slope.backwards()
            returning = memory.backwards(memory.enter * plain_first)
            passing = open_gate * plain_slope.backwards()
            shown_slope = shown.backwards() * open_slope
            carried = kept.backwards()
            gates, arriving, carry = (Steps(steps, 1) for _ in range(3))
            for t in range(steps):
                here = (slice(None), t, slice(t + 1))
                arriving.fill(t, outer[here] + fed.to_state * gates.before(t))
                row = arriving.row(t) * passing[here] + returning.cross(arriving.whole, t)
                if t:
                    row[:, 1:] += carried[:, t - 1, :t] * carry.whole[:, t - 1, :t]
                else:
                    row += last
                carry.fill(t, row)
                gates.fill(t, row * into_carry[here] + arriving.row(t) * shown_slope[here])
            return fed.to_input * gates.whole

        return Unrolled(h.whole, means, pull, c.whole[:, -1, -1], centers[-1])


class GRURule(_RecurrentRule):
    """h_t = u h_(t−1) + (1 − u) g, where the candidate g depends on r h_(t−1) with a gate r."""

    layers = (recurrent.GRU, recurrent.CuDNNGRU)

    def cell(self, layer: Any) -> own_state.Cell:
        return own_state.gru_cell(layer.activation, layer.recurrent_activation)

    def unrolled(self, layer: Any, fed: _Fed) -> Unrolled:
        steps = fed.inputs.shape[1]
        update = Gate.of(layer.recurrent_activation, fed.biases[0].mean)
        # The reset gate multiplies the recurrent bias.
        behind = (layer.biases - 1) / layer.biases
        before = fed.biases[2].mean * (1 - behind * (1 - update.first(0.0)))
        squash = Gate.of(layer.activation, before)
        late = behind * fed.biases[2].variance
        z, inside, h = (Steps(steps) for _ in range(3))
        kept, slope = Image(steps, update), Image(steps, update.slope)
        candidates, squash_slope = Image(steps, squash), Image(steps, squash.slope)
        memory, means = Memory(steps), np.zeros(steps)
        for t in range(steps):
            fresh, back = fed.inputs[:, t, : t + 1], fed.again * h.before(t)
            z.fill(t, fresh + back)
            take_images(t, z, kept, slope)
            inside.fill(t, fresh - late + kept.row(t) * (back + late))
            take_images(t, inside, candidates, squash_slope)
            first = update.first(z.variance(t))
            memory.add(t, first, 1 - first)
            means[t] = (1 - first) * squash.first(inside.variance(t))
            means[t] += first * means[t - 1] if t else 0.0
            both = kept.row(t)
            left = 1 - memory.forget[t] - memory.forget[: t + 1] + both
            entered = left * candidates.row(t)
            # The same gate forgets and enters: subtract its variance from the cross terms.
            share = (memory.forget[t] - both) / max(memory.forget[t] * memory.enter[t], TINY)
            h.fill(t, both * h.before(t) + entered + memory.cross(candidates.whole, t) * share)

        def pull(outer: Array, _: float) -> Array:
            before, carried = delayed(h).backwards(), kept.backwards()
            first = memory.forget[::-1]
            left = 1 - first[:, None] - first[None, :] + carried
            into_candidate = left * squash_slope.backwards()
            slopes = slope.backwards()
            into_update = (before + candidates.backwards()) * slopes
            into_reset = float(fed.again[0, 0]) * before * slopes
            returning = memory.backwards(np.ones(steps))
            gates, states, arriving, carry = (Steps(steps, 1) for _ in range(4))
            for t in range(steps):
                here = (slice(None), t, slice(t + 1))
                arriving.fill(t, outer[here] + fed.to_state * states.before(t))
                row = arriving.row(t) + returning.cross(arriving.whole, t)
                if t:
                    row[:, 1:] += carried[:, t - 1, :t] * carry.whole[:, t - 1, :t]
                carry.fill(t, row)
                candidate = row * into_candidate[here]
                others = row * into_update[here] + candidate * into_reset[here]
                gates.fill(t, candidate + others)
                states.fill(t, others + candidate * carried[here])
            return fed.to_input * gates.whole

        return Unrolled(h.whole, means, pull)
