"""Encoders like BERT with cheaper layers."""

from __future__ import annotations

from initcli.sources.huggingface.families.bert import TASKS, Bert, LayerNames
from initcli.sources.huggingface.modules import ZERO, Tensor
from initcli.sources.huggingface.stack import Heads, Stack


class SqueezeBert(Bert):
    """SqueezeBERT, with convolutions in groups. Iandola et al. 2020, arXiv:2006.11316."""

    model_types = ("squeezebert",)
    heads = ("ForMaskedLM", "Model", *TASKS)
    body_name = "transformer"
    pooled_heads = (*heads,)
    blocks = "encoder.layers"
    layer_names = LayerNames(
        qkv=("attention.query", "attention.key", "attention.value"),
        out="post_attention.conv1d",
        attention_norm="post_attention.layernorm",
        into="intermediate.conv1d",
        back="output.conv1d",
        norm="output.layernorm",
    )

    @property
    def groups(self) -> dict[str, int]:
        """The number of groups of each convolution of a layer."""
        qkv, out, _, into, back, _ = self.layer_names
        keys = (
            *("q_groups", "k_groups", "v_groups"),
            *("post_attention_groups", "intermediate_groups", "output_groups"),
        )
        names = (*qkv, out, into, back)
        return {name: self.config.size(key) for name, key in zip(names, keys, strict=True)}

    def layer(self, width: int) -> None:
        inner, names = self.config.size("intermediate_size"), self.layer_names
        for name, groups in self.groups.items():
            inputs, outputs = (
                inner if name == names.back else width,
                inner if name == names.into else width,
            )
            self.modules.convolution(name, inputs // groups, outputs, (1,))
        for name in (names.attention_norm, names.norm):
            self.modules.norm(name, width)

    def compute_attention(self, stack: Stack, takes: str, *, is_causal: bool) -> str:
        names = self.layer_names
        query, key, value = (self.convolution(stack, name, takes) for name in names.qkv)
        mixed = stack.attend("attention", query, key, value, self.heads_of, causal=is_causal)
        return self.convolution(stack, names.out, mixed)

    def compute_feed_forward(self, stack: Stack, takes: str) -> str:
        names, activation = self.layer_names, self.config.text("hidden_act")
        inner = self.convolution(stack, names.into, takes, activation)
        return self.convolution(stack, names.back, inner)

    def convolution(self, stack: Stack, name: str, takes: str, activation: str = "") -> str:
        """Add a convolution with a kernel of one position."""
        return stack.convolution(name, takes, groups=self.groups[name], activation=activation)


class MobileBert(Bert):
    """MobileBERT, with a bottleneck in each layer. Sun et al. 2020, arXiv:2004.02984."""

    model_types = ("mobilebert",)
    heads = ("ForMaskedLM", "Model", "ForPreTraining", "ForNextSentencePrediction", *TASKS)
    body_name = "mobilebert"

    def body(self, width: int, *, pools: bool) -> None:
        super().body(width, pools=pools and self.config.flag("classifier_activation"))

    def tables(self, width: int) -> None:
        config, modules, size = self.config, self.modules, self.table_width
        width, rows = config.size("hidden_size"), config.size("vocab_size")
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
            self.normed("output", narrow, narrow)
        for index in range(self.more_networks):
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

    def compute_sum(self, stack: Stack, scope: str, takes: str) -> str:
        if self.config.flag("trigram_input"):
            name, sides = f"{scope}.trigram", []
            for side, cut in (("after", [1, 0]), ("before", [0, 1])):
                shifted = stack.add("Cropping1D", f"{name}.{side}", takes, cropping=cut)
                pad = {"padding": cut[::-1]}
                sides.append(stack.add("ZeroPadding1D", f"{name}.{side}.padded", shifted, **pad))
            takes = stack.add("Concatenate", name, [sides[0], takes, sides[1]], axis=-1)
        takes = stack.dense(f"{scope}.embedding_transformation", takes)
        return super().compute_sum(stack, scope, takes)

    def compute_layer(
        self, stack: Stack, stream: str = "input", *, is_causal: bool, source: str = ""
    ) -> None:
        query, value, inner = self.compute_bottleneck(stack, stream)
        parts = zip(self.layer_names.qkv, (query, query, value), strict=True)
        query, key, value = (stack.dense(name, takes) for name, takes in parts)
        mixed = stack.attend("attention", query, key, value, self.heads_of, causal=is_causal)
        inner = self.compute_normed(stack, "attention.output", mixed, inner)
        for index in range(self.more_networks):
            inner = self.compute_network(stack, f"ffn.{index}.", inner)
        inner = self.compute_network(stack, "", inner)
        if self.config.flag("use_bottleneck"):
            self.compute_normed(stack, "output.bottleneck", inner, stream)

    def compute_bottleneck(self, stack: Stack, takes: str) -> tuple[str, str, str]:
        """Add the bottleneck; returns the inputs of queries, of values and of the next sum."""
        if not self.config.flag("use_bottleneck"):
            return takes, takes, takes
        narrow = self.compute_normed(stack, "bottleneck.input", takes)
        if self.config.flag("use_bottleneck_attention"):
            stack.leave_out("bottleneck.attention", "an unused bottleneck")
            return narrow, narrow, narrow
        if self.config.flag("key_query_shared_bottleneck"):
            return self.compute_normed(stack, "bottleneck.attention", takes), takes, narrow
        return takes, takes, narrow

    def compute_network(self, stack: Stack, scope: str, takes: str) -> str:
        """Add a feed-forward layer with its residual connection."""
        activation = self.config.text("hidden_act")
        inner = stack.dense(f"{scope}intermediate.dense", takes, activation)
        return self.compute_normed(stack, f"{scope}output", inner, takes)

    def compute_normed(self, stack: Stack, name: str, takes: str, beside: str = "") -> str:
        """Add a projection, its sum with another stream if one is given, and a norm."""
        inner = stack.dense(f"{name}.dense", takes)
        if beside:
            inner = stack.sum(f"{name}.sum", inner, beside)
        return self.compute_norm(stack, f"{name}.LayerNorm", inner)

    def compute_norm(self, stack: Stack, name: str, takes: str) -> str:
        if self.config.word("normalization_type", ("layer_norm", "no_norm")) == "layer_norm":
            return super().compute_norm(stack, name, takes)
        stack.leave_out(name, "scales that start at 1 and biases that start at 0")
        return takes

    def compute_language_head(self, stack: Stack, takes: str, table: str) -> None:
        scope, width, size = "cls.predictions", self.config.size("hidden_size"), self.table_width
        inner = stack.dense(f"{scope}.transform.dense", takes, self.language_activation)
        inner = super().compute_norm(stack, f"{scope}.transform.LayerNorm", inner)
        kernel = stack.tensor(f"{scope}.dense.weight")
        first = self.features(stack, f"{scope}.first", inner, 0, size)
        logits = self.compute_logits(stack, f"{scope}.decoder", first, table)
        if width == size:
            return
        filled = {"use_bias": False, "kernel_initializer": stack.filled(kernel.initializer)}
        rest = self.features(stack, f"{scope}.rest", inner, size, width)
        rest = stack.add("Dense", f"{scope}.dense", rest, units=kernel.shape[1], **filled)
        stack.sum(f"{scope}.sum", logits, rest)

    def features(self, stack: Stack, name: str, takes: str, start: int, stop: int) -> str:
        """Take some features of the stream."""
        width = self.config.size("hidden_size")
        if (start, stop) == (0, width):
            return takes
        grid = stack.add("Reshape", f"{name}.grid", takes, target_shape=[-1, width, 1])
        cut = [[0, 0], [start, width - stop]]
        some = stack.add("Cropping2D", f"{name}.some", grid, cropping=cut)
        return stack.add("Reshape", name, some, target_shape=[-1, stop - start])

    @property
    def table_width(self) -> int:
        return self.config.size("embedding_size")

    @property
    def heads_of(self) -> Heads:
        count = self.config.size("num_attention_heads")
        return Heads(count, count, self.narrow // count)

    @property
    def more_networks(self) -> int:
        """The number of feed-forward layers of a layer before its last."""
        return self.config.size("num_feedforward_networks") - 1

    @property
    def narrow(self) -> int:
        """The width within a layer."""
        key = "intra_bottleneck_size" if self.config.flag("use_bottleneck") else "hidden_size"
        return self.config.size(key)
