"""Networks of layers: a model, or one layer of a larger model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Annotated, NamedTuple

import msgspec

from initcli.layers.base import Layer, computed, computed_masks, output_shapes, within
from initcli.layers.core import Input, Recorded
from initcli.layers.flow import Flow, Mask, as_mask
from initcli.parameter import Parameter
from initcli.types import ArgumentError, Array, Shape, ShapeError, Shapes, doc, shape_text


class CallOutput(NamedTuple):
    """One output of one call."""

    call: int
    output: int = 0


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One application of a layer to tensors, with options.

    A shared layer has several calls and one set of weights.
    ``masks`` are those that the call names.
    """

    layer: int
    inputs: tuple[CallOutput, ...] = ()
    options: dict[str, bool] = {}
    masks: dict[str, CallOutput] = {}

    @property
    def sources(self) -> tuple[CallOutput, ...]:
        """The inputs and the masks."""
        return (*self.inputs, *self.masks.values())


class Shaped(NamedTuple):
    """The input and output shapes of a call."""

    inputs: Shapes
    outputs: Shapes


Failed = Callable[[int, ShapeError | ArgumentError], None]


MAX_SHAPES = 1_000
"""Maximum number of input shapes of one network."""


class Network(Layer, frozen=True, kw_only=True, dict=True):
    """Named layers and their calls, in an order in which each can be computed.

    ``inputs`` are the calls of Input layers; ``hidden`` those of them that no file names.
    """

    registered = False
    needs_batch = False

    names: Annotated[tuple[str, ...], doc("Names of the layers.")]
    layers: Annotated[tuple[Layer, ...], doc("The layers.")]
    calls: Annotated[
        tuple[Call, ...], doc("Calls of the layers, in an order in which each can be computed.")
    ]
    inputs: Annotated[tuple[int, ...], doc("Calls of the Input layers.")]
    outputs: Annotated[tuple[CallOutput, ...], doc("Outputs of calls that are the network's.")]
    hidden: Annotated[tuple[int, ...], doc("Calls of Input layers that no file names.")] = ()

    def output_shape(self, *inputs: Shape) -> list[Shape]:
        # Networks that call one another many times would otherwise take too long.
        if inputs not in self._known:
            if len(self._known) >= MAX_SHAPES:
                raise ShapeError(f"this network is called on more than {MAX_SHAPES:,} shapes")
            shaped = self.shapes(inputs)
            self._known[inputs] = [self._shape(shaped, source) for source in self.outputs]
        return self._known[inputs]

    @cached_property
    def _known(self) -> dict[Shapes, list[Shape]]:
        return {}

    def parameters(self, *inputs: Shape) -> Iterator[Parameter]:
        shaped = self.shapes(inputs)
        for name, layer, calls in zip(self.names, self.layers, self.calls_of_layers(), strict=True):
            yield from within(layer, name, layer.parameters(*shaped[calls[0]].inputs))

    def shapes(self, inputs: Shapes | None = None, failed: Failed | None = None) -> list[Shaped]:
        """The shapes at every call, for inputs of those shapes, by default those of the Inputs.

        Errors are passed to ``failed`` if given; the shapes that follow are then unknown.

        Raises:
            ShapeError: the inputs are too few or too many, or do not fit.
            ArgumentError: an argument does not fit the inputs.
        """
        given = {} if inputs is None else self._matched(inputs)
        found: list[Shaped] = []
        for index, call in enumerate(self.calls):
            try:
                if index in given:
                    found.append(Shaped((given[index],), (given[index],)))
                    continue
                if not all(found[source.call].outputs for source in call.inputs):
                    found.append(Shaped((), ()))
                    self._require_recorded(call)
                    continue
                shapes = tuple(self._shape(found, source) for source in call.inputs)
                for source in call.masks.values():
                    if found[source.call].outputs:
                        self._shape(found, source)
                layer = self.layers[call.layer]
                found.append(Shaped(shapes, output_shapes(layer, shapes, call.options)))
            except (ShapeError, ArgumentError) as error:
                if failed is None:
                    error.args = (f"{error} (in {self.names[call.layer]})",)
                    raise
                failed(index, error)
                found += [Shaped((), ())] * (len(found) == index)
        return found

    def calls_of_layers(self) -> list[list[int]]:
        """The calls of each layer."""
        found: list[list[int]] = [[] for _ in self.layers]
        for index, call in enumerate(self.calls):
            found[call.layer].append(index)
        return found

    def _shape(self, shaped: Sequence[Shaped], source: CallOutput) -> Shape:
        """The shape of one output of a call."""
        outputs = shaped[source.call].outputs
        name = self.names[self.calls[source.call].layer]
        if not outputs:
            raise ShapeError(f"the shape of what comes out of '{name}' is not known")
        if source.output >= len(outputs):
            count = f"{len(outputs)} output{'s' if len(outputs) > 1 else ''}"
            message = f"'{name}' has {count}, and none with number {source.output}"
            raise ShapeError(message, "they count from 0")
        return outputs[source.output]

    def _require_recorded(self, call: Call) -> None:
        """Raise ShapeError if the output shape of an input was not recorded."""
        for source in call.inputs:
            index = self.calls[source.call].layer
            layer = self.layers[index]
            known = not isinstance(layer, Recorded) or layer.has_shape
            if not known and self.calls[source.call].inputs:
                raise ShapeError(
                    f"the shape of what comes out of '{self.names[index]}' ({layer.type_name}) is "
                    "recorded nowhere",
                    way_to_say(self.names[index]),
                )

    def _matched(self, inputs: Shapes) -> dict[int, Shape]:
        """The shape of each Input, which must match the input."""
        if len(inputs) != len(self.inputs):
            counted = f"{len(self.inputs)} input{'s' * (len(self.inputs) != 1)}"
            raise ShapeError(f"{type(self).__name__} takes {counted}, not {len(inputs)}")
        for call, shape in zip(self.inputs, inputs, strict=True):
            layer = self.layers[self.calls[call].layer]
            wanted = layer.output_shape() if isinstance(layer, Input) else ()
            fits = len(wanted) == len(shape) and all(
                a is None or b is None or a == b for a, b in zip(wanted[1:], shape[1:], strict=True)
            )
            if isinstance(layer, Input) and not fits:
                raise ShapeError(
                    f"{type(self).__name__} takes an input of shape {shape_text(wanted)}, as its "
                    f"Input says, not {shape_text(shape)}"
                )
        return dict(zip(self.inputs, inputs, strict=True))

    def call(self, flow: Flow, *inputs: Array) -> list[Array]:
        given = dict(zip(self.inputs, inputs, strict=True))
        carried = dict(zip(self.inputs, flow.masks, strict=False))
        found: list[list[Array]] = []
        masks: dict[CallOutput, Mask] = {}
        for index, call in enumerate(self.calls):
            if index in given:
                found.append([given[index]])
                masks[CallOutput(index)] = carried.get(index)
                continue
            layer, name = self.layers[call.layer], self.names[call.layer]
            sources = [found[source.call][source.output] for source in call.inputs]
            named = {k: found[source.call][source.output] for k, source in call.masks.items()}
            own = tuple(masks.get(source) for source in call.inputs)
            # The second call of a layer draws other random numbers.
            within = msgspec.structs.replace(
                flow.within(name, own, {k: as_mask(flow.xp, mask) for k, mask in named.items()}),
                key=f"{flow.key}/{name}#{index}",
            )
            found.append(computed(layer, within, sources, call.options))
            after = computed_masks(layer, within, sources, call.options)
            if layer.ends_masks:
                masks = {source: m for source, m in masks.items() if source not in call.inputs}
            masks.update({CallOutput(index, output): mask for output, mask in enumerate(after)})
        return [found[source.call][source.output] for source in self.outputs]


class Functional(Network, frozen=True, kw_only=True):
    """A network of named layers."""

    aliases = ("Model",)


class Sequential(Network, frozen=True, kw_only=True):
    """A stack of layers, each of which takes the output of the previous one."""


def way_to_say(name: str) -> str:
    """How to specify a shape that a file does not record."""
    return (
        f"say it with --set '**[name={name}].output_shape=same' if it keeps the shape of its "
        "input, or with =[32,32,3] without the batch"
    )
