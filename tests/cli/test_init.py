"""A spec to start from is one that runs, and writing it harms nothing that is there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner, Result

import initcli
from initcli.cli.app import app
from initcli.model import leaves
from initcli.sources.schema import schema
from support.running import run

SCHEMA_LINE = "# yaml-language-server: $schema=initcli.schema.json\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def init(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["init", *arguments])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_starter_is_a_spec_in_which_check_finds_nothing(folder: Path) -> None:
    written = init()
    assert (written.exit_code, written.stdout) == (0, "model.yaml\n")
    assert names(folder) == ["model.yaml"]
    model = initcli.load("model.yaml")
    assert initcli.check(model).findings == ()
    assert Draft202012Validator(schema()).is_valid(model.document.data)


@pytest.mark.parametrize("kind", ["mlp", "cnn", "transformer"])
def test_each_kind_is_a_spec_in_which_check_finds_nothing(folder: Path, kind: str) -> None:
    assert init("net.yaml", "--kind", kind).stdout == "net.yaml\n"
    assert "initcli summary net.yaml\n" in (folder / "net.yaml").read_text("utf-8")
    model = initcli.load("net.yaml")
    assert initcli.check(model).findings == ()
    assert Draft202012Validator(schema()).is_valid(model.document.data)
    types = {each.type for each in leaves(model.layers)}
    typical = {"mlp": "Dense", "cnn": "Conv2D", "transformer": "MultiHeadAttention"}
    assert typical[kind] in types


def test_without_a_command_it_says_what_can_be_done_with_the_specs_that_are_here(
    folder: Path,
) -> None:
    nothing = run(cwd=folder)
    assert nothing.returncode == 2
    assert "Usage: initcli" in nothing.stderr
    assert "`initcli init` writes one" in nothing.stderr
    assert init("net.yaml", "--kind", "mlp").exit_code == 0
    (folder / "other.json").write_text('{"compilerOptions": {}}', "utf-8")
    (folder / "broken.yaml").write_text("layers: [", "utf-8")
    (folder / "list.yaml").write_text("- layers", "utf-8")
    (folder / "folder.yaml").mkdir()
    found = run(cwd=folder)
    assert found.returncode == 2
    assert found.stdout == nothing.stdout == ""
    assert found.stderr.startswith("This folder has net.yaml.\n")
    for line in re.findall("  initcli (.*net.yaml.*)", found.stderr):
        done = run(*line.split(), "--quiet", cwd=folder)
        assert (done.returncode, done.stderr) == (0, ""), line
    (folder / "base.yaml").write_text((folder / "net.yaml").read_text("utf-8"), "utf-8")
    assert run(cwd=folder).stderr.startswith("This folder has base.yaml and net.yaml.\n")


def test_the_starter_shows_each_way_to_say_an_initializer_and_a_block() -> None:
    text = init("-").stdout
    data = initcli.parse(text).document.data
    layers = str(data["layers"])
    (recipe,) = data["initializers"]
    assert "'kernel_initializer': 'he_normal'" in layers
    assert "'kernel_initializer': {'type': " in layers
    assert f"'kernel_initializer': '{recipe}'" in layers
    assert "'repeat': 4" in layers
    assert {"input_shape", "seed", "defaults"} <= data.keys()


def test_it_says_how_to_go_on_with_the_file_that_was_written(folder: Path) -> None:
    (folder / "nets").mkdir()
    file = str(Path("nets", "small.yaml"))
    assert init(file).stdout == f"{file}\n"
    text = (folder / file).read_text("utf-8")
    assert f"initcli summary {file}\n" in text
    assert "model.yaml" not in text


def test_a_file_that_is_there_stays_as_it_is_unless_forced(folder: Path) -> None:
    file = folder / "model.yaml"
    file.write_text("mine")
    refused = init()
    assert refused.exit_code == 2
    assert refused.stdout == ""
    assert refused.stderr == "model.yaml exists already\n  = --force overwrites it\n"
    assert file.read_text() == "mine"
    assert init("--force").exit_code == 0
    assert initcli.load("model.yaml").layers


def test_a_schema_is_written_beside_the_spec_that_names_it(folder: Path) -> None:
    (folder / "nets").mkdir()
    file = Path("nets", "model.yaml")
    beside = file.with_name("initcli.schema.json")
    assert init(str(file), "--schema").stdout == f"{file}\n{beside}\n"
    assert file.read_text("utf-8").startswith(SCHEMA_LINE)
    assert json.loads(beside.read_text("utf-8")) == json.loads(json.dumps(schema()))
    assert initcli.load(str(file)).layers


def test_a_json_file_is_json_and_names_its_schema(folder: Path) -> None:
    assert init("m.json", "--schema").exit_code == 0
    written = json.loads((folder / "m.json").read_text())
    assert written["$schema"] == "initcli.schema.json"
    model = initcli.load(folder / "m.json")
    assert init("m.yaml").exit_code == 0
    assert [p.shape for p in model.parameters] == [
        p.shape for p in initcli.load(folder / "m.yaml").parameters
    ]
    beside = json.loads((folder / "initcli.schema.json").read_text())
    Draft202012Validator(beside).validate(written)


def test_nothing_is_written_where_one_of_two_files_is_there(folder: Path) -> None:
    (folder / "initcli.schema.json").write_text("mine")
    assert init("--schema").exit_code == 2
    assert names(folder) == ["initcli.schema.json"]
    assert (folder / "initcli.schema.json").read_text() == "mine"
    assert init("--schema", "--force").exit_code == 0
    assert names(folder) == ["initcli.schema.json", "model.yaml"]


def test_without_a_schema_no_editor_is_sent_for_one(folder: Path) -> None:
    init()
    assert "$schema" not in (folder / "model.yaml").read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-", "--schema"), "standard output has no folder"),
        (("none/model.yaml",), "there is no folder none"),
        ((".", "--force"), "it is a folder"),
    ],
)
def test_what_cannot_be_written_is_said(
    folder: Path, arguments: tuple[str, ...], said: str
) -> None:
    refused = init(*arguments)
    assert refused.exit_code == 2
    assert said in refused.stderr
    assert refused.stdout == ""
    assert names(folder) == []
