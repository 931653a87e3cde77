"""The commands about weights: summary, hist and export."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from initcli.commands.options import (
    Custom,
    Defaults,
    Filter,
    Format,
    FormatOption,
    Jobs,
    Loading,
    MaxDraws,
    Seed,
    Settings,
    Spec,
    Specs,
    for_each,
    write_rows,
)
from initcli.terminal import console, printed, progress, say, write

if TYPE_CHECKING:
    from initcli.parameter import Parameter
    from initcli.render.plots import Style
    from initcli.spec.model import Model
    from initcli.summary import TensorSummary

# What one process takes, roughly: it decides who does the work, not what comes out.
_SECONDS_A_WEIGHT = 1e-8
_SECONDS_A_PICTURE = 0.04


class PictureFormat(StrEnum):
    """What a histogram is saved as."""

    png = "png"
    svg = "svg"
    pdf = "pdf"


def _bins(text: str) -> int:
    """A number of bins, or 0 for ``auto``."""
    if text == "auto":
        return 0
    if not text.isdecimal() or not 1 <= int(text) <= 10_000:
        from initcli.errors import quoted

        wanted = "must be a number of bins from 1 to 10000, or auto"
        raise typer.BadParameter(f"{wanted}, not {quoted(text)}")
    return int(text)


def summary(
    specs: Specs,
    format: FormatOption = Format.table,
    depth: Annotated[
        int | None,
        typer.Option(min=1, help="Levels of names to show; blocks below are folded."),
    ] = None,
    filter: Filter = None,
    theory: Annotated[
        bool, typer.Option("--theory", help="Laws and shapes alone; nothing is drawn.")
    ] = False,
    max_draws: MaxDraws = None,
    settings: Settings = None,
    seed: Seed = None,
    defaults: Defaults = None,
    custom: Custom = None,
    jobs: Jobs = None,
    cluster: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Draw on the Dask cluster of this scheduler."),
    ] = None,
) -> None:
    """Print every tensor: shape, initializer, law and draw.

    CSV and JSON lines have a row a tensor, which is printed when it is measured.
    """
    _refuse_contradictions(theory, max_draws, jobs, cluster)
    loading = Loading(seed, defaults, custom, settings)
    done = 0

    def summarised(spec: str) -> None:
        nonlocal done
        model = loading.model(spec)
        only = model.matching(filter) if filter else model.parameters
        done += 1
        if format is not Format.table:
            tensors = _tensors(model, only, theory, max_draws, jobs, cluster)
            if format is Format.json:
                from initcli.render.data import summary_json

                write(summary_json(model, tensors) + "\n")
            else:
                from initcli.render.data import summary_rows

                write_rows(format, summary_rows(spec, model, tensors), first=done == 1)
            return
        from initcli.render.outline import outline, shown_parameters
        from initcli.render.table import summary_table

        paths = {parameter.path for parameter in only} if filter else None
        rows = outline(model.layers, depth, paths)
        # What is folded need not be drawn.
        tensors = _tensors(model, shown_parameters(rows), theory, max_draws, jobs, cluster)
        page, plain = console()
        table = summary_table(model, tensors, width=page.width, ascii_only=plain, rows=rows)
        write("\n" * (done > 1) + printed(page, table))

    for_each(specs, summarised)


def hist(
    specs: Specs,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="DIR", help="Save pictures there; without it they are drawn in the terminal."
        ),
    ] = None,
    html: Annotated[
        bool, typer.Option("--html", help="Write a page to browse, DIR/index.html, beside them.")
    ] = False,
    format: Annotated[
        PictureFormat | None,
        typer.Option(help="What pictures are saved as.", show_default="png", case_sensitive=False),
    ] = None,
    dpi: Annotated[
        int | None,
        typer.Option(min=20, max=1000, help="Pixels an inch, of PNG.", show_default="100"),
    ] = None,
    bins: Annotated[
        int, typer.Option(metavar="N|auto", parser=_bins, help="Bins.", show_default="auto")
    ] = "auto",  # type: ignore[assignment]  # parsed like what a person types
    log: Annotated[
        bool, typer.Option("--log", help="Count entries on a logarithmic scale.")
    ] = False,
    same_scale: Annotated[
        bool, typer.Option("--same-scale", help="Put all tensors on one axis of weights.")
    ] = False,
    filter: Filter = None,
    max_draws: MaxDraws = None,
    settings: Settings = None,
    seed: Seed = None,
    defaults: Defaults = None,
    custom: Custom = None,
    jobs: Jobs = None,
) -> None:
    """Draw a histogram of every tensor, with its law over it.

    With --out, save one picture a tensor and an overview, and print the path of each when it is
    written; of several specs each has a folder of its own there.
    """
    if out is None:
        for option, given in (("--html", html), ("--format", format), ("--dpi", dpi)):
            if given:
                message = "nothing is saved without --out DIR"
                raise typer.BadParameter(message, param_hint=option)
    elif not out:
        raise typer.BadParameter("it must name a folder, such as plots", param_hint="--out")
    loading = Loading(seed, defaults, custom, settings)
    folders = _folders(specs, out or "")
    done = 0

    def pictured(spec: str) -> None:
        nonlocal done
        model = loading.model(spec)
        only = model.matching(filter) if filter else model.parameters
        done += 1
        if out is None:
            write("\n" * (done > 1))
            _draw(model, only, bins or None, log, same_scale, max_draws, jobs)
            return
        from initcli.render.plots import Style

        style = Style(
            format="png" if format is None else format.value,
            dpi=dpi or 100,
            log=log,
            same_scale=same_scale,
        )
        _save(model, only, folders[spec], bins or None, style, html, max_draws, jobs)

    for_each(specs, pictured)


def export(
    spec: Spec,
    out: Annotated[str, typer.Option(metavar="F.npz|F.safetensors", help="Where to.")],
    filter: Filter = None,
    settings: Settings = None,
    seed: Seed = None,
    defaults: Defaults = None,
    custom: Custom = None,
) -> None:
    """Save the drawn weights in one file, each under its path.

    Prints the path of the file when it is written.
    """
    from initcli import exporting
    from initcli.errors import listed

    file = Path(out)
    if file.suffix.lower() not in exporting.SUFFIXES:
        ends = f"the file's name must end in {listed(exporting.SUFFIXES)}"
        raise typer.BadParameter(ends, param_hint="--out")
    model = Loading(seed, defaults, custom, settings).model(spec)
    only = model.matching(filter) if filter else model.parameters
    with progress(_weights(only, None), "weights") as bar:
        notes = exporting.export(model, file, only=only, progress=bar.advance)
    for note in notes:
        say(note)
    write(f"{file}\n")


def _save(
    model: Model,
    only: Sequence[Parameter],
    folder: Path,
    bins: int | None,
    style: Style,
    html: bool,
    most: int | None,
    jobs: int | None,
) -> None:
    """Save the pictures, and print where."""
    from initcli import workers
    from initcli.render.gallery import save_histograms

    # Values are drawn twice, first to measure them and then to count them.
    seconds = 3 * _weights(only, most) * _SECONDS_A_WEIGHT + len(only) * _SECONDS_A_PICTURE
    with workers.suitable(jobs, seconds) as chosen, progress(len(only), "pictures") as bar:
        files = save_histograms(
            model,
            folder,
            bins=bins,
            only=only,
            style=style,
            page=html,
            workers=chosen,
            most=most,
        )
        for file in files:
            write(f"{file}\n")
            bar.advance(1)


def _draw(
    model: Model,
    only: Sequence[Parameter],
    bins: int | None,
    log: bool,
    same_scale: bool,
    most: int | None,
    jobs: int | None,
) -> None:
    """Draw the histograms in the terminal, each when its tensor is measured."""
    from initcli.render.bars import BarChart, heading
    from initcli.summary import common_range

    page, plain = console()
    write(printed(page, heading(model, ascii_only=plain)))
    tensors: Iterable[TensorSummary] = _tensors(model, only, False, most, jobs, None)
    scale = None
    if same_scale:
        tensors = list(tensors)
        scale = common_range(tensors)
    for tensor in tensors:
        chart = BarChart(width=page.width, ascii_only=plain, bins=bins, log=log, scale=scale)
        write(printed(page, chart.of(tensor)))


def _folders(specs: Sequence[str], out: str) -> dict[str, Path]:
    """The folder of each spec: the one that was asked for, or in it one with the spec's name."""
    if len(set(specs)) == 1:
        return dict.fromkeys(specs, Path(out))
    from initcli.files import file_stems

    names: dict[str, str] = {}
    for spec in dict.fromkeys(specs):
        stem = "stdin" if spec == "-" else Path(spec).stem
        taken = sum(name.rpartition("-")[0] == stem or name == stem for name in names.values())
        names[spec] = f"{stem}-{taken + 1}" if taken else stem
    stems = file_stems(names.values())
    return {spec: Path(out) / stems[name] for spec, name in names.items()}


