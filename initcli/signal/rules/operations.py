"""Rules of operations on tensors, such as x + y or x[:, 0] in a Functional Keras model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from autograd import elementwise_grad

from initcli.activations import known_activations
from initcli.layers import merging
from initcli.layers.computations import computation, is_elementwise
from initcli.layers.operations import Operation
from initcli.layers.pooling import GlobalAveragePooling1D
from initcli.signal import arrays
from initcli.signal.field import Field, normal
from initcli.signal.rules.base import Expected, Gradient, NoTheory, Place, affine, expected
from initcli.signal.rules.entries import activated, through
from initcli.signal.rules.layout import Axes, as_given, as_most_have, feature_axes
from initcli.signal.rules.rearranging import permuted, reshaped
from initcli.types import Array, snake_case

_MERGING: dict[str, Callable[[], Any]] = {
    "Add": merging.Add,
    "Subtract": merging.Subtract,
    "Multiply": merging.Multiply,
    "Maximum": merging.Maximum,
    "Minimum": merging.Minimum,
}
_OPERANDS = ("x", "y", "x1", "x2", "a", "b")
_REARRANGING = ("Reshape", "ExpandDims", "Squeeze")
_BY_UNITS = ("GetItem", "Mean", "Softmax", "LogSoftmax", "Sparsemax", "Glu")
"""Operations that go by units on the last axis."""


@feature_axes.register
def _(layer: Operation, place: Place, *fields: Field) -> Axes:
    if len(fields) > 1:
        return as_most_have(layer, place, *fields)
    return (-1,) if layer.function in _BY_UNITS else as_given(layer, place, *fields)


@expected.register
def _(layer: Operation, place: Place, *fields: Field) -> Expected:
    function = layer.function
    # Keras 2 gives operands by name.
    given = (*layer.arguments, *(layer.keywords[k] for k in _OPERANDS if k in layer.keywords))
    if function in _MERGING and len(fields) == 2 and _are_tensors(given):
        return expected(_MERGING[function](), place, *fields)
    if function == "Concatenate" and len(fields) > 1:
        axis = layer.keywords.get("axis", -1)
        return expected(merging.Concatenate(axis=axis), place, *fields)
    if len(fields) != 1:
        raise NoTheory(function)
    (field,) = fields
    scale = _scale(function, given)
    if scale is not None:
        return affine(field, *scale)
    if function in _REARRANGING:
        return reshaped(field, place.inputs[0][1:], place.outputs[0][1:])
    if function == "Transpose":
        return permuted(field, _order(layer, len(place.inputs[0])))
    if function == "GetItem":
        return _picked(layer, place, field)
    if function == "Mean":
        return _mean(layer, place, field)
    activation = known_activations().get(snake_case(function))
    if activation is not None and _are_tensors(given):
        return activated(activation(**layer.keywords), field)
    if is_elementwise(function) and len(given) == 1 and _are_tensors(given):
        return _of_entries(computation(arrays, function), field)
    raise NoTheory(function)


def _of_entries(function: Any, given: Field) -> Expected:
    """A function of single entries, of which some may be no number."""
    slope = elementwise_grad(function)

    def finite(values: Array) -> Array:
        if not np.all(np.isfinite(values)):
            raise NoTheory("what is not finite")
        return values

    return through(lambda x: finite(function(x)), lambda x: finite(slope(x)), given)


def _are_tensors(arguments: tuple[Any, ...]) -> bool:
    return all(isinstance(each, dict) and set(each) == {"input"} for each in arguments)


def _scale(function: str, given: tuple[Any, ...]) -> tuple[float, float] | None:
    """Factor and summand of an operation with one number, if it is one."""
    numbers = [each for each in given if isinstance(each, int | float)]
    if len(given) != 2 or len(numbers) != 1:
        return None
    number, is_first = float(numbers[0]), isinstance(given[0], int | float)
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
    """Where each axis beside the batch comes from, the batch not counted."""
    axes = layer.keywords.get("axes", layer.arguments[1] if len(layer.arguments) > 1 else None)
    order = [axis % rank for axis in axes] if axes is not None else [*range(rank)][::-1]
    if order[0] != 0:
        raise NoTheory("examples along another axis")
    return [axis - 1 for axis in order[1:]]


def _picked(layer: Operation, place: Place, given: Field) -> Expected:
    """x[:, k], one position of a sequence."""
    key = layer.arguments[1] if len(layer.arguments) > 1 else layer.keywords.get("key")
    keys = key if isinstance(key, list | tuple) else [key]
    whole = {"start": None, "stop": None, "step": None}
    others = [*keys[:1], *keys[2:]]
    if len(given.grid) != 1 or len(keys) < 2 or any(each != whole for each in others):
        raise NoTheory("GetItem")
    if not isinstance(keys[1], int):
        raise NoTheory("GetItem")
    here = keys[1]
    found = normal(given.moments[:, here], given.means[here], given.units)

    def pull(g: Gradient) -> list[Gradient | None]:
        second = np.zeros(given.grid)
        second[here] = g.second
        return [Gradient.even(second)]

    return Expected(found, pull)


def _mean(layer: Operation, place: Place, given: Field) -> Expected:
    """The mean over the positions of a sequence, or over the units."""
    rank = len(place.inputs[0])
    axis = layer.keywords.get("axis", layer.arguments[1] if len(layer.arguments) > 1 else None)
    axes = [
        each % rank for each in (axis if isinstance(axis, list) else [axis]) if each is not None
    ]
    keepdims = bool(layer.keywords.get("keepdims", False))
    if axes == [1] and len(given.grid) == 1:
        return expected(GlobalAveragePooling1D(keepdims=keepdims), place, given)
    if axes != [rank - 1] or not keepdims:
        raise NoTheory("a mean over other axes")
    n = given.units
    alike = given.means**2
    moments = alike + (given.moments - alike) / n
    return Expected(
        normal(moments, given.means, 1),
        lambda g: [Gradient(g.moments / n**2)],
    )
