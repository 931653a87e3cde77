"""Attention between learned projections of the inputs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from typing import Annotated, ClassVar, NamedTuple

import msgspec
from msgspec import Meta

from initcli.activations import Softmax
from initcli.initializers import GlorotUniform, Initializer, Zeros
from initcli.layers.arguments import Quantization, Seed
from initcli.layers.attending import SCORES, SOFTMAX, Attending, Scoring, both, sight
from initcli.layers.base import Work, known_size, require_divisor, several
from initcli.layers.einsum import Counted, Projection, projected_kernel, stored_projection
from initcli.layers.flow import Flow, Mask
from initcli.layers.quantization import require_floats, scheme_of
from initcli.layers.regularization import dropped
from initcli.parameter import Parameter
from initcli.types import (
    Array,
    NotComputable,
    PositiveInt,
    Shape,
    ShapeError,
    Size,
    doc,
    shape_text,
    shapes_text,
)

_PROJECTED = 6
"""Number of entries that it holds for each entry of a projection."""


class Heads(NamedTuple):
    """The numbers of heads, and the sizes of a head's vectors."""

    queries: int
    keys: int
    key_dim: int
    value_dim: int


def _own(name: str) -> Meta:
    return doc(
        f"Fills the kernel of the {name} projection instead of `kernel_initializer`. Not in Keras."
    )


