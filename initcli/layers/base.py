"""What every layer is: its arguments as fields, its outputs' shapes, and its parameters."""

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
from initcli.registry import known
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
    doc,
    shape_text,
    shapes_text,
    snake_case,
)

Role = Literal["normalizes", "scales", "adds", "multiplies", "looks_up", "keeps", "recurs"]
"""What a layer does to a signal, for those who judge it.

- ``normalizes``: gives its output a size of its own, whatever comes in;
- ``scales``: gives data the size that their author wants;
- ``adds``: adds its inputs, so that one of them may be 0;
- ``multiplies``: multiplies its inputs, so that one may be a gate of another;
- ``looks_up``: gives vectors of a table;
- ``keeps``: an activation before it is as good as one behind it;
- ``recurs``: takes a sequence through the same weights, step by step.
"""


class Takes(NamedTuple):
    """What a call of a layer takes: how many inputs, under which names, and which options."""

    least: int
    most: float
    names: tuple[str, ...]
    options: tuple[str, ...]


class Layer(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=True):
    """One entry of a stack. Shapes have the batch first, which is None where it is not known.

    The positional arguments of ``output_shape`` are the shapes of the inputs, one each; its
    keyword-only arguments are options of a single call, all of them booleans.
    """

    aliases: ClassVar[tuple[str, ...]] = ()
    """Other names of the type."""

    needs_batch: ClassVar[bool] = True
    """Whether every input has an axis for the batch; only operations on tensors can do without."""

    registered: ClassVar[bool] = True
    """Whether a spec can name this very class, if not those that derive from it."""
    holds_layers: ClassVar[bool] = False
    """Whether all of its weights are those of layers that it holds, or that Keras makes within."""
    only_in: ClassVar[Mapping[str, str]] = {}
    """Arguments that only one framework has, each with that framework's name."""
    merges: ClassVar[bool] = False
    """Whether a single input would be a mistake."""
    supports_masking: ClassVar[bool] = False
    """Whether what comes out may carry a mask; a mask ends at any other layer."""
    ends_masks: ClassVar[bool] = False
    """Whether its inputs have no masks any more for those that take them later."""
    takes_masks: ClassVar[Mapping[str, int]] = {}
    """The masks that a call can name, as Keras's arguments, each with its place among them."""

    role: ClassVar[Role | None] = None
    """What the type does to a signal, where it is one of the roles."""

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
        """The shape that comes out for inputs of those shapes, or a list of them for several.

        Raises:
            ShapeError: an input does not fit.
            ArgumentError: an argument does not fit the inputs.
        """
        shape: Shape = inputs[0]
        return shape

    def sized(self, shape: Shape, *inputs: Size) -> Shape:
        """A shape of the output with sizes that :meth:`output_shape` leaves open, where inputs say.

        By default they are those of an input with as many axes, at the same places.
        """
        if inputs and len(shape) == len(inputs[0]):
            return tuple(b if a is None else a for a, b in zip(shape, inputs[0], strict=True))
        return shape

    def parameters(self, *inputs: Any, **options: Any) -> Iterator[Parameter]:
        """The parameters for inputs of those shapes, in Keras's order, named within the layer.

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
        """The parameter whose initializer that argument of the layer names.

        ``initializer`` fills it where it is not the argument as it is; ``how`` are other fields.
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

        Options are those of :meth:`output_shape`. A layer that adds nothing to what this class
        says passes its input on.

        Raises:
            NotComputable: the layer's class does not say how to compute the output.
        """
        if self.adds_nothing():
            return inputs[0]
        raise NotComputable(f"initcli does not compute {self.type_name}")

    def acts_as(self) -> Role | None:
        """The layer's role: that of its type, or ``keeps`` where its input passes on."""
        return "keeps" if self.role is None and self.adds_nothing() else self.role

    @property
    def last_activation(self) -> Activation | None:
        """The function that the layer applies last; None where it applies none."""
        own = getattr(self, "activation", None)
        return own if isinstance(own, Activation) and not isinstance(own, Linear) else None

    @classmethod
    def adds_nothing(cls) -> bool:
        """Whether the type has no weights, and neither a shape nor a computation of its own."""
        own = (cls.parameters, cls.output_shape, cls.call)
        return own == (Layer.parameters, Layer.output_shape, Layer.call)

    def heeds_masks(self, flow: Flow) -> bool:
        """Whether the masks of a call change what comes out."""
        if "mask" in self.takes_masks:
            return flow.mask is not None
        return bool(self.takes_masks) and flow.has_masks

    def output_mask(self, flow: Flow, *inputs: Array, **options: Any) -> Mask | list[Mask]:
        """The mask that the output carries, or a list of them for several outputs.

        It is that of the first input, unless the call names another.
        """
        return flow.passed_mask if self.supports_masking else None

    @property
    def weights_dtype(self) -> Dtype | None:
        """The dtype of the layer's own weights; None where it is the model's."""
        if self.dtype == "mixed_float16" or self.dtype == "mixed_bfloat16":
            return "float32"
        return self.dtype

    @property
    def type_name(self) -> str:
        """What the layer's type is called."""
        return type(self).__name__

    @classmethod
    def registered_names(cls) -> Iterable[str]:
        """The names of the type in a spec."""
        return cls.__name__, *cls.aliases

    @classmethod
    def default_name(cls) -> str:
        """What Keras calls the first such layer that has no name."""
        return snake_case(cls.__name__)

    @classmethod
    @cache
    def takes(cls) -> Takes:
        """What a call takes, as the signature of ``output_shape`` says."""
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
        """Whether layers of this type have parameters at all."""
        return cls.parameters is not Layer.parameters

    def require_rank(self, shape: Shape, rank: int, axes: str) -> None:
        """Raise unless the input has that rank, the batch counted; ``axes`` says what it needs."""
        if len(shape) != rank:
            raise ShapeError(
                f"{type(self).__name__} needs an input of {rank - 1} axes beside the batch "
                f"{axes}, not {shape_text(shape)}"
            )


