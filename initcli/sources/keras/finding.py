"""Search for the Keras model in the data of a file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import msgspec

from initcli.activations import known_activations
from initcli.documents.document import Document, Origin, with_values
from initcli.documents.json_text import looks_like_json, parse_json
from initcli.errors import Path
from initcli.initializers import known_initializers
from initcli.layers import known_layers
from initcli.sources.keras.values import says_nothing

_PATHS: tuple[Path, ...] = (
    (),
    ("model_config",),
    ("modelTopology",),
    ("modelTopology", "model_config"),
)
"""Paths of a model in a file; TensorFlow.js wraps it."""
_STRUCTURE = frozenset(
    """class_name config keras_version inbound_nodes input_layers output_layers batch_input_shape
    batch_shape input_shape build_input_shape build_config model_config layers name""".split()  # noqa: SIM905
)
"""Keys in a file of a model that are not arguments of a layer."""
_CHOICES = ("data_format", "mode", "distribution", "merge_mode", "activation")
"""Arguments whose values TensorFlow.js writes in camelCase, like its keys."""


def model_in(document: Document) -> Document | None:
    """The Keras model in a document, if any.

    Its data is ``{"class_name": …, "config": …}``, with the version of Keras that the file names.
    A model may be nested in other data, be JSON in a string or the result of ``get_config()``, and
    have keys in camelCase.

    Raises:
        InvalidSpec: the file is a TensorFlow.js graph model, a string in it is not JSON, or a key
            occurs in both camelCase and snake_case.
    """
    _refuse_graph_model(document)
    for path in _PATHS:
        document = _decoded(document, path)
        data = _at(document.data, path)
        model = _model(data)
        if model is None:
            continue
        version = next(_versions(document.data, path), None)
        origins: dict[Path, Origin] = {(): Origin(document, path)}
        if _is_config(data):
            origins[("config",)] = Origin(document, path)
        if version is not None and "kerasVersion" not in model:
            model = {"keras_version": version, **model}
        return _in_snake_case(replace(document, data=model, origins=origins))
    return None


def _model(data: Any) -> dict[str, Any] | None:
    """The mapping of a model with the keys of Keras; None for other data."""
    if isinstance(data, Mapping):
        keys = {_snake_case(key) for key in data}
        if "class_name" in keys and "layers" not in keys:
            return dict(data)
    if _is_config(data):
        functional = isinstance(data, Mapping) and {"input_layers", "inputLayers"} & data.keys()
        return {"class_name": "Functional" if functional else "Sequential", "config": data}
    return None


def _is_config(data: Any) -> bool:
    """Whether data is the ``get_config()`` of a network: layers with their classes."""
    layers = data.get("layers") if isinstance(data, Mapping) else data
    if not isinstance(layers, list) or not layers or not isinstance(layers[0], Mapping):
        return False
    return bool({"class_name", "className"} & layers[0].keys())


def _versions(data: Any, path: Path) -> Iterator[Any]:
    """The versions of Keras that a file names, the one closest to the model first."""
    for length in range(len(path), -1, -1):
        holder = _at(data, path[:length])
        if isinstance(holder, Mapping):
            yield from (holder[key] for key in ("keras_version", "kerasVersion") if key in holder)


def _at(data: Any, path: Path) -> Any:
    for key in path:
        data = data.get(key) if isinstance(data, Mapping) else None
    return data


def _decoded(document: Document, path: Path) -> Document:
    """The document with the JSON string at a path decoded, if there is one."""
    text = _at(document.data, path)
    if not isinstance(text, str) or not looks_like_json(text):
        return document
    inner = parse_json(text, document.file)
    data = with_values(document.data, {path: inner.data})
    return replace(document, data=data, origins={(): Origin(document, ()), path: Origin(inner, ())})


def _refuse_graph_model(document: Document) -> None:
    data = document.data
    is_graph = isinstance(data, Mapping) and (
        data.get("format") == "graph-model"
        or isinstance(_at(data, ("modelTopology", "node")), list)
        or (isinstance(data.get("node"), list) and "versions" in data)
    )
    if is_graph:
        message = "a TensorFlow graph has no layers and no initializers, only operations"
        remedy = "name the original Keras model, as .keras or as the result of to_json()"
        raise document.refused(message, (), remedy)


def _in_snake_case(document: Document) -> Document:
    """The document with the keys of Keras in snake_case."""
    origins = dict(document.origins)
    count = len(origins)

    def named(value: Any, path: Path, source: Path) -> Any:
        if isinstance(value, list):
            return [named(each, (*path, i), (*source, i)) for i, each in enumerate(value)]
        if not isinstance(value, Mapping):
            return value
        result: dict[str, Any] = {}
        for key, each in value.items():
            own = _snake_case(key)
            if own in result:
                message = f"`{own}` occurs twice in this mapping, in camelCase and in snake_case"
                place = (*source, key)
                raise document.refused(message, place, "keep one of the two", at_key=True)
            if own != key:
                origins[(*path, own)] = document.origin((*source, key))
            if own in _CHOICES and isinstance(each, str):
                each = each if each in known_activations() else _separated(each)
            result[own] = named(each, (*path, own), (*source, key))
        return result

    data = named(document.data, (), ())
    return document if len(origins) == count else replace(document, data=data, origins=origins)


def _snake_case(key: str) -> str:
    """A key in snake_case if Keras has one of that name, otherwise unchanged."""
    separated = _separated(key)
    is_own = separated in _STRUCTURE or separated in _arguments() or says_nothing(separated)
    return separated if is_own else key


def _separated(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])[A-Z]", lambda match: f"_{match[0].lower()}", name)


@cache
def _arguments() -> frozenset[str]:
    classes: list[type[msgspec.Struct]] = [*known_layers().values(), *known_initializers().values()]
    return frozenset(name for cls in classes for name in cls.__struct_encode_fields__)
