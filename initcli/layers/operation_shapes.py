"""Output shapes of Keras operations: one rule for functions that behave alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise, zip_longest
from typing import Any, NamedTuple

from initcli.types import Shape

MAX_AXES = 64
"""Maximum rank of a tensor."""
MAX_OUTPUTS = 10_000
"""Maximum number of outputs of an operation."""


class Tensor(NamedTuple):
    """A tensor argument of that shape."""

    shape: Shape


class _Call(NamedTuple):
    """The arguments of an operation."""

    positional: list[Any]
    keywords: dict[str, Any]

    @property
    def values(self) -> list[Any]:
        """All arguments."""
        return [*self.positional, *self.keywords.values()]

    @property
    def tensors(self) -> list[Shape]:
        """The shapes of all tensors, including those in lists."""
        return [tensor.shape for tensor in _tensors(self.values)]

    @property
    def tensor(self) -> Shape:
        """The shape of the first tensor."""
        return self.tensors[0]

    @property
    def operands(self) -> list[Shape]:
        """The shapes of the operands: the tensors of a list in first position, or all arguments."""
        first = self.values[0] if self.values else None
        if isinstance(first, list) and any(isinstance(each, Tensor) for each in first):
            return [_shape_of(each) for each in first]
        return [_shape_of(each) for each in self.positional if isinstance(each, Tensor | list)]

    def option(self, name: str, place: int | None = None, default: Any = None) -> Any:
        """An argument by name or position."""
        if name in self.keywords or place is None or place >= len(self.positional):
            return self.keywords.get(name, default)
        return self.positional[place]

    def axis(self, place: int | None, default: Any = None, more: int = 0) -> int:
        """The argument ``axis``, counted from 0, of the first tensor with ``more`` axes."""
        return _axis(self.option("axis", place, default), len(self.tensor) + more)


Rule = Callable[[_Call], "Shape | list[Shape]"]
_RULES: dict[str, Rule] = {}
ARGUMENTS_MAKE_NO_SENSE = (TypeError, ValueError, LookupError, ArithmeticError, AttributeError)
"""Errors that meaningless arguments in a file raise."""


def shape_of(
    function: str, arguments: Sequence[Any], keywords: Mapping[str, Any], inputs: tuple[Shape, ...]
) -> Shape | list[Shape] | None:
    """The output shape of a function, or a list for several outputs.

    None if the function is unknown or its arguments are meaningless.
    """
    rule = _RULES.get(function)
    if rule is None:
        return None
    try:
        given = _Call(
            [_filled(value, inputs) for value in arguments],
            {name: _filled(value, inputs) for name, value in keywords.items()},
        )
        found = rule(given)
        known = all(map(_is_shape, found if isinstance(found, list) else [found]))
    except ARGUMENTS_MAKE_NO_SENSE:
        return None
    return found if known else None


def _rule(functions: str) -> Callable[[Rule], Rule]:
    """Register a rule for the operations of those names."""

    def register(rule: Rule) -> Rule:
        _RULES.update(dict.fromkeys(functions.split(), rule))
        return rule

    return register


def _filled(value: Any, inputs: tuple[Shape, ...]) -> Any:
    """An argument with tensors in place of references."""
    if isinstance(value, dict) and set(value) == {"input"}:
        return Tensor(inputs[value["input"]])
    if isinstance(value, list | tuple):
        return [_filled(each, inputs) for each in value]
    return value


def _is_shape(value: Any) -> bool:
    """Whether a rule returned a valid shape."""
    sizes = value if isinstance(value, tuple) and len(value) <= MAX_AXES else (-1,)
    return all(size is None or (type(size) is int and size >= 0) for size in sizes)


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list):
            yield from _tensors(value)


@_rule(
    """Abs Absolute Arccos Arccosh Arcsin Arcsinh Arctan Arctanh BitwiseNot Cast Cbrt Ceil Celu
    Clip Conj Cos Cosh Cumprod Cumsum Deg2rad Elu Erf Erfinv Exp Exp2 Expm1 Flip Floor FullLike
    Gelu HardShrink HardSigmoid HardSilu HardTanh Identity Imag IsFinite IsInf IsNan
    Isfinite Isinf Isnan L2Normalize LeakyRelu Log Log10 Log1p Log2 LogSigmoid LogSoftmax
    LogicalNot NanToNum Negative Normalize OnesLike Real Reciprocal Relu Relu6 Rint
    Roll Round Rsqrt Selu Sigmoid Sign Signbit Silu Sin Sinh SoftShrink Softmax Softplus Softsign
    Sort SparsePlus SparseSigmoid Sparsemax Sqrt Square Squareplus StopGradient Tan Tanh TanhShrink
    Threshold Tril Triu Trunc ZerosLike Argsort Dropout ConvertToTensor"""
)
def _same(call: _Call) -> Shape:
    """Elementwise functions of one tensor."""
    return call.tensor


@_rule(
    """Add Arctan2 BitwiseAnd BitwiseOr BitwiseXor Divide DivideNoNan Equal FloorDivide Fmax Fmin
    Fmod Greater GreaterEqual Hypot Less LessEqual Logaddexp Logaddexp2 LogicalAnd LogicalOr
    LogicalXor Maximum Minimum Mod Multiply NotEqual Power Subtract TrueDivide Where Xlogy
    SquaredDifference"""
)
def _broadcast(call: _Call) -> Shape:
    """Elementwise functions of several tensors and numbers."""
    shapes = [_shape_of(value) for value in call.values]
    found: list[int | None] = []
    for sizes in zip_longest(*(reversed(shape) for shape in shapes), fillvalue=1):
        known = {size for size in sizes if size not in (1, None)}
        if len(known) > 1:
            raise ValueError
        found.append(known.pop() if known else None if None in sizes else 1)
    return tuple(reversed(found))


def _shape_of(value: Any) -> Shape:
    """The shape of an argument: a tensor, a number, or nested lists of numbers."""
    if isinstance(value, Tensor):
        return value.shape
    if isinstance(value, list):
        return (len(value), *(_shape_of(value[0]) if value else ()))
    return ()


@_rule(
    """All Amax Amin Any Argmax Argmin CountNonzero Logsumexp Max Mean Median Min Norm Prod Std
    Sum Var Nanmax Nanmean Nanmin Nansum"""
)
def _reduced(call: _Call) -> Shape:
    """Reductions over ``axis``, or over all axes."""
    shape = call.tensor
    given = call.option("axis", 1)
    axes = _axes(given, len(shape)) if given is not None else tuple(range(len(shape)))
    if call.option("keepdims", default=False):
        return tuple(1 if axis in axes else size for axis, size in enumerate(shape))
    return tuple(size for axis, size in enumerate(shape) if axis not in axes)


@_rule("Moments")
def _moments(call: _Call) -> list[Shape]:
    return [_reduced(call)] * 2  # type: ignore[list-item]


def _axes(given: Any, rank: int) -> tuple[int, ...]:
    axes = [_axis(axis, rank) for axis in (given if isinstance(given, list) else [given])]
    if len(set(axes)) < len(axes):
        raise ValueError
    return tuple(axes)


def _axis(axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise IndexError
    return axis % rank


@_rule("Reshape")
def _reshaped(call: _Call) -> Shape:
    shape = call.tensor
    wanted = call.option("newshape", 1)
    sizes = [wanted] if isinstance(wanted, int) else wanted
    sizes = [None if isinstance(size, Tensor) else size for size in sizes]
    if None not in shape and None not in sizes and -1 in sizes:
        rest = -math.prod(sizes)
        return tuple(math.prod(shape) // rest if size == -1 else size for size in sizes)  # type: ignore[arg-type]
    return tuple(None if size == -1 else size for size in sizes)


@_rule("Transpose")
def _transposed(call: _Call) -> Shape:
    shape = call.tensor
    axes = call.option("axes", 1)
    if axes is None:
        return shape[::-1]
    if sorted(_axes(axes, len(shape))) != list(range(len(shape))):
        raise ValueError
    return tuple(shape[axis] for axis in axes)


@_rule("Swapaxes")
def _swapped(call: _Call) -> Shape:
    shape = list(call.tensor)
    one, two = (call.option(name, i) for i, name in ((1, "axis1"), (2, "axis2")))
    shape[one], shape[two] = shape[two], shape[one]
    return tuple(shape)


@_rule("Moveaxis")
def _moved(call: _Call) -> Shape:
    shape = call.tensor
    source = _axes(call.option("source", 1), len(shape))
    target = _axes(call.option("destination", 2), len(shape))
    order = [axis for axis in range(len(shape)) if axis not in source]
    for to, axis in sorted(zip(target, source, strict=True)):
        order.insert(to, axis)
    return tuple(shape[axis] for axis in order)


@_rule("ExpandDims")
def _expanded(call: _Call) -> Shape:
    given, rest = call.option("axis", 1), iter(call.tensor)
    rank = len(call.tensor) + (len(given) if isinstance(given, list) else 1)
    axes = _axes(given, rank)
    return tuple(1 if axis in axes else next(rest) for axis in range(rank))


@_rule("Squeeze")
def _squeezed(call: _Call) -> Shape:
    shape = call.tensor
    given = call.option("axis", 1)
    if given is None:
        return tuple(size for size in shape if size != 1)
    axes = _axes(given, len(shape))
    if any(shape[axis] not in (1, None) for axis in axes):
        raise ValueError
    return tuple(size for axis, size in enumerate(shape) if axis not in axes)


@_rule("Concatenate Append")
def _concatenated(call: _Call) -> Shape:
    shapes = call.operands
    axis = _axis(call.option("axis", default=-1), len(shapes[0]))
    sizes = [shape[axis] for shape in shapes]
    if len({len(shape) for shape in shapes}) > 1:
        raise ValueError
    along = None if None in sizes else sum(size for size in sizes if size is not None)
    rest = [next((s[i] for s in shapes if s[i] is not None), None) for i in range(len(shapes[0]))]
    return _along(tuple(rest), axis, along)


def _along(shape: Shape, axis: int, *sizes: int | None) -> Shape:
    """A shape with other sizes in place of an axis."""
    return (*shape[:axis], *sizes, *shape[axis + 1 :])


@_rule("Stack")
def _stacked(call: _Call) -> Shape:
    shapes = call.operands
    axis = _axis(call.option("axis", default=0), len(shapes[0]) + 1)
    return (*shapes[0][:axis], len(shapes), *shapes[0][axis:])


@_rule("Split ArraySplit")
def _split(call: _Call) -> list[Shape]:
    shape, axis = call.tensor, call.axis(2, 0)
    size, parts = shape[axis], call.option("indices_or_sections", 1)
    if isinstance(parts, int):
        sizes = [None if size is None else size // parts] * _few(parts)
    else:
        ends = [0, *parts, size]
        sizes = [None if b is None else b - a for a, b in pairwise(ends)]
    return [_along(shape, axis, each) for each in sizes]


def _few(count: int) -> int:
    """A number of outputs within the limit."""
    if count > MAX_OUTPUTS:
        raise ValueError
    return count


@_rule("Unstack")
def _unstacked(call: _Call) -> list[Shape]:
    axis = call.axis(2, 0)
    count: Any = call.option("num", 1) or call.tensor[axis]
    return [_along(call.tensor, axis)] * _few(count)


@_rule("GetItem")
def _item(call: _Call) -> Shape:
    """``x[key]``: slices are mappings of start, stop and step, an ellipsis is the text "..."."""
    shape = call.tensor
    given = call.option("key", 1)
    keys = given if isinstance(given, list) else [given]
    taken = sum(key not in (None, "...") for key in keys)
    if "..." not in keys:
        keys = [*keys, "..."]
    found: list[int | None] = []
    axis = 0
    for key in keys:
        if key is None:
            found.append(1)
            continue
        if key == "...":
            rest = len(shape) - taken
            found += shape[axis : axis + rest]
            axis += rest
            continue
        size = shape[axis]
        axis += 1
        if isinstance(key, dict):
            bounds = slice(key["start"], key["stop"], key["step"])
            found.append(None if size is None else len(range(*bounds.indices(size))))
        elif not isinstance(key, int):
            raise TypeError
        elif size is not None and not -size <= key < size:
            raise IndexError
    return tuple(found)


@_rule("Matmul")
def _product(call: _Call) -> Shape:
    one, two = [_shape_of(each) for each in call.values if isinstance(each, Tensor | list)][:2]
    if call.option("transpose_a", default=False):
        one = (*one[:-2], one[-1], one[-2])
    if call.option("transpose_b", default=False):
        two = (*two[:-2], two[-1], two[-2])
    if len(one) == 1:
        return (*two[:-2], two[-1])
    if len(two) == 1:
        return one[:-1]
    batch = _broadcast(_Call([Tensor(one[:-2]), Tensor(two[:-2])], {}))
    return (*batch, one[-2], two[-1])


@_rule("Einsum")
def _einsum(call: _Call) -> Shape:
    subscripts = call.option("subscripts", 0).replace(" ", "")
    before, _, output = subscripts.partition("->")
    sizes: dict[str, int | None] = {}
    dots: Shape = ()
    for letters, shape in zip(before.split(","), call.tensors, strict=True):
        front, has_dots, back = letters.partition("...")
        if has_dots:
            dots = shape[len(front) : len(shape) - len(back)]
        ends = (*shape[: len(front)], *shape[len(shape) - len(back) :]) if has_dots else shape
        for letter, size in zip(front + back, ends, strict=True):
            sizes[letter] = size if sizes.get(letter) is None else sizes[letter]
    front, has_dots, back = output.partition("...")
    middle = dots if has_dots else ()
    return (*(sizes[c] for c in front), *middle, *(sizes[c] for c in back))


@_rule("Pad")
def _padded(call: _Call) -> Shape:
    shape = call.tensor
    width = call.option("pad_width", 1)
    if isinstance(width, int):
        width = [[width, width]]
    if len(width) == 1:
        width = width * len(shape)
    return tuple(
        None if size is None else size + before + after
        for size, (before, after) in zip(shape, width, strict=True)
    )


@_rule("Repeat")
def _repeated(call: _Call) -> Shape:
    shape, repeats = call.tensor, call.option("repeats", 1)
    if call.option("axis", 2) is None:
        return (None if None in shape else math.prod(shape) * repeats,)  # type: ignore[arg-type]
    axis = call.axis(2)
    size = shape[axis]
    along = sum(repeats) if isinstance(repeats, list) else None if size is None else size * repeats
    return _along(shape, axis, along)


@_rule("Tile")
def _tiled(call: _Call) -> Shape:
    shape, given = call.tensor, call.option("repeats", 1)
    repeats = given if isinstance(given, list) else [given]
    pairs = list(zip_longest(reversed(shape), reversed(repeats), fillvalue=1))
    return tuple(None if size is None else size * times for size, times in reversed(pairs))


@_rule("BroadcastTo")
def _broadcast_to(call: _Call) -> Shape:
    return tuple(None if isinstance(size, Tensor) else size for size in call.option("shape", 1))


@_rule("Resize")
def _resized(call: _Call) -> Shape:
    shape, (height, width) = call.tensor, call.option("size", 1)
    if call.option("data_format") == "channels_first":
        return (*shape[:-2], height, width)
    return (*shape[:-3], height, width, shape[-1])


@_rule("OneHot")
def _one_hot(call: _Call) -> Shape:
    axis = call.axis(2, -1, more=1)
    return (*call.tensor[:axis], call.option("num_classes", 1), *call.tensor[axis:])


@_rule("Take")
def _taken(call: _Call) -> Shape:
    return _along(call.tensor, call.axis(2), *_shape_of(call.option("indices", 1)))


@_rule("TopK")
def _top(call: _Call) -> list[Shape]:
    return [(*call.tensor[:-1], call.option("k", 1))] * 2


@_rule("ShapeOf")
def _shape_of_tensor(call: _Call) -> Shape:
    """``tf.shape(x)``: one number for each axis."""
    return (len(call.tensor),)


@_rule("SizeOf")
def _number(call: _Call) -> Shape:
    return ()


@_rule("Ravel")
def _ravelled(call: _Call) -> Shape:
    return (None if None in call.tensor else math.prod(call.tensor),)  # type: ignore[arg-type]
