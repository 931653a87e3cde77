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

LARGE = "input_shape: [9000]\nlayers: [{type: Dense, units: 9000}, {type: Dense, units: 9000}]\n"
OWN = "input_shape: [8]\nlayers: [{type: Dense, units: 8, kernel_initializer: mine}]\n"
ENDLESS = "import time\ndef mine(shape):\n    while True: time.sleep(0.01)\n"


def start(*arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
    if os.name != "nt":
        # Whoever runs the tests may have them ignore a hang-up.
        options.setdefault("preexec_fn", lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL))
    return subprocess.Popen(
        [sys.executable, "-m", "initcli", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        **options,
    )


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
    ignore = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)}
    with start("export", spec, "--out", out, **ignore) as process:
        while len(list(tmp_path.iterdir())) < 2 and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGHUP)
        time.sleep(0.2)
        assert process.poll() is None
        process.kill()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for another process")
@pytest.mark.parametrize("arguments", [["summary"], ["summary", "--jobs", "2"]], ids=" ".join)
def test_an_interrupt_ends_a_function_that_never_returns(
    tmp_path: Path, arguments: list[str]
) -> None:
    (tmp_path / "model.yaml").write_text(OWN, "utf-8")
    (tmp_path / "own.py").write_text("import sys\nprint('here', file=sys.stderr)\n" + ENDLESS)
    with start(*arguments, "model.yaml", "--custom", "own.py", cwd=tmp_path) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "here\n"
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130


def test_what_own_functions_print_is_no_data(tmp_path: Path) -> None:
    (tmp_path / "model.yaml").write_text(OWN, "utf-8")
    (tmp_path / "own.py").write_text(
        "import sys\nimport numpy as np\nprint('loaded')\n"
        "def mine(shape):\n    print('called')\n    sys.stdout.write('raw\\n')\n"
        "    return np.ones(shape)\n"
    )
    command = ("summary", "model.yaml", "--custom", "own.py", "--format", "json")
    with start(*command, cwd=tmp_path) as process:
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0
    assert json.loads(stdout)["model"]["name"]
    assert stderr == "loaded\ncalled\nraw\n"


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
