"""Attention and mixtures of experts, as the layers of a spec that compute them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from initcli.sources.huggingface.entries import Entry, NotComputed
from initcli.sources.huggingface.layers import Layers
from initcli.sources.huggingface.modules import Tensor


class Heads(NamedTuple):
    """Heads of attention: numbers for queries, and for keys and values; features of each."""

    queries: int
    keys: int
    size: int


class Stack(Layers):
    """The layers of a spec that compute what a described model does."""

    def attention(
        self,
        name: str,
        takes: str,
        heads: Heads,
        names: tuple[str, str, str],
        out: str,
        *,
        causal: bool,
        source: str = "",
        axis: int | None = None,
    ) -> str:
        """Add attention whose queries, keys and values are the named projections.

        Keys and values are projections of ``source``; by default of ``takes`` (self-attention).
        Of several axes of positions, attention is along ``axis``.
        """
        query, key, value = map(self.projection, names)
        output = self.projection(out)
        inner = heads.queries * heads.size
        if output[0].shape[(output[0].contracts or (1,))[0]] != inner:
            raise NotComputed(f"'{out}', of which inputs are other than the heads")
        biases = [bias is not None for _, bias in (query, key, value, output)]
        if any(biases) and not all(biases):
            parts = self.projections(names, takes, heads, source)
            return self.dense(out, self.attend(name, *parts, heads, causal=causal))
        filled = {
            f"{role}_initializer": self.filled(kernel.initializer)
            for role, (kernel, _) in zip(
                ("query", "key", "value", "output"), (query, key, value, output), strict=True
            )
        }
        if len({str(each) for each in filled.values()}) == 1:
            filled = {"kernel_initializer": filled["query_initializer"]}
        elif all(
            filled[f"{role}_initializer"] == filled["query_initializer"]
            for role in ("key", "value")
        ):
            filled = {
                "kernel_initializer": filled["query_initializer"],
                "output_initializer": filled["output_initializer"],
            }
        sizes: Entry = {"num_heads": heads.queries, "key_dim": heads.size}
        kind = "MultiHeadAttention"
        sources: str | list[str] = [takes, source or takes]
        if heads.keys != heads.queries:
            kind, sources = "GroupQueryAttention", sources if source else takes
            sizes = {"num_query_heads": heads.queries, "num_key_value_heads": heads.keys}
            sizes["head_dim"] = heads.size
        seen: Entry = {"use_causal_mask": True} if causal else {}
        if axis is not None:
            seen["attention_axes"] = axis
        return self.add(kind, name, sources, **sizes, use_bias=all(biases), **seen, **filled)

    def projections(
        self, names: Sequence[str], takes: str, heads: Heads, source: str = ""
    ) -> tuple[str, str, str]:
        """Add the projections to queries, keys and values, or the parts of a packed one."""
        if len(set(names)) > 1:
            query, key, value = names
            key, value = (self.dense(each, source or takes) for each in (key, value))
            return self.dense(query, takes), key, value
        keys = heads.keys * heads.size
        sizes = {"query": heads.queries * heads.size, "key": keys, "value": keys}
        query, key, value = (
            self.dense(names[0], takes, part=part, units=size) for part, size in sizes.items()
        )
        return query, key, value

    def attend(
        self,
        name: str,
        query: str,
        key: str,
        value: str,
        heads: Heads,
        *,
        causal: bool,
        scale: float | None = None,
    ) -> str:
        """Add attention of existing projections; the scale is 1/√size by default."""
        sizes: Entry = {"num_heads": heads.queries}
        if heads.keys != heads.queries:
            sizes["num_key_value_heads"] = heads.keys
        if scale is not None and not math.isclose(scale, heads.size**-0.5):
            sizes["scale"] = scale
        seen = {"use_causal_mask": True} if causal else {}
        return self.add("DotProductAttention", name, [query, value, key], **sizes, **seen)

    def norm_of_heads(
        self, name: str, takes: str, count: int, size: int, kind: str, epsilon: float
    ) -> str:
        """Add a normalization of each of so many heads of that size."""
        split = self.in_heads(name, takes, count, size)
        return self.joined(name, self.norm(name, split, kind, epsilon), count * size)

    def in_heads(self, name: str, takes: str, count: int, size: int) -> str:
        """Add an axis for heads of features."""
        return self.add("Reshape", f"{name}.heads", takes, target_shape=[-1, count, size])

    def with_part(self, name: str, takes: str, part: str, count: int, size: int) -> str:
        """Append features that all heads share to those of each head."""
        alone = self.add("Reshape", f"{part}.alone", part, target_shape=[-1, 1, size])
        every = self.add("UpSampling2D", f"{part}.heads", alone, size=[1, count])
        return self.add("Concatenate", f"{name}.parts", [takes, every], axis=-1)

    def joined(self, name: str, takes: str, width: int) -> str:
        """Concatenate the heads of each position."""
        return self.add("Reshape", f"{name}.joined", takes, target_shape=[-1, width])

    def merged(self, name: str, takes: str, count: int, width: int) -> str:
        """Concatenate each ``count`` positions to one vector of ``width``."""
        if self.steps % count:
            raise NotComputed(f"how {self.steps:,} positions are joined, {count:,} at a time")
        self.steps //= count
        return self.joined(name, takes, width)

    def experts(
        self,
        name: str,
        router: str,
        takes: str,
        top_k: int,
        activation: str,
        *,
        into: str = "gate_up_proj",
        back: str = "down_proj",
        **how: Any,
    ) -> str:
        """Add a mixture of experts; they are gated if ``into`` packs two projections."""
        up, down = (self.tensor(f"{name}.{each}") for each in (into, back))
        units = down.shape[(down.contracts or (1,))[0]]
        how["use_gate"] = up.shape[(up.produces or (1,))[0]] == 2 * units
        weight, bias = self.projection(router)
        if bias is not None:
            how |= {"use_bias": True, "router_bias_initializer": self.filled(bias.initializer)}
            for each in (into, back):
                filled = self.filled(self.tensor(f"{name}.{each}_bias").initializer)
                how["bias_initializer"] = filled
        return self._mixture(name, takes, (weight, up, down), units, top_k, activation, how)

    def own_experts(
        self,
        name: str,
        router: str,
        takes: str,
        top_k: int,
        activation: str,
        names: tuple[str, str],
        **how: Any,
    ) -> str:
        """Add a mixture of experts that are modules ``expert_0``, ..., whose biases start at 0.

        The names are those of an expert's two projections.
        """
        weight = self.tensor(f"{router}.weight")
        for expert in reversed(range(weight.shape[0])):
            up, down = (self.tensor(f"{name}.expert_{expert}.{each}.weight") for each in names)
        kernels, how["use_gate"] = (weight, up, down), False
        mixed = self._mixture(name, takes, kernels, up.shape[0], top_k, activation, how)
        self.hold(router)
        self.hold(name)
        return mixed

    def _mixture(
        self,
        name: str,
        takes: str,
        kernels: tuple[Tensor, Tensor, Tensor],
        units: int,
        top_k: int,
        activation: str,
        how: Entry,
    ) -> str:
        """Add a mixture with the kernels of the router, and of an expert's two projections."""
        router, up, down = (self.filled(each.initializer) for each in kernels)
        filled = {"kernel_initializer": up, "router_initializer": router}
        if down != up:
            filled["down_initializer"] = down
        defaults = {"scoring": "softmax", "normalize": True, "scale": 1.0}
        return self.add(
            "MixtureOfExperts",
            name,
            takes,
            num_experts=kernels[0].shape[0],
            top_k=top_k,
            units=units,
            activation=self.activation(activation),
            **filled,
            **{key: value for key, value in how.items() if value != defaults.get(key)},
        )
