"""BERT, and encoders that differ from it in few places."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from initcli.sources.huggingface.entries import NotComputed
from initcli.sources.huggingface.family import Family
from initcli.sources.huggingface.modules import ZERO, Tensor
from initcli.sources.huggingface.stack import Heads, Stack

LANGUAGE_HEADS = ("ForMaskedLM", "ForPreTraining", "LMHeadModel", "ForCausalLM")
"""Ends of names of classes with a head over the vocabulary."""
POOLED = (
    *("ForPreTraining", "ForNextSentencePrediction", "ForMultipleChoice"),
    "ForSequenceClassification",
)
"""Ends of names of classes whose head takes the first position."""
TASKS: tuple[str, ...] = (
    *("ForSequenceClassification", "ForTokenClassification", "ForMultipleChoice"),
    "ForQuestionAnswering",
)
_HEAD_BIAS = "the bias of the head, which starts at 0"


class LayerNames(NamedTuple):
    """The names of a layer's projections and norms."""

    qkv: tuple[str, str, str] = (
        *("attention.self.query", "attention.self.key", "attention.self.value"),
    )
    out: str = "attention.output.dense"
    attention_norm: str = "attention.output.LayerNorm"
    into: str = "intermediate.dense"
    back: str = "output.dense"
    norm: str = "output.LayerNorm"


