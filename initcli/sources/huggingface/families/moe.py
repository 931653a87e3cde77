"""Decoders like Llama with a mixture of experts.

The experts of a layer are one tensor each way, as the library has them in memory since version 5.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from initcli.initializers import Initializer
from initcli.sources.huggingface.entries import NotComputed
from initcli.sources.huggingface.families.decoder import AFTER, Decoder
from initcli.sources.huggingface.families.llama import Granite
from initcli.sources.huggingface.modules import ZERO, Tensor
from initcli.sources.huggingface.stack import Stack


class Experts(Decoder):
    """The skeleton: the feed-forward layer of some blocks is a router and its experts."""

    experts_key: ClassVar[str] = "num_local_experts"
    expert_size_key: ClassVar[str] = "moe_intermediate_size"
    router: ClassVar[str] = "gate"
    mixture_name: ClassVar[str] = "mlp"
    """Name of the mixture in its block."""
    is_transposed: ClassVar[bool] = False
    """Whether the first axis of an expert's weight is that of its inputs."""
    correction: ClassVar[str] = ""
    """Name of the bias that balances the experts, if there is one."""
    shared: ClassVar[str] = ""
    """Name of the experts that every token takes, if there are any."""
    shared_key: ClassVar[str] = "n_shared_experts"
    """The key of the number of those experts; empty for one."""
    top_k_key: ClassVar[str] = "num_experts_per_tok"
    """The key of the number of experts that each token takes."""
    scoring: ClassVar[Literal["softmax", "sigmoid"]] = "softmax"
    """The function of the router's logits."""
    normalizes: ClassVar[bool | str] = True
    """Whether the weights of a token's experts add up to 1."""
    scale_key: ClassVar[str] = ""
    """The key of the factor on those weights, if there is one."""

    def feed_forward(self, index: int) -> None:
        if not self.is_mixture(index):
            super().feed_forward(index)
            return
        with self.modules.within(self.mixture_name):
            self.mixture()

    def is_mixture(self, index: int) -> bool:
        """Whether the feed-forward layer of that block is a mixture."""
        return True

    def mixture(self) -> None:
        """Add a router and its experts."""
        self.modules.add(self.router, "Router", weight=self.router_weight())
        if self.correction:
            *scope, name = self.correction.rpartition(".")
            bias = Tensor((self.num_experts,), ZERO, trainable=False)
            self.modules.add(scope[0], "Router", **{name: bias})
        self.experts()
        if self.shared and self.shared_size:
            with self.modules.within(self.shared):
                self.dense(self.shared_size)

    def router_weight(self) -> Tensor:
        """The weight of the router."""
        return self.weight(self.num_experts, self.width)

    def experts(self) -> None:
        """Add the experts."""
        count, size, width = self.num_experts, self.expert_size, self.width
        into, back = self.expert(count, width, 2 * size), self.expert(count, size, width)
        self.modules.add("experts", "Experts", gate_up_proj=into, down_proj=back)

    def expert(self, count: int, inputs: int, outputs: int) -> Tensor:
        """The weight of so many experts."""
        if self.is_transposed:
            return Tensor((count, inputs, outputs), self.filled, (1,), (2,))
        return self.weight(count, outputs, inputs)

    def weight(self, *shape: int) -> Tensor:
        """The weight of routers and experts, from the last axis to that before it."""
        last = len(shape) - 1
        return Tensor(shape, self.filled, (last,), (last - 1,))

    def compute_feed_forward(self, stack: Stack, takes: str, index: int) -> str:
        if not self.is_mixture(index):
            return super().compute_feed_forward(stack, takes, index)
        scope = self.mixture_name
        if self.correction:
            stack.hold(f"{scope}.{self.correction}")  # It is 0, and not trained by gradients.
        if (self.config.optional_size("n_group") or 1) > 1:
            stack.notes["the signal leaves out that experts are chosen from some groups"] = None
        experts = self.compute_experts(stack, takes, index)
        if not self.shared or not self.shared_size:
            return experts
        return self.compute_shared(stack, takes, experts)

    def compute_experts(self, stack: Stack, takes: str, index: int, **how: Any) -> str:
        """Add what the chosen experts compute."""
        scope, top_k, count = self.mixture_name, self.top_k(index), self.num_experts
        if top_k > count:
            message = f"each token takes {top_k:,} experts, and there are {count:,}"
            self.config.errors.report(message, (self.config.written(self.top_k_key)[0],))
        how = {"scoring": self.scoring, "normalize": self.flag(self.normalizes), **how}
        if self.scale_key:
            how["scale"] = self.config.number(self.scale_key)
        router = f"{scope}.{self.router}"
        chosen = min(top_k, count)
        activation = self.expert_activation
        return stack.experts(f"{scope}.experts", router, takes, chosen, activation, **how)

    def compute_shared(self, stack: Stack, takes: str, experts: str) -> str:
        """Add what the experts compute that every token takes, and the sum of all."""
        scope = self.mixture_name
        shared = self.compute_dense(stack, f"{scope}.{self.shared}", takes)
        return stack.sum(f"{scope}.mixture", experts, shared)

    def top_k(self, index: int) -> int:
        """The number of experts that each token takes in that block."""
        return self.config.size(self.top_k_key)

    @property
    def expert_activation(self) -> str:
        """The activation of chosen experts."""
        return self.activation

    @property
    def filled(self) -> Initializer:
        """The initializer of routers and experts."""
        return self.drawn()

    @property
    def num_experts(self) -> int:
        """The number of experts of a layer."""
        return self.config.size(self.experts_key)

    @property
    def expert_size(self) -> int:
        """The width of one expert."""
        return self.config.size(self.expert_size_key)

    @property
    def shared_size(self) -> int:
        """The width of the experts that every token takes."""
        count = self.config.size(self.shared_key, 0) if self.shared_key else 1
        return self.expert_size * count


