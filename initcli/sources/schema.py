"""The JSON Schema of a spec for editors, made from the classes that a spec can name.

The ``type`` of a mapping decides which arguments it takes, by one ``if`` and ``then`` for each
class, so that a validator reports on the class that is meant and not on all others.
"""

from __future__ import annotations

import inspect
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from initcli.activations import Activation, known_activations
from initcli.initializers import Initializer, known_initializers
from initcli.layers import Layer, known_layers
from initcli.layers.core import Input, OwnWeight
from initcli.layers.network import Network
from initcli.sources.building import EDITOR_KEY, Spec
from initcli.sources.describe import choices, describe, written
from initcli.sources.extend import KEY as EXTENDS
from initcli.sources.graph import BASE
from initcli.types import arguments_of

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]
"""A JSON Schema as plain data."""
Classes = Mapping[type[Any], list[str]]
"""The names of each class, its own name first."""
_SHORT = 60
"""Characters up to which a definition is not longer than a reference to it."""


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
    definitions: dict[str, Schema] = {}
    for cls, names in layers.items():
        arguments = _network(cls) if issubclass(cls, Network) else _layer(cls)
        definitions[f"layer.{names[0]}"] = _class(cls, names, arguments)
    for kind, classes in (("initializer", initializers), ("activation", activations)):
        for cls, names in classes.items():
            definitions[f"{kind}.{names[0]}"] = _class(cls, names, _arguments(cls))
    return {
        "$schema": DIALECT,
        "title": "initcli spec",
        "description": "The layers of a network, and what their weights start with. A Keras "
        "model's own JSON, which initcli reads as well, is another format.",
        **_spec(),
        "$defs": {
            "entry": _entry(layers),
            "layer": _chosen_by_type("layer", layers),
            "layer_type": _type_names("layer", layers),
            "inner_layer": _inner_layer(layers),
            "block": _block(layers[Input]),
            "call": _call(layers),
            "name": _NAME,
            "references": _REFERENCES,
            "reference": _REFERENCE,
            "initializer": _initializer(initializers),
            "initializer_type": _type_names("initializer", initializers),
            "activation": _activation(activations),
            "activation_type": _type_names("activation", activations),
            **_shared_arguments(definitions),
            **definitions,
        },
    }


def _names(known: Mapping[str, type[Any]]) -> dict[type[Any], list[str]]:
    """The names of each class, its own first, in alphabetical order."""
    names: dict[type[Any], list[str]] = {}
    for name, cls in known.items():
        names.setdefault(cls, []).append(name)
    return dict(sorted(names.items(), key=lambda each: each[1][0].lower()))


def _shared_arguments(definitions: Mapping[str, Schema]) -> dict[str, Schema]:
    """Definitions of the arguments that several classes have, which then refer to them."""
    uses: defaultdict[str, list[Schema]] = defaultdict(list)
    for each in definitions.values():
        for name, one in each["properties"].items():
            uses[f"{name} {json.dumps(one)}"].append(each["properties"])
    shared: dict[str, Schema] = {}
    for key, users in uses.items():
        if len(users) > 1 and len(key) > _SHORT:
            name, _, text = key.partition(" ")
            number = sum(place.startswith(f"argument.{name}.") for place in shared)
            place = f"argument.{name}.{number}"
            shared[place] = json.loads(text)
            for properties in users:
                properties[name] = _to(place)
    return shared


# The parts of a spec


def _to(definition: str) -> Schema:
    """A reference to a definition of the schema."""
    return {"$ref": f"#/$defs/{definition}"}


def _doc(description: str, /, **rules: Any) -> Schema:
    return {"description": description, **rules}


def _only(properties: Schema, required: Iterable[str] = ()) -> Schema:
    """A mapping with these keys and no others."""
    needs = {"required": list(required)} if required else {}
    return {"properties": properties, **needs, "additionalProperties": False}


def _either_list(items: Schema, other: Schema) -> Schema:
    return {"if": {"type": "array"}, "then": items, "else": other}


_NAME = _doc(
    "Name of the layer or block; by default that of its type.",
    type=["string", "null"],
    minLength=1,
    pattern=r"^[^/\u0000-\u001f\u007f-\u009f]+$",
)
_ONE_OUTPUT: Schema = {
    "layer": _doc("Name of the layer.", type="string"),
    "output": _doc("Index of its output, from 0.", type="integer", minimum=0),
}
_REFERENCE = _doc(
    "The name of a layer, or one of a layer's several outputs.",
    anyOf=[{"type": "string"}, {"type": "object", **_only(_ONE_OUTPUT, _ONE_OUTPUT)}],
)
_ONE_REFERENCE: Schema = {"anyOf": [*_REFERENCE["anyOf"], {"type": "null"}]}
_REFERENCES = _doc(
    "The layer that flows in, or a list of them; by default the one before.",
    **_either_list({"items": _to("reference")}, _ONE_REFERENCE),
)
_OPTION = _doc("Of this call alone: true or false.", type="boolean")
_MARK = _doc("Whether its sizes stay those of the base model in a sweep of widths.", type="boolean")
_REPEAT = _doc("Number of repetitions, one after the other.", type=["integer", "null"], minimum=1)
_CALL = _doc("Name of the layer.", type="string")


