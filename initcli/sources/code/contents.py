"""Contents of recorded tensors: distributions or known values, and arithmetic on them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import count
from statistics import NormalDist
from typing import Any, NamedTuple

import msgspec
import numpy as np

from initcli.distributions import Distribution, Image
from initcli.distributions.image import FUNCTIONS, Postfix, composed, is_monotone
from initcli.initializers import (
    Constant,
    Initializer,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    given,
)
from initcli.initializers.base import Undrawn
from initcli.initializers.given import Mapped, Uninitialized, Unknown, Values
from initcli.types import Array, Size

MAX_COMPUTED = 1 << 22
"""Maximum number of entries of a tensor whose values are computed."""
SIGNS = Unknown(operation="sign")
"""Random signs."""
UNARY = frozenset(name for name, (arguments, _) in FUNCTIONS.items() if arguments == 1)
"""Elementwise operations of one argument that :func:`mapped` follows."""
_NEVER = 8.0
"""Standard deviations that a normal number exceeds less than once in 10¹⁵ draws."""
_MAX_TOKENS = 64
"""Maximum length of a function of a draw."""
_ITSELF: Postfix = ("x",)
_draws = count(1)


class Computed(NamedTuple):
    """Entries that do not depend on random numbers, as an array of the framework."""

    values: Any


Content = Initializer | Computed
"""The content of entries: draws of an initializer, which may be unknown, or computed values."""


Box = tuple[slice, ...]
"""The entries of a tensor within a range of indices for each axis."""


class Part(NamedTuple):
    """A box of a tensor and its content."""

    box: Box
    content: Content


def whole(shape: Size) -> Box:
    """The box of all entries."""
    return tuple(slice(0, length) for length in shape)


def lengths(box: Box) -> Size:
    """The shape of a box."""
    return tuple(each.stop - each.start for each in box)


def is_random(content: Content) -> bool:
    """Whether entries depend on random numbers, or are unknown."""
    return not isinstance(content, Computed | Constant)


def unknown(contents: Sequence[Content], operation: str) -> Content:
    """The unknown result of an operation; that of an unknown content is this content."""
    undrawn = [each for each in contents if isinstance(each, Undrawn)]
    undrawn.sort(key=lambda each: not isinstance(each, Uninitialized))
    return undrawn[0] if undrawn else Unknown(operation=operation)


def filled(parts: Sequence[Part], shape: Size) -> Initializer:
    """The initializer of a tensor with these parts, whose computed values are NumPy arrays."""
    if len(parts) == 1:
        return _initializer(parts[0].content, shape)
    boxes = (
        given.Box(
            starts=tuple(each.start for each in box),
            stops=tuple(each.stop for each in box),
            initializer=_initializer(content, lengths(box)),
        )
        for box, content in parts
    )
    return given.Parts(boxes=tuple(boxes))


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
    return _finished(content) if isinstance(content, Mapped) else content


def reshaped(content: Content, old: Size, new: Size) -> Content:
    """The content of the same entries in another shape, in any order.

    The distribution of an orthogonal matrix depends on its longer side. It stays known if the new
    shape is that of a matrix with the same longer side.
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


def draw_of(initializer: Initializer, origins: Sequence[int] = ()) -> Mapped:
    """New draws of an initializer, which depend on the draws ``origins``, by default on none."""
    draw = next(_draws)
    return Mapped(drawn=initializer, function=_ITSELF, draw=draw, origins=tuple(origins) or (draw,))


def plain(content: Content) -> Content:
    """The content, with a·x + b of a draw x as an initializer with other arguments."""
    return _plain(content) if isinstance(content, Mapped) else content


def _plain(content: Mapped) -> Initializer:
    line = _line(content.function)
    if line is None:
        return content
    return _scaled(content.drawn, *line) if line[0] else Constant(value=line[1])


def arithmetic(operation: str, one: Content | float, two: Content | float) -> Content:
    """The content of elementwise add, sub, mul or div; one of the operands is a content."""
    if isinstance(one, float):
        assert not isinstance(two, float)
        if operation == "sub":
            return scaled(two, -1.0, one)
        if operation == "div":
            return scaled(mapped(two, "reciprocal"), one, 0.0)
        one, two = two, one
    if isinstance(two, float):
        match operation:
            case "add":
                return scaled(one, 1.0, two)
            case "sub":
                return scaled(one, 1.0, -two)
            case "mul":
                return scaled(one, two, 0.0)
        return scaled(one, 1 / two, 0.0) if two else unknown([one], operation)
    if operation == "mul":
        for other, sign in ((one, two), (two, one)):
            if isinstance(other, Orthogonal) and are_signs(sign):
                return other
    return _combined(operation, one, two)


