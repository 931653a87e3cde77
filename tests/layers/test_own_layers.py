"""Layers whose code only their author has: what a person says of them, and what is said of them."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

import initcli
from initcli.checks import check
from initcli.sampling.chunks import draw
from initcli.signal.measured import measure_signal, predict_signal
from support.running import run

# Saved by Keras 2.0.6, which does not record the output shape of a Lambda.
LAMBDA: dict[str, Any] = {
    "class_name": "Sequential",
    "keras_version": "2.0.6",
    "backend": "tensorflow",
    "config": [
        {
            "class_name": "Lambda",
            "config": {
                "name": "lambda_1",
                "trainable": True,
                "batch_input_shape": [None, 66, 200, 3],
                "dtype": "float32",
                "function": ["4wEAAAA=", None, None],
                "function_type": "lambda",
                "output_shape": None,
                "output_shape_type": "raw",
                "arguments": {},
            },
        },
        {
            "class_name": "Conv2D",
            "config": {
                "name": "conv2d_1",
                "trainable": True,
                "filters": 24,
                "kernel_size": [5, 5],
                "strides": [2, 2],
                "padding": "valid",
            },
        },
    ],
}


def named(kind: str) -> dict[str, Any]:
    """The file with a class of its author's own in the Lambda's place."""
    first = {**LAMBDA["config"][0], "class_name": kind}
    return {**LAMBDA, "config": [first, LAMBDA["config"][1]]}


def saved(folder: Path, data: dict[str, Any], suffix: str) -> str:
    """The path of a model's JSON, or of an archive with it."""
    path = folder / f"model{suffix}"
    if suffix == ".json":
        path.write_text(json.dumps(data), "utf-8")
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", json.dumps(data))
            archive.writestr("metadata.json", "{}")
    return str(path)


@pytest.mark.parametrize("suffix", [".json", ".keras"])
@pytest.mark.parametrize("kind", ["Lambda", "FixedDropout", "InstanceNormalization"])
@pytest.mark.parametrize(
    ("said", "shape", "size"),
    [
        ("[{}].output_shape=same", (None, 66, 200, 3), 5 * 5 * 3 * 24 + 24),
        ("[{}].output_shape=[32, 32, 1]", (None, 32, 32, 1), 5 * 5 * 24 + 24),
        ("[{}].passes_on=true", (None, 66, 200, 3), 5 * 5 * 3 * 24 + 24),
    ],
)
def test_a_person_says_the_shape_that_a_file_does_not(
    tmp_path: Path, suffix: str, kind: str, said: str, shape: tuple[Any, ...], size: int
) -> None:
    path = saved(tmp_path, named(kind), suffix)
    with pytest.raises(initcli.InvalidSpec) as caught:
        initcli.load(path)
    (error,) = caught.value.errors
    assert f"'lambda_1' ({kind}) is recorded nowhere" in error.message
    assert "--set '**[name=lambda_1].output_shape=same'" in error.remedy
    for which in ("name=lambda_1", f"kind={kind}"):
        model = initcli.load(path, changes=[f"**{said.format(which)}"])
        assert model.layers[0].output_shape == shape
        assert initcli.totals(model).params == size
        notes = [note for note in model.notes if "custom code" in note]
        assert all("output" not in note for note in notes)
        silent = kind == "Lambda" or "passes_on" in said
        assert any("its own weights" in note for note in notes) is not silent


def test_a_layer_within_a_network_is_reached_as_well(tmp_path: Path) -> None:
    inner = {
        "class_name": "Sequential",
        "config": {"name": "inside", "layers": LAMBDA["config"]},
    }
    flows_in = {
        "class_name": "InputLayer",
        "config": {"name": "image", "batch_input_shape": [None, 66, 200, 3]},
    }
    outer = {**LAMBDA, "config": {"name": "whole", "layers": [flows_in, inner]}}
    path = saved(tmp_path, outer, ".json")
    with pytest.raises(initcli.InvalidSpec, match="lambda_1"):
        initcli.load(path)
    model = initcli.load(path, changes=["**[name=lambda_1].output_shape=same"])
    assert initcli.totals(model).params == 1_824


def test_what_is_recorded_can_be_overruled(tmp_path: Path) -> None:
    first = {**LAMBDA["config"][0]}
    first["config"] = {**first["config"], "output_shape": [10, 10, 2]}
    path = saved(tmp_path, {**LAMBDA, "config": [first, LAMBDA["config"][1]]}, ".json")
    assert initcli.load(path).layers[0].output_shape == (None, 10, 10, 2)
    model = initcli.load(path, changes=["layers[name=lambda_1].output_shape=[9, 9, 1]"])
    assert model.layers[0].output_shape == (None, 9, 9, 1)


