"""The array namespace that layers compute in: NumPy as wrapped by autograd, with more functions.

On plain arrays a function is NumPy's own; on autograd's boxes it is differentiated. Functions that
autograd lacks are primitives here and in :mod:`initcli.signal.sliding`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import autograd.numpy
import numpy
from autograd.extend import defvjp, defvjp_argnums, primitive
from autograd.tracer import getval

from initcli.random import standard_normal
from initcli.signal.sliding import BLOCK
from initcli.signal.sliding import Window as Window
from initcli.signal.sliding import correlate as correlate
from initcli.signal.sliding import largest as largest
from initcli.signal.sliding import reach as reach
from initcli.signal.sliding import spread as spread
from initcli.signal.sliding import weigh as weigh
from initcli.types import Array


def __getattr__(name: str) -> Any:
    """Return functions that are not defined here from autograd's NumPy."""
    return getattr(autograd.numpy, name)


def constant(x: Array) -> Array:
    """The values of x, without a gradient."""
    while (inside := getval(x)) is not x:
        x = inside
    return x


@primitive
def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(−x)), without overflow."""
    return 0.5 * numpy.tanh(0.5 * x) + 0.5


defvjp(sigmoid, lambda ans, x: lambda g: g * ans * (1 - ans))


@primitive
def erf(x: Array) -> Array:
    """The error function."""
    return standard_normal.erf(x)


defvjp(erf, lambda ans, x: lambda g: g * ((2 / math.sqrt(math.pi)) * numpy.exp(-x * x)))


def concatenate(parts: Sequence[Array], axis: int = 0) -> Array:
    """Concatenate the parts along an axis."""
    return _concatenated(axis, *parts)


def stack(parts: Sequence[Array], axis: int = 0) -> Array:
    """Stack the parts along a new axis."""
    return concatenate([autograd.numpy.expand_dims(part, axis) for part in parts], axis)


@primitive
def _concatenated(axis: int, *parts: Array) -> Array:
    return numpy.concatenate(parts, axis)


def _concatenated_vjp(argnums: Sequence[int], ans: Array, args: Any, kwargs: Any) -> Any:
    # autograd's own takes n² steps for n parts.
    axis, *parts = args
    ends = numpy.cumsum([part.shape[axis] for part in parts])[:-1]

    def vjp(g: Array) -> list[Array]:
        split = numpy.split(g, ends, axis)
        return [split[index - 1] for index in argnums]

    return vjp


defvjp_argnums(_concatenated, _concatenated_vjp)


@primitive
def lookup(table: Array, indices: Array) -> Array:
    """The rows of a table with those indices: (…, width)."""
    return table[indices]


def _lookup_vjp(ans: Array, table: Array, indices: Array) -> Any:
    def vjp(g: Array) -> Array:
        gradient = numpy.zeros_like(table)
        numpy.add.at(gradient, indices, g)
        return gradient

    return vjp


defvjp(lookup, _lookup_vjp, None)


@primitive
def matmul_by_group(x: Array, kernels: Array, counts: Sequence[int]) -> Array:
    """x · kernel of rows (rows, d); ``counts`` rows in turn have one kernel.

    Kernels are (groups, d, units), and the result is (rows, units).
    """
    pairs = zip(_groups(x, counts), kernels, strict=True)
    return numpy.concatenate([part @ kernel for part, kernel in pairs])


def _groups(x: Array, counts: Sequence[int]) -> list[Array]:
    return numpy.split(x, numpy.cumsum(counts)[:-1])


defvjp(
    matmul_by_group,
    lambda ans, x, kernels, counts: (
        lambda g: matmul_by_group(g, numpy.swapaxes(kernels, 1, 2), counts)
    ),
    lambda ans, x, kernels, counts: (
        lambda g: numpy.stack(
            [
                part.T @ outer
                for part, outer in zip(_groups(x, counts), _groups(g, counts), strict=True)
            ]
        )
    ),
    None,
)


@primitive
def attend(query: Array, key: Array, value: Array, seen: Array | None, drops_hidden: bool) -> Array:
    """Σ over the keys of softmax(q · k / √d) · v: (batch, …, heads, queries, features).

    Scores are computed a few heads at a time. ``seen`` are the keys that each query sees, by default
    all; with ``drops_hidden`` the output of a query without keys is 0 instead of the mean.
    """
    shape = (*query.shape[:-1], value.shape[-1])
    out = numpy.empty(shape, numpy.result_type(query, key, value))
    for part in _heads(query, key):
        shares = _shares(query[part], key[part], _of(seen, part), drops_hidden)
        out[part] = shares @ value[part]
    return out


def _attend_vjp(argnums: Sequence[int], ans: Array, args: Any, kwargs: Any) -> Any:
    query, key, value, seen, drops_hidden = args

    def vjp(g: Array) -> list[Array]:
        back = [numpy.empty_like(query), numpy.empty_like(key), numpy.empty_like(value)]
        for part in _heads(query, key):
            q, k, v, outer = query[part], key[part], value[part], g[part]
            visible = _of(seen, part)
            shares = _shares(q, k, visible, drops_hidden)
            to_shares = outer @ numpy.swapaxes(v, -1, -2)
            common = numpy.sum(shares * to_shares, -1, keepdims=True)
            to_scores = shares * (to_shares - common) * q.shape[-1] ** -0.5
            if visible is not None:
                to_scores = numpy.where(visible, to_scores, to_scores.dtype.type(0))
            back[0][part] = to_scores @ k
            back[1][part] = numpy.swapaxes(to_scores, -1, -2) @ q
            back[2][part] = numpy.swapaxes(shares, -1, -2) @ outer
        return [back[index] for index in argnums]

    return vjp


defvjp_argnums(attend, _attend_vjp)


def _heads(query: Array, key: Array) -> Iterator[tuple[Any, ...]]:
    """Blocks of examples and heads whose scores fit in a processor's cache."""
    batch, heads, scores = query.shape[0], query.shape[-3], query.shape[-2] * key.shape[-2]
    others = math.prod(query.shape[1:-3])
    width = max(1, min(heads, BLOCK // max(1, scores * others)))
    length = max(1, BLOCK // max(1, scores * others * width)) if width == heads else 1
    for example in range(0, batch, length):
        for head in range(0, heads, width):
            rows = slice(example, example + length)
            yield rows, ..., slice(head, head + width), slice(None), slice(None)


def _of(seen: Array | None, part: tuple[Any, ...]) -> Array | None:
    return seen if seen is None or seen.ndim == 2 else seen[part]


def _shares(query: Array, key: Array, seen: Array | None, drops_hidden: bool) -> Array:
    """The softmax of the scores."""
    scores = query @ numpy.swapaxes(key, -1, -2) * query.shape[-1] ** -0.5
    if seen is not None:
        scores = numpy.where(seen, scores, scores.dtype.type(-1e9))
    powers = numpy.exp(scores - scores.max(-1, keepdims=True))
    shares = powers / numpy.sum(powers, -1, keepdims=True)
    if seen is not None and drops_hidden:
        shares = numpy.where(seen, shares, shares.dtype.type(0))
    return shares
