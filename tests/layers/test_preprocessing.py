"""Layers that prepare data: their input passes on, with a note, and keeps its statistics."""

from __future__ import annotations

import json
from typing import Any

import pytest

import initcli

CASES: dict[str, tuple[list[int], dict[str, Any]]] = {
    "one of the same shape": ([12, 12, 3], {"type": "RandomFlip"}),
    "a resize": ([12, 12, 3], {"type": "Resizing", "height": 7, "width": 20}),
    "a crop, channels first": (
        [3, 12, 12],
        {"type": "RandomCrop", "height": 8, "width": 9, "data_format": "channels_first"},
    ),
    "mel bands": ([2000], {"type": "MelSpectrogram", "fft_length": 64}),
    "a spectrogram with weights": ([2000, 2], {"type": "STFTSpectrogram"}),
}


def model(shape: list[int], *layers: dict[str, Any]) -> initcli.Model:
    named = [{**layer, "name": f"l{number}"} for number, layer in enumerate(layers)]
    return initcli.parse(json.dumps({"input_shape": shape, "layers": named}))


@pytest.mark.parametrize("case", CASES)
def test_input_passes_on_with_a_note(case: str) -> None:
    shape, layer = CASES[case]
    of = model(shape, layer, {"type": "Dense", "units": 8})
    signal = initcli.measure_signal(of, batch=16, draws=3)
    first, second = signal.layers
    assert first.output is not None
    assert second.output is not None
    assert first.output.std.median == pytest.approx(1, abs=0.05)
    assert first.predicted.std == pytest.approx(1, abs=0.01)
    assert second.predicted.std == pytest.approx(second.output.std.median, rel=0.25)
    assert "the input of l0 passes unchanged" in "\n".join(signal.notes)
    # A spectrogram's weights take no part in what is computed: nothing is known of their gradients.
    assert [each.path for each in signal.tensors] == ["l1/kernel", "l1/bias"]


@pytest.mark.parametrize(
    "layer",
    [
        {"type": "TextVectorization", "output_sequence_length": 9},
        {"type": "StringLookup", "vocabulary": ["a", "b", "c"]},
        {"type": "Hashing", "num_bins": 9},
    ],
    ids=lambda layer: str(layer["type"]),
)
def test_words_are_drawn_for_the_table_behind(layer: dict[str, Any]) -> None:
    of = model([1], layer, {"type": "Embedding", "input_dim": 10, "output_dim": 40})
    signal = initcli.measure_signal(of, draws=1)
    output = signal.layers[1].output
    assert output is not None
    # Of U(-0.05, 0.05), in at least 4 different rows of 40 entries.
    assert output.std.median == pytest.approx(0.05 / 3**0.5, rel=0.2)
    predicted = initcli.predict_signal(of).layers[1].predicted
    assert predicted.std == pytest.approx(0.05 / 3**0.5, rel=0.02)


def test_augmentation_hides_nothing_from_checks() -> None:
    """As in every tutorial: an augmentation in front, and a deep stack that loses its signal."""
    small = {"type": "RandomNormal", "stddev": 0.01}
    dense = {"type": "Dense", "units": 64, "activation": "tanh", "kernel_initializer": small}
    stack = ({"type": "Flatten"}, *[dense] * 8, {"type": "Dense", "units": 10})
    augmented = ({"type": "RandomFlip"}, {"type": "RandomRotation", "factor": 0.1}, *stack)
    for how in ("predicted", "measured"):
        report = initcli.check(model([8, 8, 3], *augmented), how=how)  # type: ignore[arg-type]
        found = {finding.code: finding.severity for finding in report.findings}
        assert found.get("I202") == "error"
