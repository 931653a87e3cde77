"""The program of a model: the calls of its layers in order, with inner networks unfolded."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from initcli import limits
from initcli.activations import Linear
from initcli.errors import SignalError, listed
from initcli.layers import Layer
from initcli.layers.base import output_shapes
from initcli.layers.core import Input, Opaque
from initcli.layers.embedding import Table
from initcli.layers.network import Network, way_to_say
from initcli.layers.wrappers import TimeDistributed
from initcli.model import BuiltLayer, Model, leaves
from initcli.parameter import Parameter
from initcli.types import ArgumentError, Shape, ShapeError, Size

MAX_AXES = 28
"""The largest number of axes of a tensor, batch included, below NumPy's limit of 32."""
_LENGTHS = (32, 64, 128, 224, 512)
"""Sizes to try for open sizes of a spec."""
_WHOLE_NUMBERS = ("int", "uint", "bool")


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a layer that is not a network.

    ``inputs`` and ``outputs`` are numbers of tensors, ``parameters`` are those of the layer, and
    ``call`` is the number of its earlier calls. ``masks`` are tensors that the call names as masks.
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

    @property
    def kernel(self) -> Parameter | None:
        """The kernel or table whose gradient theory predicts; None if it is not trained."""
        for name, parameter in self.weights.items():
            if name.rpartition("/")[2] in ("kernel", "embeddings"):
                return parameter if parameter.trainable else None
        return None

    @property
    def without_activation(self) -> Step:
        """The step with the identity as its activation."""
        bare = _without_activation(self.layer)
        return self if bare is self.layer else msgspec.structs.replace(self, layer=bare)


def _without_activation(layer: Layer) -> Layer:
    if isinstance(layer, TimeDistributed):
        return msgspec.structs.replace(layer, layer=_without_activation(layer.layer))
    if layer.last_activation is None or "activation" not in layer.__struct_fields__:
        return layer
    return msgspec.structs.replace(layer, activation=Linear())


class InputTensor(msgspec.Struct, frozen=True, kw_only=True):
    """An input of the model: real numbers, or integers below ``num_tokens``."""

    name: str
    tensor: int
    num_tokens: int | None = None


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """Steps in the order of computation, and the shapes of the tensors."""

    steps: tuple[Step, ...]
    inputs: tuple[InputTensor, ...]
    results: tuple[int, ...]
    shapes: tuple[Size, ...]
    batch: int
    seed: int
    length: int | None = None
    """The size that open sizes of the spec have here."""


