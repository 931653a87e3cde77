"""Names in Keras's files that a spec has under another name, or not at all."""

from __future__ import annotations

OLD = {
    "SyncBatchNormalization": "BatchNormalization",
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "LSTMV2": "LSTM",
    "GRUV2": "GRU",
    "UnifiedLSTM": "LSTM",
    "UnifiedGRU": "GRU",
}
"""Layers of Keras 2 under their names in Keras 3."""
PASSING_ON = ("AddLoss", "AddMetric")
"""Layers that Keras 3 no longer has, whose output is their input."""
RENAMED = {
    ("LeakyReLU", "alpha"): "negative_slope",
    ("ReLU", "alpha"): "negative_slope",
    ("threshold", "theta"): "threshold",
    ("MaxoutDense", "output_dim"): "units",
    ("MaxoutDense", "nb_feature"): "features",
    ("MaxoutDense", "init"): "kernel_initializer",
    ("MaxoutDense", "bias"): "use_bias",
    ("Highway", "init"): "kernel_initializer",
    ("Highway", "bias"): "use_bias",
}
"""Arguments of Keras 2 under their names in Keras 3, by layer or activation."""
INPUT_SHAPES = ("batch_shape", "batch_input_shape")
"""Keys for the shape of a layer's input, the batch first."""
SILENT = frozenset(
    """adjustment autocast batch_input_shape batch_shape batch_size build_config causal class_name
    experimental_run_tf_function filters fused gptq_unpacked_column_size groups implementation
    input_dim input_dtype input_length input_shape kernel_initializer key_shape noise_shape optional
    quantization_config query_shape ragged sparse stateful supports_masking synchronized
    seed time_major unroll use_cudnn value_shape virtual_batch_size weights zero_output_for_mask
    output_shape _build_input_shape _build_shapes_dict""".split()  # noqa: SIM905
)
"""Keys that change no shape and no initial weight, unless the layer has such an argument."""
AS_ACTIVATION = {
    "LeakyReLU": "leaky_relu",
    "ReLU": "relu",
    "ELU": "elu",
    "Softmax": "softmax",
    "ThresholdedReLU": "threshold",
}
"""Layers that may stand where an activation is named."""


def says_nothing(key: str) -> bool:
    """Whether a key may be ignored if the layer has no such argument."""
    return key == "name" or key in SILENT or key.endswith(("_regularizer", "_constraint"))
