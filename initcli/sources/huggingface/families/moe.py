"""Decoders like Llama with a mixture of experts, and those with multi-head latent attention.

The experts of a layer are one tensor each way, as the library has them in memory since version 5.
"""

from __future__ import annotations

from typing import ClassVar

from initcli.initializers import Initializer
from initcli.sources.huggingface.families.llama import (
    ANSWERING,
    CLASSIFYING,
    GENERATING,
    LABELING,
    Decoder,
)
from initcli.sources.huggingface.modules import ZERO, Tensor, normal


class Experts(Decoder):
    """The skeleton: the feed-forward layer of some blocks is a router and its experts."""

    experts_key: ClassVar[str] = "num_local_experts"
    expert_size_key: ClassVar[str] = "moe_intermediate_size"
    router: ClassVar[str] = "gate"
    scope: ClassVar[str] = "mlp"
    """Name of the mixture in its block."""

    def feed_forward(self, index: int) -> None:
        if not self.is_mixture(index):
            super().feed_forward(index)
            return
        with self.modules.within(self.scope):
            self.mixture()

    def is_mixture(self, index: int) -> bool:
        """Whether the feed-forward layer of that block is a mixture."""
        return True

    def mixture(self) -> None:
        """Add a router and its experts."""
        size, filled = self.expert_size, self.filled
        router = Tensor((self.num_experts, self.width), filled, (1,), (0,))
        self.modules.add(self.router, "Router", weight=router, **self.router_tensors())
        inner = (self.num_experts, 2 * size, self.width)
        outer = (self.num_experts, self.width, size)
        self.modules.add(
            "experts",
            "Experts",
            gate_up_proj=Tensor(inner, filled, (2,), (1,)),
            down_proj=Tensor(outer, filled, (2,), (1,)),
        )

    def router_tensors(self) -> dict[str, Tensor]:
        """Other tensors of the router."""
        return {}

    @property
    def filled(self) -> Initializer:
        """The initializer of routers and experts."""
        return normal(self.config.number("initializer_range"))

    @property
    def num_experts(self) -> int:
        """The number of experts of a layer."""
        return self.config.size(self.experts_key)

    @property
    def expert_size(self) -> int:
        """The width of one expert."""
        return self.config.size(self.expert_size_key)


class Mixtral(Experts):
    """Mixtral. Jiang et al. 2024, arXiv:2401.04088."""

    model_types = ("mixtral",)
    classes = "Mixtral"
    aliases = {"num_experts": "num_local_experts"}
    heads = ANSWERING
    question_prefix = "model"
    defaults = {
        "vocab_size": 32000,
        "intermediate_size": 14336,
        "num_key_value_heads": 8,
        "num_local_experts": 8,
    }
    qkv_bias = out_bias = False
    expert_size_key = "intermediate_size"


class Qwen2Moe(Experts):
    """Qwen 1.5 and 2 with experts. arXiv:2407.10671."""

    model_types = ("qwen2_moe",)
    classes = "Qwen2Moe"
    heads = ANSWERING
    question_prefix = "model"
    defaults = {
        "vocab_size": 151936,
        "hidden_size": 2048,
        "intermediate_size": 5632,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "num_key_value_heads": 16,
        "decoder_sparse_step": 1,
        "moe_intermediate_size": 1408,
        "shared_expert_intermediate_size": 5632,
        "num_experts": 60,
        "mlp_only_layers": (),
        "qkv_bias": True,
    }
    qkv_bias: ClassVar[bool | str] = "qkv_bias"
    out_bias: ClassVar[bool | str] = False
    experts_key = "num_experts"

    def is_mixture(self, index: int) -> bool:
        step = self.config.size("decoder_sparse_step")
        return index not in self.config.numbers("mlp_only_layers") and (index + 1) % step == 0

    def mixture(self) -> None:
        super().mixture()
        with self.modules.within("shared_expert"):
            self.dense(self.config.size("shared_expert_intermediate_size"))
        self.modules.linear("shared_expert_gate", self.width, 1, False)


