"""What every layer is: its arguments as fields, its output's shape, and its parameters."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import ClassVar

import msgspec

from initcli.initializers import Initializer
from initcli.initializers.base import Fans
from initcli.laws import Law
from initcli.streams import Stream, parameter_stream, seeded_stream
from initcli.types import (
    BYTES,
    ArgumentError,
    Dtype,
    DtypePolicy,
    Shape,
    ShapeError,
    Size,
    public_subclasses,
    shape_text,
    snake_case,
)


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
    dtype: Dtype = "float32"
    keeps_dtype: bool = False
    seed: int = 0

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


class Layer(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=True):
    """One entry of a stack. Shapes have the batch first, as None."""

    aliases: ClassVar[tuple[str, ...]] = ()
    """Other names of the type."""

    name: str | None = None
    trainable: bool = True
    dtype: DtypePolicy | None = None

    def output_shape(self, shape: Shape) -> Shape:
        """The shape that comes out for an input of ``shape``.

        Raises:
            ShapeError: the input does not fit.
        """
        return shape

    def parameters(self, shape: Shape) -> Iterator[Parameter]:
        """The parameters for an input of ``shape``, in Keras's order, named within the layer.

        Raises:
            ShapeError: the input does not fit.
        """
        return iter(())

    @property
    def weights_dtype(self) -> Dtype | None:
        """The dtype of the layer's own weights; None where it is the model's."""
        if self.dtype == "mixed_float16" or self.dtype == "mixed_bfloat16":
            return "float32"
        return self.dtype

    @classmethod
    def default_name(cls) -> str:
        """What Keras calls the first such layer that has no name."""
        return snake_case(cls.__name__)

    @classmethod
    def has_weights(cls) -> bool:
        """Whether layers of this type have parameters at all."""
        return cls.parameters is not Layer.parameters

    def require_rank(self, shape: Shape, rank: int, axes: str) -> None:
        """Raise unless the input has that rank, the batch counted; ``axes`` says what it needs."""
        if len(shape) != rank:
            raise ShapeError(
                f"{type(self).__name__} needs an input of {rank - 1} axes beside the batch "
                f"{axes}, not {shape_text(shape)}"
            )


@cache
def known_layers() -> dict[str, type[Layer]]:
    """Every layer type by each of its names."""
    names: dict[str, type[Layer]] = {}
    for cls in public_subclasses(Layer):
        for name in (cls.__name__, *cls.aliases):
            names[name] = cls
    return names


def known_size(layer: Layer, shape: Shape, axis: int) -> int:
    """The size of an axis that must be known, because a parameter depends on it."""
    if not -len(shape) <= axis < len(shape):
        raise ShapeError(
            f"{type(layer).__name__} has axis {axis}, and its input {shape_text(shape)} has not"
        )
    size = shape[axis]
    if size is None:
        raise ShapeError(
            f"{type(layer).__name__} needs the size of axis {axis} of its input, "
            f"which is unknown in {shape_text(shape)}",
            "give the size in input_shape in place of null",
        )
    return size


def per_axis(value: int | tuple[int, ...], rank: int, argument: str) -> tuple[int, ...]:
    """One number for all spatial axes, or one for each.

    Raises:
        ArgumentError: there are not as many numbers as axes.
    """
    if isinstance(value, int):
        return (value,) * rank
    if len(value) != rank:
        numbers = "one number" if rank == 1 else f"one number or {rank}"
        raise ArgumentError(argument, f"{argument} takes {numbers}, not {len(value)}")
    return value
