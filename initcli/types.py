"""The kinds of values that arguments take, and the few things that shapes need everywhere."""

from __future__ import annotations

import math
import re
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

import msgspec


def doc(text: str) -> msgspec.Meta:
    """The description of a field: ``units: Annotated[int, doc("Number of output features.")]``."""
    return msgspec.Meta(description=text)


PositiveInt = Annotated[int, msgspec.Meta(ge=1)]
NonNegativeInt = Annotated[int, msgspec.Meta(ge=0)]
PositiveFloat = Annotated[float, msgspec.Meta(gt=0)]
NonNegativeFloat = Annotated[float, msgspec.Meta(ge=0)]
Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]
Dtype = Literal["float16", "bfloat16", "float32", "float64"]
DtypePolicy = Literal[
    "float16", "bfloat16", "float32", "float64", "mixed_float16", "mixed_bfloat16"
]
"""What a layer computes in; a mixed policy computes in half precision with float32 weights."""
TensorDtype = Literal[
    "float16", "bfloat16", "float32", "float64", "int8", "uint8", "int32", "int64"
]
"""What a tensor holds; whole numbers are codes of quantized weights, or counts, such as that of a
normalization's examples."""
CODES: tuple[TensorDtype, ...] = ("int8", "uint8")
"""The dtypes of codes, which are no weights before scales are known."""
WHOLE: tuple[TensorDtype, ...] = (*CODES, "int32", "int64")
"""The dtypes of whole numbers."""
DataFormat = Literal["channels_last", "channels_first"]
Severity = Literal["error", "warning"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning")
"""How much a finding matters, the worst first."""

Array = Any
"""An array of NumPy's, or autograd's box around one: what layers compute with."""
Shape = tuple[int | None, ...]
"""Sizes of a layer's input or output, the batch first; None where a size is not known."""
Shapes = tuple[Shape, ...]
"""The shapes of a layer's inputs, or of its outputs."""
Size = tuple[int, ...]
"""Sizes of a parameter, all of them known."""

BYTES: dict[TensorDtype, int] = {
    "float16": 2,
    "bfloat16": 2,
    "float32": 4,
    "float64": 8,
    "int8": 1,
    "uint8": 1,
    "int32": 4,
    "int64": 8,
}
"""Bytes of one entry."""
LARGEST: dict[TensorDtype, float] = {
    "float16": 65504.0,
    "bfloat16": 3.3895313892515355e38,
    "float32": 3.4028234663852886e38,
    "float64": 1.3407807929942596e154,
    "int8": 127.0,
    "uint8": 255.0,
    "int32": 2.0**31 - 1,
    "int64": 2.0**63 - 1,
}
"""The largest number of a dtype, and of float64 the largest whose square it holds: beyond that no
standard deviation can be measured."""


class ArgumentError(ValueError):
    """Raised while a layer or an initializer is made: ``argument`` has a value that cannot be."""

    def __init__(self, argument: str, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.argument = argument
        self.remedy = remedy


class ShapeError(ValueError):
    """Raised when a layer is given an input that does not fit, or an initializer such a tensor."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class NotComputable(Exception):
    """Raised where a layer's output cannot be computed; ``remedy`` says how it could be."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


def shape_text(shape: Shape) -> str:
    """``(None, 126, 16)``, as Keras writes it."""
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def shapes_text(shapes: Shapes) -> str:
    """One shape, or several beside one another."""
    return ", ".join(map(shape_text, shapes))


def entries(shape: Size) -> int:
    """The number of entries of a tensor of that shape."""
    return math.prod(shape)


def snake_case(name: str) -> str:
    """Keras's default name for a thing of that class: ``MaxPooling1D`` → ``max_pooling1d``."""
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


@cache
def arguments_of(cls: type[msgspec.Struct]) -> tuple[Argument, ...]:
    """The arguments of a class, its own before those it inherits."""
    bases = [base for base in cls.__mro__[1:] if issubclass(base, msgspec.Struct)]
    inherited = [name for base in bases for name in base.__struct_fields__]
    fields = sorted(msgspec.structs.fields(cls), key=lambda field: inherited.count(field.name))
    return tuple(map(_argument, fields))


def _argument(field: msgspec.structs.FieldInfo) -> Argument:
    type_, description = field.type, ""
    if get_origin(type_) is Annotated:
        inner, *metas = get_args(type_)
        for meta in metas:
            description = meta.description or description
        kept = [meta for meta in metas if meta.description is None]
        type_ = Annotated[(inner, *kept)] if kept else inner
    default = field.default
    if default is msgspec.NODEFAULT:
        default = field.default_factory() if callable(field.default_factory) else None
    return Argument(field.encode_name, field.name, type_, description, field.required, default)
