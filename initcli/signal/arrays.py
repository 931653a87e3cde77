"""The array namespace that layers compute in: NumPy as autograd wraps it, and a few functions more.

On plain arrays a function is NumPy's own; on autograd's boxes it is differentiated. Functions that
autograd lacks (convolutions, maxima of windows) are primitives here.

Arrays with spatial axes are (batch, …, channels). A kernel is (k…, channels / groups, filters), the
filters of the first group of channels first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

import autograd.numpy
import numpy
from autograd.extend import defvjp, primitive
from autograd.tracer import getval

from initcli.random import standard_normal
from initcli.types import Array

_BLOCK = 1 << 18
"""Entries of an output that are computed at once."""


class Window(NamedTuple):
    """How a window slides: strides, dilation, and padding at both ends of an axis.

    A negative padding cuts entries off. Each of ``groups`` of channels has its own filters.
    """

    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    groups: int = 1


class Reach(NamedTuple):
    """The places of a window that ever meet an entry, and how those alone slide."""

    cuts: tuple[slice, ...]
    window: Window

    @property
    def size(self) -> tuple[int, ...]:
        """How many places there are along each axis."""
        return tuple(cut.stop - cut.start for cut in self.cuts)


def reach(sizes: tuple[int, ...], size: tuple[int, ...], window: Window) -> Reach:
    """The part of a window of that size that ever meets an entry of axes of those sizes.

    Other places are in the padding wherever the window stands, and do not count in a sum.
    """
    cuts, dilations, paddings = [], [], []
    axes = zip(sizes, size, window.strides, window.dilation, window.padding, strict=True)
    for n, k, s, d, (before, after) in axes:
        moved = (n + before + after - d * (k - 1) - 1) // s * s
        first = min(max(-((moved - before) // d), 0), k - 1)
        last = min((n - 1 + before) // d, k - 1)
        start, extent = before - first * d, d * (last - first) + 1
        if last < first:
            # Every place is in the padding: keep one there.
            last, start, extent = first, moved + 1, 1
        cuts.append(slice(first, last + 1))
        dilations.append(d if last > first else 1)
        paddings.append((start, moved + extent - n - start))
    return Reach(tuple(cuts), window._replace(dilation=tuple(dilations), padding=tuple(paddings)))


def __getattr__(name: str) -> Any:
    """Return functions that are not defined here from autograd's NumPy."""
    return getattr(autograd.numpy, name)


def constant(x: Array) -> Array:
    """The values of x, through which no gradient flows."""
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
def correlate(x: Array, kernel: Array, window: Window) -> Array:
    """Σ over the window of x · kernel: (batch, *out, filters)."""
    cuts, window = reach(x.shape[1:-1], kernel.shape[:-2], window)
    kernel, groups = kernel[cuts], window.groups
    x = _padded(x, window)
    size = kernel.shape[:-2]
    shape = (x.shape[0], *_out(x, size, window), kernel.shape[-1])
    out = numpy.zeros(shape, numpy.result_type(x, kernel))
    for rows in _rows(out):
        target = out[rows]
        for place, part in _shifted(x[rows], size, window, shape[1:-1]):
            target += _mixed(part, kernel[place], groups)
    return out


