"""Initializers without randomness."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np

from initcli import distributions
from initcli.distributions import Distribution, Floats
from initcli.errors import did_you_mean, listed, quoted
from initcli.initializers.base import Initializer
from initcli.types import ArgumentError, PositiveInt, ShapeError, Size, doc, shape_text


class Zeros(Initializer, frozen=True, kw_only=True):
    """All zeros."""

    aliases = ("zero", "zeros_")

    def distribution_for(self, shape: Size) -> Distribution:
        return distributions.Constant(0.0)


class Ones(Initializer, frozen=True, kw_only=True):
    """All ones."""

    aliases = ("one", "ones_")

    def distribution_for(self, shape: Size) -> Distribution:
        return distributions.Constant(1.0)


class Constant(Initializer, frozen=True, kw_only=True):
    """All entries equal."""

    value: Annotated[float, doc("Value of every entry.")] = 0.0

    def distribution_for(self, shape: Size) -> Distribution:
        return distributions.Constant(self.value)


class Identity(Initializer, frozen=True, kw_only=True):
    """A matrix with ``gain`` on its diagonal and 0 elsewhere.

    In an r × c matrix, a fraction 1/max(r, c) of the entries is ``gain``, or 1/min(r, c) if
    ``repeated``.
    """

    aliases = ("IdentityInitializer", "eye_")

    gain: Annotated[float, doc("Value on the diagonal.")] = 1.0
    repeated: Annotated[
        bool | None,
        doc("Whether identities repeat along the longer side of the matrix, as in Keras 2.2.3."),
    ] = None

    def distribution_for(self, shape: Size) -> Distribution:
        if len(shape) != 2:
            remedy = "for a convolution, use Dirac" if len(shape) > 2 else ""
            raise self.misfit("matrices only", shape, remedy)
        if self.repeated and max(shape) % min(shape):
            raise ShapeError(
                "repeated identities need one side to be a multiple of the other, not shape "
                f"{shape_text(shape)}",
                "remove `repeated` for ones on one diagonal",
            )
        period = min(shape) if self.repeated else max(shape)
        return distributions.with_zeros(distributions.Constant(self.gain), 1 - 1 / period)

    def fill(self, out: Floats, start: int, shape: Size, rng: np.random.Generator) -> None:
        rows, columns = np.divmod(np.arange(start, start + out.size), shape[1])
        period = min(shape) if self.repeated else max(shape)
        out[:] = np.where(rows % period == columns % period, self.gain, 0.0)

    def spectral_norm(self, shape: Size, rows: tuple[int, ...]) -> float:
        return abs(self.gain) * math.sqrt(max(shape) / min(shape) if self.repeated else 1)


class Dirac(Initializer, frozen=True, kw_only=True):
    """A convolution that returns its input: 1 from channel i to channel i at the kernel's center.

    Kernels are (k…, in, out), and the center of an axis of size k is k // 2. A fraction
    groups · min(in, out/groups) / size of the entries is 1. As ``torch.nn.init.dirac_``, whose
    kernels are (out, in, k…).
    """

    aliases = ("dirac_",)

    groups: Annotated[
        PositiveInt,
        doc("Groups of output channels, each of which repeats the first input channels."),
    ] = 1

    def distribution_for(self, shape: Size) -> Distribution:
        self.require_convolution(shape, "for a matrix, use Identity")
        if shape[-1] % self.groups:
            raise ShapeError(
                f"Dirac's `groups` ({self.groups}) must divide the {shape[-1]} output channels",
                "use `groups: 1`",
            )
        ones = self.groups * min(shape[-2], shape[-1] // self.groups)
        return distributions.with_zeros(distributions.Constant(1.0), 1 - ones / math.prod(shape))

    def fill(self, out: Floats, start: int, shape: Size, rng: np.random.Generator) -> None:
        *place, source, target = np.unravel_index(np.arange(start, start + out.size), shape)
        passes = source == target % (shape[-1] // self.groups)
        for axis, index in enumerate(place):
            passes &= index == shape[axis] // 2
        out[:] = passes


class Bilinear(Initializer, frozen=True, kw_only=True):
    """A transposed convolution that enlarges an image by bilinear interpolation.

    Kernels are (k…, out / groups, in). The weight from a channel to itself is the product over the
    axes of 1 − |j − c| / f, with f = ⌈k/2⌉ and c = f − 1 for odd k, f − 1/2 for even k; between
    channels it is 0. A stride of s needs k = 2s − s mod 2. (Long et al. 2015, arXiv:1411.4038,
    section 3.3; Caffe's ``BilinearFiller``, with as many groups as channels.)
    """

    groups: Annotated[PositiveInt, doc("The `groups` of the layer.")] = 1

    def distribution_for(self, shape: Size) -> Distribution:
        self.require_convolution(shape, "use it for a transposed convolution")
        if shape[-1] != shape[-2] * self.groups:
            raise ShapeError(
                f"Bilinear needs as many filters as input channels, and shape {shape_text(shape)} "
                f"with `groups: {self.groups}` has {shape[-2] * self.groups} and {shape[-1]}",
                "set `groups` to that of the layer, and its filters to the number of channels",
            )
        if math.prod(shape[:-2]) > _MAX_ENTRIES:
            message = f"Bilinear fills windows of at most {_MAX_ENTRIES:,} entries"
            raise ShapeError(message, "use a smaller kernel_size")
        window = _fixed("bilinear", self._window(shape))
        return distributions.with_zeros(window, 1 - 1 / shape[-2])

    def fill(self, out: Floats, start: int, shape: Size, rng: np.random.Generator) -> None:
        *place, target, source = np.unravel_index(np.arange(start, start + out.size), shape)
        out[:] = np.where(target == source % shape[-2], self._window(shape)[tuple(place)], 0.0)

    def _window(self, shape: Size) -> Floats:
        window: Floats = np.ones(())
        for size in shape[:-2]:
            half = (size + 1) // 2
            center = half - 1 if size % 2 else half - 0.5
            window = np.multiply.outer(window, 1 - np.abs(np.arange(size) - center) / half)
        return window


def _fixed(name: str, entries: Floats) -> Distribution:
    """The distribution of deterministic entries."""
    return distributions.Empirical(name, tuple(np.sort(entries, axis=None).tolist()))


_MAX_ENTRIES = 2**24
"""Maximum number of entries of a kernel whose distribution holds each of them."""


class STFT(Initializer, frozen=True, kw_only=True):
    """The kernel of a short-time Fourier transform, of shape (frame length, 1, frequencies).

    Entry (t, 0, f) is w(t) cos(2πtf/N) / s for the real side and −w(t) sin(2πtf/N) / s for the
    imaginary side, with N = 2 (frequencies − 1) and the window w (``keras.initializers.STFT``).
    """

    aliases = ("STFTInitializer",)

    side: Annotated[
        Literal["real", "imag"], doc("Real part (cosines) or imaginary part (sines).")
    ] = "real"
    window: Annotated[
        str | tuple[float, ...] | None,
        doc("Window that weights a frame: its name, or one value for each entry of the frame."),
    ] = "hann"
    scaling: Annotated[
        Literal["density", "spectrum"] | None,
        doc("Divisor s: √Σw² for `density`, Σ|w| for `spectrum`, 1 if null."),
    ] = "density"
    periodic: Annotated[
        bool, doc("Whether the window has period n, as for spectral analysis, or n − 1.")
    ] = False

    def __post_init__(self) -> None:
        if isinstance(self.window, str) and self.window not in _COSINE_WINDOWS:
            known = did_you_mean(self.window, _COSINE_WINDOWS)
            known = known or f"use {listed(sorted(_COSINE_WINDOWS))}"
            raise ArgumentError("window", f"unknown window {quoted(self.window)}", known)

    def distribution_for(self, shape: Size) -> Distribution:
        if len(shape) != 3 or shape[1] != 1 or shape[2] < 2:
            remedy = "use it for a Conv1D on one channel with 2 filters or more"
            kernels = "kernels (frame length, 1, frequencies) with 2 frequencies or more"
            raise self.misfit(kernels, shape, remedy)
        if math.prod(shape) > _MAX_ENTRIES:
            remedy = "use a smaller kernel_size or fewer filters"
            raise self.misfit(f"kernels of at most {_MAX_ENTRIES:,} entries", shape, remedy)
        if not isinstance(self.window, str) and self.window and len(self.window) != shape[0]:
            raise ShapeError(
                f"STFT's `window` must have {shape[0]} values, one for each entry of the frame, "
                f"not {len(self.window)}",
                "give kernel_size values, or the name of a window",
            )
        return _fixed("STFT", self._kernel(shape))

    def fill(self, out: Floats, start: int, shape: Size, rng: np.random.Generator) -> None:
        out[:] = self._kernel(shape).ravel()[start : start + out.size]

    def _kernel(self, shape: Size) -> Floats:
        length, _, frequencies = shape
        angle = np.outer(np.arange(length), np.arange(frequencies)) * np.pi / (frequencies - 1)
        kernel: Floats = np.cos(angle) if self.side == "real" else -np.sin(angle)
        if self.window is None:
            return kernel
        window = self._window(length)
        scale = 1.0
        if self.scaling is not None:
            density = self.scaling == "density"
            scale = math.sqrt(np.sum(window**2)) if density else float(np.sum(np.abs(window)))
        if scale == 0:
            raise ShapeError(
                f"STFT's `window` is 0 at all {length} entries of the frame",
                "take a larger kernel_size, or another window, such as boxcar",
            )
        kernel *= (window / scale)[:, None]
        return kernel

    def _window(self, length: int) -> Floats:
        if not isinstance(self.window, str):
            return np.array(self.window, np.float64)
        if length == 1:
            return np.ones(1)
        step = 2 * np.pi / (length if self.periodic else length - 1)
        terms = enumerate(_COSINE_WINDOWS[self.window])
        return sum(
            ((-1) ** k * a * np.cos(k * step * np.arange(length)) for k, a in terms),
            np.zeros(length),
        )


# w(t) = Σ (−1)^k a_k cos(2πkt/(n−1)); Harris 1978, Nuttall 1981; the names are SciPy's.
_COSINE_WINDOWS: dict[str, tuple[float, ...]] = {
    "boxcar": (1.0,),
    "hann": (0.5, 0.5),
    "hamming": (0.54, 0.46),
    "blackman": (0.42, 0.5, 0.08),
    "nuttall": (0.3635819, 0.4891775, 0.1365995, 0.0106411),
    "blackmanharris": (0.35875, 0.48829, 0.14128, 0.01168),
    "flattop": (0.21557895, 0.41663158, 0.277263158, 0.083578947, 0.006947368),
}
