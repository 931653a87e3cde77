"""What a rule is: the field of a layer's output, and how gradients pass back through the layer.

Gradients of two units or two branches are taken to be independent, and but for their tilt
independent of the forward signal (Schoenholz et al. 2017, arXiv:1611.01232).
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
from initcli.signal.joint import Common, shared_by
from initcli.signal.mapping import mapped
from initcli.signal.moments import Weight
from initcli.types import Array, DataFormat, Size

_KEPT, _PASSING = 9, 24
"""Numbers for each cell: moments of fields and gradients, factors, and what becomes of them."""
Axes = tuple[int, ...]
"""Axes of a tensor in rising order, counted from the end: −1 is the last."""
Pull = Callable[..., Sequence[Gradient]]
"""Takes the gradient of the first output, then those of :attr:`Expected.others`, to the inputs'."""


class Batch(NamedTuple):
    """Of what a gradient is a sum: examples, and positions of each."""

    examples: int
    positions: int


KernelPull = Callable[["Gradient", Batch], float]
"""Takes the gradient of the first output to the mean square of that of a kernel, over a batch."""


class NoTheory(Exception):
    """Raised where no rule covers a layer."""


class Context(NamedTuple):
    """What a rule knows of a call beside the layer and the fields.

    ``weights`` and ``sizes`` are the moments and shapes of the parameters, by their names within
    the layer, and ``initializers`` what fills them, for rules that heed it. ``inputs`` and
    ``outputs`` are the shapes of the tensors. ``tied`` is E[x e] of an input entry and the table
    row that it was made from, where the input returns to that table. ``common`` gives what two
    inputs have in common, by their places.
    """

    weights: dict[str, Weight]
    sizes: dict[str, Size]
    inputs: list[Size]
    outputs: list[Size]
    options: Mapping[str, bool]
    tied: float | None = None
    initializers: Mapping[str, Initializer] = {}
    common: Callable[[int, int], Common] = lambda i, j: None

    @property
    def batch(self) -> int:
        """The number of examples."""
        return self.inputs[0][0]

    def within(self, name: str) -> Context:
        """The context of a layer inside the layer, whose weights have that prefix."""
        start = f"{name}/"

        def own(values: Mapping[str, Any]) -> dict[str, Any]:
            return {k.removeprefix(start): v for k, v in values.items() if k.startswith(start)}

        return self._replace(
            weights=own(self.weights), sizes=own(self.sizes), initializers=own(self.initializers)
        )


class Attended(NamedTuple):
    """The scores of attention: their variance over keys, and how many keys each query sees.

    The variance differs between queries, with a variance ``uneven`` times its squared mean.
    """

    variance: float
    seen: Array
    uneven: float


class Routed(NamedTuple):
    """Correlations of the logits of a router: of two examples, of two positions, of both.

    ``uneven`` is the variance of the squared sizes of experts' kernels, relative to their mean.
    """

    examples: float
    positions: float
    both: float
    uneven: float


