"""Decoders with experts, each with something of its own."""

from __future__ import annotations

import math
from typing import Any

from initcli.sources.huggingface.families.grouped import ByList
from initcli.sources.huggingface.families.moe import Experts, GptOss
from initcli.sources.huggingface.modules import ONE, ZERO, Tensor
from initcli.sources.huggingface.stack import Heads, Stack


class AriaText(Experts):
    """The language model of Aria. Li et al. 2024, arXiv:2410.05993."""

    model_types = ("aria_text",)
    heads = ("TextForCausalLM", "TextModel")
    mlp_bias = "mlp_bias"
    router = "router"
    top_k_key = "moe_topk"
    experts_key = "moe_num_experts"
    expert_size_key = "intermediate_size"
    is_transposed = True
    shared = "shared_experts"
    shared_key = "moe_num_shared_experts"
    expert_activation = "silu"


class PrivacyFilter(GptOss):
    """OpenAI's privacy filter, which sees in both directions. 2026."""

    model_types = ("openai_privacy_filter",)
    heads = ("ForTokenClassification", "Model")
    defaults = {"num_labels": 33}
    activation_key = ""
    is_causal = False


class Doge(Experts):
    """Doge, with experts of one neuron. Shi et al. 2024, arXiv:2412.11834."""

    model_types = ("doge",)
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

    def compute_block(self, stack: Stack, index: int) -> None:
        stack.hold("input_residual")  # It is 1, as is the other factor of the stream.
        stack.hold("post_attention_residual")
        for name in ("A", "dt_proj"):
            what = "the dynamic mask of keys, which starts with the same value for all"
            stack.leave_out(f"self_attn.{name}", what)
        super().compute_block(stack, index)

    def compute_feed_forward(self, stack: Stack, takes: str, index: int) -> str:
        dense = self.compute_dense(stack, self.mlp_name, takes)
        if not self.is_mixture(index):
            return dense
        what, shape = "mixture of experts with product keys", (stack.steps, self.width)
        held = ("mlp.router_gate", "mlp.down_embed", "mlp.up_embed")
        mixed = stack.unknown("mlp.experts", takes, what, shape, *held)
        return stack.sum("mlp.mixture", dense, mixed)


class JetMoe(Experts):
    """JetMoE, with experts for queries too. Shen et al. 2024, arXiv:2404.07413."""

    model_types = ("jetmoe",)
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

    def compute_attention(self, stack: Stack, takes: str, index: int) -> str:
        what, shape = "mixture of attention heads", (stack.steps, self.width)
        return stack.unknown(self.attention_name, takes, what, shape, self.attention_name)

    def compute_experts(self, stack: Stack, takes: str, index: int, **how: Any) -> str:
        stack.hold("mlp.bias")
        names = {"into": "input_linear.weight", "back": "output_linear.weight"}
        chosen = self.top_k(index)
        return stack.experts("mlp", "mlp.router.layer", takes, chosen, self.activation, **names)

    @property
    def num_keys(self) -> int:
        return self.config.size("num_key_value_heads")


class MimoV2Flash(ByList):
    """MiMo V2 Flash, with other heads where attention has a window. Xiaomi 2026."""

    model_types = ("mimo_v2_flash",)
    out_bias = False
    correction = "gate.e_score_correction_bias"
    shared = ""
    num_dense = 1

    def has_window(self, index: int) -> bool:
        """Whether attention has a window in that block."""
        kind = self.kind(index, "layer_types", ("full_attention", "sliding_attention"))
        return index > 0 and (index + 1) % 6 != 0 if kind is None else kind == "sliding_attention"

    def attention(self, index: int) -> None:
        bias, values = self.flag(self.qkv_bias), self.config.size("v_head_dim")
        queries, keys, size = self.heads_of(index)
        self.linear("q_proj", self.width, queries * size, bias)
        self.linear("k_proj", self.width, keys * size, bias)
        self.linear("v_proj", self.width, keys * values, bias)
        self.linear("o_proj", queries * values, self.width, False)
        if self.has_window(index):
            self.modules.add("", "Attention", sinks=Tensor((queries,), self.filled))

    def heads_of(self, index: int) -> Heads:
        """The heads of that block."""
        keys = self.num_keys * (2 if self.has_window(index) else 1)
        return Heads(self.num_heads, keys, self.head_dim)

    def compute_attention(self, stack: Stack, takes: str, index: int) -> str:
        scope, heads = self.attention_name, self.heads_of(index)
        self.compute_sinks(stack)
        query, key, value = self.compute_projections(stack, takes)
        if not self.config.is_null("attention_value_scale"):
            factor = self.config.number("attention_value_scale")
            value = stack.scaled(f"{scope}.value", value, factor)
        mixed = stack.attend(scope, query, key, value, heads, causal=True)
        return stack.dense(f"{scope}.o_proj", mixed)


class Laguna(ByList):
    """Laguna, with gates behind attention. Poolside 2026."""

    model_types = ("laguna",)
    has_qk_norm = True
    has_own_mixing = True
    experts_key = "num_experts"
    normalizes = True
    scale_key = "moe_routed_scaling_factor"
    num_dense = 1

    def attention(self, index: int) -> None:
        self.own_heads = self.heads_of(index)
        super().attention(index)
        size = self.head_dim if self.is_fine else 1
        self.linear("g_proj", self.width, self.num_heads * size, False)

    def heads_of(self, index: int) -> int:
        """The number of heads of queries in that block."""
        key = "num_attention_heads_per_layer"
        given = () if self.config.is_null(key) else self.config.numbers(key, self.num_blocks, 1)
        return given[index] if given else self.config.size("num_attention_heads")

    def compute_attention(self, stack: Stack, takes: str, index: int) -> str:
        self.own_heads = self.heads_of(index)
        return super().compute_attention(stack, takes, index)

    def compute_mixed(self, stack: Stack, takes: str, mixed: str) -> str:
        name, heads, size = f"{self.attention_name}.gated", self.num_heads, self.head_dim
        gate = stack.dense(f"{self.attention_name}.g_proj", takes, "softplus")
        if self.is_fine:
            return stack.product(name, mixed, gate)
        mixed = stack.in_heads(f"{name}.mixed", mixed, heads, size)
        gate = stack.in_heads(f"{name}.gate", gate, heads, 1)
        return stack.joined(name, stack.product(name, mixed, gate), heads * size)

    @property
    def is_fine(self) -> bool:
        """Whether each feature of a head has a gate of its own."""
        return self.config.value("gating") not in (True, "per-head")

    @property
    def num_heads(self) -> int:
        return self.own_heads

    @property
    def shared_size(self) -> int:
        return self.config.size("shared_expert_intermediate_size")
