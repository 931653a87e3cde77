"""Vision transformers, and the two towers of CLIP."""

from __future__ import annotations

import math
from typing import ClassVar

from initcli.initializers import Constant, Initializer, TruncatedNormal
from initcli.sources.huggingface.entries import NotComputed
from initcli.sources.huggingface.family import Family
from initcli.sources.huggingface.modules import ZERO, Tensor, normal
from initcli.sources.huggingface.stack import Heads, Stack
from initcli.types import Size

AT_ZERO = "the biases of relative positions, which start at 0"


def bounded_normal(std: float) -> Initializer:
    """N(0, std²) truncated to [−2, 2], PyTorch's default bounds."""
    if not std:
        return ZERO
    return TruncatedNormal(mean=0.0, stddev=std, lower=-2 / std, upper=2 / std)


class Vit(Family):
    """ViT. Dosovitskiy et al. 2020, arXiv:2010.11929."""

    model_types: ClassVar[tuple[str, ...]] = ("vit",)
    heads: ClassVar[tuple[str, ...]] = ("ForImageClassification", "Model")
    body_name: ClassVar[str] = "vit"
    extra_tokens: ClassVar[tuple[str, ...]] = ("cls_token",)
    """Names of the tokens beside those of the patches, in order."""
    blocks: ClassVar[str] = "layers"
    """Name of the layers."""
    block_norms: ClassVar[tuple[str, str]] = ("layernorm_before", "layernorm_after")
    layer_scales: ClassVar[tuple[str, ...]] = ()
    """Names of the scales behind attention and feed-forward layer, if there are any."""
    attention_names: ClassVar[tuple[str, str, str, str]] = (
        *("attention.q_proj", "attention.k_proj", "attention.v_proj", "attention.o_proj"),
    )
    mlp_names: ClassVar[tuple[str, str]] = ("mlp.fc1", "mlp.fc2")
    last_norm: ClassVar[str] = "layernorm"
    projection_name: ClassVar[str] = "patch_embeddings.projection"
    has_zero_tokens: ClassVar[bool] = False
    """Whether tokens and positions start at 0."""
    has_pooler: ClassVar[bool] = True
    """Whether the bare model ends with a pooler."""
    has_bounds: ClassVar[bool] = False
    """Whether the initializer of projections is truncated to [−2, 2]."""

    def describe(self, head: str) -> None:
        config, modules, width = self.config, self.modules, self.config.size("hidden_size")
        config.activation("hidden_act")
        config.quotient("hidden_size", "num_attention_heads")
        with modules.within("" if head == "Model" else self.body_name):
            self.embeddings(width)
            for index in range(config.size("num_hidden_layers", 0)):
                self.layer(index, width)
            if self.last_norm:
                modules.norm(self.last_norm, width)
            if head == "Model" and self.has_pooler:
                size = config.optional_size("pooler_output_size") or width
                modules.linear("pooler.dense", width, size)
        self.task(head, width)

    def task(self, head: str, width: int) -> None:
        """Add the head of a class."""
        config, modules = self.config, self.modules
        match head:
            case "ForImageClassification" | "ForVideoClassification":
                self.linear("classifier", width, config.labels)
            case "ForImageClassificationWithTeacher":
                modules.linear("cls_classifier", width, config.labels)
                modules.linear("distillation_classifier", width, config.labels)

    def compute(self, stack: Stack, head: str) -> None:
        with stack.within("" if head == "Model" else self.body_name):
            stream = self.compute_body(stack)
            pooled = self.compute_pooled(stack, stream, head)
        match head:
            case "ForImageClassification" | "ForVideoClassification":
                stack.dense("classifier", pooled)
            case "ForImageClassificationWithTeacher":
                names = ("cls_classifier", "distillation_classifier")
                both = [stack.dense(x, stack.one(x, stream, i)) for i, x in enumerate(names)]
                stack.add("Average", "logits", both)

    def compute_body(self, stack: Stack) -> str:
        """Add all but the head."""
        stream = self.compute_blocks(stack, self.blocks, self.compute_embeddings(stack))
        return self.compute_norm(stack, "layernorm", stream) if "layernorm" in stack else stream

    def compute_blocks(self, stack: Stack, scope: str, stream: str) -> str:
        """Add the layers."""
        for index in range(self.config.size("num_hidden_layers", 0)):
            with stack.block(scope, index, stream):
                self.compute_layer(stack)
            stream = stack.last
        return stream

    def compute_features(self, stack: Stack, layer: int | tuple[int, ...] | None) -> str:
        if layer not in (None, -1):
            raise NotComputed("features of another layer than the last")
        return stack.without_first(self.compute_body(stack), len(self.extra_tokens))

    def compute_pooled(self, stack: Stack, takes: str, head: str) -> str:
        """Add what becomes of all positions for a class."""
        if head == "ForImageClassificationWithTeacher":
            return takes
        if head == "Model" and "pooler.dense" not in stack:
            return takes
        first = stack.one("pooler", takes)
        if head != "Model":
            return first
        return stack.dense("pooler.dense", first, self.config.text("pooler_act"))

    def compute_embeddings(self, stack: Stack) -> str:
        """Add patches, tokens and positions."""
        stream = self.compute_patches(stack)
        for name in reversed(self.extra_tokens):
            stream = stack.token(f"embeddings.{name}", stream)
        stack.hold("embeddings.mask_token")  # It stands for patches that training hides.
        if "embeddings.position_embeddings" in stack:
            stream = stack.positions("embeddings.position_embeddings", stream)
        if "embeddings.register_tokens" in stack:
            # They stand behind the first token, which makes no difference.
            stream = stack.token("embeddings.register_tokens", stream, self.num_registers)
        return stream

    def compute_patches(self, stack: Stack) -> str:
        """Add the input and the embedding of its patches."""
        image = stack.add("Input", "image", shape=[*self.image, self.channels])
        name = f"embeddings.{self.projection_name}"
        return stack.patches(name, image, self.strides, self.num_patches)

    def compute_layer(self, stack: Stack) -> None:
        """Add what one layer computes."""
        before, after = self.block_norms
        scales = self.layer_scales if self.layer_scales and self.layer_scales[0] in stack else ()
        inner = self.compute_attention(stack, self.compute_norm(stack, before, "input"))
        if scales:
            inner = stack.layer_scale(scales[0], inner)
        middle = stack.sum("attention.sum", "input", inner)
        inner = self.compute_feed_forward(stack, self.compute_norm(stack, after, middle))
        if scales:
            inner = stack.layer_scale(scales[1], inner)
        stack.sum("mlp.sum", middle, inner)

    def compute_attention(self, stack: Stack, takes: str) -> str:
        """Add what attention computes."""
        *qkv, out = self.attention_names
        query, key, value = qkv
        heads, names = self.attention_heads, (query, key, value)
        return stack.attention("attention", takes, heads, names, out, causal=False)

    @property
    def attention_heads(self) -> Heads:
        """The heads of attention."""
        count = self.config.size("num_attention_heads")
        return Heads(count, count, self.config.size("hidden_size") // count)

    def compute_feed_forward(self, stack: Stack, takes: str) -> str:
        """Add what the feed-forward layer computes."""
        activation = self.config.text("hidden_act")
        if "mlp.gate_proj" in stack:
            into = ["mlp.gate_proj", "mlp.up_proj"]
            return stack.dense("mlp.down_proj", stack.gated("mlp.product", into, takes, activation))
        into_, back = self.mlp_names
        return stack.dense(back, stack.dense(into_, takes, activation))

    def compute_norm(self, stack: Stack, name: str, takes: str) -> str:
        """Add a normalization."""
        return stack.norm(name, takes, "LayerNorm", self.config.number("layer_norm_eps") or 1e-12)

    def embeddings(self, width: int) -> None:
        """Add the embedding of patches, the tokens and the positions."""
        with self.modules.within("embeddings"):
            self.modules.add("", "Embeddings", **self.tokens(width))
            self.modules.convolution(
                self.projection_name, self.channels, width, self.patch, initializer=self.filled
            )

    @property
    def channels(self) -> int:
        """The number of channels of an input."""
        return self.config.size("num_channels")

    @property
    def image(self) -> Size:
        """The sizes of an input along each axis."""
        return self.config.pair("image_size")

    @property
    def patch(self) -> Size:
        """The sizes of a patch along each axis."""
        return self.config.pair("patch_size")

    @property
    def strides(self) -> Size:
        """The distances of patches along each axis."""
        return self.patch

    @property
    def num_registers(self) -> int:
        """The number of tokens beside the first that have no meaning."""
        return self.config.optional_size("num_register_tokens", 0) or 0

    @property
    def num_patches(self) -> int:
        """The number of patches of an input."""
        axes = zip(self.image, self.patch, self.strides, strict=True)
        return math.prod(max((size - each) // step + 1, 0) for size, each, step in axes)

    @property
    def filled(self) -> Initializer:
        """The initializer of projections."""
        if self.has_bounds:
            return bounded_normal(self.config.number("initializer_range"))
        return normal(self.modules.std)

    def tokens(self, width: int) -> dict[str, Tensor]:
        """The tokens and positions."""
        std = 0.0 if self.has_zero_tokens else self.config.number("initializer_range")
        drawn = bounded_normal(std)
        return {
            "cls_token": Tensor((1, 1, width), drawn),
            "position_embeddings": Tensor((1, self.num_positions, width), drawn),
        }

    @property
    def num_positions(self) -> int:
        """The number of patches and other tokens."""
        return self.num_patches + len(self.extra_tokens)

    def layer(self, index: int, width: int) -> None:
        """Add one layer."""
        with self.modules.within(f"{self.blocks}.{index}"):
            self.block(width, self.config.size("intermediate_size"))

    def block(self, width: int, inner: int) -> None:
        """Add what a layer has: attention, a feed-forward layer, and their norms."""
        self.attention(width)
        self.modules.norm("layernorm_before", width)
        self.modules.norm("layernorm_after", width)
        into, out = self.mlp_names
        self.linear(into, width, inner)
        self.linear(out, inner, width)

    def attention(self, width: int) -> None:
        """Add the projections of attention."""
        *into, out = self.attention_names
        for name in into:
            self.linear(name, width, width, self.config.flag("qkv_bias"))
        self.linear(out, width, width)

    def linear(self, name: str, inputs: int, outputs: int, bias: bool = True) -> None:
        """Add a projection."""
        self.modules.linear(name, inputs, outputs, bias, initializer=self.filled)


class Deit(Vit):
    """DeiT. Touvron et al. 2020, arXiv:2012.12877."""

    model_types = ("deit",)
    heads = ("ForImageClassification", "Model", "ForImageClassificationWithTeacher")
    body_name = "deit"
    extra_tokens = ("cls_token", "distillation_token")

    has_zero_tokens = True

    def tokens(self, width: int) -> dict[str, Tensor]:
        return {**super().tokens(width), "distillation_token": Tensor((1, 1, width), ZERO)}


class Dinov2(Vit):
    """DINOv2. Oquab et al. 2023, arXiv:2304.07193."""

    model_types = ("dinov2",)
    has_pooler = False
    has_bounds = True
    body_name = "dinov2"
    blocks = "encoder.layer"
    block_norms = ("norm1", "norm2")
    layer_scales = ("layer_scale1.lambda1", "layer_scale2.lambda1")

    def task(self, head: str, width: int) -> None:
        if head != "Model":
            self.linear("classifier", 2 * width, self.config.labels)

    def compute_pooled(self, stack: Stack, takes: str, head: str) -> str:
        if head == "Model":
            return takes
        mean = stack.mean("patches", takes, 1 + self.num_registers)
        return stack.add(
            "Concatenate", "pooled", [stack.one("pooler", takes, self.num_registers), mean]
        )

    def tokens(self, width: int) -> dict[str, Tensor]:
        tokens = super().tokens(width)
        if self.config.flag("use_mask_token"):
            tokens["mask_token"] = Tensor((1, width), ZERO)
        return tokens

    def layer(self, index: int, width: int) -> None:
        config, modules = self.config, self.modules
        inner = width * config.size("mlp_ratio")
        scale = Tensor((width,), Constant(value=config.number("layerscale_value")))
        with modules.within(f"encoder.layer.{index}"):
            modules.norm("norm1", width)
            self.attention(width)
            modules.add("layer_scale1", "LayerScale", lambda1=scale)
            modules.norm("norm2", width)
            if config.flag("use_swiglu_ffn"):
                inner = (inner * 2 // 3 + 7) // 8 * 8
                self.linear("mlp.gate_proj", width, inner)
                self.linear("mlp.up_proj", width, inner)
                self.linear("mlp.down_proj", inner, width)
            else:
                self.linear("mlp.fc1", width, inner)
                self.linear("mlp.fc2", inner, width)
            modules.add("layer_scale2", "LayerScale", lambda1=scale)


class Dinov2WithRegisters(Dinov2):
    """DINOv2 with registers. Darcet et al. 2023, arXiv:2309.16588."""

    model_types = ("dinov2_with_registers",)
    body_name = "dinov2_with_registers"

    def tokens(self, width: int) -> dict[str, Tensor]:
        count = self.num_registers
        own = {"mask_token": Tensor((1, width), ZERO)}
        if count:
            own["register_tokens"] = Tensor((1, count, width), ZERO)
        return {**super().tokens(width), **own}


class Beit(Vit):
    """BEiT. Bao et al. 2021, arXiv:2106.08254."""

    model_types: ClassVar[tuple[str, ...]] = ("beit",)
    has_pooler = False
    body_name: ClassVar[str] = "beit"
    shared_table: ClassVar[str] = "shared_position_bias"
    own_table: ClassVar[str] = "relative_position_bias"
    layer_scales = ("lambda_1", "lambda_2")

    def embeddings(self, width: int) -> None:
        super().embeddings(width)
        if self.config.flag("use_shared_relative_position_bias"):
            self.relative_positions(self.shared_table)

    @property
    def last_norm(self) -> str:  # type: ignore[override]
        return "pooler.layernorm" if self.config.flag("use_mean_pooling") else "layernorm"

    def tokens(self, width: int) -> dict[str, Tensor]:
        config, zeros = self.config, Tensor((1, 1, width), ZERO)
        tokens = {"cls_token": zeros}
        if config.flag("use_mask_token"):
            tokens["mask_token"] = zeros
        if config.flag("use_absolute_position_embeddings"):
            tokens["position_embeddings"] = Tensor((1, self.num_positions, width), ZERO)
        return tokens

    def layer(self, index: int, width: int) -> None:
        super().layer(index, width)
        config, scale = self.config, self.config.number("layer_scale_init_value")
        with self.modules.within(f"{self.blocks}.{index}"):
            if scale:
                gain = Tensor((width,), Constant(value=scale))
                self.modules.add("", "Layer", lambda_1=gain, lambda_2=gain)
            if config.flag("use_relative_position_bias"):
                self.relative_positions(self.own_table)

    def attention(self, width: int) -> None:
        for name in self.attention_names:
            self.linear(name, width, width, name != self.attention_names[1])

    def compute_body(self, stack: Stack) -> str:
        stack.leave_out(self.shared_table, AT_ZERO)
        return super().compute_body(stack)

    def compute_layer(self, stack: Stack) -> None:
        stack.leave_out(self.own_table, AT_ZERO)
        super().compute_layer(stack)

    def compute_pooled(self, stack: Stack, takes: str, head: str) -> str:
        if "pooler.layernorm" not in stack:
            return stack.one("pooler", takes)
        return self.compute_norm(stack, "pooler.layernorm", stack.mean("pooler", takes, 1))

    def relative_positions(self, name: str) -> None:
        """Add a table of relative positions."""
        image, patch = self.config.pair("image_size"), self.config.pair("patch_size")
        rows = math.prod(2 * (a // b) - 1 for a, b in zip(image, patch, strict=True)) + 3
        table = Tensor((rows, self.config.size("num_attention_heads")), ZERO)
        self.modules.add(name, "RelativePositionBias", relative_position_bias_table=table)
