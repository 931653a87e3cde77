"""Swin: attention in windows, in stages that halve the image."""

from __future__ import annotations

import math
from typing import ClassVar, NamedTuple

import numpy as np

from initcli.initializers import Constant, Initializer
from initcli.initializers.given import Values
from initcli.sources.huggingface.families.vision import AT_ZERO
from initcli.sources.huggingface.family import Family
from initcli.sources.huggingface.modules import ZERO, Tensor
from initcli.sources.huggingface.stack import Heads, Stack
from initcli.types import Size


class Swin(Family):
    """Swin, of which stages halve the image. Liu et al. 2021, arXiv:2103.14030."""

    model_types: ClassVar[tuple[str, ...]] = ("swin",)
    heads = ("ForImageClassification", "Model")
    body_name: ClassVar[str] = "swin"
    last_norm: ClassVar[str] = "layernorm"
    num_tokens = 0
    attention_names: ClassVar[tuple[str, str, str, str]] = (
        *("attention.q_proj", "attention.k_proj", "attention.v_proj", "attention.o_proj"),
    )
    mlp_names: ClassVar[tuple[str, str]] = ("mlp.fc1", "mlp.fc2")
    positions_name: ClassVar[str] = "attention.relative_position_bias"
    more_positions: ClassVar[int] = 0
    """How many rows the table of positions has besides."""
    norms_joined: ClassVar[bool] = True
    """Whether the norm between stages comes before its projection."""

    def describe(self, head: str) -> None:
        config, modules, width = self.config, self.modules, self.config.size("embed_dim")
        config.activation("hidden_act")
        with modules.within("" if head == "Model" else self.body_name):
            self.embeddings(width)
            for stage, (depth, count) in enumerate(self.stages):
                for index in range(depth):
                    with modules.within(f"encoder.layers.{stage}.blocks.{index}"):
                        self.layer(width, count)
                if stage < len(self.stages) - 1:
                    with modules.within(f"encoder.layers.{stage}.downsample"):
                        modules.norm("norm", (4 if self.norms_joined else 2) * width)
                        modules.linear("reduction", 4 * width, 2 * width, False)
                    width *= 2
            if self.last_norm:
                modules.norm(self.last_norm, width)
        if head == "ForImageClassification":
            modules.linear("classifier", width, config.labels)

    @property
    def stages(self) -> list[tuple[int, int]]:
        """The number of layers and of heads of each stage."""
        depths = self.config.numbers("depths")
        return list(zip(depths, self.config.numbers("num_heads", len(depths), 1), strict=False))

    def embeddings(self, width: int) -> None:
        """Add the embedding of patches, and the positions."""
        config, modules, patch = self.config, self.modules, self.config.pair("patch_size")
        with modules.within("embeddings"):
            if config.flag("use_absolute_embeddings"):
                image = config.pair("image_size")
                count = math.prod(a // b for a, b in zip(image, patch, strict=True))
                positions = Tensor((1, count + self.more_positions, width), ZERO)
                modules.add("", "Embeddings", position_embeddings=positions)
            channels = config.size("num_channels")
            modules.convolution("patch_embeddings.projection", channels, width, patch)
            modules.norm("norm", width)

    def layer(self, width: int, heads: int) -> None:
        """Add one layer."""
        modules, (into, out) = self.modules, self.mlp_names
        self.attention(width, heads)
        modules.linear(self.attention_names[3], width, width)
        modules.norm("layernorm_before", width)
        modules.norm("layernorm_after", width)
        inner = int(self.config.number("mlp_ratio") * width)
        modules.linear(into, width, inner)
        modules.linear(out, inner, width)

    def attention(self, width: int, heads: int) -> None:
        """Add queries, keys and values, and what says of positions."""
        for name in self.attention_names[:3]:
            self.modules.linear(name, width, width, self.config.flag("qkv_bias"))
        kind = "RelativePositionBias"
        self.modules.add(self.positions_name, kind, **self.positions(heads))

    def positions(self, heads: int) -> dict[str, Tensor]:
        """The tensors of relative positions."""
        rows = (2 * self.config.size("window_size") - 1) ** 2
        return {"relative_position_bias_table": Tensor((rows, heads), ZERO)}

    def compute(self, stack: Stack, head: str) -> None:
        with stack.within("" if head == "Model" else self.body_name):
            stream = self.compute_body(stack)
        if head == "ForImageClassification":
            pooled = stack.add("GlobalAveragePooling2D", "pooler", stream)
            stack.dense("classifier", pooled)

    def compute_body(self, stack: Stack) -> str:
        """Add all but pooling and the classifier."""
        config, width = self.config, self.config.size("embed_dim")
        image, patch = config.pair("image_size"), config.pair("patch_size")
        rows, columns = (-(-a // b) for a, b in zip(image, patch, strict=True))
        stream = stack.image("image", *image, config.size("num_channels"))
        name, strides = "embeddings.patch_embeddings.projection", list(patch)
        stream = stack.convolution(name, stream, strides=strides, padding="same")
        stream = self.compute_norm(stack, "embeddings.norm", stream, 1e-5)
        stack.leave_out("embeddings.position_embeddings", "absolute positions, which start at 0")
        for stage, (depth, heads) in enumerate(self.stages):
            grid, scope = (rows, columns), f"encoder.layers.{stage}"
            for index in range(depth):
                with stack.block(f"{scope}.blocks", index, stream):
                    self.compute_layer(stack, grid, Heads(heads, heads, width // heads))
                stream = stack.last
            if depth > 1 and min(grid) > config.size("window_size"):
                stack.notes["the signal leaves out that every other layer shifts its windows"] = (
                    None
                )
            if stage < len(self.stages) - 1:
                with stack.within(f"{scope}.downsample"):
                    stream = self.compute_downsampling(stack, stream, grid, width)
                rows, columns, width = (rows + 1) // 2, (columns + 1) // 2, 2 * width
        return self.compute_norm(stack, self.last_norm, stream) if self.last_norm else stream

    def compute_layer(self, stack: Stack, grid: Size, heads: Heads) -> None:
        """Add what one layer computes."""
        for name in ("relative_position_bias_table", "relative_position_index"):
            stack.leave_out(f"{self.positions_name}.{name}", AT_ZERO)
        normed = self.compute_norm(stack, "layernorm_before", "input")
        inner = self.compute_attention(stack, normed, grid, heads)
        middle = stack.sum("attention.sum", "input", inner)
        normed = self.compute_norm(stack, "layernorm_after", middle)
        stack.sum("mlp.sum", middle, self.compute_feed_forward(stack, normed))

    def compute_attention(self, stack: Stack, takes: str, grid: Size, heads: Heads) -> str:
        """Add what attention computes in each window."""
        side = min(self.config.size("window_size"), *grid)
        windows = Windows(grid, (side, side), heads.queries * heads.size)
        query, key, value, out = self.attention_names
        names = (query, key, value)
        return windows.attention(stack, "attention", takes, heads, names, out)

    def compute_feed_forward(self, stack: Stack, takes: str) -> str:
        """Add what the feed-forward layer computes."""
        into, out = self.mlp_names
        return stack.dense(out, stack.dense(into, takes, self.config.text("hidden_act")))

    def compute_downsampling(self, stack: Stack, takes: str, grid: Size, width: int) -> str:
        """Put each two by two positions beside one another, and project them."""
        windows = Windows(grid, (2, 2), width)
        cut = windows.turned(stack, "patches", takes)
        shape = [*windows.counts, 4 * width]
        joined = stack.add("Reshape", "patches.joined", cut, target_shape=shape)
        if not self.norms_joined:
            return self.compute_norm(stack, "norm", stack.dense("reduction", joined), 1e-5)
        return stack.dense("reduction", self.compute_norm(stack, "norm", joined, 1e-5))

    def compute_norm(
        self, stack: Stack, name: str, takes: str, epsilon: float | None = None
    ) -> str:
        """Add a normalization."""
        found = self.config.number("layer_norm_eps") if epsilon is None else epsilon
        return stack.norm(name, takes, "LayerNorm", found)


class Windows:
    """An image (rows, columns, width) in windows of a size, with zeros at its ends."""

    def __init__(self, grid: Size, size: Size, width: int) -> None:
        self.grid = grid
        self.size = size
        self.width = width
        self.counts = tuple(-(-a // b) for a, b in zip(grid, size, strict=True))
        """The number of windows along each axis."""

    def attention(
        self,
        stack: Stack,
        name: str,
        takes: str,
        heads: Heads,
        names: tuple[str, str, str],
        out: str,
    ) -> str:
        """Add attention in each window."""
        cut, count = self.turned(stack, f"{name}.windows", takes), math.prod(self.counts)
        shape = [count, math.prod(self.size), self.width][count == 1 :]
        cut = stack.add("Reshape", f"{name}.windows", cut, target_shape=shape)
        axis = 2 if count > 1 else None
        inner = stack.attention(name, cut, heads, names, out, causal=False, axis=axis)
        shape = [*self.counts, *self.size, self.width]
        inner = stack.add("Reshape", f"{name}.cut", inner, target_shape=shape)
        inner = stack.add("Permute", f"{name}.turned", inner, dims=[1, 3, 2, 4, 5])
        shape = [*(a * b for a, b in zip(self.counts, self.size, strict=True)), self.width]
        inner = stack.add("Reshape", f"{name}.joined", inner, target_shape=shape)
        if any(self.missing):
            around = [[0, each] for each in self.missing]
            inner = stack.add("Cropping2D", f"{name}.image", inner, cropping=around)
        return inner

    @property
    def missing(self) -> Size:
        """The number of zeros at the end of each axis."""
        axes = zip(self.counts, self.size, self.grid, strict=True)
        return tuple(count * size - whole for count, size, whole in axes)

    def turned(self, stack: Stack, name: str, takes: str) -> str:
        """Give each window axes of its own, behind those that count windows."""
        if any(self.missing):
            around = [[0, each] for each in self.missing]
            takes = stack.add("ZeroPadding2D", f"{name}.padded", takes, padding=around)
        pairs = zip(self.counts, self.size, strict=True)
        shape = [*(each for pair in pairs for each in pair), self.width]
        cut = stack.add("Reshape", f"{name}.cut", takes, target_shape=shape)
        return stack.add("Permute", f"{name}.turned", cut, dims=[1, 3, 2, 4, 5])


class WindowedLayer(NamedTuple):
    """The names of what a layer with attention in windows, and norms before its parts, has."""

    norms: tuple[str, str]
    projection: str
    """The name of the one projection to queries, keys and values."""
    out: str
    feed_forward: tuple[str, str]

    def compute(
        self, stack: Stack, windows: Windows, heads: Heads, activation: str, epsilon: float
    ) -> str:
        """Add what the layer computes."""
        before, after = self.norms
        names = (self.projection, self.projection, self.projection)
        normed = stack.norm(before, "input", "LayerNorm", epsilon)
        inner = windows.attention(stack, "attention", normed, heads, names, self.out)
        middle = stack.sum("attention.sum", "input", inner)
        into, back = self.feed_forward
        normed = stack.norm(after, middle, "LayerNorm", epsilon)
        return stack.sum(
            "mlp.sum", middle, stack.dense(back, stack.dense(into, normed, activation))
        )


class SwinOlder(Swin):
    """Swin with the names of BERT, and a row of positions more."""

    model_types: ClassVar[tuple[str, ...]] = ()
    attention_names: ClassVar[tuple[str, str, str, str]] = (
        *("attention.self.query", "attention.self.key", "attention.self.value"),
        "attention.output.dense",
    )
    mlp_names: ClassVar[tuple[str, str]] = ("intermediate.dense", "output.dense")
    positions_name = "attention.self"
    more_positions = 1

    def positions(self, heads: int) -> dict[str, Tensor]:
        window = self.config.size("window_size")
        shape = (window**2, window**2)
        filled: Initializer = ZERO
        if self.is_computable(shape, "window_size"):
            filled = distances(window)
        index = Tensor(shape, filled, trainable=False, dtype="int64")
        return {**super().positions(heads), "relative_position_index": index}


class DonutSwin(SwinOlder):
    """The Swin of Donut. Kim et al. 2021, arXiv:2111.15664."""

    model_types = ("donut-swin",)
    body_name = "donut"
    last_norm = ""


class Swinv2(SwinOlder):
    """Swin 2. Liu et al. 2021, arXiv:2111.09883."""

    model_types = ("swinv2",)
    body_name = "swinv2"
    norms_joined = False

    def attention(self, width: int, heads: int) -> None:
        modules, bias = self.modules, self.config.flag("qkv_bias")
        scale = Tensor((heads, 1, 1), Constant(value=math.log(10)))
        with modules.within("attention.self"):
            modules.add("", "Attention", logit_scale=scale)
            modules.linear("continuous_position_bias_mlp.0", 2, 512)
            modules.linear("continuous_position_bias_mlp.2", 512, heads, False)
        for name in self.attention_names[:3]:
            modules.linear(name, width, width, bias and not name.endswith("key"))

    def compute_layer(self, stack: Stack, grid: Size, heads: Heads) -> None:
        inner = self.compute_attention(stack, "input", grid, heads)
        normed = self.compute_norm(stack, "layernorm_before", inner)
        middle = stack.sum("attention.sum", "input", normed)
        inner = self.compute_feed_forward(stack, middle)
        stack.sum("mlp.sum", middle, self.compute_norm(stack, "layernorm_after", inner))

    def compute_attention(self, stack: Stack, takes: str, grid: Size, heads: Heads) -> str:
        what, shape = "scaled cosine attention", (*grid, heads.queries * heads.size)
        return stack.unknown("attention", takes, what, shape, "attention")


def distances(window: int) -> Initializer:
    """The row of a table for each pair of places in a window."""
    places = np.stack(np.meshgrid(np.arange(window), np.arange(window), indexing="ij")).reshape(
        2, -1
    )
    rows, columns = places[:, :, None] - places[:, None, :] + window - 1
    return Values(numbers=(rows * (2 * window - 1) + columns).astype(float).tobytes())
