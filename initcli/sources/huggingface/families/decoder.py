"""The skeleton of decoders: an embedding, blocks, a last normalization, and a head."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import ClassVar, Literal, NamedTuple

from initcli.initializers import Initializer
from initcli.sources.huggingface.config import Config
from initcli.sources.huggingface.family import Family
from initcli.sources.huggingface.modules import ZERO, Modules, Tensor, normal
from initcli.sources.huggingface.stack import Heads, Stack

NormKind = Literal["RMSNorm", "LayerNorm", ""]
"""Kinds of normalization; the last has no weights."""


class Norms(NamedTuple):
    """Names of the normalizations of a block; what has an empty name is not there."""

    before_attention: str = ""
    before_mlp: str = ""
    after_attention: str = ""
    after_mlp: str = ""


BEFORE = Norms("input_layernorm", "post_attention_layernorm")
AFTER = Norms(after_attention="post_attention_layernorm", after_mlp="post_feedforward_layernorm")
AROUND = Norms("input_layernorm", "pre_feedforward_layernorm", *AFTER[2:])
ONE = Norms("input_layernorm")


class Decoder(Family):
    """A stack of blocks, each with attention and a feed-forward layer that are added to a stream.

    Those of Llama are the values of all attributes here.
    """

    heads: ClassVar[tuple[str, ...]] = (
        *("ForCausalLM", "LMHeadModel", "Model", "ForSequenceClassification"),
        *("ForTokenClassification", "ForQuestionAnswering"),
    )
    body_name: ClassVar[str] = "model"
    question_prefix: ClassVar[str] = ""
    """Name of the body in the class for answering questions, where it is another."""
    table: ClassVar[str] = "embed_tokens"
    positions: ClassVar[str] = ""
    """Name of the table of positions, if there is one."""
    blocks: ClassVar[str] = "layers"
    embedding_norm: ClassVar[str] = ""
    final_norm: ClassVar[str] = "norm"
    norm_kind: ClassVar[NormKind] = "RMSNorm"
    norm_start: ClassVar[float] = 1.0
    norm_offset: ClassVar[float] = 0.0
    """What norms add to their scale."""
    epsilon_key: ClassVar[str] = "rms_norm_eps"
    is_parallel: ClassVar[bool | str] = False
    """Whether attention and feed-forward layer take the same input."""
    block_norms: ClassVar[Norms] = BEFORE
    attention_name: ClassVar[str] = "self_attn"
    qkv: ClassVar[tuple[str, ...]] = ("q_proj", "k_proj", "v_proj")
    """Names of the projections to queries, keys and values, or of one for all."""
    qkv_bias: ClassVar[bool | str] = "attention_bias"
    out: ClassVar[str] = "o_proj"
    out_bias: ClassVar[bool | str] = "attention_bias"
    is_causal: ClassVar[bool] = True
    is_square: ClassVar[bool] = False
    """Whether the output projection takes as many inputs as the stream is wide."""
    keys_key: ClassVar[str] = "num_key_value_heads"
    """The key of the number of heads of keys and values; empty where each head has its own."""
    head_dim_key: ClassVar[str] = "head_dim"
    """The key of the size of a head; empty where it follows from the width."""
    must_divide: ClassVar[bool] = False
    """Whether heads must divide the width even where the size of a head is given."""
    has_qk_norm: ClassVar[bool | str] = False
    qk_norms: ClassVar[tuple[str, str]] = ("q_norm", "k_norm")
    qk_norm_over: ClassVar[Literal["head", "all"]] = "head"
    has_own_mixing: ClassVar[bool] = False
    """Whether the family computes otherwise than usual what attention mixes."""
    mlp_name: ClassVar[str] = "mlp"
    mlp: ClassVar[Literal["gated", "packed", "plain"]] = "gated"
    mlp_names: ClassVar[tuple[str, ...]] = ("gate_proj", "up_proj", "down_proj")
    mlp_bias: ClassVar[bool | str] = False
    hidden_key: ClassVar[str] = "intermediate_size"
    activation_key: ClassVar[str] = "hidden_act"
    head_name: ClassVar[str] = "lm_head"
    head_bias: ClassVar[bool | str] = False
    label_head: ClassVar[str] = "score"
    """Name of the head over labels of tokens."""
    class_head: ClassVar[str] = "score"
    """Name of the head over classes of texts."""
    pads: ClassVar[bool] = True
    """Whether the row of the padding starts at 0."""

    def __init__(self, model_type: str, config: Config, modules: Modules) -> None:
        super().__init__(model_type, config, modules)
        self._kinds: dict[str, tuple[str, ...]] = {}

    def describe(self, head: str) -> None:
        with self.modules.within(self.prefix(head).removesuffix(".")):
            self.body()
        self.add_head(head)

    def prefix(self, head: str) -> str:
        """What the names of the body's modules begin with, in the class with that end."""
        if head in ("Model", "TextModel"):
            return ""
        if head == "ForQuestionAnswering" and self.question_prefix:
            return f"{self.question_prefix}."
        return f"{self.body_name}." if self.body_name else ""

    def body(self) -> None:
        """Add all modules but the head."""
        self.check()
        self.embeddings()
        for index in range(self.num_blocks):
            with self.modules.within(f"{self.blocks}.{index}"):
                self.block(index)
        if self.last_norm:
            self.norm(self.last_norm, self.width)

    def check(self) -> None:
        """Report values on which no tensor depends."""
        if self.activation_key:
            self.config.activation(self.activation_key)

    def embeddings(self) -> None:
        """Add the tables of tokens and positions."""
        padding = self.config.index("pad_token_id", self.num_rows) if self.pads else None
        self.modules.embedding(self.table, self.num_rows, self.table_width, padding, self.table_std)
        if self.positions:
            self.modules.embedding(self.positions, self.num_positions, self.width)
        if self.embedding_norm:
            self.norm(self.embedding_norm, self.table_width)

    def block(self, index: int) -> None:
        """Add one block."""
        with self.modules.within(self.attention_name):
            self.attention(index)
        self.feed_forward(index)
        for name in dict.fromkeys(filter(None, self.norms)):
            self.norm(name, self.width)

    def attention(self, index: int) -> None:
        """Add the projections of attention, and the norms of its queries and keys."""
        queries, keys = self.num_heads * self.head_dim, self.num_keys * self.head_dim
        bias = self.flag(self.qkv_bias)
        sizes = (queries, keys, keys) if len(self.qkv) > 1 else (queries + 2 * keys,)
        for name, size in zip(self.qkv, sizes, strict=True):
            self.linear(name, self.width, size, bias)
        self.linear(
            self.out,
            self.width if self.is_square else queries,
            self.width,
            self.flag(self.out_bias),
        )
        if self.norms_queries(index):
            for name, heads in zip(self.qk_norms, (self.num_heads, self.num_keys), strict=True):
                self.query_norm(name, heads)

    def norms_queries(self, index: int) -> bool:
        """Whether that block normalizes queries and keys."""
        return self.flag(self.has_qk_norm)

    def query_norm(self, name: str, heads: int) -> None:
        """Add the norm of queries or keys: of a head, or of all at once."""
        self.norm(name, self.head_dim * (1 if self.qk_norm_over == "head" else heads))

    def feed_forward(self, index: int) -> None:
        """Add the feed-forward layer of a block."""
        with self.modules.within(self.mlp_name):
            self.dense(self.hidden)

    def dense(self, size: int) -> None:
        """Add the projections of a feed-forward layer of that width."""
        bias = self.flag(self.mlp_bias)
        *into, out = self.mlp_names
        for name in into:
            self.linear(name, self.width, size * (2 if self.mlp == "packed" else 1), bias)
        self.linear(out, size, self.width, bias)

    def linear(self, name: str, inputs: int, outputs: int, bias: bool = True) -> None:
        """Add a projection of a block."""
        self.modules.linear(name, inputs, outputs, bias)

    def norm(self, name: str, size: int) -> None:
        """Add a normalization of the family's kind; nothing where it has no weights."""
        if self.norm_kind:
            self.modules.norm(name, size, self.norm_kind, self.norm_start)

    def add_head(self, head: str) -> None:
        """Add the head of the class with that end of its name."""
        config, modules, width = self.config, self.modules, self.table_width
        match head.removeprefix("Text"):
            case "ForCausalLM" | "LMHeadModel":
                name, bias = self.head_name, self.flag(self.head_bias)
                if not self.is_tied(head):
                    modules.linear(name, width, self.num_rows, bias)
                    return
                modules.tie_within(f"{name}.weight", f"{self.prefix(head)}{self.table}.weight", "")
                if bias:
                    modules.add(name, "Linear", bias=Tensor((self.num_rows,), ZERO))
            case "ForSequenceClassification":
                modules.linear(self.class_head, width, config.labels, False)
            case "ForTokenClassification":
                modules.linear(self.label_head, width, config.labels)
            case "ForQuestionAnswering":
                modules.linear("qa_outputs", width, 2)

    def compute(self, stack: Stack, head: str) -> None:
        tokens = self.token_ids(stack)
        with stack.within(self.prefix(head).removesuffix(".")):
            if self.is_tied(head):
                stack.will_tie(self.table)
            table = stack.embedding(self.table, tokens)
            stream = self.compute_blocks(stack, self.compute_embeddings(stack, table))
        self.compute_head(stack, head, stream, table)

    def compute_embeddings(self, stack: Stack, takes: str) -> str:
        """Add what becomes of the vectors of tokens before the blocks."""
        stream = stack.scaled("embed_scale", takes, self.embedding_scale)
        if self.positions:
            stream = stack.positions(self.positions, stream)
        return self.compute_norm(stack, self.embedding_norm, stream)

    def compute_blocks(self, stack: Stack, takes: str) -> str:
        """Add the blocks, and the normalization behind them."""
        stream = takes
        for index in range(self.num_blocks):
            with stack.block(self.blocks, index, stream):
                self.compute_block(stack, index)
            stream = stack.last
        return self.compute_norm(stack, self.last_norm, stream)

    def compute_block(self, stack: Stack, index: int) -> None:
        """Add what one block computes."""
        norms, is_parallel, attention = self.norms, self.flag(self.is_parallel), self.attention_name
        normed = self.compute_norm(stack, norms.before_attention, "input")
        out = self.compute_attention(stack, normed, index)
        out = self.compute_norm(stack, norms.after_attention, out)
        out = stack.scaled(f"{attention}.scaled", out, self.residual_scale)
        middle = "input" if is_parallel else stack.sum(f"{attention}.sum", "input", out)
        if norms.before_mlp or not is_parallel:
            normed = self.compute_norm(stack, norms.before_mlp, middle)
        inner = self.compute_feed_forward(stack, normed, index)
        inner = self.compute_norm(stack, norms.after_mlp, inner)
        inner = stack.scaled(f"{self.mlp_name or 'mlp'}.scaled", inner, self.residual_scale)
        stack.sum("mlp.sum", middle, *([out] if is_parallel else []), inner)

    def compute_attention(self, stack: Stack, takes: str, index: int) -> str:
        """Add what attention computes."""
        scope, scale, causal = self.attention_name, self.attention_scale, self.is_causal
        heads = Heads(self.num_heads, self.num_keys, self.head_dim)
        out = f"{scope}.{self.out}"
        self.compute_sinks(stack)
        is_plain = scale is None or math.isclose(scale, self.head_dim**-0.5)
        if is_plain and not self.norms_queries(index) and not self.has_own_mixing:
            names = self.qkv if len(self.qkv) > 1 else self.qkv * 3
            query, key, value = (f"{scope}.{name}" for name in names)
            return stack.attention(scope, takes, heads, (query, key, value), out, causal=causal)
        query, key, value = self.compute_projections(stack, takes)
        if self.norms_queries(index):
            of_query, of_key = (f"{scope}.{name}" for name in self.qk_norms)
            query = self.compute_query_norm(stack, of_query, query, heads.queries)
            key = self.compute_query_norm(stack, of_key, key, heads.keys)
        mixed = stack.attend(scope, query, key, value, heads, causal=causal, scale=scale)
        return stack.dense(out, self.compute_mixed(stack, takes, mixed))

    def compute_sinks(self, stack: Stack) -> None:
        """Leave out the sinks of attention."""
        what = "the sinks of attention, of which each is one key more"
        stack.leave_out(f"{self.attention_name}.sinks", what)

    def compute_projections(self, stack: Stack, takes: str) -> tuple[str, str, str]:
        """Add the projections to queries, keys and values."""
        names = [f"{self.attention_name}.{name}" for name in self.qkv]
        heads = Heads(self.num_heads, self.num_keys, self.head_dim)
        return stack.projections(names, takes, heads)

    def compute_query_norm(self, stack: Stack, name: str, takes: str, heads: int) -> str:
        """Add the norm of queries or keys: of a head, or of all at once."""
        if self.qk_norm_over == "all":
            return self.compute_norm(stack, name, takes)
        split = stack.in_heads(name, takes, heads, self.head_dim)
        return stack.joined(name, self.compute_norm(stack, name, split), heads * self.head_dim)

    def compute_mixed(self, stack: Stack, takes: str, mixed: str) -> str:
        """Add what stands between the mixed values and their projection."""
        return mixed

    def compute_feed_forward(self, stack: Stack, takes: str, index: int) -> str:
        """Add what the feed-forward layer computes."""
        return self.compute_dense(stack, self.mlp_name, takes)

    def compute_dense(self, stack: Stack, name: str, takes: str) -> str:
        """Add what the projections of a feed-forward layer of that name compute."""
        scope = f"{name}." if name else ""
        *into, out = (f"{scope}{each}" for each in self.mlp_names)
        if self.mlp == "plain":
            inner = stack.dense(into[0], takes, self.activation)
        else:
            inner = stack.gated(f"{scope}product", into, takes, self.activation)
        return stack.dense(out, inner)

    def compute_norm(self, stack: Stack, name: str, takes: str) -> str:
        """Add what a normalization of the family computes; nothing without a name."""
        if not name:
            return takes
        epsilon = self.config.number(self.epsilon_key) if self.epsilon_key else 0.0
        return stack.norm(name, takes, self.norm_kind, epsilon or 1e-5, self.norm_offset)

    def compute_head(self, stack: Stack, head: str, takes: str, table: str) -> None:
        """Add what the head computes."""
        match head.removeprefix("Text"):
            case "ForCausalLM" | "LMHeadModel" if self.is_tied(head):
                stack.leave_out(self.head_name, "the bias of the head, which starts at 0")
                logits = stack.tied(self.head_name, table, takes)
            case "ForCausalLM" | "LMHeadModel":
                logits = stack.dense(self.head_name, takes)
            case "ForSequenceClassification":
                stack.dense(self.class_head, takes)
                return
            case "ForTokenClassification":
                stack.dense(self.label_head, takes)
                return
            case "ForQuestionAnswering":
                stack.dense("qa_outputs", takes)
                return
            case _:
                return
        stack.scaled("logit_scale", logits, self.logit_scale)

    def is_tied(self, head: str) -> bool:
        """Whether the class has a head that is the table of tokens."""
        is_language_model = head.removeprefix("Text") in ("ForCausalLM", "LMHeadModel")
        return is_language_model and self.config.flag("tie_word_embeddings")

    def kind(self, index: int, key: str, choices: Iterable[str]) -> str | None:
        """The word of a list that says what a block is; None where there is no list."""
        if key not in self._kinds:
            self._kinds[key] = self.config.words(key, choices, self.num_blocks)
        given = self._kinds[key]
        return given[index] if given else None

    def drawn(self, std: float | None = None) -> Initializer:
        """The initializer of a weight, of the std of most weights if none is given."""
        return normal(self.modules.std if std is None else std)

    @property
    def norms(self) -> Norms:
        """The normalizations of a block."""
        return self.block_norms

    @property
    def last_norm(self) -> str:
        """The name of the normalization behind all blocks; empty if there is none."""
        return self.final_norm

    @property
    def activation(self) -> str:
        """The activation of the feed-forward layer."""
        return self.config.text(self.activation_key)

    @property
    def embedding_scale(self) -> float:
        """What the vectors of tokens are multiplied by."""
        return 1.0

    @property
    def residual_scale(self) -> float:
        """What is multiplied before it is added to the stream."""
        return 1.0

    @property
    def attention_scale(self) -> float | None:
        """What the scores of attention are multiplied by, if it is not 1/√head_dim."""
        return None

    @property
    def logit_scale(self) -> float:
        """What the logits are multiplied by."""
        return 1.0

    @property
    def num_rows(self) -> int:
        """The number of tokens in the vocabulary."""
        return self.config.size("vocab_size")

    @property
    def num_positions(self) -> int:
        """The number of rows of the table of positions."""
        return self.config.size(self.positions_key)

    @property
    def num_blocks(self) -> int:
        """The number of blocks."""
        return self.config.size("num_hidden_layers", 0)

    @property
    def width(self) -> int:
        """The size of the residual stream."""
        return self.config.size("hidden_size")

    @property
    def table_width(self) -> int:
        """The size of the vectors of tokens."""
        return self.width

    @property
    def table_std(self) -> float | None:
        """The standard deviation of the vectors of tokens, if it is not that of most weights."""
        return None

    @property
    def hidden(self) -> int:
        """The width of the feed-forward layer."""
        return self.config.size(self.hidden_key)

    @property
    def num_heads(self) -> int:
        """The number of heads of attention."""
        return self.config.size("num_attention_heads")

    @property
    def num_keys(self) -> int:
        """The number of heads of keys and values."""
        given = self.config.optional_size(self.keys_key) if self.keys_key else None
        return given or self.num_heads

    @property
    def head_dim(self) -> int:
        """The size of one head."""
        given = self.config.optional_size(self.head_dim_key) if self.head_dim_key else None
        is_strict = self.must_divide or not self.head_dim_key
        if given is not None and not is_strict:
            return given
        each = self.config.quotient("hidden_size", "num_attention_heads", is_strict=is_strict)
        return each if given is None else given
