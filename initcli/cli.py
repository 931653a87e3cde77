"""The commands: parse arguments, call, render, and turn errors into messages and exit statuses.

Whatever is heavy is imported by the command that needs it, so that ``--help`` answers at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from initcli import __version__
from initcli.terminal import NoBar, console, messages, printed, progress, write

if TYPE_CHECKING:
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


class SignalFormat(StrEnum):
    """What a signal is printed as."""

    table = "table"
    json = "json"
    csv = "csv"


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
    with messages():
        model = _load(spec, seed, defaults, custom)
        only = model.matching(filter) if filter else model.parameters
        if format is Format.json:
            from initcli.render.data import summary_json

            tensors = _tensors(model, only, theory, max_draws, jobs, cluster)
            write(summary_json(model, tensors) + "\n")
        else:
            from initcli.render.outline import outline, shown_parameters
            from initcli.render.table import summary_table

            paths = {parameter.path for parameter in only} if filter else None
            rows = outline(model.layers, depth, paths)
            # What is folded need not be drawn.
            tensors = _tensors(model, shown_parameters(rows), theory, max_draws, jobs, cluster)
            page, plain = console()
            table = summary_table(model, tensors, width=page.width, ascii_only=plain, rows=rows)
            write(printed(page, table))


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
    with messages():
        from initcli import workers
        from initcli.render.gallery import save_histograms

        if not out:
            raise typer.BadParameter("the folder has no name", param_hint="--out")
        model = _load(spec, seed, defaults, custom)
        only = model.matching(filter) if filter else model.parameters
        weights = _weights(only, max_draws)
        # Values are drawn twice, first to measure them and then to count them.
        seconds = 3 * weights * _SECONDS_A_WEIGHT + len(only) * _SECONDS_A_PICTURE
        with workers.suitable(jobs, seconds) as chosen, progress(len(only), "pictures") as bar:
            files = save_histograms(
                model, Path(out), bins=bins or None, only=only, workers=chosen, most=max_draws
            )
            for file in files:
                with bar.hidden() if sys.stdout.isatty() else nullcontext():
                    write(f"{file}\n")
                bar.advance(1)


@app.command()
def export(
    spec: Spec,
    out: Annotated[str, typer.Option(metavar="F.npz|F.safetensors", help="Where to.")],
    filter: Filter = None,
    seed: Seed = None,
    defaults: Defaults = None,
    custom: Custom = None,
) -> None:
    """Save the drawn weights in one file, each under its path.

    Prints the path of the file when it is written.
    """
    with messages():
        from initcli import exporting
        from initcli.errors import listed

        file = Path(out)
        if file.suffix.lower() not in exporting.SUFFIXES:
            ends = f"the file's name ends in {listed(exporting.SUFFIXES)}"
            raise typer.BadParameter(ends, param_hint="--out")
        model = _load(spec, seed, defaults, custom)
        only = model.matching(filter) if filter else model.parameters
        with progress(_weights(only, None), "weights") as bar:
            notes = exporting.export(model, file, only=only, progress=bar.advance)
        for note in notes:
            print(f"initcli: {note}", file=sys.stderr)
        write(f"{file}\n")


Batch = Annotated[
    int | None,
    typer.Option(min=1, help="Examples.", show_default="64, or as many as fit in memory"),
]
Draws = Annotated[
    int, typer.Option(min=1, max=1000, help="Draws of weights and inputs, with a seed each.")
]
Theory = Annotated[
    bool, typer.Option("--theory", help="Predictions from the laws alone; nothing is drawn.")
]
Input = Annotated[
    str | None,
    typer.Option(
        metavar="X.npy", help="Inputs of your own: an array, or an .npz with one for each input."
    ),
]
Picture = Annotated[
    str | None,
    typer.Option(metavar="F.png|F.svg", help="Save a picture of it."),
]
SignalReport = Annotated[SignalFormat, typer.Option(help="What to print.", case_sensitive=False)]


@app.command()
def signal(
    spec: Spec,
    format: SignalReport = SignalFormat.table,
    batch: Batch = None,
    draws: Draws = 5,
    theory: Theory = False,
    input: Input = None,
    out: Picture = None,
    filter: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Show only layers and tensors whose name matches."),
    ] = None,
    seed: Seed = None,
    defaults: Defaults = None,
    custom: Custom = None,
) -> None:
    """Print the size of every layer's output and gradient, measured and predicted."""
    with messages():
        _picture_format(out)
        model = _load(spec, seed, defaults, custom)
        from initcli.signal.measured import measure_signal, predict_signal

        if theory:
            if input is not None:
                message = "nothing is drawn that --input could change"
                raise typer.BadParameter(message, param_hint="--theory")
            found = predict_signal(model, batch=batch or 64)
        else:
            given = _inputs(input, model)
            with _steps() as advance:
                found = measure_signal(
                    model, batch=batch, draws=draws, inputs=given, progress=advance
                )
        for note in found.notes:
            print(f"initcli: {note}", file=sys.stderr)
        if format is SignalFormat.table:
            from initcli.render.signal_table import signal_table

            page, plain = console()
            table = signal_table(found, width=page.width, ascii_only=plain, only=filter or ())
            write(printed(page, table))
        else:
            from initcli.render import signal_data

            if format is SignalFormat.json:
                write(signal_data.signal_json(found, filter or ()) + "\n")
            else:
                write(signal_data.signal_csv(found, filter or ()))
        if out is not None:
            from initcli.files import write_whole
            from initcli.render.signal_plot import signal_picture

            write_whole(Path(out), signal_picture(found, _picture_format(out)))


