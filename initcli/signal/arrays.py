"""The array namespace that layers compute in: NumPy's functions as autograd wraps them, and a few.

On plain arrays each is the NumPy function itself; on autograd's boxes it is differentiated. What
autograd has no rule for (convolutions, maxima of windows) is a primitive here, with its own.

Arrays that have spatial axes are (batch, …, channels). A kernel is (k…, channels / groups,
filters), the filters of the first group of channels first.
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
from numpy.lib.stride_tricks import as_strided

from initcli.random import standard_normal
from initcli.types import Array

_BLOCK = 1 << 23
"""Entries of the patches that are held at once."""


class Window(NamedTuple):
    """How a window slides: its strides, its dilation, and what is padded at both ends of an axis.

    A negative padding cuts entries off. ``groups`` of channels are convolved apart.
    """

    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    groups: int = 1


class Reach(NamedTuple):
    """The places in a window that ever meet an entry, and how those alone slide."""

    cuts: tuple[slice, ...]
    window: Window

    @property
    def size(self) -> tuple[int, ...]:
        """How many places there are along each axis."""
        return tuple(cut.stop - cut.start for cut in self.cuts)


def reach(sizes: tuple[int, ...], size: tuple[int, ...], window: Window) -> Reach:
    """What of a window of that size is ever within spatial axes of those sizes.

    A place that is in the padding wherever the window stands takes no part in a sum, however far
    away it is.
    """
    cuts, dilations, paddings = [], [], []
    axes = zip(sizes, size, window.strides, window.dilation, window.padding, strict=True)
    for n, k, s, d, (before, after) in axes:
        moved = (n + before + after - d * (k - 1) - 1) // s * s
        first = min(max(-((moved - before) // d), 0), k - 1)
        last = min((n - 1 + before) // d, k - 1)
        start, extent = before - first * d, d * (last - first) + 1
        if last < first:
            # Every place is in the padding: one is left, which stays there.
            last, start, extent = first, moved + 1, 1
        cuts.append(slice(first, last + 1))
        dilations.append(d if last > first else 1)
        paddings.append((start, moved + extent - n - start))
    return Reach(tuple(cuts), window._replace(dilation=tuple(dilations), padding=tuple(paddings)))


def __getattr__(name: str) -> Any:
    """Whatever is not here is NumPy's, as autograd wraps it."""
    return getattr(autograd.numpy, name)


def constant(x: Array) -> Array:
    """The values of x, through which no gradient flows."""
    while (inside := getval(x)) is not x:
        x = inside
    return x


