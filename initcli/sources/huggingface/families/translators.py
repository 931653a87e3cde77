"""Encoders with decoders that follow BART and T5."""

from __future__ import annotations

from initcli.sources.huggingface.families.decoder import Decoder
from initcli.sources.huggingface.families.seq2seq import Bart, MBart, Whisper
from initcli.sources.huggingface.families.t5 import T5
from initcli.sources.huggingface.family import Family
from initcli.sources.huggingface.modules import Tensor, normal


class Led(Bart):
    """The Longformer encoder with a decoder. Beltagy et al. 2020, arXiv:2004.05150."""

    model_types = ("led",)
    compute = Family.compute
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


class BigBirdPegasus(Bart):
    """BigBird-Pegasus. Zaheer et al. 2020, arXiv:2007.14062."""

    model_types = ("bigbird_pegasus",)
    compute = Family.compute
    defaults = {"num_labels": 2}
    positions_offset = 0

    def layer(self, side: str, index: int, width: int, inner: int) -> None:
        self.is_sparse = side == "encoder"
        super().layer(side, index, width, inner)

    def attention(self, name: str, width: int) -> None:
        bias = self.config.flag("use_bias")
        names = ("k_proj", "v_proj", "q_proj", "out_proj")
        if self.is_sparse:
            names = ("self.key", "self.value", "self.query", "output")
        for each in names:
            self.modules.linear(f"{name}.{each}", width, width, bias)
        self.modules.norm(f"{name}_layer_norm", width)


class PegasusX(MBart):
    """PEGASUS-X, with tokens that see all. Phang et al. 2022, arXiv:2208.04347."""

    model_types = ("pegasus_x",)
    compute = Family.compute
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


class NllbMoe(MBart):
    """NLLB with experts. NLLB Team 2022, arXiv:2207.04672."""

    model_types = ("nllb-moe",)
    compute = Family.compute
    heads = ("ForConditionalGeneration", "Model")
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


class TrOcr(Bart):
    """The decoder of TrOCR. Li et al. 2021, arXiv:2109.10282."""

    model_types = ("trocr",)
    compute = Family.compute
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


class Speech2Text(Bart):
    """Speech to text, with convolutions before the encoder. Wang et al. 2020, arXiv:2010.05171."""

    model_types = ("speech_to_text",)
    compute = Family.compute
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


class LongT5(T5):
    """LongT5. Guo et al. 2021, arXiv:2112.07916."""

    model_types = ("longt5",)
    compute = Family.compute

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


class Pop2Piano(T5):
    """Pop2Piano. Choi and Lee 2022, arXiv:2211.00895."""

    model_types = ("pop2piano",)
    compute = Family.compute
    heads = ("ForConditionalGeneration",)

    def output(self) -> None:
        config, width, std = self.config, self.config.size("d_model"), self.factor
        rows = config.size("composer_vocab_size")
        self.modules.embedding("mel_conditioner.embedding", rows, width, std=std)
        self.modules.linear("lm_head", width, config.size("vocab_size"), False, std)


class SwitchTransformers(T5):
    """Switch Transformers, with experts. Fedus et al. 2021, arXiv:2101.03961."""

    model_types = ("switch_transformers",)
    compute = Family.compute

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


class SoundEncoder(Whisper):
    """Encoders that are that of Whisper."""

    model_types = ("qwen2_audio_encoder", "voxtral_encoder")
    compute = Family.compute
    heads = ("Encoder",)
    std_key = "initializer_range"

    def describe(self, head: str) -> None:
        config, modules, width = self.config, self.modules, self.config.size("d_model")
        config.activation("activation_function")
        modules.convolution("conv1", config.size("num_mel_bins"), width, (3,))
        modules.convolution("conv2", width, width, (3,))
        shape = (config.size("max_source_positions"), width)
        # The sines of Whisper are drawn over.
        waves = Tensor(shape, normal(modules.std), (), (1,), trainable=False)
        modules.add("embed_positions", "Embedding", weight=waves)
        self.layers("encoder", width)


class Listener(Family):
    """The skeleton of language models that hear: an audio tower, a projector, a language model."""

    heads = ("ForConditionalGeneration", "Model")

    @property
    def text(self) -> Family:
        """The language model."""
        return self.part("text_config")

    @property
    def std(self) -> float:
        own = self.config.is_null(self.std_key)
        return self.text.std if own else super().std

    def describe(self, head: str) -> None:
        modules, audio, text = self.modules, self.part("audio_config"), self.text
        width, rows = text.config.size("hidden_size"), text.config.size("vocab_size")
        with modules.within("" if head == "Model" else "model"):
            self.add_part("audio_tower", audio)
            with modules.within("multi_modal_projector"):
                self.projector(audio, width)
            self.add_part("language_model", text)
        if head == "Model":
            return
        if self.config.flag("tie_word_embeddings") and isinstance(text, Decoder):
            modules.tie("lm_head.weight", f"model.language_model.{text.table}.weight")
        else:
            modules.linear("lm_head", width, rows, False)

    def projector(self, audio: Family, width: int) -> None:
        """Add what turns the tower's output into tokens of the language model."""
        raise NotImplementedError


class Qwen2Audio(Listener):
    """Qwen2-Audio. Chu et al. 2024, arXiv:2407.10759."""

    model_types = ("qwen2_audio",)

    def projector(self, audio: Family, width: int) -> None:
        self.modules.linear("linear", audio.config.size("d_model"), width)


class Voxtral(Listener):
    """Voxtral. Liu et al. 2025, arXiv:2507.13264."""

    model_types = ("voxtral",)
    merged_part = "text_config"

    def projector(self, audio: Family, width: int) -> None:
        self.modules.linear("linear_1", audio.config.size("intermediate_size"), width, False)
        self.modules.linear("linear_2", width, width, False)