def scaled(content: Content, factor: float, shift: float) -> Content:
    """The content of factor · x + shift."""
    if isinstance(content, Computed):
        return Computed(content.values * factor + shift)
    if not isinstance(content, Mapped):
        return _scaled(content, factor, shift)
    line = _line(content.function)
    if line is not None:
        function = _line_of(line[0] * factor, line[1] * factor + shift)
        return msgspec.structs.replace(content, function=function)
    function = content.function
    if factor == -1:
        function = composed("neg", function)
    elif factor != 1:
        function = composed("mul", (factor,), function)
    if shift:
        function = composed("add" if shift > 0 else "sub", function, (abs(shift),))
    return _followed(content, function)


def _scaled(content: Initializer, factor: float, shift: float) -> Initializer:
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
    return Unknown(operation="arithmetic")


def mapped(content: Content, operation: str, *arguments: float) -> Content:
    """The content of an elementwise function, which may have numbers as further arguments."""
    if not isinstance(content, Mapped):
        return unknown([content], operation)
    others = [(number,) for number in arguments]
    return _followed(content, composed(operation, content.function, *others))


def _combined(operation: str, one: Content, two: Content) -> Content:
    sign = {"add": 1.0, "sub": -1.0}.get(operation)
    if not isinstance(one, Mapped) or not isinstance(two, Mapped):
        return unknown([one, two], operation)
    if one.draw == two.draw:
        first, second = _line(one.function), _line(two.function)
        if sign and first and second:
            function = _line_of(first[0] + sign * second[0], first[1] + sign * second[1])
        else:
            function = composed(operation, one.function, two.function)
        return _followed(one, function)
    if sign and not set(one.origins) & set(two.origins):
        match plain(one), plain(two):
            case RandomNormal(mean=a, stddev=s), RandomNormal(mean=b, stddev=t):
                total = RandomNormal(mean=a + sign * b, stddev=math.hypot(s, t))
                return draw_of(total, one.origins + two.origins)
    return Unknown(operation=operation)


def _line(function: Postfix) -> tuple[float, float] | None:
    """The coefficients a and b of a·x + b; None for another function."""
    match function:
        case ("x",):
            return 1.0, 0.0
        case ("x", float(factor), "mul", float(shift), "add"):
            return factor, shift
    return None


def _line_of(factor: float, shift: float) -> Postfix:
    is_itself = (factor, shift) == (1.0, 0.0)
    return _ITSELF if is_itself else ("x", float(factor), "mul", float(shift), "add")


def _followed(content: Mapped, function: Postfix) -> Initializer:
    """The content of another function of the same draw."""
    if len(function) > _MAX_TOKENS:
        return Unknown(operation="many operations")
    return msgspec.structs.replace(content, function=function)


def _finished(content: Mapped) -> Initializer:
    """The initializer of a function of draws; unknown if the function is not monotone."""
    found = _plain(content)
    if not isinstance(found, Mapped):
        return found
    drawn, function = found.drawn, found.function
    forms = {function[at : at + 5] for at, each in enumerate(function) if each == "x"}
    for form in forms:
        line = _line(form)
        if line is not None and len(forms) == 1:
            # The function depends on x only through a·x + b.
            drawn, function = _scaled(drawn, *line), _replaced(function, form, _ITSELF)
        elif line is not None:
            function = _replaced(function, form, _shown(*line))
    base = drawn.distribution_for((1,))
    assert base is not None
    if not is_monotone(function, base) or not math.isfinite(Image(base, function).std):
        return Unknown(operation=next(_turning(function, base), str(function[-1])))
    return Mapped(drawn=drawn, function=function)


def _replaced(function: Postfix, form: Postfix, by: Postfix) -> Postfix:
    """The function with another one in place of ``form``."""
    rest = list(function)
    for at in reversed(range(len(rest))):
        if function[at : at + len(form)] == form:
            rest[at : at + len(form)] = by
    return tuple(rest)


def _shown(factor: float, shift: float) -> Postfix:
    """a·x + b without coefficients of 0 and 1."""
    if factor == -1:
        return (shift, "x", "sub") if shift else ("x", "neg")
    product: Postfix = ("x",) if factor == 1 else (factor, "x", "mul")
    return (*product, abs(shift), "add" if shift > 0 else "sub") if shift else product


