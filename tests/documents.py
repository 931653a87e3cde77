"""The README files and the notebook: their outputs, their generated tables, and the pictures.

``python tests/documents.py`` runs every command of the ``console`` blocks in the root of
the checkout, writes the output below the command, fills each ``<!-- from NAME -->`` section, runs
the notebook, and draws the pictures.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from msgspec import inspect
from typer.testing import CliRunner

from initcli.checks import known_checks
from initcli.cli.app import app
from initcli.limits import Limits
from initcli.reports.catalog import CatalogReport, ThingRow
from initcli.reports.check import CheckReport, FindingRecord
from initcli.reports.compare import CompareReport, VariantRow
from initcli.reports.diff import ChangeRecord, DiffReport
from initcli.reports.identify import IdentifiedRecord, IdentifyReport
from initcli.reports.record import columns
from initcli.reports.signal import SignalReport
from initcli.reports.summary import SummaryReport, TensorRecord
from initcli.reports.width import WidthReport, WidthRow
from initcli.signal.figures import LayerSignal, Spread

ROOT = Path(__file__).parents[1]
DOCUMENTS = (
    ROOT / "README.md",
    *sorted(
        path
        for folder in ("initcli", "sample_configs", "tests")
        for path in (ROOT / folder).rglob("README.md")
    ),
)
PICTURES = ROOT / ".github" / "pictures"
NOTEBOOK = ROOT / "sample_configs" / "tour.ipynb"
COMPARISON = (
    "initcli compare sample_configs/mlp_relu_deep.yaml"
    " --kernel-initializer he_normal,glorot_uniform,orthogonal --activation relu,tanh"
)
REPORTS = {
    "summary": SummaryReport,
    "identify": IdentifyReport,
    "diff": DiffReport,
    "signal": SignalReport,
    "compare": CompareReport,
    "compare --width": WidthReport,
    "check": CheckReport,
    "catalog": CatalogReport,
}
ROWS = {
    "summary": TensorRecord,
    "identify": IdentifiedRecord,
    "diff": ChangeRecord,
    "signal": LayerSignal,
    "compare": VariantRow,
    "compare --width": WidthRow,
    "check": FindingRecord,
    "catalog": ThingRow,
}
_OF_SHELL = {"|", "&&", ">", "<"}
TOOLS = ("jq", "yq", "xargs", "parallel")
"""Programs that commands of the documents use."""
_GENERATED = re.compile(r"(<!-- from (.+?) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
_BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)


def commands(text: str) -> list[str]:
    """Every command of the console blocks."""
    return [
        line[2:]
        for block in _BLOCK.findall(text)
        for line in block.splitlines()
        if line.startswith("$ ")
    ]


def missing_tools(command: str) -> list[str]:
    """Tools in the command that are not installed."""
    named = set(re.findall(r"[\w-]+", command))
    return [tool for tool in TOOLS if tool in named and shutil.which(tool) is None]


def updated(text: str) -> str:
    """The text with current outputs and generated sections.

    A block with a command whose tools are not installed stays as it is.
    """

    def block(match: re.Match[str]) -> str:
        if any(map(missing_tools, commands(match[0]))):
            return match[0]
        shown = [f"$ {command}\n{output(command)}" for command in commands(match[0])]
        return f"```console\n{''.join(shown)}```"

    with_outputs = _BLOCK.sub(block, text)
    return _GENERATED.sub(lambda found: f"{found[1]}{generated(found[2])}{found[4]}", with_outputs)


def generated(name: str) -> str:
    """The content of a generated section, or the file of the checkout that it names."""
    match name.split():
        case ["checks"]:
            rows = [
                (code, check.title().rstrip("."), check.severity)
                for code, check in known_checks().items()
            ]
            return table(("code", "finds", "severity"), rows)
        case ["limits"]:
            return table(("limit", "default", "can be raised to", "of"), list(limits()))
        case ["reports"]:
            return reports()
        case ["columns"]:
            lines = [(f"`{name}`", column_names(kind)) for name, kind in ROWS.items()]
            return table(("rows of", "columns"), lines)
    return (ROOT / name).read_text("utf-8")


def limits() -> Iterator[tuple[str, ...]]:
    """One row a limit."""
    for field in inspect.type_info(Limits).fields:  # type: ignore[attr-defined]
        default, highest = field.default, field.type.type.le
        description = field.type.extra_json_schema["description"]
        yield f"`{field.name}`", amount(default), amount(highest), description


def amount(number: int) -> str:
    """A number as people write it: 8 MiB, 250,000, 10⁹, 2⁶²."""
    for unit, exponent in (("PiB", 50), ("GiB", 30), ("MiB", 20)):
        if number < 2**60 and number % 2**exponent == 0:
            return f"{number >> exponent:,} {unit}"
    for base in (10, 2):
        power = round(math.log(number, base))
        if number == base**power and power > 6:
            return f"{base}{str(power).translate(str.maketrans('0123456789', '⁰¹²³⁴⁵⁶⁷⁸⁹'))}"
    return f"{number:,}"


def reports() -> str:
    """One table for each report; a record that appears again is described once."""
    seen: set[type] = {Spread}
    parts = []
    for name, report in REPORTS.items():
        keys = [(f"`{key}`", text) for key, text in described(report, "", seen)]
        parts.append(f"`{name} --format json`:\n\n{table(('key', 'meaning'), keys)}")
    return "\n".join(parts)


def described(record: type, prefix: str, seen: set[type]) -> Iterator[tuple[str, str]]:
    """Every key of a record, and of the records within it, with its description."""
    seen.add(record)
    for field in inspect.type_info(record).fields:  # type: ignore[attr-defined]
        several, within = nested(field.type.type)
        key = f"{prefix}{field.encode_name}{'[]' * several}"
        yield key, field.type.extra_json_schema["description"]
        if within is not None and within not in seen:
            yield from described(within, f"{key}.", seen)


def nested(kind: Any) -> tuple[bool, type | None]:
    """Whether a field holds several values, and the record that it holds, if any."""
    options = getattr(kind, "types", (kind,))
    several = any(hasattr(each, "item_type") for each in options)
    items = (getattr(each, "item_type", each) for each in options)
    return several, next((each.cls for each in items if isinstance(each, inspect.StructType)), None)


def column_names(kind: type) -> str:
    """The columns of a record's rows."""
    return ", ".join(f"`{column.name}`" for column in columns(kind))


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def output(command: str) -> str:
    """The output of a command on both streams, 80 columns wide, without color."""
    environment = {"COLUMNS": "80", "NO_COLOR": "1", "PYTHONUTF8": "1"}
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "sample_configs", Path(folder) / "sample_configs")
        program, *words = shlex.split(command)
        if program == "initcli" and not _OF_SHELL & set(words):  # spare the start of a process
            with contextlib.chdir(folder):
                shown = CliRunner().invoke(app, words, env=environment, prog_name=program).output
        else:
            scripts = str(Path(sys.executable).parent)
            environment["PATH"] = f"{scripts}{os.pathsep}{os.environ['PATH']}"
            shown = subprocess.run(
                ["bash", "-c", command],
                cwd=folder,
                env={**os.environ, **environment},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                check=False,
            ).stdout
    # Editors take spaces off the ends of lines, and so does this page.
    return "".join(f"{line.rstrip()}\n" for line in shown.splitlines())


