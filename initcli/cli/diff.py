"""The command diff."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from initcli.cli.options import (
    Custom,
    Filter,
    FormatOption,
    Jobs,
    PictureFormat,
    Sample,
    picture_format,
    write_report,
)
from initcli.cli.terminal import patience, progress, say

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from initcli.checkpoint import Subject
    from initcli.reports.diff import Change

_SECONDS_PER_WEIGHT = 3e-8
"""Rough time, in seconds, for one process to compare and measure both values of a weight."""
_KINDS = "Files or folders of weights, specs, models, or code as FILE.py:OBJECT, which is run."


def diff(
    a: Annotated[str, typer.Argument(metavar="A", help=f"The source before. {_KINDS}")],
    b: Annotated[str, typer.Argument(metavar="B", help="The source after: any of the same kinds.")],
    format: FormatOption = "table",
    filter: Filter = None,
    all: Annotated[bool, typer.Option("--all", help="Do not fold unchanged tensors.")] = False,
    plot: Annotated[
        str | None,
        typer.Option(
            metavar="|".join(f"F.{each}" for each in PictureFormat),
            help="Save a picture of the relative changes in this file.",
        ),
    ] = None,
    exit_code: Annotated[
        bool,
        typer.Option("--exit-code", help="Exit with status 1 unless every tensor is unchanged."),
    ] = False,
    map: Annotated[
        list[str] | None,
        typer.Option(metavar="A=B", help="Pair a tensor of A with one of B. Repeatable."),
    ] = None,
    sample: Sample = False,
    custom: Custom = None,
    jobs: Jobs = None,
) -> None:
    """Print what changed from A to B, tensor by tensor.

    Tensors are paired by path or, if A and B have no path in common, by the names, layouts and
    shapes of Keras and PyTorch; --map pairs those that remain ambiguous. Each pair is shown with
    its relative L2 change, cosine similarity and largest change, and the statistics of both
    tensors. A tensor is unchanged if every bit is the same. Values are read, or sampled if a source
    stores none.

    Examples:
      initcli diff model.yaml model.safetensors --exit-code
      initcli diff model.yaml model.safetensors --filter '*/kernel' --plot changes.png
    """
    kind = picture_format(plot, "--plot")
    from initcli.render.views import compared
    from initcli.reports.diff import aligned, changes
    from initcli.sampling.workers import suitable

    first, second = (_subject(each, custom or (), sample=sample) for each in (a, b))
    tensors = aligned(first, second, filter or (), pairs=map or ())
    if tensors and not any(one and two for one, two in tensors):
        say("the two sources have no tensor in common, so nothing is paired")
    weights = sum(one.size for pair in tensors for one in pair if one)
    bare: list[Change] = []

    def found() -> Iterator[Change]:
        several = suitable(jobs, weights * _SECONDS_PER_WEIGHT)
        with several as workers, progress(weights, "weights") as bar:
            for change in changes(first, second, tensors, workers=workers, progress=bar.advance):
                bare.append(change.bare)
                yield change

    write_report(format, compared(first, second, found(), fold=not all))
    if plot is not None:
        from initcli.files import write_whole
        from initcli.render.diff_plot import changes_picture

        title = f"{first.name} → {second.name}"
        write_whole(Path(plot), changes_picture(title, bare, kind))
    if exit_code and any(change.kind != "unchanged" for change in bare):
        raise typer.Exit(1)


def _subject(source: str, custom: Sequence[str], *, sample: bool) -> Subject:
    from initcli.sources.code.objects import is_code
    from initcli.sources.subject import subject

    with patience([source]):
        found = subject(source, sample=sample, custom=() if is_code(source) else custom)
    for note in found.notes:
        say(note)
    return found
