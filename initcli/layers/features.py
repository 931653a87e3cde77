"""Feature preprocessing: normalizing, binning, hashing and looking up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy

from initcli.errors import did_you_mean, listed, quoted
from initcli.initializers import Ones, Zeros
from initcli.layers.base import Layer, known_size
from initcli.layers.flow import Flow
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


class HashedCrossing(Layer, frozen=True, kw_only=True):
    """The hash of two features together, as one of ``num_bins`` indices."""

    num_bins: PositiveInt
    output_mode: Literal["int", "one_hot"] = "int"
    sparse: bool = False
    dtype: IndexDtype | None = None  # type: ignore[assignment]  # hashes are whole numbers

    def output_shape(self, one: Shape, other: Shape) -> Shape:
        if one[-1] != other[-1]:
            raise ShapeError(
                f"HashedCrossing needs two features of one shape, not {shape_text(one)} and "
                f"{shape_text(other)}"
            )
        return _encoded(self.output_mode, one, self.num_bins)


_NOT_SPARSE = "`sparse` cannot be true where `output_mode` is 'int', for indices are not sparse"
_SPARSE_MODES = "remove it, or take output_mode: one_hot, multi_hot or count"


class _Indexing(Layer, frozen=True, kw_only=True):
    """What turns values into indices, or into vectors with an entry for each index."""

    output_mode: Literal["int", "one_hot", "multi_hot", "count"] = "int"
    sparse: bool = False

    def __post_init__(self) -> None:
        if self.sparse and self.output_mode == "int":
            raise ArgumentError("sparse", _NOT_SPARSE, _SPARSE_MODES)


class Discretization(_Indexing, frozen=True, kw_only=True):
    """The bin in which each value lies."""

    bin_boundaries: tuple[float, ...] | None = None
    num_bins: PositiveInt | None = None
    epsilon: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
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


class Hashing(_Indexing, frozen=True, kw_only=True):
    """The hash of each value, as one of ``num_bins`` indices."""

    num_bins: PositiveInt
    mask_value: Any = None
    salt: int | tuple[int, ...] | None = None
    dtype: IndexDtype | None = None  # type: ignore[assignment]  # hashes are whole numbers

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_salt(self.salt)
        if self.output_mode == "int" and self.dtype not in (None, "int32", "int64"):
            wanted = "'int32' or 'int64' where `output_mode` is 'int'"
            raise ArgumentError("dtype", f"`dtype` must be {wanted}, not {quoted(self.dtype)}")

    def output_shape(self, shape: Shape) -> Shape:
        return shape if self.output_mode == "int" else (*shape[:-1], self.num_bins)


def _check_salt(salt: int | tuple[int, ...] | None) -> None:
    if isinstance(salt, tuple) and len(salt) != 2:
        message = f"`salt` must be one whole number or two, not {quoted([*salt])}"
        raise ArgumentError("salt", message)


class _Vocabulary(Layer, frozen=True, kw_only=True):
    """What knows a list of values by their indices, the first of which stand for unknown ones.

    ``vocabulary`` is a list or, as in Keras, the name of a file, which is not read. It may begin
    with what stands for absent and for unknown values.
    """

    max_tokens: PositiveInt | None = None
    output_mode: OutputMode = "int"
    pad_to_max_tokens: bool = False
    sparse: bool = False
    vocabulary: Any = None
    idf_weights: Any = None
    vocabulary_size: PositiveInt | None = None

    def __post_init__(self) -> None:
        frequencies = self.output_mode in ("tf_idf", "tf-idf")
        if self.sparse and self.output_mode == "int":
            raise ArgumentError("sparse", _NOT_SPARSE, _SPARSE_MODES)
        if self.max_tokens == 1:
            remedy = "one index stands for unknown values already"
            raise ArgumentError("max_tokens", "`max_tokens` must be at least 2, not 1", remedy)
        if self.pad_to_max_tokens and self.max_tokens is None:
            message = "`pad_to_max_tokens` needs `max_tokens`, which is not given"
            raise ArgumentError("pad_to_max_tokens", message)
        if self.idf_weights is not None and not frequencies:
            message = f"`idf_weights` needs output_mode: tf_idf, not {quoted(self.output_mode)}"
            raise ArgumentError("idf_weights", message)
        if frequencies and self.vocabulary is not None and self.idf_weights is None:
            message = "output_mode: tf_idf needs `idf_weights` beside a `vocabulary`"
            raise ArgumentError("idf_weights", message, "give one number for each of its values")
        if self._given is not None:
            self._check_vocabulary(self._given)

    def _check_vocabulary(self, given: list[Any]) -> None:
        tokens, mask = self._tokens(given), self._specials[0]
        if not given:
            raise ArgumentError("vocabulary", "`vocabulary` is empty", "list values, or remove it")
        written = [repr(token) for token in tokens]
        if len(set(written)) < len(written):
            twice = next(token for token in tokens if written.count(repr(token)) > 1)
            message = f"`vocabulary` has {quoted(twice)} twice"
            raise ArgumentError("vocabulary", message, "keep one of the two")
        if mask is not None and mask in tokens:
            message = f"`vocabulary` has {quoted(mask)}, which stands for absent values"
            raise ArgumentError("vocabulary", message, "take it out")
        needed = self._first + len(tokens)
        if self.max_tokens is not None and needed > self.max_tokens:
            message = f"`max_tokens` ({self.max_tokens}) is less than the {needed} of `vocabulary`"
            remedy = f"those of unknown values count too: `max_tokens: {needed}` or more"
            raise ArgumentError("max_tokens", message, remedy)
        if isinstance(self.idf_weights, list | tuple) and len(self.idf_weights) != len(given):
            wanted = f"{len(given)} entries, as many as `vocabulary`"
            message = f"`idf_weights` must have {wanted}, not {len(self.idf_weights)}"
            raise ArgumentError("idf_weights", message)

    @property
    def depth(self) -> int | None:
        """How many entries the vectors have, or None where Keras does not know."""
        if self.pad_to_max_tokens:
            return self.max_tokens
        if self._given is None:
            return self.vocabulary_size
        return self._first + len(self._tokens(self._given))

    @property
    def _given(self) -> list[Any] | None:
        return list(self.vocabulary) if isinstance(self.vocabulary, list | tuple) else None

    @property
    def _specials(self) -> tuple[Any, list[Any]]:
        """What stands for absent values, and for unknown ones, as often as it has an index."""
        raise NotImplementedError

    @property
    def _first(self) -> int:
        """The index of the first value, after those of what is absent or unknown."""
        mask, unknown = self._specials
        return len(unknown) + (mask is not None and self.output_mode == "int")

    def _tokens(self, given: list[Any]) -> list[Any]:
        """The vocabulary without what stands for other values."""
        mask, unknown = self._specials
        specials = [mask] * (self._first - len(unknown)) + unknown
        return given[self._first :] if given[: self._first] == specials else given


class _Lookup(_Vocabulary, frozen=True, kw_only=True):
    """The index of each value in a vocabulary."""

    num_oov_indices: NonNegativeInt = 1
    mask_token: Any = None
    oov_token: Any = None
    invert: bool = False
    oov_method: Literal["floormod", "farmhash"] = "floormod"
    salt: int | tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_salt(self.salt)
        if self.invert and self.output_mode != "int":
            wanted = f"'int' where `invert` is true, not {quoted(self.output_mode)}"
            raise ArgumentError("output_mode", f"`output_mode` must be {wanted}")
        if self.invert and self.oov_token in self._tokens(self._given or []):
            message = f"`vocabulary` has {quoted(self.oov_token)}, which stands for unknown values"
            raise ArgumentError("vocabulary", message, "take it out")

    def output_shape(self, shape: Shape) -> Shape:
        return _encoded(self.output_mode, shape, self.depth)

    @property
    def _specials(self) -> tuple[Any, list[Any]]:
        return self.mask_token, [self.oov_token] * self.num_oov_indices


class IntegerLookup(_Lookup, frozen=True, kw_only=True):
    """The index of each whole number in a vocabulary."""

    oov_token: Any = -1
    vocabulary_dtype: Literal["int64"] = "int64"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.salt is not None and self.oov_method != "farmhash":
            message = f"`salt` needs oov_method: farmhash, not {quoted(self.oov_method)}"
            raise ArgumentError("salt", message)


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

    def __post_init__(self) -> None:
        super().__post_init__()
        known = {
            "standardize": ("lower_and_strip_punctuation", "lower", "strip_punctuation"),
            "split": ("whitespace", "character"),
        }
        for argument, names in known.items():
            given = getattr(self, argument)
            # What is no text is the function of an author, which is not run.
            if isinstance(given, str) and given not in names:
                choices = listed(["null", *map(quoted, names)])
                message = f"`{argument}` must be {choices}, not {quoted(given)}"
                raise ArgumentError(argument, message, did_you_mean(given, names))
        if self.output_mode != "int" and self.output_sequence_length is not None:
            wanted = f"output_mode: int, not {quoted(self.output_mode)}"
            raise ArgumentError(
                "output_sequence_length", f"`output_sequence_length` needs {wanted}"
            )

    def output_shape(self, shape: Shape) -> Shape:
        if self.output_mode == "int":
            return (shape[0], self.output_sequence_length)
        words: Shape = (*shape, None)
        if self.split is None:
            words = (*shape, 1) if len(shape) < 2 else shape
        return _encoded(self.output_mode, words, self.depth)

    @property
    def _specials(self) -> tuple[Any, list[Any]]:
        return "", ["[UNK]"]
