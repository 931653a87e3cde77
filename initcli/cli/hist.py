"""The command that draws histograms: hist."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from initcli.cli.drawing import Drawing
from initcli.cli.loading import Loading, for_each
from initcli.cli.options import (
    Filter,
    Jobs,
    MaxDraws,
    PictureFormat,
    Specs,
    chosen,
)
from initcli.cli.terminal import (
    console,
    printed,
    progress,
    say,
    without_notices_of_matplotlib,
    write,
    write_path,
)

if TYPE_CHECKING:
    from initcli.checkpoint import Subject
    from initcli.reports.tensors import TensorSummary

_SECONDS_PER_PICTURE = 0.04
"""Rough time of one process per picture, in seconds, which decides how many processes start."""

_MAX_END = 1e300
"""Maximum end of an axis, so that the distance between two ends is finite."""


def _bins(text: str) -> int:
    """Parse a number of bins; 0 stands for ``auto``."""
    if text == "auto":
        return 0
    if not text.isdecimal() or not 1 <= int(text) <= 10_000:
        from initcli.errors import quoted

        wanted = "must be a number of bins from 1 to 10000, or auto"
        raise typer.BadParameter(f"{wanted}, not {quoted(text)}")
    return int(text)


def _range(text: str) -> tuple[float, float]:
    """Parse two ends of an axis."""
    try:
        low, high = map(float, text.split(":"))
    except ValueError:
        low = high = 0.0
    if not -_MAX_END <= low < high <= _MAX_END:
        from initcli.errors import quoted

        wanted = "it must be two numbers, the lower one first, such as -0.1:0.1"
        raise typer.BadParameter(f"{wanted}, not {quoted(text)}")
    return low, high


def hist(
    specs: Specs,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="DIR", help="Save pictures in this folder instead of drawing in the terminal."
        ),
    ] = None,
    html: Annotated[
        bool, typer.Option("--html", help="Also write a page to browse, DIR/index.html.")
    ] = False,
    format: Annotated[
        PictureFormat | None,
        typer.Option(help="Picture format.", show_default="png", case_sensitive=False),
    ] = None,
    dpi: Annotated[
        int | None,
        typer.Option(min=20, max=1000, help="Resolution of PNG pictures.", show_default="100"),
    ] = None,
    bins: Annotated[
        int,
        typer.Option(metavar="N|auto", parser=_bins, help="Number of bins.", show_default="auto"),
    ] = "auto",  # type: ignore[assignment]  # parsed like a text from the command line
    log: Annotated[bool, typer.Option("--log", help="Use a logarithmic scale for counts.")] = False,
    same_scale: Annotated[
        bool, typer.Option("--same-scale", help="Use the same range of values for all tensors.")
    ] = False,
    range: Annotated[
        Any,
        typer.Option(
            metavar="LOW:HIGH",
            parser=_range,
            help="Ends of the axis of weights, such as -0.1:0.1; values beyond are counted.",
            show_default="all values except a few far ones",
        ),
    ] = None,
    all: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Give each tensor its own panel in the overview. Without it, tensors of equal "
            "blocks share a panel if the overview would take several pages.",
        ),
    ] = False,
    filter: Filter = None,
    *,
    loading: Loading,
    max_draws: MaxDraws = None,
    jobs: Jobs = None,
) -> None:
    """Draw a histogram of every tensor, together with its distribution.

    Values are sampled, or read where SPEC is a file or folder of weights.

    With --out, save one picture per tensor and an overview, and print the path of each. Each of
    several specs gets its own folder.

    Examples:
      initcli hist model.yaml
      initcli hist model.yaml --out plots --html
    """
    if out is None:
        for option, given in (("--html", html), ("--format", format), ("--dpi", dpi)):
            if given:
                message = "nothing is saved without --out DIR"
                raise typer.BadParameter(message, param_hint=option)
    elif not out:
        raise typer.BadParameter("it must name a folder, such as plots", param_hint="--out")
    if range is not None and same_scale:
        message = "--range gives all tensors one axis already"
        raise typer.BadParameter(message, param_hint="--same-scale")
    folders = _folders(specs, out or "")
    drawing = Drawing(max_draws, jobs)

    def drawn(_: str, model: Subject, first: bool) -> None:
        write("\n" * (not first))
        tensors = drawing.tensors(model, chosen(model, filter))
        _draw(tensors, model, bins or None, log, same_scale, range)

    def pictured(spec: str, model: Subject, _: bool) -> None:
        without_notices_of_matplotlib()
        from initcli.render.plots import Style

        style = Style(
            format="png" if format is None else format.value,
            dpi=dpi or 100,
            log=log,
            same_scale=same_scale,
        )
        only = chosen(model, filter)
        # Values are sampled twice: to measure them, and to count them.
        seconds = 3 * drawing.seconds(only) + len(only) * _SECONDS_PER_PICTURE
        with drawing.workers(seconds) as workers, progress(len(only), "pictures") as bar:
            from initcli.render.gallery import save_histograms

            def saved(file: Path) -> None:
                write_path(file)
                bar.advance(1)

            save_histograms(
                model,
                folders[spec],
                bins=bins or None,
                ends=range,
                only=only,
                style=style,
                page=html,
                every=all,
                tell=say,
                progress=saved,
                workers=workers,
                max_entries=max_draws,
            )

    do = drawn if out is None else pictured
    for_each(specs, loading.subject, do)


def _draw(
    tensors: Iterable[TensorSummary],
    model: Subject,
    bins: int | None,
    log: bool,
    same_scale: bool,
    scale: tuple[float, float] | None,
) -> None:
    """Draw histograms in the terminal, each as soon as its tensor is measured."""
    from initcli.render.bars import BarChart, legend
    from initcli.reports.tensors import common_range

    page, plain = console()
    write(printed(page, legend(model, ascii_only=plain)))
    if same_scale:
        tensors = list(tensors)
        scale = common_range(tensors)
    for tensor in tensors:
        chart = BarChart(width=page.width, ascii_only=plain, bins=bins, log=log, scale=scale)
        write(printed(page, chart.of(tensor)))


def _folders(specs: Sequence[str], out: str) -> dict[str, Path]:
    """The folder of each spec: ``out``, or a subfolder of it for each of several specs."""
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
