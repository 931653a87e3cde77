"""Decoders like Llama: rotary attention and a feed-forward layer, each behind a normalization."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from initcli.initializers import Constant
from initcli.sources.huggingface.family import Family
from initcli.sources.huggingface.modules import Tensor, normal
from initcli.sources.huggingface.stack import Heads, Stack

GENERATING: tuple[str, ...] = ("ForCausalLM", "Model")
CLASSIFYING: tuple[str, ...] = (*GENERATING, "ForSequenceClassification")
LABELING: tuple[str, ...] = (*CLASSIFYING, "ForTokenClassification")
ANSWERING: tuple[str, ...] = (*LABELING, "ForQuestionAnswering")
"""Ends of names of classes; each of the four has those before."""

NormKind = Literal["RMSNorm", "LayerNorm", ""]
"""Kinds of normalization; the last has no weights."""

_COMMON = {
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "hidden_act": "silu",
    "initializer_range": 0.02,
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-6,
    "layer_norm_eps": 1e-5,
}


class Decoder(Family):
    """The skeleton: an embedding, blocks, a last normalization, and a head."""

    defaults = _COMMON
    heads = LABELING
    label_head: ClassVar[str] = "score"
    final_norm: ClassVar[str] = "norm"
    norm_kind: ClassVar[NormKind] = "RMSNorm"
    norm_start: ClassVar[float] = 1.0
    norm_offset: ClassVar[float] = 0.0
    """What norms add to their scale."""
    epsilon_key: ClassVar[str] = "rms_norm_eps"
    is_parallel: ClassVar[bool | str] = False
    """Whether attention and feed-forward layer take the same input."""
    block_norms: ClassVar[tuple[str, ...]] = ("input_layernorm", "post_attention_layernorm")
    double_norms: ClassVar[tuple[str, str, str]] = (
        *("post_attention_layernorm", "pre_feedforward_layernorm"),
        "post_feedforward_layernorm",
    )
    """Of four norms, those behind attention and on both sides of the feed-forward layer."""
    qkv_bias: ClassVar[bool | str] = "attention_bias"
    out_bias: ClassVar[bool | str] = "attention_bias"
    qkv: ClassVar[Literal["q_proj", "qkv_proj"]] = "q_proj"
    out: ClassVar[str] = "o_proj"
    is_square: ClassVar[bool] = False
    """Whether the output projection takes as many inputs as the stream is wide."""
    has_qk_norm: ClassVar[bool | str] = False
    qk_norms: ClassVar[tuple[str, str]] = ("q_norm", "k_norm")
    qk_norm_over: ClassVar[Literal["head", "all", "heads"]] = "head"
    mlp: ClassVar[Literal["gated", "packed", "plain"]] = "gated"
    mlp_names: ClassVar[tuple[str, ...]] = ("gate_proj", "up_proj", "down_proj")
    mlp_bias: ClassVar[bool | str] = False
    head_bias: ClassVar[bool | str] = False
    has_padding: ClassVar[bool] = True
    must_divide: ClassVar[bool] = False
    """Whether heads must divide the width even where ``head_dim`` is given."""
    activation_key: ClassVar[str] = "hidden_act"
    question_prefix: ClassVar[str] = "transformer"
    """Name of the body in the class for answering questions."""

    def describe(self, head: str) -> None:
        prefix = self.prefix(head)
        with self.modules.within(prefix.removesuffix(".")):
            self.body()
        table, bias = f"{prefix}embed_tokens.weight", self.flag(self.head_bias)
        self.add_head(head, self.width, table, bias=bias)

    def compute(self, stack: Stack, head: str) -> None:
        prefix = self.prefix(head)
        table = f"{prefix}embed_tokens"
        is_tied = head == "ForCausalLM" and self.config.flag("tie_word_embeddings")
        if is_tied:
            stack.will_tie(table)
        stream = stack.embedding(table, self.token_ids(stack))
        stream = stack.scaled(f"{prefix}embed_scale", stream, self.embedding_scale)
        for index in range(self.config.size("num_hidden_layers", 0)):
            with stack.block(f"{prefix}layers", index):
                self.compute_block(stack)
            stream = f"{prefix}layers"
        stream = self.compute_norm(stack, f"{prefix}{self.final_norm}", stream)
        if is_tied and self.flag(self.head_bias):
            stack.leave_out("lm_head", "the bias of the head, which starts at 0")
        logits = self.compute_head(stack, head, stream, table if is_tied else "")
        stack.scaled("logit_scale", logits, self.logit_scale if head == "ForCausalLM" else 1.0)

    def compute_block(self, stack: Stack) -> None:
        """Add what one block computes."""
        is_parallel = self.flag(self.is_parallel)
        before, *later = self.block_norms
        is_double = len(later) == 3
        has_first = before == "input_layernorm"
        after_attention = ""
        if is_double:
            after_attention, before_mlp, after_mlp = self.double_norms
        elif has_first:
            before_mlp, after_mlp = ("" if is_parallel else later[0]), ""
        else:
            after_attention, before_mlp, after_mlp = before, "", later[0]
        normed = self.compute_norm(stack, before, "input") if has_first else "input"
        out = self.compute_attention(stack, normed)
        if after_attention:
            out = self.compute_norm(stack, after_attention, out)
        out = stack.scaled("self_attn.scaled", out, self.residual_scale)
        stream = "input"
        if not is_parallel:
            stream = stack.sum("self_attn.sum", "input", out)
            normed = self.compute_norm(stack, before_mlp, stream) if before_mlp else stream
        inner = self.compute_feed_forward(stack, normed)
        if after_mlp:
            inner = self.compute_norm(stack, after_mlp, inner)
        inner = stack.scaled("mlp.scaled", inner, self.residual_scale)
        stack.sum("mlp.sum", stream, *([out] if is_parallel else []), inner)

    def compute_attention(self, stack: Stack, takes: str) -> str:
        """Add what attention computes."""
        packed = self.qkv == "qkv_proj"
        names = ("qkv_proj",) * 3 if packed else ("q_proj", "k_proj", "v_proj")
        query, key, value = (f"self_attn.{name}" for name in names)
        for name in self.qk_norms:
            stack.leave_out(f"self_attn.{name}", "the norms of queries and keys")
        heads = Heads(self.num_heads, self.num_keys, self.head_dim)
        out = f"self_attn.{self.out}"
        return stack.attention("self_attn", takes, heads, (query, key, value), out, causal=True)

    def compute_feed_forward(self, stack: Stack, takes: str) -> str:
        """Add what the feed-forward layer computes."""
        activation = self.config.text(self.activation_key)
        *into, out = (f"mlp.{name}" for name in self.mlp_names)
        if self.mlp == "plain":
            inner = stack.dense(into[0], takes, activation)
        else:
            parts = ("gate", "up") if self.mlp == "packed" else ("", "")
            gate = stack.dense(into[0], takes, activation, parts[0])
            inner = stack.product("mlp.product", gate, stack.dense(into[-1], takes, "", parts[1]))
        return stack.dense(out, inner)

    def compute_norm(self, stack: Stack, name: str, takes: str) -> str:
        """Add what a normalization of the family computes."""
        epsilon = self.config.number(self.epsilon_key) or 1e-5
        return stack.norm(name, takes, self.norm_kind, epsilon, self.norm_offset)

    @property
    def embedding_scale(self) -> float:
        """What the vectors of tokens are multiplied by."""
        return 1.0

    @property
    def residual_scale(self) -> float:
        """What is multiplied before it is added to the stream."""
        return 1.0

    @property
    def logit_scale(self) -> float:
        """What the logits are multiplied by."""
        return 1.0

    def prefix(self, head: str) -> str:
        """What the names of the body's modules begin with, in the class with that end."""
        if head == "ForQuestionAnswering":
            return f"{self.question_prefix}."
        return "" if head == "Model" else "model."

    def body(self) -> None:
        """Add all modules but the head."""
        config, modules = self.config, self.modules
        config.activation(self.activation_key)
        rows = config.size("vocab_size")
        padding = config.index("pad_token_id", rows) if self.has_padding else None
        modules.embedding("embed_tokens", rows, self.width, padding)
        for index in range(config.size("num_hidden_layers", 0)):
            with modules.within(f"layers.{index}"):
                self.block(index)
        self.norm(self.final_norm, self.width)

    def block(self, index: int) -> None:
        """Add one block."""
        with self.modules.within("self_attn"):
            self.attention(index)
        self.feed_forward(index)
        for name in self.block_norms:
            self.norm(name, self.width)

    def attention(self, index: int) -> None:
        """Add the projections of attention, and the norms of its queries and keys."""
        queries, keys = self.num_heads * self.head_dim, self.num_keys * self.head_dim
        bias = self.flag(self.qkv_bias)
        if self.qkv == "qkv_proj":
            self.modules.linear("qkv_proj", self.width, queries + 2 * keys, bias)
        else:
            for name, size in (("q_proj", queries), ("k_proj", keys), ("v_proj", keys)):
                self.modules.linear(name, self.width, size, bias)
        inner = self.width if self.is_square else queries
        self.modules.linear(self.out, inner, self.width, self.flag(self.out_bias))
        if self.flag(self.has_qk_norm):
            counts = (self.num_heads, self.num_keys)
            for name, heads in zip(self.qk_norms, counts, strict=True):
                self.query_norm(name, heads)

    def query_norm(self, name: str, heads: int) -> None:
        """Add the norm of queries or keys: of a head, of all at once, or of each."""
        size = self.head_dim if self.qk_norm_over == "head" else heads * self.head_dim
        self.norm(name, size)

    def feed_forward(self, index: int) -> None:
        """Add the feed-forward layer of a block."""
        with self.modules.within("mlp"):
            self.dense(self.config.size("intermediate_size"))

    def dense(self, size: int) -> None:
        """Add the projections of a feed-forward layer of that width."""
        bias = self.flag(self.mlp_bias)
        *into, out = self.mlp_names
        factor = 2 if self.mlp == "packed" else 1
        for name in into:
            self.modules.linear(name, self.width, factor * size, bias)
        self.modules.linear(out, size, self.width, bias)

    def norm(self, name: str, size: int) -> None:
        """Add a normalization of the family's kind; nothing where it has no weights."""
        if self.norm_kind:
            self.modules.norm(name, size, self.norm_kind, self.norm_start)

    @property
    def width(self) -> int:
        """The size of the residual stream."""
        return self.config.size("hidden_size")

    @property
    def num_heads(self) -> int:
        """The number of heads of attention."""
        return self.config.size("num_attention_heads")

    @property
    def num_keys(self) -> int:
        """The number of heads of keys and values."""
        return self.config.optional_size("num_key_value_heads") or self.num_heads

    @property
    def head_dim(self) -> int:
        """The size of one head."""
        keys, strict = ("hidden_size", "num_attention_heads"), self.must_divide
        given = self.config.optional_size("head_dim")
        if given is None or strict:
            quotient = self.config.quotient(*keys, is_strict=strict)
        return quotient if given is None else given


