"""What there is: every layer, initializer, activation and check, from the classes themselves."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from initcli.activations import known_activations
from initcli.errors import NotInCatalog, did_you_mean, quoted
from initcli.initializers import known_initializers
from initcli.layers import known_layers
from initcli.sources.describe import describe, written
from initcli.types import arguments_of


@dataclass(frozen=True)
class Argument:
    """One argument: the values it takes in words, and its default as a spec writes it."""

    name: str
    description: str
    takes: str
    required: bool
    default: Any = None


@dataclass(frozen=True)
class Thing:
    """A layer, an initializer, an activation or a check, with what its documentation says."""

    kind: str
    name: str
    aliases: tuple[str, ...]
    text: str
    arguments: tuple[Argument, ...]

    @property
    def title(self) -> str:
        """The first line of the text."""
        return self.text.partition("\n")[0]


def catalog() -> list[Thing]:
    """Everything that a spec can name, and every check, by kind and in alphabetical order."""
    return [*_spoken(), *_checks()]


def matching(name: str) -> list[Thing]:
    """What goes by that name, however it is written.

    Raises:
        NotInCatalog: nothing does.
    """
    things: list[Thing] = []
    for more in (_spoken, _checks):
        things += more()
        for form in (str, str.lower):
            found = [t for t in things if form(name) in map(form, (t.name, *t.aliases))]
            if found:
                return found
    names = [each for thing in things for each in (thing.name, *thing.aliases)]
    remedy = did_you_mean(name, names) or "`initcli catalog` lists all there is"
    raise NotInCatalog(f"nothing is called {quoted(name)}", remedy)


def _spoken() -> list[Thing]:
    """What a spec can name."""
    kinds = (
        _things("layer", known_layers()),
        _things("initializer", known_initializers()),
        _things("activation", known_activations()),
    )
    return [thing for kind in kinds for thing in sorted(kind, key=lambda each: each.name.lower())]


def _checks() -> list[Thing]:
    """The checks, which are imported only when they are asked for."""
    from initcli.checks import known_checks

    return [
        Thing("check", code, (rule.name,), rule.text(), ()) for code, rule in known_checks().items()
    ]


def _things(kind: str, known: dict[str, type[Any]]) -> Iterable[Thing]:
    names: dict[type[Any], list[str]] = {}
    for name, cls in known.items():
        names.setdefault(cls, []).append(name)
    for cls, (first, *aliases) in names.items():
        text = inspect.cleandoc(cls.__doc__ or "")
        yield Thing(kind, first, tuple(aliases), text, tuple(_arguments(cls)))


def _arguments(cls: type[msgspec.Struct]) -> Iterable[Argument]:
    for argument in arguments_of(cls):
        yield Argument(
            argument.name,
            argument.description,
            describe(argument.type),
            argument.required,
            written(argument.default),
        )
