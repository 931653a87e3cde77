"""Predictions of whole stacks beside what is measured of them."""

from __future__ import annotations

import json
import math
from typing import Any

import initcli
from initcli.signal.figures import LayerSignal, Spread
from initcli.signal.measured import measure_signal

DRAWS = 12
RANGE = 3.258
"""E[greatest − least] of so many standard normal numbers (Tippett 1925)."""


def stack_of(entries: list[dict[str, Any]]) -> initcli.Model:
    """The model of those layers, of which the first says the shape of its input."""
    return initcli.parse(json.dumps({"layers": entries}))


def layers_of(entries: list[dict[str, Any]], batch: int = 16) -> list[LayerSignal]:
    """What is measured and predicted of every layer."""
    return list(measure_signal(stack_of(entries), batch=batch, draws=DRAWS).layers)


def is_within(predicted: float | None, seen: Spread, tolerance: float) -> bool:
    """Whether a prediction is within a tolerance and four standard errors of the median."""
    assert predicted is not None
    error = math.log(seen.high / seen.low) / RANGE * math.sqrt(math.pi / 2 / DRAWS)
    return abs(math.log(predicted / seen.median)) < math.log1p(tolerance) + 4 * error


def misses(layers: list[LayerSignal], std: float, gradient: float) -> list[str]:
    """The layers whose std or gradient is predicted less well than within these tolerances."""
    off: list[str] = []
    for layer in layers:
        assert layer.output is not None
        if not is_within(layer.predicted.std, layer.output.std, std):
            off.append(f"std of {layer.name}: {layer.predicted.std}, {layer.output.std}")
        if layer.gradient is None:
            assert layer.predicted.gradient_rms is None
        elif not is_within(layer.predicted.gradient_rms, layer.gradient.rms, gradient):
            off.append(
                f"gradient of {layer.name}: {layer.predicted.gradient_rms}, {layer.gradient.rms}"
            )
    return off
