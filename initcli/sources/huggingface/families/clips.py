"""Pairs of towers that follow CLIP."""

from __future__ import annotations

from typing import ClassVar

from initcli.initializers import Constant
from initcli.sources.huggingface.families.bert import Bert
from initcli.sources.huggingface.families.masks import transposed
from initcli.sources.huggingface.families.roberta import Roberta
from initcli.sources.huggingface.families.towers import Clip, ClipText, ClipVision, Tower
from initcli.sources.huggingface.families.vision import bounded_normal
from initcli.sources.huggingface.family import Family
from initcli.sources.huggingface.modules import Tensor


class ClipSegText(ClipText):
    """The text tower of CLIPSeg."""

    model_types = ("clipseg_text_model",)
    compute = Family.compute
    heads = ("Model",)


class OwlText(ClipText):
    """The text towers of OWL."""

    model_types = ("owlvit_text_model", "owlv2_text_model")
    compute = Family.compute
    heads = ("Model", "Transformer")
    bare = "Transformer"


class MetaClip2Text(ClipText):
    """The text tower of MetaCLIP 2."""

    model_types = ("metaclip_2_text_model",)
    compute = Family.compute


class OtherVision(ClipVision):
    """Vision towers that are those of CLIP."""

    model_types = (*("clipseg_vision_model", "altclip_vision_model", "chinese_clip_vision_model"),)
    compute = Family.compute
    heads = ("Model",)


class MetaClip2Vision(ClipVision):
    """The vision tower of MetaCLIP 2."""

    model_types = ("metaclip_2_vision_model",)
    compute = Family.compute


class OwlVision(ClipVision):
    """The vision towers of OWL."""

    model_types = ("owlvit_vision_model", "owlv2_vision_model")
    compute = Family.compute
    heads = ("Model", "Transformer")
    bare = "Transformer"
    first_norm = "pre_layernorm"


