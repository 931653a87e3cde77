"""Cells of positions: along a long axis a field has one mean for several adjacent positions.

All cells of an axis except the one in the middle have the same number of positions, so that the
mean over cells is close to the mean over positions.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from initcli.types import Array, Size

_CELLS = {1: 2048, 2: 256}
"""The largest number of positions along an axis that have a cell each, by the number of axes."""
_LONG = 512
"""The largest number of cells along a longer axis; windows take the square of this number."""
_ALL_CELLS = 1 << 16


def edges(n: int, rank: int) -> Array:
    """The first position of each cell of one of ``rank`` axes, and the end of the axis."""
    most = _CELLS.get(rank) or max(int(_ALL_CELLS ** (1 / max(rank, 1))), 1)
    return _edges(n, -(-n // (most if n <= most else min(most, _LONG))) or 1)


@lru_cache(maxsize=256)
def _edges(n: int, length: int) -> Array:
    half = np.arange(0, n // 2 + 1, length)
    found = np.unique(np.concatenate([half, n - half]))
    found.flags.writeable = False
    return found


def cells(sizes: Size) -> Size:
    """The numbers of cells along axes of those sizes."""
    most = _CELLS.get(len(sizes), 0)
    if all(n <= most for n in sizes):
        return sizes
    return tuple(len(edges(n, len(sizes))) - 1 for n in sizes)


def coarse(sizes: Size) -> Size | None:
    """The sizes, if cells have several positions; else None."""
    return None if cells(sizes) == sizes else sizes


def cell_means(values: Array, sizes: Size) -> Array:
    """The means of values (…, *sizes) over cells."""
    if cells(sizes) == sizes:
        return values
    first = values.ndim - len(sizes)
    for axis, n in enumerate(sizes, first):
        starts = edges(n, len(sizes))
        shape = (-1, *(1,) * (values.ndim - axis - 1))
        values = np.add.reduceat(values, starts[:-1], axis) / np.diff(starts).reshape(shape)
    return values


class Axis:
    """A window that slides along one axis, by cells of the input and the output.

    Args:
        n: positions of the input.
        m: positions of the output.
        rank: axes of both.
        k: places of the window.
        stride, dilation: as in :class:`initcli.signal.sliding.Window`.
        before: padding at the start.
    """

    def __init__(
        self, n: int, m: int, rank: int, k: int, stride: int, dilation: int, before: int
    ) -> None:
        self.slid = k, stride, dilation, before
        self.inputs, self.outputs = edges(n, rank), edges(m, rank)

    def counts(self, first: int = 0, last: int | None = None) -> Array:
        """How often windows of each output cell have a place in each input cell.

        Only places with ``first`` ≤ place < ``last`` count: (output cells, input cells).
        """
        k, stride, dilation, before = self.slid
        k = (k if last is None else last) - first
        below = self.outputs[:, None]
        end = self.inputs[None, :] + before - first * dilation
        # Of windows below, the places that have not passed the end: those with all windows, …
        whole = np.clip(-(-(end - stride * (below - 1)) // dilation), 0, k)
        # … or with ⌈(end − place · dilation) / stride⌉ of them.
        some = np.clip(-(-end // dilation), 0, k)
        rest = np.maximum(some - whole, 0)
        lowest = end - (some - 1) * dilation + stride - 1
        met = below * whole + _floor_sums(rest, stride, dilation, lowest)
        met = np.where(below > 0, met, 0)
        counts: Array = np.diff(np.diff(met, axis=0), axis=1).astype(float)
        return counts

    def over(self, counts: Array) -> Array:
        """The matrix of sums: means over output cells, by means over input cells."""
        matrix: Array = counts / np.diff(self.outputs)[:, None]
        return matrix

    def back(self, counts: Array) -> Array:
        """Its transpose: means over input cells, by means over output cells."""
        matrix: Array = (counts / np.diff(self.inputs)).T
        return matrix


def _floor_sums(n: Array, m: int, a: int, b: Array) -> Array:
    """Σ over 0 ≤ i < n of ⌊(a i + b) / m⌋, for b ≥ 0 where n > 0."""
    total = np.zeros(np.broadcast_shapes(n.shape, b.shape), np.int64)
    b = np.where(n > 0, b, 0)
    while True:
        total += n * (n - 1) // 2 * (a // m) + n * (b // m)
        a, b = a % m, b % m
        if a == 0:
            return total
        # The same lattice points, counted along the other axis.
        top = a * n + b
        n, b = top // m, top % m
        m, a = a, m


def applied(matrices: list[Array], values: Array) -> Array:
    """Apply each matrix to one of the last axes of values."""
    first = values.ndim - len(matrices)
    for axis, matrix in enumerate(matrices, first):
        values = np.moveaxis(np.tensordot(matrix, values, (1, axis)), 0, axis)
    return values
