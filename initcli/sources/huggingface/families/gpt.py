"""GPT-2, GPT-J and GPT-NeoX, and decoders that follow them."""

from __future__ import annotations

import math
from typing import ClassVar

from initcli.sources.huggingface.entries import NotComputed
from initcli.sources.huggingface.families.decoder import BEFORE, Decoder, NormKind, Norms
from initcli.sources.huggingface.modules import ONE, ZERO, Tensor
from initcli.sources.huggingface.stack import Stack


class Gpt(Decoder):
    """What those of the years before Llama share."""

    body_name: ClassVar[str] = "transformer"
    table: ClassVar[str] = "wte"
    blocks: ClassVar[str] = "h"
    final_norm: ClassVar[str] = "ln_f"
    norm_kind: ClassVar[NormKind] = "LayerNorm"
    epsilon_key: ClassVar[str] = "layer_norm_epsilon"
    block_norms: ClassVar[Norms] = Norms("ln_1", "ln_2")
    attention_name: ClassVar[str] = "attn"
    qkv_bias: ClassVar[bool | str] = True
    out_bias: ClassVar[bool | str] = True
    mlp = "plain"
    mlp_names: ClassVar[tuple[str, ...]] = ("c_fc", "c_proj")
    mlp_bias: ClassVar[bool | str] = True
    keys_key = head_dim_key = ""
    hidden_key: ClassVar[str] = "n_inner"
    activation_key: ClassVar[str] = "activation_function"
    label_head = "classifier"
    pads = False

    def compute_behind(self, stack: Stack, index: int) -> None:
        """Add what a block computes whose norms stand behind its sums."""
        scope, norms = self.attention_name, self.norms
        out = self.compute_attention(stack, "input", index)
        middle = stack.sum(f"{scope}.sum", "input", out)
        middle = self.compute_norm(stack, norms.before_attention, middle)
        inner = self.compute_feed_forward(stack, middle, index)
        self.compute_norm(stack, norms.before_mlp, stack.sum("mlp.sum", middle, inner))

    @property
    def hidden(self) -> int:
        given = self.config.optional_size(self.hidden_key) if self.hidden_key else None
        return given or 4 * self.width


class Gpt2(Gpt):
    """GPT-2, of which projections back to the stream start at std/√(2·layers).

    Radford et al. 2019.
    """

    model_types: ClassVar[tuple[str, ...]] = ("gpt2", "gpt-sw3")
    heads = ("LMHeadModel", *Decoder.heads)
    positions = "wpe"
    positions_key = "n_positions"
    qkv = ("c_attn",)
    out = "c_proj"

    def block(self, index: int) -> None:
        super().block(index)
        if self.config.flag("add_cross_attention"):
            with self.modules.within("crossattention"):
                self.linear("c_attn", self.width, 2 * self.width)
                self.linear("q_attn", self.width, self.width)
                self.linear("c_proj", self.width, self.width)
            self.norm("ln_cross_attn", self.width)

    def compute(self, stack: Stack, head: str) -> None:
        if self.config.flag("add_cross_attention"):
            raise NotComputed("attention to the output of an encoder")
        super().compute(stack, head)

    def std_of(self, name: str) -> float | None:
        """The std of a projection, if it is not that of most weights."""
        if name != "c_proj":
            return None
        return self.config.number("initializer_range") / math.sqrt(2 * max(self.num_blocks, 1))

    def linear(self, name: str, inputs: int, outputs: int, bias: bool = True) -> None:
        self.modules.conv1d(name, inputs, outputs, bias, self.std_of(name))


class GptBigCode(Gpt2):
    """StarCoder, with one head of keys. arXiv:2301.03988."""

    model_types = ("gpt_bigcode",)

    @property
    def num_keys(self) -> int:
        return 1 if self.config.flag("multi_query") else self.num_heads

    def linear(self, name: str, inputs: int, outputs: int, bias: bool = True) -> None:
        self.modules.linear(name, inputs, outputs, bias, self.std_of(name))


