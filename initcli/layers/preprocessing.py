"""Layers that prepare data, and spectrograms of sound."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

import numpy

from initcli.initializers import STFT
from initcli.layers.arguments import ChannelOrder, Padding
from initcli.layers.base import Layer, known_size, output_shapes
from initcli.layers.flow import Flow
from initcli.layers.spatial import AXES, join, slide, split
from initcli.parameter import Parameter
from initcli.types import ArgumentError, Array, PositiveInt, Shape, Size, doc


class Preprocessing(Layer, frozen=True, kw_only=True):
    """A layer that prepares data. It is not computed: its input passes on, with a note.

    If the shape changes, output entries are input entries of the same example, which preserves
    their mean and standard deviation.
    """

    role = "keeps"
    registered: ClassVar[bool] = False

    def call(self, flow: Flow, *inputs: Array, **options: Any) -> Array:
        (shape,) = output_shapes(self, tuple(x.shape for x in inputs), options)
        sizes = tuple(size or 1 for size in self.sized(shape, inputs[0].shape))
        return self.passed_on(flow.xp, inputs[0], sizes)

    def passed_on(self, xp: Any, x: Array, shape: Size) -> Array:
        """An input reshaped to an output shape."""
        if x.shape == shape:
            return x
        flat = xp.reshape(x, (x.shape[0], -1))
        return xp.reshape(nearest(flat, 1, math.prod(shape[1:])), shape)


def nearest(x: Array, axis: int, size: int) -> Array:
    """x resized along an axis by nearest neighbors."""
    old = x.shape[axis]
    places = ((numpy.arange(size) + 0.5) * old / size).astype("int64")
    return x if old == size else x[(*(slice(None),) * axis, places)]


class MelSpectrogram(Preprocessing, frozen=True, kw_only=True):
    """Mel-scale power spectrogram of sound: (batch, samples) to (batch, bins, frames)."""

    fft_length: Annotated[PositiveInt, doc("Samples of a Fourier transform.")] = 2048
    sequence_stride: Annotated[PositiveInt, doc("Samples between the starts of two frames.")] = 512
    sequence_length: Annotated[
        PositiveInt | None, doc("Samples of a frame; `fft_length` if absent.")
    ] = None
    window: Annotated[
        str | None, doc("Window that weights the samples of a frame; null for none.")
    ] = "hann"
    sampling_rate: Annotated[PositiveInt, doc("Samples per second.")] = 16000
    num_mel_bins: Annotated[PositiveInt, doc("Number of bands.")] = 128
    min_freq: Annotated[float, doc("Lowest frequency in hertz.")] = 20.0
    max_freq: Annotated[
        float | None, doc("Highest frequency in hertz; half the sampling rate if absent.")
    ] = None
    power_to_db: Annotated[bool, doc("Whether the output is in decibels.")] = True
    top_db: Annotated[float, doc("Decibels below the maximum at which values are clipped.")] = 80.0
    mag_exp: Annotated[float, doc("Exponent of the magnitude: 1 for energy, 2 for power.")] = 2.0
    min_power: Annotated[float, doc("Lower bound of the power before the logarithm.")] = 1e-10
    ref_power: Annotated[float, doc("Power that is 0 decibels.")] = 1.0

    def __post_init__(self) -> None:
        if self.sequence_length is not None and self.sequence_length > self.fft_length:
            both = f"({self.sequence_length}) must be at most `fft_length` ({self.fft_length})"
            raise ArgumentError("sequence_length", f"`sequence_length` {both}")

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) not in (1, 2):
            raise self.misfit("needs an input of 1 axis besides the batch (samples)", shape)
        samples, stride = shape[-1], self.sequence_stride
        frames = None if samples is None else (samples + stride + 1) // stride
        return (*shape[:-1], self.num_mel_bins, frames)


class STFTSpectrogram(Preprocessing, frozen=True, kw_only=True):
    """Short-time Fourier transform of sound, as a trainable convolution.

    Weights: real_kernel and imag_kernel, (frame_length, 1, fft_length / 2 + 1), as ``mode`` needs
    them.
    """

    mode: Annotated[
        Literal["log", "magnitude", "psd", "real", "imag", "angle", "stft"],
        doc("What to output of the complex transform."),
    ] = "log"
    frame_length: Annotated[PositiveInt, doc("Samples of a frame.")] = 256
    frame_step: Annotated[
        PositiveInt | None, doc("Samples between the starts of two frames; half a frame if absent.")
    ] = None
    fft_length: Annotated[
        PositiveInt | None,
        doc("Samples of a Fourier transform; `frame_length` up to a power of two if absent."),
    ] = None
    window: Annotated[
        str | None, doc("Window that weights the samples of a frame; null for none.")
    ] = "hann"
    periodic: Annotated[
        bool, doc("Whether the window has period n, as for spectral analysis, or n − 1.")
    ] = False
    scaling: Annotated[
        Literal["density", "spectrum"] | None,
        doc("Normalization by the window: of the power density, of the amplitude, or none."),
    ] = "density"
    padding: Padding = "valid"
    expand_dims: Annotated[bool, doc("Whether frequencies and channels are separate axes.")] = False
    data_format: ChannelOrder = None

    def __post_init__(self) -> None:
        if self.fft_length is not None and self.fft_length < self.frame_length:
            both = f"({self.fft_length}) must be at least `frame_length` ({self.frame_length})"
            raise ArgumentError("fft_length", f"`fft_length` {both}")
        if self.frame_step is not None and self.frame_step > self.frame_length:
            both = f"({self.frame_step}) must be at most `frame_length` ({self.frame_length})"
            raise ArgumentError("frame_step", f"`frame_step` {both}")
        if self.frame_length == 1 and self.frame_step is None:
            message = "`frame_length` 1 needs a `frame_step`"
            raise ArgumentError("frame_length", message, "write `frame_step: 1`")

    def output_shape(self, shape: Shape) -> Shape:
        self.require_rank(shape, 3, AXES[1])
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
                        side=side, window=self.window, scaling=self.scaling, periodic=self.periodic
                    ),
                )

    @property
    def _bands(self) -> int:
        # The next power of two by default.
        return (self.fft_length or 1 << (self.frame_length - 1).bit_length()) // 2 + 1
