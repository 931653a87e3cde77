"""Encoders of sound, which begin with convolutions over samples."""

from __future__ import annotations

import math
from typing import ClassVar

from initcli.initializers import Constant, Initializer, RandomUniform
from initcli.initializers.given import Unknown
from initcli.sources.huggingface.family import Family
from initcli.sources.huggingface.modules import ONE, ZERO, Tensor, normal


class Wav2Vec2(Family):
    """wav2vec 2.0. Baevski et al. 2020, arXiv:2006.11477."""

    model_types: ClassVar[tuple[str, ...]] = ("wav2vec2",)
    heads: ClassVar[tuple[str, ...]] = (
        *("ForCTC", "Model", "ForPreTraining", "ForSequenceClassification"),
        *("ForAudioFrameClassification", "ForXVector"),
    )
    body_name: ClassVar[str] = "wav2vec2"

    def describe(self, head: str) -> None:
        config, modules, width = self.config, self.modules, self.config.size("hidden_size")
        config.activation("hidden_act")
        config.quotient("hidden_size", "num_attention_heads")
        with modules.within("" if head == "Model" else self.body_name):
            self.body(width)
        match head:
            case "ForCTC":
                modules.linear("lm_head", width, config.size("vocab_size"))
            case "ForPreTraining":
                self.quantizer(width)
            case "ForSequenceClassification":
                size = config.size("classifier_proj_size")
                self.layer_weights()
                modules.linear("projector", width, size)
                modules.linear("classifier", size, config.labels)
            case "ForAudioFrameClassification":
                self.layer_weights()
                modules.linear("classifier", width, config.labels)
            case "ForXVector":
                self.layer_weights()
                self.speaker(width)

    def layer_weights(self) -> None:
        """Add the weights of layers in what the head sees, if it sees all."""
        if self.config.flag("use_weighted_layer_sum"):
            count = self.config.size("num_hidden_layers", 0) + 1
            share = Tensor((count,), Constant(value=1 / count))
            self.modules.add("", "Model", layer_weights=share)

    def quantizer(self, width: int) -> None:
        """Add the code book, and the projections to where predictions are compared with it."""
        config, modules = self.config, self.modules
        size, out = config.size("codevector_dim"), config.size("proj_codevector_dim")
        groups = config.size("num_codevector_groups")
        count = groups * config.size("num_codevectors_per_group")
        codes = Tensor((1, count, size // groups), RandomUniform(minval=0.0, maxval=1.0))
        modules.add("quantizer", "Quantizer", codevectors=codes)
        inputs = (*config.numbers("conv_dim"), 1)[-2]
        modules.linear("quantizer.weight_proj", inputs, count, std=1.0)
        for name, each in (("project_hid", width), ("project_q", size)):
            drawn = uniform(each**-0.5)
            weight = Tensor((out, each), drawn, (1,), (0,))
            modules.add(name, "Linear", weight=weight, bias=Tensor((out,), drawn))

    def speaker(self, width: int) -> None:
        """Add the layers over time that tell speakers apart."""
        config, modules = self.config, self.modules
        sizes = config.numbers("tdnn_dim", least=1)
        kernels = config.numbers("tdnn_kernel", len(sizes), 1)
        inputs = first = next(iter(sizes), 1)
        modules.linear("projector", width, first)
        for index, (size, kernel) in enumerate(zip(sizes, kernels, strict=False)):
            modules.linear(f"tdnn.{index}.kernel", inputs * kernel, size)
            inputs = size
        out = config.size("xvector_output_dim")
        modules.linear("feature_extractor", 2 * inputs, out)
        modules.linear("classifier", out, out)
        weight = Tensor((out, config.labels), normal(1.0))
        modules.add("objective", "AMSoftmaxLoss", weight=weight)

    def body(self, width: int) -> None:
        """Add all modules but the head."""
        config, modules = self.config, self.modules
        for key in ("add_adapter", "conv_pos_batch_norm"):
            config.refuse_flag(key)
        if config.number("mask_time_prob") or config.number("mask_feature_prob"):
            drawn = RandomUniform(minval=0.0, maxval=1.0)
            modules.add("", "Model", masked_spec_embed=Tensor((width,), drawn))
        self.projection(self.features(), width)
        with modules.within("encoder"):
            self.positions(width)
            modules.norm("layer_norm", width)
            for index in range(config.size("num_hidden_layers", 0)):
                with modules.within(f"layers.{index}"):
                    self.layer(index, width)

    def features(self) -> int:
        """Add the convolutions over samples; returns the width of the last."""
        config, modules, inputs = self.config, self.modules, 1
        sizes = config.numbers("conv_dim", least=1)
        kernels = config.numbers("conv_kernel", len(sizes), 1)
        for index, (size, kernel) in enumerate(zip(sizes, kernels, strict=False)):
            with modules.within(f"feature_extractor.conv_layers.{index}"):
                self.convolution(inputs, size, kernel)
                if not index or not self.is_grouped:
                    modules.norm("layer_norm", size)
            inputs = size
        return inputs

    @property
    def is_grouped(self) -> bool:
        """Whether only the first convolution has a norm."""
        return self.config.word("feat_extract_norm", ("group", "layer")) == "group"

    def convolution(self, inputs: int, outputs: int, kernel: int) -> None:
        """Add a convolution that starts as N(0, 2 / fan_in)."""
        fan = inputs * kernel
        weight = Tensor((outputs, inputs, kernel), normal(math.sqrt(2 / fan)), (1, 2), (0, 2))
        bias = Tensor((outputs,), self.bias_initializer(fan))
        tensors = {"bias": bias} if self.config.flag("conv_bias") else {}
        self.modules.add("conv", "Conv1d", weight=weight, **tensors)

    def bias_initializer(self, fan: int) -> Initializer:
        """The initializer of the bias of a convolution."""
        return uniform(fan**-0.5)

    def projection(self, inputs: int, width: int) -> None:
        """Add the projection of features."""
        self.modules.norm("feature_projection.layer_norm", inputs)
        drawn = uniform(inputs**-0.5)
        weight, bias = Tensor((width, inputs), drawn, (1,), (0,)), Tensor((width,), drawn)
        self.modules.add("feature_projection.projection", "Linear", weight=weight, bias=bias)

    def positions(self, width: int) -> None:
        """Add the convolution for positions, whose weight is a size and a direction."""
        config = self.config
        kernel = config.size("num_conv_pos_embeddings")
        each = config.quotient("hidden_size", "num_conv_pos_embedding_groups")
        with self.modules.within("pos_conv_embed.conv"):
            self.modules.add("", "Conv1d", bias=Tensor((width,), ZERO))
            direction = Tensor((width, each, kernel), uniform((each * kernel) ** -0.5))
            length = Tensor((1, 1, kernel), Unknown(operation="the norm of random entries"))
            name = "parametrizations.weight"
            self.modules.add(name, "WeightNorm", original0=length, original1=direction)

    def layer(self, index: int, width: int) -> None:
        """Add one layer."""
        modules, inner = self.modules, self.config.size("intermediate_size")
        for name in ("k_proj", "v_proj", "q_proj", "out_proj"):
            modules.linear(f"attention.{name}", width, width)
        modules.norm("layer_norm", width)
        modules.linear("feed_forward.intermediate_dense", width, inner)
        modules.linear("feed_forward.output_dense", inner, width)
        modules.norm("final_layer_norm", width)


class Hubert(Wav2Vec2):
    """HuBERT. Hsu et al. 2021, arXiv:2106.07447."""

    model_types = ("hubert",)
    heads = ("ForCTC", "Model", "ForSequenceClassification")
    body_name = "hubert"

    def bias_initializer(self, fan: int) -> Initializer:
        return ZERO

    def projection(self, inputs: int, width: int) -> None:
        if self.config.flag("feat_proj_layer_norm"):
            self.modules.norm("feature_projection.layer_norm", inputs)
        self.modules.linear("feature_projection.projection", inputs, width)


class UniSpeech(Wav2Vec2):
    """UniSpeech. Wang et al. 2021, arXiv:2101.07597."""

    model_types = ("unispeech",)
    heads = ("ForCTC", "Model", "ForSequenceClassification")
    body_name = "unispeech"


class UniSpeechSat(Wav2Vec2):
    """UniSpeech-SAT, for speakers. Chen et al. 2021, arXiv:2110.05752."""

    model_types = ("unispeech-sat",)
    heads = (
        *("ForCTC", "Model", "ForSequenceClassification", "ForAudioFrameClassification"),
        "ForXVector",
    )
    body_name = "unispeech_sat"


class WavLm(UniSpeechSat):
    """WavLM, of which gates weigh relative positions. Chen et al. 2021, arXiv:2110.13900."""

    model_types = ("wavlm",)
    body_name = "wavlm"

    def layer(self, index: int, width: int) -> None:
        super().layer(index, width)
        config, modules = self.config, self.modules
        heads = config.size("num_attention_heads")
        with modules.within("attention"):
            gate = Tensor((1, heads, 1, 1), ONE)
            modules.add("", "Attention", gru_rel_pos_const=gate)
            modules.linear("gru_rel_pos_linear", width // heads, 8)
            if not index:
                modules.embedding("rel_attn_embed", config.size("num_buckets"), heads)


class Data2VecAudio(UniSpeechSat):
    """data2vec for sound. Baevski et al. 2022, arXiv:2202.03555."""

    model_types = ("data2vec-audio",)
    body_name = "data2vec_audio"
    is_grouped = False

    def positions(self, width: int) -> None:
        config, kernel = self.config, self.config.size("conv_pos_kernel_size")
        groups = config.size("num_conv_pos_embedding_groups")
        each = config.quotient("hidden_size", "num_conv_pos_embedding_groups")
        drawn = normal(math.sqrt(2 / (each * kernel)))
        for index in range(config.size("num_conv_pos_embeddings", 0)):
            weight = Tensor((groups * each, each, kernel), drawn, (1, 2), (0, 2))
            bias = Tensor((width,), ZERO)
            name = f"pos_conv_embed.layers.{index}.conv"
            self.modules.add(name, "Conv1d", weight=weight, bias=bias)


class Sew(Hubert):
    """SEW, which squeezes time. Wu et al. 2021, arXiv:2109.06870."""

    model_types = ("sew",)
    body_name = "sew"

    def projection(self, inputs: int, width: int) -> None:
        self.modules.norm("layer_norm", inputs)
        if inputs != width:
            self.modules.linear("feature_projection", inputs, width)
        squeeze = self.config.size("squeeze_factor")
        self.modules.linear("encoder.upsample.projection", width, width * squeeze)


def uniform(bound: float) -> Initializer:
    """U(−bound, bound)."""
    return RandomUniform(minval=-bound, maxval=bound)
