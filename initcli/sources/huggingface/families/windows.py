"""Swin with the names of BERT, and Swin 2."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from initcli.initializers import Constant, Initializer
from initcli.initializers.given import Values
from initcli.sources.huggingface.families.vision import Swin
from initcli.sources.huggingface.modules import ZERO, Tensor


class SwinOlder(Swin):
    """Swin with the names of BERT, and a row of positions more."""

    model_types: ClassVar[tuple[str, ...]] = ()
    more_positions = 1

    def layer(self, width: int, heads: int) -> None:
        config, modules = self.config, self.modules
        self.attention(width, heads)
        modules.linear("attention.output.dense", width, width)
        modules.norm("layernorm_before", width)
        modules.norm("layernorm_after", width)
        inner = int(config.number("mlp_ratio") * width)
        modules.linear("intermediate.dense", width, inner)
        modules.linear("output.dense", inner, width)

    def attention(self, width: int, heads: int) -> None:
        """Add queries, keys and values, and what says of positions."""
        modules, window = self.modules, self.config.size("window_size")
        with modules.within("attention.self"):
            for name in ("query", "key", "value"):
                modules.linear(name, width, width, self.config.flag("qkv_bias"))
            table = Tensor(((2 * window - 1) ** 2, heads), ZERO)
            shape = (window**2, window**2)
            filled: Initializer = ZERO
            if self.is_computable(shape, "window_size"):
                filled = distances(window)
            index = Tensor(shape, filled, trainable=False, dtype="int64")
            tensors = {"relative_position_bias_table": table, "relative_position_index": index}
            modules.add("", "Attention", **tensors)


class DonutSwin(SwinOlder):
    """The Swin of Donut. Kim et al. 2021, arXiv:2111.15664."""

    model_types = ("donut-swin",)
    body_name = "donut"
    last_norm = ""


class Swinv2(SwinOlder):
    """Swin 2. Liu et al. 2021, arXiv:2111.09883."""

    model_types = ("swinv2",)
    body_name = "swinv2"
    norms_joined = False

    def attention(self, width: int, heads: int) -> None:
        modules, bias = self.modules, self.config.flag("qkv_bias")
        scale = Tensor((heads, 1, 1), Constant(value=math.log(10)))
        with modules.within("attention.self"):
            modules.add("", "Attention", logit_scale=scale)
            modules.linear("continuous_position_bias_mlp.0", 2, 512)
            modules.linear("continuous_position_bias_mlp.2", 512, heads, False)
            for name in ("query", "key", "value"):
                modules.linear(name, width, width, bias and name != "key")


def distances(window: int) -> Initializer:
    """The row of a table for each pair of places in a window."""
    places = np.stack(np.meshgrid(np.arange(window), np.arange(window), indexing="ij")).reshape(
        2, -1
    )
    rows, columns = places[:, :, None] - places[:, None, :] + window - 1
    return Values(numbers=(rows * (2 * window - 1) + columns).astype(float).tobytes())
