"""What every command prints as rows, of several specs, quietly, and into a closed pipe."""

from __future__ import annotations

import csv
import io
import json
import re
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from typer.testing import CliRunner

from initcli.cli import options
from initcli.cli.app import app
from initcli.errors import printable
from initcli.measuring.fit import fit
from initcli.render.formats import FINDINGS_FORMATS, ROWS
from initcli.reports.catalog import catalog
from initcli.reports.record import Rows, columns
from initcli.reports.summary import TensorRecord
from support.paths import ROOT, TOUR
from support.running import run, start

LENET = ROOT / "sample_configs" / "lenet5.yaml"
REPORTS = {
    "summary": ["summary", str(TOUR)],
    "signal": ["signal", str(TOUR), "--draws", "1", "--batch", "4"],
    "compare": ["compare", str(TOUR), "--theory", "--defaults", "keras,torch"],
    "check": ["check", str(LENET), "--theory"],
    "diff": ["diff", str(TOUR), str(LENET)],
    "catalog": ["catalog"],
}
COUNTS = {
    "summary": 10,
    "signal": 7,
    "compare": 2,
    "check": 1,
    "diff": 14,
    "catalog": len(catalog()),
}


def printed(*arguments: str, status: int = 0) -> str:
    """What a command prints to standard output, in this very process."""
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "80"})
    assert done.exit_code == status, done.output
    return done.stdout


@pytest.mark.parametrize("report", REPORTS)
def test_csv_and_json_lines_have_the_same_rows_under_flat_names(report: str) -> None:
    rows = list(csv.DictReader(io.StringIO(printed(*REPORTS[report], "--format", "csv"))))
    objects = [json.loads(x) for x in printed(*REPORTS[report], "--format", "jsonl").splitlines()]
    assert len(rows) == len(objects) == COUNTS[report]
    for row, each in zip(rows, objects, strict=True):
        assert list(row) == list(each)
        for name, value in each.items():
            assert not isinstance(value, dict)
            if value is None:
                assert row[name] == ""
            elif isinstance(value, list):
                assert row[name] == "x".join(map(str, value))
            elif isinstance(value, bool):
                assert row[name] == str(value).lower()
            else:
                assert row[name] == str(value)


@pytest.mark.parametrize("report", REPORTS)
def test_tsv_has_the_cells_of_the_csv(report: str) -> None:
    rows = csv.reader(io.StringIO(printed(*REPORTS[report], "--format", "csv")))
    lines = printed(*REPORTS[report], "--format", "tsv").splitlines()
    assert [line.split("\t") for line in lines] == list(rows)


@pytest.mark.parametrize("report", REPORTS)
def test_the_json_is_as_its_schema_says(report: str) -> None:
    schema = json.loads(printed("schema", "--report", report))
    jsonschema.Draft202012Validator.check_schema(schema)
    data = json.loads(printed(*REPORTS[report], "--format", "json"))
    jsonschema.Draft202012Validator(schema).validate(data)
    described = (
        kind["properties"].values() for kind in schema["$defs"].values() if "properties" in kind
    )
    assert all("description" in each for properties in described for each in properties)


def test_an_unknown_report_has_no_schema() -> None:
    done = CliRunner().invoke(app, ["schema", "--report", "sumary"])
    assert done.exit_code == 2
    assert "summary, identify, diff, signal, compare, width, check, catalog" in " ".join(
        done.stderr.split()
    )


@pytest.mark.parametrize("report", REPORTS)
def test_markdown_has_a_row_each_and_no_stray_signs(report: str) -> None:
    text = printed(*REPORTS[report], "--format", "markdown")
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == COUNTS[report] + 2
    columns = table[0].count("|")
    assert set(table[1]) == set("| -")
    for line in table:
        assert line.replace("\\|", "").count("|") == columns


@pytest.mark.parametrize("form", ["table", "json"])
@pytest.mark.parametrize("report", REPORTS)
def test_every_report_has_every_format(report: str, form: str) -> None:
    text = printed(*REPORTS[report], "--format", form)
    if form == "table":
        assert text == printed(*REPORTS[report])
    else:
        assert isinstance(json.loads(text), dict)


