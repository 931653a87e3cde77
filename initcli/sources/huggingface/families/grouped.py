"""Decoders with dense layers first, then a mixture of routed and shared experts."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from initcli.sources.huggingface.families.decoder import ONE, Norms
from initcli.sources.huggingface.families.moe import Experts
from initcli.sources.huggingface.modules import ZERO, Tensor
from initcli.sources.huggingface.stack import Stack


class Grouped(Experts):
    """Experts behind some dense blocks, with others that every token takes."""

    experts_key = "n_routed_experts"
    correction: ClassVar[str] = "gate.e_score_correction_bias"
    shared = "shared_experts"
    scoring: ClassVar[Literal["softmax", "sigmoid"]] = "sigmoid"
    normalizes: ClassVar[bool | str] = "norm_topk_prob"
    scale_key: ClassVar[str] = "routed_scaling_factor"

    dense_key: ClassVar[str] = "first_k_dense_replace"
    """The key of the number of blocks without experts."""

    def is_mixture(self, index: int) -> bool:
        return index >= self.num_dense

    @property
    def num_dense(self) -> int:
        """The number of blocks without experts, which are the first."""
        return self.config.size(self.dense_key, 0) if self.dense_key else 0


class Ernie45Moe(Grouped):
    """ERNIE 4.5 with experts. Baidu 2025."""

    model_types = ("ernie4_5_moe",)
    scoring = "softmax"
    normalizes = True
    scale_key = ""
    top_k_key = "moe_k"
    qkv_bias = out_bias = mlp_bias = head_bias = "use_bias"
    correction = ""
    experts_key = "moe_num_experts"
    expert_size_key = "moe_intermediate_size"
    shared_key = "moe_num_shared_experts"

    def is_mixture(self, index: int) -> bool:
        config = self.config
        last = config.value("moe_layer_end_index")
        last = self.num_blocks - 1 if last == -1 else config.size("moe_layer_end_index", 0)
        is_inside = config.size("moe_layer_start_index", 0) <= index <= last
        return is_inside and (index + 1) % config.size("moe_layer_interval") == 0

    def mixture(self) -> None:
        super().mixture()
        bias = Tensor((1, self.num_experts), ZERO, trainable=False)
        self.modules.add("gate.moe_statics", "Statics", e_score_correction_bias=bias)

    def compute_experts(self, stack: Stack, takes: str, index: int, **how: Any) -> str:
        stack.hold(f"{self.mixture_name}.gate.moe_statics")
        return super().compute_experts(stack, takes, index, **how)


class Afmoe(Grouped):
    """Trinity. Arcee 2025."""

    model_types = ("afmoe",)
    normalizes = True
    scale_key = "route_scale"
    has_own_mixing = True
    block_norms = Norms(
        *("input_layernorm", "pre_mlp_layernorm", "post_attention_layernorm"),
        "post_mlp_layernorm",
    )
    has_qk_norm = True
    experts_key = "num_experts"
    router = "router.gate"
    correction = "expert_bias"
    shared_key = "num_shared_experts"
    dense_key = "num_dense_layers"

    def router_weight(self) -> Tensor:
        return Tensor((self.num_experts, self.width), ZERO, (1,), (0,))

    def attention(self, index: int) -> None:
        super().attention(index)
        self.linear("gate_proj", self.width, self.num_heads * self.head_dim, False)

    def compute_mixed(self, stack: Stack, takes: str, mixed: str) -> str:
        gate = stack.dense(f"{self.attention_name}.gate_proj", takes, "sigmoid")
        return stack.product(f"{self.attention_name}.gated", mixed, gate)


class SolarOpen(Grouped):
    """Solar Open. Upstage 2025."""

    model_types = ("solar_open",)
    out_bias = False
    dense_key = ""


class ByList(Grouped):
    """Experts in the blocks that a list names."""

    def is_mixture(self, index: int) -> bool:
        kind = self.kind(index, "mlp_layer_types", ("sparse", "dense"))
        return index >= self.num_dense if kind is None else kind == "sparse"


class Cohere2Moe(ByList):
    """Command A with experts."""

    model_types = ("cohere2_moe",)
    scale_key = ""
    epsilon_key = "layer_norm_eps"
    is_parallel = True
    block_norms = ONE
    experts_key = "num_experts"
    expert_size_key = "intermediate_size"
    correction = ""
    shared_key = "num_shared_experts"

    @property
    def num_dense(self) -> int:
        return 0 if self.config.is_null(self.dense_key) else super().num_dense

    @property
    def hidden(self) -> int:
        key = "prefix_dense_intermediate_size"
        return super().hidden if self.config.is_null(key) else self.config.size(key)

    def compute_shared(self, stack: Stack, takes: str, experts: str) -> str:
        total = super().compute_shared(stack, takes, experts)
        strategies = ("sum", "average")
        averages = self.config.word("shared_expert_combination_strategy", strategies) == "average"
        return stack.scaled(f"{self.mixture_name}.mean", total, 0.5 if averages else 1.0)

    def compute_experts(self, stack: Stack, takes: str, index: int, **how: Any) -> str:
        scoring = self.config.word("expert_selection_fn", ("softmax", "sigmoid"))
        shares = scoring == "softmax" or self.flag(self.normalizes)
        return super().compute_experts(stack, takes, index, scoring=scoring, normalize=shares)


class ExaoneMoe(ByList):
    """K-EXAONE. LG 2025."""

    model_types = ("exaone_moe",)
    qkv_bias = out_bias = False
    has_qk_norm = True
    experts_key = "num_experts"
    shared_key = "num_shared_experts"


class HyV3(ByList):
    """Hunyuan 3. Tencent."""

    model_types = ("hy_v3",)
    normalizes = True
    scale_key = "router_scaling_factor"
    mlp_bias = "mlp_bias"
    has_qk_norm = True
    experts_key = "num_experts"
    correction = "e_score_correction_bias"
    shared_key = "num_shared_experts"
    num_dense = 1


class Mellum(ByList):
    """Mellum with experts. JetBrains."""

    model_types = ("mellum",)
    scoring = "softmax"
    scale_key = ""
    has_qk_norm = True
    experts_key = "num_local_experts"
    correction = shared = ""
    num_dense = 0


class Glm4Moe(Grouped):
    """GLM 4.5. arXiv:2508.06471."""

    model_types: ClassVar[tuple[str, ...]] = ("glm4_moe", "sarvam_moe")
    out_bias = False
    has_qk_norm: ClassVar[bool | str] = "use_qk_norm"


class Dots1(Grouped):
    """dots.llm1. arXiv:2506.05767."""

    model_types = ("dots1",)
    has_qk_norm = True
