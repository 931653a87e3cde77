"""The summary as plain data, with the keys that the README documents."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

import msgspec

from initcli.initializers import Initializer
from initcli.laws import Law
from initcli.measuring import Measurement
from initcli.spec.model import BuiltLayer, Model, leaves
from initcli.summary import TensorSummary, totals


def summary_json(model: Model, tensors: Iterable[TensorSummary]) -> str:
    """The summary as one JSON object on one line, in ASCII, and without NaN or infinity."""
    return json.dumps(summary_data(model, tensors), allow_nan=False)


def summary_data(model: Model, tensors: Iterable[TensorSummary]) -> dict[str, Any]:
    """The summary as plain data."""
    owners = {
        parameter.path: layer.name
        for layer in leaves(model.layers)
        for parameter in layer.parameters
    }
    return {
        "model": {
            "name": model.name,
            "seed": model.seed,
            "dtype": model.dtype,
            "defaults": model.defaults,
        },
        "layers": [_layer(layer) for layer in model.layers],
        "tensors": [_tensor(tensor, owners[tensor.parameter.path]) for tensor in tensors],
        "totals": msgspec.structs.asdict(totals(model)),
    }


def _layer(layer: BuiltLayer) -> dict[str, Any]:
    shapes = [list(shape) for shape in layer.output_shapes]
    found: dict[str, Any] = {
        "name": layer.name,
        "type": layer.type,
        "output_shape": shapes[0] if len(shapes) == 1 else shapes,
        "params": layer.size,
    }
    if layer.layers:
        found["layers"] = [_layer(inner) for inner in layer.layers]
    return found


def _tensor(tensor: TensorSummary, layer: str) -> dict[str, Any]:
    parameter = tensor.parameter
    return {
        "path": parameter.path,
        "layer": layer,
        "name": parameter.name,
        "shape": list(parameter.shape),
        "size": parameter.size,
        "dtype": parameter.dtype,
        "trainable": parameter.trainable,
        "fan_in": parameter.fans.fan_in,
        "fan_out": parameter.fans.fan_out,
        "initializer": _initializer(parameter.initializer),
        "law": tensor.law and _law(tensor.law),
        "measured": tensor.measured and _measured(tensor.measured),
        "fit": tensor.fit and msgspec.structs.asdict(tensor.fit),
    }


def _initializer(initializer: Initializer) -> dict[str, Any]:
    return {"type": initializer.type_name, **msgspec.to_builtins(initializer.arguments)}


def _law(law: Law) -> dict[str, Any]:
    low, high = law.support
    return {
        "type": type(law).__name__,
        "text": law.text,
        "mean": law.mean,
        "std": law.std,
        "low": low if math.isfinite(low) else None,
        "high": high if math.isfinite(high) else None,
    }


def _measured(measured: Measurement) -> dict[str, Any]:
    shown = measured.shown
    return {
        "count": measured.count,
        "mean": measured.mean,
        "std": measured.std,
        "min": measured.min,
        "max": measured.max,
        "zeros": measured.zeros,
        "histogram": {"edges": shown.edges.tolist(), "counts": shown.counts.tolist()},
    }