class Mixtral(Experts):
    """Mixtral. Jiang et al. 2024, arXiv:2401.04088."""

    model_types = ("mixtral",)
    qkv_bias = out_bias = False
    expert_size_key = "intermediate_size"


class Qwen2Moe(Experts):
    """Qwen 1.5 and 2 with experts. arXiv:2407.10671."""

    model_types: ClassVar[tuple[str, ...]] = ("qwen2_moe",)
    normalizes = "norm_topk_prob"
    qkv_bias: ClassVar[bool | str] = "qkv_bias"
    out_bias: ClassVar[bool | str] = False
    experts_key = "num_experts"
    shared: ClassVar[str] = "shared_expert"

    def is_mixture(self, index: int) -> bool:
        step = self.config.size("decoder_sparse_step")
        return index not in self.config.numbers("mlp_only_layers") and (index + 1) % step == 0

    def mixture(self) -> None:
        super().mixture()
        if self.shared:
            self.modules.linear("shared_expert_gate", self.width, 1, False)

    def compute_shared(self, stack: Stack, takes: str, experts: str) -> str:
        scope = self.mixture_name
        shared = self.compute_dense(stack, f"{scope}.{self.shared}", takes)
        gate = stack.dense(f"{scope}.shared_expert_gate", takes, "sigmoid")
        shared = stack.product(f"{scope}.{self.shared}.gated", shared, gate)
        return stack.sum(f"{scope}.mixture", experts, shared)

    @property
    def shared_size(self) -> int:
        return self.config.size("shared_expert_intermediate_size")


class Qwen3Moe(Qwen2Moe):
    """Qwen 3 with experts. arXiv:2505.09388."""

    model_types: ClassVar[tuple[str, ...]] = ("qwen3_moe", "qwen3_vl_moe_text")
    question_prefix = "transformer"
    qkv_bias = out_bias = "attention_bias"
    has_qk_norm = True
    shared = ""


class MiniMaxM2(Experts):
    """MiniMax M2. 2025."""

    model_types = ("minimax_m2",)
    scoring = "sigmoid"
    qkv_bias = out_bias = False
    has_qk_norm = True
    qk_norm_over = "all"
    expert_size_key = "intermediate_size"
    correction = "e_score_correction_bias"


class FlexOlmo(Experts):
    """FlexOlmo. arXiv:2507.07024."""

    model_types = ("flex_olmo",)
    normalizes = "norm_topk_prob"
    block_norms = AFTER
    has_qk_norm = True
    qk_norm_over = "all"
    experts_key = "num_experts"
    expert_size_key = "intermediate_size"


class HunYuanMoe(Experts):
    """Hunyuan with experts. Tencent 2025."""

    model_types = ("hunyuan_v1_moe",)
    top_k_key = "moe_topk"
    has_qk_norm = True
    qk_norms = ("query_layernorm", "key_layernorm")
    experts_key = "num_experts"
    expert_size_key = "intermediate_size"
    router = "gate.wg"
    shared = "shared_mlp"
    shared_key = ""

    def top_k(self, index: int) -> int:
        if not isinstance(self.config.value(self.top_k_key), list):
            return super().top_k(index)
        given = self.config.numbers(self.top_k_key, self.num_blocks, 1)
        return given[index] if given else 1


class Olmoe(Experts):
    """OLMoE. Muennighoff et al. 2024, arXiv:2409.02060."""

    model_types = ("olmoe",)
    normalizes = "norm_topk_prob"
    qk_norm_over = "all"
    has_qk_norm = True
    experts_key = "num_experts"
    expert_size_key = "intermediate_size"

    def query_norm(self, name: str, heads: int) -> None:
        keys = ("hidden_size", "num_attention_heads")
        each = self.config.quotient(*keys, is_strict=False)
        self.norm(name, self.width if name == "q_norm" else each * heads)


