"""Llama that sees: Llama 3.2 Vision and Llama 4."""

from __future__ import annotations

from initcli.sources.huggingface.entries import NotComputed
from initcli.sources.huggingface.families.decoder import Decoder
from initcli.sources.huggingface.families.multimodal import Multimodal, decoder
from initcli.sources.huggingface.families.pairs import Pair
from initcli.sources.huggingface.families.towers import Tower
from initcli.sources.huggingface.modules import ZERO, Tensor, normal
from initcli.sources.huggingface.stack import Heads, Stack

_TILES = "the positions of tiles, of which the gates start at 0"


class Llama4Vision(Tower):
    """The vision tower of Llama 4. Meta 2025."""

    model_types = ("llama4_vision_model",)
    heads = ("VisionModel",)
    norms = ("input_layernorm", "post_attention_layernorm")
    out = "self_attn.o_proj"
    activation = "gelu"

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

    def compute(self, stack: Stack, head: str) -> None:
        self.compute_features(stack, None)

    def compute_features(self, stack: Stack, layer: int | tuple[int, ...] | None) -> str:
        stream = self.compute_embeddings(stack)
        for index in range(self.num_layers):
            with stack.block("model.layers", index, stream):
                self.compute_layer(stack)
            stream = stack.last
        stream = stack.without_first(self.compute_norm(stack, "layernorm_post", stream))
        config, name = self.config, "vision_adapter"
        count = round(1 / (config.number("pixel_shuffle_ratio") or 1.0)) ** 2
        widths = (count * self.width, config.size("projector_input_dim"))
        if widths != (config.size("intermediate_size"), config.size("projector_output_dim")):
            raise NotComputed("a projector of another width than the tower")
        merged = stack.merged(name, stream, count, count * self.width)
        inner = stack.dense(f"{name}.mlp.fc1", merged, "gelu")
        return stack.dense(f"{name}.mlp.fc2", inner, "gelu")

    def compute_embeddings(self, stack: Stack) -> str:
        config, name = self.config, "patch_embedding.linear"
        pixels = config.size("num_channels") * config.size("patch_size") ** 2
        count = (config.size("image_size") // config.size("patch_size")) ** 2
        patches = stack.cut_image(count, pixels)
        # The token stands behind the patches, which makes no difference.
        stream = stack.token("class_embedding", stack.dense(name, patches))
        stream = stack.positions("positional_embedding_vlm", stream)
        return self.compute_norm(stack, "layernorm_pre", stream)

    def compute_norm(self, stack: Stack, name: str, takes: str) -> str:
        return stack.norm(name, takes, "LayerNorm", 1e-5)


class Llama4Pair(Multimodal):
    """Llama 4. Meta 2025."""

    model_types = ("llama4",)
    heads = ("ForConditionalGeneration",)

    def describe(self, head: str) -> None:
        modules, vision, text = self.modules, self.part("vision_config"), self.text
        self.add_part("vision_model", vision)
        width = vision.config.size("vision_output_dim")
        name = "multi_modal_projector.linear_1"
        modules.linear(name, width, text.config.size("hidden_size"), False)
        with modules.within("language_model"), modules.filled_by(text.std):
            text.describe("ForCausalLM")

    @property
    def std(self) -> float:
        return self.text.std

    def compute(self, stack: Stack, head: str) -> None:
        vision, text = self.part("vision_config"), decoder(self.text)
        tokens = text.token_ids(stack)
        if vision.config.size("vision_output_dim") != vision.config.size("projector_output_dim"):
            raise NotComputed("a projector of another width than the tower")
        with stack.within("vision_model"):
            seen = vision.compute_features(stack, None)
        seen = stack.dense("multi_modal_projector.linear_1", seen)
        with stack.within("language_model"):
            head = "ForCausalLM"
            is_tied = text.is_tied(head)
            with stack.within(text.prefix(head).removesuffix(".")):
                table, stream = self.compute_text(stack, tokens, seen, is_tied=is_tied)
            text.compute_head(stack, head, stream, table)


class MllamaText(Decoder):
    """The language model of Llama 3.2 Vision, of which some blocks attend to images. Meta 2024."""

    model_types = ("mllama_text_model",)
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

    source = ""
    """What the blocks that attend to images take; empty without an image."""

    def compute_block(self, stack: Stack, index: int) -> None:
        if index not in self.config.numbers("cross_attention_layers"):
            super().compute_block(stack, index)
            return
        scope, (before, after, *_) = "cross_attn", self.norms
        if not self.source:
            stack.add("Identity", "skipped", "input")
            gates = ("cross_attn_attn_gate", "cross_attn_mlp_gate")
            for name in (scope, *gates, self.mlp_name, before, after):
                stack.leave_out(name, "the blocks that attend to an image, without one")
            return
        heads = Heads(self.num_heads, self.num_keys, self.head_dim)
        names = [f"{scope}.{name}" for name in self.qkv]
        normed = self.compute_norm(stack, before, "input")
        query, key, value = stack.projections(names, normed, heads, self.source)
        query = self.compute_query_norm(stack, f"{scope}.q_norm", query, heads.queries)
        key = self.compute_query_norm(stack, f"{scope}.k_norm", key, heads.keys)
        mixed = stack.attend(scope, query, key, value, heads, causal=False)
        inner = stack.scale("cross_attn_attn_gate", stack.dense(f"{scope}.{self.out}", mixed))
        middle = stack.sum(f"{scope}.sum", "input", inner)
        normed = self.compute_norm(stack, after, middle)
        inner = self.compute_feed_forward(stack, normed, index)
        stack.sum("mlp.sum", middle, stack.scale("cross_attn_mlp_gate", inner))


class MllamaVision(Tower):
    """The vision tower of Llama 3.2 Vision, which sees tiles of an image."""

    model_types = ("mllama_vision_model",)
    defaults = {
        "intermediate_layers_indices": [3, 7, 15, 23, 30],
        "supported_aspect_ratios": [
            *([1, 1], [1, 2], [1, 3], [1, 4], [2, 1], [2, 2], [3, 1], [4, 1]),
        ],
    }
    heads = ("VisionModel",)
    norms = ("input_layernorm", "post_attention_layernorm")
    out = "self_attn.o_proj"
    heads_key = "attention_heads"

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

    def compute(self, stack: Stack, head: str) -> None:
        self.compute_features(stack, None)

    def compute_features(self, stack: Stack, layer: int | tuple[int, ...] | None) -> str:
        count = self.num_layers
        inner = [each + 1 for each in self.config.numbers("intermediate_layers_indices")]
        if max(inner, default=0) > count:
            raise NotComputed("features of layers that are not there")
        last, *seen = self.compute_states(stack, [count, *inner])
        stream = self.compute_norm(stack, "layernorm_post", last)
        stack.leave_out("post_tile_positional_embedding", _TILES)
        for index in range(self.config.size("num_global_layers", 0)):
            with stack.block("global_transformer.layers", index, stream):
                self.compute_layer(stack)
            stream = stack.last
        return stack.add("Concatenate", "features", [stream, *seen], axis=-1)

    layers_name = "transformer.layers"

    def compute_embeddings(self, stack: Stack) -> str:
        config, patch = self.config, self.config.size("patch_size")
        side = config.size("image_size") // patch
        image = stack.image("image", side * patch, side * patch, config.size("num_channels"))
        stream = stack.patches("patch_embedding", image, (patch, patch), side**2)
        stream = stack.token("class_embedding", stream)
        stream = stack.positions("gated_positional_embedding.embedding", stream)
        gated = "gated_positional_embedding"
        for name in (f"{gated}.gate", f"{gated}.tile_embedding", "pre_tile_positional_embedding"):
            stack.leave_out(name, _TILES)
        return self.compute_norm(stack, "layernorm_pre", stream)

    def compute_norm(self, stack: Stack, name: str, takes: str) -> str:
        return stack.norm(name, takes, "LayerNorm", self.config.number("norm_eps") or 1e-5)


class Mllama(Pair):
    """Llama 3.2 Vision. Meta 2024, arXiv:2407.21783."""

    model_types = ("mllama",)
    vision_names = ("vision_model",)
    projector_name = ""

    def projector(self, inputs: int, outputs: int) -> None:
        size = self.vision.config.size("vision_output_dim")
        self.modules.linear("multi_modal_projector", size, outputs)

    is_tied = False

    def compute_other(self, stack: Stack) -> str:
        config = self.vision.config
        count = 1 + len(config.numbers("intermediate_layers_indices"))
        if config.size("vision_output_dim") != count * self.vision_width:
            raise NotComputed("a projector of another width than the tower")
        with stack.within("vision_model"):
            seen = self.vision.compute_features(stack, None)
        return stack.dense("multi_modal_projector", seen)

    def compute_joined(self, stack: Stack, other: str, words: str) -> str:
        assert isinstance(self.text, MllamaText)
        self.text.source = other
        return words
