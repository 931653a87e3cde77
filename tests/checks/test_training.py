"""Errors against what became of stacks in training: Keras trained each with two seeds."""

from __future__ import annotations

import json
from typing import Any

import pytest

import initcli
from initcli.checks.judging import judged
from support.paths import facts

FACTS: dict[str, Any] = facts("training_facts.json")["cases"]
CASES: dict[str, Any] = facts("training_cases.yaml")
FAILED_UNSEEN = {
    # Identities over 64 pixels, which learn slowly.
    "simple_rnn_64_relu_identity",
    # Softmaxes that pick one unit of many: sizes and differences are kept, and slopes are not.
    "softmax_2_large",
    # One unit in the middle, of the author's choice.
    "bottleneck_1",
    # Four units at every second layer, which learn slowly.
    "wide_narrow_4_he",
}


def accuracies(name: str) -> dict[str, list[float]]:
    """What each optimizer reached at its best rate, from the weights of two seeds."""
    seeds = (FACTS[name]["first"], FACTS[name]["second"])
    return {each: [seed[each]["accuracy"] or 0.0 for seed in seeds] for each in ("sgd", "adam")}


def reached(name: str) -> list[float]:
    return [accuracy for each in accuracies(name).values() for accuracy in each]


TRAINED = [name for name in FACTS if min(reached(name)) >= 0.9]
FAILED = [name for name in FACTS if max(reached(name)) < 0.9]
# Neighbors in the file are variants of one another, so that every third is judged.
JUDGED = sorted({*TRAINED[::3], *FAILED[::3], *FAILED_UNSEEN})


def found(name: str) -> list[initcli.Finding]:
    spec = {key: value for key, value in CASES[name].items() if key != "about"}
    report = judged(initcli.parse(json.dumps(spec)), how="measured", batch=32, draws=1)
    return [finding for finding in report.findings if finding.severity == "error"]


@pytest.mark.parametrize("name", JUDGED)
def test_errors_are_what_became_of_a_stack_in_training(name: str) -> None:
    assert bool(found(name)) is (name in FAILED and name not in FAILED_UNSEEN)


def test_the_facts_are_many_of_both_kinds_and_hardly_any_failure_is_unseen() -> None:
    assert len(TRAINED) >= 120
    assert len(FAILED) >= 50
    assert len(FAILED_UNSEEN) <= len(FAILED) / 20


def test_a_normalization_whose_epsilon_outweighs_its_input_hands_the_size_on() -> None:
    (finding,) = found("ln_gamma_001_12")
    assert finding.code == "I202"
    assert "the epsilon of block_1/layer_normalization is more than the mean square" in (
        finding.remedy
    )
    assert not found("ln_gamma_001_6_last_one")


def test_what_enters_the_state_of_gates_may_be_saturated() -> None:
    (finding,) = found("lstm_8_kernels_20")
    assert "of what enters the state of lstm lies at the bounds -1 and 1" in finding.message
    assert not found("lstm_8_kernels_2")


def test_a_scale_within_a_model_is_no_scale_of_data() -> None:
    (finding,) = found("rescale_between_01_6")
    assert finding.code == "I202"
    assert not found("rescale_100_3")


def test_a_message_says_where_adam_may_do_what_sgd_does_not() -> None:
    (finding,) = found("relu_5_normal_001")
    both = accuracies("relu_5_normal_001")
    assert max(both["sgd"]) < 0.2
    assert min(both["adam"]) > 0.9
    assert "SGD rarely trains this; Adam may" in finding.message
    (finding,) = found("relu_10_normal_001")
    assert max(reached("relu_10_normal_001")) < 0.2
    assert "Adam" not in finding.message


def test_thousands_of_layers_are_judged_by_their_prediction() -> None:
    layers = [{"type": "Dense", "units": 2, "name": "d"}, *[{"call": "d"}] * 1999]
    report = judged(
        initcli.parse(json.dumps({"input_shape": [2], "layers": layers})), how="predicted"
    )
    assert report.notes == ()
