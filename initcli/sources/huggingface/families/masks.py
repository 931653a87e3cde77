"""Networks that say something of each pixel: SAM and Depth Anything."""

from __future__ import annotations

from initcli.sources.huggingface.config import Config
from initcli.sources.huggingface.family import Family
from initcli.sources.huggingface.modules import ZERO, Modules, Tensor, normal
from initcli.sources.huggingface.stack import Stack
from initcli.types import Size

_PROMPTS = {"hidden_size": 256, "mask_input_channels": 16, "num_point_embeddings": 4}
_MASKS = {
    "hidden_size": 256,
    "mlp_dim": 2048,
    "num_hidden_layers": 2,
    "attention_downsample_rate": 2,
    "num_multimask_outputs": 3,
    "iou_head_depth": 3,
    "iou_head_hidden_dim": 256,
}
"""The defaults of parts that are no classes of their own."""


class Sam(Family):
    """SAM, which segments what a prompt names. Kirillov et al. 2023, arXiv:2304.02643."""

    model_types = ("sam",)
    heads = ("Model",)

    def describe(self, head: str) -> None:
        modules, vision = self.modules, self.part("vision_config")
        features, scale = vision.config.size("num_pos_feats"), self.scale(vision)
        places = Tensor((2, features), normal(scale))
        modules.add("shared_image_embedding", "Positions", positional_embedding=places)
        name, first = "prompt_encoder.shared_embedding", "shared_image_embedding"
        if self.config.flag("tie_word_embeddings"):
            key = "positional_embedding"
            modules.tie(f"{name}.{key}", f"{first}.{key}")
        else:
            modules.add(name, "Positions", positional_embedding=places)
        self.add_part("vision_encoder", vision)
        with modules.within("prompt_encoder"):
            describe_prompts(self.config.part("prompt_encoder_config", _PROMPTS, {}), modules)
        with modules.within("mask_decoder"):
            MaskDecoder(self.config.part("mask_decoder_config", _MASKS, {}), modules).describe()

    def compute(self, stack: Stack, head: str) -> None:
        with stack.within("vision_encoder"):
            seen = self.part("vision_config").compute_features(stack, None)
        masks = self.config.part("mask_decoder_config", _MASKS, {})
        # The decoder makes each position four by four.
        vision = self.part("vision_config").config
        side = 4 * (vision.size("image_size") // vision.size("patch_size"))
        shape = (masks.size("num_multimask_outputs"), side, side)
        held = ("shared_image_embedding", "prompt_encoder", "mask_decoder")
        stack.unknown("mask_decoder", seen, "decoder of masks", shape, *held)

    def scale(self, vision: Family) -> float:
        """The standard deviation of the frequencies of places."""
        given = not vision.config.is_null("scale")
        return vision.config.number("scale") if given else vision.config.size("hidden_size") / 2


def describe_prompts(config: Config, modules: Modules) -> None:
    """Add what makes vectors of points, boxes and masks in SAM."""
    width, channels = config.size("hidden_size"), config.size("mask_input_channels")
    for name in ("no_mask_embed", "not_a_point_embed"):
        modules.embedding(name, 1, width)
    for index in range(config.size("num_point_embeddings")):
        modules.embedding(f"point_embed.{index}", 1, width)
    narrow = channels // 4
    with modules.within("mask_embed"):
        modules.convolution("conv1", 1, narrow, (2, 2))
        modules.convolution("conv2", narrow, channels, (2, 2))
        modules.convolution("conv3", channels, width, (1, 1))
        modules.norm("layer_norm1", narrow)
        modules.norm("layer_norm2", 4 * narrow)


class MaskDecoder:
    """What makes masks in SAM."""

    def __init__(self, config: Config, modules: Modules) -> None:
        self.config = config
        self.modules = modules

    def describe(self) -> None:
        """Add all of it."""
        config, modules, width = self.config, self.modules, self.config.size("hidden_size")
        count, narrow = config.size("num_multimask_outputs") + 1, width // 4
        modules.embedding("iou_token", 1, width)
        modules.embedding("mask_tokens", count, width)
        self.transformer(width)
        transposed(modules, "upscale_conv1", (width, narrow, 2, 2))
        transposed(modules, "upscale_conv2", (narrow, width // 8, 2, 2))
        modules.norm("upscale_layer_norm", narrow)
        for index in range(count):
            self.network(f"output_hypernetworks_mlps.{index}", width, width, width // 8, 3)
        inner, depth = config.size("iou_head_hidden_dim"), config.size("iou_head_depth")
        self.network("iou_prediction_head", width, inner, count, depth)

    def network(self, name: str, inputs: int, inner: int, outputs: int, depth: int) -> None:
        """Add a feed-forward network of that depth."""
        with self.modules.within(name):
            self.modules.linear("proj_in", inputs, inner)
            self.modules.linear("proj_out", inner, outputs)
            for index in range(depth - 2):
                self.modules.linear(f"layers.{index}", inner, inner)

    def transformer(self, width: int) -> None:
        """Add the attention of prompts to the image and back."""
        config, modules = self.config, self.modules
        narrow, inner = width // config.size("attention_downsample_rate"), config.size("mlp_dim")
        both = ("cross_attn_token_to_image", "cross_attn_image_to_token")
        with modules.within("transformer"):
            for index in range(config.size("num_hidden_layers", 0)):
                with modules.within(f"layers.{index}"):
                    self.attention("self_attn", width, width)
                    for name in both:
                        self.attention(name, width, narrow)
                    for number in range(1, 5):
                        modules.norm(f"layer_norm{number}", width)
                    modules.linear("mlp.lin1", width, inner)
                    modules.linear("mlp.lin2", inner, width)
            self.attention("final_attn_token_to_image", width, narrow)
            modules.norm("layer_norm_final_attn", width)

    def attention(self, name: str, width: int, inner: int) -> None:
        """Add the projections of attention."""
        for each in ("q_proj", "k_proj", "v_proj"):
            self.modules.linear(f"{name}.{each}", width, inner)
        self.modules.linear(f"{name}.out_proj", inner, width)


class DepthAnything(Family):
    """Depth Anything 1 and 2. Yang et al. 2024, arXiv:2401.10891."""

    model_types = ("depth_anything",)
    heads = ("ForDepthEstimation",)

    def describe(self, head: str) -> None:
        config, modules = self.config, self.modules
        self.add_part("backbone", self.part("backbone_config"))
        width, fused = config.size("reassemble_hidden_size"), config.size("fusion_hidden_size")
        sizes = config.numbers("neck_hidden_sizes", least=1)
        factors = config.factors("reassemble_factors", len(sizes))
        with modules.within("neck"):
            for index, (size, factor) in enumerate(zip(sizes, factors, strict=False)):
                with modules.within(f"reassemble_stage.layers.{index}"):
                    modules.convolution("projection", width, size, (1, 1))
                    if factor > 1:
                        transposed(modules, "resize", (size, size, int(factor), int(factor)))
                    elif factor < 1:
                        modules.convolution("resize", size, size, (3, 3))
            for index, size in enumerate(sizes):
                modules.convolution(f"convs.{index}", size, fused, (3, 3), False)
                with modules.within(f"fusion_stage.layers.{index}"):
                    self.fusion(fused)
        inner = config.size("head_hidden_size")
        modules.convolution("head.conv1", fused, fused // 2, (3, 3))
        modules.convolution("head.conv2", fused // 2, inner, (3, 3))
        modules.convolution("head.conv3", inner, 1, (1, 1))

    def compute(self, stack: Stack, head: str) -> None:
        backbone = self.part("backbone_config")
        with stack.within("backbone"):
            seen = backbone.compute_features(stack, None)
        sides = zip(*map(backbone.config.pair, ("image_size", "patch_size")), strict=True)
        shape = [size // patch * patch for size, patch in sides]
        stack.unknown("head", seen, "dense prediction head", shape, "neck", "head")

    def fusion(self, width: int) -> None:
        """Add what joins two resolutions."""
        self.modules.convolution("projection", width, width, (1, 1))
        for layer in ("residual_layer1", "residual_layer2"):
            for name in ("convolution1", "convolution2"):
                self.modules.convolution(f"{layer}.{name}", width, width, (3, 3))


def transposed(modules: Modules, name: str, shape: Size) -> None:
    """Add a transposed convolution: weight (inputs, outputs, *kernel)."""
    weight = Tensor(shape, modules.drawn(), (0,), (1, 2, 3))
    modules.add(name, "ConvTranspose2d", weight=weight, bias=Tensor(shape[1:2], ZERO))
