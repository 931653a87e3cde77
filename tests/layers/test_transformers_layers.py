"""Layers and activations that Keras has not, against transformers and PyTorch.

The facts are those of tests/reference/make_transformers_layer_facts.py.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from autograd.builtins import tuple as boxed
from autograd.core import make_vjp

import initcli
from initcli.layers.flow import Flow
from initcli.signal import arrays
from support.paths import facts

FACTS: dict[str, Any] = facts("transformers_layer_facts.json")


def built(kind: str, shapes: list[list[int]], **arguments: Any) -> Any:
    """A layer on inputs of those shapes."""
    names = [f"in{k}" for k in range(len(shapes))]
    inputs = [{"type": "Input", "name": n, "shape": s} for n, s in zip(names, shapes, strict=True)]
    layer = {"type": kind, "name": "layer", "inputs": names, **arguments}
    return initcli.parse(json.dumps({"layers": [*inputs, layer]})).layers[-1].layer


def assert_same(layer: Any, fact: dict[str, Any], weights: dict[str, Any], **options: bool) -> None:
    """The output, and the gradients for one of 1, 2, … of the output."""
    inputs = [np.array(each) for each in fact["inputs"]]
    flow = Flow(xp=arrays, weights=weights)
    pull, output = make_vjp(lambda given: layer.call(flow, *given, **options), boxed(inputs))
    assert output == pytest.approx(np.array(fact["output"]), rel=1e-4, abs=1e-5)
    gradients = pull(np.arange(1.0, output.size + 1).reshape(output.shape))
    for found, wanted in zip(gradients, fact["gradients"], strict=True):
        assert found == pytest.approx(np.array(wanted), rel=1e-4, abs=1e-3)


@pytest.mark.parametrize("name", FACTS["activations"])
def test_activations(name: str) -> None:
    fact = FACTS["activations"][name]
    assert_same(built("Activation", [[32]], activation=name), fact, {})


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("mixtral", {"activation": "silu", "use_gate": True}),
        (
            "deepseek_v3",
            {"activation": "silu", "use_gate": True, "scoring": "sigmoid", "scale": 2.5},
        ),
        (
            "gpt_oss",
            {"activation": "quick_gelu", "use_gate": True, "offset": 1.0, "use_bias": True},
        ),
        ("nemotron_h", {"activation": "squared_relu", "scoring": "sigmoid"}),
    ],
)
def test_mixtures_of_experts(name: str, arguments: dict[str, Any]) -> None:
    fact = FACTS["mixtures"][name]
    given = {key: np.array(value) for key, value in fact["weights"].items()}
    router = given.get("gate.weight", given.get("router.weight"))
    assert router is not None
    weights = {"router": router.T}
    if name == "gpt_oss":
        for part, start in (("gate", 0), ("up", 1)):
            weights[part] = given["experts.gate_up_proj"][..., start::2]
            weights[f"{part}_bias"] = given["experts.gate_up_proj_bias"][..., start::2]
        weights |= {"down": given["experts.down_proj"], "router_bias": np.zeros(5)}
        weights["down_bias"] = given["experts.down_proj_bias"]
    else:
        into = given.get("experts.gate_up_proj", given.get("experts.up_proj"))
        assert into is not None
        parts = np.split(np.swapaxes(into, 1, 2), 2 if arguments.get("use_gate") else 1, 2)
        weights |= dict(zip(("gate", "up")[-len(parts) :], parts, strict=True))
        weights["down"] = np.swapaxes(given["experts.down_proj"], 1, 2)
    sizes = {"num_experts": 5, "top_k": 2, "units": 4}
    layer = built("MixtureOfExperts", [[7, 6]], **sizes, **arguments)
    names = {each.path for each in layer.parameters((None, 7, 6))}
    assert names == set(weights)
    assert_same(layer, fact, weights)


@pytest.mark.parametrize(
    ("name", "arguments", "causal"),
    [
        ("plain", {"num_heads": 4}, False),
        ("grouped", {"num_heads": 4, "num_key_value_heads": 2}, True),
        ("scaled", {"num_heads": 2, "num_key_value_heads": 1, "scale": 1.0}, True),
    ],
)
def test_attention_of_projections(name: str, arguments: dict[str, Any], causal: bool) -> None:
    fact = FACTS["attention"][name]
    shapes = [list(np.shape(each)[1:]) for each in fact["inputs"]]
    layer = built("DotProductAttention", shapes, **arguments)
    assert_same(layer, fact, {}, use_causal_mask=causal)
    # With dropout, scores are computed one by one.
    dropped = built("DotProductAttention", shapes, **arguments, dropout=1e-9)
    found = dropped.call(
        Flow(xp=arrays, weights={}, training=False),
        *(np.array(each) for each in fact["inputs"]),
        use_causal_mask=causal,
    )
    assert found == pytest.approx(np.array(fact["output"]), rel=1e-4, abs=1e-5)


def test_sines_of_positions_are_those_of_the_paper() -> None:
    layer = built("SinePositionEncoding", [[5, 6]])
    waves = layer.call(Flow(xp=arrays, weights={}), np.zeros((2, 5, 6)))
    for position in range(5):
        for pair in range(3):
            angle = position / 10000 ** (2 * pair / 6)
            both = waves[1, position, 2 * pair : 2 * pair + 2]
            assert both == pytest.approx([np.sin(angle), np.cos(angle)])


@pytest.mark.parametrize(
    ("scoring", "normalize", "gated"),
    [("softmax", True, True), ("softmax", False, False), ("sigmoid", True, False)],
)
def test_a_mixture_is_predicted_as_it_is_measured(
    scoring: str, normalize: bool, gated: bool
) -> None:
    mixture = {
        "type": "MixtureOfExperts",
        "num_experts": 8,
        "top_k": 2,
        "units": 128,
        "activation": "silu",
        "use_gate": gated,
        "scoring": scoring,
        "normalize": normalize,
        "router_initializer": {"type": "RandomNormal", "stddev": 0.08},
    }
    spec = {"input_shape": [32, 256], "layers": [{"type": "RMSNormalization"}, mixture]}
    signal = initcli.measure_signal(initcli.parse(json.dumps(spec)), batch=16, draws=3)
    layer, first = signal.layers[-1], signal.layers[0]
    # The mean square of 16 · 32 tokens of 256 entries varies by less than 2 % over draws of 8
    # experts, and shares are known within 1 %.
    assert layer.output is not None
    assert layer.predicted.std == pytest.approx(layer.output.std.median, rel=0.03)
    assert first.gradient is not None
    assert first.predicted.gradient_rms == pytest.approx(first.gradient.rms.median, rel=0.03)
