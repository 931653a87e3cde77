"""The commands about weights: summary, identify and export."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from initcli.cli.drawing import Drawing
from initcli.cli.loading import Loading, for_each
from initcli.cli.options import (
    All,
    Depth,
    Filter,
    FormatOption,
    Jobs,
    MaxDraws,
    Spec,
    Specs,
    Stored,
    chosen,
    max_lines,
    write_report,
)
from initcli.cli.terminal import (
    progress,
    say,
    write_path,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

    from initcli.checkpoint import Subject
    from initcli.model import Model
    from initcli.parameter import Parameter
    from initcli.reports.tensors import TensorSummary


def summary(
    specs: Specs,
    format: FormatOption = "table",
    depth: Depth = None,
    all: All = False,
    filter: Filter = None,
    *,
    loading: Loading,
    theory: Annotated[
        bool,
        typer.Option("--theory", help="Print distributions and shapes alone, without sampling."),
    ] = False,
    spectral: Annotated[
        bool,
        typer.Option(
            "--spectral", help="Print the spectral norm of each kernel, and the wanted one."
        ),
    ] = False,
    max_draws: MaxDraws = None,
    jobs: Jobs = None,
    cluster: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Sample on the Dask cluster of this scheduler."),
    ] = None,
) -> None:
    """Print each tensor's shape, initializer, distribution and values.

    Values are sampled, or read where SPEC is a file or folder of weights.

    CSV and JSON lines have one row per tensor, printed as soon as it is measured.

    Examples:
      initcli summary model.yaml
      initcli summary model.yaml --filter '*/kernel' --format csv
    """
    drawing = Drawing(max_draws, jobs, cluster)
    if theory and any(each is not None for each in drawing):
        raise typer.BadParameter(
            "nothing is sampled, so --max-draws, --jobs and --cluster have no effect",
            param_hint="--theory",
        )
    if jobs and cluster is not None:
        raise typer.BadParameter("a cluster has its own number of workers", param_hint="--jobs")

    from initcli.reports.tensors import is_stored, with_spectral_norms

    def tensors(model: Subject, only: Sequence[Parameter]) -> Iterable[TensorSummary]:
        # Code and configurations declare distributions and may have billions of weights, so they
        # are not sampled by default; values in memory or in a file are read.
        declared = model.source in ("python", "huggingface") and not is_stored(model)
        if not theory and (loading.sample or not declared):
            drawn: Iterable[TensorSummary] = drawing.tensors(model, only)
        else:
            from initcli.reports.tensors import theory as distributions

            drawn = distributions(model, only=only)
        return with_spectral_norms(model, drawn) if spectral else drawn

    def summarized(spec: str, model: Subject, first: bool) -> None:
        only = chosen(model, filter)
        from initcli.render.views import View
        from initcli.reports.identify import matched
        from initcli.reports.summary import SummaryReport, summary_rows

        def table(width: int, ascii_only: bool) -> RenderableType:
            if spectral:
                from initcli.render.spectral import spectral_table

                return spectral_table(
                    model, tensors(model, only), width=width, ascii_only=ascii_only
                )
            from initcli.render.outline import outline, shown_parameters
            from initcli.render.table import summary_table

            paths = {parameter.path for parameter in only} if filter else None
            rows = outline(model.layers, depth, paths, max_lines(all=all))
            # Folded tensors need no values.
            shown = matched(model, tensors(model, shown_parameters(rows)))
            return summary_table(model, shown, width=width, ascii_only=ascii_only, rows=rows)

        view = View(
            table,
            lambda: SummaryReport.of(model, matched(model, tensors(model, only))),
            lambda: summary_rows(spec, model, matched(model, tensors(model, only))),
        )
        write_report(format, view, first=first)

    for_each(specs, loading.subject, summarized)


def identify(
    specs: Stored,
    format: FormatOption = "table",
    filter: Filter = None,
    jobs: Jobs = None,
) -> None:
    """Print the initializer that each stored tensor looks like.

    Rules of Keras, PyTorch, Flax, timm and Hugging Face for the shape are tried first, then
    distributions with estimated parameters. Tensors that fit none are marked.

    Examples:
      initcli identify model.safetensors
      initcli identify model.safetensors --format json
    """
    drawing = Drawing(jobs=jobs)

    def found(spec: str, model: Subject, first: bool) -> None:
        from initcli.render import views
        from initcli.reports.identify import identified

        answers = identified(model, drawing.tensors(model, chosen(model, filter)))
        write_report(format, views.identified(model, answers, spec=spec), first=first)

    for_each(specs, Loading().subject, found)


def export(
    spec: Spec,
    out: Annotated[str, typer.Option(metavar="F.npz|F.safetensors", help="Output file.")],
    layout: Annotated[
        Literal["keras", "torch"],
        typer.Option(help="Names and layout of the tensors.", case_sensitive=False),
    ] = "keras",
    lsuv: Annotated[
        bool,
        typer.Option(
            help="Scale each kernel so that its layer's sums have variance 1 on a batch (LSUV).",
        ),
    ] = False,
    filter: Filter = None,
    *,
    loading: Loading,
) -> None:
    """Save the weights in one file, each under its path.

    Values are sampled, or read where SPEC stores them. Prints the path of the file.

    With --layout torch, names and shapes are those of PyTorch modules with the names of the layers,
    as in nn.Sequential(OrderedDict(dense=nn.Linear(64, 8))).

    With --lsuv, the batch is standard normal; start with orthogonal kernels (arXiv:1511.06422).

    Examples:
      initcli export model.yaml --out weights.npz
      initcli export model.yaml --out kernels.safetensors --filter '*/kernel'
      initcli export model.yaml --out weights.safetensors --layout torch
    """
    from initcli.errors import listed
    from initcli.render import weights_file as exporting

    file = Path(out)
    if file.suffix.lower() not in exporting.SUFFIXES:
        ends = f"the file's name must end in {listed(exporting.SUFFIXES)}"
        raise typer.BadParameter(ends, param_hint="--out")
    model = loading.subject(spec)
    if lsuv:
        model = _unit_variance(model)
    only = chosen(model, filter)
    with progress(Drawing().weights(only), "weights") as bar:
        notes = exporting.export(model, file, layout=layout, only=only, progress=bar.advance)
    for note in notes:
        say(note)
    write_path(file)


def _unit_variance(model: Subject) -> Model:
    """The model with its kernels scaled by LSUV."""
    from initcli.checkpoint import Checkpoint
    from initcli.signal.lsuv import lsuv

    if isinstance(model, Checkpoint) or any(each.stored for each in model.parameters):
        message = "it scales sampled values, but these are stored"
        raise typer.BadParameter(message, param_hint="--lsuv")
    scaled = lsuv(model)
    for note in scaled.notes[len(model.notes) :]:
        say(note)
    return scaled
