"""Initializers that fill parts of a tensor by other initializers, or derive it from another one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import numpy as np

from initcli import distributions
from initcli.distributions import Distribution, Floats, Mixture, mixed, times, with_zeros
from initcli.initializers.base import Fans, Initializer, Whole
from initcli.initializers.constant import Ones
from initcli.initializers.random import HeNormal
from initcli.random.streams import seeded_stream
from initcli.types import ArgumentError, PositiveInt, ShapeError, Size, doc, shape_text


class Joined(Whole, frozen=True, kw_only=True):
    """Slices of the last axis, of the given ``sizes``, filled by one initializer each.

    The first of ``parts`` is the one named in the spec; ``remark`` names the combination.
    """

    registered = False

    parts: tuple[Initializer, ...]
    sizes: tuple[int, ...]
    remark: str

    counts_fans = True

    def fans(self, shape: Size) -> Fans:
        """The fans of the first part."""
        return self.parts[0].fans((*shape[:-1], self.sizes[0]))

    def distribution_for(self, shape: Size) -> Distribution | None:
        parts = zip(self.parts, self.sizes, strict=True)
        return mixed((part.distribution_for((*shape[:-1], size)), size) for part, size in parts)

    def tensor(self, shape: Size, rng: np.random.Generator, dtype: np.dtype[Any]) -> Floats:
        slices = zip(self.parts, self.sizes, strict=True)
        tensors = [part.tensor((*shape[:-1], size), rng, dtype) for part, size in slices]
        return np.concatenate(tensors, axis=-1)

    @property
    def arguments(self) -> dict[str, Any]:
        return {**self.parts[0].arguments, self.remark: True}

    @property
    def type_name(self) -> str:
        return self.parts[0].type_name


class _Derived(Initializer, frozen=True, kw_only=True):
    """The tensor of another initializer, changed; the other one is named in the spec."""

    declared: Initializer

    def fans(self, shape: Size) -> Fans:
        return self.declared.fans(shape)

    @property
    def fills_whole(self) -> bool:
        return self.declared.fills_whole

    def scratch(self, shape: Size) -> int:
        return self.declared.scratch(shape)

    def copies(self, shape: Size) -> int:
        return self.declared.copies(shape)

    @property
    def own_seed(self) -> int | None:
        return self.declared.own_seed

    @property
    def type_name(self) -> str:
        return self.declared.type_name


class Multiple(_Derived, frozen=True, kw_only=True):
    """A multiple of another initializer, by a factor that was found on data."""

    registered = False

    times: float

    def distribution_for(self, shape: Size) -> Distribution | None:
        return None

    def fill(self, out: Floats, start: int, shape: Size, rng: np.random.Generator) -> None:
        self.declared.fill(out, start, shape, rng)
        out *= out.dtype.type(self.times)

    def tensor(self, shape: Size, rng: np.random.Generator, dtype: np.dtype[Any]) -> Floats:
        filled = self.declared.tensor(shape, rng, dtype)
        filled *= dtype.type(self.times)
        return filled

    @property
    def arguments(self) -> dict[str, Any]:
        return {**self.declared.arguments, "times": self.times}


class Rescaled(Multiple, frozen=True, kw_only=True):
    """A multiple of another initializer by a given factor; see ``parametrization``."""

    registered = False

    def distribution_for(self, shape: Size) -> Distribution | None:
        base = self.declared.distribution_for(shape)
        return None if base is None else times(base, self.times)

    def spectral_norm(self, shape: Size, rows: tuple[int, ...]) -> float | None:
        norm = self.declared.spectral_norm(shape, rows)
        return None if norm is None else self.times * norm


def unit_forget_bias(initializer: Initializer, units: int, before: int = 1) -> Joined:
    """The bias of an LSTM for the gates input, forget, cell and output, with ones for the second.

    Jozefowicz et al. 2015, PMLR 37:2342–2350. As in Keras, the last two gates are filled together,
    as are the ``before`` blocks of ``units`` entries that precede the forget gate.
    """
    return Joined(
        parts=(initializer, Ones(), initializer),
        sizes=(before * units, units, 2 * units),
        remark="unit_forget_bias",
        seed=initializer.own_seed,
    )


def per_gate(initializer: Initializer, gates: int, units: int) -> Joined:
    """A separate draw for the matrix of each gate."""
    return Joined(
        parts=(initializer,) * gates,
        sizes=(units,) * gates,
        remark="per_gate",
        seed=initializer.own_seed,
    )


class ICNR(Whole, frozen=True, kw_only=True):
    """The kernel of a sub-pixel convolution that starts as nearest-neighbor upsampling.

    For a kernel (k…, in, out) with d spatial axes, out / scaleᵈ filters are drawn, and each is
    repeated for scaleᵈ pixels (Aitken et al. 2017, arXiv:1707.02937).
    """

    aliases = ("icnr",)

    scale: Annotated[PositiveInt, doc("Upsampling factor of each spatial axis.")] = 2
    initializer: Annotated[Initializer, doc("Draws the filters that are repeated.")] = HeNormal()
    order: Annotated[
        Literal["depth_to_space", "pixel_shuffle"],
        doc(
            "Order of the output channels: pixel first (`depth_to_space`, TensorFlow) or channel "
            "first (`pixel_shuffle`, PyTorch)."
        ),
    ] = "depth_to_space"

    def fans(self, shape: Size) -> Fans:
        """The fans of the drawn filters."""
        return self.initializer.fans(self._drawn(shape))

    def distribution_for(self, shape: Size) -> Distribution | None:
        return self.initializer.distribution_for(self._drawn(shape))

    def copies(self, shape: Size) -> int:
        return int(self.scale ** (len(shape) - 2)) * self.initializer.copies(self._drawn(shape))

    def tensor(self, shape: Size, rng: np.random.Generator, dtype: np.dtype[Any]) -> Floats:
        if self.initializer.own_seed is not None:
            rng = seeded_stream(self.initializer.own_seed).generator()
        drawn = self.initializer.tensor(self._drawn(shape), rng, dtype)
        times = shape[-1] // drawn.shape[-1]
        if self.order == "pixel_shuffle":
            return np.repeat(drawn, times, -1)
        return np.concatenate([drawn] * times, -1)

    def _drawn(self, shape: Size) -> Size:
        """The shape of the drawn filters."""
        self.require_convolution(shape, "use it for the convolution before a depth_to_space")
        # Bounded, because the power of a large scale takes long to compute and to print.
        pixels = min(self.scale, shape[-1] + 1) ** (len(shape) - 2)
        if shape[-1] % pixels:
            raise ShapeError(
                f"ICNR needs a multiple of {pixels} filters, not the {shape[-1]} of shape "
                f"{shape_text(shape)}",
                f"use a multiple of {pixels} filters, or another `scale`",
            )
        return (*shape[:-1], shape[-1] // pixels)


class Chrono(Whole, frozen=True, kw_only=True):
    """The bias of an LSTM for long memories, for the gates input, forget, cell and output.

    The forget gate's bias is log u with u ~ U(1, ``max_time`` − 1), the input gate's −log u with
    the same u, and that of the others 0 (Tallec & Ollivier 2018, arXiv:1804.11188, equation 16).
    ``unit_forget_bias`` has no effect on it.
    """

    max_time: Annotated[
        float, doc("Longest range of dependence in time steps, more than 2, such as 784.")
    ]

    def __post_init__(self) -> None:
        if not self.max_time > 2:
            raise ArgumentError(
                "max_time",
                f"`max_time` must be more than 2, not {self.max_time:g}",
                "give the longest range of dependence in time steps, such as 784",
            )

    @property
    def forget(self) -> distributions.Image:
        """The distribution of the forget gate's bias."""
        return distributions.Image(distributions.Uniform(1.0, self.max_time - 1), ("x", "log"))

    def distribution_for(self, shape: Size) -> Distribution:
        if len(shape) != 1 or shape[0] % 4:
            remedy = "use it for the `bias_initializer` of LSTM, LSTMCell or ConvLSTM"
            raise self.misfit("the bias of an LSTM's four gates", shape, remedy)
        inverse = distributions.Image(self.forget.base, ("x", "log", "neg"))
        return Mixture((0.5, 0.25, 0.25), (distributions.Constant(0.0), inverse, self.forget))

    def tensor(self, shape: Size, rng: np.random.Generator, dtype: np.dtype[Any]) -> Floats:
        forget = np.empty(shape[0] // 4, dtype)
        self.forget.draw(rng, forget)
        return np.concatenate([-forget, forget, np.zeros(shape[0] // 2, dtype)])


class ZeroRow(_Derived, frozen=True, kw_only=True):
    """A table filled by another initializer, with one row of zeros.

    ``torch.nn.Embedding`` has such a row for ``padding_idx``.
    """

    registered = False

    row: int

    def distribution_for(self, shape: Size) -> Distribution | None:
        distribution = self.declared.distribution_for(shape)
        return None if distribution is None else with_zeros(distribution, 1 / shape[0])

    def fill(self, out: Floats, start: int, shape: Size, rng: np.random.Generator) -> None:
        self.declared.fill(out, start, shape, rng)
        first = self.row * shape[1] - start
        out[max(first, 0) : max(first + shape[1], 0)] = 0

    def tensor(self, shape: Size, rng: np.random.Generator, dtype: np.dtype[Any]) -> Floats:
        table = self.declared.tensor(shape, rng, dtype)
        table[self.row] = 0
        return table

    @property
    def arguments(self) -> dict[str, Any]:
        return {**self.declared.arguments, "padding_idx": self.row}


class NormOf(Whole, frozen=True, kw_only=True):
    """The Euclidean norm over all axes but the last of ``source``, a parameter of the same layer.

    ``values`` returns that parameter. A norm is over ``count`` of its entries, whose distribution
    is ``source_distribution``.
    """

    registered = False

    source: str
    count: int
    values: Callable[[], Floats] | None = None
    source_distribution: Distribution | None = None

    def distribution_for(self, shape: Size) -> Distribution | None:
        zero = distributions.Constant(0.0)
        return zero if self.source_distribution == zero else None

    def tensor(self, shape: Size, rng: np.random.Generator, dtype: np.dtype[Any]) -> Floats:
        assert self.values is not None
        kernel = self.values().astype(np.float64).reshape(-1, shape[-1])
        norm: Floats = np.sqrt((kernel * kernel).sum(0)).astype(dtype)
        return norm

    @property
    def arguments(self) -> dict[str, Any]:
        return {"of": self.source}
