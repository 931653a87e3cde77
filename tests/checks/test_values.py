"""Checks of stored values: each finds what was planted and leaves sound files alone."""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from initcli import parse
from initcli.checks import Check, Report, check
from initcli.sampling.chunks import CHUNK
from initcli.sources.pairing import held_to
from support.paths import REFERENCE
from support.running import run
from support.stacks import VALUE_CHECKS, of_value_example, stored


def codes(report: Report) -> list[str]:
    return [finding.code for finding in report.findings]


@pytest.mark.parametrize("rule", VALUE_CHECKS, ids=lambda rule: rule.code)
def test_a_check_reports_one_of_its_examples_and_not_the_other(
    rule: type[Check], tmp_path: Path
) -> None:
    report = check(of_value_example(rule.example("Reported"), tmp_path))
    # Nothing else is wrong with the example.
    assert set(codes(report)) == {rule.code}
    found = report.findings[0]
    assert found.tensor is not None
    assert found.tensor in found.message
    assert re.search(r"\d", found.message)
    assert found.why == rule.why()
    assert found.remedy
    assert re.search(r"\d{4}|#\d+", rule.sections()["References"]), "a paper or an issue says so"
    assert check(of_value_example(rule.example("Not reported"), tmp_path)).findings == ()


def random(seed: int, *shape: int) -> Any:
    return np.random.default_rng(seed).normal(0, 0.02, shape).astype(np.float32)


def test_memory_that_nothing_wrote_to_is_found(tmp_path: Path) -> None:
    garbage = np.random.default_rng(0).integers(0, 1 << 22, (32, 32), np.uint32)
    report = check(stored(tmp_path, weight=garbage.view(np.float32)))
    assert codes(report) == ["I606"]
    assert "subnormal" in report.findings[0].message
    half = random(0, 64, 64)
    half[1, 1] = 3000
    report = check(stored(tmp_path, **{"fc.weight": half, "fc.mask": half * 1e9}))
    assert [each.tensor for each in report.findings] == ["fc.weight"]


