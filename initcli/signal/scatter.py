"""The variance of the mean square of a tensor between draws."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from initcli.signal.field import Field, latent_correlations
from initcli.signal.hermite import WEIGHTS, hermite, series
from initcli.types import Array


def scatter(given: Field, batch: int) -> float:
    """The variance of log S over draws, for the mean square S of all entries of a batch.

    Units are independent given the inputs of the layer, so that it is the mean over pairs of
    (E[x² x'²] / E[x²]² − 1) / units: 2 / units for one normal vector, 5 / units after a ReLU (Hanin
    and Nica 2020, arXiv:1812.05994). Means over different examples or positions vary less.
    """
    return scatters(given, batch)[0]


def scatters(given: Field, *batches: int) -> list[float]:
    """:func:`scatter` for several sizes of a batch."""
    if given.pinned or given.units == 0:
        return [0.0] * len(batches)
    return [math.log1p(each / given.units) for each in unit_scatters(given, *batches)]


def unit_scatters(given: Field, *batches: int) -> list[float]:
    """Var[S] / E[S]² of the mean square S of one unit, over all examples and positions."""
    fourth, squares = _squared(given.profile.tobytes())
    rho = latent_correlations(given)
    means = series(squares, rho).reshape(3, -1).mean(1)
    if given.steady:
        means = means - 2 * given.steady * (rho * rho).reshape(3, -1).mean(1)
    pairs = np.array([fourth - 2 * given.steady, *means])
    shares = (pair_shares(batch, given.positions) for batch in batches)
    return [max(float(each @ pairs) - 1.0, 0.0) for each in shares]


@lru_cache(maxsize=64)
def _squared(profile: bytes) -> tuple[float, Array]:
    """E[x⁴], and the squares of the Hermite coefficients of x²."""
    squares = np.frombuffer(profile) ** 2
    return float(WEIGHTS @ squares**2), hermite(squares) ** 2


def pair_shares(batch: int, positions: int) -> Array:
    """The fractions of all pairs of a unit: an entry with itself, and the three kinds of pairs."""
    inputs, places = (batch - 1) / batch, (positions - 1) / positions
    return np.array([1 / (batch * positions), inputs / positions, places / batch, inputs * places])
