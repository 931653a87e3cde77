"""Exporting: the values that are drawn, in files that others read, written whole or not at all."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
from numpy.typing import NDArray

import initcli
from initcli.errors import OutputError, TooLarge
from initcli.initializers import (
    Constant,
    Custom,
    Initializer,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    Zeros,
)
from initcli.parameter import Parameter
from initcli.sampling.chunks import CHUNK, draw, draw_chunks
from initcli.types import TensorDtype
from support.paths import SAMPLES, TOUR
from support.running import run, run_process, start

SUFFIXES = [".npz", ".safetensors"]
DTYPES: list[TensorDtype] = ["float16", "bfloat16", "float32", "float64", "int32", "int64"]
HALVES = "{input_shape: [4], dtype: bfloat16, layers: [{type: Dense, units: 3}]}"


def parameter(
    path: str,
    shape: tuple[int, ...] = (3,),
    initializer: Initializer | None = None,
    dtype: TensorDtype = "float32",
) -> Parameter:
    return Parameter(path=path, shape=shape, initializer=initializer or RandomNormal(), dtype=dtype)


def exported(file: Path, *parameters: Parameter) -> list[str]:
    return initcli.export(initcli.parse(HALVES), file, only=parameters)


def arrays(file: Path) -> dict[str, NDArray[Any]]:
    """What a file holds, as its own library reads it; bfloat16 as float32."""
    if file.suffix == ".npz":
        with np.load(file) as found:
            return {path: found[path] for path in found}
    tensors = {}
    for path, tensor in safetensors.deserialize(file.read_bytes()):  # type: ignore[no-untyped-call]
        kind = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "I32": "<i4", "I64": "<i8", "BF16": "<u2"}
        values = np.frombuffer(tensor["data"], kind[tensor["dtype"]]).reshape(tensor["shape"])
        if tensor["dtype"] == "BF16":
            values = (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
        tensors[path] = values
    return tensors


def backwards(shape: tuple[int, ...]) -> NDArray[Any]:
    """Values that do not lie in memory as they are listed."""
    return np.arange(float(np.prod(shape)))[::-1].reshape(shape)


# ------------------------------------------------------------------------ values


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_file_holds_what_is_drawn_bit_for_bit(
    tmp_path: Path, dtype: TensorDtype, suffix: str
) -> None:
    wide = RandomUniform(minval=-500.0, maxval=500.0)
    wanted = [
        parameter("several chunks", (3, CHUNK + 7), wide, dtype),
        parameter("one chunk", (CHUNK,), wide, dtype),
        parameter("made whole", (2, 40_000), Orthogonal(gain=9000.0), dtype),
        parameter(
            "a function's", (1500,), Custom(name="f", file="own.py", function=backwards), dtype
        ),
        parameter("a scalar", (), Constant(value=-3.0), dtype),
        parameter("no entries", (0, 3), Zeros(), dtype),
    ]
    exported(tmp_path / f"w{suffix}", *wanted)
    found = arrays(tmp_path / f"w{suffix}")
    assert set(found) == {each.path for each in wanted}
    stored = np.dtype("float32" if dtype == "bfloat16" else dtype)
    for each in wanted:
        if each.size:
            expected = draw(each).astype(stored)
            assert np.count_nonzero(expected)
            assert found[each.path].tobytes() == expected.tobytes()
        assert found[each.path].shape == each.shape
        assert found[each.path].dtype == stored


def test_a_member_is_the_file_that_numpy_would_save(tmp_path: Path) -> None:
    for each in (parameter("a", (3, 4, 5)), parameter("a", ()), parameter("a", dtype="float64")):
        exported(tmp_path / "w.npz", each)
        expected = io.BytesIO()
        np.save(expected, draw(each))
        with zipfile.ZipFile(tmp_path / "w.npz") as archive:
            assert archive.testzip() is None
            assert archive.read("a.npy") == expected.getvalue()
            assert archive.getinfo("a.npy").date_time == (1980, 1, 1, 0, 0, 0)


def test_an_npz_file_is_in_the_order_of_the_model(tmp_path: Path) -> None:
    model = initcli.load(str(SAMPLES / "keras_mobilenetv2.json"))
    initcli.export(model, tmp_path / "w.npz")
    with np.load(tmp_path / "w.npz") as found:
        assert list(found) == [each.path for each in model.parameters]
        for each in model.parameters:
            np.testing.assert_array_equal(found[each.path], draw(each))


def test_safetensors_reads_by_name_and_knows_what_it_is(tmp_path: Path) -> None:
    model = initcli.load(str(TOUR))
    initcli.export(model, tmp_path / "w.safetensors")
    library: Any = safetensors
    with library.safe_open(tmp_path / "w.safetensors", framework="np") as found:
        assert found.metadata() == {"format": "np"}
        assert set(found.keys()) == {each.path for each in model.parameters}
        for each in model.parameters:
            np.testing.assert_array_equal(found.get_tensor(each.path), draw(each))


def test_a_safetensors_file_is_laid_out_as_its_format_says(tmp_path: Path) -> None:
    dtypes: list[TensorDtype] = ["int8", "float32", "bfloat16", "float64", "uint8", "float16"]
    wanted = [parameter(f"{dtype}/k", (3, 5), Constant(value=2.0), dtype) for dtype in dtypes]
    wanted.append(parameter("none", (0, 3), Zeros()))
    exported(tmp_path / "w.safetensors", *wanted)
    content = (tmp_path / "w.safetensors").read_bytes()
    length = int.from_bytes(content[:8], "little")
    assert length % 8 == 0
    header = json.loads(content[8 : 8 + length])
    assert header.pop("__metadata__") == {"format": "np"}
    assert list(header) == [each.path for each in wanted]
    end = 0
    for each in sorted(header.values(), key=lambda each: each["data_offsets"]):
        start, stop = each["data_offsets"]
        assert start == end
        width = int(each["dtype"].lstrip("BFIU")) // 8
        assert start % width == 0
        end = stop
        assert stop - start == width * int(np.prod(each["shape"]))
    assert 8 + length + end == len(content)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_tensors_of_several_dtypes_are_told_apart(tmp_path: Path, suffix: str) -> None:
    values = RandomUniform(minval=-500.0, maxval=500.0)
    wanted = [
        parameter(f"{name}/{dtype}", (7, 5), values, dtype) for name in "ba" for dtype in DTYPES
    ]
    exported(tmp_path / f"w{suffix}", *wanted)
    found = arrays(tmp_path / f"w{suffix}")
    assert len(found) == len(wanted)
    for each in wanted:
        np.testing.assert_array_equal(found[each.path], draw(each))


def test_bfloat16_is_bfloat16_where_it_can_be_and_said_where_it_cannot(tmp_path: Path) -> None:
    model = initcli.parse(HALVES)
    assert initcli.export(model, tmp_path / "w.safetensors") == []
    library: Any = safetensors
    found = dict(library.deserialize((tmp_path / "w.safetensors").read_bytes()))
    assert {tensor["dtype"] for tensor in found.values()} == {"BF16"}
    assert found["dense/kernel"]["shape"] == [4, 3]
    said = "NumPy has no bfloat16, so {} stored as float32, with the same numbers"
    assert initcli.export(model, tmp_path / "w.npz") == [said.format("2 tensors are")]
    assert initcli.export(model, tmp_path / "w.npz", only=model.parameters[:1]) == [
        said.format("1 tensor is")
    ]
    assert initcli.export(initcli.load(str(TOUR)), tmp_path / "w.npz") == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_progress_is_told_of_every_weight_once(tmp_path: Path, suffix: str) -> None:
    told: list[int] = []
    wanted = [parameter("a", (3, CHUNK)), parameter("b", (90, 80), Orthogonal()), parameter("c")]
    model = initcli.parse(HALVES)
    initcli.export(model, tmp_path / f"w{suffix}", only=wanted, progress=told.append)
    assert sum(told) == sum(each.size for each in wanted)
    assert max(told) <= CHUNK


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_model_without_weights_has_a_file_without_tensors(tmp_path: Path, suffix: str) -> None:
    assert exported(tmp_path / f"w{suffix}") == []
    assert arrays(tmp_path / f"w{suffix}") == {}


@pytest.mark.skipif(sys.platform != "linux", reason="what is resident is counted as Linux does")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_memory_stays_at_some_chunks_however_large_a_tensor_is(tmp_path: Path, suffix: str) -> None:
    code = f"""
