"""Encoders with decoders that follow BART and T5."""

from __future__ import annotations

from typing import Any

from initcli.sources.huggingface.families.seq2seq import Bart, MBart
from initcli.sources.huggingface.families.t5 import T5
from initcli.sources.huggingface.family import MAX_TOKENS
from initcli.sources.huggingface.stack import Stack


class Led(Bart):
    """The Longformer encoder with a decoder. Beltagy et al. 2020, arXiv:2004.05150."""

    model_types = ("led",)
    heads = ("ForConditionalGeneration", "Model", "ForQuestionAnswering")
    body_name = "led"

    def positions(self, side: str, width: int) -> None:
        encoder, decoder = "max_encoder_position_embeddings", "max_decoder_position_embeddings"
        rows = self.config.size(encoder if side == "encoder" else decoder)
        self.modules.embedding("embed_positions", rows, width)

    def layer(self, side: str, index: int, width: int, inner: int) -> None:
        self.is_sparse = side == "encoder"
        super().layer(side, index, width, inner)

    def attention(self, name: str, width: int) -> None:
        if not self.is_sparse:
            super().attention(name, width)
            return
        with self.modules.within(f"{name}.longformer_self_attn"):
            for each in ("query", "key", "value"):
                self.modules.linear(each, width, width)
                self.modules.linear(f"{each}_global", width, width)
        self.modules.linear(f"{name}.output", width, width)
        self.modules.norm(f"{name}_layer_norm", width)

    def attention_names(self, side: str) -> tuple[str, str, str, str]:
        if side == "decoder":
            return super().attention_names(side)
        scope = "longformer_self_attn"
        return (f"{scope}.query", f"{scope}.key", f"{scope}.value", "output")

    def compute_attention(self, stack: Stack, side: str, name: str, takes: str, source: str) -> str:
        for each in ("query", "key", "value"):
            what = "the projections of tokens that see all others, where there are none"
            stack.leave_out(f"{name}.longformer_self_attn.{each}_global", what)
        given = self.config.value("attention_window")
        windows = given if isinstance(given, list | tuple) else [given]
        window = min((each for each in windows if type(each) is int), default=0)
        if side == "encoder" and window < 2 * self.num_tokens:
            stack.notes[
                "the signal leaves out the window of attention, `attention_window`: each of "
                f"{self.num_tokens:,} tokens sees all, not {window // 2:,} on either side"
            ] = None
        return super().compute_attention(stack, side, name, takes, source)


class BigBirdPegasus(Bart):
    """BigBird-Pegasus. Zaheer et al. 2020, arXiv:2007.14062."""

    model_types = ("bigbird_pegasus",)
    defaults = {"num_labels": 2}
    positions_offset = 0
    has_table_norm = False
    has_last_norm = True
    last_norm = "layernorm_embedding"

    def layer(self, side: str, index: int, width: int, inner: int) -> None:
        self.is_sparse = side == "encoder"
        super().layer(side, index, width, inner)

    def attention(self, name: str, width: int) -> None:
        bias = self.config.flag("use_bias")
        for each in self.attention_names("encoder" if self.is_sparse else "decoder"):
            self.modules.linear(f"{name}.{each}", width, width, bias)
        self.modules.norm(f"{name}_layer_norm", width)

    def attention_names(self, side: str) -> tuple[str, str, str, str]:
        if side == "decoder":
            return super().attention_names(side)
        return ("self.query", "self.key", "self.value", "output")

    def compute_side(self, stack: Stack, side: str, takes: str, source: str = "") -> str:
        config = self.config
        # Up to so many tokens the library lets each see all.
        most = (5 + 2 * config.size("num_random_blocks", 0)) * config.size("block_size")
        is_sparse = config.text("attention_type") == "block_sparse" and most < self.num_tokens
        if side == "encoder" and is_sparse:
            stack.notes["the signal leaves out that each token sees some blocks of others"] = None
        return super().compute_side(stack, side, takes, source)


