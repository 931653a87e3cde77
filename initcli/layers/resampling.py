"""Sequences and images of other sizes: what each new entry takes from each old one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

from initcli.types import Array

_LEAST = 1000 * float(numpy.finfo("float32").eps)
"""A sum of weights under which JAX gives none."""


def resampled(
    xp: Any, x: Array, axis: int, size: int, method: str, antialias: bool = False
) -> Array:
    """An array with ``size`` entries along that axis."""
    if x.shape[axis] == size:
        return x
    weights = resampling(x.shape[axis], size, method, antialias).astype(x.dtype)
    return xp.moveaxis(xp.tensordot(x, weights, (axis, 1)), -1, axis)


def resampling(old: int, new: int, method: str, antialias: bool = False) -> Array:
    """The shares (new, old) of old entries in new ones, as Keras interpolates.

    With s = old / new, entry i lies at (i + 1/2) s − 1/2, and takes k(|that − j|) of entry j,
    over the sum of what it takes; k is a triangle (``bilinear``), Keys's cubic (``bicubic``) or a
    windowed sinc (``lanczos3``, ``lanczos5``). To antialias is to stretch k by s where s > 1.
    ``nearest`` takes entry ⌊(i + 1/2) s⌋, and ``area`` the mean from i s to (i + 1) s.
    """
    step = old / new
    if method == "nearest":
        # In half the precision, as in Keras, which decides on entries that are equally near.
        places = ((numpy.arange(new) + 0.5) * old / new).astype("float32")
        return numpy.eye(old)[numpy.floor(places).astype("int64")]
    entries = numpy.arange(old)
    if method == "area":
        starts = numpy.arange(new)[:, None] * step
        ends = numpy.minimum(starts + step, entries + 1)
        shares = numpy.maximum(ends - numpy.maximum(starts, entries), 0.0)
    else:
        places = (numpy.arange(new)[:, None] + 0.5) * step - 0.5
        stretch = max(step, 1.0) if antialias else 1.0
        shares = _KERNELS[method](numpy.abs(places - entries) / stretch)
    total = shares.sum(1, keepdims=True)
    known = numpy.abs(total) > _LEAST
    return numpy.where(known, shares / numpy.where(known, total, 1.0), 0.0)


def _triangle(x: Array) -> Array:
    return numpy.maximum(1 - x, 0.0)


def _cubic(x: Array) -> Array:
    """Keys (1981), with a = −1/2."""
    inside = (1.5 * x - 2.5) * x * x + 1
    outside = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return numpy.where(x < 1, inside, numpy.where(x < 2, outside, 0.0))


def _lanczos(radius: int) -> Callable[[Array], Array]:
    def kernel(x: Array) -> Array:
        return numpy.where(x > radius, 0.0, numpy.sinc(x) * numpy.sinc(x / radius))

    return kernel


_KERNELS = {
    "bilinear": _triangle,
    "bicubic": _cubic,
    "lanczos3": _lanczos(3),
    "lanczos5": _lanczos(5),
}