@primitive
def spread(y: Array, kernel: Array, window: Window, sizes: tuple[int, ...]) -> Array:
    """The transpose of :func:`correlate` in x, whose spatial sizes are given."""
    cuts, window = reach(sizes, kernel.shape[:-2], window)
    kernel, groups = kernel[cuts], window.groups
    *size, depth, filters = kernel.shape
    padded = (n + a + b for n, (a, b) in zip(sizes, window.padding, strict=True))
    out = numpy.zeros((y.shape[0], *padded, depth * groups), numpy.result_type(y, kernel))
    turned = numpy.swapaxes(kernel.reshape(*size, depth, groups, -1), -1, -3)
    turned = turned.reshape(*size, filters // groups, -1)
    for rows in _rows(y):
        for place, part in _shifted(out[rows], tuple(size), window, y.shape[1:-1]):
            part += _mixed(y[rows], turned[place], groups)
    return _cut(out, window)


def _weigh(x: Array, y: Array, window: Window, shape: tuple[int, ...]) -> Array:
    """The transpose of :func:`correlate` in a kernel of that shape."""
    cuts, window = reach(x.shape[1:-1], shape[:-2], window)
    out = numpy.zeros(shape, numpy.result_type(x, y))
    kernel, groups, depth = out[cuts], window.groups, shape[-2]
    x = _padded(x, window)
    for rows in _rows(y):
        each = y[rows].reshape(-1, groups, y.shape[-1] // groups)
        for place, part in _shifted(x[rows], kernel.shape[:-2], window, y.shape[1:-1]):
            split = part.reshape(-1, groups, depth)
            if depth == 1:
                kernel[place] += (split * each).sum(0).reshape(1, -1)
            else:
                products = numpy.matmul(split.transpose(1, 2, 0), each.transpose(1, 0, 2))
                kernel[place] += products.transpose(1, 0, 2).reshape(depth, -1)
    return out


defvjp(
    correlate,
    lambda ans, x, kernel, window: lambda g: spread(g, kernel, window, x.shape[1:-1]),
    lambda ans, x, kernel, window: lambda g: _weigh(x, g, window, kernel.shape),
    None,
)
defvjp(
    spread,
    lambda ans, y, kernel, window, sizes: lambda g: correlate(g, kernel, window),
    lambda ans, y, kernel, window, sizes: lambda g: _weigh(g, y, window, kernel.shape),
    None,
    None,
)


@primitive
def largest(x: Array, size: tuple[int, ...], window: Window) -> Array:
    """The largest entry of each window: (batch, *out, channels)."""
    inner = reach(x.shape[1:-1], size, window)
    x = _padded(x, inner.window, -numpy.inf)
    out = _out(x, inner.size, inner.window)
    largest = numpy.full((x.shape[0], *out, x.shape[-1]), -numpy.inf, x.dtype)
    for _, part in _shifted(x, inner.size, inner.window, out):
        numpy.maximum(largest, part, out=largest)
    return largest


def _largest_vjp(ans: Array, x: Array, size: tuple[int, ...], window: Window) -> Any:
    inner = reach(x.shape[1:-1], size, window)
    size, window, out = inner.size, inner.window, ans.shape[1:-1]

    def vjp(g: Array) -> Array:
        padded = _padded(x, window, -numpy.inf)
        gradient = numpy.zeros(padded.shape, g.dtype)
        free = numpy.ones(ans.shape, numpy.bool_)
        targets = _shifted(gradient, size, window, out)
        parts = _shifted(padded, size, window, out)
        for (_, part), (_, target) in zip(parts, targets, strict=True):
            # As in TensorFlow and JAX, the first of several equal entries gets the gradient.
            first = free & (part == ans)
            target += g * first
            free &= ~first
        return _cut(gradient, window)

    return vjp


defvjp(largest, _largest_vjp, None, None)


def _mixed(x: Array, weights: Array, groups: int) -> Array:
    """x · weights (depth, filters), for each group of channels: (…, filters)."""
    depth, filters = weights.shape
    if depth == 1:
        return (x[..., None] * weights.reshape(groups, -1)).reshape(*x.shape[:-1], filters)
    split = x.reshape(-1, groups, depth).transpose(1, 0, 2)
    products = numpy.matmul(split, weights.reshape(depth, groups, -1).transpose(1, 0, 2))
    return products.transpose(1, 0, 2).reshape(*x.shape[:-1], filters)


def _rows(y: Array) -> Iterator[slice]:
    """As many examples at a time as fit in a processor's cache."""
    step = max(1, _BLOCK // max(1, math.prod(y.shape[1:])))
    return (slice(start, start + step) for start in range(0, y.shape[0], step))


def _padded(x: Array, window: Window, value: float = 0.0) -> Array:
    if any(end > 0 for ends in window.padding for end in ends):
        ends = [(max(a, 0), max(b, 0)) for a, b in window.padding]
        x = numpy.pad(x, [(0, 0), *ends, (0, 0)], constant_values=value)
    spatial = zip(x.shape[1:-1], window.padding, strict=True)
    return x[(slice(None), *(slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in spatial))]


def _cut(x: Array, window: Window) -> Array:
    """The inverse of :func:`_padded`: what was cut off is 0."""
    return _padded(x, window._replace(padding=tuple((-a, -b) for a, b in window.padding)))


def _shifted(
    x: Array, size: tuple[int, ...], window: Window, out: tuple[int, ...]
) -> Iterator[tuple[tuple[int, ...], Array]]:
    """For each place in the window, the entries of x that stand there: (batch, *out, channels)."""
    for place in product(*map(range, size)):
        axes = zip(place, window.strides, window.dilation, out, strict=True)
        cuts = (slice(i * d, i * d + (n - 1) * s + 1, s) for i, s, d, n in axes)
        yield place, x[(slice(None), *cuts)]


def _out(x: Array, size: tuple[int, ...], window: Window) -> tuple[int, ...]:
    """The spatial sizes of the output for a padded input."""
    axes = zip(x.shape[1:-1], size, window.strides, window.dilation, strict=True)
    return tuple((n - d * (k - 1) - 1) // s + 1 for n, k, s, d in axes)
