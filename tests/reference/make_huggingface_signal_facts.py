"""Writes huggingface_signal_facts.json: the size of the stream in classes of transformers.

Needs torch 2.13 and transformers 5.24; names of model types write these alone anew. For each family
the class is filled as at its start, random tokens or images pass it, and the std of what leaves
each block but the last is taken over three seeds.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from make_huggingface_model_types import class_named

from initcli.sources.huggingface.families.audio import POSITIONS
from initcli.sources.huggingface.model_types import known_model_types

FILE = Path(__file__).with_name("huggingface_signal_facts.json")
BLOCK = re.compile(r"(?<=\.)\d+(?=\.)")
SCANNING = (
    *("mamba", "falcon_mamba", "mamba2", "jamba", "bamba", "granitemoehybrid", "falcon_h1"),
    *("nemotron_h", "qwen3_next", "qwen3_5_text", "qwen3_5_moe_text"),
)
"""Types with a recurrence that no layer describes."""
MIXED = {
    "shared_intermediate_size": 256,
    "mamba_n_heads": 16,
    "layer_types": ["linear_attention", "linear_attention", "full_attention", "linear_attention"],
}
LOOKING = ("qwen2_5_vl_vision", "qwen3_vl_vision", "qwen3_5_vision")
SEEING = ("llava", "gemma3", "paligemma", "internvl", "cohere2_vision", "mistral3")
JOINED = (*SEEING, "idefics2", "vipllava", "aria")
"""Types whose images are tokens of the text."""
TOLD = ("qwen2_audio", "voxtral", "mllama")
"""Other types with a language model."""
STAGES = {"image_size": 64, "hidden_sizes": [64, 128, 256], "depths": [2, 2, 1]}
STAGED: dict[str, dict[str, Any]] = {
    "resnet": STAGES | {"embedding_size": 64},
    "regnet": STAGES | {"embedding_size": 64, "groups_width": 16},
    "mobilenet_v1": {"image_size": 64},
    "mobilenet_v2": {"image_size": 64, "output_stride": 16},
    "efficientnet": {
        "image_size": 64,
        "width_coefficient": 1.0,
        "depth_coefficient": 1.0,
        "hidden_dim": 1280,
        "drop_connect_rate": 0.0,
        "initializer_range": 0.5,
    },
    "convnext": STAGES | {"num_stages": 3, "layer_scale_init_value": 0.5, "initializer_range": 0.1},
    "convnextv2": STAGES | {"num_stages": 3, "initializer_range": 0.1},
    "segformer": {
        "image_size": 64,
        "initializer_range": 0.1,
        "architectures": ["SegformerModel"],
    },
    **dict.fromkeys(
        ("swin", "swinv2", "donut-swin"),
        {"image_size": 64, "patch_size": 2, "depths": [2, 2, 1], "num_heads": [3, 6, 12]}
        | {"initializer_range": 0.1},
    ),
    "dinov3_convnext": STAGES | {"layer_scale_init_value": 0.5, "initializer_range": 0.1},
}
"""Networks whose stages differ in width."""
IMAGES = {"image_size": 64, "patch_size": 8}
PATCHED: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("vit_msn", "ijepa"), IMAGES),
    "vit_mae": IMAGES | {"architectures": ["ViTMAEModel"]},
    "dinov3_vit": IMAGES | {"layerscale_value": 0.5, "use_gated_mlp": True},
    "data2vec-vision": IMAGES | {"use_relative_position_bias": True},
    "yolos": IMAGES
    | {"image_size": [64, 64], "num_detection_tokens": 10, "use_mid_position_embeddings": True},
    "vitdet": IMAGES
    | {"pretrain_image_size": 64, "window_size": 3, "window_block_indices": [0, 2]}
    | {"residual_block_indices": [1], "use_relative_position_embeddings": True},
    "sam_vision_model": IMAGES
    | {"window_size": 3, "global_attn_indexes": [1, 3], "initializer_range": 0.02},
    "timesformer": {"image_size": 64, "num_frames": 4, "initializer_range": 0.05},
    "vivit": {"image_size": 64, "tubelet_size": [2, 16, 16], "num_frames": 8},
    "videomae": {"image_size": 64, "tubelet_size": 2, "num_frames": 8},
    "audio-spectrogram-transformer": {"num_mel_bins": 64, "max_length": 96},
}
"""Transformers of patches, and what their configurations have besides."""
TYPES = (
    *("llama", "mistral", "ministral", "ministral3", "cwm", "qwen2", "qwen3", "gemma", "gemma2"),
    *("gemma3_text", "phi", "phi3", "olmo", "olmo2", "olmo3", "granite", "smollm3", "cohere"),
    *("cohere2", "stablelm", "starcoder2", "glm", "glm4", "helium", "nemotron", "exaone4"),
    *("arcee", "seed_oss", "ernie4_5", "hunyuan_v1_dense", "gpt2", "gpt_bigcode"),
    *("gptj", "codegen", "gpt_neox", "bert", "opt", "bloom", "falcon", "gpt_neo", "persimmon"),
    *("biogpt", "exaone", "internlm3", "iquestcoder", "jais2", "lfm2", "mpt", "nanochat"),
    *("qwen2_5_vl_text", "qwen2_vl_text", "qwen3_vl_text", "vaultgemma", "roberta"),
    *("data2vec-text", "ernie"),
    *("mixtral", "qwen2_moe", "qwen3_moe", "qwen3_vl_moe_text", "olmoe", "gpt_oss", "minimax_m2"),
    *("deepseek_v2", "deepseek_v3", "deepseek_v32", "glm4_moe_lite", "mistral4", "sarvam_mla"),
    *("minicpm3", "youtu", "flex_olmo", "hunyuan_v1_moe", "granitemoe", "granitemoeshared"),
    *("granitemoe_swa", "ernie4_5_moe", "afmoe", "solar_open", "cohere2_moe", "exaone_moe"),
    *("hy_v3", "mellum", "glm4_moe", "sarvam_moe", "dots1"),
    *("vit", "deit", "dinov2", "dinov2_with_registers", "beit", "clip_text_model"),
    *("clip_vision_model", "siglip_vision_model", "siglip_text_model", "idefics3_vision"),
    *("siglip2_text_model", "idefics2_vision", "smolvlm_vision", "pixtral", "internvl_vision"),
    *("bart", "mbart", "plbart", "blenderbot", "blenderbot-small", "m2m_100", "pegasus", "marian"),
    *("whisper", "t5", "mt5", "umt5", "roberta-prelayernorm", "xlm-roberta-xl", "megatron-bert"),
    *("xlm-roberta", "camembert", "electra", "mpnet", "distilbert", *SEEING),
    *(
        "modernbert",
        "modernbert-decoder",
        "apertus",
        "bitnet",
        "xglm",
        "openai-gpt",
        "gpt_neox_japanese",
        "granite_swa",
        "clip",
    ),
    *("siglip", "siglip2_vision_model", "lfm2_moe", "qwen2_vl_vision"),
    *(*LOOKING, *SCANNING, *PATCHED),
    *("openai_privacy_filter", "mimo_v2_flash", "laguna", "aria_text", "doge", "jetmoe"),
    *("gemma4_text", "gemma3n_text", "gemma4_vision", "gemma4_audio", "imagegpt", "ctrl"),
    *("axk1", "glm_moe_dsa", "longcat_flash", "diffllama", "phimoe", "llama4_text"),
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
OLD = ("gpt2", "gptj", "codegen", "gpt_bigcode", "openai-gpt", "imagegpt", "ctrl")
TOWERS = (
    *("vit", "deit", "clip_text_model", "clip_vision_model", "siglip_vision_model"),
    *("siglip_text_model", "idefics3_vision", "siglip2_text_model", "idefics2_vision"),
    *("smolvlm_vision", "pixtral", "internvl_vision", "dinov2", "dinov2_with_registers", "beit"),
)
PAIRED = (
    *("bart", "mbart", "plbart", "blenderbot", "blenderbot-small", "m2m_100", "pegasus"),
    *("marian", "whisper", "t5", "mt5", "umt5"),
)
PADDED = (
    *("roberta", "data2vec-text", "roberta-prelayernorm", "xlm-roberta-xl", "xlm-roberta"),
    "camembert",
)
ALONE = (
    *OLD,
    *("bert", "ernie", "megatron-bert", "electra", "mpnet", "distilbert"),
    *PADDED,
    *TOWERS,
    *PATCHED,
    *SEEING,
    *PAIRED,
    *(
        "modernbert",
        "modernbert-decoder",
        "xglm",
        "openai-gpt",
        "gpt_neox_japanese",
        "siglip2_vision_model",
        "mamba2",
    ),
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
EXPERTS = {
    "num_experts": 8,
    "n_routed_experts": 8,
    "n_shared_experts": 1,
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 128,
}
LATENT = EXPERTS | {
    "head_dim": 16,
    "first_k_dense_replace": 1,
    "q_lora_rank": 96,
    "kv_lora_rank": 64,
    "qk_nope_head_dim": 32,
    "qk_rope_head_dim": 16,
    "v_head_dim": 32,
    "num_key_value_heads": 8,
}
SCALED = {
    "rope_type": "default",
    "rope_theta": 1e4,
    "llama_4_scaling_beta": 0.1,
    "original_max_position_embeddings": 8192,
}
TEXT = {
    "vocab_size": 512,
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "max_position_embeddings": 64,
}
LANGUAGE = TEXT | {"num_key_value_heads": 4, "head_dim": 32}
VISION = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "image_size": 64,
    "patch_size": 8,
}


def pair(text: str, vision: str, **more: Any) -> dict[str, Any]:
    """The configuration of a language model that sees."""
    parts = {"text_config": LANGUAGE, "vision_config": VISION}
    named = {
        key: {"model_type": name, **parts[key]}
        for key, name in (("text_config", text), ("vision_config", vision))
    }
    return {"image_token_id": 511, **named, **more}


BART = {
    "d_model": 256,
    "encoder_layers": 4,
    "decoder_layers": 4,
    "encoder_attention_heads": 8,
    "decoder_attention_heads": 8,
    "encoder_ffn_dim": 512,
    "decoder_ffn_dim": 512,
    "max_source_positions": 32,
    "max_target_positions": 64,
}
ROTARY = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 6, 6]}
ROTATED = {"rope_parameters": ROTARY}
OWN: dict[str, dict[str, Any]] = {
    "modernbert-decoder": {"pad_token_id": 0},
    "granite": {"embedding_multiplier": 12.0, "residual_multiplier": 0.22},
    "opt": {"ffn_dim": 512},
    **{key: {"pad_token_id": 1, "max_position_embeddings": 72} for key in PADDED},
    "mpnet": {"pad_token_id": 1, "max_position_embeddings": 72},
    "electra": {"embedding_size": 128},
    "distilbert": {"dim": 256, "n_layers": 4, "n_heads": 8, "hidden_dim": 512},
    "falcon": {"num_kv_heads": 4, "new_decoder_architecture": True},
    "gpt_neo": {"attention_types": [[["global"], 4]]},
    "mixtral": {"num_local_experts": 8},
    "qwen2_moe": EXPERTS | {"shared_expert_intermediate_size": 256, "decoder_sparse_step": 2},
    "qwen3_moe": EXPERTS | {"norm_topk_prob": True},
    "qwen3_vl_moe_text": EXPERTS,
    "olmoe": EXPERTS,
    "gpt_oss": EXPERTS,
    "deepseek_v2": LATENT,
    "deepseek_v3": LATENT | {"n_group": 2, "topk_group": 1},
    "deepseek_v32": LATENT | {"n_group": 2, "topk_group": 1},
    "glm4_moe_lite": LATENT,
    "mistral4": LATENT | {"rope_parameters": SCALED},
    "sarvam_mla": LATENT,
    "minicpm3": LATENT,
    "youtu": LATENT,
    "minimax_m2": EXPERTS,
    "flex_olmo": EXPERTS,
    "hunyuan_v1_moe": EXPERTS | {"moe_topk": 2},
    "granitemoe": EXPERTS | {"residual_multiplier": 0.5, "embedding_multiplier": 4.0},
    "granitemoeshared": EXPERTS | {"shared_intermediate_size": 128},
    "granitemoe_swa": EXPERTS | {"shared_intermediate_size": 128},
    "ernie4_5_moe": EXPERTS | {"moe_num_experts": 8, "moe_k": 2},
    "afmoe": EXPERTS | {"num_dense_layers": 1, "num_shared_experts": 1},
    "solar_open": EXPERTS,
    "cohere2_moe": EXPERTS | {"num_shared_experts": 1, "first_k_dense_replace": 1},
    "exaone_moe": EXPERTS | {"num_shared_experts": 1},
    "hy_v3": EXPERTS | {"num_shared_experts": 1},
    "mellum": EXPERTS,
    "glm4_moe": EXPERTS | {"first_k_dense_replace": 1},
    "sarvam_moe": EXPERTS,
    **dict.fromkeys(TOWERS, IMAGES),
    **PATCHED,
    **dict.fromkeys(PAIRED[:9], BART),
    "llava": pair("llama", "clip_vision_model", vision_feature_layer=-2),
    "gemma3": pair("gemma3_text", "siglip_vision_model", mm_tokens_per_image=16),
    "paligemma": pair("gemma", "siglip_vision_model", projection_dim=256),
    "internvl": pair("qwen2", "internvl_vision"),
    "cohere2_vision": pair("cohere2", "siglip_vision_model", downsample_factor=2),
    "mistral3": pair("mistral", "pixtral", vision_feature_layer=-1),
    "xglm": {"d_model": 256, "ffn_dim": 512, "num_layers": 4, "attention_heads": 8},
    "clip": {"text_config": TEXT, "vision_config": VISION},
    "siglip": {"text_config": TEXT | {"projection_size": 128}, "vision_config": VISION},
    "siglip2_vision_model": {"num_patches": 64, "patch_size": 8},
    "lfm2_moe": EXPERTS | {"num_dense_layers": 1, "layer_types": ["conv", "full_attention"] * 2},
    "qwen2_vl_vision": {"embed_dim": 256, "depth": 4, "num_heads": 8},
    **{key: {"depth": 4, "num_heads": 8, "out_hidden_size": 256} for key in LOOKING},
    **{key: {"state_size": 16} for key in ("mamba", "falcon_mamba")},
    "mamba2": {"num_heads": 16, "head_dim": 32, "n_groups": 2},
    "jamba": EXPERTS | {"attn_layer_period": 4, "attn_layer_offset": 2},
    "bamba": {"mamba_n_heads": 16, "mamba_d_head": 32, "attn_layer_indices": [2]},
    "granitemoehybrid": EXPERTS | MIXED,
    "falcon_h1": {"mamba_n_heads": 16, "mamba_d_head": 32, "mamba_d_ssm": 512},
    "nemotron_h": EXPERTS | {"mamba_num_heads": 16, "mamba_head_dim": 32},
    "qwen3_next": EXPERTS | {"shared_expert_intermediate_size": 128},
    "qwen3_5_moe_text": EXPERTS | {"shared_expert_intermediate_size": 128},
    "m2m_100": BART | {"pad_token_id": 1},
    **{key: {"d_model": 256, "d_kv": 32, "d_ff": 512, "num_layers": 4} for key in PAIRED[9:]},
    "dinov2": IMAGES | {"mlp_ratio": 2, "layerscale_value": 0.5},
    "dinov2_with_registers": IMAGES | {"mlp_ratio": 2, "use_swiglu_ffn": True},
    "beit": IMAGES | {"use_relative_position_bias": True},
    "dots1": EXPERTS | {"first_k_dense_replace": 2},
}
BLOCKS = ["sliding_attention", "full_attention"]
OWN |= {
    "openai_privacy_filter": EXPERTS,
    "mimo_v2_flash": EXPERTS | {"v_head_dim": 16, "layer_types": BLOCKS * 2},
    "laguna": EXPERTS
    | {"shared_expert_intermediate_size": 128, "num_attention_heads_per_layer": [8, 4, 8, 8]},
    "aria_text": EXPERTS | {"moe_num_experts": 8, "moe_num_shared_experts": 1},
    "jetmoe": EXPERTS | {"kv_channels": 32},
    "gemma4_text": EXPERTS
    | {
        "num_hidden_layers": 6,
        "num_kv_shared_layers": 2,
        "global_head_dim": 64,
        "hidden_size_per_layer_input": 16,
        "vocab_size_per_layer_input": 512,
        "layer_types": BLOCKS * 3,
        "enable_moe_block": True,
        "top_k_experts": 2,
    },
    "gemma3n_text": {
        "num_kv_shared_layers": 0,
        "hidden_size_per_layer_input": 16,
        "vocab_size_per_layer_input": 512,
        "laurel_rank": 16,
        "layer_types": BLOCKS * 2,
        "activation_sparsity_pattern": [0.0] * 4,
    },
    "gemma4_vision": {"num_key_value_heads": 8, "patch_size": 8, "use_clipped_linears": True},
    "gemma4_audio": {"subsampling_conv_channels": [32, 8]},
    "ctrl": {"dff": 512},
    "axk1": LATENT | {"n_group": 1, "topk_group": 1},
    "glm_moe_dsa": LATENT
    | {"n_group": 2, "topk_group": 1, "indexer_types": ["full", "shared"] * 2},
    "longcat_flash": LATENT
    | {
        "num_layers": 4,
        "num_hidden_layers": 8,
        "ffn_hidden_size": 512,
        "expert_ffn_hidden_size": 128,
        "zero_expert_num": 4,
        "moe_topk": 2,
    },
    "phimoe": EXPERTS,
    "llama4_text": EXPERTS | {"intermediate_size_mlp": 512, "interleave_moe_layer_step": 2},
}
SOUND = {
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "conv_dim": [64, 64, 64],
    "conv_kernel": [10, 3, 2],
    "conv_stride": [5, 2, 2],
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
STABLE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True}
TWO = {"text_config": TEXT, "vision_config": VISION}
READ = BART | {"max_position_embeddings": 64}
ENCODED = {"vocab_size": 512, "d_model": 256, "d_kv": 32, "d_ff": 512, "num_layers": 4}
HEARD = {
    "audio_token_index": 511,
    "audio_token_id": 511,
    "text_config": LANGUAGE | {"model_type": "qwen2"},
}
RESAMPLED = {
    "resampler_n_latents": 16,
    "resampler_depth": 2,
    "resampler_n_heads": 4,
    "resampler_head_dim": 32,
    "num_key_value_heads": 2,
}
TILED = VISION | {
    "attention_heads": 4,
    "num_global_layers": 0,
    "max_num_tiles": 1,
    "supported_aspect_ratios": [[1, 1]],
    "intermediate_layers_indices": [0, 2],
    "vision_output_dim": 384,
}
WHOLE: dict[str, dict[str, Any]] = {
    **STAGED,
    **dict.fromkeys(("wav2vec2", "sew", "unispeech"), SOUND),
    **dict.fromkeys(("hubert", "unispeech-sat", "wavlm"), SOUND | STABLE),
    "data2vec-audio": SOUND | {"conv_pos_kernel_size": 7, "num_conv_pos_embeddings": 3},
    **dict.fromkeys(("clipseg_text_model", "owlvit_text_model", "metaclip_2_text_model"), TEXT),
    **dict.fromkeys(("altclip_vision_model", "metaclip_2_vision_model"), VISION),
    **dict.fromkeys(("owlvit_vision_model", "blip_vision_model"), VISION),
    "altclip_text_model": TEXT | {"max_position_embeddings": 72, "pad_token_id": 1},
    "blip_text_model": TEXT | {"bos_token_id": 0},
    "chinese_clip_text_model": TEXT,
    **dict.fromkeys(("owlvit", "metaclip_2", "chinese_clip"), TWO),
    "clipseg": TWO | {"architectures": ["CLIPSegModel"]},
    "altclip": TWO | {"text_config": TEXT | {"max_position_embeddings": 72, "pad_token_id": 1}},
    "blip": TWO | {"text_config": TEXT | {"encoder_hidden_size": 128}},
    "led": READ | {"max_encoder_position_embeddings": 128, "attention_window": 64},
    "bigbird_pegasus": READ,
    "pegasus_x": READ | {"block_size": 64, "num_global_tokens": 2},
    "nllb-moe": READ | {"num_experts": 4, "encoder_sparse_step": 2, "decoder_sparse_step": 2},
    "trocr": READ,
    "speech_to_text": BART | {"max_source_positions": 6000, "conv_channels": 128},
    "longt5": ENCODED | {"encoder_attention_type": "transient-global"},
    "pop2piano": ENCODED,
    "switch_transformers": ENCODED
    | {"num_decoder_layers": 4, "num_experts": 4, "expert_capacity": 512}
    | {"num_sparse_encoder_layers": 2, "num_sparse_decoder_layers": 2},
    **dict.fromkeys(("qwen2_audio_encoder", "voxtral_encoder"), BART),
    "qwen2_audio": HEARD | {"audio_config": {"model_type": "qwen2_audio_encoder", **BART}},
    "voxtral": HEARD | {"audio_config": BART | {"intermediate_size": 1024}},
    "glm4v_text": LANGUAGE | ROTATED,
    "glm4v_moe_text": LANGUAGE
    | EXPERTS
    | {"rope_parameters": ROTARY | {"mrope_section": [2, 3, 3], "partial_rotary_factor": 0.5}},
    "glm4v_vision": {
        "hidden_size": 256,
        "depth": 4,
        "num_heads": 8,
        "out_hidden_size": 256,
        "intermediate_size": 512,
    },
    "llama4_vision_model": VISION
    | {"intermediate_size": 512, "projector_input_dim": 256, "projector_output_dim": 256},
    "mllama_text_model": LANGUAGE | {"cross_attention_layers": [4], "pad_token_id": 0},
    "mllama": {
        "image_token_index": 511,
        "text_config": LANGUAGE | {"cross_attention_layers": [1, 3], "pad_token_id": 0},
        "vision_config": TILED,
    },
    "idefics2": pair("mistral", "idefics2_vision", perceiver_config=RESAMPLED),
    "vipllava": pair("llama", "clip_vision_model", vision_feature_layer=[-1, 1, 0]),
    "aria": {
        "image_token_id": 511,
        "projector_patch_to_query_dict": {"64": 16},
        "text_config": LANGUAGE
        | {"moe_num_experts": 8, "moe_topk": 2, "moe_num_shared_experts": 1},
        "vision_config": VISION | {"model_type": "idefics3_vision"},
    },
}
"""Configurations of types whose keys are not those of decoders."""
OWN |= {f"{name}_text": ROTATED for name in ("qwen2_5_vl", "qwen2_vl", "qwen3_vl")}
AFTER_PADDING = {"pad_token_id": 1, "max_position_embeddings": 72}
RELATIVE = {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]}
ENCODERS: dict[str, dict[str, Any]] = {
    **{key: {} for key in ("big_bird", "bert-generation", "yoso", "mra", "fnet", "splinter")},
    **{key: {} for key in ("tapas", "visual_bert", "layoutlm", "gte", "roformer")},
    "nomic_bert": {"pad_token_id": 0},
    "eurobert": {"num_key_value_heads": 4, "head_dim": 32},
    "albert": {"embedding_size": 128, "num_hidden_groups": 4},
    "convbert": {"embedding_size": 128},
    "mobilebert": {"embedding_size": 128, "intra_bottleneck_size": 128},
    "squeezebert": {"embedding_size": 256},
    "deberta": RELATIVE,
    "deberta-v2": RELATIVE
    | {"position_buckets": 32, "norm_rel_ebd": "layer_norm", "conv_kernel_size": 3},
    "longformer": AFTER_PADDING | {"attention_window": [64] * 4},
    "esm": {
        "pad_token_id": 1,
        "mask_token_id": 2,
        "token_dropout": True,
        "position_embedding_type": "rotary",
    },
    "xmod": AFTER_PADDING | {"languages": ["en_XX", "de_DE"], "default_language": "en_XX"},
    "nystromformer": {"num_landmarks": 32, "segment_means_seq_len": 64},
    "rembert": {"input_embedding_size": 128, "output_embedding_size": 192},
    "roc_bert": {"pronunciation_embed_dim": 128, "shape_embed_dim": 64},
    "layoutlmv3": AFTER_PADDING
    | {"coordinate_size": 44, "shape_size": 40, "input_size": 64, "patch_size": 8},
    "markuplm": AFTER_PADDING | {"max_depth": 4},
    # Six parts make up the width.
    "lilt": AFTER_PADDING | {"hidden_size": 192},
    "canine": {"num_hash_buckets": 512, "local_transformer_stride": 64},
    "vilt": {"image_size": 64, "patch_size": 8},
    "xlnet": {"vocab_size": 512, "d_model": 256, "n_layer": 4, "n_head": 8, "d_inner": 512},
}
OWN |= ENCODERS
RENAMED = {
    "hidden_size": "n_embd",
    "num_hidden_layers": "n_layer",
    "num_attention_heads": "n_head",
    "max_position_embeddings": "n_positions",
    "intermediate_size": "n_inner",
}


def configuration(model_type: str) -> dict[str, Any]:
    """A small configuration, with heads of keys of their own where the class has them."""
    if model_type in WHOLE:
        return {"model_type": model_type, **WHOLE[model_type]}
    sizes = dict(SIZES)
    if model_type in OLD:
        sizes = {RENAMED.get(key, key): value for key, value in sizes.items()}
        if model_type in ("gptj", "codegen"):
            sizes["rotary_dim"] = 16
    if model_type in (*ALONE, *ENCODERS):
        del sizes["head_dim"]
    else:
        sizes["num_key_value_heads"] = 4
    if model_type in (*SEEING, "xlnet"):
        sizes = {}
    return {"model_type": model_type, **sizes, **OWN.get(model_type, {})}


def class_of(model_type: str) -> Any:
    """The class without a head."""
    return class_named(model_type, known_model_types()[model_type].classes[0])


def given(settings: Any, model: Any) -> dict[str, torch.Tensor]:
    """Random inputs of a batch of 16."""
    names = inspect.signature(model.forward).parameters
    inputs = {}
    if "grid_thw" in names:
        # 22 times 22 patches of two frames.
        inputs["grid_thw"] = torch.tensor([[1, 22, 22]] * 16)
        entries = 3 * settings.temporal_patch_size * settings.patch_size**2
        inputs["hidden_states"] = torch.randn(16 * 22**2, entries)
    elif "pixel_position_ids" in names:
        inputs["pixel_values"] = torch.randn(16, 21**2, 3 * settings.patch_size**2)
        places = torch.cartesian_prod(torch.arange(21), torch.arange(21))
        inputs["pixel_position_ids"] = places.expand(16, -1, -1)
    elif hasattr(settings, "subsampling_conv_channels"):
        inputs["input_features"] = torch.randn(16, 256, settings.subsampling_conv_channels[0])
    elif "spatial_shapes" in names:
        inputs["pixel_values"] = torch.randn(16, 64, 3 * settings.patch_size**2)
        inputs["spatial_shapes"] = torch.full((16, 2), 8)
        inputs["pixel_attention_mask"] = torch.ones(16, 64)
    elif settings.model_type == "speech_to_text":
        inputs["input_features"] = torch.randn(16, 2048, 80)
    elif settings.model_type == "pop2piano":
        inputs["input_features"] = torch.randn(16, 512, settings.d_model)
    elif hasattr(settings, "audio_config"):
        audio = settings.audio_config
        frames = 2 * audio.max_source_positions
        inputs["input_features"] = torch.randn(16, audio.num_mel_bins, frames)
        if "feature_attention_mask" in names:
            inputs["feature_attention_mask"] = torch.ones(16, frames, dtype=torch.long)
    elif "aspect_ratio_ids" in names:
        inputs["pixel_values"] = torch.randn(16, 1, 1, 3, 64, 64)
        inputs["aspect_ratio_ids"] = torch.ones(16, 1, dtype=torch.long)
        inputs["aspect_ratio_mask"] = torch.ones(16, 1, 1, dtype=torch.long)
    elif "input_features" in names:
        frames = 2 * settings.max_source_positions
        inputs["input_features"] = torch.randn(16, settings.num_mel_bins, frames)
    elif settings.model_type == "audio-spectrogram-transformer":
        inputs["input_values"] = torch.randn(16, settings.max_length, settings.num_mel_bins)
    elif "input_values" in names:
        samples = POSITIONS
        for kernel, stride in zip(settings.conv_kernel[::-1], settings.conv_stride[::-1]):
            samples = (samples - 1) * stride + kernel
        inputs["input_values"] = torch.randn(16, samples)
    elif "pixel_values" in names:
        frames = [settings.num_frames] if hasattr(settings, "num_frames") else []
        inputs["pixel_values"] = torch.randn(16, *frames, 3, 64, 64)
    # Without a limit of positions, 512 tokens are followed.
    steps = 512 if hasattr(settings, "d_kv") or hasattr(settings, "d_inner") else 64
    rows = getattr(settings, "vocab_size", 0) or SIZES["vocab_size"]
    for name in ("input_ids", "decoder_input_ids"):
        if name in names and (name != "input_ids" or "input_features" not in inputs):
            inputs[name] = torch.randint(rows, (16, steps))
    if settings.model_type == "trocr":
        inputs["encoder_hidden_states"] = torch.randn(16, 512, settings.d_model)
    if hasattr(settings, "audio_config"):
        audio = settings.audio_config
        merged = 2 if settings.model_type == "qwen2_audio" else audio.intermediate_size // 256
        heard = torch.full((16, audio.max_source_positions // merged), 511)
        inputs["input_ids"] = torch.cat([heard, torch.randint(500, (16, 64))], 1)
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    if settings.model_type == "mllama":
        inputs["cross_attention_mask"] = torch.ones(16, 64, 1, 1, dtype=torch.long)
    if settings.model_type == "idefics2":
        inputs["pixel_values"] = inputs["pixel_values"][:, None]
        image = torch.full((16, 16), settings.image_token_id)
        inputs["input_ids"] = torch.cat([image, torch.randint(500, (16, 64))], 1)
    elif settings.model_type in JOINED:
        # As many tokens of an image as the projector makes, and then text.
        seen = model.get_image_features(inputs["pixel_values"], **sizes(settings)).pooler_output
        count = (seen[0] if isinstance(seen, (list, tuple)) else seen).shape[-2]
        count = count // 16 if isinstance(seen, torch.Tensor) and seen.ndim == 2 else count
        image = torch.full((16, count), settings.image_token_id)
        text = torch.randint(500, (16, 64))
        inputs |= {"input_ids": torch.cat([image, text], 1), **sizes(settings)}
    if "bbox" in names:
        near, far = torch.randint(500, (16, 64, 2)), torch.randint(500, 1000, (16, 64, 2))
        inputs["bbox"] = torch.cat([near, far], -1)
    for name, tables in looked_up(settings).items():
        if name in names:
            ids = [torch.randint(rows, (16, steps)) for rows in tables]
            inputs[name] = torch.stack(ids, -1).squeeze(-1)
    return inputs


def looked_up(settings: Any) -> dict[str, list[int]]:
    """The sizes of the tables that give vectors for what else is known of a token."""
    said = settings.to_dict()
    levels = said.get("max_depth", 0)
    tables = {
        "token_type_ids": said.get("type_vocab_sizes", [said.get("type_vocab_size")]),
        "input_shape_ids": [said.get("shape_vocab_size")],
        "input_pronunciation_ids": [said.get("pronunciation_vocab_size")],
        "xpath_tags_seq": [said.get("max_xpath_tag_unit_embeddings")] * levels,
        "xpath_subs_seq": [said.get("max_xpath_subs_unit_embeddings")] * levels,
    }
    return {name: sizes for name, sizes in tables.items() if all(sizes) and sizes}


def sizes(settings: Any) -> dict[str, torch.Tensor]:
    """The sizes of images, where they are asked for."""
    return {"image_sizes": torch.full((16, 2), 64)} if settings.model_type == "mistral3" else {}


def states_of(settings: Any, outputs: Any) -> dict[str, Any]:
    """The stream behind each block, by the part of the model that has it."""
    if hasattr(settings, "conv_kernel"):
        return {"encoder.layers": outputs.hidden_states}
    if settings.model_type in (*JOINED, *TOLD):
        part = "text_model" if settings.model_type == "idefics2" else "language_model"
        return {part: outputs.hidden_states}
    if settings.model_type == "canine":
        return {"canine.encoder.layer": outputs.hidden_states[2:-2]}
    if "text_model_output" in outputs:
        parts = ("text", "vision")
        return {part: outputs[f"{part}_model_output"].hidden_states for part in parts}
    if "encoder_hidden_states" in outputs:
        return {part: outputs[f"{part}_hidden_states"] for part in ("encoder", "decoder")}
    return {"": outputs.hidden_states}


def settings_of(config: dict[str, Any]) -> Any:
    """The library's configuration, which writes to what it is given."""
    kinds = copy.deepcopy({key: value for key, value in config.items() if key != "model_type"})
    return transformers.AutoConfig.for_model(config["model_type"], **kinds)


