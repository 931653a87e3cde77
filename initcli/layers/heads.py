"""Attention in several heads between tensors that other layers have projected."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from initcli.activations import Softmax
from initcli.layers.attending import SCORES, SOFTMAX, Attending, Scoring, both, masks_of, sight
from initcli.layers.base import Work, require_divisor
from initcli.layers.flow import Flow, Mask
from initcli.layers.regularization import dropped
from initcli.types import (
    Array,
    PositiveFloat,
    PositiveInt,
    Shape,
    ShapeError,
    Size,
    doc,
    shapes_text,
)


class DotProductAttention(Attending, frozen=True, kw_only=True):
    """softmax(scale · q · kᵀ) · v in each head, of projections that are made elsewhere.

    Vaswani et al. 2017, arXiv:1706.03762.

    Inputs are query (batch, queries, num_heads · d), value (batch, keys, num_key_value_heads · e)
    and key (batch, keys, num_key_value_heads · d); output (batch, queries, num_heads · e). It lets
    layers stand between the projections and the scores, such as norms of queries and keys.
    """

    takes_masks: ClassVar[Mapping[str, int]] = {"query_mask": 3, "value_mask": 4}

    num_heads: Annotated[PositiveInt, doc("Number of heads.", is_width=True)]
    num_key_value_heads: Annotated[
        PositiveInt | None,
        doc("Number of heads of key and value; `num_heads` if absent.", is_width=True),
    ] = None
    scale: Annotated[PositiveFloat | None, doc("Factor on the scores; 1 / √d if absent.")] = None

    def __post_init__(self) -> None:
        require_divisor("num_key_value_heads", self.shared, "num_heads", self.num_heads)

    @property
    def shared(self) -> int:
        """The number of heads of key and value."""
        return self.num_key_value_heads or self.num_heads

    def output_shape(
        self, query: Shape, value: Shape, key: Shape, *, use_causal_mask: bool = False
    ) -> Shape:
        counts = (self.num_heads, self.shared, self.shared)
        for shape, heads in zip((query, value, key), counts, strict=True):
            self.require_rank(shape, 3, "(positions, features)")
            if shape[-1] is not None and shape[-1] % heads:
                raise self.misfit(f"needs features that {heads} heads divide", shape)
        whole = query[-1] and query[-1] // self.num_heads, key[-1] and key[-1] // self.shared
        if value[1] != key[1] or whole[0] != whole[1]:
            raise ShapeError(
                "DotProductAttention's query, value and key do not fit: "
                f"{shapes_text((query, value, key))}",
                "a query and a key have one size in each head, a value and a key their positions",
            )
        each = value[-1] and value[-1] // self.shared
        return (*query[:-1], each and each * self.num_heads)

    def work(self, inputs: Sequence[Size], outputs: Sequence[Size]) -> Work:
        query, value, key = inputs
        scores = query[1] * key[1]
        every = query[0] * self.num_heads * scores
        width = query[-1] // self.num_heads + value[-1] // self.shared
        held = scores if self.dropout == 0 else every
        return Work(SCORES * held, every * (width + SOFTMAX))

    def score_count(self, query: Size, key: Size) -> int:
        return self.num_heads * query[1] * key[1]

    def scoring(self, flow: Flow, query: Array, key: Array, causal: bool) -> Scoring:
        xp = flow.xp
        of_value = masks_of(flow)[1]
        kept = None if of_value is None else of_value[:, None, None, :]
        seen = sight(xp, query.shape[-2], key.shape[-2], causal, None)
        in_heads = self._in_heads(xp, query, self.num_heads), self._in_heads(xp, key, self.shared)
        return Scoring(*in_heads, both(xp, seen, kept), kept is not None)

    def scores(self, flow: Flow, queries: Array, keys: Array) -> Array:
        scale = queries.shape[-1] ** -0.5 if self.scale is None else self.scale
        return flow.xp.matmul(queries, flow.xp.swapaxes(keys, -1, -2)) * scale

    def call(
        self,
        flow: Flow,
        query: Array,
        value: Array,
        key: Array,
        *,
        use_causal_mask: bool = False,
    ) -> Array:
        xp = flow.xp
        queries, keys, seen, _ = self.scoring(flow, query, key, use_causal_mask)
        values = self._in_heads(xp, value, self.shared)
        if self.dropout == 0:
            if self.scale is not None:
                queries = queries * queries.dtype.type(self.scale * math.sqrt(queries.shape[-1]))
            found = xp.attend(queries, keys, values, seen, False)
        else:
            scores = self.scores(flow, queries, keys)
            if seen is not None:
                scores = xp.where(seen, scores, scores.dtype.type(-1e9))
            shares = Softmax().call(xp, scores)
            found = xp.matmul(dropped(flow, shares, self.dropout, shares.shape), values)
        mixed = xp.swapaxes(found, 1, 2)
        return xp.reshape(mixed, (*mixed.shape[:2], -1))

    def output_mask(self, flow: Flow, *inputs: Array, **options: bool) -> Mask:
        return masks_of(flow)[0]

    def _in_heads(self, xp: Any, x: Array, heads: int) -> Array:
        """A projection as (batch, heads, positions, features), for each head of the queries."""
        split = xp.reshape(x, (*x.shape[:2], heads, -1))
        split = xp.swapaxes(split, 1, 2)
        times = self.num_heads // heads
        return xp.repeat(split, times, 1) if times > 1 else split
