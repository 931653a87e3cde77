"""What is seen of the signal, and what is made of it: tables, data, pictures, verdicts."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

import initcli
from initcli.errors import NoSuchTensor, SignalError
from initcli.layers.pooling import AveragePooling1D, MaxPooling1D
from initcli.limits import from_options, limited
from initcli.signal.cost import cost
from initcli.signal.figures import LayerSignal, Signal
from initcli.signal.initial_fields import standard
from initcli.signal.measured import measure_signal, predict_signal
from initcli.signal.planning import NotAfforded, TooSlow, planned
from initcli.signal.program import program
from initcli.signal.rules.base import Context, Gradient, expected
from support.layers import layer_cases
from support.paths import ROOT, TOUR
from support.running import run

SAMPLES = sorted(
    path
    for path in (ROOT / "sample_configs").iterdir()
    if path.suffix in (".yaml", ".json")
    and "custom" not in path.name
    and path.name not in ("initcli.schema.json", "llama3_405b.yaml")  # the latter is slow
)


def model(*layers: dict[str, Any], **spec: Any) -> initcli.Model:
    return initcli.parse(json.dumps({"input_shape": [16], "layers": list(layers), **spec}))


def layer(signal: Signal, name: str) -> LayerSignal:
    return next(each for each in signal.layers if each.name == name)


# Measured


def test_figures_are_those_of_the_arrays() -> None:
    inputs = np.random.default_rng(0).standard_normal((8, 16)).astype(np.float32)
    built = model({"type": "Dense", "units": 12, "activation": "relu", "name": "hidden"})
    seen = layer(measure_signal(built, draws=1, inputs={"input": inputs}), "hidden").output
    assert seen is not None
    assert seen.correlation is not None
    outputs = np.maximum(inputs @ initcli.draw(built.parameters[0]), 0.0).astype(np.float64)
    assert seen.mean.median == pytest.approx(outputs.mean(), rel=1e-5)
    assert seen.std.median == pytest.approx(outputs.std(), rel=1e-5)
    assert seen.zeros.median == np.mean(outputs == 0)
    assert seen.dead_units.median == np.mean(np.all(outputs == 0, axis=0))
    directions = outputs / np.linalg.norm(outputs, axis=1, keepdims=True)
    cosines = (directions @ directions.T)[np.triu_indices(8, 1)]
    assert seen.correlation.median == pytest.approx(cosines.mean(), rel=1e-5)
    assert seen.saturated is None


def test_gradients_are_those_of_a_linear_layer() -> None:
    # dL/dx = cotangent · kernelᵀ and dL/dkernel = xᵀ · cotangent, for L = Σ output · cotangent.
    inputs = np.random.default_rng(0).standard_normal((64, 16)).astype(np.float32)
    layers = [{"type": "Dense", "units": 400, "name": name} for name in ("first", "second")]
    signal = measure_signal(model(*layers), draws=1, inputs={"input": inputs})
    gradient, last = layer(signal, "first").gradient, layer(signal, "second").gradient
    assert gradient is not None
    assert last is not None
    count = 64 * 400
    # The root mean square of n standard normal numbers is 1 ± 1/√(2n).
    assert last.rms.median == pytest.approx(1.0, abs=5 / math.sqrt(2 * count))
    kernel = initcli.draw(signal.model.parameters[2])
    expected = math.sqrt(float(np.mean(kernel.astype(np.float64) ** 2)) * 400)
    assert gradient.rms.median == pytest.approx(expected, rel=5 / math.sqrt(2 * 64 * 200))
    bias = next(each for each in signal.tensors if each.path == "second/bias")
    # A bias has the sum of 64 of them.
    assert bias.gradient_rms.median == pytest.approx(8.0, rel=5 / math.sqrt(2 * 400))
    assert bias.gradient_to_weight is None
    weights = next(each for each in signal.tensors if each.path == "second/kernel")
    assert weights.gradient_to_weight is not None
    size = float(np.sqrt(np.mean(kernel.astype(np.float64) ** 2)))
    ratio = weights.gradient_rms.median / size
    assert weights.gradient_to_weight.median == pytest.approx(ratio, rel=1e-5)


def test_dead_and_saturated_shares() -> None:
    dead = {"type": "Dense", "units": 8, "activation": "relu", "name": "dead"}
    dead["bias_initializer"] = {"type": "Constant", "value": -1000.0}
    full = {"type": "Dense", "units": 8, "activation": "tanh", "name": "full"}
    full["bias_initializer"] = {"type": "Constant", "value": 10.0}
    half = {"type": "ReLU", "max_value": 1.0, "name": "half"}
    signal = measure_signal(model(dead, full, half), draws=2)
    outputs = {name: layer(signal, name).output for name in ("dead", "full", "half")}
    assert outputs["dead"] is not None
    assert outputs["dead"].dead_units.median == outputs["dead"].zeros.median == 1.0
    assert outputs["full"] is not None
    assert outputs["full"].saturated is not None
    assert outputs["full"].saturated.median == 1.0
    assert outputs["half"] is not None
    assert outputs["half"].saturated is not None
    assert outputs["half"].saturated.median == 1.0
    found = initcli.verdict(signal)
    assert (found.dead_units, found.saturated) == (1.0, 1.0)
    assert "100% of dead's outputs are 0" in found.text


def test_draws_have_seeds_of_their_own_and_are_the_same_again() -> None:
    spec = {"type": "Dense", "units": 5}
    three = measure_signal(model(spec, seed=4), draws=3)
    assert three == measure_signal(model(spec, seed=4), draws=3)
    alone = [measure_signal(model(spec, seed=4 + k), draws=1) for k in range(3)]
    stds = sorted(each.layers[0].output.std.median for each in alone if each.layers[0].output)
    output = three.layers[0].output
    assert output is not None
    assert [output.std.low, output.std.median, output.std.high] == stds


def test_a_table_is_fed_with_whole_numbers_it_has() -> None:
    layers = [
        {"type": "Input", "shape": [20], "dtype": "int32", "name": "ids"},
        {"type": "Embedding", "input_dim": 3, "output_dim": 4},
    ]
    built = initcli.parse(json.dumps({"layers": layers}))
    signal = measure_signal(built, batch=32)
    assert layer(signal, "ids").output is None
    assert layer(signal, "embedding").output is not None
    for wrong in (-1, 3, 0.5):
        with pytest.raises(SignalError, match="whole numbers from 0 to 2"):
            measure_signal(built, inputs={"ids": np.full((2, 20), wrong)})


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
def test_every_sample_has_a_prediction(sample: Path) -> None:
    signal = predict_signal(initcli.load(str(sample)), batch=4)
    known = [each for each in signal.layers if each.predicted.std is not None]
    ids = [each for each in signal.layers if each.type == "InputLayer"]
    assert len(known) + len(ids) >= len(signal.layers)


@pytest.mark.parametrize("name", ["tour", "lenet5", "mlp_relu_deep", "lstm_imdb", "keras_tour"])
def test_samples_are_measured_near_what_is_predicted(name: str) -> None:
    file = next(path for path in SAMPLES if path.stem == name)
    signal = measure_signal(initcli.load(str(file)), batch=16, draws=3)
    ratios = [
        each.predicted.std / each.output.std.median
        for each in signal.layers
        if each.output is not None and each.predicted.std
    ]
    assert float(np.median(np.abs(np.log(ratios)))) < math.log(1.2)


def test_predictions_start_from_inputs_of_ones_own() -> None:
    inputs = 3 * np.random.default_rng(0).standard_normal((256, 16)).astype(np.float32)
    built = model({"type": "Dense", "units": 64, "activation": "tanh", "name": "hidden"})
    signal = measure_signal(built, draws=5, inputs={"input": inputs + 1})
    seen, predicted = layer(signal, "hidden").output, layer(signal, "hidden").predicted
    assert seen is not None
    assert seen.correlation is not None
    assert predicted.std == pytest.approx(seen.std.median, rel=0.03)
    assert predicted.correlation == pytest.approx(seen.correlation.median, abs=0.03)
    assert layer(predict_signal(built), "hidden").predicted.std != pytest.approx(
        predicted.std, rel=0.2
    )


# Where theory is silent


def test_predictions_go_on_from_what_is_measured() -> None:
    layers: list[dict[str, Any]] = [
        {"type": "Dense", "units": 64, "name": "before"},
        {"type": "Reshape", "target_shape": [4, 4, 4]},
        {"type": "UpSampling2D", "interpolation": "bilinear", "name": "silent"},
        {"type": "Conv2D", "filters": 64, "kernel_size": 1, "name": "after"},
    ]
    signal = measure_signal(model(*layers), draws=3)
    silent, after = layer(signal, "silent"), layer(signal, "after")
    assert silent.predicted.std is None
    assert silent.output is not None
    assert after.output is not None
    assert after.predicted.std == pytest.approx(after.output.std.median, rel=0.2)
    before = layer(signal, "before")
    assert before.gradient is not None
    assert before.predicted.gradient_rms == pytest.approx(before.gradient.rms.median, rel=0.2)
    alone = predict_signal(model(*layers))
    assert layer(alone, "after").predicted.std is None


def test_a_layer_that_nobody_can_compute_is_named() -> None:
    layers = [
        {"type": "Input", "shape": [1]},
        {"type": "Opaque", "kind": "Mine", "name": "mine"},
    ]
    with pytest.raises(SignalError, match="the signal ends at 'mine'"):
        measure_signal(initcli.parse(json.dumps({"layers": layers})))


def test_open_sizes_are_said() -> None:
    signal = predict_signal(initcli.load(str(ROOT / "sample_configs" / "lstm_imdb.yaml")))
    assert signal.notes == ("sizes that the spec leaves open are taken to be 32",)


@pytest.mark.parametrize("kind", [MaxPooling1D, AveragePooling1D])
@pytest.mark.parametrize("strides", [1, 2, 3])
def test_pooling_hands_the_sum_of_gradients_on(kind: Any, strides: int) -> None:
    # Σ g over what goes in is Σ g over what comes out, whatever entries have it.
    windows = (24 - 3) // strides + 1
    context = Context({}, {}, [(4, 24, 8)], [(4, windows, 8)], options={})
    pull = expected(kind(pool_size=3, strides=strides), context, standard((24,), 8)).pull
    (back,) = pull(Gradient.within(np.full(windows, 2.0), np.full(windows, 0.5)))
    assert back is not None
    whole = windows * 2.0 + windows * (windows - 1) * 0.5
    assert 24 * back.second + 24 * 23 * back.cross == pytest.approx(whole)
    assert back.cross > 0


# χ and verdicts


@pytest.mark.parametrize(("variance", "chi"), [(1.0, 0.5), (2.0, 1.0), (4.0, 2.0)])
def test_chi_is_half_of_the_weights_variance_behind_a_relu(variance: float, chi: float) -> None:
    # χ = σ_w² E[φ'(z)²], and φ' of a ReLU is 1 for half of all z (Schoenholz et al. 2017).
    kernel = {"type": "RandomNormal", "stddev": math.sqrt(variance / 256)}
    hidden = {"type": "Dense", "units": 256, "activation": "relu", "kernel_initializer": kernel}
    signal = predict_signal(model(*[hidden] * 11, input_shape=[256]))
    assert [each.predicted.chi for each in signal.layers] == pytest.approx([chi] * 11, rel=1e-3)
    found = initcli.verdict(signal)
    assert found.chi == pytest.approx(chi, rel=1e-3)
    assert found.depth_scale is not None
    scale = math.inf if chi == 1 else 1 / math.log(2)
    assert min(found.depth_scale, 1e6) == pytest.approx(min(scale, 1e6), rel=1e-2)


@pytest.mark.parametrize(
    ("kernel", "activation", "depth", "text"),
    [
        ("he_normal", "relu", 20, "keeps its size"),
        ("glorot_uniform", "relu", 40, "signal vanishes"),
        ({"type": "RandomNormal", "stddev": 0.3}, "relu", 20, "signal explodes"),
        ({"type": "RandomNormal", "stddev": 0.01}, "tanh", 20, "signal vanishes"),
    ],
)
def test_verdicts(kernel: Any, activation: str, depth: int, text: str) -> None:
    hidden = {"type": "Dense", "units": 128, "activation": activation}
    layers = [{**hidden, "kernel_initializer": kernel}] * depth
    built = model(*layers, input_shape=[128])
    assert initcli.verdict(predict_signal(built)).text == text
    seen = initcli.verdict(measure_signal(built, batch=64, draws=2)).text
    for problem in ("signal vanishes", "signal explodes", "gradient vanishes", "gradient explodes"):
        assert (problem in seen) == (problem in text), seen


def test_a_kernel_of_zeros_stops_gradients() -> None:
    hidden = {"type": "Dense", "units": 8}
    zeros = {**hidden, "activation": "relu", "kernel_initializer": "zeros"}
    signal = measure_signal(model(hidden, zeros, hidden))
    assert "no gradient reaches the first layer" in initcli.verdict(signal).text
    assert initcli.verdict(signal).distance is None


# Memory


def test_a_batch_that_fits_is_taken_or_named() -> None:
    built = model({"type": "Dense", "units": 50_000, "name": "wide"}, {"type": "Dense", "units": 4})
    with limited(memory=180 << 20):
        signal = measure_signal(built, draws=1)
        assert signal.batch < 64
        (note,) = signal.notes
        assert note.startswith(f"measured with a batch of {signal.batch} and 1 draw: 64 examples ")
        with pytest.raises(SignalError, match=r"most of it in 'wide', .* allowed") as refused:
            measure_signal(built, batch=64)
    said = re.findall(r"--limit (\S+) raises it", str(refused.value))
    with limited(**from_options(said)):
        assert measure_signal(built, batch=64, draws=1).notes == ()
    with limited(memory=64 << 20), pytest.raises(NotAfforded, match="a single example takes"):
        measure_signal(built)


def test_what_takes_more_than_a_minute_is_measured_with_less() -> None:
    built = model({"type": "Dense", "units": 2_000})
    full = planned(built)
    assert (full.program.batch, full.draws, full.notes) == (64, 5, ())
    one = cost(full.program, "float32").seconds
    less = planned(built, seconds=2 * one)
    assert (less.program.batch, less.draws) < (64, 5)
    assert "would take" in less.notes[0]
    assert "--theory predicts at once" in less.notes[0]
    with pytest.raises(TooSlow, match="--batch 1 --draws 1 measures it anyway"):
        planned(built, seconds=one / 1000)
    asked = planned(built, batch=64, draws=5, seconds=one / 1000)
    assert (asked.program.batch, asked.draws, asked.notes) == (64, 5, ())


def test_nothing_affordable_is_predicted_and_the_layer_named(tmp_path: Path) -> None:
    spec = tmp_path / "spec.json"
    layers = [{"type": "Dense", "units": 50_000, "name": "wide"}]
    spec.write_text(json.dumps({"input_shape": [64], "layers": layers}))
    small = ("--limit", f"memory={64 << 20}")
    done = run("signal", str(spec), "--format", "json", *small)
    assert done.returncode == 0
    (note,) = json.loads(done.stdout)["notes"]
    assert note.startswith("nothing is measured: a single example takes ")
    assert "'wide'" in note
    assert note in done.stderr
    checked = run("check", str(spec), *small)
    assert "the signal is predicted, not measured: a batch of 16 takes" in checked.stderr
    assert "'wide'" in checked.stderr


# The command


def test_the_table_fits_its_width() -> None:
    for width in (64, 80, 140):
        done = run("signal", TOUR, "--draws", "2", width=width)
        assert done.returncode == 0
        assert done.stderr == ""
        lines = done.stdout.splitlines()
        assert max(map(len, lines)) <= width
        assert lines[0] == "tour · batch 64 · 2 draws · seeds 0 to 1 · keras defaults"
        assert [line.split()[0] for line in lines[2:4]] == ["conv1d", "max_pooling1d"]
        assert "\x1b" not in done.stdout
    assert "dead" in lines[1]


def test_an_ascii_terminal_gets_ascii() -> None:
    done = run("signal", TOUR, "--draws", "1", PYTHONUTF8="0", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert done.stdout.isascii()
    assert "\\u" not in done.stdout
    done = run("compare", TOUR, "--theory", PYTHONUTF8="0", PYTHONIOENCODING="ascii")
    assert done.stdout.isascii()


def test_json_has_the_documented_keys() -> None:
    report = json.loads(run("signal", TOUR, "--draws", "2", "--format", "json").stdout)
    assert list(report) == [
        "model",
        "batch",
        "draws",
        "layers",
        "tensors",
        "verdict",
        "losses",
        "attention",
        "routers",
        "residuals",
        "notes",
    ]
    assert report["model"] == {
        "name": "tour",
        "seed": 0,
        "dtype": "float32",
        "defaults": "keras",
        "source": "spec",
    }
    assert (report["batch"], report["draws"]) == (64, 2)
    first = report["layers"][0]
    assert (first["name"], first["type"], first["shape"]) == ("conv1d", "Conv1D", [64, 126, 16])
    assert list(first["output"]) == [
        *("mean", "std", "zeros", "dead_units", "saturated", "correlation"),
    ]
    assert list(first["output"]["std"]) == ["median", "low", "high"]
    assert list(first["gradient"]) == ["rms"]
    assert list(first["predicted"]) == [
        *("mean", "std", "correlation", "gradient_rms", "chi", "sensitivity"),
        "kernel_gradient_rms",
    ]
    assert list(report["tensors"][0]) == ["path", "gradient_rms", "gradient_to_weight"]
    assert [each["path"] for each in report["tensors"]][:2] == ["conv1d/kernel", "conv1d/bias"]
    theory = json.loads(run("signal", TOUR, "--theory", "--format", "json").stdout)
    assert theory["draws"] == 0
    assert all(each["output"] is None for each in theory["layers"])
    assert theory["tensors"] == []


def test_csv_has_a_line_a_layer() -> None:
    done = run("signal", TOUR, "--draws", "1", "--format", "csv", "--filter", "dense*")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["layer"] for row in rows] == ["dense", "dense_1", "dense_2", "dense_3"]
    assert float(rows[0]["output_std"]) > 0
    assert rows[0]["shape"] == "64x64"
    assert rows[0]["output_saturated"] == ""


def test_a_filter_shows_less_and_changes_no_verdict() -> None:
    whole = json.loads(run("signal", TOUR, "--draws", "1", "--format", "json").stdout)
    arguments = ("--draws", "1", "--format", "json", "--filter", "dense_1/kernel")
    part = json.loads(run("signal", TOUR, *arguments).stdout)
    assert part["layers"] == []
    assert [each["path"] for each in part["tensors"]] == ["dense_1/kernel"]
    assert part["verdict"] == whole["verdict"]
    done = run("signal", TOUR, "--theory", "--filter", "dense_9")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith("= did you mean 'dense_3'?\n")
    with pytest.raises(NoSuchTensor):
        predict_signal(initcli.load(str(TOUR))).matching(["nothing"])


def test_inputs_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "x.npy"
    np.save(file, np.full((6, 128, 64), 2.0))
    spec = "input_shape: [128, 64]\nlayers:\n  - {type: Identity, name: same}\n"
    done = run("signal", "-", "--input", file, "--format", "json", text=spec)
    (only,) = json.loads(done.stdout)["layers"]
    assert only["shape"] == [6, 128, 64]
    assert only["output"]["mean"]["median"] == 2.0
    assert only["output"]["correlation"]["median"] == pytest.approx(1.0)
    named = tmp_path / "x.npz"
    np.savez(named, input=np.zeros((3, 128, 64)))
    done = run("signal", "-", "--input", named, "--format", "json", text=spec)
    assert json.loads(done.stdout)["batch"] == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((4, 127, 64)), "has shape (4, 127, 64), and the model takes (4, 128, 64)"),
        (np.full((4, 128, 64), np.nan), "must hold finite numbers"),
        (np.zeros((0, 128, 64)), "has no examples"),
        (np.array(3.0), "has no examples"),
        (np.array([["a"]]), "must hold numbers, not values of the type str32"),
        (np.array([{}], dtype=object), "cannot be read as NumPy's arrays"),
    ],
)
def test_inputs_that_do_not_fit(tmp_path: Path, content: Any, message: str) -> None:
    file = tmp_path / "x.npy"
    np.save(file, content, allow_pickle=True)
    done = run("signal", TOUR, "--input", file)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


def test_other_mistakes_of_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(b"PK nothing")
    for arguments, message in (
        (["--input", tmp_path / "absent.npy"], "there is no such file"),
        (["--input", tmp_path / "x.npz"], "cannot be read as NumPy's arrays"),
        (["--theory", "--input", "x.npy"], "nothing is sampled, so --input has no effect"),
        (["--out", "x.gif"], "the file's name must end in .png, .svg or .pdf"),
        (["--batch", "0"], "0 is not in the range"),
        (["--draws", "0"], "0 is not in the range"),
        (["--format", "xml"], "'xml' is not one of"),
    ):
        done = run("signal", TOUR, *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert message in re.sub(r"[\s│]+", " ", done.stderr)
    done = run("signal", TOUR, "--theory", "--out", tmp_path / "no" / "x.png")
    assert done.returncode == 2
    assert "cannot be written" in done.stderr


def test_pictures_are_whole_and_the_same_again(tmp_path: Path) -> None:
    for suffix in ("png", "svg"):
        file = tmp_path / f"signal.{suffix}"
        assert run("signal", TOUR, "--draws", "2", "--out", file).returncode == 0
        first = file.read_bytes()
        assert run("signal", TOUR, "--draws", "2", "--out", file).returncode == 0
        assert file.read_bytes() == first
    with Image.open(tmp_path / "signal.png") as image:
        assert image.size == (990, 704)
        colors = {color for _, color in image.convert("RGB").getcolors(1 << 20) or ()}
    assert {(0x5B, 0x8D, 0xB8), (0xC8, 0x43, 0x2B)} <= colors
    text = (tmp_path / "signal.svg").read_text("utf-8")
    assert all(word in text for word in ("measured", "predicted", "max_pooling1d", "gradient RMS"))
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["signal.png", "signal.svg"]


# Side by side


def test_compare_ranks_what_keeps_the_size_first(tmp_path: Path) -> None:
    hidden = {"type": "Dense", "units": 64, "activation": "relu"}
    spec = json.dumps({"input_shape": [64], "layers": [hidden] * 16})
    names = "glorot_uniform,he_normal,zeros"
    picture = tmp_path / "both.png"
    arguments = ("--kernel-initializer", names, "--draws", "2", "--format", "json")
    done = run("compare", "-", *arguments, "--out", picture, text=spec)
    found = json.loads(done.stdout)["variants"]
    assert [each["variant"] for each in found] == ["he_normal", "glorot_uniform", "zeros"]
    assert found[0]["verdict"]["std_ratio"] > 0.1 > found[1]["verdict"]["std_ratio"]
    with Image.open(picture) as image:
        assert image.size == (990, 704)
    table = run("compare", "-", *arguments[:4], text=spec, width=140).stdout.splitlines()
    assert table[1].split()[:2] == ["1", "he_normal"]
    text = run("compare", "-", *arguments[:4], "--format", "csv", text=spec).stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["variant"] for row in rows] == ["he_normal", "glorot_uniform", "zeros"]


def test_compare_varies_every_layer_but_what_must_stay(tmp_path: Path) -> None:
    inner = {
        "repeat": 2,
        "name": "block",
        "layers": [{"type": "Dense", "units": 16, "activation": "relu"}],
    }
    layers = [
        {"type": "Conv1D", "filters": 4, "kernel_size": 1, "activation": "relu"},
        {"type": "LeakyReLU", "name": "leaky"},
        inner,
        {"type": "Bidirectional", "layer": {"type": "GRU", "units": 4}},
        {"type": "Dense", "units": 3, "activation": "softmax"},
    ]
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({"input_shape": [4, 16], "layers": layers}), "utf-8")
    file = ROOT / "sample_configs" / "keras_tour.json"
    ((label, varied),) = initcli.variants(
        [str(spec)], kernel_initializers=["orthogonal"], activations=["tanh"]
    )
    assert label == "orthogonal · tanh"
    kernels = [
        p for p in varied.parameters if p.path.endswith("kernel") and "recurrent" not in p.path
    ]
    assert {str(p.initializer) for p in kernels} == {"Orthogonal(gain=1)"}
    kinds = {each.name: each.layer for each in varied.layers}
    assert type(kinds["conv1d"].activation).__name__ == "Tanh"  # type: ignore[attr-defined]
    assert type(kinds["leaky"]).__name__ == "Activation"
    assert type(kinds["dense"].activation).__name__ == "Softmax"  # type: ignore[attr-defined]
    ((_, keras),) = initcli.variants([str(file)], kernel_initializers=["he_normal"])
    assert {str(p.initializer) for p in keras.parameters if p.name == "kernel"} == {"HeNormal"}


def test_compare_takes_several_specs_and_defaults() -> None:
    lenet = ROOT / "sample_configs" / "lenet5.yaml"
    found = initcli.variants([str(TOUR), str(lenet)], defaults=["keras", "torch"])
    assert [label for label, _ in found] == [
        f"{path} · {name}" for path in (TOUR, lenet) for name in ("keras", "torch")
    ]
    assert [each.defaults for _, each in found] == ["keras", "torch"] * 2
    done = run("compare", TOUR, lenet, "--theory")
    assert done.returncode == 0
    assert "lenet5.yaml" in re.sub(r"\s+", "", done.stdout)


def test_compare_refuses_what_nobody_knows() -> None:
    with pytest.raises(initcli.InvalidSpec, match="unknown initializer 'he_unifrom'"):
        initcli.variants([str(TOUR)], kernel_initializers=["he_unifrom"])
    with pytest.raises(initcli.InvalidSpec, match="unknown activation 'rleu'"):
        initcli.variants([str(TOUR)], activations=["rleu"])
    done = run("compare", TOUR, "--defaults", "keras,pytorch")
    assert done.returncode == 2
    assert "'pytorch' is not one of 'keras', 'torch' or 'flax'" in re.sub(
        r"[\s│]+", " ", done.stderr
    )
    ((label, _),) = initcli.variants([str(TOUR)], kernel_initializers=["my_init"])
    assert label == "my_init"


# Every layer


CASES = layer_cases()


def refusal_or_signal(built: initcli.Model) -> str | Signal:
    try:
        return measure_signal(built, batch=4, draws=1)
    except SignalError as refused:
        return str(refused)


@pytest.mark.parametrize("kind", CASES)
def test_every_layer_is_predicted_and_measured_or_says_why_not(kind: str) -> None:
    for given_shape, arguments, *_ in CASES[kind]:
        several = given_shape and isinstance(given_shape[0], list)
        shapes = given_shape if several else [given_shape]
        inputs = {f"in{number}": shape for number, shape in enumerate(shapes)}
        entries = [{"type": "Input", "name": n, "shape": shape} for n, shape in inputs.items()]
        entry = {"type": kind, "inputs": list(inputs), **arguments, "name": "layer"}
        built = initcli.parse(json.dumps({"layers": [*entries, entry], "outputs": ["layer"]}))
        found = refusal_or_signal(built)
        if isinstance(found, str):
            assert re.match(r"the (signal|gradient) ends at 'layer': .|with sizes of", found)
        else:
            outputs = layer(found, "layer").output
            assert outputs is None or not math.isnan(outputs.std.median)


HUGE = {"type": "Constant", "value": 1e30}


@given(
    st.lists(
        st.sampled_from(
            [
                {"type": "Dense", "units": 3, "activation": "relu"},
                {"type": "Dense", "units": 3, "kernel_initializer": "zeros"},
                {"type": "Dense", "units": 3, "activation": "exponential"},
                {"type": "Dense", "units": 2, "activation": "softmax"},
                {
                    "type": "Dense",
                    "units": 3,
                    "kernel_initializer": HUGE,
                },
                {"type": "Dropout", "rate": 1},
                {"type": "BatchNormalization"},
                {"type": "LayerNormalization"},
                {"type": "UnitNormalization"},
                {"type": "Reshape", "target_shape": [-1, 1]},
                {"type": "Flatten"},
                {"type": "LSTM", "units": 2, "return_sequences": True},
                {"type": "Conv1D", "filters": 2, "kernel_size": 1},
                {"type": "MultiHeadAttention", "num_heads": 1, "key_dim": 2},
                {"type": "GlobalMaxPooling1D"},
                {"type": "ReLU"},
                {"type": "PReLU", "alpha_initializer": "ones"},
            ]
        ),
        min_size=1,
        max_size=7,
    )
)
@example(
    [
        {"type": "Dense", "units": 3, "kernel_initializer": "zeros"},
        {"type": "UnitNormalization"},
        {"type": "Dense", "units": 2, "activation": "softmax"},
    ]
)
@settings(max_examples=60, deadline=None)
def test_no_stack_is_too_odd(layers: list[dict[str, Any]]) -> None:
    try:
        built = model(*layers)
    except initcli.InvalidSpec:
        return
    assert initcli.verdict(predict_signal(built, batch=2)).text
    assert initcli.verdict(measure_signal(built, batch=2, draws=2)).text


@pytest.mark.parametrize(
    ("equation", "output_shape", "shape", "sizes"),
    [
        ("abc,cd->abd", "[null, 5]", "[9, 24]", (9, 5)),
        ("...bc,cd->...db", "[5, null]", "[9, 4]", (5, 9)),
        ("abcd,de->acbe", "[null, null, 7]", "[9, 5, 24]", (5, 9, 7)),
        ("ab...,bc->ac...", "3", "[8, 6]", (3, 6)),
    ],
)
def test_sizes_that_only_the_inputs_say_are_known_to_the_layers_behind(
    equation: str, output_shape: str, shape: str, sizes: tuple[int, ...]
) -> None:
    layer = f"{{type: EinsumDense, equation: '{equation}', output_shape: {output_shape}}}"
    steps = f"{{type: TimeDistributed, layer: {layer}}}"
    for kind, before in ((layer, ()), (steps, (2,))):
        given = f"[{''.join(f'{n}, ' for n in before)}{shape[1:]}"
        model = initcli.parse(f"input_shape: {given}\nlayers: [{kind}]\n")
        built = program(model, 2)
        assert built.shapes[-1] == (2, *before, *sizes)
        assert built.length is None
        (found,) = measure_signal(model, batch=2, draws=1).layers
        assert found.shape == (2, *before, *sizes)


def test_a_convolution_behind_open_sizes_has_a_gradient() -> None:
    signal = measure_signal(
        initcli.parse(
            "input_shape: [9, 24]\n"
            "layers:\n"
            "  - {type: EinsumDense, equation: 'abc,cd->abd', output_shape: [null, 24]}\n"
            "  - {type: Conv1D, filters: 6, kernel_size: 3, strides: 2, padding: same}\n"
        ),
        draws=1,
    )
    assert signal.layers[-1].shape[1:] == (5, 6)
    assert all(layer.gradient is not None for layer in signal.layers)
