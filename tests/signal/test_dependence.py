"""Predictions where tensors that meet depend on one another, against what is measured."""

from __future__ import annotations

import math
from typing import Any

import pytest

from initcli.signal.measured import predict_signal
from support.signals import is_within, layers_of, misses, stack_of

VECTOR: dict[str, Any] = {"type": "Input", "shape": [128]}
IMAGE: dict[str, Any] = {"type": "Input", "shape": [8, 8, 32]}
DENSE: dict[str, Any] = {"type": "Dense", "units": 192, "activation": "relu"}
CONV: dict[str, Any] = {"type": "Conv2D", "filters": 96, "kernel_size": 3, "padding": "same"}
ENCODERS: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "dense": (VECTOR, [DENSE, {"type": "Dropout", "rate": 0.2}, DENSE, DENSE]),
    "normalized": (
        IMAGE,
        [CONV, {"type": "BatchNormalization"}, {"type": "ReLU"}, {"type": "Flatten"}, DENSE, DENSE],
    ),
    "recurrent": (
        {"type": "Input", "shape": [6, 64]},
        [{"type": "LSTM", "units": 128}, DENSE, DENSE],
    ),
    "looked up": (
        {"type": "Input", "shape": [6], "dtype": "int32"},
        [{"type": "Embedding", "input_dim": 20, "output_dim": 64}, {"type": "Flatten"}, DENSE],
    ),
}


def two_of_a_kind(encoder: str, join: str) -> list[dict[str, Any]]:
    """One encoder for two inputs, whose outputs are joined."""
    source, layers = ENCODERS[encoder]
    return [
        {**source, "name": "a"},
        {**source, "name": "b"},
        {"type": "Sequential", "name": "encoder", "inputs": "a", "layers": layers},
        {"call": "encoder", "name": "second", "inputs": "b"},
        {"type": join, "name": "join", "inputs": ["encoder", "second"]},
        {"type": "Dense", "units": 128},
    ]


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("join", ["Subtract", "Multiply"])
def test_outputs_of_one_encoder_for_two_inputs_are_correlated(encoder: str, join: str) -> None:
    layers = layers_of(two_of_a_kind(encoder, join))
    assert not misses([each for each in layers if each.type != "InputLayer"], 0.08, 0.15)


@pytest.mark.parametrize("join", ["Add", "Average", "Maximum", "Minimum"])
def test_correlated_outputs_are_joined_in_any_way(join: str) -> None:
    layers = layers_of(two_of_a_kind("dense", join))
    assert not misses([each for each in layers if each.type != "InputLayer"], 0.05, 0.10)


@pytest.mark.parametrize("join", ["Maximum", "Minimum"])
@pytest.mark.parametrize(
    ("first", "second"), [("softplus", "softsign"), ("linear", "linear"), ("relu", "relu")]
)
def test_the_larger_of_two_branches_gets_the_gradient(join: str, first: str, second: str) -> None:
    entries = [
        {**VECTOR, "name": "x"},
        {"type": "Dense", "name": "a", "units": 256, "activation": first, "inputs": "x"},
        {"type": "Dense", "name": "b", "units": 256, "activation": second, "inputs": "x"},
        {"type": join, "name": "join", "inputs": ["a", "b"]},
        {"type": "Dense", "units": 128},
    ]
    assert not misses(layers_of(entries)[1:], 0.03, 0.05)


def test_the_larger_of_a_tensor_and_what_is_made_from_it_is_predicted() -> None:
    entries = [
        {**VECTOR, "name": "x"},
        {"type": "Dense", "name": "a", "units": 256},
        {"type": "Activation", "name": "b", "activation": "tanh"},
        {"type": "Maximum", "name": "c", "inputs": ["a", "b"]},
        {"type": "Dense", "name": "d", "units": 256, "inputs": "c"},
        {"type": "Minimum", "name": "e", "inputs": ["c", "d", "b"]},
        {"type": "Dense", "units": 128},
    ]
    # What three have in common pairwise does not say what is the least of them.
    entries[5] = {"type": "Minimum", "name": "e", "inputs": ["c", "d"]}
    assert not misses(layers_of(entries)[1:4], 0.03, 0.10)
    assert not misses(layers_of(entries)[4:], 0.03, 0.10)


