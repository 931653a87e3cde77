"""The interface of every layer: arguments as fields, output shapes, and parameters."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import msgspec

from initcli.activations import Activation, Linear
from initcli.errors import quoted
from initcli.initializers import Initializer
from initcli.layers.flow import Flow, Mask
from initcli.parameter import Owner, Parameter
from initcli.types import (
    ArgumentError,
    Array,
    Dtype,
    DtypePolicy,
    NotComputable,
    Shape,
    ShapeError,
    Shapes,
    Size,
    arguments_of,
    doc,
    shape_text,
    shapes_text,
    snake_case,
)

Role = Literal["normalizes", "scales", "adds", "multiplies", "joins", "looks_up", "keeps", "recurs"]
"""The effect of a layer on a signal.

- ``normalizes``: normalizes its output;
- ``scales``: scales input data;
- ``adds``: adds its inputs, so that one may be 0;
- ``multiplies``: multiplies its inputs, so that one may be a gate of another;
- ``joins``: concatenates its inputs;
- ``looks_up``: looks up vectors of a table;
- ``keeps``: commutes with activations;
- ``recurs``: applies the same weights at every step of a sequence.
"""


class Takes(NamedTuple):
    """The inputs and options of a call of a layer."""

    least: int
    most: float
    names: tuple[str, ...]
    options: tuple[str, ...]


class Work(NamedTuple):
    """The cost of a pass through a layer in addition to moving tensors and multiplying weights.

    ``held`` is the number of entries that the backward pass holds at once, ``products`` the number
    of multiplications of the forward pass.
    """

    held: int = 0
    products: int = 0


class Layer(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=True):
    """One entry of a stack. Shapes begin with the batch, which is None if unknown.

    ``output_shape`` takes the shape of each input as a positional argument, and the boolean options
    of a call as keyword-only arguments.
    """

    aliases: ClassVar[tuple[str, ...]] = ()
    """Further names of the type."""

    needs_batch: ClassVar[bool] = True
    """Whether inputs must have a batch axis; only operations on tensors do not need one."""

    registered: ClassVar[bool] = True
    """Whether a spec can name this class; subclasses are registered unless they set it to False."""
    holds_layers: ClassVar[bool] = False
    """Whether all weights belong to layers inside it."""
    only_in: ClassVar[Mapping[str, str]] = {}
    """Arguments of a single framework, with the name of the framework."""
    merges: ClassVar[bool] = False
    """Whether the layer needs several inputs to make sense."""
    is_positionwise: ClassVar[bool] = False
    """Whether each position of a sequence is treated like the others, and apart from them.

    Only statistics of a batch may be over all positions.
    """
    supports_masking: ClassVar[bool] = False
    """Whether the output may carry a mask; masks end at other layers."""
    ends_masks: ClassVar[bool] = False
    """Whether later layers that take the same inputs see them without masks."""
    takes_masks: ClassVar[Mapping[str, int]] = {}
    """The mask arguments of a call, with their positions in Keras."""

    role: ClassVar[Role | None] = None
    """The effect of the type on a signal; None for none of the roles."""

    name: Annotated[str | None, doc("Name of the layer; derived from its type if absent.")] = None
    trainable: Annotated[bool, doc("Whether training changes the layer's weights.")] = True
    dtype: Annotated[
        DtypePolicy | None,
        doc(
            "Data type of the computation and the weights; the model's if absent. A mixed policy "
            "computes in half precision with float32 weights."
        ),
    ] = None

    def output_shape(self, *inputs: Any, **options: Any) -> Shape | list[Shape]:
        """The output shape for inputs of those shapes, or a list for several outputs.

        Raises:
            ShapeError: an input does not fit.
            ArgumentError: an argument does not fit the inputs.
        """
        shape: Shape = inputs[0]
        return shape

    def sized(self, shape: Shape, *inputs: Size) -> Shape:
        """The output shape with unknown sizes filled in from the shapes of actual inputs.

        By default from the same axes of the first input, if it has the same rank.
        """
        if inputs and len(shape) == len(inputs[0]):
            return tuple(b if a is None else a for a, b in zip(shape, inputs[0], strict=True))
        return shape

    def parameters(self, *inputs: Any, **options: Any) -> Iterator[Parameter]:
        """The parameters for inputs of those shapes, in Keras's order; paths are relative.

        Raises:
            ShapeError: an input does not fit.
            ArgumentError: an argument does not fit the inputs.
        """
        return iter(())

    def weight(
        self,
        path: str,
        shape: Size,
        argument: str,
        initializer: Initializer | None = None,
        **how: Any,
    ) -> Parameter:
        """A parameter whose initializer is an argument of the layer.

        ``initializer`` replaces the value of the argument, if it is derived from it; ``how`` are
        further fields of the parameter.
        """
        return Parameter(
            path=path,
            shape=shape,
            initializer=initializer or getattr(self, argument),
            argument=argument,
            **how,
        )

    def call(self, flow: Flow, *inputs: Array, **options: Any) -> Any:
        """The output for those inputs: an array, or a list of several.

        Options are those of :meth:`output_shape`. A type that defines nothing returns its input.

        Raises:
            NotComputable: the type defines no computation.
        """
        if self.adds_nothing():
            return inputs[0]
        raise NotComputable(f"initcli does not compute {self.type_name}")

    def widths(self, *inputs: Shape) -> Iterator[tuple[str | int, ...]]:
        """The arguments that scale with the width of a model.

        Each is a path from the layer, such as ``("units",)`` or ``("cell", "units")``. By default
        these are the arguments declared with ``is_width`` (of a list, the last entry), and those of
        inner layers. The size of a head is not one of them: a wider model has more heads.

        Args:
            inputs: shapes of the inputs; none for a layer within another.
        """
        for argument in arguments_of(type(self)):
            value, own = getattr(self, argument.attribute), (argument.name,)
            if isinstance(value, Layer):
                yield from ((*own, *path) for path in value.widths())
            elif isinstance(value, tuple):
                for index, each in enumerate(value):
                    if isinstance(each, Layer):
                        yield from ((*own, index, *path) for path in each.widths())
                if argument.is_width and isinstance(value[-1], int):
                    yield (*own, len(value) - 1)
            elif argument.is_width and value is not None:
                yield own

    def work(self, inputs: Sequence[Size], outputs: Sequence[Size]) -> Work:
        """The cost of a call with these shapes, beyond the cost that all layers share."""
        return Work()

    def acts_as(self) -> Role | None:
        """The layer's role: that of its type, or ``keeps`` if it returns its input."""
        return "keeps" if self.role is None and self.adds_nothing() else self.role

    @property
    def last_activation(self) -> Activation | None:
        """The activation that the layer applies last, if any."""
        own = getattr(self, "activation", None)
        return own if isinstance(own, Activation) and not isinstance(own, Linear) else None

    @classmethod
    def adds_nothing(cls) -> bool:
        """Whether the type overrides none of ``parameters``, ``output_shape`` and ``call``."""
        own = (cls.parameters, cls.output_shape, cls.call)
        return own == (Layer.parameters, Layer.output_shape, Layer.call)

    def heeds_masks(self, flow: Flow) -> bool:
        """Whether masks change the output of a call."""
        if "mask" in self.takes_masks:
            return flow.mask is not None
        return bool(self.takes_masks) and flow.has_masks

    def output_mask(self, flow: Flow, *inputs: Array, **options: Any) -> Mask | list[Mask]:
        """The mask of the output, or a list for several outputs.

        By default that of the first input, unless the call names another.
        """
        return flow.passed_mask if self.supports_masking else None

    @property
    def weights_dtype(self) -> Dtype | None:
        """The dtype of the layer's weights; None for the model's."""
        if self.dtype == "mixed_float16" or self.dtype == "mixed_bfloat16":
            return "float32"
        return self.dtype

    @property
    def type_name(self) -> str:
        """The name of the layer's type in reports."""
        return type(self).__name__

    @classmethod
    def registered_names(cls) -> Iterable[str]:
        """The names of the type in a spec."""
        return cls.__name__, *cls.aliases

    @classmethod
    def default_name(cls) -> str:
        """The name of the first unnamed layer of this type, as in Keras."""
        return snake_case(cls.__name__)

    @classmethod
    @cache
    def takes(cls) -> Takes:
        """The inputs and options of a call, from the signature of ``output_shape``."""
        if cls.output_shape is Layer.output_shape:
            return Takes(1, 1, ("shape",), ())
        given = list(inspect.signature(cls.output_shape).parameters.values())[1:]
        named = [p for p in given if p.kind is p.POSITIONAL_OR_KEYWORD]
        return Takes(
            least=sum(p.default is p.empty for p in named),
            most=math.inf if any(p.kind is p.VAR_POSITIONAL for p in given) else len(named),
            names=tuple(p.name for p in named),
            options=tuple(p.name for p in given if p.kind is p.KEYWORD_ONLY),
        )

    @classmethod
    def has_weights(cls) -> bool:
        """Whether layers of this type have parameters."""
        return cls.parameters is not Layer.parameters

    def require_rank(self, shape: Shape, rank: int, axes: str) -> None:
        """Raise ShapeError unless the input has that rank, batch included; ``axes`` names them."""
        if len(shape) != rank:
            needs = f"needs an input of {rank - 1} axes besides the batch {axes}"
            raise self.misfit(needs, shape)

    def require_sequence(self, *shapes: Shape) -> None:
        """Raise ShapeError unless every input has axes for the batch, positions and features."""
        for shape in shapes:
            if len(shape) < 3:
                remedy = "such as (None, 10, 64): 10 positions with 64 features each"
                needs = "needs positions and features besides the batch"
                raise self.misfit(needs, shape, remedy=remedy)

    def misfit(self, needs: str, *shapes: Shape, remedy: str = "") -> ShapeError:
        """The error for inputs whose shapes do not fit; ``needs`` describes the needed ones."""
        given = " and ".join(map(shape_text, shapes))
        return ShapeError(f"{type(self).__name__} {needs}, not {given}", remedy)


