"""Language models that see: a vision tower, a projector, and a language model.

Each part is described by the family of its own configuration.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

from initcli.errors import quoted
from initcli.sources.huggingface.entries import NotComputed
from initcli.sources.huggingface.families.multimodal import Multimodal
from initcli.sources.huggingface.families.seeing import Qwen2VlVision
from initcli.sources.huggingface.modules import ZERO, Tensor, normal
from initcli.sources.huggingface.stack import Stack


class Pair(Multimodal):
    """The skeleton."""

    vision_names: ClassVar[tuple[str, ...]] = ("vision_tower",)
    projector_name: ClassVar[str] = "multi_modal_projector"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.vision = self.part("vision_config")

    def describe_other(self) -> None:
        for name in self.vision_names:
            self.add_part(name, self.vision)
        with self.modules.within(self.projector_name):
            self.projector(self.vision_width, self.text_width)
        self.beside(self.text_width)

    def compute_other(self, stack: Stack) -> str:
        first, *others = self.vision_names
        for name in others:
            stack.leave_out(name, "the tower for videos")
        with stack.within(first):
            seen = self.vision.compute_features(stack, self.feature_layer)
        with stack.within(self.projector_name):
            seen = self.compute_projector(stack, seen)
        stack.leave_out("image_newline", "the tokens between the lines of an image")
        return seen

    @property
    def feature_layer(self) -> int | tuple[int, ...] | None:
        """The layer of the vision tower that is seen, or several; None for all of it."""
        key, layers = "vision_feature_layer", self.feature_layers
        most = self.vision.config.size("num_hidden_layers", 0)
        for layer in layers:
            if type(layer) is not int or not -most - 1 <= layer <= most:
                message = f"`{key}` is {quoted(layer)}, and the tower has {most:,} layers"
                self.config.errors.report(message, (key,))
                return None
        return layers if len(layers) > 1 else layers[0]

    @property
    def feature_layers(self) -> tuple[Any, ...]:
        """The numbers of the layers of the vision tower that are seen."""
        given = self.config.value("vision_feature_layer")
        return tuple(given) if isinstance(given, list | tuple) and given else (given,)

    def compute_projector(self, stack: Stack, takes: str) -> str:
        """Add what the projector computes."""
        inner = stack.dense("linear_1", takes, self.config.text("projector_hidden_act"))
        return stack.dense("linear_2", inner)

    def projector(self, inputs: int, outputs: int) -> None:
        """Add what turns tokens of the vision tower into those of the language model."""
        bias = self.config.flag("multimodal_projector_bias")
        self.modules.linear("linear_1", inputs * len(self.feature_layers), outputs, bias)
        self.modules.linear("linear_2", outputs, outputs, bias)

    def beside(self, width: int) -> None:
        """Add what else there is."""

    @property
    def vision_width(self) -> int:
        """The size of a token of the vision tower."""
        return self.vision.config.size("hidden_size")


class Llava(Pair):
    """LLaVA. Liu et al. 2023, arXiv:2304.08485."""

    model_types = ("llava",)
    ties_as_text = True


class VideoLlava(Pair):
    """Video-LLaVA, with a tower for images and one for videos. arXiv:2311.10122."""

    model_types = ("video_llava",)
    vision_names = ("image_tower", "video_tower")


class LlavaNext(Pair):
    """LLaVA-NeXT, with a token for the end of a line."""

    model_types: ClassVar[tuple[str, ...]] = ("llava_next",)

    def beside(self, width: int) -> None:
        line = Tensor((width,), normal(1 / math.sqrt(width)))
        self.modules.add("", "Model", image_newline=line)


class LlavaOnevision(LlavaNext):
    """LLaVA-OneVision, and LLaVA-NeXT for videos. Li et al. 2024, arXiv:2408.03326."""

    model_types = ("llava_onevision", "llava_next_video")
    ties_as_text = True


class VipLlava(Pair):
    """ViP-LLaVA, which sees five layers. arXiv:2312.00784."""

    model_types = ("vipllava",)

    def projector(self, inputs: int, outputs: int) -> None:
        joined = inputs * len(self.feature_layers)
        self.modules.norm("projector_layernorm", joined)
        self.modules.linear("linear_1", joined, outputs)
        self.modules.linear("linear_2", outputs, outputs)

    def compute_projector(self, stack: Stack, takes: str) -> str:
        epsilon = self.config.number("projector_layernorm_eps") or 1e-5
        normed = stack.norm("projector_layernorm", takes, "LayerNorm", epsilon)
        return super().compute_projector(stack, normed)


class Mistral3(Pair):
    """Mistral Small 3.1, which joins patches."""

    model_types = ("mistral3",)

    def projector(self, inputs: int, outputs: int) -> None:
        joined = inputs * self.config.size("spatial_merge_size") ** 2
        self.modules.norm("norm", inputs, "RMSNorm")
        self.modules.linear("patch_merger.merging_layer", joined, inputs, False)
        super().projector(inputs, outputs)

    def compute_projector(self, stack: Stack, takes: str) -> str:
        epsilon = self.text.config.number("rms_norm_eps") or 1e-5
        normed = stack.norm("norm", takes, "RMSNorm", epsilon)
        count = self.config.size("spatial_merge_size") ** 2
        merged = stack.merged("patch_merger", normed, count, count * self.vision_width)
        return super().compute_projector(stack, stack.dense("patch_merger.merging_layer", merged))


class Gemma3Pair(Pair):
    """Gemma 3. arXiv:2503.19786."""

    model_types = ("gemma3",)

    def projector(self, inputs: int, outputs: int) -> None:
        weight = Tensor((inputs, outputs), ZERO, (0,), (1,))
        self.modules.add("", "Projector", mm_input_projection_weight=weight)
        self.modules.norm("mm_soft_emb_norm", inputs, "RMSNorm", 0.0)

    feature_layer = None

    def compute_projector(self, stack: Stack, takes: str) -> str:
        count, width = self.config.size("mm_tokens_per_image"), self.vision_width
        across, along = math.isqrt(count), math.isqrt(stack.steps)
        if along < across:
            raise NotComputed(f"how {stack.steps:,} patches become {count:,} tokens")
        name = "mm_input_projection"
        grid = stack.add("Reshape", f"{name}.grid", takes, target_shape=[along, along, width])
        pooled = stack.add("AveragePooling2D", f"{name}.mean", grid, pool_size=along // across)
        flat = stack.add("Reshape", f"{name}.flat", pooled, target_shape=[-1, width])
        epsilon = self.vision.config.number("layer_norm_eps") or 1e-6
        normed = stack.norm("mm_soft_emb_norm", flat, "RMSNorm", epsilon, 1.0)
        stack.use(f"{name}_weight")
        return stack.add(
            *("Dense", name, normed),
            units=self.text_width,
            use_bias=False,
            kernel_initializer="zeros",
        )


class PaliGemma(Pair):
    """PaliGemma. Beyer et al. 2024, arXiv:2407.07726."""

    model_types = ("paligemma",)

    def projector(self, inputs: int, outputs: int) -> None:
        self.modules.linear("linear", inputs, self.config.size("projection_dim"))

    feature_layer = None

    def compute_projector(self, stack: Stack, takes: str) -> str:
        return stack.dense("linear", takes)

    width_keys = (*Pair.width_keys, "projection_dim")


class Qwen2Vl(Pair):
    """Qwen 2, 2.5 and 3 VL, of which the vision tower projects itself. arXiv:2409.12191."""

    model_types: ClassVar[tuple[str, ...]] = ("qwen2_vl", "qwen2_5_vl")
    vision_names = ("visual",)
    ties_as_text: ClassVar[bool] = True
    flat_part = "text_config"

    def projector(self, inputs: int, outputs: int) -> None:
        """There is none."""

    feature_layer = None

    def compute_projector(self, stack: Stack, takes: str) -> str:
        assert isinstance(self.vision, Qwen2VlVision)
        given, taken = self.vision.config.size(self.vision.out_key), self.text_width
        if given != taken:
            message = f"`{self.vision.out_key}` of the vision tower is {given:,}, and its tokens "
            message += f"are those of a language model with a `hidden_size` of {taken:,}"
            self.config.errors.report(message, self.vision.config.path)
            raise NotComputed("parts of different widths")
        return takes


class Qwen3Vl(Qwen2Vl):
    """Qwen 3 VL and 3.5."""

    model_types = ("qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe")
    ties_as_text = False
    flat_part = ""


class Idefics3(Pair):
    """Idefics 3 and SmolVLM. arXiv:2408.12637."""

    model_types = ("idefics3", "smolvlm")
    vision_names = ("vision_model",)
    projector_name = "connector"
    text_name = "text_model"

    def projector(self, inputs: int, outputs: int) -> None:
        joined = inputs * self.config.size("scale_factor") ** 2
        self.modules.linear("modality_projection.proj", joined, outputs, False)

    feature_layer = None

    def compute_projector(self, stack: Stack, takes: str) -> str:
        count = self.config.size("scale_factor") ** 2
        merged = stack.merged("connector", takes, count, count * self.vision_width)
        return stack.dense("modality_projection.proj", merged)


class InternVl(Pair):
    """InternVL. Zhu et al. 2025, arXiv:2504.10479."""

    model_types = ("internvl",)

    def projector(self, inputs: int, outputs: int) -> None:
        ratio = self.config.number("downsample_ratio") or 1.0
        joined = inputs * int(1 / ratio) ** 2
        self.modules.norm("layer_norm", joined)
        self.modules.linear("linear_1", joined, outputs)
        self.modules.linear("linear_2", outputs, outputs)

    def compute_projector(self, stack: Stack, takes: str) -> str:
        ratio = self.config.number("downsample_ratio") or 1.0
        count = int(1 / ratio) ** 2
        merged = stack.merged("shuffled", takes, count, count * self.vision_width)
        return super().compute_projector(stack, stack.norm("layer_norm", merged, "LayerNorm", 1e-5))


class Cohere2Vision(Pair):
    """Command A Vision."""

    model_types = ("cohere2_vision",)

    def projector(self, inputs: int, outputs: int) -> None:
        joined, inner = inputs * self.config.size("downsample_factor") ** 2, self.inner(outputs)
        self.modules.linear("linear_1", joined, inner)
        self.modules.linear("linear_2", inner // 2, outputs)

    feature_layer: int | None = None

    def compute_projector(self, stack: Stack, takes: str) -> str:
        count = self.config.size("downsample_factor") ** 2
        merged = stack.merged("shuffled", takes, count, count * self.vision_width)
        merged = self.compute_norm(stack, merged)
        return stack.dense("linear_2", stack.gated("product", ["linear_1"], merged, "silu"))

    def compute_norm(self, stack: Stack, takes: str) -> str:
        """Add what stands before the projections."""
        return takes

    def inner(self, outputs: int) -> int:
        """The width of the projector, of which one half gates the other."""
        given = self.config.optional_size("alignment_intermediate_size")
        return outputs if given is None else given


class AyaVision(Cohere2Vision):
    """Aya Vision. Cohere 2025."""

    model_types = ("aya_vision",)

    def projector(self, inputs: int, outputs: int) -> None:
        joined = inputs * self.config.size("downsample_factor") ** 2
        self.modules.norm("layernorm", joined)
        super().projector(inputs, outputs)

    def compute_norm(self, stack: Stack, takes: str) -> str:
        return stack.norm("layernorm", takes, "LayerNorm", 1e-6)


class Lfm2Vl(Pair):
    """LFM2-VL. Liquid AI 2025."""

    model_types = ("lfm2_vl",)

    def projector(self, inputs: int, outputs: int) -> None:
        config, modules = self.config, self.modules
        joined, inner = inputs * config.size("downsample_factor") ** 2, self.inner
        bias = config.flag("projector_bias")
        if config.flag("projector_use_layernorm"):
            modules.norm("layer_norm", joined)
        modules.linear("linear_1", joined, inner, bias)
        modules.linear("linear_2", inner, outputs, bias)

    feature_layer = None

    def compute_projector(self, stack: Stack, takes: str) -> str:
        count = self.config.size("downsample_factor") ** 2
        merged = stack.merged("unshuffled", takes, count, count * self.vision_width)
        if "layer_norm" in stack:
            merged = stack.norm("layer_norm", merged, "LayerNorm", 1e-5)
        return super().compute_projector(stack, merged)

    @property
    def inner(self) -> int:
        """The width of the projector."""
        return self.config.size("projector_hidden_size")
