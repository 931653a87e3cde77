"""The process of the command line: its standard streams, and the signals that ask it to end.

Nothing of this happens where initcli is imported: only :func:`initcli.__main__.main` asks for it.
No import here is heavy, for an interrupt is to end the program quietly from its first moment on.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import NoReturn, TextIO


class Interrupted(KeyboardInterrupt):
    """A signal asked the process to end; its number is the only argument."""


# ------------------------------------------------------------------------ signals

_asked: list[int] = []


def end_when_asked() -> None:
    """From now on Ctrl-C, SIGTERM and SIGHUP raise :class:`Interrupted`, the second one kills.

    Whoever ends the process is to find no half-written files. What is ignored, as SIGHUP is by
    ``nohup``, stays ignored.
    """
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        usual = (signal.SIG_DFL, signal.default_int_handler)
        if number is not None and signal.getsignal(number) in usual:
            signal.signal(number, _end)
    shown, shown_unraisable = sys.excepthook, sys.unraisablehook

    def show(kind: type[BaseException], error: BaseException, at: TracebackType | None) -> None:
        # Extension modules show what interrupts their import, and raise something else.
        if _asked:
            leave(interrupt_status())
        shown(kind, error, at)

    def show_unraisable(ignored: sys.UnraisableHookArgs) -> None:
        # Python drops what is raised in a finalizer or a callback.
        if _asked:
            leave(interrupt_status())
        shown_unraisable(ignored)

    sys.excepthook, sys.unraisablehook = show, show_unraisable


def _end(number: int, _: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
    _asked.append(number)
    raise Interrupted(number)


def asked_to_end() -> bool:
    """Whether a signal came, whatever became of the exception that it raised."""
    return bool(_asked)


def interrupt_status() -> int:
    """The exit status after an interrupt: 130 after Ctrl-C, and 128 + n after signal n."""
    return 128 + (_asked[0] if _asked else signal.SIGINT)


def leave(status: int) -> NoReturn:
    """End at once, without waiting for threads."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, SystemExit):
            continue
    os._exit(status)


def out_of_memory() -> int:
    """Say that there is not enough memory, and return the exit status for that."""
    sys.stderr.write("initcli: there is not enough memory for this\n")
    return 2


# ------------------------------------------------------------------------ streams


def take_streams() -> None:
    """Have everything that is written to the standard streams written to its end.

    ``sys.stdout`` becomes a stream of its own, and descriptor 1 what standard error is: what a
    person's functions, and the programs that they start, write there is no data.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # closed by whoever started this; the first free one is taken
            os.open(os.devnull, os.O_RDWR)
    if sys.stderr is None or sys.stderr is sys.__stderr__:
        sys.stderr = _stream(2, getattr(sys.stderr, "encoding", "utf-8"), _nobody_to_tell)
    if sys.stdout is None or sys.stdout is sys.__stdout__:
        encoding = getattr(sys.stdout, "encoding", "utf-8")
        sys.stdout = _stream(os.dup(1), encoding, output_failed)
        os.dup2(2, 1)


def output_failed(error: OSError) -> NoReturn:
    """End because standard output cannot be written: quietly where nobody reads any more."""
    if isinstance(error, BrokenPipeError):
        raise SystemExit(0)
    sys.stderr.write(f"standard output cannot be written: {error.strerror or error}\n")
    raise SystemExit(2)


def is_lost(stream: TextIO) -> bool:
    """Whether something that was written to a stream is lost."""
    return isinstance(stream, io.TextIOWrapper) and getattr(stream.buffer, "lost", False)


def _nobody_to_tell(_: OSError) -> None:
    """Go on where standard error is full or gone."""


def _stream(descriptor: int, encoding: str, failed: Callable[[OSError], None]) -> io.TextIOWrapper:
    raw = open(descriptor, "wb", buffering=0, closefd=False)  # noqa: SIM115
    whole = _Whole(raw, failed)
    return io.TextIOWrapper(whole, encoding, errors="backslashreplace", line_buffering=True)


class _Whole(io.RawIOBase):
    """Writes all that it is given, however little a write takes, and tells where that fails."""

    def __init__(self, raw: io.RawIOBase, failed: Callable[[OSError], None]) -> None:
        self._raw = raw
        self._failed = failed
        self.name = raw.fileno()
        self.lost = False

    def write(self, data: object, /) -> int:
        rest = memoryview(data).cast("B")  # type: ignore[arg-type]  # bytes, or what is like them
        size = len(rest)
        try:
            while rest:
                taken = self._raw.write(rest)
                if taken is None:
                    _wait_for_room(self._raw.fileno())
                elif taken == 0:
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
                else:
                    rest = rest[taken:]
        except OSError as error:
            self.lost = True
            self._failed(error)
        return size

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._raw.fileno()

    def isatty(self) -> bool:
        return self._raw.isatty()


def _wait_for_room(descriptor: int) -> None:
    """Wait until a pipe that does not block can take more."""
    import select

    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        poll.poll(1000)
    else:
        time.sleep(0.01)