def _entries(description: str) -> Schema:
    return _doc(description, type="array", minItems=1, items=_to("entry"))


def _spec() -> Schema:
    """A spec: its keys, of which it needs ``layers`` unless it extends another spec."""
    keys = _arguments(Spec)
    own = keys["properties"] | {
        "layers": _doc(
            "The layers, each taking the output of the one before unless it names its inputs.",
            type="array",
            items=_to("entry"),
        ),
        "outputs": _doc(
            "The layers whose outputs are the model's; by default those that no layer takes.",
            **_to("references"),
        ),
        "initializers": _doc(
            "Recipes: an initializer for each name of your own.",
            type="object",
            propertyNames={"not": {"enum": sorted(known_initializers())}},
            additionalProperties=_to("initializer"),
        ),
        EDITOR_KEY: _doc("The schema, for an editor.", type="string"),
        EXTENDS: _doc(
            "Path of another spec or Keras file, whose layers come first.",
            type="string",
            minLength=1,
        ),
    }
    return {
        "type": "object",
        **_only(own),
        "if": {"not": {"required": [EXTENDS]}},
        "then": {"required": keys["required"], "properties": {"layers": {"minItems": 1}}},
    }


def _entry(layers: Classes) -> Schema:
    """An entry of ``layers``: a block, a further call of a layer, or a layer."""
    merging = [name for cls, names in layers.items() if cls.merges for name in names]
    layer = {
        **_to("layer"),
        "properties": {"name": _to("name")},
        "if": {"properties": {"type": _one_of(merging)}},
        "then": {"properties": {"inputs": {"not": {"type": "null"}}}, "required": ["inputs"]},
    }
    # For an entry without any key yet, an editor offers the keys that decide what it is.
    begun = {"type": _to("layer_type"), "repeat": _REPEAT, "call": _CALL}
    return {
        "description": "A layer, a block of layers, or a further call of a layer.",
        "type": "object",
        "if": {"anyOf": [_has("repeat"), {**_has("layers"), "not": _has("type")}]},
        "then": _to("block"),
        "else": {
            "if": _has("call"),
            "then": _to("call"),
            "else": {
                "if": _has("type"),
                "then": layer,
                "else": {"properties": begun, "required": ["type"]},
            },
        },
    }


def _block(inputs: list[str]) -> Schema:
    """Layers under a name of their own, once or repeated; none is one of the ``inputs``."""
    no_input = {"properties": {"type": {"not": {"enum": inputs}}}}
    first = {"items": _to("reference"), "minItems": 1, "maxItems": 1}
    keys = {
        "repeat": _REPEAT,
        "name": _to("name"),
        "inputs": _doc(
            "The layer that flows in; by default the one before.",
            **_either_list(first, _ONE_REFERENCE),
        ),
        BASE: _MARK,
        "layers": {**_entries("The layers of the block."), "items": _to("entry") | no_input},
    }
    return {
        "title": "block",
        "description": "Layers that repeat, each repetition with weights of its own; without "
        "`repeat` a scope for names. Inside, `input` names what flows in.",
        **_only(keys, ["layers"]),
    }


def _call(layers: Iterable[type[Layer]]) -> Schema:
    keys = {
        "call": _CALL,
        "name": _to("name"),
        "inputs": _to("references"),
        "masks": _masks({name for cls in layers for name in cls.takes_masks}),
        **dict.fromkeys(_options(layers), _OPTION),
    }
    description = "A layer applied once more, with the same weights."
    return {"title": "call", "description": description, **_only(keys, ["call"])}


def _inner_layer(layers: Classes) -> Schema:
    """A layer that is an argument of another."""
    refused = dict.fromkeys(("inputs", "masks", BASE, *_options(layers)), False)
    return {**_to("layer"), "properties": refused}


def _options(layers: Iterable[type[Layer]]) -> list[str]:
    return sorted({name for cls in layers for name in cls.takes().options})


def _masks(names: Iterable[str]) -> Schema:
    return _doc(
        "Layers whose outputs are the masks of this call, beside those that its inputs carry.",
        type=["object", "null"],
        **_only({name: _to("reference") for name in sorted(names)}),
    )


def _layer(cls: type[Layer]) -> Schema:
    """The arguments of a layer, and what else its entry may say."""
    schema = _arguments(cls)
    properties: dict[str, Schema] = schema["properties"]
    suffix = "_initializer"
    weights = [name.removesuffix(suffix) for name in properties if name.endswith(suffix)]
    ignored = "activity_regularizer"
    if weights:
        ignored += f"|({'|'.join(weights)})_(regularizer|constraint)"
    properties["inputs"] = _to("references")
    properties[BASE] = _MARK
    if cls.takes_masks:
        properties["masks"] = _masks(cls.takes_masks)
    properties |= dict.fromkeys(cls.takes().options, _OPTION)
    # Arguments of Keras that change no initial weight are accepted, but an editor offers none.
    return {**schema, "patternProperties": {f"^({ignored})$": True}}


