"""Rules of dropout and noise, which act in training only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from initcli.layers import applications, regularization
from initcli.signal.field import Field, field
from initcli.signal.hermite import WEIGHTS, profile_of
from initcli.signal.rules.base import Context, EntrywiseRule, Expected, affine, by_moment, unchanged
from initcli.types import Array


class _NoiseRule(EntrywiseRule):
    """The base of rules of independent noise, which keeps cross moments."""

    def factors(self, layer: Any, count: int) -> Sequence[float] | None:
        return [1.0]


class DropoutRule(_NoiseRule):
    """Entries are 0 with probability ``rate``, else multiplied by 1 / (1 − rate)."""

    layers = (regularization.Dropout, regularization._SpatialDropout, applications.StochasticDepth)

    def expected(self, layer: Any, context: Context, given: Field) -> Expected:
        is_depth = isinstance(layer, applications.StochasticDepth)
        rate = layer.drop_path_rate if is_depth else layer.rate
        if rate == 0:
            return unchanged(given)
        if rate >= 1:
            return affine(given, 0.0, 0.0)
        more, kept = 1 / (1 - rate), 1 - rate
        shape = getattr(layer, "noise_shape", None)
        if is_depth or (shape is not None and all(size == 1 for size in shape[1:])):
            # Where whole examples are dropped, use the median of their number.
            kept = 1 - _median_count(context.batch, rate) / context.batch
        values = np.concatenate([given.profile * more, [0.0]])
        profile = profile_of(values, np.append(WEIGHTS * kept, 1 - kept))
        # Some layers drop a unit at all positions together.
        if not isinstance(layer, regularization.Dropout) or shape is not None:
            return _with_noise(given, kept * more**2, kept * more**2, profile, given.lags)
        lags = None if given.lags is None else np.append(1.0, given.lags[1:] / more)
        return _with_noise(given, more, 1.0, profile, lags)


def _median_count(n: int, rate: float) -> int:
    """The median of the number of n that are dropped, which is binomially distributed."""
    count = np.arange(1, n + 1)
    steps = np.log((n + 1 - count) / count * (rate / (1 - rate)))
    logs = n * math.log1p(-rate) + np.cumsum(np.append(0.0, steps))
    return int(np.searchsorted(np.cumsum(np.exp(logs)), 0.5))


class GaussianDropoutRule(_NoiseRule):
    layers = (regularization.GaussianDropout,)

    def expected(self, layer: Any, context: Context, given: Field) -> Expected:
        if not 0 < layer.rate < 1:
            return unchanged(given)
        return _with_noise(given, 1 / (1 - layer.rate), 1.0, given.profile, None)


class GaussianNoiseRule(_NoiseRule):
    layers = (regularization.GaussianNoise,)

    def expected(self, layer: Any, context: Context, given: Field) -> Expected:
        moments = given.moments
        moments[0] += layer.stddev**2
        output = field(moments, given.units, given.profile, pinned=given.pinned)
        return Expected(output, lambda g: [g])


class AlphaDropoutRule(EntrywiseRule):
    """Dropped entries become the lower bound of SELU; an affine map restores mean and variance."""

    layers = (regularization.AlphaDropout,)

    def expected(self, layer: Any, context: Context, given: Field) -> Expected:
        rate, bound = layer.rate, -1.6732632423543772 * 1.0507009873554805
        if rate in (0, 1):
            return unchanged(given)
        kept = 1 - rate
        moments, means = given.moments, given.means
        dropped = kept**2 * moments + 2 * kept * rate * bound * means + (rate * bound) ** 2
        dropped[0] = kept * moments[0] + rate * bound**2
        values = np.append(math.sqrt(given.mean_square) * given.profile, bound)
        profile = profile_of(values, np.append(WEIGHTS * kept, rate))
        scale = (kept * (1 + rate * bound**2)) ** -0.5
        dropout = field(dropped, given.units, profile, pinned=given.pinned)
        restored = affine(dropout, scale, -scale * bound * rate)
        return Expected(restored.output, lambda g: [g.times(scale**2 * kept)])


def _with_noise(
    given: Field, same: float, places: float, profile: Array, lags: Array | None
) -> Expected:
    """Entries times independent factors of mean 1, with E[f²], and E[f f'] of two positions."""
    pairs = by_moment([same, 1.0, places, 1.0], given.grid)
    moments = given.moments * pairs
    output = field(moments, given.units, profile, pinned=given.pinned, lags=lags)
    return Expected(output, lambda g: [g.times(pairs)])
