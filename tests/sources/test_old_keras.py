"""Files of Keras before 3 against what those releases made of them.

Facts are from tests/reference/make_old_keras_facts.py; what no environment could be had for is
reasoned from the tag's source, and says so.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from typing import Any

import numpy as np
import pytest

import initcli
from initcli.layers.flow import Flow
from initcli.parameter import Parameter
from initcli.signal import arrays
from initcli.signal.measured import measure_signal
from initcli.signal.program import program
from support.paths import facts

FACTS: dict[str, Any] = facts("old_keras_facts.json")
MODELS = [(v, name) for v, known in FACTS.items() for name in known["models"]]
CALLS = [(v, name) for v, known in FACTS.items() for name in known["calls"]]


@pytest.mark.parametrize(("version", "name"), MODELS)
def test_weights_are_those_of_the_release(version: str, name: str) -> None:
    fact = FACTS[version]["models"][name]
    model = initcli.parse(json.dumps(fact["json"]))
    there: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for weight in fact["weights"]:
        there[weight["layer"], weight["role"]].append(weight)
    here: dict[tuple[str, str], list[Parameter]] = defaultdict(list)
    for parameter in model.parameters:
        here[parameter.path.partition("/")[0], parameter.name].append(parameter)
    assert here.keys() == there.keys()
    for key, parameters in here.items():
        weights = there[key]
        sizes = [math.prod(weight["shape"]) for weight in weights]
        assert sum(each.size for each in parameters) == sum(sizes), key
        distribution = parameters[0].distribution
        assert distribution is not None
        square = sum(w["square"] * n for w, n in zip(weights, sizes, strict=True)) / sum(sizes)
        expected = distribution.std**2 + distribution.mean**2
        # The mean square of n values of no more than a normal's kurtosis is within 5 √(2/n).
        assert square == pytest.approx(expected, rel=5 * math.sqrt(2 / sum(sizes)), abs=1e-12), key
        most = max(max(w["most"], -w["least"]) for w in weights)
        low, high = distribution.support
        assert most <= max(-low, high) * (1 + 1e-5) + 1e-9, key
    for layer in model.layers:
        if layer.name in fact["shapes"]:
            assert list(layer.output_shape) == fact["shapes"][layer.name]


def waves(shape: list[int], phase: float) -> Any:
    """The values that the facts were made of."""
    count = math.prod(shape)
    return (0.5 * np.sin(0.37 * np.arange(count) + phase)).reshape(shape)


@pytest.mark.parametrize(("version", "name"), CALLS)
def test_a_layer_computes_what_the_release_did(version: str, name: str) -> None:
    fact = FACTS[version]["calls"][name]
    text = {"class_name": "Sequential", "keras_version": version, "config": [fact["config"]]}
    step = program(initcli.parse(json.dumps(text)), 2).steps[-1]
    parts: dict[str, dict[str, Any]] = defaultdict(dict)
    for k, (role, gate, shape) in enumerate(fact["weights"]):
        parts[role][gate] = waves(shape, k + 1)
    order = "ifco" if step.layer.type_name == "LSTM" else "zrh"
    weights = {}
    for path in step.weights:
        gates = parts[path.rpartition("/")[2]]
        values = [gates[""]] if "" in gates else [gates[letter] for letter in order]
        weights[path] = np.concatenate(values, -1)
    flow = Flow(xp=arrays, weights=weights, training=False)
    found = step.layer.call(flow, waves([2, *fact["shape"]], 0.0))
    assert np.asarray(found) == pytest.approx(np.array(fact["output"]), abs=2e-6)


def layer(kind: str, **config: Any) -> dict[str, Any]:
    return {"class_name": kind, "config": config}


def sequential(version: str | None, *layers: dict[str, Any]) -> str:
    found = {"class_name": "Sequential", "config": list(layers)}
    return json.dumps(found if version is None else {**found, "keras_version": version})


GRU = layer("GRU", name="gru_1", batch_input_shape=[None, 10, 4], units=8)


@pytest.mark.parametrize(
    ("version", "bias", "activation"),
    [
        ("2.0.8", (24,), "hard_sigmoid"),
        ("2.1.5", (24,), "hard_sigmoid"),
        ("2.2.5", (24,), "hard_sigmoid"),
        ("2.3.1", (24,), "sigmoid"),
        ("2.1.6-tf", (24,), "hard_sigmoid"),
        ("2.2.4-tf", (2, 24), "sigmoid"),
        ("2.4.0", (2, 24), "sigmoid"),
        ("2.15.0", (2, 24), "sigmoid"),
        ("3.5.0", (2, 24), "sigmoid"),
        ("tfjs-layers 1.3.1", (24,), "hard_sigmoid"),
    ],
)
def test_a_gru_without_words_has_the_defaults_of_its_version(
    version: str, bias: tuple[int, ...], activation: str
) -> None:
    """2.1.5 brought reset_after, 2.3.0 the sigmoid, and TensorFlow 2 both as defaults."""
    model = initcli.parse(sequential(version, GRU))
    found = model.parameters[-1]
    assert found.shape == bias
    assert found.owner is not None
    assert str(found.owner.layer.recurrent_activation) == activation
    said = {**GRU["config"], "reset_after": True, "recurrent_activation": "tanh"}
    again = initcli.parse(sequential(version, layer("GRU", **said))).parameters[-1]
    assert again.shape == (2, 24)
    assert again.owner is not None
    assert str(again.owner.layer.recurrent_activation) == "tanh"


def test_a_cell_has_the_defaults_of_its_version_too() -> None:
    cell = layer("RNN", batch_input_shape=[None, 10, 4], cell=layer("GRUCell", units=8))
    found = initcli.parse(sequential("2.1.2", cell)).parameters[-1]
    assert found.shape == (24,)
    both = layer("Bidirectional", batch_input_shape=[None, 10, 4], layer=layer("GRU", units=8))
    biases = [p for p in initcli.parse(sequential("2.0.8", both)).parameters if p.name == "bias"]
    assert [p.shape for p in biases] == [(24,), (24,)]


def stds(version: str, initializer: Any) -> float:
    dense = layer("Dense", batch_input_shape=[None, 64], units=64, kernel_initializer=initializer)
    distribution = initcli.parse(sequential(version, dense)).parameters[0].distribution
    assert distribution is not None
    return distribution.std


def scaling(distribution: str) -> dict[str, Any]:
    config = {"scale": 2.0, "mode": "fan_in", "distribution": distribution, "seed": None}
    return layer("VarianceScaling", **config)


WIDE, NARROW = math.sqrt(2 / 64), 0.87962566103423978 * math.sqrt(2 / 64)


@pytest.mark.parametrize(
    ("version", "initializer", "std"),
    [
        ("2.1.6", scaling("normal"), NARROW),
        ("2.1.6", "he_normal", NARROW),
        ("2.0.0", scaling("normal"), NARROW),
        ("2.2.0", scaling("normal"), WIDE),
        ("2.2.0", "he_normal", WIDE),
        ("2.1.5-tf", scaling("normal"), NARROW),
        ("2.1.6-tf", scaling("truncated_normal"), WIDE),
        ("2.2.4-tf", scaling("normal"), WIDE),
        ("2.15.0", scaling("normal"), WIDE),
        ("tfjs-layers 1.3.1", scaling("normal"), NARROW),
        ("2.1.6", scaling("uniform"), WIDE),
        ("1.2.1", "he_normal", WIDE),
    ],
)
def test_a_truncated_normal_is_corrected_from_2_2_0_on(
    version: str, initializer: Any, std: float
) -> None:
    """TensorFlow corrects it from 1.10 on, where it is called truncated_normal; tfjs never does."""
    if version.startswith("1."):
        dense = layer("Dense", batch_input_shape=[None, 64], output_dim=64, init=initializer)
        distribution = initcli.parse(sequential(version, dense)).parameters[0].distribution
        assert distribution is not None
        assert distribution.support == (-math.inf, math.inf)
        assert distribution.std == pytest.approx(std)
    else:
        assert stds(version, initializer) == pytest.approx(std)


@pytest.mark.parametrize(
    ("version", "slope"),
    [("1.2.2", 0.2), ("2.15.0", 0.2), ("tfjs-layers 4.2.0", 0.2), ("3.0.0", 1 / 6)],
)
@pytest.mark.parametrize("how", ["layer", "argument"])
def test_hard_sigmoid_is_steeper_before_keras_3(version: str, slope: float, how: str) -> None:
    kind = layer("Activation", batch_input_shape=[None, 3], activation="hard_sigmoid")
    if how == "argument":
        kind = layer("Dense", batch_input_shape=[None, 3], units=3, activation="hard_sigmoid")
        if version.startswith("1."):
            kind["config"]["output_dim"] = kind["config"].pop("units")
    step = program(initcli.parse(sequential(version, kind)), 1).steps[-1]
    function: Any = step.layer
    found = function.activation.call(arrays, np.array([-3.0, -1.0, 0.5, 2.8]))
    assert np.allclose(found, np.clip(slope * np.array([-3.0, -1.0, 0.5, 2.8]) + 0.5, 0, 1))


def limits(version: str, kind: str, shape: list[int | None], **config: Any) -> list[float]:
    """The bound of each parameter's uniform distribution."""
    one = layer(kind, batch_input_shape=[None, *shape], **config)
    found = []
    for parameter in initcli.parse(sequential(version, one)).parameters:
        assert parameter.distribution is not None
        found.append(parameter.distribution.support[1])
    return found


