"""What a rule is: the fields of what comes out of a layer, and how gradients come back through it.

Gradients of two examples, of two units and of two branches are taken to be independent, and but for
their tilt independent of what flows forwards (Schoenholz et al. 2017).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import singledispatch
from typing import Any, NamedTuple

import msgspec
import numpy as np

from initcli.layers.base import Layer
from initcli.signal.field import WEIGHTS, Field, field, mapped, normal
from initcli.types import Array, DataFormat, Size

_TINY = 1e-300


class Gradient(msgspec.Struct, frozen=True):
    """What is expected of the gradient with respect to a tensor.

    ``moments`` are E[g²] of an entry at each position, and E[g g'] at two positions of an example:
    (2, positions…). ``tilt`` is E[g² | z] / E[g²] for the normal number ``latent`` behind an entry,
    at the nodes: pooling sends gradients to large entries alone. None is 1 everywhere. ``lags`` is
    E[g g'] / E[g²] at two positions of a sequence that are 0, 1, … apart, where that is known.
    ``parts`` are the gradients of units that stand beside one another, each with their number.
    """

    moments: Array
    tilt: Array | None = None
    latent: int | None = None
    lags: Array | None = None
    parts: tuple[tuple[int, Gradient], ...] | None = None

    @classmethod
    def even(cls, second: Array) -> Gradient:
        """Entries that are independent at any two positions, of those E[g²]."""
        return cls(np.stack([second, np.zeros_like(second)]))

    @property
    def grid(self) -> Size:
        """The positions' sizes."""
        sizes: Size = self.moments.shape[1:]
        return sizes

    @property
    def second(self) -> float:
        """E[g²] over all positions."""
        return float(self.moments[0].mean())

    @property
    def places(self) -> float:
        """E[g g'] over all positions."""
        return float(self.moments[1].mean())

    def with_moments(self, moments: Array) -> Gradient:
        """The same entries with other moments."""
        return Gradient(moments, self.tilt, self.latent, self.lags)

    def times(self, factors: Any) -> Gradient:
        """Moments times a number, or one for each of them."""
        return self.with_moments(self.moments * factors)

    def plus(self, other: Gradient) -> Gradient:
        """The sum of two that are independent."""
        for one, two in ((self, other), (other, self)):
            if one.parts is not None:
                counts = len(one.parts)
                others = two.parts if two.parts and len(two.parts) == counts else None
                seconds = [each for _, each in others] if others else [two] * counts
                pairs = zip(one.parts, seconds, strict=True)
                return divided([(units, each.plus(more)) for (units, each), more in pairs])
        moments = self.moments + other.moments
        both = (self, other)
        total = max(self.second + other.second, _TINY)
        lags = None
        if any(each.lags is not None for each in both) and len(self.grid) == 1:
            lags = sum(each.second / total * each.all_lags for each in both)
        tilted = [each for each in both if each.tilt is not None]
        if not tilted or len({each.latent for each in tilted}) > 1:
            return Gradient(moments, lags=lags)
        even = np.ones_like(WEIGHTS)
        tilt = sum(
            each.second / total * (even if each.tilt is None else each.tilt) for each in both
        )
        return Gradient(moments, np.asarray(tilt), tilted[0].latent, lags)

    @property
    def all_lags(self) -> Array:
        """The lags, alike where they are not known."""
        if self.lags is not None:
            return self.lags
        found = np.full(self.grid, self.places / max(self.second, _TINY))
        found[:1] = 1.0
        return found

    def tilt_of(self, given: Field) -> Array | None:
        """The tilt, where it is by the normal number that is behind that field."""
        return self.tilt if self.latent == given.latent else None

    def at(self, grid: Size) -> Gradient:
        """The gradient of as many entries at other positions, alike everywhere."""
        if self.grid == grid:
            return self
        moments = np.zeros((2, *grid))
        moments[0] = self.second
        if grid and self.grid:
            moments[1] = self.places
        return self.with_moments(moments)

    def folded(self, grid: Size) -> Gradient:
        """The gradient of what was repeated along axes that it does not have."""
        if self.grid == grid:
            return self
        lost = math.prod(self.grid) / max(math.prod(grid), 1)
        total = lost * self.second + lost * (lost - 1) * self.places
        return Gradient.even(np.full(grid, total))


def divided(parts: Sequence[tuple[int, Gradient | None]]) -> Gradient:
    """The gradient of units beside one another, of so many units each."""
    known = tuple((units, each) for units, each in parts if each is not None)
    total = sum(units for units, _ in known)
    moments = sum(each.moments * (units / total) for units, each in known)
    return Gradient(np.asarray(moments), parts=known)


Pull = Callable[[Gradient], Sequence[Gradient | None]]
"""Takes the gradient of the first output to those of the inputs."""


class NoTheory(Exception):
    """Raised where no rule covers a layer."""


class Weight(NamedTuple):
    """Mean and variance of the entries of a parameter, and whether its columns are orthogonal."""

    mean: float
    variance: float
    orthogonal: bool = False

    @property
    def second(self) -> float:
        """E[w²]."""
        return self.variance + self.mean**2


class Place(NamedTuple):
    """Where a layer stands: its weights' moments and shapes, what flows in and out, its options.

    ``tied`` is E[x e] of the entries that flow in and those of the table's row that they were made
    of, where they come back into that table.
    """

    weights: dict[str, Weight]
    sizes: dict[str, Size]
    inputs: list[Size]
    outputs: list[Size]
    options: Mapping[str, bool]
    training: bool
    tied: float | None = None

    @property
    def batch(self) -> int:
        """Examples."""
        return self.inputs[0][0]

    def within(self, name: str) -> Place:
        """The place of a layer within, whose weights stand under that name."""
        start = f"{name}/"
        weights = {k.removeprefix(start): v for k, v in self.weights.items() if k.startswith(start)}
        sizes = {k.removeprefix(start): v for k, v in self.sizes.items() if k.startswith(start)}
        return self._replace(weights=weights, sizes=sizes)


class Expected(NamedTuple):
    """What is expected of a layer's first output, and how gradients come back through it.

    ``axes`` are those on which the output's units stand, where these are not those of the input.
    """

    output: Field
    pull: Pull
    axes: tuple[int, ...] | None = None


@singledispatch
def expected(layer: Layer, place: Place, *fields: Field) -> Expected:
    """What is expected of a layer for inputs of those fields.

    Raises:
        NoTheory: no rule covers the layer.
    """
    if layer.adds_nothing():
        return unchanged(fields[0])
    raise NoTheory(layer.type_name)


def unchanged(given: Field) -> Expected:
    """What passes as it is."""
    return Expected(given, lambda g: [g])


def then(first: Expected, *rest: Callable[[Field], Expected]) -> Expected:
    """One step after another."""
    found = first
    for step in rest:
        after = step(found.output)

        def pull(g: Gradient, before: Pull = found.pull, last: Pull = after.pull) -> Any:
            (inside,) = last(g)
            return before(inside) if inside is not None else [None]

        found = Expected(after.output, pull)
    return found


def affine(given: Field, scale: float, offset: float) -> Expected:
    """scale · x + offset."""
    found = mapped(lambda x: scale * x + offset, given)
    return Expected(found, lambda g: [g.times(scale * scale)])


def weighted(given: Field, weight: Weight) -> Expected:
    """x times one weight a unit."""
    moments = weight.second * given.moments
    values = given.profile if weight.mean >= 0 else -given.profile
    latent = given.latent if weight.variance == 0 else None
    found = field(moments, given.units, values, latent, given.pinned, given.lags)
    return Expected(found, lambda g: [g.times(weight.second)])


def summed(given: Field, fan_in: float, kernel: Weight) -> tuple[Array, Array]:
    """Moments and means of Σ w x over ``fan_in`` units of one position."""
    moments, means = given.moments, given.means
    total = fan_in * fan_in * means**2 + fan_in * (moments - means**2)
    return (
        fan_in * kernel.variance * moments + kernel.mean**2 * total,
        kernel.mean * fan_in * means,
    )


def with_bias(moments: Array, means: Array, bias: Weight | None) -> tuple[Array, Array]:
    """Moments and means after a bias is added."""
    if bias is None:
        return moments, means
    return moments + bias.second + 2 * bias.mean * means, means + bias.mean


def connected(
    given: Field, fan_in: float, units: int, kernel: Weight, bias: Weight | None
) -> Expected:
    """Σ w x + b over all units of a position: q' = fan_in Var[w] q + Var[b] (Poole et al. 2016).

    Backwards, E[g²] of an input is units · E[w²] · E[g²] of an output.
    """
    moments, means = with_bias(*summed(given, fan_in, kernel), bias)
    back = units * kernel.second
    return Expected(
        steadied(normal(moments, means, units, given.lags), kernel, fan_in),
        lambda g: [Gradient(back * g.moments, lags=g.lags)],
    )


def steadied(found: Field, kernel: Weight, fan_in: float) -> Field:
    """Sums whose weights may be orthogonal: they keep a vector's length as far as they can."""
    if not kernel.orthogonal:
        return found
    return msgspec.structs.replace(found, steady=min(found.units / max(fan_in, 1), 1.0))


def channels_and_grid(shape: Size, data_format: DataFormat | None) -> tuple[int, Size]:
    """Channels and spatial sizes of a shape."""
    if data_format == "channels_first":
        return shape[1], shape[2:]
    return shape[-1], shape[1:-1]
