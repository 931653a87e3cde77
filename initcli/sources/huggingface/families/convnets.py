"""Convolutional networks."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import ClassVar

from initcli.initializers import Constant, RandomUniform
from initcli.sources.huggingface.family import Family
from initcli.sources.huggingface.modules import ZERO, Tensor, normal


class ResNet(Family):
    """ResNet. He et al. 2015, arXiv:1512.03385."""

    model_types: ClassVar[tuple[str, ...]] = ("resnet",)
    heads = ("ForImageClassification", "Model")
    body_name: ClassVar[str] = "resnet"
    stem_size: ClassVar[int] = 7
    """The size of the first convolution."""

    def describe(self, head: str) -> None:
        config, modules = self.config, self.modules
        config.activation("hidden_act")
        width, sizes = config.size("embedding_size"), config.numbers("hidden_sizes", least=1)
        depths = config.numbers("depths", len(sizes))
        with modules.within("" if head == "Model" else self.body_name):
            channels = config.size("num_channels")
            self.convolution("embedder.embedder", channels, width, self.stem_size)
            for stage, (size, depth) in enumerate(zip(sizes, depths, strict=False)):
                strided = stage > 0 or config.flag("downsample_in_first_stage")
                for index in range(depth):
                    with modules.within(f"encoder.stages.{stage}.layers.{index}"):
                        self.layer(width, size, has_shortcut=index == 0 and strided)
                    width = size
        if head == "ForImageClassification":
            bound = width**-0.5
            drawn = RandomUniform(minval=-bound, maxval=bound)
            weight = Tensor((config.labels, width), drawn, (1,), (0,))
            bias = Tensor((config.labels,), drawn)
            modules.add("classifier.1", "Linear", weight=weight, bias=bias)

    def layer(self, inputs: int, outputs: int, *, has_shortcut: bool) -> None:
        """Add the convolutions of one layer."""
        if has_shortcut or inputs != outputs:
            self.convolution("shortcut", inputs, outputs, 1)
        if self.config.word("layer_type", ("bottleneck", "basic")) == "basic":
            self.convolution("layer.0", inputs, outputs, 3)
            self.convolution("layer.1", outputs, outputs, 3)
            return
        narrow = max(outputs // 4, 1)
        self.convolution("layer.0", inputs, narrow, 1)
        self.convolution("layer.1", narrow, narrow, 3)
        self.convolution("layer.2", narrow, outputs, 1)

    def convolution(
        self, name: str, inputs: int, outputs: int, kernel: int, groups: int = 1
    ) -> None:
        """Add a convolution that starts as N(0, 2 / fan_out), and its batch normalization."""
        with self.modules.within(name):
            std = math.sqrt(2 / (outputs * kernel**2))
            size, each = (kernel, kernel), inputs // groups
            self.modules.convolution("convolution", each, outputs, size, False, normal(std))
            self.modules.batch_norm("normalization", outputs)


class ConvNext(Family):
    """ConvNeXt. Liu et al. 2022, arXiv:2201.03545."""

    model_types = ("convnext",)
    body_name: ClassVar[str] = "convnext"
    heads = ("ForImageClassification", "Model")

    def describe(self, head: str) -> None:
        config, modules = self.config, self.modules
        config.activation("hidden_act")
        sizes, patch = config.numbers("hidden_sizes", least=1), config.size("patch_size")
        depths, width = config.numbers("depths", len(sizes)), next(iter(sizes), 1)
        with modules.within("" if head == "Model" else self.body_name):
            with modules.within("embeddings"):
                channels = config.size("num_channels")
                modules.convolution("patch_embeddings", channels, width, (patch, patch))
                modules.norm("layernorm", width)
            for stage, (size, depth) in enumerate(zip(sizes, depths, strict=False)):
                with modules.within(f"encoder.stages.{stage}"):
                    if stage:
                        modules.norm("downsampling_layer.0", width)
                        modules.convolution("downsampling_layer.1", width, size, (2, 2))
                    width = size
                    for index in range(depth):
                        with modules.within(f"layers.{index}"):
                            self.layer(width)
            modules.norm("layernorm", width)
        if head == "ForImageClassification":
            modules.linear("classifier", width, config.labels)

    def layer(self, width: int) -> None:
        """Add one layer: a depthwise convolution and two pointwise ones."""
        modules, scale = self.modules, self.config.number("layer_scale_init_value")
        if scale:
            tensor = Tensor((width,), Constant(value=scale))
            modules.add("", "ConvNextLayer", layer_scale_parameter=tensor)
        modules.convolution("dwconv", 1, width, (7, 7))
        modules.norm("layernorm", width)
        modules.linear("pwconv1", width, 4 * width)
        modules.linear("pwconv2", 4 * width, width)


class ConvNextV2(ConvNext):
    """ConvNeXt 2, with global response normalization. Woo et al. 2023, arXiv:2301.00808."""

    model_types = ("convnextv2",)
    body_name = "convnextv2"

    def layer(self, width: int) -> None:
        modules, scale = self.modules, Tensor((1, 1, 1, 4 * width), ZERO)
        modules.convolution("dwconv", 1, width, (7, 7))
        modules.norm("layernorm", width)
        modules.linear("pwconv1", width, 4 * width)
        modules.add("grn", "GRN", weight=scale, bias=scale)
        modules.linear("pwconv2", 4 * width, width)


class MobileNetV2(Family):
    """MobileNet 2. Sandler et al. 2018, arXiv:1801.04381."""

    model_types = ("mobilenet_v2",)
    heads = ("ForImageClassification", "Model")
    sizes: ClassVar[tuple[int, ...]] = (
        *(16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160, 320),
    )

    def describe(self, head: str) -> None:
        config, modules = self.config, self.modules
        config.activation("hidden_act")
        sizes, stem = [self.scaled(each) for each in self.sizes], self.scaled(32)
        is_fine = config.flag("finegrained_output") and config.number("depth_multiplier") < 1
        last = 1280 if is_fine else self.scaled(1280)
        with modules.within("" if head == "Model" else "mobilenet_v2"):
            with modules.within("conv_stem"):
                self.convolution("first_conv", config.size("num_channels"), stem, 3)
                if not config.flag("first_layer_is_expansion"):
                    self.convolution("expand_1x1", stem, stem, 1)
                self.convolution("conv_3x3", 1, stem, 3)
                self.convolution("reduce_1x1", stem, sizes[0], 1)
            for index, (inputs, outputs) in enumerate(pairwise(sizes)):
                inner = self.divisible(round(inputs * config.number("expand_ratio")))
                with modules.within(f"layer.{index}"):
                    self.convolution("expand_1x1", inputs, inner, 1)
                    self.convolution("conv_3x3", 1, inner, 3)
                    self.convolution("reduce_1x1", inner, outputs, 1)
            self.convolution("conv_1x1", sizes[-1], last, 1)
        if head == "ForImageClassification":
            modules.linear("classifier", last, config.labels)

    def convolution(self, name: str, inputs: int, outputs: int, kernel: int) -> None:
        """Add a convolution and its batch normalization."""
        with self.modules.within(name):
            self.modules.convolution("convolution", inputs, outputs, (kernel, kernel), False)
            self.modules.batch_norm("normalization", outputs)

    def scaled(self, channels: int) -> int:
        """So many channels, multiplied for the configuration."""
        return self.divisible(round(channels * self.config.number("depth_multiplier")))

    def divisible(self, channels: int) -> int:
        """The nearest multiple of a divisor that is not much smaller."""
        step, least = self.config.size("depth_divisible_by"), self.config.size("min_depth")
        return max(_rounded(channels, step, least), 1)


class EfficientNet(Family):
    """EfficientNet. Tan and Le 2019, arXiv:1905.11946."""

    model_types = ("efficientnet",)
    heads = ("ForImageClassification", "Model")

    def describe(self, head: str) -> None:
        config, modules = self.config, self.modules
        config.activation("hidden_act")
        width, hidden = self.scaled(32), config.size("hidden_dim")
        with modules.within("" if head == "Model" else "efficientnet"):
            channels = config.size("num_channels")
            modules.convolution("embeddings.convolution", channels, width, (3, 3), False)
            self.batch_norm("embeddings.batchnorm", width)
            with modules.within("encoder"):
                last = self.blocks()
                top = self.scaled(1280)
                modules.convolution("top_conv", last, top, (1, 1), False)
                self.batch_norm("top_bn", hidden)
        if head == "ForImageClassification":
            modules.linear("classifier", hidden, config.labels)

    def blocks(self) -> int:
        """Add the blocks; returns the width of the last."""
        config, index, outputs = self.config, 0, 1
        inputs = config.numbers("in_channels", least=1)
        keys = ("out_channels", "kernel_sizes", "expand_ratios", "num_block_repeats")
        lists = (config.numbers(key, len(inputs), 1) for key in keys)
        for size, out, kernel, ratio, repeats in zip(inputs, *lists, strict=False):
            width, outputs = self.scaled(size), self.scaled(out)
            for _ in range(math.ceil(config.number("depth_coefficient") * repeats)):
                with self.modules.within(f"blocks.{index}"):
                    self.block(width, outputs, kernel, ratio)
                width, index = outputs, index + 1
        return outputs

    def block(self, width: int, outputs: int, kernel: int, ratio: int) -> None:
        """Add one block."""
        modules, inner = self.modules, width * ratio
        if ratio != 1:
            modules.convolution("expansion.expand_conv", width, inner, (1, 1), False)
            self.batch_norm("expansion.expand_bn", inner)
        with modules.within("depthwise_conv"):
            modules.convolution("depthwise_conv", 1, inner, (kernel, kernel), False)
            self.batch_norm("depthwise_norm", inner)
        squeezed = max(1, int(width * self.config.number("squeeze_expansion_ratio")))
        modules.convolution("squeeze_excite.reduce", inner, squeezed, (1, 1))
        modules.convolution("squeeze_excite.expand", squeezed, inner, (1, 1))
        modules.convolution("projection.project_conv", inner, outputs, (1, 1), False)
        self.batch_norm("projection.project_bn", outputs)

    def batch_norm(self, name: str, width: int) -> None:
        """Add a batch normalization, of which the scale is drawn."""
        self.modules.batch_norm(name, width, normal(self.modules.std))

    def scaled(self, channels: int) -> int:
        """So many channels, multiplied for the configuration and rounded."""
        step = self.config.size("depth_divisor")
        return _rounded(channels * self.config.number("width_coefficient"), step, step)


def _rounded(size: float, step: int, least: int) -> int:
    """The nearest multiple of ``step``, at least ``least``, and not below 0.9 of the size."""
    rounded = max(least, int(size + step / 2) // step * step)
    return rounded + step if rounded < 0.9 * size else rounded