def test_heavy_tails_of_sound_weights_are_not_outliers(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = {f"{df}.weight": 0.02 * rng.standard_t(df, (256, 256)) for df in (2, 3, 30)}
    assert check(stored(tmp_path, **values)).findings == ()


def test_a_projection_behind_attention_is_no_table_of_positions(tmp_path: Path) -> None:
    same = random(0, 16, 16)
    tensors = {"post_attention.weight": same, "attention.key.weight": same.copy()}
    assert codes(check(stored(tmp_path, **tensors))) == ["I603"]
    tensors = {"pos_embedding.weight": same, "attention.key.weight": same.copy()}
    assert codes(check(stored(tmp_path, **tensors))) == []


def test_rows_of_packed_experts_and_tied_tensors(tmp_path: Path) -> None:
    experts = np.stack([random(seed, 16, 16) for seed in (0, 1, 1, 2)])
    report = check(stored(tmp_path, **{"mlp.experts": experts}))
    assert codes(report) == ["I604"]
    assert "2 of 4 rows of mlp.experts are the same row" in report.findings[0].message
    long = random(0, 3, CHUNK + 5)
    long[2] = long[0]
    assert codes(check(stored(tmp_path, **{"mlp.experts": long}))) == ["I604"]
    long[2, -1] += 1
    long[1] = 0
    assert check(stored(tmp_path, **{"mlp.experts": long})).findings == ()
    padded = random(0, 16, 16)
    padded[[3, 5]] = 0
    assert check(stored(tmp_path, **{"embed.weight": padded})).findings == ()
    # Eight values of 2 that repeat by chance are no finding.
    signs = np.sign(random(0, 4000, 2))
    assert check(stored(tmp_path, **{"embed.weight": signs})).findings == ()


def test_an_adapter_of_zeros_alone_is_a_warning(tmp_path: Path) -> None:
    tensors = {"q.lora_A.weight": random(0, 4, 64), "q.lora_B.weight": np.zeros((64, 4))}
    report = check(stored(tmp_path, **tensors))
    assert [(each.code, each.severity) for each in report.findings] == [("I605", "warning")]


def test_a_trained_kernel_among_initial_ones_is_found(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tensors = {f"{place}.weight": rng.uniform(-0.125, 0.125, (64, 64)) for place in range(6)}
    tensors["3.weight"] += 0.05 * np.outer(rng.normal(0, 1, 64), rng.normal(0, 1, 64))
    report = check(stored(tmp_path, **tensors))
    assert [(each.code, each.tensor) for each in report.findings] == [("I607", "3.weight")]
    assert "5 of 6 kernels are still initial" in report.findings[0].message


def test_a_kernel_that_may_be_as_trained_as_the_others_is_not_reported(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def kernel(change: float) -> Any:
        one = rng.normal(0, 1, (64, 1)) @ rng.normal(0, 1, (1, 64))
        return rng.normal(0, 0.02, (64, 64)) + change * 0.02 * one

    for change, found in ((0.4, []), (3.0, ["4.weight"])):
        tensors = {f"{place}.weight": kernel(change if place < 4 else 0) for place in range(5)}
        assert [each.tensor for each in check(stored(tmp_path, **tensors)).findings] == found
        # Beside a bias of zeros, nothing has been trained.
        tensors["4.bias"] = np.zeros(64)
        assert codes(check(stored(tmp_path, **tensors))) == ["I607"]
    tensors = {f"{place}.weight": kernel(0) for place in range(5)}
    tensors["head.weight"] = kernel(0.4)
    assert codes(check(stored(tmp_path, **tensors))) == []
    tensors["head.weight"] = kernel(3.0)
    (finding,) = check(stored(tmp_path, **tensors)).findings
    assert "head.weight is trained, but 5 of 6 kernels are still initial" in finding.message


@pytest.mark.parametrize("rule", ["normal", "uniform"])
@pytest.mark.parametrize("kept", [40, 300, 960])
def test_rows_that_nothing_trained_are_counted(rule: str, kept: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(kept)
    start = rng.normal(0, 0.02, (1000, 64)) if rule == "normal" else rng.uniform(-1, 1, (1000, 64))
    rows = rng.permutation(1000)[kept:]
    size = start.std()
    moved = rng.normal(0, 1, (len(rows), 4)) @ rng.normal(0, 1, (4, 64))
    start[rows] += size * (moved + rng.normal(0, 1, (len(rows), 64)))
    name = "embed.weight" if rule == "normal" else "embedding/embeddings"
    file = stored(tmp_path, **{name: start if rule == "normal" else start / 20})
    (finding,) = check(file).findings
    assert finding.code == "I607"
    counted = [int(digits) for digits in re.findall(r"(\d+)(?: rows| trained)", finding.message)]
    # A row that moved little may be neither; one initial row in 10,000 is too long.
    assert abs(counted[0] - kept) <= 0.03 * kept
    assert len(rows) >= counted[1] >= 0.8 * len(rows)


def test_trained_rows_of_any_size_are_not_called_initial(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lengths = np.exp(rng.normal(0, [[0.05], [0.2], [0.5], [1.0]], (4, 1000)))
    for place, length in enumerate(lengths):
        rows = rng.normal(0, 0.02, (1000, 64)) * length[:, None]
        tensors = {"wte.weight": rows, "wpe.weight": rows[:100] + rng.normal(0, 0.02, 64)}
        assert codes(check(stored(tmp_path, **tensors))) == [], place


BIASED = "{input_shape: [64], layers: [{type: Dense, units: 64}, {type: LayerNormalization}]}"


def test_a_declared_constant_is_held_to_the_stored_values(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    start = {
        "dense/kernel": rng.uniform(-0.2165, 0.2165, (64, 64)),
        "dense/bias": np.zeros(64),
        "layer_normalization/gamma": np.ones(64),
        "layer_normalization/beta": np.zeros(64),
    }

    def found(**values: Any) -> list[tuple[str, str | None]]:
        names = {"bias": "dense/bias", "gamma": "layer_normalization/gamma"}
        changed = {names[name]: value for name, value in values.items()}
        file = stored(tmp_path, **start | changed)
        return [(each.code, each.tensor) for each in check(held_to(parse(BIASED), file)).findings]

    assert found() == []
    assert found(bias=rng.uniform(-0.125, 0.125, 64)) == [("I608", "dense/bias")]
    assert found(gamma=np.zeros(64)) == [("I608", "layer_normalization/gamma")]
    # What training does to it is no fault, whatever it looks like.
    assert found(bias=rng.normal(0, 0.02, 64), gamma=rng.normal(1, 0.02, 64)) == []
    assert found(bias=0.001 * np.sign(rng.normal(0, 1, 64))) == []


def test_a_model_of_keras_is_held_to_the_values_in_its_file(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    source = REFERENCE / "weights" / "keras.keras"
    assert run("check", str(source)).returncode == 0
    planted = tmp_path / "planted.keras"
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(planted, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "model.weights.h5":
                stream = io.BytesIO(content)
                with h5py.File(stream, "r+") as file:
                    file["layers/bidirectional/forward_layer/cell/vars/0"][...] = 0.5
                content = stream.getvalue()
            new.writestr(name, content)
    done = run("check", str(planted), "--format", "json")
    (finding,) = json.loads(done.stdout)["findings"]
    assert (done.returncode, finding["code"]) == (1, "I602")
    assert "are 0.5, declared" in finding["message"]
    assert finding["line"] >= 1
    assert run("check", str(planted), "--sample").returncode == 0


def test_a_checkpoint_says_what_was_judged_and_sets_the_exit_status(tmp_path: Path) -> None:
    tensors = {"a.weight": random(0, 8, 8), "a.bias": np.array([0, np.nan, np.inf, 1])}
    file = stored(tmp_path, **tensors).file
    done = run("check", file)
    assert done.returncode == 1
    assert "checked: 68 values of 2 of 2 stored tensors; not checked: distributions" in done.stderr
    shown = " ".join(done.stdout.split())
    assert "of 4 values of a.bias, 1 are NaN and 1 are infinite" in shown
    assert run("check", file, "--ignore", "I601").returncode == 0
    assert "a.bias" in run("check", file, "--format", "github").stdout
    assert run("check", file, "--seed", "1").returncode == 2
    assert run("check", file, "--fix").returncode == 2


def test_fresh_models_of_frameworks_raise_no_alarm() -> None:
    for name in ("huggingface", "flax.msgpack", "keras.keras", "training.ckpt", "old.h5"):
        done = run("check", str(REFERENCE / "weights" / name))
        assert (done.returncode, done.stdout) == (0, "Nothing found.\n"), name
