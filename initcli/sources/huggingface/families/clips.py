"""Pairs of towers that follow CLIP."""

from __future__ import annotations

from typing import ClassVar

from initcli.initializers import Constant
from initcli.sources.huggingface.entries import NotComputed
from initcli.sources.huggingface.families.bert import Bert
from initcli.sources.huggingface.families.masks import transposed
from initcli.sources.huggingface.families.roberta import Roberta
from initcli.sources.huggingface.families.towers import Clip, ClipText, ClipVision, Tower
from initcli.sources.huggingface.families.vision import bounded_normal
from initcli.sources.huggingface.family import Family
from initcli.sources.huggingface.modules import Tensor
from initcli.sources.huggingface.stack import Stack


class ClipSegText(ClipText):
    """The text tower of CLIPSeg."""

    model_types = ("clipseg_text_model",)
    heads = ("Model",)


class OwlText(ClipText):
    """The text towers of OWL."""

    model_types = ("owlvit_text_model", "owlv2_text_model")
    heads = ("Model", "Transformer")
    bare = "Transformer"


class MetaClip2Text(ClipText):
    """The text tower of MetaCLIP 2."""

    model_types = ("metaclip_2_text_model",)


class OtherVision(ClipVision):
    """Vision towers that are those of CLIP."""

    model_types = (*("clipseg_vision_model", "altclip_vision_model", "chinese_clip_vision_model"),)
    heads = ("Model",)


class MetaClip2Vision(ClipVision):
    """The vision tower of MetaCLIP 2."""

    model_types = ("metaclip_2_vision_model",)


class OwlVision(ClipVision):
    """The vision towers of OWL."""

    model_types = ("owlvit_vision_model", "owlv2_vision_model")
    heads = ("Model", "Transformer")
    bare = "Transformer"
    first_norm = "pre_layernorm"


class ClipSeg(Clip):
    """CLIPSeg, which segments. Lüddecke and Ecker 2021, arXiv:2112.10003."""

    model_types = ("clipseg",)
    heads = ("ForImageSegmentation", "Model")

    def describe(self, head: str) -> None:
        if head == "Model":
            self.towers()
            return
        with self.modules.within("clip"):
            self.towers()
        with self.modules.within("decoder"):
            self.decoder()

    def compute(self, stack: Stack, head: str) -> None:
        if head == "Model":
            super().compute(stack, head)
            return
        with stack.within("clip"):
            super().compute(stack, head)
        size = list(self.part("vision_config").config.pair("image_size"))
        seen = ["clip.visual_projection", "clip.text_projection"]
        stack.unknown("decoder", seen, "decoder of segments", size, "decoder")

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

    def compute(self, stack: Stack, head: str) -> None:
        if head == "Model":
            super().compute(stack, head)
            return
        with stack.within(self.body_name):
            super().compute(stack, head)
        seen, patches = f"{self.body_name}.vision_model.post_layernorm", stack.steps - 1
        first = stack.add("Cropping1D", "class_token", seen, cropping=[0, patches])
        stream = stack.product("merged", stack.without_first(seen), first)
        stream = stack.norm("layer_norm", stream, "LayerNorm", 1e-5)
        stack.dense("class_head.dense0", stream)
        stack.dense("class_head.logit_shift", stream)
        stack.dense("class_head.logit_scale", stream, "elu")
        for name in self.box_heads:
            inner = stack.dense(f"{name}.dense0", stream, "gelu")
            inner = stack.dense(f"{name}.dense1", inner, "gelu")
            stack.dense(f"{name}.dense2", inner)

    def compute_pooled(self, stack: Stack, part: Family) -> str:
        if isinstance(part, OwlVision):
            return stack.one("pooled", part.compute_tower(stack))
        return super().compute_pooled(stack, part)


class OwlV2(OwlVit):
    """OWL 2. Minderer et al. 2023, arXiv:2306.09683."""

    model_types = ("owlv2",)
    body_name = "owlv2"
    box_heads = {"box_head": 4, "objectness_head": 1}


class MetaClip2(Clip):
    """MetaCLIP 2. Chuang et al. 2025, arXiv:2507.22062."""

    model_types = ("metaclip_2",)


class AltClipText(Roberta):
    """The text tower of AltCLIP. Chen et al. 2022, arXiv:2211.06679."""

    model_types = ("altclip_text_model",)
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

    def compute(self, stack: Stack, head: str) -> None:
        if head in self.pooled_heads:
            super().compute(stack, "Model")
        else:
            self.compute_projected(stack)

    def compute_projected(self, stack: Stack) -> str:
        """Add the tower, with the projection of all positions."""
        with stack.within(self.body_name):
            _, stream = self.compute_body(stack, self.token_ids(stack))
        return stack.dense("transformation", self.compute_norm(stack, "pre_LN", stream))

    @property
    def bare_head(self) -> str:
        return "AltCLIPTextModel"


