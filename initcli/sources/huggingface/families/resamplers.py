"""Language models that see through learned tokens, which attend to the patches of an image."""

from __future__ import annotations

from initcli.sources.huggingface.entries import NotComputed
from initcli.sources.huggingface.families.pairs import Pair
from initcli.sources.huggingface.families.towers import glorot
from initcli.sources.huggingface.families.vision import bounded_normal
from initcli.sources.huggingface.family import MAX_TOKENS, Family
from initcli.sources.huggingface.modules import ONE, ZERO, Tensor
from initcli.sources.huggingface.stack import Heads, Stack


class Idefics2Perceiver(Family):
    """What makes some tokens of many in Idefics 2. arXiv:2405.02246."""

    model_types = ("idefics2_perceiver",)
    heads = ("PerceiverResampler",)

    def describe(self, head: str) -> None:
        config, modules, width = self.config, self.modules, self.config.size("hidden_size")
        config.activation("hidden_act")
        count, size = config.size("resampler_n_heads"), config.size("resampler_head_dim")
        queries, keys = count * size, config.size("num_key_value_heads") * size
        latents = Tensor((config.size("resampler_n_latents"), width), ONE)
        modules.add("", "Resampler", latents=latents)
        for index in range(config.size("resampler_depth", 0)):
            with modules.within(f"layers.{index}"):
                for name, outputs in (("q_proj", queries), ("k_proj", keys), ("v_proj", keys)):
                    modules.linear(f"self_attn.{name}", width, outputs, False)
                modules.linear("self_attn.o_proj", queries, width, False)
                for name in ("gate_proj", "up_proj"):
                    modules.linear(f"mlp.{name}", width, 4 * width, False)
                modules.linear("mlp.down_proj", 4 * width, width, False)
                for name in ("input_latents_norm", "input_context_norm"):
                    modules.norm(name, width, "RMSNorm")
                modules.norm("post_attention_layernorm", width, "RMSNorm")
        modules.norm("norm", width, "RMSNorm")

    def compute(self, stack: Stack, head: str) -> None:
        stack.steps = MAX_TOKENS
        sizes = [stack.steps, self.config.size("hidden_size")]
        self.compute_resampled(stack, stack.add("Input", "context", shape=sizes))

    def compute_resampled(self, stack: Stack, takes: str) -> str:
        """Add what learned tokens make of others."""
        stream = stack.learned("latents", takes, self.config.size("resampler_n_latents"))
        for index in range(self.config.size("resampler_depth", 0)):
            with stack.block("layers", index, stream):
                self.compute_layer(stack, takes)
            stream = stack.last
        return self.compute_norm(stack, "norm", stream)

    def compute_layer(self, stack: Stack, context: str) -> None:
        """Add what one layer computes."""
        config = self.config
        heads = Heads(
            config.size("resampler_n_heads"),
            config.size("num_key_value_heads"),
            config.size("resampler_head_dim"),
        )
        normed = self.compute_norm(stack, "input_latents_norm", "input")
        context = self.compute_norm(stack, "input_context_norm", context)
        source = stack.add("Concatenate", "context_and_latents", [context, normed], axis=1)
        qkv = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
        inner = stack.attention(
            "self_attn", normed, heads, qkv, "self_attn.o_proj", causal=False, source=source
        )
        middle = stack.sum("self_attn.sum", "input", inner)
        normed = self.compute_norm(stack, "post_attention_layernorm", middle)
        into, activation = ["mlp.gate_proj", "mlp.up_proj"], config.text("hidden_act")
        inner = stack.gated("mlp.product", into, normed, activation)
        stack.sum("mlp.sum", middle, stack.dense("mlp.down_proj", inner))

    def compute_norm(self, stack: Stack, name: str, takes: str) -> str:
        """Add a normalization."""
        return stack.norm(name, takes, "RMSNorm", self.config.number("rms_norm_eps") or 1e-6)


