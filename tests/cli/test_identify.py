"""``identify``: the table, the JSON and the rows, of files that ``export`` wrote."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from initcli import draw, export, load
from support.paths import TOUR
from support.running import run

RULES = {
    "conv1d/kernel": "U(±0.05)",
    "dense/kernel": "U(±√(6/fan_in))",
    "dense_1/kernel": "N(0, 0.05²)",
    "dense_2/kernel": "orthogonal, gain 1",
    "dense_3/kernel": "N(0, 1²)",
    "dense/bias": "constant 1",
    "dense_1/bias": "constant 0.4",
}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    written = tmp_path_factory.mktemp("weights") / "tour.safetensors"
    export(load(str(TOUR)), written)
    return str(written)


def identified(file: str, *arguments: str) -> str:
    done = run("identify", file, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_json_has_the_rules_that_the_spec_names(file: str) -> None:
    report: dict[str, Any] = json.loads(identified(file, "--format", "json"))
    tensors = {each["path"]: each for each in report["tensors"]}
    for path, rule in RULES.items():
        match = tensors[path]["match"]
        assert rule in [match["rule"], *(each["rule"] for each in match["also"])], path
    assert tensors["conv1d/kernel"]["match"]["initializer"] == {
        "type": "RandomUniform",
        "minval": -0.05,
        "maxval": 0.05,
    }
    assert tensors["conv1d/kernel"]["shape"] == [3, 64, 16]
    jsonschema.validate(report, json.loads(run("schema", "--report", "identify").stdout))


def test_rows_and_table_name_every_tensor(file: str) -> None:
    rows = list(csv.DictReader(io.StringIO(identified(file, "--format", "csv"))))
    rules = {row["path"]: row["match"] for row in rows}
    assert set(rules) == {each.path for each in load(str(TOUR)).parameters}
    assert rules["conv1d/kernel"] == "U(±0.05)"
    table = identified(file)
    assert all(row["path"] in table for row in rows)


def test_summary_has_the_match_of_stored_values(file: str) -> None:
    report = json.loads(run("summary", file, "--format", "json").stdout)
    rules = {each["path"]: each["match"]["rule"] for each in report["tensors"] if each["match"]}
    assert rules["conv1d/kernel"] == "U(±0.05)"
    rows = csv.DictReader(io.StringIO(run("summary", file, "--format", "csv").stdout))
    assert {row["path"]: row["match"] for row in rows if row["match"]} == rules
    assert "U(±0.05)" in run("summary", file, "--format", "markdown").stdout


@pytest.mark.parametrize("width", [80, 140])
def test_the_summary_shows_the_match_beside_each_tensor(file: str, width: int) -> None:
    lines = run("summary", file, COLUMNS=str(width)).stdout.splitlines()
    assert max(map(len, lines)) <= width
    (kernel,) = (line for line in lines if "(3, 64, 16)" in line)
    assert "looks like U(±0.05) (keras)" in kernel


def test_a_match_is_shown_where_the_declared_distribution_does_not_fit(tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    dense = "{type: Dense, units: 64, kernel_initializer: he_uniform}"
    spec.write_text(f"{{input_shape: [64], layers: [{dense}, {dense}]}}", "utf-8")
    weights: dict[str, Any] = {each.path: draw(each) for each in load(str(spec)).parameters}
    weights["dense_1/kernel"] = np.random.default_rng(0).normal(0, 0.02, (64, 64))
    low_rank = np.outer(np.arange(64.0), np.arange(64.0)) / 500
    np.savez(tmp_path / "w.npz", **weights)
    table = run("summary", spec, "--weights", tmp_path / "w.npz").stdout
    assert table.count("looks like") == 1
    assert "HeUniform · float64 · looks like N(0, 0.02²)" in table
    np.savez(tmp_path / "t.npz", w=np.random.default_rng(0).normal(0, 0.1, (64, 64)) + low_rank)
    assert "w (64, 64)  trained" in run("summary", tmp_path / "t.npz").stdout


def test_equal_fans_are_said_in_terms_of_the_fan_in(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    bound = 1 / 16
    values: dict[str, Any] = {"a.weight": rng.uniform(-bound, bound, (256, 256)).astype(np.float32)}
    np.savez(tmp_path / "a.npz", **values)
    (tensor,) = json.loads(identified(str(tmp_path / "a.npz"), "--format", "json"))["tensors"]
    assert tensor["match"]["rule"] == "U(±1/√fan_in)"
    assert "fan_in = fan_out" in identified(str(tmp_path / "a.npz"))


def test_a_filter_leaves_the_rest_out(file: str) -> None:
    report = json.loads(identified(file, "--filter", "*/bias", "--format", "json"))
    assert {each["path"].rpartition("/")[2] for each in report["tensors"]} == {"bias"}


def test_a_spec_has_nothing_to_identify() -> None:
    done = run("identify", str(TOUR))
    assert done.returncode == 2
    assert "tour has no stored values to identify" in done.stderr


def test_a_broken_file_is_one_error(tmp_path: Path) -> None:
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"\x08\0\0\0\0\0\0\0{broken}")
    done = run("identify", str(broken))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
