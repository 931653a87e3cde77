"""The JSON Schema of a spec for editors, made from the classes that a spec can name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from initcli.activations import known_activations
from initcli.initializers import known_initializers
from initcli.layers import Layer, known_layers
from initcli.layers.core import Input
from initcli.layers.network import Network
from initcli.sources.building import Spec
from initcli.sources.class_schema import (
    Classes,
    Schema,
    activation_schema,
    arguments_schema,
    chosen_by_type,
    class_schema,
    has,
    initializer_schema,
    one_of,
    to,
    type_names,
)
from initcli.sources.extend import KEY as EXTENDS
from initcli.types import arguments_of

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_text() -> str:
    """The schema as a JSON text in ASCII, which every stream and editor takes."""
    return json.dumps(schema(), separators=(",", ":")) + "\n"


def schema() -> Schema:
    """The JSON Schema of a spec, in the dialect of 2020-12, as plain data.

    It describes the shape of the data: the keys of each mapping and their values. Whether layers
    fit one another is known only once the spec is read.

    >>> import initcli
    >>> initcli.schema()["$schema"]
    'https://json-schema.org/draft/2020-12/schema'
    """
    layers = _names(known_layers())
    initializers = _names(known_initializers())
    activations = _names(known_activations())
    of_any_layer = arguments_schema(Layer)["properties"]
    definitions: dict[str, Schema] = {
        "entry": _entry(layers),
        "layer": chosen_by_type("layer", layers),
        "layer_type": type_names("layer", layers),
        "inner_layer": _inner_layer(layers),
        "block": _block(layers),
        "call": _call(layers),
        "name": _NAME,
        "references": _REFERENCES,
        "reference": _REFERENCE,
        "initializer": initializer_schema(initializers),
        "initializer_type": type_names("initializer", initializers),
        "activation": activation_schema(activations),
        "activation_type": type_names("activation", activations),
        **{f"argument.{name}": each for name, each in of_any_layer.items()},
    }
    for cls, names in layers.items():
        arguments = _network(cls) if issubclass(cls, Network) else _layer(cls)
        definitions[f"layer.{names[0]}"] = class_schema(cls, names, arguments)
    for kind, classes in (("initializer", initializers), ("activation", activations)):
        for cls, names in classes.items():
            definitions[f"{kind}.{names[0]}"] = class_schema(cls, names, arguments_schema(cls))
    return {
        "$schema": DIALECT,
        "title": "initcli spec",
        "description": "The layers of a network, and what their weights start with. A Keras "
        "model's own JSON, which initcli reads as well, is another format.",
        **_spec(),
        "$defs": definitions,
    }


_NAME: Schema = {
    "description": "Name of the layer or block; by default that of its type.",
    "type": ["string", "null"],
    "minLength": 1,
    "pattern": r"^[^/\u0000-\u001f\u007f-\u009f]+$",
}
_REFERENCE: Schema = {
    "description": "The name of a layer, or one of a layer's several outputs.",
    "anyOf": [
        {"type": "string"},
        {
            "type": "object",
            "properties": {
                "layer": {"description": "Name of the layer.", "type": "string"},
                "output": {
                    "description": "Index of its output, from 0.",
                    "type": "integer",
                    "minimum": 0,
                },
            },
            "required": ["layer", "output"],
            "additionalProperties": False,
        },
    ],
}
_REFERENCES: Schema = {
    "description": "The layer that flows in, or a list of them; by default the one before.",
    "if": {"type": "array"},
    "then": {"items": to("reference")},
    "else": {"anyOf": [*_REFERENCE["anyOf"], {"type": "null"}]},
}
_OPTION: Schema = {
    "description": "Of this call alone: true or false.",
    "type": "boolean",
}


def _entries(description: str) -> Schema:
    return {"description": description, "type": "array", "minItems": 1, "items": to("entry")}


def _spec() -> Schema:
    """A spec: its keys, of which it needs ``layers`` unless it extends another spec."""
    keys = arguments_schema(Spec)
    own = keys["properties"]
    layers = "The layers, each taking the output of the one before unless it names its inputs."
    own["layers"] = {"description": layers, "type": "array", "items": to("entry")}
    outputs = "The layers whose outputs are the model's; by default those that no layer takes."
    own["outputs"] = {**to("references"), "description": outputs}
    own["initializers"] = {
        "description": "Recipes: an initializer for each name of your own.",
        "type": "object",
        "propertyNames": {"not": {"enum": sorted(known_initializers())}},
        "additionalProperties": to("initializer"),
    }
    own[EXTENDS] = {
        "description": "Path of another spec or Keras file, whose layers come first.",
        "type": "string",
        "minLength": 1,
    }
    return {
        "type": "object",
        "properties": own,
        "additionalProperties": False,
        "if": {"not": {"required": [EXTENDS]}},
        "then": {"required": keys["required"], "properties": {"layers": {"minItems": 1}}},
    }


def _entry(layers: Classes) -> Schema:
    """An entry of ``layers``: a block, a further call of a layer, or a layer."""
    merging = [name for cls, names in layers.items() if cls.merges for name in names]
    layer = {
        **to("layer"),
        "properties": {"name": to("name")},
        "if": {"properties": {"type": one_of(merging)}},
        "then": {"properties": {"inputs": {"not": {"type": "null"}}}, "required": ["inputs"]},
    }
    # For an entry without any key yet, an editor offers the keys that decide what it is.
    begun = {
        "properties": {
            "type": to("layer_type"),
            "repeat": _block(layers)["properties"]["repeat"],
            "call": _call(layers)["properties"]["call"],
        },
        "required": ["type"],
    }
    return {
        "description": "A layer, a block of layers, or a further call of a layer.",
        "type": "object",
        "if": {"anyOf": [has("repeat"), {**has("layers"), "not": has("type")}]},
        "then": to("block"),
        "else": {
            "if": has("call"),
            "then": to("call"),
            "else": {"if": has("type"), "then": layer, "else": begun},
        },
    }


def _block(layers: Classes) -> Schema:
    """Layers under a name of their own, once or repeated."""
    no_input = {"properties": {"type": {"not": {"enum": layers[Input]}}}}
    return {
        "title": "block",
        "description": "Layers that repeat, each repetition with weights of its own; without "
        "`repeat` a scope for names. Inside, `input` names what flows in.",
        "properties": {
            "repeat": {
                "description": "Number of repetitions, one after the other.",
                "type": ["integer", "null"],
                "minimum": 1,
            },
            "name": to("name"),
            "inputs": {
                "description": "The layer that flows in; by default the one before.",
                "if": {"type": "array"},
                "then": {"items": to("reference"), "minItems": 1, "maxItems": 1},
                "else": _REFERENCES["else"],
            },
            "layers": {**_entries("The layers of the block."), "items": to("entry") | no_input},
        },
        "required": ["layers"],
        "additionalProperties": False,
    }


def _call(layers: Iterable[type[Layer]]) -> Schema:
    """A further call of a layer."""
    return {
        "title": "call",
        "description": "A layer applied once more, with the same weights.",
        "properties": {
            "call": {"description": "Name of the layer.", "type": "string"},
            "name": to("name"),
            "inputs": to("references"),
            "masks": _masks({name for cls in layers for name in cls.takes_masks}),
            **dict.fromkeys(_options(layers), _OPTION),
        },
        "required": ["call"],
        "additionalProperties": False,
    }


def _options(layers: Iterable[type[Layer]]) -> list[str]:
    """The options that a call of any layer may have."""
    return sorted({option for cls in layers for option in cls.takes().options})


def _inner_layer(layers: Iterable[type[Layer]]) -> Schema:
    """A layer that another holds, which alone calls it."""
    ours = dict.fromkeys(("inputs", "masks", *_options(layers)), False)
    return {**to("layer"), "properties": ours}


def _masks(names: Iterable[str]) -> Schema:
    return {
        "description": "Layers whose outputs are the masks of this call, beside those that its "
        "inputs carry.",
        "type": ["object", "null"],
        "properties": {name: to("reference") for name in sorted(names)},
        "additionalProperties": False,
    }


def _layer(cls: type[Layer]) -> Schema:
    """The arguments of a layer, and what else its entry may say."""
    schema = arguments_schema(cls)
    properties: dict[str, Schema] = schema["properties"]
    general = arguments_of(Layer)
    for argument in arguments_of(cls):
        if argument in general:
            properties[argument.name] = to(f"argument.{argument.name}")
    suffix = "_initializer"
    weights = [name.removesuffix(suffix) for name in properties if name.endswith(suffix)]
    ignored = "activity_regularizer"
    if weights:
        ignored += f"|({'|'.join(weights)})_(regularizer|constraint)"
    properties["inputs"] = to("references")
    if cls.takes_masks:
        properties["masks"] = _masks(cls.takes_masks)
    properties |= dict.fromkeys(cls.takes().options, _OPTION)
    # Arguments of Keras that change no initial weight are accepted, but an editor offers none.
    return {**schema, "patternProperties": {f"^({ignored})$": True}}


def _network(cls: type[Network]) -> Schema:
    """The keys of a network within the model."""
    order = "The Input layers, in the order in which the network takes its inputs."
    return {
        "properties": {
            "name": to("argument.name"),
            "trainable": to("argument.trainable"),
            "layers": _entries("The layers of the network."),
            "outputs": {
                **to("references"),
                "description": "The layers whose outputs are the network's.",
            },
            "input_layers": {**to("references"), "description": order},
            "inputs": to("references"),
        },
        "required": ["layers"],
    }


def _names(known: Mapping[str, type[Any]]) -> dict[type[Any], list[str]]:
    """The names of each class, its own first, in alphabetical order."""
    names: dict[type[Any], list[str]] = {}
    for name, cls in known.items():
        names.setdefault(cls, []).append(name)
    return dict(sorted(names.items(), key=lambda each: each[1][0].lower()))