class ClipSeg(Clip):
    """CLIPSeg, which segments. Lüddecke and Ecker 2021, arXiv:2112.10003."""

    model_types = ("clipseg",)
    compute = Family.compute
    heads = ("ForImageSegmentation", "Model")

    def describe(self, head: str) -> None:
        if head == "Model":
            self.towers()
            return
        with self.modules.within("clip"):
            self.towers()
        with self.modules.within("decoder"):
            self.decoder()

    def decoder(self) -> None:
        """Add what makes an image of some layers."""
        config, modules, vision = self.config, self.modules, self.part("vision_config").config
        width, size = config.size("reduce_dim"), config.size("projection_dim")
        patch = vision.size("patch_size")
        modules.linear("film_mul", size, width)
        modules.linear("film_add", size, width)
        name = "transposed_convolution"
        if config.flag("use_complex_transposed_convolution"):
            modules.convolution(f"{name}.0", width, width, (3, 3))
            transposed(modules, f"{name}.2", (width, width // 2, patch // 4, patch // 4))
            transposed(modules, f"{name}.4", (width // 2, 1, patch // 4, patch // 4))
        else:
            transposed(modules, name, (width, 1, patch, patch))
        seen = vision.size("hidden_size")
        layer = self.part("vision_config")
        layer.config.data = {
            **layer.config.data,
            "hidden_size": width,
            "intermediate_size": config.size("decoder_intermediate_size"),
            "initializer_factor": config.number("initializer_factor"),
        }
        for index in range(len(config.numbers("extract_layers"))):
            modules.linear(f"reduces.{index}", seen, width)
            with modules.within(f"layers.{index}"):
                if isinstance(layer, Tower):
                    layer.layer()


class OwlVit(Clip):
    """OWL-ViT, which detects objects by their names. Minderer et al. 2022, arXiv:2205.06230."""

    model_types: ClassVar[tuple[str, ...]] = ("owlvit",)
    compute = Family.compute
    heads = ("ForObjectDetection", "Model")
    body_name: ClassVar[str] = "owlvit"
    box_heads: ClassVar[dict[str, int]] = {"box_head": 4}

    def describe(self, head: str) -> None:
        with self.modules.within("" if head == "Model" else self.body_name):
            self.towers()
        if head == "Model":
            return
        modules, vision, text = self.modules, self.part("vision_config"), self.part("text_config")
        width, out = vision.config.size("hidden_size"), text.config.size("hidden_size")
        for name, size in {"dense0": out, "logit_shift": 1, "logit_scale": 1}.items():
            modules.linear(f"class_head.{name}", width, size)
        for name, size in self.box_heads.items():
            for index, outputs in enumerate((width, width, size)):
                modules.linear(f"{name}.dense{index}", width, outputs)
        modules.norm("layer_norm", width)


class OwlV2(OwlVit):
    """OWL 2. Minderer et al. 2023, arXiv:2306.09683."""

    model_types = ("owlv2",)
    body_name = "owlv2"
    box_heads = {"box_head": 4, "objectness_head": 1}


class MetaClip2(Clip):
    """MetaCLIP 2. Chuang et al. 2025, arXiv:2507.22062."""

    model_types = ("metaclip_2",)
    compute = Family.compute


class AltClipText(Roberta):
    """The text tower of AltCLIP. Chen et al. 2022, arXiv:2211.06679."""

    model_types = ("altclip_text_model",)
    compute = Family.compute
    heads = ("AltCLIPTextModel", "AltRobertaModel")
    pooled_heads = ("AltRobertaModel",)
    blocks = "encoder.layers"

    def describe(self, head: str) -> None:
        config, width = self.config, self.config.size("hidden_size")
        config.activation("hidden_act")
        config.quotient("hidden_size", "num_attention_heads")
        is_bare = head in self.pooled_heads
        with self.modules.within("" if is_bare else self.body_name):
            self.body(width, pools=is_bare)
        if not is_bare:
            self.modules.norm("pre_LN", width)
            self.modules.linear("transformation", width, config.size("project_dim"))

    @property
    def bare_head(self) -> str:
        return "AltCLIPTextModel"


class AltClip(Clip):
    """AltCLIP, of which the text tower is XLM-RoBERTa."""

    model_types = ("altclip",)
    compute = Family.compute

    def tower(self, name: str, part: Family) -> int:
        width = super().tower(name, part)
        return part.config.size("project_dim") if name == "text_model" else width


class ChineseClipText(Bert):
    """The text tower of Chinese CLIP, which is BERT. Yang et al. 2022, arXiv:2211.01335."""

    model_types = ("chinese_clip_text_model",)
    compute = Family.compute
    heads = ("Model",)


class ChineseClip(Clip):
    """Chinese CLIP."""

    model_types = ("chinese_clip",)
    compute = Family.compute

    def tower(self, name: str, part: Family) -> int:
        if not isinstance(part, Bert):
            return super().tower(name, part)
        width = part.config.size("hidden_size")
        with self.modules.within(name), self.modules.filled_by(part.std):
            part.body(width, pools=False)
        return width


class BlipText(Bert):
    """The text tower of BLIP, which sees images. Li et al. 2022, arXiv:2201.12086."""

    model_types = ("blip_text_model",)
    compute = Family.compute
    heads = ("LMHeadModel", "Model")
    has_segments = False
    pooled_heads = ("Model",)

    def layer(self, width: int) -> None:
        super().layer(width)
        if not self.config.flag("is_decoder"):
            return
        seen = self.config.size("encoder_hidden_size")
        with self.modules.within("crossattention"):
            for name, inputs in (("query", width), ("key", seen), ("value", seen)):
                self.modules.linear(f"self.{name}", inputs, width)
            self.modules.linear("output.dense", width, width)
            self.modules.norm("output.LayerNorm", width)

    def decoder(self, name: str, width: int, rows: int) -> None:
        if not self.config.flag("tie_word_embeddings"):
            self.modules.linear(f"{name}.decoder", width, rows)
            return
        with self.modules.within(f"{name}.decoder"):
            table = "bert.embeddings.word_embeddings.weight"
            self.modules.tie_within("weight", table, f"{name}.decoder")
            self.modules.tie_within("bias", f"{name}.bias", f"{name}.decoder")


class BlipVision(Tower):
    """The vision tower of BLIP."""

    model_types = ("blip_vision_model",)
    compute = Family.compute
    defaults = {"num_channels": 3}

    def embeddings(self) -> None:
        drawn, width = bounded_normal(self.config.number("initializer_range")), self.width
        tokens = {
            "class_embedding": Tensor((1, 1, width), drawn),
            "position_embedding": Tensor((1, self.num_patches + 1, width), drawn),
        }
        with self.modules.within("embeddings"):
            self.modules.add("", "Embeddings", **tokens)
            self.patches(bias=True)

    def layer(self) -> None:
        modules, width, inner = self.modules, self.width, self.config.size("intermediate_size")
        modules.linear("self_attn.qkv", width, 3 * width)
        modules.linear("self_attn.projection", width, width)
        modules.norm("layer_norm1", width)
        modules.linear("mlp.fc1", width, inner)
        modules.linear("mlp.fc2", inner, width)
        modules.norm("layer_norm2", width)


class Blip(Family):
    """BLIP, which describes images. Li et al. 2022, arXiv:2201.12086."""

    model_types = ("blip",)
    heads = (
        *("ForConditionalGeneration", "Model", "ForQuestionAnswering", "ForImageTextRetrieval"),
    )

    def describe(self, head: str) -> None:
        config, modules = self.config, self.modules
        text, vision = self.part("text_config"), self.part("vision_config")
        seen, width = vision.config.size("hidden_size"), text.config.size("hidden_size")
        key = "tie_word_embeddings"
        text.config.data = {
            **text.config.data,
            "encoder_hidden_size": seen,
            "tie_word_embeddings": config.flag(key) or text.config.flag(key),
        }
        self.add_part("vision_model", vision)
        match head:
            case "Model":
                scale, size = config.number("logit_scale_init_value"), config.size("projection_dim")
                modules.add("", "BlipModel", logit_scale=Tensor((), Constant(value=scale)))
                self.add_text("text_model", text, "Model")
                modules.linear("visual_projection", seen, size, False)
                modules.linear("text_projection", width, size, False)
            case "ForConditionalGeneration":
                self.add_text("text_decoder", text, "LMHeadModel")
            case "ForQuestionAnswering":
                self.add_text("text_encoder", text, "")
                self.add_text("text_decoder", text, "LMHeadModel")
            case "ForImageTextRetrieval":
                size = config.size("image_text_hidden_size")
                self.add_text("text_encoder", text, "")
                modules.linear("vision_proj", seen, size)
                modules.linear("text_proj", width, size)
                modules.linear("itm_head", width, 2)

    def add_text(self, name: str, text: Family, head: str) -> None:
        """Add the text tower, with a head or, if that is empty, without a pooler."""
        with self.modules.within(name), self.modules.filled_by(text.std):
            if head:
                text.describe(head)
            elif isinstance(text, Bert):
                text.body(text.config.size("hidden_size"), pools=False)
