"""A spec to start from is one that runs, and writing it harms nothing that is there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner, Result

import initcli
from initcli.cli.app import app
from initcli.sources.schema import schema

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
