"""Vision transformers, and the two towers of CLIP."""

from __future__ import annotations

import math
from typing import ClassVar

from initcli.initializers import Constant, Initializer, RandomUniform, TruncatedNormal
from initcli.sources.huggingface.family import Family
from initcli.sources.huggingface.modules import ZERO, Tensor, normal


def bounded_normal(std: float) -> Initializer:
    """N(0, std²) truncated to [−2, 2], PyTorch's default bounds."""
    if not std:
        return ZERO
    return TruncatedNormal(mean=0.0, stddev=std, lower=-2 / std, upper=2 / std)


class Vit(Family):
    """ViT. Dosovitskiy et al. 2020, arXiv:2010.11929."""

    model_types = ("vit",)
    classes = "ViT"
    heads: ClassVar[tuple[str, ...]] = ("ForImageClassification", "Model")
    defaults = {
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "hidden_act": "gelu",
        "initializer_range": 0.02,
        "image_size": 224,
        "patch_size": 16,
        "num_channels": 3,
        "qkv_bias": True,
        "pooler_output_size": None,
    }
    body_name: ClassVar[str] = "vit"
    num_tokens: ClassVar[int] = 1
    """Tokens beside those of the patches."""

    def describe(self, head: str) -> None:
        config, modules, width = self.config, self.modules, self.config.size("hidden_size")
        config.activation("hidden_act")
        config.quotient("hidden_size", "num_attention_heads")
        with modules.within("" if head == "Model" else self.body_name):
            self.embeddings(width)
            for index in range(config.size("num_hidden_layers", 0)):
                self.layer(index, width)
            modules.norm("layernorm", width)
            if head == "Model":
                self.pooler(width)
        match head:
            case "ForImageClassification":
                modules.linear("classifier", width, config.labels)
            case "ForImageClassificationWithTeacher":
                modules.linear("cls_classifier", width, config.labels)
                modules.linear("distillation_classifier", width, config.labels)

    def pooler(self, width: int) -> None:
        """Add what turns the first token into the output of the model."""
        size = self.config.optional_size("pooler_output_size") or width
        self.modules.linear("pooler.dense", width, size)

    def embeddings(self, width: int) -> None:
        """Add the embedding of patches, the tokens and the positions."""
        with self.modules.within("embeddings"):
            self.modules.add("", "Embeddings", **self.tokens(width))
            self.projection("patch_embeddings.projection", width)

    def projection(self, name: str, width: int) -> None:
        """Add the embedding of patches."""
        channels, patch = self.config.size("num_channels"), self.config.pair("patch_size")
        self.modules.convolution(name, channels, width, patch, initializer=self.filled)

    @property
    def filled(self) -> Initializer:
        """The initializer of projections."""
        return normal(self.modules.std)

    def tokens(self, width: int) -> dict[str, Tensor]:
        """The tokens and positions."""
        drawn = bounded_normal(self.config.number("initializer_range"))
        return {
            "cls_token": Tensor((1, 1, width), drawn),
            "position_embeddings": Tensor((1, self.num_positions, width), drawn),
        }

    @property
    def num_positions(self) -> int:
        """The number of patches and other tokens."""
        image, patch = self.config.pair("image_size"), self.config.pair("patch_size")
        return math.prod(a // b for a, b in zip(image, patch, strict=True)) + self.num_tokens

    def layer(self, index: int, width: int) -> None:
        """Add one layer."""
        modules, inner = self.modules, self.config.size("intermediate_size")
        with modules.within(f"layers.{index}"):
            self.attention(width)
            modules.norm("layernorm_before", width)
            modules.norm("layernorm_after", width)
            self.linear("mlp.fc1", width, inner)
            self.linear("mlp.fc2", inner, width)

    def attention(self, width: int) -> None:
        """Add the projections of attention."""
        for name in ("q_proj", "k_proj", "v_proj"):
            self.linear(f"attention.{name}", width, width, self.config.flag("qkv_bias"))
        self.linear("attention.o_proj", width, width)

    def linear(self, name: str, inputs: int, outputs: int, bias: bool = True) -> None:
        """Add a projection."""
        self.modules.linear(name, inputs, outputs, bias, initializer=self.filled)


class Deit(Vit):
    """DeiT. Touvron et al. 2020, arXiv:2012.12877."""

    model_types = ("deit",)
    classes = "DeiT"
    heads = ("ForImageClassification", "Model", "ForImageClassificationWithTeacher")
    body_name = "deit"
    num_tokens = 2

    def tokens(self, width: int) -> dict[str, Tensor]:
        return {
            "cls_token": Tensor((1, 1, width), ZERO),
            "position_embeddings": Tensor((1, self.num_positions, width), ZERO),
            "distillation_token": Tensor((1, 1, width), ZERO),
        }


class Dinov2(Vit):
    """DINOv2. Oquab et al. 2023, arXiv:2304.07193."""

    model_types = ("dinov2",)
    classes = "Dinov2"
    defaults = {
        "mlp_ratio": 4,
        "patch_size": 14,
        "layerscale_value": 1.0,
        "use_mask_token": True,
    }
    body_name = "dinov2"

    def describe(self, head: str) -> None:
        if head == "Model":
            super().describe(head)
            return
        super().describe("")
        width, labels = self.config.size("hidden_size"), self.config.labels
        self.linear("classifier", 2 * width, labels)

    def pooler(self, width: int) -> None:
        """There is none."""

    @property
    def filled(self) -> Initializer:
        return bounded_normal(self.config.number("initializer_range"))

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


class ClipText(Family):
    """The text tower of CLIP, scaled by width and depth. Radford et al. 2021, arXiv:2103.00020."""

    model_types = ("clip_text_model",)
    classes = "CLIPText"
    heads = ("Model", "ModelWithProjection")
    defaults = {
        "vocab_size": 49408,
        "hidden_size": 512,
        "intermediate_size": 2048,
        "projection_dim": 512,
        "num_hidden_layers": 12,
        "num_attention_heads": 8,
        "max_position_embeddings": 77,
        "hidden_act": "quick_gelu",
        "initializer_range": 0.02,
        "initializer_factor": 1.0,
    }
    scope: ClassVar[str] = "text_model"
    projection: ClassVar[str] = "text_projection"

    def describe(self, head: str) -> None:
        config, modules, width = self.config, self.modules, self.config.size("hidden_size")
        config.activation("hidden_act")
        config.quotient("hidden_size", "num_attention_heads")
        with modules.within("" if head == "Model" else self.scope):
            self.tower(width)
        if head == "ModelWithProjection":
            size = config.size("projection_dim")
            modules.linear(self.projection, width, size, False, self.factor * width**-0.5)

    @property
    def factor(self) -> float:
        """What every standard deviation is multiplied by."""
        return self.config.number("initializer_factor")

    def tower(self, width: int) -> None:
        """Add the tower."""
        config, std = self.config, 0.02 * self.factor
        rows, positions = config.size("vocab_size"), config.size("max_position_embeddings")
        self.modules.embedding("embeddings.token_embedding", rows, width, std=std)
        self.modules.embedding("embeddings.position_embedding", positions, width, std=std)
        self.layers(width)
        self.modules.norm("final_layer_norm", width)

    def layers(self, width: int) -> None:
        """Add the layers of a tower."""
        config, modules, inner = self.config, self.modules, self.config.size("intermediate_size")
        layers = config.size("num_hidden_layers", 0)
        out = self.factor * width**-0.5
        into = out * (2 * max(layers, 1)) ** -0.5
        for index in range(layers):
            with modules.within(f"encoder.layers.{index}"):
                for name in ("k_proj", "v_proj", "q_proj"):
                    modules.linear(f"self_attn.{name}", width, width, std=into)
                modules.linear("self_attn.out_proj", width, width, std=out)
                modules.norm("layer_norm1", width)
                std = self.factor * (2 * width) ** -0.5
                modules.linear("mlp.fc1", width, inner, std=std)
                modules.linear("mlp.fc2", inner, width, std=into)
                modules.norm("layer_norm2", width)


class ClipVision(ClipText):
    """The vision tower of CLIP."""

    model_types = ("clip_vision_model",)
    classes = "CLIPVision"
    defaults = {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_attention_heads": 12,
        "num_channels": 3,
        "image_size": 224,
        "patch_size": 32,
    }
    scope = "vision_model"
    projection = "visual_projection"

    def tower(self, width: int) -> None:
        config, modules = self.config, self.modules
        std = config.number("initializer_range") * self.factor
        patch, image = config.size("patch_size"), config.size("image_size")
        token = Tensor((width,), normal(self.factor * width**-0.5))
        with modules.within("embeddings"):
            modules.add("", "Embeddings", class_embedding=token)
            channels, filled = config.size("num_channels"), normal(std)
            kernel = (patch, patch)
            modules.convolution("patch_embedding", channels, width, kernel, False, filled)
            positions = (image // patch) ** 2 + 1
            modules.embedding("position_embedding", positions, width, std=std)
        modules.norm("pre_layrnorm", width)
        self.layers(width)
        modules.norm("post_layernorm", width)


class Clip(Family):
    """CLIP, two towers and a projection of each."""

    model_types = ("clip",)
    classes = "CLIP"
    heads = ("Model",)
    std_key = "initializer_factor"
    defaults = {
        "projection_dim": 512,
        "logit_scale_init_value": 2.6592,
        "initializer_factor": 1.0,
    }

    def describe(self, head: str) -> None:
        config, modules = self.config, self.modules
        size, factor = config.size("projection_dim"), config.number("initializer_factor")
        scale = Constant(value=config.number("logit_scale_init_value"))
        modules.add("", "CLIPModel", logit_scale=Tensor((), scale))
        for tower, family, name in (
            ("text", ClipText, "text_projection"),
            ("vision", ClipVision, "visual_projection"),
        ):
            part = config.part(f"{tower}_config", family.all_defaults())
            width = part.size("hidden_size")
            part.activation("hidden_act")
            part.quotient("hidden_size", "num_attention_heads")
            with modules.within(f"{tower}_model"):
                family(part, modules).tower(width)
            modules.linear(name, width, size, False, factor * width**-0.5)


class SiglipVision(Family):
    """The vision tower of SigLIP. Zhai et al. 2023, arXiv:2303.15343."""

    model_types = ("siglip_vision_model",)
    classes = "SiglipVision"
    heads = ("Model",)
    defaults = {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "num_channels": 3,
        "image_size": 224,
        "patch_size": 16,
        "hidden_act": "gelu_pytorch_tanh",
        "initializer_range": 0.02,
        "vision_use_head": True,
    }

    def describe(self, head: str) -> None:
        config, modules, width = self.config, self.modules, self.config.size("hidden_size")
        config.activation("hidden_act")
        config.quotient("hidden_size", "num_attention_heads")
        channels, patch = config.size("num_channels"), config.size("patch_size")
        kernel, inner = (patch, patch), config.size("intermediate_size")
        filled = lecun(channels * patch**2)
        modules.convolution("embeddings.patch_embedding", channels, width, kernel, True, filled)
        positions = (config.size("image_size") // patch) ** 2
        modules.embedding("embeddings.position_embedding", positions, width, std=width**-0.5)
        for index in range(config.size("num_hidden_layers", 0)):
            with modules.within(f"encoder.layers.{index}"):
                modules.norm("layer_norm1", width)
                for name in ("k_proj", "v_proj", "q_proj", "out_proj"):
                    full = f"self_attn.{name}"
                    modules.linear(full, width, width, initializer=glorot(width, width))
                modules.norm("layer_norm2", width)
                self.feed_forward(width, inner)
        modules.norm("post_layernorm", width)
        if config.flag("vision_use_head"):
            with modules.within("head"):
                self.pooling(width)
                modules.norm("layernorm", width)
                self.feed_forward(width, inner)

    def pooling(self, width: int) -> None:
        """Add the attention of one token to all."""
        drawn = glorot(width, width)
        self.modules.add("", "PoolingHead", probe=Tensor((1, 1, width), drawn))
        packed = Tensor((3 * width, width), glorot(width, 3 * width), (1,), (0,))
        bias = Tensor((3 * width,), ZERO)
        kind = "MultiheadAttention"
        self.modules.add("attention", kind, in_proj_weight=packed, in_proj_bias=bias)
        self.modules.linear("attention.out_proj", width, width, initializer=lecun(width))

    def feed_forward(self, width: int, inner: int) -> None:
        """Add a feed-forward layer, whose biases are nearly 0."""
        drawn = glorot(width, inner)
        for name, shape in (("fc1", (inner, width)), ("fc2", (width, inner))):
            weight = Tensor(shape, drawn, (1,), (0,))
            bias = Tensor(shape[:1], normal(1e-6))
            self.modules.add(f"mlp.{name}", "Linear", weight=weight, bias=bias)


def glorot(inputs: int, outputs: int) -> Initializer:
    """U(−b, b) with b = √(6 / (inputs + outputs))."""
    bound = math.sqrt(6 / (inputs + outputs))
    return RandomUniform(minval=-bound, maxval=bound)


def lecun(inputs: int) -> Initializer:
    """A normal distribution truncated to [−2, 2], of a variance of about 1 / inputs.

    The divisor is the standard deviation of N(0, 1) truncated to [−2, 2], as if the bounds were
    two standard deviations.
    """
    return bounded_normal(math.sqrt(1 / inputs) / 0.87962566103423978)
