"""A parameter: one tensor of a layer, and all that decides its values."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import msgspec

from initcli.distributions import Distribution
from initcli.initializers import Initializer
from initcli.initializers.base import Fans
from initcli.random.streams import Stream, parameter_stream, seeded_stream
from initcli.types import BYTES, Size, TensorDtype


class Owner(NamedTuple):
    """The layer that declares a parameter, and its name for it.

    ``keys`` lead to the layer from the one that holds it: the arguments of wrappers.
    """

    layer: Any
    name: str
    keys: tuple[str | int, ...] = ()


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """One tensor of a layer.

    A layer names its parameters as Keras does (``kernel``); in a model the path begins with the
    layer's name (``conv1d/kernel``), and the seed is the model's, as is the dtype unless the layer
    ``keeps_dtype`` whatever that of the model.

    ``argument`` is the layer's argument that names the initializer; None where none does.
    ``contracts`` are the axes that one entry of the layer's output is summed over, and ``produces``
    those along which one entry of its input is multiplied; an axis in neither keeps what it is.
    Where a sum runs over a part of an axis only, as groups and strides have it, ``divided`` says by
    how much fewer entries meet in a sum, and in how many fewer sums an entry stands. None is
    unknown, and () no sum.
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

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def size(self) -> int:
        """The number of entries."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """What the entries take in memory, in bytes."""
        return self.size * BYTES[self.dtype]

    @property
    def fans(self) -> Fans:
        """Fan-in and fan-out: as the initializer counts them where its distribution depends on
        them, else
        those that the layer's sums have, if it says so."""
        declared = getattr(self.initializer, "declared", None) or self.initializer
        own = self.wired_fans
        return declared.fans(self.shape) if own is None or declared.counts_fans else own

    @property
    def is_summed(self) -> bool:
        """Whether entries meet in sums; where the layer does not say, whether it is a matrix."""
        return len(self.shape) > 1 if self.contracts is None else bool(self.contracts)

    @property
    def wired_fans(self) -> Fans | None:
        """How many entries meet in a sum, and in how many sums an entry of the input stands."""
        if self.contracts is None or self.produces is None:
            return None
        found = (
            max(round(math.prod(self.shape[axis] for axis in axes) / fewer), 1)
            for axes, fewer in zip((self.contracts, self.produces), self.divided, strict=True)
        )
        return Fans(*found)

    @property
    def distribution(self) -> Distribution | None:
        """The distribution of one entry, or None for a custom initializer."""
        return self.initializer.distribution_for(self.shape)

    @property
    def stream(self) -> Stream:
        """The random bits of the parameter: by its path, or by the initializer's own seed."""
        own = self.initializer.own_seed
        return parameter_stream(self.seed, self.path) if own is None else seeded_stream(own)