class Bert(Family):
    """BERT. Devlin et al. 2018, arXiv:1810.04805."""

    model_types: ClassVar[tuple[str, ...]] = ("bert",)
    heads: ClassVar[tuple[str, ...]] = (
        *("ForMaskedLM", "Model", "ForPreTraining", "LMHeadModel", "ForNextSentencePrediction"),
        *TASKS,
    )
    body_name: ClassVar[str] = "bert"
    table_name: ClassVar[str] = "embeddings.word_embeddings"
    """Name of the table of tokens."""
    pads_positions: ClassVar[bool] = False
    """Whether the table of positions has a padding row too."""
    blocks: ClassVar[str] = "encoder.layer"
    layer_names: ClassVar[LayerNames] = LayerNames()
    attention_bias: ClassVar[tuple[bool | str, bool]] = (True, True)
    """Whether queries, keys and values have a bias, and whether the output has one."""
    table_norm: ClassVar[str] = "LayerNorm"
    """Name of the norm after the tables, or empty."""
    last_norm: ClassVar[str] = ""
    """Name of the norm after all layers, whose other norms then come first; or empty."""
    language_names: ClassVar[tuple[str, str, str]] = (
        "cls.predictions.transform.dense",
        "cls.predictions.transform.LayerNorm",
        "cls.predictions.decoder",
    )
    """Names of the projection, the norm and the last projection of the head over the vocabulary."""
    has_head_bias: ClassVar[bool] = True
    """Whether that head has a bias of its own, which the last projection shares if it is tied."""
    pooled_heads: ClassVar[tuple[str, ...]] = ("Model", *POOLED)
    """The ends of names of classes with a pooler."""
    pooling_heads: ClassVar[tuple[str, ...]] = POOLED
    """The ends of names of classes whose head takes the output of the pooler."""
    pooler: ClassVar[str] = "pooler.dense"
    has_class_layer: ClassVar[bool] = False
    """Whether the head over classes of a text has a layer before its last."""
    class_activation: ClassVar[str] = ""
    """The activation of that layer; by default that of the feed-forward layers."""
    choice_layer: ClassVar[str] = ""
    """Name of the projection before the head over choices, or empty."""
    choice_activation: ClassVar[str] = "relu"
    summary_position: ClassVar[int] = 0
    """The position that the head over choices takes if there is no pooler."""
    has_segments: ClassVar[bool] = True
    has_positions: ClassVar[bool] = True
    more_positions: ClassVar[int] = 0
    """The number of rows of the table of positions beyond the positions."""
    projection: ClassVar[str] = ""
    """Name of the projection from the tables to the width of the stream, or empty."""
    activation_key: ClassVar[str] = "hidden_act"
    hidden_key: ClassVar[str] = "intermediate_size"

    def describe(self, head: str) -> None:
        config, width = self.config, self.config.size("hidden_size")
        config.activation(self.activation_key)
        config.quotient("hidden_size", "num_attention_heads")
        with self.modules.within("" if head == "Model" else self.body_name):
            self.body(width, pools=head in self.pooled_heads)
        if head != "Model":
            self.task(head, width)

    def body(self, width: int, *, pools: bool) -> None:
        """Add tables, layers and pooler."""
        modules = self.modules
        with modules.within("embeddings"):
            self.tables(self.table_width)
        if self.projection:
            modules.linear(self.projection, self.table_width, width)
        self.layers(width)
        if self.last_norm:
            modules.norm(self.last_norm, width)
        if pools:
            modules.linear(self.pooler, width, width)

    def tables(self, width: int) -> None:
        """Add the tables of tokens, positions and segments."""
        config, modules = self.config, self.modules
        rows = config.size("vocab_size")
        self.token_table(rows, width, config.index("pad_token_id", rows))
        if self.has_positions:
            positions = config.size("max_position_embeddings") + self.more_positions
            padding = config.index("pad_token_id", positions) if self.pads_positions else None
            modules.embedding("position_embeddings", positions, width, padding)
        if self.has_segments:
            modules.embedding("token_type_embeddings", config.size("type_vocab_size"), width)
        if self.table_norm:
            modules.norm(self.table_norm, width)

    def token_table(self, rows: int, width: int, padding: int | None) -> None:
        """Add the table of tokens."""
        self.modules.embedding("word_embeddings", rows, width, padding)

    def layers(self, width: int) -> None:
        """Add the layers."""
        for index in range(self.config.size("num_hidden_layers", 0)):
            with self.modules.within(f"{self.blocks}.{index}"):
                self.layer(width)

    def layer(self, width: int) -> None:
        """Add one layer."""
        self.attention("attention", width)
        if self.config.flag("add_cross_attention"):
            self.attention("crossattention", width)
        self.feed_forward(width, self.config.size(self.hidden_key))
        self.modules.norm(self.layer_names.norm, width)

    def attention(self, name: str, width: int) -> None:
        """Add the projections of attention, and its norm."""
        qkv, out, norm, *_ = self.layer_names
        inner, (bias, out_bias) = self.heads_of.queries * self.heads_of.size, self.attention_bias
        for each in qkv:
            self.modules.linear(each.replace("attention", name, 1), width, inner, self.flag(bias))
        self.modules.linear(out.replace("attention", name, 1), inner, width, out_bias)
        self.modules.norm(norm.replace("attention", name, 1), width)

    def feed_forward(self, width: int, inner: int) -> None:
        """Add the projections of the feed-forward layer."""
        self.modules.linear(self.layer_names.into, width, inner)
        self.modules.linear(self.layer_names.back, inner, width)

    def task(self, head: str, width: int) -> None:
        """Add the head of a class."""
        config, modules = self.config, self.modules
        match head:
            case "ForMaskedLM" | "LMHeadModel" | "ForCausalLM" | "ForPreTraining":
                self.language_head(width, config.size("vocab_size"))
                if head == "ForPreTraining":
                    modules.linear("cls.seq_relationship", width, 2)
            case "ForSequenceClassification" if self.has_class_layer:
                modules.linear("classifier.dense", width, width)
                modules.linear("classifier.out_proj", width, config.labels)
            case "ForSequenceClassification" | "ForTokenClassification":
                modules.linear("classifier", width, config.labels)
            case "ForMultipleChoice":
                if self.choice_layer:
                    modules.linear(self.choice_layer, width, width)
                modules.linear("classifier", width, 1)
            case "ForQuestionAnswering":
                modules.linear("qa_outputs", width, config.labels)
            case "ForNextSentencePrediction":
                modules.linear("cls.seq_relationship", width, 2)

    def language_head(self, width: int, rows: int) -> None:
        """Add the head over the vocabulary."""
        dense, norm, output = self.language_names
        self.modules.linear(dense, width, self.table_width)
        self.modules.norm(norm, self.table_width)
        if self.has_head_bias:
            scope = output.removesuffix(".decoder")
            self.modules.add(scope, "LMHead", bias=Tensor((rows,), ZERO))
            self.decoder(scope, self.table_width, rows)
        else:
            self.vocabulary(output, self.table_width, rows)

    def decoder(self, name: str, width: int, rows: int) -> None:
        """Add the projection to logits, or tie it to the table of tokens."""
        if self.is_tied:
            table = f"{self.body_name}.{self.table_name}.weight"
            self.modules.tie(f"{name}.decoder.weight", table)
            self.modules.tie(f"{name}.decoder.bias", f"{name}.bias")
        else:
            self.modules.linear(f"{name}.decoder", width, rows)

    def vocabulary(self, name: str, width: int, rows: int) -> None:
        """Add a projection to the vocabulary, whose weight may be tied, with a bias of its own."""
        if self.is_tied:
            self.modules.add(name, "Linear", bias=Tensor((rows,), ZERO))
            self.modules.tie(f"{name}.weight", f"{self.body_name}.{self.table_name}.weight")
        else:
            self.modules.linear(name, width, rows)

    def compute(self, stack: Stack, head: str) -> None:
        self.compute_class(stack, head)

    def compute_class(self, stack: Stack, head: str, source: str = "") -> None:
        """Add what the class with that end of its name computes, which may attend to a source."""
        is_language, pooled = head in LANGUAGE_HEADS, ""
        if self.config.flag("add_cross_attention"):
            raise NotComputed("attention to the output of an encoder")
        tokens, is_tied = self.token_ids(stack), is_language and self.is_tied
        with stack.within("" if head == "Model" else self.body_name):
            is_causal = is_language and self.is_causal
            table, stream = self.compute_body(
                stack, tokens, is_tied=is_tied, is_causal=is_causal, source=source
            )
            if head in self.pooling_heads and self.pooler in stack:
                pooled = stack.dense(self.pooler, stack.one("pooler", stream), "tanh")
            stack.leave_out("pooler", "the pooler")
        self.compute_task(stack, head, stream, pooled, table if is_tied else "")

    def compute_body(
        self,
        stack: Stack,
        tokens: str,
        *,
        is_tied: bool = False,
        is_causal: bool = False,
        source: str = "",
    ) -> tuple[str, str]:
        """Add tables and layers, which attend to a source; returns the table and the stream."""
        table, stream = self.compute_tables(stack, tokens, is_tied)
        if self.projection:
            stream = stack.dense(self.projection, stream)
        stream = self.compute_layers(stack, stream, is_causal=is_causal, source=source)
        if self.last_norm:
            stream = self.compute_norm(stack, self.last_norm, stream)
        return table, stream

    def compute_tables(self, stack: Stack, tokens: str, is_tied: bool) -> tuple[str, str]:
        """Add the tables of tokens, positions and segments; returns that of tokens, and the sum."""
        if is_tied:
            stack.will_tie(self.table_name)
        table = stack.embedding(self.table_name, tokens)
        return table, self.compute_sum(stack, self.table_name.rpartition(".")[0], table)

    def compute_sum(self, stack: Stack, scope: str, takes: str) -> str:
        """Add positions and segments to the vectors of tokens, and normalize the sum."""
        if f"{scope}.position_embeddings" in stack:
            takes = stack.positions(f"{scope}.position_embeddings", takes)
        if f"{scope}.token_type_embeddings" in stack:
            takes = self.look_up(stack, f"{scope}.token_type_embeddings", "token_type_ids", takes)
        if not self.table_norm:
            return takes
        return self.compute_norm(stack, f"{scope}.{self.table_norm}", takes)

    def look_up(self, stack: Stack, name: str, ids: str, takes: str) -> str:
        """Add an input of indices, their vectors in a table, and the sum with the stream."""
        vectors = stack.embedding(name, stack.tokens(self.num_tokens, ids))
        return stack.sum(f"{name}.sum", takes, vectors)

    def compute_layers(self, stack: Stack, stream: str, **how: Any) -> str:
        """Add what the layers compute."""
        tables = stream
        for index in range(self.config.size("num_hidden_layers", 0)):
            with stack.block(self.blocks, index, stream):
                self.compute_layer(stack, **how)
            stream = self.behind_layer(stack, index, stack.last, tables)
        return stream

    def behind_layer(self, stack: Stack, index: int, stream: str, tables: str) -> str:
        """Add what follows a layer, and return the input of the next one."""
        return stream

    def compute_layer(
        self, stack: Stack, stream: str = "input", *, is_causal: bool, source: str = ""
    ) -> None:
        """Add what one layer computes."""
        norm, is_before = self.layer_names.norm, bool(self.last_norm)
        stream = self.compute_mixing(stack, stream, is_causal=is_causal)
        if source:
            stream = self.compute_mixing(stack, stream, is_causal=False, source=source)
        normed = self.compute_norm(stack, norm, stream) if is_before else stream
        stream = stack.sum("output.sum", stream, self.compute_feed_forward(stack, normed))
        stream = self.compute_adapter(stack, stream)
        if not is_before:
            self.compute_norm(stack, norm, stream)

    def compute_mixing(
        self, stack: Stack, stream: str, *, is_causal: bool, source: str = ""
    ) -> str:
        """Add attention, to a source if there is one, with its residual connection and norm."""
        cross, is_before = "cross" if source else "", bool(self.last_norm)
        (query, key, value), out, norm, *_ = self.layer_names
        norm, normed = f"{cross}{norm}", stream
        if is_before:
            normed = self.compute_norm(stack, norm, stream)
        if cross:
            qkv = (f"cross{query}", f"cross{key}", f"cross{value}")
            how: dict[str, Any] = {"causal": False, "source": source}
            out = f"cross{out}"
            inner = stack.attention("crossattention", normed, self.heads_of, qkv, out, **how)
        else:
            inner = self.compute_attention(stack, normed, is_causal=is_causal)
        stream = stack.sum(f"{cross}attention.sum", stream, inner)
        return stream if is_before else self.compute_norm(stack, norm, stream)

    def compute_attention(self, stack: Stack, takes: str, *, is_causal: bool) -> str:
        """Add attention with its projections."""
        qkv, out, *_ = self.layer_names
        return stack.attention("attention", takes, self.heads_of, qkv, out, causal=is_causal)

    def compute_feed_forward(self, stack: Stack, takes: str) -> str:
        """Add the feed-forward layer."""
        activation = self.config.text(self.activation_key)
        inner = stack.dense(self.layer_names.into, takes, activation)
        return stack.dense(self.layer_names.back, inner)

    def compute_adapter(self, stack: Stack, takes: str) -> str:
        """Add what follows the residual connection of the feed-forward layer."""
        return takes

    def compute_norm(self, stack: Stack, name: str, takes: str) -> str:
        """Add a normalization."""
        return stack.norm(name, takes, "LayerNorm", self.config.number("layer_norm_eps") or 1e-12)

    def compute_task(self, stack: Stack, head: str, stream: str, pooled: str, table: str) -> None:
        """Add what the head of a class computes."""
        match head:
            case "Model":
                return
            case "ForSequenceClassification" | "ForMultipleChoice":
                self.compute_classes(stack, stream, pooled)
            case "ForTokenClassification":
                stack.dense("classifier", stream)
            case "ForQuestionAnswering":
                stack.dense("qa_outputs", stream)
            case "ForNextSentencePrediction":
                stack.dense("cls.seq_relationship", pooled)
            case _:
                self.compute_language_head(stack, stream, table)
                if head == "ForPreTraining":
                    stack.dense("cls.seq_relationship", pooled)

    def compute_classes(self, stack: Stack, stream: str, pooled: str) -> None:
        """Add the head over classes of a text, or over choices."""
        if "classifier.dense" in stack:
            activation = self.class_activation or self.config.text(self.activation_key)
            first = stack.one("classifier", stream)
            stack.dense("classifier.out_proj", stack.dense("classifier.dense", first, activation))
            return
        pooled = pooled or stack.one("classifier", stream, self.summary_position)
        if self.choice_layer in stack:
            pooled = stack.dense(self.choice_layer, pooled, self.choice_activation)
        stack.dense("classifier", pooled)

    def compute_language_head(self, stack: Stack, takes: str, table: str) -> None:
        """Add what the head over the vocabulary computes; the table is one that is tied."""
        dense, norm, output = self.language_names
        inner = stack.dense(dense, takes, self.language_activation)
        self.compute_logits(stack, output, self.compute_norm(stack, norm, inner), table)

    def compute_logits(self, stack: Stack, name: str, takes: str, table: str) -> str:
        """Add the projection to the vocabulary; the table is one that is tied."""
        if table:
            logits = stack.tied(f"{name}.logits" if name == table else name, table, takes)
        else:
            logits = stack.dense(name, takes)
        stack.leave_out(name.removesuffix(".decoder"), _HEAD_BIAS)
        return logits

    @property
    def language_activation(self) -> str:
        """The activation of the head over the vocabulary."""
        return self.config.text(self.activation_key)

    @property
    def is_causal(self) -> bool:
        """Whether a class with a head over the vocabulary sees only earlier positions."""
        return self.config.flag("is_decoder")

    @property
    def is_tied(self) -> bool:
        """Whether the head over the vocabulary is the table of tokens."""
        return self.config.flag("tie_word_embeddings")

    @property
    def table_width(self) -> int:
        """The size of the vectors of tokens."""
        return self.config.size("hidden_size")

    @property
    def heads_of(self) -> Heads:
        """The heads of attention."""
        count = self.config.size("num_attention_heads")
        return Heads(count, count, self.config.size("hidden_size") // count)


class MegatronBert(Bert):
    """Megatron-BERT, with norms before each part. Shoeybi et al. 2019, arXiv:1909.08053."""

    model_types = ("megatron-bert",)
    heads = (*Bert.heads, "ForCausalLM")
    layer_names = LayerNames(attention_norm="attention.ln", norm="ln")
    table_norm = ""
    last_norm = "encoder.ln"


class Ernie(Bert):
    """ERNIE. Sun et al. 2019, arXiv:1904.09223."""

    model_types = ("ernie",)
    heads = (*Bert.heads, "ForCausalLM")
    body_name = "ernie"

    def tables(self, width: int) -> None:
        super().tables(width)
        if self.config.flag("use_task_id"):
            count = self.config.size("task_type_vocab_size")
            self.modules.embedding("task_type_embeddings", count, width)

    def compute_sum(self, stack: Stack, scope: str, takes: str) -> str:
        if f"{scope}.task_type_embeddings" in stack:
            takes = self.look_up(stack, f"{scope}.task_type_embeddings", "task_type_ids", takes)
        return super().compute_sum(stack, scope, takes)
