"""The command that says what there is."""

from __future__ import annotations

from typing import Annotated

import typer

from initcli.commands.options import Format
from initcli.terminal import console, messages, printed, write


def catalog(
    name: Annotated[
        str | None, typer.Argument(help="One of them, to see all that is known of it.")
    ] = None,
    format: Annotated[
        Format, typer.Option(help="What to print.", case_sensitive=False)
    ] = Format.table,
) -> None:
    """List the layers, initializers and activations that a spec can name, and the checks."""
    with messages():
        from initcli.catalog import catalog, matching
        from initcli.render.catalog import catalog_json, catalog_page

        things = catalog() if name is None else matching(name)
        if format is Format.json:
            write(catalog_json(things) + "\n")
        else:
            page, _ = console()
            write(printed(page, catalog_page(things)))
