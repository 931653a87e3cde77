"""Histograms that are counted chunk by chunk and can be added."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from initcli.distributions import Floats
from initcli.random.scratch import scratch

Counts = NDArray[np.signedinteger[Any]]
Edges = NDArray[np.float64]


class Grid(msgspec.Struct, frozen=True):
    """Bins whose edges are multiples of a power of two, 2**exponent.

    Scaling by a power of two is exact for all but subnormal numbers, so one multiplication finds
    the right bin of a value.
    """

    first: int
    bins: int
    exponent: int

    @classmethod
    def over(cls, low: float, high: float, bins: int) -> Grid:
        """A grid over [low, high] with at least ``bins`` bins, and less than twice as many."""
        # A float64 has no narrower bins.
        finest = max(abs(low), abs(high)) * 2.0**-50
        width = max((high - low) / bins, finest, 2.0**-1000)
        exponent = math.floor(math.log2(width))
        first = math.floor(math.ldexp(low, -exponent))
        return cls(first, math.floor(math.ldexp(high, -exponent)) - first + 1, exponent)

    @property
    def middle(self) -> float:
        """The middle of the bins."""
        return math.ldexp(self.first + self.bins / 2, self.exponent)

    @property
    def fits_single(self) -> bool:
        """Whether float32 numbers can distinguish the bins."""
        return abs(self.first) + self.bins < 2**24 and abs(self.exponent) < 100

    @property
    def edges(self) -> Edges:
        """The edges of the bins, in rising order."""
        edges: Edges = np.ldexp(
            np.arange(self.first, self.first + self.bins + 1, dtype=float), self.exponent
        )
        return edges

    def count(self, values: Floats) -> Counts:
        """Number of values in each bin; the first and last bins include those beyond them."""
        counts = np.zeros(self.bins, np.int64)
        self.add(values, float(values.min()), float(values.max()), counts)
        return counts

    def weighted(self, values: Floats, repeats: Counts) -> Counts:
        """Like :meth:`count`, for values that each occur ``repeats`` times."""
        positions = np.floor(np.ldexp(values, -self.exponent)) - self.first
        counts = np.zeros(self.bins, np.int64)
        np.add.at(counts, np.clip(positions, 0, self.bins - 1).astype(np.intp), repeats)
        return counts

    def add(self, values: Floats, low: float, high: float, counts: Counts) -> None:
        """Add the values, which lie in [low, high], to ``counts``."""
        kind = values.dtype.type if self.fits_single else np.float64
        positions, indices = scratch((kind, values.size), (np.intp, values.size))
        scale = kind(2.0**-self.exponent)
        if kind is values.dtype.type:
            np.multiply(values, scale, out=positions)
        else:
            np.copyto(positions, values)
            positions *= scale
        np.floor(positions, out=positions)
        first, last = self._bin(low), self._bin(high)
        if last - first > 4 * self.bins:
            first, last = self.first, self.first + self.bins - 1
            np.clip(positions, first, last, out=positions)
        positions -= kind(first)
        if kind is np.float32:
            # Two casts, the first in place, are faster than one that widens and truncates.
            whole = positions.view(np.int32)
            np.copyto(whole, positions, casting="unsafe")
            np.copyto(indices, whole)
        else:
            np.copyto(indices, positions, casting="unsafe")
        added = np.bincount(indices)
        # Values beyond the grid make this reach beyond it too.
        before = max(self.first - first, 0)
        upto = max(self.first + self.bins - first, 0)
        inner = added[before:upto]
        start = max(first - self.first, 0)
        counts[start : start + inner.size] += inner
        counts[0] += added[:before].sum()
        counts[-1] += added[upto:].sum()

    def _bin(self, value: float) -> int:
        """The bin of a value, numbered so that bin 0 starts at 0."""
        try:
            return math.floor(math.ldexp(value, -self.exponent))
        except OverflowError:
            return 2**1023 if value > 0 else -(2**1023)


class Histogram(msgspec.Struct, frozen=True):
    """Counts between ascending edges; + adds the counts of two histograms with the same edges.

    Bin i holds the values in [edges[i], edges[i+1]), the last bin also its upper edge. Values
    below the first edge count in the first bin, values above the last edge in the last bin, except
    those counted by ``below`` and ``above``.

    >>> edges = np.array([0.0, 1.0, 2.0])
    >>> (Histogram(edges, np.array([1, 2])) + Histogram(edges, np.array([0, 5]))).counts.tolist()
    [1, 7]
    """

    edges: Edges
    counts: Counts
    below: int = 0
    above: int = 0

    def __add__(self, other: Histogram) -> Histogram:
        if not np.array_equal(self.edges, other.edges):
            raise ValueError(f"histograms have different edges: {self} and {other}")
        below, above = self.below + other.below, self.above + other.above
        return Histogram(self.edges, self.counts + other.counts, below, above)

    def __str__(self) -> str:
        return f"{self.counts.size} bins from {self.edges[0]:g} to {self.edges[-1]:g}"

    def merged(self, low: float, high: float, bins: int) -> Histogram:
        """At most ``bins`` wider bins, from the smallest value ``low`` to the largest, ``high``."""
        if low == high:
            return Histogram(around(low), np.array([self.counts.sum()]))
        used = np.flatnonzero(self.counts)
        first, last = int(used[0]), int(used[-1]) + 1
        starts = np.arange(first, last, math.ceil((last - first) / bins))
        edges = np.append(self.edges[starts], self.edges[last])
        edges[0] = low
        if high > edges[-2]:
            edges[-1] = high
        return Histogram(edges, np.add.reduceat(self.counts[:last], starts))

    def between(self, edges: Floats) -> Floats:
        """Number of values between other edges, as if each bin's values were spread evenly."""
        cumulative = np.concatenate([[0.0], np.cumsum(self.counts)])
        return np.diff(np.interp(edges, self.edges, cumulative))

    def quantiles(self, *shares: float) -> list[float]:
        """The quantiles at ``shares``, as if each bin's values were spread evenly."""
        cumulative = np.concatenate([[0], np.cumsum(self.counts)]) / self.counts.sum()
        return [float(np.interp(share, cumulative, self.edges)) for share in shares]


def around(value: float) -> Edges:
    """The edges of one bin around a value: half a unit on both sides, more for large values."""
    half = max(0.5, abs(value) / 1000)
    return np.array([value - half, value + half])
