"""Output of the commands: data in the width of the terminal, progress, notes and errors.

Slow imports are made where they are used, so that ``--help`` answers at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import (
    AbstractContextManager,
    contextmanager,
    nullcontext,
    redirect_stdout,
    suppress,
)
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import typer

from initcli import process

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from initcli.render.progress import ProgressBar

_QUIET: ContextVar[bool] = ContextVar("quiet", default=False)
_DATA: ContextVar[TextIO | None] = ContextVar("data", default=None)


class NoBar:
    """Replaces a progress bar that would not be visible."""

    def advance(self, done: int) -> None:
        """Do nothing."""

    def hidden(self) -> AbstractContextManager[None]:
        """Do nothing."""
        return nullcontext()


_BAR: ContextVar[ProgressBar | NoBar] = ContextVar("bar", default=NoBar())  # noqa: B039


def without_notices_of_matplotlib() -> None:
    """Hide Matplotlib's warnings about its folders if HOME is read-only: it works without them."""
    import logging

    logging.getLogger("matplotlib").setLevel(logging.ERROR)


@contextmanager
def progress(total: int, unit: str) -> Iterator[ProgressBar | NoBar]:
    """A progress bar if standard error is a terminal."""
    if _QUIET.get() or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield NoBar()
        return
    from initcli.render.progress import ProgressBar

    with ProgressBar(total, unit) as bar:
        before = _BAR.set(bar)
        try:
            yield bar
        finally:
            _BAR.reset(before)


def console() -> tuple[Console, bool]:
    """A console with the width and colors of standard output, and whether that is ASCII only."""
    from io import StringIO

    from rich.console import Console

    terminal = Console(file=data_stream())
    page = Console(
        file=StringIO(),
        width=min(max(_width(terminal), _MIN_WIDTH), _MAX_WIDTH),
        force_terminal=terminal.is_terminal,
        color_system=terminal.color_system,  # type: ignore[arg-type]  # one of its own names
        legacy_windows=False,
        highlight=False,
    )
    return page, not _can_print("█─²±σ∞")


_MIN_WIDTH, _MAX_WIDTH = 20, 1000


def _width(terminal: Console) -> int:
    """The width in the environment, or else that of the terminal; a pipe or file takes all."""
    if "COLUMNS" not in os.environ:
        if not data_stream().isatty():
            return _MAX_WIDTH
        with suppress(OSError, ValueError):
            # A terminal whose size was never set reports 0 columns.
            if columns := os.get_terminal_size(data_stream().fileno()).columns:
                return columns
    return terminal.width


def printed(page: Console, content: RenderableType) -> str:
    """The output of a console, as text that standard output can show."""
    with page.capture() as capture:
        page.print(content)
    text = capture.get()
    if not page.is_terminal:  # padding is invisible
        text = "\n".join(line.rstrip() for line in text.split("\n"))
    return text if _can_print(text) else _in_ascii(text)


_SIGNS, _SPELLED = "²±σ√∞≈≤≥→…", "^2 +- std sqrt inf ~ <= >= -> ..."
_ASCII: dict[int, str | int | None] = {
    **str.maketrans("‖·−–—×’‘“”′⌈⌉⌊⌋", "|----x''\"\"'[][]"),
    **dict(zip(map(ord, _SIGNS), _SPELLED.split(), strict=True)),
}
"""ASCII replacements of characters that do not decompose into ASCII."""


def _in_ascii(text: str) -> str:
    import unicodedata

    def spelled(sign: str) -> str:
        name = unicodedata.name(sign, "").split()
        return name[-1].lower() if name[:1] == ["GREEK"] else sign

    text = "".join(map(spelled, text.translate(_ASCII)))
    return unicodedata.normalize("NFKD", text).encode("ascii", "replace").decode()


def say(note: object) -> None:
    """Print a note to standard error."""
    from initcli.errors import printable

    if not _QUIET.get():
        process.tell(f"initcli: {printable(str(note))}")


@contextmanager
def patience(specs: Iterable[str]) -> Iterator[None]:
    """Print a note if a spec is read from a terminal or a pipe for more than a second."""
    slow = [spec for spec in specs if _may_wait(spec)]
    if not slow:
        yield
        return
    from contextvars import copy_context
    from threading import Timer

    name = "standard input" if slow[0] == "-" else slow[0]
    timer = Timer(1.0, copy_context().run, (say, f"still reading {name}"))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def _may_wait(spec: str) -> bool:
    if spec == "-":
        return sys.stdin is not None and sys.stdin.isatty()
    with suppress(OSError, ValueError):
        return Path(spec).is_fifo()
    return False


def complain(error: Exception) -> None:
    """Print the message of an error to standard error."""
    from initcli.errors import printable

    lines = map(printable, str(error).split("\n"))
    short = (line if len(line) <= 500 else f"{line[:200]}...{line[-200:]}" for line in lines)
    text = "\n".join(short)
    process.tell(text if _can_print(text, sys.stderr) else _in_ascii(text))


@contextmanager
def messages(*, quiet: bool, debug: bool) -> Iterator[None]:
    """Report the errors of a command with a message and an exit status."""
    from initcli.errors import InitcliError

    before, stream = _QUIET.set(quiet), _DATA.set(sys.stdout)
    if debug:
        import logging

        logging.basicConfig()
        logging.getLogger("initcli").setLevel(logging.DEBUG)
    try:
        # Output of a user's own functions must not mix with data.
        with redirect_stdout(sys.stderr):
            yield
    except InitcliError as error:
        complain(error)
        raise typer.Exit(2) from None
    except (typer.Exit, typer.Abort, typer.BadParameter):
        raise
    except (KeyboardInterrupt, Exception) as error:
        process.leave_if_interrupted(error)
        raise typer.Exit(process.report_failure(error, debug=debug)) from None
    finally:
        _QUIET.reset(before)
        _DATA.reset(stream)


def data_stream() -> TextIO:
    """Standard output; nothing else is printed to it during a command."""
    return _DATA.get() or sys.stdout


def write(content: str | bytes) -> None:
    """Write to standard output."""
    stream = data_stream()
    try:
        with _BAR.get().hidden() if stream.isatty() else nullcontext():
            if isinstance(content, str):
                stream.write(content)
            else:
                stream.buffer.write(content)
            stream.flush()
    except OSError as error:
        process.output_failed(error)


def write_own(text: str) -> None:
    """Write a user's own text, without control characters on a terminal."""
    from initcli.errors import printable

    if data_stream().isatty():
        text = "\n".join(printable(line.expandtabs()) for line in text.split("\n"))
    write(text)


def write_path(path: Path) -> None:
    """Write a path as a line: raw bytes to a pipe, printable text to a terminal."""
    from initcli.errors import printable

    stream = data_stream()
    if stream.isatty():
        write(f"{printable(str(path))}\n")
    elif os.name == "nt" or not hasattr(stream, "buffer"):
        write(f"{path}\n")
    else:
        write(os.fsencode(path) + b"\n")


def _can_print(text: str, stream: TextIO | None = None) -> bool:
    try:
        text.encode((stream or data_stream()).encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
