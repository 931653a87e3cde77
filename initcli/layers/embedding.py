"""Embeddings: tables of vectors that are looked up, added or put in front."""

from __future__ import annotations

from collections.abc import Iterator

from initcli.initializers import GlorotUniform, Initializer, RandomUniform, Zeros
from initcli.layers.base import Layer, known_size
from initcli.layers.core import adapted, lora
from initcli.layers.flow import Flow, Mask
from initcli.parameter import Parameter
from initcli.types import Array, Dtype, PositiveFloat, PositiveInt, Shape, ShapeError, shape_text


class Table(Layer, frozen=True, kw_only=True):
    """A table of ``input_dim`` vectors of ``output_dim`` entries."""

    supports_masking = True

    spoken = False

    input_dim: PositiveInt
    output_dim: PositiveInt
    embeddings_initializer: Initializer = RandomUniform()
    mask_zero: bool = False
    lora_rank: PositiveInt | None = None
    lora_alpha: PositiveFloat | None = None

    def parameters(self, shape: Shape) -> Iterator[Parameter]:
        table = (self.input_dim, self.output_dim)
        yield Parameter(
            path="embeddings",
            shape=table,
            initializer=self.embeddings_initializer,
            trainable=self.lora_rank is None,
        )
        yield from lora("lora_embeddings", table, self.lora_rank)

    def output_mask(self, flow: Flow, x: Array, *, reverse: bool = False) -> Mask:
        """Where the id is not 0, with ``mask_zero``."""
        return flow.np.constant(x) != 0 if self.mask_zero and not reverse else None

    def table(self, flow: Flow) -> Array:
        """The vectors, (input_dim, output_dim)."""
        factors = "lora_embeddings"
        return adapted(flow, "embeddings", factors, self.lora_rank, self.lora_alpha)


class Embedding(Table, frozen=True, kw_only=True):
    """A table of ``input_dim`` vectors, looked up by token id.

    Shapes: input (…) of ids, embeddings (input_dim, output_dim), output (…, output_dim).
    """

    def output_shape(self, shape: Shape) -> Shape:
        return (*shape, self.output_dim)

    def call(self, flow: Flow, x: Array) -> Array:
        return flow.np.lookup(self.table(flow), flow.np.constant(x).astype("int64"))


class ReversibleEmbedding(Table, frozen=True, kw_only=True):
    """An embedding that also turns vectors back into scores of every token.

    Called with ``reverse`` it gives x · embeddingsᵀ, (…, input_dim): a language model whose head
    is tied to its embedding calls it twice. Without ``tie_weights`` it has reverse_embeddings
    (output_dim, input_dim) for that.
    """

    tie_weights: bool = True
    reverse_dtype: Dtype | None = None
    logit_soft_cap: PositiveFloat | None = None

    def output_shape(self, shape: Shape, *, reverse: bool = False) -> Shape:
        if not reverse:
            return (*shape, self.output_dim)
        if shape[-1] != self.output_dim:
            raise ShapeError(
                f"ReversibleEmbedding reverses vectors of `output_dim` entries, {self.output_dim}, "
                f"not {shape_text(shape)}"
            )
        return (*shape[:-1], self.input_dim)

    def parameters(self, shape: Shape) -> Iterator[Parameter]:
        table, *factors = Table.parameters(self, shape)
        yield table
        if not self.tie_weights:
            yield Parameter(
                path="reverse_embeddings",
                shape=(self.output_dim, self.input_dim),
                initializer=self.embeddings_initializer,
            )
        yield from factors

    def call(self, flow: Flow, x: Array, *, reverse: bool = False) -> Array:
        np = flow.np
        if not reverse:
            return np.lookup(self.table(flow), np.constant(x).astype("int64"))
        back = np.transpose(self.table(flow)) if self.tie_weights else flow["reverse_embeddings"]
        scores = np.matmul(x, back)
        if self.logit_soft_cap is None:
            return scores
        return np.tanh(scores / self.logit_soft_cap) * self.logit_soft_cap


class PositionEmbedding(Layer, frozen=True, kw_only=True):
    """One learned vector for each position (KerasHub): embeddings (sequence_length, d).

    They have the shape of the input, (batch, steps, d) for any steps up to ``sequence_length``,
    and are added to it by an Add.
    """

    sequence_length: PositiveInt
    initializer: Initializer = GlorotUniform()

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) < 3:
            needs = "needs positions and features beside the batch"
            remedy = "such as (None, 10, 64): 10 positions with 64 features each"
            raise ShapeError(f"PositionEmbedding {needs}, not {shape_text(shape)}", remedy)
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
        yield Parameter(path="embeddings", shape=size, initializer=self.initializer)

    def call(self, flow: Flow, x: Array) -> Array:
        positions = flow["embeddings"][: x.shape[-2]]
        return flow.np.zeros(x.shape, positions.dtype) + positions


class ClassToken(Layer, frozen=True, kw_only=True):
    """Puts a learned vector in front of a sequence (Dosovitskiy et al. 2021): token (1, 1, d)."""

    token_initializer: Initializer = Zeros()

    def output_shape(self, shape: Shape) -> Shape:
        self.require_rank(shape, 3, "(steps, features)")
        known_size(self, shape, -1)
        return (shape[0], None if shape[1] is None else shape[1] + 1, shape[2])

    def parameters(self, shape: Shape) -> Iterator[Parameter]:
        size = (1, 1, known_size(self, shape, -1))
        yield Parameter(path="token", shape=size, initializer=self.token_initializer)

    def call(self, flow: Flow, x: Array) -> Array:
        np = flow.np
        token = np.zeros((x.shape[0], 1, x.shape[-1]), x.dtype) + flow["token"]
        return np.concatenate([token, x], 1)
