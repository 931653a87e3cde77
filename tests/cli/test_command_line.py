"""The command line as a process: streams, exit statuses, files."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

import initcli
from initcli.cli.app import app
from initcli.render.tensor_axes import DISTRIBUTION, DRAWN
from support.paths import SAMPLES, TOUR
from support.running import run, start


def test_version_and_help_are_data() -> None:
    assert run("--version").stdout == f"initcli {initcli.__version__}\n"
    for command in ([], ["summary"], ["hist"]):
        shown = run(*command, "--help")
        assert shown.returncode == 0
        assert shown.stdout.startswith("Usage: initcli")
        assert shown.stderr == ""


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param([], id="no command"),
        pytest.param(["sumary", str(TOUR)], id="unknown command"),
        pytest.param(["summary"], id="no spec"),
        pytest.param(["summary", str(TOUR), "--fromat", "json"], id="unknown option"),
        pytest.param(["summary", str(TOUR), "--format", "xml"], id="unknown format"),
        pytest.param(["summary", str(TOUR), "--seed", "one"], id="seed that is no number"),
        pytest.param(["summary", str(TOUR), "--jobs", "0"], id="no processes"),
        pytest.param(["summary", str(TOUR), "--cluster", ""], id="a cluster without an address"),
        pytest.param(
            ["summary", str(TOUR), "--cluster", "localhost:1", "--jobs", "2"], id="who draws, twice"
        ),
        pytest.param(["hist", str(TOUR), "--out", ""], id="a folder without a name"),
        pytest.param(["hist", str(TOUR), "--out", "x", "--bins", "0"], id="no bins"),
        pytest.param(["hist", str(TOUR), "--out", "x", "--bins", "many"], id="bins of words"),
    ],
)
def test_a_wrong_command_line_exits_with_2_and_writes_nothing(
    arguments: list[str], tmp_path: Path
) -> None:
    shown = run(*arguments, cwd=tmp_path)
    assert shown.returncode == 2
    assert shown.stderr or not arguments
    assert "Traceback" not in shown.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("width", [40, 80, 140, 200])
def test_the_table_keeps_to_its_width_and_loses_nothing(width: int) -> None:
    shown = run("summary", TOUR, width=width)
    assert shown.returncode == 0
    assert shown.stderr == ""
    assert max(map(len, shown.stdout.splitlines())) <= width
    assert "…" not in shown.stdout
    together = "".join(shown.stdout.split())
    for text in ("conv1d", "MaxPooling1D", "(None,126,16)", "31,808", "40,152", "156.8KiB"):
        assert text in together
    if width >= 80:
        for text in ("RandomUniform(minval=-0.05,maxval=0.05)", "Orthogonal(gain=1)"):
            assert text in together


def test_output_to_a_pipe_has_no_escapes_and_is_the_same_with_no_color() -> None:
    piped = run("summary", TOUR)
    assert "\x1b" not in piped.stdout
    assert run("summary", TOUR, NO_COLOR="1").stdout == piped.stdout


def test_color_can_be_forced() -> None:
    assert "\x1b[" in run("summary", TOUR, FORCE_COLOR="1", TERM="xterm-256color").stdout


def test_an_ascii_terminal_gets_ascii() -> None:
    shown = run("summary", TOUR, PYTHONUTF8="0", PYTHONIOENCODING="ascii")
    assert shown.returncode == 0
    assert shown.stdout.isascii()
    assert "40,152" in shown.stdout
    assert "\\u" not in shown.stdout


def test_json_is_one_object_with_the_documented_keys() -> None:
    shown = run("summary", "-", "--format", "json", text=TOUR.read_text("utf-8"))
    assert shown.returncode == 0
    assert shown.stderr == ""
    report = json.loads(shown.stdout, parse_constant=pytest.fail)
    assert list(report) == ["model", "layers", "tensors", "totals", "residuals"]
    assert report["model"] == {
        "name": "tour",
        "seed": 0,
        "dtype": "float32",
        "defaults": "keras",
        "source": "spec",
    }
    assert report["totals"] == {
        "params": 40152,
        "trainable": 40152,
        "non_trainable": 0,
        "bytes": 160608,
    }
    assert [layer["output_shape"] for layer in report["layers"]] == [
        [None, 126, 16],
        [None, 31, 16],
        [None, 496],
        [None, 64],
        [None, 64],
        [None, 8],
        [None, 64],
    ]
    assert [layer["params"] for layer in report["layers"]] == [3088, 0, 0, 31808, 4160, 520, 576]
    first = report["tensors"][0]
    assert {key: first[key] for key in list(first)[:10]} == {
        "path": "conv1d/kernel",
        "layer": "conv1d",
        "name": "kernel",
        "shape": [3, 64, 16],
        "size": 3072,
        "dtype": "float32",
        "trainable": True,
        "fan_in": 192,
        "fan_out": 48,
        "initializer": {
            "type": "RandomUniform",
            "minval": -0.05,
            "maxval": 0.05,
        },
    }
    assert first["distribution"] == {
        "type": "Uniform",
        "text": "U(-0.05, 0.05)",
        "mean": 0.0,
        "std": pytest.approx(0.1 / 12**0.5),
        "low": -0.05,
        "high": 0.05,
    }
    others = ["initializer_text", "distribution", "values", "measured", "fit", "status"]
    others += ["match", "spectral", "multiplier", "adam_rate", "sgd_rate"]
    assert list(first)[10:] == others
    for tensor in report["tensors"]:
        measured = tensor["measured"]
        edges, counts = measured["histogram"]["edges"], measured["histogram"]["counts"]
        assert sum(counts) == measured["count"] == tensor["size"]
        assert len(edges) == len(counts) + 1
        assert edges == sorted(edges)
    normal = report["tensors"][4]["distribution"]
    assert normal["type"] == "Normal"
    assert normal["low"] is None
    assert normal["high"] is None


@pytest.mark.parametrize(
    "file",
    sorted(
        path.name
        for suffix in ("yaml", "json")
        for path in SAMPLES.glob(f"*.{suffix}")
        if path.name != "initcli.schema.json"
    ),
)
def test_every_sample_config_is_summarized(file: str) -> None:
    custom = ("--custom", SAMPLES / "my_inits.py")
    some = ("--filter", "block_1*") if file.startswith("llama") else ()
    shown = run("summary", SAMPLES / file, *custom, "--max-draws", "50000", *some)
    assert shown.returncode == 0, shown.stderr
    assert "Total" in shown.stdout
    # One tensor in a thousand is marked by chance, and these are drawn from a fixed seed.
    assert all(float(p) > 1e-3 for p in re.findall(r"fit p=(\S+)", shown.stdout))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for another process")
def test_an_interrupt_does_not_wait_for_a_large_matrix(tmp_path: Path) -> None:
    spec = tmp_path / "large.yaml"
    layer = "{type: Dense, units: 9000, kernel_initializer: orthogonal}"
    spec.write_text(f"input_shape: [9000]\nlayers: [{layer}]\n")
    with start("summary", spec) as process:
        time.sleep(2)  # It is at work by now, for many seconds more.
        process.send_signal(signal.SIGINT)
        begun = time.monotonic()
        assert process.wait(60) == 130
        assert time.monotonic() - begun < 2


def test_the_seed_option_wins_and_changes_every_drawn_tensor() -> None:
    def stds(*arguments: str) -> list[float]:
        report = json.loads(run("summary", TOUR, "--format", "json", *arguments).stdout)
        return [t["measured"]["mean"] for t in report["tensors"] if t["name"] == "kernel"]

    assert stds() == stds("--seed", "0") == stds("--jobs", "3")
    assert not set(stds()) & set(stds("--seed", "1"))


def test_a_closed_pipe_ends_quietly() -> None:
    with start("summary", TOUR) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(60) == 0


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for another process")
def test_an_interrupt_ends_at_once_with_130_and_leaves_no_half_file(tmp_path: Path) -> None:
    spec = tmp_path / "large.yaml"
    layer = "{type: Dense, units: 4}"
    spec.write_text(f"input_shape: [4]\nlayers: [{{repeat: 500, layers: [{layer}]}}]\n")
    with start("hist", spec, "--out", tmp_path / "out") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()  # The first of a thousand pictures is written.
        process.send_signal(signal.SIGINT)
        begun = time.monotonic()
        assert process.wait(60) == 130
        assert time.monotonic() - begun < 10
        assert "Traceback" not in process.stderr.read()
    for file in (tmp_path / "out").iterdir():
        assert file.suffix == ".png"
        with Image.open(file) as image:
            image.load()


def share(pixels: NDArray[Any], color: str) -> float:
    """The share of the pixels that have exactly that color."""
    wanted = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    return float((pixels == wanted).all(axis=2).mean())


def test_hist_writes_ten_pictures_and_the_overview(tmp_path: Path) -> None:
    out = tmp_path / "a" / "b"
    shown = run("hist", TOUR, "--out", out)
    assert shown.returncode == 0
    assert shown.stderr == ""
    files = shown.stdout.splitlines()
    assert len(files) == 11
    assert files[-1] == str(out / "overview.png")
    assert {Path(file) for file in files} == set(out.iterdir())
    for file in files:
        with Image.open(file) as image:
            pixels = np.asarray(image.convert("RGB"))
        height, width, _ = pixels.shape
        assert width >= 600
        assert height >= 400
        bars = share(pixels, DRAWN)
        # The distribution is drawn over the bars; a level distribution lies on the top of a
        # thousand bars or of one.
        assert bars > (0.3 if "conv1d.kernel" in file else 0.005)
        assert share(pixels, DISTRIBUTION) > 0.0001
        assert share(pixels, "#ffffff") > 0.2


def test_bins_change_the_picture(tmp_path: Path) -> None:
    spec = tmp_path / "one.yaml"
    spec.write_text("input_shape: [50]\nlayers: [{type: Dense, units: 50, use_bias: false}]\n")
    pictures = []
    for bins in ("auto", "3", "200"):
        assert run("hist", spec, "--out", tmp_path / bins, "--bins", bins).returncode == 0
        pictures.append((tmp_path / bins / "dense.kernel.png").read_bytes())
    assert len(set(pictures)) == 3


def test_many_tensors_get_several_overview_pages(tmp_path: Path) -> None:
    layer = "{type: Dense, units: 4, bias_initializer: random_normal}"
    spec = f"{{input_shape: [4], layers: [{{repeat: 13, layers: [{layer}]}}]}}"
    shown = run("hist", "-", "--out", tmp_path, "--all", "--dpi", "30", text=spec)
    assert [Path(file).name for file in shown.stdout.splitlines()[-3:]] == [
        "block_12.dense.bias.png",
        "overview.png",
        "overview_2.png",
    ]


def test_a_model_without_weights_is_no_error(tmp_path: Path) -> None:
    text = "input_shape: [4]\nlayers: [{type: ReLU}]\n"
    assert "Total 0 weights" in run("summary", "-", text=text).stdout
    shown = run("hist", "-", "--out", tmp_path / "out", text=text)
    assert (shown.returncode, shown.stdout) == (0, "")


@pytest.mark.skipif(os.name == "nt", reason="streams are closed by a POSIX shell")
@pytest.mark.parametrize(
    ("redirection", "status", "said"),
    [
        ("<&-", 2, "<stdin>: standard input is closed\n"),
        ("< /dev/null", 2, "<stdin>: the file is empty\n"),
        (f"< '{TOUR}' >&-", 0, ""),
        (f"< '{TOUR}' > /dev/full", 2, "standard output cannot be written: No space left"),
    ],
)
def test_streams_that_are_closed_or_full(redirection: str, status: int, said: str) -> None:
    if "/dev/full" in redirection and not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    command = f"'{sys.executable}' -m initcli summary - {redirection}"
    done = subprocess.run(["sh", "-c", command], stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == status
    assert done.stderr.startswith(said)
    assert bool(done.stderr) == bool(said)


def test_an_out_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    shown = run("hist", TOUR, "--out", tmp_path / "out")
    assert shown.returncode == 2
    assert "is not a folder" in shown.stderr
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.skipif(os.name == "nt", reason="file modes are those of POSIX")
def test_files_get_the_usual_mode(tmp_path: Path) -> None:
    spec = "input_shape: [4]\nlayers: [{type: Dense, units: 2}]\n"
    assert run("hist", "-", "--out", tmp_path, text=spec).returncode == 0
    usual = tmp_path / "usual"
    usual.touch()
    modes = {file.stat().st_mode for file in tmp_path.iterdir()}
    assert modes == {usual.stat().st_mode}


def test_help_and_version_import_neither_numpy_nor_matplotlib() -> None:
    for option in ("--help", "--version"):
        code = (
            "import sys\nfrom initcli.__main__ import main\n"
            f"sys.argv = ['initcli', '{option}']\n"
            "try:\n    main()\nfinally:\n"
            "    assert not {'numpy', 'matplotlib', 'yaml', 'msgspec'} & set(sys.modules)\n"
        )
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_summary_does_not_import_matplotlib() -> None:
    code = (
        "import sys\nfrom initcli.__main__ import main\n"
        f"sys.argv = ['initcli', 'summary', {str(TOUR)!r}]\n"
        "try:\n    main()\nfinally:\n"
        "    assert 'matplotlib' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


BLOCKS = """
input_shape: [8]
layers:
  - {type: Dense, name: stem, units: 8}
  - name: block
    repeat: 12
    layers:
      - {type: Dense, units: 8}
      - {type: Add, inputs: [input, dense]}
  - type: Sequential
    name: head
    layers:
      - {type: Dense, units: 4}
      - {type: Dense, units: 2}
