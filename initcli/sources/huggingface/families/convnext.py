"""ConvNeXt: depthwise convolutions and layer normalization."""

from __future__ import annotations

from typing import ClassVar

from initcli.initializers import Constant
from initcli.sources.huggingface.family import Family
from initcli.sources.huggingface.modules import ZERO, Tensor
from initcli.sources.huggingface.stack import Stack


class ConvNext(Family):
    """ConvNeXt. Liu et al. 2022, arXiv:2201.03545."""

    model_types: ClassVar[tuple[str, ...]] = ("convnext",)
    heads: ClassVar[tuple[str, ...]] = ("ForImageClassification", "Model")
    body_name: ClassVar[str] = "convnext"
    stem_names: ClassVar[tuple[str, str]] = (
        *("embeddings.patch_embeddings", "embeddings.layernorm"),
    )
    """Names of the first convolution and its norm."""
    stages_name: ClassVar[str] = "encoder.stages"
    downsampling: ClassVar[str] = "downsampling_layer"
    layer_names: ClassVar[tuple[str, str, str, str]] = ("dwconv", "layernorm", "pwconv1", "pwconv2")
    scale_name: ClassVar[str] = "layer_scale_parameter"
    last_norm: ClassVar[str] = "layernorm"
    epsilon: ClassVar[float | None] = 1e-6
    """What the norms in front of the last add to a variance; None for that of the last."""

    def describe(self, head: str) -> None:
        config, modules = self.config, self.modules
        config.activation("hidden_act")
        convolution, norm = self.stem_names
        with modules.within("" if head == "Model" else self.body_name):
            width = next((size for size, _ in self.stages), 1)
            kernel = (self.patch, self.patch)
            modules.convolution(convolution, config.size("num_channels"), width, kernel)
            modules.norm(norm, width)
            for stage, (size, depth) in enumerate(self.stages):
                with modules.within(f"{self.stages_name}.{stage}"):
                    if stage:
                        modules.norm(f"{self.downsampling}.0", width)
                        modules.convolution(f"{self.downsampling}.1", width, size, (2, 2))
                    width = size
                    for index in range(depth):
                        with modules.within(f"layers.{index}"):
                            self.layer(width)
            modules.norm(self.last_norm, width)
        if head == "ForImageClassification":
            modules.linear("classifier", width, config.labels)

    @property
    def patch(self) -> int:
        """The size of the first convolution."""
        return self.config.size("patch_size")

    @property
    def stages(self) -> list[tuple[int, int]]:
        """The channels and the number of layers of each stage."""
        sizes = self.config.numbers("hidden_sizes", least=1)
        return list(zip(sizes, self.config.numbers("depths", len(sizes)), strict=False))

    def layer(self, width: int) -> None:
        """Add a depthwise convolution, its norm, and two pointwise convolutions."""
        modules = self.modules
        convolution, norm, into, out = self.layer_names
        scale = self.scale
        if scale is not None:
            tensor = Tensor((width,), Constant(value=scale))
            modules.add("", "Layer", **{self.scale_name: tensor})
        modules.convolution(convolution, 1, width, (7, 7))
        modules.norm(norm, width)
        modules.linear(into, width, 4 * width)
        self.between(4 * width)
        modules.linear(out, 4 * width, width)

    @property
    def scale(self) -> float | None:
        """What the factors behind a layer start as, if there are any."""
        return self.config.number("layer_scale_init_value") or None

    def between(self, width: int) -> None:
        """Add what is between the pointwise convolutions."""

    def compute(self, stack: Stack, head: str) -> None:
        config, (convolution, norm) = self.config, self.stem_names
        image = stack.image("image", *config.pair("image_size"), config.size("num_channels"))
        with stack.within("" if head == "Model" else self.body_name):
            stream = stack.convolution(convolution, image, strides=self.patch)
            stream = self.normed(stack, norm, stream)
            for stage, (_, depth) in enumerate(self.stages):
                scope = f"{self.stages_name}.{stage}"
                if stage:
                    name = f"{scope}.{self.downsampling}"
                    stream = self.normed(stack, f"{name}.0", stream)
                    stream = stack.convolution(f"{name}.1", stream, strides=2)
                for index in range(depth):
                    with stack.block(f"{scope}.layers", index, stream):
                        self.compute_layer(stack)
                    stream = stack.last
            pooled = stack.add("GlobalAveragePooling2D", "pooler", stream)
            epsilon = config.number("layer_norm_eps")
            pooled = stack.norm(self.last_norm, pooled, "LayerNorm", epsilon)
        if head == "ForImageClassification":
            stack.dense("classifier", pooled)

    def compute_layer(self, stack: Stack) -> None:
        """Add what one layer computes."""
        convolution, norm, into, out = self.layer_names
        groups = stack.outputs(convolution)
        stream = stack.convolution(convolution, "input", padding="same", groups=groups)
        stream = stack.dense(into, self.normed(stack, norm, stream), self.config.text("hidden_act"))
        stream = stack.dense(out, self.compute_between(stack, stream))
        if self.scale_name in stack:
            stream = stack.layer_scale(self.scale_name, stream)
        stack.sum("sum", "input", stream)

    def compute_between(self, stack: Stack, takes: str) -> str:
        """Add what is between the pointwise convolutions."""
        return takes

    def normed(self, stack: Stack, name: str, takes: str) -> str:
        """Add a norm in front of the last."""
        epsilon = self.epsilon or self.config.number("layer_norm_eps")
        return stack.norm(name, takes, "LayerNorm", epsilon)


class ConvNextV2(ConvNext):
    """ConvNeXt 2, with global response normalization. Woo et al. 2023, arXiv:2301.00808."""

    model_types = ("convnextv2",)
    body_name = "convnextv2"
    scale = None

    def between(self, width: int) -> None:
        scale = Tensor((1, 1, 1, width), ZERO)
        self.modules.add("grn", "GRN", weight=scale, bias=scale)

    def compute_between(self, stack: Stack, takes: str) -> str:
        stack.leave_out("grn", "global response normalization, which starts as the identity")
        return takes


class Dinov3ConvNext(ConvNext):
    """The ConvNeXt of DINOv3. Siméoni et al. 2025, arXiv:2508.10104."""

    model_types = ("dinov3_convnext",)
    heads = ("Model",)
    defaults = {"hidden_sizes": [96, 192, 384, 768], "depths": [3, 3, 9, 3]}
    stem_names = ("model.stages.0.downsample_layers.0", "model.stages.0.downsample_layers.1")
    stages_name = "model.stages"
    downsampling = "downsample_layers"
    layer_names = ("depthwise_conv", "layer_norm", "pointwise_conv1", "pointwise_conv2")
    scale_name = "gamma"
    last_norm = "layer_norm"
    epsilon = None
    patch = 4

    @property
    def scale(self) -> float:
        return self.config.number("layer_scale_init_value")
