"""The gradient with respect to a tensor, as theory expects it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from initcli.signal.field import Field, latent_correlations
from initcli.signal.hermite import NODES, TINY, WEIGHTS, hermite_basis, products
from initcli.types import Array, Size


class Path(NamedTuple):
    """A gradient as a multiple of another, by the normal number behind the entries of both.

    Branches of functions of one tensor, such as x and σ(x) that meet in a product, send gradients
    back to it that are multiples of one and the same: their amplitudes add up, and not their
    squares. ``correlations`` are those of the normal numbers behind the pairs of moments.
    """

    source: Gradient
    amplitude: Array
    correlations: Array

    @classmethod
    def along(cls, source: Gradient, amplitude: Array, given: Field) -> Path:
        """A path from a gradient to that of a tensor with the same normal number behind it."""
        rhos = latent_correlations(given)
        return cls(source, amplitude, np.concatenate([np.ones_like(rhos[:1]), rhos]))

    def times(self, slope: Array) -> Path:
        """The path through a function of that slope at the nodes."""
        return self._replace(amplitude=self.amplitude * slope)

    def meets(self, other: Path) -> bool:
        """Whether both come from one gradient."""
        return self.source is other.source

    def joined(self, other: Path) -> Path:
        """The path of the sum of both."""
        return self._replace(amplitude=self.amplitude + other.amplitude)

    def gradient(self, latent: int | None) -> Gradient:
        """The gradient at the end, by the number of the normal number."""
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
    nodes, for the normal number ``latent`` behind an entry: pooling sends gradients to large
    entries only. None is 1 everywhere. ``lags`` is E[g g'] / E[g²] of two positions of a sequence
    that are 0, 1, … apart, where known.
    ``parts`` are the gradients of concatenated units, each with its number of units. ``path`` says
    how it came from the gradient of a tensor that branches join in.
    """

    moments: Array
    tilt: Array | None = None
    latent: int | None = None
    lags: Array | None = None
    parts: tuple[tuple[int, Gradient], ...] | None = None
    path: Path | None = None

    @classmethod
    def even(cls, second: Array) -> Gradient:
        """The gradient of that E[g²], independent between positions and examples."""
        moments = np.zeros((4, *second.shape))
        moments[0] = second
        return cls(moments)

    @classmethod
    def within(cls, second: Array, places: Array, lags: Array | None = None) -> Gradient:
        """The gradient of that E[g²], and E[g g'] of two positions, independent of examples."""
        moments = np.zeros((4, *second.shape))
        moments[0], moments[2] = second, places
        return cls(moments, lags=lags)

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
        """The gradient times a number, which may be below 0."""
        path = self.path and self.path.times(np.full_like(WEIGHTS, factor))
        return msgspec.structs.replace(self.times(factor * factor), path=path)

    def times(self, factors: Any) -> Gradient:
        """The gradient with its moments multiplied by a number, or by one for each moment."""
        return self.with_moments(self.moments * factors)

    def plus(self, other: Gradient) -> Gradient:
        """The sum of two gradients, which are independent but for a path that they share."""
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
        """The lags; all the same where they are not known."""
        if self.lags is not None:
            return self.lags
        lags = np.full(self.grid, self.cross / max(self.second, TINY))
        lags[:1] = 1.0
        return lags

    def tilt_of(self, given: Field) -> Array | None:
        """The tilt, if it is by the normal number behind that field."""
        return self.tilt if self.latent == given.latent else None

    def folded(self, grid: Size, lost: float) -> Gradient:
        """The gradient before the tensor was broadcast from that grid to ``lost`` times as many."""
        if self.grid == grid:
            return self
        same, inputs, places, both = self.moments.reshape(4, -1).mean(1)
        sums = [lost * same + lost * (lost - 1) * places, lost * inputs + lost * (lost - 1) * both]
        moments = np.multiply.outer(np.array([*sums, 0.0, 0.0]), np.ones(grid))
        return Gradient(moments)


def divided(parts: Sequence[tuple[int, Gradient]]) -> Gradient:
    """The gradient of concatenated units, of parts with so many units each."""
    total = sum(units for units, _ in parts)
    moments = sum(each.moments * (units / total) for units, each in parts)
    return Gradient(np.asarray(moments), parts=tuple(parts))


def tilt_of_part(tilt: Array, part: Field, share: float) -> Array:
    """The tilt of one entry of a sum of independent weights, by that of the sum.

    With a share a² of the variance, an entry ξ leaves the sum at aξ + √(1 − a²) z, and a tilt with
    Hermite coefficients tₙ at Σ tₙ aⁿ Heₙ(ξ) / √n! (Mehler 1866). Weights have one sign as often as
    the other, which leaves the even degrees.

    Args:
        tilt: E[g² | z] / E[g²] of the sum.
        part: the field of the entries.
        share: a², on average over the sums that send an entry its gradient, which are those in
            which its weight is large.
    """
    basis = hermite_basis()[::2]
    coefficients = (basis @ (WEIGHTS * tilt)) * share ** np.arange(len(basis))
    by_entry = np.maximum(coefficients @ basis, 0.0)
    values = part.profile - float(WEIGHTS @ part.profile)
    values = values / math.sqrt(max(float(WEIGHTS @ values**2), TINY))
    found: Array = np.interp(values, NODES, by_entry)
    return found / max(float(WEIGHTS @ found), TINY)
