"""State space models."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from initcli.initializers import Constant, Initializer, RandomUniform
from initcli.initializers.given import Mapped, Unknown, Values
from initcli.sources.huggingface.config import Config
from initcli.sources.huggingface.families.decoder import Decoder
from initcli.sources.huggingface.modules import ONE, ZERO, Tensor
from initcli.sources.huggingface.stack import Stack


def drawn_steps(config: Config) -> Initializer:
    """The initializer of the bias of time steps, which softplus makes log-uniform."""
    low, high = (math.log(config.positive(f"time_step_{end}")) for end in ("min", "max"))
    if math.exp(min(low, high)) < config.number("time_step_floor"):
        return Unknown(operation="clamp")
    if low == high:
        return Constant(value=low + math.log(-math.expm1(-math.exp(low))))
    low, high = sorted((low, high - low + low))
    drawn = RandomUniform(minval=low, maxval=high)
    return Mapped(drawn=drawn, function=("x", "exp", "softplus⁻¹"))


def uniform(bound: float) -> RandomUniform:
    """U(−bound, bound)."""
    return RandomUniform(minval=-bound, maxval=bound)


def compute_scan(stack: Stack, scope: str, takes: str, inner: int) -> str:
    """Add what a mixer of Mamba computes."""
    stream = stack.dense(f"{scope}.in_proj", takes, part="stream", units=inner)
    gate = stack.dense(f"{scope}.in_proj", takes, "silu", "gate", inner)
    stream = stack.causal_convolution(f"{scope}.conv1d", stream, "silu")
    names = ("A_log", "D", "x_proj", "dt_proj", "dt_layernorm", "b_layernorm", "c_layernorm")
    held = (f"{scope}.{name}" for name in names)
    shape = (stack.steps, inner)
    stream = stack.unknown(f"{scope}.scan", stream, "selective scan", shape, *held)
    return stack.dense(f"{scope}.out_proj", stack.product(f"{scope}.gated", stream, gate))


class StateSpace(Decoder):
    """The skeleton of Mamba 2 mixers, with the keys of their sizes.

    Dao and Gu 2024, arXiv:2405.21060.
    """

    mixer_name: ClassVar[str] = "mamba"
    mixer_heads_key: ClassVar[str] = "mamba_n_heads"
    groups_key: ClassVar[str] = "mamba_n_groups"
    states_key: ClassVar[str] = "mamba_d_state"
    kernel_key: ClassVar[str] = "mamba_d_conv"
    expand_key: ClassVar[str] = "mamba_expand"
    conv_bias: ClassVar[bool | str] = "mamba_conv_bias"
    mixer_bias: ClassVar[bool | str] = "mamba_proj_bias"
    out_mixer_bias: ClassVar[str] = ""
    """The key of the bias of the projection back, where it has its own."""

    def mixer(self) -> None:
        """Add the mixer of a block."""
        config, modules, inner = self.config, self.modules, self.mixer_width
        heads, kernel = config.size(self.mixer_heads_key), config.size(self.kernel_key)
        channels = inner + 2 * config.size(self.groups_key) * config.size(self.states_key)
        decay: Initializer = ZERO
        if self.is_computable((heads,), self.mixer_heads_key):
            decay = Values(numbers=np.log(np.arange(1.0, heads + 1)).tobytes())
        tensors = {"dt_bias": self.steps(), "A_log": decay, "D": ONE}
        with modules.within(self.mixer_name):
            modules.add("", "Mixer", **{key: Tensor((heads,), x) for key, x in tensors.items()})
            drawn, bias = self.kernel_initializer(kernel), self.flag(self.conv_bias)
            modules.convolution("conv1d", 1, channels, (kernel,), bias, drawn)
            packed = inner + channels + heads
            modules.linear("in_proj", self.width, packed, self.flag(self.mixer_bias))
            if self.has_mixer_norm:
                modules.norm("norm", inner, "RMSNorm")
            bias = self.flag(self.out_mixer_bias or self.mixer_bias)
            back = self.back_initializer(inner)
            modules.linear("out_proj", inner, self.width, bias, initializer=back)

    def steps(self) -> Initializer:
        """The initializer of the bias of time steps."""
        return ONE

    def kernel_initializer(self, kernel: int) -> Initializer:
        """The initializer of the convolution."""
        return self.drawn()

    def back_initializer(self, inner: int) -> Initializer:
        """The initializer of the projection back to the stream."""
        return self.drawn()

    def compute_mixer(self, stack: Stack, takes: str) -> str:
        """Add what the mixer computes."""
        config, scope, inner = self.config, self.mixer_name, self.mixer_width
        heads = config.size(self.mixer_heads_key)
        channels = inner + 2 * config.size(self.groups_key) * config.size(self.states_key)
        name = f"{scope}.in_proj"
        gate = stack.dense(name, takes, "silu", "gate", inner)
        stream = stack.dense(name, takes, part="stream", units=channels)
        steps = stack.dense(name, takes, part="steps", units=heads)
        stream = stack.causal_convolution(f"{scope}.conv1d", stream, "silu")
        held = (f"{scope}.{name}" for name in ("A_log", "D", "dt_bias"))
        both, shape = [stream, steps], (stack.steps, inner)
        stream = stack.unknown(f"{scope}.scan", both, "selective scan", shape, *held)
        stream = stack.product(f"{scope}.gated", stream, gate)
        if self.has_mixer_norm:
            epsilon = config.number(self.epsilon_key) or 1e-5
            stream = stack.norm(f"{scope}.norm", stream, "RMSNorm", epsilon)
        return stack.dense(f"{scope}.out_proj", stream)

    @property
    def has_mixer_norm(self) -> bool:
        """Whether the mixer normalizes what it returns."""
        return True

    @property
    def mixer_width(self) -> int:
        """The width of the mixer."""
        return self.width * self.config.size(self.expand_key)


class Mamba(Decoder):
    """Mamba. Gu and Dao 2023, arXiv:2312.00752."""

    model_types: ClassVar[tuple[str, ...]] = ("mamba", "falcon_mamba")
    body_name = "backbone"
    table = "embeddings"
    final_norm = "norm_f"
    epsilon_key = "layer_norm_epsilon"
    pads = False

    def block(self, index: int) -> None:
        self.norm("norm", self.width)
        with self.modules.within("mixer"):
            self.mixer(self.width)

    def compute_block(self, stack: Stack, index: int) -> None:
        normed = self.compute_norm(stack, "norm", "input")
        inner = self.width * self.config.size("expand")
        if not self.config.is_null("intermediate_size"):
            inner = self.config.size("intermediate_size")
        stack.sum("mixer.sum", "input", compute_scan(stack, "mixer", normed, inner))

    def mixer(self, width: int) -> None:
        """Add a selective state space with its projections and its convolution."""
        config, modules = self.config, self.modules
        inner, states = width * config.size("expand"), config.size("state_size")
        if not config.is_null("intermediate_size"):
            inner = config.size("intermediate_size")
        rank = math.ceil(width / 16)
        if config.value("time_step_rank") != "auto":
            rank = config.size("time_step_rank")
        decay: Initializer = ZERO
        if self.is_computable((inner, states), "state_size"):
            rows = np.tile(np.log(np.arange(1.0, states + 1)), (inner, 1))
            decay = Values(numbers=rows.tobytes())
        modules.add("", "Mixer", A_log=Tensor((inner, states), decay), D=Tensor((inner,), ONE))
        kernel = (config.size("conv_kernel"),)
        drawn = uniform(kernel[0] ** -0.5)
        modules.convolution("conv1d", 1, inner, kernel, config.flag("use_conv_bias"), drawn)
        bias = config.flag("use_bias")
        modules.linear("in_proj", width, 2 * inner, bias)
        modules.linear("x_proj", inner, rank + 2 * states, False)
        bound = rank**-0.5 * config.number("time_step_scale")
        scheme = config.word("time_step_init_scheme", ("random", "constant"))
        steps = uniform(bound) if scheme == "random" else Constant(value=bound)
        weight = Tensor((inner, rank), steps, (1,), (0,))
        modules.add("dt_proj", "Linear", weight=weight, bias=Tensor((inner,), drawn_steps(config)))
        bound = inner**-0.5
        if config.flag("rescale_prenorm_residual"):
            bound /= math.sqrt(max(config.size("num_hidden_layers", 0), 1))
        modules.linear("out_proj", inner, width, bias, initializer=uniform(bound))


class Mamba2(StateSpace):
    """Mamba 2. arXiv:2405.21060."""

    model_types = ("mamba2",)
    body_name = "backbone"
    table = "embeddings"
    final_norm = "norm_f"
    epsilon_key = "layer_norm_epsilon"
    pads = False
    mixer_name = "mixer"
    mixer_heads_key = "num_heads"
    groups_key = "n_groups"
    states_key = "state_size"
    kernel_key = "conv_kernel"
    expand_key = "expand"
    conv_bias = "use_conv_bias"
    mixer_bias = "use_bias"

    def block(self, index: int) -> None:
        self.norm("norm", self.width)
        self.mixer()

    def steps(self) -> Initializer:
        return drawn_steps(self.config)

    def compute_block(self, stack: Stack, index: int) -> None:
        normed = self.compute_norm(stack, "norm", "input")
        stack.sum("mixer.sum", "input", self.compute_mixer(stack, normed))

    def kernel_initializer(self, kernel: int) -> Initializer:
        return uniform(kernel**-0.5)

    def back_initializer(self, inner: int) -> Initializer:
        bound = inner**-0.5
        if self.config.flag("rescale_prenorm_residual"):
            bound /= math.sqrt(max(self.num_blocks, 1))
        return uniform(bound)
