"""The fans that a layer says of its weights are those that its sums have."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import initcli
from initcli.parameter import Parameter
from initcli.signal.passes import Pass, forwards
from initcli.signal.program import program

LINEAR: list[tuple[list[int], dict[str, Any]]] = [
    ([5], {"type": "Dense", "units": 3}),
    ([3, 4], {"type": "Dense", "units": 2}),
    ([9, 4], {"type": "Conv1D", "filters": 6, "kernel_size": 3}),
    ([9, 4], {"type": "Conv1D", "filters": 6, "kernel_size": 3, "groups": 2}),
    ([9, 4], {"type": "Conv1D", "filters": 2, "kernel_size": 3, "dilation_rate": 2}),
    (
        [3, 7, 7],
        {"type": "Conv2D", "filters": 4, "kernel_size": 3, "data_format": "channels_first"},
    ),
    ([7, 7, 2], {"type": "DepthwiseConv2D", "kernel_size": 3, "depth_multiplier": 2}),
    ([9, 3], {"type": "Conv1DTranspose", "filters": 2, "kernel_size": 3}),
    ([9, 3], {"type": "Conv1DTranspose", "filters": 2, "kernel_size": 4, "strides": 2}),
    ([9, 3], {"type": "SeparableConv1D", "filters": 4, "kernel_size": 3, "depth_multiplier": 2}),
    ([3, 4], {"type": "EinsumDense", "equation": "abc,cde->abde", "output_shape": [None, 2, 3]}),
    ([3, 2, 3], {"type": "EinsumDense", "equation": "abcd,cde->abe", "output_shape": [None, 5]}),
    ([3, 4], {"type": "EinsumDense", "equation": "abc,bcd->abd", "output_shape": [3, 5]}),
    ([3, 4], {"type": "EinsumDense", "equation": "ab...,bc->ac...", "output_shape": 5}),
]


def counted(shape: list[int], layer: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """For each kernel, how many of its entries one output depends on, and how many outputs one
    entry of what it is applied to changes: the most of all, as borders have fewer."""
    spec: dict[str, Any] = {
        "input_shape": shape,
        "layers": [{**layer, "use_bias": False, "name": "layer"}],
    }
    if layer["type"] == "EinsumDense":
        del spec["layers"][0]["use_bias"]
    built = program(initcli.parse(json.dumps(spec)), 1)
    rng = np.random.default_rng(0)
    x = rng.uniform(1, 2, built.shapes[built.inputs[0].tensor])
    values = {p.path: rng.uniform(1, 2, p.shape) for p in built.steps[-1].parameters}

    def output(inputs: Any, weights: dict[str, Any]) -> Any:
        about = Pass(lambda p: weights[p.path], "fans")
        *_, (_, (y, *_)) = forwards(built, {built.inputs[0].tensor: inputs}, about)
        return y.ravel()

    def changed(array: Any, evaluate: Any) -> Any:
        """Which outputs each entry changes: (entries, outputs)."""
        before, rows = evaluate(array), []
        for index in range(array.size):
            moved = array.copy()
            moved.reshape(-1)[index] += 1
            rows.append(~np.isclose(evaluate(moved), before, rtol=1e-9))
        return np.array(rows)

    found = {}
    into = changed(x, lambda each: output(each, values))
    for path, kernel in values.items():
        by_weight = changed(kernel, lambda each, path=path: output(x, {**values, path: each}))
        found[path.partition("/")[2]] = int(by_weight.sum(0).max()), int(into.sum(1).max())
    return found


@pytest.mark.parametrize(("shape", "layer"), LINEAR)
def test_fans_are_what_sums_have(shape: list[int], layer: dict[str, Any]) -> None:
    kernel: dict[str, Any] = {"type": "RandomNormal", "stddev": 0.1}
    parts = ("kernel", "depthwise", "pointwise")
    kinds = parts[1:] if "Separable" in layer["type"] else parts[:1]
    if "Depthwise" in layer["type"]:
        kinds = parts[1:2]
    filled = {**layer, **{f"{part}_initializer": kernel for part in kinds}}
    model = initcli.parse(json.dumps({"input_shape": shape, "layers": [filled]}))
    said = {p.name: p.fans for p in model.parameters if "bias" not in p.path}
    right = counted(shape, layer)
    if "depthwise_kernel" in said:
        # The two kernels of a separable convolution come one after the other.
        window, mixed = layer["kernel_size"], shape[-1] * layer["depth_multiplier"]
        assert tuple(said["depthwise_kernel"]) == (window, window * layer["depth_multiplier"])
        assert tuple(said["pointwise_kernel"]) == (mixed, layer["filters"])
        assert right["pointwise_kernel"][0] == mixed
        return
    assert {name: tuple(fans) for name, fans in said.items()} == right


def fans(layer: dict[str, Any], shape: list[int]) -> dict[str, tuple[int, int]]:
    model = initcli.parse(json.dumps({"input_shape": shape, "layers": [{**layer, "name": "a"}]}))
    kernels = [p for p in model.parameters if p.path.endswith("kernel")]
    return {
        p.path.removeprefix("a/").partition("/kernel")[0]: (p.fans.fan_in, p.fans.fan_out)
        for p in kernels
    }


@pytest.mark.parametrize("initializer", [{"type": "RandomNormal"}, "zeros", "glorot_uniform"])
def test_projections_of_attention_have_the_fans_of_their_sums(initializer: Any) -> None:
    layer = {"num_heads": 4, "key_dim": 8, "value_dim": 6, "kernel_initializer": initializer}
    assert fans({"type": "MultiHeadAttention", **layer}, [5, 20]) == {
        "query": (20, 32),
        "key": (20, 32),
        "value": (20, 24),
        "attention_output": (24, 20),
    }
    grouped: dict[str, Any] = {"num_query_heads": 4, "num_key_value_heads": 2, "head_dim": 8}
    grouped |= {"type": "GroupedQueryAttention", "kernel_initializer": initializer}
    assert fans(grouped, [5, 20])["key"] == (20, 16)


def test_gates_of_recurrent_layers_stand_beside_one_another() -> None:
    both = {f"{name}_initializer": {"type": "RandomNormal"} for name in ("kernel", "recurrent")}
    found = fans({"type": "LSTM", "units": 3, **both}, [5, 7])
    assert set(found.values()) == {(7, 12), (3, 12)}
    image = {"type": "ConvLSTM1D", "filters": 3, "kernel_size": 2, **both}
    assert set(fans(image, [5, 7, 4]).values()) == {(2 * 4, 2 * 12), (2 * 3, 2 * 12)}


def test_an_initializer_that_counts_fans_shows_what_it_counts() -> None:
    """Its distribution depends on them, right or wrong: Keras counts all channels of a depthwise
    kernel."""
    layer = {"type": "DepthwiseConv2D", "kernel_size": 3, "depth_multiplier": 2}
    assert fans(layer, [7, 7, 4]) == {"kernel": (36, 18)}
    layer["depthwise_initializer"] = {"type": "RandomNormal"}
    assert fans(layer, [7, 7, 4]) == {"kernel": (9, 18)}


def test_what_nobody_says_is_counted_by_the_shape() -> None:
    table = Parameter(path="w", shape=(50, 8), initializer=initcli.initializers.Zeros())
    assert tuple(table.fans) == (50, 8)
    assert table.wired_fans is None
