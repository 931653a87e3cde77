"""The program of a model: the calls of its layers in order, with networks within it unfolded."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from initcli import limits
from initcli.errors import SignalError, listed
from initcli.layers import Layer
from initcli.layers.base import output_shapes
from initcli.layers.core import Input
from initcli.layers.embedding import Table
from initcli.layers.network import Network, way_to_say
from initcli.model import BuiltLayer, Model, leaves
from initcli.parameter import Parameter
from initcli.types import ArgumentError, Shape, ShapeError, Size

MOST_AXES = 28
"""Axes of a signal, the batch counted, so that NumPy's 32 are enough for what is made of it."""
_LENGTHS = (32, 64, 128, 224, 512)
"""Sizes that stand for what a spec leaves open, the first of which fits all layers."""
_WHOLE_NUMBERS = ("int", "uint", "bool")


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a layer that is no network.

    ``inputs`` and ``outputs`` are numbers of tensors, of which the program has the shapes.
    ``parameters`` are the layer's, and ``call`` counts how often it was called before. ``masks``
    are the tensors that the call names as masks.
    """

    name: str
    layer: Layer
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, bool]
    parameters: tuple[Parameter, ...]
    masks: Mapping[str, int] = {}
    call: int = 0

    @property
    def weights(self) -> dict[str, Parameter]:
        """The parameters by their names within the layer."""
        return {p.path.removeprefix(f"{self.name}/"): p for p in self.parameters}


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A tensor that flows in: real numbers, or whole ones from 0 to less than ``most``."""

    name: str
    tensor: int
    most: int | None = None


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """Steps in an order in which each can be computed, for tensors of these shapes."""

    steps: tuple[Step, ...]
    sources: tuple[Source, ...]
    results: tuple[int, ...]
    shapes: tuple[Size, ...]
    batch: int
    seed: int
    length: int | None = None
    """What stands for sizes that the spec leaves open, where it does."""


def program(model: Model, batch: int, inputs: Mapping[str, Size] | None = None) -> Program:
    """The program of a model for so many examples.

    A size that the spec leaves open is that of the inputs, given by name without the batch, or else
    the first of 32, 64, … that fits every layer.

    Raises:
        SignalError: no such size fits, or there are too many calls, axes or positions.
    """
    problem: Exception | None = None
    for length in _LENGTHS:
        try:
            return _Unfolding(model, batch, length, inputs or {}).program()
        except (ShapeError, ArgumentError) as error:
            problem = problem or error
    tried = listed(map(str, _LENGTHS))
    message = f"with sizes of {tried} where the spec leaves them open: {problem}"
    raise SignalError(message, "give the sizes in input_shape in place of null")


