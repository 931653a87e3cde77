"""The commands about weights: summary, hist and export."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from initcli.commands.options import (
    Custom,
    Defaults,
    Filter,
    Format,
    Jobs,
    MaxDraws,
    Seed,
    Spec,
    loaded,
)
from initcli.terminal import console, messages, printed, progress, say, write

if TYPE_CHECKING:
    from initcli.parameter import Parameter
    from initcli.spec.model import Model
    from initcli.summary import TensorSummary

# What one process takes, roughly: it decides who does the work, not what comes out.
_SECONDS_A_WEIGHT = 1e-8
_SECONDS_A_PICTURE = 0.04


def _bins(text: str) -> int:
    """A number of bins, or 0 for ``auto``."""
    if text == "auto":
        return 0
    if not text.isdecimal() or not 1 <= int(text) <= 10_000:
        raise typer.BadParameter("a number of bins from 1 to 10000, or auto")
    return int(text)


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
        model = loaded(spec, seed, defaults, custom)
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
        model = loaded(spec, seed, defaults, custom)
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
        model = loaded(spec, seed, defaults, custom)
        only = model.matching(filter) if filter else model.parameters
        with progress(_weights(only, None), "weights") as bar:
            notes = exporting.export(model, file, only=only, progress=bar.advance)
        for note in notes:
            say(note)
        write(f"{file}\n")


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
