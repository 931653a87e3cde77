"""``check --fix``: remedies are written, comments stay, and the signal is the better for it."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest

import initcli
from initcli.checks import Check, check
from initcli.checks.fixing import Fixed, fix
from support.paths import SAMPLES
from support.running import run
from support.stacks import CHECKS, errors, of_example, stack

RESIDUAL = """\
input_shape: [128]
layers:
  - {type: Dense, units: 128, name: stem, kernel_initializer: lecun_normal}
  - repeat: %d
    layers:
      - {type: Dense, units: 128, activation: relu, kernel_initializer: he_normal}
      - {type: Dense, units: 128, name: end, kernel_initializer: he_normal} # the branch's end
      - {type: Add, inputs: [input, end]}
  - {type: Dense, units: 10}
"""
CONVOLUTIONS = """\
input_shape: [12, 12, 3]
layers:
  - repeat: 9
    layers:
      - {type: Conv2D, filters: 24, kernel_size: 3, padding: same, activation: relu,
         kernel_initializer: {type: RandomNormal, stddev: 0.01}}
  - {type: MaxPooling2D, pool_size: 2}
  - {type: Conv2D, filters: 24, kernel_size: 3, activation: relu}
  - {type: GlobalAveragePooling2D}
  - {type: Dense, units: 10}
