"""Tensors in memory, and how a match compares with the truth about a tensor."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from initcli import distributions
from initcli.initializers import Orthogonal, ZeroRow
from initcli.matching.agreement import Match
from initcli.matching.match import measured
from initcli.measuring.measurement import Measurement
from initcli.sampling.chunks import rounded
from initcli.types import TensorDtype


class Held:
    """A tensor in memory, as matching takes it."""

    is_sequential = False

    def __init__(self, path: str, values: Any, dtype: TensorDtype = "float32") -> None:
        kind = np.float64 if dtype == "float64" else np.float32
        self.path, self.dtype = path, dtype
        self.values = rounded(np.ascontiguousarray(values, kind), dtype)
        self.shape = self.values.shape

    def read(self, start: int, stop: int) -> Any:
        """Entries in row order."""
        return self.values.reshape(-1)[start:stop]

    @property
    def measurement(self) -> Measurement:
        """The measurement of all values."""
        return measured(self.values)


def is_true(match: Match, truth: dict[str, Any]) -> bool:
    """Whether a match is the distribution that the values were drawn from."""
    initializer = match.initializer
    if isinstance(initializer, ZeroRow):
        initializer = initializer.declared
    distribution = match.distribution
    if isinstance(distribution, distributions.Mixture):
        # A gate was overwritten: the others must be told.
        return truth["type"] == "mixture" or (
            bool(truth.get("partly")) and any(_same(each, truth) for each in distribution.parts)
        )
    if truth["type"] == "orthogonal":
        return isinstance(initializer, Orthogonal) and _near(initializer.gain, truth["gain"])
    return distribution is not None and _same(distribution, truth)


def _same(distribution: distributions.Distribution, truth: dict[str, Any]) -> bool:
    match distribution, truth["type"]:
        case distributions.Constant(value), "constant":
            return _near(value, truth["value"])
        case distributions.Uniform(low, high), "uniform":
            return _near(low, truth["low"]) and _near(high, truth["high"])
        case distributions.Normal(mean, std), "normal":
            return _near(mean, truth["mean"]) and _near(std, truth["std"])
        case distributions.Normal(mean, std), "truncated":
            # Bounds far outside, such as ±100 σ, leave a normal distribution.
            bound = min(truth["high"] - truth["mean"], truth["mean"] - truth["low"])
            is_far = bound > 6 * truth["std"]
            return is_far and _near(mean, truth["mean"]) and _near(std, truth["std"])
        case distributions.TruncatedNormal(_, scale, _, high), "truncated":
            return _near(scale, truth["std"]) and _near(high, truth["high"])
    return False


def _near(one: float, two: float) -> bool:
    return math.isclose(one, two, rel_tol=1e-4, abs_tol=1e-12)
