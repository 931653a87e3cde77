"""Equal layers that meet equal fields work once, and what they give is the same to the last bit."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import initcli
from initcli.checks.evidence import Evidence
from initcli.signal import sharing, typical
from initcli.signal.field import with_neighbors
from initcli.signal.figures import Signal
from initcli.signal.initial_fields import standard
from support.paths import SAMPLES, facts

MODELS = (
    "resnet_v1",
    "squeeze_and_excitation",
    "densenet",
    "gpt2",
    "encoder",
    "bidirectional_lstm",
    "unet",
    "mobilenet_v2",
)


def figures(signal: Signal) -> list[Any]:
    return [(layer.name, layer.predicted) for layer in signal.layers]


def model_of(name: str) -> tuple[initcli.Model, int]:
    known = facts("signal_facts.json.gz")["models"][name]
    return initcli.parse(known["json"]), known["batch"]


@pytest.mark.parametrize("name", MODELS)
def test_what_is_kept_is_what_would_be_computed(name: str) -> None:
    model, batch = model_of(name)
    alone = figures(initcli.predict_signal(model, batch=batch))
    with sharing.sharing():
        first = figures(initcli.predict_signal(model, batch=batch))
        again = figures(initcli.predict_signal(model, batch=batch))
    assert alone == first == again


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The types of the layers that rules are worked out for, as they come."""
    worked: list[str] = []
    plain = typical.made

    def made(call: typical.Call) -> typical.Made:
        worked.append(call.layer.type_name)
        return plain(call)

    monkeypatch.setattr(sharing, "made", made)
    return worked


def stack(count: int) -> str:
    bias = {"type": "RandomNormal", "stddev": 2.0}
    block = [
        {"type": "Dense", "units": 64, "activation": "tanh", "bias_initializer": bias},
        {"type": "LayerNormalization"},
    ]
    repeated = {"repeat": count, "layers": block}
    return json.dumps({"input_shape": [64], "layers": [repeated, {"type": "Dense", "units": 3}]})


def test_blocks_work_no_more_once_their_fields_are_those_of_the_block_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worked = counted(monkeypatch)
    signal = initcli.predict_signal(initcli.parse(stack(300)))
    assert len(worked) < 100
    # The same with nothing kept.
    monkeypatch.setattr(sharing.Shared, "_number", _no_number)
    assert figures(initcli.predict_signal(initcli.parse(stack(300)))) == figures(signal)
    assert len(worked) > 600


def _no_number(*_: Any) -> int:
    raise TypeError


def test_a_check_does_not_predict_the_same_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    worked = counted(monkeypatch)
    model = initcli.load(str(SAMPLES / "gpt2_small.yaml"))
    initcli.predict_signal(model)
    alone = len(worked)
    worked.clear()
    initcli.check(model, how="predicted")
    # All steps as they are, all with kernels that keep the size, and a few sums by themselves.
    assert len(worked) < 2.5 * alone


def test_what_is_kept_is_dropped_where_it_takes_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = model_of("mobilenet_v2")
    alone = figures(initcli.predict_signal(model, batch=batch))
    monkeypatch.setattr(sharing, "_SHARE", 1 << 14)
    with sharing.sharing():
        store = sharing.shared()
        found = figures(initcli.predict_signal(model, batch=batch))
        assert store._bytes < 1 << 20
    assert found == alone


def test_what_kernels_need_is_worked_out_once_whatever_they_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worked = counted(monkeypatch)
    layer = {"type": "Dense", "units": 64, "activation": "tanh"}
    with sharing.sharing():
        for initializer in ("glorot_uniform", "he_normal"):
            layers = [{**layer, "kernel_initializer": initializer}] * 5
            model = initcli.parse(json.dumps({"input_shape": [64], "layers": layers}))
            before = len(worked)
            assert len(Evidence(model).scales.solved) == 4
    assert len(worked) == before + 1  # The last kernel keeps what it has.


def test_fields_with_other_neighbors_are_other_fields() -> None:
    store, given = sharing.Shared(), standard((4, 4), 8)
    other = with_neighbors(given, np.full((2, 4, 4), 0.5))
    assert store._number(given) == store._number(standard((4, 4), 8))
    assert store._number(given) != store._number(other)
