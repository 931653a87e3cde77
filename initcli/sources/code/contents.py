"""What the entries of a tensor are while code runs, and what arithmetic makes of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import count
from statistics import NormalDist
from typing import Any, NamedTuple

import msgspec
import numpy as np

from initcli.distributions.image import FUNCTIONS, Postfix, composed, is_monotone
from initcli.initializers import (
    Constant,
    Initializer,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
)
from initcli.initializers.base import Undrawn
from initcli.initializers.given import (
    Box,
    Mapped,
    Parts,
    Uninitialized,
    Unknown,
    Values,
)
from initcli.types import Array, Size

MAX_COMPUTED = 1 << 22
"""Maximum number of entries of a tensor whose values are computed."""
SIGNS = Unknown(operation="sign")
"""Random signs."""
UNARY = frozenset(name for name, (arguments, _) in FUNCTIONS.items() if arguments == 1)
"""Operations on each entry that :func:`mapped` follows."""
_NEVER = 8.0
"""Standard deviations beyond which a normal number comes less than once in 10¹⁵."""
_MAX_TOKENS = 64
"""Maximum length of a function of a draw."""
_draws = count(1)
STANDARD_NORMAL = RandomNormal(stddev=1.0)
STANDARD_UNIFORM = RandomUniform(minval=0.0, maxval=1.0)


class Computed(NamedTuple):
    """Entries that no random number decides: an array of the framework's."""

    values: Any


Content = Initializer | Computed
"""What entries hold: draws of an initializer, among them unknown ones, or computed values."""


class Part(NamedTuple):
    """A box of a tensor and its content."""

    box: tuple[slice, ...]
    content: Content


def whole(shape: Size) -> tuple[slice, ...]:
    """The box of all entries."""
    return tuple(slice(0, length) for length in shape)


def is_random(content: Content) -> bool:
    """Whether a random number or an earlier owner of the memory decides the entries."""
    return not isinstance(content, Computed | Constant)


def unknown(contents: Sequence[Content], operation: str) -> Content:
    """What an operation makes of contents that it does not keep; what was not written goes on."""
    undrawn = [each for each in contents if isinstance(each, Undrawn)]
    undrawn.sort(key=lambda each: not isinstance(each, Uninitialized))
    return undrawn[0] if undrawn else Unknown(operation=operation)


def filled(parts: Sequence[Part], shape: Size) -> Initializer:
    """The initializer of a tensor that was filled in parts, of which values are NumPy's."""
    if len(parts) == 1:
        return _initializer(parts[0].content, shape)
    boxes = []
    for box, content in parts:
        sizes = tuple(each.stop - each.start for each in box)
        boxes.append(
            Box(
                starts=tuple(each.start for each in box),
                stops=tuple(each.stop for each in box),
                initializer=_initializer(content, sizes),
            )
        )
    return Parts(boxes=tuple(boxes))


def _initializer(content: Content, shape: Size) -> Initializer:
    if isinstance(content, Computed):
        values: Array = np.asarray(content.values)
        if values.dtype.kind == "c":
            return Unknown(operation="complex numbers")
        if values.size and bool((values == values.flat[0]).all()):
            return Constant(value=float(values.flat[0]))
        return Values(numbers=np.broadcast_to(values, shape).astype(np.float64).tobytes())
    if isinstance(content, Orthogonal) and len(shape) < 2:
        return Unknown(operation="orthogonalization")
    if isinstance(content, Mapped):
        return msgspec.structs.replace(content, draw=0)
    return content