def _network(cls: type[Network]) -> Schema:
    """The keys of a network within the model."""
    general = _arguments(Layer)["properties"]
    order = "The Input layers, in the order in which the network takes its inputs."
    return {
        "properties": {
            "name": general["name"],
            "trainable": general["trainable"],
            "layers": _entries("The layers of the network."),
            "outputs": _doc("The layers whose outputs are the network's.", **_to("references")),
            "input_layers": _doc(order, **_to("references")),
            "inputs": _to("references"),
            BASE: _MARK,
        },
        "required": ["layers"],
    }


# Classes, their names, and their arguments


def _initializer(classes: Classes) -> Schema:
    function = _doc("Name of a function of --custom.", type="string")
    return _doc(
        "An initializer: its name, that of a recipe or of a function of --custom, or a mapping "
        "with its `type` and arguments.",
        # Any text is valid; the known names are listed for an editor to offer.
        anyOf=[
            *_names_without_arguments(classes),
            {"type": ["string", "null"]},
            {
                "if": {**_has("function"), "maxProperties": 1},
                "then": {"properties": {"function": function}},
                "else": _chosen_by_type("initializer", classes),
            },
        ],
    )


def _activation(classes: Classes) -> Schema:
    mapping = _chosen_by_type("activation", classes)
    return _doc(
        "An activation: its name, or a mapping with its `type` and arguments.",
        anyOf=[*_names_without_arguments(classes), {"type": "null"}, mapping],
    )


def _names_without_arguments(classes: Classes) -> list[Schema]:
    """The names of the classes that need no argument."""
    return _constants({cls: names for cls, names in classes.items() if _needs_none(cls)})


def _needs_none(cls: type[msgspec.Struct]) -> bool:
    return not any(argument.required for argument in arguments_of(cls))


def _constants(classes: Classes) -> list[Schema]:
    """The names of classes, each with the description that an editor shows beside it."""
    return [_doc(_title(cls), const=name) for cls, names in classes.items() for name in names]


def _chosen_by_type(kind: str, classes: Classes) -> Schema:
    """A mapping whose ``type`` says which class's arguments it takes."""
    chosen = [
        {"if": {"properties": {"type": _one_of(names)}}, "then": _to(f"{kind}.{names[0]}")}
        for names in classes.values()
    ]
    return {
        "type": "object",
        "properties": {"type": _to(f"{kind}_type")},
        "required": ["type"],
        "if": _has("type"),
        "then": {"allOf": chosen},
    }


def _type_names(kind: str, classes: Classes) -> Schema:
    return _doc(f"The type of {kind}.", anyOf=_constants(classes))


def _class(cls: type[msgspec.Struct], names: list[str], arguments: Schema) -> Schema:
    own_type = {"type": _doc(_title(cls), **_one_of(names))}
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


def _arguments(cls: type[msgspec.Struct]) -> Schema:
    """The arguments of a class, its own before those it inherits."""
    properties: dict[str, Schema] = {}
    for argument in arguments_of(cls):
        takes = describe(argument.type)
        description = f"{argument.description} {takes[0].upper()}{takes[1:]}.".lstrip()
        properties[argument.name] = _doc(description, **_value(argument.type))
        if not argument.required:
            properties[argument.name]["default"] = written(argument.default)
    required = [argument.name for argument in arguments_of(cls) if argument.required]
    return {"properties": properties, **({"required": required} if required else {})}


_LAYER = _to("inner_layer")
_LAYERS: Schema = {"type": "array", "items": _LAYER}
_NAMED: dict[Any, Schema] = {
    Initializer: _to("initializer"),
    Initializer | None: _to("initializer"),
    Activation: _to("activation"),
    Layer: _LAYER,
    Layer | None: {"if": {"not": {"type": "null"}}, "then": _LAYER},
    tuple[Layer, ...]: _LAYERS,
    Layer | tuple[Layer, ...]: _either_list(_LAYERS, _LAYER),
}


def _value(type_: Any) -> Schema:
    if type_ in _NAMED:
        return _NAMED[type_]
    if type_ == tuple[OwnWeight, ...]:
        own = {"type": "object", **_arguments(OwnWeight), "additionalProperties": False}
        return {"type": "array", "items": own}
    schema = msgspec.json.schema(type_)
    if not (texts := choices(type_)):
        return schema
    either = "|".join(
        "".join(f"[{c}{c.upper()}]" if c.isalpha() else re.escape(c) for c in text)
        for text in texts
    )
    # Keras takes "SAME" for "same".
    return {"anyOf": [schema, {"type": "string", "pattern": f"^({either})$"}]}


def _one_of(names: Iterable[str]) -> Schema:
    # An editor shows an `enum` to whoever points at the value.
    return {"anyOf": [{"const": name} for name in names]}


def _has(key: str) -> Schema:
    return {"type": "object", "required": [key]}
