"""One judge: what `check` reports, `signal` and `compare` say too, and the reverse."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

import initcli
from initcli.checks import check
from initcli.signal.judgment import Judgment
from support.paths import SAMPLES
from support.stacks import CHECKS

SIZE = {
    "I202": ("signal vanishes", "signal explodes", "difference of examples vanishes", "overflows"),
    "I203": ("gradient vanishes", "gradient explodes", "overflows"),
    "I204": ("are saturated", "overflows"),
    "I205": ("are dead", "outputs are 0", "overflows"),
    "I206": ("signal explodes", "overflows"),
    "I207": ("examples lie on one line", "overflows"),
}
"""What a verdict says where a check reports something of the signal."""


def of_layers(*layers: dict[str, Any], inputs: int = 16) -> initcli.Model:
    return initcli.parse(json.dumps({"input_shape": [inputs], "layers": layers}))


def dense(units: int = 16, **more: Any) -> dict[str, Any]:
    return {"type": "Dense", "units": units, **more}


def normal(std: float) -> dict[str, Any]:
    return {"type": "RandomNormal", "stddev": std}


def assert_one_answer(
    model: initcli.Model, theory: bool, batch: int = 16, *, compared: bool = True
) -> str:
    """Hold `check`, `signal` and `compare` to each other; return the verdict."""
    codes_of_signal = ["I101", *SIZE]
    if theory:
        report = check(model, how="predicted", select=codes_of_signal)
        signal = initcli.predict_signal(model)
    else:
        report = check(model, how="measured", batch=batch, draws=1, select=codes_of_signal)
        # A verdict of what is measured quotes the theory in its χ alone, as `compare` does.
        signal = initcli.measure_signal(model, batch=batch, draws=1, theory=compared)
    text = initcli.verdict(signal).text
    if compared and len(signal.layers) < 20:  # The larger ones would take minutes once more.
        size = None if theory else batch
        (variant,) = initcli.compare([("it", model)], theory=theory, batch=size, draws=1)
        assert variant.verdict == initcli.verdict(signal)
    codes = {finding.code for finding in report.findings}
    not_checked = "the signal is not checked"
    if "I101" in codes or any(note.startswith(not_checked) for note in report.notes):
        return text  # Zeros cut the signal off; the rest is not checked.
    if Judgment(signal).starts_with_zero_result:
        codes -= {"I203"}  # Only a second step has gradients, which `check` judges.
    for code, phrases in SIZE.items():
        if code in codes:
            assert any(phrase in text for phrase in phrases), (code, text)
    for phrase in re.split(", (?!which|most of it)", text):
        if phrase == "overflows" or "no gradient" in phrase:
            continue
        expected = {code for code, phrases in SIZE.items() if any(p in phrase for p in phrases)}
        assert not expected or expected & codes, (text, codes)
        fine = ("keeps its size", "grows ", "shrinks ", "not known", "starts at 0")
        assert expected or phrase.startswith(fine), phrase
    return text


@pytest.mark.parametrize(
    "spec",
    [
        *sorted(SAMPLES.glob("*.yaml")),
        *(SAMPLES / name for name in ("keras_mobilenetv2.json", "keras_tour.json")),
    ],
    ids=lambda spec: spec.name,
)
def test_samples_get_one_answer(spec: Path) -> None:
    model = initcli.load(str(spec), custom=[str(SAMPLES / "my_inits.py")])
    if len(model.parameters) > 250:
        pytest.skip("its blocks are those of a smaller sample")
    assert_one_answer(model, theory=True)


@pytest.mark.parametrize("section", ["Reported", "Not reported"])
@pytest.mark.parametrize("rule", CHECKS, ids=lambda rule: rule.code)
def test_examples_of_checks_get_one_answer(rule: Any, section: str) -> None:
    if rule.code == "I404":
        pytest.skip("needs initializers of its own")
    model = initcli.parse(rule.example(section))
    assert_one_answer(model, theory=True)
    assert_one_answer(model, theory=False)


def random_stack(seed: int) -> list[dict[str, Any]]:
    """Some layers of one kind, some with odd scales or biases, some with skips or norms."""
    chosen = random.Random(seed)
    activation = chosen.choice(["relu", "tanh", "sigmoid", "gelu", "linear", "silu", "relu6"])
    odd = normal(10 ** chosen.uniform(-4, 1))
    kernel = chosen.choice(["he_normal", "glorot_uniform", "lecun_normal", "orthogonal", odd])
    layers: list[dict[str, Any]] = [dense()]
    for _ in range(chosen.randrange(2, 10)):
        layer = dense(activation=activation, kernel_initializer=kernel)
        if chosen.random() < 0.1:
            bias = chosen.choice([-5.0, -1.0, 1.0, 5.0])
            layer["bias_initializer"] = {"type": "Constant", "value": bias}
        if chosen.random() < 0.15:
            before = f"layer{len(layers)}"
            layers[-1] = {**layers[-1], "name": before}
            layers += [{**layer, "name": "end" + before}]
            layers += [{"type": "Add", "inputs": [before, "end" + before]}]
        else:
            layers.append(layer)
        if chosen.random() < 0.1:
            layers.append({"type": chosen.choice(["LayerNormalization", "BatchNormalization"])})
    zeros = {"kernel_initializer": "zeros"} if chosen.random() < 0.1 else {}
    return [*layers, dense(4, **zeros)]


@pytest.mark.parametrize("start", range(0, 120, 20))
def test_random_stacks_get_one_answer(start: int) -> None:
    for seed in range(start, start + 20):
        model = of_layers(*random_stack(seed))
        assert_one_answer(model, theory=seed % 2 == 0, compared=seed % 20 < 4)


def test_random_stacks_are_of_all_kinds() -> None:
    texts = [
        initcli.verdict(initcli.predict_signal(of_layers(*random_stack(seed)))).text
        for seed in range(0, 120, 2)
    ]
    kinds = ("keeps its size", "vanishes", "explodes", "saturated", "outputs are 0")
    assert {kind for kind in kinds for text in texts if kind in text} == set(kinds)


# What a verdict says

NORM = {"type": "BatchNormalization", "name": "end", "gamma_initializer": "zeros"}
BRANCHES: dict[str, list[dict[str, Any]]] = {
    "Fixup": [dense(activation="relu"), dense(name="end", kernel_initializer="zeros")],
    "gamma 0": [dense(), NORM],
    "ReZero": [dense(activation="relu"), {"type": "Scale", "name": "end", "initializer": "zeros"}],
    "LayerScale": [
        dense(activation="relu"),
        {"type": "LayerScale", "name": "end", "init_values": 0.0, "projection_dim": 16},
    ],
    "pre-norm": [{"type": "LayerNormalization"}, dense(name="end", kernel_initializer="zeros")],
}


@pytest.mark.parametrize("norm", [[], [{"type": "LayerNormalization"}]], ids=["", "post-norm"])
@pytest.mark.parametrize("name", BRANCHES)
def test_a_stream_around_branches_of_zeros_keeps_its_size(
    name: str, norm: list[dict[str, Any]]
) -> None:
    add = {"type": "Add", "inputs": ["input", "end"]}
    blocks = {"repeat": 6, "layers": [*BRANCHES[name], add, *norm]}
    model = of_layers(dense(), blocks, dense(4))
    for theory in (True, False):
        assert assert_one_answer(model, theory).startswith("keeps its size")


@pytest.mark.parametrize("classes", [1, 3])
def test_a_prior_in_the_bias_of_a_result_is_no_saturation(classes: int) -> None:
    """Log odds of rare classes, also behind a Reshape, and of several heads side by side."""
    prior = {"bias_initializer": {"type": "Constant", "value": -6.36}}
    head = dense(classes, name="a", inputs="trunk", activation="sigmoid", **prior)
    other = {**head, "name": "b"}
    both = {"type": "Concatenate", "inputs": ["a", "b"]}
    for ending in (
        [head],
        [head, {"type": "Reshape", "target_shape": [classes, 1]}],
        [head, other, both],
    ):
        model = of_layers(dense(name="trunk", activation="relu"), *ending)
        for theory in (True, False):
            assert assert_one_answer(model, theory).startswith("keeps its size")
    hidden = of_layers(dense(name="trunk"), head, dense(4))
    large = {**head, "kernel_initializer": normal(30.0)}
    for model in (hidden, of_layers(dense(name="trunk"), large)):
        assert "saturated" in assert_one_answer(model, theory=True)


@pytest.mark.parametrize("count", [3, 4])
def test_examples_become_alike_behind_softmax(count: int) -> None:
    model = of_layers(*[dense(96, activation="softmax")] * count, dense(10), inputs=64)
    text = assert_one_answer(model, theory=False)
    assert "difference of examples vanishes" in text or "gradient vanishes" in text
    apart = [dense(96, activation="softmax"), {"type": "LayerNormalization", "epsilon": 1e-7}]
    model = of_layers(*apart * count, dense(10), inputs=64)
    assert assert_one_answer(model, theory=False).startswith("keeps its size")


def test_a_product_of_which_one_factor_is_zero_starts_at_zero_and_learns() -> None:
    factors = [dense(name="a", inputs="in"), dense(name="b", inputs="in")]
    product = {"type": "Multiply", "inputs": ["a", "b"]}
    factors[1]["kernel_initializer"] = "zeros"
    model = of_layers(dense(name="in", activation="relu"), *factors, product, dense(4))
    for theory in (True, False):
        assert assert_one_answer(model, theory) == "starts at 0 and learns from there"
    factors[0]["kernel_initializer"] = "zeros"
    model = of_layers(dense(name="in", activation="relu"), *factors, product, dense(4))
    assert [each.code for each in check(model, how="predicted").findings] == ["I101", "I101"]


def test_a_layer_that_is_too_large_is_named_with_its_factor() -> None:
    he = {"activation": "relu", "kernel_initializer": "he_normal"}
    layers = [dense(64, **he), dense(64, name="b", **he), dense(64, **he), dense(64, **he)]
    layers[1]["kernel_initializer"] = normal(5.0)
    for theory in (True, False):
        text = assert_one_answer(of_layers(*layers, dense(10), inputs=64), theory)
        assert re.fullmatch(
            r"keeps its size but for b, which changes it by a factor of (2\d|3\d)", text
        )


def test_what_comes_in_is_what_a_signal_is_compared_with() -> None:
    """Three layers that keep what a first layer has taken away: rms 1 becomes 2e-8."""
    layers = [dense(256, kernel_initializer=normal(1e-9))]
    layers += [dense(256, kernel_initializer="lecun_normal")] * 2
    model = of_layers(*layers, dense(10), inputs=256)
    for theory in (True, False):
        assert "signal vanishes" in assert_one_answer(model, theory)
    found = initcli.verdict(initcli.predict_signal(model))
    assert found.text == "signal vanishes at dense (factor 1.6e-08)"
    assert found.std_ratio == pytest.approx(1.0, rel=0.01)
    assert found.layer == "dense"
    assert found.factor == pytest.approx(1e-9 * 256**0.5, rel=0.01)


UNKNOWN = {"type": "Discretization", "bin_boundaries": [0.0, 1.0]}
"""A layer that no theory covers."""


def test_where_nothing_is_known_nothing_is_said() -> None:
    signal = initcli.predict_signal(of_layers(UNKNOWN, dense(), dense()))
    assert all(layer.predicted.std is None for layer in signal.layers)
    found = initcli.verdict(signal)
    assert found.text == "not known"
    assert found.distance is None


def test_where_knowledge_ends_the_verdict_says_so() -> None:
    known = dense(kernel_initializer="lecun_normal")
    text = initcli.verdict(initcli.predict_signal(of_layers(known, known, UNKNOWN, dense()))).text
    assert text == "keeps its size as far as it is known"


def test_a_layer_that_changes_much_is_named_within_the_thresholds() -> None:
    loud = dense(kernel_initializer=normal(28 / 4), name="loud")
    calm = dense(kernel_initializer="lecun_normal")
    found = initcli.verdict(initcli.predict_signal(of_layers(calm, calm, loud, calm, dense())))
    assert found.text == "keeps its size but for loud, which changes it by a factor of 28"
    assert found.layer == "loud"
    assert found.factor == pytest.approx(28, rel=0.02)


def test_a_branch_that_starts_at_0_takes_nothing_from_what_is_carried() -> None:
    branch = [
        dense(activation="relu", kernel_initializer="he_normal"),
        {"type": "BatchNormalization", "gamma_initializer": "zeros", "name": "end"},
        {"type": "Add", "inputs": ["input", "end"]},
    ]
    layers = [dense(), {"repeat": 5, "layers": branch}, dense(4)]
    for theory in (True, False):
        assert assert_one_answer(of_layers(*layers), theory) == "keeps its size"


def test_a_last_layer_of_zeros_is_no_fault() -> None:
    hidden = dense(activation="relu", kernel_initializer="he_normal")
    model = of_layers(hidden, hidden, dense(kernel_initializer="zeros"))
    found = initcli.verdict(initcli.measure_signal(model, batch=16, draws=1))
    assert found.text == "keeps its size"
    assert found.distance is not None
    assert found.distance < 1


def test_own_inputs_are_what_comes_in() -> None:
    """A hundredth of what is fed in is no loss where what is fed in is a hundred times as large."""
    import numpy as np

    model = of_layers(dense(kernel_initializer=normal(0.01 / 4)), dense(), dense(4))
    (name,) = [source.name for source in initcli.predict_signal(model).program.inputs]
    given = {name: np.full((8, 16), 1e4, np.float32)}
    signal = initcli.measure_signal(model, batch=8, draws=1, inputs=given)
    judgment = Judgment(signal)
    (source,) = signal.program.inputs
    assert judgment.rms(source.tensor) == pytest.approx(1e4)
    assert initcli.verdict(signal).text.startswith("keeps its size")
