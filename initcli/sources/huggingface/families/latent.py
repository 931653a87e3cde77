"""Decoders with multi-head latent attention."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

from initcli.sources.huggingface.families.grouped import ByList
from initcli.sources.huggingface.stack import Heads, Stack


class Latent(ByList):
    """The skeleton: queries, keys and values come from vectors of low rank."""

    def attention(self, index: int) -> None:
        config, linear, bias = self.config, self.linear, self.flag(self.qkv_bias)
        heads, rotary = self.num_heads, config.size("qk_rope_head_dim")
        plain, values, queries = config.size("qk_nope_head_dim"), self.value_dim, self.query_dim
        rank = config.optional_size("q_lora_rank")
        if rank is None:
            linear("q_proj", self.width, heads * queries, False)
        else:
            linear("q_a_proj", self.width, rank, bias)
            self.norm("q_a_layernorm", rank)
            linear("q_b_proj", rank, heads * queries, False)
        rank = config.size("kv_lora_rank")
        linear("kv_a_proj_with_mqa", self.width, rank + rotary, bias)
        self.norm("kv_a_layernorm", rank)
        linear("kv_b_proj", rank, heads * (plain + values), False)
        linear("o_proj", heads * values, self.width, bias)

    def low_rank_factor(self, rank: int) -> float:
        """What vectors of that rank are multiplied by."""
        return 1.0

    @property
    def query_dim(self) -> int:
        """The size of the queries of one head."""
        return self.config.size("qk_nope_head_dim") + self.config.size("qk_rope_head_dim")

    @property
    def score_factor(self) -> float:
        """What the scaling of rotary positions multiplies scores by. arXiv:2309.00071."""
        given = self.config.value("rope_parameters") or self.config.value("rope_scaling")
        if not isinstance(given, Mapping) or given.get("rope_type", given.get("type")) == "default":
            return 1.0
        factor, share = (given.get(key, 0.0) for key in ("factor", "mscale_all_dim"))
        if not all(isinstance(each, int | float) and 0 < each < 1e6 for each in (factor, share)):
            return 1.0
        return float(0.1 * share * math.log(max(factor, 1.0)) + 1.0) ** 2

    @property
    def value_dim(self) -> int:
        """The size of the values of one head."""
        if self.config.is_null("v_head_dim"):
            return self.config.quotient("hidden_size", "num_attention_heads", is_strict=False)
        return self.config.size("v_head_dim")

    def compute_attention(self, stack: Stack, takes: str, index: int) -> str:
        return self.compute_latent(stack, self.attention_name, takes)

    def compute_latent(self, stack: Stack, scope: str, takes: str) -> str:
        """Add what the attention of that name computes."""
        config = self.config
        heads, rotary = self.num_heads, config.size("qk_rope_head_dim")
        plain, values = config.size("qk_nope_head_dim"), self.value_dim
        if config.is_null("q_lora_rank"):
            query = stack.dense(f"{scope}.q_proj", takes)
        else:
            query = stack.dense(f"{scope}.q_a_proj", takes)
            query = self.compute_norm(stack, f"{scope}.q_a_layernorm", query)
            query = stack.dense(f"{scope}.q_b_proj", query)
            factor = self.low_rank_factor(config.size("q_lora_rank"))
            query = stack.scaled(f"{scope}.query", query, factor)
        rank, packed = config.size("kv_lora_rank"), f"{scope}.kv_a_proj_with_mqa"
        latent = stack.dense(packed, takes, part="latent", units=rank)
        latent = self.compute_norm(stack, f"{scope}.kv_a_layernorm", latent)
        latent = stack.scaled(f"{scope}.latent", latent, self.low_rank_factor(rank))
        value = stack.dense(f"{scope}.kv_b_proj", latent, part="value", units=heads * values)
        key = stack.dense(f"{scope}.kv_b_proj", latent, part="key", units=heads * plain)
        turned = stack.dense(packed, takes, part="rotary", units=rotary)
        key = stack.in_heads(key, key, heads, plain)
        key = stack.with_part(f"{scope}.key", key, turned, heads, rotary)
        key = stack.joined(f"{scope}.key", key, heads * (plain + rotary))
        sizes = Heads(heads, heads, plain + rotary)
        scale = (plain + rotary) ** -0.5 * self.score_factor
        mixed = stack.attend(scope, query, key, value, sizes, causal=True, scale=scale)
        return stack.dense(f"{scope}.o_proj", mixed)


class DeepseekV2(Latent):
    """DeepSeek V2. arXiv:2405.04434."""

    model_types = ("deepseek_v2",)
    scoring = "softmax"
    normalizes = False
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

    def compute_attention(self, stack: Stack, takes: str, index: int) -> str:
        kept = self.config.size("index_topk")
        if kept >= self.num_tokens:
            stack.hold(f"{self.attention_name}.indexer")  # Every key is kept.
        what = f"that {kept:,} of {self.num_tokens:,} keys are attended to"
        stack.leave_out(f"{self.attention_name}.indexer", what)
        return super().compute_attention(stack, takes, index)

    def indexer(self) -> None:
        """Add what selects keys."""
        config, modules = self.config, self.modules
        heads, each = config.size("index_n_heads"), config.size("index_head_dim")
        with modules.within("indexer"):
            modules.linear("wq_b", config.size("q_lora_rank"), heads * each, False)
            modules.linear("wk", self.width, each, False)
            modules.norm("k_norm", each)
            modules.linear("weights_proj", self.width, heads, False)


class GlmMoeDsa(DeepseekV32):
    """GLM 5, of which some blocks index keys for those that follow. 2026."""

    model_types = ("glm_moe_dsa",)

    def indexer(self) -> None:
        if self.indexes:
            super().indexer()

    def attention(self, index: int) -> None:
        self.indexes = self.kind(index, "indexer_types", ("full", "shared")) != "shared"
        super().attention(index)


class Axk1(DeepseekV3):
    """A.X K1. SK Telecom 2026."""

    model_types = ("axk1",)
    num_dense = 1

    def mixture(self) -> None:
        super().mixture()
        self.norm("post_mlp_layernorm", self.width)

    def compute_feed_forward(self, stack: Stack, takes: str, index: int) -> str:
        out = super().compute_feed_forward(stack, takes, index)
        name = f"{self.mixture_name}.post_mlp_layernorm" if self.is_mixture(index) else ""
        return self.compute_norm(stack, name, out)


class LongcatFlash(Latent):
    """LongCat-Flash, with two attentions a block and experts that do nothing. arXiv:2509.01322."""

    model_types = ("longcat_flash",)
    hidden_key = "ffn_hidden_size"
    router = "router.classifier"
    correction = "router.e_score_correction_bias"
    expert_size_key = "expert_ffn_hidden_size"
    shared = ""

    def block(self, index: int) -> None:
        for half in range(2):
            with self.modules.within(f"self_attn.{half}"):
                self.attention(index)
            with self.modules.within(f"mlps.{half}"):
                self.dense(self.hidden)
            for name in self.norms[:2]:
                self.norm(f"{name}.{half}", self.width)
        with self.modules.within("mlp"):
            self.mixture()

    def experts(self) -> None:
        count, size, width = self.config.size("n_routed_experts"), self.expert_size, self.width
        self.modules.add(
            "experts",
            "Experts",
            gate_up_proj=self.weight(self.num_experts, 2 * size, width),
            down_proj=self.weight(count, width, size),
        )

    def compute_block(self, stack: Stack, index: int) -> None:
        stream, mixed = "input", ""
        for half in range(2):
            normed = self.compute_norm(stack, f"{self.norms.before_attention}.{half}", stream)
            out = self.compute_latent(stack, f"self_attn.{half}", normed)
            stream = stack.sum(f"self_attn.{half}.sum", stream, out)
            normed = self.compute_norm(stack, f"{self.norms.before_mlp}.{half}", stream)
            if not half:
                what, shape = "mixture with identity experts", (stack.steps, self.width)
                mixed = stack.unknown("mlp", normed, what, shape, "mlp")
            inner = self.compute_dense(stack, f"mlps.{half}", normed)
            stream = stack.sum(f"mlps.{half}.sum", stream, inner)
        stack.sum("mlp.sum", stream, mixed)

    def low_rank_factor(self, rank: int) -> float:
        return math.sqrt(self.width / rank)

    @property
    def query_dim(self) -> int:
        given = self.config.optional_size("qk_head_dim")
        return super().query_dim if given is None else given

    @property
    def num_experts(self) -> int:
        idle = self.config.optional_size("zero_expert_num", 0) or 0
        return self.config.size("n_routed_experts") + idle

    @property
    def num_blocks(self) -> int:
        return self.config.size("num_layers", 0)


class Mistral4(Latent):
    """Mistral 4."""

    model_types = ("mistral4",)
    scoring = "softmax"
    correction = ""


class Dense(Latent):
    """Latent attention without experts."""

    def is_mixture(self, index: int) -> bool:
        return False


class MiniCpm3(Dense):
    """MiniCPM 3. arXiv:2404.06395."""

    model_types = ("minicpm3",)
    mlp_bias = "mlp_bias"

    @property
    def embedding_scale(self) -> float:
        return self.config.number("scale_emb")

    @property
    def residual_scale(self) -> float:
        return self.config.number("scale_depth") / math.sqrt(max(self.num_blocks, 1))

    @property
    def logit_scale(self) -> float:
        base = self.config.optional_size("dim_model_base")
        return 1.0 if base is None else base / self.width


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
