"""Configurations as sources: what commands say of them, and what is refused."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import initcli
from initcli.sources.huggingface.model import sizes_of
from support.paths import facts
from support.running import run

TINY: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 8,
    "intermediate_size": 13,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "vocab_size": 31,
    "pad_token_id": 3,
    "tie_word_embeddings": True,
}


def model_of(**changes: Any) -> initcli.Model:
    return initcli.parse(json.dumps(TINY | changes), file="config.json")


def refused(**changes: Any) -> str:
    with pytest.raises(initcli.InvalidSpec) as caught:
        model_of(**changes)
    return str(caught.value)


def test_a_folder_without_weights_shows_what_its_configuration_declares(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(TINY))
    rows = run("summary", str(tmp_path), "--format", "jsonl").stdout.splitlines()
    tensors = {row["path"]: row for row in map(json.loads, rows)}
    assert tensors["model.layers.0.mlp.down_proj.weight"]["shape"] == [8, 13]
    assert "lm_head.weight" not in tensors
    assert all(row["values"] is None for row in tensors.values())


def test_the_padding_row_of_sampled_values_is_zero() -> None:
    table = initcli.draw(model_of().parameters[0])
    assert not table[3].any()
    assert np.count_nonzero(table) == 30 * 8


def test_the_dtype_is_that_of_the_configuration_under_either_name() -> None:
    assert model_of(torch_dtype="bfloat16").dtype == "bfloat16"
    assert model_of(dtype="float16").dtype == "float16"
    assert model_of(dtype=None).dtype == "float32"


def test_a_key_that_is_missing_or_another_name_of_it_takes_what_the_library_takes() -> None:
    mixture = {"model_type": "mixtral", "architectures": ["MixtralForCausalLM"]}
    for keys, experts in (({}, 8), ({"num_experts": 3}, 3), ({"num_local_experts": 5}, 5)):
        model = initcli.parse(json.dumps(mixture | {"num_hidden_layers": 1} | keys))
        shapes = {each.path: each.shape for each in model.parameters}
        assert shapes["model.layers.0.mlp.gate.weight"] == (experts, 4096)


def test_every_wrong_value_is_reported_at_its_own_place() -> None:
    text = json.dumps(TINY | {"hidden_size": "8", "mlp_bias": 1, "vocab_size": -1}, indent=1)
    with pytest.raises(initcli.InvalidSpec) as caught:
        initcli.parse(text, file="config.json")
    places = {each.place.line for each in caught.value.errors if each.place}
    lines = text.splitlines()
    keys = ("hidden_size", "mlp_bias", "vocab_size")
    assert places == {n for n, line in enumerate(lines, 1) if any(key in line for key in keys)}


@pytest.mark.parametrize(
    "value", [None, True, -1, 0, 1.5, 10**30, 1e300, float("nan"), "8", [], {}, [8]]
)
def test_no_size_leads_to_anything_but_an_error_at_its_line(value: Any) -> None:
    assert "config.json:1:" in refused(hidden_size=value)


@pytest.mark.parametrize(
    "model_type",
    ["gpt2", "t5", "vit", "bert", "deepseek_v3", "whisper", "resnet", "mamba", "clip", "dinov2"],
)
@pytest.mark.parametrize("value", [None, "x", [], [0], {"a": 1}, -5, 2**39, 1e200, 1e-300, True])
def test_any_value_of_any_key_gives_a_model_or_an_error(model_type: str, value: Any) -> None:
    from initcli.sources.huggingface.family import known_families

    family = known_families()[model_type]
    for key in family.defaults_of(model_type):
        text = json.dumps({"model_type": model_type, key: value})
        with initcli.limited(layers=500), contextlib.suppress(initcli.InvalidSpec):
            model = initcli.parse(text)
            assert all(each.distribution or each.initializer for each in model.parameters)


def test_a_tensor_beyond_the_library_is_refused() -> None:
    message = "has the shape (1099511627776, 1099511627776), which is too large"
    assert message in refused(hidden_size=2**40, vocab_size=2**40)


def test_the_code_that_a_model_brings_along_is_named_and_not_run() -> None:
    own = {"AutoModelForCausalLM": "modeling_own.Own"}
    assert any("'modeling_own.Own', is not run" in note for note in model_of(auto_map=own).notes)
    assert "modeling_own.Own" in refused(model_type="own", auto_map=own)


def test_a_model_type_that_is_nearly_known_is_suggested() -> None:
    assert "did you mean 'llama'?" in refused(model_type="llamma")
    assert "covered are afmoe, albert, " in refused(model_type="qqqqqq")


@pytest.mark.parametrize("model_type", ["llama", "qwen2", "qwen3", "glm4", "olmo2", "whisper"])
def test_a_configuration_is_written_as_a_spec_with_as_many_weights(
    tmp_path: Path, model_type: str
) -> None:
    file, spec = tmp_path / "config.json", tmp_path / "model.yaml"
    file.write_text(json.dumps(facts("huggingface_signal_facts.json")[model_type]["config"]))
    run("init", str(spec), "--from", str(file))
    models = [initcli.load(str(each)) for each in (file, spec)]
    sizes = [sum(each.size for each in model.parameters if each.trainable) for model in models]
    assert sizes[0] == sizes[1]


def test_check_finds_nothing_in_a_configuration_of_the_library(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(TINY))
    assert "Nothing found" in run("check", str(file)).stdout


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "vitdet", "hidden_size": 1, "num_attention_heads": 1},
        {"model_type": "regnet", "hidden_sizes": [1, 1, 1, 1], "embedding_size": 1},
    ],
)
def test_a_width_of_1_leaves_every_layer_a_channel(config: dict[str, Any]) -> None:
    model = initcli.parse(json.dumps(config | {"residual_block_indices": [0]}), file="config.json")
    assert all(parameter.size for parameter in model.parameters)


def test_parts_without_a_family_have_no_sizes() -> None:
    model = initcli.parse('{"model_type": "sam_vision_model"}', file="config.json")
    whole = initcli.parse('{"model_type": "sam"}', file="config.json")
    one, two = ({path[-1] for path in sizes_of(each.document)[0]} for each in (model, whole))
    assert one <= two


@pytest.mark.parametrize("command", ["summary", "hist", "check"])
def test_empty_tensors_are_no_fault(tmp_path: Path, command: str) -> None:
    """Tables for each layer have no columns in a model without layers."""
    config = {"model_type": "gemma3n_text", "num_hidden_layers": 0, "hidden_size": 16}
    file = tmp_path / "config.json"
    file.write_text(json.dumps({**config, "vocab_size": 32, "vocab_size_per_layer_input": 32}))
    out: tuple[str | Path, ...] = ("--out", tmp_path / "plots") if command == "hist" else ()
    done = run(command, file, *out)
    assert done.returncode in (0, 1), done.stderr
