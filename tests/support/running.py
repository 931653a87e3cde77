"""The command line as a process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.paths import ROOT


def run(
    *arguments: str | Path,
    text: str | None = None,
    width: int = 80,
    cwd: Path = ROOT,
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
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
def start(*arguments: str | Path, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Start a command. It is killed at the end of the block, also where the test fails."""
    with subprocess.Popen(
        [sys.executable, "-m", "initcli", *map(str, arguments)],
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8", **options},
    ) as process:
        try:
            yield process
        finally:
            process.kill()
