"""Decoders with experts, each with something of its own."""

from __future__ import annotations

import math

from initcli.sources.huggingface.families.grouped import ByList
from initcli.sources.huggingface.families.moe import Experts, GptOss
from initcli.sources.huggingface.family import Family
from initcli.sources.huggingface.modules import ONE, ZERO, Tensor


class AriaText(Experts):
    """The language model of Aria. Li et al. 2024, arXiv:2410.05993."""

    model_types = ("aria_text",)
    compute = Family.compute
    heads = ("TextForCausalLM", "TextModel")
    mlp_bias = "mlp_bias"
    router = "router"
    experts_key = "moe_num_experts"
    expert_size_key = "intermediate_size"
    shared = "shared_experts"
    shared_key = "moe_num_shared_experts"

    def add_head(self, head: str) -> None:
        super().add_head(head.removeprefix("Text"))

    def experts(self) -> None:
        count, size, width = self.num_experts, self.expert_size, self.width
        self.modules.add(
            "experts",
            "Experts",
            gate_up_proj=Tensor((count, width, 2 * size), self.filled, (1,), (2,)),
            down_proj=Tensor((count, size, width), self.filled, (1,), (2,)),
        )


class PrivacyFilter(GptOss):
    """OpenAI's privacy filter, which sees in both directions. 2026."""

    model_types = ("openai_privacy_filter",)
    compute = Family.compute
    heads = ("ForTokenClassification", "Model")
    defaults = {"num_labels": 33}
    activation_key = ""


class Doge(Experts):
    """Doge, with experts of one neuron. Shi et al. 2024, arXiv:2412.11834."""

    model_types = ("doge",)
    compute = Family.compute
    heads = ("ForCausalLM", "Model", "ForSequenceClassification")
    mlp_bias = "mlp_bias"
    has_qk_norm = True

    def block(self, index: int) -> None:
        super().block(index)
        ones = Tensor((self.width,), ONE)
        self.modules.add("", "Block", input_residual=ones, post_attention_residual=ones)

    def attention(self, index: int) -> None:
        super().attention(index)
        keys = self.num_keys
        self.modules.add("", "Attention", A=Tensor((keys,), ZERO))
        self.linear("dt_proj", keys * self.head_dim, keys, self.flag(self.qkv_bias))

    def is_mixture(self, index: int) -> bool:
        return self.config.flag("is_moe")

    def mixture(self) -> None:
        count, width = self.config.size("num_experts"), self.width
        self.dense(self.hidden)
        self.modules.linear("router_gate", width, 2 * math.isqrt(count), False)
        for name in ("down_embed", "up_embed"):
            self.modules.embedding(name, count, width)


class JetMoe(Experts):
    """JetMoE, with experts for queries too. Shen et al. 2024, arXiv:2404.07413."""

    model_types = ("jetmoe",)
    compute = Family.compute
    heads = ("ForCausalLM", "Model", "ForSequenceClassification")
    attention_name = "self_attention"
    expert_size_key = "intermediate_size"
    activation_key = "activation_function"

    def attention(self, index: int) -> None:
        size = self.config.size("kv_channels") * self.num_keys
        self.modules.linear("kv_proj", self.width, 2 * size, False)
        with self.modules.within("experts"):
            self.packed(size, size)

    def mixture(self) -> None:
        self.packed(2 * self.expert_size, self.expert_size)

    def packed(self, size: int, back: int) -> None:
        """Add a router and its experts, whose outputs share a bias."""
        count, width = self.num_experts, self.width
        self.modules.add("", "Experts", bias=Tensor((width,), ZERO))
        self.modules.add("input_linear", "Experts", weight=self.weight(count, size, width))
        self.modules.add("output_linear", "Experts", weight=self.weight(count, width, back))
        self.modules.linear("router.layer", width, count, False)

    @property
    def num_keys(self) -> int:
        return self.config.size("num_key_value_heads")


class MimoV2Flash(ByList):
    """MiMo V2 Flash, with other heads where attention has a window. Xiaomi 2026."""

    model_types = ("mimo_v2_flash",)
    compute = Family.compute
    out_bias = False
    correction = "gate.e_score_correction_bias"
    shared = ""
    num_dense = 1

    def attention(self, index: int) -> None:
        config, bias = self.config, self.flag(self.qkv_bias)
        kind = self.kind(index, "layer_types", ("full_attention", "sliding_attention"))
        has_window = kind == "sliding_attention"
        if kind is None:
            has_window = index > 0 and (index + 1) % 6 != 0
        values, keys = config.size("v_head_dim"), self.num_keys * (2 if has_window else 1)
        self.linear("q_proj", self.width, self.num_heads * self.head_dim, bias)
        self.linear("k_proj", self.width, keys * self.head_dim, bias)
        self.linear("v_proj", self.width, keys * values, bias)
        self.linear("o_proj", self.num_heads * values, self.width, False)
        if has_window:
            self.modules.add("", "Attention", sinks=Tensor((self.num_heads,), self.filled))


class Laguna(ByList):
    """Laguna, with gates behind attention. Poolside 2026."""

    model_types = ("laguna",)
    compute = Family.compute
    has_qk_norm = True
    experts_key = "num_experts"
    num_dense = 1

    def attention(self, index: int) -> None:
        heads = self.config.numbers("num_attention_heads_per_layer", self.num_blocks, 1)
        self.own_heads = heads[index] if heads else self.config.size("num_attention_heads")
        super().attention(index)
        is_fine = self.config.value("gating") not in (True, "per-head")
        self.linear("g_proj", self.width, self.num_heads * (self.head_dim if is_fine else 1), False)

    @property
    def num_heads(self) -> int:
        return self.own_heads

    @property
    def shared_size(self) -> int:
        return self.config.size("shared_expert_intermediate_size")
