"""What ``compare`` varies: initializers, activations, defaults and values of the spec."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import initcli
from initcli.sources.overrides import BadOverride
from support.running import run

SPEC = """input_shape: [8]
initializers: {own: {type: Constant, value: 0.5}}
layers:
  - {type: Dense, units: 4, activation: relu, kernel_initializer: random_normal}
  - {type: ReLU, name: act}
  - {type: Dense, units: 4}
"""


@pytest.fixture
def spec(tmp_path: Path) -> str:
    (tmp_path / "spec.yaml").write_text(SPEC, "utf-8")
    return str(tmp_path / "spec.yaml")


def labels(spec: str, **varied: Any) -> list[str]:
    return [label for label, _ in initcli.variants([spec], **varied)]


def initializers(spec: str, name: str, **varied: Any) -> list[set[str]]:
    """For each variant, the initializers of all kernels, or all biases."""
    return [
        {str(each.initializer) for each in model.parameters if each.name == name}
        for _, model in initcli.variants([spec], **varied)
    ]


def test_an_option_given_twice_adds(spec: str) -> None:
    options = ["--kernel-initializer", "zeros,ones", "--kernel-initializer", "he_normal"]
    options += ["--defaults", "keras", "--defaults", "torch", "--activation", "relu"]
    done = run("compare", spec, "--theory", "--format", "csv", *options, "--activation", "tanh")
    rows = csv.DictReader(io.StringIO(done.stdout))
    assert {row["variant"] for row in rows} == {
        f"{kernel} · {activation} · {framework}"
        for kernel in ("zeros", "ones", "he_normal")
        for activation in ("relu", "tanh")
        for framework in ("keras", "torch")
    }


def test_an_initializer_is_whatever_a_spec_can_say(spec: str, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "import numpy\ndef mine(shape, depth=1):\n    return numpy.full(shape, depth)\n"
    )
    texts = ["{type: VarianceScaling, scale: 1.5},own", "{type: mine, depth: 3}"]
    varied: dict[str, Any] = {"kernel_initializers": texts, "custom": [str(tmp_path / "own.py")]}
    assert labels(spec, **varied) == ["VarianceScaling(scale=1.5)", "own", "mine(depth=3)"]
    scaling, own, mine = initializers(spec, "kernel", **varied)
    assert [each.partition(",")[0] for each in scaling] == ["VarianceScaling(scale=1.5"]
    assert (own, mine) == ({"Constant(value=0.5)"}, {"mine(depth=3)"})


def test_biases_are_varied_alone(spec: str) -> None:
    varied = {"bias_initializers": ["ones", "own"]}
    assert initializers(spec, "bias", **varied) == [{"Ones"}, {"Constant(value=0.5)"}]
    kernels = initializers(spec, "kernel")
    assert initializers(spec, "kernel", **varied) == kernels * 2


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ("8,16", [8, 16]),
        ("8:32:4", [8, 16, 24, 32]),
        ("8:64:log4", [8, 16, 32, 64]),
        (" 8 : 2 : 2 ", [8, 2]),
    ],
)
def test_a_sweep_sets_each_value_in_turn(spec: str, values: str, expected: list[int]) -> None:
    found = initcli.variants([spec], sweeps=[f"layers.0.units={values}"])
    assert [label for label, _ in found] == [f"units={units}" for units in expected]
    assert [model.layers[0].output_shape[-1] for _, model in found] == expected


def test_a_sweep_changes_the_number_of_an_initializer_that_is_swept_along(spec: str) -> None:
    sweep = "layers.*.kernel_initializer.stddev=0.01:0.2:log5"
    texts = ["random_normal", "{type: TruncatedNormal}"]
    found = initcli.variants([spec], kernel_initializers=texts, sweeps=[sweep])
    assert [label for label, _ in found][::5] == [
        "random_normal · stddev=0.01",
        "TruncatedNormal() · stddev=0.01",
    ]
    given = [model.parameters[0].initializer.arguments["stddev"] for _, model in found]
    np.testing.assert_allclose(given, [*np.geomspace(0.01, 0.2, 5)] * 2, rtol=1e-5)
    # The label says exactly what is set.
    assert [f"stddev={each:g}" for each in given[:5]] == [
        label.partition(" · ")[2] for label, _ in found[:5]
    ]


def test_sweeps_of_the_same_argument_are_named_by_their_paths(spec: str) -> None:
    sweeps = ["layers.0.units=1,2", "layers.2.units=3", "seed=7"]
    assert labels(spec, sweeps=sweeps) == [
        "layers.0.units=1 · layers.2.units=3 · seed=7",
        "layers.0.units=2 · layers.2.units=3 · seed=7",
    ]


@pytest.mark.parametrize(
    ("varied", "place"),
    [
        ({"kernel_initializers": ["zeros,he_unifrom"]}, "--kernel-initializer:1:7"),
        ({"kernel_initializers": ["{type: Constant, valeu: 1}"]}, "--kernel-initializer:1:18"),
        ({"activations": ["rellu"]}, "--activation:1:1"),
        ({"sweeps": ["layers.0.units=8,many"]}, "--sweep:1:18"),
        ({"sweeps": ["layers.0.units=0:8:2"]}, "--sweep:1:16"),
    ],
)
def test_a_wrong_value_shows_the_option_as_its_place(
    spec: str, varied: dict[str, Any], place: str
) -> None:
    with pytest.raises(initcli.InvalidSpec) as caught:
        initcli.variants([spec], **varied)
    assert str(caught.value.errors[0].place) == place


@pytest.mark.parametrize(
    ("varied", "message"),
    [
        ({"kernel_initializers": [""]}, "lists no values"),
        ({"kernel_initializers": ["{type: Constant"]}, "its value: this is not YAML"),
        ({"sweeps": ["units"]}, "this does not change a value"),
        ({"sweeps": ["layers.7.units=1:2:2"]}, "there is no `7` in `layers`"),
        ({"sweeps": ["seed=0:1:log3"]}, "equal ratios need two numbers of the same sign"),
        ({"sweeps": ["seed=1:nan:3"]}, "two finite numbers and from 2 to 100 steps"),
        ({"sweeps": ["seed=1:2:999999999"]}, "two finite numbers and from 2 to 100 steps"),
    ],
)
def test_what_cannot_be_varied_says_why(spec: str, varied: dict[str, Any], message: str) -> None:
    with pytest.raises(BadOverride, match=message):
        initcli.variants([spec], **varied)


def test_what_changes_no_layer_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "relu.yaml").write_text("input_shape: [8]\nlayers: [{type: ReLU}]\n", "utf-8")
    every: list[dict[str, Any]] = [{"bias_initializers": ["ones"]}, {"activations": ["tanh"]}]
    for varied in every:
        with pytest.raises(BadOverride, match="no layer"):
            initcli.variants([str(tmp_path / "relu.yaml")], **varied)


def test_recurrent_kernels_keep_their_initializer_and_are_named(tmp_path: Path) -> None:
    layers = "[{type: LSTM, units: 4, bias_initializer: ones}]"
    (tmp_path / "lstm.yaml").write_text(f"input_shape: [5, 8]\nlayers: {layers}\n", "utf-8")
    source = [str(tmp_path / "lstm.yaml")]
    ((_, model),) = initcli.variants(source, kernel_initializers=["zeros"])
    kernel, recurrent, _ = model.parameters
    assert [str(each.initializer) for each in (kernel, recurrent)] == [
        "Zeros",
        "Orthogonal(gain=1)",
    ]
    assert model.notes == (f"--kernel-initializer does not change {recurrent.path}",)
    ((_, model),) = initcli.variants(source, bias_initializers=["zeros"])
    assert model.notes == ()


def test_more_variants_than_anybody_reads_are_refused(spec: str) -> None:
    with pytest.raises(initcli.errors.TooLarge, match="4,096 combinations"):
        initcli.variants([spec], sweeps=["layers.0.units=1:64:64", "seed=1:64:64"])
