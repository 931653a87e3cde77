"""Whether the entries of a tensor are independent draws: slices along axes, singular values.

Training changes few directions and few rows, so the sums of rows, columns and channels and the
largest singular value leave the range of independent entries long before the histogram does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np

from initcli.distributions import Distribution, Floats
from initcli.matching.agreement import chi_squared, kurtosis
from initcli.types import Size

SAMPLED = 1 << 18
"""Maximum number of entries that are read again."""
_RUNS = 64
"""Number of places in a tensor from which they are read."""
_LEAST = 32
"""Minimum number of entries of a slice whose sum is nearly normal."""
_ITERATIONS = 8
_SIDE = 512
"""Maximum number of rows and columns of the matrix whose largest singular value is estimated."""


class Stored(Protocol):
    """A tensor whose values exist."""

    @property
    def path(self) -> str: ...
    @property
    def shape(self) -> Size: ...
    @property
    def dtype(self) -> str: ...
    @property
    def is_sequential(self) -> bool:
        """Whether a part can be read only after all parts before it."""
        ...

    def read(self, start: int, stop: int) -> Floats:
        """Entries ``start`` to ``stop`` in row order."""
        ...


class Slices(NamedTuple):
    """Sums and sums of squares of the slices along one axis, of ``size`` entries each."""

    axis: int
    size: int
    sums: Floats
    squares: Floats


class Sample:
    """Some or all slices of a tensor along its first axis of more than one entry.

    ``rows`` are their indices, and the first axis of ``values``. Slices of more than
    :data:`SAMPLED` entries are cut to that many, along one axis.
    """

    def __init__(self, tensor: Stored) -> None:
        shape = tensor.shape or (1,)
        while len(shape) > 1 and shape[0] == 1:
            shape = shape[1:]
        size = math.prod(shape[1:])
        self.is_whole = shape[0] * size <= SAMPLED
        if self.is_whole:
            self.rows = np.arange(shape[0])
            self.values = _squarable(tensor.read(0, shape[0] * size)).reshape(shape)
            return
        inner = shape[1:] if size <= SAMPLED else (SAMPLED,)
        length = math.prod(inner)
        count = min(shape[0], max(SAMPLED // max(length, 1), 1))
        runs = min(_RUNS, count) if count < shape[0] and not tensor.is_sequential else 1
        ends = np.linspace(0, count, runs + 1).astype(int)
        starts = np.linspace(0, shape[0] - count, runs).astype(int) + ends[:-1]
        self.rows = np.concatenate(
            [np.arange(start, start + n) for start, n in zip(starts, np.diff(ends), strict=True)]
        )
        if length == size:
            parts = [
                tensor.read(int(start) * size, int(start + n) * size)
                for start, n in zip(starts, np.diff(ends), strict=True)
            ]
        else:
            parts = [tensor.read(int(row) * size, int(row) * size + length) for row in self.rows]
        self.values = _squarable(np.concatenate(parts)).reshape(count, *inner)

    @classmethod
    def of(cls, values: Floats) -> Sample:
        """The whole of an array."""
        sample = cls.__new__(cls)
        sample.values, sample.is_whole = values, True
        sample.rows = np.arange(len(values))
        return sample

    def drop(self, rows: list[int]) -> None:
        """Leave out some rows."""
        kept = ~np.isin(self.rows, rows)
        self.values, self.rows = self.values[kept], self.rows[kept]

    def distinct(self) -> None:
        """Leave out repeated rows."""
        flat = self.values.reshape(len(self.values), -1)
        first = np.sort(np.unique(flat, axis=0, return_index=True)[1])
        self.values, self.rows = self.values[first], self.rows[first]

    @cached_property
    def slices(self) -> list[Slices]:
        """The slices along every axis."""
        squares = np.square(self.values)
        found = []
        for axis, length in enumerate(self.values.shape):
            size = self.values.size // length
            if length > 1 and size >= _LEAST:
                others = tuple(each for each in range(self.values.ndim) if each != axis)
                sums = (
                    self.values.sum(others, dtype=np.float64),
                    squares.sum(others, dtype=np.float64),
                )
                found.append(Slices(axis, size, *sums))
        return found

    @cached_property
    def largest(self) -> tuple[float, int, int]:
        """The largest singular value of the matrix of first and last axis, and its sides.

        A lower bound by power iteration, which is close if the value stands out.
        """
        matrix: Any = self.values.reshape(self.values.shape[0], -1)
        if self.values.ndim > 2 and matrix.shape[1] > 4 * matrix.shape[0]:
            matrix = self.values.reshape(-1, self.values.shape[-1])
        matrix = np.ascontiguousarray(matrix[:: -(-matrix.shape[0] // _SIDE), :_SIDE])
        vector = matrix.sum(0) + np.arange(matrix.shape[1]) % 3
        for _ in range(_ITERATIONS):
            vector = matrix.T @ (matrix @ vector)
            length = float(np.linalg.norm(vector))
            if not 0 < length < math.inf:
                return 0.0, *matrix.shape
            vector = vector / length
        return float(np.linalg.norm(matrix @ vector)), *matrix.shape


def _squarable(values: Floats) -> Floats:
    """The values, in float64 if their squares would leave the range of float32."""
    largest = max(abs(float(values.min(initial=0.0))), abs(float(values.max(initial=0.0))))
    return values if 1e-15 < largest < 1e15 else values.astype(np.float64)


def independence(distribution: Distribution, sample: Sample) -> Iterator[float]:
    """Probabilities of the slices and singular values under independent draws.

    For every axis the slices' sums and sums of squares, each by χ²: with the kurtosis κ the mean
    square of s entries has the variance (κ − 1)σ⁴/s. For matrices the largest singular value.
    """
    mean, std = distribution.mean, distribution.std
    for axis in sample.slices:
        z = (axis.sums - axis.size * mean) / (std * math.sqrt(axis.size))
        yield chi_squared(float(z @ z), z.size)
        energy = axis.squares - 2 * mean * axis.sums + axis.size * mean**2
        spread = std**2 * math.sqrt(axis.size * (kurtosis(distribution) - 1))
        z = (energy - axis.size * std**2) / spread
        # z² has the variance 2 and, of normal entries, 12/s more.
        freedom = z.size / (1 + 6 / axis.size)
        yield chi_squared(float(z @ z) * freedom / z.size, freedom)
    if sample.values.ndim > 1 and mean == 0:
        value, rows, columns = sample.largest
        if min(rows, columns) >= _LEAST:
            yield beyond_edge(value / std, rows, columns)


def beyond_edge(value: float, rows: int, columns: int) -> float:
    """Probability that the largest singular value of noise of variance 1 is at least ``value``.

    Its square is about (√m + √n)² + (√m + √n)(1/√m + 1/√n)^⅓ · TW₁, with Tracy and Widom's
    distribution of order 1 (Johnstone 2001, doi:10.1214/aos/1009210544), which is nearly a shifted
    gamma distribution (Chiani 2014, arXiv:1209.3394).
    """
    m, n = rows, columns
    root = math.sqrt(m) + math.sqrt(n)
    scale = root * (1 / math.sqrt(m) + 1 / math.sqrt(n)) ** (1 / 3)
    standard = (value * value - root * root) / scale
    shape, unit, shift = 46.446, 0.186054, 9.84801
    return chi_squared(2 * max(standard + shift, 0.0) / unit, 2 * shape, upper=True)
