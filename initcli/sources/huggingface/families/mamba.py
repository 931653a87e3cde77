"""State space models."""

from __future__ import annotations

import math

import numpy as np

from initcli.initializers import Constant, Initializer, RandomUniform
from initcli.initializers.given import Unknown, Values
from initcli.sources.huggingface.family import Family
from initcli.sources.huggingface.modules import ONE, ZERO, Tensor


class Mamba(Family):
    """Mamba. Gu and Dao 2023, arXiv:2312.00752."""

    model_types = ("mamba",)
    classes = "Mamba"
    defaults = {
        "vocab_size": 50280,
        "hidden_size": 768,
        "state_size": 16,
        "num_hidden_layers": 32,
        "expand": 2,
        "conv_kernel": 4,
        "use_conv_bias": True,
        "hidden_act": "silu",
        "initializer_range": 0.1,
        "time_step_rank": "auto",
        "time_step_scale": 1.0,
        "time_step_init_scheme": "random",
        "tie_word_embeddings": True,
    }

    def describe(self, head: str) -> None:
        config, modules, width = self.config, self.modules, self.config.size("hidden_size")
        config.activation("hidden_act")
        with modules.within("" if head == "Model" else "backbone"):
            modules.embedding("embeddings", config.size("vocab_size"), width)
            for index in range(config.size("num_hidden_layers", 0)):
                with modules.within(f"layers.{index}"):
                    modules.norm("norm", width, "RMSNorm")
                    with modules.within("mixer"):
                        self.mixer(width)
            modules.norm("norm_f", width, "RMSNorm")
        self.add_head(head, width, "backbone.embeddings.weight")

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
        drawn = _uniform(kernel[0] ** -0.5)
        modules.convolution("conv1d", 1, inner, kernel, config.flag("use_conv_bias"), drawn)
        bias = config.flag("use_bias")
        modules.linear("in_proj", width, 2 * inner, bias)
        modules.linear("x_proj", inner, rank + 2 * states, False)
        bound = rank**-0.5 * config.number("time_step_scale")
        scheme = config.word("time_step_init_scheme", ("random", "constant"))
        steps = _uniform(bound) if scheme == "random" else Constant(value=bound)
        weight = Tensor((inner, rank), steps, (1,), (0,))
        times = Tensor((inner,), Unknown(operation="the inverse softplus of random entries"))
        modules.add("dt_proj", "Linear", weight=weight, bias=times)
        bound = inner**-0.5
        if config.flag("rescale_prenorm_residual"):
            bound /= math.sqrt(max(config.size("num_hidden_layers", 0), 1))
        modules.linear("out_proj", inner, width, bias, initializer=_uniform(bound))


def _uniform(bound: float) -> RandomUniform:
    return RandomUniform(minval=-bound, maxval=bound)
