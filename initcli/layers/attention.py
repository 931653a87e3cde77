"""Attention: what each position of a query takes from the positions of a value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce
from typing import Any, ClassVar, Literal

import msgspec

from initcli.activations import Softmax
from initcli.initializers import GlorotUniform, Initializer, Ones, Zeros
from initcli.layers.base import Layer, known_size
from initcli.layers.einsum import Counted, Projection, projecting, stored_projection
from initcli.layers.flow import Flow, Mask
from initcli.layers.quantization import require_floats, scheme_of
from initcli.layers.regularization import dropped
from initcli.parameter import Parameter
from initcli.types import (
    ArgumentError,
    Array,
    Fraction,
    NotComputable,
    PositiveInt,
    Shape,
    ShapeError,
    Size,
    shape_text,
    shapes_text,
)

_POSITIONS = "such as (None, 10, 64): 10 positions with 64 features each"


class _Projecting(Layer, frozen=True, kw_only=True):
    """Attention between projections of its inputs, whose weights stand under their names.

    ``query_initializer``, ``key_initializer``, ``value_initializer`` and ``output_initializer``,
    which Keras has not, fill the kernel of one projection in place of ``kernel_initializer``: the
    output's leads back into the residual stream, where schemes start it smaller.
    """

    holds_layers = True
    supports_masking = True
    takes_masks: ClassVar[Mapping[str, int]] = {
        "query_mask": 3,
        "value_mask": 4,
        "key_mask": 5,
        "attention_mask": 6,
    }

    dropout: Fraction = 0.0
    use_bias: bool = True
    use_gate: bool = False
    sliding_window: PositiveInt | None = None
    flash_attention: bool | None = None
    kernel_initializer: Initializer = GlorotUniform()
    bias_initializer: Initializer = Zeros()
    query_initializer: Initializer | None = None
    key_initializer: Initializer | None = None
    value_initializer: Initializer | None = None
    output_initializer: Initializer | None = None
    fans: Counted = "projection"
    quantization: str | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        scheme_of(self.quantization)

    def projection(
        self, name: str, sources: Size, targets: Size, positions: int
    ) -> Iterator[Parameter]:
        """A kernel (sources…, targets…) with fans of those sizes, and a bias (targets…).

        ``positions`` are the axes that it passes over, the batch among them.
        """
        into, out = len(sources), len(targets)
        shape = (*sources, *targets)
        axes = tuple(range(into + out))
        found = Projection(shape, axes[:into], axes[into:], targets, ())
        argument = f"{name.removeprefix('attention_')}_initializer"
        if getattr(self, argument, None) is None:
            argument = "kernel_initializer"
        kernel = self.weight(
            "kernel",
            shape,
            argument,
            projecting(getattr(self, argument), found, self.fans),
            contracts=found.input_axes,
            produces=found.output_axes,
        )
        scale = (*(1,) * positions, *targets)
        stored = stored_projection(scheme_of(self.quantization), kernel, found, scale)
        bias = self.weight("bias", targets, "bias_initializer")
        for each in (*stored.before, *((bias,) if self.use_bias else ()), *stored.after):
            yield msgspec.structs.replace(each, path=f"{name}/{each.path}")

    def attendable(
        self, query: Shape, value: Shape | None, key: Shape | None
    ) -> tuple[Shape, Shape]:
        """Value and key, which are the query and the value where they are not given.

        Raises:
            ShapeError: they do not belong together, position by position.
        """
        value = query if value is None else value
        key = value if key is None else key
        for shape in (query, value, key):
            if len(shape) < 3:
                raise ShapeError(
                    f"{type(self).__name__} needs positions and features beside the batch, not "
                    f"{shape_text(shape)}",
                    _POSITIONS,
                )
            known_size(self, shape, -1)
        if value[1:-1] != key[1:-1]:
            raise ShapeError(
                f"{type(self).__name__}'s value {shape_text(value)} and key {shape_text(key)} "
                "differ in their positions",
                "each value needs a key of its own: give both as many positions",
            )
        return value, key

    def projected(self, flow: Flow, name: str, x: Array, into: int = 1) -> Array:
        """x · kernel + bias, over the last ``into`` axes of x."""
        require_floats(scheme_of(self.quantization), "kernel")
        xp, own = flow.xp, flow.within(name)
        y = xp.tensordot(x, own["kernel"], into)
        return y + own["bias"] if self.use_bias else y

    def attended(
        self,
        flow: Flow,
        query: Array,
        key: Array,
        value: Array,
        kept: Mask,
        causal: bool,
        is_fused: bool,
    ) -> tuple[Array, Array]:
        """What each query takes, and the shares: of (batch, heads, positions, features) each.

        A query from which ``kept`` hides every key takes all alike where Keras fuses attention,
        and nothing elsewhere.
        """
        xp = flow.xp
        scores = xp.matmul(query, xp.swapaxes(key, -1, -2)) * query.shape[-1] ** -0.5
        seen = _both(xp, _sight(xp, scores, causal, self.sliding_window), kept)
        if seen is not None:
            scores = xp.where(seen, scores, scores.dtype.type(-1e9))
        shares = Softmax().call(xp, scores)
        if kept is not None and not is_fused:
            shares = xp.where(seen, shares, shares.dtype.type(0))
        taken = dropped(flow, shares, self.dropout, shares.shape, self.seed)
        return xp.matmul(taken, value), shares

    def hidden(self, flow: Flow, query: Mask, sizes: Size, axes: int = 1) -> Mask:
        """What the masks of query, value and key, and that of the call, leave to be seen.

        ``sizes`` are those of the scores, of which the last 2 · ``axes`` are positions of the
        queries and of the keys; the masks go before the heads, as in Keras.

        Raises:
            NotComputable: a mask does not fit the scores.
        """
        xp, given, carried = flow.xp, flow.given_masks, flow.masks
        value = given.get("value_mask", carried[min(1, len(carried) - 1)] if carried else None)
        key = given.get("key_mask", carried[2] if len(carried) > 2 else None)
        given_parts = [
            None if query is None else query[..., None],
            *(None if mask is None else mask[..., None, :] for mask in (value, key)),
            given.get("attention_mask"),
        ]
        parts: list[Array] = [part for part in given_parts if part is not None]
        if not parts:
            return None
        try:
            found: Array = reduce(xp.logical_and, parts)
            before = found.shape[: max(found.ndim - 2 * axes, 0)]
            filled = (*before, *(1,) * (len(sizes) - found.ndim), *found.shape[len(before) :])
            return xp.broadcast_to(xp.reshape(found, filled), sizes)
        except ValueError:
            shapes = shapes_text(tuple(part.shape for part in parts))
            wanted = f"{self.type_name}'s masks, {shapes}, do not fit its scores"
            raise NotComputable(f"{wanted} {shape_text(sizes)}") from None

    def is_fused(self, rank: int, return_scores: bool) -> bool:
        """Whether Keras leaves attention between inputs of that rank to one fused operation."""
        return rank == 3 and self.dropout == 0 and not return_scores


class MultiHeadAttention(_Projecting, frozen=True, kw_only=True):
    """Attention in several heads at once (Vaswani et al. 2017).

    Inputs are query, value and key; the value is the query and the key the value where they are
    not given. Shapes: query/kernel (d, heads, key_dim), key/kernel (d, heads, key_dim),
    value/kernel (d, heads, value_dim), attention_output/kernel (heads, value_dim, d), each with a
    bias of the axes after its input. Fans are those of the projections: d and heads · key_dim.
    """

    # Keras takes them off the very tensors, so that a residual connection has lost its mask.
    ends_masks = True

    num_heads: PositiveInt
    key_dim: PositiveInt
    value_dim: PositiveInt | None = None
    output_shape_: PositiveInt | tuple[PositiveInt, ...] | None = msgspec.field(
        default=None, name="output_shape"
    )
    attention_axes: int | tuple[int, ...] | None = None

    def output_shape(
        self,
        query: Shape,
        value: Shape | None = None,
        key: Shape | None = None,
        *,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Shape | list[Shape]:
        self.attendable(query, value, key)
        output = (*query[:-1], *self._output_sizes(query))
        # Keras gives the scores of self-attention the query's length twice, whatever the key's.
        scores = (query[0], self.num_heads, query[1], query[1])
        return [output, scores] if return_attention_scores else output

    def parameters(
        self, query: Shape, value: Shape | None = None, key: Shape | None = None
    ) -> Iterator[Parameter]:
        value, key = self.attendable(query, value, key)
        keys = (self.num_heads, self.key_dim)
        values = (self.num_heads, self.value_dim or self.key_dim)
        rank = len(query) - 1
        yield from self.projection("query", (known_size(self, query, -1),), keys, rank)
        yield from self.projection("key", (known_size(self, key, -1),), keys, rank)
        if self.use_gate:
            yield from self.projection("gate", (known_size(self, query, -1),), values, rank)
        yield from self.projection("value", (known_size(self, value, -1),), values, rank)
        yield from self.projection("attention_output", values, self._output_sizes(query), rank)

    def _output_sizes(self, query: Shape) -> Size:
        given = self.output_shape_
        if given is None or given == ():
            return (known_size(self, query, -1),)
        return (given,) if isinstance(given, int) else given

    def call(
        self,
        flow: Flow,
        query: Array,
        value: Array | None = None,
        key: Array | None = None,
        *,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Array | list[Array]:
        xp, source = flow.xp, query
        value = query if value is None else value
        key = value if key is None else key
        rank = len(source.shape)
        given = self.attention_axes
        if given is None:
            given = tuple(range(1, rank - 1))
        axes = [each % rank for each in ((given,) if isinstance(given, int) else given)]
        rest = [axis for axis in range(1, rank - 1) if axis not in axes]
        # (batch, …, heads, positions, features), the positions of all attention axes as one.
        order = [0, *rest, rank - 1, *axes, rank]

        def heads(name: str, x: Array) -> Array:
            y = xp.transpose(self.projected(flow, name, x), order)
            return xp.reshape(y, (*y.shape[: len(rest) + 2], -1, y.shape[-1]))

        queries, keys, values = heads("query", query), heads("key", key), heads("value", value)
        positions = [tuple(x.shape[axis] for axis in axes) for x in (query, key)]
        sizes = (*queries.shape[:-2], *positions[0], *positions[1])
        own = flow.masks[0] if flow.masks else None
        kept = self.hidden(flow, own, sizes, len(axes))
        if kept is not None:
            kept = xp.reshape(kept, (*queries.shape[:-1], keys.shape[-2]))
        is_fused = self.is_fused(rank, return_attention_scores)
        found, shares = self.attended(flow, queries, keys, values, kept, use_causal_mask, is_fused)
        unpacked = xp.reshape(
            found, (*found.shape[:-2], *(source.shape[axis] for axis in axes), found.shape[-1])
        )
        mixed = xp.transpose(unpacked, [order.index(axis) for axis in range(rank + 1)])
        if self.use_gate:
            mixed = mixed * xp.sigmoid(self.projected(flow, "gate", source))
        output = self.projected(flow, "attention_output", mixed, 2)
        if not return_attention_scores:
            return output
        return [output, xp.reshape(shares, sizes)]


class GroupedQueryAttention(_Projecting, frozen=True, kw_only=True):
    """Attention whose query heads share fewer heads of key and value (Ainslie et al. 2023).

    Inputs are query, value and key; the value is the query and the key the value where they are
    not given. Shapes: query/kernel (d, query heads, head_dim), key/kernel and value/kernel
    (d, key-value heads, head_dim), attention_output/kernel (query heads, head_dim, d).
    """

    aliases: ClassVar[tuple[str, ...]] = ("GroupQueryAttention",)

    head_dim: PositiveInt
    num_query_heads: PositiveInt
    num_key_value_heads: PositiveInt

    def __post_init__(self) -> None:
        if self.num_query_heads % self.num_key_value_heads:
            raise ArgumentError(
                "num_key_value_heads",
                f"`num_key_value_heads` ({self.num_key_value_heads}) must divide "
                f"`num_query_heads` ({self.num_query_heads})",
            )

    def output_shape(
        self,
        query: Shape,
        value: Shape | None = None,
        key: Shape | None = None,
        *,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Shape | list[Shape]:
        value, key = self.attendable(query, value, key)
        if not len(query) == len(value) == len(key) == 3:
            raise ShapeError(
                "GroupedQueryAttention needs inputs of 2 axes beside the batch (positions, "
                f"features), not {shapes_text((query, value, key))}"
            )
        if query[-1] != value[-1]:
            raise ShapeError(
                f"GroupedQueryAttention's query {shape_text(query)} and value {shape_text(value)} "
                "differ in their features"
            )
        scores = (query[0], self.num_query_heads, query[1], key[1])
        return [query, scores] if return_attention_scores else query

    def parameters(
        self, query: Shape, value: Shape | None = None, key: Shape | None = None
    ) -> Iterator[Parameter]:
        value, key = self.attendable(query, value, key)
        features = known_size(self, query, -1)
        heads = (self.num_query_heads, self.head_dim)
        shared = (self.num_key_value_heads, self.head_dim)
        yield from self.projection("query", (features,), heads, 2)
        yield from self.projection("key", (known_size(self, key, -1),), shared, 2)
        if self.use_gate:
            yield from self.projection("gate", (features,), heads, 2)
        yield from self.projection("value", (known_size(self, value, -1),), shared, 2)
        yield from self.projection("attention_output", heads, (features,), 2)

    def call(
        self,
        flow: Flow,
        query: Array,
        value: Array | None = None,
        key: Array | None = None,
        *,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Array | list[Array]:
        xp, source = flow.xp, query
        value = query if value is None else value
        key = value if key is None else key
        times = self.num_query_heads // self.num_key_value_heads
        queries = xp.swapaxes(self.projected(flow, "query", query), 1, 2)
        keys, values = (
            xp.repeat(xp.swapaxes(self.projected(flow, name, x), 1, 2), times, 1)
            for name, x in (("key", key), ("value", value))
        )
        own = flow.given_masks.get("query_mask", flow.masks[0] if flow.masks else None)
        kept = self.hidden(flow, own, (*queries.shape[:-1], keys.shape[-2]))
        is_fused = self.is_fused(len(source.shape), return_attention_scores)
        found, shares = self.attended(flow, queries, keys, values, kept, use_causal_mask, is_fused)
        mixed = xp.swapaxes(found, 1, 2)
        if self.use_gate:
            mixed = mixed * xp.sigmoid(self.projected(flow, "gate", source))
        output = self.projected(flow, "attention_output", mixed, 2)
        return [output, shares] if return_attention_scores else output


class _Attention(Layer, frozen=True, kw_only=True):
    """Attention between the inputs themselves: query, value and, if it differs, key."""

    supports_masking = True
    # Keras's one argument `mask`, a list.
    takes_masks: ClassVar[Mapping[str, int]] = {"query_mask": 1, "value_mask": 1}

    dropout: Fraction = 0.0

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
        for shape in (query, value, key):
            if len(shape) < 3:
                raise ShapeError(
                    f"{type(self).__name__} needs positions and features beside the batch, not "
                    f"{shape_text(shape)}",
                    _POSITIONS,
                )
        output = (*query[:-1], value[-1])
        scores = (*query[:-1], key[-2])
        return [output, scores] if return_attention_scores else output

    def scores(self, flow: Flow, query: Array, key: Array) -> Array:
        """How well each query (batch, …, queries, d) fits each key: (batch, …, queries, keys)."""
        raise NotImplementedError

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
        scores = self.scores(flow, query, value if key is None else key)
        of_query, of_value = self._masks(flow)
        kept = None if of_value is None else of_value[..., None, :]
        seen = _both(xp, _sight(xp, scores, use_causal_mask, None), kept)
        if seen is not None:
            scores = xp.where(seen, scores, scores - scores.dtype.type(1e9))
        shares = Softmax().call(xp, scores)
        taken = dropped(flow, shares, self.dropout, shares.shape, getattr(self, "seed", None))
        found = xp.matmul(taken, value)
        if of_query is not None:
            found = xp.where(of_query[..., None], found, found.dtype.type(0))
        return [found, shares] if return_attention_scores else found

    def output_mask(self, flow: Flow, *inputs: Array, **options: bool) -> Mask:
        return self._masks(flow)[0]

    def _masks(self, flow: Flow) -> tuple[Mask, Mask]:
        """Those of query and value: all that the call names, or else those that they carry."""
        if given := flow.given_masks:
            return given.get("query_mask"), given.get("value_mask")
        return (flow.masks[0], flow.masks[1]) if flow.masks else (None, None)


class Attention(_Attention, frozen=True, kw_only=True):
    """Dot-product attention (Luong et al. 2015), or that of tanh(query + key).

    With ``use_scale`` a scalar scale, with ``score_mode: concat`` a scalar concat_score_weight.
    """

    use_scale: bool = False
    score_mode: Literal["dot", "concat"] = "dot"
    seed: int | None = None

    def parameters(
        self, query: Shape, value: Shape, key: Shape | None = None
    ) -> Iterator[Parameter]:
        if self.use_scale:
            yield Parameter(path="scale", shape=(), initializer=Ones())
        if self.score_mode == "concat":
            yield Parameter(path="concat_score_weight", shape=(), initializer=Ones())

    def scores(self, flow: Flow, query: Array, key: Array) -> Array:
        xp = flow.xp
        scale = flow["scale"] if self.use_scale else 1.0
        if self.score_mode == "dot":
            return xp.matmul(query, xp.swapaxes(key, -1, -2)) * scale
        sums = xp.expand_dims(query, -2) + xp.expand_dims(key, -3)
        return flow["concat_score_weight"] * xp.sum(xp.tanh(scale * sums), -1)


class AdditiveAttention(_Attention, frozen=True, kw_only=True):
    """Attention by Σ scale · tanh(query + key) (Bahdanau et al. 2015): scale is (features,)."""

    use_scale: bool = True

    def parameters(
        self, query: Shape, value: Shape, key: Shape | None = None
    ) -> Iterator[Parameter]:
        if self.use_scale:
            size = (known_size(self, query, -1),)
            yield Parameter(path="scale", shape=size, initializer=GlorotUniform())

    def scores(self, flow: Flow, query: Array, key: Array) -> Array:
        xp = flow.xp
        scale = flow["scale"] if self.use_scale else 1.0
        return xp.sum(scale * xp.tanh(xp.expand_dims(query, -2) + xp.expand_dims(key, -3)), -1)


def _sight(xp: Any, scores: Array, causal: bool, reach: int | None) -> Mask:
    """Which keys a query can see, (queries, keys); None where it can see all.

    ``causal`` lets a query see no later key, ``reach`` none that many positions away or more.
    """
    apart = xp.reshape(xp.arange(scores.shape[-2]), (-1, 1)) - xp.arange(scores.shape[-1])
    seen = apart >= 0 if causal else None
    return seen if reach is None else _both(xp, seen, xp.abs(apart) < reach)


def _both(xp: Any, one: Mask, other: Mask) -> Mask:
    """Where both masks are True."""
    if one is None or other is None:
        return other if one is None else one
    return xp.logical_and(one, other)
