"""Sizes of model types whose keys have other names, or depend on each other."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

Sizes = dict[str, Any]


def own_sizes(name: str, chosen: Sizes, rng: random.Random) -> Sizes:
    """What a configuration has besides, or in place of what was chosen for it."""
    return OWN[name](chosen, rng) if name in OWN else {}


def squeezebert(chosen: Sizes, rng: random.Random) -> Sizes:
    """Groups divide all sizes."""
    width, each = chosen["hidden_size"], rng.choice((1, 2))
    keys = ("q", "k", "v", "post_attention", "intermediate", "output")
    groups = {f"{key}_groups": rng.choice((1, each)) for key in keys}
    inner = each * rng.choice((13, 17))
    return {"embedding_size": width, "intermediate_size": inner, **groups}


def convbert(chosen: Sizes, rng: random.Random) -> Sizes:
    """Heads that a ratio divides, and groups of the feed-forward layer."""
    groups = rng.choice((1, 2))
    return {
        "head_ratio": rng.choice((1, 2, chosen["num_attention_heads"])),
        "conv_kernel_size": rng.choice((3, 5)),
        "num_groups": groups,
        "intermediate_size": groups * rng.choice((13, 17)),
    }


def mobilebert(chosen: Sizes, rng: random.Random) -> Sizes:
    """Widths within a layer."""
    size = rng.choice((chosen["hidden_size"], 3))
    narrow = chosen["num_attention_heads"] * rng.choice((3, 5))
    count = rng.choice((1, 2, 3))
    return {
        "embedding_size": size,
        "intra_bottleneck_size": narrow,
        "num_feedforward_networks": count,
    }


def masked(chosen: Sizes, rng: random.Random) -> Sizes:
    """The decoder of a masked autoencoder."""
    heads = rng.choice((1, 2))
    return {
        "decoder_num_attention_heads": heads,
        "decoder_hidden_size": 12 * heads,
        "decoder_num_hidden_layers": rng.choice((1, 2)),
    }


def sound(chosen: Sizes, rng: random.Random) -> Sizes:
    """Convolutions over samples, and layers over time."""
    count, times = rng.choice((2, 3)), rng.choice((2, 3))
    groups = rng.choice((1, 2))
    return {
        "conv_dim": [rng.choice((5, 7, 11)) for _ in range(count)],
        "conv_stride": [2] * count,
        "conv_kernel": [rng.choice((2, 3)) for _ in range(count)],
        "tdnn_dim": [rng.choice((5, 7)) for _ in range(times)],
        "tdnn_kernel": [rng.choice((1, 3)) for _ in range(times)],
        "tdnn_dilation": [1] * times,
        "xvector_output_dim": rng.choice((11, 13)),
        "num_conv_pos_embeddings": rng.choice((3, 5)),
        "classifier_proj_size": rng.choice((11, 13)),
        "num_codevector_groups": groups,
        "codevector_dim": groups * rng.choice((3, 5)),
        "num_codevectors_per_group": rng.choice((7, 11)),
        "proj_codevector_dim": rng.choice((13, 17)),
    }


def gemma3n(chosen: Sizes, rng: random.Random) -> Sizes:
    """Blocks of which the last share keys, and inputs of each layer."""
    count = rng.choice((3, 4))
    inner = rng.choice((29, 31))
    return {
        "num_hidden_layers": count,
        "layer_types": [*["sliding_attention", "full_attention"] * 2][:count],
        "num_kv_shared_layers": rng.choice((0, 1)),
        "vocab_size": 61,
        "pad_token_id": rng.choice((0, 7)),
        "activation_sparsity_pattern": [0.0] * count,
        "intermediate_size": rng.choice((inner, [inner] * count)),
        "vocab_size_per_layer_input": 53,
        "hidden_size_per_layer_input": rng.choice((5, 7)),
        "laurel_rank": rng.choice((3, 5)),
        "altup_num_inputs": rng.choice((2, 3)),
        "altup_active_idx": 0,
    }


def gemma4(chosen: Sizes, rng: random.Random) -> Sizes:
    """Blocks with other heads where attention sees all, experts, and inputs of each layer."""
    own = {"per_layer_config": {"0": {"head_dim": 6}, "1": {"head_dim": 10}}}
    return {**gemma4_sizes(chosen, rng), **(own if rng.random() < 0.3 else {})}


def gemma4_sizes(chosen: Sizes, rng: random.Random) -> Sizes:
    """The sizes."""
    count = rng.choice((2, 3, 4))
    kinds = ("sliding_attention", "full_attention")
    keys = chosen.get("num_key_value_heads", 4)
    return {
        "num_hidden_layers": count,
        "num_attention_heads": keys * rng.choice((1, 2)),
        "layer_types": [*(rng.choice(kinds) for _ in range(count - 1)), "full_attention"],
        "num_kv_shared_layers": rng.choice((0, 0, 1)),
        "global_head_dim": rng.choice((6, 14)),
        "num_global_key_value_heads": rng.choice((None, 1)),
        "attention_k_eq_v": rng.random() < 0.5,
        "vocab_size_per_layer_input": rng.choice((79, 83)),
        "hidden_size_per_layer_input": rng.choice((0, 5, 7)),
        "num_experts": rng.choice((2, 3)),
        "top_k_experts": 1,
        "moe_intermediate_size": rng.choice((11, 13)),
    }


def stages(chosen: Sizes, rng: random.Random) -> Sizes:
    """As many widths as depths."""
    count = rng.choice((2, 3))
    return {
        "hidden_sizes": [4 * rng.choice((2, 3, 5)) for _ in range(count)],
        "depths": [rng.choice((1, 2)) for _ in range(count)],
    }


def segformer(chosen: Sizes, rng: random.Random) -> Sizes:
    """A list of everything for each stage."""
    count, heads = rng.choice((2, 3)), [1, 2, 1]
    return {
        "num_encoder_blocks": count,
        "hidden_sizes": [2 * rng.choice((3, 5, 7)) for _ in range(count)],
        "num_attention_heads": heads[:count],
        "depths": [rng.choice((1, 2)) for _ in range(count)],
        "sr_ratios": [rng.choice((1, 2, 4)) for _ in range(count)],
        "patch_sizes": [rng.choice((3, 5, 7)) for _ in range(count)],
        "strides": [2] * count,
        "mlp_ratios": [rng.choice((2, 3)) for _ in range(count)],
        "decoder_hidden_size": rng.choice((11, 13)),
    }


def layer_words(key: str, *words: str) -> Callable[[Sizes, random.Random], Sizes]:
    """A list with a word for each layer."""

    def chosen_words(chosen: Sizes, rng: random.Random) -> Sizes:
        count = chosen.setdefault("num_hidden_layers", 2)
        return {key: [rng.choice(words) for _ in range(count)]}

    return chosen_words


OWN: dict[str, Callable[[Sizes, random.Random], Sizes]] = {
    "clipseg": lambda _, rng: {
        "reduce_dim": rng.choice((12, 14)),
        "projection_dim": rng.choice((11, 13)),
        "extract_layers": rng.choice(([0], [0, 1])),
        "decoder_num_attention_heads": 2,
    },
    **dict.fromkeys(
        ("altclip", "chinese_clip", "metaclip_2", "owlv2", "owlvit"),
        lambda _, rng: {"projection_dim": rng.choice((11, 13))},
    ),
    "altclip_text_model": lambda _, rng: {"project_dim": rng.choice((11, 13))},
    "blip_text_model": lambda _, rng: {"encoder_hidden_size": rng.choice((11, 13))},
    "blip": lambda _, rng: {
        "projection_dim": rng.choice((11, 13)),
        "image_text_hidden_size": rng.choice((7, 17)),
    },
    "led": lambda _, rng: {
        "max_encoder_position_embeddings": rng.choice((71, 79)),
        "max_decoder_position_embeddings": rng.choice((53, 59)),
        "attention_window": 4,
    },
    "longt5": lambda _, rng: {
        "encoder_attention_type": rng.choice(("local", "transient-global")),
    },
    "nllb-moe": lambda _, rng: {
        "encoder_sparse_step": rng.choice((1, 2)),
        "decoder_sparse_step": rng.choice((1, 2)),
    },
    "pegasus_x": lambda _, rng: {"num_global_tokens": rng.choice((3, 5))},
    "speech_to_text": lambda _, rng: {
        "num_conv_layers": 2,
        "conv_kernel_sizes": [3, 5],
        "conv_channels": rng.choice((12, 14)),
        "input_feat_per_channel": rng.choice((5, 7)),
        "input_channels": rng.choice((1, 2)),
    },
    "switch_transformers": lambda _, rng: {
        "num_layers": rng.choice((2, 3, 4)),
        "num_decoder_layers": rng.choice((2, 3, 4)),
        "num_sparse_encoder_layers": rng.choice((0, 1, 2)),
        "num_sparse_decoder_layers": rng.choice((0, 1, 2)),
    },
    "trocr": lambda _, rng: {"use_learned_position_embeddings": True},
    "aria": lambda _, rng: {
        "projector_patch_to_query_dict": {"16": rng.choice((3, 5)), "64": rng.choice((7, 11))},
    },
    **dict.fromkeys(
        ("glm4v_vision", "glm4v_moe_vision"),
        lambda _, rng: {"out_hidden_size": rng.choice((11, 13))},
    ),
    "idefics2_perceiver": lambda _, rng: {
        "resampler_n_latents": rng.choice((3, 5)),
        "resampler_depth": rng.choice((1, 2)),
        "resampler_n_heads": 4,
        "resampler_head_dim": rng.choice((3, 6)),
        "num_key_value_heads": rng.choice((1, 2, 4)),
    },
    "lfm2_vl": lambda _, rng: {"projector_hidden_size": rng.choice((11, 13))},
    "llama4_vision_model": lambda _, rng: {
        "vision_output_dim": rng.choice((7, 11)),
        "projector_input_dim": (size := rng.choice((5, 13))),
        "projector_output_dim": size,
    },
    "mllama_text_model": lambda _, rng: {"cross_attention_layers": rng.choice(([], [1], [0, 2]))},
    "mllama_vision_model": lambda _, rng: {
        "num_global_layers": rng.choice((1, 2)),
        "vision_output_dim": rng.choice((11, 13)),
    },
    "segformer": segformer,
    "dinov3_convnext": stages,
    "regnet": lambda chosen, rng: {
        **stages(chosen, rng),
        "groups_width": rng.choice((2, 4)),
        "layer_type": rng.choice("xy"),
    },
    "canine": lambda _, rng: {
        "num_hash_functions": 2,
        "num_hash_buckets": rng.choice((23, 29)),
        "downsampling_rate": rng.choice((2, 4)),
        "upsampling_kernel_size": rng.choice((2, 4)),
    },
    "depth_anything": lambda _, rng: {
        "reassemble_hidden_size": rng.choice((11, 13)),
        "neck_hidden_sizes": [5, 7, 11, rng.choice((13, 17))],
        "fusion_hidden_size": rng.choice((6, 8)),
        "head_hidden_size": rng.choice((3, 5)),
    },
    "layoutlmv3": lambda _, rng: {
        "coordinate_size": (each := rng.choice((2, 3))),
        "shape_size": each,
        "hidden_size": 6 * each,
        "num_attention_heads": 2,
        "max_2d_position_embeddings": rng.choice((37, 41)),
        "input_size": rng.choice((8, 12)),
    },
    "lilt": lambda _, rng: {
        "hidden_size": 24,
        "num_attention_heads": 2,
        "channel_shrink_ratio": rng.choice((2, 4)),
        "max_2d_position_embeddings": rng.choice((37, 41)),
    },
    "markuplm": lambda _, rng: {
        "max_depth": rng.choice((2, 3)),
        "xpath_unit_hidden_size": rng.choice((5, 7)),
        "max_xpath_tag_unit_embeddings": 217,
    },
    "sam_vision_model": lambda _, rng: {
        "image_size": rng.choice((8, 12)),
        "patch_size": rng.choice((2, 4)),
        "output_channels": rng.choice((7, 11)),
        "global_attn_indexes": rng.choice(([], [0], [0, 1])),
        "window_size": rng.choice((0, 2, 3)),
        "num_pos_feats": rng.choice((5, 6)),
        "mlp_dim": rng.choice((None, 29)),
    },
    "sam_mask_decoder": lambda _, rng: {
        "hidden_size": (width := rng.choice((16, 24))),
        "mlp_dim": rng.choice((11, 13)),
        "iou_head_hidden_dim": rng.choice((7, 9)),
        "num_attention_heads": width // 8,
    },
    "sam_prompt_encoder": lambda _, rng: {"mask_input_channels": rng.choice((4, 8))},
    "ctrl": lambda _, rng: {"dff": rng.choice((29, 31))},
    "gemma3n_text": gemma3n,
    "gemma4_text": gemma4,
    "gemma4_vision": lambda _, rng: {"position_embedding_size": rng.choice((11, 13))},
    "gemma4_audio": lambda _, rng: {
        "subsampling_conv_channels": [rng.choice((4, 6)), rng.choice((2, 3))],
        "conv_kernel_size": rng.choice((3, 5)),
        "output_proj_dims": rng.choice((11, 13)),
    },
    "glm_moe_dsa": lambda chosen, rng: {
        "indexer_types": ["full", *["shared"] * (chosen.setdefault("num_hidden_layers", 2) - 1)],
        "index_n_heads": rng.choice((2, 3)),
        "index_head_dim": rng.choice((14, 16)),
    },
    "laguna": lambda chosen, rng: {
        "num_attention_heads_per_layer": [
            chosen.get("num_key_value_heads", 8) * rng.choice((1, 2))
            for _ in range(chosen.setdefault("num_hidden_layers", 2))
        ],
        "gating": rng.choice((True, "per-head", "per-element")),
    },
    "longcat_flash": lambda _, rng: {
        "zero_expert_num": rng.choice((2, 3)),
        "expert_ffn_hidden_size": rng.choice((11, 13)),
    },
    "mimo_v2_flash": layer_words("layer_types", "full_attention", "sliding_attention"),
    "audio-spectrogram-transformer": lambda _, rng: {
        "num_mel_bins": rng.choice((11, 17)),
        "max_length": rng.choice((29, 31)),
        "frequency_stride": rng.choice((2, 3)),
        "time_stride": rng.choice((2, 5)),
    },
    "convbert": convbert,
    "esm": lambda _, rng: {
        "vocab_size": 59,
        "pad_token_id": rng.choice((1, 5)),
        "position_embedding_type": rng.choice(("absolute", "rotary")),
        "emb_layer_norm_before": rng.random() < 0.5,
    },
    "fnet": lambda _, rng: {"use_tpu_fourier_optimizations": False},
    "layoutlm": lambda _, rng: {"max_2d_position_embeddings": rng.choice((37, 41))},
    "mobilebert": mobilebert,
    "nystromformer": lambda _, rng: {"conv_kernel_size": rng.choice((3, 5, None))},
    "rembert": lambda _, rng: {
        "input_embedding_size": rng.choice((7, 11)),
        "output_embedding_size": rng.choice((13, 17)),
    },
    "roc_bert": lambda _, rng: {
        "pronunciation_embed_dim": rng.choice((7, 11)),
        "shape_embed_dim": rng.choice((5, 13)),
        "shape_vocab_size": rng.choice((79, 83)),
    },
    "squeezebert": squeezebert,
    "tapas": lambda _, rng: {
        "type_vocab_sizes": [3, rng.choice((5, 7)), 2, 11, 13, 3, 10],
        "num_aggregation_labels": rng.choice((0, 3)),
    },
    "visual_bert": lambda _, rng: {"visual_embedding_dim": rng.choice((7, 11))},
    **dict.fromkeys(
        ("data2vec-audio", "sew", "unispeech", "unispeech-sat", "wav2vec2", "wavlm"), sound
    ),
    "videomae": masked,
    "vit_mae": masked,
    "vitdet": lambda chosen, rng: {
        "pretrain_image_size": rng.choice((8, 12)),
        "residual_block_indices": rng.choice(([], [0])),
        "window_block_indices": rng.choice(([], [0])),
        "window_size": rng.choice((0, 2)),
        "mlp_ratio": rng.choice((2, 3)),
    },
    "vivit": lambda _, rng: {
        "num_frames": rng.choice((4, 6)),
        "tubelet_size": [2, rng.choice((2, 4)), 4],
    },
    "dinov3_vit": lambda _, rng: {"num_register_tokens": rng.choice((2, 3))},
    "yolos": lambda _, rng: {
        "num_hidden_layers": rng.choice((2, 3)),
        "image_size": [rng.choice((8, 12)), 16],
        "num_detection_tokens": rng.choice((3, 5)),
    },
    "timesformer": lambda _, rng: {
        "num_frames": rng.choice((3, 5)),
        "attention_type": rng.choice(("divided_space_time", "space_only", "joint_space_time")),
    },
    "xmod": lambda _, rng: {
        "languages": rng.sample(["en_XX", "de_DE", "fr_XX"], rng.choice((1, 2))),
        "adapter_reduction_factor": rng.choice((2, 3)),
    },
}
"""The model types, and what gives their sizes."""
