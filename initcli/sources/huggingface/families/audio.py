"""Encoders of sound, which begin with convolutions over samples."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from initcli.initializers import Constant, Initializer, RandomUniform
from initcli.initializers.given import Unknown
from initcli.sources.huggingface.family import Family
from initcli.sources.huggingface.modules import ONE, ZERO, Tensor, normal
from initcli.sources.huggingface.stack import Heads, Stack

POSITIONS = 50
"""Positions of an input whose signal is followed: a second of sound, at most."""


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

    def compute(self, stack: Stack, head: str) -> None:
        stack.steps = POSITIONS
        with stack.within("" if head == "Model" else self.body_name):
            features = self.compute_features_of_sound(stack)
            stream = self.compute_encoder(stack, self.compute_projection(stack, features))
        sizes = [stack.steps, self.config.size("hidden_size")]
        if "layer_weights" in stack:
            what = "weighted sum of layers"
            stream = stack.unknown("layer_weights", stream, what, sizes, "layer_weights")
        match head:
            case "ForCTC":
                stack.dense("lm_head", stream)
            case "ForPreTraining":
                stack.dense("project_hid", stream)
                sizes = [stack.steps, self.config.size("codevector_dim")]
                what = "choice of code vectors"
                stack.dense(
                    "project_q", stack.unknown("quantizer", features, what, sizes, "quantizer")
                )
            case "ForSequenceClassification":
                stream = stack.dense("projector", stream)
                stack.dense("classifier", stack.mean("pooled", stream))
            case "ForAudioFrameClassification":
                stack.dense("classifier", stream)
            case "ForXVector":
                self.compute_speaker(stack, stack.dense("projector", stream))

    def compute_features_of_sound(self, stack: Stack) -> str:
        """Add the convolutions over as many samples as :data:`POSITIONS` need."""
        config, count = self.config, len(self.config.numbers("conv_dim"))
        kernels = config.numbers("conv_kernel", count, 1)
        strides = config.numbers("conv_stride", count, 1)
        samples = stack.steps
        for kernel, stride in zip(reversed(kernels), reversed(strides), strict=False):
            samples = (samples - 1) * stride + kernel
        stream = stack.add("Input", "samples", shape=[samples, 1])
        activation = config.text("feat_extract_activation")
        for index, stride in enumerate(strides):
            name = f"feature_extractor.conv_layers.{index}"
            if f"{name}.layer_norm" not in stack:
                conv = f"{name}.conv"
                stream = stack.convolution(conv, stream, activation=activation, strides=stride)
                continue
            stream = stack.convolution(f"{name}.conv", stream, strides=stride)
            norm = f"{name}.layer_norm"
            if self.is_grouped:
                stack.use(norm)
                stream = stack.add("GroupNormalization", norm, stream, groups=-1, epsilon=1e-5)
            else:
                stream = stack.norm(norm, stream, "LayerNorm", 1e-5)
            stream = stack.activated(f"{name}.activation", stream, activation)
        return stream

    def compute_projection(self, stack: Stack, takes: str) -> str:
        """Add the projection of features."""
        name = "feature_projection.layer_norm"
        normed = self.compute_norm(stack, name, takes) if name in stack else takes
        return stack.dense("feature_projection.projection", normed)

    def compute_encoder(self, stack: Stack, takes: str) -> str:
        """Add the positions and the layers."""
        is_before = self.is_before
        stack.leave_out("masked_spec_embed", "the vector of positions that training masks")
        stream = self.compute_positions(stack, takes)
        if not is_before:
            stream = self.compute_norm(stack, "encoder.layer_norm", stream)
        for index in range(self.config.size("num_hidden_layers", 0)):
            with stack.block("encoder.layers", index, stream):
                self.compute_layer(stack, is_before=is_before)
            stream = stack.last
        return self.compute_norm(stack, "encoder.layer_norm", stream) if is_before else stream

    @property
    def is_before(self) -> bool:
        """Whether norms stand before each part, in place of behind each sum."""
        return self.config.flag("do_stable_layer_norm")

    def compute_positions(self, stack: Stack, takes: str) -> str:
        """Add the convolution for positions, and the sum of both."""
        name = "encoder.pos_conv_embed.conv"
        return stack.sum(f"{name}.sum", takes, self.compute_weight_norm(stack, name, takes))

    def compute_weight_norm(self, stack: Stack, name: str, takes: str, strides: int = 1) -> str:
        """Add a convolution whose weight is a size and a direction."""
        weight = "parametrizations.weight"
        stack.hold(f"{name}.{weight}.original0")  # They are the norms of the kernel at the start.
        return stack.convolution(
            name,
            takes,
            activation=self.config.text("feat_extract_activation"),
            kernel=f"{weight}.original1",
            groups=self.config.size("num_conv_pos_embedding_groups"),
            padding="same",
            strides=strides,
        )

    def compute_layer(self, stack: Stack, *, is_before: bool) -> None:
        """Add what one layer computes."""
        count = self.config.size("num_attention_heads")
        heads = Heads(count, count, self.config.size("hidden_size") // count)
        normed = self.compute_norm(stack, "layer_norm", "input") if is_before else "input"
        qkv = ("attention.q_proj", "attention.k_proj", "attention.v_proj")
        inner = stack.attention("attention", normed, heads, qkv, "attention.out_proj", causal=False)
        stream = stack.sum("attention.sum", "input", inner)
        norm = "final_layer_norm" if is_before else "layer_norm"
        normed = self.compute_norm(stack, norm, stream)
        stream = stream if is_before else normed
        activation = self.config.text("hidden_act")
        inner = stack.dense("feed_forward.intermediate_dense", normed, activation)
        inner = stack.dense("feed_forward.output_dense", inner)
        stream = stack.sum("feed_forward.sum", stream, inner)
        if not is_before:
            self.compute_norm(stack, "final_layer_norm", stream)

    def compute_norm(self, stack: Stack, name: str, takes: str) -> str:
        """Add a normalization."""
        return stack.norm(name, takes, "LayerNorm", self.config.number("layer_norm_eps") or 1e-5)

    def compute_speaker(self, stack: Stack, takes: str) -> None:
        """Add the layers over time that tell speakers apart."""
        sizes = self.config.numbers("tdnn_dim", least=1)
        kernels = self.config.numbers("tdnn_kernel", len(sizes), 1)
        dilations = self.config.numbers("tdnn_dilation", len(sizes), 1)
        layers = zip(sizes, kernels, dilations, strict=False)
        for index, (size, kernel, dilation) in enumerate(layers):
            name = f"tdnn.{index}.kernel"
            filled = stack.filled(stack.tensor(f"{name}.weight").initializer)
            stack.use(f"{name}.bias")
            takes = stack.add(
                *("Conv1D", name, takes),
                filters=size,
                kernel_size=kernel,
                dilation_rate=dilation,
                activation="relu",
                kernel_initializer=filled,
            )
        sizes = sizes or (1,)
        pooled = stack.unknown("statistics", takes, "pooling of means and stds", [2 * sizes[-1]])
        stack.dense("classifier", stack.dense("feature_extractor", pooled))
        stack.leave_out("objective", "the loss")

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

    def compute_layer(self, stack: Stack, *, is_before: bool) -> None:
        for name in ("gru_rel_pos_const", "gru_rel_pos_linear", "rel_attn_embed"):
            stack.leave_out(f"attention.{name}", "the biases of relative positions")
        super().compute_layer(stack, is_before=is_before)


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

    is_before = False

    def compute_positions(self, stack: Stack, takes: str) -> str:
        config, stream = self.config, takes
        how: dict[str, Any] = {
            "groups": config.size("num_conv_pos_embedding_groups"),
            "padding": "same",
        }
        for index in range(config.size("num_conv_pos_embeddings", 0)):
            name = f"encoder.pos_conv_embed.layers.{index}"
            stream = stack.convolution(f"{name}.conv", stream, **how)
            stream = stack.norm(f"{name}.layer_norm", stream, "", 1e-5)
            activation = config.text("feat_extract_activation")
            stream = stack.activated(f"{name}.activation", stream, activation)
        return stack.sum("encoder.pos_conv_embed.sum", takes, stream)


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

    is_before = False

    def compute_projection(self, stack: Stack, takes: str) -> str:
        normed = self.compute_norm(stack, "layer_norm", takes)
        name = "feature_projection"
        return stack.dense(name, normed) if name in stack else normed

    def compute_positions(self, stack: Stack, takes: str) -> str:
        name, squeeze = "encoder.pos_conv_embed.conv", self.config.size("squeeze_factor")
        moved = self.compute_weight_norm(stack, name, takes, squeeze)
        pooling = {"pool_size": squeeze, "padding": "same"}
        pooled = stack.add("AveragePooling1D", "encoder.pool", takes, **pooling)
        return stack.sum(f"{name}.sum", pooled, moved)

    def compute_encoder(self, stack: Stack, takes: str) -> str:
        stream, name = super().compute_encoder(stack, takes), "encoder.upsample.projection"
        grown = stack.dense(name, stream, self.config.text("feat_extract_activation"))
        stack.steps = -(-stack.steps // self.config.size("squeeze_factor"))
        stack.steps *= self.config.size("squeeze_factor")
        return stack.joined(name, grown, self.config.size("hidden_size"))


def uniform(bound: float) -> Initializer:
    """U(−bound, bound)."""
    return RandomUniform(minval=-bound, maxval=bound)
