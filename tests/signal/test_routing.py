"""How evenly routers spread tokens over experts, measured and predicted."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

import initcli
from initcli.layers.experts import MixtureOfExperts
from initcli.layers.flow import Flow
from initcli.signal import arrays
from initcli.signal.figures import RouterSignal
from initcli.signal.measured import measure_signal, predict_signal
from initcli.signal.routing import measured_routing
from support.running import run

MIXTURE: dict[str, Any] = {"type": "MixtureOfExperts", "num_experts": 8, "top_k": 2, "units": 16}
# Biases that all tokens have in common.
COMMON = {
    "type": "Dense",
    "units": 64,
    "activation": "relu",
    "bias_initializer": {"type": "RandomNormal", "stddev": 1.0},
}


def model(*layers: dict[str, Any], shape: tuple[int, ...] = (24, 64)) -> initcli.Model:
    return initcli.parse(json.dumps({"input_shape": shape, "layers": layers}))


def router(signal: initcli.Signal) -> RouterSignal:
    (found,) = signal.routers
    return found


def test_loads_are_the_shares_of_the_tokens() -> None:
    layer = MixtureOfExperts(num_experts=8, top_k=2, units=16)
    # Four tokens take experts 0 and 1, and two take 2 and 3.
    x = np.zeros((2, 3, 8), np.float32)
    x.reshape(6, 8)[:4, 0] = x.reshape(6, 8)[4:, 1] = 1.0
    kernel = np.zeros((8, 8), np.float32)
    kernel[0, :2] = kernel[1, 2:4] = 1.0
    found = measured_routing(layer, Flow(xp=arrays, weights={"router": kernel}), x)
    assert found is not None
    shares = np.array([1 / 3, 1 / 3, 1 / 6, 1 / 6])
    assert found.busiest == pytest.approx(8 / 3)
    assert found.entropy == pytest.approx(-float(shares @ np.log(shares)) / math.log(8))
    with np.errstate(all="ignore"):
        infinite = Flow(xp=arrays, weights={"router": kernel + np.float32(math.inf)})
        assert measured_routing(layer, infinite, x) is None


def test_one_expert_has_all_tokens() -> None:
    found = router(measure_signal(model({**MIXTURE, "num_experts": 1, "top_k": 1}), draws=1))
    for figures in (found.entropy, found.busiest):
        assert figures is not None
        assert figures.median == 1
    assert found.predicted is not None
    assert (found.predicted.entropy, found.predicted.busiest) == (1, 1)


@pytest.mark.parametrize("count", [8, 64])
@pytest.mark.parametrize("before", [(), (COMMON,), (COMMON, COMMON)])
def test_predictions_are_what_is_measured(before: tuple[dict[str, Any], ...], count: int) -> None:
    built = model(*before, {**MIXTURE, "num_experts": count})
    found = router(measure_signal(built, batch=32, draws=25))
    assert found.entropy is not None
    assert found.busiest is not None
    assert found.predicted is not None
    # The median of 25 draws deviates by a quarter of the standard deviation of one, which is a
    # quarter of the range of 25; four of these, and 2 % for the draws of the prediction.
    for seen, expected in (
        (found.entropy, found.predicted.entropy),
        (found.busiest, found.predicted.busiest),
    ):
        error = (seen.high - seen.low) / 4
        assert abs(seen.median - expected) < error + 0.02 * expected


def test_tokens_with_much_in_common_take_the_same_experts() -> None:
    signals = [predict_signal(model(*before, MIXTURE)) for before in ((), (COMMON,))]
    fresh, alike = (router(each).predicted for each in signals)
    assert fresh is not None
    assert alike is not None
    assert fresh.entropy > 0.99
    assert alike.entropy < 0.8
    assert alike.busiest > 2 * fresh.busiest


def test_routers_are_shown_filtered_and_left_out_elsewhere(tmp_path: Any) -> None:
    path = tmp_path / "spec.json"
    layers = [{**MIXTURE, "name": "one"}, {**MIXTURE, "name": "two"}]
    path.write_text(json.dumps({"input_shape": [4, 8], "layers": layers}))
    shown = run("signal", path, "--theory").stdout
    assert "router load entropy / ln n busiest / even experts" in shown
    assert "2 of 8" in shown
    report = json.loads(
        run("signal", path, "--theory", "--filter", "two", "--format", "json").stdout
    )
    (found,) = report["routers"]
    assert (found["layer"], found["experts"], found["top_k"]) == ("two", 8, 2)
    assert found["entropy"] is None
    assert 0 < found["predicted"]["entropy"] <= 1
    assert predict_signal(model(COMMON)).routers == ()


def test_a_router_that_no_theory_covers_is_measured_alone() -> None:
    ones = {"type": "Constant", "value": 0.1}
    found = router(measure_signal(model({**MIXTURE, "router_initializer": ones}), draws=1))
    assert found.predicted is None
    assert found.busiest is not None