class PegasusX(MBart):
    """PEGASUS-X, with tokens that see all. Phang et al. 2022, arXiv:2208.04347."""

    model_types = ("pegasus_x",)
    heads = ("ForConditionalGeneration", "Model")
    has_table_norm = has_logits_bias = False
    positions_offset = None

    def positions(self, side: str, width: int) -> None:
        if side == "encoder":
            self.modules.embedding("embed_global", self.config.size("num_global_tokens"), width)

    def layer(self, side: str, index: int, width: int, inner: int) -> None:
        super().layer(side, index, width, inner)
        if side == "encoder":
            self.modules.norm("global_self_attn_layer_norm", width)

    def attention(self, name: str, width: int) -> None:
        for each in ("k_proj", "v_proj", "q_proj", "out_proj"):
            self.modules.linear(f"{name}.{each}", width, width, False)
        self.modules.norm(f"{name}_layer_norm", width)

    def compute_layers(self, stack: Stack, side: str, takes: str, source: str = "") -> str:
        if side == "decoder":
            return super().compute_layers(stack, side, takes, source)
        count, tokens = self.config.size("num_global_tokens"), stack.steps
        if self.config.size("block_size") < 2 * tokens:
            stack.notes[
                "the signal leaves out the blocks of attention, `block_size`: each token sees all"
            ] = None
        learned = stack.learned("embed_global", takes, count)
        both = stack.add("Concatenate", "global_and_tokens", [learned, takes], axis=1)
        stream = super().compute_layers(stack, side, both)
        stack.steps = tokens
        return stack.add("Cropping1D", "tokens", stream, cropping=[count, 0])

    def compute_layer(self, stack: Stack, side: str, source: str) -> None:
        super().compute_layer(stack, side, source)
        stack.hold("global_self_attn_layer_norm")  # It starts as the norm of the other tokens.


class NllbMoe(MBart):
    """NLLB with experts. NLLB Team 2022, arXiv:2207.04672."""

    model_types = ("nllb-moe",)
    heads = ("ForConditionalGeneration", "Model")
    cross_name = "cross_attention"
    inner_norm = "ff_layer_norm"
    has_table_norm = has_logits_bias = False
    positions_offset = None

    def layer(self, side: str, index: int, width: int, inner: int) -> None:
        config, modules = self.config, self.modules
        self.attention("self_attn", width)
        step = config.size("encoder_sparse_step", 0)
        if side == "decoder":
            self.attention("cross_attention", width)
            step = config.size("decoder_sparse_step", 0)
        modules.norm("ff_layer_norm", width)
        with modules.within("ffn"):
            if not step or (index + 1) % step:
                self.network(width, inner)
                return
            count = config.size("num_experts")
            modules.linear("router.classifier", width, count, config.flag("router_bias"))
            for expert in range(count):
                with modules.within(f"experts.expert_{expert}"):
                    self.network(width, inner)

    def network(self, width: int, inner: int) -> None:
        """Add a feed-forward layer."""
        self.modules.linear("fc1", width, inner)
        self.modules.linear("fc2", inner, width)

    def compute_feed_forward(self, stack: Stack, takes: str) -> str:
        config, activation = self.config, self.config.text("activation_function")
        router = "ffn.router.classifier"
        if router not in stack:
            return stack.dense("ffn.fc2", stack.dense("ffn.fc1", takes, activation))
        scale = 1 - config.number("moe_token_dropout")
        names = ("fc1", "fc2")
        return stack.own_experts("ffn.experts", router, takes, 2, activation, names, scale=scale)


class TrOcr(Bart):
    """The decoder of TrOCR. Li et al. 2021, arXiv:2109.10282."""

    model_types = ("trocr",)
    heads = ("ForCausalLM",)

    def describe(self, head: str) -> None:
        config, modules, width = self.config, self.modules, self.config.size("d_model")
        config.activation("activation_function")
        config.refuse_flag("use_learned_position_embeddings", refused=False)
        rows, table = config.size("vocab_size"), "model.decoder.embed_tokens"
        modules.embedding(table, rows, width, config.index("pad_token_id", rows))
        with modules.within("model.decoder"):
            self.positions("decoder", width)
            self.layers("decoder", width)
            if config.flag("layernorm_embedding"):
                modules.norm("layernorm_embedding", width)
        self.output("output_projection", f"{table}.weight", width, rows)

    def compute(self, stack: Stack, head: str) -> None:
        name, tokens = "model.decoder.embed_tokens", self.token_ids(stack)
        is_tied, sizes = self.config.flag("tie_word_embeddings"), [MAX_TOKENS]
        sizes.append(self.config.size("d_model"))
        source = stack.add("Input", "encoder_output", shape=sizes)
        if is_tied:
            stack.will_tie(name)
        table = stack.embedding(name, tokens)
        with stack.within("model"):
            stream = self.compute_side(stack, "decoder", table, source)
        self.compute_output(stack, "output_projection", table, stream)

    @property
    def has_table_norm(self) -> bool:  # type: ignore[override]
        return self.config.flag("layernorm_embedding")


