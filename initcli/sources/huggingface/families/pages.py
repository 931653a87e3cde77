"""Encoders of text that stands on a page or in a document."""

from __future__ import annotations

from typing import Any

from initcli.sources.huggingface.entries import NotComputed
from initcli.sources.huggingface.families.bert import Bert
from initcli.sources.huggingface.families.roberta import Roberta
from initcli.sources.huggingface.modules import ZERO, Tensor
from initcli.sources.huggingface.stack import Stack

_BOX = (
    *(("left", "x"), ("upper", "y"), ("right", "x"), ("lower", "y")),
    *(("height", "h"), ("width", "w")),
)
"""The coordinates and sizes of a word's box, and the letter of the table of each."""


def look_up_box(stack: Stack, scope: str, tokens: int) -> list[str]:
    """Add inputs for the boxes of words, and their vectors in the tables."""
    found: dict[str, str] = {}
    vectors = []
    for part, axis in _BOX:
        ids = stack.tokens(tokens, f"{part}_ids")
        name = f"{scope}.{axis}_position_embeddings"
        if axis in found:
            vectors.append(stack.again(f"{scope}.{part}_embeddings", found[axis], ids))
        else:
            found[axis] = stack.embedding(name, ids)
            vectors.append(found[axis])
    return vectors


def words_of(stack: Stack, stream: str, count: int) -> str:
    """Cut off the positions of the image, which follow those of the text."""
    return stack.add("Cropping1D", "words", stream, cropping=[0, stack.steps - count])


class LayoutLm(Bert):
    """LayoutLM, which sees where words stand on a page. Xu et al. 2019, arXiv:1912.13318."""

    model_types = ("layoutlm",)
    heads = (
        *("ForMaskedLM", "Model", "ForSequenceClassification", "ForTokenClassification"),
        "ForQuestionAnswering",
    )
    body_name = "layoutlm"
    pooled_heads = heads

    def tables(self, width: int) -> None:
        super().tables(width)
        rows = self.config.size("max_2d_position_embeddings")
        for axis in "xyhw":
            self.modules.embedding(f"{axis}_position_embeddings", rows, width)

    def compute_sum(self, stack: Stack, scope: str, takes: str) -> str:
        box = look_up_box(stack, scope, self.num_tokens)
        return super().compute_sum(stack, scope, stack.sum(f"{scope}.box", takes, *box))


