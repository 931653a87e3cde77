"""Spectrograms of sound: a fixed one in mel bands, and one whose transform can be trained."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from initcli.initializers import STFT
from initcli.layers.base import known_size
from initcli.layers.preprocessing import Preprocessing
from initcli.layers.spatial import join, require_spatial, slide, split
from initcli.parameter import Parameter
from initcli.types import (
    ArgumentError,
    DataFormat,
    PositiveInt,
    Shape,
    ShapeError,
    shape_text,
)


class MelSpectrogram(Preprocessing, frozen=True, kw_only=True):
    """Sound as the power in ``num_mel_bins`` bands: (batch, samples) to (batch, bins, frames)."""

    fft_length: PositiveInt = 2048
    sequence_stride: PositiveInt = 512
    sequence_length: PositiveInt | None = None
    window: str | None = "hann"
    sampling_rate: PositiveInt = 16000
    num_mel_bins: PositiveInt = 128
    min_freq: float = 20.0
    max_freq: float | None = None
    power_to_db: bool = True
    top_db: float = 80.0
    mag_exp: float = 2.0
    min_power: float = 1e-10
    ref_power: float = 1.0

    def __post_init__(self) -> None:
        if self.sequence_length is not None and self.sequence_length > self.fft_length:
            both = f"({self.sequence_length}) must be at most `fft_length` ({self.fft_length})"
            raise ArgumentError("sequence_length", f"`sequence_length` {both}")

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) not in (1, 2):
            needs = "needs an input of 1 axis beside the batch (samples)"
            raise ShapeError(f"MelSpectrogram {needs}, not {shape_text(shape)}")
        samples, stride = shape[-1], self.sequence_stride
        frames = None if samples is None else (samples + stride + 1) // stride
        return (*shape[:-1], self.num_mel_bins, frames)


class STFTSpectrogram(Preprocessing, frozen=True, kw_only=True):
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
            both = f"({self.fft_length}) must be at least `frame_length` ({self.frame_length})"
            raise ArgumentError("fft_length", f"`fft_length` {both}")
        if self.frame_step is not None and self.frame_step > self.frame_length:
            both = f"({self.frame_step}) must be at most `frame_length` ({self.frame_length})"
            raise ArgumentError("frame_step", f"`frame_step` {both}")
        if self.frame_length == 1 and self.frame_step is None:
            message = "`frame_length` 1 needs a `frame_step`, for half of it is none"
            raise ArgumentError("frame_length", message, "write `frame_step: 1`")

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
