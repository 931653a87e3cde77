"""ViTDet, and the vision tower of SAM: layers with attention in windows or to the whole image."""

from __future__ import annotations

import math

from initcli.sources.huggingface.families.vision import AT_ZERO, Vit
from initcli.sources.huggingface.families.windows import WindowedLayer, Windows
from initcli.sources.huggingface.family import Family
from initcli.sources.huggingface.modules import ZERO, Tensor, normal
from initcli.sources.huggingface.stack import Heads, Stack
from initcli.types import Size


class VitDet(Vit):
    """ViTDet, the body of detectors. Li et al. 2022, arXiv:2203.16527."""

    model_types = ("vitdet",)
    has_pooler = False
    has_bounds = True
    heads = ("Model",)
    blocks = "encoder.layer"
    last_norm = ""
    projection_name = "projection"
    num_tokens = 0
    windowed = WindowedLayer(
        norms=("norm1", "norm2"),
        projection="attention.qkv",
        out="attention.proj",
        feed_forward=("mlp.fc1", "mlp.fc2"),
    )

    def tokens(self, width: int) -> dict[str, Tensor]:
        if not self.config.flag("use_absolute_position_embeddings"):
            return {}
        return {"position_embeddings": super().tokens(width)["position_embeddings"]}

    @property
    def num_positions(self) -> int:
        image = self.config.pair("pretrain_image_size")
        return math.prod(a // b for a, b in zip(image, self.patch, strict=True)) + 1

    @property
    def grid(self) -> Size:
        """The number of patches along each axis."""
        return tuple(a // b for a, b in zip(self.image, self.patch, strict=True))

    def window(self, index: int) -> Size:
        """The size of the windows of a layer, or of the whole image."""
        side = self.config.size("window_size", 0)
        is_part = side and index in self.config.numbers("window_block_indices")
        return (side, side) if is_part else self.grid

    def layer(self, index: int, width: int) -> None:
        config, modules = self.config, self.modules
        inner = int(width * config.number("mlp_ratio"))
        with modules.within(f"{self.blocks}.{index}"):
            modules.norm("norm1", width)
            self.linear("attention.qkv", width, 3 * width, config.flag("qkv_bias"))
            self.linear("attention.proj", width, width)
            if config.flag("use_relative_position_embeddings"):
                each = config.quotient("hidden_size", "num_attention_heads")
                names = zip(("rel_pos_h", "rel_pos_w"), self.window(index), strict=True)
                tables = {x: Tensor((2 * side - 1, each), self.filled) for x, side in names}
                modules.add("attention", "Attention", **tables)
            modules.norm("norm2", width)
            self.linear("mlp.fc1", width, inner)
            self.linear("mlp.fc2", inner, width)
            if index in config.numbers("residual_block_indices"):
                with modules.within("residual"):
                    self.residual(width)

    def residual(self, width: int) -> None:
        """Add three convolutions of which the last norm starts at 0."""
        modules, narrow = self.modules, max(width // 2, 1)
        shapes = ((width, narrow, 1), (narrow, narrow, 3), (narrow, width, 1))
        for index, (inputs, outputs, size) in enumerate(shapes, 1):
            drawn = normal(math.sqrt(2 / (outputs * size**2)))
            modules.convolution(f"conv{index}", inputs, outputs, (size, size), False, drawn)
            modules.norm(f"norm{index}", outputs, start=0.0 if index == 3 else 1.0)

    def compute_body(self, stack: Stack) -> str:
        config, width = self.config, self.config.size("hidden_size")
        stream = self.compute_patches(stack)
        if self.num_patches >= self.num_positions:
            stack.leave_out("embeddings.position_embeddings", "positions of a larger image")
        elif "embeddings.position_embeddings" in stack:
            stream = stack.positions("embeddings.position_embeddings", stream)
        stream = stack.add("Reshape", "embeddings.image", stream, target_shape=[*self.grid, width])
        for index in range(config.size("num_hidden_layers", 0)):
            with stack.block(self.blocks, index, stream):
                self.compute_windowed(stack, Windows(self.grid, self.window(index), width))
            stream = stack.last
        return stream

    def compute_windowed(self, stack: Stack, windows: Windows) -> None:
        """Add what one layer computes."""
        activation = self.config.text("hidden_act")
        for name in ("rel_pos_h", "rel_pos_w"):
            stack.leave_out(f"attention.{name}", "scores of relative positions")
        epsilon = self.config.number("layer_norm_eps")
        self.windowed.compute(stack, windows, self.attention_heads, activation, epsilon)
        if "residual.conv1" in stack:
            inner = middle = stack.last
            for index in range(1, 4):
                inner = stack.convolution(f"residual.conv{index}", inner, padding="same")
                inner = stack.norm(f"residual.norm{index}", inner, "LayerNorm", 1e-6)
                if index < 3:
                    inner = stack.activated(f"residual.act{index}", inner, activation)
            stack.sum("residual.sum", middle, inner)


class SamVision(Family):
    """The vision tower of SAM. Kirillov et al. 2023, arXiv:2304.02643."""

    model_types = ("sam_vision_model",)
    heads = ("Model", "Encoder")
    num_tokens = 0
    windowed = WindowedLayer(
        norms=("layer_norm1", "layer_norm2"),
        projection="attn.qkv",
        out="attn.proj",
        feed_forward=("mlp.lin1", "mlp.lin2"),
    )

    def describe(self, head: str) -> None:
        config, modules, width = self.config, self.modules, self.config.size("hidden_size")
        config.activation("hidden_act")
        with modules.within("vision_encoder" if head == "Model" else ""):
            self.tower(width)

    @property
    def bare_head(self) -> str:
        return "Encoder"

    @property
    def side(self) -> int:
        """The number of patches along each axis."""
        return max(self.config.size("image_size") // self.config.size("patch_size"), 1)

    def window(self, index: int) -> int:
        """The side of the windows of a layer, or of the whole image."""
        is_whole = index in self.config.numbers("global_attn_indexes")
        return self.side if is_whole else self.config.size("window_size", 0) or self.side

    def tower(self, width: int) -> None:
        """Add the tower."""
        config, modules, out = self.config, self.modules, self.config.size("output_channels")
        patch = config.size("patch_size")
        if config.flag("use_abs_pos"):
            places = Tensor((1, self.side, self.side, width), ZERO)
            modules.add("", "VisionEncoder", pos_embed=places)
        channels = config.size("num_channels")
        modules.convolution("patch_embed.projection", channels, width, (patch, patch))
        inner = int(width * config.number("mlp_ratio"))
        if not config.is_null("mlp_dim"):
            inner = config.size("mlp_dim")
        for index in range(config.size("num_hidden_layers", 0)):
            with modules.within(f"layers.{index}"):
                self.layer(width, inner, self.window(index))
        with modules.within("neck"):
            modules.convolution("conv1", width, out, (1, 1), False)
            modules.convolution("conv2", out, out, (3, 3), False)
            for name in ("layer_norm1", "layer_norm2"):
                modules.norm(name, out)

    def layer(self, width: int, inner: int, side: int) -> None:
        """Add one layer, with attention in a square of that side."""
        config, modules = self.config, self.modules
        each = config.quotient("hidden_size", "num_attention_heads", is_strict=False)
        modules.linear("attn.qkv", width, 3 * width, config.flag("qkv_bias"))
        modules.linear("attn.proj", width, width)
        if config.flag("use_rel_pos"):
            table = Tensor((2 * side - 1, each), ZERO)
            modules.add("attn", "Attention", rel_pos_h=table, rel_pos_w=table)
        for name in ("layer_norm1", "layer_norm2"):
            modules.norm(name, width)
        modules.linear("mlp.lin1", width, inner)
        modules.linear("mlp.lin2", inner, width)

    def compute(self, stack: Stack, head: str) -> None:
        with stack.within("vision_encoder" if head == "Model" else ""):
            self.compute_features(stack, None)

    def compute_features(self, stack: Stack, layer: int | tuple[int, ...] | None) -> str:
        config, width, size = self.config, self.config.size("hidden_size"), self.side
        image = config.size("image_size")
        stream = stack.image("image", image, image, config.size("num_channels"))
        strides = config.size("patch_size")
        stream = stack.convolution("patch_embed.projection", stream, strides=strides)
        stack.leave_out("pos_embed", "absolute positions, which start at 0")
        count, epsilon = config.size("num_attention_heads"), config.number("layer_norm_eps")
        heads, activation = Heads(count, count, width // count), config.text("hidden_act")
        for index in range(config.size("num_hidden_layers", 0)):
            side = self.window(index)
            with stack.block("layers", index, stream):
                for name in ("rel_pos_h", "rel_pos_w"):
                    stack.leave_out(f"attn.{name}", AT_ZERO)
                windows = Windows((size, size), (side, side), width)
                self.windowed.compute(stack, windows, heads, activation, epsilon)
            stream = stack.last
        with stack.within("neck"):
            for index in (1, 2):
                stream = stack.convolution(f"conv{index}", stream, padding="same")
                stream = stack.norm(f"layer_norm{index}", stream, "LayerNorm", 1e-6)
        return stream
