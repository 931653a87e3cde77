"""The spectral norm of kernels: the largest factor by which a layer amplifies a direction.

The rows of the matrix are the axes that its layer sums over, the columns the others. The entries of
features keep a size of 1, in the forward pass and after a step, at any width if the norm stays near
√(columns / rows) (Yang, Simon & Bernstein 2023, arXiv:2310.17813).
"""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np

from initcli.distributions import Floats
from initcli.errors import TooLarge
from initcli.initializers.base import Undeclared
from initcli.parameter import Parameter
from initcli.sampling.chunks import draw

_SMALL = 64
"""Maximum number of rows or columns of a matrix that is decomposed."""
_STEPS = 40
_CLOSE = 1e-4
"""Maximum number of steps of the iteration, and the relative change at which it stops earlier."""


class Spectral(msgspec.Struct, frozen=True):
    """The spectral norm of a kernel.

    Args:
        rows: number of rows: inputs of one output.
        columns: number of columns.
        expected: norm that follows from the initializer; None if unknown.
        measured: norm of the values; None if none are drawn or read.
        wanted: √(columns / rows); None if the axes are not known.
    """

    rows: int
    columns: int
    expected: float | None
    measured: float | None
    wanted: float | None


def spectral(parameter: Parameter, *, draws: bool) -> Spectral | None:
    """The spectral norm of a parameter; None if it is not a matrix that a layer multiplies by.

    Args:
        parameter: the parameter.
        draws: whether to draw or read the values and measure their norm, if they fit in memory.
    """
    shape, inputs = parameter.shape, parameter.contracts
    if inputs is None:
        # For a matrix in a file, only its orientation is unknown.
        is_matrix = isinstance(parameter.initializer, Undeclared) and len(shape) == 2
        inputs = (0,) if is_matrix else ()
    if not inputs or len(inputs) == len(shape):
        return None
    inputs = tuple(sorted(axis % len(shape) for axis in inputs))
    outputs = tuple(axis for axis in range(len(shape)) if axis not in inputs)
    known = parameter.produces
    if known is not None and not set(outputs) <= {axis % len(shape) for axis in known}:
        return None  # several matrices, such as those of experts
    rows, columns = (math.prod(shape[axis] for axis in axes) for axes in (inputs, outputs))
    if not rows * columns:
        return None
    measured = None
    if draws:
        try:
            values = draw(parameter)
        except TooLarge:
            pass
        else:
            measured = largest_singular_value(values.transpose(*inputs, *outputs).reshape(rows, -1))
    return Spectral(
        rows,
        columns,
        parameter.initializer.spectral_norm(shape, inputs),
        measured,
        None if known is None else math.sqrt(columns / rows),
    )


def largest_singular_value(matrix: Floats) -> float:
    """The largest singular value to about 1e-3; NaN if a value is not finite.

    By Golub & Kahan's bidiagonalization with full reorthogonalization (1965, doi:10.1137/0702016),
    or by a singular value decomposition of a small matrix.
    """
    if not np.isfinite(matrix).all():
        return math.nan
    if min(matrix.shape) <= _SMALL:
        return float(np.linalg.norm(matrix.astype(np.float64), 2))
    scale = float(np.abs(matrix).max())
    if not scale:
        return 0.0
    matrix = matrix / matrix.dtype.type(scale)  # so that no square overflows
    start = np.random.default_rng(0).standard_normal(matrix.shape[1])
    right: Any = [(start / np.linalg.norm(start)).astype(matrix.dtype)]
    left: Any = []
    diagonal: list[float] = []
    beside: list[float] = []
    largest = 0.0
    for _ in range(min(_STEPS, *matrix.shape)):
        length = _orthogonal(matrix @ right[-1], left)
        diagonal.append(length)
        bidiagonal = np.diag(diagonal) + np.diag(beside, 1)
        previous, largest = largest, float(np.linalg.norm(bidiagonal, 2))
        if not length or largest - previous <= _CLOSE * largest:
            break
        length = _orthogonal(left[-1] @ matrix, right)
        if not length:
            break
        beside.append(length)
    return largest * scale


def _orthogonal(vector: Floats, basis: list[Floats]) -> float:
    """Extend an orthonormal basis by a vector; return the length of its orthogonal part."""
    size = float(np.linalg.norm(vector))
    for _ in range(2):  # once leaves rounding errors
        for other in basis:
            vector = vector - (other @ vector) * other
    length = float(np.linalg.norm(vector))
    if length <= 1e-6 * size:
        return 0.0
    basis.append(vector / vector.dtype.type(length))
    return length
