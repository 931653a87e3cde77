"""What intermediate arrays of a jaxpr hold."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from initcli.initializers import Constant
from initcli.initializers.given import Unknown
from initcli.sources.code.contents import Computed, Content, Part, unknown, whole
from initcli.types import Size


class Bits(NamedTuple):
    """Random bits, the lowest ``width`` of each entry, above which are those of ``above``."""

    width: int
    above: int = 0


class Boxes(NamedTuple):
    """Parts of an array, each over those before it."""

    parts: tuple[Part, ...]


Value = Content | Bits | Boxes
"""What an intermediate array holds."""


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


def number_of(value: Value) -> float | None:
    """The only number that a value holds; None of others."""
    if isinstance(value, Constant):
        return float(value.value)
    if not isinstance(value, Computed):
        return None
    flat = np.asarray(value.values).ravel()
    if not flat.size or flat.dtype.kind == "c" or not bool((flat == flat[0]).all()):
        return None
    return float(flat[0])


def each_changed(value: Value, change: Callable[[Content], Content]) -> Value:
    """The value with each of its contents changed."""
    if isinstance(value, Boxes):
        parts = (part._replace(content=change(part.content)) for part in value.parts)
        return Boxes(tuple(parts))
    return change(content_of(value))


def size_of(equation: Any, at: int | None = None) -> int:
    """The number of entries of an input, or of the output."""
    variable = equation.outvars[0] if at is None else equation.invars[at]
    return math.prod(variable.aval.shape)
