"""Towers for text and for images, of pairs like CLIP and of models that see."""

from __future__ import annotations

import math
from typing import ClassVar

from initcli.initializers import Constant, Initializer, RandomUniform
from initcli.sources.huggingface.families.vision import bounded_normal
from initcli.sources.huggingface.family import Family
from initcli.sources.huggingface.modules import ONE, ZERO, Tensor, normal


class Tower(Family):
    """The skeleton: embeddings, layers with norms before each part, and a last norm."""

    heads: ClassVar[tuple[str, ...]] = ("Model",)
    scope: ClassVar[str] = ""
    """Name of the tower in classes with a head."""
    bare: ClassVar[str] = "Model"
    """End of the name of the class that is the tower itself."""
    last_norm: ClassVar[str] = "post_layernorm"

    def describe(self, head: str) -> None:
        with self.modules.within("" if head == self.bare else self.scope):
            self.tower()

    def tower(self) -> None:
        """Add the tower."""
        config, modules = self.config, self.modules
        config.activation("hidden_act")
        config.quotient("hidden_size", "num_attention_heads")
        self.embeddings()
        for index in range(self.num_layers):
            with modules.within(f"encoder.layers.{index}"):
                self.layer()
        modules.norm(self.last_norm, self.width)

    def embeddings(self) -> None:
        """Add the embedding of patches, and a table of positions."""
        with self.modules.within("embeddings"):
            self.patches(bias=True)
            self.modules.embedding("position_embedding", self.num_patches, self.width)

    def patches(self, *, bias: bool, initializer: Initializer | None = None) -> None:
        """Add the embedding of patches."""
        channels, kernel = self.config.size("num_channels"), self.config.pair("patch_size")
        self.modules.convolution("patch_embedding", channels, self.width, kernel, bias, initializer)

    def layer(self) -> None:
        """Add one layer."""
        modules, width, inner = self.modules, self.width, self.config.size("intermediate_size")
        for name in ("k_proj", "v_proj", "q_proj", "out_proj"):
            self.linear(f"self_attn.{name}", width, width)
        modules.norm("layer_norm1", width)
        self.linear("mlp.fc1", width, inner)
        self.linear("mlp.fc2", inner, width)
        modules.norm("layer_norm2", width)

    def linear(self, name: str, inputs: int, outputs: int) -> None:
        """Add a projection of a layer."""
        self.modules.linear(name, inputs, outputs)

    @property
    def width(self) -> int:
        """The size of a token."""
        return self.config.size("hidden_size")

    @property
    def num_layers(self) -> int:
        """The number of layers."""
        return self.config.size("num_hidden_layers", 0)

    @property
    def num_patches(self) -> int:
        """The number of patches of an image."""
        image, patch = self.config.pair("image_size"), self.config.pair("patch_size")
        return math.prod(a // b for a, b in zip(image, patch, strict=True))


class ClipText(Tower):
    """The text tower of CLIP, scaled by width and depth. Radford et al. 2021, arXiv:2103.00020."""

    model_types: ClassVar[tuple[str, ...]] = ("clip_text_model",)
    heads: ClassVar[tuple[str, ...]] = ("Model", "ModelWithProjection")
    scope = "text_model"
    projection: ClassVar[str] = "text_projection"
    last_norm: ClassVar[str] = "final_layer_norm"

    def describe(self, head: str) -> None:
        super().describe(head)
        if head == "ModelWithProjection":
            size, std = self.config.size("projection_dim"), self.factor * self.width**-0.5
            self.modules.linear(self.projection, self.width, size, False, std)

    @property
    def factor(self) -> float:
        """What every standard deviation is multiplied by."""
        return self.config.number("initializer_factor")

    def embeddings(self) -> None:
        config, std = self.config, 0.02 * self.factor
        rows, positions = config.size("vocab_size"), config.size("max_position_embeddings")
        self.modules.embedding("embeddings.token_embedding", rows, self.width, std=std)
        self.modules.embedding("embeddings.position_embedding", positions, self.width, std=std)

    def linear(self, name: str, inputs: int, outputs: int) -> None:
        std = self.factor * self.width**-0.5
        if name.endswith("fc1"):
            std = self.factor * (2 * self.width) ** -0.5
        elif not name.endswith("out_proj"):
            std *= (2 * max(self.num_layers, 1)) ** -0.5
        self.modules.linear(name, inputs, outputs, std=std)


class ClipVision(ClipText):
    """The vision tower of CLIP."""

    model_types: ClassVar[tuple[str, ...]] = ("clip_vision_model",)
    scope = "vision_model"
    projection = "visual_projection"
    last_norm = "post_layernorm"
    first_norm: ClassVar[str] = "pre_layrnorm"

    def embeddings(self) -> None:
        modules, width = self.modules, self.width
        std = self.config.number("initializer_range") * self.factor
        token = Tensor((width,), normal(self.factor * width**-0.5))
        with modules.within("embeddings"):
            modules.add("", "Embeddings", class_embedding=token)
            self.patches(bias=False, initializer=normal(std))
            modules.embedding("position_embedding", self.num_patches + 1, width, std=std)
        modules.norm(self.first_norm, width)


class Clip(Family):
    """CLIP, two towers and a projection of each."""

    model_types: ClassVar[tuple[str, ...]] = ("clip",)
    heads: ClassVar[tuple[str, ...]] = ("Model",)
    std_key = "initializer_factor"

    def describe(self, head: str) -> None:
        self.towers()

    def towers(self) -> None:
        """Add the towers and their projections."""
        config, modules = self.config, self.modules
        size, factor = config.size("projection_dim"), config.number("initializer_factor")
        scale = Constant(value=config.number("logit_scale_init_value"))
        modules.add("", "CLIPModel", logit_scale=Tensor((), scale))
        for tower, projection in (("text", "text_projection"), ("vision", "visual_projection")):
            width = self.tower(f"{tower}_model", self.part(f"{tower}_config"))
            modules.linear(projection, width, size, False, factor * width**-0.5)

    def tower(self, name: str, part: Family) -> int:
        """Add a tower; returns the width of its output."""
        self.add_part(name, part)
        return part.config.size("hidden_size")


class SiglipVision(Tower):
    """The vision tower of SigLIP. Zhai et al. 2023, arXiv:2303.15343."""

    model_types: ClassVar[tuple[str, ...]] = ("siglip_vision_model",)

    def tower(self) -> None:
        super().tower()
        if self.config.flag("vision_use_head"):
            with self.modules.within("head"):
                self.pooling()

    def embeddings(self) -> None:
        config, std = self.config, self.width**-0.5
        filled = lecun(config.size("num_channels") * math.prod(config.pair("patch_size")))
        with self.modules.within("embeddings"):
            self.patches(bias=True, initializer=filled)
            self.modules.embedding("position_embedding", self.num_patches, self.width, std=std)

    def pooling(self) -> None:
        """Add the attention of one token to all, and a feed-forward layer."""
        modules, width, inner = self.modules, self.width, self.config.size("intermediate_size")
        modules.add("", "PoolingHead", probe=Tensor((1, 1, width), glorot(width, width)))
        packed = Tensor((3 * width, width), glorot(width, 3 * width), (1,), (0,))
        bias = Tensor((3 * width,), ZERO)
        kind = "MultiheadAttention"
        modules.add("attention", kind, in_proj_weight=packed, in_proj_bias=bias)
        modules.linear("attention.out_proj", width, width, initializer=lecun(width))
        modules.norm("layernorm", width)
        self.linear("mlp.fc1", width, inner)
        self.linear("mlp.fc2", inner, width)

    def linear(self, name: str, inputs: int, outputs: int) -> None:
        """Add a projection; biases of the feed-forward layer are nearly 0."""
        weight = Tensor((outputs, inputs), glorot(inputs, outputs), (1,), (0,))
        bias = Tensor((outputs,), normal(1e-6) if name.startswith("mlp") else ZERO)
        self.modules.add(name, "Linear", weight=weight, bias=bias)


class Siglip2Vision(SiglipVision):
    """The vision tower of SigLIP 2, for images of any size. arXiv:2502.14786."""

    model_types = ("siglip2_vision_model",)

    def embeddings(self) -> None:
        inputs = self.config.size("num_channels") * math.prod(self.config.pair("patch_size"))
        count, std = self.config.size("num_patches"), self.width**-0.5
        with self.modules.within("embeddings"):
            filled = lecun(inputs)
            self.modules.linear("patch_embedding", inputs, self.width, initializer=filled)
            self.modules.embedding("position_embedding", count, self.width, std=std)


class SiglipText(SiglipVision):
    """The text tower of SigLIP."""

    model_types = ("siglip_text_model", "siglip2_text_model")
    last_norm = "final_layer_norm"

    def tower(self) -> None:
        Tower.tower(self)
        size = self.config.optional_size("projection_size") or self.width
        self.modules.linear("head", self.width, size, initializer=lecun(self.width))

    def embeddings(self) -> None:
        config, std = self.config, self.width**-0.5
        rows, positions = config.size("vocab_size"), config.size("max_position_embeddings")
        self.modules.embedding("embeddings.token_embedding", rows, self.width, std=std)
        self.modules.embedding("embeddings.position_embedding", positions, self.width, std=std)


class Siglip(Family):
    """SigLIP 1 and 2, two towers without projections."""

    model_types = ("siglip", "siglip2")
    heads = ("Model", "ForImageClassification")
    std_key = "initializer_factor"

    def describe(self, head: str) -> None:
        vision = self.part("vision_config")
        if head == "Model":
            start = Tensor((1,), ZERO)
            self.modules.add("", "SiglipModel", logit_scale=start, logit_bias=start)
            self.add_part("text_model", self.part("text_config"))
        self.add_part("vision_model", vision)
        if head != "Model":
            width = vision.config.size("hidden_size")
            std = width**-0.5 * self.config.number("initializer_factor")
            self.modules.linear("classifier", width, self.config.labels, std=std)


class IdeficsVision(Tower):
    """The vision tower of Idefics 2 and 3 and SmolVLM. arXiv:2405.02246."""

    model_types = ("idefics2_vision", "idefics3_vision", "smolvlm_vision")
    heads = ("VisionTransformer",)

    def describe(self, head: str) -> None:
        self.tower()


class Pixtral(Family):
    """The vision tower of Pixtral. Agrawal et al. 2024, arXiv:2410.07073."""

    model_types = ("pixtral",)
    heads = ("Model",)

    def describe(self, head: str) -> None:
        config, modules, width = self.config, self.modules, self.config.size("hidden_size")
        config.activation("hidden_act")
        config.quotient("hidden_size", "num_attention_heads", is_strict=False)
        channels, inner = config.size("num_channels"), config.size("intermediate_size")
        modules.convolution("patch_conv", channels, width, config.pair("patch_size"), False)
        modules.norm("ln_pre", width, "RMSNorm")
        for index in range(config.size("num_hidden_layers", 0)):
            with modules.within(f"transformer.layers.{index}"):
                modules.norm("attention_norm", width, "RMSNorm")
                modules.linear("feed_forward.gate_proj", width, inner, False)
                modules.linear("feed_forward.up_proj", width, inner, False)
                modules.linear("feed_forward.down_proj", inner, width, False)
                for name in ("k_proj", "v_proj", "q_proj", "o_proj"):
                    modules.linear(f"attention.{name}", width, width, False)
                modules.norm("ffn_norm", width, "RMSNorm")


class Qwen2VlVision(Family):
    """The vision tower of Qwen 2 VL. Wang et al. 2024, arXiv:2409.12191."""

    model_types: ClassVar[tuple[str, ...]] = ("qwen2_vl_vision",)
    heads = ("Model",)
    width_key: ClassVar[str] = "embed_dim"
    out_key: ClassVar[str] = "hidden_size"
    norm_kind: ClassVar[str] = "LayerNorm"
    mlp_names: ClassVar[tuple[str, ...]] = ("fc1", "fc2")
    patch_bias: ClassVar[bool] = False

    def describe(self, head: str) -> None:
        config, modules, width = self.config, self.modules, self.config.size(self.width_key)
        config.activation("hidden_act")
        config.quotient(self.width_key, "num_heads", is_strict=False)
        patch = (*self.frames, *config.pair("patch_size"))
        channels = config.size("in_channels")
        modules.convolution("patch_embed.proj", channels, width, patch, self.patch_bias)
        for index in range(config.size("depth", 0)):
            with modules.within(f"blocks.{index}"):
                modules.norm("norm1", width, self.norm_kind)
                modules.norm("norm2", width, self.norm_kind)
                modules.linear("attn.qkv", width, 3 * width)
                modules.linear("attn.proj", width, width)
                *into, out = self.mlp_names
                for name in into:
                    modules.linear(f"mlp.{name}", width, self.inner)
                modules.linear(f"mlp.{out}", self.inner, width)
        self.mergers(width)

    def mergers(self, width: int) -> None:
        """Add what joins patches into tokens of the language model."""
        merged = self.merged
        self.modules.norm("merger.ln_q", width, self.norm_kind)
        self.modules.linear("merger.mlp.0", merged, merged)
        self.modules.linear("merger.mlp.2", merged, self.config.size(self.out_key))

    @property
    def merged(self) -> int:
        """The size of patches that are joined."""
        return self.config.size(self.width_key) * self.config.size("spatial_merge_size") ** 2

    @property
    def frames(self) -> tuple[int, ...]:
        """The number of frames in a patch."""
        return (self.config.size("temporal_patch_size"),)

    @property
    def inner(self) -> int:
        """The width of the feed-forward layer."""
        return self.config.size(self.width_key) * self.config.size("mlp_ratio")


class Qwen25VlVision(Qwen2VlVision):
    """The vision tower of Qwen 2.5 VL. Bai et al. 2025, arXiv:2502.13923."""

    model_types: ClassVar[tuple[str, ...]] = ("qwen2_5_vl_vision",)
    width_key: ClassVar[str] = "hidden_size"
    out_key: ClassVar[str] = "out_hidden_size"
    norm_kind: ClassVar[str] = "RMSNorm"
    mlp_names: ClassVar[tuple[str, ...]] = ("gate_proj", "up_proj", "down_proj")

    @property
    def inner(self) -> int:
        return self.config.size("intermediate_size")


class Qwen3VlVision(Qwen25VlVision):
    """The vision tower of Qwen 3 VL, of which several layers reach the language model."""

    model_types: ClassVar[tuple[str, ...]] = ("qwen3_vl_vision", "qwen3_vl_moe_vision")
    heads = ("Model",)
    norm_kind = "LayerNorm"
    mlp_names = ("linear_fc1", "linear_fc2")
    patch_bias = True
    deepstack_key: ClassVar[str] = "deepstack_visual_indexes"

    def mergers(self, width: int) -> None:
        config = self.config
        self.modules.embedding("pos_embed", config.size("num_position_embeddings"), width)
        self.merger("merger", width)
        for index in range(len(config.numbers(self.deepstack_key) if self.deepstack_key else ())):
            self.merger(f"deepstack_merger_list.{index}", self.merged)

    def merger(self, name: str, normed: int) -> None:
        """Add one of them."""
        with self.modules.within(name):
            self.modules.norm("norm", normed)
            self.modules.linear("linear_fc1", self.merged, self.merged)
            self.modules.linear("linear_fc2", self.merged, self.config.size(self.out_key))


class Qwen35Vision(Qwen3VlVision):
    """The vision tower of Qwen 3.5."""

    model_types = ("qwen3_5_vision", "qwen3_5_moe_vision")
    deepstack_key = ""


class InternVlVision(Family):
    """The vision tower of InternVL. Zhu et al. 2025, arXiv:2504.10479."""

    model_types = ("internvl_vision",)
    heads = ("Model",)

    def describe(self, head: str) -> None:
        config, modules, width = self.config, self.modules, self.config.size("hidden_size")
        config.activation("hidden_act")
        config.quotient("hidden_size", "num_attention_heads")
        image, patch = config.pair("image_size"), config.pair("patch_size")
        count = math.prod(a // b for a, b in zip(image, patch, strict=True)) + 1
        tokens = {"cls_token": Tensor((1, 1, width), ZERO)}
        if config.flag("use_mask_token"):
            tokens["mask_token"] = Tensor((1, 1, width), ZERO)
        if config.flag("use_absolute_position_embeddings"):
            tokens["position_embeddings"] = Tensor((1, count, width), ZERO)
        modules.add("embeddings", "Embeddings", **tokens)
        channels = config.size("num_channels")
        modules.convolution("embeddings.patch_embeddings.projection", channels, width, patch)
        for index in range(config.size("num_hidden_layers", 0)):
            with modules.within(f"encoder.layer.{index}"):
                self.layer(width)
        if not config.flag("use_mean_pooling"):
            modules.norm("layernorm", width)

    def layer(self, width: int) -> None:
        """Add one layer."""
        config, modules, inner = self.config, self.modules, self.config.size("intermediate_size")
        kind = "RMSNorm"
        if config.word("norm_type", ("layer_norm", "rms_norm")) == "layer_norm":
            kind = "LayerNorm"
        scale = Tensor((width,), Constant(value=config.number("layer_scale_init_value")))
        modules.add("", "Layer", lambda_1=scale, lambda_2=scale)
        for name in ("q_proj", "k_proj", "v_proj"):
            modules.linear(f"attention.{name}", width, width, config.flag("attention_bias"))
        modules.linear("attention.projection_layer", width, width)
        if config.flag("use_qk_norm"):
            for name in ("q_norm", "k_norm"):
                modules.add(f"attention.{name}", "RMSNorm", weight=Tensor((width,), ONE))
        modules.linear("mlp.fc1", width, inner)
        modules.linear("mlp.fc2", inner, width)
        modules.norm("layernorm_before", width, kind)
        modules.norm("layernorm_after", width, kind)


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
