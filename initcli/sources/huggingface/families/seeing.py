"""Vision towers of language models that see, for images of any size."""

from __future__ import annotations

import math
from typing import ClassVar

from initcli.initializers import Constant
from initcli.sources.huggingface.entries import NotComputed
from initcli.sources.huggingface.families.vision import Vit
from initcli.sources.huggingface.family import MAX_TOKENS, Family
from initcli.sources.huggingface.modules import ONE, ZERO, Tensor
from initcli.sources.huggingface.stack import Heads, Stack


class Pixtral(Family):
    """The vision tower of Pixtral. Agrawal et al. 2024, arXiv:2410.07073."""

    model_types = ("pixtral",)
    heads = ("Model",)

    def describe(self, head: str) -> None:
        config, modules, width = self.config, self.modules, self.config.size("hidden_size")
        config.activation("hidden_act")
        config.quotient("hidden_size", "num_attention_heads", is_strict=False)
        channels, inner = config.size("num_channels"), config.size("intermediate_size")
        modules.convolution("patch_conv", channels, width, config.pair("patch_size"), False)
        modules.norm("ln_pre", width, "RMSNorm")
        for index in range(config.size("num_hidden_layers", 0)):
            with modules.within(f"transformer.layers.{index}"):
                modules.norm("attention_norm", width, "RMSNorm")
                modules.linear("feed_forward.gate_proj", width, inner, False)
                modules.linear("feed_forward.up_proj", width, inner, False)
                modules.linear("feed_forward.down_proj", inner, width, False)
                for name in ("k_proj", "v_proj", "q_proj", "o_proj"):
                    modules.linear(f"attention.{name}", width, width, False)
                modules.norm("ffn_norm", width, "RMSNorm")

    def compute(self, stack: Stack, head: str) -> None:
        self.compute_features(stack, None)

    def compute_features(self, stack: Stack, layer: int | tuple[int, ...] | None) -> str:
        if layer not in (None, -1):
            raise NotComputed("features of another layer than the last")
        config, patch, limit = self.config, self.config.pair("patch_size"), math.isqrt(MAX_TOKENS)
        sizes = zip(config.pair("image_size"), patch, strict=True)
        rows, columns = (min(a // b, limit) for a, b in sizes)
        channels = config.size("num_channels")
        image = stack.image("image", rows * patch[0], columns * patch[1], channels)
        stream = stack.patches("patch_conv", image, patch, rows * columns)
        stream = stack.norm("ln_pre", stream, "RMSNorm", 1e-5)
        for index in range(config.size("num_hidden_layers", 0)):
            with stack.block("transformer.layers", index, stream):
                self.compute_layer(stack)
            stream = stack.last
        return stream

    def compute_layer(self, stack: Stack) -> None:
        """Add what one layer computes."""
        count = self.config.size("num_attention_heads")
        heads = Heads(count, count, self.config.size("hidden_size") // count)
        normed = stack.norm("attention_norm", "input", "RMSNorm", 1e-5)
        qkv = ("attention.q_proj", "attention.k_proj", "attention.v_proj")
        inner = stack.attention("attention", normed, heads, qkv, "attention.o_proj", causal=False)
        middle = stack.sum("attention.sum", "input", inner)
        normed = stack.norm("ffn_norm", middle, "RMSNorm", 1e-5)
        into = ["feed_forward.gate_proj", "feed_forward.up_proj"]
        inner = stack.gated("feed_forward.product", into, normed, self.config.text("hidden_act"))
        stack.sum("feed_forward.sum", middle, stack.dense("feed_forward.down_proj", inner))


class Qwen2VlVision(Family):
    """The vision tower of Qwen 2 VL. Wang et al. 2024, arXiv:2409.12191."""

    model_types: ClassVar[tuple[str, ...]] = ("qwen2_vl_vision",)
    heads = ("Model",)
    width_key: ClassVar[str] = "embed_dim"
    out_key: ClassVar[str] = "hidden_size"
    norm_kind: ClassVar[str] = "LayerNorm"
    mlp_names: ClassVar[tuple[str, ...]] = ("fc1", "fc2")
    patch_bias: ClassVar[bool] = False

    def describe(self, head: str) -> None:
        config, modules, width = self.config, self.modules, self.config.size(self.width_key)
        config.activation("hidden_act")
        config.quotient(self.width_key, "num_heads", is_strict=False)
        patch = (*self.frames, *config.pair("patch_size"))
        channels = config.size("in_channels")
        modules.convolution("patch_embed.proj", channels, width, patch, self.patch_bias)
        for index in range(config.size("depth", 0)):
            with modules.within(f"blocks.{index}"):
                modules.norm("norm1", width, self.norm_kind)
                modules.norm("norm2", width, self.norm_kind)
                modules.linear("attn.qkv", width, 3 * width)
                modules.linear("attn.proj", width, width)
                *into, out = self.mlp_names
                for name in into:
                    modules.linear(f"mlp.{name}", width, self.inner)
                modules.linear(f"mlp.{out}", self.inner, width)
        self.mergers(width)

    def compute(self, stack: Stack, head: str) -> None:
        self.compute_features(stack, None)

    def compute_features(self, stack: Stack, layer: int | tuple[int, ...] | None) -> str:
        config, merge = self.config, self.config.size("spatial_merge_size")
        height, width = config.pair("patch_size")
        side = max(math.isqrt(MAX_TOKENS) // merge, 1) * merge
        sizes = [*self.frames, side * height, side * width, config.size("in_channels")]
        image = stack.add("Input", "image", shape=sizes)
        patch = (*self.frames, height, width)
        stream = stack.patches("patch_embed.proj", image, patch, side**2)
        stream = self.compute_positions(stack, stream)
        for index in range(config.size("depth", 0)):
            with stack.block("blocks", index, stream):
                self.compute_block(stack)
            stream = stack.last
        return self.compute_merger(stack, stream)

    def compute_positions(self, stack: Stack, takes: str) -> str:
        """Add what stands between the patches and the blocks."""
        return stack.positions("pos_embed", takes) if "pos_embed" in stack else takes

    def compute_block(self, stack: Stack) -> None:
        """Add what one block computes."""
        count, activation = self.config.size("num_heads"), self.config.text("hidden_act")
        heads = Heads(count, count, self.config.size(self.width_key) // count)
        normed = stack.norm("norm1", "input", self.norm_kind, self.epsilon)
        packed = ("attn.qkv",) * 3
        inner = stack.attention("attn", normed, heads, packed, "attn.proj", causal=False)
        middle = stack.sum("attn.sum", "input", inner)
        normed = stack.norm("norm2", middle, self.norm_kind, self.epsilon)
        *into, out = (f"mlp.{name}" for name in self.mlp_names)
        if len(into) > 1:
            inner = stack.gated("mlp.product", into, normed, activation)
        else:
            inner = stack.dense(into[0], normed, activation)
        stack.sum("mlp.sum", middle, stack.dense(out, inner))

    def compute_merger(self, stack: Stack, takes: str) -> str:
        """Add what joins patches."""
        merge = self.config.size("spatial_merge_size") ** 2
        normed = stack.norm("merger.ln_q", takes, self.norm_kind, 1e-6)
        merged = stack.merged("merger", normed, merge, self.merged)
        return stack.dense("merger.mlp.2", stack.dense("merger.mlp.0", merged, "gelu"))

    def mergers(self, width: int) -> None:
        """Add what joins patches into tokens of the language model."""
        merged = self.merged
        self.modules.norm("merger.ln_q", width, self.norm_kind)
        self.modules.linear("merger.mlp.0", merged, merged)
        self.modules.linear("merger.mlp.2", merged, self.config.size(self.out_key))

    @property
    def epsilon(self) -> float:
        """What norms add to the variance."""
        return 1e-6

    @property
    def merged(self) -> int:
        """The size of patches that are joined."""
        return self.config.size(self.width_key) * self.config.size("spatial_merge_size") ** 2

    @property
    def frames(self) -> tuple[int, ...]:
        """The number of frames in a patch."""
        return (self.config.size("temporal_patch_size"),)

    @property
    def inner(self) -> int:
        """The width of the feed-forward layer."""
        return self.config.size(self.width_key) * self.config.size("mlp_ratio")


class Qwen25VlVision(Qwen2VlVision):
    """The vision tower of Qwen 2.5 VL. Bai et al. 2025, arXiv:2502.13923."""

    model_types: ClassVar[tuple[str, ...]] = ("qwen2_5_vl_vision",)
    width_key: ClassVar[str] = "hidden_size"
    out_key: ClassVar[str] = "out_hidden_size"
    norm_kind: ClassVar[str] = "RMSNorm"
    mlp_names: ClassVar[tuple[str, ...]] = ("gate_proj", "up_proj", "down_proj")

    def compute_block(self, stack: Stack) -> None:
        stack.notes["the signal leaves out the windows of attention: each patch sees all"] = None
        super().compute_block(stack)

    @property
    def inner(self) -> int:
        return self.config.size("intermediate_size")


class Qwen3VlVision(Qwen25VlVision):
    """The vision tower of Qwen 3 VL, of which several layers reach the language model."""

    model_types: ClassVar[tuple[str, ...]] = ("qwen3_vl_vision", "qwen3_vl_moe_vision")
    heads = ("Model",)
    norm_kind = "LayerNorm"
    mlp_names = ("linear_fc1", "linear_fc2")
    patch_bias = True
    deepstack_key: ClassVar[str] = "deepstack_visual_indexes"

    def mergers(self, width: int) -> None:
        config = self.config
        self.modules.embedding("pos_embed", config.size("num_position_embeddings"), width)
        self.merger("merger", width)
        for index in range(len(config.numbers(self.deepstack_key) if self.deepstack_key else ())):
            self.merger(f"deepstack_merger_list.{index}", self.merged)

    def compute_block(self, stack: Stack) -> None:
        Qwen2VlVision.compute_block(self, stack)

    def compute_merger(self, stack: Stack, takes: str) -> str:
        stack.leave_out("deepstack_merger_list", "what further layers give to the language model")
        merge = self.config.size("spatial_merge_size") ** 2
        normed = stack.norm("merger.norm", takes, self.norm_kind, 1e-6)
        merged = stack.merged("merger", normed, merge, self.merged)
        inner = stack.dense("merger.linear_fc1", merged, "gelu")
        return stack.dense("merger.linear_fc2", inner)

    def merger(self, name: str, normed: int) -> None:
        """Add one of them."""
        with self.modules.within(name):
            self.modules.norm("norm", normed)
            self.modules.linear("linear_fc1", self.merged, self.merged)
            self.modules.linear("linear_fc2", self.merged, self.config.size(self.out_key))


class Qwen35Vision(Qwen3VlVision):
    """The vision tower of Qwen 3.5."""

    model_types = ("qwen3_5_vision", "qwen3_5_moe_vision")
    deepstack_key = ""


class InternVlVision(Vit):
    """The vision tower of InternVL. Zhu et al. 2025, arXiv:2504.10479."""

    model_types = ("internvl_vision",)
    heads = ("Model",)
    blocks = "encoder.layer"
    attention_names = (
        *("attention.q_proj", "attention.k_proj", "attention.v_proj"),
        "attention.projection_layer",
    )
    layer_scales = ("lambda_1", "lambda_2")

    def describe(self, head: str) -> None:
        config, modules, width = self.config, self.modules, self.config.size("hidden_size")
        config.activation("hidden_act")
        config.quotient("hidden_size", "num_attention_heads")
        image, patch = config.pair("image_size"), config.pair("patch_size")
        count = math.prod(a // b for a, b in zip(image, patch, strict=True)) + 1
        tokens = {"cls_token": Tensor((1, 1, width), ZERO)}
        if config.flag("use_mask_token"):
            tokens["mask_token"] = Tensor((1, 1, width), ZERO)
        if config.flag("use_absolute_position_embeddings"):
            tokens["position_embeddings"] = Tensor((1, count, width), ZERO)
        modules.add("embeddings", "Embeddings", **tokens)
        channels = config.size("num_channels")
        modules.convolution("embeddings.patch_embeddings.projection", channels, width, patch)
        for index in range(config.size("num_hidden_layers", 0)):
            with modules.within(f"encoder.layer.{index}"):
                self.layer(index, width)
        if not config.flag("use_mean_pooling"):
            modules.norm("layernorm", width)

    def compute_attention(self, stack: Stack, takes: str) -> str:
        if "attention.q_norm" not in stack:
            return super().compute_attention(stack, takes)
        query, key, value = (stack.dense(f"attention.{x}_proj", takes) for x in "qkv")
        query = stack.norm("attention.q_norm", query, "RMSNorm", 1e-6)
        key = stack.norm("attention.k_norm", key, "RMSNorm", 1e-6)
        heads = self.attention_heads
        return stack.dense(
            self.attention_names[3],
            stack.attend("attention", query, key, value, heads, causal=False),
        )

    def compute_norm(self, stack: Stack, name: str, takes: str) -> str:
        kind = "LayerNorm" if name == "layernorm" else self.norm_kind
        return stack.norm(name, takes, kind, self.config.number("layer_norm_eps") or 1e-6)

    @property
    def norm_kind(self) -> str:
        """The kind of normalization in layers."""
        is_plain = self.config.word("norm_type", ("layer_norm", "rms_norm")) == "layer_norm"
        return "LayerNorm" if is_plain else "RMSNorm"

    def layer(self, index: int, width: int) -> None:
        config, modules, inner = self.config, self.modules, self.config.size("intermediate_size")
        kind = self.norm_kind
        scale = Tensor((width,), Constant(value=config.number("layer_scale_init_value")))
        modules.add("", "Layer", lambda_1=scale, lambda_2=scale)
        for name in ("q_proj", "k_proj", "v_proj"):
            modules.linear(f"attention.{name}", width, width, config.flag("attention_bias"))
        modules.linear("attention.projection_layer", width, width)
        if config.flag("use_qk_norm"):
            for name in ("q_norm", "k_norm"):
                modules.add(f"attention.{name}", "RMSNorm", weight=Tensor((width,), ONE))
        modules.linear("mlp.fc1", width, inner)
        modules.linear("mlp.fc2", inner, width)
        modules.norm("layernorm_before", width, kind)
        modules.norm("layernorm_after", width, kind)
