"""Sums and maxima over sliding windows, with their gradients.

Arrays are (batch, …, channels). A kernel is (k…, channels / groups, filters), the filters of the
first group of channels first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from itertools import product
from typing import Any, NamedTuple

import numpy
from autograd.extend import defvjp, primitive

from initcli.types import Array

BLOCK = 1 << 18
"""Entries that are computed at once."""
_GATHERED = 4
"""The largest number of channels of a group for which entries are gathered into a matrix."""
_PLACES = 128
"""The largest number of places of a window for which they are gathered."""
_FEW = 8
"""The largest number of entries of a window whose maximum is computed one by one."""


class Window(NamedTuple):
    """A sliding window: strides, dilation, and padding at both ends of each axis.

    A negative padding removes entries. Each of ``groups`` of channels has its own filters.
    """

    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    groups: int = 1

    def along(self, axis: int) -> Window:
        """The window of one entry that slides so along one axis alone."""
        axes = [each == axis for each in range(len(self.strides))]
        strides = tuple(s if own else 1 for s, own in zip(self.strides, axes, strict=True))
        dilation = tuple(d if own else 1 for d, own in zip(self.dilation, axes, strict=True))
        ends = tuple(e if own else (0, 0) for e, own in zip(self.padding, axes, strict=True))
        return Window(strides, dilation, ends)


class Reach(NamedTuple):
    """The places of a window that are ever inside the array, and the window of these places."""

    cuts: tuple[slice, ...]
    window: Window

    @property
    def size(self) -> tuple[int, ...]:
        """The number of places along each axis."""
        return tuple(cut.stop - cut.start for cut in self.cuts)


def reach(sizes: tuple[int, ...], size: tuple[int, ...], window: Window) -> Reach:
    """The part of a window that is ever inside an array with those sizes.

    Other places are always in the padding, and contribute nothing to a sum.
    """
    cuts, dilations, paddings = [], [], []
    axes = zip(sizes, size, window.strides, window.dilation, window.padding, strict=True)
    for n, k, s, d, (before, after) in axes:
        moved = (n + before + after - d * (k - 1) - 1) // s * s
        first = min(max(-((moved - before) // d), 0), k - 1)
        last = min((n - 1 + before) // d, k - 1)
        start, extent = before - first * d, d * (last - first) + 1
        if last < first:
            # Every place is in the padding: keep one.
            last, start, extent = first, moved + 1, 1
        cuts.append(slice(first, last + 1))
        dilations.append(d if last > first else 1)
        paddings.append((start, moved + extent - n - start))
    return Reach(tuple(cuts), window._replace(dilation=tuple(dilations), padding=tuple(paddings)))


@primitive
def correlate(x: Array, kernel: Array, window: Window) -> Array:
    """Σ over the window of x · kernel: (batch, *out, filters)."""
    *size, depth, filters = kernel.shape
    out = _out(x.shape[1:-1], size, window)
    y = numpy.zeros((x.shape[0], *out, filters), numpy.result_type(x, kernel))
    if _gathers(x.shape[1:-1], kernel.shape, window):
        matrix = kernel.reshape(-1, filters)
        for rows in _rows(y, math.prod(size) * depth):
            numpy.matmul(_gathered(x[rows], size, window, out), matrix, out=y[rows])
        return y
    for rows in _rows(y, filters):
        for place, here, there in _meetings(x.shape[1:-1], size, window, out):
            y[rows][there] += _mixed(x[rows][here], kernel[place], window.groups)
    return y


@primitive
def spread(y: Array, kernel: Array, window: Window, sizes: tuple[int, ...]) -> Array:
    """The transpose of :func:`correlate` in x, whose spatial sizes are given."""
    *size, depth, filters = kernel.shape
    groups = window.groups
    x = numpy.zeros((y.shape[0], *sizes, depth * groups), numpy.result_type(y, kernel))
    turned = numpy.swapaxes(kernel.reshape(*size, depth, groups, -1), -1, -3)
    turned = turned.reshape(*size, filters // groups, -1)
    gathers = _gathers(sizes, kernel.shape, window)
    matrix = kernel.reshape(-1, filters).T
    for rows in _rows(y, math.prod(size) * depth if gathers else filters):
        if gathers:
            products = (y[rows] @ matrix).reshape(*y[rows].shape[:-1], *size, depth)
        for place, here, there in _meetings(sizes, size, window, y.shape[1:-1]):
            x[rows][here] += (
                products[(*there, *place)]
                if gathers
                else _mixed(y[rows][there], turned[place], groups)
            )
    return x


def weigh(x: Array, y: Array, window: Window, shape: tuple[int, ...]) -> Array:
    """The transpose of :func:`correlate` in a kernel of that shape."""
    kernel = numpy.zeros(shape, numpy.result_type(x, y))
    *size, depth, filters = shape
    groups, out = window.groups, y.shape[1:-1]
    if _gathers(x.shape[1:-1], shape, window):
        matrix = kernel.reshape(-1, filters)
        for rows in _rows(y, math.prod(size) * depth):
            taken = _gathered(x[rows], size, window, out).reshape(-1, matrix.shape[0])
            matrix += taken.T @ y[rows].reshape(-1, filters)
        return kernel
    for rows in _rows(y, filters):
        for place, here, there in _meetings(x.shape[1:-1], size, window, out):
            split = x[rows][here].reshape(-1, groups, depth)
            each = y[rows][there].reshape(-1, groups, filters // groups)
            if depth == 1:
                kernel[place] += (split * each).sum(0).reshape(1, -1)
            else:
                products = numpy.matmul(split.transpose(1, 2, 0), each.transpose(1, 0, 2))
                kernel[place] += products.transpose(1, 0, 2).reshape(depth, -1)
    return kernel


defvjp(
    correlate,
    lambda ans, x, kernel, window: lambda g: spread(g, kernel, window, x.shape[1:-1]),
    lambda ans, x, kernel, window: lambda g: weigh(x, g, window, kernel.shape),
    None,
)
defvjp(
    spread,
    lambda ans, y, kernel, window, sizes: lambda g: correlate(g, kernel, window),
    lambda ans, y, kernel, window, sizes: lambda g: weigh(g, y, window, kernel.shape),
    None,
    None,
)


def largest(x: Array, size: tuple[int, ...], window: Window) -> Array:
    """The largest entry of each window, without dilation: (batch, *out, channels)."""
    inner = reach(x.shape[1:-1], size, window)
    out = _out(x.shape[1:-1], size, window)
    # From the last axis to the first, so that the first of equal entries in memory is chosen.
    for axis in reversed(range(len(size))):
        slid = inner.size[axis], inner.window.strides[axis], inner.window.padding[axis], out[axis]
        x = _largest(x, axis + 1, *slid)
    return x


@primitive
def _largest(
    x: Array, axis: int, k: int, stride: int, padding: tuple[int, int], count: int
) -> Array:
    """The largest of k entries along an axis, for each of ``count`` windows."""
    (found,) = _over_windows((_extended(x, axis, padding),), _larger, axis, k, stride, count)
    return found


def _largest_vjp(
    ans: Array, x: Array, axis: int, k: int, stride: int, padding: tuple[int, int], count: int
) -> Any:
    def vjp(g: Array) -> Array:
        values = _extended(x, axis, padding)
        # As in TensorFlow and JAX, the first of several equal entries gets the gradient.
        if k > _FEW:
            places = numpy.arange(values.size).reshape(values.shape)
            parts = values, places
            _, taken = _over_windows(parts, _first_larger, axis, k, stride, count)
            flat = numpy.bincount(taken.ravel(), g.ravel(), values.size)
            gradient = flat.astype(g.dtype).reshape(values.shape)
        else:
            gradient, free = numpy.zeros(values.shape, g.dtype), numpy.ones(ans.shape, bool)
            for at in range(k):
                cut = _along(axis, at, (count - 1) * stride + 1, stride)
                first = free & (values[cut] == ans)
                gradient[cut] += g * first
                free &= ~first
        return _extended(gradient, axis, (-padding[0], -padding[1]), 0.0)

    return vjp


defvjp(_largest, _largest_vjp, None, None, None, None, None)


def _along(axis: int, start: int, length: int, step: int = 1) -> tuple[slice, ...]:
    """A slice of one axis, and all of the other axes."""
    return (*(slice(None),) * axis, slice(start, start + length, step))


def _extended(x: Array, axis: int, padding: tuple[int, int], value: float = -numpy.inf) -> Array:
    """The array with that axis padded; a negative padding removes entries."""
    before, after = padding
    x = x[_along(axis, max(-before, 0), x.shape[axis] - max(-before, 0) - max(-after, 0))]
    if before <= 0 and after <= 0:
        return x
    ends = [(0, 0)] * x.ndim
    ends[axis] = max(before, 0), max(after, 0)
    return numpy.pad(x, ends, constant_values=value)


_Parts = tuple[Array, ...]


def _over_windows(
    parts: _Parts,
    combine: Callable[[_Parts, _Parts], _Parts],
    axis: int,
    k: int,
    stride: int,
    count: int,
) -> _Parts:
    """Combine the k entries of each window along an axis, in order.

    For many entries, windows are repeatedly combined to twice the width; the last two may overlap.
    """

    def taken(start: int, length: int, step: int = 1) -> _Parts:
        return tuple(part[_along(axis, start, length, step)] for part in parts)

    width = 1
    while k > _FEW and 2 * width <= k:
        rest = parts[0].shape[axis] - width
        parts = combine(taken(0, rest), taken(width, rest))
        width *= 2
    starts = range(k) if width == 1 else (0, k - width)
    return reduce(combine, [taken(at, (count - 1) * stride + 1, stride) for at in starts])


def _larger(one: _Parts, other: _Parts) -> _Parts:
    return (numpy.maximum(one[0], other[0]),)


def _first_larger(one: _Parts, other: _Parts) -> _Parts:
    later = other[0] > one[0]
    return numpy.where(later, other[0], one[0]), numpy.where(later, other[1], one[1])


def _mixed(x: Array, weights: Array, groups: int) -> Array:
    """x · weights (depth, filters), for each group of channels: (…, filters)."""
    depth, filters = weights.shape
    if depth == 1:
        return (x[..., None] * weights.reshape(groups, -1)).reshape(*x.shape[:-1], filters)
    split = x.reshape(-1, groups, depth).transpose(1, 0, 2)
    products = numpy.matmul(split, weights.reshape(depth, groups, -1).transpose(1, 0, 2))
    return products.transpose(1, 0, 2).reshape(*x.shape[:-1], filters)


def _rows(y: Array, width: int) -> Iterator[slice]:
    """Blocks of examples that fit in a processor's cache, with ``width`` entries for each place.

    y is (batch, *places, channels).
    """
    step = max(1, BLOCK // max(1, math.prod(y.shape[1:-1]) * width))
    return (slice(start, start + step) for start in range(0, y.shape[0], step))


def _gathers(sizes: Sequence[int], shape: Sequence[int], window: Window) -> bool:
    """Whether one product of gathered entries is faster than one for each place of the window.

    This is the case for few channels and a small padding.
    """
    *size, depth, _ = shape
    padded = math.prod(
        n + max(a, 0) + max(b, 0) for n, (a, b) in zip(sizes, window.padding, strict=True)
    )
    is_small = padded <= 2 * math.prod(sizes) and math.prod(size) <= _PLACES
    return window.groups == 1 and math.prod(size) > 1 and depth <= _GATHERED and is_small


def _gathered(x: Array, size: Sequence[int], window: Window, out: tuple[int, ...]) -> Array:
    """The entries of each window, 0 in the padding: (batch, *out, places · channels)."""
    batch, channels = x.shape[0], x.shape[-1]
    taken = numpy.zeros((batch, *out, *size, channels), x.dtype)
    for place, here, there in _meetings(x.shape[1:-1], size, window, out):
        index: Any = (*there, *place)
        taken[index] = x[here]
    return taken.reshape(batch, *out, -1)


def _meetings(
    sizes: Sequence[int], size: Sequence[int], window: Window, out: Sequence[int]
) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...], tuple[slice, ...]]]:
    """The places of a window that are ever inside the array, with their entries and outputs.

    Entries in the padding are left out.
    """
    axes = list(zip(sizes, window.strides, window.dilation, window.padding, out, strict=True))
    ranges = []
    for k, (n, s, d, (before, _), m) in zip(size, axes, strict=True):
        # The last output has the first place of entry n − 1, the first output the last of entry 0.
        first, last = -(((m - 1) * s - before) // d), (n - 1 + before) // d
        ranges.append(range(max(first, 0), min(last, k - 1) + 1))
    for place in product(*ranges):
        here, there = [slice(None)], [slice(None)]
        for i, (n, s, d, (before, _), m) in zip(place, axes, strict=True):
            offset = i * d - before
            first, last = max(0, -(offset // s)), min(m - 1, (n - 1 - offset) // s)
            if last < first:
                break
            here.append(slice(first * s + offset, last * s + offset + 1, s))
            there.append(slice(first, last + 1))
        else:
            yield place, tuple(here), tuple(there)


def _out(sizes: Sequence[int], size: Sequence[int], window: Window) -> tuple[int, ...]:
    """The spatial sizes of the output."""
    axes = zip(sizes, size, window.strides, window.dilation, window.padding, strict=True)
    return tuple((n + a + b - d * (k - 1) - 1) // s + 1 for n, k, s, d, (a, b) in axes)
