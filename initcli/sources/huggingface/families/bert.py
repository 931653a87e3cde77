"""Encoders like BERT."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

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
"""Ends of names of classes with a head on the first position."""


class LayerNames(NamedTuple):
    """The names of a layer's projections and norms."""

    qkv: tuple[str, str, str]
    out: str
    attention_norm: str
    into: str
    back: str
    norm: str


TASKS: tuple[str, ...] = (
    *("ForSequenceClassification", "ForTokenClassification", "ForMultipleChoice"),
    "ForQuestionAnswering",
)


class Bert(Family):
    """BERT. Devlin et al. 2018, arXiv:1810.04805."""

    model_types: ClassVar[tuple[str, ...]] = ("bert",)
    heads: ClassVar[tuple[str, ...]] = (
        *("ForMaskedLM", "Model", "ForPreTraining", "LMHeadModel", "ForNextSentencePrediction"),
        *TASKS,
    )
    body_name: ClassVar[str] = "bert"
    pads_positions: ClassVar[bool] = False
    """Whether the table of positions has a padding row too."""
    blocks: ClassVar[str] = "encoder.layer"
    attention_norm: ClassVar[str] = "output.LayerNorm"
    """Name of the norm of attention, in it."""
    output_norm: ClassVar[str] = "output.LayerNorm"
    """Name of the norm of the feed-forward layer, in its layer."""
    table_norm: ClassVar[str] = "LayerNorm"
    """Name of the norm of the tables' sum; none if empty."""
    last_norm: ClassVar[str] = ""
    """Name of the norm behind all layers, if there is one."""
    language_names: ClassVar[tuple[str, str, str]] = (
        *("cls.predictions", "transform.dense", "transform.LayerNorm"),
    )
    """Names of the head over the vocabulary, of its projection, and of its norm."""
    pooled_heads: ClassVar[tuple[str, ...]] = (
        *("Model", "ForPreTraining", "ForNextSentencePrediction", "ForMultipleChoice"),
        "ForSequenceClassification",
    )
    """The ends of names of classes with a pooler."""
    pooler: ClassVar[str] = "pooler.dense"
    has_class_layer: ClassVar[bool] = False
    """Whether the head over classes of a text has a layer before its last."""
    choice_layer: ClassVar[str] = ""
    """Name of the layer before the head over choices, if there is one."""
    has_segments: ClassVar[bool] = True
    has_positions: ClassVar[bool] = True
    more_positions: ClassVar[int] = 0
    """How many rows the table of positions has besides."""
    activation_key: ClassVar[str] = "hidden_act"

    def describe(self, head: str) -> None:
        config, width = self.config, self.config.size("hidden_size")
        config.activation("hidden_act")
        config.quotient("hidden_size", "num_attention_heads")
        with self.modules.within("" if head == "Model" else self.body_name):
            self.body(width, pools=head in self.pooled_heads)
        if head != "Model":
            self.task(head, width)

    def compute(self, stack: Stack, head: str) -> None:
        self.compute_class(stack, head)

    def compute_class(self, stack: Stack, head: str, source: str = "") -> None:
        """Add what the class with that end of its name computes, which may attend to a source."""
        config, is_language = self.config, head in LANGUAGE_HEADS
        if config.flag("add_cross_attention"):
            raise NotComputed("attention to the output of an encoder")
        tokens = self.token_ids(stack)
        is_tied = is_language and config.flag("tie_word_embeddings")
        with stack.within("" if head == "Model" else self.body_name):
            is_causal = is_language and self.is_causal
            table, stream = self.compute_body(
                stack, tokens, is_tied=is_tied, is_causal=is_causal, source=source
            )
            pooled = stream
            if head in POOLED and "pooler.dense" in stack:
                pooled = stack.dense("pooler.dense", stack.one("pooler", stream), "tanh")
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
        for index in range(self.config.size("num_hidden_layers", 0)):
            with stack.block(self.blocks, index, stream):
                self.compute_layer(stack, is_causal=is_causal, source=source)
            stream = stack.last
        if self.last_norm:
            stream = self.compute_norm(stack, self.last_norm, stream)
        return table, stream

    @property
    def is_causal(self) -> bool:
        """Whether a class with a head over the vocabulary sees only earlier positions."""
        return self.config.flag("is_decoder")

    def compute_tables(self, stack: Stack, tokens: str, is_tied: bool) -> tuple[str, str]:
        """Add the tables of tokens, positions and segments; returns that of tokens, and the sum."""
        scope = "embeddings"
        name = f"{scope}.word_embeddings"
        if is_tied:
            stack.will_tie(name)
        table = stack.embedding(name, tokens)
        return table, self.compute_sum(stack, scope, table)

    def compute_sum(self, stack: Stack, scope: str, takes: str) -> str:
        """Add positions and segments to the vectors of tokens, and normalize the sum."""
        stream = stack.positions(f"{scope}.position_embeddings", takes)
        if f"{scope}.token_type_embeddings" in stack:
            segments = stack.tokens(self.num_tokens, "token_type_ids")
            segments = stack.embedding(f"{scope}.token_type_embeddings", segments)
            stream = stack.sum(f"{scope}.sum", stream, segments)
        if not self.table_norm:
            return stream
        return self.compute_norm(stack, f"{scope}.{self.table_norm}", stream)

    def compute_layer(self, stack: Stack, *, is_causal: bool, source: str = "") -> None:
        """Add what one layer computes."""
        names, stream, is_before = self.layer_names, "input", bool(self.last_norm)
        for cross in ("", "cross") if source else ("",):
            norm, (query, key, value) = f"{cross}{names.attention_norm}", names.qkv
            normed = self.compute_norm(stack, norm, stream) if is_before else stream
            inner = stack.attention(
                f"{cross}attention",
                normed,
                self.heads_of,
                (f"{cross}{query}", f"{cross}{key}", f"{cross}{value}"),
                f"{cross}{names.out}",
                causal=is_causal and not cross,
                source=source if cross else "",
            )
            stream = stack.sum(f"{cross}attention.sum", stream, inner)
            if not is_before:
                stream = self.compute_norm(stack, norm, stream)
        normed = self.compute_norm(stack, names.norm, stream) if is_before else stream
        inner = stack.dense(names.into, normed, self.config.text(self.activation_key))
        stream = stack.sum("output.sum", stream, stack.dense(names.back, inner))
        if not is_before:
            self.compute_norm(stack, names.norm, stream)

    @property
    def layer_names(self) -> LayerNames:
        """The names of a layer's modules."""
        return LayerNames(
            qkv=("attention.self.query", "attention.self.key", "attention.self.value"),
            out="attention.output.dense",
            attention_norm=f"attention.{self.attention_norm}",
            into="intermediate.dense",
            back="output.dense",
            norm=self.output_norm,
        )

    @property
    def heads_of(self) -> Heads:
        """The heads of attention."""
        count = self.config.size("num_attention_heads")
        return Heads(count, count, self.config.size("hidden_size") // count)

    def compute_norm(self, stack: Stack, name: str, takes: str) -> str:
        """Add a normalization."""
        return stack.norm(name, takes, "LayerNorm", self.config.number("layer_norm_eps") or 1e-12)

    def compute_task(self, stack: Stack, head: str, stream: str, pooled: str, table: str) -> None:
        """Add what the head of a class computes."""
        match head:
            case "Model":
                return
            case "ForSequenceClassification" | "ForMultipleChoice":
                stack.dense("classifier", pooled)
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

    def compute_language_head(self, stack: Stack, takes: str, table: str) -> None:
        """Add what the head over the vocabulary computes; the table is one that is tied."""
        scope, dense, norm = self.language_names
        inner = stack.dense(f"{scope}.{dense}", takes, self.language_activation)
        inner = self.compute_norm(stack, f"{scope}.{norm}", inner)
        if table:
            stack.tied(f"{scope}.logits" if scope in table else f"{scope}.decoder", table, inner)
        else:
            stack.dense(f"{scope}.decoder", inner)
        stack.leave_out(scope, "the bias of the head, which starts at 0")

    @property
    def language_activation(self) -> str:
        """The activation of the head over the vocabulary."""
        return self.config.text(self.activation_key)

    def body(self, width: int, *, pools: bool) -> None:
        """Add tables, layers and pooler."""
        modules = self.modules
        with modules.within("embeddings"):
            self.tables(width)
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
        self.feed_forward(width, self.config.size("intermediate_size"))
        self.modules.norm(self.output_norm, width)

    def feed_forward(self, width: int, inner: int) -> None:
        """Add the projections of the feed-forward layer."""
        self.modules.linear("intermediate.dense", width, inner)
        self.modules.linear("output.dense", inner, width)

    def attention(self, name: str, width: int) -> None:
        """Add the projections of attention, and the norm behind them."""
        with self.modules.within(name):
            for each in ("query", "key", "value"):
                self.modules.linear(f"self.{each}", width, width)
            self.modules.linear("output.dense", width, width)
            self.modules.norm(self.attention_norm, width)

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
        scope, dense, norm = self.language_names
        with self.modules.within(scope):
            self.modules.add("", "LMHead", bias=Tensor((rows,), ZERO))
            self.modules.linear(dense, width, width)
            self.modules.norm(norm, width)
        self.decoder(scope, width, rows)

    def decoder(self, name: str, width: int, rows: int) -> None:
        """Add what turns the head's output into logits: the table of tokens, where it is tied."""
        if self.config.flag("tie_word_embeddings"):
            table = f"{self.body_name}.embeddings.word_embeddings.weight"
            self.modules.tie(f"{name}.decoder.weight", table)
            self.modules.tie(f"{name}.decoder.bias", f"{name}.bias")
        else:
            self.modules.linear(f"{name}.decoder", width, rows)


class MegatronBert(Bert):
    """Megatron-BERT, with norms before each part. Shoeybi et al. 2019, arXiv:1909.08053."""

    model_types = ("megatron-bert",)
    heads = (*Bert.heads, "ForCausalLM")
    attention_norm = output_norm = "ln"
    table_norm = ""
    last_norm = "encoder.ln"


class Ernie(Bert):
    """ERNIE. Sun et al. 2019, arXiv:1904.09223."""

    model_types = ("ernie",)
    heads = (*Bert.heads, "ForCausalLM")
    body_name = "ernie"

    def compute_sum(self, stack: Stack, scope: str, takes: str) -> str:
        if "embeddings.task_type_embeddings" in stack:
            tasks = stack.tokens(self.num_tokens, "task_type_ids")
            tasks = stack.embedding("embeddings.task_type_embeddings", tasks)
            takes = stack.sum("embeddings.task_sum", takes, tasks)
        return super().compute_sum(stack, scope, takes)

    def tables(self, width: int) -> None:
        super().tables(width)
        if self.config.flag("use_task_id"):
            count = self.config.size("task_type_vocab_size")
            self.modules.embedding("task_type_embeddings", count, width)


class Electra(Bert):
    """ELECTRA. Clark et al. 2020, arXiv:2003.10555."""

    model_types: ClassVar[tuple[str, ...]] = ("electra",)
    heads: ClassVar[tuple[str, ...]] = ("ForPreTraining", "Model", "ForMaskedLM", *TASKS)
    body_name: ClassVar[str] = "electra"
    pooled_heads = ()
    has_class_layer = True
    choice_layer: ClassVar[str] = "sequence_summary.summary"

    def body(self, width: int, *, pools: bool) -> None:
        size = self.table_width
        with self.modules.within("embeddings"):
            self.tables(size)
        if size != width:
            self.modules.linear("embeddings_project", size, width)
        self.layers(width)

    def compute_sum(self, stack: Stack, scope: str, takes: str) -> str:
        stream = super().compute_sum(stack, scope, takes)
        name = "embeddings_project"
        return stack.dense(name, stream) if name in stack else stream

    def compute_task(self, stack: Stack, head: str, stream: str, pooled: str, table: str) -> None:
        activation = self.config.text("hidden_act")
        match head:
            case "ForPreTraining":
                inner = stack.dense("discriminator_predictions.dense", stream, activation)
                stack.dense("discriminator_predictions.dense_prediction", inner)
            case "ForMaskedLM":
                inner = stack.dense("generator_predictions.dense", stream, "gelu")
                inner = self.compute_norm(stack, "generator_predictions.LayerNorm", inner)
                if table:
                    stack.tied("generator_lm_head", table, inner)
                    what = "the bias of the head, which starts at 0"
                    stack.leave_out("generator_lm_head.bias", what)
                else:
                    stack.dense("generator_lm_head", inner)
            case "ForMultipleChoice":
                raise NotComputed("the summary of a sequence")
            case _:
                super().compute_task(stack, head, stream, pooled, table)

    def task(self, head: str, width: int) -> None:
        modules = self.modules
        match head:
            case "ForPreTraining":
                modules.linear("discriminator_predictions.dense", width, width)
                modules.linear("discriminator_predictions.dense_prediction", width, 1)
            case "ForMaskedLM":
                size, rows = self.table_width, self.config.size("vocab_size")
                modules.norm("generator_predictions.LayerNorm", size)
                modules.linear("generator_predictions.dense", width, size)
                if self.config.flag("tie_word_embeddings"):
                    table = f"{self.body_name}.embeddings.word_embeddings.weight"
                    modules.add("generator_lm_head", "Linear", bias=Tensor((rows,), ZERO))
                    modules.tie("generator_lm_head.weight", table)
                else:
                    modules.linear("generator_lm_head", size, rows)
            case _:
                super().task(head, width)

    @property
    def table_width(self) -> int:
        """The size of the vectors of tokens."""
        return self.config.size("embedding_size")


class DistilBert(Bert):
    """DistilBERT. Sanh et al. 2019, arXiv:1910.01108."""

    model_types = ("distilbert",)
    heads = ("ForMaskedLM", "Model", *TASKS)
    body_name = "distilbert"
    blocks = "transformer.layer"
    activation_key = "activation"
    language_names = ("vocab_transform", "vocab_layer_norm", "vocab_projector")

    @property
    def layer_names(self) -> LayerNames:
        return LayerNames(
            qkv=("attention.q_lin", "attention.k_lin", "attention.v_lin"),
            out="attention.out_lin",
            attention_norm="sa_layer_norm",
            into="ffn.lin1",
            back="ffn.lin2",
            norm="output_layer_norm",
        )

    def compute_norm(self, stack: Stack, name: str, takes: str) -> str:
        return stack.norm(name, takes, "LayerNorm", 1e-12)

    def compute_task(self, stack: Stack, head: str, stream: str, pooled: str, table: str) -> None:
        if head in ("ForSequenceClassification", "ForMultipleChoice"):
            pooled = stack.dense("pre_classifier", stack.one("pre_classifier", stream), "relu")
        super().compute_task(stack, head, stream, pooled, table)

    def compute_language_head(self, stack: Stack, takes: str, table: str) -> None:
        dense, norm, out = self.language_names
        inner = stack.dense(dense, takes, self.language_activation)
        inner = self.compute_norm(stack, norm, inner)
        if table:
            stack.tied(out, table, inner)
            stack.leave_out(out, "the bias of the head, which starts at 0")
        else:
            stack.dense(out, inner)

    def describe(self, head: str) -> None:
        config, modules, width = self.config, self.modules, self.config.size("dim")
        config.activation("activation")
        config.quotient("dim", "n_heads")
        config.refuse_flag("sinusoidal_pos_embds")
        rows, inner = config.size("vocab_size"), config.size("hidden_dim")
        with modules.within("" if head == "Model" else "distilbert"):
            with modules.within("embeddings"):
                padding = config.index("pad_token_id", rows)
                modules.embedding("word_embeddings", rows, width, padding)
                positions = config.size("max_position_embeddings")
                modules.embedding("position_embeddings", positions, width)
                modules.norm("LayerNorm", width)
            for index in range(config.size("n_layers", 0)):
                with modules.within(f"transformer.layer.{index}"):
                    for name in ("q_lin", "k_lin", "v_lin", "out_lin"):
                        modules.linear(f"attention.{name}", width, width)
                    modules.norm("sa_layer_norm", width)
                    modules.linear("ffn.lin1", width, inner)
                    modules.linear("ffn.lin2", inner, width)
                    modules.norm("output_layer_norm", width)
        match head:
            case "ForMaskedLM":
                modules.linear("vocab_transform", width, width)
                modules.norm("vocab_layer_norm", width)
                if config.flag("tie_word_embeddings"):
                    modules.add("vocab_projector", "Linear", bias=Tensor((rows,), ZERO))
                    table = "distilbert.embeddings.word_embeddings.weight"
                    modules.tie("vocab_projector.weight", table)
                else:
                    modules.linear("vocab_projector", width, rows)
            case "ForSequenceClassification" | "ForMultipleChoice":
                modules.linear("pre_classifier", width, width)
                single = head == "ForMultipleChoice"
                modules.linear("classifier", width, 1 if single else config.labels)
            case "ForTokenClassification":
                modules.linear("classifier", width, config.labels)
            case "ForQuestionAnswering":
                modules.linear("qa_outputs", width, config.labels)


class Albert(Bert):
    """ALBERT, whose layers share their weights. Lan et al. 2019, arXiv:1909.11942."""

    model_types = ("albert",)
    heads = ("ForMaskedLM", "Model", "ForPreTraining", *TASKS)
    body_name = "albert"
    gap = "layers that share their weights"

    def body(self, width: int, *, pools: bool) -> None:
        config, modules = self.config, self.modules
        size, inner = config.size("embedding_size"), config.size("intermediate_size")
        with modules.within("embeddings"):
            self.tables(size)
        modules.linear("encoder.embedding_hidden_mapping_in", size, width)
        for group in range(config.size("num_hidden_groups")):
            for index in range(config.size("inner_group_num")):
                scope = f"encoder.albert_layer_groups.{group}.albert_layers.{index}"
                with modules.within(scope):
                    modules.norm("full_layer_layer_norm", width)
                    for name in ("query", "key", "value", "dense"):
                        modules.linear(f"attention.{name}", width, width)
                    modules.norm("attention.LayerNorm", width)
                    modules.linear("ffn", width, inner)
                    modules.linear("ffn_output", inner, width)
        if pools:
            modules.linear("pooler", width, width)

    def task(self, head: str, width: int) -> None:
        super().task("ForMaskedLM" if head == "ForPreTraining" else head, width)
        if head == "ForPreTraining":
            self.modules.linear("sop_classifier.classifier", width, self.config.labels)

    def language_head(self, width: int, rows: int) -> None:
        size = self.config.size("embedding_size")
        with self.modules.within("predictions"):
            self.modules.add("", "MLMHead", bias=Tensor((rows,), ZERO))
            self.modules.norm("LayerNorm", size)
            self.modules.linear("dense", width, size)
        self.decoder("predictions", size, rows)
