"""Exporting under PyTorch's names and in its layout."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import initcli
from initcli import draw
from initcli.errors import InvalidSpec
from support.paths import ROOT
from support.running import run

LAYERS = """
  - {type: Conv2D, filters: 6, kernel_size: [3, 2]}
  - {type: BatchNormalization, center: false}
  - {type: DepthwiseConv2D, kernel_size: 2, depth_multiplier: 2}
  - {type: Conv2DTranspose, filters: 5, kernel_size: 2}
  - {type: Flatten}
  - {type: Dense, units: 12}
  - {type: Reshape, target_shape: [2, 6]}
  - {type: MultiHeadAttention, num_heads: 2, key_dim: 3}
  - {type: Bidirectional, layer: {type: LSTM, units: 3, return_sequences: true}}
  - {type: GRU, units: 4}
"""
SPEC = f"input_shape: [6, 5, 3]\nlayers:{LAYERS}"
SHAPES = {
    "conv2d.weight": (6, 3, 3, 2),
    "conv2d.bias": (6,),
    "batch_normalization.weight": (6,),
    "batch_normalization.bias": (6,),
    "batch_normalization.running_mean": (6,),
    "batch_normalization.running_var": (6,),
    "depthwise_conv2d.weight": (12, 1, 2, 2),
    "depthwise_conv2d.bias": (12,),
    "conv2d_transpose.weight": (12, 5, 2, 2),
    "conv2d_transpose.bias": (5,),
    "dense.weight": (12, 80),
    "dense.bias": (12,),
    "multi_head_attention.in_proj_weight": (18, 6),
    "multi_head_attention.out_proj.weight": (6, 6),
    "multi_head_attention.in_proj_bias": (18,),
    "multi_head_attention.out_proj.bias": (6,),
    "bidirectional.weight_ih_l0": (12, 6),
    "bidirectional.weight_hh_l0": (12, 3),
    "bidirectional.bias_ih_l0": (12,),
    "bidirectional.bias_hh_l0": (12,),
    "bidirectional.weight_ih_l0_reverse": (12, 6),
    "bidirectional.weight_hh_l0_reverse": (12, 3),
    "bidirectional.bias_ih_l0_reverse": (12,),
    "bidirectional.bias_hh_l0_reverse": (12,),
    "gru.weight_ih_l0": (12, 6),
    "gru.weight_hh_l0": (12, 4),
    "gru.bias_ih_l0": (12,),
    "gru.bias_hh_l0": (12,),
}
"""``state_dict`` of a torch.nn.Sequential of these layers (2.13)."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("layout")
    spec, file = folder / "spec.yaml", folder / "torch.npz"
    spec.write_text(SPEC, "utf-8")
    done = run("export", spec, "--out", file, "--layout", "torch")
    assert (done.returncode, done.stderr) == (0, "")
    return spec, file


def test_names_and_shapes_are_those_of_the_modules(files: tuple[Path, Path]) -> None:
    with np.load(files[1]) as found:
        assert {name: values.shape for name, values in found.items()} == SHAPES
        own = {each.path: draw(each) for each in initcli.load(str(files[0])).parameters}
        # The rows of the Dense come from an image of 4 x 4 with 5 channels.
        rows = own["dense/kernel"].reshape(4, 4, 5, 12).transpose(3, 2, 0, 1).reshape(12, 80)
        np.testing.assert_array_equal(found["dense.weight"], rows)
        gates = own["gru/gru_cell/kernel"].reshape(6, 3, 4)[:, [1, 0, 2]].reshape(6, 12)
        np.testing.assert_array_equal(found["gru.weight_ih_l0"], gates.T)
        assert not found["bidirectional.bias_hh_l0"].any()
        assert (found["batch_normalization.bias"] == 0).all()


def test_stored_values_come_back_in_the_layout_of_keras(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    spec, file = files
    out = tmp_path / "keras.safetensors"
    chosen = (
        *("conv2d/kernel", "depthwise_conv2d/kernel", "conv2d_transpose/kernel", "gru/*_cell/*l"),
        *("batch_normalization/moving_*", "dense/*"),
    )
    filters = [word for glob in chosen for word in ("--filter", glob)]
    done = run("export", spec, "--weights", file, "--out", out, *filters)
    assert done.returncode == 0, done.stderr
    same = run("diff", spec, out, "--exit-code", *filters)
    assert same.returncode == 0, same.stdout


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        ("{type: GRU, units: 2, reset_after: false}", "reset_after: true"),
        ("{type: MultiHeadAttention, num_heads: 2, key_dim: 2}", "features of a head"),
        ("{type: PReLU}", "one per channel"),
        ("{type: BatchNormalization, renorm: true}", "moving_stddev"),
        ("{type: EinsumDense, equation: 'abc,cd->abd', output_shape: [5, 2]}", "EinsumDense layer"),
    ],
)
def test_a_layer_without_a_counterpart_is_an_error_at_its_place(layer: str, said: str) -> None:
    model = initcli.parse(
        f"input_shape: [5, 3]\nlayers:\n  - {layer}\n  - {{type: Dense, units: 2}}"
    )
    with pytest.raises(InvalidSpec, match=said) as raised:
        initcli.export(model, Path("w.npz"), layout="torch")
    assert ":3:5: torch has no counterpart" in str(raised.value)


def test_tensors_that_have_the_names_of_pytorch_stay(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "again.npz"
    assert run("export", files[1], "--out", out, "--layout", "torch").returncode == 0
    assert run("diff", files[1], out, "--exit-code").returncode == 0
    keras = tmp_path / "keras.npz"
    initcli.export(initcli.load(str(files[0])), keras)
    refused = run("export", keras, "--out", out, "--layout", "torch")
    assert refused.returncode == 2
    assert "only the names of its tensors are known" in refused.stderr


def test_pytorch_and_keras_compute_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torch", "keras", "jax"):
        pytest.importorskip(name, reason="PyTorch, Keras and JAX are not installed")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    script: dict[str, Any] = runpy.run_path(
        str(ROOT / "tests" / "reference" / "check_torch_layout.py")
    )
    assert script["main"]() == 0
