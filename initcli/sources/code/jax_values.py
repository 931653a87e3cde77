"""Values of the intermediate arrays of a jaxpr."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from initcli.initializers import Constant
from initcli.initializers.given import Unknown
from initcli.sources.code.contents import Computed, Content, Part, unknown, whole
from initcli.types import Size


class Bits(NamedTuple):
    """Entries with ``width`` random low bits, and the high bits of ``above``."""

    width: int
    above: int = 0


class Boxes(NamedTuple):
    """Parts of an array; a later one overwrites earlier ones."""

    parts: tuple[Part, ...]


Value = Content | Bits | Boxes
"""The value of an intermediate array."""


def parts_of(value: Value, shape: Size) -> tuple[Part, ...]:
    """The boxes of an array and their contents."""
    if isinstance(value, Boxes):
        return value.parts
    return (Part(whole(shape), content_of(value)),)


def content_of(value: Value) -> Content:
    """The content of all entries."""
    if isinstance(value, Bits):
        return Unknown(operation="random bits")
    if isinstance(value, Boxes):
        return unknown([part.content for part in value.parts], "a part of several contents")
    return value


def unknown_result(equation: Any, inputs: Sequence[Value]) -> Content:
    """The content of the result of an equation that is not followed."""
    return unknown([content_of(each) for each in inputs], equation.primitive.name)


def number_of(value: Value) -> float | None:
    """The number that all entries equal; None if they differ or are not known."""
    if isinstance(value, Constant):
        return float(value.value)
    if not isinstance(value, Computed):
        return None
    flat = np.asarray(value.values).ravel()
    if not flat.size or flat.dtype.kind == "c" or not bool((flat == flat[0]).all()):
        return None
    return float(flat[0])


def each_changed(value: Value, change: Callable[[Content], Content]) -> Value:
    """The value with a function applied to each of its contents."""
    if isinstance(value, Boxes):
        parts = (part._replace(content=change(part.content)) for part in value.parts)
        return Boxes(tuple(parts))
    return change(content_of(value))


def size_of(equation: Any, at: int | None = None) -> int:
    """The number of entries of an input, or of the output."""
    variable = equation.outvars[0] if at is None else equation.invars[at]
    return math.prod(variable.aval.shape)
