"""Initializers that are made of others: side by side, repeated, or with a row of zeros."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import numpy as np

from initcli import distributions
from initcli.distributions import Distribution, Floats, Mixture
from initcli.initializers.base import Fans, Initializer, Whole
from initcli.initializers.constant import Ones
from initcli.initializers.scaling import HeNormal
from initcli.random.streams import seeded_stream
from initcli.types import ArgumentError, PositiveInt, ShapeError, Size, shape_text


class Joined(Whole, frozen=True, kw_only=True):
    """The last axis cut into parts that are filled apart.

    ``parts`` are the initializers and ``sizes`` what each takes of the last axis. A person named
    the first; ``remark`` says in a word what became of it.
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
        """The mixture of the parts' distributions, each as probable as its share of the last
        axis."""
        weights: dict[Distribution, int] = {}
        for part, size in zip(self.parts, self.sizes, strict=True):
            distribution = part.distribution_for((*shape[:-1], size))
            if distribution is None:
                return None
            weights[distribution] = weights.get(distribution, 0) + size
        if len(weights) == 1:
            return next(iter(weights))
        total = sum(self.sizes)
        return Mixture(tuple(size / total for size in weights.values()), tuple(weights))

    def tensor(self, shape: Size, rng: np.random.Generator, dtype: np.dtype[Any]) -> Floats:
        made = [
            whole(part, (*shape[:-1], size), rng, dtype)
            for part, size in zip(self.parts, self.sizes, strict=True)
        ]
        return np.concatenate(made, axis=-1)

    @property
    def arguments(self) -> dict[str, Any]:
        return {**self.parts[0].arguments, self.remark: True}

    @property
    def type_name(self) -> str:
        return self.parts[0].type_name


def whole(
    initializer: Initializer, shape: Size, rng: np.random.Generator, dtype: np.dtype[Any]
) -> Floats:
    """A tensor of that shape from one generator, whichever way the initializer fills."""
    if isinstance(initializer, Whole):
        return initializer.tensor(shape, rng, dtype)
    out = np.empty(int(np.prod(shape)), dtype)
    initializer.fill(out, 0, shape, rng)
    return out.reshape(shape)


def unit_forget_bias(initializer: Initializer, units: int, before: int = 1) -> Joined:
    """The bias of an LSTM, by the gates input, forget, cell and output: Ones for the second.

    Jozefowicz et al. 2015; Keras fills the last two gates together, and what is ``before``: the
    first, or that and a whole other bias.
    """
    return Joined(
        parts=(initializer, Ones(), initializer),
        sizes=(before * units, units, 2 * units),
        remark="unit_forget_bias",
        seed=getattr(initializer, "seed", None),
    )


def per_gate(initializer: Initializer, gates: int, units: int) -> Joined:
    """One matrix for each gate, drawn apart."""
    return Joined(
        parts=(initializer,) * gates,
        sizes=(units,) * gates,
        remark="per_gate",
        seed=getattr(initializer, "seed", None),
    )


