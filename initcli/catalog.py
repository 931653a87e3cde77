"""What there is: every layer, initializer, activation and check, from the classes themselves."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from initcli.activations import Activation, known_activations
from initcli.checks import known_checks
from initcli.errors import NotInCatalog, did_you_mean, quoted
from initcli.initializers import Initializer, known_initializers
from initcli.layers import known_layers
from initcli.spec.describe import describe
from initcli.types import field_names, snake_case


@dataclass(frozen=True)
class Argument:
    """One argument: the values it takes in words, and its default as a spec would write it."""

    name: str
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
    found = [
        *_things("layer", known_layers()),
        *_things("initializer", known_initializers()),
        *_things("activation", known_activations()),
        *(
            Thing("check", code, (check.name,), check.text(), ())
            for code, check in known_checks().items()
        ),
    ]
    order = {"layer": 0, "initializer": 1, "activation": 2, "check": 3}
    return sorted(found, key=lambda thing: (order[thing.kind], thing.name.lower()))


def matching(name: str) -> list[Thing]:
    """What goes by that name, however it is written.

    Raises:
        NotInCatalog: nothing does.
    """
    things = catalog()
    for form in (str, str.lower):
        found = [t for t in things if form(name) in map(form, (t.name, *t.aliases))]
        if found:
            return found
    names = [each for thing in things for each in (thing.name, *thing.aliases)]
    raise NotInCatalog(f"nothing is called {quoted(name)}", did_you_mean(name, names))


def _things(kind: str, known: dict[str, type[Any]]) -> Iterable[Thing]:
    names: dict[type[Any], list[str]] = {}
    for name, cls in known.items():
        names.setdefault(cls, []).append(name)
    for cls, (first, *aliases) in names.items():
        text = inspect.cleandoc(cls.__doc__ or "")
        yield Thing(kind, first, tuple(aliases), text, tuple(_arguments(cls)))


def _arguments(cls: type[msgspec.Struct]) -> Iterable[Argument]:
    fields = {field.name: field for field in msgspec.structs.fields(cls)}
    for attribute in field_names(cls):
        field = fields[attribute]
        takes = describe(field.type)
        default = None if field.required else _default(field)
        yield Argument(field.encode_name, takes, field.required, default)


def _default(field: msgspec.structs.FieldInfo) -> Any:
    """A default as a spec would write it."""
    if field.default is msgspec.NODEFAULT:
        return field.default_factory() if callable(field.default_factory) else None
    return _written(field.default)


def _written(value: Any) -> Any:
    if isinstance(value, Initializer):
        return {"type": value.type_name, **value.arguments} if _differs(value) else value.type_name
    if isinstance(value, Activation):
        return snake_case(type(value).__name__)
    return msgspec.to_builtins(value)


def _differs(value: msgspec.Struct) -> bool:
    """Whether a value has other arguments than its class's defaults."""
    return value != type(value)()
