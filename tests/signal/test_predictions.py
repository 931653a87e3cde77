"""Predictions of the signal from the distributions alone, against what is measured of it."""

from __future__ import annotations

import json
import math
from itertools import product
from typing import Any

import pytest

import initcli
from initcli.signal.figures import Signal, Spread
from initcli.signal.measured import measure_signal

ACTIVATIONS = ("relu", "tanh", "gelu", "linear")
INITIALIZERS = ("glorot_uniform", "he_normal", "lecun_normal", "orthogonal")
DEPTH = 12
STACKS = list(product(ACTIVATIONS, INITIALIZERS))
DRAWS = 16
RANGE = 3.532
"""E[greatest − least] of so many standard normal numbers (Tippett 1925)."""


def stack(layer: dict[str, Any], shape: list[int], depth: int = DEPTH) -> initcli.Model:
    return initcli.parse(json.dumps({"input_shape": shape, "layers": [layer] * depth}))


def standard_error(value: Spread) -> float:
    """Of the median's logarithm over the draws, from how far they spread."""
    spread = math.log(value.high / value.low) / RANGE
    return math.sqrt(math.pi / 2) * spread / math.sqrt(DRAWS)


def worst(signal: Signal, tolerances: tuple[float, float]) -> float:
    """By how much the worst layer is off, as a share of what it may be."""
    found = []
    for layer in signal.layers:
        assert layer.output is not None
        assert layer.gradient is not None
        pairs = (
            (layer.output.std, layer.predicted.std),
            (layer.gradient.rms, layer.predicted.gradient_rms),
        )
        for (seen, predicted), tolerance in zip(pairs, tolerances, strict=True):
            assert predicted is not None
            # Of 50 stacks, each of some independent layers, the worst may be four errors off.
            allowed = math.log1p(tolerance) + 4 * standard_error(seen)
            found.append(abs(math.log(predicted / seen.median)) / allowed)
    return max(found)


@pytest.mark.parametrize(
    # Each activation and each initializer once; the convolutions below combine them otherwise.
    ("activation", "initializer"),
    [STACKS[5 * i] for i in range(4)],
)
def test_wide_dense_stacks_are_predicted(activation: str, initializer: str) -> None:
    layer = {"type": "Dense", "units": 256, "activation": activation}
    model = stack({**layer, "kernel_initializer": initializer}, [256])
    assert worst(measure_signal(model, batch=16, draws=DRAWS), (0.05, 0.10)) <= 1


@pytest.mark.parametrize(
    ("activation", "initializer", "padding"),
    # Each padding with each activation, and with each initializer.
    [
        (*STACKS[4 * i + (i + shift) % 4], padding)
        for shift, padding in ((1, "valid"), (2, "same"))
        for i in range(4)
    ],
)
def test_convolutional_stacks_are_predicted(
    activation: str, initializer: str, padding: str
) -> None:
    layer = {"type": "Conv1D", "filters": 96, "kernel_size": 3, "padding": padding}
    layer |= {"activation": activation, "kernel_initializer": initializer}
    model = stack(layer, [40 if padding == "valid" else 8, 96])
    assert worst(measure_signal(model, batch=4, draws=DRAWS), (0.05, 0.10)) <= 1


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_stacks_of_images_are_predicted(activation: str) -> None:
    layer = {"type": "Conv2D", "filters": 96, "kernel_size": 3, "activation": activation}
    layer |= {"kernel_initializer": "he_normal", "padding": "same"}
    assert worst(measure_signal(stack(layer, [5, 5, 96]), batch=2, draws=DRAWS), (0.05, 0.10)) <= 1


def test_gradients_of_a_strided_convolution_have_less_in_common() -> None:
    # Of two inputs, weights are common only if these are a multiple of the strides apart.
    layers = [
        {"type": "Input", "shape": [4, 4, 32]},
        {"type": "UpSampling2D", "size": 4},
        {"type": "Conv2D", "filters": 64, "kernel_size": 3, "strides": 2, "padding": "same"},
        {"type": "GlobalAveragePooling2D"},
    ]
    signal = measure_signal(initcli.parse(json.dumps({"layers": layers})), batch=16, draws=5)
    image = signal.layers[0]
    assert image.gradient is not None
    assert image.predicted.gradient_rms == pytest.approx(image.gradient.rms.median, rel=0.15)
