"""Rules of functions of single entries, and of activations over units."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from autograd import elementwise_grad

from initcli.activations import Activation, Glu, Linear, LogSoftmax, Softmax, Sparsemax
from initcli.layers import activation, applications, core, features, images, regularization
from initcli.layers.flow import Flow
from initcli.signal import arrays
from initcli.signal.field import Field, field, normal
from initcli.signal.hermite import TINY, WEIGHTS, with_mean
from initcli.signal.joint import multiplied
from initcli.signal.mapping import mapped, slopes
from initcli.signal.rules.base import (
    Axes,
    Context,
    EntrywiseRule,
    Expected,
    Gradient,
    NoTheory,
    Rule,
    affine,
    counted_from_end,
    unchanged,
)
from initcli.signal.rules.layout import independent
from initcli.signal.rules.sums import weighted
from initcli.signal.softmax import softmax_moments
from initcli.types import Array

_LARGE = 1e150
"""The value that replaces overflows."""
_SMALL = 1e-6
"""Variance of scores up to which Var[p] = Var[x] (1 − 1/n) / n²; the integral loses its digits."""
_OVER_UNITS = Softmax | LogSoftmax | Sparsemax | Glu
"""Functions of all units along an axis."""


class InputRule(EntrywiseRule):
    layers = (core.Input, core.Masking, regularization.ActivityRegularization)

    def expected(self, layer: Any, context: Context, given: Field) -> Expected:
        return unchanged(given)


class OpaqueRule(Rule):
    layers = (core.Opaque,)

    def covers(self, layer: core.Opaque) -> bool:
        return layer.passes_on

    def expected(self, layer: core.Opaque, context: Context, *given: Field) -> Expected:
        if not self.covers(layer):
            raise NoTheory(layer.type_name)
        others = [Gradient.even(np.zeros(each.grid)) for each in given[1:]]
        return Expected(given[0], lambda g: [g, *others])


class FunctionRule(EntrywiseRule):
    """Functions of single entries and of the means of weights."""

    layers = (
        activation.ReLU,
        activation.LeakyReLU,
        activation.ELU,
        activation.PReLU,
        activation.ThresholdedReLU,
    )

    def expected(self, layer: Any, context: Context, given: Field) -> Expected:
        means = {name: weight.mean for name, weight in context.weights.items()}
        flow = Flow(xp=arrays, weights=means)
        return entrywise(lambda x: layer.call(flow, x), given)


class ActivationRule(EntrywiseRule):
    layers = (activation.Activation, activation.Softmax)

    def axes(self, layer: Any, context: Context, given: Field) -> Axes:
        function = getattr(layer, "activation", layer)
        if isinstance(function, _OVER_UNITS | activation.Softmax):
            return counted_from_end(function.axis, len(context.inputs[0]))
        return given.axes

    def expected(self, layer: Any, context: Context, given: Field) -> Expected:
        return activated(getattr(layer, "activation", Softmax()), given)


class RescalingRule(EntrywiseRule):
    layers = (images.Rescaling,)

    def expected(self, layer: images.Rescaling, context: Context, given: Field) -> Expected:
        if not isinstance(layer.scale, int | float) or not isinstance(layer.offset, int | float):
            raise NoTheory("a scale for each channel")
        return affine(given, layer.scale, layer.offset)


class FeatureNormalizationRule(Rule):
    """(x − mean) / deviation, with the statistics of each channel or of all entries."""

    layers = (features.Normalization,)

    def expected(self, layer: features.Normalization, context: Context, given: Field) -> Expected:
        mean, variance = (np.asarray(v, float) for v in (layer.mean or 0.0, layer.variance or 1.0))
        if layer.axis not in (-1, len(context.inputs[0]) - 1, None) or mean.ndim > 1:
            raise NoTheory("a mean for each position")
        deviation = np.maximum(np.sqrt(variance), 1e-7)
        scale, shift = (deviation, mean) if layer.invert else (1 / deviation, -mean / deviation)
        factor, cross, square = (float(np.mean(v)) for v in (scale**2, scale * shift, shift**2))
        moments = factor * given.moments + 2 * cross * given.means + square
        means = float(np.mean(scale)) * given.means + float(np.mean(shift))
        return Expected(normal(moments, means, given.units), lambda g: [g.times(factor)])


class ScaleRule(Rule):
    layers = (applications.LayerScale, applications.Scale)

    def expected(self, layer: Any, context: Context, given: Field) -> Expected:
        if getattr(layer, "axis", None) not in (None, -1, len(context.inputs[0]) - 1, (-1,)):
            raise NoTheory("scales along another axis than the last")
        (scale,) = context.weights.values()
        return weighted(given, scale)


def activated(function: Activation, given: Field, axes: Axes | None = None) -> Expected:
    """An activation; ``axes`` are the axes of the units, if its own axis may differ."""
    if isinstance(function, Linear):
        return unchanged(given)
    if not isinstance(function, _OVER_UNITS):
        return entrywise(lambda x: function.call(arrays, x), given)
    if axes not in (None, (function.axis,)):
        raise NoTheory("an activation over positions")
    if isinstance(function, Softmax):
        return _softmaxed(independent(given))
    if isinstance(function, Glu):
        return _gated(independent(given))
    raise NoTheory(str(function))


def entrywise(function: Callable[[Array], Array], given: Field) -> Expected:
    """A function of single entries: E[g²] times E[f'(x)²] (Schoenholz et al. 2017).

    With a tilted gradient the mean is weighted by the tilt.

    Raises:
        NoTheory: the function is not a number for some entries.
    """

    def value(x: Array) -> Array:
        with np.errstate(all="ignore"):
            values = function(x)
        if np.any(np.isnan(values)):
            raise NoTheory("values that are not a number")
        return np.minimum(np.maximum(values, -_LARGE), _LARGE)

    def slope(x: Array) -> Array:
        with np.errstate(all="ignore"):
            values = elementwise_grad(function)(x)
            return np.nan_to_num(values, copy=False, posinf=_LARGE, neginf=-_LARGE)

    known: list[tuple[Array, Array]] = []

    def pull(g: Gradient) -> list[Gradient]:
        if not known:  # Most predictions need no slopes.
            known.append(slopes(slope, given))
        ((factors, values),) = known
        squares, tilt = values**2, g.tilt_of(given)
        before = np.ones_like(WEIGHTS) if tilt is None else tilt
        mean = float(WEIGHTS @ (before * squares))
        scales = factors
        if tilt is not None:
            scales = factors * (mean / max(float(WEIGHTS @ squares), TINY))
        after = before * squares / max(mean, TINY)
        path = None if tilt is None or g.path is None else g.path.times(values)
        return [Gradient(g.moments * scales, after, given.latent, g.lags, path=path)]

    return Expected(mapped(value, given), pull, sums=given)


def _softmaxed(given: Field) -> Expected:
    n, grid = given.units, given.grid
    size = math.sqrt(given.mean_square)
    centered = size * (given.profile - WEIGHTS @ given.profile)
    centered -= centered.max()
    second, cube, fourth, pair = (
        float(softmax_moments(centered, np.array([n]), *powers)[0])
        for powers in ((2,), (3,), (4,), (2, 2))
    )
    mean = 1 / n
    variance = float(WEIGHTS @ centered**2) - float(WEIGHTS @ centered) ** 2
    if variance < _SMALL:
        second = mean**2 * (1 + variance * (1 - mean))
    powers = mapped(lambda x: np.exp(x - size * given.profile.max()), given)
    spread = np.maximum(powers.second - powers.means**2, TINY)
    moments = np.empty((4, *grid))
    moments[0] = second
    common = (powers.moments[1:] - powers.means**2) / spread
    moments[1:] = mean**2 + (second - mean**2) * common
    # Of p (g − Σ p g), for independent g: E[p²] − 2 E[p³] + E[p² Σ p²].
    factor = max(second - 2 * cube + fourth + (n - 1) * pair, 0.0)
    values = with_mean(np.exp(centered), mean, float(np.mean(second)))
    # The outputs sum to 1 in every draw.
    output = field(moments, n, values, given.latent, pinned=True)
    return Expected(output, lambda g: [Gradient.even(factor * g.moments[0])])


def _gated(given: Field) -> Expected:
    half, other = (field(given.moments, given.units // 2, given.profile) for _ in range(2))
    gate = mapped(arrays.sigmoid, other)
    slope, _ = slopes(lambda x: arrays.sigmoid(x) * (1 - arrays.sigmoid(x)), other)
    factors = (gate.moments + half.moments * slope) / 2
    return Expected(multiplied(half, gate), lambda g: [Gradient(factors * g.moments)])
