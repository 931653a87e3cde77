"""Rules of normalizations."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from initcli.layers import normalization
from initcli.signal.field import NODES, WEIGHTS, Field, field, hidden, normal, pair_shares
from initcli.signal.rules.base import (
    Expected,
    Gradient,
    NoTheory,
    Place,
    Weight,
    affine,
    divided,
    expected,
    then,
    weighted,
    with_bias,
)
from initcli.signal.rules.layout import Axes, counted_from_end, feature_axes, independent
from initcli.signal.rules.merging import beside
from initcli.types import Array


@feature_axes.register(normalization.BatchNormalization)
@feature_axes.register(normalization.LayerNormalization)
@feature_axes.register(normalization.GroupNormalization)
@feature_axes.register(normalization.RMSNormalization)
@feature_axes.register(normalization.UnitNormalization)
def _(layer: Any, place: Place, given: Field) -> Axes:
    return counted_from_end(layer.axis, len(place.inputs[0]))


def scaled(found: Expected, place: Place) -> Expected:
    """gamma · x + beta."""
    gamma, beta = place.weights.get("gamma"), place.weights.get("beta")
    if gamma is not None and gamma != Weight(1.0, 0.0):
        found = then(found, lambda y: weighted(y, gamma))
    if beta is not None and beta != Weight(0.0, 0.0):
        y = found.output
        moments, means = with_bias(y.moments, y.means, beta)
        found = Expected(normal(moments, means, y.units), found.pull)
    return found


def standardized(given: Field, level: Array, variance: Array, values: Array) -> Field:
    """(x − μ) / √variance, where E[μ²] is the level."""
    moments = (given.moments - level) / variance
    moments[0] = np.maximum(moments[0], 0.0)
    lags = given.lags
    if lags is not None:
        share = float(level.mean()) / max(float(given.second.mean()), 1e-300)
        lags = (lags - share) / max(1 - share, 1e-300)
    return field(moments, given.units, values, given.latent, True, lags)


@expected.register
def _(layer: normalization.BatchNormalization, place: Place, given: Field) -> Expected:
    """Channel by channel: the mean that is taken off is that of all pairs of entries.

    Backwards the mean of g, and what of g goes along the output, are taken off (Yang et al. 2019).
    """
    if layer.renorm:
        raise NoTheory("renorm")
    if not (place.training and layer.trainable):
        variance = place.weights["moving_variance"].mean + layer.epsilon
        center = place.weights["moving_mean"].mean
        return scaled(affine(given, variance**-0.5, -center * variance**-0.5), place)
    if given.parts is None:
        return scaled(_by_channel(layer, place, given), place)
    steps = [_by_channel(layer, place, part) for part in given.parts]
    together = beside([step.output for step in steps])

    def pull(g: Gradient) -> list[Gradient | None]:
        parts = zip(given.parts or (), steps, together.pull(g), strict=True)
        back = [(part, step.pull(each)[0]) for part, step, each in parts if each is not None]
        return [divided([(part.units, each) for part, each in back])]

    return scaled(Expected(together.output, pull), place)


def _by_channel(layer: normalization.BatchNormalization, place: Place, given: Field) -> Expected:
    shares = pair_shares(place.batch, math.prod(given.grid))
    # E[x μ] at each position, for the mean μ over the batch and all positions.
    beside_mean = np.tensordot(shares, given.moments, 1)
    centered = given.moments - 2 * beside_mean + beside_mean.mean()
    centered[0] = np.maximum(centered[0], 0.0)
    channels = _channels(given, float(centered[0].mean()), layer.epsilon)
    values = given.profile - float(WEIGHTS @ given.profile)
    spread = float(centered[0].mean())
    size = spread / channels.kept if channels.kept > 0 else spread + layer.epsilon
    found = field(centered / size, given.units, values, given.latent, pinned=True)
    unit = found.moments.reshape(4, -1).mean(1)

    def pull(g: Gradient) -> list[Gradient | None]:
        pairs = np.array([g.second, 0.0, g.places, 0.0])
        off = float(shares @ pairs)
        along = float(shares @ (pairs * unit))
        kept = np.stack([np.maximum(g.moments[0] - off - along, 0.0), g.moments[1] - off])
        before = g.tilt_of(given)
        tilt = channels.tilt if before is None else before * channels.tilt
        tilt = tilt / max(float(WEIGHTS @ tilt), 1e-300)
        return [Gradient(kept * channels.inverse, tilt, given.latent)]

    return Expected(found, pull)


class _Channels(NamedTuple):
    """Channels whose variances V differ, because their means do and the entries are no sums.

    ``kept`` is E[V / (V + ε)], ``inverse`` E[1 / (V + ε)], and ``tilt`` the latter for entries of
    each normal number, as a share of it.
    """

    kept: float
    inverse: float
    tilt: Array


def _channels(given: Field, variance: float, epsilon: float) -> _Channels:
    """By the part of the normal number behind an entry that a channel has in all of them."""
    common = float(np.clip(hidden(given)[2].mean(), 0.0, 0.999))
    means, rest = NODES[_MEANS], NODES[_REST]
    at_means, at_rest = (WEIGHTS[part] / WEIGHTS[part].sum() for part in (_MEANS, _REST))
    z = math.sqrt(common) * means[:, None] + math.sqrt(1 - common) * rest
    values = np.interp(z, NODES, given.profile)
    variances = values**2 @ at_rest - (values @ at_rest) ** 2
    variances = variances * (variance / max(float(at_means @ variances), 1e-300))
    inverses = 1 / (variances + epsilon)
    inverse = float(at_means @ inverses)
    # Given z, the channel's part is normal about √common · z.
    back = math.sqrt(common) * NODES[:, None] + math.sqrt(1 - common) * rest
    tilt = np.interp(back, means, inverses) @ at_rest / inverse
    return _Channels(float(at_means @ (variances * inverses)), inverse, tilt)


_MEANS = slice(5, None, 10)
_REST = slice(2, None, 5)


def _mean_square(g: Gradient, units: int, is_group: bool) -> float:
    """E[ḡ²] for the mean over units of one position, or over all positions."""
    positions = math.prod(g.grid) if is_group else 1
    return (g.second / positions + (1 - 1 / positions) * g.places) / max(units, 1)


@expected.register(normalization.LayerNormalization)
@expected.register(normalization.GroupNormalization)
@expected.register(normalization.RMSNormalization)
@expected.register(normalization.UnitNormalization)
def _(layer: Any, place: Place, given: Field) -> Expected:
    is_group = isinstance(layer, normalization.GroupNormalization)
    given = independent(given)
    centers = is_group or (
        isinstance(layer, normalization.LayerNormalization) and not layer.rms_scaling
    )
    means = given.means if centers else np.zeros(given.grid)
    second, count = given.second, given.units
    level = means**2
    if is_group:
        groups = given.units if layer.groups == -1 else layer.groups
        count, positions = given.units // groups, math.prod(given.grid)
        # Units of a group have their own means over positions.
        places = float((given.moments[2] - level).mean()) / count * (1 - 1 / positions)
        level = np.full(given.grid, float(level.mean()) + places)
        second = np.full(given.grid, float(second.mean()))
    variance = np.maximum(second - level, 0.0)
    if isinstance(layer, normalization.UnitNormalization):
        # The layer's own least square, so that a vector of zeros stays one.
        size = np.maximum(second * given.units, 1e-24)
    elif isinstance(layer, normalization.LayerNormalization) and layer.rms_scaling:
        size = second - given.means**2 + layer.epsilon
    else:
        size = variance + layer.epsilon
    values = given.profile - (float(WEIGHTS @ given.profile) if centers else 0.0)
    found = standardized(given, level, size, values)
    # E[1 / S] is more than 1 / E[S] for a mean S of few squares.
    uneven = 1 / (1 - min(2 / max(count * (math.prod(given.grid) if is_group else 1), 1), 0.5))
    together = count * (math.prod(given.grid) if is_group else 1)

    def pull(g: Gradient) -> list[Gradient | None]:
        # What goes along the output is taken off, and the mean where that is.
        off = g.second / max(together, 1) + centers * _mean_square(g, count, is_group)
        kept = np.maximum(1 - off / max(g.second, 1e-300), 0.0)
        return [g.times(kept / size * uneven)]

    weights = dict(place.weights)
    if "scale" in weights:
        weights["gamma"] = weights["scale"]
    return scaled(Expected(found, pull), place._replace(weights=weights))