class Qwen3Moe(Qwen2Moe):
    """Qwen 3 with experts. arXiv:2505.09388."""

    model_types = ("qwen3_moe",)
    classes = "Qwen3Moe"
    aliases = {"num_experts": "num_local_experts"}
    question_prefix = "transformer"
    defaults = {
        "intermediate_size": 6144,
        "num_attention_heads": 32,
        "num_key_value_heads": 4,
        "moe_intermediate_size": 768,
        "num_local_experts": 128,
    }
    qkv_bias = out_bias = "attention_bias"
    has_qk_norm = True
    experts_key = "num_local_experts"

    def mixture(self) -> None:
        Experts.mixture(self)


class Olmoe(Experts):
    """OLMoE. Muennighoff et al. 2024, arXiv:2409.02060."""

    model_types = ("olmoe",)
    classes = "Olmoe"
    aliases = {"num_local_experts": "num_experts"}
    heads = GENERATING
    defaults = {
        "vocab_size": 50304,
        "hidden_size": 2048,
        "intermediate_size": 2048,
        "num_hidden_layers": 16,
        "num_attention_heads": 16,
        "pad_token_id": 1,
        "num_experts": 64,
    }
    has_qk_norm = True
    qk_norm_over = "all"
    experts_key = "num_experts"
    expert_size_key = "intermediate_size"

    def query_norm(self, name: str, heads: int) -> None:
        keys = ("hidden_size", "num_attention_heads")
        each = self.config.quotient(*keys, is_strict=False)
        self.norm(name, self.width if name == "q_norm" else each * heads)


class GptOss(Experts):
    """gpt-oss, with biases of experts and a sink of each head. arXiv:2508.10925."""

    model_types = ("gpt_oss",)
    classes = "GptOss"
    aliases = {"num_experts": "num_local_experts"}
    heads = LABELING
    defaults = {
        "vocab_size": 201088,
        "hidden_size": 2880,
        "intermediate_size": 2880,
        "num_hidden_layers": 36,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "head_dim": 64,
        "num_local_experts": 128,
        "attention_bias": True,
    }
    router = "router"
    expert_size_key = "intermediate_size"

    def attention(self, index: int) -> None:
        super().attention(index)
        self.modules.add("", "Attention", sinks=Tensor((self.num_heads,), self.filled))

    def mixture(self) -> None:
        count, width, size = self.num_experts, self.width, self.expert_size
        self.modules.add(
            self.router,
            "Router",
            weight=Tensor((count, width), self.filled, (1,), (0,)),
            bias=Tensor((count,), self.filled),
        )
        self.modules.add(
            "experts",
            "Experts",
            gate_up_proj=Tensor((count, width, 2 * size), self.filled, (1,), (2,)),
            gate_up_proj_bias=Tensor((count, 2 * size), ZERO),
            down_proj=Tensor((count, size, width), self.filled, (1,), (2,)),
            down_proj_bias=Tensor((count, width), ZERO),
        )


class GraniteMoe(Experts):
    """Granite 3 with experts. IBM 2024."""

    model_types = ("granitemoe",)
    classes = "GraniteMoe"
    heads = GENERATING
    defaults = {"vocab_size": 32000, "intermediate_size": 11008, "num_local_experts": 8}
    router = "router"
    scope = "block_sparse_moe"
    expert_size_key = "intermediate_size"


class Phimoe(Experts):
    """Phi 3.5 with experts. arXiv:2404.14219."""

    model_types = ("phimoe",)
    classes = "Phimoe"
    heads = CLASSIFYING
    defaults = {
        "vocab_size": 32064,
        "intermediate_size": 6400,
        "num_key_value_heads": 8,
        "num_local_experts": 16,
    }
    norm_kind = "LayerNorm"
    head_bias = "lm_head_bias"
    router = "router"
    expert_size_key = "intermediate_size"


