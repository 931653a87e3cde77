"""Convolutional networks with batch normalization."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple

from initcli.initializers import RandomUniform
from initcli.sources.huggingface.family import Family
from initcli.sources.huggingface.modules import Tensor, normal
from initcli.sources.huggingface.stack import Stack


class ConvNet(Family):
    """Convolutions, each with batch normalization, then global pooling and a classifier."""

    model_types: ClassVar[tuple[str, ...]] = ()
    heads = ("ForImageClassification", "Model")
    body_name: ClassVar[str] = ""
    epsilon_key: ClassVar[str] = "layer_norm_eps"
    classifier_name: ClassVar[str] = "classifier"

    def describe(self, head: str) -> None:
        self.config.activation("hidden_act")
        with self.modules.within("" if head == "Model" else self.body_name):
            width = self.body()
        if head == "ForImageClassification":
            self.classifier(width)

    def body(self) -> int:
        """Add all but the classifier; returns the number of channels."""
        raise NotImplementedError

    def classifier(self, width: int) -> None:
        """Add the classifier."""
        self.modules.linear(self.classifier_name, width, self.config.labels)

    def convolution(
        self, name: str, inputs: int, outputs: int, kernel: int, groups: int = 1
    ) -> None:
        """Add a convolution and its batch normalization."""
        with self.modules.within(name):
            size, each = (kernel, kernel), inputs // groups
            self.modules.convolution("convolution", each, outputs, size, False)
            self.modules.batch_norm("normalization", outputs)

    def compute(self, stack: Stack, head: str) -> None:
        height, width = self.config.pair("image_size")
        image = stack.image("image", height, width, self.config.size("num_channels"))
        with stack.within("" if head == "Model" else self.body_name):
            pooled = self.pooled(stack, self.compute_body(stack, image))
        if head == "ForImageClassification":
            stack.dense(self.classifier_name, pooled)

    def compute_body(self, stack: Stack, image: str) -> str:
        """Add all but pooling and the classifier."""
        raise NotImplementedError

    def pooled(self, stack: Stack, takes: str) -> str:
        """Add pooling over all positions."""
        return stack.add("GlobalAveragePooling2D", "pooler", takes)

    def convolved(
        self, stack: Stack, name: str, takes: str, *, activation: bool = True, **how: Any
    ) -> str:
        """Add a convolution, its batch normalization and an activation."""
        names = f"{name}.convolution", f"{name}.normalization"
        return self.normalized(stack, names, takes, activation=activation, **how)

    def normalized(
        self,
        stack: Stack,
        names: tuple[str, str],
        takes: str,
        *,
        activation: bool = True,
        **how: Any,
    ) -> str:
        """Add a convolution and a batch normalization of those names, and an activation."""
        convolution, norm = names
        stream = stack.convolution(convolution, takes, padding="same", **how)
        stream = stack.batch_norm(norm, stream, self.config.number(self.epsilon_key))
        return self.activated(stack, convolution, stream) if activation else stream

    def activated(self, stack: Stack, name: str, takes: str) -> str:
        """Add the model's activation."""
        return stack.activated(f"{name}.activation", takes, self.config.text("hidden_act"))

    def squeezed(self, stack: Stack, names: tuple[str, str], takes: str, activation: str) -> str:
        """Add squeeze-and-excitation, a factor of each channel (arXiv:1709.01507)."""
        reduce, expand = names
        mean = stack.add("GlobalAveragePooling2D", f"{reduce}.mean", takes, keepdims=True)
        narrow = stack.convolution(reduce, mean, activation=activation)
        factor = stack.convolution(expand, narrow, activation="sigmoid")
        return stack.product(f"{expand}.product", takes, factor)


