"""Predictions whatever axes of a tensor hold its channels, joined with whatever else flows."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import initcli
from initcli.cli.app import app
from initcli.errors import InitcliError
from initcli.layers import known_layers
from initcli.layers.preprocessing import Preprocessing
from initcli.signal import theory, typical
from initcli.signal.measured import measure_signal, predict_signal
from initcli.signal.program import program
from initcli.signal.rules.base import NoTheory
from initcli.signal.rules.layout import predicted as by_rule
from initcli.types import NotComputable
from support.layers import layer_cases

CASES = layer_cases()
JOINS = ("Add", "Subtract", "Average", "Multiply", "Maximum", "Minimum", "Concatenate")

SPATIAL = [
    kind
    for kind, cls in known_layers().items()
    if "data_format" in cls.__struct_fields__
    and kind in CASES
    # What prepares data passes its statistics on, and does not say at which positions.
    and not issubclass(cls, Preprocessing)
]


def model(layers: list[dict[str, Any]], shape: list[int] | None = None) -> initcli.Model:
    spec = {"layers": layers} if shape is None else {"input_shape": shape, "layers": layers}
    return initcli.parse(json.dumps(spec))


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules say that they have no prediction, and never fail in another way."""

    def give_up(step: Any, error: Exception) -> None:
        if not isinstance(error, NoTheory | NotComputable | ArithmeticError):
            raise AssertionError(f"{step.name}: {step.layer}") from error

    monkeypatch.setattr(theory, "_give_up", give_up)


def turned(shape: list[int], arguments: dict[str, Any]) -> tuple[list[int], dict[str, Any]]:
    """A case in the other data format."""
    if arguments.get("data_format") == "channels_first":
        return [*shape[1:], shape[0]], {**arguments, "data_format": "channels_last"}
    return [shape[-1], *shape[:-1]], {**arguments, "data_format": "channels_first"}


def cases(kind: str) -> Iterator[tuple[list[Any], dict[str, Any]]]:
    """The cases of a kind, with sizes that they leave open."""
    for shape, arguments, *_ in CASES[kind]:
        several = shape and isinstance(shape[0], list)
        shapes = shape if several else [shape]
        yield [[12 if n is None else n for n in each] for each in shapes], arguments


def in_both_formats(kind: str) -> Iterator[tuple[list[Any], dict[str, Any]]]:
    """A few cases of a kind, and where channels may be first, each in the other format too."""
    for shapes, arguments in islice(cases(kind), 2):
        yield shapes, arguments
        if kind in SPATIAL:
            shape, others = turned(shapes[0], arguments)
            yield [shape], others


def layer_alone(
    kind: str, shapes: list[Any], arguments: dict[str, Any]
) -> tuple[list[dict[str, Any]], list[int]] | None:
    """The entries of a model of that layer, and its output's shape; None where it does not fit."""
    names = [f"in{number}" for number in range(len(shapes))]
    entries: list[dict[str, Any]] = [
        {"type": "Input", "name": n, "shape": s} for n, s in zip(names, shapes, strict=True)
    ]
    entries.append({"type": kind, "inputs": names, **arguments, "name": "layer"})
    try:
        built = model(entries)
        found = program(built, 3)
    except InitcliError:
        return None
    return entries, list(found.shapes[found.steps[-1].outputs[0]][1:])


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("kind", CASES)
def test_no_rule_fails_however_a_layer_is_joined(kind: str) -> None:
    """With what has its channels elsewhere: images of the other format, gates, turned sequences."""
    for shapes, arguments in in_both_formats(kind):
        alone = layer_alone(kind, shapes, arguments)
        if alone is None:
            continue
        entries, shape = alone
        entries.append({"type": "Activation", "activation": "tanh", "name": "same"})
        others = ["same"]
        for data_format in ("channels_last", "channels_first"):
            if 2 <= len(shape) <= 4:
                images = {"data_format": data_format, "inputs": "layer"}
                rank = f"{len(shape) - 1}D"
                gate = {"type": f"GlobalMaxPooling{rank}", "keepdims": True, **images}
                entries.append(gate | {"name": f"gate_{data_format}"})
                one = {"type": f"AveragePooling{rank}", "pool_size": 1, **images}
                entries.append(one | {"name": f"image_{data_format}"})
                others += [f"gate_{data_format}", f"image_{data_format}"]
        if len(shape) == 2:
            turned = {"type": "Permute", "dims": [2, 1], "inputs": "layer", "name": "turned"}
            back = {"type": "Dense", "units": shape[0], "name": "mixed"}
            entries += [turned, back, turned | {"inputs": "mixed", "name": "again"}]
            others.append("again")
        # Each join once and each other tensor at least once; over all kinds each join meets each.
        shift = list(CASES).index(kind)
        for number, join in enumerate(JOINS):
            fitting = [o for o in others if join != "Concatenate" or "gate" not in o]
            other = fitting[(number + shift) % len(fitting)]
            axes = range(1, len(shape) + 1) if join == "Concatenate" else [None]
            for axis in axes:
                entry = {"type": join, "inputs": ["layer", other], "name": f"{join}{other}{axis}"}
                entries.append(entry | ({} if axis is None else {"axis": axis}))
        outputs = [each["name"] for each in entries if each["type"] in JOINS]
        spec = {"layers": entries, "outputs": outputs}
        predict_signal(initcli.parse(json.dumps(spec)), batch=3)


