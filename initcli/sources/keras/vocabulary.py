"""Words of Keras's files that a spec says otherwise, or not at all."""

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
"""Layers of Keras 2 that are others in Keras 3."""
PASSING_ON = ("AddLoss", "AddMetric")
"""Layers of Keras 2 that are gone, and that kept the shape of their input."""
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
"""Arguments of Keras 2 under the names of Keras 3, by their layer or activation."""
INPUT_SHAPES = ("batch_shape", "batch_input_shape")
"""Keys of the shape that flows into a layer, the batch first."""
SILENT = frozenset(
    """adjustment autocast batch_input_shape batch_shape batch_size build_config causal class_name
    experimental_run_tf_function filters fused gptq_unpacked_column_size groups implementation
    input_dim input_dtype input_length input_shape kernel_initializer key_shape noise_shape optional
    quantization_config query_shape ragged sparse stateful supports_masking synchronized
    seed time_major unroll use_cudnn value_shape virtual_batch_size weights zero_output_for_mask
    output_shape _build_input_shape _build_shapes_dict""".split()  # noqa: SIM905
)
"""Keys of a configuration that say nothing of shapes or of first weights where no argument does."""
POLICIES = ("float16", "bfloat16", "float32", "float64", "mixed_float16", "mixed_bfloat16")
"""Policies of what a layer computes in that a spec can name."""
AS_ACTIVATION = {
    "LeakyReLU": "leaky_relu",
    "ReLU": "relu",
    "ELU": "elu",
    "Softmax": "softmax",
    "ThresholdedReLU": "threshold",
}
"""Layers that are an activation, and may stand where one is named."""


def says_nothing(key: str) -> bool:
    """Whether a key of a configuration changes nothing here where no argument has its name."""
    return key == "name" or key in SILENT or key.endswith(("_regularizer", "_constraint"))
