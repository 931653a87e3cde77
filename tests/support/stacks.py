"""Stacks for checks, and what checks say of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

import initcli
from initcli.checkpoint import Checkpoint, Subject
from initcli.checks import Check, Finding, Report, known_checks
from initcli.checks.values import ValueCheck
from initcli.sources.pairing import held_to, paired
from initcli.sources.weights.read import checkpoint

VALUE_CHECKS = [rule for rule in known_checks().values() if issubclass(rule, ValueCheck)]
"""The checks of stored values."""
CHECKS = [
    rule for rule in known_checks().values() if rule.code != "I501" and rule not in VALUE_CHECKS
]
"""The checks of specs; I501 is about code."""


def of_example(rule: type[Check], text: str, folder: Path) -> initcli.Model:
    """The model of one of a check's own specs, with the initializers that it needs."""
    spec = folder / "spec.yaml"
    spec.write_text(text, encoding="utf-8")
    custom = []
    if code := rule.example("With these initializers"):
        file = folder / "initializers.py"
        file.write_text(code, encoding="utf-8")
        custom = [str(file)]
    return initcli.load(str(spec), custom=custom)


def stored(folder: Path, **tensors: Any) -> Checkpoint:
    """A file of NumPy arrays; floating-point numbers of 64 bits are stored in 32."""
    file = folder / "weights.npz"
    arrays = {
        path: each.astype(np.float32) if each.dtype == np.float64 else each
        for path, each in tensors.items()
    }
    np.savez(file, **arrays)
    found = checkpoint(str(file))
    assert found is not None
    return found


def of_value_example(code: str, folder: Path) -> Subject:
    """The tensors of an example of a check of stored values, with the model that declares them."""
    names: dict[str, Any] = {"np": np, "tensors": {}}
    exec(code, names)
    found = stored(folder, **names["tensors"])
    if "spec" not in names:
        return found
    model = initcli.parse(names["spec"])
    return (held_to if model.source == "huggingface" else paired)(model, found)


def errors(report: Report) -> list[Finding]:
    return [finding for finding in report.findings if finding.severity == "error"]


def stack(count: int, hidden: dict[str, Any], width: int = 256, inputs: int = 256) -> str:
    """A stack of equal dense layers and a last one."""
    layer = {"type": "Dense", "units": width, **hidden}
    layers = [{"repeat": count, "layers": [layer]}, {"type": "Dense", "units": 10}]
    return json.dumps({"input_shape": [inputs], "layers": layers})


_DENSE = {"type": "Dense", "units": 4, "activation": "tanh"}


def chain(n: int) -> dict[str, Any]:
    return {"layers": [_DENSE] * n}


def one_layer_again(n: int) -> dict[str, Any]:
    return {"layers": [{**_DENSE, "name": "d"}, *[{"call": "d"}] * (n - 1)]}


def diamonds(n: int) -> dict[str, Any]:
    layers: list[dict[str, Any]] = [{**_DENSE, "name": "s0"}]
    for i in range(n // 2):
        layers.append({**_DENSE, "name": f"d{i}", "inputs": [f"s{i}"]})
        layers.append({"type": "Add", "name": f"s{i + 1}", "inputs": [f"s{i}", f"d{i}"]})
    return {"layers": layers}


def densely_connected(n: int) -> dict[str, Any]:
    """So many connections."""
    layers: list[dict[str, Any]] = [{**_DENSE, "name": "d0"}]
    while (count := len(layers) // 2 + 1) * (count + 1) // 2 <= n:
        before = [f"d{k}" for k in range(count)]
        taken = before if len(before) > 1 else [before[0], before[0]]
        layers.append({"type": "Concatenate", "name": f"c{count}", "inputs": taken})
        layers.append({**_DENSE, "name": f"d{count}", "inputs": [f"c{count}"]})
    return {"layers": layers}


def nested_blocks(n: int) -> dict[str, Any]:
    layers: list[dict[str, Any]] = [_DENSE] * (n // 16)
    for depth in range(4):
        layers = [{"repeat": 2, "name": f"b{depth}", "layers": layers}]
    return {"layers": layers}


GROWING = (chain, one_layer_again, diamonds, densely_connected, nested_blocks)
"""Models of about so many layers or connections."""
