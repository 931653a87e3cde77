"""Benchmarks beside a baseline: both run in turns, because machines are noisy.

The report has the time of the benchmark, and in the name of its row the ratio to the median time of
the baseline.
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
    benchmark: Any, baseline: Callable[[], Any], thing: Callable[[], Any], rounds: int = 7
) -> Any:
    """Measure ``thing`` and ``baseline`` in turns after a warm-up; return the result of ``thing``.

    If benchmarks are disabled, run ``thing`` once, and ``baseline`` not at all.
    """
    if not benchmark.enabled:
        return benchmark.pedantic(thing)
    times: list[float] = []

    def setup() -> None:
        begun = perf_counter()
        baseline()
        times.append(perf_counter() - begun)

    result = benchmark.pedantic(thing, setup=setup, rounds=rounds, warmup_rounds=1)
    ratio = benchmark.stats.stats.median / statistics.median(times[1:])
    benchmark.extra_info["times_the_baseline"] = ratio
    benchmark.stats.name = f"{benchmark.name}: {ratio:.3g} times the baseline"
    return result


def python(*arguments: object) -> Callable[[], str]:
    """A function that runs this Python with compiled modules, like those of an installed tool."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}

    def run() -> str:
        command = [sys.executable, *map(str, arguments)]
        done = subprocess.run(
            command, env=environment, capture_output=True, encoding="utf-8", check=True
        )
        return done.stdout

    return run
