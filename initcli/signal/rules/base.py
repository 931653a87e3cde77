"""Rules of theory: the field of a layer's output, and the pullback of gradients through the layer.

The gradients of two units or two branches are assumed to be independent, and independent of the
forward signal except for their tilt (Schoenholz et al. 2017, arXiv:1611.01232).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, ClassVar, NamedTuple

import msgspec
import numpy as np

from initcli.initializers import Initializer
from initcli.layers.base import Layer
from initcli.registry import public_subclasses
from initcli.signal.field import Field, field
from initcli.signal.gradient import Gradient as Gradient
from initcli.signal.grid import cells
from initcli.signal.joint import Cross, cross_moments
from initcli.signal.mapping import mapped
from initcli.signal.moments import Weight
from initcli.types import Array, DataFormat, Size

_KEPT, _PASSING = 9, 24
"""Numbers per cell: kept for the backward pass (moments and factors), and temporary."""

Axes = tuple[int, ...]
"""Axes of a tensor in ascending order, counted from the end: −1 is the last."""

Pull = Callable[..., Sequence[Gradient]]
"""Takes the gradients of the first output and of :attr:`Expected.others` to those of the inputs."""


class Batch(NamedTuple):
    """The number of examples and of positions that the gradient of a kernel is a sum over."""

    examples: int
    positions: int


KernelPull = Callable[["Gradient", Batch], float]
"""Takes the gradient of the first output to the mean square of the gradient of a kernel."""


class NoTheory(Exception):
    """Raised where no rule covers a layer."""


class Context(NamedTuple):
    """What a rule knows about a call besides the layer and the fields.

    ``weights`` has the moments of the parameters by their names within the layer, ``sizes`` their
    shapes, and ``initializers`` their initializers, for rules that use them. ``inputs`` and
    ``outputs`` are the shapes of the tensors. ``tied`` is E[x e] of an input entry and the table
    row that produced it, where the input returns to that table. ``common`` gives the cross moments
    of two inputs by their indices.
    """

    weights: dict[str, Weight]
    sizes: dict[str, Size]
    inputs: list[Size]
    outputs: list[Size]
    options: Mapping[str, bool]
    tied: float | None = None
    initializers: Mapping[str, Initializer] = {}
    common: Callable[[int, int], Cross] = lambda i, j: None

    @property
    def batch(self) -> int:
        """The number of examples."""
        return self.inputs[0][0]

    def within(self, name: str) -> Context:
        """The context of an inner layer, whose weights have that prefix."""
        start = f"{name}/"

        def own(values: Mapping[str, Any]) -> dict[str, Any]:
            return {k.removeprefix(start): v for k, v in values.items() if k.startswith(start)}

        return self._replace(
            weights=own(self.weights), sizes=own(self.sizes), initializers=own(self.initializers)
        )


class Attended(NamedTuple):
    """The scores of attention: their variance over keys, and the number of keys of each query.

    The variance differs between queries, with a variance of ``uneven`` times its squared mean.
    """

    variance: float
    seen: Array
    uneven: float


class Routed(NamedTuple):
    """Correlations of a router's logits: of two examples, of two positions, and of both.

    ``uneven`` is the variance of the squared norms of experts' kernels, relative to their mean.
    """

    examples: float
    positions: float
    both: float
    uneven: float


class Expected(NamedTuple):
    """What theory expects of a layer's first output, and the pullback of gradients.

    ``axes`` hold the units of the output, where they are not those of the input. ``others`` are
    further outputs, where theory covers them. ``attended`` are the scores of attention, and
    ``routed`` the logits of a router. ``sums`` is the input of the last activation, if that is a
    function of single entries. ``kernel`` gives the mean square of the gradient of the kernel or
    table.
    """

    output: Field
    pull: Pull
    axes: Axes | None = None
    others: tuple[Field, ...] = ()
    attended: Attended | None = None
    kernel: KernelPull | None = None
    sums: Field | None = None
    routed: Routed | None = None

    def then(self, step: Callable[[Field], Expected]) -> Expected:
        """The composition with a step that takes the output."""
        after, own = step(self.output), self.kernel

        def kernel(g: Gradient, batch: Batch) -> float:
            assert own is not None
            (inside,) = after.pull(g)
            return own(inside, batch)

        return Expected(
            after.output,
            lambda g: self.pull(*after.pull(g)),
            kernel=None if own is None else kernel,
            sums=after.sums,
        )


class Room(NamedTuple):
    """The number of floats that a rule keeps for the backward pass, and of temporary ones."""

    kept: float
    passing: float

    def plus(self, other: Room) -> Room:
        """The room for both."""
        return Room(self.kept + other.kept, self.passing + other.passing)

    @property
    def most(self) -> float:
        """The maximum at a time; a typical draw is computed from three evaluations."""
        return 2 * self.kept + self.passing


class Met(NamedTuple):
    """The fields of a call's inputs, another tensor, and its cross moments with each input."""

    fields: Sequence[Field]
    other: Field
    crosses: Sequence[Cross]


