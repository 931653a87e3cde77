"""CANINE, an encoder of characters."""

from __future__ import annotations

from typing import Any

from initcli.sources.huggingface.families.bert import Bert
from initcli.sources.huggingface.stack import Stack


class Canine(Bert):
    """CANINE, of characters. Clark et al. 2021, arXiv:2103.06874."""

    model_types = ("canine",)
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

    @property
    def num_tokens(self) -> int:
        """As many characters as there are positions in the table, in whole molecules."""
        rate, positions = (self.config.size(x) for x in ("downsampling_rate", "num_hash_buckets"))
        return max(min(super().num_tokens, positions) // rate * rate, rate)

    def compute_tables(self, stack: Stack, tokens: str, is_tied: bool) -> tuple[str, str]:
        scope = "char_embeddings"
        shards = [
            stack.embedding(f"{scope}.HashBucketCodepointEmbedder_{index}", tokens)
            for index in range(self.config.size("num_hash_functions"))
        ]
        stream = stack.add("Concatenate", f"{scope}.shards", shards, axis=-1)
        stream = stack.positions(f"{scope}.char_position_embeddings", stream)
        name = f"{scope}.token_type_embeddings"
        stream = self.look_up(stack, name, "token_type_ids", stream)
        return "", self.compute_norm(stack, f"{scope}.LayerNorm", stream)

    def compute_layers(self, stack: Stack, stream: str, **how: Any) -> str:
        if self.config.size("local_transformer_stride") < stack.steps:
            what = "the window of the first encoder of characters, `local_transformer_stride`"
            stack.notes[f"the signal leaves out {what}"] = None
        characters = self.compute_shallow(stack, "initial_char_encoder", stream)
        molecules = self.compute_molecules(stack, characters)
        molecules = super().compute_layers(stack, molecules, **how)
        rate = self.config.size("downsampling_rate")
        repeated = stack.add("UpSampling1D", "repeated_molecules", molecules, size=rate)
        both = stack.add("Concatenate", "projection.both", [characters, repeated], axis=-1)
        stream = self.compute_convolution(stack, "projection", both, padding="same")
        stream = self.compute_norm(stack, "projection.LayerNorm", stream)
        return self.compute_shallow(stack, "final_char_encoder", stream)

    def compute_shallow(self, stack: Stack, name: str, takes: str) -> str:
        """Add an encoder of one layer."""
        with stack.block(f"{name}.layer", 0, takes):
            self.compute_layer(stack, is_causal=False)
        return stack.last

    def compute_molecules(self, stack: Stack, takes: str) -> str:
        """Add the first character, and what convolutions make of all others."""
        name, rate = "chars_to_molecules", self.config.size("downsampling_rate")
        first = stack.add("Cropping1D", f"{name}.first", takes, cropping=[0, stack.steps - 1])
        groups = self.compute_convolution(stack, name, takes, strides=rate)
        others = stack.add("Cropping1D", f"{name}.others", groups, cropping=[0, 1])
        joined = stack.add("Concatenate", f"{name}.joined", [first, others], axis=1)
        return self.compute_norm(stack, f"{name}.LayerNorm", joined)

    def compute_convolution(self, stack: Stack, name: str, takes: str, **how: Any) -> str:
        """Add a convolution with the activation of the feed-forward layers."""
        activation = self.config.text("hidden_act")
        return stack.convolution(f"{name}.conv", takes, activation=activation, **how)