class Llama(Decoder):
    """Llama 1 to 3. Touvron et al. 2023, arXiv:2302.13971."""

    model_types = ("llama",)
    classes = "Llama"
    heads = ANSWERING
    defaults = {"vocab_size": 32000, "intermediate_size": 11008}
    mlp_bias = "mlp_bias"
    must_divide = True


class Mistral(Decoder):
    """Mistral 7B. Jiang et al. 2023, arXiv:2310.06825."""

    model_types = ("mistral",)
    classes = "Mistral"
    heads = ANSWERING
    defaults = {"vocab_size": 32000, "intermediate_size": 14336, "num_key_value_heads": 8}
    qkv_bias = out_bias = False
    question_prefix = "model"


class Ministral(Mistral):
    """Ministral, a Mistral with its own class."""

    model_types = ("ministral",)
    classes = "Ministral"
    question_prefix = "transformer"


class Ministral3(Mistral):
    """Ministral 3."""

    model_types = ("ministral3",)
    classes = "Ministral3"
    defaults = {
        "rms_norm_eps": 1e-5,
        "vocab_size": 131072,
        "num_hidden_layers": 34,
        "head_dim": 128,
        "pad_token_id": 11,
    }


class Cwm(Mistral):
    """The code world model. arXiv:2510.02387."""

    model_types = ("cwm",)
    classes = "Cwm"
    heads = GENERATING
    defaults = {
        "rms_norm_eps": 1e-5,
        "vocab_size": 128256,
        "hidden_size": 6144,
        "intermediate_size": 21504,
        "num_hidden_layers": 64,
        "num_attention_heads": 48,
        "head_dim": 128,
    }
    mlp_bias = "mlp_bias"