def test_fans_until_2_0_5_count_the_first_two_axes() -> None:
    """``_compute_fans`` took ``shape[:2]`` for the receptive field until 2.0.6."""
    conv: dict[str, Any] = {"filters": 16, "kernel_size": [5], "use_bias": False}
    (old,) = limits("2.0.5", "Conv1D", [30, 8], **conv)
    (new,) = limits("2.0.6", "Conv1D", [30, 8], **conv)
    assert new == pytest.approx(math.sqrt(6 / (5 * 8 + 5 * 16)))
    assert old == pytest.approx(math.sqrt(6 / (5 * 8 * 8 + 5 * 8 * 16)))
    volume: dict[str, Any] = {"filters": 16, "kernel_size": [2, 3, 4], "use_bias": False}
    (old,) = limits("2.0.5", "Conv3D", [9, 9, 9, 8], **volume)
    assert old == pytest.approx(math.sqrt(6 / (6 * 8 + 6 * 16)))


def test_the_fans_of_a_vector_were_the_root_of_its_size() -> None:
    config = {"units": 16, "bias_initializer": "glorot_uniform"}
    assert limits("2.2.4", "Dense", [4], **config)[1] == pytest.approx(math.sqrt(6 / 8))
    assert limits("2.4.0", "Dense", [4], **config)[1] == pytest.approx(math.sqrt(6 / 32))


