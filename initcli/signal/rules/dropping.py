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

    def kept(self, layer: Any, fields: Sequence[Field], output: Field) -> Sequence[float] | None:
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
        is_whole = not isinstance(layer, regularization.Dropout) or layer.noise_shape is not None
        lags = given.lags
        if lags is not None and not is_whole:
            lags = np.append(1.0, lags[1:] / more)
        return _scaled(given, more, more if is_whole else 1.0, profile, lags)


class GaussianDropoutRule(_NoiseRule):
    layers = (regularization.GaussianDropout,)

    def expected(self, layer: Any, context: Context, given: Field) -> Expected:
        if not 0 < layer.rate < 1:
            return unchanged(given)
        return _scaled(given, 1 / (1 - layer.rate), 1.0, given.profile, None)


class GaussianNoiseRule(_NoiseRule):
    layers = (regularization.GaussianNoise,)

    def expected(self, layer: Any, context: Context, given: Field) -> Expected:
        moments = given.moments
        moments[0] += layer.stddev**2
        output = field(moments, given.units, given.profile, pinned=given.pinned)
        return Expected(output, lambda g: [g])


class AlphaDropoutRule(EntrywiseRule):
    """Entries become the least value of a SELU, and all are scaled to the moments from before."""

    layers = (regularization.AlphaDropout,)

    def expected(self, layer: Any, context: Context, given: Field) -> Expected:
        if layer.rate in (0, 1):
            return unchanged(given)
        least = -1.6732632423543772 * 1.0507009873554805
        scale = ((1 - layer.rate) * (1 + layer.rate * least**2)) ** -0.5
        shift = -scale * least * layer.rate
        kept = 1 - layer.rate
        moments, means = given.moments, given.means
        after = kept**2 * moments + 2 * kept * layer.rate * least * means
        after += (layer.rate * least) ** 2
        after[0] = kept * moments[0] + layer.rate * least**2
        mean = kept * means + layer.rate * least
        after = scale**2 * after + 2 * scale * shift * mean + shift**2
        size = math.sqrt(float(given.second.mean()))
        values = np.append(scale * size * given.profile + shift, scale * least + shift)
        profile = profile_of(values, np.append(WEIGHTS * kept, layer.rate))
        output = field(after, given.units, profile, pinned=given.pinned)
        return Expected(output, lambda g: [g.times(scale**2 * kept)])


def _scaled(
    given: Field, same: float, places: float, profile: Array, lags: Array | None
) -> Expected:
    """Entries times independent factors of mean 1: E[f²] of one, and E[f f'] of two positions."""
    ones = (1,) * len(given.grid)
    moments = given.moments * np.array([same, 1.0, places, 1.0]).reshape(4, *ones)
    output = field(moments, given.units, profile, pinned=given.pinned, lags=lags)
    pairs = np.array([same, places]).reshape(2, *ones)
    return Expected(output, lambda g: [g.times(pairs)])
