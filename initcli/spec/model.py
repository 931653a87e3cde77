"""The model: a checked stack, each layer with its name, its shapes and its parameters."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

from initcli.errors import (
    DuplicateName,
    EmptyStack,
    InvalidValue,
    MissingInputShape,
    Path,
    ShapeMismatch,
    SpecError,
    UnfillableShape,
    printable,
    quoted,
)
from initcli.initializers import Custom, Initializer
from initcli.layers import Layer, Parameter
from initcli.layers.core import Input
from initcli.spec.arguments import Arguments, argument_error
from initcli.spec.document import Document
from initcli.types import LARGEST, ArgumentError, Dtype, PositiveInt, Shape, ShapeError

Defaults = Literal["keras"]

LONGEST_NAME = 200
"""Characters of a layer's name at most."""
LARGEST_TENSOR = 2**62
"""Entries of one tensor at most, of weights or of one example that flows through the layers."""


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of a spec."""

    layers: tuple[Any, ...]
    name: str | None = None
    input_shape: tuple[PositiveInt | None, ...] | None = None
    seed: int = 0
    dtype: Dtype = "float32"
    defaults: Defaults = "keras"
    initializers: dict[str, Any] = {}


class BuiltLayer(msgspec.Struct, frozen=True, kw_only=True):
    """A layer in its place: what it is called, what flows in and out, and its parameters."""

    name: str
    layer: Layer
    input_shape: Shape
    output_shape: Shape
    parameters: tuple[Parameter, ...]

    @property
    def type(self) -> str:
        """The name of the layer's type."""
        return type(self.layer).__name__

    @property
    def size(self) -> int:
        """The number of its weights."""
        return sum(parameter.size for parameter in self.parameters)


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A checked stack of layers, from which every weight follows.

    ``notes`` are facts about how the spec was read that its author should know.
    """

    name: str
    seed: int
    dtype: Dtype
    defaults: Defaults
    layers: tuple[BuiltLayer, ...]
    notes: tuple[str, ...] = ()

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Every parameter, in the order of the layers."""
        return tuple(parameter for layer in self.layers for parameter in layer.parameters)


