"""Gemma since 3n, of which blocks have inputs of their own; its towers; Recurrent Gemma."""

from __future__ import annotations

import math
from typing import ClassVar

from initcli.initializers import Constant
from initcli.sources.huggingface.config import Config
from initcli.sources.huggingface.families.decoder import AROUND, Decoder
from initcli.sources.huggingface.families.moe import Experts
from initcli.sources.huggingface.families.pairs import Pair
from initcli.sources.huggingface.family import Family
from initcli.sources.huggingface.modules import ONE, ZERO, Tensor


class Layered(Decoder):
    """The skeleton: tables with a vector for each block, and blocks that take keys of others."""

    heads = ("ForCausalLM", "TextModel")
    activation_key = "hidden_activation"
    block_norms = AROUND
    has_qk_norm = True
    pattern: ClassVar[int]
    """Of so many blocks, one sees all tokens."""

    def embeddings(self) -> None:
        super().embeddings()
        size = self.layer_size
        if not size:
            return
        rows, all_layers = self.config.size("vocab_size_per_layer_input"), self.num_blocks * size
        padding = self.config.index("pad_token_id", rows)
        self.modules.embedding("embed_tokens_per_layer", rows, all_layers, padding)
        self.modules.linear("per_layer_model_projection", self.width, all_layers, False)
        self.norm("per_layer_projection_norm", size)

    def block(self, index: int) -> None:
        super().block(index)
        if self.layer_size:
            self.modules.linear("per_layer_input_gate", self.width, self.layer_size, False)
            self.modules.linear("per_layer_projection", self.layer_size, self.width, False)
            self.norm("post_per_layer_input_norm", self.width)

    def attention(self, index: int) -> None:
        bias, width, size = self.flag(self.qkv_bias), self.width, self.head_size(index)
        queries, keys = self.num_heads * size, self.keys_of(index) * size
        self.linear("q_proj", width, queries, bias)
        self.norm("q_norm", size)
        if not self.is_sharing(index):
            self.linear("k_proj", width, keys, bias)
            self.norm("k_norm", size)
            if self.has_values(index):
                self.linear("v_proj", width, keys, bias)
        self.linear("o_proj", queries, width, bias)

    def is_sharing(self, index: int) -> bool:
        """Whether a block takes keys and values of one before it."""
        return index >= self.num_blocks - self.config.size("num_kv_shared_layers", 0)

    def sees_all(self, index: int) -> bool:
        """Whether attention has no window in that block."""
        kind = self.kind(index, "layer_types", ("full_attention", "sliding_attention"))
        return (index + 1) % self.pattern == 0 if kind is None else kind == "full_attention"

    def head_size(self, index: int) -> int:
        """The size of a head in that block."""
        return self.head_dim

    def keys_of(self, index: int) -> int:
        """The number of heads of keys in that block."""
        return self.num_keys

    def has_values(self, index: int) -> bool:
        """Whether values are other than keys in that block."""
        return True

    @property
    def layer_size(self) -> int:
        """The size of a block's own input; 0 where there is none."""
        return self.config.size("hidden_size_per_layer_input", 0)

    @property
    def embedding_scale(self) -> float:
        return math.sqrt(self.width)


class Gemma3n(Layered):
    """The language model of Gemma 3n, with several streams. Google 2025."""

    model_types = ("gemma3n_text",)
    compute = Family.compute
    pattern = 5

    def embeddings(self) -> None:
        super().embeddings()
        for index in range(self.num_streams - 1):
            for name in ("altup_projections", "altup_unembed_projections"):
                self.modules.linear(f"{name}.{index}", self.width, self.width, False)

    def block(self, index: int) -> None:
        super().block(index)
        modules, width, streams = self.modules, self.width, self.num_streams
        with modules.within("altup"):
            modules.add("", "AltUp", correct_output_scale=Tensor((width,), ZERO))
            modules.linear("correction_coefs", streams, streams, False)
            modules.linear("prediction_coefs", streams, streams**2, False)
            modules.linear("modality_router", width, streams, False)
            self.norm("router_norm", width)
        rank = self.config.size("laurel_rank")
        with modules.within("laurel"):
            modules.linear("linear_left", width, rank, False)
            modules.linear("linear_right", rank, width, False)
            self.norm("post_laurel_norm", width)

    def feed_forward(self, index: int) -> None:
        size = self.config.value(self.hidden_key)
        if isinstance(size, list | tuple):
            sizes = self.config.numbers(self.hidden_key, self.num_blocks, 1)
            inner = sizes[index] if sizes else 1
        else:
            inner = self.hidden
        with self.modules.within(self.mlp_name):
            self.dense(inner)

    @property
    def num_streams(self) -> int:
        """The number of streams."""
        return self.config.size("altup_num_inputs")


