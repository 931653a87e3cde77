"""The defaults of torch and flax against what the real PyTorch and Flax start with."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

import initcli
from initcli.laws import Law

FACTS: dict[str, Any] = json.loads(
    (Path(__file__).parent / "reference" / "framework_facts.json").read_text("utf-8")
)
CASES = [
    pytest.param(framework, case, id=f"{framework}-{case['layer']['type']}-{index}")
    for framework in ("torch", "flax")
    for index, case in enumerate(FACTS[framework])
]


def model_of(framework: str, layer: dict[str, Any], shapes: list[list[int]]) -> initcli.Model:
    inputs = [{"type": "Input", "name": f"in{i}", "shape": s} for i, s in enumerate(shapes)]
    entry = {**layer, "name": "it", "inputs": [each["name"] for each in inputs]}
    return initcli.parse(json.dumps({"defaults": framework, "layers": [*inputs, entry]}))


def standard_errors(law: Law, count: int) -> tuple[float, float]:
    """Those of a mean and of a standard deviation, for entries no heavier tailed than normal."""
    return law.std / math.sqrt(count), law.std / math.sqrt(2 * count)


@pytest.mark.parametrize(("framework", "case"), CASES)
def test_a_layer_starts_as_in_its_framework(framework: str, case: dict[str, Any]) -> None:
    model = model_of(framework, case["layer"], case["inputs"])
    laws = {each.path.removeprefix("it/"): each.law for each in model.parameters}
    assert case["tensors"]
    for name, seen in case["tensors"].items():
        law = laws[name]
        assert law is not None
        low, high = law.support
        rounding = 1e-6 * max(1.0, abs(seen["max"]))
        assert low - rounding <= seen["min"] <= seen["max"] <= high + rounding, name
        of_mean, of_std = standard_errors(law, seen["count"])
        # Five standard errors are passed once in two million; an orthogonal matrix's entries, which
        # depend on one another, stray less.
        assert abs(seen["mean"] - law.mean) <= 5 * of_mean + rounding, name
        assert abs(seen["std"] - law.std) <= 5 * of_std + rounding, name
        if math.isfinite(high) and law.std:
            # The law's ends are reached: of so many values one lies in the last thousandth.
            extent = max(abs(seen["min"]), abs(seen["max"]))
            assert extent >= (0.999 if "U(" in law.text else 0.9) * high, name


def test_what_the_spec_names_is_kept_and_the_rest_is_the_framework_s() -> None:
    layer = {"type": "Dense", "units": 4, "kernel_initializer": "glorot_uniform"}
    for framework, bias in (("torch", "RandomUniform"), ("flax", "Zeros"), ("keras", "Zeros")):
        model = model_of(framework, layer, [[16]])
        assert [p.initializer.type_name for p in model.parameters] == ["GlorotUniform", bias]
    model = model_of("torch", {**layer, "bias_initializer": None}, [[16]])
    assert [p.initializer.type_name for p in model.parameters] == ["GlorotUniform"] * 2


def test_what_a_framework_has_otherwise_is_said() -> None:
    model = model_of(
        "torch", {"type": "Bidirectional", "layer": {"type": "LSTM", "units": 4}}, [[5, 3]]
    )
    assert [note for note in model.notes if "bias_ih and bias_hh" in note]
    laws = {p.path: p.law.text for p in model.parameters if p.law}
    assert set(laws.values()) == {"U(-0.5, 0.5)"}
    model = model_of("torch", {"type": "ConvLSTM1D", "filters": 2, "kernel_size": 1}, [[5, 3, 3]])
    assert model.notes == ("torch has no ConvLSTM1D; its initializers are those of Keras",)


def test_the_argument_wins_over_the_spec() -> None:
    text = "{defaults: torch, input_shape: [4], layers: [{type: Dense, units: 2}]}"
    assert initcli.parse(text).defaults == "torch"
    assert initcli.parse(text, defaults="flax").parameters[0].initializer.type_name == "LecunNormal"
