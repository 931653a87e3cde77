"""Preprocessing of features: normalization, binning, hashing and lookup."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec
import numpy

from initcli.errors import quoted
from initcli.initializers import Ones, Zeros
from initcli.layers.base import Layer, known_size, output_shapes, several
from initcli.layers.flow import Flow
from initcli.layers.preprocessing import Preprocessing
from initcli.parameter import Parameter
from initcli.types import (
    ArgumentError,
    Array,
    DtypePolicy,
    NonNegativeInt,
    NotComputable,
    PositiveInt,
    Shape,
    doc,
    shape_text,
)


class Normalization(Layer, frozen=True, kw_only=True):
    """(x − mean) / √variance, with statistics learned from data before training.

    Weights, unless the statistics are given: mean and variance with the sizes of ``axis``, and
    count ().
    """

    role = "scales"
    supports_masking = True

    axis: Annotated[
        int | tuple[int, ...] | None,
        doc("Axes with a mean and a variance for each index; a single pair if null."),
    ] = -1
    mean: Annotated[Any, doc("Known means; learned from data before training if absent.")] = None
    variance: Annotated[
        Any, doc("Known variances; learned from data before training if absent.")
    ] = None
    invert: Annotated[bool, doc("Whether to undo the normalization.")] = False

    def __post_init__(self) -> None:
        if (self.mean is None) != (self.variance is None):
            missing = "variance" if self.variance is None else "mean"
            message = "`mean` and `variance` must be given together, or neither"
            raise ArgumentError("mean", message, f"`{missing}` is missing")
        mean, variance = _extent(self.mean), _extent(self.variance)
        if mean != variance:
            shapes = f"{shape_text(mean)} and {shape_text(variance)}"
            message = f"`mean` and `variance` must have one shape, not {shapes}"
            raise ArgumentError("variance", message)
        if len(mean) > len(self._axes):
            most = f"{len(self._axes)}, as many as `axis` names"
            raise ArgumentError("mean", f"`mean` has {len(mean)} axes, and may have {most}")

    def output_shape(self, shape: Shape) -> Shape:
        sizes = self._sizes(shape)
        given = _extent(self.mean)
        fitting = sizes[len(sizes) - len(given) :]
        if any(one not in (1, size) for one, size in zip(given, fitting, strict=True)):
            raise ArgumentError(
                "mean",
                f"`mean` must have shape {shape_text(fitting)}, as its `axis` has in the input "
                f"{shape_text(shape)}, not {shape_text(given)}",
            )
        return shape

    def parameters(self, shape: Shape) -> Iterator[Parameter]:
        if self.mean is not None:
            return
        sizes = self._sizes(shape)
        yield Parameter(path="mean", shape=sizes, initializer=Zeros(), trainable=False)
        yield Parameter(path="variance", shape=sizes, initializer=Ones(), trainable=False)
        yield Parameter(
            path="count",
            shape=(),
            initializer=Zeros(),
            trainable=False,
            dtype="int32",
            keeps_dtype=True,
        )

    def call(self, flow: Flow, x: Array) -> Array:
        xp = flow.xp
        mean, variance = (
            xp.asarray(flow[name] if given is None else given, x.dtype)
            for name, given in (("mean", self.mean), ("variance", self.variance))
        )
        kept = {axis % len(x.shape) for axis in self._axes}
        sizes = tuple(n if axis in kept else 1 for axis, n in enumerate(x.shape))
        own = tuple(x.shape[axis] for axis in sorted(kept))
        mean, variance = (xp.reshape(xp.broadcast_to(v, own), sizes) for v in (mean, variance))
        # As in Keras, standard deviations are at least epsilon.
        deviation = xp.maximum(xp.sqrt(variance), numpy.float32(1e-7))
        return mean + x * deviation if self.invert else (x - mean) / deviation

    @property
    def _axes(self) -> tuple[int, ...]:
        return several(self.axis)

    def _sizes(self, shape: Shape) -> tuple[int, ...]:
        sizes = {axis % max(len(shape), 1): known_size(self, shape, axis) for axis in self._axes}
        if len(sizes) < len(self._axes):
            message = f"`axis` {quoted([*self._axes])} names an axis of {shape_text(shape)} twice"
            raise ArgumentError("axis", message, "axes count from 0, or backward from -1")
        return tuple(sizes[axis] for axis in sorted(sizes))


def _extent(value: Any) -> tuple[int, ...]:
    """The shape of nested lists of numbers."""
    return (len(value), *_extent(value[0])) if isinstance(value, list | tuple) and value else ()


IndexDtype = Literal["int32", "int64", DtypePolicy]
"""Data type of hashes."""
_ENCODING = doc("Encoding of the output: indices, or a vector for each example.")
# The last two are former names of multi_hot and tf_idf.
OutputMode = Annotated[
    Literal["int", "one_hot", "multi_hot", "count", "tf_idf", "binary", "tf-idf"], _ENCODING
]
Sparse = Annotated[bool, doc("Whether Keras returns a sparse tensor.")]
Salt = Annotated[
    int | Annotated[tuple[int, ...], msgspec.Meta(min_length=2, max_length=2)] | None,
    doc("Key of the hash function: one number or two."),
]
OovToken = Annotated[Any, doc("Token that stands for unknown ones in the inverse mapping.")]
TextEncoding = Annotated[str, doc("Encoding of the text.")]


def _encoded(mode: str, shape: Shape, depth: int | None) -> Shape:
    """The shape of indices, or of vectors of ``depth`` entries."""
    if mode == "int":
        return shape
    if mode == "one_hot" and (len(shape) < 2 or shape[-1] != 1):
        return (*shape, depth)
    return (*shape[:-1], depth)


def _vectors(mode: str, indices: Array, depth: int) -> Array:
    """Indices, or vectors for them."""
    if mode == "int":
        return indices
    if mode == "one_hot":
        flat = indices[..., 0] if indices.ndim > 1 and indices.shape[-1] == 1 else indices
        return _one_hot(flat, depth)
    counts = _one_hot(indices, depth).sum(-2)
    return counts if mode == "count" else numpy.minimum(counts, 1)


def _one_hot(indices: Array, depth: int) -> Array:
    return (indices[..., None] == numpy.arange(depth)).astype(numpy.float32)


class CategoryEncoding(Layer, frozen=True, kw_only=True):
    """Encodes indices as vectors of ``num_tokens`` entries."""

    num_tokens: Annotated[PositiveInt, doc("Number of categories.")]
    output_mode: Annotated[Literal["one_hot", "multi_hot", "count", "binary"], _ENCODING] = (
        "multi_hot"
    )
    sparse: Sparse = False

    def output_shape(self, shape: Shape) -> Shape:
        return _encoded(self.output_mode, shape, self.num_tokens)

    def call(self, flow: Flow, x: Array) -> Array:
        mode = {"binary": "multi_hot"}.get(self.output_mode, self.output_mode)
        return _vectors(
            mode, numpy.asarray(flow.xp.constant(x)).astype(numpy.int64), self.num_tokens
        )


def _require_dense_indices(sparse: bool, mode: str) -> None:
    if sparse and mode == "int":
        message = "`sparse` cannot be true where `output_mode` is 'int': indices are not sparse"
        remedy = "remove it, or take output_mode: one_hot, multi_hot or count"
        raise ArgumentError("sparse", message, remedy)


class Discretization(Layer, frozen=True, kw_only=True):
    """Maps each value to the index of its bin."""

    bin_boundaries: Annotated[
        tuple[float, ...] | None, doc("Boundaries between the bins; learned from data if absent.")
    ] = None
    num_bins: Annotated[PositiveInt | None, doc("Number of bins to learn.")] = None
    epsilon: Annotated[float, doc("Error tolerance of learned boundaries.")] = 0.01
    output_mode: Annotated[Literal["int", "one_hot", "multi_hot", "count"], _ENCODING] = "int"
    sparse: Sparse = False

    def __post_init__(self) -> None:
        _require_dense_indices(self.sparse, self.output_mode)
        if (self.bin_boundaries is None) == (self.num_bins is None):
            given = "neither" if self.num_bins is None else "both"
            message = f"Discretization needs either `bin_boundaries` or `num_bins`, and has {given}"
            raise ArgumentError("num_bins", message)

    def output_shape(self, shape: Shape) -> Shape:
        boundaries = self.bin_boundaries
        depth = self.num_bins if boundaries is None else len(boundaries) + 1
        if self.output_mode in ("int", "one_hot"):
            return _encoded(self.output_mode, shape, depth)
        # Keras takes the second axis for the values, not the last.
        return (shape[0], *shape[2:], depth) if len(shape) > 1 else (depth,)

    def call(self, flow: Flow, x: Array) -> Array:
        if self.bin_boundaries is None:
            raise NotComputable("Discretization has no `bin_boundaries`, which come from its data")
        bins = numpy.digitize(
            flow.xp.constant(x), numpy.asarray(self.bin_boundaries, numpy.float32)
        )
        depth = len(self.bin_boundaries) + 1
        if self.output_mode in ("int", "one_hot"):
            return _vectors(self.output_mode, bins, depth)
        counts = _one_hot(bins, depth).sum(1 if x.ndim > 1 else 0)
        return counts if self.output_mode == "count" else numpy.minimum(counts, 1)


class _Categories(Preprocessing, frozen=True, kw_only=True):
    """Maps values to indices, or to vectors with an entry for each index.

    The true output depends on data or text. Instead indices are drawn uniformly, or are those of
    the input if their number is unknown.
    """

    output_mode: OutputMode = "int"
    sparse: Sparse = False

    def __post_init__(self) -> None:
        _require_dense_indices(self.sparse, self.output_mode)

    @property
    def depth(self) -> int | None:
        """The number of indices; None if it depends on data."""
        raise NotImplementedError

    def call(self, flow: Flow, *inputs: Array, **options: Any) -> Array:
        x = flow.xp.constant(inputs[0])
        (shape,) = output_shapes(self, tuple(each.shape for each in inputs), options)
        shape = self.sized(shape, x.shape)
        random = flow.generator("categories")
        if self.output_mode == "int":
            if self.depth is None:
                return x.reshape(-1)[random.integers(0, x.size, shape)]
            return random.integers(0, self.depth, shape)
        if self.output_mode == "one_hot" and self.depth is not None:
            return _one_hot(random.integers(0, self.depth, shape[:-1]), self.depth)
        raise NotComputable(f"{self.type_name} encodes values whose number depends on its data")


class _Hashes(_Categories, frozen=True, kw_only=True):
    """Maps values to one of ``num_bins`` indices by their hash."""

    num_bins: Annotated[PositiveInt, doc("Number of indices.")]
    dtype: Annotated[IndexDtype | None, doc("Data type of the output.")] = None  # type: ignore[assignment]  # hashes are whole numbers

    @property
    def depth(self) -> int | None:
        return self.num_bins


class Hashing(_Hashes, frozen=True, kw_only=True):
    """Maps each value to one of ``num_bins`` indices by its hash."""

    mask_value: Annotated[Any, doc("Value that is mapped to index 0.")] = None
    salt: Salt = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.output_mode == "int" and self.dtype not in (None, "int32", "int64"):
            wanted = "'int32' or 'int64' where `output_mode` is 'int'"
            raise ArgumentError("dtype", f"`dtype` must be {wanted}, not {quoted(self.dtype)}")

    def output_shape(self, shape: Shape) -> Shape:
        return shape if self.output_mode == "int" else (*shape[:-1], self.num_bins)


class HashedCrossing(_Hashes, frozen=True, kw_only=True):
    """Maps pairs of features to one of ``num_bins`` indices by their hash."""

    output_mode: Annotated[Literal["int", "one_hot"], _ENCODING] = "int"

    def output_shape(self, one: Shape, other: Shape) -> Shape:
        if one[-1] != other[-1]:
            raise self.misfit("needs two features of one shape", one, other)
        return _encoded(self.output_mode, one, self.num_bins)


class _Vocabulary(_Categories, frozen=True, kw_only=True):
    """Maps tokens to their indices in a vocabulary; the first indices are for unknown tokens."""

    max_tokens: Annotated[
        Annotated[int, msgspec.Meta(ge=2)] | None, doc("Maximum size of the vocabulary.")
    ] = None
    pad_to_max_tokens: Annotated[
        bool, doc("Whether vectors have `max_tokens` entries even if the vocabulary is smaller.")
    ] = False
    vocabulary: Annotated[
        Any, doc("The tokens in order of their indices, or the name of a file, which is not read.")
    ] = None
    idf_weights: Annotated[Any, doc("Inverse document frequency of each token, for `tf_idf`.")] = (
        None
    )
    vocabulary_size: Annotated[
        PositiveInt | None, doc("Number of tokens, if `vocabulary` is absent.")
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pad_to_max_tokens and self.max_tokens is None:
            message = "`pad_to_max_tokens` needs `max_tokens`, which is not given"
            raise ArgumentError("pad_to_max_tokens", message)

    @property
    def depth(self) -> int | None:
        if self.pad_to_max_tokens:
            return self.max_tokens
        if not isinstance(self.vocabulary, list | tuple):
            return self.vocabulary_size
        specials = self.specials
        given = list(self.vocabulary)
        return len(given) + (0 if given[: len(specials)] == specials else len(specials))

    @property
    def specials(self) -> list[Any]:
        """The tokens of the first indices: masked and unknown values."""
        raise NotImplementedError


class _Lookup(_Vocabulary, frozen=True, kw_only=True):
    """Maps each token to its index in a vocabulary."""

    num_oov_indices: Annotated[NonNegativeInt, doc("Number of indices for unknown tokens.")] = 1
    mask_token: Annotated[Any, doc("Token that is mapped to index 0.")] = None
    oov_token: OovToken = None
    invert: Annotated[bool, doc("Whether to map indices to tokens.")] = False
    oov_method: Annotated[
        Literal["floormod", "farmhash"],
        doc("Function that maps unknown tokens to several indices."),
    ] = "floormod"
    salt: Salt = None

    def output_shape(self, shape: Shape) -> Shape:
        return _encoded(self.output_mode, shape, self.depth)

    @property
    def specials(self) -> list[Any]:
        has_mask = self.mask_token is not None and self.output_mode == "int"
        return [self.mask_token] * has_mask + [self.oov_token] * self.num_oov_indices


class IntegerLookup(_Lookup, frozen=True, kw_only=True):
    """Maps each integer to its index in a vocabulary."""

    oov_token: OovToken = -1
    vocabulary_dtype: Annotated[Literal["int64"], doc("Data type of the tokens.")] = "int64"


class StringLookup(_Lookup, frozen=True, kw_only=True):
    """Maps each string to its index in a vocabulary."""

    oov_token: OovToken = "[UNK]"
    encoding: TextEncoding = "utf-8"


class TextVectorization(_Vocabulary, frozen=True, kw_only=True):
    """Maps texts to indices of words, (batch, output_sequence_length), or to counts of words."""

    standardize: Annotated[Any, doc("Normalization of the text before it is split.")] = (
        "lower_and_strip_punctuation"
    )
    split: Annotated[Any, doc("Where to split the text into tokens.")] = "whitespace"
    ngrams: Annotated[
        int | tuple[int, ...] | None, doc("Lengths of n-grams to form: a maximum, or a list.")
    ] = None
    output_sequence_length: Annotated[
        PositiveInt | None, doc("Number of steps to which the output is cut or padded.")
    ] = None
    ragged: Annotated[bool, doc("Whether Keras returns a ragged tensor.")] = False
    encoding: TextEncoding = "utf-8"

    def output_shape(self, shape: Shape) -> Shape:
        if self.output_mode == "int":
            return (shape[0], self.output_sequence_length)
        words: Shape = (*shape, None)
        if self.split is None:
            words = (*shape, 1) if len(shape) < 2 else shape
        return _encoded(self.output_mode, words, self.depth)

    @property
    def specials(self) -> list[Any]:
        return ["", "[UNK]"] if self.output_mode == "int" else ["[UNK]"]
