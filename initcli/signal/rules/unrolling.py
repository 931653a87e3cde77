"""Second moments of a recurrent layer at every two of its steps.

A matrix (pairs, steps, steps) holds E[x x'] at every two steps, of one example and of two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from autograd import elementwise_grad

from initcli.activations import Activation
from initcli.signal import arrays
from initcli.signal.hermite import NODES, TINY, WEIGHTS, hermite, powers
from initcli.types import Array


class Gate(NamedTuple):
    """A function of normal variables with that mean."""

    function: Callable[[Array], Array]
    mean: float = 0.0

    @classmethod
    def of(cls, activation: Activation, mean: float) -> Gate:
        """An activation as a gate."""
        return cls(lambda z: activation.call(arrays, z), mean)

    @property
    def slope(self) -> Gate:
        """The derivative."""
        return Gate(elementwise_grad(self.function), self.mean)

    def first(self, variance: float, mean: float = 0.0) -> float:
        """E[f(z)]."""
        return float(WEIGHTS @ self.values(variance, mean))

    def values(self, variance: float, mean: float = 0.0) -> Array:
        """f at the nodes."""
        return self.function(self.mean + mean + np.sqrt(max(variance, 0.0)) * NODES)


class Steps:
    """E[x x'] at every two steps, filled step by step."""

    def __init__(self, steps: int, pairs: int = 2) -> None:
        self.whole = np.zeros((pairs, steps, steps))

    def fill(self, step: int, row: Array) -> None:
        """Set the moments of a step and all steps up to it: (pairs, step + 1)."""
        self.whole[:, step, : step + 1] = row
        self.whole[:, : step + 1, step] = row

    def row(self, step: int) -> Array:
        """The moments of a step and all steps up to it."""
        return self.whole[:, step, : step + 1]

    def before(self, step: int) -> Array:
        """The row of the previous step, shifted by one step; 0 before the start."""
        row = np.zeros((len(self.whole), step + 1))
        if step:
            row[:, 1:] = self.whole[:, step - 1, :step]
        return row

    def variance(self, step: int) -> float:
        """E[x²] at a step."""
        return max(float(self.whole[0, step, step]), TINY)

    def correlations(self, step: int) -> Array:
        """The correlations of a step with all steps up to it."""
        sizes = np.maximum(np.diagonal(self.whole[0])[: step + 1], TINY)
        correlations: Array = self.row(step) / np.sqrt(self.variance(step) * sizes)
        return correlations

    def backwards(self) -> Array:
        """The moments of one example, with steps counted from the end: (1, steps, steps)."""
        return self.whole[:1, ::-1, ::-1]


class Image(Steps):
    """E[f(z) f(z')] at every two steps, for a gate f and normal variables z."""

    def __init__(self, steps: int, gate: Gate) -> None:
        super().__init__(steps)
        self.gate = gate
        self.coefficients = np.zeros((steps, len(hermite(NODES))))

    def take(self, step: int, variance: float, powers: Array, mean: float) -> None:
        """Set the row of a step, for mean and variance of z and the powers of its correlations."""
        self.coefficients[step] = hermite(self.gate.values(variance, mean))
        pairs = self.coefficients[: step + 1] * self.coefficients[step]
        self.fill(step, np.einsum("ksn,sn->ks", powers, pairs))


class Memory:
    """A memory m_t = f_t m_(t−1) + e_t x_t, where e_t and x_t are independent.

    ``weights[t, s]`` is the expected factor of x_s in m_t.
    """

    def __init__(self, steps: int) -> None:
        self.weights = np.zeros((steps, steps))
        self.forget = np.zeros(steps)
        self.enter = np.zeros(steps)

    def add(self, step: int, forget: float, enter: float) -> None:
        """Set the expected factors of a step."""
        self.forget[step], self.enter[step] = forget, enter
        if step:
            self.weights[step] = forget * self.weights[step - 1]
        self.weights[step, step] = enter

    def cross(self, entries: Array, step: int) -> Array:
        """f_t e_s E[m_(t−1) x_s] + e_t f_s E[m_(s−1) x_t] for s ≤ t: (pairs, step + 1)."""
        row = np.zeros((len(entries), step + 1))
        if not step:
            return row
        near = entries[:, :step, : step + 1]
        left = self.weights[step - 1, :step] @ near
        row += self.forget[step] * self.enter[: step + 1] * left
        right = entries[:, :step, step] @ self.weights[:step, :step].T
        row[:, 1:] += self.enter[step] * self.forget[1 : step + 1] * right
        return row

    def backwards(self, enter: Array) -> Memory:
        """The memory of the gradient, which comes from later steps, counted from the end."""
        steps = len(self.forget)
        forget = np.append(0.0, self.forget[:0:-1])
        gradient = Memory(steps)
        for step in range(steps):
            gradient.add(step, float(forget[step]), float(enter[steps - 1 - step]))
        return gradient


def take_images(step: int, z: Steps, *images: Image, mean: float = 0.0) -> None:
    """Set the row of a step in images of variables z with that mean."""
    rising = powers(np.clip(z.correlations(step), -1.0, 1.0))
    for each in images:
        each.take(step, z.variance(step), rising, mean)


def delayed(matrix: Steps) -> Steps:
    """The same moments one step later; 0 at the start."""
    later = Steps(matrix.whole.shape[1], 1)
    later.whole[:, 1:, 1:] = matrix.whole[:1, :-1, :-1]
    return later
