"""Writes huggingface_signal_facts.json: the size of the stream in classes of transformers.

Needs torch 2.13 and transformers 5.24; names of model types write these alone anew. For each family the class is filled as at its start, random
tokens pass it, and the std of what leaves each block but the last is taken over three seeds.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

FILE = Path(__file__).with_name("huggingface_signal_facts.json")
TYPES = (
    *("llama", "mistral", "ministral", "ministral3", "cwm", "qwen2", "qwen3", "gemma", "gemma2"),
    *("gemma3_text", "phi", "phi3", "olmo", "olmo2", "olmo3", "granite", "smollm3", "cohere"),
    *("cohere2", "stablelm", "starcoder2", "glm", "glm4", "helium", "nemotron", "exaone4"),
    *("arcee", "seed_oss", "ernie4_5", "hunyuan_v1_dense", "gpt2", "gpt_bigcode"),
    *("gptj", "codegen", "gpt_neox", "bert", "opt", "bloom", "falcon", "gpt_neo", "persimmon"),
    *("biogpt", "exaone", "internlm3", "iquestcoder", "jais2", "lfm2", "mpt", "nanochat"),
    *("qwen2_5_vl_text", "qwen2_vl_text", "qwen3_vl_text", "vaultgemma", "roberta"),
    *("data2vec-text", "ernie"),
)
SIZES = {
    "vocab_size": 512,
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "head_dim": 32,
    "max_position_embeddings": 64,
    "pad_token_id": None,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
OLD = ("gpt2", "gptj", "codegen", "gpt_bigcode")
ENCODERS = ("bert", "ernie", "roberta", "data2vec-text")
ALONE = (
    *OLD,
    *ENCODERS,
    "gpt_neox",
    "opt",
    "bloom",
    "falcon",
    "gpt_neo",
    "persimmon",
    "biogpt",
    "mpt",
)
"""Types whose heads all have keys of their own."""
OWN: dict[str, dict[str, Any]] = {
    "granite": {"embedding_multiplier": 12.0, "residual_multiplier": 0.22},
    "opt": {"ffn_dim": 512},
    "roberta": {"pad_token_id": 1, "max_position_embeddings": 72},
    "data2vec-text": {"pad_token_id": 1, "max_position_embeddings": 72},
    "falcon": {"num_kv_heads": 4, "new_decoder_architecture": True},
    "gpt_neo": {"attention_types": [[["global"], 4]]},
}
ROTARY = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 6, 6]}
ROTATED = {"rope_parameters": ROTARY}
OWN |= {f"{name}_text": ROTATED for name in ("qwen2_5_vl", "qwen2_vl", "qwen3_vl")}
RENAMED = {
    "hidden_size": "n_embd",
    "num_hidden_layers": "n_layer",
    "num_attention_heads": "n_head",
    "max_position_embeddings": "n_positions",
    "intermediate_size": "n_inner",
}


def configuration(model_type: str) -> dict[str, Any]:
    """A small configuration, with heads of keys of their own where the class has them."""
    sizes = dict(SIZES)
    if model_type in OLD:
        sizes = {RENAMED.get(key, key): value for key, value in sizes.items()}
        if model_type in ("gptj", "codegen"):
            sizes["rotary_dim"] = 16
    if model_type in ALONE:
        del sizes["head_dim"]
    else:
        sizes["num_key_value_heads"] = 4
    return {"model_type": model_type, **sizes, **OWN.get(model_type, {})}


def streams(config: dict[str, Any]) -> list[float]:
    """The std of the stream behind each block but the last."""
    kinds = {key: value for key, value in config.items() if key != "model_type"}
    found = []
    for seed in range(3):
        torch.manual_seed(seed)
        settings = transformers.AutoConfig.for_model(config["model_type"], **kinds)
        model = transformers.AutoModel.from_config(settings).eval()
        tokens = torch.randint(config["vocab_size"], (16, 64))
        given = {"input_ids": tokens}
        if config["model_type"] in ENCODERS:
            kinds_of = getattr(settings, "type_vocab_size", 2)
            given["token_type_ids"] = torch.randint(kinds_of, tokens.shape)
        with torch.no_grad():
            states = model(**given, output_hidden_states=True).hidden_states
        found.append([float(each.std()) for each in states[1:-1]])
    return [float(f"{each:.5g}") for each in np.mean(found, 0)]


def main() -> None:
    """Write the file."""
    facts = json.loads(FILE.read_text()) if sys.argv[1:] else {}
    for model_type in sys.argv[1:] or TYPES:
        config = configuration(model_type)
        facts[model_type] = {"config": config, "stream": streams(config)}
    lines = (f"{json.dumps(key)}: {json.dumps(each)}" for key, each in facts.items())
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