def reshaped(content: Content, old: Size, new: Size) -> Content:
    """The content of a tensor that shows entries of another shape, in any order.

    An entry of an orthogonal matrix depends on the longer of its sides, which must be that of a
    matrix that the new shape can be.
    """
    if not isinstance(content, Orthogonal) or old == new:
        return content
    size = math.prod(new)
    if size < math.prod(old):
        return Unknown(operation="slice of an orthogonal matrix")
    rows = content.row_axes or len(old) - 1
    side = max(math.prod(old[:rows]), math.prod(old[rows:]))
    for axes in range(len(new) - 1, 0, -1):
        if size and max(first := math.prod(new[:axes]), size // first) == side:
            row_axes = None if axes == len(new) - 1 else axes
            return msgspec.structs.replace(content, row_axes=row_axes)
    return Unknown(operation="reshape of an orthogonal matrix")


def scaled(content: Initializer, factor: float, shift: float) -> Initializer:
    """The initializer of factor · x + shift."""
    match content:
        case Constant(value=value):
            return Constant(value=value * factor + shift)
        case RandomNormal(mean=mean, stddev=std):
            return RandomNormal(mean=mean * factor + shift, stddev=std * abs(factor))
        case RandomUniform(minval=low, maxval=high):
            ends = sorted((low * factor + shift, high * factor + shift))
            return RandomUniform(minval=ends[0], maxval=ends[1])
        case TruncatedNormal(mean=mean, stddev=std, lower=low, upper=high):
            bounds = (-2.0 if low is None else low, 2.0 if high is None else high)
            if factor < 0:
                bounds = (-bounds[1], -bounds[0])
            return TruncatedNormal(
                mean=mean * factor + shift,
                stddev=std * abs(factor),
                lower=bounds[0],
                upper=bounds[1],
            )
        case Orthogonal(gain=gain) if shift == 0:
            return msgspec.structs.replace(content, gain=gain * abs(factor))
        case Undrawn():
            return content
        case Mapped(function=function):
            if factor == -1:
                function = composed("neg", function)
            elif factor != 1:
                function = composed("mul", (factor,), function)
            if shift:
                function = composed("add" if shift > 0 else "sub", function, (abs(shift),))
            return _followed(content, function, "arithmetic")
    return Unknown(operation="arithmetic")


def mapped(content: Content, operation: str) -> Content:
    """The content of a function, one of :data:`UNARY`, of each entry."""
    match content:
        case Mapped(function=function):
            return _followed(content, composed(operation, function), operation)
        case RandomNormal() | RandomUniform() | TruncatedNormal():
            start = Mapped(drawn=content, function=("x",), draw=next(_draws))
            return _followed(start, composed(operation, start.function), operation)
    return unknown([content], operation)


def combined(operation: str, one: Content, two: Content) -> Content:
    """The content of add, sub, mul or div of two tensors, entry by entry."""
    match one, two:
        case Mapped(draw=first), Mapped(draw=second) if first == second:
            return _followed(one, composed(operation, one.function, two.function), operation)
    return unknown([one, two], operation)


def _followed(content: Mapped, function: Postfix, operation: str) -> Initializer:
    """The content of another function of a draw, if that is monotone."""
    base = content.drawn.distribution_for((1,))
    if base is None or len(function) > _MAX_TOKENS or not is_monotone(function, base):
        return Unknown(operation=operation)
    return msgspec.structs.replace(content, function=function)


def are_alike(contents: Sequence[Content]) -> bool:
    """Whether contents have one distribution, each with draws of its own."""
    first, *others = (
        msgspec.structs.replace(each, draw=0) if isinstance(each, Mapped) else each
        for each in contents
    )
    # Two computed values would be compared entry by entry.
    return not isinstance(first, Computed) and all(
        not isinstance(each, Computed) and each == first for each in others
    )


def moved(content: Content) -> Content:
    """The content of entries in other places, which meet no others of the same draw any more."""
    if isinstance(content, Mapped):
        return msgspec.structs.replace(content, draw=next(_draws))
    return content


def clamped(content: Content, low: float, high: float) -> Content:
    """The content min(max(x, low), high), where bounds cut off rounding errors alone."""
    match content:
        case RandomUniform(minval=least, maxval=greatest):
            tolerance = 1e-6 * (greatest - least)
        case TruncatedNormal():
            least, greatest = content.distribution_for((1,)).support
            tolerance = 0.01 * (greatest - least)
        case RandomNormal(mean=mean, stddev=std) if low <= mean - _NEVER * std:
            return content if high >= mean + _NEVER * std else Unknown(operation="clamp")
        case Mapped():
            distribution = content.distribution_for((1,))
            assert distribution is not None
            least, greatest = distribution.support
            tolerance = 1e-6 * distribution.std
        case _:
            return unknown([content], "clamp")
    if low > least + tolerance or high < greatest - tolerance:
        return Unknown(operation="clamp")
    if isinstance(content, TruncatedNormal) and content.stddev:
        # The bounds of clamping are those that were asked for; rounding has moved the others.
        lower, upper = (
            (bound - content.mean) / content.stddev if abs(bound - end) < tolerance else None
            for bound, end in ((low, least), (high, greatest))
        )
        return msgspec.structs.replace(
            content,
            lower=content.lower if lower is None else lower,
            upper=content.upper if upper is None else upper,
        )
    return content


def erfinv(content: Content) -> Content:
    """√2 · erfinv of a uniform number is a truncated standard normal one."""
    match content:
        case RandomUniform(minval=low, maxval=high) if -1.01 < low < high < 1.01:
            # Rounding takes an end beyond ±1, as far as 2⁻⁸ in bfloat16.
            if max(-low, high) >= 1 and min(-low, high) > 0.99:
                return RandomNormal(stddev=math.sqrt(0.5))
            lower, upper = _standard(low), _standard(high)
            return TruncatedNormal(stddev=math.sqrt(0.5), lower=lower, upper=upper)
    return unknown([content], "erfinv")


def _standard(u: float) -> float:
    """√2 · erfinv(u), of a size that normal numbers have."""
    size = min(_NEVER, NormalDist().inv_cdf((1 + abs(u)) / 2)) if abs(u) < 1 - 1e-15 else _NEVER
    return math.copysign(size, u)
