"""Values that are not independent draws: patterns, sequences, copies, orthogonal matrices."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from initcli.distributions import Floats
from initcli.initializers import (
    Bilinear,
    Constant,
    DeltaOrthogonal,
    Dirac,
    Identity,
    Initializer,
    Ones,
    Orthogonal,
    Zeros,
)
from initcli.matching.agreement import COARSE
from initcli.matching.independence import Sample, Stored
from initcli.measuring.measurement import Measurement
from initcli.types import ShapeError, Size

_PATTERN_ENTRIES = 1 << 24
"""Maximum number of entries of a tensor that is compared with a pattern."""
_VECTORS = 64
"""Maximum number of rows or columns whose products are computed."""
_GATES = (1, 2, 3, 4)
"""Numbers of equal parts: the gates of recurrent layers."""
_SHORTEST = 8
"""Minimum length of a sequence that is named."""


def constant(value: float) -> Initializer:
    """The initializer of one value."""
    return Zeros() if value == 0 else Ones() if value == 1 else Constant(value=value)


def constants(vector: Floats) -> list[float] | None:
    """The values of one to four equal parts of a vector, if each has one value."""
    for parts in _GATES:
        if vector.size % parts == 0 and vector.size >= 2 * parts:
            gates = vector.reshape(parts, -1)
            if (gates == gates[:, :1]).all():
                return [float(value) for value in gates[:, 0]]
    return None


def pattern(tensor: Stored, seen: Measurement) -> Initializer | None:
    """The deterministic initializer that gives exactly these values.

    Kernels are compared in Keras's layout (k…, in, out) and in torch's (out, in, k…).
    """
    shape, size = tensor.shape, seen.count
    is_window = len(shape) > 2 and seen.min >= 0 and seen.max <= 1
    if len(shape) < 2 or size > _PATTERN_ENTRIES or not (is_window or seen.zeros >= size / 2):
        return None
    for initializer in _patterns(shape, seen):
        for axes in _layouts(len(shape)):
            if _is_pattern(initializer, tensor, axes, size - seen.zeros):
                return initializer
    return None


def _patterns(shape: Size, seen: Measurement) -> Iterator[Initializer]:
    if len(shape) == 2:
        yield Identity(gain=seen.max if seen.max > 0 else seen.min)
        return
    ones = (seen.count - seen.zeros) // min(shape[:2])
    for groups in sorted({1, ones, shape[0], shape[-1]} - {0}):
        if seen.zeros:
            yield Dirac(groups=groups)
        yield Bilinear(groups=groups)


def _layouts(rank: int) -> list[tuple[int, ...]]:
    """The axes of a stored tensor in the order of Keras's."""
    keras = tuple(range(rank))
    return [keras] if rank == 2 else [keras, (*range(2, rank), 1, 0)]


def _is_pattern(
    initializer: Initializer, tensor: Stored, axes: tuple[int, ...], others: int
) -> bool:
    shape = tuple(tensor.shape[axis] for axis in axes)
    try:
        distribution = initializer.distribution_for(shape)
    except ShapeError:
        return False
    share = distribution.atoms.get(0.0, 0.0) if distribution else 1.0
    if round((1 - share) * math.prod(shape)) != others:
        return False
    expected = initializer.tensor(shape, np.random.default_rng(0), np.dtype(np.float32))
    values = tensor.read(0, math.prod(shape)).reshape(tensor.shape).transpose(axes)
    return bool(np.allclose(values, expected, rtol=2.0**-8, atol=0))


def not_random(sample: Sample) -> str:
    """The kind of table if the values are not random; "" otherwise."""
    values = sample.values[tuple(0 if n == 1 else slice(None) for n in sample.values.shape)]
    if values.ndim > 2 or (not sample.is_whole and values.ndim < 2):
        return ""
    rows = values.astype(np.float64).reshape(-1, values.shape[-1] if values.ndim else 1)
    equal = bool((rows == rows[0]).all()) and sample.is_whole
    vector = rows[0] if equal else rows[:, 0] if rows.shape[1] == 1 else rows[:0, 0]
    if vector.size >= _SHORTEST:
        copies = f"{len(rows):,} rows of " if equal and len(rows) > 1 else ""
        if kind := _sequence(vector):
            return copies + kind
    if len(rows) > 5 and rows.shape[1] >= 2 and sample.rows[:6].tolist() == list(range(6)):
        if _is_sinusoidal(rows[:6]):
            return "sinusoids of the position"
        if sample.is_whole and (np.tril(rows) == rows).all() and np.unique(rows).size == 2:
            return "a triangle"
    return ""


def _sequence(vector: Floats) -> str:
    with np.errstate(all="ignore"):
        steps = np.diff(vector)
        ratios = vector[1:] / vector[:-1]
    if bool(np.all(steps == 1)):
        return f"the numbers from {vector[0]:g} to {vector[-1]:g}"
    for kind, each in (("an arithmetic", steps), ("a geometric", ratios)):
        middle = float(np.median(each))
        tolerance = max(abs(middle), float(np.abs(vector).max()) * (kind[3] == "a")) * 2.0**-8
        if (
            middle != 0
            and (kind == "an arithmetic" or 0 < middle != 1)
            and bool(np.all(np.abs(each - middle) <= tolerance))
        ):
            return f"{kind} sequence from {vector[0]:.4g} to {vector[-1]:.4g}"
    return ""


