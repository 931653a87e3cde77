"""Arguments of layers that are far larger than what they are applied to."""

from __future__ import annotations

import json
import math
import time
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

import initcli
from initcli.errors import InitcliError
from initcli.layers.operation_shapes import shape_of
from initcli.signal import arrays
from initcli.signal.measured import measure_signal, predict_signal

HUGE = 10**9
SAME = {"padding": "same"}


def model(kind: str, arguments: dict[str, Any], shape: list[int]) -> initcli.Model:
    layers = [{"type": kind, **arguments}, {"type": "Dense", "units": 3}]
    return initcli.parse(json.dumps({"input_shape": shape, "layers": layers}))


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("Conv1D", {"filters": 4, "kernel_size": 3, "dilation_rate": HUGE, **SAME}),
        ("Conv1D", {"filters": 4, "kernel_size": 4, "dilation_rate": HUGE, **SAME}),
        ("Conv1D", {"filters": 4, "kernel_size": 3, "dilation_rate": HUGE, "padding": "causal"}),
        ("Conv1D", {"filters": 4, "kernel_size": 3, "strides": HUGE, **SAME}),
        ("Conv1D", {"filters": 4, "kernel_size": HUGE, **SAME}),
        ("Conv2D", {"filters": 4, "kernel_size": 2, "dilation_rate": [HUGE, 1], **SAME}),
        ("DepthwiseConv1D", {"kernel_size": 5, "dilation_rate": HUGE, **SAME}),
        ("SeparableConv1D", {"filters": 4, "kernel_size": 3, "dilation_rate": HUGE, **SAME}),
        ("Conv1DTranspose", {"filters": 4, "kernel_size": 3, "dilation_rate": HUGE, **SAME}),
        ("Conv1DTranspose", {"filters": 4, "kernel_size": 3, "strides": HUGE}),
        ("MaxPooling1D", {"pool_size": HUGE, "strides": 1, **SAME}),
        ("MaxPooling1D", {"pool_size": 2, "strides": HUGE, **SAME}),
        ("AveragePooling1D", {"pool_size": HUGE, "strides": 1, **SAME}),
        ("MaxPooling2D", {"pool_size": [HUGE, HUGE], "strides": 1, **SAME}),
        ("ZeroPadding1D", {"padding": HUGE}),
        ("Cropping1D", {"cropping": HUGE}),
        ("UpSampling1D", {"size": HUGE}),
    ],
)
def test_theory_answers_at_once_or_says_why_not(kind: str, arguments: dict[str, Any]) -> None:
    began = time.monotonic()
    grows = kind.startswith(("Zero", "Crop", "UpS")) or (kind, arguments.get("strides")) == (
        "Conv1DTranspose",
        HUGE,
    )
    refuses = pytest.raises(InitcliError, match=r"positions|leaves nothing")
    with refuses if grows else nullcontext():
        built = model(kind, arguments, [24, 24, 6] if kind.endswith("2D") else [24, 6])
        assert predict_signal(built).layers[0].predicted.std is not None
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("Conv1D", {"filters": 8, "kernel_size": 3, "dilation_rate": HUGE, **SAME}),
        ("Conv1D", {"filters": 8, "kernel_size": 3, "dilation_rate": HUGE, "padding": "causal"}),
        ("Conv1DTranspose", {"filters": 8, "kernel_size": 3, "dilation_rate": HUGE, **SAME}),
        ("MaxPooling1D", {"pool_size": HUGE, "strides": 1, **SAME}),
        ("AveragePooling1D", {"pool_size": HUGE, "strides": 1, **SAME}),
    ],
)
def test_what_is_never_reached_takes_no_part_in_what_is_measured(
    kind: str, arguments: dict[str, Any]
) -> None:
    """A window that reaches as far as there are entries and one that reaches further are one."""
    huge = measure_signal(model(kind, arguments, [24, 8]), batch=4, draws=2).layers[0].output
    near = {key: 1000 if value == HUGE else value for key, value in arguments.items()}
    there = measure_signal(model(kind, near, [24, 8]), batch=4, draws=2).layers[0].output
    assert huge is not None
    assert there is not None
    assert huge.std.median == pytest.approx(there.std.median, rel=1e-6)


@pytest.mark.parametrize("n", [1, 3, 7])
@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 3), (3, 2), (1, 9), (9, 1)])
@pytest.mark.parametrize("ends", [(0, 0), (4, 5), (9, 0), (0, 9), (30, 30)])
def test_the_reach_of_a_window_has_the_same_sums(
    n: int, k: int, stride: int, dilation: int, ends: tuple[int, int]
) -> None:
    """As the sums over the whole padded axis."""
    window = arrays.Window((stride,), (dilation,), (ends,))
    padded = np.pad(np.arange(1.0, n + 1), ends)
    count = (padded.size - dilation * (k - 1) - 1) // stride + 1
    if count < 1:
        return
    kernel = np.arange(2.0, k + 2)
    places = np.arange(count)[:, None] * stride + np.arange(k) * dilation
    found = arrays.correlate(np.arange(1.0, n + 1)[None, :, None], kernel[:, None, None], window)
    np.testing.assert_allclose(found[0, :, 0], padded[places] @ kernel)
    back = arrays.spread(np.ones((1, count, 1)), kernel[:, None, None], window, (n,))
    expected = np.zeros(padded.size)
    np.add.at(expected, places, np.broadcast_to(kernel, places.shape))
    np.testing.assert_allclose(back[0, :, 0], expected[ends[0] : ends[0] + n])
    inner = arrays.reach((n,), (k,), window)
    assert math.prod(inner.size) <= k
    assert sum(max(end, 0) for end in inner.window.padding[0]) <= 4 * (n + count * stride)


@pytest.mark.parametrize("function", ["ExpandDims", "Sum", "Squeeze", "Transpose"])
def test_an_axis_that_is_named_twice_gives_no_shape(function: str) -> None:
    argument = "axes" if function == "Transpose" else "axis"
    assert shape_of(function, [{"input": 0}], {argument: [0, 0]}, ((1, 3),)) is None
