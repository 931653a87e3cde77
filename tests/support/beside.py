"""A thing beside its yardstick: both in one run and by turns, since machines are noisy.

What is reported is the thing's time, and in the name of its row how many times the yardstick's
that is (medians).
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from time import perf_counter
from typing import Any


def beside(
    benchmark: Any, yardstick: Callable[[], Any], thing: Callable[[], Any], rounds: int = 7
) -> Any:
    """Measure both by turns, after a first turn that does not count; what the thing returned.

    Without measuring, the thing runs once, and the yardstick not at all.
    """
    if not benchmark.enabled:
        return benchmark.pedantic(thing)
    times: list[float] = []

    def setup() -> None:
        begun = perf_counter()
        yardstick()
        times.append(perf_counter() - begun)

    result = benchmark.pedantic(thing, setup=setup, rounds=rounds, warmup_rounds=1)
    ratio = benchmark.stats.stats.median / statistics.median(times[1:])
    benchmark.extra_info["times_the_yardstick"] = ratio
    benchmark.stats.name = f"{benchmark.name}: {ratio:.3g} times the yardstick"
    return result


def python(*arguments: object) -> Callable[[], str]:
    """A run of this Python, whose modules are compiled once as those of an installed tool are."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}

    def run() -> str:
        command = [sys.executable, *map(str, arguments)]
        done = subprocess.run(
            command, env=environment, capture_output=True, encoding="utf-8", check=True
        )
        return done.stdout

    return run
