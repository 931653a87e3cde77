"""Rules of functions of single entries: activations, and what scales or keeps entries."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from autograd import elementwise_grad

from initcli import activations
from initcli.activations import Activation, Glu, Linear, LogSoftmax, Softmax, Sparsemax
from initcli.layers import activation, applications, core, features, images, regularization
from initcli.signal import arrays
from initcli.signal.field import (
    WEIGHTS,
    Field,
    field,
    mapped,
    multiplied,
    normal,
    slopes,
    with_mean,
)
from initcli.signal.rules.base import (
    Expected,
    Gradient,
    NoTheory,
    Place,
    affine,
    expected,
    unchanged,
    weighted,
)
from initcli.signal.rules.layout import Axes, as_given, counted_from_end, feature_axes, independent
from initcli.types import Array

_COARSE = slice(2, None, 5)
"""Of the nodes, as many as a smooth integrand needs."""
_LARGE = 1e150
"""In place of what overflows."""
_OVER_UNITS = Softmax | LogSoftmax | Sparsemax | Glu
"""Functions of all units along an axis."""

for _kind in (
    core.Input,
    core.Identity,
    core.Masking,
    regularization.ActivityRegularization,
    activation.ReLU,
    activation.LeakyReLU,
    activation.ELU,
    activation.PReLU,
    images.Rescaling,
):
    feature_axes.register(_kind, as_given)


@expected.register(core.Input)
@expected.register(core.Identity)
@expected.register(core.Masking)
@expected.register(regularization.ActivityRegularization)
def _(layer: Any, place: Place, given: Field) -> Expected:
    return unchanged(given)


@expected.register
def _(layer: core.Opaque, place: Place, *given: Field) -> Expected:
    if not layer.passes_on:
        raise NoTheory(layer.type_name)
    return Expected(given[0], lambda g: [g, *[None] * (len(given) - 1)])


@feature_axes.register
def _(layer: activation.Activation, place: Place, given: Field) -> Axes:
    function = layer.activation
    if isinstance(function, _OVER_UNITS):
        return counted_from_end(function.axis, len(place.inputs[0]))
    return given.axes


@feature_axes.register
def _(layer: activation.Softmax, place: Place, given: Field) -> Axes:
    return counted_from_end(layer.axis, len(place.inputs[0]))


def activated(function: Activation, given: Field) -> Expected:
    """A function of single entries, or a softmax over units."""
    if isinstance(function, Linear):
        return unchanged(given)
    if isinstance(function, Softmax):
        return _softmaxed(independent(given))
    if isinstance(function, Glu):
        return _gated(independent(given))
    if isinstance(function, _OVER_UNITS):
        raise NoTheory(str(function))

    def value(x: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.nan_to_num(function.call(arrays, x), posinf=_LARGE, neginf=-_LARGE)

    differentiated = elementwise_grad(lambda x: function.call(arrays, x))

    def slope(x: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.nan_to_num(differentiated(x), posinf=_LARGE, neginf=-_LARGE)

    return through(value, slope, given)


def through(value: Any, slope: Any, given: Field) -> Expected:
    """A function of single entries with that slope: E[g²] times E[f'(x)²] (Schoenholz et al. 2017).

    Where the gradient is tilted towards some entries, the mean is taken over those.
    """
    factors = slopes(slope, given)
    squares = slope(math.sqrt(float(given.second.mean())) * given.profile) ** 2

    def pull(g: Gradient) -> list[Gradient | None]:
        tilt = g.tilt_of(given)
        before = np.ones_like(WEIGHTS) if tilt is None else tilt
        mean = float(WEIGHTS @ (before * squares))
        scales = factors
        if tilt is not None:
            scales = factors * (mean / max(float(WEIGHTS @ squares), 1e-300))
        after = before * squares / max(mean, 1e-300)
        return [Gradient(g.moments * scales, after, given.latent, g.lags)]

    return Expected(mapped(value, given), pull)


def activated_along(function: Activation, given: Field, axes: Axes) -> Expected:
    """A layer's own activation, where the layer's units stand on those axes."""
    if isinstance(function, _OVER_UNITS) and axes != (function.axis,):
        raise NoTheory("an activation over positions")
    return activated(function, given)


def _softmaxed(given: Field) -> Expected:
    n, grid = given.units, given.grid
    size = math.sqrt(float(given.second.mean()))
    centered = size * (given.profile - WEIGHTS @ given.profile)
    centered -= centered.max()
    second, cube, fourth, pair = (
        softmax_moment(centered, n, *powers) for powers in ((2,), (3,), (4,), (2, 2))
    )
    mean = 1 / n
    powers = mapped(lambda x: np.exp(x - size * given.profile.max()), given)
    spread = np.maximum(powers.second - powers.means**2, 1e-300)
    moments = np.empty((4, *grid))
    moments[0] = second
    shared = (powers.moments[1:] - powers.means**2) / spread
    moments[1:] = mean**2 + (second - mean**2) * shared
    # Of p (g − Σ p g), for independent g: E[p²] − 2 E[p³] + E[p² Σ p²].
    factor = max(second - 2 * cube + fourth + (n - 1) * pair, 0.0)
    # Shares add up to 1 in every draw.
    values = with_mean(np.exp(centered), mean, float(np.mean(second)))
    output = field(moments, n, values, pinned=True)
    return Expected(output, lambda g: [Gradient.even(factor * g.moments[0])])


def softmax_moment(values: Array, n: int, *powers: int) -> float:
    """E[p^a] or E[p^a p'^b] of shares p = e^z / Σ e^z' of n independent z, of these values.

    With k = a + b and 1/S^k = ∫ t^(k−1) e^(−tS) dt / (k−1)! it is an integral of products of
    E[e^(az − t e^z)], one for each z.
    """
    if n == 1:
        return 1.0 if len(powers) == 1 else 0.0
    # Shares stay what they are when all z are moved; where they lie far apart, one has all anyway.
    z = values[_COARSE] - values.max()
    z = z * min(1.0, 150 / max(-float(z.min()), 1e-300))
    each, weights = np.exp(z), WEIGHTS[_COARSE] / WEIGHTS[_COARSE].sum()
    # E[e^(az − t e^z)] falls off beyond what the least e^z lets count.
    low, high = math.log(1e-6 / (n * float(weights @ each))), math.log(50) - float(z.min())
    logs = np.linspace(low, high, max(400, int((high - low) / 0.1)))
    t = np.exp(logs)
    decay = np.exp(-np.outer(t, each))
    rest = np.log(np.maximum(decay @ weights, 1e-300))
    order = sum(powers)
    integrand = t**order * np.exp((n - len(powers)) * rest) / math.factorial(order - 1)
    for power in powers:
        integrand = integrand * (decay @ (weights * each**power))
    found = float(np.sum((integrand[1:] + integrand[:-1]) / 2) * (logs[1] - logs[0]))
    return min(max(found, 0.0), 1.0)


def _gated(given: Field) -> Expected:
    half = field(given.moments, given.units // 2, given.profile)
    other = field(given.moments, given.units // 2, given.profile)
    gate = mapped(arrays.sigmoid, other)
    slope = slopes(lambda x: arrays.sigmoid(x) * (1 - arrays.sigmoid(x)), other)
    to_half = gate.moments[[0, 2]]
    to_gate = half.moments[[0, 2]] * slope
    factors = (to_half + to_gate) / 2
    return Expected(multiplied([half, gate]), lambda g: [Gradient(factors * g.moments)])


@expected.register
def _(layer: activation.Activation, place: Place, given: Field) -> Expected:
    return activated(layer.activation, given)


@expected.register(activation.ReLU)
@expected.register(activation.LeakyReLU)
@expected.register(activation.ELU)
def _(layer: Any, place: Place, given: Field) -> Expected:
    kind = {"ReLU": activations.Relu, "LeakyReLU": activations.LeakyRelu, "ELU": activations.Elu}
    names = ("max_value", "negative_slope", "threshold", "alpha")
    arguments = {name: getattr(layer, name) for name in names if hasattr(layer, name)}
    return activated(kind[type(layer).__name__](**arguments), given)


@expected.register
def _(layer: activation.ThresholdedReLU, place: Place, given: Field) -> Expected:
    return activated(activations.Threshold(threshold=layer.theta), given)


@expected.register
def _(layer: activation.PReLU, place: Place, given: Field) -> Expected:
    mean = place.weights["alpha"].mean
    return through(
        lambda x: np.where(x > 0, x, mean * x), lambda x: np.where(x > 0, 1.0, mean), given
    )


@expected.register
def _(layer: activation.Softmax, place: Place, given: Field) -> Expected:
    return activated(Softmax(), given)


@expected.register(images.Rescaling)
def _(layer: Any, place: Place, given: Field) -> Expected:
    if not isinstance(layer.scale, int | float) or not isinstance(layer.offset, int | float):
        raise NoTheory("a scale for each channel")
    return affine(given, layer.scale, layer.offset)


@expected.register
def _(layer: features.Normalization, place: Place, given: Field) -> Expected:
    """(x − mean) / deviation, of each channel or of all."""
    rank = len(place.inputs[0])
    mean, variance = (np.asarray(v, float) for v in (layer.mean or 0.0, layer.variance or 1.0))
    if layer.axis not in (-1, rank - 1, None) or mean.ndim > 1:
        raise NoTheory("a mean for each position")
    deviation = np.maximum(np.sqrt(variance), 1e-7)
    scale, shift = (deviation, mean) if layer.invert else (1 / deviation, -mean / deviation)
    factor, cross, square = (float(np.mean(v)) for v in (scale**2, scale * shift, shift**2))
    moments = factor * given.moments + 2 * cross * given.means + square
    found = normal(
        moments, float(np.mean(scale)) * given.means + float(np.mean(shift)), given.units
    )
    return Expected(found, lambda g: [g.times(factor)])


@expected.register
def _(layer: applications.LayerScale, place: Place, given: Field) -> Expected:
    return weighted(given, place.weights["gamma"])


@expected.register
def _(layer: applications.Scale, place: Place, given: Field) -> Expected:
    if layer.axis not in (None, -1, len(place.inputs[0]) - 1, (-1,)):
        raise NoTheory("scales of other axes than the last")
    return weighted(given, place.weights["scale"])
