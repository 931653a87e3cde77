"""What fuzzing found, once for each cause."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest

import initcli
from initcli.limits import limited
from initcli.measuring.measure import measure
from initcli.sources.weights.read import checkpoint
from support.paths import REFERENCE


def keras(**dense: object) -> str:
    layers = [
        {"class_name": "InputLayer", "config": {"batch_shape": [None, 3], "name": "i"}},
        {"class_name": "Dense", "config": {"name": "d", "units": 3, **dense}},
    ]
    return json.dumps({"class_name": "Sequential", "config": {"name": "m", "layers": layers}})


def test_an_activation_that_only_its_author_can_compute_has_no_prediction() -> None:
    model = initcli.parse(keras(activation="linear-"))
    (layer,) = initcli.predict_signal(model).layers
    assert layer.predicted is not None
    assert layer.predicted.std is None
    report = initcli.check(model)
    assert not report.findings
    with pytest.raises(initcli.InitcliError, match=r"the signal ends at 'd': .*linear-"):
        initcli.measure_signal(model, batch=2, draws=1)


def test_a_layer_that_gives_either_infinity_has_no_median() -> None:
    spec = {
        "input_shape": [4],
        "layers": [
            {"type": "Dense", "units": 3, "activation": "relu"},
            {
                "type": "Dense",
                "units": 3,
                "kernel_initializer": {"type": "Constant", "value": 1e30},
            },
            {"type": "Dense", "units": 3, "activation": "exponential"},
            {"type": "Reshape", "target_shape": [-1, 1]},
            {"type": "Conv1D", "filters": 2, "kernel_size": 1},
        ],
    }
    for seed in range(4):
        model = initcli.parse(json.dumps(spec), seed=seed)
        assert len(initcli.measure_signal(model, batch=4, draws=2).layers) == 5


def test_a_picture_of_a_country_takes_no_memory_of_a_continent() -> None:
    spec = "input_shape: [100000, 100000, 3]\nlayers: [{type: ReLU}]"
    with pytest.raises(initcli.InitcliError, match="--limit positions="):
        initcli.predict_signal(initcli.parse(spec))


def test_a_signal_of_more_axes_than_numpy_has_is_refused() -> None:
    shape = ", ".join(["1"] * 60)
    model = initcli.parse(f"input_shape: [{shape}]\nlayers: [{{type: ReLU}}]")
    with pytest.raises(initcli.InitcliError, match="has at most 28 axes, and here it has 61"):
        initcli.predict_signal(model)
    assert initcli.check(model).notes


def test_what_is_called_too_often_is_refused_before_it_is_walked() -> None:
    inner = "{type: Sequential, name: s, layers: [{type: ReLU}]}"
    for _ in range(12):
        inner = (
            f"{{type: Sequential, name: s, layers: [{inner}, {{call: s}}, {{call: s, name: t}}]}}"
        )
    model = initcli.parse(f"input_shape: [3]\nlayers: [{inner}]")
    with limited(layers=1000), pytest.raises(initcli.InitcliError, match="--limit layers="):
        initcli.predict_signal(model)


@pytest.mark.parametrize("kind", ["Minimum", "Maximum", "Average", "Add", "Multiply"])
@pytest.mark.parametrize("shape", [[1, 4, 3], [2, 1, 3], [2, 4, 1], [1, 1, 1]])
def test_what_is_one_entry_wide_is_predicted_beside_what_is_wider(
    kind: str, shape: list[int]
) -> None:
    def model(first: list[int]) -> initcli.Model:
        inputs = f"{{type: Input, name: a, shape: {first}}}, {{type: Input, shape: [2, 4, 3]}}"
        merge = f"{{type: {kind}, inputs: [a, input_layer]}}"
        return initcli.parse(f"layers: [{inputs}, {merge}]")

    predicted, wider = (initcli.predict_signal(model(each)) for each in (shape, [2, 4, 3]))
    std = predicted.layers[-1].predicted.std
    assert std == pytest.approx(wider.layers[-1].predicted.std, rel=1e-6)
    # Its gradient comes from all that it stands beside. Of 1,024 examples in 3 draws the mean
    # square has an error of some 3 % at most, and its root half of that.
    gradient = initcli.measure_signal(model(shape), batch=1024, draws=3).layers[0].gradient
    assert gradient is not None
    expected = predicted.layers[0].predicted.gradient_rms
    assert expected == pytest.approx(gradient.rms.median, rel=0.08)


def blocks_of(shape: tuple[int, ...], kind: int) -> bytes:
    """A GGUF file with one tensor and no values."""
    placed = struct.pack(f"<Q1sI{len(shape)}QIQ", 1, b"a", len(shape), *shape, kind, 0)
    return b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + placed


@pytest.mark.parametrize("kind", [2, 3, 6, 7, 8, 10, 11, 12, 13, 14, 20, 23])
def test_a_tensor_without_blocks_has_no_values(tmp_path: Path, kind: int) -> None:
    file = tmp_path / "a.gguf"
    file.write_bytes(blocks_of((0,), kind) + bytes(64))
    found = checkpoint(str(file))
    assert found is not None
    ((_, seen),) = measure(found.parameters)
    assert seen.entries == 0
    file.write_bytes(blocks_of((), kind) + bytes(64))
    with pytest.raises(initcli.InitcliError, match="rows of 1 entries"):
        checkpoint(str(file))


@pytest.mark.parametrize("value", [-2e226, 2e226])
def test_values_whose_squares_are_no_numbers_are_counted(tmp_path: Path, value: float) -> None:
    file = tmp_path / "a.npy"
    np.save(file, np.full(300, value))
    found = checkpoint(str(file))
    assert found is not None
    ((_, seen),) = measure(found.parameters)
    assert (seen.min, seen.max, int(seen.histogram.counts.sum())) == (value, value, 300)


def of_keras(name: str, changes: dict[int, tuple[str, int]]) -> bytes:
    """A file of Keras with other numbers in some places."""
    content = bytearray((REFERENCE / "weights" / name).read_bytes())
    for place, (kind, number) in changes.items():
        struct.pack_into(kind, content, place, number)
    return bytes(content)


NAMES = 16328
"""Where the names of the group ``forward_layer`` begin in ``keras.weights.h5``."""
TEXTS = 2048
"""Where its texts begin: the first has 10 characters."""
FREE = 2264
"""Where the free space behind the texts begins."""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({NAMES + 8: ("<Q", 1 << 30)}, "a block of the file ends after its end"),
        ({NAMES + 24: ("<Q", 1 << 60)}, "a block of the file ends after its end"),
        ({NAMES + 16: ("<Q", 0), NAMES + 32: ("<Q", 0)}, "the free list of a group has no end"),
        ({TEXTS + 8: ("<Q", 1 << 30)}, "a block of the file ends after its end"),
        ({TEXTS + 24: ("<Q", 1 << 30)}, "a block of the file ends after its end"),
        ({FREE + 8: ("<Q", 0)}, "a free space has no size"),
        ({TEXTS: ("<I", 0)}, "the heap of a string is missing"),
    ],
)
def test_a_damaged_group_takes_neither_memory_nor_time(
    changes: dict[int, tuple[str, int]], message: str, tmp_path: Path
) -> None:
    file = tmp_path / "a.weights.h5"
    file.write_bytes(of_keras("keras.weights.h5", changes))
    with pytest.raises(initcli.InvalidSpec, match=f"this HDF5 file cannot be read: {message}"):
        checkpoint(str(file))


def test_a_text_of_a_gibibyte_takes_no_memory(tmp_path: Path) -> None:
    file = tmp_path / "a.weights.h5"
    content = (REFERENCE / "weights" / "keras.weights.h5").read_bytes()
    # An attribute has the length of its text, and where that is: in the heap, as its second.
    place = content.index(struct.pack("<IQI", 4, TEXTS, 2))
    file.write_bytes(of_keras("keras.weights.h5", {place: ("<I", 1 << 30)}))
    with pytest.raises(initcli.InvalidSpec, match="a block of the file ends after its end"):
        checkpoint(str(file))
