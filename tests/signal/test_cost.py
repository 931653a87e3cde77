"""Estimates of what a measurement holds, beside what it really allocates."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest

import initcli
from initcli.signal import cost
from initcli.signal.cost import room
from initcli.signal.measured import measure_signal
from initcli.signal.planning import planned

IMAGE = [48, 48, 8]
X = {"type": "Activation", "activation": "linear", "name": "x"}
BOTH = {"inputs": ["x", "x"]}
STACKS: dict[str, tuple[list[int], list[dict[str, Any]]]] = {
    "dense": ([512], [{"type": "Dense", "units": 1024}]),
    "function": (IMAGE, [{"type": "Activation", "activation": "gelu"}]),
    "layer norm": (IMAGE, [{"type": "LayerNormalization"}]),
    "batch norm": (IMAGE, [{"type": "BatchNormalization"}]),
    "convolution": (
        IMAGE,
        [{"type": "Conv2D", "filters": 8, "kernel_size": 3, "activation": "gelu"}],
    ),
    "stem": ([64, 64, 3], [{"type": "Conv2D", "filters": 16, "kernel_size": 7, "strides": 2}]),
    "far dilation": (
        IMAGE,
        [
            {
                "type": "Conv2D",
                "filters": 8,
                "kernel_size": 3,
                "padding": "same",
                "dilation_rate": 40,
            }
        ],
    ),
    "wide pool": (
        IMAGE,
        [{"type": "MaxPooling2D", "pool_size": 3000, "strides": 1, "padding": "same"}],
    ),
    "wide mean": (
        IMAGE,
        [{"type": "AveragePooling2D", "pool_size": 3000, "strides": 1, "padding": "same"}],
    ),
    "lstm": ([100, 16], [{"type": "LSTM", "units": 64}]),
    "long lstm": ([1000, 2], [{"type": "LSTM", "units": 2}]),
    "gru": ([100, 16], [{"type": "GRU", "units": 64, "return_sequences": True}]),
    "both ways": ([100, 16], [{"type": "Bidirectional", "layer": {"type": "LSTM", "units": 32}}]),
    "heads": ([32, 8], [X, {"type": "MultiHeadAttention", "num_heads": 500, "key_dim": 1, **BOTH}]),
    "positions": (
        [400, 8],
        [X, {"type": "MultiHeadAttention", "num_heads": 2, "key_dim": 4, **BOTH}],
    ),
    "dropped": (
        [128, 8],
        [X, {"type": "MultiHeadAttention", "num_heads": 4, "key_dim": 4, "dropout": 0.1, **BOTH}],
    ),
    "additive": ([64, 16], [X, {"type": "AdditiveAttention", **BOTH}]),
}


@pytest.mark.parametrize("name", STACKS)
def test_a_measurement_holds_no_more_than_was_said(name: str) -> None:
    shape, layers = STACKS[name]
    model = initcli.parse(json.dumps({"input_shape": shape, "layers": layers}))
    plan = planned(model, batch=16, draws=1)
    measure_signal(model, plan=planned(model, batch=1, draws=1), theory=False)
    tracemalloc.start()
    try:
        measure_signal(model, plan=plan, theory=False)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    said = cost.cost(plan.program, model.dtype).bytes - cost._BESIDE
    # Blocks in a processor's cache, and rows of figures, take a few MiB however small the rest.
    assert peak < said + (12 << 20)
    assert said < 12 * peak


def test_the_limit_is_no_more_than_the_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    with initcli.limited(memory=1 << 40):
        assert room() < 1 << 40
    monkeypatch.setattr(cost, "physical_memory", lambda: 1 << 40)
    with initcli.limited(memory=1 << 30):
        assert room() == 1 << 30
