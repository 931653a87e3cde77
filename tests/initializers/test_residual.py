"""Initializers of residual branches, against the code of their authors.

The facts are those of tests/reference/make_residual_facts.py.
"""

from __future__ import annotations

import math
from typing import Any

import pytest

from initcli import distributions
from initcli.initializers import DeepNorm, Fixup, GlorotNormal, HeNormal
from support.paths import facts

FACTS: dict[str, Any] = facts("residual_facts.json")


@pytest.mark.parametrize("case", FACTS["deepnorm"], ids=lambda case: str(list(case.values())[:3]))
def test_deepnorm_has_the_gains_of_torchscale(case: dict[str, Any]) -> None:
    sizes = {name: case[name] for name in ("encoder_layers", "decoder_layers", "stack")}
    made = DeepNorm(**sizes)
    assert made.alpha == pytest.approx(case["alpha"], rel=1e-6)
    # Where the paper multiplies by 0.87, the code divides by 1/1.15.
    beta = made.beta * (1.15 / 0.87 if case["stack"] == "encoder" else 1.0)
    for name, ratio in case["ratios"].items():
        is_scaled = any(part in name for part in ("v_proj", "out_proj", "fc1", "fc2"))
        assert ratio == pytest.approx(beta if is_scaled else 1.0, rel=1e-5)


@pytest.mark.parametrize("shape", [(64, 256), (3, 3, 16, 32)])
def test_deepnorm_is_glorots_normal_times_beta(shape: tuple[int, ...]) -> None:
    made = DeepNorm(decoder_layers=12)
    expected = made.beta * GlorotNormal().distribution_for(shape).std
    found = made.distribution_for(shape)
    assert isinstance(found, distributions.Normal)
    assert found.std == pytest.approx(expected)


@pytest.mark.parametrize("case", FACTS["fixup"], ids=lambda case: str(case["shape"]))
def test_fixup_draws_what_its_authors_do(case: dict[str, Any]) -> None:
    if case["is_last"]:
        assert case["std"] == case["max"] == 0
        return
    made = Fixup(branches=case["branches"], branch_layers=case["branch_layers"], mode="fan_out")
    std = made.distribution_for(tuple(case["shape"])).std
    assert case["std"] == pytest.approx(std, rel=6 / math.sqrt(2 * case["count"]))
    assert case["mean"] == pytest.approx(0, abs=6 * std / math.sqrt(case["count"]))


def test_a_single_branch_of_fixup_is_hes() -> None:
    shape = (3, 3, 16, 32)
    std = HeNormal().distribution_for(shape).std
    assert Fixup(branches=1).distribution_for(shape).std == pytest.approx(std)
