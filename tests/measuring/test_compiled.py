"""Compiled kernels: the same bits as NumPy, value by value and in what is measured."""

from __future__ import annotations

import ctypes
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import initcli
from initcli.checkpoint import Checkpoint
from initcli.measuring import compiled
from initcli.measuring.histogram import Grid
from initcli.measuring.kernel_interface import TOGETHER
from initcli.measuring.measure import measure
from initcli.measuring.measurement import Measurement
from initcli.parameter import Parameter
from initcli.random import variates
from initcli.random.streams import seeded_stream
from initcli.sampling.chunks import CHUNK
from initcli.sampling.workers import HERE, Workers, processes, threads
from initcli.stored import Held, StoredTensor

if sys.byteorder == "big":
    pytest.skip("kernels need a little-endian machine", allow_module_level=True)
pytest.importorskip("numba", reason="compiled kernels need Numba: pip install '.[fast]'")
import llvmlite

from initcli.measuring import numba_code

# Several groups of generators, one that is not full, and a rest of a chunk.
ROWS, COLUMNS = 6 * CHUNK + 100, 1
INITIALIZERS = [
    "{type: RandomUniform, minval: -0.05, maxval: 0.05}",
    "{type: RandomUniform, minval: 1, maxval: 3}",
    "{type: RandomUniform, minval: -1.0e-35, maxval: 0}",
    "{type: RandomNormal, stddev: 0.02}",
    "{type: RandomNormal, mean: -1.5, stddev: 0.3}",
    "{type: RandomNormal, stddev: 1.0e-40}",
    "{type: RandomNormal, stddev: 1.0e+20}",
    "{type: TruncatedNormal, stddev: 0.02}",
    "{type: TruncatedNormal, mean: 4, stddev: 2}",
    "glorot_normal",
    "he_uniform",
]


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_kernels", None)
    monkeypatch.setattr(compiled, "_has_failed", False)


@pytest.fixture
def kernels() -> Any:
    from initcli.measuring import numba_random as kernels

    return kernels


def kernel_of(initializer: str, dtype: str = "float32") -> Parameter:
    layer = f"{{type: Dense, units: {COLUMNS}, kernel_initializer: {initializer}, use_bias: false}}"
    spec = f"{{input_shape: [{ROWS}], dtype: {dtype}, layers: [{layer}]}}"
    return initcli.parse(spec).parameters[0]


def measured(parameter: Parameter, workers: Workers = HERE, **options: Any) -> Measurement:
    ((_, measurement),) = measure([parameter], workers=workers, **options)
    return measurement


def same(one: Measurement, two: Measurement) -> bool:
    return (
        msgspec.structs.replace(one, histogram=two.histogram) == two
        and np.array_equal(one.histogram.counts, two.histogram.counts)
        and np.array_equal(one.histogram.edges, two.histogram.edges)
    )


@pytest.mark.parametrize("initializer", INITIALIZERS)
def test_a_measurement_has_the_same_bits(initializer: str) -> None:
    parameter = kernel_of(initializer)
    by_numpy = measured(parameter)
    assert compiled.load()
    assert same(measured(parameter), by_numpy)


def test_stored_values_have_the_same_bits() -> None:
    rng = np.random.default_rng(0)
    plain = (0.02 * rng.standard_normal(5 * CHUNK + 100)).astype(np.float32)
    plain[7], plain[CHUNK] = 0, 1e30
    broken = plain.copy()
    broken[[3, 2 * CHUNK]] = np.nan, np.inf
    for values in (plain, broken, plain[:100], plain * np.float32(1e-20)):
        shape = values.shape
        stored = StoredTensor(path="a", shape=shape, dtype="float32", storage=Held(values))
        parameter = Checkpoint(name="a", tensors=(stored,)).parameters[0]
        compiled._kernels = None
        by_numpy = measured(parameter)
        assert compiled.load()
        assert same(measured(parameter), by_numpy)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int16", "uint16", "uint8"])
def test_stored_values_of_few_bits_have_the_same_counts(dtype: str) -> None:
    bits = np.random.default_rng(0).integers(1 << 16, size=5 * CHUNK + 101).astype(np.uint16)
    for each in (bits, np.full(300_001, 7, np.uint16)):
        values: Any = each if dtype == "bfloat16" else each.view(dtype)
        stored = StoredTensor(path="a", shape=values.shape, dtype=dtype, storage=Held(values))
        parameter = Checkpoint(name="a", tensors=(stored,)).parameters[0]
        compiled._kernels = None
        by_numpy = measured(parameter)
        assert compiled.load()
        assert same(measured(parameter), by_numpy)


