"""What holds for every valid stack."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import initcli

sizes = st.integers(1, 6)
initializers = st.sampled_from(
    [
        "glorot_uniform",
        "he_normal",
        "orthogonal",
        "random_normal",
        "zeros",
        {"type": "VarianceScaling", "scale": 2.0, "mode": "fan_out", "distribution": "uniform"},
        {"type": "Constant", "value": 0.5},
        {"type": "RandomUniform", "seed": 7},
    ]
)
pointwise = st.one_of(
    st.sampled_from(["ReLU", "ELU", "Softmax", "Identity", "LeakyReLU", "PReLU"]).map(
        lambda name: {"type": name}
    ),
    st.builds(lambda rate: {"type": "Dropout", "rate": rate}, st.floats(0, 1)),
    st.booleans().map(lambda center: {"type": "BatchNormalization", "center": center}),
    st.booleans().map(lambda scale: {"type": "LayerNormalization", "scale": scale}),
)
convolutions = st.builds(
    lambda kind, filters, size, strides, kernel, bias: {
        "type": kind,
        "filters": filters,
        "kernel_size": size,
        "strides": strides,
        "padding": "same",
        "use_bias": bias,
        "bias_initializer": "ones",
        **({} if kind.startswith("Separable") else {"kernel_initializer": kernel}),
    },
    st.sampled_from(["Conv2D", "SeparableConv2D", "Conv2DTranspose"]),
    sizes,
    st.integers(1, 3),
    st.integers(1, 2),
    initializers,
    st.booleans(),
)
pools = st.sampled_from(["MaxPooling2D", "AveragePooling2D"]).map(
    lambda name: {"type": name, "pool_size": 2, "padding": "same"}
)
dense = st.builds(
    lambda units, kernel: {"type": "Dense", "units": units, "kernel_initializer": kernel},
    sizes,
    initializers,
)
layers = st.builds(
    lambda images, vectors: [*images, {"type": "Flatten"}, *vectors],
    st.lists(convolutions | pools | pointwise, max_size=4),
    st.lists(dense | pointwise, min_size=1, max_size=4),
)
stacks = st.builds(
    lambda shape, stack, dtype, seed: {
        "input_shape": shape,
        "layers": stack,
        "dtype": dtype,
        "seed": seed,
    },
    st.lists(sizes, min_size=3, max_size=3),
    layers,
    st.sampled_from(["float16", "bfloat16", "float32", "float64"]),
    st.integers(0, 2**40),
)
few = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def built(spec: dict[str, Any]) -> initcli.Model:
    return initcli.parse(json.dumps(spec))


def values(model: initcli.Model) -> dict[str, Any]:
    return {parameter.path: initcli.draw(parameter) for parameter in model.parameters}


@few
@given(stacks)
def test_counts_add_up(spec: dict[str, Any]) -> None:
    model = built(spec)
    totals = initcli.totals(model)
    assert totals.params == sum(layer.size for layer in model.layers)
    assert totals.params == sum(parameter.size for parameter in model.parameters)
    assert (totals.trainable or 0) + (totals.non_trainable or 0) == totals.params
    bits = {"float16": 16, "bfloat16": 16, "float32": 32, "float64": 64}[spec["dtype"]]
    assert totals.bytes == totals.params * bits // 8


@few
@given(stacks)
def test_what_is_measured_is_all_that_was_drawn(spec: dict[str, Any]) -> None:
    model = built(spec)
    drawn = values(model)
    for tensor in initcli.summarize(model):
        measured, array = tensor.measured, drawn[tensor.parameter.path]
        assert measured is not None
        assert array.shape == tensor.parameter.shape
        assert measured.count == array.size == measured.histogram.counts.sum()
        assert measured.shown.counts.sum() == array.size
        counts = initcli.data_histogram(tensor.parameter, measured).counts
        assert counts.sum() == array.size
        assert (measured.min, measured.max) == (array.min(), array.max())


@few
@given(stacks)
def test_the_same_seed_gives_the_same_values_and_the_last_layer_changes_none_before(
    spec: dict[str, Any],
) -> None:
    whole = values(built(spec))
    again = values(built(spec))
    assert whole.keys() == again.keys()
    for path, array in whole.items():
        np.testing.assert_array_equal(again[path], array)
    shorter = values(built({**spec, "layers": spec["layers"][:-1]}))
    assert shorter.keys() <= whole.keys()
    for path, array in shorter.items():
        np.testing.assert_array_equal(array, whole[path])


@few
@given(stacks, st.integers(0, 20))
def test_a_layer_in_between_changes_no_other_tensor(spec: dict[str, Any], place: int) -> None:
    named = [{**layer, "name": f"layer{i}"} for i, layer in enumerate(spec["layers"])]
    more = list(named)
    more.insert(place % (len(named) + 1), {"type": "Dropout", "rate": 0.5})
    before = values(built({**spec, "layers": named}))
    after = values(built({**spec, "layers": more}))
    assert before.keys() == after.keys()
    for path, array in before.items():
        np.testing.assert_array_equal(after[path], array)
