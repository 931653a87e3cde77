"""Decoders of which some blocks have a state space, a recurrence or a convolution for attention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from initcli.sources.huggingface.families.decoder import Decoder, Norms
from initcli.sources.huggingface.families.grouped import Grouped
from initcli.sources.huggingface.modules import ZERO, Tensor
from initcli.sources.huggingface.stack import Stack


class Hybrid(Decoder):
    """The skeleton: a list says which blocks have attention."""

    other: ClassVar[str] = "linear_attention"
    """The word for a block without attention."""

    def block(self, index: int) -> None:
        if not self.is_other(index):
            super().block(index)
            return
        self.mixer()
        self.feed_forward(index)
        for name in self.norms[:2]:
            self.norm(name, self.width)

    def mixer(self) -> None:
        """Add what takes the place of attention."""
        raise NotImplementedError

    def compute_attention(self, stack: Stack, takes: str, index: int) -> str:
        if self.is_other(index):
            return self.compute_mixer(stack, takes)
        return super().compute_attention(stack, takes, index)

    def compute_mixer(self, stack: Stack, takes: str) -> str:
        """Add the layers that compute what takes the place of attention."""
        raise NotImplementedError

    def is_other(self, index: int) -> bool:
        """Whether a block has no attention."""
        kind = self.kind(index, "layer_types", ("full_attention", self.other))
        return self.is_other_by_default(index) if kind is None else kind == self.other

    def is_other_by_default(self, index: int) -> bool:
        """Whether it does where no list says so."""
        return True


class Lfm2(Hybrid):
    """LFM 2, with short convolutions. Liquid AI 2025, arXiv:2511.23404."""

    model_types: ClassVar[tuple[str, ...]] = ("lfm2",)
    aliases: ClassVar[Mapping[str, str]] = {"tie_embedding": "tie_word_embeddings"}
    other = "conv"
    final_norm = "embedding_norm"
    epsilon_key = "norm_eps"
    block_norms = Norms("operator_norm", "ffn_norm")
    qkv_bias = out_bias = False
    out = "out_proj"
    has_qk_norm = True
    qk_norms = ("q_layernorm", "k_layernorm")
    mlp_name = "feed_forward"
    mlp_names = ("w1", "w3", "w2")
    activation_key = ""

    def is_other_by_default(self, index: int) -> bool:
        full = self.config.numbers("full_attn_idxs")
        return not self.config.is_null("full_attn_idxs") and index not in full

    def mixer(self) -> None:
        config, modules, width = self.config, self.modules, self.width
        kernel, bias = (config.size("conv_L_cache"),), config.flag("conv_bias")
        with modules.within("conv"):
            modules.convolution("conv", 1, width, kernel, bias)
            modules.linear("in_proj", width, 3 * width, bias)
            modules.linear("out_proj", width, width, bias)

    def compute_mixer(self, stack: Stack, takes: str) -> str:
        parts = ("before", "behind", "stream")
        before, behind, stream = (
            stack.dense("conv.in_proj", takes, part=part, units=self.width) for part in parts
        )
        stream = stack.product("conv.before", before, stream)
        stream = stack.causal_convolution("conv.conv", stream)
        return stack.dense("conv.out_proj", stack.product("conv.behind", behind, stream))

    @property
    def activation(self) -> str:
        return "silu"

    @property
    def hidden(self) -> int:
        config, size = self.config, super().hidden
        if not config.is_null("block_ff_dim"):
            size = config.size("block_ff_dim")
        if not config.flag("block_auto_adjust_ff_dim"):
            return size
        size = int(2 * size / 3)
        if config.is_null("block_ffn_dim_multiplier"):
            return size
        size = int(config.number("block_ffn_dim_multiplier") * size)
        step = config.size("block_multiple_of")
        return step * ((size + step - 1) // step)


class Lfm2Moe(Lfm2, Grouped):
    """LFM 2 with experts. Liquid AI 2025."""

    model_types = ("lfm2_moe",)
    mixture_name = "feed_forward"
    experts_key = "num_experts"
    dense_key = "num_dense_layers"
    shared = ""
    hidden_key = "intermediate_size"

    correction = ""

    def mixture(self) -> None:
        super().mixture()
        if self.config.flag("use_expert_bias"):
            bias = Tensor((self.num_experts,), ZERO, trainable=False)
            self.modules.add("", "Mixture", expert_bias=bias)

    def compute_experts(self, stack: Stack, takes: str, index: int, **how: Any) -> str:
        stack.hold(f"{self.mixture_name}.expert_bias")  # It is 0, and not trained by gradients.
        return super().compute_experts(stack, takes, index, **how)

    @property
    def hidden(self) -> int:
        return self.config.size(self.hidden_key)
