"""Sums over sliding windows, and the base of the rules that use them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from initcli.signal import arrays
from initcli.signal.grid import Axis, applied, cells, edges
from initcli.signal.hermite import TINY
from initcli.signal.rules.base import Context, Room, Rule, grids
from initcli.types import Array, Size

_MAX_SUMMED = 10**7
"""The largest number of window entries, over all windows, to add up place by place."""
_PLACES = 8
"""The number of parts of a long window, whose places are treated as equal."""


class Sliding:
    """A window that slides over a grid of positions, with one output for each of ``outputs``.

    Moments are those of cells, see :mod:`initcli.signal.grid`. Where each cell is one position and
    windows have few places, entries are added up place by place.
    """

    def __init__(self, grid: Size, outputs: Size, size: Size, window: arrays.Window) -> None:
        self.grid, self.outputs = grid, outputs
        inner = arrays.reach(grid, size, window)
        self.size, self.window = inner.size, inner.window
        self.is_direct = (
            cells(grid) == grid
            and cells(outputs) == outputs
            and math.prod(self.size) * math.prod(outputs) <= _MAX_SUMMED
        )

    @cached_property
    def axes(self) -> list[Axis]:
        """One object for each axis."""
        w, rank = self.window, len(self.grid)
        starts = (before for before, _ in w.padding)
        axes = zip(
            *(self.grid, self.outputs, self.size, w.strides, w.dilation, starts), strict=True
        )
        return [Axis(n, m, rank, *slid) for n, m, *slid in axes]

    @cached_property
    def _counts(self) -> list[Array]:
        return [axis.counts() for axis in self.axes]

    @cached_property
    def _pairs(self) -> list[Array]:
        """The counts, weighted by the fraction of windows in which a place is inside the image."""
        weighed = []
        for axis, k, m in zip(self.axes, self.size, self.outputs, strict=True):
            ends = np.unique(np.linspace(0, k, min(k, _PLACES) + 1).astype(int))
            parts = [(axis.counts(a, b), b - a) for a, b in pairwise(ends.tolist())]
            weighed.append(sum(part * (part.sum() / (m * n)) for part, n in parts))
        return weighed

    def box(self, moments: Array) -> Array:
        """The sums of moments (n, positions…) over the window."""
        if not self.is_direct:
            return self._over(self._counts, moments)
        ones = np.ones((*self.size, 1, 1))
        sums: Array = arrays.correlate(moments[..., None], ones, self.window)[..., 0]
        return sums

    def unboxed(self, moments: Array) -> Array:
        """The transpose of :meth:`box`."""
        if not self.is_direct:
            pairs = zip(self.axes, self._counts, strict=True)
            return applied([axis.back(counts) for axis, counts in pairs], moments)
        ones = np.ones((*self.size, 1, 1))
        spread: Array = arrays.spread(moments[..., None], ones, self.window, self.grid)[..., 0]
        return spread

    def box_of_pairs(self, moments: Array, sizes: Array) -> Array:
        """The sums of moments of two positions, over places that are inside the image at both.

        ``sizes`` are the root mean squares of the entries at each position.
        """
        if not self.is_direct:
            return self._over(self._pairs, moments)
        # The mean size of the entries at each place of the window, relative to all entries.
        windows = np.ones((1, *self.outputs, 1))
        met = arrays.weigh(sizes[None, ..., None], windows, self.window, (*self.size, 1, 1))
        met /= max(float(sizes.mean()) * math.prod(self.outputs), TINY)
        sums: Array = arrays.correlate(moments[..., None], met, self.window)[..., 0]
        return sums

    def of_window(self, near: Any, any_two: Any) -> Any:
        """A value for two entries of a window, interpolated between neighbors and any two."""
        share = (math.prod(self.size) - 1) / max(math.prod(self.grid) - 1, 1)
        return (1 - share) * near + share * any_two

    def largest(self, second: Array) -> Array:
        """The maximum of each window."""
        if self.is_direct:
            most: Array = arrays.largest(second[None, ..., None], self.size, self.window)
            return most[0, ..., 0]
        for axis, counts in enumerate(self._counts):
            moved = np.moveaxis(second, axis, 0)
            rows = [moved[row > 0].max(0) for row in counts]
            second = np.moveaxis(np.array(rows), 0, axis)
        return second

    def _over(self, counts: list[Array], moments: Array) -> Array:
        pairs = zip(self.axes, counts, strict=True)
        return applied([axis.over(each) for axis, each in pairs], moments)


def moved(grid: Size, outputs: Size, padding: Sequence[tuple[int, int]]) -> Sliding:
    """The identity with zeros added around the positions; a negative padding removes positions."""
    every = (1,) * len(grid)
    return Sliding(grid, outputs, every, arrays.Window(every, every, tuple(padding)))


class WindowRule(Rule):
    """The base of rules of windows, which may need a matrix of cells along each axis."""

    def room(self, layer: Any, context: Context) -> Room:
        before, after = grids(layer, context)
        lengths = [
            math.prod(len(edges(n, len(before))) for n in pair)
            for pair in zip(before, after, strict=False)
        ]
        is_coarse = cells(before) != before or cells(after) != after
        matrices = Room(2.0 * sum(lengths), 10.0 * max(lengths, default=0))
        whole = super().room(layer, context)
        return whole.plus(matrices) if is_coarse else whole
