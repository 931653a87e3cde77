"""Whole Keras models against Keras itself, from what tests/reference/make_*_facts.py wrote down."""

from __future__ import annotations

import copy
import gzip
import json
import random
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

import initcli
from initcli.spec.model import BuiltLayer

REFERENCE = Path(__file__).parent / "reference"
SAMPLES = Path(__file__).parents[1] / "sample_configs"


@cache
def models(keras: str) -> dict[str, Any]:
    raw = gzip.decompress((REFERENCE / f"{keras}_models.json.gz").read_bytes())
    found: dict[str, Any] = json.loads(raw)["models"]
    return found


def listed_layers(layers: tuple[BuiltLayer, ...]) -> list[dict[str, Any]]:
    """Layers as the facts list them, those of a nested model under their own names."""
    found = []
    for layer in layers:
        shapes = [list(shape) for shape in layer.output_shapes]
        entry: dict[str, Any] = {
            "name": layer.name.rpartition("/")[2],
            "type": layer.type,
            "output_shape": shapes[0] if len(shapes) == 1 else shapes,
            "params": layer.size,
        }
        if layer.layers:
            entry["layers"] = listed_layers(layer.layers)
        found.append(entry)
    return found


def listed_weights(model: initcli.Model) -> list[dict[str, Any]]:
    return [
        {
            "path": parameter.path,
            "shape": list(parameter.shape),
            "trainable": parameter.trainable,
            "dtype": parameter.dtype,
            "initializer": {
                "type": parameter.initializer.type_name,
                **plain(parameter.initializer.arguments),
            },
        }
        for parameter in model.parameters
    ]


def plain(arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments as JSON has them; Keras forgets the gain of an Identity, and draws a seed."""
    found = json.loads(msgspec.json.encode(arguments))
    return {key: value for key, value in found.items() if key not in ("seed", "gain")}


def without_gain(weights: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {**weight, "initializer": {k: v for k, v in weight["initializer"].items() if k != "gain"}}
        for weight in weights
    ]


# A layer of one's own has a weight that only its own code knows.
UNKNOWN = {"code_of_ones_own": ("own",)}


@pytest.mark.parametrize("name", sorted(models("keras3")))
def test_every_layer_and_every_weight_is_that_of_keras_3(name: str) -> None:
    fact = models("keras3")[name]
    unknown = UNKNOWN.get(name, ())
    model = initcli.parse(json.dumps(fact["json"]))
    layers = copy.deepcopy(fact["layers"])
    for layer in layers:
        layer["params"] = 0 if layer["name"] in unknown else layer["params"]
    assert listed_layers(model.layers) == layers
    weights = [w for w in fact["weights"] if w["path"].partition("/")[0] not in unknown]
    assert listed_weights(model) == without_gain(weights)
    assert bool(model.notes) == bool(unknown)
