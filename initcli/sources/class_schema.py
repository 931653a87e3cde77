"""JSON Schemas of the classes that a spec can name: their names, arguments and values.

Where a mapping has a ``type``, that decides which arguments it takes: one if and then for each
class, so that a validator speaks of the one that is meant, and not of all that are not.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
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
"""Classes, each with its names, of which its own comes first."""


def initializer_schema(classes: Classes) -> Schema:
    """An initializer: a name, which may be that of a recipe or of a function, or a mapping."""
    function = {
        "description": "the name of a function of --custom, and nothing else of that name",
        "type": "string",
    }
    return {
        "description": "an initializer: its name, that of a recipe or of a function of --custom, "
        "or a mapping with its `type` and arguments",
        # The names that are known are there for an editor to offer.
        "anyOf": [
            *_by_name_alone(classes),
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
        "description": "an activation: its name, or a mapping with its `type` and arguments",
        "anyOf": [
            *_by_name_alone(classes),
            {"type": "null"},
            chosen_by_type("activation", classes),
        ],
    }


def _by_name_alone(classes: Classes) -> list[Schema]:
    """The names of those that need no argument."""
    return [
        name
        for cls, names in classes.items()
        if not any(field.required for field in msgspec.structs.fields(cls))
        for name in _known(cls, names)
    ]


def chosen_by_type(kind: str, classes: Classes) -> Schema:
    """A mapping of which ``type`` says which class's arguments it takes.

    The family comes before the class: a validator would else compare each type with all others.
    """
    families: dict[str, list[list[str]]] = {}
    for cls, names in classes.items():
        families.setdefault(cls.__module__, []).append(names)
    return {
        "type": "object",
        "properties": {"type": to(f"{kind}_type")},
        "required": ["type"],
        "if": has("type"),
        "then": {"allOf": [_family(kind, names) for names in families.values()]},
    }


def _family(kind: str, classes: list[list[str]]) -> Schema:
    # An editor would show an enum to whoever points at the type, so this is a pattern.
    any_name = "|".join(name for names in classes for name in names)
    return {
        "if": {"properties": {"type": {"pattern": f"^({any_name})$"}}},
        "then": {
            "allOf": [
                {
                    "if": {"properties": {"type": one_of(names)}},
                    "then": to(f"{kind}.{names[0]}"),
                }
                for names in classes
            ]
        },
    }


def type_names(kind: str, classes: Classes) -> Schema:
    """The names of a kind, each with what it stands for, which an editor shows beside it."""
    return {
        "description": f"which {kind} this is",
        "anyOf": [name for cls, names in classes.items() for name in _known(cls, names)],
    }


def _known(cls: type[msgspec.Struct], names: list[str]) -> list[Schema]:
    return [{"const": name, "description": _title(cls)} for name in names]


def class_schema(cls: type[msgspec.Struct], names: list[str], arguments: Schema) -> Schema:
    """The arguments of one class, whose other names are behind its own."""
    return {
        "title": names[0],
        "description": _text(cls),
        **arguments,
        "properties": {
            "type": {"description": _title(cls), **one_of(names)},
            **arguments["properties"],
        },
        "additionalProperties": False,
    }


def _text(cls: type[msgspec.Struct]) -> str:
    """What a class says of itself, a paragraph a line."""
    paragraphs = inspect.cleandoc(cls.__doc__ or "").replace("``", "`").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _title(cls: type[msgspec.Struct]) -> str:
    return _text(cls).partition("\n")[0]


def arguments_schema(cls: type[msgspec.Struct]) -> Schema:
    """The arguments of a class, its own before those it inherits."""
    taken: dict[str, Schema] = {}
    for argument in arguments_of(cls):
        takes = describe(argument.type)
        description = f"{argument.description} {takes[0].upper()}{takes[1:]}.".lstrip()
        taken[argument.name] = {"description": description, **_value(argument.type)}
        if not argument.required:
            taken[argument.name]["default"] = written(argument.default)
    required = [argument.name for argument in arguments_of(cls) if argument.required]
    return {"properties": taken, **({"required": required} if required else {})}


def _value(type_: Any) -> Schema:
    """The values that an argument of that type takes."""
    if type_ in (Initializer, Initializer | None):
        return to("initializer")
    if type_ is Activation:
        return to("activation")
    inner, several = to("inner_layer"), {"type": "array", "items": to("inner_layer")}
    if type_ is Layer:
        return inner
    if type_ == Layer | None:
        return {"if": {"not": {"type": "null"}}, "then": inner}
    if type_ == tuple[Layer, ...]:
        return several
    if type_ == tuple[OwnWeight, ...]:
        own = {"type": "object", **arguments_schema(OwnWeight), "additionalProperties": False}
        return {"type": "array", "items": own}
    if type_ == Layer | tuple[Layer, ...]:
        return {"if": {"type": "array"}, "then": several, "else": inner}
    return _plain(type_)


@cache
def _plain(type_: Any) -> Schema:
    """The values of a type in which no layer, initializer or activation is."""
    schema = _joined(msgspec.json.schema(type_))
    if not (texts := choices(type_)):
        return schema
    either = "|".join(
        "".join(f"[{c}{c.upper()}]" if c.isalpha() else re.escape(c) for c in text)
        for text in texts
    )
    # Keras takes "SAME" for "same".
    return {"anyOf": [schema, {"type": "string", "pattern": f"^({either})$"}]}


_NULL = {"type": "null"}


def _joined(schema: Schema) -> Schema:
    """A schema without anyOf where it can say the same in one, for clearer messages.

    What it says of numbers, texts and lists holds for values of that type alone.
    """
    if "items" in schema:
        schema["items"] = _joined(schema["items"])
    if "anyOf" not in schema:
        return schema
    parts = [{"enum": [None]} if p == _NULL else _joined(p) for p in schema["anyOf"]]
    if all("enum" in part for part in parts):
        return {"enum": [value for part in parts for value in part["enum"]]}
    parts = [_joined(part) for part in schema["anyOf"]]
    if not all("type" in part for part in parts):
        return {"anyOf": parts}
    joined: Schema = {"type": [part["type"] for part in parts]}
    for part in parts:
        joined |= {key: value for key, value in part.items() if key != "type"}
    return joined


def one_of(names: list[str]) -> Schema:
    """One of those texts."""
    return {"const": names[0]} if len(names) == 1 else {"anyOf": [{"const": n} for n in names]}


def has(key: str) -> Schema:
    """A mapping in which that key is."""
    # What is nothing yet is asked as well, and of what is no mapping every key is there.
    return {"type": "object", "required": [key]}


def to(definition: str) -> Schema:
    """What stands elsewhere in the schema, under that name."""
    return {"$ref": f"#/$defs/{definition}"}
