"""Encoders with decoders, as BART and Whisper."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from initcli.initializers import Initializer
from initcli.initializers.given import Values
from initcli.sources.huggingface.family import MAX_TOKENS, Family
from initcli.sources.huggingface.modules import ZERO, Tensor, sinusoids
from initcli.sources.huggingface.stack import Heads, Stack
from initcli.types import Size


class Bart(Family):
    """BART. Lewis et al. 2019, arXiv:1910.13461."""

    model_types: ClassVar[tuple[str, ...]] = ("bart",)
    heads: ClassVar[tuple[str, ...]] = (
        *("ForConditionalGeneration", "Model", "ForSequenceClassification"),
        "ForQuestionAnswering",
    )
    std_key = "init_std"
    defaults: ClassVar[dict[str, int]] = {"num_labels": 3}
    has_last_norm: ClassVar[bool] = False
    """Whether norms stand before each part, and one behind all, in place of behind each sum."""
    has_table_norm: ClassVar[bool] = True
    positions_offset: ClassVar[int | None] = 2
    """How many rows the table of positions has besides; None where there is no table."""
    has_key_bias: ClassVar[bool] = True
    body_name: ClassVar[str] = "model"
    last_norm: ClassVar[str] = "layer_norm"
    cross_name: ClassVar[str] = "encoder_attn"
    inner_norm: ClassVar[str] = "final_layer_norm"
    """Name of the norm of the feed-forward layer."""
    has_logits_bias: ClassVar[bool] = True

    def describe(self, head: str) -> None:
        config, modules, width = self.config, self.modules, self.config.size("d_model")
        rows = config.size("vocab_size")
        with modules.within("" if head == "Model" else self.body_name):
            self.body(width, rows)
        match head:
            case "ForConditionalGeneration":
                if self.has_logits_bias:
                    bias = Tensor((1, rows), ZERO, trainable=False)
                    modules.add("", "Model", final_logits_bias=bias)
                self.output("lm_head", f"{self.body_name}.shared.weight", width, rows)
            case "ForSequenceClassification":
                modules.linear("classification_head.dense", width, width)
                modules.linear("classification_head.out_proj", width, config.labels)
            case "ForQuestionAnswering":
                modules.linear("qa_outputs", width, 2)

    def compute(self, stack: Stack, head: str) -> None:
        config, table = self.config, "shared"
        is_tied = config.flag("tie_word_embeddings")
        inputs = {side: self.side_inputs(stack, side) for side in ("encoder", "decoder")}
        with stack.within("" if head == "Model" else self.body_name):
            if is_tied and head == "ForConditionalGeneration":
                stack.will_tie("shared")
            if is_tied:
                table = stack.embedding("shared", inputs["encoder"])
                vectors = {"encoder": table}
                vectors["decoder"] = stack.again("decoder.embed_tokens", table, inputs["decoder"])
            else:
                stack.leave_out("shared", "a table that nothing looks up")
                vectors = {
                    side: stack.embedding(f"{side}.embed_tokens", tokens)
                    for side, tokens in inputs.items()
                }
            source = self.compute_side(stack, "encoder", vectors["encoder"])
            stream = self.compute_side(stack, "decoder", vectors["decoder"], source)
        match head:
            case "ForConditionalGeneration":
                stack.hold("final_logits_bias")  # It is 0.
                self.compute_output(stack, "lm_head", table, stream)
            case "ForSequenceClassification":
                last = stack.one("classification_head", stream, -1)
                inner = stack.dense("classification_head.dense", last, "tanh")
                stack.dense("classification_head.out_proj", inner)
            case "ForQuestionAnswering":
                stack.dense("qa_outputs", stream)

    def side_inputs(self, stack: Stack, side: str) -> str:
        """Add the tokens of the encoder or the decoder."""
        return stack.tokens(self.num_tokens, "tokens" if side == "encoder" else "decoder_tokens")

    def compute_output(self, stack: Stack, name: str, table: str, takes: str) -> None:
        """Add what the head over the vocabulary computes."""
        if self.config.flag("tie_word_embeddings"):
            stack.tied(name, table, takes)
        else:
            stack.dense(name, takes)

    def compute_side(self, stack: Stack, side: str, takes: str, source: str = "") -> str:
        """Add the encoder, or the decoder that attends to a source."""
        factor = math.sqrt(self.config.size("d_model"))
        scale = factor if self.config.flag("scale_embedding") else 1.0
        with stack.within(side):
            stream = stack.scaled("embed_scale", takes, scale)
            stream = self.compute_positions(stack, side, stream)
            return self.compute_layers(stack, side, stream, source)

    def compute_layers(self, stack: Stack, side: str, takes: str, source: str = "") -> str:
        """Add the layers of the encoder or the decoder, and the norm behind them."""
        stream = takes
        for index in range(self.config.size(f"{side}_layers", 0)):
            with stack.block("layers", index, stream):
                self.compute_layer(stack, side, source)
            stream = stack.last
        return self.compute_norm(stack, self.last_norm, stream) if self.has_last_norm else stream

    def compute_positions(self, stack: Stack, side: str, takes: str) -> str:
        """Add positions to the vectors of tokens, and normalize the sum."""
        if self.positions_offset is None:
            stream = stack.sines("embed_positions", takes)
        else:
            stream = stack.positions("embed_positions", takes)
        if not self.has_table_norm:
            return stream
        return self.compute_norm(stack, "layernorm_embedding", stream)

    def compute_layer(self, stack: Stack, side: str, source: str) -> None:
        """Add what one layer computes."""
        stream = "input"
        for name in ("self_attn", self.cross_name) if source else ("self_attn",):
            beside = source if name == self.cross_name else ""
            norm = f"{name}_layer_norm"
            normed = self.compute_norm(stack, norm, stream) if self.has_last_norm else stream
            inner = self.compute_attention(stack, side, name, normed, beside)
            stream = stack.sum(f"{name}.sum", stream, inner)
            if not self.has_last_norm:
                stream = self.compute_norm(stack, norm, stream)
        norm = self.inner_norm
        normed = self.compute_norm(stack, norm, stream) if self.has_last_norm else stream
        stream = stack.sum("fc2.sum", stream, self.compute_feed_forward(stack, normed))
        if not self.has_last_norm:
            self.compute_norm(stack, norm, stream)

    def compute_attention(self, stack: Stack, side: str, name: str, takes: str, source: str) -> str:
        """Add attention to all positions, to earlier ones, or to a source."""
        count = self.config.size(f"{side}_attention_heads")
        heads = Heads(count, count, self.config.size("d_model") // count)
        query, key, value, out = (f"{name}.{each}" for each in self.attention_names(side))
        causal = side == "decoder" and not source
        qkv = (query, key, value)
        return stack.attention(name, takes, heads, qkv, out, causal=causal, source=source)

    def attention_names(self, side: str) -> tuple[str, str, str, str]:
        """The names of the projections of attention, of which the last is that of its output."""
        return ("q_proj", "k_proj", "v_proj", "out_proj")

    def compute_feed_forward(self, stack: Stack, takes: str) -> str:
        """Add what the feed-forward layer computes."""
        inner = stack.dense("fc1", takes, self.config.text("activation_function"))
        return stack.dense("fc2", inner)

    def compute_norm(self, stack: Stack, name: str, takes: str) -> str:
        """Add a normalization."""
        return stack.norm(name, takes, "LayerNorm", 1e-5)

    def output(self, name: str, table: str, width: int, rows: int) -> None:
        """Add the head over the vocabulary."""
        if self.config.flag("tie_word_embeddings"):
            self.modules.tie(f"{name}.weight", table)
        else:
            self.modules.linear(name, width, rows, False)

    def body(self, width: int, rows: int) -> None:
        """Add the encoder and the decoder."""
        config, modules = self.config, self.modules
        config.activation("activation_function")
        padding = config.index("pad_token_id", rows)
        modules.embedding("shared", rows, width, padding)
        for side in ("encoder", "decoder"):
            with modules.within(side):
                if config.flag("tie_word_embeddings"):
                    modules.tie_within("embed_tokens.weight", "shared.weight", side)
                else:
                    modules.embedding("embed_tokens", rows, width, padding)
                self.positions(side, width)
                self.layers(side, width)
                if self.has_table_norm:
                    modules.norm("layernorm_embedding", width)

    def positions(self, side: str, width: int) -> None:
        """Add the table of positions."""
        if self.positions_offset is not None:
            rows = self.config.size("max_position_embeddings") + self.positions_offset
            self.modules.embedding("embed_positions", rows, width)

    def layers(self, side: str, width: int) -> None:
        """Add the layers of the encoder or the decoder, and the norm behind them."""
        config, modules = self.config, self.modules
        config.quotient("d_model", f"{side}_attention_heads")
        inner = config.size(f"{side}_ffn_dim")
        for index in range(config.size(f"{side}_layers", 0)):
            with modules.within(f"layers.{index}"):
                self.layer(side, index, width, inner)
        if self.has_last_norm:
            modules.norm(self.last_norm, width)

    def layer(self, side: str, index: int, width: int, inner: int) -> None:
        """Add one layer of the encoder or the decoder."""
        self.attention("self_attn", width)
        if side == "decoder":
            self.attention("encoder_attn", width)
        self.modules.linear("fc1", width, inner)
        self.modules.linear("fc2", inner, width)
        self.modules.norm("final_layer_norm", width)

    def attention(self, name: str, width: int) -> None:
        """Add the projections of attention, and their norm."""
        for each in ("k_proj", "v_proj", "q_proj", "out_proj"):
            bias = each != "k_proj" or self.has_key_bias
            self.modules.linear(f"{name}.{each}", width, width, bias)
        self.modules.norm(f"{name}_layer_norm", width)


class MBart(Bart):
    """mBART. Liu et al. 2020, arXiv:2001.08210."""

    model_types = ("mbart",)
    defaults = {"num_labels": 2}
    has_last_norm = True


class PlBart(Bart):
    """PLBART. Ahmad et al. 2021, arXiv:2103.06333."""

    model_types = ("plbart",)
    defaults = {"num_labels": 2}


class Blenderbot(MBart):
    """Blenderbot. Roller et al. 2020, arXiv:2004.13637."""

    model_types = ("blenderbot",)
    has_table_norm = False
    positions_offset = 0


class BlenderbotSmall(Bart):
    """Blenderbot, small."""

    model_types = ("blenderbot-small",)
    defaults = {"num_labels": 2}
    positions_offset = 0

    def compute_positions(self, stack: Stack, side: str, takes: str) -> str:
        if side == "encoder":
            return super().compute_positions(stack, side, takes)
        return stack.positions(
            "embed_positions", self.compute_norm(stack, "layernorm_embedding", takes)
        )


class M2M100(MBart):
    """M2M100, with sines for positions. Fan et al. 2020, arXiv:2010.11125."""

    model_types = ("m2m_100",)
    has_table_norm = has_logits_bias = False
    positions_offset = None


class Pegasus(MBart):
    """Pegasus, with a table of sines. Zhang et al. 2019, arXiv:1912.08777."""

    model_types = ("pegasus",)
    has_table_norm = False
    positions_offset = None

    def positions(self, side: str, width: int) -> None:
        shape = (self.config.size("max_position_embeddings"), width)
        filled: Initializer = ZERO
        if self.is_computable(shape, "max_position_embeddings"):
            filled = sinusoids(shape)
        waves = Tensor(shape, filled, (), (1,), trainable=False)
        self.modules.add("embed_positions", "Embedding", weight=waves)


class Marian(Pegasus):
    """Marian, translators. Junczys-Dowmunt et al. 2018, arXiv:1804.00344."""

    model_types = ("marian",)
    heads = ("MTModel", "Model")
    has_last_norm = False

    def describe(self, head: str) -> None:
        self.config.refuse_flag("share_encoder_decoder_embeddings", refused=False)
        super().describe("ForConditionalGeneration" if head == "MTModel" else head)

    def compute(self, stack: Stack, head: str) -> None:
        super().compute(stack, "ForConditionalGeneration" if head == "MTModel" else head)


class Whisper(Bart):
    """Whisper. Radford et al. 2022, arXiv:2212.04356."""

    model_types: ClassVar[tuple[str, ...]] = ("whisper",)
    heads: ClassVar[tuple[str, ...]] = ("ForConditionalGeneration", "Model")
    has_last_norm = True
    has_key_bias = False

    def describe(self, head: str) -> None:
        width, rows = self.config.size("d_model"), self.config.size("vocab_size")
        with self.modules.within("" if head == "Model" else "model"):
            self.body(width, rows)
        if head != "Model":
            self.output("proj_out", "model.decoder.embed_tokens.weight", width, rows)

    def body(self, width: int, rows: int) -> None:
        config, modules = self.config, self.modules
        config.activation("activation_function")
        with modules.within("encoder"):
            modules.convolution("conv1", config.size("num_mel_bins"), width, (3,))
            modules.convolution("conv2", width, width, (3,))
            shape = (config.size("max_source_positions"), width)
            waves = Tensor(shape, self.sinusoids(shape), (), (1,), trainable=False)
            modules.add("embed_positions", "Embedding", weight=waves)
            self.layers("encoder", width)
        with modules.within("decoder"):
            padding = config.index("pad_token_id", rows)
            modules.embedding("embed_tokens", rows, width, padding)
            modules.embedding("embed_positions", config.size("max_target_positions"), width)
            self.layers("decoder", width)

    def compute(self, stack: Stack, head: str) -> None:
        config, table = self.config, "decoder.embed_tokens"
        sound = self.spectrogram(stack)
        tokens = stack.tokens(min(config.size("max_target_positions"), MAX_TOKENS))
        with stack.within("" if head == "Model" else "model"):
            if head != "Model" and config.flag("tie_word_embeddings"):
                stack.will_tie(table)
            with stack.within("encoder"):
                source = self.compute_sound(stack, sound)
            table = stack.embedding(table, tokens)
            stream = self.compute_side(stack, "decoder", table, source)
        if head != "Model":
            self.compute_output(stack, "proj_out", table, stream)

    def spectrogram(self, stack: Stack) -> str:
        """Add the input."""
        stack.steps = self.config.size("max_source_positions")
        sizes = [2 * stack.steps, self.config.size("num_mel_bins")]
        return stack.add("Input", "spectrogram", shape=sizes)

    def compute_sound(self, stack: Stack, takes: str) -> str:
        """Add the encoder."""
        for index in (1, 2):
            how: dict[str, Any] = {"strides": index, "padding": "same"}
            takes = stack.convolution(f"conv{index}", takes, activation="gelu", **how)
        stream = self.compute_positions(stack, "encoder", takes)
        return self.compute_layers(stack, "encoder", stream)

    def compute_positions(self, stack: Stack, side: str, takes: str) -> str:
        add = stack.sines if side == "encoder" else stack.positions
        return add("embed_positions", takes)

    def sinusoids(self, shape: Size) -> Initializer:
        """Sines and cosines of positions at wavelengths from 2π to 20,000π."""
        rows, width = shape
        if width % 2 or width < 4:
            message = f"`d_model` is {width:,}, and must be even and at least 4"
            self.config.errors.report(message, ("d_model",))
            return ZERO
        if not self.is_computable(shape, "max_source_positions"):
            return ZERO
        half = width // 2
        angles = np.outer(np.arange(rows), np.exp(-np.log(1e4) / (half - 1) * np.arange(half)))
        waves = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
        return Values(numbers=waves.tobytes())
