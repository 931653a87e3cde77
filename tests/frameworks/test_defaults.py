"""The defaults of torch and flax against what the real PyTorch and Flax start with."""

from __future__ import annotations

import json
import math
from typing import Any, get_args

import numpy as np
import pytest

import initcli
from initcli.distributions import Distribution
from initcli.frameworks import Framework
from initcli.frameworks.base import Defaults
from initcli.registry import known
from support.layers import layer_cases
from support.paths import facts

FACTS: dict[str, Any] = facts("framework_facts.json")
CASES = [
    pytest.param(framework, case, id=f"{framework}-{case['layer']['type']}-{index}")
    for framework in ("torch", "flax")
    for index, case in enumerate(FACTS[framework])
]


def model_of(framework: str, layer: dict[str, Any], shapes: list[list[int]]) -> initcli.Model:
    inputs = [{"type": "Input", "name": f"in{i}", "shape": s} for i, s in enumerate(shapes)]
    entry = {**layer, "name": "it", "inputs": [each["name"] for each in inputs]}
    return initcli.parse(json.dumps({"defaults": framework, "layers": [*inputs, entry]}))


def standard_errors(distribution: Distribution, count: int) -> tuple[float, float]:
    """Those of a mean and of a standard deviation, for entries no heavier tailed than normal."""
    return distribution.std / math.sqrt(count), distribution.std / math.sqrt(2 * count)


@pytest.mark.parametrize(("framework", "case"), CASES)
def test_a_layer_starts_as_in_its_framework(framework: str, case: dict[str, Any]) -> None:
    model = model_of(framework, case["layer"], case["inputs"])
    distributions = {each.path.removeprefix("it/"): each.distribution for each in model.parameters}
    assert case["tensors"]
    for name, seen in case["tensors"].items():
        distribution = distributions[name]
        assert distribution is not None
        low, high = distribution.support
        rounding = 1e-6 * max(1.0, abs(seen["max"]))
        assert low - rounding <= seen["min"] <= seen["max"] <= high + rounding, name
        of_mean, of_std = standard_errors(distribution, seen["count"])
        # Five standard errors are passed once in two million; an orthogonal matrix's entries, which
        # depend on one another, stray less.
        assert abs(seen["mean"] - distribution.mean) <= 5 * of_mean + rounding, name
        assert abs(seen["std"] - distribution.std) <= 5 * of_std + rounding, name
        if math.isfinite(high) and distribution.std:
            # The distribution's tails are reached: what lies beyond all values has a probability of
            # e⁻³⁰ to be as much as this, or e⁻¹⁵ where a third of the entries depends on the
            # others.
            extent = np.array(max(abs(seen["min"]), abs(seen["max"])))
            assert 2 * distribution.cdf(-extent) * seen["count"] <= 30, name


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
    distributions = {p.path: p.distribution.text for p in model.parameters if p.distribution}
    assert set(distributions.values()) == {"U(-0.5, 0.5)"}
    model = model_of("torch", {"type": "ConvLSTM1D", "filters": 2, "kernel_size": 1}, [[5, 3, 3]])
    assert model.notes == ("torch has no ConvLSTM1D; its initializers are those of Keras",)


