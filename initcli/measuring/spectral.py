"""The spectral norm of kernels: the largest factor by which a layer amplifies a direction.

The rows of the matrix are the axes that its layer sums over, the columns the others; a kernel in
groups has a matrix for each, and the largest norm counts. A multiplier of the parametrization is
included. The entries of features keep a size of 1, in the forward pass and after a step, at any
width if the norm stays near √(columns / rows) (Yang, Simon & Bernstein 2023, arXiv:2310.17813).
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import msgspec
import numpy as np

from initcli.checkpoint import Subject
from initcli.distributions import Floats
from initcli.errors import InitcliError, TooLarge
from initcli.initializers import Initializer
from initcli.initializers.base import Undeclared
from initcli.model import Model
from initcli.parameter import Parameter
from initcli.random.matrices import spectral_norm
from initcli.sampling.chunks import draw
from initcli.sources.load import model_of
from initcli.sources.overrides import Given
from initcli.sources.widths import hidden_sizes, scaled

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
        growth: power of the width with which expected / wanted grows, for a kernel between hidden
            layers; None for others, and if the widths are not known.
    """

    rows: int
    columns: int
    expected: float | None
    measured: float | None
    wanted: float | None
    growth: float | None = None


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
    groups = parameter.divided[1] if len(inputs) == len(shape) - 1 else 1
    columns //= groups
    measured = None
    if draws:
        try:
            values = draw(parameter)
        except TooLarge:
            pass
        else:
            matrix = values.transpose(*inputs, *outputs).reshape(rows, -1)
            parts = np.split(matrix, groups, axis=1)
            measured = parameter.multiplier * max(map(largest_singular_value, parts))
    expected = _expected(parameter, inputs, rows, columns, groups)
    return Spectral(
        rows,
        columns,
        None if expected is None else parameter.multiplier * expected,
        measured,
        None if known is None else math.sqrt(columns / rows),
    )


def _expected(
    parameter: Parameter, inputs: tuple[int, ...], rows: int, columns: int, groups: int
) -> float | None:
    """The norm that follows from the initializer, of one of several groups."""
    made, distribution = parameter.initializer, parameter.distribution
    norm = made.spectral_norm(parameter.shape, inputs)
    if groups == 1 or norm is None:
        return norm
    is_independent = type(made).spectral_norm is Initializer.spectral_norm
    if distribution is None or not is_independent:
        return None
    return spectral_norm(rows, columns, distribution.mean, distribution.std)


def growths(model: Subject) -> dict[str, float]:
    """As which power of the width the factor of each hidden kernel goes, by path.

    A model that is twice as wide says it; empty where there is none.
    """
    if not isinstance(model, Model):
        return {}
    try:
        sizes = hidden_sizes(model)
        document = scaled(model.document, sizes, Given("--width", "2"), Fraction(2))
        defaults = None if document.dialect == "huggingface" else model.defaults
        wide = model_of(document, model.seed, defaults, model.functions)
    except InitcliError:
        return {}
    found: dict[str, float] = {}
    others = {each.path: each for each in wide.parameters}
    for parameter in model.parameters:
        if parameter.path not in others:
            continue
        own, other = (spectral(p, draws=False) for p in (parameter, others[parameter.path]))
        if not own or not other or own.rows == other.rows or own.columns == other.columns:
            continue
        if own.expected and other.expected and own.wanted and other.wanted:
            factors = other.expected / other.wanted, own.expected / own.wanted
            found[parameter.path] = math.log2(factors[0] / factors[1])
    return found


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
