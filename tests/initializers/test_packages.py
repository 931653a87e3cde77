"""Initializations beside Keras's, against the implementations that people use.

The facts are those of tests/reference/make_package_facts.py.
"""

from __future__ import annotations

import json
import math
import pickle
from typing import Any

import numpy as np
import pytest

import initcli
from initcli.checks import check
from initcli.distributions import Distribution
from initcli.initializers import Initializer
from initcli.layers.embedding import Embedding
from initcli.layers.flow import Flow
from initcli.parameter import Parameter
from initcli.reports.tensors import summarize
from initcli.sampling.chunks import draw
from initcli.signal import arrays
from initcli.signal.measured import measure_signal
from initcli.sources.arguments import Arguments
from support.paths import facts

FACTS: dict[str, Any] = facts("package_facts.json")


def wave(*shape: int, phase: float = 0.3) -> Any:
    """The numbers that the script of the facts makes."""
    count = math.prod(shape)
    return np.sin(1.7 * np.arange(count) + phase).reshape(shape).astype(np.float32)


def initializer(data: Any) -> Initializer:
    arguments = Arguments()
    found = arguments.initializer(data, ())
    assert found is not None, arguments.errors
    return found


def values(made: Initializer, shape: tuple[int, ...], seed: int = 0) -> Any:
    return draw(Parameter(path="p", shape=shape, initializer=made, seed=seed))


def built(layer: dict[str, Any], shape: list[int], defaults: str = "keras") -> initcli.Model:
    entry = {**layer, "name": "it"}
    spec = {"defaults": defaults, "input_shape": shape, "layers": [entry]}
    return initcli.parse(json.dumps(spec))


def called(layer: dict[str, Any], x: Any, defaults: str = "keras", **weights: Any) -> Any:
    """What comes out of a layer with weights of those names, as ``it/…``."""
    model = built(layer, list(x.shape[1:]), defaults)
    made = model.network.layers[-1]
    names = [each.path.removeprefix("it/") for each in model.parameters]
    filled = {
        name: np.zeros(p.shape, np.float32) for name, p in zip(names, model.parameters, strict=True)
    }
    filled |= {name.replace("__", "/"): value for name, value in weights.items()}
    assert set(filled) == set(names)
    found = made.call(Flow(xp=arrays, weights=filled), x)
    return found[0] if isinstance(found, list) else found


def close(distribution: Distribution, seen: dict[str, Any], copies: int = 1) -> None:
    """Hold a distribution against what was drawn elsewhere, within six standard errors."""
    n = seen["count"] / copies
    spread = max(
        abs(seen["min"] - distribution.mean), abs(seen["max"] - distribution.mean), distribution.std
    )
    written = 1e-6 * max(1.0, spread)
    assert seen["mean"] == pytest.approx(
        distribution.mean, abs=6 * distribution.std / math.sqrt(n) + written
    )
    assert seen["std"] == pytest.approx(distribution.std, abs=6 * spread / math.sqrt(n) + written)
    low, high = distribution.support
    assert low - written <= seen["min"] <= seen["max"] <= high + written
    if math.isfinite(high) and distribution.std:
        assert seen["max"] - seen["min"] >= 0.98 * (high - low)


# ------------------------------------------------------------------------ SIREN


def test_siren_starts_as_in_siren_pytorch() -> None:
    first = FACTS["siren"]["first"]
    distribution = initializer("siren_first").distribution_for(tuple(first["shape"]))
    assert distribution is not None
    close(distribution, first)
    for case in FACTS["siren"]["hidden"]:
        made = initializer({"type": "siren", "w0": case["w0"], "c": case["c"]})
        distribution = made.distribution_for(tuple(case["shape"]))
        assert distribution is not None
        close(distribution, case)


