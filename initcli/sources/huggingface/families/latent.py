"""Decoders with multi-head latent attention."""

from __future__ import annotations

import math
from typing import ClassVar

from initcli.sources.huggingface.families.moe import ByList
from initcli.sources.huggingface.stack import NotComputed, Stack


class Latent(ByList):
    """The skeleton: queries, keys and values come from vectors of low rank."""

    def attention(self, index: int) -> None:
        config, linear, bias = self.config, self.linear, self.flag(self.qkv_bias)
        heads, rotary = self.num_heads, config.size("qk_rope_head_dim")
        plain, values = config.size("qk_nope_head_dim"), self.value_dim
        rank = config.optional_size("q_lora_rank")
        if rank is None:
            linear("q_proj", self.width, heads * (plain + rotary), False)
        else:
            linear("q_a_proj", self.width, rank, bias)
            self.norm("q_a_layernorm", rank)
            linear("q_b_proj", rank, heads * (plain + rotary), False)
        rank = config.size("kv_lora_rank")
        linear("kv_a_proj_with_mqa", self.width, rank + rotary, bias)
        self.norm("kv_a_layernorm", rank)
        linear("kv_b_proj", rank, heads * (plain + values), False)
        linear("o_proj", heads * values, self.width, bias)

    @property
    def value_dim(self) -> int:
        """The size of the values of one head."""
        if self.config.is_null("v_head_dim"):
            return self.config.quotient("hidden_size", "num_attention_heads", is_strict=False)
        return self.config.size("v_head_dim")

    def compute_attention(self, stack: Stack, takes: str) -> str:
        raise NotComputed("latent attention")


class DeepseekV2(Latent):
    """DeepSeek V2. arXiv:2405.04434."""

    model_types = ("deepseek_v2",)
    must_divide = True
    mlp_bias = "mlp_bias"
    correction = ""


class DeepseekV3(Latent):
    """DeepSeek V3 and R1. arXiv:2412.19437."""

    model_types: ClassVar[tuple[str, ...]] = ("deepseek_v3", "sarvam_mla")


class Glm4MoeLite(Latent):
    """GLM 4.7 Flash. 2026."""

    model_types = ("glm4_moe_lite",)
    num_dense = 1


class DeepseekV32(Latent):
    """DeepSeek V3.2, which indexes the keys to attend to. arXiv:2512.02556."""

    model_types = ("deepseek_v32",)

    def attention(self, index: int) -> None:
        super().attention(index)
        self.indexer()

    def indexer(self) -> None:
        """Add what selects keys."""
        config, modules = self.config, self.modules
        heads, each = config.size("index_n_heads"), config.size("index_head_dim")
        with modules.within("indexer"):
            modules.linear("wq_b", config.size("q_lora_rank"), heads * each, False)
            modules.linear("wk", self.width, each, False)
            modules.norm("k_norm", each)
            modules.linear("weights_proj", self.width, heads, False)


class Mistral4(Latent):
    """Mistral 4."""

    model_types = ("mistral4",)
    correction = ""


class Dense(Latent):
    """Latent attention without experts."""

    def is_mixture(self, index: int) -> bool:
        return False


class MiniCpm3(Dense):
    """MiniCPM 3. arXiv:2404.06395."""

    model_types = ("minicpm3",)
    mlp_bias = "mlp_bias"


class Youtu(Dense):
    """Youtu-LLM. Tencent 2025."""

    model_types = ("youtu",)
    mlp_bias = "mlp_bias"

    @property
    def std(self) -> float:
        if self.config.is_null(self.std_key):
            return 2 / math.sqrt(5 * self.width)
        return super().std

    @property
    def table_std(self) -> float:
        key = "embedding_initializer_range"
        given = 0.0 if self.config.is_null(key) else self.config.number(key)
        return given or 2 * self.std