class _Unfolding:
    """Unfolds the networks of a model."""

    def __init__(self, model: Model, batch: int, length: int, given: Mapping[str, Size]) -> None:
        self.model = model
        self.batch = batch
        self.length = length
        self.given = given
        self.is_open = False
        self.places: dict[str, BuiltLayer] = {each.name: each for each in leaves(model.layers)}
        self.steps: list[Step] = []
        self.shapes: list[Size] = []
        self.calls: dict[str, int] = {}

    def program(self) -> Program:
        network = self.model.network
        inputs = [network.layers[network.calls[index].layer] for index in network.inputs]
        names = [network.names[network.calls[index].layer] for index in network.inputs]
        shapes = [
            self._known(self._filled(name, layer.output_shape()))
            for name, layer in zip(names, inputs, strict=True)
        ]
        tensors = [self._tensor(shape) for shape in shapes]
        results = self._unfold(network, "", tensors)
        self._refuse_large()
        sources = [
            Source(name=name, tensor=tensor, most=self._most(tensor, layer))
            for name, tensor, layer in zip(names, tensors, inputs, strict=True)
        ]
        return Program(
            steps=tuple(self.steps),
            sources=tuple(sources),
            results=tuple(dict.fromkeys(results)),
            shapes=tuple(self.shapes),
            batch=shapes[0][0] if shapes and shapes[0] else self.batch,
            seed=self.model.seed,
            length=self.length if self.is_open else None,
        )

    def _refuse_large(self) -> None:
        """Raise SignalError where what flows has too many axes, or positions of units."""
        if (axes := max(map(len, self.shapes), default=0)) > MOST_AXES:
            raise SignalError(f"a signal has at most {MOST_AXES} axes, and here it has {axes}")
        positions = sum(math.prod(shape[1:-1]) for shape in self.shapes)
        if positions > (most := limits.in_force().positions):
            message = f"the signal has {positions:,} positions, and {most:,} are allowed"
            raise SignalError(message, limits.remedy("positions", positions))

    def _filled(self, name: str, shape: Shape | list[Shape]) -> Shape:
        """The shape of an input, with the sizes that are left open those of one's own."""
        assert isinstance(shape, tuple)
        own = self.given.get(name, ())
        if len(own) != len(shape) - 1:
            return shape
        return (shape[0], *(b if a is None else a for a, b in zip(shape[1:], own, strict=True)))

    def _unfold(self, network: Network, prefix: str, inputs: Sequence[int]) -> list[int]:
        shaped = network.shapes(tuple(self.shapes[tensor] for tensor in inputs))
        given = dict(zip(network.inputs, inputs, strict=True))
        found: list[list[int]] = []
        for index, (call, shapes) in enumerate(zip(network.calls, shaped, strict=True)):
            layer, name = network.layers[call.layer], f"{prefix}{network.names[call.layer]}"
            if index in given:
                found.append([given[index]])
                if name in self.places and call.layer not in network.hidden:
                    self._add(name, layer, [given[index]], [given[index]], {})
                continue
            taken = [found[source.call][source.output] for source in call.inputs]
            if isinstance(layer, Network):
                found.append(self._unfold(layer, f"{name}/", taken))
                continue
            if not shapes.outputs:
                message = f"the shape of what comes out of '{name}' is not known"
                raise SignalError(message, way_to_say(name.rpartition("/")[2]))
            flowing = tuple(self.shapes[tensor] for tensor in taken)
            # What comes before may have left sizes open that are known by now.
            try:
                outputs = output_shapes(layer, flowing, call.options)
            except (ShapeError, ArgumentError) as error:
                error.args = (f"{error} (in {name})",)
                raise
            made = [self._tensor(self._known(layer.sized(each, *flowing))) for each in outputs]
            masks = {k: found[each.call][each.output] for k, each in call.masks.items()}
            self._add(name, layer, taken, made, call.options, masks)
            found.append(made)
        return [found[source.call][source.output] for source in network.outputs]

    def _add(
        self,
        name: str,
        layer: Layer,
        inputs: list[int],
        outputs: list[int],
        options: Mapping[str, bool],
        masks: Mapping[str, int] | None = None,
    ) -> None:
        # Networks that call one another many times over have no end else.
        if len(self.steps) >= (most := limits.in_force().layers):
            message = f"this model calls layers more than {most:,} times"
            raise SignalError(message, limits.remedy("layers"))
        place = self.places.get(name)
        before = self.calls.get(name, 0)
        self.calls[name] = before + 1
        self.steps.append(
            Step(
                name=name,
                layer=layer,
                inputs=tuple(inputs),
                outputs=tuple(outputs),
                options=options,
                masks=masks or {},
                parameters=() if place is None else place.parameters,
                call=before,
            )
        )

    def _tensor(self, shape: Size) -> int:
        self.shapes.append(shape)
        return len(self.shapes) - 1

    def _known(self, shape: Shape | list[Shape]) -> Size:
        """The shape with every size known: the batch in front, and what is left open."""
        assert isinstance(shape, tuple)
        self.is_open = self.is_open or None in shape[1:]
        first = [self.batch if size is None else size for size in shape[:1]]
        return (*first, *(self.length if size is None else size for size in shape[1:]))

    def _most(self, tensor: int, layer: Layer) -> int | None:
        """How many whole numbers an input may be; None where it is of real numbers."""
        most = min(self._tables(tensor), default=None)
        if most is None and str(layer.dtype).startswith(_WHOLE_NUMBERS):
            return 2
        return most

    def _tables(self, tensor: int) -> Iterator[int]:
        """The sizes of the tables in which the numbers of a tensor are looked up."""
        same = {tensor}
        for step in self.steps:
            if not same.intersection(step.inputs):
                continue
            layer = step.layer
            is_reverse = step.options.get("reverse", False)
            if isinstance(layer, Table) and not is_reverse:
                yield layer.input_dim
            elif (most := getattr(layer, "num_tokens", None)) is not None:
                yield most
            elif (not step.parameters and len(step.inputs) == 1) or isinstance(layer, Input):
                same.update(step.outputs)
