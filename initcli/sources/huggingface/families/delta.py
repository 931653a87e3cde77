"""Decoders of which some blocks have a gated delta rule for attention."""

from __future__ import annotations

from typing import ClassVar

from initcli.initializers import RandomUniform
from initcli.initializers.given import Mapped
from initcli.sources.huggingface.families.hybrid import Hybrid
from initcli.sources.huggingface.families.moe import Qwen3Moe
from initcli.sources.huggingface.modules import ONE, Tensor
from initcli.sources.huggingface.stack import Stack

_RATES = RandomUniform(minval=0.01, maxval=16.0)
"""The initializer of the rates of decay; a weight is their logarithm."""


class Gated(Hybrid):
    """Qwen's gated attention and gated delta rule. Yang et al. 2024, arXiv:2412.06464."""

    norm_start = 0.0
    norm_offset = 1.0
    has_qk_norm = True
    packs_heads: ClassVar[bool] = False
    """Whether the projections of a mixer are two tensors, of which each holds several."""

    def is_other_by_default(self, index: int) -> bool:
        step = 4
        if not self.config.is_null("full_attention_interval"):
            step = self.config.size("full_attention_interval")
        return (index + 1) % step != 0

    def linear(self, name: str, inputs: int, outputs: int, bias: bool = True) -> None:
        gates = 2 if name == "q_proj" else 1
        super().linear(name, inputs, gates * outputs, bias)

    has_own_mixing = True

    def compute_projections(self, stack: Stack, takes: str) -> tuple[str, str, str]:
        scope, queries = self.attention_name, self.num_heads * self.head_dim
        query = stack.dense(f"{scope}.q_proj", takes, part="query", units=queries)
        key, value = (stack.dense(f"{scope}.{name}_proj", takes) for name in "kv")
        return query, key, value

    def compute_mixed(self, stack: Stack, takes: str, mixed: str) -> str:
        scope, queries = self.attention_name, self.num_heads * self.head_dim
        gate = stack.dense(f"{scope}.q_proj", takes, "sigmoid", "gate", queries)
        return stack.product(f"{scope}.gated", mixed, gate)

    def compute_mixer(self, stack: Stack, takes: str) -> str:
        config, scope = self.config, "linear_attn"
        values = config.size("linear_num_value_heads") * config.size("linear_value_head_dim")
        shape = (stack.steps, self.width or values)
        return stack.unknown(scope, takes, "gated delta rule", shape, scope)

    def mixer(self) -> None:
        config, modules, width = self.config, self.modules, self.width
        count, each = config.size("linear_num_value_heads"), config.size("linear_value_head_dim")
        values = count * each
        keys = config.size("linear_num_key_heads") * config.size("linear_key_head_dim")
        kernel = (config.size("linear_conv_kernel_dim"),)
        decay = Tensor((count,), Mapped(drawn=_RATES, function=("x", "log")))
        projections = {"in_proj_qkvz": 2 * keys + 2 * values, "in_proj_ba": 2 * count}
        if not self.packs_heads:
            projections = {"in_proj_qkv": 2 * keys + values, "in_proj_z": values}
            projections |= {"in_proj_b": count, "in_proj_a": count}
        with modules.within("linear_attn"):
            modules.add("", "GatedDeltaNet", dt_bias=Tensor((count,), ONE), A_log=decay)
            modules.convolution("conv1d", 1, 2 * keys + values, kernel, False)
            for name, size in projections.items():
                modules.linear(name, width, size, False)
            modules.norm("norm", each, "RMSNorm")
            modules.linear("out_proj", values, width, False)


class Qwen3Next(Gated, Qwen3Moe):
    """Qwen 3 Next. 2025."""

    model_types = ("qwen3_next",)
    experts_key = "num_experts"
    packs_heads = True
    shared = "shared_expert"


class Qwen35(Gated):
    """The text model of Qwen 3.5. 2026."""

    model_types = ("qwen3_5_text",)
    heads = ("ForCausalLM", "TextModel", "ForSequenceClassification")


class Qwen35Moe(Qwen35, Qwen3Next):
    """The text model of Qwen 3.5 with experts. 2026."""

    model_types = ("qwen3_5_moe_text",)
    packs_heads = False

    def is_mixture(self, index: int) -> bool:
        return True