class Expected(NamedTuple):
    """What theory expects of a layer's first output, and how gradients pass back.

    ``axes`` hold the output's units, where they are not those of the input. ``others`` are the
    layer's further outputs, where theory covers them, ``attended`` the scores of attention, and
    ``sums`` what the last activation takes, where that is a function of single entries. ``kernel``
    gives the mean square of the gradient of its kernel or table. ``routed`` are the logits of a
    router.
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
        """What another step makes of the output."""
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
    """Numbers that a rule keeps for the way back, and that pass while it works."""

    kept: float
    passing: float

    def plus(self, other: Room) -> Room:
        """The room for both."""
        return Room(self.kept + other.kept, self.passing + other.passing)

    @property
    def most(self) -> float:
        """The most at a time; what is typical is worked out of three."""
        return 2 * self.kept + self.passing


class Rule:
    """What theory knows of a kind of layer.

    To add a rule, derive a class and name the ``layers`` it is for. A layer has the rule of the
    first class in its MRO that one names.
    """

    layers: ClassVar[tuple[type[Any], ...]] = ()
    heeds_common: ClassVar[bool] = False
    """Whether the rule heeds what the inputs have in common."""
    adds_up: ClassVar[bool] = False
    """Whether the layer's activation takes a weighted sum of the input, and a bias."""
    heeds_initializers: ClassVar[bool] = False
    """Whether the rule heeds initializers beside the moments of the weights."""

    def axes(self, layer: Any, context: Context, *fields: Any, **_: Any) -> Axes:
        """The axes that must hold the units of the inputs; by default the channels."""
        first = getattr(layer, "data_format", None) == "channels_first"
        return (1 - len(context.inputs[0]),) if first else (-1,)

    def expected(self, layer: Any, context: Context, *fields: Any, **_: Any) -> Expected:
        """The output for inputs of those fields.

        Raises:
            NoTheory: the rule does not cover this case.
        """
        raise NoTheory(layer.type_name)

    def room(self, layer: Any, context: Context) -> Room:
        """What :meth:`expected` holds, by the cells of the inputs and outputs."""
        numbers = float(sum(map(_most_cells, (*context.inputs, *context.outputs))))
        return Room(_KEPT * numbers, _PASSING * numbers)

    def covers(self, layer: Any) -> bool:
        """Whether the rule predicts anything for the layer."""
        return True

    def factors(self, layer: Any, count: int) -> Sequence[float] | None:
        """The factor of each of so many inputs, if the output is their sum but for noise."""
        return None

    def through(
        self,
        layer: Any,
        context: Context,
        fields: Sequence[Field],
        other: Field,
        crosses: Sequence[Common],
    ) -> Array:
        """E[x y] of the output and any other tensor, given those of the inputs.

        Raises:
            NoTheory: it is not known.
        """
        factors = self.factors(layer, len(fields))
        if factors is None:
            raise NoTheory(f"what {layer.type_name} leaves of what its input has in common")
        if any(each.grid != fields[0].grid for each in fields):
            raise NoTheory("inputs at other positions than one another")
        parts = zip(factors, fields, crosses, strict=True)
        return np.sum([f * shared_by(each, other, cross) for f, each, cross in parts], 0)

    def of_calls(
        self,
        layer: Any,
        context: Context,
        inputs: Sequence[Sequence[Field]],
        outputs: Sequence[Field],
        crosses: Sequence[Sequence[Common]],
    ) -> Common:
        """E[x y] of the outputs of two calls with those inputs, as :data:`Common` has it.

        ``crosses`` are what each input of the first call has in common with each of the second. By
        default a call with another input is as one with another example.

        Raises:
            NoTheory: it is not known.
        """
        if (factors := self.factors(layer, len(inputs[0]))) is not None:
            both = [
                f * g * shared_by(x, y, cross)
                for f, x, row in zip(factors, inputs[0], crosses, strict=True)
                for g, y, cross in zip(factors, inputs[1], row, strict=True)
            ]
            return np.sum(both, 0)
        (one, *rest), (two, *_) = inputs
        if rest or one.grid != two.grid:
            raise NoTheory("calls with several inputs, or of other sizes")
        if not one.axes == two.axes == self.axes(layer, context, one):
            raise NoTheory("calls with units on other axes")
        cross = shared_by(one, two, crosses[0][0])
        sizes = np.sqrt(one.second * two.second)
        found = np.empty((4, *outputs[0].grid))
        for kind in (0, 1):
            # Of one example, and of two.
            pairs = np.stack([sizes, cross[kind], one.moments[2], cross[kind + 2]])
            given = field(pairs, one.units, one.profile, one.latent, one.pinned, one.lags)
            made = self.expected(layer, context, msgspec.structs.replace(given, axes=one.axes))
            found[kind::2] = made.output.ratios[[0, 2]]
        return found * np.sqrt(outputs[0].second * outputs[1].second)


class EntrywiseRule(Rule):
    """The base of rules that hold wherever the units of the only input stand."""

    def axes(self, layer: Any, context: Context, *fields: Any, **_: Any) -> Axes:
        axes: Axes = fields[0].axes
        return axes


def _most_cells(shape: Size) -> int:
    """Cells of a tensor of that shape, whichever axis holds its units."""
    return max(math.prod(cells(shape[1:-1])), math.prod(cells(shape[2:])))


class UnlistedRule(EntrywiseRule):
    """The rule of layers without one of their own: only a layer that adds nothing is covered."""

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
    """The output of a layer, for inputs whose units stand on the axes of its rule."""
    return rule_of(layer).expected(layer, context, *fields)


def counted_from_end(axis: int | tuple[int, ...], rank: int) -> Axes:
    """Axes of a tensor of that rank with the batch, which may be counted from either end."""
    axes = (axis,) if isinstance(axis, int) else axis
    return tuple(sorted(each % rank - rank for each in axes))


def channels_and_grid(shape: Size, data_format: DataFormat | None) -> tuple[int, Size]:
    """The channels and spatial sizes of a shape."""
    if data_format == "channels_first":
        return shape[1], shape[2:]
    return shape[-1], shape[1:-1]


def unchanged(given: Field) -> Expected:
    """The input itself."""
    return Expected(given, lambda g: [g])


def affine(given: Field, scale: float, offset: float) -> Expected:
    """scale · x + offset."""
    output = mapped(lambda x: scale * x + offset, given)
    return Expected(output, lambda g: [g.scaled(scale)])
