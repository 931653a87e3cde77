"""Networks for images in stages, with convolutions or with attention."""

from __future__ import annotations

import math

from initcli.initializers import Constant, RandomUniform
from initcli.sources.huggingface.families.convnets import ResNet
from initcli.sources.huggingface.family import Family
from initcli.sources.huggingface.modules import Tensor, normal


class RegNet(ResNet):
    """RegNet. Radosavovic et al. 2020, arXiv:2003.13678."""

    model_types = ("regnet",)
    body_name = "regnet"
    stem_size = 3

    def layer(self, inputs: int, outputs: int, *, has_shortcut: bool) -> None:
        each = self.config.size("groups_width")
        groups = max(1, outputs // each)
        if has_shortcut or inputs != outputs:
            self.convolution("shortcut", inputs, outputs, 1)
        self.convolution("layer.0", inputs, outputs, 1)
        self.convolution("layer.1", outputs, outputs, 3, groups)
        last = "layer.2"
        if self.config.word("layer_type", ("y", "x")) == "y":
            self.squeeze("layer.2.attention", outputs, max(round(inputs / 4), 1))
            last = "layer.3"
        self.convolution(last, outputs, outputs, 1)

    def squeeze(self, name: str, width: int, narrow: int) -> None:
        """Add what weighs channels by the mean of each."""
        for index, inputs, outputs in ((0, width, narrow), (2, narrow, width)):
            drawn, bound = normal(math.sqrt(2 / outputs)), inputs**-0.5
            weight = Tensor((outputs, inputs, 1, 1), drawn, (1, 2, 3), (0, 2, 3))
            bias = Tensor((outputs,), RandomUniform(minval=-bound, maxval=bound))
            self.modules.add(f"{name}.{index}", "Conv2d", weight=weight, bias=bias)


class MobileNetV1(Family):
    """MobileNet 1. Howard et al. 2017, arXiv:1704.04861."""

    model_types = ("mobilenet_v1",)
    heads = ("ForImageClassification", "Model")

    def describe(self, head: str) -> None:
        config, modules = self.config, self.modules
        config.activation("hidden_act")
        width = self.scaled(32)
        with modules.within("" if head == "Model" else "mobilenet_v1"):
            self.convolution("conv_stem", config.size("num_channels"), width, 3)
            sizes = (64, 128, 128, 256, 256, *(512,) * 6, 1024, 1024)
            for index, size in enumerate(map(self.scaled, sizes)):
                self.convolution(f"layer.{2 * index}", 1, width, 3)
                self.convolution(f"layer.{2 * index + 1}", width, size, 1)
                width = size
        if head == "ForImageClassification":
            modules.linear("classifier", width, config.labels)

    def convolution(self, name: str, inputs: int, outputs: int, kernel: int) -> None:
        """Add a convolution and its batch normalization."""
        with self.modules.within(name):
            self.modules.convolution("convolution", inputs, outputs, (kernel, kernel), False)
            self.modules.batch_norm("normalization", outputs)

    def scaled(self, channels: int) -> int:
        """So many channels, multiplied for the configuration."""
        size = int(channels * self.config.number("depth_multiplier"))
        return max(size, self.config.size("min_depth"))


class Dinov3ConvNext(Family):
    """The ConvNeXt of DINOv3. Siméoni et al. 2025, arXiv:2508.10104."""

    model_types = ("dinov3_convnext",)
    heads = ("Model",)

    def describe(self, head: str) -> None:
        config, modules = self.config, self.modules
        config.activation("hidden_act")
        sizes, width = config.numbers("hidden_sizes", least=1), config.size("num_channels")
        depths = config.numbers("depths", len(sizes))
        scale = config.number("layer_scale_init_value")
        for stage, (size, depth) in enumerate(zip(sizes, depths, strict=False)):
            with modules.within(f"model.stages.{stage}"):
                kernel = (2, 2) if stage else (4, 4)
                if stage:
                    modules.norm("downsample_layers.0", width)
                name = "downsample_layers.1" if stage else "downsample_layers.0"
                modules.convolution(name, width, size, kernel)
                if not stage:
                    modules.norm("downsample_layers.1", size)
                for index in range(depth):
                    with modules.within(f"layers.{index}"):
                        self.layer(size, scale)
            width = size
        modules.norm("layer_norm", width)

    def layer(self, width: int, scale: float) -> None:
        """Add one layer: a depthwise convolution and two pointwise ones."""
        modules = self.modules
        if scale:
            gamma = Tensor((width,), Constant(value=scale))
            modules.add("", "Layer", gamma=gamma)
        modules.convolution("depthwise_conv", 1, width, (7, 7))
        modules.norm("layer_norm", width)
        modules.linear("pointwise_conv1", width, 4 * width)
        modules.linear("pointwise_conv2", 4 * width, width)


class Segformer(Family):
    """SegFormer. Xie et al. 2021, arXiv:2105.15203."""

    model_types = ("segformer",)
    heads = ("ForSemanticSegmentation", "Model", "ForImageClassification")

    def describe(self, head: str) -> None:
        config, modules = self.config, self.modules
        config.activation("hidden_act")
        count = config.size("num_encoder_blocks")
        sizes = config.numbers("hidden_sizes", count, 1)
        with modules.within("" if head == "Model" else "segformer"):
            self.stages(count, sizes)
        if head == "ForImageClassification":
            modules.linear("classifier", (*sizes, 1)[-2], config.labels)
        elif head == "ForSemanticSegmentation":
            width = config.size("decoder_hidden_size")
            with modules.within("decode_head"):
                for index, size in enumerate(sizes):
                    modules.linear(f"linear_projections.{index}.proj", size, width)
                modules.convolution("linear_fuse", count * width, width, (1, 1), False)
                modules.batch_norm("batch_norm", width)
                modules.convolution("classifier", width, config.labels, (1, 1))

    def stages(self, count: int, sizes: tuple[int, ...]) -> None:
        """Add the stages."""
        config, modules, inputs = self.config, self.modules, self.config.size("num_channels")
        keys = ("depths", "sr_ratios", "patch_sizes", "num_attention_heads")
        lists = (config.numbers(key, count, 1) for key in keys)
        ratios = config.numbers("mlp_ratios", count, 1)
        every = zip(sizes, ratios, *lists, strict=False)
        for index, (width, ratio, depth, reduced, patch, heads) in enumerate(every):
            with modules.within(f"stages.{index}"):
                name = "patch_embeddings"
                modules.convolution(f"{name}.proj", inputs, width, (patch, patch))
                modules.norm(f"{name}.layer_norm", width)
                for block in range(depth):
                    with modules.within(f"blocks.{block}"):
                        self.block(width, ratio * width, reduced, width // heads * heads)
                modules.norm("layer_norm", width)
            inputs = width

    def block(self, width: int, inner: int, reduced: int, queries: int) -> None:
        """Add attention to a smaller image, and a feed-forward layer with a convolution."""
        modules = self.modules
        with modules.within("attention"):
            for name in ("q_proj", "k_proj", "v_proj"):
                modules.linear(name, width, queries)
            modules.linear("o_proj", queries, width)
            if reduced > 1:
                kernel = (reduced, reduced)
                modules.convolution("sequence_reduction.sequence_reduction", width, width, kernel)
                modules.norm("sequence_reduction.layer_norm", width)
        modules.norm("layernorm_before", width)
        modules.norm("layernorm_after", width)
        modules.linear("mlp.fc1", width, inner)
        modules.convolution("mlp.dwconv.dwconv", 1, inner, (3, 3))
        modules.linear("mlp.fc2", inner, width)
