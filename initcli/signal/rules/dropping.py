"""Rules of what acts in training only."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from initcli.layers import applications, regularization
from initcli.signal.field import WEIGHTS, Field, field, profile_of
from initcli.signal.rules.base import Expected, Place, affine, expected, unchanged
from initcli.signal.rules.layout import as_given, feature_axes

for _kind in (
    regularization.Dropout,
    regularization.AlphaDropout,
    regularization.GaussianDropout,
    regularization.GaussianNoise,
    applications.StochasticDepth,
):
    feature_axes.register(_kind, as_given)


@expected.register(regularization.Dropout)
@expected.register(regularization._SpatialDropout)
@expected.register(applications.StochasticDepth)
def _(layer: Any, place: Place, given: Field) -> Expected:
    rate = getattr(layer, "rate", None)
    rate = layer.drop_path_rate if rate is None else rate
    if not place.training or rate == 0:
        return unchanged(given)
    whole = not isinstance(layer, regularization.Dropout) or layer.noise_shape is not None
    return dropped(given, rate, whole)


def dropped(given: Field, rate: float, whole: bool) -> Expected:
    """Entries that are 0 with that probability, else larger; ``whole`` ones at all positions."""
    if rate >= 1:
        return affine(given, 0.0, 0.0)
    more = 1 / (1 - rate)
    factors = np.array([more, 1.0, more if whole else 1.0, 1.0])
    moments = given.moments * factors.reshape(4, *(1,) * len(given.grid))
    values = np.concatenate([given.profile * more, [0.0]])
    profile = profile_of(values, np.append(WEIGHTS * (1 - rate), rate))
    pairs = factors[[0, 2]].reshape(2, *(1,) * len(given.grid))
    lags = given.lags
    if lags is not None and not whole:
        lags = np.append(1.0, lags[1:] / more)
    found = field(moments, given.units, profile, pinned=given.pinned, lags=lags)
    return Expected(found, lambda g: [g.times(pairs)])


@expected.register
def _(layer: regularization.AlphaDropout, place: Place, given: Field) -> Expected:
    if not place.training or layer.rate in (0, 1):
        return unchanged(given)
    least = -1.6732632423543772 * 1.0507009873554805
    scale = ((1 - layer.rate) * (1 + layer.rate * least**2)) ** -0.5
    shift = -scale * least * layer.rate
    kept = 1 - layer.rate
    moments, means = given.moments, given.means
    found = kept**2 * moments + 2 * kept * layer.rate * least * means + (layer.rate * least) ** 2
    found[0] = kept * moments[0] + layer.rate * least**2
    after = kept * means + layer.rate * least
    found = scale**2 * found + 2 * scale * shift * after + shift**2
    size = math.sqrt(float(given.second.mean()))
    values = np.append(scale * size * given.profile + shift, scale * least + shift)
    profile = profile_of(values, np.append(WEIGHTS * kept, layer.rate))
    output = field(found, given.units, profile, pinned=given.pinned)
    return Expected(output, lambda g: [g.times(scale**2 * kept)])


@expected.register(regularization.GaussianDropout)
@expected.register(regularization.GaussianNoise)
def _(layer: Any, place: Place, given: Field) -> Expected:
    if not place.training:
        return unchanged(given)
    moments = given.moments.copy()
    factor = 1.0
    if isinstance(layer, regularization.GaussianNoise):
        moments[0] += layer.stddev**2
    elif 0 < layer.rate < 1:
        factor += layer.rate / (1 - layer.rate)
        moments[0] *= factor
    found = field(moments, given.units, given.profile, pinned=given.pinned)
    pairs = np.array([factor, 1.0]).reshape(2, *(1,) * len(given.grid))
    return Expected(found, lambda g: [g.times(pairs)])
