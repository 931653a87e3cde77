"""What the documentation says is what the program does."""

from __future__ import annotations

import doctest
import html
import importlib
import inspect
import os
import pkgutil
import re
import shutil
import unicodedata
from importlib.metadata import version

import pytest
from PIL import Image
from readme_outputs import PICTURES, README, ROOT, commands, terminal_svg, with_outputs

import initcli
from initcli.limits import HIGHEST, Limits
from initcli.render.data import COLUMNS as SUMMARY
from initcli.render.signal_data import COLUMNS as SIGNAL
from initcli.signal.judgment import Verdict

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(initcli.__path__, "initcli.")
    if module.name != "initcli.__main__"
)


@pytest.mark.skipif(os.name == "nt", reason="the README's pipelines are those of a POSIX shell")
@pytest.mark.skipif(shutil.which("bash") is None, reason="the README's pipelines need a shell")
@pytest.mark.skipif(
    version("rich").startswith("14.0."), reason="this release of Rich lays tables out otherwise"
)
def test_the_readme_shows_what_its_commands_print() -> None:
    readme = README.read_text("utf-8")
    assert len(commands(readme)) >= 7
    assert with_outputs(readme) == readme, "run python tests/readme_outputs.py"


def words(svg: str) -> list[str]:
    """What a person reads in an SVG; how it is laid out is Rich's affair."""
    body = svg.partition("</defs>")[2]
    return html.unescape(re.sub(r"<[^>]*>", " ", body)).replace("\xa0", " ").split()


def test_the_readme_s_picture_is_the_summary() -> None:
    shown = (PICTURES / "summary.svg").read_text("utf-8")
    assert "40,152" in words(shown)
    assert words(shown) == words(terminal_svg()), "run python tests/readme_outputs.py"


@pytest.mark.parametrize("name", ["overview.png", "compare.png", "page.png"])
def test_the_readme_s_pictures_are_pictures(name: str) -> None:
    assert f"pictures/{name}" in README.read_text("utf-8")
    with Image.open(PICTURES / name) as image:
        image.load()


def test_the_readme_s_comparison_is_what_was_measured() -> None:
    measured = (ROOT / "tests" / "benchmarks" / "peers.md").read_text("utf-8")
    assert measured in README.read_text("utf-8"), "run tests/benchmarks/peers.py, and copy"


def test_the_readme_s_python_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    result = doctest.testfile(str(README), module_relative=False, encoding="utf-8")
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("module", ["initcli", *MODULES])
def test_examples_in_docstrings_run_and_everything_public_has_a_docstring(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    found = importlib.import_module(module)
    assert doctest.testmod(found).failed == 0
    assert found.__doc__
    for name, value in vars(found).items():
        if not name.startswith("_") and getattr(value, "__module__", None) == module:
            assert value.__doc__ or not callable(value), f"{module}.{name}"


def test_every_documented_public_name_can_be_had() -> None:
    for name in initcli.__all__:
        assert getattr(initcli, name) is not None
    assert not hasattr(initcli, "no_such_name")


@pytest.mark.parametrize("name", [n for n in initcli.__all__ if n.islower()])
def test_every_public_function_has_an_example_that_runs(name: str) -> None:
    thing = getattr(initcli, name)
    if name not in ("__version__", "cluster"):  # which needs a cluster
        assert ">>> " in (inspect.getdoc(thing) or "")  # which the test above runs


def test_the_readme_s_commands_are_the_two_of_ci() -> None:
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    assert "pip install '.[test]' && pytest" in README.read_text("utf-8")
    assert "README.md" in script


def test_the_readme_s_table_of_limits_is_that_of_the_program() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| ([^|]+) \| [^|]+ \| ([^|]+) \|$", README.read_text("utf-8"), re.M
    )
    found = {
        name: (amount(low), amount(high))
        for name, low, high in rows
        if name in Limits.__struct_fields__
    }
    assert list(found) == list(Limits.__struct_fields__)
    for name, (low, high) in found.items():
        assert low == getattr(Limits(), name)
        assert high == getattr(HIGHEST, name)


def amount(text: str) -> int:
    """A number as the README writes it: 8 MiB, 10⁹, 250,000."""
    plain = unicodedata.normalize("NFKC", re.sub("[⁰¹²³⁴-⁹]+", lambda m: f"**{m[0]}", text))
    number, _, unit = plain.strip().replace(",", "").partition(" ")
    base, _, power = number.partition("**")
    size = {"": 1, "MiB": 2**20, "GiB": 2**30, "PiB": 2**50}[unit]
    value: int = int(base) ** int(power or 1)
    return value * size


@pytest.mark.parametrize(
    "columns",
    [SUMMARY, SIGNAL, Verdict.__struct_fields__],
    ids=["summary", "signal", "compare"],
)
def test_the_readme_names_every_column(columns: tuple[str, ...]) -> None:
    said = set(re.findall(r"`(\w+)`", README.read_text("utf-8").partition("## JSON")[2]))
    assert {
        name.removesuffix("_low").removesuffix("_high")
        for name in columns
        if not name.startswith("distribution_")
    } <= said
