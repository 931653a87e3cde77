"""Encoders like BERT with cheaper layers."""

from __future__ import annotations

from initcli.sources.huggingface.families.bert import TASKS, Bert
from initcli.sources.huggingface.families.encoders import Projected
from initcli.sources.huggingface.family import Family
from initcli.sources.huggingface.modules import ZERO, Tensor, normal


class SqueezeBert(Bert):
    """SqueezeBERT, with convolutions in groups. Iandola et al. 2020, arXiv:2006.11316."""

    model_types = ("squeezebert",)
    compute = Family.compute
    heads = ("ForMaskedLM", "Model", *TASKS)
    body_name = "transformer"
    pooled_heads = (*heads,)

    def layers(self, width: int) -> None:
        inner = self.config.size("intermediate_size")
        for index in range(self.config.size("num_hidden_layers", 0)):
            with self.modules.within(f"encoder.layers.{index}"):
                for name in "qkv":
                    full = {"q": "query", "k": "key", "v": "value"}[name]
                    self.convolution(f"attention.{full}", width, width, f"{name}_groups")
                self.convolution("post_attention.conv1d", width, width, "post_attention_groups")
                self.modules.norm("post_attention.layernorm", width)
                self.convolution("intermediate.conv1d", width, inner, "intermediate_groups")
                self.convolution("output.conv1d", inner, width, "output_groups")
                self.modules.norm("output.layernorm", width)

    def convolution(self, name: str, inputs: int, outputs: int, groups: str) -> None:
        """Add a convolution of one step."""
        self.modules.convolution(name, inputs // self.config.size(groups), outputs, (1,))


class MobileBert(Bert):
    """MobileBERT, with a bottleneck in each layer. Sun et al. 2020, arXiv:2004.02984."""

    model_types = ("mobilebert",)
    compute = Family.compute
    heads = ("ForMaskedLM", "Model", "ForPreTraining", "ForNextSentencePrediction", *TASKS)
    body_name = "mobilebert"

    def body(self, width: int, *, pools: bool) -> None:
        has_pooler = pools and self.config.flag("classifier_activation")
        super().body(width, pools=has_pooler)

    def tables(self, width: int) -> None:
        config, modules, size = self.config, self.modules, self.config.size("embedding_size")
        rows = config.size("vocab_size")
        modules.embedding("word_embeddings", rows, size, config.index("pad_token_id", rows))
        modules.embedding("position_embeddings", config.size("max_position_embeddings"), width)
        modules.embedding("token_type_embeddings", config.size("type_vocab_size"), width)
        seen = size * (3 if config.flag("trigram_input") else 1)
        modules.linear("embedding_transformation", seen, width)
        modules.norm("LayerNorm", width)

    def layer(self, width: int) -> None:
        config, modules, narrow = self.config, self.modules, self.narrow
        inner, heads = config.size("intermediate_size"), config.size("num_attention_heads")
        each = narrow // heads * heads
        is_narrow = config.flag("use_bottleneck_attention") and config.flag("use_bottleneck")
        with modules.within("attention"):
            modules.linear("self.query", narrow, each)
            modules.linear("self.key", narrow, each)
            modules.linear("self.value", narrow if is_narrow else width, each)
            modules.linear("output.dense", narrow, narrow)
            modules.norm("output.LayerNorm", narrow)
        for index in range(config.size("num_feedforward_networks") - 1):
            with modules.within(f"ffn.{index}"):
                self.network(narrow, inner)
        self.network(narrow, inner)
        if config.flag("use_bottleneck"):
            self.normed("output.bottleneck", narrow, width)
            self.normed("bottleneck.input", width, config.size("intra_bottleneck_size"))
            if config.flag("key_query_shared_bottleneck"):
                self.normed("bottleneck.attention", width, config.size("intra_bottleneck_size"))

    def network(self, width: int, inner: int) -> None:
        """Add a feed-forward layer."""
        self.modules.linear("intermediate.dense", width, inner)
        self.normed("output", inner, width)

    def normed(self, name: str, inputs: int, outputs: int) -> None:
        """Add a projection with a norm behind it."""
        self.modules.linear(f"{name}.dense", inputs, outputs)
        self.modules.norm(f"{name}.LayerNorm", outputs)

    def language_head(self, width: int, rows: int) -> None:
        size = self.config.size("embedding_size")
        with self.modules.within("cls.predictions"):
            self.modules.add("", "LMHead", bias=Tensor((rows,), ZERO))
            self.modules.linear("transform.dense", width, width)
            self.modules.norm("transform.LayerNorm", width)
            if width >= size:
                self.modules.linear("dense", rows, width - size, False)
        self.decoder("cls.predictions", size, rows)

    @property
    def narrow(self) -> int:
        """The width within a layer."""
        key = "intra_bottleneck_size" if self.config.flag("use_bottleneck") else "hidden_size"
        return self.config.size(key)


class ConvBert(Projected):
    """ConvBERT, where convolutions replace half the heads. Jiang et al. 2020, arXiv:2008.02496."""

    model_types = ("convbert",)
    compute = Family.compute
    body_name = "convbert"

    def attention(self, name: str, width: int) -> None:
        config, modules = self.config, self.modules
        heads, ratio = config.size("num_attention_heads"), config.size("head_ratio")
        kernel, count = config.size("conv_kernel_size"), max(heads // ratio, 1)
        inner = count * (width // count // 2)
        with modules.within(f"{name}.self"):
            for each in ("query", "key", "value"):
                modules.linear(each, width, inner)
            with modules.within("key_conv_attn_layer"):
                modules.add("", "SeparableConv1D", bias=Tensor((inner, 1), ZERO))
                modules.convolution("depthwise", 1, width, (kernel,), False)
                modules.convolution("pointwise", width, inner, (1,), False)
            modules.linear("conv_kernel_layer", inner, count * kernel)
            modules.linear("conv_out_layer", width, inner)
        modules.linear(f"{name}.output.dense", width, width)
        modules.norm(f"{name}.output.LayerNorm", width)

    def feed_forward(self, width: int, inner: int) -> None:
        groups = self.config.size("num_groups")
        if groups == 1:
            super().feed_forward(width, inner)
            return
        for name, inputs, outputs in (("intermediate", width, inner), ("output", inner, width)):
            shape = (groups, inputs // groups, outputs // groups)
            weight = Tensor(shape, normal(self.modules.std), (1,), (2,))
            bias = Tensor((outputs,), ZERO)
            self.modules.add(f"{name}.dense", "GroupedLinear", weight=weight, bias=bias)
