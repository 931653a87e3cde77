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


def test_the_two_biases_of_a_recurrent_layer_pair_as_their_sum(tmp_path: Path) -> None:
    spec = "{input_shape: [5, 3], layers: [{type: LSTM, units: 2}]}"
    shapes = {
        "weight_ih_l0": (8, 3),
        "weight_hh_l0": (8, 2),
        "bias_ih_l0": (8,),
        "bias_hh_l0": (8,),
    }
    model = held(spec, tmp_path, **shapes)
    assert list(pairs(model).values()) == [*[*shapes][:2], "bias_ih_l0 + bias_hh_l0"]
    assert model.notes == ()
    bias = model.parameters[2].stored
    assert bias is not None
    assert bias.read(0, 8).tolist() == [0, 2, 4, 6, 8, 10, 12, 14]
    assert bias.read(2, 3).tolist() == [4]
    # A single one is no sum, and what a person pairs stays as it is.
    assert "lstm/lstm_cell/bias" not in pairs(held(spec, tmp_path, **dict([*shapes.items()][:3])))
    named = held(spec, tmp_path, "lstm/lstm_cell/bias=bias_hh_l0", **shapes)
    assert pairs(named)["lstm/lstm_cell/bias"] == "bias_hh_l0"
    assert any("bias_ih_l0" in note for note in named.notes)


PACKED = """
layers:
  - {type: Input, name: x, shape: [6, 12]}
  - {type: MultiHeadAttention, name: first, num_heads: 3, key_dim: 4, inputs: [x, x]}
  - {type: MultiHeadAttention, name: second, num_heads: 3, key_dim: 4, inputs: [first, first]}
  - {type: LSTM, name: lstm, units: 5, return_sequences: true}
  - {type: GRU, name: gru, units: 7, return_sequences: true, bias_initializer: random_normal}
  - {type: SimpleRNN, name: rnn, units: 9, return_sequences: true, bias_initializer: random_normal}
  - type: Bidirectional
    name: both
    layer: {type: GRU, units: 4, bias_initializer: random_normal}
"""


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_model_in_pytorchs_layout_is_the_model(dtype: str, tmp_path: Path) -> None:
    model = initcli.parse(f"dtype: {dtype}\n{PACKED}", seed=3)
    file = tmp_path / "torch.safetensors"
    initcli.export(model, file, layout="torch")
    keras = tmp_path / "keras.safetensors"
    initcli.export(model, keras)
    for a, b in ((model, file), (file, model), (keras, file), (file, keras)):
        found = initcli.diff(a, b)
        assert {each.kind for each in found} <= {"unchanged", "changed"}
        for each in found:
            assert each.difference is not None
            # The sum of two biases of 16 bits is in float32.
            is_sum = dtype == "bfloat16" and "bias_ih" in f"{each.path} {each.b}"
            assert each.difference.changed == 0, each.path
            assert each.kind == "unchanged" or is_sum, each.path
    other = initcli.diff(initcli.parse(f"dtype: {dtype}\n{PACKED}", seed=4), file)
    assert {each.kind for each in other if each.path.endswith("kernel")} == {"changed"}


def test_attention_of_other_names_pairs_by_its_number(tmp_path: Path) -> None:
    model = initcli.parse(PACKED[: PACKED.index("  - {type: LSTM")])
    initcli.export(model, tmp_path / "a.npz", layout="torch")
    with np.load(tmp_path / "a.npz") as file:
        tensors = {path: file[path] for path in file.files}

    def renamed(*names: str) -> Any:
        scopes = dict(zip(("first", "second"), names, strict=True))
        moved = {
            ".".join([scopes[path.partition(".")[0]], path.partition(".")[2]]): each
            for path, each in tensors.items()
        }
        return initcli.diff(model, stored(tmp_path, **moved))

    assert {each.kind for each in renamed("h.2.attn", "h.10.attn")} == {"unchanged"}
    assert {each.kind for each in renamed("x.second", "x.first")} == {"unchanged", "changed"}
    with pytest.raises(InitcliError, match=r"'first/query/kernel' may be 'a.in_proj_weight\[query"):
        renamed("a", "b")


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
