"""Files of weights: what real libraries wrote is read as they read it, and errors are said."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import initcli
from error_cases.weights import damaged, entry, header, torch_archive
from initcli.checkpoint import Checkpoint
from initcli.limits import limited
from initcli.measuring.measure import measure
from initcli.reports.tensors import has_values
from initcli.sources.load import load
from initcli.sources.pairing import paired
from initcli.sources.weights.read import checkpoint
from initcli.stored import StoredTensor
from support.paths import REFERENCE, facts
from support.running import run

FILES = REFERENCE / "weights"
FACTS: dict[str, dict[str, Any]] = facts("weights_facts.json")


def read(file: Path) -> Checkpoint:
    found = checkpoint(str(file))
    assert found is not None
    return found


def digest(tensor: StoredTensor) -> str:
    values = tensor.read(0, tensor.size).astype(np.float64)
    return hashlib.sha256(np.where(np.isnan(values), np.nan, values).tobytes()).hexdigest()


BY_FILE = [name for name in FACTS if name not in ("keras.keras", "old.h5")]


@pytest.mark.parametrize("name", BY_FILE)
def test_tensors_are_those_that_the_library_reads(name: str) -> None:
    found = read(FILES / name)
    expected = FACTS[name]
    assert {tensor.path for tensor in found.tensors} == set(expected)
    for tensor in found.tensors:
        fact = expected[tensor.path]
        assert list(tensor.shape) == fact["shape"], tensor.path
        assert tensor.dtype == fact["dtype"], tensor.path
        assert digest(tensor) == fact["digest"], tensor.path


@pytest.mark.parametrize("name", BY_FILE)
def test_measurements_are_exact(name: str) -> None:
    for parameter, seen in measure(read(FILES / name).parameters):
        fact = FACTS[name][parameter.path]
        assert seen.entries == parameter.size
        if seen.count:
            assert seen.mean == pytest.approx(fact["mean"], rel=1e-12, abs=1e-12)
            assert seen.std == pytest.approx(fact["std"], rel=1e-12, abs=1e-12)
            assert int(seen.histogram.counts.sum()) == seen.count


@pytest.mark.parametrize("name", BY_FILE)
def test_a_part_of_a_tensor_is_the_same_as_in_the_whole(name: str) -> None:
    for tensor in read(FILES / name).tensors:
        whole = tensor.read(0, tensor.size)
        cut = tensor.size // 3
        parts = [tensor.read(0, cut), tensor.read(cut, tensor.size), tensor.read(cut, cut)]
        assert np.array_equal(np.concatenate(parts), whole, equal_nan=whole.dtype.kind == "f")


@pytest.mark.parametrize("name", ["keras.keras", "old.h5"])
def test_a_keras_model_has_its_own_values(name: str) -> None:
    file = FILES / name
    model = paired(load(str(file)), read(file))
    assert [each.path for each in model.parameters] == list(FACTS[name])
    for parameter in model.parameters:
        assert parameter.stored is not None
        assert digest(parameter.stored) == FACTS[name][parameter.path]["digest"]
        assert parameter.distribution is not None


def test_stored_values_stand_beside_what_is_declared_and_sample_draws_anew() -> None:
    file = FILES / "keras.keras"
    stored, sampled = (
        json.loads(run("summary", file, *option, "--format", "json").stdout)
        for option in ((), ("--sample",))
    )
    assert stored["model"]["source"] == "keras"
    kernel = stored["tensors"][0]
    assert (kernel["values"], kernel["initializer"]["type"]) == ("stored", "HeNormal")
    assert kernel["measured"]["mean"] == pytest.approx(FACTS["keras.keras"][kernel["path"]]["mean"])
    assert kernel["fit"]["p_value"] > 1e-3
    assert sampled["tensors"][0]["values"] == "sampled"
    assert sampled["tensors"][0]["measured"]["mean"] != kernel["measured"]["mean"]


def test_values_that_are_not_finite_are_counted_and_poison_nothing() -> None:
    report = json.loads(
        run("summary", FILES / "safetensors.safetensors", "--format", "json").stdout
    )
    assert report["model"] == {
        "name": "safetensors",
        "seed": None,
        "dtype": report["model"]["dtype"],
        "defaults": None,
        "source": "weights",
    }
    assert report["layers"] == []
    tensors = {each["path"]: each for each in report["tensors"]}
    # float8_e4m3fn has no infinity: PyTorch makes it the largest number.
    for kind, nans, infs in (("float64", 1, 1), ("bfloat16", 1, 1), ("float8_e4m3fn", 1, 0)):
        record = tensors[f"floats.{kind}"]
        measured = record["measured"]
        assert (measured["nans"], measured["infs"], measured["count"]) == (
            *(nans, infs),
            30 - nans - infs,
        )
        assert measured["zeros"] == 1
        assert sum(measured["histogram"]["counts"]) == measured["count"]
        assert record["values"] == "stored"
        assert [record[key] for key in ("initializer", "distribution", "fit", "match")] == [
            None
        ] * 4
    empty = tensors["empty"]["measured"]
    assert (empty["count"], empty["mean"], empty["min"], empty["histogram"]["counts"]) == (
        0,
        None,
        None,
        [],
    )


def test_every_file_is_shown_in_every_form(tmp_path: Path) -> None:
    for name in FACTS:
        for form in ("table", "csv", "markdown"):
            done = run("summary", FILES / name, "--format", form, "--quiet")
            assert (done.returncode, done.stderr) == (0, ""), name
    file = FILES / "safetensors.safetensors"
    assert "NaN" in run("hist", file).stdout
    done = run("hist", file, "--out", tmp_path / "plots", "--html")
    assert len(done.stdout.split()) == len(FACTS[file.name]) + 2
    assert done.stderr == ""


def test_far_values_do_not_hide_the_others(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=10_000).astype(np.float32)
    values[7] = 1e37
    np.save(tmp_path / "far.npy", values)
    ((_, seen),) = measure(read(tmp_path / "far.npy").parameters)
    assert seen.min == values.min()
    assert seen.max == np.float32(1e37)
    assert seen.visible[1] < 100
    # Quartiles of 1,000 of the values lie within 0.15 of the true ones but for one draw in 10⁶.
    assert seen.histogram.quantiles(0.25, 0.75) == pytest.approx([-0.674, 0.674], abs=0.15)
    assert "about 1 beyond the axis" in " ".join(run("hist", tmp_path / "far.npy").stdout.split())


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "u2", "i8"])
def test_many_values_are_measured_as_numpy_does(tmp_path: Path, dtype: str) -> None:
    values = (20 * np.random.default_rng(1).normal(size=(3, 100_003))).astype(dtype)
    np.save(tmp_path / "many.npy", values)
    (parameter,) = read(tmp_path / "many.npy").parameters
    ((_, seen),) = measure([parameter])
    with initcli.processes(2) as workers:
        ((_, again),) = measure([parameter], workers=workers)
    assert (seen.mean, seen.squares, seen.zeros) == (again.mean, again.squares, again.zeros)
    exact = values.astype(np.float64)
    assert seen.count == values.size
    assert seen.mean == pytest.approx(exact.mean(), rel=1e-9)
    assert seen.std == pytest.approx(exact.std(), rel=1e-9)
    assert (seen.min, seen.max) == (exact.min(), exact.max())
    assert seen.zeros == np.count_nonzero(exact == 0)
    counts = np.histogram(exact, seen.histogram.edges)[0]
    inner = slice(1, -2)  # values beyond count to the bins at the ends
    assert np.array_equal(counts[inner], seen.histogram.counts[inner])
    first = initcli.data_histogram(parameter, seen, bins=10)
    assert int(first.counts.sum()) == values.size


def test_ties_prefixes_and_hidden_parts_are_named() -> None:
    assert read(FILES / "torch.pt").notes == ("tied is tied to weight: both have the same bytes",)
    notes = read(FILES / "training.ckpt").notes
    assert notes == (
        "the weights are those under 'state_dict'; not shown: 'epoch' and 'optimizer'",
        "the prefix 'module.' of DataParallel is left out of all names",
    )


def test_tensors_with_the_same_values_are_named(tmp_path: Path) -> None:
    one = np.random.default_rng(0).normal(size=(4, 3))
    other = one.copy()
    other[0, 0] += other[1, 1] * 1e-15
    z = np.zeros(3)
    np.savez(tmp_path / "same.npz", a=one, b=one, c=other, d=one[:, ::-1], y=z, z=z)
    done = run("summary", tmp_path / "same.npz", "--format", "csv")
    assert done.stderr == "initcli: a and b have the same values\n"


def test_numbered_blocks_fold() -> None:
    table = run("summary", FILES / "huggingface", "--depth", "2").stdout
    assert "h.0 … h.2" in table
    assert "3 blocks of 6 layers and 12 tensors" in table


def test_only_what_a_filter_names_is_shown() -> None:
    done = run("summary", FILES / "huggingface", "--filter", "h.1.*.weight", "--format", "csv")
    assert len(done.stdout.splitlines()) == 7
    assert run("summary", FILES / "huggingface", "--filter", "zzz").returncode == 2


def test_options_of_sampling_are_refused() -> None:
    done = run("summary", FILES / "numpy.npz", "--seed", "3")
    assert done.returncode == 2
    assert "nothing is sampled" in done.stderr


@pytest.mark.parametrize("command", ["signal", "compare"])
@pytest.mark.parametrize("name", ["numpy.npz", "torch.pt", "keras.weights.h5", "onnx.onnx"])
def test_weights_alone_are_no_model(command: str, name: str) -> None:
    done = run(command, FILES / name)
    assert done.returncode == 2
    assert "this file has weights, but no model" in done.stderr


def test_nothing_of_a_pickle_is_run(tmp_path: Path) -> None:
    class Program:
        def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
            return os.system, (f"touch {tmp_path / 'was_run'}",)

    for protocol in (2, 4):
        content = pickle.dumps({"a": Program()}, protocol)
        with zipfile.ZipFile(tmp_path / "evil.pt", "w") as archive:
            archive.writestr("archive/data.pkl", content)
        (tmp_path / "bare.pt").write_bytes(content)
        for name in ("evil.pt", "bare.pt"):
            done = run("summary", tmp_path / name)
            assert done.returncode == 2
            assert "safetensors" in done.stderr
    assert not (tmp_path / "was_run").exists()


def doubled(times: int, end: bytes) -> bytes:
    """A pickle that doubles a tuple many times."""
    step = b"".join(b"q" + bytes([n]) + b"h" + bytes([n]) + b"\x86" for n in range(times))
    return b"\x80\x02)" + step + end


def itself() -> bytes:
    """A pickle of a mapping that holds itself."""
    return b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s."


@pytest.mark.parametrize(
    "pickled",
    [
        doubled(100, b"."),
        doubled(100, b"q\x00}h\x00K\x01s."),  # as a key, whose hash would take for ever
        itself(),
        b"\x80\x02r\xff\xff\xff\x7f.",  # an index of the memo that would take 16 GiB
        b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b".",  # a bytearray of a tebibyte
        b"\x80\x02" + b"(" * 100_000 + b".",
        b"\x80\x02\x8a\xff" + b"\xff" * 255 + b".",
        b"\x80\x04\x8d" + struct.pack("<Q", 1 << 62),
        b"\x80\x02ctorch\nFloatStorage\n)R.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(K\x01K\x02K\x03K\x04tR.",
        b"\x80\x02}(K\x01u.",
    ],
)
def test_a_hostile_pickle_takes_no_time_and_no_memory(tmp_path: Path, pickled: bytes) -> None:
    file = tmp_path / "hostile.pt"
    file.write_bytes(torch_archive(pickled))
    try:
        found = read(file)
    except initcli.InvalidSpec:
        return
    assert found.tensors == ()


@pytest.mark.parametrize(
    ("name", "content"),
    [pytest.param(name, content, id=title) for title, name, content in damaged()],
)
def test_a_damaged_file_is_one_error(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    done = run("summary", tmp_path / name)
    assert done.returncode == 2, done.stdout
    assert done.stderr.startswith(str(tmp_path / name)), done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("written", "listed"),
    [
        (["h.0", "h.1", "h.10", "h.2"], ["h.0", "h.1", "h.2", "h.10"]),
        (["wte", "h.1", "h.10", "h.2"], ["wte", "h.1", "h.10", "h.2"]),
        (["h.10", "h.2", "F16 h.1", "F16 h.3"], ["F16 h.1", "h.2", "F16 h.3", "h.10"]),
        (["embed", "layer", "head"], ["embed", "layer", "head"]),
    ],
    ids=["alphabetical", "of the model", "alphabetical for each dtype", "of the model, no numbers"],
)
def test_tensors_stand_in_the_order_of_the_model(
    written: list[str], listed: list[str], tmp_path: Path
) -> None:
    entries = {}
    for place, each in enumerate(written):
        dtype, name = each.split() if " " in each else ("F32", each)
        shape = [4 // (4 if dtype == "F32" else 2)]
        data_offsets = [4 * place, 4 * place + 4]
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": data_offsets}
    (tmp_path / "a.safetensors").write_bytes(header(entries, 4 * len(written)))
    expected = [each.removeprefix("F16 ") for each in listed]
    assert [tensor.path for tensor in read(tmp_path / "a.safetensors").tensors] == expected
    if not any("F16" in each for each in written):
        index = {"weight_map": dict.fromkeys(written, "a.safetensors")}
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
        found = read(tmp_path / "model.safetensors.index.json").tensors
        assert [tensor.path for tensor in found] == expected


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "bomb.npz", a=np.zeros(10_000_000, np.uint8))
    with limited(unpacked_bytes=1_000_000), pytest.raises(initcli.InvalidSpec, match="unpacks to"):
        read(tmp_path / "bomb.npz")


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    secret = tmp_path / "secret.safetensors"
    secret.write_bytes(header({"a": entry(0, 4)}, 4))
    (folder / "a.safetensors").symlink_to(secret)
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "a.safetensors"}}')
    with pytest.raises(initcli.InvalidSpec, match="outside its folder"):
        read(folder)
    # As in Hugging Face's cache: models--x/snapshots/REVISION beside models--x/blobs.
    cache = tmp_path / "cache" / "snapshots" / "revision"
    cache.mkdir(parents=True)
    blobs = tmp_path / "cache" / "blobs"
    blobs.mkdir()
    secret.rename(blobs / "0123")
    (cache / "a.safetensors").symlink_to(blobs / "0123")
    (cache / "model.safetensors.index.json").write_text('{"weight_map": {"a": "a.safetensors"}}')
    assert [tensor.path for tensor in read(cache).tensors] == ["a"]


def test_a_hostile_name_cannot_reach_the_terminal_or_the_disk(tmp_path: Path) -> None:
    name = "../\x1b[31mred\n\u202e"
    (tmp_path / "a.safetensors").write_bytes(header({name: entry(0, 4)}, 4))
    for options in ((), ("--format", "csv")):
        text = run("summary", tmp_path / "a.safetensors", *options).stdout
        assert all(sign.isprintable() or sign == "\n" for sign in text)
    done = run("hist", tmp_path / "a.safetensors", "--out", tmp_path / "plots", "--html")
    assert all(Path(line).parent == tmp_path / "plots" for line in done.stdout.split())
    assert run("hist", tmp_path / "a.safetensors").returncode == 0


def test_a_folder_needs_one_file_or_a_usual_name(tmp_path: Path) -> None:
    with pytest.raises(initcli.InvalidSpec, match="there are no weights"):
        read(tmp_path)
    for name in ("a.npy", "b.npy"):
        np.save(tmp_path / name, np.zeros(3))
    with pytest.raises(initcli.InvalidSpec, match="several files of weights"):
        read(tmp_path)
    (tmp_path / "b.npy").unlink()
    assert [tensor.path for tensor in read(tmp_path).tensors] == ["a"]


def test_a_dtype_that_is_not_known_is_listed_without_values(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", known=np.zeros(3), complex=np.zeros(3, complex))
    found = read(tmp_path / "a.npz")
    assert [has_values(each) for each in found.parameters] == [True, False]
    report = json.loads(run("summary", tmp_path / "a.npz", "--format", "json").stdout)
    assert [each["values"] for each in report["tensors"]] == ["stored", None]
    assert "complex128 cannot be read" in run("hist", tmp_path / "a.npz").stdout