def output_shapes(
    layer: Layer, inputs: Shapes, options: Mapping[str, bool] | None = None
) -> Shapes:
    """The shapes of the outputs of a call.

    Raises:
        ShapeError: the inputs are too few or too many, or do not fit.
        ArgumentError: an argument does not fit the inputs.
    """
    takes = layer.takes()
    if not takes.least <= len(inputs) <= takes.most:
        wanted = f"{takes.least}" if takes.least == takes.most else f"{takes.least} to {takes.most}"
        if takes.most == math.inf:
            wanted = f"at least {takes.least}"
        raise ShapeError(
            f"{type(layer).__name__} takes {wanted} {'input' if wanted == '1' else 'inputs'}, "
            f"not {len(inputs)}",
            "Add or Concatenate makes one of several" if takes.most == 1 else "",
        )
    if layer.needs_batch and not all(inputs):
        raise ShapeError(
            f"{type(layer).__name__} needs an input with an axis for the batch, not a single number"
        )
    found = layer.output_shape(*inputs, **_known(layer, options))
    return tuple(found) if isinstance(found, list) else (found,)


def computed(
    layer: Layer, flow: Flow, inputs: Sequence[Array], options: Mapping[str, bool] | None = None
) -> list[Array]:
    """All outputs of a call.

    Raises:
        NotComputable: the output cannot be computed.
    """
    found = layer.call(flow, *inputs, **_known(layer, options))
    return list(found) if isinstance(found, list | tuple) else [found]