def _refuse_contradictions(
    theory: bool, most: int | None, jobs: int | None, address: str | None
) -> None:
    if theory and (most or jobs or address is not None):
        raise typer.BadParameter(
            "nothing is drawn that --max-draws, --jobs or --cluster could change",
            param_hint="--theory",
        )
    if jobs and address is not None:
        raise typer.BadParameter("a cluster has its own number of workers", param_hint="--jobs")


def _tensors(
    model: Model,
    only: Sequence[Parameter],
    law_alone: bool,
    most: int | None,
    jobs: int | None,
    address: str | None,
) -> Iterator[TensorSummary]:
    """The tensors, drawn by whoever is to do it, with a progress bar where that takes long."""
    from initcli.summary import summarise, theory

    if law_alone:
        yield from theory(model, only=only)
        return
    from initcli import workers

    weights = _weights(only, most)
    if address is None:
        several = workers.suitable(jobs, weights * _SECONDS_A_WEIGHT)
    else:
        several = workers.cluster(address)
    # Processes start before the bar does, whose thread keeps them from the fastest way.
    with several as chosen, progress(weights, "weights") as bar:
        yield from summarise(model, only=only, workers=chosen, most=most, progress=bar.advance)


def _weights(parameters: Sequence[Parameter], most: int | None) -> int:
    """How many weights are drawn, at most ``most`` of a tensor."""
    return sum(min(parameter.size, most or parameter.size) for parameter in parameters)
