"""Language models with another input: what becomes of it stands before the text."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from initcli.sources.huggingface.entries import NotComputed
from initcli.sources.huggingface.families.decoder import Decoder
from initcli.sources.huggingface.family import Family
from initcli.sources.huggingface.stack import Stack


class Multimodal(Family):
    """The skeleton. Weights beside the parts have the std of the language model."""

    heads: ClassVar[tuple[str, ...]] = ("ForConditionalGeneration", "Model")
    text_name: ClassVar[str] = "language_model"
    ties_as_text: ClassVar[bool] = False
    """Whether a tie that only the language model declares counts, too."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.text = self.part("text_config")

    def describe(self, head: str) -> None:
        with self.modules.within("" if head == "Model" else "model"):
            self.describe_other()
            self.add_part(self.text_name, self.text)
        if head != "Model":
            self.output()

    def describe_other(self) -> None:
        """Add the modules of the other input."""
        raise NotImplementedError

    def output(self) -> None:
        """Add the head over the vocabulary."""
        if self.is_tied:
            table = self.text.table if isinstance(self.text, Decoder) else "embed_tokens"
            self.modules.tie("lm_head.weight", f"model.{self.text_name}.{table}.weight")
        else:
            rows = self.text.config.size("vocab_size")
            self.modules.linear("lm_head", self.text_width, rows, False)

    def compute(self, stack: Stack, head: str) -> None:
        text, is_tied = decoder(self.text), head != "Model" and self.is_tied
        tokens = text.token_ids(stack)
        with stack.within("" if head == "Model" else "model"):
            other = self.compute_other(stack)
            with stack.within(self.text_name):
                table, stream = self.compute_text(stack, tokens, other, is_tied=is_tied)
        if head != "Model":
            name = "lm_head"
            logits = stack.tied(name, table, stream) if is_tied else stack.dense(name, stream)
            stack.scaled("logit_scale", logits, text.logit_scale)

    def compute_other(self, stack: Stack) -> str:
        """Add what becomes of the other input; empty without one."""
        raise NotImplementedError

    def compute_text(
        self, stack: Stack, tokens: str, other: str, *, is_tied: bool
    ) -> tuple[str, str]:
        """Add the language model without its head; returns its table and its output."""
        text = decoder(self.text)
        if is_tied:
            stack.will_tie(text.table)
        table = stack.embedding(text.table, tokens)
        stream = self.compute_joined(stack, other, text.compute_embeddings(stack, table))
        return table, text.compute_blocks(stack, stream)

    def compute_joined(self, stack: Stack, other: str, words: str) -> str:
        """Add what the blocks take of the other input and the text."""
        if not other:
            return words
        stack.steps += self.text.num_tokens
        return stack.add("Concatenate", "image_and_text", [other, words], axis=1)

    @property
    def std(self) -> float:
        own = self.config.is_null(self.std_key)
        return self.text.std if own else super().std

    @property
    def is_tied(self) -> bool:
        """Whether the head is the table of tokens."""
        key = "tie_word_embeddings"
        return self.config.flag(key) or (self.ties_as_text and self.text.config.flag(key))

    @property
    def text_width(self) -> int:
        """The size of a token of the language model."""
        return self.text.config.size("hidden_size")


class Fuyu(Multimodal):
    """Fuyu, of which patches are tokens. Adept 2023."""

    model_types = ("fuyu",)
    heads = ("ForCausalLM", "Model")

    def describe_other(self) -> None:
        self.modules.linear("vision_embed_tokens", self.num_pixels, self.text_width)

    def compute_other(self, stack: Stack) -> str:
        sizes = zip(self.config.pair("image_size"), self.config.pair("patch_size"), strict=True)
        count = math.prod(image // patch for image, patch in sizes)
        return stack.dense("vision_embed_tokens", stack.cut_image(count, self.num_pixels))

    @property
    def num_pixels(self) -> int:
        """The number of values in a patch."""
        return self.config.size("num_channels") * self.config.size("patch_size") ** 2


def decoder(text: Family) -> Decoder:
    """The language model.

    Raises:
        NotComputed: no layer describes what it computes.
    """
    if not isinstance(text, Decoder):
        raise NotComputed(f"the model type '{text.model_type}'")
    return text