class LayoutLm3(Roberta):
    """LayoutLMv3. Huang et al. 2022, arXiv:2204.08387."""

    model_types = ("layoutlmv3",)
    heads = (
        *("ForTokenClassification", "Model", "ForSequenceClassification", "ForQuestionAnswering"),
    )
    body_name = "layoutlmv3"
    pooled_heads = ()

    def tables(self, width: int) -> None:
        super().tables(width)
        config, rows = self.config, self.config.size("max_2d_position_embeddings")
        place, size = config.size("coordinate_size"), config.size("shape_size")
        for axis, each in (("x", place), ("y", place), ("h", size), ("w", size)):
            self.modules.embedding(f"{axis}_position_embeddings", rows, each)

    def body(self, width: int, *, pools: bool) -> None:
        config, modules = self.config, self.modules
        if config.flag("text_embed"):
            with modules.within("embeddings"):
                self.tables(width)
        if config.flag("visual_embed"):
            patch = config.size("patch_size")
            channels, count = config.size("num_channels"), config.size("input_size") // patch
            places = Tensor((1, count**2 + 1, width), ZERO)
            token = Tensor((1, 1, width), ZERO)
            modules.add("", "Model", cls_token=token, pos_embed=places)
            modules.convolution("patch_embed.proj", channels, width, (patch, patch))
            for name in ("LayerNorm", "norm"):
                modules.norm(name, width)
        self.layers(width)
        heads = config.size("num_attention_heads")
        if config.flag("has_relative_attention_bias"):
            modules.linear("encoder.rel_pos_bias", config.size("rel_pos_bins"), heads, False)
        if config.flag("has_spatial_attention_bias"):
            bins = config.size("rel_2d_pos_bins")
            for axis in "xy":
                modules.linear(f"encoder.rel_pos_{axis}_bias", bins, heads, False)

    def compute_tables(self, stack: Stack, tokens: str, is_tied: bool) -> tuple[str, str]:
        parts: list[str] = []
        if self.config.flag("text_embed"):
            parts.append(super().compute_tables(stack, tokens, is_tied)[1])
        if self.config.flag("visual_embed"):
            parts.append(self.compute_image(stack))
        if not parts:
            raise NotComputed("a model without a table and without patches")
        stream = parts[0]
        if self.is_joined:
            stream = stack.add("Concatenate", "text_and_image", parts, axis=1)
        if self.config.flag("visual_embed"):
            stream = self.compute_norm(stack, "LayerNorm", stream)
        return "", stream

    def compute_sum(self, stack: Stack, scope: str, takes: str) -> str:
        box = look_up_box(stack, scope, self.num_tokens)
        joined = stack.add("Concatenate", f"{scope}.box", box, axis=-1)
        return super().compute_sum(stack, scope, stack.sum(f"{scope}.box.sum", takes, joined))

    @property
    def is_joined(self) -> bool:
        """Whether a text and an image make up one sequence."""
        return self.config.flag("text_embed") and self.config.flag("visual_embed")

    def compute_image(self, stack: Stack) -> str:
        """Add an image and the embedding of its patches."""
        config, text = self.config, stack.steps
        size, patch = config.size("input_size"), config.size("patch_size")
        image = stack.image("pixel_values", size, size, config.size("num_channels"))
        name, steps = "patch_embed.proj", (size // patch) ** 2
        patches = stack.patches(name, image, (patch, patch), steps)
        patches = stack.positions("pos_embed", stack.token("cls_token", patches))
        stack.steps += text if self.is_joined else 0
        return stack.norm("norm", patches, "LayerNorm", 1e-6)

    def compute_layers(self, stack: Stack, stream: str, **how: Any) -> str:
        what = "the biases of relative positions, which are small beside the scores"
        for name in ("bias", "x_bias", "y_bias"):
            stack.leave_out(f"encoder.rel_pos_{name}", what)
        return super().compute_layers(stack, stream, **how)

    def compute_task(self, stack: Stack, head: str, stream: str, pooled: str, table: str) -> None:
        if self.is_joined and head in ("ForTokenClassification", "ForQuestionAnswering"):
            stream = words_of(stack, stream, self.num_tokens)
        name = "qa_outputs" if head == "ForQuestionAnswering" else "classifier"
        if head in ("Model", "ForSequenceClassification") or f"{name}.dense" not in stack:
            super().compute_task(stack, head, stream, pooled, table)
            return
        stack.dense(f"{name}.out_proj", stack.dense(f"{name}.dense", stream, "tanh"))

    def task(self, head: str, width: int) -> None:
        labels = self.config.labels
        if head == "ForTokenClassification" and labels < 10:
            self.modules.linear("classifier", width, labels)
            return
        name = "qa_outputs" if head == "ForQuestionAnswering" else "classifier"
        self.modules.linear(f"{name}.dense", width, width)
        self.modules.linear(f"{name}.out_proj", width, labels)


class MarkupLm(Roberta):
    """MarkupLM, which sees where words stand in a document. Li et al. 2021, arXiv:2110.08518."""

    model_types = ("markuplm",)
    heads = (
        *("ForTokenClassification", "Model", "ForSequenceClassification", "ForQuestionAnswering"),
    )
    body_name = "markuplm"
    has_class_layer = False
    pooled_heads = ("Model", "ForSequenceClassification")

    def tables(self, width: int) -> None:
        super().tables(width)
        config, modules = self.config, self.modules
        depth, size = config.size("max_depth"), config.size("xpath_unit_hidden_size")
        with modules.within("xpath_embeddings"):
            modules.linear("xpath_unitseq2_embeddings", depth * size, width)
            modules.linear("xpath_unitseq2_inner", depth * size, 4 * width)
            modules.linear("inner2emb", 4 * width, width)
            for key, name in (
                ("max_xpath_tag_unit_embeddings", "xpath_tag_sub_embeddings"),
                ("max_xpath_subs_unit_embeddings", "xpath_subs_sub_embeddings"),
            ):
                rows = config.size(key)
                for index in range(depth):
                    modules.embedding(f"{name}.{index}", rows, size)

    def compute_sum(self, stack: Stack, scope: str, takes: str) -> str:
        path, parts = f"{scope}.xpath_embeddings", []
        for kind in ("tag", "subs"):
            ids = stack.tokens(self.num_tokens, f"xpath_{kind}s_seq")
            levels = [
                stack.embedding(f"{path}.xpath_{kind}_sub_embeddings.{index}", ids)
                for index in range(self.config.size("max_depth"))
            ]
            parts.append(stack.add("Concatenate", f"{path}.{kind}s", levels, axis=-1))
        inner = stack.sum(f"{path}.sum", *parts)
        inner = stack.dense(f"{path}.xpath_unitseq2_inner", inner, "relu")
        stack.leave_out(f"{path}.xpath_unitseq2_embeddings", "an unused projection")
        vectors = stack.dense(f"{path}.inner2emb", inner)
        return super().compute_sum(stack, scope, stack.sum(f"{scope}.path", takes, vectors))


class Lilt(Roberta):
    """LiLT, with a narrow stream for the layout. Wang et al. 2022, arXiv:2202.13669."""

    model_types = ("lilt",)
    heads = (
        *("ForTokenClassification", "Model", "ForSequenceClassification", "ForQuestionAnswering"),
    )
    body_name = "lilt"
    pooled_heads = ("Model",)

    def body(self, width: int, *, pools: bool) -> None:
        config, modules, narrow = self.config, self.modules, self.narrow
        rows, size = config.size("max_2d_position_embeddings"), width // 6
        positions = config.size("max_position_embeddings")
        with modules.within("layout_embeddings"):
            for axis in "xyhw":
                modules.embedding(f"{axis}_position_embeddings", rows, size)
            padding = config.index("pad_token_id", positions)
            modules.embedding("box_position_embeddings", positions, narrow, padding)
            modules.linear("box_linear_embeddings", width, narrow)
            modules.norm("LayerNorm", narrow)
        super().body(width, pools=pools)

    def layer(self, width: int) -> None:
        super().layer(width)
        modules, narrow = self.modules, self.narrow
        inner = self.config.size("intermediate_size") // self.ratio
        heads = self.config.size("num_attention_heads")
        each = width // heads * heads // self.ratio
        for name in ("query", "key", "value"):
            modules.linear(f"attention.self.layout_{name}", narrow, each)
        modules.linear("attention.layout_output.dense", narrow, narrow)
        modules.norm("attention.layout_output.LayerNorm", narrow)
        modules.linear("layout_intermediate.dense", narrow, inner)
        modules.linear("layout_output.dense", inner, narrow)
        modules.norm("layout_output.LayerNorm", narrow)

    def compute_layers(self, stack: Stack, stream: str, **how: Any) -> str:
        layout = self.compute_layout(stack)
        for index in range(self.config.size("num_hidden_layers", 0)):
            with stack.within(f"{self.blocks}.{index}"):
                layout, stream = self.compute_streams(stack, layout, stream)
        return stream

    def compute_layout(self, stack: Stack) -> str:
        """Add the embedding of the boxes of words."""
        scope = "layout_embeddings"
        box = look_up_box(stack, scope, self.num_tokens)
        joined = stack.add("Concatenate", f"{scope}.box", box, axis=-1)
        layout = stack.dense(f"{scope}.box_linear_embeddings", joined)
        layout = stack.positions(f"{scope}.box_position_embeddings", layout)
        return self.compute_norm(stack, f"{scope}.LayerNorm", layout)

    def compute_streams(self, stack: Stack, layout: str, words: str) -> tuple[str, str]:
        """Add what one layer computes of the layout and of the words, which share their scores."""
        scope, qkv = "attention.self", ("query", "key", "value")
        of_words = [stack.dense(f"{scope}.{name}", words) for name in qkv]
        of_layout = [stack.dense(f"{scope}.layout_{name}", layout) for name in qkv]
        # Scores of the layout are divided by the root of the size of its own, narrower heads.
        of_layout[0] = stack.scaled(f"{scope}.scale", of_layout[0], self.ratio**0.5)
        query, key = (
            self.beside(stack, f"{scope}.{name}", of_words[index], of_layout[index])
            for index, name in enumerate(("queries", "keys"))
        )
        ends = []
        for prefix, stream, value in (("layout_", layout, of_layout[2]), ("", words, of_words[2])):
            how = {"causal": False, "scale": self.heads_of.size**-0.5}
            name = f"attention.{prefix}output"
            mixed = stack.attend(f"{name}.mixed", query, key, value, self.heads_of, **how)
            mixed = stack.dense(f"{name}.dense", mixed)
            stream = stack.sum(f"{name}.sum", stream, mixed)
            stream = self.compute_norm(stack, f"{name}.LayerNorm", stream)
            activation = self.config.text("hidden_act")
            inner = stack.dense(f"{prefix}intermediate.dense", stream, activation)
            inner = stack.dense(f"{prefix}output.dense", inner)
            stream = stack.sum(f"{prefix}output.sum", stream, inner)
            ends.append(self.compute_norm(stack, f"{prefix}output.LayerNorm", stream))
        return ends[0], ends[1]

    def beside(self, stack: Stack, name: str, words: str, layout: str) -> str:
        """Put what each head has of the layout beside what it has of words."""
        count, _, size = self.heads_of
        each = size // self.ratio
        parts = [
            stack.in_heads(f"{name}.words", words, count, size),
            stack.in_heads(f"{name}.layout", layout, count, each),
        ]
        both = stack.add("Concatenate", f"{name}.parts", parts, axis=-1)
        return stack.joined(name, both, count * (size + each))

    @property
    def ratio(self) -> int:
        """How many times narrower the stream of the layout is."""
        return self.config.size("channel_shrink_ratio")

    @property
    def narrow(self) -> int:
        """The width of the stream of the layout."""
        return self.config.size("hidden_size") // self.ratio
