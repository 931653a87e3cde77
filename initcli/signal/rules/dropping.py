"""Rules of layers that act in training only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from initcli.layers import applications, regularization
from initcli.signal.field import WEIGHTS, Field, field, profile_of
from initcli.signal.rules.base import Context, EntrywiseRule, Expected, affine, unchanged
from initcli.types import Array


class _NoiseRule(EntrywiseRule):
    """Noise of its own leaves what the entries have in common with others."""

    def factors(self, layer: Any, count: int) -> Sequence[float] | None:
        return [1.0]


class DropoutRule(_NoiseRule):
    """Entries are 0 with probability ``rate``, and else larger."""

    layers = (regularization.Dropout, regularization._SpatialDropout, applications.StochasticDepth)

    def expected(self, layer: Any, context: Context, given: Field) -> Expected:
        is_depth = isinstance(layer, applications.StochasticDepth)
        rate = layer.drop_path_rate if is_depth else layer.rate
        if rate == 0:
            return unchanged(given)
        if rate >= 1:
            return affine(given, 0.0, 0.0)
        more = 1 / (1 - rate)
        values = np.concatenate([given.profile * more, [0.0]])
        profile = profile_of(values, np.append(WEIGHTS * (1 - rate), rate))
        # Some layers drop a unit at all positions.
        if not isinstance(layer, regularization.Dropout) or layer.noise_shape is not None:
            return _with_noise(given, more, more, profile, given.lags)
        lags = None if given.lags is None else np.append(1.0, given.lags[1:] / more)
        return _with_noise(given, more, 1.0, profile, lags)


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
    """Entries become the lower bound of SELU; an affine map then restores standard moments."""

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
        restored = affine(
            field(dropped, given.units, profile, pinned=given.pinned), scale, -scale * bound * rate
        )
        return Expected(restored.output, lambda g: [g.times(scale**2 * kept)])


def _with_noise(
    given: Field, same: float, places: float, profile: Array, lags: Array | None
) -> Expected:
    """Entries times independent factors of mean 1: E[f²] of one, and E[f f'] of two positions."""
    ones = (1,) * len(given.grid)
    moments = given.moments * np.array([same, 1.0, places, 1.0]).reshape(4, *ones)
    output = field(moments, given.units, profile, pinned=given.pinned, lags=lags)
    pairs = np.array([same, places]).reshape(2, *ones)
    return Expected(output, lambda g: [g.times(pairs)])
