"""Options and output shared by several commands."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from functools import wraps
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from initcli.cli.completion import filters, settings
from initcli.cli.terminal import (
    console,
    data_stream,
    messages,
    printed,
    without_notices_of_matplotlib,
    write,
)
from initcli.render.formats import FORMATS

if TYPE_CHECKING:
    from initcli.checkpoint import Subject
    from initcli.parameter import Parameter
    from initcli.render.views import View


_SCREENS = 3
"""Number of screens that a table may fill before repeated blocks are folded."""
# Groups of options in the help.
MODEL, _SAMPLING, _GENERAL = "Model", "Sampling", "General"


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


def picture_file(file: str | None, option: str) -> Callable[[Callable[[str], bytes]], None]:
    """A function that saves a picture in the file that an option names, if it names one.

    It takes a function that draws the picture in a format, which is that of the file's suffix.
    """
    kind = "" if file is None else file.rpartition(".")[2].lower()
    if file is not None and kind not in list(PictureFormat):
        ends = "the file's name must end in .png, .svg or .pdf"
        raise typer.BadParameter(ends, param_hint=option)

    def save(draw: Callable[[str], bytes]) -> None:
        if file is not None:
            without_notices_of_matplotlib()
            from initcli.files import write_whole

            write_whole(Path(file), draw(kind))

    return save


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
    typer.Option(rich_help_panel=MODEL, help="Random seed; overrides that of the spec."),
]
Custom = Annotated[
    list[str] | None,
    typer.Option(
        rich_help_panel=MODEL,
        metavar="FILE.py",
        help="Python file with your own initializers; it is executed.",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        rich_help_panel=MODEL,
        metavar="PATH=VALUE",
        help="Change a value of the spec, such as layers.3.units=128. Repeatable.",
        autocompletion=settings,
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
        rich_help_panel=MODEL,
        help="Sample new values for a model whose file also stores its weights.",
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


@dataclass(frozen=True)
class General:
    """The options of every command."""

    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet", "-q", rich_help_panel=_GENERAL, help="Print no notes and no progress."
        ),
    ] = False
    limit: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=N",
            rich_help_panel=_GENERAL,
            help="Raise a limit that an error names. Repeatable.",
        ),
    ] = None
    debug: Annotated[
        bool,
        typer.Option(
            "--debug", rich_help_panel=_GENERAL, help="Print the traceback of an internal error."
        ),
    ] = False


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Turn a function into a command with the general options and error reporting.

    A parameter whose type is a dataclass stands for the options that are its fields.
    """
    signature = inspect.signature(function, eval_str=True)
    groups = {
        name: each.annotation
        for name, each in signature.parameters.items()
        if is_dataclass(each.annotation)
    }

    @wraps(function)
    def run(**arguments: Any) -> None:
        def taken(kind: Any) -> Any:
            return kind(**{each.name: arguments.pop(each.name) for each in fields(kind)})

        general = taken(General)
        given = {name: taken(kind) for name, kind in groups.items()}
        with messages(quiet=general.quiet, debug=general.debug):
            from initcli.limits import from_options, limited

            with limited(**from_options(general.limit or ())):
                function(**arguments, **given)

    parameters: list[inspect.Parameter] = []
    for name, each in signature.parameters.items():
        own = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY)]
        parameters += _options(groups[name]) if name in groups else own
    parameters += _options(General)
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run


def _options(kind: Any) -> Iterator[inspect.Parameter]:
    """The fields of a dataclass as keyword parameters."""
    types = get_type_hints(kind, include_extras=True)
    for each in fields(kind):
        yield inspect.Parameter(
            each.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=each.default,
            annotation=types[each.name],
        )


def items(given: Iterable[str] | None) -> list[str]:
    """The items of comma-separated lists."""
    return [item.strip() for text in given or () for item in text.split(",") if item.strip()]


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


def report_text(format: str, view: View, *, first: bool = True) -> Iterator[str]:
    """A view in one of :data:`FORMATS`, in parts as they are computed.

    ``first`` is whether it is the first of the output.
    """
    if format == "table":
        page, plain = console()
        yield "\n" * (not first) + printed(page, view.table(page.width, plain))
    elif format == "json":
        from initcli.reports.record import json_text

        yield json_text(view.record())
    else:
        from initcli.render.formats import ROWS

        yield from ROWS[format](view.rows(), first)


def write_report(format: str, view: View, *, first: bool = True) -> None:
    """Write a view as it comes, see :func:`report_text`."""
    for part in report_text(format, view, first=first):
        write(part)
