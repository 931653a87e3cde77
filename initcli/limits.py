"""Limits of what is read and drawn, so that no input hangs a machine or takes all its memory.

Each limit has a name, and whoever trusts an input can raise it: on the command line with
``--limit NAME=N``, and in Python so:

>>> from initcli.limits import in_force, limited
>>> in_force().extended_files
20
>>> with limited(extended_files=50):
...     in_force().extended_files
50
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import msgspec

from initcli.errors import InitcliError, did_you_mean, listed, quoted


class InvalidLimit(InitcliError):
    """A limit that there is not, or a number that it cannot be."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much is accepted of each thing, at most.

    :data:`HIGHEST` says up to where each can be raised.
    """

    file_bytes: int = 8 * 2**20
    """Bytes of a spec, or of the configuration in a .keras file."""
    archive_bytes: int = 16 * 2**30
    """Bytes of a .keras file that comes through standard input."""
    input_bytes: int = 4 * 2**30
    """Bytes of the arrays that ``--input`` reads."""
    nesting: int = 100
    """Mappings and lists inside one another."""
    values: int = 250_000
    """Values of a spec, every alias counted as all that it stands for."""
    digits: int = 200
    """Digits of a whole number."""
    extended_files: int = 20
    """Specs that extend one another."""
    name_characters: int = 200
    """Characters of a layer's name."""
    layers: int = 20_000
    """Layers of a model, every repetition and every further call counted."""
    inputs: int = 1_000
    """Inputs of one layer, and outputs of a model."""
    positions: int = 12_000_000
    """Positions, such as pixels or tokens of an example, that the signal has in all tensors
    together; each takes some 120 bytes."""
    weights: int = 10**13
    """Weights that are drawn; so many take a day on a hundred cores."""
    errors: int = 100
    """Errors of a spec that are looked for before the rest of it is left alone."""


HIGHEST = Limits(
    file_bytes=2**32,
    archive_bytes=2**50,
    input_bytes=2**50,
    nesting=150,  # what is nested is gone through by functions that call themselves
    values=10**9,
    digits=4300,  # Python's own limit for a text that becomes a whole number
    extended_files=100,
    name_characters=10_000,
    layers=10**8,
    inputs=10**6,
    positions=10**12,
    weights=2**62,
    errors=10**9,
)
"""Up to where each limit can be raised."""

_CURRENT: ContextVar[Limits] = ContextVar("limits")
_DEFAULT = Limits()


def in_force() -> Limits:
    """The limits that hold here: those of the innermost :func:`limited`, or else the defaults."""
    return _CURRENT.get(_DEFAULT)


@contextmanager
def limited(**changes: int) -> Iterator[Limits]:
    """Other limits within a ``with``; those that are not named stay as they are.

    Raises:
        InvalidLimit: there is no limit of that name, or it cannot be that number.

    >>> import initcli
    >>> with initcli.limited(name_characters=300) as limits:
    ...     limits.name_characters
    300
    """
    for name, value in changes.items():
        _check(name, value)
    token = _CURRENT.set(msgspec.structs.replace(in_force(), **changes))
    try:
        yield in_force()
    finally:
        _CURRENT.reset(token)


def from_options(texts: Iterable[str]) -> dict[str, int]:
    """What ``--limit NAME=N`` says, each time it is given, as :func:`limited` takes it.

    N is a whole number, which may be written as ``1e14``.

    Raises:
        InvalidLimit: a text has another form, or there is no such limit or number.
    """
    changes: dict[str, int] = {}
    for text in texts:
        name, _, number = text.partition("=")
        found = _NUMBER.match(number.strip())
        if found is None:
            raise InvalidLimit(
                f"--limit takes NAME=N, such as layers=200000, not {quoted(text)}\n"
                f"  = the names are {listed(Limits.__struct_fields__, 'and')}"
            )
        name, value = name.strip(), int(found[1]) * 10 ** int(found[2] or 0)
        _check(name, value)
        changes[name] = value
    return changes


_NUMBER = re.compile(r"([0-9]{1,30})(?:[eE]\+?([0-9]{1,2}))?\Z")


def remedy(name: str, needed: int | None = None) -> str:
    """What to write where the limit of that name is exceeded, by ``needed`` if that is known."""
    now, highest = getattr(in_force(), name), getattr(HIGHEST, name)
    if now >= highest or (needed or 0) > highest:
        return f"the limit {name} is {now:,}, and it can be raised to {highest:,} at most"
    return f"--limit {name}={needed or min(2 * now, highest)} raises it"


def _check(name: str, value: Any) -> None:
    highest: Mapping[str, int] = msgspec.structs.asdict(HIGHEST)
    if name not in highest:
        hint = did_you_mean(name, highest) or f"there are {listed(highest, 'and')}"
        raise InvalidLimit(f"there is no limit {quoted(name)}", hint)
    if type(value) is not int or not 1 <= value <= highest[name]:
        raise InvalidLimit(
            f"the limit {name} is a whole number from 1 to {highest[name]:,}, not {quoted(value)}"
        )
