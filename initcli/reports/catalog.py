"""The catalog: every layer, initializer, activation and check, from the classes themselves."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import msgspec

from initcli.activations import known_activations
from initcli.errors import NotInCatalog, did_you_mean, quoted
from initcli.initializers import known_initializers
from initcli.layers import Layer, known_layers
from initcli.reports.record import Rows, doc, record, rows_of
from initcli.sources.describe import describe, written
from initcli.sources.foreign import called_here
from initcli.types import arguments_of


class Argument(msgspec.Struct, frozen=True):
    """One argument of a layer, an initializer or an activation."""

    name: Annotated[str, doc("Name of the argument.")]
    description: Annotated[str, doc("Meaning, with unit and range.")]
    takes: Annotated[str, doc("Values that it takes, in words.")]
    required: Annotated[bool, doc("Whether it must be given.")]
    default: Annotated[Any, doc("Default, as a spec writes it.")] = None


class Thing(msgspec.Struct, frozen=True):
    """A layer, an initializer, an activation or a check."""

    kind: Annotated[str, doc("layer, initializer, activation or check.")]
    name: Annotated[str, doc("Name; the code of a check.")]
    aliases: Annotated[tuple[str, ...], doc("Other names.")]
    text: Annotated[str, doc("Documentation.")]
    arguments: Annotated[tuple[Argument, ...], doc("Arguments.")]

    @property
    def title(self) -> str:
        """The first line of the text."""
        return self.text.partition("\n")[0].replace("``", "`")

    @property
    def own_arguments(self) -> list[Argument]:
        """The arguments except those that all layers have, the required ones first."""
        general = Layer.__struct_fields__ if self.kind == "layer" else ()
        own = (argument for argument in self.arguments if argument.name not in general)
        return sorted(own, key=lambda argument: not argument.required)


class CatalogReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a spec can name, and every check."""

    layers: Annotated[tuple[Thing, ...], doc("Layers.")]
    initializers: Annotated[tuple[Thing, ...], doc("Initializers.")]
    activations: Annotated[tuple[Thing, ...], doc("Activations.")]
    checks: Annotated[tuple[Thing, ...], doc("Checks.")]

    @classmethod
    def of(cls, things: Iterable[Thing]) -> CatalogReport:
        """The report on the given entries."""
        kinds: dict[str, list[Thing]] = {name: [] for name in cls.__struct_fields__}
        for thing in things:
            kinds[f"{thing.kind}s"].append(thing)
        return cls(**{name: tuple(kind) for name, kind in kinds.items()})


class ThingRow(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the catalog as a row."""

    kind: Annotated[str, doc("layer, initializer, activation or check.")]
    name: Annotated[str, doc("Name; the code of a check.")]
    aliases: Annotated[tuple[str, ...], doc("Other names.")]
    arguments: Annotated[tuple[str, ...], doc("Names of its own arguments.")]
    title: Annotated[str, doc("First line of the documentation.")]


def catalog_rows(things: Sequence[Thing]) -> Rows:
    """One row per entry."""
    names = ((each, tuple(argument.name for argument in each.own_arguments)) for each in things)
    rows = (record(ThingRow, each, arguments=arguments) for each, arguments in names)
    return rows_of(ThingRow, rows, {})


def catalog() -> list[Thing]:
    """Everything that a spec can name, and every check, by kind and name."""
    return [*_registered(), *_checks()]


def matching(name: str) -> list[Thing]:
    """Every entry of that name or alias, in upper or lower case.

    What PyTorch, Flax or JAX call so comes first, as ``Dense`` for ``Linear``.

    Raises:
        NotInCatalog: there is none.
    """
    things: list[Thing] = []
    for more in (_registered, _checks):
        things += more()
        for form in (str, str.lower):
            matches = [t for t in things if form(name) in map(form, (t.name, *t.aliases))]
            if matches:
                return [*(t for t in things if t.name in called_here(name)), *matches]
    if foreign := [thing for thing in things if thing.name in called_here(name)]:
        return foreign
    names = [each for thing in things for each in (thing.name, *thing.aliases)]
    remedy = did_you_mean(name, names) or "`initcli catalog` lists all names"
    raise NotInCatalog(f"nothing is called {quoted(name)}", remedy)


def _registered() -> list[Thing]:
    """Everything that a spec can name."""
    kinds = (
        _things("layer", known_layers()),
        _things("initializer", known_initializers()),
        _things("activation", known_activations()),
    )
    return [thing for kind in kinds for thing in sorted(kind, key=lambda each: each.name.lower())]


def _checks() -> list[Thing]:
    """The checks, imported only when needed."""
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
