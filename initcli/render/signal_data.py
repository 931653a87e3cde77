"""The signal as plain data, with the keys that the README documents, and as CSV."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from typing import Any

import msgspec

from initcli.signal.figures import LayerSignal, OutputSignal, Signal, Spread, TensorSignal
from initcli.signal.theory import Prediction
from initcli.signal.verdict import Verdict, verdict

_FIGURES = OutputSignal.__struct_fields__
_PREDICTED = Prediction.__struct_fields__


def signal_json(signal: Signal, only: Sequence[str] = ()) -> str:
    """The signal as one JSON object on one line; what is not finite is null.

    Raises:
        NoSuchTensor: a pattern of ``only`` matches no layer and no tensor.
    """
    return json.dumps(signal_data(signal, only), allow_nan=False)


def signal_data(signal: Signal, only: Sequence[str] = ()) -> dict[str, Any]:
    """The signal as plain data; the verdict is on the whole signal whatever is shown of it."""
    model, shown = signal.model, signal.matching(only) if only else signal
    return {
        "model": {
            "name": model.name,
            "seed": model.seed,
            "dtype": model.dtype,
            "defaults": model.defaults,
        },
        "batch": signal.batch,
        "draws": signal.draws,
        "layers": [_layer(layer) for layer in shown.layers],
        "tensors": [_tensor(tensor) for tensor in shown.tensors],
        "verdict": verdict_data(verdict(signal)),
        "notes": list(signal.notes),
    }


def verdict_data(found: Verdict) -> dict[str, Any]:
    """A verdict as plain data."""
    return {
        name: _number(value) if isinstance(value, float) else value
        for name, value in msgspec.structs.asdict(found).items()
    }


def signal_csv(signal: Signal, only: Sequence[str] = ()) -> str:
    """One line a layer: every figure's median, least and greatest, and what is predicted.

    Raises:
        NoSuchTensor: a pattern of ``only`` matches no layer and no tensor.
    """
    signal = signal.matching(only) if only else signal
    page = io.StringIO()
    writer = csv.writer(page, lineterminator="\n")
    spreads = [*(f"output_{name}" for name in _FIGURES), "gradient_rms"]
    ends = ("", "_low", "_high")
    writer.writerow(
        [
            *("layer", "type", "call", "shape"),
            *(f"{name}{end}" for name in spreads for end in ends),
            *(f"predicted_{name}" for name in _PREDICTED),
        ]
    )
    for layer in signal.layers:
        values: list[Spread | None] = [
            *(getattr(layer.output, name, None) for name in _FIGURES),
            None if layer.gradient is None else layer.gradient.rms,
        ]
        cells: list[Any] = []
        for value in values:
            cells += [""] * 3 if value is None else [value.median, value.low, value.high]
        cells += [getattr(layer.predicted, name) for name in _PREDICTED]
        shape = "x".join(map(str, layer.shape))
        writer.writerow([layer.name, layer.type, layer.call, shape, *cells])
    return page.getvalue()


def _layer(layer: LayerSignal) -> dict[str, Any]:
    output = layer.output
    predicted = layer.predicted
    return {
        "name": layer.name,
        "type": layer.type,
        "call": layer.call,
        "shape": list(layer.shape),
        "output": output and {name: _spread(getattr(output, name)) for name in _FIGURES},
        "gradient": layer.gradient and {"rms": _spread(layer.gradient.rms)},
        "predicted": {name: _number(getattr(predicted, name)) for name in _PREDICTED},
    }


def _tensor(tensor: TensorSignal) -> dict[str, Any]:
    return {
        "path": tensor.path,
        "gradient_rms": _spread(tensor.gradient_rms),
        "gradient_to_weight": _spread(tensor.gradient_to_weight),
    }


def _spread(value: Spread | None) -> dict[str, float | None] | None:
    if value is None:
        return None
    return {
        "median": _number(value.median),
        "low": _number(value.low),
        "high": _number(value.high),
    }


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
