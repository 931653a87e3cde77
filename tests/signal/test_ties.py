"""Predictions where weights are used more than once, against what is measured."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

import initcli
from initcli.signal.figures import LayerSignal
from initcli.signal.measured import measure_signal, predict_signal

DRAWS = 12


def layers_of(entries: list[dict[str, Any]], batch: int = 16) -> list[LayerSignal]:
    model = initcli.parse(json.dumps({"layers": entries}))
    return list(measure_signal(model, batch=batch, draws=DRAWS).layers)


def is_near(layer: LayerSignal, tolerance: float) -> bool:
    """Within a tolerance and four standard errors of what is measured."""
    assert layer.output is not None
    seen = layer.output.std
    error = math.log(seen.high / seen.low) / 3.258 * math.sqrt(math.pi / 2 / DRAWS)
    assert layer.predicted.std is not None
    off = abs(math.log(layer.predicted.std / seen.median))
    return off < math.log1p(tolerance) + 4 * error


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


def test_what_the_same_weights_have_made_is_not_added_as_if_it_were_independent() -> None:
    dense = {"type": "Dense", "name": "same", "units": 64, "activation": "tanh", "inputs": "x"}
    entries: list[dict[str, Any]] = [
        {"type": "Input", "name": "x", "shape": [64]},
        dense,
        {"type": "Add", "name": "one", "inputs": ["x", "same"]},
        {"call": "same", "name": "second", "inputs": "one"},
        {"type": "Add", "name": "two", "inputs": ["one", "second"]},
        {"type": "Dense", "units": 64},
    ]
    model = initcli.parse(json.dumps({"layers": entries}))
    found = {f"{each.name} {each.call}": each.predicted for each in predict_signal(model).layers}
    assert found["two 0"].std is None
    assert found["one 0"].std is not None
    assert found["same 1"].std is not None
    # Gradients meet at x through the same kernel twice.
    assert found["x 0"].gradient_rms is None
    entries[3] = {**dense, "name": "second", "inputs": "one"}
    model = initcli.parse(json.dumps({"layers": entries}))
    assert all(each.predicted.std is not None for each in predict_signal(model).layers)
    assert all(each.predicted.gradient_rms is not None for each in predict_signal(model).layers)
