"""A tensor's histogram, and what its distribution expects in the same bins."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from initcli.distributions import Distribution, Floats
from initcli.measuring.histogram import Counts, Edges, Histogram, around
from initcli.measuring.measurement import SHOWN_BINS
from initcli.sampling.chunks import rounding_limits
from initcli.types import TensorDtype

MAX_MARKS = 8
"""Number of atoms of a distribution up to which each is shown on its own."""
_DIGITS = 6
"""Significant digits of an expected number of entries."""


class Mark(msgspec.Struct, frozen=True):
    """An atom of a distribution: its value, its bin, and the entries expected there."""

    value: float
    bin: int
    entries: float


class Bars(msgspec.Struct, frozen=True, kw_only=True):
    """A histogram and its distribution, bin by bin, in entries.

    All bins but the first and the last have the same width: the edges are ``low``, ``start``,
    ``start + width``, … and ``high``. ``counts`` are measured, empty if nothing was. ``curve`` is
    expected, without the ``marks``; it is empty if the distribution is not known.
    """

    low: float
    start: float
    width: float
    high: float
    counts: tuple[int, ...] = ()
    curve: tuple[float, ...] = ()
    marks: tuple[Mark, ...] = ()

    @property
    def bins(self) -> int:
        """The number of bins."""
        return max(len(self.counts), len(self.curve))

    @property
    def edges(self) -> Edges:
        """The edges of the bins."""
        inner = self.start + self.width * np.arange(self.bins - 1)
        return np.concatenate([[self.low], inner, [self.high]])

    def height(self, entries: Sequence[float]) -> Floats:
        """Entries scaled to bins of the full width, so that equal densities have equal heights."""
        return np.array(entries) * (self.width / np.diff(self.edges))


def measured_bars(
    histogram: Histogram, distribution: Distribution | None, dtype: TensorDtype
) -> Bars:
    """The bars of measured values, with what their distribution expects at the same rounding."""
    edges, counts = _without_slivers(histogram)
    number = int(counts.sum())
    curve, marks = (
        ((), ()) if distribution is None else _expected(distribution, edges, number, dtype)
    )
    return _bars(edges, tuple(counts.tolist()), curve, marks)


def _without_slivers(histogram: Histogram) -> tuple[Edges, Counts]:
    """The bins; a bin at an end that is narrower than half the others joins its neighbor.

    A few entries in a tiny width would be higher than all others.
    """
    edges, counts = histogram.edges, histogram.counts
    half = np.max(np.diff(edges)) / 2
    if counts.size > 2 and edges[-1] - edges[-2] < half:
        edges = np.delete(edges, -2)
        counts = np.append(counts[:-2], counts[-2:].sum())
    if counts.size > 2 and edges[1] - edges[0] < half:
        edges = np.delete(edges, 1)
        counts = np.append(counts[:2].sum(), counts[2:])
    return edges, counts


def distribution_bars(distribution: Distribution, size: int, dtype: TensorDtype) -> Bars:
    """The bars of a distribution, for a tensor of ``size`` entries that was not drawn."""
    low, high = distribution.extent
    edges = np.linspace(low, high, SHOWN_BINS + 1) if low < high else around(low)
    if not np.all(np.diff(edges) > 0):  # floats are too coarse here
        edges = np.array([low, high]) if low < high else around(low)
    curve, marks = _expected(distribution, edges, size, dtype)
    return _bars(edges, (), curve, marks)


def _bars(
    edges: Edges, counts: tuple[int, ...], curve: tuple[float, ...], marks: tuple[Mark, ...]
) -> Bars:
    inner = edges[1:-1]
    start = float(inner[0]) if inner.size else float(edges[-1])
    width = float(inner[1] - inner[0]) if inner.size > 1 else float(np.max(np.diff(edges)))
    return Bars(
        low=float(edges[0]),
        start=start,
        width=width,
        high=float(edges[-1]),
        counts=counts,
        curve=curve,
        marks=marks,
    )


def _expected(
    distribution: Distribution, edges: Edges, number: int, dtype: TensorDtype
) -> tuple[tuple[float, ...], tuple[Mark, ...]]:
    """The expected entries of each bin, and apart from them those of a few atoms."""
    limits = rounding_limits(edges, dtype)
    entries = np.diff(distribution.below(limits)) * number
    atoms = distribution.atoms
    marks = []
    if len(atoms) <= MAX_MARKS:
        for value, probability in sorted(atoms.items()):
            index = int(np.searchsorted(limits, value, side="right")) - 1
            if 0 <= index < entries.size:
                entries[index] -= probability * number
                marks.append(Mark(value, index, probability * number))
    if len(marks) == len(atoms) and math.isclose(sum(atoms.values()), 1.0):
        return (0.0,) * entries.size, tuple(marks)
    return _rounded(np.maximum(entries, 0.0)), tuple(marks)


def _rounded(values: Floats) -> tuple[float, ...]:
    return tuple(float(f"{value:.{_DIGITS}g}") for value in values.tolist())
