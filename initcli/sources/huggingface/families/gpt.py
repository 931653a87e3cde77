"""GPT-2 and GPT-NeoX, and decoders that follow them."""

from __future__ import annotations

import math
from typing import ClassVar

from initcli.sources.huggingface.families.llama import ANSWERING, GENERATING, LABELING, Decoder
from initcli.sources.huggingface.family import Family
from initcli.sources.huggingface.stack import Heads, NotComputed, Stack


class Gpt2(Family):
    """GPT-2, of which projections back to the stream start at std/√(2·layers).

    Radford et al. 2019.
    """

    model_types: ClassVar[tuple[str, ...]] = ("gpt2", "gpt-sw3")
    classes = "GPT2"
    heads: ClassVar[tuple[str, ...]] = (
        *("LMHeadModel", "Model", "ForSequenceClassification"),
        *("ForTokenClassification", "ForQuestionAnswering"),
    )
    defaults = {
        "vocab_size": 50257,
        "n_positions": 1024,
        "n_embd": 768,
        "n_layer": 12,
        "n_head": 12,
        "n_inner": None,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "initializer_range": 0.02,
        "tie_word_embeddings": True,
    }
    head_bias: ClassVar[bool] = False
    positions_key: ClassVar[str] = "n_positions"
    aliases = {
        "hidden_size": "n_embd",
        "num_hidden_layers": "n_layer",
        "num_attention_heads": "n_head",
        "max_position_embeddings": "n_positions",
    }

    def describe(self, head: str) -> None:
        modules, width = self.modules, self.config.size("n_embd")
        with modules.within("" if head == "Model" else "transformer"):
            self.body(width)
        self.add_head(head, width, "transformer.wte.weight", bias=self.head_bias)

    def body(self, width: int) -> None:
        """Add all modules but the head."""
        config, modules = self.config, self.modules
        config.activation("activation_function")
        config.quotient("n_embd", "n_head")
        layers = config.size("n_layer", 0)
        modules.embedding("wte", config.size("vocab_size"), width)
        modules.embedding("wpe", config.size("n_positions"), width)
        hidden = config.optional_size("n_inner") or 4 * width
        back = config.number("initializer_range") / math.sqrt(2 * max(layers, 1))
        for index in range(layers):
            with modules.within(f"h.{index}"):
                modules.norm("ln_1", width)
                with modules.within("attn"):
                    self.projection("c_attn", width, self.packed(width))
                    self.projection("c_proj", width, width, back)
                modules.norm("ln_2", width)
                if config.flag("add_cross_attention"):
                    self.cross_attention(width, back)
                with modules.within("mlp"):
                    self.projection("c_fc", width, hidden)
                    self.projection("c_proj", hidden, width, back)
        modules.norm("ln_f", width)

    def compute(self, stack: Stack, head: str) -> None:
        config, prefix = self.config, "" if head == "Model" else "transformer."
        if config.flag("add_cross_attention"):
            raise NotComputed("attention to the output of an encoder")
        width, count = config.size("n_embd"), config.size("n_head")
        keys = 1 if self.packed(width) < 3 * width else count
        heads = Heads(count, keys, config.quotient("n_embd", "n_head"))
        epsilon = config.number("layer_norm_epsilon") or 1e-5
        activation = config.text("activation_function")
        table = f"{prefix}wte"
        is_tied = head in ("LMHeadModel", "ForCausalLM") and config.flag("tie_word_embeddings")
        if is_tied:
            stack.will_tie(table)
        stream = stack.positions(f"{prefix}wpe", stack.embedding(table, self.token_ids(stack)))
        for index in range(config.size("n_layer", 0)):
            with stack.block(f"{prefix}h", index):
                normed = stack.norm("ln_1", "input", "LayerNorm", epsilon)
                qkv, out = ("attn.c_attn",) * 3, "attn.c_proj"
                inner = stack.attention("attn", normed, heads, qkv, out, causal=True)
                middle = stack.sum("attn.sum", "input", inner)
                normed = stack.norm("ln_2", middle, "LayerNorm", epsilon)
                inner = stack.dense("mlp.c_fc", normed, activation)
                stack.sum("mlp.sum", middle, stack.dense("mlp.c_proj", inner))
            stream = f"{prefix}h"
        stream = stack.norm(f"{prefix}ln_f", stream, "LayerNorm", epsilon)
        self.compute_head(stack, head, stream, table if is_tied else "")

    def cross_attention(self, width: int, back: float) -> None:
        """Add attention to the output of an encoder."""
        with self.modules.within("crossattention"):
            self.projection("c_attn", width, 2 * width)
            self.projection("q_attn", width, width)
            self.projection("c_proj", width, width, back)
        self.modules.norm("ln_cross_attn", width)

    def packed(self, width: int) -> int:
        """The size of queries, keys and values together."""
        return 3 * width

    def projection(self, name: str, inputs: int, outputs: int, std: float | None = None) -> None:
        """Add a projection."""
        self.modules.conv1d(name, inputs, outputs, std=std)