def test_most_initializers_have_a_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled.load()
    done: list[Parameter] = []
    of_compiled = compiled.measured

    def noted(parameter: Parameter, *rest: Any) -> Iterator[Any]:
        done.append(parameter)
        return of_compiled(parameter, *rest)

    monkeypatch.setattr(compiled, "measured", noted)
    for initializer in INITIALIZERS:
        measured(kernel_of(initializer))
    for initializer, dtype in (("ones", "float32"), ("random_normal", "float16")):
        measured(kernel_of(initializer, dtype))
    # Bins of numbers as small or large as these do not fit float32.
    beyond = [each for each in INITIALIZERS if "1.0e-" in each]
    assert len(done) == len(INITIALIZERS) - len(beyond)


@pytest.mark.parametrize("several", [threads, processes])
def test_threads_and_processes_have_the_same_bits(several: Callable[[int], Any]) -> None:
    parameter = kernel_of("random_normal")
    by_numpy = measured(parameter)
    compiled.load()
    with several(2) as workers:
        assert same(measured(parameter, workers), by_numpy)


def test_threads_do_what_kernels_do_nearly_alone() -> None:
    enough = compiled.WORTH
    drawn, rounded = kernel_of("random_normal"), kernel_of("random_normal", "float16")
    assert compiled.prepare([(drawn, enough), (rounded, enough // 100)])
    assert not compiled.prepare([(drawn, enough), (rounded, enough // 2)])
    assert not compiled.prepare([(rounded, enough)])
    assert not compiled.prepare([(drawn, enough // 2)])


def test_the_first_entries_of_a_tensor(monkeypatch: pytest.MonkeyPatch) -> None:
    parameter = kernel_of("he_normal")
    for entries in (10, CHUNK, 3 * CHUNK + 1):
        monkeypatch.setattr(compiled, "_kernels", None)
        by_numpy = measured(parameter, max_entries=entries)
        compiled.load()
        assert same(measured(parameter, max_entries=entries), by_numpy)


def test_a_chunk_that_needs_more_numbers_is_drawn_by_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled.load()
    expected = CHUNK * (1 - 0.9545)
    monkeypatch.setattr(variates, "spares", lambda size, kept: round(expected / kept))
    parameter = kernel_of("{type: TruncatedNormal, stddev: 0.02}")
    with monkeypatch.context() as without:
        without.setattr(compiled, "_kernels", None)
        without.setattr(compiled, "_has_failed", True)
        by_numpy = measured(parameter)
    grid = Grid.over(-0.04, 0.04, 1024)
    counts = np.zeros(grid.bins, np.int64)
    sums = list(compiled.measured(parameter, range(6), grid, 0.0, counts))
    # About half of the chunks have too few spare numbers.
    assert 0 < sums.count(None) < 6
    assert counts.sum() == CHUNK * (6 - sums.count(None))
    assert same(measured(parameter), by_numpy)


@pytest.mark.parametrize("size", [CHUNK, CHUNK + 3454])
def test_values(kernels: Any, size: int) -> None:
    states = np.empty((4, TOGETHER), np.uint64)
    pool = np.empty(4, np.uint32)
    for k in range(TOGETHER):
        entropy = np.frombuffer(seeded_stream(k).entropy(0), np.uint32)
        kernels.seed(entropy, pool, states.reshape(-1)[k:])
    words = np.empty((TOGETHER, size // 2), np.uint64)
    kernels.random_words(states.ctypes.data, words.ctypes.data, size // 2)
    for k in range(TOGETHER):
        drawn = seeded_stream(k).generator().bit_generator.random_raw(size // 2)
        assert np.array_equal(words[k], drawn)
    raw = words[3].view(np.uint32)
    by_kernels: list[Callable[[Any], None]] = [
        lambda out: kernels.normal(raw, out, np.float32(0.1)),
        lambda out: kernels.uniform(raw, out, np.float32(3 * 2.0**-32), np.float32(0.5)),
    ]
    by_numpy = fill(variates.fill_normal, 0, 0.05), fill(variates.fill_uniform, -1, 2)
    for ours, theirs in zip(by_kernels, by_numpy, strict=True):
        one, two = np.empty(size, np.float32), np.empty(size, np.float32)
        ours(one)
        theirs(two)
        assert np.array_equal(one, two)


@pytest.mark.parametrize("words", range(9))
def test_seeds(kernels: Any, words: int) -> None:
    entropy = np.zeros(8, np.uint32)
    entropy[:words] = np.random.default_rng(words).integers(1, 2**32, words)
    states = np.empty((4, TOGETHER), np.uint64)
    kernels.seed(entropy, np.empty(4, np.uint32), states.reshape(-1))
    seeded: Any = np.random.SFC64(
        np.random.SeedSequence(int.from_bytes(entropy.tobytes(), "little"))
    )
    assert np.array_equal(states[:, 0], seeded.state["state"]["state"])


def fill(function: Callable[..., None], *arguments: float) -> Callable[[Any], None]:
    return lambda out: function(seeded_stream(3).generator(), out, *arguments)


def test_the_tails_are_drawn_with_more_bits(kernels: Any) -> None:
    # All small words, which one number in two million has: further bits decide.
    raw = np.arange(2 * 4096, dtype=np.uint32).repeat(2)
    raw[raw.size // 2 :] = seeded_stream(0).generator().integers(2**32, size=raw.size // 2)

    class Words:
        def random_raw(self, count: int) -> Any:
            return raw.copy().view(np.uint64)

    class Generator:
        bit_generator = Words()

    one, two = np.empty(raw.size, np.float32), np.empty(raw.size, np.float32)
    kernels.normal(raw, one, np.float32(2))
    variates.fill_normal(Generator(), two, 0, 1)  # type: ignore[arg-type]
    assert np.array_equal(one, two)
    assert np.abs(one).max() > 5


def test_without_numba_numpy_draws(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "initcli.measuring.numba_code", None)
    with caplog.at_level(logging.DEBUG, "initcli"):
        compiled.prepare([(kernel_of("random_normal"), compiled.WORTH)])
        assert not compiled.is_loaded()
        compiled.prepare([(kernel_of("random_normal"), compiled.WORTH)])
    (record,) = caplog.records
    assert "compiled kernels are not used" in record.message
    assert measured(kernel_of("random_normal")).count == ROWS


def test_kernels_that_draw_other_values_are_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sound = numba_code.load()

    def otherwise(kind: int, entropy: int, numbers: int, *rest: Any) -> None:
        (ctypes.c_float * 4).from_address(numbers)[0] *= 1.0001
        sound.measure(kind, entropy, numbers, *rest)

    monkeypatch.setattr(numba_code, "load", lambda: sound._replace(measure=otherwise))
    with caplog.at_level(logging.DEBUG, "initcli"):
        assert not compiled.load()
    assert "other values than NumPy" in caplog.text


def test_little_work_loads_nothing() -> None:
    compiled.prepare([(kernel_of("random_normal"), compiled.WORTH - 1)])
    assert not compiled.is_loaded()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user whose code is not yet made, and soon is: to compile it takes seconds."""
    kept, codes = numba_code._kept, []

    def noted(*key: Any) -> bytes:
        codes.append(kept(*key))
        return codes[0]

    with monkeypatch.context() as noting:
        noting.setattr(numba_code, "_kept", noted)
        numba_code.load()
    monkeypatch.setattr(numba_code, "_made", lambda _: codes[0])
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    return numba_code._folder()


def test_code_is_made_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert compiled.load()
    (file,) = folder.iterdir()
    monkeypatch.delattr(numba_code, "_made")
    monkeypatch.setattr(compiled, "_kernels", None)
    assert compiled.load()
    # In another process: without Numba.
    program = """
import sys
from initcli.measuring import compiled
print(compiled.load(), "numba" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.split() == ["True", "False"], done.stderr
    assert list(folder.iterdir()) == [file]


def test_damaged_code_is_made_anew(folder: Path) -> None:
    numba_code.load()
    (file,) = folder.iterdir()
    sound = file.read_bytes()
    for damaged in (b"", sound[:-1], sound[:99] + b"x" + sound[100:]):
        file.write_bytes(damaged)
        numba_code.load()
        assert file.read_bytes() == sound


def test_code_of_another_processor_is_not_loaded(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numba_code.load()
    (file,) = folder.iterdir()
    sound = file.read_bytes()
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(llvmlite, "__version__", "0")
        numba_code.load()
    (other,) = set(folder.iterdir()) - {file}
    other.replace(file)
    numba_code.load()
    assert file.read_bytes() == sound


@pytest.mark.skipif(sys.platform == "win32", reason="profiles belong to their users")
def test_code_in_a_folder_of_others_is_not_loaded(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder.chmod(0o777)
    with caplog.at_level(logging.DEBUG, "initcli"):
        assert not compiled.load()
    assert "PermissionError: other users can write to" in caplog.text
    assert not list(folder.iterdir())
