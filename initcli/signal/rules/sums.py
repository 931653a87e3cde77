"""Weighted sums of entries: the core of dense layers and convolutions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import msgspec
import numpy as np

from initcli.signal.field import Field, field, mean_products, normal, with_neighbors
from initcli.signal.gradient import tilt_of_part
from initcli.signal.moments import Weight
from initcli.signal.rules.base import Batch, Expected, Gradient
from initcli.types import Array

_FEW = 64
"""The largest number of terms of a sum in which a single term still matters."""


def weighted(given: Field, weight: Weight) -> Expected:
    """x times one weight per unit."""
    values = given.profile if weight.mean >= 0 else -given.profile
    latent = given.latent if weight.variance == 0 else None
    moments = weight.second * given.moments
    output = field(moments, given.units, values, latent, given.pinned, given.lags)
    return Expected(output, lambda g: [g.times(weight.second)])


def with_bias(moments: Array, means: Array, bias: Weight | None) -> tuple[Array, Array]:
    """Moments and means after the addition of a bias."""
    if bias is None:
        return moments, means
    return moments + bias.second + 2 * bias.mean * means, means + bias.mean


class Window(NamedTuple):
    """The positions that enter a sum: ``over`` adds moments up, and ``back`` is its transpose.

    ``places`` is their number if the same weights slide over all positions; None otherwise.
    ``neighbors`` adds up the moments of an entry and the next, where adjacent sums have the same
    weights.
    """

    over: Callable[[Array], Array]
    back: Callable[[Array], Array]
    places: int | None = None
    neighbors: Callable[[Array], Array] | None = None


_ONE_POSITION = Window(lambda x: x, lambda x: x, 1, lambda x: x)


def products_of_pairs(x: Array, g: Array, batch: Batch) -> float:
    """E[(Σ x g)²] over examples and positions: Σ E[x x'] E[g g'] over all pairs.

    Both are moments as in :attr:`Field.moments`, at the same positions.
    """
    examples, places = batch.examples - 1, batch.positions - 1
    total = (
        float((x[0] * g[0]).mean())
        + examples * float((x[1] * g[1]).mean())
        + places * float(x[2].mean() * g[2].mean())
        + examples * places * float(x[3].mean() * g[3].mean())
    )
    return batch.examples * batch.positions * total


def weighted_sum(
    given: Field,
    units: int,
    kernel: Weight,
    bias: Weight | None,
    *,
    depth: float,
    window: Window | None = None,
    feeds: int | None = None,
    fan_in: float = math.inf,
) -> Expected:
    """Σ w x + b: E[y²] = fan_in Var[w] E[x²] + Var[b] (Poole et al. 2016, arXiv:1606.05340).

    Moments are summed over a window as over units (Xiao et al. 2018, arXiv:1806.05393). Backwards,
    E[g²] of an input is E[w²] times the sum of E[g²] over the outputs that it enters.

    Args:
        given: the input.
        units: number of units of the output.
        kernel: the weights.
        bias: added to the sum, if any.
        depth: number of units in a sum.
        window: positions in a sum; by default one.
        feeds: number of output units that an entry enters; by default all.
        fan_in: number of terms of a sum, whose norm orthogonal weights preserve.
    """
    over, back, places, neighbors = window or _ONE_POSITION
    lags = given.lags if window is None else None
    means = given.means
    moments = depth * kernel.variance * over(given.moments)
    total = np.zeros(moments.shape[1:])
    if kernel.mean:
        total = kernel.mean * depth * over(means[None])[0]
        rest = over(given.moments - mean_products(means, means))
        moments = moments + total**2 + kernel.mean**2 * depth * rest
    output = normal(*with_bias(moments, total, bias), units, lags)
    if neighbors is not None and given.grid and not kernel.mean:
        common = depth * kernel.variance * neighbors(given.neighbors)
        output = with_neighbors(output, common if bias is None else common + bias.second)
    if window is None:
        output = msgspec.structs.replace(output, sizes=given.sizes)
    if kernel.orthogonal:
        output = msgspec.structs.replace(output, steady=min(units / max(fan_in, 1), 1.0))
    factor = (units if feeds is None else feeds) * kernel.second

    def pull(g: Gradient) -> list[Gradient]:
        lags, tilt = g.lags if window is None else None, g.tilt_of(output)
        latent = None
        if tilt is not None and fan_in <= _FEW and not kernel.mean:
            # The share of one squared weight in the squared norm of all, E[a⁴] / E[a²].
            share = kernel.kurtosis / (fan_in + kernel.kurtosis - 1)
            tilt, latent = tilt_of_part(tilt, given, share), given.latent
        else:
            tilt = None
        return [Gradient(factor * back(g.moments), tilt, latent, lags)]

    def gradient(g: Gradient, batch: Batch) -> float:
        assert places is not None
        return products_of_pairs(over(given.moments) / places, g.moments, batch)

    is_known = places is not None and kernel.mean == 0
    return Expected(output, pull, kernel=gradient if is_known else None)


def connected(
    given: Field, fan_in: float, units: int, kernel: Weight, bias: Weight | None
) -> Expected:
    """Σ w x + b over all units of a position."""
    return weighted_sum(given, units, kernel, bias, depth=fan_in, fan_in=fan_in)
