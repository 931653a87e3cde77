"""Differences between the values of two tensors of the same shape.

Values are compared chunk by chunk, so at most a chunk of each tensor is in memory. The differences
of two parts add up to that of both; parts and the order of addition are fixed, so the result does
not depend on the workers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import reduce
from operator import add
from typing import Any

import msgspec
import numpy as np

from initcli.distributions import Floats
from initcli.measuring.portions import Progress, chunk_ranges, needs_whole, refuse_too_large
from initcli.parameter import Parameter
from initcli.sampling.chunks import CHUNK, draw_chunks
from initcli.sampling.workers import HERE, Workers
from initcli.types import Array

Pair = tuple[Parameter, Parameter]
"""Two tensors of the same shape: before and after a change."""

_LEAST = -1100
"""An exponent below that of every float64."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """The difference of ``count`` pairs (a, b) of finite values; + combines two parts.

    ``a_squares``, ``b_squares``, ``products`` and ``squares`` are the sums of a², b², a·b and
    (b − a)², each divided by 4**exponent, because the square of a float64 may overflow.

    ``changed`` counts pairs that differ, bit by bit where both have the same dtype. ``not_finite``
    counts further pairs in which a value is NaN or infinite.
    """

    count: int = 0
    changed: int = 0
    not_finite: int = 0
    largest: float = 0.0
    a_squares: float = 0.0
    b_squares: float = 0.0
    products: float = 0.0
    squares: float = 0.0
    exponent: int

    @property
    def relative(self) -> float:
        """‖b − a‖ / ‖a‖; infinite if only a is 0, NaN without a pair of finite values."""
        if not self.count:
            return math.nan
        if not self.squares:
            return 0.0
        return math.sqrt(self.squares / self.a_squares) if self.a_squares else math.inf

    @property
    def cosine(self) -> float:
        """a·b / (‖a‖ ‖b‖); NaN if a or b is 0."""
        if not self.squares and self.a_squares:
            return 1.0
        norms = math.sqrt(self.a_squares) * math.sqrt(self.b_squares)
        return min(max(self.products / norms, -1.0), 1.0) if norms else math.nan

    def __add__(self, other: Difference) -> Difference:
        exponent = max(self.exponent, other.exponent)
        one, two = (math.ldexp(1.0, 2 * (each.exponent - exponent)) for each in (self, other))
        return Difference(
            count=self.count + other.count,
            changed=self.changed + other.changed,
            not_finite=self.not_finite + other.not_finite,
            largest=max(self.largest, other.largest),
            a_squares=self.a_squares * one + other.a_squares * two,
            b_squares=self.b_squares * one + other.b_squares * two,
            products=self.products * one + other.products * two,
            squares=self.squares * one + other.squares * two,
            exponent=exponent,
        )


NOTHING = Difference(exponent=_LEAST)
"""The difference of no values."""


def differences(
    pairs: Sequence[Pair], *, workers: Workers = HERE, progress: Progress | None = None
) -> Iterator[Difference]:
    """The difference of each pair of tensors, whose values are drawn or read.

    Args:
        pairs: tensors of the same shape.
        workers: workers to use, see :mod:`initcli.sampling.workers`; this process by default.
        progress: called with the number of weights of each part that is done.

    Raises:
        TooLarge: a tensor does not fit in memory, or there are too many weights.
        CustomFunctionError: a custom initializer failed.
        WorkersError: the workers were lost.
    """
    refuse_too_large([(each, each.size) for pair in pairs for each in pair])
    parts = workers.in_order(_compare, (part for pair in pairs for part in _parts(pair)), _stays)
    for one, _ in pairs:
        whole, done = NOTHING, 0
        while done < max(one.size, 1):
            part, difference = next(parts)
            whole += difference
            entries = min(len(part.chunks) * CHUNK, one.size - done)
            done += max(entries, 1)
            if progress is not None:
                progress(entries)
        yield whole


class _Part(msgspec.Struct, frozen=True):
    """The chunks of two tensors that one task compares."""

    pair: Pair
    chunks: range


def _parts(pair: Pair) -> Iterator[_Part]:
    whole = any(map(needs_whole, pair))
    if not whole:  # the owner is not needed to sample, and expensive to send
        one, two = (msgspec.structs.replace(each, owner=None) for each in pair)
        pair = one, two
    for chunks in chunk_ranges(pair[0].size, whole=whole):
        yield _Part(pair, chunks)


def _stays(part: _Part) -> bool:
    return any(map(needs_whole, part.pair))


def _compare(part: _Part) -> Difference:
    one, two = part.pair
    both = zip(_contents(one, part.chunks), _contents(two, part.chunks), strict=True)
    same_dtype = one.dtype == two.dtype
    with np.errstate(all="ignore"):  # stored values may be anything
        return reduce(add, (_of_chunk(*each, same_dtype=same_dtype) for each in both), NOTHING)


_Content = tuple[Array, Floats]
"""Entries as stored, and their values; for sampled entries both are the same."""


def _contents(parameter: Parameter, chunks: range) -> Iterator[_Content]:
    stored = parameter.stored
    if stored is None:
        yield from ((values, values) for values in draw_chunks(parameter, chunks))
        return
    for chunk in chunks:
        entries = stored.entries(chunk * CHUNK, min((chunk + 1) * CHUNK, parameter.size))
        yield entries, stored.values(entries)


def _of_chunk(one: _Content, two: _Content, *, same_dtype: bool) -> Difference:
    (a_entries, a), (b_entries, b) = one, two
    if not (same_dtype and a_entries.dtype == b_entries.dtype):
        a_entries, b_entries = a, b
    changed = int(np.count_nonzero(_differ(a_entries, b_entries)))
    is_wide = np.float64 in (a.dtype, b.dtype)
    a, b = a.astype(np.float64), b.astype(np.float64)
    finite = np.isfinite(a) & np.isfinite(b)
    not_finite = finite.size - int(np.count_nonzero(finite))
    if not_finite:
        a, b = a[finite], b[finite]
    exponent = 0
    if is_wide:
        largest = max(float(np.abs(each).max(initial=0.0)) for each in (a, b))
        # One more, so that the difference of two values does not overflow either.
        exponent = math.frexp(largest)[1] + 1 if largest else _LEAST
        a, b = np.ldexp(a, -exponent), np.ldexp(b, -exponent)
    change = b - a
    largest = float(np.ldexp(np.abs(change).max(initial=0.0), exponent))
    # A dot product would start BLAS's threads.
    return Difference(
        count=a.size,
        changed=changed,
        not_finite=not_finite,
        largest=largest,
        a_squares=float((a * a).sum()),
        b_squares=float((b * b).sum()),
        products=float((a * b).sum()),
        squares=float((change * change).sum()),
        exponent=exponent,
    )


def _differ(one: Array, two: Array) -> Array:
    """Which entries differ, bit by bit if both have the same dtype, otherwise in their values."""
    if one.dtype == two.dtype:
        return _bits(one) != _bits(two)
    differ: Array = (one != two) & ~(np.isnan(one) & np.isnan(two))
    return differ


def _bits(entries: Array) -> Any:
    flat = np.ascontiguousarray(entries).reshape(-1)
    return flat.view(f"u{flat.dtype.itemsize}")
