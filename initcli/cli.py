"""The commands: parse arguments, call, render, and turn errors into messages and exit statuses.

Whatever is heavy is imported by the command that needs it, so that ``--help`` answers at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from initcli import __version__

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from initcli.defaults import Framework
    from initcli.parameter import Parameter
    from initcli.render.progress import ProgressBar
    from initcli.spec.model import Model
    from initcli.summary import TensorSummary

app = typer.Typer(
    help="See what weights a neural network really starts with, before training.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


# What one process takes, roughly: it decides who does the work, not what comes out.
_SECONDS_A_WEIGHT = 1e-8
_SECONDS_A_PICTURE = 0.04


class Format(StrEnum):
    """What a report is printed as."""

    table = "table"
    json = "json"


def _bins(text: str) -> int:
    """A number of bins, or 0 for ``auto``."""
    if text == "auto":
        return 0
    if not text.isdecimal() or not 1 <= int(text) <= 10_000:
        raise typer.BadParameter("a number of bins from 1 to 10000, or auto")
    return int(text)


Spec = Annotated[
    str,
    typer.Argument(
        metavar="SPEC",
        help="A YAML or JSON file, a Keras model's JSON or .keras file, or - for standard input.",
    ),
]
Seed = Annotated[int | None, typer.Option(help="Wins over the spec's own seed.")]
Custom = Annotated[
    list[str] | None,
    typer.Option(metavar="FILE.py", help="A file of your own initializers; it is run."),
]
Defaults = Annotated[
    Literal["keras", "torch", "flax"] | None,
    typer.Option(help="Whose default initializers; wins over the spec's own."),
]
Filter = Annotated[
    list[str] | None,
    typer.Option(metavar="GLOB", help="Only tensors whose path matches, such as '*/kernel'."),
]
Jobs = Annotated[int | None, typer.Option(min=1, help="Processes.", show_default="all cores")]
MaxDraws = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Measure at most the first N entries of a tensor."),
]


@app.command()
def summary(
    spec: Spec,
    format: Annotated[
        Format, typer.Option(help="What to print.", case_sensitive=False)
    ] = Format.table,
    depth: Annotated[
        int | None,
        typer.Option(min=1, help="Levels of names to show; blocks below are folded."),
    ] = None,
    filter: Filter = None,
    theory: Annotated[
        bool, typer.Option("--theory", help="Laws and shapes alone; nothing is drawn.")
    ] = False,
    max_draws: MaxDraws = None,
    seed: Seed = None,
    defaults: Defaults = None,
    custom: Custom = None,
    jobs: Jobs = None,
    cluster: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Draw on the Dask cluster of this scheduler."),
    ] = None,
) -> None:
    """Print every tensor: shape, initializer, law and draw."""
    with _messages():
        model = _load(spec, seed, defaults, custom)
        only = model.matching(filter) if filter else model.parameters
        if format is Format.json:
            from initcli.render.data import summary_json

            tensors = _tensors(model, only, theory, max_draws, jobs, cluster)
            _print(summary_json(model, tensors) + "\n")
        else:
            from initcli.render.outline import outline, shown_parameters
            from initcli.render.table import summary_table

            paths = {parameter.path for parameter in only} if filter else None
            rows = outline(model.layers, depth, paths)
            # What is folded need not be drawn.
            tensors = _tensors(model, shown_parameters(rows), theory, max_draws, jobs, cluster)
            page, plain = _console()
            table = summary_table(model, tensors, width=page.width, ascii_only=plain, rows=rows)
            _print(_printed(page, table))


@app.command()
def hist(
    spec: Spec,
    out: Annotated[str, typer.Option(metavar="DIR", help="Where to; made if missing.")],
    bins: Annotated[
        int, typer.Option(metavar="N|auto", parser=_bins, help="Bins.", show_default="auto")
    ] = "auto",  # type: ignore[assignment]  # parsed like what a person types
    filter: Filter = None,
    max_draws: MaxDraws = None,
    seed: Seed = None,
    defaults: Defaults = None,
    custom: Custom = None,
    jobs: Jobs = None,
) -> None:
    """Save a histogram of every tensor, and an overview.

    Prints the path of each picture when it is written.
    """
    with _messages():
        from initcli import workers
        from initcli.render.gallery import save_histograms

        if not out:
            raise typer.BadParameter("the folder has no name", param_hint="--out")
        model = _load(spec, seed, defaults, custom)
        only = model.matching(filter) if filter else model.parameters
        weights = _weights(only, max_draws)
        # Values are drawn twice, first to measure them and then to count them.
        seconds = 3 * weights * _SECONDS_A_WEIGHT + len(only) * _SECONDS_A_PICTURE
        with workers.suitable(jobs, seconds) as chosen, _progress(len(only), "pictures") as bar:
            files = save_histograms(
                model, Path(out), bins=bins or None, only=only, workers=chosen, most=max_draws
            )
            for file in files:
                with bar.hidden() if sys.stdout.isatty() else nullcontext():
                    _print(f"{file}\n")
                bar.advance(1)


@app.command()
def catalog(
    name: Annotated[
        str | None, typer.Argument(help="One of them, to see all that is known of it.")
    ] = None,
    format: Annotated[
        Format, typer.Option(help="What to print.", case_sensitive=False)
    ] = Format.table,
) -> None:
    """List the layers, initializers and activations that a spec can name."""
    with _messages():
        from initcli.catalog import catalog, matching
        from initcli.render.catalog import catalog_json, catalog_page

        things = catalog() if name is None else matching(name)
        if format is Format.json:
            _print(catalog_json(things) + "\n")
        else:
            page, _ = _console()
            _print(_printed(page, catalog_page(things)))


@app.callback(invoke_without_command=True)
def _initcli(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(f"initcli {__version__}")
        raise typer.Exit


def run() -> None:
    """Run the command line."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started this
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115
        getattr(sys, name).reconfigure(errors="backslashreplace")
    app(prog_name="initcli")


