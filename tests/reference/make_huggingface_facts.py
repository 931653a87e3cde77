"""Write down which tensors the classes of transformers really have, and how they start.

Needs torch 2.13 and transformers 5.24 beside initcli:
``python tests/reference/make_huggingface_facts.py [MODEL_TYPE ...]``. Configurations are the
library's default with small sizes, and 20 with random sizes and flags. Models are built without
memory. Names of model types write these alone anew, into the facts that are there.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import sys
import zlib
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
sys.path.insert(0, str(Path(__file__).parents[1]))

import transformers
import transformers.modeling_utils
from huggingface_sizes import own_sizes
from make_huggingface_model_types import class_named

from initcli.sources.code.torch_meta import recorded
from initcli.sources.code.torch_model import described
from initcli.sources.huggingface.family import Family, known_families
from support.huggingface import digest, lines

FACTS = Path(__file__).parent / "huggingface_facts.json.gz"
MUTATIONS = 20
PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23)
SIZES = {
    r"(num_(hidden_|decoder_|encoder_)?layers|n_layers?|(de|en)coder_layers|depth)": (1, 2, 3),
    r"(vocab_size|.*max_position_embeddings|n_positions|max_seq_len|.*_positions)": (
        *(53, 59, 61, 67, 71, 73),
    ),
    r"(.*intermediate_size|hidden_dim|n_inner|ffn_hidden_size|.*ffn_dim|d_ff)": (29, 31, 37, 41),
    r"(num_experts|num_local_experts|n_routed_experts|moe_num_experts)": (2, 3, 5),
    r"(num_experts_per_tok|moe_k|topk_group|n_group)": (1,),
    r"(n_shared_experts|moe_num_shared_experts)": (1, 2, 3),
    r"(.*lora_rank|qk_.*head_dim|v_head_dim|kv_channels|d_kv)": (2, 6, 10, 14),
    r"(first_k_dense_replace|decoder_sparse_step|moe_layer_.*)": (1, 2),
    r"type_vocab_size": (1, 2, 3),
    r"embedding_size": (11, 13, 17),
    r"(rotary_dim|n_ctx|image_size)": (8, 12),
    r"patch_size": (2, 4),
    r"num_patches": (9, 16),
    r"(mamba_head_dim|num_dense_layers)": (1, 2),
    r"num_channels": (1, 3),
    r"(state_size|conv_kernel|time_step_rank|num_mel_bins|num_hidden_groups|inner_group_num)": (
        *(2, 3, 5),
    ),
    r"relative_attention_num_buckets": (5, 7),
    r"(mamba_d_state|mamba_d_conv|mamba_n_?groups|n_groups|linear_.*_dim|ssm_state_size)": (
        2,
        3,
        5,
    ),
    r"(linear_num_(key|value)_heads|adapter_rank|num_mem_blocks)": (1, 2, 3),
}
WIDTHS = ("hidden_size", "n_embd", "d_model", "embed_dim", "dim")
HEADS = (
    *("num_attention_heads", "n_head", "n_heads", "num_heads"),
    *("mamba_n_heads", "n_mamba_heads", "mamba_num_heads"),
)
KEYS = ("num_key_value_heads", "num_kv_heads")
KEPT = re.compile(
    r"use_cache|return_.*|output_.*|is_encoder_decoder|is_decoder|tie_encoder_decoder|.*torchscript"
    r"|use_bfloat16|share_encoder_decoder_embeddings|add_adapter|conv_pos_batch_norm|.*prefix_lm|_.*|add_cross_attention|cross_attention.*|.*fast.*|sinusoidal_pos_embds"
)
NUMBERS = re.compile(r"initializer_range|init_std|.*initializer_factor|lambda_std_dev")


def sizes_of(name: str, rng: random.Random, keep: bool) -> dict[str, Any]:
    """The configuration of a part, of a model type of its own."""
    part = known_families().get(name)
    return {k: v for k, v in mutated(name, part, rng, keep).items() if k != "architectures"}


def mutated(
    name: str, family: type[Family] | None, rng: random.Random, keep: bool
) -> dict[str, Any]:
    """A configuration with small random sizes, and unless ``keep`` with random flags."""
    default = transformers.CONFIG_MAPPING[name]().to_dict()
    chosen: dict[str, Any] = {}
    heads, each = rng.choice((2, 3, 4, 6)), rng.choice(PRIMES[:5]) * 2
    for key, value in default.items():
        if KEPT.fullmatch(key):
            continue
        optional = transformers.CONFIG_MAPPING[name].sub_configs_defaults.get(key)
        if value is None and optional and optional.optional and optional.model_type:
            if rng.random() < 0.5:
                chosen[key] = sizes_of(optional.model_type, rng, keep)
            continue
        if isinstance(value, dict) and value.get("model_type") in transformers.CONFIG_MAPPING:
            chosen[key] = sizes_of(value["model_type"], rng, keep)
            continue
        pattern = next((each for each in SIZES if re.fullmatch(each, key)), None)
        if pattern and (isinstance(value, int) or value is None):
            if value is not None or rng.random() < 0.5:
                chosen[key] = rng.choice(SIZES[pattern])
        elif key in WIDTHS:
            chosen[key] = heads * each
        elif re.fullmatch(r"((en|de)coder_)?(attention_heads|num_heads)", key) or key in HEADS:
            chosen[key] = heads
        elif key in KEYS:
            chosen[key] = rng.choice([n for n in range(1, heads + 1) if heads % n == 0])
        elif key == "head_dim":
            chosen[key] = rng.choice((each, 6, 10, 14))
        elif isinstance(value, bool) and not keep:
            if rng.random() < 0.4:
                chosen[key] = not value
        elif NUMBERS.fullmatch(key) and not keep:
            chosen[key] = round(rng.uniform(0.004, 0.09), 5)
    vocabulary = chosen.get("vocab_size", 50)
    for key in ("pad_token_id", "bos_token_id", "eos_token_id"):
        if key in default:
            chosen[key] = rng.randrange(vocabulary)
    if "depths" in default:
        stages = rng.choice((2, 3, 4))
        chosen["hidden_sizes"] = [4 * rng.choice(PRIMES[:5]) for _ in range(stages)]
        chosen["depths"] = [rng.choice((1, 2, 3)) for _ in range(stages)]
        if "num_stages" in default:
            chosen["num_stages"] = stages
    for key in ("layer_types", "mlp_layer_types"):
        words = default.get(key)
        if words and isinstance(words, list) and not keep and rng.random() < 0.5:
            count = chosen.get("num_hidden_layers", 0)
            chosen[key] = [rng.choice(sorted(set(words))) for _ in range(count)]
    if "layer_type" in default and not keep:
        chosen["layer_type"] = rng.choice(("basic", "bottleneck"))
    if "feed_forward_proj" in default and not keep:
        chosen["feed_forward_proj"] = rng.choice(("relu", "gated-gelu", "gated-silu"))
    if "mamba_d_ssm" in default:
        chosen["mamba_d_ssm"] = rng.choice((heads * each, 2 * heads, None))
    if "expand" in default and "num_heads" in default:
        chosen["head_dim"] = 2 * each
    if isinstance(default.get("num_heads"), (list, tuple)):
        stages = len(chosen["depths"])
        chosen |= {"embed_dim": heads * each, "num_heads": [heads] * stages}
        chosen["window_size"] = rng.choice((2, 3, 5))
        del chosen["hidden_sizes"]
    if "num_conv_pos_embedding_groups" in default:
        chosen["num_conv_pos_embedding_groups"] = heads
        if not keep:
            chosen["feat_extract_norm"] = rng.choice(("group", "layer"))
    if "pos_att_type" in default and not keep:
        chosen |= {
            "pos_att_type": rng.choice((None, "p2c|c2p", ["c2p"], "p2c")),
            "position_buckets": rng.choice((-1, 7, 11)),
            "share_att_key": rng.random() < 0.4,
            "norm_rel_ebd": rng.choice(("none", "layer_norm")),
            "conv_kernel_size": rng.choice((0, 3)),
        }
    if name == "nemotron_h" and not keep:
        pattern = "".join(rng.choice("ME*-") for _ in range(rng.choice((1, 2, 4))))
        words = {"M": "mamba", "E": "moe", "*": "attention", "-": "mlp"}
        chosen = {key: each for key, each in chosen.items() if "layer" not in key}
        if rng.random() < 0.5:
            chosen["hybrid_override_pattern"] = pattern
        else:
            chosen["layers_block_type"] = [words[each] for each in pattern]
    for key in ("depth_multiplier", "width_coefficient", "depth_coefficient"):
        if key in default:
            chosen[key] = rng.choice((0.35, 0.5, 1.4))
    if name == "efficientnet":
        chosen["hidden_dim"] = max(8, int(1280 * chosen["width_coefficient"]))
    if name == "lfm2_moe":
        count = chosen.setdefault("num_hidden_layers", 2)
        chosen["layer_types"] = [rng.choice(("full_attention", "conv")) for _ in range(count)]
    if name == "gpt_neo":
        chosen["attention_types"] = [[["global"], chosen["num_layers"]]]
    if not keep:
        for key in ("pad_token_id", "head_dim", "num_key_value_heads"):
            if key in default and rng.random() < 0.25:
                chosen.pop(key, None)
                if key == "pad_token_id" or default[key] is None:
                    chosen[key] = None
        for key in list(chosen):
            if rng.random() < 0.04 and "depths" not in default and key not in (*WIDTHS, *HEADS):
                del chosen[key]
    chosen |= own_sizes(name, chosen, rng)
    names = list(family.ends_of(name)) if family else [""]
    first = names[0]
    architecture = first if keep or rng.random() < 0.5 else rng.choice(names)
    if "Classification" in architecture and rng.random() < 0.7:
        chosen["id2label"] = {str(n): f"L{n}" for n in range(rng.choice((1, 3, 5)))}
    return {"architectures": [architecture], "model_type": name, **chosen}


def built(data: dict[str, Any]) -> list[str]:
    """The tensors of the library's class with that configuration."""
    config = transformers.AutoConfig.for_model(**json.loads(json.dumps(data)))
    if isinstance(config.id2label, dict):
        config.id2label = {int(key): value for key, value in config.id2label.items()}
    with recorded() as recorder:
        model = class_named(data["model_type"], data["architectures"][0])(config)
    return lines(*described(model, recorder, 0))


def facts_of(name: str, family: type[Family]) -> dict[str, Any]:
    """The cases of a model type; the tensors of the first in full."""
    rng = random.Random(zlib.crc32(name.encode()))
    cases: list[dict[str, Any]] = []
    full: list[str] = []
    failures = 0
    while len(cases) <= MUTATIONS:
        data = mutated(name, family, rng, keep=not cases)
        try:
            tensors = built(data)
        except Exception as error:
            failures += 1
            if failures > 400:
                raise RuntimeError(f"{name}: {data}") from error
            continue
        full = full or tensors
        cases.append({"config": data, "digest": digest(tensors)})
    print(f"{name}: {len(cases)} cases, {failures} refused by the library", flush=True)
    return {"cases": cases, "tensors": full}


def main() -> None:
    """Write the facts."""
    families = known_families()
    facts = {}
    if FACTS.exists() and sys.argv[1:]:
        facts = json.loads(gzip.decompress(FACTS.read_bytes()))
    for name in sys.argv[1:] or families:
        facts[name] = facts_of(name, families[name])
        text = json.dumps(dict(sorted(facts.items())), separators=(",", ":"))
        FACTS.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


if __name__ == "__main__":
    main()
