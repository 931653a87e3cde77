"""Variants of a spec: the same layers with another argument in every layer that takes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from initcli.documents.document import Document
from initcli.layers import known_layers

KERNELS = ("kernel_initializer", "depthwise_initializer", "pointwise_initializer")
"""The arguments that name how a layer's main weights start."""
_KEPT = ("linear", "softmax", "log_softmax")
"""Activations that no other takes the place of."""
_ACTIVATING = ("ReLU", "LeakyReLU", "ELU", "PReLU")
"""Layers that are an activation by themselves."""


def combinations(options: Mapping[str, Sequence[str]]) -> list[dict[str, str]]:
    """One value of each option, in every combination."""
    names = [name for name, values in options.items() if values]
    return [
        dict(zip(names, values, strict=True))
        for values in product(*(options[name] for name in names))
    ]


def varied(
    document: Document, *, kernel: str | None = None, activation: str | None = None
) -> Document:
    """The document with that initializer of kernels, and that activation, in all layers.

    The activations of the last layer, softmax and none at all stay as they are.
    """
    data = document.data
    if not isinstance(data, Mapping) or not isinstance(data.get("layers"), list):
        return document
    layers = data["layers"]
    if kernel is not None:
        layers = [_with_kernel(entry, kernel) for entry in layers]
    if activation is not None:
        layers = [*(_with_activation(entry, activation) for entry in layers[:-1]), *layers[-1:]]
    return replace(document, data={**data, "layers": layers})


def _within(entry: Mapping[str, Any], change: Any) -> dict[str, Any]:
    """The entry with all layers within it changed."""
    found = dict(entry)
    for key in ("layer", "backward_layer", "cell"):
        if isinstance(found.get(key), Mapping):
            found[key] = change(found[key])
    for key in ("layers", "cells", "cell"):
        if isinstance(found.get(key), list):
            found[key] = [change(inner) for inner in found[key]]
    return found


def _with_kernel(entry: Any, kernel: str) -> Any:
    if not isinstance(entry, Mapping):
        return entry
    found = _within(entry, lambda inner: _with_kernel(inner, kernel))
    for argument in KERNELS:
        if argument in _fields(entry):
            found[argument] = kernel
    return found


def _with_activation(entry: Any, activation: str) -> Any:
    if not isinstance(entry, Mapping):
        return entry
    found = _within(entry, lambda inner: _with_activation(inner, activation))
    given = entry.get("activation")
    name = given.get("type") if isinstance(given, Mapping) else given
    if entry.get("type") in _ACTIVATING:
        kept = {key: value for key, value in entry.items() if key in ("name", "inputs")}
        return {"type": "Activation", "activation": activation, **kept}
    if "activation" in _fields(entry) and name is not None and name not in _KEPT:
        found["activation"] = activation
    return found


def _fields(entry: Mapping[str, Any]) -> tuple[str, ...]:
    kind = entry.get("type")
    cls = known_layers().get(kind) if isinstance(kind, str) else None
    return () if cls is None else cls.__struct_fields__
