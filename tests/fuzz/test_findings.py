"""What fuzzing found, once for each cause."""

from __future__ import annotations

import json

import pytest

import initcli
from initcli.limits import limited


def keras(**dense: object) -> str:
    layers = [
        {"class_name": "InputLayer", "config": {"batch_shape": [None, 3], "name": "i"}},
        {"class_name": "Dense", "config": {"name": "d", "units": 3, **dense}},
    ]
    return json.dumps({"class_name": "Sequential", "config": {"name": "m", "layers": layers}})


def test_an_activation_that_only_its_author_can_compute_has_no_prediction() -> None:
    model = initcli.parse(keras(activation="linear-"))
    (layer,) = initcli.predict_signal(model).layers
    assert layer.predicted is not None
    assert layer.predicted.std is None
    report = initcli.check(model)
    assert not report.findings
    with pytest.raises(initcli.InitcliError, match=r"the signal ends at 'd': .*linear-"):
        initcli.measure_signal(model, batch=2, draws=1)


def test_a_layer_that_gives_either_infinity_has_no_median() -> None:
    spec = {
        "input_shape": [4],
        "layers": [
            {"type": "Dense", "units": 3, "activation": "relu"},
            {
                "type": "Dense",
                "units": 3,
                "kernel_initializer": {"type": "Constant", "value": 1e30},
            },
            {"type": "Dense", "units": 3, "activation": "exponential"},
            {"type": "Reshape", "target_shape": [-1, 1]},
            {"type": "Conv1D", "filters": 2, "kernel_size": 1},
        ],
    }
    for seed in range(4):
        model = initcli.parse(json.dumps(spec), seed=seed)
        assert len(initcli.measure_signal(model, batch=4, draws=2).layers) == 5


def test_a_picture_of_a_country_takes_no_memory_of_a_continent() -> None:
    spec = "input_shape: [100000, 100000, 3]\nlayers: [{type: ReLU}]"
    with pytest.raises(initcli.InitcliError, match="--limit positions="):
        initcli.predict_signal(initcli.parse(spec))


def test_a_signal_of_more_axes_than_numpy_has_is_refused() -> None:
    shape = ", ".join(["1"] * 60)
    model = initcli.parse(f"input_shape: [{shape}]\nlayers: [{{type: ReLU}}]")
    with pytest.raises(initcli.InitcliError, match="has at most 28 axes, and here it has 61"):
        initcli.predict_signal(model)
    assert initcli.check(model).notes


def test_what_is_called_too_often_is_refused_before_it_is_walked() -> None:
    inner = "{type: Sequential, name: s, layers: [{type: ReLU}]}"
    for _ in range(12):
        inner = (
            f"{{type: Sequential, name: s, layers: [{inner}, {{call: s}}, {{call: s, name: t}}]}}"
        )
    model = initcli.parse(f"input_shape: [3]\nlayers: [{inner}]")
    with limited(layers=1000), pytest.raises(initcli.InitcliError, match="--limit layers="):
        initcli.predict_signal(model)


@pytest.mark.parametrize("kind", ["Minimum", "Maximum", "Average", "Add", "Multiply"])
@pytest.mark.parametrize("shape", [[1, 4, 3], [2, 1, 3], [2, 4, 1], [1, 1, 1]])
def test_what_is_one_entry_wide_is_predicted_beside_what_is_wider(
    kind: str, shape: list[int]
) -> None:
    def model(first: list[int]) -> initcli.Model:
        inputs = f"{{type: Input, name: a, shape: {first}}}, {{type: Input, shape: [2, 4, 3]}}"
        merge = f"{{type: {kind}, inputs: [a, input_layer]}}"
        return initcli.parse(f"layers: [{inputs}, {merge}]")

    predicted, wider = (initcli.predict_signal(model(each)) for each in (shape, [2, 4, 3]))
    std = predicted.layers[-1].predicted.std
    assert std == pytest.approx(wider.layers[-1].predicted.std, rel=1e-6)
    # Its gradient comes from all that it stands beside. Of 1,024 examples in 3 draws the mean
    # square has an error of some 3 % at most, and its root half of that.
    gradient = initcli.measure_signal(model(shape), batch=1024, draws=3).layers[0].gradient
    assert gradient is not None
    expected = predicted.layers[0].predicted.gradient_rms
    assert expected == pytest.approx(gradient.rms.median, rel=0.08)
