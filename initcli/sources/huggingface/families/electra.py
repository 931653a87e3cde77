"""ELECTRA, and other encoders whose vectors of tokens may be smaller than the stream."""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

from initcli.initializers import Initializer
from initcli.sources.huggingface.entries import Entry
from initcli.sources.huggingface.families.bert import TASKS, Bert, LayerNames
from initcli.sources.huggingface.modules import ZERO, Tensor, normal, sinusoids
from initcli.sources.huggingface.stack import Heads, Stack

_GROUPS = "encoder.albert_layer_groups"


class Projected(Bert):
    """Encoders whose vectors of tokens may be smaller than the stream."""

    model_types: ClassVar[tuple[str, ...]] = ()
    heads: ClassVar[tuple[str, ...]] = ("ForMaskedLM", "Model", *TASKS)
    pooled_heads = ()
    has_class_layer = True
    summary_position: ClassVar[int] = -1

    @property
    def projection(self) -> str:  # type: ignore[override]
        is_other = self.table_width != self.config.size("hidden_size")
        return "embeddings_project" if is_other else ""

    @property
    def table_width(self) -> int:
        return self.config.size("embedding_size")


class Electra(Projected):
    """ELECTRA. Clark et al. 2020, arXiv:2003.10555."""

    model_types = ("electra",)
    heads = ("ForPreTraining", "Model", "ForMaskedLM", *TASKS)
    body_name = "electra"
    class_activation = choice_activation = language_activation = "gelu"
    choice_layer = "sequence_summary.summary"
    summary_position = 0
    language_names = (
        *("generator_predictions.dense", "generator_predictions.LayerNorm", "generator_lm_head"),
    )
    has_head_bias = False

    def task(self, head: str, width: int) -> None:
        if head == "ForPreTraining":
            self.modules.linear("discriminator_predictions.dense", width, width)
            self.modules.linear("discriminator_predictions.dense_prediction", width, 1)
        else:
            super().task(head, width)

    def compute_task(self, stack: Stack, head: str, stream: str, pooled: str, table: str) -> None:
        if head == "ForPreTraining":
            activation = self.config.text("hidden_act")
            inner = stack.dense("discriminator_predictions.dense", stream, activation)
            stack.dense("discriminator_predictions.dense_prediction", inner)
        else:
            super().compute_task(stack, head, stream, pooled, table)


class RoFormer(Projected):
    """RoFormer, with rotary positions. Su et al. 2021, arXiv:2104.09864."""

    model_types = ("roformer",)
    heads = ("ForMaskedLM", "Model", "ForCausalLM", *TASKS)
    body_name = "roformer"
    has_positions = False

    @property
    def table_width(self) -> int:
        return self.config.optional_size("embedding_size") or self.config.size("hidden_size")

    def layers(self, width: int) -> None:
        super().layers(width)
        positions = self.config.size("max_position_embeddings")
        shape = (positions, self.config.quotient("hidden_size", "num_attention_heads"))
        filled: Initializer = ZERO
        if self.is_computable(shape, "max_position_embeddings"):
            filled = sinusoids(shape)
        waves = Tensor(shape, filled, (), (1,), trainable=False)
        self.modules.add("encoder.embed_positions", "Embedding", weight=waves)

    def compute_layers(self, stack: Stack, stream: str, **how: Any) -> str:
        what = "the rotation of queries and keys by positions"
        stack.leave_out("encoder.embed_positions", what)
        return super().compute_layers(stack, stream, **how)


