"""Models within models and frozen layers of Keras files, against what Keras makes of them."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

import initcli
from initcli.errors import InvalidSpec
from support.paths import facts


def models(keras: str) -> dict[str, Any]:
    known: dict[str, Any] = facts("nested_models.json.gz")[keras]
    return known


def every(of: str) -> list[tuple[str, str]]:
    versions = facts("nested_models.json.gz")
    return [(v, name) for v in sorted(versions) for name, f in versions[v].items() if of in f]


def weights(data: Any) -> list[tuple[tuple[int, ...], bool]]:
    """The shapes of a model's weights, and which are trained; Keras 2 has another order."""
    return sorted((p.shape, p.trainable) for p in initcli.parse(json.dumps(data)).parameters)


@pytest.mark.parametrize(("keras", "name"), every("weights"))
def test_a_model_of_models_has_the_weights_that_it_has_in_keras(keras: str, name: str) -> None:
    fact = models(keras)[name]
    expected = sorted((tuple(w["shape"]), w["trainable"]) for w in fact["weights"])
    assert weights(fact["json"]) == expected


@pytest.mark.parametrize(("keras", "name"), every("frozen"))
def test_what_one_flag_freezes_is_what_it_freezes_in_keras(keras: str, name: str) -> None:
    fact = models(keras)[name]
    assert fact["frozen"]
    for place, trained in fact["frozen"]:
        data = copy.deepcopy(fact["json"])
        at = data
        for key in place:
            at = at[key]
        at["trainable"] = False
        found = weights(data)
        assert [list(shape) for shape, is_trained in found if is_trained] == sorted(trained), place
        assert [list(shape) for shape, _ in found] == sorted(w["shape"] for w in fact["weights"])


# What the facts do not say


def dense(units: int, **config: Any) -> dict[str, Any]:
    return {"class_name": "Dense", "config": {"name": f"dense_{units}", "units": units, **config}}


def stack(*layers: Any, **config: Any) -> dict[str, Any]:
    return {"class_name": "Sequential", "config": {"name": "stack", "layers": layers, **config}}


def functional(name: str, shape: list[int | None]) -> dict[str, Any]:
    given = {"class_name": "InputLayer", "name": "x", "config": {"batch_shape": shape}}
    layers = [{**given, "inbound_nodes": []}, {**dense(5), "name": "y"}]
    layers[1]["inbound_nodes"] = [[["x", 0, 0, {}]]]
    ends = {"input_layers": [["x", 0, 0]], "output_layers": [["y", 0, 0]]}
    return {"class_name": "Model", "config": {"name": name, "layers": layers, **ends}}


SHAPE = [None, 8]
FIRST = {
    "batch_input_shape": stack(dense(5, batch_input_shape=SHAPE)),
    "batch_shape": stack(dense(5, batch_shape=SHAPE)),
    "an InputLayer": stack(
        {"class_name": "InputLayer", "config": {"name": "x", "batch_shape": SHAPE}}, dense(5)
    ),
    "build_input_shape": stack(dense(5), build_input_shape=SHAPE),
    "build_config": {**stack(dense(5)), "build_config": {"input_shape": SHAPE}},
    "a Functional's Input": functional("inner", SHAPE),
    "one within another": stack(stack(functional("inner", SHAPE))),
    "a list of layers alone": {"class_name": "Sequential", "config": [dense(5, batch_shape=SHAPE)]},
}


@pytest.mark.parametrize("says", FIRST)
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_first_layer_says_what_flows_in_however_deep_it_is(says: str, depth: int) -> None:
    data = FIRST[says]
    for _ in range(depth):
        data = stack(data, dense(2))
    sizes = [8 * 5 + 5, 5 * 2 + 2, *[2 * 2 + 2] * (depth - 1)]
    model = initcli.parse(json.dumps({"keras_version": "2.15.0", **data}))
    assert sum(parameter.size for parameter in model.parameters) == sum(sizes)


def test_what_takes_token_ids_is_fed_with_whole_numbers() -> None:
    ids = {"name": "x", "batch_shape": [None, 8], "dtype": "int32"}
    table = {"class_name": "Embedding", "config": {"name": "e", "input_dim": 9, "output_dim": 4}}
    inner = stack({"class_name": "InputLayer", "config": ids}, table)
    outer = initcli.parse(json.dumps(stack(inner, dense(2))))
    assert str(outer.network.layers[0].dtype) == "int32"


def test_a_first_layer_that_takes_several_inputs_says_no_shape() -> None:
    inner = functional("inner", SHAPE)
    inner["config"]["input_layers"].append(["x", 0, 0])
    with pytest.raises(InvalidSpec, match="does not give the shape of its input"):
        initcli.parse(json.dumps(stack(inner, dense(2))))


def test_a_call_that_nobody_makes_is_named() -> None:
    data = copy.deepcopy(models("3.15.1")["code_as_an_output"]["json"])
    data["config"]["output_layers"][0][1] = 7
    with pytest.raises(InvalidSpec, match="'decoder' is called once here"):
        initcli.parse(json.dumps(data))


def test_a_flag_that_freezes_nothing_is_noted() -> None:
    said = "trainable is false, but Keras does not apply that to the layers inside"
    for name, place in (("attention", 0), ("both_ways", 0), ("steps", 0), ("convolved", 1)):
        data = copy.deepcopy(models("3.15.1")[name]["json"])
        layer = data["config"]["layers"][place + 1]
        layer["config"]["trainable"] = False
        (note,) = initcli.parse(json.dumps(data)).notes
        assert note.startswith(f"'{layer['name']}': {said}")
    assert not initcli.parse(json.dumps(models("3.15.1")["frozen_base"]["json"])).notes


@pytest.mark.parametrize("name", ["steps_of_steps", "steps_of_a_stack", "cells", "stacked"])
def test_a_flag_that_stands_on_all_layers_is_not_noted(name: str) -> None:
    data = copy.deepcopy(models("3.15.1")[name]["json"])

    def freeze(value: Any) -> None:
        for each in value.values() if isinstance(value, dict) else value:
            if isinstance(each, dict | list):
                freeze(each)
        if isinstance(value, dict) and "trainable" in value:
            value["trainable"] = False

    freeze(data["config"]["layers"])
    model = initcli.parse(json.dumps(data))
    assert not any(parameter.trainable for parameter in model.parameters)
    assert not model.notes


def test_frozen_in_a_spec_of_ones_own_freezes_what_it_holds() -> None:
    inner = "{type: Sequential, trainable: false, layers: [{type: Dense, units: 3}]}"
    wrapped = "{type: TimeDistributed, trainable: false, layer: {type: Dense, units: 2}}"
    both = "{type: Bidirectional, trainable: false, layer: {type: LSTM, units: 2}}"
    head = "{type: Dense, units: 1}"
    text = f"input_shape: [5, 6]\nlayers: [{inner}, {wrapped}, {both}, {head}]"
    model = initcli.parse(text)
    assert [p.path for p in model.parameters if p.trainable] == ["dense/kernel", "dense/bias"]
