"""Predictions hold no more than is allowed: what cannot be afforded is left out and named."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest

import initcli
from initcli.signal.measured import predict_signal

LSTM = {"type": "LSTM", "units": 4, "return_sequences": True}
IDENTITY = {**LSTM, "type": "SimpleRNN", "recurrent_initializer": "identity"}
SAME = {"filters": 4, "kernel_size": 3, "padding": "same", "activation": "relu"}
HOSTILE: dict[str, tuple[list[int], dict[str, Any], int]] = {
    "recurrent": ([80, 4], LSTM, 12),
    "both ways": ([32, 4], {"type": "Bidirectional", "layer": LSTM}, 7),
    "gates": ([32, 4], {**LSTM, "type": "GRU"}, 4),
    "own state": ([80, 4], IDENTITY, 60),
    "images": ([2448, 2448, 4], {"type": "Conv2D", **SAME}, 60),
    "sequences": ([10**5, 4], {"type": "Conv1D", **SAME}, 48),
    "volumes": ([300, 300, 300, 4], {"type": "Conv3D", **SAME}, 60),
    "tokens": (
        [10**5, 4],
        {"type": "MultiHeadAttention", "num_heads": 2, "key_dim": 2, "inputs": ["x", "x"]},
        60,
    ),
    "pooled": ([3000, 3000, 4], {"type": "MaxPooling2D", "pool_size": 2, "strides": 1}, 90),
}
"""A shape, a layer, and the MiB that are allowed."""
COUNT = 16
BESIDE = 12 << 20
"""Bytes of tables, and of the model itself."""


def model_of(name: str) -> initcli.Model:
    shape, layer, _ = HOSTILE[name]
    layers: list[Any] = [{"type": "Activation", "activation": "linear", "name": "x"}]
    for index in range(COUNT):
        layers.append({**layer, "name": f"layer{index}"})
        if "inputs" in layer:
            layers[-1]["inputs"] = [f"layer{index - 1}" if index else "x"] * 2
    layers.append({"type": "Dense", "units": 3, "name": "last"})
    return initcli.parse(json.dumps({"input_shape": shape, "layers": layers}))


@pytest.mark.parametrize("name", HOSTILE)
def test_what_takes_too_much_is_left_out_and_named(name: str) -> None:
    model, allowed = model_of(name), HOSTILE[name][2] << 20
    with initcli.limited(positions=10**12):
        predict_signal(initcli.parse(json.dumps({"input_shape": [4], "layers": [SMALL]})))
        with initcli.limited(memory=allowed):
            tracemalloc.start()
            try:
                signal = predict_signal(model, batch=4)
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
    assert peak < allowed + BESIDE
    known = {layer.name: layer.predicted.std is not None for layer in signal.layers}
    (left_out,) = signal.left_out
    names = list(known)
    place = names.index(left_out)
    # Some of the layers are judged, up to the one that is named.
    assert place > 1
    assert all(known[each] for each in names[:place])
    assert not any(known[each] for each in names[place:])
    (note,) = [each for each in signal.notes if "memory" in each]
    assert f"'{left_out}' cannot be predicted" in note
    assert "--limit memory=" in note


SMALL = {"type": "Dense", "units": 4}


def test_what_is_independent_of_the_layer_left_out_is_predicted() -> None:
    text = {
        "layers": [
            {"type": "Input", "shape": [500, 4], "name": "a"},
            {"type": "Input", "shape": [16], "name": "b"},
            {**LSTM, "name": "long", "inputs": "a", "return_sequences": False},
            {"type": "Dense", "units": 8, "name": "short", "inputs": "b"},
            {"type": "Concatenate", "name": "joined", "inputs": ["long", "short"]},
            {"type": "Dense", "units": 2, "name": "last"},
        ]
    }
    with initcli.limited(memory=8 << 20):
        signal = predict_signal(initcli.parse(json.dumps(text)))
    known = {layer.name for layer in signal.layers if layer.predicted.std is not None}
    assert signal.left_out == ("long",)
    assert known == {"a", "b", "short"}


def test_check_names_it_and_judges_the_rest() -> None:
    positive = {"type": "RandomUniform", "minval": 0.0, "maxval": 1.0}
    first = {"type": "Dense", "units": 64, "kernel_initializer": positive, "activation": "relu"}
    layers = [first, {**LSTM, "name": "long"}, {"type": "Dense", "units": 3}]
    model = initcli.parse(json.dumps({"input_shape": [900, 4], "layers": layers}))
    with initcli.limited(memory=8 << 20):
        report = initcli.check(model, how="predicted")
    assert {each.layer for each in report.findings} == {"dense"}
    assert any("'long' cannot be predicted" in note for note in report.notes)


@pytest.mark.parametrize("name", ["images", "sequences", "volumes", "pooled"])
def test_nothing_is_left_out_at_the_usual_limit(name: str) -> None:
    shape, layer, _ = HOSTILE[name]
    with initcli.limited(positions=10**12):
        model = initcli.parse(json.dumps({"input_shape": shape, "layers": [layer] * 4}))
        assert predict_signal(model).left_out == ()
