"""Encoders of text and an image in one sequence."""

from __future__ import annotations

from initcli.sources.huggingface.families.bert import POOLED, Bert, LayerNames
from initcli.sources.huggingface.families.pages import words_of
from initcli.sources.huggingface.modules import ZERO, Tensor
from initcli.sources.huggingface.stack import Stack

_REGIONS = "the regions of an image"


class Vilt(Bert):
    """ViLT. Kim et al. 2021, arXiv:2102.03334."""

    model_types = ("vilt",)
    heads = (
        *("ForQuestionAnswering", "Model", "ForImageAndTextRetrieval", "ForMaskedLM"),
        "ForTokenClassification",
    )
    body_name = "vilt"
    table_name = "embeddings.text_embeddings.word_embeddings"
    layer_names = LayerNames(
        qkv=(
            "attention.attention.query",
            "attention.attention.key",
            "attention.attention.value",
        ),
        attention_norm="layernorm_before",
        norm="layernorm_after",
    )
    attention_bias = ("qkv_bias", True)
    last_norm = "layernorm"
    pooled_heads = heads[:-1]
    pooling_heads = ("ForQuestionAnswering", "ForImageAndTextRetrieval")
    language_names = (
        "mlm_score.transform.dense",
        "mlm_score.transform.LayerNorm",
        "mlm_score.decoder",
    )
    has_head_bias = False
    is_tied = True

    def tables(self, width: int) -> None:
        config, modules = self.config, self.modules
        tokens = {"cls_token": 1, "position_embeddings": self.num_patches + 1}
        zeros = {name: Tensor((1, count, width), ZERO) for name, count in tokens.items()}
        modules.add("", "Embeddings", **zeros)
        patch = config.pair("patch_size")
        name = "patch_embeddings.projection"
        modules.convolution(name, config.size("num_channels"), width, patch)
        kinds = config.size("modality_type_vocab_size")
        modules.embedding("token_type_embeddings", kinds, width)
        with modules.within("text_embeddings"):
            super().tables(width)

    def task(self, head: str, width: int) -> None:
        match head:
            case "ForQuestionAnswering":
                self.modules.linear("classifier.0", width, 2 * width)
                self.modules.norm("classifier.1", 2 * width)
                self.modules.linear("classifier.3", 2 * width, self.config.labels)
            case "ForImageAndTextRetrieval":
                self.modules.linear("rank_output", width, 1)
            case _:
                super().task(head, width)

    def compute_tables(self, stack: Stack, tokens: str, is_tied: bool) -> tuple[str, str]:
        table, words = super().compute_tables(stack, tokens, is_tied)
        image = self.compute_image(stack)
        both = stack.add("Concatenate", "text_and_image", [words, image], axis=1)
        ids = stack.tokens(self.num_tokens + self.num_patches + 1, "modality_ids")
        kinds = stack.embedding("embeddings.token_type_embeddings", ids)
        return table, stack.sum("embeddings.sum", both, kinds)

    def compute_image(self, stack: Stack) -> str:
        """Add an image and the embedding of its patches."""
        config, name = self.config, "embeddings.patch_embeddings.projection"
        image = stack.image("pixel_values", *config.pair("image_size"), config.size("num_channels"))
        patches = stack.patches(name, image, config.pair("patch_size"), self.num_patches)
        patches = stack.token("embeddings.cls_token", patches)
        return stack.positions("embeddings.position_embeddings", patches)

    def compute_task(self, stack: Stack, head: str, stream: str, pooled: str, table: str) -> None:
        match head:
            case "ForQuestionAnswering":
                inner = stack.dense("classifier.0", pooled)
                inner = stack.norm("classifier.1", inner, "LayerNorm", 1e-5)
                stack.dense("classifier.3", stack.activated("classifier.2", inner, "gelu"))
            case "ForImageAndTextRetrieval":
                stack.dense("rank_output", pooled)
            case "ForMaskedLM" | "ForTokenClassification":
                words = words_of(stack, stream, self.num_tokens)
                super().compute_task(stack, head, words, pooled, table)

    @property
    def num_patches(self) -> int:
        """The number of patches of an image."""
        image, patch = self.config.pair("image_size"), self.config.pair("patch_size")
        return image[0] // patch[0] * (image[1] // patch[1])


class VisualBert(Bert):
    """VisualBERT. Li et al. 2019, arXiv:1908.03557."""

    model_types = ("visual_bert",)
    heads = (
        *("ForPreTraining", "Model", "ForMultipleChoice", "ForQuestionAnswering"),
        *("ForVisualReasoning", "ForRegionToPhraseAlignment"),
    )
    body_name = "visual_bert"
    pooled_heads = heads
    pooling_heads = (*POOLED, "ForVisualReasoning")

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

    def compute_sum(self, stack: Stack, scope: str, takes: str) -> str:
        for name in ("token_type_embeddings", "position_embeddings", "projection"):
            stack.leave_out(f"{scope}.visual_{name}", _REGIONS)
        stack.leave_out("additional_layer", _REGIONS)
        return super().compute_sum(stack, scope, takes)

    def compute_task(self, stack: Stack, head: str, stream: str, pooled: str, table: str) -> None:
        match head:
            case "ForRegionToPhraseAlignment":
                stack.leave_out("cls", "a head that only pretraining uses")
                what = "choice of regions for phrases"
                stack.unknown("attention", stream, what, (stack.steps, stack.steps), "attention")
            case "ForQuestionAnswering":
                stack.dense("cls", stack.one("cls", stream, -2))
            case "ForMultipleChoice" | "ForVisualReasoning":
                stack.dense("cls", pooled)
            case _:
                super().compute_task(stack, head, stream, pooled, table)
