"""Files of Keras before 3 against what those releases made of them.

Facts are from tests/reference/make_old_keras_facts.py; what no environment could be had for is
reasoned from the tag's source, and says so.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import initcli
from initcli.layers.flow import Flow
from initcli.parameter import Parameter
from initcli.signal import arrays
from initcli.signal.program import program

FACTS: dict[str, Any] = json.loads(
    (Path(__file__).parent / "reference" / "old_keras_facts.json").read_text("utf-8")
)
MODELS = [(v, name) for v, facts in FACTS.items() for name in facts["models"]]
CALLS = [(v, name) for v, facts in FACTS.items() for name in facts["calls"]]


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
        law = parameters[0].law
        assert law is not None
        square = sum(w["square"] * n for w, n in zip(weights, sizes, strict=True)) / sum(sizes)
        expected = law.std**2 + law.mean**2
        # The mean square of n values of no more than a normal's kurtosis is within 5 √(2/n).
        assert square == pytest.approx(expected, rel=5 * math.sqrt(2 / sum(sizes)), abs=1e-12), key
        most = max(max(w["most"], -w["least"]) for w in weights)
        low, high = law.support
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
    flow = Flow(np=arrays, weights=weights, training=False)
    found = step.layer.call(flow, waves([2, *fact["shape"]], 0.0))
    assert np.asarray(found) == pytest.approx(np.array(fact["output"]), abs=2e-6)
