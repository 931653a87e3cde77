"""GLM that sees: its vision towers and language models."""

from __future__ import annotations

from typing import ClassVar

from initcli.sources.huggingface.families.grouped import Glm4Moe
from initcli.sources.huggingface.families.llama import Glm4
from initcli.sources.huggingface.families.pairs import Qwen2Vl
from initcli.sources.huggingface.families.seeing import Qwen2VlVision
from initcli.sources.huggingface.stack import Stack


class Glm4vText(Glm4):
    """The language model of GLM 4.1V. arXiv:2507.01006."""

    model_types = ("glm4v_text",)
    heads = ("TextModel",)
    qkv_bias = True
    head_dim_key = ""


class Glm4vMoeText(Glm4Moe):
    """The language model of GLM 4.5V."""

    model_types = ("glm4v_moe_text",)
    heads = ("TextModel",)
    has_qk_norm = False


class Glm4vVision(Qwen2VlVision):
    """The vision towers of GLM 4.1V and 4.5V."""

    model_types = ("glm4v_vision", "glm4v_moe_vision")
    width_key = "hidden_size"
    out_key = "out_hidden_size"
    norm_kind = "RMSNorm"
    mlp_names = ("gate_proj", "up_proj", "down_proj")

    def describe(self, head: str) -> None:
        config, modules, width = self.config, self.modules, self.config.size("hidden_size")
        config.activation("hidden_act")
        config.quotient("hidden_size", "num_heads", is_strict=False)
        patch, image = config.size("patch_size"), config.size("image_size")
        out, merge = config.size("out_hidden_size"), config.size("spatial_merge_size")
        kernel = (config.size("temporal_patch_size"), patch, patch)
        modules.embedding("embeddings.position_embedding", (image // patch) ** 2, width)
        modules.convolution("patch_embed.proj", config.size("in_channels"), width, kernel)
        bias = config.flag("attention_bias")
        for index in range(config.size("depth", 0)):
            with modules.within(f"blocks.{index}"):
                modules.norm("norm1", width, "RMSNorm")
                modules.norm("norm2", width, "RMSNorm")
                modules.linear("attn.qkv", width, 3 * width, bias)
                modules.linear("attn.proj", width, width, False)
                self.gated("mlp", width, out)
        modules.norm("post_conv_layernorm", width, "RMSNorm")
        modules.norm("post_layernorm", width, "RMSNorm")
        modules.convolution("downsample", width, out, (merge, merge))
        modules.linear("merger.proj", out, out, False)
        modules.norm("merger.post_projection_norm", out)
        self.gated("merger", out, config.size("intermediate_size"))

    def compute_positions(self, stack: Stack, takes: str) -> str:
        normed = stack.norm("post_conv_layernorm", takes, self.norm_kind, self.epsilon)
        return stack.positions("embeddings.position_embedding", normed)

    def compute_merger(self, stack: Stack, takes: str) -> str:
        normed = stack.norm("post_layernorm", takes, self.norm_kind, self.epsilon)
        merge = self.config.size("spatial_merge_size") ** 2
        # A convolution over patches that do not overlap is a projection of them together.
        joined = stack.dense("downsample", stack.merged("merger", normed, merge, self.merged))
        inner = stack.dense("merger.proj", joined)
        inner = stack.norm("merger.post_projection_norm", inner, "LayerNorm", 1e-5)
        inner = stack.activated("merger.gelu", inner, "gelu")
        into, activation = ["merger.gate_proj", "merger.up_proj"], self.config.text("hidden_act")
        return stack.dense(
            "merger.down_proj", stack.gated("merger.product", into, inner, activation)
        )

    @property
    def epsilon(self) -> float:
        return self.config.number("rms_norm_eps") or 1e-5

    def gated(self, name: str, width: int, inner: int) -> None:
        """Add a gated feed-forward layer."""
        for each in ("gate_proj", "up_proj"):
            self.modules.linear(f"{name}.{each}", width, inner, False)
        self.modules.linear(f"{name}.down_proj", inner, width, False)


class Glm4v(Qwen2Vl):
    """GLM 4.1V. arXiv:2507.01006."""

    model_types: ClassVar[tuple[str, ...]] = ("glm4v",)
    ties_as_text = False
    flat_part = ""


class Glm4vMoe(Glm4v):
    """GLM 4.5V."""

    model_types = ("glm4v_moe",)
    ties_as_text = True
