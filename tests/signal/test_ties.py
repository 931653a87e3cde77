"""Predictions where weights are used more than once, against what is measured."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

import initcli
from initcli.signal.figures import LayerSignal
from initcli.signal.measured import predict_signal
from support.signals import is_within, layers_of, stack_of


def is_near(layer: LayerSignal, tolerance: float) -> bool:
    assert layer.output is not None
    return is_within(layer.predicted.std, layer.output.std, tolerance)


def tied(
    rows: int, width: int, between: list[dict[str, Any]], initializer: dict[str, Any]
) -> list[dict[str, Any]]:
    """A table, what is between, and the table backwards."""
    table = {"input_dim": rows, "output_dim": width, "embeddings_initializer": initializer}
    return [
        {"type": "Input", "name": "tokens", "shape": [12], "dtype": "int32"},
        {"type": "ReversibleEmbedding", "name": "table", **table},
        *between,
        {"call": "table", "name": "logits", "reverse": True},
    ]


NORMAL = {"type": "RandomNormal", "stddev": 1.0}
SMALL = {"type": "RandomUniform", "minval": -0.05, "maxval": 0.05}
BRANCH: list[dict[str, Any]] = [
    {"type": "Dense", "name": "branch", "units": 128, "activation": "relu"},
    {"type": "Add", "inputs": ["branch", "table"]},
    {"type": "Dropout", "rate": 0.1},
    {"type": "LayerNormalization"},
]


@pytest.mark.parametrize("rows", [10, 100, 1000])
@pytest.mark.parametrize(("width", "initializer"), [(64, NORMAL), (256, NORMAL), (256, SMALL)])
def test_logits_of_a_tied_table_meet_their_own_row(
    rows: int, width: int, initializer: dict[str, Any]
) -> None:
    assert is_near(layers_of(tied(rows, width, [], initializer))[-1], 0.02)


@pytest.mark.parametrize(
    "between",
    [
        BRANCH,
        [{"type": "LayerNormalization"}],
        [{"type": "Activation", "activation": "tanh"}],
        [{"type": "Dense", "units": 128, "activation": "relu"}],
    ],
)
def test_logits_meet_what_is_left_of_their_own_row(between: list[dict[str, Any]]) -> None:
    found = layers_of(tied(60, 128, between, SMALL))
    assert is_near(found[-1], 0.03)


def test_the_variance_of_tied_logits_is_that_of_arithmetic() -> None:
    """N(0, 1) rows: one of V sums is |e|², of mean d and variance 2d, and others of variance d."""
    d, rows = 768, 1000
    model = initcli.parse(json.dumps({"layers": tied(rows, d, [], NORMAL)}))
    share = 1 / rows
    variance = (1 - share) * d + share * (2 * d + d * d) - (share * d) ** 2
    assert predict_signal(model).layers[-1].predicted.std == pytest.approx(
        math.sqrt(variance), rel=1e-3
    )


def test_a_table_that_meets_a_mean_of_rows_has_no_prediction() -> None:
    between: list[dict[str, Any]] = [
        {"type": "GlobalAveragePooling1D"},
        {"type": "RepeatVector", "n": 2},
    ]
    model = initcli.parse(json.dumps({"layers": tied(60, 128, between, NORMAL)}))
    assert predict_signal(model).layers[-1].predicted.std is None


def test_a_head_that_is_not_tied_is_independent_of_its_table() -> None:
    entries = tied(20, 128, [], NORMAL)
    entries[1] |= {"tie_weights": False}
    assert is_near(layers_of(entries)[-1], 0.02)


@pytest.mark.parametrize(
    ("activation", "kernel"), [("relu", "he_normal"), ("tanh", "lecun_normal")]
)
def test_one_layer_again_and_again_is_as_several_are(activation: str, kernel: str) -> None:
    """To leading order in the width, as for the steps of a recurrent layer."""
    layer = {"type": "Dense", "units": 256, "activation": activation, "kernel_initializer": kernel}
    first: dict[str, Any] = {"type": "Input", "name": "x", "shape": [256]}
    entries: list[dict[str, Any]] = [first, {**layer, "name": "again"}]
    entries += [{"call": "again", "name": f"call{number}"} for number in range(4)]
    for each in layers_of(entries):
        assert is_near(each, 0.05), each.call


def test_what_the_same_weights_have_made_is_added_by_what_it_has_in_common() -> None:
    dense = {"type": "Dense", "name": "same", "units": 128, "activation": "tanh", "inputs": "x"}
    entries: list[dict[str, Any]] = [
        {"type": "Input", "name": "x", "shape": [128]},
        dense,
        {"type": "Add", "name": "one", "inputs": ["x", "same"]},
        {"call": "same", "name": "second", "inputs": "one"},
        {"type": "Add", "name": "two", "inputs": ["one", "second"]},
        {"type": "Dense", "units": 128},
    ]
    layers = layers_of(entries)
    # As if they were independent, the std of `two` would be 9 % less.
    assert all(is_near(layer, 0.02) for layer in layers if layer.type != "InputLayer")
    # Gradients meet at x through the same kernel twice.
    assert layers[0].predicted.gradient_rms is None
    entries[3] = {**dense, "name": "second", "inputs": "one"}
    assert predict_signal(stack_of(entries)).layers[0].predicted.gradient_rms is not None


def dense(name: str, inputs: str, **given: Any) -> dict[str, Any]:
    return {"type": "Dense", "name": name, "units": 256, "inputs": inputs, **given}


def unrolled() -> list[dict[str, Any]]:
    """A recurrent layer written out, into which the input flows at each step."""
    entries = [dense("u", "x", activation="tanh"), dense("w", "u", activation="tanh")]
    before = "w"
    for k in range(3):
        entries.append({"call": "u", "name": f"u{k}", "inputs": "x"})
        entries.append({"type": "Add", "name": f"sum{k}", "inputs": [before, f"u{k}"]})
        before = f"w{k}"
        entries.append({"call": "w", "name": before, "inputs": f"sum{k}"})
    return entries


def two_heads() -> list[dict[str, Any]]:
    """One layer called twice, with another layer behind each call."""
    first = dense("f", "x", activation="tanh")
    again = {"call": "f", "name": "again", "inputs": "x"}
    heads = [dense("one", "f"), dense("two", "again")]
    return [first, again, *heads, {"type": "Add", "inputs": ["one", "two"]}]


@pytest.mark.parametrize("between", [unrolled(), two_heads()], ids=["unrolled", "two heads"])
def test_gradients_that_passed_the_same_weights_in_another_order_are_independent(
    between: list[dict[str, Any]],
) -> None:
    start = {"type": "Input", "name": "start", "shape": [256]}
    layers = layers_of([start, dense("x", "start"), *between, {"type": "Dense", "units": 10}])
    (x,) = (layer for layer in layers if layer.name == "x")
    assert x.gradient is not None
    assert is_within(x.predicted.gradient_rms, x.gradient.rms, 0.1)


def test_gradients_that_passed_the_same_weights_in_the_same_order_are_not_known() -> None:
    start = {"type": "Input", "name": "start", "shape": [256]}
    twice = [*two_heads()[:2], {"type": "Add", "inputs": ["f", "again"]}]
    entries = [start, dense("x", "start"), *twice, {"type": "Dense", "units": 10}]
    signal = predict_signal(stack_of(entries))
    known = {layer.name: layer.predicted.gradient_rms for layer in signal.layers}
    assert known["x"] is None
    assert known["f"] is not None