def computed_masks(
    layer: Layer, flow: Flow, inputs: Sequence[Array], options: Mapping[str, bool] | None = None
) -> list[Mask]:
    """The masks of the first outputs of a call; further outputs have none.

    Raises:
        NotComputable: the shapes of the masks do not match.
    """
    try:
        found = layer.output_mask(flow, *inputs, **_known(layer, options))
    except ValueError:
        shapes = shapes_text(tuple(mask.shape for mask in flow.masks if mask is not None))
        raise NotComputable(f"the masks of its inputs, {shapes}, do not match") from None
    return found if isinstance(found, list) else [found]


def _known(layer: Layer, options: Mapping[str, bool] | None) -> dict[str, bool]:
    """The options that the layer takes."""
    names = layer.takes().options
    return {name: value for name, value in (options or {}).items() if name in names}


def within(
    layer: Layer,
    name: str,
    parameters: Iterable[Parameter],
    dtype: Dtype | None = None,
    keys: tuple[str | int, ...] = (),
) -> Iterator[Parameter]:
    """Parameters of an inner layer as parameters of its owner, with its name and trainability.

    ``dtype`` is the owner's, used for layers without a dtype; ``keys`` is the path of the layer in
    the owner's arguments.
    """
    own = layer.weights_dtype or dtype
    for parameter in parameters:
        declared = parameter.owner or Owner(layer, parameter.path)
        kept = parameter.keeps_dtype or own is None
        yield msgspec.structs.replace(
            parameter,
            path=f"{name}/{parameter.path}",
            owner=declared._replace(keys=(*keys, *declared.keys)),
            trainable=parameter.trainable and layer.trainable,
            dtype=parameter.dtype if kept else own,
            keeps_dtype=parameter.keeps_dtype or layer.weights_dtype is not None,
        )