class GptOss(Experts):
    """gpt-oss, with biases of experts and a sink of each head. arXiv:2508.10925."""

    model_types = ("gpt_oss",)
    router = "router"
    is_transposed = True
    expert_size_key = "intermediate_size"

    def attention(self, index: int) -> None:
        super().attention(index)
        self.modules.add("", "Attention", sinks=Tensor((self.num_heads,), self.filled))

    def mixture(self) -> None:
        count, width, size = self.num_experts, self.width, self.expert_size
        self.modules.add(
            self.router,
            "Router",
            weight=self.weight(count, width),
            bias=Tensor((count,), self.filled),
        )
        self.modules.add(
            "experts",
            "Experts",
            gate_up_proj=self.expert(count, width, 2 * size),
            gate_up_proj_bias=Tensor((count, 2 * size), ZERO),
            down_proj=self.expert(count, size, width),
            down_proj_bias=Tensor((count, width), ZERO),
        )

    def compute_experts(self, stack: Stack, takes: str, index: int, **how: Any) -> str:
        # Its limit is far beyond what starts here.
        if self.config.number("swiglu_alpha") != 1.702:
            raise NotComputed("experts whose `swiglu_alpha` is other than 1.702")
        return super().compute_experts(stack, takes, index, offset=1.0)

    @property
    def expert_activation(self) -> str:
        return "quick_gelu"


class GraniteMoe(Experts, Granite):
    """Granite 3 with experts. IBM 2024."""

    model_types = ("granitemoe",)
    router = "router"
    mixture_name = "block_sparse_moe"
    expert_size_key = "intermediate_size"


class GraniteMoeShared(GraniteMoe):
    """Granite with experts, some of which every token takes. IBM."""

    model_types = ("granitemoeshared",)

    def feed_forward(self, index: int) -> None:
        super().feed_forward(index)
        size = self.config.size("shared_intermediate_size", 0)
        if size:
            self.linear("shared_mlp.input_linear", self.width, 2 * size, False)
            self.linear("shared_mlp.output_linear", size, self.width, False)

    def compute_feed_forward(self, stack: Stack, takes: str, index: int) -> str:
        mixed = super().compute_feed_forward(stack, takes, index)
        if not self.config.size("shared_intermediate_size", 0):
            return mixed
        return stack.sum("shared_mlp.mixture", mixed, self.compute_shared_dense(stack, takes))

    def compute_shared_dense(self, stack: Stack, takes: str) -> str:
        """Add what every token takes."""
        inner = stack.gated(
            "shared_mlp.product", ["shared_mlp.input_linear"], takes, self.activation
        )
        return stack.dense("shared_mlp.output_linear", inner)


class GraniteMoeSwa(GraniteMoeShared):
    """Granite with experts and a sink of each head. IBM."""

    model_types = ("granitemoe_swa",)

    def attention(self, index: int) -> None:
        super().attention(index)
        self.modules.add("", "Attention", sinks=Tensor((self.num_heads,), ZERO))


class Llama4(Experts):
    """The text model of Llama 4. Meta 2025."""

    model_types = ("llama4_text",)
    heads = ("ForCausalLM", "TextModel")
    has_qk_norm = "use_qk_norm"
    is_transposed = True
    mixture_name = "feed_forward"
    mlp_name = "feed_forward"
    router = "router"
    expert_size_key = "intermediate_size"
    shared = "shared_expert"
    shared_key = ""

    def is_mixture(self, index: int) -> bool:
        if not self.config.is_null("moe_layers"):
            return index in self.config.numbers("moe_layers")
        step = self.config.size("interleave_moe_layer_step", 0)
        return step > 0 and (index + 1) % step == 0

    def feed_forward(self, index: int) -> None:
        if self.is_mixture(index):
            super().feed_forward(index)
        else:
            with self.modules.within(self.mlp_name):
                self.dense(self.config.size("intermediate_size_mlp"))

    def norms_queries(self, index: int) -> bool:
        if not super().norms_queries(index):
            return False
        given: tuple[int, ...] = ()
        if not self.config.is_null("no_rope_layers"):
            given = self.config.numbers("no_rope_layers", self.num_blocks)
        step = self.config.size("no_rope_layer_interval")
        return bool(given[index]) if given else (index + 1) % step != 0

    def query_norm(self, name: str, heads: int) -> None:
        """It has no weights."""

    def compute_query_norm(self, stack: Stack, name: str, takes: str, heads: int) -> str:
        epsilon = self.config.number(self.epsilon_key)
        return stack.norm_of_heads(name, takes, heads, self.head_dim, "", epsilon)

    def compute_experts(self, stack: Stack, takes: str, index: int, **how: Any) -> str:
        scope, what = self.mixture_name, "mixture of experts with weighted inputs"
        held = (f"{scope}.{name}" for name in ("experts", self.router))
        return stack.unknown(f"{scope}.experts", takes, what, (stack.steps, self.width), *held)


class Phimoe(Experts):
    """Phi 3.5 with experts. arXiv:2404.14219."""

    model_types = ("phimoe",)
    norm_kind = "LayerNorm"
    head_bias = "lm_head_bias"
    router = "router"
    expert_size_key = "intermediate_size"

    def compute_experts(self, stack: Stack, takes: str, index: int, **how: Any) -> str:
        # Each has the share 1, unless another logit is within 2 % of its own.
        note = "the signal leaves out that experts with nearly equal logits share a weight"
        stack.notes[note] = None
        return super().compute_experts(stack, takes, index, scale=2.0)

    def top_k(self, index: int) -> int:
        return 2
