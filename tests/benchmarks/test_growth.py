"""How the time of the commands grows: ten times the layers, or connections, take ten times as long.

Each row is a model beside one a tenth as large, so that its ratio is near 10 where time is linear.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from time import process_time
from typing import Any

import pytest

import initcli
from initcli.checks import check
from initcli.reports.record import json_text
from initcli.reports.signal import SignalReport
from support.beside import beside
from support.stacks import GROWING

_LARGEST = 30
"""Ratio that no linear command reaches, however noisy the machine; of a quadratic one it is 100."""


def load(text: str) -> object:
    return initcli.parse(text)


def signal(text: str) -> object:
    predicted = initcli.predict_signal(initcli.parse(text), batch=4)
    return json_text(SignalReport.of(predicted))


def measured(text: str) -> object:
    return initcli.measure_signal(initcli.parse(text), batch=4, draws=1, theory=False)


def checked(text: str) -> object:
    return check(initcli.parse(text), how="predicted")


@pytest.mark.parametrize("build", GROWING, ids=lambda each: each.__name__)
@pytest.mark.parametrize("command", [load, signal, measured, checked], ids=lambda c: c.__name__)
def test_ten_times_the_layers(
    benchmark: Any, build: Callable[[int], dict[str, Any]], command: Callable[[str], object]
) -> None:
    more = 10 if benchmark.enabled or command is load else 1
    small, large = (json.dumps({"input_shape": [4], **build(n * more)}) for n in (16, 160))
    command(small)
    times = []

    def timed(text: str) -> Callable[[], None]:
        def run() -> None:
            begun = process_time()
            command(text)
            times.append(process_time() - begun)

        return run

    beside(benchmark, timed(small), timed(large), rounds=3)
    if benchmark.enabled:  # one run on a busy machine says nothing
        assert min(times[1::2]) < _LARGEST * max(min(times[::2]), 1e-3)