class ConvBert(Electra):
    """ConvBERT, where convolutions replace half the heads. Jiang et al. 2020, arXiv:2008.02496."""

    model_types = ("convbert",)
    heads = Projected.heads
    body_name = "convbert"
    class_activation = choice_layer = ""
    summary_position = -1

    @property
    def heads_of(self) -> Heads:
        heads, ratio = (self.config.size(x) for x in ("num_attention_heads", "head_ratio"))
        count = max(heads // ratio, 1)
        return Heads(count, count, self.config.size("hidden_size") // count // 2)

    def attention(self, name: str, width: int) -> None:
        modules, kernel = self.modules, self.config.size("conv_kernel_size")
        count, _, size = self.heads_of
        inner = count * size
        with modules.within(f"{name}.self"):
            for each in ("query", "key", "value"):
                modules.linear(each, width, inner)
            with modules.within("key_conv_attn_layer"):
                modules.add("", "SeparableConv1D", bias=Tensor((inner, 1), ZERO))
                modules.convolution("depthwise", 1, width, (kernel,), False)
                modules.convolution("pointwise", width, inner, (1,), False)
            modules.linear("conv_kernel_layer", inner, count * kernel)
            modules.linear("conv_out_layer", width, inner)
        modules.linear(f"{name}.output.dense", width, width)
        modules.norm(f"{name}.output.LayerNorm", width)

    def compute_attention(self, stack: Stack, takes: str, *, is_causal: bool) -> str:
        heads, scope = self.heads_of, "attention.self"
        query, key, value = stack.projections(self.layer_names.qkv, takes, heads)
        mixed = stack.attend("attention", query, key, value, heads, causal=is_causal)
        local = self.separable_convolution(stack, f"{scope}.key_conv_attn_layer", takes)
        local = stack.product(f"{scope}.product", local, query)
        kernel = stack.dense(f"{scope}.conv_kernel_layer", local)
        values = stack.dense(f"{scope}.conv_out_layer", takes)
        what = "convolution with a kernel for each position"
        shape = (stack.steps, heads.queries * heads.size)
        local = stack.unknown(f"{scope}.convolution", [kernel, values], what, shape)
        both = stack.add("Concatenate", f"{scope}.both", [mixed, local], axis=-1)
        return stack.dense(self.layer_names.out, both)

    def separable_convolution(self, stack: Stack, name: str, takes: str) -> str:
        """Add a depthwise and a pointwise convolution."""
        each, mixed = (stack.tensor(f"{name}.{x}.weight") for x in ("depthwise", "pointwise"))
        stack.use(f"{name}.bias")
        return stack.add(
            *("SeparableConv1D", name, takes),
            filters=mixed.shape[0],
            kernel_size=each.shape[2],
            padding="same",
            depthwise_initializer=stack.filled(each.initializer),
            pointwise_initializer=stack.filled(mixed.initializer),
        )

    def feed_forward(self, width: int, inner: int) -> None:
        groups = self.config.size("num_groups")
        if groups == 1:
            super().feed_forward(width, inner)
            return
        for name, inputs, outputs in (("intermediate", width, inner), ("output", inner, width)):
            shape = (groups, inputs // groups, outputs // groups)
            weight = Tensor(shape, normal(self.modules.std), (1,), (2,))
            bias = Tensor((outputs,), ZERO)
            self.modules.add(f"{name}.dense", "GroupedLinear", weight=weight, bias=bias)

    def compute_feed_forward(self, stack: Stack, takes: str) -> str:
        if self.config.size("num_groups") == 1:
            return super().compute_feed_forward(stack, takes)
        activation = stack.activation(self.config.text("hidden_act"))
        inner = self.grouped(stack, "intermediate.dense", takes, activation)
        return self.grouped(stack, "output.dense", inner, "linear")

    def grouped(self, stack: Stack, name: str, takes: str, activation: Any) -> str:
        """Add a projection in groups, as a convolution with a kernel of one position."""
        weight = stack.tensor(f"{name}.weight")
        groups, _, outputs = weight.shape
        stack.use(f"{name}.bias")
        return stack.add(
            *("Conv1D", name, takes),
            filters=groups * outputs,
            kernel_size=1,
            groups=groups,
            activation=activation,
            kernel_initializer=stack.filled(weight.initializer),
        )


class DistilBert(Bert):
    """DistilBERT. Sanh et al. 2019, arXiv:1910.01108."""

    model_types = ("distilbert",)
    heads = ("ForMaskedLM", "Model", *TASKS)
    body_name = "distilbert"
    pooled_heads = ()
    has_segments = False
    blocks = "transformer.layer"
    activation_key = "activation"
    hidden_key = "hidden_dim"
    choice_layer = "pre_classifier"
    layer_names = LayerNames(
        qkv=("attention.q_lin", "attention.k_lin", "attention.v_lin"),
        out="attention.out_lin",
        attention_norm="sa_layer_norm",
        into="ffn.lin1",
        back="ffn.lin2",
        norm="output_layer_norm",
    )
    language_names = ("vocab_transform", "vocab_layer_norm", "vocab_projector")
    has_head_bias = False

    def describe(self, head: str) -> None:
        self.config.refuse_flag("sinusoidal_pos_embds")
        super().describe(head)

    def task(self, head: str, width: int) -> None:
        if head == "ForSequenceClassification":
            self.modules.linear(self.choice_layer, width, width)
        super().task(head, width)

    def compute_norm(self, stack: Stack, name: str, takes: str) -> str:
        return stack.norm(name, takes, "LayerNorm", 1e-12)


class Albert(Bert):
    """ALBERT, whose layers share their weights. Lan et al. 2019, arXiv:1909.11942."""

    model_types = ("albert",)
    heads = ("ForMaskedLM", "Model", "ForPreTraining", *TASKS)
    body_name = "albert"
    projection = "encoder.embedding_hidden_mapping_in"
    pooler = "pooler"
    layer_names = LayerNames(
        qkv=("attention.query", "attention.key", "attention.value"),
        out="attention.dense",
        attention_norm="attention.LayerNorm",
        into="ffn",
        back="ffn_output",
        norm="full_layer_layer_norm",
    )
    language_names = ("predictions.dense", "predictions.LayerNorm", "predictions.decoder")

    @property
    def table_width(self) -> int:
        return self.config.size("embedding_size")

    @property
    def groups(self) -> list[list[str]]:
        """The names of the layers of each group."""
        groups, inner = self.config.size("num_hidden_groups"), self.config.size("inner_group_num")
        return [
            [f"{_GROUPS}.{group}.albert_layers.{index}" for index in range(inner)]
            for group in range(groups)
        ]

    def layers(self, width: int) -> None:
        for name in itertools.chain(*self.groups):
            with self.modules.within(name):
                self.layer(width)

    def compute_layers(self, stack: Stack, stream: str, **how: Any) -> str:
        count, groups = self.config.size("num_hidden_layers", 0), self.groups
        added: dict[int, list[Entry]] = {}
        for index in range(count):
            group = index * len(groups) // count
            if group in added:
                with stack.block("encoder.layer", index, stream):
                    stack.repeat(added[group])
            else:
                start = len(stack.entries)
                for name in groups[group]:
                    with stack.within(name):
                        self.compute_layer(stack, stream, **how)
                    stream = stack.last
                added[group] = stack.entries[start:]
            stream = stack.last
        for group in range(len(groups)):
            stack.leave_out(f"{_GROUPS}.{group}", "groups of layers that are never reached")
        return stream

    def task(self, head: str, width: int) -> None:
        super().task("ForMaskedLM" if head == "ForPreTraining" else head, width)
        if head == "ForPreTraining":
            self.modules.linear("sop_classifier.classifier", width, self.config.labels)

    def compute_task(self, stack: Stack, head: str, stream: str, pooled: str, table: str) -> None:
        if head == "ForPreTraining":
            self.compute_language_head(stack, stream, table)
            stack.dense("sop_classifier.classifier", pooled)
        else:
            super().compute_task(stack, head, stream, pooled, table)


class RemBert(Bert):
    """RemBERT, with tables of other sizes at both ends. Chung et al. 2020, arXiv:2010.12821."""

    model_types = ("rembert",)
    heads = ("ForMaskedLM", "Model", "ForCausalLM", *TASKS)
    body_name = "rembert"
    projection = "encoder.embedding_hidden_mapping_in"
    language_names = (
        "cls.predictions.dense",
        "cls.predictions.LayerNorm",
        "cls.predictions.decoder",
    )

    @property
    def is_tied(self) -> bool:
        return False

    @property
    def table_width(self) -> int:
        return self.config.size("input_embedding_size")

    def language_head(self, width: int, rows: int) -> None:
        size = self.config.size("output_embedding_size")
        with self.modules.within("cls.predictions"):
            self.modules.linear("dense", width, size)
            self.modules.linear("decoder", size, rows)
            self.modules.norm("LayerNorm", size)