def _load(
    spec: str, seed: int | None, defaults: Framework | None, custom: list[str] | None
) -> Model:
    from initcli.errors import printable
    from initcli.spec.load import load

    model = load(spec, seed=seed, defaults=defaults, custom=custom or ())
    for note in model.notes:
        print(f"initcli: {printable(note)}", file=sys.stderr)
    return model


def _tensors(
    model: Model,
    only: Sequence[Parameter],
    law_alone: bool,
    most: int | None,
    jobs: int | None,
    address: str | None,
) -> list[TensorSummary]:
    """The tensors, drawn by whoever is to do it, with a progress bar where that takes long."""
    from initcli.summary import summarise, theory

    if law_alone:
        if most or jobs or address is not None:
            raise typer.BadParameter(
                "nothing is drawn that --max-draws, --jobs or --cluster could change",
                param_hint="--theory",
            )
        return list(theory(model, only=only))
    if jobs and address is not None:
        raise typer.BadParameter("a cluster has its own number of workers", param_hint="--jobs")
    from initcli import workers

    weights = _weights(only, most)
    if address is None:
        several = workers.suitable(jobs, weights * _SECONDS_A_WEIGHT)
    else:
        several = workers.cluster(address)
    # Processes start before the bar does, whose thread keeps them from the fastest way.
    with several as chosen, _progress(weights, "weights") as bar:
        found = summarise(model, only=only, workers=chosen, most=most, progress=bar.advance)
        return list(found)


def _weights(parameters: Sequence[Parameter], most: int | None) -> int:
    """How many weights are drawn, at most ``most`` of a tensor."""
    return sum(min(parameter.size, most or parameter.size) for parameter in parameters)


class _NoBar:
    """In place of a progress bar that nobody would see."""

    def advance(self, done: int) -> None:
        pass

    def hidden(self) -> AbstractContextManager[None]:
        return nullcontext()


def _progress(total: int, unit: str) -> AbstractContextManager[ProgressBar | _NoBar]:
    """A progress bar, which is not even imported where standard error is no terminal."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        return nullcontext(_NoBar())
    from initcli.render.progress import ProgressBar

    return ProgressBar(total, unit)


def _console() -> tuple[Console, bool]:
    """What prints as wide and as colourful as standard output is, and whether in ASCII alone."""
    from io import StringIO

    from rich.console import Console

    terminal = Console()
    page = Console(
        file=StringIO(),
        width=terminal.width,
        force_terminal=terminal.is_terminal,
        color_system=terminal.color_system,  # type: ignore[arg-type]  # one of its own names
        legacy_windows=False,
        highlight=False,
    )
    return page, not _can_print("█─²±σ∞")


def _printed(page: Console, content: RenderableType) -> str:
    """What a console prints, as text."""
    with page.capture() as capture:
        page.print(content)
    return capture.get()


@contextmanager
def _messages() -> Iterator[None]:
    """Turn what is a person's to mend into a message and status 2, an interrupt into 130."""
    from initcli.errors import InitcliError

    try:
        yield
    except InitcliError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        # Threads that are in the middle of a large matrix are not waited for.
        sys.stdout.flush()
        os._exit(130)
    except MemoryError:
        print("initcli: there is not enough memory for this", file=sys.stderr)
        raise typer.Exit(2) from None


def _print(text: str) -> None:
    """Write to standard output; when nobody reads any more, end quietly."""
    from initcli.errors import OutputError

    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        # What is still buffered must not fail again when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise typer.Exit(0) from None
        raise OutputError(f"standard output cannot be written: {error.strerror}") from None


def _can_print(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