class Speech2Text(Bart):
    """Speech to text, with convolutions before the encoder. Wang et al. 2020, arXiv:2010.05171."""

    model_types = ("speech_to_text",)
    heads = ("ForConditionalGeneration", "Model")
    has_last_norm = True

    def describe(self, head: str) -> None:
        width, rows = self.config.size("d_model"), self.config.size("vocab_size")
        with self.modules.within("" if head == "Model" else "model"):
            self.body(width, rows)
        if head != "Model":
            self.output("lm_head", "model.decoder.embed_tokens.weight", width, rows)

    def body(self, width: int, rows: int) -> None:
        config, modules = self.config, self.modules
        config.activation("activation_function")
        inputs = config.size("input_feat_per_channel") * config.size("input_channels")
        kernels = config.numbers("conv_kernel_sizes", config.size("num_conv_layers"), 1)
        for index, kernel in enumerate(kernels):
            is_last = index == len(kernels) - 1
            outputs = 2 * width if is_last else config.size("conv_channels")
            name = f"encoder.conv.conv_layers.{index}"
            modules.convolution(name, inputs, outputs, (kernel,))
            inputs = outputs // 2
        with modules.within("encoder"):
            self.layers("encoder", width)
        with modules.within("decoder"):
            padding = config.index("pad_token_id", rows)
            modules.embedding("embed_tokens", rows, width, padding)
            self.layers("decoder", width)

    def compute(self, stack: Stack, head: str) -> None:
        config, table = self.config, "decoder.embed_tokens"
        kernels = config.numbers("conv_kernel_sizes", config.size("num_conv_layers"), 1)
        bands = config.size("input_feat_per_channel") * config.size("input_channels")
        frames = MAX_TOKENS * 2 ** len(kernels)
        sound = stack.add("Input", "spectrogram", shape=[frames, bands])
        tokens = stack.tokens(min(config.size("max_target_positions"), MAX_TOKENS))
        with stack.within("" if head == "Model" else "model"):
            if head != "Model" and config.flag("tie_word_embeddings"):
                stack.will_tie(table)
            for index in range(len(kernels)):
                sound = self.compute_gated(stack, f"encoder.conv.conv_layers.{index}", sound)
            source = self.compute_side(stack, "encoder", sound)
            table = stack.embedding(table, tokens)
            stream = self.compute_side(stack, "decoder", table, source)
        if head != "Model":
            self.compute_output(stack, "lm_head", table, stream)

    def compute_gated(self, stack: Stack, name: str, takes: str) -> str:
        """Add a convolution of which one half of the outputs gates the other."""
        how: dict[str, Any] = {"strides": 2, "padding": "same"}
        how["filters"] = stack.outputs(name) // 2
        up = stack.convolution(name, takes, part="up", **how)
        gate = stack.convolution(name, takes, part="gate", activation="sigmoid", **how)
        return stack.product(f"{name}.product", up, gate)

    def compute_positions(self, stack: Stack, side: str, takes: str) -> str:
        return stack.sines("embed_positions", takes)


