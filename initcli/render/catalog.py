"""The catalog as text for people, as JSON, and as rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from initcli.layers import Layer
from initcli.render.rows import Rows
from initcli.reports.catalog import Argument, Thing


def catalog_page(things: Sequence[Thing]) -> RenderableType:
    """One paragraph each: the name with its arguments, and the first line of what it is.

    A single thing is shown whole, with each argument on a line of its own.
    """
    if len(things) == 1:
        if things[0].kind == "check":
            from initcli.checks import known_checks
            from initcli.render.findings import explanation

            return explanation(known_checks()[things[0].name])
        return _whole(things[0])
    rows: list[RenderableType] = []
    for kind, group in groupby(things, key=lambda thing: thing.kind):
        listed = list(group)
        also = "; each also takes name, trainable and dtype" if kind == "layer" else ""
        rows.append(Text.assemble((f"{len(listed)} {kind}s", "bold"), (also, "dim")))
        for thing in listed:
            shown = ", ".join(map(_short, _ordered(thing)))
            call = Text.assemble((thing.name, "cyan"), f"({shown})" if shown else "")
            rows.append(Padding(call, (0, 0, 0, 2)))
            rows.append(Padding(Text(thing.title.replace("``", "`"), "dim"), (0, 0, 0, 6)))
    return Group(*rows)


def catalog_json(things: Sequence[Thing]) -> str:
    """The catalog as one JSON object: a list for each kind."""
    found: dict[str, list[dict[str, Any]]] = {
        kind: [] for kind in ("layers", "initializers", "activations", "checks")
    }
    for thing in things:
        entry = asdict(thing)
        found[f"{entry.pop('kind')}s"].append(entry)
    return json.dumps(found)


def catalog_rows(things: Sequence[Thing]) -> Rows:
    """One row a thing."""
    rows = (
        {
            "kind": thing.kind,
            "name": thing.name,
            "aliases": " ".join(thing.aliases),
            "arguments": " ".join(argument.name for argument in _ordered(thing)),
            "title": thing.title.replace("``", "`"),
        }
        for thing in things
    )
    return Rows(("kind", "name", "aliases", "arguments", "title"), rows)


def _whole(thing: Thing) -> RenderableType:
    rows: list[RenderableType] = [Text.assemble((thing.name, "cyan"), f"  {thing.kind}")]
    if thing.aliases:
        rows.append(Text(f"also {', '.join(thing.aliases)}", "dim"))
    for paragraph in thing.text.replace("``", "`").split("\n\n"):
        rows += [Text(""), Text(" ".join(paragraph.split()))]
    if thing.arguments:
        rows.append(Text(""))
    for argument in _ordered(thing, general=True):
        default = "required" if argument.required else f"default {_spec(argument.default)}"
        line = Text.assemble((argument.name, "bold"), f"  {argument.takes}; ", (default, "dim"))
        rows.append(Padding(line, (0, 0, 0, 2)))
        rows.append(Padding(Text(argument.description), (0, 0, 0, 6)))
    return Group(*rows)


def _ordered(thing: Thing, general: bool = False) -> list[Argument]:
    """The arguments, what is required first; and what all layers take where it is wanted."""
    shown = [a for a in thing.arguments if general or a.name not in _GENERAL[thing.kind]]
    return sorted(shown, key=lambda argument: not argument.required)


_GENERAL = {"layer": Layer.__struct_fields__, "initializer": (), "activation": (), "check": ()}


def _short(argument: Argument) -> str:
    if argument.required:
        return argument.name
    return f"{argument.name}={_spec(argument.default)}"


def _spec(value: Any) -> str:
    """A value as a spec would write it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {_spec(v)}" for k, v in value.items()) + "}"
    return value if isinstance(value, str) else json.dumps(value)
