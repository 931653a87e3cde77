"""Encoders with decoders, as BART and T5, and decoders that follow them."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from initcli.initializers import Initializer
from initcli.initializers.given import Values
from initcli.sources.huggingface.family import Family
from initcli.sources.huggingface.modules import ZERO, Tensor, sinusoids
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
    has_table_norm: ClassVar[bool] = True
    positions_offset: ClassVar[int | None] = 2
    """How many rows the table of positions has besides; None where there is no table."""
    has_key_bias: ClassVar[bool] = True
    body_name: ClassVar[str] = "model"
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
            modules.norm("layer_norm", width)

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


class M2M100(MBart):
    """M2M100, with sines for positions. Fan et al. 2020, arXiv:2010.11125."""

    model_types = ("m2m_100",)
    has_table_norm = has_logits_bias = False
    positions_offset = None


class Pegasus(MBart):
    """Pegasus, with a table of sines. Zhang et al. 2019, arXiv:1912.08777."""

    model_types = ("pegasus",)
    has_table_norm = False

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


class T5(Family):
    """T5, with a standard deviation for each projection. Raffel et al. 2019, arXiv:1910.10683."""

    model_types: ClassVar[tuple[str, ...]] = ("t5",)
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


class UMT5(MT5):
    """umT5, of which every layer has relative positions. Chung et al. 2023, arXiv:2304.09151."""

    model_types = ("umt5",)

    def is_positioned(self, index: int) -> bool:
        return True
