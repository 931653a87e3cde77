"""Whole Keras models against Keras itself, from what tests/reference/make_*_facts.py wrote down."""

from __future__ import annotations

import copy
import json
from typing import Any

import msgspec
import pytest

import initcli
from initcli.model import BuiltLayer
from support.keras_models import models


def listed_layers(layers: tuple[BuiltLayer, ...], within: str = "") -> list[dict[str, Any]]:
    """Layers as the facts list them, those of a nested model under their own names."""
    found = []
    for layer in layers:
        shapes = [list(shape) for shape in layer.output_shapes]
        entry: dict[str, Any] = {
            "name": layer.name.removeprefix(within),
            "type": layer.type,
            "output_shape": shapes[0] if len(shapes) == 1 else shapes,
            "params": layer.size,
        }
        if layer.layers:
            entry["layers"] = listed_layers(layer.layers, f"{layer.name}/")
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
        {
            **weight,
            "initializer": {k: v for k, v in (weight["initializer"] or {}).items() if k != "gain"},
        }
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


# What Keras 3 has no longer, what only an author's code knows, what a file of Keras 2 leaves out.
NO_LONGER = {
    "conv_family": ("locally_connected1d",),
    "custom_layers": ("scale", "unregistered"),
    "leaky_and_friends": (
        "locally_connected2d",
        "spectral_normalization",
        "sync_batch_normalization",
    ),
    "nested": ("inner",),
    "siamese_lambda": ("twice",),
    "tf_operations": ("tf.einsum",),
    # Keras 3 takes the sizes of an EinsumDense as they are given, and so do those after it.
    "einsum_rnn_wrappers": ("einsum_dense", "bidirectional", "rnn"),
}


def of_keras_3(weight: dict[str, Any]) -> dict[str, Any]:
    """A weight of Keras 2 as Keras 3 has it: renamed, recounted, or its cell not numbered."""
    path, initializer = weight["path"], weight["initializer"]
    if "separable" not in path:
        path = path.replace("/depthwise_kernel", "/kernel")
    if initializer and initializer["type"] == "bias_initializer":
        initializer = {"type": "Zeros", "unit_forget_bias": True}
    dtype = "int32" if weight["dtype"] == "int64" else weight["dtype"]
    return {**weight, "path": path, "dtype": dtype, "initializer": initializer}


@pytest.mark.parametrize("name", sorted(set(models("keras2")) - {"custom_initializer"}))
def test_every_layer_and_every_weight_is_that_of_keras_2(name: str) -> None:
    fact = models("keras2")[name]
    unknown = NO_LONGER.get(name, ())
    model = initcli.parse(json.dumps(fact["json"]))
    layers = [{key: layer[key] for key in layer if key != "layers"} for layer in fact["layers"]]
    mine = [
        {k: v for k, v in each.items() if k != "layers"} for each in listed_layers(model.layers)
    ]
    assert [each["name"] for each in mine] == [each["name"] for each in layers]
    for layer, each in zip(layers, mine, strict=True):
        assert each == layer or layer["name"] in unknown
    # Keras 2 lists the weights that are not trained where they were made, and not at the end.
    found = {weight["path"]: weight for weight in listed_weights(model)}
    for weight in without_gain([of_keras_3(weight) for weight in fact["weights"]]):
        if weight["path"].partition("/")[0] not in unknown and weight["initializer"]:
            assert found.get(weight["path"]) == weight
