"""What the commands say to a person: pages as wide as the terminal, progress, and messages.

Whatever is heavy is imported where it is used, so that ``--help`` answers at once.
"""

from __future__ import annotations

import os
import stat
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

REPORTS = "https://github.com/initcli/initcli/issues"
"""Where failures of the program itself are reported."""
UNEXPECTED = 70
"""The exit status of such a failure (EX_SOFTWARE of sysexits.h)."""
_QUIET: ContextVar[bool] = ContextVar("quiet", default=False)
_DATA: ContextVar[TextIO | None] = ContextVar("data", default=None)


class NoBar:
    """In place of a progress bar that nobody would see."""

    def advance(self, done: int) -> None:
        """So much more is done."""

    def hidden(self) -> AbstractContextManager[None]:
        """Out of the way, as it always is."""
        return nullcontext()


_BAR: ContextVar[ProgressBar | NoBar] = ContextVar("bar", default=NoBar())  # noqa: B039


@contextmanager
def progress(total: int, unit: str) -> Iterator[ProgressBar | NoBar]:
    """A progress bar, which is not even imported where standard error is no terminal."""
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
    """What prints as wide and as colorful as standard output is, and whether in ASCII alone."""
    from io import StringIO

    from rich.console import Console

    terminal = Console(file=data_stream())
    page = Console(
        file=StringIO(),
        width=min(max(_width(terminal), _NARROWEST), _WIDEST),
        force_terminal=terminal.is_terminal,
        color_system=terminal.color_system,  # type: ignore[arg-type]  # one of its own names
        legacy_windows=False,
        highlight=False,
    )
    return page, not _can_print("█─²±σ∞")


_NARROWEST, _WIDEST = 20, 1000
"""Columns that a page has, however narrow or wide the terminal says that it is."""


def _width(terminal: Console) -> int:
    """The columns that are asked for, or those of the terminal that standard output is."""
    if "COLUMNS" not in os.environ:
        with suppress(OSError, ValueError):
            return os.get_terminal_size(data_stream().fileno()).columns
    return terminal.width


def printed(page: Console, content: RenderableType) -> str:
    """What a console prints, as text that standard output can show."""
    with page.capture() as capture:
        page.print(content)
    text = capture.get()
    return text if _can_print(text) else _in_ascii(text)


def _in_ascii(text: str) -> str:
    """The text with what an ASCII terminal has not spelled out."""
    import unicodedata

    def plain(sign: str) -> str:
        name = unicodedata.name(sign, "").split()
        if name[:1] == ["GREEK"]:
            return name[-1].capitalize() if "CAPITAL" in name else name[-1].lower()
        return unicodedata.normalize("NFKD", sign).encode("ascii", "ignore").decode() or sign

    text = text.translate(_PLAIN)
    return "".join(sign if sign.isascii() else plain(sign) for sign in text)


_PLAIN = str.maketrans(
    {
        "‖": "|",
        "²": "^2",
        "±": "+-",
        "·": "-",
        "σ": "std",
        "√": "sqrt",
        "⌈": "ceil(",
        "⌉": ")",
        "⌊": "floor(",
        "⌋": ")",
        "∞": "inf",
        "≈": "~",
        "≤": "<=",
        "≥": ">=",
        "−": "-",
        "–": "-",
        "—": "-",
        "×": "x",
        "→": "->",
        "…": "...",
        "’": "'",
        "‘": "'",
        "“": '"',
        "”": '"',
        "′": "'",
    }
)
"""What stands for signs whose names do not say it."""


def say(note: object) -> None:
    """A line to the person on standard error, with nothing in it that a terminal would obey."""
    from initcli.errors import printable

    if not _QUIET.get():
        _tell(f"initcli: {printable(str(note))}")


