"""Types in words, for messages and documentation, and default values as a spec writes them."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import msgspec

from initcli.activations import Activation
from initcli.errors import listed, quoted
from initcli.initializers import Initializer
from initcli.layers import Layer
from initcli.layers.core import OwnWeight
from initcli.types import snake_case


@cache
def describe(type_: Any) -> str:
    """The values of a type, such as "a whole number of at least 1"; null is not mentioned."""
    if type_ in _NAMED:
        return _NAMED[type_]
    info = msgspec.inspect.type_info(type_)
    if isinstance(info, msgspec.inspect.UnionType):
        kinds = [kind for kind in info.types if not isinstance(kind, msgspec.inspect.NoneType)]
        return listed([_describe(kind) for kind in kinds])
    return _describe(info)


_NAMED: dict[Any, str] = {
    Initializer: "an initializer",
    Initializer | None: "an initializer",
    Activation: "an activation",
    Layer: "a layer",
    Layer | None: "a layer",
    tuple[Layer, ...]: "a list of layers",
    Layer | tuple[Layer, ...]: "a layer or a list of layers",
    tuple[OwnWeight, ...]: "a list of weights",
}


@cache
def choices(type_: Any) -> tuple[str, ...]:
    """The texts of a type that allows only certain ones."""
    info = msgspec.inspect.type_info(type_)
    kinds = info.types if isinstance(info, msgspec.inspect.UnionType) else (info,)
    literals = [kind for kind in kinds if isinstance(kind, msgspec.inspect.LiteralType)]
    return tuple(value for kind in literals for value in kind.values if isinstance(value, str))


def written(value: Any) -> Any:
    """The value of an argument as a spec writes it."""
    if isinstance(value, Initializer):
        is_default = value == type(value)()
        return value.type_name if is_default else {"type": value.type_name, **value.arguments}
    if isinstance(value, Activation):
        return snake_case(type(value).__name__)
    return msgspec.to_builtins(value)


def _describe(info: Any) -> str:
    match info:
        case msgspec.inspect.UnionType(types=types):
            return listed([_describe(kind) for kind in types])
        case msgspec.inspect.LiteralType(values=values):
            return listed([quoted(value) for value in values])
        case msgspec.inspect.IntType():
            return "a whole number" + _bounds(info)
        case msgspec.inspect.FloatType():
            return "a number" + _bounds(info)
        case msgspec.inspect.TupleType(item_types=types):
            return f"a list of {len(types)}: " + listed([_describe(kind) for kind in types], "and")
        case (
            msgspec.inspect.VarTupleType(item_type=kind) | msgspec.inspect.ListType(item_type=kind)
        ):
            if isinstance(kind, msgspec.inspect.AnyType):
                return "a list"
            count = f"{info.max_length} " if info.max_length else ""
            plural = re.sub(r"\ba (whole number|number|list|text)\b", r"\1s", _describe(kind))
            return f"a list of {count}{plural}"
        case _:
            return _SIMPLE.get(type(info), "another value")


_SIMPLE: dict[type, str] = {
    msgspec.inspect.StrType: "a text",
    msgspec.inspect.BoolType: "true or false",
    msgspec.inspect.NoneType: "null",
    msgspec.inspect.DictType: "a mapping",
    msgspec.inspect.AnyType: "any value",
}


def _bounds(info: Any) -> str:
    low = f"at least {info.ge:g}" if info.ge is not None else ""
    if info.gt is not None:
        low = f"more than {info.gt:g}"
    high = f"at most {info.le:g}" if info.le is not None else ""
    bounds = [bound for bound in (low, high) if bound]
    return f" of {' and '.join(bounds)}" if bounds else ""