def _is_sinusoidal(rows: Floats) -> bool:
    """Whether row p is sin(pθ) or cos(pθ), with an angle θ for each column."""
    if not np.isin(rows[0], (0, 1)).all() or np.abs(rows).max() > 1 or (rows[1] == rows[0]).all():
        return False
    angles = np.where(rows[0] == 0, np.arcsin(rows[1]), np.arccos(rows[1]))
    places = np.arange(len(rows))[:, None] * angles
    return bool(np.allclose(rows, np.where(rows[0] == 0, np.sin(places), np.cos(places)), atol=0.1))


def zero_rows(tensor: Stored, seen: Measurement) -> list[int]:
    """The rows of a matrix that are 0, if all zeros are in them."""
    if len(tensor.shape) != 2 or seen.zeros < tensor.shape[1] or tensor.shape[1] < 2:
        return []
    count, width = tensor.shape
    if seen.zeros % width:
        return []
    wanted, found = seen.zeros // width, []
    step = max((1 << 20) // width, 1)
    for start in range(0, count, step):
        stop = min(start + step, count)
        rows = tensor.read(start * width, stop * width).reshape(stop - start, width)
        found += (start + np.flatnonzero(~rows.any(1))).tolist()
        if len(found) >= wanted:
            break
    return found if len(found) == wanted else []


def copies(sample: Sample) -> int:
    """How often every row of a complete sample occurs in it; 1 if all differ."""
    values = sample.values
    if not sample.is_whole or values.ndim < 2 or len(values) < 2:
        return 1
    rows = values.reshape(len(values), -1)
    # Most have other numbers at their ends.
    if np.unique(rows[:, 0]).size == len(rows) or np.unique(rows[:, -1]).size == len(rows):
        return 1
    counts = np.unique(rows, axis=0, return_counts=True)[1]
    return int(counts[0]) if (counts == counts[0]).all() else 1


def orthogonal(tensor: Stored, seen: Measurement, sample: Sample) -> Initializer | None:
    """Orthogonal with its gain, if the rows or columns are orthonormal up to a factor."""
    shape = tensor.shape
    if len(shape) < 2 or min(shape[0], seen.count // max(shape[0], 1)) < 2:
        return None
    if len(shape) > 2 and seen.zeros and (found := _delta_orthogonal(tensor, seen)):
        return found
    for rows in dict.fromkeys((shape[0], seen.count // shape[-1])):
        vectors = _vectors(tensor, seen, sample, rows)
        if vectors is None:
            continue
        gain = _gain(vectors, tensor.dtype)
        if gain:
            return Orthogonal(gain=gain)
    return None


def _vectors(tensor: Stored, seen: Measurement, sample: Sample, rows: int) -> Floats | None:
    """Some rows of the matrix with ``rows`` rows, or some columns if it is tall."""
    columns = seen.count // rows
    if sample.is_whole:
        matrix = sample.values.reshape(rows, columns)
        vectors: Floats = (matrix if rows <= columns else matrix.T)[:_VECTORS]
        return vectors
    if rows <= columns:
        if sample.values[0].size % columns:
            # The sample has no whole row, and two of them tell.
            return tensor.read(0, 2 * columns).reshape(2, columns)
        some: Floats = sample.values.reshape(-1, columns)[:_VECTORS]
        return some
    # The squares of all entries sum to gain² times the shorter side, which is unlikely by chance.
    square = (seen.squares + seen.count * seen.mean**2) / columns
    if abs(square * 4 - round(square * 4)) > 1e-3 * square:
        return None
    step = max((1 << 20) // columns, 1)
    width = min(columns, _VECTORS)
    parts = [
        tensor.read(start * columns, min(start + step, rows) * columns).reshape(-1, columns)[
            :, :width
        ]
        for start in range(0, rows, step)
    ]
    return np.concatenate(parts).T


def _gain(vectors: Floats, dtype: str) -> float:
    """The common length of orthogonal vectors; 0 for any others."""
    count, length = vectors.shape
    if count < 2 or count > length:
        return 0.0
    tolerance = 1e-4 + 16 * COARSE.get(dtype, 0.0) / math.sqrt(length)
    # Two of them suffice to exclude nearly all others.
    for some in (vectors[:2], vectors):
        gram = some.astype(np.float64) @ some.astype(np.float64).T
        square = float(np.trace(gram)) / len(some)
        if square <= 0 or np.abs(gram / square - np.eye(len(some))).max() > tolerance:
            return 0.0
    gain = math.sqrt(square)
    named = min((1.0, math.sqrt(2), 5 / 3, 0.01, 0.1, 0.5, 2.0), key=lambda g: abs(g - gain))
    return named if abs(named / gain - 1) < tolerance else gain


def _delta_orthogonal(tensor: Stored, seen: Measurement) -> Initializer | None:
    shape = tensor.shape
    if seen.count > _PATTERN_ENTRIES:
        return None
    values = tensor.read(0, seen.count).reshape(shape)
    for axes in _layouts(len(shape)):
        kernel = values.transpose(axes)
        center = kernel[tuple((size - 1) // 2 for size in kernel.shape[:-2])]
        if np.count_nonzero(center) == seen.count - seen.zeros and min(center.shape) > 1:
            short = center if center.shape[0] <= center.shape[1] else center.T
            if gain := _gain(short[:_VECTORS], tensor.dtype):
                return DeltaOrthogonal(gain=gain)
    return None