"""


def normal(std: float) -> dict[str, Any]:
    return {"type": "RandomNormal", "stddev": std}


FAILING = {
    "tanh, std 0.05": stack(30, {"activation": "tanh", "kernel_initializer": normal(0.05)}, 128),
    "tanh, std 1": stack(20, {"activation": "tanh", "kernel_initializer": normal(1.0)}),
    "relu, glorot": stack(30, {"activation": "relu"}),
    "relu, std 0.5": stack(20, {"activation": "relu", "kernel_initializer": normal(0.5)}),
    "relu, bias -3": stack(
        5,
        {
            "activation": "relu",
            "kernel_initializer": "he_normal",
            "bias_initializer": {"type": "Constant", "value": -3.0},
        },
    ),
    "gelu, glorot": stack(20, {"activation": "gelu"}),
    "silu, orthogonal": stack(
        20, {"activation": "silu", "kernel_initializer": "orthogonal"}, 128, 128
    ),
    "selu, std 0.01": stack(20, {"activation": "selu", "kernel_initializer": normal(0.01)}),
    "zeros": stack(3, {"activation": "relu", "kernel_initializer": "zeros"}),
    "positive": stack(
        4,
        {
            "activation": "relu",
            "kernel_initializer": {"type": "RandomUniform", "minval": 0.0, "maxval": 1.0},
        },
    ),
    "residual, he": RESIDUAL % 12,
    "convolutions, std 0.01": CONVOLUTIONS,
}


def fixed(text: str, folder: Path, **arguments: Any) -> Fixed:
    spec = folder / "spec.yaml"
    spec.write_text(text, encoding="utf-8")
    return fix(str(spec), **arguments)


def growth(model: initcli.Model) -> float:
    """By how many powers of e the signal grows or shrinks, or its gradient, the worse of both."""
    found = initcli.verdict(initcli.measure_signal(model, batch=16, draws=1, theory=False))
    ratios = [found.std_ratio, found.gradient_ratio]
    if any(ratio is None or not 0 < ratio < math.inf for ratio in ratios):
        return math.inf
    return max(abs(math.log(ratio)) for ratio in ratios if ratio)


@pytest.mark.parametrize("name", FAILING)
def test_a_failing_stack_is_quiet_afterwards_and_its_signal_better(
    name: str, tmp_path: Path
) -> None:
    few: dict[str, Any] = {"batch": 16, "draws": 1}
    found = fixed(FAILING[name], tmp_path, **few)
    assert errors(found.first)
    assert found.last.findings == ()
    mended = initcli.parse(found.after, file="spec.yaml")
    # What --fix believes is what anyone sees who checks the text anew.
    assert check(mended, **few).findings == ()
    before, after = growth(initcli.parse(found.before)), growth(mended)
    assert after < min(before, math.log(100))


@pytest.mark.parametrize(
    "rule",
    [rule for rule in CHECKS if rule.code not in ("I203", "I207", "I404")],
    ids=lambda rule: rule.code,
)
def test_every_remedy_that_can_be_written_mends_its_finding(
    rule: type[Check], tmp_path: Path
) -> None:
    of_example(rule, rule.example("Reported"), tmp_path)
    found = fix(str(tmp_path / "spec.yaml"))
    assert rule.code in {finding.code for finding in found.first.findings}
    assert rule.code not in {finding.code for finding in found.last.findings}


def test_where_no_scale_helps_it_says_what_to_change_and_changes_nothing(tmp_path: Path) -> None:
    found = fixed(stack(20, {"activation": "sigmoid"}), tmp_path)
    assert found.after == found.before
    (left,) = errors(found.last)
    assert left.code == "I203"
    assert not left.fixable
    assert "no scale keeps gradients through 20 layers of sigmoid" in left.remedy
    assert "tanh or relu" in left.remedy


def test_depth_that_normalization_makes_unstable_gets_advice(tmp_path: Path) -> None:
    block = '[{"type": "Dense", "units": 64}, {"type": "BatchNormalization"}, {"type": "ReLU"}]'
    spec = f'{{"input_shape": [64], "layers": [{{"repeat": 60, "layers": {block}}}]}}'
    found = fixed(spec, tmp_path)
    assert found.after == found.before
    assert [each.code for each in errors(found.last)] == ["I203"]
    assert "add skip connections around the layers" in found.last.findings[0].remedy


def test_a_branch_of_fifty_adds_a_fiftieth(tmp_path: Path) -> None:
    """(1 + 1/50)⁵⁰ is less than e: all branches together do not even triple the mean square."""
    found = fixed(RESIDUAL % 50, tmp_path)
    assert "{type: VarianceScaling, scale: 0.02, mode: fan_in}} # the branch's end" in found.after
    signal = initcli.measure_signal(initcli.parse(found.after), batch=32, draws=3)
    sums = [layer.output for layer in signal.layers if layer.type == "Add"]
    assert sums[-1] is not None
    assert sums[0] is not None
    ratio = (sums[-1].std.median / sums[0].std.median) ** 2
    assert 0.8 * math.e < ratio < 1.25 * math.e


def test_the_insides_of_branches_are_mended_with_their_ends(tmp_path: Path) -> None:
    """An end is solved for with insides that keep the signal, so these are written as well."""
    text = RESIDUAL.replace("activation: relu, kernel_initializer: he_normal", "activation: relu")
    found = fixed(text % 20, tmp_path)
    (growth,) = found.first.findings
    assert len(growth.changes) == 2
    assert found.last.findings == ()
    assert "activation: relu, kernel_initializer: he_uniform}" in found.after
    signal = initcli.measure_signal(initcli.parse(found.after), batch=32, draws=3)
    sums = [layer.output for layer in signal.layers if layer.type == "Add"]
    stds = [output.std.median for output in sums if output is not None]
    assert 0.8 * math.e < (stds[-1] / stds[0]) ** 2 < 1.25 * math.e


def test_only_the_lines_at_fault_change() -> None:
    found = fix(str(SAMPLES / "tour.yaml"))
    before, after = found.before.splitlines(), found.after.splitlines()
    pairs = enumerate(zip(before, after, strict=True), 1)
    changed = [number for number, (old, new) in pairs if old != new]
    assert changed == sorted({finding.line for finding in found.first.findings})
    assert before[0].startswith("#")
    assert found.fixed == len(found.first.findings)


def test_a_scale_is_solved_for_what_a_layer_really_takes(tmp_path: Path) -> None:
    """The convolution behind max pooling takes larger numbers than ReLU alone gives."""
    found = fixed(CONVOLUTIONS, tmp_path)
    model = initcli.parse(found.after)
    kernels = {p.path: p for p in model.parameters if p.name == "kernel"}
    first, pooled = kernels["block_0/conv2d/kernel"], kernels["conv2d/kernel"]

    def scale(kernel: initcli.Parameter) -> float:
        assert kernel.distribution is not None
        return kernel.distribution.std**2 * kernel.fans.fan_in

    assert scale(first) == pytest.approx(2.0, rel=0.1)
    assert scale(pooled) < 1.5


def test_what_an_anchor_shares_is_left_alone_with_a_note(tmp_path: Path) -> None:
    text = "input_shape: [256]\nlayers:\n"
    text += "  - &hidden {type: Dense, units: 256, activation: relu} # thirty of these\n"
    text += "  - *hidden\n" * 29 + "  - {type: Dense, units: 10}\n"
    result = fixed(text, tmp_path)
    assert result.after == text
    assert any("spec.yaml:3:5: this value is shared by a YAML anchor" in n for n in result.notes)


def test_what_another_file_says_is_left_to_that_file(tmp_path: Path) -> None:
    base = tmp_path / "base.yaml"
    base.write_text(stack(30, {"activation": "relu"}), encoding="utf-8")
    found = fixed("extends: base.yaml\nlayers:\n  - {type: Dense, units: 4}\n", tmp_path)
    assert found.after == found.before
    assert any("base.yaml" in note for note in found.notes)
    assert errors(found.last)


def test_a_model_of_keras_is_left_to_its_python() -> None:
    found = fix(str(SAMPLES / "keras_tour.json"))
    assert found.after == found.before
    assert any("Python" in note for note in found.notes)
    assert not any(finding.fixable for finding in found.first.findings)
    assert "kernel_initializer='he_normal'" in {finding.remedy for finding in found.first.findings}


# The command


def test_the_command_saves_what_it_mends(tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(RESIDUAL % 10, encoding="utf-8")
    difference = run("check", "--diff", spec)
    assert difference.returncode == 1
    assert spec.read_text(encoding="utf-8") == RESIDUAL % 10
    lines = difference.stdout.splitlines()
    assert [line[0] for line in lines if "branch's end" in line] == ["-", "+"]
    shown = run("check", "--fix", spec)
    assert (shown.returncode, shown.stdout) == (0, "Nothing found.\n")
    assert shown.stderr == f"initcli: {spec}: 1 of 1 findings fixed\n"
    assert "scale: 0.1" in spec.read_text(encoding="utf-8")
    again = run("check", "--diff", spec)
    assert (again.returncode, again.stdout) == (0, "")
    assert list(tmp_path.iterdir()) == [spec]


def test_standard_input_is_mended_to_standard_output() -> None:
    text = RESIDUAL % 10
    shown = run("check", "--fix", "-", text=text)
    assert shown.returncode == 0
    assert shown.stdout == fix_text(text)
    assert shown.stderr == "Nothing found.\n"


def fix_text(text: str) -> str:
    line = "name: end, kernel_initializer: %s} # the branch's end"
    new = "{type: VarianceScaling, scale: 0.1, mode: fan_in}"
    return text.replace(line % "he_normal", line % new)


def test_selected_findings_alone_are_mended(tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    two = json.dumps(
        {
            "input_shape": [64],
            "layers": [
                {
                    "type": "Dense",
                    "units": 64,
                    "kernel_initializer": {"type": "HeNormal", "seed": 1},
                },
                {
                    "type": "Dense",
                    "units": 64,
                    "kernel_initializer": {"type": "HeNormal", "seed": 1},
                },
                {"type": "Dense", "units": 64, "kernel_initializer": "ones"},
                {"type": "Dense", "units": 8},
            ],
        }
    )
    spec.write_text(two, encoding="utf-8")
    assert run("check", "--fix", "--select", "I102", spec).returncode == 0
    after = json.loads(spec.read_text(encoding="utf-8"))
    assert after["layers"][2]["kernel_initializer"] == "ones"
    assert after["layers"][1]["kernel_initializer"]["seed"] != 1
    assert run("check", "--strict", "--ignore", "I2", spec).returncode == 1


def test_a_read_only_file_stays_as_it_is_and_links_and_modes_are_kept(tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(RESIDUAL % 10, encoding="utf-8")
    spec.chmod(0o444)
    shown = run("check", "--fix", spec)
    assert shown.returncode == 2
    assert shown.stderr == f"{spec} is read-only\n"
    assert spec.read_text(encoding="utf-8") == RESIDUAL % 10
    spec.chmod(0o640)
    link = tmp_path / "link.yaml"
    try:
        link.symlink_to(spec)
    except OSError:
        link = spec
    assert run("check", "--fix", link).returncode == 0
    assert "scale: 0.1" in spec.read_text(encoding="utf-8")
    assert link == spec or link.is_symlink()
    if os.name == "posix":
        assert spec.stat().st_mode & 0o777 == 0o640


def test_what_overflows_in_theory_is_told_once() -> None:
    """Ten thousand times a block: mean squares leave floating-point numbers behind at the 40th."""
    normal_10 = "initializer: {type: RandomNormal, stddev: 10}"
    large = RESIDUAL.replace("initializer: he_normal", normal_10)
    found = check(initcli.parse(large % 60), how="predicted")
    assert [each.code for each in errors(found) if each.code != "I203"] == ["I206"]


@pytest.mark.parametrize(
    "layers",
    [
        # Products of degree 256: the first layer alone can be solved for.
        (
            "{type: Dense, units: 96}, {repeat: 8, layers: [{type: Dense, name: p, units: 96}, "
            "{type: Dense, name: q, units: 96, inputs: input}, {type: Multiply, inputs: [p, q]}]}"
        ),
        # A smaller scale of the same kind, with which it explodes as well.
        (
            "{repeat: 6, layers: [{type: Dense, units: 64, activation: exponential, "
            "kernel_initializer: {type: VarianceScaling, scale: 0.27, distribution: uniform}}]}"
        ),
    ],
)
def test_what_a_trial_does_not_mend_is_advice_and_not_written(layers: str, tmp_path: Path) -> None:
    text = f"input_shape: [64]\nlayers: [{layers}, {{type: Dense, units: 10}}]\n"
    found = fixed(text, tmp_path)
    assert found.after == text
    assert found.fixed == 0
    (left,) = errors(found.first)
    assert (left.code, left.fixable) == ("I202", False)
    assert "put a normalization between the layers" in left.remedy
    shown = run("check", tmp_path / "spec.yaml")
    assert shown.stdout.splitlines()[-1] == "Found 1 error."


def test_a_finding_that_another_hides_is_mended_too_and_said_beforehand(tmp_path: Path) -> None:
    """Behind zeros no signal is judged: only without them its loss is found."""
    small = '{"type": "RandomNormal", "stddev": 0.01}'
    dense = "{type: Dense, units: 64, activation: relu, kernel_initializer: %s}"
    layers = [dense % "zeros", *[dense % small] * 9, "{type: Dense, units: 10}"]
    found = fixed("input_shape: [64]\nlayers: [" + ", ".join(layers) + "]\n", tmp_path)
    assert [each.code for each in errors(found.first)] == ["I101"]
    assert found.last.findings == ()
    assert any("I202" in note and "--diff" in note for note in found.first.notes)