def facts_of(config: dict[str, Any]) -> dict[str, Any]:
    """The std of the stream after each block but the last, by the part of the model.

    A stream that ends in a normalization says nothing of its block; then also the std of the inputs
    of the last block's normalizations, by their names.
    """
    found: dict[str, list[list[float]]] = {}
    normalized: dict[str, list[float]] = {}
    for seed in range(3):
        torch.manual_seed(seed)
        settings = settings_of(config)
        # Batch normalization takes the statistics of the batch, as in training.
        model = class_of(config["model_type"])(settings)
        model.train(any(isinstance(each, torch.nn.BatchNorm2d) for each in model.modules()))
        is_language = "use_cache" in inspect.signature(model.forward).parameters
        inputs = given(settings, model) | {"output_hidden_states": True}
        with torch.no_grad(), norm_inputs(model) as taken:
            outputs = model(**inputs, **({"use_cache": False} if is_language else {}))
        for name, std in taken.items():
            normalized.setdefault(name, []).append(std)
        for part, states in states_of(settings, outputs).items():
            # Some leave out what enters the first block.
            first = (
                0 if config["model_type"] in ("mobilenet_v1", "mobilenet_v2", "segformer") else 1
            )
            found.setdefault(part, []).append([float(each.std()) for each in states[first:-1]])
    stream = {part: [rounded(each) for each in np.mean(sizes, 0)] for part, sizes in found.items()}
    if any(abs(size - 1) > 0.02 for sizes in stream.values() for size in sizes):
        return {"stream": stream}
    numbers = {name: int(BLOCK.findall(name)[-1]) for name in normalized if BLOCK.search(name)}
    last = max(numbers.values(), default=0)
    inside = {name: rounded(np.mean(normalized[name])) for name, n in numbers.items() if n == last}
    return {"stream": stream, "normalized": inside}


