"""The process of the command line: its signals, its standard streams, and how it ends.

Only :func:`initcli.__main__.main` and the commands use this; importing initcli changes nothing. No
import here is slow, so that an interrupt ends the program quietly from the start.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any, NoReturn

CRASHED = 70
"""Exit status after a bug of the program (EX_SOFTWARE of sysexits.h)."""
ISSUES = "https://github.com/initcli/initcli/issues"


class Interrupted(KeyboardInterrupt):
    """A signal asked the process to end."""


_received: list[int] = []


def handle_signals() -> None:
    """Have Ctrl-C, SIGTERM and SIGHUP raise :class:`Interrupted`; a second one kills.

    So ``with`` statements and ``finally`` clauses remove unfinished files. Ignored signals, such as
    SIGHUP under ``nohup``, stay ignored.
    """
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _interrupt)
    # Extension modules and finalizers print exceptions that they cannot raise.
    sys.excepthook = _quiet_when_interrupted(sys.excepthook)
    sys.unraisablehook = _quiet_when_interrupted(sys.unraisablehook)


def _interrupt(number: int, _: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
    _received.append(number)
    raise Interrupted


def _quiet_when_interrupted(hook: Callable[..., Any]) -> Callable[..., None]:
    def show(*arguments: Any) -> None:
        leave_if_interrupted()
        hook(*arguments)

    return show


def reraise_interrupt(error: BaseException) -> None:
    """Raise an interrupt of the user again, but not one that a user's function raises.

    Under Python's own handler the two cannot be told apart.
    """
    is_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if isinstance(error, Interrupted) or (isinstance(error, KeyboardInterrupt) and is_default):
        raise error


def leave_if_interrupted(error: BaseException | None = None) -> None:
    """End with status 128 + n after signal n, whatever exception its handler's turned into."""
    if _received or isinstance(error, KeyboardInterrupt):
        leave(128 + (_received[0] if _received else signal.SIGINT))


def leave(status: int) -> NoReturn:
    """End at once, without waiting for threads."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, SystemExit):
            stream.flush()
    os._exit(status)


def report_failure(error: BaseException, *, debug: bool) -> int:
    """Print one line about an unexpected error, and return the exit status."""
    from initcli.errors import printable

    if reason := missing_resource(error):
        tell(f"initcli: {reason}")
        return 2
    if debug:
        import traceback

        traceback.print_exception(error)
    text = printable(f"{type(error).__name__}: {error}")[:300]
    hint = "" if debug else ", with the output of --debug"
    tell(f"initcli: this should not have happened ({text}); please report it at {ISSUES}{hint}")
    return CRASHED


_REFUSALS = (
    errno.ENOMEM,
    errno.EMFILE,
    errno.ENFILE,
    errno.EAGAIN,
    errno.EIO,
    errno.ENOSPC,
    getattr(errno, "EDQUOT", errno.ENOSPC),
)


def missing_resource(error: BaseException | None) -> str:
    """The resource of the system whose lack caused an error, as a sentence, or an empty text."""
    while error is not None:
        if isinstance(error, MemoryError):
            return "there is not enough memory for this"
        if isinstance(error, OSError) and error.errno in _REFUSALS:
            return f"the system refuses it: {error.strerror}"
        if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
            return "the system starts no more threads"
        error = error.__cause__ or error.__context__
    return ""


def tell(line: str) -> None:
    """Print a line to standard error, if that can be written."""
    with suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def replace_streams() -> None:
    """Make standard output a stream for data alone, and report what cannot be written to it.

    Descriptor 1 becomes standard error, so that output of a user's own functions, and of programs
    they start, does not mix with the data.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # closed; this opens the lowest free descriptor
            os.open(os.devnull, os.O_RDWR)
    if sys.stderr is None or sys.stderr is sys.__stderr__:
        sys.stderr = _stream(2, sys.stderr, lambda _: None)
    if sys.stdout is None or sys.stdout is sys.__stdout__:
        sys.stdout = _stream(os.dup(1), sys.stdout, output_failed)
        os.dup2(2, 1)


def output_failed(error: OSError) -> NoReturn:
    """End because standard output cannot be written: quietly if its reader has gone."""
    if isinstance(error, BrokenPipeError):
        raise SystemExit(0)
    tell(f"standard output cannot be written: {error.strerror or error}")
    raise SystemExit(2)


def _stream(descriptor: int, like: Any, report: Callable[[OSError], None]) -> io.TextIOWrapper:
    if sys.platform != "win32":
        os.set_blocking(descriptor, True)
    output: Any = _Output(descriptor, report)
    encoding = getattr(like, "encoding", "utf-8")
    return io.TextIOWrapper(output, encoding, errors="backslashreplace", line_buffering=True)


class _Output(io.FileIO):
    """Writes all of its data or reports the error."""

    def __init__(self, descriptor: int, report: Callable[[OSError], None]) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self._report = report

    def write(self, data: Any, /) -> int:
        rest = memoryview(data).cast("B")
        size = len(rest)
        try:
            while rest:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self._report(error)
        return size