class _Projecting(Attending, frozen=True, kw_only=True):
    """Attention between learned projections of the inputs."""

    holds_layers = True
    takes_masks: ClassVar[Mapping[str, int]] = {
        "query_mask": 3,
        "value_mask": 4,
        "key_mask": 5,
        "attention_mask": 6,
    }

    use_bias: Annotated[bool, doc("Whether the projections add biases.")] = True
    use_gate: Annotated[
        bool, doc("Whether a learned sigmoid gate multiplies the output of each head.")
    ] = False
    sliding_window: Annotated[
        PositiveInt | None,
        doc("Distance from which keys are hidden from a query; no limit if absent."),
    ] = None
    flash_attention: Annotated[
        bool | None, doc("Whether Keras uses flash attention; it changes no value.")
    ] = None
    kernel_initializer: Annotated[Initializer, doc("Fills the kernels of the projections.")] = (
        GlorotUniform()
    )
    bias_initializer: Annotated[Initializer, doc("Fills the biases of the projections.")] = Zeros()
    query_initializer: Annotated[Initializer | None, _own("query")] = None
    key_initializer: Annotated[Initializer | None, _own("key")] = None
    value_initializer: Annotated[Initializer | None, _own("value")] = None
    output_initializer: Annotated[Initializer | None, _own("output")] = None
    fans: Counted = "projection"
    quantization: Quantization = None
    seed: Seed = None

    def __post_init__(self) -> None:
        scheme_of(self.quantization)

    def projection(
        self, name: str, sources: Size, targets: Size, positions: int
    ) -> Iterator[Parameter]:
        """A kernel (sources…, targets…) with the fans of these sizes, and a bias (targets…).

        ``positions`` is the number of axes that the kernel does not contract, including the batch.
        """
        shape, into = (*sources, *targets), len(sources)
        axes = tuple(range(len(shape)))
        found = Projection(shape, axes[:into], axes[into:], targets, ())
        argument = f"{name.removeprefix('attention_')}_initializer"
        if getattr(self, argument, None) is None:
            argument = "kernel_initializer"
        kernel = projected_kernel(self, found, argument, self.fans)
        scale = (*(1,) * positions, *targets)
        stored = stored_projection(scheme_of(self.quantization), kernel, found, scale)
        bias = [self.weight("bias", targets, "bias_initializer")] * self.use_bias
        for each in stored.around(bias):
            yield msgspec.structs.replace(each, path=f"{name}/{each.path}")

    def attendable(
        self, query: Shape, value: Shape | None, key: Shape | None
    ) -> tuple[Shape, Shape, Shape]:
        """Value and key, by default the query and the value, and the shape of the scores.

        Raises:
            ShapeError: their positions do not match.
        """
        value = query if value is None else value
        key = value if key is None else key
        self.require_sequence(query, value, key)
        for shape in (query, value, key):
            known_size(self, shape, -1)
        if value[1:-1] != key[1:-1]:
            raise ShapeError(
                f"{type(self).__name__}'s value {shape_text(value)} and key {shape_text(key)} "
                "differ in their positions",
                "give both the same number of positions",
            )
        return value, key, (query[0], self.heads.queries, query[1], key[1])

    def output_shape(
        self,
        query: Shape,
        value: Shape | None = None,
        key: Shape | None = None,
        *,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Shape | list[Shape]:
        *_, scores = self.attendable(query, value, key)
        output = (*query[:-1], *self.output_sizes(query))
        return [output, scores] if return_attention_scores else output

    def projected(self, flow: Flow, name: str, x: Array, into: int = 1) -> Array:
        """x · kernel + bias, over the last ``into`` axes of x."""
        require_floats(scheme_of(self.quantization), "kernel")
        xp, own = flow.xp, flow.within(name)
        y = xp.tensordot(x, own["kernel"], into)
        return y + own["bias"] if self.use_bias else y

    def hidden(self, flow: Flow, query: Mask, sizes: Size, axes: int = 1) -> Mask:
        """The mask of visible scores, from the masks of query, value, key and call.

        ``sizes`` is the shape of the scores, whose last 2 · ``axes`` axes are the positions of the
        queries and the keys. As in Keras, masks apply before the heads are split.

        Raises:
            NotComputable: a mask does not fit the scores.
        """
        xp, given, carried = flow.xp, flow.given_masks, flow.masks
        value = given.get("value_mask", carried[min(1, len(carried) - 1)] if carried else None)
        key = given.get("key_mask", carried[2] if len(carried) > 2 else None)
        parts: list[Array] = [] if query is None else [query[..., None]]
        parts += [mask[..., None, :] for mask in (value, key) if mask is not None]
        if "attention_mask" in given:
            parts.append(given["attention_mask"])
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

    @property
    def heads(self) -> Heads:
        """The numbers of heads and the sizes of their vectors."""
        raise NotImplementedError

    def output_sizes(self, query: Shape) -> Size:
        """The sizes of the output's axes other than the positions."""
        return (known_size(self, query, -1),)

    def positions(self, rank: int) -> list[int]:
        """The axes of an input of that rank over which a query attends."""
        return list(range(1, rank - 1))

    def query_mask(self, flow: Flow) -> Mask:
        """The mask of the query."""
        return flow.masks[0] if flow.masks else None

    def parameters(
        self, query: Shape, value: Shape | None = None, key: Shape | None = None
    ) -> Iterator[Parameter]:
        value, key, _ = self.attendable(query, value, key)
        heads, rank = self.heads, len(query) - 1
        of_query, of_key, of_value = ((known_size(self, x, -1),) for x in (query, key, value))
        mixed = (heads.queries, heads.value_dim)
        yield from self.projection("query", of_query, (heads.queries, heads.key_dim), rank)
        yield from self.projection("key", of_key, (heads.keys, heads.key_dim), rank)
        if self.use_gate:
            yield from self.projection("gate", of_query, mixed, rank)
        yield from self.projection("value", of_value, (heads.keys, heads.value_dim), rank)
        yield from self.projection("attention_output", mixed, self.output_sizes(query), rank)

    def work(self, inputs: Sequence[Size], outputs: Sequence[Size]) -> Work:
        query, key = inputs[0], inputs[min(1, len(inputs) - 1)]
        heads, rank = self.heads, len(query)
        attended = self.positions(rank)
        examples = math.prod(query[axis] for axis in range(rank - 1) if axis not in attended)
        queries, keys = (math.prod(shape[axis] for axis in attended) for shape in (query, key))
        width = heads.key_dim + heads.value_dim
        scores = queries * keys * (1 if self.is_sliced(outputs) else examples * heads.queries)
        return Work(
            held=SCORES * scores + _PROJECTED * examples * heads.queries * width * (queries + keys),
            products=examples * heads.queries * queries * keys * (width + SOFTMAX),
        )

    def is_sliced(self, outputs: Sequence[Size]) -> bool:
        """Whether scores are computed a few heads at a time."""
        return self.dropout == 0 and len(outputs) == 1

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
        xp = flow.xp
        value = query if value is None else value
        key = value if key is None else key
        rank = len(query.shape)
        axes, order = self._order(rank)
        queries, keys, seen, is_masked = self.scoring(flow, query, key, use_causal_mask)
        values = self._in_heads(flow, "value", value)
        positions = tuple(query.shape[axis] for axis in axes)
        sizes = (*queries.shape[:-2], *positions, *(key.shape[axis] for axis in axes))
        # For such inputs Keras uses a fused operation, in which a query that sees no key averages
        # all values. Otherwise the result is 0.
        is_fused = rank == 3 and self.dropout == 0 and not return_attention_scores
        drops_hidden = is_masked and not is_fused
        if self.dropout == 0 and not return_attention_scores:
            found = xp.attend(queries, keys, values, seen, drops_hidden)
        else:
            scores = self.scores(flow, queries, keys)
            if seen is not None:
                scores = xp.where(seen, scores, scores.dtype.type(-1e9))
            shares = Softmax().call(xp, scores)
            if drops_hidden:
                shares = xp.where(seen, shares, shares.dtype.type(0))
            taken = dropped(flow, shares, self.dropout, shares.shape, self.seed)
            found = xp.matmul(taken, values)
        unpacked = xp.reshape(found, (*found.shape[:-2], *positions, found.shape[-1]))
        mixed = xp.transpose(unpacked, [order.index(axis) for axis in range(rank + 1)])
        if self.use_gate:
            mixed = mixed * xp.sigmoid(self.projected(flow, "gate", query))
        output = self.projected(flow, "attention_output", mixed, 2)
        return [output, xp.reshape(shares, sizes)] if return_attention_scores else output

    def scoring(self, flow: Flow, query: Array, key: Array, causal: bool) -> Scoring:
        queries, keys = (self._in_heads(flow, *each) for each in (("query", query), ("key", key)))
        axes, _ = self._order(len(query.shape))
        positions = (*(query.shape[axis] for axis in axes), *(key.shape[axis] for axis in axes))
        kept = self.hidden(
            flow, self.query_mask(flow), (*queries.shape[:-2], *positions), len(axes)
        )
        if kept is not None:
            kept = flow.xp.reshape(kept, (*queries.shape[:-1], keys.shape[-2]))
        counts = queries.shape[-2], keys.shape[-2]
        in_sight = sight(flow.xp, *counts, causal, self.sliding_window)
        return Scoring(queries, keys, both(flow.xp, in_sight, kept), kept is not None)

    def scores(self, flow: Flow, queries: Array, keys: Array) -> Array:
        xp = flow.xp
        return xp.matmul(queries, xp.swapaxes(keys, -1, -2)) * queries.shape[-1] ** -0.5

    def score_count(self, query: Size, key: Size) -> int:
        keys = math.prod(key[axis] for axis in self.positions(len(key)))
        return self.heads.queries * math.prod(query[1:-1]) * keys

    def _order(self, rank: int) -> tuple[list[int], list[int]]:
        """The attended axes, and the axes of (batch, …, heads, positions…, features)."""
        axes = self.positions(rank)
        rest = [axis for axis in range(1, rank - 1) if axis not in axes]
        return axes, [0, *rest, rank - 1, *axes, rank]

    def _in_heads(self, flow: Flow, name: str, x: Array) -> Array:
        """A projection as (batch, …, heads, positions, features), for each head of the queries.

        The positions of all attended axes are one.
        """
        xp, rank = flow.xp, len(x.shape)
        axes, order = self._order(rank)
        y = xp.transpose(self.projected(flow, name, x), order)
        heads = rank - 2 - len(axes) + 1
        y = xp.reshape(y, (*y.shape[: heads + 1], -1, y.shape[-1]))
        times = self.heads.queries // self.heads.keys if name != "query" else 1
        return xp.repeat(y, times, heads) if times > 1 else y


class MultiHeadAttention(_Projecting, frozen=True, kw_only=True):
    """Attention in several heads (Vaswani et al. 2017, arXiv:1706.03762).

    Inputs are query, value and key; by default the value is the query and the key the value.
    Shapes: query/kernel and key/kernel (d, heads, key_dim), value/kernel (d, heads, value_dim),
    attention_output/kernel (heads, value_dim, d), each with a bias of the axes that it produces.
    """

    # Keras removes masks from the tensors themselves, so residual connections lose them too.
    ends_masks = True

    num_heads: Annotated[PositiveInt, doc("Number of heads.", is_width=True)]
    key_dim: Annotated[PositiveInt, doc("Size of a query and a key of one head.")]
    value_dim: Annotated[
        PositiveInt | None, doc("Size of a value of one head; `key_dim` if absent.")
    ] = None
    output_shape_: Annotated[
        PositiveInt | tuple[PositiveInt, ...] | None,
        doc(
            "Size of the output's features, or sizes of several axes; as the query if absent.",
            is_width=True,
        ),
    ] = msgspec.field(default=None, name="output_shape")
    attention_axes: Annotated[
        int | tuple[int, ...] | None,
        doc("Axes to attend over; all between the batch and the features if absent."),
    ] = None

    def attendable(
        self, query: Shape, value: Shape | None, key: Shape | None
    ) -> tuple[Shape, Shape, Shape]:
        # In self-attention Keras also uses the query's length as that of the key.
        value, key, _ = super().attendable(query, value, key)
        return value, key, (query[0], self.num_heads, query[1], query[1])

    @property
    def heads(self) -> Heads:
        return Heads(self.num_heads, self.num_heads, self.key_dim, self.value_dim or self.key_dim)

    def output_sizes(self, query: Shape) -> Size:
        return several(self.output_shape_) or super().output_sizes(query)

    def positions(self, rank: int) -> list[int]:
        if self.attention_axes is None:
            return super().positions(rank)
        return [each % rank for each in several(self.attention_axes)]


class GroupedQueryAttention(_Projecting, frozen=True, kw_only=True):
    """Attention whose query heads share heads of key and value.

    Ainslie et al. 2023, arXiv:2305.13245.

    Inputs are query, value and key; by default the value is the query and the key the value.
    Shapes: query/kernel (d, query heads, head_dim), key/kernel and value/kernel (d, key-value
    heads, head_dim), attention_output/kernel (query heads, head_dim, d).
    """

    aliases = ("GroupQueryAttention",)

    head_dim: Annotated[PositiveInt, doc("Size of a query, key and value of one head.")]
    num_query_heads: Annotated[
        PositiveInt,
        doc("Number of query heads, a multiple of `num_key_value_heads`.", is_width=True),
    ]
    num_key_value_heads: Annotated[
        PositiveInt, doc("Number of key and value heads.", is_width=True)
    ]

    def __post_init__(self) -> None:
        heads = self.num_query_heads
        require_divisor("num_key_value_heads", self.num_key_value_heads, "num_query_heads", heads)

    def attendable(
        self, query: Shape, value: Shape | None, key: Shape | None
    ) -> tuple[Shape, Shape, Shape]:
        value, key, scores = super().attendable(query, value, key)
        if not len(query) == len(value) == len(key) == 3:
            raise ShapeError(
                "GroupedQueryAttention needs inputs of 2 axes besides the batch (positions, "
                f"features), not {shapes_text((query, value, key))}"
            )
        if query[-1] != value[-1]:
            raise ShapeError(
                f"GroupedQueryAttention's query {shape_text(query)} and value {shape_text(value)} "
                "differ in their features"
            )
        return value, key, scores

    @property
    def heads(self) -> Heads:
        return Heads(self.num_query_heads, self.num_key_value_heads, self.head_dim, self.head_dim)

    def query_mask(self, flow: Flow) -> Mask:
        return flow.given_masks.get("query_mask", super().query_mask(flow))
