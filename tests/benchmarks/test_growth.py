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

_DENSE = {"type": "Dense", "units": 4, "activation": "tanh"}
_LARGEST = 30
"""Ratio that no linear command reaches, however noisy the machine; of a quadratic one it is 100."""


def chain(n: int) -> dict[str, Any]:
    return {"layers": [_DENSE] * n}


def one_layer_again(n: int) -> dict[str, Any]:
    return {"layers": [{**_DENSE, "name": "d"}, *[{"call": "d"}] * (n - 1)]}


def diamonds(n: int) -> dict[str, Any]:
    layers: list[dict[str, Any]] = [{**_DENSE, "name": "s0"}]
    for i in range(n // 2):
        layers.append({**_DENSE, "name": f"d{i}", "inputs": [f"s{i}"]})
        layers.append({"type": "Add", "name": f"s{i + 1}", "inputs": [f"s{i}", f"d{i}"]})
    return {"layers": layers}


def densely_connected(n: int) -> dict[str, Any]:
    """So many connections."""
    layers: list[dict[str, Any]] = [{**_DENSE, "name": "d0"}]
    while (count := len(layers) // 2 + 1) * (count + 1) // 2 <= n:
        before = [f"d{k}" for k in range(count)]
        taken = before if len(before) > 1 else [before[0], before[0]]
        layers.append({"type": "Concatenate", "name": f"c{count}", "inputs": taken})
        layers.append({**_DENSE, "name": f"d{count}", "inputs": [f"c{count}"]})
    return {"layers": layers}


def nested_blocks(n: int) -> dict[str, Any]:
    layers: list[dict[str, Any]] = [_DENSE] * (n // 16)
    for depth in range(4):
        layers = [{"repeat": 2, "name": f"b{depth}", "layers": layers}]
    return {"layers": layers}


def load(text: str) -> object:
    return initcli.parse(text)


def signal(text: str) -> object:
    predicted = initcli.predict_signal(initcli.parse(text), batch=4)
    return json_text(SignalReport.of(predicted))


def measured(text: str) -> object:
    return initcli.measure_signal(initcli.parse(text), batch=4, draws=1, theory=False)


def checked(text: str) -> object:
    return check(initcli.parse(text), how="predicted")


MODELS = (chain, one_layer_again, diamonds, densely_connected, nested_blocks)


@pytest.mark.parametrize("build", MODELS, ids=lambda each: each.__name__)
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

    beside(benchmark, timed(small), timed(large), rounds=3 if benchmark.enabled else 1)
    if benchmark.enabled:  # one run on a busy machine says nothing
        assert min(times[1::2]) < _LARGEST * max(min(times[::2]), 1e-3)
