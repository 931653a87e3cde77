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


def test_a_message_says_where_adam_may_do_what_sgd_does_not() -> None:
    (finding,) = found("relu_5_normal_001")
    both = accuracies("relu_5_normal_001")
    assert max(both["sgd"]) < 0.2
    assert min(both["adam"]) > 0.9
    assert "SGD rarely trains this; Adam may" in finding.message
    (finding,) = found("relu_10_normal_001")
    assert max(reached("relu_10_normal_001")) < 0.2
    assert "Adam" not in finding.message