@pytest.mark.parametrize("case", FACTS["siren"]["sine"], ids=str)
def test_sine_is_that_of_siren_pytorch(case: dict[str, Any]) -> None:
    for name in ("sin", "sine"):
        activation = {"type": name, "w0": case["w0"]}
        layer = {"type": "Activation", "activation": activation}
        y = called(layer, np.array(case["x"], np.float32))
        # What is written down of x and y is off by half of 1e-6 at most.
        assert np.allclose(y, case["y"], atol=1e-6 * (1 + case["w0"]))


def test_a_siren_keeps_its_signal_and_theory_knows_it() -> None:
    """Behind the first layer every sin takes a standard normal number: std √((1 − e⁻²)/2)."""
    hidden = {"type": "Dense", "units": 256, "activation": {"type": "sin", "w0": 30.0}}
    layers = [
        {**hidden, "kernel_initializer": "siren_first"},
        *[{**hidden, "kernel_initializer": "siren"} for _ in range(3)],
    ]
    found = measure_signal(
        initcli.parse(json.dumps({"input_shape": [64], "layers": layers})), draws=3
    )
    std = math.sqrt((1 - math.exp(-2)) / 2)
    for layer in found.layers[1:]:
        assert layer.output is not None
        assert layer.output.std.median == pytest.approx(std, rel=0.06)
        assert layer.predicted.std == pytest.approx(layer.output.std.median, rel=0.05)
        assert layer.gradient is not None
        assert layer.predicted.gradient_rms == pytest.approx(layer.gradient.rms.median, rel=0.1)
        assert layer.predicted.chi is not None


# ------------------------------------------------------------------------ kernels


@pytest.mark.parametrize("case", FACTS["icnr"], ids=lambda case: str(case["scale"]))
def test_icnr_repeats_filters_as_monai_does(case: dict[str, Any]) -> None:
    shape, scale = tuple(case["shape"]), case["scale"]
    inner = {"type": "VarianceScaling", "scale": 2.0, "distribution": "untruncated_normal"}
    data = {"type": "ICNR", "scale": scale, "initializer": inner, "order": "pixel_shuffle"}
    made = initializer(data)
    distribution = made.distribution_for(shape)
    assert distribution is not None
    close(distribution, case, copies=scale**2)
    kernel = values(made, shape)
    filters = shape[-1]
    same = [
        next(b for b in range(filters) if np.array_equal(kernel[..., a], kernel[..., b]))
        for a in range(filters)
    ]
    assert same == case["same"]
    # TensorFlow's depth_to_space takes channel p · c + k for pixel p of channel k.
    turned = values(initializer({**data, "order": "depth_to_space"}), shape)
    channels = filters // scale**2
    assert np.array_equal(turned[..., :channels], kernel[..., :: scale**2])
    assert np.array_equal(turned[..., channels : 2 * channels], turned[..., :channels])


def test_the_fit_of_icnr_counts_what_was_drawn_once() -> None:
    """Else one tensor in some would be called a misfit that is none."""
    text = """
    {input_shape: [9, 9, 4], seed: %d, layers: [
     {type: Conv2D, filters: 64, kernel_size: 3, kernel_initializer: {type: ICNR, scale: 4}}]}
    """
    fits = [summarize(initcli.parse(text % seed))[0].fit for seed in range(40)]
    p_values = [each.p_value for each in fits if each is not None]
    assert len(p_values) == 40
    # Of forty, six or more below 0.05 come once in sixty.
    assert sum(p < 0.05 for p in p_values) < 6
    assert min(p_values) > 1e-4


@pytest.mark.parametrize("case", FACTS["bilinear"], ids=lambda case: str(case["shape"]))
def test_bilinear_is_that_of_fully_convolutional_networks(case: dict[str, Any]) -> None:
    shape = tuple(case["shape"])
    made = initializer("bilinear")
    kernel = values(made, shape)
    assert np.allclose(kernel, case["kernel"], atol=1e-6)
    distribution = made.distribution_for(shape)
    assert distribution is not None
    assert (distribution.mean, distribution.std) == pytest.approx(
        (kernel.mean(), kernel.std()), abs=1e-6
    )
    grouped = values(initializer({"type": "Bilinear", "groups": 6}), (*shape[:2], 1, 6))
    assert np.allclose(grouped[..., 0, 3], np.array(case["kernel"])[..., 0, 0], atol=1e-6)