def figures(built: initcli.Model) -> list[list[float | None]]:
    found = []
    for layer in predict_signal(built, batch=3).layers:
        p = layer.predicted
        found.append([p.mean, p.std, p.correlation, p.gradient_rms, p.chi, p.sensitivity])
    return found


@pytest.mark.parametrize("kind", SPATIAL)
def test_channels_first_is_predicted_as_channels_last(kind: str) -> None:
    compared = 0
    for (shape, *_), arguments in cases(kind):
        both = []
        for own, given_arguments in ((shape, arguments), turned(shape, arguments)):
            if layer_alone(kind, [own], given_arguments) is None:
                break
            first = given_arguments.get("data_format") == "channels_first"
            layers = [
                {"type": kind, **given_arguments},
                {"type": "BatchNormalization", "axis": 1 if first else -1},
                {"type": "LeakyReLU"},
                {"type": "Dropout", "rate": 0.1},
            ]
            both.append(figures(model(layers, own)))
        if len(both) == 2:
            compared += 1
            for one, two in zip(*both, strict=True):
                assert [each is None for each in one] == [each is None for each in two]
                assert [each or 0 for each in one] == pytest.approx(
                    [each or 0 for each in two], rel=1e-6, abs=1e-9
                )
    assert compared


FIRST = {"data_format": "channels_first"}
HE = {"kernel_initializer": "he_normal"}
IMAGES: list[dict[str, Any]] = [
    {"type": "Input", "name": "x", "shape": [16, 8, 8]},
    {"type": "Conv2D", "name": "a", "filters": 96, "kernel_size": 3, "padding": "same"},
    {
        "type": "Conv2D",
        "name": "b",
        "activation": "tanh",
        "inputs": "x",
        "filters": 64,
        "kernel_size": 1,
    },
    {"type": "Concatenate", "name": "c", "axis": 1, "inputs": ["b", "a"]},
    {"type": "BatchNormalization", "axis": 1},
    {"type": "AveragePooling2D", "name": "pooled", "pool_size": 2, **FIRST},
    {"type": "GlobalAveragePooling2D", **FIRST},
    {"type": "Dense", "units": 160, "activation": "sigmoid"},
    {"type": "Reshape", "target_shape": [160, 1, 1], "name": "gate"},
    {"type": "Multiply", "inputs": ["gate", "pooled"], "name": "gated"},
    {
        "type": "Conv2D",
        "name": "d",
        "activation": "linear",
        "filters": 160,
        "kernel_size": 3,
        "padding": "same",
    },
    {"type": "Average", "inputs": ["d", "gated"]},
    {"type": "GroupNormalization", "groups": 8, "axis": 1},
    {"type": "PReLU"},
    {"type": "Permute", "dims": [2, 3, 1]},
    {"type": "Conv2D", "filters": 128, "kernel_size": 3, "data_format": "channels_last"},
    {"type": "Flatten"},
    {"type": "Dense", "units": 64},
]
for _layer in IMAGES:
    if _layer["type"] == "Conv2D":
        _layer |= {"activation": "relu", **HE, **FIRST, **_layer}
