"""The towers of Gemma 4, and the model that they are parts of."""

from __future__ import annotations

import math

from initcli.initializers import Constant
from initcli.sources.huggingface.families.decoder import AROUND
from initcli.sources.huggingface.families.pairs import Pair
from initcli.sources.huggingface.family import Family
from initcli.sources.huggingface.modules import ONE, ZERO, Tensor
from initcli.sources.huggingface.stack import Heads, Stack

_PATCHES = 22
"""Patches of an image along each axis."""
_FRAMES = 256
"""Frames of a sound."""


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

    def compute(self, stack: Stack, head: str) -> None:
        self.compute_features(stack, None)

    def compute_norm(self, stack: Stack, name: str, takes: str, kind: str = "RMSNorm") -> str:
        """Add what a normalization computes."""
        return stack.norm(name, takes, kind, self.config.number("rms_norm_eps") or 1e-6)


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

    def compute_features(self, stack: Stack, layer: int | tuple[int, ...] | None) -> str:
        config, width = self.config, self.config.size("hidden_size")
        pool = config.size("pooling_kernel_size")
        side = pool * max(_PATCHES // pool, 1)
        stack.steps = side**2
        stream = stack.add("Input", "pixels", shape=[side**2, 3 * config.size("patch_size") ** 2])
        stream = stack.add("Rescaling", "centered", stream, scale=2.0, offset=-1.0)
        stream = stack.dense("patch_embedder.input_proj", stream)
        # The vectors of both axes start at 1.
        stream = stack.add("Rescaling", "positions", stream, scale=1.0, offset=2.0)
        stack.hold("patch_embedder.position_embedding_table")
        for index in range(config.size("num_hidden_layers", 0)):
            with stack.block("encoder.layers", index, stream):
                self.compute_block(stack)
            stream = stack.last
        stream = stack.add("Reshape", "pooler.grid", stream, target_shape=[side, side, width])
        stream = stack.add("AveragePooling2D", "pooler", stream, pool_size=pool)
        stream = stack.joined("pooler", stream, width)
        stack.steps //= pool**2
        stream = stack.scaled("pooler.scaled", stream, math.sqrt(width))
        stack.hold("std_bias")
        stack.hold("std_scale")
        return stream

    def compute_block(self, stack: Stack) -> None:
        """Add what one layer computes."""
        config = self.config
        keys = ("num_attention_heads", "num_key_value_heads", "head_dim")
        heads = Heads(*map(config.size, keys))
        epsilon = config.number("rms_norm_eps") or 1e-6
        normed = self.compute_norm(stack, "input_layernorm", "input")
        query, key, value = (
            stack.norm_of_heads(
                f"self_attn.{part}_norm",
                stack.dense(f"self_attn.{part}_proj.linear", normed),
                count,
                heads.size,
                kind,
                epsilon,
            )
            for part, count, kind in (
                ("q", heads.queries, "RMSNorm"),
                ("k", heads.keys, "RMSNorm"),
                ("v", heads.keys, ""),
            )
        )
        mixed = stack.attend("self_attn", query, key, value, heads, causal=False, scale=1.0)
        mixed = stack.dense("self_attn.o_proj.linear", mixed)
        mixed = self.compute_norm(stack, "post_attention_layernorm", mixed)
        middle = stack.sum("self_attn.sum", "input", mixed)
        normed = self.compute_norm(stack, "pre_feedforward_layernorm", middle)
        names = ("mlp.gate_proj.linear", "mlp.up_proj.linear")
        inner = stack.gated("mlp.product", names, normed, config.text("hidden_activation"))
        inner = stack.dense("mlp.down_proj.linear", inner)
        inner = self.compute_norm(stack, "post_feedforward_layernorm", inner)
        stack.sum("mlp.sum", middle, inner)
        stack.hold("")


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

    def compute_features(self, stack: Stack, layer: int | tuple[int, ...] | None) -> str:
        config = self.config
        sizes = config.numbers("subsampling_conv_channels", 2, 1) or (4, 1)
        stack.steps = _FRAMES // 4
        stream = stack.image("spectrogram", _FRAMES, sizes[0], 1)
        with stack.within("subsample_conv_projection"):
            for index in range(2):
                name = f"layer{index}"
                stream = stack.convolution(f"{name}.conv", stream, strides=2, padding="same")
                stream = self.compute_norm(stack, f"{name}.norm", stream, "LayerNorm")
                stream = stack.activated(f"{name}.act", stream, "relu")
            stream = stack.joined("flat", stream, sizes[0] // 4 * sizes[1])
            stream = stack.dense("input_proj_linear", stream)
        for index in range(config.size("num_hidden_layers", 0)):
            with stack.block("layers", index, stream):
                self.compute_block(stack)
            stream = stack.last
        return stack.dense("output_proj", stream)

    def compute_block(self, stack: Stack) -> None:
        """Add what one layer computes."""
        stream = self.compute_feed_forward(stack, "feed_forward1", "input")
        mixed = self.compute_attention(stack, self.compute_norm(stack, "norm_pre_attn", stream))
        mixed = self.compute_norm(stack, "norm_post_attn", mixed)
        stream = stack.sum("self_attn.sum", stream, mixed)
        inner = self.compute_norm(stack, "lconv1d.pre_layer_norm", stream)
        width, name = self.config.size("hidden_size"), "lconv1d.linear_start.linear"
        gate = stack.dense(name, inner, "sigmoid", "gate", width)
        inner = stack.product("lconv1d.gated", stack.dense(name, inner, "", "value", width), gate)
        inner = stack.causal_convolution("lconv1d.depthwise_conv1d", inner)
        inner = self.compute_norm(stack, "lconv1d.conv_norm", inner)
        inner = stack.activated("lconv1d.act", inner, self.config.text("hidden_act"))
        inner = stack.dense("lconv1d.linear_end.linear", inner)
        stream = stack.sum("lconv1d.sum", stream, inner)
        stream = self.compute_feed_forward(stack, "feed_forward2", stream)
        self.compute_norm(stack, "norm_out", stream)
        stack.hold("")

    def compute_feed_forward(self, stack: Stack, name: str, takes: str) -> str:
        """Add what a feed-forward layer computes, and the sum with its input."""
        inner = self.compute_norm(stack, f"{name}.pre_layer_norm", takes)
        activation = self.config.text("hidden_act")
        inner = stack.dense(f"{name}.ffw_layer_1.linear", inner, activation)
        inner = stack.dense(f"{name}.ffw_layer_2.linear", inner)
        inner = self.compute_norm(stack, f"{name}.post_layer_norm", inner)
        inner = stack.scaled(f"{name}.scaled", inner, self.config.number("residual_weight"))
        return stack.sum(f"{name}.sum", takes, inner)

    def compute_attention(self, stack: Stack, takes: str) -> str:
        """Add what attention computes."""
        count = self.config.size("num_attention_heads")
        each = self.config.quotient("hidden_size", "num_attention_heads", is_strict=False)
        heads = Heads(count, count, each)
        query, key, value = (stack.dense(f"self_attn.{x}_proj.linear", takes) for x in "qkv")
        stack.leave_out("self_attn.relative_k_proj", "the keys of relative positions")
        stack.notes["the signal leaves out the window of attention to sounds"] = None
        scale = heads.size**-0.5 * math.log(1 + math.e) / math.log(2)
        mixed = stack.attend("self_attn", query, key, value, heads, causal=True, scale=scale)
        return stack.dense("self_attn.post.linear", mixed)


class Gemma4Pair(Pair):
    """Gemma 4, which sees and hears where it has such towers. Google 2026."""

    model_types = ("gemma4",)

    def describe_other(self) -> None:
        self.tower("vision", self.vision, "hidden_size")
        self.tower("audio", self.part("audio_config"), "output_proj_dims")

    def tower(self, kind: str, part: Family, size: str) -> None:
        """Add a tower that the configuration has, and the projection of what it says."""
        if not self.config.is_null(f"{kind}_config"):
            self.add_part(f"{kind}_tower", part)
            width = part.config.size(size)
            name = f"embed_{kind}.embedding_projection"
            self.modules.linear(name, width, self.text_width, False)

    def compute_other(self, stack: Stack) -> str:
        for name in ("audio_tower", "embed_audio"):
            stack.leave_out(name, "the tower for sounds")
        if self.config.is_null("vision_config"):
            return ""
        with stack.within("vision_tower"):
            seen = self.vision.compute_features(stack, None)
        seen = stack.norm("embed_vision.norm", seen, "", 1e-6)
        return stack.dense("embed_vision.embedding_projection", seen)