@pytest.mark.parametrize(
    ("version", "ordering", "fans"),
    [
        # A kernel (rows 2, columns 3, 4 channels, 5 filters), or for th (5, 4, 2, 3).
        ("1.2.2", "tf", (24, 30)),
        ("1.2.2", "th", (24, 30)),
        ("1.2.0", "tf", (3 * 20, 2 * 20)),
        ("1.1.2", "th", (24, 30)),
        ("1.0.3", "th", (24, 5)),
        ("1.0.3", "tf", (3 * 4 * 5, 2)),
    ],
)
def test_fans_of_keras_1_depend_on_how_a_kernel_was_stored(
    version: str, ordering: str, fans: tuple[int, int]
) -> None:
    """Until 1.2.1 fans were counted as Theano orders a kernel, whatever its order was."""
    shape: list[int | None] = [4, 9, 9] if ordering == "th" else [9, 9, 4]
    words = {"nb_filter": 5, "nb_row": 2, "nb_col": 3, "init": "glorot_uniform", "bias": False}
    (found,) = limits(version, "Convolution2D", shape, dim_ordering=ordering, **words)
    assert found == pytest.approx(math.sqrt(6 / sum(fans)))


@pytest.mark.parametrize(
    ("version", "fans"), [("1.2.2", (8 * 16, 5 * 8 * 16)), ("1.0.8", (40, 80)), ("1.0.0", (40, 16))]
)
def test_fans_of_a_convolution_over_time_in_keras_1(version: str, fans: tuple[int, int]) -> None:
    """A kernel (length, 1, channels, filters) whose fans were those of (filters, channels, …)."""
    words = {"nb_filter": 16, "filter_length": 5, "init": "glorot_uniform", "bias": False}
    (found,) = limits(version, "Convolution1D", [30, 8], **words)
    assert found == pytest.approx(math.sqrt(6 / sum(fans)))


