"""More language models that see, and their towers."""

from __future__ import annotations

from typing import ClassVar

from initcli.sources.huggingface.families.decoder import Decoder
from initcli.sources.huggingface.families.grouped import Glm4Moe
from initcli.sources.huggingface.families.llama import Glm4
from initcli.sources.huggingface.families.pairs import Pair, Qwen2Vl
from initcli.sources.huggingface.families.towers import glorot
from initcli.sources.huggingface.families.vision import bounded_normal
from initcli.sources.huggingface.family import Family
from initcli.sources.huggingface.modules import ONE, ZERO, Tensor, normal


class Glm4vText(Glm4):
    """The language model of GLM 4.1V. arXiv:2507.01006."""

    model_types = ("glm4v_text",)
    compute = Family.compute
    heads = ("TextModel",)
    qkv_bias = True
    head_dim_key = ""


class Glm4vMoeText(Glm4Moe):
    """The language model of GLM 4.5V."""

    model_types = ("glm4v_moe_text",)
    compute = Family.compute
    heads = ("TextModel",)
    has_qk_norm = False
    head_dim_key = ""


class Glm4vVision(Family):
    """The vision towers of GLM 4.1V and 4.5V."""

    model_types = ("glm4v_vision", "glm4v_moe_vision")
    heads = ("Model",)

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

    def gated(self, name: str, width: int, inner: int) -> None:
        """Add a gated feed-forward layer."""
        for each in ("gate_proj", "up_proj"):
            self.modules.linear(f"{name}.{each}", width, inner, False)
        self.modules.linear(f"{name}.down_proj", inner, width, False)


class Glm4v(Qwen2Vl):
    """GLM 4.1V. arXiv:2507.01006."""

    model_types: ClassVar[tuple[str, ...]] = ("glm4v",)
    compute = Family.compute
    ties_as_text = False
    flat_part = ""


class Glm4vMoe(Glm4v):
    """GLM 4.5V."""

    model_types = ("glm4v_moe",)
    ties_as_text = True


class Lfm2Vl(Pair):
    """LFM2-VL. Liquid AI 2025."""

    model_types = ("lfm2_vl",)
    compute = Family.compute

    def projector(self, inputs: int, outputs: int) -> None:
        config, modules = self.config, self.modules
        joined, inner = inputs * config.size("downsample_factor") ** 2, self.inner
        bias = config.flag("projector_bias")
        if config.flag("projector_use_layernorm"):
            modules.norm("layer_norm", joined)
        modules.linear("linear_1", joined, inner, bias)
        modules.linear("linear_2", inner, outputs, bias)

    @property
    def inner(self) -> int:
        """The width of the projector."""
        return self.config.size("projector_hidden_size")


class Fuyu(Family):
    """Fuyu, of which patches are tokens. Adept 2023."""

    model_types = ("fuyu",)
    heads = ("ForCausalLM", "Model")

    def describe(self, head: str) -> None:
        config, modules, text = self.config, self.modules, self.part("text_config")
        width, rows = text.config.size("hidden_size"), text.config.size("vocab_size")
        pixels = config.size("num_channels") * config.size("patch_size") ** 2
        with modules.within("" if head == "Model" else "model"):
            modules.linear("vision_embed_tokens", pixels, width)
            self.add_part("language_model", text)
        if head == "Model":
            return
        if config.flag("tie_word_embeddings"):
            modules.tie("lm_head.weight", "model.language_model.embed_tokens.weight")
        else:
            modules.linear("lm_head", width, rows, False)

    @property
    def std(self) -> float:
        own = self.config.is_null(self.std_key)
        return self.part("text_config").std if own else super().std


