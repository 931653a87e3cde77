"""Parts of arrays after operations that move, cut or join them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from initcli.initializers import Constant
from initcli.initializers.base import Undrawn, Whole
from initcli.initializers.given import Unknown
from initcli.sources.code.contents import (
    MAX_COMPUTED,
    Box,
    Computed,
    Part,
    are_alike,
    lengths,
    reshaped,
    whole,
)
from initcli.sources.code.jax_values import (
    Bits,
    Boxes,
    Value,
    content_of,
    number_of,
    parts_of,
    size_of,
    unknown_result,
)
from initcli.types import Array, Size

MAX_PARTS = 4096
"""Maximum number of parts of an array."""


def moved_entries(equation: Any, inputs: list[Value]) -> Value:
    """The value of the same entries in another shape."""
    value = inputs[0]
    name, old = equation.primitive.name, equation.invars[0].aval.shape
    new = equation.outvars[0].aval.shape
    if isinstance(value, Bits):
        return value
    if math.prod(old) != math.prod(new):
        content = content_of(value)
        return content if isinstance(content, Undrawn) else Unknown(operation="copies")
    if name == "rev" and isinstance(value, Boxes):
        return Unknown(operation=name)
    order = equation.params["permutation"] if name == "transpose" else None
    parts = []
    for box, content in value.parts if isinstance(value, Boxes) else parts_of(value, old):
        moved = _moved_box(box, old, new, order)
        if moved is None:
            return Unknown(operation=name)
        before, after = lengths(box), lengths(moved)
        if isinstance(content, Computed):
            array = np.broadcast_to(content.values, before)
            array = array.reshape(after) if order is None else array.transpose(order)
            content = Computed(array)
        parts.append(Part(moved, reshaped(content, before, after)))
    return Boxes(tuple(parts)) if len(parts) > 1 else parts[0].content


def _moved_box(box: Box, old: Size, new: Size, order: Sequence[int] | None) -> Box | None:
    """The box of the same entries in another shape; None if they form none."""
    if order is not None:
        return tuple(box[axis] for axis in order)
    long = iter([each for each, length in zip(box, old, strict=True) if length != 1])
    if [each for each in old if each != 1] == [each for each in new if each != 1]:
        return tuple(slice(0, 1) if length == 1 else next(long) for length in new)
    if box == whole(old):
        return whole(new)
    if old[:1] == new[:1] and box[1:] == whole(old[1:]):
        return (box[0], *whole(new[1:]))
    return None


def sliced(equation: Any, inputs: list[Value]) -> Value:
    """The value of a slice; a slice of independent entries has the distribution of the whole."""
    value, *starts = inputs
    old, new = equation.invars[0].aval.shape, equation.outvars[0].aval.shape
    if not isinstance(value, Boxes):
        return value if isinstance(value, Bits) else reshaped(content_of(value), old, new)
    parameters = equation.params
    steps = parameters.get("strides") or ()
    begins = _begins(starts, old, new) if starts else list(parameters["start_indices"])
    if begins is None or max(steps, default=1) > 1:
        return Unknown(operation=equation.primitive.name)
    return _joined(_cut(value.parts, begins, new))


def _begins(starts: Sequence[Value], outer: Size, inner: Size) -> list[int] | None:
    """The start indices of a box, which JAX clamps so that it lies within the array."""
    numbers = [number_of(each) for each in starts]
    if None in numbers:
        return None
    return [
        min(max(int(number or 0), 0), outer[axis] - inner[axis])
        for axis, number in enumerate(numbers)
    ]


def _cut(parts: Sequence[Part], begins: Sequence[int], shape: Size) -> list[Part]:
    """The parts of a box of an array."""
    shown = []
    for box, content in parts:
        inner = tuple(
            slice(max(each.start - begin, 0), min(each.stop - begin, length))
            for each, begin, length in zip(box, begins, shape, strict=True)
        )
        if any(each.start >= each.stop for each in inner):
            continue
        if isinstance(content, Computed):
            array = np.broadcast_to(content.values, lengths(box))
            own = tuple(
                slice(each.start + begin - outer.start, each.stop + begin - outer.start)
                for each, begin, outer in zip(inner, begins, box, strict=True)
            )
            content = Computed(array[own])
        shown.append(Part(inner, reshaped(content, lengths(box), lengths(inner))))
    return shown


def split(equation: Any, inputs: list[Value]) -> list[Value]:
    """The parts of an array along an axis."""
    axis, sizes = equation.params["axis"], equation.params["sizes"]
    shape = equation.invars[0].aval.shape
    results = []
    for end, size in zip(accumulate(sizes), sizes, strict=True):
        begins = [end - size if at == axis else 0 for at in range(len(shape))]
        cut = tuple(size if at == axis else length for at, length in enumerate(shape))
        results.append(_joined(_cut(parts_of(inputs[0], shape), begins, cut)))
    return results


def _joined(parts: Sequence[Part]) -> Value:
    """Parts as one value if they are independent and have the same distribution."""
    first = parts[0].content
    if len(parts) == 1 or (
        not isinstance(first, Whole) and are_alike([each.content for each in parts])
    ):
        return first
    return Boxes(tuple(parts)) if len(parts) <= MAX_PARTS else Unknown(operation="concatenate")


def concatenated(equation: Any, inputs: list[Value]) -> Value:
    """The value of arrays that are concatenated along an axis."""
    axis = equation.params["dimension"]
    parts: list[Part] = []
    begin = 0
    for value, variable in zip(inputs, equation.invars, strict=True):
        shape = variable.aval.shape
        begins = [begin if at == axis else 0 for at in range(len(shape))]
        parts += _shifted_by(begins, parts_of(value, shape))
        begin += shape[axis]
    return _joined([each for each in parts if all(lengths(each.box))])


def _shifted_by(begins: Sequence[int], parts: Sequence[Part]) -> list[Part]:
    """Parts at other start indices."""
    return [
        part._replace(
            box=tuple(
                slice(each.start + begin, each.stop + begin)
                for each, begin in zip(part.box, begins, strict=True)
            )
        )
        for part in parts
    ]


def updated(equation: Any, inputs: list[Value]) -> Value:
    """The value of an array after dynamic_update_slice."""
    operand, update, *starts = inputs
    outer, inner = (each.aval.shape for each in equation.invars[:2])
    begins = _begins(starts, outer, inner)
    if begins is None:
        return unknown_result(equation, inputs)
    return _joined([*parts_of(operand, outer), *_shifted_by(begins, parts_of(update, inner))])


def scattered(equation: Any, inputs: list[Value]) -> Value:
    """The value of an array after a scatter to known indices that form a box."""
    operand, indices, update = inputs
    shape = equation.outvars[0].aval.shape
    if isinstance(indices, Constant):
        variable = equation.invars[1].aval
        indices = Computed(np.full(variable.shape, indices.value, variable.dtype))
    box = None
    if isinstance(indices, Computed) and math.prod(shape) <= MAX_COMPUTED:
        ones = np.ones(equation.invars[2].aval.shape, np.float32)
        dtype = {"update_jaxpr": None, "update_consts": ()}
        written = equation.primitive.bind(
            np.zeros(shape, np.float32), indices.values, ones, **{**equation.params, **dtype}
        )
        box = _box_of(np.asarray(written) > 0)
    if box is None or isinstance(update, Boxes | Bits | Computed):
        return unknown_result(equation, inputs)
    if math.prod(lengths(box)) != size_of(equation, 2):
        return unknown_result(equation, inputs)
    content = reshaped(update, equation.invars[2].aval.shape, lengths(box))
    return _joined([*parts_of(operand, shape), Part(box, content)])


def _box_of(mask: Array) -> Box | None:
    """The box of the entries that are true; None if they form none."""
    if not mask.any():
        return None
    sides = (
        np.flatnonzero(mask.any(tuple(np.delete(range(mask.ndim), axis))))
        for axis in range(mask.ndim)
    )
    box = tuple(slice(int(each[0]), int(each[-1]) + 1) for each in sides)
    return box if mask[box].all() else None


def selected(equation: Any, inputs: list[Value]) -> Value:
    """The value of select_n with a known mask of which one case forms a box."""
    which, *cases = inputs
    shape = equation.outvars[0].aval.shape
    number = number_of(which)
    if number is not None:
        return cases[int(number)]
    if isinstance(which, Computed) and len(cases) == 2 and which.values.shape == shape:
        mask = np.asarray(which.values, bool)
        for inside, outside, box in (
            (cases[1], cases[0], _box_of(mask)),
            (cases[0], cases[1], _box_of(~mask)),
        ):
            if box is not None:
                begins = [each.start for each in box]
                cut = _cut(parts_of(inside, shape), begins, lengths(box))
                return _joined([*parts_of(outside, shape), *_shifted_by(begins, cut)])
    return unknown_result(equation, inputs)


def padded(equation: Any, inputs: list[Value]) -> Value:
    """The value of an array padded with a number."""
    value, padding = inputs
    sides = equation.params["padding_config"]
    number = number_of(padding)
    if number is None or any(low < 0 or high < 0 or between for low, high, between in sides):
        return unknown_result(equation, inputs)
    shape = equation.outvars[0].aval.shape
    shown = parts_of(value, equation.invars[0].aval.shape)
    inside = _shifted_by([low for low, _, _ in sides], shown)
    return _joined([Part(whole(shape), Constant(value=number)), *inside])
