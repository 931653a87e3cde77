"""Parametrizations: maximal update as the package mup has it, and that of the neural tangent."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import initcli
from initcli.model import Model
from initcli.signal.program import program
from initcli.signal.training import Training, train
from initcli.signal.width_sweep import WidthSweep
from support.paths import SAMPLES, facts
from support.running import run

FACTS: dict[str, Any] = facts("mup_facts.json")
BATCH = 16


def values(model: Model, path: str) -> tuple[float, float, float]:
    """Multiplier and learning rates of a parameter."""
    (found,) = model.matching([path])
    return found.multiplier, found.adam_rate, found.sgd_rate


@pytest.mark.parametrize("name", FACTS)
def test_scales_and_rates_are_those_of_mup(name: str) -> None:
    fact = FACTS[name]
    model = initcli.parse(fact["spec"])
    assert {each.path for each in model.parameters} == set(fact["parameters"])
    for each in model.parameters:
        rms, adam, sgd = fact["parameters"][each.path]
        assert (each.adam_rate, each.sgd_rate) == pytest.approx((adam, sgd)), each.path
        assert each.multiplier == (1 / fact["divided"] if each.path == "head/kernel" else 1)
        assert each.distribution is not None
        own = math.hypot(each.distribution.std, each.distribution.mean)
        # The RMS of n normal values has an error of 1 / √(2 n); none of 50 exceeds 5 of them.
        assert own == pytest.approx(rms, rel=5 / math.sqrt(2 * each.size), abs=0), each.path


@pytest.mark.parametrize("name", ["mlp_2", "mlp_8"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_steps_of_training_are_those_of_mup(name: str, optimizer: Any) -> None:
    fact = FACTS[name]["trained"][optimizer]
    model = initcli.parse(FACTS[name]["spec"])
    training = Training(steps=3, optimizer=optimizer, learning_rate=fact["learning_rate"])
    built = program(model, BATCH)
    found = train(model, built, training, draws=1)
    assert found.losses == pytest.approx(fact["losses"], rel=1e-4)
    changes = np.array([each for each in found.changes if each][-5:]).T
    np.testing.assert_allclose(changes, fact["changes"], rtol=5e-3)


MLP = """input_shape: [24]
parametrization: KIND
layers:
  - {type: Dense, units: 64, activation: relu, name: a, kernel_initializer: he_normal}
  - {type: Dense, units: 64, activation: relu, name: b, kernel_initializer: he_normal}
  - {type: Dense, units: 64, activation: relu, name: c, kernel_initializer: he_normal}
  - {type: Dense, units: 10, name: head, kernel_initializer: {type: RandomNormal, stddev: 0.1}}