def build(
    document: Document,
    *,
    seed: int | None = None,
    functions: Mapping[str, Custom] | None = None,
) -> Model:
    """Check a spec and resolve it into a model.

    Args:
        document: the spec's data.
        seed: wins over the spec's own.
        functions: custom initializers by name.

    Raises:
        InvalidSpec: with all problems of the spec.
    """
    arguments = Arguments(functions)
    data = document.data
    if not isinstance(data, Mapping):
        message = f"a spec is a mapping with `layers`, not {quoted(data)}"
        raise document.invalid([InvalidValue(message)])
    spec = arguments.struct(Spec, data, ())
    for name, recipe in _mapping(data.get("initializers")).items():
        arguments.recipe(name, recipe, ("initializers", name))
    entries = data.get("layers")
    layers = [
        arguments.layer(entry, ("layers", index))
        for index, entry in enumerate(entries if isinstance(entries, list) else ())
    ]
    if isinstance(entries, list) and not entries:
        remedy = "add one, such as {type: Dense, units: 10}"
        arguments.errors.append(EmptyStack("`layers` is empty", remedy=remedy, path=("layers",)))
    names = _names(layers, arguments.errors)
    if spec is None:
        # Layers are checked for what can be known without the rest of the spec.
        raise document.invalid(arguments.errors)
    if seed is not None:
        spec = msgspec.structs.replace(spec, seed=seed)
    built = list(_built(spec, layers, names, arguments.errors))
    if arguments.errors:
        raise document.invalid(arguments.errors)
    return Model(
        name=spec.name or "model",
        seed=spec.seed,
        dtype=spec.dtype,
        defaults=spec.defaults,
        layers=tuple(built),
        notes=_notes(arguments),
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _notes(arguments: Arguments) -> tuple[str, ...]:
    both = sorted(arguments.recipes.keys() & arguments.functions.keys())
    return tuple(
        f"the initializer '{name}' is the function of --custom, not the spec's recipe of that name"
        for name in both
    )


def _names(layers: list[Layer | None], errors: list[SpecError]) -> list[str]:
    """What each layer is called: its own name, or its type's and a number, as in Keras."""
    taken: dict[str, int] = {}
    for index, layer in enumerate(layers):
        if layer is None or layer.name is None:
            continue
        path: Path = ("layers", index, "name")
        if problem := _unusable(layer.name):
            message = f"the name {quoted(layer.name)} {problem}"
            errors.append(InvalidValue(message, path=path))
        elif layer.name in taken:
            errors.append(
                DuplicateName(
                    f"two layers are called '{layer.name}', this and layers.{taken[layer.name]}",
                    remedy="give one of them another name, or none",
                    path=path,
                )
            )
        else:
            taken[layer.name] = index
    names = []
    counts: dict[str, int] = {}
    for layer in layers:
        name = "" if layer is None else layer.name
        while layer is not None and name is None:
            stem = layer.default_name()
            number = counts.get(stem, 0)
            counts[stem] = number + 1
            candidate = f"{stem}_{number}" if number else stem
            name = None if candidate in taken else candidate
        names.append(name or "")
    return names


def _unusable(name: str) -> str:
    """What is wrong with a layer's name, if anything is."""
    if not name:
        return "is empty"
    if "/" in name:
        return "holds a '/', which separates a layer's name from its tensors'"
    if len(name) > LONGEST_NAME:
        return f"has {len(name):,} characters, and {LONGEST_NAME} are allowed"
    if printable(name) != name:
        return "holds a character that cannot be printed"
    return ""


def _built(
    spec: Spec, layers: list[Layer | None], names: list[str], errors: list[SpecError]
) -> Iterator[BuiltLayer]:
    """The layers with their shapes and parameters, up to the first whose shape is not known."""
    shape: Shape | None = None if spec.input_shape is None else (None, *spec.input_shape)
    for index, (layer, name) in enumerate(zip(layers, names, strict=True)):
        path: Path = ("layers", index)
        if layer is None:
            return
        if isinstance(layer, Input):
            if shape is not None:
                message = "what flows in here is known already, from what comes before this Input"
                remedy = "give either input_shape or an Input as the first layer"
                errors.append(ShapeMismatch(message, remedy=remedy, path=path))
                return
            shape = (None, *layer.shape)
        if shape is None:
            remedy = "add `input_shape: [28, 28, 1]`, without the batch, or an Input layer"
            message = "the spec does not say what shape flows into its first layer"
            errors.append(MissingInputShape(message, remedy=remedy))
            return
        made = _build_layer(layer, name, shape, spec, path, errors)
        if made is None:
            return
        yield made
        shape = made.output_shape


def _build_layer(
    layer: Layer, name: str, shape: Shape, spec: Spec, path: Path, errors: list[SpecError]
) -> BuiltLayer | None:
    """One layer with its shapes and parameters, or None when its input does not fit."""
    given = {field for field in layer.__struct_fields__ if getattr(layer, field) is not None}
    try:
        output_shape = layer.output_shape(shape)
        found = tuple(
            msgspec.structs.replace(
                parameter,
                path=f"{name}/{parameter.path}",
                trainable=parameter.trainable and layer.trainable,
                dtype=parameter.dtype
                if parameter.keeps_dtype
                else layer.weights_dtype or spec.dtype,
                seed=spec.seed,
            )
            for parameter in layer.parameters(shape)
        )
    except ShapeError as error:
        errors.append(ShapeMismatch(str(error), remedy=error.remedy, path=path))
        return None
    except ArgumentError as error:
        errors.append(argument_error(error, dict.fromkeys(given), path))
        return None
    if math.prod(size for size in output_shape if size is not None) > LARGEST_TENSOR:
        message = f"what comes out of this {type(layer).__name__} would have too many entries"
        remedy = f"no tensor can have more than {LARGEST_TENSOR:,}"
        errors.append(ShapeMismatch(message, remedy=remedy, path=path))
        return None
    for parameter in found:
        errors += _unfillable(layer, parameter, path)
    return BuiltLayer(
        name=name, layer=layer, input_shape=shape, output_shape=output_shape, parameters=found
    )


def _unfillable(layer: Layer, parameter: Parameter, path: Path) -> Iterator[SpecError]:
    """Why a parameter cannot be filled, at the argument that names its initializer."""
    place = (*path, _argument(layer, parameter.initializer) or "type")
    if parameter.size > LARGEST_TENSOR:
        message = f"{parameter.path} would have {parameter.size:.3g} entries"
        yield ShapeMismatch(message, remedy="no tensor can be that large", path=path)
        return
    try:
        law = parameter.initializer.law(parameter.shape)
        parameter.initializer.fans(parameter.shape)
    except ShapeError as error:
        remedy = error.remedy or f"{parameter.path} needs another initializer"
        yield UnfillableShape(f"{error} ({parameter.path})", remedy=remedy, path=place)
        return
    if law is None:
        return
    low, high = law.extent
    if max(abs(low), abs(high), high - low) > LARGEST[parameter.dtype]:
        largest = f"{LARGEST[parameter.dtype]:.5g}"
        message = f"{law.text} is more than {parameter.dtype} holds, at most {largest}"
        yield InvalidValue(f"{message} ({parameter.path})", path=place)


def _argument(layer: Layer, initializer: Initializer) -> str | None:
    """The argument of the layer that holds that very initializer."""
    fields: tuple[str, ...] = layer.__struct_fields__
    return next((name for name in fields if getattr(layer, name) is initializer), None)