@app.command()
def compare(
    specs: Annotated[
        list[str],
        typer.Argument(metavar="SPEC...", help="One spec or several; - is standard input."),
    ],
    kernel_initializer: Annotated[
        str | None,
        typer.Option(metavar="A,B,...", help="Initializers, each in turn that of all kernels."),
    ] = None,
    activation: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            help="Activations, each in turn that of all layers but the last.",
        ),
    ] = None,
    defaults: Annotated[
        str | None,
        typer.Option(metavar="keras,torch,flax", help="Whose default initializers, each in turn."),
    ] = None,
    format: SignalReport = SignalFormat.table,
    batch: Batch = None,
    draws: Draws = 5,
    theory: Theory = False,
    out: Picture = None,
    seed: Seed = None,
    custom: Custom = None,
) -> None:
    """Rank initializers, activations, defaults or specs by what they do to the signal."""
    with messages():
        kind = _picture_format(out)
        from initcli.signal.comparison import compare, variants

        models = variants(
            specs,
            kernel_initializers=_names(kernel_initializer),
            activations=_names(activation),
            defaults=_frameworks(defaults),
            seed=seed,
            custom=custom or (),
        )
        with _steps(len(models)) as advance:
            found = compare(models, batch=batch, draws=draws, theory=theory, progress=advance)
        for note in dict.fromkeys(note for each in found for note in each.signal.notes):
            print(f"initcli: {note}", file=sys.stderr)
        from initcli.render import comparison

        if format is SignalFormat.table:
            page, plain = console()
            table = comparison.comparison_table(found, width=page.width, ascii_only=plain)
            write(printed(page, table))
        elif format is SignalFormat.json:
            write(comparison.comparison_json(found) + "\n")
        else:
            write(comparison.comparison_csv(found))
        if out is not None:
            from initcli.files import write_whole
            from initcli.render.signal_plot import comparison_picture

            pictured = [(each.label, each.signal) for each in found]
            write_whole(Path(out), comparison_picture(pictured, kind))


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
    with messages():
        from initcli.catalog import catalog, matching
        from initcli.render.catalog import catalog_json, catalog_page

        things = catalog() if name is None else matching(name)
        if format is Format.json:
            write(catalog_json(things) + "\n")
        else:
            page, _ = console()
            write(printed(page, catalog_page(things)))


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


def _names(text: str | None) -> list[str]:
    """The names in a list with commas."""
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def _frameworks(text: str | None) -> list[Framework]:
    from typing import get_args

    from initcli.defaults import Framework as Known

    names = _names(text)
    for name in names:
        if name not in get_args(Known):
            raise typer.BadParameter(
                f"{name!r} is none of {', '.join(get_args(Known))}", param_hint="--defaults"
            )
    return names  # type: ignore[return-value]


def _picture_format(out: str | None) -> str:
    """What kind of picture a file's name asks for."""
    kind = "" if out is None else Path(out).suffix.lower().removeprefix(".")
    if out is not None and kind not in ("png", "svg"):
        raise typer.BadParameter("the file's name ends in .png or .svg", param_hint="--out")
    return kind


def _inputs(file: str | None, model: Model) -> dict[str, Any]:
    """The arrays of a file, by the names of the inputs."""
    if file is None:
        return {}
    from initcli.signal.inputs import read_inputs

    return read_inputs(file, model)


@contextmanager
def _steps(models: int = 1) -> Iterator[Callable[[int, int], None] | None]:
    """Tells a progress bar of steps, whose number is known once the first is done."""
    with ExitStack() as stack:
        bars: list[ProgressBar | NoBar] = []

        def advance(done: int, whole: int) -> None:
            if not bars:
                bars.append(stack.enter_context(progress(whole * models, "steps")))
            bars[0].advance(done)

        yield advance


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
    with several as chosen, progress(weights, "weights") as bar:
        found = summarise(model, only=only, workers=chosen, most=most, progress=bar.advance)
        return list(found)


def _weights(parameters: Sequence[Parameter], most: int | None) -> int:
    """How many weights are drawn, at most ``most`` of a tensor."""
    return sum(min(parameter.size, most or parameter.size) for parameter in parameters)
