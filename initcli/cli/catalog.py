"""The command that says what there is."""

from __future__ import annotations

from typing import Annotated

import typer

from initcli.cli.completion import names
from initcli.cli.options import Format, FormatOption, write_rows
from initcli.cli.terminal import console, printed, write


def catalog(
    name: Annotated[
        str | None,
        typer.Argument(help="One of them, to see all that is known of it.", autocompletion=names),
    ] = None,
    format: FormatOption = Format.table,
) -> None:
    """List the layers, initializers and activations that a spec can name, and the checks."""
    from initcli.render.catalog import catalog_json, catalog_page, catalog_rows
    from initcli.reports.catalog import catalog, matching

    things = catalog() if name is None else matching(name)
    if format is Format.json:
        write(catalog_json(things) + "\n")
    elif format is Format.table:
        page, _ = console()
        write(printed(page, catalog_page(things)))
    else:
        write_rows(format, catalog_rows(things))