@pytest.mark.parametrize(("version", "state"), [("1.2.1", 0.05), ("1.1.2", 1.1)])
def test_the_matrices_of_the_state_in_keras_1(version: str, state: float) -> None:
    """From 1.2.0 on they were filled as those of the input are, but for ``consume_less: gpu``."""
    words = {"output_dim": 8, "init": "uniform", "inner_init": "orthogonal"}
    (_, found, _) = limits(version, "LSTM", [5, 4], **words)
    assert found == state
    (_, found, _) = limits(version, "LSTM", [5, 4], consume_less="gpu", **words)
    assert found == 1.1


def test_the_identity_of_2_2_4_is_repeated() -> None:
    kernel = {"kernel_initializer": layer("Identity", gain=1.0), "use_bias": False}
    dense = layer("Dense", batch_input_shape=[None, 2], units=6, **kernel)
    sums = []
    for version in ("2.2.4", "2.3.1"):
        (parameter,) = initcli.parse(sequential(version, dense)).parameters
        out = np.empty(12)
        parameter.initializer.fill(out, 0, parameter.shape, np.random.default_rng(0))
        distribution = parameter.distribution
        assert distribution is not None
        assert out.mean() == pytest.approx(distribution.mean)
        sums.append(out.sum())
    assert sums == [6, 2]


def test_a_version_may_stand_around_the_model() -> None:
    model = {"class_name": "Sequential", "config": {"layers": [GRU]}}
    around = {"model_config": model, "keras_version": "2.1.4", "backend": "tensorflow"}
    text = json.dumps({"modelTopology": around, "format": "layers-model"})
    assert initcli.parse(text).parameters[-1].shape == (24,)


def test_a_file_without_a_version_says_what_is_assumed() -> None:
    late = initcli.parse(sequential(None, GRU))
    assert late.parameters[-1].shape == (2, 24)
    said = "the file names no version of Keras; it is read as a file of Keras"
    assert late.notes == (f"{said} 2.15.0",)
    dense = layer("Dense", batch_input_shape=[None, 4], output_dim=3, init="normal")
    first = initcli.parse(sequential(None, dense))
    assert first.notes == (f"{said} 1.2.2",)
    assert first.parameters[0].shape == (4, 3)
    dense = layer("Dense", name="d", units=3)
    given = layer("InputLayer", name="i", batch_shape=[None, 4])
    assert initcli.parse(sequential(None, given, dense)).notes == ()


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_unified_layers_are_those_of_tensorflow_2(kind: str) -> None:
    config = {"batch_input_shape": [None, 10, 4], "units": 8}
    named = initcli.parse(sequential("2.2.4-tf", layer(f"Unified{kind}", **config)))
    plain = initcli.parse(sequential("2.2.4-tf", layer(kind, **config)))
    shapes = [(p.name, p.shape) for p in plain.parameters]
    assert [(p.name, p.shape) for p in named.parameters] == shapes
    assert named.layers[-1].type == kind