@contextlib.contextmanager
def norm_inputs(model: torch.nn.Module) -> Iterator[dict[str, float]]:
    """The std of the first input of each normalization, in its last call, by its name."""
    taken: dict[str, float] = {}

    def hook(name: str) -> Callable[..., None]:
        def take(module: torch.nn.Module, args: Any, named: Any) -> None:
            first = [*args, *named.values()][0]
            taken[name] = float(first.float().std())

        return take

    leaves = ((name, each) for name, each in model.named_modules() if not any(each.children()))
    handles = [
        each.register_forward_pre_hook(hook(name), with_kwargs=True)
        for name, each in leaves
        if "Norm" in type(each).__name__
    ]
    try:
        yield taken
    finally:
        for handle in handles:
            handle.remove()


def rounded(number: float) -> float:
    """The number with five digits."""
    return float(f"{number:.5g}")


def main() -> None:
    """Write the file."""
    facts = json.loads(FILE.read_text()) if sys.argv[1:] else {}
    for model_type in sys.argv[1:] or (*TYPES, *WHOLE, *ENCODERS):
        config = configuration(model_type)
        found = facts_of(config)
        key = "init_std" if hasattr(settings_of(config), "init_std") else "initializer_range"
        if "normalized" in found and key not in config:
            # With the usual std, what a block adds is too small to be seen.
            found = facts_of(config | {key: 0.1})
            config[key] = 0.1
        facts[model_type] = {"config": config, **found}
    lines = (f"{json.dumps(key)}: {json.dumps(each)}" for key, each in facts.items())
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
