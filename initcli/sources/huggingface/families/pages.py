"""Encoders of text that stands on a page, or beside an image."""

from __future__ import annotations

from typing import ClassVar

from initcli.sources.huggingface.families.bert import Bert
from initcli.sources.huggingface.families.roberta import Roberta
from initcli.sources.huggingface.family import Family
from initcli.sources.huggingface.modules import ZERO, Tensor


class LayoutLm3(Roberta):
    """LayoutLMv3. Huang et al. 2022, arXiv:2204.08387."""

    model_types = ("layoutlmv3",)
    compute = Family.compute
    heads = (
        *("ForTokenClassification", "Model", "ForSequenceClassification", "ForQuestionAnswering"),
    )
    body_name = "layoutlmv3"
    pooled_heads = ()

    def tables(self, width: int) -> None:
        super().tables(width)
        config, rows = self.config, self.config.size("max_2d_position_embeddings")
        place, size = config.size("coordinate_size"), config.size("shape_size")
        for axis, each in (("x", place), ("y", place), ("h", size), ("w", size)):
            self.modules.embedding(f"{axis}_position_embeddings", rows, each)

    def body(self, width: int, *, pools: bool) -> None:
        config, modules = self.config, self.modules
        if config.flag("text_embed"):
            with modules.within("embeddings"):
                self.tables(width)
        if config.flag("visual_embed"):
            patch = config.size("patch_size")
            channels, count = config.size("num_channels"), config.size("input_size") // patch
            places = Tensor((1, count**2 + 1, width), ZERO)
            token = Tensor((1, 1, width), ZERO)
            modules.add("", "Model", cls_token=token, pos_embed=places)
            modules.convolution("patch_embed.proj", channels, width, (patch, patch))
            for name in ("LayerNorm", "norm"):
                modules.norm(name, width)
        self.layers(width)
        heads = config.size("num_attention_heads")
        if config.flag("has_relative_attention_bias"):
            modules.linear("encoder.rel_pos_bias", config.size("rel_pos_bins"), heads, False)
        if config.flag("has_spatial_attention_bias"):
            bins = config.size("rel_2d_pos_bins")
            for axis in "xy":
                modules.linear(f"encoder.rel_pos_{axis}_bias", bins, heads, False)

    def task(self, head: str, width: int) -> None:
        labels = self.config.labels
        if head == "ForTokenClassification" and labels < 10:
            self.modules.linear("classifier", width, labels)
            return
        name = "qa_outputs" if head == "ForQuestionAnswering" else "classifier"
        self.modules.linear(f"{name}.dense", width, width)
        self.modules.linear(f"{name}.out_proj", width, labels)


class MarkupLm(Roberta):
    """MarkupLM, which sees where words stand in a document. Li et al. 2021, arXiv:2110.08518."""

    model_types = ("markuplm",)
    compute = Family.compute
    heads = (
        *("ForTokenClassification", "Model", "ForSequenceClassification", "ForQuestionAnswering"),
    )
    body_name = "markuplm"
    has_class_layer = False
    pooled_heads = ("Model", "ForSequenceClassification")

    def tables(self, width: int) -> None:
        super().tables(width)
        config, modules = self.config, self.modules
        depth, size = config.size("max_depth"), config.size("xpath_unit_hidden_size")
        with modules.within("xpath_embeddings"):
            modules.linear("xpath_unitseq2_embeddings", depth * size, width)
            modules.linear("xpath_unitseq2_inner", depth * size, 4 * width)
            modules.linear("inner2emb", 4 * width, width)
            for key, name in (
                ("max_xpath_tag_unit_embeddings", "xpath_tag_sub_embeddings"),
                ("max_xpath_subs_unit_embeddings", "xpath_subs_sub_embeddings"),
            ):
                rows = config.size(key)
                for index in range(depth):
                    modules.embedding(f"{name}.{index}", rows, size)


class Lilt(Roberta):
    """LiLT, with a narrow stream for the layout. Wang et al. 2022, arXiv:2202.13669."""

    model_types = ("lilt",)
    compute = Family.compute
    heads = (
        *("ForTokenClassification", "Model", "ForSequenceClassification", "ForQuestionAnswering"),
    )
    body_name = "lilt"
    pooled_heads = ("Model",)

    def body(self, width: int, *, pools: bool) -> None:
        config, modules, narrow = self.config, self.modules, self.narrow
        rows, size = config.size("max_2d_position_embeddings"), width // 6
        positions = config.size("max_position_embeddings")
        with modules.within("layout_embeddings"):
            for axis in "xyhw":
                modules.embedding(f"{axis}_position_embeddings", rows, size)
            padding = config.index("pad_token_id", positions)
            modules.embedding("box_position_embeddings", positions, narrow, padding)
            modules.linear("box_linear_embeddings", width, narrow)
            modules.norm("LayerNorm", narrow)
        super().body(width, pools=pools)

    def layer(self, width: int) -> None:
        super().layer(width)
        modules, narrow = self.modules, self.narrow
        inner = self.config.size("intermediate_size") // self.ratio
        heads = self.config.size("num_attention_heads")
        each = width // heads * heads // self.ratio
        for name in ("query", "key", "value"):
            modules.linear(f"attention.self.layout_{name}", narrow, each)
        modules.linear("attention.layout_output.dense", narrow, narrow)
        modules.norm("attention.layout_output.LayerNorm", narrow)
        modules.linear("layout_intermediate.dense", narrow, inner)
        modules.linear("layout_output.dense", inner, narrow)
        modules.norm("layout_output.LayerNorm", narrow)

    @property
    def ratio(self) -> int:
        """How many times narrower the stream of the layout is."""
        return self.config.size("channel_shrink_ratio")

    @property
    def narrow(self) -> int:
        """The width of the stream of the layout."""
        return self.config.size("hidden_size") // self.ratio


