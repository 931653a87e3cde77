"""Layers that prepare data, without effect on weights."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy

from initcli.layers.base import Layer, output_shapes
from initcli.layers.flow import Flow
from initcli.types import Array, Size


class Preprocessing(Layer, frozen=True, kw_only=True):
    """A layer that prepares data. It is not computed: its input passes on, with a note.

    If the shape changes, output entries are input entries of the same example, which preserves
    their mean and standard deviation.
    """

    role = "keeps"

    registered: ClassVar[bool] = False

    def call(self, flow: Flow, *inputs: Array, **options: Any) -> Array:
        (shape,) = output_shapes(self, tuple(x.shape for x in inputs), options)
        sizes = tuple(size or 1 for size in self.sized(shape, inputs[0].shape))
        return self.passed_on(flow.xp, inputs[0], sizes)

    def passed_on(self, xp: Any, x: Array, shape: Size) -> Array:
        """An input reshaped to an output shape."""
        if x.shape == shape:
            return x
        flat = xp.reshape(x, (x.shape[0], -1))
        return xp.reshape(nearest(flat, 1, math.prod(shape[1:])), shape)


def nearest(x: Array, axis: int, size: int) -> Array:
    """x resized along an axis by nearest neighbors."""
    old = x.shape[axis]
    places = ((numpy.arange(size) + 0.5) * old / size).astype("int64")
    return x if old == size else x[(*(slice(None),) * axis, places)]
