"""The scale at which many layers of an activation in a row keep a signal's size."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from autograd import elementwise_grad

from initcli.activations import Activation, Linear
from initcli.signal import arrays
from initcli.signal.hermite import NODES, WEIGHTS
from initcli.signal.observing import near_bounds
from initcli.types import Array

_COARSE = slice(2, None, 5)
_Z = NODES[_COARSE]
_W = WEIGHTS[_COARSE] / WEIGHTS[_COARSE].sum()
_NAMED_SCALES = np.array([1.0, 2.0])
"""Scales of LeCun and He, preferred if they change a signal less than fivefold."""
_NAMED_LIMIT = math.log(5)
_SCALES = np.geomspace(1 / 16, 16, 49)
"""Scales to try first; finer ones follow around the best."""
_MAX_DEPTH = 100
_MAX_SATURATED = 0.25


class Critical(NamedTuple):
    """The best fan_in · Var[w] for an activation, and its effect over many layers.

    ``size`` is the logarithm of the factor of the signal's RMS, ``sensitivity`` the logarithm of
    the factor of a small change relative to the signal's standard deviation.
    """

    scale: float
    size: float
    sensitivity: float

    @property
    def deviation(self) -> float:
        """The larger of the two changes."""
        return max(abs(self.size), abs(self.sensitivity))


@lru_cache(maxsize=256)
def critical(activation: Activation, depth: int, second: float = 1.0) -> Critical:
    """The scale that keeps size and sensitivity best over ``depth`` equal layers.

    For sums of variance q, E[φ(√q z)²] is the mean square of the output, and scale · E[φ'(√q z)²]
    the factor for that of a small change (Poole et al. 2016, arXiv:1606.05340; Schoenholz et al.
    2017, arXiv:1611.01232). A function with φ(λx) = λφ(x), such as ReLU, keeps both at any depth
    for scale = 1 / E[φ(z)²] (He et al. 2015, arXiv:1502.01852).

    Args:
        activation: the function φ, of single entries.
        depth: number of layers.
        second: mean square of the first layer's input.
    """
    if isinstance(activation, Linear):
        return Critical(1.0, 0.0, 0.0)
    value = np.asarray(activation.call(arrays, _Z))
    mean_square = float(_W @ value**2)
    scaled = np.asarray(activation.call(arrays, 32 * _Z))
    if mean_square > 0 and np.allclose(scaled, 32 * value, rtol=1e-6, atol=1e-9):
        return Critical(1 / mean_square, 0.0, 0.0)
    best = _best(activation, _NAMED_SCALES, depth, second)
    if best.deviation < _NAMED_LIMIT:
        return best
    scales = _SCALES
    for _ in range(3):
        best = _best(activation, scales, depth, second)
        step = scales[1] / scales[0]
        scales = np.geomspace(best.scale / step, best.scale * step, 9)
    return best


@lru_cache(maxsize=256)
def growth_at(activation: Activation, scale: float, depth: int) -> tuple[float, float]:
    """Size and sensitivity, as in :class:`Critical`, at one scale."""
    sizes, sensitivities, _ = growth(activation, np.array([scale]), depth)
    return float(sizes[0]), float(sensitivities[0])


def _best(activation: Activation, scales: Array, depth: int, second: float) -> Critical:
    """The best of the scales; scales without saturation are preferred."""
    sizes, sensitivities, saturated = growth(activation, scales, depth, second)
    deviations = np.maximum(np.abs(sizes), np.abs(sensitivities))
    deviations = np.where(saturated > _MAX_SATURATED, deviations + 100, deviations)
    best = int(np.argmin(np.nan_to_num(deviations, nan=np.inf)))
    return Critical(float(scales[best]), float(sizes[best]), float(sensitivities[best]))


def growth(
    activation: Activation, scales: Array, depth: int, second: float = 1.0
) -> tuple[Array, Array, Array]:
    """Size and sensitivity as in :class:`Critical`, and share of saturated entries, by scale."""
    slope = elementwise_grad(lambda x: activation.call(arrays, x))
    mean_square = np.full(len(scales), second)
    first_spread, spread = mean_square, mean_square
    change = np.zeros(len(scales))
    saturated = np.zeros(len(scales))
    with np.errstate(all="ignore"):
        for _ in range(min(depth, _MAX_DEPTH)):
            z = np.sqrt(scales * mean_square)[:, None] * _Z
            y = np.asarray(activation.call(arrays, z))
            change = change + np.log(scales * (slope(z) ** 2 @ _W))
            mean_square = y**2 @ _W
            spread = mean_square - (y @ _W) ** 2
            if None not in activation.bounds:
                saturated = near_bounds(y, activation.bounds) @ _W
        sizes = np.log(mean_square / second) / 2
        sensitivities = (change - np.log(spread / first_spread)) / 2
    return sizes, sensitivities, saturated
