"""Encoders with rotary attention."""

from __future__ import annotations

import math

from initcli.initializers import Initializer, TruncatedNormal
from initcli.sources.huggingface.family import Family
from initcli.sources.huggingface.modules import ONE, ZERO, Tensor
from initcli.sources.huggingface.stack import Heads, Stack


class ModernBert(Family):
    """ModernBERT, which starts from truncated normals. Warner et al. 2024, arXiv:2412.13663."""

    model_types = ("modernbert",)
    heads = (
        *("ForMaskedLM", "Model", "ForSequenceClassification", "ForTokenClassification"),
        "ForQuestionAnswering",
    )

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
        if head == "Model":
            return
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
        is_tied = head == "ForMaskedLM" and config.flag("tie_word_embeddings")
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
        if head == "ForSequenceClassification":
            pools_first = config.word("classifier_pooling", ("cls", "mean")) == "cls"
            stream = (stack.one if pools_first else stack.mean)("pooled", stream)
        inner = stack.dense("head.dense", stream, config.text("classifier_activation"))
        inner = self.compute_norm(stack, "head.norm", inner)
        if is_tied:
            stack.tied("decoder", table, inner)
            stack.leave_out("decoder", "the bias of the head, which starts at 0")
        else:
            stack.dense("decoder" if head == "ForMaskedLM" else "classifier", inner)

    def compute_layer(self, stack: Stack) -> None:
        """Add what one layer computes."""
        config = self.config
        count = config.size("num_attention_heads")
        heads = Heads(count, count, config.size("hidden_size") // count)
        normed = "input"
        if "attn_norm" in stack:
            normed = self.compute_norm(stack, "attn_norm", "input")
        packed = ("attn.Wqkv",) * 3
        inner = stack.attention("attn", normed, heads, packed, "attn.Wo", causal=False)
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
        self.linear("attn.Wqkv", width, 3 * width, bias, std)
        self.linear("attn.Wo", width, width, bias, back)
        self.norm("mlp_norm", width)
        bias = config.flag("mlp_bias")
        self.linear("mlp.Wi", width, 2 * inner, bias, std)
        self.linear("mlp.Wo", inner, width, bias, back)

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
