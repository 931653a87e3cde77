"""How long it takes to read, check and resolve a model, beside what its JSON alone takes.

pytest tests/benchmarks --benchmark-enable
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

import initcli

REFERENCE = Path(__file__).parents[1] / "reference"


@pytest.fixture(scope="module")
def keras_text() -> str:
    """NASNetMobile's own JSON: 771 layers and 1,126 tensors."""
    raw = gzip.decompress((REFERENCE / "keras3_models.json.gz").read_bytes())
    return json.dumps(json.loads(raw)["models"]["nas_net_mobile"]["json"])


@pytest.fixture(scope="module")
def block_text() -> str:
    """A spec of one block that repeats 125 times: 1,000 tensors."""
    layers = [
        {"type": "LayerNormalization"},
        {"type": "Dense", "units": 64, "activation": "relu"},
        {"type": "LayerNormalization"},
        {"type": "Dense", "units": 32, "name": "down"},
        {"type": "Add", "inputs": ["input", "down"]},
    ]
    return json.dumps({"input_shape": [32], "layers": [{"repeat": 125, "layers": layers}]})


@pytest.mark.benchmark(group="a Keras model of 1,126 tensors")
def test_json_alone(benchmark: Any, keras_text: str) -> None:
    benchmark(json.loads, keras_text)


@pytest.mark.benchmark(group="a Keras model of 1,126 tensors")
def test_read_checked_and_resolved(benchmark: Any, keras_text: str) -> None:
    model = benchmark(initcli.parse, keras_text)
    assert len(model.parameters) == 1126


@pytest.mark.benchmark(group="a spec of 1,000 tensors")
def test_json_of_a_spec_alone(benchmark: Any, block_text: str) -> None:
    benchmark(json.loads, block_text)


@pytest.mark.benchmark(group="a spec of 1,000 tensors")
def test_a_spec_with_a_block(benchmark: Any, block_text: str) -> None:
    model = benchmark(initcli.parse, block_text)
    assert len(model.parameters) == 1000
