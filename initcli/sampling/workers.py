"""Workers: who does the tasks of a measurement: this process, several, or a Dask cluster.

A task is a function of a share of the work, and shares are made without a thought of who will do
them; results come back in the order of the shares. So they do not depend on the workers.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

import initcli
from initcli.errors import InitcliError, WorkersError

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

PATIENCE = 10.0
"""Seconds to wait for a cluster's scheduler, and for a first worker of it."""

MOST_A_CORE = 8
"""Processes for a core at most; more than one make nothing faster."""
_MOST_ON_WINDOWS = 61
"""What Windows can wait for, see :class:`concurrent.futures.ProcessPoolExecutor`."""

Share = TypeVar("Share")
Result = TypeVar("Result")


class Workers(msgspec.Struct, frozen=True):
    """An executor of tasks, how many of them to keep under way, and the errors of a lost worker.

    Without an executor, tasks are done one after another where they are asked for. ``tend`` is
    called every now and then while a result is waited for.
    """

    executor: Executor | None = None
    ahead: int = 1
    lost: tuple[type[Exception], ...] = ()
    tend: Callable[[], None] = lambda: None

    def in_order(
        self,
        task: Callable[[Share], Result],
        shares: Iterable[Share],
        stays: Callable[[Share], bool] = lambda _: False,
    ) -> Iterator[tuple[Share, Result]]:
        """Do the task for every share; what comes back is in the shares' order.

        Args:
            task: a function that can be sent to another process.
            shares: what to do it for; taken as the work goes on.
            stays: whether a share is for this process alone, where one is done at a time.
        """
        if self.executor is None:
            yield from ((share, task(share)) for share in shares)
            return
        from concurrent.futures import ThreadPoolExecutor

        under_way: deque[tuple[Share, Future[Result]]] = deque()
        this_process = ThreadPoolExecutor(1)
        try:
            for share in shares:
                executor = this_process if stays(share) else self.executor
                with self._losses_told():
                    under_way.append((share, executor.submit(task, share)))
                while under_way and (len(under_way) >= self.ahead or under_way[0][1].done()):
                    yield self._first(under_way)
            while under_way:
                yield self._first(under_way)
        finally:
            for _, future in under_way:
                future.cancel()
            this_process.shutdown(wait=False, cancel_futures=True)

    def _first(self, under_way: deque[tuple[Share, Future[Result]]]) -> tuple[Share, Result]:
        from concurrent.futures import wait

        share, future = under_way.popleft()
        # On Windows a wait without an end cannot be interrupted.
        while not future.done():
            if not wait([future], timeout=0.5).done:
                self.tend()
        with self._losses_told():
            return share, future.result()

    @contextmanager
    def _losses_told(self) -> Iterator[None]:
        """With the errors of a lost worker as what a person can do something about."""
        try:
            yield
        except InitcliError:
            raise
        except self.lost as error:
            what = str(error) or type(error).__name__
            raise WorkersError(f"the workers failed before their work was done: {what}") from None


HERE = Workers()
"""This process alone.

Threads would not be faster: the steps of a task are so short that they would spend their time on
handing over Python's interpreter lock.
"""


