"""What every initializer is: its arguments as fields, a distribution for a shape, and a way to
fill it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, ClassVar, NamedTuple

import msgspec
import numpy as np

from initcli.distributions import Distribution, Floats
from initcli.types import Size, field_names, snake_case


class Fans(NamedTuple):
    """How many entries feed one unit (``fan_in``), and how many units one entry's input feeds."""

    fan_in: int
    fan_out: int


def compute_fans(shape: Size) -> Fans:
    """The fans of a tensor, by the rule of Keras.

    A matrix is (fan_in, fan_out); of anything larger the last two axes are channels and the rest
    is a receptive field that multiplies both (``keras.src.initializers.random_initializers``).
    """
    if len(shape) == 0:
        return Fans(1, 1)
    if len(shape) == 1:
        return Fans(shape[0], shape[0])
    receptive_field = math.prod(shape[:-2])
    return Fans(shape[-2] * receptive_field, shape[-1] * receptive_field)


class Initializer(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=True):
    """A rule for filling a tensor. Shapes are those of Keras: (…, fan_in, fan_out)."""

    aliases: ClassVar[tuple[str, ...]] = ()
    """Names beside the class's own and its snake_case form."""
    registered: ClassVar[bool] = True
    """Whether a spec can name this very class, if not those that derive from it."""

    counts_fans: ClassVar[bool] = False
    """Whether the distribution depends on the fans."""

    def fans(self, shape: Size) -> Fans:
        """The fans of a tensor as this initializer counts them."""
        return compute_fans(shape)

    def distribution_for(self, shape: Size) -> Distribution | None:
        """The distribution of one entry of a tensor of that shape; None where nobody can know it.

        Raises:
            ShapeError: a tensor of that shape cannot be filled.
        """
        raise NotImplementedError

    def fill(self, out: Floats, start: int, shape: Size, rng: np.random.Generator) -> None:
        """Fill ``out`` with entries ``start``, ``start + 1``, … of the tensor in row order.

        Entries drawn independently of one another need no more than their distribution.
        """
        distribution = self.distribution_for(shape)
        assert distribution is not None
        distribution.draw(rng, out)

    def copies(self, shape: Size) -> int:
        """How many times each value that is drawn stands in the tensor."""
        return 1

    @classmethod
    def registered_names(cls) -> Iterable[str]:
        """The names of the initializer in a spec."""
        return cls.__name__, snake_case(cls.__name__), *cls.aliases

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments by name, the class's own before those it inherits, without the unset."""
        values = {name: getattr(self, name) for name in field_names(type(self))}
        return {name: value for name, value in values.items() if value is not None}

    @property
    def type_name(self) -> str:
        """What the initializer is called: its class, or a custom one's function."""
        return type(self).__name__

    def __str__(self) -> str:
        shown = ", ".join(f"{name}={_short(value)}" for name, value in self.arguments.items())
        return f"{self.type_name}({shown})" if shown else self.type_name


class Seeded(Initializer, frozen=True, kw_only=True):
    """An initializer that draws. With a ``seed`` of its own it gives the same values everywhere."""

    registered = False

    seed: int | None = None


class Whole(Seeded, frozen=True, kw_only=True):
    """An initializer whose entries depend on one another, so that the tensor is made as a whole."""

    registered = False

    def tensor(self, shape: Size, rng: np.random.Generator, dtype: np.dtype[Any]) -> Floats:
        """The whole tensor, of that shape and dtype."""
        raise NotImplementedError

    def scratch(self, shape: Size) -> int:
        """Entries that are held at once while the tensor is made."""
        return 3 * math.prod(shape)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
