"""Options, loading and row output shared by several commands."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import wraps
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar

import typer

from initcli.choices import Framework
from initcli.cli.completion import filters, settings
from initcli.cli.terminal import (
    complain,
    console,
    data_stream,
    messages,
    patience,
    printed,
    say,
    write,
)
from initcli.render.formats import FORMATS

if TYPE_CHECKING:
    from msgspec import Struct
    from rich.console import RenderableType

    from initcli.checkpoint import Subject
    from initcli.model import Model
    from initcli.parameter import Parameter
    from initcli.reports.record import Rows


Loaded = TypeVar("Loaded")

_SCREENS = 3
"""Number of screens that a table may fill before repeated blocks are folded."""
# Groups of options in the help.
_MODEL, _SAMPLING, _GENERAL = "Model", "Sampling", "General"


def format_option(formats: Sequence[str]) -> Any:
    """An option whose value is one of the formats."""

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


class PictureFormat(StrEnum):
    """Formats of pictures."""

    png = "png"
    svg = "svg"
    pdf = "pdf"


def picture_format(file: str | None, option: str) -> str:
    """The format of the picture file that an option names; "" without one."""
    if file is None:
        return ""
    kind = file.rpartition(".")[2].lower()
    if kind not in list(PictureFormat):
        ends = "the file's name must end in .png, .svg or .pdf"
        raise typer.BadParameter(ends, param_hint=option)
    return kind


FormatOption = Annotated[str, format_option(FORMATS)]
Spec = Annotated[
    str,
    typer.Argument(
        metavar="SPEC",
        help="A spec (YAML or JSON), a Keras model (.json or .keras), code as FILE.py:OBJECT or "
        "MODULE:OBJECT (which is run), or - for standard input.",
    ),
]
Specs = Annotated[
    list[str],
    typer.Argument(
        metavar="SPEC...",
        help="Specs (YAML or JSON), Keras models (.json or .keras), Hugging Face config.json "
        "files, code as FILE.py:OBJECT or MODULE:OBJECT (which is run), or - for standard input.",
    ),
]
Stored = Annotated[
    list[str],
    typer.Argument(
        metavar="FILE...",
        help="Files or folders of weights: safetensors, PyTorch, NumPy, Keras, GGUF, ONNX, Flax.",
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(rich_help_panel=_MODEL, help="Random seed; overrides that of the spec."),
]
Custom = Annotated[
    list[str] | None,
    typer.Option(
        rich_help_panel=_MODEL,
        metavar="FILE.py",
        help="Python file with your own initializers; it is executed.",
    ),
]
Defaults = Annotated[
    Framework | None,
    typer.Option(
        rich_help_panel=_MODEL,
        help="Framework whose default initializers to use; overrides the spec.",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        rich_help_panel=_MODEL,
        metavar="PATH=VALUE",
        help="Change a value of the spec, such as layers.3.units=128. Repeatable.",
        autocompletion=settings,
    ),
]


def _keywords(text: str) -> dict[str, Any]:
    """Parse keyword arguments."""
    import json

    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise typer.BadParameter('it must be a JSON object, such as {"layers": 2}')
    return value


Call = Annotated[
    Any,
    typer.Option(
        rich_help_panel=_MODEL,
        metavar="JSON",
        parser=_keywords,
        help="Keyword arguments, as JSON, for the function or class that SPEC names in code.",
    ),
]
Filter = Annotated[
    list[str] | None,
    typer.Option(
        metavar="GLOB",
        help="Only tensors whose path matches, such as '*/kernel'. Repeatable.",
        autocompletion=filters,
    ),
]
Depth = Annotated[
    int | None,
    typer.Option(min=1, help="Number of name levels to show; deeper blocks are folded."),
]
All = Annotated[
    bool,
    typer.Option(
        "--all",
        help="Show every layer. Without it, a table of more than three screens shows only the "
        "first of equal blocks on a terminal.",
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        rich_help_panel=_SAMPLING, min=1, help="Number of processes.", show_default="all cores"
    ),
]
Sample = Annotated[
    bool,
    typer.Option(
        "--sample",
        rich_help_panel=_MODEL,
        help="Sample new values for a model whose file also stores its weights.",
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        rich_help_panel=_MODEL,
        help="Take the values from a file of weights, and compare them with the model.",
    ),
]
Pairs = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="PARAMETER=TENSOR",
        rich_help_panel=_MODEL,
        help="Pair a parameter with a tensor of --weights. Repeatable.",
    ),
]
MaxDraws = Annotated[
    int | None,
    typer.Option(
        rich_help_panel=_SAMPLING,
        min=1,
        metavar="N",
        help="Sample only the first N entries of each tensor.",
    ),
]
Batch = Annotated[
    int | None,
    typer.Option(
        rich_help_panel=_SAMPLING,
        min=1,
        help="Number of examples.",
        show_default="64, or as many as fit in memory and a minute",
    ),
]
Draws = Annotated[
    int | None,
    typer.Option(
        rich_help_panel=_SAMPLING,
        min=1,
        max=1000,
        help="Number of draws of weights and inputs.",
        show_default="5, or as many as a minute allows",
    ),
]
Theory = Annotated[
    bool,
    typer.Option(
        "--theory",
        rich_help_panel=_SAMPLING,
        help="Predict from the distributions alone, without sampling.",
    ),
]
Input = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=_SAMPLING,
        metavar="X.npy",
        help="Inputs: an .npy array, or an .npz file with one array per input.",
    ),
]
Picture = Annotated[
    str | None,
    typer.Option(
        metavar="|".join(f"F.{each}" for each in PictureFormat), help="Save a picture in this file."
    ),
]
Html = Annotated[
    str | None, typer.Option(metavar="DIR", help="Add the report to the page DIR/index.html.")
]

_SHARED = (
    (
        "quiet",
        Annotated[
            bool,
            typer.Option(
                "--quiet", "-q", rich_help_panel=_GENERAL, help="Print no notes and no progress."
            ),
        ],
        False,
    ),
    (
        "limit",
        Annotated[
            list[str] | None,
            typer.Option(
                metavar="NAME=N",
                rich_help_panel=_GENERAL,
                help="Raise a limit that an error names. Repeatable.",
            ),
        ],
        None,
    ),
    (
        "debug",
        Annotated[
            bool,
            typer.Option(
                "--debug",
                rich_help_panel=_GENERAL,
                help="Print the traceback of an internal error.",
            ),
        ],
        False,
    ),
)


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Turn a function into a command with the shared options and error reporting."""

    @wraps(function)
    def run(*, quiet: bool, limit: list[str] | None, debug: bool, **arguments: Any) -> None:
        with messages(quiet=quiet, debug=debug):
            from initcli.limits import from_options, limited

            with limited(**from_options(limit or ())):
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
    """The options that decide how a spec becomes a model."""

    seed: int | None
    defaults: Framework | None
    custom: Sequence[str] | None
    changes: Sequence[str] | None
    call: Mapping[str, Any] | None = None
    file: str | None = None
    pairs: Sequence[str] | None = None

    def model(self, spec: str) -> Model:
        """Load a spec and print its notes."""
        from initcli.sources.load import load

        with patience([spec]):
            model = load(spec, **self._options())
        for note in model.notes:
            say(note)
        return model

    def weights(self, source: str, *, sample: bool = False) -> Subject:
        """Load stored weights if there are any, else the model, and print the notes.

        ``sample`` ignores weights that are stored with their model.
        """
        if self.file is not None:
            return self._held_to(source, self.file)
        if self.pairs:
            raise typer.BadParameter("there is no --weights FILE", param_hint="--map")
        from initcli.checkpoint import Checkpoint
        from initcli.sources.subject import subject

        with patience([source]):
            found = subject(source, sample=sample, **self._options())
        given_options = ("--seed", "--defaults", "--custom", "--set", "--call")
        for option, given in zip(given_options, self, strict=False):
            if isinstance(found, Checkpoint) and given not in (None, {}, []):
                message = f"{source} holds stored weights: nothing is sampled"
                raise typer.BadParameter(message, param_hint=option)
        for note in found.notes:
            say(note)
        return found

    def _options(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "defaults": self.defaults,
            "custom": self.custom or (),
            "changes": self.changes or (),
            "call": self.call,
        }

    def _held_to(self, source: str, file: str) -> Model:
        """The model with the values of another file."""
        from initcli.sources.pairing import held_to
        from initcli.sources.reader import unreadable
        from initcli.sources.weights.read import checkpoint

        with patience([file]):
            found = checkpoint(file)
        if found is None:
            raise unreadable(file, "there are no stored weights", "name a file such as model.npz")
        declared = self.model(source)
        model = held_to(declared, found, self.pairs or ())
        for note in model.notes[len(declared.notes) :]:
            say(note)
        return model