import re
from pathlib import Path
import initcli
def peak(units):
    layer = f"{{{{type: Dense, units: {{units}}, use_bias: false}}}}"
    model = initcli.parse(f"{{{{input_shape: [1024], layers: [{{layer}}]}}}}")
    initcli.export(model, Path({str(tmp_path / f"w{suffix}")!r}))
    # Of this program alone: ru_maxrss begins with that of who started it.
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
print(peak(1024), peak({128 * CHUNK // 1024}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    small, large = map(int, done.stdout.split())
    chunk = 4 * CHUNK
    assert (tmp_path / f"w{suffix}").stat().st_size > 128 * chunk
    assert large - small < 32 * chunk


# ------------------------------------------------------------------------ files


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_same_spec_and_seed_give_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    contents: list[bytes] = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        file = tmp_path / f"{name}{suffix}"
        arguments = ("export", TOUR, "--out", file, "--seed", str(seed))
        assert run_process(*arguments, PYTHONHASHSEED=str(len(contents))).returncode == 0
        contents.append(file.read_bytes())
    assert contents[0] == contents[1] != contents[2]


NAMES = [
    "ü/核/🦊",
    "../../outside",
    "/absolute",
    r"C:\windows\system",
    "a b/.",
    "a//b",
    "con",
    "A/k",
    "a/k",
    "quote\"'",
    "x" * 60_000,
]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_any_path_is_a_name_and_leads_nowhere(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / "in" / f"w{suffix}"
    file.parent.mkdir()
    wanted = [parameter(name) for name in NAMES]
    exported(file, *wanted)
    found = arrays(file)
    for each in wanted:
        np.testing.assert_array_equal(found.pop(each.path), draw(each))
    assert not found
    assert list(tmp_path.rglob("*")) == [file.parent, file]
    if suffix == ".npz":
        exported(file, *wanted[:-1])  # no file system takes the last
        with zipfile.ZipFile(file) as archive:
            archive.extractall(file.parent / "all")
        assert {each.name for each in tmp_path.iterdir()} == {"in"}
        assert {each.name for each in file.parent.iterdir()} == {file.name, "all"}
        assert not Path("/absolute.npy").exists()


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", ["a\0b", "\ud800", "é" * 32_767], ids=["NUL", "surrogate", "long"])
def test_a_path_that_no_file_can_hold_is_refused(tmp_path: Path, name: str, suffix: str) -> None:
    with pytest.raises(OutputError, match="cannot be a name in a file") as raised:
        exported(tmp_path / f"w{suffix}", parameter(name))
    assert str(raised.value).isprintable()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("initializer", [RandomNormal(), Orthogonal()], ids=str)
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_what_goes_wrong_midway_leaves_the_old_file_and_nothing_else(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    suffix: str,
    initializer: Initializer,
    error: BaseException,
) -> None:
    file = tmp_path / f"w{suffix}"
    file.write_text("mine")
    seen: list[set[str]] = []

    def failing(parameter: Parameter, chunks: range) -> Iterator[NDArray[Any]]:
        for count, values in enumerate(draw_chunks(parameter, chunks)):
            if count == 1:
                seen.append({each.name for each in tmp_path.iterdir()})
                raise error
            yield values

    monkeypatch.setattr("initcli.render.weights_file.draw_chunks", failing)
    expected = OutputError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        exported(file, parameter("a", (300, 400), initializer))
    assert len(seen[0]) == 2, "it was writing beside the old file"
    assert [each.name for each in tmp_path.iterdir()] == [file.name]
    assert file.read_text() == "mine"


@pytest.mark.skipif(os.name == "nt", reason="limits are those of POSIX")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_that_the_system_cuts_short_is_an_error(tmp_path: Path, suffix: str) -> None:
    import resource

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    with start("export", TOUR, "--out", tmp_path / f"w{suffix}", preexec_fn=limit) as process:
        stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (2, "")
    assert stderr.startswith(f"{tmp_path / f'w{suffix}'}: cannot be written: ")
    assert "File too large" in stderr
    assert stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_the_disk_has_no_room_for_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    usage = namedtuple("usage", "free")
    model = initcli.parse(HALVES)
    needed = 4 * 1_000_000
    many = [parameter("a", (1_000_000,))]
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(needed - 1))
    with pytest.raises(OutputError, match=r"it takes 3\.8 MiB, and 3\.8 MiB of the disk are free"):
        initcli.export(model, tmp_path / f"w{suffix}", only=many)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(needed))
    initcli.export(model, tmp_path / f"w{suffix}", only=many)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_does_not_fit_in_memory_is_not_begun(tmp_path: Path, suffix: str) -> None:
    wanted = (parameter("a"), parameter("b", (2**22, 2**22), Orthogonal()))
    with pytest.raises(TooLarge, match="b must be held whole"):
        exported(tmp_path / f"w{suffix}", *wanted)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="file modes are those of POSIX")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_file_gets_the_usual_mode(tmp_path: Path, suffix: str) -> None:
    exported(tmp_path / f"w{suffix}", parameter("a"))
    (tmp_path / "usual").touch()
    assert {each.stat().st_mode for each in tmp_path.iterdir()} == {
        (tmp_path / "usual").stat().st_mode
    }


# ------------------------------------------------------------------------ the command


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".NPZ"])
def test_the_command_prints_the_path_and_nothing_else(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"w{suffix}"
    shown = run("export", TOUR, "--out", file)
    assert (shown.returncode, shown.stdout, shown.stderr) == (0, f"{file}\n", "")
    assert list(tmp_path.iterdir()) == [file]


def test_the_command_takes_what_the_others_take(tmp_path: Path) -> None:
    file = tmp_path / "w.npz"
    custom = ("--custom", SAMPLES / "my_inits.py")
    shown = run(
        *("export", SAMPLES / "tour_custom.yaml", "--out", file, "--seed", "3", *custom),
        *("--defaults", "torch", "--filter", "dense*/bias", "--filter", "conv1d/kernel"),
    )
    assert shown.returncode == 0, shown.stderr
    model = initcli.load(
        str(SAMPLES / "tour_custom.yaml"),
        seed=3,
        defaults="torch",
        custom=[str(SAMPLES / "my_inits.py")],
    )
    wanted = {each.path: each for each in model.matching(["dense*/bias", "conv1d/kernel"])}
    found = arrays(file)
    assert list(found) == list(wanted) == ["conv1d/kernel", "dense/bias", "dense_1/bias"]
    for path, values in found.items():
        np.testing.assert_array_equal(values, draw(wanted[path]))
    missed = run("export", TOUR, "--out", tmp_path / "none.npz", "--filter", "dense/kernle")
    assert (missed.returncode, missed.stdout) == (2, "")
    assert "did you mean" in missed.stderr
    assert list(tmp_path.iterdir()) == [file]


def test_notes_go_to_standard_error(tmp_path: Path) -> None:
    shown = run("export", "-", "--out", "w.npz", text=HALVES, cwd=tmp_path)
    assert (shown.returncode, shown.stdout) == (0, "w.npz\n")
    assert shown.stderr == (
        "initcli: NumPy has no bfloat16, so 2 tensors are stored as float32, with the same "
        "numbers\n"
    )


@pytest.mark.parametrize("name", ["w.txt", "npz", ".npz", "w.npz.gz"])
def test_another_suffix_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match=r"must end in \.npz or \.safetensors"):
        exported(tmp_path / name, parameter("a"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["w.txt", ""])
def test_another_suffix_is_a_wrong_command_line(tmp_path: Path, name: str) -> None:
    shown = run("export", TOUR, "--out", name, cwd=tmp_path)
    assert (shown.returncode, shown.stdout) == (2, "")
    assert "--out" in shown.stderr
    assert ".npz or .safetensors" in " ".join(shown.stderr.replace("│", "").split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_that_cannot_be_there_is_an_error(tmp_path: Path, suffix: str) -> None:
    missing = tmp_path / "missing" / f"w{suffix}"
    shown = run("export", TOUR, "--out", missing)
    assert (shown.returncode, shown.stdout) == (2, "")
    assert shown.stderr == f"{missing}: cannot be written: there is no folder {missing.parent}\n"
    folder = tmp_path / f"folder{suffix}"
    folder.mkdir()
    with pytest.raises(OutputError) as raised:
        exported(folder, parameter("a"))
    assert str(raised.value) == f"{folder}: cannot be written: it is a folder"
    assert list(tmp_path.rglob("*")) == [folder]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for another process")
@pytest.mark.parametrize(
    ("kernel", "suffix"),
    [("he_normal", ".npz"), ("he_normal", ".safetensors"), ("orthogonal", ".npz")],
)
def test_an_interrupt_ends_at_once_and_leaves_nothing(
    tmp_path: Path, kernel: str, suffix: str
) -> None:
    layer = {"type": "Dense", "units": 8000, "kernel_initializer": kernel}
    (tmp_path / "large.json").write_text(json.dumps({"input_shape": [8000], "layers": [layer] * 4}))
    out = tmp_path / "out"
    out.mkdir()
    with start("export", tmp_path / "large.json", "--out", out / f"w{suffix}") as process:
        while not any(out.iterdir()) and process.poll() is None:
            time.sleep(0.01)
        time.sleep(0.3)  # It is in the midst of a gigabyte by now, or of a matrix.
        process.send_signal(signal.SIGINT)
        begun = time.monotonic()
        assert process.wait(60) == 130
        assert time.monotonic() - begun < 10
        assert process.stdout is not None
        assert process.stderr is not None
        assert (process.stdout.read(), process.stderr.read()) == ("", "")
    assert list(out.iterdir()) == []
