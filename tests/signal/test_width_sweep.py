"""The signal against width: exponents that are known in closed form, predicted and measured."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from rich.console import Console

import initcli
from initcli.errors import SignalError
from initcli.render.width_table import width_tables
from initcli.signal.width_sweep import WidthSweep, trend
from support.paths import SAMPLES
from support.running import run

LINEAR = """input_shape: [24]
layers:
  - {type: Dense, units: 32, name: a, kernel_initializer: INIT}
  - {type: Dense, units: 32, name: b, kernel_initializer: INIT}
  - {type: Dense, units: 32, name: c, kernel_initializer: INIT}
  - {type: Dense, units: 12, name: head, kernel_initializer: INIT}
"""
FIXED = "{type: RandomNormal, stddev: 0.05}"


def sweep(text: str, folder: Path, widths: str = "1,2,4,8,16", draws: int = 0) -> WidthSweep:
    (folder / "spec.yaml").write_text(text, "utf-8")
    models = initcli.variants([folder / "spec.yaml"], widths=[widths])
    compared = initcli.compare(models, theory=not draws, draws=draws or None, batch=32)
    (found,) = initcli.fit_widths(compared)
    return found


def outputs(found: WidthSweep) -> dict[str, float | None]:
    return {each.name: each.output.exponent for each in found.layers}


def gradients(found: WidthSweep) -> dict[str, float | None]:
    return {each.name: each.gradient.exponent for each in found.layers}


def test_a_fixed_std_adds_half_a_power_of_the_width_a_layer(tmp_path: Path) -> None:
    found = sweep(LINEAR.replace("INIT", FIXED), tmp_path, "8,16,32,64")
    # The first layer has a fixed fan-in; each one behind it multiplies by σ √n, and backwards too.
    assert outputs(found) == pytest.approx({"a": 0, "b": 0.5, "c": 1, "head": 1.5}, abs=0.01)
    assert gradients(found) == pytest.approx({"a": 1, "b": 0.5, "c": 0, "head": 0}, abs=0.01)
    kernels = {each.path: each.gradient.exponent for each in found.tensors}
    # The RMS of the input times that of the gradient of the output.
    expected = {"a/kernel": 1, "b/kernel": 0.5, "c/kernel": 0.5, "head/kernel": 1}
    assert kernels == pytest.approx(expected, abs=0.01)
    verdicts = [each.output.verdict for each in found.layers]
    assert verdicts == ["stays", "grows", "grows", "grows"]


def test_what_is_measured_has_the_same_exponents(tmp_path: Path) -> None:
    found = sweep(LINEAR.replace("INIT", FIXED), tmp_path, "1,2,4,8", draws=3)
    assert found.draws == 3
    # Of 32 examples and 3 draws the logarithm of an RMS has an error of about 0.08 where 12 units
    # come last, and a slope over 3 doublings one of 0.05; four layers keep within 0.2.
    assert outputs(found) == pytest.approx({"a": 0, "b": 0.5, "c": 1, "head": 1.5}, abs=0.2)
    kernels = {each.path: each.gradient.exponent for each in found.tensors}
    # The RMS of the input times that of the gradient of the output.
    expected = {"a/kernel": 1, "b/kernel": 0.5, "c/kernel": 0.5, "head/kernel": 1}
    assert {path: kernels[path] for path in expected} == pytest.approx(expected, abs=0.2)


@pytest.mark.parametrize(
    ("initializer", "first", "last"),
    [
        ("he_normal", 0, 0),
        ("lecun_uniform", 0, 0),
        # Fans of both sides: where the input is narrow, its layer shrinks.
        ("glorot_normal", -0.5, -0.5),
        # Counts the fixed size at one end, and the variance is 1 / fan_out.
        ("{type: VarianceScaling, scale: 1.0, mode: fan_out}", -0.5, 0),
    ],
)
def test_scaled_initializers(initializer: str, first: float, last: float, tmp_path: Path) -> None:
    found = sweep(LINEAR.replace("INIT", initializer), tmp_path, "32,64,128,256")
    exponents = outputs(found)
    assert exponents["a"] == pytest.approx(first, abs=0.02)
    assert exponents["c"] == pytest.approx(first, abs=0.02)
    assert exponents["head"] == pytest.approx(last, abs=0.02)


def test_a_stack_of_he_layers_keeps_its_size_and_its_gradients_shrink(tmp_path: Path) -> None:
    text = (SAMPLES / "mlp_relu_deep.yaml").read_text("utf-8")
    found = sweep(text, tmp_path, "2,4,8,16")
    hidden = found.layers[1:-1]
    assert {each.output.verdict for each in found.layers} == {"stays"}
    # One output of the head for n units behind it: g² is 1 / n of what flows in.
    assert {each.gradient.verdict for each in hidden} == {"shrinks"}
    assert all(abs(each.gradient.exponent + 0.5) < 0.05 for each in hidden)  # type: ignore[operator]


def test_marked_entries_keep_their_sizes(tmp_path: Path) -> None:
    text = """input_shape: [16]