class Gemma4(Layered, Experts):
    """The language model of Gemma 4. Google 2026."""

    model_types = ("gemma4_text",)
    compute = Family.compute
    defaults = {"global_head_dim": 512}
    pattern = 6
    experts_key = "num_experts"

    def feed_forward(self, index: int) -> None:
        is_wide = self.config.flag("use_double_wide_mlp") and self.is_sharing(index)
        with self.modules.within(self.mlp_name):
            self.dense(self.hidden * (2 if is_wide else 1))
        self.modules.add("", "Block", layer_scalar=Tensor((1,), ONE, trainable=False))
        if self.is_mixture(index):
            self.mixture()

    def is_mixture(self, index: int) -> bool:
        return self.config.flag("enable_moe_block")

    def mixture(self) -> None:
        scales = {"scale": self.width, "per_expert_scale": self.num_experts}
        tensors = {name: Tensor((size,), ONE) for name, size in scales.items()}
        self.modules.add("router", "Router", **tensors)
        self.modules.linear("router.proj", self.width, self.num_experts, False)
        self.experts()
        for name in ("post_feedforward_layernorm_1", "post_feedforward_layernorm_2"):
            self.norm(name, self.width)
        self.norm("pre_feedforward_layernorm_2", self.width)

    def own_sizes(self, index: int) -> Config | None:
        """The sizes of a block, where the library has written them for each."""
        if self.config.is_null("per_layer_config"):
            return None
        usual = {"head_dim": self.head_dim, "num_key_value_heads": self.num_keys}
        return self.config.part("per_layer_config", {}, {}).part(str(index), usual, {})

    def head_size(self, index: int) -> int:
        if own := self.own_sizes(index):
            return own.size("head_dim")
        return self.config.size("global_head_dim") if self.sees_all(index) else self.head_dim

    def keys_of(self, index: int) -> int:
        if own := self.own_sizes(index):
            return own.size("num_key_value_heads")
        key = "num_global_key_value_heads"
        is_other = self.sees_all(index) and self.config.flag("attention_k_eq_v")
        if not is_other or self.config.is_null(key):
            return self.num_keys
        return self.config.size(key)

    def has_values(self, index: int) -> bool:
        return not (self.config.flag("attention_k_eq_v") and self.sees_all(index))

    def sees_all(self, index: int) -> bool:
        return super().sees_all(index) or index == self.num_blocks - 1


class Clipped(Family):
    """The towers of Gemma 4, of which projections may clip what goes in and out."""

    heads = ("Model",)

    def clipped(self, name: str, inputs: int, outputs: int) -> None:
        """Add a projection."""
        if self.config.flag("use_clipped_linears"):
            bounds = {"min": Constant(value=-math.inf), "max": Constant(value=math.inf)}
            tensors = {
                f"{side}_{end}": Tensor((), bound, trainable=False)
                for side in ("input", "output")
                for end, bound in bounds.items()
            }
            self.modules.add(name, "ClippableLinear", **tensors)
        self.modules.linear(f"{name}.linear", inputs, outputs, False)

    def norm(self, name: str, width: int) -> None:
        """Add a normalization."""
        self.modules.norm(name, width, "RMSNorm")


