"""Attention between the inputs themselves, without projections."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, ClassVar, Literal

from initcli.activations import Softmax
from initcli.initializers import GlorotUniform, Ones
from initcli.layers.arguments import Seed
from initcli.layers.attending import SCORES, SOFTMAX, Attending, Scoring, both, masks_of, sight
from initcli.layers.base import Work, known_size
from initcli.layers.flow import Flow, Mask
from initcli.layers.regularization import dropped
from initcli.parameter import Parameter
from initcli.types import (
    Array,
    Shape,
    Size,
    doc,
)


class _Weightless(Attending, frozen=True, kw_only=True):
    """Attention between the inputs themselves: query, value and, if different, key."""

    # Keras passes them as one list, `mask`.
    takes_masks: ClassVar[Mapping[str, int]] = {"query_mask": 1, "value_mask": 1}

    def output_shape(
        self,
        query: Shape,
        value: Shape,
        key: Shape | None = None,
        *,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Shape | list[Shape]:
        key = value if key is None else key
        self.require_sequence(query, value, key)
        output = (*query[:-1], value[-1])
        scores = (*query[:-1], key[-2])
        return [output, scores] if return_attention_scores else output

    def work(self, inputs: Sequence[Size], outputs: Sequence[Size]) -> Work:
        query, key = inputs[0], inputs[1]
        scores = math.prod(query[:-1]) * key[-2]
        sums = scores * query[-1] if self.adds_vectors else 0
        return Work(SCORES * (scores + sums), scores * (SOFTMAX + 2 * query[-1]) + SOFTMAX * sums)

    @property
    def adds_vectors(self) -> bool:
        """Whether a score is of the sum of a query and a key."""
        return False

    def scoring(self, flow: Flow, query: Array, key: Array, causal: bool) -> Scoring:
        of_value = masks_of(flow)[1]
        kept = None if of_value is None else of_value[..., None, :]
        in_sight = sight(flow.xp, query.shape[-2], key.shape[-2], causal, None)
        return Scoring(query, key, both(flow.xp, in_sight, kept), kept is not None)

    def call(
        self,
        flow: Flow,
        query: Array,
        value: Array,
        key: Array | None = None,
        *,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Array | list[Array]:
        xp = flow.xp
        key = value if key is None else key
        queries, keys, seen, _ = self.scoring(flow, query, key, use_causal_mask)
        scores = self.scores(flow, queries, keys)
        of_query, _ = masks_of(flow)
        if seen is not None:
            scores = xp.where(seen, scores, scores - scores.dtype.type(1e9))
        shares = Softmax().call(xp, scores)
        taken = dropped(flow, shares, self.dropout, shares.shape, getattr(self, "seed", None))
        found = xp.matmul(taken, value)
        if of_query is not None:
            found = xp.where(of_query[..., None], found, found.dtype.type(0))
        return [found, shares] if return_attention_scores else found

    def output_mask(self, flow: Flow, *inputs: Array, **options: bool) -> Mask:
        return masks_of(flow)[0]


class Attention(_Weightless, frozen=True, kw_only=True):
    """Dot-product attention (Luong et al. 2015, arXiv:1508.04025).

    Weights: a scalar scale with ``use_scale``, a scalar concat_score_weight for ``concat`` scores.
    """

    use_scale: Annotated[bool, doc("Whether a learned scale multiplies the scores.")] = False
    score_mode: Annotated[
        Literal["dot", "concat"],
        doc("Score of a query and a key: their dot product, or the sum of tanh(query + key)."),
    ] = "dot"
    seed: Seed = None

    def parameters(
        self, query: Shape, value: Shape, key: Shape | None = None
    ) -> Iterator[Parameter]:
        if self.use_scale:
            yield Parameter(path="scale", shape=(), initializer=Ones())
        if self.score_mode == "concat":
            yield Parameter(path="concat_score_weight", shape=(), initializer=Ones())

    @property
    def adds_vectors(self) -> bool:
        return self.score_mode == "concat"

    def scores(self, flow: Flow, query: Array, key: Array) -> Array:
        xp = flow.xp
        scale = flow["scale"] if self.use_scale else 1.0
        if self.score_mode == "dot":
            return xp.matmul(query, xp.swapaxes(key, -1, -2)) * scale
        sums = xp.expand_dims(query, -2) + xp.expand_dims(key, -3)
        return flow["concat_score_weight"] * xp.sum(xp.tanh(scale * sums), -1)


class AdditiveAttention(_Weightless, frozen=True, kw_only=True):
    """Attention with the score Σ scale · tanh(query + key).

    Bahdanau et al. 2014, arXiv:1409.0473.
    """

    use_scale: Annotated[bool, doc("Whether a learned scale multiplies the scores.")] = True

    def parameters(
        self, query: Shape, value: Shape, key: Shape | None = None
    ) -> Iterator[Parameter]:
        if self.use_scale:
            size = (known_size(self, query, -1),)
            yield Parameter(path="scale", shape=size, initializer=GlorotUniform())

    adds_vectors = True

    def scores(self, flow: Flow, query: Array, key: Array) -> Array:
        xp = flow.xp
        scale = flow["scale"] if self.use_scale else 1.0
        return xp.sum(scale * xp.tanh(xp.expand_dims(query, -2) + xp.expand_dims(key, -3)), -1)
