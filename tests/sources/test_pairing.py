"""Pairing of a model's parameters with the tensors of another file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import initcli
from initcli.errors import InitcliError
from initcli.model import Model
from initcli.sources.pairing import held_to
from support.running import run
from support.stacks import stored


def pairs(model: Model) -> dict[str, str]:
    """The path of the tensor of each parameter that has one."""
    return {
        each.path: each.stored.path
        for each in model.parameters
        if each.stored is not None and each.stored.storage is not None
    }


def held(spec: str, folder: Path, *renames: str, **shapes: Any) -> Model:
    tensors = {
        path: np.arange(float(np.prod(shape))).reshape(shape) for path, shape in shapes.items()
    }
    return held_to(initcli.parse(spec), stored(folder, **tensors), renames)


NETWORK = """
input_shape: [8, 8, 3]
layers:
  - {type: Conv2D, filters: 16, kernel_size: 3}
  - {type: BatchNormalization}
  - {type: DepthwiseConv2D, kernel_size: 3}
  - {type: Flatten}
  - {type: Dense, units: 256}
  - {type: Dense, units: 256}
"""


def test_pytorch_layers_pair_by_role_shape_and_number(tmp_path: Path) -> None:
    shapes = {
        "0.weight": (16, 3, 3, 3),
        "0.bias": (16,),
        "1.weight": (16,),
        "1.bias": (16,),
        "1.running_mean": (16,),
        "1.running_var": (16,),
        "2.weight": (16, 1, 3, 3),
        "2.bias": (16,),
        # As files sort texts: 10 before 4.
        "10.weight": (256, 256),
        "10.bias": (256,),
        "4.weight": (256, 256),
        "4.bias": (256,),
    }
    narrow = NETWORK.replace("units: 256}\n  - {type: Dense, units: 256", "units: 256")
    with pytest.raises(InitcliError, match="'dense/kernel' may be"):
        held(narrow, tmp_path, **shapes)
    square = "{input_shape: [256], layers: [{type: Dense, units: 256}, {type: Dense, units: 256}]}"
    dense = {path: shape for path, shape in shapes.items() if 256 in shape}
    assert pairs(held(square, tmp_path, **dense)) == {
        "dense/kernel": "4.weight",
        "dense/bias": "4.bias",
        "dense_1/kernel": "10.weight",
        "dense_1/bias": "10.bias",
    }
    convolutions = NETWORK[: NETWORK.index("  - {type: Flatten")]
    rest = {path: shape for path, shape in shapes.items() if path not in dense}
    assert pairs(held(convolutions, tmp_path, **rest)) == {
        "conv2d/kernel": "0.weight",
        "conv2d/bias": "0.bias",
        "batch_normalization/gamma": "1.weight",
        "batch_normalization/beta": "1.bias",
        "batch_normalization/moving_mean": "1.running_mean",
        "batch_normalization/moving_variance": "1.running_var",
        "depthwise_conv2d/kernel": "2.weight",
        "depthwise_conv2d/bias": "2.bias",
    }


def test_scopes_come_before_shapes_and_below_any_prefix(tmp_path: Path) -> None:
    spec = """{input_shape: [4], layers: [
        {type: Dense, units: 4, name: first}, {type: Dense, units: 4, name: second}]}"""
    model = held(spec, tmp_path, **{"net.second.weight": (4, 4), "net.first.weight": (4, 4)})
    assert pairs(model) == {
        "first/kernel": "net.first.weight",
        "second/kernel": "net.second.weight",
    }
    assert any("first/bias and second/bias" in note for note in model.notes)


def test_recurrent_kernels_pair_and_the_two_biases_do_not(tmp_path: Path) -> None:
    spec = "{input_shape: [5, 3], layers: [{type: LSTM, units: 2}]}"
    shapes = {
        "weight_ih_l0": (8, 3),
        "weight_hh_l0": (8, 2),
        "bias_ih_l0": (8,),
        "bias_hh_l0": (8,),
    }
    model = held(spec, tmp_path, **shapes)
    assert list(pairs(model).values()) == ["weight_ih_l0", "weight_hh_l0"]
    assert any("bias_ih_l0 and bias_hh_l0" in note for note in model.notes)


def test_an_ambiguous_pairing_names_two_candidates_and_a_pair_settles_it(tmp_path: Path) -> None:
    spec = "{input_shape: [3], layers: [{type: Dense, units: 2, use_bias: false}]}"
    shapes = {"left.weight": (2, 3), "right.weight": (2, 3)}
    with pytest.raises(InitcliError) as caught:
        held(spec, tmp_path, **shapes)
    assert "'dense/kernel' may be 'left.weight' or 'right.weight'" in str(caught.value)
    assert "--map dense/kernel=left.weight" in str(caught.value)
    model = held(spec, tmp_path, "dense/kernel=right.weight", **shapes)
    assert pairs(model) == {"dense/kernel": "right.weight"}


def test_a_tensor_that_may_be_two_parameters_is_ambiguous_too(tmp_path: Path) -> None:
    spec = "{input_shape: [3], layers: [{type: Dense, units: 3}, {type: Dense, units: 3}]}"
    with pytest.raises(InitcliError, match=r"'a.weight' may be 'dense/kernel' or 'dense_1/kernel'"):
        held(spec, tmp_path, **{"a.weight": (3, 3)})


def test_the_commands_show_the_stored_values_beside_the_declared_ones(tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text("input_shape: [64]\nlayers: [{type: Dense, units: 32}]\n", encoding="utf-8")
    rng = np.random.default_rng(0)
    stored(tmp_path, **{"0.weight": rng.normal(0, 0.02, (32, 64)), "0.bias": np.zeros(32)})
    options = (str(spec), "--weights", str(tmp_path / "weights.npz"))
    shown = run("summary", *options)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "stored" in shown.stdout
    assert "fit p=" in shown.stdout
    assert "dense/kernel" in run("hist", *options).stdout
    checked = run("check", *options)
    assert checked.returncode == 1
    assert "std 0.02, declared 0.144: the values" in " ".join(checked.stdout.split())
    assert run("check", *options, "--fix").returncode == 2
