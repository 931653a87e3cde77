"""Encoders with decoders, as BART and T5, and decoders that follow them."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from initcli.initializers import Initializer
from initcli.initializers.given import Values
from initcli.sources.huggingface.family import Family
from initcli.sources.huggingface.modules import ZERO, Tensor
from initcli.types import Size


class Bart(Family):
    """BART. Lewis et al. 2019, arXiv:1910.13461."""

    model_types = ("bart",)
    classes = "Bart"
    heads: ClassVar[tuple[str, ...]] = (
        *("ForConditionalGeneration", "Model", "ForSequenceClassification"),
        "ForQuestionAnswering",
    )
    std_key = "init_std"
    defaults = {
        "vocab_size": 50265,
        "max_position_embeddings": 1024,
        "encoder_layers": 12,
        "encoder_ffn_dim": 4096,
        "encoder_attention_heads": 16,
        "decoder_layers": 12,
        "decoder_ffn_dim": 4096,
        "decoder_attention_heads": 16,
        "d_model": 1024,
        "activation_function": "gelu",
        "init_std": 0.02,
        "pad_token_id": 1,
        "tie_word_embeddings": True,
        "num_labels": 3,
    }
    aliases = {
        "hidden_size": "d_model",
        "num_attention_heads": "encoder_attention_heads",
        "num_hidden_layers": "encoder_layers",
    }
    has_last_norm: ClassVar[bool] = False
    has_key_bias: ClassVar[bool] = True

    def describe(self, head: str) -> None:
        config, modules, width = self.config, self.modules, self.config.size("d_model")
        rows = config.size("vocab_size")
        with modules.within("" if head == "Model" else "model"):
            self.body(width, rows)
        match head:
            case "ForConditionalGeneration":
                bias = Tensor((1, rows), ZERO, trainable=False)
                modules.add("", "Model", final_logits_bias=bias)
                self.output("lm_head", "model.shared.weight", width, rows)
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
                positions = config.size("max_position_embeddings")
                modules.embedding("embed_positions", positions + 2, width)
                self.layers(side, width)
                modules.norm("layernorm_embedding", width)

    def layers(self, side: str, width: int) -> None:
        """Add the layers of the encoder or the decoder, and the norm behind them."""
        config, modules = self.config, self.modules
        config.quotient("d_model", f"{side}_attention_heads")
        inner = config.size(f"{side}_ffn_dim")
        for index in range(config.size(f"{side}_layers", 0)):
            with modules.within(f"layers.{index}"):
                self.attention("self_attn", width)
                if side == "decoder":
                    self.attention("encoder_attn", width)
                modules.linear("fc1", width, inner)
                modules.linear("fc2", inner, width)
                modules.norm("final_layer_norm", width)
        if self.has_last_norm:
            modules.norm("layer_norm", width)

    def attention(self, name: str, width: int) -> None:
        """Add the projections of attention, and their norm."""
        for each in ("k_proj", "v_proj", "q_proj", "out_proj"):
            bias = each != "k_proj" or self.has_key_bias
            self.modules.linear(f"{name}.{each}", width, width, bias)
        self.modules.norm(f"{name}_layer_norm", width)


class MBart(Bart):
    """mBART. Liu et al. 2020, arXiv:2001.08210."""

    model_types = ("mbart",)
    classes = "MBart"
    defaults = {"num_labels": 2}
    has_last_norm = True


class Whisper(Bart):
    """Whisper. Radford et al. 2022, arXiv:2212.04356."""

    model_types = ("whisper",)
    classes = "Whisper"
    heads = ("ForConditionalGeneration", "Model")
    defaults = {
        "vocab_size": 51865,
        "num_mel_bins": 80,
        "encoder_layers": 4,
        "encoder_ffn_dim": 1536,
        "encoder_attention_heads": 6,
        "decoder_layers": 4,
        "decoder_ffn_dim": 1536,
        "decoder_attention_heads": 6,
        "d_model": 384,
        "max_source_positions": 1500,
        "max_target_positions": 448,
        "pad_token_id": 50256,
    }
    aliases = {**Bart.aliases, "num_key_value_heads": "encoder_attention_heads"}
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


class Opt(Family):
    """OPT. Zhang et al. 2022, arXiv:2205.01068."""

    model_types = ("opt",)
    classes = "OPT"
    heads = ("ForCausalLM", "Model", "ForSequenceClassification", "ForQuestionAnswering")
    std_key = "init_std"
    defaults = {
        "vocab_size": 50272,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "ffn_dim": 3072,
        "max_position_embeddings": 2048,
        "do_layer_norm_before": True,
        "word_embed_proj_dim": None,
        "num_attention_heads": 12,
        "activation_function": "relu",
        "init_std": 0.02,
        "pad_token_id": 1,
        "enable_bias": True,
        "layer_norm_elementwise_affine": True,
        "tie_word_embeddings": True,
    }

    def describe(self, head: str) -> None:
        config, modules, width = self.config, self.modules, self.config.size("hidden_size")
        config.activation("activation_function")
        config.quotient("hidden_size", "num_attention_heads")
        rows, inner = config.size("vocab_size"), config.size("ffn_dim")
        size = config.optional_size("word_embed_proj_dim") or width
        bias = config.flag("enable_bias")
        with modules.within("decoder" if head == "Model" else "model.decoder"):
            modules.embedding("embed_tokens", rows, size, config.index("pad_token_id", rows))
            positions = config.size("max_position_embeddings")
            modules.embedding("embed_positions", positions + 2, width)
            if size != width:
                modules.linear("project_out", width, size, False)
                modules.linear("project_in", size, width, False)
            is_removed = config.flag("_remove_final_layer_norm")
            if config.flag("do_layer_norm_before") and not is_removed:
                self.norm("final_layer_norm", width)
            for index in range(config.size("num_hidden_layers", 0)):
                with modules.within(f"layers.{index}"):
                    for name in ("k_proj", "v_proj", "q_proj", "out_proj"):
                        modules.linear(f"self_attn.{name}", width, width, bias)
                    self.norm("self_attn_layer_norm", width)
                    modules.linear("fc1", width, inner, bias)
                    modules.linear("fc2", inner, width, bias)
                    self.norm("final_layer_norm", width)
        self.add_head(head, size, "model.decoder.embed_tokens.weight")

    def norm(self, name: str, width: int) -> None:
        """Add a normalization, if it has weights."""
        if self.config.flag("layer_norm_elementwise_affine"):
            self.modules.norm(name, width)


class T5(Family):
    """T5, with a standard deviation for each projection. Raffel et al. 2019, arXiv:1910.10683."""

    model_types = ("t5",)
    classes = "T5"
    heads = ("ForConditionalGeneration", "Model", "EncoderModel")
    std_key = "initializer_factor"
    defaults = {
        "vocab_size": 32128,
        "d_model": 512,
        "d_kv": 64,
        "d_ff": 2048,
        "num_layers": 6,
        "num_decoder_layers": None,
        "num_heads": 8,
        "relative_attention_num_buckets": 32,
        "initializer_factor": 1.0,
        "feed_forward_proj": "relu",
    }
    aliases = {
        "hidden_size": "d_model",
        "num_hidden_layers": "num_layers",
        "num_attention_heads": "num_heads",
        "head_dim": "d_kv",
    }

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
            modules.tie("lm_head.weight", "shared.weight")

    @property
    def factor(self) -> float:
        """What every standard deviation is multiplied by."""
        return self.config.number("initializer_factor")

    def stack(self, side: str, layers: int) -> None:
        """Add the encoder or the decoder."""
        config, modules, width = self.config, self.modules, self.config.size("d_model")
        modules.tie(f"{side}.embed_tokens.weight", "shared.weight")
        for index in range(layers):
            with modules.within(f"{side}.block.{index}"):
                self.attention("layer.0.SelfAttention", has_positions=index == 0)
                self.norm("layer.0.layer_norm", width)
                last = 1
                if side == "decoder":
                    self.attention("layer.1.EncDecAttention")
                    self.norm("layer.1.layer_norm", width)
                    last = 2
                self.feed_forward(f"layer.{last}.DenseReluDense", config.size("d_ff"), width)
                self.norm(f"layer.{last}.layer_norm", width)
        self.norm(f"{side}.final_layer_norm", width)

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
    classes = "MT5"
    defaults = {
        "vocab_size": 250112,
        "d_ff": 1024,
        "num_layers": 8,
        "num_heads": 6,
        "feed_forward_proj": "gated-gelu",
    }
