"""OPT, and decoders that follow it."""

from __future__ import annotations

import math
from typing import ClassVar

from initcli.sources.huggingface.families.decoder import Norms
from initcli.sources.huggingface.families.gpt import Gpt
from initcli.sources.huggingface.stack import Stack


class Opt(Gpt):
    """OPT. Zhang et al. 2022, arXiv:2205.01068."""

    model_types = ("opt",)
    std_key = "init_std"
    table = "embed_tokens"
    positions = "embed_positions"
    blocks = "layers"
    block_norms = Norms("self_attn_layer_norm", "final_layer_norm")
    attention_name = "self_attn"
    qkv_bias = out_bias = mlp_bias = "enable_bias"
    out = "out_proj"
    mlp_name = ""
    mlp_names = ("fc1", "fc2")
    hidden_key = "ffn_dim"
    epsilon_key = ""
    pads = True

    def prefix(self, head: str) -> str:
        return "decoder." if head == "Model" else "model.decoder."

    def body(self) -> None:
        super().body()
        if self.table_width != self.width:
            self.modules.linear("project_out", self.width, self.table_width, False)
            self.modules.linear("project_in", self.table_width, self.width, False)

    def norm(self, name: str, size: int) -> None:
        if self.config.flag("layer_norm_elementwise_affine"):
            super().norm(name, size)

    def compute_embeddings(self, stack: Stack, takes: str) -> str:
        if self.table_width != self.width:
            takes = stack.dense("project_in", takes)
        return super().compute_embeddings(stack, takes)

    def compute_blocks(self, stack: Stack, takes: str) -> str:
        stream = super().compute_blocks(stack, takes)
        return stack.dense("project_out", stream) if self.table_width != self.width else stream

    def compute_block(self, stack: Stack, index: int) -> None:
        if self.config.flag("do_layer_norm_before"):
            super().compute_block(stack, index)
        else:
            self.compute_behind(stack, index)

    def compute_norm(self, stack: Stack, name: str, takes: str) -> str:
        if not name or self.config.flag("layer_norm_elementwise_affine"):
            return super().compute_norm(stack, name, takes)
        return stack.norm(name, takes, "", 1e-5)

    @property
    def last_norm(self) -> str:
        config = self.config
        is_there = config.flag("do_layer_norm_before") and not config.flag(
            "_remove_final_layer_norm"
        )
        return "final_layer_norm" if is_there else ""

    @property
    def num_positions(self) -> int:
        return super().num_positions + 2

    @property
    def table_width(self) -> int:
        return self.config.optional_size("word_embed_proj_dim") or self.width


class BioGpt(Gpt):
    """BioGPT. Luo et al. 2022, arXiv:2210.10341."""

    model_types = ("biogpt",)
    body_name: ClassVar[str] = "biogpt"
    table = "embed_tokens"
    positions = "embed_positions"
    blocks = "layers"
    final_norm = "layer_norm"
    block_norms = Norms("self_attn_layer_norm", "final_layer_norm")
    attention_name = "self_attn"
    out = "out_proj"
    mlp_name = ""
    mlp_names = ("fc1", "fc2")
    hidden_key: ClassVar[str] = "intermediate_size"
    epsilon_key = ""
    activation_key: ClassVar[str] = "hidden_act"
    head_name = "output_projection"
    pads = True

    @property
    def num_positions(self) -> int:
        return super().num_positions + 2

    @property
    def embedding_scale(self) -> float:
        return math.sqrt(self.width) if self.config.flag("scale_embedding") else 1.0


class Xglm(BioGpt):
    """XGLM, with sines for positions. arXiv:2112.10668."""

    model_types = ("xglm",)
    std_key = "init_std"
    body_name = "model"
    positions = ""
    hidden_key = "ffn_dim"
    activation_key = "activation_function"
    head_name = "lm_head"

    def compute_embeddings(self, stack: Stack, takes: str) -> str:
        stream = stack.scaled("embed_scale", takes, self.embedding_scale)
        return stack.sines("embed_positions", stream)