@contextmanager
def patience(specs: Iterable[str]) -> Iterator[None]:
    """Say after a second that a pipe, a device or a terminal is read, which may take for ever."""
    named = [spec for spec in specs if _may_wait(spec)]
    if not named:
        yield
        return
    from contextvars import copy_context
    from threading import Timer

    what = "standard input" if named[0] == "-" else named[0]
    note = f"still reading {what}, which ends when whoever writes to it closes it"
    timer = Timer(1.0, copy_context().run, (say, note))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def _may_wait(spec: str) -> bool:
    """Whether a spec comes from a terminal, or from what is neither file nor folder."""
    if spec == "-":
        return sys.stdin is not None and sys.stdin.isatty()
    try:
        mode = Path(spec).stat().st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def complain(error: Exception) -> None:
    """The message of an error, with nothing in it that a terminal would obey."""
    from initcli.errors import printable

    text = "\n".join(_short(printable(line)) for line in str(error).split("\n"))
    if not _can_print(text, sys.stderr):
        text = text.translate(_PLAIN)
    _tell(text)


def _tell(line: str) -> None:
    """Print to standard error; where that is full or gone, nobody can be told."""
    with suppress(OSError):
        print(line, file=sys.stderr)


def _short(line: str) -> str:
    """The beginning and the end of a line that is longer than anybody reads."""
    return line if len(line) <= _LONGEST_LINE else f"{line[:200]}...{line[-200:]}"


_LONGEST_LINE = 500


@contextmanager
def messages(*, quiet: bool = False, debug: bool = False) -> Iterator[None]:
    """Turn what is a person's to mend into a message and status 2, an interrupt into 130.

    Args:
        quiet: whether notes and progress bars are left out.
        debug: whether a failure of the program itself shows its traceback, and what has no
            prediction says why.
    """
    from initcli.errors import InitcliError

    before, stream = _QUIET.set(quiet), _DATA.set(sys.stdout)
    try:
        process.make_room_for_numpy()
        # What a person's own functions print is no data.
        with redirect_stdout(sys.stderr), _logged() if debug else nullcontext():
            yield
    except InitcliError as error:
        complain(error)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        # Threads that are in the middle of a large matrix are not waited for.
        process.leave(process.interrupt_status())
    except (typer.Exit, typer.Abort, typer.BadParameter):
        raise
    except Exception as error:
        if process.asked_to_end():
            process.leave(process.interrupt_status())
        if refusal := process.refusal(error):
            _tell(f"initcli: {refusal}")
            raise typer.Exit(2) from None
        confess(error, debug=debug)
        raise typer.Exit(UNEXPECTED) from None
    finally:
        _QUIET.reset(before)
        _DATA.reset(stream)


@contextmanager
def _logged() -> Iterator[None]:
    """What modules log, on standard error."""
    import logging

    logger, handler = logging.getLogger("initcli"), logging.StreamHandler(sys.stderr)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


def data_stream() -> TextIO:
    """Standard output, which during a command nothing else is printed to."""
    return _DATA.get() or sys.stdout


def confess(error: BaseException, *, debug: bool) -> None:
    """Say that the program itself failed, in one line, or with all that led there."""
    from initcli.errors import printable

    if debug:
        import traceback

        traceback.print_exception(error)
    what = printable(f"{type(error).__name__}: {error}")[:300]
    how = f"please report it at {REPORTS}" + ("" if debug else ", with what --debug says")
    _tell(f"initcli: this should not have happened ({what}); {how}")


def write(content: str | bytes) -> None:
    """Write to standard output, or end: quietly where nobody reads any more."""
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
    """Write a person's own text: as it is, or on a terminal without what it would obey."""
    from initcli.errors import printable

    if data_stream().isatty():
        text = "\n".join(printable(line.expandtabs()) for line in text.split("\n"))
    write(text)


def write_path(path: Path) -> None:
    """Write a path as a line: its own bytes, or on a terminal nothing that it would obey.

    So ``hist`` can be piped into ``xargs``, whatever the folder is called.
    """
    from initcli.errors import printable

    stream = data_stream()
    if stream.isatty():
        write(f"{printable(str(path))}\n")
    elif os.name == "nt" or not hasattr(stream, "buffer"):
        write(f"{path}\n")
    else:
        write(os.fsencode(path) + b"\n")


def write_to_stderr(text: str) -> None:
    """Write data to standard error, beside other data on standard output."""
    sys.stderr.write(text)
    sys.stderr.flush()
    if process.is_lost(sys.stderr):
        raise typer.Exit(2)


def _can_print(text: str, stream: TextIO | None = None) -> bool:
    try:
        text.encode((stream or data_stream()).encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
