"""Decoders like Llama: rotary attention and a feed-forward layer, each behind a normalization."""

from __future__ import annotations

import math
from typing import ClassVar

from initcli.initializers import Constant
from initcli.sources.huggingface.entries import NotComputed
from initcli.sources.huggingface.families.decoder import (
    AFTER,
    AROUND,
    ONE,
    Decoder,
    NormKind,
    Norms,
)
from initcli.sources.huggingface.modules import ZERO, Tensor, normal
from initcli.sources.huggingface.stack import Heads, Stack


class Llama(Decoder):
    """Llama 1 to 3. Touvron et al. 2023, arXiv:2302.13971."""

    model_types: ClassVar[tuple[str, ...]] = ("llama", "internlm3", "exaone", "iquestcoder")
    question_prefix = "transformer"
    mlp_bias = "mlp_bias"
    must_divide = True


class Mistral(Decoder):
    """Mistral 7B and its relatives. Jiang et al. 2023, arXiv:2310.06825."""

    model_types: ClassVar[tuple[str, ...]] = ("mistral", "ministral3")
    qkv_bias = out_bias = False


class Ministral(Mistral):
    """Ministral, Qwen's blocks without biases."""

    model_types = ("ministral",)
    question_prefix = "transformer"


class Cwm(Mistral):
    """The code world model. arXiv:2510.02387."""

    model_types = ("cwm",)
    mlp_bias = "mlp_bias"


class Qwen2(Decoder):
    """Qwen 2 and 2.5. Yang et al. 2024, arXiv:2407.10671."""

    model_types: ClassVar[tuple[str, ...]] = ("qwen2", "qwen2_vl_text", "qwen2_5_vl_text")
    question_prefix = "transformer"
    qkv_bias = True
    out_bias = False


class Qwen3(Decoder):
    """Qwen 3. Yang et al. 2025, arXiv:2505.09388."""

    model_types: ClassVar[tuple[str, ...]] = ("qwen3", "qwen3_vl_text")
    question_prefix = "transformer"
    has_qk_norm = True


class Gemma(Decoder):
    """Gemma, of which norms add 1 to their scale. arXiv:2403.08295."""

    model_types = ("gemma",)
    norm_start = 0.0
    norm_offset = 1.0

    @property
    def embedding_scale(self) -> float:
        return math.sqrt(self.width)


class Gemma2(Gemma):
    """Gemma 2, with norms on both sides. arXiv:2408.00118."""

    model_types = ("gemma2",)
    must_divide = True
    activation_key = "hidden_activation"
    block_norms = AROUND

    @property
    def attention_scale(self) -> float:
        return 1 / math.sqrt(self.config.number("query_pre_attn_scalar") or 1.0)


class Gemma3(Gemma2):
    """The text model of Gemma 3. arXiv:2503.19786."""

    model_types = ("gemma3_text",)
    heads = ("ForCausalLM", "TextModel", "TextForSequenceClassification")
    has_qk_norm = True


class Phi(Decoder):
    """Phi 1 to 2, with attention and feed-forward layer side by side. arXiv:2309.05463."""

    model_types = ("phi",)
    final_norm = "final_layernorm"
    norm_kind = "LayerNorm"
    epsilon_key = "layer_norm_eps"
    is_parallel = True
    block_norms = ONE
    qkv_bias = out_bias = mlp_bias = head_bias = True
    out = "dense"
    has_qk_norm = "qk_layernorm"
    qk_norms = ("q_layernorm", "k_layernorm")
    mlp = "plain"
    mlp_names = ("fc1", "fc2")

    def query_norm(self, name: str, heads: int) -> None:
        keys = ("hidden_size", "num_attention_heads")
        self.norm(name, self.config.quotient(*keys, is_strict=False))


class Phi3(Decoder):
    """Phi 3 and 4, with projections that are packed. arXiv:2404.14219."""

    model_types = ("phi3",)
    qkv = ("qkv_proj",)
    qkv_bias = out_bias = False
    mlp = "packed"
    mlp_names = ("gate_up_proj", "down_proj")


class Olmo(Decoder):
    """OLMo, of which norms have no weights. arXiv:2402.00838."""

    model_types = ("olmo",)
    norm_kind: ClassVar[NormKind] = ""
    epsilon_key: ClassVar[str] = ""


class Olmo2(Decoder):
    """OLMo 2 and 3, with norms behind each part. arXiv:2501.00656."""

    model_types = ("olmo2", "olmo3")
    block_norms = AFTER
    has_qk_norm = True
    qk_norm_over = "all"


