"""The command line: which commands there are.

Whatever is heavy is imported by the command that needs it, so that ``--help`` answers at once.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from initcli import __version__, process
from initcli.cli import authoring, catalog, checking, signals, weights
from initcli.cli.options import command
from initcli.cli.terminal import UNEXPECTED, confess, say, write

app = typer.Typer(
    help="See what weights a neural network really starts with, before training.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for each in (
    weights.summary,
    weights.hist,
    weights.export,
    signals.signal,
    signals.compare,
    checking.check,
    catalog.catalog,
    authoring.schema,
    authoring.init,
):
    app.command()(command(each))


@app.callback(invoke_without_command=True)
def _initcli(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        write(f"initcli {__version__}\n")
        raise typer.Exit


_COMPLETE = "_INITCLI_COMPLETE"
"""The variable by which a shell asks for completions."""


def run() -> None:
    """Run the command line; what fails outside of a command is a message, too."""
    try:
        app(prog_name="initcli")
    except (Exception, SystemExit) as error:
        status = error.code if isinstance(error, SystemExit) else UNEXPECTED
        if not status or process.asked_to_end() or process.refusal(error):
            raise
        if os.environ.get(_COMPLETE):
            # Typer leaves in several ways where no shell asks so.
            say(f"{_COMPLETE} is set, but to nothing that a shell asks; `unset {_COMPLETE}`")
            sys.exit(2)
        if isinstance(error, SystemExit):
            raise
        confess(error, debug="--debug" in sys.argv)
        sys.exit(UNEXPECTED)
