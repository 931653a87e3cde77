"""The language models of Gemma since 3n, of which blocks have inputs of their own."""

from __future__ import annotations

import math
from typing import ClassVar

from initcli.sources.huggingface.config import Config
from initcli.sources.huggingface.entries import NotComputed
from initcli.sources.huggingface.families.decoder import AROUND, Decoder
from initcli.sources.huggingface.families.moe import Experts
from initcli.sources.huggingface.modules import ONE, ZERO, Tensor
from initcli.sources.huggingface.stack import Heads, Stack


class Layered(Decoder):
    """The skeleton: tables with a vector for each block, and blocks that take keys of others."""

    heads = ("ForCausalLM", "TextModel")
    activation_key = "hidden_activation"
    block_norms = AROUND
    has_qk_norm = True
    pattern: ClassVar[int]
    """Of so many blocks, one sees all tokens."""

    def embeddings(self) -> None:
        super().embeddings()
        size = self.layer_size
        if not size:
            return
        rows, all_layers = self.config.size("vocab_size_per_layer_input"), self.num_blocks * size
        padding = self.config.index("pad_token_id", rows)
        self.modules.embedding("embed_tokens_per_layer", rows, all_layers, padding)
        self.modules.linear("per_layer_model_projection", self.width, all_layers, False)
        self.norm("per_layer_projection_norm", size)

    def block(self, index: int) -> None:
        super().block(index)
        if self.layer_size:
            self.modules.linear("per_layer_input_gate", self.width, self.layer_size, False)
            self.modules.linear("per_layer_projection", self.layer_size, self.width, False)
            self.norm("post_per_layer_input_norm", self.width)

    def attention(self, index: int) -> None:
        bias, width, size = self.flag(self.qkv_bias), self.width, self.head_size(index)
        queries, keys = self.num_heads * size, self.keys_of(index) * size
        self.linear("q_proj", width, queries, bias)
        self.norm("q_norm", size)
        if not self.is_sharing(index):
            self.linear("k_proj", width, keys, bias)
            self.norm("k_norm", size)
            if self.has_values(index):
                self.linear("v_proj", width, keys, bias)
        self.linear("o_proj", queries, width, bias)

    def is_sharing(self, index: int) -> bool:
        """Whether a block takes keys and values of one before it."""
        return index >= self.num_blocks - self.config.size("num_kv_shared_layers", 0)

    def sees_all(self, index: int) -> bool:
        """Whether attention has no window in that block."""
        kind = self.kind(index, "layer_types", ("full_attention", "sliding_attention"))
        return (index + 1) % self.pattern == 0 if kind is None else kind == "full_attention"

    def head_size(self, index: int) -> int:
        """The size of a head in that block."""
        return self.head_dim

    def keys_of(self, index: int) -> int:
        """The number of heads of keys in that block."""
        return self.num_keys

    def has_values(self, index: int) -> bool:
        """Whether values are other than keys in that block."""
        return True

    def compute_blocks(self, stack: Stack, takes: str) -> str:
        self.embedded, stream = takes, takes
        self.kept: dict[bool, tuple[str, str]] = {}
        stack.hold("per_layer_projection_norm")  # Its scale, which all blocks share, is 1.
        if self.layer_size:
            self.own_table = stack.tensor("embed_tokens_per_layer.weight")
            self.own_projection = stack.tensor("per_layer_model_projection.weight")
        for index in range(self.num_blocks):
            with stack.block(self.blocks, index, stream):
                self.compute_block(stack, index)
            stream = stack.last
            if not self.is_sharing(index):
                names = ("self_attn.k_norm.joined", "self_attn.v_norm.joined")
                key, value = map(stack.inside_last, names)
                self.kept[self.sees_all(index)] = key, value
        return self.compute_norm(stack, self.last_norm, stream)

    def compute_block(self, stack: Stack, index: int) -> None:
        super().compute_block(stack, index)
        if not self.layer_size:
            return
        stream = stack.last
        inner = stack.dense("per_layer_input_gate", stream, self.activation)
        inner = stack.product("per_layer_input", inner, self.compute_layer_input(stack))
        inner = stack.dense("per_layer_projection", inner)
        inner = self.compute_norm(stack, "post_per_layer_input_norm", inner)
        stack.sum("per_layer_input.sum", stream, inner)

    def compute_layer_input(self, stack: Stack) -> str:
        """Add the input of a block: its part of a table, and of a projection of all vectors."""
        size, table, projection = self.layer_size, self.own_table, self.own_projection
        own = stack.add(
            *("Embedding", "embed_tokens_per_layer", "tokens"),
            input_dim=table.shape[0],
            output_dim=size,
            embeddings_initializer=stack.filled(table.initializer),
        )
        own = stack.scaled("embed_tokens_per_layer.scaled", own, math.sqrt(size))
        if seen := stack.steps - self.num_tokens:
            # An image has the row of the padding, which is 0.
            own = stack.add("ZeroPadding1D", "embed_tokens_per_layer.all", own, padding=[seen, 0])
        other = stack.add(
            *("Dense", "per_layer_model_projection", self.embedded),
            units=size,
            use_bias=False,
            kernel_initializer=stack.filled(projection.initializer),
        )
        other = stack.scaled("per_layer_model_projection.scaled", other, self.width**-0.5)
        other = stack.norm("per_layer_projection_norm", other, "", self.epsilon)
        both = stack.sum("per_layer_inputs", own, other)
        return stack.scaled("per_layer_inputs.scaled", both, math.sqrt(0.5))

    def compute_attention(self, stack: Stack, takes: str, index: int) -> str:
        heads = Heads(self.num_heads, self.keys_of(index), self.head_size(index))
        queries, keys, size = heads

        def normed(part: str, vectors: str, count: int, kind: str = "RMSNorm") -> str:
            return stack.norm_of_heads(part, vectors, count, size, kind, self.epsilon)

        query = stack.dense("self_attn.q_proj", takes)
        query = normed("self_attn.q_norm", query, queries)
        if self.is_sharing(index) and self.sees_all(index) not in self.kept:
            raise NotComputed("blocks that take keys of none before them")
        if self.is_sharing(index):
            key, value = self.kept[self.sees_all(index)]
        else:
            key = value = stack.dense("self_attn.k_proj", takes)
            if self.has_values(index):
                value = stack.dense("self_attn.v_proj", takes)
            key = normed("self_attn.k_norm", key, keys)
            value = normed("self_attn.v_norm", value, keys, "")
        mixed = stack.attend("self_attn", query, key, value, heads, causal=True, scale=1.0)
        return stack.dense("self_attn.o_proj", mixed)

    @property
    def epsilon(self) -> float:
        """What normalizations add to the mean square."""
        return self.config.number(self.epsilon_key)

    @property
    def layer_size(self) -> int:
        """The size of a block's own input; 0 where there is none."""
        return self.config.size("hidden_size_per_layer_input", 0)

    @property
    def embedding_scale(self) -> float:
        return math.sqrt(self.width)


