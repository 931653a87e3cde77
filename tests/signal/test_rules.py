"""Rules of theory: one class adds one, and a layer without a rule is not known."""

from __future__ import annotations

import json
from typing import Any

import pytest

import initcli
from initcli.layers.base import Layer
from initcli.signal.field import Field
from initcli.signal.initial_fields import standard
from initcli.signal.measured import measure_signal, predict_signal
from initcli.signal.rules.base import Context, EntrywiseRule, Expected, Gradient, NoTheory, affine
from initcli.signal.rules.layout import predicted
from initcli.types import Array
from support.signals import layers_of, misses

CONTEXT = Context({}, {}, [(4, 8)], [(4, 8)], options={})


class Silent(Layer, frozen=True, kw_only=True):
    """A layer that adds nothing to what every layer is."""

    registered = False


class Halved(Layer, frozen=True, kw_only=True):
    """A layer with a computation of its own."""

    registered = False

    def call(self, flow: Any, x: Array) -> Array:
        return x / 2


class AlsoHalved(Halved, frozen=True, kw_only=True):
    """A layer that inherits its computation."""

    registered = False


class HalvedRule(EntrywiseRule):
    layers = (Halved,)

    def expected(self, layer: Layer, context: Context, given: Field) -> Expected:
        return affine(given, 0.5, 0.0)


class Unknown(Layer, frozen=True, kw_only=True):
    """A layer with a computation of its own, and no rule."""

    registered = False

    def call(self, flow: Any, x: Array) -> Array:
        return x / 2


def test_a_layer_that_adds_nothing_passes_its_input_on() -> None:
    given = standard((), 8)
    output, pull, *_ = predicted(Silent(), CONTEXT, given)
    assert output == given
    gradient = Gradient.even(given.second)
    assert list(pull(gradient)) == [gradient]


def test_a_rule_is_one_class_and_holds_for_derived_layers() -> None:
    for layer in (Halved(), AlsoHalved()):
        output = predicted(layer, CONTEXT, standard((), 8)).output
        assert float(output.second) == pytest.approx(0.25)


def test_a_layer_without_a_rule_is_not_known() -> None:
    with pytest.raises(NoTheory):
        predicted(Unknown(), CONTEXT, standard((), 8))


@pytest.mark.parametrize(
    ("layers", "types"),
    [
        ([{"type": "Highway"}, {"type": "Dense", "units": 4}, {"type": "Highway"}], "Highway"),
        (
            [{"type": "Highway"}, {"type": "MaxoutDense", "units": 4}],
            "Highway and MaxoutDense",
        ),
        ([{"type": "Identity"}, {"type": "Dense", "units": 4}], None),
    ],
)
def test_a_note_lists_the_types_without_a_rule(
    layers: list[dict[str, Any]], types: str | None
) -> None:
    model = initcli.parse(json.dumps({"input_shape": [8], "layers": layers}))
    note = f"theory has no rule for {types}: predictions "
    predicted, measured = ("end there", "continue from its measured output")
    assert predict_signal(model).notes == ((note + predicted,) if types else ())
    assert measure_signal(model, batch=4, draws=1).notes == ((note + measured,) if types else ())
    assert measure_signal(model, batch=4, draws=1, theory=False).notes == ()


FIRST = {"kernel_size": 3, "padding": "same", "data_format": "channels_first"}
CASES: dict[str, list[dict[str, Any]]] = {
    "weights of each position": [
        {"type": "Input", "shape": [6, 64]},
        {"type": "EinsumDense", "equation": "abc,bcd->abd", "output_shape": [6, 64]},
        {"type": "Activation", "activation": "relu"},
        {"type": "LocallyConnected1D", "filters": 32, "kernel_size": 3},
        {"type": "GlobalAveragePooling1D"},
    ],
    "a kernel with a mean": [
        {"type": "Input", "shape": [20, 32]},
        {
            "type": "Conv1D",
            "filters": 64,
            "kernel_size": 3,
            "kernel_initializer": {"type": "RandomNormal", "mean": 0.05, "stddev": 0.1},
        },
    ],
    "a normalized kernel": [
        {"type": "Input", "shape": [64]},
        {"type": "WeightNormalization", "layer": {"type": "Dense", "units": 64}},
        {"type": "Scale"},
        {"type": "LayerNormalization", "rms_scaling": True},
    ],
    "a normalized sequence": [
        {"type": "Input", "shape": [12, 32]},
        {"type": "LSTM", "units": 64, "return_sequences": True},
        {"type": "LayerNormalization"},
        {"type": "LSTM", "units": 64},
    ],
    "a sliding window": [
        {"type": "Input", "name": "x", "shape": [24, 64]},
        {
            "type": "GroupedQueryAttention",
            "num_query_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "sliding_window": 4,
            "inputs": ["x", "x"],
        },
    ],
    "an input without the axis of units": [
        {"type": "Input", "name": "x", "shape": [32, 6, 6]},
        {"type": "Input", "name": "row", "shape": [6]},
        {"type": "Conv2D", "name": "image", "filters": 64, **FIRST, "inputs": "x"},
        {"type": "Add", "inputs": ["image", "row"]},
        {"type": "Conv2D", "filters": 64, **FIRST},
    ],
    "weights of experts that do not add up to 1": [
        {"type": "Input", "shape": [16, 64]},
        {
            "type": "MixtureOfExperts",
            "num_experts": 8,
            "top_k": 2,
            "units": 64,
            "normalize": False,
        },
    ],
}


@pytest.mark.parametrize("name", CASES)
def test_rare_arguments_are_predicted(name: str) -> None:
    assert misses(layers_of(CASES[name]), std=0.05, gradient=0.1) == []
