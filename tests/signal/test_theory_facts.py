"""Predictions of wide models and of the applications, against the medians of the real Keras."""

from __future__ import annotations

import math
import re
import statistics

import msgspec
import pytest

import initcli
from initcli.signal.figures import LayerSignal
from initcli.signal.measured import predict_signal
from initcli.signal.verdict import Verdict
from support.paths import facts

MODELS: list[str] = list(facts("theory_facts.json.gz")["models"])
LESS_WELL = ("EfficientNetB0", "EfficientNetV2B0", "NASNetMobile")
"""Models whose gradients are predicted less well: examples of a batch come to differ in size, and
larger ones have larger gradients."""


@pytest.mark.parametrize("name", MODELS)
def test_predictions_are_those_of_keras(name: str) -> None:
    """Within 10 % for a typical std and 20 % for a typical gradient, and with the same verdict."""
    known = facts("theory_facts.json.gz")["models"][name]
    signal = predict_signal(initcli.parse(known["json"]), batch=known["batch"])
    deviations: list[float] = []
    gradients: list[float] = []
    as_measured: list[LayerSignal] = []
    for layer in signal.layers:
        seen = known["layers"].get(f"{layer.name} {layer.call}")
        if seen is None or layer.type == "InputLayer":
            as_measured.append(layer)
            continue
        std, rms = seen
        figures = msgspec.structs.replace(layer.predicted, std=std, gradient_rms=rms)
        as_measured.append(msgspec.structs.replace(layer, predicted=figures))
        for ratios, predicted, measured in zip(
            (deviations, gradients),
            (layer.predicted.std, layer.predicted.gradient_rms),
            seen,
            strict=True,
        ):
            if measured > 0:
                assert predicted, layer.name
                ratios.append(math.log(predicted / measured))
    assert abs(statistics.median(deviations)) < math.log(1.1)
    most = 1.25 if name in LESS_WELL else 1.2
    assert abs(statistics.median(gradients)) < math.log(most)
    judged = msgspec.structs.replace(signal, layers=tuple(as_measured))
    assert words_of(initcli.verdict(signal)) == words_of(initcli.verdict(judged))


def words_of(verdict: Verdict) -> str:
    """What it says, but for the figures, which are as near as those of the layers."""
    return re.sub(r"[\d.,]*\d", "#", verdict.text)
