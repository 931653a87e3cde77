"""The commands catalog, schema and init."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from initcli.cli.completion import names
from initcli.cli.options import FormatOption, write_report
from initcli.cli.terminal import write, write_path
from initcli.reports import REPORTS

if TYPE_CHECKING:
    from rich.console import RenderableType

SCHEMA_FILE = "initcli.schema.json"
"""Name of the schema file that specs refer to."""

STARTER = """\
# A network to start from. See its weights, what they do to a signal, and what to change:
#   initcli summary model.yaml
#   initcli signal model.yaml
#   initcli check model.yaml
# `initcli catalog` lists all layers, initializers and activations, `initcli catalog Dense` one.

name: model
input_shape: [28, 28, 1]  # without the batch; null for an unknown size
seed: 0                   # the same seed gives the same values everywhere
defaults: keras           # framework of the default initializers: keras, torch or flax

initializers:             # recipes: names of your own, for use below
  scaled: {type: VarianceScaling, scale: 2.0, mode: fan_in, distribution: truncated_normal}

layers:
  # A layer is its type and the arguments that it has in Keras; an initializer is a name, ...
  - {type: Conv2D, filters: 16, kernel_size: 3, activation: relu, kernel_initializer: he_normal}
  - {type: MaxPooling2D, pool_size: 2}
  - {type: Flatten}
  # ... or a type with arguments, ...
  - type: Dense
    name: stem
    units: 64
    activation: relu
    kernel_initializer: {type: Orthogonal, gain: 1.4}
    bias_initializer: zeros
  # ... or a recipe. A block repeats its layers; `input` in it is the input of the block.
  - name: block
    repeat: 4
    layers:
      - {type: LayerNormalization}
      - {type: Dense, name: widen, units: 256, activation: relu, kernel_initializer: scaled}
      - {type: Dense, name: narrow, units: 64}
      - {type: Add, inputs: [input, narrow]}
  - {type: LayerNormalization}
  - {type: Dense, name: out, units: 10, activation: softmax}
"""


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
    from initcli.reports.catalog import CatalogReport, catalog, catalog_rows, matching

    things = catalog() if name is None else matching(name)

    def table(*_: object) -> RenderableType:
        from initcli.render.catalog import catalog_page

        return catalog_page(things)

    write_report(
        format,
        table=table,
        record=lambda: CatalogReport.of(things),
        rows=lambda: catalog_rows(things),
    )


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
      initcli init network.yaml --schema
    """
    if file == "-":
        if schema:
            raise typer.BadParameter("standard output has no folder", param_hint="--schema")
        write(STARTER)
        return
    from initcli.errors import OutputError, printable
    from initcli.files import write_whole

    path = Path(file)
    texts = {path: STARTER.replace("model.yaml", printable(file))}
    if schema:
        from initcli.sources.schema import schema_text

        texts[path] = f"# yaml-language-server: $schema={SCHEMA_FILE}\n{texts[path]}"
        texts[path.parent / SCHEMA_FILE] = schema_text()
    for each in texts:
        if not force and os.path.lexists(each):
            message = f"{printable(str(each))} exists already"
            raise OutputError(message, "--force overwrites it")
    for each, text in texts.items():
        write_whole(each, text.encode())
        write_path(each)