def test_a_row_says_what_the_json_says() -> None:
    tensors = json.loads(printed("summary", str(TOUR), "--format", "json"))["tensors"]
    rows = [json.loads(x) for x in printed("summary", str(TOUR), "--format", "jsonl").splitlines()]
    for row, tensor in zip(rows, tensors, strict=True):
        assert list(row) == ["spec", "model", *(column.name for column in columns(TensorRecord))]
        assert (row["spec"], row["model"]) == (str(TOUR), "tour")
        for name in ("path", "layer", "name", "shape", "size", "dtype", "fan_in", "fan_out"):
            assert row[name] == tensor[name]
        assert row["distribution"] == tensor["distribution"]["text"]
        for name in ("mean", "std", "low", "high"):
            assert row[f"distribution_{name}"] == tensor["distribution"][name]
        for name in ("count", "mean", "std", "min", "max", "zeros"):
            assert row[name] == tensor["measured"][name]
        assert row["fit_statistic"] == tensor["fit"]["statistic"]
        assert row["fit_p_value"] == tensor["fit"]["p_value"]


def test_theory_alone_leaves_what_would_be_measured_empty() -> None:
    text = printed("summary", str(TOUR), "--theory", "--format", "csv")
    for row in csv.DictReader(io.StringIO(text)):
        assert row["distribution"]
        assert row["mean"] == row["count"] == row["fit_p_value"] == ""


def test_a_row_stays_one_line_whatever_a_name_holds() -> None:
    bad = 'a"b,c\nd|e\\`<script>'
    rows = Rows(("name", "size"), [{"name": bad, "size": 3}])
    for form, lines in {"csv": 2, "tsv": 2, "jsonl": 1, "markdown": 3}.items():
        text = "".join(ROWS[form](rows, True))
        assert len(text.splitlines()) == lines
    cells = next(csv.reader([list(ROWS["csv"](rows, True))[1]]))
    assert cells[1] == "3"
    assert "<script>" not in text.replace("\\<", "")


def test_no_cell_of_a_csv_is_a_formula_and_numbers_stay_numbers() -> None:
    texts = ["=cmd|' /C calc'!A0", "@SUM(A1)", "+1", "-1+1", "\t=1", "\r=1", " =1", "＝1", '=","']
    plain = ["-", "a=b", "U(-0.05, 0.05)", "x\ny"]
    numbers = [-0.5, -3, 1e-300, True, None, [None, 4]]
    columns = [str(n) for n in range(len(texts) + len(plain) + len(numbers))]
    row = dict(zip(columns, [*texts, *plain, *numbers], strict=True))
    _, line = ROWS["csv"](Rows(columns, [row]), True)
    (cells,) = csv.reader([line])
    for text, cell in zip(texts, cells, strict=False):
        shown = printable(text)
        assert cell == (shown if shown.startswith("\\") else f"'{shown}")
        assert cell[0] not in "=+-@\t\r"
    assert cells[len(texts) :] == [
        *("-", "a=b", "U(-0.05, 0.05)", "x\\ny", "-0.5", "-3", "1e-300", "true", "", "?x4")
    ]


def test_no_report_has_a_distribution_that_is_a_formula() -> None:
    for row in csv.DictReader(io.StringIO(run("summary", str(TOUR), "--format", "csv").stdout)):
        assert row["distribution"][0] not in "=+-@'"


