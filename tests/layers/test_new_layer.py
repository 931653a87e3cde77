"""A layer type is one class: what it says of itself is all that any report needs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import initcli
from initcli.activations import Silu
from initcli.initializers import GlorotUniform, Initializer
from initcli.layers import Layer, known_layers
from initcli.layers.base import known_size
from initcli.layers.flow import Flow
from initcli.parameter import Parameter
from initcli.types import Array, PositiveInt, Shape


class SwiGLU(Layer, frozen=True, kw_only=True):
    """A gated feed-forward layer: (silu(x · gate) ∘ (x · up)) · down (Shazeer 2020)."""

    registered = False  # but for the tests below, so that the catalog of others stays as it is

    units: PositiveInt
    kernel_initializer: Initializer = GlorotUniform()

    def parameters(self, shape: Shape) -> Iterator[Parameter]:
        width = known_size(self, shape, -1)
        for name, size in {
            "gate": (width, self.units),
            "up": (width, self.units),
            "down": (self.units, width),
        }.items():
            yield self.weight(name, size, "kernel_initializer", contracts=(0,), produces=(1,))

    def call(self, flow: Flow, x: Array) -> Array:
        xp = flow.xp
        gate = Silu().call(xp, xp.matmul(x, flow["gate"]))
        return xp.matmul(gate * xp.matmul(x, flow["up"]), flow["down"])


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(known_layers(), "SwiGLU", SwiGLU)


def model(*layers: dict[str, Any], **spec: Any) -> initcli.Model:
    named = [{"name": f"l{number}", **layer} for number, layer in enumerate(layers)]
    return initcli.parse(json.dumps({"input_shape": [32], "layers": named, **spec}))


def swiglu(**arguments: Any) -> dict[str, Any]:
    return {"type": "SwiGLU", "units": 64, **arguments}


def test_it_is_drawn_and_exported(tmp_path: Path) -> None:
    of = model(swiglu(), {"type": "Dense", "units": 4})
    assert [p.path for p in of.parameters[:3]] == ["l0/gate", "l0/up", "l0/down"]
    assert {p.argument for p in of.parameters[:3]} == {"kernel_initializer"}
    file = tmp_path / "weights.npz"
    initcli.export(of, file)
    with np.load(file) as weights:
        bound = np.sqrt(6 / (32 + 64))
        assert 0.9 * bound < np.abs(weights["l0/gate"]).max() <= bound


def test_its_output_is_measured_and_not_predicted() -> None:
    signal = initcli.measure_signal(model(swiglu()), draws=2)
    (seen,) = signal.layers
    assert seen.output is not None
    assert seen.output.std.median > 0
    assert seen.predicted.std is None


def test_zeros_are_found() -> None:
    report = initcli.check(model(swiglu(kernel_initializer="zeros"), {"type": "Dense", "units": 4}))
    found = {f.tensor for f in report.findings if f.code == "I101"}
    assert found & {"l0/gate", "l0/up", "l0/down"}


def test_a_deep_stack_that_loses_its_signal_is_found() -> None:
    report = initcli.check(model(*[swiglu()] * 12, {"type": "Dense", "units": 4}))
    assert "I202" in {finding.code for finding in report.findings}


@pytest.mark.parametrize(("framework", "std"), [("torch", (1 / 96) ** 0.5), ("flax", 32**-0.5)])
def test_it_starts_as_in_other_frameworks(framework: str, std: float) -> None:
    of = model(swiglu(), defaults=framework)
    gate = of.parameters[0].distribution
    assert gate is not None
    assert gate.std == pytest.approx(std)
    assert [f"{framework} has no SwiGLU" in note for note in of.notes] == [True]
    own = model(swiglu(kernel_initializer="he_normal"), defaults=framework)
    assert [p.initializer.type_name for p in own.parameters] == ["HeNormal"] * 3