class AltClip(Clip):
    """AltCLIP, of which the text tower is XLM-RoBERTa."""

    model_types = ("altclip",)

    def tower(self, name: str, part: Family) -> int:
        width = super().tower(name, part)
        return part.config.size("project_dim") if name == "text_model" else width

    def compute_pooled(self, stack: Stack, part: Family) -> str:
        if isinstance(part, AltClipText):
            return stack.one("pooled", part.compute_projected(stack))
        return super().compute_pooled(stack, part)


class ChineseClipText(Bert):
    """The text tower of Chinese CLIP, which is BERT. Yang et al. 2022, arXiv:2211.01335."""

    model_types = ("chinese_clip_text_model",)
    heads = ("Model",)


class ChineseClip(Clip):
    """Chinese CLIP."""

    model_types = ("chinese_clip",)

    def tower(self, name: str, part: Family) -> int:
        if not isinstance(part, Bert):
            return super().tower(name, part)
        width = part.config.size("hidden_size")
        with self.modules.within(name), self.modules.filled_by(part.std):
            part.body(width, pools=False)
        return width

    def compute_pooled(self, stack: Stack, part: Family) -> str:
        if isinstance(part, Bert):
            return stack.one("pooled", part.compute_body(stack, part.token_ids(stack))[1])
        return super().compute_pooled(stack, part)


class BlipText(Bert):
    """The text tower of BLIP, which sees images. Li et al. 2022, arXiv:2201.12086."""

    model_types = ("blip_text_model",)
    heads = ("LMHeadModel", "Model")
    has_segments = False
    pooled_heads = ("Model",)
    is_causal = True

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

    def compute_layer(
        self, stack: Stack, stream: str = "input", *, is_causal: bool, source: str = ""
    ) -> None:
        if not source:
            stack.leave_out("crossattention", "attention to an image, without one")
        super().compute_layer(stack, stream, is_causal=is_causal, source=source)

    def compute_tower(self, stack: Stack, source: str = "") -> str:
        """Add the tower without a head."""
        return self.compute_body(stack, self.token_ids(stack), source=source)[1]

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

    qkv = ("self_attn.qkv",) * 3
    out = "self_attn.projection"

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
        text, vision = self.text, self.part("vision_config")
        seen, width = vision.config.size("hidden_size"), text.config.size("hidden_size")
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

    def compute(self, stack: Stack, head: str) -> None:
        text, vision = self.text, self.part("vision_config")
        assert isinstance(vision, BlipVision)
        with stack.within("vision_model"):
            seen = vision.compute_tower(stack)
        match head:
            case "Model":
                with stack.within("vision_model"):
                    first = stack.again("pooled.norm", seen, stack.one("pooled", seen))
                stack.dense("visual_projection", first)
                with stack.within("text_model"):
                    first = stack.one("pooler", text.compute_tower(stack))
                    pooled = stack.dense("pooler.dense", first, "tanh")
                stack.dense("text_projection", pooled)
                stack.leave_out("logit_scale", "the products of both towers' outputs")
            case "ForConditionalGeneration" | "ForQuestionAnswering":
                if head == "ForQuestionAnswering":
                    if text.config.size("hidden_size") != vision.width:
                        raise NotComputed("a decoder of another width than its encoder")
                    with stack.within("text_encoder"):
                        seen = text.compute_tower(stack, seen)
                with stack.within("text_decoder"):
                    text.compute_class(stack, "LMHeadModel", seen)
            case "ForImageTextRetrieval":
                with stack.within("text_encoder"):
                    first = stack.one("pooled", text.compute_tower(stack, seen))
                stack.dense("itm_head", first)
                for name in ("vision_proj", "text_proj"):
                    stack.leave_out(name, "the products of both towers' outputs")

    @property
    def text(self) -> BlipText:
        """The text tower, which takes the width of images and the tie from the whole."""
        config, text = self.config, self.part("text_config")
        assert isinstance(text, BlipText)
        key = "tie_word_embeddings"
        text.config.data = {
            **text.config.data,
            "encoder_hidden_size": self.part("vision_config").config.size("hidden_size"),
            key: config.flag(key) or text.config.flag(key),
        }
        return text

    def add_text(self, name: str, text: Bert, head: str) -> None:
        """Add the text tower, with a head or, if that is empty, without a pooler."""
        with self.modules.within(name), self.modules.filled_by(text.std):
            if head:
                text.describe(head)
            else:
                text.body(text.config.size("hidden_size"), pools=False)
