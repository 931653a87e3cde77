"""Runs of the command line that start at once, to be killed, limited or set beside one another.

``python quick_runs.py`` imports all of initcli and then forks a process for each run it is asked
for, one line of JSON a request on standard input. Where nothing can be forked, each is a program of
its own.
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
"""Seconds after which a run is killed whatever was asked for."""
WRITING = ("files.py", "weights_file.py")
"""Where initcli writes files."""


class Done(NamedTuple):
    """How a run ended: its status, or minus the signal; what it said; how long it took.

    ``lines`` are those of :data:`WRITING` that it came to, where these were counted.
    """

    status: int
    stdout: str
    stderr: str
    seconds: float
    lines: int


class QuickRuns:
    """Whom to ask for runs."""

    def __init__(self) -> None:
        # Threads of NumPy's would keep it from forking.
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
        """One run, see :meth:`together`."""
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
        """Some runs at once.

        Args:
            runs: the arguments of each.
            after: seconds after which they are killed; else they are not.
            at_line: how many lines of :data:`WRITING` they come to before they are killed, where
                they can be forked.
            number: the signal that kills.
            limit: bytes that a file can have at most, where they can be forked.
            memory: bytes that they can take at most beside what is imported, where they can be
                forked.
            stdout: where to standard output goes, instead of into what is returned.
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
    """A process that runs the command line, with as much of :class:`subprocess.Popen`."""

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
        # Python would take as long to forget all that was imported as most runs take.
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
    """From now on count the lines of :data:`WRITING`, and be killed at one of them."""
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
    """Have Matplotlib read its fonts once for all."""
    import initcli

    folder = mkdtemp()
    model = initcli.parse("{input_shape: [2], layers: [{type: Dense, units: 2}]}")
    list(initcli.save_histograms(model, Path(folder)))
    shutil.rmtree(folder)


def _serve() -> None:
    for module in pkgutil.walk_packages(importlib.import_module("initcli").__path__, "initcli."):
        if ".torch_" not in module.name and ".jax_" not in module.name:
            importlib.import_module(module.name)
    _warm_up()
    for line in sys.stdin:
        request = json.loads(line)
        # Nothing that cleans up by itself, which the processes forked from here would do as well.
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
