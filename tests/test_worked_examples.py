"""The worked examples of initcli/README.md, added to a copy of the package."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from documents import ROOT

TEXT = (ROOT / "initcli" / "README.md").read_text("utf-8")
SPEC = {
    "input_shape": [8],
    "layers": [
        {"type": "SwiGLU", "units": 16, "kernel_initializer": "small_init", "name": "gated"},
        {"type": "Dense", "units": 4},
    ],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with all examples, and files to use them on."""
    folder = tmp_path_factory.mktemp("examples")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "initcli", folder / "initcli", ignore=ignored)
    for _, path, place, code in re.findall(
        r"^(`{3,4})python\n# (initcli/[\w/]+\.py)(?:, in (\w+))?\n(.*?)^\1$", TEXT, re.DOTALL | re.M
    ):
        file = folder / path
        if place:
            before, heading, after = file.read_text("utf-8").partition(f"class {place}(")
            assert heading
            declaration, blank, fields = after.partition("\n\n")
            file.write_text(f"{before}{heading}{declaration}{blank}{code}{fields}", "utf-8")
        else:
            assert not file.exists()
            file.write_text(code, "utf-8")
    (folder / "model.json").write_text(json.dumps(SPEC))
    (folder / "net.widths").write_text("widths 8 4 2")
    return folder


def run(folder: Path, *arguments: str) -> str:
    return python(folder, "-m", "initcli", *arguments)


def python(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


def test_the_layer_the_initializer_and_the_column_are_reported(folder: Path) -> None:
    report: Any = json.loads(run(folder, "summary", "model.json", "--format", "json"))
    gate = report["tensors"][0]
    assert (gate["path"], gate["shape"], gate["bytes"]) == ("gated/gate", [8, 16], 4 * 8 * 16)
    assert gate["initializer"]["type"] == "SmallInit"
    assert gate["distribution"]["std"] == pytest.approx((2 / (5 * 8)) ** 0.5)
    assert gate["fit"]["p_value"] > 1e-6
    heading, *_ = run(folder, "summary", "model.json", "--format", "csv").splitlines()
    assert "bytes" in heading.split(",")


def test_the_family_of_hugging_face_is_described(folder: Path) -> None:
    config = {"model_type": "my_llama", "use_qk_norm": True, "num_hidden_layers": 1}
    (folder / "config.json").write_text(json.dumps(config))
    rows = run(folder, "summary", "config.json", "--format", "jsonl").splitlines()
    shapes = {row["path"]: row["shape"] for row in map(json.loads, rows)}
    assert shapes["model.layers.0.self_attn.q_proj.bias"] == [4096]
    assert shapes["model.layers.0.self_attn.k_norm.weight"] == [128]


def test_the_reader_reads(folder: Path) -> None:
    report: Any = json.loads(run(folder, "summary", "net.widths", "--theory", "--format", "json"))
    kernels = [tensor["shape"] for tensor in report["tensors"] if tensor["name"] == "kernel"]
    assert kernels == [[8, 4], [4, 2]]
    parsed = "import initcli; print(len(initcli.parse('widths 8 4 2').parameters))"
    assert python(folder, "-c", parsed) == "4\n"


def test_the_check_reports_what_it_documents(folder: Path) -> None:
    explained = run(folder, "check", "--explain", "wide-bias")
    assert "I405" in explained
    for heading, expected in (("Reported", ["I405"]), ("Not reported", [])):
        spec = re.search(rf"## {heading}\n\s*```yaml\n(.*?)```", TEXT, re.DOTALL)
        assert spec
        (folder / "bias.yaml").write_text(re.sub(r"(?m)^    ", "", spec[1]), "utf-8")
        report = json.loads(
            run(folder, "check", "bias.yaml", "--format", "json", "--select", "I405")
        )
        assert [finding["code"] for finding in report["findings"]] == expected


def test_the_catalog_knows_the_new_names(folder: Path) -> None:
    for name in ("SwiGLU", "small_init", "I405"):
        assert run(folder, "catalog", name)
