"""How soon a command answers, beside a Python that only imports what it cannot do without."""

from __future__ import annotations

from typing import Any

from support.beside import beside, python
from support.paths import SAMPLES

IMPORTS = python("-c", "import numpy, typer, rich.table, yaml, msgspec")


def test_the_version(benchmark: Any) -> None:
    shown = beside(
        benchmark, python("-c", "import typer"), python("-m", "initcli", "--version"), 15
    )
    assert shown.startswith("initcli ")


def test_the_summary_of_the_tour(benchmark: Any) -> None:
    command = python("-m", "initcli", "summary", SAMPLES / "tour.yaml")
    assert "40,152" in beside(benchmark, IMPORTS, command, 15)


def test_the_theory_of_405_billion_weights(benchmark: Any) -> None:
    command = python(
        *("-m", "initcli", "summary", SAMPLES / "llama3_405b.yaml", "--theory", "--depth", 1)
    )
    assert "405,853,388,800" in beside(benchmark, IMPORTS, command)
