"""Checkpoints beside their configurations: names in files, and what is wrong with tensors."""

from __future__ import annotations

import gzip
import json
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import initcli
from initcli.checkpoint import Checkpoint
from initcli.checks import Report, check
from initcli.model import Disagreement, Model
from initcli.sources.huggingface.family import known_families
from initcli.sources.huggingface.names import known_classes
from initcli.sources.pairing import held_to
from initcli.sources.subject import subject
from initcli.stored import StoredTensor
from support.huggingface import drawn, save
from support.paths import REFERENCE
from support.running import run

FACTS = json.loads(gzip.decompress((REFERENCE / "huggingface_names_facts.json.gz").read_bytes()))
LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 90,
    "tie_word_embeddings": False,
}
MIXTRAL: dict[str, Any] = {
    **LLAMA,
    "model_type": "mixtral",
    "architectures": ["MixtralForCausalLM"],
    "num_hidden_layers": 2,
    "num_local_experts": 3,
}
Arrays = dict[str, Any]


def on_disk(tensors: Arrays) -> Arrays:
    """The tensors of Mixtral under the names that files have, one for each expert."""
    found: Arrays = {}
    for path, array in tensors.items():
        name = path.replace(".mlp.", ".block_sparse_moe.")
        if path.endswith("experts.gate_up_proj"):
            for expert, packed in enumerate(array):
                gate, up = np.split(packed, 2)
                place = name.replace("gate_up_proj", str(expert))
                found |= {f"{place}.w1.weight": gate, f"{place}.w3.weight": up}
        elif path.endswith("experts.down_proj"):
            for expert, down in enumerate(array):
                found[f"{name.replace('down_proj', str(expert))}.w2.weight"] = down
        else:
            found[name] = array
    return found


def held(folder: Path, config: dict[str, Any], tensors: Arrays) -> Model:
    found = subject(str(save(folder, config, tensors)))
    assert isinstance(found, Model)
    return found


def codes(report: Report) -> set[str]:
    return {finding.code for finding in report.findings}


def test_names_in_files_are_known_for_every_class() -> None:
    message = "run tests/reference/make_huggingface_names.py"
    assert {case["config"]["model_type"] for case in FACTS} == set(known_families()), message
    assert {case["config"]["architectures"][0] for case in FACTS} == known_classes(), message


@pytest.mark.parametrize("name", sorted(known_families()))
def test_every_tensor_that_the_library_writes_is_one_of_the_model(name: str) -> None:
    for case in (each for each in FACTS if each["config"]["model_type"] == name):
        model = initcli.parse(json.dumps(case["config"]), file="config.json")
        tensors = tuple(
            StoredTensor(path=path, shape=tuple(shape), dtype="float32", storage=None)
            for path, shape in case["names"].items()
        )
        checked = held_to(model, Checkpoint(name="", tensors=tensors))
        assert {each.kind for each in checked.disagreements} <= {"optional"}
        assert len(checked.parameters) == len(model.parameters)


def test_experts_of_a_file_are_one_tensor_in_memory(tmp_path: Path) -> None:
    tensors = drawn(MIXTRAL)
    model = held(tmp_path, MIXTRAL, on_disk(tensors))
    assert model.disagreements == ()
    for parameter in model.parameters:
        stored = parameter.stored
        assert stored is not None
        # Parts are read across the ends of tensors, as chunks are.
        pieces = [stored.read(n, min(n + 1000, stored.size)) for n in range(0, stored.size, 1000)]
        wanted = tensors[parameter.path]
        np.testing.assert_array_equal(np.concatenate(pieces), wanted.astype("f4").ravel())
    assert check(model).findings == ()


def test_a_packed_projection_is_two_tensors_in_memory(tmp_path: Path) -> None:
    config = {
        "model_type": "dinov2",
        "architectures": ["Dinov2Model"],
        "hidden_size": 24,
        "num_attention_heads": 2,
        "num_hidden_layers": 1,
        "image_size": 8,
        "patch_size": 4,
        "use_swiglu_ffn": True,
    }
    tensors = drawn(config)
    both = "encoder.layer.0.mlp.gate_proj.weight", "encoder.layer.0.mlp.up_proj.weight"
    packed = np.concatenate([tensors.pop(path) for path in both])
    biases = [tensors.pop(path.replace("weight", "bias")) for path in both]
    tensors["encoder.layer.0.mlp.weights_in.weight"] = packed
    tensors["encoder.layer.0.mlp.weights_in.bias"] = np.concatenate(biases)
    model = held(tmp_path, config, tensors)
    assert model.disagreements == ()
    stored = {each.path: each.stored for each in model.parameters}
    for path, half in zip(both, np.split(packed, 2), strict=True):
        found = stored[path]
        assert found is not None
        np.testing.assert_array_equal(found.read(0, found.size), half.astype("f4").ravel())


