"""Every error message of the program is provoked by a case in ``tests/error_cases``.

``python tests/test_error_messages.py`` prints all messages as a page of Markdown.
"""

from __future__ import annotations

import ast
import contextlib
import io
import os
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import pytest
import typer

import initcli
from error_cases import CASES, DENSE, Case
from initcli.cli.app import app
from initcli.documents.document import Document
from initcli.documents.yaml_text import _Refused
from initcli.errors import Errors, InitcliError, InvalidSpec, SpecError, printable
from initcli.sources.keras.values import NotRead
from initcli.types import ArgumentError, NotComputable, ShapeError

PACKAGE = Path(initcli.__file__).parent
BASES = (InitcliError, ShapeError, ArgumentError, NotComputable, NotRead, _Refused)
"""What carries a message; whatever derives from these does too."""


class Site(NamedTuple):
    """A call in the program that makes an error: its module, and where it ends."""

    module: str
    line: int
    column: int


class Seen(NamedTuple):
    """An error that a person saw."""

    error: Any
    message: str
    sites: tuple[Site, ...]
    is_final: bool
    """Whether it was seen as it is, and not within another error."""


def test_every_error_of_the_program_is_provoked_and_its_message_short_and_printable() -> None:
    provoked = set()
    for case in CASES:
        text, seen = outcome(case)
        assert seen, f"{case.title}: {text}"
        assert all(c.isprintable() or c == "\n" for c in text), repr(text)
        for each in seen:
            assert len(each.message) < 300, each.message
            provoked.update(each.sites)
    missing = sorted(
        f"{site.module}:{site.line}: {text}"
        for site, text in written_sites().items()
        if site not in provoked
    )
    assert not missing, "nobody provokes\n" + "\n".join(missing)


HOSTILE = (
    "summary {}",
    "summary spec.yaml --custom {}",
    "summary spec.yaml --filter {}",
    "summary spec.yaml --set {}",
    "summary spec.yaml --set {}=1",
    "summary spec.yaml --set layers.0.units={}",
    "summary spec.yaml --limit {}",
    "summary spec.yaml --limit layers={}",
    "export spec.yaml --out {}/weights.npz",
    "diff spec.yaml spec.yaml --filter {}",
    "diff spec.yaml spec.yaml --plot {}/picture.svg",
    "signal spec.yaml --input {}",
    "signal spec.yaml --filter {}",
    "signal spec.yaml --theory --out {}/picture.svg",
    "compare spec.yaml --kernel-initializer {}",
    "compare spec.yaml --activation {}",
    "compare spec.yaml --defaults {}",
    "check spec.yaml --select {}",
    "check --explain {}",
    "catalog {}",
    "init spec.yaml/{}",
)


def test_no_value_of_an_option_gets_at_the_terminal() -> None:
    value = "\x1b[31m\x9b\x07\u202e" + "n" * 10_000
    for command in HOSTILE:
        text, _ = said(Case(command, command.format(value), {"spec.yaml": DENSE}))
        assert all(c.isprintable() or c == "\n" for c in text), f"{command}: {text!r}"
        assert len(text) < 1000, f"{command}: {text}"


def test_messages_are_of_ascii_where_the_terminal_is() -> None:
    cases = {case.title: case for case in CASES}
    assert "in a circle: a -> b -> a\n" in said(cases["a circle"], "ascii")[0]
    assert (
        "dense/kernel ~ N(0, 1e+06^2) is" in said(cases["a distribution with a square"], "ascii")[0]
    )


@pytest.mark.parametrize(
    ("command", "meant"),
    [("sumary spec.yaml", "'summary'"), ("summary spec.yaml --fromat json", "--format")],
)
def test_a_slip_in_a_command_or_an_option_is_answered_with_what_was_meant(
    command: str, meant: str
) -> None:
    assert meant in said(Case(command, command, {"spec.yaml": DENSE}))[0]


def test_the_table_has_rows_by_the_module_of_a_message() -> None:
    cases = {case.title: case for case in CASES}
    lines = table([cases["a circle"], cases["a distribution with a square"]]).splitlines()
    headings = [line for line in lines if line.startswith("## ")]
    assert headings == ["## sources/assembly.py", "## sources/building.py"]
    (row,) = [line for line in lines if line.startswith("| InvalidGraph | spec.yaml:3:34 | ")]
    assert row.endswith("a → b → a |  |")


# --------------------------------------------------------------------------- what there is


@cache
def written_sites() -> dict[Site, str]:
    """Every call in the program that makes an error, as it is written."""
    nodes = [
        (file.relative_to(PACKAGE).as_posix(), node)
        for file in sorted(PACKAGE.rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_bytes()))
        if isinstance(node, ast.Call | ast.FunctionDef | ast.ClassDef)
    ]
    names = {cls.__name__ for cls in (*BASES, typer.BadParameter)}
    classes = [each for _, each in nodes if isinstance(each, ast.ClassDef)]
    while found := {
        each.name
        for each in classes
        if each.name not in names
        and any(isinstance(base, ast.Name) and base.id in names for base in each.bases)
    }:
        names |= found
    # So does a function that returns one; only Document.invalid is given errors that are made.
    names |= {
        node.name
        for _, node in nodes
        if isinstance(node, ast.FunctionDef)
        and isinstance(node.returns, ast.Name)
        and node.returns.id in names
    }
    names |= {Errors.report.__name__}
    names -= {InvalidSpec.__name__, Document.invalid.__name__}
    sites = {}
    for module, node in nodes:
        if isinstance(node, ast.Call) and _called(node) in names:
            assert node.end_lineno is not None
            assert node.end_col_offset is not None
            sites[Site(module, node.end_lineno, node.end_col_offset)] = ast.unparse(node)
    return sites