NOTED: dict[str, tuple[dict[str, Any], list[list[int]], str | None, str | None]] = {
    # The layer, its inputs, and what torch and flax are said to have otherwise.
    "packed": (
        {"type": "MultiHeadAttention", "num_heads": 4, "key_dim": 6},
        [[5, 24]],
        "in one in_proj_weight",
        None,
    ),
    "apart": (
        {"type": "MultiHeadAttention", "num_heads": 4, "key_dim": 6},
        [[5, 24], [6, 15], [6, 10]],
        None,
        None,
    ),
    "named": (
        {"type": "MultiHeadAttention", "num_heads": 4, "key_dim": 6, "kernel_initializer": "ones"},
        [[5, 24]],
        None,
        None,
    ),
    "gated": (
        {"type": "MultiHeadAttention", "num_heads": 4, "key_dim": 6, "use_gate": True},
        [[5, 24]],
        "has no gate",
        "has no gate",
    ),
    "lstm": ({"type": "LSTM", "units": 3}, [[5, 3]], "LSTM has two", "only for the state"),
    "lstm cell": (
        {"type": "LSTMCell", "units": 3},
        [[3]],
        "LSTMCell has two",
        "only for the state",
    ),
    "lstm without": (
        {"type": "LSTM", "units": 3, "use_bias": False},
        [[5, 3]],
        None,
        "always has a bias",
    ),
    "rnn cell": ({"type": "SimpleRNNCell", "units": 3}, [[3]], "RNNCell has two", None),
    "rnn without": (
        {"type": "SimpleRNN", "units": 3, "use_bias": False},
        [[5, 3]],
        None,
        "always has a bias",
    ),
    "gru": ({"type": "GRU", "units": 3}, [[5, 3]], None, "second for the candidate"),
    "gru cell": ({"type": "GRUCell", "units": 3}, [[3]], None, "second for the candidate"),
    "gru before": (
        {"type": "GRU", "units": 3, "reset_after": False},
        [[5, 3]],
        "bias_ih and bias_hh",
        "second for the candidate",
    ),
    "separable": (
        {"type": "SeparableConv1D", "filters": 3, "kernel_size": 2},
        [[5, 3]],
        "a bias as well",
        "a bias as well",
    ),
    "separable without": (
        {"type": "SeparableConv1D", "filters": 3, "kernel_size": 2, "use_bias": False},
        [[5, 3]],
        "starts as two",
        "starts as two",
    ),
    "spectral": (
        {"type": "SpectralNormalization", "layer": {"type": "Dense", "units": 3}},
        [[5, 3]],
        "v in addition to u",
        "also has a sigma of 1",
    ),
}


@pytest.mark.parametrize("name", NOTED)
def test_notes_say_what_this_very_layer_has_otherwise(name: str) -> None:
    layer, shapes, *expected = NOTED[name]
    for framework, note in zip(("torch", "flax"), expected, strict=True):
        notes = "; ".join(model_of(framework, layer, shapes).notes)
        if note is None:
            assert notes == ""
        else:
            assert note in notes
    if "without" in name:
        assert "bias as well" not in notes


CATALOG = layer_cases()
WRAPPERS: tuple[dict[str, Any], ...] = (
    {"type": "TimeDistributed"},
    {"type": "SpectralNormalization"},
    {"type": "WeightNormalization"},
)


@pytest.mark.parametrize("kind", sorted(CATALOG))
def test_every_layer_starts_somehow_in_every_framework(kind: str) -> None:
    """No layer, held by a wrapper or not, fails for its defaults; what has weights has its own."""
    for shape, arguments in CATALOG[kind]:
        layer = {"type": kind, **arguments}
        several = bool(shape) and isinstance(shape[0], list)
        made = [(layer, shape if several else [shape])]
        if not several:
            made += [({**each, "layer": layer}, [shape]) for each in WRAPPERS]
            made.append(({"type": "TimeDistributed", "layer": layer}, [[2, *shape]]))
        for entry, shapes in made:
            try:
                plain = model_of("keras", entry, shapes)
            except initcli.InvalidSpec:
                assert entry is not layer
                continue
            for framework in ("torch", "flax"):
                model = model_of(framework, entry, shapes)
                ours = [(p.path, p.shape, p.trainable, p.dtype) for p in model.parameters]
                assert ours == [(p.path, p.shape, p.trainable, p.dtype) for p in plain.parameters]
                for p in model.parameters:
                    p.initializer.distribution_for(p.shape)


def test_the_argument_wins_over_the_spec() -> None:
    text = "{defaults: torch, input_shape: [4], layers: [{type: Dense, units: 2}]}"
    assert initcli.parse(text).defaults == "torch"
    assert initcli.parse(text, defaults="flax").parameters[0].initializer.type_name == "LecunNormal"


def test_every_framework_can_be_named() -> None:
    assert set(get_args(Framework)) == {"keras", *known(Defaults)}
