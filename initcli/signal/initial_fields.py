"""Fields of tensors that no rule predicts: inputs, arrays and measured tensors."""

from __future__ import annotations

import math

import msgspec
import numpy as np

from initcli.signal.field import Field, field, moments_of, normal
from initcli.signal.grid import cell_means, cells, coarse
from initcli.signal.hermite import RANKS
from initcli.signal.program import Program
from initcli.signal.rules.base import Axes
from initcli.types import Array, Size


def standard(grid: Size, units: int) -> Field:
    """Independent standard normal entries."""
    return field(moments_of(grid, 1.0, 0.0, 0.0, 0.0), units)


def observed(x: Array, axis: int = -1) -> Field:
    """Estimate the field of an array, with the batch first and units on that axis."""
    x = np.moveaxis(x, axis, -1) if x.ndim > 1 else x
    units = x.shape[-1] if x.ndim > 1 else 1
    grid = x.shape[1:-1]
    z = x.reshape(x.shape[0], -1, units).astype(np.float64)
    batch, positions, _ = z.shape
    same = np.mean(z * z, (0, 2))
    every, by_place, by_input = z.sum((0, 1)), z.sum(0), z.sum(1)
    # A sum over pairs is the square of a sum minus the pairs of other kinds.
    inputs = np.mean(by_place**2, 1) - batch * same
    places = np.mean(z * by_input[:, None], (0, 2)) - same
    both = np.mean(by_place * every, 1) - batch * (same + places) - inputs
    moments = np.stack(
        [
            same,
            inputs / max(batch * (batch - 1), 1),
            places / max(positions - 1, 1),
            both / max(batch * (batch - 1) * (positions - 1), 1),
        ]
    )
    values = np.interp(RANKS, (np.arange(z.size) + 0.5) / z.size, np.sort(z, axis=None))
    estimated = field(cell_means(moments.reshape(4, *grid), grid), units, values)
    return msgspec.structs.replace(estimated, axes=(axis,), sizes=coarse(grid))


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """Measured statistics of a layer's output, from which predictions can continue."""

    mean: float
    std: float
    correlation: float | None
    gradient_rms: float | None


def first_axes(program: Program) -> dict[int, Axes]:
    """The axes of units of each tensor, by the data format of the next layer that has one."""
    axes: dict[int, Axes] = {}
    for step in reversed(program.steps):
        if not step.inputs:
            continue
        rank = len(program.shapes[step.inputs[0]])
        own = getattr(step.layer, "data_format", None)
        after = axes.get(step.outputs[0], (-1,))
        if own == "channels_first":
            after = (1 - rank,)
        elif own == "channels_last" or rank != len(program.shapes[step.outputs[0]]):
            after = (-1,)
        for tensor in step.inputs:
            axes[tensor] = after if len(program.shapes[tensor]) == rank else (-1,)
    return axes


def alike(shape: Size, axes: Axes = (-1,)) -> Field:
    """Independent standard normal entries of a tensor with units on those axes."""
    sizes = dict(enumerate(shape[1:], 1 - len(shape)))
    grid = tuple(size for axis, size in sizes.items() if axis not in axes)
    field = standard(cells(grid), math.prod(sizes[axis] for axis in axes) if sizes else 1)
    return msgspec.structs.replace(field, axes=axes, sizes=coarse(grid))


def from_measured(shape: Size, axes: Axes, measured: Measured) -> Field:
    """Normal entries with the measured statistics."""
    given = alike(shape, axes)
    square = measured.mean**2
    second = measured.std**2 + square
    inputs = second * (measured.correlation or 0.0)
    moments = moments_of(given.grid, second, inputs, square, square)
    made = normal(moments, np.full(given.grid, measured.mean), given.units)
    return msgspec.structs.replace(made, axes=given.axes, sizes=given.sizes)
