"""Every tensor of the library's classes: names, shapes, initializers and ties, as recorded."""

from __future__ import annotations

import json
from typing import Any

import pytest

import initcli
from initcli.sources.huggingface.family import known_families
from support.huggingface import digest, lines
from support.paths import facts

FACTS: dict[str, Any] = facts("huggingface_facts.json.gz")


def described(config: dict[str, Any]) -> list[str]:
    model = initcli.parse(json.dumps(config), file="config.json")
    return lines(model.layers, model.notes)


@pytest.mark.parametrize("model_type", FACTS)
def test_every_tensor_is_that_of_the_library(model_type: str) -> None:
    cases = FACTS[model_type]["cases"]
    assert described(cases[0]["config"]) == FACTS[model_type]["tensors"]
    wrong = [
        case["config"] for case in cases if digest(described(case["config"])) != case["digest"]
    ]
    assert not wrong, wrong[0]


def test_every_family_is_held_to_the_library() -> None:
    assert set(known_families()) == set(FACTS)
    assert all(len(each["cases"]) == 21 for each in FACTS.values())
