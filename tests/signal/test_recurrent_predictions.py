"""Predictions of recurrent layers, against what is measured of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

import initcli
from initcli.signal.measured import measure_signal
from support.signals import DRAWS, layers_of, misses

INPUT = {"type": "Input", "name": "x", "shape": [6, 64]}


@pytest.mark.parametrize("kind", ["SimpleRNN", "GRU", "LSTM"])
def test_stacks_of_few_steps_are_predicted(kind: str) -> None:
    """States grow from step to step, so that every two steps have variances of their own."""
    layer = {"type": kind, "units": 128, "return_sequences": True}
    assert not misses(layers_of([INPUT, *[layer] * 5]), 0.05, 0.10)


@pytest.mark.parametrize(
    ("kind", "states"), [("SimpleRNN", [1]), ("GRU", [1]), ("LSTM", [1]), ("LSTM", [2])]
)
@pytest.mark.parametrize("sequences", [True, False])
def test_gradients_enter_through_returned_states(
    kind: str, states: list[int], sequences: bool
) -> None:
    recurrent = {"units": 128, "return_state": True, "return_sequences": sequences}
    heads: list[dict[str, Any]] = [
        {"type": "Dense", "units": 96, "inputs": {"layer": "recurrent", "output": output}}
        for output in (*states, 0)
    ]
    entries = [
        INPUT,
        {"type": "Dense", "units": 128},
        {"type": kind, "name": "recurrent", **recurrent},
        *heads,
    ]
    model = {"layers": entries, "outputs": ["dense_1", "dense_2"]}
    assert not misses(measured(model), 0.05, 0.10)


def test_states_of_both_directions_are_predicted() -> None:
    inner = {"type": "LSTM", "units": 96, "return_state": True, "return_sequences": True}
    entries = [
        INPUT,
        {"type": "Bidirectional", "name": "both", "layer": inner},
        *(
            {"type": "Dense", "units": 96, "inputs": {"layer": "both", "output": output}}
            for output in (2, 3)
        ),
    ]
    assert not misses(measured({"layers": entries, "outputs": ["dense", "dense_1"]}), 0.05, 0.10)


@pytest.mark.parametrize("kind", ["SimpleRNN", "GRU", "LSTM"])
@pytest.mark.parametrize("framework", ["torch", "flax"])
def test_gates_have_the_biases_of_the_framework(kind: str, framework: str) -> None:
    layer = {"type": kind, "units": 128, "return_sequences": True}
    model = {"defaults": framework, "input_shape": [12, 96], "layers": [layer] * 3}
    assert not misses(measured(model), 0.06, 0.10)


def measured(spec: dict[str, Any]) -> list[Any]:
    model = initcli.parse(json.dumps(spec))
    return list(measure_signal(model, batch=16, draws=DRAWS).layers)


@pytest.mark.parametrize(
    ("kind", "activation"),
    [("SimpleRNN", "relu"), ("SimpleRNN", "tanh"), ("GRU", "tanh"), ("LSTM", "tanh")],
)
def test_layers_that_start_as_the_identity_are_predicted(kind: str, activation: str) -> None:
    layer = {"type": kind, "units": 192, "activation": activation, "return_sequences": True}
    layer |= {"recurrent_initializer": "identity"}
    state = {**layer, "return_sequences": False, "return_state": True, "name": "last"}
    head = {"type": "Dense", "units": 96, "inputs": {"layer": "last", "output": 1}}
    entries = [INPUT, layer, state, head]
    assert not misses(measured({"layers": entries})[1:], 0.08, 0.10)