@pytest.mark.parametrize("form", FINDINGS_FORMATS)
def test_nothing_is_said_of_a_spec_that_was_not_read(form: str, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("input_shape: [3]\nlayers: [{type: Dens}]\n", "utf-8")
    alone = CliRunner().invoke(app, ["check", str(wrong), "--format", form])
    assert alone.exit_code == 2
    if form == "github":
        assert alone.stdout.startswith("::error file=")
        assert ",line=2,col=17,title=this spec is wrong::unknown layer 'Dens'" in alone.stdout
    else:
        assert alone.stdout == ""
    specs = [str(wrong), str(TOUR), "missing.yaml"]
    several = CliRunner().invoke(app, ["check", *specs, "--theory", "--format", form])
    assert several.exit_code == 2
    if form == "json":
        assert json.loads(several.stdout)["not_read"] == [str(wrong), "missing.yaml"]
        assert json.loads(several.stdout)["findings"]
    elif form in ("table", "markdown"):
        assert "2 of 3 specs could not be read." in " ".join(several.stdout.split())
    else:
        assert "I201" in several.stdout


def test_rows_are_printed_as_tensors_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []

    def measured(*arguments: Any) -> Any:
        happened.append("measured")
        return fit(*arguments)

    monkeypatch.setattr("initcli.reports.tensors.fit", measured)
    monkeypatch.setattr(options, "write", lambda text: happened.append("printed"))
    for form, head in (("csv", 1), ("tsv", 1), ("jsonl", 0)):
        happened.clear()
        printed("summary", str(TOUR), "--format", form)
        assert happened == ["printed"] * head + ["measured", "printed"] * 10


@pytest.mark.parametrize(
    ("report", "form"),
    list(zip(REPORTS, ["csv", "jsonl", "markdown", "csv", "jsonl", "csv"], strict=True)),
)
def test_whoever_reads_one_line_gets_a_whole_one_and_no_complaint(report: str, form: str) -> None:
    with start(*REPORTS[report], "--format", form) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
        process.wait(60)
    assert line.endswith("\n")
    assert said == ""
    assert process.returncode == 0


def test_several_specs_are_summarized_one_after_another_and_an_error_hides_none() -> None:
    broken = ROOT / "sample_configs" / "no_such_file.yaml"
    shown = run("summary", TOUR, broken, LENET)
    assert shown.returncode == 2
    assert (
        shown.stdout.index("40,152") < shown.stdout.index("lenet5") < shown.stdout.index("61,706")
    )
    assert shown.stderr.startswith(f"{broken}: there is no such file")
    alone = run("summary", TOUR).stdout + "\n" + run("summary", LENET).stdout
    assert shown.stdout == alone


def test_rows_of_several_specs_are_one_table() -> None:
    rows = list(
        csv.DictReader(io.StringIO(printed("summary", str(TOUR), str(LENET), "--format", "csv")))
    )
    assert {row["spec"] for row in rows} == {str(TOUR), str(LENET)}
    assert len(rows) == 20
    objects = printed("summary", str(TOUR), str(LENET), "--format", "json").splitlines()
    assert [json.loads(each)["model"]["name"] for each in objects] == ["tour", "lenet5"]
    signals = printed("signal", str(TOUR), str(LENET), "--theory", "--format", "csv")
    assert [row["model"] for row in csv.DictReader(io.StringIO(signals))] == ["tour"] * 7 + [
        "lenet5"
    ] * 8


def test_a_model_that_is_too_large_does_not_hide_the_next(tmp_path: Path) -> None:
    large = tmp_path / "large.yaml"
    large.write_text("input_shape: [1000000000]\nlayers: [{type: Dense, units: 1000000000}]\n")
    shown = run("summary", large, TOUR)
    assert shown.returncode == 2
    assert "40,152" in shown.stdout
    assert "--limit weights=" in shown.stderr


def test_quiet_leaves_out_notes_and_nothing_else() -> None:
    lstm = ROOT / "sample_configs" / "lstm_imdb.yaml"
    options = ("summary", lstm, "--defaults", "torch", "--theory", "--format", "csv")
    loud, quiet = run(*options), run(*options, "--quiet")
    assert "torch's LSTM has two biases" in loud.stderr
    assert quiet.stderr == ""
    assert quiet.stdout == loud.stdout
    assert run("summary", "no_such_file.yaml", "-q").stderr


def test_a_failure_of_the_program_is_one_line_and_debug_shows_where(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import initcli.sources.subject

    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("a wheel\x1b came off")

    monkeypatch.setattr(initcli.sources.subject, "load", fails)
    short = CliRunner().invoke(app, ["summary", str(TOUR)])
    assert short.exit_code == 70
    assert short.stderr.count("\n") == 1
    assert "RuntimeError: a wheel\\x1b came off" in short.stderr
    urls = (line.split(", ") for line in metadata("initcli").get_all("Project-URL") or [])
    assert dict(urls)["Issues"] in short.stderr
    assert "--debug" in short.stderr
    long = CliRunner().invoke(app, ["summary", str(TOUR), "--debug"])
    assert long.exit_code == 70
    assert "Traceback" in long.stderr
    assert "in fails" in long.stderr


@pytest.mark.parametrize("command", ["summary", "signal", "hist"])
def test_an_ascii_terminal_gets_ascii_alone(command: str) -> None:
    more = ["--draws", "1", "--batch", "4"] if command == "signal" else []
    shown = run(command, TOUR, *more, PYTHONUTF8="0", PYTHONIOENCODING="ascii")
    assert shown.returncode == 0
    assert shown.stdout.isascii()
    assert "\\u" not in shown.stdout
    assert "\\x" not in shown.stdout


def test_findings_on_an_ascii_terminal_are_spelled_out() -> None:
    shown = run("check", LENET, "--theory", PYTHONUTF8="0", PYTHONIOENCODING="ascii")
    assert shown.stdout.isascii()
    assert "\\u" not in shown.stdout
    assert "\\x" not in shown.stdout


@pytest.mark.parametrize("command", ["summary", "signal", "hist", "check", "catalog"])
def test_color_follows_the_environment(command: str) -> None:
    arguments = ["Dense"] if command == "catalog" else [str(LENET)]
    arguments += ["--theory"] if command in ("summary", "signal", "check") else []
    assert "\x1b[" not in run(command, *arguments).stdout
    forced = run(command, *arguments, FORCE_COLOR="1", TERM="xterm-256color").stdout
    assert "\x1b[" in forced
    without = run(command, *arguments, FORCE_COLOR="1", NO_COLOR="1", TERM="xterm-256color").stdout
    assert "\x1b[3" not in without  # no color, whatever else a terminal can do


def test_the_catalog_on_an_ascii_terminal_is_spelled_out() -> None:
    shown = run("catalog", PYTHONUTF8="0", PYTHONIOENCODING="ascii").stdout
    assert shown.isascii()
    assert "\\u" not in shown
    assert "max(x - tau, 0)" in shown
    assert "?" not in shown


def test_hist_of_several_specs_has_a_folder_for_each(tmp_path: Path) -> None:
    other = tmp_path / "tour.yaml"
    other.write_text(LENET.read_text("utf-8"), "utf-8")
    out = tmp_path / "out"
    done = run("hist", TOUR, other, "--out", out, "--filter", "dense/kernel")
    assert done.returncode == 0
    names = ("dense.kernel.png", "overview.png")
    wanted = [out / folder / name for folder in ("tour", "tour-2") for name in names]
    assert [Path(line) for line in done.stdout.splitlines()] == wanted
    assert all(file.is_file() for file in wanted)


def test_a_limit_that_a_message_names_is_raised_by_its_option() -> None:
    spec = "input_shape: [3]\nlayers: [{repeat: 5, layers: [{type: ReLU}]}]"
    refused = run("summary", "-", "--limit", "layers=3", text=spec)
    assert refused.returncode == 2
    option = refused.stderr.splitlines()[-1].partition("= ")[2].partition(" raises")[0].split()
    assert option[0] == "--limit"
    assert run("summary", "-", *option, text=spec).returncode == 0
    assert run("summary", "-", "--limit", "nmae=3", text=spec).returncode == 2


def test_no_format_writes_a_negative_zero() -> None:
    layer = "{type: Dense, units: 2, kernel_initializer: {type: Constant, value: -0.0}}"
    spec = f"input_shape: [2]\nlayers: [{layer}]\n"
    for kind in ("csv", "tsv", "json", "jsonl", "markdown", "table"):
        shown = run("summary", "-", "--format", kind, text=spec).stdout
        assert "kernel" in shown
        assert not re.search(r"-0(?![.\d]*[1-9])", shown), kind
