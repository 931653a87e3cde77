"""The first loss, predicted and measured, beside the losses of Keras."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import initcli
from initcli.signal.first_loss import expected_loss, normal_logits
from support.paths import REFERENCE
from support.running import run

CASES: dict[str, Any] = yaml.safe_load((REFERENCE / "first_loss_cases.yaml").read_text("utf-8"))
FACTS = json.loads((REFERENCE / "first_loss_facts.json").read_text("utf-8"))
WIDE = {"frozen_head": 0.05, "convolutional": 0.1, "random_bias": 0.05}
"""Cases where few examples or classes decide, and the mean of 24 draws is known so well only."""


def drawn(name: str) -> tuple[int, int]:
    """Examples and draws: fewer of sequences and images, which have several outputs each."""
    return (64, 8) if len(CASES[name].get("input_shape", ())) == 1 else (16, 4)


@pytest.mark.parametrize("name", CASES)
def test_a_loss_is_that_of_keras_measured_and_predicted(name: str) -> None:
    mean, std, draws = FACTS[name]
    spec = {key: value for key, value in CASES[name].items() if key != "loss"}
    batch, own_draws = drawn(name)
    signal = initcli.measure_signal(
        initcli.parse(json.dumps(spec)),
        batch=batch,
        draws=own_draws,
        loss=CASES[name].get("loss"),
    )
    (found,) = signal.losses
    assert found.measured is not None
    # Medians of n draws deviate by std √(π/2 / n), means of 24 by std / √24. Keras's draws are of
    # 256 examples, of which a label is counted at random; ours are of fewer, with all labels.
    error = std * math.sqrt(math.pi / 2 / own_draws + 1 / draws)
    assert abs(found.measured.median - mean) < 4.5 * error
    assert found.predicted is not None
    error = 4 * std / math.sqrt(draws)
    assert abs(found.predicted - mean) < error + WIDE.get(name, 0.02) * mean


@pytest.mark.parametrize("classes", [2, 10, 3000])
@pytest.mark.parametrize("std", [0.01, 1.0, 4.0, 20.0])
def test_a_cross_entropy_of_normal_logits(classes: int, std: float) -> None:
    z = std * np.random.default_rng(classes).standard_normal((600_000 // classes, classes))
    top = z.max(axis=1, keepdims=True)
    sums = np.log(np.exp(z - top).sum(axis=1)) + top[:, 0]
    expected = expected_loss("cross_entropy", classes, normal_logits(std))
    assert abs(expected - sums.mean()) < 4.5 * sums.std() / math.sqrt(len(sums)) + 1e-4


def test_small_logits_cost_half_their_variance() -> None:
    assert expected_loss("cross_entropy", 50_000, normal_logits(0.2)) == pytest.approx(
        math.log(50_000) + 0.02, abs=2e-4
    )
    assert expected_loss("binary_cross_entropy", 1, normal_logits(0.0)) == pytest.approx(
        math.log(2)
    )
    squares = expected_loss("mean_squared_error", 1, normal_logits(math.sqrt(0.5)))
    assert squares == pytest.approx(1.5)


def test_what_is_not_said_is_not_known() -> None:
    dense = "{{input_shape: [20], layers: [{{type: Dense, units: 10{}}}]}}"
    assert initcli.predict_signal(initcli.parse(dense.format(""))).losses == ()
    assert initcli.predict_signal(initcli.parse(dense.format(", activation: tanh"))).losses == ()
    (chosen,) = initcli.predict_signal(initcli.parse(dense.format("")), loss="cross_entropy").losses
    assert chosen.measured is None
    assert chosen.predicted is not None
    single = dense.format(", activation: relu").replace("units: 10", "units: 1")
    assert initcli.predict_signal(initcli.parse(single), loss="cross_entropy").losses == ()


WIDER = "kernel_initializer: {type: RandomNormal, stddev: 0.2}"
FORMS = {
    "for each step": f"""input_shape: [6, 64]
layers:
  - {{type: Dense, units: 128, activation: relu}}
  - {{type: TimeDistributed, layer: {{type: Dense, units: 50, activation: softmax, {WIDER}}}}}