def test_the_remedy_of_the_message_works_from_a_shell(tmp_path: Path) -> None:
    path = saved(tmp_path, LAMBDA, ".json")

    command = ("signal", path, "--draws", "1", "--batch", "1")
    refused = run(*command, "--set", "**[name=lambda_1].output_shape=same")
    assert refused.returncode == 2
    assert "the signal ends at 'lambda_1'" in refused.stderr
    assert "'**[kind=Lambda].passes_on=true'" in refused.stderr
    assert run(*command, "--set", "**[kind=Lambda].passes_on=true").returncode == 0


# ------------------------------------------------------------------------ in a spec

SPEC = """
input_shape: [8, 8, 3]
dtype: float64
layers:
  - {type: Conv2D, filters: 4, kernel_size: 3}
  - type: Opaque
    kind: InstanceNormalization
    name: norm
    parameters:
      - {name: gamma, shape: [4], initializer: ones}
      - name: inner/beta
        shape: [4]
        initializer: {type: RandomNormal, stddev: 0.1}
        trainable: false
      - {name: temperature, shape: [], initializer: {type: Constant, value: 2.0}}
  - {type: Opaque, name: head, output_shape: [[5], [null, 7]]}
  - {type: Dense, units: 2, inputs: {layer: head, output: 0}}
  - {type: Dense, units: 3, inputs: {layer: head, output: 1}}
"""


def test_weights_of_one_s_own_are_like_any_others() -> None:
    model = initcli.parse(SPEC)
    norm, head, one, two = model.layers[1:]
    assert (norm.type, norm.output_shape) == ("InstanceNormalization", (None, 6, 6, 4))
    assert [(p.path, p.shape, p.trainable, p.dtype) for p in norm.parameters] == [
        ("norm/gamma", (4,), True, "float64"),
        ("norm/inner/beta", (4,), False, "float64"),
        ("norm/temperature", (), True, "float64"),
    ]
    assert head.output_shapes == ((None, 5), (None, None, 7))
    assert (one.parameters[0].shape, two.parameters[0].shape) == ((5, 2), (7, 3))
    beta = norm.parameters[1]
    assert beta.distribution is not None
    assert beta.distribution.std == 0.1
    assert abs(draw(beta)).max() < 0.6
    for framework in ("torch", "flax"):
        there = initcli.parse(SPEC.replace("dtype: float64", f"defaults: {framework}"))
        assert not there.notes
        assert [p.distribution for p in there.layers[1].parameters] == [
            p.distribution for p in norm.parameters
        ]


def test_it_may_stand_in_another_layer_and_take_several_inputs() -> None:
    model = initcli.parse(
        """
        layers:
          - {type: Input, name: a, shape: [5, 8]}
          - {type: Input, name: b, shape: [3]}
          - type: TimeDistributed
            layer: {type: Opaque, output_shape: [4],
                    parameters: [{name: w, shape: [8, 4], initializer: he_normal}]}
            inputs: a
          - {type: Opaque, kind: Fusion, name: fusion, inputs: [time_distributed, b]}
        """
    )
    assert [p.path for p in model.parameters] == ["time_distributed/opaque/w"]
    assert model.layers[2].output_shape == (None, 5, 4)
    assert model.layers[3].output_shape == (None, 5, 4)


def test_no_signal_goes_through_what_nobody_can_compute() -> None:
    text = """
    input_shape: [8]
    layers:
      - {type: Dense, units: 64, kernel_initializer: lecun_normal}
      - {type: Opaque, kind: FixedDropout, name: it%s}
      - {type: Dense, units: 8, kernel_initializer: lecun_normal}
    """
    closed = initcli.parse(text % "")
    with pytest.raises(initcli.InitcliError, match="ends at 'it': FixedDropout is custom code"):
        measure_signal(closed, draws=1)
    predicted = [layer.predicted for layer in predict_signal(closed).layers]
    assert [each.std is None for each in predicted] == [False, True, True]
    assert check(closed).notes
    for found in (
        measure_signal(initcli.parse(text % ", passes_on: true"), draws=1),
        predict_signal(initcli.parse(text % ", passes_on: true")),
    ):
        before, it, after = found.layers
        assert it.predicted.std == before.predicted.std
        assert it.predicted.gradient_rms == before.predicted.gradient_rms
        assert after.predicted.std is not None
        if it.output is not None:
            assert it.output == before.output