"""


def sweep(
    kind: str, folder: Path, training: Training | None = None, stddev: float = 0.1
) -> WidthSweep:
    text = MLP.replace("KIND", kind).replace("stddev: 0.1", f"stddev: {stddev}")
    (folder / "spec.yaml").write_text(text, "utf-8")
    models = initcli.variants([folder / "spec.yaml"], widths=["1,4,16"])
    compared = initcli.compare(
        models,
        theory=training is None,
        batch=32,
        draws=2 if training else None,
        training=training,
    )
    (found,) = initcli.fit_widths(compared)
    return found


def test_outputs_of_mup_shrink_and_hidden_layers_stay(tmp_path: Path) -> None:
    found = sweep("mup", tmp_path)
    exponents = {each.name: each.output.exponent for each in found.layers}
    assert exponents.pop("head") == pytest.approx(-0.5, abs=0.05)
    assert [exponents[name] for name in "abc"] == pytest.approx([0, 0, 0], abs=0.05)


@pytest.mark.parametrize(
    ("kind", "grows"),
    [
        ("mup", {"a": 0, "b": 0, "c": 0, "head": 0}),
        # Each entry of a kernel moves by the rate, and n of them add up.
        ("standard", {"a": 0, "b": 1}),
    ],
)
def test_adam_moves_every_layer_of_mup_alike(
    kind: str, grows: dict[str, float], tmp_path: Path
) -> None:
    # A readout that starts near 0, so that its own change is what moves the output.
    found = sweep(kind, tmp_path, Training(steps=2, learning_rate=1e-4), stddev=1e-4)
    exponents = {each.name: each.changes[-1].exponent for each in found.layers}
    assert {name: exponents[name] for name in grows} == pytest.approx(grows, abs=0.2)


def test_the_neural_tangent_is_the_same_at_the_start(tmp_path: Path) -> None:
    standard = sweep("standard", tmp_path)
    tangent = sweep("ntk", tmp_path)
    for own, other in zip(standard.layers[:-1], tangent.layers[:-1], strict=True):
        assert other.output.sizes == pytest.approx(own.output.sizes)
    # A fixed std is σ / √fan_in at the base width, and goes on as that.
    assert tangent.layers[-1].output.exponent == pytest.approx(0, abs=0.05)
    assert standard.layers[-1].output.exponent == pytest.approx(0.5, abs=0.05)
    kernels = [each for each in tangent.model.parameters if each.name == "kernel"]
    for each in kernels:
        assert each.distribution is not None
        assert each.distribution.std == pytest.approx(1)
    expected = [math.sqrt(2 / 24), math.sqrt(2 / 64), math.sqrt(2 / 64), 0.1]
    assert [each.multiplier for each in kernels] == pytest.approx(expected)


def test_multipliers_reach_gradients(tmp_path: Path) -> None:
    one = initcli.parse("{input_shape: [4], layers: [{type: Dense, units: 3}]}")
    text = "{input_shape: [4], parametrization: ntk, layers: [{type: Dense, units: 3}]}"
    two = initcli.parse(text)
    multiplier = two.parameters[0].multiplier
    assert multiplier == pytest.approx(math.sqrt(2 / 7))
    pairs = [initcli.measure_signal(model, batch=8, draws=1) for model in (one, two)]
    standard, tangent = (signal.layers[-1].output for signal in pairs)
    assert standard is not None
    assert tangent is not None
    assert tangent.std.median == pytest.approx(standard.std.median, rel=1e-5)
    kernel = [signal.tensors[0].gradient_rms.median for signal in pairs]
    assert kernel[1] == pytest.approx(multiplier * kernel[0], rel=1e-5)


def test_a_tied_table_is_divided_where_it_gives_logits() -> None:
    changes = ["parametrization=mup", "base_width=0.25"]
    model = initcli.load(SAMPLES / "gpt2_small.yaml", changes=changes)
    assert values(model, "wte/embeddings") == (0.25, 1, 4)
    assert values(model, "wpe/embeddings") == (1, 1, 4)
    steps = {
        (step.name, step.call): {each.multiplier for each in step.parameters}
        for step in program(model, 1).steps
    }
    assert steps["wte", 0] == {1}
    assert steps["wte", 1] == {0.25}


def test_at_the_base_width_nothing_changes() -> None:
    plain = initcli.load(SAMPLES / "gpt2_small.yaml")
    model = initcli.load(SAMPLES / "gpt2_small.yaml", changes=["parametrization=mup"])
    assert model.parametrization == "mup"
    for own, other in zip(model.parameters, plain.parameters, strict=True):
        assert own == other


def test_draws_are_those_of_the_spec_times_a_factor() -> None:
    text = FACTS["mlp_8"]["spec"]
    model = initcli.parse(text)
    plain = initcli.parse(text.replace("parametrization: mup", "parametrization: standard"))
    (own,), (other,) = model.matching(["d/kernel"]), plain.matching(["d/kernel"])
    np.testing.assert_allclose(initcli.draw(own), initcli.draw(other) / math.sqrt(8), rtol=1e-6)
    (found,) = initcli.summarize(model, only=[own])
    assert found.fit is not None
    assert found.fit.p_value > 1e-4  # a true sample falls below once in 10,000 seeds; this is one


def test_what_is_not_known_stays_and_is_named(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("import numpy\ndef mine(shape): return numpy.ones(shape)\n")
    text = MLP.replace("KIND", "mup").replace("he_normal", "mine", 2)
    (tmp_path / "spec.yaml").write_text(f"{text}base_width: 0.5\n")
    model = initcli.load(tmp_path / "spec.yaml", custom=[tmp_path / "own.py"])
    assert values(model, "b/kernel") == (1, 1, 1)
    assert values(model, "c/kernel") == (1, 0.5, 1)
    (note,) = (each for each in model.notes if "parametrization" in each)
    assert note == (
        "parametrization mup: not known for a/kernel and b/kernel, which stays standard"
    )


def test_heads_of_the_base_model_are_whole() -> None:
    with pytest.raises(Exception, match=r"base_width 0\.1: 0\.1 times the 12 `num_heads`"):
        initcli.load(SAMPLES / "gpt2_small.yaml", changes=["parametrization=mup", "base_width=0.1"])


def test_the_summary_shows_what_is_not_1() -> None:
    options = ("--theory", "--set", "parametrization=mup", "--set", "base_width=0.5")
    done = run("summary", str(SAMPLES / "lenet5.yaml"), *options)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert "parametrization mup" in done.stdout
    assert ["conv2d/kernel", "1.323", "1", "1", "2"] in lines  # Glorot counts the wider fan-out
    assert ["dense_2/kernel", "1.345", "0.5", "1", "2"] in lines
    assert not any(line[:1] == ["dense_2/bias"] for line in lines)
    rows = csv.DictReader(io.StringIO(run(*done.args[:2], *options, "--format", "csv").stdout))
    assert {row["path"]: row["sgd_rate"] for row in rows}["dense_2/kernel"] == "2.0"


def test_nothing_is_said_of_the_standard_parametrization() -> None:
    done = run("summary", str(SAMPLES / "lenet5.yaml"), "--theory")
    assert "parametrization" not in done.stdout


ATTENTION = """input_shape: [8, 16]
parametrization: mup
base_width: 0.25
scale: [units, key_dim]
layers:
  - {type: Dense, units: 32, name: in}
  - {type: MultiHeadAttention, num_heads: 2, key_dim: 16, inputs: [in, in], name: attention}
  - {type: Dense, units: 4, name: head}