def output_shapes(
    layer: Layer, inputs: Shapes, options: Mapping[str, bool] | None = None
) -> Shapes:
    """The shapes of all outputs of a call.

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
        NotComputable: only the layer's author's code, or no number, could tell.
    """
    found = layer.call(flow, *inputs, **_known(layer, options))
    return list(found) if isinstance(found, list | tuple) else [found]


def computed_masks(
    layer: Layer, flow: Flow, inputs: Sequence[Array], options: Mapping[str, bool] | None = None
) -> list[Mask]:
    """The masks of the outputs of a call, from the first; what is beyond them has none.

    Raises:
        NotComputable: the masks of the inputs do not fit one another.
    """
    try:
        found = layer.output_mask(flow, *inputs, **_known(layer, options))
    except ValueError:
        shapes = shapes_text(tuple(mask.shape for mask in flow.masks if mask is not None))
        raise NotComputable(f"the masks of its inputs, {shapes}, do not fit one another") from None
    return found if isinstance(found, list) else [found]


def _known(layer: Layer, options: Mapping[str, bool] | None) -> dict[str, bool]:
    """The options that a call of the layer has."""
    names = layer.takes().options
    return {name: value for name, value in (options or {}).items() if name in names}


def within(
    layer: Layer, name: str, parameters: Iterable[Parameter], dtype: Dtype | None = None
) -> Iterator[Parameter]:
    """A layer's parameters as its owner's: under its name, and trained and typed as it says.

    ``dtype`` is that of the owner, for what has none of its own.
    """
    own = layer.weights_dtype or dtype
    for parameter in parameters:
        kept = parameter.keeps_dtype or own is None
        yield msgspec.structs.replace(
            parameter,
            path=f"{name}/{parameter.path}",
            owner=parameter.owner or Owner(layer, parameter.path),
            trainable=parameter.trainable and layer.trainable,
            dtype=parameter.dtype if kept else own,
            keeps_dtype=parameter.keeps_dtype or layer.weights_dtype is not None,
        )


def sublayer_names(layers: Iterable[Layer]) -> list[str]:
    """What layers within another are called: as they say, or after their type with a number."""
    names: list[str] = []
    counts: dict[str, int] = {}
    for layer in layers:
        stem = layer.default_name()
        number = counts.get(stem, 0)
        if layer.name is None:
            counts[stem] = number + 1
        names.append(layer.name or (f"{stem}_{number}" if number else stem))
    return names


def known_layers() -> dict[str, type[Layer]]:
    """Every layer type by each of its names."""
    return known(Layer)


def known_size(layer: Layer, shape: Shape, axis: int) -> int:
    """The size of an axis that must be known, because a parameter depends on it."""
    if not -len(shape) <= axis < len(shape):
        raise ShapeError(
            f"{type(layer).__name__} works on axis {axis}, and the last axis of its input "
            f"{shape_text(shape)} is {len(shape) - 1}",
            "axes count from 0, which is the batch, or backwards from -1",
        )
    size = shape[axis]
    if size is None:
        raise ShapeError(
            f"{type(layer).__name__} needs the size of axis {axis} of its input, "
            f"which is unknown in {shape_text(shape)}",
            "give the size in input_shape in place of null",
        )
    return size


def per_axis(value: int | tuple[int, ...], rank: int, argument: str) -> tuple[int, ...]:
    """One number for all spatial axes, or one for each.

    Raises:
        ArgumentError: there are not as many numbers as axes.
    """
    if isinstance(value, int):
        return (value,) * rank
    if len(value) != rank:
        numbers = "one number" if rank == 1 else f"one number or a list of {rank}"
        raise ArgumentError(argument, f"`{argument}` must be {numbers}, not {quoted([*value])}")
    return value
