"""What several commands share: their options, how they load models, and how they print rows."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from initcli.cli.completion import filters, settings
from initcli.cli.terminal import complain, messages, patience, say, write
from initcli.render.formats import FORMATS

if TYPE_CHECKING:
    from initcli.frameworks import Framework
    from initcli.model import Model
    from initcli.parameter import Parameter
    from initcli.reports.record import Rows


def format_option(formats: Sequence[str]) -> Any:
    """The option that names one of the formats."""

    def parse(text: str) -> str:
        if text.lower() not in formats:
            from initcli.errors import quoted

            raise typer.BadParameter(f"{quoted(text)} is not one of {', '.join(formats)}")
        return text.lower()

    return typer.Option(
        help="Output format.",
        metavar=f"[{'|'.join(formats)}]",
        parser=parse,
        autocompletion=lambda: list(formats),
    )


FormatOption = Annotated[str, format_option(FORMATS)]
Spec = Annotated[
    str,
    typer.Argument(
        metavar="SPEC",
        help="A YAML or JSON file, a Keras model's JSON or .keras file, or - for standard input.",
    ),
]
Specs = Annotated[
    list[str],
    typer.Argument(
        metavar="SPEC...",
        help="YAML or JSON files, Keras models' JSON or .keras files, or - for standard input.",
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
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Change the spec, such as layers.3.units=128; can be given several times.",
        autocompletion=settings,
    ),
]
Filter = Annotated[
    list[str] | None,
    typer.Option(
        metavar="GLOB",
        help="Only tensors whose path matches, such as '*/kernel'.",
        autocompletion=filters,
    ),
]
Jobs = Annotated[int | None, typer.Option(min=1, help="Processes.", show_default="all cores")]
MaxDraws = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Measure at most the first N entries of a tensor."),
]
Batch = Annotated[
    int | None,
    typer.Option(min=1, help="Examples.", show_default="64, or as many as fit in memory"),
]
Draws = Annotated[
    int, typer.Option(min=1, max=1000, help="Draws of weights and inputs, with a seed each.")
]
Theory = Annotated[
    bool,
    typer.Option("--theory", help="Predictions from the distributions alone; nothing is drawn."),
]
Input = Annotated[
    str | None,
    typer.Option(
        metavar="X.npy", help="Inputs of your own: an array, or an .npz with one for each input."
    ),
]
Picture = Annotated[
    str | None,
    typer.Option(metavar="F.png|F.svg|F.pdf", help="Save a picture of it."),
]
Html = Annotated[
    str | None,
    typer.Option(metavar="DIR", help="Put it into the page DIR/index.html, beside what is there."),
]

_SHARED = (
    (
        "quiet",
        Annotated[bool, typer.Option("--quiet", "-q", help="No notes and no progress.")],
        False,
    ),
    (
        "limit",
        Annotated[
            list[str] | None,
            typer.Option(metavar="NAME=N", help="Raise a limit that a message names."),
        ],
        None,
    ),
    (
        "debug",
        Annotated[bool, typer.Option("--debug", help="Show where the program itself failed.")],
        False,
    ),
)


def command(function: Callable[..., None]) -> Callable[..., None]:
    """The function as a command, which has the options that all have and ends in messages."""

    @wraps(function)
    def run(*, quiet: bool, limit: list[str] | None, debug: bool, **arguments: Any) -> None:
        with messages(quiet=quiet, debug=debug):
            if limit:
                from initcli.limits import from_options, limited

                with limited(**from_options(limit)):
                    function(**arguments)
            else:
                function(**arguments)

    signature = inspect.signature(function, eval_str=True)
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, kind, default in _SHARED
    ]
    own = [
        each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in signature.parameters.values()
    ]
    run.__signature__ = signature.replace(parameters=[*own, *shared])  # type: ignore[attr-defined]
    run.__annotations__ = {**function.__annotations__, **{name: kind for name, kind, _ in _SHARED}}
    return run


class Loading(NamedTuple):
    """How a spec becomes a model, as the command line says it."""

    seed: int | None
    defaults: Framework | None
    custom: Sequence[str] | None
    changes: Sequence[str] | None

    def model(self, spec: str) -> Model:
        """The model of a spec, whose notes go to standard error."""
        from initcli.sources.load import load

        with patience([spec]):
            model = load(
                spec,
                seed=self.seed,
                defaults=self.defaults,
                custom=self.custom or (),
                changes=self.changes or (),
            )
        for note in model.notes:
            say(note)
        return model


def for_each(
    specs: Iterable[str], loading: Loading, do: Callable[[str, Model, bool], None]
) -> None:
    """Do something with the model of every spec, given how the spec was named, and with it whether
    it is the first; what is wrong with one is said, and does not stop the rest."""
    from initcli.errors import InitcliError

    wrong, first = False, True
    for spec in specs:
        try:
            model = loading.model(spec)
            is_first, first = first, False
            do(spec, model, is_first)
        except InitcliError as error:
            complain(error)
            wrong = True
    if wrong:
        raise typer.Exit(2)


def chosen(model: Model, filter: Sequence[str] | None) -> Sequence[Parameter]:
    """The parameters that a filter asks for, or all."""
    return model.matching(filter) if filter else model.parameters


def write_rows(format: str, rows: Rows, *, first: bool = True) -> None:
    """Write rows as they come; ``first`` is whether no others came before them."""
    from initcli.render.formats import ROWS

    for line in ROWS[format](rows, first):
        write(line)
