"""Initializers of recorded tensors: given values, parts, functions of draws, or unknown."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from initcli.distributions import Distribution, Empirical, Floats, Image, mixed
from initcli.distributions.image import Postfix, written
from initcli.initializers.base import Fans, Initializer, Undrawn, Whole
from initcli.initializers.random import Sparse
from initcli.types import Size


class Unknown(Undrawn, frozen=True, kw_only=True):
    """Entries that ``operation`` made from random ones, with an unknown distribution.

    It is the name of a function, or a description of what is not known.
    """

    registered = False

    operation: str

    def __str__(self) -> str:
        made_of = "" if " " in self.operation else " of random entries"
        return f"unknown: {self.operation}{made_of}"


class Uninitialized(Undrawn, frozen=True, kw_only=True):
    """Memory that is never written to: the entries are whatever was there before.

    ``file``, ``line`` and ``function`` are the code that allocated the memory.
    """

    registered = False

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"uninitialized: {self.file}:{self.line} in {self.function}"


class Mapped(Initializer, frozen=True, kw_only=True):
    """Entries that a monotone function makes of draws of another initializer.

    During recording, ``draw`` identifies the draw: a function of two results of one draw is a
    function of that draw. ``origins`` are the draws that the entries depend on, at any position:
    tensors without a common origin are independent.
    """

    registered = False

    drawn: Initializer
    function: Postfix
    draw: int = 0
    origins: tuple[int, ...] = ()

    def distribution_for(self, shape: Size) -> Distribution | None:
        base = self.drawn.distribution_for(shape)
        return None if base is None else Image(base, self.function)

    @property
    def arguments(self) -> dict[str, Any]:
        function = written(self.function, "x")
        return {"function": function, "x": self.drawn.type_name, **self.drawn.arguments}

    def __str__(self) -> str:
        return written(self.function, str(self.drawn))


class SparseColumns(Sparse, frozen=True, kw_only=True):
    """:class:`Sparse` for a kernel (out, in), as PyTorch has it."""

    registered = False

    def distribution_for(self, shape: Size) -> Distribution:
        return super().distribution_for(shape[::-1])

    def tensor(self, shape: Size, rng: np.random.Generator, dtype: np.dtype[Any]) -> Floats:
        return super().tensor(shape[::-1], rng, dtype).T

    @property
    def type_name(self) -> str:
        return "Sparse"


class Values(Initializer, frozen=True, kw_only=True):
    """Entries that do not depend on random numbers, in row order."""

    registered = False

    numbers: bytes
    """The entries as float64, in the byte order of the machine."""

    def distribution_for(self, shape: Size) -> Distribution:
        return Empirical("values", tuple(np.sort(self._array).tolist()))

    def fill(self, out: Floats, start: int, shape: Size, rng: np.random.Generator) -> None:
        out[...] = self._array[start : start + out.size]

    @property
    def _array(self) -> Floats:
        return np.frombuffer(self.numbers, np.float64)

    @property
    def arguments(self) -> dict[str, Any]:
        return {}

    @property
    def type_name(self) -> str:
        return "Computed"


class Box(msgspec.Struct, frozen=True, kw_only=True):
    """The entries of a tensor from ``starts`` to before ``stops``, filled by one initializer."""

    starts: tuple[int, ...]
    stops: tuple[int, ...]
    initializer: Initializer

    @property
    def shape(self) -> Size:
        """The sizes of the box."""
        return tuple(b - a for a, b in zip(self.starts, self.stops, strict=True))

    @property
    def index(self) -> tuple[slice, ...]:
        """The slices of the tensor."""
        return tuple(map(slice, self.starts, self.stops))


class Parts(Whole, frozen=True, kw_only=True):
    """A tensor filled box by box, later boxes over earlier ones; the first is the whole tensor."""

    registered = False

    boxes: tuple[Box, ...]

    def fans(self, shape: Size) -> Fans:
        return self.boxes[0].initializer.fans(shape)

    @property
    def visible(self) -> tuple[Box, ...]:
        """The boxes that later ones do not cover completely; of an empty tensor, the first."""
        kept = zip(self.boxes, self._kept(self.boxes[0].shape), strict=True)
        return tuple(box for box, entries in kept if entries) or self.boxes[:1]

    def distribution_for(self, shape: Size) -> Distribution | None:
        if 0 in shape:
            return self.boxes[0].initializer.distribution_for(shape)
        parts = zip(self.boxes, self._kept(shape), strict=True)
        return mixed(
            (box.initializer.distribution_for(box.shape), kept) for box, kept in parts if kept
        )

    def _kept(self, shape: Size) -> list[float]:
        """The number of entries that each box keeps, counted in cells between all borders."""
        borders = [
            sorted(
                {
                    *(box.starts[axis] for box in self.boxes),
                    *(box.stops[axis] for box in self.boxes),
                }
            )
            for axis in range(len(shape))
        ]
        last = np.zeros([len(each) - 1 for each in borders], int)
        for at, box in enumerate(self.boxes):
            last[
                tuple(
                    slice(each.index(start), each.index(stop))
                    for each, start, stop in zip(borders, box.starts, box.stops, strict=True)
                )
            ] = at
        sizes: Floats = np.ones(1)
        for each in borders:
            sizes = np.multiply.outer(sizes, np.diff(each))
        return list(np.bincount(last.ravel(), sizes.ravel(), len(self.boxes)).tolist())

    def tensor(self, shape: Size, rng: np.random.Generator, dtype: np.dtype[Any]) -> Floats:
        filled = np.empty(shape, dtype)
        for box in self.boxes:
            filled[box.index] = box.initializer.tensor(box.shape, rng, dtype)
        return filled

    @property
    def arguments(self) -> dict[str, Any]:
        visible = self.visible
        return {**visible[0].initializer.arguments, "parts": len(visible)}

    @property
    def type_name(self) -> str:
        return self.visible[0].initializer.type_name