class Granite(Decoder):
    """Granite 3. IBM 2024."""

    model_types = ("granite",)
    mlp_bias = "mlp_bias"

    @property
    def embedding_scale(self) -> float:
        return self.config.number("embedding_multiplier")

    @property
    def residual_scale(self) -> float:
        return self.config.number("residual_multiplier")

    @property
    def attention_scale(self) -> float:
        return self.config.number("attention_multiplier")

    @property
    def logit_scale(self) -> float:
        return 1 / (self.config.number("logits_scaling") or 1.0)


class SmolLM3(Llama):
    """SmolLM 3. Hugging Face 2025."""

    model_types = ("smollm3",)
    must_divide = False


class Cohere(Decoder):
    """Command R, with attention and feed-forward layer side by side. Cohere 2024."""

    model_types = ("cohere",)
    epsilon_key = "layer_norm_eps"
    is_parallel = True
    block_norms = ONE
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
    has_qk_norm = False


class StableLm(Decoder):
    """StableLM 2. Bellagente et al. 2024, arXiv:2402.17834."""

    model_types = ("stablelm",)
    must_divide = True
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

    def compute_query_norm(self, stack: Stack, name: str, takes: str, heads: int) -> str:
        # All heads have norms that start alike.
        normed = super().compute_query_norm(stack, f"{name}.norms.0", takes, heads)
        stack.hold(name)
        return normed

    @property
    def norms(self) -> Norms:
        return ONE if self.flag(self.is_parallel) else self.block_norms


class Starcoder2(Decoder):
    """StarCoder 2. Lozhkov et al. 2024, arXiv:2402.19173."""

    model_types = ("starcoder2",)
    norm_kind = "LayerNorm"
    epsilon_key = "norm_epsilon"
    qkv_bias = out_bias = mlp_bias = "use_bias"
    mlp = "plain"
    mlp_names = ("c_fc", "c_proj")


class Glm(Decoder):
    """GLM 4. arXiv:2406.12793."""

    model_types = ("glm",)
    out_bias = False
    mlp = "packed"
    mlp_names = ("gate_up_proj", "down_proj")


class Glm4(Glm):
    """GLM 4 of 2025, with norms on both sides."""

    model_types = ("glm4",)
    block_norms = Norms(
        *("input_layernorm", "post_attention_layernorm"),
        *("post_self_attn_layernorm", "post_mlp_layernorm"),
    )


class Helium(Decoder):
    """Helium. Kyutai 2025."""

    model_types = ("helium",)
    is_square = True
    out_bias = False
    mlp_bias = "mlp_bias"


class Nemotron(Decoder):
    """Nemotron 4. Parmar et al. 2024, arXiv:2402.16819."""

    model_types = ("nemotron",)
    question_prefix = "transformer"
    norm_kind = "LayerNorm"
    norm_offset = 1.0
    epsilon_key = "norm_eps"
    mlp = "plain"
    mlp_names = ("up_proj", "down_proj")
    mlp_bias = "mlp_bias"


class Exaone4(Decoder):
    """EXAONE 4. arXiv:2507.11407."""

    model_types = ("exaone4",)
    question_prefix = "transformer"
    qkv_bias = out_bias = False
    has_qk_norm = True
    block_norms = AFTER


class GraniteSwa(Granite):
    """Granite with a sink of each head. IBM."""

    model_types = ("granite_swa",)

    def attention(self, index: int) -> None:
        super().attention(index)
        self.modules.add("", "Attention", sinks=Tensor((self.num_heads,), ZERO))


class VaultGemma(Gemma2):
    """VaultGemma, with two norms a block. arXiv:2510.15001."""

    model_types = ("vaultgemma",)
    block_norms = Norms("input_layernorm", "pre_feedforward_layernorm")


class Apertus(Decoder):
    """Apertus, with a learned activation. arXiv:2509.14233."""

    model_types = ("apertus",)
    block_norms = Norms("attention_layernorm", "feedforward_layernorm")
    has_qk_norm = True
    mlp = "plain"
    mlp_names = ("up_proj", "down_proj")
    mlp_bias = "mlp_bias"

    def dense(self, size: int) -> None:
        super().dense(size)
        if self.config.text(self.activation_key) != "xielu":
            return
        # The inverse softplus of 0.8, and of 0.8 − 0.5.
        alphas = (math.log(math.expm1(0.8)), math.log(math.expm1(0.3)))
        positive, negative = (Tensor((1,), Constant(value=each)) for each in alphas)
        beta, epsilon = (Tensor((), Constant(value=x), trainable=False) for x in (0.5, -1e-6))
        tensors = {"alpha_p": positive, "alpha_n": negative, "beta": beta, "eps": epsilon}
        self.modules.add("act_fn", "XIELU", **tensors)

    def compute_dense(self, stack: Stack, name: str, takes: str) -> str:
        stack.hold(f"{name}.act_fn")  # What it learns is written in the activation.
        return super().compute_dense(stack, name, takes)


