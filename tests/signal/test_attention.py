"""How even attention is at the start, measured and predicted, against Keras.

The facts are those of tests/reference/make_attention_facts.py.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

import initcli
from initcli.layers.flow import Flow
from initcli.signal import arrays
from initcli.signal.attending import measured_attention, predicted_attention
from initcli.signal.figures import AttentionSignal
from initcli.signal.hermite import NODES
from initcli.signal.measured import measure_signal, predict_signal
from initcli.signal.program import program
from initcli.signal.rules.base import Attended
from initcli.signal.softmax import largest_share, softmax_entropy
from support.paths import TOUR, facts
from support.running import run
from support.waves import wave

FACTS: dict[str, Any] = facts("attention_facts.json")


@pytest.mark.parametrize("case", FACTS["calls"], ids=lambda case: f"{case['type']} {case['what']}")
def test_the_figures_of_a_call_are_those_of_keras(case: dict[str, Any]) -> None:
    names = [f"in{k}" for k in range(len(case["shapes"]))]
    entries = [
        {"type": "Input", "name": name, "shape": shape}
        for name, shape in zip(names, case["shapes"], strict=True)
    ]
    causal = {"use_causal_mask": True} if case["what"] == "causal" else {}
    layer = {"type": case["type"], **case["arguments"], "name": "it", "inputs": names, **causal}
    built = program(initcli.parse(json.dumps({"layers": [*entries, layer], "outputs": ["it"]})), 3)
    step = built.steps[-1]
    assert list(step.weights) == case["weights"]
    weights = {
        name: wave(parameter.shape, 5.0 + k) * np.float32(case["scale"])
        for k, (name, parameter) in enumerate(step.weights.items())
    }
    inputs = [wave((3, *shape), 0.3 + k) for k, shape in enumerate(case["shapes"])]
    masks: dict[str, Any] = {}
    if case["what"] == "mask":
        sizes = case["shapes"][0][0], case["shapes"][1][0]
        masks = {"attention_mask": wave((3, *sizes), 2.0) > -0.5}
    flow = Flow(xp=arrays, weights=weights, given_masks=masks, masks=(None,) * len(inputs))
    found = measured_attention(step, flow, inputs)
    assert found is not None
    told = [found.whole, *found.by_head]
    for ours, theirs in zip(told, [case["figures"], *case["by_head"]], strict=True):
        for name, value in theirs.items():
            assert getattr(ours, name) == pytest.approx(value, rel=2e-4, abs=1e-5)


def stack(case: dict[str, Any]) -> initcli.Model:
    made = "glorot_uniform"
    if case["stddev"]:
        made = {"type": "RandomNormal", "stddev": case["stddev"]}  # type: ignore[assignment]
    heads = {"num_heads": 4, "key_dim": 32, "kernel_initializer": made}
    seen = {"use_causal_mask": True} if case["causal"] else {}
    attention = {"type": "MultiHeadAttention", **heads, **seen}
    norm = {"type": "LayerNormalization"}
    block = [
        {**norm, "name": "ln"},
        {**attention, "name": "attention", "inputs": ["ln", "ln"]},
        {"type": "Add", "name": "sum", "inputs": ["input", "attention"]},
        norm,
        {"type": "Dense", "units": 512, "activation": "gelu"},
        {"type": "Dense", "units": 128, "name": "down"},
        {"type": "Add", "inputs": ["sum", "down"]},
    ]
    blocks = [{"repeat": case["blocks"], "layers": block}] if case["blocks"] else []
    last = [{**norm, "name": "ln"}, {**attention, "name": "last", "inputs": ["ln", "ln"]}]
    return initcli.parse(
        json.dumps({"input_shape": [case["steps"], 128], "layers": [*blocks, *last]})
    )


def last_of(signal: initcli.Signal) -> AttentionSignal:
    found: AttentionSignal = signal.attention[-1]
    assert found.layer == "last"
    return found


@pytest.mark.parametrize(
    "case", FACTS["stacks"], ids=lambda case: "-".join(map(str, list(case.values())[:4]))
)
def test_fresh_stacks_are_as_even_as_in_keras(case: dict[str, Any]) -> None:
    model = stack(case)
    draws = case["draws"]
    count = 3
    measured = last_of(measure_signal(model, batch=4, draws=count))
    predicted = measured.predicted
    alone = last_of(predict_signal(model)).predicted
    assert predicted is not None
    assert alone is not None
    for name, room in (("logit_std", 0.04), ("entropy", 0.02), ("saturated", 0.02)):
        values = [each[name] for each in draws]
        middle, spread = float(np.median(values)), float(np.std(values))
        # The error of a median is 1.25 times that of a mean.
        error = 6 * 1.25 * spread * math.sqrt(1 / len(values) + 1 / count)
        ours = getattr(measured, name)
        assert ours.median == pytest.approx(middle, abs=error + 1e-6)
        scale = 1.0 if name != "logit_std" else middle
        for told in (predicted, alone):
            assert getattr(told, name) == pytest.approx(middle, abs=room * scale)


@pytest.mark.parametrize("variance", [0.01, 1.0, 9.0, 100.0])
@pytest.mark.parametrize("keys", [2, 30, 400])
def test_a_softmax_of_normal_scores(keys: int, variance: float) -> None:
    rng = np.random.default_rng(keys)
    std, rows = math.sqrt(variance), 6000
    scores = std * rng.standard_normal((rows, keys))
    shares = np.exp(scores - scores.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    entropies = -(shares * np.log(np.maximum(shares, 1e-300))).sum(1)
    n = np.array([float(keys)])
    error = 5 * entropies.std() / math.sqrt(rows)
    assert softmax_entropy(std * NODES, n)[0] == pytest.approx(entropies.mean(), abs=error + 1e-4)
    share = float(np.mean(shares.max(1) > 0.9))
    error = 5 * math.sqrt(max(share * (1 - share), 1 / rows) / rows)
    assert largest_share(std, n, 0.9)[0] == pytest.approx(share, abs=error + 2e-3)


def test_rows_that_see_one_key_do_not_count() -> None:
    attended = Attended(variance=1.0, seen=np.array([1.0, 1.0]), uneven=0.1)
    assert predicted_attention(attended) is None
    even = predicted_attention(Attended(0.0, np.array([1.0, 2.0, 50.0]), 0.1))
    assert even is not None
    assert (even.logit_std, even.saturated) == (0.0, 0.0)
    assert even.entropy == pytest.approx(1.0, abs=1e-3)


def test_what_theory_does_not_cover_is_measured_alone() -> None:
    layer = {"type": "AdditiveAttention", "name": "it", "inputs": ["a", "a"]}
    spec = {"layers": [{"type": "Input", "name": "a", "shape": [6, 8]}, layer]}
    (found,) = measure_signal(initcli.parse(json.dumps(spec)), batch=4, draws=2).attention
    assert found.predicted is None
    assert found.entropy is not None
    assert 0 < found.entropy.median < 1


def test_scores_are_of_kernels_times_their_multipliers() -> None:
    layer = {"type": "MultiHeadAttention", "num_heads": 4, "key_dim": 16, "inputs": ["a", "a"]}
    spec = {"layers": [{"type": "Input", "name": "a", "shape": [16, 64]}, layer]}
    plain, scaled = (
        measure_signal(initcli.parse(json.dumps({**spec, **more})), batch=4, draws=1).attention[0]
        for more in ({}, {"parametrization": "ntk"})
    )
    # Glorot's kernels, and standard normal ones times 1/√64, have one size here.
    assert plain.logit_std is not None
    assert scaled.logit_std is not None
    assert scaled.logit_std.median == pytest.approx(plain.logit_std.median, rel=0.1)


def test_many_scores_are_sampled_evenly() -> None:
    heads = {"num_heads": 8, "key_dim": 4, "inputs": ["a", "a"]}
    layer = {"type": "MultiHeadAttention", "name": "it", **heads}
    spec = {"layers": [{"type": "Input", "name": "a", "shape": [600, 16]}, layer]}
    signal = measure_signal(initcli.parse(json.dumps(spec)), batch=2, draws=1)
    (found,) = signal.attention
    assert found.entropy is not None
    assert found.predicted is not None
    assert found.entropy.median == pytest.approx(found.predicted.entropy, abs=0.05)
    assert len(found.by_head) == 8
    entropies = [each.entropy.median for each in found.by_head if each.entropy is not None]
    assert sum(entropies) / 8 == pytest.approx(found.entropy.median)


def test_heads_that_differ_are_shown(tmp_path: Any) -> None:
    path = tmp_path / "spec.json"
    heads = {"num_heads": 6, "key_dim": 2, "inputs": ["a", "a"]}
    layer = {"type": "MultiHeadAttention", "name": "it", **heads}
    spec = {"layers": [{"type": "Input", "name": "a", "shape": [32, 8]}, layer]}
    path.write_text(json.dumps(spec))
    shown = run("signal", path, "--draws", "1").stdout
    report = json.loads(run("signal", path, "--draws", "1", "--format", "json").stdout)
    spreads = [each["logit_std"]["median"] for each in report["attention"][0]["by_head"]]
    assert len(spreads) == 6
    assert max(spreads) > 1.25 * min(spreads)
    assert f"{min(spreads):.3g} … {max(spreads):.3g}" in shown
    assert "by head" not in run("signal", path, "--theory").stdout


def test_attention_is_shown_where_it_is(tmp_path: Any) -> None:
    path = tmp_path / "spec.json"
    made = json.loads(stack(FACTS["stacks"][1]).document.text)
    path.write_text(json.dumps(made))
    shown = run("signal", path, "--theory").stdout
    (heading,) = (line for line in shown.splitlines() if line.startswith("attention "))
    assert heading.split()[1:] == ["logit", "std", "entropy", "/", "ln", "n", "saturated", "keys"]
    report = json.loads(run("signal", path, "--theory", "--format", "json").stdout)
    assert [each["layer"].rpartition("/")[2] for each in report["attention"]] == [
        *["attention"] * 3,
        "last",
    ]
    filtered = run("signal", path, "--theory", "--filter", "last", "--format", "json").stdout
    assert [each["layer"] for each in json.loads(filtered)["attention"]] == ["last"]
    assert "attention" not in run("signal", TOUR, "--theory").stdout


def test_attention_along_one_of_two_axes_is_predicted() -> None:
    # Rows of 16 positions, then columns: positions of a row have more in common than others.
    made = {"type": "RandomNormal", "stddev": 0.1}
    attention = {"type": "MultiHeadAttention", "num_heads": 4, "key_dim": 16}
    layers = [
        {**attention, "name": name, "inputs": [takes, takes], "attention_axes": axis}
        | {"kernel_initializer": made}
        for name, takes, axis in (("one", "x", 2), ("two", "one", 2), ("three", "two", 1))
    ]
    image = {"type": "Input", "name": "x", "shape": [16, 16, 64]}
    model = initcli.parse(json.dumps({"layers": [image, *layers]}))
    signal = measure_signal(model, batch=8, draws=5)
    for layer in signal.layers:
        # The size of a product of random kernels of 64 units varies by up to 5 % a layer.
        assert layer.output is not None
        assert layer.predicted.std == pytest.approx(layer.output.std.median, rel=0.1)
    last = signal.layers[-2]
    assert last.gradient is not None
    assert last.predicted.gradient_rms == pytest.approx(last.gradient.rms.median, rel=0.1)
