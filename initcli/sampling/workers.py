"""Workers: what does the work: this process, several processes, or a Dask cluster.

Work is a function and a sequence of items. Results come in the order of the items, so they do not
depend on the workers.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

import initcli
from initcli.errors import InitcliError, WorkersError

if TYPE_CHECKING:
    from concurrent.futures import Future
    from multiprocessing.connection import Connection
    from queue import SimpleQueue

PATIENCE = 10.0
"""Seconds to wait for a cluster's scheduler, and for its workers."""

MAX_PER_CORE = 8
"""Processes per core at most; more than one per core make nothing faster."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class Workers(msgspec.Struct, frozen=True):
    """A function that submits work, and how many submitted items to wait for at most.

    Without ``submit``, work is done in this process. ``watch`` is called repeatedly while a result
    is awaited, and raises WorkersError when none will come. ``losses`` are the exceptions that tell
    of lost workers.
    """

    submit: Callable[[Callable[[Any], Any], Any], Future[Any]] | None = None
    ahead: int = 1
    watch: Callable[[], None] = lambda: None
    losses: tuple[type[Exception], ...] = ()

    def in_order(
        self,
        work: Callable[[Item], Result],
        items: Iterable[Item],
        stays: Callable[[Item], bool] = lambda _: False,
    ) -> Iterator[tuple[Item, Result]]:
        """Yield each item with its result, in the order of the items.

        Args:
            work: the function to call; it can be pickled.
            items: taken one by one while the work goes on.
            stays: whether an item must be done in this process, one at a time.
        """
        if self.submit is None:
            yield from ((item, work(item)) for item in items)
            return
        from concurrent.futures import ThreadPoolExecutor

        pending: deque[tuple[Item, Future[Result]]] = deque()
        this_process = ThreadPoolExecutor(1)
        try:
            for item in items:
                submit = this_process.submit if stays(item) else self.submit
                with self._losses_reported():
                    pending.append((item, submit(work, item)))
                while pending and (len(pending) >= self.ahead or pending[0][1].done()):
                    yield self._first(pending)
            while pending:
                yield self._first(pending)
        finally:
            for _, future in pending:
                future.cancel()
            this_process.shutdown(wait=False, cancel_futures=True)

    def _first(self, pending: deque[tuple[Item, Future[Result]]]) -> tuple[Item, Result]:
        from concurrent.futures import wait

        item, future = pending.popleft()
        # On Windows a wait without a timeout cannot be interrupted.
        while not wait([future], timeout=0.5).done:
            self.watch()
        with self._losses_reported():
            return item, future.result()

    @contextmanager
    def _losses_reported(self) -> Iterator[None]:
        try:
            yield
        except InitcliError:
            raise
        except self.losses as error:
            reason = str(error) or type(error).__name__
            message = f"the workers failed before their work was done: {reason}"
            raise WorkersError(message) from None


HERE = Workers()
"""This process alone."""


@contextmanager
def threads(jobs: int | None = None) -> Iterator[Workers]:
    """Threads of this process, one per core by default.

    They are faster than one only where the work runs without Python's interpreter lock.
    """
    from concurrent.futures import ThreadPoolExecutor

    count = min(jobs or cores(), MAX_PER_CORE * cores())
    with ThreadPoolExecutor(count) as pool:
        yield Workers(pool.submit, 4 * count + 64)


@contextmanager
def processes(jobs: int | None = None) -> Iterator[Workers]:
    """Processes, one per core by default, and at most :data:`MAX_PER_CORE` per core.

    A script that calls this must guard its main part with ``if __name__ == "__main__"``, as
    :mod:`multiprocessing` demands.

    Raises:
        WorkersError: the system starts no more processes.

    >>> import initcli
    >>> model = initcli.load("sample_configs/tour.yaml")
    >>> with initcli.processes(2) as workers:
    ...     stds = [seen.std for _, seen in initcli.measure(model.parameters, workers=workers)]
    >>> stds == [seen.std for _, seen in initcli.measure(model.parameters)]
    True
    """
    import multiprocessing
    from concurrent.futures import BrokenExecutor, ThreadPoolExecutor
    from queue import SimpleQueue

    count = min(jobs or cores(), MAX_PER_CORE * cores())
    context: Any = multiprocessing.get_context("fork" if _can_fork() else "spawn")
    idle: SimpleQueue[Connection] = SimpleQueue()
    started: list[Any] = []
    # A thread per process waits for its results.
    threads = ThreadPoolExecutor(count)
    try:
        with warnings.catch_warnings():
            # Python 3.12 warns of threads of NumPy's BLAS, which handles forks itself.
            warnings.simplefilter("ignore", DeprecationWarning)
            for _ in range(count):
                here, there = context.Pipe()
                process = context.Process(target=_serve, args=(there,), daemon=True)
                try:
                    process.start()
                except OSError as error:
                    message = f"{count} processes cannot be started: {error.strerror or error}"
                    raise WorkersError(message, "--jobs 1 needs none") from None
                there.close()
                started.append(process)
                idle.put(here)

        def submit(work: Callable[[Item], Result], item: Item) -> Future[Result]:
            return threads.submit(_request, idle, work, item)

        yield Workers(submit, 4 * count + 64, losses=(BrokenExecutor,))
    finally:
        for process in started:
            process.kill()
        threads.shutdown(cancel_futures=True)
        for process in started:
            process.join()


def _request(idle: SimpleQueue[Connection], work: Callable[[Item], Result], item: Item) -> Result:
    """Have an idle process do the work."""
    from concurrent.futures import BrokenExecutor

    connection = idle.get()
    try:
        connection.send((work, item))
        result, error = connection.recv()
    except (EOFError, OSError):
        raise BrokenExecutor("a process was killed") from None
    finally:
        idle.put(connection)
    if error is not None:
        raise error
    return result  # type: ignore[no-any-return]


def _serve(connection: Connection) -> None:
    """Do what is requested until this process is killed or its parent ends."""
    import multiprocessing

    # The parent handles interrupts and ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
    while True:
        work, item = connection.recv()
        result, error = None, None
        try:
            result = work(item)
        except Exception as raised:
            raised.add_note(traceback.format_exc())
            error = raised
        connection.send((result, error))


@contextmanager
def cluster(address: str) -> Iterator[Workers]:
    """The workers of a Dask cluster, by the address of its scheduler.

    Raises:
        WorkersError: Dask is not installed, no scheduler answers, or the connection is lost.
    """
    from concurrent.futures import Future

    try:
        from distributed import Client
    except ImportError:
        raise WorkersError(
            "measuring on a cluster needs Dask: pip install 'initcli[cluster]'"
        ) from None
    made: Future[Any] = Future()

    def connect() -> None:
        try:
            client: Any = Client
            made.set_result(client(address, timeout=PATIENCE, set_as_default=False))
        except Exception as error:
            made.set_exception(error)

    # Dask waits much longer than its timeout for a server that stays silent.
    threading.Thread(target=connect, daemon=True).start()
    try:
        client = made.result(3 * PATIENCE)
    except Exception as error:
        # Dask raises anything when another kind of server answers.
        known = isinstance(error, OSError | ValueError | TypeError)
        reason = (str(error) or "it is silent") if known else "another server answers"
        raise WorkersError(f"no Dask scheduler answers at {address!r}: {reason}") from None
    with _muted("distributed", "tornado"):
        try:
            _refuse_other_versions(client)
            watch = _Watch(client)
            yield Workers(client.get_executor().submit, 256, watch, (Exception,))
        finally:
            with contextlib.suppress(Exception):
                client.close(timeout=PATIENCE)


class _Watch:
    """Raises WorkersError after a cluster has been lost for a while; Dask would wait for ever."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._last_seen = self._last_asked = time.monotonic()

    def __call__(self) -> None:
        if time.monotonic() - self._last_asked < PATIENCE / 4:
            return
        self._last_asked = time.monotonic()
        try:
            lost = "" if self._client.nthreads() else "its workers"
        except Exception:
            lost = "its scheduler"
        if not lost:
            self._last_seen = time.monotonic()
        elif time.monotonic() - self._last_seen > PATIENCE:
            raise WorkersError(f"the Dask cluster has lost {lost}")


