"""Haar-distributed orthogonal matrices."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from initcli import laws
from initcli.initializers.base import Whole
from initcli.laws import Floats, Law
from initcli.types import ShapeError, Size, shape_text


class Orthogonal(Whole, frozen=True, kw_only=True):
    """``gain`` times a matrix with orthonormal columns, or rows where it is wide.

    A tensor of higher rank is the matrix (all axes but the last, last axis). Each column is a
    uniform point on a sphere, so an entry has variance gain² / max(rows, columns).
    (Saxe et al. 2014; Mezzadri 2007 for the sign of R's diagonal, without which the matrix
    is orthogonal and not Haar.)
    """

    aliases: ClassVar[tuple[str, ...]] = ("OrthogonalInitializer",)

    gain: float = 1.0

    def law(self, shape: Size) -> Law:
        if len(shape) < 2:
            message = f"Orthogonal fills rank 2 and more, not shape {shape_text(shape)}"
            raise ShapeError(message, "a vector has nothing to be orthogonal to; use zeros")
        return _entry(max(_matrix(shape)), self.gain)

    def tensor(self, shape: Size, rng: np.random.Generator, dtype: np.dtype[Any]) -> Floats:
        matrix = haar(*_matrix(shape), rng, dtype)
        matrix *= dtype.type(self.gain)
        return matrix.reshape(shape)


class DeltaOrthogonal(Whole, frozen=True, kw_only=True):
    """A convolution that is orthogonal at its centre and 0 elsewhere, for kernels (k…, in, out).

    ``gain`` times a matrix with orthonormal rows at index (k − 1) // 2 of every spatial axis; it
    needs in ≤ out (Xiao et al. 2018; ``jax.nn.initializers.delta_orthogonal``, whose scale is the
    gain here).
    """

    gain: float = 1.0

    def law(self, shape: Size) -> Law:
        if len(shape) not in (3, 4, 5):
            raise ShapeError(
                "DeltaOrthogonal fills convolution kernels of rank 3 to 5, "
                f"not shape {shape_text(shape)}"
            )
        if shape[-2] > shape[-1]:
            raise ShapeError(
                f"DeltaOrthogonal needs no more input channels ({shape[-2]}) than output "
                f"channels ({shape[-1]})"
            )
        centre = _entry(shape[-1], self.gain)
        places = math.prod(shape[:-2])
        if places == 1:
            return centre
        return laws.Mixture((1 - 1 / places, 1 / places), (laws.Constant(0.0), centre))

    def tensor(self, shape: Size, rng: np.random.Generator, dtype: np.dtype[Any]) -> Floats:
        tensor = np.zeros(shape, dtype)
        centre = tuple((size - 1) // 2 for size in shape[:-2])
        tensor[centre] = self.gain * haar(shape[-2], shape[-1], rng, dtype)
        return tensor


def haar(rows: int, columns: int, rng: np.random.Generator, dtype: np.dtype[Any]) -> Floats:
    """A matrix with orthonormal columns (rows where it is wide), uniform among all such.

    The Q of a normal matrix's QR, its columns signed as R's diagonal (Mezzadri 2007, section 5).
    """
    tall = rng.standard_normal((max(rows, columns), min(rows, columns)), dtype=dtype.type)
    q, r = np.linalg.qr(tall)
    q *= np.where(np.diagonal(r) < 0, -1, 1).astype(dtype)
    return q if rows >= columns else q.T


def _matrix(shape: Size) -> tuple[int, int]:
    return math.prod(shape[:-1]), shape[-1]


def _entry(dimension: int, gain: float) -> Law:
    if gain == 0:
        return laws.Constant(0.0)
    return laws.SphereCoordinate(dimension, abs(gain))