@contextmanager
def processes(jobs: int | None = None) -> Iterator[Workers]:
    """Processes, one a core unless told, and :data:`MOST_A_CORE` a core at most.

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
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    count = _count(jobs)
    context = multiprocessing.get_context("fork" if _can_fork() else "spawn")
    others = set(multiprocessing.active_children())
    executor: ProcessPoolExecutor | None = None
    interrupted = False
    try:
        with warnings.catch_warnings():
            # Python 3.12 warns of the threads that NumPy's BLAS has and looks after itself.
            warnings.simplefilter("ignore", DeprecationWarning)
            try:
                executor = ProcessPoolExecutor(count, context, _start_worker)
                executor.submit(int)
            except (OSError, RuntimeError) as error:
                # Nobody else would ever end those that did start.
                for process in set(multiprocessing.active_children()) - others:
                    process.kill()
                why = (isinstance(error, OSError) and error.strerror) or str(error)
                message = f"{count} processes cannot be started: {why}"
                raise WorkersError(message, "--jobs 1 needs none") from None
        yield Workers(executor, 4 * count + 64, (BrokenProcessPool,), partial(_release, executor))
    except KeyboardInterrupt:
        interrupted = True
        raise
    finally:
        if executor is not None:
            executor.shutdown(wait=not interrupted, cancel_futures=True)


def _release(pool: Any) -> None:
    """End a pool that waits for the rest of a result whose sender was killed in the midst of it.

    Python waits for that as long as there is anybody who could send, and has no other way to end
    it than what a pool keeps to itself.
    """
    processes = list((pool._processes or {}).values())
    if any(not process.is_alive() for process in processes):
        for process in processes:
            process.kill()
        pool._result_queue._writer.close()


@contextmanager
def cluster(address: str) -> Iterator[Workers]:
    """The workers of a Dask cluster, by the address of its scheduler.

    Raises:
        WorkersError: Dask is not installed, nobody answers there, or the connection is lost.
    """
    try:
        from distributed import Client
    except ImportError:
        raise WorkersError(
            "measuring on a cluster needs Dask: pip install 'initcli[cluster]'"
        ) from None
    connect: Any = Client  # typed only where Dask is installed
    try:
        client = _in_time(partial(connect, address, timeout=PATIENCE, set_as_default=False))
    except Exception as error:
        # What another server answers makes Dask come across anything.
        is_told = isinstance(error, OSError | ValueError | TypeError)
        what = str(error) if is_told else "it is another server that answers"
        raise WorkersError(f"no Dask scheduler answers at {address!r}: {what}") from None
    with _unlogged("distributed", "tornado"):
        try:
            _refuse_other_versions(client)
            yield Workers(client.get_executor(), 256, (Exception,), _Watch(client))
        finally:
            # One that is gone is not waited for.
            with contextlib.suppress(Exception):
                _in_time(client.close)


class _Watch:
    """Raises WorkersError once a cluster has been gone for a while, for which Dask would wait."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._last_seen = self._last_asked = time.monotonic()

    def __call__(self) -> None:
        now = time.monotonic()
        if now - self._last_asked < PATIENCE / 4:
            return
        self._last_asked = now
        gone = "its scheduler" if self._client.status != "running" else ""
        if not gone and not _in_time(self._client.nthreads):
            gone = "its workers"
        if not gone:
            self._last_seen = time.monotonic()
        elif now - self._last_seen > PATIENCE:
            raise WorkersError(f"the Dask cluster has lost {gone}")


@contextmanager
def _unlogged(*libraries: str) -> Iterator[None]:
    """Without what libraries log of failures that are told as errors."""
    import logging

    names = [each for each in logging.root.manager.loggerDict if each.split(".")[0] in libraries]
    loggers = [each for each in map(logging.getLogger, names) if not each.disabled]
    try:
        for each in loggers:
            each.disabled = True
        yield
    finally:
        for each in loggers:
            each.disabled = False


def _in_time(do: Callable[[], Result]) -> Result:
    """What a function returns or raises, if that does not take several times :data:`PATIENCE`.

    Raises:
        TimeoutError: it takes longer; it is left to itself.
    """
    from concurrent.futures import Future

    done: Future[Result] = Future()

    def run() -> None:
        try:
            done.set_result(do())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        return done.result(3 * PATIENCE)
    except TimeoutError:
        if done.done():
            raise
        raise TimeoutError(f"it is silent for {3 * PATIENCE:.0f} s") from None


def _refuse_other_versions(client: Any) -> None:
    """Raise WorkersError where workers cannot draw, or would draw other values."""
    try:
        _in_time(partial(client.wait_for_workers, 1, timeout=PATIENCE))
    except TimeoutError:
        raise WorkersError(
            "the Dask cluster has no workers", "`dask worker ADDRESS` starts one"
        ) from None
    try:
        versions = set(_in_time(partial(client.run, _version)).values())
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
    """The workers on this machine that do work soonest that takes one process that long."""
    start = 0.1 if _can_fork() else 0.3
    worth = (jobs or cores()) > 1 and seconds > 5 * start
    return processes(jobs) if worth else contextlib.nullcontext(HERE)


def _count(jobs: int | None) -> int:
    """How many processes to start."""
    count = min(jobs or cores(), MOST_A_CORE * cores())
    return min(count, _MOST_ON_WINDOWS) if sys.platform == "win32" else count


def cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows have no such call.
        return os.cpu_count() or 1


def _can_fork() -> bool:
    """Whether a fork is safe: on Linux, as long as there is no thread that might hold a lock."""
    return sys.platform == "linux" and threading.active_count() == 1


def _start_worker() -> None:
    """Leave interrupts to the process that waits for the results, and end when it does."""
    import multiprocessing

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Whoever ends a worker does not mean what the program does when it is ended itself.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
