"""One record per report: what is declared once is in every output."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import initcli
from support.paths import TOUR

PACKAGE = Path(initcli.__file__).parent
SCRIPT = """
import json, sys
from pathlib import Path
from typer.testing import CliRunner
import initcli
from initcli.cli.app import app

spec, folder = sys.argv[1:]
outputs = {"package": initcli.__file__}
for width in (60, 80, 140):
    for theory in ([], ["--theory"]):
        done = CliRunner().invoke(app, ["summary", spec, *theory], env={"COLUMNS": str(width)})
        outputs[f"{width}{''.join(theory)}"] = done.output
for form in ("json", "jsonl", "csv", "tsv", "markdown"):
    outputs[form] = CliRunner().invoke(app, ["summary", spec, "--format", form]).output
outputs["schema"] = CliRunner().invoke(app, ["schema", "--report", "summary"]).output
CliRunner().invoke(app, ["hist", spec, "--out", folder, "--html", "--filter", "dense/*"])
outputs["page"] = (Path(folder) / "index.html").read_text("utf-8")
print(json.dumps(outputs))
"""


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The outputs of a package whose record of a tensor has one more field."""
    folder = tmp_path_factory.mktemp("column")
    copy = folder / "initcli"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    file = copy / "reports" / "summary.py"
    source = file.read_text("utf-8")
    before = "    dtype: Annotated[str, doc("
    assert source.count(before) == 1
    field = '    bytes: Annotated[int, doc("Size in memory.", heading="bytes")]\n'
    file.write_text(source.replace(before, field + before), "utf-8")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(TOUR), str(folder / "out")],
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    assert Path(found["package"]).parent == copy
    return found


@pytest.mark.parametrize("width", [60, 80, 140])
@pytest.mark.parametrize("theory", ["", "--theory"])
def test_a_new_column_is_in_the_table_which_keeps_its_width(
    outputs: dict[str, str], width: int, theory: str
) -> None:
    table = outputs[f"{width}{theory}"]
    assert max(map(len, table.splitlines())) <= width
    assert "bytes" in table
    assert "126,976" in table


def test_a_new_column_is_in_json_and_its_schema(outputs: dict[str, str]) -> None:
    tensors = json.loads(outputs["json"])["tensors"]
    assert all(tensor["bytes"] == 4 * tensor["size"] for tensor in tensors)
    tensor = json.loads(outputs["schema"])["$defs"]["TensorRecord"]
    assert tensor["properties"]["bytes"] == {"type": "integer", "description": "Size in memory."}
    assert "bytes" in tensor["required"]


def test_a_new_column_is_in_every_format_of_rows(outputs: dict[str, str]) -> None:
    assert json.loads(outputs["jsonl"].splitlines()[2])["bytes"] == 126976
    for form, separator in (("csv", ","), ("tsv", "\t"), ("markdown", "|")):
        lines = outputs[form].splitlines()
        assert any("bytes" in map(str.strip, line.split(separator)) for line in lines), form
        assert any("126" in line and "976" in line for line in lines), form


def test_a_new_column_is_in_the_page(outputs: dict[str, str]) -> None:
    page = outputs["page"]
    assert 'data-key="0">bytes</th>' in page
    assert "<td role=cell>126,976</td>" in page
    found = re.search(r'id="initcli-data"[^>]*>(.*?)</script>', page, re.DOTALL)
    assert found is not None
    data = json.loads(found[1])
    assert {"heading": "bytes", "path": ["bytes"], "expected": None} in data["columns"]
    assert data["tensors"][0]["bytes"] == 126976