class Idefics2(Pair):
    """Idefics 2. Laurençon et al. 2024, arXiv:2405.02246."""

    model_types = ("idefics2",)
    vision_names = ("vision_model",)
    projector_name = "connector"
    text_name = "text_model"

    def projector(self, inputs: int, outputs: int) -> None:
        modules, inner = self.modules, self.text.config.size("intermediate_size")
        for name in ("gate_proj", "up_proj"):
            modules.linear(f"modality_projection.{name}", inputs, inner, False)
        modules.linear("modality_projection.down_proj", inner, outputs, False)
        perceiver = self.perceiver
        with modules.within("perceiver_resampler"), modules.filled_by(perceiver.std):
            perceiver.describe("PerceiverResampler")

    feature_layer = None

    def compute_projector(self, stack: Stack, takes: str) -> str:
        scope, activation = "modality_projection", self.text.config.text("hidden_act")
        into = [f"{scope}.gate_proj", f"{scope}.up_proj"]
        inner = stack.gated(f"{scope}.product", into, takes, activation)
        inner = stack.dense(f"{scope}.down_proj", inner)
        with stack.within("perceiver_resampler"):
            return self.perceiver.compute_resampled(stack, inner)

    @property
    def perceiver(self) -> Idefics2Perceiver:
        """What makes some tokens of many, as wide as the language model."""
        perceiver = self.part("perceiver_config")
        assert isinstance(perceiver, Idefics2Perceiver)
        perceiver.config.data = {**perceiver.config.data, "hidden_size": self.text_width}
        return perceiver


class Aria(Pair):
    """Aria. Li et al. 2024, arXiv:2410.05993."""

    model_types = ("aria",)
    queries_key = "projector_patch_to_query_dict"
    defaults = {"projector_patch_to_query_dict": {"1225": 128, "4900": 256}}

    def projector(self, inputs: int, outputs: int) -> None:
        modules, inner = self.modules, self.text.config.size("hidden_size")
        most = self.config.most(self.queries_key)
        modules.add("", "Projector", query=Tensor((most, inputs), bounded_normal(self.std)))
        with modules.within("cross_attn"):
            for name in ("q_proj", "k_proj", "v_proj"):
                modules.linear(name, inputs, inputs, False)
            modules.linear("linear", inputs, inputs)
            packed = Tensor((3 * inputs, inputs), glorot(inputs, 3 * inputs), (1,), (0,))
            tensors = {"in_proj_weight": packed, "in_proj_bias": Tensor((3 * inputs,), ZERO)}
            modules.add("multihead_attn", "MultiheadAttention", **tensors)
            modules.linear("multihead_attn.out_proj", inputs, inputs)
            for name in ("layer_norm", "layer_norm_kv"):
                modules.norm(name, inputs)
        modules.norm("layer_norm", inputs)
        with modules.within("feed_forward"):
            modules.linear("linear_in", inputs, inner, False)
            modules.linear("linear_out", inner, outputs, False)

    def compute_projector(self, stack: Stack, takes: str) -> str:
        counts, patches, scope = self.config.value(self.queries_key), stack.steps, "cross_attn"
        if str(patches) not in counts:
            raise NotComputed(f"how {patches:,} patches become tokens")
        query = stack.learned("query", takes, counts[str(patches)])
        query = stack.norm(f"{scope}.layer_norm", query, "LayerNorm", 1e-5)
        query = stack.dense(f"{scope}.q_proj", query)
        source = stack.norm(f"{scope}.layer_norm_kv", takes, "LayerNorm", 1e-5)
        key, value = (stack.dense(f"{scope}.{name}_proj", source) for name in "kv")
        mixed = self.compute_attention(stack, f"{scope}.multihead_attn", [query, value, key])
        stream = stack.dense(f"{scope}.linear", mixed)
        stream = stack.norm("layer_norm", stream, "LayerNorm", 1e-5)
        inner = stack.dense("feed_forward.linear_in", stream, "gelu_new")
        return stack.dense("feed_forward.linear_out", inner)

    def compute_attention(self, stack: Stack, name: str, takes: list[str]) -> str:
        """Add attention with projections of its own, which are packed."""
        packed, out = (stack.tensor(f"{name}.{x}") for x in ("in_proj_weight", "out_proj.weight"))
        stack.use(name)  # Biases are 0.
        count = self.vision.config.size("num_attention_heads")
        return stack.add(
            *("MultiHeadAttention", name, takes),
            num_heads=count,
            key_dim=self.vision_width // count,
            kernel_initializer=stack.filled(packed.initializer),
            output_initializer=stack.filled(out.initializer),
        )