def test_names_of_older_versions_and_of_the_model_without_a_head_are_understood(
    tmp_path: Path,
) -> None:
    config = {
        "model_type": "bert",
        "architectures": ["BertForSequenceClassification"],
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "vocab_size": 40,
    }
    older = {
        path.removeprefix("bert.")
        .replace("LayerNorm.weight", "LayerNorm.gamma")
        .replace("LayerNorm.bias", "LayerNorm.beta"): array
        for path, array in drawn(config).items()
    }
    older["embeddings.position_ids"] = np.arange(512.0)
    model = held(tmp_path, config, older)
    assert model.disagreements == ()
    assert model.notes[-1] == "transformers 5.24 does not read embeddings.position_ids"


def test_bounds_that_start_infinite_are_no_finding_and_are_drawn(tmp_path: Path) -> None:
    config = {
        "model_type": "gemma4_audio",
        "architectures": ["Gemma4AudioModel"],
        "hidden_size": 32,
        "num_attention_heads": 2,
        "num_hidden_layers": 1,
        "use_clipped_linears": True,
    }
    path = "layers.0.self_attn.post.output_max"
    tensors = drawn(config)
    assert tensors[path] == math.inf
    folder = save(tmp_path, config, tensors)
    model = subject(str(folder))
    assert isinstance(model, Model)
    assert check(model).findings == ()
    for source in (folder, folder / "config.json"):
        pictures = tmp_path / f"of {source.name}"
        arguments = (source, "--filter", path, "--out", pictures)
        assert run("hist", *map(str, arguments)).returncode == 0
        assert run("hist", str(source), "--filter", path).returncode == 0
        assert list(pictures.glob("*.png"))
    save(tmp_path, config, tensors | {path: np.array(math.nan)})
    model = subject(str(folder))
    assert isinstance(model, Model)
    assert [finding.code for finding in check(model).findings] == ["I601"]


Damage = Callable[[Arrays, dict[str, Any]], None]


def set_value(path: str, value: float) -> Damage:
    def damage(tensors: Arrays, config: dict[str, Any]) -> None:
        tensors[path][1, 3] = value

    return damage


def fill(path: str, value: float) -> Damage:
    def damage(tensors: Arrays, config: dict[str, Any]) -> None:
        tensors[path][...] = value

    return damage


def drop(path: str) -> Damage:
    def damage(tensors: Arrays, config: dict[str, Any]) -> None:
        del tensors[path]

    return damage


def copy(path: str, other: str) -> Damage:
    def damage(tensors: Arrays, config: dict[str, Any]) -> None:
        tensors[path] = tensors[other]

    return damage


def transpose(path: str) -> Damage:
    def damage(tensors: Arrays, config: dict[str, Any]) -> None:
        tensors[path] = tensors[path].T

    return damage


def say(**values: Any) -> Damage:
    def damage(tensors: Arrays, config: dict[str, Any]) -> None:
        config |= values

    return damage