class Qwen2(Decoder):
    """Qwen 2 and 2.5. Yang et al. 2024, arXiv:2407.10671."""

    model_types = ("qwen2",)
    classes = "Qwen2"
    heads = ANSWERING
    defaults = {
        "vocab_size": 151936,
        "intermediate_size": 22016,
        "num_key_value_heads": 32,
        "use_sliding_window": False,
    }
    qkv_bias = True
    out_bias = False


class Qwen3(Decoder):
    """Qwen 3. Yang et al. 2025, arXiv:2505.09388."""

    model_types = ("qwen3",)
    classes = "Qwen3"
    heads = ANSWERING
    defaults = {
        "vocab_size": 151936,
        "intermediate_size": 22016,
        "num_key_value_heads": 32,
        "head_dim": 128,
    }
    has_qk_norm = True


class Gemma(Decoder):
    """Gemma, of which norms add 1 to their scale. arXiv:2403.08295."""

    model_types = ("gemma",)
    classes = "Gemma"
    defaults = {
        "vocab_size": 256000,
        "hidden_size": 3072,
        "intermediate_size": 24576,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 16,
        "head_dim": 256,
        "hidden_act": "gelu_pytorch_tanh",
        "pad_token_id": 0,
        "tie_word_embeddings": True,
    }
    norm_start = 0.0
    norm_offset = 1.0

    @property
    def embedding_scale(self) -> float:
        return math.sqrt(self.width)