class LongT5(T5):
    """LongT5. Guo et al. 2021, arXiv:2112.07916."""

    model_types = ("longt5",)

    def self_attention(self, side: str) -> str:
        if side == "decoder":
            return "SelfAttention"
        return "LocalSelfAttention" if self.is_local else "TransientGlobalSelfAttention"

    def attention(self, name: str, has_positions: bool = False) -> None:
        super().attention(name, has_positions)
        if not name.endswith("TransientGlobalSelfAttention"):
            return
        config, width = self.config, self.config.size("d_model")
        with self.modules.within(name):
            if has_positions:
                buckets = config.size("relative_attention_num_buckets")
                heads, std = config.size("num_heads"), self.factor * width**-0.5
                self.modules.embedding("global_relative_attention_bias", buckets, heads, std=std)
            self.norm("global_input_layer_norm", width)

    @property
    def is_local(self) -> bool:
        """Whether the encoder sees near tokens alone."""
        kinds = ("local", "transient-global")
        return self.config.word("encoder_attention_type", kinds) == "local"

    def compute_source(self, stack: Stack, scope: str, takes: str) -> str:
        if "LocalSelf" not in scope and "Transient" not in scope:
            return takes
        stack.notes[
            "the signal leaves out the windows of attention, `local_radius`: each token sees all"
        ] = None
        if self.is_local:
            return takes
        what = "the biases of relative positions, which are small beside the scores"
        stack.leave_out(f"{scope}.global_relative_attention_bias", what)
        pool = self.config.size("global_block_size")
        means = stack.add("AveragePooling1D", f"{scope}.blocks", takes, pool_size=pool)
        normed = self.compute_norm(stack, f"{scope}.global_input_layer_norm", means)
        return stack.add("Concatenate", f"{scope}.tokens_and_blocks", [takes, normed], axis=1)


class Pop2Piano(T5):
    """Pop2Piano. Choi and Lee 2022, arXiv:2211.00895."""

    model_types = ("pop2piano",)
    heads = ("ForConditionalGeneration",)

    def output(self) -> None:
        config, width, std = self.config, self.config.size("d_model"), self.factor
        rows = config.size("composer_vocab_size")
        self.modules.embedding("mel_conditioner.embedding", rows, width, std=std)
        self.modules.linear("lm_head", width, config.size("vocab_size"), False, std)

    def compute_inputs(self, stack: Stack) -> tuple[str, str]:
        sizes = [MAX_TOKENS, self.config.size("d_model")]
        sound = stack.add("Input", "spectrogram", shape=sizes)
        table = stack.embedding("shared", stack.tokens(MAX_TOKENS, "decoder_tokens"))
        stack.leave_out("mel_conditioner", "the composer, whom generation alone takes")
        return sound, table


class SwitchTransformers(T5):
    """Switch Transformers, with experts. Fedus et al. 2021, arXiv:2101.03961."""

    model_types = ("switch_transformers",)

    @property
    def is_tied(self) -> bool:
        return self.config.flag("tie_word_embeddings")

    def add_feed_forward(self, side: str, index: int, name: str, inner: int, width: int) -> None:
        config, modules, factor = self.config, self.modules, self.factor
        with modules.within(f"{name}.mlp"):
            if not self.is_mixture(side, index):
                self.network(width, inner, factor * inner**-0.5)
                return
            count, bias = config.size("num_experts"), config.flag("router_bias")
            modules.linear("router.classifier", width, count, bias, factor)
            for expert in range(count):
                with modules.within(f"experts.expert_{expert}"):
                    self.network(width, inner, factor * width**-0.5)

    def network(self, width: int, inner: int, back: float) -> None:
        """Add a feed-forward layer."""
        self.modules.linear("wi", width, inner, False, self.factor * width**-0.5)
        self.modules.linear("wo", inner, width, False, back)

    def is_mixture(self, side: str, index: int) -> bool:
        """Whether a block has experts."""
        config, layers = self.config, self.config.size("num_layers", 0)
        sparse = config.size("num_sparse_encoder_layers", 0)
        given = config.optional_size("encoder_sparse_step", 0)
        if side == "decoder":
            sparse = config.size("num_sparse_decoder_layers", 0)
            given = config.optional_size("decoder_sparse_step", 0)
            layers = config.optional_size("num_decoder_layers", 0) or layers
        step = layers // sparse if sparse else layers
        step = step if given is None else given
        return step == 1 or (step > 0 and index % step == 1)

    def compute_feed_forward(self, stack: Stack, name: str, takes: str) -> str:
        scope, activation = f"{name}.mlp", self.config.text("dense_act_fn")
        router, names = f"{scope}.router.classifier", ("wi", "wo")
        if router not in stack:
            inner = stack.dense(f"{scope}.wi", takes, activation)
            return stack.dense(f"{scope}.wo", inner)
        most = self.config.size("expert_capacity")
        if most < MAX_TOKENS:
            stack.notes[f"the signal leaves out that no expert takes more than {most:,} tokens"] = (
                None
            )
        experts = f"{scope}.experts"
        return stack.own_experts(experts, router, takes, 1, activation, names, normalize=False)
