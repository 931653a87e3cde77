"""Predicted gradients of kernels and tables against those that are measured."""

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
    "images": """input_shape: [16, 16, 8]
layers:
  - {type: Conv2D, filters: 64, kernel_size: 3, activation: relu, padding: same}
  - {type: Conv2D, filters: 64, kernel_size: 3, strides: 2, activation: relu}
  - {type: BatchNormalization}
  - {type: Conv2D, filters: 128, kernel_size: 3, groups: 2, activation: relu}
  - {type: MaxPooling2D}
  - {type: Conv2D, filters: 64, kernel_size: 1, activation: tanh}
  - {type: GlobalAveragePooling2D}
  - {type: Dense, units: 100}
""",
    "dilated": """input_shape: [64, 32]
layers:
  - {type: Conv1D, filters: 128, kernel_size: 5, activation: relu, padding: causal}
  - {type: Conv1D, filters: 128, kernel_size: 3, dilation_rate: 2, activation: gelu}
  - {type: EinsumDense, equation: "btc,cd->btd", output_shape: [null, 64]}
  - {type: GlobalAveragePooling1D}
""",
    "tokens": """layers:
  - {type: Input, name: tokens, shape: [12], dtype: int32}
  - {type: Embedding, name: table, input_dim: 50, output_dim: 128}
  - {type: PositionEmbedding, name: places, sequence_length: 20}
  - {type: Add, inputs: [table, places]}
  - {type: Dense, units: 256, activation: relu}
  - {type: GlobalAveragePooling1D}
  - {type: Dense, units: 100}
""",
    "recurrent": """input_shape: [12, 64]
layers:
  - {type: SimpleRNN, units: 128, return_sequences: true}
  - {type: GRU, units: 128, return_sequences: true}
  - {type: LSTM, units: 128}
  - {type: Dense, units: 100}
""",
    "zeros": """input_shape: [64]
layers:
  - {type: Dense, units: 256, activation: relu, kernel_initializer: he_normal}
  - {type: Dense, units: 256, kernel_initializer: zeros}
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
    expected = initcli.predict_signal(model, batch=32)
    predicted = {
        step.kernel.path: layer.predicted.kernel_gradient_rms
        for step, layer in zip(expected.program.steps, expected.layers, strict=True)
        if step.kernel is not None and layer.predicted.kernel_gradient_rms is not None
    }
    followed = {path for path in measured if path.endswith(("kernel", "embeddings"))}
    assert set(predicted) == {path for path in followed if not path.endswith("recurrent_kernel")}
    # 32 examples of 256 units differ by a few percent from draw to draw, and pooling is not exact.
    room = 0.15 if "MaxPooling" in STACKS[name] else 0.12
    for path, size in predicted.items():
        assert size == pytest.approx(measured[path], rel=room), path


@pytest.mark.parametrize(
    "layer",
    [
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
