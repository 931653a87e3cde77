"""Encoders with rotary attention."""

from __future__ import annotations

import math
from typing import ClassVar

from initcli.initializers import Initializer, TruncatedNormal
from initcli.sources.huggingface.families.bert import LANGUAGE_HEADS, Bert, LayerNames
from initcli.sources.huggingface.families.decoder import Decoder
from initcli.sources.huggingface.family import Family
from initcli.sources.huggingface.modules import ONE, ZERO, Tensor
from initcli.sources.huggingface.stack import Heads, Stack

_AS_DECODER = {"ForMaskedLM": "ForCausalLM"}
_GATED = ("mlp.gate_proj", "mlp.up_proj")


class ModernBert(Family):
    """ModernBERT, which starts from truncated normals. Warner et al. 2024, arXiv:2412.13663."""

    model_types: ClassVar[tuple[str, ...]] = ("modernbert",)
    heads: ClassVar[tuple[str, ...]] = (
        *("ForMaskedLM", "Model", "ForSequenceClassification", "ForTokenClassification"),
        "ForQuestionAnswering",
    )

    qkv: ClassVar[tuple[str, str, str]] = ("attn.Wqkv", "attn.Wqkv", "attn.Wqkv")
    is_causal: ClassVar[bool] = False

    def describe(self, head: str) -> None:
        config, modules, width = self.config, self.modules, self.config.size("hidden_size")
        config.activation("hidden_activation")
        config.quotient("hidden_size", "num_attention_heads")
        rows, layers = config.size("vocab_size"), config.size("num_hidden_layers", 0)
        std = config.number("initializer_range")
        back = std / math.sqrt(2 * max(layers, 1))
        with modules.within("" if head == "Model" else "model"):
            table = Tensor((rows, width), self.drawn(std), (), (1,))
            modules.add("embeddings.tok_embeddings", "Embedding", weight=table)
            self.norm("embeddings.norm", width)
            for index in range(layers):
                with modules.within(f"layers.{index}"):
                    self.layer(index, width, std, back)
            self.norm("final_norm", width)
        if head != "Model":
            self.task(head, width, back)

    def task(self, head: str, width: int, back: float) -> None:
        """Add the head of a class."""
        config, modules, rows = self.config, self.modules, self.config.size("vocab_size")
        self.linear("head.dense", width, width, config.flag("classifier_bias"), back)
        self.norm("head.norm", width)
        if head != "ForMaskedLM":
            self.linear("classifier", width, config.labels, True, width**-0.5)
        elif not config.flag("tie_word_embeddings"):
            self.linear("decoder", width, rows, config.flag("decoder_bias"), back)
        else:
            modules.tie("decoder.weight", "model.embeddings.tok_embeddings.weight")
            if config.flag("decoder_bias"):
                modules.add("decoder", "Linear", bias=Tensor((rows,), ZERO))

    def compute(self, stack: Stack, head: str) -> None:
        config, tokens = self.config, self.token_ids(stack)
        is_language = head in LANGUAGE_HEADS
        is_tied = is_language and config.flag("tie_word_embeddings")
        with stack.within("" if head == "Model" else "model"):
            if is_tied:
                stack.will_tie("embeddings.tok_embeddings")
            table = stack.embedding("embeddings.tok_embeddings", tokens)
            stream = self.compute_norm(stack, "embeddings.norm", table)
            for index in range(config.size("num_hidden_layers", 0)):
                with stack.block("layers", index, stream):
                    self.compute_layer(stack)
                stream = stack.last
            stream = self.compute_norm(stack, "final_norm", stream)
        if head == "Model":
            return
        if head == "ForSequenceClassification" and not self.is_causal:
            pools_first = config.word("classifier_pooling", ("cls", "mean")) == "cls"
            stream = (stack.one if pools_first else stack.mean)("pooled", stream)
        scope = "lm_head" if "lm_head.dense" in stack else "head"
        inner = stack.dense(f"{scope}.dense", stream, config.text("classifier_activation"))
        inner = self.compute_norm(stack, f"{scope}.norm", inner)
        if is_tied:
            stack.tied("decoder", table, inner)
            stack.leave_out("decoder", "the bias of the head, which starts at 0")
        else:
            stack.dense("decoder" if is_language else "classifier", inner)

    def compute_layer(self, stack: Stack) -> None:
        """Add what one layer computes."""
        config = self.config
        count = config.size("num_attention_heads")
        heads = Heads(count, count, config.size("hidden_size") // count)
        normed = "input"
        if "attn_norm" in stack:
            normed = self.compute_norm(stack, "attn_norm", "input")
        causal = self.is_causal
        inner = stack.attention("attn", normed, heads, self.qkv, "attn.Wo", causal=causal)
        middle = stack.sum("attn.sum", "input", inner)
        normed = self.compute_norm(stack, "mlp_norm", middle)
        activation = config.text("hidden_activation")
        inner = stack.gated("mlp.product", ["mlp.Wi"], normed, activation)
        stack.sum("mlp.sum", middle, stack.dense("mlp.Wo", inner))

    def compute_norm(self, stack: Stack, name: str, takes: str) -> str:
        """Add a normalization."""
        return stack.norm(name, takes, "LayerNorm", self.config.number("norm_eps") or 1e-5)

    def layer(self, index: int, width: int, std: float, back: float) -> None:
        """Add one layer; the first has no norm before its attention."""
        config, inner = self.config, self.config.size("intermediate_size")
        if index:
            self.norm("attn_norm", width)
        bias = config.flag("attention_bias")
        self.projections(width, bias, std)
        self.linear("attn.Wo", width, width, bias, back)
        self.norm("mlp_norm", width)
        bias = config.flag("mlp_bias")
        self.linear("mlp.Wi", width, 2 * inner, bias, std)
        self.linear("mlp.Wo", inner, width, bias, back)

    def projections(self, width: int, bias: bool, std: float) -> None:
        """Add the projections to queries, keys and values."""
        self.linear("attn.Wqkv", width, 3 * width, bias, std)

    def linear(self, name: str, inputs: int, outputs: int, bias: bool, std: float) -> None:
        """Add a projection."""
        self.modules.linear(name, inputs, outputs, bias, initializer=self.drawn(std))

    def drawn(self, std: float) -> Initializer:
        """A truncated normal distribution."""
        cut = 3.0
        if not self.config.is_null("initializer_cutoff_factor"):
            cut = self.config.number("initializer_cutoff_factor")
        if not std or not cut:
            return ZERO
        return TruncatedNormal(mean=0.0, stddev=std, lower=-cut, upper=cut)

    def norm(self, name: str, width: int) -> None:
        """Add a normalization."""
        bias = {"bias": Tensor((width,), ZERO)} if self.config.flag("norm_bias") else {}
        self.modules.add(name, "LayerNorm", weight=Tensor((width,), ONE), **bias)


class ModernBertDecoder(ModernBert):
    """The decoder like ModernBERT. Weller et al. 2025, arXiv:2507.11412."""

    model_types = ("modernbert-decoder",)
    heads = ("ForCausalLM", "Model", "ForSequenceClassification")
    qkv = ("attn.q_proj", "attn.k_proj", "attn.v_proj")
    is_causal = True

    def projections(self, width: int, bias: bool, std: float) -> None:
        for name in ("q_proj", "k_proj", "v_proj"):
            self.linear(f"attn.{name}", width, width, bias, std)

    def task(self, head: str, width: int, back: float) -> None:
        config, modules, rows = self.config, self.modules, self.config.size("vocab_size")
        name = "lm_head" if head == "ForCausalLM" else "head"
        self.linear(f"{name}.dense", width, width, config.flag("classifier_bias"), back)
        self.norm(f"{name}.norm", width)
        if head != "ForCausalLM":
            bias = config.flag("classifier_bias")
            self.linear("classifier", width, config.labels, bias, width**-0.5)
        elif not config.flag("tie_word_embeddings"):
            self.linear("decoder", width, rows, config.flag("decoder_bias"), back)
        else:
            modules.tie("decoder.weight", "model.embeddings.tok_embeddings.weight")
            if config.flag("decoder_bias"):
                modules.add("decoder", "Linear", bias=Tensor((rows,), ZERO))


class EuroBert(Decoder):
    """EuroBERT, which is Llama without a causal mask. Boizard et al. 2025, arXiv:2503.05500."""

    model_types = ("eurobert",)
    heads = ("ForMaskedLM", "Model", "ForSequenceClassification", "ForTokenClassification")
    mlp_bias = head_bias = "mlp_bias"
    label_head = "classifier"
    is_causal = False

    def add_head(self, head: str) -> None:
        if head == "ForSequenceClassification":
            self.modules.linear("dense", self.width, self.width)
            self.modules.linear("classifier", self.width, self.config.labels)
        else:
            super().add_head(_AS_DECODER.get(head, head))

    def is_tied(self, head: str) -> bool:
        return super().is_tied(_AS_DECODER.get(head, head))

    def compute_head(self, stack: Stack, head: str, takes: str, table: str) -> None:
        if head != "ForSequenceClassification":
            super().compute_head(stack, _AS_DECODER.get(head, head), takes, table)
            return
        pooling = self.config.word("classifier_pooling", ("late", "bos", "mean"))
        if pooling != "late":
            takes = (stack.one if pooling == "bos" else stack.mean)("pooled", takes)
        logits = stack.dense("classifier", stack.dense("dense", takes, "gelu"))
        if pooling == "late":
            stack.mean("pooled", logits)


class RotaryBert(Bert):
    """The skeleton of BERT with rotary attention and names like those of Llama."""

    model_types: ClassVar[tuple[str, ...]] = ()
    heads: ClassVar[tuple[str, ...]] = (
        *("ForMaskedLM", "Model", "ForSequenceClassification", "ForTokenClassification"),
    )
    blocks = "layers"
    layer_names = LayerNames(
        qkv=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        out="self_attn.o_proj",
        attention_norm="post_attention_layernorm",
        into="mlp.gate_proj",
        back="mlp.down_proj",
        norm="post_mlp_layernorm",
    )
    attention_bias: ClassVar[tuple[bool | str, bool]] = (False, False)
    has_positions = False
    pooled_heads: ClassVar[tuple[str, ...]] = ("ForSequenceClassification",)
    back_bias: ClassVar[bool] = False

    def feed_forward(self, width: int, inner: int) -> None:
        for name in _GATED:
            self.modules.linear(name, width, inner, False)
        self.modules.linear(self.layer_names.back, inner, width, self.back_bias)

    def compute_feed_forward(self, stack: Stack, takes: str) -> str:
        inner = stack.gated("mlp.product", _GATED, takes, self.config.text("hidden_act"))
        return stack.dense(self.layer_names.back, inner)

    @property
    def heads_of(self) -> Heads:
        count, _, size = super().heads_of
        return Heads(count, count, self.config.optional_size("head_dim") or size)


class NomicBert(RotaryBert):
    """Nomic Embed. Nussbaum et al. 2024, arXiv:2402.01613."""

    model_types = ("nomic_bert",)
    defaults = {"tie_word_embeddings": True}
    body_name = "nomic_bert"
    language_names = (
        "cls.predictions.transform.dense",
        "cls.predictions.transform.layer_norm",
        "cls.predictions.decoder",
    )


class Gte(RotaryBert):
    """GTE. Zhang et al. 2024, arXiv:2407.19669."""

    model_types = ("gte",)
    body_name = "gte"
    attention_bias = (True, True)
    back_bias = True
    language_names = ("lm_head.dense", "lm_head.layer_norm", "lm_head.decoder")
    language_activation = "gelu"
    has_head_bias = False
