"""Encoders of sound, which begin with convolutions over samples."""

from __future__ import annotations

import math
from typing import ClassVar

from initcli.initializers import Constant, Initializer, RandomUniform
from initcli.initializers.given import Unknown
from initcli.sources.huggingface.family import Family
from initcli.sources.huggingface.modules import ZERO, Tensor, normal


class Wav2Vec2(Family):
    """wav2vec 2.0. Baevski et al. 2020, arXiv:2006.11477."""

    model_types: ClassVar[tuple[str, ...]] = ("wav2vec2",)
    heads: ClassVar[tuple[str, ...]] = ("ForCTC", "Model", "ForSequenceClassification")
    body_name: ClassVar[str] = "wav2vec2"

    def describe(self, head: str) -> None:
        config, modules, width = self.config, self.modules, self.config.size("hidden_size")
        config.activation("hidden_act")
        config.quotient("hidden_size", "num_attention_heads")
        with modules.within("" if head == "Model" else self.body_name):
            self.body(width)
        if head == "ForCTC":
            modules.linear("lm_head", width, config.size("vocab_size"))
        elif head == "ForSequenceClassification":
            size = config.size("classifier_proj_size")
            if config.flag("use_weighted_layer_sum"):
                count = config.size("num_hidden_layers", 0) + 1
                share = Tensor((count,), Constant(value=1 / count))
                modules.add("", "Model", layer_weights=share)
            modules.linear("projector", width, size)
            modules.linear("classifier", size, config.labels)

    def body(self, width: int) -> None:
        """Add all modules but the head."""
        config, modules = self.config, self.modules
        for key in ("add_adapter", "conv_pos_batch_norm"):
            config.refuse_flag(key)
        if config.number("mask_time_prob") or config.number("mask_feature_prob"):
            drawn = RandomUniform(minval=0.0, maxval=1.0)
            modules.add("", "Model", masked_spec_embed=Tensor((width,), drawn))
        inputs = self.features()
        with modules.within("feature_projection"):
            self.projection(inputs, width)
        with modules.within("encoder"):
            self.positions(width)
            modules.norm("layer_norm", width)
            for index in range(config.size("num_hidden_layers", 0)):
                with modules.within(f"layers.{index}"):
                    self.layer(width)

    def features(self) -> int:
        """Add the convolutions over samples; returns the width of the last."""
        config, modules, inputs = self.config, self.modules, 1
        sizes = config.numbers("conv_dim", least=1)
        kernels = config.numbers("conv_kernel", len(sizes), 1)
        grouped = config.word("feat_extract_norm", ("group", "layer")) == "group"
        for index, (size, kernel) in enumerate(zip(sizes, kernels, strict=False)):
            with modules.within(f"feature_extractor.conv_layers.{index}"):
                self.convolution(inputs, size, kernel)
                if not grouped or not index:
                    modules.norm("layer_norm", size)
            inputs = size
        return inputs

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
        self.modules.norm("layer_norm", inputs)
        drawn = uniform(inputs**-0.5)
        weight = Tensor((width, inputs), drawn, (1,), (0,))
        self.modules.add("projection", "Linear", weight=weight, bias=Tensor((width,), drawn))

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

    def layer(self, width: int) -> None:
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
    body_name = "hubert"

    def bias_initializer(self, fan: int) -> Initializer:
        return ZERO

    def projection(self, inputs: int, width: int) -> None:
        if self.config.flag("feat_proj_layer_norm"):
            self.modules.norm("layer_norm", inputs)
        self.modules.linear("projection", inputs, width)


def uniform(bound: float) -> Initializer:
    """U(−bound, bound)."""
    return RandomUniform(minval=-bound, maxval=bound)