def _called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Name):
        return node.func.id
    return node.func.attr if isinstance(node.func, ast.Attribute) else ""


# --------------------------------------------------------------------------- what is seen


@cache
def outcome(case: Case) -> tuple[str, list[Seen]]:
    """What a person reads in this case, and the errors in it."""
    made: list[tuple[Any, tuple[Site, ...]]] = []

    def new(cls: type[Any], *args: Any, **kwargs: Any) -> Any:
        error = Exception.__new__(cls, *args, **kwargs)
        made.append((error, tuple(_sites(sys._getframe(1)))))
        return error

    with pytest.MonkeyPatch.context() as patch:
        for base in (*BASES, typer.BadParameter):
            patch.setattr(base, "__new__", new)
        text, here = said(case)
    text = text.replace(here, "")
    found = []
    for error, sites in made:
        message = str(getattr(error, "message", error)).replace(here, "").partition("\n")[0]
        if message and not isinstance(error, InvalidSpec) and message in text:
            # Of an error that is told within another, the line begins otherwise.
            line = str(error).replace(here, "").partition("\n")[0]
            is_final = isinstance(error, typer.BadParameter) or line in text.splitlines()
            found.append(Seen(error, message, sites, is_final))
    return text, found


def said(case: Case, encoding: str = "utf-8") -> tuple[str, str]:
    """What is printed by the command, or raised by the call, and the folder where that was."""
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        contextlib.chdir(folder),
        pytest.MonkeyPatch.context() as patch,
    ):
        here = f"{Path.cwd()}{os.sep}"
        for name, content in case.files.items():
            Path(name).parent.mkdir(exist_ok=True)
            Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
        if case.cause is not None:
            case.cause(patch)
        return _raised(case.call) if case.call else _printed(case.command, encoding), here


def _raised(call: Callable[[], object]) -> str:
    with pytest.raises(InitcliError) as caught:
        call()
    return f"{caught.value}\n"


def _printed(command: str, encoding: str) -> str:
    printed, complained = (
        io.TextIOWrapper(io.BytesIO(), encoding, errors="backslashreplace", newline="\n")
        for _ in range(2)
    )
    with redirect_stdout(printed), redirect_stderr(complained), pytest.raises(SystemExit) as end:
        _command()(shlex.split(command), prog_name="initcli")
    assert end.value.code == 2, command
    complained.seek(0)
    return complained.read()


@cache
def _command() -> Any:
    return typer.main.get_command(app)


def _sites(frame: FrameType | None) -> Iterator[Site]:
    """Where in the program the calls are that led here."""
    while frame is not None:
        file = Path(frame.f_code.co_filename)
        if file.is_relative_to(PACKAGE):
            at = next(islice(frame.f_code.co_positions(), frame.f_lasti // 2, None))
            _, line, _, column = at
            yield Site(file.relative_to(PACKAGE).as_posix(), line or 0, column or 0)
        frame = frame.f_back


# --------------------------------------------------------------------------- the table


class Row(NamedTuple):
    """An error as a person reads it."""

    kind: str
    place: str
    message: str
    remedy: str


def table(cases: Iterable[Case]) -> str:
    """The messages of cases as a page of Markdown, by the module that has them."""
    modules: dict[str, dict[Row, None]] = {}
    for case in cases:
        seen = outcome(case)[1]
        for each in seen:
            if each.is_final:
                origin = next(s for s in seen if s.message in each.message)
                module = next(site for site in origin.sites if site in written_sites()).module
                modules.setdefault(module, {})[_row(each)] = None
    lines = ["# Every error message"]
    for module, rows in sorted(modules.items()):
        lines += ["", f"## {module}", "", "| error | place | message | remedy |"]
        lines += ["| --- | --- | --- | --- |"]
        lines += [f"| {' | '.join(map(_cell, row))} |" for row in rows]
    return "\n".join(lines) + "\n"


def _row(seen: Seen) -> Row:
    error = seen.error
    if isinstance(error, SpecError):
        place = "" if error.place is None else str(error.place)
        return Row(type(error).__name__, place, error.message, error.remedy)
    if isinstance(error, typer.BadParameter):
        return Row(type(error).__name__, str(error.param_hint or ""), error.message, "")
    remedy = str(error).partition("\n  = ")[2]
    first, colon, rest = seen.message.partition(": ")
    if colon and " " not in first:
        return Row(type(error).__name__, first, rest, remedy)
    return Row(type(error).__name__, "", seen.message, remedy)


def _cell(text: str) -> str:
    return printable(text).replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")


if __name__ == "__main__":
    print(table(CASES))  # noqa: T201
