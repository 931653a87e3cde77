"""Towers for text and for images, of pairs like CLIP."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from initcli.initializers import Constant, Initializer, RandomUniform
from initcli.sources.huggingface.families.vision import bounded_normal
from initcli.sources.huggingface.family import Family
from initcli.sources.huggingface.modules import ZERO, Tensor, normal
from initcli.sources.huggingface.stack import Heads, Stack


class Tower(Family):
    """The skeleton: embeddings, layers with norms before each part, and a last norm."""

    heads: ClassVar[tuple[str, ...]] = ("Model",)
    scope: ClassVar[str] = ""
    """Name of the tower in classes with a head."""
    bare: ClassVar[str] = "Model"
    """End of the name of the class that is the tower itself."""
    last_norm: ClassVar[str] = "post_layernorm"
    is_causal: ClassVar[bool] = False
    layers_name: ClassVar[str] = "encoder.layers"
    heads_key: ClassVar[str] = "num_attention_heads"
    norms: ClassVar[tuple[str, str]] = ("layer_norm1", "layer_norm2")
    activation: ClassVar[str] = ""
    """The activation of the feed-forward layer, where the configuration does not say it."""
    qkv: ClassVar[tuple[str, str, str]] = (
        *("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    )
    out: ClassVar[str] = "self_attn.out_proj"

    def describe(self, head: str) -> None:
        with self.modules.within("" if head == self.bare else self.scope):
            self.tower()

    def compute(self, stack: Stack, head: str) -> None:
        with stack.within("" if head == self.bare else self.scope):
            self.compute_tower(stack)

    def compute_tower(self, stack: Stack) -> str:
        """Add the tower; returns all positions, for classes with a head."""
        stream = self.compute_layers(stack)
        return self.compute_norm(stack, self.last_norm, stream)

    def compute_features(self, stack: Stack, layer: int | tuple[int, ...] | None) -> str:
        if layer is None:
            return self.compute_tower(stack)
        layers = (layer,) if isinstance(layer, int) else layer
        counts = [each if each >= 0 else self.num_layers + 1 + each for each in layers]
        streams = self.compute_states(stack, counts)
        what = "layers of the vision tower that nothing takes"
        for index in range(max(counts), self.num_layers):
            stack.leave_out(f"encoder.layers.{index}", what)
        stack.hold(self.last_norm)
        stack.hold("head")
        stream = streams[0]
        if len(streams) > 1:
            stream = stack.add("Concatenate", "features", streams, axis=-1)
        return stack.without_first(stream) if "embeddings.class_embedding" in stack else stream

    def compute_layers(self, stack: Stack) -> str:
        """Add the embeddings and all layers."""
        return self.compute_states(stack, [self.num_layers])[0]

    def compute_states(self, stack: Stack, counts: Sequence[int]) -> list[str]:
        """Add the embeddings and layers; returns the streams behind so many layers."""
        stream = self.compute_embeddings(stack)
        streams = [stream]
        for index in range(max(counts)):
            with stack.block(self.layers_name, index, stream):
                self.compute_layer(stack)
            stream = stack.last
            if index + 1 in counts and index + 1 < max(counts):
                # A block that repeats ends here.
                stream = stack.add("Identity", f"features.{index + 1}", stream)
            streams.append(stream)
        return [streams[count] for count in counts]

    def compute_embeddings(self, stack: Stack) -> str:
        """Add patches and positions."""
        config, patch = self.config, self.config.pair("patch_size")
        image = stack.image("image", *config.pair("image_size"), config.size("num_channels"))
        stream = stack.patches("embeddings.patch_embedding", image, patch, self.num_patches)
        if "embeddings.class_embedding" in stack:
            stream = stack.token("embeddings.class_embedding", stream)
        return stack.positions("embeddings.position_embedding", stream)

    def compute_layer(self, stack: Stack) -> None:
        """Add what one layer computes."""
        count = self.config.size(self.heads_key)
        heads, (before, after) = Heads(count, count, self.width // count), self.norms
        normed, causal = self.compute_norm(stack, before, "input"), self.is_causal
        inner = stack.attention("self_attn", normed, heads, self.qkv, self.out, causal=causal)
        middle = stack.sum("self_attn.sum", "input", self.compute_gate(stack, "gate_attn", inner))
        normed = self.compute_norm(stack, after, middle)
        inner = stack.dense("mlp.fc1", normed, self.activation or self.config.text("hidden_act"))
        inner = self.compute_gate(stack, "gate_ffn", stack.dense("mlp.fc2", inner))
        stack.sum("mlp.sum", middle, inner)

    def compute_gate(self, stack: Stack, name: str, takes: str) -> str:
        """Add a gate, if there is one of that name."""
        return stack.scale(name, takes) if name in stack else takes

    def compute_norm(self, stack: Stack, name: str, takes: str) -> str:
        """Add a normalization."""
        return stack.norm(name, takes, "LayerNorm", self.config.number("layer_norm_eps") or 1e-5)

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
    is_causal: ClassVar[bool] = True
    last_norm: ClassVar[str] = "final_layer_norm"

    def describe(self, head: str) -> None:
        super().describe(head)
        if head == "ModelWithProjection":
            size, std = self.config.size("projection_dim"), self.factor * self.width**-0.5
            self.modules.linear(self.projection, self.width, size, False, std)

    def compute(self, stack: Stack, head: str) -> None:
        with stack.within("" if head == self.bare else self.scope):
            pooled = self.compute_pooled(stack)
        if head == "ModelWithProjection":
            stack.dense(self.projection, pooled)

    def compute_pooled(self, stack: Stack) -> str:
        """Add the tower; returns the position that stands for all."""
        return stack.one("pooled", self.compute_tower(stack), -1)

    def compute_embeddings(self, stack: Stack) -> str:
        return text_embeddings(stack, self)

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
    is_causal = False

    def compute_pooled(self, stack: Stack) -> str:
        first = stack.one("pooled", self.compute_layers(stack))
        return self.compute_norm(stack, self.last_norm, first)

    def compute_embeddings(self, stack: Stack) -> str:
        return self.compute_norm(stack, self.first_norm, Tower.compute_embeddings(self, stack))

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

    def compute(self, stack: Stack, head: str) -> None:
        for tower, projection in (("text", "text_projection"), ("vision", "visual_projection")):
            with stack.within(f"{tower}_model"):
                pooled = self.compute_pooled(stack, self.part(f"{tower}_config"))
            stack.dense(projection, pooled)
        stack.leave_out("logit_scale", "the products of both towers' outputs")

    def compute_pooled(self, stack: Stack, part: Family) -> str:
        """Add a tower; returns the position that stands for all."""
        assert isinstance(part, ClipText)
        return part.compute_pooled(stack)


class SiglipVision(Tower):
    """The vision tower of SigLIP. Zhai et al. 2023, arXiv:2303.15343."""

    model_types: ClassVar[tuple[str, ...]] = ("siglip_vision_model",)

    def tower(self) -> None:
        super().tower()
        if self.config.flag("vision_use_head"):
            with self.modules.within("head"):
                self.pooling()

    def compute_tower(self, stack: Stack) -> str:
        stream = super().compute_tower(stack)
        stack.leave_out("head", "the attention of a learned query to all positions, behind all")
        return stream

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

    def compute_embeddings(self, stack: Stack) -> str:
        name, count = "embeddings.patch_embedding", self.config.size("num_patches")
        inputs = self.config.size("num_channels") * math.prod(self.config.pair("patch_size"))
        patches = stack.cut_image(count, inputs)
        return stack.positions("embeddings.position_embedding", stack.dense(name, patches))

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

    def compute_tower(self, stack: Stack) -> str:
        last = stack.one("pooled", Tower.compute_tower(self, stack), -1)
        return stack.dense("head", last)

    def compute_embeddings(self, stack: Stack) -> str:
        return text_embeddings(stack, self)

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

    def compute(self, stack: Stack, head: str) -> None:
        towers = ("text", "vision") if head == "Model" else ("vision",)
        for tower in towers:
            part = self.part(f"{tower}_config")
            assert isinstance(part, SiglipVision)
            with stack.within(f"{tower}_model"):
                stream = part.compute_tower(stack)
        if head != "Model":
            stack.dense("classifier", stack.mean("pooled", stream))
        for name in ("logit_scale", "logit_bias"):
            stack.leave_out(name, "the products of both towers' outputs")


class IdeficsVision(Tower):
    """The vision tower of Idefics 2 and 3 and SmolVLM. arXiv:2405.02246."""

    model_types = ("idefics2_vision", "idefics3_vision", "smolvlm_vision")
    heads = ("VisionTransformer",)

    def describe(self, head: str) -> None:
        self.tower()


def text_embeddings(stack: Stack, tower: Tower) -> str:
    """Add the tables of tokens and positions."""
    vectors = stack.embedding("embeddings.token_embedding", tower.token_ids(stack))
    return stack.positions("embeddings.position_embedding", vectors)


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
