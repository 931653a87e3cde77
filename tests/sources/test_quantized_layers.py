"""Quantized layers of Keras files against Keras itself, and what is said of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import initcli
from initcli.cli.app import app
from initcli.sampling.chunks import draw
from support.paths import facts


def models() -> dict[str, Any]:
    known: dict[str, Any] = facts("quantized_models.json.gz")["models"]
    return known


@pytest.mark.parametrize("name", sorted(models()))
def test_every_weight_is_stored_as_keras_stores_it(name: str) -> None:
    fact = models()[name]
    model = initcli.parse(json.dumps(fact["json"]))
    found = [
        {"path": p.path, "shape": list(p.shape), "dtype": p.dtype, "trainable": p.trainable}
        for p in model.parameters
    ]
    assert found == [{k: v for k, v in w.items() if k != "first"} for w in fact["weights"]]
    for parameter, weight in zip(model.parameters, fact["weights"], strict=True):
        # Kernels of floating-point numbers are drawn, also where they are frozen.
        drawn = parameter.dtype == "float32" and parameter.name in ("kernel", "embeddings")
        if weight["first"] is not None and not drawn:
            values = draw(parameter)
            assert sorted({*np.ravel(values).tolist()}) == weight["first"], parameter.path


def test_values_are_exported_in_their_own_dtypes(tmp_path: Path) -> None:
    model = initcli.parse(json.dumps(models()["dense by blocks_of_3"]["json"]))
    initcli.export(model, tmp_path / "weights.npz")
    initcli.export(model, tmp_path / "weights.safetensors")
    arrays = np.load(tmp_path / "weights.npz")
    assert arrays["d/kernel"].dtype == np.int8
    assert arrays["d/g_idx"].tolist() == [0, 0, 0, 1, 1, 1, 2]
    header = (tmp_path / "weights.safetensors").read_bytes()[8:]
    assert b'"d/kernel":{"dtype":"I8","shape":[7,3]' in header


@pytest.mark.parametrize("command", ["summary", "signal", "check"])
@pytest.mark.parametrize("mode", ["int8", "int4", "float8"])
@pytest.mark.parametrize("kind", ["dense", "swapped", "table", "untied"])
def test_every_command_has_an_answer(command: str, mode: str, kind: str, tmp_path: Path) -> None:
    file = tmp_path / "model.json"
    file.write_text(json.dumps(models()[f"{kind} by {mode}"]["json"]))
    ended = CliRunner().invoke(app, [command, str(file)])
    computed = mode == "float8" or command != "signal"
    assert ended.exit_code == (0 if computed else 2)
    if not computed:
        assert "only in the model's weights" in ended.stderr


@pytest.mark.parametrize("mode", ["int8", "int4/16", "gptq/4/16", "awq/4/16"])
def test_codes_of_zero_are_no_finding(mode: str) -> None:
    attention = f"{{type: MultiHeadAttention, num_heads: 2, key_dim: 16, quantization: {mode}}}"
    dense = f"{{type: Dense, units: 32, activation: relu, quantization: {mode}}}"
    model = initcli.parse(f"input_shape: [8, 32]\nlayers: [{attention}, {dense}, {dense}]")
    assert not initcli.check(model).findings


def test_defaults_of_torch_leave_codes_as_they_are() -> None:
    spec = "input_shape: [8]\nlayers: [{type: Dense, units: 4, quantization: int8}]"
    model = initcli.parse(spec, defaults="torch")
    assert [p.initializer.type_name for p in model.parameters] == ["Zeros", "Zeros", "Ones"]
    assert model.notes == ("torch has no quantized Dense; its initializers are those of Keras",)


def test_theory_says_nothing_of_codes(tmp_path: Path) -> None:
    file = tmp_path / "model.json"
    file.write_text(json.dumps(models()["dense by int8"]["json"]))
    ended = CliRunner().invoke(app, ["signal", "--theory", "--format", "json", str(file)])
    predicted = json.loads(ended.stdout)["layers"][-1]["predicted"]
    assert predicted["std"] is None


@pytest.mark.parametrize(
    "text", ["int", "int8/4", "int4/0", "int4/-2", "float8/-1", "gptq/5/3", "awq/8/3", "gptq/4/3/2"]
)
@pytest.mark.parametrize(
    "kind", ["Dense, units: 2", "MultiHeadAttention, num_heads: 1, key_dim: 2"]
)
def test_a_mode_that_keras_does_not_know_is_an_error(text: str, kind: str) -> None:
    spec = f"input_shape: [4, 6]\nlayers: [{{type: {kind}, quantization: {text}}}]"
    with pytest.raises(initcli.InvalidSpec, match="must name a mode of Keras"):
        initcli.parse(spec)


def quantized(weight: dict[str, Any]) -> bool:
    return str(weight["path"]).endswith(("kernel_scale", "embeddings_scale"))


@pytest.mark.parametrize("name", sorted(models()))
def test_a_note_says_that_weights_are_quantized(name: str) -> None:
    fact = models()[name]
    notes = initcli.parse(json.dumps(fact["json"])).notes
    assert bool(notes) == any(map(quantized, fact["weights"]))