layers:
  - {type: Dense, units: 32, name: wide}
  - {type: Dense, units: 8, name: narrow, base: true}
  - {type: Dense, units: 32, name: again}
  - {base: true, repeat: 2, name: block, layers: [{type: Dense, units: 8}, {type: Dense, units: 6}]}
  - {type: Dense, units: 4, name: head}
"""
    found = sweep(text, tmp_path, "1,2,4")
    assert [size.layer for size in found.width.scaled] == ["wide", "again"]
    why = {size.layer: size.why for size in found.width.fixed}
    assert why["narrow"] == why["block_0/dense"] == "it is marked `base`"
    assert initcli.load(tmp_path / "spec.yaml", changes=["layers.1.base=false"])
    (tmp_path / "spec.yaml").write_text(text, "utf-8")
    models = initcli.variants([tmp_path / "spec.yaml"], widths=["1,2"], scale=["narrow.units"])
    shapes = [model.layers[1].output_shape for _, model in models]
    assert shapes == [(None, 8), (None, 16)]
    with pytest.raises(initcli.errors.InvalidSpec, match="`base` must be true or false, not 3"):
        initcli.parse(text.replace("base: true", "base: 3"))
    with pytest.raises(initcli.errors.InvalidSpec, match="base"):
        initcli.parse(text.replace("name: head", "call: wide, base: true"))


def test_channels_of_a_convolution_are_widths(tmp_path: Path) -> None:
    conv = "type: Conv2D, filters: 16, kernel_size: 3, padding: same, kernel_initializer: "
    text = f"""input_shape: [8, 8, 3]
layers:
  - {{{conv}{FIXED}, name: a}}
  - {{{conv}{FIXED}, name: b}}
  - {{{conv}he_normal, activation: relu, name: c}}
  - {{type: GlobalAveragePooling2D}}
  - {{type: Dense, units: 10, name: head, kernel_initializer: {FIXED}}}
"""
    found = outputs(sweep(text, tmp_path, "4,8,16,32"))
    assert {name: found[name] for name in "abc"} == pytest.approx(
        {"a": 0, "b": 0.5, "c": 0.5}, abs=0.02
    )
    assert found["head"] == pytest.approx(1, abs=0.03)


def test_a_transformer_block_stays_where_its_kernels_heed_their_fans(tmp_path: Path) -> None:
    text = """layers:
  - {type: Input, name: ids, shape: [16], dtype: int32}
  - {type: Embedding, input_dim: 64, output_dim: 64, embeddings_initializer: UNIT, name: stream}
  - {type: LayerNormalization, name: normed}
  - {type: MultiHeadAttention, num_heads: 4, key_dim: 16, inputs: [normed, normed], name: attended,
     kernel_initializer: KERNEL}
  - {type: Add, inputs: [stream, attended], name: middle}
  - {type: LayerNormalization}
  - {type: Dense, units: 256, activation: gelu, kernel_initializer: KERNEL, name: up}
  - {type: Dense, units: 64, kernel_initializer: KERNEL, name: down}
  - {type: Add, inputs: [middle, down]}
  - {type: Dense, units: 50, kernel_initializer: KERNEL, name: head}
