"""Masks against the real Keras: what tests/reference/make_mask_facts.py wrote down."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from autograd.builtins import tuple as boxed
from autograd.core import make_vjp

import initcli
from initcli.layers import known_layers
from initcli.layers.base import computed, computed_masks
from initcli.layers.flow import Flow
from initcli.layers.operations import Operation
from initcli.signal import arrays
from initcli.signal.figures import Signal
from initcli.signal.measured import measure_signal, predict_signal
from initcli.signal.passes import Pass, backwards, forwards
from initcli.signal.program import Step, program
from initcli.types import Array
from support.paths import facts
from support.waves import agrees, wave

FACTS: dict[str, Any] = facts("mask_facts.json")
BATCH = 3
IDS = ("Embedding", "ReversibleEmbedding")


def pattern(name: str, shape: tuple[int, ...], phase: float) -> Array:
    """As in tests/reference/make_mask_facts.py."""
    if name == "some":
        found = np.sin(2.3 * np.arange(int(np.prod(shape))) + phase).reshape(shape) > -0.4
        found[:, :1] = True
        return found
    found = np.ones(shape, bool)
    if name == "left":
        found[:2, : shape[1] // 2] = False
    elif name == "right":
        found[1:, (shape[1] + 1) // 2 :] = False
    elif name == "nothing":
        found[0] = False
    return found


def mask_of(given: Any, shape: Any, phase: float) -> Array | None:
    if given is None:
        return None
    name, own = given if isinstance(given, list) else (given, shape)
    return pattern(name, (BATCH, *own), phase)


def filled(name: str, shape: tuple[int, ...], number: int) -> Array:
    value = wave(shape, 5.0 + number)
    if "variance" in name or "stddev" in name:
        value = np.abs(value) + np.float32(0.5)
    return value * np.float32(0.5)


def layer_alone(kind: str, shapes: Any, arguments: dict[str, Any]) -> Step:
    names = [f"in{k}" for k in range(len(shapes))]
    entries = [
        {"type": "Input", "name": name, "shape": shape}
        for name, shape in zip(names, shapes, strict=True)
    ]
    spec = {"layers": [*entries, {"type": kind, "inputs": names, **arguments}]}
    return program(initcli.parse(json.dumps(spec)), BATCH).steps[-1]


# Where Keras has no mean, of no step at all, both have NaN.
@pytest.mark.filterwarnings("ignore:Output seems independent of input")
@pytest.mark.parametrize(
    ("kind", "shapes", "arguments", "masks", "given", "facts"),
    FACTS["cases"],
    ids=[json.dumps(each[:-1]) for each in FACTS["cases"]],
)
def test_layers_do_with_masks_what_those_of_keras_do(
    kind: str, shapes: Any, arguments: dict[str, Any], masks: Any, given: Any, facts: Any
) -> None:
    step = layer_alone(kind, shapes, arguments)
    if kind in IDS:
        sizes = [(BATCH, *shape) for shape in shapes]
        inputs = [np.arange(np.prod(size)).reshape(size) * 7 % 5 for size in sizes]
    else:
        inputs = [wave((BATCH, *shape), 0.3 + k) for k, shape in enumerate(shapes)]
    if kind == "Masking":
        inputs[0][:2, 1:3] = arguments["mask_value"]
    places = {"value_mask": 1, "key_mask": 1}
    named = {
        name: mask_of(each, shapes[places.get(name, 0)][:-1], 0.7 + k)
        for k, (name, each) in enumerate(given.items())
    }
    parameters = step.weights.items()
    flow = Flow(
        xp=arrays,
        weights={name: filled(name, p.shape, k) for k, (name, p) in enumerate(parameters)},
        masks=tuple(
            mask_of(mask, shape if kind in IDS else shape[:-1], 0.2 + k)
            for k, (mask, shape) in enumerate(zip(masks, shapes, strict=True))
        ),
        given_masks=named,
    )
    outputs = computed(step.layer, flow, inputs)
    for y, kept in zip(outputs, facts["outputs"], strict=True):
        assert agrees(y, kept, 1e-4)
        assert y.dtype == np.float32
    found = computed_masks(step.layer, flow, inputs)
    found += [None] * (len(outputs) - len(found))
    assert [None if m is None else m.astype(int).tolist() for m in found] == facts["masks"]
    if "gradients" in facts:

        def function(variables: Any) -> Any:
            return boxed(computed(step.layer, flow, list(variables)))

        pull, _ = make_vjp(function, boxed(inputs))
        pulled = pull(boxed([wave(y.shape, 9.0 + k) for k, y in enumerate(outputs)]))
        for gradient, kept in zip(pulled, facts["gradients"], strict=True):
            assert agrees(gradient, kept, 1e-3)


def input_of(source: Any, shape: tuple[int, ...], place: int) -> Array:
    """As in tests/reference/make_mask_facts.py."""
    if source.name == "kept_steps":
        return pattern("some", shape, 0.4 + place)
    if source.num_tokens is not None:
        found = np.arange(np.prod(shape)).reshape(shape) * 5 + place
        found = (found * found) % 7
        found[1:, (shape[1] + 1) // 2 :] = 0
        return found
    real = wave(shape, 0.3 + place)
    real[1:, shape[1] // 2 :] = 0
    return real


@pytest.mark.parametrize(
    ("name", "facts"), FACTS["models"], ids=[name for name, _ in FACTS["models"]]
)
def test_models_do_with_masks_what_those_of_keras_do(name: str, facts: dict[str, Any]) -> None:
    model = initcli.parse(json.dumps(facts["json"]))
    built = program(model, BATCH)
    numbers = {parameter.path: k for k, parameter in enumerate(model.parameters)}
    about = Pass(lambda p: filled(p.path, p.shape, numbers[p.path]), "0")
    tensors = {
        source.tensor: input_of(source, built.shapes[source.tensor], k)
        for k, source in enumerate(built.inputs)
    }
    for _ in forwards(built, tensors, about):
        pass
    for tensor, kept, mask in zip(built.results, facts["outputs"], facts["masks"], strict=True):
        assert agrees(tensors[tensor], kept, 1e-4)
        found = about.masks.get(tensor)
        assert (None if found is None else found.astype(int).tolist()) == mask
    cotangents = {
        tensor: wave(built.shapes[tensor], 9.0 + k) for k, tensor in enumerate(built.results)
    }
    totals: dict[str, Array] = {}
    for each in backwards(built, tensors, cotangents, about):
        for weight, gradient in each.weights.items():
            path = each.step.weights[weight].path
            totals[path] = totals.get(path, 0.0) + gradient
    trained = [parameter.path for parameter in model.parameters if parameter.trainable]
    for path, kept in zip(trained, facts["gradients"], strict=True):
        assert agrees(totals[path], kept, 2e-3), path


OTHERS = (
    # Not Keras's own, or an application's, which supports none.
    "CustomScaleLayer Opaque Operation WeightNormalization "
    # Of Keras 1 and 2, in whose source they support none.
    "CuDNNGRU CuDNNLSTM Highway LocallyConnected1D LocallyConnected2D MaxoutDense "
    # On JAX they need TensorFlow; none has a mask in its source.
    "Hashing HashedCrossing IntegerLookup StringLookup TextVectorization"
)
"""Layer types that no facts are there of, and that support no masks."""


def test_every_layer_type_supports_masking_where_that_of_keras_does() -> None:
    supports = FACTS["supports"] | dict.fromkeys(OTHERS.split(), False)
    supports |= {"Scale": True, "ThresholdedReLU": True}  # the latter in Keras 2's source
    own = facts("layer_cases.yaml")["own"]
    for cls in {cls for name, cls in known_layers().items() if name not in own}:
        names = [name for name in (cls.__name__, *cls.aliases) if name in supports]
        assert names, f"{cls.__name__}: nobody asked Keras"
        assert cls.supports_masking == supports[names[0]], cls.__name__


# What `signal` makes of them


def measured(spec: dict[str, Any], **inputs: Array) -> Signal:
    model = initcli.parse(json.dumps(spec))
    return measure_signal(model, draws=3, inputs=inputs)


def stack(*layers: dict[str, Any], steps: int = 12) -> dict[str, Any]:
    """Token ids, of which 0 is none, to vectors of mean 0 and variance 1, and what follows."""
    table = {"type": "Embedding", "input_dim": 200, "output_dim": 64, "mask_zero": True}
    distribution = {"type": "RandomNormal", "stddev": 1.0}
    ids = {"type": "Input", "name": "ids", "shape": [steps], "dtype": "int32"}
    return {"layers": [ids, {**table, "embeddings_initializer": distribution}, *layers]}


def padded(kept: list[int], steps: int = 12) -> Array:
    """Sequences of so many different tokens each, and zeros behind."""
    found = np.zeros((len(kept), steps), np.int64)
    for row, count in zip(found, kept, strict=True):
        row[:count] = 1 + np.random.RandomState(count).permutation(199)[:count]
    return found


def last_std(signal: Signal) -> float:
    output = signal.layers[-1].output
    assert output is not None
    return output.std.median


KEPT = [2, 3, 4, 6, 12, 5, 2, 8]


def test_a_mean_is_that_of_the_steps_that_are_there() -> None:
    found = last_std(measured(stack({"type": "GlobalAveragePooling1D"}), ids=padded(KEPT)))
    # A mean of k independent numbers of variance 1; 3 draws of 8 examples of 64 units.
    expected = math.sqrt(np.mean([1 / k for k in KEPT]))
    assert found == pytest.approx(expected, rel=4 / math.sqrt(2 * 8 * 64))


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN"])
def test_a_recurrent_layer_ends_where_its_sequence_does(kind: str) -> None:
    layer = {"type": kind, "units": 9, "name": "last"}
    whole = measured(stack(layer), ids=padded([5] * 8))
    short = measured(stack(layer, steps=5), ids=padded([5] * 8, steps=5))
    assert last_std(whole) == pytest.approx(last_std(short), rel=1e-5)
    # A convolution passes no mask on.
    before = {"type": "Conv1D", "filters": 64, "kernel_size": 1}
    whole = measured(stack(before, layer), ids=padded([5] * 8))
    short = measured(stack(before, layer, steps=5), ids=padded([5] * 8, steps=5))
    assert last_std(whole) != pytest.approx(last_std(short), rel=1e-2)


def test_no_gradient_comes_from_steps_of_which_a_loss_sees_nothing() -> None:
    signal = measured(stack({"type": "Dense", "units": 32}), ids=padded(KEPT))
    gradient = signal.layers[-1].gradient
    assert gradient is not None
    share = sum(KEPT) / (12 * len(KEPT))
    entries = sum(KEPT) * 32
    assert gradient.rms.median == pytest.approx(math.sqrt(share), rel=4 / math.sqrt(2 * entries))
    lost = measured(stack({"type": "Flatten"}), ids=padded(KEPT)).layers[-1].gradient
    assert lost is not None
    assert lost.rms.median == pytest.approx(1.0, rel=4 / math.sqrt(2 * 8 * 12 * 64))


NOTE = "predictions assume that no mask hides a step from "


def test_a_note_says_where_predictions_leave_masks_out_of_account() -> None:
    spec = stack(
        {"type": "LSTM", "units": 4, "return_sequences": True},
        {"type": "Dense", "units": 3},
        {"type": "GlobalAveragePooling1D"},
        {"type": "BatchNormalization"},
    )
    layers = "'lstm' and 'global_average_pooling1d'"
    predicted = predict_signal(initcli.parse(json.dumps(spec)))
    assert predicted.notes == (NOTE + layers,)
    share = f"{1 - sum(KEPT) / (12 * len(KEPT)):.2g}"
    assert measured(spec, ids=padded(KEPT)).notes == (
        f"{NOTE}{layers}, and {share} of the steps are hidden",
    )
    assert measured(spec, ids=padded([12] * 8)).notes == ()
    assert measured(stack({"type": "Flatten"}), ids=padded(KEPT)).notes == ()


@pytest.mark.parametrize(
    ("arguments", "shape"),
    [
        ({"type": "GRU", "units": 4}, (6, 3)),
        ({"type": "RNN", "cell": [{"type": "LSTMCell", "units": 4}]}, (6, 3)),
        # Keras on JAX cannot; elsewhere it does as with other recurrent layers.
        ({"type": "ConvLSTM1D", "filters": 3, "kernel_size": 2}, (6, 5, 2)),
    ],
)
def test_a_spec_names_masks_of_a_call(arguments: dict[str, Any], shape: tuple[int, ...]) -> None:
    inputs = [
        {"type": "Input", "name": "x", "shape": shape},
        {"type": "Input", "name": "kept", "shape": [6], "dtype": "bool"},
    ]
    layer = {**arguments, "name": "layer", "inputs": "x", "masks": {"mask": "kept"}}
    again = {"call": "layer", "name": "again", "inputs": "x", "masks": {"mask": "kept"}}
    plain = {"call": "layer", "name": "plain", "inputs": "x"}
    spec = {"layers": [*inputs, layer, again, plain], "outputs": ["layer", "again", "plain"]}
    x, kept = wave((4, *shape), 0.0), np.ones((4, 6), bool)
    kept[:, 4:] = False
    first, same, other = measured(spec, x=x, kept=kept).layers[-3:]
    assert first.output == same.output != other.output
    short = {"layers": [{**inputs[0], "shape": [4, *shape[1:]]}, {**layer, "masks": None}]}
    assert first.output is not None
    expected = last_std(measured(short, x=x[:, :4]))
    assert first.output.std.median == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("form", ["keras 3 by place", "keras 3 by name", "keras 2"])
def test_a_mask_of_a_keras_file_is_no_input(form: str) -> None:
    known = dict(FACTS["models"])["mask_as_input"]["json"]
    layers = json.loads(json.dumps(known["config"]["layers"]))
    lstm = layers[-1]
    (node,) = lstm["inbound_nodes"]
    if form == "keras 3 by place":
        node["args"] += [None, node["kwargs"].pop("mask")]
    elif form == "keras 2":
        tensor = node["args"][0]["config"]["keras_history"]
        mask = node["kwargs"]["mask"]["config"]["keras_history"]
        lstm["inbound_nodes"] = [[[*tensor, {"mask": mask}]]]
    model = initcli.parse(json.dumps({**known, "config": {**known["config"], "layers": layers}}))
    (call,) = [step for step in program(model, BATCH).steps if step.name == lstm["name"]]
    assert len(call.inputs) == 1
    assert list(call.masks) == ["mask"]


@pytest.mark.parametrize(
    ("function", "arguments", "expected"),
    [
        ("LogicalXor", [{"input": 0}, {"input": 1}], [True, True, False]),
        ("LogicalOr", [{"input": 0}, {"input": 1}], [True, True, True]),
        ("LogicalAnd", [{"input": 0}, {"input": 1}], [False, False, True]),
        ("LogicalNot", [{"input": 0}], [False, True, False]),
        ("ZerosLike", [{"input": 0}, "bool"], [False, False, False]),
        ("OnesLike", [{"input": 0}, "float32"], [1.0, 1.0, 1.0]),
        ("Cast", [{"input": 0}, "float32"], [1.0, 0.0, 1.0]),
        ("Cast", [{"input": 0}, "int32"], [1, 0, 1]),
        ("CountNonzero", [{"input": 0}], 2),
        ("Mean", [{"input": 0}], 2 / 3),
        ("Any", [{"input": 0}], True),
        ("All", [{"input": 0}], False),
    ],
)
def test_operations_on_masks(function: str, arguments: list[Any], expected: Any) -> None:
    masks = np.array([True, False, True]), np.array([False, True, True])
    found = Operation(function=function, arguments=tuple(arguments)).call(
        Flow(xp=arrays, weights={}), *masks
    )
    assert np.asarray(found).tolist() == pytest.approx(expected)
    assert np.asarray(found).dtype != np.float64