def terminal_svg() -> str:
    """The summary of the tour in a terminal of 130 columns, as SVG."""
    from rich.console import Console

    import initcli
    from initcli.render.table import summary_table

    model = initcli.load(str(ROOT / "sample_configs" / "tour.yaml"))
    console = Console(width=130, record=True, file=io.StringIO(), highlight=False)
    console.print(summary_table(model, initcli.summarize(model), width=130))
    return console.export_svg(title="initcli summary tour.yaml", unique_id="initcli")


def executed_notebook() -> dict[str, Any]:
    """The notebook with the outputs of today, run in a kernel of its own."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    with tempfile.TemporaryDirectory() as folder:
        samples = Path(folder) / "sample_configs"
        shutil.copytree(NOTEBOOK.parent, samples)
        resources = {"metadata": {"path": str(samples)}}
        NotebookClient(
            notebook, timeout=120, kernel_name="python3", resources=resources, record_timing=False
        ).execute()
    notebook.metadata.language_info = {"name": "python"}  # without the version of today
    return dict(notebook)


def page_png(folder: Path) -> bytes:
    """A tensor in the page of the tour, in a window of 1,100 × 720 pixels."""
    from playwright.sync_api import sync_playwright

    from support.browser import launch

    output(f"initcli hist sample_configs/tour.yaml --html --out '{folder}'")
    with sync_playwright() as driver:
        browser = launch(driver)
        size = {"width": 1100, "height": 720}
        page = browser.new_page(viewport=size, color_scheme="light", reduced_motion="reduce")
        page.goto(f"{(folder / 'index.html').as_uri()}#t=dense_1/kernel")
        page.wait_for_selector("dialog[open]")
        picture: bytes = page.screenshot()
        browser.close()
    return picture


def main() -> None:
    """Update the documents and the pictures."""
    for document in DOCUMENTS:
        document.write_text(updated(document.read_text("utf-8")), "utf-8")
    notebook = json.dumps(executed_notebook(), indent=1, ensure_ascii=False)
    NOTEBOOK.write_text(f"{notebook}\n", "utf-8")
    PICTURES.mkdir(exist_ok=True)
    (PICTURES / "summary.svg").write_text(terminal_svg(), "utf-8")
    with tempfile.TemporaryDirectory() as folder:
        output(f"initcli hist sample_configs/tour.yaml --out '{folder}'")
        shutil.copy(Path(folder) / "overview.png", PICTURES / "overview.png")
        output(f"{COMPARISON} --out '{folder}/compare.png'")
        shutil.copy(Path(folder) / "compare.png", PICTURES / "compare.png")
        (PICTURES / "page.png").write_bytes(page_png(Path(folder) / "page"))


if __name__ == "__main__":
    main()