MERGED = [
    ({"mode": "sum"}, "Add", (None, 6)),
    ({"mode": "mul"}, "Multiply", (None, 6)),
    ({"mode": "ave"}, "Average", (None, 6)),
    ({"mode": "max"}, "Maximum", (None, 6)),
    ({"mode": "concat", "concat_axis": -1}, "Concatenate", (None, 12)),
    ({"mode": "dot", "dot_axes": 1}, "Dot", (None, 1)),
    ({"mode": "cos", "dot_axes": [1, 1]}, "Dot", (None, 1)),
    ({"mode": "f", "mode_type": "function", "output_shape": [9]}, "Merge", (None, 9)),
]


@pytest.mark.parametrize("version", ["1.2.2", "2.1.6"])
@pytest.mark.parametrize(("config", "kind", "shape"), MERGED)
def test_a_merge_is_the_layer_of_its_mode(
    version: str, config: dict[str, Any], kind: str, shape: tuple[int | None, ...]
) -> None:
    layers = [
        {**layer("InputLayer", name=n, batch_input_shape=[None, 6]), "name": n, "inbound_nodes": []}
        for n in "ab"
    ]
    merge = {"mode_type": "raw", "concat_axis": -1, "dot_axes": -1, "arguments": {}, **config}
    inbound = [[["a", 0, 0], ["b", 0, 0]]]
    layers.append({**layer("Merge", name="m", **merge), "name": "m", "inbound_nodes": inbound})
    whole = {"name": "model", "layers": layers, "output_layers": [["m", 0, 0]]}
    whole["input_layers"] = [["a", 0, 0], ["b", 0, 0]]
    text = {"class_name": "Model", "keras_version": version, "config": whole}
    found = initcli.parse(json.dumps(text)).layers[-1]
    assert (found.name, found.type, found.output_shape) == ("m", kind, shape)


def test_a_branch_that_stands_twice_has_one_set_of_weights() -> None:
    dense = layer("Dense", name="d", batch_input_shape=[None, 4], output_dim=3)
    branch = {"class_name": "Sequential", "config": [dense]}
    merge = layer("Merge", name="m", mode="concat", concat_axis=-1, layers=[branch, branch])
    model = initcli.parse(sequential("1.2.2", merge, layer("Dense", name="e", output_dim=2)))
    assert [p.shape for p in model.parameters] == [(4, 3), (3,), (6, 2), (2,)]


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("Deconvolution2D", {}),
        ("Convolution2D", {"border_mode": "full"}),
        ("BatchNormalization", {"mode": 1}),
        ("LSTM", {"forget_bias_init": "uniform"}),
    ],
)
def test_what_cannot_be_read_of_keras_1_is_one_line(kind: str, config: dict[str, Any]) -> None:
    text = sequential("1.1.0", layer(kind, batch_input_shape=[None, 4, 4, 3], **config))
    with pytest.raises(initcli.InvalidSpec) as caught:
        initcli.parse(text)
    (error,) = caught.value.errors
    assert error.message.startswith("this is a file of Keras 1.1.0, and ")
    assert error.remedy


@pytest.mark.parametrize(
    "layers",
    [
        ["{type: @, filters: 24, kernel_size: 3, strides: 2, activation: relu}"],
        [
            "{type: @, filters: 24, kernel_size: 2, implementation: 2}",
            "{type: @, filters: 9, kernel_size: 3, padding: same, implementation: 3}",
        ],
        [
            "{type: @, filters: 24, kernel_size: 3, data_format: channels_first}",
            "{type: ThresholdedReLU, theta: 0.3}",
        ],
    ],
)
def test_theory_of_locally_connected_layers_is_what_is_measured(layers: list[str]) -> None:
    shape = "[12, 9, 9]" if "channels_first" in layers[0] else "[9, 9, 12]"
    text = f"input_shape: {shape}\nlayers:\n" + "".join(f"- {each}\n" for each in layers).replace(
        "@", "LocallyConnected2D"
    )
    signal = measure_signal(initcli.parse(text), batch=32, draws=12)
    for found in signal.layers:
        assert found.output is not None
        assert found.gradient is not None
        assert found.predicted.std == pytest.approx(found.output.std.median, rel=0.08)
        assert found.predicted.gradient_rms == pytest.approx(found.gradient.rms.median, rel=0.08)


