"""Work for other processes, which import it by name: they cannot import test modules."""

from __future__ import annotations

import os
import signal
import time


def end_process(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def square(number: int) -> int:
    """The square; even numbers take longer, so that results are ready out of order."""
    time.sleep(0.05 if number % 2 == 0 else 0.0)
    return number * number


def invert(number: int) -> float:
    return 1 / number
