"""Commands in processes that start quickly, to be killed, limited or run at the same time.

``python quick_runs.py`` imports all of initcli, reads requests from standard input, one line of
JSON each, and forks a process for each command. On systems without fork it starts a new program.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp
from types import FrameType
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
FORKS = sys.platform == "linux"  # elsewhere what is imported may not survive it
LONGEST = 120
"""Seconds after which every command is killed."""
WRITING = ("files.py", "weights_file.py")
"""The modules of initcli that write files."""


class Done(NamedTuple):
    """The result of a command: status or negative signal, output, and duration.

    ``lines`` is the number of lines of :data:`WRITING` that were executed, if they were counted.
    """

    status: int
    stdout: str
    stderr: str
    seconds: float
    lines: int


class QuickRuns:
    """The server that runs commands."""

    def __init__(self) -> None:
        # A process with NumPy's threads cannot be forked safely.
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        self._server = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env={**environment, "PYTHONUTF8": "1", "PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )

    def close(self) -> None:
        if sys.platform == "win32":
            self._server.kill()
        else:
            os.killpg(self._server.pid, signal.SIGKILL)
        self._server.communicate()

    def run(self, *arguments: str | Path, **options: Any) -> Done:
        """Run one command, see :meth:`together`."""
        return self.together([arguments], **options)[0]

    def together(
        self,
        runs: list[tuple[str | Path, ...]],
        *,
        after: float | None = None,
        at_line: int | None = None,
        number: int = getattr(signal, "SIGKILL", signal.SIGTERM),
        limit: int | None = None,
        memory: int | None = None,
        stdout: str | None = None,
    ) -> list[Done]:
        """Run commands at the same time.

        Limits and ``at_line`` have no effect on systems without fork.

        Args:
            runs: the arguments of each command.
            after: seconds after which to send the signal; never by default.
            at_line: number of executed lines of :data:`WRITING` after which to send the signal.
            number: the signal.
            limit: maximum size of a file, in bytes.
            memory: maximum memory in addition to that of the imports, in bytes.
            stdout: a file for standard output, which is not returned then.
        """
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        request = {
            "runs": [[str(each) for each in arguments] for arguments in runs],
            "after": after,
            "at_line": at_line,
            "number": int(number),
            "limit": limit,
            "memory": memory,
            "stdout": stdout,
        }
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        return [Done(*each) for each in json.loads(self._server.stdout.readline())]


class _Forked:
    """A forked process that runs a command, with the methods of Popen that are used here."""

    def __init__(self, arguments: list[str], out: Path, request: dict[str, Any]) -> None:
        self.returncode: int | None = None
        places = (request["stdout"] or out / "stdout", out / "stderr")
        streams = [os.open(place, os.O_WRONLY | os.O_CREAT) for place in places]
        self.pid = os.fork()
        if self.pid:
            for stream in streams:
                os.close(stream)
            return
        for descriptor, stream in enumerate(streams, start=1):
            os.dup2(stream, descriptor)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        if (limit := request["limit"]) is not None:
            import resource

            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        if (memory := request["memory"]) is not None:
            import resource

            pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
            most = pages * resource.getpagesize() + memory
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
        if request["at_line"] is not None:
            _count_lines(out / "lines", request["at_line"], request["number"])
        sys.argv = ["initcli", *arguments]
        from initcli.__main__ import main

        try:
            main()
        except SystemExit as end:
            status = end.code
        except BaseException:
            traceback.print_exc()
            status = 1
        else:
            status = 0
        # A normal exit of Python takes as long as most commands.
        sys.settrace(None)
        sys.stdout.flush()
        os._exit(status if isinstance(status, int) else 1)

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)


def _count_lines(count: Path, last: int, number: int) -> None:
    """Count executed lines of :data:`WRITING`, and send a signal to this process at the last."""
    seen = 0
    stream = os.open(count, os.O_WRONLY | os.O_CREAT)

    def trace(frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
        nonlocal seen
        if not frame.f_code.co_filename.endswith(WRITING):
            return None
        if event == "line":
            seen += 1
            os.pwrite(stream, str(seen).encode(), 0)
            if seen == last:
                os.kill(os.getpid(), number)
        return trace

    sys.settrace(trace)


def _start(
    arguments: list[str], out: Path, request: dict[str, Any]
) -> _Forked | subprocess.Popen[bytes]:
    if FORKS:
        return _Forked(arguments, out, request)
    place = Path(request["stdout"] or out / "stdout")
    with place.open("wb") as stdout, (out / "stderr").open("wb") as stderr:
        command = [sys.executable, "-m", "initcli", *arguments]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)


def _text(file: Path) -> str:
    return file.read_text("utf-8") if file.exists() else ""


def _warm_up() -> None:
    """Have Matplotlib read its fonts before processes are forked."""
    import initcli

    folder = mkdtemp()
    model = initcli.parse("{input_shape: [2], layers: [{type: Dense, units: 2}]}")
    list(initcli.save_histograms(model, Path(folder)))
    shutil.rmtree(folder)


def _serve() -> None:
    for module in pkgutil.walk_packages(importlib.import_module("initcli").__path__, "initcli."):
        if not any(f".{each}_" in module.name for each in ("torch", "jax", "numba")):
            importlib.import_module(module.name)
    _warm_up()
    for line in sys.stdin:
        request = json.loads(line)
        # A TemporaryDirectory would also be removed by the forked processes.
        folder = Path(mkdtemp())
        places = [folder / str(each) for each in range(len(request["runs"]))]
        for place in places:
            place.mkdir()
        to_kill = request["after"] is not None
        overdue = False
        begun = time.perf_counter()
        running = [
            _start(arguments, place, request)
            for arguments, place in zip(request["runs"], places, strict=True)
        ]
        ended: dict[int, float] = {}
        while len(ended) < len(running):
            now = time.perf_counter() - begun
            for number, each in enumerate(running):
                if number not in ended and each.poll() is not None:
                    ended[number] = now
            if to_kill and now >= request["after"]:
                to_kill = False
                for each in running:
                    if each.poll() is None:
                        each.send_signal(request["number"])
            if now > LONGEST and not overdue:
                overdue = True
                for each in running:
                    if each.poll() is None:
                        each.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
            time.sleep(0.0005)
        said = [tuple(_text(place / name) for name in ("stdout", "stderr")) for place in places]
        counted = [place / "lines" for place in places]
        lines = [int(_text(file) or 0) for file in counted]
        shutil.rmtree(folder)
        done = [
            (each.returncode, *said[number], ended[number], lines[number])
            for number, each in enumerate(running)
        ]
        print(json.dumps(done), flush=True)  # noqa: T201


if __name__ == "__main__":
    _serve()
