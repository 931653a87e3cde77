"""Haar-distributed orthogonal matrices."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from initcli import distributions
from initcli.distributions import Distribution, Floats
from initcli.initializers.base import Whole
from initcli.random.variates import fill_normal
from initcli.types import PositiveInt, ShapeError, Size, shape_text


class Orthogonal(Whole, frozen=True, kw_only=True):
    """``gain`` times a matrix with orthonormal columns, or rows where it is wide.

    A tensor of higher rank is the matrix (all axes but the last, last axis); ``row_axes`` is the
    number of leading axes that are rows where it is another (1 in Keras 1). Each column is a
    uniform point on a sphere, so an entry has variance gain² / max(rows, columns).
    (Saxe et al. 2014; Mezzadri 2007 for the sign of R's diagonal, without which the matrix
    is orthogonal and not Haar.)
    """

    aliases: ClassVar[tuple[str, ...]] = ("OrthogonalInitializer",)

    gain: float = 1.0
    row_axes: PositiveInt | None = None

    def distribution_for(self, shape: Size) -> Distribution:
        if len(shape) < 2:
            message = f"Orthogonal fills tensors of 2 axes or more, not shape {shape_text(shape)}"
            raise ShapeError(message, "a vector has nothing to be orthogonal to; use zeros")
        return _entry(max(self._matrix(shape)), self.gain)

    def tensor(self, shape: Size, rng: np.random.Generator, dtype: np.dtype[Any]) -> Floats:
        matrix = haar(*self._matrix(shape), rng, dtype)
        matrix *= dtype.type(self.gain)
        return matrix.reshape(shape)

    def scratch(self, shape: Size) -> int:
        # The matrix, a copy in the order of its entries, and some vectors.
        return 2 * math.prod(shape) + 4 * _BLOCK * max(self._matrix(shape))

    def _matrix(self, shape: Size) -> tuple[int, int]:
        rows = len(shape) - 1 if self.row_axes is None else self.row_axes
        return math.prod(shape[:rows]), math.prod(shape[rows:])


class DeltaOrthogonal(Whole, frozen=True, kw_only=True):
    """A convolution that is orthogonal at its center and 0 elsewhere, for kernels (k…, in, out).

    ``gain`` times a matrix with orthonormal rows at index (k − 1) // 2 of every spatial axis; it
    needs in ≤ out (Xiao et al. 2018; ``jax.nn.initializers.delta_orthogonal``, whose scale is the
    gain here).
    """

    gain: float = 1.0

    def distribution_for(self, shape: Size) -> Distribution:
        if len(shape) not in (3, 4, 5):
            raise ShapeError(
                "DeltaOrthogonal fills convolution kernels of 3 to 5 axes, "
                f"not shape {shape_text(shape)}",
                "for a matrix, take Orthogonal" if len(shape) == 2 else "",
            )
        if shape[-2] > shape[-1]:
            raise ShapeError(
                f"DeltaOrthogonal needs at least as many output channels ({shape[-1]}) as input "
                f"channels ({shape[-2]})",
                f"take {shape[-2]} filters or more, or Orthogonal",
            )
        center = _entry(shape[-1], self.gain)
        places = math.prod(shape[:-2])
        if places == 1:
            return center
        return distributions.Mixture(
            (1 - 1 / places, 1 / places), (distributions.Constant(0.0), center)
        )

    def tensor(self, shape: Size, rng: np.random.Generator, dtype: np.dtype[Any]) -> Floats:
        tensor = np.zeros(shape, dtype)
        center = tuple((size - 1) // 2 for size in shape[:-2])
        tensor[center] = self.gain * haar(shape[-2], shape[-1], rng, dtype)
        return tensor


def haar(rows: int, columns: int, rng: np.random.Generator, dtype: np.dtype[Any]) -> Floats:
    """A matrix with orthonormal columns (rows where it is wide), uniform among all such.

    It is the product of reflections of normal vectors, one of each length from the number of rows
    down, with its columns signed: what the QR decomposition of a normal matrix would come to, whose
    diagonal is made positive, without the decomposition (Stewart 1980; Mezzadri 2007, section 5).
    A product of reflections is orthogonal whatever the vectors are, so nothing here is
    ill-conditioned.

    The reflections of a block of vectors V are one product with I − V T Vᵀ, where T⁻¹ is the upper
    triangle of VᵀV with half of its diagonal (Joffrain et al. 2006), and are applied from the last
    block to the first, as in LAPACK's ``orgqr``: 2mn² − 2n³/3 operations for m × n.
    """
    m, n = max(rows, columns), min(rows, columns)
    q = np.empty((m, n), dtype)
    blocks = [slice(start, min(start + _BLOCK, n)) for start in range(0, n, _BLOCK)]
    for block in blocks:
        # A block's vectors are below the diagonal of q until it is their turn.
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
"""Vectors whose reflections are applied together; it is part of what makes a seed's values."""
_PANEL = 2048
"""Rows that are worked on at a time, so that what is made of them stays in the cache."""


def _reflections(x: Floats) -> tuple[Floats, Floats, Floats]:
    """V and T of the reflections of the columns of x below its diagonal, and the columns' signs.

    The reflection of a vector x takes it to −sign(x₁) |x| e₁, by v = x + sign(x₁) |x| e₁.
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
    # With E the first columns of the identity, (X + EΔ)ᵀ(X + EΔ) from XᵀX.
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