def _turning(function: Postfix, base: Distribution) -> Iterator[str]:
    """The operations that are not monotone in x, the innermost first."""
    stack: list[Postfix] = []
    for each in function:
        if each in FUNCTIONS:
            count = FUNCTIONS[str(each)][0]
            part = (*(token for argument in stack[-count:] for token in argument), each)
            stack[-count:] = [part]
            if "x" in part and not is_monotone(part, base):
                yield str(each)
        else:
            stack.append((each,))


def are_alike(contents: Sequence[Content]) -> bool:
    """Whether contents have the same distribution."""
    first, *others = (
        msgspec.structs.replace(each, draw=0, origins=()) if isinstance(each, Mapped) else each
        for each in map(plain, contents)
    )
    # Two computed values would be compared entry by entry.
    return not isinstance(first, Computed) and all(
        not isinstance(each, Computed) and each == first for each in others
    )


def joined(contents: Sequence[Content]) -> Content:
    """The content of a tensor made of parts with the same distribution."""
    origins = dict.fromkeys(
        origin for each in contents if isinstance(each, Mapped) for origin in each.origins
    )
    first = contents[0]
    if isinstance(first, Mapped):
        first = msgspec.structs.replace(first, origins=tuple(origins))
    return moved(first)


def moved(content: Content) -> Content:
    """The content of entries after a move, which are no longer aligned with their draw."""
    if isinstance(content, Mapped):
        return msgspec.structs.replace(content, draw=next(_draws))
    return content


def clamped(content: Content, low: float, high: float) -> Content:
    """The content of min(max(x, low), high); known if the bounds only cut off rounding errors."""
    found = _finished(content) if isinstance(content, Mapped) else content
    match found:
        case RandomUniform(minval=least, maxval=greatest):
            tolerance = 1e-6 * (greatest - least)
        case TruncatedNormal():
            least, greatest = found.distribution_for((1,)).support
            tolerance = 0.01 * (greatest - least)
        case RandomNormal(mean=mean, stddev=std):
            least, greatest = mean - _NEVER * std, mean + _NEVER * std
            tolerance = 0.0
        case Mapped():
            distribution = found.distribution_for((1,))
            assert distribution is not None
            least, greatest = distribution.support
            tolerance = 1e-6 * distribution.std
        case _:
            return unknown([found], "clamp")
    if low > least + tolerance or high < greatest - tolerance:
        return Unknown(operation="clamp")
    if isinstance(found, TruncatedNormal) and found.stddev:
        # The bounds of the clamp are exact; those of the distribution are rounded.
        lower, upper = (
            (bound - found.mean) / found.stddev if abs(bound - end) < tolerance else None
            for bound, end in ((low, least), (high, greatest))
        )
        clipped = msgspec.structs.replace(
            found,
            lower=found.lower if lower is None else lower,
            upper=found.upper if upper is None else upper,
        )
        return _redrawn(content, clipped)
    return content


def erfinv(content: Content) -> Content:
    """√2 · erfinv of a uniform number is a truncated standard normal one."""
    match plain(content):
        case RandomUniform(minval=low, maxval=high) if -1.01 < low < high < 1.01:
            # Rounding moves a bound beyond ±1, by up to 2⁻⁸ in bfloat16.
            if max(-low, high) >= 1 and min(-low, high) > 0.99:
                return _redrawn(content, RandomNormal(stddev=math.sqrt(0.5)))
            lower, upper = _standard(low), _standard(high)
            drawn = TruncatedNormal(stddev=math.sqrt(0.5), lower=lower, upper=upper)
            return _redrawn(content, drawn)
    return unknown([content], "erfinv")


def _redrawn(content: Content, initializer: Initializer) -> Content:
    """Draws of an initializer that depend on those of a content."""
    return draw_of(initializer, content.origins if isinstance(content, Mapped) else ())


def signs(content: Content) -> Content:
    """The content of the sign of each entry."""
    return mapped(content, "sign") if isinstance(content, Mapped) else SIGNS


def are_signs(content: Content) -> bool:
    """Whether entries are random signs."""
    return content == SIGNS or (isinstance(content, Mapped) and content.function[-1] == "sign")


def _standard(u: float) -> float:
    """√2 · erfinv(u), limited to the range of normal numbers."""
    size = min(_NEVER, NormalDist().inv_cdf((1 + abs(u)) / 2)) if abs(u) < 1 - 1e-15 else _NEVER
    return math.copysign(size, u)