DOWN = "model.layers.1.mlp.down_proj.weight"
EXPERT = "model.layers.1.block_sparse_moe.experts.2.w3.weight"
DAMAGES: dict[str, tuple[dict[str, Any], Damage, str, str]] = {
    "NaN": (LLAMA, set_value(DOWN, math.nan), "I601", f"{DOWN}, 1 are NaN"),
    "zeros": (LLAMA, fill(DOWN, 0), "I602", f"all 1,536 values of {DOWN} are 0"),
    "1e37": (LLAMA, set_value(DOWN, 1e37), "I606", f"{DOWN} has a value of 1e+37"),
    "missing": (LLAMA, drop(DOWN), "I609", f"the file has no {DOWN}, 1,536 values"),
    "no head": (LLAMA, drop("lm_head.weight"), "I609", "`tie_word_embeddings: true`"),
    "unexpected": (
        LLAMA,
        copy("reward.weight", DOWN),
        "I610",
        "not declare reward.weight (32, 48)",
    ),
    "transposed": (
        *(LLAMA, transpose(DOWN), "I611"),
        f"{DOWN} has the shape (48, 32) (its transpose), declared (32, 48)",
    ),
    "one layer too few": (LLAMA, say(num_hidden_layers=2), "I610", "`num_hidden_layers: 3`"),
    "one layer too many": (LLAMA, say(num_hidden_layers=4), "I609", "`num_hidden_layers: 3`"),
    "other heads": (LLAMA, say(num_key_value_heads=1), "I611", "`num_key_value_heads: 2`"),
    "two layers as one": (
        *(LLAMA, copy(DOWN, "model.layers.2.mlp.down_proj.weight"), "I603"),
        f"{DOWN} has the same 1,536 values as model.layers.2.mlp.down_proj.weight",
    ),
    "expert missing": (
        MIXTRAL,
        drop(EXPERT),
        "I609",
        f"the file has no {EXPERT}, which is all or part",
    ),
    "expert with NaN": (MIXTRAL, set_value(EXPERT, math.nan), "I601", f"1 are NaN, in {EXPERT}"),
    "expert of zeros": (MIXTRAL, fill(EXPERT, 0), "I602", f"{EXPERT}: all values are equal"),
    "expert transposed": (MIXTRAL, transpose(EXPERT), "I611", EXPERT),
    "too many experts": (
        *(MIXTRAL, say(num_local_experts=2), "I610"),
        "`num_local_experts: 3` in the configuration fits the file, 2 does not",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_found_and_named(name: str, tmp_path: Path) -> None:
    config, damage, code, words = DAMAGES[name]
    tensors = {path: each.copy() for path, each in on_disk(drawn(config)).items()}
    config = dict(config)
    if config["model_type"] == "llama":
        tensors = {path.replace(".block_sparse_moe.", ".mlp."): t for path, t in tensors.items()}
    assert check(held(tmp_path, config, tensors)).findings == ()
    damage(tensors, config)
    report = check(held(tmp_path, config, tensors))
    found = [each for each in report.findings if each.code == code]
    assert any(words in f"{each.message} = {each.remedy}" for each in found), report.text


def test_tied_tensors_that_differ_are_found_and_equal_ones_are_not(tmp_path: Path) -> None:
    config = {**LLAMA, "tie_word_embeddings": True}
    tensors = drawn(config)
    table = tensors["model.embed_tokens.weight"]
    # The library swaps the two where a file has the second name alone.
    renamed = {**tensors, "lm_head.weight": table}
    del renamed["model.embed_tokens.weight"]
    assert held(tmp_path, config, renamed).disagreements == ()
    assert held(tmp_path, config, {**tensors, "lm_head.weight": table}).disagreements == ()
    broken = held(tmp_path, config, {**tensors, "lm_head.weight": -table})
    (finding,) = check(broken).findings
    assert finding.code == "I612"
    assert "model.embed_tokens.weight and lm_head.weight are tied" in finding.message
    statuses = {each["path"]: each["status"] for each in rows_of(tmp_path)}
    assert statuses["model.embed_tokens.weight"] == "untied"


def rows_of(folder: Path) -> list[dict[str, Any]]:
    lines = run("summary", folder, "--format", "jsonl").stdout.splitlines()
    return list(map(json.loads, lines))


def test_every_tensor_has_a_status(tmp_path: Path) -> None:
    tensors = drawn(LLAMA)
    rng = np.random.default_rng(0)
    up, norm = "model.layers.0.mlp.up_proj.weight", "model.norm.weight"
    tensors[up] = tensors[up] + rng.normal(0, 0.05, tensors[up].shape)
    tensors[norm] = np.full(32, 1.25)
    tensors[DOWN] = tensors[DOWN].T
    tensors["reward.weight"] = rng.normal(0, 1, (4, 4))
    tensors["lm_head.weight"][2, 2] = math.inf
    del tensors["model.layers.0.self_attn.k_proj.weight"]
    save(tmp_path, LLAMA, tensors)
    statuses = {each["path"]: each["status"] for each in rows_of(tmp_path)}
    wanted = {up: "differs", norm: "differs", DOWN: "other shape", "reward.weight": "unexpected"}
    wanted |= {"lm_head.weight": "not finite"}
    wanted |= {"model.layers.0.self_attn.k_proj.weight": "missing"}
    assert {path: status for path, status in statuses.items() if status != "follows"} == wanted
    done = run("check", tmp_path)
    assert done.returncode == 1
    said = " ".join(done.stderr.split())
    assert (
        "of 30 declared tensors, 25 follow their initial distribution, 2 differ, 1 not finite, "
        "1 of another shape, 1 missing; 1 of the file not declared"
    ) in said
    shown = run("summary", tmp_path).stdout
    assert all(each in shown for each in ("missing", "unexpected", "other shape"))


def test_a_trained_checkpoint_is_no_list_of_errors(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tensors = drawn(LLAMA)
    for path, each in tensors.items():
        if each.ndim == 1:
            tensors[path] = each + rng.normal(0, 0.1, each.shape)
        else:
            low_rank = rng.normal(0, 0.1, (each.shape[0], 2)) @ rng.normal(
                0, 0.3, (2, each.shape[1])
            )
            tensors[path] = each + low_rank
    report = check(held(tmp_path, LLAMA, tensors))
    assert report.findings == ()
    notes = "\n".join(report.notes)
    assert "of 30 declared tensors, 30 differ;" in notes
    assert "they are assumed to be trained" in notes


def test_one_finding_is_enough_for_a_tensor_of_all_blocks(tmp_path: Path) -> None:
    tensors = {
        path: each for path, each in drawn(LLAMA).items() if not path.endswith("up_proj.weight")
    }
    (finding,) = check(held(tmp_path, LLAMA, tensors)).findings
    assert finding.layers == tuple(f"model.layers.{n}.mlp.up_proj" for n in range(3))
    assert "and 2 more, to model.layers.2.mlp.up_proj.weight" in finding.message


def test_what_one_key_is_to_blame_for_is_one_finding_at_its_place(tmp_path: Path) -> None:
    folder = save(tmp_path, {**LLAMA, "vocab_size": 80}, drawn(LLAMA))
    text = json.dumps({**LLAMA, "vocab_size": 80}, indent=2)
    (folder / "config.json").write_text(text)
    (finding,) = check(subject(str(folder))).findings
    assert (finding.code, finding.layers) == ("I611", ("model.embed_tokens", "lm_head"))
    assert '"vocab_size": 80' in text.splitlines()[finding.line - 1]
    assert finding.remedy == "`vocab_size: 90` in the configuration fits the file, 80 does not"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_type": "new_thing"}, "the model type 'new_thing' is not covered"),
        ({"architectures": ["LlamaForFun"]}, "the architecture 'LlamaForFun'"),
        ({"quantization_config": {"quant_method": "fp8"}}, "that the tensors are quantized"),
    ],
)
def test_tensors_of_a_model_that_is_not_covered_are_judged_alone(
    changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    found = subject(str(save(tmp_path, {**LLAMA, **changes}, drawn(LLAMA))))
    assert isinstance(found, Checkpoint)
    assert words in found.notes[-1]
    assert found.notes[-1].endswith("the tensors are not compared with config.json")
    done = run("check", tmp_path)
    assert (done.returncode, done.stdout) == (0, "Nothing found.\n")


def test_a_configuration_of_another_library_is_passed_over(tmp_path: Path) -> None:
    found = subject(str(save(tmp_path, {"_class_name": "UNet2DModel"}, drawn(LLAMA))))
    assert isinstance(found, Checkpoint)
    assert found.notes == ()


def test_files_of_other_tools_are_not_held_to_a_configuration(tmp_path: Path) -> None:
    for name, kind in (
        ("model-00001-of-00001.safetensors", Model),
        ("adapter_model.safetensors", Checkpoint),
        ("consolidated.safetensors", Checkpoint),
    ):
        folder = save(tmp_path / name, LLAMA, drawn(LLAMA))
        (folder / "model.safetensors").rename(folder / name)
        assert isinstance(subject(str(folder)), kind)


def test_a_configuration_that_is_wrong_is_an_error(tmp_path: Path) -> None:
    done = run("check", save(tmp_path, {**LLAMA, "hidden_size": "32"}, drawn(LLAMA)))
    assert done.returncode == 2
    assert "`hidden_size` must be a whole number" in done.stderr


def test_a_folder_is_sampled_on_demand(tmp_path: Path) -> None:
    save(tmp_path, LLAMA, {path: each + 1 for path, each in drawn(LLAMA).items()})
    rows = run("summary", tmp_path, "--sample", "--format", "jsonl").stdout.splitlines()
    assert {json.loads(row)["values"] for row in rows} == {"sampled"}


def test_a_file_is_held_to_a_configuration_elsewhere(tmp_path: Path) -> None:
    folder = save(tmp_path / "checkpoint", LLAMA, on_disk(drawn(MIXTRAL)))
    config = tmp_path / "config.json"
    config.write_text(json.dumps(MIXTRAL))
    done = run("check", config, "--weights", folder / "model.safetensors")
    assert (done.returncode, done.stdout) == (0, "Nothing found.\n")
    # By its own configuration the file lacks every feed-forward layer.
    report = check(subject(str(folder)))
    assert codes(report) == {"I609", "I610"}
    kinds = Counter(each.kind for each in disagreements(folder))
    assert kinds == {"missing": 6 + 9, "unexpected": 2 * (1 + 9)}


def disagreements(folder: Path) -> tuple[Disagreement, ...]:
    found = subject(str(folder))
    assert isinstance(found, Model)
    return found.disagreements


def test_numbers_in_names_and_configurations_cost_no_time(tmp_path: Path) -> None:
    config = {**MIXTRAL, "num_local_experts": 2**33}
    tensors = on_disk(drawn(MIXTRAL))
    tensors[f"model.layers.{10**17}.mlp.up_proj.weight"] = np.zeros((2, 2))
    tensors[f"model.layers.0.block_sparse_moe.experts.{10**17}.w1.weight"] = np.zeros((2, 2))
    report = check(held(tmp_path, config, tensors))
    assert {"I609", "I610"} <= codes(report)