class GptJ(Gpt):
    """GPT-J, with rotary positions. Wang and Komatsuzaki 2021."""

    model_types = ("gptj",)
    positions_key = "n_positions"
    is_parallel = True
    block_norms = Norms("ln_1")
    qkv_bias = out_bias = False
    out = "out_proj"
    mlp_names = ("fc_in", "fc_out")
    head_bias = True


class CodeGen(GptJ):
    """CodeGen. Nijkamp et al. 2022, arXiv:2203.13474."""

    model_types = ("codegen",)
    qkv: ClassVar[tuple[str, ...]] = ("qkv_proj",)


class GptNeo(Gpt):
    """GPT-Neo. Black et al. 2021."""

    model_types = ("gpt_neo",)
    heads = Gpt.heads[:-1]
    positions = "wpe"
    attention_name = "attn.attention"
    qkv_bias = False
    out = "out_proj"
    hidden_key = "intermediate_size"
    attention_scale = 1.0


class GptNeoX(Gpt):
    """GPT-NeoX and Pythia. Black et al. 2022, arXiv:2204.06745."""

    model_types = ("gpt_neox",)
    body_name = "gpt_neox"
    table = "embed_in"
    blocks = "layers"
    final_norm: ClassVar[str] = "final_layer_norm"
    epsilon_key = "layer_norm_eps"
    is_parallel: ClassVar[bool | str] = "use_parallel_residual"
    block_norms = BEFORE
    attention_name: ClassVar[str] = "attention"
    qkv = ("query_key_value",)
    qkv_bias: ClassVar[bool | str] = "attention_bias"
    out_bias: ClassVar[bool | str] = "attention_bias"
    out = "dense"
    mlp_names = ("dense_h_to_4h", "dense_4h_to_h")
    hidden_key = "intermediate_size"
    activation_key = "hidden_act"


class GptNeoXJapanese(GptNeoX):
    """GPT-NeoX for Japanese, of which only the last block has a bias behind attention."""

    model_types = ("gpt_neox_japanese",)
    body_name = "gpt_neox_japanese"
    is_parallel = False
    qkv_bias = out_bias = mlp_bias = False
    head_name = "embed_out"

    def attention(self, index: int) -> None:
        super().attention(index)
        if index == self.num_blocks - 1:
            self.modules.add("", "Attention", dense_bias=Tensor((self.width,), ZERO))

    def compute_attention(self, stack: Stack, takes: str, index: int) -> str:
        what = "the bias behind the last attention, which starts at 0"
        stack.leave_out(f"{self.attention_name}.dense_bias", what)
        return super().compute_attention(stack, takes, index)

    @property
    def hidden(self) -> int:
        return self.config.size("intermediate_multiple_size") * self.width


class Persimmon(GptNeoX):
    """Persimmon 8B. Adept 2023."""

    model_types = ("persimmon",)
    body_name = "model"
    table = "embed_tokens"
    final_norm = "final_layernorm"
    is_parallel = False
    attention_name = "self_attn"
    qkv_bias = out_bias = True
    has_qk_norm = "qk_layernorm"
    qk_norms = ("q_layernorm", "k_layernorm")
    label_head = "score"
    pads = True


class Falcon(Gpt):
    """Falcon. Almazrouei et al. 2023, arXiv:2311.16867."""

    model_types = ("falcon",)
    table = "word_embeddings"
    is_parallel = "parallel_attn"
    attention_name = "self_attention"
    qkv = ("query_key_value",)
    qkv_bias = out_bias = mlp_bias = "bias"
    out = "dense"
    mlp_names = ("dense_h_to_4h", "dense_4h_to_h")
    hidden_key = "ffn_hidden_size"
    activation_key = "activation"

    @property
    def num_keys(self) -> int:
        if not self.config.flag("new_decoder_architecture"):
            return 1 if self.config.flag("multi_query") else self.num_heads
        return self.config.optional_size("num_kv_heads") or self.num_heads

    @property
    def norms(self) -> Norms:
        config = self.config
        if not config.flag("parallel_attn"):
            return BEFORE
        count = 2 if config.flag("new_decoder_architecture") else 1
        if (config.optional_size("num_ln_in_parallel_attn") or count) == 2:
            return Norms("ln_attn", "ln_mlp")
        return Norms("input_layernorm")


