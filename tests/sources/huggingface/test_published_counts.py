"""Parameter counts that the authors of well-known models, or their model cards, give."""

from __future__ import annotations

import json
from typing import Any

import pytest

import initcli

LLAMA: dict[str, Any] = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}
QWEN2 = {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]}
GPT2 = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}
NEOX = {"model_type": "gpt_neox", "architectures": ["GPTNeoXForCausalLM"]}


def sized(
    width: int, inner: int, layers: int, heads: int, keys: int | None = None
) -> dict[str, Any]:
    """The keys of sizes that most configurations have."""
    return {
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": keys or heads,
    }


COUNTS: dict[str, tuple[int, dict[str, Any]]] = {
    "llama-2-7b": (6_738_415_616, LLAMA),
    "llama-2-13b": (13_015_864_320, LLAMA | sized(5120, 13824, 40, 40)),
    "llama-2-70b": (68_976_648_192, LLAMA | sized(8192, 28672, 80, 64, 8)),
    "llama-3-8b": (8_030_261_248, LLAMA | sized(4096, 14336, 32, 32, 8) | {"vocab_size": 128256}),
    "llama-3-70b": (70_553_706_496, LLAMA | sized(8192, 28672, 80, 64, 8) | {"vocab_size": 128256}),
    "llama-3.2-1b": (
        1_235_814_400,
        LLAMA
        | sized(2048, 8192, 16, 32, 8)
        | {"vocab_size": 128256, "head_dim": 64, "tie_word_embeddings": True},
    ),
    "tinyllama-1.1b": (1_100_048_384, LLAMA | sized(2048, 5632, 22, 32, 4)),
    "smollm-135m": (
        134_515_008,
        LLAMA | sized(576, 1536, 30, 9, 3) | {"vocab_size": 49152, "tie_word_embeddings": True},
    ),
    "mistral-7b": (
        7_241_732_096,
        {"model_type": "mistral", "architectures": ["MistralForCausalLM"]},
    ),
    "qwen2-0.5b": (
        494_032_768,
        QWEN2 | sized(896, 4864, 24, 14, 2) | {"tie_word_embeddings": True},
    ),
    "qwen2-7b": (7_615_616_512, QWEN2 | sized(3584, 18944, 28, 28, 4) | {"vocab_size": 152064}),
    "gpt2": (124_439_808, GPT2),
    "gpt2-medium": (354_823_168, GPT2 | {"n_embd": 1024, "n_layer": 24, "n_head": 16}),
    "gpt2-large": (774_030_080, GPT2 | {"n_embd": 1280, "n_layer": 36, "n_head": 20}),
    "gpt2-xl": (1_557_611_200, GPT2 | {"n_embd": 1600, "n_layer": 48, "n_head": 25}),
    "gemma-2b": (
        2_506_172_416,
        {"model_type": "gemma", "architectures": ["GemmaForCausalLM"]}
        | sized(2048, 16384, 18, 8, 1),
    ),
    "gemma-7b": (8_537_680_896, {"model_type": "gemma", "architectures": ["GemmaForCausalLM"]}),
    "gemma-2-2b": (2_614_341_888, {"model_type": "gemma2", "architectures": ["Gemma2ForCausalLM"]}),
    "mixtral-8x7b": (
        46_702_792_704,
        {"model_type": "mixtral", "architectures": ["MixtralForCausalLM"]},
    ),
    "pythia-70m": (70_426_624, NEOX | sized(512, 2048, 6, 8) | {"vocab_size": 50304}),
    "gpt-neox-20b": (20_554_567_680, NEOX),
    "phi-2": (
        2_779_683_840,
        {"model_type": "phi", "architectures": ["PhiForCausalLM"]} | sized(2560, 10240, 32, 32),
    ),
    "gpt-oss-120b": (
        116_829_156_672,
        {"model_type": "gpt_oss", "architectures": ["GptOssForCausalLM"]},
    ),
    "deepseek-v3": (
        671_026_404_352,
        {"model_type": "deepseek_v3", "architectures": ["DeepseekV3ForCausalLM"]},
    ),
    "qwen3-30b-a3b": (
        30_532_122_624,
        {"model_type": "qwen3_moe", "architectures": ["Qwen3MoeForCausalLM"]}
        | sized(2048, 6144, 48, 32, 4)
        | {"head_dim": 128},
    ),
    "falcon-7b": (
        6_921_720_704,
        {"model_type": "falcon", "architectures": ["FalconForCausalLM"]},
    ),
    "bloom-560m": (
        559_214_592,
        {"model_type": "bloom", "architectures": ["BloomForCausalLM"]}
        | {"hidden_size": 1024, "n_layer": 24, "n_head": 16},
    ),
    "gpt-j-6b": (6_050_882_784, {"model_type": "gptj", "architectures": ["GPTJForCausalLM"]}),
    "qwen2-vl-7b": (  # whose language model's sizes stand among those of the whole
        8_291_375_616,
        {
            "model_type": "qwen2_vl",
            "architectures": ["Qwen2VLForConditionalGeneration"],
            "vision_config": {"embed_dim": 1280, "hidden_size": 3584},
            "vocab_size": 152064,
        }
        | sized(3584, 18944, 28, 28, 4),
    ),
    "olmoe-1b-7b": (
        6_919_161_856,
        {"model_type": "olmoe", "architectures": ["OlmoeForCausalLM"], "intermediate_size": 1024},
    ),
    "starcoder2-3b": (
        3_030_371_328,
        {"model_type": "starcoder2", "architectures": ["Starcoder2ForCausalLM"]},
    ),
}


@pytest.mark.parametrize("name", COUNTS)
def test_the_count_of_parameters_is_the_published_one(name: str) -> None:
    count, config = COUNTS[name]
    model = initcli.parse(json.dumps(config))
    assert sum(each.size for each in model.parameters if each.trainable) == count