"""


def test_depth_folds_blocks_and_says_for_how_many_rows() -> None:
    done = run("summary", "-", "--depth", "1", text=BLOCKS)
    assert done.returncode == 0
    assert "block_0 … block_11 · 48 rows folded" in done.stdout
    assert "12 blocks of 2 layers and 2 tensors" in done.stdout
    assert "head · 6 rows folded" in done.stdout
    assert "stem · Dense" in done.stdout
    assert "block_3" not in done.stdout
    assert "2 tensors shown, 28 not" in done.stdout
    assert "Total 982 weights" in done.stdout
    whole = run("summary", "-", "--depth", "2", text=BLOCKS)
    assert whole.stdout == run("summary", "-", text=BLOCKS).stdout


def test_filter_picks_tensors_by_path() -> None:
    done = run("summary", "-", "--filter", "block_1*/dense/kernel", text=BLOCKS)
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines() if " · Dense" in line] == [
        f"block_{number}/dense" for number in (1, 10, 11)
    ]
    assert "3 tensors shown, 27 not" in done.stdout
    arguments = ("--filter", "stem/*", "--filter", "head/dense/bias", "--format", "json")
    report = json.loads(run("summary", "-", *arguments, text=BLOCKS).stdout)
    assert [t["path"] for t in report["tensors"]] == ["stem/kernel", "stem/bias", "head/dense/bias"]
    assert [t["layer"] for t in report["tensors"]] == ["stem", "stem", "head/dense"]
    assert report["totals"]["params"] == 982


def test_a_filter_that_matches_nothing_says_so() -> None:
    done = run("summary", "-", "--filter", "stem/kernle", text=BLOCKS)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "no tensor's path matches 'stem/kernle'\n  = did you mean 'stem/kernel'?\n"
    )


def test_a_network_within_the_model_lists_its_layers() -> None:
    report = json.loads(run("summary", "-", "--format", "json", text=BLOCKS).stdout)
    head = report["layers"][-1]
    assert (head["name"], head["type"], head["params"]) == ("head", "Sequential", 46)
    assert [inner["name"] for inner in head["layers"]] == ["head/dense", "head/dense_1"]
    assert sum(layer["params"] for layer in report["layers"]) == report["totals"]["params"]


def test_defaults_are_chosen_on_the_command_line() -> None:
    arguments = ("--defaults", "torch", "--format", "json")
    report = json.loads(run("summary", "-", *arguments, text=BLOCKS).stdout)
    assert report["model"]["defaults"] == "torch"
    assert report["tensors"][1]["initializer"]["type"] == "RandomUniform"


def test_the_catalog_lists_what_a_spec_can_name() -> None:
    listed = json.loads(run("catalog", "--format", "json").stdout)
    names = {kind: [thing["name"] for thing in things] for kind, things in listed.items()}
    assert {"Dense", "LSTM", "MultiHeadAttention", "PositionEmbedding"} <= set(names["layers"])
    assert {"GlorotUniform", "Orthogonal", "Dirac"} <= set(names["initializers"])
    assert {"relu", "gelu", "softmax"} <= set(names["activations"])
    dense = next(thing for thing in listed["layers"] if thing["name"] == "Dense")
    units = next(each for each in dense["arguments"] if each["name"] == "units")
    del units["description"]
    assert units == {
        "name": "units",
        "takes": "a whole number of at least 1",
        "required": True,
        "default": None,
    }
    text = run("catalog").stdout
    assert all(name in text for kind in names.values() for name in kind)


def test_the_catalog_shows_one_thing_whole() -> None:
    done = run("catalog", "he_normal")
    assert done.stdout.startswith("HeNormal  initializer\nalso he_normal\n")
    assert "input_axes" in done.stdout
    missed = run("catalog", "densse")
    assert (missed.returncode, missed.stdout) == (2, "")
    assert "did you mean" in missed.stderr


def test_the_catalog_knows_what_other_frameworks_call_so() -> None:
    for name, first in (("Linear", "Dense"), ("BatchNorm2d", "BatchNormalization")):
        assert run("catalog", name).stdout.startswith(f"{first}  layer\n")
    assert "\nlinear  activation\n" in run("catalog", "Linear").stdout


def test_a_pipe_gets_whole_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    done = CliRunner().invoke(app, ["check", str(SAMPLES / "mlp_tanh_deep.yaml")])
    assert "\n    the signal vanishes over 50 layers: rms 1 becomes" in done.stdout
    assert "0.561 times per layer\n" in done.stdout
    name = "a_name_of_many_words_" * 8
    spec = f"{{input_shape: [3], layers: [{{type: Dense, units: 2, name: {name}}}]}}"
    done = CliRunner().invoke(app, ["summary", "-", "--theory"], spec)
    assert f"\n{name} · Dense " in done.stdout


def test_channels_that_seem_to_come_first_are_told() -> None:
    def spec(shape: str, layers: str) -> str:
        return f"{{input_shape: {shape}, layers: [{layers}, {{type: MaxPooling2D}}]}}"

    convolution = "{type: Conv2D, filters: 8, kernel_size: 3%s}"
    told = "the input (3, 32, 32) is read as height 3, width 32 and 32 channels"
    same = run("summary", "-", text=spec("[3, 32, 32]", convolution % ", padding: same"))
    assert told in same.stderr
    wrong = run("summary", "-", text=spec("[3, 32, 32]", convolution % ""))
    assert wrong.returncode == 2
    assert "larger than its input (1, 30)\n" in wrong.stderr
    assert f"= {told}" in wrong.stderr
    for shape, more in (
        ("[3, 32, 32]", ", data_format: channels_first"),
        ("[3, 32, 32]", ", padding: same, data_format: channels_last"),
        ("[32, 32, 3]", ""),
        ("[3, 32, 16]", ", padding: same"),
    ):
        done = run("summary", "-", text=spec(shape, convolution % more))
        assert (done.returncode, done.stderr) == (0, "")


def test_the_overview_of_many_tensors_in_one_layer_stays_narrow(tmp_path: Path) -> None:
    spec = (
        "{input_shape: [5, 8], layers: [{type: Sequential, layers: ["
        "{type: MultiHeadAttention, num_heads: 2, key_dim: 4, name: attention},"
        " {type: Dense, units: 3}]}]}"
    )
    done = run("hist", "-", "--out", tmp_path, "--filter", "*/kernel", text=spec)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 6
    whole = run("hist", "-", "--out", tmp_path, text=spec)
    assert len(whole.stdout.splitlines()) == 11
    with Image.open(tmp_path / "overview.png") as image:
        width, height = image.size
    # Five kernels in rows of two, the title above, and the biases in one line below.
    assert width == 2 * 420
    assert 3 * 210 + 80 < height < 3 * 210 + 150


def test_nothing_of_a_small_picture_is_cut_off_at_its_end() -> None:
    from initcli.render.plots import Style, tensor_cell
    from initcli.render.tensor_axes import TensorPicture

    for stddev in (1e-6, 1.0, 1e20):
        kernel = {"type": "RandomNormal", "stddev": stddev}
        layer = {"type": "Dense", "units": 30, "kernel_initializer": kernel}
        model = initcli.parse(json.dumps({"input_shape": [30], "layers": [layer]}))
        ((parameter, seen),) = initcli.measure(model.parameters[:1])
        histogram = initcli.data_histogram(parameter, seen)
        content = tensor_cell(TensorPicture.of(parameter, seen, histogram), Style())
        cell = np.asarray(Image.open(io.BytesIO(content)))
        assert cell.min() < 255
        assert (cell[-2:] == 255).all(), "the power of ten below the axis has no room"


# ------------------------------------------------------------------------ theory, and some of it


HUGE = SAMPLES / "llama3_405b.yaml"


def test_theory_alone_shows_distributions_and_draws_nothing() -> None:
    shown = run("summary", HUGE, "--theory", "--depth", "1")
    assert shown.returncode == 0, shown.stderr
    assert "nothing drawn" in shown.stdout
    assert "405,853,388,800" in shown.stdout
    assert "N(0, 0.02²)" in shown.stdout
    assert "fit p=" not in shown.stdout
    assert "drawn, distribution" not in shown.stdout
    report = json.loads(run("summary", TOUR, "--theory", "--format", "json").stdout)
    drawn = json.loads(run("summary", TOUR, "--format", "json").stdout)
    for expected, tensor in zip(drawn["tensors"], report["tensors"], strict=True):
        assert tensor == {**expected, "values": None, "measured": None, "fit": None}
    assert {**report, "tensors": []} == {**drawn, "tensors": []}


def test_theory_of_a_custom_initializer_says_that_nobody_knows_it() -> None:
    custom = ("--custom", SAMPLES / "my_inits.py")
    shown = run("summary", SAMPLES / "tour_custom.yaml", *custom, "--theory", width=140)
    assert shown.returncode == 0, shown.stderr
    assert "distribution not known" in shown.stdout


@pytest.mark.parametrize("option", [("--max-draws", "5"), ("--jobs", "2"), ("--cluster", "a:1")])
def test_theory_takes_nothing_that_draws(option: tuple[str, str]) -> None:
    shown = run("summary", TOUR, "--theory", *option)
    assert (shown.returncode, shown.stdout) == (2, "")
    assert "--theory" in shown.stderr


def test_at_most_some_entries_of_a_tensor_are_drawn_and_it_is_said() -> None:
    limited = ("--max-draws", "1000")
    report = json.loads(run("summary", TOUR, "--format", "json", *limited).stdout)
    for tensor in report["tensors"]:
        counts = tensor["measured"]["histogram"]["counts"]
        assert tensor["measured"]["count"] == min(tensor["size"], 1000) == sum(counts)
    for width in (60, 80, 140):
        table = run("summary", TOUR, *limited, width=width).stdout
        assert "first 1,000" in table
    assert run("summary", TOUR, "--max-draws", "0").returncode == 2


def test_the_first_entries_are_those_of_the_whole_tensor() -> None:
    for initializer in ("random_normal", "orthogonal", "truncated_normal"):
        layer = {"type": "Dense", "units": 400, "kernel_initializer": initializer}
        spec = json.dumps({"input_shape": [500], "layers": [layer]})
        kernel = initcli.parse(spec).parameters[0]
        for most in (1, 70_000, 200_000, 10**9):
            ((_, seen),) = initcli.measure([kernel], max_entries=most)
            first = initcli.draw(kernel).ravel()[:most].astype(np.float64)
            assert seen.count == first.size
            assert (seen.min, seen.max) == (first.min(), first.max())
            assert seen.mean == pytest.approx(first.mean(), abs=1e-12)
            assert seen.histogram.counts.sum() == first.size


def test_hist_shows_some_entries_too(tmp_path: Path) -> None:
    shown = run("hist", HUGE, "--filter", "head/*", "--max-draws", "100000", "--out", tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert [Path(file).name for file in shown.stdout.splitlines()] == [
        "head.kernel.png",
        "overview.png",
    ]


# ------------------------------------------------------------------------ progress


IMPATIENT = """
from initcli.__main__ import main
from initcli.render import progress

