"""Rules of normalizations."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from initcli.layers import normalization
from initcli.signal.field import (
    Field,
    by_position,
    field,
    latent_correlations,
    mean_products,
    normal,
)
from initcli.signal.gradient import divided
from initcli.signal.hermite import NODES, TINY, WEIGHTS
from initcli.signal.joint import Cross, cross_moments
from initcli.signal.moments import Weight
from initcli.signal.rules.base import (
    Axes,
    Context,
    Expected,
    Gradient,
    NoTheory,
    Rule,
    TwoCalls,
    affine,
    by_moment,
    counted_from_end,
)
from initcli.signal.rules.layout import independent
from initcli.signal.rules.merging import beside
from initcli.signal.rules.sums import weighted, with_bias
from initcli.signal.scatter import pair_shares, unit_scatters
from initcli.types import Array


class _NormalizationRule(Rule):
    def axes(self, layer: Any, context: Context, given: Field) -> Axes:
        return counted_from_end(layer.axis, len(context.inputs[0]))


class BatchNormalizationRule(_NormalizationRule):
    """Normalization of each channel: the mean over the batch and all positions is subtracted.

    Backwards, the mean of g and the projection of g on the output are subtracted (Yang et al. 2019,
    arXiv:1902.08129).
    """

    layers = (normalization.BatchNormalization,)

    def expected(
        self, layer: normalization.BatchNormalization, context: Context, given: Field
    ) -> Expected:
        if layer.renorm:
            raise NoTheory("renorm")
        if not layer.trainable:
            scale = (context.weights["moving_variance"].mean + layer.epsilon) ** -0.5
            center = context.weights["moving_mean"].mean
            return _scaled(affine(given, scale, -center * scale), context)
        if given.parts is None:
            return _scaled(_by_channel(layer, context, given), context)
        steps = [_by_channel(layer, context, part) for part in given.parts]
        together = beside([step.output for step in steps])

        def pull(g: Gradient) -> list[Gradient]:
            back = zip(steps, together.pull(g), strict=True)
            return [divided([(s.output.units, s.pull(each)[0]) for s, each in back])]

        return _scaled(Expected(together.output, pull), context)

    def of_calls(
        self, layer: normalization.BatchNormalization, context: Context, calls: TwoCalls
    ) -> Cross:
        """Each call subtracts the mean of its own batch."""
        if not layer.trainable:
            return super().of_calls(layer, context, calls)
        if context.weights.get("beta", Weight(0.0, 0.0)).second:
            raise NoTheory("a random beta of several calls")
        (one,), (two,) = calls.inputs
        shares = pair_shares(context.batch, one.positions)
        factors = [
            float(after.second.mean() / _centered(before.moments, shares)[0].mean())
            for before, after in zip((one, two), calls.outputs, strict=True)
        ]
        cross = _centered(cross_moments(one, two, calls.crosses[0][0]), shares)
        return cross * math.sqrt(factors[0] * factors[1])


def _centered(moments: Array, shares: Array) -> Array:
    """Moments of x − μ, for the mean μ over the batch and all positions."""
    with_center = np.tensordot(shares, moments, 1)
    same = moments[:2] - 2 * with_center + with_center.mean()
    # The other position is random: on average its product with μ is μ².
    return np.concatenate([same, moments[2:] - with_center])


def _by_channel(
    layer: normalization.BatchNormalization, context: Context, given: Field
) -> Expected:
    shares = pair_shares(context.batch, given.positions)
    centered = _centered(given.moments, shares)
    centered[0] = np.maximum(centered[0], 0.0)
    spread = float(centered[0].mean())
    channels = _channels(given, spread, layer.epsilon)
    values = given.profile - float(WEIGHTS @ given.profile)
    size = spread / channels.kept if channels.kept > 0 else spread + layer.epsilon
    output = field(centered / size, given.units, values, given.latent, pinned=True)
    unit = output.moments.reshape(4, -1).mean(1)
    # The variance V of few entries is nearly gamma distributed, with E[1 / V] > 1 / E[V].
    (scatter,) = unit_scatters(field(output.moments, given.units), context.batch)
    uneven = 1 / (1 - min(scatter, 0.5))

    def pull(g: Gradient) -> list[Gradient]:
        along = float(shares @ (g.moments.reshape(4, -1).mean(1) * unit))
        rest = _centered(g.moments, shares) - along * by_moment(unit, g.grid)
        rest[0] = np.maximum(rest[0], 0.0)
        before = g.tilt_of(given)
        tilt = channels.tilt if before is None else before * channels.tilt
        tilt = tilt / max(float(WEIGHTS @ tilt), TINY)
        return [Gradient(rest * channels.inverse * uneven, tilt, given.latent)]

    return Expected(output, pull)


def normalized_by_step(
    layer: normalization.BatchNormalization, context: Context, given: Field
) -> Expected:
    """Batch normalization of each position with the statistics of the batch at that position."""
    shares = pair_shares(context.batch, 1)[:2]

    def centered(moments: Array) -> Array:
        same, places = moments[:2], moments[2:]
        return np.concatenate([part - np.tensordot(shares, part, 1) for part in (same, places)])

    moments = centered(given.moments)
    size = np.maximum(moments[0], 0.0) + layer.epsilon
    values = given.profile - float(WEIGHTS @ given.profile)
    moments = moments / by_position(size)
    output = field(moments, given.units, values, given.latent, pinned=True)
    one = moments.reshape(4, -1).mean(1) * np.array([1, 1, 0, 0])
    uneven = 1 / (1 - min(unit_scatters(field(one, given.units), context.batch)[0], 0.5))

    def pull(g: Gradient) -> list[Gradient]:
        along = np.tensordot(shares, g.moments[:2] * moments[:2], 1)
        rest = centered(g.moments) - along * moments * [[1], [1], [0], [0]]
        rest[0] = np.maximum(rest[0], 0.0)
        return [Gradient(rest * uneven / by_position(size), g.tilt_of(given), given.latent)]

    return _scaled(Expected(output, pull), context)


class _Channels(NamedTuple):
    """Moments over channels with different variances V, because of means and nonlinear functions.

    ``kept`` is E[V / (V + ε)], ``inverse`` is E[1 / (V + ε)], and ``tilt`` is the latter given the
    latent variable, relative to its mean.
    """

    kept: float
    inverse: float
    tilt: Array


def _channels(given: Field, variance: float, epsilon: float) -> _Channels:
    """The moments by the part of the latent variable that is common to a channel."""
    common = float(np.clip(latent_correlations(given)[2].mean(), 0.0, 0.999))
    means, rest = NODES[_MEANS], NODES[_REST]
    at_means, at_rest = (WEIGHTS[part] / WEIGHTS[part].sum() for part in (_MEANS, _REST))
    z = math.sqrt(common) * means[:, None] + math.sqrt(1 - common) * rest
    values = np.interp(z, NODES, given.profile)
    variances = values**2 @ at_rest - (values @ at_rest) ** 2
    variances = variances * (variance / max(float(at_means @ variances), TINY))
    inverses = 1 / (variances + epsilon)
    inverse = float(at_means @ inverses)
    # Given z, the common part is normal with the mean √common · z.
    back = math.sqrt(common) * NODES[:, None] + math.sqrt(1 - common) * rest
    tilt = np.interp(back, means, inverses) @ at_rest / inverse
    return _Channels(float(at_means @ (variances * inverses)), inverse, tilt)


_MEANS = slice(5, None, 10)
_REST = slice(2, None, 5)


class UnitStatisticsRule(_NormalizationRule):
    """Normalizations over the units of a position, or over a group of units at all positions."""

    layers = (
        normalization.LayerNormalization,
        normalization.GroupNormalization,
        normalization.RMSNormalization,
        normalization.UnitNormalization,
    )

    def expected(self, layer: Any, context: Context, given: Field) -> Expected:
        is_group = isinstance(layer, normalization.GroupNormalization)
        is_scaled = getattr(layer, "rms_scaling", False)
        centers = is_group or (
            isinstance(layer, normalization.LayerNormalization) and not is_scaled
        )
        given = independent(given)
        means = given.means if centers else np.zeros(given.grid)
        second, count, positions = given.second, given.units, 1
        level = means**2
        if is_group:
            groups = given.units if layer.groups == -1 else layer.groups
            count, positions = given.units // groups, given.positions
            # The units of a group have different means over positions.
            places = float((given.moments[2] - level).mean()) / count * (1 - 1 / positions)
            level = np.full(given.grid, float(level.mean()) + places)
            second = np.full(given.grid, float(second.mean()))
        if isinstance(layer, normalization.UnitNormalization):
            # The layer does not change vectors below this size.
            size = np.maximum(second * given.units, 1e-24)
        elif is_scaled:
            size = second - given.means**2 + layer.epsilon
        else:
            size = np.maximum(second - level, 0.0) + layer.epsilon
        values = given.profile - (float(WEIGHTS @ given.profile) if centers else 0.0)
        together = max(count * positions, 1)
        # E[1 / S] > 1 / E[S] for a mean S of few squares.
        uneven = 1 / (1 - min(2 / together, 0.5))

        def pull(g: Gradient) -> list[Gradient]:
            # Subtract the projection on the output, and the mean where the layer centers.
            mean = (g.second / positions + (1 - 1 / positions) * g.cross) / max(count, 1)
            off = g.second / together + centers * mean
            kept = np.maximum(1 - off / max(g.second, TINY), 0.0)
            return [g.times(kept / size * uneven)]

        output = _standardized(given, level, size, values)
        return _scaled(Expected(output, pull), context)


def _standardized(given: Field, level: Array, variance: Array, values: Array) -> Field:
    """(x − μ) / √variance, where E[μ²] is the level."""
    level, variance = (np.broadcast_to(each, given.grid) for each in (level, variance))
    means = np.sqrt(np.maximum(level, 0.0))
    levels = level + mean_products(means, means) - means**2
    moments = (given.moments - levels) / by_position(variance)
    moments[0] = np.maximum(moments[0], 0.0)
    lags = given.lags
    if lags is not None:
        share = float(level.mean()) / max(given.mean_square, TINY)
        lags = (lags - share) / max(1 - share, TINY)
    return field(moments, given.units, values, given.latent, True, lags)


def _scaled(normalized: Expected, context: Context) -> Expected:
    """gamma · x + beta; the gamma of RMSNormalization is ``scale``."""
    gamma = context.weights.get("gamma", context.weights.get("scale"))
    beta = context.weights.get("beta")
    if gamma is not None and gamma != Weight(1.0, 0.0):
        normalized = normalized.then(lambda y: weighted(y, gamma))
    if beta is not None and beta != Weight(0.0, 0.0):
        y = normalized.output
        moments, means = with_bias(y.moments, y.means, beta)
        normalized = Expected(normal(moments, means, y.units), normalized.pull)
    return normalized