class Llama4Vision(Family):
    """The vision tower of Llama 4. Meta 2025."""

    model_types = ("llama4_vision_model",)
    heads = ("VisionModel",)

    def describe(self, head: str) -> None:
        config, modules, width = self.config, self.modules, self.config.size("hidden_size")
        config.activation("hidden_act")
        config.quotient("hidden_size", "num_attention_heads", is_strict=False)
        inner, patch = config.size("intermediate_size"), config.size("patch_size")
        drawn = normal(width**-0.5)
        patches = (config.size("image_size") // patch) ** 2
        modules.add(
            "",
            "VisionModel",
            class_embedding=Tensor((width,), drawn),
            positional_embedding_vlm=Tensor((patches + 1, width), drawn),
        )
        pixels = config.size("num_channels") * patch**2
        modules.linear("patch_embedding.linear", pixels, width, False)
        for name in ("layernorm_pre", "layernorm_post"):
            modules.norm(name, width)
        for index in range(config.size("num_hidden_layers", 0)):
            with modules.within(f"model.layers.{index}"):
                for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
                    modules.linear(f"self_attn.{name}", width, width)
                modules.linear("mlp.fc1", width, inner)
                modules.linear("mlp.fc2", inner, width)
                for name in ("input_layernorm", "post_attention_layernorm"):
                    modules.norm(name, width)
        into, out = config.size("projector_input_dim"), config.size("projector_output_dim")
        with modules.within("vision_adapter.mlp"):
            modules.linear("fc1", inner, into, False)
            modules.linear("fc2", out, out, False)


class Llama4Pair(Family):
    """Llama 4. Meta 2025."""

    model_types = ("llama4",)
    heads = ("ForConditionalGeneration",)

    def describe(self, head: str) -> None:
        modules, vision, text = self.modules, self.part("vision_config"), self.part("text_config")
        self.add_part("vision_model", vision)
        width = vision.config.size("vision_output_dim")
        name = "multi_modal_projector.linear_1"
        modules.linear(name, width, text.config.size("hidden_size"), False)
        with modules.within("language_model"), modules.filled_by(text.std):
            text.describe("ForCausalLM")

    @property
    def std(self) -> float:
        return self.part("text_config").std


class MllamaText(Decoder):
    """The language model of Llama 3.2 Vision, of which some blocks attend to images. Meta 2024."""

    model_types = ("mllama_text_model",)
    compute = Family.compute
    defaults = {"cross_attention_layers": [3, 8, 13, 18, 23, 28, 33, 38]}
    heads = ("TextModel", "ForCausalLM")
    qkv_bias = out_bias = False
    head_dim_key = ""

    def embeddings(self) -> None:
        padding = self.config.index("pad_token_id", self.num_rows)
        self.modules.embedding(self.table, self.num_rows + 8, self.width, padding)

    def block(self, index: int) -> None:
        if index not in self.config.numbers("cross_attention_layers"):
            super().block(index)
            return
        with self.modules.within("cross_attn"):
            self.attention(index)
            for name in self.qk_norms:
                self.norm(name, self.head_dim)
        gate = Tensor((1,), ZERO)
        self.modules.add("", "Block", cross_attn_attn_gate=gate, cross_attn_mlp_gate=gate)
        self.feed_forward(index)
        for name in self.norms[:2]:
            self.norm(name, self.width)

    def is_tied(self, head: str) -> bool:
        return False


class MllamaVision(Family):
    """The vision tower of Llama 3.2 Vision, which sees tiles of an image."""

    model_types = ("mllama_vision_model",)
    defaults = {
        "supported_aspect_ratios": [
            *([1, 1], [1, 2], [1, 3], [1, 4], [2, 1], [2, 2], [3, 1], [4, 1]),
        ]
    }
    heads = ("VisionModel",)

    def describe(self, head: str) -> None:
        config, modules, width = self.config, self.modules, self.config.size("hidden_size")
        config.activation("hidden_act")
        patch, tiles = config.size("patch_size"), config.size("max_num_tiles")
        places = (config.size("image_size") // patch) ** 2 + 1
        rows = config.length("supported_aspect_ratios") + 1
        drawn = normal(modules.std)
        modules.add("", "VisionModel", class_embedding=Tensor((width,), drawn))
        kernel = (patch, patch)
        modules.convolution("patch_embedding", config.size("num_channels"), width, kernel, False)
        tensors = {"embedding": Tensor((places, width), drawn), "gate": Tensor((1,), ZERO)}
        with modules.within("gated_positional_embedding"):
            modules.add("", "Positions", **tensors)
            modules.embedding("tile_embedding", rows, tiles * places * width)
        for name in ("pre_tile_positional_embedding", "post_tile_positional_embedding"):
            modules.add(name, "Positions", gate=Tensor((1,), ZERO))
            modules.embedding(f"{name}.embedding", rows, tiles * width)
        for name in ("layernorm_pre", "layernorm_post"):
            modules.norm(name, width)
        self.layers("transformer", config.size("num_hidden_layers", 0), width)
        self.layers("global_transformer", config.size("num_global_layers", 0), width)

    def layers(self, name: str, count: int, width: int) -> None:
        """Add a stack of layers; those of the global one are gated."""
        modules, inner = self.modules, self.config.size("intermediate_size")
        heads = self.config.size("attention_heads")
        queries = width // heads * heads
        for index in range(count):
            with modules.within(f"{name}.layers.{index}"):
                if name == "global_transformer":
                    gate = Tensor((1,), normal(modules.std))
                    modules.add("", "Layer", gate_attn=gate, gate_ffn=gate)
                for each in ("q_proj", "k_proj", "v_proj"):
                    modules.linear(f"self_attn.{each}", width, queries, False)
                modules.linear("self_attn.o_proj", queries, width, False)
                modules.linear("mlp.fc1", width, inner)
                modules.linear("mlp.fc2", inner, width)
                for each in ("input_layernorm", "post_attention_layernorm"):
                    modules.norm(each, width)


class Mllama(Pair):
    """Llama 3.2 Vision. Meta 2024, arXiv:2407.21783."""

    model_types = ("mllama",)
    compute = Family.compute
    vision_names = ("vision_model",)
    projector_name = ""

    def projector(self, inputs: int, outputs: int) -> None:
        size = self.vision.config.size("vision_output_dim")
        self.modules.linear("multi_modal_projector", size, outputs)

    is_tied = False


class Idefics2Perceiver(Family):
    """What makes some tokens of many in Idefics 2. arXiv:2405.02246."""

    model_types = ("idefics2_perceiver",)
    heads = ("PerceiverResampler",)

    def describe(self, head: str) -> None:
        config, modules, width = self.config, self.modules, self.config.size("hidden_size")
        config.activation("hidden_act")
        count, size = config.size("resampler_n_heads"), config.size("resampler_head_dim")
        queries, keys = count * size, config.size("num_key_value_heads") * size
        latents = Tensor((config.size("resampler_n_latents"), width), ONE)
        modules.add("", "Resampler", latents=latents)
        for index in range(config.size("resampler_depth", 0)):
            with modules.within(f"layers.{index}"):
                for name, outputs in (("q_proj", queries), ("k_proj", keys), ("v_proj", keys)):
                    modules.linear(f"self_attn.{name}", width, outputs, False)
                modules.linear("self_attn.o_proj", queries, width, False)
                for name in ("gate_proj", "up_proj"):
                    modules.linear(f"mlp.{name}", width, 4 * width, False)
                modules.linear("mlp.down_proj", 4 * width, width, False)
                for name in ("input_latents_norm", "input_context_norm"):
                    modules.norm(name, width, "RMSNorm")
                modules.norm("post_attention_layernorm", width, "RMSNorm")
        modules.norm("norm", width, "RMSNorm")


class Idefics2(Pair):
    """Idefics 2. Laurençon et al. 2024, arXiv:2405.02246."""

    model_types = ("idefics2",)
    compute = Family.compute
    vision_names = ("vision_model",)
    projector_name = "connector"
    text_name = "text_model"

    def projector(self, inputs: int, outputs: int) -> None:
        modules, inner = self.modules, self.text.config.size("intermediate_size")
        for name in ("gate_proj", "up_proj"):
            modules.linear(f"modality_projection.{name}", inputs, inner, False)
        modules.linear("modality_projection.down_proj", inner, outputs, False)
        perceiver = self.part("perceiver_config")
        perceiver.config.data = {**perceiver.config.data, "hidden_size": outputs}
        with modules.within("perceiver_resampler"), modules.filled_by(perceiver.std):
            perceiver.describe("PerceiverResampler")


class Aria(Pair):
    """Aria. Li et al. 2024, arXiv:2410.05993."""

    model_types = ("aria",)
    compute = Family.compute
    defaults = {"projector_patch_to_query_dict": {"1225": 128, "4900": 256}}

    def projector(self, inputs: int, outputs: int) -> None:
        modules, inner = self.modules, self.text.config.size("hidden_size")
        most = self.config.most("projector_patch_to_query_dict")
        modules.add("", "Projector", query=Tensor((most, inputs), bounded_normal(self.std)))
        with modules.within("cross_attn"):
            for name in ("q_proj", "k_proj", "v_proj"):
                modules.linear(name, inputs, inputs, False)
            modules.linear("linear", inputs, inputs)
            packed = Tensor((3 * inputs, inputs), glorot(inputs, 3 * inputs), (1,), (0,))
            tensors = {"in_proj_weight": packed, "in_proj_bias": Tensor((3 * inputs,), ZERO)}
            modules.add("multihead_attn", "MultiheadAttention", **tensors)
            modules.linear("multihead_attn.out_proj", inputs, inputs)
            for name in ("layer_norm", "layer_norm_kv"):
                modules.norm(name, inputs)
        modules.norm("layer_norm", inputs)
        with modules.within("feed_forward"):
            modules.linear("linear_in", inputs, inner, False)
            modules.linear("linear_out", inner, outputs, False)
