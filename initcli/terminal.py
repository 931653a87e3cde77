"""What the commands say to a person: pages as wide as the terminal, progress, and messages.

Whatever is heavy is imported where it is used, so that ``--help`` answers at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from initcli.render.progress import ProgressBar


class NoBar:
    """In place of a progress bar that nobody would see."""

    def advance(self, done: int) -> None:
        pass

    def hidden(self) -> AbstractContextManager[None]:
        return nullcontext()


def progress(total: int, unit: str) -> AbstractContextManager[ProgressBar | NoBar]:
    """A progress bar, which is not even imported where standard error is no terminal."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        return nullcontext(NoBar())
    from initcli.render.progress import ProgressBar

    return ProgressBar(total, unit)


def console() -> tuple[Console, bool]:
    """What prints as wide and as colourful as standard output is, and whether in ASCII alone."""
    from io import StringIO

    from rich.console import Console

    terminal = Console()
    page = Console(
        file=StringIO(),
        width=terminal.width,
        force_terminal=terminal.is_terminal,
        color_system=terminal.color_system,  # type: ignore[arg-type]  # one of its own names
        legacy_windows=False,
        highlight=False,
    )
    return page, not _can_print("█─²±σ∞")


def printed(page: Console, content: RenderableType) -> str:
    """What a console prints, as text."""
    with page.capture() as capture:
        page.print(content)
    return capture.get()


def say(note: object) -> None:
    """A line to the person on standard error, with nothing in it that a terminal would obey."""
    from initcli.errors import printable

    print(f"initcli: {printable(str(note))}", file=sys.stderr)


def complain(error: Exception) -> None:
    """The message of an error that is not the end."""
    print(error, file=sys.stderr)


@contextmanager
def messages() -> Iterator[None]:
    """Turn what is a person's to mend into a message and status 2, an interrupt into 130."""
    from initcli.errors import InitcliError

    try:
        yield
    except InitcliError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        # Threads that are in the middle of a large matrix are not waited for.
        sys.stdout.flush()
        os._exit(130)
    except MemoryError:
        print("initcli: there is not enough memory for this", file=sys.stderr)
        raise typer.Exit(2) from None


def write(text: str) -> None:
    """Write to standard output; when nobody reads any more, end quietly."""
    from initcli.errors import OutputError

    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        # What is still buffered must not fail again when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise typer.Exit(0) from None
        raise OutputError(f"standard output cannot be written: {error.strerror}") from None


def _can_print(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
