"""Layers against the real Keras: facts that tests/reference/make_layer_facts.py wrote down."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

import initcli
from initcli.activations import Activation, Linear
from initcli.initializers import Initializer, known_initializers
from initcli.layers import known_layers
from support.layers import layer_cases
from support.paths import SAMPLES, facts

# Layers that stand in models of tests/sources/test_keras_models.py, that hold others, or that Keras
# runs on TensorFlow alone. What Keras had before 3 is in tests/test_old_keras.py.
ELSEWHERE = {
    *(
        "Input",
        "Functional",
        "Sequential",
        "Opaque",
        "Operation",
    ),
    *("SimpleRNNCell", "LSTMCell", "GRUCell", "StackedRNNCells"),
    *("CustomScaleLayer", "Scale", "WeightNormalization"),
    *("CuDNNLSTM", "CuDNNGRU", "LocallyConnected1D", "LocallyConnected2D"),
    *("ThresholdedReLU", "MaxoutDense", "Highway"),
    *("IntegerLookup", "StringLookup", "TextVectorization", "Hashing", "HashedCrossing"),
}

Case = tuple[list[Any], dict[str, Any]]
CASES: dict[str, dict[str, list[Case]]] = facts("layer_cases.yaml")
FACTS: dict[str, Any] = facts("layer_facts.json")

# Keras's arguments that change no shape and no weight, or that only a Python object can say.
NOT_OURS = {
    "quantization_config",
    "gptq_unpacked_column_size",
    "weights",
    "trainable",
    "name",
    "dtype",
    "num_tokens",  # has a default, with which the layer cannot be called
}


def spec_of(layer_type: str, case: Case) -> str:
    """A spec with that layer, last, on an input or on several of those shapes."""
    input_shape, arguments = case
    layer = {"type": layer_type, **arguments}
    if not input_shape or not isinstance(input_shape[0], list):
        return json.dumps({"input_shape": input_shape, "layers": [layer]})
    inputs = [{"type": "Input", "name": f"in{i}", "shape": s} for i, s in enumerate(input_shape)]
    layer["inputs"] = [each["name"] for each in inputs]
    return json.dumps({"layers": [*inputs, layer]})


def listed(kind: str) -> list[Any]:
    return [
        pytest.param(layer_type, index, id=f"{layer_type}-{index}")
        for layer_type, cases in CASES[kind].items()
        for index in range(len(cases))
    ]


@pytest.mark.parametrize(("layer_type", "index"), listed("accepted"))
def test_a_layer_has_the_shapes_and_weights_of_keras(layer_type: str, index: int) -> None:
    fact = FACTS["layers"][layer_type][index]
    *_, layer = initcli.parse(spec_of(layer_type, CASES["accepted"][layer_type][index])).layers
    assert layer.name == fact["name"]
    shapes = [list(shape) for shape in layer.output_shapes]
    assert (shapes[0] if len(shapes) == 1 else shapes) == fact["output_shape"]
    assert layer.size == fact["params"]
    found = [
        {
            "name": parameter.path.partition("/")[2],
            "shape": list(parameter.shape),
            "trainable": parameter.trainable,
            "dtype": parameter.dtype,
            "initializer": {
                "type": parameter.initializer.type_name,
                **json.loads(msgspec.json.encode(parameter.initializer.arguments)),
            },
        }
        for parameter in layer.parameters
    ]
    assert found == fact["weights"]


@pytest.mark.parametrize(("layer_type", "index"), listed("rejected"))
def test_what_keras_rejects_is_rejected(layer_type: str, index: int) -> None:
    with pytest.raises(initcli.InvalidSpec) as caught:
        initcli.parse(spec_of(layer_type, CASES["rejected"][layer_type][index]))
    assert len(caught.value.errors) == 1


def test_every_layer_type_has_at_least_three_argument_sets() -> None:
    names: dict[str, int] = {}
    for name, cls in known_layers().items():
        count = len(layer_cases().get(name, ()))
        names[cls.__name__] = max(count, names.get(cls.__name__, 0))
    assert {name for name, count in names.items() if count < 3} == ELSEWHERE


@pytest.mark.parametrize("layer_type", sorted(FACTS["signatures"]))
def test_arguments_and_defaults_are_those_of_keras(layer_type: str) -> None:
    fields = {
        field.encode_name: field for field in msgspec.structs.fields(known_layers()[layer_type])
    }
    for argument, default in FACTS["signatures"][layer_type].items():
        if argument in NOT_OURS or argument.endswith(("_regularizer", "_constraint")):
            continue
        assert argument in fields, argument
        if default == "required":
            assert fields[argument].required, argument
        else:
            assert plain(fields[argument].default) == plain(default), argument


def plain(value: Any) -> Any:
    """A default as one value however it is written: by name, as a list, or one for all axes."""
    if isinstance(value, Initializer):
        return type(value)
    if isinstance(value, Activation):
        return None if isinstance(value, Linear) else str(value)
    if isinstance(value, str):
        return known_initializers().get(value, value)
    if isinstance(value, list | tuple):
        items = [plain(item) for item in value]
        return items[0] if all(item == items[0] for item in items) else items
    return value


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


@pytest.mark.parametrize("name", ["tour", "vgg16"])
def test_a_whole_model_is_that_of_keras(name: str) -> None:
    facts = [fact for fact in FACTS["models"][name] if fact["type"] != "InputLayer"]
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
    json_model = initcli.load(str(SAMPLES / "tour.json"))
    assert json_model.layers == yaml_model.layers
    assert json_model.network == yaml_model.network


def test_regularizers_and_constraints_change_nothing_and_others_are_unknown() -> None:
    text = "{{input_shape: [4], layers: [{{type: Dense, units: 2{}}}]}}"
    plain_model = initcli.parse(text.format(""))
    regularized = initcli.parse(text.format(", kernel_regularizer: {l2: 0.1}"))
    assert regularized.layers == plain_model.layers
    with pytest.raises(initcli.InvalidSpec):
        initcli.parse(text.format(", gamma_regularizer: l2"))


def test_an_input_layer_stands_for_the_input_shape() -> None:
    given = initcli.parse("{layers: [{type: Input, shape: [4]}, {type: Dense, units: 2}]}")
    assert [layer.name for layer in given.layers] == ["input_layer", "dense"]
    assert given.layers[0].output_shape == (None, 4)
    plain_model = initcli.parse("{input_shape: [4], layers: [{type: Dense, units: 2}]}")
    assert given.parameters == plain_model.parameters


def test_an_input_of_token_ids_is_of_whole_numbers_and_its_weights_are_not() -> None:
    model = initcli.parse(
        "{layers: [{type: InputLayer, shape: [7], dtype: int32},"
        " {type: Embedding, input_dim: 9, output_dim: 2}]}"
    )
    assert model.layers[-1].output_shape == (None, 7, 2)
    assert [parameter.dtype for parameter in model.parameters] == ["float32"]


def test_layers_are_named_as_keras_names_them() -> None:
    model = initcli.parse(
        "{input_shape: [9, 8], layers: [{type: Conv1D, filters: 2, kernel_size: 1},"
        " {type: Conv1D, filters: 2, kernel_size: 1, name: conv1d_1},"
        " {type: Conv1D, filters: 2, kernel_size: 1}, {type: PReLU}, {type: PReLU}]}"
    )
    names = [layer.name for layer in model.layers]
    # The second unnamed layer would be conv1d_1, a name that is taken.
    assert names == ["conv1d", "conv1d_1", "conv1d_2", "p_re_lu", "p_re_lu_1"]