class TwoCalls(NamedTuple):
    """The fields of the inputs and the output of two calls.

    ``crosses`` are the cross moments of each input of the first call with each of the second.
    """

    inputs: Sequence[Sequence[Field]]
    outputs: Sequence[Field]
    crosses: Sequence[Sequence[Cross]]


class Rule:
    """What theory knows about a kind of layer.

    To add a rule, derive a class and name its ``layers``. A layer has the rule of the first class
    in its MRO that a rule names.
    """

    layers: ClassVar[tuple[type[Any], ...]] = ()
    uses_cross_moments: ClassVar[bool] = False
    """Whether the rule uses the cross moments of its inputs."""
    adds_up: ClassVar[bool] = False
    """Whether the input of the layer's activation is a weighted sum of the input plus a bias."""
    uses_initializers: ClassVar[bool] = False
    """Whether the rule uses initializers besides the moments of the weights."""

    def axes(self, layer: Any, context: Context, *fields: Any, **_: Any) -> Axes:
        """The axes that must hold the units of the inputs; by default the channels."""
        first = getattr(layer, "data_format", None) == "channels_first"
        return (1 - len(context.inputs[0]),) if first else (-1,)

    def expected(self, layer: Any, context: Context, *fields: Any, **_: Any) -> Expected:
        """The output for inputs with those fields.

        Raises:
            NoTheory: the rule does not cover this case.
        """
        raise NotImplementedError

    def room(self, layer: Any, context: Context) -> Room:
        """The memory of :meth:`expected`, by the cells of the inputs and outputs."""
        numbers = float(sum(map(_most_cells, (*context.inputs, *context.outputs))))
        return Room(_KEPT * numbers, _PASSING * numbers)

    def covers(self, layer: Any) -> bool:
        """Whether the rule predicts anything for the layer."""
        return True

    def factors(self, layer: Any, count: int) -> Sequence[float] | None:
        """The factor of each of ``count`` inputs, if the output is their sum except for noise."""
        return None

    def through(self, layer: Any, context: Context, met: Met) -> Array:
        """The cross moments of the output and another tensor.

        Raises:
            NoTheory: they are not known.
        """
        factors = self.factors(layer, len(met.fields))
        if factors is None:
            raise NoTheory(f"the cross moments of {layer.type_name}")
        if any(each.grid != met.fields[0].grid for each in met.fields):
            raise NoTheory("inputs with different positions")
        parts = zip(factors, met.fields, met.crosses, strict=True)
        return np.sum([f * cross_moments(each, met.other, cross) for f, each, cross in parts], 0)

    def of_calls(self, layer: Any, context: Context, calls: TwoCalls) -> Cross:
        """The cross moments of the outputs of two calls.

        By default two calls are treated as one call with two examples.

        Raises:
            NoTheory: they are not known.
        """
        inputs, outputs, crosses = calls
        if (factors := self.factors(layer, len(inputs[0]))) is not None:
            both = [
                f * g * cross_moments(x, y, cross)
                for f, x, row in zip(factors, inputs[0], crosses, strict=True)
                for g, y, cross in zip(factors, inputs[1], row, strict=True)
            ]
            return np.sum(both, 0)
        (one, *rest), (two, *_) = inputs
        if rest or one.grid != two.grid:
            raise NoTheory("calls with several inputs, or of different sizes")
        if not one.axes == two.axes == self.axes(layer, context, one):
            raise NoTheory("calls with units on other axes")
        cross = cross_moments(one, two, crosses[0][0])
        sizes = np.sqrt(one.second * two.second)
        found = np.empty((4, *outputs[0].grid))
        for kind in (0, 1):
            # Of the same example, and of two examples.
            pairs = np.stack([sizes, cross[kind], one.moments[2], cross[kind + 2]])
            given = field(pairs, one.units, one.profile, one.latent, one.pinned, one.lags)
            made = self.expected(layer, context, msgspec.structs.replace(given, axes=one.axes))
            found[kind::2] = made.output.ratios[[0, 2]]
        return found * np.sqrt(outputs[0].second * outputs[1].second)