class GptBigCode(Gpt2):
    """StarCoder, with one head of keys. arXiv:2301.03988."""

    model_types = ("gpt_bigcode",)
    classes = "GPTBigCode"
    heads = ("ForCausalLM", "Model", "ForSequenceClassification", "ForTokenClassification")
    defaults = {"activation_function": "gelu_pytorch_tanh", "multi_query": True}

    def packed(self, width: int) -> int:
        each = self.config.quotient("n_embd", "n_head")
        return width + 2 * each if self.config.flag("multi_query") else 3 * width

    def projection(self, name: str, inputs: int, outputs: int, std: float | None = None) -> None:
        self.modules.linear(name, inputs, outputs, std=std)


class GptJ(Gpt2):
    """GPT-J, with rotary positions. Wang and Komatsuzaki 2021."""

    model_types = ("gptj",)
    classes = "GPTJ"
    heads: ClassVar[tuple[str, ...]] = (
        "ForCausalLM",
        "Model",
        "ForSequenceClassification",
        "ForQuestionAnswering",
    )
    defaults = {
        "vocab_size": 50400,
        "n_positions": 2048,
        "n_embd": 4096,
        "n_layer": 28,
        "n_head": 16,
        "tie_word_embeddings": False,
    }
    head_bias = True
    is_packed: ClassVar[bool] = False

    def compute(self, stack: Stack, head: str) -> None:
        config, prefix = self.config, "" if head == "Model" else "transformer."
        count = config.size("n_head")
        heads = Heads(count, count, config.quotient("n_embd", "n_head"))
        epsilon = config.number("layer_norm_epsilon") or 1e-5
        activation = config.text("activation_function")
        table = f"{prefix}wte"
        is_tied = head == "ForCausalLM" and config.flag("tie_word_embeddings")
        if is_tied:
            stack.will_tie(table)
            stack.leave_out("lm_head", "the bias of the head, which starts at 0")
        stream = stack.embedding(table, self.token_ids(stack))
        names = ("qkv_proj",) * 3 if self.is_packed else ("q_proj", "k_proj", "v_proj")
        query, key, value = (f"attn.{name}" for name in names)
        for index in range(config.size("n_layer", 0)):
            with stack.block(f"{prefix}h", index):
                normed = stack.norm("ln_1", "input", "LayerNorm", epsilon)
                qkv, out = (query, key, value), "attn.out_proj"
                attended = stack.attention("attn", normed, heads, qkv, out, causal=True)
                inner = stack.dense("mlp.fc_in", normed, activation)
                stack.sum("mlp.sum", "input", attended, stack.dense("mlp.fc_out", inner))
            stream = f"{prefix}h"
        stream = stack.norm(f"{prefix}ln_f", stream, "LayerNorm", epsilon)
        self.compute_head(stack, head, stream, table if is_tied else "")

    def body(self, width: int) -> None:
        config, modules = self.config, self.modules
        config.activation("activation_function")
        config.quotient("n_embd", "n_head")
        modules.embedding("wte", config.size("vocab_size"), width)
        hidden = config.optional_size("n_inner") or 4 * width
        for index in range(config.size("n_layer", 0)):
            with modules.within(f"h.{index}"):
                modules.norm("ln_1", width)
                with modules.within("attn"):
                    for name in ("qkv_proj",) if self.is_packed else ("k_proj", "v_proj", "q_proj"):
                        size = 3 * width if self.is_packed else width
                        modules.linear(name, width, size, False)
                    modules.linear("out_proj", width, width, False)
                modules.linear("mlp.fc_in", width, hidden)
                modules.linear("mlp.fc_out", hidden, width)
        modules.norm("ln_f", width)


class CodeGen(GptJ):
    """CodeGen. Nijkamp et al. 2022, arXiv:2203.13474."""

    model_types = ("codegen",)
    classes = "CodeGen"
    heads = GENERATING
    is_packed = True


