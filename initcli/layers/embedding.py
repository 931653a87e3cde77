"""Embeddings: tables of vectors that are looked up, added or prepended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import numpy

from initcli.initializers import GlorotUniform, Initializer, RandomUniform, ZeroRow, Zeros
from initcli.layers.base import Layer, known_size
from initcli.layers.core import Adapted, lora
from initcli.layers.flow import Flow, Mask
from initcli.layers.quantization import Stored, require_floats, stored_reverse, stored_table
from initcli.parameter import Parameter
from initcli.types import (
    ArgumentError,
    Array,
    Dtype,
    PositiveFloat,
    PositiveInt,
    Shape,
    ShapeError,
    doc,
    shape_text,
)


class Table(Adapted, frozen=True, kw_only=True):
    """A table of ``input_dim`` vectors of ``output_dim`` entries."""

    role = "looks_up"
    supports_masking = True
    registered = False

    input_dim: Annotated[PositiveInt, doc("Number of vectors: the size of the vocabulary.")]
    output_dim: Annotated[PositiveInt, doc("Size of a vector.", is_width=True)]
    embeddings_initializer: Annotated[Initializer, doc("Fills the table.")] = RandomUniform()
    mask_zero: Annotated[bool, doc("Whether id 0 is padding, which later layers ignore.")] = False

    def stored(self) -> Stored:
        """The stored form of the table."""
        table = self.weight(
            "embeddings",
            (self.input_dim, self.output_dim),
            "embeddings_initializer",
            self.padded(self.embeddings_initializer),
            trainable=self.lora_rank is None,
        )
        return stored_table(self.scheme, table)

    def padded(self, initializer: Initializer) -> Initializer:
        """The initializer of the table, with zeros in the row of the padding, if there is one."""
        return initializer

    def factors(self) -> Iterator[Parameter]:
        """The low-rank factors."""
        return lora("embeddings", (self.input_dim, self.output_dim), self.lora_rank)

    def parameters(self, shape: Shape) -> Iterator[Parameter]:
        return self.stored().around(self.factors())

    def output_mask(self, flow: Flow, x: Array, *, reverse: bool = False) -> Mask:
        """True for ids other than 0, with ``mask_zero``."""
        return flow.xp.constant(x) != 0 if self.mask_zero and not reverse else None


class Embedding(Table, frozen=True, kw_only=True):
    """A table of ``input_dim`` vectors, looked up by token id.

    Shapes: input (…) of ids, embeddings (input_dim, output_dim), output (…, output_dim).
    """

    padding_idx: Annotated[
        int | None, doc("Id whose vector is 0 and not trained; negative ids count from the end.")
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.padding_idx is not None and not 0 <= self._padding < self.input_dim:
            raise ArgumentError(
                "padding_idx",
                f"`padding_idx` is {self.padding_idx}, and the table has {self.input_dim} vectors",
                f"they count from 0 to {self.input_dim - 1}",
            )

    def output_shape(self, shape: Shape) -> Shape:
        return (*shape, self.output_dim)

    def padded(self, initializer: Initializer) -> Initializer:
        if self.padding_idx is None:
            return initializer
        return ZeroRow(declared=initializer, row=self._padding)

    def call(self, flow: Flow, x: Array) -> Array:
        xp, table = flow.xp, self.adapted(flow, "embeddings")
        if self.padding_idx is not None:
            rows = xp.arange(self.input_dim)[:, None]
            table = xp.where(rows == self._padding, xp.constant(table), table)
        return xp.lookup(table, xp.constant(x).astype("int64"))

    @property
    def _padding(self) -> int:
        index = self.padding_idx or 0
        return index + self.input_dim if index < 0 else index


class ReversibleEmbedding(Table, frozen=True, kw_only=True):
    """An embedding that also maps vectors back to a score for every token.

    Called with ``reverse`` it returns x · embeddingsᵀ, (…, input_dim): the head of a language model
    with tied embeddings. Without ``tie_weights`` it multiplies by reverse_embeddings (output_dim,
    input_dim) instead.
    """

    tie_weights: Annotated[bool, doc("Whether the table also maps vectors back to scores.")] = True
    reverse_dtype: Annotated[Dtype | None, doc("Data type of the scores.")] = None
    logit_soft_cap: Annotated[
        PositiveFloat | None, doc("Bound c of the scores: c · tanh(scores / c).")
    ] = None

    def output_shape(self, shape: Shape, *, reverse: bool = False) -> Shape:
        if not reverse:
            return (*shape, self.output_dim)
        if shape[-1] != self.output_dim:
            vectors = f"reverses vectors of `output_dim` entries, {self.output_dim}"
            raise self.misfit(vectors, shape)
        return (*shape[:-1], self.input_dim)

    def parameters(self, shape: Shape) -> Iterator[Parameter]:
        scheme, stored = self.scheme, self.stored()
        yield from stored.before
        if not self.tie_weights and scheme is None:
            yield self.weight(
                "reverse_embeddings",
                (self.output_dim, self.input_dim),
                "embeddings_initializer",
                contracts=(0,),
                produces=(1,),
            )
        yield from self.factors()
        yield from stored.after
        if not self.tie_weights and scheme is not None:
            yield from stored_reverse(scheme, self.input_dim, self.output_dim)

    def call(self, flow: Flow, x: Array, *, reverse: bool = False) -> Array:
        xp = flow.xp
        if not reverse:
            return xp.lookup(self.adapted(flow, "embeddings"), xp.constant(x).astype("int64"))
        require_floats(self.scheme, "table")
        tied, own = self.tie_weights, "reverse_embeddings"
        back = xp.transpose(self.adapted(flow, "embeddings")) if tied else flow[own]
        scores = xp.matmul(x, back)
        if self.logit_soft_cap is None:
            return scores
        return xp.tanh(scores / self.logit_soft_cap) * self.logit_soft_cap


class PositionEmbedding(Layer, frozen=True, kw_only=True):
    """A learned vector for each position (KerasHub): embeddings (sequence_length, d).

    The output has the shape of the input, (batch, steps, d); use Add to add the two.
    """

    role = "looks_up"

    sequence_length: Annotated[PositiveInt, doc("Maximum number of steps.")]
    initializer: Annotated[Initializer, doc("Fills the position vectors.")] = GlorotUniform()

    def output_shape(self, shape: Shape) -> Shape:
        self.require_sequence(shape)
        known_size(self, shape, -1)
        if shape[-2] is not None and shape[-2] > self.sequence_length:
            raise ShapeError(
                f"PositionEmbedding's `sequence_length` is {self.sequence_length}, and its input "
                f"{shape_text(shape)} has {shape[-2]} positions",
                f"write `sequence_length: {shape[-2]}`, or more",
            )
        return shape

    def parameters(self, shape: Shape) -> Iterator[Parameter]:
        size = (self.sequence_length, known_size(self, shape, -1))
        yield self.weight("embeddings", size, "initializer")

    def call(self, flow: Flow, x: Array) -> Array:
        positions = flow["embeddings"][: x.shape[-2]]
        return flow.xp.zeros(x.shape, positions.dtype) + positions


class SinePositionEncoding(Layer, frozen=True, kw_only=True):
    """Sines and cosines of each position (KerasHub): sin(p · w^(−i / d)) for even units i.

    Those of odd units are cosines of the angle before. The output has the shape of the input,
    (batch, steps, d); an Add adds them. Vaswani et al. 2017, arXiv:1706.03762.
    """

    role = "looks_up"

    max_wavelength: Annotated[
        PositiveFloat, doc("The longest wavelength w, in positions, over 2π.")
    ] = 10000.0

    def output_shape(self, shape: Shape) -> Shape:
        self.require_rank(shape, 3, "(steps, features)")
        known_size(self, shape, -1)
        return shape

    def waves(self, steps: int, width: int) -> Array:
        """The sines: (steps, width)."""
        units = numpy.arange(width)
        slowness = self.max_wavelength ** (-(units // 2 * 2) / width)
        angles = numpy.outer(numpy.arange(steps), slowness)
        return numpy.where(units % 2, numpy.cos(angles), numpy.sin(angles))

    def call(self, flow: Flow, x: Array) -> Array:
        return flow.xp.zeros(x.shape, x.dtype) + self.waves(*x.shape[1:]).astype(x.dtype)


class ClassToken(Layer, frozen=True, kw_only=True):
    """Prepends a learned vector to a sequence (Dosovitskiy et al. 2021, arXiv:2010.11929)."""

    token_initializer: Annotated[Initializer, doc("Fills the token.")] = Zeros()

    def output_shape(self, shape: Shape) -> Shape:
        self.require_rank(shape, 3, "(steps, features)")
        known_size(self, shape, -1)
        return (shape[0], None if shape[1] is None else shape[1] + 1, shape[2])

    def parameters(self, shape: Shape) -> Iterator[Parameter]:
        size = (1, 1, known_size(self, shape, -1))
        yield self.weight("token", size, "token_initializer", contracts=())

    def call(self, flow: Flow, x: Array) -> Array:
        xp = flow.xp
        token = xp.zeros((x.shape[0], 1, x.shape[-1]), x.dtype) + flow["token"]
        return xp.concatenate([token, x], 1)
