"""The signal as plain data, with the keys and the columns that the README documents."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import msgspec

from initcli.render.rows import Row, Rows
from initcli.signal.figures import LayerSignal, OutputSignal, Signal, Spread, TensorSignal
from initcli.signal.judgment import Verdict, verdict
from initcli.signal.theory import Prediction

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


_ENDS = ("", "_low", "_high")
COLUMNS = (
    *("spec", "model", "layer", "type", "call", "shape"),
    *(f"output_{name}{end}" for name in _FIGURES for end in _ENDS),
    *(f"gradient_rms{end}" for end in _ENDS),
    *(f"predicted_{name}" for name in _PREDICTED),
)
"""What a signal's rows have."""
_SHOWN = (
    *("layer", "type", "output_std", "predicted_std", "output_zeros", "output_correlation"),
    *("gradient_rms", "predicted_gradient_rms"),
)


def signal_rows(spec: str, signal: Signal, only: Sequence[str] = ()) -> Rows:
    """One row a layer: every figure's median, least and greatest, and what is predicted.

    ``spec`` is how the model's file was named.

    Raises:
        NoSuchTensor: a pattern of ``only`` matches no layer and no tensor.
    """
    shown = signal.matching(only) if only else signal
    drawn = f"{signal.draws} draw{'s' * (signal.draws > 1)}" if signal.draws else "nothing drawn"
    facts = f"batch {signal.batch}, {drawn}: {verdict(signal).text}"
    rows = (_row(spec, signal.model.name, layer) for layer in shown.layers)
    return Rows(COLUMNS, rows, signal.model.name, facts, _SHOWN)


def _row(spec: str, model: str, layer: LayerSignal) -> Row:
    row: dict[str, Any] = {
        "spec": spec,
        "model": model,
        "layer": layer.name,
        "type": layer.type,
        "call": layer.call,
        "shape": list(layer.shape),
    }
    spreads: dict[str, Spread | None] = {
        f"output_{name}": getattr(layer.output, name, None) for name in _FIGURES
    }
    spreads["gradient_rms"] = None if layer.gradient is None else layer.gradient.rms
    for name, value in spreads.items():
        if value is not None:
            row |= {name: value.median, f"{name}_low": value.low, f"{name}_high": value.high}
    return row | {f"predicted_{name}": getattr(layer.predicted, name) for name in _PREDICTED}


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
