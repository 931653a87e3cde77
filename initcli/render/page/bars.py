"""A tensor's histogram and what its distribution puts into the same bins, as numbers that a page
carries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import msgspec
import numpy as np

from initcli.distributions import Distribution, Floats
from initcli.measuring.histogram import Counts, Edges, Histogram, around
from initcli.measuring.measurement import SHOWN_BINS
from initcli.sampling.chunks import rounding_limits
from initcli.types import TensorDtype

MOST_MARKS = 8
"""Atoms of a distribution up to which each is shown by itself."""
_DIGITS = 6
"""Digits of an expected number of entries."""

Count = Annotated[int, msgspec.Meta(ge=0)]
Amount = Annotated[float, msgspec.Meta(ge=0, le=1e300)]


class Mark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A value that a distribution takes with a probability of its own.

    ``bin`` is the number of the bin that holds it, and ``entries`` how many are expected there.
    """

    value: float
    bin: Count
    entries: Amount


class Bars(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """A histogram and its distribution, bin by bin, in entries.

    Bins are as wide as one another but for the first and the last: their edges are ``low``,
    ``start``, ``start + width``, … and ``high``. ``counts`` are the entries drawn, none where
    nothing was. ``curve`` holds the entries that the distribution puts into each bin, none where
    nobody knows it, without those of its ``marks``.
    """

    low: float
    start: float
    width: float
    high: float
    counts: tuple[Count, ...] = ()
    curve: tuple[Amount, ...] = ()
    marks: tuple[Mark, ...] = ()

    def __post_init__(self) -> None:
        lengths = {len(each) for each in (self.counts, self.curve) if each}
        if len(lengths) != 1 or not self.low < self.high or not self.width > 0:
            raise ValueError("bars without bins, or of several numbers of bins")
        if any(mark.bin >= self.bins for mark in self.marks):
            raise ValueError("a mark beyond the bins")
        if self.bins > 1 and not self.low < self.start <= self.high:
            raise ValueError("bins that are not in order")

    @property
    def bins(self) -> int:
        """How many bins there are."""
        return max(len(self.counts), len(self.curve))

    @property
    def edges(self) -> Edges:
        """The edges of the bins, one more than there are bins."""
        inner = self.start + self.width * np.arange(self.bins - 1)
        return np.concatenate([[self.low], inner, [self.high]])

    def height(self, entries: Sequence[float]) -> Floats:
        """Entries of each bin as those of a bin of the full width, so that even ones stand even."""
        return np.array(entries) * (self.width / np.diff(self.edges))


def drawn_bars(histogram: Histogram, distribution: Distribution | None, dtype: TensorDtype) -> Bars:
    """The bars of values that were drawn, with what their distribution expects, rounded as they
    were."""
    edges, counts = _without_slivers(histogram)
    number = int(counts.sum())
    curve, marks = (
        ((), ()) if distribution is None else _expected(distribution, edges, number, dtype)
    )
    return _bars(edges, tuple(counts.tolist()), curve, marks)


def _without_slivers(histogram: Histogram) -> tuple[Edges, Counts]:
    """The bins, those at the ends one with their neighbours where they are narrower than half.

    A few entries in next to no width would tower over all.
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
    """The bars of a distribution of which nothing was drawn, for a tensor of ``size`` entries."""
    low, high = distribution.extent
    edges = np.linspace(low, high, SHOWN_BINS + 1) if low < high else around(low)
    if not np.all(np.diff(edges) > 0):  # a range in which floats have no room for as many bins
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
    """The entries that a distribution puts into each bin: those of its density, and its few
    atoms."""
    limits = rounding_limits(edges, dtype)
    entries = np.diff(distribution.below(limits)) * number
    atoms = distribution.atoms
    marks = []
    if len(atoms) <= MOST_MARKS:
        for value, probability in sorted(atoms.items()):
            place = int(np.searchsorted(limits, value, side="right")) - 1
            if 0 <= place < entries.size:
                entries[place] -= probability * number
                marks.append(Mark(value, place, probability * number))
    if len(marks) == len(atoms) and math.isclose(sum(atoms.values()), 1.0):
        return (0.0,) * entries.size, tuple(marks)
    return _rounded(np.maximum(entries, 0.0)), tuple(marks)


def _rounded(values: Floats) -> tuple[float, ...]:
    return tuple(float(f"{value:.{_DIGITS}g}") for value in values.tolist())