class EntrywiseRule(Rule):
    """The base of rules that hold for units on any axes of the only input."""

    def axes(self, layer: Any, context: Context, *fields: Any, **_: Any) -> Axes:
        axes: Axes = fields[0].axes
        return axes


def _most_cells(shape: Size) -> int:
    """The number of cells of a tensor of that shape, for units on its first or last axis."""
    return max(math.prod(cells(shape[1:-1])), math.prod(cells(shape[2:])))


class UnlistedRule(EntrywiseRule):
    """The rule of layers that no other rule names; it covers layers that add nothing."""

    layers = (Layer,)

    def covers(self, layer: Layer) -> bool:
        return layer.adds_nothing()

    def expected(self, layer: Layer, context: Context, *fields: Field) -> Expected:
        if not self.covers(layer):
            raise NoTheory(layer.type_name)
        return unchanged(fields[0])


def rule_of(layer: Layer) -> Rule:
    """The rule of a layer."""
    return _rule_of_type(type(layer))


@cache
def _rule_of_type(layer_type: type[Layer]) -> Rule:
    rules = {cls: rule for rule in public_subclasses(Rule) for cls in rule.layers}
    return next(rules[cls] for cls in layer_type.__mro__ if cls in rules)()


def expected(layer: Layer, context: Context, *fields: Field) -> Expected:
    """The output of a layer, for inputs with units on the axes of its rule."""
    return rule_of(layer).expected(layer, context, *fields)


def counted_from_end(axis: int | tuple[int, ...], rank: int) -> Axes:
    """The axes of a tensor of that rank, batch included, counted from the end."""
    axes = (axis,) if isinstance(axis, int) else axis
    return tuple(sorted(each % rank - rank for each in axes))


def channels_and_grid(shape: Size, data_format: DataFormat | None) -> tuple[int, Size]:
    """The number of channels and the spatial sizes of a shape."""
    if data_format == "channels_first":
        return shape[1], shape[2:]
    return shape[-1], shape[1:-1]


def grids(layer: Any, context: Context) -> tuple[Size, Size]:
    """The spatial sizes of the input and the output."""
    data_format = getattr(layer, "data_format", None)
    before, after = context.inputs[0], context.outputs[0]
    return channels_and_grid(before, data_format)[1], channels_and_grid(after, data_format)[1]


def by_moment(values: Any, grid: Size) -> Array:
    """One value for each of the four moments, to be broadcast over a grid of positions."""
    return np.reshape(values, (4, *(1,) * len(grid)))


def unchanged(given: Field) -> Expected:
    """The input itself."""
    return Expected(given, lambda g: [g])


def affine(given: Field, scale: float, offset: float) -> Expected:
    """scale · x + offset."""
    output = mapped(lambda x: scale * x + offset, given)
    return Expected(output, lambda g: [g.scaled(scale)])