class Gemma2(Gemma):
    """Gemma 2, with norms on both sides. arXiv:2408.00118."""

    model_types = ("gemma2",)
    classes = "Gemma2"
    must_divide = True
    defaults = {
        "hidden_size": 2304,
        "intermediate_size": 9216,
        "num_hidden_layers": 26,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "hidden_activation": "gelu_pytorch_tanh",
        "attn_logit_softcapping": 50.0,
        "final_logit_softcapping": 30.0,
    }
    activation_key = "hidden_activation"
    block_norms = (
        *("input_layernorm", "post_attention_layernorm"),
        *("pre_feedforward_layernorm", "post_feedforward_layernorm"),
    )


class Gemma3(Gemma2):
    """The text model of Gemma 3. arXiv:2503.19786."""

    model_types = ("gemma3_text",)
    classes = "Gemma3"
    defaults = {
        "vocab_size": 262208,
        "attn_logit_softcapping": None,
        "final_logit_softcapping": None,
    }
    has_qk_norm = True

    heads = ("ForCausalLM", "TextModel", "TextForSequenceClassification")

    def describe(self, head: str) -> None:
        super().describe(head.removeprefix("Text"))

    def compute(self, stack: Stack, head: str) -> None:
        super().compute(stack, head.removeprefix("Text"))


class Phi(Decoder):
    """Phi 1 to 2, with attention and feed-forward layer side by side. arXiv:2309.05463."""

    model_types = ("phi",)
    classes = "Phi"
    defaults = {
        "vocab_size": 51200,
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 24,
        "hidden_act": "gelu_new",
    }
    final_norm = "final_layernorm"
    norm_kind = "LayerNorm"
    epsilon_key = "layer_norm_eps"
    is_parallel = True
    block_norms = ("input_layernorm",)
    qkv_bias = out_bias = mlp_bias = head_bias = True
    out = "dense"
    has_qk_norm = "qk_layernorm"
    qk_norms = ("q_layernorm", "k_layernorm")
    mlp = "plain"
    mlp_names = ("fc1", "fc2")
    has_padding = True

    def query_norm(self, name: str, heads: int) -> None:
        keys = ("hidden_size", "num_attention_heads")
        self.norm(name, self.config.quotient(*keys, is_strict=False))


