"""How long it takes to read, check and resolve a model, beside what its JSON alone takes."""

from __future__ import annotations

import json
from typing import Any

import initcli
from support.beside import beside
from support.keras_models import models


def test_a_keras_model_of_1126_tensors(benchmark: Any) -> None:
    # NASNetMobile's own JSON: 771 layers.
    text = json.dumps(models("keras3")["nas_net_mobile"]["json"])
    model = beside(benchmark, lambda: json.loads(text), lambda: initcli.parse(text))
    assert len(model.parameters) == 1126


def test_a_block_that_repeats_to_1000_tensors(benchmark: Any) -> None:
    layers = [
        {"type": "LayerNormalization"},
        {"type": "Dense", "units": 64, "activation": "relu"},
        {"type": "LayerNormalization"},
        {"type": "Dense", "units": 32, "name": "down"},
        {"type": "Add", "inputs": ["input", "down"]},
    ]
    text = json.dumps({"input_shape": [32], "layers": [{"repeat": 125, "layers": layers}]})
    model = beside(benchmark, lambda: json.loads(text), lambda: initcli.parse(text))
    assert len(model.parameters) == 1000
