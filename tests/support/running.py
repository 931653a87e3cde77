"""The command line, within the test's process and in one of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from initcli.cli.app import app
from support.paths import ROOT


def run(
    *arguments: str | Path,
    text: str | None = None,
    width: int = 80,
    cwd: Path = ROOT,
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    """Run a command in this process, which spares the start of another.

    Use :func:`run_process` where the process itself is tested: signals, streams, start, end.
    """
    command = list(map(str, arguments))
    environment = {"COLUMNS": str(width), **environment}
    charset = environment.get("PYTHONIOENCODING", "utf-8")
    with contextlib.chdir(cwd):
        done = CliRunner(charset).invoke(app, command, text, environment, prog_name="initcli")
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return subprocess.CompletedProcess(command, done.exit_code, done.stdout, done.stderr)


def run_process(
    *arguments: str | Path,
    text: str | None = None,
    width: int = 80,
    cwd: Path = ROOT,
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "initcli", *map(str, arguments)],
        input=text,
        capture_output=True,
        encoding="utf-8",
        cwd=cwd,
        env={**os.environ, "PYTHONUTF8": "1", "COLUMNS": str(width), **environment},
        timeout=120,
        check=False,
    )


@contextmanager
def start(
    *arguments: str | Path, program: Sequence[str] = ("-m", "initcli"), **options: Any
) -> Iterator[subprocess.Popen[str]]:
    """Start a command. It is killed at the end of the block, also where the test fails."""
    with subprocess.Popen(
        [sys.executable, *program, *map(str, arguments)],
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8", **options},
    ) as process:
        try:
            yield process
        finally:
            process.kill()