"""
    text = text.replace("UNIT", "{type: RandomNormal, stddev: 1.0}")
    scaled = sweep(text.replace("KERNEL", "lecun_normal"), tmp_path, "4,8,16,32")
    assert {each.output.verdict for each in scaled.layers if each.output.exponent is not None} == {
        "stays"
    }
    fixed = outputs(sweep(text.replace("KERNEL", FIXED), tmp_path, "16,32,64,128"))
    assert fixed["head"] is not None
    assert fixed["up"] == pytest.approx(0.5, abs=0.05)
    # Its input has both: √n of the layer before, and √n of the sum.
    assert fixed["down"] == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("sizes", "exponent", "verdict"),
    [
        ([2.0, 1.0, 0.5], -1, "shrinks"),
        ([1.0, 1.02, 0.99], 0, "stays"),
        ([1.0, 3.0, 1.5], 0.29, None),  # within two errors of 0
        ([1.0, None, 1.0], None, None),
        ([0.0, 0.0, 0.0], None, None),
        ([1.0, float("inf"), 1.0], None, None),
    ],
)
def test_a_trend_is_said_where_figures_say_so(
    sizes: list[float | None], exponent: float | None, verdict: str | None
) -> None:
    found = trend([1, 2, 4], sizes)
    assert found.exponent == (None if exponent is None else pytest.approx(exponent, abs=0.01))
    assert found.verdict == verdict


def test_the_error_is_that_of_least_squares() -> None:
    rng = np.random.default_rng(0)
    x = np.array([0.5, 1, 2, 4, 8])
    noisy = x**0.7 * np.exp(rng.normal(0, 0.1, (4000, 5)))
    fits = [trend(list(x), list(row)) for row in noisy]
    slopes = np.array([fit.exponent for fit in fits])
    errors = np.array([fit.error for fit in fits])
    true = 0.1 / np.sqrt(np.sum((np.log(x) - np.log(x).mean()) ** 2))
    # 4000 slopes: their std is known to 1.1 %, and the mean square of the errors to 1.3 %.
    assert slopes.std() == pytest.approx(true, rel=0.05)
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(true, rel=0.06)


def test_two_widths_have_no_error() -> None:
    assert trend([1, 2], [1.0, 2.0]).error is None


def test_each_variant_has_a_sweep_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(LINEAR.replace("INIT", "he_normal"), "utf-8")
    options = ("--width", "4,8,16", "--kernel-initializer", f"he_normal,{FIXED}")
    done = run("compare", tmp_path / "spec.yaml", *options, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert len(rows) == 2 * 4 * 3 * 3  # variants, layers, quantities and kernels, widths
    heads = {
        row["variant"]: float(row["exponent"])
        for row in rows
        if row["name"] == "head" and row["quantity"] == "output"
    }
    expected = {"he_normal": 0, "RandomNormal(stddev=0.05)": 1.5}
    assert heads == pytest.approx(expected, abs=0.02)


def test_the_json_is_what_its_schema_says(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(LINEAR.replace("INIT", FIXED), "utf-8")
    spec = str(tmp_path / "spec.yaml")
    done = run("compare", spec, "--width", "1,2", "--draws", "1", "--format", "json")
    report = json.loads(done.stdout)
    jsonschema.validate(report, json.loads(run("schema", "--report", "width").stdout))
    (found,) = report["sweeps"]
    assert found["widths"] == [1, 2]
    assert [each["layer"] for each in found["scaled"]] == ["a", "b", "c"]
    assert [(each["layer"], each["why"]) for each in found["fixed"]] == [
        ("head", "it reaches a result")
    ]
    assert len(found["tensors"]) == 8


def test_the_table_fits_80_columns(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(LINEAR.replace("INIT", FIXED), "utf-8")
    done = run("compare", str(tmp_path / "spec.yaml"), "--width", "0.5,1,2,4,8", width=80)
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    row = next(line.split() for line in lines if line.startswith("head"))
    assert row[-3:] == ["+1.50", "±0.00", "grows"]
    assert "scaled: units of 3 layers; fixed: units of head" in lines


def test_layers_that_behave_alike_share_a_row_where_there_are_many(tmp_path: Path) -> None:
    text = (SAMPLES / "mlp_relu_deep.yaml").read_text("utf-8")
    found = sweep(text, tmp_path, "2,4")
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(width_tables([found], width=80, max_rows=10))
    lines = console.export_text().splitlines()
    assert sum("alike" in line for line in lines) == 3  # of outputs, gradients and parameters
    assert "output: 31 stay" in lines
    (more,) = (line for line in lines if line.endswith("; --all shows all"))
    assert "more layers and" in more


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_the_picture_has_a_line_for_each_layer(kind: str, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(LINEAR.replace("INIT", FIXED), "utf-8")
    file = tmp_path / f"picture.{kind}"
    done = run("compare", str(tmp_path / "spec.yaml"), "--width", "1,2", "--out", str(file))
    assert done.returncode == 0, done.stderr
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[kind]
    assert file.read_bytes().startswith(start)
    if kind == "svg":
        text = file.read_text("utf-8")
        assert all(f">{name}<" in text for name in ("a", "b", "c", "head", "width"))


def test_models_of_one_width_have_no_trend() -> None:
    models = initcli.variants([SAMPLES / "lenet5.yaml"])
    with pytest.raises(SignalError, match="no model of a sweep"):
        initcli.fit_widths(initcli.compare(models, theory=True))


def test_where_the_widest_model_is_not_afforded_all_are_predicted(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(LINEAR.replace("INIT", FIXED), "utf-8")
    models = initcli.variants([tmp_path / "spec.yaml"], widths=["1,2,64"])
    with initcli.limited(memory=150 << 20):
        (found,) = initcli.fit_widths(initcli.compare(models))
    assert found.draws == 0
    assert found.layers[-1].output.verdict == "grows"
    assert "nothing is measured" in found.notes[0]


def test_models_of_one_sweep_have_the_same_examples(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(LINEAR.replace("INIT", FIXED), "utf-8")
    models = initcli.variants([tmp_path / "spec.yaml"], widths=["1,40"])
    with initcli.limited(memory=161 << 20):
        compared = initcli.compare(models, draws=1)
    assert max(each.signal.batch for each in compared) < 64
    assert len({each.signal.batch for each in compared}) == 1
