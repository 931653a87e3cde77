"""How the program ends: by signals, with threads that do not, and with streams that are full."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from support.paths import ROOT, TOUR
from support.running import run, start

LARGE = "input_shape: [9000]\nlayers: [{type: Dense, units: 9000}, {type: Dense, units: 9000}]\n"
OWN = "input_shape: [8]\nlayers: [{type: Dense, units: 8, kernel_initializer: mine}]\n"
ENDLESS = "import time\ndef mine(shape):\n    while True: time.sleep(0.01)\n"


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    return process.stderr.readline()


@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process without asking")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("out", ["w.npz", "w.safetensors"])
def test_a_signal_to_end_leaves_nothing_half_written(tmp_path: Path, name: str, out: str) -> None:
    spec, folder = tmp_path / "large.yaml", tmp_path / "out"
    spec.write_text(LARGE, "utf-8")
    folder.mkdir()
    with start("export", spec, "--out", folder / out) as process:
        while not any(folder.iterdir()) and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(getattr(signal, name))
        begun = time.monotonic()
        assert process.communicate(timeout=60) == ("", "")
        assert time.monotonic() - begun < 10
    assert process.returncode == 128 + getattr(signal, name)
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGHUP")
def test_nohup_keeps_it_alive(tmp_path: Path) -> None:
    spec = tmp_path / "large.yaml"
    spec.write_text(LARGE, "utf-8")
    out = tmp_path / "w.npz"
    ignore: dict[str, Any] = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)}
    with start("export", spec, "--out", out, **ignore) as process:
        while len(list(tmp_path.iterdir())) < 2 and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGHUP)
        time.sleep(0.2)
        assert process.poll() is None


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for another process")
@pytest.mark.parametrize("arguments", [["summary"], ["summary", "--jobs", "2"]], ids=" ".join)
def test_an_interrupt_ends_a_function_that_never_returns(
    tmp_path: Path, arguments: list[str]
) -> None:
    (tmp_path / "model.yaml").write_text(OWN, "utf-8")
    (tmp_path / "own.py").write_text("import sys\nprint('here', file=sys.stderr)\n" + ENDLESS)
    with start(*arguments, "model.yaml", "--custom", "own.py", cwd=tmp_path) as process:
        assert first_line(process) == "here\n"
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130


def test_what_own_functions_print_is_no_data(tmp_path: Path) -> None:
    (tmp_path / "model.yaml").write_text(OWN, "utf-8")
    (tmp_path / "own.py").write_text(
        "import os, subprocess, sys\nimport numpy as np\nprint('loaded')\n"
        "def mine(shape):\n    print('called')\n    sys.stdout.write('raw\\n')\n"
        "    os.write(1, b'by descriptor\\n')\n"
        "    subprocess.run([sys.executable, '-c', 'print(\"by a program\")'])\n"
        "    return np.ones(shape)\n"
    )
    command = ("summary", "model.yaml", "--custom", "own.py", "--format", "json")
    with start(*command, cwd=tmp_path) as process:
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0
    assert json.loads(stdout)["model"]["name"]
    assert stderr.splitlines() == ["loaded", "called", "raw", "by descriptor", "by a program"]


def test_a_thread_that_own_functions_leave_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "model.yaml").write_text(OWN, "utf-8")
    (tmp_path / "own.py").write_text(
        "import threading, time\nimport numpy as np\n"
        "def mine(shape):\n"
        "    threading.Thread(target=time.sleep, args=(600,)).start()\n"
        "    return np.ones(shape)\n"
    )
    command = ("summary", "model.yaml", "--custom", "own.py", "--format", "json")
    with start(*command, cwd=tmp_path) as process:
        stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stderr) == (0, "")
    assert json.loads(stdout)["totals"]["params"] == 72


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["summary", "--help"]])
def test_help_that_cannot_be_printed_is_one_error(arguments: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "initcli", *arguments]
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60
        )
    said = "standard output cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (2, said)


# ------------------------------------------------------------------------ interrupts at the start


# Interrupts itself at the n-th import, and numpy's extension modules turn that into other errors.
INTERRUPTED = """
import builtins, os, signal, sys
left = int(sys.argv.pop(1))
usual = builtins.__import__

def counted(*arguments, **keywords):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), getattr(signal, os.environ["WITH"]))
    return usual(*arguments, **keywords)

