"""Flax's default initializers (``flax.linen``, 0.12): LeCun normal kernels and zero biases."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

from initcli.frameworks.base import (
    Defaults,
    Note,
    Parameters,
    Rule,
    fan_axes,
    only_keras_renormalizes,
    padded,
    two_convolutions,
)
from initcli.initializers import (
    Constant,
    Initializer,
    LecunNormal,
    Ones,
    Orthogonal,
    RandomNormal,
    VarianceScaling,
    Zeros,
    per_gate,
)
from initcli.layers import (
    Layer,
    activation,
    attention,
    cells,
    convolution,
    convolutional_recurrent,
    core,
    einsum,
    embedding,
    normalization,
    wrappers,
)
from initcli.parameter import Parameter


def _table(layer: Layer, parameters: Parameters) -> Mapping[str, Initializer]:
    """N(0, 1/features): variance scaling whose fan-in is the width of a vector."""
    table = VarianceScaling(distribution="untruncated_normal", input_axes=(1,), output_axes=(0,))
    return padded(layer, table)


def _recurrent(layer: Layer, parameters: Parameters) -> Mapping[str, Initializer]:
    """Each gate has its own matrices: LeCun normal for the input, orthogonal for the state."""
    units, width = parameters["recurrent_kernel"].shape
    gates = width // units
    kernel: Initializer = Orthogonal()
    return {"recurrent_kernel": per_gate(kernel, gates, units) if gates > 1 else kernel}


def _cell(name: str, biases: str) -> Note:
    """The note on a recurrent cell: how its biases differ, or that it always has one."""

    def note(layer: Layer, parameters: Parameters) -> str:
        if biases and "bias" in parameters:
            return f"flax's {name} has {biases}"
        return "" if getattr(layer, "use_bias", True) else f"flax's {name} always has a bias"

    return note


def _conv_lstm(layer: Layer, parameters: Parameters) -> str:
    if "conv_lstm_cell/bias" not in parameters:
        return ""
    return (
        "flax's ConvLSTMCell has two zero biases, and adds 1 to its forget gate instead of "
        "initializing its bias with 1"
    )


def _heads(layer: Layer, parameters: Parameters) -> str:
    notes: list[str] = []
    names = ("query/kernel", "key/kernel", "value/kernel")
    widths = {math.prod(parameters[name].shape[1:]) for name in names if name in parameters}
    if len(widths) > 1:
        notes.append("flax's MultiHeadDotProductAttention has one width for query, key and value")
    if "gate/kernel" in parameters:
        notes.append("flax's MultiHeadDotProductAttention has no gate, which starts as a Dense")
    return "; ".join(notes)


def _one_alpha(layer: Layer, parameters: Parameters) -> str:
    return "flax's PReLU has a single alpha" if parameters["alpha"].size > 1 else ""


def _padding(layer: Layer, parameters: Parameters) -> str:
    is_padded = getattr(layer, "padding_idx", None) is not None
    return "flax's Embed has no `padding_idx`" if is_padded else ""


def _reversible(layer: Layer, parameters: Parameters) -> str:
    if "reverse_embeddings" not in parameters:
        return ""
    return "flax has no ReversibleEmbedding; it starts as an Embed and a Dense without a bias"


class Flax(Defaults):
    """Flax."""

    name = "flax"
    linear = "Dense"

    def kernel(self, kernel: Parameter) -> Initializer:
        """LeCun normal."""
        inputs, outputs = fan_axes(kernel)
        return LecunNormal(input_axes=inputs, output_axes=outputs)

    def bias(self, kernel: Parameter, initializer: Initializer) -> Initializer:
        """Zeros."""
        return Zeros()

    layers = (
        core.Dense,
        convolution.Convolution,
        attention.MultiHeadAttention,
        attention.GroupedQueryAttention,
    )
    rules: ClassVar[Mapping[type[Layer], Rule]] = {
        # Flax counts the last two axes of an Einsum's kernel as inputs and outputs.
        einsum.EinsumDense: lambda *_: {"kernel": LecunNormal()},
        embedding.Table: _table,
        embedding.PositionEmbedding: _table,
        cells.Gated: _recurrent,
        convolutional_recurrent.ConvLSTM: lambda *_: {},
        activation.PReLU: lambda *_: {"alpha": Constant(value=0.01)},
        # N(0, 1), not yet normalized by a power iteration.
        wrappers.SpectralNormalization: lambda *_: {"vector_u": RandomNormal(mean=0.0, stddev=1.0)},
        # Ones, not the norm of the kernel.
        wrappers.WeightNormalization: lambda *_: {"g": Ones()},
    }
    notes: ClassVar[Mapping[type[Layer], Note]] = {
        cells.LSTMWeights: _cell(
            "LSTMCell", "a bias only for the state, without a 1 for the forget gate"
        ),
        cells.GRUWeights: _cell(
            "GRUCell", "one bias per gate, and a second for the candidate's state"
        ),
        cells.SimpleRNNWeights: _cell("SimpleCell", ""),
        convolutional_recurrent.ConvLSTM: _conv_lstm,
        attention.MultiHeadAttention: _heads,
        attention.GroupedQueryAttention: (
            "flax has no GroupedQueryAttention; its projections start as those of "
            "MultiHeadDotProductAttention"
        ),
        convolution.SeparableConv: two_convolutions("flax"),
        activation.PReLU: _one_alpha,
        embedding.PositionEmbedding: "flax has no position embedding; it starts as an Embed",
        embedding.Embedding: _padding,
        embedding.ReversibleEmbedding: _reversible,
        normalization.BatchNormalization: only_keras_renormalizes,
        wrappers.SpectralNormalization: (
            "flax's SpectralNorm also has a sigma of 1, and divides every kernel of its layer, "
            "once already at initialization"
        ),
        wrappers.WeightNormalization: (
            "flax's WeightNorm stores its layer's kernel already divided by its norm"
        ),
    }
