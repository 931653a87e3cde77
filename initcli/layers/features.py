"""Feature preprocessing: normalising, binning, hashing, looking up, and spectrograms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from initcli.initializers import STFT, Ones, Zeros
from initcli.layers.base import Layer, Parameter, known_size
from initcli.layers.spatial import join, require_spatial, slide, split
from initcli.types import (
    ArgumentError,
    DataFormat,
    NonNegativeInt,
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

    axis: int | tuple[int, ...] | None = -1
    mean: Any = None
    variance: Any = None
    invert: bool = False

    def __post_init__(self) -> None:
        if (self.mean is None) != (self.variance is None):
            raise ArgumentError("mean", "mean and variance are given together, or neither")

    def output_shape(self, shape: Shape) -> Shape:
        self._sizes(shape)
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

    def _sizes(self, shape: Shape) -> tuple[int, ...]:
        given = () if self.axis is None else self.axis
        axes = (given,) if isinstance(given, int) else given
        sizes = {axis % max(len(shape), 1): known_size(self, shape, axis) for axis in axes}
        return tuple(sizes[axis] for axis in sorted(sizes))


OutputMode = Literal["int", "one_hot", "multi_hot", "count", "tf_idf"]


class _Encoding(Layer, frozen=True, kw_only=True):
    """What turns values into indices, or into vectors with an entry for each index."""

    output_mode: OutputMode = "int"
    sparse: bool = False

    def encoded(self, shape: Shape, depth: int | None) -> Shape:
        """The shape of the vectors of ``depth`` entries."""
        if self.output_mode == "int":
            return shape
        if self.output_mode == "one_hot" and (len(shape) < 2 or shape[-1] != 1):
            return (*shape, depth)
        return (*shape[:-1], depth)


class CategoryEncoding(_Encoding, frozen=True, kw_only=True):
    """Indices as vectors of ``num_tokens`` entries."""

    num_tokens: PositiveInt
    output_mode: OutputMode = "multi_hot"

    def __post_init__(self) -> None:
        if self.output_mode not in ("one_hot", "multi_hot", "count"):
            raise ArgumentError("output_mode", "output_mode is one_hot, multi_hot or count")

    def output_shape(self, shape: Shape) -> Shape:
        return self.encoded(shape, self.num_tokens)


class Discretization(_Encoding, frozen=True, kw_only=True):
    """The bin in which each value lies."""

    bin_boundaries: tuple[float, ...] | None = None
    num_bins: PositiveInt | None = None
    epsilon: float = 0.01

    def __post_init__(self) -> None:
        if (self.bin_boundaries is None) == (self.num_bins is None):
            raise ArgumentError("num_bins", "either bin_boundaries or num_bins is given")

    def output_shape(self, shape: Shape) -> Shape:
        depth = self.num_bins
        if self.bin_boundaries is not None:
            depth = len(self.bin_boundaries) + 1
        if self.output_mode in ("int", "one_hot"):
            return self.encoded(shape, depth)
        return (shape[0], *shape[2:], depth) if len(shape) > 1 else (depth,)


class Hashing(_Encoding, frozen=True, kw_only=True):
    """The hash of each value, as one of ``num_bins`` indices."""

    num_bins: PositiveInt
    mask_value: Any = None
    salt: Any = None

    def output_shape(self, shape: Shape) -> Shape:
        return shape if self.output_mode == "int" else (*shape[:-1], self.num_bins)


class HashedCrossing(_Encoding, frozen=True, kw_only=True):
    """The hash of two features together, as one of ``num_bins`` indices."""

    num_bins: PositiveInt

    def output_shape(self, one: Shape, other: Shape) -> Shape:
        if one[-1] != other[-1]:
            raise ShapeError(
                f"HashedCrossing crosses features of one shape, not {shape_text(one)} and "
                f"{shape_text(other)}"
            )
        return self.encoded(one, self.num_bins)


class _Lookup(_Encoding, frozen=True, kw_only=True):
    """The index of each value in a vocabulary."""

    max_tokens: PositiveInt | None = None
    num_oov_indices: NonNegativeInt = 1
    mask_token: Any = None
    oov_token: Any = None
    vocabulary: Any = None
    idf_weights: Any = None
    invert: bool = False
    pad_to_max_tokens: bool = False
    vocabulary_size: PositiveInt | None = None

    def output_shape(self, shape: Shape) -> Shape:
        return self.encoded(shape, self.depth)

    @property
    def depth(self) -> int | None:
        """The size of the vocabulary, with what stands for a mask and for unknown values."""
        if self.pad_to_max_tokens or not isinstance(self.vocabulary, list):
            return self.max_tokens if self.pad_to_max_tokens else self.vocabulary_size
        extra = self.num_oov_indices + (self.mask_token is not None)
        return len(self.vocabulary) + extra


class IntegerLookup(_Lookup, frozen=True, kw_only=True):
    """The index of each whole number in a vocabulary."""

    oov_token: Any = -1
    vocabulary_dtype: str = "int64"
    oov_method: str = "floormod"
    salt: Any = None


class StringLookup(_Lookup, frozen=True, kw_only=True):
    """The index of each text in a vocabulary."""

    oov_token: Any = "[UNK]"
    encoding: str = "utf-8"
    salt: Any = None


class TextVectorization(_Encoding, frozen=True, kw_only=True):
    """Texts as indices of words, (batch, output_sequence_length), or as counts of words."""

    max_tokens: PositiveInt | None = None
    standardize: Any = "lower_and_strip_punctuation"
    split: Any = "whitespace"
    ngrams: Any = None
    output_sequence_length: PositiveInt | None = None
    pad_to_max_tokens: bool = False
    vocabulary: Any = None
    idf_weights: Any = None
    ragged: bool = False
    encoding: str = "utf-8"
    vocabulary_size: PositiveInt | None = None

    def output_shape(self, shape: Shape) -> Shape:
        if self.output_mode == "int":
            return (shape[0], self.output_sequence_length)
        depth = self.max_tokens if self.pad_to_max_tokens else self.vocabulary_size
        return (shape[0], depth)


class MelSpectrogram(Layer, frozen=True, kw_only=True):
    """Sound as the power in ``num_mel_bins`` bands: (batch, samples) to (batch, bins, frames)."""

    fft_length: PositiveInt = 2048
    sequence_stride: PositiveInt = 512
    sequence_length: PositiveInt | None = None
    window: str = "hann"
    sampling_rate: PositiveInt = 16000
    num_mel_bins: PositiveInt = 128
    min_freq: float = 20.0
    max_freq: float | None = None
    power_to_db: bool = True
    top_db: float = 80.0
    mag_exp: float = 2.0
    min_power: float = 1e-10
    ref_power: float = 1.0

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) not in (1, 2):
            raise ShapeError(f"MelSpectrogram needs (samples), not {shape_text(shape)}")
        samples, stride = shape[-1], self.sequence_stride
        frames = None if samples is None else (samples + stride + 1) // stride
        return (*shape[:-1], self.num_mel_bins, frames)


class STFTSpectrogram(Layer, frozen=True, kw_only=True):
    """The short-time Fourier transform of sound, as a convolution that can be trained.

    real_kernel and imag_kernel, each (frame_length, 1, fft_length / 2 + 1), as ``mode`` needs them.
    """

    mode: Literal["log", "magnitude", "psd", "real", "imag", "angle", "stft"] = "log"
    frame_length: PositiveInt = 256
    frame_step: PositiveInt | None = None
    fft_length: PositiveInt | None = None
    window: str | None = "hann"
    periodic: bool = False
    scaling: Literal["density", "spectrum"] | None = "density"
    padding: Literal["valid", "same"] = "valid"
    expand_dims: bool = False
    data_format: DataFormat | None = None

    def __post_init__(self) -> None:
        if self.fft_length is not None and self.fft_length < self.frame_length:
            raise ArgumentError("fft_length", "fft_length is at least frame_length")
        if self.frame_step is not None and self.frame_step > self.frame_length:
            raise ArgumentError("frame_step", "frame_step is at most frame_length")

    def output_shape(self, shape: Shape) -> Shape:
        require_spatial(self, shape, 1)
        sizes, _ = split(shape, self.data_format)
        channels = known_size(self, shape, 1 if self.data_format == "channels_first" else -1)
        step = (self.frame_step or self.frame_length // 2,)
        frames = slide(self, sizes, (self.frame_length,), step, (1,), self.padding)
        bands = self._bands * (2 if self.mode == "stft" else 1)
        if not self.expand_dims:
            return join(shape[0], frames, bands * channels, self.data_format)
        if self.data_format == "channels_first":
            return (shape[0], channels, *frames, bands)
        return (shape[0], *frames, bands, channels)

    def parameters(self, shape: Shape) -> Iterator[Parameter]:
        sides: tuple[Literal["real", "imag"], ...] = ("real", "imag")
        for side in sides:
            if self.mode == side or self.mode not in sides:
                yield Parameter(
                    path=f"{side}_kernel",
                    shape=(self.frame_length, 1, self._bands),
                    initializer=STFT(
                        side=side,
                        window=self.window,
                        scaling=self.scaling,
                        periodic=self.periodic,
                    ),
                )

    @property
    def _bands(self) -> int:
        # Without a length of its own, the next power of two.
        return (self.fft_length or 1 << (self.frame_length - 1).bit_length()) // 2 + 1
