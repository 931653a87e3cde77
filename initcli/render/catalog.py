"""The catalog as a page for the terminal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from initcli.reports.catalog import Argument, Thing

_FEW = 3


def catalog_page(things: Sequence[Thing]) -> RenderableType:
    """Each thing with its arguments and the first line of its documentation.

    A few things are shown with all of their documentation.
    """
    if len(things) <= _FEW:
        first, *others = map(_whole, things)
        return Group(first, *(part for each in others for part in (Text(""), each)))
    rows: list[RenderableType] = []
    for kind, group in groupby(things, key=lambda thing: thing.kind):
        listed = list(group)
        also = "; each also takes name, trainable and dtype" if kind == "layer" else ""
        rows.append(Text.assemble((f"{len(listed)} {kind}s", "bold"), (also, "dim")))
        for thing in listed:
            shown = ", ".join(map(_short, thing.own_arguments))
            call = Text.assemble((thing.name, "cyan"), f"({shown})" if shown else "")
            rows.append(Padding(call, (0, 0, 0, 2)))
            rows.append(Padding(Text(thing.title, "dim"), (0, 0, 0, 6)))
    return Group(*rows)


def _whole(thing: Thing) -> RenderableType:
    if thing.kind == "check":
        from initcli.checks import known_checks
        from initcli.render.findings import explanation

        return explanation(known_checks()[thing.name])
    rows: list[RenderableType] = [Text.assemble((thing.name, "cyan"), f"  {thing.kind}")]
    if thing.aliases:
        rows.append(Text(f"also {', '.join(thing.aliases)}", "dim"))
    for paragraph in thing.text.replace("``", "`").split("\n\n"):
        rows += [Text(""), Text(" ".join(paragraph.split()))]
    if thing.arguments:
        rows.append(Text(""))
    for argument in sorted(thing.arguments, key=lambda argument: not argument.required):
        default = "required" if argument.required else f"default {_spec(argument.default)}"
        line = Text.assemble((argument.name, "bold"), f"  {argument.takes}; ", (default, "dim"))
        rows.append(Padding(line, (0, 0, 0, 2)))
        rows.append(Padding(Text(argument.description), (0, 0, 0, 6)))
    return Group(*rows)


def _short(argument: Argument) -> str:
    if argument.required:
        return argument.name
    return f"{argument.name}={_spec(argument.default)}"


def _spec(value: Any) -> str:
    """A value as a spec writes it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {_spec(v)}" for k, v in value.items()) + "}"
    return value if isinstance(value, str) else json.dumps(value)
