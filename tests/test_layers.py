"""Layers against the real Keras: facts that tests/reference/make_layer_facts.py wrote down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

import initcli
from initcli.initializers import Initializer
from initcli.layers import known_layers
from initcli.types import field_names

REFERENCE = Path(__file__).parent / "reference"
CASES: dict[str, list[dict[str, Any]]] = yaml.safe_load(
    (REFERENCE / "layer_cases.yaml").read_text("utf-8")
)
FACTS: dict[str, Any] = json.loads((REFERENCE / "layer_facts.json").read_text("utf-8"))
SIGNATURES: dict[str, dict[str, Any]] = json.loads(
    (REFERENCE / "signatures.json").read_text("utf-8")
)

# What changes no weight and no shape, and what only a Python object can say.
NOT_OURS = {"activity_regularizer", "quantization_config", "weights", "kwargs", "autocast"}


def spec_of(case: dict[str, Any]) -> str:
    return json.dumps({"input_shape": case["input_shape"], "layers": [case["layer"]]})


def by_id(cases: list[dict[str, Any]]) -> list[Any]:
    return [pytest.param(case, id=case["id"]) for case in cases]


@pytest.mark.parametrize("case", by_id(CASES["accepted"]))
def test_a_layer_has_the_shapes_and_weights_of_keras(case: dict[str, Any]) -> None:
    fact = FACTS["accepted"][case["id"]]
    (layer,) = initcli.parse(spec_of(case)).layers
    assert list(layer.output_shape) == fact["output_shape"]
    assert layer.size == fact["params"]
    if case["layer"].get("name") is None:
        assert layer.name == fact["name"]
    found = [
        {
            "name": parameter.path.partition("/")[2],
            "shape": list(parameter.shape),
            "trainable": parameter.trainable,
            "dtype": parameter.dtype,
            "initializer": {
                "type": parameter.initializer.type_name,
                **msgspec.to_builtins(parameter.initializer.arguments),
            },
        }
        for parameter in layer.parameters
    ]
    assert found == fact["weights"]


@pytest.mark.parametrize("case", by_id(CASES["rejected"]))
def test_what_keras_rejects_is_rejected(case: dict[str, Any]) -> None:
    with pytest.raises(initcli.InvalidSpec) as caught:
        initcli.parse(spec_of(case))
    assert FACTS["rejected"][case["id"]]
    assert "Traceback" not in str(caught.value)


def test_every_layer_type_has_at_least_three_argument_sets() -> None:
    counts: dict[str, int] = {}
    for case in CASES["accepted"]:
        counts[case["layer"]["type"]] = counts.get(case["layer"]["type"], 0) + 1
    types = {cls.__name__ for cls in known_layers().values()} - {"Input"}
    # A layer without arguments has only shapes to differ in.
    assert {name for name in types if counts.get(name, 0) < 3} <= {"Identity"}


@pytest.mark.parametrize("name", sorted(SIGNATURES))
def test_arguments_and_defaults_are_those_of_keras(name: str) -> None:
    cls = known_layers()[name]
    fields = {field.name: field for field in msgspec.structs.fields(cls)}
    for argument, default in SIGNATURES[name].items():
        if argument in NOT_OURS or argument.endswith(("_regularizer", "_constraint")):
            continue
        assert argument in fields, argument
        if default == {"required": True}:
            assert fields[argument].required, argument
        else:
            ours = fields[argument].default
            assert plain(ours) == plain(default), argument


def plain(value: Any) -> Any:
    """A default as one value however it is written: by name, as a list, or one for all axes."""
    if isinstance(value, Initializer):
        return type(value).__name__.lower()
    if type(value).__name__ == "Linear":
        return None
    if isinstance(value, str):
        known = initcli_names().get(value)
        return known or value
    if isinstance(value, list | tuple):
        items = [plain(item) for item in value]
        return items[0] if items and all(item == items[0] for item in items) else items
    return value


def initcli_names() -> dict[str, str]:
    from initcli.initializers import known_initializers

    return {name: cls.__name__.lower() for name, cls in known_initializers().items()}


def model_facts(model: initcli.Model) -> list[dict[str, Any]]:
    return [
        {
            "name": layer.name,
            "type": layer.type,
            "output_shape": list(layer.output_shape),
            "params": layer.size,
        }
        for layer in model.layers
    ]


SAMPLES = Path(__file__).parents[1] / "sample_configs"


@pytest.mark.parametrize("name", ["tour", "vgg16"])
def test_a_whole_model_is_that_of_keras(name: str) -> None:
    facts = [fact for fact in FACTS[name] if fact["type"] != "InputLayer"]
    assert model_facts(initcli.load(str(SAMPLES / f"{name}.yaml"))) == facts


@pytest.mark.parametrize(
    ("file", "params"),
    [
        ("tour.yaml", 40_152),
        ("tour.json", 40_152),
        ("lenet5.yaml", 61_706),
        ("vgg16.yaml", 138_357_544),
        ("mlp_relu_deep.yaml", 30 * (256 * 256 + 256) + 2_570),
    ],
)
def test_sample_configs_have_their_published_counts(file: str, params: int) -> None:
    assert initcli.totals(initcli.load(str(SAMPLES / file))).params == params


def test_the_same_stack_in_json_is_the_same_model() -> None:
    yaml_model = initcli.load(str(SAMPLES / "tour.yaml"))
    assert initcli.load(str(SAMPLES / "tour.json")) == yaml_model


def test_field_names_put_a_class_s_own_arguments_first() -> None:
    names = field_names(known_layers()["Dense"])
    assert names.index("units") < names.index("name")
