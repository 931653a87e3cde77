"""Results show themselves: in a Python shell, in a terminal and in a notebook."""

from __future__ import annotations

import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import initcli
from initcli.display import Displayed
from support.running import run

pytest_plugins = ["pytester"]

SPEC = """\
name: <script>alert(1)</script>
input_shape: [6]
layers:
  - {type: Dense, units: 40, activation: sigmoid, name: "<b>wide"}
  - {type: Dense, units: 40, activation: sigmoid, kernel_initializer: ones}
  - {type: Dense, units: 2}
"""


class Reader(HTMLParser):
    """The elements and the cells of a fragment; elements are closed in their order."""

    EMPTY = ("path", "line")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spec, and two files of weights."""
    folder = tmp_path_factory.mktemp("views")
    (folder / "model.yaml").write_text(SPEC)
    for seed, name in enumerate("ab"):
        initcli.export(initcli.load(folder / "model.yaml", seed=seed), folder / f"{name}.npz")
    return folder


CASES = (
    ("summary model.yaml --theory", lambda: initcli.load("model.yaml")),
    ("summary model.yaml", lambda: initcli.summarize(initcli.load("model.yaml"))),
    (
        "signal model.yaml --batch 8 --draws 2",
        lambda: initcli.measure_signal(initcli.load("model.yaml"), batch=8, draws=2),
    ),
    (
        "compare model.yaml --defaults keras,torch --theory",
        lambda: initcli.compare(
            initcli.variants(["model.yaml"], defaults=["keras", "torch"]), theory=True
        ),
    ),
    (
        "check model.yaml --theory",
        lambda: initcli.check(initcli.load("model.yaml"), how="predicted"),
    ),
    ("identify a.npz", lambda: initcli.identify("a.npz")),
    ("diff a.npz b.npz --all", lambda: initcli.diff("a.npz", "b.npz")),
)


def test_a_result_shows_what_its_command_prints(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    for command, make in CASES:
        result: Any = make()
        assert isinstance(result, Displayed)

        def printed(*options: str, command: str = command) -> str:
            return run(*command.split(), *options, cwd=folder).stdout

        console = Console(file=io.StringIO(), width=80, highlight=False)
        with console.capture() as capture:
            console.print(result)
        lines = [line.rstrip() for line in capture.get().splitlines()]
        if not command.startswith("diff"):  # of which the command folds nothing with --all
            assert lines == printed().splitlines(), command
        assert result.to_dict() == json.loads(printed("--format", "json")), command
        rows = [json.loads(line) for line in printed("--format", "jsonl").splitlines()]
        assert result.rows() == rows, command

        title, *others = repr(result).splitlines()
        assert title.startswith(type(result).__name__)
        assert 0 < len(others) <= 13
        assert all(len(line) < 200 for line in others)

        page = Reader(result._repr_html_())
        assert not {"script", "link", "b>wide"} & set(page.seen)
        assert len(page.rows) == 1 + len(rows), command
        assert {len(row) for row in page.rows} == {len(page.rows[0])}


def test_pictures_of_a_fragment_say_what_they_show(folder: Path) -> None:
    summary = initcli.summarize(initcli.load(folder / "model.yaml"))
    page = Reader(summary._repr_html_())
    assert page.seen.count("svg") == len(summary) == 6
    place = page.rows[0].index("histogram")
    first = summary[0].measured
    assert first
    shown = page.rows[1][place]
    assert shown.startswith(f"{first.min:.4g} … {first.max:.4g} · U(")
    assert f"mean {first.mean:.4g}" in shown
    assert page.rows[4][place].startswith("0 · constant 0")
    assert "—" not in re.sub(
        "<style>.*?</style>", "", initcli.identify(folder / "a.npz")._repr_html_()
    )


def test_a_notebook_shows_the_first_rows_of_many(folder: Path) -> None:
    layers = "".join("  - {type: Dense, units: 2}\n" for _ in range(150))
    model = initcli.parse(f"input_shape: [2]\nlayers:\n{layers}")
    html = initcli.theory(model)._repr_html_()
    assert len(Reader(html).rows) == 201
    assert "The first 200 rows are shown" in html
    assert len(repr(model).splitlines()) == 14


def test_a_list_is_not_taken_for_its_characters(folder: Path) -> None:
    model = initcli.load(folder / "model.yaml")
    variants: Any = initcli.variants
    calls: tuple[tuple[str, Any], ...] = (
        ("sources", lambda text: variants(text)),
        ("kernel_initializers", lambda text: variants(["model.yaml"], kernel_initializers=text)),
        ("defaults", lambda text: variants(["model.yaml"], defaults=text)),
        ("custom", lambda text: initcli.load("model.yaml", custom=text)),
        ("changes", lambda text: initcli.load("model.yaml", changes=text)),
        ("select", lambda text: initcli.check(model, select=text)),
        ("ignore", lambda text: initcli.fix(folder / "model.yaml", ignore=text)),
        ("globs", lambda text: model.matching(text)),
        ("globs", lambda text: initcli.predict_signal(model).matching(text)),
    )
    for argument, call in calls:
        with pytest.raises(TypeError, match=re.escape(f"{argument}=['I101']")):
            call("I101")


def test_a_test_that_demands_no_errors_names_each(folder: Path) -> None:
    report = initcli.check(initcli.load(folder / "model.yaml"), how="predicted")
    assert (report.errors, report.warnings) == (1, 1)
    with pytest.raises(AssertionError) as caught:
        report.raise_for_errors()
    title, place, remedy = str(caught.value).splitlines()
    assert title == "<script>alert(1)</script>: 1 error and 1 warning"
    assert "model.yaml:5:71: I204 " in place
    assert remedy.startswith("  = ")
    with pytest.raises(initcli.ChecksFailed, match="I101"):
        report.raise_for_errors(warnings=True)
    right = initcli.parse("{input_shape: [4], layers: [{type: ReLU}]}")
    initcli.check(right).raise_for_errors(warnings=True)


def test_pytest_ends_its_traceback_at_the_line_of_the_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "import initcli\n"
        "def test_weights():\n"
        f"    model = initcli.parse({SPEC!r})\n"
        "    initcli.check(model, how='predicted').raise_for_errors()\n"
    )
    done = pytester.runpytest_inprocess("-p", "no:xdist", "-p", "no:cacheprovider")
    lines = done.outlines
    assert any(
        line.startswith(">       initcli.check(model, how='predicted').ra") for line in lines
    )
    shown = [line for line in lines if line.startswith("E  ")]
    assert len(shown) == 3
    assert "I204" in shown[1]
    assert not any("judging.py" in line for line in lines)


def test_pictures_are_saved_when_the_function_is_called(folder: Path, tmp_path: Path) -> None:
    model = initcli.load(str(folder / "model.yaml"))
    kernels = model.matching(["*/kernel"])
    told: list[Path] = []
    files = initcli.save_histograms(model, f"{tmp_path}/new", only=kernels, progress=told.append)
    assert told == files == [*files]
    assert {file.name for file in (tmp_path / "new").iterdir()} == {file.name for file in files}
    assert len(files) == len(kernels) + 1


def test_a_figure_has_a_panel_for_each_tensor(folder: Path) -> None:
    model = initcli.load(folder / "model.yaml")
    figure: Any = initcli.histograms(model, style=initcli.Style(dpi=40))
    assert len(figure.axes) == 6
    width, _ = figure.get_size_inches()
    assert figure._repr_png_().startswith(b"\x89PNG")
    wide: Any = initcli.histograms(model, columns=3, only=model.matching(["*/kernel"]))
    assert len(wide.axes) == 3
    assert wide.get_size_inches()[0] > width
    many = initcli.parse(
        "{input_shape: [2], layers: [{repeat: 20, name: b, layers: [{type: Dense, units: 2}]}]}"
    )
    shared: Any = initcli.histograms(many)
    assert len(shared.axes) == 1  # twenty equal kernels; the biases are a line below
