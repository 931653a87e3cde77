"""Encoders that follow BERT, with another attention, other tables or other layers."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from initcli.initializers import Initializer
from initcli.initializers.given import Values
from initcli.sources.huggingface.families.bert import POOLED, TASKS, Bert, LayerNames
from initcli.sources.huggingface.families.roberta import Roberta
from initcli.sources.huggingface.family import MAX_TOKENS
from initcli.sources.huggingface.modules import ZERO, Tensor, frequencies, normal
from initcli.sources.huggingface.stack import Stack


class BertGeneration(Bert):
    """BERT as one half of a translator. Rothe et al. 2019, arXiv:1907.12461."""

    model_types = ("bert-generation",)
    heads = ("Decoder", "Encoder")
    has_segments = False
    pooled_heads = ()

    def describe(self, head: str) -> None:
        super().describe("Model" if head == "Encoder" else "LMHeadModel")

    def language_head(self, width: int, rows: int) -> None:
        self.modules.add("lm_head", "LMHead", bias=Tensor((rows,), ZERO))
        self.decoder("lm_head", width, rows)

    def compute(self, stack: Stack, head: str) -> None:
        super().compute(stack, "Model" if head == "Encoder" else "LMHeadModel")

    def compute_language_head(self, stack: Stack, takes: str, table: str) -> None:
        self.compute_logits(stack, "lm_head.decoder", takes, table)


class BigBird(Bert):
    """BigBird. Zaheer et al. 2020, arXiv:2007.14062."""

    model_types = ("big_bird",)
    heads = ("ForMaskedLM", "Model", "ForPreTraining", "ForCausalLM", *TASKS)
    pooled_heads = tuple(each for each in heads if each != "ForQuestionAnswering")
    pooler = "pooler"
    attention_bias = ("use_bias", True)
    has_class_layer = True

    def task(self, head: str, width: int) -> None:
        if head != "ForQuestionAnswering":
            super().task(head, width)
            return
        with self.modules.within("qa_classifier"):
            self.feed_forward(width, self.config.size("intermediate_size"))
            self.modules.norm(self.layer_names.norm, width)
            self.modules.linear("qa_outputs", width, self.config.labels)

    def compute_sum(self, stack: Stack, scope: str, takes: str) -> str:
        if self.config.flag("rescale_embeddings"):
            takes = stack.scaled(f"{scope}.scale", takes, self.config.size("hidden_size") ** 0.5)
        return super().compute_sum(stack, scope, takes)

    def compute_layers(self, stack: Stack, stream: str, **how: Any) -> str:
        config = self.config
        dense = (5 + 2 * config.size("num_random_blocks", 0)) * config.size("block_size")
        if config.text("attention_type") == "block_sparse" and stack.steps > dense:
            stack.notes["the signal leaves out which blocks attention sees, `block_size`"] = None
        return super().compute_layers(stack, stream, **how)

    def compute_task(self, stack: Stack, head: str, stream: str, pooled: str, table: str) -> None:
        if head != "ForQuestionAnswering":
            super().compute_task(stack, head, stream, pooled, table)
            return
        with stack.within("qa_classifier"):
            inner = stack.sum("output.sum", stream, self.compute_feed_forward(stack, stream))
            stack.dense("qa_outputs", self.compute_norm(stack, self.layer_names.norm, inner))


class Approximate(Bert):
    """Encoders whose attention is approximate."""

    model_types: ClassVar[tuple[str, ...]] = ()
    heads: ClassVar[tuple[str, ...]] = ("ForMaskedLM", "Model", *TASKS)
    pooled_heads = ()
    has_class_layer = True
    choice_layer = "pre_classifier"
    more_positions = 2
    mixing: ClassVar[str] = ""
    """The kind of attention."""

    def compute_attention(self, stack: Stack, takes: str, *, is_causal: bool) -> str:
        qkv, out, *_ = self.layer_names
        parts = stack.projections(qkv, takes, self.heads_of)
        shape = (stack.steps, self.config.size("hidden_size"))
        held = "attention.self.conv"
        return stack.dense(out, stack.unknown("attention", [*parts], self.mixing, shape, held))


class Nystromformer(Approximate):
    """Nyströmformer. Xiong et al. 2021, arXiv:2102.03902."""

    model_types = ("nystromformer",)
    body_name = "nystromformer"
    mixing = "Nyström approximation of attention"

    def attention(self, name: str, width: int) -> None:
        super().attention(name, width)
        kernel = self.config.optional_size("conv_kernel_size")
        if kernel is not None:
            heads = self.config.size("num_attention_heads")
            self.modules.convolution(f"{name}.self.conv", 1, heads, (kernel, 1), False)


class Yoso(Approximate):
    """YOSO. Zeng et al. 2021, arXiv:2111.09714."""

    model_types = ("yoso",)
    body_name = "yoso"
    mixing = "sampled attention"


class Mra(Approximate):
    """MRA. Zeng et al. 2022, arXiv:2207.10284."""

    model_types = ("mra",)
    body_name = "mra"
    mixing = "multi-resolution attention"

    def tables(self, width: int) -> None:
        super().tables(width)
        count = self.config.size("max_position_embeddings")
        filled: Initializer = ZERO
        if self.is_computable((1, count), "max_position_embeddings"):
            filled = Values(numbers=np.arange(2.0, count + 2).tobytes())
        positions = Tensor((1, count), filled, trainable=False, dtype="int64")
        self.modules.add("", "Embeddings", position_ids=positions)

    def compute_sum(self, stack: Stack, scope: str, takes: str) -> str:
        stack.leave_out(f"{scope}.position_ids", "the numbers of positions")
        return super().compute_sum(stack, scope, takes)


class Longformer(Roberta):
    """Longformer, with other projections for tokens that see all. arXiv:2004.05150."""

    model_types = ("longformer",)
    heads = ("ForMaskedLM", "Model", *TASKS)
    body_name = "longformer"

    def attention(self, name: str, width: int) -> None:
        super().attention(name, width)
        for each in ("query", "key", "value"):
            self.modules.linear(f"{name}.self.{each}_global", width, width)

    def compute_attention(self, stack: Stack, takes: str, *, is_causal: bool) -> str:
        for each in ("query", "key", "value"):
            what = "the projections of tokens that see all others"
            stack.leave_out(f"attention.self.{each}_global", what)
        # Half a window is on each side.
        if self.window < 2 * stack.steps:
            stack.notes["the signal leaves out the window of attention, `attention_window`"] = None
        return super().compute_attention(stack, takes, is_causal=is_causal)

    @property
    def window(self) -> int:
        """The width of the narrowest window of attention."""
        config, key = self.config, "attention_window"
        if isinstance(config.value(key), list | tuple):
            return min(config.numbers(key, least=1), default=MAX_TOKENS)
        return config.size(key)


class FNet(Bert):
    """FNet, with Fourier transforms for attention. Lee-Thorp et al. 2021, arXiv:2105.03824."""

    model_types = ("fnet",)
    defaults = {"num_attention_heads": 1}
    heads = (
        *("ForMaskedLM", "Model", "ForPreTraining", "ForNextSentencePrediction"),
        *TASKS,
    )
    body_name = "fnet"
    pooled_heads = heads
    projection = "embeddings.projection"
    layer_names = LayerNames(attention_norm="fourier.output.LayerNorm")

    def describe(self, head: str) -> None:
        self.config.refuse_flag("use_tpu_fourier_optimizations")
        super().describe(head)

    def attention(self, name: str, width: int) -> None:
        self.modules.norm(self.layer_names.attention_norm, width)

    def compute_attention(self, stack: Stack, takes: str, *, is_causal: bool) -> str:
        shape = (stack.steps, self.config.size("hidden_size"))
        return stack.unknown("fourier", takes, "Fourier transform", shape)


class Esm(Roberta):
    """ESM, for proteins. Lin et al. 2022, doi:10.1126/science.ade2574."""

    model_types = ("esm",)
    defaults = {"hidden_act": "gelu"}
    heads = ("ForMaskedLM", "Model", "ForSequenceClassification", "ForTokenClassification")
    body_name = "esm"
    has_segments = False
    layer_names = LayerNames(attention_norm="attention.LayerNorm", norm="LayerNorm")
    last_norm = "encoder.emb_layer_norm_after"
    pooled_heads = ("Model",)

    def body(self, width: int, *, pools: bool) -> None:
        super().body(width, pools=pools)
        config, modules = self.config, self.modules
        heads = config.size("num_attention_heads")
        each = config.quotient("hidden_size", "num_attention_heads")
        modules.linear("contact_head.regression", config.size("num_hidden_layers", 0) * heads, 1)
        if not self.has_positions:
            rates = frequencies(each, config.number("rope_theta"))
            modules.add("rotary_embeddings", "Rotary", inv_freq=rates)

    def decoder(self, name: str, width: int, rows: int) -> None:
        if self.config.flag("tie_word_embeddings"):
            self.modules.tie(f"{name}.decoder.weight", "esm.embeddings.word_embeddings.weight")
        else:
            self.modules.linear(f"{name}.decoder", width, rows, False)

    def compute_sum(self, stack: Stack, scope: str, takes: str) -> str:
        stack.leave_out("rotary_embeddings", "the rotation of queries and keys by positions")
        stack.leave_out("contact_head", "the prediction of contacts")
        if self.config.flag("token_dropout"):
            # The share of tokens that are not masked in training, where none is masked.
            takes = stack.scaled(f"{scope}.token_dropout", takes, 1 - 0.15 * 0.8)
        return super().compute_sum(stack, scope, takes)

    @property
    def table_norm(self) -> str:  # type: ignore[override]
        return "layer_norm" if self.config.flag("emb_layer_norm_before") else ""

    @property
    def has_positions(self) -> bool:  # type: ignore[override]
        kinds = ("absolute", "rotary")
        return self.config.word("position_embedding_type", kinds) == "absolute"


class Xmod(Roberta):
    """X-MOD, with an adapter for each language. Pfeiffer et al. 2022, arXiv:2205.06266."""

    model_types = ("xmod",)

    @property
    def last_norm(self) -> str:  # type: ignore[override]
        return "encoder.LayerNorm" if self.config.flag("pre_norm") else ""

    def feed_forward(self, width: int, inner: int) -> None:
        super().feed_forward(width, inner)
        config, modules = self.config, self.modules
        if config.flag("adapter_layer_norm"):
            modules.norm("output.adapter_layer_norm", width)
        narrow = max(int(width // (config.number("adapter_reduction_factor") or 1)), 1)
        for language in config.texts("languages"):
            with modules.within(f"output.adapter_modules.{language}"):
                modules.linear("dense1", width, narrow)
                modules.linear("dense2", narrow, width)

    def compute_adapter(self, stack: Stack, takes: str) -> str:
        config, name = self.config, "output.adapter_layer_norm"
        normed = takes
        if name in stack:
            normed = self.compute_norm(stack, name, takes)
        elif config.flag("adapter_reuse_layer_norm"):
            normed = self.compute_norm(stack, self.layer_names.norm, takes)
        stream = normed if config.flag("ln_before_adapter") else takes
        first, *others = config.texts("languages")
        scope, activation = f"output.adapter_modules.{first}", config.text("hidden_act")
        inner = stack.dense(f"{scope}.dense1", normed, activation)
        for language in others:
            what = "the adapters of the other languages"
            stack.leave_out(f"output.adapter_modules.{language}", what)
        return stack.sum("output.adapter.sum", stream, stack.dense(f"{scope}.dense2", inner))

    def compute_norm(self, stack: Stack, name: str, takes: str) -> str:
        if any(each["name"] == name for each in stack.entries):
            return stack.again(f"{name}.again", name, takes)
        return super().compute_norm(stack, name, takes)


class RocBert(Bert):
    """RoCBert, which sees how words sound and look. Su et al. 2022."""

    model_types = ("roc_bert",)
    heads = ("ForMaskedLM", "Model", "ForCausalLM", *TASKS)
    body_name = "roc_bert"

    def tables(self, width: int) -> None:
        super().tables(width)
        config, modules, joined = self.config, self.modules, width
        parts = (
            *(("enable_pronunciation", "pronunciation_vocab_size", "pronunciation_embed_dim"),),
            *(("enable_shape", "shape_vocab_size", "shape_embed_dim"),),
        )
        for flag, count, size in parts:
            rows, each = config.size(count), config.size(size)
            padding = config.index("pad_token_id", rows)
            name = size.removesuffix("_dim")
            modules.embedding(name, rows, each, padding)
            joined += each if config.flag(flag) else 0
        if config.flag("concat_input"):
            modules.linear("map_inputs_layer", joined, width)

    def compute_sum(self, stack: Stack, scope: str, takes: str) -> str:
        joined, mapping = [takes], f"{scope}.map_inputs_layer"
        for part in ("shape", "pronunciation"):
            name = f"{scope}.{part}_embed"
            if mapping in stack and self.config.flag(f"enable_{part}"):
                ids = stack.tokens(self.num_tokens, f"input_{part}_ids")
                joined.append(stack.embedding(name, ids))
            stack.leave_out(name, f"the {part} of words")
        if len(joined) > 1:
            takes = stack.add("Concatenate", f"{scope}.joined", joined, axis=-1)
        if mapping in stack:
            takes = stack.dense(mapping, takes)
        return super().compute_sum(stack, scope, takes)


class Splinter(Bert):
    """Splinter, which selects spans. Ram et al. 2021, arXiv:2101.00438."""

    model_types = ("splinter",)
    heads = ("ForQuestionAnswering", "Model", "ForPreTraining")
    body_name = "splinter"
    pooled_heads = ()

    def task(self, head: str, width: int) -> None:
        modules = self.modules
        with modules.within("splinter_qass"):
            for name in ("query_start", "query_end", "start", "end"):
                modules.linear(f"{name}_transform.dense", width, width)
                modules.norm(f"{name}_transform.LayerNorm", width)
            modules.linear("start_classifier", width, width, False)
            modules.linear("end_classifier", width, width, False)

    def compute_task(self, stack: Stack, head: str, stream: str, pooled: str, table: str) -> None:
        if head == "Model":
            return
        with stack.within("splinter_qass"):
            question = stack.one("question", stream)
            for end in ("start", "end"):
                query = self.compute_transform(stack, f"query_{end}_transform", question)
                query = stack.dense(f"{end}_classifier", query)
                keys = self.compute_transform(stack, f"{end}_transform", stream)
                stack.add("Dot", f"{end}_logits", [query, keys], axes=[1, 2])

    def compute_transform(self, stack: Stack, name: str, takes: str) -> str:
        """Add a projection with a norm behind it."""
        inner = stack.dense(f"{name}.dense", takes, "gelu")
        return stack.norm(f"{name}.LayerNorm", inner, "LayerNorm", 1e-5)


class Tapas(Bert):
    """TAPAS, for tables. Herzig et al. 2020, arXiv:2004.02349."""

    model_types = ("tapas",)
    heads = ("ForMaskedLM", "Model", "ForSequenceClassification", "ForQuestionAnswering")
    body_name = "tapas"
    has_segments = False
    pooled_heads = ("Model", "ForSequenceClassification", "ForQuestionAnswering")
    pooling_heads = (*POOLED, "ForQuestionAnswering")

    def tables(self, width: int) -> None:
        super().tables(width)
        for index, rows in enumerate(self.config.numbers("type_vocab_sizes", least=1)):
            self.modules.embedding(f"token_type_embeddings_{index}", rows, width)

    def task(self, head: str, width: int) -> None:
        config, modules = self.config, self.modules
        if head != "ForQuestionAnswering":
            super().task(head, width)
            return
        is_zero = config.flag("init_cell_selection_weights_to_zero")
        drawn, zero = Tensor((width,), normal(modules.std)), Tensor((), ZERO)
        cells = Tensor((width,), ZERO) if is_zero else drawn
        tensors = {"output_weights": cells, "column_output_weights": cells}
        tensors |= {"output_bias": zero, "column_output_bias": zero}
        modules.add("", "Model", **tensors)
        kinds = config.size("num_aggregation_labels", 0)
        if kinds:
            modules.linear("aggregation_classifier", width, kinds)

    def compute_sum(self, stack: Stack, scope: str, takes: str) -> str:
        for index, _ in enumerate(self.config.numbers("type_vocab_sizes", least=1)):
            name = f"{scope}.token_type_embeddings_{index}"
            takes = self.look_up(stack, name, f"token_type_ids_{index}", takes)
        return super().compute_sum(stack, scope, takes)

    def compute_task(self, stack: Stack, head: str, stream: str, pooled: str, table: str) -> None:
        if head != "ForQuestionAnswering":
            super().compute_task(stack, head, stream, pooled, table)
            return
        for name in ("output", "column_output"):
            filled = stack.filled(stack.tensor(f"{name}_weights").initializer)
            stack.use(f"{name}_bias")
            stack.add("Dense", name, stream, units=1, kernel_initializer=filled)
        if "aggregation_classifier" in stack:
            stack.dense("aggregation_classifier", pooled)
