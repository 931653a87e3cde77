"""DeBERTa, encoders whose attention sees content and relative positions apart."""

from __future__ import annotations

from typing import ClassVar

from initcli.sources.huggingface.families.bert import TASKS, Bert
from initcli.sources.huggingface.modules import ZERO, Tensor


class Deberta(Bert):
    """DeBERTa. He et al. 2020, arXiv:2006.03654."""

    model_types = ("deberta",)
    gap = "attention to relative positions"
    heads = ("ForMaskedLM", "Model", *TASKS)
    defaults = {"max_relative_positions": -1}
    body_name = "deberta"
    pooled_heads = ()
    has_buckets: ClassVar[bool] = False
    """Whether far positions may share a vector."""

    def tables(self, width: int) -> None:
        config, modules = self.config, self.modules
        rows, size = config.size("vocab_size"), self.table_width
        self.token_table(rows, size, config.index("pad_token_id", rows))
        if config.flag("position_biased_input"):
            positions = config.size("max_position_embeddings")
            modules.embedding("position_embeddings", positions, size)
        if config.size("type_vocab_size", 0):
            modules.embedding("token_type_embeddings", config.size("type_vocab_size"), size)
        if size != width:
            modules.linear("embed_proj", size, width, False)
        modules.norm("LayerNorm", width)

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
        modules, size, bias = self.modules, self.table_width, Tensor((rows,), ZERO)
        if not self.config.flag("legacy"):
            with modules.within("lm_predictions.lm_head"):
                modules.add("", "LMPredictionHead", bias=bias)
                modules.linear("dense", width, width)
                modules.norm("LayerNorm", width)
            return
        with modules.within("cls.predictions"):
            modules.add("", "LMPredictionHead", bias=bias)
            modules.linear("transform.dense", width, size)
            modules.norm("transform.LayerNorm", size)
        self.decoder("cls.predictions", size, rows)

    @property
    def table_width(self) -> int:
        """The size of the vectors of tokens."""
        return self.config.optional_size("embedding_size") or self.config.size("hidden_size")

    @property
    def kinds(self) -> list[str]:
        """The words for what sees positions: content (c2p), or positions content (p2c)."""
        given = self.config.value("pos_att_type")
        if isinstance(given, str):
            return [each.strip() for each in given.lower().split("|")]
        return list(self.config.texts("pos_att_type"))

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

    def layers(self, width: int) -> None:
        super().layers(width)
        config, modules = self.config, self.modules
        norms = "" if config.is_null("norm_rel_ebd") else config.text("norm_rel_ebd")
        if "layer_norm" in [each.strip() for each in norms.lower().split("|")]:
            modules.norm("encoder.LayerNorm", width)
        kernel = config.optional_size("conv_kernel_size", 0)
        if kernel:
            groups = config.optional_size("conv_groups") or 1
            modules.convolution("encoder.conv.conv", width // groups, width, (kernel,))
            modules.norm("encoder.conv.LayerNorm", width)

    def projections(self, width: int) -> None:
        config, modules = self.config, self.modules
        for name in ("query_proj", "key_proj", "value_proj"):
            modules.linear(name, width, width)
        if config.flag("relative_attention") and not config.flag("share_att_key"):
            if "c2p" in self.kinds:
                modules.linear("pos_key_proj", width, width)
            if "p2c" in self.kinds:
                modules.linear("pos_query_proj", width, width)
