"""What the documentation says is what the program does."""

from __future__ import annotations

import doctest
import html
import importlib
import inspect
import json
import os
import pkgutil
import re
import shutil
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import initcli
from documents import (
    DOCUMENTS,
    NOTEBOOK,
    PICTURES,
    ROOT,
    executed_notebook,
    terminal_svg,
    updated,
)
from initcli.signal.rules.base import Rule

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(initcli.__path__, "initcli.")
    if module.name != "initcli.__main__"
)


TEXTS = {path: path.read_text("utf-8") for path in DOCUMENTS}
README = TEXTS[ROOT / "README.md"]
documents = pytest.mark.parametrize(
    "path", DOCUMENTS, ids=[path.parent.relative_to(ROOT).as_posix() for path in DOCUMENTS]
)


@pytest.mark.skipif(os.name == "nt", reason="the pipelines are those of a POSIX shell")
@pytest.mark.skipif(shutil.which("bash") is None, reason="the pipelines need bash")
@pytest.mark.skipif(
    version("rich").startswith("14.0."), reason="Rich 14.0 lays tables out differently"
)
@documents
def test_a_document_shows_the_outputs_of_its_commands(path: Path) -> None:
    assert updated(TEXTS[path]) == TEXTS[path], "run python tests/documents.py"


@documents
def test_the_python_of_a_document_runs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert doctest.testfile(str(path), module_relative=False, encoding="utf-8").failed == 0


@documents
def test_the_links_of_a_document_lead_to_files(path: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", TEXTS[path])
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_the_readme_is_short_and_leads_to_every_other_document() -> None:
    assert len(README.splitlines()) <= 250
    for path in DOCUMENTS[1:]:
        assert f"({path.relative_to(ROOT).as_posix()})" in README


def test_the_samples_are_described() -> None:
    text = TEXTS[ROOT / "sample_configs" / "README.md"]
    listed = set(re.findall(r"^\| .*?\[`([\w.]+)`\]", text, re.M)) | set(
        re.findall(r"\[`([\w.]+)`\]\(", text)
    )
    there = {path.name for path in (ROOT / "sample_configs").iterdir() if path.is_file()}
    assert listed == there - {"README.md", "initcli.schema.json"}


def test_the_notebook_shows_the_outputs_of_its_cells() -> None:
    def outputs(notebook: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
        for cell in notebook["cells"]:
            for output in cell.get("outputs", ()):
                content = {"text/plain": output.get("text"), **output.get("data", {})}
                for kind, text in content.items():
                    is_picture = kind.startswith("image/")  # whose pixels depend on the libraries
                    shown = "" if is_picture or text is None else "".join(text)
                    yield cell["id"], kind, shown

    committed = json.loads(NOTEBOOK.read_text("utf-8"))
    shown = list(outputs(committed))
    assert {kind for _, kind, _ in shown} == {"text/plain", "text/html", "image/png"}
    assert list(outputs(executed_notebook())) == shown, "run python tests/documents.py"


def words(svg: str) -> list[str]:
    """What a person reads in an SVG; how it is laid out is Rich's affair."""
    body = svg.partition("</defs>")[2]
    return html.unescape(re.sub(r"<[^>]*>", " ", body)).replace("\xa0", " ").split()


def test_the_picture_of_the_readme_is_the_summary() -> None:
    shown = (PICTURES / "summary.svg").read_text("utf-8")
    assert "40,152" in words(shown)
    assert words(shown) == words(terminal_svg()), "run python tests/documents.py"


@pytest.mark.parametrize("name", ["overview.png", "compare.png", "page.png"])
def test_the_pictures_of_the_documents_are_pictures(name: str) -> None:
    assert any(f"pictures/{name}" in text for text in TEXTS.values())
    with Image.open(PICTURES / name) as image:
        image.load()


@pytest.mark.parametrize("module", ["initcli", *MODULES])
def test_examples_in_docstrings_run_and_everything_public_has_a_docstring(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    for framework in ("torch", "jax"):
        if f".{framework}_" in module:
            pytest.importorskip(framework, reason=f"needs {framework}", exc_type=ImportError)
    found = importlib.import_module(module)
    assert doctest.testmod(found).failed == 0
    assert found.__doc__
    for name, value in vars(found).items():
        own = not name.startswith("_") and getattr(value, "__module__", None) == module
        if own and not (inspect.isclass(value) and issubclass(value, Rule)):  # its layers say it
            assert value.__doc__ or not callable(value), f"{module}.{name}"


def test_every_documented_public_name_can_be_had() -> None:
    for name in initcli.__all__:
        assert getattr(initcli, name) is not None
    assert not hasattr(initcli, "no_such_name")


@pytest.mark.parametrize("name", [n for n in initcli.__all__ if n.islower()])
def test_every_public_function_has_an_example_that_runs(name: str) -> None:
    thing = getattr(initcli, name)
    if name not in ("__version__", "cluster", "recording"):  # which need others
        assert ">>> " in (inspect.getdoc(thing) or "")  # which the test above runs


def test_the_readme_s_commands_are_the_two_of_ci() -> None:
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    assert "pip install '.[test]' && pytest" in README
    assert "README.md" in script