class Phi3(Decoder):
    """Phi 3 and 4, with projections that are packed. arXiv:2404.14219."""

    model_types = ("phi3",)
    classes = "Phi3"
    defaults = {
        "rms_norm_eps": 1e-5,
        "vocab_size": 32064,
        "hidden_size": 3072,
        "intermediate_size": 8192,
        "pad_token_id": 32000,
    }
    qkv = "qkv_proj"
    qkv_bias = out_bias = False
    mlp = "packed"
    mlp_names = ("gate_up_proj", "down_proj")


class Olmo(Decoder):
    """OLMo, of which norms have no weights. arXiv:2402.00838."""

    model_types = ("olmo",)
    classes = "Olmo"
    heads = CLASSIFYING
    defaults = {"vocab_size": 50304, "intermediate_size": 11008, "pad_token_id": 1}
    norm_kind: ClassVar[NormKind] = ""
    epsilon_key: ClassVar[str] = "layer_norm_eps"


class Olmo2(Olmo):
    """OLMo 2 and 3, with norms behind each part. arXiv:2501.00656."""

    model_types = ("olmo2",)
    classes = "Olmo2"
    defaults = {"rms_norm_eps": 1e-5}
    norm_kind = "RMSNorm"
    epsilon_key = "rms_norm_eps"
    block_norms = ("post_attention_layernorm", "post_feedforward_layernorm")
    has_qk_norm = True
    qk_norm_over = "all"


class Olmo3(Olmo2):
    """OLMo 3."""

    model_types = ("olmo3",)
    classes = "Olmo3"


class Granite(Decoder):
    """Granite 3. IBM 2024."""

    model_types = ("granite",)
    classes = "Granite"
    heads = GENERATING
    defaults = {
        "vocab_size": 32000,
        "intermediate_size": 11008,
        "embedding_multiplier": 1.0,
        "residual_multiplier": 1.0,
        "logits_scaling": 1.0,
    }
    mlp_bias = "mlp_bias"

    @property
    def embedding_scale(self) -> float:
        return self.config.number("embedding_multiplier")

    @property
    def residual_scale(self) -> float:
        return self.config.number("residual_multiplier")

    @property
    def logit_scale(self) -> float:
        return 1 / (self.config.number("logits_scaling") or 1.0)


class SmolLM3(Decoder):
    """SmolLM 3. Hugging Face 2025."""

    model_types = ("smollm3",)
    classes = "SmolLM3"
    heads = ANSWERING
    defaults = {
        "vocab_size": 128256,
        "hidden_size": 2048,
        "intermediate_size": 11008,
        "num_hidden_layers": 36,
        "num_attention_heads": 16,
        "num_key_value_heads": 4,
        "pad_token_id": 128004,
        "tie_word_embeddings": True,
        "use_sliding_window": False,
    }
    mlp_bias = "mlp_bias"


class Cohere(Decoder):
    """Command R, with attention and feed-forward layer side by side. Cohere 2024."""

    model_types = ("cohere",)
    classes = "Cohere"
    heads = GENERATING
    defaults = {
        "vocab_size": 256000,
        "hidden_size": 8192,
        "intermediate_size": 22528,
        "num_hidden_layers": 40,
        "num_attention_heads": 64,
        "pad_token_id": 0,
        "tie_word_embeddings": True,
        "logit_scale": 0.0625,
    }
    epsilon_key = "layer_norm_eps"
    is_parallel = True
    block_norms = ("input_layernorm",)
    has_qk_norm: ClassVar[bool | str] = "use_qk_norm"

    @property
    def logit_scale(self) -> float:
        return self.config.number("logit_scale")

    def query_norm(self, name: str, heads: int) -> None:
        scale = Tensor((heads, self.head_dim), Constant(value=1.0))
        self.modules.add(name, "LayerNorm", weight=scale)


class Cohere2(Cohere):
    """Command R7B."""

    model_types = ("cohere2",)
    classes = "Cohere2"
    has_qk_norm = False