class Gemma3n(Layered):
    """The language model of Gemma 3n, with several streams. Google 2025."""

    model_types = ("gemma3n_text",)
    pattern = 5

    def embeddings(self) -> None:
        super().embeddings()
        for index in range(self.num_streams - 1):
            for name in ("altup_projections", "altup_unembed_projections"):
                self.modules.linear(f"{name}.{index}", self.width, self.width, False)

    def block(self, index: int) -> None:
        super().block(index)
        modules, width, streams = self.modules, self.width, self.num_streams
        with modules.within("altup"):
            modules.add("", "AltUp", correct_output_scale=Tensor((width,), ZERO))
            modules.linear("correction_coefs", streams, streams, False)
            modules.linear("prediction_coefs", streams, streams**2, False)
            modules.linear("modality_router", width, streams, False)
            self.norm("router_norm", width)
        rank = self.config.size("laurel_rank")
        with modules.within("laurel"):
            modules.linear("linear_left", width, rank, False)
            modules.linear("linear_right", rank, width, False)
            self.norm("post_laurel_norm", width)

    def feed_forward(self, index: int) -> None:
        size = self.config.value(self.hidden_key)
        if isinstance(size, list | tuple):
            sizes = self.config.numbers(self.hidden_key, self.num_blocks, 1)
            inner = sizes[index] if sizes else 1
        else:
            inner = self.hidden
        with self.modules.within(self.mlp_name):
            self.dense(inner)

    def compute_blocks(self, stack: Stack, takes: str) -> str:
        stack.hold("embed_tokens_per_layer")
        stack.hold("per_layer_model_projection")
        stack.hold("altup_projections")
        stack.hold("altup_unembed_projections")
        return super().compute_blocks(stack, takes)

    def compute_block(self, stack: Stack, index: int) -> None:
        shape = (stack.steps, self.width)
        stack.unknown("altup", "input", "block with alternating updates", shape, "")

    @property
    def num_streams(self) -> int:
        """The number of streams."""
        return self.config.size("altup_num_inputs")


