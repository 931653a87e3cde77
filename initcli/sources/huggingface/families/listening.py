"""Language models that hear."""

from __future__ import annotations

from typing import Any, ClassVar

from initcli.sources.huggingface.entries import NotComputed
from initcli.sources.huggingface.families.multimodal import Multimodal
from initcli.sources.huggingface.families.seq2seq import Whisper
from initcli.sources.huggingface.modules import Tensor, normal
from initcli.sources.huggingface.stack import Stack


class SoundEncoder(Whisper):
    """Encoders that are that of Whisper."""

    model_types: ClassVar[tuple[str, ...]] = ("voxtral_encoder",)
    heads = ("Encoder",)
    std_key = "initializer_range"
    pools: ClassVar[bool] = False
    """Whether pairs of positions are averaged before the last norm."""

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

    def compute(self, stack: Stack, head: str) -> None:
        self.compute_features(stack, None)

    def compute_features(self, stack: Stack, layer: int | tuple[int, ...] | None) -> str:
        return self.compute_sound(stack, self.spectrogram(stack))

    def compute_positions(self, stack: Stack, side: str, takes: str) -> str:
        return stack.positions("embed_positions", takes)

    def compute_norm(self, stack: Stack, name: str, takes: str) -> str:
        if name == "layer_norm" and self.pools:
            takes = stack.add("AveragePooling1D", "avg_pooler", takes, pool_size=2)
            stack.steps //= 2
        return super().compute_norm(stack, name, takes)


class Qwen2AudioEncoder(SoundEncoder):
    """The encoder of Qwen2-Audio, which halves the number of positions. arXiv:2407.10759."""

    model_types = ("qwen2_audio_encoder",)
    pools = True


class Listener(Multimodal):
    """The skeleton of language models that hear: an audio tower, a projector, a language model."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.audio = self.part("audio_config")

    def describe_other(self) -> None:
        self.add_part("audio_tower", self.audio)
        with self.modules.within("multi_modal_projector"):
            self.projector(self.text_width)

    def projector(self, width: int) -> None:
        """Add what turns the tower's output into tokens of the language model."""
        raise NotImplementedError

    def compute_other(self, stack: Stack) -> str:
        with stack.within("audio_tower"):
            heard = self.audio.compute_features(stack, None)
        with stack.within("multi_modal_projector"):
            return self.compute_projector(stack, heard)

    def compute_projector(self, stack: Stack, takes: str) -> str:
        """Add what the projector computes."""
        raise NotImplementedError


class Qwen2Audio(Listener):
    """Qwen2-Audio. Chu et al. 2024, arXiv:2407.10759."""

    model_types = ("qwen2_audio",)

    def projector(self, width: int) -> None:
        self.modules.linear("linear", self.audio.config.size("d_model"), width)

    def compute_projector(self, stack: Stack, takes: str) -> str:
        return stack.dense("linear", takes)


class Voxtral(Listener):
    """Voxtral. Liu et al. 2025, arXiv:2507.13264."""

    model_types = ("voxtral",)
    merged_part = "text_config"

    def projector(self, width: int) -> None:
        self.modules.linear("linear_1", self.audio.config.size("intermediate_size"), width, False)
        self.modules.linear("linear_2", width, width, False)

    def compute_projector(self, stack: Stack, takes: str) -> str:
        joined, width = (self.audio.config.size(x) for x in ("intermediate_size", "d_model"))
        if joined % width:
            raise NotComputed("a projector of a part of a position")
        merged = stack.merged("joined", takes, joined // width, joined)
        activation = self.config.text("projector_hidden_act")
        return stack.dense("linear_2", stack.dense("linear_1", merged, activation))
