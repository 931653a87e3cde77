"""The summary as plain data, with the keys and the columns that the README documents."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

import msgspec

from initcli.distributions import Distribution
from initcli.initializers import Initializer
from initcli.measuring.measurement import Measurement
from initcli.model import BuiltLayer, Model, leaves
from initcli.parameter import Parameter
from initcli.render.rows import Row, Rows
from initcli.reports.summary import TensorSummary, totals


def summary_json(model: Model, tensors: Iterable[TensorSummary]) -> str:
    """The summary as one JSON object on one line, in ASCII, and without NaN or infinity."""
    return json.dumps(summary_data(model, tensors), allow_nan=False)


COLUMNS = (
    *("spec", "model", "path", "layer", "name", "shape", "size", "dtype", "trainable"),
    *(
        "fan_in",
        "fan_out",
        "initializer",
        "distribution",
        "distribution_mean",
        "distribution_std",
        "distribution_low",
        "distribution_high",
    ),
    *("count", "mean", "std", "min", "max", "zeros", "fit_statistic", "fit_p_value"),
)
"""What a summary's rows have."""
_SHOWN = (
    *("path", "shape", "size", "initializer", "distribution"),
    *("mean", "std", "min", "max", "fit_p_value"),
)


def summary_rows(spec: str, model: Model, tensors: Iterable[TensorSummary]) -> Rows:
    """The summary as flat rows, one a tensor; ``spec`` is how the model's file was named."""
    sums = totals(model)
    facts = [f"seed {model.seed}", model.dtype, f"{model.defaults} defaults"]
    facts.append(f"{sums.params:,} weights, {sums.trainable:,} of them trainable")
    owners = _owners(model)
    rows = (_row(spec, model.name, owners[each.parameter.path], each) for each in tensors)
    return Rows(COLUMNS, rows, model.name, ", ".join(facts), _SHOWN)


def _row(spec: str, model: str, layer: str, tensor: TensorSummary) -> Row:
    parameter, distribution, seen, fit = (
        tensor.parameter,
        tensor.distribution,
        tensor.measured,
        tensor.fit,
    )
    row: dict[str, Any] = {
        "spec": spec,
        "model": model,
        **_facts(parameter, layer),
        "initializer": str(parameter.initializer),
        "distribution": None if distribution is None else distribution.text,
    }
    if distribution is not None:
        low, high = distribution.support
        row |= {
            "distribution_mean": distribution.mean,
            "distribution_std": distribution.std,
            "distribution_low": low,
            "distribution_high": high,
        }
    if seen is not None:
        row |= {name: getattr(seen, name) for name in ("count", "mean", "std", "min", "max")}
        row["zeros"] = seen.zeros
    if fit is not None:
        row |= {"fit_statistic": fit.statistic, "fit_p_value": fit.p_value}
    return row


def _owners(model: Model) -> dict[str, str]:
    """The layer of each tensor."""
    return {
        parameter.path: layer.name
        for layer in leaves(model.layers)
        for parameter in layer.parameters
    }


def summary_data(model: Model, tensors: Iterable[TensorSummary]) -> dict[str, Any]:
    """The summary as plain data."""
    owners = _owners(model)
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
        **_facts(parameter, layer),
        "initializer": _initializer(parameter.initializer),
        "distribution": tensor.distribution and _distribution(tensor.distribution),
        "measured": tensor.measured and _measured(tensor.measured),
        "fit": tensor.fit and msgspec.structs.asdict(tensor.fit),
    }


def _facts(parameter: Parameter, layer: str) -> dict[str, Any]:
    """What a tensor is, whatever fills it."""
    fans = parameter.fans
    return {
        "path": parameter.path,
        "layer": layer,
        "name": parameter.name,
        "shape": list(parameter.shape),
        "size": parameter.size,
        "dtype": parameter.dtype,
        "trainable": parameter.trainable,
        "fan_in": fans.fan_in,
        "fan_out": fans.fan_out,
    }


def _initializer(initializer: Initializer) -> dict[str, Any]:
    return {"type": initializer.type_name, **msgspec.to_builtins(initializer.arguments)}


def _distribution(distribution: Distribution) -> dict[str, Any]:
    low, high = distribution.support
    return {
        "type": type(distribution).__name__,
        "text": distribution.text,
        "mean": distribution.mean,
        "std": distribution.std,
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
