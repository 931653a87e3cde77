"""Sound as spectrograms: a fixed one in mel bands, and one whose transform can be trained."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal

import numpy

from initcli.initializers import STFT
from initcli.layers.base import Layer, known_size
from initcli.layers.flow import Flow
from initcli.layers.spatial import ends, join, require_spatial, slide, split
from initcli.parameter import Parameter
from initcli.types import (
    ArgumentError,
    Array,
    DataFormat,
    NotComputable,
    PositiveInt,
    Shape,
    ShapeError,
    shape_text,
)

_WAVES = (numpy.cos, lambda angles: -numpy.sin(angles))


class MelSpectrogram(Layer, frozen=True, kw_only=True):
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

    def call(self, flow: Flow, x: Array) -> Array:
        xp, length = flow.xp, self.fft_length
        places = self._places(x.shape[-1])
        angles = 2 * math.pi / length * numpy.outer(numpy.arange(length), self._frequencies)
        window = self._window()[:, None]
        parts = (xp.matmul(x[..., places], (window * f(angles)).astype(x.dtype)) for f in _WAVES)
        power = sum(xp.square(part) for part in parts)
        # The root of nothing has no slope.
        magnitude = xp.sqrt(xp.maximum(power, numpy.float32(1e-30)))
        bands = xp.matmul(magnitude**self.mag_exp, self._mel(x.dtype))
        if self.power_to_db:
            bands = 10 / math.log(10) * xp.log(xp.maximum(bands, self.min_power))
            bands = bands - 10 * math.log10(max(abs(self.ref_power), self.min_power))
            bands = xp.maximum(bands, xp.max(bands) - self.top_db)
        return xp.swapaxes(bands, -1, -2).astype(x.dtype)

    @property
    def _frequencies(self) -> Array:
        return numpy.arange(self.fft_length // 2 + 1)

    def _places(self, samples: int) -> Array:
        """Which samples each frame takes: (frames, fft_length), reflected at both ends."""
        around = self.fft_length // 2
        if samples <= around:
            raise NotComputable(f"MelSpectrogram needs more than {around} samples, not {samples}")
        count = 1 + (samples + 2 * around - self.fft_length) // self.sequence_stride
        starts = numpy.arange(count) * self.sequence_stride - around
        places = numpy.abs(starts[:, None] + numpy.arange(self.fft_length))
        return samples - 1 - numpy.abs(samples - 1 - places)

    def _window(self) -> Array:
        """As wide as sequence_length, in the middle of fft_length."""
        length = self.sequence_length or self.fft_length
        from scipy.signal import get_window

        window = numpy.ones(length) if self.window is None else get_window(self.window, length)
        before = (self.fft_length - length) // 2
        return numpy.pad(window, (before, self.fft_length - length - before))

    def _mel(self, dtype: Any) -> Array:
        """Triangles in mel(f) = 2595 log10(1 + f / 700): (frequencies, num_mel_bins)."""

        def mel(hertz: Any) -> Any:
            return 2595 * numpy.log10(1 + numpy.asarray(hertz) / 700)

        most = self.sampling_rate / 2 if self.max_freq is None else self.max_freq
        edges = numpy.linspace(mel(self.min_freq), mel(most), self.num_mel_bins + 2)
        at = mel(numpy.linspace(0, self.sampling_rate / 2, len(self._frequencies)))[:, None]
        rising = (at - edges[:-2]) / (edges[1:-1] - edges[:-2])
        falling = (edges[2:] - at) / (edges[2:] - edges[1:-1])
        found = numpy.maximum(numpy.minimum(rising, falling), 0)
        found[0] = 0
        return found.astype(dtype)


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

    def call(self, flow: Flow, x: Array) -> Array:
        xp = flow.xp
        first = self.data_format == "channels_first"
        x = xp.swapaxes(x, 1, 2) if first else x
        batch, samples, channels = x.shape
        # Every channel alone: (batch · channels, samples, 1).
        alone = xp.reshape(xp.swapaxes(x, 1, 2), (batch * channels, samples, 1))
        step = (self.frame_step or self.frame_length // 2,)
        around = ends((samples,), (self.frame_length,), step, (1,), self.padding)

        def side(name: str) -> Array:
            found = xp.correlate(alone, flow[name], xp.Window(step, (1,), around))
            return xp.reshape(found, (batch, channels, *found.shape[1:]))

        y = self._seen(xp, side)
        # (batch, channels, frames, bands)
        if self.expand_dims:
            return y if first else xp.transpose(y, (0, 2, 3, 1))
        bands = y.shape[1] * y.shape[3]
        y = xp.reshape(xp.transpose(y, (0, 2, 1, 3)), (batch, y.shape[2], bands))
        return xp.swapaxes(y, 1, 2) if first else y

    def _seen(self, xp: Any, side: Any) -> Array:
        """What ``mode`` shows of the two sides of the transform."""
        if self.mode in ("real", "imag"):
            return side(f"{self.mode}_kernel")
        real, imag = side("real_kernel"), side("imag_kernel")
        if self.mode == "angle":
            return xp.arctan2(imag, real)
        if self.mode == "stft":
            return xp.concatenate([real, imag], -1)
        power = xp.square(real) + xp.square(imag)
        if self.mode == "psd":
            # All bands but the first and the last stand for two.
            twice = numpy.ones(power.shape[-1], power.dtype)
            twice[1:-1] = 2
            return power * twice
        least = numpy.float32(1e-7)
        magnitude = xp.sqrt(xp.maximum(power, least))
        return magnitude if self.mode == "magnitude" else xp.log(xp.maximum(magnitude, least))

    @property
    def _bands(self) -> int:
        # Without a length of its own, the next power of two.
        return (self.fft_length or 1 << (self.frame_length - 1).bit_length()) // 2 + 1