class Gemma4Vision(Clipped):
    """The vision tower of Gemma 4."""

    model_types = ("gemma4_vision",)

    def describe(self, head: str) -> None:
        config, modules, width = self.config, self.modules, self.config.size("hidden_size")
        config.activation("hidden_activation")
        inner, size = config.size("intermediate_size"), config.size("head_dim")
        queries = config.size("num_attention_heads") * size
        keys = config.size("num_key_value_heads") * size
        table = Tensor((2, config.size("position_embedding_size"), width), ONE)
        with modules.within("patch_embedder"):
            modules.add("", "PatchEmbedder", position_embedding_table=table)
            modules.linear("input_proj", 3 * config.size("patch_size") ** 2, width, False)
        for index in range(config.size("num_hidden_layers", 0)):
            with modules.within(f"encoder.layers.{index}"):
                for name, outputs in (("q_proj", queries), ("k_proj", keys), ("v_proj", keys)):
                    self.clipped(f"self_attn.{name}", width, outputs)
                self.clipped("self_attn.o_proj", queries, width)
                for name in ("q_norm", "k_norm"):
                    self.norm(f"self_attn.{name}", size)
                for name in ("gate_proj", "up_proj"):
                    self.clipped(f"mlp.{name}", width, inner)
                self.clipped("mlp.down_proj", inner, width)
                for name in AROUND:
                    self.norm(name, width)
        if config.flag("standardize"):
            zeros, ones = (Tensor((width,), each, trainable=False) for each in (ZERO, ONE))
            modules.add("", "VisionModel", std_bias=zeros, std_scale=ones)


class Gemma4Audio(Clipped):
    """The audio tower of Gemma 4."""

    model_types = ("gemma4_audio",)

    def describe(self, head: str) -> None:
        config, modules, width = self.config, self.modules, self.config.size("hidden_size")
        config.activation("hidden_act")
        each = config.quotient("hidden_size", "num_attention_heads", is_strict=False)
        inner = config.size("num_attention_heads") * each
        inputs, sizes = 1, config.numbers("subsampling_conv_channels", 2, 1) or (4, 1)
        with modules.within("subsample_conv_projection"):
            for index, size in enumerate(sizes):
                modules.convolution(f"layer{index}.conv", inputs, size, (3, 3), False)
                self.norm(f"layer{index}.norm", size)
                inputs = size
            modules.linear("input_proj_linear", sizes[0] // 4 * sizes[1], width, False)
        for index in range(config.size("num_hidden_layers", 0)):
            with modules.within(f"layers.{index}"):
                for name in ("feed_forward1", "feed_forward2"):
                    self.norm(f"{name}.pre_layer_norm", width)
                    self.clipped(f"{name}.ffw_layer_1", width, 4 * width)
                    self.clipped(f"{name}.ffw_layer_2", 4 * width, width)
                    self.norm(f"{name}.post_layer_norm", width)
                self.attention(width, inner, each)
                self.convolution(width)
                for name in ("norm_pre_attn", "norm_post_attn", "norm_out"):
                    self.norm(name, width)
        modules.linear("output_proj", width, config.size("output_proj_dims"))

    def attention(self, width: int, inner: int, each: int) -> None:
        """Add attention to relative positions."""
        with self.modules.within("self_attn"):
            for name in ("q_proj", "k_proj", "v_proj"):
                self.clipped(name, width, inner)
            self.clipped("post", width, width)
            self.modules.linear("relative_k_proj", width, inner, False)
            self.modules.add("", "Attention", per_dim_scale=Tensor((each,), ZERO))

    def convolution(self, width: int) -> None:
        """Add the convolution over time."""
        kernel = (self.config.size("conv_kernel_size"),)
        with self.modules.within("lconv1d"):
            self.norm("pre_layer_norm", width)
            self.clipped("linear_start", width, 2 * width)
            self.modules.convolution("depthwise_conv1d", 1, width, kernel, False)
            self.norm("conv_norm", width)
            self.clipped("linear_end", width, width)


class Gemma4Pair(Pair):
    """Gemma 4, which sees and hears where it has such towers. Google 2026."""

    model_types = ("gemma4",)
    compute = Family.compute

    def describe(self, head: str) -> None:
        text = self.text
        with self.modules.within("" if head == "Model" else "model"):
            self.tower("vision", self.vision, "hidden_size")
            self.tower("audio", self.part("audio_config"), "output_proj_dims")
            self.add_part("language_model", text)
        if head != "Model":
            self.output()

    def tower(self, kind: str, part: Family, size: str) -> None:
        """Add a tower that the configuration has, and the projection of what it says."""
        if not self.config.is_null(f"{kind}_config"):
            self.add_part(f"{kind}_tower", part)
            width = part.config.size(size)
            name = f"embed_{kind}.embedding_projection"
            self.modules.linear(name, width, self.text_width, False)
