"""Quantized weights: the tensors that a layer stores in place of a floating-point kernel.

Shapes, dtypes and first values are those of Keras 3.15 (``quantized_build`` of Dense, EinsumDense,
Embedding and ReversibleEmbedding): codes start as zeros and scales as ones, and only a weights file
has their final values. For float8 the kernel itself stays (Micikevicius et al. 2022,
arXiv:2209.05433), with scales and histories that training overwrites.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np

from initcli import distributions
from initcli.distributions import Distribution, Floats
from initcli.errors import quoted
from initcli.initializers import Initializer, Ones, Zeros
from initcli.parameter import Parameter
from initcli.types import ArgumentError, NotComputable, ShapeError, Size, TensorDtype, doc

Mode = Literal["int8", "int4", "float8", "gptq", "awq"]

_FORM = re.compile(r"(int8|int4|float8|gptq|awq)((?:/-?[0-9]{1,9}){0,2})\Z")
_NUMBERS: dict[str, tuple[int, ...]] = {
    "int8": (),
    "int4": (-1,),
    "float8": (1024,),
    "gptq": (4, -1),
    "awq": (4, -1),
}
"""Default numbers of a mode."""


class Scheme(NamedTuple):
    """The storage of a kernel."""

    mode: Mode
    bits: int
    """Bits of one code; two codes of 4 bits share a byte."""
    group: int | None
    """Entries of the contracted axis that share a scale; None for all."""
    history: int
    """Number of steps whose maxima float8 keeps."""


def scheme_of(text: str | None) -> Scheme | None:
    """The scheme that ``int8``, ``int4/GROUP``, ``float8/HISTORY``, ``gptq/BITS/GROUP`` or
    ``awq/4/GROUP`` names, in Keras's own form.

    Raises:
        ArgumentError: unknown scheme.
    """
    if text is None:
        return None
    match = _FORM.match(text)
    mode = match[1] if match else ""
    given = [int(number) for number in match[2].split("/")[1:]] if match else []
    usual = _NUMBERS.get(mode, ())
    numbers = (*given, *usual[len(given) :])
    wrong = match is None or len(given) > len(usual) or 0 in numbers or min(numbers, default=1) < -1
    if not wrong and mode in ("gptq", "awq"):
        wrong = numbers[0] not in ((2, 3, 4, 8) if mode == "gptq" else (4,))
    if wrong or (mode == "float8" and numbers[0] < 1):
        raise ArgumentError(
            "quantization",
            f"`quantization` must name a mode of Keras, not {quoted(text)}",
            "such as int8, int4/128 (of a block), float8, gptq/4/128 or awq/4/128",
        )
    last = numbers[-1] if numbers and mode != "float8" else -1
    bits = {"int8": 8, "int4": 4, "float8": 8}.get(mode, numbers[0] if numbers else 8)
    history = numbers[0] if mode == "float8" else 0
    return Scheme(mode, bits, None if last == -1 else last, history)  # type: ignore[arg-type]


class Matrix(NamedTuple):
    """A kernel as a matrix (contracted, produced)."""

    rows: int
    columns: int
    scale: Size
    """The shape of the scales of int8."""


class Group(Initializer, frozen=True, kw_only=True):
    """The group of each entry: ⌊i / size⌋."""

    registered = False

    size: Annotated[int, doc("Number of rows of a group.")]

    def distribution_for(self, shape: Size) -> Distribution:
        if math.prod(shape) > _MAX_ENTRIES:
            raise ShapeError(f"a quantized kernel sums over {_MAX_ENTRIES:,} entries at most")
        return distributions.Empirical(
            "groups", tuple(float(i // self.size) for i in range(shape[0]))
        )

    def fill(self, out: Floats, start: int, shape: Size, rng: np.random.Generator) -> None:
        out[:] = np.arange(start, start + out.size) // self.size


_MAX_ENTRIES = 2**24
"""Maximum number of entries of a group index, whose distribution holds each of them."""


class Stored(NamedTuple):
    """The parameters of a kernel, before and after the others of its layer, as Keras lists them."""

    before: tuple[Parameter, ...]
    after: tuple[Parameter, ...] = ()

    def around(self, *others: Iterable[Parameter]) -> Iterator[Parameter]:
        """All parameters of the layer."""
        return chain(self.before, *others, self.after)


def stored_kernel(scheme: Scheme | None, kernel: Parameter, matrix: Matrix, zero: str) -> Stored:
    """The stored form of a kernel; ``zero`` names the zero points of GPTQ and AWQ."""
    if scheme is None:
        return Stored((kernel,))
    rows, columns = matrix.rows, matrix.columns
    groups = 1 if scheme.group is None else math.ceil(rows / scheme.group)
    match scheme.mode:
        case "float8":
            return Stored((*_float8(scheme), kernel))
        case "int8":
            return Stored(
                (), (_codes("kernel", kernel.shape), _scale("kernel_scale", matrix.scale))
            )
        case "int4":
            codes = (rows, _packed(columns))
            return _blocks("kernel", codes, (columns,), (groups, columns), rows, scheme)
        case _:
            stored = _packed(columns) if scheme.bits == 4 else columns
            found = [
                _codes("kernel", (stored, rows), "uint8"),
                _scale("kernel_scale", (columns, groups)),
                _codes(zero, (columns, groups), "uint8"),
            ]
            if scheme.mode == "awq":
                found.append(_scale("awq_scales", (rows,)))
            return Stored((), (*found, _index(rows, None)))


def stored_table(scheme: Scheme | None, table: Parameter) -> Stored:
    """The stored form of a table (vectors, entries).

    Raises:
        ArgumentError: Keras does not quantize tables by this scheme.
    """
    if scheme is None:
        return Stored((table,))
    count, size = table.shape
    if scheme.mode == "int8":
        scale = _scale("embeddings_scale", (count,))
        return Stored((), (_codes("embeddings", table.shape), scale))
    if scheme.mode != "int4":
        message = f"Keras has no embeddings quantized by {scheme.mode}"
        raise ArgumentError("quantization", message, "it quantizes them by int8 or int4")
    codes, groups = (count, _packed(size)), math.ceil(size / (scheme.group or size))
    return _blocks("embeddings", codes, (count,), (count, groups), size, scheme)


def stored_reverse(scheme: Scheme, count: int, size: int) -> Iterator[Parameter]:
    """The stored form of the matrix (size, count) that maps vectors back to scores."""
    name = "reverse_embeddings"
    yield _codes(name, (_packed(size) if scheme.mode == "int4" else size, count))
    if scheme.group is None:
        yield _scale(f"{name}_scale", (count,))
        return
    shape = (math.ceil(size / scheme.group), count)
    yield _scale(f"{name}_scale", shape)
    yield Parameter(path=f"{name}_zero", shape=shape, initializer=Zeros(), trainable=False)


def require_floats(scheme: Scheme | None, kind: str) -> None:
    """Raise NotComputable if only a weights file has the values of a kernel."""
    if scheme is not None and scheme.mode != "float8":
        raise NotComputable(
            f"initcli does not compute a {kind} of {scheme.mode} codes, whose values are "
            "only in the model's weights"
        )


def _blocks(
    name: str, codes: Size, scale: Size, grouped: Size, entries: int, scheme: Scheme
) -> Stored:
    """Codes of 4 bits with a scale each row or column, or with scales and zero points of groups."""
    stored = _codes(name, codes)
    if scheme.group is None:
        return Stored((), (stored, _scale(f"{name}_scale", scale)))
    points = (_scale(f"{name}_scale", grouped), _codes(f"{name}_zero", grouped))
    return Stored((), (stored, *points, _index(entries, scheme.group)))


def _packed(size: int) -> int:
    """Number of bytes of 4-bit codes."""
    return (size + 1) // 2


def _codes(path: str, shape: Size, dtype: TensorDtype = "int8") -> Parameter:
    how: dict[str, Any] = {"trainable": False, "dtype": dtype, "keeps_dtype": True}
    return Parameter(path=path, shape=shape, initializer=Zeros(), **how)


def _scale(path: str, shape: Size) -> Parameter:
    return Parameter(path=path, shape=shape, initializer=Ones(), trainable=False)


def _index(rows: int, group: int | None) -> Parameter:
    """The group of each row; zeros for GPTQ and AWQ, which determine it later."""
    initializer = Zeros() if group is None else Group(size=group)
    return Parameter(
        path="g_idx", shape=(rows,), initializer=initializer, trainable=False, keeps_dtype=True
    )


def _float8(scheme: Scheme) -> Iterator[Parameter]:
    history = (scheme.history,)
    for what in ("inputs", "kernel", "outputs_grad"):
        yield Parameter(path=f"{what}_scale", shape=(), initializer=Ones(), keeps_dtype=True)
        name = f"{what}_amax_history"
        yield Parameter(path=name, shape=history, initializer=Zeros(), keeps_dtype=True)
