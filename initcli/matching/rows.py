"""Rows of a tensor that are still initial while other rows are trained."""

from __future__ import annotations

import math
import re
from functools import cached_property
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from initcli.distributions import Distribution, Floats, Normal, TruncatedNormal, Uniform
from initcli.matching.agreement import COARSE, agreement, chi_squared, combined, kurtosis
from initcli.matching.independence import Sample, Stored, independence
from initcli.matching.layouts import style_of
from initcli.matching.match import FLOATS, has_bounds, measured
from initcli.matching.rules import candidates
from initcli.matching.surroundings import Place
from initcli.measuring.fit import DOUBTFUL, Empirical
from initcli.types import TensorDtype

_TABLE = re.compile(r"emb|wte|wpe", re.IGNORECASE)
"""Parts of the names of tables, whose rows are trained independently."""
_TALL = 8
"""Minimum ratio of rows to columns of a matrix that counts as a table under any name."""
_MOST = 1 << 21
"""Maximum number of values that are read of a tensor."""
_LEAST_ROWS = 16
_LEAST_TRAINED = 0.02
"""Minimum share of the rows that are far: single ones may be outliers."""
_BETWEEN = 0.2
"""Maximum share of rows that are neither near nor far, so that no single cloud is split in two."""
_LEAST_REACHING = 60
"""Minimum expected number of values next to the bounds, known to a quarter."""
_COMPUTED = 2.0**-20
"""Relative error of a value that a framework computes in float32."""
_LEAST_WIDTH = 32
_LEAST_VALUES = 2000
_NEAR = 4.0
"""Standard errors within which the length of all but one in 10,000 initial rows lies."""
_DIRECTIONS = 8
"""Number of directions in which training moves rows most, which are tested separately."""
_BEYOND = 1.2
"""Factor by which the variance in a direction must exceed the largest one of noise."""
_ITERATIONS = 4


_FAR = 8.0
"""Standard errors above which a row is certainly trained."""
_DECISIVE = 1 << 18
"""Minimum number of values to distinguish all rules; fewer may follow a rare one by chance."""


class KeptRows(NamedTuple):
    """Numbers of rows: ``rows`` are tested, ``initial`` follow a rule, ``trained`` are far off."""

    rule: str
    initial: int
    trained: int
    rows: int


def kept_rows(
    tensor: Stored, place: Place, declared: Distribution | None = None
) -> KeptRows | None:
    """The rows of a table, such as an embedding, that still follow a rule of a framework.

    The mean square of d independent values with kurtosis κ has the relative standard error
    √((κ − 1)/d). The rows within four standard errors, also in the main directions of the matrix,
    must together pass all tests of :func:`agreement` and :func:`independence`. So none are found
    if many rows have moved a little.

    Args:
        tensor: the tensor, of which rows of about two million values are read.
        place: its place among the other tensors of its file.
        declared: a distribution to try before those of the rules.
    """
    if len(tensor.shape) != 2 or tensor.dtype not in FLOATS:
        return None
    count, width = tensor.shape
    if not (_TABLE.search(tensor.path) or count >= _TALL * width):
        return None
    if count < 2 * _LEAST_ROWS or not _LEAST_WIDTH <= width <= _MOST // (2 * _LEAST_ROWS):
        return None
    matrix = _Rows(_some_rows(tensor))
    if not matrix.are_finite:
        return None
    dtype = cast(TensorDtype, tensor.dtype)
    ends = matrix.least_and_greatest
    known = candidates(tensor.shape, style_of(tensor.path), place, tensor.path, *ends)
    rules = [(each.rule.text, each.distribution, each.rarity) for each in known]
    if isinstance(declared, Normal | TruncatedNormal | Uniform):
        rules.insert(0, (declared.text, declared, 0))
    tried: set[Distribution] = set()
    for text, distribution, rarity in rules:
        if distribution in tried:
            continue
        tried.add(distribution)
        initial, trained = matrix.kept(distribution, dtype)
        is_enough = rarity == 0 or has_bounds(distribution) or initial * width >= _DECISIVE
        if initial and trained >= _LEAST_TRAINED * len(matrix.rows) and is_enough:
            return KeptRows(text, initial, trained, len(matrix.rows))
    return None


