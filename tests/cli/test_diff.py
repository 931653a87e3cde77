"""``diff``: what changed between two sources, in every output, and the exit status."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import numpy as np
import pytest
from PIL import Image

import initcli
from support.paths import ROOT, TOUR
from support.running import run

WEIGHTS = ROOT / "tests" / "reference" / "weights"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two files: one tensor of each kind, and several in sequence that are the same."""
    folder = tmp_path_factory.mktemp("diff")
    rng = np.random.default_rng(0)
    same = {f"same.{place}": rng.normal(size=5).astype(np.float32) for place in range(3)}
    w = rng.normal(size=(4, 5)).astype(np.float32)
    holed = np.array([1, np.nan, 2], np.float32)
    before: dict[str, Any] = {"w": w, **same, "holed": holed, "shaped": w, "gone": w, "half": w}
    after: dict[str, Any] = {
        "w": w * np.float32(1.5),
        **same,
        "holed": np.array([1, np.nan, 3], np.float32),
        "shaped": w.T,
        "half": w.astype(np.float16),
        "new": w,
    }
    np.savez(folder / "a.npz", **before)
    np.savez(folder / "b.npz", **after)
    return folder / "a.npz", folder / "b.npz"


KINDS = {
    "w": "changed",
    **dict.fromkeys(["same.0", "same.1", "same.2"], "unchanged"),
    "holed": "changed",
    "shaped": "reshaped",
    "gone": "removed",
    "half": "changed",
    "new": "added",
}


