"""Steps of training: as PyTorch takes them, and by how much outputs change against width."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import initcli
from initcli.signal.program import Step, program
from initcli.signal.training import Training, loss_and_gradient, train
from support.paths import SAMPLES, facts
from support.running import run

FACTS: list[dict[str, Any]] = facts("steps_facts.json")
BATCH = 16


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: f"{fact['name']}_{fact['optimizer']}")
def test_steps_are_those_of_pytorch(fact: dict[str, Any]) -> None:
    model = initcli.parse(fact["spec"])
    training = Training(
        steps=3,
        optimizer=fact["optimizer"],
        learning_rate=fact["learning_rate"],
        loss=fact["loss"],
    )
    built = program(model, BATCH)
    found = train(model, built, training, draws=1)
    # Both compute in float32.
    assert found.losses == pytest.approx(fact["losses"], rel=2e-5)
    changes = {
        step.name: each for step, each in zip(built.steps, found.changes, strict=True) if each
    }
    for name, expected in fact["changes"].items():
        assert changes[name] == pytest.approx(expected, rel=2e-3), name


@pytest.mark.parametrize("activation", ["linear", "softmax", "sigmoid"])
@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy", "mean_squared_error"])
def test_a_gradient_is_the_slope_of_its_loss(activation: str, loss: Any) -> None:
    if (activation, loss) in (("softmax", "binary_cross_entropy"), ("sigmoid", "cross_entropy")):
        pytest.skip("no such loss")
    spec = f"{{input_shape: [3], layers: [{{type: Dense, units: 4, activation: {activation}}}]}}"
    step: Step = program(initcli.parse(spec), 2).steps[-1]
    rng = np.random.default_rng(1)
    y = rng.uniform(0.1, 0.9, (2, 4))
    targets: Any = rng.integers(0, 2, (2, 4))
    weights = rng.uniform(0, 1, (2, 4))
    if loss == "cross_entropy":
        targets, weights = rng.integers(0, 4, 2), weights[:, 0]
    _, gradient = loss_and_gradient(step, y, targets, loss, weights)
    for place in np.ndindex(y.shape):
        h = np.zeros_like(y)
        h[place] = 1e-6
        above, _ = loss_and_gradient(step, y + h, targets, loss, weights)
        below, _ = loss_and_gradient(step, y - h, targets, loss, weights)
        assert gradient[place] == pytest.approx((above - below) / 2e-6, rel=1e-4, abs=1e-8)


def test_steps_that_a_mask_hides_have_no_loss() -> None:
    spec = """layers:
  - {type: Input, name: x, shape: [6, 3]}
  - {type: Masking, mask_value: 0.0}
  - {type: LSTM, units: 4, return_sequences: true}
  - {type: Dense, units: 2, name: head}
"""
    model = initcli.parse(spec)
    built = program(model, 8)
    found = train(model, built, Training(steps=2, learning_rate=0.1), draws=1)
    assert np.isfinite(found.losses).all()
    assert found.losses[-1] < found.losses[0]


def test_weights_that_are_frozen_stay() -> None:
    spec = """input_shape: [3]
layers:
  - {type: Dense, units: 4, name: frozen, trainable: false}
  - {type: Dense, units: 2, name: head}
"""
    model = initcli.parse(spec)
    found = train(model, program(model, 8), Training(steps=2), draws=1)
    frozen, head = found.changes[-2:]
    assert frozen == (0, 0)
    assert head is not None
    assert head[1] > head[0] > 0


def test_two_draws_have_the_median_of_both() -> None:
    model = initcli.load(SAMPLES / "lenet5.yaml")
    built = program(model, 4)
    one = train(model, built, Training(steps=1), draws=1)
    two = train(model, built, Training(steps=1), draws=2)
    other = initcli.load(SAMPLES / "lenet5.yaml", seed=1)
    next_one = train(other, program(other, 4), Training(steps=1), draws=1)
    middle = (np.array(one.losses) + np.array(next_one.losses)) / 2
    assert two.losses == pytest.approx(middle.tolist())


SPEC = """input_shape: [24]
layers:
  - {type: Dense, units: 64, activation: relu, name: a, kernel_initializer: he_normal}
  - {type: Dense, units: 64, activation: relu, name: b, kernel_initializer: he_normal}
  - {type: Dense, units: 10, name: head, kernel_initializer: lecun_normal}
"""


def test_adam_changes_a_wider_model_more(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC, "utf-8")
    models = initcli.variants([tmp_path / "spec.yaml"], widths=["1,4,16"])
    compared = initcli.compare(
        models, batch=32, draws=1, training=Training(steps=1, learning_rate=1e-5)
    )
    (sweep,) = initcli.fit_widths(compared)
    found = {each.name: each.changes[0].exponent for each in sweep.layers}
    # Each entry moves by the same learning rate: n of them add up to n where they agree, and the
    # first layer has a fixed number of inputs.
    assert found["a"] == pytest.approx(0, abs=0.1)
    assert found["b"] == pytest.approx(1, abs=0.15)
    # Of what b adds the head's weights, which its gradient goes along, make up to n √n.
    assert found["head"] is not None
    assert 0.95 < found["head"] < 1.6
    (note,) = sweep.notes
    assert note.startswith("the loss of head is mean squared error, with standard normal targets")


def test_the_table_says_how_training_went(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC, "utf-8")
    options = ("--width", "1,2", "--steps", "2", "--optimizer", "sgd", "--lr", "0.1")
    done = run("compare", str(tmp_path / "spec.yaml"), *options, "--batch", "8", "--draws", "1")
    assert "change 2 of layer" in done.stdout
    assert "2 steps of sgd, learning rate 0.1: loss" in done.stdout