class StableLm(Decoder):
    """StableLM 2. Bellagente et al. 2024, arXiv:2402.17834."""

    model_types = ("stablelm",)
    classes = "StableLm"
    must_divide = True
    defaults = {
        "vocab_size": 50304,
        "hidden_size": 2560,
        "intermediate_size": 6912,
        "num_key_value_heads": 32,
    }
    norm_kind = "LayerNorm"
    epsilon_key = "layer_norm_eps"
    is_parallel = "use_parallel_residual"
    qkv_bias = "use_qkv_bias"
    out_bias = False
    has_qk_norm = "qk_layernorm"
    qk_norms = ("q_layernorm", "k_layernorm")

    def query_norm(self, name: str, heads: int) -> None:
        for head in range(heads):
            scale = Tensor((self.head_dim,), Constant(value=1.0))
            self.modules.add(f"{name}.norms.{head}", "LayerNorm", weight=scale)

    def norm(self, name: str, size: int) -> None:
        is_parallel = name == "post_attention_layernorm" and self.flag("use_parallel_residual")
        if not is_parallel:
            super().norm(name, size)


class Starcoder2(Decoder):
    """StarCoder 2. Lozhkov et al. 2024, arXiv:2402.19173."""

    model_types = ("starcoder2",)
    classes = "Starcoder2"
    defaults = {
        "vocab_size": 49152,
        "hidden_size": 3072,
        "intermediate_size": 12288,
        "num_hidden_layers": 30,
        "num_attention_heads": 24,
        "num_key_value_heads": 2,
        "hidden_act": "gelu_pytorch_tanh",
        "initializer_range": 0.018042,
        "norm_epsilon": 1e-5,
        "use_bias": True,
        "tie_word_embeddings": True,
    }
    norm_kind = "LayerNorm"
    epsilon_key = "norm_epsilon"
    qkv_bias = out_bias = mlp_bias = "use_bias"
    mlp = "plain"
    mlp_names = ("c_fc", "c_proj")


class Glm(Decoder):
    """GLM 4. arXiv:2406.12793."""

    model_types = ("glm",)
    classes = "Glm"
    defaults = {
        "rms_norm_eps": 1.5625e-7,
        "vocab_size": 151552,
        "intermediate_size": 13696,
        "num_hidden_layers": 40,
        "num_key_value_heads": 2,
        "head_dim": 128,
        "pad_token_id": 151329,
        "attention_bias": True,
    }
    out_bias = False
    mlp = "packed"
    mlp_names = ("gate_up_proj", "down_proj")


class Glm4(Glm):
    """GLM 4 of 2025, with norms on both sides."""

    model_types = ("glm4",)
    classes = "Glm4"
    block_norms = (
        *("input_layernorm", "post_attention_layernorm"),
        *("post_self_attn_layernorm", "post_mlp_layernorm"),
    )
    double_norms = (
        *("post_self_attn_layernorm", "post_attention_layernorm"),
        "post_mlp_layernorm",
    )


class Helium(Decoder):
    """Helium. Kyutai 2025."""

    model_types = ("helium",)
    classes = "Helium"
    defaults = {
        "rms_norm_eps": 1e-8,
        "vocab_size": 48000,
        "hidden_size": 2560,
        "intermediate_size": 7040,
        "num_hidden_layers": 24,
        "num_attention_heads": 20,
        "num_key_value_heads": 20,
        "head_dim": 128,
        "pad_token_id": 3,
    }
    is_square = True
    out_bias = False
    mlp_bias = "mlp_bias"


class Nemotron(Decoder):
    """Nemotron 4. Parmar et al. 2024, arXiv:2402.16819."""

    model_types = ("nemotron",)
    classes = "Nemotron"
    heads = ANSWERING
    defaults = {
        "vocab_size": 256000,
        "hidden_size": 6144,
        "intermediate_size": 24576,
        "num_attention_heads": 48,
        "hidden_act": "relu2",
        "initializer_range": 0.0134,
        "norm_eps": 1e-5,
    }
    norm_kind = "LayerNorm"
    norm_offset = 1.0
    epsilon_key = "norm_eps"
    mlp = "plain"
    mlp_names = ("up_proj", "down_proj")
    mlp_bias = "mlp_bias"


