"""Haar-distributed orthogonal matrices."""

from __future__ import annotations

import math
from typing import Annotated, Any

import numpy as np

from initcli import distributions
from initcli.distributions import Distribution, Floats
from initcli.initializers.base import Whole
from initcli.random.variates import fill_normal
from initcli.types import PositiveInt, ShapeError, Size, doc

Gain = Annotated[float, doc("Factor on the orthogonal matrix.")]


class Orthogonal(Whole, frozen=True, kw_only=True):
    """``gain`` times a random matrix with orthonormal columns, or rows if it is wide.

    A tensor of higher rank is the matrix (all axes but the last, last axis). The matrix is uniform
    (Haar) among all such, so an entry has the variance gain² / max(rows, columns). (Saxe et al.
    2014, arXiv:1312.6120; Mezzadri 2007, arXiv:math-ph/0609050.)
    """

    aliases = ("OrthogonalInitializer", "orthogonal_")

    gain: Gain = 1.0
    row_axes: Annotated[
        PositiveInt | None,
        doc("Number of leading axes that form the rows; all but the last if absent. 1 in Keras 1."),
    ] = None

    def distribution_for(self, shape: Size) -> Distribution:
        if len(shape) < 2:
            raise self.misfit("tensors of 2 axes or more", shape, "for a vector, use zeros")
        return _entry(max(self._matrix(shape)), self.gain)

    def tensor(self, shape: Size, rng: np.random.Generator, dtype: np.dtype[Any]) -> Floats:
        matrix = haar(*self._matrix(shape), rng, dtype)
        matrix *= dtype.type(self.gain)
        return matrix.reshape(shape)

    def scratch(self, shape: Size) -> int:
        # The matrix, a contiguous copy, and some vectors.
        return 2 * math.prod(shape) + 4 * _BLOCK * max(self._matrix(shape))

    def spectral_norm(self, shape: Size, rows: tuple[int, ...]) -> float | None:
        of_rows = len(shape) - 1 if self.row_axes is None else self.row_axes
        parts = tuple(range(of_rows)), tuple(range(of_rows, len(shape)))
        return abs(self.gain) if rows in parts else None

    def _matrix(self, shape: Size) -> tuple[int, int]:
        rows = len(shape) - 1 if self.row_axes is None else self.row_axes
        return math.prod(shape[:rows]), math.prod(shape[rows:])


class DeltaOrthogonal(Whole, frozen=True, kw_only=True):
    """A convolution kernel (k…, in, out) that is orthogonal at its center and 0 elsewhere.

    ``gain`` times a random matrix with orthonormal rows at index (k − 1) // 2 of every spatial
    axis; in ≤ out. (Xiao et al. 2018, arXiv:1806.05393; ``jax.nn.initializers.delta_orthogonal``.)
    """

    gain: Gain = 1.0

    def distribution_for(self, shape: Size) -> Distribution:
        self.require_convolution(shape, "for a matrix, use Orthogonal")
        if shape[-2] > shape[-1]:
            raise ShapeError(
                f"DeltaOrthogonal needs at least as many output channels ({shape[-1]}) as input "
                f"channels ({shape[-2]})",
                f"use {shape[-2]} filters or more, or Orthogonal",
            )
        center = _entry(shape[-1], self.gain)
        return distributions.with_zeros(center, 1 - 1 / math.prod(shape[:-2]))

    def tensor(self, shape: Size, rng: np.random.Generator, dtype: np.dtype[Any]) -> Floats:
        tensor = np.zeros(shape, dtype)
        center = tuple((size - 1) // 2 for size in shape[:-2])
        tensor[center] = self.gain * haar(shape[-2], shape[-1], rng, dtype)
        return tensor


def haar(rows: int, columns: int, rng: np.random.Generator, dtype: np.dtype[Any]) -> Floats:
    """A matrix with orthonormal columns (rows if it is wide), uniform among all such.

    It is the Q of the QR decomposition of a normal matrix with the signs of R's diagonal made
    positive, computed without decomposition as a product of reflections of normal vectors of
    decreasing length (Stewart 1980, doi:10.1137/0717034; Mezzadri 2007, arXiv:math-ph/0609050,
    section 5). A product of reflections is orthogonal for any vectors, so it is well-conditioned.

    The reflections of a block of vectors V are applied at once, as I − V T Vᵀ, where T⁻¹ is the
    upper triangle of VᵀV with half of its diagonal (Joffrain et al. 2006,
    doi:10.1145/1141885.1141886), from the last block to the first, as in LAPACK's ``orgqr``:
    2mn² − 2n³/3 operations for an m × n matrix.
    """
    m, n = max(rows, columns), min(rows, columns)
    q = np.empty((m, n), dtype)
    blocks = [slice(start, min(start + _BLOCK, n)) for start in range(0, n, _BLOCK)]
    for block in blocks:
        # The vectors are kept below the diagonal of q until their block is applied.
        part = q[block.start :, block]
        normals = np.empty(part.size, dtype)
        fill_normal(rng, normals, 0.0, 1.0)
        part[:] = normals.reshape(part.shape)
    signs = np.empty(n, dtype)
    for block in reversed(blocks):
        v, t, signs[block] = _reflections(q[block.start :, block])
        q[:, block] = 0
        np.fill_diagonal(q[block, block], 1)
        rest = q[block.start :, block.start :]
        w = t @ (v.T @ rest)
        for start in range(0, m, _PANEL):
            rest[start : start + _PANEL] -= v[start : start + _PANEL] @ w
    q *= signs
    return q if rows >= columns else q.T


_BLOCK = 128
"""Number of reflections applied at once; the values of a seed depend on it."""
_PANEL = 2048
"""Rows processed at a time, so that intermediate results stay in the cache."""


def _reflections(x: Floats) -> tuple[Floats, Floats, Floats]:
    """V and T of the reflections of the columns of x below its diagonal, and the columns' signs.

    The reflection of x, with v = x + sign(x₁) |x| e₁, maps it to −sign(x₁) |x| e₁.
    """
    size = x.shape[1]
    v = x.copy()
    v[:size] = np.tril(v[:size])
    top = v[:size].astype(np.float64)
    gram = np.zeros((size, size))
    for start in range(0, len(v), _PANEL):
        panel = v[start : start + _PANEL].astype(np.float64)
        gram += panel.T @ panel
    signs = np.where(np.diagonal(top) < 0, -1.0, 1.0)
    added = np.diag(signs * np.sqrt(np.diagonal(gram)))
    # From XᵀX to (X + EΔ)ᵀ(X + EΔ), with E the first columns of the identity.
    gram += top.T @ added + added @ top + added**2
    t = np.linalg.inv(np.triu(gram, 1) + np.diag(np.diagonal(gram) / 2))
    v[:size] += added.astype(v.dtype)
    return v, t.astype(v.dtype), -signs


def _entry(dimension: int, gain: float) -> Distribution:
    """The distribution of a coordinate of a unit vector times ``gain``."""
    radius = abs(gain)
    if radius == 0:
        return distributions.Constant(0.0)
    if dimension == 1:
        ends = (distributions.Constant(-radius), distributions.Constant(radius))
        return distributions.Mixture((0.5, 0.5), ends)
    return distributions.SphereCoordinate(dimension, radius)
