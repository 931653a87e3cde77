"""Ten times the layers, or connections, take ten times the work: counted, as clocks are noisy.

``tests/benchmarks/test_growth.py`` measures the time of the same models.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import initcli
from initcli.checks import fixing
from initcli.checks.judging import judged
from initcli.documents.edit import edited
from initcli.signal import typical
from initcli.signal.rules.layout import predicted
from initcli.signal.ties import Ties
from support.stacks import GROWING, diamonds

_SMALL = 16


class _Counted:
    """Counts the calls of a function."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.calls = 0

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self.calls += 1
        return self.function(*arguments, **options)


@pytest.mark.parametrize("build", GROWING, ids=lambda each: each.__name__)
def test_theory_evaluates_rules_and_pairs_in_proportion(
    monkeypatch: pytest.MonkeyPatch, build: Callable[[int], dict[str, Any]]
) -> None:
    rules = _Counted(predicted)
    pairs = _Counted(Ties._followed)
    monkeypatch.setattr(typical, "predicted", rules)
    monkeypatch.setattr(Ties, "_followed", lambda *arguments: pairs(*arguments))
    counts = []
    for n in (_SMALL, 10 * _SMALL):
        rules.calls = pairs.calls = 0
        model = initcli.parse(json.dumps({"input_shape": [4], **build(n)}))
        steps = len(initcli.predict_signal(model, batch=4).layers)
        connections = sum(len(each.inputs) for each in model.network.calls)
        assert 0 < rules.calls <= 3 * steps
        counts.append((rules.calls + pairs.calls) / (steps + connections))
    small, large = counts
    assert large < 1.5 * small


def test_the_remedies_of_check_take_one_edit_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    edits = _Counted(edited)
    monkeypatch.setattr(fixing, "edited", edits)
    layer = {"type": "Dense", "units": 8, "activation": "relu", "kernel_initializer": "zeros"}
    counts = []
    for n in (4, 16):
        edits.calls = 0
        layers = [{**layer, "name": f"d{i}"} for i in range(n)]
        text = json.dumps({"input_shape": [8], "layers": layers})
        report = initcli.check(initcli.parse(text), how="predicted")
        assert len(report.findings) >= n / 2
        counts.append(edits.calls)
    assert counts[0] == counts[1] > 0


def test_the_trials_of_check_judge_so_many_layers_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    models = _Counted(judged)
    monkeypatch.setattr(fixing, "judged", models)
    monkeypatch.setattr(fixing, "_MAX_LAYERS", 120)
    counts = []
    for n in (40, 160):
        models.calls = 0
        text = json.dumps({"input_shape": [4], **diamonds(n)})
        initcli.check(initcli.parse(text), how="predicted")
        counts.append(models.calls)
    assert 1 < counts[0] <= 1 + 120 // 40
    assert counts[1] <= 3


def test_joined_parts_are_split_once_on_the_way_back(monkeypatch: pytest.MonkeyPatch) -> None:
    splits = _Counted(np.split)
    monkeypatch.setattr(np, "split", splits)
    layers: list[dict[str, Any]] = [
        {"type": "Dense", "units": 2, "name": f"d{i}"} for i in range(9)
    ]
    join = {"type": "Concatenate", "inputs": [each["name"] for each in layers]}
    text = json.dumps({"input_shape": [2], "layers": [*layers, join]})
    initcli.measure_signal(initcli.parse(text), batch=2, draws=1, theory=False)
    assert splits.calls == 1
