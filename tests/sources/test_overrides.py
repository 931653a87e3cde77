"""``--set``: values of a spec that the command line changes."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import initcli
from initcli.errors import InitcliError
from initcli.sources.overrides import BadOverride, paths
from initcli.sources.read import read
from support.paths import ROOT, TOUR
from support.running import run

CONFIGS = ROOT / "sample_configs"


def units(model: initcli.Model) -> list[Any]:
    return [layer.layer.units for layer in model.layers if layer.type == "Dense"]  # type: ignore[attr-defined]


def kernels(model: initcli.Model) -> list[str]:
    return [str(each.initializer) for each in model.parameters if each.name == "kernel"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("layers.3.units=128", [128, 64, 8, 64]),
        ("layers[4].units=128", [64, 128, 8, 64]),
        ("layers[name=dense_2].units=9", [64, 64, 9, 64]),
        ("layers[type=Dense].units=7", [7, 7, 7, 7]),
        ("layers[units=64].units=65", [65, 65, 8, 65]),
        ("layers.*.units=3", [3, 3, 3, 3]),
        ("layers.**.units=3", [3, 3, 3, 3]),
        ("layers.6={type: Dense, units: 2}", [64, 64, 8, 2]),
    ],
)
def test_a_path_leads_to_what_it_says(change: str, expected: list[int]) -> None:
    assert units(initcli.load(str(TOUR), changes=[change])) == expected


def test_values_are_yaml_and_later_changes_win() -> None:
    model = initcli.load(
        str(TOUR),
        changes=[
            "seed=7",
            "dtype=float16",
            "input_shape.0=64",
            "initializers.my_init={type: Constant, value: 1e-3}",
            "layers[name=dense].bias_initializer=zeros",
            "layers[name=dense].bias_initializer={type: Constant, value: .5}",
            "layers.4.use_bias=false",
        ],
    )
    assert (model.seed, model.dtype) == (7, "float16")
    assert model.layers[0].input_shapes == ((None, 64, 64),)
    assert kernels(model)[-1] == "Constant(value=0.001)"
    by_path = {each.path: str(each.initializer) for each in model.parameters}
    assert by_path["dense/bias"] == "Constant(value=0.5)"
    assert "dense_1/bias" not in by_path


def test_many_layers_change_where_they_take_the_argument_and_no_others() -> None:
    before = initcli.load(str(TOUR))
    after = initcli.load(str(TOUR), changes=["layers.*.kernel_initializer=he_normal"])
    assert kernels(after) == ["HeNormal"] * 5
    assert [layer.type for layer in after.layers] == [layer.type for layer in before.layers]


@pytest.mark.parametrize(
    ("initializer", "changed"),
    [
        ("random_normal", "RandomNormal(mean=0, stddev=2)"),
        ("{type: RandomNormal}", "RandomNormal(mean=0, stddev=2)"),
        ("{type: RandomNormal, stddev: 1.0}", "RandomNormal(mean=0, stddev=2)"),
        ("zeros", "Zeros"),
    ],
)
def test_an_argument_of_an_initializer_is_set_where_it_takes_it(
    tmp_path: Path, initializer: str, changed: str
) -> None:
    layer = "type: Dense, units: 3, kernel_initializer"
    spec = tmp_path / "spec.yaml"
    entries = f"[{{{layer}: {initializer}}}, {{{layer}: normal, name: normal}}]"
    spec.write_text(f"input_shape: [3]\nlayers: {entries}\n", "utf-8")
    for path in ("layers.*.kernel_initializer.stddev", "layers.**.stddev"):
        model = initcli.load(str(spec), changes=[f"{path}=2"])
        assert kernels(model) == [changed, "RandomNormal(mean=0, stddev=2)"]
    with pytest.raises(initcli.InvalidSpec) as caught:
        initcli.load(str(spec), changes=["layers.1.kernel_initializer.stddev=-2"])
    assert str(caught.value.errors[0].place) == "--set:1:36"


def test_a_text_that_is_no_spec_has_nothing_to_set() -> None:
    assert "there is no `units`" in run("summary", "-", "--set", "units=3", text="words").stderr


def test_blocks_are_reached_at_any_depth() -> None:
    resnet = str(CONFIGS / "resnet50.yaml")
    flat = initcli.load(resnet, changes=["layers.*.kernel_initializer=he_normal"])
    deep = initcli.load(resnet, changes=["layers.**.kernel_initializer=he_normal"])
    assert kernels(flat).count("HeNormal") == 2
    assert set(kernels(deep)) == {"HeNormal"}
    gpt = initcli.load(str(CONFIGS / "gpt2_small.yaml"), changes=["layers[name=block].repeat=2"])
    assert sum("/up" in layer.name for layer in gpt.layers) == 2


def test_what_shares_an_anchor_changes_alone() -> None:
    deep = str(CONFIGS / "mlp_relu_deep.yaml")
    model = initcli.load(deep, changes=["layers.1.kernel_initializer=zeros"])
    assert kernels(model).count("Zeros") == 1
    assert kernels(model)[1] == "Zeros"


def test_a_keras_file_is_changed_by_the_names_of_its_layers() -> None:
    model = initcli.load(
        str(CONFIGS / "keras_tour.json"),
        changes=["layers[name=dense].kernel_initializer=he_normal"],
    )
    assert dict(zip((p.path for p in model.parameters), kernels(model), strict=False))
    by_path = {each.path: str(each.initializer) for each in model.parameters}
    assert by_path["dense/kernel"] == "HeNormal"


def test_layers_that_another_file_brings_are_changed_too(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(TOUR.read_text("utf-8"), "utf-8")
    more = tmp_path / "more.yaml"
    more.write_text("extends: base.yaml\nlayers: [{type: Dense, units: 3}]\n", "utf-8")
    model = initcli.load(str(more), changes=["layers.7.units=4", "layers.3.units=5"])
    assert units(model) == [5, 64, 8, 64, 4]


@pytest.mark.parametrize(
    ("change", "message", "remedy"),
    [
        ("layer.3.units=1", "there is no `layer` in the spec", "`layers.3.units`"),
        ("layers.12.units=1", "there is no `12` in `layers`", "`layers."),
        ("layers[name=hed].units=1", "there is no `[name=hed]` in `layers`", "units`"),
        ("layers.3.unit.a=1", "there is no `unit` in `layers.3`", "`layers.3.units`"),
        ("layers.*.unitz=1", "nothing there takes `unitz`", "units`"),
        (
            "initializer.my_init=1",
            "there is no `initializer` in the spec",
            "`initializers.my_init`",
        ),
        ("units", "this does not change a value", "PATH=VALUE"),
        ("=3", "this does not change a value", "PATH=VALUE"),
        ("..=3", "this does not change a value", "PATH=VALUE"),
        ("seed=[1", "its value: this is not YAML", ""),
        ("seed=!!python/object/new:os.system [x]", "its value: the tag", "--custom"),
        (f"{'a.' * 5000}b=1", "the path is too long", ""),
    ],
)
def test_a_path_that_leads_nowhere_names_the_nearest(
    change: str, message: str, remedy: str
) -> None:
    with pytest.raises(BadOverride) as raised:
        initcli.load(str(TOUR), changes=[change])
    first, _, second = str(raised.value).partition("\n")
    assert first.startswith("--set ")
    assert message in first
    assert remedy in second
    assert len(first) < 500


def test_a_wrong_value_shows_the_option_as_its_place() -> None:
    shown = run("summary", TOUR, "--set", "layers.*.kernel_initializer=he_unifrom")
    assert shown.returncode == 2
    assert shown.stderr.splitlines() == [
        "--set:1:29: unknown initializer 'he_unifrom'",
        "  1 | layers.*.kernel_initializer=he_unifrom",
        "                                  ^",
        "  = did you mean 'he_uniform'?",
    ]
    shown = run("summary", TOUR, "--set", "layers.3.unit=3")
    assert shown.stderr.startswith("--set:1:15: Dense takes no `unit`\n")


def test_an_error_elsewhere_keeps_its_place_in_the_file(tmp_path: Path) -> None:
    spec = tmp_path / "bad.yaml"
    spec.write_text("input_shape: [3]\nlayers:\n  - {type: Dense, units: 0}\n", "utf-8")
    shown = run("summary", spec, "--set", "seed=1")
    assert shown.stderr.startswith(f"{spec}:3:26: `units` must be")
    assert run("summary", spec, "--set", "layers.0.units=1").returncode == 0


@pytest.mark.parametrize(
    "command",
    [
        ["summary", "--theory", "--format", "json"],
        ["signal", "--theory", "--format", "json"],
        ["compare", "--theory", "--format", "json"],
        ["check", "--theory", "--format", "json"],
    ],
)
def test_every_command_sees_the_changed_spec(command: list[str]) -> None:
    name, *options = command
    plain = run(name, TOUR, *options).stdout
    changed = run(name, TOUR, *options, "--set", "layers.*.kernel_initializer=zeros").stdout
    assert json.loads(plain) != json.loads(changed)


def test_hist_and_export_see_the_changed_spec(tmp_path: Path) -> None:
    change = ("--set", "layers[name=dense].name=other", "--filter", "other/*")
    assert "other/kernel" in run("hist", TOUR, *change).stdout
    assert run("export", TOUR, "--out", tmp_path / "x.npz", *change).returncode == 0


def test_what_fix_mends_is_what_stands_in_the_file() -> None:
    shown = run("check", TOUR, "--diff", "--set", "seed=1")
    assert shown.returncode == 2
    assert "--set" in shown.stderr


def test_every_path_of_a_spec_is_taken() -> None:
    document = read(str(TOUR))
    for path in paths(document.data):
        value: Any = document.data
        for step in path.split("."):
            value = value[int(step)] if isinstance(value, list) else value[step]
        model = initcli.load(str(TOUR), changes=[f"{path}={json.dumps(value)}"])
        assert kernels(model) == kernels(initcli.load(str(TOUR)))


@pytest.mark.parametrize("change", ["**=3", "layers.**=3", "*=3", "**.layers=3", "layers.*.*=3"])
def test_what_lies_within_a_changed_value_is_not_changed_as_well(change: str) -> None:
    with pytest.raises(initcli.InvalidSpec):
        initcli.load(str(CONFIGS / "gpt2_small.yaml"), changes=[change])


@given(
    st.text(max_size=40)
    | st.from_regex(
        r"(layers|\*\*|input_shape)([.]([0-9]|\*\*?|units|type|layers)|\[[a-z]=[a-z]\]){0,4}=[0-9a-z{}:]{0,6}"
    )
)
def test_any_text_is_a_change_or_an_error(text: str) -> None:
    with suppress(InitcliError):
        initcli.load(str(TOUR), changes=[text])