@contextmanager
def _muted(*libraries: str) -> Iterator[None]:
    """Disable the loggers of libraries, whose failures are reported as errors."""
    import logging

    names = [each for each in logging.root.manager.loggerDict if each.split(".")[0] in libraries]
    loggers = [each for each in map(logging.getLogger, names) if not each.disabled]
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    finally:
        for logger in loggers:
            logger.disabled = False


def _refuse_other_versions(client: Any) -> None:
    """Raise WorkersError when there are no workers, or workers that might draw other values."""
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except TimeoutError:
        raise WorkersError(
            "the Dask cluster has no workers", "`dask worker ADDRESS` starts one"
        ) from None
    try:
        versions = set(client.run(_version).values())
    except Exception as error:  # whatever keeps a worker from importing initcli
        raise WorkersError(f"the cluster's workers cannot run initcli: {error}") from None
    if others := versions - {_version()}:
        raise WorkersError(
            f"the cluster's workers have initcli {', '.join(sorted(others))}, and this is "
            f"{_version()}: they might draw other values"
        )


def _version() -> str:
    return initcli.__version__


def suitable(jobs: int | None, seconds: float) -> contextlib.AbstractContextManager[Workers]:
    """Processes when they pay for work that takes one process ``seconds``; else this process."""
    start = 0.05 if _can_fork() else 0.3
    worth = (jobs or cores()) > 1 and seconds > 5 * start
    return processes(jobs) if worth else contextlib.nullcontext(HERE)


def cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows
        return os.cpu_count() or 1


def _can_fork() -> bool:
    """Whether a fork is safe: on Linux, while no other thread can hold a lock."""
    return sys.platform == "linux" and threading.active_count() == 1