class Bloom(Gpt):
    """BLOOM. Le Scao et al. 2022, arXiv:2211.05100."""

    model_types = ("bloom",)
    table = "word_embeddings"
    embedding_norm = "word_embeddings_layernorm"
    block_norms = BEFORE
    attention_name = "self_attention"
    qkv = ("query_key_value",)
    out = "dense"
    mlp_names = ("dense_h_to_4h", "dense_4h_to_h")
    hidden_key = activation_key = ""

    @property
    def activation(self) -> str:
        return "gelu_new"


class OpenAiGpt(Gpt2):
    """GPT, with norms behind sums. Radford et al. 2018."""

    model_types = ("openai-gpt",)
    table = "tokens_embed"
    positions = "positions_embed"
    final_norm = hidden_key = ""
    activation_key = ""

    def std_of(self, name: str) -> float | None:
        return 0.02

    def compute_block(self, stack: Stack, index: int) -> None:
        self.compute_behind(stack, index)

    @property
    def activation(self) -> str:
        return "gelu_new"


class Mpt(Gpt):
    """MPT. MosaicML 2023."""

    model_types = ("mpt",)
    blocks = "blocks"
    final_norm = "norm_f"
    block_norms = Norms("norm_1", "norm_2")
    qkv = ("Wqkv",)
    qkv_bias = out_bias = mlp_bias = False
    out = "out_proj"
    mlp_name = "ffn"
    mlp_names = ("up_proj", "down_proj")
    activation_key = ""
    positions_key = "max_seq_len"

    def norm(self, name: str, size: int) -> None:
        self.modules.add(name, "LayerNorm", weight=Tensor((size,), ONE))

    @property
    def hidden(self) -> int:
        return self.config.size("expansion_ratio") * self.width

    @property
    def activation(self) -> str:
        return "gelu"


class Ctrl(Gpt):
    """CTRL, with sines for positions. Keskar et al. 2019, arXiv:1909.05858."""

    model_types = ("ctrl",)
    heads = ("LMHeadModel", "Model", "ForSequenceClassification")
    table = "w"
    final_norm = "layernorm"
    block_norms = Norms("layernorm1", "layernorm2")
    attention_name = "multi_head_attention"
    qkv = ("Wq", "Wk", "Wv")
    out = "dense"
    mlp_name = "ffn"
    mlp_names = ("0", "2")
    hidden_key = "dff"
    activation_key = ""
    head_bias = True
    class_head = "classifier"

    def compute_embeddings(self, stack: Stack, takes: str) -> str:
        stream = stack.scaled("embed_scale", takes, math.sqrt(self.width))
        return stack.sines("pos_encoding", stream)

    @property
    def activation(self) -> str:
        return "relu"


_AS_TEXT = {
    "ForCausalImageModeling": "LMHeadModel",
    "ForImageClassification": "ForSequenceClassification",
}


class ImageGpt(Gpt2):
    """Image GPT. Chen et al. 2020."""

    model_types = ("imagegpt",)
    heads = ("ForCausalImageModeling", "Model", "ForImageClassification")
    norm_kind = "RMSNorm"

    def std_of(self, name: str) -> float:
        return super().std_of(name) or 0.02

    def add_head(self, head: str) -> None:
        if head == "ForCausalImageModeling" and not self.is_tied(head):
            # No pixel is predicted to be that which begins an image.
            self.modules.linear("lm_head", self.width, max(self.num_rows - 1, 1), False)
        else:
            super().add_head(_AS_TEXT.get(head, head))

    def compute_head(self, stack: Stack, head: str, takes: str, table: str) -> None:
        if head == "ForImageClassification":
            takes = stack.mean("score", takes)
        super().compute_head(stack, _AS_TEXT.get(head, head), takes, table)

    def is_tied(self, head: str) -> bool:
        return super().is_tied(_AS_TEXT.get(head, head))