def program(model: Model, batch: int, inputs: Mapping[str, Size] | None = None) -> Program:
    """The program of a model for a number of examples.

    An open size of the spec is that of ``inputs`` (shapes by name, without the batch), or else the
    first of 32, 64, … that fits every layer.

    Raises:
        SignalError: no such size fits, or there are too many calls, axes or positions.
    """
    if not model.network.layers:
        message = "the tensors of code do not say what is computed from them"
        raise SignalError(message, "name a spec, a Keras model or a config.json")
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
        self.built: dict[str, BuiltLayer] = {each.name: each for each in leaves(model.layers)}
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
        return Program(
            steps=tuple(self.steps),
            inputs=tuple(
                InputTensor(name=name, tensor=tensor, num_tokens=self._num_tokens(tensor, layer))
                for name, tensor, layer in zip(names, tensors, inputs, strict=True)
            ),
            results=tuple(dict.fromkeys(results)),
            shapes=tuple(self.shapes),
            batch=shapes[0][0] if shapes and shapes[0] else self.batch,
            seed=self.model.seed,
            length=self.length if self.is_open else None,
        )

    def _refuse_large(self) -> None:
        """Raise SignalError if tensors have too many axes or positions."""
        if (axes := max(map(len, self.shapes), default=0)) > MAX_AXES:
            raise SignalError(f"a signal has at most {MAX_AXES} axes, and here it has {axes}")
        positions = sum(math.prod(shape[1:-1]) for shape in self.shapes)
        if positions > (limit := limits.in_force().positions):
            message = f"the signal has {positions:,} positions, and {limit:,} are allowed"
            raise SignalError(message, limits.remedy("positions", positions))

    def _filled(self, name: str, shape: Shape | list[Shape]) -> Shape:
        """The shape of an input, with open sizes taken from the given input."""
        assert isinstance(shape, tuple)
        own = self.given.get(name, ())
        if len(own) != len(shape) - 1:
            return shape
        return (shape[0], *(b if a is None else a for a, b in zip(shape[1:], own, strict=True)))

    def _unfold(self, network: Network, prefix: str, inputs: Sequence[int]) -> list[int]:
        shaped = network.shapes(tuple(self.shapes[tensor] for tensor in inputs))
        given = dict(zip(network.inputs, inputs, strict=True))
        made: list[list[int]] = []
        for index, (call, shapes) in enumerate(zip(network.calls, shaped, strict=True)):
            layer, name = network.layers[call.layer], f"{prefix}{network.names[call.layer]}"
            if index in given:
                made.append([given[index]])
                if name in self.built and call.layer not in network.hidden:
                    self._add(name, layer, [given[index]], [given[index]], {})
                continue
            taken = [made[source.call][source.output] for source in call.inputs]
            if isinstance(layer, Network):
                made.append(self._unfold(layer, f"{name}/", taken))
                continue
            if not shapes.outputs:
                message = f"the output shape of '{name}' is not known"
                raise SignalError(message, way_to_say(name.rpartition("/")[2]))
            flowing = tuple(self.shapes[tensor] for tensor in taken)
            # Sizes that are open in the model may be known here.
            try:
                outputs = output_shapes(layer, flowing, call.options)
            except (ShapeError, ArgumentError) as error:
                error.args = (f"{error} (in {name})",)
                raise
            new = [self._tensor(self._known(layer.sized(each, *flowing))) for each in outputs]
            masks = {k: made[each.call][each.output] for k, each in call.masks.items()}
            self._add(name, layer, taken, new, call.options, masks)
            made.append(new)
        return [made[source.call][source.output] for source in network.outputs]

    def _add(
        self,
        name: str,
        layer: Layer,
        inputs: list[int],
        outputs: list[int],
        options: Mapping[str, bool],
        masks: Mapping[str, int] | None = None,
    ) -> None:
        # Networks may call one another in a cycle.
        if len(self.steps) >= (limit := limits.in_force().layers):
            message = f"this model calls layers more than {limit:,} times"
            raise SignalError(message, limits.remedy("layers"))
        built = self.built.get(name)
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
                parameters=() if built is None else _as_used(layer, options, built.parameters),
                call=before,
            )
        )

    def _tensor(self, shape: Size) -> int:
        self.shapes.append(shape)
        return len(self.shapes) - 1

    def _known(self, shape: Shape | list[Shape]) -> Size:
        """The shape without open sizes."""
        assert isinstance(shape, tuple)
        self.is_open = self.is_open or None in shape[1:]
        first = [self.batch if size is None else size for size in shape[:1]]
        return (*first, *(self.length if size is None else size for size in shape[1:]))

    def _num_tokens(self, tensor: int, layer: Layer) -> int | None:
        """The number of different integers of an input; None for real numbers."""
        smallest = min(self._tables(tensor), default=None)
        if smallest is None and str(layer.dtype).startswith(_WHOLE_NUMBERS):
            return 2
        return smallest

    def _tables(self, tensor: int) -> Iterator[int]:
        """The sizes of the tables in which the integers of a tensor are looked up."""
        same = {tensor}
        for step in self.steps:
            if not same.intersection(step.inputs):
                continue
            layer = step.layer
            if isinstance(layer, Table) and not step.options.get("reverse", False):
                yield layer.input_dim
            elif (num_tokens := getattr(layer, "num_tokens", None)) is not None:
                yield num_tokens
            elif (not step.parameters and len(step.inputs) == 1) or isinstance(layer, Input):
                same.update(step.outputs)


def _as_used(
    layer: Layer, options: Mapping[str, bool], parameters: tuple[Parameter, ...]
) -> tuple[Parameter, ...]:
    """The parameters that a call uses; multipliers apply to sums, not to lookups in a table."""
    if isinstance(layer, Opaque) and layer.passes_on:
        return ()
    is_lookup = layer.acts_as() == "looks_up" and not options.get("reverse", False)
    if not is_lookup or all(each.multiplier == 1 for each in parameters):
        return parameters
    return tuple(msgspec.structs.replace(each, multiplier=1.0) for each in parameters)