class Canine(Bert):
    """CANINE, of characters. Clark et al. 2021, arXiv:2103.06874."""

    model_types = ("canine",)
    compute = Family.compute
    heads = (
        *("ForSequenceClassification", "Model", "ForTokenClassification"),
        *("ForQuestionAnswering", "ForMultipleChoice"),
    )
    body_name = "canine"

    def body(self, width: int, *, pools: bool) -> None:
        config, modules = self.config, self.modules
        rows, hashes = config.size("num_hash_buckets"), config.size("num_hash_functions")
        with modules.within("char_embeddings"):
            for index in range(hashes):
                modules.embedding(f"HashBucketCodepointEmbedder_{index}", rows, width // hashes)
            modules.embedding("char_position_embeddings", rows, width)
            modules.embedding("token_type_embeddings", config.size("type_vocab_size"), width)
            modules.norm("LayerNorm", width)
        for name in ("initial_char_encoder", "final_char_encoder"):
            with modules.within(f"{name}.layer.0"):
                self.layer(width)
        rate, kernel = config.size("downsampling_rate"), config.size("upsampling_kernel_size")
        modules.convolution("chars_to_molecules.conv", width, width, (rate,))
        modules.norm("chars_to_molecules.LayerNorm", width)
        self.layers(width)
        modules.convolution("projection.conv", 2 * width, width, (kernel,))
        modules.norm("projection.LayerNorm", width)
        modules.linear("pooler.dense", width, width)


class Vilt(Family):
    """ViLT. Kim et al. 2021, arXiv:2102.03334."""

    model_types = ("vilt",)
    heads: ClassVar[tuple[str, ...]] = (
        *("ForQuestionAnswering", "Model", "ForImageAndTextRetrieval", "ForMaskedLM"),
        "ForTokenClassification",
    )

    def describe(self, head: str) -> None:
        config, modules, width = self.config, self.modules, self.config.size("hidden_size")
        config.activation("hidden_act")
        config.quotient("hidden_size", "num_attention_heads")
        rows = config.size("vocab_size")
        with modules.within("" if head == "Model" else "vilt"):
            self.embeddings(width, rows)
            for index in range(config.size("num_hidden_layers", 0)):
                with modules.within(f"encoder.layer.{index}"):
                    self.layer(width)
            modules.norm("layernorm", width)
            if head != "ForTokenClassification":
                modules.linear("pooler.dense", width, width)
        match head:
            case "ForQuestionAnswering":
                modules.linear("classifier.0", width, 2 * width)
                modules.norm("classifier.1", 2 * width)
                modules.linear("classifier.3", 2 * width, config.labels)
            case "ForImageAndTextRetrieval":
                modules.linear("rank_output", width, 1)
            case "ForTokenClassification":
                modules.linear("classifier", width, config.labels)
            case "ForMaskedLM":
                with modules.within("mlm_score"):
                    modules.linear("transform.dense", width, width)
                    modules.norm("transform.LayerNorm", width)
                    modules.add("decoder", "Linear", bias=Tensor((rows,), ZERO))
                table = "vilt.embeddings.text_embeddings.word_embeddings.weight"
                modules.tie("mlm_score.decoder.weight", table)

    def embeddings(self, width: int, rows: int) -> None:
        """Add the embeddings of text and patches."""
        config, modules = self.config, self.modules
        image, patch = config.pair("image_size"), config.pair("patch_size")
        count = image[0] // patch[0] * (image[1] // patch[1])
        zeros = {"cls_token": 1, "position_embeddings": count + 1}
        with modules.within("embeddings"):
            tokens = {name: Tensor((1, each, width), ZERO) for name, each in zeros.items()}
            modules.add("", "Embeddings", **tokens)
            channels = config.size("num_channels")
            modules.convolution("patch_embeddings.projection", channels, width, patch)
            kinds = config.size("modality_type_vocab_size")
            modules.embedding("token_type_embeddings", kinds, width)
            with modules.within("text_embeddings"):
                padding = config.index("pad_token_id", rows)
                modules.embedding("word_embeddings", rows, width, padding)
                positions = config.size("max_position_embeddings")
                modules.embedding("position_embeddings", positions, width)
                segments = config.size("type_vocab_size")
                modules.embedding("token_type_embeddings", segments, width)
                modules.norm("LayerNorm", width)

    def layer(self, width: int) -> None:
        """Add one layer."""
        modules, inner = self.modules, self.config.size("intermediate_size")
        for name in ("query", "key", "value"):
            bias = self.config.flag("qkv_bias")
            modules.linear(f"attention.attention.{name}", width, width, bias)
        modules.linear("attention.output.dense", width, width)
        modules.norm("layernorm_before", width)
        modules.norm("layernorm_after", width)
        modules.linear("intermediate.dense", width, inner)
        modules.linear("output.dense", inner, width)