class Jais2(Decoder):
    """Jais 2. 2025."""

    model_types = ("jais2",)
    norm_kind = "LayerNorm"
    epsilon_key = "layer_norm_eps"
    mlp = "plain"
    mlp_names = ("up_proj", "down_proj")
    mlp_bias = "mlp_bias"


class NanoChat(Decoder):
    """nanochat, of which norms have no weights. Karpathy 2025."""

    model_types = ("nanochat",)
    embedding_norm = "initial_norm"
    norm_kind = epsilon_key = ""
    has_qk_norm = True
    mlp = "plain"
    mlp_names = ("fc1", "fc2")

    def linear(self, name: str, inputs: int, outputs: int, bias: bool = True) -> None:
        back = name == self.out
        std = self.std / math.sqrt(2 * max(self.num_blocks, 1)) if back else None
        self.modules.linear(name, inputs, outputs, bias, std)


class Arcee(Llama):
    """AFM 4.5B. Arcee 2025."""

    model_types = ("arcee",)
    mlp = "plain"
    mlp_names = ("up_proj", "down_proj")


class SeedOss(Llama):
    """Seed-OSS. ByteDance 2025."""

    model_types = ("seed_oss",)
    out_bias = "attention_out_bias"
    must_divide = False


class Ernie45(Decoder):
    """ERNIE 4.5. Baidu 2025."""

    model_types = ("ernie4_5",)
    qkv_bias = out_bias = mlp_bias = "use_bias"


class HunYuanDense(Decoder):
    """Hunyuan, dense. Tencent 2025."""

    model_types = ("hunyuan_v1_dense",)
    has_qk_norm = True
    qk_norms = ("query_layernorm", "key_layernorm")


class DiffLlama(Decoder):
    """The differential transformer. Ye et al. 2024, arXiv:2410.05258."""

    model_types = ("diffllama",)
    question_prefix = "transformer"

    def attention(self, index: int) -> None:
        super().attention(index)
        drawn = Tensor((self.head_dim,), normal(self.config.number("lambda_std_dev")))
        names = ("lambda_q1", "lambda_k1", "lambda_q2", "lambda_k2")
        self.modules.add("", "Attention", **dict.fromkeys(names, drawn))

    def compute_attention(self, stack: Stack, takes: str, index: int) -> str:
        # The second half of the heads is subtracted from the first; each attends to two values.
        scope, count, each = self.attention_name, self.num_heads // 2, self.head_dim
        heads = Heads(count, self.num_keys // 2, each)
        if self.num_heads % 2 or self.num_keys % 2:
            raise NotComputed("differences of an odd number of heads")
        value, start = stack.dense(f"{scope}.v_proj", takes), 0.8 - 0.6 * math.exp(-0.3 * index)
        one, two = (
            stack.attend(
                f"{scope}.{part}",
                stack.dense(f"{scope}.q_proj", takes, part=part, units=count * each),
                stack.dense(f"{scope}.k_proj", takes, part=part, units=heads.keys * each),
                value,
                heads,
                causal=True,
            )
            for part in ("first", "second")
        )
        for name in ("lambda_q1", "lambda_k1", "lambda_q2", "lambda_k2"):
            stack.leave_out(f"{scope}.{name}", "the learned part of the factor on the difference")
        mixed = stack.sum(f"{scope}.difference", one, stack.scaled(f"{scope}.less", two, -start))
        epsilon = self.config.number(self.epsilon_key)
        mixed = stack.norm_of_heads(f"{scope}.groupnorm", mixed, count, 2 * each, "", epsilon)
        return stack.dense(f"{scope}.o_proj", stack.scaled(f"{scope}.scaled", mixed, 1 - start))


class BitNet(Decoder):
    """BitNet b1.58. Ma et al. 2024, arXiv:2402.17764."""

    model_types = ("bitnet",)

    has_own_mixing = True

    def attention(self, index: int) -> None:
        super().attention(index)
        self.norm("attn_sub_norm", self.width)

    def dense(self, size: int) -> None:
        super().dense(size)
        self.norm("ffn_sub_norm", size)

    def compute_mixed(self, stack: Stack, takes: str, mixed: str) -> str:
        return self.compute_norm(stack, f"{self.attention_name}.attn_sub_norm", mixed)

    def compute_dense(self, stack: Stack, name: str, takes: str) -> str:
        *into, out = (f"{name}.{each}" for each in self.mlp_names)
        inner = stack.gated(f"{name}.product", into, takes, self.activation)
        return stack.dense(out, self.compute_norm(stack, f"{name}.ffn_sub_norm", inner))
