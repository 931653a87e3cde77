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


# ------------------------------------------------------------------------ the environment


def mend_environment() -> None:
    """Leave out of the environment what would fail in libraries that read it."""
    for name in ("COLUMNS", "LINES"):
        said = os.environ.get(name, "")
        if not (said.isascii() and said.isdecimal() and len(said) < 10 and int(said)):
            os.environ.pop(name, None)
    # A notebook names a backend that perhaps only its own Python has, and none is needed.
    os.environ["MPLBACKEND"] = "agg"


# ------------------------------------------------------------------------ what a system refuses


def refusal(error: BaseException | None) -> str:
    """What the system has too little of, where that is behind an error; else an empty text."""
    while error is not None:
        try:
            text = str(error)
        except Exception:  # the text of a person's own exception may fail as well
            text = ""
        number = (error.errno if isinstance(error, OSError) else None) or 0
        # What loads a library says it in words alone.
        unmapped = isinstance(error, ImportError) and any(each in text for each in _UNMAPPED)
        if isinstance(error, MemoryError) or number == errno.ENOMEM or unmapped:
            return "there is not enough memory for this"
        if number in (errno.EMFILE, errno.ENFILE):
            return "too many files are open for the system, see `ulimit -n`"
        if number == errno.EAGAIN or "can't start new thread" in text:
            return "the system starts no more threads or processes, see `ulimit -u`"
        if number in (errno.EIO, errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
            return f"the system refuses it: {os.strerror(number)}"
        error = error.__cause__ or error.__context__
    return ""


def make_room_for_numpy() -> None:
    """Keep NumPy's BLAS from ending the process, as it does where threads or memory are refused.

    It starts a thread a core when it is imported, and sends itself an interrupt if it may not; and
    it calls C's exit where its buffers do not fit into the address space.

    Raises:
        MemoryError: NumPy does not fit into the address space.
    """
    if "numpy" in sys.modules or sys.platform == "win32":
        return
    if "OPENBLAS_NUM_THREADS" not in os.environ and not _can_start_threads():
        os.environ["OPENBLAS_NUM_THREADS"] = "1"
    import resource

    if resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY:
        return
    child = os.fork()
    if child == 0:
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            import numpy as np

            matrix = np.ones((256, 256))
            os._exit(int((matrix @ matrix)[0, 0] != 256))
        finally:
            os._exit(1)
    if os.waitpid(child, 0)[1] != 0:
        raise MemoryError


def _can_start_threads() -> bool:
    """Whether there may be a thread for every core."""
    import threading

    at_once = threading.Event()
    threads = [threading.Thread(target=at_once.wait) for _ in range((os.cpu_count() or 1) - 1)]
    try:
        for each in threads:
            each.start()
    except RuntimeError:
        return False
    finally:
        at_once.set()
        for each in threads:
            if each.ident is not None:
                each.join()
    return True


_UNMAPPED = ("failed to map segment", "annot allocate memory", "memory allocation failed")


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
        self._tell_of = failed
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
            self._tell_of(error)
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
