"""The commands catalog, schema and init."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from initcli.cli.completion import names
from initcli.cli.options import FormatOption, write_report
from initcli.cli.starters import Kind, starter
from initcli.cli.terminal import write, write_path
from initcli.reports import REPORTS

if TYPE_CHECKING:
    from rich.console import RenderableType

SCHEMA_FILE = "initcli.schema.json"
"""Name of the schema file that specs refer to."""


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
    """List or describe layers, initializers, activations and checks.

    Examples:
      initcli catalog
      initcli catalog Dense
    """
    from initcli.render.views import View
    from initcli.reports.catalog import CatalogReport, catalog, catalog_rows, matching

    things = catalog() if name is None else matching(name)

    def table(*_: object) -> RenderableType:
        from initcli.render.catalog import catalog_page

        return catalog_page(things)

    view = View(table, lambda: CatalogReport.of(things), lambda: catalog_rows(things))
    write_report(format, view)


def schema(
    report: Annotated[
        str | None,
        typer.Option(
            metavar=f"[{'|'.join(REPORTS)}]",
            help="Print the schema of this command's JSON output instead.",
            autocompletion=lambda: list(REPORTS),
        ),
    ] = None,
) -> None:
    """Print a JSON Schema of the spec, for editors and validators.

    Examples:
      initcli schema
      initcli schema --report summary
    """
    if report is not None:
        if report not in REPORTS:
            raise typer.BadParameter(f"it is one of {', '.join(REPORTS)}", param_hint="--report")
        from initcli.reports.record import schema_text as report_schema

        write(report_schema(report))
        return
    from initcli.sources.schema import schema_text

    write(schema_text())


def init(
    file: Annotated[
        str, typer.Argument(metavar="[FILE]", help="Output file, or - for standard output.")
    ] = "model.yaml",
    kind: Annotated[
        Kind, typer.Option(help="Network to start from; tour shows the features of a spec.")
    ] = Kind.tour,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="CONFIG",
            help="Write the spec of a Hugging Face config.json instead.",
        ),
    ] = None,
    schema: Annotated[
        bool,
        typer.Option("--schema", help=f"Also write {SCHEMA_FILE}, for completion in an editor."),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing files.")] = False,
) -> None:
    """Write a commented spec to start from.

    Prints the path of each file.

    Examples:
      initcli init
      initcli init network.yaml --kind cnn --schema
      initcli init llama.yaml --from config.json
    """
    text = None if source is None else _spec_of(source)
    if file == "-":
        if schema:
            raise typer.BadParameter("standard output has no folder", param_hint="--schema")
        write(text or starter(kind))
        return
    from initcli.errors import OutputError, printable
    from initcli.files import write_whole

    path = Path(file)
    texts = {path: text or starter(kind, printable(file))}
    if path.suffix == ".json":
        texts[path] = _as_json(texts[path], schema)
    elif schema:
        texts[path] = f"# yaml-language-server: $schema={SCHEMA_FILE}\n{texts[path]}"
    if schema:
        from initcli.sources.schema import schema_text

        texts[path.parent / SCHEMA_FILE] = schema_text()
    for each in texts:
        if not force and os.path.lexists(each):
            message = f"{printable(str(each))} exists already"
            raise OutputError(message, "--force overwrites it")
    for each, text in texts.items():
        write_whole(each, text.encode())
        write_path(each)


def _as_json(text: str, schema: bool) -> str:
    """A spec in YAML as JSON, which has no comments."""
    import json

    import yaml

    head = {"$schema": SCHEMA_FILE} if schema else {}
    return json.dumps(head | yaml.safe_load(text), indent=2, ensure_ascii=False) + "\n"


def _spec_of(source: str) -> str:
    """The spec of a configuration, with its notes as comments."""
    from initcli.errors import SignalError, printable
    from initcli.sources.huggingface.written import spec_text
    from initcli.sources.load import load

    model = load(source)
    if model.source != "huggingface":
        message = f"{printable(source)} is not a Hugging Face config.json"
        raise SignalError(message, "`initcli init --kind` writes other specs to start from")
    return spec_text(model)
