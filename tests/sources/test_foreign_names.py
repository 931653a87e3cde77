"""Names that a person brings from PyTorch, Flax or JAX."""

from __future__ import annotations

from typing import Any

import pytest

import initcli
from initcli.initializers import Initializer, known_initializers
from initcli.types import arguments_of
from support.paths import TOUR, facts
from support.running import run

FACTS: dict[str, Any] = facts("torch_initializer_facts.json")


def made(name: str, arguments: dict[str, Any]) -> Initializer:
    return known_initializers()[name](**arguments)


@pytest.mark.parametrize("fact", FACTS["draws"], ids=str)
def test_the_distribution_is_that_of_torch(fact: dict[str, Any]) -> None:
    rows, columns, *window = fact["shape"]
    distribution = made(fact["type"], fact["arguments"]).distribution_for((*window, columns, rows))
    assert distribution is not None
    kind, *numbers = fact["drawn"]
    assert type(distribution).__name__.lower() == kind
    found = distribution.extent if kind == "uniform" else (distribution.mean, distribution.std)
    assert found == pytest.approx(numbers, rel=1e-12)


@pytest.mark.parametrize(("name", "defaults"), FACTS["defaults"].items())
def test_an_alias_has_the_defaults_of_torch(name: str, defaults: dict[str, float]) -> None:
    arguments = {each.name: each.default for each in arguments_of(known_initializers()[name])}
    renamed = {"std": "stddev"}
    assert {key: arguments[renamed.get(key, key)] for key in defaults} == defaults


def remedy(entry: str) -> str:
    with pytest.raises(initcli.InvalidSpec) as caught:
        initcli.parse(f"input_shape: [8, 6]\nlayers: [{entry}]\n")
    return caught.value.errors[0].remedy


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Linear", "Dense"),
        ("nn.Linear", "Dense"),
        ("Conv2d", "Conv2D"),
        ("ConvTranspose2d", "Conv2DTranspose"),
        ("torch.nn.AdaptiveAvgPool2d(1)", "GlobalAveragePooling2D"),
        ("keras.layers.Dense", "Dense"),
        ("BatchNorm1d", "BatchNormalization"),
    ],
)
def test_a_layer_of_another_framework_is_named_as_here(name: str, meant: str) -> None:
    assert remedy(f"{{type: '{name}'}}") == f"did you mean '{meant}'?"


@pytest.mark.parametrize("name", ["GELU", "nn.SiLU", "Tanh"])
def test_an_activation_where_a_layer_is_named_is_one(name: str) -> None:
    activation = name.rpartition(".")[2].lower()
    assert remedy(f"{{type: {name}}}") == f"write {{type: Activation, activation: {activation}}}"


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        ("type: Dense, out_features: 3", "did you mean 'units'?"),
        ("type: Dense, features: 3", "did you mean 'units'?"),
        ("type: Conv1D, kernel_size: 2, out_channels: 3", "did you mean 'filters'?"),
        ("type: Dropout, p: 0.5", "did you mean 'rate'?"),
        ("type: Dense, units: 3, activation: nn.GELU", "did you mean 'gelu'?"),
        (
            "type: Dense, units: 3, in_features: 6",
            "leave it out: sizes of inputs follow from the layers before",
        ),
    ],
)
def test_an_argument_of_another_framework_is_named_as_here(arguments: str, meant: str) -> None:
    assert remedy(f"{{{arguments}}}") == meant


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("lecun_normal()", "did you mean 'lecun_normal'?"),
        ("nn.init.xavier_uniform_", "did you mean 'xavier_uniform_'?"),
        ("jax.nn.initializers.he_normal()", "did you mean 'he_normal'?"),
        ("xavier_uniform", "did you mean 'glorot_uniform'?"),
        ("he", "write he_normal or he_uniform"),
        (
            "kaiming_normal",
            "write kaiming_normal_, as in PyTorch, or he_normal, which is truncated",
        ),
    ],
)
def test_an_initializer_of_another_framework_is_named_as_here(name: str, meant: str) -> None:
    assert remedy(f"{{type: Dense, units: 3, kernel_initializer: {name}}}") == meant


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        ("dens/*", "did you mean 'dense/*'?"),
        ("*/kernal", "did you mean '*/kernel'?"),
        ("conv/*", "did you mean 'conv1d/*'?"),
        ("dense/kernal", "did you mean 'dense/kernel'?"),
        ("kernel", "did you mean '*/kernel'?"),
        ("x/*", "`*` is any text; the first is 'conv1d"),
    ],
)
def test_a_pattern_without_a_match_becomes_the_nearest_with_one(pattern: str, meant: str) -> None:
    for command in (["summary", "--theory"], ["signal", "--batch", "2", "--draws", "1"]):
        done = run(*command, TOUR, "--filter", pattern)
        assert f"  = {meant}" in done.stderr
        if "mean" in meant:
            assert run(*command, TOUR, "--filter", meant.split("'")[1]).returncode == 0