def _some_rows(tensor: Stored) -> Floats:
    """All rows, or evenly spaced rows of a tensor that is too large to read."""
    count, width = tensor.shape
    wanted = min(count, _MOST // width)
    if wanted == count or tensor.is_sequential:
        return tensor.read(0, wanted * width).reshape(wanted, width)
    starts = np.linspace(0, count - 1, wanted).astype(int).tolist()
    return np.stack([tensor.read(start * width, (start + 1) * width) for start in starts])


class _Rows:
    """Rows, and their lengths in all directions and in the main directions."""

    def __init__(self, rows: Floats) -> None:
        self.rows = rows
        self._squares = np.square(rows, dtype=np.float64).sum(1)
        self._sums = rows.sum(1, dtype=np.float64)

    @property
    def are_finite(self) -> bool:
        """Whether all values and their squares are finite, and some rows are not 0."""
        used = np.count_nonzero(self._squares)
        return bool(np.isfinite(self._squares).all() and used >= 2 * _LEAST_ROWS)

    @property
    def least_and_greatest(self) -> tuple[float, float]:
        """The smallest and the largest root mean square of a row that is not 0."""
        lengths = np.sqrt(self._squares[self._squares > 0] / self.rows.shape[1])
        return float(lengths.min()), float(lengths.max())

    @cached_property
    def _basis(self) -> Floats:
        """Directions of the largest singular values, as columns."""
        rows = self.rows.astype(np.float64)
        basis = np.random.default_rng(0).normal(size=(rows.shape[1], _DIRECTIONS))
        for _ in range(_ITERATIONS):
            basis = np.linalg.qr(rows.T @ (rows @ basis))[0]
        turned: Floats = basis @ np.linalg.svd(rows @ basis, full_matrices=False)[2].T
        return turned

    @cached_property
    def _main(self) -> Floats:
        """The square of each row's part in each direction of the largest singular values."""
        squares: Floats = np.square(self.rows @ self._basis)
        return squares

    def kept(self, distribution: Distribution, dtype: TensorDtype) -> tuple[int, int]:
        """The number of rows that follow a distribution (0 if too few), and of rows far from it."""
        width, mean, std = self.rows.shape[1], distribution.mean, distribution.std
        energy = (self._squares - 2 * mean * self._sums + width * mean**2) / std**2
        z = (energy - width) / math.sqrt(width * (kurtosis(distribution) - 1))
        shift = (self._sums - width * mean) / (std * math.sqrt(width))
        off = np.maximum(np.abs(z), np.abs(shift))
        if mean or not self._suffice(off < _NEAR):
            return 0, 0
        excess = self._excess(distribution)
        outside = excess > COARSE.get(dtype, _COMPUTED)
        if isinstance(distribution, Uniform):
            near = (off < _NEAR) & ~outside
            tested = self.rows[near]
            moved = excess[(off < _NEAR) & outside]
            is_one_cloud = moved.size > _BETWEEN * np.count_nonzero(near)
            if is_one_cloud and not self._reaches(distribution, near, moved):
                return 0, 0
        else:
            # Directions in which the variance exceeds that of noise are those of training.
            noise = (std * (1 + math.sqrt(width / len(off)))) ** 2
            used = int(np.count_nonzero(self._main.mean(0) > _BEYOND * noise))
            main = self._main[:, :used].sum(1) / std**2
            off = np.maximum(off, (main - used) / math.sqrt(2 * max(used, 1)))
            near = off < _NEAR
            # Rows that moved a little are rare in the half that lies least in these directions,
            # and in the others the parts of normal rows are independent.
            half = near & (main <= used * (1 - 2 / (9 * max(used, 1))) ** 3)
            tested = _turned(self.rows[half], self._basis[:, :used])[:, used:]
            if np.count_nonzero(outside[half]) > _BETWEEN * np.count_nonzero(half):
                return 0, 0
            between = np.count_nonzero((off >= _NEAR) & (off < _FAR))
            ends = np.count_nonzero(near), np.count_nonzero(off >= _FAR) / 4
            if between > _BETWEEN * max(ends):
                return 0, 0
        far = (off > _FAR) & (self._squares > 0)
        if not self._suffice(near) or len(tested) < _LEAST_ROWS // 4:
            return 0, 0
        # A cloud of rows that is cut in two has no ends.
        chosen = z[near]
        freedom = chosen.size / (1 + 6 / width)
        share = chi_squared(float(chosen @ chosen) * freedom / chosen.size, freedom)
        expected = distribution if isinstance(distribution, Uniform) else Normal(0.0, std)
        if share < DOUBTFUL or _probability(expected, tested, dtype) < DOUBTFUL:
            return 0, 0
        return int(np.count_nonzero(near)), int(np.count_nonzero(far))

    def _excess(self, distribution: Distribution) -> Floats:
        """How far the largest value of each row lies beyond the support, relative to its end."""
        if not has_bounds(distribution):
            return np.full(len(self.rows), -1.0)
        largest: Floats = np.abs(self.rows).max(1).astype(np.float64)
        return largest / max(distribution.support) - 1

    def _reaches(
        self, distribution: Distribution, near: NDArray[np.bool_], between: Floats
    ) -> bool:
        """Whether the largest values of rows within bounds are as close to them as in unmoved rows.

        If all rows moved a little, those that stayed within lack half of their largest values.
        """
        margin = float(np.median(between))
        rows = self.rows[near]
        expected = rows.size * margin
        found = np.count_nonzero(np.abs(rows) > (1 - margin) * max(distribution.support))
        return bool(expected >= _LEAST_REACHING and found >= 0.75 * expected)

    def _suffice(self, near: NDArray[np.bool_]) -> bool:
        count = int(np.count_nonzero(near))
        return count >= _LEAST_ROWS and count * self.rows.shape[1] >= _LEAST_VALUES


def _turned(rows: Floats, basis: Floats) -> Floats:
    """Rows in an orthonormal basis that starts with given columns, by Householder reflections."""
    turned = rows.astype(np.float64)
    vectors, factors = np.linalg.qr(basis, mode="raw")
    for place, factor in enumerate(factors):
        vector = vectors[place].copy()
        vector[:place], vector[place] = 0, 1
        turned -= factor * np.outer(turned @ vector, vector)
    return turned


def _probability(distribution: Distribution, rows: Floats, dtype: TensorDtype) -> float:
    """Probability that independent draws agree as badly as the rows."""
    p_value = agreement(distribution, Empirical(measured(rows), dtype))
    if p_value < DOUBTFUL:
        return p_value
    sample = Sample.of(np.ascontiguousarray(rows))
    return combined((p_value, *independence(distribution, sample)))