def test_a_cudnn_layer_may_stand_in_a_bidirectional_one() -> None:
    """Two biases for each gate (keras-team/keras #8860), and no cell of its own."""
    inner = layer("CuDNNLSTM", name="cu_dnnlstm_1", units=8, return_sequences=True)
    both = layer("Bidirectional", name="b", batch_input_shape=[None, 10, 4], layer=inner)
    model = initcli.parse(sequential("2.2.4", both, layer("CuDNNGRU", name="g", units=5)))
    shapes = {parameter.path: parameter.shape for parameter in model.parameters}
    assert shapes["b/backward_cu_dnnlstm_1/bias"] == (64,)
    assert shapes["g/bias"] == (30,)
    assert initcli.totals(model).params == 2 * (4 * (4 + 8) * 8 + 64) + 3 * (16 + 5) * 5 + 30


@pytest.mark.parametrize("kind", ["CuDNNLSTM", "CuDNNGRU"])
@pytest.mark.parametrize("return_sequences", [True, False])
@pytest.mark.parametrize("both_ways", [True, False])
def test_the_signal_passes_cudnn_layers_that_take_no_mask(
    kind: str, return_sequences: bool, both_ways: bool
) -> None:
    masking = layer("Masking", name="m", batch_input_shape=[None, 5, 4])
    last = layer(kind, name="inner", units=3, return_sequences=return_sequences)
    if both_ways:
        last = layer("Bidirectional", name="b", layer=last)
    signal = measure_signal(initcli.parse(sequential("2.2.4", masking, last)), batch=4, draws=1)
    found = signal.layers[-1]
    width = 6 if both_ways else 3
    assert found.shape == ((4, 5, width) if return_sequences else (4, width))
    assert found.output is not None
    assert 0 < found.output.std.median < 1


@pytest.mark.parametrize(("kind", "like"), [("CuDNNLSTM", "LSTM"), ("CuDNNGRU", "GRU")])
def test_two_biases_of_a_cudnn_layer_add_up(kind: str, like: str) -> None:
    """What a GPU alone computes in Keras is what the plain layer does with the same weights."""
    there, here = (
        program(initcli.parse(f"{{input_shape: [5, 4], layers: [{{type: {each}, units: 3}}]}}"), 2)
        for each in (kind, like)
    )
    cudnn, plain = there.steps[-1], here.steps[-1]
    weights = {
        path: waves(list(parameter.shape), k + 1)
        for k, (path, parameter) in enumerate(cudnn.weights.items())
    }
    same = {path: weights[path.rpartition("/")[2]] for path in plain.weights}
    bias = next(path for path in same if path.endswith("bias"))
    two = same[bias].reshape(2, -1)
    same[bias] = two if like == "GRU" else two.sum(0)
    x = waves([2, 5, 4], 0.0)
    found = cudnn.layer.call(Flow(xp=arrays, weights=weights, training=False), x)
    wanted = plain.layer.call(Flow(xp=arrays, weights=same, training=False), x)
    assert np.allclose(found, wanted)


@pytest.mark.parametrize("kind", ["GlorotUniform", "HeNormal", "Siren", "SirenFirst"])
def test_every_initializer_that_counts_fans_may_count_them_by_axes(kind: str) -> None:
    initializer = f"{{type: {kind}, input_axes: [0], output_axes: [1]}}"
    dense = f"{{type: Dense, units: 3, kernel_initializer: {initializer}}}"
    (kernel, _) = initcli.parse(f"{{input_shape: [4], layers: [{dense}]}}").parameters
    plain = dense.replace(", input_axes: [0], output_axes: [1]", "")
    (same, _) = initcli.parse(f"{{input_shape: [4], layers: [{plain}]}}").parameters
    assert kernel.distribution == same.distribution
