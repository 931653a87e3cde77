"""Configurations of Hugging Face that are wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from error_cases.case import Case


def of_configurations() -> Iterator[Case]:
    """Values that do not fit, and models that are not covered."""
    llama = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}
    many: dict[str, Any] = dict.fromkeys(("hidden_size", "vocab_size"), "many")
    cases: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("a model type that is not covered", "", {"model_type": "lama"}),
        (
            "a model type that comes with code of its own",
            "",
            {"model_type": "qqqq", "auto_map": {"AutoModel": "modeling_qqqq.Model"}},
        ),
        ("no model type", "", {"architectures": ["LlamaForCausalLM"]}),
        ("an architecture that is not covered", "", {**llama, "architectures": ["Llama"]}),
        ("a size of another type", "", {**llama, "hidden_size": "4096"}),
        ("a size that is no quotient", "", {**llama, "hidden_size": 4097}),
        ("an activation that is not known", "", {**llama, "hidden_act": "gellu"}),
        ("layers beyond the limit", "", {**llama, "num_hidden_layers": 10**9}),
        ("a padding token that is not in the table", "", {**llama, "pad_token_id": 10**9}),
        ("defaults beside a configuration", " --defaults torch", llama),
        ("more errors than the limit", " --limit errors=1", {**llama, **many}),
        (
            "a part that is not covered",
            "",
            {"model_type": "distilbert", "sinusoidal_pos_embds": True},
        ),
        ("a table of waves that is too large", "", {"model_type": "whisper", "d_model": 2**30}),
        (
            "a part of a model type that is not covered",
            "",
            {"model_type": "llava", "text_config": {"model_type": "lama"}},
        ),
        ("waves of an odd width", "", {"model_type": "whisper", "d_model": 6 * 63 + 3}),
        ("a tensor that is too large", "", {**llama, "vocab_size": 2**40, "hidden_size": 2**40}),
    )
    files = {"config.json": json.dumps(llama)}
    initializers = "compare config.json --kernel-initializer he_normal"
    yield Case("initializers in place of the library's", initializers, files)
    widths = "compare config.json --width 0.1,1"
    yield Case("a share of the heads", widths, files)
    yield Case("a size that a configuration lacks", f"{widths} --scale hiden_size", files)
    attending = {"model_type": "bert", "is_decoder": True, "add_cross_attention": True}
    part = {"config.json": json.dumps(attending)}
    yield Case("the signal of a model that no layer describes", "signal config.json", part)
    for title, config in (
        ("more experts for a token than there are", {"model_type": "mixtral", "num_experts": 1}),
        ("parts of different widths", {"model_type": "qwen3_vl"}),
        ("shared layers beyond the limit", {"model_type": "albert", "num_hidden_layers": 10**6}),
        ("a layer that a tower has not", {"model_type": "llava", "vision_feature_layer": 99}),
    ):
        yield Case(title, "signal config.json", {"config.json": json.dumps(config)})
    spec = {"model.yaml": "{input_shape: [8], layers: [{type: Dense, units: 4}]}"}
    yield Case("a spec as a configuration", "init - --from model.yaml", spec)
    for title, options, config in cases:
        yield Case(title, f"summary config.json{options}", {"config.json": json.dumps(config)})
