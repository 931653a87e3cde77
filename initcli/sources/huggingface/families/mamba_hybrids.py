"""Decoders of which some blocks have a mixer of Mamba for attention, or beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from initcli.initializers import Initializer
from initcli.initializers.given import Values
from initcli.sources.huggingface.entries import NotComputed
from initcli.sources.huggingface.families.decoder import Norms
from initcli.sources.huggingface.families.grouped import Grouped
from initcli.sources.huggingface.families.hybrid import Hybrid
from initcli.sources.huggingface.families.mamba import (
    StateSpace,
    compute_scan,
    drawn_steps,
    uniform,
)
from initcli.sources.huggingface.families.moe import Experts, GraniteMoeShared
from initcli.sources.huggingface.modules import ONE, ZERO, Tensor
from initcli.sources.huggingface.stack import Stack


class Bamba(StateSpace, Hybrid):
    """Bamba, with blocks of Mamba 2. IBM 2024."""

    model_types = ("bamba",)
    final_norm = "final_layernorm"
    block_norms = Norms("input_layernorm", "pre_ff_layernorm")
    mlp_name = "feed_forward"
    mlp_bias = "mlp_bias"

    def is_other(self, index: int) -> bool:
        return index not in self.config.numbers("attn_layer_indices")


class GraniteMoeHybrid(StateSpace, Hybrid, GraniteMoeShared):
    """Granite 4, with blocks of Mamba 2. IBM 2025."""

    model_types = ("granitemoehybrid",)

    def feed_forward(self, index: int) -> None:
        if self.config.size(self.experts_key, 0):
            Experts.feed_forward(self, index)
        size = self.config.size("shared_intermediate_size")
        self.linear("shared_mlp.input_linear", self.width, 2 * size, False)
        self.linear("shared_mlp.output_linear", size, self.width, False)


class FalconH1(StateSpace):
    """Falcon H1, with attention and Mamba 2 side by side. arXiv:2507.22448."""

    model_types = ("falcon_h1",)
    final_norm = "final_layernorm"
    block_norms = Norms("input_layernorm", "pre_ff_layernorm")
    mlp_name = "feed_forward"
    mlp_bias = "mlp_bias"

    def block(self, index: int) -> None:
        super().block(index)
        self.mixer()

    def compute_attention(self, stack: Stack, takes: str, index: int) -> str:
        attended = super().compute_attention(stack, takes, index)
        return stack.sum("mixed.sum", self.compute_mixer(stack, takes), attended)

    out_mixer_bias = "projectors_bias"

    @property
    def has_mixer_norm(self) -> bool:
        return self.config.flag("mamba_rms_norm")

    @property
    def mixer_width(self) -> int:
        given = self.config.optional_size("mamba_d_ssm")
        return super().mixer_width if given is None else given


class Jamba(Hybrid, Experts):
    """Jamba, with blocks of Mamba and experts. Lieber et al. 2024, arXiv:2403.19887."""

    model_types = ("jamba",)
    final_norm = "final_layernorm"
    block_norms = Norms("input_layernorm", "pre_ff_layernorm")
    qkv_bias = out_bias = False
    mlp_name = mixture_name = "feed_forward"
    router = "router"
    experts_key = "num_experts"
    expert_size_key = "intermediate_size"

    def is_other(self, index: int) -> bool:
        config = self.config
        return index % config.size("attn_layer_period") != config.size("attn_layer_offset", 0)

    def is_mixture(self, index: int) -> bool:
        config, first = self.config, self.config.size("expert_layer_offset", 0)
        is_there = index % config.size("expert_layer_period") == first
        return is_there and self.num_experts > 1

    def mixer(self) -> None:
        config, modules, width = self.config, self.modules, self.width
        states, inner = config.size("mamba_d_state"), width * config.size("mamba_expand")
        rank, bias = math.ceil(width / 16), config.flag("mamba_proj_bias")
        if config.value("mamba_dt_rank") != "auto":
            rank = config.size("mamba_dt_rank")
        decay: Initializer = ZERO
        if self.is_computable((inner, states), "mamba_d_state"):
            rows = np.tile(np.log(np.arange(1.0, states + 1)), (inner, 1))
            decay = Values(numbers=rows.tobytes())
        with modules.within("mamba"):
            modules.add("", "Mixer", A_log=Tensor((inner, states), decay), D=Tensor((inner,), ONE))
            kernel = (config.size("mamba_d_conv"),)
            modules.convolution("conv1d", 1, inner, kernel, config.flag("mamba_conv_bias"))
            modules.linear("in_proj", width, 2 * inner, bias)
            modules.linear("x_proj", inner, rank + 2 * states, False)
            modules.linear("dt_proj", rank, inner)
            modules.linear("out_proj", inner, width, bias)
            for name, size in (("dt", rank), ("b", states), ("c", states)):
                modules.norm(f"{name}_layernorm", size, "RMSNorm")

    def compute_mixer(self, stack: Stack, takes: str) -> str:
        inner = self.width * self.config.size("mamba_expand")
        return compute_scan(stack, "mamba", takes, inner)


class NemotronH(StateSpace, Grouped):
    """Nemotron H, of which each block is one of four kinds. arXiv:2504.03624."""

    model_types = ("nemotron_h",)
    aliases = {
        "layers_block_type": "layer_types",
        "mamba_n_groups": "n_groups",
        "mamba_d_conv": "conv_kernel",
        "mamba_conv_bias": "use_conv_bias",
        "mamba_dt_min": "time_step_min",
        "mamba_dt_max": "time_step_max",
        "mamba_dt_init_floor": "time_step_floor",
    }
    table = "embeddings"
    final_norm = "norm_f"
    attention_name = mlp_name = mixture_name = mixer_name = "mixer"
    qkv_bias = out_bias = False
    mlp = "plain"
    mlp_names = ("up_proj", "down_proj")
    mlp_bias = "mlp_bias"
    activation_key = "mlp_hidden_act"
    pads = False
    epsilon_key = "layer_norm_epsilon"
    mixer_heads_key = "mamba_num_heads"
    groups_key = "n_groups"
    states_key = "ssm_state_size"
    kernel_key = "conv_kernel"
    conv_bias = "use_conv_bias"
    mixer_bias = "use_bias"
    kinds: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "M": ("linear_attention", "mamba"),
        "*": ("full_attention", "attention"),
        "-": ("mlp",),
        "E": ("moe",),
    }
    """The letters of a pattern, and the words that mean the same."""

    def block(self, index: int) -> None:
        self.norm("norm", self.width)
        letter = self.pattern[index]
        if letter == "M":
            self.mixer()
            return
        with self.modules.within("mixer"):
            if letter == "*":
                self.attention(index)
            elif letter == "-":
                self.dense(self.hidden)
            else:
                self.mixture()

    def is_mixture(self, index: int) -> bool:
        return self.pattern[index] == "E"

    def is_tied(self, head: str) -> bool:
        return False

    def compute_block(self, stack: Stack, index: int) -> None:
        normed, letter = self.compute_norm(stack, "norm", "input"), self.pattern[index]
        if letter == "M":
            out = self.compute_mixer(stack, normed)
        elif letter == "*":
            out = self.compute_attention(stack, normed, index)
        elif letter == "-":
            out = self.compute_dense(stack, self.mlp_name, normed)
        else:
            out = self.compute_feed_forward(stack, normed, index)
        stack.sum("mixer.sum", "input", out)

    def experts(self) -> None:
        config, modules, count, size = self.config, self.modules, self.num_experts, self.expert_size
        latent = config.optional_size("moe_latent_size")
        if latent is not None:
            bias = self.flag(self.mlp_bias)
            modules.linear("fc1_latent_proj", self.width, latent, bias)
            modules.linear("fc2_latent_proj", latent, self.width, bias)
        into, back = self.weight(count, size, latent or self.width), latent or self.width
        modules.add("experts", "Experts", up_proj=into, down_proj=self.weight(count, back, size))

    def steps(self) -> Initializer:
        return drawn_steps(self.config)

    def compute_experts(self, stack: Stack, takes: str, index: int, **how: Any) -> str:
        if not self.config.is_null("moe_latent_size"):
            raise NotComputed("experts in a space of their own")
        return super().compute_experts(stack, takes, index, into="up_proj", **how)

    def back_initializer(self, inner: int) -> Initializer:
        if not self.config.flag("rescale_prenorm_residual"):
            return self.drawn()
        return uniform((inner * max(self.num_blocks, 1)) ** -0.5)

    @property
    def shared_size(self) -> int:
        return self.config.size("moe_shared_expert_intermediate_size")

    @property
    def mixer_width(self) -> int:
        return self.config.size("mamba_num_heads") * self.config.size("mamba_head_dim")

    @property
    def num_blocks(self) -> int:
        return len(self.pattern)

    @cached_property
    def pattern(self) -> str:
        """A letter for each block."""
        key = "hybrid_override_pattern"
        if not self.config.is_null(key):
            pattern = self.config.text(key)
            if all(each in self.kinds for each in pattern):
                return pattern
            self.config.word(key, (f"a text of {', '.join(self.kinds)}",))
        letters = {word: each for each, words in self.kinds.items() for word in words}
        given = self.config.value("layer_types")
        if given is None:
            return "ME*-"
        count = len(given) if isinstance(given, list | tuple) else 0
        return "".join(letters[each] for each in self.config.words("layer_types", letters, count))
