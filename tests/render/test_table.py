"""The table of a summary: constants in one line, and blocks that repeat in one row."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from typing import Any

import pytest
from rich.console import Console

import initcli
from initcli.model import Model
from initcli.render.outline import Fold, Row, outline, shown_parameters
from initcli.render.table import summary_table
from initcli.reports.summary import TABLE_COLUMNS
from support.paths import SAMPLES


def table(model: Model, width: int = 80, **options: Any) -> list[str]:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    with console.capture() as capture:
        console.print(summary_table(model, initcli.theory(model), width=width, **options))
    return capture.get().splitlines()


def folds(rows: list[Row | Fold]) -> list[Fold]:
    return [row for row in rows if isinstance(row, Fold)]


def test_a_constant_takes_one_line_and_other_tensors_more() -> None:
    model = initcli.load(str(SAMPLES / "tour.yaml"))
    console = Console(width=80, file=io.StringIO(), color_system=None)
    with console.capture() as capture:
        console.print(summary_table(model, initcli.summarize(model), width=80))
    lines = capture.get().splitlines()
    assert "  bias (8,)  Constant(value=0.4)  constant 0.4" in lines
    assert len(lines) == 3 + 7 + 5 * 3 + 5 * 1 + 2
    assert lines[1].split() == [
        "tensor",
        *(str(each.heading) for each in TABLE_COLUMNS),
        "histogram",
    ]


def test_a_constant_of_which_a_part_is_drawn_says_so() -> None:
    model = initcli.load(str(SAMPLES / "tour.yaml"))
    console = Console(width=80, file=io.StringIO(), color_system=None)
    with console.capture() as capture:
        console.print(summary_table(model, initcli.summarize(model, max_entries=10), width=80))
    assert "  bias (64,)  Ones  constant 1 · first 10" in capture.get().splitlines()


def test_blocks_that_repeat_fold_behind_the_first_and_lose_no_weight() -> None:
    model = initcli.load(str(SAMPLES / "gpt2_small.yaml"))
    short = outline(model.layers, max_lines=100)
    (fold,) = folds(short)
    assert (fold.name, fold.last, fold.count) == ("block_1", "block_11", 11)
    assert (fold.layers, fold.tensors, fold.rows) == (8, 16, 11 * 24)
    shown = sum(row.layer.size for row in short if isinstance(row, Row))
    assert shown + fold.size == initcli.totals(model).params
    assert [p.path for p in shown_parameters(short) if "block" in p.path] == [
        p.path for p in model.parameters if p.path.startswith("block_0/")
    ]
    lines = table(model, rows=short)
    assert "  11 more blocks of 8 layers and 16 tensors, as above" in lines
    assert lines[-1] == "20 tensors shown, 176 not; --all shows all"
    assert "--all" not in "".join(table(model))


def test_a_fold_begins_where_a_named_block_begins() -> None:
    model = initcli.load(str(SAMPLES / "resnet50.yaml"))
    found = [(each.name, each.count) for each in folds(outline(model.layers, max_lines=100))]
    assert found == [
        (f"conv{stage}/identity_1", count) for stage, count in enumerate((1, 2, 4, 1), 2)
    ]


@pytest.mark.parametrize(
    "change", [{"units": 9}, {"kernel_initializer": "he_normal"}, {"use_bias": False}]
)
def test_blocks_that_differ_do_not_fold(change: dict[str, Any]) -> None:
    same = {"type": "Dense", "units": 8}
    layers = [*[same] * 4, {**same, **change}, *[same] * 4]
    model = initcli.parse(json.dumps({"input_shape": [8], "layers": layers}))
    rows = outline(model.layers, max_lines=0)
    assert "dense_4" in [row.layer.name for row in rows if isinstance(row, Row)]
    assert len(folds(rows)) == 2


def test_a_table_of_few_lines_is_whole() -> None:
    model = initcli.load(str(SAMPLES / "mlp_relu_deep.yaml"))
    rows = outline(model.layers)
    assert outline(model.layers, max_lines=1000) == rows
    assert len(outline(model.layers, max_lines=50)) < len(rows)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudoterminals")
@pytest.mark.parametrize(("options", "folded"), [((), True), (("--all",), False)])
def test_a_long_table_folds_on_a_terminal_unless_all_is_asked_for(
    options: tuple[str, ...], folded: bool
) -> None:
    spec = str(SAMPLES / "gpt2_small.yaml")
    command = [sys.executable, "-m", "initcli", "summary", spec, "--theory", *options]
    leader, follower = pty.openpty()
    with subprocess.Popen(command, stdout=follower, stderr=follower) as process:
        os.close(follower)
        content = b""
        while True:
            try:
                part = os.read(leader, 4096)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            content += part
    os.close(leader)
    assert process.returncode == 0
    assert (b"--all shows all" in content) == folded
    assert (b"block_7/" in content) != folded


def test_a_pipe_has_every_layer() -> None:
    spec = str(SAMPLES / "gpt2_small.yaml")
    command = [sys.executable, "-m", "initcli", "summary", spec, "--theory"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
    assert "block_7/up" in done.stdout
    assert "folded" not in done.stdout
