"""Recurrent layers that start as the identity: each unit depends on its own earlier state only.

The states of a unit are then not sums over many units (Le et al. 2015, arXiv:1504.00941). Units are
independent and identically distributed. A few thousand of them are simulated step by step, with
normal inputs that have the covariance of every two steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from autograd import grad

from initcli.activations import Activation
from initcli.initializers import Identity, Initializer
from initcli.initializers.composite import Joined
from initcli.signal import arrays
from initcli.types import Array

_ENTRIES = 1 << 20
"""The largest number of inputs of all units, steps and gates."""
_MOST_UNITS = 1 << 11
"""The largest number of units to simulate, with a standard error of 3 % in a mean square."""

States = tuple[Array, ...]
Cell = Callable[[Sequence[Array], Sequence[float], States], States]
"""Takes the input of each gate, the factor of the unit's own state in each, and the states of a
unit to its next states; the first is the output."""


def own_factors(made: Initializer, gates: int) -> list[float] | None:
    """The factor of a unit's own state in each gate; None if the gates depend on other states."""
    if isinstance(made, Identity):
        return [made.gain if made.repeated or gate == 0 else 0.0 for gate in range(gates)]
    if isinstance(made, Joined) and len(made.parts) == gates:
        parts = [part.gain for part in made.parts if isinstance(part, Identity)]
        return parts if len(parts) == gates else None
    return None


def simple_cell(activation: Activation) -> Cell:
    """h = φ(z)"""
    squash = _called(activation)
    return lambda fed, own, states: (squash(fed[0] + own[0] * states[0]),)


def lstm_cell(activation: Activation, recurrent: Activation) -> Cell:
    """c = f c + i g and h = o φ(c)"""
    squash, gate = _called(activation), _called(recurrent)

    def step(fed: Sequence[Array], own: Sequence[float], states: States) -> States:
        h, c = states
        entered, kept, candidate, opened = (z + u * h for z, u in zip(fed, own, strict=True))
        c = gate(kept) * c + gate(entered) * squash(candidate)
        return gate(opened) * squash(c), c

    return step


def gru_cell(activation: Activation, recurrent: Activation) -> Cell:
    """h = u h + (1 − u) g, where the candidate g depends on r h with a gate r"""
    squash, gate = _called(activation), _called(recurrent)

    def step(fed: Sequence[Array], own: Sequence[float], states: States) -> States:
        (h,) = states
        update, reset = (gate(z + u * h) for z, u in zip(fed[:2], own[:2], strict=True))
        return (update * h + (1 - update) * squash(fed[2] + reset * own[2] * h),)

    return step


class Followed(NamedTuple):
    """E[h h'] at every two steps of one example and of two, E[h] by step, E[c²] and E[c c'], E[c].

    ``pull`` takes E[g g'] of the states and E[g²] of the last carry to E[g g'] of the inputs of
    gates, summed over gates.
    """

    states: Array
    means: Array
    carry: Array
    carry_mean: float
    pull: Callable[[Array, float], Array]


def followed_units(steps: int, gates: int) -> int:
    """The number of units to simulate."""
    return max(min(_ENTRIES // max(steps * gates, 1), _MOST_UNITS), 128)


def followed(
    inputs: Array, means: Sequence[float], own: Sequence[float], cell: Cell, count: int
) -> Followed:
    """Simulate units through all steps.

    Args:
        inputs: E[z z'] of the input of a gate at every two steps: (2, steps, steps).
        means: E[z] of each gate.
        own: the factor of the unit's own state in each gate.
        cell: a step.
        count: number of states of a unit.
    """
    steps, gates = inputs.shape[1], len(own)
    units = followed_units(steps, gates)
    rng = np.random.RandomState(0)
    # The sum and the difference of two examples are independent.
    total, apart = (
        _root(inputs[0] + sign * inputs[1]) @ rng.standard_normal((gates, steps, units))
        for sign in (1, -1)
    )
    level = np.reshape(np.asarray(means), (gates, 1, 1))
    one, two = (level + (total + sign * apart) / np.sqrt(2) for sign in (1, -1))

    def unrolled(fed: Array) -> tuple[list[Array], States]:
        states: States = (np.zeros(units),) * count
        outputs = []
        for step in range(steps):
            states = cell([fed[gate, step] for gate in range(gates)], own, states)
            outputs.append(states[0])
        return outputs, states

    (first, last), (second, other) = unrolled(one), unrolled(two)
    h, again = np.array(first), np.array(second)

    def pull(outer: Array, carry: float) -> Array:
        cotangents = _root(outer) @ np.random.RandomState(1).standard_normal((steps, units))
        at_end = np.sqrt(carry) * np.random.RandomState(2).standard_normal(units)

        def weighed(fed: Array) -> Any:
            outputs, states = unrolled(fed)
            whole = sum(arrays.sum(g * y) for g, y in zip(cotangents, outputs, strict=True))
            return whole + arrays.sum(at_end * states[-1]) if carry else whole

        back = grad(weighed)(one)
        return np.einsum("gtu,gsu->ts", back, back) / units

    return Followed(
        states=np.stack([h @ h.T, (h @ again.T + again @ h.T) / 2]) / units,
        means=h.mean(1),
        carry=np.array([np.mean(last[-1] ** 2), np.mean(last[-1] * other[-1])]),
        carry_mean=float(last[-1].mean()),
        pull=pull,
    )


def _called(activation: Activation) -> Callable[[Array], Array]:
    return lambda z: activation.call(arrays, z)


def _root(covariance: Array) -> Array:
    """A square root of a covariance matrix."""
    sizes, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    root: Array = vectors * np.sqrt(np.maximum(sizes, 0.0))
    return root
