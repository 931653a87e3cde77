"""A parameter: one tensor of a layer, and all that decides its values."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import msgspec

from initcli.initializers import Initializer
from initcli.initializers.base import Fans
from initcli.laws import Law
from initcli.streams import Stream, parameter_stream, seeded_stream
from initcli.types import BYTES, Size, TensorDtype


class Origin(NamedTuple):
    """The layer that declares a parameter, and what it calls it."""

    layer: Any
    name: str

    @property
    def argument(self) -> str | None:
        """The layer's argument that says how the parameter is initialised."""
        owner, _, last = self.name.rpartition("/")
        own = f"{owner.removeprefix('attention_')}_initializer"
        if last == "kernel" and getattr(self.layer, own, None) is not None:
            return own
        wanted = (
            f"{last}_initializer",
            f"{last.removesuffix('_kernel')}_initializer",
            "depthwise_initializer",
            "initializer",
        )
        fields = self.layer.__struct_fields__
        return next((argument for argument in wanted if argument in fields), None)


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """One tensor of a layer.

    A layer names its parameters as Keras does (``kernel``); in a model the path begins with the
    layer's name (``conv1d/kernel``), and the seed is the model's, as is the dtype unless the layer
    ``keeps_dtype`` whatever that of the model.
    """

    path: str
    shape: Size
    initializer: Initializer
    trainable: bool = True
    dtype: TensorDtype = "float32"
    keeps_dtype: bool = False
    seed: int = 0
    origin: Origin | None = None

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
        """Fan-in and fan-out as the initializer counts them."""
        return self.initializer.fans(self.shape)

    @property
    def law(self) -> Law | None:
        """The law of one entry, or None for a custom initializer."""
        return self.initializer.law(self.shape)

    @property
    def stream(self) -> Stream:
        """The random bits of the parameter: by its path, or by the initializer's own seed."""
        own = getattr(self.initializer, "seed", None)
        return parameter_stream(self.seed, self.path) if own is None else seeded_stream(own)