@pytest.mark.parametrize("case", FACTS["transposed"], ids=str)
def test_groups_of_a_transposed_convolution_are_those_of_torch(case: dict[str, Any]) -> None:
    groups = case["groups"]
    layer = {
        "type": "Conv2DTranspose",
        "filters": 8,
        "kernel_size": 3,
        "strides": case["strides"],
        "groups": groups,
        "use_bias": False,
    }
    y = called(layer, wave(1, 3, 4, 4, phase=1.0), "torch", kernel=wave(3, 3, 8 // groups, 4))
    assert np.allclose(y, case["y"], atol=3e-6)
    (kernel,) = built(layer, [3, 4, 4], "torch").parameters
    # torch's fan-in of (in, out / groups, k, k) counts the second axis.
    assert kernel.distribution is not None
    assert kernel.distribution.support[1] == pytest.approx(1 / math.sqrt(8 // groups * 9))
    for other in ("keras", "flax"):
        with pytest.raises(initcli.InvalidSpec, match="has no `groups`"):
            built(layer, [3, 4, 4], other)
        wrapped = {"type": "TimeDistributed", "layer": layer}
        with pytest.raises(initcli.InvalidSpec, match="has no `groups`"):
            built(wrapped, [2, 3, 4, 4], other)


def test_checks_count_what_a_group_of_a_transposed_convolution_sums_over() -> None:
    """(in / groups) · k² / stride² channels and positions, of which only one check speaks."""
    text = """
    defaults: torch
    input_shape: [8, 8, 64]
    layers:
      - {type: Conv2DTranspose, filters: 64, kernel_size: 4, strides: 2, groups: 8,
         kernel_initializer: he_normal}
      - {type: Conv2DTranspose, filters: 64, kernel_size: 4, strides: 2, groups: 64,
         kernel_initializer: {type: Bilinear, groups: 64}}
    """
    found = check(initcli.parse(text)).findings
    assert [(each.code, "32 and 128" in each.message) for each in found] == [("I303", True)]


def test_theory_knows_the_groups_of_a_transposed_convolution() -> None:
    layers = [
        {"type": "Conv2DTranspose", "filters": 64, "kernel_size": 3, "groups": 8},
        {"type": "Conv2DTranspose", "filters": 64, "kernel_size": 3, "groups": 8},
    ]
    spec = {"defaults": "torch", "input_shape": [8, 8, 64], "layers": layers}
    for layer in measure_signal(initcli.parse(json.dumps(spec)), draws=2, batch=16).layers:
        assert layer.output is not None
        assert layer.gradient is not None
        assert layer.predicted.std == pytest.approx(layer.output.std.median, rel=0.08)
        assert layer.predicted.gradient_rms == pytest.approx(layer.gradient.rms.median, rel=0.08)


# ------------------------------------------------------------------------ biases and tables


@pytest.mark.parametrize("case", FACTS["chrono"], ids=lambda case: str(case["max_time"]))
def test_chrono_fills_gates_as_published(case: dict[str, Any]) -> None:
    units = 4000
    layer = {
        "type": "LSTM",
        "units": units,
        "bias_initializer": {"type": "Chrono", "max_time": case["max_time"]},
    }
    bias = built(layer, [2, 1]).parameters[-1]
    assert bias.shape == (4 * units,)
    gates = draw(bias).reshape(4, units)
    assert np.array_equal(gates[0], -gates[1])
    whole = bias.distribution
    assert whole is not None
    distribution = bias.initializer.forget  # type: ignore[attr-defined]
    close(distribution, case["gates"][1])
    for gate, seen in zip(gates, case["gates"], strict=True):
        assert gate.mean() == pytest.approx(
            seen["mean"], abs=6 * distribution.std / math.sqrt(units)
        )
        assert gate.std() == pytest.approx(seen["std"], abs=6 * distribution.std / math.sqrt(units))
    assert whole.mean == pytest.approx(0.0, abs=1e-9)
    points = np.linspace(-8, 8, 1001)
    density = whole.pdf(points)
    steps = np.diff(whole.cdf(points))
    smooth = np.abs(points[:-1]) > 0.02
    inside = np.abs(points[:-1]) < math.log(case["max_time"] - 1) - 0.05
    middle = (density[1:] + density[:-1]) / 2 * np.diff(points)
    assert np.allclose(steps[smooth & inside], middle[smooth & inside], rtol=1e-3, atol=1e-7)


def test_a_chrono_forget_gate_is_open() -> None:
    text = "{input_shape: [9, 8], layers: [{type: LSTM, units: 8, bias_initializer: %s}]}"
    chrono = check(initcli.parse(text % "{type: Chrono, max_time: 100}"))
    assert "I403" not in {each.code for each in chrono.findings}


@pytest.mark.parametrize("case", FACTS["padding"], ids=lambda case: str(case["padding_idx"]))
@pytest.mark.parametrize("filled", ["random_uniform", "orthogonal", "ones", "zeros"])
@pytest.mark.parametrize("defaults", ["keras", "torch", "flax"])
def test_the_row_of_the_padding_is_zero_and_not_trained(
    case: dict[str, Any], filled: str, defaults: str
) -> None:
    layer = {
        "type": "Embedding",
        "input_dim": 6,
        "output_dim": 4,
        "padding_idx": case["padding_idx"],
    }
    for given in (layer, {**layer, "embeddings_initializer": filled}):
        (table,) = built(given, [5], defaults).parameters
        rows = np.flatnonzero((draw(table) == 0).all(1)).tolist()
        if given is layer or filled != "zeros":
            assert rows == case["zero_rows"]
            assert table.distribution is not None
            assert table.distribution.atoms[0.0] == pytest.approx(1 / 6)


def test_large_padded_tables_are_drawn_in_chunks_alike() -> None:
    text = "{input_shape: [5], layers: [{type: Embedding, input_dim: 700, output_dim: 300%s}]}"
    plain = draw(initcli.parse(text % "").parameters[0])
    padded = draw(initcli.parse(text % ", padding_idx: 437").parameters[0])
    assert not padded[437].any()
    padded[437] = plain[437]
    assert np.array_equal(padded, plain)


def test_a_padded_row_gets_no_gradient() -> None:
    from autograd import grad

    layer = Embedding(input_dim=4, output_dim=3, padding_idx=-1)
    ids = np.array([[0, 3, 3, 1]])

    def total(table: Any) -> Any:
        return arrays.sum(layer.call(Flow(xp=arrays, weights={"embeddings": table}), ids))

    found = grad(total)(np.ones((4, 3)))
    assert found.tolist() == [[1.0] * 3, [1.0] * 3, [0.0] * 3, [0.0] * 3]


# ------------------------------------------------------------------------ scales and norms


def test_a_scale_of_zeros_is_rezero() -> None:
    model = built({"type": "Scale", "initializer": "zeros"}, [7, 5])
    (scale,) = model.parameters
    assert scale.size == FACTS["rezero"]["size"]
    assert draw(scale).ravel().tolist() == FACTS["rezero"]["values"]
    x = wave(2, 7, 5)
    assert np.allclose(called({"type": "Scale"}, x, scale=np.float32(0.5)), x / 2)
    of_channels = wave(5)
    y = called({"type": "Scale", "axis": -1}, x, scale=of_channels)
    assert np.allclose(y, x * of_channels)
    each = wave(7, 5)
    assert np.allclose(called({"type": "Scale", "axis": [2, 1]}, x, scale=each), x * each)
    with pytest.raises(initcli.InvalidSpec, match="names the batch"):
        built({"type": "Scale", "axis": 0}, [7, 5])


def test_theory_knows_a_scale() -> None:
    layers = [
        {"type": "Dense", "units": 200, "kernel_initializer": "lecun_normal"},
        {"type": "Scale", "initializer": {"type": "Constant", "value": 0.5}},
        {"type": "Scale", "axis": -1, "initializer": {"type": "RandomNormal", "stddev": 2.0}},
    ]
    found = measure_signal(
        initcli.parse(json.dumps({"input_shape": [100], "layers": layers})), draws=5
    )
    for layer, std in zip(found.layers, (1.0, 0.5, 1.0), strict=True):
        assert layer.predicted.std == pytest.approx(std, rel=0.02)
        assert layer.output is not None
        assert layer.output.std.median == pytest.approx(std, rel=0.15)


@pytest.mark.parametrize("index", [0, 1])
def test_weight_normalization_is_that_of_torch(index: int) -> None:
    fact = FACTS["weight_norm"][index]
    inner, kernel, x = (
        ({"type": "Dense", "units": 3}, wave(4, 3), wave(2, 4, phase=1.0)),
        (
            {"type": "Conv1D", "filters": 3, "kernel_size": 2},
            wave(2, 4, 3),
            wave(2, 5, 4, phase=1.0),
        ),
    )[index]
    name = ("dense", "conv1d")[index]
    layer = {"type": "WeightNormalization", "layer": inner}
    g = np.array([0.5, 2.0, 3.0], np.float32)
    y = called(layer, x, g=g, **{f"{name}__kernel": kernel})
    assert np.allclose(y, fact["y"], atol=3e-6)
    norm = np.sqrt((kernel.reshape(-1, 3) ** 2).sum(0))
    assert norm == pytest.approx(fact["g"], abs=1e-5)


@pytest.mark.parametrize("defaults", ["keras", "torch"])
def test_g_is_the_norm_of_the_kernel_that_is_drawn(defaults: str) -> None:
    wrapped = {"type": "WeightNormalization", "layer": {"type": "Dense", "units": 6}}
    for layer in (wrapped, {"type": "TimeDistributed", "layer": wrapped}):
        g, kernel, _ = built(layer, [4, 5], defaults).parameters
        norm = np.sqrt((draw(kernel).astype(float) ** 2).sum(0))
        assert draw(g) == pytest.approx(norm, rel=1e-6)
        assert np.array_equal(draw(pickle.loads(pickle.dumps(g))), draw(g))  # as for workers
        assert g.distribution is None
    with pytest.raises(initcli.InvalidSpec, match="needs a kernel, and GRU has none"):
        built({**wrapped, "layer": {"type": "GRU", "units": 6}}, [4, 5], defaults)


def test_attention_takes_an_initializer_for_each_projection() -> None:
    given = {
        "query": "zeros",
        "key": "ones",
        "value": {"type": "Constant", "value": 2.0},
        "output": {"type": "Constant", "value": 3.0},
    }
    own = {f"{name}_initializer": each for name, each in given.items()}
    for layer in (
        {"type": "MultiHeadAttention", "num_heads": 2, "key_dim": 4},
        {
            "type": "GroupedQueryAttention",
            "head_dim": 4,
            "num_query_heads": 2,
            "num_key_value_heads": 1,
        },
    ):
        for defaults in ("keras", "torch", "flax"):
            model = built({**layer, **own, "use_bias": False}, [5, 8], defaults)
            means = {
                p.path.split("/")[1]: p.distribution.mean
                for p in model.parameters
                if p.distribution
            }
            wanted = {"query": 0.0, "key": 1.0, "value": 2.0, "attention_output": 3.0}
            assert means == wanted
            arguments = [p.argument for p in model.parameters if p.owner]
            assert arguments == [f"{name}_initializer" for name in given]
            rest = built({**layer, "key_initializer": "zeros"}, [5, 8], defaults)
            plain = built(layer, [5, 8], defaults)
            for ours, theirs in zip(rest.parameters, plain.parameters, strict=True):
                is_key = ours.path == "it/key/kernel"
                assert (ours.initializer == theirs.initializer) is not is_key
