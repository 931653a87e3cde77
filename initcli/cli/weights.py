"""The commands about weights: summary, hist and export."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from initcli.cli.options import (
    All,
    Call,
    Custom,
    Defaults,
    Depth,
    Filter,
    FormatOption,
    Jobs,
    Loading,
    MaxDraws,
    Pairs,
    PictureFormat,
    Sample,
    Seed,
    Settings,
    Spec,
    Specs,
    Stored,
    Weights,
    chosen,
    for_each,
    max_lines,
    write_report,
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
    from rich.console import RenderableType

    from initcli.checkpoint import Subject
    from initcli.model import Model
    from initcli.parameter import Parameter
    from initcli.reports.tensors import TensorSummary
    from initcli.sampling.workers import Workers

# Rough times of one process, which decide how many processes are started.
_SECONDS_PER_WEIGHT = 1e-8
_SECONDS_PER_PICTURE = 0.04


_MAX_END = 1e300
"""Largest end of an axis: the distance of two ends is a number."""


class _Drawing(NamedTuple):
    """The options that decide what is sampled, and by which processes."""

    max_entries: int | None = None
    jobs: int | None = None
    cluster: str | None = None

    def weights(self, parameters: Iterable[Parameter]) -> int:
        """Number of weights to sample."""
        return sum(count for _, count in self.counts(parameters))

    def counts(self, parameters: Iterable[Parameter]) -> Iterator[tuple[Parameter, int]]:
        """The parameters, each with the number of entries to sample."""
        return ((each, min(each.size, self.max_entries or each.size)) for each in parameters)

    def seconds(self, parameters: Iterable[Parameter]) -> float:
        """Rough time that one process takes."""
        return self.weights(parameters) * _SECONDS_PER_WEIGHT

    def workers(self, seconds: float) -> AbstractContextManager[Workers]:
        """Workers for work that takes one process so long."""
        from initcli.sampling import workers

        if self.cluster is not None:
            return workers.cluster(self.cluster)
        return workers.suitable(self.jobs, seconds)

    def tensors(self, model: Subject, only: Sequence[Parameter]) -> Iterator[TensorSummary]:
        """Sample and measure tensors, with a progress bar."""
        from initcli.measuring import compiled
        from initcli.measuring.same_values import SameValues
        from initcli.reports.tensors import summaries

        compiled.prepare(self.counts(only))
        same = SameValues()
        several = self.workers(self.seconds(only))
        # Processes start first: they cannot be forked while the thread of the bar runs.
        with several as workers, progress(self.weights(only), "weights") as bar:
            for tensor in summaries(
                model,
                only=only,
                workers=workers,
                max_entries=self.max_entries,
                progress=bar.advance,
            ):
                stored = tensor.parameter.stored
                if stored is not None and tensor.measured is not None:
                    same.add(stored, tensor.measured)
                yield tensor
        for note in same.notes():
            say(note)


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


def summary(
    specs: Specs,
    format: FormatOption = "table",
    depth: Depth = None,
    all: All = False,
    filter: Filter = None,
    sample: Sample = False,
    weights: Weights = None,
    map: Pairs = None,
    theory: Annotated[
        bool,
        typer.Option("--theory", help="Print distributions and shapes alone, without sampling."),
    ] = False,
    spectral: Annotated[
        bool,
        typer.Option(
            "--spectral", help="Print the spectral norm of each kernel, and the one to aim at."
        ),
    ] = False,
    max_draws: MaxDraws = None,
    settings: Settings = None,
    seed: Seed = None,
    defaults: Defaults = None,
    custom: Custom = None,
    call: Call = None,
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
    drawing = _Drawing(max_draws, jobs, cluster)
    if theory and any(each is not None for each in drawing):
        raise typer.BadParameter(
            "nothing is sampled that --max-draws, --jobs or --cluster could change",
            param_hint="--theory",
        )
    if jobs and cluster is not None:
        raise typer.BadParameter("a cluster has its own number of workers", param_hint="--jobs")

    from initcli.reports.tensors import is_stored, with_spectral_norms

    def tensors(model: Subject, only: Sequence[Parameter]) -> Iterable[TensorSummary]:
        # Code and configurations say the distributions, and may have billions of weights; what is
        # in memory or in a file is read.
        declared = model.source in ("python", "huggingface") and not is_stored(model)
        if not theory and (sample or not declared):
            drawn: Iterable[TensorSummary] = drawing.tensors(model, only)
        else:
            from initcli.reports.tensors import theory as distributions

            drawn = distributions(model, only=only)
        return with_spectral_norms(drawn) if spectral else drawn

    def summarized(spec: str, model: Subject, first: bool) -> None:
        only = chosen(model, filter)
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

        write_report(
            format,
            table=table,
            record=lambda: SummaryReport.of(model, matched(model, tensors(model, only))),
            rows=lambda: summary_rows(spec, model, matched(model, tensors(model, only))),
            first=first,
        )

    loading = Loading(seed, defaults, custom, settings, call, weights, map)
    for_each(specs, partial(loading.weights, sample=sample), summarized)


def identify(
    specs: Stored,
    format: FormatOption = "table",
    filter: Filter = None,
    jobs: Jobs = None,
) -> None:
    """Print the initializer that each stored tensor looks like.

    Rules of Keras, PyTorch, Flax, timm and Hugging Face for the shape are tried first, then
    distributions with estimated parameters. What fits nothing says so.

    Examples:
      initcli identify model.safetensors
      initcli identify model.safetensors --format json
    """
    drawing = _Drawing(jobs=jobs)

    def found(spec: str, model: Subject, first: bool) -> None:
        from initcli.reports import identify as identify_report

        tensors = drawing.tensors(model, chosen(model, filter))
        answers = identify_report.identified(model, tensors)

        def table(width: int, ascii_only: bool) -> RenderableType:
            from initcli.render.identify import identify_table

            return identify_table(model, answers, width=width, ascii_only=ascii_only)

        write_report(
            format,
            table=table,
            record=lambda: identify_report.IdentifyReport.of(answers),
            rows=lambda: identify_report.identify_rows(spec, model, answers),
            first=first,
        )

    for_each(specs, Loading(None, None, None, None).weights, found)


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
            help="Ends of the axis of weights, such as -0.1:0.1; what lies beyond is counted.",
            show_default="all values but few far ones",
        ),
    ] = None,
    all: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Give each tensor a panel of its own in the overview; without it, those of equal "
            "blocks share one where the overview takes several pages.",
        ),
    ] = False,
    filter: Filter = None,
    sample: Sample = False,
    weights: Weights = None,
    map: Pairs = None,
    max_draws: MaxDraws = None,
    settings: Settings = None,
    seed: Seed = None,
    defaults: Defaults = None,
    custom: Custom = None,
    call: Call = None,
    jobs: Jobs = None,
) -> None:
    """Draw a histogram of every tensor, together with its distribution.

    Values are sampled, or read where SPEC is a file or folder of weights.

    With --out, save one picture per tensor and an overview, and print the path of each. Several
    specs get a folder each.

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
    drawing = _Drawing(max_draws, jobs)

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
        # Values are sampled twice, first to measure them and then to count them.
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
    loading = Loading(seed, defaults, custom, settings, call, weights, map)
    for_each(specs, partial(loading.weights, sample=sample), do)


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
    sample: Sample = False,
    weights: Weights = None,
    map: Pairs = None,
    settings: Settings = None,
    seed: Seed = None,
    defaults: Defaults = None,
    custom: Custom = None,
    call: Call = None,
) -> None:
    """Save the weights in one file, each under its path.

    Values are sampled, or read where SPEC stores them. Prints the path of the file.

    With --layout torch, names and shapes are those of PyTorch modules with the names of the layers,
    as in nn.Sequential(OrderedDict(dense=nn.Linear(64, 8))).

    With --lsuv, the batch is standard normal; begin with orthogonal kernels (arXiv:1511.06422).

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
    loading = Loading(seed, defaults, custom, settings, call, weights, map)
    model = loading.weights(spec, sample=sample)
    if lsuv:
        model = _unit_variance(model)
    only = chosen(model, filter)
    with progress(_Drawing().weights(only), "weights") as bar:
        notes = exporting.export(model, file, layout=layout, only=only, progress=bar.advance)
    for note in notes:
        say(note)
    write_path(file)


def _unit_variance(model: Subject) -> Model:
    """The model with its kernels scaled by LSUV."""
    from initcli.checkpoint import Checkpoint
    from initcli.signal.lsuv import lsuv

    if isinstance(model, Checkpoint) or any(each.stored for each in model.parameters):
        message = "it scales values that are drawn, and these are stored"
        raise typer.BadParameter(message, param_hint="--lsuv")
    return lsuv(model)


def _draw(
    tensors: Iterable[TensorSummary],
    model: Subject,
    bins: int | None,
    log: bool,
    same_scale: bool,
    scale: tuple[float, float] | None,
) -> None:
    """Draw histograms in the terminal, each as soon as its tensor is measured."""
    from initcli.render.bars import BarChart, heading
    from initcli.reports.tensors import common_range

    page, plain = console()
    write(printed(page, heading(model, ascii_only=plain)))
    if same_scale:
        tensors = list(tensors)
        scale = common_range(tensors)
    for tensor in tensors:
        chart = BarChart(width=page.width, ascii_only=plain, bins=bins, log=log, scale=scale)
        write(printed(page, chart.of(tensor)))


def _folders(specs: Sequence[str], out: str) -> dict[str, Path]:
    """The folder of each spec: ``out``, or for several specs a folder of its own in it."""
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