MIXER: list[dict[str, Any]] = [
    {"type": "Input", "name": "x", "shape": [16, 64]},
    {"type": "LayerNormalization"},
    {"type": "Permute", "dims": [2, 1]},
    {"type": "Dense", "units": 128, "activation": "gelu"},
    {"type": "Dense", "units": 16},
    {"type": "Permute", "dims": [2, 1], "name": "mixed"},
    {"type": "Add", "inputs": ["mixed", "x"]},
    {"type": "LayerNormalization"},
    {"type": "Dense", "units": 128, "activation": "gelu"},
    {"type": "GlobalAveragePooling1D"},
]
HEADS: list[dict[str, Any]] = [
    {"type": "Input", "name": "x", "shape": [9, 128]},
    {"type": "EinsumDense", "equation": "abc,cde->abde", "output_shape": [None, 8, 16]},
    {"type": "Permute", "dims": [2, 1, 3]},
    {"type": "Dense", "units": 16, "activation": "tanh"},
    {"type": "Permute", "dims": [2, 1, 3]},
    {"type": "EinsumDense", "equation": "abde,dec->abc", "output_shape": [None, 96]},
    {"type": "EinsumDense", "equation": "...x,xy->...y", "output_shape": 64},
]


@pytest.mark.parametrize(("layers", "tolerance"), [(IMAGES, 0.2), (MIXER, 0.1), (HEADS, 0.1)])
def test_moved_units_are_predicted_as_measured(
    layers: list[dict[str, Any]], tolerance: float
) -> None:
    """Gradients come back through a gate of a few positions, which theory takes for alike."""
    draws, spread = 12, 3.258  # E[greatest − least] of 12 standard normal numbers
    for layer in measure_signal(model(layers), batch=8, draws=draws).layers:
        assert layer.output is not None
        assert layer.gradient is not None
        pairs = (
            (layer.output.std, layer.predicted.std, 0.05),
            (layer.gradient.rms, layer.predicted.gradient_rms, tolerance),
        )
        for seen, predicted, most in pairs:
            assert predicted is not None, layer.name
            error = math.log(seen.high / seen.low) / spread * math.sqrt(math.pi / 2 / draws)
            allowed = math.log1p(most) + 4 * error
            assert abs(math.log(predicted / seen.median)) < allowed, layer.name


def test_pooling_in_the_other_format_is_predicted() -> None:
    layers = [
        {"type": "Conv2D", "filters": 10, "kernel_size": 3},
        {"type": "MaxPooling2D", "pool_size": 2, "data_format": "channels_first"},
        {"type": "Conv2D", "filters": 4, "kernel_size": 3, "activation": "relu"},
    ]
    for layer in measure_signal(model(layers, [12, 12, 1]), batch=16, draws=9).layers:
        assert layer.output is not None
        assert layer.predicted.std == pytest.approx(layer.output.std.median, rel=0.3)


def test_a_softmax_over_positions_with_much_in_common_has_no_prediction() -> None:
    layers: list[dict[str, Any]] = [
        {"type": "RepeatVector", "n": 20},
        {"type": "Softmax", "axis": 1},
    ]
    assert predict_signal(model(layers, [8]), batch=4).layers[-1].predicted.std is None
    layers[-1]["axis"] = 2
    assert predict_signal(model(layers, [8]), batch=4).layers[-1].predicted.std is not None


@pytest.mark.parametrize("std", [1e-6, 1e-4, 1e-2])
def test_a_softmax_of_small_scores_has_their_spread(std: float) -> None:
    """To first order, Var[p] = Var[x] (1 − 1/n) / n²."""
    kernel = {"type": "RandomNormal", "stddev": std / 8}
    layers: list[dict[str, Any]] = [
        {"type": "Dense", "units": 10, "kernel_initializer": kernel},
        {"type": "Softmax"},
    ]
    found = predict_signal(model(layers, [64]), batch=4).layers[-1].predicted.std
    assert found == pytest.approx(std * math.sqrt(0.9) / 10, rel=2e-2)


