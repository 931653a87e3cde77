"""The moments of the gradient with respect to a tensor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from initcli.signal.field import Field, latent_correlations, moments_of
from initcli.signal.hermite import NODES, TINY, WEIGHTS, hermite_basis, products
from initcli.types import Array, Size


class Path(NamedTuple):
    """A gradient as a multiple of another, by the latent variable of the entries of both.

    Branches that are functions of one tensor, such as x and σ(x) in a product, return multiples of
    one gradient: their amplitudes add up instead of their squares. ``correlations`` are those of
    the latent variables for each of the moments.
    """

    source: Gradient
    amplitude: Array
    correlations: Array

    @classmethod
    def along(cls, source: Gradient, amplitude: Array, given: Field) -> Path:
        """A path from a gradient to that of a tensor with the same latent variable."""
        rhos = latent_correlations(given)
        return cls(source, amplitude, np.concatenate([np.ones_like(rhos[:1]), rhos]))

    def times(self, slope: Array) -> Path:
        """The path through a function with that slope at the nodes."""
        return self._replace(amplitude=self.amplitude * slope)

    def meets(self, other: Path) -> bool:
        """Whether both paths begin at the same gradient."""
        return self.source is other.source

    def joined(self, other: Path) -> Path:
        """The path of the sum of both."""
        return self._replace(amplitude=self.amplitude + other.amplitude)

    def gradient(self, latent: int | None) -> Gradient:
        """The gradient at the end of the path, for a tensor with that latent variable."""
        before = self.source.tilt
        squares = self.amplitude**2
        plain = float(WEIGHTS @ squares)
        tilted = squares if before is None else squares * before
        mean = float(WEIGHTS @ tilted)
        factors = products(self.amplitude, self.amplitude, self.correlations)
        moments = self.source.moments * factors * (mean / max(plain, TINY))
        return Gradient(moments, tilted / max(mean, TINY), latent, self.source.lags, path=self)


class Gradient(msgspec.Struct, frozen=True):
    """What theory expects of the gradient with respect to a tensor.

    ``moments`` are E[g²] of an entry at each position, and E[g g'] of one unit in two examples, at
    two positions of one example, and both: (4, positions…). ``tilt`` is E[g² | z] / E[g²] at the
    nodes, for the latent variable ``latent``: max pooling returns gradients to large entries only.
    None means 1 everywhere. ``lags`` is E[g g'] / E[g²] of two positions of a sequence that are 0,
    1, … apart, where known. ``parts`` are the gradients of concatenated units, each with its number
    of units. ``path`` is the path from the gradient of a tensor in which branches join.
    """

    moments: Array
    tilt: Array | None = None
    latent: int | None = None
    lags: Array | None = None
    parts: tuple[tuple[int, Gradient], ...] | None = None
    path: Path | None = None

    @classmethod
    def even(cls, second: Array) -> Gradient:
        """A gradient with that E[g²], independent between positions and examples."""
        return cls.within(second, 0.0)

    @classmethod
    def within(cls, second: Array, places: Array | float, lags: Array | None = None) -> Gradient:
        """A gradient with that E[g²] and E[g g'] of two positions, independent between examples."""
        return cls(moments_of(second.shape, second, 0.0, places, 0.0), lags=lags)

    @property
    def grid(self) -> Size:
        """The sizes of the positions."""
        sizes: Size = self.moments.shape[1:]
        return sizes

    @property
    def second(self) -> float:
        """E[g²], averaged over positions."""
        return float(self.moments[0].sum()) / math.prod(self.grid)

    @property
    def cross(self) -> float:
        """E[g g'] of two positions, averaged over positions."""
        return float(self.moments[2].mean())

    def with_moments(self, moments: Array) -> Gradient:
        """The same gradient with other moments."""
        return Gradient(moments, self.tilt, self.latent, self.lags)

    def scaled(self, factor: float) -> Gradient:
        """The gradient times a number, which may be negative."""
        path = self.path and self.path.times(np.full_like(WEIGHTS, factor))
        return msgspec.structs.replace(self.times(factor * factor), path=path)

    def times(self, factors: Any) -> Gradient:
        """The gradient with its moments multiplied by a factor, or by one for each moment."""
        return self.with_moments(self.moments * factors)

    def plus(self, other: Gradient) -> Gradient:
        """The sum of two gradients, independent unless their paths have the same source."""
        if self.path is not None and other.path is not None and self.path.meets(other.path):
            return self.path.joined(other.path).gradient(self.latent)
        for one, two in ((self, other), (other, self)):
            if one.parts is not None:
                counts = len(one.parts)
                others = two.parts if two.parts and len(two.parts) == counts else None
                seconds = [each for _, each in others] if others else [two] * counts
                pairs = zip(one.parts, seconds, strict=True)
                return divided([(units, each.plus(more)) for (units, each), more in pairs])
        moments = self.moments + other.moments
        both = (self, other)
        total = max(self.second + other.second, TINY)
        lags = None
        if any(each.lags is not None for each in both) and len(self.grid) == 1:
            lags = sum(each.second / total * each.all_lags for each in both)
        tilted = [each for each in both if each.tilt is not None]
        if not tilted or len({each.latent for each in tilted}) > 1:
            return Gradient(moments, lags=lags)
        tilt = sum(
            each.second / total * (np.ones_like(WEIGHTS) if each.tilt is None else each.tilt)
            for each in both
        )
        return Gradient(moments, np.asarray(tilt), tilted[0].latent, lags)

    @property
    def all_lags(self) -> Array:
        """The lags; constant where they are not known."""
        if self.lags is not None:
            return self.lags
        lags = np.full(self.grid, self.cross / max(self.second, TINY))
        lags[:1] = 1.0
        return lags

    def tilt_of(self, given: Field) -> Array | None:
        """The tilt, if it is for the latent variable of that field."""
        return self.tilt if self.latent == given.latent else None

    def folded(self, grid: Size, lost: float) -> Gradient:
        """The gradient before a broadcast from that grid to ``lost`` times as many positions."""
        if self.grid == grid:
            return self
        same, inputs, places, both = self.moments.reshape(4, -1).mean(1)
        sums = [lost * same + lost * (lost - 1) * places, lost * inputs + lost * (lost - 1) * both]
        moments = np.multiply.outer(np.array([*sums, 0.0, 0.0]), np.ones(grid))
        return Gradient(moments)


def divided(parts: Sequence[tuple[int, Gradient]]) -> Gradient:
    """The gradient of concatenated units, given that of each part with its number of units."""
    total = sum(units for units, _ in parts)
    moments = sum(each.moments * (units / total) for units, each in parts)
    return Gradient(np.asarray(moments), parts=tuple(parts))


def tilt_of_part(tilt: Array, part: Field, share: float) -> Array:
    """The tilt of one entry of a weighted sum, given the tilt of the sum.

    With a share a² of the variance, an entry ξ makes the sum aξ + √(1 − a²) z, and its tilt is
    Σ tₙ aⁿ Heₙ(ξ) / √n! for Hermite coefficients tₙ of the sum's tilt (Mehler 1866). Only even
    degrees remain, as weights of both signs are equally probable.

    Args:
        tilt: E[g² | z] / E[g²] of the sum.
        part: the field of the entries.
        share: the mean of a², weighted by the gradient that an entry gets from each sum.
    """
    basis = hermite_basis()[::2]
    coefficients = (basis @ (WEIGHTS * tilt)) * share ** np.arange(len(basis))
    by_entry = np.maximum(coefficients @ basis, 0.0)
    values = part.profile - float(WEIGHTS @ part.profile)
    values = values / math.sqrt(max(float(WEIGHTS @ values**2), TINY))
    found: Array = np.interp(values, NODES, by_entry)
    return found / max(float(WEIGHTS @ found), TINY)