class ResNet(ConvNet):
    """ResNet. He et al. 2015, arXiv:1512.03385."""

    model_types = ("resnet",)
    defaults = {"image_size": 224, "layer_norm_eps": 1e-5}
    body_name = "resnet"
    stem_size: ClassVar[int] = 7
    """The size of the first convolution."""
    classifier_name = "classifier.1"

    def body(self) -> int:
        config = self.config
        channels, width = config.size("num_channels"), config.size("embedding_size")
        self.convolution("embedder.embedder", channels, width, self.stem_size)
        for stage, index, size, stride in self.layers:
            with self.modules.within(f"encoder.stages.{stage}.layers.{index}"):
                if stride > 1 or width != size:
                    self.convolution("shortcut", width, size, 1)
                self.layer(width, size)
            width = size
        return width

    @property
    def layers(self) -> Iterator[tuple[int, int, int, int]]:
        """The stage of each layer, its number there, its channels and its stride."""
        config = self.config
        sizes = config.numbers("hidden_sizes", least=1)
        depths = config.numbers("depths", len(sizes))
        for stage, (size, depth) in enumerate(zip(sizes, depths, strict=False)):
            strided = stage > 0 or config.flag("downsample_in_first_stage")
            for index in range(depth):
                yield stage, index, size, 2 if strided and index == 0 else 1

    def layer(self, inputs: int, outputs: int) -> None:
        """Add the convolutions of one layer."""
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
        with self.modules.filled_by(math.sqrt(2 / (outputs * kernel**2))):
            super().convolution(name, inputs, outputs, kernel, groups)

    def classifier(self, width: int) -> None:
        bound = width**-0.5
        drawn = RandomUniform(minval=-bound, maxval=bound)
        labels = self.config.labels
        weight, bias = Tensor((labels, width), drawn, (1,), (0,)), Tensor((labels,), drawn)
        self.modules.add(self.classifier_name, "Linear", weight=weight, bias=bias)

    def compute_body(self, stack: Stack, image: str) -> str:
        stream = self.compute_stem(stack, image)
        for stage, index, _, stride in self.layers:
            with stack.block(f"encoder.stages.{stage}.layers", index, stream):
                inner = self.compute_layer(stack, stride)
                outer = "input"
                if "shortcut.convolution" in stack:
                    how: dict[str, Any] = {"activation": False, "strides": stride}
                    outer = self.convolved(stack, "shortcut", outer, **how)
                self.activated(stack, "sum", stack.sum("sum", inner, outer))
            stream = stack.last
        return stream

    def compute_stem(self, stack: Stack, image: str) -> str:
        """Add the layers in front of the first stage."""
        stream = self.convolved(stack, "embedder.embedder", image, strides=2)
        how = {"pool_size": 3, "strides": 2, "padding": "same"}
        return stack.add("MaxPooling2D", "embedder.pooler", stream, **how)

    def compute_layer(self, stack: Stack, stride: int) -> str:
        """Add the convolutions of one layer."""
        names = [
            name for name in ("layer.0", "layer.1", "layer.2") if f"{name}.convolution" in stack
        ]
        is_basic = len(names) == 2
        strided = names[0 if is_basic or self.config.flag("downsample_in_bottleneck") else 1]
        stream = "input"
        for name in names:
            how: dict[str, Any] = {"activation": name != names[-1]}
            stream = self.convolved(
                stack, name, stream, strides=stride if name == strided else 1, **how
            )
        return stream


