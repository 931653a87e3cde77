"""A JSON Schema of the spec, made of the classes of all that it can name, for editors."""

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
from initcli.sources.describe import describe
from initcli.sources.extend import KEY as EXTENDS
from initcli.types import arguments_of

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_text(*, ascii_only: bool = False) -> str:
    """The schema as an indented JSON text; the same classes always give the same text."""
    return json.dumps(schema(), indent=2, ensure_ascii=ascii_only) + "\n"


def schema() -> Schema:
    """The JSON Schema of a spec, in the dialect of 2020-12, as plain data.

    It holds what can be said of data by its shape: which keys a mapping has and what values they
    take. Whether layers fit one another, only reading the spec can tell.

    >>> import initcli
    >>> initcli.schema()["$schema"]
    'https://json-schema.org/draft/2020-12/schema'
    """
    layers = _names(known_layers())
    initializers = _names(known_initializers())
    activations = _names(known_activations())
    definitions: dict[str, Schema] = {
        "entry": _entry(layers),
        "layer": chosen_by_type("layer", layers),
        "layer_type": type_names("layer", layers),
        "inner_layer": _inner_layer(layers),
        "block": _block(layers),
        "call": _call(layers),
        "name": _name(),
        "references": _references(),
        "reference": _reference(),
        "initializer": initializer_schema(initializers),
        "initializer_type": type_names("initializer", initializers),
        "activation": activation_schema(activations),
        "activation_type": type_names("activation", activations),
        **{
            f"argument.{name}": each for name, each in arguments_schema(Layer)["properties"].items()
        },
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


def _spec() -> Schema:
    """A spec: its keys, of which it needs ``layers`` unless it extends another spec."""
    keys = arguments_schema(Spec)
    own = keys["properties"]
    own["layers"] = {
        "description": "the layers, each taking what comes out of the one before unless it says "
        "otherwise",
        "type": "array",
        "items": to("entry"),
    }
    own["outputs"] = {
        "description": "the layers whose outputs are the model's; those that nobody takes, when "
        "absent",
        **to("references"),
    }
    own["initializers"] = {
        "description": "recipes: an initializer for each name of your own",
        "type": "object",
        "propertyNames": {"not": {"enum": sorted(known_initializers())}},
        "additionalProperties": to("initializer"),
    }
    extends = {
        "description": "another spec, or a Keras model's file, whose layers come first",
        "type": "string",
        "minLength": 1,
    }
    return {
        "type": "object",
        "properties": {**own, EXTENDS: extends},
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
        "then": {
            "properties": {"inputs": {"not": {"type": "null"}}},
            "required": ["inputs"],
        },
    }
    # Nothing is there yet that says what it will be: an editor offers all that can.
    begun = {
        "properties": {
            "type": to("layer_type"),
            "repeat": _block(layers)["properties"]["repeat"],
            "call": _call(layers)["properties"]["call"],
        },
        "required": ["type"],
    }
    return {
        "description": "a layer, a block of layers, or a further call of a layer",
        "type": "object",
        "if": {
            "anyOf": [
                has("repeat"),
                {**has("layers"), "not": has("type")},
            ]
        },
        "then": to("block"),
        "else": {
            "if": has("call"),
            "then": to("call"),
            "else": {"if": has("type"), "then": layer, "else": begun},
        },
    }


def _block(layers: Classes) -> Schema:
    """Layers under a name of their own, once or repeated."""
    reference = to("reference")
    return {
        "title": "block",
        "description": "Layers that repeat, each repetition with weights of its own; without "
        "`repeat` just a scope. Inside, `input` is what flows in.",
        "properties": {
            "repeat": {
                "description": "how many times the layers stand one after the other",
                "type": ["integer", "null"],
                "minimum": 1,
            },
            "name": to("name"),
            "inputs": {
                "description": "the layer that flows in; the one before, when absent",
                "if": {"type": "array"},
                "then": {"items": reference, "minItems": 1, "maxItems": 1},
                "else": {"anyOf": [*_reference()["anyOf"], {"type": "null"}]},
            },
            "layers": {
                "description": "the layers of the block",
                "type": "array",
                "minItems": 1,
                "items": {
                    **to("entry"),
                    "properties": {"type": {"not": {"enum": layers[Input]}}},
                },
            },
        },
        "required": ["layers"],
        "additionalProperties": False,
    }


def _call(layers: Iterable[type[Layer]]) -> Schema:
    """One more call of a layer."""
    return {
        "title": "call",
        "description": "A layer that is there already, applied once more with the same weights.",
        "properties": {
            "call": {"description": "the name of the layer", "type": "string"},
            "name": to("name"),
            "inputs": to("references"),
            "masks": _masks({name for cls in layers for name in cls.takes_masks}),
            **{option: _option() for option in _options(layers)},
        },
        "required": ["call"],
        "additionalProperties": False,
    }


def _option() -> Schema:
    return {"description": f"of this call alone: {describe(bool)}", "type": "boolean"}


def _options(layers: Iterable[type[Layer]]) -> list[str]:
    """The options that a call of any layer may have."""
    return sorted({option for cls in layers for option in cls.takes().options})


def _inner_layer(layers: Iterable[type[Layer]]) -> Schema:
    """A layer that another holds, which is called by that one alone."""
    ours = dict.fromkeys(("inputs", "masks", *_options(layers)), False)
    return {**to("layer"), "properties": ours}


def _name() -> Schema:
    return {
        "description": "what this is called; after its type where it has no name",
        "type": ["string", "null"],
        "minLength": 1,
        "pattern": r"^[^/\u0000-\u001f\u007f-\u009f]+$",
    }


def _references() -> Schema:
    return {
        "description": "the layer that flows in, or a list of them; the one before, when absent",
        "if": {"type": "array"},
        "then": {"items": to("reference")},
        "else": {"anyOf": [*_reference()["anyOf"], {"type": "null"}]},
    }


def _reference() -> Schema:
    return {
        "description": "the name of a layer, or one of a layer's several outputs",
        "anyOf": [
            {"type": "string"},
            {
                "type": "object",
                "properties": {
                    "layer": {"description": "the name of a layer", "type": "string"},
                    "output": {
                        "description": "which of its outputs, from 0",
                        "type": "integer",
                        "minimum": 0,
                    },
                },
                "required": ["layer", "output"],
                "additionalProperties": False,
            },
        ],
    }


def _masks(names: Iterable[str]) -> Schema:
    return {
        "description": "which layer's output is which mask of this call, beside those that its "
        "inputs carry",
        "type": ["object", "null"],
        "properties": {name: to("reference") for name in sorted(names)},
        "additionalProperties": False,
    }


def _layer(cls: type[Layer]) -> Schema:
    """The arguments of a layer, and what else an entry may say of one."""
    arguments = arguments_schema(cls)
    taken: dict[str, Schema] = arguments["properties"]
    general = arguments_of(Layer)
    for argument in arguments_of(cls):
        if argument in general:
            taken[argument.name] = to(f"argument.{argument.name}")
    weights = [name.removesuffix("_initializer") for name in taken if name.endswith("_initializer")]
    silent = "activity_regularizer"
    if weights:
        silent += f"|({'|'.join(weights)})_(regularizer|constraint)"
    taken["inputs"] = to("references")
    if cls.takes_masks:
        taken["masks"] = _masks(cls.takes_masks)
    for option in cls.takes().options:
        taken[option] = _option()
    # Keras's, which change nothing here: they are accepted, and no editor need offer them.
    return {**arguments, "patternProperties": {f"^({silent})$": True}}


def _network(cls: type[Network]) -> Schema:
    """What the mapping of a network within the model may hold."""
    return {
        "properties": {
            "name": to("argument.name"),
            "trainable": to("argument.trainable"),
            "layers": {
                "description": "the layers of the network",
                "type": "array",
                "minItems": 1,
                "items": to("entry"),
            },
            "outputs": {
                "description": "the layers whose outputs are the network's",
                **to("references"),
            },
            "input_layers": {
                "description": "its Input layers, in the order in which it takes its inputs",
                **to("references"),
            },
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