class Exaone4(Decoder):
    """EXAONE 4. arXiv:2507.11407."""

    model_types = ("exaone4",)
    classes = "Exaone4"
    heads = ANSWERING
    defaults = {
        "rms_norm_eps": 1e-5,
        "vocab_size": 102400,
        "intermediate_size": 16384,
        "num_key_value_heads": 32,
    }
    qkv_bias = out_bias = False
    has_qk_norm = True
    block_norms = ("post_attention_layernorm", "post_feedforward_layernorm")


class Arcee(Decoder):
    """AFM 4.5B. Arcee 2025."""

    model_types = ("arcee",)
    classes = "Arcee"
    heads = ANSWERING
    defaults = {
        "rms_norm_eps": 1e-5,
        "vocab_size": 32000,
        "hidden_size": 2560,
        "intermediate_size": 18432,
        "hidden_act": "relu2",
    }
    mlp = "plain"
    mlp_names = ("up_proj", "down_proj")
    mlp_bias = "mlp_bias"
    must_divide = True


class SeedOss(Decoder):
    """Seed-OSS. ByteDance 2025."""

    model_types = ("seed_oss",)
    classes = "SeedOss"
    heads = ANSWERING
    defaults = {
        "vocab_size": 155136,
        "intermediate_size": 27648,
        "num_hidden_layers": 64,
        "num_attention_heads": 80,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "pad_token_id": 1,
        "attention_bias": True,
    }
    out_bias = "attention_out_bias"
    mlp_bias = "mlp_bias"


class Ernie45(Decoder):
    """ERNIE 4.5. Baidu 2025."""

    model_types = ("ernie4_5",)
    classes = "Ernie4_5"
    heads = GENERATING
    defaults = {
        "rms_norm_eps": 1e-5,
        "vocab_size": 103424,
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "num_hidden_layers": 18,
        "num_attention_heads": 16,
        "num_key_value_heads": 2,
        "head_dim": 128,
        "pad_token_id": 0,
        "tie_word_embeddings": True,
    }
    qkv_bias = out_bias = mlp_bias = "use_bias"


class HunYuanDense(Decoder):
    """Hunyuan, dense. Tencent 2025."""

    model_types = ("hunyuan_v1_dense",)
    classes = "HunYuanDenseV1"
    heads = CLASSIFYING
    defaults = {
        "rms_norm_eps": 1e-5,
        "vocab_size": 290943,
        "intermediate_size": 11008,
        "pad_token_id": 0,
    }
    has_qk_norm = True
    qk_norms = ("query_layernorm", "key_layernorm")


class DiffLlama(Decoder):
    """The differential transformer. Ye et al. 2024, arXiv:2410.05258."""

    model_types = ("diffllama",)
    classes = "DiffLlama"
    heads = ANSWERING
    defaults = {
        "vocab_size": 32000,
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "lambda_std_dev": 0.1,
    }

    def attention(self, index: int) -> None:
        super().attention(index)
        drawn = Tensor((self.head_dim,), normal(self.config.number("lambda_std_dev")))
        names = ("lambda_q1", "lambda_k1", "lambda_q2", "lambda_k2")
        self.modules.add("", "Attention", **dict.fromkeys(names, drawn))


class BitNet(Decoder):
    """BitNet b1.58. Ma et al. 2024, arXiv:2402.17764."""

    model_types = ("bitnet",)
    classes = "BitNet"
    heads = GENERATING
    defaults = {
        "vocab_size": 128256,
        "hidden_size": 2560,
        "intermediate_size": 6912,
        "num_hidden_layers": 30,
        "num_attention_heads": 20,
        "num_key_value_heads": 5,
        "hidden_act": "relu2",
    }

    def attention(self, index: int) -> None:
        super().attention(index)
        self.norm("attn_sub_norm", self.width)

    def dense(self, size: int) -> None:
        super().dense(size)
        self.norm("ffn_sub_norm", size)