class RegNet(ResNet):
    """RegNet. Radosavovic et al. 2020, arXiv:2003.13678."""

    model_types = ("regnet",)
    body_name = "regnet"
    stem_size = 3

    def layer(self, inputs: int, outputs: int) -> None:
        self.convolution("layer.0", inputs, outputs, 1)
        self.convolution("layer.1", outputs, outputs, 3, self.groups(outputs))
        last = "layer.2"
        if self.config.word("layer_type", ("y", "x")) == "y":
            self.squeeze("layer.2.attention", outputs, max(round(inputs / 4), 1))
            last = "layer.3"
        self.convolution(last, outputs, outputs, 1)

    def groups(self, width: int) -> int:
        """The number of groups of so many channels."""
        return max(1, width // self.config.size("groups_width"))

    def squeeze(self, name: str, width: int, narrow: int) -> None:
        """Add squeeze-and-excitation."""
        for index, inputs, outputs in ((0, width, narrow), (2, narrow, width)):
            drawn, bound = normal(math.sqrt(2 / outputs)), inputs**-0.5
            weight = Tensor((outputs, inputs, 1, 1), drawn, (1, 2, 3), (0, 2, 3))
            bias = Tensor((outputs,), RandomUniform(minval=-bound, maxval=bound))
            self.modules.add(f"{name}.{index}", "Conv2d", weight=weight, bias=bias)

    def compute_stem(self, stack: Stack, image: str) -> str:
        return self.convolved(stack, "embedder.embedder", image, strides=2)

    def compute_layer(self, stack: Stack, stride: int) -> str:
        stream = self.convolved(stack, "layer.0", "input")
        groups = self.groups(stack.outputs("layer.1.convolution"))
        stream = self.convolved(stack, "layer.1", stream, strides=stride, groups=groups)
        if "layer.3.convolution" not in stack:
            return self.convolved(stack, "layer.2", stream, activation=False)
        names = "layer.2.attention.0", "layer.2.attention.2"
        stream = self.squeezed(stack, names, stream, "relu")
        return self.convolved(stack, "layer.3", stream, activation=False)


class MobileNetV1(ConvNet):
    """MobileNet 1. Howard et al. 2017, arXiv:1704.04861."""

    model_types = ("mobilenet_v1",)
    body_name = "mobilenet_v1"
    layers: ClassVar[tuple[tuple[int, int], ...]] = (
        *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
        *((512, 1),) * 5,
        *((1024, 2), (1024, 1)),
    )
    """Channels and stride of each pair of a depthwise and a pointwise convolution."""

    def body(self) -> int:
        width = self.scaled(32)
        self.convolution("conv_stem", self.config.size("num_channels"), width, 3)
        for index, (size, _) in enumerate(self.layers):
            self.convolution(f"layer.{2 * index}", width, width, 3, groups=width)
            self.convolution(f"layer.{2 * index + 1}", width, size := self.scaled(size), 1)
            width = size
        return width

    def scaled(self, channels: int) -> int:
        """So many channels, multiplied for the configuration."""
        size = int(channels * self.config.number("depth_multiplier"))
        return max(size, self.config.size("min_depth"))

    def compute_body(self, stack: Stack, image: str) -> str:
        stream = self.convolved(stack, "conv_stem", image, strides=2)
        for index, (_, stride) in enumerate(self.layers):
            name = f"layer.{2 * index}"
            groups = stack.outputs(f"{name}.convolution")
            stream = self.convolved(stack, name, stream, strides=stride, groups=groups)
            stream = self.convolved(stack, f"layer.{2 * index + 1}", stream)
        return stream


class MobileNetV2(ConvNet):
    """MobileNet 2. Sandler et al. 2018, arXiv:1801.04381."""

    model_types = ("mobilenet_v2",)
    body_name = "mobilenet_v2"
    sizes: ClassVar[tuple[int, ...]] = (
        *(16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160, 320),
    )
    strides: ClassVar[tuple[int, ...]] = (2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1)

    def body(self) -> int:
        config = self.config
        sizes, stem = [self.scaled(each) for each in self.sizes], self.scaled(32)
        is_fine = config.flag("finegrained_output") and config.number("depth_multiplier") < 1
        last = 1280 if is_fine else self.scaled(1280)
        with self.modules.within("conv_stem"):
            self.convolution("first_conv", config.size("num_channels"), stem, 3)
            if not config.flag("first_layer_is_expansion"):
                self.convolution("expand_1x1", stem, stem, 1)
            self.convolution("conv_3x3", stem, stem, 3, groups=stem)
            self.convolution("reduce_1x1", stem, sizes[0], 1)
        for index, (inputs, outputs) in enumerate(pairwise(sizes)):
            inner = self.divisible(round(inputs * config.number("expand_ratio")))
            with self.modules.within(f"layer.{index}"):
                self.convolution("expand_1x1", inputs, inner, 1)
                self.convolution("conv_3x3", inner, inner, 3, groups=inner)
                self.convolution("reduce_1x1", inner, outputs, 1)
        self.convolution("conv_1x1", sizes[-1], last, 1)
        return last

    def scaled(self, channels: int) -> int:
        """So many channels, multiplied for the configuration."""
        return self.divisible(round(channels * self.config.number("depth_multiplier")))

    def divisible(self, channels: int) -> int:
        """The nearest multiple of a divisor that is not much smaller."""
        step, least = self.config.size("depth_divisible_by"), self.config.size("min_depth")
        return max(_rounded(channels, step, least), 1)

    def compute_body(self, stack: Stack, image: str) -> str:
        with stack.within("conv_stem"):
            stream = self.convolved(stack, "first_conv", image, strides=2)
            stream = self.separated(stack, stream)
        for index, how in enumerate(self.strided()):
            inputs, outputs = map(self.scaled, self.sizes[index : index + 2])
            with stack.block("layer", index, stream):
                inner = self.separated(stack, "input", **how)
                if inputs == outputs and how.get("strides", 1) == 1:
                    stack.sum("sum", "input", inner)
            stream = stack.last
        return self.convolved(stack, "conv_1x1", stream)

    def strided(self) -> Iterator[dict[str, int]]:
        """The stride of each block, or its dilation once the image is small enough."""
        least, reached, dilation = self.config.size("output_stride"), 2, 1
        for stride in self.strides:
            if reached == least:
                yield {"dilation_rate": dilation}
                dilation *= stride
            else:
                yield {"strides": stride}
                reached *= stride

    def separated(self, stack: Stack, takes: str, **how: Any) -> str:
        """Add a pointwise, a depthwise and a pointwise convolution."""
        if "expand_1x1.convolution" in stack:
            takes = self.convolved(stack, "expand_1x1", takes)
        groups = stack.outputs("conv_3x3.convolution")
        stream = self.convolved(stack, "conv_3x3", takes, groups=groups, **how)
        return self.convolved(stack, "reduce_1x1", stream, activation=False)


class Block(NamedTuple):
    """A block of EfficientNet."""

    inputs: int
    outputs: int
    kernel: int
    ratio: int
    stride: int
    is_first: bool
    """Whether it is the first of its stage, which adds nothing to its input."""


class EfficientNet(ConvNet):
    """EfficientNet. Tan and Le 2019, arXiv:1905.11946."""

    model_types = ("efficientnet",)
    body_name = "efficientnet"
    epsilon_key = "batch_norm_eps"

    def body(self) -> int:
        config, modules = self.config, self.modules
        width, hidden = self.scaled(32), config.size("hidden_dim")
        channels, last = config.size("num_channels"), 1
        modules.convolution("embeddings.convolution", channels, width, (3, 3), False)
        self.batch_norm("embeddings.batchnorm", width)
        with modules.within("encoder"):
            for index, block in enumerate(self.blocks):
                with modules.within(f"blocks.{index}"):
                    self.block(block)
                last = block.outputs
            modules.convolution("top_conv", last, self.scaled(1280), (1, 1), False)
            self.batch_norm("top_bn", hidden)
        return hidden

    @property
    def blocks(self) -> Iterator[Block]:
        """The blocks in order."""
        config = self.config
        inputs = config.numbers("in_channels", least=1)
        keys = ("out_channels", "kernel_sizes", "expand_ratios", "strides", "num_block_repeats")
        lists = (config.numbers(key, len(inputs), 1) for key in keys)
        for size, out, kernel, ratio, stride, repeats in zip(inputs, *lists, strict=False):
            width, outputs = self.scaled(size), self.scaled(out)
            yield Block(width, outputs, kernel, ratio, stride, True)
            for _ in range(1, math.ceil(config.number("depth_coefficient") * repeats)):
                yield Block(outputs, outputs, kernel, ratio, 1, False)

    def block(self, block: Block) -> None:
        """Add one block."""
        modules, width, kernel = self.modules, block.inputs, (block.kernel, block.kernel)
        inner = width * block.ratio
        if block.ratio != 1:
            modules.convolution("expansion.expand_conv", width, inner, (1, 1), False)
            self.batch_norm("expansion.expand_bn", inner)
        with modules.within("depthwise_conv"):
            modules.convolution("depthwise_conv", 1, inner, kernel, False)
            self.batch_norm("depthwise_norm", inner)
        squeezed = max(1, int(width * self.config.number("squeeze_expansion_ratio")))
        modules.convolution("squeeze_excite.reduce", inner, squeezed, (1, 1))
        modules.convolution("squeeze_excite.expand", squeezed, inner, (1, 1))
        modules.convolution("projection.project_conv", inner, block.outputs, (1, 1), False)
        self.batch_norm("projection.project_bn", block.outputs)

    def batch_norm(self, name: str, width: int) -> None:
        """Add a batch normalization, of which the scale is drawn."""
        self.modules.batch_norm(name, width, normal(self.modules.std))

    def scaled(self, channels: int) -> int:
        """So many channels, multiplied for the configuration and rounded."""
        step = self.config.size("depth_divisor")
        return _rounded(channels * self.config.number("width_coefficient"), step, step)

    def compute_body(self, stack: Stack, image: str) -> str:
        names = "embeddings.convolution", "embeddings.batchnorm"
        stream = self.normalized(stack, names, image, strides=2)
        with stack.within("encoder"):
            for index, block in enumerate(self.blocks):
                with stack.block("blocks", index, stream):
                    self.compute_block(stack, block)
                stream = stack.last
            return self.normalized(stack, ("top_conv", "top_bn"), stream)

    def compute_block(self, stack: Stack, block: Block) -> None:
        """Add what one block computes."""
        stream, inner = "input", block.inputs * block.ratio
        if block.ratio != 1:
            names = "expansion.expand_conv", "expansion.expand_bn"
            stream = self.normalized(stack, names, stream)
        names = "depthwise_conv.depthwise_conv", "depthwise_conv.depthwise_norm"
        stream = self.normalized(stack, names, stream, strides=block.stride, groups=inner)
        names = "squeeze_excite.reduce", "squeeze_excite.expand"
        stream = self.squeezed(stack, names, stream, self.config.text("hidden_act"))
        names = "projection.project_conv", "projection.project_bn"
        stream = self.normalized(stack, names, stream, activation=False)
        if block.stride == 1 and not block.is_first:
            stack.sum("sum", "input", stream)

    def pooled(self, stack: Stack, takes: str) -> str:
        kind = {"mean": "Average", "max": "Max"}[self.config.word("pooling_type", ("mean", "max"))]
        return stack.add(f"Global{kind}Pooling2D", "pooler", takes)


def _rounded(size: float, step: int, least: int) -> int:
    """The nearest multiple of ``step``, at least ``least``, and not below 0.9 of the size."""
    rounded = max(least, int(size + step / 2) // step * step)
    return rounded + step if rounded < 0.9 * size else rounded
