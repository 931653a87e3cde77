"""Limits of what is read and drawn, so that no input hangs a machine or exhausts its memory.

A user raises a limit with ``--limit NAME=N``, a caller in Python with :func:`limited`. The bounds
below the limits are fixed: no honest input reaches them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Annotated, Any, get_type_hints

import msgspec
from msgspec import Meta

from initcli.errors import InitcliError, did_you_mean, listed, quoted

NESTING = 100
"""Depth of mappings and lists inside one another."""
DIGITS = 200
"""Digits of a whole number."""
NAME_CHARACTERS = 200
"""Characters of a name."""
INPUTS = 1_000
"""Inputs of one layer, and outputs of a model."""
EXTENDED_FILES = 20
"""Specs that extend one another."""
ARCHIVE_BYTES = 16 * 2**30
"""Bytes of a .keras file read from standard input."""


class InvalidLimit(InitcliError):
    """Unknown limit, or a value out of range."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The largest amounts that are accepted; ``le`` is the value up to which each can be raised."""

    file_bytes: Annotated[
        int, Meta(le=2**32, description="bytes of a spec, or of the configuration in a .keras file")
    ] = 8 * 2**20
    header_bytes: Annotated[
        int, Meta(le=2**32, description="bytes of what says where the tensors of a file lie")
    ] = 100_000_000
    unpacked_bytes: Annotated[
        int, Meta(le=2**50, description="bytes of packed tensors, when they are unpacked")
    ] = 16 * 2**30
    tensors: Annotated[int, Meta(le=10**8, description="tensors of a file")] = 1_000_000
    input_bytes: Annotated[
        int, Meta(le=2**50, description="bytes of the arrays that --input reads")
    ] = 4 * 2**30
    values: Annotated[
        int, Meta(le=10**9, description="values of a spec, with every alias expanded")
    ] = 250_000
    layers: Annotated[
        int, Meta(le=10**8, description="layers of a model, with repetitions and further calls")
    ] = 20_000
    positions: Annotated[
        int,
        Meta(
            le=10**12,
            description="pixels or tokens of an example in all tensors of the signal together",
        ),
    ] = 10**9
    memory: Annotated[
        int,
        Meta(le=2**50, description="bytes that the signal, measured or predicted, takes"),
    ] = 2 * 2**30
    weights: Annotated[
        int, Meta(le=2**62, description="weights to draw; the default takes 100 cores a day")
    ] = 10**13
    errors: Annotated[int, Meta(le=10**9, description="errors of a spec to report")] = 100


_DEFAULT = Limits()
_CURRENT: ContextVar[Limits] = ContextVar("limits", default=_DEFAULT)


def in_force() -> Limits:
    """The limits of the innermost :func:`limited`, or the defaults."""
    return _CURRENT.get()


@cache
def highest() -> dict[str, int]:
    """The value up to which each limit can be raised."""
    hints = get_type_hints(Limits, include_extras=True)
    return {name: hints[name].__metadata__[0].le for name in Limits.__struct_fields__}


@contextmanager
def limited(**changes: int) -> Iterator[Limits]:
    """Change limits within a ``with`` statement.

    Raises:
        InvalidLimit: unknown limit, or a value out of range.

    >>> import initcli
    >>> with initcli.limited(layers=50_000) as limits:
    ...     limits.layers
    50000
    """
    for name, value in changes.items():
        _check(name, value)
    token = _CURRENT.set(msgspec.structs.replace(in_force(), **changes))
    try:
        yield in_force()
    finally:
        _CURRENT.reset(token)


def from_options(texts: Iterable[str]) -> dict[str, int]:
    """The arguments of :func:`limited` that texts of the form ``NAME=N`` ask for.

    N is a whole number, also in the form ``1e14``.

    Raises:
        InvalidLimit: another form, an unknown limit, or a value out of range.
    """
    changes: dict[str, int] = {}
    for text in texts:
        name, _, number = (part.strip() for part in text.partition("="))
        match = re.fullmatch(r"([0-9]{1,30})(?:[eE]\+?([0-9]{1,2}))?", number)
        if match is None:
            raise InvalidLimit(
                f"--limit takes NAME=N, such as layers=200000, not {quoted(text)}",
                f"the names are {listed(Limits.__struct_fields__, 'and')}",
            )
        changes[name] = int(match[1]) * 10 ** int(match[2] or 0)
        _check(name, changes[name])
    return changes


def remedy(name: str, needed: int | None = None) -> str:
    """How to raise a limit that is exceeded, to ``needed`` if that is known."""
    now, bound = getattr(in_force(), name), highest()[name]
    if now >= bound or (needed or 0) > bound:
        return f"the limit {name} is {now:,}, and it can be raised to {bound:,} at most"
    return f"--limit {name}={needed or min(2 * now, bound)} raises it"


def _check(name: str, value: Any) -> None:
    if name not in highest():
        hint = did_you_mean(name, highest()) or f"the names are {listed(highest(), 'and')}"
        raise InvalidLimit(f"there is no limit {quoted(name)}", hint)
    if type(value) is not int or not 1 <= value <= highest()[name]:
        raise InvalidLimit(
            f"the limit {name} is a whole number from 1 to {highest()[name]:,}, not {quoted(value)}"
        )