def report(*arguments: Any) -> dict[str, Any]:
    done = run("diff", *arguments, "--format", "json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_json_says_of_each_tensor_what_became_of_it(files: tuple[Path, Path]) -> None:
    found = report(*files)
    jsonschema.validate(found, json.loads(run("schema", "--report", "diff").stdout))
    tensors = {each["path"]: each for each in found["tensors"]}
    assert {path: each["kind"] for path, each in tensors.items()} == KINDS
    assert tensors["w"]["difference"]["relative"] == pytest.approx(0.5)
    assert tensors["w"]["difference"]["cosine"] == pytest.approx(1)
    assert tensors["w"]["b"]["measured"]["std"] == pytest.approx(
        1.5 * tensors["w"]["a"]["measured"]["std"]
    )
    assert tensors["holed"]["difference"]["not_finite"] == 1
    assert tensors["holed"]["difference"]["relative"] == pytest.approx(1 / np.sqrt(5))
    assert tensors["shaped"]["difference"] is None
    assert (tensors["shaped"]["a"]["shape"], tensors["shaped"]["b"]["shape"]) == ([4, 5], [5, 4])
    assert tensors["gone"]["b"] is None
    assert tensors["new"]["a"] is None
    assert tensors["same.1"]["a"] == tensors["same.1"]["b"]
    assert found["totals"]["unchanged"] == 3
    assert found["totals"]["changed"] == 3


def test_the_table_folds_what_did_not_change(files: tuple[Path, Path]) -> None:
    table = run("diff", *files).stdout
    assert "same.0 … same.2" in " ".join(table.split())
    assert "(3)" in table
    assert "same.1" not in table
    assert "(4, 5) → (5, 4): shaped" in table
    assert "float32 → float16: half" in table
    assert "1 of 3 entries changed: holed" in table
    assert "1 NaN or infinite: holed" in table
    assert "3 unchanged, 3 changed, 1 reshaped, 1 added, 1 removed" in table
    assert "same.1" in run("diff", *files, "--all").stdout
    assert run("diff", *files, PYTHONIOENCODING="ascii").stdout.isascii()


def test_rows_have_both_sides(files: tuple[Path, Path]) -> None:
    rows = list(csv.DictReader(io.StringIO(run("diff", *files, "--format", "csv").stdout)))
    assert {row["path"]: row["kind"] for row in rows} == KINDS
    assert float(rows[0]["b_std"]) == pytest.approx(1.5 * float(rows[0]["a_std"]))
    assert rows[-1]["a_std"] == rows[-1]["relative"] == ""


def test_the_exit_status_says_whether_anything_differs(files: tuple[Path, Path]) -> None:
    assert run("diff", *files).returncode == 0
    assert run("diff", *files, "--exit-code").returncode == 1
    assert run("diff", files[0], files[0], "--exit-code").returncode == 0
    assert run("diff", *files, "--exit-code", "--filter", "same.*").returncode == 0
    assert run("diff", files[0], "nowhere.npz", "--exit-code").returncode == 2


def test_a_filter_may_match_in_either_source(files: tuple[Path, Path]) -> None:
    found = report(*files, "--filter", "new", "--filter", "gone")
    assert [each["path"] for each in found["tensors"]] == ["gone", "new"]
    assert run("diff", *files, "--filter", "neww").returncode == 2


def test_a_spec_is_compared_with_a_spec_and_with_its_own_export(tmp_path: Path) -> None:
    file = tmp_path / "tour.npz"
    initcli.export(initcli.load(str(TOUR)), file)
    assert run("diff", TOUR, file, "--exit-code").returncode == 0
    other = tmp_path / "other.yaml"
    other.write_text(TOUR.read_text("utf-8").replace("he_uniform", "he_normal"), "utf-8")
    tensors = {each["path"]: each for each in report(file, other)["tensors"]}
    changed = [path for path, each in tensors.items() if each["kind"] != "unchanged"]
    assert changed == ["dense/kernel"]
    assert tensors["dense/kernel"]["a"]["values"] == "stored"
    assert tensors["dense/kernel"]["b"]["values"] == "sampled"
    assert tensors["dense/kernel"]["b"]["distribution"]["type"] == "TruncatedNormal"


NETWORK = """
input_shape: [6, 5, 3]
layers:
  - {type: Conv2D, filters: 6, kernel_size: 3}
  - {type: DepthwiseConv2D, kernel_size: 2}
  - {type: Flatten}
  - {type: Dense, units: 12, name: hidden}
  - {type: Dense, units: 12, name: out}
  - {type: Reshape, target_shape: [2, 6]}
  - {type: GRU, units: 4}
"""


def test_names_and_layouts_of_pytorch_are_paired_with_those_of_keras(tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(NETWORK, "utf-8")
    model = initcli.load(str(spec))
    for layout in ("keras", "torch"):
        initcli.export(model, tmp_path / f"{layout}.npz", layout=layout)
    torch = tmp_path / "torch.npz"
    for pair in ((spec, torch), (torch, spec), (tmp_path / "keras.npz", torch)):
        tensors = {each["path"]: each for each in report(*pair)["tensors"]}
        others = {path for path, each in tensors.items() if each["kind"] != "unchanged"}
        # Only a model says that rows are those of a flattened image.
        rows = set() if spec in pair else {"hidden/kernel"}
        assert others == rows
    assert tensors["conv2d/kernel"]["b"]["path"] == "conv2d.weight"
    assert "hidden/kernel = hidden.weight" in run("diff", *pair, COLUMNS="140").stdout


def test_an_ambiguous_pair_is_an_error_that_map_settles(tmp_path: Path) -> None:
    w = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
    np.savez(tmp_path / "a.npz", **{"dense/kernel": w, "dense/bias": w[0]})
    np.savez(tmp_path / "b.npz", **{"left.weight": w.T, "right.weight": w, "some.bias": w[0]})
    for names, said in (("ab", "dense/kernel=left.weight"), ("ba", "left.weight=dense/kernel")):
        pair = [tmp_path / f"{name}.npz" for name in names]
        refused = run("diff", *pair)
        assert refused.returncode == 2
        assert "'dense/kernel' may be 'left.weight' or 'right.weight'" in refused.stderr
        assert f"--map {said}" in refused.stderr
        kinds = {each["path"]: each["kind"] for each in report(*pair, "--map", said)["tensors"]}
        assert kinds.pop("right.weight") == ("added" if names == "ab" else "removed")
        assert set(kinds.values()) == {"unchanged"}
        assert len(kinds) == 2


def test_a_pair_may_have_a_path_that_the_other_source_has_too(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros(3), y=np.ones(3))
    np.savez(tmp_path / "b.npz", x=np.ones(3), y=np.zeros(3))
    found = report(tmp_path / "a.npz", tmp_path / "b.npz", "--map", "x=y")["tensors"]
    kinds = [(each["path"], each["kind"]) for each in found]
    assert kinds == [("x", "unchanged"), ("y", "removed"), ("x", "added")]


REFUSED = ("external.bin", "legacy.pt", "module.pt")
"""The data of another file, and pickles that are no weights."""


@pytest.mark.parametrize(
    "name", sorted(each.name for each in WEIGHTS.iterdir() if each.name not in REFUSED)
)
def test_every_format_is_the_same_as_itself(name: str) -> None:
    if name.endswith((".h5", ".keras")):
        pytest.importorskip("h5py")
    done = run("diff", WEIGHTS / name, WEIGHTS / name, "--format", "json", "--exit-code")
    assert done.returncode == 0, done.stderr
    assert {each["kind"] for each in json.loads(done.stdout)["tensors"]} == {"unchanged"}


def test_arrays_in_files_of_their_own_are_a_pair(tmp_path: Path) -> None:
    for name, values in (("one", np.ones(3)), ("two", np.full(3, 2.0))):
        np.save(tmp_path / f"{name}.npy", values)
    (tensor,) = report(tmp_path / "one.npy", tmp_path / "two.npy")["tensors"]
    assert (tensor["kind"], tensor["difference"]["relative"]) == ("changed", 1.0)


def test_sources_without_a_common_path_are_told_of(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=np.ones(3), b=np.ones(3))
    done = run("diff", TOUR, tmp_path / "a.npz")
    assert done.returncode == 0
    assert "the two sources have no tensor in common" in done.stderr


def test_the_picture_names_each_tensor_and_is_the_same_every_time(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    contents = []
    for name in ("one.svg", "two.svg"):
        assert run("diff", *files, "--plot", tmp_path / name).returncode == 0
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1]
    texts = {each.text for each in ElementTree.fromstring(contents[0]).iter() if each.text}
    assert set(KINDS) <= {text.strip() for text in texts}
    assert run("diff", files[0], files[0], "--plot", tmp_path / "same.png").returncode == 0
    with Image.open(tmp_path / "same.png") as picture:
        assert picture.width > 500


def test_very_many_tensors_have_a_picture_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("a.npz", "b.npz"):
        arrays: dict[str, Any] = {str(place): rng.normal(size=2) for place in range(300)}
        np.savez(tmp_path / name, **arrays)
    done = run("diff", tmp_path / "a.npz", tmp_path / "b.npz", "--plot", tmp_path / "many.png")
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "many.png") as picture:
        assert picture.height < 2000