def own_name(layer: Layer) -> str:
    """The name of a layer within another: its own, or that of its type."""
    return layer.name or layer.default_name()


def sublayer_names(layers: Iterable[Layer]) -> list[str]:
    """The names of layers within another: their own, or their type with a number."""
    names: list[str] = []
    counts: dict[str, int] = {}
    for layer in layers:
        stem = layer.default_name()
        number = counts.get(stem, 0)
        if layer.name is None:
            counts[stem] = number + 1
        names.append(layer.name or (f"{stem}_{number}" if number else stem))
    return names


def several(value: int | tuple[int, ...] | None) -> tuple[int, ...]:
    """One number, several numbers or none, as a tuple."""
    return (value,) if isinstance(value, int) else value or ()


def require_divisor(argument: str, value: int, other: str, size: int) -> None:
    """Raise ArgumentError unless an argument divides another one."""
    if size % value:
        raise ArgumentError(argument, f"`{argument}` ({value}) must divide `{other}` ({size})")


def require_axis(layer: Layer, shape: Shape, axis: int) -> None:
    """Raise ShapeError unless the shape has that axis."""
    if not -len(shape) <= axis < len(shape):
        raise ShapeError(
            f"{type(layer).__name__} works on axis {axis}, and the last axis of its input "
            f"{shape_text(shape)} is {len(shape) - 1}",
            "axes count from 0, the batch, or backward from -1",
        )


def known_size(layer: Layer, shape: Shape, axis: int) -> int:
    """The size of an axis, which must be known."""
    require_axis(layer, shape, axis)
    size = shape[axis]
    if size is None:
        raise ShapeError(
            f"{type(layer).__name__} needs the size of axis {axis} of its input, "
            f"which is unknown in {shape_text(shape)}",
            "give the size in input_shape instead of null",
        )
    return size


def per_axis(value: int | tuple[int, ...], rank: int, argument: str) -> tuple[int, ...]:
    """One number for all spatial axes, or one for each.

    Raises:
        ArgumentError: the number of entries differs from the number of axes.
    """
    if isinstance(value, int):
        return (value,) * rank
    if len(value) != rank:
        numbers = "one number" if rank == 1 else f"one number or a list of {rank}"
        raise ArgumentError(argument, f"`{argument}` must be {numbers}, not {quoted([*value])}")
    return value