def for_each(
    specs: Iterable[str],
    load: Callable[[str], Loaded],
    do: Callable[[str, Loaded, bool], None],
) -> None:
    """Call ``do(spec, load(spec), is_first)`` for every spec; an error does not stop the rest."""
    from initcli.errors import InitcliError

    wrong, first = False, True
    for spec in specs:
        try:
            model = load(spec)
            is_first, first = first, False
            do(spec, model, is_first)
        except InitcliError as error:
            complain(error)
            wrong = True
    if wrong:
        raise typer.Exit(2)


def chosen(model: Subject, filter: Sequence[str] | None) -> Sequence[Parameter]:
    """The parameters that match a filter; all without one."""
    return model.matching(filter) if filter else model.parameters


def max_lines(*, all: bool) -> int | None:
    """Maximum number of lines of a table with unfolded blocks: three screens, or None for any.

    ``all`` is the option of that name.
    """
    if all or not data_stream().isatty():
        return None
    return _SCREENS * get_terminal_size().lines


def report_text(
    format: str,
    *,
    table: Callable[[int, bool], RenderableType],
    record: Callable[[], Struct],
    rows: Callable[[], Rows],
    first: bool = True,
) -> Iterator[str]:
    """A report in one of the formats, in parts as they are computed.

    Args:
        format: one of :data:`FORMATS`; only the function for this format is called.
        table: returns the table for a width in columns, in ASCII only if the flag is set.
        record: returns the record for JSON.
        rows: returns the rows for all other formats.
        first: whether this is the first report of the output.
    """
    if format == "table":
        page, plain = console()
        yield "\n" * (not first) + printed(page, table(page.width, plain))
    elif format == "json":
        from initcli.reports.record import json_text

        yield json_text(record())
    else:
        from initcli.render.formats import ROWS

        yield from ROWS[format](rows(), first)


def write_report(format: str, **report: Any) -> None:
    """Write a report as it comes, see :func:`report_text`."""
    for part in report_text(format, **report):
        write(part)
