"""Encoders with decoders, as T5."""

from __future__ import annotations

from typing import ClassVar

from initcli.sources.huggingface.family import MAX_TOKENS, Family
from initcli.sources.huggingface.stack import Heads, Stack


class T5(Family):
    """T5, with a standard deviation for each projection. Raffel et al. 2019, arXiv:1910.10683."""

    model_types: ClassVar[tuple[str, ...]] = ("t5",)
    scales_outputs: ClassVar[bool] = True
    """Whether the head takes its inputs divided by √d_model."""
    heads: ClassVar[tuple[str, ...]] = ("ForConditionalGeneration", "Model", "EncoderModel")
    std_key = "initializer_factor"

    def describe(self, head: str) -> None:
        config, modules, width = self.config, self.modules, self.config.size("d_model")
        layers = config.size("num_layers", 0)
        modules.embedding("shared", config.size("vocab_size"), width, std=self.factor)
        self.stack("encoder", layers)
        if head == "EncoderModel":
            return
        given = config.optional_size("num_decoder_layers", 0)
        self.stack("decoder", layers if given is None else given)
        if head == "ForConditionalGeneration":
            self.output()

    def output(self) -> None:
        """Add the head over the vocabulary."""
        if self.is_tied:
            self.modules.tie("lm_head.weight", "shared.weight")
        else:
            width, rows = self.config.size("d_model"), self.config.size("vocab_size")
            self.modules.linear("lm_head", width, rows, False, self.factor)

    @property
    def is_tied(self) -> bool:
        """Whether all tables of tokens are one."""
        return True

    def compute(self, stack: Stack, head: str) -> None:
        has_head = head == "ForConditionalGeneration"
        if has_head and "lm_head" not in stack:
            stack.will_tie("shared")
        takes, table = self.compute_inputs(stack)
        config, layers = self.config, self.config.size("num_layers", 0)
        source = self.compute_side(stack, "encoder", layers, takes)
        if head == "EncoderModel":
            return
        vectors = self.compute_decoder_inputs(stack, takes, table)
        given = config.optional_size("num_decoder_layers", 0)
        layers = layers if given is None else given
        stream = self.compute_side(stack, "decoder", layers, vectors, source)
        if not has_head:
            return
        is_scaled = self.scales_outputs and config.data.get("tie_word_embeddings") is not False
        scale = config.size("d_model") ** -0.5 if is_scaled else 1.0
        stream = stack.scaled("output_scale", stream, scale)
        if "lm_head" in stack:
            stack.dense("lm_head", stream)
        else:
            stack.tied("lm_head", table, stream)

    def compute_inputs(self, stack: Stack) -> tuple[str, str]:
        """Add what the encoder takes, and the table of tokens; returns both."""
        tokens = stack.tokens(MAX_TOKENS)
        if not self.is_tied:
            stack.leave_out("shared", "a table that nothing looks up")
            return stack.embedding("encoder.embed_tokens", tokens), ""
        table = stack.embedding("shared", tokens)
        return table, table

    def compute_decoder_inputs(self, stack: Stack, takes: str, table: str) -> str:
        """Add what the decoder takes."""
        if takes != table and table:
            return table
        tokens = stack.tokens(MAX_TOKENS, "decoder_tokens")
        name = "decoder.embed_tokens"
        return stack.again(name, table, tokens) if table else stack.embedding(name, tokens)

    def compute_side(
        self, stack: Stack, side: str, layers: int, takes: str, source: str = ""
    ) -> str:
        """Add the encoder, or the decoder that attends to a source."""
        stream = takes
        with stack.within(side):
            for index in range(layers):
                with stack.block("block", index, stream):
                    self.compute_layer(stack, source)
                stream = stack.last
            return self.compute_norm(stack, "final_layer_norm", stream)

    def compute_layer(self, stack: Stack, source: str) -> None:
        """Add what one layer computes."""
        name, causal = self.self_attention("decoder" if source else "encoder"), bool(source)
        middle = self.compute_attention(stack, f"layer.0.{name}", "input", causal=causal)
        if source:
            name = "layer.1.EncDecAttention"
            middle = self.compute_attention(stack, name, middle, source, causal=False)
        name = "layer.2" if source else "layer.1"
        normed = self.compute_norm(stack, f"{name}.layer_norm", middle)
        stack.sum(f"{name}.sum", middle, self.compute_feed_forward(stack, name, normed))

    def compute_feed_forward(self, stack: Stack, name: str, takes: str) -> str:
        """Add what the feed-forward layer of a part of that name computes."""
        scope, activation = f"{name}.DenseReluDense", self.config.text("feed_forward_proj")
        activation = "gelu_new" if activation == "gated-gelu" else activation.rpartition("-")[2]
        if f"{scope}.wi_0" in stack:
            into = [f"{scope}.wi_0", f"{scope}.wi_1"]
            inner = stack.gated(f"{scope}.product", into, takes, activation)
        else:
            inner = stack.dense(f"{scope}.wi", takes, activation)
        return stack.dense(f"{scope}.wo", inner)

    def compute_attention(
        self, stack: Stack, scope: str, takes: str, source: str = "", *, causal: bool
    ) -> str:
        """Add attention, whose scores have no scale, and its sum with the stream."""
        config, layer = self.config, scope.rpartition(".")[0]
        normed = self.compute_norm(stack, f"{layer}.layer_norm", takes)
        query = stack.dense(f"{scope}.q", normed)
        source = source or self.compute_source(stack, scope, normed)
        key, value = (stack.dense(f"{scope}.{each}", source) for each in "kv")
        what = "the biases of relative positions, which are small beside the scores"
        stack.leave_out(f"{scope}.relative_attention_bias", what)
        heads = Heads(config.size("num_heads"), config.size("num_heads"), config.size("d_kv"))
        mixed = stack.attend(scope, query, key, value, heads, causal=causal, scale=1.0)
        return stack.sum(f"{layer}.sum", takes, stack.dense(f"{scope}.o", mixed))

    def compute_source(self, stack: Stack, scope: str, takes: str) -> str:
        """Add what attention to itself takes keys and values of."""
        return takes

    def compute_norm(self, stack: Stack, name: str, takes: str) -> str:
        """Add a normalization."""
        epsilon = self.config.number("layer_norm_epsilon") or 1e-6
        return stack.norm(name, takes, "RMSNorm", epsilon)

    @property
    def factor(self) -> float:
        """What every standard deviation is multiplied by."""
        return self.config.number("initializer_factor")

    def stack(self, side: str, layers: int) -> None:
        """Add the encoder or the decoder."""
        config, modules, width = self.config, self.modules, self.config.size("d_model")
        if self.is_tied:
            modules.tie(f"{side}.embed_tokens.weight", "shared.weight")
        else:
            rows = config.size("vocab_size")
            modules.embedding(f"{side}.embed_tokens", rows, width, std=self.factor)
        for index in range(layers):
            with modules.within(f"{side}.block.{index}"):
                has_positions = self.is_positioned(index)
                self.attention(f"layer.0.{self.self_attention(side)}", has_positions)
                self.norm("layer.0.layer_norm", width)
                last = 1
                if side == "decoder":
                    self.attention("layer.1.EncDecAttention")
                    self.norm("layer.1.layer_norm", width)
                    last = 2
                self.add_feed_forward(side, index, f"layer.{last}", config.size("d_ff"), width)
                self.norm(f"layer.{last}.layer_norm", width)
        self.norm(f"{side}.final_layer_norm", width)

    def self_attention(self, side: str) -> str:
        """The name of the attention of a side to itself."""
        return "SelfAttention"

    def add_feed_forward(self, side: str, index: int, name: str, inner: int, width: int) -> None:
        """Add the feed-forward layer of a block."""
        self.feed_forward(f"{name}.DenseReluDense", inner, width)

    def is_positioned(self, index: int) -> bool:
        """Whether a layer has a table of relative positions."""
        return index == 0

    def attention(self, name: str, has_positions: bool = False) -> None:
        """Add the projections of attention, and the table of relative positions."""
        config, modules, factor = self.config, self.modules, self.factor
        width, heads, each = config.size("d_model"), config.size("num_heads"), config.size("d_kv")
        inner, into = heads * each, factor * width**-0.5
        with modules.within(name):
            modules.linear("q", width, inner, False, factor * (width * each) ** -0.5)
            modules.linear("k", width, inner, False, into)
            modules.linear("v", width, inner, False, into)
            modules.linear("o", inner, width, False, factor * inner**-0.5)
            if has_positions:
                buckets = config.size("relative_attention_num_buckets")
                modules.embedding("relative_attention_bias", buckets, heads, std=into)

    def feed_forward(self, name: str, inner: int, width: int) -> None:
        """Add the feed-forward layer, which may be gated."""
        is_gated = self.config.text("feed_forward_proj").startswith("gated-")
        if not self.config.is_null("is_gated_act"):
            is_gated = self.config.flag("is_gated_act")
        into = self.factor * width**-0.5
        with self.modules.within(name):
            for each in ("wi_0", "wi_1") if is_gated else ("wi",):
                self.modules.linear(each, width, inner, False, into)
            self.modules.linear("wo", inner, width, False, self.factor * inner**-0.5)

    def norm(self, name: str, width: int) -> None:
        """Add a normalization without bias, whose scale starts at the factor."""
        self.modules.norm(name, width, "RMSNorm", self.factor)


class MT5(T5):
    """mT5. Xue et al. 2020, arXiv:2010.11934."""

    model_types = ("mt5",)
    scales_outputs = False


class UMT5(MT5):
    """umT5, of which every layer has relative positions. Chung et al. 2023, arXiv:2304.09151."""

    model_types = ("umt5",)
    scales_outputs = True

    def is_positioned(self, index: int) -> bool:
        return True
