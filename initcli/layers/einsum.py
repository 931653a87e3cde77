"""Tensor products whose kernel shape follows from an equation."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Annotated, Literal, NamedTuple

import msgspec

from initcli.activations import Linear
from initcli.errors import quoted
from initcli.initializers import GlorotUniform, Initializer, Scaled, Zeros
from initcli.layers.arguments import BiasInitializer, KernelInitializer, OutputActivation
from initcli.layers.base import Layer
from initcli.layers.core import Adapted, lora
from initcli.layers.flow import Flow
from initcli.layers.quantization import Matrix, Scheme, Stored, stored_kernel
from initcli.parameter import Parameter
from initcli.types import (
    ArgumentError,
    Array,
    PositiveInt,
    Shape,
    ShapeError,
    Size,
    doc,
    shape_text,
)

Counted = Annotated[
    Literal["projection", "convolution"],
    doc(
        "Axes that count as fans: those summed and produced (`projection`), or those of a "
        "convolution kernel, as in Keras 2."
    ),
]


class Projection(NamedTuple):
    """The shapes of weights and output, and the fans, for one input."""

    kernel: Size
    input_axes: tuple[int, ...]
    output_axes: tuple[int, ...]
    bias: Size | None
    output: Shape


class EinsumDense(Adapted, frozen=True, kw_only=True):
    """A dense layer over the axes that ``equation`` names, such as ``abc,cde->abde``.

    Initializers count as fan_out the kernel axes of the output, and the others as fan_in (Keras
    3.15, ``EinsumDense.build``).
    """

    equation: Annotated[
        str,
        doc(
            "Axes of input, kernel and output, such as `abc,cde->abde`; `...` stands for more axes."
        ),
    ]
    output_shape_: Annotated[
        PositiveInt | tuple[PositiveInt | None, ...],
        doc("Sizes of the output without the batch; null for sizes of the input."),
    ] = msgspec.field(name="output_shape")
    activation: OutputActivation = Linear()
    bias_axes: Annotated[
        str | None, doc("Axes of the output that the bias has; no bias if absent.")
    ] = None
    kernel_initializer: KernelInitializer = GlorotUniform()
    bias_initializer: BiasInitializer = Zeros()
    fans: Counted = "projection"

    def __post_init__(self) -> None:
        super().__post_init__()
        output = _letters(self.equation).output
        if any(letter not in output for letter in self.bias_axes or ""):
            given = f"of the output '{output}', not {quoted(self.bias_axes)}"
            raise ArgumentError("bias_axes", f"`bias_axes` must be letters {given}")

    def output_shape(self, shape: Shape) -> Shape:
        return self.project(shape).output

    def widths(self, *inputs: Shape) -> Iterator[tuple[str | int, ...]]:
        """The first size that the kernel gives to the output: of several, the heads."""
        if isinstance(self.output_shape_, int):
            yield ("output_shape",)
            return
        letters = _letters(self.equation)
        named = letters.output[len(letters.output) - len(self.output_shape_) :]
        if letters.dots == "right":
            named = letters.output[1:]
        for index, (letter, size) in enumerate(zip(named, self.output_shape_, strict=False)):
            if letter not in letters.input and size is not None:
                yield ("output_shape", index)
                return

    def sized(self, shape: Shape, *inputs: Size) -> Shape:
        """Unknown sizes are those of the same letters in the input."""
        letters, (given,) = _letters(self.equation), inputs
        known = dict(zip(letters.input, given[len(given) - len(letters.input) :], strict=True))
        if letters.dots == "right":
            known = dict(zip(letters.input, given, strict=False))
        first = len(shape) - len(letters.output) if letters.dots == "left" else 0
        places = {first + i: known.get(letter) for i, letter in enumerate(letters.output)}
        return tuple(places.get(i) if n is None else n for i, n in enumerate(shape))

    def parameters(self, shape: Shape) -> Iterator[Parameter]:
        found = self.project(shape)
        trainable, produces = self.lora_rank is None, self.new_axes
        kernel = projected_kernel(self, found, "kernel_initializer", self.fans)
        kernel = msgspec.structs.replace(kernel, trainable=trainable, produces=produces)
        letters = _letters(self.equation)
        sizes = dict(zip(letters.kernel, found.kernel, strict=True))
        scale = tuple(sizes.get(letter, 1) for letter in letters.output)
        stored = stored_projection(self.scheme, kernel, found, scale)
        bias = [] if found.bias is None else [self.weight("bias", found.bias, "bias_initializer")]
        return stored.around(bias, lora("kernel", found.kernel, self.lora_rank))

    def call(self, flow: Flow, x: Array) -> Array:
        y = flow.xp.einsum(self.equation, x, self.adapted(flow, "kernel"), optimize=True)
        return self.activation.call(flow.xp, y + flow["bias"] if "bias" in flow else y)

    @property
    def new_axes(self) -> tuple[int, ...]:
        """The axes of the kernel that the input lacks."""
        letters = _letters(self.equation)
        return tuple(i for i, a in enumerate(letters.kernel) if a not in letters.input)

    def axes(self, shape: Shape) -> Letters:
        """The letters of the equation, with one for each axis of the dots."""
        letters = _letters(self.equation)
        # Letters that equations cannot contain.
        dots = "".join(chr(ord("α") + i) for i in range(len(shape) - len(letters.input)))
        if letters.dots == "left":
            return Letters(dots + letters.input, letters.kernel, dots + letters.output, "")
        return Letters(letters.input + dots, letters.kernel, letters.output + dots, "")

    def project(self, shape: Shape) -> Projection:
        """The shapes for an input of that shape.

        Raises:
            ShapeError: the equation does not match the input or the output sizes.
        """
        letters = _letters(self.equation)
        given = self.output_shape_
        sizes: list[int | None] = [given] if isinstance(given, int) else list(given)
        elided = len(shape) - len(letters.input)
        if elided < 0 or (elided and not letters.dots):
            raise ShapeError(
                f"EinsumDense's equation {quoted(self.equation)} takes an input of "
                f"{len(letters.input)} axes with the batch, not {shape_text(shape)}",
                "each letter stands for one axis, the first for the batch",
            )
        # Where the letters of input and output begin.
        first = elided if letters.dots == "left" else 0
        if letters.dots == "left":
            output = (*shape[: max(elided, 1)], *sizes)
        else:
            output = (shape[0], *sizes, *shape[len(shape) - elided :])
        if len(output) != len(letters.output) + elided:
            wanted = len(letters.output) + elided - (len(output) - len(sizes))
            raise ShapeError(
                f"EinsumDense's output '{letters.output}' needs as many sizes in `output_shape` as "
                f"it has axes besides the batch: {wanted}, not {len(sizes)}"
            )
        into = {letter: shape[first + i] for i, letter in enumerate(letters.input)}
        out = {letter: output[first + i] for i, letter in enumerate(letters.output)}
        for letter, size in into.items():
            if out.get(letter) not in (None, size):
                raise ShapeError(
                    f"EinsumDense's axis '{letter}' is {size} in the input and {out[letter]} in "
                    "output_shape"
                )
        kernel: list[int] = []
        for letter in letters.kernel:
            size = out[letter] if letter in out else into[letter]
            if size is None:
                raise ShapeError(
                    f"EinsumDense needs the size of axis '{letter}', which is unknown in "
                    f"{shape_text(shape)}",
                    "give the size in input_shape instead of null",
                )
            kernel.append(size)
        bias = _bias(self.bias_axes, letters.output, out, elided if letters.dots == "right" else 0)
        inputs = tuple(i for i, letter in enumerate(letters.kernel) if letter not in out)
        outputs = tuple(i for i, letter in enumerate(letters.kernel) if letter in out)
        return Projection(tuple(kernel), inputs, outputs, bias, output)


def projected_kernel(
    layer: Layer, projection: Projection, argument: str, counted: Counted
) -> Parameter:
    """The kernel, whose initializer gets the axes of the projection if it counts fans by axes."""
    made: Initializer = getattr(layer, argument)
    inputs, outputs = projection.input_axes, projection.output_axes
    has_axes = isinstance(made, Scaled) and None not in (made.input_axes, made.output_axes)
    if isinstance(made, Scaled) and counted == "projection" and not has_axes:
        made = msgspec.structs.replace(made, input_axes=inputs, output_axes=outputs)
    shape = projection.kernel
    return layer.weight("kernel", shape, argument, made, contracts=inputs, produces=outputs)


def stored_projection(
    scheme: Scheme | None, kernel: Parameter, projection: Projection, scale: Size
) -> Stored:
    """The stored form of the kernel; ``scale`` is the shape of the scales of int8.

    Raises:
        ArgumentError: Keras does not quantize such a kernel.
    """
    shape = projection.kernel
    rows = math.prod(shape[axis] for axis in projection.input_axes)
    if scheme is not None and scheme.mode in ("gptq", "awq"):
        # Keras takes the largest axis for the model's features, whatever the equation says.
        if len(shape) not in (2, 3):
            message = f"{scheme.mode} quantizes kernels of 2 or 3 axes, not {shape_text(shape)}"
            raise ArgumentError("quantization", message, "int8 quantizes any")
        rows = shape[0] if len(shape) == 2 or shape[0] == max(shape) else shape[0] * shape[1]
    matrix = Matrix(rows, math.prod(shape) // rows, scale)
    return stored_kernel(scheme, kernel, matrix, "zero_point")


class Letters(NamedTuple):
    """The letters of an equation, and the side of its dots."""

    input: str
    kernel: str
    output: str
    dots: str


_EQUATIONS = (
    ("", re.compile(r"([a-zA-Z]+),([a-zA-Z]+)->([a-zA-Z]+)\Z")),
    ("left", re.compile(r"\.\.\.([a-zA-Z]+),([a-zA-Z]+)->\.\.\.([a-zA-Z]+)\Z")),
    ("right", re.compile(r"([a-zA-Z]{2,})\.\.\.,([a-zA-Z]+)->([a-zA-Z]+)\.\.\.\Z")),
)


def _letters(equation: str) -> Letters:
    """The letters of an equation, and the side of its dots.

    Raises:
        ArgumentError: the equation is malformed, or an axis of the output has no size.
    """
    for dots, pattern in _EQUATIONS:
        if match := pattern.match(equation):
            found = Letters(match[1], match[2], match[3], dots)
            break
    else:
        raise ArgumentError(
            "equation",
            "`equation` must have the form 'ab,bc->ac', '...ab,bc->...ac' or 'ab...,bc->ac...', "
            f"not {quoted(equation)}",
        )
    kernel, output = ("kernel", found.kernel), ("output", found.output)
    for (name, letters), (other, theirs) in ((kernel, output), (output, kernel)):
        for letter in letters:
            if letter not in found.input and letter not in theirs:
                problem = (
                    f"the {name}'s letter '{letter}' is neither in the input nor in the {other}"
                )
                raise ArgumentError("equation", problem)
    return found


def _bias(axes: str | None, output: str, sizes: dict[str, int | None], behind: int) -> Size | None:
    """The shape of the bias, from its first axis on, with 1 for other axes."""
    if not axes:
        return None
    letters = output[min(output.find(letter) for letter in axes) :]
    shape: list[int] = []
    for letter in letters:
        size = sizes[letter] if letter in axes else 1
        if size is None:
            raise ShapeError(
                f"EinsumDense's bias needs the size of axis '{letter}', which is unknown",
                "give the size in output_shape instead of null",
            )
        shape.append(size)
    return (*shape, *(1,) * behind)