class GptNeo(Family):
    """GPT-Neo. Black et al. 2021."""

    model_types = ("gpt_neo",)
    classes = "GPTNeo"
    heads = (*GENERATING, "ForSequenceClassification", "ForTokenClassification")
    defaults = {
        "vocab_size": 50257,
        "max_position_embeddings": 2048,
        "hidden_size": 2048,
        "num_layers": 24,
        "num_heads": 16,
        "intermediate_size": None,
        "activation_function": "gelu_new",
        "initializer_range": 0.02,
        "tie_word_embeddings": True,
    }
    aliases = {"num_hidden_layers": "num_layers", "num_attention_heads": "num_heads"}

    def describe(self, head: str) -> None:
        config, modules, width = self.config, self.modules, self.config.size("hidden_size")
        config.activation("activation_function")
        config.quotient("hidden_size", "num_heads")
        vocabulary = config.size("vocab_size")
        hidden = config.optional_size("intermediate_size") or 4 * width
        with modules.within("" if head == "Model" else "transformer"):
            modules.embedding("wte", vocabulary, width)
            modules.embedding("wpe", config.size("max_position_embeddings"), width)
            for index in range(config.size("num_layers", 0)):
                with modules.within(f"h.{index}"):
                    modules.norm("ln_1", width)
                    with modules.within("attn.attention"):
                        for name in ("k_proj", "v_proj", "q_proj"):
                            modules.linear(name, width, width, False)
                        modules.linear("out_proj", width, width)
                    modules.norm("ln_2", width)
                    modules.linear("mlp.c_fc", width, hidden)
                    modules.linear("mlp.c_proj", hidden, width)
            modules.norm("ln_f", width)
        self.add_head(head, width, "transformer.wte.weight")


class Persimmon(Decoder):
    """Persimmon 8B. Adept 2023."""

    model_types = ("persimmon",)
    classes = "Persimmon"
    heads = LABELING
    defaults = {
        "vocab_size": 262144,
        "intermediate_size": 16384,
        "num_hidden_layers": 36,
        "num_attention_heads": 64,
        "hidden_act": "relu2",
        "qk_layernorm": True,
    }
    final_norm = "final_layernorm"
    norm_kind = "LayerNorm"
    epsilon_key = "layer_norm_eps"
    qkv_bias: ClassVar[bool | str] = True
    out_bias: ClassVar[bool | str] = True
    mlp_bias = True
    has_qk_norm: ClassVar[bool | str] = "qk_layernorm"
    qk_norms = ("q_layernorm", "k_layernorm")
    mlp = "plain"
    mlp_names = ("dense_h_to_4h", "dense_4h_to_h")

    def attention(self, index: int) -> None:
        width, each = self.width, self.config.quotient("hidden_size", "num_attention_heads")
        self.modules.linear("query_key_value", width, 3 * width, self.flag(self.qkv_bias))
        self.modules.linear("dense", width, width, self.flag(self.out_bias))
        if self.flag(self.has_qk_norm):
            for name in self.qk_norms:
                self.norm(name, each)