@pytest.mark.parametrize(
    ("function", "join"),
    [
        ("sigmoid", "Multiply"),
        ("tanh", "Multiply"),
        ("relu", "Add"),
        ("tanh", "Subtract"),
        ("softplus", "Average"),
    ],
)
def test_branches_of_functions_of_one_tensor_send_back_one_gradient(
    function: str, join: str
) -> None:
    """Such as x · σ(x), written as a graph."""
    entries: list[dict[str, Any]] = [{**VECTOR, "name": "x"}]
    for n in range(3):
        entries += [
            {"type": "Dense", "name": f"d{n}", "units": 192},
            {"type": "Activation", "name": f"f{n}", "activation": function},
            {"type": "Rescaling", "name": f"h{n}", "scale": -2.0, "inputs": f"d{n}"},
            {"type": join, "name": f"j{n}", "inputs": [f"h{n}", f"f{n}"]},
        ]
    entries.append({"type": "Dense", "name": "last", "units": 128})
    # As if both were independent, that of d0 would be off by a quarter and more.
    assert not misses(layers_of(entries)[1:], 0.05, 0.05)


def test_gradients_keep_to_large_entries_through_sums() -> None:
    """Behind each sum a ReLU lets the gradients of the large entries through."""
    entries: list[dict[str, Any]] = [{**VECTOR, "name": "r0"}]
    for n in range(8):
        entries += [
            {"type": "Dense", "name": f"y{n}", "units": 128, "inputs": f"r{n}"},
            {"type": "Add", "name": f"s{n}", "inputs": [f"r{n}", f"y{n}"]},
            {"type": "ReLU", "name": f"r{n + 1}"},
        ]
    # As if they were independent, the gradient of r0 would be a third less.
    assert not misses(layers_of(entries)[1:], 0.08, 0.08)


@pytest.mark.parametrize("join", ["Multiply", "Subtract"])
def test_a_tensor_and_its_own_mean_are_joined(join: str) -> None:
    entries = [
        {**IMAGE, "name": "x"},
        {**CONV, "name": "c"},
        {"type": "Reshape", "name": "r", "target_shape": [64, 96]},
        {"type": "GlobalAveragePooling1D", "name": "m"},
        {"type": join, "name": "p", "inputs": ["r", "m"]},
    ]
    last = layers_of(entries)[-1]
    assert last.output is not None
    assert is_within(last.predicted.std, last.output.std, 0.1)


def test_a_tensor_and_its_window_have_no_prediction() -> None:
    """What they have in common is known of none of the rules."""
    entries = [
        {**IMAGE, "name": "x"},
        {**CONV, "name": "c"},
        {"type": "MaxPooling2D", "name": "m", "pool_size": 3, "strides": 1, "padding": "same"},
        {"type": "Subtract", "name": "p", "inputs": ["c", "m"]},
    ]
    assert predict_signal(stack_of(entries)).layers[-1].predicted.std is None


@pytest.mark.parametrize("function", ["tanh", "swish"])
def test_sums_of_few_entries_send_gradients_to_some_of_them(function: str) -> None:
    """An entry of a depthwise convolution is a ninth of the sum, whose slope it then decides."""
    weights = {"type": "RandomNormal", "stddev": 0.3}
    depthwise = {"type": "DepthwiseConv2D", "kernel_size": 3, "padding": "same"}
    entries: list[dict[str, Any]] = [{**IMAGE, "name": "x"}]
    for n in range(4):
        entries += [
            {**CONV, "name": f"c{n}", "kernel_size": 1},
            {"type": "BatchNormalization", "name": f"b{n}"},
            {"type": "Activation", "name": f"a{n}", "activation": function},
            {**depthwise, "name": f"w{n}", "depthwise_initializer": weights},
            {"type": "BatchNormalization", "name": f"v{n}"},
            {"type": "Activation", "name": f"u{n}", "activation": function},
        ]
    entries.append({**CONV, "name": "last"})
    layers = {each.name: each for each in layers_of(entries, batch=8)}
    for n in range(4):
        before, after = layers[f"b{n}"], layers[f"a{n}"]
        assert before.gradient
        assert before.predicted.gradient_rms
        assert after.gradient
        assert after.predicted.gradient_rms
        predicted = before.predicted.gradient_rms / after.predicted.gradient_rms
        # As if gradient and slope were independent, it would be 3 % less at each of them.
        found = before.gradient.rms.median / after.gradient.rms.median
        assert abs(math.log(predicted / found)) < 0.015
