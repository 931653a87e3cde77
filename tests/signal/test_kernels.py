"""Predicted gradients of dense kernels against those that are measured."""

from __future__ import annotations

import pytest

import initcli

STACKS = {
    "activations": """input_shape: [64]
layers:
  - {type: Dense, units: 256, activation: relu, kernel_initializer: he_normal}
  - {type: Dense, units: 256, activation: tanh}
  - {type: Dense, units: 200, kernel_initializer: {type: RandomNormal, stddev: 0.1}}
""",
    "a sequence": """input_shape: [12, 64]
layers:
  - {type: Dense, units: 256, activation: gelu, kernel_initializer: he_normal}
  - {type: LayerNormalization}
  - {type: Dense, units: 256, activation: relu, kernel_initializer: he_normal}
  - {type: GlobalAveragePooling1D}
  - {type: Dense, units: 100}
""",
    "a batch": """input_shape: [64]
layers:
  - {type: Dense, units: 256, kernel_initializer: he_normal}
  - {type: BatchNormalization}
  - {type: ReLU}
  - {type: Dense, units: 200, activation: softmax}
""",
    "multipliers": """input_shape: [64]
parametrization: ntk
layers:
  - {type: Dense, units: 256, activation: relu}
  - {type: Dense, units: 200}
""",
}


@pytest.mark.parametrize("name", STACKS)
def test_gradients_of_kernels_are_as_predicted(name: str) -> None:
    model = initcli.parse(STACKS[name])
    signal = initcli.measure_signal(model, batch=32, draws=3)
    measured = {each.path: each.gradient_rms.median for each in signal.tensors}
    predicted = {
        f"{each.name}/kernel": each.predicted.kernel_gradient_rms
        for each in initcli.predict_signal(model, batch=32).layers
        if each.predicted.kernel_gradient_rms is not None
    }
    assert set(predicted) == {path for path in measured if path.endswith("kernel")}
    # 32 examples of 256 units differ by a few percent from draw to draw.
    for path, size in predicted.items():
        assert size == pytest.approx(measured[path], rel=0.12), path


@pytest.mark.parametrize(
    "layer",
    [
        "{type: Dense, units: 8, kernel_initializer: zeros}",
        "{type: Dense, units: 8, kernel_initializer: {type: RandomNormal, mean: 0.5}}",
        "{type: Dense, units: 8, lora_rank: 2}",
    ],
)
def test_other_kernels_are_not_known(layer: str) -> None:
    model = initcli.parse(f"{{input_shape: [8], layers: [{layer}]}}")
    (*_, last) = initcli.predict_signal(model).layers
    assert last.predicted.kernel_gradient_rms is None


def test_a_kernel_that_several_calls_share_is_not_known() -> None:
    spec = """input_shape: [8]
layers:
  - {type: Dense, units: 8, name: shared}
  - {call: shared}
"""
    layers = initcli.predict_signal(initcli.parse(spec)).layers
    assert {each.predicted.kernel_gradient_rms for each in layers} == {None}