class Gemma4(Layered, Experts):
    """The language model of Gemma 4. Google 2026."""

    model_types = ("gemma4_text",)
    defaults = {"global_head_dim": 512}
    pattern = 6
    experts_key = "num_experts"
    top_k_key = "top_k_experts"

    def feed_forward(self, index: int) -> None:
        is_wide = self.config.flag("use_double_wide_mlp") and self.is_sharing(index)
        with self.modules.within(self.mlp_name):
            self.dense(self.hidden * (2 if is_wide else 1))
        self.modules.add("", "Block", layer_scalar=Tensor((1,), ONE, trainable=False))
        if self.is_mixture(index):
            self.mixture()

    def is_mixture(self, index: int) -> bool:
        return self.config.flag("enable_moe_block")

    def mixture(self) -> None:
        scales = {"scale": self.width, "per_expert_scale": self.num_experts}
        tensors = {name: Tensor((size,), ONE) for name, size in scales.items()}
        self.modules.add("router", "Router", **tensors)
        self.modules.linear("router.proj", self.width, self.num_experts, False)
        self.experts()
        for name in ("post_feedforward_layernorm_1", "post_feedforward_layernorm_2"):
            self.norm(name, self.width)
        self.norm("pre_feedforward_layernorm_2", self.width)

    def compute_feed_forward(self, stack: Stack, takes: str, index: int) -> str:
        stack.hold("layer_scalar")  # It is 1.
        dense = self.compute_dense(stack, self.mlp_name, takes)
        if not self.is_mixture(index):
            return dense
        stack.hold("router.scale")
        stack.hold("router.per_expert_scale")
        stack.notes["the signal leaves out the factor 1/√width on what routers take"] = None
        dense = self.compute_norm(stack, "post_feedforward_layernorm_1", dense)
        stream = f"{self.attention_name}.sum"
        normed = self.compute_norm(stack, "pre_feedforward_layernorm_2", stream)
        top_k = min(self.top_k(index), self.num_experts)
        mixed = stack.experts("experts", "router.proj", normed, top_k, self.activation)
        mixed = self.compute_norm(stack, "post_feedforward_layernorm_2", mixed)
        return stack.sum("mlp.mixture", dense, mixed)

    def own_sizes(self, index: int) -> Config | None:
        """The sizes of a block, where the library has written them for each."""
        if self.config.is_null("per_layer_config"):
            return None
        usual = {"head_dim": self.head_dim, "num_key_value_heads": self.num_keys}
        return self.config.part("per_layer_config", {}, {}).part(str(index), usual, {})

    def head_size(self, index: int) -> int:
        if own := self.own_sizes(index):
            return own.size("head_dim")
        return self.config.size("global_head_dim") if self.sees_all(index) else self.head_dim

    def keys_of(self, index: int) -> int:
        if own := self.own_sizes(index):
            return own.size("num_key_value_heads")
        key = "num_global_key_value_heads"
        is_other = self.sees_all(index) and self.config.flag("attention_k_eq_v")
        if not is_other or self.config.is_null(key):
            return self.num_keys
        return self.config.size(key)

    def has_values(self, index: int) -> bool:
        return not (self.config.flag("attention_k_eq_v") and self.sees_all(index))

    def sees_all(self, index: int) -> bool:
        return super().sees_all(index) or index == self.num_blocks - 1