progress.PATIENCE = 0.05
main()
"""


def in_terminal(*arguments: str | Path, piped: bool, impatient: bool = False) -> tuple[str, str]:
    """What a command writes to a terminal, and into a pipe.

    If it is impatient, work takes long after a twentieth of a second.
    """
    import pty

    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    stdout = subprocess.PIPE if piped else slave
    program = ("-c", IMPATIENT) if impatient else ("-m", "initcli")
    with start(
        *arguments, program=program, stdout=stdout, stderr=slave, env=environment
    ) as process:
        os.close(slave)
        seen = bytearray()
        with contextlib.suppress(OSError):  # the end of a terminal, on Linux
            while part := os.read(master, 65536):
                seen += part
        os.close(master)
        output = process.stdout.read() if process.stdout else ""
        assert process.wait(60) == 0
    return seen.decode(), output


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo-terminals for this")
def test_long_work_shows_a_bar_on_the_terminal_and_nothing_of_it_in_the_pipe(
    tmp_path: Path,
) -> None:
    spec = tmp_path / "large.yaml"
    layer = "{type: Dense, units: 4000, use_bias: false, kernel_initializer: he_normal}"
    spec.write_text(f"input_shape: [4000]\nlayers: [{layer}]\n")
    command = ("summary", spec, "--format", "json", "--jobs", "1")
    seen, output = in_terminal(*command, piped=True, impatient=True)
    assert "of 16M weights" in seen
    assert "/s" in seen
    assert json.loads(output)["totals"]["params"] == 16_000_000
    quick, output = in_terminal("summary", TOUR, "--format", "json", piped=True)
    assert quick == ""
    assert json.loads(output)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo-terminals for this")
def test_paths_are_whole_lines_between_the_bar_s(tmp_path: Path) -> None:
    spec = tmp_path / "many.yaml"
    spec.write_text("input_shape: [4]\nlayers: [{repeat: 10, layers: [{type: Dense, units: 4}]}]\n")
    seen, _ = in_terminal("hist", spec, "--out", tmp_path / "out", piped=False, impatient=True)
    assert "of 20 pictures" in seen
    paths = [line for line in re.split(r"[\r\n]+|\x1b\[[0-9;?]*[A-Za-z]", seen) if ".png" in line]
    assert all(re.fullmatch(re.escape(str(tmp_path)) + r"/out/\S+\.png", path) for path in paths)
    assert len(paths) == len(list((tmp_path / "out").iterdir()))


@pytest.mark.parametrize(
    ("command", "advice"),
    [
        (
            ["summary", "--kernel-initializer", "zeros"],
            "`compare` has it; --set 'layers.*.kernel_initializer=VALUE' sets it in the spec",
        ),
        (["check", "--units", "5"], "--set 'layers.*.units=VALUE' sets it in the spec"),
        (["catalog", "--exit-code"], "`diff` has it"),
        (["summary", "--filtr=x"], "did you mean '--filter'?"),
        (["hist", "-z"], "`initcli hist -h` lists all"),
    ],
)
def test_an_unknown_option_says_what_to_write_instead(command: list[str], advice: str) -> None:
    shown = run(*command, str(TOUR))
    assert shown.returncode == 2
    assert shown.stderr.splitlines()[-1].endswith(f": {advice}")
