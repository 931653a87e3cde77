"""Workers: processes and a Dask cluster, whose results are those of one process."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from initcli.errors import WorkersError
from initcli.initializers import GlorotUniform, Initializer, Orthogonal, RandomNormal
from initcli.measuring import compiled
from initcli.measuring.measure import measure
from initcli.parameter import Parameter
from initcli.sampling import workers
from initcli.sampling.workers import HERE, Workers
from support.paths import TOUR
from support.tasks import end_process, invert, square

INITIALIZERS: list[Initializer] = [RandomNormal(), Orthogonal(), GlorotUniform()]
# Large enough for several shares each.
PARAMETERS = [
    Parameter(path=f"{number}/kernel", shape=(1000, 2000), initializer=initializer)
    for number, initializer in enumerate(INITIALIZERS)
]


def bits(chosen: Workers, progress: Any = None) -> list[tuple[Any, ...]]:
    return [
        (p.path, m.count, m.mean, m.squares, m.min, m.max, m.zeros, m.histogram.counts.tolist())
        for p, m in measure(PARAMETERS, workers=chosen, progress=progress)
    ]


# ------------------------------------------------------------------------ processes


def test_little_work_stays_here_and_much_is_shared_out() -> None:
    with workers.suitable(None, 0.01) as chosen:
        assert chosen is HERE
    with workers.suitable(2, 100.0) as chosen:
        assert chosen.submit is not None
    with workers.suitable(1, 100.0) as chosen:
        assert chosen is HERE


@pytest.mark.skipif(os.name == "nt", reason="Windows kills with another status")
def test_a_process_that_is_killed_is_a_clear_error() -> None:
    with workers.processes(1) as chosen, pytest.raises(WorkersError, match="workers failed"):
        list(chosen.in_order(end_process, [0, 1]))


def test_results_come_in_order_and_errors_as_they_are() -> None:
    with workers.processes(2) as chosen:
        assert [r for _, r in chosen.in_order(square, range(8))] == [n * n for n in range(8)]
        with pytest.raises(ZeroDivisionError):
            list(chosen.in_order(invert, [1, 0]))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_processes_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    code = (
        "import multiprocessing, time\n"
        "from initcli.sampling.workers import processes\n"
        "if __name__ == '__main__':\n"
        "    with processes(1) as chosen:\n"
        "        (worker,) = multiprocessing.active_children()\n"
        "        print(worker.pid, flush=True)\n"
        "        time.sleep(60)\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        worker = int(process.stdout.readline())
        process.kill()
        deadline = time.monotonic() + 30
        while _alive(worker):
            assert time.monotonic() < deadline
            time.sleep(0.1)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    # One that nobody has waited for is dead all the same.
    status = Path(f"/proc/{process}/status")
    return not (status.exists() and "State:\tZ" in status.read_text())


# ------------------------------------------------------------------------ a cluster


@pytest.fixture
def cluster(
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A scheduler and two workers, as a person would start them."""
    monkeypatch.setattr(workers, "PATIENCE", 60.0)  # a busy machine starts workers slowly
    with contextlib.ExitStack() as stack:

        def start(*arguments: str, **streams: Any) -> subprocess.Popen[Any]:
            process = subprocess.Popen([sys.executable, "-m", *arguments], **streams)
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        scheduler = start(
            *("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"),
            "--no-dashboard",
            stderr=subprocess.PIPE,
            text=True,
        )
        assert scheduler.stderr is not None
        said = (re.search(r"Scheduler at:\s+(tcp://\S+)", line) for line in scheduler.stderr)
        address = next(found[1] for found in said if found)
        helpers = [
            start(
                *("distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny"),
                "--no-dashboard",
                stderr=subprocess.DEVNULL,
            )
            for _ in range(2)
        ]
        yield address, helpers


