"""The command catalog."""

from __future__ import annotations

from typing import Annotated

import typer

from initcli.cli.completion import names
from initcli.cli.options import FormatOption, write_rows
from initcli.cli.terminal import console, printed, write


def catalog(
    name: Annotated[
        str | None,
        typer.Argument(
            help="Name of a layer, initializer, activation or check to describe.",
            autocompletion=names,
        ),
    ] = None,
    format: FormatOption = "table",
) -> None:
    """List all layers, initializers, activations and checks, or describe one."""
    from initcli.reports.catalog import CatalogReport, catalog, catalog_rows, matching
    from initcli.reports.record import json_text

    things = catalog() if name is None else matching(name)
    if format == "json":
        write(json_text(CatalogReport.of(things)))
    elif format == "table":
        from initcli.render.catalog import catalog_page

        page, _ = console()
        write(printed(page, catalog_page(things)))
    else:
        write_rows(format, catalog_rows(things))
