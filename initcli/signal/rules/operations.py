"""Rules of operations on tensors, such as x + y or x[:, 0] in a Functional Keras model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from initcli.activations import known_activations
from initcli.layers import merging
from initcli.layers.base import Layer
from initcli.layers.operations import Operation, computation, is_elementwise
from initcli.signal import arrays
from initcli.signal.field import Field, mean_products, normal
from initcli.signal.grid import edges
from initcli.signal.joint import cross_moments
from initcli.signal.rules.base import (
    Axes,
    Context,
    Expected,
    Gradient,
    Met,
    NoTheory,
    Rule,
    affine,
    rule_of,
)
from initcli.signal.rules.entries import activated, entrywise
from initcli.signal.rules.pooling import averaged_over_all, mean_in_common
from initcli.signal.rules.rearranging import permuted, reshaped
from initcli.types import Array, snake_case

_MERGING: dict[str, type[Layer]] = {
    cls.__name__: cls
    for cls in (merging.Add, merging.Subtract, merging.Multiply, merging.Maximum, merging.Minimum)
}
_OPERANDS = ("x", "y", "x1", "x2", "a", "b")
_REARRANGING = ("Reshape", "ExpandDims", "Squeeze")
_BY_UNITS = ("GetItem", "Mean", "Softmax", "LogSoftmax", "Sparsemax", "Glu")
"""Operations that require units on the last axis."""


class OperationRule(Rule):
    layers = (Operation,)
    uses_cross_moments = True

    def axes(self, layer: Operation, context: Context, *fields: Field) -> Axes:
        if len(fields) > 1:
            return rule_of(merging.Add()).axes(layer, context, *fields)
        return (-1,) if layer.function in _BY_UNITS else fields[0].axes

    def expected(self, layer: Operation, context: Context, *fields: Field) -> Expected:
        function, operands = layer.function, _operands(layer)
        same = _as_layer(layer, len(fields))
        if same is not None:
            return rule_of(same).expected(same, context, *fields)
        if len(fields) != 1:
            raise NoTheory(function)
        (field,) = fields
        scale = _scale(function, operands)
        if scale is not None:
            return affine(field, *scale)
        if function in _REARRANGING:
            return reshaped(field, context.inputs[0][1:], context.outputs[0][1:])
        if function == "Transpose":
            return permuted(field, _order(layer, len(context.inputs[0])))
        if function == "GetItem":
            return _picked(layer, field)
        if function == "Mean":
            return _mean(layer, len(context.inputs[0]), field)
        activation = known_activations().get(snake_case(function))
        if activation is not None and _are_tensors(operands):
            return activated(activation(**layer.keywords), field)
        compute = computation(arrays, function)
        is_of_one = len(operands) == 1 and _are_tensors(operands)
        if compute is None or not is_elementwise(function) or not is_of_one:
            raise NoTheory(function)
        return entrywise(compute, field)

    def factors(self, layer: Operation, count: int) -> Sequence[float] | None:
        same = _as_layer(layer, count)
        return None if same is None else rule_of(same).factors(same, count)

    def through(self, layer: Operation, context: Context, met: Met) -> Array:
        given, other, cross = met.fields[0], met.other, met.crosses[0]
        if layer.function == "GetItem" and other.grid == given.grid:
            # Moments of two positions, and of one at the picked position.
            moments = cross_moments(given, other, cross)
            here, _ = _cell(given, _position(layer))
            picked = np.stack([*moments[2:], *moments[2:]])
            picked[:, here] = np.tile(moments[:2, here], 2)
            return picked
        if layer.function != "Mean":
            return super().through(layer, context, met)
        rank = len(context.inputs[0])
        if _mean_axes(layer, rank) == [1 - rank]:
            return mean_in_common(given, other, cross)
        # One of the units is that of the other tensor.
        level = cross_moments(given, other, None)
        return level + (cross_moments(given, other, cross) - level) / given.units


def _operands(layer: Operation) -> tuple[Any, ...]:
    """The operands; Keras 2 stores them by name."""
    return (*layer.arguments, *(layer.keywords[k] for k in _OPERANDS if k in layer.keywords))


def _as_layer(layer: Operation, count: int) -> Layer | None:
    """The layer that computes the same from several tensors, if any."""
    if count == 2 and layer.function in _MERGING and _are_tensors(_operands(layer)):
        return _MERGING[layer.function]()
    if count > 1 and layer.function == "Concatenate":
        return merging.Concatenate(axis=layer.keywords.get("axis", -1))
    return None


def _are_tensors(arguments: tuple[Any, ...]) -> bool:
    return all(isinstance(each, dict) and set(each) == {"input"} for each in arguments)


def _argument(layer: Operation, name: str) -> Any:
    """The first argument after the tensor, or the one with that name."""
    return layer.arguments[1] if len(layer.arguments) > 1 else layer.keywords.get(name)


def _scale(function: str, operands: tuple[Any, ...]) -> tuple[float, float] | None:
    """Factor and offset of an affine operation with one number; None for others."""
    numbers = [each for each in operands if isinstance(each, int | float)]
    if len(operands) != 2 or len(numbers) != 1:
        return None
    number, is_first = float(numbers[0]), isinstance(operands[0], int | float)
    if function == "Add":
        return 1.0, number
    if function == "Subtract":
        return (-1.0, number) if is_first else (1.0, -number)
    if function == "Multiply":
        return number, 0.0
    if function in ("TrueDivide", "Divide") and not is_first and number != 0:
        return 1 / number, 0.0
    return None


def _order(layer: Operation, rank: int) -> list[int]:
    """The source of each axis of a transpose, without the batch."""
    axes = _argument(layer, "axes")
    order = [axis % rank for axis in axes] if axes is not None else [*range(rank)][::-1]
    if order[0] != 0:
        raise NoTheory("a batch on another axis")
    return [axis - 1 for axis in order[1:]]


def _picked(layer: Operation, given: Field) -> Expected:
    """x[:, k], one position of a sequence."""
    here = _position(layer)
    if len(given.grid) != 1:
        raise NoTheory("GetItem")
    cell, length = _cell(given, here)

    def pull(g: Gradient) -> list[Gradient]:
        second = np.zeros(given.grid)
        second[cell] = g.second / length
        return [Gradient.even(second)]

    return Expected(normal(given.moments[:, cell], given.means[cell], given.units), pull)


def _cell(given: Field, position: int) -> tuple[int, int]:
    """The cell of a position of a sequence, and its number of positions."""
    (n,) = given.all_sizes
    starts = edges(n, 1)
    cell = int(np.searchsorted(starts, position % n, "right")) - 1
    return cell, int(starts[cell + 1] - starts[cell])


def _position(layer: Operation) -> int:
    """The position that x[:, k] picks."""
    key = _argument(layer, "key")
    keys = key if isinstance(key, list | tuple) else [key]
    whole = {"start": None, "stop": None, "step": None}
    others = [*keys[:1], *keys[2:]]
    if len(keys) < 2 or not isinstance(keys[1], int) or any(each != whole for each in others):
        raise NoTheory("GetItem")
    return keys[1]


def _mean(layer: Operation, rank: int, given: Field) -> Expected:
    """The mean over the positions of a sequence, or over the units."""
    axes = _mean_axes(layer, rank)
    keepdims = bool(layer.keywords.get("keepdims", False))
    if axes == [1 - rank] and len(given.grid) == 1:
        return averaged_over_all(given, (1,) if keepdims else ())
    if axes != [-1] or not keepdims:
        raise NoTheory("a mean over other axes")
    n, level = given.units, mean_products(given.means, given.means)
    moments = level + (given.moments - level) / n
    return Expected(normal(moments, given.means, 1), lambda g: [Gradient(g.moments / n**2)])


def _mean_axes(layer: Operation, rank: int) -> list[int]:
    """The axes of a mean, counted from the end."""
    axis = _argument(layer, "axis")
    axes = axis if isinstance(axis, list) else [axis]
    return [each % rank - rank for each in axes if each is not None]
