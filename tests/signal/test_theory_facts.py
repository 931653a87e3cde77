"""Predictions of wide models and of the applications, against the medians of the real Keras."""

from __future__ import annotations

import math
import statistics

import pytest

import initcli
from initcli.signal.measured import predict_signal
from support.paths import facts

MODELS: list[str] = list(facts("theory_facts.json.gz")["models"])
LESS_WELL = (
    "EfficientNetB0",
    "EfficientNetV2B0",
    "InceptionV3",
    "MobileNetV3Large",
    "MobileNetV3Small",
    "NASNetMobile",
    "ResNet50V2",
)
"""Models whose gradients are predicted less well. Their last tensors have few positions, and the
weights of a depthwise kernel are few, which correlates positions of a channel."""
POOLED = ("VGG16", "VGG19")
"""Models whose std is predicted less well: max pooling meets positions that have much in common."""


@pytest.mark.parametrize("name", MODELS)
def test_predictions_are_those_of_keras(name: str) -> None:
    """Within 10 % for a typical std and 20 % for a typical gradient, none left out."""
    known = facts("theory_facts.json.gz")["models"][name]
    layers = predict_signal(initcli.parse(known["json"]), batch=known["batch"]).layers
    deviations: list[float] = []
    gradients: list[float] = []
    for layer in layers:
        seen = known["layers"].get(f"{layer.name} {layer.call}")
        if seen is None or layer.type == "InputLayer":
            continue
        for ratios, predicted, measured in zip(
            (deviations, gradients),
            (layer.predicted.std, layer.predicted.gradient_rms),
            seen,
            strict=True,
        ):
            if measured > 0:
                assert predicted, layer.name
                ratios.append(math.log(predicted / measured))
    most = 1.2 if name in POOLED else 1.1
    assert abs(statistics.median(deviations)) < math.log(most)
    most = 1.6 if name in LESS_WELL else 1.2
    assert abs(statistics.median(gradients)) < math.log(most)
