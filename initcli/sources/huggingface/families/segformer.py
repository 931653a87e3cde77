"""SegFormer, in stages whose attention sees a smaller image."""

from __future__ import annotations

from typing import NamedTuple

from initcli.sources.huggingface.family import Family
from initcli.sources.huggingface.stack import Heads, Stack
from initcli.types import Size


class Stage(NamedTuple):
    """A stage of SegFormer."""

    width: int
    ratio: int
    """The width of its feed-forward layers relative to that of the stage."""
    depth: int
    reduced: int
    """By how much the image that attention sees is smaller along each axis."""
    patch: int
    stride: int
    heads: int


class Segformer(Family):
    """SegFormer. Xie et al. 2021, arXiv:2105.15203."""

    model_types = ("segformer",)
    heads = ("ForSemanticSegmentation", "Model", "ForImageClassification")
    defaults = {"image_size": 224}

    def describe(self, head: str) -> None:
        config, modules, inputs = self.config, self.modules, self.config.size("num_channels")
        config.activation("hidden_act")
        stages = self.stages
        with modules.within("" if head == "Model" else "segformer"):
            for index, stage in enumerate(stages):
                with modules.within(f"stages.{index}"):
                    self.describe_stage(inputs, stage)
                inputs = stage.width
        if head == "ForImageClassification":
            modules.linear("classifier", inputs, config.labels)
        elif head == "ForSemanticSegmentation":
            width = config.size("decoder_hidden_size")
            with modules.within("decode_head"):
                for index, stage in enumerate(stages):
                    modules.linear(f"linear_projections.{index}.proj", stage.width, width)
                modules.convolution("linear_fuse", len(stages) * width, width, (1, 1), False)
                modules.batch_norm("batch_norm", width)
                modules.convolution("classifier", width, config.labels, (1, 1))

    @property
    def stages(self) -> list[Stage]:
        """The stages in order."""
        count = self.config.size("num_encoder_blocks")
        keys = ("hidden_sizes", "mlp_ratios", "depths", "sr_ratios", "patch_sizes", "strides")
        lists = (self.config.numbers(key, count, 1) for key in (*keys, "num_attention_heads"))
        return [Stage(*each) for each in zip(*lists, strict=False)]

    def describe_stage(self, inputs: int, stage: Stage) -> None:
        """Add one stage."""
        modules, width = self.modules, stage.width
        kernel = (stage.patch, stage.patch)
        modules.convolution("patch_embeddings.proj", inputs, width, kernel)
        modules.norm("patch_embeddings.layer_norm", width)
        for index in range(stage.depth):
            with modules.within(f"blocks.{index}"):
                self.block(stage)
        modules.norm("layer_norm", width)

    def block(self, stage: Stage) -> None:
        """Add attention to a smaller image, and a feed-forward layer with a convolution."""
        modules, width, inner = self.modules, stage.width, stage.ratio * stage.width
        queries = width // stage.heads * stage.heads
        with modules.within("attention"):
            for name in ("q_proj", "k_proj", "v_proj"):
                modules.linear(name, width, queries)
            modules.linear("o_proj", queries, width)
            if stage.reduced > 1:
                kernel = (stage.reduced, stage.reduced)
                modules.convolution("sequence_reduction.sequence_reduction", width, width, kernel)
                modules.norm("sequence_reduction.layer_norm", width)
        modules.norm("layernorm_before", width)
        modules.norm("layernorm_after", width)
        modules.linear("mlp.fc1", width, inner)
        modules.convolution("mlp.dwconv.dwconv", 1, inner, (3, 3))
        modules.linear("mlp.fc2", inner, width)

    def compute(self, stack: Stack, head: str) -> None:
        config, grid = self.config, self.config.pair("image_size")
        stream = stack.image("image", *grid, config.size("num_channels"))
        seen: list[tuple[str, Size]] = []
        with stack.within("" if head == "Model" else "segformer"):
            for index, stage in enumerate(self.stages):
                grid = -(-grid[0] // stage.stride), -(-grid[1] // stage.stride)
                with stack.within(f"stages.{index}"):
                    stream = self.compute_stage(stack, stream, stage, grid)
                seen.append((stream, grid))
        if head == "ForImageClassification":
            pooled = stack.add("GlobalAveragePooling2D", "pooler", stream)
            stack.dense("classifier", pooled)
        elif head == "ForSemanticSegmentation":
            with stack.within("decode_head"):
                self.compute_head(stack, seen)

    def compute_stage(self, stack: Stack, takes: str, stage: Stage, grid: Size) -> str:
        """Add what one stage computes."""
        name, stride = "patch_embeddings.proj", stage.stride
        stream = stack.convolution(name, takes, strides=stride, padding="same")
        stream = self.normed(stack, "patch_embeddings.layer_norm", stream)
        for index in range(stage.depth):
            with stack.block("blocks", index, stream):
                self.compute_block(stack, stage, grid)
            stream = stack.last
        return self.normed(stack, "layer_norm", stream)

    def compute_block(self, stack: Stack, stage: Stage, grid: Size) -> None:
        """Add what one layer computes."""
        width, flat = stage.width, {"target_shape": [-1, stage.width]}
        normed = self.normed(stack, "layernorm_before", "input")
        source, name = normed, "attention.sequence_reduction"
        if stage.reduced > 1:
            smaller = f"{name}.sequence_reduction"
            source = stack.convolution(smaller, normed, strides=stage.reduced)
            source = self.normed(stack, f"{name}.layer_norm", source)
        queries, keys = (
            stack.add("Reshape", f"attention.{name}", takes, **flat)
            for name, takes in (("queries", normed), ("keys", source))
        )
        names = ("attention.q_proj", "attention.k_proj", "attention.v_proj")
        heads, out = Heads(stage.heads, stage.heads, width // stage.heads), "attention.o_proj"
        inner = stack.attention("attention", queries, heads, names, out, causal=False, source=keys)
        inner = stack.add("Reshape", "attention.image", inner, target_shape=[*grid, width])
        middle = stack.sum("attention.sum", "input", inner)
        inner = stack.dense("mlp.fc1", self.normed(stack, "layernorm_after", middle))
        name, groups = "mlp.dwconv.dwconv", width * stage.ratio
        inner = stack.convolution(name, inner, padding="same", groups=groups)
        inner = stack.activated("mlp.activation", inner, self.config.text("hidden_act"))
        stack.sum("mlp.sum", middle, stack.dense("mlp.fc2", inner))

    def compute_head(self, stack: Stack, seen: list[tuple[str, Size]]) -> None:
        """Add what makes labels of the outputs of all stages."""
        width, (_, whole) = self.config.size("decoder_hidden_size"), seen[0]
        parts = []
        for index, (takes, grid) in enumerate(seen):
            name = f"linear_projections.{index}"
            part = stack.dense(f"{name}.proj", takes)
            times = [-(-a // b) for a, b in zip(whole, grid, strict=True)]
            if any(a != b * n for a, b, n in zip(whole, grid, times, strict=True)):
                part = stack.unknown(name, part, "resizing to no multiple", (*whole, width))
            elif index:
                how = {"size": times, "interpolation": "bilinear"}
                part = stack.add("UpSampling2D", name, part, **how)
            parts.append(part)
        stream = stack.add("Concatenate", "joined", parts[::-1], axis=-1)
        stream = stack.batch_norm("batch_norm", stack.convolution("linear_fuse", stream), 1e-5)
        stack.convolution("classifier", stack.activated("activation", stream, "relu"))

    def normed(self, stack: Stack, name: str, takes: str) -> str:
        """Add a normalization."""
        return stack.norm(name, takes, "LayerNorm", 1e-5)