def test_a_cluster_gives_the_same_bits_though_a_worker_is_killed(
    cluster: tuple[str, list[subprocess.Popen[bytes]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, helpers = cluster
    alone = bits(HERE)
    done = 0

    def kill_half_way(weights: int) -> None:
        nonlocal done
        done += weights
        if done > sum(parameter.size for parameter in PARAMETERS) / 2 and len(helpers) > 1:
            helpers.pop().kill()

    with workers.cluster(address) as chosen:
        assert bits(chosen, kill_half_way) == alone
    assert len(helpers) == 1

    monkeypatch.setattr(compiled, "_kernels", None)
    assert compiled.load() or "numba" not in sys.modules
    with workers.cluster(address) as chosen:
        assert bits(chosen) == alone

    arguments = [sys.executable, "-m", "initcli", "summary", str(TOUR), "--format", "json"]
    there = subprocess.run([*arguments, "--cluster", address], capture_output=True, check=True)
    here = subprocess.run(arguments, capture_output=True, check=True)
    assert there.stdout == here.stdout
    assert there.stderr == b""


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense"])
def test_an_address_where_nobody_answers_is_a_clear_error(address: str) -> None:
    # In a process of its own: what Dask leaves of a client that never connected is closed whenever
    # it is collected, which may keep the next client from starting.
    program = """
import sys
from initcli.sampling import workers
from initcli.errors import WorkersError

workers.PATIENCE = 0.5
try:
    with workers.cluster(sys.argv[1]):
        pass
except WorkersError as error:
    print(error)
"""
    tried = subprocess.run(
        [sys.executable, "-c", program, address], capture_output=True, encoding="utf-8"
    )
    assert tried.stdout.startswith(f"no Dask scheduler answers at {address!r}"), tried.stderr


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n" * 9, "another server answers"),
        (bytes(64), "another server answers"),
        (b"", "it is silent"),
    ],
    ids=["a web server", "zeros", "silence"],
)
def test_a_server_that_is_no_scheduler_is_a_clear_error(answer: bytes, said: str) -> None:
    program = """
import sys
from initcli.sampling import workers
from initcli.errors import WorkersError

workers.PATIENCE = 2 / 3
try:
    with workers.cluster(sys.argv[1]):
        pass
except WorkersError as error:
    print(error)
"""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    connection.sendall(answer)
                    kept.append(connection)

        kept: list[socket.socket] = []
        threading.Thread(target=serve, daemon=True).start()
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        tried = subprocess.run(
            [sys.executable, "-c", program, address],
            capture_output=True,
            encoding="utf-8",
            timeout=60,
        )
    for connection in kept:
        connection.close()
    assert tried.stdout == f"no Dask scheduler answers at {address!r}: {said}\n", tried.stderr


def test_a_cluster_that_is_lost_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "PATIENCE", 0.2)

    def closed() -> None:
        raise OSError("Connection closed")

    cluster = SimpleNamespace(nthreads=lambda: {"worker": 1})
    watch = workers._Watch(cluster)
    for nthreads, said in ((dict, "its workers"), (closed, "its scheduler")):
        time.sleep(0.3)
        watch()  # all is well
        cluster.nthreads = nthreads
        with pytest.raises(WorkersError, match=said):  # noqa: PT012
            for _ in range(20):
                time.sleep(0.06)
                watch()
        cluster.nthreads = lambda: {"worker": 1}


def test_without_dask_it_is_said_what_to_install() -> None:
    code = (
        "import sys\nsys.modules['distributed'] = None\n"
        f"sys.argv = ['initcli', 'summary', {str(TOUR)!r}, '--cluster', 'tcp://127.0.0.1:1']\n"
        "from initcli.__main__ import main\nmain()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'initcli[cluster]'" in done.stderr


def test_workers_of_another_version_are_refused(
    cluster: tuple[str, list[subprocess.Popen[bytes]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("initcli.__version__", "99.0")
    with pytest.raises(WorkersError, match="and this is 99"), workers.cluster(cluster[0]):
        pass


def test_no_number_of_processes_is_too_much_to_ask_for() -> None:
    before = len(multiprocessing.active_children())
    with workers.processes(10**9):
        started = len(multiprocessing.active_children()) - before
        assert started == workers.MAX_PER_CORE * workers.cores()
    assert len(multiprocessing.active_children()) == before
