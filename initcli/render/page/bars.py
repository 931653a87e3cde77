"""A tensor's histogram, and the expected counts in the same bins."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from initcli.distributions import Distribution, Floats
from initcli.measuring.histogram import Counts, Edges, Histogram, around
from initcli.measuring.measurement import SHOWN_BINS
from initcli.sampling.chunks import rounding_limits
from initcli.types import TensorDtype


class Bars(msgspec.Struct, frozen=True, kw_only=True):
    """A histogram and its distribution as counts per bin.

    All bins except the first and the last have the same width: the edges are ``low``, ``start``,
    ``start + width``, … and ``high``. ``counts`` is empty if nothing was measured, ``expected`` if
    the distribution is not known.
    """

    low: float
    start: float
    width: float
    high: float
    counts: tuple[int, ...]
    expected: tuple[float, ...]

    @property
    def edges(self) -> Edges:
        """The edges of the bins."""
        inner = self.start + self.width * np.arange(max(len(self.counts), len(self.expected)) - 1)
        return np.concatenate([[self.low], inner, [self.high]])

    def height(self, entries: Sequence[float]) -> Floats:
        """Entries scaled to bins of the full width, so that equal densities have equal heights."""
        return np.array(entries) * (self.width / np.diff(self.edges))


def measured_bars(
    histogram: Histogram, distribution: Distribution | None, dtype: TensorDtype
) -> Bars:
    """The bars of measured values, with the expected counts at the same rounding."""
    edges, counts = _without_slivers(histogram)
    number = int(counts.sum())
    expected = () if distribution is None else _expected(distribution, edges, number, dtype)
    return _bars(edges, tuple(counts.tolist()), expected)


def distribution_bars(distribution: Distribution, size: int, dtype: TensorDtype) -> Bars:
    """The bars of a distribution, for a tensor of ``size`` entries that was not drawn."""
    low, high = distribution.extent
    edges = np.linspace(low, high, SHOWN_BINS + 1) if low < high else around(low)
    if not np.all(np.diff(edges) > 0):  # floats are too coarse here
        edges = np.array([low, high]) if low < high else around(low)
    return _bars(edges, (), _expected(distribution, edges, size, dtype))


def _without_slivers(histogram: Histogram) -> tuple[Edges, Counts]:
    """The bins; an end bin that is narrower than half the others is merged with its neighbor.

    A few entries in a very narrow bin would be higher than all others.
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


def _bars(edges: Edges, counts: tuple[int, ...], expected: tuple[float, ...]) -> Bars:
    low, *inner, high = edges.tolist()
    return Bars(
        low=low,
        start=inner[0] if inner else high,
        width=inner[1] - inner[0] if len(inner) > 1 else float(np.max(np.diff(edges))),
        high=high,
        counts=counts,
        expected=expected,
    )


def _expected(
    distribution: Distribution, edges: Edges, number: int, dtype: TensorDtype
) -> tuple[float, ...]:
    entries = np.diff(distribution.below(rounding_limits(edges, dtype))) * number
    return tuple(float(f"{value:.6g}") for value in np.maximum(entries, 0.0).tolist())
