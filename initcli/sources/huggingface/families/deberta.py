"""DeBERTa, encoders whose attention sees content and relative positions apart."""

from __future__ import annotations

from typing import Any, ClassVar

from initcli.sources.huggingface.families.bert import TASKS, Bert
from initcli.sources.huggingface.modules import ZERO, Tensor
from initcli.sources.huggingface.stack import Stack

_HEAD = "lm_predictions.lm_head"
_POSITIONS = "the scores between content and relative positions"


class Deberta(Bert):
    """DeBERTa. He et al. 2020, arXiv:2006.03654."""

    model_types = ("deberta",)
    heads = ("ForMaskedLM", "Model", *TASKS)
    defaults = {"max_relative_positions": -1}
    body_name = "deberta"
    pooled_heads = ()
    table_norm = ""
    has_buckets: ClassVar[bool] = False
    """Whether far positions may share a vector."""
    qkv: ClassVar[tuple[str, ...]] = ("in_proj",)
    """Names of the projections of content, in attention, or of one for all."""

    def tables(self, width: int) -> None:
        config, modules, stream = self.config, self.modules, self.config.size("hidden_size")
        rows = config.size("vocab_size")
        self.token_table(rows, width, config.index("pad_token_id", rows))
        if config.flag("position_biased_input"):
            positions = config.size("max_position_embeddings")
            modules.embedding("position_embeddings", positions, width)
        if config.size("type_vocab_size", 0):
            modules.embedding("token_type_embeddings", config.size("type_vocab_size"), width)
        if width != stream:
            modules.linear("embed_proj", width, stream, False)
        modules.norm("LayerNorm", stream)

    def layers(self, width: int) -> None:
        super().layers(width)
        config, modules = self.config, self.modules
        if config.flag("relative_attention"):
            modules.embedding("encoder.rel_embeddings", 2 * self.num_relative, width)

    def attention(self, name: str, width: int) -> None:
        with self.modules.within(name):
            with self.modules.within("self"):
                self.projections(width)
            self.modules.linear("output.dense", width, width)
            self.modules.norm("output.LayerNorm", width)

    def projections(self, width: int) -> None:
        """Add queries, keys and values of content, and those of positions."""
        config, modules, bias = self.config, self.modules, Tensor((width,), ZERO)
        modules.linear("in_proj", width, 3 * width, False)
        modules.add("", "Attention", q_bias=bias, v_bias=bias)
        if config.flag("talking_head"):
            heads = config.size("num_attention_heads")
            for name in ("head_logits_proj", "head_weights_proj"):
                modules.linear(name, heads, heads, False)
        if config.flag("relative_attention"):
            if "c2p" in self.kinds:
                modules.linear("pos_proj", width, width, False)
            if "p2c" in self.kinds:
                modules.linear("pos_q_proj", width, width)

    def task(self, head: str, width: int) -> None:
        if head in ("ForSequenceClassification", "ForMultipleChoice"):
            size = width
            if not self.config.is_null("pooler_hidden_size"):
                size = self.config.size("pooler_hidden_size")
            self.modules.linear("pooler.dense", size, size)
            single = head == "ForMultipleChoice"
            self.modules.linear("classifier", size, 1 if single else self.config.labels)
        else:
            super().task(head, width)

    def language_head(self, width: int, rows: int) -> None:
        if self.config.flag("legacy"):
            super().language_head(width, rows)
            return
        dense, norm, _ = self.language_names
        self.modules.add(_HEAD, "LMPredictionHead", bias=Tensor((rows,), ZERO))
        self.modules.linear(dense, width, width)
        self.modules.norm(norm, width)

    def compute_sum(self, stack: Stack, scope: str, takes: str) -> str:
        takes, name = super().compute_sum(stack, scope, takes), f"{scope}.embed_proj"
        takes = stack.dense(name, takes) if name in stack else takes
        return self.compute_norm(stack, f"{scope}.LayerNorm", takes)

    def compute_layers(self, stack: Stack, stream: str, **how: Any) -> str:
        stack.leave_out("encoder.rel_embeddings", _POSITIONS)
        return super().compute_layers(stack, stream, **how)

    def compute_attention(self, stack: Stack, takes: str, *, is_causal: bool) -> str:
        scope, heads = "attention.self", self.heads_of
        parts = stack.projections([f"{scope}.{name}" for name in self.qkv], takes, heads)
        for name in ("q_bias", "v_bias"):
            stack.leave_out(f"{scope}.{name}", "the biases of queries and values, which start at 0")
        for name in ("pos_proj", "pos_q_proj", "pos_key_proj", "pos_query_proj"):
            stack.leave_out(f"{scope}.{name}", _POSITIONS)
        mixing = [f"{scope}.{name}" for name in ("head_logits_proj", "head_weights_proj")]
        if mixing[0] in stack:
            shape = (stack.steps, self.config.size("hidden_size"))
            mixed = stack.unknown("attention", [*parts], "mixing of heads", shape, *mixing)
        else:
            scale = (heads.size * (1 + self.num_other_scores)) ** -0.5
            mixed = stack.attend("attention", *parts, heads, causal=is_causal, scale=scale)
        return stack.dense(self.layer_names.out, mixed)

    def compute_classes(self, stack: Stack, stream: str, pooled: str) -> None:
        first = stack.one("pooler", stream)
        activation = self.config.text("pooler_hidden_act")
        stack.dense("classifier", stack.dense("pooler.dense", first, activation))

    @property
    def language_names(self) -> tuple[str, str, str]:  # type: ignore[override]
        if self.config.flag("legacy"):
            return Bert.language_names
        return f"{_HEAD}.dense", f"{_HEAD}.LayerNorm", f"{_HEAD}.decoder"

    @property
    def is_tied(self) -> bool:
        return super().is_tied or not self.config.flag("legacy")

    @property
    def table_width(self) -> int:
        return self.config.optional_size("embedding_size") or self.config.size("hidden_size")

    @property
    def kinds(self) -> list[str]:
        """The words for what sees positions: content (c2p), or positions content (p2c)."""
        given = self.config.value("pos_att_type")
        if isinstance(given, str):
            return [each.strip() for each in given.lower().split("|")]
        return list(self.config.texts("pos_att_type"))

    @property
    def num_other_scores(self) -> int:
        """The number of kinds of scores beside those of content to content."""
        return len(self.kinds)

    @property
    def num_relative(self) -> int:
        """The number of positions on one side."""
        config = self.config
        for key in ("position_buckets", "max_relative_positions"):
            given = config.value(key)
            is_used = self.has_buckets or key != "position_buckets"
            if is_used and given is not None and not (isinstance(given, int) and given < 1):
                return config.size(key)
        return config.size("max_position_embeddings")


