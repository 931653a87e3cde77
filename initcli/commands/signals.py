"""The commands about the signal: signal and compare."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from initcli.commands.options import (
    Batch,
    Custom,
    Defaults,
    Draws,
    Input,
    Picture,
    Seed,
    SignalFormat,
    SignalReport,
    Spec,
    Theory,
    loaded,
)
from initcli.terminal import NoBar, console, messages, printed, progress, say, write

if TYPE_CHECKING:
    from initcli.defaults import Framework
    from initcli.render.progress import ProgressBar
    from initcli.spec.model import Model


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
        model = loaded(spec, seed, defaults, custom)
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
            say(note)
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
            say(note)
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