class GptNeoX(Persimmon):
    """GPT-NeoX and Pythia. Black et al. 2022, arXiv:2204.06745."""

    model_types = ("gpt_neox",)
    classes = "GPTNeoX"
    heads = ANSWERING
    defaults = {
        "vocab_size": 50432,
        "hidden_size": 6144,
        "intermediate_size": 24576,
        "num_hidden_layers": 44,
        "hidden_act": "gelu",
        "attention_bias": True,
        "use_parallel_residual": True,
    }
    label_head = "classifier"
    qkv_bias = out_bias = "attention_bias"
    has_qk_norm = False

    def compute(self, stack: Stack, head: str) -> None:
        config, prefix = self.config, "" if head == "Model" else "gpt_neox."
        heads = Heads(self.num_heads, self.num_heads, self.width // self.num_heads)
        activation = config.text("hidden_act")
        table = f"{prefix}embed_in"
        is_tied = head == "ForCausalLM" and config.flag("tie_word_embeddings")
        if is_tied:
            stack.will_tie(table)
        stream = stack.embedding(table, self.token_ids(stack))
        is_parallel = config.flag("use_parallel_residual")
        for index in range(config.size("num_hidden_layers", 0)):
            with stack.block(f"{prefix}layers", index):
                normed = self.compute_norm(stack, "input_layernorm", "input")
                qkv, out = ("attention.query_key_value",) * 3, "attention.dense"
                attended = stack.attention("attention", normed, heads, qkv, out, causal=True)
                middle = "input" if is_parallel else stack.sum("attention.sum", "input", attended)
                normed = self.compute_norm(stack, "post_attention_layernorm", middle)
                inner = stack.dense("mlp.dense_h_to_4h", normed, activation)
                inner = stack.dense("mlp.dense_4h_to_h", inner)
                stack.sum("mlp.sum", middle, *([attended] if is_parallel else []), inner)
            stream = f"{prefix}layers"
        stream = self.compute_norm(stack, f"{prefix}final_layer_norm", stream)
        self.compute_head(stack, head, stream, table if is_tied else "")

    def describe(self, head: str) -> None:
        modules, width = self.modules, self.width
        with modules.within("" if head == "Model" else "gpt_neox"):
            self.body()
        self.add_head(head, width, "gpt_neox.embed_in.weight")

    def body(self) -> None:
        config, modules = self.config, self.modules
        config.activation("hidden_act")
        modules.embedding("embed_in", config.size("vocab_size"), self.width)
        for index in range(config.size("num_hidden_layers", 0)):
            with modules.within(f"layers.{index}"):
                for name in self.block_norms:
                    self.norm(name, self.width)
                with modules.within("attention"):
                    self.attention(index)
                self.feed_forward(index)
        self.norm("final_layer_norm", self.width)


class Falcon(Family):
    """Falcon. Almazrouei et al. 2023, arXiv:2311.16867."""

    model_types = ("falcon",)
    classes = "Falcon"
    heads = (
        *("ForCausalLM", "Model", "ForSequenceClassification"),
        *("ForTokenClassification", "ForQuestionAnswering"),
    )
    defaults = {
        "vocab_size": 65024,
        "hidden_size": 4544,
        "num_hidden_layers": 32,
        "num_attention_heads": 71,
        "num_kv_heads": None,
        "ffn_hidden_size": None,
        "num_ln_in_parallel_attn": None,
        "initializer_range": 0.02,
        "activation": "gelu",
        "multi_query": True,
        "parallel_attn": True,
        "tie_word_embeddings": True,
    }

    def describe(self, head: str) -> None:
        config, modules, width = self.config, self.modules, self.config.size("hidden_size")
        config.activation("activation")
        vocabulary = config.size("vocab_size")
        with modules.within("" if head == "Model" else "transformer"):
            modules.embedding("word_embeddings", vocabulary, width)
            for index in range(config.size("num_hidden_layers", 0)):
                with modules.within(f"h.{index}"):
                    self.block(width)
            modules.norm("ln_f", width)
        self.add_head(head, width, "transformer.word_embeddings.weight")

    def block(self, width: int) -> None:
        """Add one block."""
        config, modules, bias = self.config, self.modules, self.config.flag("bias")
        heads = config.size("num_attention_heads")
        each = config.quotient("hidden_size", "num_attention_heads")
        hidden = config.optional_size("ffn_hidden_size") or 4 * width
        is_new = config.flag("new_decoder_architecture")
        keys = config.optional_size("num_kv_heads") or heads
        if not is_new:
            keys = 1 if config.flag("multi_query") else heads
        norms: tuple[str, ...] = ("input_layernorm",)
        if not config.flag("parallel_attn"):
            norms = ("post_attention_layernorm", "input_layernorm")
        elif (config.optional_size("num_ln_in_parallel_attn") or (2 if is_new else 1)) == 2:
            norms = ("ln_attn", "ln_mlp")
        modules.linear("self_attention.query_key_value", width, (heads + 2 * keys) * each, bias)
        modules.linear("self_attention.dense", width, width, bias)
        modules.linear("mlp.dense_h_to_4h", width, hidden, bias)
        modules.linear("mlp.dense_4h_to_h", hidden, width, bias)
        for name in norms:
            modules.norm(name, width)


class Bloom(Family):
    """BLOOM. Le Scao et al. 2022, arXiv:2211.05100."""

    model_types = ("bloom",)
    classes = "Bloom"
    heads = Falcon.heads
    defaults = {
        "vocab_size": 250880,
        "hidden_size": 64,
        "n_layer": 2,
        "n_head": 8,
        "initializer_range": 0.02,
        "tie_word_embeddings": True,
    }
    aliases = {"num_hidden_layers": "n_layer", "num_attention_heads": "n_head"}

    def describe(self, head: str) -> None:
        config, modules, width = self.config, self.modules, self.config.size("hidden_size")
        config.quotient("hidden_size", "n_head")
        vocabulary = config.size("vocab_size")
        with modules.within("" if head == "Model" else "transformer"):
            modules.embedding("word_embeddings", vocabulary, width)
            modules.norm("word_embeddings_layernorm", width)
            for index in range(config.size("n_layer", 0)):
                with modules.within(f"h.{index}"):
                    modules.norm("input_layernorm", width)
                    modules.linear("self_attention.query_key_value", width, 3 * width)
                    modules.linear("self_attention.dense", width, width)
                    modules.norm("post_attention_layernorm", width)
                    modules.linear("mlp.dense_h_to_4h", width, 4 * width)
                    modules.linear("mlp.dense_4h_to_h", 4 * width, width)
            modules.norm("ln_f", width)
        self.add_head(head, width, "transformer.word_embeddings.weight")
