"""The base of attention layers: scores of queries and keys, and visible keys."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

from initcli.layers.base import Layer
from initcli.layers.flow import Flow, Mask
from initcli.types import (
    Array,
    Fraction,
    Shape,
    Size,
    doc,
)

SCORES = 10
"""Number of entries that the backward pass holds for each score."""
SOFTMAX = 100
"""Cost of the softmax for each score, in multiplications."""


class Scoring(NamedTuple):
    """Queries (…, queries, d), keys (…, keys, d), and the keys visible to each query (None: all).

    ``is_masked`` is whether masks hide keys.
    """

    queries: Array
    keys: Array
    seen: Mask
    is_masked: bool


class Attending(Layer, frozen=True, kw_only=True):
    """Attention of queries to the positions of values, by their keys."""

    registered = False
    supports_masking = True

    dropout: Annotated[Fraction, doc("Share of the attention scores set to 0 in training.")] = 0.0

    def scoring(self, flow: Flow, query: Array, key: Array, causal: bool) -> Scoring:
        """The queries and keys of a call; ``causal`` hides later keys."""
        raise NotImplementedError

    def scores(self, flow: Flow, queries: Array, keys: Array) -> Array:
        """The scores of queries (…, queries, d) and keys: (…, queries, keys)."""
        raise NotImplementedError

    def widths(self, *inputs: Shape) -> Iterator[tuple[str | int, ...]]:
        # Multi-query attention keeps its single key-value head at any width.
        kept = ("num_key_value_heads",) if getattr(self, "num_key_value_heads", 0) == 1 else ()
        return (path for path in super().widths(*inputs) if path != kept)

    def score_count(self, query: Size, key: Size) -> int:
        """Number of scores of one example, for shapes of query and key with the batch."""
        return math.prod(query[1:-1]) * key[-2]


def masks_of(flow: Flow) -> tuple[Mask, Mask]:
    """The masks of query and value: those of the call, or else those that they carry."""
    if given := flow.given_masks:
        return given.get("query_mask"), given.get("value_mask")
    return (flow.masks[0], flow.masks[1]) if flow.masks else (None, None)


def sight(xp: Any, queries: int, keys: int, causal: bool, reach: int | None) -> Mask:
    """Visible keys of each query, (queries, keys); None if all are visible.

    ``causal`` hides later keys, ``reach`` hides keys at that distance or more.
    """
    if not causal and reach is None:
        return None
    apart = xp.reshape(xp.arange(queries), (-1, 1)) - xp.arange(keys)
    seen = apart >= 0 if causal else None
    return seen if reach is None else both(xp, seen, xp.abs(apart) < reach)


def both(xp: Any, one: Mask, other: Mask) -> Mask:
    """The conjunction of two masks."""
    if one is None or other is None:
        return other if one is None else one
    return xp.logical_and(one, other)