"""


def test_wider_heads_have_scores_divided_by_their_size() -> None:
    # Definition 4.1: 1 / d in place of 1 / √d, which is that of a base model with heads of 4.
    model = initcli.parse(ATTENTION)
    assert values(model, "attention/query/kernel") == pytest.approx((0.5, 0.25, 1))
    assert values(model, "attention/query/bias") == pytest.approx((0.5, 1, 4))
    assert values(model, "attention/key/kernel") == pytest.approx((1, 0.25, 1))
    assert values(initcli.parse(ATTENTION.replace("mup", "ntk")), "attention/query/bias")[0] == 1
    with pytest.raises(initcli.errors.InvalidSpec, match="no layer has such a size") as raised:
        initcli.parse(ATTENTION.replace("key_dim]", "key_din]"))
    assert ":4:16:" in str(raised.value)


def test_a_sweep_of_named_sizes_keeps_the_base_model(tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(ATTENTION.replace("base_width: 0.25\nscale: [units, key_dim]\n", ""), "utf-8")
    models = initcli.variants([spec], widths=["1,4"], scale=["units", "key_dim"])
    written = initcli.parse(ATTENTION.replace("32", "128").replace("16, inputs", "64, inputs"))
    for own, other in zip(models[1][1].parameters, written.parameters, strict=True):
        assert own.shape == other.shape
        assert (own.multiplier, own.adam_rate) == (other.multiplier, other.adam_rate)


def test_biases_of_the_neural_tangent_are_multiplied() -> None:
    made = "{type: RandomNormal, stddev: 0.3}"
    model = initcli.parse(f"""input_shape: [4]
parametrization: ntk
layers:
  - {{type: Dense, units: 8, name: a, bias_initializer: {made}}}
  - {{type: Dense, units: 8, name: b, bias_initializer: {{type: Constant, value: -0.5}}}}
  - {{type: Dense, units: 8, name: c}}
""")
    biases = {each.path: each for each in model.parameters if each.name == "bias"}
    assert [each.multiplier for each in biases.values()] == pytest.approx([0.3, 0.5, 1])
    distributions = [each.distribution for each in biases.values()]
    assert [(d.mean, d.std) for d in distributions if d] == [(0, pytest.approx(1)), (-1, 0), (0, 0)]
