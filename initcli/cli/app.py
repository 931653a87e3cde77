"""The command line: all commands.

Each command makes its own slow imports, so that ``--help`` answers at once.
"""

from __future__ import annotations

from typing import Annotated

import typer

from initcli import __version__
from initcli.cli.helping import Commands
from initcli.cli.terminal import write

app = typer.Typer(
    cls=Commands,
    help="See what weights a neural network really starts with, before training.",
    epilog="`initcli help spec` explains the keys of a spec. `initcli --install-completion fish` "
    "names a shell: bash, zsh, fish, powershell or pwsh; without one it is detected.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _initcli(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        write(f"initcli {__version__}\n")
        raise typer.Exit
    if context.invoked_subcommand is None:
        from initcli.cli.starters import next_steps, specs_here

        specs = specs_here()
        hint = "No spec is here: `initcli init` writes one to start from."
        typer.echo(next_steps(specs) if specs else f"{context.get_help()}\n\n{hint}", err=True)
        raise typer.Exit(2)
