"""Kernels scaled layer by layer so that sums have variance 1 on a batch (LSUV)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import initcli
from initcli.model import Model
from initcli.sampling.chunks import draw
from initcli.signal.lsuv import lsuv
from support.running import run

DEEP = {
    "input_shape": [32],
    "layers": [
        {"type": "Dense", "units": 64, "activation": "relu", "kernel_initializer": "orthogonal"},
        {
            "type": "Dense",
            "units": 48,
            "activation": "tanh",
            "bias_initializer": {"type": "RandomNormal", "stddev": 0.5},
        },
        {
            "type": "Dense",
            "units": 16,
            "kernel_initializer": {"type": "RandomNormal", "stddev": 9.0},
        },
    ],
}


def parsed(spec: dict[str, Any]) -> Model:
    return initcli.parse(json.dumps(spec))


def test_sums_have_variance_1_layer_by_layer() -> None:
    x = np.random.default_rng(1).normal(0.3, 2.0, (200, 32)).astype(np.float32)
    before = parsed(DEEP)
    after = lsuv(before, inputs={"input": x})
    values = {each.path: draw(each) for each in after.parameters}
    functions: dict[str, Callable[[Any], Any]] = {
        "dense": lambda y: np.maximum(y, 0),
        "dense_1": np.tanh,
        "dense_2": np.positive,
    }
    for name, function in functions.items():
        sums = x @ values[f"{name}/kernel"] + values[f"{name}/bias"]
        assert float(np.var(sums)) == pytest.approx(1, abs=0.01)
        x = function(sums)
    for old, new in zip(before.parameters, after.parameters, strict=True):
        if old.name == "bias":
            assert np.array_equal(draw(old), draw(new))
        else:
            ratios = draw(new) / draw(old)
            assert float(np.ptp(ratios)) < 1e-5 * float(ratios.mean())


def test_a_deep_stack_of_orthogonal_convolutions_keeps_its_size() -> None:
    conv = {"type": "Conv2D", "filters": 12, "kernel_size": 3, "padding": "same"}
    made = {"kernel_initializer": "orthogonal", "activation": "relu"}
    layers = [{"repeat": 12, "layers": [{**conv, **made}]}]
    model = parsed({"input_shape": [8, 8, 3], "layers": layers})
    stds = {}
    for name, each in (("plain", model), ("scaled", lsuv(model, batch=32))):
        signal = initcli.measure_signal(each, batch=32, draws=1, theory=False)
        stds[name] = [layer.output.std.median for layer in signal.layers if layer.output]
    assert stds["plain"][-1] < 0.05
    # Half of a normal number with variance 1 has the standard deviation 0.58.
    assert all(0.3 < std < 0.8 for std in stds["scaled"])


def test_sums_of_kernels_with_multipliers_have_variance_1() -> None:
    layers = [{"type": "Dense", "units": 32}, {"type": "Dense", "units": 8}]
    spec = {"input_shape": [64], "layers": layers, "parametrization": "ntk"}
    signal = initcli.measure_signal(lsuv(parsed(spec), batch=64), batch=64, draws=1, theory=False)
    stds = [layer.output.std.median for layer in signal.layers if layer.output]
    assert stds == pytest.approx([1, 1], abs=0.01)


def test_export_scales_what_it_draws(tmp_path: Path) -> None:
    spec = tmp_path / "deep.json"
    spec.write_text(json.dumps(DEEP))
    done = run("export", spec, "--out", tmp_path / "w.npz", "--lsuv")
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "w.npz") as found:
        for each in lsuv(initcli.load(spec)).parameters:
            assert np.array_equal(found[each.path], draw(each))
    stored = run("export", tmp_path / "w.npz", "--out", tmp_path / "v.npz", "--lsuv")
    assert stored.returncode == 2
    assert "scales sampled values" in stored.stderr


def test_a_kernel_of_zeros_stays() -> None:
    layers = [{"type": "Dense", "units": 4, "kernel_initializer": "zeros"}]
    (kernel, _) = lsuv(parsed({"input_shape": [8], "layers": layers}), batch=4).parameters
    assert not draw(kernel).any()


def test_a_kernel_that_cannot_give_variance_1_stays_and_is_named(tmp_path: Path) -> None:
    spec = tmp_path / "lstm.json"
    layers = [{"type": "LSTM", "units": 4}]
    spec.write_text(json.dumps({"input_shape": [6, 8], "layers": layers}))
    before = initcli.load(spec)
    after = lsuv(before, batch=16)
    assert after.notes == ("the kernels of lstm are not scaled",)
    for old, new in zip(before.parameters, after.parameters, strict=True):
        assert np.array_equal(draw(old), draw(new))
    done = run("export", spec, "--out", tmp_path / "w.npz", "--lsuv")
    assert "the kernels of lstm are not scaled" in done.stderr
