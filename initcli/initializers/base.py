"""The interface of every initializer, and the fans of a shape."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, NamedTuple

import msgspec
import numpy as np

from initcli.distributions import Distribution, Floats
from initcli.random.matrices import spectral_norm
from initcli.types import ShapeError, Size, arguments_of, doc, shape_text, snake_case


class Fans(NamedTuple):
    """Number of inputs of one output unit, and of outputs that one input unit feeds."""

    fan_in: int
    fan_out: int


def compute_fans(shape: Size) -> Fans:
    """The fans of a tensor by the rule of Keras 3.

    A matrix is (fan_in, fan_out). In a tensor of higher rank the last two axes are channels, and
    the others a receptive field that multiplies both fans.
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
    """Names besides the class name and its snake_case form."""
    registered: ClassVar[bool] = True
    """Whether a spec can name this class; subclasses are registered unless they set it to False."""
    counts_fans: ClassVar[bool] = False
    """Whether the distribution depends on the fans."""

    def fans(self, shape: Size) -> Fans:
        """The fans of a tensor as this initializer counts them."""
        return compute_fans(shape)

    def distribution_for(self, shape: Size) -> Distribution | None:
        """The distribution of one entry of a tensor of that shape; None if it is unknown.

        Raises:
            ShapeError: the initializer cannot fill a tensor of that shape.
        """
        raise NotImplementedError

    def fill(self, out: Floats, start: int, shape: Size, rng: np.random.Generator) -> None:
        """Fill ``out`` with the entries of the flattened tensor from index ``start``.

        By default entries are independent draws of the distribution.
        """
        distribution = self.distribution_for(shape)
        assert distribution is not None
        distribution.draw(rng, out)

    def misfit(self, fills: str, shape: Size, remedy: str = "") -> ShapeError:
        """The error for a shape that the initializer cannot fill."""
        message = f"{self.type_name} fills {fills}, not shape {shape_text(shape)}"
        return ShapeError(message, remedy)

    def require_convolution(self, shape: Size, remedy: str) -> None:
        """Raise ShapeError unless the shape is that of a convolution kernel."""
        if len(shape) not in (3, 4, 5):
            raise self.misfit("convolution kernels of 3 to 5 axes", shape, remedy)

    @property
    def fills_whole(self) -> bool:
        """Whether entries depend on each other, so that only :meth:`tensor` can make them."""
        return False

    def tensor(self, shape: Size, rng: np.random.Generator, dtype: np.dtype[Any]) -> Floats:
        """The whole tensor, from one generator."""
        out = np.empty(math.prod(shape), dtype)
        self.fill(out, 0, shape, rng)
        return out.reshape(shape)

    def scratch(self, shape: Size) -> int:
        """Number of entries that :meth:`tensor` holds in memory at once."""
        return 3 * math.prod(shape)

    def copies(self, shape: Size) -> int:
        """How often each drawn value is repeated in the tensor."""
        return 1

    def spectral_norm(self, shape: Size, rows: tuple[int, ...]) -> float | None:
        """The approximate spectral norm of the tensor as a matrix; None if it is not known.

        The default is for independent draws of the distribution, as the default :meth:`fill` makes.

        Args:
            shape: shape of the tensor.
            rows: axes that form the rows of the matrix, in rising order; the others form columns.
        """
        distribution = self.distribution_for(shape)
        is_independent = type(self).fill is Initializer.fill and self.copies(shape) == 1
        if distribution is None or not is_independent or self.fills_whole:
            return None
        count = math.prod(shape[axis] for axis in rows)
        columns = math.prod(shape) // count
        return spectral_norm(count, columns, distribution.mean, distribution.std)

    @classmethod
    def registered_names(cls) -> Iterable[str]:
        """The names of the initializer in a spec."""
        return cls.__name__, snake_case(cls.__name__), *cls.aliases

    @property
    def own_seed(self) -> int | None:
        """The initializer's own seed; None if the model's seed decides."""
        return None

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments by name, without those that are None."""
        names = [argument.attribute for argument in arguments_of(type(self))]
        values = {name: getattr(self, name) for name in names}
        return {name: value for name, value in values.items() if value is not None}

    @property
    def type_name(self) -> str:
        """The name in reports: that of the class, or of a custom function."""
        return type(self).__name__

    def __str__(self) -> str:
        shown = ", ".join(f"{name}={_short(value)}" for name, value in self.arguments.items())
        return f"{self.type_name}({shown})" if shown else self.type_name


class Undrawn(Initializer, frozen=True, kw_only=True):
    """Stands for an unknown initializer, from which nothing can be drawn."""

    registered = False

    def distribution_for(self, shape: Size) -> None:
        return None


class Undeclared(Undrawn, frozen=True, kw_only=True):
    """The initializer of a tensor that is known only by its stored values."""

    registered = False

    def __str__(self) -> str:
        return ""


class Seeded(Initializer, frozen=True, kw_only=True):
    """An initializer that draws random numbers."""

    registered = False

    seed: Annotated[
        int | None,
        doc(
            "Own seed, which gives the same values in every model; if absent, values follow from "
            "the model's seed and the parameter's path."
        ),
    ] = None

    @property
    def own_seed(self) -> int | None:
        return self.seed


class Whole(Seeded, frozen=True, kw_only=True):
    """An initializer that makes the tensor as a whole."""

    registered = False

    @property
    def fills_whole(self) -> bool:
        return True


def _short(value: Any) -> str:
    return f"{value:z.4g}" if isinstance(value, float) else str(value)