""",
    "logarithms": f"""input_shape: [64]
layers:
  - {{type: Dense, units: 128, activation: relu}}
  - {{type: Dense, units: 50, activation: log_softmax, {WIDER}}}
""",
    "two heads": f"""input_shape: [64]
layers:
  - {{type: Dense, name: a, units: 256, activation: relu}}
  - {{type: Dense, name: b, units: 40, {WIDER}}}
  - {{type: Dense, name: c, inputs: input, units: 40, {WIDER}}}
  - {{type: Add, inputs: [b, c]}}
  - {{type: Softmax}}
""",
    "normalized": f"""input_shape: [64]
layers:
  - {{type: Dense, units: 60, {WIDER}}}
  - {{type: BatchNormalization}}
  - {{type: Activation, activation: softmax}}
""",
}


@pytest.mark.parametrize("name", FORMS)
def test_a_head_of_any_form_is_predicted(name: str) -> None:
    (found,) = initcli.measure_signal(initcli.parse(FORMS[name]), batch=128, draws=5).losses
    assert found.loss == "cross_entropy"
    assert found.measured is not None
    # 64 to 256 units vary by a few percent from draw to draw.
    assert found.predicted == pytest.approx(found.measured.median, rel=0.03)


def test_classes_on_another_axis_have_no_loss() -> None:
    conv = "{type: Conv2D, filters: 3, kernel_size: 1, data_format: channels_first}"
    spec = f"{{input_shape: [4, 8, 8], layers: [{conv}, {{type: Softmax, axis: 1}}]}}"
    assert initcli.predict_signal(initcli.parse(spec)).losses == ()


def test_a_configuration_says_its_loss() -> None:
    config = {"model_type": "gpt2", "n_layer": 2, "n_embd": 64, "n_head": 4, "vocab_size": 500}
    config |= {"n_positions": 16, "initializer_range": 0.2}
    heads = ("GPT2LMHeadModel", "GPT2Model", "GPT2ForSequenceClassification")
    found = [
        initcli.measure_signal(initcli.parse(json.dumps({**config, "architectures": [head]})))
        for head in heads
    ]
    (loss,) = found[0].losses
    assert loss.own_logit is not None
    assert loss.measured is not None
    assert loss.predicted == pytest.approx(loss.measured.median, rel=0.03)
    assert found[1].losses == ()
    assert found[2].losses[0].classes == 2


def test_the_table_of_a_tied_head_is_scaled(tmp_path: Path) -> None:
    for between in ("", "  - {type: LayerNormalization}\n"):
        spec = tmp_path / "tied.yaml"
        spec.write_text(
            "defaults: torch\nlayers:\n"
            "  - {type: Input, name: tokens, shape: [8], dtype: int32}\n"
            "  - {type: ReversibleEmbedding, name: table, input_dim: 500, output_dim: 512}\n"
            f"{between}  - {{call: table, reverse: true}}\n",
            "utf-8",
        )
        report = initcli.check(initcli.load(spec))
        assert [each.code for each in report.findings] == ["I209"]
        fixed = initcli.fix(spec)
        assert fixed.last.findings == ()
        (loss,) = initcli.predict_signal(initcli.parse(fixed.after)).losses
        assert loss.predicted is not None
        assert loss.predicted < loss.knows_nothing + 1.5


def test_a_loss_of_probabilities_that_are_0_is_predicted_alone() -> None:
    case = json.dumps(CASES["frozen_head"]).replace("0.3", "3.0")
    (found,) = initcli.measure_signal(initcli.parse(case), batch=8, draws=1).losses
    assert found.measured is None
    assert found.predicted is not None
    assert found.predicted > 100


def test_the_table_says_it() -> None:
    shown = run("signal", "-", "--draws", "2", text=json.dumps(CASES["small_head"]))
    assert shown.returncode == 0, shown.stderr
    text = " ".join(shown.stdout.split())
    assert "first loss of dense_1 2.31, theory 2.31 · 2.3 if it knew nothing" in text