@primitive
def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(−x)), which no x makes overflow."""
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
        found = numpy.zeros_like(table)
        numpy.add.at(found, indices, g)
        return found

    return vjp


defvjp(lookup, _lookup_vjp, None)


@primitive
def correlate(x: Array, kernel: Array, window: Window) -> Array:
    """Σ over the window of x · kernel: (batch, *out, filters)."""
    cuts, window = reach(x.shape[1:-1], kernel.shape[:-2], window)
    kernel = kernel[cuts]
    size, groups = kernel.shape[:-2], window.groups
    out = None
    if _is_depthwise(kernel.shape, groups):
        flat = kernel.reshape(*size, -1)
        x = _repeated(x, kernel.shape[-1] // groups)
        for place, part in _shifted(_padded(x, window), size, window):
            out = part * flat[place] if out is None else numpy.add(out, part * flat[place], out=out)
        return out
    for rows, patches in _patches(_padded(x, window), size, window, groups):
        part = numpy.matmul(patches, _matrices(kernel, groups))
        if out is None:
            out = numpy.empty((x.shape[0], *rows.shape, kernel.shape[-1]), part.dtype)
        out[rows.slice] = numpy.moveaxis(part, 0, 1).reshape(-1, *rows.shape, kernel.shape[-1])
    return out


@primitive
def spread(y: Array, kernel: Array, window: Window, sizes: tuple[int, ...]) -> Array:
    """The transpose of :func:`correlate` in x, whose spatial sizes are given."""
    cuts, window = reach(sizes, kernel.shape[:-2], window)
    kernel = kernel[cuts]
    size, depth, groups = kernel.shape[:-2], kernel.shape[-2], window.groups
    padded = tuple(n + a + b for n, (a, b) in zip(sizes, window.padding, strict=True))
    out = numpy.zeros((y.shape[0], *padded, depth * groups), numpy.result_type(y, kernel))
    if _is_depthwise(kernel.shape, groups):
        flat = kernel.reshape(*size, groups, -1)
        for place, part in _shifted(out, size, window, y.shape[1:-1]):
            part += (y.reshape(*y.shape[:-1], groups, -1) * flat[place]).sum(-1)
        return _cut(out, window)
    matrices = numpy.swapaxes(_matrices(kernel, groups), 1, 2)
    step = max(1, _BLOCK // max(1, math.prod(y.shape[1:-1]) * math.prod(size) * depth * groups))
    for start in range(0, y.shape[0], step):
        rows = slice(start, start + step)
        each = y[rows].reshape(-1, groups, y.shape[-1] // groups)
        patches = numpy.matmul(numpy.moveaxis(each, 1, 0), matrices)
        patches = patches.reshape(groups, -1, *y.shape[1:-1], *size, depth)
        for place, part in _shifted(out[rows], size, window, y.shape[1:-1]):
            here = patches[(slice(None),) * (2 + len(size)) + place]
            part += numpy.moveaxis(here, 0, -2).reshape(part.shape)
    return _cut(out, window)


def _weigh(x: Array, y: Array, window: Window, shape: tuple[int, ...]) -> Array:
    """The transpose of :func:`correlate` in a kernel of that shape."""
    inner = reach(x.shape[1:-1], shape[:-2], window)
    if inner.size != shape[:-2]:
        found = numpy.zeros(shape, numpy.result_type(x, y))
        found[inner.cuts] = _weigh(x, y, inner.window, (*inner.size, *shape[-2:]))
        return found
    size, groups = shape[:-2], window.groups
    if _is_depthwise(shape, groups):
        found = numpy.empty(shape, numpy.result_type(x, y))
        x = _repeated(x, shape[-1] // groups)
        for place, part in _shifted(_padded(x, window), size, window):
            found[place] = (part * y).reshape(-1, y.shape[-1]).sum(0)
        return found
    total: Any = 0.0
    for rows, patches in _patches(_padded(x, window), size, window, groups):
        each = y[rows.slice].reshape(-1, groups, y.shape[-1] // groups)
        total = total + numpy.matmul(numpy.swapaxes(patches, 1, 2), numpy.moveaxis(each, 1, 0))
    return numpy.moveaxis(total, 0, 1).reshape(shape)


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
    size, window = inner.size, inner.window
    out = None
    for _, part in _shifted(_padded(x, window, -numpy.inf), size, window):
        out = part.copy() if out is None else numpy.maximum(out, part, out=out)
    return out


def _largest_vjp(ans: Array, x: Array, size: tuple[int, ...], window: Window) -> Any:
    inner = reach(x.shape[1:-1], size, window)
    size, window = inner.size, inner.window

    def vjp(g: Array) -> Array:
        padded = _padded(x, window, -numpy.inf)
        found = numpy.zeros(padded.shape, g.dtype)
        free = numpy.ones(ans.shape, numpy.bool_)
        there = _shifted(found, size, window)
        for (_, part), (_, target) in zip(_shifted(padded, size, window), there, strict=True):
            # As in TensorFlow and JAX, the first of several that are equal takes it all.
            first = free & (part == ans)
            target += g * first
            free &= ~first
        return _cut(found, window)

    return vjp


defvjp(largest, _largest_vjp, None, None)


class _Rows(NamedTuple):
    """Some of the examples, and the spatial sizes of what comes out."""

    slice: slice
    shape: tuple[int, ...]


def _is_depthwise(shape: tuple[int, ...], groups: int) -> bool:
    """Whether every channel is convolved apart."""
    return groups > 1 and shape[-2] == 1


def _matrices(kernel: Array, groups: int) -> Array:
    """(groups, window · channels, filters)"""
    *size, depth, filters = kernel.shape
    split = kernel.reshape(math.prod(size) * depth, groups, filters // groups)
    return numpy.ascontiguousarray(numpy.moveaxis(split, 1, 0))


def _repeated(x: Array, times: int) -> Array:
    return x if times == 1 else numpy.repeat(x, times, -1)


def _padded(x: Array, window: Window, value: float = 0.0) -> Array:
    if any(end > 0 for ends in window.padding for end in ends):
        ends = [(max(a, 0), max(b, 0)) for a, b in window.padding]
        x = numpy.pad(x, [(0, 0), *ends, (0, 0)], constant_values=value)
    if any(end < 0 for ends in window.padding for end in ends):
        spatial = zip(x.shape[1:-1], window.padding, strict=True)
        cuts = [slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in spatial]
        x = x[(slice(None), *cuts)]
    return x


def _cut(x: Array, window: Window) -> Array:
    """The inverse of :func:`_padded`: what was cut off is 0."""
    return _padded(x, window._replace(padding=tuple((-a, -b) for a, b in window.padding)))


def _shifted(
    x: Array, size: tuple[int, ...], window: Window, out: tuple[int, ...] | None = None
) -> Iterator[tuple[tuple[int, ...], Array]]:
    """For each place in the window, what of x stands there: (batch, *out, channels)."""
    if out is None:
        out = _out(x, size, window)
    for place in product(*map(range, size)):
        axes = zip(place, window.strides, window.dilation, out, strict=True)
        cuts = [slice(i * d, i * d + (n - 1) * s + 1, s) for i, s, d, n in axes]
        yield place, x[(slice(None), *cuts)]


def _out(x: Array, size: tuple[int, ...], window: Window) -> tuple[int, ...]:
    axes = zip(x.shape[1:-1], size, window.strides, window.dilation, strict=True)
    return tuple((n - d * (k - 1) - 1) // s + 1 for n, k, s, d in axes)


def _patches(
    x: Array, size: tuple[int, ...], window: Window, groups: int
) -> Iterator[tuple[_Rows, Array]]:
    """(groups, examples · out, window · channels), for a few examples at a time."""
    out, channels = _out(x, size, window), x.shape[-1]
    batch, *spatial, last = x.strides
    view = as_strided(
        x,
        (x.shape[0], *out, *size, groups, channels // groups),
        (
            batch,
            *(n * s for n, s in zip(spatial, window.strides, strict=True)),
            *(n * d for n, d in zip(spatial, window.dilation, strict=True)),
            last * (channels // groups),
            last,
        ),
        writeable=False,
    )
    step = max(1, _BLOCK // max(1, math.prod(out) * math.prod(size) * channels))
    width = math.prod(size) * (channels // groups)
    for start in range(0, x.shape[0], step):
        rows = slice(start, start + step)
        front = numpy.moveaxis(view[rows], -2, 0)
        yield _Rows(rows, out), front.reshape(groups, -1, width)
