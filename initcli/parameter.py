"""A parameter: one tensor of a layer, with its initializer or its stored values."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from initcli.distributions import Distribution
from initcli.errors import printable
from initcli.initializers import Initializer
from initcli.initializers.base import Fans
from initcli.random.streams import Stream, parameter_stream, seeded_stream
from initcli.stored import StoredTensor
from initcli.types import BYTES, CODES, Size, TensorDtype, shape_text


class Owner(NamedTuple):
    """The layer that declares a parameter, and its name for it.

    ``keys`` lead to the layer from the one that holds it: the arguments of wrappers.
    """

    layer: Any
    name: str
    keys: tuple[str | int, ...] = ()


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """One tensor of a layer.

    ``path`` is relative to the layer (``kernel``), and in a model begins with the layer's name
    (``conv1d/kernel``). In a model, seed and dtype are the model's, unless ``keeps_dtype``.

    ``argument`` is the layer's argument that names the initializer; None if there is none.
    ``contracts`` are the axes that the layer sums over for one entry of its output: the true
    fan-in. ``produces`` are the axes that one entry of the input reaches: the true fan-out. None
    means that the axes are not known, () that there are none. ``divided`` are divisors of both
    fans, for groups and strides. ``recurs`` is whether the layer sums over its own previous output.

    ``stored`` are the values in a file; None if they are sampled.

    ``multiplier`` is the factor by which the layer multiplies the values. ``adam_rate`` and
    ``sgd_rate`` are factors of the learning rate. The model's parametrization sets all three.
    """

    path: str
    shape: Size
    initializer: Initializer
    trainable: bool = True
    dtype: TensorDtype = "float32"
    keeps_dtype: bool = False
    seed: int = 0
    argument: str | None = None
    owner: Owner | None = None
    contracts: tuple[int, ...] | None = None
    produces: tuple[int, ...] | None = None
    divided: tuple[int, int] = (1, 1)
    recurs: bool = False
    stored: StoredTensor | None = None
    multiplier: float = 1.0
    adam_rate: float = 1.0
    sgd_rate: float = 1.0

    def __repr__(self) -> str:
        about = f"{self.path!r}, {shape_text(self.shape)}, {self.dtype}, {self.initializer}"
        return f"Parameter({printable(about)})"

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition(self.separator)[2]

    @property
    def scope(self) -> str:
        """The path without its last part."""
        return self.path.rpartition(self.separator)[0]

    @property
    def separator(self) -> str:
        """The separator of the parts of the path: dots in files of PyTorch tensors."""
        return "/" if "/" in self.path else "."

    @property
    def size(self) -> int:
        """The number of entries."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """The size in memory, in bytes."""
        return self.size * BYTES[self.dtype] if self.stored is None else self.stored.bytes

    @property
    def fans(self) -> Fans:
        """Fan-in and fan-out as the initializer counts them, if its distribution depends on them.

        Otherwise the true fans, if the layer declares them.
        """
        declared = getattr(self.initializer, "declared", None) or self.initializer
        own = self.wired_fans
        return declared.fans(self.shape) if own is None or declared.counts_fans else own

    @property
    def is_summed(self) -> bool:
        """Whether the layer sums over entries; if unknown, whether there are several axes."""
        return len(self.shape) > 1 if self.contracts is None else bool(self.contracts)

    @property
    def is_kernel(self) -> bool:
        """Whether an argument fills these weights, with which the layer sums over its input.

        If the layer does not declare the axes, whether the argument is ``kernel_initializer``.
        """
        if self.contracts is None:
            return self.argument == "kernel_initializer"
        return bool(self.contracts) and self.argument is not None and not self.recurs

    @property
    def wired_fans(self) -> Fans | None:
        """The true fans; None if unknown, and for the codes of quantized weights."""
        if self.contracts is None or self.produces is None or self.dtype in CODES:
            return None
        counts = (
            max(round(self.entries_on(axes) / fewer), 1)
            for axes, fewer in zip((self.contracts, self.produces), self.divided, strict=True)
        )
        return Fans(*counts)

    @property
    def fan_axes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The axes of inputs and of outputs; those of a window count as inputs alone."""
        inputs = self.contracts or ()
        return inputs, tuple(axis for axis in self.produces or () if axis not in inputs)

    def entries_on(self, axes: Iterable[int]) -> int:
        """The product of the sizes of axes."""
        return math.prod(self.shape[axis] for axis in axes)

    @property
    def distribution(self) -> Distribution | None:
        """The distribution of one entry, or None for a custom initializer."""
        return self.initializer.distribution_for(self.shape)

    @property
    def stream(self) -> Stream:
        """The random bits of the parameter: by its path, or by the initializer's own seed."""
        own = self.initializer.own_seed
        return parameter_stream(self.seed, self.path) if own is None else seeded_stream(own)
