"""Types of arguments, shapes and dtypes, and the errors that layers and initializers raise."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

import msgspec


def doc(text: str, *, is_width: bool = False) -> msgspec.Meta:
    """The description of a field: ``units: Annotated[int, doc("Number of output features.")]``.

    ``is_width`` marks a size that grows with the width of a model.
    """
    return msgspec.Meta(description=text, extra={"is_width": True} if is_width else None)


PositiveInt = Annotated[int, msgspec.Meta(ge=1)]
NonNegativeInt = Annotated[int, msgspec.Meta(ge=0)]
PositiveFloat = Annotated[float, msgspec.Meta(gt=0)]
NonNegativeFloat = Annotated[float, msgspec.Meta(ge=0)]
Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]
Dtype = Literal["float16", "bfloat16", "float32", "float64"]
DtypePolicy = Literal[
    "float16", "bfloat16", "float32", "float64", "mixed_float16", "mixed_bfloat16"
]
"""Dtype of a layer's computation; mixed policies combine half precision with float32 weights."""
TensorDtype = Literal[
    "float16",
    "bfloat16",
    "float32",
    "float64",
    "float8_e4m3fn",
    "float8_e5m2",
    "float8_e8m0fnu",
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "bool",
]
"""Dtype of a tensor; integers are codes of quantized weights, or counts."""
CODES: tuple[TensorDtype, ...] = ("int8", "uint8")
"""Dtypes of codes, which become weights only with their scales."""
WHOLE: tuple[TensorDtype, ...] = (
    *CODES, "int16", "uint16", "int32", "uint32", "int64", "uint64", "bool"
)  # fmt: skip
"""Integer dtypes."""
DataFormat = Literal["channels_last", "channels_first"]
Severity = Literal["error", "warning"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning")
"""Severities of findings, the worst first."""

Array = Any
"""A NumPy array, or an autograd box around one."""
Shape = tuple[int | None, ...]
"""Sizes of an input or output of a layer, batch first; None for an unknown size."""
Shapes = tuple[Shape, ...]
"""Shapes of the inputs or outputs of a layer."""
Size = tuple[int, ...]
"""Sizes of a parameter."""


class _Encoding(NamedTuple):
    bytes: int
    largest: float
    numpy: str


_ENCODINGS: dict[TensorDtype, _Encoding] = {
    "float16": _Encoding(2, 65504.0, "<f2"),
    "bfloat16": _Encoding(2, 3.3895313892515355e38, "<u2"),
    "float32": _Encoding(4, 3.4028234663852886e38, "<f4"),
    "float64": _Encoding(8, 1.3407807929942596e154, "<f8"),
    "float8_e4m3fn": _Encoding(1, 448.0, "|u1"),
    "float8_e5m2": _Encoding(1, 57344.0, "|u1"),
    "float8_e8m0fnu": _Encoding(1, 2.0**127, "|u1"),
    "int8": _Encoding(1, 127.0, "|i1"),
    "uint8": _Encoding(1, 255.0, "|u1"),
    "int16": _Encoding(2, 2.0**15 - 1, "<i2"),
    "uint16": _Encoding(2, 2.0**16 - 1, "<u2"),
    "int32": _Encoding(4, 2.0**31 - 1, "<i4"),
    "uint32": _Encoding(4, 2.0**32 - 1, "<u4"),
    "int64": _Encoding(8, 2.0**63 - 1, "<i8"),
    "uint64": _Encoding(8, 2.0**64 - 1, "<u8"),
    "bool": _Encoding(1, 1.0, "|u1"),
}
BYTES: dict[str, int] = {name: each.bytes for name, each in _ENCODINGS.items()}
"""Bytes of one entry."""
LARGEST: dict[TensorDtype, float] = {name: each.largest for name, each in _ENCODINGS.items()}
"""Largest number of a dtype; for float64 the largest whose square is finite, so that standard
deviations can be measured."""
NUMPY: dict[str, str] = {name: each.numpy for name, each in _ENCODINGS.items()}
"""The NumPy dtype of the entries of a dtype, or of their bits if NumPy lacks it."""


class ArgumentError(ValueError):
    """An argument of a layer or an initializer has an invalid value."""

    def __init__(self, argument: str, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.argument = argument
        self.remedy = remedy


class ShapeError(ValueError):
    """A shape does not fit a layer or an initializer."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class NotComputable(Exception):
    """The output of a layer cannot be computed."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


def shape_text(shape: Shape) -> str:
    """A shape as Keras writes it: ``(None, 126, 16)``."""
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def shapes_text(shapes: Shapes) -> str:
    """Shapes, separated by commas."""
    return ", ".join(map(shape_text, shapes))


def counted(count: int, noun: str) -> str:
    """A number and a noun, in the plural where needed: ``1 layer``, ``2,000 layers``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def texts(argument: str, values: Iterable[str | os.PathLike[str]]) -> tuple[str, ...]:
    """The values of an argument that is a list of texts or paths.

    Raises:
        TypeError: it is one text in place of a list.
    """
    if isinstance(values, str | os.PathLike):
        one = os.fspath(values)
        raise TypeError(f"{argument} is a list: write {argument}=[{one!r}], not {one!r}")
    return tuple(os.fspath(each) for each in values)


def snake_case(name: str) -> str:
    """The snake_case form of a class name, as in Keras: ``MaxPooling1D`` → ``max_pooling1d``."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


class Argument(NamedTuple):
    """One argument of a layer, an initializer or an activation: a field of its class."""

    name: str
    """The name in a spec."""
    attribute: str
    type: Any
    """The type without the description."""
    description: str
    required: bool
    default: Any
    is_width: bool = False


@cache
def arguments_of(cls: type[msgspec.Struct]) -> tuple[Argument, ...]:
    """The arguments of a class, its own before those it inherits."""
    bases = [base for base in cls.__mro__[1:] if issubclass(base, msgspec.Struct)]
    inherited = [name for base in bases for name in base.__struct_fields__]
    fields = sorted(msgspec.structs.fields(cls), key=lambda field: inherited.count(field.name))
    return tuple(map(_argument, fields))


def _argument(field: msgspec.structs.FieldInfo) -> Argument:
    type_, description, is_width = field.type, "", False
    if get_origin(type_) is Annotated:
        inner, *metas = get_args(type_)
        for meta in metas:
            description = meta.description or description
            is_width = is_width or (meta.extra or {}).get("is_width", False)
        kept = [meta for meta in metas if meta.description is None]
        type_ = Annotated[(inner, *kept)] if kept else inner
    default = field.default
    if default is msgspec.NODEFAULT:
        default = field.default_factory() if callable(field.default_factory) else None
    names = field.encode_name, field.name
    return Argument(*names, type_, description, field.required, default, is_width)
