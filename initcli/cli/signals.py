"""The commands about the signal: signal and compare."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from initcli.choices import LayerOrder, Loss, Optimizer
from initcli.cli.completion import activations, frameworks, initializers
from initcli.cli.completion import settings as paths_of_values
from initcli.cli.loading import Reading, for_each
from initcli.cli.options import (
    All,
    Batch,
    Custom,
    Depth,
    Draws,
    FormatOption,
    Html,
    Input,
    Picture,
    Seed,
    Settings,
    Specs,
    Theory,
    items,
    max_lines,
    picture_file,
    write_report,
)
from initcli.cli.terminal import (
    NoBar,
    patience,
    progress,
    say,
)

if TYPE_CHECKING:
    from initcli.frameworks import Framework
    from initcli.model import Model
    from initcli.render.progress import ProgressBar
    from initcli.signal.comparison import Comparison
    from initcli.signal.figures import Signal


def signal(
    specs: Specs,
    format: FormatOption = "table",
    batch: Batch = None,
    draws: Draws = None,
    theory: Theory = False,
    input: Input = None,
    out: Picture = None,
    html: Html = None,
    filter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GLOB", help="Print only layers and tensors whose name matches. Repeatable."
        ),
    ] = None,
    depth: Depth = None,
    all: All = False,
    sort: Annotated[
        LayerOrder | None,
        typer.Option(
            help="Sort layers by output std or gradient, or by growth or loss of size from input "
            "to output; the largest first.",
            show_default="order of computation",
        ),
    ] = None,
    loss: Annotated[
        Loss | None,
        typer.Option(
            help="Loss of outputs without an activation; softmax and sigmoid imply theirs."
        ),
    ] = None,
    *,
    reading: Reading,
) -> None:
    """Print the size of every layer's output and gradient.

    Both are measured, and predicted from the distributions. CSV and JSON lines have one row per
    layer.

    Examples:
      initcli signal model.yaml
      initcli signal model.yaml --theory --sort gradient
    """
    picture = picture_file(out, "--out")
    if theory and input is not None:
        message = "nothing is sampled, so --input has no effect"
        raise typer.BadParameter(message, param_hint="--theory")
    for option, given in (("--out", out), ("--html", html)):
        if given is not None and len(specs) > 1:
            raise typer.BadParameter(f"it needs a single spec, not {len(specs)}", param_hint=option)

    def report(spec: str, model: Model, first: bool) -> None:
        result = _signal(model, batch, draws, theory, input, loss)
        shown = result
        if sort is not None:
            from initcli.reports.signal import ordered

            shown = ordered(result, sort)
        if filter:
            shown = shown.matching(filter)
        from initcli.render import views

        most = None if sort else max_lines(all=all)
        view = views.signal(result, shown, depth=depth, max_rows=most, spec=spec)
        write_report(format, view, first=first)
        picture(partial(_drawn, [(model.name, result)]))
        if html is not None:
            from initcli.render.page import save_page, signal_page

            say(f"the page is {save_page(Path(html), signal_page(result), say)}")

    for_each(specs, reading.model, report)


def _signal(
    model: Model,
    batch: int | None,
    draws: int | None,
    theory: bool,
    input: str | None,
    loss: Loss | None = None,
) -> Signal:
    import msgspec

    from initcli.signal.measured import instead, measure_signal, predict_signal
    from initcli.signal.planning import BATCH, NotAfforded, planned
    from initcli.sources.load import computable

    declared, model = model, computable(model)
    left_out = model.notes[len(declared.notes) :]
    said: tuple[str, ...] = ()
    if theory:
        result = predict_signal(model, batch=batch or BATCH, loss=loss)
    else:
        given = _inputs(input, model)
        try:
            plan = planned(model, batch=batch, draws=draws, inputs=given)
        except NotAfforded as error:
            if batch is not None or given:
                raise
            result = instead(model, error, loss=loss)
        else:
            said = plan.notes
            for note in said:
                say(note)
            with _steps() as advance:
                result = measure_signal(model, inputs=given, progress=advance, plan=plan, loss=loss)
    result = msgspec.structs.replace(result, notes=(*left_out, *result.notes))
    for note in result.notes:
        if note not in said:
            say(note)
    return result


def compare(
    specs: Specs,
    kernel_initializer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="A,B,...",
            help="Initializers to compare, each used for all kernels: names, or mappings such as "
            "'{type: VarianceScaling, scale: 1.5}'. Repeatable.",
            autocompletion=initializers,
        ),
    ] = None,
    bias_initializer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="A,B,...",
            help="Initializers to compare, each used for all biases. Repeatable.",
            autocompletion=initializers,
        ),
    ] = None,
    activation: Annotated[
        list[str] | None,
        typer.Option(
            metavar="A,B,...",
            help="Activations to compare, each used for all layers but the last. Repeatable.",
            autocompletion=activations,
        ),
    ] = None,
    defaults: Annotated[
        list[str] | None,
        typer.Option(
            metavar="keras,torch,flax",
            help="Frameworks whose default initializers to compare. Repeatable.",
            autocompletion=frameworks,
        ),
    ] = None,
    sweep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH=VALUES",
            help="Values of the spec to compare: PATH=A,B,..., or N numbers as PATH=LOW:HIGH:N, "
            "or with equal ratios as PATH=LOW:HIGH:logN. Repeatable.",
            autocompletion=paths_of_values,
        ),
    ] = None,
    width: Annotated[
        list[str] | None,
        typer.Option(
            metavar="A,B,...",
            help="Factors of all hidden sizes, such as 0.5,1,2,4: how each layer's output depends "
            "on width; predicted unless --draws or --batch is given.",
        ),
    ] = None,
    scale: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME,...",
            help="Sizes that --width scales: names such as units,filters, or LAYER.NAME. "
            "Repeatable.",
            show_default="hidden sizes",
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1, help="Steps of training, after which --width measures the change of outputs."
        ),
    ] = None,
    optimizer: Annotated[Optimizer, typer.Option(help="Optimizer of --steps.")] = "adam",
    lr: Annotated[float, typer.Option(min=0, help="Learning rate of --steps.")] = 1e-3,
    loss: Annotated[
        Loss | None,
        typer.Option(
            help="Loss of outputs without an activation.", show_default="mean_squared_error"
        ),
    ] = None,
    format: FormatOption = "table",
    batch: Batch = None,
    draws: Draws = None,
    theory: Theory = False,
    out: Picture = None,
    all: All = False,
    settings: Settings = None,
    seed: Seed = None,
    custom: Custom = None,
) -> None:
    """Rank initializers, activations, defaults or specs by the signal.

    Variants are ranked by distance: the largest change of the signal's size, or of
    its sensitivity to a layer, in powers of ten. CSV and JSON lines have one row per
    variant, the best first; with --width one row for each figure at each width.

    Examples:
      initcli compare model.yaml --kernel-initializer he_normal,glorot_uniform
      initcli compare model.yaml --defaults keras,torch,flax --theory
      initcli compare model.yaml --sweep layers.3.kernel_initializer.gain=0.5:2:log3
      initcli compare model.yaml --width 0.5,1,2,4
      initcli compare model.yaml --width 1,2,4 --steps 3 --optimizer sgd --lr 0.1
    """
    picture = picture_file(out, "--out")
    if scale and not width:
        raise typer.BadParameter("it needs --width, such as --width 1,2,4", param_hint="--scale")
    if steps and (theory or not width):
        message = "it needs --width, such as --width 1,2,4, and cannot be used with --theory"
        raise typer.BadParameter(message, param_hint="--steps")
    from initcli.render import views
    from initcli.signal.comparison import compare, variants
    from initcli.signal.training import Training

    training = None
    if steps:
        training = Training(steps=steps, optimizer=optimizer, learning_rate=lr, loss=loss)
    with patience(specs):
        models = variants(
            specs,
            kernel_initializers=kernel_initializer or (),
            bias_initializers=bias_initializer or (),
            activations=activation or (),
            defaults=_frameworks(defaults),
            sweeps=sweep or (),
            widths=width or (),
            scale=items(scale),
            seed=seed,
            custom=custom or (),
            changes=settings or (),
        )
    predicted = theory or (bool(width) and draws is None and batch is None and not steps)
    with _steps(len(models)) as advance:
        comparison = compare(
            models,
            batch=batch,
            draws=draws,
            theory=predicted,
            progress=advance,
            training=training,
        )
    if width:
        _report_widths(comparison, format, picture, max_lines(all=all))
        return
    signals = [each.signal for each in comparison]
    for note in dict.fromkeys(n for each in signals for n in (*each.model.notes, *each.notes)):
        say(note)
    write_report(format, views.compare(comparison))
    picture(partial(_drawn, [(each.label, each.signal) for each in comparison]))


def _report_widths(
    comparison: Comparison,
    format: str,
    picture: Callable[[Callable[[str], bytes]], None],
    rows: int | None,
) -> None:
    """Print the trends of models of several widths, and save their picture."""
    from initcli.render import views
    from initcli.signal.width_sweep import fit_widths

    sweeps = fit_widths(comparison)
    for note in dict.fromkeys(note for sweep in sweeps for note in sweep.notes):
        say(note)
    write_report(format, views.width(*sweeps, max_rows=rows))

    def drawn(kind: str) -> bytes:
        from initcli.render.width_plot import widths_picture

        return widths_picture(sweeps, kind)

    picture(drawn)


def _frameworks(given: Sequence[str] | None) -> list[Framework]:
    from typing import get_args

    from initcli.errors import did_you_mean, listed, quoted
    from initcli.frameworks import Framework as Known

    names = items(given)
    for name in names:
        if name not in get_args(Known):
            known = listed([quoted(each) for each in get_args(Known)])
            message = f"{quoted(name)} is not one of {known}. {did_you_mean(name, get_args(Known))}"
            raise typer.BadParameter(message.strip(), param_hint="--defaults")
    return names  # type: ignore[return-value]


def _drawn(signals: Sequence[tuple[str, Signal]], kind: str) -> bytes:
    from initcli.render.signal_plot import signals_picture

    return signals_picture(signals, kind)


def _inputs(file: str | None, model: Model) -> dict[str, Any]:
    """The arrays of a file, by input name."""
    if file is None:
        return {}
    from initcli.signal.inputs import read_inputs

    with patience([file]):
        return read_inputs(file, model)


@contextmanager
def _steps(models: int = 1) -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar for steps, whose number is known after the first step."""
    with ExitStack() as stack:
        bars: list[ProgressBar | NoBar] = []

        def advance(done: int, whole: int) -> None:
            if not bars:
                bars.append(stack.enter_context(progress(whole * models, "steps")))
            bars[0].advance(done)

        yield advance
