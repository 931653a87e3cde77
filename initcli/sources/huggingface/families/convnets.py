"""Convolutional networks."""

from __future__ import annotations

import math
from typing import ClassVar

from initcli.initializers import Constant, RandomUniform
from initcli.sources.huggingface.family import Family
from initcli.sources.huggingface.modules import ONE, ZERO, Tensor, normal


class ResNet(Family):
    """ResNet. He et al. 2015, arXiv:1512.03385."""

    model_types = ("resnet",)
    heads = ("ForImageClassification", "Model")

    def describe(self, head: str) -> None:
        config, modules = self.config, self.modules
        config.activation("hidden_act")
        width, sizes = config.size("embedding_size"), config.numbers("hidden_sizes", least=1)
        depths = config.numbers("depths", len(sizes))
        with modules.within("" if head == "Model" else "resnet"):
            channels = config.size("num_channels")
            self.convolution("embedder.embedder", channels, width, 7)
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

    def convolution(self, name: str, inputs: int, outputs: int, kernel: int) -> None:
        """Add a convolution that starts as N(0, 2 / fan_out), and its batch normalization."""
        with self.modules.within(name):
            std = math.sqrt(2 / (outputs * kernel**2))
            size = (kernel, kernel)
            self.modules.convolution("convolution", inputs, outputs, size, False, normal(std))
            self.modules.add(
                "normalization",
                "BatchNorm2d",
                weight=Tensor((outputs,), ONE),
                bias=Tensor((outputs,), ZERO),
                running_mean=Tensor((outputs,), ZERO, trainable=False),
                running_var=Tensor((outputs,), ONE, trainable=False),
                num_batches_tracked=Tensor((), ZERO, trainable=False, dtype="int64"),
            )


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