class Grouped(Experts):
    """Experts behind some dense blocks, with others that every token takes."""

    heads = GENERATING
    defaults = {"n_shared_experts": 1, "first_k_dense_replace": 0}
    experts_key = "n_routed_experts"
    has_correction: ClassVar[bool] = True
    """Whether the router has a bias that balances its experts."""

    def is_mixture(self, index: int) -> bool:
        return index >= self.config.size("first_k_dense_replace", 0)

    def mixture(self) -> None:
        super().mixture()
        with self.modules.within("shared_experts"):
            self.dense(self.expert_size * self.config.size("n_shared_experts", 0))

    def router_tensors(self) -> dict[str, Tensor]:
        if not self.has_correction:
            return {}
        correction = Tensor((self.num_experts,), ZERO, trainable=False)
        return {"e_score_correction_bias": correction}


class Glm4Moe(Grouped):
    """GLM 4.5. arXiv:2508.06471."""

    model_types = ("glm4_moe",)
    classes = "Glm4Moe"
    aliases = {"num_local_experts": "n_routed_experts"}
    defaults = {
        "vocab_size": 151552,
        "intermediate_size": 10944,
        "num_hidden_layers": 46,
        "num_attention_heads": 96,
        "num_key_value_heads": 8,
        "moe_intermediate_size": 1408,
        "n_routed_experts": 128,
        "first_k_dense_replace": 1,
    }
    out_bias = False
    has_qk_norm = "use_qk_norm"


class Dots1(Grouped):
    """dots.llm1. arXiv:2506.05767."""

    model_types = ("dots1",)
    classes = "Dots1"
    aliases = {"num_local_experts": "n_routed_experts"}
    defaults = {
        "vocab_size": 152064,
        "hidden_size": 4608,
        "intermediate_size": 10944,
        "moe_intermediate_size": 1408,
        "num_hidden_layers": 62,
        "num_key_value_heads": 32,
        "n_routed_experts": None,
        "n_shared_experts": None,
    }
    has_qk_norm = True


class DeepseekV2(Grouped):
    """DeepSeek V2, with latent attention. arXiv:2405.04434."""

    model_types = ("deepseek_v2",)
    classes = "DeepseekV2"
    aliases = {"num_experts": "n_routed_experts"}
    must_divide = True
    heads = CLASSIFYING
    defaults = {
        "vocab_size": 102400,
        "intermediate_size": 11008,
        "kv_lora_rank": 512,
        "q_lora_rank": 1536,
        "n_routed_experts": 64,
        "n_shared_experts": 2,
        "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64,
        "v_head_dim": 128,
        "moe_intermediate_size": 1407,
    }
    mlp_bias: ClassVar[bool | str] = "mlp_bias"
    has_correction = False

    def attention(self, index: int) -> None:
        config, modules, bias = self.config, self.modules, self.flag("attention_bias")
        heads, rotary = self.num_heads, config.size("qk_rope_head_dim")
        plain, values = config.size("qk_nope_head_dim"), config.size("v_head_dim")
        rank = config.optional_size("q_lora_rank")
        if rank is None:
            modules.linear("q_proj", self.width, heads * (plain + rotary), False)
        else:
            modules.linear("q_a_proj", self.width, rank, bias)
            self.norm("q_a_layernorm", rank)
            modules.linear("q_b_proj", rank, heads * (plain + rotary), False)
        rank = config.size("kv_lora_rank")
        modules.linear("kv_a_proj_with_mqa", self.width, rank + rotary, bias)
        self.norm("kv_a_layernorm", rank)
        modules.linear("kv_b_proj", rank, heads * (plain + values), False)
        modules.linear("o_proj", heads * values, self.width, bias)


class DeepseekV3(DeepseekV2):
    """DeepSeek V3 and R1. arXiv:2412.19437."""

    model_types = ("deepseek_v3",)
    classes = "DeepseekV3"
    aliases = {"num_local_experts": "n_routed_experts"}
    heads = LABELING
    defaults = {
        "vocab_size": 129280,
        "hidden_size": 7168,
        "intermediate_size": 18432,
        "moe_intermediate_size": 2048,
        "num_hidden_layers": 61,
        "num_attention_heads": 128,
        "n_routed_experts": 256,
        "n_shared_experts": 1,
        "first_k_dense_replace": 3,
    }
    must_divide = False
    mlp_bias = False
    has_correction = True
