"""Forms in which a Keras model reaches people: wrapped, encoded twice, in camelCase, as YAML."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import initcli

MODEL: dict[str, Any] = {
    "class_name": "Sequential",
    "keras_version": "2.15.0",
    "config": {
        "name": "model",
        "layers": [
            {
                "class_name": "InputLayer",
                "config": {"batch_input_shape": [None, 9, 4], "dtype": "float32", "name": "given"},
            },
            {
                "class_name": "Conv1D",
                "config": {
                    "name": "conv",
                    "filters": 5,
                    "kernel_size": [3],
                    "data_format": "channels_last",
                    "activation": "hard_sigmoid",
                    "use_bias": False,
                    "kernel_initializer": {
                        "class_name": "VarianceScaling",
                        "config": {"scale": 2.0, "mode": "fan_out", "distribution": "uniform"},
                    },
                },
            },
            {"class_name": "Flatten", "config": {"name": "flat"}},
            {"class_name": "Dense", "config": {"name": "dense", "units": 2}},
        ],
    },
}


def tensors(text: str) -> list[tuple[Any, ...]]:
    model = initcli.parse(text)
    return [(p.path, p.shape, p.initializer) for p in model.parameters]


def in_camel_case(value: Any) -> Any:
    """Keys, and the names that TensorFlow.js writes so, in camelCase."""
    if isinstance(value, list):
        return [in_camel_case(each) for each in value]
    if not isinstance(value, dict):
        return value
    found = {}
    for key, each in value.items():
        renamed = re.sub("_([a-z])", lambda m: m[1].upper(), key)
        if isinstance(each, str) and key not in ("name", "class_name"):
            each = re.sub("_([a-z])", lambda m: m[1].upper(), each)
        found[renamed] = in_camel_case(each)
    return found


def model_yaml(data: Any) -> str:
    """What ``to_yaml()`` wrote, with its tuples and, from Python 2, its texts."""
    text = yaml.safe_dump(data)
    text = text.replace("kernel_size:\n", "kernel_size: !!python/tuple\n")
    text = text.replace("batch_input_shape:\n", "batch_input_shape: !!python/tuple\n")
    return text.replace("name: conv\n", "name: !!python/unicode 'conv'\n")


FORMS: dict[str, Callable[[], str]] = {
    "encoded twice": lambda: json.dumps(json.dumps(MODEL)),
    "model_config": lambda: json.dumps({"model_config": MODEL, "training_config": None}),
    "model_config as text": lambda: json.dumps({"model_config": json.dumps(MODEL)}),
    "TensorFlow.js": lambda: json.dumps(
        {"format": "layers-model", "modelTopology": {"model_config": MODEL, "backend": "x"}}
    ),
    "TensorFlow.js, all as texts": lambda: json.dumps(
        {"modelTopology": json.dumps({"model_config": json.dumps(MODEL)})}
    ),
    "camelCase": lambda: json.dumps(in_camel_case(MODEL)),
    "camelCase within TensorFlow.js": lambda: json.dumps(
        {"modelTopology": {"model_config": in_camel_case(MODEL)}}
    ),
    "get_config": lambda: json.dumps(MODEL["config"]),
    "a list of layers, as get_config of Keras 2.0": lambda: json.dumps(MODEL["config"]["layers"]),
    "to_yaml": lambda: yaml.safe_dump(MODEL),
    "to_yaml with tuples": lambda: model_yaml(MODEL),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_model_is_read_in_any_form(form: str) -> None:
    assert tensors(FORMS[form]()) == tensors(json.dumps(MODEL))
    assert "3, 4, 5" in str(tensors(json.dumps(MODEL)))


def test_a_functional_model_in_camel_case_keeps_the_names_of_its_layers() -> None:
    layers = [
        {
            "name": "myInput",
            "class_name": "InputLayer",
            "config": {"batch_input_shape": [None, 3], "name": "myInput"},
            "inbound_nodes": [],
        },
        {
            "name": "myDense",
            "class_name": "Dense",
            "config": {"units": 2, "name": "myDense", "use_bias": False},
            "inbound_nodes": [[["myInput", 0, 0, {}]]],
        },
    ]
    ends = {"input_layers": [["myInput", 0, 0]], "output_layers": [["myDense", 0, 0]]}
    config = {"name": "m", "layers": layers, **ends}
    text = json.dumps(in_camel_case({"class_name": "Functional", "config": config}))
    assert [(path, shape) for path, shape, _ in tensors(text)] == [("myDense/kernel", (3, 2))]
    assert tensors(json.dumps(in_camel_case(config))) == tensors(text)


def test_keys_in_camel_case_that_say_nothing_need_no_word() -> None:
    silent = {"kernel_regularizer": None, "activity_regularizer": None, "bias_constraint": None}
    config = {"units": 2, "name": "d", "batch_input_shape": [None, 3], "time_major": False}
    dense = {"class_name": "Dense", "config": {**config, **silent}}
    data = {"class_name": "Sequential", "keras_version": "2.15.0", "config": {"layers": [dense]}}
    said = initcli.parse(json.dumps(data)).notes
    assert initcli.parse(json.dumps(in_camel_case(data))).notes == said == ()


def test_an_error_stands_where_the_camel_case_does() -> None:
    text = json.dumps(in_camel_case(MODEL), indent=1).replace('"fanOut"', '"fanAcross"')
    with pytest.raises(initcli.InvalidSpec) as caught:
        initcli.parse(text, file="model.json")
    (error,) = caught.value.errors
    assert error.place is not None
    assert "fanAcross" in error.place.text
    assert "`mode`" in error.message


def test_an_error_in_text_within_stands_at_its_line() -> None:
    inner = json.dumps(MODEL, indent=1).replace('"Dense"', '"Dens"', 1).replace("5,", '"x",', 1)
    with pytest.raises(initcli.InvalidSpec) as caught:
        initcli.parse(json.dumps({"model_config": inner}))
    (error,) = caught.value.errors
    assert error.place is not None
    assert '"filters": "x"' in error.place.text


@pytest.mark.parametrize("within", [{}, {"format": "graph-model"}, {"signature": {}}])
def test_a_graph_model_is_one_error(within: dict[str, Any]) -> None:
    nodes = [{"name": "dense/kernel", "op": "Const"}] * 30
    data = {**within, "modelTopology": {"node": nodes, "library": {}, "versions": {}}}
    with pytest.raises(initcli.InvalidSpec, match="a TensorFlow graph has no layers") as caught:
        initcli.parse(json.dumps({**data, "weightsManifest": []}))
    assert len(caught.value.errors) == 1


OTHERS = {
    "package.json": '{"name": "x", "version": "1.0.0", "scripts": {}, "dependencies": {}}',
    "a workflow": "name: x\non: push\njobs: {}\n",
}


@pytest.mark.parametrize("kind", OTHERS)
def test_a_file_of_another_kind_is_one_error(kind: str) -> None:
    with pytest.raises(
        initcli.InvalidSpec, match="this is not a spec: it has no `layers`"
    ) as caught:
        initcli.parse(OTHERS[kind])
    assert len(caught.value.errors) == 1


def test_a_slip_in_layers_is_still_named() -> None:
    with pytest.raises(initcli.InvalidSpec, match="did you mean 'layers'"):
        initcli.parse("lyers: []\ninput_shap: [3]\n")


def test_a_subclassed_model_says_what_to_do() -> None:
    text = '{"module": "mine", "class_name": "MyModel", "config": {"units": 3}}'
    with pytest.raises(initcli.InvalidSpec, match=r"or write\s+its layers as a spec") as caught:
        initcli.parse(text)
    assert len(caught.value.errors) == 1


@pytest.mark.parametrize("said", [{}, {"batch_shape": None}, {"batch_input_shape": [None, "x"]}])
def test_an_input_without_a_shape_is_the_place_of_the_error(said: dict[str, Any]) -> None:
    layers = [
        {"class_name": "InputLayer", "config": {"name": "given", **said}},
        {"class_name": "Conv2D", "config": {"filters": 3, "kernel_size": 3}},
    ]
    text = json.dumps({"class_name": "Sequential", "config": {"layers": layers}}, indent=1)
    with pytest.raises(initcli.InvalidSpec) as caught:
        initcli.parse(text)
    (error,) = caught.value.errors
    assert error.message.startswith("this InputLayer has no shape")
    assert error.place is not None
    assert error.place.line < text[: text.index("Conv2D")].count("\n")


@pytest.mark.parametrize(
    ("value", "shapes"),
    [(1, [(4, 2), (2,)]), (0, [(4, 2)]), (1.0, [(4, 2), (2,)]), (None, [(4, 2)])],
)
def test_a_number_stands_for_a_boolean_as_in_keras(value: Any, shapes: list[Any]) -> None:
    dense = {"units": 2, "use_bias": value, "batch_input_shape": [None, 4]}
    layers = [{"class_name": "Dense", "config": dense}]
    found = tensors(json.dumps({"class_name": "Sequential", "config": {"layers": layers}}))
    assert [shape for _, shape, _ in found] == shapes


def test_a_spec_wants_a_boolean() -> None:
    with pytest.raises(initcli.InvalidSpec, match="`use_bias` must be true or false, not 1"):
        initcli.parse("input_shape: [4]\nlayers: [{type: Dense, units: 2, use_bias: 1}]\n")


def test_a_number_freezes_as_a_boolean_does() -> None:
    dense = {"units": 2, "trainable": 0, "batch_input_shape": [None, 4]}
    text = json.dumps([{"class_name": "Dense", "config": dense}])
    assert not any(p.trainable for p in initcli.parse(text).parameters)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x80\x04\x95\x10\x00\x00\x00\xff\xfe", "this file has weights, but no model"),
        (b"\x20\x00\x00\x00TFL3\x14\xff", "this is a binary file, and a spec is text"),
        ("layers: []".encode("utf-16"), "line 1 is not UTF-8"),
    ],
    ids=["pickle", "TFLite", "UTF-16"],
)
def test_a_binary_file_is_called_one(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "model").write_bytes(content)
    with pytest.raises(initcli.InvalidSpec, match=message):
        initcli.load(str(tmp_path / "model"))


@pytest.mark.parametrize("tag", ["object:keras.Model", "object/new:tensorflow.TensorShape"])
def test_objects_of_python_are_refused_with_a_way_on(tag: str) -> None:
    with pytest.raises(initcli.InvalidSpec, match=r"save what the model's to_json\(\) returns"):
        initcli.parse(f"class_name: Sequential\nconfig: !!python/{tag} [1]\n")


def test_a_key_in_both_cases_is_an_error() -> None:
    text = '{"className": "Sequential", "config": {"layers": [%s]}}'
    text %= '{"className": "Dense", "config": {"units": 3, "useBias": true, "use_bias": false}}'
    with pytest.raises(initcli.InvalidSpec, match=r"1:11\d: `use_bias` occurs twice"):
        initcli.parse(text)
