"""Tables at every width: nothing far from its name, no word broken, no padding in a pipe."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text

import initcli
from initcli.render.signal_table import signal_table
from initcli.render.wrapping import in_lines, wrapped
from initcli.signal.figures import Signal
from support.paths import SAMPLES, TOUR
from support.running import run

COMMANDS = [
    ["summary", str(TOUR)],
    ["signal", str(TOUR), "--theory"],
    ["compare", str(TOUR), "--theory", "--kernel-initializer", "he_normal,glorot_uniform"],
]


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_pipe_has_no_trailing_blanks_and_no_line_too_long(command: list[str], width: int) -> None:
    lines = run(*command, width=width).stdout.splitlines()
    assert [line for line in lines if line != line.rstrip()] == []
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize("width", [40, 50, 60])
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_narrow_page_breaks_no_word(command: list[str], width: int) -> None:
    model = initcli.load(str(TOUR))
    names = {
        "summary": [parameter.name for parameter in model.parameters],
        "signal": [layer.name for layer in model.layers],
        "compare": ["he_normal", "glorot_uniform"],
    }
    assert set(names[command[0]]) <= set(run(*command, width=width).stdout.split())


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_wide_page_has_no_gulf_between_names_and_figures(command: list[str]) -> None:
    """No more than a dozen columns in a row are blank on all lines."""
    lines = run(*command, width=200).stdout.splitlines()
    rows = [line.ljust(200) for line in lines if "──" not in line]
    used = max(map(len, map(str.rstrip, rows)))
    blank = "".join(" x"[any(row[column] != " " for row in rows)] for column in range(used))
    assert max(map(len, re.findall(" +", blank)), default=0) <= 12


def test_words_are_kept_and_names_break_between_their_parts() -> None:
    text = Text("a kernel of encoder/block_11/attention/kernel (3, 3)")
    for room in range(10, 60):
        lines = [line.plain for line in wrapped(text, room)]
        assert all(len(line) <= room for line in lines)
        assert "".join(lines).replace(" ", "") == text.plain.replace(" ", "")
        parts = {part for line in lines for part in re.split(r"[ /_]", line)}
        assert {"kernel", "encoder", "attention"} <= parts
    assert [line.plain for line in wrapped(Text("x" * 25), 10)] == ["x" * 10, "x" * 10, "x" * 5]


def test_stored_tensors_break_no_name_either(tmp_path: Path) -> None:
    file = tmp_path / "tour.npz"
    assert run("export", TOUR, "--out", file).returncode == 0
    for width in (40, 60, 80):
        words = run("identify", file, width=width).stdout.split()
        assert {parameter.path for parameter in initcli.load(str(TOUR)).parameters} <= set(words)


def test_cells_of_a_line_stay_whole() -> None:
    assert list(in_lines([], 18)) == []
    cells = [Text("min -0.5"), Text("max 0.5"), Text("std 0.1")]
    assert [line.plain for line in in_lines(cells, 18)] == ["min -0.5  max 0.5", "std 0.1"]


def stack(units: int, count: int, scale: float) -> Signal:
    kernel = {"type": "VarianceScaling", "scale": scale}
    dense = {"type": "Dense", "units": units, "activation": "relu", "kernel_initializer": kernel}
    spec = {
        "input_shape": [units],
        "layers": [{"repeat": count, "name": "block", "layers": [dense] * 2}],
    }
    return initcli.predict_signal(initcli.parse(json.dumps(spec)))


def names(signal: Signal, **options: Any) -> list[str]:
    """The first column of the layers."""
    console = Console(width=120, file=io.StringIO(), color_system=None)
    with console.capture() as capture:
        console.print(signal_table(signal, width=120, **options))
    rows = [row for row in capture.get().splitlines() if row.startswith("block_")]
    return [re.split(r"  +| Dense", row)[0] for row in rows]


def test_blocks_that_behave_alike_fold() -> None:
    keeps = stack(64, 20, 2.0)
    assert len(names(keeps)) == len(names(keeps, max_rows=40)) == 40
    assert names(keeps, max_rows=39) == [
        "block_0/dense",
        "block_0/dense_1",
        "block_1 … block_19 · 19 alike",
    ]


def test_blocks_that_do_not_behave_alike_stay() -> None:
    """Each block has a quarter of the mean square of the one before, half of its size twice over
    in the next but one."""
    vanishes = stack(64, 20, 0.5)
    assert len(names(vanishes, max_rows=10)) == 40


def test_a_depth_shows_blocks_by_their_last_layer() -> None:
    signal = stack(64, 3, 2.0)
    assert names(signal, depth=1) == ["block_0", "block_1", "block_2"]
    spec = str(SAMPLES / "gpt2_small.yaml")
    text = run("signal", spec, "--theory", "--depth", "1", width=120).stdout
    row = next(line for line in text.splitlines() if line.startswith("block_11 "))
    whole = run("signal", spec, "--theory", "--filter", "block_11/add", width=120).stdout
    last = next(line for line in whole.splitlines() if line.startswith("block_11/add "))
    assert row.split()[1:3] == last.split()[1:3]


@pytest.mark.parametrize("sort", ["std", "gradient", "growth", "loss"])
def test_layers_are_sorted(sort: str) -> None:
    spec = str(SAMPLES / "lenet5.yaml")
    text = run("signal", spec, "--theory", "--sort", sort, "--format", "json").stdout
    layers = json.loads(text)["layers"]
    plain = json.loads(run("signal", spec, "--theory", "--format", "json").stdout)["layers"]
    stds = {layer["name"]: layer["predicted"]["std"] for layer in plain}
    if sort in ("growth", "loss"):
        before = dict(zip(stds, [1.0, *stds.values()], strict=False))
        sign = 1 if sort == "loss" else -1
        keys = [sign * layer["predicted"]["std"] / before[layer["name"]] for layer in layers]
    else:
        name = "std" if sort == "std" else "gradient_rms"
        keys = [-layer["predicted"][name] for layer in layers]
    assert keys == sorted(keys)
    assert sorted(layer["name"] for layer in layers) == sorted(stds)
    assert [layer["name"] for layer in layers] != list(stds)
