"""A layer type is one class: what it says of itself is all that any report needs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import initcli
from initcli.activations import Silu
from initcli.initializers import GlorotUniform, Initializer
from initcli.layers import Layer, known_layers
from initcli.layers.base import known_size
from initcli.layers.core import Dense
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


class Linear(Dense, frozen=True, kw_only=True):
    """A dense layer whose kernel has an argument of another name."""

    registered = False
    w: Initializer = GlorotUniform()

    def parameters(self, shape: Shape) -> Iterator[Parameter]:
        width = known_size(self, shape, -1)
        yield self.weight("kernel", (width, self.units), "w", contracts=(0,), produces=(1,))
        yield self.weight("bias", (self.units,), "bias_initializer")


class Alike(Linear, frozen=True, kw_only=True):
    """A dense layer whose kernel and bias have the same argument."""

    registered = False

    def parameters(self, shape: Shape) -> Iterator[Parameter]:
        kernel, bias = super().parameters(shape)
        yield from (kernel, msgspec.structs.replace(bias, argument="w"))


class Silent(Linear, frozen=True, kw_only=True):
    """A dense layer that does not say which axes it sums over."""

    registered = False

    def parameters(self, shape: Shape) -> Iterator[Parameter]:
        for each in super().parameters(shape):
            yield msgspec.structs.replace(each, contracts=None, produces=None)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    for each in (SwiGLU, Linear, Alike, Silent):
        monkeypatch.setitem(known_layers(), each.__name__, each)


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


def written(path: Path, *layers: dict[str, Any]) -> Path:
    spec = path / "spec.yaml"
    named = [json.dumps({"name": f"l{number}", **layer}) for number, layer in enumerate(layers)]
    spec.write_text("input_shape: [32]\nlayers:\n" + "".join(f"- {each}\n" for each in named))
    return spec


@pytest.mark.parametrize(
    ("kind", "filled", "kept"),
    [
        ("Linear", "Ones", None),
        ("Alike", "GlorotUniform", "l0/kernel"),
        ("Silent", "GlorotUniform", "l0/kernel"),
    ],
)
def test_a_kernel_is_varied_whatever_its_argument_is_called(
    tmp_path: Path, kind: str, filled: str, kept: str | None
) -> None:
    layers = {"type": kind, "units": 8}, {"type": "Dense", "units": 4}
    ((_, varied),) = initcli.variants([written(tmp_path, *layers)], kernel_initializers=["ones"])
    kernels = [str(each.initializer) for each in varied.parameters if each.name == "kernel"]
    assert kernels == [filled, "Ones"]
    notes = [] if kept is None else [f"--kernel-initializer does not change {kept}"]
    assert list(varied.notes) == notes


def test_a_kernel_is_scaled_whatever_its_argument_is_called(tmp_path: Path) -> None:
    layer = {"type": "Linear", "units": 32, "activation": "relu"}
    spec = written(tmp_path, *[layer] * 30, {"type": "Dense", "units": 4})
    fixed = initcli.fix(spec, how="predicted")
    assert [each.code for each in fixed.first.findings] == ["I202"]
    assert (fixed.last.findings, fixed.after.count("w: he_")) == ((), 30)


def test_check_says_of_which_kernels_it_knows_no_scale() -> None:
    report = initcli.check(model(*[swiglu()] * 12, {"type": "Dense", "units": 4}))
    said = "the scale that the kernels of l0, l1, l2, l3, l4 and 3 more need is not known"
    assert said in report.notes


def test_lsuv_scales_a_kernel_whatever_its_argument_is_called() -> None:
    layers = {"type": "Linear", "units": 8}, swiglu()
    scaled = initcli.lsuv(model(*layers), batch=32)
    assert scaled.notes == ()
    signal = initcli.measure_signal(scaled, batch=32, draws=1)
    assert [layer.output.std.median for layer in signal.layers if layer.output] == pytest.approx(
        [1, 1], abs=0.01
    )


def test_theory_knows_a_layer_at_every_step_that_is_the_same_at_each() -> None:
    layer = {"type": "Linear", "units": 8}
    wrapped = {"type": "TimeDistributed", "layer": layer}
    at_each = initcli.predict_signal(model(wrapped, input_shape=[5, 32])).layers[0]
    at_once = initcli.predict_signal(model(layer, input_shape=[5, 32])).layers[0]
    assert at_once.predicted.std is not None
    assert at_each.predicted.std == pytest.approx(at_once.predicted.std)
