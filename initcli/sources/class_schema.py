"""JSON Schemas of the classes that a spec can name: their names, arguments and values.

The ``type`` of a mapping decides which arguments it takes, by one ``if`` and ``then`` for each
class, so that a validator reports on the class that is meant and not on all others.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import msgspec

from initcli.activations import Activation
from initcli.initializers import Initializer
from initcli.layers import Layer
from initcli.layers.core import OwnWeight
from initcli.sources.describe import choices, describe, written
from initcli.types import arguments_of

Schema = dict[str, Any]
"""A JSON Schema as plain data."""
Classes = Mapping[type[Any], list[str]]
"""The names of each class, its own name first."""


def initializer_schema(classes: Classes) -> Schema:
    """An initializer: a name, which may be that of a recipe or of a function, or a mapping."""
    function = {"description": "Name of a function of --custom.", "type": "string"}
    return {
        "description": "An initializer: its name, that of a recipe or of a function of --custom, "
        "or a mapping with its `type` and arguments.",
        # Any text is valid; the known names are listed for an editor to offer.
        "anyOf": [
            *_names_without_arguments(classes),
            {"type": ["string", "null"]},
            {
                "if": {**has("function"), "maxProperties": 1},
                "then": {"properties": {"function": function}},
                "else": chosen_by_type("initializer", classes),
            },
        ],
    }


def activation_schema(classes: Classes) -> Schema:
    """An activation: a name or a mapping."""
    return {
        "description": "An activation: its name, or a mapping with its `type` and arguments.",
        "anyOf": [
            *_names_without_arguments(classes),
            {"type": "null"},
            chosen_by_type("activation", classes),
        ],
    }


def _names_without_arguments(classes: Classes) -> list[Schema]:
    """The names of the classes that need no argument."""
    return [
        {"const": name, "description": _title(cls)}
        for cls, names in classes.items()
        if not _needs_arguments(cls)
        for name in names
    ]


def _needs_arguments(cls: type[msgspec.Struct]) -> bool:
    return any(argument.required for argument in arguments_of(cls))


def chosen_by_type(kind: str, classes: Classes) -> Schema:
    """A mapping whose ``type`` says which class's arguments it takes."""
    return {
        "type": "object",
        "properties": {"type": to(f"{kind}_type")},
        "required": ["type"],
        "if": has("type"),
        "then": {
            "allOf": [
                {"if": {"properties": {"type": one_of(names)}}, "then": to(f"{kind}.{names[0]}")}
                for names in classes.values()
            ]
        },
    }


def type_names(kind: str, classes: Classes) -> Schema:
    """The names of a kind, each with the description that an editor shows beside it."""
    return {
        "description": f"The type of {kind}.",
        "anyOf": [
            {"const": name, "description": _title(cls)}
            for cls, names in classes.items()
            for name in names
        ],
    }


def class_schema(cls: type[msgspec.Struct], names: list[str], arguments: Schema) -> Schema:
    """The arguments of one class."""
    own_type = {"type": {"description": _title(cls), **one_of(names)}}
    return {
        "title": names[0],
        "description": _text(cls),
        **arguments,
        "properties": {**own_type, **arguments["properties"]},
        "additionalProperties": False,
    }


def _text(cls: type[msgspec.Struct]) -> str:
    """The documentation of a class, one paragraph a line."""
    paragraphs = inspect.cleandoc(cls.__doc__ or "").replace("``", "`").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _title(cls: type[msgspec.Struct]) -> str:
    return _text(cls).partition("\n")[0]


def arguments_schema(cls: type[msgspec.Struct]) -> Schema:
    """The arguments of a class, its own before those it inherits."""
    properties: dict[str, Schema] = {}
    for argument in arguments_of(cls):
        takes = describe(argument.type)
        description = f"{argument.description} {takes[0].upper()}{takes[1:]}.".lstrip()
        properties[argument.name] = {"description": description, **_value(argument.type)}
        if not argument.required:
            properties[argument.name]["default"] = written(argument.default)
    required = [argument.name for argument in arguments_of(cls) if argument.required]
    return {"properties": properties, **({"required": required} if required else {})}


def _value(type_: Any) -> Schema:
    """The values that an argument of that type takes."""
    layer, layers = to("inner_layer"), {"type": "array", "items": to("inner_layer")}
    values: dict[Any, Schema] = {
        Initializer: to("initializer"),
        Initializer | None: to("initializer"),
        Activation: to("activation"),
        Layer: layer,
        Layer | None: {"if": {"not": {"type": "null"}}, "then": layer},
        tuple[Layer, ...]: layers,
        Layer | tuple[Layer, ...]: {"if": {"type": "array"}, "then": layers, "else": layer},
    }
    if type_ == tuple[OwnWeight, ...]:
        own = {"type": "object", **arguments_schema(OwnWeight), "additionalProperties": False}
        return {"type": "array", "items": own}
    return values[type_] if type_ in values else _plain(type_)


@cache
def _plain(type_: Any) -> Schema:
    """The values of a type that holds no layer, initializer or activation."""
    schema = msgspec.json.schema(type_)
    if not (texts := choices(type_)):
        return schema
    either = "|".join(
        "".join(f"[{c}{c.upper()}]" if c.isalpha() else re.escape(c) for c in text)
        for text in texts
    )
    # Keras takes "SAME" for "same".
    return {"anyOf": [schema, {"type": "string", "pattern": f"^({either})$"}]}


def one_of(names: Iterable[str]) -> Schema:
    """One of several texts."""
    # An editor shows an `enum` to whoever points at the value.
    return {"anyOf": [{"const": name} for name in names]}


def has(key: str) -> Schema:
    """A mapping with that key."""
    return {"type": "object", "required": [key]}


def to(definition: str) -> Schema:
    """A reference to a definition of the schema."""
    return {"$ref": f"#/$defs/{definition}"}