class DebertaV2(Deberta):
    """DeBERTa 2 and 3. He et al. 2021, arXiv:2111.09543."""

    model_types = ("deberta-v2",)
    has_buckets = True
    qkv = ("query_proj", "key_proj", "value_proj")

    def layers(self, width: int) -> None:
        super().layers(width)
        config, modules = self.config, self.modules
        norms = "" if config.is_null("norm_rel_ebd") else config.text("norm_rel_ebd")
        if "layer_norm" in [each.strip() for each in norms.lower().split("|")]:
            modules.norm("encoder.LayerNorm", width)
        kernel = config.optional_size("conv_kernel_size", 0)
        if kernel:
            modules.convolution("encoder.conv.conv", width // self.groups, width, (kernel,))
            modules.norm("encoder.conv.LayerNorm", width)

    def projections(self, width: int) -> None:
        config, modules = self.config, self.modules
        for name in self.qkv:
            modules.linear(name, width, width)
        if config.flag("relative_attention") and not config.flag("share_att_key"):
            if "c2p" in self.kinds:
                modules.linear("pos_key_proj", width, width)
            if "p2c" in self.kinds:
                modules.linear("pos_query_proj", width, width)

    def compute_layers(self, stack: Stack, stream: str, **how: Any) -> str:
        stack.leave_out("encoder.LayerNorm", _POSITIONS)
        return super().compute_layers(stack, stream, **how)

    def behind_layer(self, stack: Stack, index: int, stream: str, tables: str) -> str:
        if index or "encoder.conv.conv" not in stack:
            return stream
        config, name = self.config, "encoder.conv"
        how: dict[str, Any] = {"padding": "same", "groups": self.groups}
        activation = "tanh" if config.is_null("conv_act") else config.text("conv_act")
        local = stack.convolution(f"{name}.conv", tables, activation=activation, **how)
        stream = stack.sum(f"{name}.sum", stream, local)
        return self.compute_norm(stack, f"{name}.LayerNorm", stream)

    @property
    def groups(self) -> int:
        """The number of groups of channels of the convolution."""
        return self.config.optional_size("conv_groups") or 1

    @property
    def num_other_scores(self) -> int:
        return len({"c2p", "p2c"}.intersection(self.kinds))
