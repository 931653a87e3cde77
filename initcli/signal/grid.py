"""The positions that a field keeps apart: all of them, or cells of several where they are many.

Along a long axis a cell is a run of positions, of which a field holds the mean: what changes at the
borders of an image is kept, and the interior, where nothing changes, takes few cells. Cells are
equally long but for the one in the middle, so that means over cells are those over positions.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from initcli.types import Array, Size

_CELLS = {1: 2048, 2: 256}
"""Positions along an axis that are kept apart, by the number of axes."""
_LONG = 512
"""Cells along an axis of more positions, at most; windows take this number squared."""
_ALL_CELLS = 1 << 16


def edges(n: int, rank: int) -> Array:
    """Where the cells of an axis begin, and its end; there are ``rank`` axes."""
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
    """The sizes, where cells have several positions."""
    return None if cells(sizes) == sizes else sizes


def cell_means(values: Array, sizes: Size) -> Array:
    """Values at all positions (…, *sizes) as means over the cells."""
    if cells(sizes) == sizes:
        return values
    first = values.ndim - len(sizes)
    for axis, n in enumerate(sizes, first):
        starts = edges(n, len(sizes))
        shape = (-1, *(1,) * (values.ndim - axis - 1))
        values = np.add.reduceat(values, starts[:-1], axis) / np.diff(starts).reshape(shape)
    return values


class Axis:
    """How a window slides along one axis, by cells of the input and of the output.

    Args:
        n: positions of the input.
        m: positions of the output.
        rank: axes of both.
        k: places of the window.
        stride, dilation, before: as in :class:`initcli.signal.arrays.Window`, with the padding in
            front.
    """

    def __init__(
        self, n: int, m: int, rank: int, k: int, stride: int, dilation: int, before: int
    ) -> None:
        self.slid = k, stride, dilation, before
        self.inputs, self.outputs = edges(n, rank), edges(m, rank)

    def counts(self, first: int = 0, last: int | None = None) -> Array:
        """How often an entry of each input cell stands at a place of a window of each output cell.

        Only at the places ``first`` ≤ place < ``last``: (output cells, input cells).
        """
        k, stride, dilation, before = self.slid
        k = (k if last is None else last) - first
        below = self.outputs[:, None]
        end = self.inputs[None, :] + before - first * dilation
        # Of windows below, places where a window has not passed the end: each with all windows, …
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
        """The matrix that adds entries up: means over output cells, by means over input cells."""
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
        # The same points, counted along the other axis.
        top = a * n + b
        n, b = top // m, top % m
        m, a = a, m


def applied(matrices: list[Array], values: Array) -> Array:
    """Each matrix along one of the last axes of values."""
    first = values.ndim - len(matrices)
    for axis, matrix in enumerate(matrices, first):
        values = np.moveaxis(np.tensordot(matrix, values, (1, axis)), 0, axis)
    return values