from initcli.__main__ import main
builtins.__import__ = counted
main()
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for another process")
@pytest.mark.parametrize(
    ("imports", "name"),
    [(n, "SIGINT") for n in (1, 3, 300, 1000, 2000, 3000)] + [(700, "SIGTERM"), (700, "SIGHUP")],
)
def test_an_interrupt_amid_imports_is_quiet(imports: int, name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, str(imports), "summary", str(TOUR)],
        capture_output=True,
        env={**os.environ, "WITH": name},
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (128 + getattr(signal, name), b"")


# ------------------------------------------------------------------------ standard streams


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such pipes")
def test_a_pipe_that_does_not_block_gets_everything(tmp_path: Path) -> None:
    (tmp_path / "model.yaml").write_text(
        "input_shape: [4]\nlayers: [{repeat: 300, layers: [{type: Dense, units: 4}]}]\n", "utf-8"
    )
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    command = ("summary", "model.yaml", "--theory", "--format", "json")
    with start(*command, cwd=tmp_path, stdout=writer) as process:
        os.close(writer)
        time.sleep(1.5)  # in which the pipe is full
        with open(reader, "rb") as stream:  # noqa: PTH123
            printed = stream.read()
        assert process.wait(60) == 0
    assert len(printed) > 200_000
    assert len(json.loads(printed)["layers"]) == 300


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such pipes")
@pytest.mark.parametrize("command", ["summary", "check", "compare"])
def test_a_pipe_that_nobody_writes_to_is_named_and_one_that_somebody_does_is_read(
    tmp_path: Path, command: str
) -> None:
    os.mkfifo(tmp_path / "spec")
    with start(command, "spec", "--theory", cwd=tmp_path) as process:
        assert "still reading spec" in first_line(process)
        (tmp_path / "spec").write_bytes(TOUR.read_bytes())
        stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (0, "")
    assert "tour" in stdout or "Found" in stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_notes_that_cannot_be_written_change_nothing() -> None:
    with Path("/dev/full").open("wb") as full:
        with start("summary", TOUR, "--defaults", "torch", stderr=full) as process:
            assert "tour" in process.communicate(timeout=60)[0]
        assert process.returncode == 0


# ------------------------------------------------------------------------ odd environments


@pytest.mark.parametrize("columns", ["0", "1", "3", "-1"])
@pytest.mark.parametrize("arguments", [["summary"], ["signal", "--theory"]], ids=" ".join)
def test_a_terminal_of_any_width(columns: str, arguments: list[str]) -> None:
    command, *options = arguments
    shown = run(command, TOUR, *options, COLUMNS=columns)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert max(map(len, shown.stdout.splitlines())) < 1001


def test_a_backend_of_a_notebook_is_not_needed(tmp_path: Path) -> None:
    environment = {**os.environ, "MPLBACKEND": "module://of_no_such_notebook"}
    picture = tmp_path / "s.png"
    with start("signal", TOUR, "--theory", "--out", picture, env=environment) as process:
        assert process.communicate(timeout=60)[1] == ""
    assert process.returncode == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.skipif(sys.platform != "linux", reason="limits are those of Linux")
def test_ten_open_files_are_enough() -> None:
    import resource

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (10, 10))

    with start("summary", TOUR, "--jobs", "2", preexec_fn=limited) as process:
        assert process.communicate(timeout=60)[1] == ""
    assert process.returncode == 0


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps a folder that is in use")
def test_a_working_folder_that_is_gone(tmp_path: Path) -> None:
    def gone() -> None:
        folder = tmp_path / "gone"
        folder.mkdir()
        os.chdir(folder)
        folder.rmdir()

    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    base = tmp_path / "base.yaml"
    base.write_bytes(TOUR.read_bytes())
    (tmp_path / "own.yaml").write_text("extends: base.yaml\nname: mine\n", "utf-8")
    for spec, status in ((tmp_path / "own.yaml", 0), ("own.yaml", 2)):
        command = [sys.executable, "-m", "initcli", "summary", str(spec)]
        done = subprocess.run(
            command, capture_output=True, preexec_fn=gone, env=environment, check=False
        )
        assert (done.returncode, b"Traceback" in done.stderr) == (status, False), done.stderr