class ICNR(Whole, frozen=True, kw_only=True):
    """The kernel of a sub-pixel convolution that starts as one of nearest-neighbor resizing.

    A kernel (k…, in, out / scaleᵈ) of d spatial axes is filled by ``initializer``, and each of its
    filters repeated for all scaleᵈ pixels that it becomes (Aitken et al. 2017, arXiv:1707.02937).
    ``order`` says how channels become pixels: ``depth_to_space`` (TensorFlow) has the pixel first
    and then the channel, ``pixel_shuffle`` (PyTorch) the channel first.
    """

    aliases: ClassVar[tuple[str, ...]] = ("icnr",)

    scale: PositiveInt = 2
    initializer: Initializer = HeNormal()
    order: Literal["depth_to_space", "pixel_shuffle"] = "depth_to_space"

    def fans(self, shape: Size) -> Fans:
        """The fans of the kernel that is repeated."""
        return self.initializer.fans(self._repeated(shape))

    def distribution_for(self, shape: Size) -> Distribution | None:
        return self.initializer.distribution_for(self._repeated(shape))

    def copies(self, shape: Size) -> int:
        return int(self.scale ** (len(shape) - 2)) * self.initializer.copies(self._repeated(shape))

    def tensor(self, shape: Size, rng: np.random.Generator, dtype: np.dtype[Any]) -> Floats:
        own = getattr(self.initializer, "seed", None)
        if own is not None:
            rng = seeded_stream(own).generator()
        part = whole(self.initializer, self._repeated(shape), rng, dtype)
        times = shape[-1] // part.shape[-1]
        if self.order == "pixel_shuffle":
            return np.repeat(part, times, -1)
        return np.concatenate([part] * times, -1)

    def _repeated(self, shape: Size) -> Size:
        """The shape of the kernel that is repeated."""
        if len(shape) not in (3, 4, 5):
            message = (
                f"ICNR fills convolution kernels of 3 to 5 axes, not shape {shape_text(shape)}"
            )
            raise ShapeError(message, "it is for the convolution before a depth_to_space")
        # A large scale to the number of axes is more than any kernel has filters.
        pixels = min(self.scale, shape[-1] + 1) ** (len(shape) - 2)
        if shape[-1] % pixels:
            raise ShapeError(
                f"ICNR makes {pixels} pixels of a filter, and the {shape[-1]} filters of shape "
                f"{shape_text(shape)} are no multiple of that",
                f"take a multiple of {pixels} filters, or another `scale`",
            )
        return (*shape[:-1], shape[-1] // pixels)


class Chrono(Whole, frozen=True, kw_only=True):
    """The bias of an LSTM by the gates input, forget, cell and output, for long memories.

    The forget gate's is log u with u ~ U(1, T − 1), the input gate's −log u with the same u, and
    the others' are 0, where T is ``max_time``, the longest range of dependence in steps
    (Tallec & Ollivier 2018, arXiv:1804.11188, equation 16). ``unit_forget_bias`` adds nothing.
    """

    max_time: float

    def __post_init__(self) -> None:
        if not self.max_time > 2:
            raise ArgumentError(
                "max_time",
                f"`max_time` must be more than 2, not {self.max_time:g}",
                "it is the longest range of dependence, in steps, such as 784",
            )

    @property
    def forget(self) -> Distribution:
        """The distribution of the forget gate's bias."""
        return distributions.LogOfUniform(self.max_time - 1)

    def distribution_for(self, shape: Size) -> Distribution:
        if len(shape) != 1 or shape[0] % 4:
            raise ShapeError(
                f"Chrono fills the bias of an LSTM's four gates, not shape {shape_text(shape)}",
                "it is for the `bias_initializer` of LSTM, LSTMCell and ConvLSTM",
            )
        inverse = distributions.LogOfUniform(self.max_time - 1, -1)
        return Mixture((0.5, 0.25, 0.25), (distributions.Constant(0.0), inverse, self.forget))

    def tensor(self, shape: Size, rng: np.random.Generator, dtype: np.dtype[Any]) -> Floats:
        forget = np.empty(shape[0] // 4, dtype)
        self.forget.draw(rng, forget)
        return np.concatenate([-forget, forget, np.zeros(shape[0] // 2, dtype)])


class _WithZeroRow:
    """A table that is filled by another initializer, but for one row of zeros."""

    __slots__ = ()

    def fans(self: Any, shape: Size) -> Fans:
        """Those of the initializer that fills the other rows."""
        found: Fans = self.filled.fans(shape)
        return found

    def distribution_for(self: Any, shape: Size) -> Distribution | None:
        return _with_zeros(self.filled.distribution_for(shape), shape)

    @property
    def arguments(self: Any) -> dict[str, Any]:
        return {**self.filled.arguments, "padding_idx": self.row}

    @property
    def type_name(self: Any) -> str:
        name: str = self.filled.type_name
        return name


class ZeroRow(_WithZeroRow, Initializer, frozen=True, kw_only=True):
    """One that is filled part by part."""

    registered = False

    filled: Initializer
    row: int

    def fill(self, out: Floats, start: int, shape: Size, rng: np.random.Generator) -> None:
        self.filled.fill(out, start, shape, rng)
        first = self.row * shape[1] - start
        out[max(first, 0) : max(first + shape[1], 0)] = 0


class WholeZeroRow(_WithZeroRow, Whole, frozen=True, kw_only=True):
    """One that is made as a whole."""

    registered = False

    filled: Whole
    row: int

    def tensor(self, shape: Size, rng: np.random.Generator, dtype: np.dtype[Any]) -> Floats:
        table = self.filled.tensor(shape, rng, dtype)
        table[self.row] = 0
        return table

    def scratch(self, shape: Size) -> int:
        return self.filled.scratch(shape)


def zero_row(initializer: Initializer, row: int) -> Initializer:
    """The initializer with one row of zeros, as ``torch.nn.Embedding`` has for ``padding_idx``."""
    if isinstance(initializer, Whole):
        return WholeZeroRow(filled=initializer, row=row, seed=initializer.seed)
    return ZeroRow(filled=initializer, row=row)


def _with_zeros(distribution: Distribution | None, shape: Size) -> Distribution | None:
    """The distribution of an entry of a table of which one row is 0."""
    zero = distributions.Constant(0.0)
    if distribution is None or distribution == zero:
        return distribution
    share = 1 / shape[0]
    return zero if share == 1 else Mixture((share, 1 - share), (zero, distribution))


class NormOf(Whole, frozen=True, kw_only=True):
    """The Euclidean norm of another parameter of the layer, ``source``, for each of its last axis.

    ``values`` gives that parameter, of which ``count`` entries make up a norm, and
    ``source_distribution`` is the distribution of one of them.
    """

    registered = False

    source: str
    count: int
    values: Callable[[], Floats] | None = None
    source_distribution: Distribution | None = None

    def distribution_for(self, shape: Size) -> Distribution | None:
        """Known where the entries are all the same; else it is that of no named distribution."""
        return (
            distributions.Constant(0.0)
            if self.source_distribution == distributions.Constant(0.0)
            else None
        )

    def tensor(self, shape: Size, rng: np.random.Generator, dtype: np.dtype[Any]) -> Floats:
        assert self.values is not None
        kernel = self.values().astype(np.float64).reshape(-1, shape[-1])
        norm: Floats = np.sqrt((kernel * kernel).sum(0)).astype(dtype)
        return norm

    @property
    def arguments(self) -> dict[str, Any]:
        return {"of": self.source}
