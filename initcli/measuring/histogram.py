"""Histograms that fill chunk by chunk and add up."""

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
    """Bins whose edges are multiples of a power of two.

    Scaling by a power of two rounds nothing that is not subnormal, so a value's bin is found by one
    multiplication and is the right one.
    """

    first: int
    bins: int
    exponent: int

    @classmethod
    def over(cls, low: float, high: float, bins: int) -> Grid:
        """A grid with at least ``bins`` bins over [low, high], and less than twice as many."""
        # Beyond 2^50 in the middle of the range the bins of a float64 are wider than asked for.
        finest = max(abs(low), abs(high)) * 2.0**-50
        width = max((high - low) / bins, finest, 2.0**-1000)
        exponent = math.floor(math.log2(width))
        first = math.floor(math.ldexp(low, -exponent))
        return cls(first, math.floor(math.ldexp(high, -exponent)) - first + 1, exponent)

    @property
    def edges(self) -> Edges:
        """The edges of the bins, one more than there are bins."""
        edges: Edges = np.ldexp(
            np.arange(self.first, self.first + self.bins + 1, dtype=float), self.exponent
        )
        return edges

    def count(self, values: Floats) -> Counts:
        """How many values each bin holds; those beyond the ends count to the bin at that end."""
        counts = np.zeros(self.bins, np.int64)
        self.add(values, float(values.min()), float(values.max()), counts)
        return counts

    def add(self, values: Floats, low: float, high: float, counts: Counts) -> None:
        """Add the values, of which ``low`` is the least and ``high`` the greatest, to counts."""
        fits_single = abs(self.first) + self.bins < 2**24 and abs(self.exponent) < 100
        kind = values.dtype.type if fits_single else np.float64
        places, indices = scratch((kind, values.size), (np.intp, values.size))
        scale = kind(2.0**-self.exponent)
        if kind is values.dtype.type:
            np.multiply(values, scale, out=places)
        else:
            np.copyto(places, values)
            places *= scale
        np.floor(places, out=places)
        first, last = self._place(low), self._place(high)
        if last - first > 4 * self.bins:
            first, last = self.first, self.first + self.bins - 1
            np.clip(places, first, last, out=places)
        places -= kind(first)
        if kind is np.float32:
            # Two casts, the first in its own memory, are faster than one that widens and cuts.
            whole = places.view(np.int32)
            np.copyto(whole, places, casting="unsafe")
            np.copyto(indices, whole)
        else:
            np.copyto(indices, places, casting="unsafe")
        found = np.bincount(indices)
        # Where the values reach beyond the grid, so does what was found.
        before = max(self.first - first, 0)
        upto = max(self.first + self.bins - first, 0)
        inner = found[before:upto]
        start = max(first - self.first, 0)
        counts[start : start + inner.size] += inner
        counts[0] += found[:before].sum()
        counts[-1] += found[upto:].sum()

    def _place(self, value: float) -> int:
        """The bin of a value, counted from 0 on the line."""
        try:
            return math.floor(math.ldexp(value, -self.exponent))
        except OverflowError:
            return 2**1023 if value > 0 else -(2**1023)


class Histogram(msgspec.Struct, frozen=True):
    """Counts between ascending edges; + adds the counts of two histograms with the same edges.

    Bin i holds the values in [edges[i], edges[i+1]), the last bin its upper edge too. Values
    below the first edge count to the first bin, values above the last edge to the last bin.

    >>> edges = np.array([0.0, 1.0, 2.0])
    >>> (Histogram(edges, np.array([1, 2])) + Histogram(edges, np.array([0, 5]))).counts.tolist()
    [1, 7]
    """

    edges: Edges
    counts: Counts

    def __add__(self, other: Histogram) -> Histogram:
        if not np.array_equal(self.edges, other.edges):
            raise ValueError(f"histograms have different edges: {self} and {other}")
        return Histogram(self.edges, self.counts + other.counts)

    def __str__(self) -> str:
        return f"{self.counts.size} bins from {self.edges[0]:g} to {self.edges[-1]:g}"

    def merged(self, low: float, high: float, bins: int) -> Histogram:
        """At most ``bins`` wider bins from the least value ``low`` to the greatest, ``high``."""
        if low == high:
            return Histogram(around(low), np.array([self.counts.sum()]))
        filled = np.flatnonzero(self.counts)
        first, last = int(filled[0]), int(filled[-1]) + 1
        starts = np.arange(first, last, math.ceil((last - first) / bins))
        edges = np.append(self.edges[starts], self.edges[last])
        edges[0] = low
        if high > edges[-2]:
            edges[-1] = high
        return Histogram(edges, np.add.reduceat(self.counts[:last], starts))

    def between(self, edges: Floats) -> Floats:
        """How many values lie between other edges, as if each bin's were spread evenly."""
        cumulative = np.concatenate([[0.0], np.cumsum(self.counts)])
        return np.diff(np.interp(edges, self.edges, cumulative))

    def quantiles(self, *shares: float) -> list[float]:
        """The values below which those shares lie, as if each bin's values were spread evenly."""
        cumulative = np.concatenate([[0], np.cumsum(self.counts)]) / self.counts.sum()
        return [float(np.interp(share, cumulative, self.edges)) for share in shares]


def around(value: float) -> Edges:
    """The edges of one bin around a value: half a unit to both sides, or more where it is large."""
    half = max(0.5, abs(value) / 1000)
    return np.array([value - half, value + half])
