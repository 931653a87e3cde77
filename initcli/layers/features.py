"""Feature preprocessing: normalizing, binning, hashing and looking up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec
import numpy

from initcli.errors import quoted
from initcli.initializers import Ones, Zeros
from initcli.layers.base import Layer, known_size, output_shapes
from initcli.layers.flow import Flow
from initcli.layers.preprocessing import Preprocessing
from initcli.parameter import Parameter
from initcli.types import (
    ArgumentError,
    Array,
    NonNegativeInt,
    NotComputable,
    PositiveInt,
    Shape,
    ShapeError,
    shape_text,
)


class Normalization(Layer, frozen=True, kw_only=True):
    """(x − mean) / √variance over ``axis``, of data that the layer is shown before training.

    Unless mean and variance are given: mean and variance of the sizes of ``axis``, and count (),
    none of them trained.
    """

    role = "scales"

    supports_masking = True

    axis: int | tuple[int, ...] | None = -1
    mean: Any = None
    variance: Any = None
    invert: bool = False

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
        # As in Keras, a deviation is at least what its arithmetic resolves.
        deviation = xp.maximum(xp.sqrt(variance), numpy.float32(1e-7))
        return mean + x * deviation if self.invert else (x - mean) / deviation

    @property
    def _axes(self) -> tuple[int, ...]:
        given = () if self.axis is None else self.axis
        return (given,) if isinstance(given, int) else given

    def _sizes(self, shape: Shape) -> tuple[int, ...]:
        sizes = {axis % max(len(shape), 1): known_size(self, shape, axis) for axis in self._axes}
        if len(sizes) < len(self._axes):
            message = f"`axis` {quoted([*self._axes])} names an axis of {shape_text(shape)} twice"
            raise ArgumentError("axis", message, "axes count from 0, or backwards from -1")
        return tuple(sizes[axis] for axis in sorted(sizes))


def _extent(value: Any) -> tuple[int, ...]:
    """The shape of nested lists of numbers."""
    return (len(value), *_extent(value[0])) if isinstance(value, list | tuple) and value else ()


IndexDtype = Literal[
    "int32",
    "int64",
    "float16",
    "bfloat16",
    "float32",
    "float64",
    "mixed_float16",
    "mixed_bfloat16",
]
"""What hashes are given as."""

# The last two are old names of multi_hot and tf_idf.
OutputMode = Literal["int", "one_hot", "multi_hot", "count", "tf_idf", "binary", "tf-idf"]


def _encoded(mode: str, shape: Shape, depth: int | None) -> Shape:
    """The shape of indices, or of the vectors of ``depth`` entries that stand for them."""
    if mode == "int":
        return shape
    if mode == "one_hot" and (len(shape) < 2 or shape[-1] != 1):
        return (*shape, depth)
    return (*shape[:-1], depth)


def _vectors(mode: str, indices: Array, depth: int) -> Array:
    """Indices, or the vectors that stand for them."""
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
    """Indices as vectors of ``num_tokens`` entries."""

    num_tokens: PositiveInt
    output_mode: Literal["one_hot", "multi_hot", "count", "binary"] = "multi_hot"
    sparse: bool = False

    def output_shape(self, shape: Shape) -> Shape:
        return _encoded(self.output_mode, shape, self.num_tokens)

    def call(self, flow: Flow, x: Array) -> Array:
        mode = {"binary": "multi_hot"}.get(self.output_mode, self.output_mode)
        return _vectors(
            mode, numpy.asarray(flow.xp.constant(x)).astype(numpy.int64), self.num_tokens
        )


Salt = int | Annotated[tuple[int, ...], msgspec.Meta(min_length=2, max_length=2)]
"""One key of a hash, or two."""


def _require_dense_indices(sparse: bool, mode: str) -> None:
    if sparse and mode == "int":
        message = "`sparse` cannot be true where `output_mode` is 'int': indices are not sparse"
        remedy = "remove it, or take output_mode: one_hot, multi_hot or count"
        raise ArgumentError("sparse", message, remedy)


class Discretization(Layer, frozen=True, kw_only=True):
    """The bin in which each value lies."""

    bin_boundaries: tuple[float, ...] | None = None
    num_bins: PositiveInt | None = None
    epsilon: float = 0.01
    output_mode: Literal["int", "one_hot", "multi_hot", "count"] = "int"
    sparse: bool = False

    def __post_init__(self) -> None:
        _require_dense_indices(self.sparse, self.output_mode)
        if (self.bin_boundaries is None) == (self.num_bins is None):
            given = "neither" if self.num_bins is None else "both"
            message = f"Discretization needs either `bin_boundaries` or `num_bins`, and has {given}"
            raise ArgumentError("num_bins", message)

    def output_shape(self, shape: Shape) -> Shape:
        depth = self.num_bins
        if self.bin_boundaries is not None:
            depth = len(self.bin_boundaries) + 1
        if self.output_mode in ("int", "one_hot"):
            return _encoded(self.output_mode, shape, depth)
        # Keras takes the second axis for that of the values, and not the last.
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
    """Turns values into indices, or into vectors with an entry for each index.

    What it computes depends on data or on text. In its place indices are drawn: all alike, or those
    of the input where their number is not known.
    """

    output_mode: OutputMode = "int"
    sparse: bool = False

    def __post_init__(self) -> None:
        _require_dense_indices(self.sparse, self.output_mode)

    @property
    def depth(self) -> int | None:
        """The number of indices; None where only the data say it."""
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
        raise NotComputable(f"{self.type_name} counts values that only the data know")


class Hashing(_Categories, frozen=True, kw_only=True):
    """The hash of each value, as one of ``num_bins`` indices."""

    num_bins: PositiveInt
    mask_value: Any = None
    salt: Salt | None = None
    dtype: IndexDtype | None = None  # type: ignore[assignment]  # hashes are whole numbers

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.output_mode == "int" and self.dtype not in (None, "int32", "int64"):
            wanted = "'int32' or 'int64' where `output_mode` is 'int'"
            raise ArgumentError("dtype", f"`dtype` must be {wanted}, not {quoted(self.dtype)}")

    def output_shape(self, shape: Shape) -> Shape:
        return shape if self.output_mode == "int" else (*shape[:-1], self.num_bins)

    @property
    def depth(self) -> int | None:
        return self.num_bins


class HashedCrossing(_Categories, frozen=True, kw_only=True):
    """The hash of two features together, as one of ``num_bins`` indices."""

    num_bins: PositiveInt
    output_mode: Literal["int", "one_hot"] = "int"
    dtype: IndexDtype | None = None  # type: ignore[assignment]  # hashes are whole numbers

    def output_shape(self, one: Shape, other: Shape) -> Shape:
        if one[-1] != other[-1]:
            raise ShapeError(
                f"HashedCrossing needs two features of one shape, not {shape_text(one)} and "
                f"{shape_text(other)}"
            )
        return _encoded(self.output_mode, one, self.num_bins)

    @property
    def depth(self) -> int | None:
        return self.num_bins


class _Vocabulary(_Categories, frozen=True, kw_only=True):
    """What gives the values of a vocabulary their indices, the first of which are for unknown ones.

    ``vocabulary`` is a list or, as in Keras, the name of a file, which is not read. It may begin
    with what stands for absent and for unknown values.
    """

    max_tokens: Annotated[int, msgspec.Meta(ge=2)] | None = None
    pad_to_max_tokens: bool = False
    vocabulary: Any = None
    idf_weights: Any = None
    vocabulary_size: PositiveInt | None = None

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
        """What the first indices stand for: absent and unknown values."""
        raise NotImplementedError


class _Lookup(_Vocabulary, frozen=True, kw_only=True):
    """The index of each value in a vocabulary."""

    num_oov_indices: NonNegativeInt = 1
    mask_token: Any = None
    oov_token: Any = None
    invert: bool = False
    oov_method: Literal["floormod", "farmhash"] = "floormod"
    salt: Salt | None = None

    def output_shape(self, shape: Shape) -> Shape:
        return _encoded(self.output_mode, shape, self.depth)

    @property
    def specials(self) -> list[Any]:
        has_mask = self.mask_token is not None and self.output_mode == "int"
        return [self.mask_token] * has_mask + [self.oov_token] * self.num_oov_indices


class IntegerLookup(_Lookup, frozen=True, kw_only=True):
    """The index of each whole number in a vocabulary."""

    oov_token: Any = -1
    vocabulary_dtype: Literal["int64"] = "int64"


class StringLookup(_Lookup, frozen=True, kw_only=True):
    """The index of each text in a vocabulary."""

    oov_token: Any = "[UNK]"
    encoding: str = "utf-8"


class TextVectorization(_Vocabulary, frozen=True, kw_only=True):
    """Texts as indices of words, (batch, output_sequence_length), or as counts of words."""

    standardize: Any = "lower_and_strip_punctuation"
    split: Any = "whitespace"
    ngrams: int | tuple[int, ...] | None = None
    output_sequence_length: PositiveInt | None = None
    ragged: bool = False
    encoding: str = "utf-8"

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
