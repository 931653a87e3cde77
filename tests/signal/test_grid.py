"""Cells of positions: the same figures as at every position, and little memory however many."""

from __future__ import annotations

import json
import math
import tracemalloc
from typing import Any

import numpy as np
import pytest

import initcli
from initcli.signal import grid
from initcli.signal.grid import Axis, cell_means, cells, edges
from initcli.signal.measured import predict_signal

C: dict[str, Any] = {
    "type": "Conv2D",
    "filters": 16,
    "kernel_size": 3,
    "padding": "same",
    "activation": "relu",
    "kernel_initializer": "he_normal",
}
GLOBAL = {"type": "GlobalAveragePooling2D"}


def model(shape: list[int], *layers: dict[str, Any]) -> initcli.Model:
    return initcli.parse(json.dumps({"input_shape": shape, "layers": layers}))


@pytest.mark.parametrize("sizes", [(7,), (5000,), (10**9,), (300, 1000), (200, 3, 900)])
def test_cells_cover_the_positions_and_are_symmetric(sizes: tuple[int, ...]) -> None:
    assert math.prod(cells(sizes)) <= 2 * (1 << 16)
    for n in sizes:
        bounds = edges(n, len(sizes))
        assert (bounds[0], bounds[-1]) == (0, n)
        lengths = np.diff(bounds)
        np.testing.assert_array_equal(lengths, lengths[::-1])
        assert sum(lengths != lengths[0]) <= 1


def test_few_positions_are_kept_apart() -> None:
    assert cells((224, 224)) == (224, 224)
    values = np.arange(12.0).reshape(3, 4)
    assert cell_means(values, (3, 4)) is values


def test_means_over_cells_are_those_over_positions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid, "_CELLS", {2: 4})
    values = np.random.default_rng(0).normal(size=(2, 12, 8))
    means = cell_means(values, (12, 8))
    assert means.shape == (2, 4, 4)
    np.testing.assert_allclose(means.mean((1, 2)), values.mean((1, 2)))
    np.testing.assert_allclose(means[:, 0, 0], values[:, :3, :2].mean((1, 2)))


@pytest.mark.parametrize(("k", "stride", "dilation"), [(1, 1, 1), (3, 2, 1), (5, 1, 3), (4, 3, 2)])
@pytest.mark.parametrize("ends", [(0, 0), (9, 4), (-2, -3)])
def test_entries_that_windows_meet_are_counted(
    k: int, stride: int, dilation: int, ends: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grid, "_CELLS", {1: 5})
    n, before = 37, ends[0]
    m = (n + sum(ends) - dilation * (k - 1) - 1) // stride + 1
    axis = Axis(n, m, 1, k, stride, dilation, before)
    for first, last in ((0, k), (k // 2, k)):
        expected = np.zeros((len(axis.outputs) - 1, len(axis.inputs) - 1))
        for window in range(m):
            for place in range(first, last):
                at = window * stride + place * dilation - before
                if 0 <= at < n:
                    row, column = (
                        np.searchsorted(each, value, "right") - 1
                        for each, value in ((axis.outputs, window), (axis.inputs, at))
                    )
                    expected[row, column] += 1
        np.testing.assert_array_equal(axis.counts(first, last), expected)


STACKS: dict[str, tuple[list[int], list[dict[str, Any]]]] = {
    "convolutions": ([96, 96, 3], [C, C]),
    "strides": (
        [96, 96, 3],
        [
            {**C, "kernel_size": 7, "strides": 2},
            {"type": "MaxPooling2D", "pool_size": 3, "strides": 2, "padding": "same"},
            C,
            GLOBAL,
        ],
    ),
    "up and down": (
        [96, 96, 3],
        [
            {**C, "strides": 2},
            {"type": "UpSampling2D"},
            {"type": "AveragePooling2D", "pool_size": 2},
            {"type": "BatchNormalization"},
        ],
    ),
    "padded and cut": (
        [90, 90, 3],
        [
            {"type": "ZeroPadding2D", "padding": 3},
            {**C, "kernel_size": 7, "padding": "valid"},
            {"type": "Cropping2D", "cropping": 2},
        ],
    ),
    "transposed": (
        [96, 96, 3],
        [{**C, "type": "Conv2DTranspose", "kernel_size": 4, "strides": 2}, GLOBAL],
    ),
    "dilated": ([96, 96, 3], [{**C, "dilation_rate": 20}]),
    "channels first": (
        [3, 96, 96],
        [
            {**C, "data_format": "channels_first"},
            {"type": "BatchNormalization", "axis": 1},
            {**GLOBAL, "data_format": "channels_first"},
        ],
    ),
    "gates": (
        [96, 96, 8],
        [
            {**C, "name": "c"},
            {**GLOBAL, "keepdims": True},
            {"type": "Dense", "units": 16, "activation": "sigmoid", "name": "g"},
            {"type": "Multiply", "inputs": ["c", "g"]},
        ],
    ),
    "joined": (
        [96, 96, 16],
        [{**C, "name": "c"}, {"type": "Concatenate", "axis": 1, "inputs": ["c", "input"]}, C],
    ),
    "attention": (
        [200],
        [
            {"type": "Embedding", "input_dim": 99, "output_dim": 32, "name": "e"},
            {
                "type": "MultiHeadAttention",
                "num_heads": 4,
                "key_dim": 8,
                "inputs": ["e", "e"],
                "use_causal_mask": True,
            },
            {"type": "Dense", "units": 10},
        ],
    ),
    "long windows": (
        [1000, 4],
        [
            {"type": "Conv1D", "filters": 16, "kernel_size": 200, "padding": "same"},
            {"type": "MaxPooling1D", "pool_size": 100},
        ],
    ),
}


@pytest.mark.parametrize("name", STACKS)
def test_figures_of_cells_are_near_those_of_positions(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cells of two positions; a border is 5 times the share of that of the least images in cells.

    There a prediction is within 2e-3, and so within 1e-2 here.
    """
    shape, layers = STACKS[name]
    built = model(shape, *layers)
    exact = predict_signal(built).layers
    monkeypatch.setattr(grid, "_CELLS", {1: 100, 2: 48})
    for one, other in zip(exact, predict_signal(built).layers, strict=True):
        for figure in ("std", "gradient_rms", "sensitivity"):
            expected, found = (getattr(each.predicted, figure) for each in (one, other))
            assert found == pytest.approx(expected, rel=1e-2), (one.name, figure)


def test_a_large_image_takes_little_memory() -> None:
    built = model([3000, 1800, 1], C, {"type": "LayerNormalization"}, GLOBAL)
    tracemalloc.start()
    try:
        signal = predict_signal(built)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert signal.layers[-1].predicted.std is not None
    assert peak < 60 << 20  # Each position of one tensor in double precision takes 43 MB.
