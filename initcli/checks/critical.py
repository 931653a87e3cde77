"""The scale at which layers of an activation, one upon the other, keep a signal's size."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from autograd import elementwise_grad

from initcli.activations import Activation, Linear
from initcli.signal import arrays
from initcli.signal.field import NODES, WEIGHTS
from initcli.signal.observing import near_bounds
from initcli.types import Array

_COARSE = slice(2, None, 5)
_Z = NODES[_COARSE]
_W = WEIGHTS[_COARSE] / WEIGHTS[_COARSE].sum()
_SCALES = np.geomspace(1 / 16, 16, 49)
"""Where a scale is looked for first."""
_DEEPEST = 100
_MOST_SATURATED = 0.25
_USUAL = (1.0, 2.0)
"""Scales with names, of LeCun and He, that are as good as any where they change little."""
_LITTLE = math.log(5)


class Critical(NamedTuple):
    """fan_in · Var[w] that suits an activation, and what many such layers do to a signal.

    ``size`` is the logarithm of how much the root mean square of what flows forwards changes over
    the layers, and ``sensitivity`` that of a small change against the signal's own spread.
    """

    scale: float
    size: float
    sensitivity: float

    @property
    def badness(self) -> float:
        """The larger of the two."""
        return max(abs(self.size), abs(self.sensitivity))


@lru_cache(maxsize=256)
def critical(activation: Activation, depth: int, second: float = 1.0) -> Critical:
    """The scale that keeps size and sensitivity best over ``depth`` equal layers.

    With pre-activations of variance q, E[φ(√q z)²] is the mean square of what comes out, and
    scale · E[φ'(√q z)²] what that of a small change is multiplied by (Poole et al. 2016; Schoenholz
    et al. 2017). A function with φ(λx) = λφ(x), such as ReLU, keeps both for scale = 1 / E[φ(z)²]
    (He et al. 2015) at any depth.

    Args:
        activation: the function φ, of single entries.
        depth: how many layers.
        second: the mean square of what flows into the first.
    """
    if isinstance(activation, Linear):
        return Critical(1.0, 0.0, 0.0)
    value, _ = _functions(activation)
    if np.allclose(value(32 * _Z), 32 * value(_Z), rtol=1e-6, atol=1e-9):
        mean_square = float(_W @ value(_Z) ** 2)
        if mean_square > 0:
            return Critical(1 / mean_square, 0.0, 0.0)
    usual = _best(activation, np.array(_USUAL), depth, second)
    if usual.badness < _LITTLE:
        return usual
    scales = _SCALES
    for _ in range(3):
        found = _best(activation, scales, depth, second)
        step = scales[1] / scales[0]
        scales = np.geomspace(found.scale / step, found.scale * step, 9)
    return found


def _best(activation: Activation, scales: Array, depth: int, second: float) -> Critical:
    """The best of some scales."""
    sizes, sensitivities, saturated = grown(activation, scales, depth, second)
    badness = np.maximum(np.abs(sizes), np.abs(sensitivities))
    badness = np.where(saturated > _MOST_SATURATED, badness + _DEEPEST, badness)
    best = int(np.argmin(np.nan_to_num(badness, nan=np.inf)))
    return Critical(float(scales[best]), float(sizes[best]), float(sensitivities[best]))


def grown(
    activation: Activation, scales: Array, depth: int, second: float = 1.0
) -> tuple[Array, Array, Array]:
    """Size, sensitivity and the share of saturated entries behind layers of each of the scales.

    The first two are logarithms, as in :class:`Critical`; the third is of the last layer.
    """
    value, slope = _functions(activation)
    mean_square = np.full(len(scales), second)
    first_spread, spread = mean_square, mean_square
    change = np.zeros(len(scales))
    saturated = np.zeros(len(scales))
    is_bounded = None not in activation.bounds
    with np.errstate(all="ignore"):
        for _ in range(min(depth, _DEEPEST)):
            z = np.sqrt(scales * mean_square)[:, None] * _Z
            y = value(z)
            change = change + np.log(scales * (slope(z) ** 2 @ _W))
            mean_square = y**2 @ _W
            spread = mean_square - (y @ _W) ** 2
            if is_bounded:
                saturated = near_bounds(y, activation.bounds) @ _W
        sizes = np.log(mean_square / second) / 2
        sensitivities = (change - np.log(spread / first_spread)) / 2
    return sizes, sensitivities, saturated


def _functions(activation: Activation) -> tuple[Array, Array]:
    """The function and its slope."""
    slope = elementwise_grad(lambda x: activation.call(arrays, x))

    def value(x: Array) -> Array:
        return np.asarray(activation.call(arrays, x))

    return value, slope