MOVING = st.lists(
    st.sampled_from(
        [
            {"type": "Conv2D", "filters": 2, "kernel_size": 1, **FIRST},
            {"type": "Conv2D", "filters": 2, "kernel_size": 1},
            {"type": "MaxPooling2D", "pool_size": 2, "padding": "same", **FIRST},
            {"type": "AveragePooling2D", "pool_size": 2, "padding": "same"},
            {"type": "GlobalMaxPooling2D", "keepdims": True, **FIRST},
            {"type": "Reshape", "target_shape": [4, -1, 2]},
            {"type": "Reshape", "target_shape": [2, -1]},
            {"type": "Reshape", "target_shape": [-1, 2, 1]},
            {"type": "Permute", "dims": [3, 1, 2]},
            {"type": "Permute", "dims": [2, 1]},
            {"type": "Flatten"},
            {"type": "RepeatVector", "n": 3},
            {"type": "Dense", "units": 4, "activation": "softmax"},
            {"type": "Softmax", "axis": 1},
            {"type": "LayerNormalization", "axis": 1},
            {"type": "LayerNormalization", "axis": [1, 2]},
            {"type": "BatchNormalization", "axis": 1},
            {"type": "EinsumDense", "equation": "abcd,cde->ace", "output_shape": [None, 2]},
            {"type": "EinsumDense", "equation": "ab...,bc->ac...", "output_shape": 4},
            {"type": "SimpleRNN", "units": 2, "return_sequences": True},
            {"type": "MultiHeadAttention", "num_heads": 1, "key_dim": 2},
            *({"type": join, "inputs": "last two"} for join in JOINS),
            {"type": "Concatenate", "inputs": "last two", "axis": 1},
        ]
    ),
    min_size=2,
    max_size=9,
)


@pytest.mark.usefixtures("strict")
@given(MOVING)
@settings(max_examples=25, deadline=None, suppress_health_check=[*HealthCheck])
def test_no_graph_is_too_odd(layers: list[dict[str, Any]]) -> None:
    """What does not fit the shape that it meets is left out."""
    entries: list[dict[str, Any]] = [{"type": "Input", "name": "0", "shape": [4, 4, 4]}]
    for layer in layers:
        last = str(len(entries) - 1)
        inputs: Any = [last, str(max(len(entries) - 3, 0))] if "inputs" in layer else last
        longer = [*entries, {**layer, "inputs": inputs, "name": str(len(entries))}]
        try:
            model(longer)
        except initcli.InvalidSpec:
            continue
        entries = longer
    predict_signal(model(entries), batch=2)


def test_a_rule_that_fails_gives_no_prediction(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Forwards or backwards, in every command; --debug logs where."""
    spec = tmp_path / "model.yaml"
    spec.write_text("input_shape: [8]\nlayers: [{repeat: 3, layers: [{type: Dense, units: 8}]}]")

    def failing_back(g: Any) -> Any:
        raise KeyError("backwards")

    def failing(layer: Any, place: Any, *fields: Any) -> Any:
        raise RuntimeError("forwards")

    def half_failing(layer: Any, place: Any, *fields: Any) -> Any:
        return by_rule(layer, place, *fields)._replace(pull=failing_back)

    for rule, message in ((failing, "forwards"), (half_failing, "backwards")):
        monkeypatch.setattr(typical, "predicted", rule)
        first = predict_signal(initcli.load(str(spec))).layers[0].predicted
        assert (first.std is None) == (message == "forwards")
        assert first.gradient_rms is None
        for command in (["signal", "--theory"], ["signal"], ["compare"], ["check"]):
            with pytest.raises(SystemExit) as end:
                app([*command, str(spec)])
            assert end.value.code in (0, 1)
            assert message not in capsys.readouterr().err
        caplog.clear()
        with pytest.raises(SystemExit):
            app(["signal", "--theory", "--debug", str(spec)])
        assert "Traceback" in caplog.text
        assert f"Error: {message}" in caplog.text or f"KeyError: '{message}'" in caplog.text
