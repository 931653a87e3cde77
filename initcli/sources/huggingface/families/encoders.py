"""Encoders that follow BERT, with another attention, other tables or other layers."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from initcli.initializers import Initializer
from initcli.initializers.given import Values
from initcli.sources.huggingface.families.bert import TASKS, Bert, Electra
from initcli.sources.huggingface.families.roberta import Roberta
from initcli.sources.huggingface.family import Family
from initcli.sources.huggingface.modules import ZERO, Tensor, frequencies, normal, sinusoids


class BigBird(Bert):
    """BigBird. Zaheer et al. 2020, arXiv:2007.14062."""

    model_types = ("big_bird",)
    compute = Family.compute
    heads = ("ForMaskedLM", "Model", "ForPreTraining", "ForCausalLM", *TASKS)
    pooled_heads = tuple(each for each in heads if each != "ForQuestionAnswering")
    pooler = "pooler"
    has_class_layer = True

    def attention(self, name: str, width: int) -> None:
        bias = self.config.flag("use_bias")
        with self.modules.within(name):
            for each in ("query", "key", "value"):
                self.modules.linear(f"self.{each}", width, width, bias)
            self.modules.linear("output.dense", width, width)
            self.modules.norm("output.LayerNorm", width)

    def task(self, head: str, width: int) -> None:
        if head != "ForQuestionAnswering":
            super().task(head, width)
            return
        inner = self.config.size("intermediate_size")
        with self.modules.within("qa_classifier"):
            self.modules.linear("intermediate.dense", width, inner)
            self.modules.linear("output.dense", inner, width)
            self.modules.norm("output.LayerNorm", width)
            self.modules.linear("qa_outputs", width, self.config.labels)


class Approximate(Bert):
    """Encoders whose attention is approximate."""

    model_types: ClassVar[tuple[str, ...]] = ()
    compute = Family.compute
    heads: ClassVar[tuple[str, ...]] = ("ForMaskedLM", "Model", *TASKS)
    pooled_heads = ()
    has_class_layer = True
    choice_layer = "pre_classifier"
    more_positions = 2


class Nystromformer(Approximate):
    """Nyströmformer. Xiong et al. 2021, arXiv:2102.03902."""

    model_types = ("nystromformer",)
    body_name = "nystromformer"

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


class Mra(Approximate):
    """MRA. Zeng et al. 2022, arXiv:2207.10284."""

    model_types = ("mra",)
    body_name = "mra"

    def tables(self, width: int) -> None:
        super().tables(width)
        count = self.config.size("max_position_embeddings")
        filled: Initializer = ZERO
        if self.is_computable((1, count), "max_position_embeddings"):
            filled = Values(numbers=np.arange(2.0, count + 2).tobytes())
        positions = Tensor((1, count), filled, trainable=False, dtype="int64")
        self.modules.add("", "Embeddings", position_ids=positions)


class Longformer(Roberta):
    """Longformer, with other projections for tokens that see all. arXiv:2004.05150."""

    model_types = ("longformer",)
    compute = Family.compute
    heads = ("ForMaskedLM", "Model", *TASKS)
    body_name = "longformer"

    def attention(self, name: str, width: int) -> None:
        super().attention(name, width)
        for each in ("query", "key", "value"):
            self.modules.linear(f"{name}.self.{each}_global", width, width)


class FNet(Bert):
    """FNet, with Fourier transforms for attention. Lee-Thorp et al. 2021, arXiv:2105.03824."""

    model_types = ("fnet",)
    compute = Family.compute
    defaults = {"num_attention_heads": 1}
    heads = (
        *("ForMaskedLM", "Model", "ForPreTraining", "ForNextSentencePrediction"),
        *TASKS,
    )
    body_name = "fnet"
    pooled_heads = heads

    def tables(self, width: int) -> None:
        self.config.refuse_flag("use_tpu_fourier_optimizations")
        super().tables(width)
        self.modules.linear("projection", width, width)

    def attention(self, name: str, width: int) -> None:
        self.modules.norm("fourier.output.LayerNorm", width)


class Projected(Electra):
    """Encoders whose vectors of tokens may be smaller than the stream."""

    model_types: ClassVar[tuple[str, ...]] = ()
    heads: ClassVar[tuple[str, ...]] = ("ForMaskedLM", "Model", *TASKS)
    choice_layer = ""


class RoFormer(Projected):
    """RoFormer, with rotary positions. Su et al. 2021, arXiv:2104.09864."""

    model_types = ("roformer",)
    compute = Family.compute
    heads = ("ForMaskedLM", "Model", "ForCausalLM", *TASKS)
    body_name = "roformer"
    has_positions = False

    def layers(self, width: int) -> None:
        super().layers(width)
        positions = self.config.size("max_position_embeddings")
        shape = (positions, self.config.quotient("hidden_size", "num_attention_heads"))
        filled: Initializer = ZERO
        if self.is_computable(shape, "max_position_embeddings"):
            filled = sinusoids(shape)
        waves = Tensor(shape, filled, (), (1,), trainable=False)
        self.modules.add("encoder.embed_positions", "Embedding", weight=waves)

    def task(self, head: str, width: int) -> None:
        if head in ("ForMaskedLM", "ForCausalLM"):
            self.language_head(width, self.config.size("vocab_size"))
        else:
            super().task(head, width)

    def language_head(self, width: int, rows: int) -> None:
        size = self.table_width
        with self.modules.within("cls.predictions"):
            self.modules.add("", "LMHead", bias=Tensor((rows,), ZERO))
            self.modules.linear("transform.dense", width, size)
            self.modules.norm("transform.LayerNorm", size)
        self.decoder("cls.predictions", size, rows)

    @property
    def table_width(self) -> int:
        return self.config.optional_size("embedding_size") or self.config.size("hidden_size")


class RemBert(Bert):
    """RemBERT, with tables of other sizes at both ends. Chung et al. 2020, arXiv:2010.12821."""

    model_types = ("rembert",)
    compute = Family.compute
    heads = ("ForMaskedLM", "Model", "ForCausalLM", *TASKS)
    body_name = "rembert"

    def body(self, width: int, *, pools: bool) -> None:
        size = self.config.size("input_embedding_size")
        with self.modules.within("embeddings"):
            self.tables(size)
        self.modules.linear("encoder.embedding_hidden_mapping_in", size, width)
        self.layers(width)
        if pools:
            self.modules.linear(self.pooler, width, width)

    def language_head(self, width: int, rows: int) -> None:
        size = self.config.size("output_embedding_size")
        with self.modules.within("cls.predictions"):
            self.modules.linear("dense", width, size)
            self.modules.linear("decoder", size, rows)
            self.modules.norm("LayerNorm", size)


class BertGeneration(Bert):
    """BERT as one half of a translator. Rothe et al. 2019, arXiv:1907.12461."""

    model_types = ("bert-generation",)
    compute = Family.compute
    heads = ("Decoder", "Encoder")
    has_segments = False
    pooled_heads = ()

    def describe(self, head: str) -> None:
        super().describe("Model" if head == "Encoder" else "LMHeadModel")

    def language_head(self, width: int, rows: int) -> None:
        self.modules.add("lm_head", "LMHead", bias=Tensor((rows,), ZERO))
        self.decoder("lm_head", width, rows)


class Esm(Roberta):
    """ESM, for proteins. Lin et al. 2022, doi:10.1126/science.ade2574."""

    model_types = ("esm",)
    compute = Family.compute
    defaults = {"hidden_act": "gelu"}
    heads = ("ForMaskedLM", "Model", "ForSequenceClassification", "ForTokenClassification")
    body_name = "esm"
    has_segments = False
    attention_norm = "LayerNorm"
    output_norm = "LayerNorm"
    table_norm = ""
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

    def tables(self, width: int) -> None:
        super().tables(width)
        if self.config.flag("emb_layer_norm_before"):
            self.modules.norm("layer_norm", width)

    def decoder(self, name: str, width: int, rows: int) -> None:
        if self.config.flag("tie_word_embeddings"):
            self.modules.tie(f"{name}.decoder.weight", "esm.embeddings.word_embeddings.weight")
        else:
            self.modules.linear(f"{name}.decoder", width, rows, False)

    @property
    def has_positions(self) -> bool:  # type: ignore[override]
        kinds = ("absolute", "rotary")
        return self.config.word("position_embedding_type", kinds) == "absolute"


class Xmod(Roberta):
    """X-MOD, with an adapter for each language. Pfeiffer et al. 2022, arXiv:2205.06266."""

    model_types = ("xmod",)
    compute = Family.compute

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


class RocBert(Bert):
    """RoCBert, which sees how words sound and look. Su et al. 2022."""

    model_types = ("roc_bert",)
    compute = Family.compute
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


class Splinter(Bert):
    """Splinter, which selects spans. Ram et al. 2021, arXiv:2101.00438."""

    model_types = ("splinter",)
    compute = Family.compute
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


class Tapas(Bert):
    """TAPAS, for tables. Herzig et al. 2020, arXiv:2004.02349."""

    model_types = ("tapas",)
    compute = Family.compute
    heads = ("ForMaskedLM", "Model", "ForSequenceClassification", "ForQuestionAnswering")
    body_name = "tapas"
    has_segments = False
    pooled_heads = ("Model", "ForSequenceClassification", "ForQuestionAnswering")

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


class VisualBert(Bert):
    """VisualBERT. Li et al. 2019, arXiv:1908.03557."""

    model_types = ("visual_bert",)
    compute = Family.compute
    heads = (
        *("ForPreTraining", "Model", "ForMultipleChoice", "ForQuestionAnswering"),
        *("ForVisualReasoning", "ForRegionToPhraseAlignment"),
    )
    body_name = "visual_bert"
    pooled_heads = heads

    def tables(self, width: int) -> None:
        super().tables(width)
        config, modules = self.config, self.modules
        modules.embedding("visual_token_type_embeddings", config.size("type_vocab_size"), width)
        positions = config.size("max_position_embeddings")
        modules.embedding("visual_position_embeddings", positions, width)
        modules.linear("visual_projection", config.size("visual_embedding_dim"), width)

    def layers(self, width: int) -> None:
        super().layers(width)
        if self.config.flag("bypass_transformer"):
            with self.modules.within("additional_layer"):
                self.layer(width)

    def task(self, head: str, width: int) -> None:
        match head:
            case "ForPreTraining" | "ForRegionToPhraseAlignment":
                super().task("ForPreTraining", width)
                if head == "ForRegionToPhraseAlignment":
                    each = self.config.quotient("hidden_size", "num_attention_heads")
                    for name in ("query", "key", "value"):
                        self.modules.linear(f"attention.{name}", width, each)
            case "ForMultipleChoice":
                self.modules.linear("cls", width, 1)
            case _:
                self.modules.linear("cls", width, self.config.labels)


class LayoutLm(Bert):
    """LayoutLM, which sees where words stand on a page. Xu et al. 2019, arXiv:1912.13318."""

    model_types = ("layoutlm",)
    compute = Family.compute
    heads = (
        *("ForMaskedLM", "Model", "ForSequenceClassification", "ForTokenClassification"),
        "ForQuestionAnswering",
    )
    body_name = "layoutlm"
    pooled_heads = heads

    def tables(self, width: int) -> None:
        super().tables(width)
        rows = self.config.size("max_2d_position_embeddings")
        for axis in "xyhw":
            self.modules.embedding(f"{axis}_position_embeddings", rows, width)
