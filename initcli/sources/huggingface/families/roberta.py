"""Encoders like RoBERTa, whose positions start after the padding."""

from __future__ import annotations

from typing import ClassVar

from initcli.sources.huggingface.families.bert import TASKS, Bert, LayerNames
from initcli.sources.huggingface.stack import Stack


class Roberta(Bert):
    """RoBERTa. Liu et al. 2019, arXiv:1907.11692."""

    model_types = ("roberta",)
    heads = ("ForMaskedLM", "Model", "ForCausalLM", *TASKS)
    body_name: ClassVar[str] = "roberta"
    language_names = ("lm_head.dense", "lm_head.layer_norm", "lm_head.decoder")
    pads_positions = True
    pooled_heads: ClassVar[tuple[str, ...]] = ("Model", "ForMultipleChoice")
    has_class_layer = True
    class_activation = "tanh"
    language_activation = "gelu"


class Data2VecText(Roberta):
    """data2vec for text. Baevski et al. 2022, arXiv:2202.03555."""

    model_types = ("data2vec-text",)
    body_name = "data2vec_text"


class RobertaPreLayerNorm(Roberta):
    """RoBERTa with norms before each part. Ott et al. 2019, arXiv:1904.01038."""

    model_types = ("roberta-prelayernorm",)
    body_name = "roberta_prelayernorm"
    layer_names = LayerNames(attention_norm="attention.LayerNorm", norm="intermediate.LayerNorm")
    last_norm = "LayerNorm"


class XlmRobertaXl(Roberta):
    """XLM-RoBERTa XL, with norms before each part. Goyal et al. 2021, arXiv:2105.00572."""

    model_types = ("xlm-roberta-xl",)
    layer_names = LayerNames(attention_norm="attention.self_attn_layer_norm", norm="LayerNorm")
    table_norm = ""
    last_norm = "encoder.LayerNorm"


class XlmRoberta(Roberta):
    """XLM-RoBERTa, which names the head before the table. arXiv:1911.02116."""

    model_types = ("xlm-roberta",)
    is_shared = False

    def describe(self, head: str) -> None:
        is_language = head in ("ForMaskedLM", "ForCausalLM")
        self.is_shared = is_language and self.config.flag("tie_word_embeddings")
        super().describe(head)

    def compute_tables(self, stack: Stack, tokens: str, is_tied: bool) -> tuple[str, str]:
        if not self.is_shared:
            return super().compute_tables(stack, tokens, is_tied)
        with stack.outside():
            stack.will_tie("lm_head.decoder")
            table = stack.embedding("lm_head.decoder", tokens)
        return table, self.compute_sum(stack, "embeddings", table)

    def token_table(self, rows: int, width: int, padding: int | None) -> None:
        if not self.is_shared:
            super().token_table(rows, width, padding)
            return
        with self.modules.outside():
            self.modules.embedding("lm_head.decoder", rows, width, padding)
        self.modules.tie("roberta.embeddings.word_embeddings.weight", "lm_head.decoder.weight")

    def decoder(self, name: str, width: int, rows: int) -> None:
        if self.is_shared:
            self.modules.tie(f"{name}.decoder.bias", f"{name}.bias")
        else:
            super().decoder(name, width, rows)


class Camembert(XlmRoberta):
    """CamemBERT. Martin et al. 2019, arXiv:1911.03894."""

    model_types = ("camembert",)


class MpNet(Roberta):
    """MPNet. Song et al. 2020, arXiv:2004.09297."""

    model_types = ("mpnet",)
    heads = ("ForMaskedLM", "Model", *TASKS)
    body_name = "mpnet"
    layer_names = LayerNames(
        qkv=("attention.attn.q", "attention.attn.k", "attention.attn.v"),
        out="attention.attn.o",
        attention_norm="attention.LayerNorm",
    )

    def tables(self, width: int) -> None:
        config, modules = self.config, self.modules
        rows, positions = config.size("vocab_size"), config.size("max_position_embeddings")
        modules.embedding("word_embeddings", rows, width, 1 % rows)
        modules.embedding("position_embeddings", positions, width, 1 % positions)
        modules.norm("LayerNorm", width)

    def compute_sum(self, stack: Stack, scope: str, takes: str) -> str:
        what = "the biases of relative positions, which are small beside the scores"
        stack.leave_out("encoder.relative_attention_bias", what)
        return super().compute_sum(stack, scope, takes)

    def layers(self, width: int) -> None:
        super().layers(width)
        buckets = self.config.size("relative_attention_num_buckets")
        heads = self.config.size("num_attention_heads")
        self.modules.embedding("encoder.relative_attention_bias", buckets, heads)
